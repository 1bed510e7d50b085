//! Which broken limits people were told of, so that each is told once, even if each drain is a new process.

use std::collections::BTreeSet;

use super::database::Buffer;
use super::error::Result;
use super::facts::{fact, forget_fact, set_fact};
use super::rows::{all, only};
use crate::event::Instant;

/// The fact that holds when people were last told, and how the names of the facts for the limits begin.
const TOLD_AT: &str = "told_at";
const TOLD: &str = "told:";

/// What people were told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// When people were last told; `None` if they never were.
    pub at: Option<Instant>,
    /// The broken limits that people were told of. A limit is removed when people are told that it holds again.
    pub broken: BTreeSet<String>,
}

impl Buffer {
    pub fn told(&self) -> Result<Told> {
        self.read(|connection| {
            let select = "SELECT substr(name, length(?1) + 1) FROM facts WHERE name >= ?1 AND name < ?1 || char(1114111)";
            let broken: Vec<String> = all(connection, select, [TOLD], only)?;
            let at = fact(connection, TOLD_AT)?.map(Instant::from_nanos);
            Ok(Told { at, broken: broken.into_iter().collect() })
        })
    }

    /// Replaces what people were told before by what they are told now.
    pub fn set_told(&self, former: Told, told: Told) -> Result<()> {
        self.write(move |transaction| {
            let (at, name) = (told.at.map_or(0, Instant::nanos), |check: &String| format!("{TOLD}{check}"));
            former.broken.iter().try_for_each(|check| forget_fact(transaction, &name(check)))?;
            told.broken.iter().try_for_each(|check| set_fact(transaction, &name(check), at))?;
            set_fact(transaction, TOLD_AT, at)
        })
    }
}
