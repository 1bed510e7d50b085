//! The rows of a report: a cell for each combination of the values that it is grouped by.

use std::collections::HashMap;

use super::cell::{Cell, Source};
use super::period::{Fineness, Period, Stage, Timeline};
use super::stated::Statements;
use super::{Dimension, ReportError, Row, folded};
use crate::event::{EventKind, Instant, Property};

/// The most rows: a report that nobody reads should not take all memory either.
const ROWS_MAX: usize = 500_000;

/// Rows while they are counted.
#[derive(Debug)]
pub(super) struct Rows {
    by: Vec<Dimension>,
    timeline: Timeline,
    /// The combinations of texts, without their case: their numbers, and back to the first spelling.
    numbers: HashMap<Vec<String>, u32>,
    texts: Vec<Vec<String>>,
    /// The cell of a combination in a day or hour.
    places: HashMap<(u32, u32), usize>,
    cells: Vec<Cell>,
}

impl Rows {
    pub(super) fn new(by: &[Dimension], period: &Period) -> Rows {
        let has = |dimension: Dimension| by.contains(&dimension);
        let fineness = match (has(Dimension::Hour), has(Dimension::Day)) {
            (true, _) => Fineness::Hour,
            (false, true) => Fineness::Day,
            (false, false) => Fineness::Whole,
        };
        Rows {
            by: by.to_vec(),
            timeline: Timeline::of(period, fineness),
            numbers: HashMap::new(),
            texts: Vec::new(),
            places: HashMap::new(),
            cells: Vec::new(),
        }
    }

    /// The number of a combination of texts, one for each property of `by` in its order.
    pub(super) fn intern(&mut self, texts: Vec<String>) -> u32 {
        let properties = self.by.iter().filter_map(|dimension| match dimension {
            Dimension::Day | Dimension::Hour => None,
            Dimension::Property(property) => Some(*property),
        });
        let fold = |(property, text): (Property, &String)| match property {
            Property::RequestorId => text.clone(),
            _ => folded(text),
        };
        let key: Vec<String> = properties.zip(&texts).map(fold).collect();
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        if self.cells.len() > ROWS_MAX {
            // There will be no report: no memory for what stands in none.
            return 0;
        }
        let number = self.texts.len() as u32;
        self.texts.push(texts);
        self.numbers.insert(key, number);
        number
    }

    /// The place of a combination in a quarter hour; `None` outside the period, or where there would be too many.
    pub(super) fn place(&mut self, combination: u32, quarter: i64) -> Option<usize> {
        let bin = self.timeline.bin(quarter)?;
        if let Some(place) = self.places.get(&(combination, bin)) {
            return Some(*place);
        }
        // One more than there may be tells that there are too many.
        if self.cells.len() > ROWS_MAX {
            return None;
        }
        self.places.insert((combination, bin), self.cells.len());
        self.cells.push(Cell::default());
        Some(self.cells.len() - 1)
    }

    pub(super) fn count(
        &mut self,
        combination: u32,
        quarter: i64,
        (kind, units): (EventKind, u64),
        source: Source,
    ) {
        if let Some(place) = self.place(combination, quarter) {
            self.cells[place].count(kind, units, source);
        }
    }

    pub(super) fn see(&mut self, combination: u32, quarter: i64, user: u64, is_synthetic: bool) {
        if let Some(place) = self.place(combination, quarter) {
            self.cells[place].see(user, is_synthetic);
        }
    }

    /// Sees a user at a place.
    pub(super) fn see_at(&mut self, place: usize, user: u64, is_synthetic: bool) {
        self.cells[place].see(user, is_synthetic);
    }

    /// The units of all events in all rows.
    pub(super) fn units(&self) -> u64 {
        self.cells.iter().map(Cell::units_of_all).sum()
    }

    /// The rows in the order of their values; times in their own order.
    pub(super) fn finish(self, statements: &Statements<'_>, now: Instant) -> Result<Vec<Row>, ReportError> {
        if self.cells.len() > ROWS_MAX {
            return Err(ReportError::TooManyRows { by: self.by.iter().map(|each| each.name()).collect() });
        }
        let mut found: Vec<(Vec<Part<'_>>, u32, &Cell)> = self
            .places
            .iter()
            .map(|((combination, bin), place)| (self.key(*combination, *bin), *bin, &self.cells[*place]))
            .collect();
        found.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let has_time = self.by.iter().any(|by| matches!(by, Dimension::Day | Dimension::Hour));
        let row = |(key, bin, cell): &(Vec<Part<'_>>, u32, &Cell)| {
            let bin = *bin as usize;
            let key: Vec<String> = key.iter().map(|part| part.text().to_owned()).collect();
            let mut figures = cell.figures();
            figures.stated_unique_accounts =
                statements.of_row(self.timeline.spans[bin], cell, &self.by, &key);
            Row { key, partial: has_time && self.timeline.stage(bin, now) == Stage::GoingOn, figures }
        };
        Ok(found.iter().map(row).collect())
    }

    fn key(&self, combination: u32, bin: u32) -> Vec<Part<'_>> {
        let shown = &self.timeline.bins[bin as usize];
        let mut texts = self.texts[combination as usize].iter();
        let part = |dimension: &Dimension| match dimension {
            Dimension::Day => Part { bin: 0, text: &shown.day },
            Dimension::Hour => Part { bin, text: &shown.hour },
            Dimension::Property(_) => Part { bin: 0, text: texts.next().map_or("", String::as_str) },
        };
        self.by.iter().map(part).collect()
    }
}

/// A value of a key. Texts and days sort as they are; hours by their place in the period, because the offset of an hour that a
/// clock shows twice may sort either way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part<'a> {
    bin: u32,
    text: &'a str,
}

impl Part<'_> {
    fn text(&self) -> &str {
        self.text
    }
}
