//! Counts unknown keys, because sources get new fields. Events leave the keys out, and a run names them once.

use std::collections::BTreeMap;
use std::fmt;

/// How many different names are kept. A source whose keys are data, such as identifiers, must not fill memory.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// How often each unknown key was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownKeys {
    names: BTreeMap<String, u64>,
    /// How often keys were found whose names are beyond the first [`NAMES_MAX`].
    others: u64,
}

impl UnknownKeys {
    pub fn note(&mut self, name: &str) {
        let whole = (0..=NAME_BYTES_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        self.add(&name[..whole.unwrap_or(0)], 1);
    }

    pub fn absorb(&mut self, other: &UnknownKeys) {
        other.iter().for_each(|(name, count)| self.add(name, count));
        self.others += other.others;
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names that were kept, sorted, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn add(&mut self, name: &str, count: u64) {
        if let Some(known) = self.names.get_mut(name) {
            *known += count;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), count);
        } else {
            self.others += count;
        }
    }
}

impl fmt::Display for UnknownKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, count)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{name:?} ({count} times)")?;
        }
        if self.others > 0 {
            write!(out, " and others ({} times)", self.others)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_no_occurrence_is_lost() {
        let mut unknown = UnknownKeys::default();
        for index in 0..100 {
            unknown.note(&format!("key{index:03}"));
        }
        unknown.note("key000");
        unknown.note(&"é".repeat(1000));
        assert_eq!(unknown.iter().count(), NAMES_MAX);
        assert_eq!(unknown.iter().map(|(_, count)| count).sum::<u64>() + unknown.others, 102);
        assert!(unknown.to_string().starts_with("\"key000\" (2 times), \"key001\" (1 times)"));
        assert!(unknown.to_string().ends_with(" and others (69 times)"));
    }

    #[test]
    fn the_keys_of_two_sources_add_up() {
        let mut all = UnknownKeys::default();
        let mut one = UnknownKeys::default();
        one.note("zone");
        all.absorb(&one);
        all.absorb(&one);
        assert_eq!(all.to_string(), "\"zone\" (2 times)");
    }
}
