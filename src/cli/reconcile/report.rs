//! A reconciliation as text: short where all agree, else the cells that do not, with what explains them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::super::hint;
use super::super::table::Table;
use crate::reconcile::{Cause, Cell, Line, Part, Reconciliation, Sums, Verdict};

/// Cells that the text shows of each verdict. `--json` has all.
const CELLS_SHOWN: usize = 40;
/// Days that the text shows one by one; more are summed up by requestor alone.
const DAYS_SHOWN: usize = 31;

pub(super) struct ReconcileReport(pub(super) Reconciliation);

impl Serialize for ReconcileReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for ReconcileReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.0;
        writeln!(out, "report suite {}, {} to {} in {}", found.rsid, found.from, found.to, found.timezone)?;
        self.write_lines(out, "requestor", &found.requestors)?;
        let is_worse = |line: &&Line| line.sums.verdict() > Verdict::Agrees;
        let days: Vec<Line> = found.days.iter().filter(is_worse).take(DAYS_SHOWN).cloned().collect();
        if found.days.len() > 1 && !days.is_empty() {
            self.write_lines(out, "day", &days)?;
        }
        for (verdict, title) in [
            (Verdict::Differs, "cells that differ, and nothing explains it"),
            (Verdict::Unknown, "cells of which a number is not known"),
            (Verdict::Explained, "cells that differ, with their explanation"),
        ] {
            self.write_cells(out, verdict, title)?;
        }
        self.write_strangers(out)?;
        for remark in &found.remarks {
            writeln!(out, "note: {remark}")?;
        }
        writeln!(out, "{}", self.conclusion())
    }
}

impl ReconcileReport {
    fn write_lines(&self, out: &mut fmt::Formatter<'_>, heading: &str, lines: &[Line]) -> fmt::Result {
        let found = &self.0;
        let mut headings = vec![heading];
        if found.with_esm {
            headings.extend(["ESM", "counted beside"]);
        }
        headings.extend(["counted", "delivered"]);
        if found.with_analytics {
            headings.push("Analytics");
        }
        headings.push("result");
        let mut table = Table::new(&headings);
        for Line { name, sums } in lines {
            let mut cells: Vec<String> = vec![name.clone()];
            if found.with_esm {
                cells.extend([sums.esm.to_string(), sums.counted_beside_esm.to_string()]);
            }
            cells.extend([sums.counted.to_string(), sums.delivered.to_string()]);
            if found.with_analytics {
                cells.push(sums.analytics.to_string());
            }
            cells.push(result(sums));
            let cells: Vec<&dyn fmt::Display> = cells.iter().map(|cell| cell as &dyn fmt::Display).collect();
            table.row(&cells);
        }
        write!(out, "{table}")
    }

    fn write_cells(&self, out: &mut fmt::Formatter<'_>, verdict: Verdict, title: &str) -> fmt::Result {
        let found = &self.0;
        let cells: Vec<&Cell> = found.cells.iter().filter(|cell| cell.verdict == verdict).collect();
        if cells.is_empty() {
            return Ok(());
        }
        writeln!(out, "{title}:")?;
        let mut headings = vec!["day", "requestor", "MVPD", "event"];
        headings.extend(found.with_esm.then_some("ESM"));
        headings.extend(["counted", "delivered"]);
        headings.extend(found.with_analytics.then_some("Analytics"));
        headings.push("why");
        let mut table = Table::new(&headings);
        for cell in cells.iter().take(CELLS_SHOWN) {
            let esm = cell.esm.map_or_else(String::new, |units| units.to_string());
            let analytics = cell.analytics.map_or_else(|| "?".to_owned(), |units| units.to_string());
            let why = why(cell);
            let mut row: Vec<&dyn fmt::Display> =
                vec![&cell.day, &cell.requestor_id, &cell.mvpd, &cell.event];
            if found.with_esm {
                row.push(&esm);
            }
            row.extend([&cell.counted as &dyn fmt::Display, &cell.delivered]);
            if found.with_analytics {
                row.push(&analytics);
            }
            row.push(&why);
            table.row(&row);
        }
        write!(out, "{table}")?;
        let more = cells.len().saturating_sub(CELLS_SHOWN);
        if more > 0 {
            writeln!(out, "  and {more} more; --json has every cell")?;
        }
        Ok(())
    }

    fn write_strangers(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stranger in &self.0.strangers {
            let name = match stranger.requestor_id.as_str() {
                "" => "hits without a requestor".to_owned(),
                name => format!("requestor {name}"),
            };
            let whose = match (&stranger.rsid, stranger.is_known) {
                (Some(rsid), _) => format!("is mapped to report suite {rsid} here"),
                (None, true) => "is mapped to no report suite here".to_owned(),
                (None, false) => "the buffer does not know".to_owned(),
            };
            writeln!(out, "note: Analytics has {} units of {name}, which {whose}", stranger.units)?;
        }
        Ok(())
    }

    fn conclusion(&self) -> String {
        let Sums { differs, unknown, .. } = self.0.total;
        let silent: Vec<&str> = self
            .0
            .requestors
            .iter()
            .filter(|line| line.sums == Sums::default())
            .map(|line| line.name.as_str())
            .collect();
        let mut text = match self.0.verdict {
            Verdict::Agrees if self.0.cells.is_empty() => "nobody has anything of these days".to_owned(),
            Verdict::Agrees => "they agree".to_owned(),
            Verdict::Explained => format!("they agree, but for what is explained: {}", self.causes()),
            Verdict::Unknown => {
                format!("{unknown} cells could not be compared; the others agree or are explained")
            }
            Verdict::Differs => format!("{differs} cells differ, and nothing explains it"),
        };
        if !silent.is_empty() {
            text.push_str(&format!("; without traffic: {}", silent.join(", ")));
        }
        if self.0.verdict == Verdict::Differs {
            text.push_str(&hint::complete("\n  try: passbridge status; the same command a day later"));
        }
        text
    }

    /// The causes of all parts, with their sums.
    fn causes(&self) -> String {
        let mut sums: BTreeMap<Cause, i64> = BTreeMap::new();
        let explained = self.0.cells.iter().filter(|cell| cell.verdict == Verdict::Explained);
        for part in explained.flat_map(|cell| cell.analytics_parts.iter().chain(&cell.esm_parts)) {
            *sums.entry(part.cause).or_default() += part.units;
        }
        let parts: Vec<Part> = sums.into_iter().map(|(cause, units)| Part { cause, units }).collect();
        spell(&parts)
    }
}

fn spell(parts: &[Part]) -> String {
    let part = |Part { cause, units }: &Part| format!("{cause} {units:+}");
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// How the cells of a line came out.
fn result(sums: &Sums) -> String {
    let Sums { agrees, explained, unknown, differs, .. } = *sums;
    if agrees + explained + unknown + differs == 0 {
        return "no traffic".to_owned();
    }
    let told = [(differs, "differ"), (unknown, "not known"), (explained, "explained")];
    let told: Vec<String> =
        told.iter().filter(|(cells, _)| *cells > 0).map(|(cells, what)| format!("{cells} {what}")).collect();
    if told.is_empty() { "agrees".to_owned() } else { told.join(", ") }
}

/// What explains a cell, what is left, and what that looks like.
fn why(cell: &Cell) -> String {
    let mut said = Vec::new();
    for (parts, rest, whose) in [
        (&cell.esm_parts, cell.esm_unexplained, "counted against ESM"),
        (&cell.analytics_parts, cell.analytics_unexplained, "Analytics"),
    ] {
        if !parts.is_empty() {
            said.push(spell(parts));
        }
        if rest != 0 {
            said.push(format!("{whose} {rest:+}"));
        }
    }
    said.extend(cell.hints.iter().map(ToString::to_string));
    said.join("; ")
}
