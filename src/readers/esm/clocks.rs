//! The clocks (`esm.timezone`) on which the reports of a requestor were counted. Read on another clock, the same records
//! are of other hours, and would be counted again there.

use std::collections::HashMap;
use std::rc::Rc;

use super::kept::{CLOCKS, NO_SECRET, ROW_PREFIX};
use crate::config::Zone;
use crate::event::Instant;
use crate::readers::memory::{Keyring, MemoryKey, MemoryResult, Recollection};

/// The most clocks of a requestor that are remembered.
const CLOCKS_MAX: usize = 8;

/// The clocks of each requestor, as the rows `esm clocks ZONE ...` have them.
#[derive(Default)]
pub(super) struct Clocks(HashMap<String, Rc<[Zone]>>);

impl Clocks {
    pub(super) fn of(&mut self, requestor_id: &str, memory: &mut Recollection) -> MemoryResult<Rc<[Zone]>> {
        if let Some(known) = self.0.get(requestor_id) {
            return Ok(Rc::clone(known));
        }
        let row = memory.recall_of_esm(key_of(requestor_id))?;
        let names = row.as_deref().and_then(|row| row.strip_prefix(ROW_PREFIX)?.strip_prefix(CLOCKS));
        let known = names.unwrap_or_default().split_whitespace().filter_map(|name| name.parse().ok());
        Ok(Rc::clone(self.0.entry(requestor_id.to_owned()).or_insert(known.collect())))
    }

    /// Remembers that a report of this requestor was counted on this clock.
    pub(super) fn remember(
        &mut self,
        requestor_id: &str,
        zone: Zone,
        drops_at: Instant,
        memory: &mut Recollection,
    ) -> MemoryResult<()> {
        let known = self.of(requestor_id, memory)?;
        if known.contains(&zone) {
            return Ok(());
        }
        // The latest one replaces the first of too many.
        let known = known.iter().skip((known.len() + 1).saturating_sub(CLOCKS_MAX)).copied().chain([zone]);
        let known: Rc<[Zone]> = known.collect();
        let row = known.iter().fold(format!("{ROW_PREFIX}{CLOCKS}"), |row, zone| format!("{row} {zone}"));
        memory.remember(key_of(requestor_id), drops_at, Some(row));
        self.0.insert(requestor_id.to_owned(), known);
        Ok(())
    }
}

fn key_of(requestor_id: &str) -> MemoryKey {
    Keyring::new(NO_SECRET).derived(CLOCKS, &[requestor_id.as_bytes()])
}
