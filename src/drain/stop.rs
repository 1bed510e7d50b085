//! The request to end a drain.

use std::sync::Arc;

use tokio::sync::watch;

use crate::word::words;

words! {
    /// Why a drain ended before the end of its backlog, the most important reason first.
    pub enum StopReason {
        Signal = "signal",
        Deadline = "deadline",
        Limit = "limit",
        /// A collection host did not answer for too long, or refused every event of every suite.
        Host = "host",
        /// A suite was stopped: its settings are wrong at its collection host, or the host refuses all its events, or
        /// answers them with errors for too long.
        Suite = "suite",
        /// A backfill interrupts its sending: a live drain began, its hours are over, or a person paused it.
        GiveWay = "give_way",
    }
}

/// A drain's stop. After a request the drain takes no new events and finishes those in flight.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: Arc<watch::Sender<Option<StopReason>>>,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { sender: Arc::new(watch::Sender::new(None)) }
    }
}

impl Stop {
    /// Requests the stop. Only the first request counts.
    pub fn request(&self, reason: StopReason) {
        self.sender.send_if_modified(|current| {
            let is_first = current.is_none();
            current.get_or_insert(reason);
            is_first
        });
    }

    pub fn requested(&self) -> Option<StopReason> {
        *self.sender.borrow()
    }

    pub async fn wait(&self) -> StopReason {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail; the fallback ends the drain.
        receiver.wait_for(Option::is_some).await.ok().and_then(|reason| *reason).unwrap_or(StopReason::Signal)
    }
}
