//! `status` shows the state of all events; `status --check` compares it with limits.

mod event_page;
mod look;
mod metrics;
mod monitor;
mod page;
mod shared_monitor;
mod text;
mod views;

use std::collections::BTreeMap;

use super::code::Code;
use super::{Context, Exit, Failure, Form, Settings, on_file, output, refused, shared};
use crate::buffer::{Buffer, BufferOptions};
use crate::config::{Config, MonitorConfig, Span};
use crate::event::RequestorId;
use monitor::Check;
use text::Answer;
pub(super) use views::{show, show_shared};

/// Shows where every event is: what waits and since when, what stands in the way, accounting, last runs.
///
/// It reads counters, so it is quick with a buffer of any size, also while a drain runs. With --check it is for monitors: it prints
/// only the limits of [monitor] that are broken, one line for each, on standard error. Exit statuses: docs/operating.md.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/status.txt").trim_ascii_end())]
pub(super) struct Args {
    /// Check the limits of [monitor], or of the options below, instead of showing anything.
    #[arg(long, conflicts_with_all = ["verify", "in_doubt"])]
    check: bool,
    /// The longest time that an event that can be sent may wait, and the longest time since the last completed drain.
    /// Without --check the status is shown too, and no other limit is checked.
    #[arg(long, value_name = "DURATION")]
    max_age: Option<Span>,
    /// The longest time that trouble with a host or a suite may keep events waiting.
    #[arg(long, value_name = "DURATION", requires = "check")]
    max_trouble: Option<Span>,
    /// The longest time since the last live event came in; ID=DURATION is for one requestor.
    #[arg(long, value_name = "[ID=]DURATION", value_parser = silence, requires = "check")]
    max_silence: Vec<(Option<RequestorId>, Span)>,
    /// How many events may have become dead within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_dead: Option<u64>,
    /// How many events may be held.
    #[arg(long, value_name = "N", requires = "check")]
    max_held: Option<u64>,
    /// How many events may be parked.
    #[arg(long, value_name = "N", requires = "check")]
    max_parked: Option<u64>,
    /// How many lines may have been rejected within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_rejects: Option<u64>,
    /// Print the metrics of /metrics, for a textfile collector.
    #[arg(long, conflicts_with_all = ["check", "max_age", "verify", "in_doubt", "json"])]
    prometheus: bool,
    /// Recount every row, and compare the result with the counters. This reads the whole buffer.
    #[arg(long)]
    verify: bool,
    /// List every event that has an attempt of unknown outcome, whatever its state is now.
    #[arg(long)]
    in_doubt: bool,
}

/// Reads `DURATION`, `off` or `ID=DURATION`.
fn silence(text: &str) -> Result<(Option<RequestorId>, Span), String> {
    let (id, span) = text.rsplit_once('=').map_or((None, text), |(id, span)| (Some(id), span));
    let id = id.map(RequestorId::new).transpose().map_err(|error| error.to_string())?;
    Ok((id, span.parse()?))
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    if on_file::is_on_postgres(&settings) {
        let others = args.prometheus || args.in_doubt || args.max_age.is_some() && !args.check;
        on_file::refuse_options(others, "status takes --verify, and --check with its limits")?;
        if !args.check {
            return shared::status(&settings, args.verify, context);
        }
        let limits = args.over(settings.config.monitor.clone())?;
        let status = shared::block_on(&settings, async |buffer| Ok(buffer.status().await?))?;
        let now = context.clock.now();
        return end(shared_monitor::checks(&status, now, &limits, &settings.config.ingest)?, context.form);
    }
    let options = context.buffer_options(&settings)?;
    if args.prometheus {
        // A collector that got nothing would show the last metrics, as if all were well.
        let (text, failure) = match measure(&options, &settings) {
            Ok(text) => (text, None),
            Err(failure) => (metrics::of_failure(failure.code), Some(failure)),
        };
        output::text(&text)?;
        return failure.map_or(Ok(Exit::Done), Err);
    }
    let buffer = Buffer::open(&options)?;
    let report = look::look(&buffer, settings.config.analytics.proof_age())?;
    if args.check {
        let limits = args.over(settings.config.monitor.clone())?;
        return end(monitor::checks(&report, &buffer, &limits, &settings.config.ingest)?, context.form);
    }
    let answer = Answer {
        overdue: args.max_age.map(|age| broken(monitor::ages(&report, age))),
        discrepancies: args.verify.then(|| buffer.verify()).transpose()?,
        doubted: args.in_doubt.then(|| buffer.doubted()).transpose()?,
        report,
    };
    tell(answer.overdue.iter().flatten());
    let differs = answer.discrepancies.iter().any(|found| !found.is_empty());
    let is_off = args.verify && (differs || !answer.report.status.accounting.balanced);
    let failure = is_off.then(|| {
        let what = "the account is off: the counters and the rows of the buffer differ";
        Failure::of(what, None, Code::BufferDamaged.failed("check the disk, and restore the latest backup"))
    });
    let is_overdue = answer.overdue.iter().any(|found| !found.is_empty());
    context.ended(&answer, failure, if is_overdue { Exit::Pending } else { Exit::Done })
}

fn measure(options: &BufferOptions, settings: &Settings) -> Result<String, Failure> {
    let buffer = Buffer::open(options)?;
    let report = look::look(&buffer, settings.config.analytics.proof_age())?;
    let checks = monitor::checks(&report, &buffer, &settings.config.monitor, &settings.config.ingest)?;
    Ok(metrics::text(&report, &buffer.suite_accounts()?, &checks))
}

/// Tells the checks that are broken.
fn end(checks: Vec<Check>, form: Form) -> Result<Exit, Failure> {
    if form == Form::Json {
        output::document(&BTreeMap::from([("checks", &checks)]))?;
    }
    let broken = broken(checks);
    tell(broken.iter());
    Ok(if broken.is_empty() { Exit::Done } else { Exit::Pending })
}

impl Args {
    /// The limits of the configuration; the options replace some of them.
    fn over(&self, mut limits: MonitorConfig) -> Result<MonitorConfig, Failure> {
        let mut given = BTreeMap::new();
        for (id, span) in &self.max_silence {
            if let Some(first) = given.insert(id, span) {
                let of = id.as_ref().map_or_else(String::new, |id| format!(" for {id}"));
                let why = format!("--max-silence is given twice{of}: {first} and {span}");
                return Err(refused(why, "give it once for each requestor, and once without one"));
            }
            match id.clone() {
                Some(id) => drop(limits.max_silence_of.insert(id, *span)),
                None => limits.max_silence = *span,
            }
        }
        Ok(MonitorConfig {
            max_age: self.max_age.unwrap_or(limits.max_age),
            max_trouble: self.max_trouble.unwrap_or(limits.max_trouble),
            max_dead: self.max_dead.unwrap_or(limits.max_dead),
            max_held: self.max_held.unwrap_or(limits.max_held),
            max_parked: self.max_parked.unwrap_or(limits.max_parked),
            max_rejects: self.max_rejects.unwrap_or(limits.max_rejects),
            ..limits
        })
    }
}

/// The limits of `[monitor]` that are broken, each with its name and what it says.
pub(super) fn broken_checks(buffer: &Buffer, config: &Config) -> Result<Vec<(String, String)>, Failure> {
    let report = look::look(buffer, config.analytics.proof_age())?;
    let broken = broken(monitor::checks(&report, buffer, &config.monitor, &config.ingest)?);
    let named = |Check { check, of, says, .. }: Check| {
        (of.map_or_else(|| check.to_owned(), |of| format!("{check} ({of})")), says)
    };
    Ok(broken.into_iter().map(named).collect())
}

fn broken(checks: Vec<Check>) -> Vec<Check> {
    checks.into_iter().filter(|check| check.broken).collect()
}

fn tell<'a>(broken: impl Iterator<Item = &'a Check>) {
    for Check { check, of, says, .. } in broken {
        let of = of.as_deref().map_or_else(String::new, |of| format!(" ({of})"));
        output::alarm(format_args!("{check}{of}: {says}"));
    }
}
