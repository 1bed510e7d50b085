//! Why a request is refused.

use http::StatusCode;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: &'static str,
    why: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, why: impl Into<String>) -> Refusal {
        Refusal { status, code, why: why.into() }
    }

    pub(super) fn not_found(what: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "resource_not_found", format!("there is no {what}"))
    }

    /// What the API says of it.
    pub(super) fn document(&self) -> Value {
        json!({ "errorCode": self.code, "errorDescription": self.why, "errorId": "0" })
    }
}

/// A request that cannot be understood.
pub(super) fn bad(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameters", why)
}
