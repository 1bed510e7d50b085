//! The unique accounts that ESM stated: kept as it stated them, the latest word on each.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Transaction;

use super::super::{BufferError, suites};
use super::looks_transient;
use super::reader::MetricsReader;
use crate::event::{EventKind, Instant, RequestorId};
use crate::readers::esm::StatedAccounts;

/// Days of a month, of which users are compared with logins.
const MONTH_DAYS: i64 = 30;

/// Stores them in the transaction of the counts of the same records.
pub(in super::super) fn store(
    transaction: &Transaction<'_>,
    stated: &[StatedAccounts],
) -> Result<(), BufferError> {
    if stated.is_empty() {
        return Ok(());
    }
    let mut insert =
        transaction.prepare_cached("INSERT OR REPLACE INTO esm_accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for one in stated {
        let requestor = suites::intern_requestor(transaction, &one.requestor_id)?.0;
        let (from, to) = (one.from.nanos(), one.to.nanos());
        insert.execute((from, to, requestor, &one.mvpd, &one.dimensions, one.accounts.cast_signed()))?;
    }
    Ok(())
}

/// An MVPD whose user IDs look transient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransientIds {
    pub mvpd: String,
    pub users: u64,
    pub logins: u64,
}

impl MetricsReader {
    /// The MVPDs of these requestors whose user IDs look transient in the month before the end of a UTC day.
    pub fn transient_ids(
        &self,
        requestors: &BTreeSet<String>,
        end_day: i64,
    ) -> Result<Vec<TransientIds>, BufferError> {
        let mut found: Vec<TransientIds> = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        for group in self.groups()?.into_iter().filter(|group| requestors.contains(&group.requestor_id)) {
            let mvpd = group.mvpd.to_lowercase();
            let known = found.iter().position(|known| known.mvpd.to_lowercase() == mvpd);
            let place = known.unwrap_or_else(|| {
                found.push(TransientIds { mvpd: group.mvpd, users: 0, logins: 0 });
                found.len() - 1
            });
            places.insert(group.number, place);
        }
        let first_day = end_day - MONTH_DAYS;
        self.each_counted(first_day * 24, end_day * 24 - 1, |counted| {
            if let Some(place) = places.get(&counted.group).filter(|_| counted.kind == EventKind::AuthnOk) {
                found[*place].logins += counted.units.iter().sum::<u64>();
            }
        })?;
        self.each_user(first_day, end_day - 1, |seen| {
            let people = seen.iter().filter(|seen| !seen.is_synthetic);
            let at: BTreeSet<usize> = people.filter_map(|seen| places.get(&seen.group).copied()).collect();
            at.into_iter().for_each(|place| found[place].users += 1);
        })?;
        found.retain(|each| !each.mvpd.is_empty() && looks_transient(each.users, each.logins));
        Ok(found)
    }

    /// Shows what ESM stated of times within these.
    pub fn each_stated(
        &self,
        from: Instant,
        to: Instant,
        mut show: impl FnMut(StatedAccounts),
    ) -> Result<(), BufferError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT requestor_id, starts_at, ends_at, mvpd, dimensions, accounts
             FROM esm_accounts JOIN requestors USING (requestor) WHERE starts_at >= ?1 AND starts_at < ?2 AND ends_at <= ?2",
        )?;
        let mut rows = statement.query((from.nanos(), to.nanos()))?;
        while let Some(row) = rows.next()? {
            // An ID that is none can only be damage, which `status --verify` names.
            let Ok(requestor_id) = RequestorId::new(row.get_ref(0)?.as_str().unwrap_or_default()) else {
                continue;
            };
            show(StatedAccounts {
                requestor_id,
                from: Instant::from_nanos(row.get(1)?),
                to: Instant::from_nanos(row.get(2)?),
                mvpd: row.get(3)?,
                dimensions: row.get(4)?,
                accounts: row.get::<_, i64>(5)?.unsigned_abs(),
            });
        }
        Ok(())
    }
}
