//! The elements of the page: sections, charts, and names for missing values.

use maud::{Markup, html};

pub(super) fn section(heading: &str, note: &str, content: &Markup) -> Markup {
    html! {
        section {
            h2 { (heading) }
            @if !note.is_empty() { p.note { (note) } }
            (content)
        }
        "\n"
    }
}

/// The frame of a chart, with a title and a description in words.
pub(super) struct Chart<'a> {
    /// The kind of the chart, for tests in a browser.
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) height: usize,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
}

impl Chart<'_> {
    pub(super) fn of(&self, drawing: &Markup) -> Markup {
        let Chart { kind, id, height, title, description } = self;
        html! {
            svg role="img" aria-labelledby={ (id) " " (id) "-text" } width="100%" height=(height) class="chart" data-chart=(kind) {
                title id=(id) { (title) }
                desc id={ (id) "-text" } { (description) }
                (drawing)
            }
            "\n"
        }
    }
}

/// Stands for the name of an MVPD if there is none.
pub(super) const NO_MVPD: &str = "(no MVPD)";

pub(super) fn mvpd_name(mvpd: &str) -> &str {
    if mvpd.is_empty() { NO_MVPD } else { mvpd }
}

pub(super) fn reason_name(reason: &str) -> &str {
    if reason.is_empty() { "(no reason given)" } else { reason }
}
