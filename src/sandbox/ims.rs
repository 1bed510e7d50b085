//! Adobe's identity service, as far as a program that acts without a user needs it: OAuth server-to-server tokens.
//!
//! ```text
//! POST /ims/token/v3    a form of grant_type=client_credentials, client_id, client_secret and scope -> 200 with access_token
//! ```
//!
//! Every client ID is valid; its secret is `secret-of-` and the ID. With `refuse_tokens`, all requests are refused.

use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};

use super::reply::{self, Reply};
use super::request::Fields;
use super::world::Shared;

pub(super) const PREFIX: &str = "/ims/";

pub(super) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Reply {
    if head.uri.path() != "/ims/token/v3" {
        return reply::bare(StatusCode::NOT_FOUND);
    }
    if head.method != Method::POST {
        return reply::bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let form = Fields::of(body);
    let client_id = form.get("client_id");
    let mut world = shared.world();
    if let Some((status, error)) = refusal(&form, &world.analytics.refuse_tokens) {
        return reply::error(status, error);
    }
    let seconds = world.bulk.settings.token_seconds;
    let token = world.tokens.issue(client_id, Duration::from_secs(seconds));
    let answer = serde_json::json!({ "access_token": token, "token_type": "bearer", "expires_in": seconds });
    reply::json(StatusCode::OK, &answer)
}

/// Why a request gets no token.
fn refusal<'r>(form: &Fields, refuse_all: &'r str) -> Option<(StatusCode, &'r str)> {
    let client_id = form.get("client_id");
    if form.get("grant_type") != "client_credentials" {
        Some((StatusCode::BAD_REQUEST, "unsupported_grant_type"))
    } else if client_id.is_empty() {
        Some((StatusCode::BAD_REQUEST, "invalid_client"))
    } else if form.get("client_secret") != format!("secret-of-{client_id}") {
        Some((StatusCode::UNAUTHORIZED, "invalid_client"))
    } else if form.get("scope").is_empty() {
        Some((StatusCode::BAD_REQUEST, "invalid_scope"))
    } else {
        (!refuse_all.is_empty()).then_some((StatusCode::BAD_REQUEST, refuse_all))
    }
}
