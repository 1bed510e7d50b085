//! Fetches reports of Entitlement Service Monitoring (ESM v3) from Adobe.
//!
//! - In: a span of hours on the clock of the reports, and what to group by. Out: the reports as Adobe wrote them, each whole.
//! - Guarantees: the client registers once, and keeps its credentials for its owner's eyes only; tokens stay in memory; a
//!   token that is refused is had anew once; what is refused for the moment or breaks off is asked for again, within bounds;
//!   no secret is in any message or log.
//! - Does not know: what stands in a report, where its counts are kept.
//! - Rules: sections 8.1 and 8.2 of `reference/adobe-analytics.md`.

mod credentials;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::web::{self, Answer, NoAnswer, Patience, SetupError};
use credentials::Credentials;

/// How long one request is tried. A second between two is the rate that Adobe's DCR allows.
const PATIENCE: Patience = Patience {
    attempts_max: 5,
    backoff: Duration::from_secs(1),
    backoff_max: Duration::from_secs(60),
    asked_min: Duration::from_secs(1),
};
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
    /// There is no client, or no address.
    #[error(transparent)]
    Setup(#[from] SetupError),
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
    /// A report cannot be whole, however short its time.
    #[error(
        "the report of {start} has all {limit} rows that it may have, so others are missing; nothing of it was taken"
    )]
    Full {
        /// Of which hour or minute.
        start: NaiveDateTime,
        /// The most rows.
        limit: u64,
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

impl EsmClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: EsmOptions) -> Result<EsmClient, EsmError> {
        let reports = web::address("esm.url", &options.url)?;
        let credentials = web::address("esm.dcr_url", &options.dcr_url)?;
        let http = web::client(&[&reports, &credentials], options.request_timeout)?;
        Ok(EsmClient { http, options, token: None })
    }

    /// The report of the hours from `from` to before `to`, on the clock of the reports, as JSON.
    pub async fn report(&mut self, from: NaiveDateTime, to: NaiveDateTime) -> Result<Vec<u8>, EsmError> {
        let text = format!(
            "{}/year/month/day/hour/{}",
            self.options.url.trim_end_matches('/'),
            self.options.group_by
        );
        let mut url = web::address("esm.group_by", &text)?;
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
            let Answer { status, body, .. } = self.send("a report", &url, REPORT_BYTES_MAX, request).await?;
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
                        host: web::host(&url),
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
        tracing::debug!(host = web::host(&url), "an access token was had");
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
        Ok(web::address("esm.dcr_url", &text)?)
    }

    /// Asks about credentials: of a refusal only its published code is told, because anything else may be a secret.
    async fn dcr<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        url: &Url,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<T, EsmError> {
        let Answer { status, body, .. } = self.send(what, url, DCR_BYTES_MAX, request).await?;
        if !status.is_success() {
            let why = web::published_code(&body);
            return Err(EsmError::Refused { what, host: web::host(url), status: status.as_u16(), why });
        }
        serde_json::from_slice(&body).map_err(|error| EsmError::Unreadable {
            what,
            host: web::host(url),
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
        let host = web::host(url);
        let sent = PATIENCE
            .insist(what, &host, || async { web::attempt(web::send(request(), bytes_max).await) })
            .await;
        sent.map_err(|none| match none {
            NoAnswer::TooLong => EsmError::TooLong { what, host, bytes_max },
            NoAnswer::Broken(source) => EsmError::Unreachable { what, host, source },
        })
    }
}
