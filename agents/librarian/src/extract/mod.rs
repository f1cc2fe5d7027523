//! Text out of files: txt, md, html, csv, code and pdf.
//!
//! What is text stays as it is, so that a span of it is a span of the file. HTML
//! and PDF become text of their own; PDF is read in a process of its own, because
//! a file that lies may make a reader hang, swell or die ([`pdf`]).

mod html;
pub mod pdf;

use std::path::{Path, PathBuf};

/// A larger file is not read.
pub const FILE_BYTES_MAX: u64 = 32 << 20;
/// Text beyond this is left out.
pub const TEXT_BYTES_MAX: usize = 8 << 20;

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text as it stands in the file.
    Plain,
    /// The words of a web page.
    Html,
    /// The words of a PDF; pages end with a form feed.
    Pdf,
}

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The words.
    pub text: String,
    /// What the file was read as.
    pub form: Form,
    /// Whether something beyond [`TEXT_BYTES_MAX`] was left out.
    pub cut: bool,
}

/// Why a file gives no text.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no ordinary file.
    #[error("{} is no ordinary file", .0.display())]
    NoFile(PathBuf),
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("{} has {bytes} bytes; files up to {FILE_BYTES_MAX} are read. Split it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is neither text nor a form that is known.
    #[error("{} holds no text: it looks like a program, a picture or an archive", .0.display())]
    NoText(PathBuf),
    /// There are no words in it.
    #[error("{} holds no words{hint}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What may be the reason.
        hint: &'static str,
    },
    /// The reader of PDF files gave up.
    #[error("{} could not be read as PDF: {cause}", path.display())]
    Pdf {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

/// Reads a file whole, if it is an ordinary one of ordinary size.
pub fn read_file(path: &Path) -> Result<Vec<u8>, ExtractError> {
    use std::io::Read;
    let failed = |source| ExtractError::Read { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(ExtractError::NoFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let bytes = found.len().max(bytes.len() as u64);
        return Err(ExtractError::TooLarge { path: path.to_owned(), bytes });
    }
    Ok(bytes)
}

/// The text of a file that was read. `pdf` reads PDF files.
pub fn extract(path: &Path, bytes: &[u8], pdf: &dyn pdf::ReadPdf) -> Result<Text, ExtractError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("").to_lowercase();
    let empty = |hint| ExtractError::Empty { path: path.to_owned(), hint };
    let (text, form) = if bytes.starts_with(b"%PDF-") || ending == "pdf" {
        let read = pdf.read(bytes);
        let text = read.map_err(|cause| ExtractError::Pdf { path: path.to_owned(), cause })?;
        (text, Form::Pdf)
    } else {
        if bytes.iter().take(8_192).any(|byte| *byte == 0) && !is_utf16(bytes) {
            return Err(ExtractError::NoText(path.to_owned()));
        }
        let text = decoded(bytes).ok_or_else(|| ExtractError::NoText(path.to_owned()))?;
        match ending.as_str() {
            "html" | "htm" | "xhtml" => (html::words(&text), Form::Html),
            _ => (text, Form::Plain),
        }
    };
    if !text.chars().any(char::is_alphanumeric) {
        return Err(empty(match form {
            Form::Pdf => ": its pages may be pictures, which would have to be recognised first",
            _ => "",
        }));
    }
    let cut = text.len() > TEXT_BYTES_MAX;
    let mut text = text;
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Ok(Text { text, form, cut })
}

fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// UTF-8, UTF-16 with a mark, else Latin-1 if it looks like a text of that time.
fn decoded(bytes: &[u8]) -> Option<String> {
    if is_utf16(bytes) {
        let big = bytes.starts_with(&[0xfe, 0xff]);
        let unit = |pair: &[u8; 2]| match big {
            true => u16::from_be_bytes(*pair),
            false => u16::from_le_bytes(*pair),
        };
        let (pairs, _) = bytes.get(2..)?.as_chunks::<2>();
        return String::from_utf16(&pairs.iter().map(unit).collect::<Vec<_>>()).ok();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_owned()),
        Err(_) => {
            let odd = bytes.iter().filter(|b| matches!(**b, 0..=8 | 14..=31 | 127..=159)).count();
            (odd * 100 <= bytes.len()).then(|| bytes.iter().map(|b| char::from(*b)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoPdf;
    impl pdf::ReadPdf for NoPdf {
        fn read(&self, _: &[u8]) -> Result<String, String> {
            Err("not here".into())
        }
    }

    fn check(name: &str, bytes: &[u8], expected: &str) {
        let found = match extract(Path::new(name), bytes, &NoPdf) {
            Ok(text) => text.text,
            Err(error) => format!("! {error}"),
        };
        assert!(found.contains(expected), "{name}: {found}");
    }

    #[test]
    fn text_is_taken_as_it_is() {
        check("a.md", "# Ä\nwörds".as_bytes(), "# Ä\nwörds");
        check("a.csv", b"name,due\nAda,2026", "Ada,2026");
        check("a.txt", b"caf\xe9 au lait", "café au lait");
        check("a.txt", &[0xff, 0xfe, b'h', 0, b'i', 0], "hi");
    }

    #[test]
    fn what_is_no_text_is_refused_with_a_reason() {
        check("a.bin", &[0x7f, b'E', b'L', b'F', 0, 0], "! a.bin holds no text");
        check("a.txt", b" \n", "! a.txt holds no words");
        check("a.dat", &[1, 2, 3, 200, 5, 6], "! a.dat holds no text");
        check("a.pdf", b"anything", "could not be read as PDF: not here");
        check("a.txt", b"%PDF-1.7 x", "could not be read as PDF");
        check("a.html", b"<script>alert(1)</script>", "holds no words");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let text = extract(Path::new("a.txt"), &b"word ".repeat(2 << 20), &NoPdf).unwrap();
        assert!(text.cut && text.text.len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn a_folder_and_nothing_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_file(folder.path()), Err(ExtractError::NoFile(_))));
        assert!(matches!(read_file(&folder.path().join("x")), Err(ExtractError::Read { .. })));
    }
}
