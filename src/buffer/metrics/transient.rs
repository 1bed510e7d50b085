//! The MVPDs whose user IDs look transient: their users are nearly as many as their logins.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::super::error::Result;
use super::reader::MetricsReader;
use crate::event::EventKind;

/// How many days before the end of a reconciliation the comparison of users with logins begins.
const MONTH_DAYS: i64 = 30;
/// The fewest days of data for this comparison, in whole weeks. In less time most viewers log in only once, so
/// lasting IDs, too, would have as many users as logins.
const DATA_DAYS_MIN: i64 = 28;

/// With fewer logins in a month, nothing can be said about an MVPD's user IDs.
const TRANSIENT_LOGINS_MIN: u64 = 20;
/// What transient user IDs mean for reports ("Understanding Server-side Metrics", "Unique Users").
pub const TRANSIENT_IDS: &str = "the user IDs look transient, a new one for each login: Adobe says that their persistence is \
                                 neither guaranteed nor validated, so users, and visitors made of them, count logins here";

/// Whether the user IDs of an MVPD look transient: in four weeks or more, with at least 20 logins, the users are at
/// least 95 % of the logins. `login_days` are the numbers of the days with logins. They must span four weeks, with a
/// login in each of the first four weeks. One day without logins at each end of `period` does not shorten the span.
pub fn looks_transient(users: u64, logins: u64, login_days: &BTreeSet<i64>, period: &Range<i64>) -> bool {
    let (Some(first), Some(last)) = (login_days.first(), login_days.last()) else { return false };
    let is_whole = *first <= period.start + 1 && *last >= period.end - 2;
    let days = if is_whole { period.end - period.start } else { last - first + 1 };
    let is_month = days >= DATA_DAYS_MIN
        && (*first..first + DATA_DAYS_MIN)
            .step_by(7)
            .all(|day| login_days.range(day..day + 7).next().is_some());
    is_month && logins >= TRANSIENT_LOGINS_MIN && users.saturating_mul(20) >= logins.saturating_mul(19)
}

/// An MVPD whose user IDs look transient, with its users and its logins (AuthN OK) in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransientIds {
    pub mvpd: String,
    pub users: u64,
    pub logins: u64,
    login_days: BTreeSet<i64>,
}

impl MetricsReader {
    /// The MVPDs of these requestors whose user IDs look transient in the month before the UTC day `end_day`.
    pub fn transient_ids(&self, requestors: &BTreeSet<String>, end_day: i64) -> Result<Vec<TransientIds>> {
        let mut found: Vec<TransientIds> = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        for group in self.groups()?.into_iter().filter(|group| requestors.contains(&group.requestor_id)) {
            let mvpd = group.mvpd.to_lowercase();
            let known = found.iter().position(|known| known.mvpd.to_lowercase() == mvpd);
            let place = known.unwrap_or_else(|| {
                found.push(TransientIds { mvpd: group.mvpd, ..TransientIds::default() });
                found.len() - 1
            });
            places.insert(group.number, place);
        }
        let first_day = end_day - MONTH_DAYS;
        self.each_counted(first_day * 24, end_day * 24 - 1, |counted| {
            if let Some(place) = places.get(&counted.group).filter(|_| counted.kind == EventKind::AuthnOk) {
                found[*place].logins += counted.units.iter().sum::<u64>();
                found[*place].login_days.insert(counted.hour.div_euclid(24));
            }
        })?;
        self.each_user(first_day, end_day - 1, |seen| {
            let people = seen.iter().filter(|seen| !seen.is_synthetic);
            let at: BTreeSet<usize> = people.filter_map(|seen| places.get(&seen.group).copied()).collect();
            at.into_iter().for_each(|place| found[place].users += 1);
        })?;
        found.retain(|each| {
            !each.mvpd.is_empty()
                && looks_transient(each.users, each.logins, &each.login_days, &(first_day..end_day))
        });
        Ok(found)
    }
}
