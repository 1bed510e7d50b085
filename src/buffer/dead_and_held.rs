//! Events that a person must decide about: dead letters (rejected for good) and held events (may have been counted).

use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::ledger::Term;
use super::rows::{each, event_name, find_event, from_row, json_list};
use super::states::{To, shift_all};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{Instant, PassEvent};

/// Events moved in one transaction.
const MOVED_A_TRANSACTION: usize = 1_000;

/// The state of an event that a person must decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    Dead,
    Held,
}

/// Which events of a state to show or move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    All,
    /// The events with these numbers. Numbers of other events are ignored.
    Sequences(Vec<Sequence>),
    /// The dead letters with this reason, or the held events with this cause.
    Reason(String),
}

/// What to do with events that Analytics may count twice if they are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Leave these events as they are, and say how many there are.
    OnlyExact,
    /// Send these events again all the same.
    EvenIfDoubled,
}

/// What a person says became of events that are not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Discarded,
    Delivered,
}

/// What a requeue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Requeued {
    /// Events that are pending now.
    pub requeued: u64,
    /// Events that were left as they are, because a repeat could count twice.
    pub may_double: u64,
}

/// An event that a person must decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndecidedEvent {
    pub seq: Sequence,
    pub requestor_id: String,
    /// The suite to which the event was to go, or that may have counted it.
    pub rsid: Option<String>,
    pub event: &'static str,
    pub occurred_at: Instant,
    pub count: u32,
    #[serde(flatten)]
    pub why: Why,
}

/// Why a person must decide about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Why {
    Dead { reason: DeadReason, explanation: String, died_at: Instant },
    Held { attempts: u32, cause: String, held_at: Instant },
}

/// Events of one reason, MVPD and resource that a person must decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// For dead letters, the code of their reason; for held events, their cause.
    pub reason: String,
    pub mvpd: Option<String>,
    pub resource_id: Option<String>,
    pub events: u64,
}

impl Buffer {
    /// How many events a person must decide about, by reason, MVPD and resource, the most first.
    pub fn undecided_groups(&self, state: Undecided, which: &Selection) -> Result<Vec<Group>> {
        let select = "SELECT s.reason, e.body ->> 'mvpd' AS mvpd, e.body ->> 'resource_id' AS resource_id, count(*) AS events
             FROM (SELECT seq, reason FROM dead_letters WHERE ?3 = 'dead' UNION ALL
                   SELECT h.seq, d.cause FROM held h JOIN doubts d ON d.seq = h.seq WHERE ?3 = 'held') s
             JOIN events e ON e.seq = s.seq
             WHERE (?1 IS NULL OR s.reason = ?1) AND (?2 IS NULL OR s.seq IN (SELECT value FROM json_each(?2)))
             GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3";
        let (reason, sequences) = filters(which);
        let state = if state == Undecided::Dead { "dead" } else { "held" };
        self.all(select, (reason, sequences, state), |row| {
            Ok(from_row!(row, Group { reason, mvpd, resource_id, events }))
        })
    }

    /// Events that a person must decide about, the latest first.
    pub fn undecided(
        &self,
        state: Undecided,
        which: &Selection,
        limit: usize,
    ) -> Result<Vec<UndecidedEvent>> {
        let select = match state {
            Undecided::Dead => {
                "SELECT d.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.reason, d.died_at
                 FROM dead_letters d JOIN events e ON e.seq = d.seq JOIN requestors r ON r.requestor = e.requestor
                 LEFT JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR d.reason = ?1) AND (?2 IS NULL OR d.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY d.died_at DESC, d.seq LIMIT ?3"
            }
            Undecided::Held => {
                "SELECT h.seq, r.requestor_id, f.rsid, e.slot, e.occurred_at, e.count, d.attempts, d.cause, h.held_at
                 FROM held h JOIN doubts d ON d.seq = h.seq JOIN events e ON e.seq = h.seq
                 JOIN requestors r ON r.requestor = e.requestor JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR h.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY h.held_at DESC, h.seq LIMIT ?3"
            }
        };
        let (reason, sequences) = filters(which);
        self.all(select, (reason, sequences, limit), |row| {
            let why = match state {
                Undecided::Dead => {
                    let reason: DeadReason = row.get("reason")?;
                    Why::Dead { explanation: reason.to_string(), reason, died_at: row.get("died_at")? }
                }
                Undecided::Held => Why::Held {
                    attempts: row.get("attempts")?,
                    cause: row.get("cause")?,
                    held_at: row.get("held_at")?,
                },
            };
            Ok(from_row!(row, UndecidedEvent { seq, requestor_id, rsid, occurred_at, count },
                event: event_name(row)?, why: why))
        })
    }

    /// The event with this number, in any state; `None` if there is none.
    pub fn event(&self, sequence: Sequence) -> Result<Option<PassEvent>> {
        self.read(|connection| Ok(find_event(connection, sequence)?.map(|found| found.event)))
    }

    /// Makes events pending, so that the next run sends them again. Held events keep the form of their first attempt.
    pub fn requeue(&self, state: Undecided, selection: &Selection, requeue: Requeue) -> Result<Requeued> {
        self.decide(state, selection, requeue, To::Pending)
    }

    /// Makes events discarded, or held ones delivered because a person says that they were counted. Returns how many.
    pub fn settle(&self, state: Undecided, selection: &Selection, becomes: Settled) -> Result<u64> {
        let to = match becomes {
            Settled::Discarded => To::Discarded { at: self.now(), by_cancel: false },
            Settled::Delivered => To::Vouched { at: self.now() },
        };
        Ok(self.decide(state, selection, Requeue::EvenIfDoubled, to)?.requeued)
    }

    /// Moves the selected events in several transactions, so that live recording never waits long. Returns
    /// how many were moved, and how many stay because a repeat could count twice.
    fn decide(
        &self,
        state: Undecided,
        selection: &Selection,
        requeue: Requeue,
        to: To<'static>,
    ) -> Result<Requeued> {
        let (from, select) = match state {
            Undecided::Dead => (
                Term::Dead,
                "SELECT p.seq, coalesce(d.attempts, 0) > 0 AND f.event_ids = 'off' AS may_double FROM dead_letters p
                 LEFT JOIN doubts d ON d.seq = p.seq LEFT JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR p.reason = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY p.seq",
            ),
            Undecided::Held => (
                Term::Held,
                "SELECT p.seq, f.event_ids = 'off' AS may_double FROM held p
                 JOIN doubts d ON d.seq = p.seq JOIN forms f ON f.form = d.form
                 WHERE (?1 IS NULL OR d.cause = ?1) AND (?2 IS NULL OR p.seq IN (SELECT value FROM json_each(?2)))
                 ORDER BY p.seq",
            ),
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
        Selection::Sequences(sequences) => (None, Some(json_list(sequences))),
    }
}
