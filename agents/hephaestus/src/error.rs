//! Errors of the operating system in the words of [`ToolError`]: what was tried,
//! on what, why it failed, what to do.

use charter::tool::{ErrorCode, ToolError};
use rustix::io::Errno;

/// The failure of an operation on a path. `operation` is a verb, for instance
/// `"read"`; the path is quoted, so that a hostile name cannot pretend to be
/// part of the message.
pub fn os(operation: &str, path: &str, errno: Errno) -> ToolError {
    let (code, hint) = match errno {
        Errno::NOENT | Errno::NOTDIR => {
            (ErrorCode::NotFound, Some("check the name; names are relative to the workspace"))
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => (
            ErrorCode::Permission,
            Some("give yourself permission on the file and its folder, then try again"),
        ),
        Errno::EXIST | Errno::NOTEMPTY => (ErrorCode::Taken, Some("choose a name that is free")),
        Errno::XDEV | Errno::LOOP => (
            ErrorCode::Outside,
            Some("the name leads through a link or out of the workspace; name the file itself"),
        ),
        Errno::NOSPC | Errno::DQUOT => {
            (ErrorCode::DiskFull, Some("free some space on the disk, then try again"))
        }
        Errno::FBIG | Errno::OVERFLOW => (ErrorCode::TooLarge, None),
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => {
            (ErrorCode::Arguments, Some("choose a shorter or plainer name"))
        }
        Errno::ISDIR => (ErrorCode::Arguments, Some("this is a folder; name a file")),
        Errno::AGAIN | Errno::INTR | Errno::BUSY | Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
            (ErrorCode::Transient, None)
        }
        _ => (ErrorCode::Permanent, None),
    };
    let error = ToolError::new(code, format!("could not {operation} {path:?}: {errno}"));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The same for errors of the standard library.
pub fn io(operation: &str, path: &str, error: &std::io::Error) -> ToolError {
    match Errno::from_io_error(error) {
        Some(errno) => os(operation, path, errno),
        None => {
            ToolError::new(ErrorCode::Permanent, format!("could not {operation} {path:?}: {error}"))
        }
    }
}

/// An error that the arguments are to blame for.
pub fn arguments(message: impl Into<String>) -> ToolError {
    ToolError::new(ErrorCode::Arguments, message)
}

/// A file that cannot be read as what it should be.
pub fn malformed(message: impl Into<String>) -> ToolError {
    ToolError::new(ErrorCode::Malformed, message)
}

/// Something beyond a bound.
pub fn too_large(message: impl Into<String>) -> ToolError {
    ToolError::new(ErrorCode::TooLarge, message)
}

/// What is neither a file nor a folder.
pub(crate) fn never_touched(path: &str) -> ToolError {
    ToolError::new(
        ErrorCode::Permission,
        format!("{path:?} is a link, device or socket, and those are never touched"),
    )
    .hint("name the file itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_write_into_the_message() {
        let error = os("read", "a\nok: done", Errno::NOENT);
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        assert_eq!(os("write", "a", Errno::NOSPC).code, ErrorCode::DiskFull);
        assert_eq!(os("write", "a", Errno::DQUOT).code, ErrorCode::DiskFull);
    }
}
