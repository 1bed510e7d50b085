//! As CSV: one row for each value of a setting, so that every topic fits one table.

use super::Sheet;

pub(super) fn write(sheet: &Sheet) -> String {
    let mut text = "topic,place,item,setting,value\n".to_owned();
    for topic in &sheet.topics {
        for row in &topic.rows {
            for (column, value) in topic.columns.iter().zip(row).skip(1) {
                let cells = [topic.name, topic.place, &row[0], column, value].map(cell);
                text.push_str(&format!("{}\n", cells.join(",")));
            }
        }
    }
    text
}

/// Names of requestors come from outside, and a spreadsheet runs what begins like a formula.
fn cell(value: &str) -> String {
    // A dash alone is our own: nothing to set.
    let is_formula = value != "-" && value.starts_with(['=', '+', '-', '@']);
    let value = format!("{}{value}", if is_formula { "'" } else { "" });
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}
