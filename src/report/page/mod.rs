//! A report as one page of charts and tables. It needs no network and no script, and prints well.
//!
//! For every number, `data-json` has its place in the JSON document (a JSON Pointer), and `data-value` its exact
//! value. So a test in a browser can compare the page with the document.

mod axis;
mod bars;
mod part;
mod tables;
mod trend;

use chrono::{DateTime, FixedOffset};
use maud::{Markup, html};

use super::figures::{Figures, Note, Report};
use super::metric::{
    AUTHENTICATION_CONVERSION, AUTHENTICATIONS, AUTHORIZATION_CONVERSION, AUTHORIZATIONS, Metric, PLAYS,
    USERS,
};
use super::number::thousands;
use crate::html::document;
use part::section;

const STYLE: &str = include_str!("style.css");
const TILES: [Metric; 6] =
    [USERS, AUTHENTICATIONS, AUTHORIZATIONS, PLAYS, AUTHENTICATION_CONVERSION, AUTHORIZATION_CONVERSION];

/// The report as a document of HTML.
pub fn page(report: &Report) -> String {
    let period = period(report);
    let body = html! {
        main {
            (head(report, &period))
            (tiles(&report.total))
            (section("Trend", &trend_note(report), &trend::charts(report)))
            (bar_charts(report))
            (tables::metrics(report))
            (tables::rows(report))
            (tables::failures(report))
            (tables::events(report))
            (notes(&report.notes))
            (remarks(&report.remarks))
            (tables::trend(report))
            (meanings(report))
        }
    };
    document(&format!("Adobe Pass: {period}"), &(STYLE.to_owned() + &tables::style_of_lists()), &body)
}

fn head(report: &Report, period: &str) -> Markup {
    let requestors = match report.requestors.as_slice() {
        [] => "All requestors".to_owned(),
        requestors => format!("Requestors {}", requestors.join(", ")),
    };
    html! {
        header {
            p.kind { "Adobe Pass Authentication: server-side metrics" }
            h1 { (period) }
            p.note {
                (requestors) ". Days of " span { (report.timezone) } "; from " time { (report.from) } " until "
                time { (report.to) } ", the end left out. Units that a person discarded: "
                span data-json="/discarded" data-value=(report.discarded) { (thousands(report.discarded)) }
                @if report.discarded > 0 && report.without_discarded { ", left out" } "."
            }
        }
    }
}

/// Writes `1 March 2026 to 31 March 2026` for whole days, and otherwise the two instants.
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

fn tiles(total: &Figures) -> Markup {
    html! {
        dl.tiles {
            @for (metric, number) in TILES.iter().map(|metric| (metric, (metric.value)(total))) {
                div.tile {
                    dt { (metric.name) }
                    dd data-json={ "/total/" (metric.key) } data-value=(number.exact()) { (number.text()) }
                }
            }
        }
    }
}

/// Both charts of bars, side by side if the first chart is short.
fn bar_charts(report: &Report) -> Markup {
    let note = "Shares of the attempts that succeeded. A bar that passes 100 % ends there.";
    let conversion = section("Conversion by MVPD", note, &bars::conversion(report));
    let note = "As Adobe Pass reports the reason, by event.";
    let failures = section("Failures by reason", note, &bars::failures(report));
    html! {
        @if report.shown().len() > bars::MVPDS_PER_CHART {
            (conversion) (failures)
        } @else {
            div.pair { (conversion) (failures) }
        }
    }
}

fn trend_note(report: &Report) -> String {
    let each = report.trend_unit();
    let is_partial = report.trend.last().is_some_and(|row| row.partial);
    let partial = if is_partial { format!(" The last {each} is still going on.") } else { String::new() };
    format!(
        "One point for each {each}, and an axis for each metric. Users count once in each {each}.{partial}"
    )
}

fn notes(notes: &[Note]) -> Markup {
    if notes.is_empty() {
        return section("Notes", "What Adobe's page calls usual all holds.", &Markup::default());
    }
    let list = html! {
        ul {
            @for Note { mvpds, expected, found, .. } in notes {
                li {
                    strong {
                        bdi {
                            @match mvpds.as_slice() {
                                [] => "All MVPDs together",
                                [one] => (one),
                                several => { (several.len()) " MVPDs" },
                            }
                        }
                    }
                    ": usually " (expected) ". " (found)
                }
                "\n"
            }
        }
    };
    section("Notes", "Where something is otherwise than Adobe's page calls usual.", &list)
}

fn remarks(remarks: &[String]) -> Markup {
    html! {
        @if !remarks.is_empty() {
            (section("Remarks", "", &html! { ul { @for remark in remarks { li { (remark) } } } }))
        }
    }
}

fn meanings(report: &Report) -> Markup {
    let list = html! {
        dl.meanings { @for metric in tables::metrics_of(report) { dt { (metric.name) } dd { (metric.meaning) } } }
    };
    let note = "After \"Understanding Server-side Metrics\" of Adobe Pass Authentication.";
    section("What the metrics mean", note, &list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Column, Failure, Note, Row};

    const HOSTILE: &str = "</title><script>\"'&";

    fn report(from: &str, to: &str) -> Report {
        let figures = || Figures { events: [Some(0); 18], ..Figures::default() };
        let text = || HOSTILE.to_owned();
        Report {
            from: from.to_owned(),
            to: to.to_owned(),
            timezone: text(),
            discarded: 0,
            without_discarded: false,
            partial: false,
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
            notes: vec![Note { mvpds: vec![text()], mark: text(), expected: text(), found: text() }],
            remarks: vec![text()],
        }
    }

    #[test]
    fn no_text_of_the_report_becomes_markup() {
        let page = page(&report(HOSTILE, HOSTILE));
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("</title>").count(), page.matches("<title").count());
        assert!(page.matches("&lt;/title&gt;&lt;script&gt;&quot;'&amp;").count() > 20);
    }

    #[test]
    fn a_trend_of_which_no_point_is_known_says_so() {
        let page = page(&report("now", "then"));
        assert!(page.contains("<figcaption>Unique users: not known, see Remarks</figcaption>"), "{page}");
        assert_eq!(page.matches(": not known, see Remarks").count(), 1);
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
}
