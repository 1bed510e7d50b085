//! The outcomes of attempts: collection reports them, the drain decides on them, and the buffer records them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Instant;
use crate::suite::{CollectionUrl, Rsid};
use crate::word::words;

/// Network Authentication Required (RFC 6585): a login portal of the network answers instead of the host.
const NETWORK_LOG_IN: u16 = 511;

/// The number of an event in its buffer, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sequence(pub i64);

/// What a reply, or a missing reply, means for the hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx that says SUCCESS.
    Delivered,
    /// The reply is about the event, which can never succeed as it is.
    Rejected(DeadReason),
    /// FAILURE without a reason. An event that gets this several times is dead, unless its suite is at fault.
    BareFailure,
    /// A 4xx other than 404, 408 and 429. The event is at fault if a later hit of its suite succeeds. The
    /// suite is at fault if it refuses several events in a row. Otherwise the cause stays unknown.
    Refused { status: u16 },
    /// The hit was surely not received, so it is sent again.
    Retry {
        cause: NotReceived,
        /// What the server asked for in `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Bytes were sent, and no reply tells whether the hit was counted.
    Ambiguous(Doubt),
    /// The settings of the suite are wrong, unless another hit of the suite succeeds.
    SuiteFault(SuiteFault),
}

/// Why a hit was surely not received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReceived {
    /// No connection was established: it was refused, or took too long.
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("cannot resolve the name: {0}")]
    Resolve(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The text names the proxy and its port.
    #[error("the proxy {0}")]
    Proxy(String),
    #[error("cannot open a socket: {0}")]
    OpenFiles(String),
    /// The connection broke before the first byte of the request was written.
    #[error("the connection broke before the first byte was written")]
    BeforeFirstByte,
    #[error("HTTP {0}")]
    Status(u16),
}

impl Outcome {
    /// Why it is unknown whether the hit was counted; `None` if it is known.
    pub fn doubt(&self) -> Option<&Doubt> {
        if let Outcome::Ambiguous(doubt) = self { Some(doubt) } else { None }
    }

    /// What the attempt got: the reply, or why there is none. `None` after SUCCESS.
    pub fn reply(&self) -> Option<String> {
        match self {
            Outcome::Delivered => None,
            Outcome::Rejected(reason) => Some(reason.to_string()),
            Outcome::BareFailure => Some(DeadReason::GeneralFailure.to_string()),
            Outcome::Refused { status } => Some(format!("HTTP {status}")),
            Outcome::SuiteFault(fault) => Some(fault.to_string()),
            Outcome::Retry { .. } => self.trouble().map(|(_, cause)| cause),
            Outcome::Ambiguous(doubt) => Some(doubt.to_string()),
        }
    }

    /// The words by which attempts are counted: what became of the hit, and the kind of the host's trouble, if any.
    pub fn words(&self) -> [&'static str; 2] {
        let what = match self {
            Outcome::Delivered => "delivered",
            Outcome::Rejected(_) => "rejected",
            Outcome::BareFailure => "bare_failure",
            Outcome::Refused { .. } => "refused",
            Outcome::Retry { .. } => "not_received",
            Outcome::Ambiguous(_) => "in_doubt",
            Outcome::SuiteFault(_) => "suite_fault",
        };
        [what, self.trouble().map_or("", |(kind, _)| kind.as_str())]
    }

    /// The kind and the cause of the host's trouble; `None` if the outcome is not about the host.
    pub fn trouble(&self) -> Option<(TroubleKind, String)> {
        match self {
            Outcome::Retry { cause, retry_after: Some(asked) } => {
                Some((cause.kind(), format!("{cause}, and asks for a rest of {} s", asked.as_secs())))
            }
            Outcome::Retry { cause, retry_after: None } => Some((cause.kind(), cause.to_string())),
            Outcome::Ambiguous(doubt) => doubt.kind().map(|kind| (kind, doubt.to_string())),
            Outcome::Delivered
            | Outcome::Rejected(_)
            | Outcome::BareFailure
            | Outcome::Refused { .. }
            | Outcome::SuiteFault(_) => None,
        }
    }
}

impl NotReceived {
    pub fn kind(&self) -> TroubleKind {
        match self {
            NotReceived::Connect(_) => TroubleKind::Connect,
            NotReceived::Resolve(_) => TroubleKind::Resolve,
            NotReceived::Tls(_) => TroubleKind::Tls,
            NotReceived::Proxy(_) => TroubleKind::Proxy,
            NotReceived::OpenFiles(_) => TroubleKind::OpenFiles,
            NotReceived::BeforeFirstByte => TroubleKind::Broken,
            NotReceived::Status(429) => TroubleKind::Throttled,
            NotReceived::Status(_) => TroubleKind::ServerError,
        }
    }

    /// Whether no server answered at all. The event is never the cause of this.
    pub fn is_unreachable(&self) -> bool {
        !matches!(self, NotReceived::Status(_))
    }
}

/// Why it is unknown whether a hit was received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The connection broke after the first byte of the request was written.
    #[error("the connection broke after the first byte was written: {0}")]
    Broken(String),
    #[error("no reply in time")]
    TimedOut,
    #[error("HTTP {0} without a readable status")]
    Unreadable(u16),
    /// Another status that does not tell whether the hit was counted, such as 302, 502 or 504.
    #[error("HTTP {0}")]
    Status(u16),
    /// Some hits of an event succeeded, and the next hit of this event did not.
    #[error("{counted} of its {of} hits were counted, the next one was not")]
    SomeCounted {
        /// Hits that were answered SUCCESS.
        counted: usize,
        of: usize,
    },
    /// The process ended between the first byte and the record of the reply.
    #[error("the run ended before the reply was recorded")]
    RunEnded,
}

impl Doubt {
    /// The kind of the host's trouble; `None` if the doubt is not about the host.
    fn kind(&self) -> Option<TroubleKind> {
        match self {
            Doubt::Broken(_) => Some(TroubleKind::Broken),
            Doubt::TimedOut => Some(TroubleKind::Timeout),
            Doubt::Status(status) if *status >= 500 && *status != NETWORK_LOG_IN => {
                Some(TroubleKind::ServerError)
            }
            Doubt::Status(_) | Doubt::Unreadable(_) | Doubt::SomeCounted { .. } | Doubt::RunEnded => None,
        }
    }
}

/// Why a suite was stopped for the rest of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteFault {
    #[error("Adobe says \"NO account\": the report suite ID is missing or unknown to this collection host")]
    NoAccount,
    #[error("HTTP 404: the collection URL does not lead to a Data Insertion API")]
    NotFound,
    /// Several events in a row were refused, and no later event of the suite succeeded.
    #[error("{cause} (events refused in a row: {events})")]
    RefusesAll { cause: String, events: u32 },
}

/// Why an event is dead: a reply about this event, or a limit that the event breaks. Never a fault of the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// FAILURE with a reason, in Adobe's words.
    Adobe(String),
    /// FAILURE without a reason, several times.
    GeneralFailure,
    /// An HTTP status about this event alone.
    Refused(u16),
    /// A count that needs more single hits than passbridge sends for one event.
    CountTooLarge(u32),
}

impl DeadReason {
    /// The code by which the reason is stored and grouped.
    pub fn code(&self) -> String {
        match self {
            DeadReason::Adobe(words) => format!("adobe:{words}"),
            DeadReason::GeneralFailure => "general_failure".to_owned(),
            DeadReason::Refused(status) => format!("http:{status}"),
            DeadReason::CountTooLarge(count) => format!("count_too_large:{count}"),
        }
    }

    /// Reads a stored code. An unknown code is a reason in Adobe's words.
    pub fn from_code(code: &str) -> DeadReason {
        let known = match code.split_once(':') {
            Some(("http", status)) => status.parse().ok().map(DeadReason::Refused),
            Some(("count_too_large", count)) => count.parse().ok().map(DeadReason::CountTooLarge),
            Some(("adobe", words)) => Some(DeadReason::Adobe(words.to_owned())),
            _ if code == "general_failure" => Some(DeadReason::GeneralFailure),
            _ => None,
        };
        known.unwrap_or_else(|| DeadReason::Adobe(code.to_owned()))
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadReason::Adobe(words) => write!(out, "Adobe says {words:?}"),
            DeadReason::GeneralFailure => write!(out, "Adobe says FAILURE without a reason"),
            DeadReason::Refused(status) => {
                let how = if (200..300).contains(status) { " without a readable status" } else { "" };
                write!(out, "HTTP {status}{how} for this event while others of its suite succeed")
            }
            DeadReason::CountTooLarge(count) => write!(
                out,
                "count {count} would take {count} hits: set --count-with-id on the suite once Adobe's handling of \
                 eventN=count:id is verified there, or --event-ids off, or split the event at its source, then requeue"
            ),
        }
    }
}

impl Serialize for DeadReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.code())
    }
}

/// What kept a run from sending to a host or to one of its suites, or slowed it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub host: CollectionUrl,
    /// The suite; `None` if the trouble affects every suite of the host.
    pub rsid: Option<Rsid>,
    pub kind: TroubleKind,
    /// The error or the reply, in one line.
    pub cause: String,
    /// How many attempts of the run met the trouble; for `Refused`, how many events were refused.
    pub attempts: u64,
    /// When the trouble began: the start of the first run in an unbroken row of runs that met it.
    pub since: Instant,
    /// Whether the run stopped sending to this host or suite because of the trouble.
    pub stopped: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Refused events that wait. If the suite succeeds before such an event is refused again, the event is at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Sequence>,
    /// Whether the suite has succeeded since the run ended. Set when the trouble is read from the buffer.
    #[serde(skip)]
    pub has_succeeded_since: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trouble { host, rsid, kind, cause, attempts, since, stopped, advice, .. } = self;
        write!(out, "{host}")?;
        if let Some(rsid) = rsid {
            write!(out, ", suite {rsid}")?;
        }
        let stopped = if *stopped { "stopped for this run; " } else { "" };
        let since = since.to_the_second();
        // The cause of a refusal says how many events were refused.
        let met =
            if *kind == TroubleKind::Refused { String::new() } else { format!("attempts: {attempts}, ") };
        write!(out, ": {stopped}{cause} ({met}since {since})")?;
        advice.iter().try_for_each(|advice| write!(out, "; {advice}"))
    }
}

words! {
    /// The kinds of trouble between passbridge and Analytics.
    #[derive(PartialOrd, Ord)]
    pub enum TroubleKind {
        /// The host's name has no address, or the DNS does not answer.
        Resolve = "resolve",
        /// No connection: refused, unreachable, reset, or not established in time.
        Connect = "connect",
        /// No reply in time.
        Timeout = "timeout",
        /// The TLS handshake failed, for example because of the certificate.
        Tls = "tls",
        /// The proxy cannot be reached, refuses the connection, or is no proxy.
        Proxy = "proxy",
        /// This process may not open another socket or file.
        OpenFiles = "open_files",
        /// The host answers 429.
        Throttled = "throttled",
        /// 408, or 5xx except 511.
        ServerError = "server_error",
        /// Connections break before the reply.
        Broken = "broken",
        /// The suite or some of its events were refused, or the suite's account or address is unknown.
        Refused = "refused",
    }
}

impl TroubleKind {
    /// The text for a host to which nothing is sent because of this trouble.
    pub fn plight(self) -> &'static str {
        match self {
            TroubleKind::OpenFiles => "this process cannot open another socket to the collection host",
            TroubleKind::Throttled => "the collection host throttles",
            TroubleKind::Proxy => "the proxy lets nothing through to the collection host",
            TroubleKind::ServerError => "the collection host answers with errors",
            TroubleKind::Broken => "the collection host breaks connections",
            TroubleKind::Timeout => "the collection host does not answer in time",
            TroubleKind::Resolve | TroubleKind::Connect | TroubleKind::Tls | TroubleKind::Refused => {
                "the collection host is down"
            }
        }
    }

    /// What to do about the cause. Says nothing about the events.
    pub fn advice(self) -> &'static str {
        match self {
            TroubleKind::Resolve => "check the suite's collection URL and this host's DNS",
            TroubleKind::Connect => "check the suite's collection URL, the firewall and HTTPS_PROXY",
            TroubleKind::Timeout => {
                "check the network; raise delivery.request_timeout_seconds where replies are slow"
            }
            TroubleKind::Tls => {
                "check what is named, a certificate or a proxy (HTTPS_PROXY, NO_PROXY), and this host's root certificates and clock"
            }
            TroubleKind::Proxy => "check HTTPS_PROXY and ALL_PROXY, and the user and password in them",
            TroubleKind::OpenFiles => {
                "raise the limit on open files (LimitNOFILE=, ulimit -n) or lower delivery.lanes"
            }
            TroubleKind::Throttled => {
                "lower delivery.rate_per_host or the suite's --rate, or ask Adobe for a higher limit"
            }
            TroubleKind::ServerError | TroubleKind::Broken => {
                "wait until the host has recovered, and ask Adobe where it lasts"
            }
            TroubleKind::Refused => {
                "check the suite (passbridge suite check RSID) and what answers at its collection URL: a portal, a proxy or a \
                 firewall may answer in its place"
            }
        }
    }
}
