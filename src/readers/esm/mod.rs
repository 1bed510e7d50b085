//! Reports of Entitlement Service Monitoring (ESM v3): what Adobe Pass counted, hour by hour, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each record
//!   and metric an event with the count that nobody had before.
//! - Guarantees: a report read again gives nothing; a count that was corrected upwards gives the increase, one that was
//!   corrected downwards is told and gives nothing; two reports that group the same hour differently are not both counted;
//!   of a report that groups by what nobody knows nothing is counted.
//! - Does not know: where what it remembers is stored, who fetched the report.
//! - Rules: sections 8.2 to 8.4 of `reference/adobe-analytics.md`.

mod record;
mod report;
mod stated;
mod summary;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

pub use summary::EsmSummary;

use super::memory::{FeedKind, Keyring, MemoryChange, MemoryKey, Recollection};
use super::{Excerpt, Line, ReadError, Reader, RejectReason, UnknownKeys};
use crate::config::EsmConfig;
use crate::event::{Instant, PassEvent, TimeBounds};
pub use record::is_dimension_name;
use record::{Count, Grouping, Pass};
use report::Record;
pub use report::{limit_reached, mismatch};
pub use stated::{StatedCount, StatedReport, StatedTime, stated};

/// The longest report, in bytes: it is in memory as a whole, some times over. 10,000 rows take some 5 MB.
pub const REPORT_BYTES_MAX: u64 = 64 << 20;
/// Changes after which the reader asks for them to be stored.
const CHANGES_MAX: usize = 20_000;
/// What the digests of counts are made with. They are no secret, and must outlive every secret.
const NO_SECRET: &[u8] = b"esm";
/// What every row of ours begins with: it tells them from rows that are about a person. A total has what it was before behind
/// it, and the buffer refuses one that was another meanwhile.
pub const ROW_PREFIX: &str = "esm ";
const DAY_NANOS: i64 = 86_400_000_000_000;
const HOUR_NANOS: i64 = 3_600_000_000_000;

type Failure = Box<dyn Error + Send + Sync>;

/// Whether a source that begins so is a report.
pub fn starts_like_esm(start: &[u8]) -> bool {
    report::kind_of(start).is_some()
}

/// Reads a report. The number of a line is that of its record, from 1.
pub struct EsmReader {
    config: EsmConfig,
    keyring: Keyring,
    memory: Rc<RefCell<Recollection>>,
    /// The records that are left, each with the hour that it is of where the clock shows two alike.
    records: VecDeque<(Record, Pass)>,
    grouping: Grouping,
    ready: VecDeque<(u64, PassEvent)>,
    summary: EsmSummary,
    unknown: UnknownKeys,
}

impl EsmReader {
    /// Reads the whole report.
    pub fn new(
        source: impl BufRead,
        config: EsmConfig,
        memory: Rc<RefCell<Recollection>>,
    ) -> Result<EsmReader, ReadError> {
        let broken = |source| ReadError::Broken { line: 1, source };
        let mut document = Vec::new();
        source.take(REPORT_BYTES_MAX + 1).read_to_end(&mut document).map_err(broken)?;
        if document.len() as u64 > REPORT_BYTES_MAX {
            let what = format!("a report of more than {REPORT_BYTES_MAX} bytes: fetch it in parts");
            return Err(broken(io::Error::other(what)));
        }
        let refuse = |(line, what)| ReadError::Broken { line, source: io::Error::other(what) };
        let report = report::read(&document).map_err(refuse)?;
        let grouping = Grouping::of(&report.records, &config);
        let passes = grouping.passes(&report.records, &config).map_err(refuse)?;
        let summary = EsmSummary { truncated_at: report.reached_limit, ..EsmSummary::default() };
        Ok(EsmReader {
            config,
            keyring: Keyring::new(NO_SECRET),
            memory,
            records: report.records.into_iter().zip(passes).collect(),
            grouping,
            ready: VecDeque::new(),
            summary,
            unknown: UnknownKeys::default(),
        })
    }

    /// Takes a record; why it is none, where it is none.
    fn take(
        &mut self,
        record: &Record,
        pass: Pass,
        bounds: TimeBounds,
    ) -> Result<Result<(), RejectReason>, ReadError> {
        let counts = match self.grouping.counts(record, &self.config, pass, &mut self.summary) {
            Ok(counts) => counts,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(first) = counts.first() else { return Ok(Ok(())) };
        let failed = |source| ReadError::Memory { line: record.number, source };
        let place = self.place(first);
        if let Some(why) = self.refusal(first, place).map_err(failed)? {
            return Ok(Err(RejectReason::Esm(why)));
        }
        let drops_at = self.drops_at(first.occurred_at, bounds.now);
        let mut memory = self.memory.borrow_mut();
        // A record is taken whole or not at all: nothing is remembered of one that the clock forbids.
        let (mut ready, mut totals, mut lower) = (Vec::new(), Vec::new(), Vec::new());
        for count in &counts {
            let key = self.key(count);
            let body = memory.recall(key).map_err(failed)?;
            // The total, and behind it what it was before.
            let total = body.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)?.split(' ').next());
            let before: u64 = total.map_or(Ok(0), str::parse).map_err(|error| failed(Box::new(error)))?;
            if count.total < before {
                lower.push(before - count.total);
            }
            if count.total > before {
                match count.events(&key.hex(), before, bounds) {
                    Ok(events) => ready.extend(events.into_iter().map(|event| (record.number, event))),
                    Err(error) => return Ok(Err(RejectReason::Event(error))),
                }
                totals.push((key, count.total, before));
            }
        }
        lower.into_iter().for_each(|units| self.summary.decreased(record.number, units));
        if !totals.is_empty() {
            memory.remember(place, drops_at, Some(format!("{ROW_PREFIX}{}", self.grouping.name())));
        }
        for (key, total, before) in totals {
            memory.remember(key, drops_at, Some(format!("{ROW_PREFIX}{total} {before}")));
        }
        self.ready.extend(ready);
        Ok(Ok(()))
    }

    /// Where it is kept by which grouping a requestor's hour was counted.
    fn place(&self, count: &Count) -> MemoryKey {
        let hour = count.occurred_at.nanos().div_euclid(HOUR_NANOS).to_be_bytes();
        self.keyring.digest("grouping", &[count.requestor_id.as_str().as_bytes(), &hour])
    }

    /// Why counts like this one must not be taken.
    fn refusal(&self, count: &Count, place: MemoryKey) -> Result<Option<String>, Failure> {
        let mut memory = self.memory.borrow_mut();
        let requestor = count.requestor_id.as_str();
        if memory.feed(requestor)? == Some(FeedKind::Events) {
            return Ok(Some(format!(
                "is of requestor {requestor:?}, whose events come in one by one: ESM counts the same ones again, so take one of \
                 the two sources for a requestor"
            )));
        }
        let name = self.grouping.name();
        let known = memory.recall(place)?;
        let other =
            known.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)).filter(|known| *known != name);
        Ok(other.map(|other| {
            format!("is of an hour that was counted by {other}; this report groups by {name}, and would count it again")
        }))
    }

    /// The identity of a count, for ever.
    fn key(&self, count: &Count) -> MemoryKey {
        let mut parts =
            vec![count.metric.as_bytes(), count.requestor_id.as_str().as_bytes(), &count.occurred_at_bytes];
        for (name, value) in &count.dimensions {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        self.keyring.digest("count", &parts)
    }

    /// Totals are known for as long as Adobe may correct them, or a report may be read again.
    fn drops_at(&self, occurred_at: Instant, now: Instant) -> Instant {
        let days = i64::from(self.config.dedup_days) * DAY_NANOS;
        Instant::from_nanos(occurred_at.nanos().max(now.nanos()).saturating_add(days))
    }
}

impl Reader for EsmReader {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            if let Some((number, event)) = self.ready.pop_front() {
                let excerpt = Excerpt::of(b"");
                return Ok(Some(Line { number, excerpt, result: Ok(event), rule: None }));
            }
            if self.is_paused() {
                return Ok(None);
            }
            let Some((record, pass)) = self.records.pop_front() else { return Ok(None) };
            if let Err(reason) = self.take(&record, pass, bounds)? {
                let excerpt = Excerpt {
                    line_bytes: record.text.len() as u64,
                    bytes: record.text.into_bytes().into(),
                    header: None,
                    is_lossy: false,
                };
                return Ok(Some(Line { number: record.number, excerpt, result: Err(reason), rule: None }));
            }
        }
    }

    fn unknown_keys(&self) -> &UnknownKeys {
        &self.unknown
    }

    fn is_inside_line(&self) -> bool {
        !self.ready.is_empty()
    }

    fn is_paused(&self) -> bool {
        self.ready.is_empty() && self.memory.borrow().changes_waiting() >= CHANGES_MAX
    }

    fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.memory.borrow_mut().take_changes()
    }

    fn esm(&self) -> Option<&EsmSummary> {
        Some(&self.summary)
    }
}
