//! `run`: drains on a schedule until it is told to stop.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Context;
use super::exit::Exit;
use super::failure::{CliError, Failure};
use super::hint;
use super::pass::Pass;
use super::settings::Settings;
use super::signals;
use crate::buffer::Buffer;
use crate::config::{Listen, ServeConfig};
use crate::drain::Stop;
use crate::event::Instant;
use crate::ingest::FormatChoice;
use crate::schedule;
use crate::serve::{IntakeOptions, ServeOptions, Server};

/// Runs looked at for the last that completed; more crashes than this in a row are caught up on at the next slot.
const RUNS_LOOKED_AT: usize = 100;

/// Stays up and drains on the schedule of the configuration, every 30 minutes by default.
///
/// Slots missed while the host was down, asleep or busy become one drain. New report suites are seen by the next drain,
/// without a restart; a changed configuration needs one. A drain that fails is logged and tried again at the next slot.
/// Where [serve] in the configuration says so, it listens for HTTP too: /healthz, and other programs that post events or
/// exchanges. SIGTERM, SIGINT or SIGHUP lets the requests in flight finish, records them, and exits 0.
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
    let server = serve(&settings, &pass.buffer, context)?;
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
        let closing = async {
            stop.wait().await;
            if let Some(server) = &server {
                server.close();
            }
            std::future::pending().await
        };
        let draining = schedule::run(timetable, &context.clock, last_started, stopped, async || {
            report.drains += 1;
            if let Err(error) = pass.run(&stop).await.and_then(|passed| passed.retained) {
                report.failed += 1;
                log_failure(&Failure::from(error));
            }
        });
        // Who posts is refused from the stop on, not only when the drain under way has ended.
        tokio::select! {
            () = draining => {}
            () = closing => {}
        }
        Ok::<(), CliError>(())
    })?;
    drop(server);
    context.form.report(&report)?;
    Ok(Exit::Done)
}

/// Starts the HTTP collector, where the configuration asks for it.
fn serve(settings: &Settings, buffer: &Arc<Buffer>, context: &Context) -> Result<Option<Server>, CliError> {
    let ServeConfig { listen, ingest, ref tokens_file, .. } = settings.config.serve;
    let config = &settings.config.serve;
    let listen = match listen {
        Listen::At(address) => address,
        Listen::Off if ingest => {
            return Err(refuse(
                "serve.ingest is true, and serve.listen is off",
                "set serve.listen to a port, such as \"8090\"",
            ));
        }
        Listen::Off => return Ok(None),
    };
    if ingest && tokens_file.as_os_str().is_empty() {
        return Err(refuse(
            "serve.ingest is true without serve.tokens_file: anybody could post",
            "name a file of tokens there, one a line, such as: head -c 32 /dev/urandom | base64",
        ));
    }
    let intake = if ingest {
        let mut options = super::ingest::options(settings, FormatChoice::Auto, &context.clock);
        options.secret = settings.source_secret()?;
        options.service_keys = settings.service_keys()?;
        let backlog_max_events = config.backlog_max_events;
        Some(IntakeOptions { ingest: options, tokens_file: tokens_file.clone(), backlog_max_events })
    } else {
        None
    };
    let options = ServeOptions {
        listen,
        intake,
        request_timeout: Duration::from_secs(config.request_timeout_seconds),
        idle_timeout: Duration::from_secs(config.idle_timeout_seconds),
        stop_grace: Duration::from_secs(settings.config.delivery.stop_grace_seconds),
    };
    let server = Server::start(buffer, options)?;
    tracing::info!(address = %server.address(), ingest, "listening");
    Ok(Some(server))
}

fn refuse(what: &str, advice: &str) -> CliError {
    CliError::Refused { what: what.to_owned(), advice: advice.to_owned() }
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
