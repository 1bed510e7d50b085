//! Sends a probe's hits, one after the other over one connection.

use std::num::NonZeroU32;

use tokio::time::{Instant, sleep};

use super::plan::{Canary, Plan};
use super::report::ProbeError;
use crate::collection::{Connection, Limiter};
use crate::delivery::Outcome;
use crate::web::{Backoff, Patience};

/// Sends the hits no faster than the suite takes events. Returns whether SUCCESS is known for every hit.
pub(super) async fn all(
    connection: &mut Connection,
    plan: &Plan,
    hits_per_second: Option<NonZeroU32>,
) -> Result<bool, ProbeError> {
    let limiter = Limiter::new(hits_per_second, Instant::now());
    let mut is_sent = true;
    for (index, hit) in plan.hits.iter().enumerate() {
        sleep(limiter.reserve(Instant::now())).await;
        match one(connection, plan, hit).await {
            Ok(is_taken) => is_sent &= is_taken,
            Err(why) => {
                let (id, of) = (plan.record.id.clone(), plan.hits.len());
                return Err(ProbeError::NotSent { id, number: index + 1, of, why });
            }
        }
    }
    Ok(is_sent)
}

/// Sends one hit. If Adobe may have received it, only a hit with a serial is sent again, as a serial counts once.
async fn one(connection: &mut Connection, plan: &Plan, hit: &Canary) -> Result<bool, String> {
    let mut backoff = Backoff::new(Patience::PROBE);
    loop {
        let mut asked = None;
        let why = match connection.send(hit.body.clone()).await {
            Outcome::Delivered => return Ok(true),
            Outcome::Retry { cause, retry_after } => {
                asked = retry_after;
                cause.to_string()
            }
            Outcome::Ambiguous(doubt) => {
                tracing::warn!(probe = plan.record.id, %doubt, "it is unknown whether a hit was received");
                if !plan.has_ids() {
                    return Ok(false);
                }
                doubt.to_string()
            }
            Outcome::BareFailure => "Adobe says FAILURE without a reason".to_owned(),
            Outcome::Rejected(reason) => return Err(reason.to_string()),
            Outcome::Refused { status } => return Err(format!("HTTP {status}")),
            Outcome::SuiteFault(fault) => return Err(fault.to_string()),
        };
        let Some(wait) = backoff.next(asked) else {
            return Err(format!("{why}, {} times", Patience::PROBE.attempts_max));
        };
        let wait_ms = wait.as_millis() as u64;
        tracing::warn!(probe = plan.record.id, why, wait_ms, "a hit was not taken; it goes again");
        sleep(wait).await;
    }
}
