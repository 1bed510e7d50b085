//! Notices a key that nearly all events of a requestor had, and that none has any more: a column was renamed, or lost.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EventKind, PassEvent, Property, RequestorId};

/// The fewest events, before and now, by which a key is judged: fewer may lack it by chance.
const EVENTS_MIN: u64 = 20;
/// The share of the earlier events, in percent, that counts as nearly all.
const NEARLY_ALL_PERCENT: u64 = 95;
/// So many events of a stream are judged together.
const WINDOW_EVENTS: u64 = 1_000;
/// The places of `event_id`, behind the properties, and of the number of events.
const EVENT_ID: usize = Property::COUNT;
const EVENTS: usize = EVENT_ID + 1;

/// How many events of each kind a requestor has, and how many of them have a value of each key.
#[derive(Debug, Default)]
pub struct FilledKeys(BTreeMap<RequestorId, BTreeMap<EventKind, Filled>>);

/// The number of events with a value of each key, then the number of all events.
type Filled = [u64; EVENTS + 1];

/// The keys that the events of each requestor lack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LostKeys(pub BTreeMap<RequestorId, Vec<String>>);

impl fmt::Display for LostKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.iter().map(|(requestor_id, keys)| format!("{} of {requestor_id}", keys.join(", ")));
        write!(out, "lacks keys that nearly all events before had: {}", told.collect::<Vec<_>>().join("; "))
    }
}

impl LostKeys {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a person can do about it.
    pub fn advice(&self) -> String {
        let mut keys: Vec<&str> = self.0.values().flatten().map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        let mend = "where a column was renamed, name it in a map (--map), or mend the file";
        format!("{mend}; where they are gone for good: --accept-missing {}", keys.join(","))
    }
}

impl FilledKeys {
    pub fn add(&mut self, event: &PassEvent) {
        let kinds = self.0.entry(event.requestor_id().clone()).or_default();
        let filled = kinds.entry(event.kind()).or_insert([0; EVENTS + 1]);
        filled[EVENTS] += 1;
        filled[EVENT_ID] += u64::from(event.event_id().is_some());
        event.properties.present().for_each(|property| filled[property] += 1);
    }

    pub fn absorb(&mut self, others: FilledKeys) {
        for (requestor_id, others) in others.0 {
            let kinds = self.0.entry(requestor_id).or_default();
            for (kind, others) in others {
                let filled = kinds.entry(kind).or_insert([0; EVENTS + 1]);
                filled.iter_mut().zip(others).for_each(|(count, more)| *count += more);
            }
        }
    }

    /// The keys that nearly all of these events have and no event of `now` has, without the accepted keys. Kinds of
    /// events are judged apart: an hour in which nobody gets beyond the login has no event with a user ID.
    pub fn lost(&self, now: &FilledKeys, accepted: &[&str]) -> LostKeys {
        let mut lost = LostKeys::default();
        for (requestor_id, kinds) in &now.0 {
            let Some(earlier) = self.0.get(requestor_id) else { continue };
            let is_lost = |key: &usize| {
                let both = kinds.iter().filter_map(|(kind, now)| Some((now, earlier.get(kind)?)));
                let had = both.filter(|(_, before)| {
                    before[*key] > 0 && before[*key] * 100 >= before[EVENTS] * NEARLY_ALL_PERCENT
                });
                let [is, was] =
                    had.fold([0, 0], |[is, was], (now, before)| [is + now[EVENTS], was + before[EVENTS]]);
                is.min(was) >= EVENTS_MIN && kinds.values().all(|now| now[*key] == 0)
            };
            let name = |key: usize| Property::ALL.get(key).map_or("event_id", |property| property.name());
            let keys = (0..EVENTS).filter(is_lost).map(name).filter(|key| !accepted.contains(key));
            let keys: Vec<String> = keys.map(str::to_owned).collect();
            if !keys.is_empty() {
                lost.0.insert(requestor_id.clone(), keys);
            }
        }
        lost
    }

    /// What a stream of events lacks by now. Each key is told once.
    pub fn tell(&mut self, now: &mut FilledKeys) -> Option<String> {
        let lost = self.lost(now, &[]);
        self.0.retain(|requestor_id, _| !lost.0.contains_key(requestor_id));
        let events = now.0.values().flat_map(BTreeMap::values).map(|filled| filled[EVENTS]);
        if !lost.is_empty() || events.sum::<u64>() >= WINDOW_EVENTS {
            self.absorb(std::mem::take(now));
        }
        (!lost.is_empty()).then(|| lost.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Instant, StoredColumns};

    fn events(kind: EventKind, keys: &[&str], count: usize) -> FilledKeys {
        let mut filled = FilledKeys::default();
        let requestor_id = RequestorId::new("REF30").expect("a requestor");
        let columns = StoredColumns { occurred_at: Instant::from_nanos(0), kind, requestor_id, count: 1 };
        let body: Vec<String> = keys.iter().map(|key| format!("\"{key}\":\"x\"")).collect();
        let event = PassEvent::from_stored(columns, &format!("{{{}}}", body.join(","))).expect("an event");
        (0..count).for_each(|_| filled.add(&event));
        filled
    }

    #[test]
    fn a_key_is_lost_only_to_kinds_of_events_that_had_it() {
        let mut before = events(EventKind::AuthnRequested, &["mvpd", "event_id"], 30);
        before.absorb(events(EventKind::AuthzOk, &["mvpd", "event_id", "mvpd_user_id"], 95));
        before.absorb(events(EventKind::AuthzOk, &["event_id"], 5));
        let lost = |kind, keys: &[&str], count| {
            let lost = before.lost(&events(kind, keys, count), &["ttl"]);
            lost.0.into_values().flatten().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(lost(EventKind::AuthnRequested, &["mvpd", "event_id"], 500), "");
        assert_eq!(lost(EventKind::AuthzOk, &["event_id"], 20), "mvpd mvpd_user_id");
        assert_eq!(lost(EventKind::AuthzOk, &["mvpd"], 20), "mvpd_user_id event_id");
        assert_eq!(lost(EventKind::AuthzOk, &[], 19), "");
        assert_eq!(lost(EventKind::PlayRequested, &[], 500), "", "no earlier event is of this kind");
        let now = events(EventKind::AuthzOk, &["event_id"], 20);
        assert!(!before.lost(&now, &["mvpd"]).is_empty());
        before.absorb(events(EventKind::AuthzOk, &["event_id"], 5));
        assert!(before.lost(&now, &[]).is_empty());
    }

    #[test]
    fn a_stream_tells_once_of_a_key_and_again_when_it_came_back() {
        let (mut before, mut now) = (events(EventKind::AuthzOk, &["mvpd"], 30), FilledKeys::default());
        let mut told = |keys: &[&str], count| {
            now.absorb(events(EventKind::AuthzOk, keys, count));
            usize::from(before.tell(&mut now).is_some())
        };
        let steps = [
            (0, 19, 0),
            (0, 1, 1),
            (0, 500, 0),
            (1, 40_000, 0),
            (1, 19, 0),
            (0, 100, 0),
            (0, 1_000, 0),
            (0, 20, 1),
        ];
        for (step, (keys, count, expected)) in steps.into_iter().enumerate() {
            assert_eq!(told(&["mvpd"][..keys], count), expected, "step {step}");
        }
    }
}
