//! Writes a file completely or not at all, and never into a file that somebody else put in its place.
//!
//! Until a file is complete, its name is `<name>.partial`, in the same folder. The partial file is created new, which
//! fails if a file or a link has that name. When writing fails, the partial file is removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

/// The ending of a file's name before the file is complete.
pub const PARTIAL: &str = ".partial";

/// How a SQLite database begins.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Only its owner, because it holds personal data or secrets.
    Owner,
    /// Everybody whom the process's umask allows.
    Umask,
}

/// A file that is being written. If it is dropped before it is placed, it is removed.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    is_placed: bool,
}

impl WholeFile {
    pub fn create(path: &Path, readers: Readers) -> io::Result<WholeFile> {
        let partial = beside(path, PARTIAL);
        let file = open_new(&partial, readers).map_err(|error| in_the_way(&partial, error))?;
        Ok(WholeFile { file, partial, path: path.to_owned(), is_placed: false })
    }

    /// The path of the file until it is placed.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name, durably. Fails if another file has that name at this moment.
    pub fn place_new(self) -> io::Result<()> {
        self.place(|partial, path| match renameat_with(CWD, partial, CWD, path, RenameFlags::NOREPLACE) {
            // Some file systems, such as NFS, have no NOREPLACE. A hard link does not replace a file either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::hard_link(partial, path).and_then(|()| fs::remove_file(partial))
            }
            renamed => Ok(renamed?),
        })
    }

    /// Gives the file its final name, durably, and replaces an earlier file of that name. Fails if that is a database,
    /// or is no file: a mistyped name must not destroy the buffer or a device.
    pub fn replace(self) -> io::Result<()> {
        may_be_replaced(&self.path)?;
        self.place(|partial, path| fs::rename(partial, path))
    }

    /// As `replace`, with a name in the same folder that is known only now.
    pub fn replace_as(mut self, path: PathBuf) -> io::Result<()> {
        self.path = path;
        self.replace()
    }

    fn place(mut self, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.sync_all()?;
        rename(&self.partial, &self.path)?;
        self.is_placed = true;
        sync_folder(&self.path)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // The code that drops the file reports why it was not placed.
        if !self.is_placed {
            fs::remove_file(&self.partial).unwrap_or_default();
        }
    }
}

/// Fails if an output must not take this name. A link itself is replaced, never what it leads to.
pub fn may_be_replaced(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let mut head = [0; DATABASE.len()];
    let refused = |why| Err(io::Error::new(ErrorKind::AlreadyExists, why));
    if !found.is_file() && !found.is_symlink() {
        return refused("what stands there is no file, and stays");
    }
    if found.is_file() && File::open(path)?.read_exact(&mut head).is_ok() && head == *DATABASE {
        return refused("a database stands there, and stays");
    }
    Ok(())
}

/// Writes these bytes to a new file; fails if there is a file of that name.
pub fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let mut file = WholeFile::create(path, readers)?;
    file.write_all(bytes)?;
    file.place_new()
}

/// Creates a file; fails if there is a file or a link of that name.
pub fn open_new(path: &Path, readers: Readers) -> io::Result<File> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Umask => 0o666,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// If root made the file, gives it the owner of the file `of`: a command run as root must not lock out the
/// service, which runs as another user. Does nothing for other users, who cannot change owners.
pub fn share_owner(file: &File, of: &Path) -> io::Result<()> {
    let (own, wanted) = (file.metadata()?, fs::metadata(of)?);
    if !geteuid().is_root() || (own.uid(), own.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

/// Logs a warning if everybody on this host may use a file that holds secrets or personal data.
pub fn warn_if_open(path: &Path) {
    if let Some(mode) = open_mode(path) {
        let path = path.display();
        tracing::warn!(%path, mode, "everybody on this host may use the file, which holds secrets or personal data: chmod o= {path}");
    }
}

/// The mode of a file that everybody on this host may use; `None` if they may not, or if there is no such file.
pub fn open_mode(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).map_or(0, |found| if found.is_file() { found.mode() & 0o7777 } else { 0 });
    (mode & 0o007 != 0).then(|| format!("{mode:04o}"))
}

/// Makes the names in the folder of a file durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// The folder that a file is in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder that only its owner can use, unless there is one. If root makes it, it gets the owner of the file
/// `of`. Fails as [`refuse_open_folder`] does.
pub fn make_folder(path: &Path, of: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
    for path in missing.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => share_owner(&File::open(path)?, of)?,
            // Another process made it in the meantime.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    refuse_open_folder(path, of)
}

/// Fails if everybody may write to a folder, or to a folder above it that is not sticky. Fails if the folder
/// belongs to a user other than this user and root. Fails if a group may write to the folder, unless it is
/// root's group or this user is in it. Root also accepts the owner and the group of the file `of`.
pub fn refuse_open_folder(path: &Path, of: &Path) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let own = geteuid();
    let metadata = fs::metadata(path.join("."))?;
    let of = fs::metadata(of)?;
    let is_trusted =
        [0, own.as_raw()].contains(&metadata.uid()) || own.is_root() && metadata.uid() == of.uid();
    if !is_trusted {
        let (uid, own) = (metadata.uid(), own.as_raw());
        let why = format!("{path:?} belongs to another user (uid {uid}): chown {own} {path:?}");
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    let group = metadata.gid();
    let is_own_group = [0, getegid().as_raw()].contains(&group)
        || getgroups()?.iter().any(|own| own.as_raw() == group)
        || own.is_root() && group == of.gid();
    for folder in path.ancestors() {
        let mode = fs::metadata(folder)?.mode();
        let is_sticky = mode & 0o1000 != 0 && folder != path;
        let (who, whom) = match mode {
            _ if mode & 0o002 != 0 && !is_sticky => ("others".to_owned(), "o"),
            _ if mode & 0o020 != 0 && folder == path && !is_own_group => (format!("group {group}"), "g"),
            _ => continue,
        };
        let mode = mode & 0o7777;
        let why = format!("{who} may write to {folder:?} (mode {mode:04o}): chmod {whom}-w {folder:?}");
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// The entries of a folder; none if it does not exist or is no folder.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// The path with `ending` added to its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Says that a file already has the name that a partial file would get.
fn in_the_way(partial: &Path, error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::AlreadyExists {
        return error;
    }
    let why = "is in the way: a command that was killed left it, or somebody put it there";
    io::Error::new(ErrorKind::ResourceBusy, format!("{partial:?} {why}"))
}
