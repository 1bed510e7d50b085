//! What waits for a person: dead letters, condemned by a reply, and held events, which may have been counted.

use rusqlite::Connection;
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::ledger::Term;
use super::rows::{event_name, find_event, from_row, reference, run};
use super::states::{Moves, To};
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
        self.requeue(Term::Dead, selection, requeue)
    }

    /// Sends held events once more, in the next run, in the form of their first attempt.
    pub fn requeue_held(&self, selection: Selection, requeue: Requeue) -> Result<Requeued> {
        self.requeue(Term::Held, selection, requeue)
    }

    pub fn discard_dead(&self, selection: Selection) -> Result<u64> {
        let at = self.now();
        let chosen = self.chosen(Term::Dead, &selection)?;
        self.move_chosen(Term::Dead, &chosen, To::Discarded { at, by_cancel: false })
    }

    /// Decides what held events were.
    pub fn settle_held(&self, selection: Selection, settlement: Settlement) -> Result<u64> {
        let at = self.now();
        let chosen = self.chosen(Term::Held, &selection)?;
        self.move_chosen(
            Term::Held,
            &chosen,
            match settlement {
                Settlement::Delivered => To::Vouched { at },
                Settlement::Discarded => To::Discarded { at, by_cancel: false },
            },
        )
    }

    fn requeue(&self, from: Term, selection: Selection, requeue: Requeue) -> Result<Requeued> {
        let mut chosen = self.chosen(from, &selection)?;
        let all = chosen.len();
        if requeue == Requeue::OnlyExact {
            chosen.retain(|choice| !choice.may_double);
        }
        let may_double = (all - chosen.len()) as u64;
        Ok(Requeued { requeued: self.move_chosen(from, &chosen, To::Pending)?, may_double })
    }

    fn chosen(&self, from: Term, selection: &Selection) -> Result<Vec<Choice>> {
        let select = if from == Term::Dead {
            "SELECT p.seq, d.seq IS NOT NULL AND f.event_ids = 'off' AS may_double FROM dead_letters p
             LEFT JOIN doubts d ON d.seq = p.seq LEFT JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR p.reason = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        } else {
            "SELECT p.seq, f.event_ids = 'off' AS may_double FROM held p
             JOIN doubts d ON d.seq = p.seq JOIN forms f ON f.form = d.form
             WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2))) ORDER BY p.seq"
        };
        self.all(select, filters(selection), |row| {
            Ok(Choice { sequence: row.get("seq")?, may_double: row.get("may_double")? })
        })
    }

    /// Moves these events, some a transaction, so that live recording never waits long; gives how many were still there.
    fn move_chosen(&self, from: Term, chosen: &[Choice], to: To<'static>) -> Result<u64> {
        let mut moved = 0;
        for chunk in chosen.chunks(MOVED_A_TRANSACTION) {
            let chunk = chunk.to_vec();
            moved += self.write(move |transaction| {
                let mut moves = Moves::new(transaction);
                let mut moved = 0;
                for Choice { sequence, .. } in chunk {
                    let Some(event) = reference(transaction, sequence)? else { continue };
                    if moves.shift(&event, from, to)? {
                        moved += 1;
                        want_repeat(transaction, sequence, to)?;
                    }
                }
                moves.account()?;
                Ok(moved)
            })?;
        }
        Ok(moved)
    }
}

#[derive(Clone, Copy)]
struct Choice {
    sequence: Sequence,
    /// An attempt may have been counted, and Analytics could not tell the repeat.
    may_double: bool,
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

/// Notes that a person wants the repeat of an attempt in doubt, so that no policy holds it again before it was sent.
fn want_repeat(connection: &Connection, sequence: Sequence, to: To<'_>) -> Result<()> {
    if !matches!(to, To::Pending) {
        return Ok(());
    }
    run(connection, "UPDATE doubts SET wanted = 1 WHERE seq = ?1", [sequence])
}
