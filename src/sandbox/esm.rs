//! Entitlement Service Monitoring and Dynamic Client Registration, as far as a client of reports can tell.
//!
//! ```text
//! POST /o/client/register    {"software_statement":"..."} -> 201 with client_id and client_secret
//! POST /o/client/token       a form of client_id, client_secret and grant_type=client_credentials -> 201 with access_token
//! GET  /esm/v3/year/month/day/hour/...    the report of these dimensions, as JSON, XML or CSV, perhaps gzip
//! PUT  /sandbox/esm          {"add":{"2026-11-10T08":5},"limit":100,"refuse_next":2,"break_next":1,"forget_tokens_after":1}
//! ```
//!
//! The counts of an hour follow from its date alone, so that every sandbox shows the same ones; `add` corrects them. A path is
//! one of the published drill-down tree for programmers, as far as its dimensions are known here; any other is not found.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header as names};
use hyper::Response;
use serde::Deserialize;

use super::reply::{self, ReplyBody};
use super::request::{Fields, header};
use super::settings::take_one;
use super::world::{EsmState, Shared};

/// Where reports begin.
pub(super) const REPORTS: &str = "/esm/v3/";
/// Where credentials are had.
pub(super) const CLIENTS: &str = "/o/client/";
/// How long a token lives: Adobe's sample.
const TOKEN_LIFE: Duration = Duration::from_secs(21_600);
/// Rows where a request names no limit.
const LIMIT_DEFAULT: usize = 10_000;
/// Hours of one report, beyond which there is too much data: a year.
const HOURS_MAX: i64 = 366 * 24;
/// Who is counted: platform, requestor ID, proxy, MVPD and media company.
const CELLS: [[&str; 5]; 4] = [
    ["Roku", "REF30", "Direct", "Cableco", "Refmedia"],
    ["tvOS", "REF30", "Direct", "Cableco", "Refmedia"],
    ["Roku", "REF30", "Hub", "Smallco", "Refmedia"],
    ["Roku", "OTHER", "Direct", "Cableco", "Othermedia"],
];
const DIMENSIONS: [&str; 5] = ["platform", "requestor-id", "proxy", "mvpd", "media-company"];
/// The ways through the published tree beneath the hour, each of whose beginnings is one too; the first three lead on from the
/// minute as well.
const TREE: [&str; 5] = [
    "media-company/proxy/mvpd/requestor-id/platform",
    "proxy/mvpd/media-company/requestor-id",
    "requestor-id/platform",
    "media-company/requestor-id/platform",
    "platform",
];
/// The metrics of a record, in their order.
const METRICS: &str = "authn-attempts authn-pending authn-successful authz-attempts authz-successful authz-failed \
    authz-rejected authz-latency media-tokens clientless-tokens clientless-failures unique-accounts";

type Refusal = (StatusCode, String);

fn bad(why: impl Into<String>) -> Refusal {
    (StatusCode::BAD_REQUEST, why.into())
}

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Response<ReplyBody> {
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

fn register(esm: &mut EsmState, body: &[u8]) -> Response<ReplyBody> {
    #[derive(Deserialize)]
    struct Statement {
        software_statement: String,
    }
    let statement = serde_json::from_slice(body).ok();
    if statement.is_none_or(|Statement { software_statement }| software_statement.is_empty()) {
        return reply::error(StatusCode::BAD_REQUEST, "invalid_software_statement");
    }
    esm.clients += 1;
    let number = esm.clients;
    let answer = serde_json::json!({
        "client_id": format!("client-{number}"), "client_secret": format!("secret-of-client-{number}"),
        "client_id_issued_at": 0, "redirect_uris": [], "grant_types": ["client_credentials"],
        "scopes": ["api:client:v2"],
    });
    reply::json(StatusCode::CREATED, &answer)
}

fn token(esm: &mut EsmState, form: &Fields) -> Response<ReplyBody> {
    if form.get("grant_type") != "client_credentials" {
        return reply::error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let id = form.get("client_id");
    let is_known = (1..=esm.clients).any(|number| id == format!("client-{number}"));
    if !is_known || form.get("client_secret") != format!("secret-of-{id}") {
        return reply::error(StatusCode::BAD_REQUEST, "invalid_client");
    }
    let token = esm.tokens.issue(id, TOKEN_LIFE);
    let answer = serde_json::json!({
        "id": token, "access_token": token, "created_at": 0, "expires_in": TOKEN_LIFE.as_secs(), "token_type": "bearer",
    });
    reply::json(StatusCode::CREATED, &answer)
}

/// A report as it goes back: packed where the client takes that, and broken off where the settings want it.
fn packed(esm: &mut EsmState, head: &Parts, media: &'static str, text: String) -> Response<ReplyBody> {
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
fn report(esm: &mut EsmState, head: &Parts) -> Result<(&'static str, String), Refusal> {
    let query = Fields::of(head.uri.query().unwrap_or("").as_bytes());
    let authorization = match header(&head.headers, "authorization") {
        "" => format!("Bearer {}", query.get("access_token")),
        authorization => authorization.to_owned(),
    };
    if esm.tokens.client_of(&authorization).is_none() {
        let why = "the access token is missing, unknown or expired".to_owned();
        return Err((StatusCode::UNAUTHORIZED, why));
    }
    if esm.settings.forget_tokens_after == 1 {
        esm.tokens.forget();
    }
    take_one(&mut esm.settings.forget_tokens_after);
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
    let cut = Cut::of(path.trim_start_matches(REPORTS))?;
    let time = |name: &str| match query.get(name) {
        "" => Err(bad(format!("{name} is missing here"))),
        text => filled(text).ok_or_else(|| bad(format!("{name} {text:?} is no date"))),
    };
    let (start, end) = (time("start")?, time("end")?);
    if (end - start).num_hours() > HOURS_MAX {
        return Err(bad("too much data: narrow the time"));
    }
    let limit = query.number("limit", LIMIT_DEFAULT).map_err(|_| bad("limit is no number"))?;
    let limit = if esm.settings.limit > 0 { limit.min(esm.settings.limit) } else { limit };
    let requestors: Vec<&str> = query.all("requestor-id").collect();
    let rows = rows(&esm.settings.add, (start, end), &cut, &requestors, limit);
    let [from, to] = [start, end].map(|time| time.format("%Y-%m-%dT%H:%M:%S"));
    let own = format!("{path}?start={from}&end={to}&limit={limit}");
    let text = match media {
        "text/csv" => csv(&rows),
        "application/xml" => xml(&rows, &own),
        _ => json(&rows, &own),
    };
    Ok((media, text))
}

/// What a report groups by.
struct Cut {
    /// By number, as [`DIMENSIONS`] has them.
    columns: Vec<usize>,
    has_minutes: bool,
}

impl Cut {
    /// That of a path beneath the root.
    fn of(path: &str) -> Result<Cut, Refusal> {
        let missing = |why: &str| (StatusCode::NOT_FOUND, why.to_owned());
        let hours = path.strip_prefix("year/month/day/hour/");
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
        Ok(Cut { columns, has_minutes })
    }

    fn step(&self) -> TimeDelta {
        if self.has_minutes { TimeDelta::minutes(1) } else { TimeDelta::hours(1) }
    }

    /// When the first record begins that lies behind a time.
    fn first(&self, start: NaiveDateTime) -> NaiveDateTime {
        let minute = if self.has_minutes { start.minute() } else { 0 };
        let begun =
            start.date().and_time(NaiveTime::from_hms_opt(start.hour(), minute, 0).unwrap_or_default());
        if begun < start { begun + self.step() } else { begun }
    }
}

/// A date of which only the beginning may be given.
fn filled(text: &str) -> Option<NaiveDateTime> {
    const WHOLE: &str = "0000-01-01T00:00:00";
    let text = format!("{text}{}", WHOLE.get(text.len()..).unwrap_or(""));
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S").ok()
}

/// Names and values, in the order of a record.
type Row = Vec<(&'static str, String)>;

/// The rows of a report, at most so many, with what corrects each hour.
fn rows(
    corrections: &BTreeMap<String, i64>,
    (start, end): (NaiveDateTime, NaiveDateTime),
    cut: &Cut,
    requestors: &[&str],
    limit: usize,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut at, mut is_again) = (cut.first(start), false);
    while at < end && rows.len() < limit {
        let mut sums = sums(at, cut, requestors).into_iter();
        // A corrected hour has its correction in the first row of its first minute.
        let correction = corrections.get(&at.format("%Y-%m-%dT%H").to_string()).filter(|_| at.minute() == 0);
        if let Some(correction) = correction
            && let Some((key, counts)) = sums.next()
        {
            rows.push(row(at, cut, &key, counts.iter().map(|count| (count + correction).max(0))));
        }
        rows.extend(sums.map(|(key, counts)| row(at, cut, &key, counts.into_iter())));
        at = match shown_again(at, cut.step()).filter(|_| !std::mem::replace(&mut is_again, true)) {
            Some(again) => again,
            None => at + cut.step(),
        };
    }
    rows.truncate(limit);
    rows
}

/// The counts of an hour or minute. Cells that are alike in the dimensions asked for are one row.
fn sums(at: NaiveDateTime, cut: &Cut, requestors: &[&str]) -> BTreeMap<Vec<&'static str>, Vec<i64>> {
    let mut sums: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for (cell, names) in CELLS.iter().enumerate() {
        if requestors.is_empty() || requestors.contains(&names[1]) {
            let key = cut.columns.iter().map(|column| names[*column]).collect();
            let counts = (0..METRICS.split(' ').count()).map(|metric| count(at, cell, metric, cut));
            let sum = sums.entry(key).or_default();
            *sum = counts.enumerate().map(|(at, count)| count + sum.get(at).unwrap_or(&0)).collect();
        }
    }
    sums
}

fn row(at: NaiveDateTime, cut: &Cut, key: &[&str], counts: impl Iterator<Item = i64>) -> Row {
    let times = [("year", "%Y"), ("month", "%-m"), ("day", "%-d"), ("hour", "%-H"), ("minute", "%-M")];
    let times = times.into_iter().take(if cut.has_minutes { 5 } else { 4 });
    let names = cut.columns.iter().map(|column| DIMENSIONS[*column]);
    times
        .map(|(name, form)| (name, at.format(form).to_string()))
        .chain(names.zip(key.iter().map(|value| (*value).to_owned())))
        .chain(METRICS.split(' ').zip(counts.map(|count| count.to_string())))
        .collect()
}

/// Where the clock goes on that is put back at the end of this hour or minute: an hour before.
fn shown_again(at: NaiveDateTime, step: TimeDelta) -> Option<NaiveDateTime> {
    let zone = chrono_tz::America::Los_Angeles;
    let is_twice = |at: &NaiveDateTime| matches!(zone.from_local_datetime(at), LocalResult::Ambiguous(..));
    (is_twice(&at) && !is_twice(&(at + step))).then(|| at + step - TimeDelta::hours(1))
}

/// A count that looks like one: follows from its place alone. The minutes of an hour have as much as the hour.
fn count(at: NaiveDateTime, cell: usize, metric: usize, cut: &Cut) -> i64 {
    let days = (at.date() - NaiveDate::default()).num_days();
    let seed = days * 1_009 + i64::from(at.hour()) * 97 + cell as i64 * 31 + metric as i64 * 7;
    let hour = 10 + seed.rem_euclid(83);
    let is_larger_share = i64::from(at.minute()) < hour % 60;
    if cut.has_minutes { hour / 60 + i64::from(is_larger_share) } else { hour }
}

fn json(rows: &[Row], own: &str) -> String {
    let record =
        |row: &Row| row.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
    let records: Vec<serde_json::Map<_, _>> = rows.iter().map(record).collect();
    serde_json::json!({"_links": {"self": {"href": own}}, "report": records}).to_string()
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
