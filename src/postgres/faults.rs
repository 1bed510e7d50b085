//! What is wrong with the rights of this user, and with settings of the server.

use super::database::SharedBuffer;
use super::error::Result;

/// What is wrong, and what to do.
#[derive(Debug)]
pub struct Fault {
    /// `rights`, the role that this user lacks, or the setting.
    pub of: String,
    pub says: String,
    pub advice: String,
}

const FAULTS: &str = "SELECT of, says, advice FROM (VALUES
        (NOT has_schema_privilege('passbridge', 'CREATE') OR EXISTS (
            SELECT FROM pg_class WHERE relnamespace = 'passbridge'::regnamespace AND NOT pg_has_role(relowner, 'USAGE')), 'rights',
            'this user does not own all of the buffer, so upgrades fail, and drains and ingests may fail',
            'let it own the schema passbridge and all that is in it: ALTER ... OWNER TO'),
        (NOT pg_has_role('pg_read_all_stats', 'USAGE'), 'pg_read_all_stats',
            'this user does not see the snapshots of other users, so no alarm tells of an old one', 'GRANT pg_read_all_stats TO it'),
        (NOT current_setting('autovacuum')::bool, 'autovacuum', 'it is off, so tables grow without end', 'switch it on in postgresql.conf'),
        (current_setting('jit')::bool, 'jit', 'it is on, and slows short statements down', 'ALTER ROLE ... SET jit = off'),
        (current_setting('synchronous_standby_names') = '' AND EXISTS (SELECT FROM pg_stat_replication), 'synchronous_standby_names',
            'commits wait for no standby, so a failover loses acknowledged events and attempts',
            'name a synchronous standby: docs/many-workers.md')) AS f(is_so, of, says, advice) WHERE is_so";

impl SharedBuffer {
    /// Checks the rights and the settings, and changes nothing.
    pub async fn faults(&mut self) -> Result<Vec<Fault>> {
        let rows = self.rows(FAULTS, &[]).await?;
        Ok(rows.iter().map(|row| Fault { of: row.get(0), says: row.get(1), advice: row.get(2) }).collect())
    }
}
