//! The command line: arguments in; text or one JSON document and an exit status out.
//!
//! - In: arguments, the environment, the configuration file. Out: a report on standard output, notes, errors and logs on
//!   standard error, an [`Exit`].
//! - Guarantees: with `--json` nothing but one document reaches standard output; every error says what to do about it.
//! - Does not know: SQL, HTTP, XML. A command parses, calls the rooms, prints.
//! - Rules: sections 7 and 8 of the design. One file per command, with its arguments, its `run` and its report.

mod analytics;
mod args;
mod backfill;
mod backup;
mod bus_error;
mod code;
mod dead_letter;
mod demo;
mod drain;
mod exit;
mod explain;
mod failure;
mod forget;
mod held;
mod hint;
mod ingest;
mod init;
mod log;
mod monitor;
mod output;
mod pass;
mod progress;
mod pull;
mod reconcile;
mod report;
mod restore;
mod retention;
mod run;
mod safe;
mod sandbox;
mod settings;
mod signals;
mod status;
mod suite;
mod table;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::runtime::{Builder, Runtime};

pub use exit::Exit;

use crate::buffer::{Buffer, BufferOptions, RetentionPolicy, name_command};
use crate::clock::Clock;
use crate::config::{BufferConfig, LogConfig, LogFormat};
use args::{Cli, Command};
use failure::{CliError, Failure};
use output::Form;
use settings::Settings;

/// Runs the program with these arguments.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let exit = match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let form = Form::of(cli.json);
            dispatch(cli).unwrap_or_else(|error| form.failure(&Failure::from(error)))
        }
        Err(error) => {
            // Arguments that cannot be parsed may still say how the answer is read.
            let words = args.iter().take_while(|word| *word != "--");
            Form::of(words.into_iter().any(|word| word == "--json")).usage(&error)
        }
    };
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    hint::note_config(cli.config.as_deref());
    let command = env::args().find(|word| Cli::command().find_subcommand(word).is_some());
    name_command(&command.unwrap_or_default());
    let context = Context { config: cli.config, form: Form::of(cli.json), clock: Clock::system() };
    context.clock.check()?;
    bus_error::watch(context.form)?;
    match &cli.command {
        Command::Demo(args) => demo::run(args, &context),
        Command::Init(args) => init::run(args, &context),
        Command::Suite(command) => suite::run(command, &context),
        Command::Ingest(args) => ingest::run(args, &context),
        Command::Drain(args) => drain::run(args, &context),
        Command::Run(args) => run::run(args, &context),
        Command::Backfill(command) => backfill::run(command, &context),
        Command::Pull(command) => pull::run(command, &context),
        Command::Report(args) => report::run(args, &context),
        Command::Reconcile(args) => reconcile::run(args, &context),
        Command::Explain(args) => explain::run(args, &context),
        Command::Status(args) => status::run(args, &context),
        Command::DeadLetter(command) => dead_letter::run(command, &context),
        Command::Held(command) => held::run(command, &context),
        Command::Forget(args) => forget::run(args, &context),
        Command::Backup(args) => backup::run(args, &context),
        Command::Restore(args) => restore::run(args, &context),
        Command::Retention(args) => retention::run(args, &context),
        Command::Sandbox(args) => sandbox::run(args, &context),
    }
}

/// What every command is given.
struct Context {
    /// `--config`.
    config: Option<PathBuf>,
    form: Form,
    clock: Clock,
}

impl Context {
    /// Finds and reads the configuration, and starts logging as it says.
    fn settings(&self) -> Result<Settings, CliError> {
        let path = settings::find(self.config.as_deref())?;
        let settings = settings::read(&path).inspect_err(|_| {
            // Who reads the log as JSON also reads so what is wrong elsewhere in the file.
            let format = settings::log_format(&path).unwrap_or(LogFormat::Text);
            log::start(&LogConfig { format, ..LogConfig::default() });
        })?;
        log::start(&settings.config.log);
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Ok(settings)
    }

    /// How the buffer of these settings is opened.
    fn buffer_options(&self, settings: &Settings) -> BufferOptions {
        BufferOptions {
            path: settings.config.buffer.path.clone(),
            allow_network_filesystem: settings.config.buffer.allow_network_filesystem,
            clock: self.clock.clone(),
        }
    }

    /// The buffer of the configuration, open.
    fn buffer(&self) -> Result<Buffer, CliError> {
        Ok(Buffer::open(&self.buffer_options(&self.settings()?))?)
    }
}

/// The runtime of a command that sends. One thread: sending a hit takes microseconds, and the buffer has a thread of its
/// own; a second one for the lanes costs more in hand-overs than it gives.
fn runtime() -> Result<Runtime, CliError> {
    Builder::new_current_thread().enable_all().build().map_err(CliError::Start)
}

/// What retention keeps, by these settings.
fn retention_policy(settings: &Settings) -> RetentionPolicy {
    let BufferConfig { retention_days, dedup_days, .. } = settings.config.buffer;
    RetentionPolicy { retention_days, dedup_days }
}
