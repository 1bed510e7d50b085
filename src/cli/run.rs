//! `run`: drains on a schedule until it is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::pass::Pass;
use super::signals::{self, Hangup};
use super::{Context, Exit, Failure, Settings, blocking, options, refused, runtime, settings};
use crate::buffer::{Buffer, BufferError, Watch};
use crate::clock::Clock;
use crate::config::{Config, Listen, ServeConfig};
use crate::drain::Stop;
use crate::event::Instant;
use crate::ingest::{FormatChoice, IngestOptions};
use crate::schedule;
use crate::serve::{ServeOptions, Server};
use crate::suite::SuiteState;
use crate::web::read_secret;

/// The interval of checks that the buffer still exists; a check costs microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The shortest time between two log lines about a wrong clock.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How many of the latest runs are searched for a completed run. If none is, the next slot is the first.
const RUNS_LOOKED_AT: usize = 100;

/// Stays up and drains on the schedule of the configuration, every 30 minutes by default.
///
/// Slots missed while the host was down, asleep or busy become one drain. New report suites are seen by the next drain,
/// without a restart. A drain that fails is logged and tried again at the next slot.
/// Where [serve] in the configuration says so, it listens for HTTP too: /healthz, and other programs that post events or
/// exchanges. SIGTERM or SIGINT lets the requests in flight finish, records them, and exits 0. SIGHUP reads the configuration
/// and the tokens again, once a drain under way has ended, and logs what changed and what needs a restart. Where
/// the buffer is removed or replaced meanwhile, it exits 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge --config /etc/passbridge/passbridge.toml run")]
pub(super) struct Args {}

#[derive(Debug, Default, Serialize)]
struct RunReport {
    drains: u64,
    failed: u64,
}

pub(super) fn run(_args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut settings = context.settings()?;
    let ingests = settings.config.serve.ingest;
    let mut seen = [values(&settings.config), values(&settings.config)];
    let mut pass = Pass::open(&settings, context)?;
    // Problems that every drain would report are reported now.
    pass.check_ways()?;
    let last_started = last_started(&pass.buffer)?;
    let (runtime, stop, reload) = (runtime()?, Stop::default(), Arc::new(Notify::new()));
    let on_hangup = Hangup::Reloads(Arc::clone(&reload));
    // Whoever reads the first line of the log may send a signal at once.
    runtime.block_on(async { signals::listen(stop.clone(), on_hangup) })?;
    tell_setup(&settings, &pass.buffer)?;
    let server = serve(&settings, &pass.buffer, context)?;
    let (watched, mut place) = (Arc::clone(&pass.buffer), pass.buffer.watch()?);
    let mut report = RunReport::default();
    runtime.block_on(async {
        let closing = async {
            stop.wait().await;
            if let Some(server) = &server {
                server.close();
            }
            std::future::pending().await
        };
        let draining = async {
            let mut served = last_started.unwrap_or_else(|| context.clock.now());
            while stop.requested().is_none() {
                let timetable = settings.timetable.clone();
                let next = timetable.next_slot(served).map_or("never".to_owned(), |at| at.to_string());
                tracing::info!(next_at = %next, "waiting for the next slot");
                let interrupted = async {
                    tokio::select! {
                        _ = stop.wait() => {}
                        () = reload.notified() => {}
                    }
                };
                schedule::run(&timetable, &context.clock, Some(served), interrupted, async || {
                    served = context.clock.now();
                    report.drains += 1;
                    if let Err(error) =
                        pass.run(&stop).await.and_then(|passed| passed.failure.map_or(Ok(()), Err))
                    {
                        report.failed += 1;
                        log_failure(&error);
                    }
                })
                .await;
                if stop.requested().is_none() {
                    let schedule = settings.config.schedule.clone();
                    read_again(&mut settings, &mut pass, &mut seen, ingests, context);
                    server.iter().for_each(Server::reread_tokens);
                    if settings.config.schedule != schedule {
                        // Missed slots of the old schedule do not count for the new schedule.
                        served = context.clock.now();
                    }
                }
            }
        };
        // After a stop is requested, the server refuses new submissions, but a running drain finishes.
        tokio::select! {
            () = draining => Ok(()),
            () = closing => Ok(()),
            lost = buffer_lost(&watched, place.clone(), &context.clock) => Err(Failure::from(lost)),
        }
    })?;
    drop(server);
    watched.look(&mut place)?;
    let RunReport { drains, failed } = report;
    context.answer(&report, format_args!("stopped after {drains} drains, {failed} of which failed"))
}

fn tell_setup(settings: &Settings, buffer: &Buffer) -> Result<(), Failure> {
    let Config { schedule, delivery, ingest, buffer: kept, .. } = &settings.config;
    let suites = buffer.suites()?;
    let paused = suites.iter().filter(|listing| listing.suite.state == SuiteState::Paused).count();
    let hosts: BTreeSet<_> = suites.iter().map(|listing| listing.suite.collection_url.to_string()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        configuration = %settings.file.display(),
        buffer = %buffer.path().display(),
        cron = schedule.cron,
        timezone = schedule.timezone,
        suites = suites.len(),
        paused,
        hosts = hosts.into_iter().collect::<Vec<_>>().join(" "),
        lanes = delivery.lanes,
        rate_per_host = delivery.rate_per_host,
        give_up_seconds = delivery.give_up_seconds,
        retention_days = kept.retention_days,
        dedup_days = kept.dedup_days,
        rejects_dir = %ingest.rejects_dir.display(),
        "started"
    );
    Ok(())
}

/// Uses the current content of the configuration file. If it is not valid, nothing changes. `ingests` tells if the
/// HTTP collector takes events.
fn read_again(
    settings: &mut Settings,
    pass: &mut Pass,
    [at_start, last]: &mut [Values; 2],
    ingests: bool,
    context: &Context,
) {
    let read = settings::read(&settings.file).map_err(Failure::from);
    let taken = read.and_then(|new| Ok((pass.with(&new, context)?, new)));
    match taken {
        Ok((new_pass, new)) => {
            let values = values(&new.config);
            let changed = changed_keys(last, &values).join(" ");
            let mut waiting = changed_keys(at_start, &values);
            waiting.retain(|key| needs_restart(key, ingests));
            let needs_restart = waiting.join(" ");
            tracing::info!(changed, needs_restart, "the configuration was read again");
            *last = values;
            (*pass, *settings) = (new_pass, new);
        }
        Err(failure) => {
            let (why, advice) = (failure.on_one_line(), &failure.advice);
            tracing::error!(why, advice, "the configuration cannot be used; the old one stays");
        }
    }
}

/// Digests of the values of all keys, of secrets, and of what the files of secrets hold.
type Values = BTreeMap<String, u64>;

fn values(config: &Config) -> Values {
    let mut values = Values::new();
    let mut add = |key: &str, value: &dyn fmt::Debug| {
        let digest = values.entry(key.to_owned()).or_default();
        *digest = BuildHasherDefault::<DefaultHasher>::new().hash_one((*digest, format!("{value:?}")));
    };
    for (section, keys) in toml::Table::try_from(config).unwrap_or_default() {
        for (key, value) in keys.as_table().into_iter().flatten() {
            add(&format!("{section}.{key}"), value);
        }
    }
    // The table has no secrets, and only the paths of files.
    let Config { analytics, bulk, rest_v2, .. } = config;
    add("analytics.client_secret", &analytics.client_secret.0);
    add("analytics.client_secret_file", &read_secret(&analytics.client_secret_file).ok());
    add("bulk.client_secret", &bulk.client_secret.0);
    add("bulk.client_secret_file", &read_secret(&bulk.client_secret_file).ok());
    add("rest_v2.secret_file", &read_secret(&rest_v2.secret_file).ok());
    for file in rest_v2.service_token_keys.values() {
        add("rest_v2.service_token_keys", &read_secret(file).ok());
    }
    values
}

fn changed_keys(old: &Values, new: &Values) -> Vec<String> {
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    changed.map(|(key, _)| key.clone()).collect()
}

/// Tells if a key is read only at the start: open files, logging and the HTTP collector keep their settings.
fn needs_restart(key: &str, ingests: bool) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    match section {
        "serve" | "log" => true,
        "buffer" => !key.ends_with("_days"),
        "ingest" | "rest_v2" | "esm" | "map" => ingests,
        _ => false,
    }
}

fn serve(settings: &Settings, buffer: &Arc<Buffer>, context: &Context) -> Result<Option<Server>, Failure> {
    let config = &settings.config.serve;
    let ServeConfig { listen, ingest, ref tokens_file, .. } = *config;
    let listen = match listen {
        Listen::At(address) => address,
        Listen::Off if ingest => {
            return Err(refused(
                "serve.ingest is true, and serve.listen is off",
                "set serve.listen to a port, such as \"8090\"",
            ));
        }
        Listen::Off => return Ok(None),
    };
    if ingest && tokens_file.as_os_str().is_empty() {
        return Err(refused(
            "serve.ingest is true without serve.tokens_file: anybody could post",
            "name a file of tokens there, one a line, such as: head -c 32 /dev/urandom | base64",
        ));
    }
    let keyed = || -> Result<_, Failure> {
        let maps = options::maps(settings, "serve.map", &config.map)?;
        Ok(IngestOptions { maps, ..options::keyed_ingest(settings, FormatChoice::Auto, &context.clock)? })
    };
    let options = ServeOptions {
        listen,
        ingest: ingest.then(keyed).transpose()?,
        config: config.clone(),
        stop_grace: Duration::from_secs(settings.config.delivery.stop_grace_seconds),
        clock: context.clock.clone(),
    };
    let server = Server::start(buffer, options)?;
    tracing::info!(address = %server.address(), ingest, "listening");
    Ok(Some(server))
}

/// Logs a failed slot: as a warning if another drain holds the lock, else as an error.
fn log_failure(failure: &Failure) {
    let (why, advice, exit) = (failure.on_one_line(), &failure.advice, failure.exit.code());
    if failure.exit == Exit::LockHeld {
        tracing::warn!(why, %advice, exit, "no drain in this slot; the next slot tries again");
    } else {
        tracing::error!(why, %advice, exit, "the drain of this slot failed; the next slot tries again");
    }
}

/// Waits until the buffer is no longer at its path or was overwritten, because records in a deleted file are lost.
/// Meanwhile, logs if the clock shows a time at which no drain is ever due.
async fn buffer_lost(buffer: &Arc<Buffer>, mut place: Watch, clock: &Clock) -> BufferError {
    let mut told_at: Option<tokio::time::Instant> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (looking, mut looked) = (Arc::clone(buffer), place.clone());
        let found = blocking(move || looking.look(&mut looked).map(|()| looked)).await;
        match found {
            Ok(looked) => place = looked,
            Err(lost) => return lost,
        }
        match clock.check() {
            Ok(()) => told_at = None,
            Err(error) if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) => {
                tracing::error!(%error, "no drain comes due until the clock of this host is set");
                told_at = Some(tokio::time::Instant::now());
            }
            Err(_) => {}
        }
    }
}

/// The start of the last completed drain. Events stored after that time wait for the next drain.
fn last_started(buffer: &Buffer) -> Result<Option<Instant>, Failure> {
    let runs = buffer.runs(RUNS_LOOKED_AT)?;
    Ok(runs.into_iter().find(|run| run.finished_at.is_some()).map(|run| run.started_at))
}
