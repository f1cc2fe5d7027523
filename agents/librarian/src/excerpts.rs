//! Reading and quoting for tools: the port's one implementation, over an embedder
//! that is opened when it is first needed.

use crate::extract::pdf::ReadPdf;
use crate::extract::{self, ExtractError};
use crate::{about, passages, summary};
use charter::embed::Embed;
use charter::excerpt::{Excerpt, Excerpts, Form, Unexcerpted, Unreadable, Words};
use charter::memory::Span;
use std::path::Path;
use std::sync::Arc;

/// Opens the embedder, or says why there is none.
pub type OpenEmbedder = Box<dyn Fn() -> Result<Arc<dyn Embed>, String> + Send + Sync>;

/// Reads and quotes.
pub struct Excerpter {
    embedder: OpenEmbedder,
    pdf: Box<dyn ReadPdf>,
}

impl Excerpter {
    /// With the embedder that tells what sentences mean, and a reader of PDF files.
    pub fn new(embedder: OpenEmbedder, pdf: Box<dyn ReadPdf>) -> Self {
        Self { embedder, pdf }
    }
}

impl Excerpts for Excerpter {
    fn words(&self, name: &str, bytes: &[u8]) -> Result<Words, Unreadable> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Unreadable::Empty);
        }
        let found = extract::extract(Path::new(name), bytes, &*self.pdf);
        let found = found.map_err(|error| match error {
            ExtractError::NoText(_) => Unreadable::NoText,
            ExtractError::Empty { hint: "", .. } => Unreadable::Empty,
            ExtractError::Pdf { cause, .. } => Unreadable::Broken(cause),
            other => Unreadable::Broken(other.to_string()),
        })?;
        let form = match found.form {
            extract::Form::Plain => Form::Plain,
            extract::Form::Html => Form::Html,
            extract::Form::Pdf => Form::Pdf,
        };
        // Left-out words would be missing without a trace.
        match found.cut {
            true => Err(Unreadable::Broken("it holds more text than is read".to_owned())),
            false => Ok(Words { text: found.text, form }),
        }
    }

    fn sentences(&self, text: &str) -> Vec<Span> {
        passages::sentences(text)
    }

    fn share(&self, topic: &str, text: &str) -> f32 {
        about::share(topic, text)
    }

    fn summary(&self, text: &str, limit: usize) -> Result<Vec<Excerpt>, Unexcerpted> {
        let embedder = (self.embedder)().map_err(Unexcerpted)?;
        let chosen = summary::summarise(&[text], limit, &*embedder);
        Ok(chosen.iter().map(|one| Excerpt { text: one.text, span: one.span }).collect())
    }

    fn about(
        &self,
        topic: &str,
        texts: &[&str],
        limit: usize,
    ) -> Result<Vec<Excerpt>, Unexcerpted> {
        let embedder = (self.embedder)().map_err(Unexcerpted)?;
        let said = about::about(topic, texts, limit, &*embedder);
        Ok(said.iter().map(|one| Excerpt { text: one.text, span: one.span }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ByWords;

    struct NoPdf;
    impl ReadPdf for NoPdf {
        fn read(&self, _: &[u8]) -> Result<String, String> {
            Err("not here".to_owned())
        }
    }

    fn check(name: &str, bytes: &[u8], expected: Result<(&str, Form), Unreadable>) {
        let excerpter = Excerpter::new(Box::new(|| Ok(Arc::new(ByWords))), Box::new(NoPdf));
        let expected = expected.map(|(text, form)| Words { text: text.to_owned(), form });
        assert_eq!(excerpter.words(name, bytes), expected, "{name}");
    }

    #[test]
    fn files_are_read_or_told_why_not() {
        check("a.md", b"One word", Ok(("One word", Form::Plain)));
        check("a.html", b"<p>One word</p>", Ok(("One word", Form::Html)));
        check("a.md", b" \n", Err(Unreadable::Empty));
        check("a.md", b"", Err(Unreadable::Empty));
        check("a.png", b"\x89PNG\0\0", Err(Unreadable::NoText));
        check("a.pdf", b"%PDF-1", Err(Unreadable::Broken("not here".to_owned())));
    }

    #[test]
    fn without_an_embedder_nothing_is_guessed() {
        let excerpter = Excerpter::new(Box::new(|| Err("no table".to_owned())), Box::new(NoPdf));
        let error = excerpter.summary("A word or two.", 3).unwrap_err();
        assert_eq!(error.to_string(), "texts cannot be compared: no table");
    }
}
