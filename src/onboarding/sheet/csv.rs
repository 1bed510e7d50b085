//! The sheet as CSV: one row for each value of a setting, so that every topic fits one table.

use super::topic::Sheet;
use crate::encode::{csv_row, safe_value};

pub(super) fn write(sheet: &Sheet) -> Vec<u8> {
    let mut file = Vec::new();
    csv_row(["topic", "place", "item", "setting", "value"], &mut file);
    for topic in &sheet.topics {
        for row in &topic.rows {
            for (column, value) in topic.columns.iter().zip(row).skip(1) {
                // Names of requestors come from outside.
                csv_row([topic.name, topic.place, &row[0], column, value].map(safe_value), &mut file);
            }
        }
    }
    file
}
