//! What becomes of attempts, one function per transition, many transitions a transaction.

use std::collections::BTreeMap;

use rusqlite::{Transaction, TransactionBehavior};

use super::arrivals;
use super::events::EventRef;
use super::ledger::{Postings, Term};
use super::suites::FormKey;
use super::{Buffer, BufferError, RunId};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;
use crate::suite::OnAmbiguous;

/// An event that Analytics has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub event: EventRef,
    pub visitor: VisitorKey,
    /// When its reply came.
    pub at: Instant,
}

/// One thing to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An attempt is about to be written. Durable before its first byte.
    Claim {
        sequence: Sequence,
        /// The form in which it goes.
        form: FormKey,
    },
    /// The attempt was never written, or surely not received: the claim is void.
    Release {
        sequence: Sequence,
    },
    /// The attempt has an unknown outcome.
    Doubt {
        event: EventRef,
        /// The form of the attempt, which every repeat keeps.
        form: FormKey,
        doubt: Doubt,
        /// Whether the suite repeats or holds.
        policy: OnAmbiguous,
        /// When it broke.
        at: Instant,
    },
    Delivered(Delivered),
    Dead {
        event: EventRef,
        /// The form of the attempt.
        form: FormKey,
        reason: DeadReason,
        /// When the reply came.
        at: Instant,
    },
}

impl Buffer {
    /// Records changes in their order, in one durable transaction.
    pub async fn record(&self, run: RunId, changes: Vec<Change>) -> Result<(), BufferError> {
        self.call_async(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut postings = Postings::default();
            let mut delivered = BTreeMap::new();
            for change in &changes {
                apply(&transaction, run, change, &mut postings)?;
                if let Change::Delivered(Delivered { event, at, .. }) = change {
                    delivered.insert(event.requestor.0, *at);
                }
            }
            arrivals::note_delivered(&transaction, &delivered)?;
            postings.apply(&transaction)?;
            Ok(transaction.commit()?)
        })
        .await
    }
}

fn apply(
    transaction: &Transaction<'_>,
    run: RunId,
    change: &Change,
    postings: &mut Postings,
) -> Result<(), BufferError> {
    match change {
        Change::Claim { sequence, form } => claim(transaction, run, *sequence, *form),
        Change::Release { sequence } => release(transaction, *sequence),
        Change::Doubt { event, form, doubt, policy, at } => {
            record_doubt(transaction, event, *form, doubt, *at)?;
            match policy {
                OnAmbiguous::Retry => Ok(()),
                OnAmbiguous::Hold => record_held(transaction, event, *at, postings),
            }
        }
        Change::Delivered(delivered) => record_delivered(transaction, run, delivered, postings),
        Change::Dead { event, form, reason, at } => {
            record_dead(transaction, run, event, *form, reason, *at, postings)
        }
    }
}

fn claim(
    transaction: &Transaction<'_>,
    run: RunId,
    sequence: Sequence,
    form: FormKey,
) -> Result<(), BufferError> {
    transaction
        .prepare_cached("INSERT INTO claims (seq, form, run) VALUES (?1, ?2, ?3)")?
        .execute((sequence.0, form.0, run.0))?;
    Ok(())
}

fn release(transaction: &Transaction<'_>, sequence: Sequence) -> Result<(), BufferError> {
    transaction.prepare_cached("DELETE FROM claims WHERE seq = ?1")?.execute([sequence.0])?;
    Ok(())
}

/// Puts an event back into the queue.
pub(super) fn enqueue(transaction: &Transaction<'_>, event: &EventRef) -> Result<(), BufferError> {
    transaction
        .prepare_cached("INSERT INTO queue (job, requestor, occurred_at, seq) VALUES (?1, ?2, ?3, ?4)")?
        .execute((event.job.number(), event.requestor.0, event.occurred_at.nanos(), event.sequence.0))?;
    Ok(())
}

/// Takes an event out of the queue; false where it was not there, erased in the meantime.
pub(super) fn unqueue(transaction: &Transaction<'_>, event: &EventRef) -> Result<bool, BufferError> {
    let taken = transaction
        .prepare_cached(
            "DELETE FROM queue WHERE job = ?1 AND requestor = ?2 AND occurred_at = ?3 AND seq = ?4",
        )?
        .execute((event.job.number(), event.requestor.0, event.occurred_at.nanos(), event.sequence.0))?;
    Ok(taken == 1)
}

pub(super) fn record_delivered(
    transaction: &Transaction<'_>,
    run: RunId,
    delivered: &Delivered,
    postings: &mut Postings,
) -> Result<(), BufferError> {
    let event = &delivered.event;
    release(transaction, event.sequence)?;
    if unqueue(transaction, event)? {
        transaction
            .prepare_cached(
                "INSERT INTO delivered (seq, occurred_at, visitor, delivered_at, run) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                event.sequence.0,
                event.occurred_at.nanos(),
                delivered.visitor.0 as i64,
                delivered.at.nanos(),
                run.0,
            ))?;
        postings.shift(event, Term::Pending, Term::Delivered);
    }
    Ok(())
}

pub(super) fn record_doubt(
    transaction: &Transaction<'_>,
    event: &EventRef,
    form: FormKey,
    doubt: &Doubt,
    at: Instant,
) -> Result<(), BufferError> {
    release(transaction, event.sequence)?;
    transaction
        .prepare_cached(
            "INSERT INTO doubts (seq, form, attempts, last_at, cause) VALUES (?1, ?2, 1, ?3, ?4)
             ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, last_at = ?3, cause = ?4, wanted = 0",
        )?
        .execute((event.sequence.0, form.0, at.nanos(), doubt.to_string()))?;
    Ok(())
}

fn record_held(
    transaction: &Transaction<'_>,
    event: &EventRef,
    at: Instant,
    postings: &mut Postings,
) -> Result<(), BufferError> {
    if unqueue(transaction, event)? {
        transaction
            .prepare_cached("INSERT INTO held (seq, held_at) VALUES (?1, ?2)")?
            .execute((event.sequence.0, at.nanos()))?;
        postings.shift(event, Term::Pending, Term::Held);
    }
    Ok(())
}

pub(super) fn record_dead(
    transaction: &Transaction<'_>,
    run: RunId,
    event: &EventRef,
    form: FormKey,
    reason: &DeadReason,
    at: Instant,
    postings: &mut Postings,
) -> Result<(), BufferError> {
    release(transaction, event.sequence)?;
    if unqueue(transaction, event)? {
        transaction
            .prepare_cached(
                "INSERT INTO dead_letters (seq, reason, form, died_at, run) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((event.sequence.0, reason.code(), form.0, at.nanos(), run.0))?;
        postings.shift(event, Term::Pending, Term::Dead);
    }
    Ok(())
}
