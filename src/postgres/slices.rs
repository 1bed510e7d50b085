//! Slices: each is a part of a suite's visitors, and only its owner sends their hits.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::database::SharedBuffer;
use super::error::Result;
use super::leases::WorkerId;
use super::suites::SharedRoute;
use crate::suite::Rsid;

/// What a drain covers: what was stored when it began.
#[derive(Debug, Clone)]
pub struct Cut {
    /// A `pg_snapshot`: transactions do not commit in the order of their numbers, and it tells which had committed.
    pub(super) snapshot: String,
    /// An instant before the snapshot, by the database's clock.
    pub(super) begun: String,
}

/// A slice that this worker owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub rsid: Rsid,
    /// The number of the slice within its suite, from 0 on.
    pub n: i32,
    /// How often the slice has changed hands. Attempts with the epoch of an earlier owner are refused.
    pub epoch: i64,
}

/// How many slices of some suites are not covered up to a cut yet, and how many slices these suites have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub open: i64,
    pub all: i64,
}

impl SharedBuffer {
    /// The cut of a drain that begins now.
    pub async fn cut(&mut self) -> Result<Cut> {
        let row = self.row("SELECT pg_current_snapshot()::text, now()::text", &[]).await?;
        Ok(Cut { snapshot: row.get(0), begun: row.get(1) })
    }

    /// How many slices of the suites are still to cover, and how many there are.
    pub async fn open_slices(&mut self, rsids: &[&str], cut: &Cut) -> Result<Open> {
        let select = "SELECT count(*) FILTER (WHERE covered_at < $2::text::timestamptz), count(*)
             FROM passbridge.slice WHERE rsid = ANY($1)";
        let row = self.row(select, &[(&rsids, Type::TEXT_ARRAY), (&cut.begun, Type::TEXT)]).await?;
        Ok(Open { open: row.get(0), all: row.get(1) })
    }

    /// Claims up to `most` slices that are not covered up to the cut, and that have no owner, or one that is gone. Also
    /// claims those that this worker owns without knowing it, because the answer to a claim was lost.
    pub async fn claim(
        &mut self,
        worker: &WorkerId,
        rsids: &[&str],
        cut: &Cut,
        most: i64,
        known: &[&Claim],
    ) -> Result<Vec<Claim>> {
        let names: Vec<&str> = known.iter().map(|claim| claim.rsid.as_str()).collect();
        let numbers: Vec<i32> = known.iter().map(|claim| claim.n).collect();
        // A sub-select would run again when a row changed meanwhile, and would lock more rows than its limit.
        let update = "WITH free AS MATERIALIZED (
                SELECT s.rsid, s.n FROM passbridge.slice s
                WHERE s.rsid = ANY($2) AND s.covered_at < $3::text::timestamptz
                  AND (s.owner IS NULL
                       OR s.owner = $1 AND NOT EXISTS (SELECT FROM unnest($5::text[], $6::int4[]) k(rsid, n) WHERE k.rsid = s.rsid AND k.n = s.n)
                       OR NOT EXISTS (SELECT FROM passbridge.worker w WHERE w.worker = s.owner AND w.gone_at > clock_timestamp()))
                ORDER BY random() LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE passbridge.slice s SET owner = $1, epoch = s.epoch + 1 FROM free f
             WHERE s.rsid = f.rsid AND s.n = f.n RETURNING s.rsid, s.n, s.epoch";
        let values = [
            (&worker.0 as _, Type::TEXT),
            (&rsids as _, Type::TEXT_ARRAY),
            (&cut.begun as _, Type::TEXT),
            (&most as _, Type::INT8),
            (&names as _, Type::TEXT_ARRAY),
            (&numbers as _, Type::INT4_ARRAY),
        ];
        let rows = self.write(async |client| client.query_typed(update, &values).await).await?;
        let claim = |row: &tokio_postgres::Row| {
            let rsid = row.get::<_, &str>(0).parse().ok()?;
            Some(Claim { rsid, n: row.get(1), epoch: row.get(2) })
        };
        Ok(rows.iter().filter_map(claim).collect())
    }

    /// The snapshot up to which each requestor of a slice is covered.
    pub(super) async fn progress(&mut self, claim: &Claim) -> Result<BTreeMap<i32, String>> {
        let rsid = claim.rsid.as_str();
        let select = "SELECT requestor, cut::text FROM passbridge.progress WHERE rsid = $1 AND n = $2";
        let rows = self.rows(select, &[(&rsid, Type::TEXT), (&claim.n, Type::INT4)]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Records that a slice is covered, except for the events in `left`, and releases it. Returns false if it was lost.
    pub async fn cover(
        &mut self,
        worker: &WorkerId,
        claim: &Claim,
        cut: &Cut,
        route: &SharedRoute,
        left: &[i64],
    ) -> Result<bool> {
        let rsid = claim.rsid.as_str();
        let slice = || [(&rsid as _, Type::TEXT), (&claim.n as _, Type::INT4)];
        let [rsid_value, n_value] = slice();
        let release = "UPDATE passbridge.slice SET owner = NULL, covered_at = $5::text::timestamptz
             WHERE rsid = $1 AND n = $2 AND owner = $3 AND epoch = $4";
        let owned = [
            rsid_value,
            n_value,
            (&worker.0 as _, Type::TEXT),
            (&claim.epoch as _, Type::INT8),
            (&cut.begun as _, Type::TEXT),
        ];
        let forget = "DELETE FROM passbridge.aside a USING passbridge.final f
             WHERE a.rsid = $1 AND a.n = $2 AND f.seq = a.seq";
        let keep =
            "INSERT INTO passbridge.aside (rsid, n, seq) SELECT $1, $2, seq FROM unnest($3::int8[]) seq
             ON CONFLICT DO NOTHING";
        let covered = "INSERT INTO passbridge.progress (rsid, n, requestor, cut)
             SELECT $1, $2, requestor, $4::text::pg_snapshot FROM unnest($3::int4[]) requestor
             ON CONFLICT (rsid, n, requestor) DO UPDATE SET cut = EXCLUDED.cut";
        self.write(async |client| {
            if client.execute_typed(release, &owned).await? == 0 {
                return Ok(false);
            }
            client.execute_typed(forget, &slice()).await?;
            let [rsid, n] = slice();
            client.execute_typed(keep, &[rsid, n, (&left, Type::INT8_ARRAY)]).await?;
            let [rsid, n] = slice();
            let requestors = (&route.requestors as _, Type::INT4_ARRAY);
            client.execute_typed(covered, &[rsid, n, requestors, (&cut.snapshot, Type::TEXT)]).await?;
            Ok(true)
        })
        .await
    }

    /// Gives a slice back between attempts, before it is covered.
    pub async fn release(&mut self, worker: &WorkerId, claim: &Claim) -> Result<()> {
        let rsid = claim.rsid.as_str();
        let update = "UPDATE passbridge.slice SET owner = NULL WHERE rsid = $1 AND n = $2 AND owner = $3 AND epoch = $4";
        let values = [
            (&rsid as _, Type::TEXT),
            (&claim.n as _, Type::INT4),
            (&worker.0 as _, Type::TEXT),
            (&claim.epoch as _, Type::INT8),
        ];
        self.write(async |client| client.execute_typed(update, &values).await).await.map(drop)
    }
}
