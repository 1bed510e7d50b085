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

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::analytics;
use super::faults::FaultPlan;
use super::makeup::WrongSetting;
use super::reply::{self, ReplyBody};
use super::request::Fields;
use super::settings::SuiteSettings;
use super::world::{Shared, World};
use crate::suite::Rsid;

/// Where every request of this interface begins.
pub(super) const PREFIX: &str = "/sandbox/";
/// Hits in an answer, where the question names no limit.
const HITS_DEFAULT: usize = 100;
/// The most hits in an answer.
const HITS_MAX: usize = 10_000;

/// What is wrong with a request.
type Complaint = (StatusCode, String);
type Answer = Result<Response<ReplyBody>, Complaint>;

/// A fault plan as JSON carries it: each fault as its text.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Response<ReplyBody> {
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or("");
    let answer = match (&head.method, path) {
        (&Method::PUT, "faults") => set_plan(shared, body),
        (&Method::POST, "reset") => {
            shared.world().reset();
            ok(&json!({}))
        }
        (&Method::GET, "hits") => {
            hits(&shared.world(), &Fields::of(head.uri.query().unwrap_or("").as_bytes()))
        }
        (method, path) => route(&mut shared.world(), method, path, body),
    };
    answer.unwrap_or_else(|(status, error)| reply::error(status, error))
}

fn route(world: &mut World, method: &Method, path: &str, body: &[u8]) -> Answer {
    match (method, path.split_once('/').unwrap_or((path, ""))) {
        (&Method::GET, ("summary", "")) => ok(&world.summary()),
        (&Method::GET, ("violations", "")) => {
            let counts = world.summary().violations;
            ok(&json!({ "counts": counts, "violations": world.violations.kept }))
        }
        (&Method::GET, ("bulk", "")) => ok(&json!({ "files": world.bulk.files() })),
        (&Method::PUT, ("bulk", "")) => set(body, |settings| world.bulk.set(settings)),
        (&Method::PUT, ("esm", "")) => set(body, |settings| world.esm.settings = settings),
        (&Method::GET, ("analytics", "")) => ok(&world.quota.calls),
        (&Method::PUT, ("analytics", "")) => set(body, |settings| world.analytics = settings),
        (method, ("suites", rest)) => suite(world, method, rest, body),
        (method, _) => Err(unknown(method, path)),
    }
}

/// Questions to one suite, and its settings.
fn suite(world: &mut World, method: &Method, rest: &str, body: &[u8]) -> Answer {
    let (rsid, part) = rest.split_once('/').unwrap_or((rest, ""));
    if (method, part) == (&Method::GET, "settings.tab") {
        let file = analytics::settings_file(world, rsid);
        return Ok(reply::whole(StatusCode::OK, "text/tab-separated-values; charset=utf-8", file));
    }
    let rsid: Rsid = rsid.parse().map_err(bad)?;
    match (method, part) {
        (&Method::PUT, "") => set(body, |settings: SuiteSettings| world.set_suite(rsid.as_str(), settings)),
        (&Method::GET, "wrong") => {
            let wrong = world.suite(rsid.as_str()).map_or(&[][..], |suite| &suite.wrong);
            ok(&json!({ "wrong": wrong }))
        }
        (&Method::PUT, "wrong") => set(body, |text: WrongText| world.set_wrong(rsid.as_str(), text.wrong)),
        _ => Err(unknown(method, &format!("suites/{rest}"))),
    }
}

fn set_plan(shared: &Shared, body: &[u8]) -> Answer {
    let text: PlanText = parsed(body)?;
    let mut plan = FaultPlan::with_seed(text.seed);
    text.faults.iter().try_for_each(|fault| plan.read(fault)).map_err(bad)?;
    let answer = ok(&plan);
    shared.set_plan(plan);
    answer
}

fn hits(world: &World, query: &Fields) -> Answer {
    if let Some(name) = query.unknown(&["rsid", "offset", "limit"]) {
        return Err(bad(format!("{name:?}: rsid=, offset=N or limit=N")));
    }
    let rsid = Some(query.get("rsid")).filter(|rsid| !rsid.is_empty());
    let offset = query.number("offset", 0).map_err(bad)?;
    let limit = query.number("limit", HITS_DEFAULT).map_err(bad)?.min(HITS_MAX);
    let hits = world.hits(rsid, offset, limit);
    ok(&json!({ "accepted": world.accepted(), "offset": offset, "hits": hits }))
}

/// Reads a setting, gives it to what it sets, and answers with all of it.
fn set<T: DeserializeOwned + Serialize>(body: &[u8], takes: impl FnOnce(T)) -> Answer {
    let setting: T = parsed(body)?;
    let answer = ok(&setting);
    takes(setting);
    answer
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Complaint> {
    serde_json::from_slice(body).map_err(bad)
}

fn ok(answer: &impl Serialize) -> Answer {
    Ok(reply::json(StatusCode::OK, answer))
}

fn bad(error: impl ToString) -> Complaint {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn unknown(method: &Method, path: &str) -> Complaint {
    let error = format!(
        "no {method} {PREFIX}{path}; there are GET summary, hits, violations, bulk, analytics, \
         suites/RSID/wrong, suites/RSID/settings.tab, POST reset, PUT suites/RSID, suites/RSID/wrong, analytics, esm, bulk, faults"
    );
    (StatusCode::NOT_FOUND, error)
}
