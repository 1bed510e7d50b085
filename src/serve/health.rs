//! The health check: tells if the buffer answers.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::ServeError;
use super::thread::Thread;
use crate::buffer::{Buffer, Pulse};

/// The time for which an answer is reused, so that any number of requests cost one check a second.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The longest time that the buffer may take to answer; it is shorter than the time-out of usual monitors.
const WITHIN: Duration = Duration::from_secs(4);
/// The most requests that wait for a check: more than all connections. They pile up if a check blocks.
const QUESTIONS_MAX: usize = 4096;

/// Checks the buffer with its own thread and database connection, both opened at the start. So the check also works
/// when senders use all threads and files.
pub(super) struct Health {
    questions: SyncSender<oneshot::Sender<bool>>,
    _thread: Thread,
}

impl Health {
    pub(super) fn start(buffer: &Buffer) -> Result<Health, ServeError> {
        let pulse = buffer.pulse()?;
        let (questions, asked) = sync_channel::<oneshot::Sender<bool>>(QUESTIONS_MAX);
        let thread = Thread::start("health", move || {
            let mut looked: Option<(Instant, bool)> = None;
            for question in asked {
                looked = looked.filter(|(at, _)| at.elapsed() < GOOD_FOR);
                let (_, is_good) = *looked.get_or_insert_with(|| (Instant::now(), is_good(&pulse)));
                // The client may have closed its connection.
                question.send(is_good).unwrap_or_default();
            }
        })?;
        Ok(Health { questions, _thread: thread })
    }

    pub(super) async fn is_good(&self) -> bool {
        let (question, answer) = oneshot::channel();
        self.questions.try_send(question).is_ok() && matches!(timeout(WITHIN, answer).await, Ok(Ok(true)))
    }
}

fn is_good(pulse: &Pulse) -> bool {
    match pulse.look() {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the buffer does not answer");
            false
        }
    }
}
