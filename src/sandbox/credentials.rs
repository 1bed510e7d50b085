//! The access tokens of the APIs, and the limit on the calls of each credential to the Analytics API.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

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
    pub(super) fn issue(&mut self, client_id: &str, life: Duration) -> String {
        self.issued += 1;
        let text = format!("token-{}", self.issued);
        let token = Token { client_id: client_id.to_owned(), issued_at: Instant::now(), life };
        self.good.insert(text.clone(), token);
        text
    }

    /// The client whose token is in a header `Authorization: Bearer TOKEN`, if the token is valid.
    pub(super) fn client_of(&self, authorization: &str) -> Option<&str> {
        let token = self.good.get(authorization.strip_prefix("Bearer ")?)?;
        (token.issued_at.elapsed() < token.life).then_some(&token.client_id)
    }

    pub(super) fn forget(&mut self) {
        self.good.clear();
    }
}

/// How often the Analytics 2.0 API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AnalyticsCalls {
    /// Calls with a valid token and API key, answered or not.
    pub calls: u64,
    /// How many of these calls were refused because the window already had `calls_per_window` calls.
    pub too_many: u64,
}

#[derive(Debug, Default)]
pub(super) struct Quota {
    pub(super) calls: AnalyticsCalls,
    /// When the latest calls of each credential came.
    recent: HashMap<String, Vec<Instant>>,
}

impl Quota {
    /// Counts a call; true if it is within the quota. A refused call uses nothing of the quota.
    pub(super) fn admit(&mut self, client_id: &str, calls_max: u32, window: Duration) -> bool {
        self.calls.calls += 1;
        let recent = self.recent.entry(client_id.to_owned()).or_default();
        recent.retain(|at| at.elapsed() < window);
        let is_within = recent.len() < calls_max as usize;
        if is_within {
            recent.push(Instant::now());
        } else {
            self.calls.too_many += 1;
        }
        is_within
    }
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
        let client_of = |token: &str| tokens.client_of(&format!("Bearer {token}"));
        assert_eq!((client_of(&first), client_of(&second)), (Some("one"), Some("two")));
        assert_eq!((client_of(&ended), client_of("x"), tokens.client_of(&first)), (None, None, None));
        tokens.forget();
        assert_eq!(tokens.client_of(&format!("Bearer {first}")), None);
    }
}
