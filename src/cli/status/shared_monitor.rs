//! `status --check` of a buffer on PostgreSQL: the limits of `[monitor]`, and the database's own health.
//!
//! A database has no record of drains. The time at which all slices of a suite were last covered shows whether drains
//! run, and since when the suite's events wait. Rejected lines are those of this host.

use std::time::Duration;

use super::monitor::{Check, aged, always, counts, off, rejects, silences, well};
use crate::buffer::RequestorStatus;
use crate::cli::Failure;
use crate::cli::ages::{age, ago};
use crate::config::{IngestConfig, MonitorConfig};
use crate::event::Instant;
use crate::postgres::{DatabaseHealth, RequestorLine, SharedStatus, SliceLine};

/// The longest age of a snapshot. Rows that were deleted after it stay on disk, so tables grow. A dump takes less time.
const SNAPSHOT_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// The share of its connections, in percent, that a server may have in use.
const CONNECTIONS_MAX_PERCENT: i64 = 90;

pub(super) fn checks(
    status: &SharedStatus,
    here: Instant,
    limits: &MonitorConfig,
    ingest: &IngestConfig,
) -> Result<Vec<Check>, Failure> {
    let (now, mut checks) = (status.at, Vec::new());
    if let Some(limit) = limits.max_age.0 {
        let waits = status.oldest_left_at.map_or("no drain left an event that could go".to_owned(), |at| {
            format!("drains could not send events since {}: see the log of the workers", ago(at, now))
        });
        checks.push(aged("max_age", None, status.oldest_left_at, limit, now, waits));
        let last = status.slices.iter().filter_map(|suite| suite.covered_at).max();
        let run = last.map_or("no drain has covered all slices of a suite".to_owned(), |at| {
            format!("the last drain that covered all slices of a suite began {}", ago(at, now))
        });
        let (of, since) = (Some("last_run".to_owned()), last.or(status.first_arrival_at));
        checks.push(aged("max_age", of, since, limit, now, run));
    }
    for SliceLine { rsid, waits_since, .. } in status.slices.iter().filter(|suite| !suite.is_paused) {
        let own = status.requestors.iter().filter(|one| one.rsid.as_ref() == Some(rsid));
        let pending: i64 = own.map(|one| one.pending).sum();
        if let (1.., Some(limit), Some(since)) = (pending, limits.max_trouble.0, *waits_since) {
            let says = format!(
                "{pending} events wait, and no drain has covered all of its slices since {}: see the log of the workers",
                ago(since, now)
            );
            checks.push(aged("max_trouble", Some(rsid.clone()), Some(since), limit, now, says));
        }
    }
    let requestor = |one: &RequestorLine| RequestorStatus {
        requestor_id: one.requestor_id.clone(),
        pending: one.pending,
        parked: one.parked,
        arrived_at: one.arrived_at,
        ..RequestorStatus::default()
    };
    let requestors: Vec<_> = status.requestors.iter().map(requestor).collect();
    checks.extend(silences(&requestors, now, limits));
    let rejected =
        format!("lines were rejected on this host within 24 hours: see {}", ingest.rejects_dir.display());
    let [dead, held, parked] = [status.dead_within_a_day, status.held, status.parked].map(i64::unsigned_abs);
    let found = [dead, held, parked, rejects(&ingest.rejects_dir, here)?];
    checks.extend(counts(found, limits, &requestors, &rejected));
    checks.push(well("balanced", off(status.accounting.balanced)));
    checks.extend(database(&status.database));
    Ok(checks)
}

fn database(health: &DatabaseHealth) -> [Check; 3] {
    let DatabaseHealth { connections, connections_max, .. } = health;
    let old = |seconds: f64, what: &str| {
        let age = age(Duration::from_secs_f64(seconds));
        (seconds > SNAPSHOT_MAX.as_secs_f64())
            .then(|| format!("{what} is {age} old, so deleted rows stay on disk: find it there, and end it"))
    };
    let snapshot = old(health.oldest_snapshot_seconds, "a snapshot in pg_stat_activity");
    let prepared = old(health.oldest_prepared_seconds, "a transaction in pg_prepared_xacts");
    let is_full = connections * 100 > connections_max * CONNECTIONS_MAX_PERCENT;
    let full = is_full.then(|| {
        format!(
            "{connections} of {connections_max} connections are in use: raise max_connections, or put pgbouncer in between"
        )
    });
    [("snapshot", snapshot), ("prepared transactions", prepared), ("connections", full)].map(|(of, why)| {
        let broken = why.is_some();
        always("database", of.to_owned(), broken, None, why.unwrap_or_else(|| "well".to_owned()))
    })
}
