//! Archives: zip, and tar plain or compressed. Reading refuses everything that
//! could land outside the folder it is unpacked into; writing gives the same
//! bytes for the same files.

use crate::error::{io, malformed, too_large};
use crate::tool::PAYLOAD_MAX;
use crate::workspace::{Reading, Workspace, paths};
use charter::tool::{ErrorCode, ToolError};
use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};

/// Most entries of one archive.
pub(crate) const MEMBERS_MAX: usize = 10_000;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    Tar,
    TarGz,
}

impl Kind {
    /// The kind by the ending of the name.
    pub(crate) fn of(path: &str) -> Result<Self, ToolError> {
        let lower = path.to_lowercase();
        if lower.ends_with(".zip") {
            Ok(Self::Zip)
        } else if lower.ends_with(".tar") {
            Ok(Self::Tar)
        } else if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
            Ok(Self::TarGz)
        } else {
            Err(ToolError::new(
                ErrorCode::Arguments,
                format!("{path:?} is named like no archive that is known"),
            )
            .hint("known are .zip, .tar, .tar.gz and .tgz"))
        }
    }
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name, in normal form.
    pub(crate) path: String,
    /// Whether it may be run.
    pub(crate) executable: bool,
}

type Show<'a> = dyn FnMut(Member, &mut dyn Read) -> Result<(), ToolError> + 'a;

/// Shows every file of an archive. Folders are passed over; anything else, and
/// any name that is absolute, goes up or comes twice, is an error.
pub(crate) fn each_member(
    workspace: &Workspace,
    path: &str,
    show: &mut Show<'_>,
) -> Result<(), ToolError> {
    let kind = Kind::of(path)?;
    let file = workspace.open_file(path)?;
    let mut names = Names { archive: path, seen: BTreeSet::new(), count: 0 };
    match kind {
        Kind::Zip => each_of_zip(workspace, file, &mut names, show),
        Kind::Tar => each_of_tar(workspace, &mut tar::Archive::new(file), &mut names, show),
        Kind::TarGz => {
            let unzipped = flate2::read::MultiGzDecoder::new(file);
            each_of_tar(workspace, &mut tar::Archive::new(unzipped), &mut names, show)
        }
    }
}

/// The error of an archive that cannot be read.
pub(crate) fn damaged(archive: &str, why: impl std::fmt::Display) -> ToolError {
    malformed(format!("{archive:?} cannot be read as an archive: {why}"))
        .hint("fetch or pack the archive again")
}

struct Names<'a> {
    archive: &'a str,
    seen: BTreeSet<String>,
    count: usize,
}

impl Names<'_> {
    fn counted(&mut self) -> Result<(), ToolError> {
        self.count += 1;
        if self.count > MEMBERS_MAX {
            return Err(too_large(format!(
                "{:?} holds more than {MEMBERS_MAX} entries",
                self.archive
            )));
        }
        Ok(())
    }

    /// The name in normal form, if it may be used.
    fn usable(&mut self, name: &str) -> Result<String, ToolError> {
        let refuse = |code, why: String| {
            ToolError::new(code, format!("{:?} is refused: {why}", self.archive))
                .hint("the archive may be hostile; nothing was unpacked")
        };
        let normal = paths::normal(name).map_err(|error| refuse(error.code, error.message))?;
        if normal == "." || name.contains('\\') {
            return Err(refuse(ErrorCode::Outside, format!("{name:?} is no plain name of a file")));
        }
        if !self.seen.insert(normal.clone()) {
            return Err(refuse(ErrorCode::Malformed, format!("{name:?} comes twice")));
        }
        Ok(normal)
    }

    fn no_file(&self, name: &str) -> ToolError {
        ToolError::new(
            ErrorCode::Outside,
            format!("{:?} is refused: {name:?} is a link or device, not a file", self.archive),
        )
        .hint("the archive may be hostile; nothing was unpacked")
    }
}

fn each_of_zip(
    workspace: &Workspace,
    file: Reading,
    names: &mut Names<'_>,
    show: &mut Show<'_>,
) -> Result<(), ToolError> {
    let archive = names.archive;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| damaged(archive, error))?;
    for i in 0..zip.len() {
        workspace.still_wanted()?;
        names.counted()?;
        let mut member = zip.by_index(i).map_err(|error| damaged(archive, error))?;
        let name = member.name().map_err(|error| damaged(archive, error))?.into_owned();
        if member.is_dir() {
            continue;
        }
        if member.encrypted() {
            return Err(damaged(archive, format!("{name:?} is encrypted")));
        }
        let mode = member.unix_mode().unwrap_or(0o100_644);
        // Zeros in the type bits: the archive comes from a system without them.
        if !member.is_file() || !matches!(mode & 0o170_000, 0 | 0o100_000) {
            return Err(names.no_file(&name));
        }
        let path = names.usable(&name)?;
        show(Member { path, executable: mode & 0o111 != 0 }, &mut member)?;
    }
    Ok(())
}

fn each_of_tar<R: Read>(
    workspace: &Workspace,
    tar: &mut tar::Archive<R>,
    names: &mut Names<'_>,
    show: &mut Show<'_>,
) -> Result<(), ToolError> {
    use tar::EntryType;
    let archive = names.archive;
    for member in tar.entries().map_err(|error| damaged(archive, error))? {
        workspace.still_wanted()?;
        names.counted()?;
        let mut member = member.map_err(|error| damaged(archive, error))?;
        let name = String::from_utf8(member.path_bytes().into_owned())
            .map_err(|_| damaged(archive, "a name in it is not UTF-8"))?;
        match member.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {}
            _ => return Err(names.no_file(&name)),
        }
        let mode = member.header().mode().map_err(|error| damaged(archive, error))?;
        let path = names.usable(&name)?;
        show(Member { path, executable: mode & 0o111 != 0 }, &mut member)?;
    }
    Ok(())
}

/// Bytes of a member, at most `max`.
pub(crate) fn member_bytes(
    archive: &str,
    member: &Member,
    from: &mut dyn Read,
    max: u64,
) -> Result<Vec<u8>, ToolError> {
    let mut bytes = Vec::new();
    from.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(archive, format!("{:?}: {error}", member.path)))?;
    if bytes.len() as u64 > max {
        return Err(too_large(format!(
            "unpacked, {archive:?} has more than the {PAYLOAD_MAX} bytes that one step may write"
        ))
        .hint("unpack it by hand, or split it"));
    }
    Ok(bytes)
}

/// The files as an archive in memory. `files` come in the order in which they
/// stand in it.
pub(crate) fn pack(
    workspace: &Workspace,
    kind: Kind,
    to: &str,
    files: &[Member],
) -> Result<Vec<u8>, ToolError> {
    match kind {
        Kind::Zip => pack_zip(workspace, to, files),
        Kind::Tar => pack_tar(workspace, to, files, Vec::new()),
        Kind::TarGz => {
            // No name and no time: the same files give the same bytes.
            let zipped =
                flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default());
            pack_tar(workspace, to, files, zipped)?.finish().map_err(|error| io("pack", to, &error))
        }
    }
}

fn fits(to: &str, bytes: usize) -> Result<(), ToolError> {
    if bytes > PAYLOAD_MAX {
        return Err(too_large(format!(
            "{to:?} would have more than the {PAYLOAD_MAX} bytes that one step may write"
        ))
        .hint("pack fewer files"));
    }
    Ok(())
}

/// Where packed bytes gather, so that their number is known while packing.
trait Gather: Write {
    fn gathered(&self) -> usize;
}

impl Gather for Vec<u8> {
    fn gathered(&self) -> usize {
        self.len()
    }
}

impl Gather for flate2::write::GzEncoder<Vec<u8>> {
    fn gathered(&self) -> usize {
        self.get_ref().len()
    }
}

/// Copies a file in, watching the bound.
fn copy(
    workspace: &Workspace,
    path: &str,
    to: &str,
    out: &mut dyn FnMut(&[u8]) -> Result<usize, ToolError>,
) -> Result<(), ToolError> {
    let mut file = workspace.open_file(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        workspace.still_wanted()?;
        let n = file.read(&mut buffer).map_err(|error| io("read", path, &error))?;
        if n == 0 {
            return Ok(());
        }
        fits(to, out(buffer.get(..n).unwrap_or_default())?)?;
    }
}

fn pack_zip(workspace: &Workspace, to: &str, files: &[Member]) -> Result<Vec<u8>, ToolError> {
    let failed = |error: zip::result::ZipError| {
        ToolError::new(ErrorCode::Permanent, format!("could not pack {to:?}: {error}"))
    };
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for member in files {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(if member.executable { 0o755 } else { 0o644 });
        zip.start_file(&member.path, options).map_err(failed)?;
        copy(workspace, &member.path, to, &mut |bytes| {
            zip.write_all(bytes).map_err(|error| io("pack", &member.path, &error))?;
            Ok(zip.get_ref().map_or(0, |out| out.get_ref().len()))
        })?;
    }
    let bytes = zip.finish().map_err(failed)?.into_inner();
    fits(to, bytes.len())?;
    Ok(bytes)
}

fn pack_tar<W: Gather>(
    workspace: &Workspace,
    to: &str,
    files: &[Member],
    out: W,
) -> Result<W, ToolError> {
    let mut tar = tar::Builder::new(out);
    for member in files {
        workspace.still_wanted()?;
        let file = workspace.open_file(&member.path)?;
        let size = file.size().map_err(|error| io("look at", &member.path, &error))?;
        if size > 512 << 20 {
            return Err(too_large(format!("{:?} has {size} bytes", member.path))
                .hint("files of more than 512 MiB are not packed"));
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(if member.executable { 0o755 } else { 0o644 });
        header.set_size(size);
        header.set_mtime(0);
        let mut exact = Exact { from: file, left: size };
        tar.append_data(&mut header, &member.path, &mut exact)
            .map_err(|error| io("pack", &member.path, &error))?;
        if exact.left > 0 {
            return Err(ToolError::new(
                ErrorCode::ChangedSince,
                format!("{:?} became shorter while it was packed", member.path),
            ));
        }
        fits(to, tar.get_ref().gathered())?;
    }
    let out = tar.into_inner().map_err(|error| io("pack", to, &error))?;
    fits(to, out.gathered())?;
    Ok(out)
}

/// Exactly as many bytes as a header promised, however the file grows meanwhile.
struct Exact {
    from: Reading,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}
