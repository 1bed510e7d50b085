//! From when on `status --check` alarms.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[monitor]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// How long an event that could go may wait since it was stored, and a drain be the last. Default 2h: four drains were missed.
    pub max_age: Span,
    /// How long no event may come in. Default off: sources differ.
    pub max_silence: Span,
    /// The same of single requestors, by their ID. Default none.
    pub max_silence_of: BTreeMap<String, Span>,
    /// Events that may die within 24 hours. Default 100.
    pub max_dead: u64,
    /// Events that may be held. Default 100.
    pub max_held: u64,
    /// Events that may be parked. Default 10000: a requestor without a suite is seen within days.
    pub max_parked: u64,
    /// Lines that may be rejected within 24 hours. Default 100.
    pub max_rejects: u64,
}

impl Default for MonitorConfig {
    fn default() -> MonitorConfig {
        MonitorConfig {
            max_age: Span(Some(Duration::from_secs(2 * 60 * 60))),
            max_silence: Span(None),
            max_silence_of: BTreeMap::new(),
            max_dead: 100,
            max_held: 100,
            max_parked: 10_000,
            max_rejects: 100,
        }
    }
}

/// A time such as `2h` or `1h30m`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Option<Duration>);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        if text == "off" { Ok(Span(None)) } else { duration(&text).map(|span| Span(Some(span))) }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = self.0 else { return out.write_str("off") };
        let mut left = span.as_secs();
        for (letter, unit_seconds) in UNITS {
            let amount = left / unit_seconds;
            left %= unit_seconds;
            if amount > 0 {
                write!(out, "{amount}{letter}")?;
            }
        }
        if span.as_secs() == 0 { out.write_str("0s") } else { Ok(()) }
    }
}

/// The units of a duration, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// Reads a duration: amounts with units, such as `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no duration: write 90s, 15m, 1h30m or 2d");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
        let amount: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        let unit = UNITS.iter().find(|(letter, _)| rest[digits..].starts_with(*letter)).ok_or_else(refuse)?;
        seconds = amount.checked_mul(unit.1).and_then(|more| seconds.checked_add(more)).ok_or_else(refuse)?;
        rest = &rest[digits + 1..];
    }
    if seconds == 0 { Err(refuse()) } else { Ok(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_names_its_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "90", "m", "1w", "1.5h", "-1s", "1h30", "99999999999999999999d", "1µ"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for text in ["off", "2h", "1d1h30m", "45s"] {
            assert_eq!(Span::try_from(text.to_owned()).map(String::from).as_deref(), Ok(text));
        }
        assert!(Span::try_from("never".to_owned()).is_err());
    }
}
