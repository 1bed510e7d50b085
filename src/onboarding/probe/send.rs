//! Sends a probe's hits, one after the other over one connection.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::sleep;

use super::ProbeError;
use super::plan::{Canary, Plan};
use crate::collection::Connection;
use crate::delivery::Outcome;
use crate::suite::EventIds;

/// How often one hit is tried.
const ATTEMPTS_MAX: u32 = 6;
/// The wait before the second try; each further one doubles it.
const BACKOFF: Duration = Duration::from_millis(500);

/// The longest wait, also where the host asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How much of a probe was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Each hit was answered with SUCCESS.
    All,
    /// It was interrupted, or an answer was lost.
    Some,
}

/// Sends them no faster than the suite takes events.
pub(super) async fn all(
    connection: &mut Connection,
    plan: &Plan,
    hits_per_second: Option<NonZeroU32>,
) -> Result<Sent, ProbeError> {
    let pause = hits_per_second.map(|rate| Duration::from_secs(1) / rate.get());
    let mut sent = Sent::All;
    for (index, hit) in plan.hits.iter().enumerate() {
        if let Some(pause) = pause.filter(|_| index > 0) {
            sleep(pause).await;
        }
        match one(connection, plan, hit).await {
            Ok(Sent::All) => {}
            Ok(Sent::Some) => sent = Sent::Some,
            Err(why) => {
                let (id, of) = (plan.id.clone(), plan.hits.len());
                return Err(ProbeError::NotSent { id, number: index + 1, of, why });
            }
        }
    }
    Ok(sent)
}

/// Sends one hit. With a serial a doubtful one is sent again, as that is exact; without, once must do.
async fn one(connection: &mut Connection, plan: &Plan, hit: &Canary) -> Result<Sent, String> {
    let mut backoff = BACKOFF;
    let mut why = String::new();
    for attempt in 1..=ATTEMPTS_MAX {
        let mut asked = None;
        match connection.send(hit.body.clone()).await {
            Outcome::Delivered => return Ok(Sent::All),
            Outcome::Retry { cause, retry_after } => {
                why = cause.to_string();
                asked = retry_after;
            }
            Outcome::Ambiguous(doubt) => {
                tracing::warn!(probe = plan.id, %doubt, "it is unknown whether a hit was received");
                if plan.form.event_ids == EventIds::Off {
                    return Ok(Sent::Some);
                }
                why = doubt.to_string();
            }
            Outcome::BareFailure => why = "Adobe says FAILURE without a reason".to_owned(),
            Outcome::Rejected(reason) => return Err(reason.to_string()),
            Outcome::Refused { status } => return Err(format!("HTTP {status}")),
            Outcome::SuiteFault(fault) => return Err(fault.to_string()),
        }
        if attempt < ATTEMPTS_MAX {
            let wait = pause(backoff, asked);
            let wait_ms = wait.as_millis() as u64;
            tracing::warn!(probe = plan.id, why, attempt, wait_ms, "a hit was not taken; it goes again");
            sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
    Err(format!("{why}, {ATTEMPTS_MAX} times"))
}

/// The wait before the next try: as long as the host asks, within bounds.
fn pause(backoff: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(backoff, |asked| asked.max(backoff)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_asks_for_years_gets_a_minute() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(BACKOFF, None), BACKOFF);
        assert_eq!(pause(BACKOFF, Some(second)), second);
        assert_eq!(pause(second, Some(Duration::ZERO)), second);
        assert_eq!(pause(BACKOFF, Some(Duration::from_secs(u64::MAX))), BACKOFF_MAX);
    }
}
