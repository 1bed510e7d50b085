//! A cell: what three parties say of one requestor, MVPD, day and event, and how far the account explains where they differ.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::hint::Hint;
use crate::event::EventKind;

/// A requestor or an MVPD as Analytics tells them apart: without regard to case or to blanks at the ends. Empty: none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Folds a value. Analytics lower-cases an eVar before it compares, and cuts blanks ("eVar", Implementation Guide).
    pub fn of(text: &str) -> Name {
        Name(text.trim().to_lowercase().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for no value.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which cell. Cells are listed in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    pub requestor: Name,
    /// The number of the day among those that are compared.
    pub day: usize,
    pub mvpd: Name,
    pub kind: EventKind,
}

/// What the buffer holds of a cell, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stored {
    /// Everything that was ever stored.
    pub counted: u64,
    pub pending: u64,
    /// Waits because its requestor has no suite or its suite is paused.
    pub parked: u64,
    /// Was condemned by a reply.
    pub dead: u64,
    /// May have been counted, and is not repeated.
    pub held: u64,
    /// An operator decided against it.
    pub discarded: u64,
    /// Was deleted before it was delivered.
    pub withdrawn: u64,
    /// Delivered so lately that Analytics need not show it yet.
    pub too_fresh: u64,
    /// Delivered within a day, and more than a day after it happened: Analytics takes up to a day for such.
    pub late: u64,
    /// Delivered by the word of a person, not by a reply.
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

    /// Adds another part of the same cell.
    pub fn add(&mut self, other: &Stored) {
        self.counted += other.counted;
        self.pending += other.pending;
        self.parked += other.parked;
        self.dead += other.dead;
        self.held += other.held;
        self.discarded += other.discarded;
        self.withdrawn += other.withdrawn;
        self.too_fresh += other.too_fresh;
        self.late += other.late;
        self.vouched += other.vouched;
        self.ambiguous += other.ambiguous;
        self.repeated += other.repeated;
    }
}

/// What ESM counted of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stated {
    /// By the metric of the event.
    pub units: u64,
    /// Failed authorizations that Adobe refused as an attack, where the reports keep them apart.
    pub rejected: u64,
}

/// Why a number is not the one that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It waits to be sent.
    Pending,
    /// It waits for a suite, or its suite is paused.
    Parked,
    Dead,
    /// It may have been counted, and is not repeated.
    Held,
    Discarded,
    /// It was deleted before it was delivered.
    Withdrawn,
    /// It was delivered so lately that Analytics need not show it yet.
    TooFresh,
    /// It was delivered long after it happened, and Analytics takes up to a day for such.
    Late,
    /// Only a person says that Analytics has it.
    Vouched,
    /// Attempts of unknown outcome may have been counted.
    Ambiguous,
    /// The day is not over, or ended a moment ago: ESM and the sources still fill it.
    OpenDay,
    /// ESM keeps what Adobe refused as an attack in a metric of its own.
    Rejected,
    /// ESM counts failed logins of external systems only.
    ExternalOnly,
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Cause::Pending => "pending",
            Cause::Parked => "parked",
            Cause::Dead => "dead",
            Cause::Held => "held",
            Cause::Discarded => "discarded",
            Cause::Withdrawn => "deleted undelivered",
            Cause::TooFresh => "too fresh",
            Cause::Late => "late",
            Cause::Vouched => "vouched for by hand",
            Cause::Ambiguous => "ambiguous",
            Cause::OpenDay => "day not over",
            Cause::Rejected => "rejected apart",
            Cause::ExternalOnly => "external only in ESM",
        })
    }
}

/// A part of a difference, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    pub cause: Cause,
    /// How much more (or less, below zero) there is for it.
    pub units: i64,
}

/// What came of comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everyone says the same, or nearly so within the tolerance.
    Agrees,
    /// They differ, and the account says why.
    Explained,
    /// A number that is needed is not known.
    Unknown,
    /// They differ, and nothing explains it.
    Differs,
}

/// How far numbers may lie apart, cell by cell, before it is a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    Units(u64),
    /// So much of the larger number, in percent.
    Percent(f64),
}

impl Tolerance {
    /// Whether a rest of this size is nothing, between numbers of which this is the larger.
    pub(super) fn allows(self, rest: i64, larger: u64) -> bool {
        match self {
            Tolerance::Units(units) => rest.unsigned_abs() <= units,
            Tolerance::Percent(percent) => rest.unsigned_abs() as f64 <= larger as f64 * percent / 100.0,
        }
    }
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance::Units(0)
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Tolerance, String> {
        let refuse = || {
            format!("{text:?} is no tolerance: write a number of units such as 5, or a share such as 0.5%")
        };
        match text.strip_suffix('%') {
            None => text.parse().map(Tolerance::Units).map_err(|_| refuse()),
            Some(share) => share
                .parse()
                .ok()
                .filter(|percent: &f64| (0.0..=100.0).contains(percent))
                .map(Tolerance::Percent)
                .ok_or_else(refuse),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Units(units) => write!(out, "{units}"),
            Tolerance::Percent(percent) => write!(out, "{percent}%"),
        }
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
}

impl Account {
    /// Takes from the rest what `cause` may explain: at most `units` where it explains what is too many, or, below zero, too few.
    fn take(&mut self, cause: Cause, units: i64) {
        let part = if units > 0 { units.min(self.rest).max(0) } else { units.max(self.rest).min(0) };
        self.put(cause, part);
    }

    /// Takes from the rest what `cause` explains for certain.
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
    /// What Analytics reports beyond what the buffer counted, taken apart.
    pub(super) fn against_analytics(&self) -> Option<Account> {
        let stored = &self.stored;
        let mut account =
            Account { rest: signed(self.analytics?) - signed(stored.counted), parts: Vec::new() };
        for (cause, units) in [
            (Cause::Pending, stored.pending),
            (Cause::Parked, stored.parked),
            (Cause::Dead, stored.dead),
            (Cause::Held, stored.held),
            (Cause::Discarded, stored.discarded),
            (Cause::Withdrawn, stored.withdrawn),
        ] {
            account.put(cause, -signed(units));
        }
        for (cause, units) in [
            (Cause::TooFresh, stored.too_fresh),
            (Cause::Late, stored.late),
            (Cause::Vouched, stored.vouched),
        ] {
            account.take(cause, -signed(units));
        }
        account.take(Cause::Ambiguous, signed(stored.ambiguous));
        Some(account)
    }

    /// What the buffer counted beyond what ESM did, taken apart.
    pub(super) fn against_esm(&self, kind: EventKind, is_day_open: bool) -> Option<Account> {
        let stated = self.esm?;
        let mut account =
            Account { rest: signed(self.stored.counted) - signed(stated.units), parts: Vec::new() };
        account.take(Cause::Rejected, signed(stated.rejected));
        if kind == EventKind::AuthnFailed {
            account.take(Cause::ExternalOnly, i64::MAX);
        }
        if is_day_open {
            let rest = account.rest;
            account.put(Cause::OpenDay, rest);
        }
        Some(account)
    }

    /// The larger of what was delivered and what Analytics reports.
    pub(super) fn larger_of_analytics(&self) -> u64 {
        self.stored.delivered().max(self.analytics.unwrap_or(0))
    }

    /// The larger of what was counted and what ESM counted.
    pub(super) fn larger_of_esm(&self) -> u64 {
        self.stored.counted.max(self.esm.map_or(0, |stated| stated.units))
    }
}

/// A cell that was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The requestor, as the buffer spells it, else as ESM or Analytics does.
    pub requestor_id: String,
    /// The MVPD, likewise; empty: none.
    pub mvpd: String,
    /// The day, or the days that the suite's clock cannot tell apart.
    pub day: String,
    /// The event, by its name.
    pub event: &'static str,
    pub slot: u8,
    /// What ESM counted; `null`: not known, or it has no such metric.
    pub esm: Option<u64>,
    pub counted: u64,
    /// What Analytics was given of it.
    pub delivered: u64,
    /// What Analytics reports; `null`: not known, or not asked.
    pub analytics: Option<u64>,
    /// The buffer's units by state.
    pub buffer: Stored,
    /// Why Analytics reports more or less than was counted, as far as the account says.
    pub analytics_parts: Vec<Part>,
    /// What of that nothing explains.
    pub analytics_unexplained: i64,
    /// Why more or less was counted than ESM did.
    pub esm_parts: Vec<Part>,
    /// What of that nothing explains.
    pub esm_unexplained: i64,
    pub verdict: Verdict,
    /// What the rest looks like.
    pub hints: Vec<Hint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_units_or_a_share() {
        for (text, tolerance) in
            [("0", Tolerance::Units(0)), ("12", Tolerance::Units(12)), ("0.5%", Tolerance::Percent(0.5))]
        {
            assert_eq!(text.parse(), Ok(tolerance), "{text}");
            assert_eq!(tolerance.to_string(), text);
        }
        for text in ["", "-1", "1.5", "%", "101%", "-1%", "NaN%", "a"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
        assert!(Tolerance::Percent(1.0).allows(-1, 100) && !Tolerance::Percent(1.0).allows(2, 199));
    }

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
