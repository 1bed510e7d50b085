//! The vocabulary of backfills: name, route, state and hours.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Timelike};

use crate::config::Zone;
use crate::event::Instant;
use crate::suite::Rsid;
use crate::word::{serde_as_text, words};

/// The most characters of a name. A name becomes part of a folder's name.
const NAME_CHARS_MAX: usize = 64;
/// How the names of standing backfills begin. The colon is in no name that a person gives.
const LIVE_PREFIX: &str = "live:";
const DAY_MINUTES: u16 = 24 * 60;

/// The name of a backfill: letters, digits, `-`, `_` and `.`, not `.` first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(pub(crate) String);

impl JobName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the standing backfill by which a suite's live events go in files. No person can give this name.
    pub fn of_suite(rsid: &Rsid) -> JobName {
        JobName(format!("{LIVE_PREFIX}{rsid}"))
    }

    /// The suite of a standing backfill; `None` for a backfill that a person named.
    pub fn suite(&self) -> Option<Rsid> {
        self.0.strip_prefix(LIVE_PREFIX)?.parse().ok()
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for JobName {
    type Err = JobError;

    fn from_str(text: &str) -> Result<JobName, JobError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !text.is_empty() && text.len() <= NAME_CHARS_MAX && !text.starts_with('.');
        if fits && text.bytes().all(is_plain) {
            Ok(JobName(text.to_owned()))
        } else {
            Err(JobError::Name(text.to_owned()))
        }
    }
}

/// Why a backfill's name or hours are rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error(
        "{0:?} cannot name a backfill: use up to {NAME_CHARS_MAX} letters, digits, - _ and ., not . first"
    )]
    Name(String),
    #[error("{0:?} are no hours: write them as 22:00-06:00")]
    Hours(String),
}

words! {
    /// How the events of a backfill reach Adobe.
    #[derive(Default)]
    pub enum JobRoute {
        #[default]
        Dia = "dia",
        Bulk = "bulk",
    }

    /// The state of a backfill.
    pub enum JobState {
        /// The inputs are recorded, and nothing else was done.
        Planned = "planned",
        /// A process runs the backfill.
        Running = "running",
        /// The backfill should go on, but no process runs it. This state is shown, never stored.
        Stopped = "stopped",
        /// A person paused the backfill.
        Paused = "paused",
        /// Everything that could be sent was sent.
        Done = "done",
        /// A person cancelled the rest.
        Cancelled = "cancelled",
    }
}

/// The hours of each day in which a backfill may send, in the schedule's time zone, such as `22:00-06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: u16,
    to: u16,
}

impl Hours {
    /// Minutes from an instant until the hours begin, by the local time of a zone; `None` within the hours.
    pub fn minutes_to_wait(self, at: Instant, zone: Zone) -> Option<u16> {
        let local = DateTime::from_timestamp_nanos(at.nanos()).with_timezone(&zone.0);
        let minute = (local.hour() * 60 + local.minute()) as u16;
        (!self.contains(minute)).then(|| self.minutes_until(minute))
    }

    /// When the hours begin, such as `22:00`.
    pub fn start(self) -> String {
        format!("{:02}:{:02}", self.from / 60, self.from % 60)
    }

    fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }

    fn minutes_until(self, minute: u16) -> u16 {
        (self.from + DAY_MINUTES - minute % DAY_MINUTES) % DAY_MINUTES
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hours { from, to } = self;
        write!(out, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl FromStr for Hours {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Hours, JobError> {
        let refuse = || JobError::Hours(text.to_owned());
        let (from, to) = text.split_once('-').ok_or_else(refuse)?;
        let (from, to) = (minute(from.trim()).ok_or_else(refuse)?, minute(to.trim()).ok_or_else(refuse)?);
        // If both times are the same, the hours could mean never or always.
        if from == to { Err(refuse()) } else { Ok(Hours { from, to }) }
    }
}

serde_as_text!(JobName, Hours);

/// Reads a time of the day as minutes since midnight. 24:00 is the midnight at the end of the day, so 0.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| digits(text).then(|| text.parse::<u16>().ok()).flatten();
    match (number(hour)?, number(minute)?) {
        (24, 0) => Some(0),
        (hour @ 0..24, minute @ 0..60) => Some(hour * 60 + minute),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["q3", "REF30-2026.01_a"] {
            assert_eq!(name.parse::<JobName>().expect(name).as_str(), name);
        }
        for name in ["", ".hidden", "../x", "a b", "ä", &"x".repeat(65)] {
            assert!(name.parse::<JobName>().is_err(), "{name}");
        }
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let hours = |text: &str| text.parse::<Hours>().expect(text);
        let night = hours("22:00-06:00");
        assert_eq!(night.to_string(), "22:00-06:00");
        for (minute, inside, until) in
            [(0, true, 1320), (359, true, 961), (360, false, 960), (1319, false, 1), (1320, true, 0)]
        {
            assert_eq!((night.contains(minute), night.minutes_until(minute)), (inside, until), "{minute}");
        }
        let day = hours("09:30-17:00");
        assert_eq!([569, 570, 1019, 1020].map(|minute| day.contains(minute)), [false, true, true, false]);
        let evening = hours("18:00-24:00");
        assert!(evening.contains(1439) && !evening.contains(0));
        for text in
            ["", "22-6", "22:00", "24:30-06:00", "22:60-06:00", "06:00-06:00", "2:00-06:00", "+1:00-06:00"]
        {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
