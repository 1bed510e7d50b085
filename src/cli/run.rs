//! `run`: drains on a schedule until it is told to stop.

use std::fmt;

use serde::Serialize;

use super::Context;
use super::exit::Exit;
use super::failure::{CliError, Failure};
use super::hint;
use super::pass::Pass;
use super::signals;
use crate::buffer::Buffer;
use crate::drain::Stop;
use crate::event::Instant;
use crate::schedule;

/// Runs looked at for the last that completed; more crashes than this in a row are caught up on at the next slot.
const RUNS_LOOKED_AT: usize = 100;

/// Stays up and drains on the schedule of the configuration, every 30 minutes by default.
///
/// Slots missed while the host was down, asleep or busy become one drain. New report suites are seen by the next drain,
/// without a restart; a changed configuration needs one. A drain that fails is logged and tried again at the next slot.
/// SIGTERM, SIGINT or SIGHUP lets the requests in flight finish, records them, and exits 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge --config /etc/passbridge/passbridge.toml run")]
pub(super) struct Args {}

/// What was done between start and stop.
#[derive(Debug, Default, Serialize)]
struct RunReport {
    drains: u64,
    failed: u64,
}

impl fmt::Display for RunReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "stopped after {} drains, {} of which failed", self.drains, self.failed)
    }
}

pub(super) fn run(_args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let pass = Pass::open(&settings, context)?;
    let last_started = last_started(&pass.buffer)?;
    let stop = Stop::default();
    let mut report = RunReport::default();
    super::runtime()?.block_on(async {
        signals::listen(stop.clone())?;
        let timetable = &settings.timetable;
        let next_at = timetable.next_slot(last_started.unwrap_or_else(|| context.clock.now()));
        let config = &settings.config.schedule;
        tracing::info!(cron = config.cron, timezone = config.timezone, next_at = %Next(next_at), "waiting for the next slot");
        let stopped = async {
            stop.wait().await;
        };
        schedule::run(timetable, &context.clock, last_started, stopped, async || {
            report.drains += 1;
            if let Err(error) = pass.run(&stop).await.and_then(|passed| passed.retained) {
                report.failed += 1;
                log_failure(&Failure::from(error));
            }
        })
        .await;
        Ok::<(), CliError>(())
    })?;
    context.form.report(&report)?;
    Ok(Exit::Done)
}

/// One line for a slot that failed. Who waits for another drain has not failed in a way that wants attention.
fn log_failure(failure: &Failure) {
    let (why, advice, exit) = (failure.on_one_line(), hint::complete(&failure.advice), failure.exit.code());
    if failure.exit == Exit::LockHeld {
        tracing::warn!(why, %advice, exit, "no drain in this slot; the next slot tries again");
    } else {
        tracing::error!(why, %advice, exit, "the drain of this slot failed; the next slot tries again");
    }
}

/// When the last completed drain began: what was stored after that waits for the next one.
fn last_started(buffer: &Buffer) -> Result<Option<Instant>, CliError> {
    let runs = buffer.runs(RUNS_LOOKED_AT)?;
    Ok(runs.into_iter().find(|run| run.finished_at.is_some()).map(|run| run.started_at))
}

struct Next(Option<Instant>);

impl fmt::Display for Next {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(out),
            None => out.write_str("never"),
        }
    }
}
