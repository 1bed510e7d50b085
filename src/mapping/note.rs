//! What mapping had to change, told to whoever asks why a hit is not simply its event.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{EVAR_BYTES_MAX, USER_AGENT_BYTES_MAX};
use crate::event::Property;

/// One thing that is different in a hit, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The value was longer than Adobe stores.
    ValueCut {
        #[serde(serialize_with = "as_name")]
        property: Property,
        /// Its length before, in bytes.
        bytes: usize,
    },
    /// Characters that XML 1.0 cannot carry were dropped.
    CharactersDropped {
        #[serde(serialize_with = "as_name")]
        property: Property,
        characters: usize,
    },
    ControlsReplaced {
        #[serde(serialize_with = "as_name")]
        property: Property,
        characters: usize,
    },
    /// The value began with `D=`, which Adobe would replace by another variable.
    DynamicVariableBroken {
        #[serde(serialize_with = "as_name")]
        property: Property,
    },
    /// Nothing was left of the value, so it counts as absent.
    Blank {
        #[serde(serialize_with = "as_name")]
        property: Property,
    },
    /// `resource_id` is an MRSS document: its item title is reported.
    MrssTitle,
    /// `resource_id` begins like an MRSS document but has no item title or is not well-formed: it is reported as it is.
    MrssBroken,
    /// `ip_address` is no IP address: none is sent.
    IpAddressLeftOut,
    /// The MVPD User ID cannot be a `visitorID` as it is: a digest of it is sent.
    VisitorDigested {
        /// What is in the way.
        because: DigestReason,
    },
    /// `visitor_id` is no ECID: a surrogate is sent instead.
    EcidInvalid,
    /// The event lacks the identity of its suite: a surrogate `visitorID` stands in.
    Surrogate {
        #[serde(serialize_with = "as_name")]
        lacks: Property,
        /// What the surrogate was made from, beside the requestor.
        made_from: SurrogateSource,
    },
    /// The count goes out as single hits.
    Split { hits: u32 },
}

/// Why an MVPD User ID is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestReason {
    /// It is longer than 100 bytes.
    TooLong,
    /// It has characters other than ASCII letters and digits.
    OtherCharacters,
    /// It begins as a digest of ours does, and could be taken for one.
    ReservedPrefix,
}

/// What a surrogate identity is made from, beside the requestor; the first that the event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateSource {
    /// `device_id`.
    Device,
    /// `session_id`.
    Session,
    /// `ip_address` and `user_agent`, both.
    AddressAndAgent,
    /// The event itself: its hit is a visitor of its own.
    Event,
}

fn as_name<S: Serializer>(property: &Property, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(property.name())
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::ValueCut { property, bytes } => {
                let kept =
                    if *property == Property::UserAgent { USER_AGENT_BYTES_MAX } else { EVAR_BYTES_MAX };
                write!(out, "{} was cut from {bytes} bytes to at most {kept}", property.name())
            }
            Note::CharactersDropped { property, characters } => {
                write!(
                    out,
                    "{} had characters that XML cannot carry, which were dropped: {characters}",
                    property.name()
                )
            }
            Note::ControlsReplaced { property, characters } => {
                write!(out, "{} had control characters, which became spaces: {characters}", property.name())
            }
            Note::DynamicVariableBroken { property } => write!(
                out,
                "{} began with \"D=\", which Adobe replaces by another variable: it begins with \"D =\" now",
                property.name()
            ),
            Note::Blank { property } => {
                write!(out, "{} has nothing to report and counts as absent", property.name())
            }
            Note::MrssTitle => write!(out, "resource_id is an MRSS document: its item title is reported"),
            Note::MrssBroken => write!(
                out,
                "resource_id begins like an MRSS document but has no item title or is not well-formed: it is \
                 reported as it is"
            ),
            Note::IpAddressLeftOut => write!(out, "ip_address is no IP address: no ipAddress is sent"),
            Note::VisitorDigested { because } => {
                write!(out, "visitorID is a digest of mvpd_user_id, which {because}")
            }
            Note::EcidInvalid => write!(out, "visitor_id is no ECID of 38 digits"),
            Note::Surrogate { lacks, made_from } => {
                write!(
                    out,
                    "the event has no usable {}: visitorID is a surrogate made from {made_from}",
                    lacks.name()
                )
            }
            Note::Split { hits } => {
                write!(out, "count {hits} goes out as {hits} hits, each with a serial of its own")
            }
        }
    }
}

impl fmt::Display for DigestReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            DigestReason::TooLong => "is longer than 100 bytes",
            DigestReason::OtherCharacters => "has characters other than ASCII letters and digits",
            DigestReason::ReservedPrefix => "begins as a digest of passbridge does",
        })
    }
}

impl fmt::Display for SurrogateSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            SurrogateSource::Device => "requestor_id and device_id",
            SurrogateSource::Session => "requestor_id and session_id",
            SurrogateSource::AddressAndAgent => "requestor_id, ip_address and user_agent",
            SurrogateSource::Event => "the event itself",
        })
    }
}
