//! Moves events from one state to another, and updates the account.

use rusqlite::Connection;

use super::error::Result;
use super::keys::{FormKey, RunId};
use super::ledger::{Postings, Term};
use super::rows::{EventRef, changed, reference, run};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;

const TAKE_PENDING: &str =
    "DELETE FROM queue WHERE job = ?1 AND requestor = ?2 AND occurred_at = ?3 AND seq = ?4";

/// An event that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub event: EventRef,
    pub visitor: VisitorKey,
    pub at: Instant,
}

/// The state that an event gets.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    Pending,
    /// Delivered, because a person says so.
    Vouched {
        at: Instant,
    },
    Dead {
        reason: &'a DeadReason,
        form: FormKey,
        at: Instant,
        run: RunId,
    },
    Held {
        at: Instant,
    },
    /// A person discarded the event, alone or with its whole backfill.
    Discarded {
        at: Instant,
        by_cancel: bool,
    },
}

/// The moves of one transaction, and their effect on the account.
pub(super) struct Moves<'c> {
    connection: &'c Connection,
    pub(super) postings: Postings,
    delivered: Vec<(Delivered, RunId)>,
}

impl Moves<'_> {
    pub(super) fn new(connection: &Connection) -> Moves<'_> {
        Moves { connection, postings: Postings::default(), delivered: Vec::new() }
    }

    /// Moves an event. Returns false if the event left the state `from` meanwhile: it was moved or erased.
    pub(super) fn shift(&mut self, event: &EventRef, from: Term, to: To<'_>) -> Result<bool> {
        let is_there = take(self.connection, event, from)?;
        if is_there {
            self.postings.shift(event, from, put(self.connection, event, to)?);
        }
        Ok(is_there)
    }

    /// Records that a pending event was delivered, once `account` is called.
    pub(super) fn deliver(&mut self, delivered: Delivered, run: RunId) {
        self.delivered.push((delivered, run));
    }

    pub(super) fn account(mut self) -> Result<()> {
        self.write_delivered()?;
        self.postings.apply(self.connection)
    }

    /// Writes the deliveries. They are most of what a drain writes, so each statement is looked up once, and events are
    /// written in the order of the queue. An event that is not pending any more was erased meanwhile.
    fn write_delivered(&mut self) -> Result<()> {
        let mut delivered = std::mem::take(&mut self.delivered);
        delivered.sort_unstable_by_key(|(Delivered { event, .. }, _)| {
            (event.job.0, event.requestor, event.occurred_at, event.sequence)
        });
        let mut take = self.connection.prepare_cached(TAKE_PENDING)?;
        let mut put = self.connection.prepare_cached(
            "INSERT INTO delivered (seq, occurred_at, visitor, delivered_at, run) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (Delivered { event, visitor, at }, run) in delivered {
            let EventRef { sequence, job, requestor, occurred_at, .. } = event;
            if take.execute((job, requestor, occurred_at, sequence))? == 1 {
                put.execute((sequence, occurred_at, visitor, at, run))?;
                self.postings.shift(&event, Term::Pending, Term::Delivered);
            }
        }
        Ok(())
    }
}

/// Moves these events and updates the account. Returns how many were still in the state `from`.
pub(super) fn shift_all(connection: &Connection, events: &[Sequence], from: Term, to: To<'_>) -> Result<u64> {
    let mut moves = Moves::new(connection);
    let mut moved = 0;
    for sequence in events {
        // An event without a row was erased in the meantime.
        if let Some(event) = reference(connection, *sequence)? {
            moved += u64::from(moves.shift(&event, from, to)?);
        }
    }
    moves.account()?;
    Ok(moved)
}

/// Takes an event out of a state; false if the event is not in it. Does not search the delivered events.
pub(super) fn take(connection: &Connection, event: &EventRef, from: Term) -> Result<bool> {
    let EventRef { sequence, job, requestor, occurred_at, .. } = *event;
    let delete = match from {
        Term::Pending => {
            return Ok(changed(connection, TAKE_PENDING, (job, requestor, occurred_at, sequence))? == 1);
        }
        Term::Dead => "DELETE FROM dead_letters WHERE seq = ?1",
        Term::Held => "DELETE FROM held WHERE seq = ?1",
        Term::Discarded => "DELETE FROM discarded WHERE seq = ?1",
        Term::Ingested
        | Term::Delivered
        | Term::ExpiredDelivered
        | Term::ExpiredDiscarded
        | Term::Erased
        | Term::TakenBack => {
            return Ok(false);
        }
    };
    Ok(changed(connection, delete, [sequence])? == 1)
}

/// Puts an event into a state. Returns the state's term in the account.
fn put(connection: &Connection, event: &EventRef, to: To<'_>) -> Result<Term> {
    let EventRef { sequence, job, requestor, occurred_at, .. } = *event;
    Ok(match to {
        To::Pending => {
            let insert = "INSERT INTO queue (job, requestor, occurred_at, seq) VALUES (?1, ?2, ?3, ?4)";
            run(connection, insert, (job, requestor, occurred_at, sequence))?;
            // Only a person makes an event pending again, and wants it sent. Until it is sent, no policy holds it.
            run(connection, "UPDATE doubts SET wanted = 1 WHERE seq = ?1", [sequence])?;
            Term::Pending
        }
        To::Vouched { at } => {
            let insert = "INSERT INTO delivered (seq, occurred_at, delivered_at) VALUES (?1, ?2, ?3)";
            run(connection, insert, (sequence, occurred_at, at))?;
            run(connection, "INSERT INTO settled (seq) VALUES (?1)", [sequence])?;
            Term::Delivered
        }
        To::Dead { reason, form, at, run: by } => {
            let insert =
                "INSERT INTO dead_letters (seq, reason, form, died_at, run) VALUES (?1, ?2, ?3, ?4, ?5)";
            run(connection, insert, (sequence, reason, form, at, by))?;
            Term::Dead
        }
        To::Held { at } => {
            run(connection, "INSERT INTO held (seq, held_at) VALUES (?1, ?2)", (sequence, at))?;
            Term::Held
        }
        To::Discarded { at, by_cancel } => {
            let insert = "INSERT INTO discarded (seq, discarded_at, by_cancel) VALUES (?1, ?2, ?3)";
            run(connection, insert, (sequence, at, by_cancel))?;
            Term::Discarded
        }
    })
}

/// Records an attempt of unknown outcome as a doubt.
pub(super) fn doubt(
    connection: &Connection,
    sequence: Sequence,
    form: FormKey,
    doubt: &Doubt,
    at: Instant,
) -> Result<()> {
    let change = "INSERT INTO doubts (seq, form, attempts, last_at, cause) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, last_at = ?3, cause = ?4, wanted = 0";
    run(connection, change, (sequence, form, at, doubt.to_string()))
}

/// Records that the first hits of an event were answered SUCCESS.
pub(super) fn partly_sent(
    connection: &Connection,
    sequence: Sequence,
    form: FormKey,
    hits_sent: u32,
    at: Instant,
) -> Result<()> {
    let change = "INSERT INTO doubts (seq, form, attempts, last_at, cause, hits_sent) VALUES (?1, ?2, 0, ?3, 'partly sent', ?4)
         ON CONFLICT (seq) DO UPDATE SET hits_sent = max(hits_sent, ?4)";
    run(connection, change, (sequence, form, at, hits_sent))
}
