//! Reports of Entitlement Service Monitoring (ESM v3): what Adobe Pass counted, hour by hour, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each record
//!   and metric an event with the count that nobody had before.
//! - Guarantees: a report read again gives nothing; a count that was corrected upwards gives the increase, one that was
//!   corrected downwards is told and gives nothing; two reports that group the same hour differently are not both counted.
//! - Does not know: where what it remembers is stored, who fetched the report.
//! - Rules: sections 8.2 to 8.4 of `reference/adobe-analytics.md`.

mod record;
mod report;
mod summary;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

pub use summary::EsmSummary;

use super::memory::{FeedKind, Keyring, MemoryChange, MemoryKey, Recollection};
use super::{Excerpt, Line, ReadError, Reader, RejectReason, UnknownKeys};
use crate::config::EsmConfig;
use crate::event::{Instant, PassEvent, TimeBounds};
use record::{Count, Grouping, Pass};
use report::Record;

/// The longest report, in bytes: it is read as a whole. Adobe's own limit of rows lies far below.
const REPORT_BYTES_MAX: u64 = 256 << 20;
/// Changes after which the reader asks for them to be stored.
const CHANGES_MAX: usize = 20_000;
/// What the digests of counts are made with. They are no secret, and must outlive every secret.
const NO_SECRET: &[u8] = b"esm";
/// What every row of ours begins with: it tells them from rows that are about a person.
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
    records: VecDeque<Record>,
    grouping: Grouping,
    /// The counts of this report by their digest: the same twice is a report that groups by what nobody knows.
    seen: BTreeSet<[u8; 16]>,
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
        let report = report::read(&document)
            .map_err(|(line, what)| ReadError::Broken { line, source: io::Error::other(what) })?;
        let grouping = Grouping::of(&report.records, &config);
        let summary = EsmSummary { truncated_at: report.reached_limit, ..EsmSummary::default() };
        Ok(EsmReader {
            config,
            keyring: Keyring::new(NO_SECRET),
            memory,
            records: report.records.into(),
            grouping,
            seen: BTreeSet::new(),
            ready: VecDeque::new(),
            summary,
            unknown: UnknownKeys::default(),
        })
    }

    /// Takes a record; why it is none, where it is none.
    fn take(&mut self, record: &Record, bounds: TimeBounds) -> Result<Result<(), RejectReason>, ReadError> {
        let counts = match self.counts(record) {
            Ok(counts) => counts,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(first) = counts.first() else { return Ok(Ok(())) };
        let failed = |source| ReadError::Memory { line: record.number, source };
        if let Some(why) = self.refusal(first, bounds.now).map_err(failed)? {
            return Ok(Err(RejectReason::Esm(why)));
        }
        let drops_at = self.drops_at(first.occurred_at, bounds.now);
        let mut memory = self.memory.borrow_mut();
        for count in counts {
            let key = self.key(&count);
            let body = memory.recall(key).map_err(failed)?;
            let before =
                body.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)).map_or(Ok(0), str::parse);
            let before: u64 = before.map_err(|error| failed(Box::new(error)))?;
            if count.total < before {
                self.summary.decreased(record.number, before - count.total);
            }
            if count.total > before {
                // What the clock forbids is refused before anything is remembered of it.
                match count.events(&key.hex(), before, bounds) {
                    Ok(events) => self.ready.extend(events.into_iter().map(|event| (record.number, event))),
                    Err(error) => return Ok(Err(RejectReason::Event(error))),
                }
                memory.remember(key, drops_at, Some(format!("{ROW_PREFIX}{}", count.total)));
            }
        }
        Ok(Ok(()))
    }

    /// The counts of a record, none of which was in the report before.
    fn counts(&mut self, record: &Record) -> Result<Vec<Count>, RejectReason> {
        let mut skipped = EsmSummary::default();
        for pass in [Pass::First, Pass::Second] {
            skipped = EsmSummary::default();
            let counts = self.grouping.counts(record, &self.config, pass, &mut skipped)?;
            let keys: Vec<_> = counts.iter().map(|count| self.key(count).0).collect();
            if keys.iter().all(|key| !self.seen.contains(key)) {
                self.seen.extend(keys);
                self.summary.add(&skipped);
                return Ok(counts);
            }
        }
        self.summary.add(&skipped);
        Err(RejectReason::Esm(
            "has the hour and the dimensions of a record before it: the report groups by something that is neither a known \
             dimension nor a metric; name it in esm.dimensions"
                .to_owned(),
        ))
    }

    /// Why counts like this one must not be taken.
    fn refusal(&self, count: &Count, now: Instant) -> Result<Option<String>, Failure> {
        let mut memory = self.memory.borrow_mut();
        let requestor = count.requestor_id.as_str();
        if memory.feed(requestor)? == Some(FeedKind::Events) {
            return Ok(Some(format!(
                "is of requestor {requestor:?}, whose events come in one by one: ESM counts the same ones again, so take one of \
                 the two sources for a requestor"
            )));
        }
        let hour = count.occurred_at.nanos().div_euclid(HOUR_NANOS).to_be_bytes();
        let place = self.keyring.digest("grouping", &[requestor.as_bytes(), &hour]);
        let name = self.grouping.name();
        let known = memory.recall(place)?;
        match known.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)) {
            Some(known) if known == name => Ok(None),
            Some(known) => Ok(Some(format!(
                "is of an hour that was counted by {known}; this report groups by {name}, and would count it again"
            ))),
            None => {
                memory.remember(
                    place,
                    self.drops_at(count.occurred_at, now),
                    Some(format!("{ROW_PREFIX}{name}")),
                );
                Ok(None)
            }
        }
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
            let Some(record) = self.records.pop_front() else { return Ok(None) };
            if let Err(reason) = self.take(&record, bounds)? {
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
