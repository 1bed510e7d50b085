//! The key of a cell, and the spelling of the names in it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::EventKind;

/// A requestor or an MVPD, folded as Analytics folds values: lower case, no blanks at the ends. Empty: no value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Folds a value as Analytics does before it compares values ("eVar", Implementation Guide).
    pub fn of(text: &str) -> Name {
        Name(text.trim().to_lowercase().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of a cell. Cells are listed in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    pub requestor: Name,
    /// The index of the day among the days that are compared.
    pub day: usize,
    pub mvpd: Name,
    pub kind: EventKind,
}

/// How names are shown: as the buffer spells them, otherwise in the first spelling that was read.
#[derive(Debug, Clone, Default)]
pub struct Spellings {
    requestors: HashMap<Name, String>,
    mvpds: HashMap<Name, String>,
}

impl Spellings {
    /// Folds a requestor. Keeps this spelling if no spelling of the requestor is known.
    pub fn requestor(&mut self, text: &str) -> Name {
        fold(&mut self.requestors, text)
    }

    pub fn mvpd(&mut self, text: &str) -> Name {
        fold(&mut self.mvpds, text)
    }

    /// Folds an MVPD of the buffer. From then on, the MVPD is shown in this spelling.
    pub(super) fn mvpd_of_buffer(&mut self, text: &str) -> Name {
        let name = Name::of(text);
        self.mvpds.insert(name.clone(), text.trim().to_owned());
        name
    }

    pub fn of_requestor<'n>(&'n self, name: &'n Name) -> &'n str {
        self.requestors.get(name).map_or(name.as_str(), String::as_str)
    }

    pub fn of_mvpd<'n>(&'n self, name: &'n Name) -> &'n str {
        self.mvpds.get(name).map_or(name.as_str(), String::as_str)
    }
}

fn fold(known: &mut HashMap<Name, String>, text: &str) -> Name {
    let name = Name::of(text);
    known.entry(name.clone()).or_insert_with(|| text.trim().to_owned());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_analytics_takes_for_one_are_one_and_the_buffer_spells_them() {
        let mut spellings = Spellings::default();
        let name = spellings.mvpd("CABLECO ");
        assert_eq!(spellings.of_mvpd(&name), "CABLECO");
        assert_eq!(spellings.mvpd_of_buffer(" Cableco"), name);
        assert_eq!(spellings.mvpd("cableco"), name);
        assert_eq!(spellings.of_mvpd(&name), "Cableco");
    }
}
