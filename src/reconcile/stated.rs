//! Sums the counts of ESM reports by cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::compare::EsmSide;
use super::days::{Astray, Calendar, shown};
use super::error::ReconcileError;
use super::key::{CellKey, Name, Spellings};
use crate::config::EsmConfig;
use crate::event::{EventKind, KindSet, Property};
use crate::mapping;
use crate::readers::esm::{StatedCount, StatedReport, has_metric};
use crate::readers::memory::MemoryKey;

/// Collects reports. A count that several reports have is counted once.
pub(super) struct Statements<'c> {
    calendar: &'c Calendar,
    config: &'c EsmConfig,
    totals: HashMap<MemoryKey, (CellKey, bool, u64)>,
    /// The counts for which a record has no number, although other records of its report have one.
    blank: HashMap<MemoryKey, CellKey>,
    /// For each day of a requestor: the grouping and the name of the first report that has counts of that day.
    groupings: HashMap<(Name, usize), (String, String)>,
    /// The events for which a report was given, by requestor and day. There, a cell without a row is zero.
    covered: BTreeMap<(Name, usize), KindSet>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(calendar: &'c Calendar, config: &'c EsmConfig) -> Statements<'c> {
        let (totals, blank, groupings) = (HashMap::new(), HashMap::new(), HashMap::new());
        Statements { calendar, config, totals, blank, groupings, covered: BTreeMap::new() }
    }

    /// Reads a report. `path` is its name in messages.
    pub(super) fn take(
        &mut self,
        path: &str,
        document: &[u8],
        spellings: &mut Spellings,
    ) -> Result<(), ReconcileError> {
        let refuse = |what: String| ReconcileError::Report { path: path.to_owned(), what };
        let report = StatedReport::read(document, self.config)
            .map_err(|(line, what)| refuse(format!("line {line}: {what}")))?;
        if let Some(limit) = report.truncated_at {
            let what = format!("has all {limit} rows that it may have, so others are missing");
            return Err(refuse(what));
        }
        let mut unread: Option<(u64, String, u64)> = None;
        let (mut requestors, mut days, mut kinds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for count in report.counts() {
            let count = match count {
                Ok(count) => count,
                Err((record, why)) => {
                    unread.get_or_insert((record, why, 0)).2 += 1;
                    continue;
                }
            };
            if !report.has_mvpd() {
                return Err(refuse(format!("groups by {}, which tells no MVPDs apart", report.grouping())));
            }
            let Some(day) = self.day(&count).map_err(refuse)? else { continue };
            requestors.insert(self.count(path, report.grouping(), &count, day, spellings)?);
            days.insert(day);
            kinds.insert(count.kind);
        }
        if let Some((record, why, times)) = unread {
            return Err(refuse(format!("record (in CSV: line) {record} {why} ({times} records in all)")));
        }
        // A report says nothing about requestors and metrics that it does not have, whatever days it has.
        for day in days {
            self.cover(&requestors, day, kinds.iter().copied().collect());
        }
        Ok(())
    }

    /// The day of a count; `None` if that day is not compared.
    fn day(&self, StatedCount { from, to, .. }: &StatedCount) -> Result<Option<usize>, String> {
        match self.calendar.day_of(*from, *to) {
            Ok(day) => Ok(Some(day)),
            Err(Astray::Outside) => Ok(None),
            Err(Astray::Across) => {
                let zone = self.calendar.zone;
                Err(format!("has a count of {from} to {to}, in which a day of {zone} begins"))
            }
        }
    }

    fn count(
        &mut self,
        path: &str,
        grouping: &str,
        count: &StatedCount,
        day: usize,
        spellings: &mut Spellings,
    ) -> Result<Name, ReconcileError> {
        let requestor = spellings.requestor(count.requestor_id.as_str());
        let mvpd = mapping::shown(Property::Mvpd, &count.mvpd).unwrap_or_default();
        let key =
            CellKey { requestor: requestor.clone(), day, mvpd: spellings.mvpd(&mvpd), kind: count.kind };
        let (by, first) = self
            .groupings
            .entry((requestor.clone(), day))
            .or_insert_with(|| (grouping.to_owned(), path.to_owned()));
        if by != grouping {
            return Err(ReconcileError::Report {
                path: path.to_owned(),
                what: format!(
                    "groups by {grouping}, and {first} groups the same day of {} by {by}: together they count twice",
                    count.requestor_id
                ),
            });
        }
        if let Some(or_identity) = count.or_identity {
            let either = [count.identity, or_identity];
            let mut known = either.iter().filter_map(|identity| self.totals.get(identity)).peekable();
            if known.peek().is_some() {
                return match known.any(|(_, _, total)| count.total.is_none_or(|stated| stated == *total)) {
                    true => Ok(requestor),
                    false => Err(ReconcileError::Report {
                        path: path.to_owned(),
                        what: "has an hour that the clock shows twice, does not say which of the two it is, and counts it \
                               otherwise than another report: give one report that has both"
                            .to_owned(),
                    }),
                };
            }
        }
        // A later report corrects an earlier one.
        match count.total {
            Some(total) => drop(self.totals.insert(count.identity, (key, count.is_rejected, total))),
            None => drop(self.blank.insert(count.identity, key)),
        }
        Ok(requestor)
    }

    fn cover(&mut self, requestors: &BTreeSet<Name>, day: usize, kinds: KindSet) {
        for name in requestors {
            let covered = self.covered.entry((name.clone(), day)).or_default();
            *covered = covered.with(kinds);
        }
    }

    /// Notes that every day was asked for, so that a cell without a count is zero.
    pub(super) fn cover_everything(&mut self, requestors: &BTreeSet<Name>) {
        (0..self.calendar.spans.len())
            .for_each(|day| self.cover(requestors, day, EventKind::ALL.into_iter().collect()));
    }

    /// The sums, and sentences about what the reports lack: days of the `requestors`, numbers of cells, and metrics.
    pub(super) fn finish(
        mut self,
        requestors: &BTreeSet<Name>,
        spellings: &Spellings,
    ) -> (EsmSide, Vec<String>) {
        self.blank
            .retain(|count, key| !self.totals.contains_key(count) && requestors.contains(&key.requestor));
        let blank = self.blank.into_values().collect();
        let mut side = EsmSide { covered: self.covered, blank, ..EsmSide::default() };
        for (key, is_rejected, total) in self.totals.into_values() {
            if !requestors.contains(&key.requestor) {
                continue;
            }
            let is_failure = key.kind == EventKind::AuthzFailed && is_rejected;
            let units = side.units.entry(key).or_default();
            if is_failure && !self.config.rejected_is_failed {
                units.rejected += total;
            } else {
                units.units += total;
            }
        }
        let mut lacking: BTreeMap<Vec<usize>, Vec<&str>> = BTreeMap::new();
        for requestor in requestors {
            let is_missing = |day: &usize| !side.covered.contains_key(&(requestor.clone(), *day));
            let missing = (0..self.calendar.spans.len()).filter(is_missing).collect();
            lacking.entry(missing).or_default().push(spellings.of_requestor(requestor));
        }
        lacking.retain(|days, _| !days.is_empty());
        let tell = |(days, of): (Vec<usize>, Vec<&str>)| {
            let days = shown(&days, |day| self.calendar.spans[day].to_string());
            let what =
                if of.len() == requestors.len() { days } else { format!("{} on {days}", of.join(", ")) };
            format!(
                "the ESM reports have nothing of {what}: compared without them, because a missing report is no proof of zero"
            )
        };
        let mut told: Vec<String> = lacking.into_iter().map(tell).collect();
        if let Some(first) = side.blank.first() {
            let (cells, mvpd, event) = (side.blank.len(), spellings.of_mvpd(&first.mvpd), first.kind.name());
            let day = &self.calendar.spans[first.day];
            told.push(format!(
                "the ESM reports have no number in {cells} cells where they have one of other MVPDs or hours, first {event} of \
                 {mvpd:?} on {day}: compared without them"
            ));
        }
        let is_covered = |kind: &EventKind| side.covered.values().any(|covered| covered.has(*kind));
        let without = EventKind::ALL.into_iter().filter(|kind| has_metric(*kind) && !is_covered(kind));
        let without: Vec<&str> = without.map(EventKind::name).collect();
        if !without.is_empty() {
            let without = without.join(", ");
            told.push(format!("the ESM reports have no metric of {without}: they are compared without them"));
        }
        (side, told)
    }
}
