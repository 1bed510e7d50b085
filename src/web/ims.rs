//! A client of APIs that need access tokens of Adobe's Identity Management System (IMS), by OAuth server-to-server.
//!
//! Fetches a token before the first request, and a new token before the old one expires. No message has a secret.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::Mutex;

use super::error::{ApiError, Endpoint};
use super::http::{self, Answer, Http, SetupError};
use super::pace::Pace;
use super::proxy::ProxySettings;
use super::retry::{Backoff, Patience};

/// A token is renewed after this part of its lifetime, in percent.
const RENEW_AT_PERCENT: u32 = 90;
/// The lifetime of a token if the answer names none. Adobe's tokens last a day.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The longest lifetime of a token, whatever the answer says.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// The longest answer with a token, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The address and options of an API that needs tokens. Has no `Debug`, so that no log shows its secret.
#[derive(Clone)]
pub struct ApiOptions {
    /// The address of the API, such as `https://analytics.adobe.io`.
    pub url: String,
    /// The address for tokens, such as `https://ims-na1.adobelogin.com/ims/token/v3`.
    pub ims_url: String,
    /// The client ID of the Adobe Developer Console project, which is also the API key.
    pub client_id: String,
    pub client_secret: String,
    /// The scopes, as the project lists them.
    pub scopes: String,
    /// How long a request may take. Adobe's own limit is 60 s.
    pub request_timeout: Duration,
    pub proxy: ProxySettings,
}

/// A client of one API that needs tokens.
pub struct Ims {
    pub http: Http,
    pub url: Url,
    options: ApiOptions,
    token_url: Url,
    token_endpoint: Endpoint,
    token: Mutex<Option<Token>>,
    patience: Patience,
    pace: Option<Pace>,
}

struct Token {
    text: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default, deserialize_with = "lifetime")]
    expires_in: Option<Duration>,
}

/// Reads seconds from a number or a text; `None` for null. Any other value gives `None` too, and a warning.
fn lifetime<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let seconds = match Value::deserialize(value)? {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let lifetime = seconds.filter(|seconds: &f64| *seconds >= 0.0);
    if lifetime.is_none() {
        let taken_seconds = LIFETIME.as_secs();
        tracing::warn!(taken_seconds, "expires_in of an access token is no number of seconds");
    }
    Ok(lifetime.map(|seconds| Duration::from_secs_f64(seconds.min(LIFETIME_MAX.as_secs_f64()))))
}

impl Ims {
    /// A new client. The keys are the configuration keys of its two addresses, for messages.
    pub fn new(
        (key, token_key): (&'static str, &'static str),
        options: ApiOptions,
        patience: Patience,
        pace: Option<Pace>,
    ) -> Result<Ims, SetupError> {
        let url = http::address(key, &options.url)?;
        let token_url = http::address(token_key, &options.ims_url)?;
        let http = Http::new(&[&url, &token_url], options.request_timeout, &options.proxy)?;
        let token_endpoint = Endpoint::of_credentials("an access token", token_key, &token_url);
        Ok(Ims { http, url, options, token_url, token_endpoint, token: Mutex::new(None), patience, pace })
    }

    /// Sends a request until the answer is conclusive or no attempts are left. If the token is refused (401), starts
    /// again once with a new token, because a token may end early. Returns the 401 if the new token is refused too.
    pub async fn ask(
        &self,
        endpoint: &Endpoint,
        bytes_max: usize,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let (mut backoff, mut is_renewed) = (Backoff::new(self.patience), false);
        loop {
            let request = request();
            let attempt = async {
                let token = self.token().await?;
                if let Some(pace) = &self.pace {
                    pace.turn().await.begins();
                }
                self.send(endpoint, request, &token, bytes_max).await?.unless_busy(endpoint)
            };
            match attempt.await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !is_renewed => {
                    tracing::debug!("the access token is refused, and is had anew");
                    self.forget().await;
                    (backoff, is_renewed) = (Backoff::new(self.patience), true);
                }
                Ok(answer) => return Ok(answer),
                Err(error) => backoff.wait(error).await?,
            }
        }
    }

    /// Sends a request once, with the token and the client ID.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: RequestBuilder,
        token: &str,
        bytes_max: usize,
    ) -> Result<Answer, ApiError> {
        let request = request.bearer_auth(token).header("x-api-key", &self.options.client_id);
        self.http.send(endpoint, request, bytes_max, &[token, &self.options.client_secret]).await
    }

    /// The access token. Fetches a token if none is known, or if the known token expires soon.
    pub async fn token(&self) -> Result<String, ApiError> {
        let mut known = self.token.lock().await;
        if let Some(token) = known.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.text.clone());
        }
        Ok(known.insert(self.fetch().await?).text.clone())
    }

    /// Forgets the token, so that the next request fetches a new one.
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn fetch(&self) -> Result<Token, ApiError> {
        let ApiOptions { client_id, client_secret, scopes, .. } = &self.options;
        let asked_at = Instant::now();
        let request = self.http.form(
            &self.token_url,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", client_secret),
                ("scope", scopes),
            ],
        );
        let endpoint = &self.token_endpoint;
        let answer = self.http.send(endpoint, request, ANSWER_BYTES_MAX, &[client_secret]).await?;
        let answer: TokenAnswer = answer.json(endpoint)?;
        check_word(endpoint, "access_token", &answer.access_token)?;
        let lifetime = answer.expires_in.unwrap_or(LIFETIME);
        tracing::debug!(seconds = lifetime.as_secs(), "received an access token");
        Ok(Token { text: answer.access_token, renew_at: asked_at + lifetime * RENEW_AT_PERCENT / 100 })
    }
}

/// Refuses a token or another credential that no header can carry, because every request with it would fail.
pub fn check_word(endpoint: &Endpoint, member: &str, word: &str) -> Result<(), ApiError> {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(endpoint.unreadable(format!("its {member} cannot be used: a header cannot carry it")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, server};
    use super::*;

    async fn ims(answers: &[&str]) -> Ims {
        let url = server(answers.iter().map(|body| answer("200 OK", body)).collect()).await;
        let options = ApiOptions {
            url: url.to_string(),
            ims_url: url.to_string(),
            client_id: "client".to_owned(),
            client_secret: "hush".to_owned(),
            scopes: String::new(),
            request_timeout: Duration::from_secs(10),
            proxy: ProxySettings::default(),
        };
        Ims::new(("bulk.url", "bulk.ims_url"), options, Patience::ONCE, None).expect("an address")
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends_and_not_earlier() {
        let token =
            |name: &str, seconds: u64| format!("{{\"access_token\":\"{name}\",\"expires_in\":{seconds}}}");
        let answers = [token("one", 0), token("two", u64::MAX), token("three", 60)];
        let ims = ims(&answers.each_ref().map(String::as_str)).await;
        for expected in ["one", "two", "two"] {
            assert_eq!(ims.token().await.expect("a token"), expected);
        }
        ims.forget().await;
        assert_eq!(ims.token().await.expect("a token"), "three");
    }

    #[tokio::test]
    async fn a_lifetime_may_be_a_text_or_have_a_fraction() {
        for (lifetime, seconds) in [
            ("60", 54),
            ("60.9", 54),
            ("\"60\"", 54),
            ("\" 60.5 \"", 54),
            ("1e300", 77_760),
            ("null", 3240),
            ("-1", 3240),
            ("\"soon\"", 3240),
            ("[60]", 3240),
        ] {
            let ims = ims(&[&format!("{{\"access_token\":\"one\",\"expires_in\":{lifetime}}}")]).await;
            let token = ims.fetch().await.expect("a token");
            let left = (token.renew_at - Instant::now()).as_secs() + 1;
            assert!((seconds - 10..=seconds + 1).contains(&left), "{lifetime}: {left}");
        }
    }

    #[tokio::test]
    async fn a_token_that_no_request_can_carry_is_refused_for_good() {
        for token in ["", "two\\nlines", "bl ank", "\u{e9}"] {
            let ims = ims(&[&format!("{{\"access_token\":\"{token}\"}}")]).await;
            let error = ims.token().await.expect_err("no token");
            assert!(!error.is_for_the_moment() && !error.to_string().contains("lines"), "{error}");
        }
    }
}
