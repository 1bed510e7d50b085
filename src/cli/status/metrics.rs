//! The status as metrics of Prometheus, in the text format OpenMetrics. Labels are suites, states, hosts and the like.
//! No label takes its value from an event, so that no feed can multiply the series.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::look::{DrainState, StatusReport};
use super::monitor::{Check, overdue};
use crate::buffer::{Accounting, Amount, RequestorStatus};
use crate::cli::code::Code;
use crate::delivery::{DeadReason, Trouble};
use crate::event::Instant;
use crate::meter::{Labels, METER};
use crate::postgres::{RequestorLine, SharedStatus, SliceLine};
use crate::serve::Version;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The most reasons of dead letters that have a series each. Adobe has fewer, but another server could invent many.
const REASONS_MAX: usize = 20;

type Sample = (Labels, f64);
type Accounts = [(Option<String>, Accounting)];

pub(super) fn text(report: &StatusReport, accounts: &Accounts, checks: &[Check]) -> String {
    written(|metrics| {
        metrics.house(report, checks);
        metrics.suites(accounts);
        metrics.requestors(report);
        metrics.drains(report, checks);
    })
}

/// The metrics if the buffer cannot be read: those of the process, and the error code for an alert.
pub(super) fn of_failure(code: Code) -> String {
    let failed = (label("code", &code.word()), 1.0);
    written(|metrics| {
        metrics.gauge("status_failed", "1 if the buffer cannot be read, by error code", [failed])
    })
}

fn written(of_buffer: impl FnOnce(&mut Metrics)) -> String {
    let mut metrics = Metrics { registry: Registry::with_prefix("passbridge") };
    metrics.build();
    of_buffer(&mut metrics);
    metrics.own();
    metrics.process();
    let mut text = String::new();
    encode(&mut text, &metrics.registry).expect("a string takes every text");
    text
}

/// The metrics of a buffer on PostgreSQL. Those that mean the same as for a file have the same names.
pub(super) fn shared_text(status: &SharedStatus, checks: &[Check]) -> String {
    written(|metrics| {
        metrics.checks(checks);
        metrics.shared(status);
    })
}

struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Samples with the same labels add up.
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    /// A gauge without labels. If there is no value, it has no sample.
    fn value(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        self.gauge(name, help, value.into().map(|value| (Labels::new(), value)));
    }

    fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    fn build(&mut self) {
        let Version { version, commit, schema } = Version::current();
        let commit = commit.unwrap_or_default().to_owned();
        let build = vec![("version", version.to_owned()), ("commit", commit), ("schema", schema.to_string())];
        self.gauge("build_info", "The program, its commit and its schema; always 1", [(build, 1.0)]);
    }

    fn checks(&mut self, checks: &[Check]) {
        let broken = checks.iter().map(|one| (label("check", one.check), f64::from(u8::from(one.broken))));
        self.gauge("checks_broken", "Limits of status --check that are broken, by check", broken);
    }

    fn house(&mut self, report: &StatusReport, checks: &[Check]) {
        let (status, buffer) = (&report.status, &report.buffer);
        self.checks(checks);
        let since = |at: Option<Instant>| at.map_or(0.0, |at| (seconds(report.at) - seconds(at)).max(0.0));
        let (stored, happened) = (since(status.oldest_stored_at), since(status.oldest_sendable_at));
        self.value("oldest_waiting_seconds", "Time since the oldest event that could go was stored", stored);
        self.value("oldest_waiting_occurred_seconds", "Time since the oldest of them happened", happened);
        self.value("parked_events", "Pending events that wait for a suite to flow", status.parked as f64);
        self.value("in_doubt_events", "Pending events with an attempt in doubt", status.in_doubt as f64);
        self.value("in_files_events", "Pending events in unanswered bulk files", status.in_files as f64);
        let over = status.over_count.worst_case_units as f64;
        self.value("over_count_units", "The most units that Analytics may have counted too often", over);
        self.value("inbox_rows", "Rows that wait in the inbox", status.inbox as f64);
        let is_balanced = f64::from(u8::from(status.accounting.balanced));
        self.value("account_balanced", "1 if the account balances, else 0", is_balanced);
        let dead = status.dead_by_reason.iter().enumerate().map(|(place, one)| {
            let reason = match &one.reason {
                DeadReason::CountTooLarge(_) => "count_too_large".to_owned(),
                _ if place >= REASONS_MAX => "other".to_owned(),
                reason => reason.code(),
            };
            (label("reason", &reason), one.events as f64)
        });
        self.gauge("dead_letters", "Dead letters by reason", dead);
        self.value("buffer_bytes", "Size of the buffer with its write-ahead log", buffer.bytes as f64);
        self.value("buffer_wal_bytes", "Size of the buffer's write-ahead log", buffer.wal_bytes as f64);
        self.value("disk_free_bytes", "Free space on the buffer's disk", buffer.free_bytes as f64);
        let backfills = report.backfills.iter().map(|one| {
            let labels = vec![("backfill", one.job.name.to_string()), ("state", one.job.state.to_string())];
            (labels, one.counts.pending as f64)
        });
        self.gauge("backfill_pending_events", "Pending events of each open backfill", backfills);
    }

    fn suites(&mut self, accounts: &Accounts) {
        let states = |pick: fn(&Amount) -> i64| {
            accounts.iter().flat_map(move |(rsid, account)| {
                let Accounting { pending, dead, held, discarded, .. } = account;
                [("pending", pending), ("dead", dead), ("held", held), ("discarded", discarded)].map(
                    |(state, amount)| ([suite(rsid), label("state", state)].concat(), pick(amount) as f64),
                )
            })
        };
        self.gauge("events", "Events by suite and state", states(|amount| amount.events));
        self.gauge("units", "Units by suite and state: the sum of counts", states(|amount| amount.units));
        let sums = |pick: fn(&Accounting) -> i64| {
            accounts.iter().map(move |(rsid, account)| (suite(rsid), pick(account) as f64))
        };
        self.counter("events_ingested", "Events ever stored", sums(|account| account.ingested.events));
        self.counter("units_ingested", "Units ever stored", sums(|account| account.ingested.units));
        let events = sums(|account| account.delivered.events + account.expired_delivered.events);
        self.counter("events_delivered", "Events ever delivered, by suite", events);
        let units = sums(|account| account.delivered.units + account.expired_delivered.units);
        self.counter("units_delivered", "Units ever delivered, by suite", units);
        let expired = sums(|account| account.expired_delivered.events + account.expired_discarded.events);
        self.counter("events_expired", "Events that retention deleted, by suite", expired);
    }

    /// For each suite: when a live event last came in, when events last went out, and whether the suite flows.
    fn requestors(&mut self, report: &StatusReport) {
        let requestors = &report.status.requestors;
        let latest = |pick: fn(&RequestorStatus) -> Option<Instant>| {
            let mut latest: BTreeMap<Labels, Instant> = BTreeMap::new();
            for (one, at) in requestors.iter().filter_map(|one| Some((one, pick(one)?))) {
                latest.entry(suite(&one.rsid)).and_modify(|known| *known = at.max(*known)).or_insert(at);
            }
            latest.into_iter().map(|(labels, at)| (labels, seconds(at)))
        };
        let (arrived, delivered) = (latest(|one| one.arrived_at), latest(|one| one.delivered_at));
        self.gauge("last_event_timestamp_seconds", "When a live event last came in, by suite", arrived);
        self.gauge("last_delivery_timestamp_seconds", "When events last went out, by suite", delivered);
        let state = |one: &RequestorStatus| label("state", one.parked.unwrap_or("flowing"));
        let known = requestors.iter().filter(|one| one.rsid.is_some());
        let states: BTreeSet<Labels> = known.map(|one| [suite(&one.rsid), state(one)].concat()).collect();
        let states = states.into_iter().map(|labels| (labels, 1.0));
        self.gauge("suite_state", "The state of each suite: flowing, paused or blocked; always 1", states);
    }

    fn drains(&mut self, report: &StatusReport, checks: &[Check]) {
        let is = |state| f64::from(u8::from(report.drain.state == state));
        self.value("drain_running", "1 while a drain is under way", is(DrainState::Running));
        self.value("drain_cut_off", "1 if the last drain ended without a record", is(DrainState::CutOff));
        let completed = report.last_completed_at.map(seconds);
        self.value("drain_completed_timestamp_seconds", "When a drain was last completed", completed);
        let last = report.status.runs.iter().find(|run| run.finished_at.is_some());
        let took = last.and_then(|run| Some(seconds(run.finished_at?) - seconds(run.started_at)));
        self.value("drain_duration_seconds", "How long the last drain took", took);
        let counts = ["delivered", "dead", "held", "retries", "hits"]
            .into_iter()
            .filter_map(|what| Some((label("what", what), last?.summary.as_ref()?.get(what)?.as_f64()?)));
        self.gauge("drain_last", "What the last drain did, by kind of count", counts);
        let labels = |one: &Trouble| {
            let rsid = one.rsid.as_ref().map(ToString::to_string);
            [label("host", &one.host.to_string()), suite(&rsid), label("kind", one.kind.as_str())].concat()
        };
        let is_alarm = |one: &Trouble| one.stopped || overdue(checks, one);
        let troubles = report.troubles.iter().map(|one| (labels(one), f64::from(u8::from(is_alarm(one)))));
        self.gauge(
            "trouble",
            "Troubles of the last drain: 1 if it stops the host or suite, else 0",
            troubles,
        );
        let attempts = report.troubles.iter().map(|one| (labels(one), one.attempts as f64));
        self.gauge("trouble_attempts", "Attempts of the last drain that met each trouble", attempts);
    }

    fn shared(&mut self, status: &SharedStatus) {
        let SharedStatus { parked, in_doubt, under_way, over_count_max, accounting, workers, .. } = status;
        self.value("parked_events", "Pending events that wait for a suite to flow", *parked as f64);
        self.value("in_doubt_events", "Pending events with an attempt in doubt", *in_doubt as f64);
        self.value("under_way_events", "Attempts that live workers make", *under_way as f64);
        let over = "The most units that Analytics may have counted too often";
        self.value("over_count_units", over, *over_count_max as f64);
        let is_balanced = f64::from(u8::from(accounting.balanced));
        self.value("account_balanced", "1 if the account balances, else 0", is_balanced);
        let mut suites: BTreeMap<Labels, [f64; 6]> = BTreeMap::new();
        for RequestorLine { rsid, ingested, pending, delivered, dead, held, discarded, .. } in
            &status.requestors
        {
            let own = [ingested, delivered, pending, dead, held, discarded];
            let sums = suites.entry(suite(rsid)).or_default();
            sums.iter_mut().zip(own).for_each(|(sum, more)| *sum += *more as f64);
        }
        let of = |place: usize| suites.iter().map(move |(suite, sums)| (suite.clone(), sums[place]));
        self.counter("events_ingested", "Events ever stored", of(0));
        self.counter("events_delivered", "Events ever delivered, by suite", of(1));
        let states = (2..).zip(["pending", "dead", "held", "discarded"]);
        let states: Vec<Sample> = states
            .flat_map(|(place, state)| {
                of(place).map(move |(suite, sum)| ([suite, label("state", state)].concat(), sum))
            })
            .collect();
        self.gauge("events", "Events by suite and state", states);
        let alive = workers.iter().filter(|worker| worker.is_alive).count();
        self.value("workers_alive", "Workers that hold a lease", alive as f64);
        let slices = |pick: fn(&SliceLine) -> f64| {
            status.slices.iter().map(move |line| (label("suite", &line.rsid), pick(line)))
        };
        self.gauge("slices", "Slices by suite", slices(|line| line.slices as f64));
        self.gauge("slices_owned", "Slices that a worker owns, by suite", slices(|line| line.owned as f64));
        let covered = slices(|line| line.covered_at.map_or(0.0, seconds));
        self.gauge(
            "slices_covered_timestamp_seconds",
            "The start of the last drain that covered all slices of a suite",
            covered,
        );
        let database = &status.database;
        let (connections, max) = (database.connections, database.connections_max);
        self.value("database_connections", "Connections to the database", connections as f64);
        self.value("database_connections_max", "The most connections that its server takes", max as f64);
        let snapshot = database.oldest_snapshot_seconds;
        self.value(
            "database_oldest_snapshot_seconds",
            "Age of the oldest snapshot: what was deleted since stays",
            snapshot,
        );
        let prepared = database.prepared_transactions as f64;
        self.value("database_prepared_transactions", "Prepared transactions on the server", prepared);
        self.value("database_bytes", "Size of the database", database.bytes as f64);
        self.value("database_dead_rows", "Rows that vacuum has to remove", database.dead_rows as f64);
        let lag = database.standby_lag_bytes.map(|bytes| bytes as f64);
        self.value("database_standby_lag_bytes", "How far the slowest standby is behind", lag);
    }

    /// What this process has counted since it began.
    fn own(&mut self) {
        let (own, meter) = (&mut self.registry, &*METER);
        own.register("attempts", "Attempts to send a hit, by outcome and cause", meter.attempts.clone());
        own.register("attempt_seconds", "How long attempts took, by host", meter.attempt_seconds.clone());
        own.register("lanes_busy", "Lanes with a request under way, by host", meter.lanes_busy.clone());
        let requests = meter.collector_requests.clone();
        own.register("collector_requests", "Requests to the collector, by path and status", requests);
        let waiting = meter.collector_waiting.clone();
        own.register("collector_waiting", "Submissions that wait for their receipt", waiting);
        let group = meter.collector_group.clone();
        own.register("collector_group_submissions", "Submissions that were stored together", group);
    }

    /// The memory and the open files of this process, if /proc tells them.
    fn process(&mut self) {
        let Ok(memory) = fs::read_to_string("/proc/self/status") else { return };
        let kib = |line: &str| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok();
        let resident = memory.lines().find_map(kib).map(|kib: f64| kib * 1024.0);
        self.value("process_resident_memory_bytes", "Memory of this process", resident);
        let files = fs::read_dir("/proc/self/fd").map(|files| files.count() as f64).ok();
        self.value("process_open_fds", "Open files of this process", files);
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn suite(rsid: &Option<String>) -> Labels {
    label("suite", rsid.as_deref().unwrap_or_default())
}

fn seconds(at: Instant) -> f64 {
    at.nanos() as f64 / 1e9
}
