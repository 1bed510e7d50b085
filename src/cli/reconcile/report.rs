//! A reconciliation as text: short if all numbers agree, else the cells that differ, with explanations.

use std::collections::BTreeMap;
use std::fmt;

use crate::cli::table::write_notes;
use crate::cli::{Table, hint};
use crate::reconcile::{Cause, Cell, Line, Part, Reconciliation, Sums, Verdict};

/// The most cells of each verdict in the text. `--json` has all.
const CELLS_SHOWN: usize = 40;
/// The most days that have a row in the text.
const DAYS_SHOWN: usize = 31;

impl fmt::Display for Reconciliation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reconciliation { rsid, from, to, timezone, .. } = self;
        writeln!(out, "report suite {rsid}, {from} to {to} in {timezone}")?;
        self.lines("requestor", &self.requestors).fmt(out)?;
        let is_worse = |line: &&Line| line.sums.verdict() > Verdict::Agrees;
        let days: Vec<Line> = self.days.iter().filter(is_worse).cloned().collect();
        if self.days.len() > 1 {
            self.lines("day", &days[..days.len().min(DAYS_SHOWN)]).fmt(out)?;
            let more = days.len().saturating_sub(DAYS_SHOWN) as u64;
            write_notes(out, [(more, format!("and {more} more days; --json has every day"))])?;
        }
        for (verdict, title) in [
            (Verdict::Differs, "cells that differ, and nothing explains it"),
            (Verdict::Unknown, "cells of which a number is not known"),
            (Verdict::Explained, "cells that differ, with their explanation"),
        ] {
            self.write_cells(out, verdict, title)?;
        }
        self.write_strangers(out)?;
        for remark in &self.remarks {
            writeln!(out, "note: {remark}")?;
        }
        writeln!(out, "{}", self.conclusion())
    }
}

impl Reconciliation {
    fn compared(&self, table: Table) -> Table {
        let table = if self.with_esm { table } else { table.without(&["ESM", "counted beside"]) };
        if self.with_analytics { table } else { table.without(&["Analytics"]) }
    }

    fn lines(&self, heading: &str, lines: &[Line]) -> Table {
        let mut table =
            Table::new(&[heading, "ESM", "counted beside", "counted", "delivered", "Analytics", "result"]);
        for Line { name, sums } in lines {
            let Sums { esm, counted_beside_esm, counted, delivered, analytics, .. } = sums;
            let beside = esm.map(|_| *counted_beside_esm);
            let (esm, beside, analytics) = (units(*esm, "-"), units(beside, "-"), units(*analytics, "?"));
            table.row(&[name, &esm, &beside, counted, delivered, &analytics, &result(sums)]);
        }
        self.compared(table)
    }

    fn write_cells(&self, out: &mut fmt::Formatter<'_>, verdict: Verdict, title: &str) -> fmt::Result {
        let cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.verdict == verdict).collect();
        if cells.is_empty() {
            return Ok(());
        }
        let headings =
            ["day", "requestor", "MVPD", "event", "ESM", "counted", "delivered", "Analytics", "why"];
        let mut table = Table::new(&headings);
        for cell in cells.iter().take(CELLS_SHOWN) {
            let Cell { day, requestor_id, mvpd, event, esm, counted, delivered, analytics, .. } = cell;
            let (esm, analytics) = (units(*esm, ""), units(*analytics, "?"));
            table.row(&[day, requestor_id, mvpd, event, &esm, counted, delivered, &analytics, &why(cell)]);
        }
        write!(out, "{title}:\n{}", self.compared(table))?;
        let more = cells.len().saturating_sub(CELLS_SHOWN) as u64;
        write_notes(out, [(more, format!("and {more} more; --json has every cell"))])
    }

    fn write_strangers(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stranger in &self.strangers {
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
        let Sums { differs, unknown, .. } = self.total;
        let silent: Vec<&str> = self
            .requestors
            .iter()
            .filter(|line| line.sums == Sums::default())
            .map(|line| line.name.as_str())
            .collect();
        let is_compared = self.cells.iter().any(|cell| cell.esm.is_some() || cell.analytics.is_some());
        let mut text = match self.verdict {
            Verdict::Agrees if self.cells.is_empty() => "nobody has anything of these days".to_owned(),
            Verdict::Agrees | Verdict::Unknown if !is_compared => {
                format!("nothing was compared: {} cells have a count in the buffer alone", self.cells.len())
            }
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
        if self.verdict == Verdict::Differs {
            let next = match self.with_analytics && self.loses_hits {
                true => format!("mend the suite, then: passbridge suite check {}", self.rsid),
                false => "passbridge status; the same command a day later".to_owned(),
            };
            text.push_str(&format!("\n  try: {}", hint::complete(&next)));
        }
        text
    }

    fn causes(&self) -> String {
        let mut sums: BTreeMap<Cause, i64> = BTreeMap::new();
        let explained = self.cells.iter().filter(|cell| cell.verdict == Verdict::Explained);
        for part in explained.flat_map(|cell| cell.analytics_parts.iter().chain(&cell.esm_parts)) {
            *sums.entry(part.cause).or_default() += part.units;
        }
        let parts: Vec<Part> = sums.into_iter().map(|(cause, units)| Part { cause, units }).collect();
        spell(&parts)
    }
}

/// A count that is not known is never shown as 0.
fn units(units: Option<u64>, unknown: &str) -> String {
    units.map_or(unknown.to_owned(), |units| units.to_string())
}

fn spell(parts: &[Part]) -> String {
    let part = |Part { cause, units }: &Part| format!("{cause} {units:+}");
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

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
