//! One exchange with the API: a line of an exchange log, an entry of a HAR. Whatever must not be kept is gone once this is
//! made (section 12 of the reference): tokens and addresses are never read, codes and devices only digested.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::answer::{self, Answer};
use super::headers::{self, Device, DeviceInfos, Location, RequestHeaders};
use super::route::{self, Endpoint, Route};
use super::service_token::{ServiceKeys, TokenCheck};
use crate::event::Instant;
use crate::readers::memory::{Keyring, MemoryKey};

/// The longest answer that an exchange waited for, in milliseconds: a day. Above it lies a wrong unit.
pub(super) const DURATION_MS_MAX: f64 = 86_400_000.0;

/// An exchange as its source wrote it, still with everything in it.
#[derive(Debug)]
pub(super) struct RawExchange<'a> {
    pub(super) started_at: Instant,
    /// Until the answer was complete; below 0 where nobody knows.
    pub(super) duration_ms: f64,
    pub(super) method: Cow<'a, str>,
    pub(super) url: Cow<'a, str>,
    pub(super) headers: RequestHeaders<'a>,
    pub(super) body: Cow<'a, str>,
    pub(super) status: u16,
    pub(super) location: Option<Cow<'a, str>>,
    pub(super) answer: Cow<'a, str>,
}

/// Why a line is no exchange. No text of the line is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadExchange {
    /// Not JSON, or not of the documented form, from this column on.
    Form(&'static str, usize),
    /// A member that every exchange has is missing.
    Missing(String),
    /// `started_at` is no instant.
    StartedAt,
    /// `duration_ms` is above a day.
    Duration,
}

#[derive(Deserialize)]
struct LogLine<'a> {
    #[serde(borrow)]
    started_at: Cow<'a, str>,
    #[serde(default)]
    duration_ms: Option<f64>,
    #[serde(borrow)]
    request: LogRequest<'a>,
    #[serde(borrow, default)]
    response: Option<LogResponse<'a>>,
}

#[derive(Deserialize)]
struct LogRequest<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: RequestHeaders<'a>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct LogResponse<'a> {
    #[serde(default)]
    status: u16,
    #[serde(borrow, default)]
    headers: Location<'a>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
}

impl<'a> RawExchange<'a> {
    /// Reads a line of an exchange log.
    pub(super) fn from_line(line: &'a str) -> Result<RawExchange<'a>, BadExchange> {
        let line: LogLine<'a> = serde_json::from_str(line).map_err(|error| bad_form(&error))?;
        let response =
            line.response.unwrap_or(LogResponse { status: 0, headers: Location(None), body: None });
        let duration_ms = line.duration_ms.unwrap_or(-1.0);
        if duration_ms > DURATION_MS_MAX {
            return Err(BadExchange::Duration);
        }
        Ok(RawExchange {
            started_at: instant(&line.started_at).ok_or(BadExchange::StartedAt)?,
            duration_ms,
            method: line.request.method,
            url: line.request.url,
            headers: line.request.headers,
            body: line.request.body.unwrap_or_default(),
            status: response.status,
            location: response.headers.0,
            answer: response.body.unwrap_or_default(),
        })
    }
}

impl fmt::Display for BadExchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadExchange::Form(what, column) => write!(out, "{what} at column {column}"),
            BadExchange::Missing(field) => write!(out, "{field} is missing"),
            BadExchange::StartedAt => out.write_str(
                "started_at is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00.125Z",
            ),
            BadExchange::Duration => out.write_str("duration_ms is more than a day; it counts milliseconds"),
        }
    }
}

/// What broke, without a word of the line: serde's own texts quote values.
pub(super) fn bad_form(error: &serde_json::Error) -> BadExchange {
    let text = error.to_string();
    match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(field) => BadExchange::Missing(field.to_owned()),
        None if error.is_data() => BadExchange::Form("it is not of the documented form", error.column()),
        None => BadExchange::Form("it is not JSON", error.column()),
    }
}

pub(super) fn instant(text: &str) -> Option<Instant> {
    chrono::DateTime::parse_from_rfc3339(text.trim()).ok().map(|at| Instant::from(at.to_utc()))
}

/// An exchange, redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) fingerprint: MemoryKey,
    pub(super) started_at: Instant,
    pub(super) answered_at: Instant,
    pub(super) duration_ms: Option<u64>,
    pub(super) endpoint: Endpoint,
    pub(super) service_provider: String,
    /// The MVPD or the partner of the path.
    pub(super) name: Option<String>,
    /// The keyed digest of the path's code.
    pub(super) code: Option<MemoryKey>,
    pub(super) status: u16,
    /// The keyed digest of the device.
    pub(super) device: Option<MemoryKey>,
    pub(super) device_info: Option<Arc<Device>>,
    /// Whether there was an `X-Device-Info` that does not decode.
    pub(super) is_device_info_broken: bool,
    pub(super) visitor_id: Option<String>,
    pub(super) has_service_token: bool,
    /// What a look at the service token found, where its keys are known.
    pub(super) token_check: Option<TokenCheck>,
    pub(super) has_platform_token: bool,
    /// The resources that a request for decisions names.
    pub(super) resources: Vec<String>,
    /// The `mvpd` of a session's form.
    pub(super) form_mvpd: Option<String>,
    /// The `mso_id` of a redirect to an MVPD, and whether there was a redirect.
    pub(super) redirect: Option<Option<String>>,
    /// The hop that a browser was sent on, where it may be part of a logout.
    pub(super) hop: Option<Hop>,
    pub(super) reply: Reply,
}

/// Exchanges that are done with.
pub(super) type Spent = Vec<Box<Exchange>>;

/// A redirect, every part of it digested: URLs of logouts name devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    /// What was asked for.
    pub(super) from: MemoryKey,
    /// What the browser asks for next.
    pub(super) to: MemoryKey,
    /// The place of that.
    pub(super) to_place: MemoryKey,
}

/// What a logout asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogoutReply {
    pub(super) action: Option<String>,
    /// The hop that the browser begins with, and the place where the logout ends.
    pub(super) leg: Option<(MemoryKey, MemoryKey)>,
}

/// What was answered: the parts that outlive the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A session, its codes digested.
    Session(SessionReply),
    /// The device that streams.
    Device(Device),
    /// Profiles by MVPD.
    Profiles(Vec<ProfileReply>),
    /// Decisions.
    Decisions(Vec<DecisionReply>),
    /// What a logout asks for.
    Logout(LogoutReply),
    /// MVPDs behind a proxy.
    Proxied(Vec<String>),
    /// An enhanced error code.
    Error(String),
    /// Nothing that says anything.
    Nothing,
    /// A success that cannot be read, from this column on.
    Unreadable(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionReply {
    pub(super) action: String,
    pub(super) reason: Option<String>,
    pub(super) code: Option<MemoryKey>,
    pub(super) session: Option<MemoryKey>,
    pub(super) mvpd: Option<String>,
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProfileReply {
    pub(super) mvpd: String,
    pub(super) kind: Option<String>,
    pub(super) is_apple: bool,
    pub(super) user_id: Option<String>,
    pub(super) is_hba: bool,
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DecisionReply {
    pub(super) resource: Option<String>,
    pub(super) mvpd: Option<String>,
    pub(super) is_authorized: bool,
    pub(super) source: Option<String>,
    /// The validity of the media token, where there is one.
    pub(super) token: Option<(Option<i64>, Option<i64>)>,
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
    pub(super) error: Option<String>,
}

impl Exchange {
    /// The exchange without what must not be kept; `None` where its path is none of the API's.
    pub(super) fn redacted(
        raw: &RawExchange<'_>,
        keyring: &Keyring,
        service_keys: &ServiceKeys,
        device_infos: &mut DeviceInfos,
    ) -> Option<Exchange> {
        let path = route::path_of(&raw.url);
        let hop = hop(raw, keyring);
        let elsewhere = || hop.map(|_| Route::elsewhere());
        let route = route::route(&raw.method, path).or_else(elsewhere)?;
        let service_provider = route.service_provider.into_owned();
        let digest_code =
            |code: &str| keyring.digest("code", &[service_provider.as_bytes(), code.trim().as_bytes()]);
        let device = raw.headers.device_identifier.as_deref().and_then(headers::device_identifier);
        let device = device.map(|device| keyring.digest("device", &[&device]));
        let header = raw.headers.device_info.as_deref().filter(|header| !header.trim().is_empty());
        let device_info = header.and_then(|header| device_infos.read(header));
        let is_decision = matches!(route.endpoint, Endpoint::Authorize | Endpoint::Preauthorize);
        let is_session = matches!(route.endpoint, Endpoint::CreateSession | Endpoint::ResumeSession);
        let has_duration = raw.duration_ms >= 0.0;
        let duration_ms = if has_duration { raw.duration_ms.round() as u64 } else { 0 };
        let fingerprint = keyring.digest(
            "exchange",
            &[
                &raw.started_at.nanos().to_be_bytes(),
                raw.method.as_bytes(),
                path.as_bytes(),
                &raw.status.to_be_bytes(),
                device.as_ref().map_or(&[], |device| &device.0[..]),
                raw.answer.as_bytes(),
            ],
        );
        Some(Exchange {
            fingerprint,
            started_at: raw.started_at,
            // A day at most, but the start may be the last instant there is.
            answered_at: Instant::from_nanos(
                raw.started_at.nanos().saturating_add(duration_ms as i64 * 1_000_000),
            ),
            duration_ms: has_duration.then_some(duration_ms),
            endpoint: route.endpoint,
            name: route.name.map(Cow::into_owned),
            code: route.code.as_deref().map(digest_code),
            status: raw.status,
            device,
            is_device_info_broken: header.is_some() && device_info.is_none(),
            device_info,
            visitor_id: raw
                .headers
                .visitor_identifier
                .as_deref()
                .and_then(headers::visitor_identifier)
                .map(str::to_owned),
            has_service_token: raw.headers.service_token.is_some(),
            token_check: raw
                .headers
                .service_token
                .as_deref()
                .and_then(|token| service_keys.check(token, raw.started_at)),
            has_platform_token: raw.headers.has_platform_token,
            resources: if is_decision { resources(&raw.body) } else { Vec::new() },
            form_mvpd: if is_session { parameter(&raw.body, "mvpd") } else { None },
            redirect: (300..400)
                .contains(&raw.status)
                .then_some(raw.location.as_deref())
                .flatten()
                .map(|location| parameter(route::query_of(location), "mso_id")),
            hop,
            reply: reply(route.endpoint, raw, &service_provider, keyring),
            service_provider,
        })
    }
}

fn hop(raw: &RawExchange<'_>, keyring: &Keyring) -> Option<Hop> {
    let location = raw.location.as_deref()?.trim();
    let is_redirect = (300..400).contains(&raw.status) && raw.method.eq_ignore_ascii_case("GET");
    is_redirect.then(|| Hop {
        from: hop_key(&raw.url, keyring),
        to: hop_key(location, keyring),
        to_place: place_key(location, keyring),
    })
}

fn hop_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout hop", &[route::hop_of(url).as_bytes()])
}

fn place_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout end", &[route::place_of(url).as_bytes()])
}

/// Where a logout sends a browser and where it ends, as far as it says both.
fn leg(
    action: &answer::Action<'_>,
    raw: &RawExchange<'_>,
    keyring: &Keyring,
) -> Option<(MemoryKey, MemoryKey)> {
    let end = parameter(route::query_of(&raw.url), "redirectUrl")?;
    let url = text(&action.url).filter(|url| !route::hop_of(url).trim_matches('/').is_empty())?;
    Some((hop_key(&url, keyring), place_key(end.trim(), keyring)))
}

fn parameter(form: &str, name: &str) -> Option<String> {
    route::parameter(form, name).map(Cow::into_owned).filter(|value| !value.trim().is_empty())
}

fn resources(body: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Body {
        resources: Vec<String>,
    }
    serde_json::from_str::<Body>(body).map(|body| body.resources).unwrap_or_default()
}

fn text(word: &answer::Word<'_>) -> Option<String> {
    word.get().map(|text| text.trim().to_owned())
}

fn reply(endpoint: Endpoint, raw: &RawExchange<'_>, service_provider: &str, keyring: &Keyring) -> Reply {
    let digest = |name: &str, word: &answer::Word<'_>| {
        text(word).map(|code| keyring.digest(name, &[service_provider.as_bytes(), code.as_bytes()]))
    };
    let answer = match answer::read(endpoint, raw.status, &raw.answer) {
        Ok(answer) => answer,
        Err(error) => return Reply::Unreadable(error.column()),
    };
    match answer {
        Answer::Session(session) => Reply::Session(SessionReply {
            action: text(&session.action_name).unwrap_or_default(),
            reason: text(&session.reason_type),
            code: digest("code", &session.code),
            session: digest("session", &session.session_id),
            mvpd: text(&session.mvpd),
            not_before: session.not_before.0,
            not_after: session.not_after.0,
        }),
        Answer::Device(device) => Reply::Device(device),
        Answer::Profiles(profiles) => Reply::Profiles(
            profiles
                .into_iter()
                .map(|(mvpd, profile)| ProfileReply {
                    mvpd: mvpd.into_owned(),
                    kind: text(&profile.kind),
                    is_apple: profile.kind.is("appleSSO")
                        || profile.issuer.is("Apple")
                        || profile.attributes.token_source.plain() == Some("Apple"),
                    user_id: profile.attributes.user_id.plain().map(|id| id.trim().to_owned()),
                    is_hba: profile.attributes.hba_status.plain() == Some("true"),
                    not_before: profile.not_before.0,
                    not_after: profile.not_after.0,
                })
                .collect(),
        ),
        Answer::Decisions(decisions) => Reply::Decisions(
            decisions
                .into_iter()
                .map(|decision| DecisionReply {
                    resource: text(&decision.resource),
                    mvpd: text(&decision.mvpd),
                    is_authorized: decision.authorized,
                    source: text(&decision.source),
                    token: decision.token.map(|token| (token.not_before.0, token.not_after.0)),
                    not_before: decision.not_before.0,
                    not_after: decision.not_after.0,
                    error: decision.error.as_ref().and_then(|error| text(&error.code)),
                })
                .collect(),
        ),
        Answer::Logout(action) => {
            Reply::Logout(LogoutReply { action: text(&action.action_name), leg: leg(&action, raw, keyring) })
        }
        Answer::Configuration(mvpds) => Reply::Proxied(mvpds.into_iter().map(Cow::into_owned).collect()),
        Answer::Error(code) => Reply::Error(code.into_owned()),
        Answer::Nothing => Reply::Nothing,
    }
}
