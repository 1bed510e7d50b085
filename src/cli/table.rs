//! The parts of reports: tables with aligned columns, and notes below them.

use std::fmt::{self, Display};

use crate::harmless::on_one_line;

/// A table for a report. Columns of numbers are aligned right, all others left. A table without rows prints nothing.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// True if every column except the first is aligned right.
    is_of_figures: bool,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Table {
        let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Table { rows: vec![headings], is_of_figures: false }
    }

    /// A table whose first column has names, and whose other columns have numbers.
    pub(super) fn of_figures(headings: &[&str]) -> Table {
        Table { is_of_figures: true, ..Table::new(headings) }
    }

    pub(super) fn row(&mut self, cells: &[&dyn Display]) {
        self.rows.push(cells.iter().map(|cell| on_one_line(&cell.to_string()).into_owned()).collect());
    }

    pub(super) fn without(mut self, headings: &[&str]) -> Table {
        let first = self.rows[0].iter();
        let kept: Vec<bool> = first.map(|heading| !headings.contains(&heading.as_str())).collect();
        for row in &mut self.rows {
            let mut kept = kept.iter();
            row.retain(|_| kept.next().is_some_and(|kept| *kept));
        }
        self
    }

    /// Writes an empty line and the table; writes nothing if there are no rows.
    pub(super) fn write_below(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.len() > 1 { write!(out, "\n{self}") } else { Ok(()) }
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn is_numeric(&self, column: usize) -> bool {
        if self.is_of_figures {
            return column > 0;
        }
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
        cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.len() == 1 {
            return Ok(());
        }
        let columns = self.rows.first().map_or(0, Vec::len);
        let shapes: Vec<_> =
            (0..columns).map(|column| (self.width(column), self.is_numeric(column))).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, (width, is_numeric)) in row.iter().zip(&shapes) {
                let cell = if *is_numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str("  ");
                line.push_str(&cell);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes the note of each count that is not 0, one per line, below the first lines of a report.
pub(super) fn write_notes(
    out: &mut fmt::Formatter<'_>,
    notes: impl IntoIterator<Item = (u64, impl Display)>,
) -> fmt::Result {
    let mut said = notes.into_iter().filter(|(count, _)| *count > 0);
    said.try_for_each(|(_, note)| writeln!(out, "  {note}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_nothing_trails() {
        let mut table = Table::new(&["suite", "n", "note"]);
        table.row(&[&"a", &7, &""]);
        table.row(&[&"longer", &1234, &"ä"]);
        assert_eq!(table.to_string(), "  suite      n  note\n  a          7\n  longer  1234  ä\n");
    }
}
