//! A report as one page: charts and tables that need no network, no script, and print well.
//!
//! Every number carries where in the JSON document it stands, as a JSON Pointer in `data-json`, and its exact value in `data-value`,
//! so that a test in a browser can hold the page against the document.

mod axis;
mod bars;
mod metric;
mod number;
mod tables;
mod trend;

use chrono::{DateTime, FixedOffset};

use super::{Figures, Report};
use crate::html::{document, escaped};
use metric::{
    AUTHENTICATION_CONVERSION, AUTHENTICATIONS, AUTHORIZATION_CONVERSION, AUTHORIZATIONS, Metric, PLAYS,
    USERS,
};

const STYLE: &str = include_str!("style.css");
const TILES: [Metric; 6] =
    [USERS, AUTHENTICATIONS, AUTHORIZATIONS, PLAYS, AUTHENTICATION_CONVERSION, AUTHORIZATION_CONVERSION];

/// The report as a document of HTML.
pub fn page(report: &Report) -> String {
    let period = period(report);
    let body = [
        head(report, &period),
        tiles(&report.total),
        section("Trend", &trend_note(report), &trend::charts(report)),
        bar_charts(report),
        tables::metrics(report),
        tables::rows(report),
        tables::failures(report),
        tables::events(report),
        notes(report),
        remarks(report),
        tables::trend(report),
        meanings(report),
    ]
    .concat();
    document(
        &format!("Adobe Pass: {period}"),
        &(STYLE.to_owned() + &tables::style_of_lists()),
        &format!("<main>\n{body}</main>\n"),
    )
}

/// A part of the page; `note` is plain text, `content` markup.
fn section(heading: &str, note: &str, content: &str) -> String {
    let note =
        if note.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>\n", escaped(note)) };
    format!("<section>\n<h2>{}</h2>\n{note}{content}</section>\n", escaped(heading))
}

fn head(report: &Report, period: &str) -> String {
    let requestors = match report.requestors.as_slice() {
        [] => "All requestors".to_owned(),
        requestors => format!("Requestors {}", requestors.join(", ")),
    };
    format!(
        "<header>\n<p class=\"kind\">Adobe Pass Authentication: server-side metrics</p>\n<h1>{}</h1>\n\
         <p class=\"note\">{}. Days of <span>{}</span>; from <time>{}</time> until <time>{}</time>, the end left out.</p>\n</header>\n",
        escaped(period),
        escaped(&requestors),
        escaped(&report.timezone),
        escaped(&report.from),
        escaped(&report.to),
    )
}

/// `1 March 2026 to 31 March 2026` for whole days, else the two instants.
fn period(report: &Report) -> String {
    let parsed = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let (Some(from), Some(to)) = (parsed(&report.from), parsed(&report.to)) else {
        return format!("{} to {}", report.from, report.to);
    };
    let is_midnight = |at: &DateTime<FixedOffset>| at.time() == chrono::NaiveTime::MIN;
    if !is_midnight(&from) || !is_midnight(&to) {
        let form = "%-d %B %Y %H:%M";
        return format!("{} to {}", from.format(form), to.format(form));
    }
    let form = "%-d %B %Y";
    let first = from.date_naive();
    match to.date_naive().pred_opt() {
        Some(last) if last > first => format!("{} to {}", first.format(form), last.format(form)),
        Some(_) | None => first.format(form).to_string(),
    }
}

fn tiles(total: &Figures) -> String {
    let tiles: String = TILES
        .iter()
        .map(|metric| {
            let number = (metric.value)(total);
            format!(
                "<div class=\"tile\"><dt>{}</dt><dd {}>{}</dd></div>\n",
                escaped(metric.name),
                number.attributes(&format!("/total/{}", metric.key)),
                number.text()
            )
        })
        .collect();
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// Both charts of bars, beside each other where the first is a short one.
fn bar_charts(report: &Report) -> String {
    let conversion = section(
        "Conversion by MVPD",
        "Shares of the attempts that succeeded. A bar that passes 100 % ends there.",
        &bars::conversion(report),
    );
    let failures =
        section("Failures by reason", "As Adobe Pass reports the reason, by event.", &bars::failures(report));
    if report.shown().len() > bars::MVPDS_PER_CHART {
        return conversion + &failures;
    }
    format!("<div class=\"pair\">\n{conversion}{failures}</div>\n")
}

fn trend_note(report: &Report) -> String {
    let is_hourly = report.trend.first().and_then(|row| row.key.first()).is_some_and(|key| key.contains('T'));
    let each = if is_hourly { "hour" } else { "day" };
    let partial = if report.trend.last().is_some_and(|row| row.partial) {
        format!(" The last {each} is still going on.")
    } else {
        String::new()
    };
    format!(
        "One point for each {each}, and an axis for each metric. Users count once in each {each}.{partial}"
    )
}

/// An MVPD's name, or that there is none.
fn mvpd_name(mvpd: &str) -> &str {
    if mvpd.is_empty() { "(no MVPD)" } else { mvpd }
}

/// A reason, or that there is none.
fn reason_name(reason: &str) -> &str {
    if reason.is_empty() { "(no reason given)" } else { reason }
}

fn notes(report: &Report) -> String {
    if report.notes.is_empty() {
        return section("Notes", "What Adobe's page calls usual all holds.", "");
    }
    let items: String = report
        .notes
        .iter()
        .map(|note| {
            let whose = match note.mvpds.as_slice() {
                [] => "All MVPDs together".to_owned(),
                [one] => one.clone(),
                several => format!("{} MVPDs", several.len()),
            };
            format!(
                "<li><strong><bdi>{}</bdi></strong>: usually {}. {}</li>\n",
                escaped(&whose),
                escaped(&note.expected),
                escaped(&note.found)
            )
        })
        .collect();
    section(
        "Notes",
        "Where something is otherwise than Adobe's page calls usual.",
        &format!("<ul>\n{items}</ul>\n"),
    )
}

fn remarks(report: &Report) -> String {
    if report.remarks.is_empty() {
        return String::new();
    }
    let items: String =
        report.remarks.iter().map(|remark| format!("<li>{}</li>\n", escaped(remark))).collect();
    section("Remarks", "", &format!("<ul>\n{items}</ul>\n"))
}

fn meanings(report: &Report) -> String {
    let items: String = tables::metrics_of(report)
        .iter()
        .map(|metric| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(metric.name), escaped(metric.meaning)))
        .collect();
    section(
        "What the metrics mean",
        "After \"Understanding Server-side Metrics\" of Adobe Pass Authentication.",
        &format!("<dl class=\"meanings\">\n{items}</dl>\n"),
    )
}

/// The beginning of a text that is too long for its place.
fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Column, Failure, Note, Row};

    const HOSTILE: &str = "</title><script>\"'&";

    fn report(from: &str, to: &str) -> Report {
        let figures = Figures::default;
        let text = || HOSTILE.to_owned();
        Report {
            from: from.to_owned(),
            to: to.to_owned(),
            timezone: text(),
            requestors: vec![text()],
            by: vec![text()],
            total: figures(),
            mvpds: vec![Column { mvpd: text(), figures: figures() }],
            others: None,
            rows: vec![Row { key: vec![text()], partial: false, figures: figures() }],
            rows_note: text(),
            trend: vec![Row { key: vec![text()], partial: true, figures: figures() }],
            failures: vec![Failure {
                event: text(),
                label: text(),
                reason: text(),
                meaning: text(),
                count: 1,
            }],
            notes: vec![Note { mvpds: vec![text()], expected: text(), found: text() }],
            remarks: vec![text()],
        }
    }

    #[test]
    fn no_text_of_the_report_becomes_markup() {
        let page = page(&report(HOSTILE, HOSTILE));
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("</title>").count(), page.matches("<title").count());
        assert!(page.matches("&lt;/title&gt;&lt;script&gt;&quot;&#39;&amp;").count() > 20);
    }

    #[test]
    fn a_period_is_named_by_its_first_and_last_day() {
        for (from, to, expected) in [
            ("2026-03-01T00:00:00-08:00", "2026-04-01T00:00:00-07:00", "1 March 2026 to 31 March 2026"),
            ("2026-03-01T00:00:00-08:00", "2026-03-02T00:00:00-08:00", "1 March 2026"),
            ("2026-03-01T06:00:00Z", "2026-03-02T00:00:00Z", "1 March 2026 06:00 to 2 March 2026 00:00"),
            ("now", "then", "now to then"),
        ] {
            assert_eq!(period(&report(from, to)), expected);
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("Comcast", 7), "Comcast");
        assert_eq!(cut(&"é".repeat(300), 4), "ééé…");
    }
}
