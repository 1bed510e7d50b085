//! The sandbox's own interface: questions and settings over HTTP, in JSON. Unknown keys are refused.
//! `passbridge sandbox --help` shows every question with an example.

use http::request::Parts;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::analytics;
use super::makeup::{SuiteSettings, WrongSetting};
use super::reply::{self, Complaint, Reply, bad};
use super::request::Fields;
use super::world::{Shared, World};
use crate::suite::Rsid;

pub(super) const PREFIX: &str = "/sandbox/";
/// The most hits in an answer if the question names no limit.
const HITS_DEFAULT: usize = 100;
const HITS_MAX: usize = 10_000;

type Answer = Result<Reply, Complaint>;

/// The wrong settings of a suite in JSON: each setting as its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongText {
    wrong: Vec<WrongSetting>,
}

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Reply {
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or("");
    let answer = match (&head.method, path) {
        (&Method::PUT, "faults") => set(body, |plan| shared.set_plan(plan)),
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
        (&Method::GET, ("bulk", "")) => ok(&json!({ "files": world.bulk.received })),
        (&Method::PUT, ("bulk", "")) => set(body, |settings| world.bulk.set(settings)),
        (&Method::PUT, ("esm", "")) => set(body, |settings| world.esm.settings = settings),
        (&Method::GET, ("analytics", "")) => ok(&world.quota.calls),
        (&Method::PUT, ("analytics", "")) => set(body, |settings| world.analytics = settings),
        (method, ("suites", rest)) => suite(world, method, rest, body),
        (method, _) => Err(unknown(method, path)),
    }
}

/// Answers questions about one suite, and changes its settings.
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

/// Reads settings, gives them to `takes`, and answers with the settings.
fn set<T: DeserializeOwned + Serialize>(body: &[u8], takes: impl FnOnce(T)) -> Answer {
    let setting: T = serde_json::from_slice(body).map_err(bad)?;
    let answer = ok(&setting);
    takes(setting);
    answer
}

fn ok(answer: &impl Serialize) -> Answer {
    Ok(reply::json(StatusCode::OK, answer))
}

fn unknown(method: &Method, path: &str) -> Complaint {
    let error = format!(
        "no {method} {PREFIX}{path}; there are GET summary, hits, violations, bulk, analytics, \
         suites/RSID/wrong, suites/RSID/settings.tab, POST reset, PUT suites/RSID, suites/RSID/wrong, analytics, esm, bulk, faults"
    );
    (StatusCode::NOT_FOUND, error)
}
