//! Forgets people in the metrics: each person's digest is replaced by one random digest everywhere.
//!
//! Reports show the same numbers, with one exception: if another MVPD has a user with the same ID, totals
//! over both MVPDs counted one user, and now count two. A forgotten person who comes back is a new user.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::super::error::Result;
use super::super::facts::random;
use super::super::forget::Forget;
use super::super::rows::{all, each, only, read_event, run};
use super::digest::{KeyedDigest, Secret};
use super::packs::{self, ENTRY_BYTES, Entry, SYNTHETIC};
use crate::delivery::Sequence;
use crate::event::{Measure, MeasureOf, PlainDigest, Property};

/// The digest of a user ID, and the MVPD of the ID (empty if there is none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Person {
    mvpd: String,
    digest: PlainDigest,
}

/// The users of the events that were found and, if the request names an MVPD and its user ID, that user.
pub(in super::super) fn people_of(
    connection: &Connection,
    forget: &Forget,
    events: &[Sequence],
    measure: MeasureOf,
) -> Result<HashSet<Person>> {
    let mut people = HashSet::new();
    if let (Property::MvpdUserId, id, Some(mvpd)) = forget.wanted() {
        let digest = PlainDigest::of(id);
        people.insert(Person { mvpd: mvpd.to_owned(), digest });
        // As with events, an entry without an MVPD belongs to the person if it has the ID.
        people.insert(Person { mvpd: String::new(), digest });
    }
    for sequence in events {
        let measure = measure(&read_event(connection, *sequence)?.event);
        if let Some(user) = measure.user() {
            people.insert(Person {
                mvpd: Measure::values_of(measure.group())[0].to_owned(),
                digest: user.digest,
            });
        }
    }
    Ok(people)
}

/// Replaces these people's digests in every pack. Returns how many were replaced.
pub(in super::super) fn forget(connection: &Connection, people: &HashSet<Person>) -> Result<u64> {
    let secret = Secret::of(connection)?;
    let mut strangers: HashMap<KeyedDigest, Stranger> = HashMap::new();
    for person in people {
        let stranger = strangers
            .entry(secret.keyed(person.digest))
            .or_insert_with(|| Stranger { digest: u64::from_be_bytes(random()), groups: HashSet::new() });
        let groups = "SELECT metric_group FROM metric_groups WHERE mvpd = ?1 COLLATE NOCASE";
        each(connection, groups, [&person.mvpd], |row| {
            stranger.groups.insert(row.get("metric_group")?);
            Ok(())
        })?;
    }
    // This reads one pack at a time, because a person who came daily for years is in a thousand packs.
    let packs: Vec<i64> = all(connection, "SELECT pack FROM metric_users ORDER BY pack", [], only)?;
    let mut replaced_in_all = 0;
    for pack in packs {
        let changed = connection
            .prepare_cached("SELECT packed FROM metric_users WHERE pack = ?1")?
            .query_row([pack], |row| Ok(without(row.get_ref(0)?.as_blob()?, &strangers)))?;
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

/// The pack with the people's digests replaced, and how many were replaced; `None` if the pack has none of them.
fn without(packed: &[u8], strangers: &HashMap<KeyedDigest, Stranger>) -> Option<(Vec<u8>, u64)> {
    let is_theirs =
        |entry: &Entry, stranger: &Stranger| stranger.groups.contains(&(entry.group & !SYNTHETIC));
    let has_one = strangers.iter().any(|(digest, stranger)| {
        let theirs = packs::part(packed, digest.0, digest.0);
        packs::entries(theirs).any(|entry| is_theirs(&entry, stranger))
    });
    if !has_one {
        return None;
    }
    let mut entries: Vec<Entry> = packs::entries(packed).collect();
    let mut replaced = 0;
    for entry in &mut entries {
        if let Some(stranger) = strangers.get(&KeyedDigest(entry.digest))
            && is_theirs(entry, stranger)
        {
            entry.digest = stranger.digest;
            replaced += 1;
        }
    }
    Some((packs::pack_sorted(entries), replaced))
}
