//! Receives the body of a request: bounded in bytes, in time, and by what all senders together may have waiting.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest body as it is sent, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// Bytes of bodies that wait to be complete or to be stored, of all senders together.
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;

/// A body that is complete, with its share of what may wait.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than [`BODY_BYTES_MAX`].
    TooLong,
    NoRoom,
    TooSlow,
    Broken,
}

pub(super) async fn receive(
    body: Incoming,
    room: &Arc<Semaphore>,
    within: Duration,
) -> Result<Received, BodyError> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(BodyError::TooLong);
    }
    timeout(within, collect(body, room)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut body: Incoming, room: &Arc<Semaphore>) -> Result<Received, BodyError> {
    let mut received = Received { bytes: Vec::new(), share: None };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if received.bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        // A body is at most BODY_BYTES_MAX, which is far below what a u32 holds.
        let share =
            Arc::clone(room).try_acquire_many_owned(data.len() as u32).map_err(|_| BodyError::NoRoom)?;
        match &mut received.share {
            Some(all) => all.merge(share),
            none => *none = Some(share),
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}
