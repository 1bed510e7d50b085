//! Attempts of unknown outcome, with the state of their event: recorded doubts, and claims (attempts without a record
//! of their outcome). While no drain runs, a claim is an attempt of a run that was killed.

use rusqlite::Connection;
use serde::Serialize;

use super::error::Result;
use super::keys::RequestorKey;
use super::rows::{each, event_name, from_row};
use crate::delivery::Sequence;
use crate::event::Instant;

/// One event with attempts of unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoubtedEvent {
    pub seq: Sequence,
    /// The ID that the source gave the event, if any.
    pub event_id: Option<String>,
    pub requestor_id: String,
    /// The suite that may have counted the event.
    pub rsid: String,
    pub event: &'static str,
    pub occurred_at: Instant,
    pub count: u32,
    /// Attempts of unknown outcome.
    pub attempts: u32,
    /// `pending`, `delivered`, `held`, `dead` or `discarded`.
    pub state: String,
    /// Whether Analytics counts repeats once, because the hits carry event IDs.
    pub repeat_is_exact: bool,
    pub cause: String,
    #[serde(skip)]
    pub(super) requestor: RequestorKey,
    #[serde(skip)]
    pub(super) slot: u8,
    #[serde(skip)]
    pub(super) mvpd: Option<String>,
    /// Whether a person said that the event was delivered.
    #[serde(skip)]
    pub(super) is_settled: bool,
}

impl DoubtedEvent {
    /// How many attempts in doubt may have counted the event too often. If the event is held, dead, discarded or
    /// vouched for, no other attempt counted it, so one count by an attempt in doubt is not too many.
    pub(super) fn attempts_too_many(&self) -> i64 {
        let is_unanswered = self.is_settled || matches!(self.state.as_str(), "held" | "dead" | "discarded");
        i64::from(self.attempts) - i64::from(is_unanswered)
    }
}

/// Shows every event with attempts of unknown outcome, whatever its state is now, in the order of storing.
pub(super) fn each_doubted(connection: &Connection, mut show: impl FnMut(DoubtedEvent)) -> Result<()> {
    let select = "WITH open AS (
            SELECT seq, form, sum(attempts) AS attempts, max(cause) AS cause FROM (
                SELECT seq, form, attempts, cause FROM doubts WHERE attempts > 0
                UNION ALL SELECT seq, form, 1, 'under way, or the run ended before the reply was recorded' FROM claims)
            GROUP BY seq)
         SELECT o.seq, o.attempts, o.cause, e.body ->> 'event_id' AS event_id, e.body ->> 'mvpd' AS mvpd, e.requestor,
            r.requestor_id, f.rsid, f.event_ids = 'on' AS repeat_is_exact, e.slot, e.occurred_at, e.count,
            CASE WHEN EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                              AND q.occurred_at = e.occurred_at AND q.seq = e.seq) THEN 'pending'
                 WHEN EXISTS (SELECT 1 FROM held h WHERE h.seq = o.seq) THEN 'held'
                 WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = o.seq) THEN 'dead'
                 WHEN EXISTS (SELECT 1 FROM discarded d WHERE d.seq = o.seq) THEN 'discarded'
                 ELSE 'delivered' END AS state,
            EXISTS (SELECT 1 FROM settled s WHERE s.seq = o.seq) AS is_settled
         FROM open o CROSS JOIN events e ON e.seq = o.seq JOIN requestors r ON r.requestor = e.requestor
         JOIN forms f ON f.form = o.form ORDER BY o.seq";
    each(connection, select, [], |row| {
        show(from_row!(row, DoubtedEvent {
            seq, event_id, requestor_id, rsid, occurred_at, count, attempts, state, repeat_is_exact, cause, requestor, slot,
            mvpd, is_settled
        }, event: event_name(row)?));
        Ok(())
    })
}
