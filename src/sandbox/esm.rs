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

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::{Deserialize, Serialize};

use super::collector::Collector;
use super::reply::{self, ReplyBody};

/// Where reports begin, and where credentials are had.
const REPORTS: &str = "/esm/v3/";
const DCR: &str = "/o/client/";
/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a token lives, in seconds: Adobe's sample.
const TOKEN_SECONDS: u32 = 21_600;
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
/// The ways through the published tree beneath the hour, and beneath the minute; each of their beginnings is one too.
const TREE_OF_HOURS: [&str; 5] = [
    "media-company/proxy/mvpd/requestor-id/platform",
    "media-company/requestor-id/platform",
    "requestor-id/platform",
    "proxy/mvpd/media-company/requestor-id",
    "platform",
];
const TREE_OF_MINUTES: [&str; 3] = [
    "media-company/proxy/mvpd/requestor-id/platform",
    "proxy/mvpd/media-company/requestor-id",
    "requestor-id/platform",
];
const METRICS: [&str; 12] = [
    "authn-attempts",
    "authn-pending",
    "authn-successful",
    "authz-attempts",
    "authz-successful",
    "authz-failed",
    "authz-rejected",
    "authz-latency",
    "media-tokens",
    "clientless-tokens",
    "clientless-failures",
    "unique-accounts",
];

/// What the sandbox knows of its clients of reports.
#[derive(Debug, Default)]
pub(super) struct EsmState {
    settings: EsmSettings,
    clients: u32,
    tokens: BTreeSet<String>,
    issued: u32,
}

/// What a rehearsal may change.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EsmSettings {
    /// By how much each metric of an hour's first row is corrected.
    pub(super) add: BTreeMap<String, i64>,
    /// The most rows of a report, whatever a request asks for; 0 is its own limit.
    pub(super) limit: usize,
    /// How many requests for reports are refused with 503 before one is answered.
    pub(super) refuse_next: u32,
    /// How many packed reports break off in the middle before one is whole.
    pub(super) break_next: u32,
    /// After how many reports the tokens so far are good no more; 0 is never.
    pub(super) forget_tokens_after: u32,
}

impl EsmState {
    pub(super) fn set(&mut self, settings: EsmSettings) {
        self.settings = settings;
    }
}

/// Whether a request is for us.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with(REPORTS) || path.starts_with(DCR)
}

pub(super) async fn answer(collector: &Collector, request: Request<Incoming>) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return reply::bare(StatusCode::BAD_REQUEST);
    };
    let body = body.to_bytes();
    let mut state = collector.esm();
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/o/client/register") => register(&mut state, &body),
        (&Method::POST, "/o/client/token") => token(&mut state, &body),
        (&Method::GET, path) if path.starts_with(REPORTS) => {
            let header =
                |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
            let (authorization, accept) = (header("authorization"), header("accept"));
            let is_gzip = header("accept-encoding").contains("gzip");
            let query = head.uri.query().unwrap_or("");
            match report(&mut state, path, query, authorization, accept) {
                Ok((kind, text)) => {
                    let mut bytes = text_bytes(text, is_gzip);
                    if is_gzip && state.settings.break_next > 0 {
                        state.settings.break_next -= 1;
                        bytes.truncate(bytes.len() / 2);
                    }
                    reply::document(kind, bytes, is_gzip)
                }
                Err((status, why)) => {
                    let wait = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(0);
                    reply::plain(status, why, wait)
                }
            }
        }
        _ => reply::bare(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn register(state: &mut EsmState, body: &[u8]) -> Response<ReplyBody> {
    #[derive(Deserialize)]
    struct Statement {
        software_statement: String,
    }
    match serde_json::from_slice::<Statement>(body) {
        Ok(statement) if !statement.software_statement.is_empty() => {
            state.clients += 1;
            let number = state.clients;
            let answer = serde_json::json!({
                "client_id": format!("client-{number}"), "client_secret": format!("secret-of-client-{number}"),
                "client_id_issued_at": 0, "redirect_uris": [], "grant_types": ["client_credentials"],
                "scopes": ["api:client:v2"],
            });
            reply::json(StatusCode::CREATED, answer.to_string())
        }
        _ => fault("invalid_software_statement"),
    }
}

fn token(state: &mut EsmState, body: &[u8]) -> Response<ReplyBody> {
    let form = String::from_utf8_lossy(body);
    let field = |name: &str| {
        form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("").to_owned()
    };
    if field("grant_type") != "client_credentials" {
        return fault("unsupported_grant_type");
    }
    let id = field("client_id");
    let number = id.strip_prefix("client-").and_then(|number| number.parse::<u32>().ok());
    let is_known = number.is_some_and(|number| (1..=state.clients).contains(&number));
    if !is_known || field("client_secret") != format!("secret-of-{id}") {
        return fault("invalid_client");
    }
    state.issued += 1;
    let token = format!("token-{}", state.issued);
    state.tokens.insert(token.clone());
    let answer = serde_json::json!({
        "id": token, "access_token": token, "created_at": 0, "expires_in": TOKEN_SECONDS, "token_type": "bearer",
    });
    reply::json(StatusCode::CREATED, answer.to_string())
}

fn fault(error: &str) -> Response<ReplyBody> {
    reply::json(StatusCode::BAD_REQUEST, serde_json::json!({ "error": error }).to_string())
}

type Row = Vec<(&'static str, String)>;

fn report(
    state: &mut EsmState,
    path: &str,
    query: &str,
    authorization: &str,
    accept: &str,
) -> Result<(&'static str, String), (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let given: Vec<(&str, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name, value.replace("%3A", ":").replace("%3a", ":")))
        .collect();
    let get = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let token = authorization.strip_prefix("Bearer ").or(get("access_token")).unwrap_or("");
    if !state.tokens.contains(token) {
        return Err((StatusCode::UNAUTHORIZED, "the access token is missing, unknown or expired".to_owned()));
    }
    let is_last = state.settings.forget_tokens_after == 1;
    state.settings.forget_tokens_after = state.settings.forget_tokens_after.saturating_sub(1);
    if is_last {
        state.tokens.clear();
    }
    if state.settings.refuse_next > 0 {
        state.settings.refuse_next -= 1;
        return Err((StatusCode::SERVICE_UNAVAILABLE, "come again".to_owned()));
    }
    let (path, suffix) = path.rsplit_once('.').map_or((path, None), |(path, suffix)| (path, Some(suffix)));
    let kind = match suffix.or(get("format")).unwrap_or(accept) {
        "csv" | "text/csv" => "text/csv",
        "xml" | "application/xml" => "application/xml",
        "json" | "application/json" | "*/*" | "" => "application/json",
        _ => return Err((StatusCode::NOT_ACCEPTABLE, "json, xml or csv".to_owned())),
    };
    let cut = Cut::of(path.trim_start_matches(REPORTS))?;
    let time = |name: &str| {
        let text = get(name).ok_or_else(|| bad(format!("{name} is missing here")))?;
        filled(text).ok_or_else(|| bad(format!("{name} {text:?} is no date")))
    };
    let (start, end) = (time("start")?, time("end")?);
    if (end - start).num_hours() > HOURS_MAX {
        return Err(bad("too much data: narrow the time".to_owned()));
    }
    let wanted = get("limit")
        .map_or(Ok(LIMIT_DEFAULT), str::parse)
        .map_err(|_| bad("limit is no number".to_owned()))?;
    let limit = if state.settings.limit > 0 { wanted.min(state.settings.limit) } else { wanted };
    let requestors: Vec<&str> =
        given.iter().filter(|(name, _)| *name == "requestor-id").map(|(_, value)| value.as_str()).collect();
    let rows = rows(state, (start, end), &cut, &requestors, limit);
    let own = format!(
        "{path}?start={}&end={}&limit={limit}",
        start.format("%Y-%m-%dT%H:%M:%S"),
        end.format("%Y-%m-%dT%H:%M:%S")
    );
    Ok((
        kind,
        match kind {
            "text/csv" => csv(&rows),
            "application/xml" => xml(&rows, &own),
            _ => json(&rows, &own),
        },
    ))
}

/// What a report groups by.
struct Cut {
    /// By number, as [`DIMENSIONS`] has them.
    columns: Vec<usize>,
    has_minutes: bool,
}

impl Cut {
    /// That of a path beneath the root.
    fn of(path: &str) -> Result<Cut, (StatusCode, String)> {
        let missing = |why: &str| (StatusCode::NOT_FOUND, why.to_owned());
        let hours = path.strip_prefix("year/month/day/hour/");
        let path = hours.ok_or_else(|| missing("paths begin with year/month/day/hour here"))?;
        let (path, tree, has_minutes) = match path.strip_prefix("minute/") {
            Some(path) => (path, &TREE_OF_MINUTES[..], true),
            None => (path, &TREE_OF_HOURS[..], false),
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

fn rows(
    state: &EsmState,
    (start, end): (NaiveDateTime, NaiveDateTime),
    cut: &Cut,
    requestors: &[&str],
    limit: usize,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut at, mut is_again) = (cut.first(start), false);
    while at < end && rows.len() < limit {
        // Cells that are alike in the dimensions asked for are one row.
        let mut sums: BTreeMap<Vec<&'static str>, [i64; METRICS.len()]> = BTreeMap::new();
        for (cell, names) in CELLS.iter().enumerate() {
            if !requestors.is_empty() && !requestors.contains(&names[1]) {
                continue;
            }
            let key = cut.columns.iter().map(|column| names[*column]).collect();
            let sum = sums.entry(key).or_default();
            for (metric, sum) in sum.iter_mut().enumerate() {
                *sum += count(at, cell, metric, cut);
            }
        }
        let add = state.settings.add.get(&at.format("%Y-%m-%dT%H").to_string()).copied().unwrap_or(0);
        // A corrected hour has its correction in its first minute.
        let add = if at.minute() == 0 { add } else { 0 };
        for (index, (key, counts)) in sums.into_iter().enumerate().take(limit - rows.len()) {
            let mut row: Row = vec![
                ("year", at.format("%Y").to_string()),
                ("month", at.format("%-m").to_string()),
                ("day", at.format("%-d").to_string()),
                ("hour", at.format("%-H").to_string()),
            ];
            if cut.has_minutes {
                row.push(("minute", at.format("%-M").to_string()));
            }
            row.extend(
                cut.columns.iter().zip(key).map(|(column, value)| (DIMENSIONS[*column], value.to_owned())),
            );
            let corrected = |count: i64| if index == 0 { (count + add).max(0) } else { count };
            row.extend(METRICS.iter().zip(counts).map(|(name, count)| (*name, corrected(count).to_string())));
            rows.push(row);
        }
        at = match shown_again(at, cut.step()).filter(|_| !std::mem::replace(&mut is_again, true)) {
            Some(again) => again,
            None => at + cut.step(),
        };
    }
    rows
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
    let records: Vec<serde_json::Map<_, _>> = rows
        .iter()
        .map(|row| row.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect())
        .collect();
    serde_json::json!({"_links": {"self": {"href": own}}, "report": records}).to_string()
}

fn xml(rows: &[Row], own: &str) -> String {
    let mut text = format!("<resource href=\"{}\">\n<report>\n", own.replace('&', "&amp;"));
    for row in rows {
        let record: Vec<String> = row.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        text.push_str(&format!("<record {}/>\n", record.join(" ")));
    }
    text.push_str("</report>\n</resource>\n");
    text
}

fn csv(rows: &[Row]) -> String {
    let names = rows.first().map(|row| row.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(","));
    let lines =
        rows.iter().map(|row| row.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(","));
    names.into_iter().chain(lines).map(|line| line + "\n").collect()
}

fn text_bytes(text: String, is_gzip: bool) -> Vec<u8> {
    if !is_gzip {
        return text.into_bytes();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("memory takes every write")
}
