//! The trend: a small chart for each of four metrics. Each has its own axis, because plays are many more than users.
//!
//! Widths are in percent of the drawing, heights in pixels, so that the text keeps its size on a phone, on a
//! desktop and on paper. Only the line is in an inner drawing, which is stretched.

use maud::{Markup, html};

use super::axis::{self, Tick, TimeAxis};
use super::part::Chart;
use crate::report::figures::{Report, Row};
use crate::report::metric::{AUTHENTICATIONS, AUTHORIZATIONS, Metric, PLAYS, USERS};
use crate::report::number::{Number, short};

const SERIES: [Metric; 4] = [AUTHENTICATIONS, AUTHORIZATIONS, PLAYS, USERS];
/// Where the plot begins, in percent of the width. The numbers of the axis are on its left.
const LEFT: f64 = 11.0;
const WIDTH: f64 = 86.0;
/// Where the plot begins, in pixels from the top.
const TOP: f64 = 10.0;
const HEIGHT: f64 = 130.0;
/// The height of the drawing, in pixels: the plot, and the labels of the days below it.
const DRAWING: usize = 166;
/// The width of the stretched drawing of the line, in its own units.
const LINE_WIDTH: f64 = 1_000.0;
const DOTS_MAX: usize = 45;
/// With more points than this, the line is thin.
const DENSE_FROM: usize = 120;

pub(super) fn charts(report: &Report) -> Markup {
    let axis = TimeAxis::of(&report.trend);
    html! { div.panels { @for metric in &SERIES { (panel(metric, &report.trend, &axis)) } } }
}

fn panel(metric: &Metric, rows: &[Row], axis: &TimeAxis) -> Markup {
    let values: Vec<Option<u64>> = rows.iter().map(|row| count(metric, row)).collect();
    let marks = axis::counts(values.iter().copied().flatten().max().unwrap_or(0));
    let plot = Plot { axis, top: marks.last().copied().unwrap_or(1), values };
    let id = format!("trend-{}", metric.key);
    let description = plot.description(rows);
    let chart = Chart { kind: &id, id: &id, height: DRAWING, title: metric.name, description: &description };
    let drawing = html! {
        @for mark in &marks { (grid_line(*mark, plot.top)) }
        @for tick in axis.ticks() { (tick_mark(&tick)) }
        (plot.line())
        @for (index, value) in plot.dotted() { (plot.dot(index, value)) }
        @for (index, row) in rows.iter().enumerate() { (plot.point(metric, index, row)) }
    };
    let unknown = if plot.known().next().is_none() { ": not known, see Remarks" } else { "" };
    html! { figure.panel { figcaption { (metric.name) (unknown) } (chart.of(&drawing)) } }
}

fn count(metric: &Metric, row: &Row) -> Option<u64> {
    if let Number::Count(count) = (metric.value)(&row.figures) { count } else { None }
}

fn label(row: &Row) -> &str {
    row.key.first().map_or("", String::as_str)
}

fn grid_line(mark: u64, top: u64) -> Markup {
    let y = height(mark, top);
    let (class, at, text_at) = (if mark == 0 { "base" } else { "grid" }, pixels(y), pixels(y + 4.0));
    html! {
        line class=(class) x1={ (LEFT) "%" } x2={ (LEFT + WIDTH) "%" } y1=(at) y2=(at) {}
        text.tick x={ (LEFT - 1.5) "%" } y=(text_at) text-anchor="end" { (short(mark)) }
    }
}

fn tick_mark(tick: &Tick) -> Markup {
    let (x, bottom) = (percent_of_width(LEFT + WIDTH * tick.at), TOP + HEIGHT);
    let anchor = if tick.at > 0.92 { "end" } else { "middle" };
    html! {
        line.base x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) {}
        text.tick x=(x) y=(bottom + 18.0) text-anchor=(anchor) { (tick.label) }
    }
}

fn pixels(length: f64) -> String {
    format!("{length:.1}")
}

fn percent_of_width(part: f64) -> String {
    format!("{part:.2}%")
}

fn height(value: u64, top: u64) -> f64 {
    TOP + HEIGHT * (1.0 - value as f64 / top.max(1) as f64)
}

struct Plot<'a> {
    axis: &'a TimeAxis,
    top: u64,
    values: Vec<Option<u64>>,
}

impl Plot<'_> {
    fn known(&self) -> impl Iterator<Item = (usize, u64)> {
        self.values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?)))
    }

    fn description(&self, rows: &[Row]) -> String {
        let highest = self.known().max_by_key(|(index, value)| (*value, std::cmp::Reverse(*index)));
        let lowest = self.known().min_by_key(|(_, value)| *value);
        let Some((highest, lowest)) = highest.zip(lowest) else { return "No values.".to_owned() };
        let told =
            |(index, value)| format!("{} on {}", Number::Count(Some(value)).text(), label(&rows[index]));
        format!("{} values; highest {}, lowest {}.", self.known().count(), told(highest), told(lowest))
    }

    /// Whether the line connects the point before `index` with this point.
    fn follows(&self, index: usize) -> bool {
        let is_known = |index: usize| self.values.get(index).is_some_and(Option::is_some);
        self.axis.follows(index) && is_known(index) && is_known(index - 1)
    }

    /// The line, and the area below it. Both have gaps where a day, an hour or a count is missing.
    fn line(&self) -> Markup {
        let (mut line, mut area) = (String::new(), String::new());
        let mut open = None;
        for (index, value) in self.known() {
            let (x, y) = (self.axis.at(index) * LINE_WIDTH, height(value, self.top) - TOP);
            if self.follows(index) {
                line.push_str(&format!("L{x:.1} {y:.1}"));
                area.push_str(&format!("L{x:.1} {y:.1}"));
            } else {
                close(&mut area, open);
                line.push_str(&format!("M{x:.1} {y:.1}"));
                area.push_str(&format!("M{x:.1} {HEIGHT}L{x:.1} {y:.1}"));
            }
            open = Some(x);
        }
        close(&mut area, open);
        let class = if self.values.len() > DENSE_FROM { "line dense" } else { "line" };
        html! {
            svg x={ (LEFT) "%" } y=(TOP) width={ (WIDTH) "%" } height=(HEIGHT) viewBox={ "0 0 " (LINE_WIDTH) " " (HEIGHT) }
                preserveAspectRatio="none" overflow="visible" {
                path.area d=(area) {}
                path class=(class) vector-effect="non-scaling-stroke" d=(line) {}
            }
        }
    }

    /// The points that have a dot: all points if there are at most `DOTS_MAX`, otherwise those that no line touches.
    fn dotted(&self) -> impl Iterator<Item = (usize, u64)> {
        let is_alone = |index: usize| !self.follows(index) && !self.follows(index + 1);
        self.known().filter(move |(index, _)| self.values.len() <= DOTS_MAX || is_alone(*index))
    }

    fn dot(&self, index: usize, value: u64) -> Markup {
        let (x, y) = (LEFT + WIDTH * self.axis.at(index), height(value, self.top));
        html! { circle.dot cx=(percent_of_width(x)) cy=(pixels(y)) r="2.5" {} }
    }

    /// The area that shows a tooltip: a column for each day or hour, with its label and value.
    fn point(&self, metric: &Metric, index: usize, row: &Row) -> Markup {
        let (number, middle) = ((metric.value)(&row.figures), LEFT + WIDTH * self.axis.at(index));
        let width = (self.axis.step() * WIDTH).min(WIDTH / 4.0);
        html! {
            rect.point x=(percent_of_width(middle - width / 2.0)) y=(TOP) width=(percent_of_width(width)) height=(HEIGHT)
                data-json={ "/trend/" (index) "/" (metric.key) } data-value=(number.exact()) {
                title { (label(row)) ": " (number.text()) @if row.partial { " so far" } }
            }
        }
    }
}

fn close(area: &mut String, open: Option<f64>) {
    if let Some(x) = open {
        area.push_str(&format!("L{x:.1} {HEIGHT}Z"));
    }
}
