//! Fetches reports of Entitlement Service Monitoring (ESM v3) from Adobe.
//!
//! - In: a span of hours on the clock of the reports, and what to group by. Out: the report as Adobe wrote it.
//! - Guarantees: the client registers once, and keeps its credentials for its owner's eyes only; tokens stay in memory; a
//!   token that is refused is had anew once; what is refused for the moment or breaks off is asked for again, within bounds;
//!   no secret is in any message or log.
//! - Does not know: what stands in a report, where its counts are kept.
//! - Rules: sections 8.1 and 8.2 of `reference/adobe-analytics.md`.

mod credentials;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use credentials::Credentials;

/// Tries of one request before it is given up.
const TRIES_MAX: u32 = 5;
/// The wait before the second try; each further one doubles it.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait, also where `Retry-After` asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The longest report, in bytes once it is unpacked: what is longer would not be taken in.
const REPORT_BYTES_MAX: usize = 32 << 20;
/// The longest answer about credentials, in bytes.
const DCR_BYTES_MAX: usize = 1 << 20;
/// How much of a refusal's text a message repeats, in characters.
const REFUSAL_CHARS_MAX: usize = 200;
/// `X-Device-Info` of a registration, which asks for one: {"primaryHardwareType":"Server","model":"passbridge"}.
const DEVICE_INFO: &str = "eyJwcmltYXJ5SGFyZHdhcmVUeXBlIjoiU2VydmVyIiwibW9kZWwiOiJwYXNzYnJpZGdlIn0=";

/// Where and how reports are fetched.
#[derive(Debug, Clone)]
pub struct EsmOptions {
    /// Where reports begin, such as `https://mgmt.auth.adobe.com/esm/v3`.
    pub url: String,
    /// Where credentials and tokens are had, such as `https://sp.auth.adobe.com`.
    pub dcr_url: String,
    /// The file of the software statement.
    pub software_statement_file: PathBuf,
    /// The file that keeps the client credentials.
    pub credentials_file: PathBuf,
    /// What reports group by beneath the hour.
    pub group_by: String,
    /// The most rows of a report.
    pub rows: u32,
    /// Of whom; empty: of everybody the credentials may see.
    pub requestors: Vec<String>,
    /// How long a request may take.
    pub request_timeout: Duration,
}

/// Why a report cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EsmError {
    /// A file of a secret cannot be used. The text says nothing of what stands in it.
    #[error("cannot use {key} in {path:?}: {why}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// An address is none.
    #[error("{key} {text:?} is no address: {why}")]
    BadUrl {
        /// The key that holds it.
        key: &'static str,
        /// What it holds.
        text: String,
        /// Why not.
        why: String,
    },
    /// HTTP cannot be spoken at all.
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
    /// Nobody answered, however often it was asked.
    #[error("{what} cannot be had from {host}")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// From whom.
        host: String,
        /// Why, the last time.
        source: reqwest::Error,
    },
    /// It was refused.
    #[error("{host} refuses {what} with status {status}: {why}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// By whom.
        host: String,
        /// The status.
        status: u16,
        /// What the answer says; of answers about credentials only the published error code.
        why: String,
    },
    /// An answer is longer than is taken in.
    #[error("the answer of {host} about {what} is longer than {bytes_max} bytes")]
    TooLong {
        /// What was asked for.
        what: &'static str,
        /// By whom.
        host: String,
        /// The most bytes.
        bytes_max: usize,
    },
    /// An answer is not what is documented.
    #[error("the answer of {host} about {what} cannot be read: {why}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// By whom.
        host: String,
        /// What is wrong.
        why: String,
    },
}

/// An answer that is whole.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

/// A client of reports.
pub struct EsmClient {
    http: Client,
    options: EsmOptions,
    token: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

#[derive(Deserialize)]
struct DcrRefusal {
    #[serde(default)]
    error: String,
}

impl EsmClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: EsmOptions) -> Result<EsmClient, EsmError> {
        let mut is_local = true;
        for (key, text) in [("esm.url", &options.url), ("esm.dcr_url", &options.dcr_url)] {
            let refuse = |why: String| EsmError::BadUrl { key, text: text.clone(), why };
            let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
            if !matches!(url.scheme(), "https" | "http") {
                return Err(refuse("it begins with neither https nor http".to_owned()));
            }
            let is_loopback =
                url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"));
            if url.scheme() == "http" && !is_loopback {
                return Err(refuse("it would carry secrets in clear; use https".to_owned()));
            }
            is_local &= is_loopback;
        }
        let provider = rustls::crypto::ring::default_provider();
        // Another part of the process may have chosen the same one before.
        drop(provider.install_default());
        // A proxy of the environment is for the way out of this host.
        let builder = if is_local { Client::builder().no_proxy() } else { Client::builder() };
        let http = builder
            .timeout(options.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("passbridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(EsmError::Client)?;
        Ok(EsmClient { http, options, token: None })
    }

    /// The report of the hours from `from` to before `to`, on the clock of the reports, as JSON.
    pub async fn report(&mut self, from: NaiveDateTime, to: NaiveDateTime) -> Result<Vec<u8>, EsmError> {
        let text = format!(
            "{}/year/month/day/hour/{}",
            self.options.url.trim_end_matches('/'),
            self.options.group_by
        );
        let mut url = Url::parse(&text).map_err(|error| EsmError::BadUrl {
            key: "esm.group_by",
            text,
            why: error.to_string(),
        })?;
        let iso = |at: NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        url.query_pairs_mut()
            .append_pair("start", &iso(from))
            .append_pair("end", &iso(to))
            .append_pair("format", "json")
            .append_pair("limit", &self.options.rows.to_string())
            .extend_pairs(self.options.requestors.iter().map(|requestor| ("requestor-id", requestor)));
        let mut is_renewed = false;
        loop {
            let token = match &self.token {
                Some(token) => token.clone(),
                None => self.token.insert(self.fetch_token().await?).clone(),
            };
            let request =
                || self.http.get(url.clone()).bearer_auth(&token).header(ACCEPT, "application/json");
            let Answer { status, body } = self.send("a report", &url, REPORT_BYTES_MAX, request).await?;
            // A token may end before its time; a second one that is refused is refused for another reason.
            if status == StatusCode::UNAUTHORIZED && !is_renewed {
                tracing::debug!("the access token is refused, and is had anew");
                (self.token, is_renewed) = (None, true);
                continue;
            }
            return match status {
                StatusCode::OK => Ok(body),
                status => {
                    let why = String::from_utf8_lossy(&body).trim().chars().take(REFUSAL_CHARS_MAX).collect();
                    Err(EsmError::Refused {
                        what: "a report",
                        host: host(&url),
                        status: status.as_u16(),
                        why,
                    })
                }
            };
        }
    }

    async fn fetch_token(&self) -> Result<String, EsmError> {
        let what = "an access token";
        let credentials = match Credentials::read(&self.options.credentials_file)? {
            Some(credentials) => credentials,
            None => self.register().await?,
        };
        let url = self.dcr_url("/o/client/token")?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &credentials.client_id)
            .append_pair("client_secret", &credentials.client_secret)
            .append_pair("grant_type", "client_credentials")
            .finish();
        let request = || {
            self.http
                .post(url.clone())
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
        };
        let answer: TokenAnswer = self.dcr(what, &url, request).await?;
        tracing::debug!(host = host(&url), "an access token was had");
        Ok(answer.access_token)
    }

    /// Registers this installation, once, and keeps what it is given.
    async fn register(&self) -> Result<Credentials, EsmError> {
        let what = "client credentials";
        let statement = credentials::software_statement(&self.options.software_statement_file)?;
        let url = self.dcr_url("/o/client/register")?;
        let body = serde_json::json!({ "software_statement": statement }).to_string();
        let request = || {
            self.http
                .post(url.clone())
                .header(CONTENT_TYPE, "application/json")
                .header("X-Device-Info", DEVICE_INFO)
                .body(body.clone())
        };
        let credentials: Credentials = self.dcr(what, &url, request).await?;
        credentials.keep(&self.options.credentials_file)?;
        tracing::info!(path = %self.options.credentials_file.display(), "client credentials were had, and are kept");
        Ok(credentials)
    }

    fn dcr_url(&self, path: &str) -> Result<Url, EsmError> {
        let text = format!("{}{path}", self.options.dcr_url.trim_end_matches('/'));
        Url::parse(&text).map_err(|error| EsmError::BadUrl {
            key: "esm.dcr_url",
            text,
            why: error.to_string(),
        })
    }

    /// Asks about credentials: of a refusal only its published code is told, because anything else may be a secret.
    async fn dcr<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        url: &Url,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<T, EsmError> {
        let Answer { status, body } = self.send(what, url, DCR_BYTES_MAX, request).await?;
        if !status.is_success() {
            let code =
                serde_json::from_slice::<DcrRefusal>(&body).map(|refusal| refusal.error).unwrap_or_default();
            let is_code =
                !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let why = if is_code { code } else { "without a published error code".to_owned() };
            return Err(EsmError::Refused { what, host: host(url), status: status.as_u16(), why });
        }
        serde_json::from_slice(&body).map_err(|error| EsmError::Unreadable {
            what,
            host: host(url),
            why: format!("its JSON breaks at line {}, column {}", error.line(), error.column()),
        })
    }

    /// Sends until there is a whole answer that is meant: not from a server that is overloaded or gone for the moment.
    async fn send(
        &self,
        what: &'static str,
        url: &Url,
        bytes_max: usize,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Answer, EsmError> {
        let mut backoff = BACKOFF;
        let mut number = 1;
        loop {
            let sent = request().send().await;
            let asked = sent.as_ref().ok().and_then(|response| retry_after(response.headers()));
            let answer = match sent {
                Ok(response) => whole(response, bytes_max).await,
                Err(error) => Err(error),
            };
            let is_last = number >= TRIES_MAX;
            match answer {
                Ok(None) => return Err(EsmError::TooLong { what, host: host(url), bytes_max }),
                Ok(Some(answer)) if is_last || !is_for_the_moment(answer.status) => return Ok(answer),
                // A URL may hold what a message should not.
                Err(error) if is_last => {
                    return Err(EsmError::Unreachable { what, host: host(url), source: error.without_url() });
                }
                Ok(Some(_)) | Err(_) => {}
            }
            let wait = asked.unwrap_or(backoff).min(BACKOFF_MAX);
            tracing::warn!(
                what,
                host = host(url),
                number,
                wait_ms = wait.as_millis() as u64,
                "no whole answer yet; asking again"
            );
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            number += 1;
        }
    }
}

/// Reads an answer to its end; `None` where it is too long.
async fn whole(mut response: Response, bytes_max: usize) -> Result<Option<Answer>, reqwest::Error> {
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(Answer { status, body }))
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn is_for_the_moment(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// `Retry-After` in seconds; at least a second, which is the rate that Adobe's DCR allows.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.max(1)))
}
