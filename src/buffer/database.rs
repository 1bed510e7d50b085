//! The open buffer. One thread owns the writing connection; readers have connections of their own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::error::{BufferError, Result};
use super::facts::{BACKFILL_RUNNER, DRAIN_RUNNER, MOVED_AT, fact};
use super::rows::{all, first, run, value};
use super::sqlite::{
    self, BACKFILL, BackfillLock, BufferOptions, DRAIN, DrainLock, Holder, LOCKS, Place, SIDE_FILES,
    WholeLock, open_reader,
};
use crate::clock::Clock;
use crate::event::{Instant, MeasureOf};
use crate::whole_file::beside;

type Task = Box<dyn FnOnce(&mut Connection) + Send>;

/// An open buffer. Dropping it waits until the submitted changes are done.
#[derive(Debug)]
pub struct Buffer {
    pub(super) place: Place,
    pub(super) clock: Clock,
    pub(super) measure: MeasureOf,
    /// The changes that wait for the writing thread. Sending one never blocks a thread of the runtime, because the
    /// channel has no bound. Every caller awaits the answer to its change, so there are no more changes than callers.
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    /// A reading connection, kept for the next read.
    idle: Mutex<Option<Connection>>,
}

impl Buffer {
    /// Creates an empty buffer; fails if the file exists.
    pub fn create(options: &BufferOptions) -> Result<()> {
        sqlite::create(options)
    }

    /// The schema version of a buffer that nobody in this process has open; `None` if the version may still be in
    /// the write-ahead log. Reads only the file's header, and changes nothing.
    pub fn glance(options: &BufferOptions) -> Result<Option<i64>> {
        sqlite::glance(options)
    }

    /// Opens a buffer; fails if it was moved. Migrates an older schema, but fails while a drain or a backfill runs.
    pub fn open(options: &BufferOptions) -> Result<Buffer> {
        let buffer = Buffer::open_moved(options)?;
        buffer.read(|connection| refuse_moved(connection, buffer.path()))?;
        Ok(buffer)
    }

    /// Opens a buffer as [`Buffer::open`] does, even one that was moved.
    pub fn open_moved(options: &BufferOptions) -> Result<Buffer> {
        let (place, mut connection) = sqlite::open(options)?;
        let (tasks, waiting) = mpsc::channel::<Task>();
        let guarded = place.clone();
        let thread = std::thread::Builder::new()
            .name("buffer".to_owned())
            .spawn(move || {
                waiting.into_iter().for_each(|task| task(&mut connection));
                // Closing the connection copies the write-ahead log into the file, unless the guard forbids it.
                guarded.guard(&connection).unwrap_or_default();
            })
            .map_err(BufferError::file(place.path()))?;
        let (clock, measure) = (options.clock.clone(), options.measure);
        Ok(Buffer { place, clock, measure, tasks: Some(tasks), thread: Some(thread), idle: Mutex::default() })
    }

    /// The files that SQLite and passbridge keep beside a buffer: SQLite's side files and the lock files.
    pub fn side_files(path: &Path) -> impl Iterator<Item = PathBuf> {
        SIDE_FILES.iter().chain(LOCKS).map(|ending| beside(path, ending))
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The resolved path of the SQLite file.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// How many bytes this process may still write on the buffer's disk.
    pub fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(self.path()).map_err(std::io::Error::from);
        let found = found.map_err(BufferError::file(self.path()))?;
        Ok(found.f_bavail * found.f_frsize)
    }

    /// Takes the drain lock of this buffer, or fails with [`BufferError::Locked`] at once.
    pub fn lock(&self) -> Result<DrainLock> {
        sqlite::drain(self.path()).map_err(|error| match error {
            // A fact in the buffer names the process, even if its lock file was removed.
            BufferError::Locked(found) => {
                BufferError::Locked(self.drain_holder().ok().flatten().unwrap_or(found))
            }
            error => error,
        })
    }

    /// Takes the lock of backfills, or fails with [`BufferError::Backfilling`] at once.
    pub fn lock_backfill(&self) -> Result<BackfillLock> {
        sqlite::backfill(self.path()).map_err(|error| match error {
            BufferError::Backfilling(found) => {
                BufferError::Backfilling(self.backfill_holder().ok().flatten().unwrap_or(found))
            }
            error => error,
        })
    }

    pub fn lock_whole(&self) -> Result<WholeLock> {
        Ok(WholeLock { _drain: self.lock()?, _backfill: self.lock_backfill()? })
    }

    /// The process that drains live events or holds a lock that excludes a drain.
    pub fn drain_holder(&self) -> Result<Option<Holder>> {
        self.holder(DRAIN, DRAIN_RUNNER)
    }

    /// The process that loads or sends a backfill, or holds a lock that excludes one.
    pub fn backfill_holder(&self) -> Result<Option<Holder>> {
        self.holder(BACKFILL, BACKFILL_RUNNER)
    }

    fn holder(&self, lock: &str, runner: &str) -> Result<Option<Holder>> {
        let held = sqlite::holder(self.path(), lock)?;
        if held.as_ref().is_some_and(|held| !held.has_lost_file) {
            return Ok(held);
        }
        // The lock file of a process that still sends may have been removed. A fact still names a process of this host.
        let mark = self.read(|connection| fact(connection, runner))?;
        let marked = mark.and_then(|mark| sqlite::maker(mark, self.path()));
        Ok(marked.map(|pid| Holder::without_file(beside(self.path(), lock), Some(pid))).or(held))
    }

    /// The other processes that have this buffer open, as `123 (passbridge)`, if this user may inspect them.
    pub fn users(&self) -> Result<Vec<String>> {
        sqlite::users(self.path()).map_err(BufferError::file(self.path()))
    }

    /// Reads one snapshot on the caller's thread, without waiting for a writer. One connection is kept for such
    /// reads; a reader that finds it in use opens another connection.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.place.check()?;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = kept.map_or_else(|| open_reader(self.path()), Ok)?;
        let found = look(&*connection.unchecked_transaction()?)?;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(found)
    }

    pub(super) fn all<T, C: FromIterator<T>>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<C> {
        self.read(|connection| all(connection, sql, values, read))
    }

    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.read(|connection| first(connection, sql, values, read))
    }

    /// The value that a query finds: one row with one column.
    pub(super) fn value<T: FromSql>(&self, sql: &str, values: impl Params) -> Result<T> {
        self.read(|connection| value(connection, sql, values))
    }

    /// Changes the buffer in one transaction, which is durable when this returns.
    pub(super) fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.on_thread(|connection| in_transaction(connection, change))
    }

    pub(super) fn change(&self, sql: &'static str, values: impl Params + Send + 'static) -> Result<()> {
        self.write(move |transaction| run(transaction, sql, values))
    }

    /// Changes the buffer in parts, each in its own transaction, so that live recording never waits long. Ends when a
    /// part changes nothing. Returns how many rows all parts changed.
    pub(super) fn write_in_parts(
        &self,
        part: impl Fn(&Transaction<'_>) -> Result<u64> + Send + Copy + 'static,
    ) -> Result<u64> {
        let mut changed = 0;
        while let more @ 1.. = self.write(part)? {
            changed += more;
        }
        Ok(changed)
    }

    /// Like `write`, but the caller awaits the result. A submitted change is done even if nobody awaits it.
    pub(super) async fn write_async<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        // If the caller has gone, nobody needs the answer. The change itself was done.
        self.submit(|connection| in_transaction(connection, change), |done| drop(reply.send(done)))?;
        answer.await.map_err(|_| BufferError::ThreadEnded)?
    }

    /// Does work on the writing thread and waits for it. Some work, such as VACUUM, cannot run in a transaction.
    pub(super) fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit(work, move |done| drop(reply.send(done)))?;
        answer.recv().map_err(|_| BufferError::ThreadEnded)?
    }

    fn submit<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
        answer: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Result<()> {
        let place = self.place.clone();
        let task: Task = Box::new(move |connection| {
            let done = place.guard(connection).and_then(|()| work(connection));
            // If the write-ahead log was lost meanwhile, the change is not stored.
            answer(done.and_then(|done| place.guard(connection).map(|()| done)));
        });
        self.tasks.as_ref().and_then(|tasks| tasks.send(task).ok()).ok_or(BufferError::ThreadEnded)
    }
}

pub(super) fn refuse_moved(connection: &Connection, path: &Path) -> Result<()> {
    match fact(connection, MOVED_AT)? {
        Some(at) => Err(BufferError::Moved { path: path.to_owned(), at: Instant::from_nanos(at) }),
        None => Ok(()),
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = change(&transaction)?;
    transaction.commit()?;
    Ok(changed)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // The writing connection is closed last, because only it can copy the write-ahead log into the file.
        drop(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, its panic hook has printed the message already.
            drop(thread.join());
        }
    }
}
