//! The configuration file: every section, every key, its unit and its default.
//!
//! Unknown keys are refused. Finding and reading the file is the command line's work; each room gets its own section.

mod analytics;
mod monitor;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use analytics::AnalyticsConfig;
pub use monitor::{MonitorConfig, Span, duration};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where events wait.
    pub buffer: BufferConfig,
    /// When `run` drains.
    pub schedule: ScheduleConfig,
    /// How hits are sent.
    pub delivery: DeliveryConfig,
    /// How events come in.
    pub ingest: IngestConfig,
    /// Which events follow from exchanges with the Pass REST API V2.
    pub rest_v2: RestV2Config,
    /// How reports of Entitlement Service Monitoring are read and fetched.
    pub esm: EsmConfig,
    /// How backfills send files by the Bulk Data Insertion API.
    pub bulk: BulkConfig,
    /// How Adobe Analytics is read.
    pub analytics: AnalyticsConfig,
    /// The HTTP collector of `run`.
    pub serve: ServeConfig,
    /// From when on `status --check` alarms.
    pub monitor: MonitorConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// `[buffer]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BufferConfig {
    /// The SQLite file, relative to the configuration file. Default `passbridge.db`.
    pub path: PathBuf,
    /// How long delivered and discarded events are kept after their outcome, in days. Default 30.
    pub retention_days: u32,
    /// How long an event is recognised as a duplicate after it was deleted, in days. Default 400: a file of last year's same
    /// month, ingested again, is still one.
    pub dedup_days: u32,
    /// Whether the buffer may lie on a network file system. Default false: SQLite's locks cannot be trusted there.
    pub allow_network_filesystem: bool,
}

impl Default for BufferConfig {
    fn default() -> BufferConfig {
        BufferConfig {
            path: PathBuf::from("passbridge.db"),
            retention_days: 30,
            dedup_days: 400,
            allow_network_filesystem: false,
        }
    }
}

/// `[schedule]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// When a drain starts, as a cron expression of six fields (seconds first) or five. Default every 30 minutes, as the
    /// integration prescribes.
    pub cron: String,
    /// The time zone of the expression, by its IANA name. Default `America/Los_Angeles`, as Adobe Pass counts.
    pub timezone: String,
    /// A random delay of up to this many seconds before each drain. Default 0.
    pub jitter_seconds: u64,
}

impl Default for ScheduleConfig {
    fn default() -> ScheduleConfig {
        ScheduleConfig {
            cron: "0 */30 * * * *".to_owned(),
            timezone: "America/Los_Angeles".to_owned(),
            jitter_seconds: 0,
        }
    }
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Connections per collection host, each with one request in flight. Default 64.
    pub lanes: u32,
    /// How long a request may take, in seconds, its connection included. Default 30.
    pub request_timeout_seconds: u64,
    /// Attempts per event in one run, after which it stays pending. Default 8.
    pub max_attempts: u32,
    /// How long a host may answer nothing before a run leaves it, in seconds. Default 300.
    pub give_up_seconds: u64,
    /// Hits per second and host over all lanes; 0 is no limit. Default 0.
    pub rate_per_host: u32,
    /// How long a stop waits for requests in flight, in seconds. Default 30: as long as a request may take.
    pub stop_grace_seconds: u64,
    /// The first wait before a retry, in milliseconds; each further one doubles it, with full jitter. Default 500.
    pub backoff_base_ms: u64,
    /// The longest wait before a retry, in seconds, also where `Retry-After` asks for more. Default 60.
    pub backoff_max_seconds: u64,
}

impl Default for DeliveryConfig {
    fn default() -> DeliveryConfig {
        DeliveryConfig {
            lanes: 64,
            request_timeout_seconds: 30,
            max_attempts: 8,
            give_up_seconds: 300,
            rate_per_host: 0,
            stop_grace_seconds: 30,
            backoff_base_ms: 500,
            backoff_max_seconds: 60,
        }
    }
}

/// `[ingest]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// The folder for rejected lines, relative to the configuration file. Default `rejects`.
    pub rejects_dir: PathBuf,
    /// The most rejected lines that are kept of one input; the others are counted. Default 10000: more of them have one cause,
    /// such as a wrong format.
    pub rejects_max: u32,
    /// How long a file of rejects is kept after it was last written to, in days. Default 90.
    pub rejects_days: u32,
    /// How far ahead of the clock an event may be, in seconds. Default 300.
    pub future_skew_seconds: u32,
    /// Free disk below which nothing more is ingested, in bytes. Default 268435456 (256 MiB): room for a drain to record
    /// its outcomes.
    pub min_free_bytes: u64,
}

impl Default for IngestConfig {
    fn default() -> IngestConfig {
        IngestConfig {
            rejects_dir: PathBuf::from("rejects"),
            rejects_max: 10_000,
            rejects_days: 90,
            future_skew_seconds: 300,
            min_free_bytes: 256 << 20,
        }
    }
}

/// `[rest_v2]`: where Adobe's documentation does not say which event an exchange is, a key says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestV2Config {
    /// The file of the secret that devices, codes and the identities of events are digested with. Default none: the buffer
    /// makes one and keeps it. Another secret gives the same exchange other events.
    pub secret_file: PathBuf,
    /// What stands in front of `/api/v2/` in the paths of a gateway, such as `/tve`. Paths without it are taken too. Default none.
    pub path_prefix: String,
    /// How far exchanges may be out of order, in seconds: lines are held back so long, then taken in order of their start;
    /// later ones are taken as they come. Default 60.
    pub reorder_seconds: u32,
    /// How long an exchange is recognised when it is read again, in days. Default 45.
    pub dedup_days: u32,
    /// Where an AuthN request is counted: at the session that sends the viewer to the MVPD (`session`), or at the redirect
    /// that a browser gets (`user_agent`), which a gateway seldom sees. Default `session`.
    pub authn_requested_at: AuthnRequestedAt,
    /// Whether Apple's single sign-on counts AuthN events. Default true.
    pub count_partner_authn: bool,
    /// Whether a poll of profiles completes the login of its device. Default true.
    pub profiles_complete_login: bool,
    /// Whether the first answer to a code counts AuthN pending too. Default true.
    pub count_authn_pending: bool,
    /// Whether event9 and event10 are counted: they come from the older clientless API. Default true.
    pub count_clientless_tokens: bool,
    /// Whether a permission without a media token counts as event11, play request failed. Default true.
    pub count_play_failed: bool,
    /// Whether decisions of a degradation rule count AuthZ requested and OK. Default true.
    pub count_degraded_authz: bool,
    /// Whether decisions of temporary access count AuthZ requested and OK. Default true.
    pub count_temporary_authz: bool,
    /// Whether a preflight counts granted and denied once a resource, or once with all resources joined. Default true.
    pub preflight_per_resource: bool,
    /// From which distance between a decision and its media token a permission came from Adobe's cache, in milliseconds.
    /// Default 5000: fresh ones differ by 0 to 313.
    pub cached_above_ms: u32,
    /// `sdk_type` of every event. Default `Clientless`.
    pub sdk_type: String,
    /// `sdk_version` of every event. Default `REST V2`.
    pub sdk_version: String,
    /// `server_version` of every event. Default none.
    pub server_version: String,
    /// `proxy` of an MVPD that the configuration calls a proxied one: the API never names the proxy. Default `Unknown`.
    pub proxied_by: String,
    /// `proxy` of MVPDs by their ID, which wins over `proxied_by`. Default none.
    pub proxies: BTreeMap<String, String>,
    /// `sso_mechanism` by the type of profile. Default `platformSSO` platform, `appleSSO` partner, `serviceTokenSSO`
    /// service-token.
    pub sso_mechanisms: BTreeMap<String, String>,
    /// `device_type` by the primary hardware type; others stand for themselves. Default `Desktop` computer, `Tablet` tablet,
    /// `MobilePhone` mobile, `GamesConsole` gameconsole.
    pub device_types: BTreeMap<String, String>,
    /// Files of the public keys (PEM) that service tokens are checked with, by the `kid` that they name. What is found is
    /// counted, and changes no event. Default none.
    pub service_token_keys: BTreeMap<String, PathBuf>,
}

impl Default for RestV2Config {
    fn default() -> RestV2Config {
        RestV2Config {
            secret_file: PathBuf::new(),
            path_prefix: String::new(),
            reorder_seconds: 60,
            dedup_days: 45,
            authn_requested_at: AuthnRequestedAt::Session,
            count_partner_authn: true,
            profiles_complete_login: true,
            count_authn_pending: true,
            count_clientless_tokens: true,
            count_play_failed: true,
            count_degraded_authz: true,
            count_temporary_authz: true,
            preflight_per_resource: true,
            cached_above_ms: 5000,
            sdk_type: "Clientless".to_owned(),
            sdk_version: "REST V2".to_owned(),
            server_version: String::new(),
            proxied_by: "Unknown".to_owned(),
            proxies: BTreeMap::new(),
            sso_mechanisms: words(&[
                ("platformSSO", "platform"),
                ("appleSSO", "partner"),
                ("serviceTokenSSO", "service-token"),
            ]),
            device_types: words(&[
                ("Desktop", "computer"),
                ("Tablet", "tablet"),
                ("MobilePhone", "mobile"),
                ("GamesConsole", "gameconsole"),
            ]),
            service_token_keys: BTreeMap::new(),
        }
    }
}

fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect()
}

/// Which exchange counts AuthN requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthnRequestedAt {
    /// The session that sends the viewer to the MVPD.
    Session,
    /// The redirect that a browser gets.
    UserAgent,
}

/// `[esm]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EsmConfig {
    /// The time zone of the reports, by its IANA name. Default `America/Los_Angeles`; `Etc/GMT+8` where the clock of a
    /// contract knows no summer time.
    pub timezone: Zone,
    /// How long the counts of an hour are known after they were read, in days. Default 400.
    pub dedup_days: u32,
    /// Whether `authz-rejected`, what Adobe refused as an attack, counts as event6 too. Default false.
    pub rejected_is_failed: bool,
    /// Dimensions beside the documented ones. Default none.
    pub dimensions: Vec<String>,
    /// Where reports are fetched. Default `https://mgmt.auth.adobe.com/esm/v3`.
    pub url: String,
    /// Where credentials and tokens are had. Default `https://sp.auth.adobe.com`.
    pub dcr_url: String,
    /// The file of the software statement, as the TVE Dashboard gives it. No default.
    pub software_statement_file: PathBuf,
    /// The file that keeps the client credentials once they were had. Default `esm-client.json`.
    pub credentials_file: PathBuf,
    /// What reports group by beneath the hour, as the path of the API has it; `minute/` before it makes reports by minute.
    /// Default `media-company/proxy/mvpd/requestor-id`: of the published paths by hour the shortest with all that names whose
    /// event it is.
    pub group_by: String,
    /// Rows of one report; a full one is fetched again in parts. Default 10000.
    pub rows: u32,
    /// How long a request may take, in seconds. Default 120.
    pub request_timeout_seconds: u64,
}

impl Default for EsmConfig {
    fn default() -> EsmConfig {
        EsmConfig {
            timezone: Zone(chrono_tz::America::Los_Angeles),
            dedup_days: 400,
            rejected_is_failed: false,
            dimensions: Vec::new(),
            url: "https://mgmt.auth.adobe.com/esm/v3".to_owned(),
            dcr_url: "https://sp.auth.adobe.com".to_owned(),
            software_statement_file: PathBuf::new(),
            credentials_file: PathBuf::from("esm-client.json"),
            group_by: "media-company/proxy/mvpd/requestor-id".to_owned(),
            rows: 10_000,
            request_timeout_seconds: 120,
        }
    }
}

/// What stands for the user agent of events that have none in bulk files. No published bot rule matches it.
pub const STAND_IN_AGENT: &str = "Mozilla/5.0 (server-side Adobe Pass event)";

/// `[bulk]`
///
/// Adobe's limits are keys so that a contract with others can be kept, and a rehearsal needs no hours; exceeding the published
/// ones loses no event, but slows the ingestion of the whole company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkConfig {
    /// Where files are uploaded. Default `https://analytics-collection.adobe.io/aa/collect/v1/events`; with
    /// `analytics-collection-us.` or `-eu.` the data stays there.
    pub url: String,
    /// Where access tokens are had. Default `https://ims-na1.adobelogin.com/ims/token/v3`.
    pub ims_url: String,
    /// The client ID of the OAuth server-to-server credential. No default.
    pub client_id: String,
    /// The file of its secret. No default.
    pub client_secret_file: PathBuf,
    /// Its secret, for the environment: PASSBRIDGE_BULK__CLIENT_SECRET. No default.
    pub client_secret: Secret,
    /// Its scopes, as the Developer Console lists them.
    pub scopes: String,
    /// What the names of visitor groups begin with: the company, so that Adobe finds them. Default `passbridge`.
    pub company: String,
    /// What stands for the user agent of events that have none: a row without one is dropped. Default
    /// `Mozilla/5.0 (server-side Adobe Pass event)`.
    pub user_agent: String,
    /// Where files wait for their upload. Default `bulk`.
    pub dir: PathBuf,
    /// Rows a second that a backfill sends at the most where it says nothing else. Default 2000: one visitor group.
    pub rate: u32,
    /// Rows of a file. Default 40000: what a group takes in 20 seconds.
    pub file_rows: u32,
    /// The longest file, in bytes, as it is sent. Default 100000000, which is Adobe's limit.
    pub file_bytes: u64,
    /// The longest file, in bytes, before it is compressed. Default 1000000000, which is Adobe's limit.
    pub file_bytes_unpacked: u64,
    /// The time between two uploads of any group, in milliseconds. Default 1000, which is Adobe's limit.
    pub call_spacing_ms: u64,
    /// The time between two uploads of a group, in milliseconds. Default 20000, as Adobe advises.
    pub group_spacing_ms: u64,
    /// Rows a second of one group. Default 2000, as Adobe advises.
    pub group_rows_per_second: u32,
    /// For how long a file whose answer was lost must stay unknown to Adobe until it is sent again, in milliseconds.
    /// Default 300000.
    pub lookup_ms: u64,
    /// The first pause before an upload is tried again, in milliseconds; each further one doubles it. Default 2000.
    pub backoff_base_ms: u64,
    /// The longest of these pauses, in milliseconds. Default 120000.
    pub backoff_max_ms: u64,
    /// How long a request may take, in seconds. Default 300.
    pub request_timeout_seconds: u64,
}

impl Default for BulkConfig {
    fn default() -> BulkConfig {
        BulkConfig {
            url: "https://analytics-collection.adobe.io/aa/collect/v1/events".to_owned(),
            ims_url: "https://ims-na1.adobelogin.com/ims/token/v3".to_owned(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            client_secret: Secret::default(),
            scopes: "openid,AdobeID,read_organizations,additional_info.projectedProductContext".to_owned(),
            company: "passbridge".to_owned(),
            user_agent: STAND_IN_AGENT.to_owned(),
            dir: PathBuf::from("bulk"),
            rate: 2_000,
            file_rows: 40_000,
            file_bytes: 100_000_000,
            file_bytes_unpacked: 1_000_000_000,
            call_spacing_ms: 1_000,
            group_spacing_ms: 20_000,
            group_rows_per_second: 2_000,
            lookup_ms: 300_000,
            backoff_base_ms: 2_000,
            backoff_max_ms: 120_000,
            request_timeout_seconds: 300,
        }
    }
}

/// A secret: no log and no message shows it.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "none" } else { "..." })
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub chrono_tz::Tz);

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Zone, String> {
        let refuse =
            || format!("{name:?} is no IANA time zone, such as \"America/Los_Angeles\" or \"Etc/GMT+8\"");
        name.parse().map(Zone).map_err(|_| refuse())
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.name())
    }
}

/// `[serve]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Where `run` listens for HTTP: `off`, a port of the loopback interface, or an address with its port. Default `off`.
    pub listen: Listen,
    /// Whether other programs may post events and exchanges. Default false: only `/healthz` answers.
    pub ingest: bool,
    /// The file of the bearer tokens that let them in, one a line, read again when it changes. No default.
    pub tokens_file: PathBuf,
    /// How many events may wait in the buffer before no more are taken by HTTP; 0 is no limit. Default 20000000, some 12 GB.
    pub backlog_max_events: u64,
    /// How long the body of a request may take, in seconds. Default 30.
    pub request_timeout_seconds: u64,
    /// How long a connection may be silent, in seconds. Default 75: longer than reverse proxies keep theirs.
    pub idle_timeout_seconds: u64,
}

impl Default for ServeConfig {
    fn default() -> ServeConfig {
        ServeConfig {
            listen: Listen::Off,
            ingest: false,
            tokens_file: PathBuf::new(),
            backlog_max_events: 20_000_000,
            request_timeout_seconds: 30,
            idle_timeout_seconds: 75,
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        match (text, text.parse::<u16>(), text.parse::<SocketAddr>()) {
            ("off", ..) => Ok(Listen::Off),
            (_, Ok(port), _) => Ok(Listen::At(loopback(port))),
            (.., Ok(address)) => Ok(Listen::At(address)),
            _ => Err(format!(
                "{text:?} must be \"off\", a port such as \"8090\", or an address such as \"127.0.0.1:8090\""
            )),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Listen, String> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> String {
        listen.to_string()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => out.write_str("off"),
            Listen::At(address) => address.fmt(out),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub level: LogLevel,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What ended a command.
    Error,
    /// What wants attention.
    Warn,
    /// What was done.
    Info,
    /// How it was done.
    Debug,
    /// Everything.
    Trace,
}
