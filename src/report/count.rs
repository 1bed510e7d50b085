//! Counts a period from the metrics of the buffer: the total, each MVPD, the trend, failures, and rows of what metrics know.

use std::collections::HashMap;

use super::cell::{Cell, Source};
use super::figures::{reason_meaning, shown_of};
use super::period::{Fineness, Period, Stage, Timeline};
use super::rows::Rows;
use super::stated::{Sources, Statements};
use super::{Column, Dimension, Failure, Figures, Others, ReportError, Row, folded};
use crate::buffer::{CountedHour, MetricGroup, MetricsReader, SeenUser};
use crate::event::{EventKind, Instant, Property};

const QUARTERS_AN_HOUR: i64 = 4;
const QUARTERS_A_DAY: i64 = 96;

/// The events that say that something did not work, whose reasons a report lists.
const FAILURES: [EventKind; 7] = [
    EventKind::AuthzFailed,
    EventKind::AuthnFailed,
    EventKind::ClientlessTokenFailed,
    EventKind::PlayFailed,
    EventKind::LogoutFailed,
    EventKind::PreflightFailed,
    EventKind::PreflightDenied,
];

/// What a group of the metrics counts for.
#[derive(Debug, Clone, Copy)]
struct Place {
    mvpd: usize,
    /// Its combination in the rows.
    combination: u32,
    reason: usize,
    source: Source,
}

/// The metrics of a period while they are counted.
pub(super) struct Counting<'a> {
    period: &'a Period,
    groups: &'a [MetricGroup],
    /// By the number of the group: whether anything of it was counted.
    is_counted: Vec<bool>,
    /// By the number of the group; `None` for one of a requestor that is not asked for.
    places: Vec<Option<Place>>,
    mvpds: Vec<(&'a str, Cell)>,
    /// By the number of the MVPD: whether there are too many larger ones for it to be shown.
    is_other: Vec<bool>,
    others: Cell,
    reasons: Vec<&'a str>,
    trend: Timeline,
    trend_cells: Vec<Cell>,
    total: Cell,
    failures: HashMap<(EventKind, usize), u64>,
    /// `None` where rows are counted otherwise, or not asked for.
    rows: Option<Rows>,
    user: u64,
}

pub(super) struct Counted {
    pub(super) total: Cell,
    pub(super) total_figures: Figures,
    pub(super) mvpds: Vec<Column>,
    pub(super) others: Option<Others>,
    /// The spellings of each MVPD that has several, the shown one first.
    pub(super) spellings: Vec<Vec<String>>,
    pub(super) trend: Vec<Row>,
    pub(super) failures: Vec<Failure>,
    pub(super) rows: Vec<Row>,
}

impl<'a> Counting<'a> {
    pub(super) fn new(
        groups: &'a [MetricGroup],
        requestors: &[String],
        period: &'a Period,
        by: Option<&[Dimension]>,
        sources: &Sources,
    ) -> Counting<'a> {
        let mut rows = by.map(|by| Rows::new(by, period));
        let (mut mvpds, mut reasons) = (Numbers::default(), Numbers::default());
        let mut places = Vec::new();
        for group in groups {
            let number = group.number as usize;
            places.resize(places.len().max(number + 1), None);
            if !requestors.is_empty() && !requestors.contains(&group.requestor_id) {
                continue;
            }
            let combination = match (&mut rows, by) {
                (Some(rows), Some(by)) => rows.intern(values(group, by)),
                (_, _) => 0,
            };
            let source = sources.of(&group.requestor_id);
            let (mvpd, reason) = (mvpds.of(&group.mvpd), reasons.of(&group.reason));
            places[number] = Some(Place { mvpd, combination, reason, source });
        }
        let fineness = if period.is_of_hours() { Fineness::Hour } else { Fineness::Day };
        let trend = Timeline::of(period, fineness);
        Counting {
            period,
            groups,
            is_counted: vec![false; places.len()],
            places,
            is_other: vec![false; mvpds.texts.len()],
            others: Cell::default(),
            mvpds: mvpds.texts.into_iter().map(|mvpd| (mvpd, Cell::default())).collect(),
            reasons: reasons.texts,
            trend_cells: vec![Cell::default(); trend.bins.len()],
            trend,
            total: Cell::default(),
            failures: HashMap::new(),
            rows,
            user: 0,
        }
    }

    pub(super) fn read(&mut self, reader: &MetricsReader) -> Result<(), ReportError> {
        let (first, last) = (self.period.quarters().start, self.period.quarters().end - 1);
        let hours = [first, last].map(|quarter| quarter.div_euclid(QUARTERS_AN_HOUR));
        reader.each_counted(hours[0], hours[1], |counted| self.count(&counted))?;
        self.tell_others();
        let days = [first, last].map(|quarter| quarter.div_euclid(QUARTERS_A_DAY));
        reader.each_user(days[0], days[1], |seen| self.see(seen))?;
        Ok(())
    }

    fn place(&self, group: u32) -> Option<Place> {
        self.places.get(group as usize).copied().flatten()
    }

    fn count(&mut self, counted: &CountedHour) {
        let Some(place) = self.place(counted.group) else { return };
        let kind = counted.kind;
        for (quarter, units) in (counted.hour * QUARTERS_AN_HOUR..).zip(counted.units) {
            let Some(bin) = self.trend.bin(quarter).filter(|_| units > 0) else { continue };
            self.is_counted[counted.group as usize] = true;
            self.total.count(kind, units, place.source);
            self.mvpds[place.mvpd].1.count(kind, units, place.source);
            self.trend_cells[bin as usize].count(kind, units, place.source);
            if FAILURES.contains(&kind) {
                *self.failures.entry((kind, place.reason)).or_default() += units;
            }
            if let Some(rows) = &mut self.rows {
                rows.count(place.combination, quarter, (kind, units), place.source);
            }
        }
    }

    /// The MVPDs of which something was counted, the largest first.
    fn by_volume(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> =
            (0..self.mvpds.len()).filter(|number| !self.mvpds[*number].1.is_empty()).collect();
        numbers.sort_by_key(|number| {
            let (mvpd, cell) = &self.mvpds[*number];
            (std::cmp::Reverse(cell.units_of_all()), *mvpd)
        });
        numbers
    }

    /// Puts the MVPDs together that are too many to be shown, before users are seen.
    fn tell_others(&mut self) {
        let numbers = self.by_volume();
        for number in &numbers[shown_of(numbers.len())..] {
            self.is_other[*number] = true;
            self.others.add_units(&self.mvpds[*number].1);
        }
    }

    /// The requestors whose counts of this period come from ESM.
    pub(super) fn requestors_of_sums(&self) -> Vec<&'a str> {
        let is_sum = |group: &&MetricGroup| {
            let number = group.number as usize;
            self.is_counted.get(number) == Some(&true)
                && self.places[number].is_some_and(|place| place.source.is_esm)
        };
        let mut found: Vec<&str> =
            self.groups.iter().filter(is_sum).map(|group| group.requestor_id.as_str()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Sees all that is known of one user.
    fn see(&mut self, seen: &[SeenUser]) {
        self.user += 1;
        let user = self.user;
        for SeenUser { day, group, is_synthetic, mut quarters } in seen.iter().copied() {
            let Some(place) = self.place(group) else { continue };
            while quarters != 0 {
                let quarter = day * QUARTERS_A_DAY + i64::from(quarters.trailing_zeros());
                quarters &= quarters - 1;
                let Some(bin) = self.trend.bin(quarter) else { continue };
                self.total.see(user, is_synthetic);
                self.mvpds[place.mvpd].1.see(user, is_synthetic);
                if self.is_other[place.mvpd] {
                    self.others.see(user, is_synthetic);
                }
                self.trend_cells[bin as usize].see(user, is_synthetic);
                if let Some(rows) = &mut self.rows {
                    rows.see(place.combination, quarter, user, is_synthetic);
                }
            }
        }
    }

    pub(super) fn finish(self, statements: &Statements<'_>, now: Instant) -> Result<Counted, ReportError> {
        let span = (self.period.quarters().start, self.period.quarters().end);
        let stated = |cell: &Cell, mvpd: Option<&str>| Figures {
            stated_unique_accounts: statements.of(span, cell, mvpd),
            ..cell.figures()
        };
        let numbers = self.by_volume();
        let others = numbers.len() - shown_of(numbers.len());
        let columns = numbers.iter().map(|number| {
            let (mvpd, cell) = &self.mvpds[*number];
            Column { mvpd: (*mvpd).to_owned(), figures: stated(cell, Some(mvpd)) }
        });
        Ok(Counted {
            mvpds: columns.collect(),
            others: (others > 0).then(|| Others { mvpds: others, figures: self.others.figures() }),
            trend: self.trend(statements, now),
            failures: self.failures(),
            spellings: self.spellings(),
            rows: self.rows.map(|rows| rows.finish(statements, now)).transpose()?.unwrap_or_default(),
            total_figures: stated(&self.total, None),
            total: self.total,
        })
    }

    /// The days or hours until now. What is still to come is left out, unless something was counted there: a clock may be ahead.
    fn trend(&self, statements: &Statements<'_>, now: Instant) -> Vec<Row> {
        let is_of_hours = self.period.is_of_hours();
        let is_there =
            |bin: &usize| self.trend.stage(*bin, now) != Stage::ToCome || !self.trend_cells[*bin].is_empty();
        let row = |bin: usize| {
            let (shown, cell) = (&self.trend.bins[bin], &self.trend_cells[bin]);
            let stated_unique_accounts = statements.of(self.trend.spans[bin], cell, None);
            Row {
                key: vec![if is_of_hours { shown.hour.clone() } else { shown.day.clone() }],
                partial: self.trend.stage(bin, now) == Stage::GoingOn,
                figures: Figures { stated_unique_accounts, ..cell.figures() },
            }
        };
        (0..self.trend.bins.len()).filter(is_there).map(row).collect()
    }

    fn failures(&self) -> Vec<Failure> {
        let mut failures: Vec<Failure> = self
            .failures
            .iter()
            .map(|((kind, reason), count)| Failure {
                event: kind.name().to_owned(),
                label: kind.label().to_owned(),
                reason: self.reasons[*reason].to_owned(),
                meaning: reason_meaning(self.reasons[*reason]).to_owned(),
                count: *count,
            })
            .collect();
        failures.sort_unstable_by(|one, other| {
            let order = |failure: &Failure| (std::cmp::Reverse(failure.count), failure.event.clone());
            order(one).cmp(&order(other)).then_with(|| one.reason.cmp(&other.reason))
        });
        failures
    }

    fn spellings(&self) -> Vec<Vec<String>> {
        let mut spellings: Vec<Vec<String>> =
            self.mvpds.iter().map(|(mvpd, _)| vec![(*mvpd).to_owned()]).collect();
        for group in
            self.groups.iter().filter(|group| self.is_counted.get(group.number as usize) == Some(&true))
        {
            let Some(place) = self.place(group.number) else { continue };
            if !spellings[place.mvpd].contains(&group.mvpd) {
                spellings[place.mvpd].push(group.mvpd.clone());
            }
        }
        spellings.retain(|of_one| of_one.len() > 1);
        spellings
    }
}

/// Texts by number, in the order of their first mention. Spellings that differ in case are one.
#[derive(Default)]
struct Numbers<'a> {
    numbers: HashMap<String, usize>,
    texts: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, text: &'a str) -> usize {
        *self.numbers.entry(folded(text)).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        })
    }
}

/// Whether the metrics know the values of a dimension, so that it outlives the events.
pub(super) fn is_kept(dimension: Dimension) -> bool {
    match dimension {
        Dimension::Day | Dimension::Hour => true,
        Dimension::Property(property) => kept_value(&NO_GROUP, property).is_some(),
    }
}

const NO_GROUP: MetricGroup = MetricGroup {
    number: 0,
    requestor_id: String::new(),
    mvpd: String::new(),
    proxy: String::new(),
    sdk_type: String::new(),
    device_type: String::new(),
    reason: String::new(),
};

/// The value of a property in a group; `None` where metrics do not keep it. The reason is kept for counts, but not for users.
fn kept_value(group: &MetricGroup, property: Property) -> Option<&String> {
    match property {
        Property::RequestorId => Some(&group.requestor_id),
        Property::Mvpd => Some(&group.mvpd),
        Property::Proxy => Some(&group.proxy),
        Property::SdkType => Some(&group.sdk_type),
        Property::DeviceType => Some(&group.device_type),
        _ => None,
    }
}

/// The values of the properties among `by`, in their order.
fn values(group: &MetricGroup, by: &[Dimension]) -> Vec<String> {
    by.iter()
        .filter_map(|dimension| match dimension {
            Dimension::Day | Dimension::Hour => None,
            Dimension::Property(property) => Some(kept_value(group, *property).cloned().unwrap_or_default()),
        })
        .collect()
}
