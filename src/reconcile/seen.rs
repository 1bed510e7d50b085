//! What Analytics says: a report by requestor for each day, and within each requestor one by MVPD.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::AnalyticsSide;
use super::days::{Calendar, Span};
use super::error::ReconcileError;
use super::key::{CellKey, Name, Spellings};
use crate::analytics::{AnalyticsClient, Breakdown, Fractions, ReportAnswer, ReportRequest};
use crate::event::EventKind;
use crate::suite::Rsid;

const REQUESTOR_EVAR: u16 = 1;
const MVPD_EVAR: u16 = 2;
/// The ID of the row without a value.
const NO_VALUE: &str = "0";

/// How far the reading of Analytics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub days_read: usize,
    pub days: usize,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) side: AnalyticsSide,
    /// Requestors that are not compared, with what Analytics has of them.
    pub(super) strangers: BTreeMap<Name, u64>,
    /// What it refused to report, with the reason and the first day.
    pub(super) refused: BTreeMap<Refused, (String, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Event(EventKind),
    /// Every event by this eVar.
    Evar(u16),
}

pub(super) struct Asking<'a> {
    pub(super) client: &'a AnalyticsClient,
    pub(super) rsid: &'a Rsid,
    pub(super) calendar: &'a Calendar,
    pub(super) requestors: &'a BTreeSet<Name>,
    pub(super) progress: &'a mut dyn FnMut(Progress),
}

impl Asking<'_> {
    /// Reads every day. The requestors that Analytics has besides are summed up.
    pub(super) async fn read(&mut self, spellings: &mut Spellings) -> Result<Seen, ReconcileError> {
        let mut seen = Seen::default();
        let calendar = self.calendar;
        for (day, span) in calendar.spans.iter().enumerate() {
            (self.progress)(Progress { days_read: day, days: calendar.spans.len() });
            let answer = self.ask(span, REQUESTOR_EVAR, None).await?;
            self.refuse(&answer, REQUESTOR_EVAR, day, &mut seen);
            for row in &answer.rows {
                let units: u64 = row.counts.iter().map(|count| units(*count)).sum();
                let requestor =
                    if row.item_id == NO_VALUE { Name::of("") } else { spellings.requestor(&row.value) };
                if !self.requestors.contains(&requestor) {
                    add(seen.strangers.entry(requestor).or_default(), units);
                } else if units > 0 {
                    self.read_requestor((span, day), &row.item_id, &requestor, spellings, &mut seen).await?;
                }
            }
        }
        seen.strangers.retain(|_, units| *units > 0);
        (self.progress)(Progress { days_read: calendar.spans.len(), days: calendar.spans.len() });
        Ok(seen)
    }

    async fn read_requestor(
        &self,
        (span, day): (&Span, usize),
        item_id: &str,
        requestor: &Name,
        spellings: &mut Spellings,
        seen: &mut Seen,
    ) -> Result<(), ReconcileError> {
        let answer = self.ask(span, MVPD_EVAR, Some((REQUESTOR_EVAR, item_id.to_owned()))).await?;
        self.refuse(&answer, MVPD_EVAR, day, seen);
        for row in &answer.rows {
            let mvpd = if row.item_id == NO_VALUE { Name::of("") } else { spellings.mvpd(&row.value) };
            for (kind, count) in EventKind::ALL.into_iter().zip(&row.counts) {
                let units = units(*count);
                if units > 0 {
                    let key = CellKey { requestor: requestor.clone(), day, mvpd: mvpd.clone(), kind };
                    add(seen.side.units.entry(key).or_default(), units);
                }
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        span: &Span,
        evar: u16,
        within: Option<(u16, String)>,
    ) -> Result<ReportAnswer, ReconcileError> {
        let request = ReportRequest {
            rsid: self.rsid.clone(),
            from: span.on_suite.start,
            to: span.on_suite.end,
            metrics: EventKind::ALL.iter().map(|kind| u16::from(kind.slot())).collect(),
            by: Breakdown::Evar(evar),
            within,
            search: None,
            fractions: Fractions::Refused,
        };
        Ok(self.client.report(&request).await?)
    }

    /// Remembers the columns that were refused: nobody's number is known on that day.
    fn refuse(&self, answer: &ReportAnswer, evar: u16, day: usize, seen: &mut Seen) {
        for (slot, why) in &answer.refused {
            let Some(kind) = u8::try_from(*slot).ok().and_then(EventKind::from_slot) else { continue };
            // Adobe tells a dimension that it does not report as an error of each column.
            let what = if why.contains("dimension") { Refused::Evar(evar) } else { Refused::Event(kind) };
            seen.refused.entry(what).or_insert_with(|| (why.clone(), day));
            seen.side.refused.extend(self.requestors.iter().map(|requestor| (requestor.clone(), day, kind)));
        }
    }
}

/// A count of a report. It is no number in a column that was refused, which nobody looks at.
fn units(count: f64) -> u64 {
    // The client refuses fractions, and what is no number becomes 0.
    count as u64
}

/// A server may say anything, so a sum may not fit.
fn add(sum: &mut u64, units: u64) {
    *sum = sum.saturating_add(units);
}
