//! `suite`: maps requestors to report suites, and sets how their events are sent.

mod change;
mod check;
mod confirm;
mod listing;
mod probe;
mod settings;
mod sheet;
mod transfer;

use std::path::PathBuf;

use super::{Context, Exit, Failure};
use crate::suite::Rsid;
use change::{AddArgs, RemoveArgs, ResumeArgs, SetArgs};
use listing::Known;

/// Says which requestor's events go to which report suite, and how.
///
/// A requestor maps to exactly one suite. Many requestors may share a suite. Suites are stored in the buffer: a
/// change applies from the next drain on, without a restart. `pause` also stops a running drain from sending to the
/// suite, within a second. If a requestor has no suite, or its suite is paused, its events wait in the buffer;
/// `status` calls them parked.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("../help/suite.txt").trim_ascii_end())]
pub(crate) enum Command {
    Add(AddArgs),
    /// Lists the suites with their requestors.
    List,
    /// Shows one suite with all its settings.
    Show {
        /// The report suite ID.
        rsid: Rsid,
    },
    Set(SetArgs),
    /// Stops sending a suite's events, within a second also in a running drain. The events wait in the buffer.
    Pause {
        /// The report suite ID.
        rsid: Rsid,
    },
    Resume(ResumeArgs),
    Remove(RemoveArgs),
    Sheet(sheet::SheetArgs),
    Check(check::CheckArgs),
    Confirm(confirm::ConfirmArgs),
    Probe(probe::ProbeArgs),
    /// Writes every suite as JSON, for `suite import` into another buffer. The file has no secrets.
    Export {
        /// The file to write, which must not exist. Without it, or with `-`, the suites go to standard output.
        file: Option<PathBuf>,
    },
    /// Adds the suites of an export. Suites that are known already must have the same settings.
    Import {
        /// The file to read, or `-` for standard input.
        file: PathBuf,
    },
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    // The buffer is opened only for commands that need it: `suite sheet` must also work before there is a buffer.
    let known = || Known::open(context, &context.settings()?);
    match command {
        Command::Sheet(args) => sheet::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Probe(args) => probe::run(args, context),
        Command::Confirm(args) => {
            let (settings, buffer) = context.open()?;
            let rsid = confirm::run(args, &settings, &buffer)?;
            context.done(&known()?.report(rsid)?)
        }
        Command::Add(args) => context.done(&change::add(args, &known()?, &context.settings()?)?),
        Command::List => context.done(&known()?.list()?),
        Command::Show { rsid } => context.done(&known()?.report(rsid)?),
        Command::Set(args) => context.done(&change::set(args, &known()?, &context.settings()?)?),
        Command::Pause { rsid } => context.done(&change::pause(&known()?, rsid)?),
        Command::Resume(args) => context.done(&change::resume(args, &known()?)?),
        Command::Remove(args) => change::remove(args, &known()?, context),
        Command::Export { file } => transfer::export(file.as_deref(), context),
        Command::Import { file } => transfer::import(file, context),
    }
}
