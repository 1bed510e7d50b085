//! The hits of a probe. All of them follow from its record.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::buffer::ProbeRecord;
use crate::encode;
use crate::event::{Draft, EventId, EventKind, Instant, Property, TimeBounds};
use crate::mapping;
use crate::suite::{CountForm, EventIds, IdentityKind, Rsid};

/// Marks the hits of a probe, for people and segments: the value of eVar2 begins with this text.
pub(super) const MVPD: &str = "passbridge-probe";
/// Text beyond ASCII: characters of two bytes, of three bytes, and of another script.
pub(super) const BEYOND_ASCII: &str = "Zürich–放送";
/// The agent of an ordinary browser, so that no bot rule takes the probe for a robot.
pub(super) const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Another agent, and an address for documentation (RFC 5737), for the hits of the second visitor. If these hits are
/// seen and the hits of the probe's own visitor are not, an exclusion matches this host or the first agent.
pub(super) const OTHER_USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                                           Version/18.6 Safari/605.1.15";
pub(super) const OTHER_ADDRESS: &str = "203.0.113.7";
/// How many seconds before the probe's start its first hit happened. No hit may be in the future on Adobe's clock.
const BEFORE_SECONDS: i64 = 120;
pub(super) const COUNT: u32 = 3;
/// The event that is sent with a count above 1, if counts are sent together with their serial.
pub(super) const COUNTED: EventKind = EventKind::AuthzOk;
/// The eVars of the first and of the second bare hit.
pub(super) const BARE_EVARS: [Property; 2] = [Property::ResourceId, Property::SdkVersion];
pub(super) const BARE_KINDS: [EventKind; 2] = [EventKind::LogoutRequested, EventKind::LogoutCompleted];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    First,
    Repeat,
    Second,
    Set,
    Bare,
}

impl Group {
    pub(super) fn is_own(self) -> bool {
        matches!(self, Group::First | Group::Repeat | Group::Second)
    }

    /// The part of an event ID that differs between groups. A repeat has the ID of the first hit, so the same serial.
    fn name(self) -> &'static str {
        match self {
            Group::First | Group::Repeat => "first",
            Group::Second => "second",
            Group::Set => "set",
            Group::Bare => "bare",
        }
    }
}

pub(super) struct Canary {
    pub(super) group: Group,
    pub(super) kind: EventKind,
    pub(super) count: u32,
    pub(super) evars: Vec<(u8, String)>,
    pub(super) body: Bytes,
}

pub(super) struct Plan {
    pub(super) record: ProbeRecord,
    pub(super) hits: Vec<Canary>,
}

/// The ID of a probe that begins now. It has only letters and digits, so that eVars and visitor IDs keep it unchanged.
pub(super) fn id_of(rsid: &Rsid, started_at: Instant) -> String {
    let digest = digest(b"id", &[rsid.as_str().as_bytes(), &started_at.nanos().to_be_bytes()]);
    let serial = mapping::serial(EventId::from_bytes(digest), 0);
    format!("probe{}", &serial[..10])
}

fn digest(what: &[u8], fields: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new_with_prefix(b"passbridge probe 1 ");
    digest.update(what);
    fields.iter().for_each(|field| digest.update(field));
    let digest: [u8; 32] = digest.finalize().into();
    std::array::from_fn(|index| digest[index])
}

/// An invented Experience Cloud ID: 38 digits that no viewer has.
fn ecid(id: &str) -> String {
    let digits = ["a", "b", "c"].map(|part| digest(b"ecid", &[id.as_bytes(), part.as_bytes()]));
    let digits = digits.as_flattened().iter().take(38).map(|byte| char::from(b'0' + byte % 10));
    digits.collect()
}

impl Plan {
    pub(super) fn new(record: ProbeRecord) -> Plan {
        let mut plan = Plan { record, hits: Vec::new() };
        let main = plan.values('m');
        let counts_with_id = plan.has_ids() && plan.record.form.count_form == CountForm::CountWithId;
        for (at, kind) in (0..).zip(EventKind::ALL) {
            let count = if kind == COUNTED && counts_with_id { COUNT } else { 1 };
            plan.add(Group::First, kind, at, count, &main);
            if plan.has_ids() {
                plan.add(Group::Repeat, kind, at, count, &main);
            }
        }
        for (at, kind) in (20..).zip(EventKind::ALL) {
            plan.add(Group::Second, kind, at, 1, &main);
        }
        let mut set = plan.values('s');
        set.retain(|(property, _)| *property != plan.identity());
        plan.add(Group::Set, EventKind::AuthnRequested, 40, 1, &set);
        for (at, which, letter) in [(45, 0, 'b'), (50, 1, 'c')] {
            let property = BARE_EVARS[which];
            let value = plan.value(property, letter);
            plan.add(Group::Bare, BARE_KINDS[which], at, 1, &[(property, value)]);
        }
        plan
    }

    pub(super) fn has_ids(&self) -> bool {
        self.record.form.event_ids == EventIds::On
    }

    pub(super) fn identity(&self) -> Property {
        match self.record.form.identity {
            IdentityKind::MvpdUserId => Property::MvpdUserId,
            IdentityKind::Ecid => Property::VisitorId,
        }
    }

    fn values(&self, letter: char) -> Vec<(Property, String)> {
        let reported = Property::reported().iter().filter(|property| **property != Property::RequestorId);
        reported.map(|property| (*property, self.value(*property, letter))).collect()
    }

    fn value(&self, property: Property, letter: char) -> String {
        let own = format!("{}{letter}{}", self.record.id, property.evar().unwrap_or(0));
        match property {
            Property::Mvpd => format!("{MVPD} {own}"),
            Property::ResourceId if letter == 'm' => format!("{own} {BEYOND_ASCII}"),
            // An Experience Cloud ID has only digits, so it cannot contain the probe's ID. Each probe has its own.
            Property::VisitorId if self.record.form.identity == IdentityKind::Ecid => ecid(&self.record.id),
            _ => own,
        }
    }

    /// Adds the hit of an event that happened `after_seconds` after the first event.
    fn add(
        &mut self,
        group: Group,
        kind: EventKind,
        after_seconds: i64,
        count: u32,
        values: &[(Property, String)],
    ) {
        let record = &self.record;
        let seconds = record.started_at.unix_seconds() - BEFORE_SECONDS + after_seconds;
        let occurred_at = Instant::from_nanos(seconds * 1_000_000_000);
        let event_id = format!("{MVPD} {} {}", record.id, group.name()).into_boxed_str();
        let mut draft = Draft::derived(kind, occurred_at, record.requestor_id.clone(), event_id);
        draft.count(count);
        if group.is_own() {
            draft.put(Property::UserAgent, USER_AGENT);
        } else {
            draft.put(Property::UserAgent, OTHER_USER_AGENT);
            draft.put(Property::IpAddress, OTHER_ADDRESS);
        }
        // The device ID gives the visitor a surrogate if no identity names the visitor.
        draft.put(Property::DeviceId, &record.id);
        for (property, value) in values {
            draft.put(*property, value);
        }
        let latest = Instant::from_nanos(i64::MAX);
        let event = draft
            .finish(TimeBounds { latest, now: latest })
            .expect("a probe's event has all that an event needs");
        let mapped = mapping::map(&event, event.identity().id, &record.form)
            .expect("a count of at most three is never too large for its form");
        let hit = mapped.hits.first().expect("an event has at least one hit");
        let mut body = Vec::new();
        encode::dia(hit, &mut body);
        let evars = hit.evars.iter().map(|(number, value)| (*number, value.to_string())).collect();
        self.hits.push(Canary { group, kind, count, evars, body: body.into() });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::RequestorId;
    use crate::suite::HitForm;

    fn record(change: impl FnOnce(&mut HitForm)) -> ProbeRecord {
        let rsid: Rsid = "examplersid".parse().expect("a report suite");
        let started_at = Instant::from_nanos(1_795_000_000_500_000_000);
        let mut form = HitForm::with_defaults(rsid.clone());
        change(&mut form);
        ProbeRecord {
            id: id_of(&rsid, started_at),
            requestor_id: RequestorId::new("REF30").expect("a requestor"),
            form,
            started_at,
            sent_at: None,
            read_at: None,
            report: None,
        }
    }

    #[test]
    fn each_event_goes_three_times_and_only_the_repeat_is_the_same_hit() {
        let plan = Plan::new(record(|_| {}));
        assert_eq!(plan.hits.len(), 3 * 18 + 3);
        let of = |group| plan.hits.iter().filter(move |hit| hit.group == group).map(|hit| &hit.body);
        assert!(of(Group::First).eq(of(Group::Repeat)));
        let distinct: BTreeSet<&Bytes> = plan.hits.iter().map(|hit| &hit.body).collect();
        assert_eq!(distinct.len(), 2 * 18 + 3);
        let without_ids = Plan::new(record(|form| form.event_ids = EventIds::Off));
        assert_eq!(without_ids.hits.len(), 2 * 18 + 3);
        assert!(without_ids.hits.iter().all(|hit| hit.group != Group::Repeat));
    }

    #[test]
    fn every_value_carries_the_probe_and_the_plan_follows_from_its_record() {
        let record = record(|_| {});
        let plan = Plan::new(record.clone());
        let first = &plan.hits[0];
        assert_eq!(first.evars.len(), 34);
        assert!(first.evars.iter().skip(1).all(|(_, value)| value.contains(&record.id)), "{:?}", first.evars);
        assert_eq!(first.evars[0].1, "REF30");
        assert!(first.evars[1].1.starts_with("passbridge-probe "));
        let again = Plan::new(record.clone());
        assert!(plan.hits.iter().zip(&again.hits).all(|(one, other)| one.body == other.body));
        let body = String::from_utf8_lossy(&first.body);
        assert!(body.contains(&format!("<visitorID>{}m10</visitorID>", record.id)), "{body}");
    }

    #[test]
    fn an_ecid_suite_gets_an_experience_cloud_id() {
        let plan = Plan::new(record(|form| form.identity = IdentityKind::Ecid));
        let body = String::from_utf8_lossy(&plan.hits[0].body).into_owned();
        let (_, rest) = body.split_once("<marketingCloudVisitorID>").expect("an ECID");
        let (ecid, _) = rest.split_once('<').expect("its end");
        assert!(ecid.len() == 38 && ecid.bytes().all(|byte| byte.is_ascii_digit()), "{ecid}");
        let set = plan.hits.iter().find(|hit| hit.group == Group::Set).expect("a hit that sets");
        assert!(String::from_utf8_lossy(&set.body).contains("<visitorID>pbs"));
        assert!(set.evars.iter().all(|(number, _)| *number != 19));
    }
}
