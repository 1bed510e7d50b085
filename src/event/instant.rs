//! The time of an event: an instant in UTC, as precise as its source, at most to the nanosecond.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The smallest number that is read as Unix milliseconds, not seconds. 10^11 ms is in 1973, 10^11 s in 5138.
const MILLISECONDS_FROM: i128 = 100_000_000_000;
/// The smallest number that is refused as too large. Even the milliseconds of 2262, the last year stored, are smaller.
const MICROSECONDS_FROM: i128 = 100_000_000_000_000;
/// The largest exponent of a Unix time in scientific notation: that of milliseconds, as in 1.79516E+12.
const MILLISECONDS_EXPONENT: usize = 12;
const SECONDS_DIGITS_MAX: usize = 11;
const NANOS: i128 = 1_000_000_000;
const QUARTER_SECONDS: i64 = 900;
const QUARTER: TimeDelta = TimeDelta::seconds(QUARTER_SECONDS);
/// How many quarter hours after midnight a day may begin. A clock that skips a whole day skips 96.
const QUARTERS_SKIPPED_MAX: i32 = 100;

/// An instant in UTC, in whole nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(i64);

impl Instant {
    pub fn from_nanos(nanos: i64) -> Instant {
        Instant(nanos)
    }

    pub fn nanos(self) -> i64 {
        self.0
    }

    pub fn is_older(self, now: Instant, age: std::time::Duration) -> bool {
        i128::from(now.0) - i128::from(self.0) > age.as_nanos() as i128
    }

    /// Whole Unix seconds, rounded down: the `timestamp` of a hit.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The number of the UTC hour since the Unix epoch.
    pub fn unix_hour(self) -> i64 {
        self.unix_seconds().div_euclid(3600)
    }

    /// The number of the quarter hour since the Unix epoch. Every zone's offset is a whole number of quarter hours.
    pub fn unix_quarter(self) -> i64 {
        self.unix_seconds().div_euclid(QUARTER_SECONDS)
    }

    pub fn of_quarter(quarter: i64) -> Instant {
        Instant(quarter.saturating_mul(QUARTER_SECONDS * 1_000_000_000))
    }

    /// The start of a day in a zone: midnight or, if the clock skips midnight, the first quarter hour that exists.
    pub fn of_day(day: NaiveDate, zone: Tz) -> Instant {
        let mut steps = (0..QUARTERS_SKIPPED_MAX).map(|step| day.and_time(NaiveTime::MIN) + QUARTER * step);
        let begin = steps.find_map(|local| zone.from_local_datetime(&local).earliest());
        Instant::from(begin.map_or_else(|| day.and_time(NaiveTime::MIN).and_utc(), |at| at.to_utc()))
    }

    /// RFC 3339 in UTC with whole seconds, for people.
    pub fn to_the_second(self) -> String {
        DateTime::from(self).to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// RFC 3339 in UTC with milliseconds, as the views of the buffer have it. What is finer is left out.
    pub fn to_the_millisecond(self) -> String {
        DateTime::from(self).to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The day in UTC, for people.
    pub fn to_the_day(self) -> String {
        DateTime::from(self).format("%Y-%m-%d").to_string()
    }

    /// Reads RFC 3339 text with an offset.
    pub(super) fn parse_text(text: &str) -> Result<Instant, String> {
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| {
            format!("{text:?} is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00Z")
        })?;
        if fraction_digits(text).bytes().skip(9).any(|digit| digit != b'0') {
            return Err(format!("{text:?} is finer than a nanosecond"));
        }
        at.timestamp_nanos_opt()
            .map(Instant)
            .ok_or_else(|| format!("{text:?} is beyond the years 1677 to 2262"))
    }

    /// Reads an instant as a source wrote it: Unix seconds or milliseconds, RFC 3339, or an unambiguous variant of
    /// RFC 3339. Used for events and exchanges in every file format.
    pub fn of_source(text: &str) -> Result<Instant, String> {
        if is_number(text) {
            return Instant::parse_number(text);
        }
        if text.trim() != text && Instant::of_source(text.trim()).is_ok() {
            return Err(format!("{text:?} has blanks around it: take them off"));
        }
        let parse = |text: String| Instant::parse_text(&text).ok();
        Instant::parse_text(text).or_else(|error| match respelled(text) {
            // The message shows the text as the source wrote it.
            Some(text) => parse(text).ok_or(error),
            None => match respelled(&format!("{text}Z")).and_then(parse) {
                Some(_) => Err(format!("{text:?} has no offset: add Z for UTC, or one such as +01:00")),
                None => Err(error),
            },
        })
    }

    /// Reads a JSON number: Unix seconds, or milliseconds from 10^11 on. Digits after the point are kept.
    pub(super) fn parse_number(number: &str) -> Result<Instant, String> {
        let refuse = || format!("{number} is no Unix time in seconds or milliseconds");
        if number.len() > 40 {
            return Err("is a number of more than 40 characters".to_owned());
        }
        let written_out = without_exponent(number)?;
        let plain = written_out.as_deref().unwrap_or(number);
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse());
        }
        let units = i128::from(whole.parse::<i64>().map_err(|_| refuse())?);
        if units >= MICROSECONDS_FROM {
            return Err(format!(
                "{number} has the size of micro- or nanoseconds: write milliseconds, or RFC 3339"
            ));
        }
        let nanos_of_unit = if units >= MILLISECONDS_FROM { NANOS / 1000 } else { NANOS };
        let mut nanos = units * nanos_of_unit;
        let mut digit_value = nanos_of_unit;
        for digit in fraction.bytes().map(|byte| i128::from(byte - b'0')) {
            if digit_value == 1 && digit != 0 {
                return Err(format!("{number} is finer than a nanosecond"));
            }
            digit_value = (digit_value / 10).max(1);
            nanos += if number.starts_with('-') { -digit * digit_value } else { digit * digit_value };
        }
        i64::try_from(nanos).map(Instant).map_err(|_| refuse())
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).split(['e', 'E']).next().unwrap_or_default();
    digits.starts_with(|letter: char| letter.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Writes out a number with an exponent; `None` if the number has no exponent. Refuses a number whose digits
/// do not reach the second: in 1.79516E+12, as spreadsheets show it, the time within the day is lost.
fn without_exponent(number: &str) -> Result<Option<String>, String> {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else { return Ok(None) };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places: usize = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .ok()
        .filter(|places| *places <= MILLISECONDS_EXPONENT)
        .ok_or_else(|| format!("{number} is no Unix time in seconds or milliseconds"))?;
    let lost = places.saturating_sub(fraction.len());
    let lost_allowed = if whole.len() + places > SECONDS_DIGITS_MAX { 3 } else { 0 };
    if lost > lost_allowed {
        return Err(format!("{number} has too few digits for an instant: write it without an exponent"));
    }
    let moved: String = fraction.chars().chain("0".repeat(lost).chars()).collect();
    Ok(Some(format!("{whole}{}.{}", &moved[..places], &moved[places..])))
}

/// Rewrites another spelling of an instant with an offset as RFC 3339.
fn respelled(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked("2026-11-20".len())?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && !":.,".contains(letter))?;
    let (time, offset) = rest.split_at(end);
    let seconds = if time.len() == "08:30".len() { ":00" } else { "" };
    let offset = match offset.trim_start_matches(' ') {
        name if ["z", "utc", "gmt"].iter().any(|utc| name.eq_ignore_ascii_case(utc)) => "Z".to_owned(),
        hours if hours.len() == "+01".len() => format!("{hours}:00"),
        digits if digits.len() == "+0100".len() && digits.is_ascii() => {
            format!("{}:{}", &digits[..3], &digits[3..])
        }
        offset => offset.to_owned(),
    };
    Some(format!("{date}T{}{seconds}{offset}", time.replace(',', ".")))
}

/// The digits between the point and the offset of an RFC 3339 instant.
fn fraction_digits(text: &str) -> &str {
    let Some((_, rest)) = text.split_once('.') else { return "" };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    &rest[..end]
}

impl std::str::FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Instant, String> {
        Instant::parse_text(text)
    }
}

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Instant::parse_text(&text).map_err(serde::de::Error::custom)
    }
}

impl From<DateTime<Utc>> for Instant {
    /// An instant before 1677 or after 2262 becomes the nearest possible one.
    fn from(at: DateTime<Utc>) -> Instant {
        let edge = if at.timestamp() < 0 { i64::MIN } else { i64::MAX };
        Instant(at.timestamp_nanos_opt().unwrap_or(edge))
    }
}

impl From<Instant> for DateTime<Utc> {
    fn from(instant: Instant) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(instant.0)
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, with as many digits of the second as needed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&DateTime::from(*self).to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds_until_ten_to_the_eleventh() {
        for (number, nanos) in [
            ("1790000000", 1_790_000_000_000_000_000),
            ("1790000000.25", 1_790_000_000_250_000_000),
            ("1790000000000", 1_790_000_000_000_000_000),
            ("1790000000000.5", 1_790_000_000_000_500_000),
            ("1790000000.123456789", 1_790_000_000_123_456_789),
            ("0", 0),
        ] {
            assert_eq!(Instant::parse_number(number).map(Instant::nanos), Ok(nanos), "{number}");
        }
        for number in ["1.7e9", "1790000000.1234567891", "99999999999999999999999", "x", "1.-5", ""] {
            assert!(Instant::parse_number(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_number_that_no_instant_can_hold_never_wraps_to_another_one() {
        for (number, expected) in [
            ("5316911983139663491615230036284778304", "no Unix time"),
            ("-664613997892457936451903528345008888", "no Unix time"),
            ("9223372036854775807", "micro- or nanoseconds"),
            ("1795163400250000", "micro- or nanoseconds"),
            ("9300000000000", "no Unix time"),
            ("-9300000000000", "no Unix time"),
            ("1.79516E+12", "too few digits"),
            ("1.7951634e9", "too few digits"),
            ("1e400", "no Unix time"),
            ("1.2.300000e4", "no Unix time"),
        ] {
            let refused = Instant::of_source(number).expect_err(number);
            assert!(refused.contains(expected), "{number}: {refused}");
        }
    }

    #[test]
    fn every_spelling_that_leaves_no_doubt_is_the_same_instant() {
        for text in [
            "2026-11-20T08:30:00Z",
            "2026-11-20 08:30:00 UTC",
            "2026-11-20 08:30:00.000 GMT",
            "2026-11-20T08:30:00,000z",
            "2026-11-20T08:30:00.000+0000",
            "2026-11-20 09:30:00+01",
            "2026-11-20T09:30+01:00",
            "2026-11-20T09:30:00 +0100",
            "1795163400",
            "1795163400000",
            "1795163400.0",
            "1.795163400e9",
            "1.795163400E+12",
        ] {
            let found = Instant::of_source(text).map(Instant::nanos);
            assert_eq!(found, Ok(1_795_163_400_000_000_000), "{text}");
        }
        for (text, expected) in [
            ("2026-11-20 08:30:00", "has no offset"),
            ("2026-11-20 08:30:00 CET", "no RFC 3339"),
            ("2026-11-20T08:30:00 PST", "\"2026-11-20T08:30:00 PST\" is no RFC 3339"),
            ("\u{feff}2026-11-20T08:30:00Z", "\"\\u{feff}2026-11-20T08:30:00Z\" is no"),
            ("20.11.2026 08:30", "no RFC 3339"),
            ("2026-11-20 08:30:00+1", "no RFC 3339"),
            ("2026-11-20 08:30:00 \u{e9}\u{e9}", "no RFC 3339"),
            ("1795163400,25", "no RFC 3339"),
        ] {
            let refused = Instant::of_source(text).expect_err(text);
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn text_needs_an_offset_and_keeps_its_digits() {
        let at = Instant::parse_text("2026-11-20T08:30:00.000000001+01:00").expect("an instant");
        assert_eq!(at.to_string(), "2026-11-20T07:30:00.000000001Z");
        for text in ["2026-11-20T08:30:00", "2026-11-20", "2026-11-20T08:30:00.0000000001Z", "now"] {
            assert!(Instant::parse_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_rounded_down_also_before_the_epoch() {
        assert_eq!(Instant::from_nanos(-1).unix_seconds(), -1);
        assert_eq!(Instant::from_nanos(1_999_999_999).unix_seconds(), 1);
    }
}
