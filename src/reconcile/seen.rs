//! Reads the counts of Analytics: for each day a report by requestor, then for each requestor a report by MVPD.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::AnalyticsSide;
use super::days::{Calendar, Span};
use super::error::ReconcileError;
use super::key::{CellKey, Name, Spellings};
use crate::analytics::{AnalyticsClient, Fractions, ReportAnswer, ReportRequest};
use crate::event::EventKind;
use crate::suite::Rsid;

const REQUESTOR_EVAR: u16 = 1;
const MVPD_EVAR: u16 = 2;
/// The item ID of the row of hits without a value.
const NO_VALUE: &str = "0";

/// How long Analytics may need to show events that were delivered soon after they happened ("Latency":
/// complete after two hours, and fifteen minutes more for hits with a timestamp).
pub(super) const FRESH_NANOS: i64 = 3 * 3_600_000_000_000;
/// A hit that is older at its delivery is late, and Analytics may need this long to show it (same page: near 24 h).
pub(super) const LATE_NANOS: i64 = 24 * 3_600_000_000_000;

/// How many days of Analytics were read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub days_read: usize,
    pub days: usize,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) side: AnalyticsSide,
    /// The units of the requestors that are not compared.
    pub(super) strangers: BTreeMap<Name, u64>,
    /// What Analytics refused to report, with the reason and the first day of the refusal.
    pub(super) refused: BTreeMap<Refused, (String, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Event(EventKind),
    /// Every event in a report by this eVar.
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
    /// Reads every day. For requestors that are not compared, keeps only the sums.
    pub(super) async fn read(&mut self, spellings: &mut Spellings) -> Result<Seen, ReconcileError> {
        let mut seen = Seen::default();
        let calendar = self.calendar;
        for (day, span) in calendar.spans.iter().enumerate() {
            (self.progress)(Progress { days_read: day, days: calendar.spans.len() });
            let answer = self.ask(span, REQUESTOR_EVAR, None).await?;
            Self::refuse(&answer, REQUESTOR_EVAR, day, &mut seen);
            for row in &answer.rows {
                let units: u64 = row.counts.iter().map(|count| *count as u64).sum();
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
        Self::refuse(&answer, MVPD_EVAR, day, seen);
        for row in &answer.rows {
            let mvpd = if row.item_id == NO_VALUE { Name::of("") } else { spellings.mvpd(&row.value) };
            for (kind, count) in EventKind::ALL.into_iter().zip(&row.counts) {
                // The client refuses fractions, and the cast turns the NaN of a refused column into 0.
                let units = *count as u64;
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
            evar,
            within,
            search: None,
            fractions: Fractions::Refused,
        };
        Ok(self.client.report(&request).await?)
    }

    /// Remembers the refused columns: on this day their counts are unknown for every requestor.
    fn refuse(answer: &ReportAnswer, evar: u16, day: usize, seen: &mut Seen) {
        for (slot, why) in &answer.refused {
            let Some(kind) = u8::try_from(*slot).ok().and_then(EventKind::from_slot) else { continue };
            // If Adobe does not report a dimension, it returns an error for each column.
            let what = if why.contains("dimension") { Refused::Evar(evar) } else { Refused::Event(kind) };
            seen.refused.entry(what).or_insert_with(|| (why.clone(), day));
            seen.side.refused.insert((day, kind));
        }
    }
}

/// Adds without overflow, because a server may send any number.
fn add(sum: &mut u64, units: u64) {
    *sum = sum.saturating_add(units);
}
