//! Access tokens of Adobe's Identity Management System, by OAuth server-to-server.
//!
//! A token is had before the first request that needs one and before the old one ends; it stays in memory. No secret is in
//! any message.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::bulk::BulkError;

/// A token is renewed when this much of its time is over, in percent.
const RENEW_AT_PERCENT: u32 = 90;
/// How long a token is taken to last where its answer does not say: Adobe's last a day.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Who asks for tokens. Has no `Debug`: it must reach no message.
#[derive(Clone)]
pub struct ImsOptions {
    /// Where tokens are had, such as `https://ims-na1.adobelogin.com/ims/token/v3`.
    pub url: String,
    /// The client ID of the project, which is also the API key.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// As the project lists them.
    pub scopes: String,
}

/// Gives out tokens.
pub(super) struct Ims {
    options: ImsOptions,
    url: Url,
    token: Mutex<Option<Token>>,
}

struct Token {
    text: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
}

impl Ims {
    pub(super) fn new(options: ImsOptions) -> Result<Ims, BulkError> {
        let url = super::bulk::address("bulk.ims_url", &options.url)?;
        Ok(Ims { options, url, token: Mutex::new(None) })
    }

    pub(super) fn client_id(&self) -> &str {
        &self.options.client_id
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// A token that lasts.
    pub(super) async fn token(&self, http: &Client) -> Result<String, BulkError> {
        let mut known = self.token.lock().await;
        if let Some(token) = known.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.text.clone());
        }
        let token = self.fetch(http).await?;
        let text = token.text.clone();
        *known = Some(token);
        Ok(text)
    }

    /// Has the next one who asks get a new token.
    pub(super) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn fetch(&self, http: &Client) -> Result<Token, BulkError> {
        let what = "an access token";
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.options.client_id)
            .append_pair("client_secret", &self.options.client_secret)
            .append_pair("scope", &self.options.scopes)
            .finish();
        let unreachable =
            |source: reqwest::Error| BulkError::Unreachable { what, source: source.without_url() };
        let asked_at = Instant::now();
        let response = http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(BulkError::Busy { what, status: status.as_u16() });
        }
        if !status.is_success() {
            // Anything but the published code may repeat what was sent.
            let code =
                serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error).unwrap_or_default();
            let is_code =
                !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let why = if is_code { code } else { "without a published error code".to_owned() };
            return Err(BulkError::Refused { what, status: status.as_u16(), why });
        }
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| BulkError::Unreadable {
            what,
            why: "it is no JSON object with access_token".to_owned(),
        })?;
        let lifetime = answer.expires_in.map_or(LIFETIME, Duration::from_secs);
        tracing::debug!(seconds = lifetime.as_secs(), "an access token was had");
        Ok(Token { text: answer.access_token, renew_at: asked_at + lifetime * RENEW_AT_PERCENT / 100 })
    }
}
