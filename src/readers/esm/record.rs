//! A record as counts: when, for which requestor and which dimensions, and how many events of which kind.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::fields::{
    ACCOUNTS, METRICS, PROPERTIES, REJECTED, counted_metric, is_dimension, is_metric, is_no_number, is_time,
};
use super::kept::first_word;
use super::report::Record;
use super::summary::StatedAccounts;
use super::time::{Pass, instant, span};
use crate::config::EsmConfig;
use crate::event::{
    COUNT_MAX, Draft, EventError, EventKind, Instant, KindSet, PassEvent, RequestorId, TimeBounds,
    whole_number,
};
use crate::harmless::clip;
use crate::readers::line::RejectReason;
use crate::readers::memory::{Keyring, MemoryKey, MemoryResult, Recollection};

/// The largest count of an hour. A larger count is an error, and would become very many events.
const TOTAL_MAX: u64 = 10_000_000_000;

/// The granularity and dimensions of a report, the same for all its records.
pub(super) struct Grouping {
    pub(super) config: EsmConfig,
    dimensions: BTreeSet<String>,
    name: String,
}

/// How many events of one kind a record counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) metric: &'static str,
    pub(super) kind: EventKind,
    pub(super) requestor_id: RequestorId,
    pub(super) occurred_at: Instant,
    /// The dimensions of the record, shared by all its counts.
    pub(super) dimensions: Rc<BTreeMap<String, String>>,
    pub(super) total: u64,
}

impl Grouping {
    /// The grouping of all these records. A record that lacks a dimension has an empty value there.
    pub(super) fn of(records: &[Record], config: EsmConfig) -> Grouping {
        // Most records share the list of names with the record before.
        let is_new =
            |index: &usize| *index == 0 || !Rc::ptr_eq(records[*index].names(), records[*index - 1].names());
        let names = (0..records.len()).filter(is_new).flat_map(|index| records[index].names().iter());
        let dimensions: BTreeSet<String> =
            names.clone().filter(|name| is_dimension(name, &config)).cloned().collect();
        let is_by = |part: &&str| names.clone().any(|name| name == part);
        let mut name = ["minute", "hour"].into_iter().find(is_by).unwrap_or("day").to_owned();
        for dimension in &dimensions {
            name.push('/');
            name.push_str(dimension);
        }
        Grouping { config, dimensions, name }
    }

    pub(super) fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.dimensions.iter().map(String::as_str)
    }

    pub(super) fn has(&self, dimension: &str) -> bool {
        self.dimensions.contains(dimension)
    }

    /// The granularity and the dimensions, as messages show them.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Refuses a record with a text in an unknown column: the column may be a dimension that is not configured.
    pub(super) fn refuse_unknown_text(&self, record: &Record) -> Result<(), (u64, String)> {
        let is_unknown_text = |(name, text): &(&str, &str)| {
            !self.has(name)
                && !is_time(name)
                && !is_metric(name)
                && !is_no_number(text)
                && text.trim().parse::<f64>().is_err()
        };
        let Some((name, text)) = record.fields().find(is_unknown_text) else { return Ok(()) };
        let what = format!(
            "has {:?} {:?}, which is neither a known dimension nor a number: if reports group by it, name it in \
             esm.dimensions",
            clip(name),
            clip(text)
        );
        Err((record.number, what))
    }

    /// The documented metrics of a record that have a number.
    pub(super) fn metrics<'r>(&self, record: &'r Record) -> impl Iterator<Item = (&'r str, &'r str)> {
        record.fields().filter(|(name, text)| is_metric(name) && !is_no_number(text))
    }

    /// The columns of a record that are neither blank nor a dimension nor a part of the time.
    pub(super) fn numbers<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = (&'r str, &'r str)> {
        record.fields().filter(|(name, text)| !text.trim().is_empty() && !is_time(name) && !self.has(name))
    }

    /// The columns of numbers in a record that do not become events, except unique accounts.
    pub(super) fn skipped<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = &'r str> {
        let is_skipped = |name: &&str| *name != ACCOUNTS && counted_metric(name, &self.config).is_none();
        self.numbers(record).map(|(name, _)| name).filter(is_skipped)
    }

    /// The counts of a record. `pass` says to which of two hours it belongs, if the clock shows one hour twice.
    pub(super) fn counts(&self, record: &Record, pass: Pass) -> Result<Vec<Count>, RejectReason> {
        self.counts_at(record, instant(record, self.config.timezone, pass)?)
    }

    /// The counts of a record at a given instant: a record of a whole day has no instant of its own.
    pub(super) fn counts_at(
        &self,
        record: &Record,
        occurred_at: Instant,
    ) -> Result<Vec<Count>, RejectReason> {
        let nothing = self.nothing_at(record, occurred_at)?;
        let counted =
            self.numbers(record).filter_map(|(name, text)| Some((counted_metric(name, &self.config)?, text)));
        let count = |((metric, kind), text): ((&'static str, EventKind), &str)| {
            Ok(Count { metric, kind, total: count_of(metric, text)?, ..nothing.clone() })
        };
        counted.map(count).collect()
    }

    /// A count of 0 of the first metric. It has the requestor, time and dimensions that all counts of a record share.
    pub(super) fn nothing_at(&self, record: &Record, occurred_at: Instant) -> Result<Count, RejectReason> {
        let [(metric, kind), ..] = METRICS;
        let value = |name: &str| record.field(name).unwrap_or_default().to_owned();
        let dimensions = self.dimensions().map(|name| (name.to_owned(), value(name))).collect();
        let requestor_id = requestor_of(record)?;
        Ok(Count { metric, kind, requestor_id, occurred_at, dimensions: Rc::new(dimensions), total: 0 })
    }

    /// The unique accounts of a record; `None` if it states no number.
    pub(super) fn accounts(
        &self,
        record: &Record,
        pass: Pass,
    ) -> Result<Option<StatedAccounts>, RejectReason> {
        let Some(text) = record.field(ACCOUNTS).filter(|text| !is_no_number(text)) else {
            return Ok(None);
        };
        let accounts = count_of(ACCOUNTS, text)?;
        let (from, to) = span(record, &self.config, pass)?;
        let dimension = |name: &str| {
            let value = record.field(name).unwrap_or("").replace(['\n', '\r'], " ");
            if name == "mvpd" { format!("{name}\n") } else { format!("{name}={value}\n") }
        };
        Ok(Some(StatedAccounts {
            requestor_id: requestor_of(record)?,
            from,
            to,
            mvpd: record.field("mvpd").unwrap_or("").to_owned(),
            dimensions: self.dimensions().filter(|name| *name != "requestor-id").map(dimension).collect(),
            accounts,
        }))
    }
}

impl Count {
    /// The identity of a count: its metric, requestor, time and dimensions. It must never change.
    pub(super) fn key(&self, keyring: &Keyring) -> MemoryKey {
        self.key_of(self.metric, keyring)
    }

    /// The identity of a count like this of another metric.
    fn key_of(&self, metric: &str, keyring: &Keyring) -> MemoryKey {
        let occurred_at = self.occurred_at.nanos().to_be_bytes();
        let mut parts = vec![metric.as_bytes(), self.requestor_id.as_str().as_bytes(), &occurred_at];
        for (name, value) in self.dimensions.iter() {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        keyring.digest("count", &parts)
    }

    /// The events that raise the count from `before` to its total: several if one event cannot carry it.
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

fn count_of(name: &str, text: &str) -> Result<u64, RejectReason> {
    let total = whole_number(text.trim()).filter(|total| *total <= TOTAL_MAX);
    // A number such as 1.2346e7 may have lost its last digits.
    let hint =
        if text.contains(['e', 'E']) && text.parse::<f64>().is_ok() { ": write all its digits" } else { "" };
    total.ok_or_else(|| RejectReason::Esm(format!("has {name} {:?}, which is no count{hint}", clip(text))))
}

/// The requestor of a record. Refuses a record with a value that is no text.
fn requestor_of(record: &Record) -> Result<RequestorId, RejectReason> {
    if let Some((name, text)) = record.no_text.and_then(|index| record.fields().nth(index.into())) {
        return Err(RejectReason::Esm(format!(
            "has {} {:?}, which is an object, a list, half a character, or a number that lost digits: write it as text",
            clip(name),
            clip(text)
        )));
    }
    let has_control = |(name, text): &(&str, &str)| {
        !is_metric(name)
            && !is_time(name)
            && text.trim().contains(|letter: char| letter.is_control() && letter != '\t')
    };
    if let Some((name, text)) = record.fields().find(has_control) {
        return Err(RejectReason::Esm(format!(
            "has {} {:?} with a control character, such as a line end: take it out, or write a blank",
            clip(name),
            clip(text)
        )));
    }
    let requestor = record.field("requestor-id").ok_or_else(|| {
        RejectReason::Esm("has no requestor-id: fetch a report that groups by requestor-id".to_owned())
    })?;
    RequestorId::of_source(requestor).map_err(RejectReason::Event)
}

/// The units that were counted with the requestor, time and dimensions of `count`, in the metrics of these kinds
/// (`None`: of all kinds) except those of `but`.
pub(super) fn units_of(
    keyring: &Keyring,
    count: &Count,
    but: &[Count],
    kinds: Option<KindSet>,
    memory: &mut Recollection,
) -> MemoryResult<u64> {
    let metrics = METRICS.into_iter().chain([(REJECTED, EventKind::AuthzFailed)]);
    let metrics = metrics.filter(|(_, kind)| kinds.is_none_or(|kinds| kinds.has(*kind)));
    let mut units: u64 = 0;
    for (metric, _) in metrics.filter(|(metric, _)| but.iter().all(|count| count.metric != *metric)) {
        units = units.saturating_add(total_of(memory, count.key_of(metric, keyring))?);
    }
    Ok(units)
}

/// The total that was counted under this key; 0 if none was. The row is `esm TOTAL BEFORE`.
pub(super) fn total_of(memory: &mut Recollection, key: MemoryKey) -> MemoryResult<u64> {
    if let Some(total) = memory.passing_total(key) {
        return Ok(total);
    }
    let body = memory.recall_of_esm(key)?;
    let total = body.as_deref().and_then(first_word);
    Ok(total.map_or(Ok(0), str::parse)?)
}
