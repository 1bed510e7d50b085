//! One cell of a comparison: the counts of ESM, the buffer and Analytics, and the causes of their differences.

use serde::Serialize;

use super::cause::Cause;
use super::hint::Hint;
use super::tolerance::Tolerance;
use crate::event::EventKind;

/// The units of one cell in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stored {
    /// All units that were stored and not taken back.
    pub counted: u64,
    pub pending: u64,
    /// The events wait because the suite is paused or blocked.
    pub parked: u64,
    /// Adobe rejected the events for good, or they were never sent because their count breaks a limit.
    pub dead: u64,
    /// Adobe may have counted the events, so they are not sent again unless a person decides it.
    pub held: u64,
    pub discarded: u64,
    /// The units left the buffer undelivered: they were erased, or they were discarded and then expired.
    pub withdrawn: u64,
    /// Part of the delivered units, without `late`: delivered so recently that Analytics need not show them yet.
    pub too_fresh: u64,
    /// Part of the delivered units: delivered within the last day, and more than a day after the event happened.
    /// Analytics needs up to a day to show such hits.
    pub late: u64,
    /// Part of the delivered units: a person, not a reply of Adobe, said that they were delivered.
    pub vouched: u64,
    /// The most units that Analytics may show in addition to `delivered`, from attempts of unknown outcome.
    pub ambiguous: u64,
    /// Units that were sent again under the same event ID. Analytics counts them once only with "Use Event ID".
    pub repeated: u64,
}

impl Stored {
    pub fn delivered(&self) -> u64 {
        let absent = self.pending + self.parked + self.dead + self.held + self.discarded + self.withdrawn;
        self.counted.saturating_sub(absent)
    }
}

/// What ESM counted for one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stated {
    pub units: u64,
    /// Failed authorizations that Adobe rejected as an attack; 0 if `units` includes them.
    pub rejected: u64,
}

/// A part of a difference, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    pub cause: Cause,
    /// The units that this cause adds to the difference; negative if the cause takes units away.
    pub units: i64,
}

/// The result of comparing a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All counts that were compared are equal, within the tolerance.
    Agrees,
    /// The counts differ, and known causes explain why.
    Explained,
    /// A count that is needed is not known, or nothing proves that Analytics will ever show recent units.
    Unknown,
    /// The counts differ, and no known cause explains the rest.
    Differs,
}

/// The counts of a cell, before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// `None` if no report covers the cell, if the record of it has no number, or if ESM has no such metric.
    pub esm: Option<Stated>,
    pub stored: Stored,
    /// `None` if Analytics was not asked, or refused to report.
    pub analytics: Option<u64>,
}

/// The difference between two counts, split into its causes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) parts: Vec<Part>,
    pub(super) rest: i64,
    /// The larger of the two counts; a tolerance in percent is a share of it. Against Analytics, the count of the
    /// buffer is its delivered units.
    larger: u64,
}

impl Account {
    fn between(one: u64, other: u64) -> Account {
        Account { parts: Vec::new(), rest: signed(one) - signed(other), larger: one.max(other) }
    }

    pub(super) fn verdict(&self, tolerance: Tolerance) -> Verdict {
        if self.rest != 0 && !tolerance.allows(self.rest, self.larger) {
            return Verdict::Differs;
        }
        let difference = self.parts.iter().fold(self.rest, |sum, part| sum.saturating_add(part.units));
        if difference != 0 && !self.parts.is_empty() { Verdict::Explained } else { Verdict::Agrees }
    }

    /// Explains at most `units` of the rest by `cause`: a surplus if positive, a deficit if negative.
    fn take(&mut self, cause: Cause, units: i64) {
        let part = if units > 0 { units.min(self.rest).max(0) } else { units.max(self.rest).min(0) };
        self.put(cause, part);
    }

    /// Explains exactly `units` of the rest by `cause`.
    fn put(&mut self, cause: Cause, units: i64) {
        if units != 0 {
            self.rest -= units;
            self.parts.push(Part { cause, units });
        }
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

impl Counts {
    /// Whether every count is zero. Reports may have rows of zeros.
    pub(super) fn is_empty(&self) -> bool {
        self.stored == Stored::default()
            && self.analytics.unwrap_or(0) == 0
            && self.esm.unwrap_or_default() == Stated::default()
    }

    /// The count of Analytics minus the count of the buffer, split into its causes.
    pub(super) fn against_analytics(&self) -> Option<Account> {
        let of = &self.stored;
        let mut account = Account::between(self.analytics?, of.counted);
        account.larger = of.delivered().max(self.analytics?);
        for (cause, units) in [
            (Cause::Pending, of.pending),
            (Cause::Parked, of.parked),
            (Cause::Dead, of.dead),
            (Cause::Held, of.held),
            (Cause::Discarded, of.discarded),
            (Cause::Withdrawn, of.withdrawn),
        ] {
            account.put(cause, -signed(units));
        }
        for (cause, units) in
            [(Cause::TooFresh, of.too_fresh), (Cause::Late, of.late), (Cause::Vouched, of.vouched)]
        {
            account.take(cause, -signed(units));
        }
        account.take(Cause::Ambiguous, signed(of.ambiguous));
        Some(account)
    }

    /// The count of the buffer minus the count of ESM, split into its causes.
    pub(super) fn against_esm(&self, kind: EventKind, is_day_open: bool) -> Option<Account> {
        let stated = self.esm?;
        let mut account = Account::between(self.stored.counted, stated.units);
        account.take(Cause::Rejected, signed(stated.rejected));
        if kind == EventKind::AuthnFailed {
            account.take(Cause::ExternalOnly, i64::MAX);
        }
        if is_day_open {
            account.put(Cause::OpenDay, account.rest);
        }
        Some(account)
    }
}

/// A cell with its verdict. `counted` and `delivered` are units in the buffer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The requestor, spelled as in the buffer, otherwise as in ESM or Analytics.
    pub requestor_id: String,
    pub mvpd: String,
    /// One day, or two days that share the hour which the suite's clock shows twice in autumn.
    pub day: String,
    pub event: &'static str,
    pub slot: u8,
    /// What ESM counted; `null` if no report covers the cell, its record has no number, or ESM has no such metric.
    pub esm: Option<u64>,
    pub counted: u64,
    pub delivered: u64,
    /// What Analytics reports; `null` if Analytics was not asked, or refused to report.
    pub analytics: Option<u64>,
    pub buffer: Stored,
    /// The known causes why Analytics reports more or fewer units than the buffer counted.
    pub analytics_parts: Vec<Part>,
    /// The rest of that difference.
    pub analytics_unexplained: i64,
    /// The known causes why the buffer counted more or fewer units than ESM.
    pub esm_parts: Vec<Part>,
    pub esm_unexplained: i64,
    pub verdict: Verdict,
    pub hints: Vec<Hint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_explains_exactly_and_what_is_fresh_at_the_most() {
        let stored = Stored { counted: 10, pending: 2, too_fresh: 3, ..Stored::default() };
        for (analytics, rest) in [(8, 0), (7, 0), (5, 0), (4, -1), (9, 1), (10, 2)] {
            let counts = Counts { esm: None, stored, analytics: Some(analytics) };
            assert_eq!(counts.against_analytics().map(|account| account.rest), Some(rest), "{analytics}");
        }
        let doubted = Stored { counted: 10, held: 2, ambiguous: 2, ..Stored::default() };
        for (analytics, rest) in [(7, -1), (8, 0), (10, 0), (11, 1)] {
            let counts = Counts { esm: None, stored: doubted, analytics: Some(analytics) };
            assert_eq!(counts.against_analytics().map(|account| account.rest), Some(rest), "{analytics}");
        }
    }
}
