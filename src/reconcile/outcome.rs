//! What came of comparing: plain data, the same for text and JSON.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;

use super::cell::{Cell, Tolerance, Verdict};
use super::compare::Sides;
use crate::event::Instant;

/// What was compared, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciliation {
    pub rsid: String,
    /// The first day.
    pub from: NaiveDate,
    /// The last one.
    pub to: NaiveDate,
    /// The zone whose days they are.
    pub timezone: String,
    /// That of the suite; `null` where Analytics was not asked.
    pub suite_timezone: Option<String>,
    /// When it was compared.
    pub asked_at: Instant,
    /// How far numbers may lie apart in a cell.
    pub tolerance: Tolerance,
    pub with_esm: bool,
    pub with_analytics: bool,
    /// The worst verdict of all cells.
    pub verdict: Verdict,
    pub total: Sums,
    /// By requestor: those of the suite, in the order of their names, without traffic too.
    pub requestors: Vec<Line>,
    /// By day, those without traffic too.
    pub days: Vec<Line>,
    /// Requestors that Analytics has in the suite, and that are not mapped to it here.
    pub strangers: Vec<Stranger>,
    /// What one must know who trusts the numbers, in sentences.
    pub remarks: Vec<String>,
    /// Every cell in which anybody has something, by requestor, day, MVPD and event.
    pub cells: Vec<Cell>,
}

/// The sums of a requestor or a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The requestor or the day.
    pub name: String,
    #[serde(flatten)]
    pub sums: Sums,
}

/// Sums over cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sums {
    /// What ESM counted, where it is known.
    pub esm: u64,
    /// What the buffer counted in those very cells.
    pub counted_beside_esm: u64,
    /// What the buffer counted in all.
    pub counted: u64,
    /// What Analytics was given of it.
    pub delivered: u64,
    /// What Analytics reports, where it is known.
    pub analytics: u64,
    /// Cells in which everyone says the same.
    pub agrees: u64,
    /// Cells that differ, with an explanation.
    pub explained: u64,
    /// Cells of which a number that is needed is not known.
    pub unknown: u64,
    /// Cells that differ, and nothing explains it.
    pub differs: u64,
}

/// A requestor that Analytics has in the suite, and that is not mapped to it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// Its name; empty: hits without one.
    pub requestor_id: String,
    /// What Analytics reports of it, over all events.
    pub units: u64,
    /// Whether the buffer has events of it.
    pub is_known: bool,
    /// The suite that it is mapped to instead.
    pub rsid: Option<String>,
}

/// What a comparison is told beside its cells.
pub(super) struct Frame {
    pub(super) rsid: String,
    pub(super) dates: Range<NaiveDate>,
    pub(super) zone: Tz,
    pub(super) suite_zone: Option<Tz>,
    pub(super) asked_at: Instant,
    pub(super) tolerance: Tolerance,
    pub(super) requestors: Vec<String>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) remarks: Vec<String>,
}

impl Reconciliation {
    pub(super) fn of(frame: Frame, sides: &Sides) -> Reconciliation {
        let cells = sides.compare(frame.tolerance);
        let mut total = Sums::default();
        let mut requestors: BTreeMap<String, Sums> =
            frame.requestors.into_iter().map(|requestor| (requestor, Sums::default())).collect();
        let mut days: BTreeMap<&str, Sums> =
            sides.days.iter().map(|day| (day.label.as_str(), Sums::default())).collect();
        for cell in &cells {
            total.add(cell);
            requestors.entry(cell.requestor_id.clone()).or_default().add(cell);
            days.entry(&cell.day).or_default().add(cell);
        }
        let line = |name: String, sums: Sums| Line { name, sums };
        Reconciliation {
            rsid: frame.rsid,
            from: frame.dates.start,
            to: frame.dates.end - Days::new(1),
            timezone: frame.zone.name().to_owned(),
            suite_timezone: frame.suite_zone.map(|zone| zone.name().to_owned()),
            asked_at: frame.asked_at,
            tolerance: frame.tolerance,
            with_esm: sides.esm.is_some(),
            with_analytics: sides.analytics.is_some(),
            verdict: cells.iter().map(|cell| cell.verdict).max().unwrap_or(Verdict::Agrees),
            total,
            requestors: requestors.into_iter().map(|(name, sums)| line(name, sums)).collect(),
            days: days.into_iter().map(|(name, sums)| line(name.to_owned(), sums)).collect(),
            strangers: frame.strangers,
            remarks: frame.remarks,
            cells,
        }
    }
}

impl Sums {
    fn add(&mut self, cell: &Cell) {
        if let Some(esm) = cell.esm {
            self.esm += esm;
            self.counted_beside_esm += cell.counted;
        }
        self.counted += cell.counted;
        self.delivered += cell.delivered;
        self.analytics += cell.analytics.unwrap_or(0);
        let cells = match cell.verdict {
            Verdict::Agrees => &mut self.agrees,
            Verdict::Explained => &mut self.explained,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Differs => &mut self.differs,
        };
        *cells += 1;
    }

    /// The worst verdict among the cells.
    pub fn verdict(&self) -> Verdict {
        match self {
            Sums { differs: 1.., .. } => Verdict::Differs,
            Sums { unknown: 1.., .. } => Verdict::Unknown,
            Sums { explained: 1.., .. } => Verdict::Explained,
            Sums { .. } => Verdict::Agrees,
        }
    }
}
