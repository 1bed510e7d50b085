//! The configuration file: every section, every key, its unit and its default.
//!
//! Unknown keys are refused. Finding and reading the file is the command line's work; each room gets its own section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
            future_skew_seconds: 300,
            min_free_bytes: 256 << 20,
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
