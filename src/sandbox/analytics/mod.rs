//! The Analytics 2.0 API, as far as a reader of suites and of event counts needs it, served from the hits that the sandbox
//! accepted.
//!
//! ```text
//! GET  /discovery/me                                             the companies of the credential
//! GET  /api/{company}/reportsuites/collections/suites/{rsid}     a suite: ?expansion=
//! GET  /api/{company}/reportsuites/collections/suites            suites: ?rsids= &rsidContains= &limit= &page= &expansion=
//! GET  /api/{company}/dimensions?rsid=                           its eVars: &expansion=
//! GET  /api/{company}/metrics?rsid=                              its success events
//! POST /api/{company}/reports                                    a ranked report of metrics/eventN, by variables/evarN,
//!                                                                variables/daterangeday or nothing
//! ```
//!
//! A report is made of a ledger, which follows the kept hits with its own eyes, as the store does. Reports need every hit
//! ([`KeepHits::Full`](super::KeepHits::Full)).
//!
//! Where Adobe's pages are silent: a suite that does not exist is answered with 404, one that the credential may not see with
//! 403, as is another company; an event or eVar that is disabled or kept from the credential is in no list, and an error of its
//! column in reports.

mod clause;
mod describe;
mod ledger;
mod report;
mod settings;
mod wrong;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use form_urlencoded::parse;
use http::{Method, StatusCode, header, request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Serialize;
use serde_json::{Value, json};

use self::ledger::Ledger;
use self::report::Source;
use self::wrong::Makeup;
use super::collector::Collector;
use super::reply::{self, ReplyBody};
use super::store::Store;
use super::suites::SuiteSettings;
use crate::event::Instant as Receipt;

pub use settings::AnalyticsSettings;
pub use wrong::{
    Allocation, EvarType, EventType, Expiration, Merchandising, Recording, WRONG_SYNTAX, WrongError,
    WrongEvar, WrongEvent, WrongSetting,
};

/// The largest request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Suites of a list, where a request names no limit.
const SUITES_DEFAULT: usize = 10;

/// Why a request is refused.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    why: String,
}

fn bad(why: &str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "invalid_parameters", why: why.to_owned() }
}

/// How often the API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AnalyticsCalls {
    /// Calls with a token that is good, answered or not.
    pub calls: u64,
    /// Those of them that came too soon.
    pub too_many: u64,
}

#[derive(Debug, Default)]
pub(super) struct AnalyticsState {
    pub(super) settings: AnalyticsSettings,
    pub(super) calls: AnalyticsCalls,
    /// What is wrong with each suite, as it was told.
    wrong: BTreeMap<String, Vec<WrongSetting>>,
    ledgers: HashMap<String, Ledger>,
    /// When the latest calls of each credential came.
    recent: HashMap<String, VecDeque<Instant>>,
}

impl AnalyticsState {
    pub(super) fn new(settings: AnalyticsSettings) -> AnalyticsState {
        AnalyticsState { settings, ..AnalyticsState::default() }
    }

    /// What is wrong with a suite.
    pub(super) fn wrong(&self, rsid: &str) -> &[WrongSetting] {
        self.wrong.get(rsid).map_or(&[], Vec::as_slice)
    }

    /// Sets what is wrong with a suite, for the hits to come.
    pub(super) fn set_wrong(&mut self, store: &mut Store, rsid: &str, wrong: Vec<WrongSetting>) {
        self.catch_up(store, rsid);
        let makeup = Makeup::of(&wrong);
        store.spoil_suite(rsid, makeup.timestamps, makeup.collects());
        self.wrong.insert(rsid.to_owned(), wrong);
    }

    /// Forgets hits and calls; settings stay.
    pub(super) fn reset(&mut self) {
        self.ledgers.clear();
        self.recent.clear();
        self.calls = AnalyticsCalls::default();
    }

    /// Processes the hits of a suite that are new, by the settings that it has now.
    pub(super) fn catch_up(&mut self, store: &Store, rsid: &str) {
        let Some(hits) = store.full_hits() else { return };
        let makeup = Makeup::of(self.wrong(rsid));
        let ledger = self.ledgers.entry(rsid.to_owned()).or_default();
        let fresh = hits.get(ledger.looked_at..).unwrap_or(&[]);
        if let Some((settings, true)) = store.suite_settings(rsid) {
            let own = fresh.iter().filter(|hit| hit.hit.rsid.split(',').any(|named| named == rsid));
            own.for_each(|hit| ledger.take(hit, &makeup, &settings));
        }
        ledger.looked_at = hits.len();
    }

    /// Lets a call in, or not.
    fn admit(&mut self, client_id: &str) -> bool {
        self.calls.calls += 1;
        let window = Duration::from_millis(self.settings.window_ms);
        let recent = self.recent.entry(client_id.to_owned()).or_default();
        while recent.front().is_some_and(|at| at.elapsed() >= window) {
            recent.pop_front();
        }
        let is_let_in = recent.len() < self.settings.calls_per_window as usize;
        if is_let_in {
            recent.push_back(Instant::now());
        } else {
            self.calls.too_many += 1;
        }
        is_let_in
    }
}

/// Whether a request is for us.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with("/discovery/") || path.starts_with("/api/")
}

pub(super) async fn answer(collector: &Collector, request: Request<Incoming>) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return reply::bare(StatusCode::PAYLOAD_TOO_LARGE);
    };
    if let Err(response) = let_in(collector, &head) {
        return *response;
    }
    let (status, text) = match route(collector, &head, &body.to_bytes()) {
        Ok((status, document)) => (status, document.to_string()),
        Err(Refusal { status, code, why }) => {
            (status, json!({ "errorCode": code, "errorDescription": why, "errorId": "0" }).to_string())
        }
    };
    let mut state = collector.analytics();
    if status.is_success() && state.settings.break_next > 0 {
        state.settings.break_next -= 1;
        let half: String = text.chars().take(text.len() / 2).collect();
        return reply::json(status, half);
    }
    reply::json(status, text)
}

/// Looks at token, pace and faults. The replies of the gateway before the API have another form than its own.
fn let_in(collector: &Collector, head: &request::Parts) -> Result<(), Box<Response<ReplyBody>>> {
    let gateway = |status: StatusCode, code: &str, message: &str| {
        Box::new(reply::json(status, json!({ "error_code": code, "message": message }).to_string()))
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let token = header("authorization").strip_prefix("Bearer ").unwrap_or("").to_owned();
    let client_id = collector.bulk().tokens.client_of(&token).map(str::to_owned);
    let Some(client_id) = client_id else {
        return Err(gateway(StatusCode::UNAUTHORIZED, "401013", "Oauth token is not valid"));
    };
    if header("x-api-key") != client_id {
        return Err(gateway(StatusCode::FORBIDDEN, "403000", "Api Key is invalid"));
    }
    let mut state = collector.analytics();
    if !state.admit(&client_id) {
        return Err(gateway(StatusCode::TOO_MANY_REQUESTS, "429050", "Too many requests"));
    }
    if state.settings.busy_next > 0 {
        state.settings.busy_next -= 1;
        let status =
            StatusCode::from_u16(state.settings.busy_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = gateway(status, "503000", "Service is temporarily unavailable");
        if let Some(seconds) = state.settings.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        return Err(response);
    }
    let is_last = state.settings.forget_tokens_after == 1;
    state.settings.forget_tokens_after = state.settings.forget_tokens_after.saturating_sub(1);
    let is_forbidden = state.settings.forbidden;
    drop(state);
    if is_last {
        collector.bulk().tokens.forget();
    }
    if is_forbidden {
        return Err(gateway(StatusCode::FORBIDDEN, "403025", "Profile is not valid"));
    }
    Ok(())
}

/// The parameters of a query.
struct Query(HashMap<String, String>);

impl Query {
    fn of(head: &request::Parts) -> Query {
        Query(parse(head.uri.query().unwrap_or("").as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        match self.get(name) {
            "" => Ok(default),
            text => text.parse().map_err(|_| bad(&format!("{name} {text:?} is no number"))),
        }
    }
}

fn route(collector: &Collector, head: &request::Parts, body: &[u8]) -> Result<(StatusCode, Value), Refusal> {
    let path = head.uri.path();
    let query = Query::of(head);
    if path == "/discovery/me" && head.method == Method::GET {
        return Ok((StatusCode::OK, discovery(&collector.analytics().settings.companies)));
    }
    let names: Vec<&str> = path.split('/').skip(1).collect();
    let (company, rest) = match &names[..] {
        ["api", company, rest @ ..] => (*company, rest),
        _ => return Err(not_found(path)),
    };
    let mut state = collector.analytics();
    if !state.settings.companies.iter().any(|known| known == company) {
        let why = format!("the credential may not use the company {company:?}");
        return Err(Refusal { status: StatusCode::FORBIDDEN, code: "invalid_access", why });
    }
    let mut store = collector.store();
    let ok = |document| Ok((StatusCode::OK, document));
    match (&head.method, rest) {
        (&Method::GET, ["reportsuites", "collections", "suites"]) => ok(suites(&state, &store, &query)?),
        (&Method::GET, ["reportsuites", "collections", "suites", rsid]) => {
            let makeup = visible(&state, &mut store, rsid)?;
            ok(describe::suite(rsid, &makeup, query.get("expansion")))
        }
        (&Method::GET, ["dimensions"]) => {
            let makeup = visible(&state, &mut store, query.get("rsid"))?;
            ok(describe::dimensions(&makeup, query.get("expansion")))
        }
        (&Method::GET, ["metrics"]) => {
            ok(describe::metrics(&visible(&state, &mut store, query.get("rsid"))?))
        }
        (&Method::POST, ["reports"]) => {
            let request: report::Request =
                serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))?;
            let makeup = visible(&state, &mut store, &request.rsid)?;
            // A virtual suite shows what its parent has.
            let rsid = makeup.parent.as_ref().map_or(request.rsid.as_str(), |parent| parent.as_str());
            if store.full_hits().is_none() {
                let why = "the sandbox keeps no hits, so it has no reports".to_owned();
                return Err(Refusal {
                    status: StatusCode::NOT_IMPLEMENTED,
                    code: "unsupported_resource",
                    why,
                });
            }
            state.catch_up(&store, rsid);
            drop(store);
            let latency_nanos =
                i64::try_from(state.settings.latency_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
            let nothing = Ledger::default();
            let source = Source {
                ledger: state.ledgers.get(rsid).unwrap_or(&nothing),
                makeup: &makeup,
                visible_until: Receipt::from_nanos(
                    collector.clock.now().nanos().saturating_sub(latency_nanos),
                ),
                rows_per_page_max: state.settings.rows_per_page_max,
            };
            report::answer(&request, &source)
        }
        _ => Err(not_found(path)),
    }
}

fn not_found(what: &str) -> Refusal {
    Refusal { status: StatusCode::NOT_FOUND, code: "resource_not_found", why: format!("there is no {what}") }
}

fn discovery(companies: &[String]) -> Value {
    let companies: Vec<Value> = companies
        .iter()
        .map(|id| json!({ "globalCompanyId": id, "companyName": id, "apiRateLimitPolicy": "aa_api_tier10_tp" }))
        .collect();
    json!({ "imsUserId": "sandbox@techacct.adobe.com", "imsOrgs": [{ "imsOrgId": "SANDBOX@AdobeOrg", "companies": companies }] })
}

/// How a suite is set that the credential may see.
fn visible(state: &AnalyticsState, store: &mut Store, rsid: &str) -> Result<Makeup, Refusal> {
    if rsid.is_empty() {
        return Err(bad("rsid is missing"));
    }
    let makeup = Makeup::of(state.wrong(rsid));
    // A virtual suite collects nothing, and exists all the same.
    if makeup.is_missing || (makeup.parent.is_none() && !store.knows_suite(rsid)) {
        return Err(not_found(&format!("report suite {rsid:?}")));
    }
    if makeup.is_invisible {
        let why = format!("the credential may not see the report suite {rsid:?}");
        return Err(Refusal { status: StatusCode::FORBIDDEN, code: "invalid_access", why });
    }
    Ok(makeup)
}

/// The suites that a query asks for, of those that are known by name.
fn suites(state: &AnalyticsState, store: &Store, query: &Query) -> Result<Value, Refusal> {
    let rsids: Vec<&str> = query.get("rsids").split(',').filter(|rsid| !rsid.is_empty()).collect();
    let mut known: Vec<&str> = store.known_suites().collect();
    known.extend(state.wrong.keys().map(String::as_str));
    // Those that nobody has named yet exist as soon as somebody does, where every suite exists.
    known.extend(rsids.iter().filter(|rsid| store.takes_any_suite() && !rsid.is_empty()));
    known.sort_unstable();
    known.dedup();
    let makeups = known.into_iter().map(|rsid| (rsid, Makeup::of(state.wrong(rsid))));
    let listed = makeups
        .filter(|(_, makeup)| !makeup.is_missing && !makeup.is_invisible)
        .filter(|(rsid, _)| rsids.is_empty() || rsids.contains(rsid))
        .filter(|(rsid, _)| rsid.contains(query.get("rsidContains")));
    let limit = query.number("limit", SUITES_DEFAULT)?;
    let page = listed.skip(query.number("page", 0)?.saturating_mul(limit)).take(limit);
    Ok(page.map(|(rsid, makeup)| describe::suite(rsid, &makeup, query.get("expansion"))).collect())
}

/// The file of a suite's settings that the admin pages download.
pub(super) fn settings_file(state: &AnalyticsState, rsid: &str, settings: &SuiteSettings) -> String {
    describe::settings_file(rsid, &Makeup::of(state.wrong(rsid)), settings)
}
