//! Charts of bars: conversion by MVPD, failures by reason. Widths are parts of the drawing, heights are pixels.

use super::metric::{AUTHENTICATION_CONVERSION, AUTHORIZATION_CONVERSION, Metric};
use super::number::{Number, percent};
use super::{cut, mvpd_name, reason_name};
use crate::html::escaped;
use crate::report::{Column, Failure, Report};

/// MVPDs in one drawing: two of these stand above each other on a sheet of paper, and none is cut by its edge.
pub(super) const MVPDS_PER_CHART: usize = 9;
/// Reasons in the chart; the table has them all.
const REASONS_MAX: usize = 15;
/// Where 100 %, or the longest bar, ends, in percent of the width: the rest is for its number.
const FULL: f64 = 78.0;
/// Where a bar of more than 100 % ends.
const ABOVE_FULL: f64 = 81.0;
/// Characters of a name; the table and the pointer show it whole.
const NAME_CHARS_MAX: usize = 38;
/// The least that a bar is long, in percent of the width, so that little is not nothing.
const SLIGHT: f64 = 0.3;

/// Both rates of each MVPD.
pub(super) fn conversion(report: &Report) -> String {
    if report.shown().is_empty() {
        return "<p class=\"none\">No event in this period.</p>\n".to_owned();
    }
    let numbered: Vec<(usize, &Column)> = report.shown().iter().enumerate().collect();
    let charts: String =
        numbered.chunks(MVPDS_PER_CHART).map(|part| conversion_chart(part, numbered.len())).collect();
    format!(
        "<p class=\"legend\"><span class=\"key authn\"></span>Authentication <span class=\"key authz\"></span>Authorization</p>\n\
         <div class=\"charts\">\n{charts}</div>\n"
    )
}

fn conversion_chart(part: &[(usize, &Column)], of: usize) -> String {
    const HEAD: usize = 20;
    const ROW: usize = 48;
    let first = part.first().map_or(0, |(index, _)| index + 1);
    let last = part.last().map_or(0, |(index, _)| index + 1);
    let height = HEAD + ROW * part.len();
    let axis: String = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| percent_mark(share, height)).concat();
    let rows: String = part
        .iter()
        .enumerate()
        .map(|(row, (index, column))| {
            let y = HEAD + ROW * row;
            let name = mvpd_name(&column.mvpd);
            let bar = |metric: &Metric, class: &str, y: usize| share_bar(metric, class, y, *index, column);
            format!(
                "{}{}{}",
                name_above(name, &column.mvpd, y + 14),
                bar(&AUTHENTICATION_CONVERSION, "authn", y + 20),
                bar(&AUTHORIZATION_CONVERSION, "authz", y + 33)
            )
        })
        .collect();
    format!(
        "<svg role=\"img\" aria-labelledby=\"conversion-{first} conversion-{first}-text\" width=\"100%\" height=\"{height}\" \
         class=\"chart\" data-chart=\"conversion\">\n<title id=\"conversion-{first}\">Conversion by MVPD, {first} to {last} of {of}</title>\n\
         <desc id=\"conversion-{first}-text\">For each MVPD the share of attempted authentications and of attempted authorizations that \
         succeeded. The table below has the same numbers.</desc>\n{axis}{rows}</svg>\n"
    )
}

fn percent_mark(share: f64, height: usize) -> String {
    let x = share * FULL;
    let anchor = if share == 0.0 { "start" } else { "middle" };
    let class = if share == 0.0 { "base" } else { "grid" };
    format!(
        "<line class=\"{class}\" x1=\"{x}%\" x2=\"{x}%\" y1=\"18\" y2=\"{height}\"/>\
         <text class=\"tick\" x=\"{x}%\" y=\"12\" text-anchor=\"{anchor}\">{} %</text>\n",
        share * 100.0
    )
}

fn share_bar(metric: &Metric, class: &str, y: usize, index: usize, column: &Column) -> String {
    let number = (metric.value)(&column.figures);
    let share = match number {
        Number::Share(share) => share,
        Number::Count(_) | Number::Known(_) | Number::Difference(_) => None,
    };
    let width = share.map_or(0.0, |share| if share > 1.0 { ABOVE_FULL } else { share * FULL });
    let text = if share.is_some() { number.text() } else { "no attempt".to_owned() };
    let title = format!("{}, {}: {text}", mvpd_name(&column.mvpd), metric.name);
    let pointer = format!("/mvpds/{index}/{}", metric.key);
    bar(&Bar { class, y, width, text: &text, title: &title, attributes: &number.attributes(&pointer) })
}

/// Failures by event and reason, the most frequent of them.
pub(super) fn failures(report: &Report) -> String {
    const ROW: usize = 36;
    let Some(most) = report.failures.iter().map(|failure| failure.count).max() else {
        return "<p class=\"none\">No failure in this period.</p>\n".to_owned();
    };
    let total: u128 = report.failures.iter().map(|failure| u128::from(failure.count)).sum();
    let shown = &report.failures[..report.failures.len().min(REASONS_MAX)];
    let height = ROW * shown.len() + 4;
    let row = |(index, failure): (usize, &Failure)| {
        let number = Number::Count(failure.count);
        let share = failure.count as f64 / total.max(1) as f64;
        let name = format!("{}: {}", failure.label, reason_name(&failure.reason));
        let text = format!("{} ({})", number.text(), percent(share));
        let title = format!("{name}: {text}");
        let width = failure.count as f64 / most.max(1) as f64 * 70.0;
        let attributes = number.attributes(&format!("/failures/{index}/count"));
        let bar = bar(&Bar {
            class: "failed",
            y: ROW * index + 19,
            width,
            text: &text,
            title: &title,
            attributes: &attributes,
        });
        format!("{}{bar}", name_above(&name, &name, ROW * index + 14))
    };
    let rows: String = shown.iter().enumerate().map(row).collect();
    let left_out = match report.failures.len() - shown.len() {
        0 => String::new(),
        more => format!("<p class=\"none\">{more} less frequent ones stand in the table below.</p>\n"),
    };
    format!(
        "<svg role=\"img\" aria-labelledby=\"failures failures-text\" width=\"100%\" height=\"{height}\" class=\"chart\" \
         data-chart=\"failures\">\n<title id=\"failures\">Failures by event and reason</title>\n<desc id=\"failures-text\">The most frequent \
         first. The table below has the same numbers.</desc>\n{rows}</svg>\n{left_out}"
    )
}

struct Bar<'a> {
    class: &'a str,
    y: usize,
    /// In percent of the drawing.
    width: f64,
    text: &'a str,
    title: &'a str,
    attributes: &'a str,
}

fn bar(bar: &Bar) -> String {
    let Bar { class, y, text, attributes, .. } = bar;
    let width = if bar.width > 0.0 { bar.width.max(SLIGHT) } else { 0.0 };
    format!(
        "<rect class=\"bar {class}\" x=\"0\" y=\"{y}\" width=\"{width:.2}%\" height=\"10\" {attributes}><title>{}</title></rect>\
         <text class=\"value\" x=\"{width:.2}%\" dx=\"6\" y=\"{}\">{}</text>\n",
        escaped(bar.title),
        y + 9,
        escaped(text)
    )
}

fn name_above(name: &str, whole: &str, y: usize) -> String {
    format!(
        "<text class=\"name\" x=\"0\" y=\"{y}\">{}<title>{}</title></text>\n",
        escaped(&cut(name, NAME_CHARS_MAX)),
        escaped(whole)
    )
}
