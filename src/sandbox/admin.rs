//! The sandbox's own interface: questions and settings over HTTP, in JSON.
//!
//! ```text
//! GET  /sandbox/summary                          what Analytics would count, and what the wire looked like
//! GET  /sandbox/hits?rsid=&offset=0&limit=100    accepted hits, in the order of acceptance; limit at most 10000
//! GET  /sandbox/violations                       broken rules, the first 10000 with their details
//! POST /sandbox/reset                            forgets hits, files, counts and violations; settings and faults stay
//! PUT  /sandbox/suites/{rsid}                    {"timestamps":"optional","recording":"use_event_id","expected_ids":"either"}
//! GET  /sandbox/suites/{rsid}/settings.tab       the file that Admin > Report Suites > Download makes
//! GET  /sandbox/suites/{rsid}/wrong              what is wrong with the suite
//! PUT  /sandbox/suites/{rsid}/wrong              {"wrong":["event7=disabled","evar2.expiration=visit"]}; see sandbox --help
//! GET  /sandbox/analytics                        how often the Analytics 2.0 API was called
//! PUT  /sandbox/analytics                        {"latency_ms":1000,"calls_per_window":12,"window_ms":6000,"busy_next":1}
//! PUT  /sandbox/esm                              {"add":{"2026-11-10T08":5},"limit":100,"refuse_next":2,"break_next":1,"forget_tokens_after":1}
//! GET  /sandbox/bulk                             the files that the bulk interface has received
//! PUT  /sandbox/bulk                             {"call_spacing_ms":10,"lose_answer":5,"invalid_rows_per_100000":10}
//! PUT  /sandbox/faults                           {"seed":7,"faults":["status=503:5%"]}
//! ```

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::analytics::{AnalyticsSettings, WrongSetting};
use super::bulk::{BulkFile, BulkSettings};
use super::collector::Collector;
use super::esm::EsmSettings;
use super::faults::FaultPlan;
use super::reply::{self, ReplyBody};
use super::rules::Violation;
use super::store::AcceptedHit;
use super::suites::SuiteSettings;
use crate::suite::Rsid;

/// Where every request of this interface begins.
pub(super) const PREFIX: &str = "/sandbox/";
/// The largest setting, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Hits in an answer, where the question names no limit.
const HITS_DEFAULT: usize = 100;
/// The most hits in an answer.
const HITS_MAX: usize = 10_000;

/// What is wrong with a request.
struct Complaint {
    status: StatusCode,
    error: String,
}

impl Complaint {
    fn new(status: StatusCode, error: impl ToString) -> Complaint {
        Complaint { status, error: error.to_string() }
    }
}

#[derive(Serialize)]
struct HitsAnswer {
    accepted: u64,
    offset: usize,
    hits: Vec<AcceptedHit>,
}

#[derive(Serialize)]
struct ViolationsAnswer<'a> {
    counts: &'a BTreeMap<&'static str, u64>,
    violations: &'a [Violation],
}

#[derive(Serialize)]
struct FilesAnswer {
    files: Vec<BulkFile>,
}

/// A fault plan as JSON carries it: each fault as its text.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct PlanText {
    seed: u64,
    faults: Vec<String>,
}

/// What is wrong with a suite as JSON carries it: each setting as its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongText {
    wrong: Vec<WrongSetting>,
}

pub(super) async fn answer(collector: &Collector, request: Request<Incoming>) -> Response<ReplyBody> {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or("");
    let file = path.strip_prefix("suites/").and_then(|rest| rest.strip_suffix("/settings.tab"));
    if let (Some(rsid), &Method::GET) = (file, request.method()) {
        let file = collector.settings_file(rsid).into_bytes();
        return reply::document("text/tab-separated-values; charset=utf-8", file, false);
    }
    match route(collector, request).await {
        Ok(body) => reply::json(StatusCode::OK, body),
        Err(Complaint { status, error }) => {
            reply::json(status, serde_json::json!({ "error": error }).to_string())
        }
    }
}

async fn route(collector: &Collector, request: Request<Incoming>) -> Result<String, Complaint> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or("");
    match (&head.method, path) {
        (&Method::GET, "summary") => json(&collector.store().summary()),
        (&Method::GET, "hits") => hits(collector, head.uri.query().unwrap_or("")),
        (&Method::GET, "violations") => {
            let store = collector.store();
            json(&ViolationsAnswer { counts: &store.summary().violations, violations: store.violations() })
        }
        (&Method::POST, "reset") => {
            collector.reset();
            Ok("{}".to_owned())
        }
        (&Method::PUT, "faults") => {
            let text: PlanText = parsed(body).await?;
            let faults: Result<_, _> = text.faults.iter().map(|fault| fault.parse()).collect();
            let faults = faults.map_err(|error| Complaint::new(StatusCode::BAD_REQUEST, error))?;
            let plan = FaultPlan { seed: text.seed, faults };
            let answer = json(&plan);
            collector.set_plan(plan);
            answer
        }
        (&Method::PUT, "esm") => {
            let settings: EsmSettings = parsed(body).await?;
            let answer = json(&settings);
            collector.esm().set(settings);
            answer
        }
        (&Method::GET, "bulk") => json(&FilesAnswer { files: collector.bulk().files() }),
        (&Method::PUT, "bulk") => {
            let settings: BulkSettings = parsed(body).await?;
            let answer = json(&settings);
            collector.bulk().set(settings);
            answer
        }
        (&Method::GET, "analytics") => json(&collector.analytics().calls),
        (&Method::PUT, "analytics") => {
            let settings: AnalyticsSettings = parsed(body).await?;
            let answer = json(&settings);
            collector.analytics().settings = settings;
            answer
        }
        (method, path) => match path.strip_prefix("suites/") {
            Some(rest) => suite(collector, method, rest, body).await,
            None => Err(unknown(method, path)),
        },
    }
}

/// Questions to one suite, and its settings.
async fn suite(
    collector: &Collector,
    method: &Method,
    rest: &str,
    body: Incoming,
) -> Result<String, Complaint> {
    let (rsid, part) = rest.split_once('/').unwrap_or((rest, ""));
    let rsid: Rsid = rsid.parse().map_err(|error| Complaint::new(StatusCode::BAD_REQUEST, error))?;
    match (method, part) {
        (&Method::PUT, "") => {
            let settings: SuiteSettings = parsed(body).await?;
            collector.set_suite(rsid.as_str(), settings);
            json(&settings)
        }
        (&Method::GET, "wrong") => {
            let wrong = collector.analytics().wrong(rsid.as_str()).to_vec();
            json(&WrongText { wrong })
        }
        (&Method::PUT, "wrong") => {
            let text: WrongText = parsed(body).await?;
            let answer = json(&text);
            collector.set_wrong(rsid.as_str(), text.wrong);
            answer
        }
        _ => Err(unknown(method, &format!("suites/{rest}"))),
    }
}

fn unknown(method: &Method, path: &str) -> Complaint {
    let error = format!(
        "no {method} {PREFIX}{path}; there are GET summary, hits, violations, bulk, analytics, \
         suites/RSID/wrong, suites/RSID/settings.tab, POST reset, PUT suites/RSID, suites/RSID/wrong, analytics, esm, bulk, faults"
    );
    Complaint::new(StatusCode::NOT_FOUND, error)
}

fn hits(collector: &Collector, query: &str) -> Result<String, Complaint> {
    let (mut rsid, mut offset, mut limit) = (None, 0, HITS_DEFAULT);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let refuse =
            || Complaint::new(StatusCode::BAD_REQUEST, format!("{pair:?}: rsid=, offset=N or limit=N"));
        match name {
            "rsid" => rsid = Some(value).filter(|rsid| !rsid.is_empty()),
            "offset" => offset = value.parse().map_err(|_| refuse())?,
            "limit" => limit = value.parse::<usize>().map_err(|_| refuse())?.min(HITS_MAX),
            _ => return Err(refuse()),
        }
    }
    let store = collector.store();
    json(&HitsAnswer { accepted: store.accepted(), offset, hits: store.hits(rsid, offset, limit) })
}

/// An answer as text. None of them has a key that is no string, which is all that can fail.
fn json(answer: &impl Serialize) -> Result<String, Complaint> {
    serde_json::to_string(answer).map_err(|error| Complaint::new(StatusCode::INTERNAL_SERVER_ERROR, error))
}

async fn parsed<T: DeserializeOwned>(body: Incoming) -> Result<T, Complaint> {
    let refuse = |error: String| Complaint::new(StatusCode::BAD_REQUEST, error);
    let body =
        Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| refuse(error.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| refuse(error.to_string()))
}
