//! The process that holds a lock.

use std::fs::{self, File};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fmt, io};

use serde::Serialize;

use crate::event::Instant;
use crate::whole_file::{beside, entries};

/// What this process does. It is written into the lock files that this process holds.
static COMMAND: OnceLock<String> = OnceLock::new();

/// Sets what this process does. A second call changes nothing.
pub fn name_command(command: &str) {
    COMMAND.get_or_init(|| command.to_owned());
}

/// The process that holds a lock, by the text in the lock file. The first releases wrote no text. A process of another
/// container has no `pid` here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub lock: PathBuf,
    pub pid: Option<u32>,
    pub command: Option<String>,
    /// When the process took the lock.
    pub since: Option<Instant>,
    /// Whether the lock file was removed while the process ran.
    #[serde(skip)]
    pub has_lost_file: bool,
}

impl Holder {
    pub(super) fn of(lock: PathBuf) -> Holder {
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let mut lines = text.lines();
        let (pid, command) = lines.next().unwrap_or_default().split_once(' ').unwrap_or_default();
        // Some earlier releases wrote only one line.
        let is_near = lines.next().is_none_or(|named| named == namespace());
        let written_at = fs::metadata(&lock).and_then(|metadata| metadata.modified()).ok();
        let since = written_at.filter(|_| !text.is_empty());
        Holder {
            pid: pid.parse().ok().filter(|_| is_near),
            command: Some(command.to_owned()).filter(|command| !command.is_empty()),
            since: since.map(Instant::from),
            has_lost_file: false,
            lock,
        }
    }

    /// A process that still runs although its lock file was removed.
    pub(in super::super) fn without_file(lock: PathBuf, pid: Option<u32>) -> Holder {
        Holder { lock, pid, command: None, since: None, has_lost_file: true }
    }

    /// The process, for people; `None` if its lock does not name it.
    pub fn who(&self) -> Option<String> {
        match (self.pid, &self.command) {
            (Some(pid), _) if self.has_lost_file => {
                Some(format!("process {pid}, whose lock file was removed"))
            }
            (None, _) if self.has_lost_file => {
                Some("a process, perhaps of another container, whose lock file was removed".to_owned())
            }
            (Some(pid), Some(command)) => Some(format!("process {pid} ({command})")),
            (Some(pid), None) => Some(format!("process {pid}")),
            (None, Some(command)) => Some(format!("a process of another container ({command})")),
            (None, None) => None,
        }
    }

    /// Writes the ID, the command and the namespace of this process into a file that it has locked.
    pub(super) fn write(file: &File) -> io::Result<()> {
        let command = COMMAND.get().map_or("passbridge", String::as_str);
        file.set_len(0)?;
        file.write_all_at(format!("{} {command}\n{}\n", std::process::id(), namespace()).as_bytes(), 0)
    }
}

/// The namespace to which the ID of this process belongs: in another container the same ID is another process.
fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(|_| String::new(), |named| named.display().to_string())
}

/// The other processes that have a file open, as `123 (passbridge)`, if this user may inspect them.
pub(in super::super) fn users(path: &Path) -> io::Result<Vec<String>> {
    let of = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let file = of(path)?;
    let users = users_of(|open| of(open).is_ok_and(|open| open == file))?;
    let name = |id: u32| {
        let command = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        format!("{id} ({})", command.trim_end())
    };
    Ok(users.into_iter().map(name).collect())
}

/// Another process that has a database and its removed log open. This process needs the right to inspect the other.
pub(super) fn user_of_removed_log(database: &Path) -> Option<u32> {
    let users = |path: &Path| users_of(|open| fs::read_link(open).is_ok_and(|target| target == path)).ok();
    let others = users(&beside(database, "-wal (deleted)")).filter(|others| !others.is_empty())?;
    let users = users(database)?;
    others.into_iter().find(|other| users.contains(other))
}

/// The other processes with an open file for which `is_it` is true. `is_it` gets each file as a link in `/proc`.
fn users_of(is_it: impl Fn(&Path) -> bool) -> io::Result<Vec<u32>> {
    let uses = |process: &PathBuf| {
        let id = process.file_name()?.to_str()?.parse().ok().filter(|id| *id != std::process::id())?;
        let files = fs::read_dir(process.join("fd")).ok()?;
        files.flatten().any(|open| is_it(&open.path())).then_some(id)
    };
    Ok(entries(Path::new("/proc"))?.iter().filter_map(uses).collect())
}

/// The bits of a mark that are the ID of a process: as many as the largest ID of Linux has.
const PID_BITS: u32 = 22;

/// A number by which [`maker`] finds this process, but not in a copy of the database. `None` if `/proc` is unreadable.
pub(in super::super) fn mark(database: &Path) -> Option<i64> {
    mark_of(std::process::id(), database)
}

/// The process that made a mark, if it still runs.
pub(in super::super) fn maker(mark: i64, database: &Path) -> Option<u32> {
    let pid = (mark & ((1 << PID_BITS) - 1)) as u32;
    (mark_of(pid, database) == Some(mark)).then_some(pid)
}

fn mark_of(pid: u32, database: &Path) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain any character. After it come the state and, as field 22, the start in ticks since the boot.
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    let (state, start) = (fields.next()?, fields.nth(18)?);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digest = BuildHasherDefault::<DefaultHasher>::new().hash_one((
        start,
        boot,
        namespace(),
        fs::metadata(database).ok()?.ino(),
    ));
    // A zombie sends nothing.
    (state != "Z" && state != "X").then_some((digest << PID_BITS) as i64 | i64::from(pid))
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.lock)?;
        self.who().map_or(Ok(()), |who| write!(out, ": {who}"))?;
        self.since.map_or(Ok(()), |since| write!(out, ", since {}", since.to_the_second()))
    }
}
