//! Fetches reports of Entitlement Service Monitoring (ESM v3) from Adobe.
//!
//! - In: a span of hours on the clock of the reports, and what to group by. Out: the reports as Adobe wrote them, each whole.
//! - Guarantees: a report has the dimensions and the hours that were asked for, or is none; the client registers once, and keeps its credentials for its owner's eyes only; tokens stay in memory; a
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
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::readers;
use crate::web::{self, ApiError, Endpoint, Http, Patience, ProxySettings, SetupError, check_token};
use credentials::{Credentials, Place};

/// The keys of the addresses, for messages.
const KEY: &str = "esm.url";
const DCR_KEY: &str = "esm.dcr_url";
/// The longest report, in bytes once it is unpacked: what is longer would not be taken in.
const REPORT_BYTES_MAX: usize = 32 << 20;
/// The longest answer about credentials, in bytes.
const DCR_BYTES_MAX: usize = 1 << 20;
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
    /// The proxies of the environment.
    pub proxy: ProxySettings,
}

/// Why a report cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EsmError {
    /// A file of a secret cannot be used. The text says nothing of what stands in it.
    #[error("cannot use {key} in {path:?}: {why}")]
    File {
        /// The key that names it.
        key: &'static str,
        path: PathBuf,
        why: String,
    },
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(
        "the report of {start} has all {limit} rows that it may have, so others are missing; nothing of it was taken"
    )]
    Full {
        /// Of which hour or minute.
        start: NaiveDateTime,
        limit: u64,
    },
}

/// A client of reports.
pub struct EsmClient {
    http: Http,
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
        let reports = web::address(KEY, &options.url)?;
        let credentials = web::address(DCR_KEY, &options.dcr_url)?;
        let http = Http::new(&[&reports, &credentials], options.request_timeout, &options.proxy)?;
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
        let endpoint = Endpoint::new("a report", KEY, &url);
        let mut is_renewed = false;
        loop {
            let token = match &self.token {
                Some(token) => token.clone(),
                None => self.token.insert(self.fetch_token().await?).clone(),
            };
            let request = || {
                let request = self.http.request(Method::GET, &url);
                request.bearer_auth(&token).header(ACCEPT, "application/json")
            };
            let answer = self.send(&endpoint, REPORT_BYTES_MAX, &[&token], request).await?;
            // A token may end before its time; a second one that is refused is refused for another reason.
            if answer.status == StatusCode::UNAUTHORIZED && !is_renewed {
                tracing::debug!("the access token is refused, and is had anew");
                (self.token, is_renewed) = (None, true);
                continue;
            }
            if answer.status != StatusCode::OK {
                return Err(answer.refusal(&endpoint).into());
            }
            let names = self.options.group_by.split('/');
            return match readers::esm::mismatch(&answer.body, names, (from, to)) {
                Some(why) => Err(endpoint.unreadable(format!("asked for {from} to {to}, {why}")).into()),
                None => Ok(answer.body),
            };
        }
    }

    async fn fetch_token(&self) -> Result<String, EsmError> {
        let credentials = match Credentials::read(&self.options.credentials_file)? {
            Some(credentials) => credentials,
            None => self.register().await?,
        };
        let (endpoint, url) = self.dcr_endpoint("an access token", "/o/client/token")?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &credentials.client_id)
            .append_pair("client_secret", &credentials.client_secret)
            .append_pair("grant_type", "client_credentials")
            .finish();
        let request = || {
            self.http
                .request(Method::POST, &url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
        };
        let answer: TokenAnswer = self.dcr(&endpoint, request).await?;
        check_token(&endpoint, &answer.access_token)?;
        tracing::debug!(host = web::host(&url), "an access token was had");
        Ok(answer.access_token)
    }

    /// Registers this installation, once, and keeps what it is given.
    async fn register(&self) -> Result<Credentials, EsmError> {
        let statement = credentials::software_statement(&self.options.software_statement_file)?;
        // Before Adobe gives them: credentials that cannot be kept would be lost, and a client registered each time.
        let place = Place::prepare(&self.options.credentials_file)?;
        let (endpoint, url) = self.dcr_endpoint("client credentials", "/o/client/register")?;
        let body = serde_json::json!({ "software_statement": statement }).to_string();
        let request = || {
            self.http
                .request(Method::POST, &url)
                .header(CONTENT_TYPE, "application/json")
                .header("X-Device-Info", DEVICE_INFO)
                .body(body.clone())
        };
        let credentials: Credentials = self.dcr(&endpoint, request).await?;
        place.keep(&credentials)?;
        tracing::info!(path = %self.options.credentials_file.display(), "client credentials were had, and are kept");
        Ok(credentials)
    }

    fn dcr_endpoint(&self, what: &'static str, path: &str) -> Result<(Endpoint, Url), EsmError> {
        let text = format!("{}{path}", self.options.dcr_url.trim_end_matches('/'));
        let url = web::address(DCR_KEY, &text)?;
        Ok((Endpoint::of_credentials(what, DCR_KEY, &url), url))
    }

    /// Asks about credentials. What was sent needs no concealing: of a refusal only its published code is told.
    async fn dcr<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, ApiError> {
        let answer = self.send(endpoint, DCR_BYTES_MAX, &[], request).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal(endpoint));
        }
        serde_json::from_slice(&answer.body).map_err(|error| endpoint.broken(&error))
    }

    /// Sends until there is a conclusive answer.
    async fn send(
        &self,
        endpoint: &Endpoint,
        bytes_max: usize,
        secrets: &[&str],
        request: impl Fn() -> RequestBuilder,
    ) -> Result<web::Answer, ApiError> {
        let attempt =
            async || self.http.send(endpoint, request(), bytes_max, secrets).await?.unless_busy(endpoint);
        Patience::ESM.retry(attempt).await
    }
}
