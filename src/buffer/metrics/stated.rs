//! The unique accounts that ESM stated (the latest statement counts), and the columns that ESM's records lack.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::super::error::Result;
use super::super::forms::intern_requestor;
use super::super::keys::{InputId, RequestorKey};
use super::super::memory;
use super::super::rows::{all, each, first, only, run};
use super::reader::MetricsReader;
use crate::event::{Instant, KindSet};
use crate::readers::esm::{self, StatedAccounts};

/// Stores stated accounts, in the transaction that stores the counts of the same records.
pub(in super::super) fn store(
    connection: &Connection,
    stated: &[StatedAccounts],
    input: InputId,
    now: Instant,
) -> Result<()> {
    for one in stated {
        let requestor = intern_requestor(connection, &one.requestor_id)?;
        let select = "SELECT accounts FROM esm_accounts
             WHERE (starts_at, ends_at, requestor, mvpd, dimensions) = (?1, ?2, ?3, ?4, ?5)";
        let cell = (one.from, one.to, requestor, &one.mvpd, &one.dimensions);
        let was: Option<i64> = first(connection, select, cell, only)?;
        let was = was.map_or(String::new(), |was| was.to_string());
        if was != one.accounts.to_string() {
            memory::keep_before(connection, esm::accounts_keys(one), input, &was, now)?;
        }
        let insert =
            "INSERT OR REPLACE INTO esm_accounts (starts_at, ends_at, requestor, mvpd, dimensions, accounts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = (one.from, one.to, requestor, &one.mvpd, &one.dimensions, one.accounts.cast_signed());
        run(connection, insert, values)?;
    }
    Ok(())
}

/// Takes back what an input changed in the accounts of a requestor within an hour.
pub(in super::super) fn take_back(
    connection: &Connection,
    requestor: RequestorKey,
    [from, to]: [i64; 2],
    input: InputId,
) -> Result<()> {
    let select = "SELECT requestor_id, starts_at, ends_at, mvpd, dimensions, accounts
         FROM esm_accounts JOIN requestors USING (requestor) WHERE requestor = ?1 AND starts_at >= ?2 AND ends_at <= ?3";
    let cells: Vec<Option<StatedAccounts>> = all(connection, select, (requestor, from, to), stated)?;
    for one in cells.into_iter().flatten() {
        let undo = |now: &str, before: &str, after: &str| if now == after { before } else { now }.to_owned();
        let (keys, accounts) = (esm::accounts_keys(&one), one.accounts.to_string());
        let Some(was) = memory::without(connection, keys, input, accounts, undo)? else { continue };
        let StatedAccounts { from, to, mvpd, dimensions, .. } = one;
        if was.is_empty() {
            let delete = "DELETE FROM esm_accounts
                 WHERE (starts_at, ends_at, requestor, mvpd, dimensions) = (?1, ?2, ?3, ?4, ?5)";
            run(connection, delete, (from, to, requestor, mvpd, dimensions))?;
        } else {
            let update = "UPDATE esm_accounts SET accounts = CAST(?6 AS INTEGER)
                 WHERE (starts_at, ends_at, requestor, mvpd, dimensions) = (?1, ?2, ?3, ?4, ?5)";
            run(connection, update, (from, to, requestor, mvpd, dimensions, was))?;
        }
    }
    Ok(())
}

impl MetricsReader {
    /// The kinds of events whose columns the ESM records of a requestor lack in a UTC hour, by the digest of each MVPD
    /// that lacks any. Earlier releases did not note this, so the result is empty for the hours that they read.
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
            stated(row)?.into_iter().for_each(&mut see);
            Ok(())
        })
    }
}

/// The accounts of a row; `None` if the requestor's ID is invalid: this is damage, which `status --verify` reports.
fn stated(row: &Row<'_>) -> Result<Option<StatedAccounts>> {
    let Ok(requestor_id) = row.get("requestor_id") else { return Ok(None) };
    Ok(Some(StatedAccounts {
        requestor_id,
        from: row.get("starts_at")?,
        to: row.get("ends_at")?,
        mvpd: row.get("mvpd")?,
        dimensions: row.get("dimensions")?,
        accounts: row.get::<_, i64>("accounts")?.unsigned_abs(),
    }))
}
