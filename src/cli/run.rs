//! `run`: drains on a schedule until it is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Notify;

use super::pass::Pass;
use super::signals::{self, Hangup};
use super::{Context, Exit, Failure, Settings, notify, on_file, runtime, serve, settings, shared};
use crate::buffer::{Buffer, SuiteListing};
use crate::config::Config;
use crate::drain::Stop;
use crate::event::Instant;
use crate::schedule;
use crate::serve::Server;
use crate::suite::SuiteState;
use crate::web::read_secret;

/// How many of the latest runs are searched for a completed run. If none is found, the first drain waits for a slot.
const RUNS_LOOKED_AT: usize = 100;

/// Stays up and drains on the schedule of the configuration, every 30 minutes by default.
///
/// If slots were missed because the host was down, asleep or busy, one drain replaces them all. A new report suite is
/// known from the next drain on, without a restart. A drain that fails is logged and tried again at the next slot. If
/// [serve] in the configuration is set, `run` also listens for HTTP: /healthz, and events or exchanges that other
/// programs post. At SIGTERM or SIGINT it waits for the requests in flight, records them, and exits 0. At SIGHUP it
/// reads the configuration and the tokens again, as soon as no drain is under way, and logs what changed and what
/// needs a restart. If the buffer is removed or replaced meanwhile, it exits 1.
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
    let mut seen = [values(&settings.config), values(&settings.config)];
    notify::tell(notify::OPENING);
    let mut slot = Slot::open(&settings, None, context)?;
    // Problems that every drain would report are reported now.
    let Known { place, suites, last_started } = slot.look()?;
    let (runtime, stop, reload) = (runtime()?, Stop::default(), Arc::new(Notify::new()));
    let on_hangup = Hangup::Reloads(Arc::clone(&reload));
    // Signals are handled before the first line of the log, because a reader of the log may send a signal at once.
    runtime.block_on(async { signals::listen(stop.clone(), on_hangup) })?;
    tell_setup(&settings, &place, &suites);
    let file = slot.file().cloned();
    let servers = serve::listen(&settings, file.as_ref(), context)?;
    let listens = (!servers.is_empty(), settings.config.serve.ingest);
    let watched = file.as_ref().map(|buffer| Ok::<_, Failure>((buffer, buffer.watch()?))).transpose()?;
    notify::tell(notify::READY);
    let mut report = RunReport::default();
    runtime.block_on(async {
        let closing = async {
            stop.wait().await;
            servers.iter().for_each(Server::close);
            std::future::pending().await
        };
        let draining = async {
            let mut served = last_started.unwrap_or_else(|| context.clock.now());
            while stop.requested().is_none() {
                let timetable = settings.timetable.clone();
                let next = timetable.next_slot(served).map_or("never".to_owned(), |at| at.to_string());
                tracing::info!(next_at = %next, "waiting for the next slot");
                let RunReport { drains, failed } = report;
                notify::tell(&format!("STATUS=next drain {next}; {drains} so far, {failed} of which failed"));
                let interrupted = async {
                    tokio::select! {
                        _ = stop.wait() => {}
                        () = reload.notified() => {}
                    }
                };
                schedule::run(&timetable, &context.clock, Some(served), interrupted, async || {
                    served = context.clock.now();
                    report.drains += 1;
                    notify::tell("STATUS=draining");
                    if let Err(error) = slot.run(&stop).await {
                        report.failed += 1;
                        log_failure(&error);
                    }
                })
                .await;
                if stop.requested().is_none() {
                    let schedule = settings.config.schedule.clone();
                    read_again(&mut settings, &mut slot, &mut seen, listens, context);
                    servers.iter().for_each(Server::reread_tokens);
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
            lost = serve::buffer_lost(watched.clone(), &context.clock) => Err(Failure::from(lost)),
            never = notify::keep_watchdog() => match never {},
        }
    })?;
    drop(servers);
    if let Some((buffer, mut place)) = watched {
        buffer.look(&mut place)?;
    }
    let RunReport { drains, failed } = report;
    context.answer(&report, format_args!("stopped after {drains} drains, {failed} of which failed"))
}

/// What a slot of the schedule does, with either kind of buffer.
enum Slot {
    File(Box<Pass>),
    Shared(Box<shared::Worker>),
}

/// What the buffer knows before the first slot.
struct Known {
    place: String,
    suites: Vec<SuiteListing>,
    /// The start of the last completed drain. Events stored after that time wait for the next drain.
    last_started: Option<Instant>,
}

impl Slot {
    /// `before` is the slot with the settings of before: the buffer stays the same.
    fn open(settings: &Settings, before: Option<&Slot>, context: &Context) -> Result<Slot, Failure> {
        let is_shared = before.map_or(on_file::is_on_postgres(settings), |slot| slot.file().is_none());
        Ok(match before {
            _ if is_shared => Slot::Shared(Box::new(shared::Worker::new(settings, context)?)),
            Some(Slot::File(pass)) => Slot::File(Box::new(pass.with(settings, context)?)),
            _ => Slot::File(Box::new(Pass::open(settings, context)?)),
        })
    }

    fn file(&self) -> Option<&Arc<Buffer>> {
        if let Slot::File(pass) = self { Some(&pass.buffer) } else { None }
    }

    /// Reads what the buffer knows. Fails if the proxy for a suite's collection host cannot be used.
    fn look(&self) -> Result<Known, Failure> {
        match self {
            Slot::Shared(worker) => {
                let (place, suites, last_started) = worker.look()?;
                Ok(Known { place, suites, last_started })
            }
            Slot::File(pass) => {
                pass.check_ways()?;
                let (buffer, place) = (&pass.buffer, pass.buffer.path().display().to_string());
                let completed =
                    buffer.runs(RUNS_LOOKED_AT)?.into_iter().find(|run| run.finished_at.is_some());
                let last_started = completed.map(|run| run.started_at);
                Ok(Known { place, suites: buffer.suites()?, last_started })
            }
        }
    }

    async fn run(&self, stop: &Stop) -> Result<(), Failure> {
        match self {
            Slot::Shared(worker) => worker.drain(None, stop.clone()).await.map(drop),
            Slot::File(pass) => pass.run(stop).await?.failure.map_or(Ok(()), Err),
        }
    }
}

fn tell_setup(settings: &Settings, place: &str, suites: &[SuiteListing]) {
    let Config { schedule, delivery, ingest, buffer: kept, .. } = &settings.config;
    let paused = suites.iter().filter(|listing| listing.suite.state == SuiteState::Paused).count();
    let hosts: BTreeSet<_> = suites.iter().map(|listing| listing.suite.collection_url.to_string()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        configuration = %settings.file.display(),
        buffer = place,
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
}

/// Uses the current content of the configuration file. If it is not valid, nothing changes. `listens` tells if
/// there are listeners, and if they take events.
fn read_again(
    settings: &mut Settings,
    slot: &mut Slot,
    [at_start, last]: &mut [Values; 2],
    listens: (bool, bool),
    context: &Context,
) {
    let read = settings::read(&settings.file).map_err(Failure::from);
    let taken = read.and_then(|new| Ok((Slot::open(&new, Some(slot), context)?, new)));
    match taken {
        Ok((new_slot, new)) => {
            let values = values(&new.config);
            let changed = changed_keys(last, &values).join(" ");
            let mut waiting = changed_keys(at_start, &values);
            waiting.retain(|key| needs_restart(key, listens));
            let needs_restart = waiting.join(" ");
            tracing::info!(changed, needs_restart, "the configuration was read again");
            *last = values;
            settings.current.send_replace(new.config.clone());
            (*slot, *settings) = (new_slot, Settings { current: settings.current.clone(), ..new });
        }
        Err(failure) => {
            let (why, advice) = (failure.on_one_line(), &failure.advice);
            tracing::error!(why, advice, "the configuration cannot be used; the old one stays");
        }
    }
}

/// Digests of the values of all keys, of secrets, and of what the files of client secrets and those of `rest_v2` hold.
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
    let Config { analytics, bulk, rest_v2, notify, .. } = config;
    add("analytics.client_secret", &analytics.client_secret.0);
    add("analytics.client_secret_file", &read_secret(&analytics.client_secret_file).ok());
    add("notify.ping_url", &notify.ping_url.0);
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

/// Tells if a change of a key waits for a restart, as the table of `docs/operating.md` says: the open buffer, logging,
/// notices and listeners keep the old values.
fn needs_restart(key: &str, (listens, ingests): (bool, bool)) -> bool {
    match key.split('.').next().unwrap_or_default() {
        "serve" | "notify" | "log" => true,
        "buffer" => !key.ends_with("_days"),
        "delivery" => listens && key == "delivery.stop_grace_seconds",
        "ingest" | "rest_v2" | "esm" | "map" | "contract" => ingests,
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a configuration that also has a map and a contract.
    fn keys() -> Vec<String> {
        let (map, contract) = Default::default();
        let config = Config {
            map: [("m".to_owned(), map)].into(),
            contract: [("c".to_owned(), contract)].into(),
            ..Config::default()
        };
        values(&config).into_keys().collect()
    }

    #[test]
    fn the_page_and_the_program_agree_on_each_key_that_a_hangup_leaves_as_it_was() {
        let page = include_str!("../../docs/operating.md");
        let rows = page.split("| needs a restart | where |\n|---|---|\n").nth(1).expect("the table of keys");
        let rows: Vec<(Vec<&str>, &str)> = rows
            .lines()
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches(['|', ' ']).split_once(" | ").expect("two columns"))
            .map(|(names, place)| (names.split('`').skip(1).step_by(2).collect(), place))
            .collect();
        let is_known = |name: &&str| keys().iter().any(|key| stands_for(name, key));
        assert!(rows.len() == 3 && rows.iter().all(|(names, _)| names.iter().all(&is_known)), "{rows:?}");
        for (listens, places) in [
            ((false, false), &["always"][..]),
            ((true, false), &["always", "where `run` listens"]),
            ((true, true), &["always", "where `run` listens", "where `serve.ingest` is on"]),
        ] {
            for key in keys() {
                let mut named =
                    rows.iter().filter(|(_, place)| places.contains(place)).flat_map(|(names, _)| names);
                let is_named = named.any(|name| stands_for(name, &key));
                assert_eq!(needs_restart(&key, listens), is_named, "{key} {listens:?}");
            }
        }
    }

    /// Whether a name of the page, a key or a section in brackets, stands for this key.
    fn stands_for(name: &str, key: &str) -> bool {
        let section = name.trim_matches(['[', ']']).trim_end_matches(".NAME");
        name == key || name.starts_with('[') && key.split('.').next() == Some(section)
    }
}
