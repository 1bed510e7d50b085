//! A cell: what three parties say of one requestor, MVPD, day and event, and what explains the difference.

use serde::Serialize;

use super::hint::Hint;
use super::tolerance::Tolerance;
use crate::event::EventKind;

/// What the buffer holds of a cell, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stored {
    pub counted: u64,
    pub pending: u64,
    /// Waits because its requestor has no suite or its suite is paused.
    pub parked: u64,
    /// A reply refused it for good.
    pub dead: u64,
    /// May have been counted, and is not repeated.
    pub held: u64,
    pub discarded: u64,
    pub withdrawn: u64,
    /// Delivered so lately that Analytics need not show it yet.
    pub too_fresh: u64,
    /// Delivered within a day, and more than a day after it happened: Analytics takes up to a day for such.
    pub late: u64,
    /// Delivered, as a person says who resolved it by hand; no reply says so.
    pub vouched: u64,
    /// The most that Analytics may have counted beyond what is delivered: attempts of unknown outcome.
    pub ambiguous: u64,
    /// Repeats that Analytics counts once where the suite's events are set to "Use Event ID", and otherwise again.
    pub repeated: u64,
}

impl Stored {
    pub fn delivered(&self) -> u64 {
        let absent = self.pending + self.parked + self.dead + self.held + self.discarded + self.withdrawn;
        self.counted.saturating_sub(absent)
    }
}

/// What ESM counted of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stated {
    pub units: u64,
    /// Failed authorizations that Adobe refused as an attack, where the reports keep them apart.
    pub rejected: u64,
}

/// Why a number is not the one that was counted. The first ten are what the buffer holds ([`Stored`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    #[error("pending")]
    Pending,
    #[error("parked")]
    Parked,
    #[error("dead")]
    Dead,
    #[error("held")]
    Held,
    #[error("discarded")]
    Discarded,
    #[error("deleted undelivered")]
    Withdrawn,
    #[error("too fresh")]
    TooFresh,
    #[error("late")]
    Late,
    #[error("vouched for by hand")]
    Vouched,
    #[error("ambiguous")]
    Ambiguous,
    /// The day ended a moment ago at the most: ESM and the sources still fill it.
    #[error("day not over")]
    OpenDay,
    /// ESM keeps what Adobe refused as an attack in a metric of its own.
    #[error("rejected apart")]
    Rejected,
    /// ESM counts failed logins of external systems only.
    #[error("external only in ESM")]
    ExternalOnly,
}

/// A part of a difference, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    pub cause: Cause,
    /// How much more there is because of it; below zero: less.
    pub units: i64,
}

/// What came of comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everyone says the same, within the tolerance.
    Agrees,
    /// They differ, and the parts say why.
    Explained,
    /// A number that is needed is not known.
    Unknown,
    /// They differ, and nothing explains it.
    Differs,
}

/// What is known of a cell, before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// What ESM counted; `None` where that is not known, or ESM has no such metric.
    pub esm: Option<Stated>,
    pub stored: Stored,
    /// What Analytics reports; `None` where that is not known, or was not asked.
    pub analytics: Option<u64>,
}

/// A difference between two numbers, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) parts: Vec<Part>,
    pub(super) rest: i64,
    /// The larger of the numbers, of which a tolerance may be a share.
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

    /// Explains up to `units` of the rest by `cause`, which may be less: above zero what is too many, below zero what is missing.
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
    /// Whether nobody has anything: a report may have a row of zeros.
    pub(super) fn is_empty(&self) -> bool {
        self.stored == Stored::default()
            && self.analytics.unwrap_or(0) == 0
            && self.esm.unwrap_or_default() == Stated::default()
    }

    /// What Analytics reports beyond what the buffer counted, taken apart.
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

    /// What the buffer counted beyond what ESM did, taken apart.
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

/// A cell that was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The requestor, as the buffer spells it, else as ESM or Analytics does.
    pub requestor_id: String,
    pub mvpd: String,
    /// The day, or the days that the suite's clock cannot tell apart.
    pub day: String,
    pub event: &'static str,
    pub slot: u8,
    /// What ESM counted; `null`: not known, or it has no such metric.
    pub esm: Option<u64>,
    pub counted: u64,
    pub delivered: u64,
    /// What Analytics reports; `null`: not known, or not asked.
    pub analytics: Option<u64>,
    pub buffer: Stored,
    /// Why Analytics reports more or less than was counted, as far as that is known.
    pub analytics_parts: Vec<Part>,
    pub analytics_unexplained: i64,
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
