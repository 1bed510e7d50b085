//! Reads a report, and makes events of the part of its counts that is new.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead, Read};

use super::clocks::Clocks;
use super::encoding;
use super::fields::{ACCOUNTS, METRICS, REJECTED, counted_metric, is_no_number};
use super::hour::{Earlier, Hour};
use super::kept::{
    GROUPING, LACKING, NO_SECRET, ROW_PREFIX, grouping_and_clock, hour_key, mvpd_digest, with_lacking,
};
use super::kind;
use super::passes::{self, Passes};
use super::record::{Count, Grouping, total_of, units_of};
use super::report::{self, Record};
use super::respelt::{Respelt, Spellings, Twins};
use super::summary::EsmSummary;
use super::time::{Pass, times_on};
use super::vanished::SeenHours;
use crate::config::{EsmConfig, Zone};
use crate::event::{EventKind, Instant, KindSet, PassEvent, Property, TimeBounds, is_spoilt};
use crate::readers::line::{
    Excerpt, Line, ReadError, ReadResult, Reader, RejectReason, SourceSummary, requestor_as,
};
use crate::readers::memory::{Feed, Keyring, MemoryError, MemoryKey, MemoryResult, Recollection};
use crate::readers::remarks::Remarks;

/// The longest report, in bytes. A report is in memory as a whole, several times over; 10,000 rows take some 5 MB.
pub const REPORT_BYTES_MAX: u64 = 64 << 20;
const NOT_UTF8: &str =
    "it is not UTF-8: convert it, as iconv -f WINDOWS-1252 -t UTF-8 FILE does for a text of Western Europe";
const DAY_NANOS: i64 = 86_400_000_000_000;
/// The most hours of requestors that are held at a time. A report has the records of an hour side by side.
const HOURS_HELD_MAX: usize = 64;

/// Reads a report. The number of a `Line` is the number of its record from 1, or in CSV its first line.
pub struct EsmReader {
    keyring: Keyring,
    /// The records that are not taken yet. The pass says which hour a record means if the clock shows that hour twice.
    records: VecDeque<(Record, Pass)>,
    grouping: Grouping,
    ready: VecDeque<(u64, PassEvent)>,
    hours: VecDeque<Hour>,
    /// The hours of requestors that were not counted before this report.
    new_hours: HashSet<MemoryKey>,
    /// The hours that were counted before.
    seen: SeenHours,
    /// The hours of which this report has a count that was counted before. A report that is only another page has none.
    again: HashSet<MemoryKey>,
    twins: Twins,
    spellings: Spellings,
    clocks: Clocks,
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
        let text = &document[..end];
        if std::str::from_utf8(text).is_err() && encoding::other_encoding(text).is_none() {
            return Err(ReadError::Foreign(io::Error::other(NOT_UTF8)));
        }
        if !kind::starts_like_esm(text) {
            return Err(ReadError::Foreign(io::Error::other(kind::no_report(text))));
        }
        let report = report::read(text).map_err(refuse)?;
        drop(document);
        let grouping = Grouping::of(&report.records, config.clone());
        if let Some(name) = report::nameless(&report.records, grouping.dimensions()) {
            let what = format!(
                "no record says its {name}: leave out this column if the report is not by {name}, or fetch it again"
            );
            return Err(refuse((1, what)));
        }
        let Passes { all: passes, likely_sum } = grouping.passes(&report.records).map_err(refuse)?;
        let twins = grouping.twins(&report.records, &passes);
        let summary = EsmSummary {
            alike: twins.count,
            first_alike: twins.first.as_ref().map(|(record, first, Respelt { name, here, there })| {
                (*record, format!("{name} {here:?} beside {there:?} in record (in CSV: line) {first}"))
            }),
            likely_sum,
            records: report.records.len() as u64,
            truncated_at: report.reached_limit,
            has_next: report.has_next,
            repeated: report.repeated,
            ..EsmSummary::default()
        };
        Ok(EsmReader {
            keyring: Keyring::new(NO_SECRET),
            records: report.records.into_iter().zip(passes).collect(),
            grouping,
            ready: VecDeque::new(),
            hours: VecDeque::new(),
            new_hours: HashSet::new(),
            seen: SeenHours::default(),
            again: HashSet::new(),
            twins,
            spellings: Spellings::default(),
            clocks: Clocks::default(),
            summary,
            remarks: report.remarks,
        })
    }

    /// Notes values that a spreadsheet spoilt, values with lost letters, and names of MVPDs and proxies that are words for
    /// none or have leftovers of an encoding. It is not called for rejected records.
    fn note(&mut self, record: &Record) {
        for (name, text) in record.fields().filter(|(name, _)| self.grouping.has(name)) {
            if is_spoilt(Property::Mvpd, text) {
                self.remarks.note_spoilt(record.number, name, text);
            }
            self.remarks.note_lost_letters(record.number, name, text);
        }
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
        if let Pass::Sum(dimension) = pass {
            return Err(RejectReason::Esm(self.grouping.sum(record, dimension)).into());
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
        let at = self.hour(record, first, memory)?;
        let Hour { place, number, .. } = self.hours[at];
        let (is_new, is_stored) = (self.new_hours.contains(&place), memory.has_earlier());
        let mut before = Vec::with_capacity(counts.len());
        for count in &counts {
            let key = count.key(&self.keyring);
            before.push((key, total_of(memory, key)?));
        }
        let stated = before.iter().map(|(_, before)| before).sum();
        let Earlier { known, respelt } = self.earlier(record, pass, &counts, (stated, at), memory)?;
        if record.field("minute").is_none() && !is_new {
            let units = counts.iter().map(|count| count.total).sum::<u64>();
            let mvpd = record.field("mvpd").unwrap_or_default();
            let folded = self.spellings.folded(mvpd);
            self.seen.of(first.requestor_id.as_str(), number, memory)?.add(mvpd, folded, units, known);
        }
        if let Some(Respelt { name, here, there }) = respelt {
            let why = format!(
                "has {name} {here:?}, and was counted with {there:?}, which this report no longer has: it would be counted again; \
                 spell it as before, or take back first what was counted (passbridge pending take-back)"
            );
            return Err(RejectReason::Esm(why).into());
        }
        let (mut ready, mut totals, mut lower) = (Vec::new(), Vec::new(), Vec::new());
        let mut counted = Vec::new();
        for (count, (key, before)) in counts.iter().zip(before) {
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
        let drops_at = self.drops_at(first.occurred_at, bounds.now);
        if is_stored {
            self.note_lacking(&counts, counted, known > 0, at, memory);
            if known > 0 || !totals.is_empty() {
                self.spellings.remember(first, drops_at, memory)?;
                self.remember_hour(first, at, !totals.is_empty(), drops_at, memory)?;
            }
        } else if !totals.is_empty() && !self.hours[at].is_remembered {
            memory.remember(place, drops_at, Some(format!("{ROW_PREFIX}{}", self.grouping.name())));
            (self.hours[at].is_own, self.hours[at].is_remembered) = (true, true);
        }
        lower.into_iter().for_each(|units| self.summary.decreased(record.number, units));
        for (key, total, before) in totals {
            if !memory.set_passing_total(key, total) {
                memory.remember(key, drops_at, Some(format!("{ROW_PREFIX}{total} {before}")));
            }
        }
        self.ready.extend(ready);
        Ok(())
    }

    /// What was counted of a record before, under its own names or another spelling of them: `stated` units in its metrics,
    /// and in others if its hour, at index `at`, is not new. Refuses a record that was counted on another clock.
    fn earlier(
        &mut self,
        record: &Record,
        pass: Pass,
        counts: &[Count],
        (stated, at): (u64, usize),
        memory: &mut Recollection,
    ) -> Result<Earlier, Refusal> {
        let mut earlier = Earlier { known: stated, respelt: None };
        let Hour { place, kinds, .. } = self.hours[at];
        if !self.new_hours.contains(&place) {
            earlier.known += units_of(&self.keyring, &counts[0], counts, kinds, memory)?;
        }
        if !memory.has_earlier() || earlier.known > 0 || counts.iter().all(|count| count.total == 0) {
            return Ok(earlier);
        }
        self.refuse_other_clock(record, &counts[0], memory)?;
        if !self.twins.has(&self.grouping, record, pass) {
            let units =
                |count: &Count, memory: &mut Recollection| units_of(&self.keyring, count, &[], None, memory);
            let counted = self.spellings.counted_as(&counts[0], memory, units)?;
            (earlier.respelt, earlier.known) =
                counted.map_or((None, 0), |(respelt, units)| (Some(respelt), units));
        }
        Ok(earlier)
    }

    /// Remembers by which grouping and on which clock an hour was counted. A clock that is remembered stays. If an earlier
    /// release counted the hour, without its clock, the clock of this report is added.
    fn remember_hour(
        &mut self,
        count: &Count,
        at: usize,
        is_more: bool,
        drops_at: Instant,
        memory: &mut Recollection,
    ) -> MemoryResult<()> {
        let hour = &mut self.hours[at];
        if hour.is_remembered || hour.is_own && !is_more {
            return Ok(());
        }
        let zone = self.grouping.config.timezone;
        self.clocks.remember(count.requestor_id.as_str(), zone, drops_at, memory)?;
        let row = memory.recall_of_esm(hour.place)?;
        let clock = row.as_deref().and_then(|row| grouping_and_clock(row)?.1);
        let clock = clock.map_or_else(|| zone.to_string(), str::to_owned);
        if is_more || row.is_some_and(|row| !row.contains('@')) {
            hour.is_own = clock == zone.to_string();
            hour.is_remembered = is_more;
            let row = format!("{ROW_PREFIX}{}@{clock}", self.grouping.name());
            memory.remember(hour.place, drops_at, Some(row));
        }
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
                is_known &= count.total == total_of(memory, count.key(&self.keyring))?;
            }
            if is_known {
                return Ok(Some(pass));
            }
        }
        Ok(None)
    }

    /// The index of the hour of a record. Refuses counts of a requestor that has single events, and counts of an hour that
    /// another grouping counted, or the same grouping on a clock that shows this record at another time.
    fn hour(&mut self, record: &Record, count: &Count, memory: &mut Recollection) -> Result<usize, Refusal> {
        let (requestor_id, number) = (&count.requestor_id, count.occurred_at.unix_hour());
        let is_it = |hour: &Hour| hour.number == number && hour.requestor_id == *requestor_id;
        let held = self.hours.iter().rposition(is_it);
        if let Some(at) = held.filter(|at| self.hours[*at].is_own) {
            return Ok(at);
        }
        let requestor = requestor_id.as_str();
        if let Some((Feed::Events, there)) = memory.feed(requestor)? {
            let requestor = requestor_as(requestor, &there);
            let why = format!(
                "is of requestor {requestor}, whose events come in one by one: ESM counts the same ones again, so take one of \
                 the two sources for a requestor"
            );
            return Err(RejectReason::Esm(why).into());
        }
        let place = held.map_or_else(|| hour_key(GROUPING, requestor, number), |at| self.hours[at].place);
        let known = memory.recall_of_esm(place)?;
        let (name, zone) = (self.grouping.name(), self.grouping.config.timezone);
        let mut is_own = false;
        if let Some((grouping, clock)) = known.as_deref().and_then(grouping_and_clock) {
            if grouping != name {
                let why = format!(
                    "is of an hour that was counted by {grouping}; this report groups by {name}, and would count it again"
                );
                return Err(RejectReason::Esm(why).into());
            }
            is_own = clock.is_some_and(|clock| clock == zone.to_string());
            if let Some(zone) = clock.filter(|_| !is_own).and_then(|clock| clock.parse::<Zone>().ok())
                && !times_on(record, zone).contains(&count.occurred_at)
            {
                return Err(RejectReason::Esm(self.other_clock(zone, count.occurred_at)).into());
            }
        }
        if let Some(at) = held {
            return Ok(at);
        }
        if known.is_none() {
            self.new_hours.insert(place);
        }
        let is_new = self.new_hours.contains(&place);
        let kinds = if is_new { None } else { self.seen.kinds(requestor, number, memory)? };
        let lacking_at = hour_key(LACKING, requestor, number);
        let (lacking, requestor_id) = (memory.recall_of_esm(lacking_at)?, requestor_id.clone());
        if self.hours.len() >= HOURS_HELD_MAX {
            self.hours.pop_front();
        }
        self.hours.push_back(Hour {
            requestor_id,
            number,
            place,
            lacking_at,
            lacking,
            kinds,
            is_own,
            is_remembered: false,
        });
        Ok(self.hours.len() - 1)
    }

    /// Refuses a record that was counted on another clock, at another hour.
    fn refuse_other_clock(
        &mut self,
        record: &Record,
        count: &Count,
        memory: &mut Recollection,
    ) -> Result<(), Refusal> {
        let requestor_id = count.requestor_id.as_str();
        let own = self.grouping.config.timezone;
        for zone in self.clocks.of(requestor_id, memory)?.iter().filter(|zone| **zone != own) {
            for at in times_on(record, *zone).into_iter().filter(|at| *at != count.occurred_at) {
                let row = memory.recall_of_esm(hour_key(GROUPING, requestor_id, at.unix_hour()))?;
                let clock = row.as_deref().and_then(|row| grouping_and_clock(row)?.1);
                let there = Count { occurred_at: at, ..count.clone() };
                if clock.is_some_and(|clock| clock == zone.to_string())
                    && units_of(&self.keyring, &there, &[], None, memory)? > 0
                {
                    return Err(RejectReason::Esm(self.other_clock(*zone, at)).into());
                }
            }
        }
        Ok(())
    }

    fn other_clock(&self, counted_on: Zone, at: Instant) -> String {
        format!(
            "would be counted on the clock of {}, and {at} was counted on that of {counted_on}: the same counts would be of two hours; \
             set esm.timezone back, or take back first what was counted (passbridge pending take-back)",
            self.grouping.config.timezone
        )
    }

    /// Notes which columns a new record of an MVPD lacks, and removes those that a known record has now. `counted` are
    /// the kinds of its events that were counted before. Nothing is noted of a new record whose counts are all 0. The
    /// note stays for ever, as the metrics do.
    fn note_lacking(
        &mut self,
        counts: &[Count],
        counted: Vec<EventKind>,
        is_known: bool,
        at: usize,
        memory: &mut Recollection,
    ) {
        let stated = counts.iter().filter(|count| count.metric != REJECTED).map(|count| count.kind);
        let stated: KindSet = stated.collect();
        let lacked = METRICS.into_iter().map(|(_, kind)| kind).collect::<KindSet>().without(stated);
        let mvpd = mvpd_digest(counts[0].dimensions.get("mvpd").map_or("", String::as_str));
        let change = |before: KindSet| match is_known {
            true => before.without(stated.without(counted.into_iter().collect())),
            false if counts.iter().any(|count| count.total > 0) => before.with(lacked),
            false => before,
        };
        let hour = &mut self.hours[at];
        if let Some(row) = with_lacking(hour.lacking.as_deref(), mvpd, change) {
            memory.remember(hour.lacking_at, Instant::from_nanos(i64::MAX), Some(row.clone()));
            hour.lacking = Some(row);
        }
    }

    /// When a total is dropped. Until then, Adobe may correct it, or a report may be read again.
    fn drops_at(&self, occurred_at: Instant, now: Instant) -> Instant {
        let days = i64::from(self.grouping.config.dedup_days) * DAY_NANOS;
        Instant::from_nanos(occurred_at.nanos().max(now.nanos()).saturating_add(days))
    }
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
                let is_again = |place: &MemoryKey| self.again.contains(place);
                let vanished = std::mem::take(&mut self.seen).vanished(&self.grouping, is_again);
                vanished.into_iter().for_each(|mvpd| self.summary.vanished(mvpd));
                return Ok(None);
            };
            let number = record.number;
            match self.take(&record, pass, bounds, memory) {
                Ok(()) => self.note(&record),
                Err(Refusal::Memory(source)) => return Err(ReadError::Memory { line: number, source }),
                Err(Refusal::Rejected(reason)) => {
                    // The rejects file gets no text of the record. If somebody mended it there and ingested it alone, it
                    // would lack its place in the report and its neighbours, by which it is counted only once.
                    let text = record.text();
                    let excerpt = Excerpt::hidden(text.as_bytes(), text.len() as u64);
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
