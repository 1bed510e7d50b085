//! What readers remember between runs, and the secret that they digest with, out of the buffer.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use super::error::IngestError;
use super::options::IngestOptions;
use crate::buffer::{Buffer, BufferError, Feed, MemoryReader, MemoryRow};
use crate::readers::ReaderOptions;
use crate::readers::memory::{FeedKind, Keyring, Memory, MemoryChange, MemoryKey, Recollection};
use crate::readers::rest_v2::RestV2Options;

/// The secret of a preview without a buffer: its identities are for looking at, and no ingest gives the same ones.
const SECRET_OF_PREVIEWS: &[u8] = b"preview";

/// What a reading thread takes along.
pub(super) struct Source {
    options: IngestOptions,
    secret: Vec<u8>,
    memory: MemoryReader,
    knows_former: bool,
}

impl Source {
    pub(super) fn of(buffer: &Buffer, options: &IngestOptions) -> Result<Source, IngestError> {
        let secret = match &options.secret {
            Some(secret) => secret.clone(),
            None => buffer.source_secret()?.to_vec(),
        };
        let knows_former = buffer.knows_former_exchanges()?;
        Ok(Source { options: options.clone(), secret, memory: buffer.memory(), knows_former })
    }

    pub(super) fn into_options(self) -> ReaderOptions {
        let stored = Recollection::new(Some(Box::new(Stored(self.memory))));
        let mut options = reader_options(&self.options, &self.secret, stored);
        options.rest_v2.knows_former = self.knows_former;
        options
    }
}

struct Stored(MemoryReader);

impl Memory for Stored {
    fn recall(&mut self, key: MemoryKey) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.body(&key.0).map_err(|error: BufferError| Box::new(error))?)
    }

    fn feed(&mut self, requestor_id: &str) -> Result<Option<FeedKind>, Box<dyn Error + Send + Sync>> {
        let feed = self.0.feed(requestor_id).map_err(|error: BufferError| Box::new(error))?;
        Ok(feed.map(|feed| match feed {
            Feed::Events => FeedKind::Events,
            Feed::Esm => FeedKind::Esm,
        }))
    }
}

/// Options under which nothing is remembered beyond the preview.
pub(super) fn passing(options: &IngestOptions) -> ReaderOptions {
    let secret = options.secret.as_deref().unwrap_or(SECRET_OF_PREVIEWS);
    reader_options(options, secret, Recollection::new(None))
}

fn reader_options(options: &IngestOptions, secret: &[u8], memory: Recollection) -> ReaderOptions {
    let rest_v2 = RestV2Options {
        config: options.rest_v2.clone(),
        keyring: Keyring::new(secret),
        service_keys: options.service_keys.clone(),
        memory: Rc::new(RefCell::new(memory)),
        knows_former: false,
    };
    ReaderOptions { rest_v2, esm: options.esm.clone() }
}

/// The changes as rows of the buffer.
pub(super) fn rows(changes: &[MemoryChange]) -> Vec<MemoryRow> {
    let row = |change: &MemoryChange| MemoryRow {
        key: change.key.0,
        drops_at: change.drops_at,
        body: change.body.clone(),
    };
    changes.iter().map(row).collect()
}
