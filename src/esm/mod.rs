//! Fetches reports of Entitlement Service Monitoring (ESM v3) from Adobe.
//!
//! - In: a span of hours on the clock of the reports, and what to group by. Out: the reports as Adobe wrote them, each whole.
//! - Guarantees: every report has the dimensions and the hours that were asked for; the client registers once, and
//!   only its owner can read the credentials that it keeps; tokens stay in memory; a refused token is replaced once;
//!   other failures that may pass are retried, within bounds; no message or log contains a secret.
//! - Does not know: what the counts of a report mean, where they are kept.
//! - Rules: sections 8.1 and 8.2 of `reference/adobe-analytics.md`.

mod credentials;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::readers;
use crate::web::{
    self, Answer, ApiError, Endpoint, Http, Patience, ProxySettings, SetupError, beneath, check_token,
};
pub use credentials::REGISTRATION;
use credentials::{Credentials, Place};

/// The configuration keys of the two addresses, for messages.
const KEY: &str = "esm.url";
const DCR_KEY: &str = "esm.dcr_url";
/// The longest report, in bytes after unpacking: the most that the reader of reports takes.
const REPORT_BYTES_MAX: usize = 32 << 20;
/// The longest answer about credentials, in bytes.
const DCR_BYTES_MAX: usize = 1 << 20;
/// The header `X-Device-Info` of a registration: {"primaryHardwareType":"Server","model":"passbridge"} in base64.
const DEVICE_INFO: &str = "eyJwcmltYXJ5SGFyZHdhcmVUeXBlIjoiU2VydmVyIiwibW9kZWwiOiJwYXNzYnJpZGdlIn0=";

/// The addresses and options for fetching reports.
#[derive(Debug, Clone)]
pub struct EsmOptions {
    /// The first part of the address of every report, such as `https://mgmt.auth.adobe.com/esm/v3`.
    pub url: String,
    /// The first part of the addresses for credentials and tokens, such as `https://sp.auth.adobe.com`.
    pub dcr_url: String,
    pub software_statement_file: PathBuf,
    pub credentials_file: PathBuf,
    /// The dimensions that reports group by within the hour.
    pub group_by: String,
    pub rows: u32,
    /// The requestors of the reports; empty for all that the credentials may see.
    pub requestors: Vec<String>,
    pub request_timeout: Duration,
    pub proxy: ProxySettings,
}

/// A client that fetches reports.
pub struct EsmClient {
    http: Http,
    options: EsmOptions,
    /// The address of reports that are grouped as configured.
    reports_url: Url,
    dcr_url: Url,
    token: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

impl EsmClient {
    pub fn new(options: EsmOptions) -> Result<EsmClient, SetupError> {
        let url = web::address(KEY, &options.url)?;
        let dcr_url = web::address(DCR_KEY, &options.dcr_url)?;
        let http = Http::new(&[&url, &dcr_url], options.request_timeout, &options.proxy)?;
        let path = ["year", "month", "day", "hour"].into_iter().chain(options.group_by.split('/'));
        let reports_url = beneath(&url, path);
        Ok(EsmClient { http, options, reports_url, dcr_url, token: None })
    }

    /// The report of the hours from `from` to before `to`, on the clock of the reports, as JSON.
    pub async fn report(&mut self, from: NaiveDateTime, to: NaiveDateTime) -> Result<Vec<u8>, ApiError> {
        let mut url = self.reports_url.clone();
        let iso = |at: NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        url.query_pairs_mut()
            .append_pair("start", &iso(from))
            .append_pair("end", &iso(to))
            .append_pair("format", "json")
            .append_pair("limit", &self.options.rows.to_string())
            .extend_pairs(self.options.requestors.iter().map(|requestor| ("requestor-id", requestor)));
        let endpoint = Endpoint::new("a report", KEY, &url);
        let mut answer = self.ask(&endpoint, &url).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // A token may end early. If the new one is refused too, another would not help.
            tracing::debug!("the access token is refused, and is had anew");
            self.token = None;
            answer = self.ask(&endpoint, &url).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(&endpoint));
        }
        let names = self.options.group_by.split('/');
        match readers::esm::mismatch(&answer.body, names, (from, to)) {
            Some(why) => Err(endpoint.unreadable(format!("asked for {from} to {to}, {why}"))),
            None => Ok(answer.body),
        }
    }

    async fn ask(&mut self, endpoint: &Endpoint, url: &Url) -> Result<Answer, ApiError> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.token.insert(self.fetch_token().await?).clone(),
        };
        let request = || {
            let request = self.http.request(Method::GET, url);
            request.bearer_auth(&token).header(ACCEPT, "application/json")
        };
        self.send(endpoint, REPORT_BYTES_MAX, &[&token], request).await
    }

    async fn fetch_token(&self) -> Result<String, ApiError> {
        let credentials = match Credentials::read(&self.options.credentials_file)? {
            Some(credentials) => credentials,
            None => self.register().await?,
        };
        let url = beneath(&self.dcr_url, ["o", "client", "token"]);
        let endpoint = Endpoint::of_credentials("an access token", DCR_KEY, &url);
        let fields = [
            ("client_id", credentials.client_id.as_str()),
            ("client_secret", &credentials.client_secret),
            ("grant_type", "client_credentials"),
        ];
        let answer: TokenAnswer = self.dcr(&endpoint, || self.http.form(&url, &fields)).await?;
        check_token(&endpoint, &answer.access_token)?;
        tracing::debug!(host = web::host(&url), "received an access token");
        Ok(answer.access_token)
    }

    /// Registers this installation, once, and keeps the credentials that it gets.
    async fn register(&self) -> Result<Credentials, ApiError> {
        let statement = credentials::software_statement(&self.options.software_statement_file)?;
        // Before the request: if the credentials could not be kept, each run would register another client.
        let place = Place::prepare(&self.options.credentials_file)?;
        let url = beneath(&self.dcr_url, ["o", "client", "register"]);
        let endpoint = Endpoint::of_credentials(REGISTRATION, DCR_KEY, &url);
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

    /// Asks for credentials or a token. Secrets stay in the answer, because a refusal shows only its published code.
    async fn dcr<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, ApiError> {
        self.send(endpoint, DCR_BYTES_MAX, &[], request).await?.json(endpoint)
    }

    /// Sends until the answer is conclusive or no attempts are left.
    async fn send(
        &self,
        endpoint: &Endpoint,
        bytes_max: usize,
        secrets: &[&str],
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let attempt =
            async || self.http.send(endpoint, request(), bytes_max, secrets).await?.unless_busy(endpoint);
        Patience::ESM.retry(attempt).await
    }
}
