//! What a sheet is: topics, each with a table of settings.

use serde::Serialize;

use crate::suite::ReportSuite;

pub(super) const DONE: &str = "Done";

/// Whose sheet it is.
#[derive(Debug, Clone, Default)]
pub struct SheetOf {
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
    pub note: &'static str,
    /// The names of its columns. Every form that a person reads has one more, to tick off.
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}
