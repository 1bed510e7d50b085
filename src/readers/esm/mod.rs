//! Reports of Entitlement Service Monitoring (ESM v3): what Adobe Pass counted, hour by hour, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each record
//!   and metric an event with the count that nobody had before.
//! - Guarantees: a report read again gives nothing; a count that was corrected upwards gives the increase, one that was
//!   corrected downwards is told and gives nothing; two reports that group the same hour differently are not both counted;
//!   of a report that groups by what nobody knows nothing is counted.
//! - Does not know: where what it remembers is stored, who fetched the report.
//! - Rules: sections 8.2 to 8.4 of `reference/adobe-analytics.md`.

mod accounts;
mod passes;
mod record;
mod report;
mod stated;
mod summary;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::error::Error;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

pub use accounts::StatedAccounts;
pub use summary::EsmSummary;

use super::memory::{FeedKind, Keyring, MemoryChange, MemoryKey, Recollection};
use super::{Excerpt, Line, ReadError, Reader, RejectReason, UnknownKeys};
use crate::config::EsmConfig;
use crate::event::{Instant, PassEvent, TimeBounds};
use passes::Passes;
pub use record::is_dimension_name;
use record::{Count, Grouping, Pass};
use report::Record;
pub use report::{limit_reached, mismatch};
pub use stated::{StatedCount, StatedReport, StatedTime};

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

/// A record that is still to be taken.
struct Waiting {
    record: Record,
    /// Which of two hours it is of, where the clock shows them alike.
    pass: Pass,
    /// The record of the other hour with the same dimensions.
    twin: Option<Box<Record>>,
}

/// Reads a report. The number of a line is that of its record, from 1.
pub struct EsmReader {
    config: EsmConfig,
    keyring: Keyring,
    memory: Rc<RefCell<Recollection>>,
    /// The records that are left.
    records: VecDeque<Waiting>,
    grouping: Grouping,
    ready: VecDeque<(u64, PassEvent)>,
    /// What was stated since it was last taken.
    stated: Vec<StatedAccounts>,
    summary: EsmSummary,
    unknown: UnknownKeys,
}

impl EsmReader {
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
        drop(document);
        let grouping = Grouping::of(&report.records, &config);
        let passes = grouping.passes(&report.records, &config).map_err(refuse)?;
        let summary = EsmSummary { truncated_at: report.reached_limit, ..EsmSummary::default() };
        Ok(EsmReader {
            config,
            keyring: Keyring::new(NO_SECRET),
            memory,
            records: waiting(report.records, &passes),
            grouping,
            ready: VecDeque::new(),
            stated: Vec::new(),
            summary,
            unknown: UnknownKeys::default(),
        })
    }

    /// Takes a record; why it is none, where it is none.
    fn take(
        &mut self,
        record: &Record,
        mut pass: Pass,
        bounds: TimeBounds,
    ) -> Result<Result<(), RejectReason>, ReadError> {
        if pass == Pass::Unknown {
            match self.pass_by_totals(record)? {
                Some(known) => pass = known,
                None => return Ok(Err(RejectReason::Esm(passes::in_doubt(record, &self.config)))),
            }
        }
        let accounts = match self.grouping.accounts(record, &self.config, pass) {
            Ok(accounts) => accounts,
            Err(reason) => return Ok(Err(reason)),
        };
        if accounts.is_some() && record.field("hour").is_none() {
            self.grouping.skip_counts(record, &mut self.summary);
            self.state(accounts);
            return Ok(Ok(()));
        }
        let counts = match self.grouping.counts(record, &self.config, pass, &mut self.summary) {
            Ok(counts) => counts,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(first) = counts.first() else {
            self.state(accounts);
            return Ok(Ok(()));
        };
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
            let before = total_of(&mut memory, key).map_err(failed)?;
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
        drop(memory);
        self.state(accounts);
        Ok(Ok(()))
    }

    /// Keeps what a record states.
    fn state(&mut self, accounts: Option<StatedAccounts>) {
        self.summary.stated_accounts += u64::from(accounts.is_some());
        // Where nothing is ever stored, nobody takes them.
        if self.memory.borrow().is_stored() {
            self.stated.extend(accounts);
        }
    }

    /// The known totals of what a record counts, beside its own; none where it cannot be read, which is told when it is taken.
    fn totals(&self, record: &Record, pass: Pass) -> Result<Vec<(u64, u64)>, ReadError> {
        let counts = self.grouping.counts(record, &self.config, pass, &mut EsmSummary::default());
        let known = |count: Count| {
            let known = total_of(&mut self.memory.borrow_mut(), self.key(&count));
            known
                .map(|known| (count.total, known))
                .map_err(|source| ReadError::Memory { line: record.number, source })
        };
        counts.unwrap_or_default().into_iter().map(known).collect()
    }

    /// Which of two hours a record is of, where nothing but its counts tells it: they are known already, so that nothing is added.
    fn pass_by_totals(&self, record: &Record) -> Result<Option<Pass>, ReadError> {
        for pass in [Pass::First, Pass::Second] {
            if self.totals(record, pass)?.iter().all(|(total, known)| total == known) {
                return Ok(Some(pass));
            }
        }
        Ok(None)
    }

    /// Whether two hours that the clock shows alike were counted the other way round before, from a report that did not say in
    /// which order it was: then a count that was known would be lowered, and the same one added to the other hour.
    fn is_other_way_round(&self, first: &Record, second: &Record) -> Result<bool, ReadError> {
        let lowers = |record, pass| {
            Ok::<_, ReadError>(self.totals(record, pass)?.iter().any(|(total, known)| total < known))
        };
        let is_lowered = lowers(first, Pass::First)? || lowers(second, Pass::Second)?;
        Ok(is_lowered && !lowers(first, Pass::Second)? && !lowers(second, Pass::First)?)
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

/// Records in their order, those of two hours that the clock shows alike together.
fn waiting(records: Vec<Record>, passes: &Passes) -> VecDeque<Waiting> {
    if passes.twins.is_empty() {
        let alone = |(record, pass): (Record, &Pass)| Waiting { record, pass: *pass, twin: None };
        return records.into_iter().zip(&passes.of).map(alone).collect();
    }
    let mut twins: HashMap<usize, Box<Record>> = HashMap::new();
    let seconds: HashSet<usize> = passes.twins.values().copied().collect();
    let mut waiting = VecDeque::with_capacity(records.len());
    for (index, record) in records.into_iter().enumerate() {
        if seconds.contains(&index) {
            twins.insert(index, Box::new(record));
        } else {
            waiting.push_back((index, record));
        }
    }
    let with_twin = |(index, record)| Waiting {
        record,
        pass: passes.of[index],
        twin: passes.twins.get(&index).and_then(|second| twins.remove(second)),
    };
    waiting.into_iter().map(with_twin).collect()
}

/// The total that was counted under this key so far. Behind it stands what it was before.
fn total_of(memory: &mut Recollection, key: MemoryKey) -> Result<u64, Failure> {
    let body = memory.recall(key)?;
    let total = body.as_deref().and_then(|body| body.strip_prefix(ROW_PREFIX)?.split(' ').next());
    Ok(total.map_or(Ok(0), str::parse)?)
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
            let Some(Waiting { record, mut pass, twin }) = self.records.pop_front() else { return Ok(None) };
            if let Some(twin) = twin {
                let mut other = Pass::Second;
                if self.is_other_way_round(&record, &twin)? {
                    std::mem::swap(&mut pass, &mut other);
                }
                self.records.push_front(Waiting { record: *twin, pass: other, twin: None });
            }
            if let Err(reason) = self.take(&record, pass, bounds)? {
                let text = record.text();
                let excerpt = Excerpt {
                    line_bytes: text.len() as u64,
                    bytes: text.into_bytes().into(),
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
        let waiting = self.memory.borrow().changes_waiting().max(self.stated.len());
        self.ready.is_empty() && waiting >= CHANGES_MAX
    }

    fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.memory.borrow_mut().take_changes()
    }

    fn take_stated(&mut self) -> Vec<StatedAccounts> {
        std::mem::take(&mut self.stated)
    }

    fn esm(&self) -> Option<&EsmSummary> {
        Some(&self.summary)
    }
}
