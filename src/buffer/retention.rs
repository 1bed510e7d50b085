//! Retention: deletes old events that were delivered or discarded. Their identities stay as tombstones for a while.
//!
//! Age counts from the outcome, never from `occurred_at`, so a backfilled event of last year is as young as
//! its delivery. A clock that jumped forward would make everything old at once. So after a jump nothing is
//! deleted until the clock has run steadily for a while, or an operator says that the clock is right.

use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::facts::{fact, forget_fact, set_fact};
use super::ledger::{Postings, Term};
use super::metrics::Withdrawals;
use super::rows::{all, changed, first, json_list, only, read_event, read_reference, run};
use super::tombstones::{CLOCK_SEEN_AT, DAY_NANOS, bury, remember_over_counts};
use super::{attempts, memory, runs};
use crate::config::BufferConfig;
use crate::delivery::Sequence;
use crate::event::{Instant, MeasureOf};

/// A larger step of the clock between two retentions counts as a jump. A host may be off for a whole weekend.
const JUMP_NANOS: i64 = 7 * DAY_NANOS;
/// How long the clock must run steadily after a jump before it is trusted again.
const STEADY_NANOS: i64 = 7 * DAY_NANOS;
/// Rows deleted in one transaction. Their identities are scattered over a table, so a larger transaction
/// writes fewer pages per row. A transaction of this size takes about a second, so no ingest waits longer.
const DELETED_A_TRANSACTION: u64 = 50_000;

const CLOCK_JUMPED_AT: &str = "clock_jumped_at";
const BURIED_CHECKED_ON: &str = "tombstones_checked_on";

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
    /// Deletes what is old: events, tombstones, readers' memory, runs and attempts. The caller holds the drain lock.
    pub fn retain(&self, config: &BufferConfig) -> Result<RetentionReport> {
        let now = self.now();
        let clock_jumped = self.write(move |transaction| clock_has_jumped(transaction, now))?;
        let mut report = RetentionReport { clock_jumped, ..RetentionReport::default() };
        if report.clock_jumped {
            return Ok(report);
        }
        let (cutoff, measure) = (now.nanos() - i64::from(config.retention_days) * DAY_NANOS, self.measure);
        let dedup_days = i64::from(config.dedup_days);
        report.expired_delivered = self
            .write_in_parts(move |transaction| expire(transaction, Term::Delivered, cutoff, now, measure))?;
        report.expired_discarded = self
            .write_in_parts(move |transaction| expire(transaction, Term::Discarded, cutoff, now, measure))?;
        self.write_in_parts(move |transaction| memory::drop_past(transaction, now))?;
        self.write_in_parts(move |transaction| runs::prune(transaction, cutoff))?;
        self.write_in_parts(move |transaction| attempts::prune(transaction, cutoff, now))?;
        report.forgotten_identities =
            self.write_in_parts(move |transaction| forget_identities(transaction, dedup_days, now))?;
        Ok(report)
    }

    /// Until when nothing is deleted because the clock has jumped; `None` if retention does not wait.
    pub fn retention_waits_until(&self) -> Result<Option<Instant>> {
        let now = self.now();
        self.read(|connection| waits_until(connection, now))
    }

    /// Ends the wait after a jump, because an operator says that the clock is right.
    pub fn trust_clock(&self) -> Result<()> {
        let now = self.now().nanos();
        self.write(move |transaction| {
            set_fact(transaction, CLOCK_SEEN_AT, now)?;
            call_the_future_now(transaction, now)?;
            forget_fact(transaction, CLOCK_JUMPED_AT)
        })
    }
}

/// Whether the clock has jumped, or has not run long enough since a jump. Stores the time of this check. The first
/// check compares with the beginning of the latest run: the clock may have jumped during the first drain.
fn clock_has_jumped(connection: &Connection, now: Instant) -> Result<bool> {
    let begun_at =
        first(connection, "SELECT started_at FROM runs WHERE run = (SELECT max(run) FROM runs)", [], only)?;
    let seen_at = fact(connection, CLOCK_SEEN_AT)?.or(begun_at).unwrap_or(now.nanos());
    set_fact(connection, CLOCK_SEEN_AT, now.nanos())?;
    let step = now.nanos() - seen_at;
    if step < -JUMP_NANOS {
        call_the_future_now(connection, now.nanos())?;
    }
    if step.abs() > JUMP_NANOS {
        set_fact(connection, CLOCK_JUMPED_AT, now.nanos())?;
        return Ok(true);
    }
    Ok(waits_until(connection, now)?.is_some())
}

fn waits_until(connection: &Connection, now: Instant) -> Result<Option<Instant>> {
    let until = fact(connection, CLOCK_JUMPED_AT)?.map(|jumped_at| jumped_at.saturating_add(STEADY_NANOS));
    Ok(until.filter(|until| now.nanos() < *until).map(Instant::from_nanos))
}

/// Sets the times of outcomes that are in the future to `now`. Otherwise the outcomes would stay young.
fn call_the_future_now(connection: &Connection, now: i64) -> Result<()> {
    run(connection, "UPDATE delivered SET delivered_at = ?1 WHERE delivered_at > ?1", [now])?;
    run(connection, "UPDATE discarded SET discarded_at = ?1 WHERE discarded_at > ?1", [now])
}

fn expire(connection: &Connection, from: Term, cutoff: i64, now: Instant, measure: MeasureOf) -> Result<u64> {
    let (select, delete, to) = if from == Term::Delivered {
        (
            "SELECT seq, n, delivered_at FROM delivered ORDER BY n LIMIT ?1",
            "DELETE FROM delivered WHERE n IN (SELECT value FROM json_each(?1))",
            Term::ExpiredDelivered,
        )
    } else {
        (
            "SELECT seq, seq, discarded_at FROM discarded ORDER BY discarded_at LIMIT ?1",
            "DELETE FROM discarded WHERE seq IN (SELECT value FROM json_each(?1))",
            Term::ExpiredDiscarded,
        )
    };
    let mut old: Vec<(Sequence, i64, i64)> =
        all(connection, select, [DELETED_A_TRANSACTION], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    // Both lists go from old to young, so nothing after the first young row is deleted.
    let young = old.iter().position(|(_, _, at)| *at >= cutoff);
    old.truncate(young.unwrap_or(old.len()));
    let mut postings = Postings::default();
    let mut withdrawals = Withdrawals::new(measure);
    for (sequence, ..) in &old {
        let event = if from == Term::Delivered {
            read_reference(connection, *sequence)?
        } else {
            let found = read_event(connection, *sequence)?;
            withdrawals.add(connection, &found)?;
            found.reference
        };
        postings.shift(&event, from, to);
    }
    let (sequences, rows): (Vec<Sequence>, Vec<i64>) =
        old.iter().map(|(sequence, row, _)| (*sequence, *row)).unzip();
    remember_over_counts(connection, &sequences)?;
    bury(connection, &sequences, now.nanos() / DAY_NANOS)?;
    run(connection, delete, [json_list(&rows)])?;
    postings.apply(connection)?;
    if from == Term::Discarded {
        withdrawals.apply_discarded(connection)?
    }
    Ok(old.len() as u64)
}

/// Deletes tombstones that are older than these days. Searches for them at most once a day.
fn forget_identities(transaction: &Transaction<'_>, dedup_days: i64, now: Instant) -> Result<u64> {
    let today = now.nanos() / DAY_NANOS;
    if fact(transaction, BURIED_CHECKED_ON)? == Some(today) {
        return Ok(0);
    }
    let forgotten = changed(
        transaction,
        "DELETE FROM identities WHERE id IN (SELECT id FROM identities WHERE buried_on < ?1 LIMIT ?2)",
        (today - dedup_days, DELETED_A_TRANSACTION),
    )?;
    if forgotten < DELETED_A_TRANSACTION {
        set_fact(transaction, BURIED_CHECKED_ON, today)?;
    }
    Ok(forgotten)
}
