//! Rows of text in aligned columns.

use std::fmt::{self, Display};

use super::safe::one_line;

/// A table for a report: numbers stand right, everything else left.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: &[&dyn Display]) {
        self.rows.push(cells.iter().map(|cell| one_line(&cell.to_string()).into_owned()).collect());
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    /// Whether every cell below the heading is a number.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
        cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
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
