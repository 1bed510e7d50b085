//! The rejected lines of a run: one NDJSON file, which `ingest` accepts again once its lines are mended.
//!
//! ```text
//! <rejects_dir>/rejected-20261120T083000Z-1.ndjson      the UTC second the run began in, and a number that makes it unique
//! ```
//!
//! At most `ingest.rejects_max` lines of an input are kept, and a line that an earlier run kept is not kept again while the file of
//! rejects that has it is there: neither a file that is read daily nor a sender that repeats fills a disk. `ingest.rejects_days`
//! is their retention. Of the inbox every line is kept.
//!
//! The file is made by the first reject, for its owner's eyes only (mode 0600): its lines name viewers. What a line holds is
//! described at [`RejectedLine`](crate::readers::RejectedLine).

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::error::IngestError;
use super::options::IngestOptions;
use super::portion::Reject;
use crate::buffer::{Buffer, RejectDigest};
use crate::config::IngestConfig;
use crate::event::Instant;
use crate::readers::memory::Keyring;
use crate::whole_file::{self, Readers};

/// Runs of one second that can have rejects of their own.
const FILES_PER_SECOND_MAX: u32 = 10_000;
/// How the names of these files begin and end.
const FILE_NAME: (&str, &str) = ("rejected-", ".ndjson");

/// Where this run's rejects go.
pub(super) struct Rejects {
    config: IngestConfig,
    began_at: Instant,
    file: Option<RejectsFile>,
}

struct RejectsFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

/// Whether the lines of an input can come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Again {
    /// A row of the inbox is deleted once it is taken: nothing else is left of it.
    #[default]
    Never,
    /// A sender or a pipe may repeat itself, but cannot be asked to.
    Sent,
    /// A file can be read again, by a run that goes on where this one is killed.
    Read,
}

/// What became of the rejected lines of one input.
#[derive(Debug, Default)]
pub(super) struct Kept {
    again: Again,
    /// Lines that are in a file of rejects, of this run or an earlier one.
    kept: u64,
    /// Lines that an earlier run kept, and where the last of them is.
    pub(super) before: u64,
    pub(super) before_in: PathBuf,
    /// Lines above the limit of an input: counted alone.
    pub(super) left_out: u64,
    /// Lines that this run kept, and the buffer does not know of yet.
    unknown: Vec<RejectDigest>,
}

impl Kept {
    pub(super) fn of(again: Again) -> Kept {
        Kept { again, ..Kept::default() }
    }

    /// The file that has lines of the input, where this run writes to `own`.
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

    /// Keeps every line, whatever the limit of an input: of a source that is deleted as it is read, nothing else is left.
    pub(super) fn without_limit(options: &IngestOptions) -> Rejects {
        let mut rejects = Rejects::new(options);
        rejects.config.rejects_max = u32::MAX;
        rejects
    }

    /// Adds rejected lines, as far as the limit of one input goes and no earlier run kept them. They are durable when this returns,
    /// but for those of a file.
    pub(super) fn keep(
        &mut self,
        of_input: &mut Kept,
        rejects: &[Reject],
        buffer: &Buffer,
    ) -> Result<(), IngestError> {
        if rejects.is_empty() {
            return Ok(());
        }
        if of_input.again == Again::Never {
            self.write(of_input, rejects.iter(), buffer)?;
            return self.sync();
        }
        let keyring = Keyring::new(&buffer.source_secret()?);
        let digests = rejects.iter().map(|reject| keyring.derived("reject", &[&reject.digest]).0);
        let digests: Vec<RejectDigest> = digests.collect();
        let mut known = buffer.kept_rejects(digests.clone())?;
        known.retain(|_, file| self.config.rejects_dir.join(file).is_file());
        let (before, new): (Vec<_>, Vec<_>) =
            rejects.iter().zip(digests).partition(|(_, digest)| known.contains_key(digest));
        if let Some(file) = before.last().and_then(|(_, digest)| known.get(digest)) {
            of_input.before_in = self.config.rejects_dir.join(file);
        }
        of_input.before += before.len() as u64;
        of_input.kept += before.len() as u64;
        let written = self.write(of_input, new.iter().map(|(reject, _)| *reject), buffer)?;
        of_input.unknown.extend(new.into_iter().take(written).map(|(_, digest)| digest));
        if of_input.again == Again::Read { Ok(()) } else { self.end_input(of_input, buffer) }
    }

    /// Writes lines until the limit of their input, and gives how many. The monitor counts the others too.
    fn write<'a>(
        &mut self,
        of_input: &mut Kept,
        rejects: impl ExactSizeIterator<Item = &'a Reject> + Clone,
        buffer: &Buffer,
    ) -> Result<usize, IngestError> {
        let room = u64::from(self.config.rejects_max).saturating_sub(of_input.kept) as usize;
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
        make_folder(dir).and_then(|()| whole_file::refuse_open_folder(dir)).map_err(failed)?;
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

    /// Ends an input: what was kept of it is durable, and known to be kept.
    pub(super) fn end_input(&mut self, of_input: &mut Kept, buffer: &Buffer) -> Result<(), IngestError> {
        let unknown = std::mem::take(&mut of_input.unknown);
        let name = self.path().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|_| !unknown.is_empty()) else { return Ok(()) };
        self.sync()?;
        Ok(buffer.remember_rejects(unknown, name)?)
    }

    /// Makes every line so far durable, with the name of the file.
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

/// Deletes the files of rejects that were last written to before their retention, and says how many. The caller holds the drain
/// lock, and knows that the clock is right.
pub fn retain_rejects(buffer: &Buffer, config: &IngestConfig, now: Instant) -> Result<u64, IngestError> {
    let dir = &config.rejects_dir;
    let age = Duration::from_secs(u64::from(config.rejects_days) * 86_400);
    let oldest = SystemTime::from(DateTime::<Utc>::from(now)).checked_sub(age);
    let failed = |source| refuse(dir, source);
    let mut expired = 0;
    for file in whole_file::entries(dir).map_err(failed)? {
        let metadata = fs::symlink_metadata(&file).map_err(failed)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let is_ours = name.starts_with(FILE_NAME.0) && name.ends_with(FILE_NAME.1) && metadata.is_file();
        if is_ours && Some(metadata.modified().map_err(failed)?) < oldest {
            fs::remove_file(&file).map_err(failed)?;
            expired += 1;
        }
    }
    for file in buffer.files_of_rejects()? {
        if !dir.join(&file).exists() {
            buffer.forget_file_of_rejects(file)?;
        }
    }
    Ok(expired)
}

/// Whether so many bytes may be written. The rejects may lie on another disk than the buffer.
fn check_free_disk(dir: &Path, min_free_bytes: u64, bytes: u64) -> Result<(), IngestError> {
    let found = rustix::fs::statvfs(dir).map_err(|errno| refuse(dir, errno.into()))?;
    let free_bytes = found.f_bavail * found.f_frsize;
    if free_bytes < min_free_bytes.saturating_add(bytes) {
        let path = dir.to_owned();
        return Err(IngestError::RejectsDiskFloor { path, free_bytes, min_free_bytes });
    }
    Ok(())
}

fn create(dir: &Path, began_at: Instant) -> io::Result<RejectsFile> {
    let began_at = DateTime::<Utc>::from(began_at).format("%Y%m%dT%H%M%SZ");
    for number in 1..=FILES_PER_SECOND_MAX {
        let path = dir.join(format!("{}{began_at}-{number}{}", FILE_NAME.0, FILE_NAME.1));
        // Only one run can create the name: two that begin in one second never write into one file.
        match whole_file::open_new(&path, Readers::Owner) {
            Ok(file) => {
                whole_file::share_owner(&file, dir)?;
                // Held until the run ends: an erasure waits for it.
                file.lock()?;
                return Ok(RejectsFile { path, writer: BufWriter::new(file) });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "every name of this second is taken"))
}

/// Makes the folder, for the owner of the one that it is in.
fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    whole_file::share_owner(&File::open(dir)?, whole_file::folder(dir))
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
    }
}
