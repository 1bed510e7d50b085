//! Counts a period from the metrics of the buffer: the total, each MVPD, the trend, failures, and rows of what metrics know.

use std::collections::HashMap;

use super::cell::Cell;
use super::period::{Fineness, Period, Timeline};
use super::rows::Rows;
use super::{Column, Dimension, Failure, ReportError, Row};
use crate::buffer::{CountedHour, MetricGroup, MetricsReader, SeenUser};
use crate::event::{EventKind, Property};

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
}

/// The metrics of a period while they are counted.
pub(super) struct Counting<'a> {
    period: &'a Period,
    /// By the number of the group; `None` for one of a requestor that is not asked for.
    places: Vec<Option<Place>>,
    mvpds: Vec<(&'a str, Cell)>,
    reasons: Vec<&'a str>,
    trend: Timeline,
    trend_cells: Vec<Cell>,
    total: Cell,
    failures: HashMap<(EventKind, usize), u64>,
    /// `None` where rows are counted otherwise, or not asked for.
    rows: Option<Rows>,
    user: u64,
}

/// What was counted.
pub(super) struct Counted {
    pub(super) total: Cell,
    pub(super) mvpds: Vec<Column>,
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
            places[number] =
                Some(Place { mvpd: mvpds.of(&group.mvpd), combination, reason: reasons.of(&group.reason) });
        }
        let fineness = if period.is_of_hours() { Fineness::Hour } else { Fineness::Day };
        let trend = Timeline::of(period, fineness);
        Counting {
            period,
            places,
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

    /// Reads the period.
    pub(super) fn read(&mut self, reader: &MetricsReader) -> Result<(), ReportError> {
        let (first, last) = (self.period.quarters().start, self.period.quarters().end - 1);
        let hours = [first, last].map(|quarter| quarter.div_euclid(QUARTERS_AN_HOUR));
        reader.each_counted(hours[0], hours[1], |counted| self.count(&counted))?;
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
            self.total.count(kind, units);
            self.mvpds[place.mvpd].1.count(kind, units);
            self.trend_cells[bin as usize].count(kind, units);
            if FAILURES.contains(&kind) {
                *self.failures.entry((kind, place.reason)).or_default() += units;
            }
            if let Some(rows) = &mut self.rows {
                rows.count(place.combination, quarter, kind, units);
            }
        }
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
                self.trend_cells[bin as usize].see(user, is_synthetic);
                if let Some(rows) = &mut self.rows {
                    rows.see(place.combination, quarter, user, is_synthetic);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Result<Counted, ReportError> {
        let mut mvpds: Vec<Column> = self
            .mvpds
            .iter()
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(mvpd, cell)| Column { mvpd: (*mvpd).to_owned(), figures: cell.figures() })
            .collect();
        mvpds.sort_unstable_by(|one, other| one.mvpd.cmp(&other.mvpd));
        let is_of_hours = self.period.is_of_hours();
        let trend = self.trend.bins.iter().zip(&self.trend_cells).map(|(bin, cell)| Row {
            key: vec![if is_of_hours { bin.hour.clone() } else { bin.day.clone() }],
            figures: cell.figures(),
        });
        let mut failures: Vec<Failure> = self
            .failures
            .iter()
            .map(|((kind, reason), count)| Failure {
                event: kind.name().to_owned(),
                label: kind.label().to_owned(),
                reason: self.reasons[*reason].to_owned(),
                count: *count,
            })
            .collect();
        failures.sort_unstable_by(|one, other| {
            let order = |failure: &Failure| (std::cmp::Reverse(failure.count), failure.event.clone());
            order(one).cmp(&order(other)).then_with(|| one.reason.cmp(&other.reason))
        });
        Ok(Counted {
            mvpds,
            trend: trend.collect(),
            failures,
            rows: self.rows.map(Rows::finish).transpose()?.unwrap_or_default(),
            total: self.total,
        })
    }
}

/// Texts by number, in the order of their first mention.
#[derive(Default)]
struct Numbers<'a> {
    numbers: HashMap<&'a str, usize>,
    texts: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, text: &'a str) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
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
