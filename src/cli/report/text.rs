//! A report as text: Adobe's table, metrics as rows and MVPDs as columns, then what its page speaks of besides.

use std::fmt;

use super::Shown;
use crate::cli::table::Table;
use crate::event::EventKind;
use crate::report::{Column, Figures, Report, Row};

/// Columns of MVPDs beside each other, the total not among them: with the longest headings, a hundred characters.
const MVPDS_A_BLOCK: usize = 4;
/// The longest name of an MVPD that heads a column.
const HEADING_CHARS_MAX: usize = 13;
/// The most failures that are listed; `--json` has all.
const FAILURES_SHOWN: usize = 20;

/// A line of the table.
struct Metric {
    name: &'static str,
    value: fn(&Figures) -> String,
}

/// The metrics of Adobe's page ("Events Summary", "Example"), in its order, then those that it describes.
const METRICS: [Metric; 26] = [
    Metric { name: "Successful Authentications", value: |of| of.successful_authentications.to_string() },
    Metric { name: "Successful Authorizations", value: |of| of.successful_authorizations.to_string() },
    Metric { name: "Successful Play Requests", value: |of| of.successful_play_requests.to_string() },
    Metric { name: "Unique Users", value: |of| of.unique_users.to_string() },
    Metric { name: "Attempted Authentications", value: |of| of.attempted_authentications.to_string() },
    Metric { name: "Attempted Authorizations", value: |of| of.attempted_authorizations.to_string() },
    Metric { name: "", value: |_| String::new() },
    Metric { name: "Unsuccessful Authentications", value: |of| of.unsuccessful_authentications.to_string() },
    Metric { name: "Authentication conversion", value: |of| share(of.authentication_conversion) },
    Metric { name: "  requests / granted", value: |of| ratio(of.authentication_ratio) },
    Metric { name: "Authorization conversion", value: |of| share(of.authorization_conversion) },
    Metric { name: "  requests / granted", value: |of| ratio(of.authorization_ratio) },
    Metric { name: "Pending Authentications", value: |of| units(of, EventKind::AuthnPending) },
    Metric { name: "Failed Authentications", value: |of| units(of, EventKind::AuthnFailed) },
    Metric { name: "Denied Authorizations", value: |of| units(of, EventKind::AuthzFailed) },
    Metric { name: "Failed Play Requests", value: |of| units(of, EventKind::PlayFailed) },
    Metric { name: "Logout requests", value: |of| units(of, EventKind::LogoutRequested) },
    Metric { name: "Logouts completed", value: |of| units(of, EventKind::LogoutCompleted) },
    Metric { name: "Logouts failed", value: |of| units(of, EventKind::LogoutFailed) },
    Metric { name: "Preauthorization requests", value: |of| units(of, EventKind::PreflightRequested) },
    Metric { name: "Preauthorizations granted", value: |of| units(of, EventKind::PreflightGranted) },
    Metric { name: "Preauthorizations denied", value: |of| units(of, EventKind::PreflightDenied) },
    Metric { name: "Preauthorizations failed", value: |of| units(of, EventKind::PreflightFailed) },
    Metric { name: "Clientless tokens OK", value: |of| units(of, EventKind::ClientlessTokenOk) },
    Metric { name: "Clientless tokens failed", value: |of| units(of, EventKind::ClientlessTokenFailed) },
    Metric { name: "Synthetic users (apart)", value: |of| of.synthetic_users.to_string() },
];

fn units(figures: &Figures, kind: EventKind) -> String {
    figures.events[usize::from(kind.slot() - 1)].to_string()
}

fn share(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

fn ratio(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{rate:.2}"))
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { from, to, timezone, requestors, notes, remarks, .. } = &self.0;
        writeln!(out, "server-side metrics on the clock of {timezone}")?;
        writeln!(out, "from {from} until before {to}")?;
        if !requestors.is_empty() {
            writeln!(out, "of {} only", requestors.join(", "))?;
        }
        if self.0.by.is_empty() {
            write_columns(out, &self.0)?;
        } else {
            write_rows(out, &self.0)?;
        }
        write_failures(out, &self.0)?;
        for note in notes {
            let of = if note.mvpd.is_empty() { "total" } else { &note.mvpd };
            writeln!(out, "\nnote, {of}: {} does not hold: {}", note.expected, note.found)?;
        }
        remarks.iter().try_for_each(|remark| writeln!(out, "\n{remark}"))
    }
}

/// Adobe's table: the most played MVPDs first, a few beside each other, each block with the total at its end.
fn write_columns(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let mut columns: Vec<&Column> = report.mvpds.iter().collect();
    columns.sort_by_key(|column| std::cmp::Reverse(column.figures.successful_play_requests));
    let blocks = columns.chunks(MVPDS_A_BLOCK);
    if blocks.len() == 0 {
        return write_block(out, &[], &report.total);
    }
    for block in blocks {
        write_block(out, block, &report.total)?;
    }
    if columns.len() > MVPDS_A_BLOCK {
        writeln!(out, "\n{} MVPDs, the most played first; --by mvpd has a line for each", columns.len())?;
    }
    Ok(())
}

fn write_block(out: &mut fmt::Formatter<'_>, block: &[&Column], total: &Figures) -> fmt::Result {
    let figures: Vec<&Figures> = block.iter().map(|column| &column.figures).chain([total]).collect();
    let mut lines =
        vec![("Metric".to_owned(), block.iter().map(|column| heading(&column.mvpd)).collect::<Vec<_>>())];
    lines[0].1.push("Total".to_owned());
    for Metric { name, value } in &METRICS {
        lines.push(((*name).to_owned(), figures.iter().map(|figures| value(figures)).collect()));
    }
    let name_width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().map(|(_, cells)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..figures.len()).map(width).collect();
    writeln!(out)?;
    for (name, cells) in &lines {
        let mut line = format!("  {name:<name_width$}");
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn heading(mvpd: &str) -> String {
    match mvpd.chars().count() {
        0 => "(none)".to_owned(),
        1..=HEADING_CHARS_MAX => mvpd.to_owned(),
        _ => mvpd.chars().take(HEADING_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

/// A line for each row, with the six metrics of Adobe's table and the share granted.
fn write_rows(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let headings =
        ["AuthN OK", "AuthZ OK", "plays", "users", "AuthN tried", "AuthZ tried", "AuthN %", "AuthZ %"];
    let headings: Vec<&str> = report.by.iter().map(String::as_str).chain(headings).collect();
    let mut table = Table::new(&headings);
    let mut add = |key: Vec<String>, figures: &Figures| {
        let of = [
            figures.successful_authentications.to_string(),
            figures.successful_authorizations.to_string(),
            figures.successful_play_requests.to_string(),
            figures.unique_users.to_string(),
            figures.attempted_authentications.to_string(),
            figures.attempted_authorizations.to_string(),
            format!("{:>7}", share(figures.authentication_conversion)),
            format!("{:>7}", share(figures.authorization_conversion)),
        ];
        let cells: Vec<&dyn fmt::Display> =
            key.iter().chain(&of).map(|cell| cell as &dyn fmt::Display).collect();
        table.row(&cells);
    };
    for Row { key, figures } in &report.rows {
        let shown = |value: &String| if value.is_empty() { "(none)".to_owned() } else { value.clone() };
        add(key.iter().map(shown).collect(), figures);
    }
    let mut last = vec![String::new(); report.by.len()];
    last[0] = "TOTAL".to_owned();
    add(last, &report.total);
    write!(out, "\n{table}")
}

fn write_failures(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    if report.failures.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["failures", "event", "reason"]);
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        let reason = if failure.reason.is_empty() { "(none given)" } else { &failure.reason };
        table.row(&[&failure.count, &failure.label, &reason]);
    }
    write!(out, "\n{table}")?;
    let more = report.failures.len().saturating_sub(FAILURES_SHOWN);
    if more > 0 { writeln!(out, "  and {more} more kinds: --json has all") } else { Ok(()) }
}
