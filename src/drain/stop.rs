//! The wish to end a drain, passed in from outside.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Why a drain ended before its backlog did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StopReason {
    Signal,
    Deadline,
    Limit,
    /// A collection host answered nothing for too long.
    Host,
    /// A suite's settings are wrong at its collection host.
    Suite,
    /// A backfill gives way: a live drain began, its hours are over, or a person paused it.
    #[serde(rename = "give_way")]
    GiveWay,
}

impl StopReason {
    /// The word that `--json` and the log say.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::Signal => "signal",
            StopReason::Deadline => "deadline",
            StopReason::Limit => "limit",
            StopReason::Host => "host",
            StopReason::Suite => "suite",
            StopReason::GiveWay => "give_way",
        }
    }
}

/// A drain's stop: takes no new events, finishes what is in flight.
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
    /// Asks for the stop; the first reason stays.
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
