//! What the parts of a worker share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::drain::{RetryLimits, Stop};
use crate::postgres::{Address, Lease, PostgresError, SharedBuffer, WorkerId};

/// The index of a suite, the number of a slice, and the epoch of its claim: with it, a late reply counts for its claim.
pub(super) type Place = (usize, i32, i64);
/// The text of a form, which many attempts share.
pub(super) type FormText = Arc<str>;

/// The options of a worker.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Requests in flight per collection host.
    pub lanes: usize,
    /// Hits per second to a collection host, over all workers; `None` means no limit.
    pub rate_per_host: Option<NonZeroU32>,
    pub retry: RetryLimits,
    /// How long a request may take. A dead worker's slices stay unclaimed for this time and a second after its lease.
    pub request_timeout: Duration,
    /// How long a stop waits for requests in flight.
    pub stop_grace: Duration,
    /// The longest time that the drain may take; `None` means no limit.
    pub deadline: Option<Duration>,
    /// How long the worker may send after it last renewed its lease.
    pub lease: Duration,
}

/// What the parts of a worker share.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) address: Address,
    pub(super) worker: WorkerId,
    pub(super) lease: Lease,
    pub(super) options: WorkOptions,
    pub(super) stop: Stop,
}

impl Work {
    /// Another connection to the buffer.
    pub(super) async fn open(&self) -> Result<SharedBuffer, PostgresError> {
        let mut buffer = SharedBuffer::open(&self.address).await?;
        // A worker that is frozen within a transaction must not hold database locks longer than its lease.
        buffer.idle_max = self.lease.length / 2;
        Ok(buffer)
    }
}
