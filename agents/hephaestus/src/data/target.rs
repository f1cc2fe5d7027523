//! Where the target of a link leads, judged by its text alone.

/// Where a target leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To a file beside.
    Relative,
    /// To the web, or by any other scheme.
    Web,
    /// To a mailbox.
    Mail,
    /// To a place in the same file.
    Anchor,
}

impl Kind {
    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Relative => "relative",
            Self::Web => "web",
            Self::Mail => "mail",
            Self::Anchor => "anchor",
        }
    }

    /// The kind of a target.
    pub(crate) fn of(target: &str) -> Self {
        let scheme = target.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
            scheme.len() > 1
                && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
        });
        match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("mailto") => Self::Mail,
            Some(_) => Self::Web,
            None if target.starts_with("//") => Self::Web,
            None if target.starts_with('#') => Self::Anchor,
            None => Self::Relative,
        }
    }
}

/// The path inside the workspace that a relative target names, seen from a
/// file; `None` when it leaves the workspace.
pub(crate) fn resolve(file: &str, target: &str) -> Option<String> {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    join(file, &percent_decode(path))
}

/// The same, taking the target as it stands: some files have `#` or `%` in
/// their names.
pub(crate) fn resolve_raw(file: &str, target: &str) -> Option<String> {
    join(file, target)
}

fn join(file: &str, path: &str) -> Option<String> {
    let mut segments: Vec<&str> = match path.starts_with('/') {
        true => Vec::new(),
        false => file.split('/').collect(),
    };
    segments.pop();
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." {
            segments.pop()?;
        } else {
            segments.push(segment);
        }
    }
    Some(if segments.is_empty() { ".".to_owned() } else { segments.join("/") })
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_target() {
        for (target, kind) in [
            ("a.md", Kind::Relative),
            ("https://x", Kind::Web),
            ("//cdn/x", Kind::Web),
            ("mailto:a@b", Kind::Mail),
            ("#top", Kind::Anchor),
            ("a:b.md", Kind::Relative),
        ] {
            assert_eq!(Kind::of(target), kind, "{target}");
        }
    }

    #[test]
    fn targets_are_seen_from_their_file() {
        let check = |target: &str, expect: Option<&str>| {
            assert_eq!(resolve("docs/a/x.md", target).as_deref(), expect, "{target}");
        };
        check("y.md#part", Some("docs/a/y.md"));
        check("../b/my%20file.md?x", Some("docs/b/my file.md"));
        check("/top.md", Some("top.md"));
        check("../..", Some("."));
        check("../../../up.md", None);
        check("100%.md", Some("docs/a/100%.md"));
        assert_eq!(resolve_raw("x.md", "a#b.md").as_deref(), Some("a#b.md"));
    }
}
