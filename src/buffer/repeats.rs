//! Which lines of an input repeated which stored events: a trace finds the repeats of an event, or the event of a line.
//!
//! A file that is read again repeats its events in their order, so a row covers thousands of lines.

use rusqlite::Connection;

use super::error::Result;
use super::keys::InputId;
use super::rows::run;
use crate::delivery::Sequence;

/// The most rows that a batch adds. A batch of a file has at most 10,000 lines, so a file that repeats events in random
/// order adds at most one row for ten lines.
const ROWS_MAX: usize = 1_000;

/// The most lines of a row. So a row with a given event begins at most this many numbers before the event.
pub(super) const EVENTS_MAX: i64 = 10_000;

/// Consecutive lines of an input that repeat consecutive events, one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repeat {
    first: Sequence,
    line: u64,
    events: i64,
    is_conflict: bool,
}

/// The repeats of one batch.
#[derive(Debug, Default)]
pub(super) struct Repeats(Vec<Repeat>);

impl Repeats {
    /// Adds a line that repeats an event. Leaves out repeats of deleted events, and repeats above `ROWS_MAX`.
    pub(super) fn add(&mut self, first: Option<Sequence>, line: u64, is_conflict: bool) {
        let Some(first) = first else { return };
        let goes_on = |last: &&mut Repeat| {
            let next = (last.first.0 + last.events, last.line.wrapping_add_signed(last.events));
            next == (first.0, line) && last.events < EVENTS_MAX && last.is_conflict == is_conflict
        };
        if let Some(last) = self.0.last_mut().filter(goes_on) {
            last.events += 1;
        } else if self.0.len() < ROWS_MAX {
            self.0.push(Repeat { first, line, events: 1, is_conflict });
        }
    }

    pub(super) fn store(&self, connection: &Connection, input: InputId) -> Result<()> {
        for Repeat { first, line, events, is_conflict } in &self.0 {
            let insert =
                "INSERT INTO repeats (seq, input, line, events, is_conflict) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET events = max(events, ?4), is_conflict = ?5";
            run(connection, insert, (first, input, line, events, is_conflict))?;
        }
        Ok(())
    }
}

/// Deletes the rows that only cover deleted events.
pub(super) fn prune(connection: &Connection) -> Result<()> {
    run(
        connection,
        "DELETE FROM repeats WHERE seq < (SELECT min(seq) FROM events) AND seq + events <= (SELECT min(seq) FROM events)",
        [],
    )
}
