//! The event itself, and whose entitlement it is about.

use std::fmt;
use std::sync::Arc;

use super::error::{EventError, clip};
use super::viewer::{is_invisible, is_spoilt_text};
use super::{EventKind, Instant, Properties, Property, VisitorRules};

/// The longest `requestor_id`, in bytes: what an eVar can report whole.
pub const REQUESTOR_ID_BYTES_MAX: usize = 255;
/// Whose entitlement an event is about. Not empty, no control characters, no white space at its ends.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestorId(Arc<str>);

impl RequestorId {
    pub fn new(text: &str) -> Result<RequestorId, EventError> {
        if text.is_empty()
            || text.len() > REQUESTOR_ID_BYTES_MAX
            || text.trim() != text
            || text.chars().any(char::is_control)
        {
            return Err(EventError::BadRequestor(clip(text)));
        }
        Ok(RequestorId(text.into()))
    }

    /// The requestor that a source names. What stands for an absent value would be an account that no suite has.
    pub fn of_source(text: &str) -> Result<RequestorId, EventError> {
        let why = if is_spoilt_text(text) {
            "a spreadsheet spoilt it; export that column as text"
        } else if text.chars().any(is_invisible) {
            "it has letters without a width; take them out"
        } else if !text.is_empty() && VisitorRules::default().known(text).is_none() {
            "it says that there is none"
        } else {
            return RequestorId::new(text);
        };
        Err(EventError::NoRequestor(clip(text), why))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestorId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for RequestorId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &self.0)
    }
}

impl serde::Serialize for RequestorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One canonical event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassEvent {
    pub(super) occurred_at: Instant,
    pub(super) kind: EventKind,
    pub(super) requestor_id: RequestorId,
    pub(super) event_id: Option<Box<str>>,
    pub(super) count: u32,
    /// Without `requestor_id`, which stands above.
    pub(super) properties: Properties,
}

impl PassEvent {
    pub fn occurred_at(&self) -> Instant {
        self.occurred_at
    }

    /// Which of the eighteen kinds it is.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    pub fn requestor_id(&self) -> &RequestorId {
        &self.requestor_id
    }

    /// The identifier that its source gave it, if any.
    pub fn event_id(&self) -> Option<&str> {
        self.event_id.as_deref()
    }

    /// How many times it happened, 1 to 1,000,000.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A property's value, never empty; the requestor ID among them.
    pub fn property(&self, property: Property) -> Option<&str> {
        if property == Property::RequestorId {
            Some(self.requestor_id.as_str())
        } else {
            self.properties.get(property)
        }
    }
}
