//! Why a request is refused: the status, and what the API says.

use http::StatusCode;
use serde_json::{Value, json};

pub(super) type Refusal = (StatusCode, Value);

pub(super) fn refusal(status: StatusCode, code: &str, why: impl Into<String>) -> Refusal {
    (status, json!({ "errorCode": code, "errorDescription": why.into(), "errorId": "0" }))
}

pub(super) fn not_found(what: &str) -> Refusal {
    refusal(StatusCode::NOT_FOUND, "resource_not_found", format!("there is no {what}"))
}

/// A request that cannot be understood.
pub(super) fn bad(why: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "invalid_parameters", why)
}
