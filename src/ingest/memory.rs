//! The data that readers get from the buffer: their state from earlier runs, and the secret for digests.

use super::error::IngestError;
use super::options::IngestOptions;
use crate::buffer::Buffer;
use crate::readers::ReaderOptions;
use crate::readers::memory::{Keyring, Recollection};

/// The secret of a preview without a buffer. The digests are only for display: an ingest makes other digests.
const SECRET_OF_PREVIEWS: &[u8] = b"preview";

/// Options of readers whose events are stored, and the state from earlier runs.
pub(super) fn stored(
    buffer: &Buffer,
    options: &IngestOptions,
) -> Result<(ReaderOptions, Recollection), IngestError> {
    let readers = match &options.secret {
        Some(secret) => reader_options(options, secret),
        None => reader_options(options, &buffer.source_secret()?),
    };
    let knows_former = buffer.knows_former_exchanges()?;
    Ok((ReaderOptions { knows_former, ..readers }, recollection(buffer)))
}

/// The readers' memory of earlier runs, as the buffer stores it.
pub(super) fn recollection(buffer: &Buffer) -> Recollection {
    Recollection::new(Some(Box::new(buffer.memory())))
}

/// Options of readers that store no state, as for a preview. With a buffer, the counts of ESM go on from what it has.
pub(super) fn passing(options: &IngestOptions, buffer: Option<&Buffer>) -> (ReaderOptions, Recollection) {
    let secret = options.secret.as_deref().unwrap_or(SECRET_OF_PREVIEWS);
    let memory = match buffer {
        Some(buffer) => Recollection::passing_after(Box::new(buffer.memory())),
        None => Recollection::new(None),
    };
    (reader_options(options, secret), memory)
}

fn reader_options(options: &IngestOptions, secret: &[u8]) -> ReaderOptions {
    ReaderOptions {
        rest_v2: options.rest_v2.clone(),
        esm: options.esm.clone(),
        keyring: Keyring::new(secret),
        service_keys: options.service_keys.clone(),
        knows_former: false,
        takes_events_only: false,
        map: options.maps.chosen.clone(),
    }
}
