//! Sends a hit to its collection host and says what became of it.
//!
//! - In: the XML of one hit. Out: an [`Outcome`], never an error: faults of a name, a
//!   socket, a proxy, a certificate or a server are outcomes too.
//! - Guarantees: each call sends one POST to `/b/ss//6`, and a connection has one request at a time; the outcome is
//!   "not received" only if no byte of the request was written or a status says so; a connection that the server has
//!   closed is replaced; no call takes longer than the request's time limit; redirects are not followed.
//! - Does not know: events, the buffer, lanes, retries. It never pauses between hits: [`Breaker`] and [`Limiter`]
//!   tell the callers how long to wait.
//! - Rules: "Response types", "Request" and "HTTP 1.1" of Adobe's Data Insertion API guide.

mod breaker;
mod certificate;
mod connect;
mod connection;
mod limiter;
mod reply;
mod reply_reader;
mod socket;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

pub use breaker::{Breaker, BreakerOptions, Permit};
pub(crate) use connect::is_open_files;
pub use connect::{CollectionError, Roots};
pub use connection::Connection;
pub use limiter::Limiter;
pub use reply::classify;
pub use reply_reader::{Reply, ReplyReader};

use crate::clock::Clock;
use crate::delivery::{NotReceived, Outcome};
use crate::meter::{Labels, METER};
use crate::suite::{CollectionUrl, Scheme};
use crate::web::ProxySettings;
use connect::Address;

/// The longest time for connecting, even if a request may take longer.
pub const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// How hits are sent.
#[derive(Debug, Clone)]
pub struct CollectionOptions {
    /// How long a request may take, including connecting. Default 30 s.
    pub request_timeout: Duration,
    /// How long connecting may take: name, TCP, proxy and TLS together. Default 10 s, at most `request_timeout`.
    pub connect_timeout: Duration,
    /// Hits per second and host, over all lanes. Default no limit.
    pub rate_per_host: Option<NonZeroU32>,
    pub breaker: BreakerOptions,
    pub roots: Roots,
    pub proxy: ProxySettings,
    /// The clock that a date in `Retry-After` is compared with. Default the system's clock.
    pub clock: Clock,
}

impl CollectionOptions {
    /// The default options, but with this time for a request.
    pub fn new(request_timeout: Duration) -> CollectionOptions {
        CollectionOptions {
            request_timeout,
            connect_timeout: CONNECT_TIMEOUT_MAX.min(request_timeout),
            rate_per_host: None,
            breaker: BreakerOptions::default(),
            roots: Roots::System,
            proxy: ProxySettings::default(),
            clock: Clock::system(),
        }
    }
}

impl Default for CollectionOptions {
    fn default() -> CollectionOptions {
        CollectionOptions::new(Duration::from_secs(30))
    }
}

/// Every collection host that hits are sent to.
#[derive(Debug)]
pub struct Collection {
    options: CollectionOptions,
    extra_roots: RootCertStore,
    tls: OnceLock<Arc<ClientConfig>>,
    hosts: Mutex<HashMap<CollectionUrl, Weak<Host>>>,
}

impl Collection {
    /// Checks the options and connects to nothing. The first https host loads the system's certificates.
    pub fn new(options: CollectionOptions) -> Result<Collection, CollectionError> {
        let extra_roots = connect::extra_roots(&options.roots)?;
        Ok(Collection { options, extra_roots, tls: OnceLock::new(), hosts: Mutex::default() })
    }

    /// The host of a URL. All callers share it while any caller or connection holds it. After that, its limiter is
    /// forgotten, and the next call makes a new host. Fails if the proxy variables cannot be used.
    pub fn host(&self, url: &CollectionUrl) -> Result<Arc<Host>, CollectionError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(url).and_then(Weak::upgrade) {
            return Ok(host);
        }
        let host = Arc::new(self.new_host(url)?);
        hosts.insert(url.clone(), Arc::downgrade(&host));
        Ok(host)
    }

    /// Fails if the proxy variables cannot be used for a host that `NO_PROXY` does not name.
    pub fn check_proxy(&self) -> Result<(), CollectionError> {
        let refuse = |why| CollectionError::Proxy { host: "any collection host".to_owned(), why };
        self.options.proxy.way("", 443).map(drop).map_err(refuse)
    }

    fn new_host(&self, url: &CollectionUrl) -> Result<Host, CollectionError> {
        let tls = (url.scheme() == Scheme::Https)
            .then(|| Arc::clone(self.tls.get_or_init(|| connect::tls_config(self.extra_roots.clone()))));
        // Plain http is only for loopback, and never goes through a proxy.
        let proxy = match url.scheme() {
            Scheme::Https => self.options.proxy.way(url.host(), url.port()),
            Scheme::Http => Ok(None),
        };
        let proxy = proxy.map_err(|why| CollectionError::Proxy { host: url.to_string(), why })?;
        if let Some(proxy) = &proxy {
            tracing::debug!(host = %url, %proxy, "hits go through a proxy");
        }
        let of_host = [("host", url.to_string())].into();
        Ok(Host {
            delivered: METER.attempts.get_or_create_owned(&attempt_labels(url, &Outcome::Delivered)),
            seconds: METER.attempt_seconds.get_or_create_owned(&of_host),
            busy: METER.lanes_busy.get_or_create_owned(&of_host),
            request_head: request_head(url),
            address: Address { url: url.clone(), proxy, tls },
            request_timeout: self.options.request_timeout,
            connect_timeout: self.options.connect_timeout,
            breaker: self.options.breaker.clone(),
            limiter: Limiter::new(self.options.rate_per_host, Instant::now()),
            clock: self.options.clock.clone(),
        })
    }
}

/// A collection host, with everything that its lanes share.
pub struct Host {
    address: Address,
    /// The head of every request, up to the value of `content-length`.
    request_head: String,
    request_timeout: Duration,
    connect_timeout: Duration,
    breaker: BreakerOptions,
    /// Limits the rate of all lanes together.
    pub limiter: Limiter,
    clock: Clock,
    /// Delivered hits and the time of attempts are counted for each hit, so their counters are looked up once.
    delivered: Counter,
    seconds: Histogram,
    busy: Gauge,
}

impl Host {
    /// Opens a connection as for a hit, with its proxy and its TLS handshake, and closes it. Sends no HTTP to the host.
    pub async fn reach(&self) -> Result<(), NotReceived> {
        self.address.connect(Instant::now() + self.connect_timeout).await.map(drop)
    }

    fn count(&self, outcome: &Outcome, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match outcome {
            Outcome::Delivered => self.delivered.inc(),
            other => METER.attempts.get_or_create(&attempt_labels(self.url(), other)).inc(),
        };
    }
}

fn attempt_labels(url: &CollectionUrl, outcome: &Outcome) -> Labels {
    let [outcome, cause] = outcome.words().map(str::to_owned);
    vec![("host", url.to_string()), ("outcome", outcome), ("cause", cause)]
}

/// The head of each request to `url`, up to the value of `content-length`. `6` in the path is the response type. The
/// path names no report suite, because the body names it ("Request" of the DIA guide). `user-agent` names passbridge;
/// Analytics reads the viewer's agent from the XML. DIA would refuse a request with `Expect` before it reads the body.
fn request_head(url: &CollectionUrl) -> String {
    format!(
        "POST /b/ss//6 HTTP/1.1\r\nhost: {}\r\ncontent-type: application/xml\r\naccept: application/xml\r\n\
         user-agent: passbridge/{}\r\ncontent-length: ",
        url.authority(),
        env!("CARGO_PKG_VERSION")
    )
}
