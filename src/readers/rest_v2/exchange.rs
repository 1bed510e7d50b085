//! One exchange with the API: a line of an exchange log, an entry of a HAR. Whatever must not be kept is gone once this is
//! made (section 12 of the reference): tokens and addresses are never read, codes and devices only digested.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{self, Answer};
use super::headers::{self, BodyText, Device, DeviceInfos, Location, RequestHeaders, Text};
use super::route::{self, Endpoint, Route};
use super::service_token::{ServiceKeys, TokenCheck};
use crate::event::Instant;
use crate::readers::memory::{Keyring, MemoryKey};
use crate::readers::surrogates;

/// The longest answer that an exchange waited for, in milliseconds: a day. Above it lies a wrong unit.
const DURATION_MS_MAX: f64 = 86_400_000.0;
/// The highest status that HTTP can have.
const STATUS_MAX: f64 = 999.0;
/// The members that messages may name, as errors of their objects end.
const MEMBERS: [&str; 10] = [
    "exchange",
    "entry",
    "request",
    "request.headers",
    "request.postData",
    "request.postData.params",
    "response",
    "response.headers",
    "response.content",
    "name and value",
];

/// An exchange as its source wrote it, still with everything in it.
#[derive(Debug)]
pub(super) struct RawExchange<'a> {
    pub(super) started_at: Instant,
    /// Until the answer was complete; below 0 where nobody knows.
    pub(super) duration_ms: f64,
    pub(super) method: Cow<'a, str>,
    pub(super) url: Cow<'a, str>,
    pub(super) headers: RequestHeaders<'a>,
    pub(super) body: Result<Cow<'a, str>, Unread>,
    pub(super) status: u16,
    pub(super) location: Option<Cow<'a, str>>,
    pub(super) answer: Cow<'a, str>,
    /// Whether an earlier release took the answer for empty because it could not decode it.
    pub(super) was_answer_unread: bool,
}

/// Why a body cannot be read: a sentence that names its member, and no word of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread(pub(super) &'static str);

/// Why a line is no exchange. No text of the line is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadExchange {
    /// Not JSON, from this column on.
    NotJson(usize),
    /// A member is not of its documented form, up to this column.
    Form(&'static str, usize),
    /// A member cannot be used, and why.
    Member(String, &'static str),
}

#[derive(Deserialize)]
#[serde(expecting = "exchange")]
struct LogLine<'a> {
    #[serde(borrow)]
    started_at: Text<'a>,
    #[serde(borrow, default)]
    duration_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    request: LogRequest<'a>,
    #[serde(borrow, default)]
    response: Option<LogResponse<'a>>,
}

#[derive(Deserialize)]
#[serde(expecting = "request")]
struct LogRequest<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default)]
    headers: RequestHeaders<'a>,
    #[serde(borrow, default)]
    body: BodyText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "response", default)]
struct LogResponse<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Location<'a>,
    #[serde(borrow)]
    body: BodyText<'a>,
}

impl<'a> RawExchange<'a> {
    /// Reads a line of an exchange log.
    pub(super) fn from_line(line: &'a str) -> Result<RawExchange<'a>, BadExchange> {
        let LogLine { started_at, duration_ms, request, response } =
            serde_json::from_str(line).map_err(|error| bad_form(&error))?;
        let response = response.unwrap_or_default();
        Ok(RawExchange {
            started_at: instant(started_at, "started_at")?,
            duration_ms: duration(duration_ms, "duration_ms")?,
            method: required(request.method, "request.method")?,
            url: required(request.url, "request.url")?,
            headers: request.headers,
            body: body(request.body, "request.body")?.ok_or(Unread("request.body is missing")),
            status: status(response.status)?,
            location: response.headers.0,
            answer: body(response.body, "response.body")?.unwrap_or_default(),
            was_answer_unread: false,
        })
    }
}

impl fmt::Display for BadExchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadExchange::NotJson(column) => write!(out, "it is not JSON at column {column}"),
            BadExchange::Form(member, column) => {
                write!(out, "its {member} is not of the documented form at column {column}")
            }
            BadExchange::Member(member, what) => write!(out, "{member} {what}"),
        }
    }
}

/// What broke, without a word of the line: serde's own texts quote values, but end in what we say is expected.
pub(super) fn bad_form(error: &serde_json::Error) -> BadExchange {
    let text = error.to_string();
    for (start, what) in [("missing field `", "is missing"), ("duplicate field `", "is given twice")] {
        if let Some(field) = text.strip_prefix(start).and_then(|rest| rest.split('`').next()) {
            let request = if matches!(field, "method" | "url") { "request." } else { "" };
            return BadExchange::Member(format!("{request}{field}"), what);
        }
    }
    if !error.is_data() {
        return BadExchange::NotJson(error.column());
    }
    let expected = text.rsplit(", expected ").next().and_then(|rest| rest.split(" at line ").next());
    let member = MEMBERS.into_iter().find(|member| Some(*member) == expected);
    BadExchange::Form(member.unwrap_or("JSON"), error.column())
}

pub(super) fn required<'a>(text: Text<'a>, member: &str) -> Result<Cow<'a, str>, BadExchange> {
    text.0.ok_or_else(|| BadExchange::Member(member.to_owned(), "is missing"))
}

/// The text of a body, where it has one.
pub(super) fn body<'a>(body: BodyText<'a>, member: &str) -> Result<Option<Cow<'a, str>>, BadExchange> {
    match body {
        BodyText::Absent => Ok(None),
        BodyText::Text(text) => Ok(Some(text)),
        BodyText::Other => {
            let what = "is no text; write the body as it was sent, in one JSON string";
            Err(BadExchange::Member(member.to_owned(), what))
        }
    }
}

pub(super) fn instant(text: Text<'_>, member: &str) -> Result<Instant, BadExchange> {
    let what = "is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00.125Z";
    let text = required(text, member)?;
    match chrono::DateTime::parse_from_rfc3339(text.trim()) {
        Ok(at) => Ok(Instant::from(at.to_utc())),
        Err(_) => Instant::of_source(text.trim()).map_err(|_| BadExchange::Member(member.to_owned(), what)),
    }
}

/// A number as JSON writes it, or as text.
pub(super) fn number(json: &RawValue) -> Option<f64> {
    json.get().trim_matches('"').trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Milliseconds; below 0 where nobody knows.
pub(super) fn duration(json: Option<&RawValue>, member: &str) -> Result<f64, BadExchange> {
    let wrong = |what| BadExchange::Member(member.to_owned(), what);
    let Some(json) = json else { return Ok(-1.0) };
    match number(json) {
        Some(ms) if ms > DURATION_MS_MAX => Err(wrong("is more than a day; it counts milliseconds")),
        Some(ms) => Ok(ms),
        None => Err(wrong("is no number")),
    }
}

/// A status; 0 where no answer came, for which some write null or a number below 0.
pub(super) fn status(json: Option<&RawValue>) -> Result<u16, BadExchange> {
    let Some(json) = json else { return Ok(0) };
    match number(json) {
        Some(status) if status <= STATUS_MAX && status.fract() == 0.0 => Ok(status.max(0.0) as u16),
        Some(_) | None => Err(BadExchange::Member("response.status".to_owned(), "is no status of HTTP")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    /// What tells it from every other one.
    pub(super) fingerprint: MemoryKey,
    /// Its fingerprint of version 1, where an earlier release may have taken it.
    pub(super) former: Option<MemoryKey>,
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
    /// What a look at the service token found, where its keys are known.
    pub(super) token_check: Option<TokenCheck>,
    /// The resources that a request for decisions names.
    pub(super) resources: Vec<String>,
    /// Why its body, which would say more of its events, cannot be read.
    pub(super) unread: Option<Unread>,
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
    pub(super) from: MemoryKey,
    /// What the browser asks for next.
    pub(super) to: MemoryKey,
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
    Device(Device),
    Profiles(Vec<ProfileReply>),
    Decisions(Vec<DecisionReply>),
    /// What a logout asks for.
    Logout(LogoutReply),
    Proxied(Vec<String>),
    Error(String),
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

/// An exchange with somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Whether its path is one of the API's behind something else.
    pub(super) is_prefixed: bool,
}

/// Takes everything out of an exchange that must not be kept.
#[derive(Debug, Clone)]
pub(super) struct Redactor {
    pub(super) keyring: Keyring,
    pub(super) service_keys: ServiceKeys,
    pub(super) device_infos: DeviceInfos,
    /// What paths may have in front, from the configuration.
    pub(super) path_prefix: String,
    /// Whether an earlier release may have taken exchanges.
    pub(super) knows_former: bool,
}

impl Redactor {
    /// Whether a request is for the API.
    pub(super) fn route<'a>(&self, method: &str, url: &'a str) -> Result<Route<'a>, Elsewhere> {
        let path = route::path_of(url);
        let inside = path.strip_prefix(self.path_prefix.as_str()).unwrap_or(path);
        route::route(method, inside).or_else(|| route::route(method, path)).ok_or_else(|| {
            let behind = path.find("/api/v2/").map_or("", |at| &path[at..]);
            Elsewhere { is_prefixed: route::route(method, behind).is_some() }
        })
    }

    /// The exchange without what must not be kept.
    pub(super) fn redacted(&mut self, raw: &RawExchange<'_>) -> Result<Box<Exchange>, Elsewhere> {
        let keyring = self.keyring.clone();
        let hop = hop(raw, &keyring);
        let route = match (self.route(&raw.method, &raw.url), hop) {
            (Err(_), Some(_)) => Route::elsewhere(),
            (route, _) => route?,
        };
        let service_provider = route.service_provider.into_owned();
        let digest_code =
            |code: &str| keyring.digest("code", &[service_provider.as_bytes(), code.trim().as_bytes()]);
        let device = raw.headers.device_identifier.as_deref().and_then(headers::device_identifier);
        let device = device.map(|device| keyring.digest("device", &[&device]));
        let header = raw.headers.device_info.as_deref().filter(|header| !header.trim().is_empty());
        let device_info = header.and_then(|header| self.device_infos.read(header));
        let is_session = matches!(route.endpoint, Endpoint::CreateSession | Endpoint::ResumeSession);
        let has_duration = raw.duration_ms >= 0.0;
        let duration_ms = if has_duration { raw.duration_ms.round() as u64 } else { 0 };
        let (resources, unread) = match route.endpoint {
            Endpoint::Authorize | Endpoint::Preauthorize => resources(&raw.body),
            Endpoint::CreateSession | Endpoint::ResumeSession => {
                (Vec::new(), raw.body.as_ref().err().copied())
            }
            _ => (Vec::new(), None),
        };
        let token = raw.headers.service_token.as_deref();
        Ok(Box::new(Exchange {
            fingerprint: fingerprint(raw, device, &keyring),
            former: self.knows_former.then(|| former_fingerprint(raw, device, &keyring)),
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
            token_check: token.and_then(|token| self.service_keys.check(token, raw.started_at)),
            resources,
            unread,
            form_mvpd: match &raw.body {
                Ok(body) if is_session => parameter(body, "mvpd"),
                _ => None,
            },
            redirect: (300..400)
                .contains(&raw.status)
                .then_some(raw.location.as_deref())
                .flatten()
                .map(|location| parameter(route::query_of(location), "mso_id")),
            hop,
            reply: reply(route.endpoint, raw, &service_provider, &keyring),
            service_provider,
        }))
    }
}

/// The fingerprint of an exchange, version 2: all that tells two exchanges apart, as far as every kind of log writes it alike. So
/// the duration is rounded, a form counts by what it says (an archive may list its parameters), and hosts and the headers
/// that nothing is derived from are left out.
fn fingerprint(raw: &RawExchange<'_>, device: Option<MemoryKey>, keyring: &Keyring) -> MemoryKey {
    let said = |text: &str| route::decoded(&route::decoded(text, true), true).into_owned();
    let body = raw.body.as_deref().unwrap_or_default();
    let form: Vec<String> = body.split('&').map(|pair| said(pair.trim())).collect();
    let form: Vec<&[u8]> = form.iter().map(String::as_bytes).collect();
    let header =
        |header: &Option<Cow<'_, str>>| header.as_deref().map_or(String::new(), |it| format!("={it}"));
    let headers = &raw.headers;
    keyring.digest(
        "exchange 2",
        &[
            &raw.started_at.nanos().to_be_bytes(),
            &(raw.duration_ms.round() as i64).max(-1).to_be_bytes(),
            raw.method.as_bytes(),
            route::path_of(&raw.url).as_bytes(),
            route::query_of(&raw.url).as_bytes(),
            device.as_ref().map_or(&[], |device| &device.0[..]),
            header(&headers.device_info).as_bytes(),
            header(&headers.visitor_identifier).as_bytes(),
            header(&headers.service_token).as_bytes(),
            &[u8::from(headers.has_platform_token)],
            &keyring.derived("body", &form).0,
            &raw.status.to_be_bytes(),
            header(&raw.location).as_bytes(),
            raw.answer.as_bytes(),
        ],
    )
}

/// The fingerprint of version 1, by which releases before schema 6 of the buffer knew an exchange: looked up, never written.
fn former_fingerprint(raw: &RawExchange<'_>, device: Option<MemoryKey>, keyring: &Keyring) -> MemoryKey {
    keyring.digest(
        "exchange",
        &[
            &raw.started_at.nanos().to_be_bytes(),
            raw.method.as_bytes(),
            route::path_of(&raw.url).as_bytes(),
            &raw.status.to_be_bytes(),
            device.as_ref().map_or(&[], |device| &device.0[..]),
            if raw.was_answer_unread { b"" } else { raw.answer.as_bytes() },
        ],
    )
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

/// The resources that a body names, or why nobody can tell.
fn resources(body: &Result<Cow<'_, str>, Unread>) -> (Vec<String>, Option<Unread>) {
    #[derive(Deserialize)]
    struct Body {
        resources: Vec<String>,
    }
    let body = match body {
        Ok(body) => surrogates::mended(body),
        Err(unread) => return (Vec::new(), Some(*unread)),
    };
    match serde_json::from_str::<Body>(&body) {
        Ok(body) => (body.resources, None),
        Err(_) if body.trim().is_empty() => (Vec::new(), Some(Unread("the body of the request is empty"))),
        Err(_) => {
            (Vec::new(), Some(Unread("the body of the request is no JSON object with a list of resources")))
        }
    }
}

fn text(word: &answer::Word<'_>) -> Option<String> {
    word.get().map(|text| text.trim().to_owned())
}

fn reply(endpoint: Endpoint, raw: &RawExchange<'_>, service_provider: &str, keyring: &Keyring) -> Reply {
    let digest = |name: &str, word: &answer::Word<'_>| {
        text(word).map(|code| keyring.digest(name, &[service_provider.as_bytes(), code.as_bytes()]))
    };
    let answer = surrogates::mended(&raw.answer);
    let answer = match answer::read(endpoint, raw.status, &answer) {
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
