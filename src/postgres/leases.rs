//! The workers: each is alive until its lease ends, by the database's clock and by its own. Where a suite or a host has
//! a rate, the hits take turns, by the database's clock.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::database::{SCHEMA_LOCK, SharedBuffer};
use super::error::Result;
use crate::clock::since_boot;

/// The name of a worker. It is random, because process IDs repeat, as they do in containers at each start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerId(pub String);

impl WorkerId {
    /// A new name.
    pub fn random() -> WorkerId {
        let mut random = fastrand::Rng::new();
        WorkerId(format!("{:016x}{:016x}", random.u64(..), random.u64(..)))
    }
}

/// How long this worker may send, by a clock that runs on while the process is stopped or the host sleeps.
#[derive(Debug, Clone)]
pub struct Lease {
    until_nanos: Arc<AtomicU64>,
    /// How often the lease began anew. Before a new term, others may have owned the slices, sent, and given them back.
    term: Arc<AtomicU64>,
    pub length: Duration,
    /// How long after the end of its lease a worker counts as gone: longer than any request that it may have begun.
    pub margin: Duration,
}

impl Lease {
    /// A lease that is not held yet.
    pub fn new(length: Duration, margin: Duration) -> Lease {
        Lease { until_nanos: Arc::default(), term: Arc::default(), length, margin }
    }

    /// Whether the worker may begin a request now.
    pub fn is_held(&self) -> bool {
        nanos(since_boot()) < self.until_nanos.load(Ordering::SeqCst)
    }

    /// The number of the present term.
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::SeqCst)
    }

    /// Whether the worker may begin a request whose attempt was recorded in this term.
    pub fn is_held_since(&self, term: u64) -> bool {
        // In this order: a renewal first begins the new term, then holds the lease.
        self.is_held() && self.term() == term
    }

    fn hold_until(&self, until: Duration) {
        if !self.is_held() {
            self.term.fetch_add(1, Ordering::SeqCst);
        }
        self.until_nanos.store(nanos(until), Ordering::SeqCst);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// After a pause, turns begin up to `slack` seconds before now. Turns more than an hour ahead come from a wrong clock.
const RESERVE: &str =
    "INSERT INTO passbridge.pace AS p (name, due) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
     ON CONFLICT (name) DO UPDATE SET due = make_interval(secs => $2) + CASE
        WHEN p.due > clock_timestamp() + interval '1 hour' THEN clock_timestamp()
        ELSE greatest(p.due, clock_timestamp() - make_interval(secs => $3)) END
     RETURNING extract(epoch FROM due - clock_timestamp())::float8 - $2";

impl SharedBuffer {
    /// Begins or renews the lease of a worker.
    pub async fn renew(&mut self, worker: &WorkerId, host: &str, lease: &Lease) -> Result<()> {
        // This host's clock is read before the database's, so the lease never ends in the database before it ends here.
        let asked_at = since_boot();
        let (pid, length) = (process::id().cast_signed(), lease.length.as_secs_f64());
        let gone = (lease.length + lease.margin).as_secs_f64();
        let upsert = "INSERT INTO passbridge.worker (worker, host, pid, until, gone_at)
             VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4), clock_timestamp() + make_interval(secs => $5))
             ON CONFLICT (worker) DO UPDATE SET until = EXCLUDED.until, gone_at = EXCLUDED.gone_at";
        let values = [
            (&worker.0 as _, Type::TEXT),
            (&host as _, Type::TEXT),
            (&pid as _, Type::INT4),
            (&length as _, Type::FLOAT8),
            (&gone as _, Type::FLOAT8),
        ];
        self.write(async |client| client.execute_typed(upsert, &values).await).await?;
        lease.hold_until(asked_at + lease.length);
        Ok(())
    }

    /// How many workers hold a lease.
    pub async fn live_workers(&mut self) -> Result<i64> {
        let select = "SELECT count(*) FROM passbridge.worker WHERE until > clock_timestamp()";
        Ok(self.row(select, &[]).await?.get(0))
    }

    /// Ends the lease of a worker that owns no slice any more, and forgets workers that are long gone.
    pub async fn leave(&mut self, worker: &WorkerId) -> Result<()> {
        let delete = "DELETE FROM passbridge.worker w
             WHERE (worker = $1 OR gone_at < clock_timestamp() - interval '1 day')
               AND NOT EXISTS (SELECT FROM passbridge.slice s WHERE s.owner = w.worker)";
        let values = [(&worker.0 as _, Type::TEXT)];
        self.write(async |client| client.execute_typed(delete, &values).await).await.map(drop)
    }

    /// Makes the table of turns, unless it exists.
    pub async fn begin_turns(&mut self) -> Result<()> {
        let lock = "SELECT pg_advisory_xact_lock($1)";
        let make = async |client: &Client| {
            client.query_typed(lock, &[(&SCHEMA_LOCK, Type::INT8)]).await?;
            client.batch_execute(include_str!("../../schemas/postgres-rates.sql")).await
        };
        self.write(make).await
    }

    /// Reserves turns for some hits at a pace, one after the other. `all` is their total length. Returns in how many
    /// seconds the first one begins: less than zero if it is past.
    pub async fn reserve(&mut self, name: &str, all: Duration, slack: Duration) -> Result<f64> {
        let (all, slack) = (all.as_secs_f64(), slack.as_secs_f64());
        let values = [(&name as _, Type::TEXT), (&all as _, Type::FLOAT8), (&slack as _, Type::FLOAT8)];
        let rows = self.write(async |client| client.query_typed(RESERVE, &values).await).await?;
        Ok(rows[0].get(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_before_a_lease_ended_is_not_begun_once_it_is_held_again() {
        let (lease, soon) = (Lease::new(Duration::ZERO, Duration::ZERO), Duration::from_secs(60));
        assert!(!lease.is_held_since(lease.term()));
        lease.hold_until(since_boot() + soon);
        let term = lease.term();
        assert!(lease.is_held_since(term));
        lease.hold_until(since_boot() + soon);
        assert!(lease.is_held_since(term), "it was renewed in time");
        lease.hold_until(since_boot());
        assert!(!lease.is_held_since(term), "it has ended");
        lease.hold_until(since_boot() + soon);
        assert!(lease.is_held() && !lease.is_held_since(term));
    }
}
