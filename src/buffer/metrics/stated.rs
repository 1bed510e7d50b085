//! The unique accounts that ESM stated, as it stated them. A later statement replaces an earlier one.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::super::error::Result;
use super::super::forms::intern_requestor;
use super::super::rows::{each, run};
use super::reader::MetricsReader;
use crate::event::{EventKind, Instant, RequestorId};
use crate::readers::esm::StatedAccounts;

/// Days before the end of a reconciliation in which users are compared with logins.
const MONTH_DAYS: i64 = 30;
/// Days of data that it takes to compare them, in whole weeks: the shortest month. In less time most viewers log in once, so that
/// lasting IDs show as many users as logins too.
const DATA_DAYS_MIN: i64 = 28;

/// With fewer logins in a month, nothing can be said about an MVPD's user IDs.
const TRANSIENT_LOGINS_MIN: u64 = 20;
/// What transient user IDs mean for reports ("Understanding Server-side Metrics", "Unique Users").
pub const TRANSIENT_IDS: &str = "the user IDs look transient, a new one for each login: Adobe says that their persistence is \
                                 neither guaranteed nor validated, so users, and visitors made of them, count logins here";

/// Whether the user IDs of an MVPD look transient: the users of a month or more are at least 95 % of its logins. `login_days` are
/// numbers of days with logins: from first to last they are four weeks, and none of these is without one.
pub fn looks_transient(users: u64, logins: u64, login_days: &BTreeSet<i64>) -> bool {
    let (Some(first), Some(last)) = (login_days.first(), login_days.last()) else { return false };
    let is_month = last - first + 1 >= DATA_DAYS_MIN
        && (*first..first + DATA_DAYS_MIN)
            .step_by(7)
            .all(|day| login_days.range(day..day + 7).next().is_some());
    is_month && logins >= TRANSIENT_LOGINS_MIN && users.saturating_mul(20) >= logins.saturating_mul(19)
}

/// Stores stated accounts, in the transaction that stores the counts of the same records.
pub(in super::super) fn store(connection: &Connection, stated: &[StatedAccounts]) -> Result<()> {
    for one in stated {
        let requestor = intern_requestor(connection, &one.requestor_id)?;
        let insert =
            "INSERT OR REPLACE INTO esm_accounts (starts_at, ends_at, requestor, mvpd, dimensions, accounts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = (one.from, one.to, requestor, &one.mvpd, &one.dimensions, one.accounts.cast_signed());
        run(connection, insert, values)?;
    }
    Ok(())
}

/// An MVPD whose user IDs look transient.
#[derive(Debug, Clone, PartialEq, Eq)]
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
                found.push(TransientIds {
                    mvpd: group.mvpd,
                    users: 0,
                    logins: 0,
                    login_days: BTreeSet::new(),
                });
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
            !each.mvpd.is_empty() && looks_transient(each.users, each.logins, &each.login_days)
        });
        Ok(found)
    }

    /// Shows what ESM stated for times that overlap the span from `from` to `to`.
    pub fn each_stated(
        &self,
        from: Instant,
        to: Instant,
        mut show: impl FnMut(StatedAccounts),
    ) -> Result<()> {
        let select = "SELECT requestor_id, starts_at, ends_at, mvpd, dimensions, accounts
             FROM esm_accounts JOIN requestors USING (requestor) WHERE starts_at < ?2 AND ends_at > ?1";
        each(&self.connection, select, (from, to), |row| {
            // An invalid ID can only be damage; `status --verify` reports it.
            if let Ok(requestor_id) =
                RequestorId::new(row.get_ref("requestor_id")?.as_str().unwrap_or_default())
            {
                show(StatedAccounts {
                    requestor_id,
                    from: row.get("starts_at")?,
                    to: row.get("ends_at")?,
                    mvpd: row.get("mvpd")?,
                    dimensions: row.get("dimensions")?,
                    accounts: row.get::<_, i64>("accounts")?.unsigned_abs(),
                });
            }
            Ok(())
        })
    }
}
