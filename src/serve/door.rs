//! Who may see the views: if there is a file of tokens, everybody with a token; otherwise everybody whose request names
//! this host, so that a page of another site cannot read the views through a browser on this network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HOST, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::{Request, StatusCode};

use super::error::ServeError;
use super::looks::Looks;
use super::reply::{Refusal, Reply, WHEN_FAILED_SECONDS, get_only, reply};
use super::tokens::{Maps, Tokens, looker_of};
use super::views::{Answer, Show, Shown, View};
use crate::config::ServeConfig;

/// The key of the file of tokens, for messages.
const KEY: &str = "serve.pages_tokens_file";
/// The longest that a look may take: shorter than the time-out of Prometheus and of usual monitors.
const WITHIN: Duration = Duration::from_secs(8);

pub(super) struct Door {
    views: Looks<View, Answer>,
    /// Whether this listener shows more than readiness.
    has_pages: bool,
    tokens: Option<Arc<Tokens>>,
    /// Names of this host beside `localhost` and its addresses.
    hosts: Vec<String>,
}

impl Door {
    pub(super) fn open(show: Show, has_pages: bool, config: &ServeConfig) -> Result<Door, ServeError> {
        let file = &config.pages_tokens_file;
        let is_open = file.as_os_str().is_empty();
        let tokens = (!is_open).then(|| Tokens::read(file, KEY, Maps::new()).map(Arc::new)).transpose()?;
        Ok(Door { views: Looks::start("views", show)?, has_pages, tokens, hosts: config.hosts.clone() })
    }

    pub(super) fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    /// Answers a view. Readiness is for everybody, like `/healthz`, because it shows no figure.
    pub(super) async fn answer(&self, request: &Request<Incoming>, view: View) -> Result<Reply, Refusal> {
        get_only(request.method())?;
        if view != View::Ready {
            if !self.has_pages {
                let why = "this listener shows no page: see serve.pages_listen and serve.pages_tokens_file";
                return Err(Refusal::new(StatusCode::NOT_FOUND, why));
            }
            self.admit(request)?;
        }
        if matches!(view, View::Event { is_whole: true, .. }) && self.tokens.is_none() {
            let why = "personal values are shown to whoever has a token: set serve.pages_tokens_file";
            return Err(Refusal::new(StatusCode::FORBIDDEN, why));
        }
        let slow = || Err("the buffer does not answer in time".to_owned());
        let shown = self.views.ask(view, WITHIN).await.unwrap_or_else(slow);
        shown.map(answered).map_err(Refusal::failed)
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if let Some(tokens) = &self.tokens {
            return looker_of(request, tokens);
        }
        let Some(host) = request.headers().get(HOST) else { return Ok(()) };
        let host = host.to_str().unwrap_or_default();
        if is_own(host, &self.hosts) {
            return Ok(());
        }
        let why = "answers only to localhost, to an address, and to the names in serve.hosts: add the name there, or set serve.pages_tokens_file";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, why))
    }
}

/// Whether `host` is an address, `localhost` or one of `names`; with or without a port. Another site can make its own
/// name lead to this host, but then its pages ask by that name, never by an address.
fn is_own(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn answered(Shown { status, content_type, text }: Shown) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut reply = reply(status, content_type, text);
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from(WHEN_FAILED_SECONDS));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_answers_to_addresses_and_to_its_own_names() {
        let names = ["bridge.example".to_owned()];
        for (host, is_one) in [
            ("localhost", true),
            ("LOCALHOST:8090", true),
            ("127.0.0.1:8090", true),
            ("10.1.2.3", true),
            ("[::1]:8090", true),
            ("[::1]", true),
            ("bridge.example:8090", true),
            ("Bridge.Example", true),
            ("attacker.example", false),
            ("127.0.0.1.attacker.example", false),
            ("localhost.attacker.example:8090", false),
            ("", false),
        ] {
            assert_eq!(is_own(host, &names), is_one, "{host}");
        }
    }
}
