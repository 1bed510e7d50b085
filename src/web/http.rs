//! Sends HTTP requests to Adobe's APIs and reads whole answers; decides which addresses get secrets or need a proxy.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write;
use std::io;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, Request, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::{ApiError, Cause, Endpoint, PLACE_CHARS_MAX, is_for_the_moment, words};
use super::proxy::{Proxy, ProxySettings};
use super::retry::retry_after;
use super::tls::tls_words;
use crate::clock::Clock;

/// The time limit of a request, divided by this number, is the limit for connecting (with the proxy's tunnel and
/// TLS). A request that cannot connect in time has sent nothing, so the caller may repeat even an upload.
const CONNECT_PART: u32 = 2;

/// Why no client can be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{key} {text:?} is no address: {why}")]
    BadUrl {
        key: &'static str,
        /// The configured text, without a user and password.
        text: String,
        why: String,
    },
    /// A proxy variable of the environment cannot be used. To connect without that proxy would be worse than to fail.
    #[error("no way to {host}: {why}")]
    Proxy { host: String, why: String },
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
    #[error("cannot start the threads for requests")]
    Threads(#[source] io::Error),
}

/// A request ends at most this long after reqwest's time limit. That limit fails while hyper is busy (see `Threads`).
const LATE_MAX: Duration = Duration::from_secs(1);

/// Reads an address that secrets may be sent to: https, or plain http to this host.
pub fn address(key: &'static str, text: &str) -> Result<Url, SetupError> {
    // A user and a password may come before the host, and no message may show them.
    let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, host)| format!("...@{host}"));
    let refuse = |why: &str| SetupError::BadUrl { key, text: shown.clone(), why: why.to_owned() };
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse("it would carry secrets in clear; use https")),
        _ => Err(refuse("it begins with neither https nor http")),
    }
}

/// The address with these names added to its path.
pub fn beneath(url: &Url, names: impl IntoIterator<Item = impl AsRef<str>>) -> Url {
    let mut url = url.clone();
    // An HTTP address always has a path, so this cannot fail.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(names);
    }
    url
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"))
}

/// An HTTP client that connects directly or through the tunnel of a proxy, as the proxy variables say.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    proxy: ProxySettings,
    request_timeout: Duration,
    threads: Arc<Threads>,
}

/// Two threads that requests run on. hyper skips endless 1xx replies without a pause, so a server can keep
/// one thread busy. The second thread and the caller's thread still notice a signal or the time limit.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Result<Threads, SetupError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("api").enable_all().build();
        Ok(Threads(Some(runtime.map_err(SetupError::Threads)?)))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // An asynchronous caller must not wait for the threads to end.
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Http {
    /// `request_timeout` limits a request together with its whole answer.
    pub fn new(
        addresses: &[&Url],
        request_timeout: Duration,
        proxy: &ProxySettings,
    ) -> Result<Http, SetupError> {
        let provider = rustls::crypto::ring::default_provider();
        // An error only means that another part of the process has installed the same provider before.
        drop(provider.install_default());
        // If reqwest read the proxy variables, it would send plain http, with its secrets, through HTTP_PROXY.
        let mut builder = Client::builder().no_proxy();
        for url in addresses {
            let found = way(url, proxy).map_err(|why| SetupError::Proxy { host: host(url), why })?;
            let Some(through) = found else { continue };
            let (settings, target) = (proxy.clone(), format!("http://{through}"));
            let mut proxies = reqwest::Proxy::custom(move |url| {
                matches!(way(url, &settings), Ok(Some(_))).then(|| target.clone())
            });
            if let Some(authorization) = through.authorization {
                proxies = proxies.custom_http_auth(authorization);
            }
            // All addresses that need a proxy get the same proxy, so the last builder serves all of them.
            builder = Client::builder().no_proxy().proxy(proxies);
        }
        let client = builder
            .timeout(request_timeout)
            .connect_timeout(request_timeout / CONNECT_PART)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("passbridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::Client)?;
        Ok(Http { client, proxy: proxy.clone(), request_timeout, threads: Arc::new(Threads::start()?) })
    }

    pub fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone())
    }

    pub fn form(&self, url: &Url, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request(Method::POST, url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
    }

    /// Sends a request and reads its answer to the end. Neither the answer nor an error contains one of the secrets.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: RequestBuilder,
        bytes_max: usize,
        secrets: &[&str],
    ) -> Result<Answer, ApiError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|_| {
            // reqwest's own text may quote the token.
            endpoint.error(Cause::NotSendable("a header cannot hold the token or the client ID".to_owned()))
        })?;
        let url = request.url().clone();
        // A caller that is stopped drops this set, which ends the request.
        let mut requests = JoinSet::new();
        if let Some(runtime) = &self.threads.0 {
            requests.spawn_on(whole_answer(client, request, bytes_max), runtime.handle());
        }
        match timeout(self.request_timeout + LATE_MAX, requests.join_next()).await {
            Ok(Some(Ok(Ok(Some(answer))))) => Ok(Answer {
                body: concealed(answer.body, secrets),
                location: concealed(answer.location, secrets),
                ..answer
            }),
            Ok(Some(Ok(Ok(None)))) => Err(endpoint.error(Cause::TooLong(bytes_max))),
            Ok(Some(Ok(Err(error)))) => Err(endpoint.error(self.cause(&url, &error.without_url()).await)),
            Ok(Some(Err(error))) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(Some(Err(_)) | None) | Err(_) => {
                Err(endpoint.error(Cause::NoAnswer("the server sends without end".to_owned())))
            }
        }
    }

    async fn cause(&self, url: &Url, error: &reqwest::Error) -> Cause {
        let mut why = root_cause(error);
        let is_connect = error.is_connect();
        match way(url, &self.proxy) {
            Ok(Some(proxy)) => {
                // reqwest does not tell what the proxy answered.
                if why.starts_with("tunnel error") {
                    let asked = timeout(self.request_timeout / CONNECT_PART, tunnel_refusal(url, &proxy));
                    why = asked.await.ok().flatten().unwrap_or(why);
                }
                let why = format!("through the proxy {proxy}: {why}");
                if is_connect { Cause::Proxy(why) } else { Cause::NoAnswer(why) }
            }
            Ok(None) | Err(_) if is_connect => Cause::NotReached(why),
            Ok(None) | Err(_) => Cause::NoAnswer(why),
        }
    }
}

/// Sends a request and reads its answer; `None` if the body is longer than `bytes_max`.
async fn whole_answer(
    client: Client,
    request: Request,
    bytes_max: usize,
) -> Result<Option<Answer>, reqwest::Error> {
    let mut response = client.execute(request).await?;
    let status = response.status();
    let retry_after = retry_after(response.headers(), Clock::system().system_time());
    let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
    let location = location.map_or_else(Vec::new, |location| location.as_bytes().to_owned());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(Answer { status, retry_after, location, body }))
}

/// The proxy for an address, if there is one. Plain http needs no proxy: it goes only to this host.
fn way(url: &Url, proxy: &ProxySettings) -> Result<Option<Proxy>, String> {
    if url.scheme() != "https" || is_loopback(url) {
        return Ok(None);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    proxy.way(host, url.port_or_known_default().unwrap_or(443))
}

/// Asks the proxy for a tunnel again, and returns why it refuses one.
async fn tunnel_refusal(url: &Url, proxy: &Proxy) -> Option<String> {
    let mut tcp = TcpStream::connect((&*proxy.host, proxy.port)).await.ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    proxy.open_tunnel(&mut tcp, host, url.port_or_known_default()?).await.err()
}

/// This many successive letters and digits of a secret are concealed wherever they stand, because a server may
/// repeat only a part of it.
const RUN_CHARS: usize = 12;

/// Replaces secrets that the server has repeated, and long parts of them. Finds them even if JSON or an address has
/// escaped some of their letters, or if white space or marks stand between the letters.
fn concealed(mut body: Vec<u8>, secrets: &[&str]) -> Vec<u8> {
    for secret in secrets {
        // The letters of a short secret may be a word, so its marks are compared too. `=` is compared in every secret.
        let is_long = secret.bytes().filter(u8::is_ascii_alphanumeric).count() >= RUN_CHARS;
        let counts = |letter: &u8| {
            letter.is_ascii_alphanumeric() || *letter == b'=' || !(is_long || letter.is_ascii_whitespace())
        };
        let plain = |text: &[u8]| letters(text).map(|(letter, _)| letter).filter(counts).collect::<Vec<u8>>();
        let (secret, text) = (plain(secret.as_bytes()), plain(&body));
        let run = RUN_CHARS.min(secret.len());
        if run == 0 {
            continue;
        }
        let runs: HashSet<&[u8]> = secret.windows(run).collect();
        let (mut clean, mut at, mut shown_from) = (Vec::with_capacity(body.len()), 0, 0);
        for (letter, written) in letters(&body) {
            if counts(&letter) && text.get(at..at + run).is_some_and(|part| runs.contains(part)) {
                if at >= shown_from {
                    clean.extend_from_slice(b"...");
                }
                shown_from = at + run;
            }
            if at >= shown_from {
                clean.extend_from_slice(written);
            }
            at += usize::from(counts(&letter));
        }
        body = clean;
    }
    body
}

/// The letters of a text, each with the bytes that write it: `/` may be `\/`, `\u002f` (also twice escaped) or `%2F`.
/// The end of a line, which may be written `\n`, counts as a space.
fn letters(mut text: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    iter::from_fn(move || {
        let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
        let digits_at = match &text[slashes..] {
            [b'u', b'0', b'0', ..] if slashes > 0 => slashes + 3,
            [b'%', ..] => slashes + 1,
            _ => text.len(),
        };
        let digits = text.get(digits_at..digits_at + 2).and_then(|digits| str::from_utf8(digits).ok());
        let (letter, bytes) = match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(letter) => (letter, digits_at + 2),
            None => match text.get(slashes).or(text.first())? {
                b'n' | b'r' | b't' if slashes > 0 => (b' ', slashes + 1),
                letter => (*letter, text.len().min(slashes + 1)),
            },
        };
        let (written, behind) = text.split_at(bytes);
        text = behind;
        Some((letter, written))
    })
}

/// The host of an address, for messages: the rest of the address may contain a secret.
pub fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// How long the server asks to wait before the next request, if it does.
    pub retry_after: Option<Duration>,
    /// Where a redirect leads; empty for any other answer.
    pub(super) location: Vec<u8>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer; an error if its status says that the server is overloaded or unavailable for a while.
    pub fn unless_busy(self, endpoint: &Endpoint) -> Result<Answer, ApiError> {
        if is_for_the_moment(self.status) { Err(self.refusal(endpoint)) } else { Ok(self) }
    }

    /// The body, read as JSON; an error if the answer is a refusal.
    pub fn json<T: DeserializeOwned>(&self, endpoint: &Endpoint) -> Result<T, ApiError> {
        if !self.status.is_success() {
            return Err(self.refusal(endpoint));
        }
        // Shows only the name of a missing member, because serde's own text may quote a value of any length.
        let broken = |error: serde_json::Error| {
            let place = format!("at line {}, column {}", error.line(), error.column());
            let text = error.to_string();
            let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            endpoint.unreadable(match (missing, error.is_data()) {
                (Some(name), _) => format!("it has no {name}"),
                (None, true) => format!("its JSON has another form than is documented {place}"),
                (None, false) => format!("its JSON breaks {place}"),
            })
        };
        serde_json::from_slice(&self.body).map_err(broken)
    }

    pub fn refusal(&self, endpoint: &Endpoint) -> ApiError {
        let mut refused = endpoint.refused(self.status, self.retry_after, &self.body);
        // Shows only the place, because the query of an address may contain anything.
        let location = String::from_utf8_lossy(&self.location);
        let place = location.split(['?', '#']).next().unwrap_or_default();
        if let (Cause::Refused { why, .. }, false) = (&mut refused.cause, place.is_empty()) {
            write!(why, "; it leads to {}", words(place, PLACE_CHARS_MAX)).unwrap_or_default();
        }
        refused
    }
}

/// The text of the deepest source of an error, because the error's own text says little.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.downcast_ref().and_then(tls_words).unwrap_or_else(|| deepest.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, server};
    use super::*;

    #[tokio::test]
    async fn no_redirect_is_followed_and_no_answer_read_beyond_its_limit() {
        const BYTES_MAX: usize = 100_000;
        let elsewhere = answer("302 Found\r\nlocation: /elsewhere", "");
        let (whole, long) = ("a".repeat(BYTES_MAX), "a".repeat(BYTES_MAX + 1));
        let url = server(vec![elsewhere, answer("200 OK", &whole), answer("200 OK", &long)]).await;
        let http = Http::new(&[&url], Duration::from_secs(10), &ProxySettings::default()).expect("HTTP");
        let endpoint = Endpoint::new("a thing", "esm.url", &url);
        let sent = async || http.send(&endpoint, http.request(Method::GET, &url), BYTES_MAX, &[]).await;
        assert_eq!(sent().await.expect("an answer").status, StatusCode::FOUND);
        assert_eq!(sent().await.expect("an answer").body, whole.as_bytes());
        assert!(matches!(sent().await, Err(ApiError { cause: Cause::TooLong(_), .. })));
    }

    #[tokio::test]
    async fn a_date_in_retry_after_is_understood() {
        let at = httpdate::fmt_http_date(Clock::system().system_time() + Duration::from_secs(3600));
        let url = server(vec![answer(&format!("429 Slow\r\nretry-after: {at}"), "")]).await;
        let http = Http::new(&[&url], Duration::from_secs(10), &ProxySettings::default()).expect("HTTP");
        let endpoint = Endpoint::new("a thing", "esm.url", &url);
        let answer =
            http.send(&endpoint, http.request(Method::GET, &url), 100, &[]).await.expect("an answer");
        let asked = answer.retry_after.expect("a date").as_secs();
        assert!((3500..=3600).contains(&asked), "{asked}");
    }

    #[test]
    fn a_repeated_secret_is_concealed_however_it_is_escaped() {
        let clean = |body: &str, secrets: &[&str]| {
            String::from_utf8(concealed(body.as_bytes().to_vec(), secrets)).expect("text")
        };
        assert_eq!(clean("token a/b= of hush, hush", &["a/b=", "hush"]), "token ... of ..., ...");
        assert_eq!(clean(r#"{"error":"a\/b= is bad"}"#, &["a/b="]), r#"{"error":"... is bad"}"#);
        for form in [
            r"a\/b\u002Bc=",
            r"a\u002fb\u002bc\u003d",
            r"\u0061/b+c=",
            "a%2Fb%2Bc%3D",
            "a/b%2bc=",
            r"a\\/b\\u002bc=",
            "a/b+c=",
        ] {
            let body = format!(r#"{{"error":"{form}{form} is \"bad\", 100%\u00e9\\"}}"#);
            let expected = r#"{"error":"...... is \"bad\", 100%\u00e9\\"}"#;
            assert_eq!(clean(&body, &["a/b+c=", "hush"]), expected, "{form}");
        }
        assert_eq!(clean(r"100%41 100%25 a\b 100%", &["100%41", r"a\b"]), r"... 100%25 ... 100%");
        assert_eq!(clean(r"a\/b=\", &["a/b="]), r"...\");
        assert_eq!(clean(r"a/\nb =", &["a/b="]), "...");
        assert_eq!(clean("a.b", &["", "."]), "a...b");
        for cut in [r"\", r"\u", r"\u00", r"\u004", "%", "%4", "%\u{e9}"] {
            assert_eq!(clean(cut, &["a/b="]), cut);
        }
    }

    #[test]
    fn a_part_of_a_secret_is_concealed_however_it_is_cut_wrapped_or_split() {
        let clean = |body: &str| {
            String::from_utf8(concealed(
                body.as_bytes().to_vec(),
                &["eyJhbGci.OiJSUzI1NiJ9-abcd+EFGH/0123=="],
            ))
            .expect("text")
        };
        for (body, expected) in [
            ("bad token eyJhbGci.OiJSUzI1", "bad token ..."),
            ("it ends in 9-abcd+EFGH/0123.", "it ends in ...."),
            (
                r#"{"error":"eyJhbGci.OiJSUzI1","message":"NiJ9-abcd+EFGH/0123"}"#,
                r#"{"error":"...","message":"..."}"#,
            ),
            ("eyJhbGci.OiJS\r\n  UzI1NiJ9-abcd\n", "...\n"),
            (r"eyJhbGci.\nOiJSUzI1\r\nNiJ9\tabcd", "..."),
            ("eyJh-bGci-OiJS-UzI1-NiJ9", "..."),
            ("e y J h b G c i O i J S U z", "..."),
            ("eyJhbGci%2eOiJSU%7aI1", "..."),
            ("the eyJhbGci.OiJ of it", "the eyJhbGci.OiJ of it"),
        ] {
            assert_eq!(clean(body), expected, "{body}");
        }
    }

    #[test]
    fn addresses_carry_no_secrets_in_clear() {
        for text in ["https://analytics-collection.adobe.io/aa", "http://127.0.0.1:8080/aa"] {
            assert!(address("bulk.url", text).is_ok(), "{text}");
        }
        for text in
            ["", "ftp://adobe.io", "http://adobe.io/aa", "http://user:hidden@adobe.io", "user:hidden@x"]
        {
            let error = address("bulk.url", text).expect_err(text).to_string();
            assert!(error.starts_with("bulk.url") && !error.contains("hidden"), "{error}");
        }
    }
}
