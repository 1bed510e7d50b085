//! The unique accounts that ESM stated. A cell has a figure only if ESM stated it for exactly this cell.
//!
//! ESM states how many accounts it saw in a span of time, for an MVPD and a requestor. The same viewer is in many of
//! these numbers, so neither their sum nor their mean has a meaning.

use std::collections::{BTreeMap, HashMap};

use super::cell::{Cell, Requestors, Source};
use super::dimension::{Dimension, folded};
use super::period::{Period, ReportError};
use crate::buffer::MetricsReader;
use crate::event::Property;
use crate::readers::esm::StatedAccounts;

/// The number of each requestor, and whether its counts come from ESM.
pub(super) struct Sources {
    numbers: HashMap<String, Source>,
}

impl Sources {
    pub(super) fn read(reader: &MetricsReader) -> Result<Sources, ReportError> {
        let (esm, alone) = (reader.esm_requestors()?, reader.requestors_stated_alone()?);
        let all = (0..).zip(reader.requestors()?);
        let source = |(requestor, id): (u32, String)| {
            let is_stated_alone = alone.contains(&id);
            let is_esm = is_stated_alone || esm.contains(&id);
            (id, Source { requestor, is_esm, is_stated_alone })
        };
        Ok(Sources { numbers: all.map(source).collect() })
    }

    pub(super) fn of(&self, requestor_id: &str) -> Source {
        let unknown = Source { requestor: u32::MAX, is_esm: false, is_stated_alone: false };
        self.numbers.get(requestor_id).copied().unwrap_or(unknown)
    }
}

pub(super) struct Statements<'s> {
    sources: &'s Sources,
    /// By the time of each figure: its first quarter hour, and the quarter hour after its last one.
    stated: HashMap<(i64, i64), Vec<StatedAccounts>>,
}

impl<'s> Statements<'s> {
    pub(super) fn read(
        reader: &MetricsReader,
        period: &Period,
        requestors: &[String],
        sources: &'s Sources,
    ) -> Result<Statements<'s>, ReportError> {
        let mut stated: HashMap<_, Vec<StatedAccounts>> = HashMap::new();
        let is_asked = |id: &str| requestors.is_empty() || requestors.iter().any(|asked| asked == id);
        reader.each_stated(period.from(), period.to(), |one| {
            if !is_asked(one.requestor_id.as_str()) {
                return;
            }
            stated.entry((one.from.unix_quarter(), one.to.unix_quarter())).or_default().push(one);
        })?;
        Ok(Statements { sources, stated })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stated.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&StatedAccounts, Source)> {
        let stated = self.stated.values().flatten().filter(|one| one.accounts > 0);
        stated.map(|one| (one, self.sources.of(one.requestor_id.as_str())))
    }

    /// What ESM stated for a row: for its time, for the only requestor of its cell, and for its MVPD (in a row
    /// without MVPD: for all MVPDs together). `None` if ESM stated only parts of the row.
    pub(super) fn of_row(
        &self,
        span: (i64, i64),
        cell: &Cell,
        by: &[Dimension],
        key: &[String],
    ) -> Option<u64> {
        let mut mvpd = None;
        for (dimension, value) in by.iter().zip(key) {
            match dimension {
                Dimension::Property(Property::Mvpd) => mvpd = Some(folded(value)),
                Dimension::Day | Dimension::Hour | Dimension::Property(Property::RequestorId) => {}
                Dimension::Property(_) => return None,
            }
        }
        let stated = self.stated.get(&span)?;
        let Requestors::One(requestor) = cell.requestors else { return None };
        let is_asked = |one: &&StatedAccounts| {
            self.sources.of(one.requestor_id.as_str()).requestor == requestor
                && mvpd.as_ref().is_none_or(|mvpd| one.has_mvpd() && folded(&one.mvpd) == *mvpd)
        };
        let mut by_grouping: BTreeMap<(usize, Vec<&str>), Vec<u64>> = BTreeMap::new();
        for one in stated.iter().filter(is_asked) {
            let names: Vec<&str> = one.grouping().collect();
            by_grouping.entry((names.len(), names)).or_default().push(one.accounts);
        }
        by_grouping.values().find_map(|accounts| match accounts[..] {
            [one] => Some(one),
            _ => None,
        })
    }
}
