//! What stays of a deleted event: a tombstone (its identity), and its part in the sum of possible over-counts.

use rusqlite::Connection;

use super::attempts;
use super::error::Result;
use super::facts::{fact, set_fact};
use super::rows::{first, json_list, run};
use crate::delivery::Sequence;
use crate::event::Instant;

pub(super) const DAY_NANOS: i64 = 86_400_000_000_000;

/// The fact that holds the time at which retention last read the clock.
pub(super) const CLOCK_SEEN_AT: &str = "clock_seen_at";
/// The facts that hold how many deleted events, and how many of their units, may have been counted too often.
pub(super) const OVER_COUNT_EVENTS: &str = "over_count_events";
pub(super) const OVER_COUNT_UNITS: &str = "over_count_units";

/// The day from which a tombstone's age counts: today, or the day of the latest retention if that day is later. So a
/// clock that is behind does not shorten a tombstone's life.
pub(super) fn day_of_burial(connection: &Connection, now: Instant) -> Result<i64> {
    let seen_at = fact(connection, CLOCK_SEEN_AT)?.unwrap_or(now.nanos());
    Ok(seen_at.max(now.nanos()) / DAY_NANOS)
}

/// Deletes events with their doubts, attempts and exported outcomes, but not their rows in the tables of states. Call
/// `remember_over_counts` first. Each statement handles all events, so that SQLite reads identities in sorted order.
pub(super) fn bury(connection: &Connection, sequences: &[Sequence], day: i64) -> Result<()> {
    let list = json_list(sequences);
    run(
        connection,
        "UPDATE identities SET seq = NULL, buried_on = ?2
         WHERE id IN (SELECT id FROM events WHERE seq IN (SELECT value FROM json_each(?1)))",
        (&list, day),
    )?;
    run(connection, "DELETE FROM doubts WHERE seq IN (SELECT value FROM json_each(?1))", [&list])?;
    attempts::forget(connection, sequences)?;
    run(connection, "DELETE FROM undelivered WHERE seq IN (SELECT value FROM json_each(?1))", [&list])?;
    run(connection, "DELETE FROM settled WHERE seq IN (SELECT value FROM json_each(?1))", [&list])?;
    run(connection, "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?1))", [&list])
}

/// Adds the possible over-counts of events to the sums that stay after the events are deleted.
pub(super) fn remember_over_counts(connection: &Connection, sequences: &[Sequence]) -> Result<()> {
    let select = "SELECT count(*) AS events, coalesce(sum(units), 0) AS units FROM (
            SELECT e.count * (coalesce(d.attempts, 0) + (e.claimed IS NOT NULL)
                - (EXISTS (SELECT 1 FROM held WHERE seq = e.seq) OR EXISTS (SELECT 1 FROM dead_letters WHERE seq = e.seq)
                   OR EXISTS (SELECT 1 FROM discarded WHERE seq = e.seq)
                   OR EXISTS (SELECT 1 FROM settled WHERE seq = e.seq))) AS units
            FROM (SELECT seq, count, (SELECT form FROM claims WHERE seq = s.seq) AS claimed FROM events s
                  WHERE seq IN (SELECT value FROM json_each(?1))) e
            LEFT JOIN doubts d ON d.seq = e.seq JOIN forms f ON f.form = coalesce(d.form, e.claimed)
            WHERE f.event_ids = 'off')
         WHERE units > 0";
    let sums =
        first(connection, select, [json_list(sequences)], |row| Ok([row.get("events")?, row.get("units")?]))?;
    for (name, more) in [OVER_COUNT_EVENTS, OVER_COUNT_UNITS].into_iter().zip(sums.unwrap_or([0, 0])) {
        if more > 0 {
            let sum = fact(connection, name)?.unwrap_or(0) + more;
            set_fact(connection, name, sum)?;
        }
    }
    Ok(())
}
