//! HTTP requests to Adobe's APIs: which addresses may get secrets, which proxy to use, and whole answers.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Request, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::{ApiError, Cause, Endpoint, is_for_the_moment};
use super::proxy::{Proxy, ProxySettings};
use super::retry::retry_after;
use super::tls::tls_words;
use crate::clock::Clock;

/// How much of a request's time its connection may take, with the proxy's tunnel and TLS: a half. Where it takes longer,
/// nothing of the request arrived, which is worth knowing: an upload may be sent again.
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

/// How much later than reqwest's own time limit a request is given up.
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

/// Two threads that requests run on. hyper skips endless 1xx replies without a pause, so a server can keep one thread
/// busy; the other one, and the caller's, still notice that the time is over or that a signal came.
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
        // With its own reading of the variables, reqwest would send plain http, secrets included, through HTTP_PROXY.
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
            // All hosts that need a proxy use the same one, so the last builder serves all of them.
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

    /// A POST of these fields as a form.
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
        // Dropping the set, as a stopped caller does, ends the request.
        let mut requests = JoinSet::new();
        if let Some(runtime) = &self.threads.0 {
            requests.spawn_on(whole_answer(client, request, bytes_max), runtime.handle());
        }
        match timeout(self.request_timeout + LATE_MAX, requests.join_next()).await {
            Ok(Some(Ok(Ok(Some(answer))))) => Ok(Answer { body: concealed(answer.body, secrets), ..answer }),
            Ok(Some(Ok(Ok(None)))) => Err(endpoint.error(Cause::TooLong(bytes_max))),
            Ok(Some(Ok(Err(error)))) => Err(endpoint.error(self.cause(&url, &error.without_url()))),
            Ok(Some(Err(error))) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(Some(Err(_)) | None) | Err(_) => {
                Err(endpoint.error(Cause::NoAnswer("the server sends without end".to_owned())))
            }
        }
    }

    fn cause(&self, url: &Url, error: &reqwest::Error) -> Cause {
        let why = root_cause(error);
        let is_connect = error.is_connect();
        match way(url, &self.proxy) {
            Ok(Some(proxy)) => {
                let why = format!("through the proxy {proxy}: {}", of_tunnel(&why));
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
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(Answer { status, retry_after, body }))
}

/// The proxy for an address, if it needs one. Plain http goes only to this host, so it needs none.
fn way(url: &Url, proxy: &ProxySettings) -> Result<Option<Proxy>, String> {
    if url.scheme() != "https" || is_loopback(url) {
        return Ok(None);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    proxy.way(host, url.port_or_known_default().unwrap_or(443))
}

/// Why a CONNECT to the proxy failed, in words that explain more than the library's own text.
fn of_tunnel(why: &str) -> &str {
    match why {
        "tunnel error: proxy authorization required" => "it asks for a user and a password (407)",
        "tunnel error: unsuccessful" => "it refuses a tunnel, or its answer is not HTTP",
        "tunnel error: proxy response headers too long" => "its answer has no end",
        "tunnel error: unexpected end of file" => "it closed the connection without an answer",
        "tls handshake eof" => "the connection ended during the TLS handshake",
        other => other,
    }
}

/// Replaces secrets that the server has repeated in its answer, also where JSON has escaped their slashes.
fn concealed(mut body: Vec<u8>, secrets: &[&str]) -> Vec<u8> {
    let forms = |secret: &&str| {
        let escaped = secret.contains('/').then(|| secret.replace('/', "\\/"));
        [Some((*secret).to_owned()), escaped].into_iter().flatten()
    };
    for secret in secrets.iter().filter(|secret| !secret.is_empty()).flat_map(forms) {
        let (mut clean, mut rest) = (Vec::new(), 0);
        for at in memchr::memmem::find_iter(&body, secret.as_bytes()) {
            clean.extend_from_slice(&body[rest..at]);
            clean.extend_from_slice(b"...");
            rest = at + secret.len();
        }
        if rest > 0 {
            clean.extend_from_slice(&body[rest..]);
            body = clean;
        }
    }
    body
}

/// The host of an address, for messages: the rest of the address may contain a secret.
pub fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
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
        // Of serde's own text only the name of a member that is missing is told: it may quote a value of any length.
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
        endpoint.refused(self.status, self.retry_after, &self.body)
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
    fn a_repeated_secret_is_concealed_in_every_form_of_its_slashes() {
        let clean = |body: &str, secrets: &[&str]| {
            String::from_utf8(concealed(body.as_bytes().to_vec(), secrets)).expect("text")
        };
        assert_eq!(clean("token a/b= of hush, hush", &["a/b=", "hush"]), "token ... of ..., ...");
        assert_eq!(clean(r#"{"error":"a\/b= is bad"}"#, &["a/b="]), r#"{"error":"... is bad"}"#);
        assert_eq!(clean("a.b", &["", "."]), "a...b");
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
