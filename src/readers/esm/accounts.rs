//! The unique accounts of a record: what ESM states of an hour, a day or a month, which no event can carry.

use chrono::{Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use super::record::{self, Grouping, Pass};
use super::report::Record;
use crate::config::EsmConfig;
use crate::event::{Instant, RequestorId};
use crate::readers::RejectReason;

pub(super) const ACCOUNTS: &str = "unique-accounts";

/// How many accounts ESM saw in a time, of a requestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedAccounts {
    pub requestor_id: RequestorId,
    pub from: Instant,
    pub to: Instant,
    /// At which MVPD; empty where there is none.
    pub mvpd: String,
    /// What else the report groups by: a line for each dimension, `name=value`, and `mvpd` alone.
    pub dimensions: String,
    pub accounts: u64,
}

impl StatedAccounts {
    /// The names of what its report groups by.
    pub fn grouping(&self) -> impl Iterator<Item = &str> {
        self.dimensions.lines().map(|line| line.split_once('=').map_or(line, |(name, _)| name))
    }

    /// Whether its report tells MVPDs apart.
    pub fn has_mvpd(&self) -> bool {
        self.grouping().any(|name| name == "mvpd")
    }
}

impl Grouping {
    /// What a record states; `None` where it states nothing.
    pub(super) fn accounts(
        &self,
        record: &Record,
        config: &EsmConfig,
        pass: Pass,
    ) -> Result<Option<StatedAccounts>, RejectReason> {
        let Some(text) = record.field(ACCOUNTS).filter(|text| !record::is_no_number(text)) else {
            return Ok(None);
        };
        let accounts = record::count_of(ACCOUNTS, text)?;
        let (from, to) = span(record, config, pass)?;
        let mut dimensions = String::new();
        for name in self.dimensions().filter(|name| *name != "requestor-id") {
            let value = record.field(name).unwrap_or("").replace(['\n', '\r'], " ");
            dimensions.push_str(&if name == "mvpd" {
                format!("{name}\n")
            } else {
                format!("{name}={value}\n")
            });
        }
        let mvpd = record.field("mvpd").unwrap_or("").to_owned();
        Ok(Some(StatedAccounts {
            requestor_id: record::requestor_of(record)?,
            from,
            to,
            mvpd,
            dimensions,
            accounts,
        }))
    }
}

/// The time that a record is of: a minute, an hour, a day or a month on the clock of the reports.
fn span(record: &Record, config: &EsmConfig, pass: Pass) -> Result<(Instant, Instant), RejectReason> {
    if record.field("hour").is_some() {
        let from = record::instant(record, config, pass)?;
        let length =
            if record.field("minute").is_some() { TimeDelta::minutes(1) } else { TimeDelta::hours(1) };
        return Ok((from, Instant::from_nanos(from.nanos() + length.num_nanoseconds().unwrap_or(0))));
    }
    let first = record::first_day(record)?;
    let next = match record.field("day") {
        Some(_) => first.checked_add_days(Days::new(1)),
        None => first.checked_add_months(Months::new(1)),
    };
    Ok((midnight(first, config), midnight(next.unwrap_or(NaiveDate::MAX), config)))
}

/// When a day begins: at midnight, or where the clock jumps over it with the hour after it.
fn midnight(day: NaiveDate, config: &EsmConfig) -> Instant {
    let at: NaiveDateTime = day.and_time(NaiveTime::MIN);
    match config.timezone.0.from_local_datetime(&at) {
        LocalResult::Single(local) | LocalResult::Ambiguous(local, _) => Instant::from(local.to_utc()),
        LocalResult::None => match config.timezone.0.from_local_datetime(&(at + TimeDelta::hours(1))) {
            LocalResult::Single(local) | LocalResult::Ambiguous(local, _) => Instant::from(local.to_utc()),
            LocalResult::None => Instant::from(at.and_utc()),
        },
    }
}
