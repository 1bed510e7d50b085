//! Fetches reports of Entitlement Service Monitoring (ESM v3) from Adobe.
//!
//! - In: a span of hours in the reports' time zone, and a grouping. Out: whole reports, as Adobe wrote them.
//! - Guarantees: every report has the dimensions and the hours that were asked for. The client registers once, and
//!   only its owner can read the credentials that it keeps. Tokens stay in memory; a refused token is replaced once.
//!   Other failures that may pass are retried, within bounds. No message or log contains a secret.
//! - Does not know: what the counts of a report mean, where they are kept.
//! - Rules: "Entitlement Service Monitoring API" in Adobe's guide to Pass Authentication.

mod credentials;
mod walk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::config::EsmConfig;
use crate::readers::{self, esm::REPORT_BYTES_MAX};
use crate::web::{
    self, Answer, ApiError, Endpoint, Http, Patience, ProxySettings, SetupError, beneath, check_word,
};
pub use credentials::REGISTRATION;
use credentials::{Credentials, Place};

/// The configuration keys of the two addresses, for messages.
const KEY: &str = "esm.url";
const DCR_KEY: &str = "esm.dcr_url";
/// The longest answer about credentials, in bytes.
const DCR_BYTES_MAX: usize = 1 << 20;
/// The header `X-Device-Info` of a registration: {"primaryHardwareType":"Server","model":"passbridge"} in base64.
const DEVICE_INFO: &str = "eyJwcmltYXJ5SGFyZHdhcmVUeXBlIjoiU2VydmVyIiwibW9kZWwiOiJwYXNzYnJpZGdlIn0=";

/// A client that fetches reports.
pub struct EsmClient {
    http: Http,
    config: EsmConfig,
    requestors: Vec<String>,
    owned: PathBuf,
    /// The address of the reports with the configured grouping.
    reports_url: Url,
    dcr_url: Url,
    token: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

impl EsmClient {
    /// Makes a client for reports of these requestors, or of all that the credentials may see if none is named. If root
    /// keeps credentials, their file gets the owner of the file `owned`.
    pub fn new(
        config: EsmConfig,
        requestors: Vec<String>,
        proxy: &ProxySettings,
        owned: &Path,
    ) -> Result<EsmClient, SetupError> {
        let url = web::address(KEY, &config.url)?;
        let dcr_url = web::address(DCR_KEY, &config.dcr_url)?;
        let request_timeout = Duration::from_secs(config.request_timeout_seconds);
        let http = Http::new(&[&url, &dcr_url], request_timeout, proxy)?;
        let path = ["year", "month", "day", "hour"].into_iter().chain(config.group_by.split('/'));
        let reports_url = beneath(&url, path);
        Ok(EsmClient { http, config, requestors, owned: owned.to_owned(), reports_url, dcr_url, token: None })
    }

    /// The report, as JSON, of the hours from `from` to before `to`, in the time zone of the reports. Also the limit of
    /// rows, if the report has reached it.
    async fn report(
        &mut self,
        from: NaiveDateTime,
        to: NaiveDateTime,
    ) -> Result<(Vec<u8>, Option<u64>), ApiError> {
        let mut url = self.reports_url.clone();
        let iso = |at: NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        url.query_pairs_mut()
            .append_pair("start", &iso(from))
            .append_pair("end", &iso(to))
            .append_pair("format", "json")
            .append_pair("limit", &self.config.rows.to_string())
            .extend_pairs(self.requestors.iter().map(|requestor| ("requestor-id", requestor)));
        let endpoint = Endpoint::new("a report", KEY, &url);
        let mut answer = self.ask(&endpoint, &url).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // A token may end early. If its successor is refused too, a third would not help.
            tracing::debug!("the access token is refused, and is had anew");
            self.token = None;
            answer = self.ask(&endpoint, &url).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(&endpoint));
        }
        match readers::esm::checked(&answer.body, &self.config, &self.requestors, (from, to)) {
            Ok(limit) => Ok((answer.body, limit)),
            Err(why) => Err(endpoint.unreadable(format!("asked for {from} to {to}, {why}"))),
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
        self.send(endpoint, REPORT_BYTES_MAX as usize, &[&token], request).await
    }

    async fn fetch_token(&self) -> Result<String, ApiError> {
        let credentials = match Credentials::read(&self.config.credentials_file)? {
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
        let request = || self.http.form(&url, &fields);
        let answer = self.send(&endpoint, DCR_BYTES_MAX, &[fields[1].1], request).await?;
        let answer: TokenAnswer = answer.json(&endpoint)?;
        check_word(&endpoint, "access_token", &answer.access_token)?;
        tracing::debug!(host = web::host(&url), "received an access token");
        Ok(answer.access_token)
    }

    /// Registers this installation, and keeps the credentials for all later runs.
    async fn register(&self) -> Result<Credentials, ApiError> {
        let statement = credentials::software_statement(&self.config.software_statement_file)?;
        // The file is made before the request: if it could not be made, each run would register another client.
        let place = Place::prepare(&self.config.credentials_file, &self.owned)?;
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
        let answer = self.send(&endpoint, DCR_BYTES_MAX, &[&statement], request).await?;
        let credentials: Credentials = answer.json(&endpoint)?;
        check_word(&endpoint, "client_id", &credentials.client_id)?;
        check_word(&endpoint, "client_secret", &credentials.client_secret)?;
        place.keep(&credentials)?;
        tracing::info!(path = %self.config.credentials_file.display(), "client credentials were had, and are kept");
        Ok(credentials)
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
