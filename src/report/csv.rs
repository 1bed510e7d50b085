//! A report as CSV, for spreadsheets: a line for the total and for each MVPD, or for each row.

use std::borrow::Cow;

use super::dimension::{Dimension, folded};
use super::figures::{Column, Figures, Note, Report};
use super::metric::{METRICS, STATED};
use crate::encode::{csv_row, safe_value};
use crate::event::EventKind;
use crate::readers::esm::has_metric;

/// The note on a row if a part of it lacks a column of ESM that another part has.
const LACKING: &str = "partly without ESM columns";

/// The report as CSV (RFC 4180, with line feeds). The columns: `from`, `to`, `timezone`, `scope`, the values of `--by`
/// (else `mvpd`), the figures, the units of event1 to event18 by name, the unique accounts that ESM stated, and `note`.
/// `scope` is `total` or `mvpd` (with `--by`: `total` or `row`). Unknown numbers are empty, and so are ratios that
/// would divide by 0. A note has parts with `; ` between them: `partial` if the time is not over;
/// `partly without ESM columns` if a part of the row has no number for an event that another part has; the marks of
/// what is unusual (for the MVPD of the row, or the total); what the row was counted from.
pub fn csv(report: &Report) -> String {
    let mvpd = ["mvpd".to_owned()];
    let by = if report.by.is_empty() { &mvpd[..] } else { &report.by };
    let mut file = Vec::new();
    let head = ["from", "to", "timezone", "scope"].into_iter().chain(by.iter().map(String::as_str));
    let figures = METRICS.iter().map(|metric| metric.key).chain(EventKind::ALL.map(EventKind::name));
    csv_row(head.chain(figures).chain([STATED.key, "note"]), &mut file);
    let mut add = |scope: &str, key: &[String], figures: &Figures, note: &str| {
        let mut cells: Vec<Cow<'_, str>> = vec![(&report.from).into(), (&report.to).into()];
        cells.extend([Cow::from(&report.timezone), scope.into()]);
        cells.extend((0..by.len()).map(|index| key.get(index).map_or("".into(), |value| safe_value(value))));
        cells.extend(METRICS.iter().map(|metric| (metric.value)(figures).in_csv().into()));
        cells.extend(figures.events.map(|units| units.map(|it| it.to_string()).unwrap_or_default().into()));
        cells.extend([(STATED.value)(figures).in_csv().into(), safe_value(note)]);
        csv_row(cells, &mut file);
    };
    let notes = |partial: bool, figures: &Figures, marks: Vec<&str>, counted_from: &str| {
        let is_in_part = |kind: EventKind| {
            has_metric(kind)
                && figures.units(kind).is_some()
                && figures.lacking.iter().any(|kinds| kinds.has(kind))
        };
        let is_lacking = EventKind::ALL.into_iter().any(is_in_part);
        let first = [if partial { "partial" } else { "" }, if is_lacking { LACKING } else { "" }];
        let notes = first.into_iter().chain(marks).chain([counted_from]);
        notes.filter(|note| !note.is_empty()).collect::<Vec<&str>>().join("; ")
    };
    let of_total = report.notes.iter().filter(|note| note.mvpds.is_empty()).map(|note| note.mark.as_str());
    add("total", &[], &report.total, &notes(report.partial, &report.total, of_total.collect(), ""));
    if report.by.is_empty() {
        for Column { mvpd, figures } in &report.mvpds {
            let note = notes(report.partial, figures, report.marks(mvpd), "");
            add("mvpd", std::slice::from_ref(mvpd), figures, &note);
        }
    }
    let has_time = report.by.iter().any(|by| by == Dimension::Day.name() || by == Dimension::Hour.name());
    // A mark is about all figures of an MVPD in the period, so only rows by MVPD alone have marks.
    let is_by_mvpd = report.by == ["mvpd"];
    for row in &report.rows {
        let marks = if is_by_mvpd { report.marks(&row.key[0]) } else { Vec::new() };
        let partial = row.partial || report.partial && !has_time;
        add("row", &row.key, &row.figures, &notes(partial, &row.figures, marks, &report.rows_note));
    }
    String::from_utf8(file).expect("all cells are text")
}

impl Report {
    /// The marks of the notes on an MVPD. Upper and lower case in its name make no difference.
    fn marks(&self, mvpd: &str) -> Vec<&str> {
        let is_of = |note: &&Note| note.mvpds.iter().any(|one| folded(one) == folded(mvpd));
        self.notes.iter().filter(is_of).map(|note| note.mark.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Row;

    #[test]
    fn every_line_has_a_cell_for_each_heading_and_values_stay_values() {
        let row =
            |value: &str| Row { key: vec![value.to_owned()], partial: false, figures: Figures::default() };
        let mut report = Report {
            from: "a".to_owned(),
            to: "b".to_owned(),
            timezone: "UTC".to_owned(),
            discarded: 0,
            without_discarded: false,
            partial: false,
            requestors: Vec::new(),
            by: vec!["mvpd".to_owned()],
            total: Figures { unique_users: Some(7), events: [Some(2); 18], ..Figures::default() },
            mvpds: Vec::new(),
            others: None,
            rows: vec![row("=1+1"), row("One, \"two\"")],
            rows_note: String::new(),
            trend: Vec::new(),
            failures: Vec::new(),
            notes: Vec::new(),
            remarks: Vec::new(),
        };
        let text = csv(&report);
        let lines: Vec<&str> = text.lines().collect();
        // Nothing is known of the rows.
        let unknown = ",".repeat(METRICS.len() + EventKind::COUNT + 1);
        assert_eq!(
            lines[2..],
            [format!("a,b,UTC,row,'=1+1,{unknown}"), format!("a,b,UTC,row,\"One, \"\"two\"\"\",{unknown}")]
        );
        let ones = "1.000000,".repeat(4);
        assert_eq!(lines[1], format!("a,b,UTC,total,,2,2,2,7,2,2,0,{ones},{},", "2,".repeat(18)));
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        report.by.clear();
        assert!(csv(&report).starts_with("from,to,timezone,scope,mvpd,successful_authentications,"));
    }
}
