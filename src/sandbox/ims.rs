//! Adobe's identity service, as far as a program needs it that speaks for itself: OAuth server-to-server tokens.
//!
//! ```text
//! POST /ims/token/v3    a form of grant_type=client_credentials, client_id, client_secret and scope -> 200 with access_token
//! ```
//!
//! Every client ID is known; its secret is `secret-of-` and the ID. `refuse_tokens` of the Analytics settings refuses them all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};

use super::collector::Collector;
use super::reply::{self, ReplyBody};

/// Where every request of this interface begins.
pub(super) const PREFIX: &str = "/ims/";
/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The tokens that are good, and who has them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: u64,
    good: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    client_id: String,
    issued_at: Instant,
    life: Duration,
}

impl Tokens {
    fn issue(&mut self, client_id: &str, life: Duration) -> String {
        self.issued += 1;
        let text = format!("ims-token-{}", self.issued);
        let token = Token { client_id: client_id.to_owned(), issued_at: Instant::now(), life };
        self.good.insert(text.clone(), token);
        text
    }

    /// Whose token it is, if it is good.
    pub(super) fn client_of(&self, token: &str) -> Option<&str> {
        let token = self.good.get(token).filter(|token| token.issued_at.elapsed() < token.life)?;
        Some(&token.client_id)
    }

    /// Makes all tokens so far worthless.
    pub(super) fn forget(&mut self) {
        self.good.clear();
    }
}

pub(super) async fn answer(collector: &Collector, request: Request<Incoming>) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    if head.uri.path() != "/ims/token/v3" {
        return reply::bare(StatusCode::NOT_FOUND);
    }
    if head.method != Method::POST {
        return reply::bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    };
    let form: HashMap<String, String> = form_urlencoded::parse(&body.to_bytes()).into_owned().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let client_id = field("client_id");
    if field("grant_type") != "client_credentials" {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if client_id.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "invalid_client");
    }
    if field("client_secret") != format!("secret-of-{client_id}") {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    if field("scope").is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "invalid_scope");
    }
    let refusal = collector.analytics().settings.refuse_tokens.clone();
    if !refusal.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, &refusal);
    }
    let mut bulk = collector.bulk();
    let seconds = bulk.settings.token_seconds;
    let token = bulk.tokens.issue(client_id, Duration::from_secs(seconds));
    let answer = serde_json::json!({ "access_token": token, "token_type": "bearer", "expires_in": seconds });
    reply::json(StatusCode::OK, answer.to_string())
}

fn refuse(status: StatusCode, error: &str) -> Response<ReplyBody> {
    reply::json(status, serde_json::json!({ "error": error }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_client_until_it_ends_or_is_forgotten() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("one", Duration::from_secs(3600));
        let second = tokens.issue("two", Duration::from_secs(3600));
        let ended = tokens.issue("one", Duration::ZERO);
        assert_eq!((tokens.client_of(&first), tokens.client_of(&second)), (Some("one"), Some("two")));
        assert_eq!((tokens.client_of(&ended), tokens.client_of("x")), (None, None));
        tokens.forget();
        assert_eq!(tokens.client_of(&first), None);
    }
}
