//! `suite`: which requestor's events go to which report suite, and how.

mod change;
mod check;
mod confirm;
mod listing;
mod probe;
mod settings;
mod sheet;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use super::Context;
use super::exit::Exit;
use super::failure::CliError;
use super::settings::Settings;
use crate::buffer::Buffer;
use crate::event::{EventError, RequestorId};
use crate::onboarding::verdict;
use crate::suite::{CollectionUrl, Rsid};
use settings::SettingArgs;

/// Says which requestor's events go to which report suite, and how.
///
/// A requestor maps to exactly one suite; many requestors may share one. Suites live in the buffer: a change holds from the
/// next drain on, without a restart, and `pause` within a second also in a running one. Events of a requestor without a suite, or whose suite is paused,
/// wait in the buffer (`status` calls them parked) and flow when that changes.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  passbridge suite add --requestor REF30 REF40 --rsid examplersid \\
                       --collection-url https://example.sc.omtrdc.net
  passbridge suite check examplersid
  passbridge suite set examplersid --rate 50
  passbridge suite pause examplersid
  passbridge suite export | ssh standby passbridge suite import -")]
pub(in crate::cli) enum Command {
    Add(AddArgs),
    /// Lists the suites with their requestors.
    List,
    /// Shows one suite with all its settings.
    Show {
        /// The report suite ID.
        rsid: Rsid,
    },
    Set(SetArgs),
    /// Stops a suite's events from being sent, within a second also in a running drain. They wait in the buffer.
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
    /// Writes every suite as JSON, for `import` elsewhere. Holds no secrets.
    Export {
        /// The file to write; it must not exist. Without one, standard output.
        file: Option<PathBuf>,
    },
    /// Adds the suites of an export. Suites that are known already must have the same settings.
    Import {
        /// The file to read, or `-` for standard input.
        file: PathBuf,
    },
}

/// Maps requestors to a suite, whose events flow from then on, or with --paused from `suite resume` on.
///
/// A suite that is known already gets the requestors added; settings that differ from its own are refused, because `suite
/// set` is where they change.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    /// The requestor IDs whose events go there.
    #[arg(long = "requestor", required = true, num_args = 1.., value_name = "ID", value_parser = requestor)]
    requestors: Vec<RequestorId>,
    /// The report suite ID, 1 to 40 letters, digits or periods.
    #[arg(long)]
    rsid: Rsid,
    /// The collection host, such as https://example.sc.omtrdc.net; plain http for a collector on this host only. Required
    /// for a new suite.
    #[arg(long, value_name = "URL")]
    collection_url: Option<CollectionUrl>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Let nothing flow yet, until `suite resume`: first the suite is checked, and probed.
    #[arg(long)]
    paused: bool,
}

/// Lets the events of a suite flow again that was paused, or whose hits are known to be lost.
///
/// Where the last check or probe found that the suite loses its hits, nothing is sent to it until a check finds it mended:
/// this is refused without --anyway.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ResumeArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// Send all the same to a suite that is known to lose its hits, until another reason for that is found.
    #[arg(long)]
    anyway: bool,
}

/// Changes settings of a suite; what is not named stays.
///
/// Events with an attempt of unknown outcome are repeated exactly as they were first sent, whatever changes here.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// The collection host.
    #[arg(long, value_name = "URL")]
    collection_url: Option<CollectionUrl>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Accept that a change of identity makes every known visitor of the suite a new one.
    #[arg(long)]
    split_visitors: bool,
}

/// Retires a suite, or frees single requestors from it. Their events are parked until they are mapped again.
///
/// Refused while events there are held or in doubt: they belong to this suite, and would stay undecided for ever.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// Free only these requestors, and keep the suite.
    #[arg(long = "requestor", num_args = 1.., value_name = "ID", value_parser = requestor)]
    requestors: Vec<RequestorId>,
}

fn requestor(text: &str) -> Result<RequestorId, EventError> {
    RequestorId::new(text)
}

/// The buffer whose suites a command is about, and how long a proof of their settings counts.
struct Suites {
    buffer: Buffer,
    proof_age: Duration,
}

impl Suites {
    fn open(context: &Context, settings: &Settings) -> Result<Suites, CliError> {
        let buffer = Buffer::open(&context.buffer_options(settings))?;
        Ok(Suites { buffer, proof_age: settings.config.analytics.proof_age() })
    }

    /// Judges a suite anew that was changed here.
    fn renew(&self, rsid: &Rsid) -> Result<(), CliError> {
        Ok(verdict::renew(&self.buffer, rsid, self.proof_age)?)
    }
}

pub(in crate::cli) fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    // Only what needs a buffer opens it: a sheet for any suite is for newcomers, who have none yet.
    let suites = || Suites::open(context, &context.settings()?);
    match command {
        Command::Sheet(args) => sheet::run(args, context)?,
        Command::Check(args) => return check::run(args, context),
        Command::Probe(args) => return probe::run(args, context),
        Command::Confirm(args) => context.form.report(&confirm::run(args, &suites()?)?)?,
        Command::Add(args) => context.form.report(&change::add(args, &suites()?)?)?,
        Command::List => context.form.report(&listing::all(&suites()?)?)?,
        Command::Show { rsid } => context.form.report(&listing::one(&suites()?, rsid)?)?,
        Command::Set(args) => context.form.report(&change::set(args, &suites()?)?)?,
        Command::Pause { rsid } => context.form.report(&change::pause(&suites()?, rsid)?)?,
        Command::Resume(args) => context.form.report(&change::resume(args, &suites()?)?)?,
        Command::Remove(args) => context.form.report(&change::remove(args, &suites()?)?)?,
        Command::Export { file } => transfer::export(file.as_deref(), &suites()?.buffer, context)?,
        Command::Import { file } => context.form.report(&transfer::import(file, &suites()?)?)?,
    }
    Ok(Exit::Done)
}
