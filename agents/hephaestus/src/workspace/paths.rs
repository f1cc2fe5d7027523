//! Names inside a workspace: relative, `/`-separated, without `..`.

use charter::tool::{ErrorCode, ToolError};

/// Longest path, in bytes.
const PATH_MAX: usize = 4_000;
/// Longest name, in bytes.
const NAME_MAX: usize = 255;

/// The path in its one normal form: no empty or `.` segments, no slash at the
/// end. The workspace itself is `.`. Absolute paths and `..` are refused even
/// where they would lead back inside: what a plan says must be what happens.
pub fn normal(path: &str) -> Result<String, ToolError> {
    let refuse = |code, why: &str| {
        let shown: String = path.chars().take(200).collect();
        Err(ToolError::new(code, format!("{shown:?} is no usable path: {why}"))
            .hint("name it relative to the workspace, for instance notes/today.md"))
    };
    if path.is_empty() {
        return refuse(ErrorCode::Arguments, "it is empty");
    }
    if path.contains('\0') {
        return refuse(ErrorCode::Arguments, "it holds a zero byte");
    }
    if path.len() > PATH_MAX {
        return refuse(ErrorCode::Arguments, "it is too long");
    }
    if path.starts_with('/') {
        return refuse(ErrorCode::Outside, "it is absolute");
    }
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." {
            return refuse(ErrorCode::Outside, "it goes up with ..");
        }
        if segment.len() > NAME_MAX {
            return refuse(ErrorCode::Arguments, "a name in it is longer than 255 bytes");
        }
        segments.push(segment);
    }
    Ok(if segments.is_empty() { ".".to_owned() } else { segments.join("/") })
}

/// Folder and name of a normal path; the folder of a top-level name is `.`.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

/// A name below a folder, both normal.
pub fn join(folder: &str, name: &str) -> String {
    if folder == "." { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The path with a number before its extension: `a/report-2.md`.
pub fn numbered(path: &str, number: u32) -> String {
    let (folder, name) = split(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => {
            join(folder, &format!("{stem}-{number}.{extension}"))
        }
        _ => join(folder, &format!("{name}-{number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Result<&str, ErrorCode>) {
        let found = normal(path);
        assert_eq!(found.as_deref().map_err(|error| error.code), expect, "{path:?}");
    }

    #[test]
    fn paths_have_one_form() {
        check("a/b.md", Ok("a/b.md"));
        check("./a//b/", Ok("a/b"));
        check(".", Ok("."));
        check("-rf", Ok("-rf"));
        check("a\nb", Ok("a\nb"));
        check("...", Ok("..."));
    }

    #[test]
    fn what_could_leave_is_refused() {
        check("", Err(ErrorCode::Arguments));
        check("a\0b", Err(ErrorCode::Arguments));
        check("/etc/passwd", Err(ErrorCode::Outside));
        check("a/../b", Err(ErrorCode::Outside));
        check("..", Err(ErrorCode::Outside));
        check(&"x".repeat(300), Err(ErrorCode::Arguments));
    }

    proptest::proptest! {
        #[test]
        fn a_normal_path_stays_inside_and_normal(path in "[a./ \\n-]{0,12}") {
            if let Ok(normal) = super::normal(&path) {
                assert_eq!(super::normal(&normal).unwrap(), normal);
                assert!(!normal.starts_with('/'));
                assert!(normal == "." || normal.split('/').all(|s| !matches!(s, "" | "." | "..")));
            }
        }
    }

    #[test]
    fn a_path_splits_and_joins() {
        assert_eq!(split("a/b/c"), ("a/b", "c"));
        assert_eq!(split("c"), (".", "c"));
        assert_eq!(join(".", "c"), "c");
        assert_eq!(join("a/b", "c"), "a/b/c");
    }
}
