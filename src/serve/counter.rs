//! The thread that stores: takes the submissions that wait as one group, and gives each sender its receipt.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::ServeError;
use crate::buffer::Buffer;
use crate::ingest::{
    Counts, IngestError, IngestOptions, Intake, PlainSubmission, Receipt, Submission, SubmissionError,
};

/// Bytes of unpacked bodies that make a group full; the last one may be far longer, and there is only one of it.
const GROUP_BYTES_MAX: usize = 2 << 20;
/// Submissions that make a group full.
const GROUP_MAX: usize = 256;
/// Submissions that wait for the next group; who comes then is told to come again.
const WAITING_MAX: usize = 4096;
/// How often the backlog is counted: a sum over the counters.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often the log tells what came in.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What a sender waits for.
pub(super) type Outcome = Result<Receipt, CounterError>;

/// Why a submission was not taken.
#[derive(Debug, Clone)]
pub(super) enum CounterError {
    Refused(SubmissionError),
    /// More events wait in the buffer than may.
    BacklogFull,
    /// More submissions wait than may.
    Busy,
    /// It was not stored in time; it may be stored yet.
    Slow,
    Closed,
}

/// Where submissions are handed in.
pub(super) struct Counter {
    waiting: Option<SyncSender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

struct Waiting {
    submission: Submission,
    /// Kept until the submission is stored.
    share: Option<OwnedSemaphorePermit>,
    reply: oneshot::Sender<Outcome>,
}

impl Counter {
    pub(super) fn open(
        buffer: &Arc<Buffer>,
        options: IngestOptions,
        backlog_max_events: u64,
    ) -> Result<Counter, ServeError> {
        let (waiting, submissions) = mpsc::sync_channel(WAITING_MAX);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let buffer = Arc::clone(buffer);
        let thread = std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || {
                let backlog = Backlog::new(Arc::clone(&buffer), backlog_max_events);
                match Intake::new(buffer, options) {
                    Ok(intake) => {
                        // The one who opened this has gone only if it panicked; then nobody hands anything in.
                        if ready.send(Ok(())).is_ok() {
                            Worker { intake, backlog, total: Counts::default(), told_at: Instant::now() }
                                .work(&submissions);
                        }
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(ServeError::Thread)?;
        let ended = || IngestError::Buffer(crate::buffer::BufferError::ThreadEnded);
        is_ready.recv().unwrap_or_else(|_| Err(ended()))?;
        Ok(Counter { waiting: Some(waiting), thread: Some(thread) })
    }

    /// Hands a submission in and waits for its receipt.
    pub(super) async fn hand_in(
        &self,
        submission: Submission,
        share: Option<OwnedSemaphorePermit>,
    ) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let waiting = self.waiting.as_ref().ok_or(CounterError::Closed)?;
        waiting.try_send(Waiting { submission, share, reply }).map_err(|error| match error {
            TrySendError::Full(_) => CounterError::Busy,
            TrySendError::Disconnected(_) => CounterError::Closed,
        })?;
        outcome.await.unwrap_or(Err(CounterError::Closed))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by its own hook; there is nothing to add while dropping.
            drop(thread.join());
        }
    }
}

struct Worker {
    intake: Intake,
    backlog: Backlog,
    /// What came in since the log told of it.
    total: Counts,
    told_at: Instant,
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
        if self.backlog.is_full() {
            answer(first.reply, Err(CounterError::BacklogFull));
            return;
        }
        let (group, replies) = group(first, submissions);
        for (outcome, (reply, share)) in self.intake.take(group).into_iter().zip(replies) {
            if let Ok(receipt) = &outcome {
                self.total.add(&receipt.counts);
            }
            drop(share);
            answer(reply, outcome.map_err(CounterError::Refused));
        }
    }

    fn tell(&mut self) {
        let Counts { read, stored, duplicates, conflicts, rejected } = std::mem::take(&mut self.total);
        if read > 0 {
            tracing::info!(read, stored, duplicates, conflicts, rejected, "events were posted");
        }
        self.told_at = Instant::now();
    }
}

/// A sender that has gone hears nothing: what it sent is stored all the same, and a duplicate when it sends it again.
fn answer(reply: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(reply.send(outcome));
}

type Reply = (oneshot::Sender<Outcome>, Option<OwnedSemaphorePermit>);

/// The first submission with those that wait behind it, and who waits for them.
fn group(first: Waiting, submissions: &Receiver<Waiting>) -> (Vec<PlainSubmission>, Vec<Reply>) {
    let (mut group, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Waiting { submission, share, reply }) = next {
        match submission.unpack() {
            Ok(unpacked) => {
                bytes += unpacked.bytes();
                group.push(unpacked);
                replies.push((reply, share));
            }
            Err(error) => answer(reply, Err(CounterError::Refused(error))),
        }
        let is_full = group.len() >= GROUP_MAX || bytes >= GROUP_BYTES_MAX;
        next = if is_full { None } else { submissions.try_recv().ok() };
    }
    (group, replies)
}

/// How many events wait, as of a few seconds ago.
struct Backlog {
    buffer: Arc<Buffer>,
    /// 0: no limit.
    max_events: u64,
    is_full: bool,
    counted_at: Option<Instant>,
}

impl Backlog {
    fn new(buffer: Arc<Buffer>, max_events: u64) -> Backlog {
        Backlog { buffer, max_events, is_full: false, counted_at: None }
    }

    fn is_full(&mut self) -> bool {
        let is_recent = self.counted_at.is_some_and(|at| at.elapsed() < COUNT_EVERY);
        if self.max_events == 0 || is_recent {
            return self.is_full;
        }
        self.counted_at = Some(Instant::now());
        match self.buffer.pending() {
            Ok(pending) => self.is_full = pending >= self.max_events,
            // The store that follows fails for the same reason, and says so.
            Err(error) => tracing::warn!(%error, "the backlog cannot be counted"),
        }
        self.is_full
    }
}
