//! What waits for a person: dead letters, condemned by a reply, and held events, which may have been counted.

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use serde::Serialize;

use super::events::{EventRef, read_event};
use super::ledger::{Postings, Term};
use super::{Buffer, BufferError, outcomes};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{EventKind, Instant, PassEvent};

/// Events moved in one transaction.
const MOVED_A_TRANSACTION: usize = 1_000;

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    All,
    /// Those with these numbers; others are left alone.
    Sequences(Vec<Sequence>),
    /// Those with this reason code.
    Reason(String),
}

/// What to do with events whose repeat Analytics would count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Leave them where they are, and say how many.
    OnlyExact,
    /// Send them again all the same.
    EvenIfDoubled,
}

/// What a requeue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Requeued {
    pub requeued: u64,
    /// Events left, because a repeat could count twice.
    pub may_double: u64,
}

/// How a held event is settled by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    Delivered,
    /// It was not, and is not wanted.
    Discarded,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its number, by which the commands name it.
    pub seq: Sequence,
    pub requestor_id: String,
    /// The suite that refused it.
    pub rsid: Option<String>,
    pub event: &'static str,
    /// When it happened.
    pub occurred_at: Instant,
    pub count: u32,
    pub reason: DeadReason,
    pub explanation: String,
    /// When it died.
    pub died_at: Instant,
}

/// A held event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldEvent {
    /// Its number, by which the commands name it.
    pub seq: Sequence,
    pub requestor_id: String,
    /// The suite that may have counted it.
    pub rsid: String,
    pub event: &'static str,
    /// When it happened.
    pub occurred_at: Instant,
    pub count: u32,
    /// Attempts that may have been counted.
    pub attempts: u32,
    /// Why their outcome is unknown.
    pub cause: String,
    /// Since when it is held.
    pub held_at: Instant,
}

impl Buffer {
    /// Dead letters, the latest first.
    pub fn dead_letters(&self, selection: Selection, limit: usize) -> Result<Vec<DeadLetter>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.reason, d.died_at
                 FROM dead_letters d JOIN events e ON e.seq = d.seq JOIN requestors r ON r.requestor = e.requestor
                 LEFT JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR d.reason = ?1) AND (?2 IS NULL OR d.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY d.died_at DESC, d.seq LIMIT ?3",
            )?;
            let (reason, sequences) = filters(&selection);
            let rows = statement.query_map((reason, sequences, limit as i64), |row| {
                let reason = DeadReason::from_code(&row.get::<_, String>(6)?);
                Ok(DeadLetter {
                    seq: Sequence(row.get(0)?),
                    requestor_id: row.get(1)?,
                    rsid: row.get(2)?,
                    event: event_name(row, 3)?,
                    occurred_at: Instant::from_nanos(row.get(4)?),
                    count: row.get(5)?,
                    explanation: reason.to_string(),
                    reason,
                    died_at: Instant::from_nanos(row.get(7)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Held events, the latest first.
    pub fn held(&self, selection: Selection, limit: usize) -> Result<Vec<HeldEvent>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT h.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.attempts, d.cause, h.held_at
                 FROM held h JOIN doubts d ON d.seq = h.seq JOIN events e ON e.seq = h.seq
                 JOIN requestors r ON r.requestor = e.requestor JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR h.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY h.held_at DESC, h.seq LIMIT ?3",
            )?;
            let (cause, sequences) = filters(&selection);
            let rows = statement.query_map((cause, sequences, limit as i64), |row| {
                Ok(HeldEvent {
                    seq: Sequence(row.get(0)?),
                    requestor_id: row.get(1)?,
                    rsid: row.get(2)?,
                    event: event_name(row, 3)?,
                    occurred_at: Instant::from_nanos(row.get(4)?),
                    count: row.get(5)?,
                    attempts: row.get(6)?,
                    cause: row.get(7)?,
                    held_at: Instant::from_nanos(row.get(8)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The whole event behind a number, whatever its state; `None` where there is none.
    pub fn event(&self, sequence: Sequence) -> Result<Option<PassEvent>, BufferError> {
        self.call(move |connection| match read_event(connection, sequence) {
            Ok((_, _, event)) => Ok(Some(event)),
            Err(BufferError::Sqlite(rusqlite::Error::QueryReturnedNoRows)) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Sends dead letters once more, in the next run.
    pub fn requeue_dead(&self, selection: Selection, requeue: Requeue) -> Result<Requeued, BufferError> {
        self.move_back(selection, requeue, Place::Dead)
    }

    /// Sends held events once more, in the next run, in the form of their first attempt.
    pub fn requeue_held(&self, selection: Selection, requeue: Requeue) -> Result<Requeued, BufferError> {
        self.move_back(selection, requeue, Place::Held)
    }

    pub fn discard_dead(&self, selection: Selection) -> Result<u64, BufferError> {
        self.settle(selection, Place::Dead, Settlement::Discarded)
    }

    /// Decides what held events were.
    pub fn settle_held(&self, selection: Selection, settlement: Settlement) -> Result<u64, BufferError> {
        self.settle(selection, Place::Held, settlement)
    }

    fn move_back(
        &self,
        selection: Selection,
        requeue: Requeue,
        place: Place,
    ) -> Result<Requeued, BufferError> {
        let mut report = Requeued::default();
        let chosen = self.call(move |connection| chosen(connection, &selection, place))?;
        for chunk in chosen.chunks(MOVED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            let part = self.call(move |connection| {
                in_transaction(connection, |transaction, postings| {
                    let mut report = Requeued::default();
                    for choice in &chunk {
                        if choice.may_double && requeue == Requeue::OnlyExact {
                            report.may_double += 1;
                        } else if let Some(event) = take(transaction, choice.sequence, place)? {
                            outcomes::enqueue(transaction, &event)?;
                            want_repeat(transaction, choice.sequence)?;
                            postings.shift(&event, place.term(), Term::Pending);
                            report.requeued += 1;
                        }
                    }
                    Ok(report)
                })
            })?;
            report.requeued += part.requeued;
            report.may_double += part.may_double;
        }
        Ok(report)
    }

    fn settle(&self, selection: Selection, place: Place, settlement: Settlement) -> Result<u64, BufferError> {
        let now = self.clock.now();
        let chosen = self.call(move |connection| chosen(connection, &selection, place))?;
        let mut settled = 0;
        for chunk in chosen.chunks(MOVED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            settled += self.call(move |connection| {
                in_transaction(connection, |transaction, postings| {
                    let mut settled = 0;
                    for choice in &chunk {
                        if let Some(event) = take(transaction, choice.sequence, place)? {
                            settle_one(transaction, &event, settlement, now)?;
                            let to = match settlement {
                                Settlement::Delivered => Term::Delivered,
                                Settlement::Discarded => Term::Discarded,
                            };
                            postings.shift(&event, place.term(), to);
                            settled += 1;
                        }
                    }
                    Ok(settled)
                })
            })?;
        }
        Ok(settled)
    }
}

#[derive(Clone, Copy)]
enum Place {
    Dead,
    Held,
}

impl Place {
    fn term(self) -> Term {
        match self {
            Place::Dead => Term::Dead,
            Place::Held => Term::Held,
        }
    }
}

#[derive(Clone, Copy)]
struct Choice {
    sequence: Sequence,
    /// An attempt may have been counted, and Analytics could not tell the repeat.
    may_double: bool,
}

fn chosen(
    connection: &mut Connection,
    selection: &Selection,
    place: Place,
) -> Result<Vec<Choice>, BufferError> {
    let mut statement = connection.prepare_cached(match place {
        Place::Dead => {
            "SELECT p.seq, d.seq IS NOT NULL AND f.event_ids = 'off' FROM dead_letters p
             LEFT JOIN doubts d ON d.seq = p.seq LEFT JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR p.reason = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        }
        Place::Held => {
            "SELECT p.seq, f.event_ids = 'off' FROM held p JOIN doubts d ON d.seq = p.seq JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        }
    })?;
    let rows = statement.query_map(filters(selection), |row| {
        Ok(Choice {
            sequence: Sequence(row.get(0)?),
            may_double: row.get::<_, Option<bool>>(1)?.unwrap_or(false),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The reason and the JSON list of numbers that the statements filter by; NULL filters nothing.
fn filters(selection: &Selection) -> (Option<String>, Option<String>) {
    match selection {
        Selection::All => (None, None),
        Selection::Reason(reason) => (Some(reason.clone()), None),
        Selection::Sequences(sequences) => {
            let numbers: Vec<String> = sequences.iter().map(|sequence| sequence.0.to_string()).collect();
            (None, Some(format!("[{}]", numbers.join(","))))
        }
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>, &mut Postings) -> Result<T, BufferError>,
) -> Result<T, BufferError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut postings = Postings::default();
    let result = work(&transaction, &mut postings)?;
    postings.apply(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// Takes an event out of its place; `None` where it is there no longer.
fn take(
    transaction: &Transaction<'_>,
    sequence: Sequence,
    place: Place,
) -> Result<Option<EventRef>, BufferError> {
    let mut delete = transaction.prepare_cached(match place {
        Place::Dead => "DELETE FROM dead_letters WHERE seq = ?1",
        Place::Held => "DELETE FROM held WHERE seq = ?1",
    })?;
    if delete.execute([sequence.0])? == 0 {
        return Ok(None);
    }
    Ok(Some(read_event(transaction, sequence)?.0))
}

/// Notes that a person wants the repeat of an attempt in doubt, so that no policy holds it again before it was sent.
fn want_repeat(transaction: &Transaction<'_>, sequence: Sequence) -> Result<(), BufferError> {
    transaction.prepare_cached("UPDATE doubts SET wanted = 1 WHERE seq = ?1")?.execute([sequence.0])?;
    Ok(())
}

fn settle_one(
    transaction: &Transaction<'_>,
    event: &EventRef,
    settlement: Settlement,
    now: Instant,
) -> Result<(), BufferError> {
    match settlement {
        Settlement::Delivered => transaction
            .prepare_cached("INSERT INTO delivered (seq, occurred_at, delivered_at) VALUES (?1, ?2, ?3)")?
            .execute((event.sequence.0, event.occurred_at.nanos(), now.nanos()))
            .and_then(|_| {
                transaction
                    .prepare_cached("INSERT INTO settled (seq) VALUES (?1)")?
                    .execute([event.sequence.0])
            })?,
        Settlement::Discarded => transaction
            .prepare_cached("INSERT INTO discarded (seq, discarded_at) VALUES (?1, ?2)")?
            .execute((event.sequence.0, now.nanos()))?,
    };
    Ok(())
}

pub(super) fn event_name(row: &Row<'_>, column: usize) -> rusqlite::Result<&'static str> {
    Ok(EventKind::from_slot(row.get(column)?).map_or("unknown", EventKind::name))
}
