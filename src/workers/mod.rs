//! A worker: one of many processes that drain the same buffer on PostgreSQL. Each sends for the visitors of its slices.
//!
//! - In: the address of the buffer, a collection, options, a stop. Out: a [`WorkSummary`].
//! - Guarantees: a visitor's hits are in chronological order, whichever worker sends them; an attempt is durable before
//!   it is made; what was under way when a worker died is in doubt, and nothing else; a worker whose lease has ended
//!   starts no request that it had planned; the drain ends when every slice was covered, by any worker.
//! - Does not know: SQL, sockets, schedules, texts for people.
//! - Rules: `docs/many-workers.md`. What a reply means for an event is decided by `drain`.

mod claims;
mod host;
mod lane;
mod line;
mod pace;
mod slices;
mod suite;
mod tally;
mod work;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::sleep;

use crate::collection::{Collection, CollectionError};
use crate::drain::{Stop, StopReason};
use crate::postgres::{Address, Lease, PostgresError, SharedRoute, WorkerId};
use crate::suite::CollectionUrl;
use host::HostWork;
pub use tally::WorkSummary;
use work::Work;
pub use work::WorkOptions;

/// How far the clocks of two hosts may drift apart during a lease, and how late a frozen sender may still write.
const SKEW: Duration = Duration::from_secs(1);
/// How often a lease is renewed within its length: one lost renewal does no harm.
const RENEWALS_A_LEASE: u32 = 3;

/// Why a worker could not go on. What it had under way is in doubt.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error(transparent)]
    Buffer(#[from] PostgresError),
    #[error(transparent)]
    Way(#[from] CollectionError),
}

/// Drains the events that were stored before the call, together with the other workers.
pub async fn drain(
    address: &Address,
    out: &Collection,
    options: &WorkOptions,
    stop: Stop,
) -> Result<WorkSummary, WorkError> {
    // The parts of a worker share this thread, because they mostly wait for the database and the collection host.
    LocalSet::new().run_until(drain_here(address, out, options, stop)).await
}

async fn drain_here(
    address: &Address,
    out: &Collection,
    options: &WorkOptions,
    stop: Stop,
) -> Result<WorkSummary, WorkError> {
    let lease = Lease::new(options.lease, options.request_timeout + SKEW);
    let (worker, options) = (WorkerId::random(), options.clone());
    let work = Work { address: address.clone(), worker, lease, options, stop };
    let mut buffer = work.open().await?;
    let mut by_host: BTreeMap<CollectionUrl, Vec<SharedRoute>> = BTreeMap::new();
    for route in buffer.routes().await? {
        by_host.entry(route.suite.collection_url.clone()).or_default().push(route);
    }
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host_name = host_name.trim().to_owned();
    buffer.renew(&work.worker, &host_name, &work.lease).await?;
    let cut = buffer.cut().await?;
    tracing::info!(worker = work.worker.0, "drain begins");
    let renewing = spawn_local(renew(work.clone(), host_name));
    let deadline = work.options.deadline.map(|deadline| spawn_local(end_after(deadline, work.stop.clone())));
    let mut hosts = JoinSet::new();
    for (url, routes) in by_host {
        let host = HostWork::new(work.clone(), out.host(&url)?, routes, cut.clone()).await?;
        hosts.spawn_local(host.run());
    }
    let mut summary = WorkSummary::new(work.worker.0.clone());
    let mut failure = None;
    while let Some(ended) = hosts.join_next().await {
        match ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(tally) => summary.add(tally),
            // The work for the other hosts ends as after a signal, and records the outcomes that it has.
            Err(error) => {
                work.stop.request(StopReason::Signal);
                failure = failure.or(Some(error));
            }
        }
    }
    renewing.abort();
    deadline.iter().for_each(tokio::task::JoinHandle::abort);
    if let Some(error) = failure {
        return Err(error.into());
    }
    buffer.leave(&work.worker).await?;
    (summary.pending, summary.parked) = buffer.waiting().await?;
    summary.stopped = work.stop.requested().or(summary.stopped);
    Ok(summary)
}

/// Renews the lease until the worker ends. If the database is away for too long, the lease ends, and nothing is sent.
async fn renew(work: Work, host_name: String) {
    loop {
        let renewed = async {
            let mut buffer = work.open().await?;
            loop {
                buffer.renew(&work.worker, &host_name, &work.lease).await?;
                sleep(work.lease.length / RENEWALS_A_LEASE).await;
            }
        };
        let failed: Result<(), PostgresError> = renewed.await;
        if let Err(error) = failed {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the lease was not renewed; trying again"
            );
        }
        sleep(work.lease.length / RENEWALS_A_LEASE).await;
    }
}

async fn end_after(deadline: Duration, stop: Stop) {
    sleep(deadline).await;
    stop.request(StopReason::Deadline);
}
