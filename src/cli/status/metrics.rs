//! The status as metrics of Prometheus, in the text format OpenMetrics. Labels are suites, states, reasons and hosts: no label
//! has a value that only an event names, so that no feed can multiply the series.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::look::{DrainState, StatusReport};
use super::monitor::Check;
use crate::buffer::{Accounting, RunRecord};
use crate::event::Instant;
use crate::serve::Version;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Sample = (Labels, f64);

pub(super) fn text(
    report: &StatusReport,
    accounts: &[(Option<String>, Accounting)],
    checks: &[Check],
) -> String {
    let mut metrics = Metrics { registry: Registry::with_prefix("passbridge") };
    metrics.house(report, checks);
    metrics.suites(report, accounts);
    metrics.drains(report);
    metrics.process();
    let mut text = String::new();
    encode(&mut text, &metrics.registry).expect("a string takes every text");
    text
}

struct Metrics {
    registry: Registry,
}

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).set(value);
        }
        self.registry.register(name, help, family);
    }

    fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    fn house(&mut self, report: &StatusReport, checks: &[Check]) {
        let status = &report.status;
        let Version { version, commit, schema } = Version::current();
        let commit = commit.unwrap_or_default().to_owned();
        let build = vec![("version", version.to_owned()), ("commit", commit), ("schema", schema.to_string())];
        self.gauge(
            "build_info",
            "The version of the program, its commit and the schema that it knows; always 1",
            [(build, 1.0)],
        );
        let mut broken: Vec<(&str, u64)> = Vec::new();
        for check in checks {
            match broken.iter_mut().find(|(name, _)| *name == check.check) {
                Some((_, count)) => *count += u64::from(check.broken),
                None => broken.push((check.check, u64::from(check.broken))),
            }
        }
        let broken = broken.into_iter().map(|(check, count)| (label("check", check), count as f64));
        self.gauge("checks_broken", "Limits of status --check that are broken, by check", broken);
        let oldest = seconds_since(status.oldest_stored_at, report.at);
        self.gauge(
            "oldest_waiting_seconds",
            "Time since the oldest event that could be sent was stored; 0 if none waits",
            plain(oldest),
        );
        let happened = seconds_since(status.oldest_sendable_at, report.at);
        self.gauge(
            "oldest_waiting_occurred_seconds",
            "Time since the oldest event that could be sent happened; 0 if none waits",
            plain(happened),
        );
        self.gauge(
            "parked_events",
            "Pending events whose requestor has no suite, or whose suite is paused or blocked",
            plain(status.parked as f64),
        );
        self.gauge(
            "in_doubt_events",
            "Pending events with an attempt of unknown outcome",
            plain(status.in_doubt as f64),
        );
        self.gauge(
            "in_files_events",
            "Pending events in bulk files whose answer is not recorded",
            plain(status.in_files as f64),
        );
        self.gauge(
            "over_count_units",
            "The most units that Analytics may have counted too often",
            plain(status.over_count.worst_case_units as f64),
        );
        self.gauge("inbox_rows", "Rows that wait in the inbox", plain(status.inbox as f64));
        self.gauge(
            "account_balanced",
            "1 if the account balances, else 0",
            plain(f64::from(u8::from(status.accounting.balanced))),
        );
        self.amounts(report);
    }

    /// What lies where, in this house.
    fn amounts(&mut self, report: &StatusReport) {
        let status = &report.status;
        let dead =
            status.dead_by_reason.iter().map(|one| (label("reason", &one.reason.code()), one.events as f64));
        self.gauge("dead_letters", "Dead letters by reason", dead);
        self.gauge(
            "buffer_bytes",
            "Size of the buffer with its write-ahead log",
            plain(report.buffer.bytes as f64),
        );
        self.gauge(
            "buffer_wal_bytes",
            "Size of the buffer's write-ahead log",
            plain(report.buffer.wal_bytes as f64),
        );
        self.gauge(
            "disk_free_bytes",
            "Free space on the buffer's disk",
            plain(report.buffer.free_bytes as f64),
        );
        let backfills = report.backfills.iter().map(|one| {
            let labels = vec![("backfill", one.job.name.to_string()), ("state", one.job.state.to_string())];
            (labels, one.counts.pending as f64)
        });
        self.gauge("backfill_pending_events", "Pending events of each open backfill", backfills);
    }

    fn suites(&mut self, report: &StatusReport, accounts: &[(Option<String>, Accounting)]) {
        let of = |rsid: &Option<String>| label("suite", rsid.as_deref().unwrap_or_default());
        let now = |rsid: &Option<String>, state, value: i64| {
            let mut labels = of(rsid);
            labels.push(("state", String::from(state)));
            (labels, value as f64)
        };
        let states = |pick: fn(&crate::buffer::Amount) -> i64| {
            accounts.iter().flat_map(move |(rsid, account)| {
                [
                    ("pending", &account.pending),
                    ("dead", &account.dead),
                    ("held", &account.held),
                    ("discarded", &account.discarded),
                ]
                .map(|(state, amount)| now(rsid, state, pick(amount)))
            })
        };
        self.gauge(
            "events",
            "Events by suite and state; an empty suite has the requestors without one",
            states(|amount| amount.events),
        );
        self.gauge(
            "units",
            "Units by suite and state: an event counts as often as its count says",
            states(|amount| amount.units),
        );
        let sums = |pick: fn(&Accounting) -> i64| {
            accounts.iter().map(move |(rsid, account)| (of(rsid), pick(account) as f64))
        };
        self.counter(
            "events_ingested",
            "Events that were ever stored, by suite",
            sums(|account| account.ingested.events),
        );
        self.counter(
            "units_ingested",
            "Units that were ever stored, by suite",
            sums(|account| account.ingested.units),
        );
        self.counter(
            "events_delivered",
            "Events that were ever delivered, by suite",
            sums(|account| account.delivered.events + account.expired_delivered.events),
        );
        self.counter(
            "units_delivered",
            "Units that were ever delivered, by suite",
            sums(|account| account.delivered.units + account.expired_delivered.units),
        );
        self.requestors(report);
    }

    /// When something last came in or went out, and which suites flow.
    fn requestors(&mut self, report: &StatusReport) {
        let of = |rsid: &Option<String>| label("suite", rsid.as_deref().unwrap_or_default());
        let requestors = &report.status.requestors;
        let latest = |pick: fn(&crate::buffer::RequestorStatus) -> Option<Instant>| {
            let mut latest: Vec<(Option<String>, Instant)> = Vec::new();
            for (one, at) in requestors.iter().filter_map(|one| Some((one, pick(one)?))) {
                match latest.iter_mut().find(|(rsid, _)| *rsid == one.rsid) {
                    Some((_, known)) => *known = at.max(*known),
                    None => latest.push((one.rsid.clone(), at)),
                }
            }
            latest.into_iter().map(|(rsid, at)| (of(&rsid), seconds(at))).collect::<Vec<_>>()
        };
        self.gauge(
            "last_event_timestamp_seconds",
            "When a live event of a suite's requestors last came in",
            latest(|one| one.arrived_at),
        );
        self.gauge(
            "last_delivery_timestamp_seconds",
            "When an event of a suite was last delivered",
            latest(|one| one.delivered_at),
        );
        let mut parked: Vec<Labels> = Vec::new();
        for one in requestors.iter().filter(|one| one.rsid.is_some()) {
            let mut labels = of(&one.rsid);
            labels.push(("state", one.parked.unwrap_or("flowing").to_owned()));
            if !parked.contains(&labels) {
                parked.push(labels);
            }
        }
        self.gauge(
            "suite_state",
            "The state of each suite: flowing, paused or blocked; always 1",
            parked.into_iter().map(|labels| (labels, 1.0)),
        );
    }

    fn drains(&mut self, report: &StatusReport) {
        let running = f64::from(u8::from(report.drain.state == DrainState::Running));
        self.gauge("drain_running", "1 while a drain is under way", plain(running));
        let cut_off = f64::from(u8::from(report.drain.state == DrainState::CutOff));
        self.gauge(
            "drain_cut_off",
            "1 if the last drain ended without a record, by a kill or a loss of power",
            plain(cut_off),
        );
        let completed = report.last_completed_at.map(|at| (Labels::new(), seconds(at)));
        self.gauge("drain_completed_timestamp_seconds", "When a drain was last completed", completed);
        let last = report.status.runs.iter().find(|run| run.finished_at.is_some());
        let took = last.and_then(|run| Some(seconds(run.finished_at?) - seconds(run.started_at)));
        self.gauge(
            "drain_duration_seconds",
            "How long the last drain took",
            took.map(|took| (Labels::new(), took)),
        );
        let counts = ["delivered", "dead", "held", "retries", "hits"]
            .into_iter()
            .filter_map(|what| Some((label("what", what), number(last?, what)?)));
        self.gauge("drain_last", "What the last drain did, by kind of count", counts);
        let troubles = report.troubles.iter().map(|trouble| {
            let suite = trouble.rsid.as_ref().map_or_else(String::new, ToString::to_string);
            let labels =
                vec![("host", trouble.host.to_string()), ("suite", suite), ("kind", word(&trouble.kind))];
            (labels, f64::from(u8::from(trouble.stopped)))
        });
        self.gauge("trouble", "Each trouble of the last drain: 1 if it stopped the host or suite for the run, 0 if it slowed it", troubles);
    }

    /// What this process takes, where the system tells. Names without our prefix, as every exporter has them.
    fn process(&mut self) {
        let Ok(memory) = fs::read_to_string("/proc/self/status") else { return };
        let resident = memory.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
        });
        self.gauge(
            "process_resident_memory_bytes",
            "Memory of this process",
            resident.map(|kib| (Labels::new(), kib * 1024.0)),
        );
        let files = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        self.gauge(
            "process_open_fds",
            "Open files of this process",
            files.map(|files| (Labels::new(), files as f64)),
        );
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn plain(value: f64) -> [Sample; 1] {
    [(Labels::new(), value)]
}

fn seconds(at: Instant) -> f64 {
    at.nanos() as f64 / 1e9
}

fn seconds_since(at: Option<Instant>, now: Instant) -> f64 {
    at.map_or(0.0, |at| (seconds(now) - seconds(at)).max(0.0))
}

/// A word as JSON writes it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One number of a run's summary.
fn number(run: &RunRecord, name: &str) -> Option<f64> {
    run.summary.as_ref()?.get(name)?.as_f64()
}
