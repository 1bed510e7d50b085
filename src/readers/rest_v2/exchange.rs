//! One exchange with the API: a line of an exchange log, or an entry of a HAR. An `Exchange` holds only what
//! may be kept: no tokens, no addresses, and only digests of codes and devices.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::answer::{self, Reply};
use super::device::{Device, DeviceInfos};
use super::headers::{self, Headers};
use super::hop::{self, Hop};
use super::raw::{RawExchange, Unread, is_method};
use super::route::{self, Endpoint, Route};
use super::service_token::{ServiceKeys, TokenCheck};
use crate::event::Instant;
use crate::readers::line::{Excerpt, RejectReason};
use crate::readers::memory::{Keyring, MemoryKey};
use crate::readers::options::ReaderOptions;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    /// The identity of the exchange: two different exchanges have different fingerprints.
    pub(super) fingerprint: MemoryKey,
    /// The fingerprint with the duration cut to milliseconds, if that differs from the rounded one.
    pub(super) truncated: Option<MemoryKey>,
    /// The digest of the device and of a media token, which Adobe makes for one answer.
    pub(super) token: Option<MemoryKey>,
    /// The fingerprint of version 1, if an earlier release may have read the exchange.
    pub(super) former: Option<MemoryKey>,
    /// The fingerprints of earlier releases, if those read the exchange in other spellings than `Spelling::normal`.
    pub(super) as_written: Vec<MemoryKey>,
    /// Whether the path lacks the configured prefix. The exchange is used all the same.
    pub(super) is_unprefixed: bool,
    /// The length of the URL and both bodies, in bytes. An exchange takes up to three times as much memory.
    pub(super) text_bytes: usize,
    pub(super) started_at: Instant,
    pub(super) answered_at: Instant,
    /// The duration, rounded to milliseconds, and the microseconds that the rounding added or removed.
    pub(super) duration_ms: Option<u64>,
    pub(super) rounded_us: i64,
    pub(super) endpoint: Endpoint,
    pub(super) service_provider: String,
    /// The MVPD or the partner in the path.
    pub(super) name: Option<String>,
    /// The keyed digest of the code in the path; `None` if there is no code, or if the code identifies no login.
    pub(super) code: Option<MemoryKey>,
    pub(super) status: u16,
    pub(super) device: Option<MemoryKey>,
    pub(super) device_info: Option<Arc<Device>>,
    /// Whether `X-Device-Info` is there, but does not decode.
    pub(super) is_device_info_broken: bool,
    pub(super) visitor_id: Option<String>,
    /// The result of the checks of the service token; `None` without a token or without configured keys.
    pub(super) token_check: Option<TokenCheck>,
    pub(super) asked: Asked,
    /// Whether the answer leads elsewhere: not from http to https, or to the same call with a slash behind its path.
    pub(super) is_redirected: bool,
    /// `None` if the answer leads nowhere else; `Some(None)` if the target of the redirect has no `mso_id`.
    pub(super) redirect: Option<Option<String>>,
    /// The redirect that a browser followed, if it may be part of a logout.
    pub(super) hop: Option<Hop>,
    pub(super) reply: Reply,
    pub(super) has_unread_instant: bool,
}

/// What the body of a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The resources that a request for decisions names.
    pub(super) resources: Vec<String>,
    /// The `mvpd` of a session's form.
    pub(super) mvpd: Option<String>,
    /// Why the body cannot be read. The facts in the body are then missing in the events.
    pub(super) unread: Option<Unread>,
}

/// What a line or an entry is: an exchange with the API, an exchange with another server, or a reject.
pub(super) type Read = Result<Result<Box<Exchange>, Elsewhere>, RejectReason>;

/// The number of a line or an entry, and what it is. A reject has its excerpt, which hides the text.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) number: u64,
    pub(super) result: Result<Result<Box<Exchange>, Elsewhere>, (Excerpt<'static>, RejectReason)>,
}

impl Parsed {
    pub(super) fn new(number: u64, bytes: &[u8], line_bytes: u64, read: Read) -> Parsed {
        let result = read.map_err(|reason| (Excerpt::hidden(bytes, line_bytes), reason));
        Parsed { number, result }
    }
}

/// Exchanges whose events were derived. The thread that made these exchanges frees them.
pub(super) type Spent = Vec<Box<Exchange>>;

/// What is no exchange with Adobe's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// An exchange with another server.
    OtherPath,
    /// The same, but its path ends in a path of the API, perhaps in capitals. The configuration may lack the prefix
    /// before it.
    PrefixedPath,
    /// An answer that a browser had kept, so that no request was sent.
    KeptAnswer,
}

/// Makes an `Exchange` of a raw exchange, with only what may be kept.
#[derive(Debug, Clone)]
pub(super) struct Redactor {
    keyring: Keyring,
    service_keys: ServiceKeys,
    device_infos: DeviceInfos,
    path_prefix: String,
    knows_former: bool,
}

impl Redactor {
    pub(super) fn new(options: &ReaderOptions) -> Redactor {
        let prefix = route::normal(route::path_of(&options.rest_v2.path_prefix));
        let prefix = prefix.trim_matches('/');
        // If the configured prefix ends in the path of the API, only the part before that path is the prefix.
        let prefix = prefix.strip_suffix("api/v2").unwrap_or(prefix).trim_end_matches('/');
        Redactor {
            keyring: options.keyring.clone(),
            service_keys: options.service_keys.clone(),
            device_infos: DeviceInfos::default(),
            path_prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            knows_former: options.knows_former,
        }
    }

    /// The route of a request. If `method` is no method of HTTP, only the path decides.
    pub(super) fn route<'a>(&self, method: &str, url: &'a str) -> Result<Route<'a>, Elsewhere> {
        let methods: &[&str] = if is_method(method) { &[method] } else { &["GET", "POST"] };
        let route = |path: &'a str| methods.iter().find_map(|method| route::route(method, path));
        let path = route::path_of(url);
        let inside = path.strip_prefix(self.path_prefix.as_str()).unwrap_or(path);
        route(inside).or_else(|| route(path)).ok_or_else(|| {
            let path = path.to_ascii_lowercase();
            let behind = path.find("/api/v2/").map_or("", |at| &path[at..]);
            let is_like = methods.iter().any(|method| route::route(method, behind).is_some());
            if is_like { Elsewhere::PrefixedPath } else { Elsewhere::OtherPath }
        })
    }

    pub(super) fn redacted(&mut self, raw: &RawExchange<'_>) -> Result<Box<Exchange>, Elsewhere> {
        let hop = Hop::of(raw, &self.keyring);
        let normal = Spelling::normal(raw);
        let route = match (self.route(&raw.method, &normal.url), hop) {
            (Err(_), Some(_)) => Route::elsewhere(),
            (route, _) => route?,
        };
        let service_provider = route.service_provider.into_owned();
        let RawExchange { headers, started_at, status, .. } = raw;
        let keyring = &self.keyring;
        let header = headers.device_identifier.as_deref().unwrap_or_default();
        let identifier = headers::device_identifier(header);
        let is_device = identifier.as_deref().is_some_and(|it| headers::names_device(header, it));
        // The identifier is part of the fingerprint even if it names no device.
        let identifier = identifier.map(|identifier| keyring.digest("device", &[&identifier]));
        let header = headers.device_info.as_deref().filter(|header| !header.trim().is_empty());
        let device_info = header.and_then(|header| self.device_infos.read(header));
        let duration_ms = (raw.duration_ms >= 0.0).then_some(raw.duration_ms.round() as u64);
        let location = headers.location.as_deref();
        let leads_back =
            |location| self.route(&raw.method, location).is_ok_and(|to| to.endpoint == route.endpoint);
        let is_redirected = hop::is_redirect(*status) && !location.is_some_and(leads_back);
        let location = location.filter(|_| is_redirected);
        let reply = answer::read(route.endpoint, raw, &service_provider, keyring);
        let truncated_ms = raw.duration_ms.floor() as i64;
        let is_truncated = raw.duration_ms >= 0.0 && truncated_ms != rounded(raw);
        let digest_code =
            |code: &str| keyring.digest("code", &[service_provider.as_bytes(), code.trim().as_bytes()]);
        let visitor_id = headers.visitor_identifier.as_deref().and_then(headers::visitor_identifier);
        let token = headers.service_token.as_deref();
        Ok(Box::new(Exchange {
            fingerprint: fingerprint(raw, &normal, identifier, rounded(raw), keyring),
            truncated: is_truncated.then(|| fingerprint(raw, &normal, identifier, truncated_ms, keyring)),
            token: token_of(&reply, &service_provider, identifier.filter(|_| is_device), keyring),
            former: self.knows_former.then(|| former_fingerprint(raw, keyring)),
            as_written: normal
                .earlier(raw)
                .iter()
                .map(|spelling| spelling.fingerprint(raw, keyring))
                .collect(),
            is_unprefixed: !route::path_of(&normal.url).starts_with(&self.path_prefix),
            text_bytes: raw.url.len() + raw.answer.len() + raw.body.as_ref().map_or(0, |body| body.len()),
            started_at: *started_at,
            // The duration is at most a day, but the start may be the last possible instant.
            answered_at: Instant::from_nanos(
                started_at.nanos().saturating_add(duration_ms.unwrap_or(0) as i64 * 1_000_000),
            ),
            duration_ms,
            rounded_us: ((raw.duration_ms - raw.duration_ms.round()) * 1_000.0).round() as i64,
            endpoint: route.endpoint,
            name: route.name.map(Cow::into_owned),
            code: route.code.as_deref().filter(|code| route::names_login(code)).map(digest_code),
            status: *status,
            device: identifier.filter(|_| is_device),
            is_device_info_broken: header.is_some() && device_info.is_none(),
            device_info,
            visitor_id: visitor_id.map(str::to_owned),
            token_check: token.and_then(|token| self.service_keys.check(token, *started_at)),
            asked: Asked::of(route.endpoint, &raw.body),
            is_redirected,
            redirect: location.map(|location| route::parameter(route::query_of(location), "mso_id")),
            hop,
            reply,
            has_unread_instant: answer::has_unread_instant(&raw.answer),
            service_provider,
        }))
    }
}

/// The parts of an exchange that different logs spell in different ways.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spelling<'a> {
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    location: Option<Cow<'a, str>>,
    headers: &'a Headers<'a>,
}

impl<'a> Spelling<'a> {
    /// The spelling that goes into the fingerprint.
    fn normal(raw: &'a RawExchange<'a>) -> Spelling<'a> {
        Spelling {
            method: raw.method.to_ascii_uppercase().into(),
            url: route::normal(&raw.url),
            location: raw.headers.location.as_deref().map(route::normal),
            headers: &raw.headers,
        }
    }

    /// The spellings of earlier releases, if they differ from this one. All have the headers as those releases read
    /// them. Older releases also kept the URLs as the log writes them, and the oldest also the method.
    fn earlier(&self, raw: &'a RawExchange<'a>) -> Vec<Spelling<'a>> {
        let headers = raw.headers.earlier.as_deref().unwrap_or(&raw.headers);
        let location = headers.location.as_deref();
        let read = Spelling { headers, location: location.map(route::normal), ..self.clone() };
        let url = Cow::Borrowed(raw.url.as_ref());
        let urls = Spelling { url, location: location.map(Cow::Borrowed), ..read.clone() };
        let all = Spelling { method: Cow::Borrowed(raw.method.as_ref()), ..urls.clone() };
        let mut earlier = vec![read, urls, all];
        earlier.dedup();
        earlier.retain(|spelling| spelling != self);
        earlier
    }

    fn fingerprint(&self, raw: &RawExchange<'_>, keyring: &Keyring) -> MemoryKey {
        fingerprint(raw, self, device(self.headers, keyring), rounded(raw), keyring)
    }
}

impl Exchange {
    /// The resources that the answer decides on or, if it is no answer of decisions, those of the request; sorted.
    pub(super) fn resources(&self) -> Vec<&str> {
        let asked = &self.asked.resources;
        let mut all: Vec<&str> = asked.iter().map(String::as_str).collect();
        if let Reply::Decisions(decisions) = &self.reply {
            let decided = decisions.iter().enumerate();
            all = decided.filter_map(|(at, of)| Some(&**of.resource.as_ref().or(asked.get(at))?)).collect();
        }
        all.sort_unstable();
        all
    }
}

/// The digest of the first media token of an answer to a device.
fn token_of(
    reply: &Reply,
    service_provider: &str,
    device: Option<MemoryKey>,
    keyring: &Keyring,
) -> Option<MemoryKey> {
    let (Reply::Decisions(decisions), Some(device)) = (reply, device) else { return None };
    let (token, of) =
        decisions.iter().find_map(|of| Some((of.token.filter(|it| it.not_before.is_some())?, of)))?;
    let text = |of: &Option<String>| of.clone().unwrap_or_default();
    let (mvpd, resource) = (text(&of.mvpd), text(&of.resource));
    let texts = [service_provider, &mvpd, &resource].map(str::as_bytes);
    let began = token.not_before.unwrap_or_default().to_be_bytes();
    let parts = [&device.0[..], texts[0], texts[1], texts[2], &began, &token.digest.unwrap_or_default()];
    Some(keyring.derived("media token", &parts))
}

/// The duration in whole milliseconds; -1 if it is unknown.
fn rounded(raw: &RawExchange<'_>) -> i64 {
    (raw.duration_ms.round() as i64).max(-1)
}

/// The digest of a request's device identifier, even if the identifier names no device.
fn device(headers: &Headers<'_>, keyring: &Keyring) -> Option<MemoryKey> {
    let identifier = headers::device_identifier(headers.device_identifier.as_deref().unwrap_or_default())?;
    Some(keyring.digest("device", &[&identifier]))
}

/// The fingerprint of an exchange, version 2. It covers all that distinguishes exchanges, in a spelling that
/// is the same for all logs. So the duration is rounded, and a web form is compared by its decoded
/// parameters, because an archive may list these. Hosts and unused headers are left out.
fn fingerprint(
    raw: &RawExchange<'_>,
    Spelling { method, url, location, headers }: &Spelling<'_>,
    device: Option<MemoryKey>,
    duration_ms: i64,
    keyring: &Keyring,
) -> MemoryKey {
    let said = |text: &str| route::decoded(&route::decoded(text, true), true).into_owned();
    let body = raw.body.as_deref().unwrap_or_default();
    let form: Vec<String> = body.split('&').map(|pair| said(pair.trim())).collect();
    let form: Vec<&[u8]> = form.iter().map(String::as_bytes).collect();
    let header =
        |header: &Option<Cow<'_, str>>| header.as_deref().map_or(String::new(), |it| format!("={it}"));
    keyring.digest(
        "exchange 2",
        &[
            &raw.started_at.nanos().to_be_bytes(),
            &duration_ms.to_be_bytes(),
            method.as_bytes(),
            route::path_of(url).as_bytes(),
            route::query_of(url).as_bytes(),
            device.as_ref().map_or(&[], |device| &device.0[..]),
            header(&headers.device_info).as_bytes(),
            header(&headers.visitor_identifier).as_bytes(),
            header(&headers.service_token).as_bytes(),
            &[u8::from(headers.has_platform_token)],
            &keyring.derived("body", &form).0,
            &raw.status.to_be_bytes(),
            header(location).as_bytes(),
            raw.answer.as_bytes(),
        ],
    )
}

/// The fingerprint of version 1, which releases before schema 6 of the buffer stored. It is looked up, never written.
fn former_fingerprint(raw: &RawExchange<'_>, keyring: &Keyring) -> MemoryKey {
    let device = device(raw.headers.earlier.as_deref().unwrap_or(&raw.headers), keyring);
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

impl Asked {
    fn of(endpoint: Endpoint, body: &Result<Cow<'_, str>, Unread>) -> Asked {
        #[derive(Deserialize)]
        struct Body {
            resources: Vec<String>,
        }
        let is_session = matches!(endpoint, Endpoint::CreateSession | Endpoint::ResumeSession);
        if !is_session && !matches!(endpoint, Endpoint::Authorize | Endpoint::Preauthorize) {
            return Asked::default();
        }
        let unread = |unread| Asked { unread: Some(unread), ..Asked::default() };
        let body = match body {
            Ok(body) if is_session => {
                return Asked { mvpd: route::parameter(body, "mvpd"), ..Asked::default() };
            }
            Ok(body) => body,
            Err(why) => return unread(*why),
        };
        match serde_json::from_str(body) {
            Ok(Body { resources }) => Asked { resources, ..Asked::default() },
            Err(_) if body.trim().is_empty() => unread(Unread("the body of the request is empty")),
            Err(_) => unread(Unread("the body of the request is no JSON object with a list of resources")),
        }
    }
}
