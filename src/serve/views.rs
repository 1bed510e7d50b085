//! What the listener shows of the buffer: readiness, broken limits, metrics, the status, the status page, one event.

use bytes::Bytes;

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
        /// Whether personal values are shown too.
        is_whole: bool,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Shown {
    /// 200, 404, or 503 if something is wrong.
    pub status: u16,
    pub content_type: &'static str,
    /// The body, shared by all replies that one look answers.
    pub text: Bytes,
}

/// Makes the answers. The caller of the server provides this function, so the server needs no limits and no texts.
pub type Show = Box<dyn Fn(View) -> Answer + Send>;
pub(super) type Answer = Result<Shown, String>;
