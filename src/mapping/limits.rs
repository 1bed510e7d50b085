//! What a hit may be at the most: every limit of Adobe's variables, with its public page, and our own.
//!
//! How many events and eVars there are is a fact of the table: `EventKind::COUNT` and `Property::EVARS`.

use crate::event::Property;

/// The longest eVar, in bytes of UTF-8; Adobe cuts longer ones, through the middle of a character if need be
/// (Implementation Guide, "eVar").
pub const EVAR_BYTES_MAX: usize = 255;
/// The longest `visitorID`, in bytes (Implementation Guide, "visitorID").
pub(super) const VISITOR_ID_BYTES_MAX: usize = 100;
/// The digits of an Experience Cloud ID ("Privacy labeling: namespaces").
pub(super) const ECID_DIGITS: usize = 38;
/// The length of a serial, in bytes: as long as Adobe keeps; a longer one is cut and collides with its siblings
/// (Implementation Guide, "Event serialization").
pub(super) const SERIAL_BYTES: usize = 20;
/// The longest user agent, in bytes. Real ones stay below 512; no limit is published, and this one keeps a hostile agent
/// from growing the request.
pub(super) const USER_AGENT_BYTES_MAX: usize = 1_000;
/// The most single hits that are sent for one event. An aggregated source that counts more is better served by
/// `--count-with-id`: every hit is a server call that Adobe bills, and a repeat of the event sends them all again.
pub const SINGLE_HITS_MAX: u32 = 100;

/// The longest value of a property in a hit, in bytes.
pub(super) fn bytes_max(property: Property) -> usize {
    if property == Property::UserAgent { USER_AGENT_BYTES_MAX } else { EVAR_BYTES_MAX }
}
