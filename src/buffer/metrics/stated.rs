//! What ESM stated, and what it did not. Of unique accounts the latest statement counts.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::super::error::Result;
use super::super::forms::intern_requestor;
use super::super::rows::{each, first, only, run};
use super::reader::MetricsReader;
use crate::event::{Instant, KindSet, RequestorId};
use crate::readers::esm::{self, StatedAccounts};

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

impl MetricsReader {
    /// The kinds of events whose columns the ESM records of a requestor lack in a UTC hour, by the digest of
    /// each MVPD that lacks any. Releases before this one did not note it: of the hours that they read, there is none.
    pub fn lacking(&self, requestor_id: &str, hour: i64) -> Result<BTreeMap<u64, KindSet>> {
        let select = "SELECT body FROM source_memory WHERE key = ?1";
        let row: Option<String> =
            first(&self.connection, select, [esm::hour_key(esm::LACKING, requestor_id, hour).0], only)?;
        Ok(esm::lacking(row.as_deref()))
    }

    /// Shows what ESM stated for times that overlap the span from `from` to `to`.
    pub fn each_stated(&self, from: Instant, to: Instant, mut see: impl FnMut(StatedAccounts)) -> Result<()> {
        let select = "SELECT requestor_id, starts_at, ends_at, mvpd, dimensions, accounts
             FROM esm_accounts JOIN requestors USING (requestor) WHERE starts_at < ?2 AND ends_at > ?1";
        each(&self.connection, select, (from, to), |row| {
            // An invalid ID can only be damage; `status --verify` reports it.
            if let Ok(requestor_id) =
                RequestorId::new(row.get_ref("requestor_id")?.as_str().unwrap_or_default())
            {
                see(StatedAccounts {
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
