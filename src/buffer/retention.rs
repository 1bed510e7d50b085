//! Retention: old delivered and discarded events go, their identities stay as tombstones.
//!
//! Age is counted from the outcome, never from `occurred_at`: a backfill of last year is as young as its delivery. A clock
//! that jumped forward would make everything old at once, so after a jump nothing is deleted until the clock has run
//! steadily for a while, or an operator vouches for it.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::Serialize;

use super::events::{read_event, reference};
use super::ledger::{Postings, Term};
use super::metrics::{Measure, Withdrawals};
use super::{Buffer, BufferError, memory, runs, status};
use crate::delivery::Sequence;
use crate::event::Instant;

/// Nanoseconds of a day.
const DAY_NANOS: i64 = 86_400_000_000_000;
/// A step of the clock between two looks beyond which it is not believed: longer than a weekend's downtime.
const JUMP_NANOS: i64 = 7 * DAY_NANOS;
/// How long the clock must run steadily after a jump before it is believed.
const STEADY_NANOS: i64 = 7 * DAY_NANOS;
/// Rows deleted in one transaction, so that no ingest waits long.
const DELETED_A_TRANSACTION: i64 = 5_000;

const CLOCK_SEEN_AT: &str = "clock_seen_at";
const CLOCK_JUMPED_AT: &str = "clock_jumped_at";
const BURIED_CHECKED_ON: &str = "tombstones_checked_on";

/// What retention keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Days that a delivered or discarded event is kept after its outcome.
    pub retention_days: u32,
    /// Days that its identity is kept after that.
    pub dedup_days: u32,
}

/// What retention did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RetentionReport {
    pub expired_delivered: u64,
    pub expired_discarded: u64,
    pub forgotten_identities: u64,
    /// Whether nothing was deleted because the clock has jumped.
    pub clock_jumped: bool,
}

impl Buffer {
    /// Deletes what is old enough. The caller holds the drain lock.
    pub fn retain(&self, policy: RetentionPolicy) -> Result<RetentionReport, BufferError> {
        let now = self.clock.now();
        if self.call(move |connection| clock_has_jumped(connection, now))? {
            return Ok(RetentionReport { clock_jumped: true, ..RetentionReport::default() });
        }
        let cutoff = now.nanos() - i64::from(policy.retention_days) * DAY_NANOS;
        let mut report = RetentionReport::default();
        for place in [Place::Delivered, Place::Discarded] {
            loop {
                let expired = self.call(move |connection| expire(connection, place, cutoff, now))?;
                match place {
                    Place::Delivered => report.expired_delivered += expired,
                    Place::Discarded => report.expired_discarded += expired,
                }
                if expired < DELETED_A_TRANSACTION as u64 {
                    break;
                }
            }
        }
        while self.call(move |connection| memory::drop_past(connection, now))? {}
        while self.call(move |connection| runs::prune(connection, cutoff))? {}
        loop {
            let forgotten = self.call(move |connection| forget_identities(connection, policy, now))?;
            report.forgotten_identities += forgotten;
            if forgotten < DELETED_A_TRANSACTION as u64 {
                return Ok(report);
            }
        }
    }

    /// Vouches for the clock: what looks old is old.
    pub fn trust_clock(&self) -> Result<(), BufferError> {
        let now = self.clock.now().nanos();
        self.call(move |connection| {
            runs::set_fact(connection, CLOCK_SEEN_AT, now)?;
            call_the_future_now(connection, now)?;
            connection.execute("DELETE FROM facts WHERE name = ?1", [CLOCK_JUMPED_AT])?;
            Ok(())
        })
    }
}

/// Looks at the clock, and remembers what it showed.
fn clock_has_jumped(connection: &Connection, now: Instant) -> Result<bool, BufferError> {
    let seen_at = runs::fact(connection, CLOCK_SEEN_AT)?.unwrap_or(now.nanos());
    runs::set_fact(connection, CLOCK_SEEN_AT, now.nanos())?;
    let step = now.nanos() - seen_at;
    if step < -JUMP_NANOS {
        call_the_future_now(connection, now.nanos())?;
    }
    if step.abs() > JUMP_NANOS {
        runs::set_fact(connection, CLOCK_JUMPED_AT, now.nanos())?;
        return Ok(true);
    }
    let steady_since = runs::fact(connection, CLOCK_JUMPED_AT)?;
    Ok(steady_since.is_some_and(|jumped_at| now.nanos() < jumped_at.saturating_add(STEADY_NANOS)))
}

/// What was recorded under a clock that was ahead would never grow old: it counts as recorded now.
fn call_the_future_now(connection: &Connection, now: i64) -> Result<(), BufferError> {
    connection.execute("UPDATE delivered SET delivered_at = ?1 WHERE delivered_at > ?1", [now])?;
    connection.execute("UPDATE discarded SET discarded_at = ?1 WHERE discarded_at > ?1", [now])?;
    Ok(())
}

/// The day from which a tombstone counts: today, or the latest that the clock ever showed, so that a clock that is behind
/// shortens no tombstone's life.
pub(super) fn day_of_burial(connection: &Connection, now: Instant) -> Result<i64, BufferError> {
    let seen_at = runs::fact(connection, CLOCK_SEEN_AT)?.unwrap_or(now.nanos());
    Ok(seen_at.max(now.nanos()) / DAY_NANOS)
}

#[derive(Clone, Copy)]
enum Place {
    Delivered,
    Discarded,
}

fn expire(connection: &mut Connection, place: Place, cutoff: i64, now: Instant) -> Result<u64, BufferError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (select, delete, from, to) = match place {
        Place::Delivered => (
            "SELECT seq, n, delivered_at FROM delivered ORDER BY n LIMIT ?1",
            "DELETE FROM delivered WHERE n = ?1",
            Term::Delivered,
            Term::ExpiredDelivered,
        ),
        Place::Discarded => (
            "SELECT seq, seq, discarded_at FROM discarded ORDER BY discarded_at LIMIT ?1",
            "DELETE FROM discarded WHERE seq = ?1",
            Term::Discarded,
            Term::ExpiredDiscarded,
        ),
    };
    let old = transaction
        .prepare_cached(select)?
        .query_map([DELETED_A_TRANSACTION], |row| {
            Ok((Sequence(row.get(0)?), row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?
        // Both lists are in the order of their age, so nothing behind the first young one need be read.
        .take_while(|row| row.as_ref().map_or(true, |(_, _, at)| *at < cutoff))
        .collect::<Result<Vec<_>, _>>()?;
    let mut postings = Postings::default();
    let mut withdrawals = Withdrawals::default();
    for (sequence, row, _) in &old {
        let event = match place {
            Place::Delivered => reference(&transaction, *sequence)?,
            Place::Discarded => {
                let (event, _, content) = read_event(&transaction, *sequence)?;
                withdrawals.add(&transaction, &event, &Measure::of(&content))?;
                Some(event)
            }
        };
        let lost = || BufferError::Damaged(*sequence, "its row is gone".to_owned());
        let event = event.ok_or_else(lost)?;
        status::remember_over_count(&transaction, *sequence)?;
        transaction.prepare_cached(delete)?.execute([row])?;
        transaction
            .prepare_cached(
                "UPDATE identities SET seq = NULL, buried_on = ?2 WHERE id = (SELECT id FROM events WHERE seq = ?1)",
            )?
            .execute((sequence.0, now.nanos() / DAY_NANOS))?;
        delete_event(&transaction, *sequence)?;
        postings.shift(&event, from, to);
    }
    postings.apply(&transaction)?;
    withdrawals.apply(&transaction)?;
    transaction.commit()?;
    Ok(old.len() as u64)
}

/// Deletes the row of an event and what is known of its attempts; its place in a state is the caller's.
pub(super) fn delete_event(transaction: &Transaction<'_>, sequence: Sequence) -> Result<(), BufferError> {
    transaction.prepare_cached("DELETE FROM doubts WHERE seq = ?1")?.execute([sequence.0])?;
    transaction.prepare_cached("DELETE FROM settled WHERE seq = ?1")?.execute([sequence.0])?;
    transaction.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([sequence.0])?;
    Ok(())
}

/// Walks the identities once a day at most: forgets the tombstones that are older than the policy.
fn forget_identities(
    connection: &mut Connection,
    policy: RetentionPolicy,
    now: Instant,
) -> Result<u64, BufferError> {
    let today = now.nanos() / DAY_NANOS;
    if runs::fact(connection, BURIED_CHECKED_ON)? == Some(today) {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let forgotten = transaction.execute(
        "DELETE FROM identities WHERE id IN (SELECT id FROM identities WHERE buried_on < ?1 LIMIT ?2)",
        (today - i64::from(policy.dedup_days), DELETED_A_TRANSACTION),
    )? as u64;
    if forgotten < DELETED_A_TRANSACTION as u64 {
        runs::set_fact(&transaction, BURIED_CHECKED_ON, today)?;
    }
    transaction.commit()?;
    Ok(forgotten)
}
