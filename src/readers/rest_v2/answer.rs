//! Reads from an answer the facts that events need, leniently where Adobe's pages and servers differ.

use std::collections::HashSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::bad_exchange::WRONG_TEXTS;
use super::device::Device;
use super::hop;
use super::json::{Entries, millis, millis_of, one_text, word};
use super::raw::RawExchange;
use super::route::{Endpoint, names_login};
use super::state::Profile;
use crate::event::DEGRADED_USER_PREFIX;
use crate::readers::memory::{Keyring, MemoryKey};

/// A response body, read according to its endpoint and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Session(Session),
    /// The state of a session, with the device that streams.
    Device(Device),
    Profiles(Vec<Profile>),
    Decisions(Vec<Decision>),
    Logout(Logout),
    /// MVPDs, each with whether it is behind a proxy.
    Proxied(Vec<(String, bool)>),
    Error(String),
    /// A body without information: a redirect, HTML, an error without a code.
    Nothing,
    /// Why a body cannot be read: the body of a success, or of a failure whose error code cannot be read.
    Unreadable(String),
}

/// An answer of the endpoints that create or resume a session. The code and the session ID are digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Session {
    #[serde(rename = "actionName", deserialize_with = "word")]
    pub(super) action: Option<String>,
    #[serde(rename = "reasonType", deserialize_with = "word")]
    pub(super) reason: Option<String>,
    #[serde(skip)]
    pub(super) code: Option<MemoryKey>,
    #[serde(skip)]
    pub(super) session: Option<MemoryKey>,
    /// Whether the code (without a code: the session ID) identifies no login, because it is a mask or a placeholder.
    #[serde(skip)]
    pub(super) is_code_lost: bool,
    #[serde(deserialize_with = "word")]
    pub(super) mvpd: Option<String>,
    #[serde(deserialize_with = "word")]
    pub(super) service_provider: Option<String>,
    #[serde(deserialize_with = "millis")]
    pub(super) not_before: Option<i64>,
    #[serde(deserialize_with = "millis")]
    pub(super) not_after: Option<i64>,
}

/// Members of answers that must be of one kind of value.
const MEMBERS: &str =
    "decisions|authorized|token|error|profiles|attributes|userID|hba_status|tokenSource|logouts|device";
/// A byte order mark, which some programs write before a text.
const MARK: char = '\u{feff}';
const DECIDES_TWICE: &str = "has two decisions on one resource, and Adobe sends one";

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decision {
    #[serde(default, deserialize_with = "word")]
    pub(super) resource: Option<String>,
    #[serde(default, deserialize_with = "word")]
    pub(super) mvpd: Option<String>,
    #[serde(default, deserialize_with = "word")]
    pub(super) service_provider: Option<String>,
    /// Required: if it could be missing, a permit without it would count as a denial.
    #[serde(rename = "authorized")]
    pub(super) is_authorized: bool,
    #[serde(default, deserialize_with = "word")]
    pub(super) source: Option<String>,
    /// The media token, if there is one. Of its text only a digest is read.
    pub(super) token: Option<Token>,
    #[serde(default, deserialize_with = "millis")]
    pub(super) not_before: Option<i64>,
    #[serde(default, deserialize_with = "millis")]
    pub(super) not_after: Option<i64>,
    error: Option<ErrorBody>,
}

/// A media token: a digest of its text, and when it begins and ends, in milliseconds since the Unix epoch; `None` if the
/// answer does not say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Token {
    #[serde(rename = "serializedToken", deserialize_with = "digest")]
    pub(super) digest: Option<[u8; 32]>,
    #[serde(deserialize_with = "millis")]
    pub(super) not_before: Option<i64>,
    #[serde(deserialize_with = "millis")]
    pub(super) not_after: Option<i64>,
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
    Ok(word(deserializer)?.map(|text| Sha256::digest(text).into()))
}

/// What a logout asks the application to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logout {
    pub(super) action: String,
    /// The MVPD whose logout it is; `None` if the answer has no entry.
    pub(super) mvpd: Option<String>,
    /// Digests of the browser's first URL and of the place where the logout ends; `None` if one of the two is missing.
    pub(super) leg: Option<(MemoryKey, MemoryKey)>,
}

/// An enhanced error. Only its code is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ErrorBody {
    #[serde(deserialize_with = "word")]
    code: Option<String>,
}

impl Decision {
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_ref()?.code.as_deref()
    }
}

/// Reads the body of an answer. A success must have a body that can be read. A failure may have any body, except an
/// object that is broken, cut off or packed, because the object may hold the error code.
pub(super) fn read(
    endpoint: Endpoint,
    raw: &RawExchange<'_>,
    service_provider: &str,
    keyring: &Keyring,
) -> Reply {
    let body = &*raw.answer;
    let (place, let_log) = match raw.is_entry {
        true => ("response.content.text", "let the program that saves the archive write"),
        false => ("response.body", "have your gateway log"),
    };
    let packed =
        || format!("the body of the answer ({place}) is packed as gzip or Base64: {let_log} it as text");
    let marked = || {
        format!(
            "the body of the answer ({place}) begins with a byte order mark, which JSON must not have: {let_log} it without"
        )
    };
    let cut_off = || {
        let bytes = body.len();
        format!("the body of the answer ({place}) is cut off after {bytes} bytes: {let_log} bodies whole")
    };
    if !(200..300).contains(&raw.status) {
        return match error_code(body) {
            Ok(Some(code)) => Reply::Error(code),
            _ if !is_processed(raw.status) => Reply::Nothing,
            Err(error) if error.is_eof() => Reply::Unreadable(cut_off()),
            _ if is_packed(body) => Reply::Unreadable(packed()),
            _ if body.starts_with(MARK) => Reply::Unreadable(marked()),
            Err(error) => Reply::Unreadable(format!(
                "its error code cannot be read: the answer is no JSON, or has the code twice or with half a character, before \
                 column {}",
                error.column()
            )),
            Ok(None) => Reply::Nothing,
        };
    }
    let digest = |name: &str, code: Option<String>| {
        let code = code.filter(|code| names_login(code))?;
        Some(keyring.digest(name, &[service_provider.as_bytes(), code.as_bytes()]))
    };
    let reply = match endpoint {
        Endpoint::CreateSession | Endpoint::ResumeSession | Endpoint::PartnerSession => session(body, digest),
        Endpoint::RetrieveSession => device(body),
        Endpoint::Profiles | Endpoint::ProfileOfMvpd | Endpoint::ProfileOfCode | Endpoint::PartnerProfile => {
            profiles(body)
        }
        Endpoint::Authorize | Endpoint::Preauthorize => decisions(body),
        Endpoint::Logout => logout(body, raw, keyring),
        Endpoint::Configuration => proxied(body),
        Endpoint::UserAgent | Endpoint::Elsewhere => Ok(Reply::Nothing),
    };
    reply.unwrap_or_else(|error| {
        Reply::Unreadable(match (error.is_eof(), error.column()) {
            (true, _) if body.trim_ascii().is_empty() => {
                format!(
                    "the body of a success ({place}) is missing or empty: {let_log} the bodies of answers too"
                )
            }
            (true, _) => cut_off(),
            _ if is_packed(body) => packed(),
            _ if body.starts_with(MARK) => marked(),
            (_, 0) => format!("the body of a success {error}"),
            (_, column) => {
                let what = what_is_wrong(&error, body);
                format!("the body of a success cannot be read from its column {column} on: {what}")
            }
        })
    })
}

/// Whether a body is gzip that was logged as text, or Base64 of gzip or of an object.
fn is_packed(body: &str) -> bool {
    body.starts_with('\u{1f}') || ["eyJ", "H4sI"].iter().any(|start| body.trim_start().starts_with(start))
}

fn what_is_wrong(error: &serde_json::Error, body: &str) -> String {
    let text = error.to_string();
    let wrong = WRONG_TEXTS.into_iter().find(|what| text.starts_with(what));
    wrong.map_or_else(|| why_unread(error, body), |wrong| format!("it {wrong}"))
}

/// Whether Adobe processed a request with this status. If not, nothing is counted, because the gateway tries again.
pub(super) fn is_processed(status: u16) -> bool {
    !matches!(status, 0 | 100..=199 | 401 | 405 | 429 | 499)
}

/// Whether an answer has a `notBefore` or `notAfter` that is no instant. Such a value counts as missing.
pub(super) fn has_unread_instant(body: &str) -> bool {
    let values = ["\"notBefore\"", "\"notAfter\""].into_iter().flat_map(|name| body.split(name).skip(1));
    values.filter_map(|rest| rest.trim_start().strip_prefix(':')).any(|value| {
        let value = value[..value.find([',', '}']).unwrap_or(value.len())].trim();
        value != "null" && millis_of(value).is_none()
    })
}

/// What is wrong with an answer, by the names of its members and the kinds of values. serde's texts quote values too.
fn why_unread(error: &serde_json::Error, body: &str) -> String {
    let text = error.to_string();
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("{name} is missing before it");
    }
    let before: usize = body.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let before = body.get(..before + error.column()).unwrap_or(body);
    let at = |name: &&str| before.rfind(&format!("\"{name}\""));
    let member = MEMBERS.split('|').filter(|name| at(name).is_some()).max_by_key(at).unwrap_or("a value");
    let kinds = text.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "));
    let Some((found, expected)) = kinds else {
        return format!("{member} is not of the documented form there");
    };
    let of = |kinds: [(&str, &'static str); 5], word: &str| {
        kinds.into_iter().find(|(kind, _)| word.starts_with(kind)).map_or("another value", |(_, name)| name)
    };
    let found_kinds = [
        ("string", "a text"),
        ("boolean", "true or false"),
        ("null", "null"),
        ("map", "an object"),
        ("sequence", "a list"),
    ];
    let expected_kinds = [
        ("a boolean", "true or false"),
        ("a sequence", "a list"),
        ("struct", "an object"),
        ("a map", "an object"),
        ("a string", "a text"),
    ];
    let path = if ["userID", "hba_status", "tokenSource"].contains(&member) { "attributes." } else { "" };
    format!("{path}{member} is {} in place of {}", of(found_kinds, found), of(expected_kinds, expected))
}

fn session(
    body: &str,
    digest: impl Fn(&str, Option<String>) -> Option<MemoryKey>,
) -> Result<Reply, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Codes {
        #[serde(deserialize_with = "word")]
        code: Option<String>,
        #[serde(deserialize_with = "word")]
        session_id: Option<String>,
    }
    let Codes { code, session_id } = serde_json::from_str(body)?;
    let session: Session = serde_json::from_str(body)?;
    let is_code_lost = code.as_ref().or(session_id.as_ref()).is_some_and(|it| !names_login(it));
    let (code, id) = (digest("code", code), digest("session", session_id));
    Ok(Reply::Session(Session { code, session: id, is_code_lost, ..session }))
}

/// Reads the description of a device, but not its IP address.
fn device(body: &str) -> Result<Reply, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        device: serde_json::Value,
    }
    let Body { device } = serde_json::from_str(body)?;
    Ok(Reply::Device(Device::of_session(&device)))
}

/// Reads profiles. Of the attributes, only the user ID, `hba_status` and `tokenSource` are read.
fn profiles(body: &str) -> Result<Reply, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        profiles: Entries<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct ProfileBody {
        #[serde(deserialize_with = "millis")]
        not_before: Option<i64>,
        #[serde(deserialize_with = "millis")]
        not_after: Option<i64>,
        #[serde(deserialize_with = "word")]
        issuer: Option<String>,
        #[serde(deserialize_with = "word", rename = "type")]
        kind: Option<String>,
        attributes: Attributes,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Attributes {
        #[serde(rename = "userID")]
        user_id: Attribute,
        hba_status: Attribute,
        #[serde(rename = "tokenSource")]
        token_source: Attribute,
    }
    let Body { profiles: Entries(profiles) } = serde_json::from_str(body)?;
    let profile_of = |(mvpd, body): (String, ProfileBody)| {
        let Attributes { user_id, hba_status, token_source } = body.attributes;
        let kind = body.kind.as_deref();
        let user_id = user_id.plain();
        let has_made_up_id = user_id.as_ref().is_some_and(|id| id.starts_with(DEGRADED_USER_PREFIX));
        Profile {
            mvpd,
            is_apple: kind == Some("appleSSO")
                || body.issuer.as_deref() == Some("Apple")
                || token_source.is("Apple"),
            is_hba: hba_status.is("true"),
            is_degraded: has_made_up_id || kind == Some("degraded"),
            user_id,
            kind: body.kind,
            not_before: body.not_before,
            not_after: body.not_after,
        }
    };
    Ok(Reply::Profiles(each(profiles)?.into_iter().map(profile_of).collect()))
}

/// Reads the values of entries. Its error says all that is wrong: a column in one value would mislead.
fn each<'a, T: Deserialize<'a>>(entries: Vec<(String, &'a str)>) -> serde_json::Result<Vec<(String, T)>> {
    let read = |(name, value)| match serde_json::from_str(value) {
        Ok(read) => Ok((name, read)),
        Err(error) => {
            Err(serde_json::Error::custom(format!("cannot be read: {}", what_is_wrong(&error, value))))
        }
    };
    entries.into_iter().map(read).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attribute {
    #[serde(deserialize_with = "one_text")]
    value: Option<String>,
    #[serde(deserialize_with = "word")]
    state: Option<String>,
}

impl Attribute {
    /// The value, unless it is encrypted for the programmer.
    fn plain(self) -> Option<String> {
        let is_plain = self.state.is_none_or(|state| state.eq_ignore_ascii_case("plain"));
        self.value.filter(|_| is_plain)
    }

    fn is(self, word: &str) -> bool {
        self.plain().is_some_and(|value| value.trim() == word)
    }
}

fn decisions(body: &str) -> Result<Reply, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body {
        decisions: Vec<Decision>,
    }
    let Body { decisions } = serde_json::from_str(body)?;
    let mut resources = HashSet::new();
    // Which of two decisions holds cannot be known.
    if !decisions.iter().filter_map(|of| of.resource.as_deref()).all(|resource| resources.insert(resource)) {
        return Err(serde_json::Error::custom(DECIDES_TWICE));
    }
    Ok(Reply::Decisions(decisions))
}

/// Reads what the first entry of `logouts` asks the application to do.
fn logout(body: &str, raw: &RawExchange<'_>, keyring: &Keyring) -> Result<Reply, serde_json::Error> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        logouts: Entries<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Action {
        #[serde(deserialize_with = "word")]
        action_name: Option<String>,
        /// The URL to which the browser must be sent.
        #[serde(deserialize_with = "word")]
        url: Option<String>,
    }
    let Body { logouts: Entries(logouts) } = serde_json::from_str(body)?;
    let logouts: Vec<(String, Action)> = each(logouts)?;
    let (action, mvpd, url) = match logouts.into_iter().next() {
        Some((mvpd, first)) => (first.action_name.unwrap_or_default(), Some(mvpd), first.url),
        // Adobe answers without an entry where it finds no profile.
        None => ("invalid".to_owned(), None, None),
    };
    Ok(Reply::Logout(Logout { action, mvpd, leg: hop::leg(url.as_deref(), raw, keyring) }))
}

fn proxied(body: &str) -> Result<Reply, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        requestor: Option<Box<Body>>,
        mvpds: Vec<Mvpd>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Mvpd {
        #[serde(deserialize_with = "word")]
        id: Option<String>,
        is_proxy: Option<bool>,
    }
    let Body { requestor, mvpds } = serde_json::from_str(body)?;
    let all = requestor.unwrap_or_default().mvpds.into_iter().chain(mvpds);
    Ok(Reply::Proxied(all.filter_map(|mvpd| mvpd.id.zip(mvpd.is_proxy)).collect()))
}

/// The code of an enhanced error, which is the body itself or its member `error`.
fn error_code(body: &str) -> serde_json::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(default, deserialize_with = "word")]
        code: Option<String>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    if !body.trim_ascii_start().starts_with('{') {
        return Ok(None);
    }
    match serde_json::from_str(body)? {
        Body { code: None, error: Some(error) } if error.get().starts_with('{') => {
            Ok(serde_json::from_str::<ErrorBody>(error.get())?.code)
        }
        Body { code, .. } => Ok(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(endpoint: Endpoint, body: &str) -> Reply {
        let line = serde_json::json!({
            "started_at": "2026-11-10T08:00:00Z",
            "request": {"method": "GET", "url": "/"},
            "response": {"status": 200, "body": body},
        });
        let line = line.to_string();
        let raw = RawExchange::from_line(&line).expect("an exchange");
        read(endpoint, &raw, "REF30", &Keyring::new(b""))
    }

    #[test]
    fn numbers_may_be_text_and_unknown_members_are_no_matter() {
        let body = r#"{"actionName":"authenticate","code":"AB","notBefore":"1794297600000","notAfter":1794299400000,"new":{"a":[1]}}"#;
        let Reply::Session(session) = answered(Endpoint::CreateSession, body) else { panic!("a session") };
        assert_eq!(session.action.as_deref(), Some("authenticate"));
        assert_eq!(
            (session.not_before, session.not_after),
            (Some(1_794_297_600_000), Some(1_794_299_400_000))
        );
    }

    #[test]
    fn a_user_id_is_one_text_as_it_is_and_ciphertext_is_none() {
        for (attribute, expected) in [
            (r#"{"value":"u1","state":"plain"}"#, Some("u1")),
            (r#"{"value":17}"#, Some("17")),
            (r#"{"value":98765432109876543211}"#, Some("98765432109876543211")),
            (r#"{"value":12345.0}"#, Some("12345.0")),
            (r#"{"value":" u1 "}"#, Some(" u1 ")),
            (r#"{"value":" \t"}"#, None),
            (r#"{"value":[0.10,-7,true,null]}"#, None),
            (r#"{"value":[0.10,null]}"#, Some("0.10")),
            (r#"{"value":["u1","u1"]}"#, Some("u1")),
            (r#"{"value":[]}"#, None),
            (r#"{"value":"u1","state":"enc"}"#, None),
            (r#"{"value":["a","b"],"state":"plain"}"#, None),
            ("{}", None),
        ] {
            let body = format!(r#"{{"profiles":{{"M":{{"attributes":{{"userID":{attribute}}}}}}}}}"#);
            let Reply::Profiles(profiles) = answered(Endpoint::Profiles, &body) else { panic!("{body}") };
            assert_eq!(profiles[0].user_id.as_deref(), expected, "{attribute}");
        }
    }

    #[test]
    fn a_number_with_an_exponent_is_no_user_id_and_a_time_all_the_same() {
        let body = |user: &str, time: &str| {
            format!(
                r#"{{"profiles":{{"M":{{"notAfter":{time},"attributes":{{"userID":{{"value":{user}}}}}}}}}}}"#
            )
        };
        for user in ["1e5", "1E22", "1.2345678901234568e+22", "[1e5]", "[[1]]", r#""\ud800""#] {
            let Reply::Unreadable(why) = answered(Endpoint::Profiles, &body(user, "1")) else {
                panic!("{user}")
            };
            let is_named = why.contains("in the place of a text") || why.contains("has half a character");
            assert!(is_named && !why.contains(user), "{why}");
        }
        for (time, expected) in [
            ("1.7942976e12", Some(1_794_297_600_000)),
            ("1794297600000.0", Some(1_794_297_600_000)),
            ("1794297600", None),
            ("1794297600000.5", None),
            ("null", None),
        ] {
            let Reply::Profiles(profiles) = answered(Endpoint::Profiles, &body("1", time)) else {
                panic!("{time}")
            };
            assert_eq!(profiles[0].not_after, expected, "{time}");
        }
    }

    #[test]
    fn error_codes_are_found_bare_and_wrapped() {
        for (body, expected) in [
            (
                r#"{"status":400,"code":"invalid_parameter_code","message":{"a":1}}"#,
                Some("invalid_parameter_code"),
            ),
            (r#"{"error":{"code":"internal_server_error"}}"#, Some("internal_server_error")),
            (r#"{"error":"invalid_request"}"#, None),
            ("<html></html>", None),
            ("", None),
        ] {
            assert_eq!(error_code(body).ok().flatten().as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_device_has_versions_in_dots_and_zero_is_unknown() {
        let body = r#"{"device":{"type":"TV","model":"M","version":{"major":"5","minor":0,"patch":1},
            "hardware":{"name":"H","version":{"major":0,"minor":0,"patch":0}},
            "operatingSystem":{"name":"tvOS","version":"16.1"},"browser":null,"connection":{"ipAddress":"10.0.0.1"}}}"#;
        let Reply::Device(device) = answered(Endpoint::RetrieveSession, body) else { panic!("a device") };
        let text = serde_json::to_string(&device).expect("a map of texts");
        assert_eq!(
            text,
            r#"{"device_hardware_model":"H","device_model":"M","device_os_name":"tvOS","device_os_version":"16.1","device_version":"5.0.1","primary_hardware_type":"TV"}"#
        );
    }
}
