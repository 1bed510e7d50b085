//! Ranked reports: what is asked for, counted anew from the ledger for each request.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::ledger::{Counted, Item, Items, Ledger};
use super::super::makeup::{Access, Makeup};
use super::clause::Clause;
use super::refusal::{Refusal, bad};
use crate::event::Instant;

/// Rows of a page where a request names no limit.
const LIMIT_DEFAULT: usize = 10;

/// What of a request is understood. Anything else is left aside, as by Adobe.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) rsid: String,
    #[serde(default)]
    global_filters: Vec<Filter>,
    #[serde(default)]
    dimension: String,
    metric_container: Metrics,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    search: Search,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    #[serde(default)]
    metrics: Vec<Metric>,
    #[serde(default)]
    metric_filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    #[serde(default)]
    column_id: Option<String>,
    id: String,
    #[serde(default)]
    filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    dimension: String,
    item_id: Option<String>,
    item_value: Option<String>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Search {
    clause: String,
    item_ids: Vec<Value>,
    exclude_item_ids: Vec<Value>,
}

/// A span in Unix seconds, its end exclusive.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
}

/// A dimension that reports can have here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Evar(u16),
    Day,
}

/// What a column counts only.
#[derive(Debug)]
enum Condition {
    /// The value or day with this ID; `None` is a value that nobody has.
    Is(Dimension, Option<i64>),
    Within(Span),
}

struct Column {
    id: String,
    slot: u16,
    conditions: Vec<Condition>,
    error: Option<String>,
}

struct Row {
    /// Its ID, by which it also sorts.
    id: i64,
    shown: String,
    counts: Vec<f64>,
}

/// What a report is made of.
pub(super) struct Source<'s> {
    pub(super) ledger: &'s Ledger,
    pub(super) makeup: &'s Makeup,
    /// Hits that were received later do not show yet.
    pub(super) visible_until: Instant,
    pub(super) rows_per_page_max: usize,
}

/// Answers a request: 206 where a column has an error. What a column with an error shows is not published; here it is zero,
/// which nobody should believe.
pub(super) fn answer(request: &Request, source: &Source<'_>) -> Result<(StatusCode, Value), Refusal> {
    let zone = source.makeup.timezone;
    let mut spans = request.global_filters.iter().filter(|filter| filter.kind == "dateRange");
    let span = match (spans.next(), spans.next()) {
        (Some(filter), None) => span(&filter.date_range, zone)?,
        _ => return Err(bad("globalFilters must have one dateRange here")),
    };
    let dimension = dimension(&request.dimension)?;
    let metrics = &request.metric_container.metrics;
    if metrics.is_empty() {
        return Err(bad("metricContainer has no metrics"));
    }
    let columns = metrics.iter().enumerate().map(|(index, metric)| column(index, metric, request, source));
    let mut columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
    if let Some(Dimension::Evar(number)) = dimension
        && let Some(error) = error_of(source.makeup.evar_access(number), "dimension_global")
    {
        columns.iter_mut().for_each(|column| column.error = Some(error.clone()));
    }
    let (totals, rows) = count(source, span, dimension, &columns);
    let errors: Vec<Value> = columns
        .iter()
        .filter_map(|column| Some((column, column.error.as_ref()?)))
        .map(|(column, error)| json!({ "columnId": column.id, "errorCode": error, "errorId": "0", "errorDescription": error }))
        .collect();
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let column_ids: Vec<&str> = columns.iter().map(|column| column.id.as_str()).collect();
    let mut described = json!({ "columnIds": column_ids });
    if !errors.is_empty() {
        described["columnErrors"] = errors.into();
    }
    if let Some(dimension) = dimension {
        let kind = if dimension == Dimension::Day { "time" } else { "string" };
        described["dimension"] = json!({ "id": request.dimension, "type": kind });
    }
    let rows = request.select(rows)?;
    let limit = request.settings.limit.unwrap_or(LIMIT_DEFAULT).min(source.rows_per_page_max);
    if limit == 0 {
        return Err(bad("settings.limit must be 1 or more"));
    }
    let number = request.settings.page;
    let pages = rows.len().div_ceil(limit).max(1);
    let page = rows.iter().skip(number.saturating_mul(limit)).take(limit);
    let page: Vec<Value> = page
        .map(|row| json!({ "itemId": row.id.to_string(), "value": row.shown, "data": row.counts }))
        .collect();
    let document = json!({ "totalPages": pages, "firstPage": number == 0, "lastPage": number + 1 >= pages,
        "numberOfElements": page.len(), "number": number, "totalElements": rows.len(), "columns": described, "rows": page,
        "summaryData": { "totals": totals } });
    Ok((status, document))
}

impl Request {
    /// The rows that are asked for, in their order.
    fn select(&self, rows: Vec<Row>) -> Result<Vec<Row>, Refusal> {
        let clause = Clause::of(&self.search.clause).map_err(bad)?;
        let ids = |values: &[Value]| -> Vec<String> {
            values.iter().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect()
        };
        let (only, without) = (ids(&self.search.item_ids), ids(&self.search.exclude_item_ids));
        let hides_nones = self.settings.nones_behavior == "exclude-nones";
        let is_wanted = |row: &Row| {
            let id = row.id.to_string();
            (only.is_empty() || only.contains(&id))
                && !without.contains(&id)
                && !(hides_nones && row.id == 0)
                && clause.takes(&row.shown)
        };
        let mut rows: Vec<Row> = rows.into_iter().filter(is_wanted).collect();
        match self.settings.dimension_sort.as_str() {
            "asc" => rows.sort_by_key(|row| row.id),
            "desc" => rows.sort_by_key(|row| -row.id),
            // By the first column, as Adobe does where nothing is asked for.
            _ => rows.sort_by(|one, other| {
                let first = |row: &Row| row.counts.first().copied().unwrap_or(0.0);
                first(other).total_cmp(&first(one)).then(one.id.cmp(&other.id))
            }),
        }
        Ok(rows)
    }
}

/// The totals and the rows of a report. A day shows even where nothing happened, a value only where something did.
fn count(
    source: &Source<'_>,
    span: Span,
    dimension: Option<Dimension>,
    columns: &[Column],
) -> (Vec<f64>, Vec<Row>) {
    let zone = source.makeup.timezone;
    let mut totals = vec![0.0; columns.len()];
    let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
    let row = |id, shown: String| Row { id, shown, counts: vec![0.0; columns.len()] };
    if dimension == Some(Dimension::Day) {
        for day in days(span, zone) {
            rows.insert(day_id(day), row(day_id(day), day.format("%b %-d, %Y").to_string()));
        }
    }
    let counted = source.ledger.counted.iter();
    for event in counted.filter(|event| span.has(event.at) && event.received_at <= source.visible_until) {
        let counting = columns.iter().enumerate().filter(|(_, column)| column.counts(event, zone));
        for (index, _) in counting {
            totals[index] += event.units;
            if let Some(dimension) = dimension {
                let id = dimension.id_of(event, zone);
                let shown = || row(id, source.shown(dimension, id));
                rows.entry(id).or_insert_with(shown).counts[index] += event.units;
            }
        }
    }
    (totals, rows.into_values().collect())
}

impl Source<'_> {
    /// The value of an eVar as it is shown.
    fn shown(&self, dimension: Dimension, id: i64) -> String {
        let items = match dimension {
            Dimension::Evar(number) => self.ledger.items.get(&number),
            Dimension::Day => None,
        };
        items.map_or("Unspecified", |items| items.shown(id as Item)).to_owned()
    }
}

impl Dimension {
    /// The ID of the value or the day that an event is counted under.
    fn id_of(self, event: &Counted, zone: Tz) -> i64 {
        match self {
            Dimension::Day => day_id(day_of(event.at, zone)),
            Dimension::Evar(number) => {
                event.values.get(usize::from(number) - 1).map_or(0, |item| i64::from(*item))
            }
        }
    }
}

impl Column {
    fn counts(&self, event: &Counted, zone: Tz) -> bool {
        let holds = |condition: &Condition| match condition {
            Condition::Is(dimension, id) => *id == Some(dimension.id_of(event, zone)),
            Condition::Within(span) => span.has(event.at),
        };
        self.error.is_none() && self.slot == event.slot && self.conditions.iter().all(holds)
    }
}

impl Span {
    fn has(self, at: i64) -> bool {
        (self.from..self.to).contains(&at)
    }
}

fn column(index: usize, metric: &Metric, request: &Request, source: &Source<'_>) -> Result<Column, Refusal> {
    let number = metric.id.strip_prefix("metrics/").and_then(|name| name.strip_prefix("event"));
    let slot: u16 = number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| bad(format!("the sandbox has no metric {:?}, but metrics/eventN", metric.id)))?;
    let mut error = error_of(source.makeup.event_access(slot), "metric");
    let mut conditions = Vec::new();
    for name in &metric.filters {
        let filter = request.metric_container.metric_filters.iter().find(|filter| filter.id == *name);
        let filter = filter.ok_or_else(|| bad(format!("no metricFilter has the id {name:?}")))?;
        match filter.kind.as_str() {
            "dateRange" => {
                conditions.push(Condition::Within(span(&filter.date_range, source.makeup.timezone)?));
            }
            "breakdown" => {
                let dimension =
                    dimension(&filter.dimension)?.ok_or_else(|| bad("a breakdown needs a dimension"))?;
                let nothing = Items::default();
                let (items, access) = match dimension {
                    Dimension::Evar(number) => {
                        (source.ledger.items.get(&number), source.makeup.evar_access(number))
                    }
                    Dimension::Day => (None, Access::Open),
                };
                let items = items.unwrap_or(&nothing);
                let id = match (dimension, &filter.item_id, &filter.item_value) {
                    (Dimension::Day, Some(id), _) => id.parse().ok(),
                    (Dimension::Evar(_), Some(id), _) => items.with_id(id).map(i64::from),
                    (Dimension::Evar(_), None, Some(text)) => items.with_text(text).map(i64::from),
                    _ => return Err(bad("a breakdown needs itemId, or by an eVar itemValue")),
                };
                error = error.or_else(|| error_of(access, "dimension"));
                conditions.push(Condition::Is(dimension, id));
            }
            kind => return Err(bad(format!("the sandbox knows no filter of type {kind:?}"))),
        }
    }
    let id = metric.column_id.clone().unwrap_or_else(|| index.to_string());
    Ok(Column { id, slot, conditions, error })
}

/// The code of the error that a column has by what the credential can see.
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

/// A range such as `2026-11-01T00:00:00.000/2026-11-08T00:00:00.000`, on the clock of the suite.
fn span(text: &str, zone: Tz) -> Result<Span, Refusal> {
    let refuse = || bad(format!("dateRange {text:?} is none"));
    let instant = |text: &str| {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
        let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
        Some(unix_seconds(local, zone))
    };
    let (from, to) = text.split_once('/').ok_or_else(refuse)?;
    let (from, to) = instant(from).zip(instant(to)).ok_or_else(refuse)?;
    if from < to { Ok(Span { from, to }) } else { Err(refuse()) }
}

/// The first time that a clock shows this, or would have, in the hour that summer time skips.
fn unix_seconds(local: NaiveDateTime, zone: Tz) -> i64 {
    let shown = zone.from_local_datetime(&local).earliest();
    let shown = shown.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest());
    shown.map_or(local.and_utc().timestamp(), |at| at.timestamp())
}

fn day_of(at: i64, zone: Tz) -> NaiveDate {
    let utc: DateTime<Utc> = DateTime::from_timestamp(at, 0).unwrap_or_default();
    utc.with_timezone(&zone).date_naive()
}

/// Every day that a span touches.
fn days(span: Span, zone: Tz) -> impl Iterator<Item = NaiveDate> {
    let last = day_of(span.to - 1, zone);
    day_of(span.from, zone).iter_days().take_while(move |day| *day <= last)
}

/// Year less 1900, month from 0, day: 1251028 is 2025-11-28.
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
        assert_eq!((range.to - range.from, days(range, zone).count()), (25 * 3600, 1));
        let midnight = NaiveDate::from_ymd_opt(2025, 11, 29).and_then(|day| day.and_hms_opt(0, 0, 0));
        let midnight = unix_seconds(midnight.expect("a day"), zone);
        assert_eq!(day_id(day_of(midnight - 1, zone)), 1_251_028);
        assert!(span("2026-11-02T00:00/2026-11-01T00:00", zone).is_err() && span("td-7d/td", zone).is_err());
    }
}
