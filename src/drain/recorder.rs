//! Group commit: claims and outcomes of all lanes share durable transactions.
//!
//! A lane never waits for an outcome to be recorded, only for its next claim. While one transaction is
//! written, the changes of all lanes gather for the next one, so they share its commit. Before each
//! transaction, changes gather for up to `LINGER`. A lane that will soon need a claim ends this pause at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::buffer::{Buffer, BufferError, Change, Claims, RunId};

/// How long changes gather while no lane is short of claims. An outcome is durable within this time and one commit.
const LINGER: Duration = Duration::from_millis(5);

/// The changes that gather for the next transaction, and its number. There are never more changes than claims of all
/// lanes and their outcomes, because a lane needs a durable claim for each attempt.
#[derive(Default)]
struct Gathering {
    changes: Vec<Change>,
    number: u64,
    /// Whether a lane will soon need a claim of this transaction.
    is_urgent: bool,
}

/// Takes the changes of the lanes.
#[derive(Clone)]
pub(super) struct Recorder {
    gathering: Arc<Mutex<Gathering>>,
    begun: Arc<Notify>,
    hurry: Arc<Notify>,
    /// How many transactions are on the disk.
    durable: watch::Receiver<u64>,
}

/// The number of the transaction that makes a claim durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClaimTicket(u64);

/// The recorder has failed. The drain reports the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecorderGone;

impl Recorder {
    /// Records a change with the next transaction. If the recorder has failed, the lane learns this at its next claim.
    pub(super) fn record(&self, change: Change) -> ClaimTicket {
        let mut gathering = self.gathering();
        gathering.changes.push(change);
        if gathering.changes.len() == 1 {
            self.begun.notify_one();
        }
        ClaimTicket(gathering.number)
    }

    /// Whether a claim is durable. If not, its transaction begins as soon as it can.
    pub(super) fn is_granted(&self, ticket: ClaimTicket) -> bool {
        if *self.durable.borrow() > ticket.0 {
            return true;
        }
        let mut gathering = self.gathering();
        if gathering.number == ticket.0 && !std::mem::replace(&mut gathering.is_urgent, true) {
            self.hurry.notify_one();
        }
        false
    }

    pub(super) async fn granted(&mut self, ticket: ClaimTicket) -> Result<(), RecorderGone> {
        if !self.is_granted(ticket) {
            self.durable.wait_for(|durable| *durable > ticket.0).await.map_err(|_| RecorderGone)?;
        }
        Ok(())
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the recorder of a run: a handle for the lanes to clone, and a task that ends with the last clone.
pub(super) fn recorder(
    buffer: Arc<Buffer>,
    run: RunId,
) -> (Recorder, impl Future<Output = Result<(), BufferError>>) {
    let (written, durable) = watch::channel(0);
    let (begun, hurry) = <(Arc<Notify>, Arc<Notify>)>::default();
    let recorder = Recorder { gathering: Arc::default(), begun, hurry, durable };
    let Recorder { gathering, begun, hurry, .. } = recorder.clone();
    (recorder, async move {
        let (mut goes_on, mut claims) = (true, Claims::default());
        while goes_on {
            goes_on = tokio::select! {
                () = begun.notified() => true,
                () = written.closed() => false,
            };
            tokio::select! {
                () = hurry.notified() => {}
                () = written.closed() => {}
                () = sleep(LINGER) => {}
            }
            let Gathering { changes, number, .. } = take(&gathering);
            claims = buffer.record(run, claims, changes).await?;
            written.send_replace(number + 1);
        }
        Ok(())
    })
}

/// Takes what has gathered. From now on, changes gather for the next transaction.
fn take(gathering: &Mutex<Gathering>) -> Gathering {
    let mut gathering = gathering.lock().unwrap_or_else(PoisonError::into_inner);
    let next = Gathering { number: gathering.number + 1, ..Gathering::default() };
    std::mem::replace(&mut gathering, next)
}
