//! Reads times in the form and the zone that a map says, because the times themselves do not tell these.

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeZone};

use crate::config::Zone;
use crate::event::Instant;

/// The units of Unix times, and how many nanoseconds each has.
const UNITS: [(&str, i64); 4] = [
    ("unix_seconds", 1_000_000_000),
    ("unix_milliseconds", 1_000_000),
    ("unix_microseconds", 1_000),
    ("unix_nanoseconds", 1),
];
/// The forms of a time without an offset, where a map names a zone and no form.
const PLAIN: [&str; 4] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];

/// The names of the zone that a written Z, UTC, GMT or +00:00 means.
const UTC: [&str; 4] = ["UTC", "Etc/UTC", "GMT", "Etc/GMT"];

/// A zone that a form has behind its time as a text: a word such as Z, UTC, EST or CET, or an offset.
fn written_zone(format: &str) -> Option<&str> {
    // The last letter of the form's signs, such as %S, %.3f or %:z.
    let signs = format.rfind('%').map_or("", |at| &format[at..]);
    let text = signs.find(char::is_alphabetic).map_or(format, |at| &signs[at + 1..]).trim();
    // Zeros may stand before it in the place of a fraction.
    let zone =
        text.trim_start_matches(|letter: char| letter == '.' || letter == ' ' || letter.is_ascii_digit());
    let is_word = zone.len() <= 5 && zone.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_offset = zone.strip_prefix(['+', '-']).is_some_and(|digits| {
        digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    });
    (!zone.is_empty() && (is_word || is_offset)).then_some(zone)
}

/// Whether a written zone says the same as this one.
fn is_named(zone: Zone, written: &str) -> bool {
    let is_zero = || written.bytes().all(|byte| matches!(byte, b'+' | b'-' | b'0' | b':'));
    let is_utc = ["Z", "UTC", "GMT"].contains(&written) || is_zero();
    is_utc && UTC.contains(&zone.0.name()) || zone.0.name().eq_ignore_ascii_case(written)
}

/// The form of the times of a source.
#[derive(Debug)]
pub(super) enum TimeForm {
    /// The form of events' times. With a zone, a time may lack an offset.
    Own(Option<Zone>),
    /// Whole units since 1970: the name of the unit, and its nanoseconds.
    Unix(&'static str, i64),
    Pattern(String, Option<Zone>),
}

impl TimeForm {
    pub(super) fn new(format: &str, zone: Option<Zone>) -> Result<TimeForm, String> {
        if let Some((name, nanos)) = UNITS.into_iter().find(|(name, _)| *name == format) {
            return Ok(TimeForm::Unix(name, nanos));
        }
        if format.is_empty() {
            return Ok(TimeForm::Own(zone));
        }
        for item in StrftimeItems::new(format) {
            match item {
                Item::Error => {
                    let words = UNITS.map(|(name, _)| name).join(", ");
                    return Err(format!(
                        "{format:?} is no time format: write {words}, or such as \"%d.%m.%Y %H:%M:%S\""
                    ));
                }
                Item::Fixed(Fixed::TimezoneName) => {
                    let and = if zone.is_none() { ", and name the timezone" } else { "" };
                    return Err(format!(
                        "{format:?} has %Z, but names of zones such as PST leave doubts: leave %Z out, export the times without it{and}"
                    ));
                }
                Item::Numeric(Numeric::Nanosecond, _) => {
                    return Err(format!(
                        "{format:?} has %f, which counts nanoseconds: write %.f for a fraction with its point, or %3f, %6f or %9f for so many digits"
                    ));
                }
                _ => {}
            }
        }
        let written = written_zone(format);
        if let Some((zone, written)) = zone.zip(written).filter(|(zone, written)| !is_named(*zone, written)) {
            return Err(format!(
                "{format:?} ends with a written {written}, and the timezone is {zone}, on whose clock the times would be read: name the \
                 timezone that {written} means, write %z for an offset, or leave the form out"
            ));
        }
        let sample = DateTime::UNIX_EPOCH.format(format).to_string();
        if NaiveDateTime::parse_from_str(&sample, format).is_err() {
            let has_date = NaiveDate::parse_from_str(&sample, format).is_ok();
            let lacking = if has_date { "time of day (%H:%M, or %I:%M %p)" } else { "whole date (%Y-%m-%d)" };
            return Err(format!(
                "{format:?} has no {lacking}, and an event needs its date and its time of day"
            ));
        }
        Ok(TimeForm::Pattern(format.to_owned(), zone))
    }

    /// The instant of a text; `None` if the text must be read as the time of an event.
    pub(super) fn read(&self, text: &str) -> Option<Result<Instant, String>> {
        let text = text.trim();
        match self {
            TimeForm::Own(zone) => {
                let local = PLAIN.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
                let local = local.filter(|local| local.year() > 999)?;
                zone.map(|zone| at_clock(zone, local, text))
            }
            TimeForm::Unix(name, nanos) => {
                let at = text.parse().ok().and_then(|units: i64| units.checked_mul(*nanos));
                Some(at.map(Instant::from_nanos).ok_or_else(|| format!("{text:?} is no time in {name}")))
            }
            TimeForm::Pattern(form, zone) => {
                let local = || NaiveDateTime::parse_from_str(text, form);
                let read = match (DateTime::parse_from_str(text, form), local(), zone) {
                    (Ok(at), ..) => Ok(at.to_utc().into()),
                    (_, Ok(local), Some(zone)) => at_clock(*zone, local, text),
                    (_, Ok(_), None) => Err(format!("{text:?} has no offset, and the map has no timezone")),
                    (_, Err(_), _) => Err(format!("{text:?} does not have the form {form:?} of the map")),
                };
                // chrono takes fewer digits for `%Y`, so that 26 is the year 26.
                Some(match read {
                    Ok(at) if at.unix_seconds() < 0 => Err(format!(
                        "{text:?} is before 1970 by the form {form:?}: %Y is a year of four digits, %y one of two"
                    )),
                    read => read,
                })
            }
        }
    }
}

fn at_clock(zone: Zone, local: NaiveDateTime, text: &str) -> Result<Instant, String> {
    let what = match zone.0.from_local_datetime(&local) {
        LocalResult::Single(at) => return Ok(at.to_utc().into()),
        LocalResult::Ambiguous(..) => "shows twice: export such times in UTC or with an offset",
        LocalResult::None => "never shows, because it goes forward then",
    };
    Err(format!("{text:?} is a time that the clock of {zone} {what}"))
}
