//! The result of a comparison: plain data, the same for text and JSON.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::cell::{Cell, Verdict};
use super::tolerance::Tolerance;
use crate::event::Instant;

/// What was compared, and the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciliation {
    pub rsid: String,
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    pub timezone: String,
    /// The time zone of the suite; `null` if Analytics was not asked.
    pub suite_timezone: Option<String>,
    pub asked_at: Instant,
    pub tolerance: Tolerance,
    pub with_esm: bool,
    pub with_analytics: bool,
    /// Whether Analytics is known to lose the hits of the suite.
    #[serde(skip)]
    pub loses_hits: bool,
    pub verdict: Verdict,
    pub total: Sums,
    /// One line for each requestor of the suite, even without traffic, in the order of their names.
    pub requestors: Vec<Line>,
    pub days: Vec<Line>,
    pub strangers: Vec<Stranger>,
    pub remarks: Vec<String>,
    /// Every cell in which ESM, the buffer or Analytics has a count, by requestor, day, MVPD and event.
    pub cells: Vec<Cell>,
}

/// The sums of a requestor or a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub name: String,
    #[serde(flatten)]
    pub sums: Sums,
}

/// Sums over cells: of units and, from `agrees` on, how many cells have each verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// The sum of the counts of ESM that are known; `None` if none of them is known.
    pub esm: Option<u64>,
    /// What the buffer counted in the cells whose count of ESM is known.
    pub counted_beside_esm: u64,
    pub counted: u64,
    pub delivered: u64,
    /// The sum of the counts of Analytics that are known; `None` as for `esm`.
    pub analytics: Option<u64>,
    pub agrees: u64,
    pub explained: u64,
    pub unknown: u64,
    pub differs: u64,
}

/// A requestor that Analytics has in the suite, but that the buffer does not map to the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// The name of the requestor; empty for hits without a requestor.
    pub requestor_id: String,
    pub units: u64,
    /// Whether the buffer knows the requestor.
    pub is_known: bool,
    /// The suite to which the buffer maps the requestor.
    pub rsid: Option<String>,
}

/// The sums of the cells of each name. Each of `names` has a line, even without cells.
pub(super) fn lines<'c>(
    names: impl IntoIterator<Item = String>,
    cells: &'c [Cell],
    name_of: impl Fn(&'c Cell) -> &'c str,
) -> Vec<Line> {
    let mut sums: BTreeMap<String, Sums> = names.into_iter().map(|name| (name, Sums::default())).collect();
    for cell in cells {
        sums.entry(name_of(cell).to_owned()).or_default().add(cell);
    }
    sums.into_iter().map(|(name, sums)| Line { name, sums }).collect()
}

impl Default for Sums {
    /// Without cells, no count is unknown, so the sums of ESM and Analytics are 0.
    fn default() -> Sums {
        let [esm, analytics] = [Some(0); 2];
        let [counted_beside_esm, counted, delivered, agrees, explained, unknown, differs] = [0; 7];
        Sums { esm, counted_beside_esm, counted, delivered, analytics, agrees, explained, unknown, differs }
    }
}

impl Sums {
    pub(super) fn of(cells: &[Cell]) -> Sums {
        let mut sums = Sums::default();
        cells.iter().for_each(|cell| sums.add(cell));
        sums
    }

    fn add(&mut self, cell: &Cell) {
        let is_first = *self == Sums::default();
        let sum = |known: Option<u64>, more: Option<u64>| match known.filter(|_| !is_first) {
            Some(known) => Some(known.saturating_add(more.unwrap_or(0))),
            None => more,
        };
        self.esm = sum(self.esm, cell.esm);
        self.analytics = sum(self.analytics, cell.analytics);
        self.counted_beside_esm += cell.esm.map_or(0, |_| cell.counted);
        self.counted += cell.counted;
        self.delivered += cell.delivered;
        let cells = match cell.verdict {
            Verdict::Agrees => &mut self.agrees,
            Verdict::Explained => &mut self.explained,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Differs => &mut self.differs,
        };
        *cells += 1;
    }

    pub fn verdict(&self) -> Verdict {
        match self {
            Sums { differs: 1.., .. } => Verdict::Differs,
            Sums { unknown: 1.., .. } => Verdict::Unknown,
            Sums { explained: 1.., .. } => Verdict::Explained,
            Sums { .. } => Verdict::Agrees,
        }
    }
}
