//! A buffer, the suite that it is drained into, a place where hits get lost, and a second sender, all under one clock.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use passbridge::analytics::AnalyticsClient;
use passbridge::clock::Clock;
use passbridge::config::{AnalyticsConfig, EsmConfig, Zone};
use passbridge::event::{EventKind, Instant, PassEvent, Property};
use passbridge::reconcile::{
    Cell, EsmSource, ReconcileError, ReconcileOptions, Reconciliation, Tolerance, reconcile,
};
use passbridge::sandbox::{AnalyticsSettings, Handle};
use passbridge::suite::ReportSuite;
use passbridge::web::{ApiOptions, ProxySettings};
use serde_json::json;

use crate::support::{House, RSID, event, report_suite, requestor_id, rsid, sandbox_with};

pub(super) const HOUR: i64 = 3_600_000_000_000;
/// Days after everything that a test has happen.
pub(super) const DELIVERED_AT: &str = "2026-11-15T12:00:00Z";

pub(super) struct World {
    pub(super) house: House,
    pub(super) suite: ReportSuite,
    pub(super) analytics: Handle,
    pub(super) clock: Clock,
}

impl World {
    /// A buffer with these requestors, and Analytics, as of [`DELIVERED_AT`].
    pub(super) fn new(requestors: &[&str]) -> World {
        World::with(requestors, "", |_| {})
    }

    /// The same, with faults of the collector and other settings of the suite.
    pub(super) fn with(requestors: &[&str], faults: &str, change: impl FnOnce(&mut ReportSuite)) -> World {
        let clock = Clock::fixed(DELIVERED_AT.parse().expect("an instant"));
        let analytics = analytics(faults, &clock);
        let house = House::at(clock.clone());
        let mut suite = report_suite(RSID, &analytics.url());
        change(&mut suite);
        for requestor in requestors {
            house.map(requestor, &suite);
        }
        World { house, suite, analytics, clock }
    }

    /// Stores events and drains them.
    pub(super) fn deliver(&self, events: impl IntoIterator<Item = PassEvent>) {
        self.house.store(events);
        self.house.drain();
    }

    /// What another sender posts to the same suite.
    pub(super) fn deliver_elsewhere(&self, events: Vec<PassEvent>) {
        let other = House::at(self.clock.clone());
        let mut requestors: Vec<&str> = events.iter().map(|event| event.requestor_id().as_str()).collect();
        requestors.sort_unstable();
        requestors.dedup();
        let suite = report_suite(RSID, &self.analytics.url());
        for requestor in requestors {
            other.buffer.add_suite(suite.clone(), vec![requestor_id(requestor)]).expect("the suite is added");
        }
        other.store(events);
        let summary = other.drain();
        assert_eq!(summary.pending, 0);
    }

    /// Lets the clock go on.
    pub(super) fn pass_hours(&self, hours: i64) {
        self.clock.set(Instant::from_nanos(self.clock.now().nanos() + hours * HOUR));
    }

    pub(super) fn options(&self, from: &str, to: &str) -> ReconcileOptions {
        let date = |text: &str| text.parse().expect("a date");
        ReconcileOptions {
            rsid: rsid(),
            dates: date(from)..date(to),
            zone: Zone(Tz::America__Los_Angeles),
            tolerance: Tolerance::default(),
            esm: EsmConfig::default(),
            proof_age: std::time::Duration::from_secs(90 * 86_400),
        }
    }

    /// Compares with Analytics alone.
    pub(super) fn compare(&self, from: &str, to: &str) -> Reconciliation {
        self.compare_with(&self.options(from, to), EsmSource::None).expect("a comparison")
    }

    pub(super) fn compare_with(
        &self,
        options: &ReconcileOptions,
        esm: EsmSource,
    ) -> Result<Reconciliation, ReconcileError> {
        let client = client(&self.analytics);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(reconcile(&self.house.buffer, Some(&client), esm, options, &mut |_| {}))
    }

    /// The only cell of a comparison of November's first week.
    pub(super) fn cell(&self) -> Cell {
        let found = self.compare("2026-11-01", "2026-11-08");
        let [cell] = &found.cells[..] else { panic!("one cell, not {:?}", found.cells) };
        cell.clone()
    }
}

/// A stand-in that has no limit on calls.
pub(super) fn analytics(faults: &str, clock: &Clock) -> Handle {
    sandbox_with(faults, |options| {
        options.clock = clock.clone();
        options.analytics = AnalyticsSettings { calls_per_window: 100_000, ..AnalyticsSettings::default() };
    })
}

pub(super) fn client(sandbox: &Handle) -> AnalyticsClient {
    let api = ApiOptions {
        url: sandbox.url(),
        ims_url: format!("{}/ims/token/v3", sandbox.url()),
        client_id: "reader".to_owned(),
        client_secret: "secret-of-reader".to_owned(),
        scopes: "openid".to_owned(),
        request_timeout: Duration::from_secs(60),
        proxy: ProxySettings::default(),
    };
    let config = AnalyticsConfig { calls_per_window: 100_000, ..AnalyticsConfig::default() };
    AnalyticsClient::new(api, &config).expect("a client")
}

/// Play requests of one second, each with an ID of its own; the MVPD is `M`.
pub(super) fn plays_at(at: &str, ids: std::ops::Range<u32>) -> Vec<PassEvent> {
    ids.map(|id| {
        event(json!({"occurred_at": at, "event_id": format!("play {id}"), "mvpd": "M", "mvpd_user_id": id.to_string()}))
    })
    .collect()
}

/// The metric that ESM has for an event.
fn metric(kind: EventKind) -> Option<&'static str> {
    const METRICS: [&str; 10] = [
        "authn-attempts",
        "authn-pending",
        "authn-successful",
        "authz-attempts",
        "authz-successful",
        "authz-failed",
        "media-tokens",
        "authn-failed",
        "clientless-tokens",
        "clientless-failures",
    ];
    METRICS.get(usize::from(kind.slot()) - 1).copied()
}

/// The day of an event, Pacific.
pub(super) fn day_of(event: &PassEvent) -> NaiveDate {
    DateTime::<Utc>::from(event.occurred_at()).with_timezone(&Tz::America__Los_Angeles).date_naive()
}

/// How fine a report is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    Hour,
    Day,
}

/// Records of a report of ESM that counted these events: names and values, in the order of time.
fn records<'e>(events: impl Iterator<Item = &'e PassEvent>, grain: Grain) -> Vec<BTreeMap<String, String>> {
    let mut found: BTreeMap<(i64, String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for event in events {
        let Some(metric) = metric(event.kind()) else { continue };
        let at = match grain {
            Grain::Hour => event.occurred_at().unix_hour(),
            Grain::Day => i64::from(day_of(event).num_days_from_ce()),
        };
        let mvpd = event.property(Property::Mvpd).unwrap_or("").to_owned();
        let place = (at, event.requestor_id().to_string(), mvpd);
        *found.entry(place).or_default().entry(metric.to_owned()).or_default() += u64::from(event.count());
    }
    let record = |((at, requestor, mvpd), metrics): ((i64, String, String), BTreeMap<String, u64>)| {
        let mut record: BTreeMap<String, String> =
            metrics.into_iter().map(|(name, count)| (name, count.to_string())).collect();
        let local = match grain {
            Grain::Hour => {
                let utc = DateTime::from_timestamp(at * 3600, 0).expect("an hour");
                utc.with_timezone(&Tz::America__Los_Angeles).naive_local()
            }
            Grain::Day => {
                let day = NaiveDate::from_num_days_from_ce_opt(at as i32).expect("a day");
                day.and_hms_opt(0, 0, 0).expect("midnight")
            }
        };
        let mut put = |name: &str, value: String| record.insert(name.to_owned(), value);
        put("year", local.year().to_string());
        put("month", local.month().to_string());
        put("day", local.day().to_string());
        if grain == Grain::Hour {
            put("hour", local.hour().to_string());
        }
        put("requestor-id", requestor);
        put("mvpd", mvpd);
        record
    };
    found.into_iter().map(record).collect()
}

pub(super) fn esm_json<'e>(events: impl Iterator<Item = &'e PassEvent>, grain: Grain) -> Vec<u8> {
    json!({"_links": {"self": {"href": "/esm/v3/x"}}, "report": records(events, grain)})
        .to_string()
        .into_bytes()
}

pub(super) fn esm_xml<'e>(events: impl Iterator<Item = &'e PassEvent>, grain: Grain) -> Vec<u8> {
    let mut text = "<?xml version=\"1.0\"?>\n<resource href=\"/esm/v3/x\"><report>\n".to_owned();
    for record in records(events, grain) {
        let fields: String = record.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
        text.push_str(&format!("<record{fields}/>\n"));
    }
    text.push_str("</report></resource>\n");
    text.into_bytes()
}

pub(super) fn esm_csv<'e>(events: impl Iterator<Item = &'e PassEvent>, grain: Grain) -> Vec<u8> {
    let records = records(events, grain);
    let mut names: Vec<&String> = records.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let line = |cells: Vec<&str>| format!("{}\n", cells.join(","));
    let mut text = line(names.iter().map(|name| name.as_str()).collect());
    for record in &records {
        text.push_str(&line(names.iter().map(|name| record.get(*name).map_or("", String::as_str)).collect()));
    }
    text.into_bytes()
}
