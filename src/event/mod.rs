//! The canonical Pass event: one thing that Adobe Pass Authentication did for a viewer. It is valid by construction.
//!
//! - In: the keys and values of a source line, as a [`Draft`]. Out: a [`PassEvent`], or an [`EventError`].
//! - Guarantees: a `PassEvent` has a kind, a requestor, an instant from the year 2000 to the clock plus a skew, and a
//!   count of 1 to 1,000,000; its [`EventId`] never changes between releases.
//! - Does not know: formats, files, report suites, what Adobe does with an event.
//! - Rules: `schemas/pass-event.schema.json`. `table` names Adobe's page about the events and eVars.

mod address;
mod day_span;
mod draft;
mod error;
mod filled_keys;
mod identity;
mod instant;
mod measure;
mod pass_event;
mod properties;
mod slice;
mod stored;
mod table;
mod viewer;

pub use address::is_shared;
pub use day_span::DaySpan;
pub use draft::{
    COUNT_MAX, Draft, EARLIEST_UNIX_SECONDS, EVENT_ID_CHARS_MAX, RawValue, TimeBounds, key_named,
    whole_number,
};
pub use error::EventError;
pub use filled_keys::{FilledKeys, LostKeys};
pub use identity::{ContentDigest, EventId, Identity};
pub use instant::Instant;
pub use measure::{Measure, MeasureOf, MeasuredUser, PlainDigest};
pub use pass_event::{PassEvent, REQUESTOR_ID_BYTES_MAX, RequestorId};
pub use properties::Properties;
pub use slice::Slice;
pub use stored::StoredColumns;
pub use table::{DefaultValue, EventKind, KindSet, Property};
pub use viewer::{
    DEGRADED_USER_PREFIX, IDENTIFIERS, VisitorRules, has_zeros_behind, identifier, is_invisible,
    is_lost_address, is_no_value, is_spoilt, is_synthetic, long_number_ends_in_zero, unwrapped,
};
