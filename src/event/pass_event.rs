//! The event, and the requestor whose entitlement it is about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::EventError;
use super::viewer::{is_invisible, is_spoilt_text};
use super::{EventKind, Instant, Properties, Property, VisitorRules};
use crate::harmless::clip;
use crate::word::serde_as_text;

/// The longest `requestor_id`, in bytes: an eVar cuts a longer value.
pub const REQUESTOR_ID_BYTES_MAX: usize = 255;
/// The requestor that an event is about. It is not empty, and has no control characters or white space at its ends.
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

    /// The requestor in a source's text. Refuses a text that can name no requestor, such as a word for "unknown".
    pub fn of_source(text: &str) -> Result<RequestorId, EventError> {
        let why = if is_spoilt_text(text) {
            "a spreadsheet spoilt it; export that column as text"
        } else if text.chars().any(is_invisible) {
            "it has letters without a width; take them out"
        // Version 3 is the rule that the published schema states. What version 4 adds concerns viewers alone.
        } else if !text.is_empty() && VisitorRules::V3.known(text).is_none() {
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

impl FromStr for RequestorId {
    type Err = EventError;

    fn from_str(text: &str) -> Result<RequestorId, EventError> {
        RequestorId::new(text)
    }
}

serde_as_text!(RequestorId);

/// One canonical event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassEvent {
    pub(super) occurred_at: Instant,
    pub(super) kind: EventKind,
    pub(super) requestor_id: RequestorId,
    pub(super) event_id: Option<Box<str>>,
    pub(super) count: u32,
    /// All properties except `requestor_id`, which has its own field.
    pub(super) properties: Properties,
}

impl PassEvent {
    pub fn occurred_at(&self) -> Instant {
        self.occurred_at
    }

    pub fn kind(&self) -> EventKind {
        self.kind
    }

    pub fn requestor_id(&self) -> &RequestorId {
        &self.requestor_id
    }

    pub fn event_id(&self) -> Option<&str> {
        self.event_id.as_deref()
    }

    /// How many times the event happened, 1 to 1,000,000.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The value of a property, never empty. Also gives the `requestor_id`.
    pub fn property(&self, property: Property) -> Option<&str> {
        if property == Property::RequestorId {
            Some(self.requestor_id.as_str())
        } else {
            self.properties.get(property)
        }
    }
}
