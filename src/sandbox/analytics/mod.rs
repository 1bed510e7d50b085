//! The Analytics 2.0 API, as far as a reader of suites and event counts needs it, served from the accepted hits.
//!
//! ```text
//! GET  /discovery/me                                             the companies of the credential
//! GET  /api/{company}/reportsuites/collections/suites/{rsid}     a suite: ?expansion=
//! GET  /api/{company}/reportsuites/collections/suites            suites: ?rsids= &limit= &page= &expansion=
//! GET  /api/{company}/dimensions?rsid=                           the eVars of a suite: &expansion=
//! GET  /api/{company}/metrics?rsid=                              the success events of a suite
//! POST /api/{company}/reports                                    a ranked report of metrics/eventN, by variables/evarN,
//!                                                                variables/daterangeday or nothing
//! ```
//!
//! Where Adobe's pages are silent: a suite that does not exist gets 404. A suite that the credential may not see, and a
//! company that it may not use, get 403. An event or eVar that is disabled, or hidden from the credential, is in no
//! list, and its column in reports has an error.

mod describe;
mod report;

use std::collections::BTreeSet;
use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::report::{Refusal, Source, bad, not_found, refusal};
use super::makeup::Makeup;
use super::reply::{self, Reply};
use super::request::{Fields, header};
use super::settings::{take_last, take_one};
use super::world::{Shared, World};
use crate::event::Instant;

/// The most suites of a list if a request names no limit.
const SUITES_DEFAULT: usize = 10;

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Reply {
    let world = &mut *shared.world();
    let answer = let_in(world, head).and_then(|()| route(world, shared.clock.now(), head, body));
    let (status, document) = answer.unwrap_or_else(|refusal| refusal);
    let settings = &mut world.analytics;
    if status.is_success() && take_one(&mut settings.break_next) {
        let text = document.to_string();
        let half: String = text.chars().take(text.len() / 2).collect();
        return reply::whole(status, "application/json", half);
    }
    let wait = settings.retry_after_seconds.filter(|_| status.as_u16() == settings.busy_status);
    reply::retry_after(reply::json(status, &document), wait)
}

/// Checks the token and the quota, and applies faults. The gateway in front of the API has its own form of replies.
fn let_in(world: &mut World, head: &Parts) -> Result<(), Refusal> {
    let gateway = |status: StatusCode, code: &str, message: &str| {
        Err((status, json!({ "error_code": code, "message": message })))
    };
    let settings = &mut world.analytics;
    let Some(client_id) = world.tokens.client_of(header(&head.headers, "authorization")) else {
        return gateway(StatusCode::UNAUTHORIZED, "401013", "Oauth token is not valid");
    };
    if header(&head.headers, "x-api-key") != client_id {
        return gateway(StatusCode::FORBIDDEN, "403000", "Api Key is invalid");
    }
    let window = Duration::from_millis(settings.window_ms);
    if !world.quota.admit(client_id, settings.calls_per_window, window) {
        return gateway(StatusCode::TOO_MANY_REQUESTS, "429050", "Too many requests");
    }
    if take_one(&mut settings.busy_next) {
        let status = StatusCode::from_u16(settings.busy_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        return gateway(status, "503000", "Service is temporarily unavailable");
    }
    if take_last(&mut settings.forget_tokens_after) {
        world.tokens.forget();
    }
    if settings.forbidden {
        return gateway(StatusCode::FORBIDDEN, "403025", "Profile is not valid");
    }
    Ok(())
}

fn route(world: &mut World, now: Instant, head: &Parts, body: &[u8]) -> Result<(StatusCode, Value), Refusal> {
    let path = head.uri.path();
    let query = Fields::of(head.uri.query().unwrap_or("").as_bytes());
    let names: Vec<&str> = path.split('/').skip(1).collect();
    let (company, rest) = match &names[..] {
        ["discovery", "me"] if head.method == Method::GET => {
            return Ok((StatusCode::OK, discovery(&world.analytics.companies)));
        }
        ["api", company, rest @ ..] => (*company, rest),
        _ => return Err(not_found(path)),
    };
    if !world.analytics.companies.iter().any(|known| known == company) {
        let why = format!("the credential may not use the company {company:?}");
        return Err(refusal(StatusCode::FORBIDDEN, "invalid_access", why));
    }
    let document = match (&head.method, rest) {
        (&Method::GET, ["reportsuites", "collections", "suites"]) => suites(world, &query)?,
        (&Method::GET, ["reportsuites", "collections", "suites", rsid]) => {
            describe::suite(rsid, &visible(world, rsid)?, query.get("expansion"))
        }
        (&Method::GET, ["dimensions"]) => {
            describe::dimensions(&visible(world, query.get("rsid"))?, query.get("expansion"))
        }
        (&Method::GET, ["metrics"]) => describe::metrics(&visible(world, query.get("rsid"))?),
        (&Method::POST, ["reports"]) => return report(world, now, body),
        _ => return Err(not_found(path)),
    };
    Ok((StatusCode::OK, document))
}

fn report(world: &mut World, now: Instant, body: &[u8]) -> Result<(StatusCode, Value), Refusal> {
    let request: report::Request = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let makeup = visible(world, &request.rsid)?;
    if world.keeps_digests_only {
        let why = "the sandbox keeps no hits, so it has no reports";
        return Err(refusal(StatusCode::NOT_IMPLEMENTED, "unsupported_resource", why));
    }
    // A virtual suite shows the hits of its parent.
    let rsid = makeup.parent.as_ref().map_or(request.rsid.as_str(), |parent| parent.as_str());
    let latency = i64::try_from(world.analytics.latency_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let nothing = Default::default();
    let source = Source {
        ledger: world.suite(rsid).map_or(&nothing, |suite| &suite.ledger),
        makeup: &makeup,
        visible_until: Instant::from_nanos(now.nanos().saturating_sub(latency)),
        rows_per_page_max: world.analytics.rows_per_page_max,
    };
    report::answer(&request, &source)
}

fn discovery(companies: &[String]) -> Value {
    let companies: Vec<Value> = companies
        .iter()
        .map(|id| json!({ "globalCompanyId": id, "companyName": id, "apiRateLimitPolicy": "aa_api_tier10_tp" }))
        .collect();
    json!({ "imsUserId": "sandbox@techacct.adobe.com", "imsOrgs": [{ "imsOrgId": "SANDBOX@AdobeOrg", "companies": companies }] })
}

/// The settings of a suite; the defaults if nobody has named the suite before.
fn makeup_of(world: &World, rsid: &str) -> Makeup {
    world.suite(rsid).map_or_else(Makeup::default, |suite| suite.makeup.clone())
}

/// The settings of a suite, if the credential may see the suite.
fn visible(world: &World, rsid: &str) -> Result<Makeup, Refusal> {
    if rsid.is_empty() {
        return Err(bad("rsid is missing"));
    }
    let is_known = world.suite(rsid).map_or(!world.forgets_unknown_suites, |suite| suite.summary.is_known);
    let makeup = makeup_of(world, rsid);
    // A virtual suite exists although it collects nothing.
    if makeup.is_missing || (makeup.parent.is_none() && !is_known) {
        return Err(not_found(&format!("report suite {rsid:?}")));
    }
    if makeup.is_invisible {
        let why = format!("the credential may not see the report suite {rsid:?}");
        return Err(refusal(StatusCode::FORBIDDEN, "invalid_access", why));
    }
    Ok(makeup)
}

/// The suites that a query names, otherwise all that the sandbox knows; only those that the credential may see.
fn suites(world: &World, query: &Fields) -> Result<Value, Refusal> {
    let mut rsids: BTreeSet<&str> = query.get("rsids").split(',').filter(|rsid| !rsid.is_empty()).collect();
    if rsids.is_empty() {
        rsids.extend(world.suites.iter().map(|suite| suite.summary.rsid.as_str()));
    }
    let limit = query.number("limit", SUITES_DEFAULT).map_err(bad)?;
    let page = query.number("page", 0).map_err(bad)?;
    let listed = rsids.into_iter().filter_map(|rsid| Some((rsid, visible(world, rsid).ok()?)));
    let page = listed.skip(page.saturating_mul(limit)).take(limit);
    Ok(page.map(|(rsid, makeup)| describe::suite(rsid, &makeup, query.get("expansion"))).collect())
}

pub(super) fn settings_file(world: &World, rsid: &str) -> String {
    describe::settings_file(rsid, &makeup_of(world, rsid))
}
