//! The thread that stores submissions: it takes all that wait as one group, and gives each sender a receipt.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::ServeError;
use super::reply::Refusal;
use super::thread::Thread;
use crate::buffer::BufferError;
use crate::ingest::{Counts, Door, IngestError, IngestOptions, Intake, PlainSubmission, Receipt, Submission};
use crate::meter::{Labels, METER, UnderWay};

/// A group is full after this many unpacked bytes. Only the last body of a group may exceed the limit, even by far.
const GROUP_BYTES_MAX: usize = 2 << 20;
/// A group is full after this many submissions.
const GROUP_MAX: usize = 256;
/// The most submissions that wait for the next group; further senders must retry later.
const WAITING_MAX: usize = 4096;
/// The shortest time between two counts of the backlog. A count adds up the pending events of all rows of the ledger.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// The shortest time between two log lines about stored events.
const TELL_EVERY: Duration = Duration::from_secs(60);

pub(super) type Outcome = Result<Receipt, Refusal>;

/// Passes submissions to the thread that stores them.
pub(super) struct Counter {
    waiting: SyncSender<Waiting>,
    _thread: Thread,
}

struct Waiting {
    submission: Submission,
    sender: Sender,
}

/// The sender of a submission, who waits for a receipt.
struct Sender {
    /// The share of the memory for bodies; held until the sender gets its answer.
    share: Option<OwnedSemaphorePermit>,
    reply: oneshot::Sender<Outcome>,
}

impl Sender {
    /// If the client has disconnected, the result is dropped. When it sends its events again, they are duplicates.
    fn answer(self, outcome: Outcome) {
        drop(self.share);
        drop(self.reply.send(outcome));
    }
}

impl Counter {
    pub(super) fn open(
        buffer: Arc<dyn Door + Send + Sync>,
        options: IngestOptions,
        backlog_max_events: u64,
    ) -> Result<Counter, ServeError> {
        let (waiting, submissions) = mpsc::sync_channel(WAITING_MAX);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = Thread::start("intake", move || {
            let worker = Intake::new(Arc::clone(&buffer), options).map(|intake| Worker {
                intake,
                buffer,
                backlog_max_events,
                is_backlog_full: false,
                counted_at: None,
                untold: Untold::default(),
                told_at: Instant::now(),
            });
            // If `ready` has no receiver, the opening thread panicked, so there are no submissions to wait for.
            match worker {
                Ok(mut worker) if ready.send(Ok(())).is_ok() => worker.work(&submissions),
                Ok(_) => {}
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(IngestError::from(BufferError::ThreadEnded)))?;
        Ok(Counter { waiting, _thread: thread })
    }

    /// Passes a submission on and waits for its receipt.
    pub(super) async fn hand_in(&self, sent: Submission, share: Option<OwnedSemaphorePermit>) -> Outcome {
        let stopping = || Refusal::failed("passbridge is stopping");
        let _waiting = UnderWay::begin(&METER.collector_waiting.get_or_create_owned(&Labels::new()));
        let (reply, outcome) = oneshot::channel();
        let waiting = Waiting { submission: sent, sender: Sender { share, reply } };
        self.waiting.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::busy("too many requests wait already"),
            TrySendError::Disconnected(_) => stopping(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(stopping()))
    }
}

struct Worker {
    intake: Intake,
    buffer: Arc<dyn Door + Send + Sync>,
    /// The most events that may wait in the buffer; 0: no limit.
    backlog_max_events: u64,
    /// The result of the last comparison of the backlog with the limit, a few seconds old.
    is_backlog_full: bool,
    counted_at: Option<Instant>,
    untold: Untold,
    told_at: Instant,
}

/// What was stored since the last log line.
#[derive(Default)]
struct Untold {
    counts: Counts,
    rejects_not_kept: u64,
    /// The last file of rejected lines.
    rejects_path: Option<PathBuf>,
    /// The number of notes in receipts. `last_note` is the last of them.
    notes: usize,
    last_note: Option<String>,
}

impl Worker {
    fn work(&mut self, submissions: &Receiver<Waiting>) {
        loop {
            match submissions.recv_timeout(COUNT_EVERY) {
                Ok(first) => self.serve(first, submissions),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.intake.rest();
            if self.told_at.elapsed() >= TELL_EVERY {
                self.tell();
            }
        }
        self.tell();
    }

    fn serve(&mut self, first: Waiting, submissions: &Receiver<Waiting>) {
        if self.is_backlog_full() {
            let why = "as many events wait as serve.backlog_max_events allows";
            return first.sender.answer(Err(Refusal::full(why)));
        }
        let (group, senders) = group(first, submissions);
        METER.collector_group.get_or_create(&Labels::new()).observe(senders.len() as f64);
        for (outcome, sender) in self.intake.take(group).into_iter().zip(senders) {
            if let Ok(receipt) = &outcome {
                let untold = &mut self.untold;
                untold.counts.add(&receipt.counts);
                untold.rejects_not_kept += receipt.rejects_not_kept;
                untold.notes += receipt.notes.len();
                untold.last_note = receipt.notes.last().cloned().or(untold.last_note.take());
                untold.rejects_path = receipt.rejects_path.clone().or(untold.rejects_path.take());
            }
            sender.answer(outcome.map_err(Refusal::from));
        }
    }

    fn is_backlog_full(&mut self) -> bool {
        let is_recent = self.counted_at.is_some_and(|at| at.elapsed() < COUNT_EVERY);
        if self.backlog_max_events > 0 && !is_recent {
            self.counted_at = Some(Instant::now());
            match self.buffer.pending() {
                Ok(pending) => self.is_backlog_full = pending >= self.backlog_max_events,
                // The next attempt to store events fails for the same reason, and its error is reported.
                Err(error) => tracing::warn!(%error, "the backlog cannot be counted"),
            }
        }
        self.is_backlog_full
    }

    fn tell(&mut self) {
        let Untold { counts, rejects_not_kept, rejects_path, notes, last_note } =
            std::mem::take(&mut self.untold);
        let Counts { read, stored, duplicates, conflicts, rejected } = counts;
        if read > 0 {
            tracing::info!(read, stored, duplicates, conflicts, rejected, "events were posted");
        }
        if rejected + conflicts > 0 {
            match rejects_path {
                Some(path) => {
                    let path = path.display();
                    tracing::warn!(%path, rejected, conflicts, rejects_not_kept, "posted lines were rejected, and are kept");
                }
                None => tracing::warn!(
                    rejected,
                    conflicts,
                    "posted lines were rejected, and none of them is kept, as ingest.rejects_max says; the receipts told their senders why"
                ),
            }
        }
        if let Some(last) = last_note {
            tracing::warn!(notes, last, "posted lines were passed over, or are not what they seem");
        }
        self.told_at = Instant::now();
    }
}

/// The first submission and all that wait after it, up to the limits, with their senders.
fn group(first: Waiting, submissions: &Receiver<Waiting>) -> (Vec<PlainSubmission>, Vec<Sender>) {
    let (mut group, mut senders, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Waiting { submission, sender }) = next {
        // If nobody waits for the receipt, the request timed out or was closed. The client will repeat it.
        if !sender.reply.is_closed() {
            match submission.unpack() {
                Ok(unpacked) => {
                    bytes += unpacked.bytes();
                    group.push(unpacked);
                    senders.push(sender);
                }
                Err(error) => sender.answer(Err(error.into())),
            }
        }
        let is_full = group.len() >= GROUP_MAX || bytes >= GROUP_BYTES_MAX;
        next = if is_full { None } else { submissions.try_recv().ok() };
    }
    (group, senders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::Format;

    #[test]
    fn what_nobody_waits_for_any_more_is_passed_over() {
        let (queue, submissions) = mpsc::sync_channel(9);
        let mut patient = Vec::new();
        for number in 0..6 {
            let (reply, outcome) = oneshot::channel();
            let submission = Submission {
                path: number.to_string(),
                format: Format::Ndjson,
                body: vec![b'x'; 10],
                map: None,
            };
            queue.send(Waiting { submission, sender: Sender { share: None, reply } }).expect("there is room");
            if number % 2 == 1 {
                patient.push(outcome);
            }
        }
        let first = submissions.recv().expect("the first");
        let (taken, senders) = group(first, &submissions);
        assert_eq!((taken.len(), senders.len()), (3, 3));
    }
}
