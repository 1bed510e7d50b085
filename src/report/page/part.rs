//! What the parts of the page are made of: sections, charts, and names that fit.

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

/// The frame of a drawing, which says in words what it shows.
pub(super) struct Chart<'a> {
    /// Which kind of chart it is, for tests in a browser.
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

/// What stands for the name of an MVPD where there is none.
pub(super) const NO_MVPD: &str = "(no MVPD)";

pub(super) fn mvpd_name(mvpd: &str) -> &str {
    if mvpd.is_empty() { NO_MVPD } else { mvpd }
}

pub(super) fn reason_name(reason: &str) -> &str {
    if reason.is_empty() { "(no reason given)" } else { reason }
}
