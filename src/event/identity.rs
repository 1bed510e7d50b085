//! The identity of an event: 16 bytes that are equal for the same event, for ever.
//!
//! ```text
//! with event_id:     sha256("passbridge event 1 by id"   + fields)[..16]     fields: requestor_id, event, event_id
//! without:           Unix milliseconds (6 bytes, big endian) + sha256("passbridge event 1 by form" + fields)[..10]
//! a field:           name "=" length of the value in bytes ":" value "\n"
//! ```
//!
//! The frozen form holds the keys of schema version 1 only, sorted, absent ones left out, `count` always, the instant as
//! nanoseconds since the Unix epoch. Later releases may add properties; they never add them to this form, so an event that
//! was stored years ago is recognised for ever (`fixtures/identities.golden` says so). The time prefix keeps the unique
//! index in order, which is twice as fast past a million rows.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{EventKind, PassEvent, Property, RequestorId};

/// Our identity of an event. Two events with the same one are the same event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    /// The identity with these bytes, as the buffer stores them.
    pub fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(bytes)
    }

    /// The 16 bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EventId({self})")
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A digest of everything that an event says: tells a duplicate from a conflict when the identity is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub i64);

/// One entry of the frozen form.
enum Frozen {
    Count,
    Event,
    EventId,
    OccurredAt,
    Text(Property),
}

/// The keys of schema version 1, sorted by name. Nothing is ever added or moved here.
const FROZEN_V1: [Frozen; 42] = {
    use Frozen::*;
    use Property::*;
    [
        Text(AuthenticationType),
        Text(AuthzErrorType),
        Text(ClientlessDeviceType),
        Count,
        Text(DeviceBrowserName),
        Text(DeviceBrowserVendor),
        Text(DeviceBrowserVersion),
        Text(DeviceHardwareManufacturer),
        Text(DeviceHardwareModel),
        Text(DeviceHardwareVendor),
        Text(DeviceHardwareVersion),
        Text(DeviceId),
        Text(DeviceModel),
        Text(DeviceOsFamily),
        Text(DeviceOsName),
        Text(DeviceOsVendor),
        Text(DeviceOsVersion),
        Text(DeviceType),
        Text(DeviceVersion),
        Event,
        EventId,
        Text(ExternalAuthProvider),
        Text(IpAddress),
        Text(LatencyMs),
        Text(Mvpd),
        Text(MvpdUserId),
        Text(NormalizedClientlessDeviceType),
        OccurredAt,
        Text(OperatingSystem),
        Text(PrimaryHardwareType),
        Text(Proxy),
        Text(RequestorId),
        Text(ResourceId),
        Text(SdkType),
        Text(SdkVersion),
        Text(ServerVersion),
        Text(SessionId),
        Text(SsoMechanism),
        Text(TokenType),
        Text(Ttl),
        Text(UserAgent),
        Text(VisitorId),
    ]
};

impl EventId {
    /// The identity of an event that has an `event_id`.
    pub fn by_id(requestor_id: &RequestorId, kind: EventKind, event_id: &str) -> EventId {
        let mut digest = Sha256::new_with_prefix(b"passbridge event 1 by id");
        field(&mut digest, Property::RequestorId.name(), requestor_id.as_str());
        field(&mut digest, "event", kind.name());
        field(&mut digest, "event_id", event_id);
        EventId(first(&digest.finalize().into()))
    }
}

impl PassEvent {
    /// Its identity and the digest of its content.
    pub fn identity(&self) -> (EventId, ContentDigest) {
        let form = self.frozen_digest();
        let content = ContentDigest(i64::from_be_bytes(first(&form)));
        let Some(event_id) = self.event_id() else {
            let milliseconds = self.occurred_at().nanos().div_euclid(1_000_000).to_be_bytes();
            let mut bytes = [0; 16];
            bytes[..6].copy_from_slice(&milliseconds[2..]);
            bytes[6..].copy_from_slice(&form[..10]);
            return (EventId(bytes), content);
        };
        (EventId::by_id(self.requestor_id(), self.kind(), event_id), content)
    }

    fn frozen_digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(b"passbridge event 1 by form");
        for entry in &FROZEN_V1 {
            match entry {
                Frozen::Count => field(&mut digest, "count", &self.count().to_string()),
                Frozen::Event => field(&mut digest, "event", self.kind().name()),
                Frozen::EventId => {
                    self.event_id().into_iter().for_each(|id| field(&mut digest, "event_id", id))
                }
                Frozen::OccurredAt => {
                    field(&mut digest, "occurred_at", &self.occurred_at().nanos().to_string())
                }
                Frozen::Text(property) => {
                    self.property(*property)
                        .into_iter()
                        .for_each(|value| field(&mut digest, property.name(), value));
                }
            }
        }
        digest.finalize().into()
    }
}

fn field(digest: &mut Sha256, name: &str, value: &str) {
    digest.update(name);
    digest.update(b"=");
    digest.update(value.len().to_string());
    digest.update(b":");
    digest.update(value);
    digest.update(b"\n");
}

fn first<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frozen_form_is_sorted_and_names_every_key_of_version_one() {
        let names: Vec<&str> = FROZEN_V1
            .iter()
            .map(|entry| match entry {
                Frozen::Count => "count",
                Frozen::Event => "event",
                Frozen::EventId => "event_id",
                Frozen::OccurredAt => "occurred_at",
                Frozen::Text(property) => property.name(),
            })
            .collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), Property::COUNT + 4);
    }
}
