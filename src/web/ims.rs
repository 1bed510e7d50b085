//! Access tokens of Adobe's Identity Management System, by OAuth server-to-server.
//!
//! A token is had before the first request that needs one and before the old one ends; it stays in memory. No secret is in
//! any message.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Answer, ApiError, Endpoint, Http, SetupError};

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
    pub client_secret: String,
    /// As the project lists them.
    pub scopes: String,
}

/// Gives out tokens.
pub struct Ims {
    options: ImsOptions,
    url: Url,
    endpoint: Endpoint,
    token: Mutex<Option<Token>>,
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

/// Seconds as a number, perhaps with a fraction, or as a text of one. What is neither is said, and left at the default.
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
    /// One that has asked for nothing yet. The key is that of the address, for messages.
    pub fn new(key: &'static str, options: ImsOptions) -> Result<Ims, SetupError> {
        let url = super::address(key, &options.url)?;
        let endpoint = Endpoint::of_credentials("an access token", key, &url);
        Ok(Ims { options, url, endpoint, token: Mutex::new(None) })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request with what says who asks.
    pub async fn send(
        &self,
        http: &Http,
        endpoint: &Endpoint,
        request: RequestBuilder,
        token: &str,
        bytes_max: usize,
    ) -> Result<Answer, ApiError> {
        let request = request.bearer_auth(token).header("x-api-key", &self.options.client_id);
        http.send(endpoint, request, bytes_max, &[token, &self.options.client_secret]).await
    }

    /// Calls with a token, and once more with a new one where that is refused: it may end before its time. A second one that is
    /// refused is refused for another reason.
    pub async fn with_token<T, A>(
        &self,
        token: impl Fn() -> T,
        call: impl Fn(String) -> A,
    ) -> Result<Answer, ApiError>
    where
        T: Future<Output = Result<String, ApiError>>,
        A: Future<Output = Result<Answer, ApiError>>,
    {
        let answer = call(token().await?).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        tracing::debug!("the access token is refused, and is had anew");
        self.forget().await;
        call(token().await?).await
    }

    /// A token that lasts.
    pub async fn token(&self, http: &Http) -> Result<String, ApiError> {
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

    async fn fetch(&self, http: &Http) -> Result<Token, ApiError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.options.client_id)
            .append_pair("client_secret", &self.options.client_secret)
            .append_pair("scope", &self.options.scopes)
            .finish();
        let asked_at = Instant::now();
        let request = http
            .request(Method::POST, &self.url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let secret = self.options.client_secret.as_str();
        let answer = http.send(&self.endpoint, request, ANSWER_BYTES_MAX, &[secret]).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal(&self.endpoint));
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| self.endpoint.unreadable("it is no JSON object with access_token"))?;
        check_token(&self.endpoint, &answer.access_token)?;
        let lifetime = answer.expires_in.unwrap_or(LIFETIME);
        tracing::debug!(seconds = lifetime.as_secs(), "an access token was had");
        Ok(Token { text: answer.access_token, renew_at: asked_at + lifetime * RENEW_AT_PERCENT / 100 })
    }
}

/// A token that no request can carry would be refused for ever.
pub fn check_token(endpoint: &Endpoint, token: &str) -> Result<(), ApiError> {
    let can_be_sent = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if can_be_sent {
        Ok(())
    } else {
        Err(endpoint.unreadable("its access_token is none: a header cannot carry it"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProxySettings;
    use super::super::tests::{answer, server};
    use super::*;

    async fn ims(answers: &[&str]) -> (Ims, Http) {
        let url = server(answers.iter().map(|body| answer("200 OK", body)).collect()).await;
        let options = ImsOptions {
            url: url.to_string(),
            client_id: "client".to_owned(),
            client_secret: "hush".to_owned(),
            scopes: String::new(),
        };
        let ims = Ims::new("bulk.ims_url", options).expect("an address");
        (ims, Http::new(&[&url], Duration::from_secs(10), &ProxySettings::default()).expect("HTTP"))
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
            let (ims, http) =
                ims(&[&format!("{{\"access_token\":\"one\",\"expires_in\":{lifetime}}}")]).await;
            let token = ims.fetch(&http).await.expect("a token");
            let left = (token.renew_at - Instant::now()).as_secs() + 1;
            assert!((seconds - 10..=seconds + 1).contains(&left), "{lifetime}: {left}");
        }
    }

    #[tokio::test]
    async fn a_token_that_no_request_can_carry_is_refused_for_good() {
        for token in ["", "two\\nlines", "bl ank", "\u{e9}"] {
            let (ims, http) = ims(&[&format!("{{\"access_token\":\"{token}\"}}")]).await;
            let error = ims.token(&http).await.expect_err("no token");
            assert!(!error.is_for_the_moment() && !error.to_string().contains("lines"), "{error}");
        }
    }
}
