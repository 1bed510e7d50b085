//! The rejected lines of a run, in one NDJSON file. `ingest` accepts the file again after the lines are corrected.
//!
//! ```text
//! <rejects_dir>/rejected-20261120T083000Z-1.ndjson      the second (UTC) in which the run began, and a unique number
//! ```
//!
//! At most `ingest.rejects_max` lines of an input are kept. A line is not kept again while a file of an
//! earlier run has it. So a file that is read daily, or a sender that repeats, cannot fill the disk. Files
//! are deleted after `ingest.rejects_days`. For the inbox there is no limit: every rejected row is kept.
//!
//! The first reject creates the file. Only its owner can read it (mode 0600), because lines name viewers.
//! [`RejectedLine`] describes the format of a line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::door::Door;
use super::error::IngestError;
use super::options::IngestOptions;
use super::portion::{Reject, kind_of};
use crate::buffer::{Buffer, RejectDigest};
use crate::config::IngestConfig;
use crate::event::Instant;
use crate::readers::RejectedLine;
use crate::readers::memory::Keyring;
use crate::whole_file::{self, Readers};

/// How many runs that begin in the same second can each have a file of rejects.
const FILES_PER_SECOND_MAX: u32 = 10_000;
/// The start and the end of the names of these files.
const FILE_NAME: (&str, &str) = ("rejected-", ".ndjson");

/// The file of rejects of one run; created with the first reject.
pub(super) struct Rejects {
    config: IngestConfig,
    began_at: Instant,
    file: Option<OpenFile>,
}

struct OpenFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

/// Tells if the lines of an input can be read a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Again {
    /// For the inbox: a row is deleted once its reject is on disk, so the rejects have the only copy.
    #[default]
    Never,
    /// For HTTP and pipes: a sender may send the lines again, but passbridge cannot ask for them.
    Sent,
    /// For a file: if this run is killed, the next run can read the file again.
    Read,
}

/// Counts and files for the rejected lines of one input.
#[derive(Debug, Default)]
pub(super) struct Kept {
    again: Again,
    /// Names of the input. A line is known if an earlier run kept it from an input with one of these names.
    sources: Vec<String>,
    /// Lines that are in a file of rejects, of this run or an earlier one.
    kept: u64,
    /// The number of lines that were kept before, and the file that has the last of these lines.
    pub(super) before: u64,
    pub(super) before_in: PathBuf,
    /// Lines above the limit of an input. They are only counted.
    pub(super) left_out: u64,
    /// Digests of lines that this run kept and that are not yet recorded in the buffer.
    unknown: Vec<RejectDigest>,
    /// How often the input had each of the lines that are in a file of rejects.
    met: HashMap<[u8; 32], u64>,
}

impl Kept {
    /// The counts of an input that a sender may send again under this name.
    pub(super) fn of_sender(name: &str) -> Kept {
        Kept { again: Again::Sent, sources: vec![name.to_owned()], ..Kept::default() }
    }

    /// The counts of a file. A line counts as kept before if it came from a file with the same full path (even if the
    /// file was replaced) or with the same inode (even if the file was renamed).
    pub(super) fn of_file(path: &Path) -> Kept {
        let full = path.canonicalize().map(|full| full.to_string_lossy().into_owned());
        let inode = fs::metadata(path).map(|file| format!("{}:{}", file.dev(), file.ino()));
        Kept { again: Again::Read, sources: full.into_iter().chain(inode).collect(), ..Kept::default() }
    }

    /// The file with lines of this input: `own` if this run wrote some, else the file of an earlier run.
    pub(super) fn path(&self, own: Option<&Path>) -> Option<PathBuf> {
        let is_own = self.kept > self.before;
        let path = if is_own { own } else { Some(self.before_in.as_path()).filter(|_| self.before > 0) };
        path.map(Path::to_owned)
    }
}

impl Rejects {
    pub(super) fn new(options: &IngestOptions) -> Rejects {
        Rejects { config: options.config.clone(), began_at: options.clock.now(), file: None }
    }

    /// Adds rejected lines up to the limit of one input, without lines that an earlier run kept. For `Again::Read`
    /// the lines are durable only after `end_input`; otherwise they are durable when this function returns.
    pub(super) fn keep(
        &mut self,
        of_input: &mut Kept,
        rejects: &[Reject],
        buffer: &dyn Door,
    ) -> Result<(), IngestError> {
        if rejects.is_empty() {
            return Ok(());
        }
        if of_input.again == Again::Never {
            self.write(of_input, rejects.iter(), buffer)?;
            return self.sync();
        }
        let keyring = Keyring::new(&buffer.source_secret()?);
        let mut met = of_input.met.clone();
        // Rotating a log changes its line numbers. So a line is known by its text and its number among equal texts.
        let digests_of = |reject: &Reject| -> Vec<RejectDigest> {
            let nth = met.entry(reject.digest).or_default();
            *nth += 1;
            let of = |source: &String| {
                keyring.digest("reject", &[source.as_bytes(), &reject.digest, &nth.to_be_bytes()]).0
            };
            of_input.sources.iter().map(of).collect()
        };
        let digests: Vec<Vec<RejectDigest>> = rejects.iter().map(digests_of).collect();
        let mut known = buffer.kept_rejects(digests.concat())?;
        known.retain(|_, file| self.config.rejects_dir.join(file).is_file());
        let file_of = |digests: &[RejectDigest]| digests.iter().find_map(|digest| known.get(digest));
        let (before, new): (Vec<_>, Vec<_>) =
            rejects.iter().zip(digests).partition(|(_, digests)| file_of(digests).is_some());
        if let Some(file) = before.last().and_then(|(_, digests)| file_of(digests)) {
            of_input.before_in = self.config.rejects_dir.join(file);
        }
        of_input.before += before.len() as u64;
        of_input.kept += before.len() as u64;
        let written = self.write(of_input, new.iter().map(|(reject, _)| *reject), buffer)?;
        for (reject, _) in before.iter().chain(&new[..written]) {
            *of_input.met.entry(reject.digest).or_default() += 1;
        }
        of_input.unknown.extend(new.into_iter().take(written).flat_map(|(_, digests)| digests));
        if of_input.again == Again::Read { Ok(()) } else { self.end_input(of_input, buffer) }
    }

    /// Writes lines up to the limit of their input and returns their number. The buffer counts the rest.
    fn write<'a>(
        &mut self,
        of_input: &mut Kept,
        rejects: impl ExactSizeIterator<Item = &'a Reject> + Clone,
        buffer: &dyn Door,
    ) -> Result<usize, IngestError> {
        // The rows of the inbox are deleted, so no other copy exists.
        let is_only_copy = of_input.again == Again::Never;
        let max = if is_only_copy { u64::MAX } else { u64::from(self.config.rejects_max) };
        let room = max.saturating_sub(of_input.kept) as usize;
        let (count, dir) = (rejects.len().min(room), &self.config.rejects_dir);
        let left_out = (rejects.len() - count) as u64;
        if left_out > 0 {
            of_input.left_out += left_out;
            buffer.count_unkept_rejects(left_out)?;
        }
        if count == 0 {
            return Ok(0);
        }
        let failed = |source| refuse(dir, source);
        whole_file::make_folder(dir, buffer.path()).map_err(failed)?;
        let bytes = rejects.clone().take(count).map(|reject| reject.kept.len() as u64 + 1).sum();
        check_free_disk(dir, self.config.min_free_bytes, bytes)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create(dir, self.began_at).map_err(failed)?),
        };
        for reject in rejects.take(count) {
            writeln!(file.writer, "{}", reject.kept).map_err(|source| refuse(&file.path, source))?;
            of_input.kept += 1;
        }
        Ok(count)
    }

    /// Ends an input: makes its kept lines durable and records their digests in the buffer.
    pub(super) fn end_input(&mut self, of_input: &mut Kept, buffer: &dyn Door) -> Result<(), IngestError> {
        let unknown = std::mem::take(&mut of_input.unknown);
        let name = self.path().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|_| !unknown.is_empty()) else { return Ok(()) };
        self.sync()?;
        buffer.remember_rejects(unknown, name)
    }

    /// Makes all lines written so far, and the name of the file, durable.
    pub(super) fn sync(&mut self) -> Result<(), IngestError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.writer
            .flush()
            .and_then(|()| file.writer.get_ref().sync_all())
            .and_then(|()| File::open(&self.config.rejects_dir)?.sync_all())
            .map_err(|source| refuse(&file.path, source))
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

/// Deletes the files of rejects whose last write is older than `ingest.rejects_days`, and returns their number. Makes
/// the buffer forget all missing files. The caller must hold the drain lock and must have checked the clock.
pub fn retain_rejects(buffer: &Buffer, config: &IngestConfig, now: Instant) -> Result<u64, IngestError> {
    let expired = expire_rejects(config, now)?.len() as u64;
    for file in buffer.files_of_rejects()? {
        if !config.rejects_dir.join(&file).exists() {
            buffer.forget_file_of_rejects(file)?;
        }
    }
    Ok(expired)
}

/// Deletes old files of rejects. Returns their names.
pub fn expire_rejects(config: &IngestConfig, now: Instant) -> Result<Vec<String>, IngestError> {
    let dir = &config.rejects_dir;
    let age = Duration::from_secs(u64::from(config.rejects_days) * 86_400);
    let failed = |source| refuse(dir, source);
    let mut expired = Vec::new();
    for (file, written_at) in files_of_rejects(dir).map_err(failed)? {
        if written_at.is_older(now, age) {
            fs::remove_file(&file).map_err(failed)?;
            expired.push(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Ok(expired)
}

/// The files of rejects in a folder, and when each was last written. Files with other names are left out.
pub fn files_of_rejects(dir: &Path) -> io::Result<Vec<(PathBuf, Instant)>> {
    let mut found = Vec::new();
    for file in whole_file::entries(dir)? {
        let metadata = fs::symlink_metadata(&file)?;
        if metadata.is_file() && is_own_name(&file.file_name().unwrap_or_default().to_string_lossy()) {
            found.push((file, metadata.modified()?.into()));
        }
    }
    Ok(found)
}

/// A rejected line that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptReject {
    /// The input of the line.
    pub path: String,
    pub line: u64,
    pub file: PathBuf,
    pub reason: String,
}

/// What is in a file of rejects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectsFile {
    pub name: String,
    pub written_at: Instant,
    pub lines: u64,
    /// By kind of reason (see `kind_of`): how many lines, and `path:line` of the first. A corrected line has no reason.
    pub reasons: BTreeMap<String, (u64, String)>,
}

/// The files of rejects in a folder that have a line, the latest first.
pub fn rejects_files(dir: &Path) -> Result<Vec<RejectsFile>, IngestError> {
    let mut files: Vec<RejectsFile> = Vec::new();
    each_kept(dir, |path, written_at, kept| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if files.last().is_none_or(|last| last.name != name) {
            files.push(RejectsFile { name, written_at, lines: 0, reasons: BTreeMap::new() });
        }
        let Some(file) = files.last_mut() else { return };
        file.lines += 1;
        if let Some(RejectedLine { path, line, reason, .. }) = kept {
            let first = || (0, format!("{path}:{line}"));
            file.reasons.entry(kind_of(&reason)).or_insert_with(first).0 += 1;
        }
    })?;
    files.sort_by_key(|file| Reverse((file.written_at, file.name.clone())));
    Ok(files)
}

/// The lines in the files of rejects for which `is_it` returns true.
pub fn kept_rejects(
    dir: &Path,
    is_it: impl Fn(&RejectedLine<'_>) -> bool,
) -> Result<Vec<KeptReject>, IngestError> {
    let mut found = Vec::new();
    each_kept(dir, |file, _, kept| {
        if let Some(RejectedLine { path, line, reason, .. }) = kept.filter(&is_it) {
            let (path, reason) = (path.into_owned(), reason.into_owned());
            found.push(KeptReject { path, line, file: file.to_owned(), reason });
        }
    })?;
    Ok(found)
}

/// Passes each line of the files of rejects, with its file and when the file was last written. Passes `None` for a line
/// that no longer has the form of a rejected line, because somebody corrected it in the file.
fn each_kept(
    dir: &Path,
    mut show: impl FnMut(&Path, Instant, Option<RejectedLine<'_>>),
) -> Result<(), IngestError> {
    let failed = |source| refuse(dir, source);
    let files = if dir.exists() { files_of_rejects(dir).map_err(failed)? } else { Vec::new() };
    for (file, written_at) in files {
        let mut text = Vec::new();
        let mut reader = BufReader::new(File::open(&file).map_err(failed)?);
        while reader.read_until(b'\n', &mut text).map_err(failed)? > 0 {
            show(&file, written_at, serde_json::from_slice(&text).ok());
            text.clear();
        }
    }
    Ok(())
}

fn is_own_name(name: &str) -> bool {
    let inner = name.strip_prefix(FILE_NAME.0).and_then(|rest| rest.strip_suffix(FILE_NAME.1));
    inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_digit() || b"TZ-".contains(&byte)))
}

/// Refuses to write this many bytes if too little space stays free. The buffer may be on another disk.
fn check_free_disk(dir: &Path, min_free_bytes: u64, needed_bytes: u64) -> Result<(), IngestError> {
    let found = rustix::fs::statvfs(dir).map_err(|errno| refuse(dir, errno.into()))?;
    let free_bytes = found.f_bavail * found.f_frsize;
    if free_bytes < min_free_bytes.saturating_add(needed_bytes) {
        let path = dir.to_owned();
        return Err(IngestError::RejectsDiskFloor { path, free_bytes, min_free_bytes, needed_bytes });
    }
    Ok(())
}

fn create(dir: &Path, began_at: Instant) -> io::Result<OpenFile> {
    let began_at = DateTime::<Utc>::from(began_at).format("%Y%m%dT%H%M%SZ");
    for number in 1..=FILES_PER_SECOND_MAX {
        let path = dir.join(format!("{}{began_at}-{number}{}", FILE_NAME.0, FILE_NAME.1));
        // Only one run can create a name, so two runs that begin in the same second never write to the same file.
        match whole_file::open_new(&path, Readers::Owner) {
            Ok(file) => {
                whole_file::share_owner(&file, dir)?;
                // The lock is held until the file is closed, so that `forget` waits for the writer.
                file.lock()?;
                return Ok(OpenFile { path, writer: BufWriter::new(file) });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "every name of this second is taken"))
}

fn refuse(path: &Path, source: io::Error) -> IngestError {
    IngestError::Rejects { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_would_go_below_the_floor_of_their_disk_are_not_begun() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(check_free_disk(dir.path(), 0, 1).is_ok());
        let refused = check_free_disk(dir.path(), 7, u64::MAX);
        assert!(
            matches!(refused, Err(IngestError::RejectsDiskFloor { min_free_bytes: 7, .. })),
            "{refused:?}"
        );
        let told = refused.expect_err("no disk has so much").to_string();
        assert!(told.contains("keeps 7, and 18446744073709551615 more are needed"), "{told}");
    }
}
