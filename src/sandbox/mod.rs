//! A faithful local stand-in for the Adobe endpoints that passbridge talks to, for rehearsals and for tests.
//!
//! - In: HTTP requests on a loopback address. Out: the replies that Adobe publishes; and, on request, what Analytics
//!   would count, the broken rules and the hits ([`Handle`], or JSON under `/sandbox/`).
//! - Guarantees: a hit is counted before it is answered with SUCCESS; a hit is counted once per event ID if the
//!   settings of its suite say so; the same fault plan and the same order of requests give the same faults; every
//!   [`Rule`] that a request breaks is recorded.
//! - Does not know: what sends the hits. It shares no code with `encode` and `collection`, because no test would
//!   notice a mistake that both sides share. It forgets everything when it ends.
//! - Rules: Adobe's pages on the Data Insertion API (developer.adobe.com/analytics-collection-apis), timestamps and
//!   event serialization (Adobe Analytics guide). Where they are silent, the code says so.
//! - The state: `world` (its lock and its parts), `suites`, `hits`, `processing` (the counts for reports),
//!   `makeup` (the settings of a suite), `traffic` (groups and files of the bulk API), `credentials`,
//!   `settings` (limits and faults of each API), `faults` and `syntax` (the fault plan), `rules`.
//! - The wire: `server` hands each request to its surface (the code of one API). `wire` is a connection. All
//!   surfaces use `request` and `reply`. `xml`, `tags`, `events_variable`, `incoming` and `judge` read a hit.
//! - The surfaces: `dia`, `bulk`, `ims` for tokens, `esm`, `analytics`, and `admin` for the sandbox's own interface.

mod admin;
mod analytics;
mod bulk;
mod credentials;
mod dia;
mod esm;
mod events_variable;
mod faults;
mod hits;
mod ims;
mod incoming;
mod judge;
mod makeup;
mod processing;
mod reply;
mod request;
mod rules;
mod server;
mod settings;
mod suites;
mod syntax;
mod tags;
mod traffic;
mod wire;
mod world;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

pub use credentials::AnalyticsCalls;
pub use faults::{FAULT_SYNTAX, FaultPlan, FaultSummary};
pub use hits::AcceptedHit;
pub use incoming::VisitorKind;
pub use makeup::{EventRecording, ExpectedIds, SuiteSettings, TimestampSetting, WRONG_SYNTAX, WrongSetting};
pub use rules::{Rule, Violation};
pub use settings::{AnalyticsSettings, BulkFault, BulkSettings};
pub use suites::{EventSummary, SuiteSummary};
pub use syntax::SyntaxError;
pub use traffic::BulkFile;
pub use world::Summary;

use crate::clock::Clock;
use crate::config::with_defaults;
use crate::suite::Rsid;
use server::Server;
use world::{Door, Shared, World};

with_defaults! {
    #[derive(Debug, Clone)]
    pub struct SandboxOptions {
        /// The loopback address to listen at; port 0 means any free port.
        pub address: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        /// The TLS configuration; `None` means plain HTTP.
        pub tls: Option<Arc<rustls::ServerConfig>> = None;
        /// Whether a request whose content breaks a rule is answered with FAILURE and the rule as its reason. By
        /// default its hit is accepted, as at Adobe, and the rule is recorded.
        pub is_strict: bool = false;
        /// Whether to keep some 300 bytes of a hit: suite, digest of the visitor, event, timestamp and eVar6.
        pub keeps_digests_only: bool = false;
        /// Whether numbers that a test has put into eVar6 define the order of a visitor's hits and tell first
        /// deliveries from repeats. By default timestamps define the order; equal timestamps are in order.
        pub orders_by_evar6: bool = false;
        /// The suites whose settings differ from the default.
        pub suites: BTreeMap<Rsid, SuiteSettings> = BTreeMap::new();
        /// Whether hits for suites that are not listed get SUCCESS but are not counted, as at Adobe. By default
        /// every suite exists, and all hits are counted.
        pub forgets_unknown_suites: bool = false;
        pub faults: FaultPlan = FaultPlan::default();
        /// The behaviour of the bulk API. Default: Adobe's limits, and no faults.
        pub bulk: BulkSettings = BulkSettings::default();
        pub wrong: BTreeMap<Rsid, Vec<WrongSetting>> = BTreeMap::new();
        /// The behaviour of the Analytics 2.0 API. Default: Adobe's limit, and no faults.
        pub analytics: AnalyticsSettings = AnalyticsSettings::default();
        /// How long a connection may be idle before it is closed; `None` is for ever. Default 15 s, as at Adobe.
        pub idle_close: Option<Duration> = Some(dia::IDLE_MAX);
        pub clock: Clock = Clock::system();
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The sandbox accepts anything from anyone, so only this host may reach it.
    #[error("sandbox address {0} is not a loopback address; use 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    #[error("sandbox cannot listen at {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("sandbox cannot start its thread: {0}")]
    Thread(io::Error),
}

/// The sandbox server.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts the server on its own thread. The server listens when this returns.
    pub fn start(options: SandboxOptions) -> Result<Handle, SandboxError> {
        let SandboxOptions { address, tls, idle_close, .. } = options;
        if !address.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(address));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut world = World::default();
        (world.keeps_digests_only, world.orders_by_evar6, world.forgets_unknown_suites) =
            (options.keeps_digests_only, options.orders_by_evar6, options.forgets_unknown_suites);
        world.bulk.set(options.bulk);
        world.analytics = options.analytics;
        for (rsid, settings) in &options.suites {
            world.set_suite(rsid.as_str(), *settings);
        }
        for (rsid, wrong) in options.wrong {
            world.set_wrong(rsid.as_str(), wrong);
        }
        let shared = Arc::new(Shared::new(world, options.faults, options.is_strict, options.clock));

        let refused = |source| SandboxError::Listen { address, source };
        let socket = server::bind(address).map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(SandboxError::Thread)?;
        let server = Server { shared: Arc::clone(&shared), tls: tls.map(TlsAcceptor::from), idle_close };
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || runtime.block_on(server.keep_door(address, socket)))
            .map_err(SandboxError::Thread)?;
        shared.wait_for_door();
        Ok(Handle { address, scheme, shared, thread: Some(thread) })
    }
}

/// A running sandbox. Dropping it ends the server and closes every connection; then its port is free.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The collection URL to configure, without a path: `http://127.0.0.1:40000`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn summary(&self) -> Summary {
        self.shared.world().summary()
    }

    /// The count of each event of a suite; `[0]` is event1.
    pub fn counted(&self, rsid: &str) -> [u64; 18] {
        let world = self.shared.world();
        let units = |slot: usize| world.suite(rsid).map_or(0, |suite| suite.summary.events[slot].units);
        std::array::from_fn(units)
    }

    /// The kept hits of all suites, in the order of acceptance.
    pub fn hits(&self) -> Vec<AcceptedHit> {
        self.shared.world().hits(None, 0, usize::MAX)
    }

    /// A page of the kept hits of one suite, or of all.
    pub fn hits_page(&self, rsid: Option<&str>, offset: usize, limit: usize) -> Vec<AcceptedHit> {
        self.shared.world().hits(rsid, offset, limit)
    }

    /// How many hits of all suites were accepted, including repeats.
    pub fn accepted_count(&self) -> u64 {
        self.shared.world().accepted()
    }

    /// Waits until `count` hits were accepted; false if the timeout came first.
    pub fn wait_accepted(&self, count: u64, timeout: Duration) -> bool {
        self.shared.wait(timeout, |world| world.accepted() >= count)
    }

    /// The first 10,000 violations; [`Summary::violations`] counts all.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.world().violations.kept.clone()
    }

    /// Replaces the fault plan and restarts its random numbers. Waits for at most 5 s until the port obeys the plan.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.set_plan(plan);
        self.shared.wait_for_door();
    }

    /// Replaces the settings of the bulk API and restarts its random numbers; files and tokens stay.
    pub fn set_bulk(&self, settings: BulkSettings) {
        self.shared.world().bulk.set(settings);
    }

    /// The files that the bulk API has received, in the order of receipt, including repeats.
    pub fn bulk_files(&self) -> Vec<BulkFile> {
        self.shared.world().bulk.received.clone()
    }

    /// How many file formats the bulk API has found valid.
    pub fn bulk_validations(&self) -> usize {
        self.shared.world().bulk.validated.len()
    }

    /// Makes a suite known, or replaces its settings; its counts stay.
    pub fn set_suite(&self, rsid: &str, settings: SuiteSettings) {
        self.shared.world().set_suite(rsid, settings);
    }

    /// Replaces the wrong settings of a suite; the hits so far stay as they were counted. Reports obey all of these
    /// settings, the counts of [`Handle::summary`] only the timestamp setting and whether the suite collects hits.
    pub fn set_wrong(&self, rsid: &str, wrong: Vec<WrongSetting>) {
        self.shared.world().set_wrong(rsid, wrong);
    }

    /// Replaces the settings of the Analytics 2.0 API; hits and tokens stay.
    pub fn set_analytics(&self, settings: AnalyticsSettings) {
        self.shared.world().analytics = settings;
    }

    pub fn analytics_calls(&self) -> AnalyticsCalls {
        self.shared.world().quota.calls
    }

    /// The file of a suite's settings that the admin pages offer, with tabs between cells and an empty first cell.
    pub fn settings_file(&self, rsid: &str) -> String {
        analytics::settings_file(&self.shared.world(), rsid)
    }

    /// Forgets hits, files, counts and violations, and restarts all random numbers; settings and plan stay.
    pub fn reset(&self) {
        self.shared.world().reset();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.door.send_replace(Door::Closed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the sandbox's thread has panicked");
        }
    }
}
