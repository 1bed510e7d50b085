//! Counts unknown keys, because sources get new fields. Events leave the keys out, and a run names them once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use super::change::refuse_change;
use crate::event::{EventError, Property, RawValue, key_named};

/// How many different names are kept. A source whose keys are data, such as identifiers, must not fill memory.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// A key is named as a misspelling of an event's key if it differs in at most this many letters, and in at most one of
/// [`LETTERS_PER_MISS`].
const NEAR_MISS_MAX: usize = 2;
const LETTERS_PER_MISS: usize = 3;

/// How often each unknown key was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownKeys {
    names: BTreeMap<String, u64>,
    /// How often keys were found whose names are beyond the first [`NAMES_MAX`].
    others: u64,
    /// The first key that was noted since [`UnknownKeys::take_first`] was called; empty if there is none.
    first: String,
    /// The keys that were found and that a map takes properties from.
    met: BTreeSet<String>,
    /// A key of the current line that the map looks into, and that is no object.
    missed_object: Option<String>,
}

impl UnknownKeys {
    /// Takes an unknown key and its value; `json` has the text of an object. Refuses the event if they say that its row was
    /// changed or deleted.
    pub(super) fn take(&mut self, name: &str, value: &RawValue<'_>, json: &str) -> Result<(), EventError> {
        self.note(name);
        refuse_change(name, value, json)
    }

    pub fn note(&mut self, name: &str) {
        let whole = (0..=NAME_BYTES_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        let name = &name[..whole.unwrap_or(0)];
        if self.first.is_empty() {
            self.first.push_str(name);
        }
        self.add(name, 1);
    }

    /// The first key that was noted since the last call.
    pub(super) fn take_first(&mut self) -> Option<Box<str>> {
        let first = (!self.first.is_empty()).then(|| self.first.as_str().into());
        self.first.clear();
        self.missed_object = None;
        first
    }

    /// Notes that a map looks into a key that is no object.
    pub(super) fn miss_object(&mut self, key: &str) {
        self.missed_object.get_or_insert_with(|| key.to_owned());
    }

    /// The first such key of the current line.
    pub(super) fn take_missed_object(&mut self) -> Option<String> {
        self.missed_object.take()
    }

    /// Notes that a key was found that a map takes properties from.
    pub(super) fn meet(&mut self, key: &str) {
        if !self.met.contains(key) {
            self.met.insert(key.to_owned());
        }
    }

    pub(super) fn has_met(&self, key: &str) -> bool {
        self.met.contains(key)
    }

    pub fn absorb(&mut self, other: &UnknownKeys) {
        other.iter().for_each(|(name, count)| self.add(name, count));
        self.others += other.others;
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names that were kept, sorted, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn add(&mut self, name: &str, count: u64) {
        if let Some(known) = self.names.get_mut(name) {
            *known += count;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), count);
        } else {
            self.others += count;
        }
    }
}

impl fmt::Display for UnknownKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, count)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{name:?} ({count} times")?;
            match nearest(name) {
                (key, misses)
                    if key != name && misses <= NEAR_MISS_MAX && misses * LETTERS_PER_MISS <= name.len() =>
                {
                    write!(out, "; is it {key:?}?)")?;
                }
                // No key is near, or the name is itself a key, which the map takes from elsewhere.
                _ => out.write_str(")")?,
            }
        }
        if self.others > 0 {
            write!(out, " and others ({} times)", self.others)?;
        }
        Ok(())
    }
}

impl Serialize for UnknownKeys {
    /// An object of key and count. `*` stands for all keys beyond the first `NAMES_MAX`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let others = (self.others > 0).then_some(("*", self.others));
        serializer.collect_map(self.iter().chain(others))
    }
}

/// The key of an event with this name; the error names the nearest.
pub fn event_key(name: &str) -> Result<&'static str, String> {
    let refuse = || format!("{name:?} is no key of an event; the nearest is {:?}", nearest(name).0);
    key_named(name).ok_or_else(refuse)
}

/// The key of an event that is nearest to a name, or to the last name of a path, and how many letters they differ by.
fn nearest(name: &str) -> (&'static str, usize) {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let name = plain(name.rsplit('.').next().unwrap_or(name));
    let own = ["occurred_at", "event", "event_id", "count"];
    let all = own.into_iter().chain(Property::ALL.map(Property::name));
    let nearest = all.map(|key| (key, strsim::damerau_levenshtein(&plain(key), &name)));
    nearest.min_by_key(|(_, distance)| *distance).unwrap_or(("", usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_no_occurrence_is_lost() {
        let mut unknown = UnknownKeys::default();
        for index in 0..100 {
            unknown.note(&format!("key{index:03}"));
        }
        unknown.note("key000");
        unknown.note(&"é".repeat(1000));
        assert_eq!(unknown.iter().count(), NAMES_MAX);
        assert_eq!(unknown.iter().map(|(_, count)| count).sum::<u64>() + unknown.others, 102);
        assert!(unknown.to_string().starts_with("\"key000\" (2 times), \"key001\" (1 times)"));
        assert!(unknown.to_string().ends_with(" and others (69 times)"));
    }

    #[test]
    fn near_misses_are_named_and_json_is_an_object() {
        let mut unknown = UnknownKeys::default();
        ["mvpd-UserID", "payload.resourceid", "ts", "zone"].iter().for_each(|name| unknown.note(name));
        assert_eq!(unknown.take_first().as_deref(), Some("mvpd-UserID"));
        assert_eq!(unknown.take_first(), None);
        assert_eq!(
            unknown.to_string(),
            "\"mvpd-UserID\" (1 times; is it \"mvpd_user_id\"?), \"payload.resourceid\" (1 times; is it \"resource_id\"?), \"ts\" (1 times), \"zone\" (1 times)"
        );
        let json = serde_json::to_string(&unknown).expect("JSON");
        assert_eq!(json, r#"{"mvpd-UserID":1,"payload.resourceid":1,"ts":1,"zone":1}"#);
    }

    #[test]
    fn the_keys_of_two_sources_add_up() {
        let mut all = UnknownKeys::default();
        let mut one = UnknownKeys::default();
        one.note("zone");
        all.absorb(&one);
        all.absorb(&one);
        assert_eq!(all.to_string(), "\"zone\" (2 times)");
    }
}
