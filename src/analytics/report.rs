//! Reports: sends the request, reads page after page, and checks and collects the rows.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AnalyticsClient, JSON, endpoint};
use crate::suite::Rsid;
use crate::web::{self, ApiError};

/// Rows on one page, as in Adobe's samples.
const ROWS_PER_PAGE: u32 = 400;
/// The most rows of a report. Our reports have one row for each requestor or MVPD of a day, or for each value of a
/// probe: some hundreds. Only suites that also get hits from other sources come near the limit.
const ROWS_MAX: u32 = 20_000;
const PAGES_MAX: u32 = ROWS_MAX / ROWS_PER_PAGE;
/// The longest page, in bytes: 400 rows of the longest value and 18 counts are 200 KB.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// The most characters of a value that are kept. Adobe stores 255 bytes.
const VALUE_CHARS_MAX: usize = 255;
const CODE_CHARS_MAX: usize = 100;
/// The largest valid count of a row: no suite has a trillion of one event.
const COUNT_MAX: f64 = 1e12;
/// How often a report is read at most, if it changes during each reading.
const READINGS_MAX: u32 = 3;

/// What a report counts: the hits of a time span for each value of `evar`, limited by `within` and `search`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    pub rsid: Rsid,
    /// The start, inclusive, to the minute, in the time zone of the suite.
    pub from: NaiveDateTime,
    /// The end, exclusive.
    pub to: NaiveDateTime,
    /// The columns: numbers of success events.
    pub metrics: Vec<u16>,
    /// One row for each value of this eVar. The row of hits without a value has the ID `0`.
    pub evar: u16,
    /// Counts only hits with this value of this eVar. The value is an `item_id` from a report by this eVar.
    pub within: Option<(u16, String)>,
    /// Only rows whose value contains this text; case does not matter.
    pub search: Option<String>,
    pub fractions: Fractions,
}

/// How to treat a count that is not a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fractions {
    /// The report is invalid, because numbers of events are whole.
    Refused,
    /// The count is valid, because an eVar with linear allocation gives each value a part of an event.
    Kept,
}

/// All rows of a report, and the columns that Adobe refused.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportAnswer {
    /// The rows of all pages, in Adobe's order.
    pub rows: Vec<ReportRow>,
    /// The columns for which Adobe returned an error, with that error, such as `not_enabled_metric`.
    pub refused: Vec<(u16, String)>,
}

/// The counts of one value.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    pub item_id: String,
    /// The value in the spelling in which Analytics first received it.
    pub value: String,
    /// A count for each column, in the order of the request; NaN for a refused column.
    pub counts: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    number: Option<u32>,
    first_page: Option<bool>,
    last_page: Option<bool>,
    total_pages: Option<u32>,
    total_elements: Option<u64>,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Columns {
    dimension: Value,
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

impl AnalyticsClient {
    /// Reads all pages of a report. Rows are sorted by their IDs, because new hits do not change that order. If the
    /// report changes during the reading (see `Progress::Changed`), it is read again from the first page.
    pub async fn report(&self, request: &ReportRequest) -> Result<ReportAnswer, ApiError> {
        let url = self.beneath(&["reports"]).await?;
        let endpoint = endpoint("a report", &url);
        let mut why_not = "";
        for _ in 0..READINGS_MAX {
            let mut reading = Reading::new(request);
            loop {
                let body = request.body(reading.pages).to_string();
                let post = || {
                    let post = self.ims.http.request(Method::POST, &url).header(ACCEPT, JSON);
                    post.header(CONTENT_TYPE, JSON).body(body.clone())
                };
                let page: Page = self.ims.ask(&endpoint, PAGE_BYTES_MAX, post).await?.json(&endpoint)?;
                match reading.take(page).map_err(|why| endpoint.unreadable(why))? {
                    Progress::Done => return Ok(reading.answer),
                    Progress::More => {}
                    Progress::Changed(how) => {
                        why_not = how;
                        break;
                    }
                }
            }
            tracing::debug!(rsid = request.rsid.as_str(), why_not, "a report has changed while it was read");
        }
        Err(endpoint.unreadable(format!("{READINGS_MAX} times it was not whole; the last time {why_not}")))
    }
}

impl ReportRequest {
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
            "dimension": format!("variables/evar{}", self.evar),
            "settings": {
                "countRepeatInstances": true,
                "limit": ROWS_PER_PAGE,
                "page": page,
                "dimensionSort": "asc",
                "nonesBehavior": "return-nones",
            },
        });
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

/// Escapes a text for a search clause in quotes: quotes, backslashes, and the only special character of Adobe, `*`.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'").replace('*', "\\*")
}

enum Progress {
    Done,
    More,
    /// The report changed during the reading. The text says what shows this.
    Changed(&'static str),
}

/// A report, with the pages that were read so far.
struct Reading<'r> {
    request: &'r ReportRequest,
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

    /// Adds a page. The error says how the page differs from Adobe's documentation, or that the report is too long.
    fn take(&mut self, page: Page) -> Result<Progress, String> {
        let refused = refused(&self.request.metrics, &page.columns);
        if let Some(number) = page.number.filter(|number| *number != self.pages) {
            return Err(format!("it is page {number}, and page {} was asked for", self.pages));
        }
        if page.first_page.is_some_and(|is_first| is_first != (self.pages == 0)) {
            return Err(format!("its firstPage contradicts that page {} was asked for", self.pages));
        }
        self.check(&page.columns, &refused)?;
        if self.pages == 0 {
            (self.total_elements, self.answer.refused) = (page.total_elements, refused);
        } else if (self.total_elements, &self.answer.refused) != (page.total_elements, &refused) {
            let how = "a page announced another number of rows, or refused other columns, than the first one";
            return Ok(Progress::Changed(how));
        }
        self.pages += 1;
        let (rows_in_page, total_pages) = (page.rows.len(), page.total_pages);
        if rows_in_page > ROWS_PER_PAGE as usize {
            return Err(format!("a page has {rows_in_page} rows, and {ROWS_PER_PAGE} were asked for"));
        }
        let announced = page
            .total_elements
            .max(total_pages.map(|pages| u64::from(pages.saturating_sub(1)) * u64::from(ROWS_PER_PAGE) + 1));
        if let Some(announced) = announced.filter(|announced| *announced > u64::from(ROWS_MAX)) {
            return Err(too_long(format_args!("it announces {announced} rows or more")));
        }
        for row in page.rows {
            if !self.add(row, &page.columns)? {
                return Ok(Progress::Changed("a row came twice"));
            }
        }
        let (rows, total_rows) = (self.answer.rows.len() as u64, self.total_elements);
        if let Some(total) = total_rows.filter(|total| rows > *total) {
            return Err(format!("it has more than the {total} rows that it announces"));
        }
        let is_last = match (page.last_page, total_pages) {
            (Some(is_last), _) => is_last,
            (None, Some(pages)) => self.pages >= pages,
            (None, None) => return Err("it has neither lastPage nor totalPages".to_owned()),
        };
        if let Some(pages) = total_pages.filter(|pages| is_last && self.pages < *pages) {
            return Err(format!("page {} of {pages} says that it is the last one", self.pages));
        }
        if is_last || total_rows == Some(0) {
            // If rows are missing, the report changed during the reading.
            let is_whole = total_rows.is_none_or(|total| total == rows);
            let missing = Progress::Changed("it ended with fewer rows than it announced");
            return Ok(if is_whole { Progress::Done } else { missing });
        }
        if rows_in_page == 0 {
            return Err("a page before the last one has no rows".to_owned());
        }
        if total_pages.is_some_and(|pages| self.pages >= pages) {
            return Err(format!("it has more than the {} pages that it announces", self.pages));
        }
        if self.pages >= PAGES_MAX {
            return Err(too_long(format_args!("after {PAGES_MAX} pages it has no end")));
        }
        Ok(Progress::More)
    }

    /// Refuses a page that names another dimension, or other columns, than the request.
    fn check(&self, columns: &Columns, refused: &[(u16, String)]) -> Result<(), String> {
        let (ReportRequest { metrics, evar, .. }, ids) = (self.request, &columns.column_ids);
        let is_there = |slot: &u16| {
            ids.contains(&slot.to_string()) || refused.iter().any(|(refused, _)| refused == slot)
        };
        let dimension = columns.dimension.get("id");
        if dimension.is_some_and(|id| *id != format!("variables/evar{evar}")) {
            return Err(format!("it is by another dimension than variables/evar{evar}"));
        }
        let are_asked = ids.is_empty() || (ids.len() <= metrics.len() && metrics.iter().all(is_there));
        if are_asked { Ok(()) } else { Err("its columnIds are not those that were asked for".to_owned()) }
    }

    /// Adds a row. Returns false if the row was read before, because then the report changed during the reading.
    fn add(&mut self, row: Row, columns: &Columns) -> Result<bool, String> {
        let counts = self.counts(columns, &row.data)?;
        if !self.seen.insert(row.item_id.clone()) {
            return Ok(false);
        }
        let harmless = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
        let value: String = row.value.chars().take(VALUE_CHARS_MAX).map(harmless).collect();
        self.answer.rows.push(ReportRow { item_id: row.item_id, value, counts });
        Ok(true)
    }

    fn counts(&self, columns: &Columns, data: &[Value]) -> Result<Vec<f64>, String> {
        let ids = &columns.column_ids;
        let (values, places) =
            (data.len(), if ids.is_empty() { self.request.metrics.len() } else { ids.len() });
        if values != places {
            return Err(format!("a row has {values} values for {places} columns"));
        }
        let count = |(index, slot): (usize, &u16)| {
            if self.answer.refused.iter().any(|(refused, _)| refused == slot) {
                return Ok(f64::NAN);
            }
            // Without `columnIds` the columns are in the order of the request.
            let place =
                if ids.is_empty() { Some(index) } else { ids.iter().position(|id| *id == slot.to_string()) };
            let value = place.and_then(|place| data.get(place)).and_then(Value::as_f64);
            let count = value.ok_or_else(|| format!("a row has no number for event{slot}"))?;
            let is_whole = count.fract() == 0.0 || self.request.fractions == Fractions::Kept;
            if !(0.0..=COUNT_MAX).contains(&count) || !is_whole {
                return Err(format!("a row has {count:e} for event{slot}, which is no count"));
            }
            Ok(count)
        };
        self.request.metrics.iter().enumerate().map(count).collect()
    }
}

fn too_long(what: std::fmt::Arguments<'_>) -> String {
    format!(
        "{what}, and reports of requestors and MVPDs have at most {ROWS_MAX}: look in Analytics what else writes eVar1 and eVar2 of \
         this suite"
    )
}

/// The columns that Adobe refused. An error that names no column applies to all columns.
fn refused(metrics: &[u16], columns: &Columns) -> Vec<(u16, String)> {
    let error_of = |slot: u16| {
        let id = slot.to_string();
        let concerns = |error: &&ColumnError| error.column_id == id || error.column_id.is_empty();
        let ColumnError { error_code, error_description, .. } =
            columns.column_errors.iter().find(concerns)?;
        let text = error_code.as_ref().or(error_description.as_ref());
        let text = text
            .map_or_else(|| "an error without a name".to_owned(), |text| web::words(text, CODE_CHARS_MAX));
        Some((slot, text))
    };
    metrics.iter().filter_map(|slot| error_of(*slot)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn request(evar: u16) -> ReportRequest {
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).and_then(|date| date.and_hms_opt(0, 0, 0));
        ReportRequest {
            rsid: "examplersid".parse().expect("an rsid"),
            from: day(1).expect("a day"),
            to: day(8).expect("a day"),
            metrics: vec![7, 5],
            evar,
            within: None,
            search: None,
            fractions: Fractions::Refused,
        }
    }

    fn read(request: &ReportRequest, pages: &[Value]) -> Result<(Vec<ReportRow>, usize), String> {
        let mut reading = Reading::new(request);
        for (index, page) in pages.iter().enumerate() {
            let page = serde_json::from_value(page.clone()).map_err(|error| error.to_string())?;
            match reading.take(page)? {
                Progress::Done => return Ok((reading.answer.rows, index + 1)),
                Progress::More => {}
                Progress::Changed(_) => return Err("changed".to_owned()),
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
            ..request(2)
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
    }

    #[test]
    fn pages_are_taken_to_the_last_and_columns_by_their_ids() {
        let page = |rows: Value, last: bool| json!({"rows": rows, "lastPage": last, "totalElements": 2, "columns": {"columnIds": ["5", "7"]}});
        let (first, last) =
            (page(json!([row("1", json!([50, 70]))]), false), page(json!([row("2", json!([0.0, 2]))]), true));
        let (rows, pages) = read(&request(1), &[first.clone(), last]).expect("a report");
        assert_eq!(
            (rows[0].counts.clone(), rows[1].counts.clone(), pages),
            (vec![70.0, 50.0], vec![2.0, 0.0], 2)
        );
        assert_eq!(read(&request(1), &[first.clone(), first]).err().as_deref(), Some("changed"));
    }

    #[test]
    fn a_refused_column_is_no_number_whatever_its_row_says() {
        let page = json!({"rows": [row("1", json!([70, 0]))], "lastPage": true,
            "columns": {"columnIds": ["7", "5"], "columnErrors": [{"columnId": "5", "errorCode": "not_enabled_metric"}]}});
        let request = request(1);
        let mut reading = Reading::new(&request);
        assert!(matches!(reading.take(serde_json::from_value(page).expect("a page")), Ok(Progress::Done)));
        let answer = reading.answer;
        assert_eq!(answer.refused, [(5, "not_enabled_metric".to_owned())]);
        assert!(answer.rows[0].counts[0] == 70.0 && answer.rows[0].counts[1].is_nan(), "{answer:?}");
    }

    #[test]
    fn a_report_that_exceeds_what_it_announces_or_was_asked_for_is_none() {
        let rows =
            |count: u32| json!((0..count).map(|id| row(&id.to_string(), json!([1, 1]))).collect::<Vec<_>>());
        let by = request(1);
        for (pages, why) in [
            (
                vec![json!({"rows": rows(401), "lastPage": true})],
                "a page has 401 rows, and 400 were asked for",
            ),
            (vec![json!({"rows": rows(3), "lastPage": false, "totalElements": 2})], "more than the 2 rows"),
            (vec![json!({"rows": rows(3), "lastPage": false, "totalPages": 1})], "more than the 1 pages"),
            (
                vec![json!({"rows": rows(3), "lastPage": true, "number": 1})],
                "it is page 1, and page 0 was asked",
            ),
            (
                vec![json!({"rows": rows(3), "lastPage": true, "firstPage": false})],
                "its firstPage contradicts",
            ),
            (
                vec![json!({"rows": rows(3), "lastPage": true, "totalPages": 2})],
                "page 1 of 2 says that it is",
            ),
            (
                vec![json!({"rows": rows(3), "lastPage": false, "number": 0}); 2],
                "it is page 0, and page 1 was asked for",
            ),
            (
                vec![json!({"rows": rows(3), "lastPage": false, "firstPage": true}); 2],
                "its firstPage contradicts",
            ),
        ] {
            let error = read(&by, &pages).expect_err("no report");
            assert!(error.contains(why), "{error}");
        }
        let full = |page: u32, announced: Value| {
            let rows = (0..400).map(|id| row(&format!("{page}-{id}"), json!([1, 1]))).collect::<Vec<_>>();
            let mut page = json!({"rows": rows, "lastPage": false});
            page.as_object_mut().expect("a page").extend(announced.as_object().expect("an object").clone());
            serde_json::from_value::<Page>(page).expect("a page")
        };
        // Too many announced rows are refused at once; an endless report is refused after the last allowed page.
        for (announced, pages_read) in [
            (json!({"totalPages": 1_000_000_000}), 1),
            (json!({"totalElements": ROWS_MAX + 1}), 1),
            (json!({"totalPages": PAGES_MAX}), 50),
            (json!({}), 50),
        ] {
            let mut reading = Reading::new(&by);
            let end = (0..100).find_map(|page| {
                reading.take(full(page, announced.clone())).err().map(|why| (page + 1, why))
            });
            let (pages, why) = end.expect("an end");
            assert_eq!(pages, pages_read, "{announced}");
            assert!(why.contains("at most 20000") || why.contains("more than the 50 pages"), "{why}");
            assert!(reading.answer.rows.len() <= ROWS_MAX as usize);
        }
    }

    #[test]
    fn a_report_by_another_dimension_or_of_other_columns_is_none() {
        for (columns, values, why) in [
            (json!({"dimension": {"id": "variables/evar9"}}), 2, "by another dimension than variables/evar1"),
            (json!({"columnIds": ["7", "9"]}), 2, "are not those that were asked for"),
            (json!({"columnIds": ["7", "7"]}), 2, "are not those that were asked for"),
            (json!({"columnIds": ["7"]}), 1, "are not those that were asked for"),
            (json!({"columnIds": ["7", "5", "9"]}), 3, "are not those that were asked for"),
            (json!({"columnIds": ["5", "7"]}), 3, "a row has 3 values for 2 columns"),
        ] {
            let rows = [row("1", json!(vec![1; values]))];
            let page = json!({"rows": rows, "lastPage": true, "columns": columns});
            let error = read(&request(1), &[page]).expect_err("no report");
            assert!(error.contains(why), "{columns}: {error}");
        }
    }

    #[test]
    fn what_is_no_count_is_refused_and_never_rounded() {
        let with = |count: Value| json!({"rows": [row("1", json!([7, count]))], "lastPage": true});
        for count in [json!(-1), json!(0.5), json!(-0.25), json!(1e300), json!(u64::MAX), json!("5")] {
            let error = read(&request(1), &[with(count.clone())]).expect_err("no report");
            assert!(error.contains("for event5"), "{count}: {error}");
        }
        let credits = ReportRequest { fractions: Fractions::Kept, ..request(1) };
        assert_eq!(read(&credits, &[with(json!(0.5))]).expect("a report").0[0].counts, [7.0, 0.5]);
        assert!(read(&credits, &[with(json!(-0.5))]).is_err());
    }

    #[test]
    fn texts_of_a_report_are_short_and_harmless() {
        let code = format!("unauthorized\u{1b}[2J{}", "x".repeat(5_000));
        let value = format!("a\u{9b}31m  b{}", "x".repeat(5_000));
        let page = json!({"rows": [{"itemId": "1", "value": value, "data": [70, 0]}], "lastPage": true,
            "columns": {"columnIds": ["7", "5"], "columnErrors": [{"columnId": "5", "errorCode": code}]}});
        let by = request(1);
        let mut reading = Reading::new(&by);
        assert!(matches!(reading.take(serde_json::from_value(page).expect("a page")), Ok(Progress::Done)));
        let (value, code) = (&reading.answer.rows[0].value, &reading.answer.refused[0].1);
        assert!(
            value.starts_with("a\u{FFFD}31m  bxx") && value.chars().count() == VALUE_CHARS_MAX,
            "{value}"
        );
        assert!(
            code.starts_with("unauthorized\u{FFFD}[2J") && code.chars().count() == CODE_CHARS_MAX,
            "{code}"
        );
    }

    #[test]
    fn what_is_not_whole_is_no_report() {
        for (page, why) in [
            (json!({"rows": []}), "neither lastPage nor totalPages"),
            (
                json!({"rows": [], "lastPage": false, "totalElements": 3}),
                "a page before the last one has no rows",
            ),
            (json!({"rows": [row("1", json!([7]))], "lastPage": true}), "a row has 1 values for 2 columns"),
            (
                json!({"rows": [row("1", json!([7, 5, 9]))], "lastPage": true}),
                "a row has 3 values for 2 columns",
            ),
            (
                json!({"rows": [row("1", json!([7, null]))], "lastPage": true}),
                "a row has no number for event5",
            ),
            (json!({"rows": [row("1", json!([7, 1]))], "lastPage": true, "totalElements": 2}), "changed"),
        ] {
            let error = read(&request(1), std::slice::from_ref(&page)).expect_err("no report");
            assert!(error.contains(why), "{page}: {error}");
        }
    }
}
