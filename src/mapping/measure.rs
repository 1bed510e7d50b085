//! What an event adds to the metrics: taken from the event where it was parsed, so that storing it reads nothing again.

use sha2::{Digest, Sha256};

use super::evar::evar;
use super::identity;
use crate::event::{EventKind, PassEvent, Property, VisitorRules};

/// What groups are made of, in the order of the columns of `metric_groups`.
const GROUPED: [Property; 5] =
    [Property::Mvpd, Property::Proxy, Property::SdkType, Property::DeviceType, Property::AuthzErrorType];
/// Between the values of a group: sanitised values have no control characters.
const SEPARATOR: char = '\u{1f}';
/// How the user ID of a degraded authentication begins, a fixed ID that stands for nobody (Pass REST API V2, samples of
/// profiles of type `degraded`).
const DEGRADED_PREFIX: &str = "95cf93bcd183214a";
/// How the user ID of a temporary pass begins (the same, of type `temporary`).
const TEMPORARY_PREFIX: &str = "temppass_";
/// The token type of an authentication that degradation granted.
const DEGRADED_TOKEN: &str = "authnall";

/// What an event adds to the metrics beside its count.
#[derive(Debug, Clone)]
pub struct Measure {
    /// The values of [`GROUPED`], joined: one allocation and one look-up an event.
    group: Box<str>,
    user: Option<MeasuredUser>,
}

/// A user, as far as it can be known without the secret.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredUser {
    pub digest: PlainDigest,
    pub is_synthetic: bool,
}

impl Measure {
    /// What this event adds. AuthN requested has no user, whatever its source says: nobody has logged in yet.
    pub fn of(event: &PassEvent) -> Measure {
        let mut group = String::with_capacity(64);
        for (index, property) in GROUPED.into_iter().enumerate() {
            if index > 0 {
                group.push(SEPARATOR);
            }
            group
                .push_str(&evar(event, property, &mut Vec::new()).map(|evar| evar.value).unwrap_or_default());
        }
        let user = match event.kind() {
            EventKind::AuthnRequested => None,
            _ => mvpd_user_id(event).map(|id| MeasuredUser {
                digest: PlainDigest::of(id),
                is_synthetic: is_synthetic(event, id),
            }),
        };
        Measure { group: group.into(), user }
    }

    /// The values of the group as one text.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// MVPD, proxy, SDK type, device type, reason; empty where there is none.
    pub fn values(&self) -> [&str; 5] {
        let mut values = self.group.split(SEPARATOR);
        std::array::from_fn(|_| values.next().unwrap_or_default())
    }

    pub fn user(&self) -> Option<MeasuredUser> {
        self.user
    }
}

/// The MVPD User ID of an event as eVar10 shows it, without white space at its ends; `None` where the event has none, or says
/// that nobody knows it.
pub fn mvpd_user_id(event: &PassEvent) -> Option<&str> {
    identity::known(event, Property::MvpdUserId, VisitorRules::default()).map(str::trim)
}

/// Whether an ID is that of degraded or temporary access, which many viewers share or which is new for each.
fn is_synthetic(event: &PassEvent, id: &str) -> bool {
    id.starts_with(DEGRADED_PREFIX)
        || id.starts_with(TEMPORARY_PREFIX)
        || event
            .property(Property::TokenType)
            .is_some_and(|token| token.trim().eq_ignore_ascii_case(DEGRADED_TOKEN))
}

/// The digest of a user ID without the secret: never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlainDigest([u8; 16]);

impl PlainDigest {
    /// Of an ID without white space at its ends.
    pub fn of(id: &str) -> PlainDigest {
        let digest = Sha256::new_with_prefix(b"passbridge user 1").chain_update(id).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        PlainDigest(bytes)
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
