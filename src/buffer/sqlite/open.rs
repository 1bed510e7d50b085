//! Opens the SQLite file: checks its place, sets its options and migrates its schema.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

use super::super::error::{BufferError, Result};
use super::super::metrics;
use super::super::rows::{all, value};
use super::place::{Place, SIDE_FILES};
use super::{copy, lock};
use crate::clock::Clock;
use crate::event::MeasureOf;
use crate::whole_file::{self, Readers, beside, folder};

/// The application ID in our files: "Pass" in ASCII.
const APPLICATION_ID: i64 = 0x5061_7373;

/// The header of an SQLite file, and where its user version and application ID begin (SQLite, "Database File Format").
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Every schema ever released, in order; the first makes version 1. Releases only append to this list.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../schemas/buffer.sql"),
    include_str!("../../../schemas/buffer-2.sql"),
    include_str!("../../../schemas/buffer-3.sql"),
    include_str!("../../../schemas/buffer-4.sql"),
    include_str!("../../../schemas/buffer-5.sql"),
    include_str!("../../../schemas/buffer-6.sql"),
    include_str!("../../../schemas/buffer-7.sql"),
    include_str!("../../../schemas/buffer-8.sql"),
    include_str!("../../../schemas/buffer-9.sql"),
    include_str!("../../../schemas/buffer-10.sql"),
];

/// The SQL that makes an empty buffer of the newest version.
pub fn schema() -> String {
    MIGRATIONS.join("\n")
}

/// The ending of the name of a copy that a migration made.
pub(in super::super) const MIGRATION_COPY: &str = ".backup";

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

/// How a buffer is opened.
#[derive(Debug, Clone)]
pub struct BufferOptions {
    pub path: PathBuf,
    /// Whether the file may lie on a network file system.
    pub allow_network_filesystem: bool,
    pub clock: Clock,
    pub measure: MeasureOf,
}

/// The latest schema version that this program knows.
pub fn known_schema() -> i64 {
    MIGRATIONS.len() as i64
}

pub(in super::super) fn create(options: &BufferOptions) -> Result<()> {
    let path = &options.path;
    if path.exists() {
        return Err(BufferError::Exists(path.clone()));
    }
    refuse_network_filesystem(options, path.parent().unwrap_or(path))?;
    // Only the owner may read the file, because MVPD User IDs are personal data.
    whole_file::open_new(path, Readers::Owner)
        .and_then(|file| whole_file::share_owner(&file, folder(path)))
        .map_err(BufferError::file(path))?;
    let made = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|mut connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        migrate(&mut connection, 0, options.measure)
    });
    if made.is_err() {
        // An incomplete buffer would block the next try. Only the first error matters, so removing may fail.
        for ending in [""].iter().chain(SIDE_FILES) {
            fs::remove_file(beside(path, ending)).unwrap_or_default();
        }
    }
    made
}

/// The schema version in the header of a buffer's file; `None` if it may still be in the write-ahead log. Checks what
/// [`open`] checks of the file, but reads only its header, and changes nothing. This process must not have the buffer
/// open: closing the file would free SQLite's locks on it.
pub(in super::super) fn glance(options: &BufferOptions) -> Result<Option<i64>> {
    let path = usable_path(options)?;
    let mut header = [0; HEADER_BYTES];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut header));
    let number = |at: usize| i64::from(u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[at + byte])));
    let found = number(USER_VERSION_AT);
    match read {
        Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(BufferError::File { path, source })
        }
        Ok(()) if header.starts_with(MAGIC) && number(APPLICATION_ID_AT) == APPLICATION_ID && found > 0 => {
            let known = known_schema();
            if found > known { Err(BufferError::Newer { path, found, known }) } else { Ok(Some(found)) }
        }
        // A process that was killed may have left the first pages in the log.
        Ok(()) | Err(_) if fs::metadata(beside(&path, "-wal")).is_ok_and(|log| log.len() > 0) => Ok(None),
        Ok(()) | Err(_) => Err(BufferError::NotABuffer(path)),
    }
}

/// The resolved path of a buffer's file. Fails unless the file's place, kind, names and rights allow to open it.
fn usable_path(options: &BufferOptions) -> Result<PathBuf> {
    let path = fs::canonicalize(&options.path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BufferError::Missing(options.path.clone()),
        _ => BufferError::File { path: options.path.clone(), source },
    })?;
    refuse_network_filesystem(options, &path)?;
    // This refuses folders, pipes and devices. Opening a pipe would wait for its other end.
    if !fs::metadata(&path).map_err(BufferError::file(&path))?.is_file() {
        return Err(BufferError::NotABuffer(path));
    }
    refuse_second_name(&path)?;
    refuse_without_rights(&path)?;
    Ok(path)
}

pub(in super::super) fn open(options: &BufferOptions) -> Result<(Place, Connection)> {
    let path = usable_path(options)?;
    whole_file::warn_if_open(&path);
    let place = Place::of(&path)?;
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    place.check()?;
    if schema_version(&connection, &path)? < known_schema() {
        let _lock = lock::whole(&path)?;
        // Another process may have migrated the buffer before this one got the lock.
        let found = schema_version(&connection, &path)?;
        if let Some(to) = migration_copy(&path, found) {
            back_up_before_migration(&connection, &path, &to)?;
            migrate(&mut connection, found, options.measure)?;
        }
    }
    if value::<String>(&connection, "PRAGMA journal_mode", [])? != "wal" {
        // Somebody put a copy here by hand. Without WAL mode, a reader would block every writer.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        schema_version(&connection, &path)?;
    }
    Ok((place.with_side_files()?, connection))
}

/// Fails with the name of a file or folder that this user may not use, because SQLite's error has no name.
/// Opens no file, because closing a file would free SQLite's locks on that file.
fn refuse_without_rights(path: &Path) -> Result<()> {
    let needs = |path: &Path, access| {
        rustix::fs::access(path, access).map_err(|error| BufferError::file(path)(error.into()))
    };
    needs(path, Access::READ_OK | Access::WRITE_OK)?;
    for side in SIDE_FILES.iter().map(|ending| beside(path, ending)) {
        if side.exists() {
            needs(&side, Access::READ_OK | Access::WRITE_OK)?;
        } else {
            needs(folder(path), Access::WRITE_OK)?;
        }
    }
    Ok(())
}

/// Opens a connection that can only read. It can read while another connection writes.
pub(in super::super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // With FULL, an acknowledged event survives a power cut. FULL costs at most 0.5 microseconds per event more than
    // NORMAL. This statement is the first to read the file, so it also finds out whether the file is a database.
    connection.pragma_update(None, "synchronous", "FULL").map_err(not_ours(path))?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // 64 MiB of cache and a checkpoint every 16,000 pages allow 1.9 times the inserts of the defaults.
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    // Sorting must not depend on a writable /tmp.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn not_ours(path: &Path) -> impl Fn(rusqlite::Error) -> BufferError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => BufferError::NotABuffer(path.to_owned()),
        // The error says why: for example, the buffer is damaged or locked.
        _ => BufferError::Sqlite(error),
    }
}

/// The schema version of a buffer. Fails unless the buffer has the tables, indexes and triggers of that version.
pub(in super::super) fn schema_version(connection: &Connection, path: &Path) -> Result<i64> {
    // Another process may migrate the buffer meanwhile, so everything is read from one snapshot.
    let connection = connection.unchecked_transaction()?;
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(not_ours(path))?;
    if application != APPLICATION_ID {
        return Err(BufferError::NotABuffer(path.to_owned()));
    }
    let (path, known) = (path.to_owned(), known_schema());
    match value(&connection, "PRAGMA user_version", [])? {
        found if found > known => Err(BufferError::Newer { path, found, known }),
        found @ 1.. => match differs(&connection, found)? {
            Some(why) => Err(BufferError::OtherSchema { path, why }),
            None => Ok(found),
        },
        found => Err(BufferError::OtherSchema { path, why: format!("its schema version is {found}") }),
    }
}

/// The first difference from the schema of a version. Tables of other programs do not count: they change nothing here.
fn differs(connection: &Connection, version: i64) -> Result<Option<String>> {
    let model = Connection::open_in_memory()?;
    model.execute_batch(&MIGRATIONS[..version as usize].concat())?;
    let objects = |connection| -> Result<BTreeSet<(String, String)>> {
        let select =
            "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'";
        // Comments and indentation do not count.
        let plain =
            |sql: String| sql.lines().flat_map(|line| line.split("--").next()).map(str::trim).collect();
        all(connection, select, [], |row| Ok((row.get(0)?, plain(row.get(1)?))))
    };
    let (model, found) = (objects(&model)?, objects(connection)?);
    let lost = model.difference(&found).map(|(object, _)| format!("its {object} is missing or was changed"));
    let foreign = found.difference(&model).filter(|(object, _)| !object.starts_with("table "));
    let foreign = foreign.map(|(object, _)| format!("its {object} was made by another program"));
    Ok(lost.chain(foreign).next())
}

/// Runs every migration after `from`, all in one transaction.
fn migrate(connection: &mut Connection, from: i64, measure: MeasureOf) -> Result<()> {
    // Migrations replace tables that other tables refer to. SQLite ignores this pragma within a transaction.
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[from as usize..] {
        transaction.execute_batch(migration)?;
    }
    if value::<i64>(&transaction, "SELECT count(*) FROM pragma_foreign_key_check", [])? > 0 {
        return Err(BufferError::damage("rows refer to rows that are not there"));
    }
    if from < metrics::SINCE_SCHEMA {
        metrics::build(&transaction, measure)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(connection.pragma_update(None, "foreign_keys", "ON")?)
}

/// Where a buffer with this schema is copied before it is migrated; `None` if it is not migrated.
pub(in super::super) fn migration_copy(path: &Path, from: i64) -> Option<PathBuf> {
    (from < known_schema()).then(|| beside(path, &format!(".schema-{from}{MIGRATION_COPY}")))
}

fn back_up_before_migration(connection: &Connection, path: &Path, to: &Path) -> Result<()> {
    // This process holds the lock, so a partial copy was left by a migration that was killed.
    remove_if_there(&beside(to, ".partial")).map_err(BufferError::file(to))?;
    let copy = copy::copy(connection, to, &|| true)?;
    let placed = whole_file::share_owner(copy.file(), path).and_then(|()| copy.replace());
    placed.map_err(BufferError::file(to))
}

pub(in super::super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(in super::super) fn refuse_network_filesystem(options: &BufferOptions, near: &Path) -> Result<()> {
    if options.allow_network_filesystem {
        return Ok(());
    }
    let near = if near.as_os_str().is_empty() { Path::new(".") } else { near };
    let found = rustix::fs::statfs(near).map_err(io::Error::from).map_err(BufferError::file(near))?;
    match NETWORK_FILESYSTEMS.iter().find(|(magic, _)| *magic == found.f_type as u64 & 0xFFFF_FFFF) {
        Some((_, kind)) => Err(BufferError::NetworkFilesystem { path: options.path.clone(), kind }),
        None => Ok(()),
    }
}

/// Refuses a file with a second path: a hard link, or a mount of the file alone. Each path has its own lock and
/// write-ahead log, so two drains could run and send everything twice.
fn refuse_second_name(path: &Path) -> Result<()> {
    let looked = (|| Ok((mount_of(path)?, mount_of(folder(path))?, fs::metadata(path)?.nlink())))();
    let why = match looked {
        Err(error) => return Err(BufferError::file(path)(error)),
        Ok((own, around, _)) if own != around => {
            "it is mounted as a file, and has another name elsewhere, under which a second drain could run: mount its folder"
        }
        Ok((_, _, names)) if names > 1 => {
            "it has a second name (a hard link), under which a second drain could run: remove that name"
        }
        Ok(_) => return Ok(()),
    };
    Err(BufferError::SecondName { path: path.to_owned(), source: io::Error::other(why) })
}

/// The mount that a file is on; `None` if the kernel is older than 5.8 and does not report it.
fn mount_of(path: &Path) -> io::Result<Option<u64>> {
    match statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID) {
        Ok(found) if found.stx_mask & StatxFlags::MNT_ID.bits() != 0 => Ok(Some(found.stx_mnt_id)),
        Ok(_) | Err(Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
