//! Receives the body of a request, with limits on its bytes, its time, and the memory of all waiting bodies together.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::reply::Refusal;

/// The longest body as it is sent (before unpacking), in bytes.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// The most bytes of bodies that are incomplete or wait to be stored, of all senders together.
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;

/// A complete body, with its share of `WAITING_BYTES_MAX`.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

pub(super) async fn receive(
    body: Incoming,
    room: &Arc<Semaphore>,
    within: Duration,
) -> Result<Received, Refusal> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let too_slow = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
    timeout(within, collect(body, room)).await.unwrap_or_else(|_| Err(too_slow()))
}

async fn collect(mut body: Incoming, room: &Arc<Semaphore>) -> Result<Received, Refusal> {
    let mut received = Received { bytes: Vec::new(), share: None };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if received.bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_long());
        }
        // The cast is safe, because a body has at most `BODY_BYTES_MAX` bytes.
        let share = Arc::clone(room)
            .try_acquire_many_owned(data.len() as u32)
            .map_err(|_| Refusal::busy("too many bodies wait already"))?;
        match &mut received.share {
            Some(all) => all.merge(share),
            none => *none = Some(share),
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

fn too_long() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("a body has at most {BODY_BYTES_MAX} bytes as it is sent; send it in parts"),
    )
}
