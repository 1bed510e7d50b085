//! What an ingest needs of a buffer, so that events go the same way into an SQLite file and into PostgreSQL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::runtime::Runtime;

use super::error::IngestError;
use super::memory;
use super::options::IngestOptions;
use crate::buffer::{Batch, Buffer, InputId, RejectDigest, StoreReport, Watch};
use crate::postgres::{PostgresError, SharedBuffer};
use crate::readers::ReaderOptions;
use crate::readers::memory::Recollection;

type Result<T> = std::result::Result<T, IngestError>;

/// A buffer, as an ingest sees it. A function without a comment does what [`Buffer`]'s function of that name does.
pub trait Door {
    /// Options of readers whose events are stored, and the state from earlier runs.
    fn readers(&self, options: &IngestOptions) -> Result<(ReaderOptions, Recollection)>;
    /// The readers' memory as the buffer stores it: without the changes that were not stored.
    fn recollection(&self) -> Recollection;
    fn source_secret(&self) -> Result<Vec<u8>>;
    /// The buffer, if it is a file. What needs a file, such as a look at its disk space, is left out for PostgreSQL.
    fn as_file(&self) -> Option<&Buffer>;
    fn open_input(&self, path: &str) -> Result<InputId>;
    fn store(&self, batch: Batch) -> Result<StoreReport>;
    /// Stores several batches. An error means that no sender can rely on any of them.
    fn store_together(&self, batches: Vec<Batch>) -> Result<Vec<StoreReport>>;
    fn end_input(&self, input: InputId, summary: &RawValue, is_whole: bool) -> Result<()>;
    fn kept_rejects(&self, digests: Vec<RejectDigest>) -> Result<HashMap<RejectDigest, String>>;
    fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()>;
    fn pending(&self) -> Result<u64>;
    /// A file whose owner must own the folder of rejects too: the buffer's file, or the configuration for PostgreSQL.
    fn path(&self) -> &Path;

    fn watch(&self) -> Result<Option<Watch>> {
        Ok(self.as_file().map(Buffer::watch).transpose()?)
    }

    fn look(&self, place: &mut Option<Watch>) -> Result<()> {
        Ok(self.as_file().zip(place.as_mut()).map_or(Ok(()), |(file, place)| file.look(place))?)
    }

    fn count_unkept_rejects(&self, lines: u64) -> Result<()> {
        Ok(self.as_file().map_or(Ok(()), |file| file.count_unkept_rejects(lines))?)
    }

    /// Refuses to store more events if the drain would then have too little disk space.
    fn has_room(&self, options: &IngestOptions, stored: u64) -> Result<()> {
        let Some(file) = self.as_file() else { return Ok(()) };
        let (free_bytes, min_free_bytes) = (file.free_bytes()?, options.config.min_free_bytes);
        if free_bytes < min_free_bytes {
            return Err(IngestError::DiskFloor { free_bytes, min_free_bytes, stored });
        }
        Ok(())
    }
}

impl Door for Buffer {
    fn readers(&self, options: &IngestOptions) -> Result<(ReaderOptions, Recollection)> {
        memory::stored(self, options)
    }

    fn recollection(&self) -> Recollection {
        memory::recollection(self)
    }

    fn source_secret(&self) -> Result<Vec<u8>> {
        Ok(self.source_secret()?.to_vec())
    }

    fn as_file(&self) -> Option<&Buffer> {
        Some(self)
    }

    fn open_input(&self, path: &str) -> Result<InputId> {
        Ok(self.open_input(path)?)
    }

    fn store(&self, batch: Batch) -> Result<StoreReport> {
        Ok(self.store(batch)?)
    }

    fn store_together(&self, batches: Vec<Batch>) -> Result<Vec<StoreReport>> {
        Ok(self.store_together(batches)?)
    }

    fn end_input(&self, input: InputId, summary: &RawValue, is_whole: bool) -> Result<()> {
        Ok(self.end_input(input, summary, is_whole)?)
    }

    fn kept_rejects(&self, digests: Vec<RejectDigest>) -> Result<HashMap<RejectDigest, String>> {
        Ok(self.kept_rejects(digests)?)
    }

    fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()> {
        Ok(self.remember_rejects(digests, file)?)
    }

    fn pending(&self) -> Result<u64> {
        Ok(self.pending()?)
    }

    fn path(&self) -> &Path {
        self.path()
    }
}

/// The buffer on PostgreSQL, with the runtime that its connection needs. Each call blocks.
pub struct SharedDoor {
    runtime: Runtime,
    buffer: Mutex<SharedBuffer>,
    config: PathBuf,
}

impl SharedDoor {
    /// `config` is the configuration file.
    pub fn new(runtime: Runtime, buffer: SharedBuffer, config: PathBuf) -> SharedDoor {
        SharedDoor { runtime, buffer: Mutex::new(buffer), config }
    }

    fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut SharedBuffer) -> std::result::Result<T, PostgresError>,
    ) -> Result<T> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.runtime.block_on(work(&mut buffer))?)
    }
}

impl Door for SharedDoor {
    fn readers(&self, options: &IngestOptions) -> Result<(ReaderOptions, Recollection)> {
        // Events need no memory of earlier runs. Exchanges and reports would, and are refused.
        let (readers, memory) = memory::passing(options, None);
        Ok((ReaderOptions { takes_events_only: true, ..readers }, memory))
    }

    fn recollection(&self) -> Recollection {
        Recollection::new(None)
    }

    fn source_secret(&self) -> Result<Vec<u8>> {
        self.call(async |buffer| buffer.secret().await)
    }

    fn as_file(&self) -> Option<&Buffer> {
        None
    }

    fn open_input(&self, path: &str) -> Result<InputId> {
        self.call(async |buffer| buffer.open_input(path).await)
    }

    fn store(&self, batch: Batch) -> Result<StoreReport> {
        if batch.feed != crate::buffer::Feed::Events || !batch.memory.is_empty() || !batch.stated.is_empty() {
            return Err(PostgresError::NotYet.into());
        }
        self.call(async |buffer| buffer.store(batch.input, &batch.events).await)
    }

    fn store_together(&self, batches: Vec<Batch>) -> Result<Vec<StoreReport>> {
        batches.into_iter().map(|batch| self.store(batch)).collect()
    }

    fn end_input(&self, input: InputId, summary: &RawValue, is_whole: bool) -> Result<()> {
        self.call(async |buffer| buffer.end_input(input, summary.get(), is_whole).await)
    }

    fn kept_rejects(&self, digests: Vec<RejectDigest>) -> Result<HashMap<RejectDigest, String>> {
        self.call(async |buffer| buffer.kept_rejects(&digests).await)
    }

    fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()> {
        self.call(async |buffer| buffer.remember_rejects(&digests, &file).await)
    }

    fn pending(&self) -> Result<u64> {
        self.call(async |buffer| Ok(buffer.waiting().await?.0.cast_unsigned()))
    }

    fn path(&self) -> &Path {
        &self.config
    }
}
