//! What the listener shows of the buffer: readiness, broken limits, metrics, the status.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::ServeError;
use super::thread::Thread;

/// How long an answer is given again, so that any number of requests cost one look a second for each view.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The longest that a look may take: shorter than the time-out of Prometheus and of usual monitors.
const WITHIN: Duration = Duration::from_secs(8);
/// The most requests that wait for a look: more than all connections.
const QUESTIONS_MAX: usize = 4096;

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// Whether this process can take events in.
    Ready,
    /// The limits of `[monitor]`.
    Check,
    /// The document of `status --json`.
    Status,
    Metrics,
    /// The status page.
    Page,
    /// A look at the dead or held event with this number.
    Event {
        sequence: i64,
        is_whole: bool,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Shown {
    /// 200, 404, or 503 if something is wrong.
    pub status: u16,
    pub content_type: &'static str,
    /// Shared by all replies of one look.
    pub text: Bytes,
}

/// Makes the answers. It is given by whoever knows the limits and the words.
pub type Show = Box<dyn Fn(View) -> Result<Shown, String> + Send>;

type Answer = Result<Shown, String>;
type Question = (View, oneshot::Sender<Answer>);

/// Makes the answers on a thread of its own, so that a slow look disturbs no sender.
pub(super) struct Views {
    questions: SyncSender<Question>,
    _thread: Thread,
}

impl Views {
    pub(super) fn start(show: Show) -> Result<Views, ServeError> {
        let (questions, asked) = sync_channel::<Question>(QUESTIONS_MAX);
        let thread = Thread::start("views", move || {
            let mut looked: HashMap<View, (Instant, Answer)> = HashMap::new();
            for (view, question) in asked {
                looked.retain(|_, (at, _)| at.elapsed() < GOOD_FOR);
                let (_, answer) = looked.entry(view).or_insert_with(|| (Instant::now(), show(view)));
                // The client may have closed its connection.
                question.send(answer.clone()).unwrap_or_default();
            }
        })?;
        Ok(Views { questions, _thread: thread })
    }

    pub(super) async fn ask(&self, view: View) -> Answer {
        let (question, answer) = oneshot::channel();
        if self.questions.try_send((view, question)).is_err() {
            return Err("too many requests wait".to_owned());
        }
        let slow = || Err("the buffer does not answer in time".to_owned());
        timeout(WITHIN, answer).await.map_or_else(|_| slow(), |answer| answer.unwrap_or_else(|_| slow()))
    }
}
