//! A table: one cell for each combination of the values by which it is grouped. Each part of a report is a table.

use std::collections::HashMap;

use super::cell::{Cell, Source};
use super::dimension::{Dimension, folded};
use super::figures::Row;
use super::period::{DAY_FORM, HOUR_FORM, Period, ReportError, Timeline};
use super::stated::Statements;
use crate::event::{Instant, Property};
use crate::readers::esm::StatedAccounts;

/// The most rows of a table: some 2 to 5 KiB of memory each, until the report is written.
const ROWS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Table {
    by: Vec<Dimension>,
    timeline: Timeline,
    /// The number of each combination of texts. The texts are in lower case here, except requestors.
    numbers: HashMap<Vec<String>, u32>,
    /// The first spelling of every combination, by its number.
    pub(super) texts: Vec<Vec<String>>,
    /// The index in `cells` of each combination and bin. `last` is the latest look-up; the next one is often the same.
    places: HashMap<(u32, u32), usize>,
    last: Option<((u32, u32), usize)>,
    pub(super) cells: Vec<Cell>,
}

/// The values of a row, for sorting: each value is compared by its number, then by its text.
type Key<'t> = Vec<(u32, &'t str)>;

impl Table {
    pub(super) fn new(by: &[Dimension], period: &Period) -> Table {
        let form = match (by.contains(&Dimension::Hour), by.contains(&Dimension::Day)) {
            (true, _) => HOUR_FORM,
            (false, true) => DAY_FORM,
            (false, false) => "",
        };
        Table {
            by: by.to_vec(),
            timeline: Timeline::of(period, form),
            numbers: HashMap::new(),
            texts: Vec::new(),
            places: HashMap::new(),
            last: None,
            cells: Vec::new(),
        }
    }

    /// The number of a combination of texts: one text for each property of the table, in their order.
    pub(super) fn intern(&mut self, texts: Vec<String>) -> u32 {
        let fold = |(property, text): (Property, &String)| match property {
            Property::RequestorId => text.clone(),
            _ => folded(text),
        };
        let properties = self.by.iter().filter_map(|dimension| dimension.property());
        let key: Vec<String> = properties.zip(&texts).map(fold).collect();
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        if self.cells.len() > ROWS_MAX {
            // The report will be refused, so it needs no more memory.
            return 0;
        }
        let number = self.texts.len() as u32;
        self.texts.push(texts);
        self.numbers.insert(key, number);
        number
    }

    /// Gives a table without properties a row for each day or hour that has begun, even if nothing was counted in it.
    pub(super) fn fill(&mut self, now: Instant) {
        let nothing = self.intern(Vec::new());
        let begun = (0..self.timeline.bins.len()).filter(|bin| self.timeline.has_begun(*bin, now));
        for bin in begun.collect::<Vec<usize>>() {
            self.place(nothing, self.timeline.spans[bin].0);
        }
    }

    /// The index of a cell, which is made if it is missing; `None` outside the period, or if there are too many rows.
    pub(super) fn place(&mut self, combination: u32, quarter: i64) -> Option<usize> {
        let key = (combination, self.timeline.bin(quarter)?);
        if let Some((_, place)) = self.last.filter(|(last, _)| *last == key) {
            return Some(place);
        }
        let place = match self.places.get(&key) {
            Some(place) => *place,
            // One row too many is kept, so that `finish` knows that the report must be refused.
            None if self.cells.len() > ROWS_MAX => return None,
            None => {
                self.places.insert(key, self.cells.len());
                self.cells.push(Cell::default());
                self.cells.len() - 1
            }
        };
        self.last = Some((key, place));
        Some(place)
    }

    /// The cell of a combination in a quarter hour; `None` as for `place`.
    pub(super) fn cell(&mut self, combination: u32, quarter: i64) -> Option<&mut Cell> {
        let place = self.place(combination, quarter)?;
        self.cells.get_mut(place)
    }

    /// Notes the requestor of stated accounts in each row whose time overlaps theirs. If only one row's time does, a
    /// missing row is made. A requestor that also has events is noted only if one row has all of the accounts' time.
    pub(super) fn state(&mut self, stated: &StatedAccounts, source: Source) {
        let mut texts = Vec::new();
        for property in self.by.iter().filter_map(|dimension| dimension.property()) {
            match property {
                Property::RequestorId => texts.push(stated.requestor_id.to_string()),
                Property::Mvpd if stated.has_mvpd() => texts.push(stated.mvpd.clone()),
                _ => return,
            }
        }
        let quarters = stated.from.unix_quarter()..stated.to.unix_quarter();
        let Some((bins, is_whole)) = self.timeline.bins(&quarters) else { return };
        let is_one = bins.start() == bins.end();
        let is_exact = is_one && is_whole;
        if !(source.is_stated_alone || is_exact) {
            return;
        }
        let combination = self.intern(texts);
        if is_one {
            self.place(combination, self.timeline.spans[*bins.start() as usize].0);
        }
        for bin in bins {
            if let Some(place) = self.places.get(&(combination, bin)) {
                self.cells[*place].note(source);
            }
        }
    }

    pub(super) fn units(&self) -> u64 {
        self.cells.iter().map(Cell::units_of_all).sum()
    }

    pub(super) fn by_combination(&self) -> impl Iterator<Item = (u32, &Cell)> {
        self.places.iter().map(|((combination, _), place)| (*combination, &self.cells[*place]))
    }

    /// The rows, sorted by their values; hours are sorted by time.
    pub(super) fn finish(self, statements: &Statements<'_>, now: Instant) -> Result<Vec<Row>, ReportError> {
        if self.cells.len() > ROWS_MAX {
            return Err(ReportError::TooManyRows { by: self.by.iter().map(|each| each.name()).collect() });
        }
        let mut found: Vec<(Key<'_>, u32, &Cell)> = self
            .places
            .iter()
            .map(|((combination, bin), place)| (self.key(*combination, *bin), *bin, &self.cells[*place]))
            .collect();
        found.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let has_time = self.by.iter().any(|by| by.property().is_none());
        let row = |(key, bin, cell): (Key<'_>, u32, &Cell)| {
            let bin = bin as usize;
            let key: Vec<String> = key.into_iter().map(|(_, text)| text.to_owned()).collect();
            let mut figures = cell.figures();
            figures.stated_unique_accounts =
                statements.of_row(self.timeline.spans[bin], cell, &self.by, &key);
            Row { key, partial: has_time && self.timeline.is_going_on(bin, now), figures }
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// The values by which a row is sorted. Hours are sorted by their index in the period: when a clock is
    /// set back, it shows an hour twice, and the two names differ only in the offset.
    fn key(&self, combination: u32, bin: u32) -> Key<'_> {
        let shown = self.timeline.bins[bin as usize].as_str();
        let mut texts = self.texts[combination as usize].iter();
        let value = |dimension: &Dimension| match dimension {
            Dimension::Day => (0, shown.split('T').next().unwrap_or(shown)),
            Dimension::Hour => (bin, shown),
            Dimension::Property(_) => (0, texts.next().map_or("", String::as_str)),
        };
        self.by.iter().map(value).collect()
    }
}
