//! The limits of a hit: those of Adobe's variables, each with its public page, and our own.
//!
//! The numbers of events and eVars follow from the mapping table: `EventKind::COUNT` and `Property::EVARS`.

use crate::event::Property;

/// The longest eVar, in bytes. Adobe cuts longer eVars, even inside a character (Implementation Guide, "eVar").
pub const EVAR_BYTES_MAX: usize = 255;
/// The longest `visitorID`, in bytes (Implementation Guide, "visitorID").
pub(super) const VISITOR_ID_BYTES_MAX: usize = 100;
/// The digits of an Experience Cloud ID ("Privacy labeling: namespaces").
pub(super) const ECID_DIGITS: usize = 38;
/// The length of a serial, in bytes: the most that Adobe keeps. A longer serial would be cut, and could then
/// equal another one (Implementation Guide, "Event serialization").
pub(super) const SERIAL_BYTES: usize = 20;
/// The longest user agent, in bytes. Adobe publishes no limit, and real agents stay below 512. This limit
/// keeps a hostile agent from growing the request.
pub(super) const USER_AGENT_BYTES_MAX: usize = 1_000;
/// The most single hits that are sent for one event. A source with larger counts should use `--count-with-id`,
/// because Adobe bills every hit as a server call, and a repeat of the event sends them all again.
pub const SINGLE_HITS_MAX: u32 = 100;

pub(super) fn bytes_max(property: Property) -> usize {
    if property == Property::UserAgent { USER_AGENT_BYTES_MAX } else { EVAR_BYTES_MAX }
}
