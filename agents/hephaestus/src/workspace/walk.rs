//! Which files a `files` argument names.

use super::glob::{Pattern, is_glob, is_left_out};
use super::{Kind, Meta, SEEN_ANY, SEEN_SECRET, Workspace, looks_secret, paths};
use crate::args::Files;
use crate::error::{os, too_large};
use charter::ids::Millis;
use charter::tool::{ErrorCode, ToolError};
use rustix::fs::{self, AtFlags, Dir};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

/// Most entries that one walk looks at; beyond that it is an error, because a
/// walk that silently stops makes every total wrong.
pub const WALK_ENTRIES_MAX: usize = 100_000;

/// Deepest folder that a walk enters.
const DEPTH_MAX: usize = 128;

/// A file or folder that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedFile {
    /// Relative to the workspace.
    pub path: String,
    /// Size in bytes; 0 for folders.
    pub bytes: u64,
    /// When it was modified last.
    pub modified: Millis,
}

/// What was found, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// Regular files.
    pub files: Vec<WalkedFile>,
    /// Folders.
    pub folders: Vec<WalkedFile>,
    /// Files that fit but look like secrets, and were neither asked for by name
    /// nor permitted.
    pub skipped_secrets: u64,
    /// Names that are not UTF-8, which nothing here can say.
    pub skipped_names: u64,
    /// Links, devices, pipes and sockets that fit; links are not followed.
    pub skipped_others: u64,
}

#[derive(Default)]
struct Found {
    files: BTreeMap<String, Meta>,
    folders: BTreeMap<String, Meta>,
    secrets: BTreeSet<String>,
    others: BTreeSet<String>,
    names: u64,
    visited: usize,
}

impl Workspace {
    /// Resolves a `files` argument. Hidden files, what programs made (`target`,
    /// `node_modules`, …) and what looks like a secret is left out unless it is
    /// asked for by name; secrets only if they are permitted besides. A path
    /// that is no glob must exist.
    pub fn walk(&self, files: &Files) -> Result<Walked, ToolError> {
        let mut found = Found::default();
        let mut by_base: BTreeMap<String, Vec<Pattern>> = BTreeMap::new();
        for entry in files.patterns() {
            let entry = paths::normal(entry)?;
            match self.meta(&entry)? {
                Some(meta) if meta.kind == Kind::Folder => {
                    let glob = paths::join(&globset::escape(&entry), "**");
                    let glob = if entry == "." { "**".to_owned() } else { glob };
                    by_base.entry(entry).or_default().push(Pattern::new(&glob)?);
                }
                Some(meta) => self.one(entry, meta, &mut found),
                None if is_glob(&entry) => {
                    let pattern = Pattern::new(&entry)?;
                    let base = pattern.base();
                    by_base.entry(base).or_default().push(pattern);
                }
                None => return Err(os("find", &entry, Errno::NOENT)),
            }
        }
        for (base, patterns) in &by_base {
            self.below(base, patterns, &mut found)?;
        }
        self.saw(SEEN_ANY);
        let list = |entries: BTreeMap<String, Meta>| {
            entries
                .into_iter()
                .map(|(path, meta)| WalkedFile {
                    path,
                    bytes: if meta.kind == Kind::File { meta.bytes } else { 0 },
                    modified: meta.modified,
                })
                .collect()
        };
        found.secrets.retain(|path| !found.files.contains_key(path));
        Ok(Walked {
            files: list(found.files),
            folders: list(found.folders),
            skipped_secrets: found.secrets.len() as u64,
            skipped_names: found.names,
            skipped_others: found.others.len() as u64,
        })
    }

    /// A file that is named in full.
    fn one(&self, path: String, meta: Meta, found: &mut Found) {
        if meta.kind != Kind::File {
            found.others.insert(path);
        } else if !looks_secret(&path) {
            found.files.insert(path, meta);
        } else if self.secrets_allowed() {
            self.saw(SEEN_SECRET);
            found.files.insert(path, meta);
        } else {
            found.secrets.insert(path);
        }
    }

    fn below(&self, base: &str, patterns: &[Pattern], found: &mut Found) -> Result<(), ToolError> {
        let mut folders = vec![base.to_owned()];
        while let Some(folder) = folders.pop() {
            self.still_wanted()?;
            let opened = match self.folder(&folder) {
                Ok(opened) => opened,
                // It went away while we walked.
                Err(Errno::NOENT | Errno::NOTDIR) if folder != base => continue,
                Err(errno) => return Err(os("open the folder", &folder, errno)),
            };
            let entries =
                Dir::read_from(&opened).map_err(|errno| os("list the folder", &folder, errno))?;
            for entry in entries {
                let entry = entry.map_err(|errno| os("list the folder", &folder, errno))?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                found.visited += 1;
                if found.visited > WALK_ENTRIES_MAX {
                    return Err(too_large(format!(
                        "there are more than {WALK_ENTRIES_MAX} files and folders below {base:?}"
                    ))
                    .hint("name a smaller folder"));
                }
                let Ok(text) = name.to_str() else {
                    found.names += 1;
                    continue;
                };
                let meta = match fs::statat(opened.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => Meta::of(&stat),
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(os("look at", &paths::join(&folder, text), errno)),
                };
                let path = paths::join(&folder, text);
                if self.visit(&path, meta, base, patterns, found) {
                    if path.split('/').count() > DEPTH_MAX {
                        return Err(ToolError::new(
                            ErrorCode::TooLarge,
                            format!("{path:?} lies more than {DEPTH_MAX} folders deep"),
                        )
                        .hint("name a smaller folder"));
                    }
                    folders.push(path);
                }
            }
        }
        Ok(())
    }

    /// Sorts one entry in; whether to enter it.
    fn visit(
        &self,
        path: &str,
        meta: Meta,
        base: &str,
        patterns: &[Pattern],
        found: &mut Found,
    ) -> bool {
        let folder = meta.kind == Kind::Folder;
        // What lies above the base was named in full.
        let inner = if base == "." { path } else { path.strip_prefix(base).unwrap_or(path) };
        let (above, name) = paths::split(inner);
        let asked = |pattern: &Pattern| {
            (!is_left_out(name, folder) || pattern.asks_for(name))
                && above
                    .split('/')
                    .filter(|segment| *segment != ".")
                    .all(|segment| !is_left_out(segment, true) || pattern.asks_for(segment))
        };
        if folder {
            let enter = patterns.iter().any(asked);
            if enter && patterns.iter().any(|pattern| asked(pattern) && pattern.matches(path)) {
                found.folders.insert(path.to_owned(), meta);
            }
            return enter;
        }
        let secret = looks_secret(path);
        let (mut fits, mut allowed) = (false, false);
        for pattern in patterns.iter().filter(|pattern| pattern.matches(path)) {
            let asked = asked(pattern);
            fits |= asked || secret;
            allowed |= asked && (!secret || self.secrets_allowed() && pattern.asks_for_secrets());
        }
        match (fits, allowed) {
            (false, _) => {}
            (true, _) if meta.kind == Kind::Other => {
                found.others.insert(path.to_owned());
            }
            (true, true) => {
                if secret {
                    self.saw(SEEN_SECRET);
                }
                found.files.insert(path.to_owned(), meta);
            }
            (true, false) if secret => {
                found.secrets.insert(path.to_owned());
            }
            (true, false) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn desk() -> Desk {
        let desk = Desk::new(&[
            ("a.md", "1"),
            ("notes/b.md", "22"),
            ("notes/deep/c.MD", "333"),
            ("notes/[x].md", "4"),
            (".github/w.yml", ""),
            (".env", ""),
            ("keys/server.pem", ""),
            ("target/x.md", ""),
            ("notes/node_modules/y.md", ""),
            ("notes/-d\ne.md", ""),
        ]);
        symlink("/etc/passwd", desk.at("notes/out.md")).unwrap();
        symlink(desk.at("notes"), desk.at("loop")).unwrap();
        desk
    }

    fn check(pattern: &str, expect: &[&str]) {
        let desk = desk();
        let walked = desk.workspace().walk(&Files::one(pattern)).unwrap();
        let paths: Vec<&str> = walked.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, expect, "{pattern}");
    }

    #[test]
    fn patterns_name_files() {
        check("*.md", &["a.md"]);
        check(
            "**/*.md",
            &["a.md", "notes/-d\ne.md", "notes/[x].md", "notes/b.md", "notes/deep/c.MD"],
        );
        check("notes/deep", &["notes/deep/c.MD"]);
        check("./notes/deep/", &["notes/deep/c.MD"]);
        check("notes/[x].md", &["notes/[x].md"]);
        check("notes/b.md", &["notes/b.md"]);
        check("*.none", &[]);
    }

    #[test]
    fn hidden_and_made_files_are_asked_for_by_name() {
        check(".github/**", &[".github/w.yml"]);
        check(".github", &[".github/w.yml"]);
        check("target/*", &["target/x.md"]);
        check("**/node_modules/**", &["notes/node_modules/y.md"]);
        check("**/*.yml", &[]);
    }

    #[test]
    fn secrets_need_both_a_name_and_permission() {
        let desk = desk();
        let found = |pattern: &str, allowed: bool| {
            let workspace = desk.workspace().secrets(allowed);
            let walked = workspace.walk(&Files::one(pattern)).unwrap();
            (walked.files.len(), walked.skipped_secrets)
        };
        assert_eq!(found(".env", false), (0, 1));
        assert_eq!(found(".env", true), (1, 0));
        assert_eq!(found("**/*.pem", false), (0, 1));
        assert_eq!(found("**/*.pem", true), (1, 0));
        assert_eq!(found("keys", true), (0, 1));
        assert_eq!(found("**", true).1, 2);
    }

    #[test]
    fn links_are_counted_and_not_followed() {
        let walked = desk().workspace().walk(&Files::one(".")).unwrap();
        assert_eq!(walked.skipped_others, 2);
        assert!(walked.files.iter().all(|file| !file.path.starts_with("loop")));
        let error = desk().workspace().walk(&Files::one("loop/*.md")).unwrap_err();
        assert_eq!(error.code, ErrorCode::Outside);
    }

    #[test]
    fn names_that_nobody_can_write_are_counted() {
        let desk = Desk::new(&[("a.md", "")]);
        let name = std::ffi::OsStr::from_bytes(b"caf\xE9.md");
        std::fs::write(desk.path().join(name), "x").unwrap();
        let walked = desk.workspace().walk(&Files::one("*")).unwrap();
        assert_eq!((walked.files.len(), walked.skipped_names), (1, 1));
    }

    #[test]
    fn a_walk_stops_when_asked_to() {
        let desk = desk();
        let cancel = charter::tool::Cancel::default();
        cancel.cancel();
        let error = desk.workspace().cancel(&cancel).walk(&Files::one(".")).unwrap_err();
        assert_eq!(error.code, ErrorCode::Cancelled);
    }
}
