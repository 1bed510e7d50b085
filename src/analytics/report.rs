//! Reports: what is asked, page after page, and what the rows say.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AnalyticsClient, AnalyticsError};
use crate::suite::Rsid;

const WHAT: &str = "a report";
/// Rows of a page, as in Adobe's samples.
const ROWS_PER_PAGE: u32 = 400;
/// Pages of a report, beyond which something goes round in circles: more rows than a dimension has values in a month.
const PAGES_MAX: u32 = 10_000;
/// How often a report is read that changes while it is.
const READINGS_MAX: u32 = 3;

/// What a report shows: everything of a span, broken down by one eVar, perhaps within one value of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// Of which suite.
    pub rsid: Rsid,
    /// From when, inclusive, on the suite's own clock, to the minute.
    pub from: NaiveDateTime,
    /// To when, exclusive.
    pub to: NaiveDateTime,
    /// The columns: numbers of success events.
    pub metrics: Vec<u16>,
    /// The rows.
    pub by: Breakdown,
    /// Only what has this value: the eVar, and the `item_id` that a report by this eVar has for the value.
    pub within: Option<(u16, String)>,
    /// Only rows whose value contains this text, in any case.
    pub search: Option<String>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakdown {
    /// There is one row: the totals. It has neither ID nor value.
    Nothing,
    /// A value of this eVar. Events without one have the ID `0`.
    Evar(u16),
    /// A day of the suite. Its ID is the year less 1900, the month from 0 and the day, two digits each of the latter:
    /// `1251028` is 2025-11-28.
    Day,
}

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportAnswer {
    /// The rows of all pages, in Adobe's order.
    pub rows: Vec<ReportRow>,
    /// The columns that Adobe has an error for, and which: such as `not_enabled_metric` or `unauthorized_metric`.
    pub refused: Vec<(u16, String)>,
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// Adobe's ID of the value.
    pub item_id: String,
    /// The value, as it was first seen.
    pub value: String,
    /// A count for each column, in their order. That of a refused column is no number (NaN): nobody knows it.
    pub counts: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    last_page: Option<bool>,
    total_pages: Option<u32>,
    total_elements: Option<u64>,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    rows: Vec<Row>,
    summary_data: Option<Summary>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Columns {
    column_ids: Vec<String>,
    column_errors: Vec<ColumnError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ColumnError {
    #[serde(default)]
    column_id: String,
    error_code: Option<String>,
    error_description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    item_id: String,
    #[serde(default)]
    value: String,
    data: Vec<Value>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    totals: Vec<Value>,
}

impl AnalyticsClient {
    /// A report, all of its pages. Pages are in the order of the rows' IDs, which new hits do not change; a report whose
    /// number of rows changes in between is read again from its beginning.
    pub async fn report(&self, request: &ReportRequest) -> Result<ReportAnswer, AnalyticsError> {
        let url = self.beneath(&["reports"]).await?;
        for _ in 0..READINGS_MAX {
            let mut reading = Reading::new(request);
            loop {
                let body = request.body(reading.pages).to_string();
                let page: Page = self.ask(WHAT, Method::POST, &url, Some(&body)).await?;
                match reading.take(page)? {
                    Progress::Done => return Ok(reading.answer),
                    Progress::More => {}
                    Progress::Changed => break,
                }
            }
            tracing::debug!(rsid = request.rsid.as_str(), "a report has changed while it was read");
        }
        Err(unreadable("it changed with every page"))
    }
}

impl ReportRequest {
    /// What Adobe is asked for.
    fn body(&self, page: u32) -> Value {
        let iso = |at: NaiveDateTime| at.format("%Y-%m-%dT%H:%M:00.000").to_string();
        let filter_of = |slot: &u16| format!("within{slot}");
        let metric = |slot: &u16| {
            let mut metric = json!({ "columnId": slot.to_string(), "id": format!("metrics/event{slot}") });
            if self.within.is_some() {
                metric["filters"] = json!([filter_of(slot)]);
            }
            metric
        };
        let metrics: Vec<Value> = self.metrics.iter().map(metric).collect();
        let mut body = json!({
            "rsid": self.rsid.as_str(),
            "globalFilters": [{ "type": "dateRange", "dateRange": format!("{}/{}", iso(self.from), iso(self.to)) }],
            "metricContainer": { "metrics": metrics },
            "settings": {
                "countRepeatInstances": true,
                "limit": ROWS_PER_PAGE,
                "page": page,
                "dimensionSort": "asc",
                "nonesBehavior": "return-nones",
            },
        });
        match self.by {
            Breakdown::Nothing => {}
            Breakdown::Evar(number) => body["dimension"] = json!(format!("variables/evar{number}")),
            Breakdown::Day => body["dimension"] = json!("variables/daterangeday"),
        }
        if let Some((evar, item_id)) = &self.within {
            let filter = |slot| {
                let (id, dimension) = (filter_of(slot), format!("variables/evar{evar}"));
                json!({ "id": id, "type": "breakdown", "dimension": dimension, "itemId": item_id })
            };
            body["metricContainer"]["metricFilters"] = self.metrics.iter().map(filter).collect();
        }
        if let Some(text) = &self.search {
            body["search"] = json!({ "clause": format!("CONTAINS '{}'", escaped(text)) });
        }
        body
    }
}

/// A text within a search clause: only `*` is published as a sign of its own, and how it is taken literally.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'").replace('*', "\\*")
}

enum Progress {
    Done,
    More,
    Changed,
}

/// A report as far as it was read.
struct Reading<'r> {
    request: &'r ReportRequest,
    /// Pages that were taken.
    pages: u32,
    total_elements: Option<u64>,
    seen: BTreeSet<String>,
    answer: ReportAnswer,
}

impl Reading<'_> {
    fn new(request: &ReportRequest) -> Reading<'_> {
        let answer = ReportAnswer { rows: Vec::new(), refused: Vec::new() };
        Reading { request, pages: 0, total_elements: None, seen: BTreeSet::new(), answer }
    }

    fn take(&mut self, page: Page) -> Result<Progress, AnalyticsError> {
        let refused = refused(&self.request.metrics, &page.columns);
        if self.pages == 0 {
            (self.total_elements, self.answer.refused) = (page.total_elements, refused);
        } else if (self.total_elements, &self.answer.refused) != (page.total_elements, &refused) {
            return Ok(Progress::Changed);
        }
        self.pages += 1;
        if self.request.by == Breakdown::Nothing {
            let counts = match page.summary_data {
                Some(summary) => self.counts(&page.columns, &summary.totals)?,
                // Where every column is refused there is nothing to sum up.
                None => self.counts(&page.columns, &[])?,
            };
            self.answer.rows.push(ReportRow { item_id: String::new(), value: String::new(), counts });
            return Ok(Progress::Done);
        }
        let is_empty = page.rows.is_empty();
        for row in page.rows {
            let counts = self.counts(&page.columns, &row.data)?;
            if !self.seen.insert(row.item_id.clone()) {
                return Ok(Progress::Changed);
            }
            self.answer.rows.push(ReportRow { item_id: row.item_id, value: row.value, counts });
        }
        let is_last = match (page.last_page, page.total_pages) {
            (Some(is_last), _) => is_last,
            (None, Some(pages)) => self.pages >= pages,
            (None, None) => return Err(unreadable("it has neither lastPage nor totalPages")),
        };
        match (is_last || page.total_elements == Some(0), is_empty) {
            (true, _) => self.complete(),
            (false, true) => Err(unreadable("a page before the last one has no rows")),
            (false, false) if self.pages >= PAGES_MAX => Err(unreadable("it has no last page")),
            (false, false) => Ok(Progress::More),
        }
    }

    /// All rows that were announced must have come.
    fn complete(&self) -> Result<Progress, AnalyticsError> {
        let rows = self.answer.rows.len() as u64;
        Ok(if self.total_elements.is_none_or(|total| total == rows) {
            Progress::Done
        } else {
            Progress::Changed
        })
    }

    /// The counts of a row, in the order in which they were asked for.
    fn counts(&self, columns: &Columns, data: &[Value]) -> Result<Vec<f64>, AnalyticsError> {
        let place = |index: usize, slot: u16| {
            // Without the list the columns are as they were asked for.
            if columns.column_ids.is_empty() {
                return Some(index);
            }
            columns.column_ids.iter().position(|id| *id == slot.to_string())
        };
        let count = |(index, slot): (usize, &u16)| {
            if self.answer.refused.iter().any(|(refused, _)| refused == slot) {
                return Ok(f64::NAN);
            }
            let value = place(index, *slot).and_then(|place| data.get(place)).and_then(Value::as_f64);
            value.ok_or_else(|| unreadable(&format!("a row has no number for event{slot}")))
        };
        self.request.metrics.iter().enumerate().map(count).collect()
    }
}

/// The columns that Adobe has an error for. An error that names no column concerns them all, as one of the dimension does.
fn refused(metrics: &[u16], columns: &Columns) -> Vec<(u16, String)> {
    let error_of = |slot: u16| {
        let id = slot.to_string();
        let concerns = |error: &&ColumnError| error.column_id == id || error.column_id.is_empty();
        let ColumnError { error_code, error_description, .. } =
            columns.column_errors.iter().find(concerns)?;
        let text = error_code.as_ref().or(error_description.as_ref());
        Some((slot, text.map_or_else(|| "an error without a name".to_owned(), Clone::clone)))
    };
    metrics.iter().filter_map(|slot| error_of(*slot)).collect()
}

fn unreadable(why: &str) -> AnalyticsError {
    AnalyticsError::Unreadable { what: WHAT, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn request(by: Breakdown) -> ReportRequest {
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).and_then(|date| date.and_hms_opt(0, 0, 0));
        ReportRequest {
            rsid: "examplersid".parse().expect("an rsid"),
            from: day(1).expect("a day"),
            to: day(8).expect("a day"),
            metrics: vec![7, 5],
            by,
            within: None,
            search: None,
        }
    }

    fn read(request: &ReportRequest, pages: &[Value]) -> Result<(Vec<ReportRow>, usize), String> {
        let mut reading = Reading::new(request);
        for (index, page) in pages.iter().enumerate() {
            let page = serde_json::from_value(page.clone()).map_err(|error| error.to_string())?;
            match reading.take(page).map_err(|error| error.to_string())? {
                Progress::Done => return Ok((reading.answer.rows, index + 1)),
                Progress::More => {}
                Progress::Changed => return Err("changed".to_owned()),
            }
        }
        Err("more".to_owned())
    }

    fn row(item_id: &str, data: Value) -> Value {
        json!({ "itemId": item_id, "value": item_id, "data": data })
    }

    #[test]
    fn a_request_has_the_published_shape() {
        let whole = ReportRequest {
            within: Some((1, "743855946".to_owned())),
            search: Some("it's 5*".to_owned()),
            ..request(Breakdown::Evar(2))
        };
        let filter = |id| json!({"id": id, "type": "breakdown", "dimension": "variables/evar1", "itemId": "743855946"});
        let expected = json!({
            "rsid": "examplersid",
            "globalFilters": [{"type": "dateRange", "dateRange": "2026-11-01T00:00:00.000/2026-11-08T00:00:00.000"}],
            "metricContainer": {
                "metrics": [
                    {"columnId": "7", "id": "metrics/event7", "filters": ["within7"]},
                    {"columnId": "5", "id": "metrics/event5", "filters": ["within5"]},
                ],
                "metricFilters": [filter("within7"), filter("within5")],
            },
            "dimension": "variables/evar2",
            "search": {"clause": "CONTAINS 'it\\'s 5\\*'"},
            "settings": {"countRepeatInstances": true, "limit": 400, "page": 3, "dimensionSort": "asc", "nonesBehavior": "return-nones"},
        });
        assert_eq!(whole.body(3), expected);
        assert_eq!(request(Breakdown::Nothing).body(0).get("dimension"), None);
    }

    #[test]
    fn pages_are_taken_to_the_last_and_columns_by_their_ids() {
        let page = |rows: Value, last: bool| json!({"rows": rows, "lastPage": last, "totalElements": 2, "columns": {"columnIds": ["5", "7"]}});
        let (first, last) =
            (page(json!([row("1", json!([50, 70]))]), false), page(json!([row("2", json!([0.0, 2]))]), true));
        let (rows, pages) = read(&request(Breakdown::Day), &[first.clone(), last]).expect("a report");
        assert_eq!(
            (rows[0].counts.clone(), rows[1].counts.clone(), pages),
            (vec![70.0, 50.0], vec![2.0, 0.0], 2)
        );
        assert_eq!(read(&request(Breakdown::Day), &[first.clone(), first]).err().as_deref(), Some("changed"));
    }

    #[test]
    fn a_refused_column_is_no_number_whatever_its_row_says() {
        let page = json!({"rows": [row("1", json!([70, 0]))], "lastPage": true,
            "columns": {"columnIds": ["7", "5"], "columnErrors": [{"columnId": "5", "errorCode": "not_enabled_metric"}]}});
        let request = request(Breakdown::Day);
        let mut reading = Reading::new(&request);
        assert!(matches!(reading.take(serde_json::from_value(page).expect("a page")), Ok(Progress::Done)));
        let answer = reading.answer;
        assert_eq!(answer.refused, [(5, "not_enabled_metric".to_owned())]);
        assert!(answer.rows[0].counts[0] == 70.0 && answer.rows[0].counts[1].is_nan(), "{answer:?}");
    }

    #[test]
    fn what_is_not_whole_is_no_report() {
        for (page, why) in [
            (json!({"rows": []}), "neither lastPage nor totalPages"),
            (
                json!({"rows": [], "lastPage": false, "totalElements": 3}),
                "a page before the last one has no rows",
            ),
            (json!({"rows": [row("1", json!([7]))], "lastPage": true}), "a row has no number for event5"),
            (
                json!({"rows": [row("1", json!([7, null]))], "lastPage": true}),
                "a row has no number for event5",
            ),
            (json!({"rows": [row("1", json!([7, 1]))], "lastPage": true, "totalElements": 2}), "changed"),
        ] {
            let error =
                read(&request(Breakdown::Evar(1)), std::slice::from_ref(&page)).expect_err("no report");
            assert!(error.contains(why), "{page}: {error}");
        }
        let error = read(&request(Breakdown::Nothing), &[json!({})]).expect_err("no totals");
        assert!(error.contains("no number for event7"), "{error}");
    }
}
