//! What the program can be told: its commands, and the forms of value that several of them take.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::failure::CliError;
use super::{
    backfill, backup, dead_letter, demo, drain, explain, forget, held, ingest, init, pull, reconcile, report,
    restore, retention, run, sandbox, status, suite,
};
use crate::buffer::{BufferError, Selection};
use crate::delivery::Sequence;

/// Where to look for help on what a status means; shown below every command's own help.
const EXIT_CODES: &str = "\
Exit status:
    0  done
    1  failed; the message says what holds now
    2  wrong arguments or configuration, or no buffer yet: nothing was changed
    3  done, but events became dead or held, or lines were rejected or in conflict,
       or the inbox was left; suite check, suite probe: something is wrong
    4  stopped with events pending that could have gone; status --max-age: older than allowed;
       suite probe: not everything was seen in time
   75  another drain holds the lock of this buffer: try again later
  130  ended at once by a second SIGINT; 143 by a second SIGTERM; 129 by a second SIGHUP
  The whole list, with what to do: docs/operating.md, \"Exit status\".

Configuration: --config, else PASSBRIDGE_CONFIG, else ./passbridge.toml,
else /etc/passbridge/passbridge.toml.
Any key can be overridden: PASSBRIDGE_DELIVERY__LANES=16 stands for lanes = 16 in [delivery].";

const FIRST_STEPS: &str = "\
First steps:
  passbridge demo                                    see it work; needs nothing
  passbridge init                                    write passbridge.toml, create the buffer
  passbridge suite add --requestor REF30 --rsid examplersid \\
                       --collection-url https://example.sc.omtrdc.net
  passbridge ingest events.ndjson                    store events, each once
  passbridge drain                                   send what is pending
  passbridge status                                  see where every event is";

/// Carries the server-side events of Adobe Pass Authentication into Adobe Analytics, each counted exactly once.
#[derive(Debug, Parser)]
#[command(name = "passbridge", version, max_term_width = 120)]
#[command(after_help = FIRST_STEPS, after_long_help = format!("{FIRST_STEPS}\n\n{EXIT_CODES}"))]
pub(super) struct Cli {
    /// The configuration file. Paths in it are relative to it, never to the working directory.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Options of every command")]
    pub(super) config: Option<PathBuf>,
    /// Report as one JSON document on standard output, also of a failure; logs and errors stay on standard error.
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands, in the order in which a newcomer meets them. Each is described where its arguments are.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    #[command(subcommand)]
    Suite(suite::Command),
    Ingest(ingest::Args),
    #[command(subcommand)]
    Pull(pull::Command),
    Drain(drain::Args),
    Run(run::Args),
    #[command(subcommand)]
    Backfill(backfill::Command),
    Report(report::Args),
    Reconcile(reconcile::Args),
    Explain(explain::Args),
    Status(status::Args),
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    #[command(subcommand)]
    Held(held::Command),
    Forget(forget::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Retention(retention::Args),
    Sandbox(sandbox::Args),
}

/// Which dead letters or held events.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct SelectionArgs {
    /// Those with these numbers, as `list` shows them.
    #[arg(value_name = "SEQ")]
    sequences: Vec<i64>,
    /// Those with this reason, as `list` shows it.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl SelectionArgs {
    /// The selection that was asked for, once `list` has shown that it is not empty. What was asked for by number or reason
    /// and is not there at all is refused; `--all` of none is done.
    pub(super) fn find<T>(
        &self,
        names: &Names,
        list: impl FnOnce(Selection, usize) -> Result<Vec<T>, BufferError>,
        sequence_of: impl Fn(&T) -> Sequence,
    ) -> Result<Found, CliError> {
        let selection = self.selection();
        let limit = match &selection {
            Selection::All => return Ok(Found { selection, missing: Vec::new() }),
            Selection::Reason(_) => 1,
            Selection::Sequences(sequences) => sequences.len(),
        };
        let there: HashSet<i64> =
            list(selection.clone(), limit)?.iter().map(|one| sequence_of(one).0).collect();
        let missing: Vec<i64> =
            self.sequences.iter().copied().filter(|sequence| !there.contains(sequence)).collect();
        if there.is_empty() {
            return Err(names.refuse(&missing, self.reason.as_deref()));
        }
        Ok(Found { selection, missing })
    }

    fn selection(&self) -> Selection {
        match &self.reason {
            Some(reason) => Selection::Reason(reason.clone()),
            None if self.all => Selection::All,
            None => Selection::Sequences(self.sequences.iter().copied().map(Sequence).collect()),
        }
    }
}

/// A selection that is not empty.
pub(super) struct Found {
    pub(super) selection: Selection,
    /// The numbers that are not among them.
    pub(super) missing: Vec<i64>,
}

/// What events in one state are called.
pub(super) struct Names {
    /// What one is: `no dead letter`.
    pub(super) none: &'static str,
    /// What many are: `dead letters`.
    pub(super) many: &'static str,
    /// The command that shows them.
    pub(super) list: &'static str,
}

impl Names {
    pub(super) fn refuse(&self, missing: &[i64], reason: Option<&str>) -> CliError {
        let what = match reason {
            Some(reason) => format!("there are no {} with the reason {reason:?}", self.many),
            None => self.missing(missing),
        };
        CliError::Refused { what, advice: format!("see which there are: {}", self.list) }
    }

    /// Says that these are not among them.
    pub(super) fn missing(&self, missing: &[i64]) -> String {
        let numbers: Vec<String> = missing.iter().map(i64::to_string).collect();
        match &numbers[..] {
            [number] => format!("event {number} is {}", self.none),
            _ => format!("events {} are {}", numbers.join(", "), self.none),
        }
    }
}

/// What a list shows.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only those with this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// How many at most, the latest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: usize,
}

impl ListArgs {
    /// The selection that was asked for.
    pub(super) fn selection(&self) -> Selection {
        self.reason.clone().map_or(Selection::All, Selection::Reason)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
