//! Turns one Pass event into the hits that Adobe receives, and says which values it had to change.
//!
//! - In: a [`PassEvent`], its [`EventId`], the [`HitForm`] of its report suite. Out: one or more [`Hit`]s,
//!   the key of the visitor they count for, and [`Note`]s; or a [`DeadReason`].
//! - Guarantees: equal inputs give equal hits, on every machine and in every later release; no text of an
//!   event can reach a hit unsanitised; all hits of an event count for one visitor; an event that needs no
//!   change makes no note.
//! - Does not know: how hits are encoded, buffers, replies, the time of day.
//! - Rules: the table of [`crate::event`], and the page of Adobe that it names.

mod evar;
mod identity;
mod limits;
mod measure;
mod mrss;
mod note;
mod sanitize;
mod serial;

use std::borrow::Cow;
use std::net::Ipv4Addr;

pub(crate) use evar::{Source, evar};
pub use limits::{EVAR_BYTES_MAX, SINGLE_HITS_MAX};
pub use measure::{measure, mvpd_user_id};
pub use note::{DigestReason, Note, SurrogateSource};
pub use serial::{first_serial, serial};

use crate::delivery::DeadReason;
use crate::event::{EventId, PassEvent, Property, VisitorRules};
use crate::hit::{Hit, VisitorKey};
use crate::suite::{CountForm, EventIds, HitForm};
use limits::USER_AGENT_BYTES_MAX;

/// The hits of an event, their visitor, and what was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped<'a> {
    /// At least one hit; more only if a count is sent as single hits.
    pub hits: Vec<Hit<'a>>,
    /// The visitor that all these hits count for.
    pub visitor: VisitorKey,
    /// What was changed, in the order of the hit.
    pub notes: Vec<Note>,
}

/// Maps an event. `Err` if its count would take more than [`SINGLE_HITS_MAX`] single hits.
pub fn map<'a>(event: &'a PassEvent, id: EventId, form: &'a HitForm) -> Result<Mapped<'a>, DeadReason> {
    let mut events = events(event, id, form)?.into_iter();
    let mut notes = Vec::new();
    let visitor = identity::visitor(event, id, form, &mut notes);
    let key = identity::key(&form.rsid, &visitor);
    let ip_address = ip_address(event, form.visitor_rules, &mut notes);
    let user_agent = event
        .property(Property::UserAgent)
        .and_then(|agent| form.visitor_rules.shown(Property::UserAgent, agent))
        .and_then(|agent| sanitize::clean(agent, Property::UserAgent, USER_AGENT_BYTES_MAX, &mut notes));
    let mut evars = Vec::with_capacity(Property::EVARS);
    for (number, property) in (1..).zip(Property::reported()) {
        let evar = evar(event, *property, form.visitor_rules, &mut notes);
        evars.extend(evar.map(|evar| (number, evar.value)));
    }
    let first = Hit {
        rsid: &form.rsid,
        timestamp: event.occurred_at().unix_seconds(),
        visitor,
        kind: event.kind(),
        events: events.next().unwrap_or_default(),
        ip_address,
        user_agent,
        evars,
    };
    let others: Vec<Hit<'a>> = events.map(|events| Hit { events, ..first.clone() }).collect();
    if !others.is_empty() {
        notes.push(Note::Split { hits: event.count() });
    }
    let mut hits = vec![first];
    hits.extend(others);
    Ok(Mapped { hits, visitor: key, notes })
}

/// The visitor that the hits of an event count for. It costs less than [`map`].
pub fn visitor(event: &PassEvent, id: EventId, form: &HitForm) -> VisitorKey {
    identity::key(&form.rsid, &identity::visitor(event, id, form, &mut Vec::new()))
}

/// A text as Analytics shows it in the eVar of a property; `None` if nothing of it is sent.
pub fn shown(property: Property, text: &str) -> Option<Cow<'_, str>> {
    sanitize::clean(text, property, EVAR_BYTES_MAX, &mut Vec::new())
}

/// The value that Analytics shows for a property of an event: sanitised or the default; `None` if no tag is sent.
pub fn reported<'a>(event: &'a PassEvent, property: Property) -> Option<Cow<'a, str>> {
    evar(event, property, VisitorRules::default(), &mut Vec::new()).map(|evar| evar.value)
}

/// The `events` variable of each hit of an event. A count that is sent as single hits has one hit for each
/// unit, with a serial of its own. Every other event has one hit.
fn events(event: &PassEvent, id: EventId, form: &HitForm) -> Result<Vec<String>, DeadReason> {
    let slot = event.kind().slot();
    let once = match (form.event_ids, event.count(), form.count_form) {
        (EventIds::Off, 1, _) => format!("event{slot}"),
        (EventIds::Off, count, _) => format!("event{slot}={count}"),
        (EventIds::On, 1, _) => format!("event{slot}:{}", serial(id, 0)),
        (EventIds::On, count, CountForm::CountWithId) => format!("event{slot}={count}:{}", serial(id, 0)),
        (EventIds::On, count, CountForm::SingleHits) if count <= SINGLE_HITS_MAX => {
            return Ok((1..=count).map(|index| format!("event{slot}:{}", serial(id, index))).collect());
        }
        (EventIds::On, count, CountForm::SingleHits) => return Err(DeadReason::CountTooLarge(count)),
    };
    Ok(vec![once])
}

/// The viewer's address in its usual spelling; `None` if it is no address. Version 1 of the rules keeps the spelling.
fn ip_address<'a>(event: &'a PassEvent, rules: VisitorRules, notes: &mut Vec<Note>) -> Option<Cow<'a, str>> {
    let text = event.property(Property::IpAddress)?.trim();
    let Some(address) = rules.address(text) else {
        notes.push(Note::IpAddressLeftOut);
        return None;
    };
    // Rust accepts only one spelling of an IPv4 address, so an address that it parses needs no change.
    if rules == VisitorRules::V1 || address.is_ipv4() && text.parse::<Ipv4Addr>().is_ok() {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Draft, Instant, RawValue, TimeBounds};
    use crate::hit::VisitorIdentity;

    fn event(count: &str, keys: &[(&str, &str)]) -> PassEvent {
        let mut draft = Draft::default();
        draft.set("occurred_at", RawValue::Number("1790000000.75")).expect("an instant");
        draft.set("event", RawValue::Text("authz_ok".into())).expect("a kind");
        draft.set("requestor_id", RawValue::Text("SPORT1".into())).expect("a requestor");
        draft.set("count", RawValue::Number(count)).expect("a count");
        for (key, value) in keys {
            draft.set(key, RawValue::Text((*value).into())).expect("a property");
        }
        let latest = Instant::from_nanos(i64::MAX);
        draft.finish(TimeBounds { latest, now: latest }).expect("an event")
    }

    fn form(event_ids: EventIds, count_form: CountForm) -> HitForm {
        let rsid = "examplersid".parse().expect("a report suite");
        HitForm { event_ids, count_form, ..HitForm::with_defaults(rsid) }
    }

    const ID: [u8; 16] = [7; 16];

    fn events(count: &str, form: &HitForm) -> Result<Vec<String>, DeadReason> {
        let event = event(count, &[]);
        let mapped = map(&event, EventId::from_bytes(ID), form)?;
        Ok(mapped.hits.into_iter().map(|hit| hit.events).collect())
    }

    #[test]
    fn the_count_and_the_serial_stand_where_the_suite_says() {
        use CountForm::{CountWithId, SingleHits};
        let id = EventId::from_bytes(ID);
        let own = serial(id, 0);
        for (count, event_ids, count_form, sent) in [
            ("1", EventIds::Off, SingleHits, "event5".to_owned()),
            ("2", EventIds::Off, CountWithId, "event5=2".to_owned()),
            ("1000000", EventIds::Off, SingleHits, "event5=1000000".to_owned()),
            ("1", EventIds::On, SingleHits, format!("event5:{own}")),
            ("1", EventIds::On, CountWithId, format!("event5:{own}")),
            ("2", EventIds::On, CountWithId, format!("event5=2:{own}")),
            ("1000000", EventIds::On, CountWithId, format!("event5=1000000:{own}")),
        ] {
            assert_eq!(events(count, &form(event_ids, count_form)), Ok(vec![sent]));
        }
    }

    #[test]
    fn a_count_goes_out_as_single_hits_up_to_a_hundred() {
        let form = form(EventIds::On, CountForm::SingleHits);
        let id = EventId::from_bytes(ID);
        let expected: Vec<String> = (1..=100).map(|index| format!("event5:{}", serial(id, index))).collect();
        assert_eq!(events("100", &form), Ok(expected));
        assert_eq!(events("101", &form), Err(DeadReason::CountTooLarge(101)));
    }

    #[test]
    fn single_hits_differ_in_nothing_but_the_serial() {
        let form = form(EventIds::On, CountForm::SingleHits);
        let event = event("3", &[("mvpd_user_id", "abc"), ("mvpd", "Cable\u{7}Co")]);
        let mapped = map(&event, EventId::from_bytes(ID), &form).expect("hits");
        assert!(mapped.notes.contains(&Note::Split { hits: 3 }));
        let [first, rest @ ..] = mapped.hits.as_slice() else { panic!("no hits") };
        for hit in rest {
            assert_ne!(hit.events, first.events);
            assert_eq!(&Hit { events: first.events.clone(), ..hit.clone() }, first);
        }
    }

    #[test]
    fn an_ordinary_event_makes_no_note_and_owns_no_text() {
        let form = form(EventIds::On, CountForm::SingleHits);
        let agent = "Mozilla/5.0 (X11; Linux x86_64)";
        let event =
            event("1", &[("mvpd_user_id", "a1B2"), ("ip_address", "203.0.113.9"), ("user_agent", agent)]);
        let mapped = map(&event, EventId::from_bytes(ID), &form).expect("a hit");
        assert_eq!(mapped.notes.capacity(), 0);
        let hit = &mapped.hits[0];
        assert_eq!(hit.timestamp, 1_790_000_000);
        assert_eq!(hit.visitor, VisitorIdentity::VisitorId("a1B2".into()));
        assert_eq!(hit.user_agent.as_deref(), Some(agent));
        assert!(hit.evars.iter().all(|(_, value)| matches!(value, Cow::Borrowed(_))));
    }

    #[test]
    fn an_address_is_sent_in_one_spelling_and_under_version_one_as_it_stands() {
        let form = form(EventIds::On, CountForm::SingleHits);
        let old = HitForm { visitor_rules: VisitorRules::V1, ..form.clone() };
        for (text, sent, sent_by_v1) in [
            ("203.0.113.9", Some("203.0.113.9"), Some("203.0.113.9")),
            (" 2001:db8::1\n", Some("2001:db8::1"), Some("2001:db8::1")),
            ("2001:DB8:0:0::1", Some("2001:db8::1"), Some("2001:DB8:0:0::1")),
            ("::ffff:203.0.113.9", Some("203.0.113.9"), Some("::ffff:203.0.113.9")),
            ("203.0.113.9, 198.51.100.1", Some("203.0.113.9"), None),
            ("203.0.113.9:51234", Some("203.0.113.9"), None),
            ("fe80::1%eth0", Some("fe80::1"), None),
            ("203.0.113.256", None, None),
            ("unknown", None, None),
        ] {
            let event = event("1", &[("mvpd_user_id", "a"), ("ip_address", text)]);
            for (form, sent) in [(&form, sent), (&old, sent_by_v1)] {
                let mapped = map(&event, EventId::from_bytes(ID), form).expect("a hit");
                assert_eq!(mapped.hits[0].ip_address.as_deref(), sent, "{text}");
                assert_eq!(mapped.notes.contains(&Note::IpAddressLeftOut), sent.is_none(), "{text}");
            }
        }
    }
}
