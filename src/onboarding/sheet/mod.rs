//! The configuration sheet of a report suite: settings to tick off, grouped by the place where they are set.

mod content;
mod html;
mod workbook;

pub use content::{Sheet, SheetOf, Topic};

use rust_xlsxwriter::XlsxError;

use crate::encode::{csv_row, safe_value};
use crate::word::words;
use content::DONE;

words! {
    /// How a sheet is written.
    pub enum SheetForm {
        Markdown = "md",
        Csv = "csv",
        Xlsx = "xlsx",
        Html = "html",
    }
}

impl Sheet {
    pub fn of(of: &SheetOf) -> Sheet {
        let title = match &of.suite {
            Some(suite) => format!("Adobe Pass in report suite {}: its settings", suite.form.rsid),
            None => "Adobe Pass in a report suite: its settings".to_owned(),
        };
        Sheet { title, topics: content::all(of) }
    }

    /// The sheet as a file. The same sheet always gives the same bytes. Fails for a workbook if a text is longer than a
    /// cell can hold.
    pub fn write(&self, form: SheetForm) -> Result<Vec<u8>, XlsxError> {
        Ok(match form {
            SheetForm::Markdown => self.markdown().into_bytes(),
            SheetForm::Csv => self.csv(),
            SheetForm::Html => html::write(self).into_bytes(),
            SheetForm::Xlsx => workbook::write(self)?,
        })
    }

    /// A table for each topic, with a box at the end of each row.
    fn markdown(&self) -> String {
        let topics: Vec<String> = self.topics.iter().map(Topic::markdown).collect();
        format!("# {}\n\n{}", self.title, topics.join("\n"))
    }

    /// One row for each value of a setting, so that every topic fits one table.
    fn csv(&self) -> Vec<u8> {
        let mut file = Vec::new();
        csv_row(["topic", "place", "item", "setting", "value"], &mut file);
        for topic in &self.topics {
            for row in &topic.rows {
                for (column, value) in topic.columns.iter().zip(row).skip(1) {
                    // Names of requestors come from outside, so a spreadsheet must not take them for formulas.
                    csv_row([topic.name, topic.place, &row[0], column, value].map(safe_value), &mut file);
                }
            }
        }
        file
    }
}

impl Topic {
    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}. {}\n\n", self.name, self.place, self.note);
        text.push_str(&format!("| {} | {DONE} |\n", self.columns.join(" | ")));
        text.push_str(&format!("|{}---|\n", "---|".repeat(self.columns.len())));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} | [ ] |\n", cells.join(" | ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_text_has_every_cell() {
        let sheet = Sheet::of(&SheetOf::default());
        let cells = || sheet.topics.iter().flat_map(|topic| topic.rows.iter().flatten());
        type Written = fn(&str) -> String;
        let forms: [(SheetForm, Written); 3] = [
            (SheetForm::Markdown, |cell| cell.replace('|', "\\|")),
            (SheetForm::Csv, |cell| cell.replace('"', "\"\"")),
            (SheetForm::Html, |cell| maud::html! { (cell) }.into_string()),
        ];
        for (form, written) in forms {
            let text = String::from_utf8(sheet.write(form).expect("text")).expect("UTF-8");
            for cell in cells() {
                assert!(text.contains(&written(cell)), "{form:?}: {cell}");
            }
        }
    }
}
