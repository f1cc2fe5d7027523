//! One entry of a `files` argument, ready to be matched.

use super::{looks_secret, paths};
use crate::error::arguments;
use charter::tool::ToolError;
use globset::{GlobBuilder, GlobMatcher};

/// Folders that hold what programs made, not what people wrote.
const MADE: [&str; 5] = ["target", "node_modules", "__pycache__", "venv", "site-packages"];

/// Whether a name is left out of a walk unless it is asked for.
pub(crate) fn is_left_out(name: &str, folder: bool) -> bool {
    name.starts_with('.') || folder && MADE.contains(&name)
}

fn has_meta(segment: &str) -> bool {
    segment.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// A glob, and what it says explicitly.
#[derive(Debug)]
pub(super) struct Pattern {
    exact: GlobMatcher,
    /// With the extension in lower case, for paths treated the same.
    lowered: GlobMatcher,
    segments: Vec<String>,
}

impl Pattern {
    /// Reads a glob in normal form. `*` stays within a name, `**` does not.
    pub(super) fn new(glob: &str) -> Result<Self, ToolError> {
        let compile = |glob: &str| {
            GlobBuilder::new(glob)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|error| {
                    let shown: String = glob.chars().take(200).collect();
                    arguments(format!("{shown:?} is no pattern: {}", error.kind()))
                        .hint("for instance notes/**/*.md")
                })
        };
        Ok(Self {
            exact: compile(glob)?,
            lowered: compile(&lower_extension(glob))?,
            segments: glob.split('/').map(str::to_owned).collect(),
        })
    }

    /// The folder above which nothing can match.
    pub(super) fn base(&self) -> String {
        let literal: Vec<&str> = self
            .segments
            .iter()
            .take(self.segments.len().saturating_sub(1))
            .map(String::as_str)
            .take_while(|segment| !has_meta(segment))
            .collect();
        if literal.is_empty() { ".".to_owned() } else { literal.join("/") }
    }

    /// Whether the path fits, hidden or not.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.exact.is_match(path) || self.lowered.is_match(lower_extension(path))
    }

    /// Whether a name that walks leave out is asked for by a segment that says so.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| {
            if name.starts_with('.') && segment.starts_with('.') {
                GlobBuilder::new(segment)
                    .build()
                    .is_ok_and(|glob| glob.compile_matcher().is_match(name))
            } else {
                segment == name
            }
        })
    }

    /// Whether it names something that looks like a secret.
    pub(super) fn asks_for_secrets(&self) -> bool {
        looks_secret(&self.segments.join("/"))
    }
}

/// The path or glob with everything after the last dot of its last segment in
/// lower case, so that `*.jpg` finds `A.JPG`.
fn lower_extension(path: &str) -> String {
    let (_, name) = paths::split(path);
    match name.rfind('.') {
        Some(dot) => {
            let at = path.len() - name.len() + dot;
            let (head, extension) = path.split_at(at);
            format!("{head}{}", extension.to_lowercase())
        }
        None => path.to_owned(),
    }
}

/// Whether an entry of a `files` argument is a glob.
pub(super) fn is_glob(entry: &str) -> bool {
    has_meta(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, path: &str, expect: bool) {
        let pattern = Pattern::new(glob).unwrap();
        assert_eq!(pattern.matches(path), expect, "{glob} on {path}");
    }

    #[test]
    fn stars_stay_within_a_name() {
        check("*.md", "a.md", true);
        check("*.md", "notes/a.md", false);
        check("**/*.md", "a.md", true);
        check("**/*.md", "x/y/a.md", true);
        check("notes/**", "notes/x/y", true);
        check("notes/*.{md,txt}", "notes/a.txt", true);
    }

    #[test]
    fn the_case_of_an_extension_does_not_matter() {
        check("*.jpg", "A.JPG", true);
        check("*.JPG", "a.jpg", true);
        check("*.jpg", "a.png", false);
        check("A*.md", "abc.md", false);
        check("*.{JPG,png}", "x.jpg", true);
    }

    #[test]
    fn the_base_is_what_is_literal() {
        assert_eq!(Pattern::new("a/b/*.md").unwrap().base(), "a/b");
        assert_eq!(Pattern::new("**/*.md").unwrap().base(), ".");
        assert_eq!(Pattern::new("a/x?/c.md").unwrap().base(), "a");
    }

    #[test]
    fn hidden_names_are_asked_for_by_name() {
        assert!(Pattern::new(".github/**").unwrap().asks_for(".github"));
        assert!(Pattern::new("**/.env*").unwrap().asks_for(".env.local"));
        assert!(!Pattern::new("**").unwrap().asks_for(".env"));
        assert!(!Pattern::new("**/*").unwrap().asks_for("target"));
        assert!(Pattern::new("target/**").unwrap().asks_for("target"));
        assert!(!Pattern::new(".github/**").unwrap().asks_for(".git"));
    }

    #[test]
    fn a_broken_glob_is_an_error() {
        assert!(Pattern::new("a[").is_err());
        assert!(Pattern::new("{a").is_err());
    }
}
