//! Forgets people in the metrics: each person's digest is replaced by one random digest everywhere.
//!
//! Reports show the same numbers, with one exception: if another MVPD has a user with the same ID, totals
//! over both MVPDs counted one user, and now count two. A forgotten person who comes back is a new user.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::super::error::Result;
use super::super::facts::random;
use super::super::forget::Forget;
use super::super::rows::{all, only, read_event, run};
use super::digest::{KeyedDigest, Secret};
use super::packs::{self, ENTRY_BYTES, Entry, SYNTHETIC};
use crate::delivery::Sequence;
use crate::event::{Measure, MeasureOf, PlainDigest, Property};

/// The digest of a user ID, and the MVPD of the ID (empty if there is none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    pub mvpd: String,
    digest: PlainDigest,
}

impl Person {
    /// The user whom a request names by an MVPD and its user ID. As with events, an entry without an MVPD belongs to
    /// the person if it has the ID.
    pub fn named(forget: &Forget) -> HashSet<Person> {
        let (Property::MvpdUserId, id, Some(mvpd)) = forget.wanted() else { return HashSet::new() };
        let person = |mvpd: &str| Person { mvpd: mvpd.to_owned(), digest: PlainDigest::of(id) };
        HashSet::from([person(mvpd), person("")])
    }

    /// The user of an event with this measure.
    pub fn of(measure: &Measure) -> Option<Person> {
        let mvpd = Measure::values_of(measure.group())[0].to_owned();
        Some(Person { mvpd, digest: measure.user()?.digest })
    }
}

/// The users of the events that were found, and the user whom the request names.
pub(in super::super) fn people_of(
    connection: &Connection,
    forget: &Forget,
    events: &[Sequence],
    measure: MeasureOf,
) -> Result<HashSet<Person>> {
    let mut people = Person::named(forget);
    for sequence in events {
        people.extend(Person::of(&measure(&read_event(connection, *sequence)?.event)));
    }
    Ok(people)
}

/// Replaces these people's digests in every pack. Returns how many were replaced.
pub(in super::super) fn forget(connection: &Connection, people: &HashSet<Person>) -> Result<u64> {
    let secret = Secret::of(connection)?;
    let mut strangers = Strangers::default();
    for person in people {
        let groups = "SELECT metric_group FROM metric_groups WHERE mvpd = ?1 COLLATE NOCASE";
        strangers.add(&secret, person, all(connection, groups, [&person.mvpd], only)?);
    }
    // This reads one pack at a time, because a person who came daily for years is in a thousand packs.
    let packs: Vec<i64> = all(connection, "SELECT pack FROM metric_users ORDER BY pack", [], only)?;
    let mut replaced_in_all = 0;
    for pack in packs {
        let changed = connection
            .prepare_cached("SELECT packed FROM metric_users WHERE pack = ?1")?
            .query_row([pack], |row| Ok(strangers.replace_in(row.get_ref(0)?.as_blob()?)))?;
        if let Some((packed, replaced)) = changed {
            replaced_in_all += replaced;
            let update = "UPDATE metric_users SET packed = ?2, users = ?3 WHERE pack = ?1";
            run(connection, update, (pack, &packed, packed.len() / ENTRY_BYTES))?;
        }
    }
    Ok(replaced_in_all)
}

/// The random digest that replaces a person's digest.
struct Stranger {
    digest: u64,
    /// The groups in which the digest is replaced: those with the MVPD of a [`Person`] who has this digest.
    groups: HashSet<u32>,
}

/// Whose digests are replaced, and by which.
#[derive(Default)]
pub struct Strangers(HashMap<KeyedDigest, Stranger>);

impl Strangers {
    /// Adds a person, whose digest is replaced in these groups: those with the person's MVPD.
    pub fn add(&mut self, secret: &Secret, person: &Person, groups: Vec<u32>) {
        let new = || Stranger { digest: u64::from_be_bytes(random()), groups: HashSet::new() };
        self.0.entry(secret.keyed(person.digest)).or_insert_with(new).groups.extend(groups);
    }

    /// The digests that are replaced, as packs have them.
    pub fn digests(&self) -> Vec<[u8; 8]> {
        self.0.keys().map(|digest| digest.0.to_be_bytes()).collect()
    }

    /// The pack with the people's digests replaced, and how many were replaced; `None` if the pack has none of them.
    pub fn replace_in(&self, packed: &[u8]) -> Option<(Vec<u8>, u64)> {
        let is_theirs =
            |entry: &Entry, stranger: &Stranger| stranger.groups.contains(&(entry.group & !SYNTHETIC));
        let has_one = self.0.iter().any(|(digest, stranger)| {
            let theirs = packs::part(packed, digest.0, digest.0);
            packs::entries(theirs).any(|entry| is_theirs(&entry, stranger))
        });
        if !has_one {
            return None;
        }
        let mut entries: Vec<Entry> = packs::entries(packed).collect();
        let mut replaced = 0;
        for entry in &mut entries {
            if let Some(stranger) = self.0.get(&KeyedDigest(entry.digest))
                && is_theirs(entry, stranger)
            {
                entry.digest = stranger.digest;
                replaced += 1;
            }
        }
        Some((packs::pack_sorted(entries), replaced))
    }
}
