//! Takes documents, and lines of an export, into the memory.

use super::memory_export::Line;
use crate::memory::{scope_of, unexpected};
use crate::{Alma, Error};
use charter::digest::Digest;
use charter::ids::{MemoryId, Millis, Principal};
use charter::label::{Label, Trust};
use charter::memory::{MemoryKind, Source};
use librarian::ask::{Document, Filed, Kept, Request as Ask, Response as Told};
use librarian::extract::{self, pdf::PdfProcess};
use librarian::keep::{self, Draft};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Lines that are given to the Librarian at a time.
const LINES: usize = 1_000;
/// Largest file of lines.
const LINES_BYTES_MAX: u64 = 256 << 20;
/// Files of one request.
const FILES_MAX: usize = 10_000;
/// Folders below folders.
const DEPTH_MAX: usize = 32;

/// What is to be taken in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Files and folders, absolute. A file `*.jsonl` holds memories, one JSON
    /// document with `name`, `text` and `at` in each line; all others are
    /// documents.
    pub paths: Vec<PathBuf>,
    /// Only for this folder; otherwise they concern the user wherever she is.
    #[serde(default)]
    pub workspace: Option<PathBuf>,
    /// The lines come from an export of one's own: what was the user's own words
    /// there is so here too. Without this nothing is.
    #[serde(default)]
    pub own: bool,
}

/// What became of it.
#[derive(Debug, Default, Serialize)]
pub struct Response {
    /// Passages and memories that are new.
    pub new: usize,
    /// Those that were known.
    pub known: usize,
    /// Passages that a document holds no more.
    pub ended: usize,
    /// Files that were read.
    pub files: usize,
    /// Files that were left out, or taken in part, and why.
    pub notes: Vec<Note>,
}

/// Something that was left out.
#[derive(Debug, Serialize)]
pub struct Note {
    /// The file.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Imports.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let scope = match &request.workspace {
        None => keep::USER.to_owned(),
        Some(folder) => scope_of(folder).ok_or_else(|| {
            Error::Usage(format!("the folder {} is not UTF-8 text", folder.display()))
        })?,
    };
    let mut response = Response::default();
    let mut files = Vec::new();
    for path in &request.paths {
        if !path.is_absolute() {
            return Err(Error::Usage(format!("{} is no absolute path", path.display())));
        }
        list(path, 0, &mut files, &mut response.notes);
    }
    // Her own record and keys are no documents.
    let home = alma.home.canonicalize().unwrap_or_else(|_| alma.home.clone());
    let (own, files): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.starts_with(&home) || file.starts_with(&alma.home));
    for file in own.iter().take(1) {
        response.note(file, "it lies in Alma's own data folder and is left out".to_owned());
    }
    if files.len() >= FILES_MAX {
        response.note(Path::new(""), format!("only the first {FILES_MAX} files were taken"));
    }
    for path in files {
        let lines = path.extension().is_some_and(|extension| extension == "jsonl");
        let taken = if lines {
            let own = request.own;
            let given = request.workspace.as_ref().map(|_| scope.as_str());
            import_lines(alma, principal, &path, given, own, &mut response).await
        } else {
            import_document(alma, principal, &path, &scope, &mut response).await
        };
        match taken {
            Ok(()) => response.files += 1,
            Err(Left::Out(reason)) => response.note(&path, reason),
            Err(Left::Failed(error)) => return Err(error),
        }
    }
    Ok(response)
}

/// Why a file was not taken.
enum Left {
    Out(String),
    Failed(Error),
}

impl From<Error> for Left {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Response {
    fn note(&mut self, path: &Path, reason: String) {
        self.notes.push(Note { path: path.display().to_string(), reason });
    }
}

/// Files below a path, in order of their names; hidden ones are left out.
fn list(path: &Path, depth: usize, files: &mut Vec<PathBuf>, notes: &mut Vec<Note>) {
    let mut left = |reason: String| {
        notes.push(Note { path: path.display().to_string(), reason });
    };
    if files.len() >= FILES_MAX {
        return;
    }
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return left(format!("it cannot be read: {error}")),
    };
    if found.is_symlink() && depth > 0 {
        return left("it is a link".to_owned());
    }
    if !path.is_dir() {
        return files.push(path.to_owned());
    }
    if depth >= DEPTH_MAX {
        return left("it lies too deep".to_owned());
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return left(format!("it cannot be read: {error}")),
    };
    let hidden = |entry: &PathBuf| {
        entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    let mut entries: Vec<PathBuf> =
        entries.take(FILES_MAX).filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.retain(|entry| !hidden(entry));
    entries.sort();
    for entry in entries {
        list(&entry, depth + 1, files, notes);
    }
}

async fn import_document(
    alma: &Alma,
    principal: &Principal,
    path: &Path,
    scope: &str,
    response: &mut Response,
) -> Result<(), Left> {
    let name = path.to_str().ok_or_else(|| Left::Out("its name is not UTF-8 text".to_owned()))?;
    let (of, changed) = (path.to_owned(), modified(path));
    let reading = tokio::task::spawn_blocking(move || {
        let reader = PdfProcess { program: PathBuf::from("/proc/self/exe") };
        let bytes = extract::read_file(&of)?;
        let text = extract::extract(&of, &bytes, &reader)?;
        Ok::<_, extract::ExtractError>((Digest::of(&bytes), text))
    });
    let (sha256, text) = match reading.await {
        Ok(Ok(read)) => read,
        Ok(Err(reason)) => return Err(Left::Out(reason.to_string())),
        Err(error) => return Err(Left::Out(error.to_string())),
    };
    let document = Document {
        path: name.to_owned(),
        sha256,
        text: text.text,
        scope: scope.to_owned(),
        at: changed.unwrap_or_else(|| alma.now()),
    };
    let ask = Ask::Document { tenant: principal.tenant.clone(), document };
    let Told::Filed(Filed { new, known, ended, whole }) = alma.librarian(ask).await? else {
        return Err(unexpected("take it in").into());
    };
    response.new += new;
    response.known += known;
    response.ended += ended;
    if text.cut || !whole {
        response.note(path, "it is too long: only its beginning was taken".to_owned());
    } else if new + known == 0 {
        response.note(path, "it holds nothing that could be kept".to_owned());
    }
    Ok(())
}

fn modified(path: &Path) -> Option<Millis> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}

async fn import_lines(
    alma: &Alma,
    principal: &Principal,
    path: &Path,
    scope: Option<&str>,
    own: bool,
    response: &mut Response,
) -> Result<(), Left> {
    let failed = |error: std::io::Error| Left::Out(format!("it cannot be read: {error}"));
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LINES_BYTES_MAX {
        return Err(Left::Out(format!(
            "it has {size} bytes, more than the {LINES_BYTES_MAX} that are taken at a time"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut drafts = Vec::new();
    let mut lowered = 0;
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match draft(line, scope, own, alma.now()) {
            Ok(taken) => {
                lowered += usize::from(taken.lowered);
                drafts.push((taken.memory, taken.draft));
            }
            Err(reason) => response.note(path, format!("line {}: {reason}", n + 1)),
        }
    }
    if lowered > 0 {
        response.note(
            path,
            format!(
                "{lowered} of them were the user's own words where they come from and are not \
                 taken as such, because anybody could have written this file; if it is your \
                 own export, import it with --own"
            ),
        );
    }
    for some in drafts.chunks(LINES) {
        let ask = Ask::Keep { tenant: principal.tenant.clone(), drafts: some.to_vec() };
        let Told::Kept { kept } = alma.librarian(ask).await? else {
            return Err(unexpected("take it in").into());
        };
        for kept in kept {
            match kept {
                Kept::New { .. } => response.new += 1,
                Kept::Known { .. } => response.known += 1,
                Kept::Refused { reason } => response.note(path, reason),
            }
        }
    }
    Ok(())
}

/// The memory of a line.
struct Taken {
    memory: MemoryId,
    draft: Draft,
    /// It is trusted less than it says of itself.
    lowered: bool,
}

/// The memory in a line. Its trust is never more than it was, and only what the
/// user vouches for is trusted.
fn draft(line: &str, scope: Option<&str>, own: bool, now: Millis) -> Result<Taken, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let is = match line.kind.as_deref() {
        Some("fact") => MemoryKind::Fact,
        Some("turn") | None => MemoryKind::Turn,
        Some("passage") => MemoryKind::Passage,
        Some("result") => MemoryKind::Result,
        Some("summary") => MemoryKind::Summary,
        Some("lesson") => MemoryKind::Lesson,
        Some(other) => return Err(format!("{other:?} is no kind of memory")),
    };
    let held = line.name.parse::<MemoryId>().ok();
    let source = Source::Import { name: line.name, origin: None };
    let at = line.at.unwrap_or(now);
    // A memory of an export keeps its name: taken in twice it is one.
    let memory = held.or_else(|| keep::name_of(&source, at)).ok_or("it has no name")?;
    let said = line.scope.as_deref().filter(|scope| {
        *scope == keep::USER || scope.strip_prefix("workspace:").is_some_and(|d| d.len() == 64)
    });
    let trusted = line.trust == Some(Trust::Trusted);
    let draft = Draft {
        label: if trusted && own { Label::TRUSTED } else { Label::UNTRUSTED },
        scope: scope.or(said).unwrap_or(keep::USER).to_owned(),
        valid_to: line.valid_to,
        origin: line.source,
        ..Draft::new(is, source, line.text, at)
    };
    Ok(Taken { memory, draft, lowered: trusted && !own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_memory_under_a_name_of_its_own() {
        let line = r#"{"name": "talk:1", "text": "Ada: tea", "at": 5}"#;
        let taken = draft(line, None, false, 9).unwrap();
        assert_eq!((taken.draft.text.as_str(), taken.draft.valid_from), ("Ada: tea", 5));
        assert_eq!(draft(line, None, false, 77).unwrap().memory, taken.memory);
        let other = r#"{"name": "talk:2", "text": "Ada: tea", "at": 5}"#;
        assert_ne!(draft(other, None, false, 9).unwrap().memory, taken.memory);
        assert!(draft(r#"{"name": "x", "text": "y", "kind": "dream"}"#, None, false, 9).is_err());
        assert!(draft("tea", None, false, 9).is_err());
    }

    #[test]
    fn an_import_raises_no_trust() {
        let check = |trust: &str, own: bool, expected: Label| {
            let line = format!(r#"{{"name": "k-0000000000000001", "text": "Ada: tea"{trust}}}"#);
            let taken = draft(&line, None, own, 9).unwrap();
            assert_eq!(taken.draft.label, expected, "{trust} {own}");
            assert_eq!(taken.memory.as_str(), "k-0000000000000001");
        };
        check("", false, Label::UNTRUSTED);
        check("", true, Label::UNTRUSTED);
        check(r#", "trust": "untrusted""#, true, Label::UNTRUSTED);
        check(r#", "trust": "trusted""#, false, Label::UNTRUSTED);
        check(r#", "trust": "trusted""#, true, Label::TRUSTED);
    }

    #[test]
    fn files_are_listed_in_order_and_hidden_ones_left() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        ["b/2.md", "a.txt", ".git/config", "b/.hidden", "b/1.md"]
            .iter()
            .for_each(|name| make(name));
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let (mut files, mut notes) = (Vec::new(), Vec::new());
        list(folder.path(), 0, &mut files, &mut notes);
        let names: Vec<_> = files
            .iter()
            .map(|f| f.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.txt", "b/1.md", "b/2.md"]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].path.ends_with("loop") && notes[0].reason.contains("link"));
    }
}
