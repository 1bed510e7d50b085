//! Group commit: claims and outcomes of all lanes share durable transactions.
//!
//! A lane never waits for an outcome to be recorded, only for its next claim. While one transaction is written, the
//! changes of the lanes gather for the next, so the price of a commit is shared by as many lanes as are busy. With
//! slow replies changes gather for [`LINGER`]; a lane without claims ends this at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use crate::buffer::{Buffer, BufferError, Change, RunId};

/// How long changes may gather while no lane waits. An outcome is durable this long and one commit after its reply.
const LINGER: Duration = Duration::from_millis(5);
/// The most changes in one transaction. Some are claims, so fewer than the 1,000 outcomes that may be late.
const CHANGES_MAX: usize = 1_000;

struct Entry {
    change: Change,
    granted: Option<oneshot::Sender<()>>,
}

/// A lane's end of the recorder.
#[derive(Clone)]
pub(super) struct Recorder {
    entries: mpsc::Sender<Entry>,
    hurry: Arc<Notify>,
}

/// A claim on its way to the disk.
pub(super) struct ClaimTicket {
    granted: oneshot::Receiver<()>,
    hurry: Arc<Notify>,
}

/// The recorder has failed. The drain reports the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecorderGone;

impl Recorder {
    /// Records an outcome; returns before it is durable. `lanes` bounds how many changes wait.
    pub(super) async fn record(&self, change: Change) -> Result<(), RecorderGone> {
        self.entries.send(Entry { change, granted: None }).await.map_err(|_| RecorderGone)
    }

    pub(super) async fn claim(&self, change: Change) -> Result<ClaimTicket, RecorderGone> {
        let (sender, granted) = oneshot::channel();
        self.entries.send(Entry { change, granted: Some(sender) }).await.map_err(|_| RecorderGone)?;
        Ok(ClaimTicket { granted, hurry: self.hurry.clone() })
    }
}

impl ClaimTicket {
    pub(super) async fn granted(mut self) -> Result<(), RecorderGone> {
        match self.granted.try_recv() {
            Ok(()) => Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => Err(RecorderGone),
            Err(oneshot::error::TryRecvError::Empty) => {
                self.hurry.notify_one();
                self.granted.await.map_err(|_| RecorderGone)
            }
        }
    }
}

/// Makes the recorder of a run: the lanes' end, and the task that ends when every lane has dropped its own.
pub(super) fn recorder(
    buffer: Arc<Buffer>,
    run: RunId,
    lanes: usize,
) -> (Recorder, impl Future<Output = Result<(), BufferError>>) {
    // A lane has at most two claims and two outcomes under way. With room for twice as many no lane waits here.
    let (entries, waiting) = mpsc::channel(lanes * 8 + 64);
    let hurry = Arc::new(Notify::new());
    (Recorder { entries, hurry: hurry.clone() }, write(buffer, run, waiting, hurry))
}

async fn write(
    buffer: Arc<Buffer>,
    run: RunId,
    mut waiting: mpsc::Receiver<Entry>,
    hurry: Arc<Notify>,
) -> Result<(), BufferError> {
    let mut entries = Vec::with_capacity(CHANGES_MAX);
    while waiting.recv_many(&mut entries, CHANGES_MAX).await > 0 {
        if entries.len() < CHANGES_MAX {
            tokio::select! {
                () = hurry.notified() => {}
                () = sleep(LINGER) => {}
            }
        }
        while entries.len() < CHANGES_MAX {
            let Ok(entry) = waiting.try_recv() else { break };
            entries.push(entry);
        }
        let (changes, granted): (Vec<Change>, Vec<_>) =
            entries.drain(..).map(|entry| (entry.change, entry.granted)).unzip();
        buffer.record(run, changes).await?;
        for sender in granted.into_iter().flatten() {
            // A lane that stopped waiting releases its claim by itself.
            sender.send(()).unwrap_or(());
        }
    }
    Ok(())
}
