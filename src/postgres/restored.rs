//! A buffer that a dump carried to another server, where transactions have lower numbers. Its events would wait for
//! numbers that come only much later, and new events would look covered. Both are mended before the first use.

use tokio_postgres::types::Type;

use super::database::SharedBuffer;
use super::error::Result;

/// Events looked at in one transaction.
const BATCH: i64 = 50_000;

/// Whether transaction numbers in rows are above those of this server; and the numbers of the first and last event.
const IS_FOREIGN: &str = "SELECT coalesce(greatest(
        (SELECT max(pg_snapshot_xmax(cut)) FROM passbridge.progress),
        (SELECT xid FROM passbridge.event ORDER BY seq DESC LIMIT 1)) >= pg_snapshot_xmax(pg_current_snapshot()), FALSE),
    coalesce((SELECT min(seq) FROM passbridge.event), 0), coalesce((SELECT max(seq) FROM passbridge.event), 0)";

/// Gives undecided events a number of this server, and the last event in any case, because `IS_FOREIGN` looks at it.
const RENUMBER: &str = "UPDATE passbridge.event e SET xid = pg_current_xact_id()
     WHERE e.seq >= $1 AND e.seq < $2 AND e.xid >= pg_snapshot_xmax(pg_current_snapshot())
       AND (e.seq = $3 OR NOT EXISTS (SELECT FROM passbridge.final f WHERE f.seq = e.seq))";

/// Makes the next drain look at all events. It does not send decided ones again.
const UNCOVER: &str = "WITH uncovered AS (UPDATE passbridge.slice SET covered_at = '-infinity')
     DELETE FROM passbridge.progress WHERE pg_snapshot_xmax(cut) >= pg_snapshot_xmax(pg_current_snapshot())";

impl SharedBuffer {
    /// Mends a buffer from another server. Several programs may do this at the same time. After an interruption,
    /// the next call begins again, because the last event and the progress change last.
    pub(super) async fn adopt(&mut self) -> Result<()> {
        let row = self.row(IS_FOREIGN, &[]).await?;
        if !row.get::<_, bool>(0) {
            return Ok(());
        }
        // The schema lets no event change that is not counted in the metrics yet.
        self.count_older_events().await?;
        let (begin, last): (i64, i64) = (row.get(1), row.get(2));
        let mut renumbered = 0;
        for first in (begin..=last).step_by(BATCH as usize) {
            let until = first + BATCH;
            let values = [(&first as _, Type::INT8), (&until as _, Type::INT8), (&last as _, Type::INT8)];
            renumbered += self.write(async |client| client.execute_typed(RENUMBER, &values).await).await?;
        }
        self.write(async |client| client.execute_typed(UNCOVER, &[]).await).await?;
        tracing::warn!(
            renumbered,
            "the buffer comes from another server; its events wait for the next drain"
        );
        Ok(())
    }
}
