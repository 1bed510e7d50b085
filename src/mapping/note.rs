//! What the mapping had to change in a hit; `explain` shows it to people.

use serde::Serialize;

use super::limits::bytes_max;
use crate::event::Property;

/// One change that the mapping made in a hit, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// `bytes` is the length before the cut.
    #[error("{property} was cut from {bytes} bytes to at most {}", bytes_max(*property))]
    ValueCut { property: Property, bytes: usize },
    #[error("{property} had characters that XML cannot carry, which were dropped: {characters}")]
    CharactersDropped { property: Property, characters: usize },
    #[error("{property} had control characters, which became spaces: {characters}")]
    ControlsReplaced { property: Property, characters: usize },
    #[error(
        "{property} began with \"D=\", which Adobe replaces by another variable: it begins with \"D =\" now"
    )]
    DynamicVariableBroken { property: Property },
    #[error("{property} has nothing to report and counts as absent")]
    Blank { property: Property },
    #[error("resource_id is an MRSS document: its item title is reported")]
    MrssTitle,
    #[error(
        "resource_id begins like an MRSS document but has no item title or is not well-formed: it is reported as it is"
    )]
    MrssBroken,
    #[error("ip_address is no IP address: no ipAddress is sent")]
    IpAddressLeftOut,
    #[error("visitorID is a digest of mvpd_user_id, which {because}")]
    VisitorDigested { because: DigestReason },
    #[error("visitor_id is no ECID of 38 digits")]
    EcidInvalid,
    /// The event has no value of the kind of identity that its suite uses.
    #[error("the event has no usable {lacks}: visitorID is a surrogate made from {made_from}")]
    Surrogate { lacks: Property, made_from: SurrogateSource },
    #[error("count {hits} goes out as {hits} hits, each with a serial of its own")]
    Split { hits: u32 },
}

/// Why an MVPD User ID cannot be a `visitorID` as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum DigestReason {
    #[error("is longer than 100 bytes")]
    TooLong,
    #[error("has characters other than ASCII letters and digits")]
    OtherCharacters,
    /// Such an ID could be mistaken for a digest of ours.
    #[error("begins like a digest of passbridge")]
    ReservedPrefix,
}

/// What a surrogate identity is made from: the first of these that the event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateSource {
    #[error("requestor_id and device_id")]
    Device,
    #[error("requestor_id and session_id")]
    Session,
    #[error("requestor_id, ip_address and user_agent")]
    AddressAndAgent,
    /// The event counts as a visitor of its own.
    #[error("the event itself")]
    Event,
}

impl Note {
    /// Whether the note explains the identity of the hit.
    pub fn is_of_identity(&self) -> bool {
        matches!(self, Note::VisitorDigested { .. } | Note::EcidInvalid | Note::Surrogate { .. })
    }
}
