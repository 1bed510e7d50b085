//! Ranked reports, counted anew from the ledger for each request.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::makeup::{Access, Makeup};
use super::super::processing::{Counted, Item, Ledger};
use crate::event::Instant;

/// The most rows of a page if a request names no limit.
const LIMIT_DEFAULT: usize = 10;

/// Why a request is refused: the status, and what the API says.
pub(super) type Refusal = (StatusCode, Value);

pub(super) fn refusal(status: StatusCode, code: &str, why: impl Into<String>) -> Refusal {
    (status, json!({ "errorCode": code, "errorDescription": why.into(), "errorId": "0" }))
}

pub(super) fn not_found(what: &str) -> Refusal {
    refusal(StatusCode::NOT_FOUND, "resource_not_found", format!("there is no {what}"))
}

/// The refusal of a request that cannot be understood.
pub(super) fn bad(why: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "invalid_parameters", why)
}

/// The fields of a request that are understood. Other fields are ignored, as at Adobe.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    pub(super) rsid: String,
    global_filters: Vec<Filter>,
    dimension: String,
    metric_container: Metrics,
    settings: Settings,
    search: Search,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metrics {
    metrics: Vec<Metric>,
    metric_filters: Vec<Filter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metric {
    column_id: Option<String>,
    id: String,
    filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    dimension: String,
    item_id: String,
    date_range: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    limit: Option<usize>,
    page: usize,
    dimension_sort: String,
    nones_behavior: String,
}

/// Other fields of a search are refused here, because a report that ignored them would be wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Search {
    clause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Evar(u16),
    Day,
}

struct Column {
    id: String,
    slot: u16,
    /// The column counts only events with these values of eVars; `None` is a value that no event has.
    within: Vec<(u16, Option<Item>)>,
    error: Option<String>,
}

struct Row {
    shown: String,
    counts: Vec<f64>,
}

/// Rows by the ID of their value or day.
type Rows = BTreeMap<i64, Row>;

pub(super) struct Source<'s> {
    pub(super) ledger: &'s Ledger,
    pub(super) makeup: &'s Makeup,
    /// Hits that were received later are not shown yet.
    pub(super) visible_until: Instant,
    pub(super) rows_per_page_max: usize,
}

/// Answers a request, with 206 if a column has an error. Adobe's documentation does not say which numbers such a column
/// has. Here they are 0, and a client must not take them for counts.
pub(super) fn answer(request: &Request, source: &Source<'_>) -> Result<(StatusCode, Value), Refusal> {
    let mut spans = request.global_filters.iter().filter(|filter| filter.kind == "dateRange");
    let span = match (spans.next(), spans.next()) {
        (Some(filter), None) => span(&filter.date_range, source.makeup.timezone)?,
        _ => return Err(bad("globalFilters must have one dateRange here")),
    };
    let dimension = dimension(&request.dimension)?;
    let columns = request.columns(dimension, source)?;
    let (totals, rows) = source.count(&span, dimension, &columns);
    let rows = request.select(rows)?;
    let limit = request.settings.limit.unwrap_or(LIMIT_DEFAULT).min(source.rows_per_page_max);
    if limit == 0 {
        return Err(bad("settings.limit must be 1 or more"));
    }
    let number = request.settings.page;
    let pages = rows.len().div_ceil(limit).max(1);
    let page = rows.iter().skip(number.saturating_mul(limit)).take(limit);
    let page: Vec<Value> = page
        .map(|(id, row)| json!({ "itemId": id.to_string(), "value": row.shown, "data": row.counts }))
        .collect();
    let (status, columns) = request.described(dimension, &columns);
    let document = json!({ "totalPages": pages, "firstPage": number == 0, "lastPage": number + 1 >= pages,
        "numberOfElements": page.len(), "number": number, "totalElements": rows.len(), "columns": columns, "rows": page,
        "summaryData": { "totals": totals } });
    Ok((status, document))
}

impl Request {
    fn columns(&self, dimension: Option<Dimension>, source: &Source<'_>) -> Result<Vec<Column>, Refusal> {
        let metrics = &self.metric_container.metrics;
        if metrics.is_empty() {
            return Err(bad("metricContainer has no metrics"));
        }
        let error = match dimension {
            Some(Dimension::Evar(number)) => error_of(source.makeup.evar_access(number), "dimension_global"),
            Some(Dimension::Day) | None => None,
        };
        let columns = metrics.iter().enumerate().map(|(index, metric)| {
            let column = self.column(index, metric, source)?;
            Ok(Column { error: error.clone().or(column.error), ..column })
        });
        columns.collect()
    }

    fn column(&self, index: usize, metric: &Metric, source: &Source<'_>) -> Result<Column, Refusal> {
        let slot = metric.id.strip_prefix("metrics/event").and_then(|number| number.parse().ok());
        let no_metric = || bad(format!("the sandbox has no metric {:?}, but metrics/eventN", metric.id));
        let slot = slot.ok_or_else(no_metric)?;
        let mut error = error_of(source.makeup.event_access(slot), "metric");
        let mut within = Vec::new();
        for name in &metric.filters {
            let filter = self.metric_container.metric_filters.iter().find(|filter| filter.id == *name);
            let filter = filter.ok_or_else(|| bad(format!("no metricFilter has the id {name:?}")))?;
            let number = match dimension(&filter.dimension)? {
                Some(Dimension::Evar(number)) if filter.kind == "breakdown" => number,
                _ => {
                    return Err(bad(format!("metricFilter {name:?}: the sandbox breaks down by eVars only")));
                }
            };
            error = error.or_else(|| error_of(source.makeup.evar_access(number), "dimension"));
            within.push((number, source.ledger.item(number, &filter.item_id)));
        }
        let id = metric.column_id.clone().unwrap_or_else(|| index.to_string());
        Ok(Column { id, slot, within, error })
    }

    /// The rows that the request asks for, in the order that it asks for.
    fn select(&self, rows: Rows) -> Result<Vec<(i64, Row)>, Refusal> {
        let wanted = wanted_text(&self.search.clause)?;
        let hides_nones = self.settings.nones_behavior == "exclude-nones";
        let rows = rows
            .into_iter()
            .filter(|(id, row)| !(hides_nones && *id == 0) && row.shown.to_lowercase().contains(&wanted));
        let mut rows: Vec<(i64, Row)> = rows.collect();
        match self.settings.dimension_sort.as_str() {
            "asc" => {}
            "desc" => rows.reverse(),
            // The largest number of the first column comes first, as at Adobe if the request asks for no order.
            _ => rows.sort_by(|(_, one), (_, other)| other.counts[0].total_cmp(&one.counts[0])),
        }
        Ok(rows)
    }

    /// What the answer says about its columns, and the status that follows from their errors.
    fn described(&self, dimension: Option<Dimension>, columns: &[Column]) -> (StatusCode, Value) {
        let ids: Vec<&str> = columns.iter().map(|column| column.id.as_str()).collect();
        let mut described = json!({ "columnIds": ids });
        if let Some(dimension) = dimension {
            let kind = if dimension == Dimension::Day { "time" } else { "string" };
            described["dimension"] = json!({ "id": self.dimension, "type": kind });
        }
        let errors = columns.iter().filter_map(|column| Some((column, column.error.as_ref()?)));
        let errors: Vec<Value> = errors
            .map(|(column, error)| json!({ "columnId": column.id, "errorCode": error, "errorId": "0", "errorDescription": error }))
            .collect();
        if errors.is_empty() {
            return (StatusCode::OK, described);
        }
        described["columnErrors"] = errors.into();
        (StatusCode::PARTIAL_CONTENT, described)
    }
}

/// The text of a search clause in lower case; empty if there is none. Of Adobe's search syntax the sandbox knows only
/// `CONTAINS 'text'`, in which a backslash makes the next character literal.
fn wanted_text(clause: &str) -> Result<String, Refusal> {
    let refuse = || bad(format!("search.clause {clause:?}: the sandbox knows CONTAINS 'text' only"));
    if clause.is_empty() {
        return Ok(String::new());
    }
    let quoted = clause.strip_prefix("CONTAINS '").and_then(|rest| rest.strip_suffix('\''));
    let mut signs = quoted.ok_or_else(refuse)?.chars();
    let mut text = String::new();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => text.push(signs.next().ok_or_else(refuse)?),
            '*' | '\'' => return Err(refuse()),
            _ => text.push(sign),
        }
    }
    Ok(text.to_lowercase())
}

impl Source<'_> {
    /// The totals and rows of a report: a row for each day of the span, or for each value that events have in the eVar.
    fn count(&self, span: &Range<i64>, dimension: Option<Dimension>, columns: &[Column]) -> (Vec<f64>, Rows) {
        let zone = self.makeup.timezone;
        let nothing = vec![0.0; columns.len()];
        let (mut totals, mut rows) = (nothing.clone(), BTreeMap::new());
        if dimension == Some(Dimension::Day) {
            rows.extend(days(span, zone).map(|day| {
                (day_id(day), Row { shown: day.format("%b %-d, %Y").to_string(), counts: nothing.clone() })
            }));
        }
        let counted = self.ledger.counted.iter();
        for event in
            counted.filter(|event| span.contains(&event.at) && event.received_at <= self.visible_until)
        {
            for (index, _) in columns.iter().enumerate().filter(|(_, column)| column.counts(event)) {
                totals[index] += event.units;
                let Some(dimension) = dimension else { continue };
                let id = dimension.id_of(event, zone);
                let shown = match dimension {
                    Dimension::Evar(number) => self.ledger.shown(number, id as Item),
                    // Every day of the span has its row already.
                    Dimension::Day => "",
                };
                let row = || Row { shown: shown.to_owned(), counts: nothing.clone() };
                rows.entry(id).or_insert_with(row).counts[index] += event.units;
            }
        }
        (totals, rows)
    }
}

impl Dimension {
    /// The ID of the value or the day that an event is counted under.
    fn id_of(self, event: &Counted, zone: Tz) -> i64 {
        match self {
            Dimension::Day => day_id(day_of(event.at, zone)),
            Dimension::Evar(number) => event.item(number).into(),
        }
    }
}

impl Column {
    fn counts(&self, event: &Counted) -> bool {
        let mut within = self.within.iter();
        self.error.is_none()
            && self.slot == event.slot
            && within.all(|(number, item)| *item == Some(event.item(*number)))
    }
}

/// The error code of a column, which follows from what the credential can see.
fn error_of(access: Access, of: &str) -> Option<String> {
    match access {
        Access::Open => None,
        Access::Disabled => Some(format!("not_enabled_{of}")),
        Access::Forbidden => Some(format!("unauthorized_{of}")),
    }
}

fn dimension(id: &str) -> Result<Option<Dimension>, Refusal> {
    let name = id.strip_prefix("variables/").unwrap_or(id);
    let number = name.strip_prefix("evar").and_then(|number| number.parse::<u16>().ok());
    match (name, number.filter(|number| *number > 0)) {
        ("", _) => Ok(None),
        ("daterangeday", _) => Ok(Some(Dimension::Day)),
        (_, Some(number)) => Ok(Some(Dimension::Evar(number))),
        _ => Err(bad(format!("the sandbox has no dimension {id:?}"))),
    }
}

/// The Unix seconds of a range such as `2026-11-01T00:00:00.000/2026-11-08T00:00:00.000`, on the clock of the suite.
fn span(text: &str, zone: Tz) -> Result<Range<i64>, Refusal> {
    let refuse = || bad(format!("dateRange {text:?} is none"));
    let instant = |text: &str| {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
        let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
        Some(unix_seconds(local, zone))
    };
    let (from, to) = text.split_once('/').ok_or_else(refuse)?;
    let (from, to) = instant(from).zip(instant(to)).ok_or_else(refuse)?;
    if from < to { Ok(from..to) } else { Err(refuse()) }
}

/// The first instant at which a clock shows this time; an hour later if summer time skips this time.
fn unix_seconds(local: NaiveDateTime, zone: Tz) -> i64 {
    let shown = zone.from_local_datetime(&local).earliest();
    let shown = shown.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest());
    shown.map_or(local.and_utc().timestamp(), |at| at.timestamp())
}

fn day_of(at: i64, zone: Tz) -> NaiveDate {
    let utc: DateTime<Utc> = DateTime::from_timestamp(at, 0).unwrap_or_default();
    utc.with_timezone(&zone).date_naive()
}

fn days(span: &Range<i64>, zone: Tz) -> impl Iterator<Item = NaiveDate> {
    let last = day_of(span.end - 1, zone);
    day_of(span.start, zone).iter_days().take_while(move |day| *day <= last)
}

/// The ID of a day: the year less 1900, the month from 0, the day. 1251028 is 2025-11-28.
fn day_id(day: NaiveDate) -> i64 {
    i64::from(day.year() - 1900) * 10_000 + i64::from(day.month0() * 100 + day.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_suite_and_named_as_adobe_does() {
        let zone = Tz::US__Pacific;
        let day = NaiveDate::from_ymd_opt(2025, 11, 28).expect("a day");
        assert_eq!(day_id(day), 1_251_028);
        // The day on which summer time ends has 25 hours.
        let range = span("2026-11-01T00:00:00.000/2026-11-02T00:00", zone).expect("a span");
        assert_eq!((range.end - range.start, days(&range, zone).count()), (25 * 3600, 1));
        let midnight = NaiveDate::from_ymd_opt(2025, 11, 29).and_then(|day| day.and_hms_opt(0, 0, 0));
        let midnight = unix_seconds(midnight.expect("a day"), zone);
        assert_eq!(day_id(day_of(midnight - 1, zone)), 1_251_028);
        assert!(span("2026-11-02T00:00/2026-11-01T00:00", zone).is_err() && span("td-7d/td", zone).is_err());
    }

    #[test]
    fn a_clause_takes_text_with_literal_signs_and_nothing_else() {
        for (clause, expected) in [
            ("", ""),
            ("CONTAINS 'Home'", "home"),
            ("CONTAINS 'a\\*c'", "a*c"),
            ("CONTAINS 'it\\'s'", "it's"),
            ("CONTAINS ''", ""),
        ] {
            assert_eq!(wanted_text(clause), Ok(expected.to_owned()), "{clause}");
        }
        for clause in [
            "CONTAINS 'open",
            "CONTAINS 'a\\'",
            "CONTAINS 'a*c'",
            "CONTAINS 'a' AND CONTAINS 'b'",
            "MATCH 'a'",
            "(CONTAINS 'a')",
        ] {
            assert!(wanted_text(clause).is_err(), "{clause}");
        }
    }
}
