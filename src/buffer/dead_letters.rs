//! What waits for a person: dead letters, condemned by a reply, and held events, which may have been counted.

use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::ledger::Term;
use super::rows::{each, event_name, find_event, from_row};
use super::states::{To, shift_all};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{Instant, PassEvent};

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
    pub seq: Sequence,
    pub requestor_id: String,
    /// The suite that refused it.
    pub rsid: Option<String>,
    pub event: &'static str,
    pub occurred_at: Instant,
    pub count: u32,
    pub reason: DeadReason,
    pub explanation: String,
    pub died_at: Instant,
}

/// A held event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldEvent {
    pub seq: Sequence,
    pub requestor_id: String,
    /// The suite that may have counted it.
    pub rsid: String,
    pub event: &'static str,
    pub occurred_at: Instant,
    pub count: u32,
    pub attempts: u32,
    pub cause: String,
    pub held_at: Instant,
}

impl Buffer {
    /// Dead letters, the latest first.
    pub fn dead_letters(&self, selection: Selection, limit: usize) -> Result<Vec<DeadLetter>> {
        let (reason, sequences) = filters(&selection);
        let select = "SELECT d.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.reason, d.died_at
             FROM dead_letters d JOIN events e ON e.seq = d.seq JOIN requestors r ON r.requestor = e.requestor
             LEFT JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR d.reason = ?1) AND (?2 IS NULL OR d.seq IN (SELECT value FROM json_each(?2)))
             ORDER BY d.died_at DESC, d.seq LIMIT ?3";
        self.all(select, (reason, sequences, limit), |row| {
            let reason: DeadReason = row.get("reason")?;
            Ok(from_row!(row, DeadLetter { seq, requestor_id, rsid, occurred_at, count, died_at },
                event: event_name(row)?, explanation: reason.to_string(), reason: reason))
        })
    }

    /// Held events, the latest first.
    pub fn held(&self, selection: Selection, limit: usize) -> Result<Vec<HeldEvent>> {
        let (cause, sequences) = filters(&selection);
        let select = "SELECT h.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.attempts, d.cause, h.held_at
             FROM held h JOIN doubts d ON d.seq = h.seq JOIN events e ON e.seq = h.seq
             JOIN requestors r ON r.requestor = e.requestor JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR h.seq IN (SELECT value FROM json_each(?2)))
             ORDER BY h.held_at DESC, h.seq LIMIT ?3";
        self.all(select, (cause, sequences, limit), |row| {
            Ok(from_row!(row, HeldEvent { seq, requestor_id, rsid, occurred_at, count, attempts, cause, held_at },
                event: event_name(row)?))
        })
    }

    /// The whole event behind a number, whatever its state; `None` where there is none.
    pub fn event(&self, sequence: Sequence) -> Result<Option<PassEvent>> {
        self.read(|connection| Ok(find_event(connection, sequence)?.map(|found| found.event)))
    }

    /// Sends dead letters once more, in the next run.
    pub fn requeue_dead(&self, selection: Selection, requeue: Requeue) -> Result<Requeued> {
        self.decide(Term::Dead, &selection, requeue, To::Pending)
    }

    /// Sends held events once more, in the next run, in the form of their first attempt.
    pub fn requeue_held(&self, selection: Selection, requeue: Requeue) -> Result<Requeued> {
        self.decide(Term::Held, &selection, requeue, To::Pending)
    }

    pub fn discard_dead(&self, selection: Selection) -> Result<u64> {
        let to = To::Discarded { at: self.now(), by_cancel: false };
        Ok(self.decide(Term::Dead, &selection, Requeue::EvenIfDoubled, to)?.requeued)
    }

    /// Decides what held events were.
    pub fn settle_held(&self, selection: Selection, settlement: Settlement) -> Result<u64> {
        let at = self.now();
        let to = match settlement {
            Settlement::Delivered => To::Vouched { at },
            Settlement::Discarded => To::Discarded { at, by_cancel: false },
        };
        Ok(self.decide(Term::Held, &selection, Requeue::EvenIfDoubled, to)?.requeued)
    }

    /// Moves the selected events, some a transaction, so that live recording never waits long; gives how many were still
    /// there.
    fn decide(
        &self,
        from: Term,
        selection: &Selection,
        requeue: Requeue,
        to: To<'static>,
    ) -> Result<Requeued> {
        let select = if from == Term::Dead {
            "SELECT p.seq, d.seq IS NOT NULL AND f.event_ids = 'off' AS may_double FROM dead_letters p
             LEFT JOIN doubts d ON d.seq = p.seq LEFT JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR p.reason = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        } else {
            "SELECT p.seq, f.event_ids = 'off' AS may_double FROM held p
             JOIN doubts d ON d.seq = p.seq JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        };
        let mut decided = Requeued::default();
        let mut chosen: Vec<Sequence> = Vec::new();
        self.read(|connection| {
            each(connection, select, filters(selection), |row| {
                if row.get("may_double")? && requeue == Requeue::OnlyExact {
                    decided.may_double += 1;
                } else {
                    chosen.push(row.get("seq")?);
                }
                Ok(())
            })
        })?;
        for chunk in chosen.chunks(MOVED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            decided.requeued += self.write(move |transaction| shift_all(transaction, &chunk, from, to))?;
        }
        Ok(decided)
    }
}

/// The reason and the JSON list of numbers that the statements filter by; NULL filters nothing.
fn filters(selection: &Selection) -> (Option<&str>, Option<String>) {
    match selection {
        Selection::All => (None, None),
        Selection::Reason(reason) => (Some(reason), None),
        Selection::Sequences(sequences) => {
            (None, Some(serde_json::to_string(sequences).expect("numbers always serialise")))
        }
    }
}
