//! Counts events as they are read, by suite, requestor and day.
//!
//! Memory grows with the number of distinct entries, up to a limit. A hash table doubles when 7/8 of it is used, so an
//! entry takes 8/7 to 16/7 of a slot. While a table grows, the old one is kept too, which is half as large:
//!
//! ```text
//! per million                      slot      at most
//! distinct events                  13 bytes  30 MB      digest of the identity, 32 bits of the digest of the content
//! distinct visitors of a suite     21 bytes  48 MB      digest, earliest second, hits, suite
//! pairs of visitor and day         9 bytes   21 MB      digest of visitor and day
//! ```
//!
//! With [`REMEMBERED_MAX`] entries a table is full and takes no more. The three tables together take at most 1.5 GB,
//! or 1.8 GB while one grows. Measured: a plan of 2 million events of 200,000 visitors on 30 days peaks at 110 MB.
//! With a full table, two 64-bit digests are equal by chance in one of 40,000 plans. That plan then counts one event
//! or visitor too few. The backfill itself does not use these digests.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::counts::{Counts, Day, DayPlan, NewDays, Progress, SuitePlan, UnmappedPlan};
use super::routes::Sample;
use super::warning::{GIANT_HITS, GIANT_SHARE, OLD_DAYS, REMEMBERED_MAX, RETAINED_DAYS, Warning};
use crate::buffer::{Buffer, BufferError, PlanningReader, Recognition, SuiteListing};
use crate::config::STAND_IN_AGENT;
use crate::delivery::DeadReason;
use crate::encode::{bulk_row, dia};
use crate::event::{ContentDigest, EventId, Identity, Instant, PassEvent, RequestorId};
use crate::hit::VisitorKey;
use crate::mapping;
use crate::suite::{EventIds, HitForm, SuiteState};

/// How many events are compared with the buffer at a time, in the order of its index.
const BATCH_EVENTS: usize = 4_096;
const DAY_NANOS: i64 = 86_400_000_000_000;

/// The digest of an entry, as bytes: a `u64` would be aligned, and this would pad the entries.
type Digest = [u8; 8];

/// A visitor of a suite.
struct Visitor {
    earliest_second: u32,
    hits: u32,
    suite: u32,
}

/// An event that is no duplicate within the inputs. The buffer has not been asked about it yet.
struct Row {
    identity: Identity,
    requestor: usize,
    day: Day,
    occurred_at: Instant,
    count: u32,
    fate: Fate,
}

/// What becomes of an event once it is stored.
enum Fate {
    Unmapped,
    Dead(DeadReason),
    Sent { visitor: VisitorKey, hits: u64, document_bytes: u64, row_bytes: u64 },
}

/// How many events are outside an age limit, and the time of the event furthest outside.
#[derive(Default)]
struct Aged {
    events: u64,
    furthest: Option<Instant>,
}

impl Aged {
    fn take(&mut self, at: Instant, is_further: fn(&Instant, &Instant) -> bool) {
        self.events += 1;
        if self.furthest.is_none_or(|furthest| is_further(&at, &furthest)) {
            self.furthest = Some(at);
        }
    }
}

struct SuiteTally {
    listing: SuiteListing,
    /// The suite's part of the plan. `add_up` fills in the requestors, the days and their sums.
    plan: SuitePlan,
    day_visitors: BTreeMap<Day, u64>,
    dead: Option<DeadReason>,
    beyond_retention: Aged,
    old: Aged,
    future: Aged,
}

struct RequestorTally {
    id: RequestorId,
    suite: Option<usize>,
    days: BTreeMap<Day, Counts>,
}

impl RequestorTally {
    /// The first and the last day on which the requestor has a new event.
    fn span(&self) -> Option<(Day, Day)> {
        let mut days = self.days.iter().filter(|(_, counts)| counts.events > 0).map(|(day, _)| *day);
        let first = days.next()?;
        Some((first, days.next_back().unwrap_or(first)))
    }
}

pub(super) struct Tallied {
    pub(super) suites: Vec<SuitePlan>,
    pub(super) unmapped: Vec<UnmappedPlan>,
    pub(super) new_days: Vec<NewDays>,
    pub(super) sample: Sample,
    pub(super) warnings: Vec<Warning>,
}

pub(super) struct Tally {
    /// The time that tells whether an event is too old or in the future.
    pub(super) now: Instant,
    reader: PlanningReader,
    /// Whether the events are already stored in the buffer.
    is_stored: bool,
    suites: Vec<SuiteTally>,
    requestors: Vec<RequestorTally>,
    numbers: HashMap<RequestorId, usize>,
    seen: HashMap<Digest, [u8; 4]>,
    visitors: HashMap<Digest, Visitor>,
    day_visitors: HashSet<Digest>,
    /// Two counts: events that came while the table of events was full, and events while a table of visitors was full.
    unremembered: [u64; 2],
    conflicts_in_buffer: u64,
    conflicts_in_inputs: u64,
    earliest: Option<Instant>,
    batch: Vec<Row>,
    sample: Sample,
    document: Vec<u8>,
    pub(super) progress: Progress,
}

impl Tally {
    /// A tally of events to ingest or, if `is_stored`, of events in the buffer, which has each of them once.
    pub(super) fn new(buffer: &Buffer, now: Instant, is_stored: bool) -> Result<Tally, BufferError> {
        Ok(Tally {
            now,
            reader: buffer.planning()?,
            is_stored,
            suites: buffer.suites()?.into_iter().map(SuiteTally::new).collect(),
            requestors: Vec::new(),
            numbers: HashMap::new(),
            seen: HashMap::new(),
            visitors: HashMap::new(),
            day_visitors: HashSet::new(),
            unremembered: [0; 2],
            conflicts_in_buffer: 0,
            conflicts_in_inputs: 0,
            earliest: None,
            batch: Vec::with_capacity(BATCH_EVENTS),
            sample: Sample::new(),
            document: Vec::new(),
            progress: Progress { events_read: 0, events_new: 0 },
        })
    }

    /// Adds an event. Returns true if the event filled a batch, which was then settled. `frozen` is the hit
    /// form of the event's earlier attempts, if there are any.
    pub(super) fn take(&mut self, event: &PassEvent, frozen: Option<&HitForm>) -> Result<bool, BufferError> {
        self.progress.events_read += 1;
        let requestor = self.requestor(event.requestor_id());
        let identity @ Identity { id, content, .. } = event.identity();
        let (occurred_at, count) = (event.occurred_at(), event.count());
        let day = Day::of(occurred_at);
        if !self.is_stored && !self.is_first(id, content, requestor, day) {
            return Ok(false);
        }
        let fate = self.fate(event, id, requestor, frozen);
        self.batch.push(Row { identity, requestor, day, occurred_at, count, fate });
        let is_full = self.batch.len() >= BATCH_EVENTS;
        if is_full {
            self.settle()?;
        }
        Ok(is_full)
    }

    fn requestor(&mut self, id: &RequestorId) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let is_mapped = |suite: &SuiteTally| suite.listing.requestors.iter().any(|own| own == id.as_str());
        let suite = self.suites.iter().position(is_mapped);
        self.requestors.push(RequestorTally { id: id.clone(), suite, days: BTreeMap::new() });
        self.numbers.insert(id.clone(), self.requestors.len() - 1);
        self.requestors.len() - 1
    }

    /// Whether this is the first event with this identity. If not, counts it as a duplicate or a conflict.
    fn is_first(&mut self, id: EventId, content: ContentDigest, requestor: usize, day: Day) -> bool {
        // The second half of an identity is a digest. The first half may begin with the time.
        let [.., a, b, c, d, e, f, g, h] = *id.bytes();
        let digest = [a, b, c, d, e, f, g, h];
        let [.., w, x, y, z] = content.0.to_be_bytes();
        let content = [w, x, y, z];
        if let Some(known) = self.seen.get(&digest) {
            let counts = self.requestors[requestor].days.entry(day).or_default();
            if *known == content {
                counts.duplicates_in_inputs += 1;
            } else {
                counts.conflicts += 1;
                self.conflicts_in_inputs += 1;
            }
            return false;
        }
        if self.seen.len() < REMEMBERED_MAX {
            self.seen.insert(digest, content);
        } else {
            self.unremembered[0] += 1;
        }
        true
    }

    fn fate(&mut self, event: &PassEvent, id: EventId, requestor: usize, frozen: Option<&HitForm>) -> Fate {
        let Some(suite) = self.requestors[requestor].suite else { return Fate::Unmapped };
        let form = frozen.unwrap_or(&self.suites[suite].listing.suite.form);
        let mapped = match mapping::map(event, id, form) {
            Ok(mapped) => mapped,
            Err(reason) => return Fate::Dead(reason),
        };
        // The hits of one event differ only in their serials, which all have the same length.
        let (hit, hits) = (&mapped.hits[0], mapped.hits.len() as u64);
        self.document.clear();
        dia(hit, &mut self.document);
        let document_bytes = self.document.len() as u64 * hits;
        self.document.clear();
        mapped.hits.iter().for_each(|hit| bulk_row(hit, STAND_IN_AGENT, &mut self.document));
        self.sample.take(&self.document, hits);
        let row_bytes = self.document.len() as u64;
        Fate::Sent { visitor: mapped.visitor, hits, document_bytes, row_bytes }
    }

    /// Counts the events of the batch. If they do not come from the buffer, compares them with the buffer first.
    pub(super) fn settle(&mut self) -> Result<(), BufferError> {
        let mut batch = std::mem::take(&mut self.batch);
        let recognised = if self.is_stored {
            vec![Recognition::New; batch.len()]
        } else {
            batch.sort_unstable_by_key(|row| row.identity.id);
            self.reader.recognise(batch.iter().map(|row| row.identity))?
        };
        for (row, recognition) in batch.iter().zip(recognised) {
            let counts = self.requestors[row.requestor].days.entry(row.day).or_default();
            match recognition {
                Recognition::New => self.count_new(row),
                Recognition::Duplicate => counts.duplicates_in_buffer += 1,
                Recognition::Conflict => {
                    counts.conflicts += 1;
                    self.conflicts_in_buffer += 1;
                }
            }
        }
        batch.clear();
        self.batch = batch;
        Ok(())
    }

    fn count_new(&mut self, row: &Row) {
        self.progress.events_new += 1;
        let requestor = &mut self.requestors[row.requestor];
        let counts = requestor.days.entry(row.day).or_default();
        counts.events += 1;
        let Some(number) = requestor.suite else {
            counts.units += u64::from(row.count);
            return;
        };
        let suite = &mut self.suites[number];
        suite.count_age(row.occurred_at, self.now);
        match &row.fate {
            Fate::Unmapped => {}
            Fate::Dead(reason) => {
                counts.dead += 1;
                suite.dead.get_or_insert_with(|| reason.clone());
            }
            Fate::Sent { visitor, hits, document_bytes, row_bytes } => {
                counts.units += u64::from(row.count);
                counts.hits += hits;
                suite.plan.document_bytes += document_bytes;
                suite.plan.row_bytes += row_bytes;
                self.earliest = Some(self.earliest.map_or(row.occurred_at, |at| at.min(row.occurred_at)));
                self.count_visitor(number, *visitor, *hits, row);
            }
        }
    }

    fn count_visitor(&mut self, number: usize, visitor: VisitorKey, hits: u64, row: &Row) {
        let suite = &mut self.suites[number];
        // Events are later than 1999, and 32 bits last until 2106.
        let second = u32::try_from(row.occurred_at.unix_seconds()).unwrap_or(u32::MAX);
        let hits = u32::try_from(hits).unwrap_or(u32::MAX);
        let full = [self.visitors.len(), self.day_visitors.len()].map(|len| len >= REMEMBERED_MAX);
        self.unremembered[1] += u64::from(full.contains(&true));
        match self.visitors.get_mut(&visitor.0.to_ne_bytes()) {
            Some(known) => {
                known.earliest_second = known.earliest_second.min(second);
                known.hits = known.hits.saturating_add(hits);
            }
            None if full[0] => {}
            None => {
                suite.plan.total.visitors += 1;
                let known = Visitor { earliest_second: second, hits, suite: number as u32 };
                self.visitors.insert(visitor.0.to_ne_bytes(), known);
            }
        }
        // An odd multiplier spreads the day over all bits, so two pairs of visitor and day are equal only by chance.
        let of_day = visitor.0 ^ (row.day.number() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if !full[1] && self.day_visitors.insert(of_day.to_ne_bytes()) {
            *suite.day_visitors.entry(row.day).or_default() += 1;
        }
    }

    /// Returns the counts and all warnings. Compares the counts with what the buffer has already sent.
    pub(super) fn finish(mut self) -> Result<Tallied, BufferError> {
        self.requestors.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        for visitor in self.visitors.values() {
            let busiest = &mut self.suites[visitor.suite as usize].plan.busiest_visitor_hits;
            *busiest = u64::from(visitor.hits).max(*busiest);
        }
        for (number, suite) in self.suites.iter_mut().enumerate() {
            suite.add_up(self.requestors.iter().filter(|requestor| requestor.suite == Some(number)));
        }
        let mut warnings = Vec::new();
        let (in_buffer, in_inputs) = (self.conflicts_in_buffer, self.conflicts_in_inputs);
        if in_buffer + in_inputs > 0 {
            warnings.push(Warning::Conflicts { in_buffer, in_inputs });
        }
        let unmapped = self.requestors.iter().filter(|requestor| requestor.suite.is_none());
        let unmapped: Vec<UnmappedPlan> = unmapped
            .inspect(|requestor| warnings.extend(requestor.span().map(|span| no_suite(requestor, span))))
            .map(|requestor| UnmappedPlan {
                requestor_id: requestor.id.clone(),
                total: sum(requestor.days.values()),
                days: day_plans(&requestor.days),
            })
            .collect();
        self.suites.iter().for_each(|suite| suite.warn(&mut warnings));
        self.warn_of_delivered_days(&mut warnings)?;
        self.warn_of_order(&mut warnings)?;
        let events = self.unremembered.into_iter().max().unwrap_or(0);
        if events > 0 {
            warnings.push(Warning::Unremembered { events });
        }
        let new_days = self.requestors.iter().map(|one| NewDays::of(&one.id, &one.days)).collect();
        let suites = self.suites.into_iter().map(|suite| suite.plan);
        let suites = suites.filter(|plan| !plan.requestors.is_empty()).collect();
        Ok(Tallied { suites, unmapped, new_days, sample: self.sample, warnings })
    }

    fn warn_of_delivered_days(&self, warnings: &mut Vec<Warning>) -> Result<(), BufferError> {
        for requestor in &self.requestors {
            let (Some(suite), Some((first, last))) = (requestor.suite, requestor.span()) else { continue };
            let mut delivered = self.reader.delivered_days(&requestor.id, first.number(), last.number())?;
            let added =
                |day: i64| requestor.days.get(&Day::from_number(day)).map_or(0, |counts| counts.events);
            delivered.retain(|delivered| added(delivered.day) > 0);
            let (Some(first), Some(last)) = (delivered.first(), delivered.last()) else { continue };
            warnings.push(Warning::DeliveredDays {
                rsid: self.suites[suite].plan.rsid.clone(),
                requestor_id: requestor.id.clone(),
                days: delivered.len() as u64,
                first_day: Day::from_number(first.day),
                last_day: Day::from_number(last.day),
                delivered_events: delivered.iter().map(|day| day.events).sum(),
                events: delivered.iter().map(|day| added(day.day)).sum(),
            });
        }
        Ok(())
    }

    /// Warns if a sent event of a visitor is later than the visitor's first new event. Adobe orders hits by seconds.
    fn warn_of_order(&mut self, warnings: &mut Vec<Warning>) -> Result<(), BufferError> {
        let Some(earliest) = self.earliest else { return Ok(()) };
        let mut found = vec![[0_u64; 2]; self.suites.len()];
        let mut count = |visitor: &Visitor| {
            found[visitor.suite as usize][0] += 1;
            found[visitor.suite as usize][1] += u64::from(visitor.hits);
        };
        self.reader.each_sent(earliest, |visitor, at| {
            let Some(known) = self.visitors.get_mut(&visitor.0.to_ne_bytes()) else { return };
            if at.unix_seconds() > i64::from(known.earliest_second) {
                count(known);
                // The same visitor may come again and must not be counted twice.
                known.earliest_second = u32::MAX;
            }
        })?;
        for (suite, [visitors, hits_at_most]) in self.suites.iter().zip(found) {
            if visitors > 0 {
                let rsid = suite.plan.rsid.clone();
                warnings.push(Warning::OutOfOrder { rsid, visitors, hits_at_most });
            }
        }
        Ok(())
    }
}

impl SuiteTally {
    fn new(listing: SuiteListing) -> SuiteTally {
        let suite = &listing.suite;
        let plan = SuitePlan {
            rsid: suite.form.rsid.clone(),
            requestors: Vec::new(),
            state: suite.state,
            event_ids: suite.form.event_ids,
            host: suite.collection_url.authority(),
            hits_per_second: suite.hits_per_second,
            total: Counts::default(),
            busiest_visitor_hits: 0,
            document_bytes: 0,
            row_bytes: 0,
            days: Vec::new(),
        };
        SuiteTally {
            listing,
            plan,
            day_visitors: BTreeMap::new(),
            dead: None,
            beyond_retention: Aged::default(),
            old: Aged::default(),
            future: Aged::default(),
        }
    }

    fn count_age(&mut self, at: Instant, now: Instant) {
        let age_nanos = now.nanos().saturating_sub(at.nanos());
        if age_nanos < 0 {
            self.future.take(at, Instant::gt);
        } else if age_nanos > RETAINED_DAYS * DAY_NANOS {
            self.beyond_retention.take(at, Instant::lt);
        } else if age_nanos > OLD_DAYS * DAY_NANOS {
            self.old.take(at, Instant::lt);
        }
    }

    /// Adds up the requestors of the suite, for each day and in total.
    fn add_up<'a>(&mut self, requestors: impl Iterator<Item = &'a RequestorTally>) {
        let mut days: BTreeMap<Day, Counts> = BTreeMap::new();
        for requestor in requestors {
            self.plan.requestors.push(requestor.id.clone());
            requestor.days.iter().for_each(|(day, counts)| *days.entry(*day).or_default() += *counts);
        }
        // Visitors are distinct over all days, so their total is not the sum of the days.
        self.plan.total = Counts { visitors: self.plan.total.visitors, ..sum(days.values()) };
        self.day_visitors
            .iter()
            .for_each(|(day, visitors)| days.entry(*day).or_default().visitors = *visitors);
        self.plan.days = day_plans(&days);
    }

    fn warn(&self, warnings: &mut Vec<Warning>) {
        let SuitePlan { rsid, state, event_ids, total, busiest_visitor_hits: hits, .. } = &self.plan;
        let rsid = || rsid.clone();
        match state {
            SuiteState::Paused if total.events > 0 => {
                warnings.push(Warning::SuitePaused { rsid: rsid(), events: total.events });
            }
            SuiteState::Blocked if total.events > 0 => {
                let reason = self.listing.verdict.as_ref().and_then(|verdict| verdict.blocks.clone());
                let reason = reason.unwrap_or_default();
                warnings.push(Warning::SuiteBlocked { rsid: rsid(), events: total.events, reason });
            }
            SuiteState::Active | SuiteState::Paused | SuiteState::Blocked => {}
        }
        if *event_ids == EventIds::Off && total.hits > 0 {
            warnings.push(Warning::EventIdsOff { rsid: rsid(), hits: total.hits });
        }
        if let Some(reason) = &self.dead {
            warnings.push(Warning::Dead { rsid: rsid(), events: total.dead, reason: reason.clone() });
        }
        if *hits > GIANT_HITS && hits * GIANT_SHARE > total.hits {
            warnings.push(Warning::GiantVisitor { rsid: rsid(), hits: *hits, of_hits: total.hits });
        }
        if let Aged { events, furthest: Some(oldest_at) } = self.beyond_retention {
            warnings.push(Warning::BeyondRetention { rsid: rsid(), events, oldest_at });
        }
        if let Aged { events, furthest: Some(oldest_at) } = self.old {
            warnings.push(Warning::Old { rsid: rsid(), events, oldest_at });
        }
        if let Aged { events, furthest: Some(latest_at) } = self.future {
            warnings.push(Warning::Future { rsid: rsid(), events, latest_at });
        }
    }
}

fn no_suite(requestor: &RequestorTally, (first_day, last_day): (Day, Day)) -> Warning {
    let events = sum(requestor.days.values()).events;
    Warning::NoSuite { requestor_id: requestor.id.clone(), events, first_day, last_day }
}

fn day_plans(days: &BTreeMap<Day, Counts>) -> Vec<DayPlan> {
    days.iter().map(|(day, counts)| DayPlan { day: *day, counts: *counts }).collect()
}

fn sum<'a>(counts: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::default();
    counts.for_each(|counts| sum += *counts);
    sum
}
