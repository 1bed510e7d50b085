//! Access tokens of Adobe's Identity Management System, by OAuth server-to-server.
//!
//! A token is had before the first request that needs one and before the old one ends; it stays in memory. No secret is in
//! any message.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{NoAnswer, SetupError};

/// A token is renewed when this much of its time is over, in percent.
const RENEW_AT_PERCENT: u32 = 90;
/// How long a token is taken to last where its answer does not say: Adobe's last a day.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The longest that a token is taken to last, whatever its answer says.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

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

/// Why there is no token.
#[derive(Debug)]
pub enum ImsError {
    /// Nobody answered.
    Unreachable(reqwest::Error),
    /// The server is busy or broken for the moment, by this status, and asks for this pause.
    Busy(u16, Option<Duration>),
    /// It was refused for good, by this status and for this published reason.
    Refused(u16, String),
    /// An answer is not what is documented, and why.
    Unreadable(&'static str),
}

impl ImsError {
    /// What it is about, for messages.
    pub const WHAT: &'static str = "an access token";
}

/// Gives out tokens.
pub struct Ims {
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

impl Ims {
    /// One that has asked for nothing yet. The key is that of the address, for messages.
    pub fn new(key: &'static str, options: ImsOptions) -> Result<Ims, SetupError> {
        let url = super::address(key, &options.url)?;
        Ok(Ims { options, url, token: Mutex::new(None) })
    }

    /// Where tokens are had.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A request with what says who asks.
    pub fn authorize(&self, request: RequestBuilder, token: &str) -> RequestBuilder {
        request.bearer_auth(token).header("x-api-key", &self.options.client_id)
    }

    /// A text without the secret and the token, either of which a server may have repeated.
    pub fn concealed(&self, text: &str, token: &str) -> String {
        [token, &self.options.client_secret]
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "..."))
    }

    /// A token that lasts.
    pub async fn token(&self, http: &Client) -> Result<String, ImsError> {
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
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn fetch(&self, http: &Client) -> Result<Token, ImsError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.options.client_id)
            .append_pair("client_secret", &self.options.client_secret)
            .append_pair("scope", &self.options.scopes)
            .finish();
        let asked_at = Instant::now();
        let request =
            http.post(self.url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = super::send(request, ANSWER_BYTES_MAX).await.map_err(|none| match none {
            NoAnswer::Broken(error) => ImsError::Unreachable(error),
            NoAnswer::TooLong => ImsError::Unreadable("it is too long"),
        })?;
        if super::is_for_the_moment(answer.status) {
            return Err(ImsError::Busy(answer.status.as_u16(), answer.retry_after));
        }
        if !answer.status.is_success() {
            return Err(ImsError::Refused(answer.status.as_u16(), super::published_code(&answer.body)));
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| ImsError::Unreadable("it is no JSON object with access_token"))?;
        let lifetime = answer.expires_in.map_or(LIFETIME, Duration::from_secs).min(LIFETIME_MAX);
        tracing::debug!(seconds = lifetime.as_secs(), "an access token was had");
        Ok(Token { text: answer.access_token, renew_at: asked_at + lifetime * RENEW_AT_PERCENT / 100 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, server};
    use super::*;

    async fn ims(answers: &[&str]) -> (Ims, Client) {
        let url = server(answers.iter().map(|body| answer("200 OK", body)).collect()).await;
        let options = ImsOptions {
            url: url.to_string(),
            client_id: "client".to_owned(),
            client_secret: "hush".to_owned(),
            scopes: String::new(),
        };
        let ims = Ims::new("bulk.ims_url", options).expect("an address");
        (ims, super::super::client(&[&url], Duration::from_secs(10)).expect("HTTP"))
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends_and_not_earlier() {
        let token =
            |name: &str, seconds: u64| format!("{{\"access_token\":\"{name}\",\"expires_in\":{seconds}}}");
        let answers = [token("one", 0), token("two", u64::MAX), token("three", 60)];
        let (ims, http) = ims(&answers.each_ref().map(String::as_str)).await;
        for expected in ["one", "two", "two"] {
            assert_eq!(ims.token(&http).await.expect("a token"), expected);
        }
        ims.forget().await;
        assert_eq!(ims.token(&http).await.expect("a token"), "three");
    }

    #[tokio::test]
    async fn neither_secret_nor_token_stays_in_a_text() {
        let (ims, _) = ims(&[]).await;
        assert_eq!(ims.concealed("token abc of hush, hush", "abc"), "token ... of ..., ...");
        assert_eq!(ims.concealed("none yet", ""), "none yet");
    }
}
