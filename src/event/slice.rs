//! The part of a source that a person selects, and the keys that make the ID of an event without one.

use serde::{Deserialize, Serialize};

use super::{Instant, PassEvent, RequestorId};

/// A slice of a source. An empty or absent field limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    pub from: Option<Instant>,
    /// The end of the span of `occurred_at`, exclusive.
    pub to: Option<Instant>,
    pub requestors: Vec<RequestorId>,
    /// The keys that make the ID of an event that has none.
    pub event_id_from: Vec<String>,
}

impl Slice {
    /// Whether an event is in the slice. Gives an event without an ID the ID that `event_id_from` makes, if any.
    pub fn takes(&self, event: &mut PassEvent) -> bool {
        event.identify_by(&self.event_id_from);
        self.from.is_none_or(|from| event.occurred_at() >= from)
            && self.to.is_none_or(|to| event.occurred_at() < to)
            && (self.requestors.is_empty() || self.requestors.contains(event.requestor_id()))
    }
}
