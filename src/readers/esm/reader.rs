//! Reads a report, and makes events of the part of its counts that is new.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io::{self, BufRead, Read};

use super::fields::{ACCOUNTS, METRICS, REJECTED, counted_metric, is_no_number};
use super::kept::{
    GROUPING, LACKING, NO_SECRET, ROW_PREFIX, first_word, hour_key, mvpd_digest, spelling_digest,
    with_lacking,
};
use super::passes;
use super::record::{Count, Grouping};
use super::report::{self, Record};
use super::summary::EsmSummary;
use super::time::Pass;
use crate::config::EsmConfig;
use crate::event::{EventKind, Instant, KindSet, PassEvent, Property, TimeBounds, is_spoilt};
use crate::harmless::clip;
use crate::readers::line::{Excerpt, Line, ReadError, ReadResult, Reader, RejectReason, SourceSummary};
use crate::readers::memory::{Feed, Keyring, MemoryError, MemoryKey, MemoryResult, Recollection};
use crate::readers::remarks::Remarks;

/// The longest report, in bytes. A report is in memory as a whole, several times over; 10,000 rows take some 5 MB.
pub const REPORT_BYTES_MAX: u64 = 64 << 20;
const DAY_NANOS: i64 = 86_400_000_000_000;
const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Reads a report. The number of a `Line` is the number of its record from 1, or in CSV its first line.
pub struct EsmReader {
    keyring: Keyring,
    /// The records that are not taken yet. The pass says which hour a record means if the clock shows that hour twice.
    records: VecDeque<(Record, Pass)>,
    grouping: Grouping,
    ready: VecDeque<(u64, PassEvent)>,
    /// The hours of requestors that were not counted before this report.
    new_hours: HashSet<MemoryKey>,
    /// For each hour that was counted before, and each requestor: the MVPDs of this report, as digests of their names
    /// and of their spellings, and the units of this report.
    seen: BTreeMap<i64, BTreeMap<String, (BTreeSet<u64>, u64)>>,
    /// The hours of which this report has a count that was counted before. A report that is only another page has none.
    again: HashSet<MemoryKey>,
    summary: EsmSummary,
    remarks: Remarks,
}

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Rejected(#[from] RejectReason),
    /// The memory cannot be read, so reading must stop.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl EsmReader {
    pub fn new(source: impl BufRead, config: &EsmConfig) -> Result<EsmReader, ReadError> {
        let broken = |source| ReadError::Broken { line: 1, source };
        let mut document = Vec::new();
        source.take(REPORT_BYTES_MAX + 1).read_to_end(&mut document).map_err(broken)?;
        if document.len() as u64 > REPORT_BYTES_MAX {
            let what = format!("a report of more than {REPORT_BYTES_MAX} bytes: fetch it in parts");
            return Err(broken(io::Error::other(what)));
        }
        let refuse = |(line, what)| ReadError::Broken { line, source: io::Error::other(what) };
        // A power loss may leave zero bytes after a report. They are counted where the input is opened.
        let end = document.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let report = report::read(&document[..end]).map_err(refuse)?;
        drop(document);
        let grouping = Grouping::of(&report.records, config.clone());
        if let Some(name) = report::nameless(&report.records, grouping.dimensions()) {
            let what = format!(
                "no record says its {name}: leave out this column if the report is not by {name}, or fetch it again"
            );
            return Err(refuse((1, what)));
        }
        let passes = grouping.passes(&report.records).map_err(refuse)?;
        let summary = EsmSummary {
            records: report.records.len() as u64,
            truncated_at: report.reached_limit,
            repeated: report.repeated,
            ..EsmSummary::default()
        };
        Ok(EsmReader {
            keyring: Keyring::new(NO_SECRET),
            records: report.records.into_iter().zip(passes).collect(),
            grouping,
            ready: VecDeque::new(),
            new_hours: HashSet::new(),
            seen: BTreeMap::new(),
            again: HashSet::new(),
            summary,
            remarks: report.remarks,
        })
    }

    /// Notes values that a spreadsheet spoilt, and an MVPD or proxy that is a word for none. Not for rejected records.
    fn note(&mut self, record: &Record) {
        let is_noted =
            |(name, text): &(&str, &str)| self.grouping.has(name) && is_spoilt(Property::Mvpd, text);
        record.fields().filter(is_noted).for_each(|(name, text)| {
            self.remarks.note_spoilt(record.number, name, text);
        });
        for name in ["mvpd", "proxy"] {
            self.remarks.note_nameless(record.number, name, record.field(name).unwrap_or("named"));
        }
    }

    /// Takes a record: makes its events and keeps its unique accounts.
    fn take(
        &mut self,
        record: &Record,
        mut pass: Pass,
        bounds: TimeBounds,
        memory: &mut Recollection,
    ) -> Result<(), Refusal> {
        if pass == Pass::Repeated {
            self.summary.repeated += 1;
            return Ok(());
        }
        if pass == Pass::Unknown {
            let known = self.pass_by_totals(record, memory)?;
            pass = known
                .ok_or_else(|| RejectReason::Esm(passes::in_doubt(record, self.grouping.config.timezone)))?;
        }
        for (name, text) in record.fields() {
            let is_blank = text.trim().is_empty() && counted_metric(name, &self.grouping.config).is_some();
            if is_blank || name == ACCOUNTS && is_no_number(text) {
                self.summary.skipped(&format!("{name} without a number"));
            }
        }
        let accounts = self.grouping.accounts(record, pass)?;
        if accounts.is_some() && record.field("hour").is_none() {
            // Counts of a whole day or month do not become events, because an event needs an hour.
            let by = if record.field("day").is_some() { "day" } else { "month" };
            let counts = self.grouping.metrics(record).filter(|(name, _)| *name != ACCOUNTS);
            counts.for_each(|(name, _)| self.summary.skipped(&format!("{name} by {by}")));
        } else {
            self.count(record, pass, bounds, memory)?;
        }
        if let Some(accounts) = accounts {
            self.summary.stated_accounts += 1;
            self.summary.used += 1;
            memory.state(accounts);
        }
        Ok(())
    }

    /// Makes the events of a record. If the record is refused, the memory does not change.
    fn count(
        &mut self,
        record: &Record,
        pass: Pass,
        bounds: TimeBounds,
        memory: &mut Recollection,
    ) -> Result<(), Refusal> {
        let counts = self.grouping.counts(record, pass)?;
        self.grouping.skipped(record).for_each(|name| self.summary.skipped(name));
        let Some(first) = counts.first() else { return Ok(()) };
        self.summary.used += 1;
        let (requestor_id, hour) =
            (first.requestor_id.as_str(), first.occurred_at.nanos().div_euclid(HOUR_NANOS));
        let place = hour_key(GROUPING, requestor_id, hour);
        if !self.is_counted(requestor_id, place, memory)? {
            self.new_hours.insert(place);
        } else if record.field("minute").is_none() && !self.new_hours.contains(&place) {
            let mvpd = record.field("mvpd").unwrap_or_default();
            let of_hour = self.seen.entry(hour).or_default();
            let (mvpds, units) = of_hour.entry(requestor_id.to_owned()).or_default();
            mvpds.extend([mvpd_digest(mvpd), spelling_digest(mvpd)]);
            *units += counts.iter().map(|count| count.total).sum::<u64>();
        }
        let (mut ready, mut totals, mut lower) = (Vec::new(), Vec::new(), Vec::new());
        let mut counted = Vec::new();
        for count in &counts {
            let key = count.key(&self.keyring, "count");
            let before = total_of(memory, key)?;
            counted.extend((before > 0).then_some(count.kind));
            if count.total < before {
                lower.push(before - count.total);
            }
            if count.total > before {
                let events = count.events(&key.hex(), before, bounds).map_err(RejectReason::Event)?;
                ready.extend(events.into_iter().map(|event| (record.number, event)));
                totals.push((key, count.total, before));
            }
        }
        if !counted.is_empty() {
            self.again.insert(place);
        }
        if memory.passing_total(place).is_none() {
            let is_new = self.new_hours.contains(&place);
            self.note_lacking(&counts, counted, is_new, hour_key(LACKING, requestor_id, hour), memory)?;
        }
        lower.into_iter().for_each(|units| self.summary.decreased(record.number, units));
        let drops_at = self.drops_at(first.occurred_at, bounds.now);
        if !totals.is_empty() {
            memory.remember(place, drops_at, Some(format!("{ROW_PREFIX}{}", self.grouping.name())));
        }
        for (key, total, before) in totals {
            if !memory.set_passing_total(key, total) {
                memory.remember(key, drops_at, Some(format!("{ROW_PREFIX}{total} {before}")));
            }
        }
        self.ready.extend(ready);
        Ok(())
    }

    /// The pass for which all totals of a record are known already, so that the record adds nothing; `None` if no pass
    /// fits. A record that cannot be read is refused later.
    fn pass_by_totals(&self, record: &Record, memory: &mut Recollection) -> MemoryResult<Option<Pass>> {
        let has_accounts = !matches!(self.grouping.accounts(record, Pass::First), Ok(None));
        for pass in [Pass::First, Pass::Second] {
            let counts = self.grouping.counts(record, pass).unwrap_or_default();
            // A total of zero fits both hours, so it does not show to which hour the accounts belong.
            let mut is_known = !has_accounts || counts.iter().any(|count| count.total > 0);
            for count in counts {
                is_known &= count.total == total_of(memory, count.key(&self.keyring, "count"))?;
            }
            if is_known {
                return Ok(Some(pass));
            }
        }
        Ok(None)
    }

    /// Whether an hour was counted already. Refuses counts of a requestor that has single events, and counts of an
    /// hour that another grouping counted.
    fn is_counted(
        &self,
        requestor: &str,
        place: MemoryKey,
        memory: &mut Recollection,
    ) -> Result<bool, Refusal> {
        if memory.feed(requestor)? == Some(Feed::Events) {
            let why = format!(
                "is of requestor {requestor:?}, whose events come in one by one: ESM counts the same ones again, so take one of \
                 the two sources for a requestor"
            );
            return Err(RejectReason::Esm(why).into());
        }
        let name = self.grouping.name();
        let known = memory.recall(place)?;
        match known.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)) {
            Some(other) if other != name => {
                let why = format!(
                    "is of an hour that was counted by {other}; this report groups by {name}, and would count it again"
                );
                Err(RejectReason::Esm(why).into())
            }
            known => Ok(known.is_some()),
        }
    }

    /// Notes which columns a new record of an MVPD lacks, and removes those that a known record has now. `counted` are
    /// the kinds of its events that were counted before. Nothing is noted of a new record whose counts are all 0. The
    /// note stays for ever, as the metrics do. With `is_new`, no total of the hour is known, so none is looked up.
    fn note_lacking(
        &self,
        counts: &[Count],
        counted: Vec<EventKind>,
        is_new: bool,
        key: MemoryKey,
        memory: &mut Recollection,
    ) -> MemoryResult<()> {
        let stated = counts.iter().filter(|count| count.metric != REJECTED).map(|count| count.kind);
        let stated: KindSet = stated.collect();
        let (mut is_known, mut lacked) = (!counted.is_empty(), KindSet::default());
        for (metric, kind) in METRICS.into_iter().filter(|(_, kind)| !stated.has(*kind)) {
            lacked = lacked.with([kind].into_iter().collect());
            let count = Count { metric, ..counts[0].clone() };
            is_known = is_known || !is_new && total_of(memory, count.key(&self.keyring, "count"))? > 0;
        }
        let mvpd = mvpd_digest(counts[0].dimensions.get("mvpd").map_or("", String::as_str));
        let change = |before: KindSet| match is_known {
            true => before.without(stated.without(counted.into_iter().collect())),
            false if counts.iter().any(|count| count.total > 0) => before.with(lacked),
            false => before,
        };
        if let Some(body) = with_lacking(memory.recall(key)?, mvpd, change) {
            memory.remember(key, Instant::from_nanos(i64::MAX), Some(body));
        }
        Ok(())
    }

    /// Notes each MVPD that was counted in an hour, if this report repeats that hour without the MVPD, or spells it in
    /// another way. A report with none of the earlier counts also repeats the hour if it has about as many units: its
    /// MVPDs then have other names.
    fn note_vanished(&mut self, memory: &mut Recollection) -> MemoryResult<()> {
        for (hour, requestors) in std::mem::take(&mut self.seen) {
            let (counted, at) = (memory.counted(hour)?, Instant::from_nanos(hour.saturating_mul(HOUR_NANOS)));
            for (requestor_id, (mvpds, units)) in requestors {
                let is_gone = |(of, mvpd, _): &&(String, String, u64)| {
                    *of == requestor_id && !mvpds.contains(&spelling_digest(mvpd))
                };
                let before: u64 = counted.iter().filter(is_gone).map(|(.., units)| units).sum();
                let is_again = self.again.contains(&hour_key(GROUPING, &requestor_id, hour));
                let is_again = is_again || before.abs_diff(units) <= before / 10;
                for (_, mvpd, _) in counted.iter().filter(is_gone) {
                    let is_respelt = mvpds.contains(&mvpd_digest(mvpd));
                    let how = if is_respelt { ", which it spells in another way" } else { "" };
                    if is_again || is_respelt {
                        let what = format!("{} of {requestor_id} in the hour {at}{how}", clip(mvpd));
                        self.summary.vanished(what);
                    }
                }
            }
        }
        Ok(())
    }

    /// When a total is dropped. Until then, Adobe may correct it, or a report may be read again.
    fn drops_at(&self, occurred_at: Instant, now: Instant) -> Instant {
        let days = i64::from(self.grouping.config.dedup_days) * DAY_NANOS;
        Instant::from_nanos(occurred_at.nanos().max(now.nanos()).saturating_add(days))
    }
}

/// The total that was counted under this key; 0 if none was. The row is `esm TOTAL BEFORE`.
fn total_of(memory: &mut Recollection, key: MemoryKey) -> MemoryResult<u64> {
    if let Some(total) = memory.passing_total(key) {
        return Ok(total);
    }
    let body = memory.recall(key)?;
    let total = body.as_deref().and_then(first_word);
    Ok(total.map_or(Ok(0), str::parse)?)
}

impl Reader for EsmReader {
    fn next_line(&mut self, bounds: TimeBounds, memory: &mut Recollection) -> ReadResult<Option<Line<'_>>> {
        loop {
            if let Some((number, event)) = self.ready.pop_front() {
                return Ok(Some(Line::of(number, Excerpt::of(b""), Ok(event))));
            }
            if memory.is_full() {
                return Ok(None);
            }
            let Some((record, pass)) = self.records.pop_front() else {
                let noted = self.note_vanished(memory);
                return noted
                    .map(|()| None)
                    .map_err(|source| ReadError::Memory { line: self.summary.records, source });
            };
            let number = record.number;
            match self.take(&record, pass, bounds, memory) {
                Ok(()) => self.note(&record),
                Err(Refusal::Memory(source)) => return Err(ReadError::Memory { line: number, source }),
                Err(Refusal::Rejected(reason)) => {
                    let excerpt = Excerpt::of_text(record.text());
                    return Ok(Some(Line::of(number, excerpt, Err(reason))));
                }
            }
        }
    }

    fn is_inside_line(&self) -> bool {
        !self.ready.is_empty()
    }

    fn feed(&self) -> Feed {
        Feed::Esm
    }

    fn summary(&self) -> SourceSummary {
        SourceSummary { esm: Some(self.summary.clone()), ..SourceSummary::from(&self.remarks) }
    }
}
