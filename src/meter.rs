//! Counters of this process's own work, from zero in each process. `/metrics` shows them beside the buffer's counts.

use std::sync::LazyLock;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

/// Names and their values. A value is a host, a word, a path or a status, and never comes from an event.
pub type Labels = Vec<(&'static str, String)>;

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// The bounds for attempts, in seconds. A near host answers within the first bound; the last is the default timeout.
const ATTEMPT_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The bounds for groups, in submissions: up to the most that `serve` stores together.
const GROUP_SUBMISSIONS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The counters of one process.
pub struct Meter {
    /// Attempts to send a hit, by `host`, `outcome` and `cause`.
    pub attempts: Family<Labels, Counter>,
    /// How long the attempts took, by `host`.
    pub attempt_seconds: Histograms,
    /// Lanes with a request under way, by `host`.
    pub lanes_busy: Family<Labels, Gauge>,
    /// Requests to the HTTP collector, by `path` and `status`.
    pub collector_requests: Family<Labels, Counter>,
    /// Submissions that wait for their receipt.
    pub collector_waiting: Family<Labels, Gauge>,
    /// Submissions that were stored together.
    pub collector_group: Histograms,
}

/// The counters of this process.
pub static METER: LazyLock<Meter> = LazyLock::new(|| Meter {
    attempts: Family::default(),
    attempt_seconds: Family::new_with_constructor(|| Histogram::new(ATTEMPT_SECONDS)),
    lanes_busy: Family::default(),
    collector_requests: Family::default(),
    collector_waiting: Family::default(),
    collector_group: Family::new_with_constructor(|| Histogram::new(GROUP_SUBMISSIONS)),
});

/// Counts something as under way until this value is dropped.
pub struct UnderWay(Gauge);

impl UnderWay {
    pub fn begin(gauge: &Gauge) -> UnderWay {
        gauge.inc();
        UnderWay(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
