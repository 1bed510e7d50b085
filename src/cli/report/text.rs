//! A report as text: Adobe's table (rows are metrics, columns are MVPDs), then more figures of Adobe's page.

use std::fmt;

use crate::cli::Table;
use crate::cli::table::write_notes;
use crate::event::EventKind;
use crate::report::{Figures, Report, Row, percent};

/// How many MVPDs stand side by side before the total. With the longest headings, a line has 100 characters.
const MVPDS_A_BLOCK: usize = 4;
/// The longest name of an MVPD in a heading. Longer names are cut to this length if they stay different.
const HEADING_CHARS_MAX: usize = 13;
/// The most failures in the text; `--json` has all.
const FAILURES_SHOWN: usize = 20;

type Metric = (&'static str, fn(&Figures) -> String);

/// The metrics in the order of Adobe's page ("Events Summary", "Example"), then those that the page describes.
const METRICS: [Metric; 27] = [
    ("Successful Authentications", |of| known(of.units(EventKind::AuthnOk))),
    ("Successful Authorizations", |of| known(of.units(EventKind::AuthzOk))),
    ("Successful Play Requests", |of| known(of.units(EventKind::PlayRequested))),
    ("Unique Users", |of| known(of.unique_users)),
    ("Attempted Authentications", |of| known(of.units(EventKind::AuthnRequested))),
    ("Attempted Authorizations", |of| known(of.units(EventKind::AuthzRequested))),
    ("", |_| String::new()),
    ("Unsuccessful Authentications", |of| known(of.unsuccessful_authentications())),
    ("Authentication conversion", |of| share(of.ratio(EventKind::AuthnOk, EventKind::AuthnRequested))),
    ("  requests / granted", |of| ratio(of.ratio(EventKind::AuthnRequested, EventKind::AuthnOk))),
    ("Authorization conversion", |of| share(of.ratio(EventKind::AuthzOk, EventKind::AuthzRequested))),
    ("  requests / granted", |of| ratio(of.ratio(EventKind::AuthzRequested, EventKind::AuthzOk))),
    ("Pending Authentications", |of| known(of.units(EventKind::AuthnPending))),
    ("Failed Authentications", |of| known(of.units(EventKind::AuthnFailed))),
    ("Denied Authorizations", |of| known(of.units(EventKind::AuthzFailed))),
    ("Failed Play Requests", |of| known(of.units(EventKind::PlayFailed))),
    ("Logout requests", |of| known(of.units(EventKind::LogoutRequested))),
    ("Logouts completed", |of| known(of.units(EventKind::LogoutCompleted))),
    ("Logouts failed", |of| known(of.units(EventKind::LogoutFailed))),
    ("Preauthorization requests", |of| known(of.units(EventKind::PreflightRequested))),
    ("Preauthorizations granted", |of| known(of.units(EventKind::PreflightGranted))),
    ("Preauthorizations denied", |of| known(of.units(EventKind::PreflightDenied))),
    ("Preauthorizations failed", |of| known(of.units(EventKind::PreflightFailed))),
    ("Clientless tokens OK", |of| known(of.units(EventKind::ClientlessTokenOk))),
    ("Clientless tokens failed", |of| known(of.units(EventKind::ClientlessTokenFailed))),
    ("Synthetic users (apart)", |of| known(of.synthetic_users)),
    ("Unique accounts (ESM stated)", |of| known(of.stated_unique_accounts)),
];

/// The number of metrics in Adobe's table. They are shown even if all values are 0.
const PUBLISHED: usize = 6;

fn known(figure: Option<impl fmt::Display>) -> String {
    figure.map_or("-".to_owned(), |figure| figure.to_string())
}

fn share(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| percent(rate).replace('\u{a0}', " "))
}

fn ratio(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{rate:.2}"))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { from, to, timezone, requestors, notes, remarks, .. } = self;
        writeln!(out, "server-side metrics on the clock of {timezone}")?;
        writeln!(out, "from {from} until before {to}")?;
        if !requestors.is_empty() {
            writeln!(out, "of {} only", requestors.join(", "))?;
        }
        if self.by.is_empty() {
            write_columns(out, self)?;
        } else {
            write_rows(out, self)?;
        }
        write_failures(out, self)?;
        for note in notes {
            let of = match note.mvpds.as_slice() {
                [] => "total".to_owned(),
                [one] => one.clone(),
                several => format!("{} MVPDs", several.len()),
            };
            writeln!(out, "\nnote, {of}: usually {}; here {}", note.expected, note.found)?;
        }
        remarks.iter().try_for_each(|remark| writeln!(out, "\n{remark}"))
    }
}

/// Adobe's table in blocks of a few MVPDs, the largest first. Each block ends with the total.
fn write_columns(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let headings = report.short_names(HEADING_CHARS_MAX, "(none)").into_iter();
    let shown = report.shown().iter().map(|column| &column.figures);
    let mut columns: Vec<(String, &Figures)> = headings.zip(shown).collect();
    if let Some(others) = &report.others {
        columns.push((format!("{} others", others.mvpds), &others.figures));
    }
    let blocks = columns.chunks(MVPDS_A_BLOCK);
    if blocks.len() == 0 {
        return write_block(out, &[], &report.total);
    }
    for block in blocks {
        write_block(out, block, &report.total)?;
    }
    if report.others.is_some() {
        writeln!(
            out,
            "\n{} MVPDs, the largest first; --csv and --by mvpd have a line for each",
            report.mvpds.len()
        )?;
    }
    Ok(())
}

fn write_block(out: &mut fmt::Formatter<'_>, block: &[(String, &Figures)], total: &Figures) -> fmt::Result {
    let names = block.iter().map(|(heading, _)| heading.as_str());
    let headings: Vec<&str> = ["Metric"].into_iter().chain(names).chain(["Total"]).collect();
    let figures: Vec<&Figures> = block.iter().map(|(_, figures)| *figures).chain([total]).collect();
    let mut table = Table::of_figures(&headings);
    for (index, (name, value)) in METRICS.iter().enumerate() {
        let cells: Vec<String> = figures.iter().map(|figures| value(figures)).collect();
        // Metrics outside Adobe's table are left out if all values are 0.
        if index <= PUBLISHED || cells.iter().any(|cell| cell != "0" && cell != "-") {
            let cells = cells.iter().map(|cell| cell as &dyn fmt::Display);
            table.row(&[name as &dyn fmt::Display].into_iter().chain(cells).collect::<Vec<_>>());
        }
    }
    table.write_below(out)
}

/// One line for each row: the six metrics of Adobe's table, the success rates and, if ESM stated any, its accounts.
fn write_rows(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let headings =
        ["AuthN OK", "AuthZ OK", "plays", "users", "AuthN tried", "AuthZ tried", "AuthN %", "AuthZ %"];
    let has_stated = report.rows.iter().any(|row| row.figures.stated_unique_accounts.is_some());
    let headings = report.by.iter().map(String::as_str).chain(headings);
    let headings: Vec<&str> = headings.chain(has_stated.then_some("accounts (ESM)")).collect();
    let mut table = Table::new(&headings);
    let mut add = |key: Vec<String>, figures: &Figures| {
        let shares = [
            (EventKind::AuthnOk, EventKind::AuthnRequested),
            (EventKind::AuthzOk, EventKind::AuthzRequested),
        ];
        let shares = shares.map(|(of, to)| format!("{:>7}", share(figures.ratio(of, to))));
        let stated = has_stated.then(|| known(figures.stated_unique_accounts));
        let of = METRICS[..PUBLISHED].iter().map(|(_, value)| value(figures)).chain(shares).chain(stated);
        let cells: Vec<String> = key.into_iter().chain(of).collect();
        table.row(&cells.iter().map(|cell| cell as &dyn fmt::Display).collect::<Vec<_>>());
    };
    for Row { key, partial, figures } in &report.rows {
        let shown = |value: &String| if value.is_empty() { "(none)".to_owned() } else { value.clone() };
        let mut key: Vec<String> = key.iter().map(shown).collect();
        if *partial {
            key[0].push_str(" (so far)");
        }
        add(key, figures);
    }
    let mut last = vec![String::new(); report.by.len()];
    last[0] = "TOTAL".to_owned();
    add(last, &report.total);
    if !report.rows_note.is_empty() {
        writeln!(out, "\n{}", report.rows_note)?;
    }
    write!(out, "\n{table}")
}

fn write_failures(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let mut table = Table::new(&["failures", "event", "reason", "meaning"]);
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        let reason = if failure.reason.is_empty() { "(none given)" } else { &failure.reason };
        table.row(&[&failure.count, &failure.label, &reason, &failure.meaning]);
    }
    table.write_below(out)?;
    let more = report.failures.len().saturating_sub(FAILURES_SHOWN) as u64;
    write_notes(out, [(more, format!("and {more} more kinds: --json has all"))])
}
