//! The trend: a small chart for each of four metrics, one above its own axis, because plays outnumber users many times.
//!
//! Widths are parts of the drawing, heights are pixels: so the text keeps its size on a phone, on a desk and on paper. The line itself
//! stands in a drawing of its own, which is stretched.

use super::axis::{self, Tick, TimeAxis};
use super::metric::{AUTHENTICATIONS, AUTHORIZATIONS, Metric, PLAYS, USERS};
use super::number::{Number, short};
use crate::html::escaped;
use crate::report::{Report, Row};

const SERIES: [Metric; 4] = [AUTHENTICATIONS, AUTHORIZATIONS, PLAYS, USERS];
/// Where the plot begins, in percent of the width: left of it stand the numbers of the axis.
const LEFT: f64 = 11.0;
/// How wide the plot is, in percent of the width.
const WIDTH: f64 = 86.0;
/// Where the plot begins, in pixels from above.
const TOP: f64 = 10.0;
/// How high the plot is, in pixels.
const HEIGHT: f64 = 130.0;
/// The height of the drawing: the plot, and the days below it.
const DRAWING: f64 = 166.0;
/// How wide the stretched drawing of the line is, in its own units.
const LINE_WIDTH: f64 = 1_000.0;
/// Up to so many points have a dot each.
const DOTS_MAX: usize = 45;
/// With more points than these the line is thin.
const DENSE_FROM: usize = 120;

pub(super) fn charts(report: &Report) -> String {
    let axis = TimeAxis::of(&report.trend);
    let panels: String = SERIES.iter().map(|metric| panel(metric, &report.trend, &axis)).collect();
    format!("<div class=\"panels\">\n{panels}</div>\n")
}

fn panel(metric: &Metric, rows: &[Row], axis: &TimeAxis) -> String {
    let values: Vec<Option<u64>> = rows.iter().map(|row| count(metric, row)).collect();
    let marks = axis::counts(values.iter().copied().flatten().max().unwrap_or(0));
    let plot = Plot { axis, top: marks.last().copied().unwrap_or(1), values };
    let key = metric.key;
    let name = escaped(metric.name);
    let description = escaped(&description(rows, &plot.values));
    format!(
        "<figure class=\"panel\">\n<figcaption>{name}</figcaption>\n\
         <svg role=\"img\" aria-labelledby=\"trend-{key} trend-{key}-text\" width=\"100%\" height=\"{DRAWING}\" class=\"chart\" \
         data-chart=\"trend-{key}\">\n<title id=\"trend-{key}\">{name}</title>\n<desc id=\"trend-{key}-text\">{description}</desc>\n\
         {}{}{}{}{}</svg>\n</figure>\n",
        grid(&marks),
        along(&axis.ticks()),
        plot.line(),
        plot.dots(),
        plot.points(metric, rows),
    )
}

/// The value of a point; `None` where nobody knows it.
fn count(metric: &Metric, row: &Row) -> Option<u64> {
    match (metric.value)(&row.figures) {
        Number::Count(count) => Some(count),
        Number::Known(count) => count,
        Number::Difference(_) | Number::Share(_) => None,
    }
}

fn description(rows: &[Row], values: &[Option<u64>]) -> String {
    let extreme = |chosen: Option<(usize, u64)>| {
        chosen.map(|(index, value)| format!("{} on {}", Number::Count(value).text(), label(&rows[index])))
    };
    let known: Vec<(usize, u64)> =
        values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))).collect();
    let highest = extreme(known.iter().rev().copied().max_by_key(|(_, value)| *value));
    let lowest = extreme(known.iter().copied().min_by_key(|(_, value)| *value));
    match (highest, lowest) {
        (Some(highest), Some(lowest)) => {
            format!("{} values; highest {highest}, lowest {lowest}.", known.len())
        }
        _ => "No values.".to_owned(),
    }
}

fn label(row: &Row) -> &str {
    row.key.first().map_or("", String::as_str)
}

fn grid(marks: &[u64]) -> String {
    let top = marks.last().copied().unwrap_or(1);
    let (right, text_at) = (LEFT + WIDTH, LEFT - 1.5);
    marks
        .iter()
        .map(|mark| {
            let y = height(*mark, top);
            let class = if *mark == 0 { "base" } else { "grid" };
            format!(
                "<line class=\"{class}\" x1=\"{LEFT}%\" x2=\"{right}%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{text_at}%\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                y + 4.0,
                short(*mark)
            )
        })
        .collect()
}

/// Days or hours along.
fn along(ticks: &[Tick]) -> String {
    let bottom = TOP + HEIGHT;
    ticks
        .iter()
        .map(|tick| {
            let x = LEFT + WIDTH * tick.at;
            let anchor = if tick.at > 0.92 { "end" } else { "middle" };
            format!(
                "<line class=\"base\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text class=\"tick\" x=\"{x:.2}%\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
                bottom + 4.0,
                bottom + 18.0,
                escaped(&tick.label)
            )
        })
        .collect()
}

/// Where a value stands, in pixels from above.
fn height(value: u64, top: u64) -> f64 {
    TOP + HEIGHT * (1.0 - value as f64 / top.max(1) as f64)
}

struct Plot<'a> {
    axis: &'a TimeAxis,
    top: u64,
    values: Vec<Option<u64>>,
}

impl Plot<'_> {
    /// The points whose value is known.
    fn known(&self) -> impl Iterator<Item = (usize, u64)> {
        self.values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?)))
    }

    /// Whether the line leads from the point before to this one.
    fn follows(&self, index: usize) -> bool {
        let is_known = |index: usize| self.values.get(index).is_some_and(Option::is_some);
        self.axis.follows(index) && is_known(index) && is_known(index - 1)
    }

    /// The line, broken where days are missing, and the area below it.
    fn line(&self) -> String {
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
        format!(
            "<svg x=\"{LEFT}%\" y=\"{TOP}\" width=\"{WIDTH}%\" height=\"{HEIGHT}\" viewBox=\"0 0 {LINE_WIDTH} {HEIGHT}\" \
             preserveAspectRatio=\"none\" overflow=\"visible\"><path class=\"area\" d=\"{area}\"/>\
             <path class=\"{class}\" vector-effect=\"non-scaling-stroke\" d=\"{line}\"/></svg>\n"
        )
    }

    /// A dot for each point where they are few, else for those alone that no line touches.
    fn dots(&self) -> String {
        let is_alone = |index: usize| !self.follows(index) && !self.follows(index + 1);
        let shown = self.known().filter(|(index, _)| self.values.len() <= DOTS_MAX || is_alone(*index));
        shown
            .map(|(index, value)| {
                let x = LEFT + WIDTH * self.axis.at(index);
                format!(
                    "<circle class=\"dot\" cx=\"{x:.2}%\" cy=\"{:.1}\" r=\"2.5\"/>\n",
                    height(value, self.top)
                )
            })
            .collect()
    }

    /// What the pointer finds: a column for each day, with the day and its value.
    fn points(&self, metric: &Metric, rows: &[Row]) -> String {
        let width = (self.axis.step() * WIDTH).min(WIDTH / 4.0);
        let column = |(index, row): (usize, &Row)| {
            let (number, middle) = ((metric.value)(&row.figures), LEFT + WIDTH * self.axis.at(index));
            let attributes = number.attributes(&format!("/trend/{index}/{}", metric.key));
            format!(
                "<rect class=\"point\" x=\"{:.2}%\" y=\"{TOP}\" width=\"{width:.2}%\" height=\"{HEIGHT}\" {attributes}><title>{}: {}{}</title></rect>\n",
                middle - width / 2.0,
                escaped(label(row)),
                number.text(),
                if row.partial { " so far" } else { "" }
            )
        };
        rows.iter().enumerate().map(column).collect()
    }
}

/// Leads the area back to the axis.
fn close(area: &mut String, open: Option<f64>) {
    if let Some(x) = open {
        area.push_str(&format!("L{x:.1} {HEIGHT}Z"));
    }
}
