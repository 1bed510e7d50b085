//! Charts of bars: conversion by MVPD, failures by reason. Widths are in percent of the drawing, heights in pixels.

use maud::{Markup, html};

use super::part::{Chart, NO_MVPD, mvpd_name, reason_name};
use crate::report::figures::{Column, Failure, Report};
use crate::report::metric::{AUTHENTICATION_CONVERSION, AUTHORIZATION_CONVERSION, Metric};
use crate::report::name::cut;
use crate::report::number::{Number, percent};

/// The most MVPDs in one drawing. Two such drawings fit on a sheet of paper, so no page break cuts one.
pub(super) const MVPDS_PER_CHART: usize = 9;
/// The most reasons in the chart; the table has all reasons.
const REASONS_MAX: usize = 15;
/// Where a bar of 100 % ends, in percent of the width. The rest is for the number of the bar.
const FULL: f64 = 78.0;
const ABOVE_FULL: f64 = 81.0;
/// The width of the longest bar of failures, in percent of the drawing. On a phone, the rest has room for a
/// number of eight digits and its share.
const FAILURE_WIDTH_MAX: f64 = 60.0;
/// The most characters of a name. The tooltip shows the whole name.
const NAME_CHARS_MAX: usize = 38;
/// The shortest bar, in percent of the width. A shorter bar would be invisible.
const SLIGHT: f64 = 0.3;

pub(super) fn conversion(report: &Report) -> Markup {
    let names = report.short_names(NAME_CHARS_MAX, NO_MVPD);
    let numbered: Vec<(usize, &Column)> = report.shown().iter().enumerate().collect();
    html! {
        @if numbered.is_empty() {
            p.none { "No event in this period." }
        } @else {
            p.legend { span.key.authn {} "Authentication " span.key.authz {} "Authorization" }
            div.charts {
                @for part in numbered.chunks(MVPDS_PER_CHART) { (conversion_chart(part, &names)) }
            }
        }
    }
}

fn conversion_chart(part: &[(usize, &Column)], names: &[String]) -> Markup {
    const HEAD: usize = 20;
    const ROW: usize = 48;
    let first = part.first().map_or(0, |(index, _)| index + 1);
    let height = HEAD + ROW * part.len();
    let chart = Chart {
        kind: "conversion",
        id: &format!("conversion-{first}"),
        height,
        title: &format!("Conversion by MVPD, {first} to {} of {}", first + part.len() - 1, names.len()),
        description: "For each MVPD the share of attempted authentications and of attempted authorizations that succeeded. The table \
                      below has the same numbers.",
    };
    chart.of(&html! {
        @for share in [0.0, 0.25, 0.5, 0.75, 1.0] { (percent_mark(share, height)) }
        @for ((index, column), y) in part.iter().zip((HEAD..).step_by(ROW)) {
            (name_above(&names[*index], &column.mvpd, y + 14))
            (share_bar(&AUTHENTICATION_CONVERSION, "authn", y + 20, *index, column))
            (share_bar(&AUTHORIZATION_CONVERSION, "authz", y + 33, *index, column))
        }
    })
}

fn percent_mark(share: f64, height: usize) -> Markup {
    let x = format!("{}%", share * FULL);
    let (class, anchor) = if share == 0.0 { ("base", "start") } else { ("grid", "middle") };
    html! {
        line class=(class) x1=(x) x2=(x) y1="18" y2=(height) {}
        text.tick x=(x) y="12" text-anchor=(anchor) { (share * 100.0) " %" }
    }
}

fn share_bar(metric: &Metric, class: &str, y: usize, index: usize, column: &Column) -> Markup {
    let number = (metric.value)(&column.figures);
    let share = if let Number::Share(share) = number { share } else { None };
    let text = number.text();
    let bar = Bar {
        class,
        y,
        width: share.map_or(0.0, |share| if share > 1.0 { ABOVE_FULL } else { share * FULL }),
        title: &format!("{}, {}: {text}", mvpd_name(&column.mvpd), metric.name),
        text: &text,
        number,
        pointer: format!("/mvpds/{index}/{}", metric.key),
    };
    bar.drawn()
}

pub(super) fn failures(report: &Report) -> Markup {
    const ROW: usize = 36;
    let Some(most) = report.failures.iter().map(|failure| failure.count).max() else {
        return html! { p.none { "No failure in this period." } };
    };
    let shown = &report.failures[..report.failures.len().min(REASONS_MAX)];
    let chart = Chart {
        kind: "failures",
        id: "failures",
        height: ROW * shown.len() + 4,
        title: "Failures by event and reason",
        description: "The most frequent first. The table below has the same numbers.",
    };
    let total = report.failures.iter().map(|failure| u128::from(failure.count)).sum();
    let drawing = html! {
        @for (index, failure) in shown.iter().enumerate() { (failure_bar(failure, index, ROW * index, (most, total))) }
    };
    let left_out = report.failures.len() - shown.len();
    html! {
        (chart.of(&drawing))
        @if left_out > 0 { p.none { (left_out) " less frequent ones stand in the table below." } }
    }
}

fn failure_bar(failure: &Failure, index: usize, y: usize, (most, total): (u64, u128)) -> Markup {
    let number = Number::Count(Some(failure.count));
    let name = format!("{}: {}", failure.label, reason_name(&failure.reason));
    let text = format!("{} ({})", number.text(), percent(failure.count as f64 / total.max(1) as f64));
    let bar = Bar {
        class: "failed",
        y: y + 19,
        width: failure.count as f64 / most.max(1) as f64 * FAILURE_WIDTH_MAX,
        title: &format!("{name}: {text}"),
        text: &text,
        number,
        pointer: format!("/failures/{index}/count"),
    };
    html! { (name_above(&cut(&name, NAME_CHARS_MAX), &name, y + 14)) (bar.drawn()) }
}

struct Bar<'a> {
    class: &'a str,
    y: usize,
    width: f64,
    text: &'a str,
    title: &'a str,
    number: Number,
    /// The place of the number in the JSON document.
    pointer: String,
}

impl Bar<'_> {
    fn drawn(&self) -> Markup {
        let Bar { y, pointer, .. } = self;
        let width = if self.width > 0.0 { self.width.max(SLIGHT) } else { 0.0 };
        let width = format!("{width:.2}%");
        html! {
            rect class={ "bar " (self.class) } x="0" y=(y) width=(width) height="10" data-json=(pointer) data-value=(self.number.exact()) {
                title { (self.title) }
            }
            text.value x=(width) dx="6" y=(y + 9) { (self.text) }
        }
    }
}

fn name_above(name: &str, whole: &str, y: usize) -> Markup {
    html! { text.name x="0" y=(y) { (name) title { (whole) } } }
}
