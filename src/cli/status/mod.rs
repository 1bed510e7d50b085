//! `status` shows the state of all events; `status --check` compares it with limits.

mod look;
mod monitor;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Context, Exit, Failure, Form, Settings, output};
use crate::buffer::Buffer;
use crate::config::{MonitorConfig, Span, duration};
use look::StatusReport;
use monitor::Check;
use text::Answer;

/// Shows where every event is: what waits and since when, what stands in the way, accounting, last runs.
///
/// It reads counters and is quick whatever the size of the buffer, also while a drain runs. With --check it is the monitor: it
/// prints nothing but the limits of [monitor] that are broken, a line each on standard error. Exit statuses: docs/operating.md.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/status.txt").trim_ascii_end())]
pub(super) struct Args {
    /// Check the limits of [monitor], or of the options below, instead of showing anything.
    #[arg(long, conflicts_with_all = ["verify", "in_doubt"])]
    check: bool,
    /// The longest that an event that could go may wait since it was stored, or the last completed drain lie back. Without
    /// --check the status is shown as well, and no other limit is looked at.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<Duration>,
    /// The longest since the last event came in; REQUESTOR=DURATION is of one requestor.
    #[arg(long, value_name = "[ID=]DURATION", value_parser = silence, requires = "check")]
    max_silence: Vec<(Option<String>, Span)>,
    /// Events that may have died within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_dead: Option<u64>,
    /// Events that may be held.
    #[arg(long, value_name = "N", requires = "check")]
    max_held: Option<u64>,
    /// Events that may be parked.
    #[arg(long, value_name = "N", requires = "check")]
    max_parked: Option<u64>,
    /// Lines that may have been rejected within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_rejects: Option<u64>,
    /// Recount every row and compare with the counters. Reads the whole buffer.
    #[arg(long)]
    verify: bool,
    /// List every event with an attempt of unknown outcome, whatever became of it since.
    #[arg(long)]
    in_doubt: bool,
}

/// Reads `DURATION`, `off` or `ID=DURATION`.
fn silence(text: &str) -> Result<(Option<String>, Span), String> {
    let (id, span) = text.split_once('=').map_or((None, text), |(id, span)| (Some(id.to_owned()), span));
    Ok((id, span.parse()?))
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let report = look::look(&buffer, context, settings.config.analytics.proof_age())?;
    if args.check {
        return check(args, &report, &buffer, &settings, context.form);
    }
    let answer = Answer {
        overdue: args.max_age.map(|age| broken(monitor::ages(&report, Span(Some(age))))),
        discrepancies: args.verify.then(|| buffer.verify()).transpose()?,
        doubted: args.in_doubt.then(|| buffer.doubted()).transpose()?,
        report,
    };
    context.form.report(&answer)?;
    tell(answer.overdue.iter().flatten());
    let differs = answer.discrepancies.iter().any(|found| !found.is_empty());
    if args.verify && (differs || !answer.report.status.accounting.balanced) {
        return Ok(Exit::Failed);
    }
    let is_overdue = answer.overdue.iter().any(|found| !found.is_empty());
    Ok(if is_overdue { Exit::Pending } else { Exit::Done })
}

fn check(
    args: &Args,
    report: &StatusReport,
    buffer: &Buffer,
    settings: &Settings,
    form: Form,
) -> Result<Exit, Failure> {
    let limits = args.over(settings.config.monitor.clone());
    let checks = monitor::checks(report, buffer, &limits, &settings.config.ingest.rejects_dir)?;
    if form == Form::Json {
        output::document(&BTreeMap::from([("checks", &checks)]))?;
    }
    let broken = broken(checks);
    tell(broken.iter());
    Ok(if broken.is_empty() { Exit::Done } else { Exit::Pending })
}

impl Args {
    /// The limits of the configuration; the options replace some of them.
    fn over(&self, mut limits: MonitorConfig) -> MonitorConfig {
        for (id, span) in self.max_silence.iter().cloned() {
            match id {
                Some(id) => drop(limits.max_silence_of.insert(id, span)),
                None => limits.max_silence = span,
            }
        }
        MonitorConfig {
            max_age: self.max_age.map_or(limits.max_age, |age| Span(Some(age))),
            max_dead: self.max_dead.unwrap_or(limits.max_dead),
            max_held: self.max_held.unwrap_or(limits.max_held),
            max_parked: self.max_parked.unwrap_or(limits.max_parked),
            max_rejects: self.max_rejects.unwrap_or(limits.max_rejects),
            ..limits
        }
    }
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
