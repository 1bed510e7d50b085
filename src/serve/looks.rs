//! Answers questions about the buffer on a thread of its own, so that a slow look disturbs no sender. One of them is the
//! health check: whether the buffer answers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::ServeError;
use super::thread::Thread;

/// How long an answer is used again, so that any number of requests cost one look a second for each question.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The most requests that wait for a look: more than there are connections. Requests wait if a look blocks.
const WAITING_MAX: usize = 4096;
/// The longest time that a health check may take; it is shorter than the time-out of usual monitors.
const HEALTHY_WITHIN: Duration = Duration::from_secs(4);

pub(super) struct Looks<Q, A> {
    questions: SyncSender<(Q, oneshot::Sender<A>)>,
    _thread: Thread,
}

impl<Q: Copy + Eq + Hash + Send + 'static, A: Clone + Send + 'static> Looks<Q, A> {
    pub(super) fn start(name: &str, look: impl Fn(Q) -> A + Send + 'static) -> Result<Self, ServeError> {
        let (questions, asked) = sync_channel::<(Q, oneshot::Sender<A>)>(WAITING_MAX);
        let thread = Thread::start(name, move || {
            let mut looked: HashMap<Q, (Instant, A)> = HashMap::new();
            for (question, client) in asked {
                looked.retain(|_, (at, _)| at.elapsed() < GOOD_FOR);
                let (_, answer) = looked.entry(question).or_insert_with(|| (Instant::now(), look(question)));
                // The client may have closed its connection.
                client.send(answer.clone()).unwrap_or_default();
            }
        })?;
        Ok(Looks { questions, _thread: thread })
    }

    /// Asks a question; `None` if there is no answer within this time, or if too many requests wait.
    pub(super) async fn ask(&self, question: Q, within: Duration) -> Option<A> {
        let (client, answer) = oneshot::channel();
        self.questions.try_send((question, client)).ok()?;
        timeout(within, answer).await.ok()?.ok()
    }
}

/// Checks whether the buffer answers, on a connection of its own. The error is for the log.
pub type Pulse = Box<dyn Fn() -> Result<(), String> + Send>;

/// Checks the buffer with its own thread and database connection, both opened at the start. So the check also works
/// when senders use all threads and files.
pub(super) struct Health(Looks<(), bool>);

impl Health {
    pub(super) fn start(pulse: Pulse) -> Result<Health, ServeError> {
        Ok(Health(Looks::start("health", move |()| is_good(&pulse))?))
    }

    pub(super) async fn is_good(&self) -> bool {
        self.0.ask((), HEALTHY_WITHIN).await == Some(true)
    }
}

fn is_good(pulse: &Pulse) -> bool {
    let tell = |error: &String| tracing::error!(error, "the buffer does not answer");
    pulse().inspect_err(tell).is_ok()
}
