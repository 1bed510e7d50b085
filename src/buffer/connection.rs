//! Opening the SQLite file: where it may lie, how it is tuned, which schema it has.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::suites::damaged;
use super::{Buffer, BufferError, BufferOptions, lock, metrics};

/// "Pass" in ASCII: tells our files from other programs'.
const APPLICATION_ID: i64 = 0x5061_7373;

/// Every schema ever released, in order; the first makes version 1. Append only.
const MIGRATIONS: &[&str] = &[
    include_str!("../../schemas/buffer.sql"),
    include_str!("../../schemas/buffer-2.sql"),
    include_str!("../../schemas/buffer-3.sql"),
    include_str!("../../schemas/buffer-4.sql"),
    include_str!("../../schemas/buffer-5.sql"),
    include_str!("../../schemas/buffer-6.sql"),
];

/// How long a statement waits for another process's transaction: longer than the largest batch takes to commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// File systems on which SQLite's locks cannot be trusted, by the magic numbers of statfs(2).
const NETWORK_FILESYSTEMS: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x517B, "smb"),
    (0x5346_414F, "afs"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "ceph"),
];

pub(super) fn create(options: &BufferOptions) -> Result<(), BufferError> {
    let path = &options.path;
    if path.exists() {
        return Err(BufferError::Exists(path.clone()));
    }
    refuse_network_filesystem(options, path.parent().unwrap_or(path))?;
    // MVPD User IDs are personal data: the file is its owner's alone.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| BufferError::File { path: path.clone(), source })?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    migrate(&mut connection, 0)
}

pub(super) fn open(options: &BufferOptions) -> Result<(PathBuf, Connection), BufferError> {
    let path = fs::canonicalize(&options.path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BufferError::Missing(options.path.clone()),
        _ => BufferError::File { path: options.path.clone(), source },
    })?;
    refuse_network_filesystem(options, &path)?;
    refuse_second_name(&path)?;
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let found = schema_version(&connection, &path)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(BufferError::Newer { path, found, known });
    }
    if found < known {
        let _lock = lock::whole(&path)?;
        // Another process may have migrated while this one waited to look.
        let found = schema_version(&connection, &path)?;
        if found < known {
            back_up_before_migration(&connection, &path, found)?;
            migrate(&mut connection, found)?;
        }
    }
    Ok((path, connection))
}

/// A second connection that only reads, for looking while something is written.
pub(super) fn open_reader(path: &Path) -> Result<Connection, BufferError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, BufferError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // An acknowledged event survives a power cut; measured at most half a microsecond an event beside NORMAL.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // 64 MiB of cache and a checkpoint every 16,000 pages: 1.9 times the inserts of the defaults.
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    // Sorting must not depend on a writable /tmp.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn schema_version(connection: &Connection, path: &Path) -> Result<i64, BufferError> {
    let not_ours = |_| BufferError::NotABuffer(path.to_owned());
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(not_ours)?;
    if application != APPLICATION_ID {
        return Err(BufferError::NotABuffer(path.to_owned()));
    }
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Runs every migration after `from`, all in one transaction.
fn migrate(connection: &mut Connection, from: i64) -> Result<(), BufferError> {
    // Inside a transaction this changes nothing, and a table that others refer to can be replaced only without it.
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[from as usize..] {
        transaction.execute_batch(migration)?;
    }
    let broken: i64 =
        transaction.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if broken > 0 {
        return Err(damaged(&std::io::Error::other("rows refer to rows that are not there")));
    }
    if from < metrics::SINCE_SCHEMA {
        metrics::build(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(connection.pragma_update(None, "foreign_keys", "ON")?)
}

fn back_up_before_migration(connection: &Connection, path: &Path, from: i64) -> Result<(), BufferError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{from}.backup"));
    super::backup::copy(connection, Path::new(&name))
}

fn refuse_network_filesystem(options: &BufferOptions, near: &Path) -> Result<(), BufferError> {
    if options.allow_network_filesystem {
        return Ok(());
    }
    let near = if near.as_os_str().is_empty() { Path::new(".") } else { near };
    let found = rustix::fs::statfs(near)
        .map_err(|errno| BufferError::File { path: near.to_owned(), source: errno.into() })?;
    match NETWORK_FILESYSTEMS.iter().find(|(magic, _)| *magic == found.f_type as u64 & 0xFFFF_FFFF) {
        Some((_, kind)) => Err(BufferError::NetworkFilesystem { path: options.path.clone(), kind }),
        None => Ok(()),
    }
}

/// A hard link would be another path to the same events, with a lock of its own: two drains would send everything twice.
fn refuse_second_name(path: &Path) -> Result<(), BufferError> {
    let failed = |source| BufferError::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.nlink() > 1 {
        let why =
            "it has a second name (a hard link), under which a second drain could run: remove that name";
        return Err(failed(std::io::Error::other(why)));
    }
    Ok(())
}

impl Buffer {
    /// Bytes free for us on the buffer's disk.
    pub fn free_bytes(&self) -> Result<u64, BufferError> {
        let found = rustix::fs::statvfs(&self.path)
            .map_err(|errno| BufferError::File { path: self.path.clone(), source: errno.into() })?;
        Ok(found.f_bavail * found.f_frsize)
    }
}
