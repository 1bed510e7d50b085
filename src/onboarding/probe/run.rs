//! Runs a probe: stores its record, sends its hits, and reads until everything was seen or the time is over.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, Utc};
use tokio::time;

use super::compare::{Comparison, ObservedRow, Progress, WAITED_FOR};
use super::judge::Judge;
use super::plan::{self, Canary, Plan};
use super::report::{ProbeError, ProbeReport};
use crate::analytics::{AnalyticsClient, Fractions, ReportRequest, SuiteFacts};
use crate::buffer::{Buffer, NewProbe, ProbeRecord};
use crate::collection::{Collection, Connection, Limiter};
use crate::delivery::Outcome;
use crate::event::{EventKind, Instant, Property, RequestorId};
use crate::suite::ReportSuite;
use crate::web::{Backoff, Cause, Patience};

/// How a probe waits.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// How long to wait for the hits.
    pub deadline: Duration,
    /// How long to wait between two readings.
    pub every: Duration,
}

/// Everything that a probe works with.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    pub buffer: &'a Buffer,
    pub collection: &'a Collection,
    pub analytics: &'a AnalyticsClient,
    pub suite: &'a ReportSuite,
    pub requestors: &'a [String],
}

impl Probe<'_> {
    /// Sends the hits and reads them back. After a cancellation, the sent hits can be read back later.
    pub async fn run(&self, options: &ProbeOptions) -> Result<ProbeReport, ProbeError> {
        let facts = self.facts().await?;
        let rsid = &self.suite.form.rsid;
        let first = self.requestors.first().and_then(|name| RequestorId::new(name).ok());
        let requestor_id = first.ok_or_else(|| ProbeError::NoRequestor(rsid.clone()))?;
        let started_at = self.buffer.now();
        let id = plan::id_of(rsid, started_at);
        let new = NewProbe { id: id.clone(), requestor_id, form: self.suite.form.clone(), started_at };
        // If a proxy variable of the environment cannot be used, this fails before anything is recorded.
        let host = self.collection.host(&self.suite.collection_url)?;
        self.buffer.begin_probe(new)?;
        let plan = Plan::new(self.buffer.probe(rsid, &id)?);
        tracing::info!(probe = id, hits = plan.hits.len(), "the probe sends its hits");
        let sent = send_all(&mut host.connection(), &plan, self.suite.hits_per_second).await;
        if let Err(ProbeError::NotSent { may_be_out: false, .. }) = sent {
            self.buffer.drop_probe(&id)?;
        }
        if sent? {
            self.buffer.probe_sent(&id)?;
        }
        self.read(self.buffer.probe(rsid, &id)?, &facts, options).await
    }

    /// Reads what Analytics shows by now of a probe that was sent before.
    pub async fn read_back(
        &self,
        record: &ProbeRecord,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
        self.read(record.clone(), &self.facts().await?, options).await
    }

    /// What Analytics shows of the suite. No hit is sent to a suite that cannot collect.
    async fn facts(&self) -> Result<SuiteFacts, ProbeError> {
        let rsid = &self.suite.form.rsid;
        let why = match self.analytics.suite(rsid).await? {
            None => "is not there, or not to be seen with these credentials".to_owned(),
            Some(SuiteFacts { parent: Some(parent), .. }) => {
                format!("is a virtual report suite of {parent}, which cannot collect")
            }
            Some(facts) => return Ok(facts),
        };
        Err(ProbeError::NoSuite { rsid: rsid.clone(), why })
    }

    /// Reads until all was seen, nothing new comes, or the time is over; then reads the other eVars if a hit was seen.
    async fn read(
        &self,
        record: ProbeRecord,
        facts: &SuiteFacts,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
        let plan = &Plan::new(record);
        let mut reading = Reading {
            probe: self,
            plan,
            seen: Comparison::of(plan),
            span: span(facts, plan.record.started_at, self.buffer.now()),
        };
        let is_settled = reading.wait(options).await?;
        if reading.seen.is_anything_seen() {
            reading.read_evars().await?;
        }
        let compared = &reading.seen;
        let judge = Judge { suite: self.suite, requestors: self.requestors, plan, compared };
        let report = judge.report(is_settled, self.buffer.now());
        let stored = serde_json::to_value(&report).expect("texts and numbers always serialise");
        self.buffer.probe_read(&plan.record.id, &stored)?;
        Ok(report)
    }
}

/// Days, in the suite's time zone, that surely include all hits. Only the probe's values are read from them.
fn span(facts: &SuiteFacts, started_at: Instant, now: Instant) -> (NaiveDateTime, NaiveDateTime) {
    let zone: chrono_tz::Tz = facts.timezone.parse().unwrap_or(chrono_tz::UTC);
    let day = |at: Instant| DateTime::<Utc>::from(at).with_timezone(&zone).date_naive();
    let (first, last) = (day(started_at) - Days::new(1), day(now) + Days::new(2));
    (first.and_time(NaiveTime::MIN), last.and_time(NaiveTime::MIN))
}

/// Sends the hits no faster than the suite's rate. Returns whether SUCCESS is known for every hit.
async fn send_all(
    connection: &mut Connection,
    plan: &Plan,
    hits_per_second: Option<NonZeroU32>,
) -> Result<bool, ProbeError> {
    let limiter = Limiter::new(hits_per_second, time::Instant::now());
    let (mut is_sent, mut may_be_out) = (true, false);
    for (index, hit) in plan.hits.iter().enumerate() {
        time::sleep(limiter.reserve(time::Instant::now())).await;
        match send(connection, plan, hit, &mut may_be_out).await {
            Ok(is_taken) => is_sent &= is_taken,
            Err(why) => {
                let (id, of) = (plan.record.id.clone(), plan.hits.len());
                return Err(ProbeError::NotSent { id, number: index + 1, of, why, may_be_out });
            }
        }
    }
    Ok(is_sent)
}

/// Sends one hit; returns whether SUCCESS is known. If Adobe may have received the hit, `out` becomes true, and the
/// hit is sent again only if it has a serial, because Analytics counts a serial once.
async fn send(
    connection: &mut Connection,
    plan: &Plan,
    hit: &Canary,
    out: &mut bool,
) -> Result<bool, String> {
    let mut backoff = Backoff::new(Patience::PROBE);
    loop {
        let mut asked = None;
        let outcome = connection.send(hit.body.clone()).await;
        *out |= matches!(outcome, Outcome::Delivered | Outcome::Ambiguous(_));
        let why = match outcome {
            Outcome::Delivered => return Ok(true),
            Outcome::Retry { cause, retry_after } => {
                asked = retry_after;
                cause.to_string()
            }
            Outcome::Ambiguous(doubt) => {
                tracing::warn!(probe = plan.record.id, %doubt, "it is unknown whether a hit was received");
                if !plan.has_ids() {
                    return Ok(false);
                }
                doubt.to_string()
            }
            Outcome::BareFailure => "Adobe says FAILURE without a reason".to_owned(),
            Outcome::Rejected(reason) => return Err(reason.to_string()),
            Outcome::Refused { status } => return Err(format!("HTTP {status}")),
            Outcome::SuiteFault(fault) => return Err(fault.to_string()),
        };
        let Some(wait) = backoff.next(asked) else {
            return Err(format!("{why}, {} times", Patience::PROBE.attempts_max));
        };
        let wait_ms = wait.as_millis() as u64;
        tracing::warn!(probe = plan.record.id, why, wait_ms, "a hit was not taken; it is sent again");
        time::sleep(wait).await;
    }
}

struct Reading<'a> {
    probe: &'a Probe<'a>,
    plan: &'a Plan,
    seen: Comparison,
    span: (NaiveDateTime, NaiveDateTime),
}

impl Reading<'_> {
    /// Reads the reports again and again. Returns whether all that can be seen was seen before the time was over.
    async fn wait(&mut self, options: &ProbeOptions) -> Result<bool, ProbeError> {
        let ends_at = time::Instant::now() + options.deadline;
        let (probe, mut before) = (&self.plan.record.id, None);
        loop {
            match self.look().await {
                Ok(seen) => {
                    let expected_units = self.seen.units();
                    tracing::info!(probe, seen_units = seen.units, expected_units, "the probe was read back");
                    if seen.is_complete || (seen.is_plausible && before == Some(seen.units)) {
                        return Ok(true);
                    }
                    before = Some(seen.units);
                }
                // The hits were sent, and a later report shows them too. So this error ends the wait only when the time
                // is over. Then it is returned, because hits that nobody could look for must not be called lost.
                Err(ProbeError::Api(error))
                    if error.is_for_the_moment() && time::Instant::now() < ends_at =>
                {
                    tracing::warn!(probe, %error, "the probe cannot be read back for the moment");
                }
                Err(error) => return Err(error),
            }
            // The last reading comes when the time is over.
            let now = time::Instant::now();
            if now >= ends_at {
                return Ok(false);
            }
            time::sleep_until(ends_at.min(now + options.every)).await;
        }
    }

    async fn look(&mut self) -> Result<Progress, ProbeError> {
        for evar in WAITED_FOR {
            self.ask(evar, None).await?;
        }
        let now = self.probe.buffer.now();
        for kind in EventKind::ALL {
            if self.seen.seen(kind) > 0 {
                self.seen.first_seen.entry(kind).or_insert(now);
            }
        }
        Ok(self.seen.progress())
    }

    /// Reads the other eVars. eVar1 has only the requestor's name, so its report is limited to the hits of this probe.
    async fn read_evars(&mut self) -> Result<(), ProbeError> {
        for evar in (2..=Property::EVARS as u8).filter(|evar| !WAITED_FOR.contains(evar)) {
            self.ask(evar, None).await?;
        }
        if let Some(within) = self.seen.anchor() {
            self.ask(1, Some(within)).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, evar: u8, within: Option<(u16, String)>) -> Result<(), ProbeError> {
        let search = within.is_none().then(|| self.seen.search(evar).to_owned());
        let request = ReportRequest {
            rsid: self.plan.record.form.rsid.clone(),
            from: self.span.0,
            to: self.span.1,
            metrics: EventKind::ALL.map(|kind| u16::from(kind.slot())).to_vec(),
            evar: u16::from(evar),
            within,
            search,
            fractions: Fractions::Kept,
        };
        let answer = match self.probe.analytics.report(&request).await {
            Ok(answer) => answer,
            // Adobe may refuse a whole report if its dimension is disabled. Then no value of the eVar is seen.
            Err(error) => {
                let Cause::Refused { status: 400 | 403 | 404, why, .. } = &error.cause else {
                    return Err(error.into());
                };
                self.seen.rows.insert(evar, Vec::new());
                self.seen.refused_evars.insert(evar, why.clone());
                // If Adobe refuses all of these reports, nobody looked for the hits, so they must not be called lost.
                let is_blind = WAITED_FOR.iter().all(|evar| self.seen.refused_evars.contains_key(evar));
                return if is_blind || error.endpoint.gives_credentials { Err(error.into()) } else { Ok(()) };
            }
        };
        let refused: BTreeSet<u16> = answer.refused.iter().map(|(slot, _)| *slot).collect();
        match answer.refused.first().filter(|_| refused.len() == EventKind::ALL.len()) {
            Some((_, why)) => drop(self.seen.refused_evars.insert(evar, why.clone())),
            None => drop(self.seen.refused_evars.remove(&evar)),
        }
        self.seen.refused.extend(answer.refused);
        let rows = answer.rows.into_iter().map(|row| ObservedRow {
            item_id: row.item_id,
            value: row.value,
            units: EventKind::ALL.map(|kind| {
                let is_refused = refused.contains(&u16::from(kind.slot()));
                // A linear allocation gives fractions. They are rounded up, because any credit counts as seen.
                let count = row.counts.get(usize::from(kind.slot()) - 1).filter(|_| !is_refused);
                count.map_or(0, |count| count.ceil() as u64)
            }),
        });
        self.seen.rows.insert(evar, rows.collect());
        Ok(())
    }
}
