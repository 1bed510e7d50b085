//! What stays of a deleted event: a tombstone (its identity), and its part in the sum of possible over-counts.

use rusqlite::Connection;

use super::error::Result;
use super::facts::{fact, set_fact};
use super::rows::{first, only, run, value};
use crate::delivery::Sequence;
use crate::event::Instant;

/// Nanoseconds of a day.
pub(super) const DAY_NANOS: i64 = 86_400_000_000_000;

/// The fact that holds the latest instant that the clock ever showed.
pub(super) const CLOCK_SEEN_AT: &str = "clock_seen_at";
/// The facts that hold how many expired events, and how many units, may have been counted too often.
pub(super) const OVER_COUNT_EVENTS: &str = "over_count_events";
pub(super) const OVER_COUNT_UNITS: &str = "over_count_units";

/// The day from which a tombstone's age counts: today, or the latest day that the clock ever showed. So a clock that
/// is behind does not shorten a tombstone's life.
pub(super) fn day_of_burial(connection: &Connection, now: Instant) -> Result<i64> {
    let seen_at = fact(connection, CLOCK_SEEN_AT)?.unwrap_or(now.nanos());
    Ok(seen_at.max(now.nanos()) / DAY_NANOS)
}

/// Deletes an event and what is known of its attempts. The caller removes it from the table of its state.
pub(super) fn bury(connection: &Connection, sequence: Sequence, day: i64) -> Result<()> {
    remember_over_count(connection, sequence)?;
    run(
        connection,
        "UPDATE identities SET seq = NULL, buried_on = ?2 WHERE id = (SELECT id FROM events WHERE seq = ?1)",
        (sequence, day),
    )?;
    run(connection, "DELETE FROM doubts WHERE seq = ?1", [sequence])?;
    run(connection, "DELETE FROM settled WHERE seq = ?1", [sequence])?;
    run(connection, "DELETE FROM events WHERE seq = ?1", [sequence])
}

/// Adds the possible over-count of an event to the sum that stays after the event is deleted.
fn remember_over_count(connection: &Connection, sequence: Sequence) -> Result<()> {
    // Nearly every event has neither, and SQLite prepares the statement below anew for each of its values.
    let select =
        "SELECT EXISTS (SELECT 1 FROM doubts WHERE seq = ?1) OR EXISTS (SELECT 1 FROM claims WHERE seq = ?1)";
    if !value::<bool>(connection, select, [sequence])? {
        return Ok(());
    }
    let select = "SELECT e.count * (coalesce(d.attempts, 0) + (c.seq IS NOT NULL)
                - (EXISTS (SELECT 1 FROM held WHERE seq = ?1) OR EXISTS (SELECT 1 FROM dead_letters WHERE seq = ?1)
                   OR EXISTS (SELECT 1 FROM discarded WHERE seq = ?1) OR EXISTS (SELECT 1 FROM settled WHERE seq = ?1)))
         FROM events e LEFT JOIN doubts d ON d.seq = e.seq LEFT JOIN claims c ON c.seq = e.seq
         JOIN forms f ON f.form = coalesce(d.form, c.form) WHERE e.seq = ?1 AND f.event_ids = 'off'";
    let units: Option<i64> = first(connection, select, [sequence], only)?;
    if let Some(units) = units.filter(|units| *units > 0) {
        for (name, more) in [(OVER_COUNT_EVENTS, 1), (OVER_COUNT_UNITS, units)] {
            let sum = fact(connection, name)?.unwrap_or(0) + more;
            set_fact(connection, name, sum)?;
        }
    }
    Ok(())
}
