//! Erasure at a person's wish: every event of an MVPD user or a visitor ID goes, and only tombstones stay. The metrics keep
//! their units, and a random digest in the place of theirs.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::Serialize;

use super::events::read_event;
use super::ledger::{Postings, Term};
use super::metrics::{self, Measure, Withdrawals};
use super::retention::{self, delete_event};
use super::{Buffer, BufferError, JobKey, WholeLock, jobs, memory, outcomes, restore, status};
use crate::delivery::Sequence;
use crate::event::{Instant, Property};

/// Events erased in one transaction.
const ERASED_A_TRANSACTION: usize = 1_000;

/// Whom to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forget {
    /// The subscriber that this MVPD knows by this ID.
    MvpdUser {
        /// `mvpd`.
        mvpd: String,
        /// `mvpd_user_id`.
        mvpd_user_id: String,
    },
    /// The visitor whom the programmer knows by this ID.
    Visitor {
        /// `visitor_id`.
        visitor_id: String,
    },
}

impl Forget {
    /// The properties that must all have these values.
    pub fn criteria(&self) -> Vec<(Property, &str)> {
        match self {
            Forget::MvpdUser { mvpd, mvpd_user_id } => {
                vec![(Property::Mvpd, mvpd), (Property::MvpdUserId, mvpd_user_id)]
            }
            Forget::Visitor { visitor_id } => vec![(Property::VisitorId, visitor_id)],
        }
    }

    /// Whether a line that is no event, or not yet one, is about them. It may be broken in any way, so what looks like them
    /// is taken for them: their ID as a value anywhere, unless an MVPD is named that is another.
    pub fn concerns(&self, text: &str) -> bool {
        let criteria = self.criteria();
        let Some((_, id)) = criteria.last() else { return false };
        let mut values = Vec::new();
        let is_json = serde_json::from_str(text).map(|json| collect_values(&json, &mut values)).is_ok();
        // In JSON that is cut off, or inside of other JSON, characters stand behind backslashes; CSV doubles its quotes.
        let plain = text.replace('\\', "");
        let has = |value: &str| {
            let bare = value.replace('\\', "");
            let escaped = |unit: u16| match char::from_u32(unit.into()) {
                Some(character) if character.is_ascii() => character.to_string(),
                _ => format!("u{unit:04x}"),
            };
            let escaped: String = bare.encode_utf16().map(escaped).collect();
            values.iter().any(|found| found.trim() == value)
                || plain.contains(&format!("\"{bare}\""))
                || plain.to_lowercase().contains(&format!("\"{}\"", escaped.to_lowercase()))
                || (!is_json && (plain.contains(&bare) || plain.contains(&bare.replace('"', "\"\""))))
        };
        let names_another = criteria.len() > 1 && plain.contains("mvpd\"") && !has(criteria[0].1);
        has(id) && !names_another
    }
}

/// Every text and number in a JSON value, as text, and those of JSON inside of its texts, as bodies and wrapped lines are.
fn collect_values(json: &serde_json::Value, values: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => {
            values.push(text.clone());
            if text.trim_start().starts_with(['{', '['])
                && let Ok(inside) = serde_json::from_str(text)
            {
                collect_values(&inside, values);
            }
        }
        serde_json::Value::Number(number) => values.push(number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_values(item, values)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect_values(field, values)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Forgotten {
    pub events: u64,
    pub inbox_rows: u64,
    /// Rows of what sources remember: profiles and logins under way.
    pub memory_rows: u64,
    /// Digests of theirs that were replaced in the metrics.
    pub metric_digests: u64,
    /// Copies of the buffer beside it, made by upgrades and restores: they hold everybody's events, and were deleted whole.
    pub copies: u64,
}

impl Buffer {
    /// Erases every trace from the database file and its write-ahead log. Rewrites the file, so it needs as much free disk
    /// again, and reads every event; no drain may run meanwhile, which the lock proves.
    pub fn forget(&self, forget: &Forget, _lock: &WholeLock) -> Result<Forgotten, BufferError> {
        let mut forgotten = Forgotten::default();
        self.withdraw_files()?;
        let whom = forget.clone();
        let (found, metric_digests) = self.call(move |connection| {
            let found = find(connection, &whom)?;
            // Before the events go, which tell who they are of: should this end here, the next try finds them again.
            let people = metrics::people_of(connection, &whom, &found)?;
            let replaced = metrics::forget(connection, &people)?;
            Ok((found, replaced))
        })?;
        forgotten.metric_digests = metric_digests;
        let now = self.clock.now();
        for chunk in found.chunks(ERASED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            forgotten.events += self.call(move |connection| erase(connection, &chunk, now))?;
        }
        let whom = forget.clone();
        forgotten.inbox_rows = self.call(move |connection| erase_inbox(connection, &whom))?;
        let whom = forget.clone();
        forgotten.memory_rows = self.call(move |connection| memory::erase(connection, &whom))?;
        self.call(|connection| {
            // Deleting leaves the bytes in free pages; rewriting the file and emptying the log leaves them nowhere. The copy
            // is as large as the buffer, so it is made on disk and not in memory.
            connection.execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")?;
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy != 0 {
                return Err(BufferError::Sqlite(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                    Some(
                        "the write-ahead log is in use by another process: run the same command again"
                            .to_owned(),
                    ),
                )));
            }
            Ok(())
        })?;
        forgotten.copies = restore::remove_copies(self.path())
            .map_err(|source| BufferError::File { path: self.path().to_owned(), source })?;
        Ok(forgotten)
    }
}

/// An event without an MVPD is theirs when it carries their ID; white space around an ID is not sent, so it does not count.
fn find(connection: &Connection, forget: &Forget) -> Result<Vec<Sequence>, BufferError> {
    let (mvpd, property, id) = match forget {
        Forget::MvpdUser { mvpd, mvpd_user_id } => (Some(mvpd), Property::MvpdUserId, mvpd_user_id),
        Forget::Visitor { visitor_id } => (None, Property::VisitorId, visitor_id),
    };
    let mut statement = connection.prepare(
        "SELECT seq FROM events WHERE trim(body ->> ?1) = trim(?2)
         AND (?3 IS NULL OR body ->> 'mvpd' IS NULL OR trim(body ->> 'mvpd') = trim(?3))",
    )?;
    let rows = statement.query_map((property.name(), id, mvpd), |row| row.get(0).map(Sequence))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn erase(connection: &mut Connection, sequences: &[Sequence], now: Instant) -> Result<u64, BufferError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut postings = Postings::default();
    let mut withdrawals = Withdrawals::default();
    let mut delivered = Vec::new();
    let buried_on = retention::day_of_burial(&transaction, now)?;
    for sequence in sequences {
        let (event, id, content) = read_event(&transaction, *sequence)?;
        let from = match take_from_its_state(&transaction, *sequence, &event)? {
            Some(term) => {
                withdrawals.add(&transaction, &event, &Measure::of(&content))?;
                term
            }
            None => {
                delivered.push(sequence.0);
                Term::Delivered
            }
        };
        status::remember_over_count(&transaction, *sequence)?;
        transaction.prepare_cached("DELETE FROM claims WHERE seq = ?1")?.execute([sequence.0])?;
        if event.job != JobKey::LIVE {
            jobs::forget_event(&transaction, event.job)?;
        }
        delete_event(&transaction, *sequence)?;
        transaction
            .prepare_cached("UPDATE identities SET seq = NULL, content = NULL, buried_on = ?2 WHERE id = ?1")?
            .execute((id.bytes(), buried_on))?;
        postings.shift(&event, from, Term::Erased);
    }
    // Deliveries are found by a walk over all of them, so once for the whole transaction.
    let list = serde_json::to_string(&delivered).expect("numbers always serialise");
    transaction.execute("DELETE FROM delivered WHERE seq IN (SELECT value FROM json_each(?1))", [list])?;
    postings.apply(&transaction)?;
    withdrawals.apply(&transaction)?;
    transaction.commit()?;
    Ok(sequences.len() as u64)
}

/// Takes an event out of its state; `None` where that is `delivered`.
fn take_from_its_state(
    transaction: &Transaction<'_>,
    sequence: Sequence,
    event: &super::EventRef,
) -> Result<Option<Term>, BufferError> {
    if outcomes::unqueue(transaction, event)? {
        return Ok(Some(Term::Pending));
    }
    for (delete, term) in [
        ("DELETE FROM dead_letters WHERE seq = ?1", Term::Dead),
        ("DELETE FROM held WHERE seq = ?1", Term::Held),
        ("DELETE FROM discarded WHERE seq = ?1", Term::Discarded),
    ] {
        if transaction.prepare_cached(delete)?.execute([sequence.0])? > 0 {
            return Ok(Some(term));
        }
    }
    Ok(None)
}

fn erase_inbox(connection: &mut Connection, forget: &Forget) -> Result<u64, BufferError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows = transaction
        .prepare("SELECT rowid, CAST(body AS BLOB) FROM inbox")?
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default()))
        })?
        .filter(|row| row.as_ref().map_or(true, |(_, body)| forget.concerns(&String::from_utf8_lossy(body))))
        .map(|row| row.map(|(rowid, _)| rowid))
        .collect::<Result<Vec<_>, _>>()?;
    for rowid in &rows {
        transaction.execute("DELETE FROM inbox WHERE rowid = ?1", [rowid])?;
    }
    transaction.commit()?;
    Ok(rows.len() as u64)
}
