//! The tables below the charts: a row for each MVPD, or for each row of `--by`, and a column for each figure.
//!
//! No table scrolls sideways, because nobody would see that a number at the edge lacks digits. If a table is wider
//! than the screen, each of its rows becomes a list of names and figures.

use maud::{Markup, html};

use super::part::{NO_MVPD, mvpd_name, reason_name, section};
use crate::event::EventKind;
use crate::report::figures::{Figures, Report, Row};
use crate::report::metric::{METRICS, Metric, STATED};
use crate::report::number::{Number, thousands};

/// The most characters of an MVPD's name beside its figures. The tooltip shows the whole name.
const NAME_CHARS_MAX: usize = 60;
/// The most rows that the page shows of one table, as browsers are slow with more. The JSON document has all rows.
const ROWS_MAX: usize = 5_000;
/// The events of each table, by slot. No screen is wide enough for all eighteen events.
const EVENT_TABLES: [(&str, &[u8]); 4] = [
    ("Authentications", &[1, 2, 3, 8, 9, 10]),
    ("Authorizations and play requests", &[4, 5, 6, 7, 11]),
    ("Logouts", &[12, 13, 14]),
    ("Preauthorizations", &[15, 16, 17, 18]),
];
/// The width of the widest digit in any font of the page, in tenths of a pixel.
const DIGIT_TENTHS: usize = 83;
/// Widths in pixels: the space around the number in a cell; the least width of a column, which its heading needs; the
/// width of a name or key, which breaks if it is longer.
const AROUND: usize = 14;
const COLUMN_MIN: usize = 84;
const NAME: usize = 150;
/// In pixels: the space beside a table, and the width of the widest table on any screen.
const BESIDE: usize = 64;
const TABLE_MAX: usize = 1_270;
/// Screen widths in rem of 16 pixels. Up to the first width that has room for a table, its rows become lists.
const STEPS: [usize; 5] = [30, 45, 60, 70, 84];

/// The style that turns the rows of a table into lists on screens that are too narrow for the table.
pub(super) fn style_of_lists() -> String {
    const LIST: &str = "T, T tbody { display: block } T thead { display: none } \
        T tr { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 0 1.5rem; padding: .5rem .7rem .7rem; border-bottom: 1px solid var(--rule) } \
        T tr > * { display: flex; justify-content: space-between; gap: 1rem; padding: .12rem 0; background: none !important; white-space: normal; max-width: none !important } \
        T th[scope=\"row\"] { display: block; grid-column: 1 / -1; font-weight: 650; border: 0 } \
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

struct Figure {
    name: String,
    place: String,
    value: Box<dyn Fn(&Figures) -> Number>,
}

struct Line<'r> {
    heads: Markup,
    place: String,
    class: Option<&'static str>,
    figures: &'r Figures,
}

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

pub(super) fn metrics(report: &Report) -> Markup {
    let caption = "Metrics by MVPD";
    let others = match report.others {
        Some(_) => " The largest MVPDs stand by themselves and the others together; CSV has each.",
        None => "",
    };
    let note = format!("The total counts a user once, whatever the MVPDs and requestors.{others}");
    section(caption, &note, &table(caption, &["MVPD".to_owned()], &figures_of(report), &by_mvpd(report)))
}

pub(super) fn events(report: &Report) -> Markup {
    let figure = |kind: EventKind| Figure {
        name: kind.label().to_owned(),
        place: format!("events/{}", kind.slot() - 1),
        value: Box::new(move |figures| Number::Count(figures.units(kind))),
    };
    let has_happened = |kind: &EventKind| report.total.units(*kind) != Some(0);
    let figures = |slots: &[u8]| -> Vec<Figure> {
        let kinds = slots.iter().filter_map(|slot| EventKind::from_slot(*slot));
        kinds.filter(has_happened).map(figure).collect()
    };
    let tables = EVENT_TABLES.iter().map(|(caption, slots)| (caption, figures(slots)));
    let content = html! {
        @for (caption, figures) in tables.filter(|(_, figures)| !figures.is_empty()) {
            h3 { (caption) }
            (table(caption, &["MVPD".to_owned()], &figures, &by_mvpd(report)))
        }
    };
    let never = EventKind::ALL.into_iter().filter(|kind| !has_happened(kind)).map(EventKind::label);
    let never = never.collect::<Vec<_>>().join(", ");
    let left_out = if never.is_empty() { never } else { format!(" None of these: {never}.") };
    section("All events by MVPD", &format!("How often each event happened.{left_out}"), &content)
}

/// A line for each MVPD that is shown, one for the sum of the other MVPDs, and one for the total.
fn by_mvpd(report: &Report) -> Vec<Line<'_>> {
    let head = |name: &str, whole: &str, class: Option<&str>| {
        html! { th scope="row" class=[class] title=(whole) { bdi { (name) } } }
    };
    let names = report.short_names(NAME_CHARS_MAX, NO_MVPD);
    let shown = report.shown().iter().zip(&names).enumerate().map(|(index, (column, name))| Line {
        heads: head(name, mvpd_name(&column.mvpd), column.mvpd.is_empty().then_some("unnamed")),
        place: format!("/mvpds/{index}"),
        class: None,
        figures: &column.figures,
    });
    let others = report.others.iter().map(|others| Line {
        heads: html! {
            th scope="row" { span data-json="/others/mvpds" data-value=(others.mvpds) { (others.mvpds) } " others" }
        },
        place: "/others".to_owned(),
        class: None,
        figures: &others.figures,
    });
    let total = Line {
        heads: head("Total", "Total", None),
        place: "/total".to_owned(),
        class: Some("total"),
        figures: &report.total,
    };
    shown.chain(others).chain([total]).collect()
}

pub(super) fn rows(report: &Report) -> Markup {
    if report.by.is_empty() {
        return Markup::default();
    }
    let heading = format!("By {}", report.by.join(", "));
    section(&heading, &report.rows_note, &table_of_rows(report, &heading, &report.by, &report.rows, "rows"))
}

/// The figures of the trend. They are folded, because they may have hundreds of rows that few people read.
pub(super) fn trend(report: &Report) -> Markup {
    let heading = "The trend in figures";
    let by = [report.trend_unit().to_owned()];
    let content = html! {
        details {
            summary { "Show, and print, the figures of each point" }
            (table_of_rows(report, heading, &by, &report.trend, "trend"))
        }
    };
    section(heading, "", &content)
}

fn table_of_rows(report: &Report, caption: &str, by: &[String], rows: &[Row], place: &str) -> Markup {
    let heads = |row: &Row| {
        html! {
            @for (column, key) in row.key.iter().enumerate() {
                th scope="row" { bdi { (key) } @if row.partial && column == 0 { " " small { "so far" } } }
            }
        }
    };
    let lines = rows.iter().take(ROWS_MAX).enumerate().map(|(index, row)| Line {
        heads: heads(row),
        place: format!("/{place}/{index}"),
        class: None,
        figures: &row.figures,
    });
    let lines: Vec<Line<'_>> = lines.collect();
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    html! {
        (table(caption, by, &figures_of(report), &lines))
        @if left_out > 0 {
            p.none { (thousands(left_out as u64)) " more rows stand in the JSON document and in CSV." }
        }
    }
}

fn table(caption: &str, keys: &[String], figures: &[Figure], lines: &[Line<'_>]) -> Markup {
    let texts = |figure: &Figure| {
        let chars = lines.iter().map(|line| (figure.value)(line.figures).text().chars().count());
        (chars.max().unwrap_or(0) * DIGIT_TENTHS / 10 + AROUND).max(COLUMN_MIN)
    };
    let width = keys.len() * NAME + figures.iter().map(texts).sum::<usize>();
    let fit = STEPS.iter().find(|step| width + BESIDE <= **step * 16 && width <= TABLE_MAX);
    let fit = fit.map_or("none".to_owned(), usize::to_string);
    let content = html! {
        thead {
            tr {
                @for key in keys { th.text scope="col" { (key) } }
                @for figure in figures { th scope="col" { (figure.name) } }
            }
        }
        tbody {
            @for Line { heads, place, class, figures: of } in lines {
                tr class=[class] {
                    (heads)
                    @for figure in figures {
                        (cell(&figure.name, (figure.value)(of), &format!("{place}/{}", figure.place)))
                    }
                }
                "\n"
            }
        }
    };
    framed(caption, &format!("figures fit-{fit}"), &content)
}

/// A table in a frame. If a font is wider than any known one, the frame scrolls, also with the keyboard.
fn framed(caption: &str, class: &str, content: &Markup) -> Markup {
    html! {
        div.frame role="region" tabindex="0" aria-label=(caption) {
            table class=(class) { caption { (caption) } (content) }
        }
        "\n"
    }
}

fn cell(label: &str, number: Number, pointer: &str) -> Markup {
    html! { td data-label=(label) data-json=(pointer) data-value=(number.exact()) { (number.text()) } }
}

pub(super) fn failures(report: &Report) -> Markup {
    if report.failures.is_empty() {
        return Markup::default();
    }
    let content = html! {
        thead {
            tr {
                th scope="col" { "Event" }
                th.text scope="col" { "Reason" }
                th scope="col" { "Count" }
                th.text scope="col" { "What the reason means" }
            }
        }
        tbody {
            @for (index, failure) in report.failures.iter().take(ROWS_MAX).enumerate() {
                tr {
                    th scope="row" { (failure.label) }
                    td.text data-label="Reason" { bdi { (reason_name(&failure.reason)) } }
                    (cell("Count", Number::Count(Some(failure.count)), &format!("/failures/{index}/count")))
                    td.text data-label="Meaning" { (failure.meaning) }
                }
                "\n"
            }
        }
    };
    section("Failures", "", &framed("Failures", "failures fit-45", &content))
}
