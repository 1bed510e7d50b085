//! The sheet as one page that needs no other file, and prints one topic after the other.

use maud::{Markup, html};

use super::content::{DONE, Sheet, Topic};
use crate::html::document;

const STYLE: &str = include_str!("style.css");

pub(super) fn write(sheet: &Sheet) -> String {
    let settings: usize = sheet.topics.iter().map(|topic| topic.rows.len()).sum();
    let body = html! {
        main {
            h1 { (sheet.title) }
            p { (settings) " settings. The boxes are to be ticked on paper, or here until the page is closed." }
            @for topic in &sheet.topics { (section(topic)) "\n" }
        }
    };
    document(&sheet.title, STYLE, &body)
}

fn section(topic: &Topic) -> Markup {
    html! {
        section {
            h2 { (topic.name) }
            p { strong { (topic.place) } br; (topic.note) }
            div.frame role="region" tabindex="0" aria-label=(topic.name) {
                table {
                    thead {
                        tr {
                            @for column in topic.columns { th scope="col" { (column) } }
                            th.done scope="col" { (DONE) }
                        }
                    }
                    tbody { @for cells in &topic.rows { (row(cells)) "\n" } }
                }
            }
        }
    }
}

fn row(cells: &[String]) -> Markup {
    let (first, others) = cells.split_first().map_or(("", cells), |(first, others)| (first.as_str(), others));
    html! {
        tr {
            th scope="row" { (first) }
            @for cell in others { td { (cell) } }
            td.done { input type="checkbox" aria-label={ (first) " is set" }; }
        }
    }
}
