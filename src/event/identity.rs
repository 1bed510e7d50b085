//! The identity of an event: 16 bytes that are always equal for the same event.
//!
//! ```text
//! with event_id:     sha256("passbridge event 1 by id"   + fields)[..16]     fields: requestor_id, event, event_id
//! without:           Unix milliseconds (6 bytes, big endian) + sha256("passbridge event 1 by form" + fields)[..10]
//! a field:           name "=" length of the value in bytes ":" value "\n"
//! ```
//!
//! The frozen form contains only the keys of schema version 1, sorted: `count`, `occurred_at` as nanoseconds since
//! the Unix epoch, and every other key that the event has, with its value as [`counted`] reads it: `\N` and an absent key
//! are the same. Later releases may add properties, but never to this form. An earlier release took the values as they
//! were written. If that differs, its identity is looked up, but never written. So events stored years ago are still recognised (`fixtures/identities.golden` tests that). The time at the start
//! keeps inserts into the unique index in order, which is twice as fast for more than a million rows.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::viewer::counted;
use super::{EventKind, PassEvent, Property, RequestorId};

/// The identity of an event. Two events with equal identities are the same event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    pub fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(bytes)
    }

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

/// A digest of an event's frozen form, which tells a duplicate from a conflict if two identities are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub i64);

/// What recognises an event that is already stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub id: EventId,
    pub content: ContentDigest,
    /// The ID and the content under which an earlier release stored the event, if they differ.
    pub former: Option<(EventId, ContentDigest)>,
}

/// The keys of schema version 1, sorted. Never add or move a key.
const FROZEN_V1: &str = "authentication_type authz_error_type clientless_device_type count device_browser_name \
    device_browser_vendor device_browser_version device_hardware_manufacturer device_hardware_model \
    device_hardware_vendor device_hardware_version device_id device_model device_os_family device_os_name \
    device_os_vendor device_os_version device_type device_version event event_id external_auth_provider ip_address \
    latency_ms mvpd mvpd_user_id normalized_clientless_device_type occurred_at operating_system \
    primary_hardware_type proxy requestor_id resource_id sdk_type sdk_version server_version session_id \
    sso_mechanism token_type ttl user_agent visitor_id";

/// The keys of the frozen form, each with its property; `None` for a key that is no property.
static FROZEN: LazyLock<Vec<(&str, Option<Property>)>> =
    LazyLock::new(|| FROZEN_V1.split(' ').map(|name| (name, Property::from_name(name))).collect());

impl EventId {
    pub fn by_id(requestor_id: &RequestorId, kind: EventKind, event_id: &str) -> EventId {
        let mut form = "passbridge event 1 by id".to_owned();
        field(&mut form, Property::RequestorId.name(), requestor_id.as_str());
        field(&mut form, "event", kind.name());
        field(&mut form, "event_id", event_id);
        EventId(first(&Sha256::digest(form).into()))
    }
}

impl PassEvent {
    pub fn identity(&self) -> Identity {
        // Hashing the whole form at once costs half as much as field by field. All events of a thread share its memory.
        thread_local!(static FORM: RefCell<String> = RefCell::default());
        FORM.with_borrow_mut(|form| {
            let is_as_written = self.write_form(form, counted);
            let (id, content) = self.identity_of(form);
            let former = (!is_as_written).then(|| {
                self.write_form(form, |_, text| text.into());
                self.identity_of(form)
            });
            Identity { id, content, former }
        })
    }

    fn identity_of(&self, form: &str) -> (EventId, ContentDigest) {
        let form: [u8; 32] = Sha256::digest(form).into();
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

    /// Writes the frozen form with the properties as `read` returns them. Returns whether all are as they were written.
    fn write_form(&self, form: &mut String, read: fn(Property, &str) -> Cow<'_, str>) -> bool {
        let mut is_as_written = true;
        form.clear();
        form.push_str("passbridge event 1 by form");
        for (name, property) in FROZEN.iter() {
            let Some(written) = self.frozen_value(name, *property) else { continue };
            let Some(property) = property else {
                field(form, name, &written);
                continue;
            };
            let value = read(*property, &written);
            is_as_written &= *value == *written;
            if !value.is_empty() {
                field(form, name, &value);
            }
        }
        is_as_written
    }

    fn frozen_value(&self, name: &str, property: Option<Property>) -> Option<Cow<'_, str>> {
        match (property, name) {
            (Some(property), _) => self.property(property).map(Cow::from),
            (None, "event") => Some(self.kind().name().into()),
            (None, "event_id") => self.event_id().map(Cow::from),
            (None, "count") => Some(self.count().to_string().into()),
            // This is `occurred_at`, the only other key.
            (None, _) => Some(self.occurred_at().nanos().to_string().into()),
        }
    }

    /// Gives an event without an ID one that is made from these keys, in whatever order. This rule must never change.
    pub(super) fn identify_by(&mut self, keys: &[String]) {
        if keys.is_empty() || self.event_id.is_some() {
            return;
        }
        let mut form = "passbridge event_id 1 from keys".to_owned();
        let keys: BTreeSet<&String> = keys.iter().collect();
        for key in keys {
            let value = self.frozen_value(key, Property::from_name(key)).unwrap_or_default();
            field(&mut form, key, &value);
        }
        let made = EventId(first(&Sha256::digest(form).into()));
        self.event_id = Some(format!("keys-{made}").into());
    }
}

fn field(form: &mut String, name: &str, value: &str) {
    form.push_str(name);
    form.push('=');
    form.push_str(itoa::Buffer::new().format(value.len()));
    form.push(':');
    form.push_str(value);
    form.push('\n');
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
        let names: Vec<&str> = FROZEN_V1.split(' ').collect();
        assert!(names.is_sorted());
        assert_eq!((names.len(), FROZEN.len()), (Property::COUNT + 4, Property::COUNT + 4));
    }
}
