//! A record as counts: when, of whom, by which dimensions, how many of which event.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

use super::accounts::ACCOUNTS;
use super::report::Record;
use super::summary::EsmSummary;
use crate::config::EsmConfig;
use crate::event::{
    COUNT_MAX, Draft, EventError, EventKind, Instant, PassEvent, Property, RequestorId, TimeBounds,
};
use crate::readers::RejectReason;

/// The metrics that an event stands for (section 8.4 of the reference).
const METRICS: [(&str, EventKind); 10] = [
    ("authn-attempts", EventKind::AuthnRequested),
    ("authn-pending", EventKind::AuthnPending),
    ("authn-successful", EventKind::AuthnOk),
    ("authz-attempts", EventKind::AuthzRequested),
    ("authz-successful", EventKind::AuthzOk),
    ("authz-failed", EventKind::AuthzFailed),
    ("media-tokens", EventKind::PlayRequested),
    ("authn-failed", EventKind::AuthnFailed),
    ("clientless-tokens", EventKind::ClientlessTokenOk),
    ("clientless-failures", EventKind::ClientlessTokenFailed),
];
/// Refused by Adobe as an attack: counted as a failed authorization where the configuration says so.
pub(super) const REJECTED: &str = "authz-rejected";
/// The other metrics that are documented.
const OTHER_METRICS: [&str; 4] = ["authz-latency", ACCOUNTS, "unique-sessions", "count"];
/// What stands for no number.
const NO_NUMBERS: [&str; 4] = ["", "-", "N/A", "null"];
/// The dimensions that an eVar reports.
const PROPERTIES: [(&str, Property); 12] = [
    ("mvpd", Property::Mvpd),
    ("proxy", Property::Proxy),
    ("nsdk", Property::SdkType),
    ("sdk-type", Property::SdkType),
    ("nsdk-version", Property::SdkVersion),
    ("resource-id", Property::ResourceId),
    ("reason", Property::AuthzErrorType),
    ("cdt", Property::ClientlessDeviceType),
    ("os-family", Property::OperatingSystem),
    ("arch", Property::ServerVersion),
    ("eap", Property::ExternalAuthProvider),
    ("sso-type", Property::SsoMechanism),
];
/// The other dimensions that are documented: they tell records apart, and no eVar reports them.
const DIMENSIONS: [&str; 18] = [
    "requestor-id",
    "media-company",
    "dc",
    "channel",
    "device",
    "browser-family",
    "browser-version",
    "os-type",
    "os-version",
    "platform",
    "platform-version",
    "application-name",
    "application-version",
    "customer-app",
    "content-category",
    "event",
    "country",
    "api",
];
/// `utc-offset` is no column of ESM: who knows which of two hours a record is of says it there.
const TIME: [&str; 6] = ["year", "month", "day", "hour", "minute", "utc-offset"];

/// What a report groups by: the same for all its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grouping {
    dimensions: BTreeSet<String>,
    name: String,
}

/// Which of the two hours that a clock set back shows alike; the first where it shows one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    Second,
    /// The record says it itself, by its offset.
    Told,
    Unknown,
}

/// How many of an event there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) metric: &'static str,
    pub(super) kind: EventKind,
    pub(super) requestor_id: RequestorId,
    pub(super) occurred_at: Instant,
    /// The same, for a digest.
    pub(super) occurred_at_bytes: [u8; 8],
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) total: u64,
}

impl Grouping {
    /// That of these records together: one that lacks a dimension has no value in it.
    pub(super) fn of(records: &[Record], config: &EsmConfig) -> Grouping {
        let is_dimension = |name: &&String| {
            let name = name.as_str();
            DIMENSIONS.contains(&name)
                || PROPERTIES.iter().any(|(known, _)| *known == name)
                || config.dimensions.iter().any(|known| known == name)
        };
        // Most records share their names with the one before.
        let is_new =
            |index: &usize| *index == 0 || !Rc::ptr_eq(records[*index].names(), records[*index - 1].names());
        let names = (0..records.len()).filter(is_new).flat_map(|index| records[index].names().iter());
        let dimensions: BTreeSet<String> = names.clone().filter(is_dimension).cloned().collect();
        let has_minutes = names.clone().any(|name| name == "minute");
        let mut name = if has_minutes { "minute".to_owned() } else { "hour".to_owned() };
        for dimension in &dimensions {
            name.push('/');
            name.push_str(dimension);
        }
        Grouping { dimensions, name }
    }

    /// The names of the dimensions, in their order.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.dimensions.iter().map(String::as_str)
    }

    /// Refuses a record with a text where a number should be.
    pub(super) fn refuse_unknown_text(&self, record: &Record) -> Result<(), (u64, String)> {
        let Some((name, text)) = record.fields().find(|(name, text)| self.is_unknown_text(name, text)) else {
            return Ok(());
        };
        let what = format!(
            "has {name} {text:?}, which is neither a known dimension nor a number: if reports group by it, name it in \
             esm.dimensions"
        );
        Err((record.number, what))
    }

    /// Whether a field is no dimension, nor can it be a metric.
    fn is_unknown_text(&self, name: &str, text: &str) -> bool {
        let text = text.trim();
        !self.dimensions.contains(name)
            && !TIME.contains(&name)
            && !is_metric(name)
            && !is_no_number(text)
            && text.parse::<f64>().is_err()
    }

    /// Notes the counts of a record of a whole day or month, which are no events.
    pub(super) fn skip_counts(&self, record: &Record, summary: &mut EsmSummary) {
        let is_count =
            |(name, text): &(&str, &str)| is_metric(name) && *name != ACCOUNTS && !is_no_number(text);
        record.fields().filter(is_count).for_each(|(name, _)| summary.skipped(&format!("{name} by day")));
    }

    /// Whether records tell this dimension.
    pub(super) fn has(&self, dimension: &str) -> bool {
        self.dimensions.contains(dimension)
    }

    /// The granularity and the dimensions, as messages name it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The counts of a record. `pass` says which of two hours it is where the clock shows one twice.
    pub(super) fn counts(
        &self,
        record: &Record,
        config: &EsmConfig,
        pass: Pass,
        summary: &mut EsmSummary,
    ) -> Result<Vec<Count>, RejectReason> {
        let requestor_id = requestor_of(record)?;
        self.counts_at(record, config, (requestor_id, instant(record, config, pass)?), summary)
    }

    /// The counts of a record of a whole day, which no event could carry. They occur at midnight UTC of that date.
    pub(super) fn counts_of_day(
        &self,
        record: &Record,
        config: &EsmConfig,
        date: NaiveDate,
        summary: &mut EsmSummary,
    ) -> Result<Vec<Count>, RejectReason> {
        let midnight = Instant::from(date.and_time(NaiveTime::MIN).and_utc());
        self.counts_at(record, config, (requestor_of(record)?, midnight), summary)
    }

    /// The values of the dimensions in a record.
    fn values(&self, record: &Record) -> BTreeMap<String, String> {
        self.dimensions()
            .map(|name| (name.to_owned(), record.field(name).unwrap_or_default().to_owned()))
            .collect()
    }

    fn counts_at(
        &self,
        record: &Record,
        config: &EsmConfig,
        (requestor_id, occurred_at): (RequestorId, Instant),
        summary: &mut EsmSummary,
    ) -> Result<Vec<Count>, RejectReason> {
        let dimensions = self.values(record);
        let mut counts: Vec<Count> = Vec::new();
        for (name, text) in record.fields() {
            let is_blank = text.trim().is_empty();
            if is_blank || TIME.contains(&name) || self.dimensions.contains(name) {
                continue;
            }
            let counted = METRICS.iter().find(|(metric, _)| *metric == name).copied();
            let rejected =
                (name == REJECTED && config.rejected_is_failed).then_some((REJECTED, EventKind::AuthzFailed));
            let Some((metric, kind)) = counted.or(rejected) else {
                if name != ACCOUNTS {
                    summary.skipped(name);
                }
                continue;
            };
            let total = count_of(name, text)?;
            counts.push(Count {
                metric,
                kind,
                requestor_id: requestor_id.clone(),
                occurred_at,
                occurred_at_bytes: occurred_at.nanos().to_be_bytes(),
                dimensions: dimensions.clone(),
                total,
            });
        }
        Ok(counts)
    }
}

impl Count {
    /// The events that bring the count from `before` to its total: one, or more where that is above what an event may count.
    pub(super) fn events(
        &self,
        digest: &str,
        before: u64,
        bounds: TimeBounds,
    ) -> Result<Vec<PassEvent>, EventError> {
        let mut events = Vec::new();
        let mut from = before;
        while from < self.total {
            let to = self.total.min(from + u64::from(COUNT_MAX));
            let event_id = format!("esm-{digest}-{from}-{to}");
            let mut draft =
                Draft::derived(self.kind, self.occurred_at, self.requestor_id.clone(), event_id.into());
            draft.count((to - from) as u32);
            for (name, property) in PROPERTIES {
                if let Some(value) = self.dimensions.get(name).filter(|value| !value.is_empty()) {
                    draft.put(property, value);
                }
            }
            events.push(draft.finish(bounds)?);
            from = to;
        }
        Ok(events)
    }
}

/// The largest count of an hour: more than mankind could ask for. Above it lies no count, and each million is an event.
const TOTAL_MAX: u64 = 10_000_000_000;

/// A count, or that it is none.
pub(super) fn count_of(name: &str, text: &str) -> Result<u64, RejectReason> {
    let total = whole(text).filter(|total| *total <= TOTAL_MAX);
    total.ok_or_else(|| RejectReason::Esm(format!("has {name} {text:?}, which is no count")))
}

/// Whether a text stands for no number.
pub(super) fn is_no_number(text: &str) -> bool {
    NO_NUMBERS.contains(&text.trim())
}

/// A count as ESM writes it: digits, perhaps with a fraction of zeros.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .split_once('.')
        .map_or(text, |(digits, zeros)| if zeros.bytes().all(|digit| digit == b'0') { digits } else { text });
    digits.parse().ok()
}

/// Whether `esm.dimensions` may have this name: spelled as ESM spells dimensions, and neither a metric, whose value would then
/// be part of what identifies it, nor a part of the time.
pub fn is_dimension_name(name: &str) -> bool {
    let is_spelled =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    !name.is_empty() && is_spelled && !TIME.contains(&name) && !is_metric(name)
}

fn is_metric(name: &str) -> bool {
    METRICS.iter().any(|(metric, _)| *metric == name) || name == REJECTED || OTHER_METRICS.contains(&name)
}

/// The time that a record shows, on the clock of the reports.
pub(super) fn local_time(record: &Record) -> Result<NaiveDateTime, RejectReason> {
    local_time_with(record, [None; 2])
}

/// The same, with a day and an hour for a record that has none.
fn local_time_with(record: &Record, or: [Option<u32>; 2]) -> Result<NaiveDateTime, RejectReason> {
    let number = |name: &str| -> Result<Option<u32>, RejectReason> {
        match record.field(name) {
            None => Ok(None),
            Some(text) => match whole(text).and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(RejectReason::Esm(format!("has {name} {text:?}, which is no number"))),
            },
        }
    };
    let (year, month, day) = (number("year")?, number("month")?, number("day")?.or(or[0]));
    let (Some(year), Some(month), Some(day), Some(hour)) = (year, month, day, number("hour")?.or(or[1]))
    else {
        return Err(RejectReason::Esm(
            "has no hour: events need one; fetch a report by hour or by minute (year/month/day/hour)"
                .to_owned(),
        ));
    };
    let minute = number("minute")?.unwrap_or(0);
    let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    date.and_then(|date| date.and_hms_opt(hour, minute, 0)).ok_or_else(|| {
        RejectReason::Esm(format!("has the time {year}-{month}-{day} {hour}:{minute}, which no calendar has"))
    })
}

/// The day of a record that names no hour; `None` where it names one.
pub(super) fn day_alone(record: &Record) -> Result<Option<NaiveDate>, RejectReason> {
    if record.field("hour").is_some() {
        return Ok(None);
    }
    local_time_with(record, [None, Some(0)]).map(|local| Some(local.date()))
}

/// The day of a record that names no hour, or the first day of its month where it names none.
pub(super) fn first_day(record: &Record) -> Result<NaiveDate, RejectReason> {
    local_time_with(record, [Some(1), Some(0)]).map(|local| local.date())
}

pub(super) fn requestor_of(record: &Record) -> Result<RequestorId, RejectReason> {
    let requestor = record.field("requestor-id").ok_or_else(|| {
        RejectReason::Esm("has no requestor-id: fetch a report that groups by requestor-id".to_owned())
    })?;
    RequestorId::new(requestor).map_err(RejectReason::Event)
}

/// The instant at which a record's hour or minute begins.
pub(super) fn instant(record: &Record, config: &EsmConfig, pass: Pass) -> Result<Instant, RejectReason> {
    let local = local_time(record)?;
    let zone = config.timezone;
    let told: Option<FixedOffset> = match record.field("utc-offset") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            RejectReason::Esm(format!("has utc-offset {text:?}, which is no offset such as -08:00"))
        })?),
    };
    let at = match (zone.0.from_local_datetime(&local), told) {
        (LocalResult::Ambiguous(first, second), Some(told)) => {
            [first, second].into_iter().find(|at| at.fixed_offset().offset() == &told)
        }
        (LocalResult::Ambiguous(_, second), None) if pass == Pass::Second => Some(second),
        (LocalResult::Ambiguous(at, _) | LocalResult::Single(at), _) => Some(at),
        (LocalResult::None, _) => {
            return Err(RejectReason::Esm(format!(
                "is of {local}, which the clock of {zone} skips; set esm.timezone to the zone of these reports"
            )));
        }
    };
    let is_told = |at: &DateTime<_>| told.is_none_or(|told| at.fixed_offset().offset() == &told);
    at.filter(is_told).map(|at| Instant::from(at.to_utc())).ok_or_else(|| {
        RejectReason::Esm(format!("has a utc-offset that the clock of {zone} does not have at {local}"))
    })
}
