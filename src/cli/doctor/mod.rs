//! `doctor`: examines what passbridge needs on its host, and says of each fault what to do.

mod database;
mod finding;
mod hosts;
mod live;
mod secrets;
mod units;

use std::path::Path;

use serde::Serialize;

use super::{Context, Exit, Failure, Settings, alerts, log, on_file, options, serve, settings};
use crate::buffer::{Buffer, known_schema};
use crate::collection::Collection;
use crate::config::Config;
use finding::{Finding, Level};

/// Examines the host: configuration, secrets, buffer, disk, clock, locks, suites, units of systemd, and the
/// connections to the hosts of Adobe.
///
/// It sends no hit and no HTTP request. For each configured collection host and API host it resolves the name, connects (through the
/// proxy if there is one), completes the TLS handshake, and disconnects. Each finding is ok, a warning or failed, and says what to
/// do. It exits 1 if something failed. It changes nothing, and does not migrate a buffer of an earlier release. On PostgreSQL it examines
/// the server, the rights of its user and the settings that matter.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/doctor.txt").trim_ascii_end())]
pub(super) struct Args {
    /// Recount every row of the buffer, and check its whole file. This reads all of it.
    #[arg(long, conflicts_with = "before_start")]
    full: bool,
    /// Check only what would keep `run` from starting. This takes less than two seconds, and reads neither the
    /// network nor the events; only a server of PostgreSQL is asked for its settings and the schema. Exits 2 if `run` would end with 2.
    #[arg(long)]
    before_start: bool,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    match configuration(context, &mut findings) {
        Ok(settings) => {
            findings.extend(secrets::findings(&settings));
            let (mut suites, mut buffer) = (Vec::new(), None);
            let is_shared = on_file::is_on_postgres(&settings);
            if is_shared {
                on_file::refuse_options(
                    args.full,
                    "doctor takes no --full: status --verify recounts every row",
                )?;
                suites = database::examine(&settings, args.before_start, &mut findings)?;
            } else {
                let options = context.buffer_options(&settings)?;
                let schema = Buffer::glance(&options).map_err(Failure::from);
                let is_usable = schema_finding(&schema, &settings, &mut findings) && !args.before_start;
                buffer = is_usable.then(|| Buffer::open(&options)).transpose().unwrap_or_else(|error| {
                    findings.push(Finding::of("buffer", None).failed(&error.into()));
                    None
                });
            }
            if !args.before_start {
                if let Some(buffer) = &buffer {
                    findings.extend(live::findings(&settings, buffer, args.full));
                    suites = buffer.suites()?;
                }
                findings.push(clock(context, buffer.as_ref())?);
                findings.extend(units::findings(Path::new("/")));
                // The copies of a database are made by its own tools.
                findings.retain(|one| !is_shared || one.of.as_deref() != Some("passbridge-backup.timer"));
                findings.extend(hosts::findings(&settings, suites)?);
            }
        }
        Err(failure) => findings.push(Finding::of("configuration", None).failed(&failure)),
    }
    if args.before_start {
        // Only a mistake that a person has to mend keeps `run` from starting. Otherwise it starts, or tries again.
        findings.iter_mut().filter(|found| !found.is_usage).for_each(Finding::soften);
    }
    let failed = findings.iter().any(|found| found.level == Level::Failed);
    let exit = match (failed, args.before_start) {
        (false, _) => Exit::Done,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Usage,
    };
    context.ended(&Report { findings }, None, exit)
}

/// Reads the configuration, and checks the rules between keys that `run` checks at its start.
fn configuration(context: &Context, findings: &mut Vec<Finding>) -> Result<Settings, Failure> {
    let path = settings::find(context.config.as_deref())?;
    let settings = settings::read(&path)?;
    log::start(&settings.config.log);
    let found = || Finding::of("configuration", Some(settings.file.display().to_string()));
    let failures: Vec<Finding> = broken_rules(&settings).iter().map(|why| found().failed(why)).collect();
    if failures.is_empty() {
        findings.push(found().ok("every key is known, and its value allowed"));
    }
    findings.extend(failures);
    let warning =
        |text: &String| found().warning(text, "correct the key or the variable; see docs/operating.md");
    findings.extend(settings.warnings.iter().map(warning));
    Ok(settings)
}

/// The contradictions between keys, where the value of each key alone is allowed.
pub(super) fn broken_rules(settings: &Settings) -> Vec<Failure> {
    let Config { ingest, serve: listeners, delivery, .. } = &settings.config;
    let rules = [
        serve::check(settings),
        options::maps(settings, "ingest.inbox_map", &ingest.inbox_map).map(drop),
        options::maps(settings, "serve.map", if listeners.ingest { &listeners.map } else { "" }).map(drop),
        Collection::new(options::collection(delivery)).map(drop).map_err(Failure::from),
        alerts::pinger(settings).map(drop),
    ];
    rules.into_iter().filter_map(Result::err).collect()
}

/// Tells the schema of the buffer. Returns whether this release can open it without a migration.
fn schema_finding(
    schema: &Result<Option<i64>, Failure>,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> bool {
    let known = known_schema();
    let found = Finding::of("schema", Some(settings.config.buffer.path.display().to_string()));
    findings.push(match schema {
        Err(failure) => Finding::of("buffer", found.of).failed(failure),
        Ok(Some(version)) if *version < known => found.warning(
            format!("schema {version}; the next command of this release migrates it to {known}, and keeps a copy beside it"),
            "stop what uses the buffer, run passbridge status to migrate it, then passbridge doctor for what the buffer says",
        ),
        Ok(Some(version)) => found.ok(format!("schema {version}, that of this release")),
        Ok(None) => found.ok("its schema is still in the write-ahead log"),
    });
    matches!(schema, Ok(version) if version.is_none_or(|version| version == known))
}

/// Compares the clock with the years that events can have, and with the start of the last run.
fn clock(context: &Context, buffer: Option<&Buffer>) -> Result<Finding, Failure> {
    let (now, found) = (context.clock.now(), Finding::of("clock", None));
    if let Err(error) = context.clock.check() {
        return Ok(found.failed(&error.into()));
    }
    let last = buffer.map(|buffer| buffer.runs(1)).transpose()?.and_then(|runs| runs.into_iter().next());
    Ok(match last.filter(|run| run.started_at > now) {
        Some(run) => found.bad(
            format!(
                "it shows {}, but the last run began at {}",
                now.to_the_second(),
                run.started_at.to_the_second()
            ),
            "set the clock of this host; if it is right now, the next drains mend the rest",
        ),
        None => found.ok(format!("{}; no run lies ahead of it", now.to_the_second())),
    })
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        finding::write(&self.findings, out)
    }
}
