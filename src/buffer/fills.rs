//! Which keys the stored events of each requestor have: a sample, to notice a key that a source no longer fills.

use super::database::Buffer;
use super::error::Result;
use super::rows::{EventColumns, json_list, stored_event, value};
use crate::event::FilledKeys;

/// How many successive events are looked at, at each of some 80 places: 10 ms of work.
const ROW_EVENTS: i64 = 32;

impl Buffer {
    /// The keys of a sample of the stored events. The older the events are, the fewer are looked at. So a second source
    /// of a requestor counts, even after a large file of the first; and a key that was given up is soon forgotten.
    pub fn filled_keys(&self) -> Result<FilledKeys> {
        let mut found = FilledKeys::default();
        self.read(|connection| {
            let last: i64 = value(connection, "SELECT coalesce(max(seq), 0) FROM events", [])?;
            let further = |behind: &i64| Some(behind + ROW_EVENTS.max(behind / 5));
            let rows = std::iter::successors(Some(0), further).map(|behind| last - behind);
            let rows: Vec<i64> = rows.take_while(|row| *row > 0).collect();
            let mut statement = connection.prepare_cached(
                "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id
                 FROM json_each(?1) s CROSS JOIN events e ON e.seq > s.value - ?2 AND e.seq <= s.value
                 JOIN requestors r ON r.requestor = e.requestor",
            )?;
            let columns = EventColumns::of(&statement)?;
            let mut events = statement.query((json_list(&rows), ROW_EVENTS))?;
            while let Some(row) = events.next()? {
                let event = stored_event(row, &columns)?.event;
                found.add(&event);
            }
            Ok(())
        })?;
        Ok(found)
    }
}
