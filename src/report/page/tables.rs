//! The tables below the charts.

use super::metric::{METRICS, Metric, PUBLISHED, event_name, reason_meaning};
use super::number::Number;
use super::{cut, mvpd_name, reason_name, section};
use crate::event::EventKind;
use crate::html::escaped;
use crate::report::{Failure, Figures, Report, Row};

/// MVPDs beside each other on paper; more stand in further tables below.
const MVPDS_PER_SHEET: usize = 6;
/// Characters of an MVPD's name at the head of its column; the pointer shows it whole.
const NAME_CHARS_MAX: usize = 60;
/// Rows of a table that a browser still shows at once; the JSON document has them all.
const ROWS_MAX: usize = 5_000;

/// A line of a table with a column for each MVPD.
struct Line {
    name: String,
    /// Its place in the JSON document, below the MVPD.
    place: String,
    value: Box<dyn Fn(&Figures) -> Number>,
}

/// The table of Adobe's page, and what follows from it.
pub(super) fn metrics(report: &Report) -> String {
    let line = |metric: &Metric| Line {
        name: metric.name.to_owned(),
        place: metric.key.to_owned(),
        value: Box::new(metric.value),
    };
    let (published, derived) = METRICS.split_at(PUBLISHED);
    let groups = [
        ("As Adobe publishes them", published.iter().map(line).collect::<Vec<_>>()),
        ("What follows", derived.iter().map(line).collect()),
    ];
    section(
        "Metrics by MVPD",
        "The total counts a user once, whatever the MVPDs and requestors.",
        &by_mvpd(report, "Metrics by MVPD", &groups),
    )
}

/// Units of all eighteen events.
pub(super) fn events(report: &Report) -> String {
    let line = |(index, kind): (usize, EventKind)| Line {
        name: event_name(kind),
        place: format!("events/{index}"),
        value: Box::new(move |figures| Number::Count(figures.events[index])),
    };
    let groups = [("Events", EventKind::ALL.into_iter().enumerate().map(line).collect::<Vec<_>>())];
    section(
        "All events by MVPD",
        "How often each event happened.",
        &by_mvpd(report, "All events by MVPD", &groups),
    )
}

/// One wide table for the screen; for paper the same in parts that fit, where it does not.
fn by_mvpd(report: &Report, caption: &str, groups: &[(&str, Vec<Line>)]) -> String {
    let all: Vec<usize> = (0..report.mvpds.len()).collect();
    if all.len() <= MVPDS_PER_SHEET {
        return part(report, caption, groups, &all, "");
    }
    let parts: String = all
        .chunks(MVPDS_PER_SHEET)
        .map(|part_of| {
            let (first, last) = (part_of[0] + 1, part_of[part_of.len() - 1] + 1);
            part(report, &format!("{caption}: {first} to {last} of {}", all.len()), groups, part_of, "paper")
        })
        .collect();
    format!("{}{parts}", part(report, caption, groups, &all, "screen"))
}

fn part(
    report: &Report,
    caption: &str,
    groups: &[(&str, Vec<Line>)],
    mvpds: &[usize],
    class: &str,
) -> String {
    let names: String = mvpds.iter().map(|index| mvpd_heading(&report.mvpds[*index].mvpd)).collect();
    let columns = mvpds.len() + 2;
    let body: String = groups
        .iter()
        .map(|(name, lines)| {
            let lines: String = lines.iter().map(|line| mvpd_line(report, line, mvpds)).collect();
            let heading = match groups.len() {
                1 => String::new(),
                _ => format!("<tr class=\"group\"><th colspan=\"{columns}\" scope=\"rowgroup\"><span>{name}</span></th></tr>\n"),
            };
            format!("<tbody>\n{heading}{lines}</tbody>\n")
        })
        .collect();
    framed(
        class,
        caption,
        &format!(
            "<table class=\"wide\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">Metric</th>{names}\
             <th scope=\"col\" class=\"total\">Total</th></tr></thead>\n{body}</table>\n",
            escaped(caption)
        ),
    )
}

/// A frame that scrolls where the table is wider than the screen, with the keyboard too.
fn framed(class: &str, label: &str, table: &str) -> String {
    format!(
        "<div class=\"frame {class}\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{table}</div>\n",
        escaped(label)
    )
}

fn mvpd_heading(mvpd: &str) -> String {
    let class = if mvpd.is_empty() { " class=\"unnamed\"" } else { "" };
    let name = escaped(mvpd_name(mvpd));
    let shown = escaped(&cut(mvpd_name(mvpd), NAME_CHARS_MAX));
    format!("<th scope=\"col\"{class} title=\"{name}\"><bdi>{shown}</bdi></th>")
}

fn mvpd_line(report: &Report, line: &Line, mvpds: &[usize]) -> String {
    let cells: String = mvpds
        .iter()
        .map(|index| {
            cell((line.value)(&report.mvpds[*index].figures), &format!("/mvpds/{index}/{}", line.place), "")
        })
        .collect();
    let total = cell((line.value)(&report.total), &format!("/total/{}", line.place), " class=\"total\"");
    format!("<tr><th scope=\"row\">{}</th>{cells}{total}</tr>\n", escaped(&line.name))
}

fn cell(number: Number, pointer: &str, class: &str) -> String {
    format!("<td{class} {}>{}</td>", number.attributes(pointer), number.text())
}

/// The rows that `--by` asked for.
pub(super) fn rows(report: &Report) -> String {
    if report.by.is_empty() {
        return String::new();
    }
    let heading = format!("By {}", report.by.join(", "));
    section(&heading, "", &table_of_rows(&heading, &report.by, &report.rows, "rows"))
}

/// The trend in figures, folded: nobody reads four hundred days before the rest.
pub(super) fn trend(report: &Report) -> String {
    let table = table_of_rows("The trend in figures", &["day".to_owned()], &report.trend, "trend");
    section(
        "The trend in figures",
        "",
        &format!(
            "<details>\n<summary>Show, and print, the figures of each point</summary>\n{table}</details>\n"
        ),
    )
}

fn table_of_rows(caption: &str, by: &[String], rows: &[Row], place: &str) -> String {
    let keys: String =
        by.iter().map(|name| format!("<th scope=\"col\" class=\"text\">{}</th>", escaped(name))).collect();
    let names: String = METRICS
        .iter()
        .map(|metric| format!("<th scope=\"col\">{}</th>", escaped(&metric.short_name())))
        .collect();
    let body: String = rows
        .iter()
        .take(ROWS_MAX)
        .enumerate()
        .map(|(index, row)| {
            let keys: String = row
                .key
                .iter()
                .map(|key| format!("<th scope=\"row\"><bdi>{}</bdi></th>", escaped(key)))
                .collect();
            let number = |metric: &Metric| {
                cell((metric.value)(&row.figures), &format!("/{place}/{index}/{}", metric.key), "")
            };
            format!("<tr>{keys}{}</tr>\n", METRICS.iter().map(number).collect::<String>())
        })
        .collect();
    let left_out = match rows.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!(
            "<p class=\"none\">{} more rows stand in the JSON document and in CSV.</p>\n",
            super::number::thousands(more as u64)
        ),
    };
    let table = format!(
        "<table class=\"rows\">\n<caption>{}</caption>\n<thead><tr>{keys}{names}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n",
        escaped(caption)
    );
    format!("{}{left_out}", framed("", caption, &table))
}

/// Every failure with what Adobe says of its reason.
pub(super) fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let line = |(index, failure): (usize, &Failure)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"text\"><bdi>{}</bdi></td>{}<td class=\"text\">{}</td></tr>\n",
            escaped(&failure.label),
            escaped(reason_name(&failure.reason)),
            cell(Number::Count(failure.count), &format!("/failures/{index}/count"), ""),
            escaped(reason_meaning(&failure.reason))
        )
    };
    let body: String = report.failures.iter().take(ROWS_MAX).enumerate().map(line).collect();
    let table = format!(
        "<table class=\"failures\">\n<caption>Failures</caption>\n<thead><tr><th scope=\"col\">Event</th><th scope=\"col\" class=\"text\">Reason\
         </th><th scope=\"col\">Count</th><th scope=\"col\" class=\"text\">What the reason means</th></tr></thead>\n<tbody>\n{body}</tbody>\n\
         </table>\n"
    );
    section("Failures", "", &framed("", "Failures", &table))
}
