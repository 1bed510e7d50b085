//! The configuration sheet of a report suite: settings to tick off, grouped by the place where they are set.

mod content;
mod csv;
mod html;
mod markdown;
mod topic;
mod workbook;

pub use topic::{Sheet, SheetOf, Topic};

use crate::word::words;

words! {
    /// How a sheet is written.
    pub enum SheetForm {
        Markdown = "md",
        Csv = "csv",
        Xlsx = "xlsx",
        Html = "html",
    }
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
        Sheet { title, topics: content::all(of) }
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
