//! Sends canary hits into a suite, and reads back what Analytics made of them.
//!
//! ```text
//! group    visitor      events        eVars                           shows
//! first    probe's own  1 to 18       all, the same values            each event and each eVar is seen
//! repeat   probe's own  1 to 18       the very same bytes             not counted again: Use Event ID (only with event IDs on)
//! second   probe's own  1 to 18       the same values, other serials  counted again: not Record Once Per Visit
//! set      another one  1             all, values of their own
//! bare     another one  12, then 13   one, and another one            no value of `set` is credited: it expired with its hit
//! ```
//!
//! The hits go through the very mapping, encoding and connection that events go through, but they are no Pass events: they
//! never enter the buffer's account or any metric of ours. A probe takes no lock, as nothing of it is in the queue that a
//! drain works on. It is put on record before its first hit goes, and all its hits follow from that record, so that
//! what an interrupted probe sent can be read back later.

mod compare;
mod judge;
mod plan;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::analytics::{AnalyticsClient, Breakdown, Fractions, ReportRequest, SuiteFacts};
use crate::buffer::{Buffer, BufferError, NewProbe, ProbeRecord};
use crate::collection::Collection;
use crate::confirmation::Item;
use crate::event::{EventKind, Instant, RequestorId};
use crate::suite::{ReportSuite, Rsid};
use crate::web::{ApiError, Cause};
use compare::{Observed, ObservedRow, Progress};
pub use judge::{EvarSeen, EvarState, EventSeen, ProbeFinding};
use plan::Plan;
pub use send::Sent;

/// The eVars that are asked while waiting: the MVPD User ID, and the two that the bare hits carry. One of them being disabled
/// does not hide the others.
const WAITED_FOR: [u8; 3] = [10, 6, 5];

/// How a probe waits.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// How long it reads before it gives up.
    pub deadline: Duration,
    /// How long it waits between two readings.
    pub every: Duration,
}

/// Why a probe cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error("report suite {rsid} {why}, so no hit was sent")]
    NoSuite { rsid: Rsid, why: String },
    /// The suite has no requestor that the hits could name.
    #[error("report suite {0} has no requestor, and every hit names one")]
    NoRequestor(Rsid),
    #[error("hit {number} of {of} of probe {id} was not taken: {why}")]
    NotSent { id: String, number: usize, of: usize, why: String },
}

/// What a probe says of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub item: Item,
    pub is_right: bool,
    pub found: String,
    /// What to do, and where; empty where it is right.
    pub fix: String,
    /// The settings that it rests on.
    pub basis: String,
}

/// What a check takes from a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    pub id: String,
    /// When it began: what the suite was set to since then may be something else.
    #[serde(skip, default = "epoch")]
    pub started_at: Instant,
    /// When it was last read back.
    pub read_at: Instant,
    /// Whether counts above one were seen to count as `eventN=count:id`.
    pub proves_counts: bool,
    /// The items that it says something of.
    pub proofs: Vec<Proof>,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything was seen as it was sent.
    Right,
    /// Everything that can be seen was, and something is wrong.
    Wrong,
    /// The time was over before everything was seen.
    Unseen,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// What every value of its hits carries.
    pub id: String,
    pub rsid: Rsid,
    /// The requestor that its hits name.
    pub requestor_id: RequestorId,
    pub verdict: Verdict,
    /// When it began.
    pub started_at: Instant,
    /// When it was last read back.
    pub read_at: Instant,
    /// Hits that it sends, repeats too.
    pub hits: usize,
    /// Whether all of them are known to have been answered with SUCCESS.
    pub is_sent: bool,
    /// The events, by their slot.
    pub events: Vec<EventSeen>,
    /// The eVars, by their number.
    pub evars: Vec<EvarSeen>,
    /// What is wrong, the likeliest cause first.
    pub findings: Vec<ProbeFinding>,
    /// What it proves, and what it disproves.
    pub outcome: ProbeOutcome,
}

/// The part of a stored report that a check needs.
#[derive(Deserialize)]
struct Stored {
    outcome: ProbeOutcome,
}

/// What a check takes from the record of a probe; `None` where it was never read back.
pub fn outcome(record: &ProbeRecord) -> Option<ProbeOutcome> {
    let stored: Option<Stored> = record.report.clone().and_then(|report| serde_json::from_value(report).ok());
    stored.map(|Stored { mut outcome }| {
        outcome.started_at = record.started_at;
        // What Analytics had no time to show, or what may never have been sent, is not lost.
        let is_over = |at: Instant| at.is_older(outcome.read_at, judge::COMPLETE_AFTER);
        if !record.sent_at.is_some_and(is_over) {
            outcome.proofs.retain(|proof| proof.item != Item::Timestamps || proof.is_right);
        }
        outcome
    })
}

fn epoch() -> Instant {
    Instant::from_nanos(0)
}

/// Everything that a probe works with.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// Where it is put on record.
    pub buffer: &'a Buffer,
    pub collection: &'a Collection,
    pub analytics: &'a AnalyticsClient,
    pub suite: &'a ReportSuite,
    /// The requestors mapped to it.
    pub requestors: &'a [String],
}

impl Probe<'_> {
    /// Sends the hits and reads them back. Dropped in between, it is on record, and what was sent can be read back later.
    pub async fn run(&self, options: &ProbeOptions) -> Result<ProbeReport, ProbeError> {
        let facts = self.facts().await?;
        let rsid = &self.suite.form.rsid;
        let first = self.requestors.first().and_then(|name| RequestorId::new(name).ok());
        let requestor_id = first.ok_or_else(|| ProbeError::NoRequestor(rsid.clone()))?;
        let started_at = self.buffer.now();
        let id = plan::id_of(rsid, started_at);
        let new = NewProbe { id: id.clone(), requestor_id, form: self.suite.form.clone(), started_at };
        self.buffer.begin_probe(new)?;
        let record = self.buffer.probe(rsid, &id)?;
        let plan = Plan::new(&record);
        tracing::info!(probe = id, hits = plan.hits.len(), "the probe sends its hits");
        let connection = &mut self.collection.host(&self.suite.collection_url).connection();
        let sent = send::all(connection, &plan, self.suite.hits_per_second).await?;
        if sent == Sent::All {
            self.buffer.probe_sent(&id)?;
        }
        self.read(&plan, &facts, sent, options).await
    }

    /// Reads an earlier probe back.
    pub async fn read_back(
        &self,
        record: &ProbeRecord,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
        let facts = self.facts().await?;
        let sent = if record.sent_at.is_some() { Sent::All } else { Sent::Some };
        self.read(&Plan::new(record), &facts, sent, options).await
    }

    /// What the suite is; nothing is sent to one that cannot collect.
    async fn facts(&self) -> Result<SuiteFacts, ProbeError> {
        let rsid = &self.suite.form.rsid;
        let refuse = |why: String| ProbeError::NoSuite { rsid: rsid.clone(), why };
        let facts = self.analytics.suite(rsid).await?;
        let facts = facts
            .ok_or_else(|| refuse("is not there, or not to be seen with these credentials".to_owned()))?;
        match &facts.parent {
            Some(parent) => {
                Err(refuse(format!("is a virtual report suite of {parent}, which cannot collect")))
            }
            None => Ok(facts),
        }
    }

    /// Reads until everything was seen, nothing more comes, or the time is over; then reads all of it once.
    async fn read(
        &self,
        plan: &Plan,
        facts: &SuiteFacts,
        sent: Sent,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
        let ends_at = tokio::time::Instant::now() + options.deadline;
        let mut reading = Reading {
            probe: self,
            plan,
            span: span(facts, plan.started_at, self.buffer.now()),
            observed: Observed::default(),
            first_seen: BTreeMap::new(),
        };
        let mut before = None;
        let is_settled = loop {
            match reading.look().await {
                Ok(seen) => {
                    tracing::info!(
                        probe = plan.id,
                        seen_units = seen.units,
                        expected_units = plan.expected.units(),
                        "the probe was read back"
                    );
                    if seen.is_complete || (seen.is_plausible && before == Some(seen.units)) {
                        break true;
                    }
                    before = Some(seen.units);
                }
                // The hits are out, and reports cannot forget them: only the deadline ends the wait.
                Err(ProbeError::Api(error)) if error.is_for_the_moment() => {
                    tracing::warn!(probe = plan.id, %error, "the probe cannot be read back for the moment");
                }
                Err(error) => return Err(error),
            }
            // The last look is at the end of the time: hits that are not seen then are lost.
            let now = tokio::time::Instant::now();
            if now >= ends_at {
                break false;
            }
            tokio::time::sleep_until(ends_at.min(now + options.every)).await;
        };
        if reading.observed.is_anything_seen() {
            reading.read_evars().await?;
        }
        let report = reading.report(sent, is_settled, options.deadline);
        let stored = serde_json::to_value(&report).expect("texts and numbers always serialise");
        self.buffer.probe_read(&plan.id, &stored)?;
        Ok(report)
    }
}

/// The days of the suite's clock in which the hits must be: generously, as only the probe's own values are looked for.
fn span(facts: &SuiteFacts, started_at: Instant, now: Instant) -> (NaiveDateTime, NaiveDateTime) {
    let zone: chrono_tz::Tz = facts.timezone.parse().unwrap_or(chrono_tz::UTC);
    let day = |at: Instant| DateTime::<Utc>::from(at).with_timezone(&zone).date_naive();
    let midnight = |day: chrono::NaiveDate| day.and_time(chrono::NaiveTime::MIN);
    (midnight(day(started_at) - Days::new(1)), midnight(day(now) + Days::new(2)))
}

/// A probe being read back.
struct Reading<'a> {
    probe: &'a Probe<'a>,
    plan: &'a Plan,
    span: (NaiveDateTime, NaiveDateTime),
    observed: Observed,
    /// When each event was first seen.
    first_seen: BTreeMap<u8, Instant>,
}

impl Reading<'_> {
    /// One look at the eVars that are waited for.
    async fn look(&mut self) -> Result<Progress, ProbeError> {
        for evar in WAITED_FOR {
            self.ask(evar, None).await?;
        }
        let now = self.probe.buffer.now();
        for kind in EventKind::ALL {
            if self.plan.expected.seen(&self.observed, kind) > 0 {
                self.first_seen.entry(kind.slot()).or_insert(now);
            }
        }
        Ok(self.plan.expected.progress(&self.observed))
    }

    /// Reads every eVar. eVar1 names the requestor alone: it is read within the hits of this probe.
    async fn read_evars(&mut self) -> Result<(), ProbeError> {
        for evar in (2..=34).filter(|evar| !WAITED_FOR.contains(evar)) {
            self.ask(evar, None).await?;
        }
        if let Some(within) = self.plan.expected.anchor(&self.observed) {
            self.ask(1, Some(within)).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, evar: u8, within: Option<(u16, String)>) -> Result<(), ProbeError> {
        let search = within.is_none().then(|| self.plan.expected.search(evar).to_owned());
        let request = ReportRequest {
            rsid: self.plan.rsid.clone(),
            from: self.span.0,
            to: self.span.1,
            metrics: (1..=18).collect(),
            by: Breakdown::Evar(u16::from(evar)),
            within,
            search,
            fractions: Fractions::Kept,
        };
        let answer = match self.probe.analytics.report(&request).await {
            Ok(answer) => answer,
            // A dimension that is disabled may be refused as a whole: then nothing of it is seen.
            Err(ApiError { endpoint, cause: Cause::Refused { status: 400 | 403 | 404, why, .. } })
                if !endpoint.gives_credentials =>
            {
                self.observed.rows.insert(evar, Vec::new());
                self.observed.refused_evars.insert(format!("eVar{evar}"), why);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let refused: BTreeSet<u16> = answer.refused.iter().map(|(slot, _)| *slot).collect();
        for (slot, why) in answer.refused {
            self.observed.refused.insert(u8::try_from(slot).unwrap_or(0), why);
        }
        let rows = answer.rows.into_iter().map(|row| ObservedRow {
            item_id: row.item_id,
            value: row.value,
            units: std::array::from_fn(|index| {
                let is_refused = refused.contains(&(index as u16 + 1));
                // Fractions are credits of a linear allocation: what counts is that it is credited at all.
                row.counts.get(index).filter(|_| !is_refused).map_or(0, |count| count.ceil() as u64)
            }),
        });
        self.observed.rows.insert(evar, rows.collect());
        Ok(())
    }

    fn report(self, sent: Sent, is_settled: bool, deadline: Duration) -> ProbeReport {
        let Reading { probe, plan, observed, first_seen, .. } = self;
        let context = judge::Context {
            suite: probe.suite,
            requestors: probe.requestors,
            plan,
            observed: &observed,
            first_seen: &first_seen,
            sent,
            deadline,
        };
        let judged = context.judge(probe.buffer.now());
        let verdict = match (is_settled, judged.findings.is_empty()) {
            (true, true) => Verdict::Right,
            (true, false) => Verdict::Wrong,
            (false, _) => Verdict::Unseen,
        };
        ProbeReport {
            id: plan.id.clone(),
            rsid: plan.rsid.clone(),
            requestor_id: plan.requestor_id.clone(),
            verdict,
            started_at: plan.started_at,
            read_at: judged.outcome.read_at,
            hits: plan.hits.len(),
            is_sent: sent == Sent::All,
            events: judged.events,
            evars: judged.evars,
            findings: judged.findings,
            outcome: judged.outcome,
        }
    }
}
