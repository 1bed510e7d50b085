//! Tells a monitoring service, such as healthchecks, of the start and the end of a drain.

use std::time::Duration;

use reqwest::{Method, Url};

use super::error::{ApiError, Endpoint};
use super::http::{Http, SetupError, address, beneath};
use super::proxy::ProxySettings;

const KEY: &str = "notify.ping_url";
/// How long a call may take. Monitoring services answer within a second.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer, in bytes. Only the status of an answer is used.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ping {
    Start,
    Done,
    /// Why the drain failed.
    Failed(String),
}

/// The client of one ping URL.
#[derive(Debug)]
pub struct Pinger {
    http: Http,
    url: Url,
}

/// Reads the ping URL. No error shows the URL.
pub fn ping_address(text: &str) -> Result<Url, SetupError> {
    address(KEY, text).map_err(|error| match error {
        SetupError::BadUrl { key, why, .. } => SetupError::BadUrl { key, text: "...".to_owned(), why },
        other => other,
    })
}

impl Pinger {
    pub fn new(url: &str, proxy: &ProxySettings) -> Result<Pinger, SetupError> {
        let url = ping_address(url)?;
        Ok(Pinger { http: Http::new(&[&url], PING_TIMEOUT, proxy)?, url })
    }

    /// Fails if the service does not answer with 2xx in time. No error shows the path of the URL.
    pub async fn call(&self, ping: &Ping) -> Result<(), ApiError> {
        let mut shown = self.url.clone();
        shown.set_path("");
        let endpoint = Endpoint::new("a ping", KEY, &shown);
        let (url, body) = match ping {
            Ping::Start => (beneath(&self.url, ["start"]), String::new()),
            Ping::Done => (self.url.clone(), String::new()),
            Ping::Failed(why) => (beneath(&self.url, ["fail"]), why.clone()),
        };
        let request = self.http.request(Method::POST, &url).body(body);
        let secret = self.url.path().trim_matches('/');
        let secrets: Vec<&str> = [secret].into_iter().filter(|secret| !secret.is_empty()).collect();
        let answer = self.http.send(&endpoint, request, ANSWER_BYTES_MAX, &secrets).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(&endpoint)) }
    }
}
