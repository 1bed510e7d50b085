//! The configuration sheet of a report suite: a list of settings to tick off, by where they are set.

mod csv;
mod html;
mod markdown;
mod topic;
mod workbook;

use serde::Serialize;

use crate::suite::ReportSuite;

/// What the column to tick off is called.
const DONE: &str = "Done";

/// Whose sheet it is.
#[derive(Debug, Clone, Default)]
pub struct SheetOf {
    /// The suite, where it is mapped already.
    pub suite: Option<ReportSuite>,
    pub requestors: Vec<String>,
}

/// The sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sheet {
    pub title: String,
    /// Its topics, in the order in which a person goes through them.
    pub topics: Vec<Topic>,
}

/// Settings that are found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name: short enough for the tab of a workbook.
    pub name: &'static str,
    pub place: &'static str,
    /// What to know of all of it.
    pub note: &'static str,
    /// The names of its columns. Every form that a person reads has one more, to tick off.
    pub columns: &'static [&'static str],
    /// A row for each setting.
    pub rows: Vec<Vec<String>>,
}

/// How a sheet is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetForm {
    /// Markdown, for a ticket or a wiki.
    Markdown,
    Csv,
    /// A workbook with a tab for each topic.
    Xlsx,
    /// A page that prints well.
    Html,
}

/// Why a sheet cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The workbook could not be made: a text is longer than a cell can be.
    #[error("cannot make the workbook: {0}")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
}

impl Sheet {
    pub fn of(of: &SheetOf) -> Sheet {
        let title = match &of.suite {
            Some(suite) => format!("Adobe Pass in report suite {}: its settings", suite.form.rsid),
            None => "Adobe Pass in a report suite: its settings".to_owned(),
        };
        Sheet { title, topics: topic::all(of) }
    }

    /// The sheet as a file. The same sheet always gives the same bytes.
    pub fn write(&self, form: SheetForm) -> Result<Vec<u8>, SheetError> {
        Ok(match form {
            SheetForm::Markdown => markdown::write(self).into_bytes(),
            SheetForm::Csv => csv::write(self),
            SheetForm::Html => html::write(self).into_bytes(),
            SheetForm::Xlsx => workbook::write(self)?,
        })
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
