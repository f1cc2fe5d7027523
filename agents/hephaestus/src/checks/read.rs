//! `read`: the told text is the file's, byte for byte once encoded again.

use super::landed::path;
use super::{Finding, equal, field, verdict, wrong};
use crate::workspace::{TEXT_MAX, Workspace};
use charter::check::{Subject, Verdict};
use charter::tool::ErrorCode;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("read", "the text is the whole text of the file", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let path = path(subject, "path")?;
    let on_disk = match workspace.read(&path, TEXT_MAX) {
        Err(error) if error.code == ErrorCode::NotFound => return wrong(error.message),
        other => other?,
    };
    let Some(text) = field(&subject.output, "text")?.as_str() else {
        return wrong("the told text is no text");
    };
    let wide = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
        mark.into_iter().chain(text.encode_utf16().flat_map(unit)).collect()
    };
    let encoded: Vec<u8> = match on_disk.as_slice() {
        [0xFF, 0xFE, ..] => wide([0xFF, 0xFE], u16::to_le_bytes),
        [0xFE, 0xFF, ..] => wide([0xFE, 0xFF], u16::to_be_bytes),
        [0xEF, 0xBB, 0xBF, ..] => [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat(),
        _ => text.as_bytes().to_vec(),
    };
    if encoded != on_disk {
        return wrong(format!("the told text is not what {path:?} holds"));
    }
    let ends = text.matches('\n').count();
    let open = usize::from(!text.is_empty() && !text.ends_with('\n'));
    equal(&subject.output, "path", path.as_str())?;
    equal(&subject.output, "bytes", on_disk.len())?;
    equal(&subject.output, "lines", ends + open)?;
    Ok(format!("{path:?}: all {} bytes are equal", on_disk.len()))
}
