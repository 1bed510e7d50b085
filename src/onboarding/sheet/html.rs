//! As one page that needs nothing else, and prints a topic after the other.

use super::{DONE, Sheet, Topic};
use crate::html::{document, escaped};

const STYLE: &str = include_str!("style.css");

pub(super) fn write(sheet: &Sheet) -> String {
    let topics: String = sheet.topics.iter().map(topic).collect();
    let settings: usize = sheet.topics.iter().map(|topic| topic.rows.len()).sum();
    let body = format!(
        "<main>\n<h1>{}</h1>\n<p>{settings} settings. The boxes are to be ticked on paper, or here until the page is closed.</p>\n\
         {topics}</main>\n",
        escaped(&sheet.title)
    );
    document(&sheet.title, STYLE, &body)
}

fn topic(topic: &Topic) -> String {
    let head: String =
        topic.columns.iter().map(|column| format!("<th scope=\"col\">{}</th>", escaped(column))).collect();
    let rows: String = topic.rows.iter().map(|cells| row(cells)).collect();
    let name = escaped(topic.name);
    format!(
        "<section>\n<h2>{name}</h2>\n<p><strong>{}</strong><br>{}</p>\n\
         <div class=\"frame\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">\n<table>\n\
         <thead><tr>{head}<th scope=\"col\" class=\"done\">{DONE}</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n",
        escaped(topic.place),
        escaped(topic.note)
    )
}

fn row(cells: &[String]) -> String {
    let (first, others) = cells.split_first().map_or(("", cells), |(first, others)| (first.as_str(), others));
    let others: String = others.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    let first = escaped(first);
    format!(
        "<tr><th scope=\"row\">{first}</th>{others}<td class=\"done\"><input type=\"checkbox\" aria-label=\"{first} is set\"></td></tr>\n"
    )
}
