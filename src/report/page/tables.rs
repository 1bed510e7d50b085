//! The tables below the charts: a row for each MVPD, or for what `--by` asked for, and a column for each figure.
//!
//! No table scrolls sideways, because of a number at the edge of what scrolls nobody sees that digits are missing. Where a table
//! is wider than the screen, each of its rows becomes a list of names and figures.

use super::metric::{METRICS, Metric, STATED, event_name};
use super::number::Number;
use super::{cut, mvpd_name, reason_name, section};
use crate::event::EventKind;
use crate::html::escaped;
use crate::report::{Failure, Figures, Report, Row};

/// Characters of an MVPD's name beside its figures; the pointer shows it whole.
const NAME_CHARS_MAX: usize = 60;
/// Rows of a table that a browser still shows at once; the JSON document has them all.
const ROWS_MAX: usize = 5_000;
/// The events of a table, by slot: all eighteen beside each other fit on no screen.
const EVENT_TABLES: [(&str, &[u8]); 4] = [
    ("Authentications", &[1, 2, 3, 8, 9, 10]),
    ("Authorizations and play requests", &[4, 5, 6, 7, 11]),
    ("Logouts", &[12, 13, 14]),
    ("Preauthorizations", &[15, 16, 17, 18]),
];
/// The widest that a digit is in any font of the page, in tenths of a pixel.
const DIGIT_TENTHS: usize = 83;
/// What a cell has around its number, the least width of a column, which its heading needs, and that of a name or key, which
/// breaks where it is longer; in pixels.
const AROUND: usize = 14;
const COLUMN_MIN: usize = 84;
const NAME: usize = 150;
/// What the page leaves free beside a table, and how wide a table can be on any screen, in pixels.
const BESIDE: usize = 64;
const TABLE_MAX: usize = 1_270;
/// The widths of screens, in rem of 16 pixels, up to which rows become lists.
const STEPS: [usize; 5] = [30, 45, 60, 70, 84];

/// What makes lists of the rows of tables that are too wide, for each of the steps.
pub(super) fn style_of_lists() -> String {
    const LIST: &str = "T, T tbody { display: block } T thead { display: none } \
        T tr { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 0 1.5rem; padding: .5rem .7rem .7rem; border-bottom: 1px solid var(--rule) } \
        T tr > * { display: flex; justify-content: space-between; gap: 1rem; padding: .12rem 0; background: none !important; white-space: normal; max-width: none !important } \
        T th[scope=\"row\"] { grid-column: 1 / -1; font-weight: 650; border: 0 } \
        T td { align-items: baseline } T td::before { content: attr(data-label); color: var(--quiet); text-align: left } ";
    let steps = STEPS.iter().map(|step| {
        format!(
            "@media screen and (max-width: {step}rem) {{ {}}}\n",
            LIST.replace("T ", &format!(".fit-{step} ")).replace("T,", &format!(".fit-{step},"))
        )
    });
    let always =
        format!("@media screen {{ {}}}\n", LIST.replace("T ", ".fit-none ").replace("T,", ".fit-none,"));
    steps.chain([always]).collect()
}

/// A figure of a table.
struct Figure {
    name: String,
    /// Its place in the JSON document, below that of the row.
    place: String,
    value: Box<dyn Fn(&Figures) -> Number>,
}

/// A row of a table.
struct Line<'r> {
    heads: String,
    /// Its place in the JSON document.
    place: String,
    class: &'static str,
    figures: &'r Figures,
}

/// The metrics that a report shows.
pub(super) fn metrics_of(report: &Report) -> Vec<&'static Metric> {
    let columns = report.mvpds.iter().map(|column| &column.figures);
    let rows = report.rows.iter().chain(&report.trend).map(|row| &row.figures);
    let has_stated =
        columns.chain(rows).chain([&report.total]).any(|figures| figures.stated_unique_accounts.is_some());
    METRICS.iter().chain(has_stated.then_some(&STATED)).collect()
}

fn figures_of(report: &Report) -> Vec<Figure> {
    let figure = |metric: &Metric| Figure {
        name: metric.heading.to_owned(),
        place: metric.key.to_owned(),
        value: Box::new(metric.value),
    };
    metrics_of(report).into_iter().map(figure).collect()
}

/// The metrics of Adobe's page, and what follows from them.
pub(super) fn metrics(report: &Report) -> String {
    let caption = "Metrics by MVPD";
    let others = match report.others {
        Some(_) => " The largest MVPDs stand by themselves and the others together; CSV has each.",
        None => "",
    };
    section(
        caption,
        &format!("The total counts a user once, whatever the MVPDs and requestors.{others}"),
        &table(caption, &["MVPD".to_owned()], &figures_of(report), &by_mvpd(report)),
    )
}

/// Units of all events that happened.
pub(super) fn events(report: &Report) -> String {
    let units = |kind: EventKind| report.total.events[usize::from(kind.slot() - 1)];
    let figure = |kind: EventKind| {
        let index = usize::from(kind.slot() - 1);
        Figure {
            name: event_name(kind),
            place: format!("events/{index}"),
            value: Box::new(move |figures| Number::Count(figures.events[index])),
        }
    };
    let one = |(caption, slots): &(&str, &[u8])| {
        let kinds = slots.iter().filter_map(|slot| EventKind::from_slot(*slot));
        let figures: Vec<Figure> = kinds.filter(|kind| units(*kind) > 0).map(figure).collect();
        if figures.is_empty() {
            return String::new();
        }
        format!("<h3>{caption}</h3>\n{}", table(caption, &["MVPD".to_owned()], &figures, &by_mvpd(report)))
    };
    let tables: String = EVENT_TABLES.iter().map(one).collect();
    let none: Vec<String> =
        EventKind::ALL.into_iter().filter(|kind| units(*kind) == 0).map(event_name).collect();
    let left_out =
        if none.is_empty() { String::new() } else { format!(" None of these: {}.", none.join(", ")) };
    section("All events by MVPD", &format!("How often each event happened.{left_out}"), &tables)
}

/// A line for each MVPD that is shown, for the others, and for the total.
fn by_mvpd(report: &Report) -> Vec<Line<'_>> {
    let head = |name: &str, class: &str| {
        let (whole, shown) = (escaped(name), escaped(&cut(name, NAME_CHARS_MAX)));
        format!("<th scope=\"row\"{class} title=\"{whole}\"><bdi>{shown}</bdi></th>")
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (index, column) in report.shown().iter().enumerate() {
        let class = if column.mvpd.is_empty() { " class=\"unnamed\"" } else { "" };
        let heads = head(mvpd_name(&column.mvpd), class);
        lines.push(Line { heads, place: format!("/mvpds/{index}"), class: "", figures: &column.figures });
    }
    if let Some(others) = &report.others {
        let name =
            format!("<span data-json=\"/others/mvpds\" data-value=\"{0}\">{0}</span> others", others.mvpds);
        let heads = format!("<th scope=\"row\">{name}</th>");
        lines.push(Line { heads, place: "/others".to_owned(), class: "", figures: &others.figures });
    }
    let heads = head("Total", "");
    lines.push(Line { heads, place: "/total".to_owned(), class: " class=\"total\"", figures: &report.total });
    lines
}

/// The rows that `--by` asked for.
pub(super) fn rows(report: &Report) -> String {
    if report.by.is_empty() {
        return String::new();
    }
    let heading = format!("By {}", report.by.join(", "));
    section(&heading, &report.rows_note, &table_of_rows(report, &heading, &report.by, &report.rows, "rows"))
}

/// The trend in figures, folded: nobody reads four hundred days before the rest.
pub(super) fn trend(report: &Report) -> String {
    let is_hourly = report.trend.first().and_then(|row| row.key.first()).is_some_and(|key| key.contains('T'));
    let by = [if is_hourly { "hour" } else { "day" }.to_owned()];
    let table = table_of_rows(report, "The trend in figures", &by, &report.trend, "trend");
    section(
        "The trend in figures",
        "",
        &format!(
            "<details>\n<summary>Show, and print, the figures of each point</summary>\n{table}</details>\n"
        ),
    )
}

fn table_of_rows(report: &Report, caption: &str, by: &[String], rows: &[Row], place: &str) -> String {
    let line = |(index, row): (usize, &'_ Row)| {
        let key = |key: &String| format!("<th scope=\"row\"><bdi>{}</bdi></th>", escaped(key));
        let mut heads: String = row.key.iter().map(key).collect();
        if row.partial {
            heads = heads.replacen("</bdi>", "</bdi> <small>so far</small>", 1);
        }
        (heads, format!("/{place}/{index}"))
    };
    let lines: Vec<Line<'_>> = rows
        .iter()
        .take(ROWS_MAX)
        .enumerate()
        .map(|(index, row)| {
            let (heads, place) = line((index, row));
            Line { heads, place, class: "", figures: &row.figures }
        })
        .collect();
    let left_out = match rows.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!(
            "<p class=\"none\">{} more rows stand in the JSON document and in CSV.</p>\n",
            super::number::thousands(more as u64)
        ),
    };
    format!("{}{left_out}", table(caption, by, &figures_of(report), &lines))
}

fn table(caption: &str, keys: &[String], figures: &[Figure], lines: &[Line<'_>]) -> String {
    let mut width = keys.len() * NAME;
    let mut heads: String =
        keys.iter().map(|key| format!("<th scope=\"col\" class=\"text\">{}</th>", escaped(key))).collect();
    for figure in figures {
        let texts = lines.iter().map(|line| (figure.value)(line.figures).text().chars().count());
        width += (texts.max().unwrap_or(0) * DIGIT_TENTHS / 10 + AROUND).max(COLUMN_MIN);
        heads.push_str(&format!("<th scope=\"col\">{}</th>", escaped(&figure.name)));
    }
    let mut body = String::new();
    for Line { heads, place, class, figures: of } in lines {
        let cells: String = figures
            .iter()
            .map(|figure| cell(&figure.name, (figure.value)(of), &format!("{place}/{}", figure.place)))
            .collect();
        body.push_str(&format!("<tr{class}>{heads}{cells}</tr>\n"));
    }
    let fit = STEPS.iter().find(|step| width + BESIDE <= **step * 16 && width <= TABLE_MAX);
    let fit = fit.map_or("none".to_owned(), usize::to_string);
    framed(
        caption,
        &format!(
            "<table class=\"figures fit-{fit}\">\n<caption>{}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n",
            escaped(caption)
        ),
    )
}

/// A frame around a table; it scrolls with the keyboard too, should a font be wider than any known.
fn framed(label: &str, table: &str) -> String {
    format!(
        "<div class=\"frame\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{table}</div>\n",
        escaped(label)
    )
}

fn cell(label: &str, number: Number, pointer: &str) -> String {
    format!("<td data-label=\"{}\" {}>{}</td>", escaped(label), number.attributes(pointer), number.text())
}

/// Every failure with what Adobe says of its reason.
pub(super) fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let line = |(index, failure): (usize, &Failure)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"text\" data-label=\"Reason\"><bdi>{}</bdi></td>{}<td class=\"text\" data-label=\"Meaning\">{}</td></tr>\n",
            escaped(&failure.label),
            escaped(reason_name(&failure.reason)),
            cell("Count", Number::Count(failure.count), &format!("/failures/{index}/count")),
            escaped(&failure.meaning)
        )
    };
    let body: String = report.failures.iter().take(ROWS_MAX).enumerate().map(line).collect();
    let table = format!(
        "<table class=\"failures fit-45\">\n<caption>Failures</caption>\n<thead><tr><th scope=\"col\">Event</th><th scope=\"col\" class=\"text\">Reason\
         </th><th scope=\"col\">Count</th><th scope=\"col\" class=\"text\">What the reason means</th></tr></thead>\n<tbody>\n{body}</tbody>\n\
         </table>\n"
    );
    section("Failures", "", &framed("Failures", &table))
}
