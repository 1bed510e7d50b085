//! The configuration file: every section and every key with its type and its default.
//!
//! `deploy/passbridge.full.toml`, which `init` writes, says what each key means, its unit and its range; a
//! test checks that it has the keys below. The comments here give reasons for defaults. Unknown keys are
//! refused. The command line finds and reads the file and gives each room its own section.

mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{COUNT_MAX, RequestorId};
use crate::word::words;
pub use value::{Listen, LogFormat, LogLevel, Secret, Span, Zone, duration};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub buffer: BufferConfig,
    pub schedule: ScheduleConfig,
    pub delivery: DeliveryConfig,
    pub ingest: IngestConfig,
    pub rest_v2: RestV2Config,
    pub esm: EsmConfig,
    pub bulk: BulkConfig,
    pub analytics: AnalyticsConfig,
    pub serve: ServeConfig,
    pub monitor: MonitorConfig,
    pub notify: NotifyConfig,
    pub log: LogConfig,
    pub workers: WorkersConfig,
    pub map: BTreeMap<String, MapConfig>,
    pub contract: BTreeMap<String, ContractConfig>,
}

impl Config {
    /// The addresses of the APIs of Adobe, each with its key.
    pub fn api_urls(&self) -> [(&'static str, &str); 6] {
        let Config { analytics, bulk, esm, .. } = self;
        [
            ("analytics.url", analytics.url.as_str()),
            ("analytics.ims_url", analytics.ims_url.as_str()),
            ("bulk.url", bulk.url.as_str()),
            ("bulk.ims_url", bulk.ims_url.as_str()),
            ("esm.url", esm.url.as_str()),
            ("esm.dcr_url", esm.dcr_url.as_str()),
        ]
    }
}

/// Structs in which each field has its default beside its type.
macro_rules! with_defaults {
    ($($(#[$about:meta])* pub struct $name:ident {
        $($(#[$field_about:meta])* pub $field:ident: $kind:ty = $default:expr;)*
    })*) => {$(
        $(#[$about])*
        pub struct $name {
            $($(#[$field_about])* pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }
    )*};
}

pub(crate) use with_defaults;

/// Sections of the file: each key has its type and default. Paths are relative to the file; empty means none.
macro_rules! sections {
    ($($(#[$doc:meta])* pub struct $section:ident $keys:tt)*) => { with_defaults! {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section $keys
    )*}};
}

sections! {
    /// `[buffer]`: where events wait.
    pub struct BufferConfig {
        pub path: PathBuf = "passbridge.db".into();
        pub retention_days: u32 = 30;
        /// How many days after its deletion an event is still recognised as a duplicate. The default is enough to
        /// ingest again a file of the same month of last year.
        pub dedup_days: u32 = 400;
        pub allow_network_filesystem: bool = false;
        /// The database that many workers share, instead of the file.
        pub url: String = String::new();
        pub password_file: PathBuf = PathBuf::new();
    }

    /// `[workers]`: the processes that share a buffer on PostgreSQL.
    pub struct WorkersConfig {
        /// For how many seconds a dead worker keeps its slices from the others, besides the time of a request.
        /// The default is longer than a failover of the database should take.
        pub lease_seconds: u64 = 30;
    }

    /// `[schedule]`: when `run` drains.
    pub struct ScheduleConfig {
        /// When a drain starts, as a cron expression of six fields (seconds first) or five. The integration
        /// prescribes every 30 minutes.
        pub cron: String = "0 */30 * * * *".into();
        pub timezone: String = "America/Los_Angeles".into();
        pub jitter_seconds: u64 = 0;
    }

    /// `[delivery]`: how hits are sent.
    pub struct DeliveryConfig {
        pub lanes: u32 = 64;
        pub request_timeout_seconds: u64 = 30;
        pub max_attempts: u32 = 8;
        pub give_up_seconds: u64 = 300;
        pub rate_per_host: u32 = 0;
        /// How long a stop waits for requests in flight, in seconds. The default is as long as a request may take.
        pub stop_grace_seconds: u64 = 30;
        pub backoff_base_ms: u64 = 500;
        pub backoff_max_seconds: u64 = 60;
    }

    /// `[ingest]`: how events come in.
    pub struct IngestConfig {
        pub rejects_dir: PathBuf = "rejects".into();
        /// The most rejected lines that are kept of one input; the others are only counted. If an input has
        /// more rejects than the default, they usually have one cause, such as a wrong format.
        pub rejects_max: u32 = 10_000;
        pub rejects_days: u32 = 90;
        pub future_skew_seconds: u32 = 300;
        /// The free disk space, in bytes, below which nothing is ingested: a drain must have room for its outcomes.
        pub min_free_bytes: u64 = 256 << 20;
        /// The map of the rows of the inbox.
        pub inbox_map: String = String::new();
    }

    /// `[rest_v2]`: how exchanges of REST API V2 become events, also where Adobe's documentation leaves that open.
    pub struct RestV2Config {
        /// The file with the secret for the digests of devices, codes and identities of events. If none is named, the
        /// buffer makes a secret and keeps it. With another secret, the same exchange gives other events.
        pub secret_file: PathBuf = PathBuf::new();
        /// This is no key of the file. It is the line of an exchange log whose rule the summary must name, for `trace`.
        #[serde(skip)]
        pub asked_line: Option<u64> = None;
        pub path_prefix: String = String::new();
        pub reorder_seconds: u32 = 60;
        pub dedup_days: u32 = 45;
        pub authn_requested_at: AuthnRequestedAt = AuthnRequestedAt::Session;
        pub counting: Counting = Counting::Complete;
        pub leave_out: Vec<OpenEvent> = Vec::new();
        pub profiles_complete_login: bool = true;
        pub preflight_per_resource: bool = true;
        /// A permission came from Adobe's cache if more than these milliseconds lie between the issue of its
        /// decision and of its media token. With a new permission, 0 to 313 ms lie between them.
        pub cached_above_ms: u32 = 5000;
        pub sdk_type: String = "Clientless".into();
        pub sdk_version: String = "REST V2".into();
        pub server_version: String = String::new();
        /// The `proxy` of an MVPD that Adobe's configuration lists as proxied, because the API never names the proxy.
        pub proxied_by: String = "Unknown".into();
        pub proxies: BTreeMap<String, String> = BTreeMap::new();
        pub sso_mechanisms: BTreeMap<String, String> = map(&[
            ("platformSSO", "platform"), ("appleSSO", "partner"), ("serviceTokenSSO", "service-token"),
        ]);
        pub device_types: BTreeMap<String, String> = map(&[
            ("Desktop", "computer"), ("Tablet", "tablet"), ("MobilePhone", "mobile"), ("GamesConsole", "gameconsole"),
        ]);
        pub service_token_keys: BTreeMap<String, PathBuf> = BTreeMap::new();
    }

    /// `[esm]`: how reports of Entitlement Service Monitoring are read and fetched.
    pub struct EsmConfig {
        /// The time zone of the reports, by its IANA name: `Etc/GMT+8` for a contract that has no summer time.
        pub timezone: Zone = Zone(chrono_tz::America::Los_Angeles);
        pub dedup_days: u32 = 400;
        pub rejected_is_failed: bool = false;
        pub dimensions: Vec<String> = Vec::new();
        pub url: String = "https://mgmt.auth.adobe.com/esm/v3".into();
        pub dcr_url: String = "https://sp.auth.adobe.com".into();
        pub software_statement_file: PathBuf = PathBuf::new();
        pub credentials_file: PathBuf = "esm-client.json".into();
        /// The dimensions that split each hour of a report, as a path of the API; `minute/` before the path
        /// gives reports by minute. The default is the shortest published path that names requestor and MVPD.
        pub group_by: String = "media-company/proxy/mvpd/requestor-id".into();
        pub rows: u32 = 10_000;
        pub request_timeout_seconds: u64 = 120;
    }

    /// `[bulk]`: how files of backfills and of live events are sent by the Bulk Data Insertion API.
    ///
    /// Adobe's limits are keys because a contract may have other limits, and because a rehearsal must not take hours.
    /// Limits above the published ones lose no event, but they slow the ingestion of the whole company.
    pub struct BulkConfig {
        pub url: String = "https://analytics-collection.adobe.io/aa/collect/v1/events".into();
        pub ims_url: String = "https://ims-na1.adobelogin.com/ims/token/v3".into();
        pub client_id: String = String::new();
        pub client_secret_file: PathBuf = PathBuf::new();
        pub client_secret: Secret = Secret(String::new());
        pub scopes: String = "openid,AdobeID,read_organizations,additional_info.projectedProductContext".into();
        /// The company. The names of visitor groups begin with it, so that Adobe finds them.
        pub company: String = "passbridge".into();
        /// The user agent of rows whose event has no user agent, because Adobe drops a row without one.
        pub user_agent: String = STAND_IN_AGENT.into();
        pub dir: PathBuf = "bulk".into();
        /// The most rows a second of a backfill that has no rate of its own. One visitor group takes 2000.
        pub rate: u32 = 2_000;
        /// The most rows of a file: as many as a group takes in 20 seconds.
        pub file_rows: u32 = 40_000;
        /// The route `auto` sends files while more than this many events wait. 64 lanes send so many hits in 13 minutes
        /// at 100 ms a hit. Analytics shows single hits sooner, because it takes 20 to 50 minutes to process a file.
        pub auto_above_events: u64 = 500_000;
        /// The longest file, in bytes, as it is sent: Adobe's limit.
        pub file_bytes: u64 = 100_000_000;
        /// The longest file, in bytes, before it is compressed: Adobe's limit.
        pub file_bytes_unpacked: u64 = 1_000_000_000;
        /// The time between two uploads, whatever their groups, in milliseconds: Adobe's limit.
        pub call_spacing_ms: u64 = 1_000;
        /// The time between two uploads of the same group, in milliseconds, as Adobe advises.
        pub group_spacing_ms: u64 = 20_000;
        /// Rows a second of one group, as Adobe advises.
        pub group_rows_per_second: u32 = 2_000;
        pub lookup_ms: u64 = 300_000;
        pub backoff_base_ms: u64 = 2_000;
        pub backoff_max_ms: u64 = 120_000;
        pub request_timeout_seconds: u64 = 300;
    }

    /// `[analytics]`: how Adobe Analytics is read.
    pub struct AnalyticsConfig {
        pub url: String = "https://analytics.adobe.io".into();
        pub company: String = String::new();
        pub client_id: String = String::new();
        pub client_secret_file: PathBuf = PathBuf::new();
        pub client_secret: Secret = Secret(String::new());
        pub scopes: String = "openid,AdobeID,read_organizations,additional_info.projectedProductContext,additional_info.job_function".into();
        pub ims_url: String = "https://ims-na1.adobelogin.com/ims/token/v3".into();
        /// How long a request may take, in seconds. Adobe itself gives up after 60.
        pub request_timeout_seconds: u64 = 90;
        /// The most calls within a window: Adobe's limit for a user. They are spread evenly.
        pub calls_per_window: u32 = 12;
        /// The length of Adobe's window, in milliseconds. The pauses before a call is tried again depend on it.
        pub window_ms: u64 = 6_000;
        pub proof_days: u32 = 90;
    }

    /// `[serve]`: the HTTP listeners of `run` and `serve`.
    pub struct ServeConfig {
        pub listen: Listen = Listen::Off;
        pub ingest: bool = false;
        pub tokens_file: PathBuf = PathBuf::new();
        /// HTTP takes no events while this many wait in the buffer; 0 is no limit. 20 million take some 12 GB.
        pub backlog_max_events: u64 = 20_000_000;
        pub request_timeout_seconds: u64 = 30;
        /// How long a connection may wait for its next request, in seconds: longer than reverse proxies keep it idle.
        pub idle_timeout_seconds: u64 = 75;
        /// The map of events from senders whose line in the file of tokens names no map.
        pub map: String = String::new();
        pub pages_listen: Listen = Listen::Off;
        pub pages_tokens_file: PathBuf = PathBuf::new();
        pub hosts: Vec<String> = Vec::new();
    }

    /// `[monitor]`: the limits beyond which `status --check` raises an alarm.
    pub struct MonitorConfig {
        /// The longest time that an event may wait after it was stored although it could be sent, and the longest time
        /// since the last drain. At a drain every 30 minutes, 2 h are four missed drains.
        pub max_age: Span = Span(Some(Duration::from_secs(2 * 60 * 60)));
        /// The longest time that a host or a suite may be in trouble: two drains in a row, at one every 30 minutes.
        pub max_trouble: Span = Span(Some(Duration::from_secs(60 * 60)));
        /// The longest time without a new event. Off by default, because sources differ.
        pub max_silence: Span = Span(None);
        pub max_silence_of: BTreeMap<RequestorId, Span> = BTreeMap::new();
        pub max_dead: u64 = 100;
        pub max_held: u64 = 100;
        /// The most parked events. At the default, a requestor without a suite is noticed within days.
        pub max_parked: u64 = 10_000;
        pub max_rejects: u64 = 100;
    }

    /// `[notify]`: whom `run` and `drain` tell of drains and of broken limits.
    pub struct NotifyConfig {
        /// Whoever knows the address can ping there, so it is a secret.
        pub ping_url: Secret = Secret(String::new());
        pub command: Vec<String> = Vec::new();
    }

    /// `[log]`: what is logged.
    pub struct LogConfig {
        pub format: LogFormat = LogFormat::Text;
        pub level: LogLevel = LogLevel::Info;
    }

    /// `[map.NAME]`: how the keys and values of a source become those of an event.
    pub struct MapConfig {
        pub keys: BTreeMap<String, String> = BTreeMap::new();
        pub constants: BTreeMap<String, String> = BTreeMap::new();
        pub values: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        pub null_words: Vec<String> = Vec::new();
        pub time_format: String = String::new();
        pub timezone: Option<Zone> = None;
        pub separator: String = String::new();
    }

    /// `[contract.NAME]`: what the events of a requestor or a source must be like to be taken.
    pub struct ContractConfig {
        pub requestors: Vec<RequestorId> = Vec::new();
        pub sources: Vec<String> = Vec::new();
        pub events: Vec<String> = Vec::new();
        pub required: Vec<String> = Vec::new();
        pub mvpds: Vec<String> = Vec::new();
        pub count_max: u32 = COUNT_MAX;
        pub age_max: Span = Span(None);
        pub unknown_keys: UnknownKeysRule = UnknownKeysRule::Warn;
    }
}

/// The default of `bulk.user_agent`. No published bot rule matches it.
pub const STAND_IN_AGENT: &str = "Mozilla/5.0 (server-side Adobe Pass event)";

impl AnalyticsConfig {
    /// How long a proof of a suite's settings, by a probe or a settings file, stays valid.
    pub fn proof_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.proof_days) * 86_400)
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect()
}

impl RestV2Config {
    /// Whether an event that Adobe's documentation leaves open is counted.
    pub fn counts(&self, event: OpenEvent) -> bool {
        !self.counting.leaves_out().contains(&event) && !self.leave_out.contains(&event)
    }
}

impl Counting {
    fn leaves_out(self) -> &'static [OpenEvent] {
        match self {
            Counting::Complete => &[],
            Counting::CurrentApi => &[OpenEvent::ClientlessTokens, OpenEvent::PlayFailed],
            Counting::MvpdAnswers => {
                &[OpenEvent::PartnerAuthn, OpenEvent::DegradedAuthz, OpenEvent::TemporaryAuthz]
            }
        }
    }
}

impl OpenEvent {
    /// The event that a key of an earlier release is about. Those keys were `count_` and the event's word.
    pub fn of_former_key(key: &str) -> Option<OpenEvent> {
        OpenEvent::ALL.into_iter().find(|event| key.strip_prefix("count_") == Some(event.as_str()))
    }
}

words! {
    /// Which exchange gives the event AuthN requested.
    pub enum AuthnRequestedAt {
        Session = "session",
        UserAgent = "user_agent",
    }

    /// What becomes of events with keys that no event has.
    pub enum UnknownKeysRule {
        Warn = "warn",
        Reject = "reject",
    }

    /// Which events of exchanges are counted.
    pub enum Counting {
        Complete = "complete",
        CurrentApi = "current_api",
        MvpdAnswers = "mvpd_answers",
    }

    /// An event for which Adobe's documentation does not say whether it counts.
    pub enum OpenEvent {
        PartnerAuthn = "partner_authn",
        AuthnPending = "authn_pending",
        ClientlessTokens = "clientless_tokens",
        PlayFailed = "play_failed",
        DegradedAuthz = "degraded_authz",
        TemporaryAuthz = "temporary_authz",
    }
}
