//! The content of a sheet: topics, each with a table of settings.

use serde::Serialize;

use crate::suite::ReportSuite;

pub(super) const DONE: &str = "Done";

/// The suite and the requestors that a sheet is for.
#[derive(Debug, Clone, Default)]
pub struct SheetOf {
    pub suite: Option<ReportSuite>,
    pub requestors: Vec<String>,
}

/// A configuration sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sheet {
    pub title: String,
    /// The topics, in the order in which a person goes through them.
    pub topics: Vec<Topic>,
}

/// Settings that are found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The name, short enough for the tab of a workbook.
    pub name: &'static str,
    pub place: &'static str,
    pub note: &'static str,
    /// The names of the columns. Every form for people has one more column, to tick off.
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}
