//! The unique accounts that ESM stated. A cell has a figure only if ESM stated it for exactly this cell.
//!
//! ESM states how many accounts it saw in a span of time, for an MVPD and a requestor. The same viewer is in many of
//! these numbers, so neither their sum nor their mean has a meaning.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::cell::{Cell, Sole, Source};
use super::dimension::{Dimension, folded};
use super::period::{Period, ReportError};
use super::source::Metrics;
use crate::buffer::MetricGroup;
use crate::event::{EventKind, KindSet, Property};
use crate::readers::esm::{EVERY_MVPD, StatedAccounts, has_metric};

/// The number of each requestor, whether its counts come from ESM, and which counts the reports of ESM lack.
pub(super) struct Sources {
    numbers: HashMap<String, Source>,
    /// By requestor and UTC hour, then by the digest of the MVPD: the kinds of events whose columns the reports lack.
    /// Most hours share the map of the hour before.
    lacking: HashMap<(u32, i64), Rc<BTreeMap<u64, KindSet>>>,
    /// The requestors whose reports lack the same columns, and the hours in which they do.
    pub(super) lacked: BTreeMap<KindSet, (BTreeSet<String>, BTreeSet<i64>)>,
}

impl Sources {
    pub(super) fn read(
        reader: &Metrics,
        groups: &[MetricGroup],
        period: &Period,
        requestors: &[String],
    ) -> Result<Sources, ReportError> {
        let (esm, alone) = (reader.esm_requestors()?, reader.requestors_stated_alone()?);
        let ids = groups.iter().map(|group| &group.requestor_id).chain(&esm).chain(&alone);
        let not_in_esm: KindSet = EventKind::ALL.into_iter().filter(|kind| !has_metric(*kind)).collect();
        let source = |(requestor, id): (u32, String)| {
            let is_stated_alone = alone.contains(&id);
            let is_esm = is_stated_alone || esm.contains(&id);
            let lacking = if is_esm { not_in_esm } else { KindSet::default() };
            (id, Source { requestor, mvpd: None, is_esm, is_stated_alone, lacking })
        };
        let numbers: HashMap<String, Source> =
            (1..).zip(ids.cloned().collect::<BTreeSet<String>>()).map(source).collect();
        let mut sources = Sources { numbers, lacking: HashMap::new(), lacked: BTreeMap::new() };
        let Some((first, last)) = reader.span()? else { return Ok(sources) };
        let asked = period.hours();
        for id in esm.iter().filter(|id| is_asked(requestors, id)) {
            let (requestor, mut before) = (sources.of(id).requestor, Rc::default());
            for hour in first.max(*asked.start())..=last.min(*asked.end()) {
                let lacking = reader.lacking(id, hour)?;
                let of_all = lacking.values().fold(KindSet::default(), |all, kinds| all.with(*kinds));
                if of_all != KindSet::default() {
                    if lacking != *before {
                        before = Rc::new(lacking);
                    }
                    sources.lacking.insert((requestor, hour), Rc::clone(&before));
                    let (lackers, hours) = sources.lacked.entry(of_all).or_default();
                    lackers.insert(id.clone());
                    hours.insert(hour);
                }
            }
        }
        Ok(sources)
    }

    pub(super) fn of(&self, requestor_id: &str) -> Source {
        self.numbers.get(requestor_id).copied().unwrap_or_default()
    }

    /// A source with everything that it lacks in a UTC hour, for the MVPD with this digest.
    pub(super) fn at(&self, source: Source, hour: i64, mvpd: u64) -> Source {
        let Some(lacking) = self.lacking.get(&(source.requestor, hour)) else { return source };
        let of = |mvpd| lacking.get(&mvpd).copied().unwrap_or_default();
        Source { lacking: source.lacking.with(of(mvpd)).with(of(EVERY_MVPD)), ..source }
    }
}

/// Whether a requestor is one of those asked for. An empty list asks for all.
pub(super) fn is_asked(requestors: &[String], id: &str) -> bool {
    requestors.is_empty() || requestors.iter().any(|asked| asked == id)
}

pub(super) struct Statements<'s> {
    sources: &'s Sources,
    /// By the time of each figure: its first quarter hour, and the quarter hour after its last one.
    stated: HashMap<(i64, i64), Vec<StatedAccounts>>,
}

impl<'s> Statements<'s> {
    pub(super) fn read(
        reader: &Metrics,
        period: &Period,
        requestors: &[String],
        sources: &'s Sources,
    ) -> Result<Statements<'s>, ReportError> {
        let mut stated: HashMap<_, Vec<StatedAccounts>> = HashMap::new();
        reader.each_stated(period.from(), period.to(), |one| {
            if is_asked(requestors, one.requestor_id.as_str()) {
                stated.entry((one.from.unix_quarter(), one.to.unix_quarter())).or_default().push(one);
            }
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
    /// without MVPD: for all MVPDs together, or for the only one). `None` if ESM stated only parts of the row.
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
        let Sole::One(requestor) = cell.requestors else { return None };
        let is_asked = |one: &&StatedAccounts| {
            self.sources.of(one.requestor_id.as_str()).requestor == requestor
                && match &mvpd {
                    Some(mvpd) => one.has_mvpd() && folded(&one.mvpd) == *mvpd,
                    None => !one.has_mvpd() || cell.mvpds != Sole::Several,
                }
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
