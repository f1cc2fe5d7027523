//! PDF: read in a process of its own, under limits.
//!
//! A PDF may claim a terabyte, point at itself or unpack without end, and no
//! reader survives all of that. So this program starts itself once more
//! ([`run_if_reader`]), gives the child the file on its standard input and bounds
//! its memory, its processor time and what it may say. Whatever goes wrong there
//! is an error here, in words.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The first and only argument of the reading process.
pub const READER_ARGUMENT: &str = "pdf-reader";
/// Memory of the reading process.
const MEMORY_BYTES: u64 = 1 << 30;
/// Processor time of the reading process.
const PROCESSOR_SECONDS: u64 = 20;
/// After this it is stopped whatever it does.
const TIME: Duration = Duration::from_secs(30);
/// Pages beyond this are left out.
const PAGES_MAX: usize = 2_000;
/// What the reading process may say.
const OUT_BYTES: u64 = super::TEXT_BYTES_MAX as u64 + 1;

/// Reads PDF files.
pub trait ReadPdf: Send + Sync {
    /// The text of a file, pages ending with a form feed; or why there is none.
    fn read(&self, bytes: &[u8]) -> Result<String, String>;
}

/// Reads in a process of its own.
#[derive(Debug, Clone)]
pub struct PdfProcess {
    /// This program.
    pub program: PathBuf,
}

impl ReadPdf for PdfProcess {
    fn read(&self, bytes: &[u8]) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .arg(READER_ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("its reader could not be started: {error}"))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            // A child that dies early closes its end: that is reported below.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
            let text = scope.spawn(move || taken(stdout, OUT_BYTES));
            let said = scope.spawn(move || taken(stderr, 2_000));
            let began = Instant::now();
            let status = loop {
                match child.try_wait() {
                    Ok(Some(status)) => break Ok(status),
                    Ok(None) if began.elapsed() < TIME => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    Ok(None) => {
                        let _ = child.kill();
                        let _ = child.wait();
                        break Err(format!("it was not done within {} seconds", TIME.as_secs()));
                    }
                    Err(error) => {
                        let _ = child.kill();
                        break Err(format!("its reader was lost: {error}"));
                    }
                }
            };
            let text = text.join().unwrap_or_default();
            let said = said.join().unwrap_or_default();
            if status?.success() {
                return String::from_utf8(text).map_err(|_| "its text is not readable".to_owned());
            }
            let said = String::from_utf8_lossy(&said);
            Err(match said.lines().next().and_then(|line| line.strip_prefix("pdf: ")) {
                Some(why) => why.to_owned(),
                None => "the file is damaged, or made to break its reader: it took more memory \
                         or time than a document needs"
                    .to_owned(),
            })
        })
    }
}

fn taken(from: Option<impl Read>, bytes: u64) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(from) = from {
        let _ = from.take(bytes).read_to_end(&mut all);
    }
    all
}

/// Becomes the reading process if this process was started as one, and then does
/// not return.
pub fn run_if_reader() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == READER_ARGUMENT) && args.next().is_none() {
        std::process::exit(match reader() {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("pdf: {why}");
                1
            }
        });
    }
}

fn reader() -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for (resource, most) in [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| format!("its reader could not be bounded: {error}"))?;
    }
    std::panic::set_hook(Box::new(|_| {}));
    let mut bytes = Vec::new();
    let input = std::io::stdin().take(super::FILE_BYTES_MAX + 1);
    { input }.read_to_end(&mut bytes).map_err(|error| format!("it did not arrive: {error}"))?;
    let mut text = text(&bytes)?;
    text.truncate(text.floor_char_boundary(OUT_BYTES as usize));
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("no one listens: {error}"))
}

/// The text of a PDF. Bounded in nothing: for the reading process, and for tests.
pub fn text(bytes: &[u8]) -> Result<String, String> {
    let document =
        lopdf::Document::load_mem(bytes).map_err(|error| format!("it is no whole PDF: {error}"))?;
    if document.is_encrypted() {
        return Err("it is locked with a password".to_owned());
    }
    let pages: Vec<u32> = document.get_pages().keys().copied().take(PAGES_MAX).collect();
    if pages.is_empty() {
        return Err("it has no pages".to_owned());
    }
    let mut all = String::new();
    for page in pages {
        // A page in a font that says nothing of its letters is left out.
        let found = document.extract_text(&[page]).unwrap_or_default();
        all.extend(found.chars().map(|c| if c == '\u{c}' { ' ' } else { c }));
        all.push('\u{c}');
        if all.len() > OUT_BYTES as usize {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lopdf::content::{Content, Operation};
    use lopdf::{Document, Object, Stream, dictionary};

    /// A document with one page per text.
    fn document(texts: &[&str]) -> Vec<u8> {
        let mut document = Document::with_version("1.5");
        let pages = document.new_object_id();
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier",
        });
        let fonts = dictionary! { "F1" => font };
        let resources = document.add_object(dictionary! { "Font" => fonts });
        let kids: Vec<Object> = texts
            .iter()
            .map(|text| {
                let operations = vec![
                    Operation::new("BT", vec![]),
                    Operation::new("Tf", vec!["F1".into(), 12.into()]),
                    Operation::new("Tj", vec![Object::string_literal(*text)]),
                    Operation::new("ET", vec![]),
                ];
                let content = Content { operations }.encode().unwrap();
                let content = document.add_object(Stream::new(dictionary! {}, content));
                let page = dictionary! {
                    "Type" => "Page", "Parent" => pages, "Contents" => content,
                    "Resources" => resources,
                };
                document.add_object(page).into()
            })
            .collect();
        let count = kids.len() as i64;
        let tree = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count };
        document.objects.insert(pages, Object::Dictionary(tree));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        document.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn pages_come_out_in_order() {
        let text = text(&document(&["The first page", "The second"])).unwrap();
        let pages: Vec<_> = text.split('\u{c}').map(str::trim).collect();
        assert_eq!(pages, ["The first page", "The second", ""]);
    }

    #[test]
    fn a_file_that_lies_is_an_error() {
        let whole = document(&["words"]);
        for bytes in [&b"%PDF-1.7"[..], b"", b"%PDF-1.7\n%%EOF", &whole[..whole.len() / 2]] {
            assert!(text(bytes).is_err());
        }
        // A child that is no reader, and one that is not there.
        for program in ["/bin/false", "/nonexistent/program"] {
            let error = PdfProcess { program: program.into() }.read(&whole).unwrap_err();
            assert!(error.contains("damaged") || error.contains("not be started"), "{error}");
        }
    }
}
