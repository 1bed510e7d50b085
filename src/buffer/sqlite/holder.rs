//! The process that holds a lock.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fmt, io};

use serde::Serialize;

use crate::event::Instant;
use crate::whole_file::entries;

/// What this process does. It is written into the lock files that this process holds.
static COMMAND: OnceLock<String> = OnceLock::new();

/// Sets what this process does. A second call changes nothing.
pub fn name_command(command: &str) {
    COMMAND.get_or_init(|| command.to_owned());
}

/// The process that holds a lock, by the text in the lock file. Earlier releases wrote no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub lock: PathBuf,
    pub pid: Option<u32>,
    pub command: Option<String>,
    /// When the process took the lock.
    pub since: Option<Instant>,
}

impl Holder {
    pub(super) fn of(lock: PathBuf) -> Holder {
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let (pid, command) = text.trim_end().split_once(' ').unwrap_or_default();
        let written_at = fs::metadata(&lock).and_then(|metadata| metadata.modified()).ok();
        let since = written_at.filter(|_| !text.is_empty());
        Holder {
            pid: pid.parse().ok(),
            command: Some(command.to_owned()).filter(|command| !command.is_empty()),
            since: since.map(Instant::from),
            lock,
        }
    }

    /// Writes the ID and the command of this process into a file that it has locked.
    pub(super) fn write(file: &File) -> io::Result<()> {
        let command = COMMAND.get().map_or("passbridge", String::as_str);
        file.set_len(0)?;
        file.write_all_at(format!("{} {command}\n", std::process::id()).as_bytes(), 0)
    }
}

/// The other processes that have a file open, as `123 (passbridge)`. Sees only those that this user may look into.
pub(in super::super) fn users(path: &Path) -> io::Result<Vec<String>> {
    let of = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let (file, own) = (of(path)?, std::process::id().to_string());
    let uses = |process: &PathBuf| {
        let id = process.file_name()?.to_str().filter(|id| id.parse::<u32>().is_ok() && *id != own)?;
        let files = fs::read_dir(process.join("fd")).ok()?;
        files.flatten().find(|open| of(&open.path()).is_ok_and(|open| open == file))?;
        let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
        Some(format!("{id} ({})", command.trim_end()))
    };
    Ok(entries(Path::new("/proc"))?.iter().filter_map(uses).collect())
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.lock)?;
        if let (Some(pid), Some(command)) = (self.pid, &self.command) {
            write!(out, ": process {pid} ({command})")?;
        }
        self.since.map_or(Ok(()), |since| write!(out, ", since {}", since.to_the_second()))
    }
}
