//! Whether the buffer answers.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::ServeError;
use super::thread::Thread;
use crate::buffer::{Buffer, Pulse};

/// How long an answer is good for: whoever asks, however often, costs one look a second.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How long the buffer may take to say that it lives: less than the time-out of any monitor.
const WITHIN: Duration = Duration::from_secs(4);
/// Questions that may wait for a look: as many as there are connections. A look that hangs keeps them waiting.
const QUESTIONS_MAX: usize = 4096;

/// Looks at the buffer by a thread and a connection that it has from the start: where no thread and no file is left, because
/// senders use them all, the buffer is healthy nevertheless.
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
