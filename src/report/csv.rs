//! A report as CSV, for spreadsheets: a line for the total and for each MVPD, or for each row.

use super::{Figures, Report};
use crate::event::EventKind;

/// The figures of a line before the units of each event.
const FIGURES: [&str; 12] = [
    "successful_authentications",
    "successful_authorizations",
    "successful_play_requests",
    "unique_users",
    "attempted_authentications",
    "attempted_authorizations",
    "unsuccessful_authentications",
    "authentication_conversion",
    "authentication_ratio",
    "authorization_conversion",
    "authorization_ratio",
    "synthetic_users",
];

/// What stands behind the units of events.
const BEHIND: [&str; 2] = ["stated_unique_accounts", "note"];

/// The report as CSV (RFC 4180, with line feeds): `from`, `to`, `timezone`, `scope`, then what it is grouped by (`mvpd` without
/// `--by`), the figures, and the units of event1 to event18 by their names. `scope` is `total` or `mvpd`, and with `--by`
/// `total` or `row`. A rate without an attempt is empty, and so is a number of users that nobody
/// knows. Behind the units stand the unique accounts that ESM stated, and a note on the row: `partial`, or of what it is made.
///
/// A value that a spreadsheet would take for a formula gets an apostrophe in front.
pub fn csv(report: &Report) -> String {
    let mut text = String::new();
    let by: Vec<&str> =
        if report.by.is_empty() { vec!["mvpd"] } else { report.by.iter().map(String::as_str).collect() };
    let head = ["from", "to", "timezone", "scope"].into_iter().chain(by.iter().copied());
    line(
        &mut text,
        head.chain(FIGURES).chain(EventKind::ALL.map(EventKind::name)).chain(BEHIND).map(str::to_owned),
    );
    let mut add = |scope: &str, key: &[String], figures: &Figures, note: &str| {
        let head =
            [&report.from, &report.to, &report.timezone].into_iter().cloned().chain([scope.to_owned()]);
        let key = (0..by.len()).map(|index| key.get(index).map_or(String::new(), |value| harmless(value)));
        let stated = [known(figures.stated_unique_accounts), harmless(note)];
        line(&mut text, head.chain(key).chain(values(figures)).chain(stated));
    };
    add("total", &[], &report.total, "");
    if report.by.is_empty() {
        report
            .mvpds
            .iter()
            .for_each(|column| add("mvpd", std::slice::from_ref(&column.mvpd), &column.figures, ""));
    }
    for row in &report.rows {
        let partial = if row.partial { "partial" } else { "" };
        let notes: Vec<&str> =
            [partial, &report.rows_note].into_iter().filter(|note| !note.is_empty()).collect();
        add("row", &row.key, &row.figures, &notes.join("; "));
    }
    text
}

/// A figure that nobody knows is empty.
fn known(figure: Option<u64>) -> String {
    figure.map_or(String::new(), |figure| figure.to_string())
}

fn values(figures: &Figures) -> impl Iterator<Item = String> {
    let rate = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!("{rate:.6}"));
    let named = [
        figures.successful_authentications.to_string(),
        figures.successful_authorizations.to_string(),
        figures.successful_play_requests.to_string(),
        known(figures.unique_users),
        figures.attempted_authentications.to_string(),
        figures.attempted_authorizations.to_string(),
        figures.unsuccessful_authentications.to_string(),
        rate(figures.authentication_conversion),
        rate(figures.authentication_ratio),
        rate(figures.authorization_conversion),
        rate(figures.authorization_ratio),
        known(figures.synthetic_users),
    ];
    named.into_iter().chain(figures.events.map(|units| units.to_string()))
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.map(quoted).collect();
    text.push_str(&cells.join(","));
    text.push('\n');
}

fn quoted(cell: String) -> String {
    let needs = cell.contains([',', '"', '\n', '\r']);
    if needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// Values come from outside, and a spreadsheet runs what begins like a formula.
fn harmless(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{value}") } else { value.to_owned() }
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
            requestors: Vec::new(),
            by: vec!["mvpd".to_owned()],
            total: Figures { authentication_ratio: Some(1.5), ..Figures::default() },
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
        let zeros = "0,0,0,,0,0,0,,,,,,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0";
        assert_eq!(
            lines[2..],
            [format!("a,b,UTC,row,'=1+1,{zeros},,"), format!("a,b,UTC,row,\"One, \"\"two\"\"\",{zeros},,")]
        );
        assert_eq!(lines[1], format!("a,b,UTC,total,,{},,", zeros.replacen("0,,,,,,", "0,,1.500000,,,,", 1)));
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        report.by.clear();
        assert!(csv(&report).starts_with("from,to,timezone,scope,mvpd,successful_authentications,"));
    }
}
