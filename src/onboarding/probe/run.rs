//! Runs a probe: stores its record, sends its hits, and reads until everything was seen or the time is over.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, Utc};
use tokio::time;

use super::compare::{Comparison, ObservedRow, Progress, WAITED_FOR};
use super::judge::Judge;
use super::plan::{self, Plan};
use super::report::{ProbeError, ProbeReport};
use super::send;
use crate::analytics::{AnalyticsClient, Breakdown, Fractions, ReportRequest, SuiteFacts};
use crate::buffer::{Buffer, NewProbe, ProbeRecord};
use crate::collection::Collection;
use crate::event::{EventKind, Instant, Property, RequestorId};
use crate::suite::ReportSuite;
use crate::web::{ApiError, Cause};

/// How a probe waits.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    pub deadline: Duration,
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
    /// Sends the hits and reads them back. If it is dropped before its end, the hits can be read back later.
    pub async fn run(&self, options: &ProbeOptions) -> Result<ProbeReport, ProbeError> {
        let facts = self.facts().await?;
        let rsid = &self.suite.form.rsid;
        let first = self.requestors.first().and_then(|name| RequestorId::new(name).ok());
        let requestor_id = first.ok_or_else(|| ProbeError::NoRequestor(rsid.clone()))?;
        let started_at = self.buffer.now();
        let id = plan::id_of(rsid, started_at);
        let new = NewProbe { id: id.clone(), requestor_id, form: self.suite.form.clone(), started_at };
        self.buffer.begin_probe(new)?;
        let plan = Plan::new(self.buffer.probe(rsid, &id)?);
        tracing::info!(probe = id, hits = plan.hits.len(), "the probe sends its hits");
        let connection = &mut self.collection.host(&self.suite.collection_url)?.connection();
        let is_sent = send::all(connection, &plan, self.suite.hits_per_second).await?;
        if is_sent {
            self.buffer.probe_sent(&id)?;
        }
        self.read(&plan, &facts, is_sent, options).await
    }

    pub async fn read_back(
        &self,
        record: &ProbeRecord,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
        let facts = self.facts().await?;
        let is_sent = record.sent_at.is_some();
        self.read(&Plan::new(record.clone()), &facts, is_sent, options).await
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

    /// Reads until everything was seen, nothing more comes, or the time is over; then reads every eVar once.
    async fn read(
        &self,
        plan: &Plan,
        facts: &SuiteFacts,
        is_sent: bool,
        options: &ProbeOptions,
    ) -> Result<ProbeReport, ProbeError> {
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
        let judge = Judge {
            suite: self.suite,
            requestors: self.requestors,
            plan,
            compared: &reading.seen,
            is_sent,
            deadline: options.deadline,
        };
        let report = judge.report(is_settled, self.buffer.now());
        let stored = serde_json::to_value(&report).expect("texts and numbers always serialise");
        self.buffer.probe_read(&plan.record.id, &stored)?;
        Ok(report)
    }
}

/// The days on the suite's clock that must have the hits. More days do no harm: only the probe's values are read.
fn span(facts: &SuiteFacts, started_at: Instant, now: Instant) -> (NaiveDateTime, NaiveDateTime) {
    let zone: chrono_tz::Tz = facts.timezone.parse().unwrap_or(chrono_tz::UTC);
    let day = |at: Instant| DateTime::<Utc>::from(at).with_timezone(&zone).date_naive();
    let (first, last) = (day(started_at) - Days::new(1), day(now) + Days::new(2));
    (first.and_time(NaiveTime::MIN), last.and_time(NaiveTime::MIN))
}

struct Reading<'a> {
    probe: &'a Probe<'a>,
    plan: &'a Plan,
    seen: Comparison,
    span: (NaiveDateTime, NaiveDateTime),
}

impl Reading<'_> {
    /// Looks again and again. Returns whether everything that can be seen was seen before the time was over.
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
                // The hits are sent, and reports do not lose them, so only the deadline ends the wait.
                Err(ProbeError::Api(error)) if error.is_for_the_moment() => {
                    tracing::warn!(probe, %error, "the probe cannot be read back for the moment");
                }
                Err(error) => return Err(error),
            }
            // The last look is at the end of the time. Hits that are not seen then count as lost.
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

    /// Reads every eVar. eVar1 has only the requestor's name, so it is read within the hits of this probe.
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
            by: Breakdown::Evar(u16::from(evar)),
            within,
            search,
            fractions: Fractions::Kept,
        };
        let answer = match self.probe.analytics.report(&request).await {
            Ok(answer) => answer,
            // Adobe may refuse a disabled dimension as a whole. Then no value of it is seen.
            Err(ApiError { endpoint, cause: Cause::Refused { status: 400 | 403 | 404, why, .. } })
                if !endpoint.gives_credentials =>
            {
                self.seen.rows.insert(evar, Vec::new());
                self.seen.refused_evars.insert(evar, why);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let refused: BTreeSet<u16> = answer.refused.iter().map(|(slot, _)| *slot).collect();
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
