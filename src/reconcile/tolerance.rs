use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// How much the counts of a cell may differ before its verdict is `Differs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    Units(u64),
    Percent(f64),
}

impl Tolerance {
    /// Whether the rest is small enough to ignore. A tolerance in percent is a share of `larger`, the larger count.
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
        let read = match text.strip_suffix('%') {
            None => text.parse().ok().map(Tolerance::Units),
            Some(share) => share.parse().ok().map(Tolerance::Percent),
        };
        let is_share = |read: &Tolerance| match read {
            Tolerance::Units(_) => true,
            Tolerance::Percent(percent) => (0.0..=100.0).contains(percent),
        };
        read.filter(is_share).ok_or_else(|| {
            format!("{text:?} is no tolerance: write a number of units such as 5, or a share such as 0.5%")
        })
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
}
