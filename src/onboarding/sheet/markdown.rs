//! The sheet as Markdown: a table for each topic, a box before each row.

use super::topic::{DONE, Sheet, Topic};

pub(super) fn write(sheet: &Sheet) -> String {
    let topics: Vec<String> = sheet.topics.iter().map(topic).collect();
    format!("# {}\n\n{}", sheet.title, topics.join("\n"))
}

fn topic(topic: &Topic) -> String {
    let mut text = format!("## {}\n\n{}. {}\n\n", topic.name, topic.place, topic.note);
    text.push_str(&format!("| {} | {DONE} |\n", topic.columns.join(" | ")));
    text.push_str(&format!("|{}---|\n", "---|".repeat(topic.columns.len())));
    for row in &topic.rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} | [ ] |\n", cells.join(" | ")));
    }
    text
}
