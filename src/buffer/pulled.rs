//! How far pulls of ESM have come.

use super::database::Buffer;
use super::error::Result;
use super::facts::{fact, set_fact};
use crate::event::Instant;

/// The beginning of the name of a fact that holds until when ESM was pulled. The names of the requestors follow it.
const PULLED_TO: &str = "esm_pulled_to ";

impl Buffer {
    /// Until when the hours of ESM were pulled without a gap, on the clock of the reports; `None` if none were pulled.
    /// `of` names the requestors.
    pub fn pulled_to(&self, of: &str) -> Result<Option<Instant>> {
        let name = format!("{PULLED_TO}{of}");
        self.read(|connection| Ok(fact(connection, &name)?.map(Instant::from_nanos)))
    }

    /// Records that these hours were pulled. Hours behind a gap change nothing: the gap is still to be pulled.
    pub fn note_pulled(&self, of: &str, from: Instant, to: Instant) -> Result<()> {
        let name = format!("{PULLED_TO}{of}");
        self.write(move |transaction| match fact(transaction, &name)? {
            Some(before) if from.nanos() > before || to.nanos() <= before => Ok(()),
            Some(_) | None => set_fact(transaction, &name, to.nanos()),
        })
    }
}
