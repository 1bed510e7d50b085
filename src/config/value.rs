//! The types of configuration values that are no plain texts or numbers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::word::{serde_as_text, words};

serde_as_text!(Zone, Listen, Span);

/// A secret: no log and no message shows it.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "none" } else { "..." })
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(pub chrono_tz::Tz);

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Zone, String> {
        let refuse =
            || format!("{name:?} is no IANA time zone, such as \"America/Los_Angeles\" or \"Etc/GMT+8\"");
        name.parse().map(Zone).map_err(|_| refuse())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.name())
    }
}

/// The address to listen at, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        match (text, text.parse::<u16>(), text.parse::<SocketAddr>()) {
            ("off", ..) => Ok(Listen::Off),
            (_, Ok(port), _) => Ok(Listen::At(loopback(port))),
            (.., Ok(address)) => Ok(Listen::At(address)),
            _ => Err(format!(
                "{text:?} must be \"off\", a port such as \"8090\", or an address such as \"127.0.0.1:8090\""
            )),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => out.write_str("off"),
            Listen::At(address) => address.fmt(out),
        }
    }
}

words! {
    /// The format of log lines.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }

    /// The least severity that is logged.
    pub enum LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

/// A duration such as `2h` or `1h30m`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Option<Duration>);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        if text == "off" { Ok(Span(None)) } else { duration(text).map(|span| Span(Some(span))) }
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

/// Reads a duration: amounts with units, such as `1h30m`, each unit once and the largest first.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no duration: write 90s, 15m, 1h30m or 2d");
    let mut seconds: u64 = 0;
    let (mut rest, mut units) = (text, UNITS.iter());
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
        let amount: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        let unit = units.find(|(letter, _)| rest[digits..].starts_with(*letter)).ok_or_else(refuse)?;
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
        for text in [
            "",
            "0s",
            "90",
            "m",
            "1w",
            "1.5h",
            "-1s",
            "1h30",
            "99999999999999999999d",
            "1µ",
            "30m1h",
            "1h1h",
            "=1h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for text in ["off", "2h", "1d1h30m", "45s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()).as_deref(), Ok(text));
        }
        assert!("never".parse::<Span>().is_err());
    }
}
