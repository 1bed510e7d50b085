//! Entitlement Service Monitoring and Dynamic Client Registration, as far as a client of reports needs them.
//!
//! ```text
//! POST /o/client/register    {"software_statement":"..."} -> 201 with client_id and client_secret
//! POST /o/client/token       a form of client_id, client_secret and grant_type=client_credentials -> 201 with access_token
//! GET  /esm/v3/year/month/day/hour/...    the report of these dimensions, as JSON, XML or CSV, perhaps gzip
//! PUT  /sandbox/esm          {"add":{"2026-11-10T08":5},"limit":100,"refuse_next":2,"break_next":1,"forget_tokens_after":1}
//! ```
//!
//! The counts of an hour depend only on its date and hour, so every sandbox shows the same counts; `add` corrects
//! them. Only paths of the published drill-down tree for programmers are found, and only with dimensions known here.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{DurationRound, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header as names};
use serde_json::{Value, json};

use super::reply::{self, Complaint, Reply, bad};
use super::request::{Fields, header};
use super::settings::{take_last, take_one};
use super::world::{EsmState, Shared};

pub(super) const REPORTS: &str = "/esm/v3/";
pub(super) const CLIENTS: &str = "/o/client/";
/// The lifetime of a token, as in Adobe's sample.
const TOKEN_LIFE: Duration = Duration::from_secs(21_600);
/// The most rows of a report if a request names no limit.
const LIMIT_DEFAULT: usize = 10_000;
/// The most hours of one report: a year.
const HOURS_MAX: i64 = 366 * 24;
/// The combinations that have counts: platform, requestor ID, proxy, MVPD and media company.
const CELLS: [[&str; 5]; 4] = [
    ["Roku", "REF30", "Direct", "Cableco", "Refmedia"],
    ["tvOS", "REF30", "Direct", "Cableco", "Refmedia"],
    ["Roku", "REF30", "Hub", "Smallco", "Refmedia"],
    ["Roku", "OTHER", "Direct", "Cableco", "Othermedia"],
];
const DIMENSIONS: [&str; 5] = ["platform", "requestor-id", "proxy", "mvpd", "media-company"];
/// The published drill-down paths after the hour. The beginning of a path, up to a slash, is a path too. The first
/// three also exist after the minute.
const TREE: [&str; 5] = [
    "media-company/proxy/mvpd/requestor-id/platform",
    "proxy/mvpd/media-company/requestor-id",
    "requestor-id/platform",
    "media-company/requestor-id/platform",
    "platform",
];
const METRICS: &str = "authn-attempts authn-pending authn-successful authz-attempts authz-successful authz-failed \
    authz-rejected authz-latency media-tokens clientless-tokens clientless-failures unique-accounts";

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Reply {
    let esm = &mut shared.world().esm;
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/o/client/register") => register(esm, body),
        (&Method::POST, "/o/client/token") => token(esm, &Fields::of(body)),
        (&Method::GET, path) if path.starts_with(REPORTS) => match report(esm, head) {
            Ok((media, text)) => packed(esm, head, media, text),
            Err((status, why)) => {
                let wait = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(0);
                reply::retry_after(reply::whole(status, "text/plain", why), wait)
            }
        },
        _ => reply::bare(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn register(esm: &mut EsmState, body: &[u8]) -> Reply {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    if request["software_statement"].as_str().is_none_or(str::is_empty) {
        return reply::error(StatusCode::BAD_REQUEST, "invalid_software_statement");
    }
    esm.clients += 1;
    let number = esm.clients;
    let answer = json!({
        "client_id": format!("client-{number}"), "client_secret": format!("secret-of-client-{number}"),
        "client_id_issued_at": 0, "redirect_uris": [], "grant_types": ["client_credentials"],
        "scopes": ["api:client:v2"],
    });
    reply::json(StatusCode::CREATED, &answer)
}

fn token(esm: &mut EsmState, form: &Fields) -> Reply {
    if form.get("grant_type") != "client_credentials" {
        return reply::error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let id = form.get("client_id");
    let is_known = (1..=esm.clients).any(|number| id == format!("client-{number}"));
    if !is_known || form.get("client_secret") != format!("secret-of-{id}") {
        return reply::error(StatusCode::BAD_REQUEST, "invalid_client");
    }
    let token = esm.tokens.issue(id, TOKEN_LIFE);
    let answer = json!({
        "id": token, "access_token": token, "created_at": 0, "expires_in": TOKEN_LIFE.as_secs(), "token_type": "bearer",
    });
    reply::json(StatusCode::CREATED, &answer)
}

/// A report as it is sent: packed if the client accepts that. A packed report breaks off if the settings say so.
fn packed(esm: &mut EsmState, head: &Parts, media: &'static str, text: String) -> Reply {
    if !header(&head.headers, "accept-encoding").contains("gzip") {
        return reply::whole(StatusCode::OK, media, text);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    let mut bytes = bytes.expect("memory takes every write");
    if take_one(&mut esm.settings.break_next) {
        bytes.truncate(bytes.len() / 2);
    }
    let mut response = reply::whole(StatusCode::OK, media, bytes);
    response.headers_mut().insert(names::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// The media type of a report, and its text.
fn report(esm: &mut EsmState, head: &Parts) -> Result<(&'static str, String), Complaint> {
    let query = Fields::of(head.uri.query().unwrap_or("").as_bytes());
    let authorization = match header(&head.headers, "authorization") {
        "" => format!("Bearer {}", query.get("access_token")),
        authorization => authorization.to_owned(),
    };
    if esm.tokens.client_of(&authorization).is_none() {
        let why = "the access token is missing, unknown or expired".to_owned();
        return Err((StatusCode::UNAUTHORIZED, why));
    }
    if take_last(&mut esm.settings.forget_tokens_after) {
        esm.tokens.forget();
    }
    if take_one(&mut esm.settings.refuse_next) {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "come again".to_owned()));
    }
    let path = head.uri.path();
    let (path, suffix) = path.rsplit_once('.').unwrap_or((path, ""));
    let asked = [suffix, query.get("format"), header(&head.headers, "accept")];
    let media = match asked.into_iter().find(|form| !form.is_empty()).unwrap_or("json") {
        "csv" | "text/csv" => "text/csv",
        "xml" | "application/xml" => "application/xml",
        "json" | "application/json" | "*/*" => "application/json",
        _ => return Err((StatusCode::NOT_ACCEPTABLE, "json, xml or csv".to_owned())),
    };
    let report = Report::of(path, &query, esm.settings.limit)?;
    let rows = report.rows(&esm.settings.add);
    let [from, to] = [report.start, report.end].map(|time| time.format("%Y-%m-%dT%H:%M:%S"));
    let own = format!("{path}?start={from}&end={to}&limit={}", report.rows_max);
    let text = match media {
        "text/csv" => csv(&rows),
        "application/xml" => xml(&rows, &own),
        _ => json_text(&rows, &own),
    };
    Ok((media, text))
}

struct Report<'q> {
    start: NaiveDateTime,
    end: NaiveDateTime,
    /// The dimensions to group by, besides the hour, as indexes in `DIMENSIONS`.
    columns: Vec<usize>,
    has_minutes: bool,
    /// Empty for all requestors.
    requestors: Vec<&'q str>,
    rows_max: usize,
}

impl<'q> Report<'q> {
    /// Reads a path and a query; `limit` is the limit of the settings.
    fn of(path: &str, query: &'q Fields, limit: usize) -> Result<Report<'q>, Complaint> {
        let missing = |why: &str| (StatusCode::NOT_FOUND, why.to_owned());
        let hours = path.trim_start_matches(REPORTS).strip_prefix("year/month/day/hour/");
        let path = hours.ok_or_else(|| missing("paths begin with year/month/day/hour here"))?;
        let (path, tree, has_minutes) = match path.strip_prefix("minute/") {
            Some(path) => (path, &TREE[..3], true),
            None => (path, &TREE[..], false),
        };
        let is_published = tree
            .iter()
            .any(|way| way.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let columns: Option<Vec<usize>> =
            path.split('/').map(|name| DIMENSIONS.iter().position(|known| *known == name)).collect();
        let columns = columns.filter(|_| is_published).ok_or_else(|| missing("no such drill-down"))?;
        let time = |name: &str| match query.get(name) {
            "" => Err(bad(format!("{name} is missing here"))),
            text => filled(text).ok_or_else(|| bad(format!("{name} {text:?} is no date"))),
        };
        let (start, end) = (time("start")?, time("end")?);
        if (end - start).num_hours() > HOURS_MAX {
            return Err(bad("too much data: narrow the time"));
        }
        let rows_max = query.number("limit", LIMIT_DEFAULT).map_err(|_| bad("limit is no number"))?;
        let rows_max = if limit > 0 { rows_max.min(limit) } else { rows_max };
        let requestors = query.all("requestor-id").collect();
        Ok(Report { start, end, columns, has_minutes, requestors, rows_max })
    }

    /// The rows of the report, with the correction of each hour.
    fn rows(&self, corrections: &BTreeMap<String, i64>) -> Vec<Row> {
        let step = if self.has_minutes { TimeDelta::minutes(1) } else { TimeDelta::hours(1) };
        // A report has only the records that begin within its span.
        let begun = self.start.duration_trunc(step).unwrap_or(self.start);
        let mut at = if begun < self.start { begun + step } else { begun };
        let (mut rows, mut is_again) = (Vec::new(), false);
        while at < self.end && rows.len() < self.rows_max {
            // The correction of an hour goes into the first row of its first minute.
            let hour = at.format("%Y-%m-%dT%H").to_string();
            let mut correction = corrections.get(&hour).copied().filter(|_| at.minute() == 0).unwrap_or(0);
            for (key, counts) in self.sums(at) {
                rows.push(self.row(at, &key, counts.iter().map(|count| (count + correction).max(0))));
                correction = 0;
            }
            at = match shown_again(at, step).filter(|_| !std::mem::replace(&mut is_again, true)) {
                Some(again) => again,
                None => at + step,
            };
        }
        rows.truncate(self.rows_max);
        rows
    }

    /// The counts of an hour or minute. Cells with the same values of the dimensions asked for are one row.
    fn sums(&self, at: NaiveDateTime) -> BTreeMap<Vec<&'static str>, Vec<i64>> {
        let mut sums: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for (cell, names) in CELLS.iter().enumerate() {
            if self.requestors.is_empty() || self.requestors.contains(&names[1]) {
                let key = self.columns.iter().map(|column| names[*column]).collect();
                let counts =
                    (0..METRICS.split(' ').count()).map(|metric| count(at, cell, metric, self.has_minutes));
                let sum = sums.entry(key).or_default();
                *sum = counts.enumerate().map(|(at, count)| count + sum.get(at).unwrap_or(&0)).collect();
            }
        }
        sums
    }

    fn row(&self, at: NaiveDateTime, key: &[&str], counts: impl Iterator<Item = i64>) -> Row {
        let times = [("year", "%Y"), ("month", "%-m"), ("day", "%-d"), ("hour", "%-H"), ("minute", "%-M")];
        let times = times.into_iter().take(if self.has_minutes { 5 } else { 4 });
        let names = self.columns.iter().map(|column| DIMENSIONS[*column]);
        times
            .map(|(name, form)| (name, at.format(form).to_string()))
            .chain(names.zip(key.iter().map(|value| (*value).to_owned())))
            .chain(METRICS.split(' ').zip(counts.map(|count| count.to_string())))
            .collect()
    }
}

/// Reads a date and time, of which the last parts may be missing.
fn filled(text: &str) -> Option<NaiveDateTime> {
    const WHOLE: &str = "0000-01-01T00:00:00";
    let text = format!("{text}{}", WHOLE.get(text.len()..).unwrap_or(""));
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S").ok()
}

/// Names and values, in the order of a record.
type Row = Vec<(&'static str, String)>;

/// The time to which clocks are put back at the end of this hour or minute; `None` if they are not put back.
fn shown_again(at: NaiveDateTime, step: TimeDelta) -> Option<NaiveDateTime> {
    let zone = chrono_tz::America::Los_Angeles;
    let is_twice = |at: &NaiveDateTime| matches!(zone.from_local_datetime(at), LocalResult::Ambiguous(..));
    (is_twice(&at) && !is_twice(&(at + step))).then(|| at + step - TimeDelta::hours(1))
}

/// A count that looks real but depends only on its arguments. The minutes of an hour add up to the hour.
fn count(at: NaiveDateTime, cell: usize, metric: usize, is_minute: bool) -> i64 {
    let days = (at.date() - NaiveDate::default()).num_days();
    let seed = days * 1_009 + i64::from(at.hour()) * 97 + cell as i64 * 31 + metric as i64 * 7;
    let hour = 10 + seed.rem_euclid(83);
    let is_larger_share = i64::from(at.minute()) < hour % 60;
    if is_minute { hour / 60 + i64::from(is_larger_share) } else { hour }
}

fn json_text(rows: &[Row], own: &str) -> String {
    let records: Vec<BTreeMap<_, _>> = rows.iter().map(|row| row.iter().cloned().collect()).collect();
    json!({"_links": {"self": {"href": own}}, "report": records}).to_string()
}

fn xml(rows: &[Row], own: &str) -> String {
    let record = |row: &Row| -> String {
        let attributes: String = row.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
        format!("<record{attributes}/>\n")
    };
    let records: String = rows.iter().map(record).collect();
    let own = own.replace('&', "&amp;");
    format!("<resource href=\"{own}\">\n<report>\n{records}</report>\n</resource>\n")
}

fn csv(rows: &[Row]) -> String {
    let line = |cells: Vec<&str>| cells.join(",") + "\n";
    let names = rows.first().map(|row| line(row.iter().map(|(name, _)| *name).collect()));
    let values = rows.iter().map(|row| line(row.iter().map(|(_, value)| value.as_str()).collect()));
    names.into_iter().chain(values).collect()
}
