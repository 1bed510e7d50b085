//! Counts a period from the metrics: the total, each MVPD, the trend, failures, and rows by properties that
//! the metrics keep. Rows by other properties are counted from the events.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::cell::{Cell, Source};
use super::dimension::Dimension;
use super::figures::{Column, Failure, Others, Report, Row, reason_meaning, shown_of};
use super::period::{Period, QUARTERS_A_DAY, ReportError};
use super::source::Metrics;
use super::stated::{Sources, Statements, is_asked};
use super::table::Table;
use crate::buffer::{CountedHour, Discarded, MetricGroup, SeenUser};
use crate::event::{EventKind, Instant, Property};
use crate::mapping;
use crate::readers::esm::mvpd_digest;

const QUARTERS_AN_HOUR: i64 = 4;

/// The events that are failures. A report lists their reasons.
const FAILURES: [EventKind; 7] = [
    EventKind::AuthzFailed,
    EventKind::AuthnFailed,
    EventKind::ClientlessTokenFailed,
    EventKind::PlayFailed,
    EventKind::LogoutFailed,
    EventKind::PreflightFailed,
    EventKind::PreflightDenied,
];

/// A table. Each group of the metrics counts in the rows of one combination of values.
struct Grouped {
    table: Table,
    /// By group number: the number of the group's combination; `None` if the table leaves the group out.
    combinations: Vec<Option<u32>>,
}

impl Grouped {
    fn new(by: &[Dimension], period: &Period, groups: &[&MetricGroup]) -> Grouped {
        let mut grouped = Grouped { table: Table::new(by, period), combinations: Vec::new() };
        for group in groups {
            let properties = by.iter().filter_map(|dimension| dimension.property());
            let values = properties.map(|property| value(group, property).unwrap_or_default().to_owned());
            let combination = grouped.table.intern(values.collect());
            grouped.combinations.resize(grouped.combinations.len().max(group.number as usize + 1), None);
            grouped.combinations[group.number as usize] = Some(combination);
        }
        grouped
    }

    fn combination(&self, group: u32) -> Option<u32> {
        self.combinations.get(group as usize).copied().flatten()
    }

    fn count(&mut self, counted: &CountedHour, source: Source) {
        let Some(combination) = self.combination(counted.group) else { return };
        for (quarter, units) in quarters(counted) {
            if let Some(cell) = self.table.cell(combination, quarter) {
                cell.count(counted.kind, units, source);
            }
        }
    }

    fn see(&mut self, seen: &SeenUser, user: u64) {
        let Some(combination) = self.combination(seen.group) else { return };
        let mut quarters = seen.quarters;
        while quarters != 0 {
            let quarter = seen.day * QUARTERS_A_DAY + i64::from(quarters.trailing_zeros());
            quarters &= quarters - 1;
            if let Some(cell) = self.table.cell(combination, quarter) {
                cell.see(user, seen.is_synthetic);
            }
        }
    }
}

/// The quarter hours in which anything was counted, with their units.
fn quarters(counted: &CountedHour) -> impl Iterator<Item = (i64, u64)> {
    (counted.hour * QUARTERS_AN_HOUR..).zip(counted.units).filter(|(_, units)| *units > 0)
}

/// The metrics of a period while they are counted.
pub(super) struct Counting<'a> {
    period: &'a Period,
    sources: &'a Sources,
    groups: Vec<&'a MetricGroup>,
    /// For each group: its source, and the digest of its MVPD, by which `sources` finds the columns that ESM lacks.
    source_of_group: HashMap<u32, (Source, u64)>,
    counted: BTreeSet<u32>,
    /// The days of the period on which an MVPD had logins, by the number of the MVPD in `mvpds`.
    login_days: HashMap<u32, BTreeSet<i64>>,
    total: Grouped,
    mvpds: Grouped,
    /// The sum of the MVPDs that are not shown one by one.
    others: Grouped,
    trend: Grouped,
    failures: Grouped,
    /// `None` without `--by`, or if the metrics do not keep one of its dimensions.
    rows: Option<Grouped>,
    user: u64,
    /// Units of the period that a person discarded.
    pub(super) discarded_units: u64,
}

impl<'a> Counting<'a> {
    pub(super) fn new(
        groups: &'a [MetricGroup],
        requestors: &[String],
        period: &'a Period,
        by: Option<&[Dimension]>,
        sources: &'a Sources,
    ) -> Counting<'a> {
        let groups: Vec<&MetricGroup> =
            groups.iter().filter(|group| is_asked(requestors, &group.requestor_id)).collect();
        let table = |by: &[Dimension]| Grouped::new(by, period, &groups);
        let trend = if period.is_of_hours() { Dimension::Hour } else { Dimension::Day };
        let mvpds = table(&[Dimension::Property(Property::Mvpd)]);
        let source = |group: &&MetricGroup| {
            let mvpd = mvpds.combination(group.number);
            (Source { mvpd, ..sources.of(&group.requestor_id) }, mvpd_digest(&group.mvpd))
        };
        Counting {
            period,
            sources,
            source_of_group: groups.iter().map(|group| (group.number, source(group))).collect(),
            counted: BTreeSet::new(),
            login_days: HashMap::new(),
            total: table(&[]),
            mvpds,
            others: Grouped::new(&[], period, &[]),
            trend: table(&[trend]),
            failures: table(&[Dimension::Property(Property::AuthzErrorType)]),
            rows: by.map(table),
            user: 0,
            discarded_units: 0,
            groups,
        }
    }

    pub(super) fn read(
        &mut self,
        reader: &Metrics,
        statements: &Statements<'_>,
        whose: Discarded,
        now: Instant,
    ) -> Result<(), ReportError> {
        let (first, last) = self.period.hours().into_inner();
        let mut left_out: HashMap<(i64, u32, EventKind), [u64; 4]> = HashMap::new();
        for counted in reader.discarded(first, last)? {
            if self.source_of_group.contains_key(&counted.group) {
                let inside =
                    quarters(&counted).filter(|(quarter, _)| self.period.quarters().contains(quarter));
                self.discarded_units += inside.map(|(_, units)| units).sum::<u64>();
            }
            if whose == Discarded::LeftOut {
                let sums = left_out.entry((counted.hour, counted.group, counted.kind)).or_default();
                sums.iter_mut().zip(counted.units).for_each(|(sum, units)| *sum += units);
            }
        }
        reader.each_counted(first, last, |mut counted| {
            let left_out = left_out.get(&(counted.hour, counted.group, counted.kind)).copied();
            let units = counted.units.iter_mut().zip(left_out.unwrap_or_default());
            units.for_each(|(units, left_out)| *units = units.saturating_sub(left_out));
            self.count(&counted);
        })?;
        // A day or hour in the future gets no row, unless it has events because a source's clock is ahead.
        self.trend.table.fill(now);
        for (stated, source) in statements.all() {
            let mvpd = stated.has_mvpd().then(|| self.mvpds.table.intern(vec![stated.mvpd.clone()]));
            let tables = [&mut self.total, &mut self.mvpds, &mut self.trend];
            for grouped in tables.into_iter().chain(&mut self.rows) {
                grouped.table.state(stated, Source { mvpd, ..source });
            }
        }
        self.tell_others();
        reader.each_user(first.div_euclid(24), last.div_euclid(24), |seen| self.see(seen))?;
        Ok(())
    }

    fn count(&mut self, counted: &CountedHour) {
        let Some((source, mvpd)) = self.source_of_group.get(&counted.group) else { return };
        let source = self.sources.at(*source, counted.hour, *mvpd);
        if quarters(counted).any(|(quarter, _)| self.period.quarters().contains(&quarter)) {
            self.counted.insert(counted.group);
        }
        let mvpd = self.mvpds.combination(counted.group).filter(|_| counted.kind == EventKind::AuthnOk);
        if let Some(mvpd) = mvpd {
            let days = quarters(counted).filter_map(|(quarter, _)| self.period.day(quarter));
            self.login_days.entry(mvpd).or_default().extend(days);
        }
        let tables = [&mut self.total, &mut self.mvpds, &mut self.trend, &mut self.failures];
        tables.into_iter().chain(&mut self.rows).for_each(|grouped| grouped.count(counted, source));
    }

    /// Adds up the units of the MVPDs that are not shown one by one. `see` counts their users later, each user once.
    fn tell_others(&mut self) {
        let texts = &self.mvpds.table.texts;
        let mut mvpds: Vec<(u32, &Cell)> = self.mvpds.table.by_combination().collect();
        mvpds.sort_by_key(|(number, cell)| (Reverse(cell.units_of_all()), &texts[*number as usize]));
        let others = mvpds.split_off(shown_of(mvpds.len()));
        let all = self.others.table.intern(Vec::new());
        for (_, cell) in &others {
            if let Some(sum) = self.others.table.cell(all, self.period.quarters().start) {
                sum.add_units(cell);
            }
        }
        let is_other = |mvpd: &u32| others.iter().any(|(other, _)| other == mvpd);
        self.others.combinations =
            self.mvpds.combinations.iter().map(|mvpd| mvpd.filter(is_other).map(|_| all)).collect();
    }

    fn counted_groups(&self) -> impl Iterator<Item = &&'a MetricGroup> {
        self.groups.iter().filter(|group| self.counted.contains(&group.number))
    }

    pub(super) fn requestors_of_sums(&self) -> impl Iterator<Item = &'a str> {
        let sums = self.counted_groups().filter(|group| self.source_of_group[&group.number].0.is_esm);
        sums.map(|group| group.requestor_id.as_str())
    }

    fn see(&mut self, seen: &[SeenUser]) {
        self.user += 1;
        let tables = [&mut self.total, &mut self.mvpds, &mut self.others, &mut self.trend];
        for grouped in tables.into_iter().chain(&mut self.rows) {
            seen.iter().for_each(|seen| grouped.see(seen, self.user));
        }
    }

    pub(super) fn login_days(&self) -> HashMap<String, BTreeSet<i64>> {
        let name = |mvpd: &u32| self.mvpds.table.texts[*mvpd as usize].concat();
        self.login_days.iter().map(|(mvpd, days)| (name(mvpd), days.clone())).collect()
    }

    /// The parts of the report that come from the metrics.
    pub(super) fn finish(self, statements: &Statements<'_>, now: Instant) -> Result<Report, ReportError> {
        let finish = |grouped: Grouped| grouped.table.finish(statements, now);
        let column = |row: Row| Column { mvpd: row.key.concat(), figures: row.figures };
        let mut mvpds: Vec<Column> = finish(self.mvpds)?.into_iter().map(column).collect();
        mvpds.sort_by_key(|column| Reverse(column.figures.units_of_all()));
        let others = mvpds.len() - shown_of(mvpds.len());
        let of_all = |rows: Vec<Row>| rows.into_iter().next().map(|row| row.figures);
        Ok(Report {
            total: of_all(finish(self.total)?).unwrap_or_else(|| Cell::default().figures()),
            mvpds,
            others: of_all(finish(self.others)?).map(|figures| Others { mvpds: others, figures }),
            trend: finish(self.trend)?,
            failures: failures(&finish(self.failures)?),
            discarded: self.discarded_units,
            rows: self.rows.map(finish).transpose()?.unwrap_or_default(),
            ..Report::default()
        })
    }

    /// The spellings of each MVPD that has several, the shown spelling first.
    pub(super) fn spellings(&self) -> Vec<Vec<String>> {
        let mut spellings = self.mvpds.table.texts.clone();
        for group in self.counted_groups() {
            let Some(mvpd) = self.mvpds.combination(group.number) else { continue };
            let of_one = &mut spellings[mvpd as usize];
            if !of_one.contains(&group.mvpd) {
                of_one.push(group.mvpd.clone());
            }
        }
        spellings.retain(|of_one| of_one.len() > 1);
        spellings
    }
}

fn failures(by_reason: &[Row]) -> Vec<Failure> {
    let failure = |kind: EventKind, row: &Row| Failure {
        event: kind.name().to_owned(),
        label: kind.label().to_owned(),
        reason: row.key[0].clone(),
        meaning: reason_meaning(&row.key[0]).to_owned(),
        count: row.figures.units(kind).unwrap_or(0),
    };
    let of_row = |row| FAILURES.into_iter().map(move |kind| failure(kind, row));
    let mut failures: Vec<Failure> =
        by_reason.iter().flat_map(of_row).filter(|failure| failure.count > 0).collect();
    failures.sort_by_cached_key(|each| (Reverse(each.count), each.event.clone(), each.reason.clone()));
    failures
}

/// Counts rows by properties that the metrics do not keep, from the events that the buffer still has.
pub(super) fn of_events(
    reader: &Metrics,
    (asked, period): (&[String], &Period),
    by: &[Dimension],
    whose: Discarded,
    sources: &Sources,
) -> Result<Table, ReportError> {
    let mut table = Table::new(by, period);
    let mut seen = HashSet::new();
    reader.each_event(period.from(), period.to(), whose, |event| {
        let requestor_id = event.requestor_id().as_str();
        if !is_asked(asked, requestor_id) {
            return;
        }
        let properties = by.iter().filter_map(|dimension| dimension.property());
        let value = |property| mapping::reported(event, property).unwrap_or_default().into_owned();
        let combination = table.intern(properties.map(value).collect());
        let quarter = event.occurred_at().unix_quarter();
        let Some(place) = table.place(combination, quarter) else { return };
        let mvpd = mvpd_digest(event.property(Property::Mvpd).unwrap_or_default());
        let source = sources.at(sources.of(requestor_id), quarter.div_euclid(QUARTERS_AN_HOUR), mvpd);
        table.cells[place].count(event.kind(), event.count().into(), source);
        let user = reader.mark(&mapping::measure(event));
        if let Some(user) = user.filter(|user| seen.insert((place as u32, *user))) {
            table.cells[place].add_user(user.is_synthetic);
        }
    })?;
    Ok(table)
}

/// Whether the metrics keep a dimension, for units and for users. If so, its rows need no events.
pub(super) fn is_kept(dimension: Dimension) -> bool {
    // Metrics keep the reason (eVar7) of units, but not of users.
    dimension.property().is_none_or(|property| {
        property != Property::AuthzErrorType && value(&MetricGroup::default(), property).is_some()
    })
}

/// The value of a property in a group; `None` if metrics do not keep the property.
fn value(group: &MetricGroup, property: Property) -> Option<&str> {
    match property {
        Property::RequestorId => Some(&group.requestor_id),
        Property::Mvpd => Some(&group.mvpd),
        Property::Proxy => Some(&group.proxy),
        Property::SdkType => Some(&group.sdk_type),
        Property::DeviceType => Some(&group.device_type),
        Property::AuthzErrorType => Some(&group.reason),
        _ => None,
    }
}
