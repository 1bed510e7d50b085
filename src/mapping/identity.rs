//! Decides which visitor a hit counts for: by the suite's kind of identity, else by the best possible surrogate.
//!
//! ```text
//! ECID of 38 digits, if the suite uses ECIDs           itself
//! MVPD User ID, if the suite uses these:
//!   1 to 100 ASCII letters and digits                  itself, unless it begins with pbu or pbs
//!   any other                                          pbu + digest(user id, MVPD User ID)
//! neither, but a device ID                             pbs + digest(device,  requestor, device id)
//!       else a session ID                              pbs + digest(session, requestor, session id)
//!       else an address and a user agent               pbs + digest(agent,   requestor, address in binary, user agent)
//!       else                                           pbs + digest(event,   requestor, identity of the event)
//! digest(fields)    40 hexadecimal digits: the first 20 bytes of sha256 over the fields, each after its length (8 bytes,
//!                   big endian); the first field is "passbridge visitor 1 " and the word after "digest("
//! ```
//!
//! All of this is frozen: if a release changed the ID of a visitor, Analytics would count two visitors
//! (`fixtures/visitors.golden`). The [`VisitorRules`] say which values mean that there is no ID, what a spreadsheet
//! adds around an ID, and how an address is read. They have versions, and a repeated attempt keeps its version.

use std::borrow::Cow;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::limits::{ECID_DIGITS, VISITOR_ID_BYTES_MAX};
use super::{DigestReason, Note, SurrogateSource};
use crate::event::{EventId, PassEvent, Property, VisitorRules, is_shared};
use crate::hit::{VisitorIdentity, VisitorKey};
use crate::suite::{HitForm, IdentityKind, Rsid};

/// How the digest of an MVPD User ID begins.
const USER_PREFIX: &str = "pbu";
const SURROGATE_PREFIX: &str = "pbs";
/// The bytes kept of a digest. Among a billion visitors, two get the same digest with a chance of 1 in 10^30.
const DIGEST_BYTES: usize = 20;

pub(super) fn visitor<'a>(
    event: &'a PassEvent,
    id: EventId,
    form: &'a HitForm,
    notes: &mut Vec<Note>,
) -> VisitorIdentity<'a> {
    let identity = match form.identity {
        IdentityKind::MvpdUserId => Property::MvpdUserId,
        IdentityKind::Ecid => Property::VisitorId,
    };
    let rules = form.visitor_rules;
    match (form.identity, known(event, identity, rules)) {
        (IdentityKind::MvpdUserId, Some(user_id)) => {
            return VisitorIdentity::VisitorId(from_user_id(user_id, notes));
        }
        (IdentityKind::Ecid, Some(text)) if is_ecid(text.trim()) => {
            return VisitorIdentity::Ecid { id: text.trim(), org_id: form.org_id.as_ref() };
        }
        (IdentityKind::Ecid, Some(_)) => notes.push(Note::EcidInvalid),
        (_, None) => {}
    }
    let (visitor_id, made_from) = surrogate(event, id, rules);
    notes.push(Note::Surrogate { lacks: identity, made_from });
    VisitorIdentity::VisitorId(Cow::Owned(visitor_id))
}

/// The key that keeps a visitor's hits in one lane: the first 8 bytes of sha256 over report suite, kind and identifier.
pub(super) fn key(rsid: &Rsid, visitor: &VisitorIdentity<'_>) -> VisitorKey {
    let (kind, identifier) = visitor.tag();
    let digest = sha256(&[rsid.as_str().as_bytes(), kind.as_bytes(), identifier.as_bytes()]);
    VisitorKey(digest[..8].iter().fold(0, |key, byte| key << 8 | u64::from(*byte)))
}

/// The value of an identifier; `None` if it is missing or only says that it is unknown.
pub(super) fn known(event: &PassEvent, property: Property, rules: VisitorRules) -> Option<&str> {
    rules.known(event.property(property)?)
}

fn is_ecid(text: &str) -> bool {
    text.len() == ECID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The `visitorID` of an MVPD User ID. White space is part of the ID: two IDs that differ at all are two visitors.
fn from_user_id<'a>(user_id: &'a str, notes: &mut Vec<Note>) -> Cow<'a, str> {
    let because = if user_id.bytes().any(|byte| !byte.is_ascii_alphanumeric()) {
        DigestReason::OtherCharacters
    } else if user_id.len() > VISITOR_ID_BYTES_MAX {
        DigestReason::TooLong
    } else if begins_like_ours(user_id) {
        DigestReason::ReservedPrefix
    } else {
        return Cow::Borrowed(user_id);
    };
    notes.push(Note::VisitorDigested { because });
    Cow::Owned(digest(USER_PREFIX, &[b"passbridge visitor 1 user id", user_id.as_bytes()]))
}

/// Whether an ID begins with one of our prefixes, in lower or upper case, because Adobe may ignore case.
fn begins_like_ours(user_id: &str) -> bool {
    [USER_PREFIX, SURROGATE_PREFIX]
        .iter()
        .any(|prefix| user_id.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

fn surrogate(event: &PassEvent, id: EventId, rules: VisitorRules) -> (String, SurrogateSource) {
    let known = |property| known(event, property, rules);
    let made_from = |word: &str, fields: &[&[u8]], source| {
        let requestor = event.requestor_id().as_str().as_bytes();
        let all = [&[word.as_bytes(), requestor], fields].concat();
        (digest(SURROGATE_PREFIX, &all), source)
    };
    if let Some(device) = known(Property::DeviceId) {
        return made_from("passbridge visitor 1 device", &[device.as_bytes()], SurrogateSource::Device);
    }
    if let Some(session) = known(Property::SessionId) {
        return made_from("passbridge visitor 1 session", &[session.as_bytes()], SurrogateSource::Session);
    }
    if let (Some(address), Some(agent)) = (address(event, rules), known(Property::UserAgent)) {
        let fields = [address.as_slice(), agent.as_bytes()];
        return made_from("passbridge visitor 1 agent", &fields, SurrogateSource::AddressAndAgent);
    }
    made_from("passbridge visitor 1 event", &[id.bytes()], SurrogateSource::Event)
}

/// The viewer's address in binary, so that all its spellings are one visitor. `None` if it is no address, if it is
/// 0.0.0.0 or ::, or (from version 4 of the rules) if many networks share it.
fn address(event: &PassEvent, rules: VisitorRules) -> Option<Vec<u8>> {
    match rules.address(event.property(Property::IpAddress)?)? {
        address if address.is_unspecified() || rules >= VisitorRules::V4 && is_shared(address) => None,
        IpAddr::V4(address) => Some(address.octets().to_vec()),
        IpAddr::V6(address) => Some(address.octets().to_vec()),
    }
}

fn digest(prefix: &str, fields: &[&[u8]]) -> String {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut text = String::with_capacity(prefix.len() + 2 * DIGEST_BYTES);
    text.push_str(prefix);
    for byte in &sha256(fields)[..DIGEST_BYTES] {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// Hashes the fields, each after its length, so that no two lists of fields give the same bytes.
fn sha256(fields: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for field in fields {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    digest.finalize().into()
}
