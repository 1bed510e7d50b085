//! Lists all commands. Parses the arguments, and runs the command that they name.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    Context, Ended, Exit, Failure, Form, backfill, backup, bus_error, config, dead_letter, demo, doctor,
    drain, explain, export, forget, held, hint, ingest, init, inputs, log, pending, pull, reconcile, rejects,
    report, restore, retention, run, sandbox, schema, serve, settings, status, suite, trace,
};
use crate::buffer::name_command;
use crate::clock::Clock;
use crate::serve::Version;

/// The meaning of the exit statuses. Only the long help of the whole program shows this text.
const EXIT_CODES: &str = include_str!("help/exit_status.txt").trim_ascii_end();

const FIRST_STEPS: &str = include_str!("help/first_steps.txt").trim_ascii_end();

static VERSION: LazyLock<String> = LazyLock::new(|| Version::current().to_string());

/// Carries the server-side events of Adobe Pass Authentication into Adobe Analytics, each counted exactly once.
#[derive(Debug, Parser)]
#[command(name = "passbridge", version = VERSION.as_str(), max_term_width = 120)]
#[command(after_help = FIRST_STEPS, after_long_help = format!("{FIRST_STEPS}\n\n{EXIT_CODES}"))]
struct Cli {
    /// The configuration file. Paths in it are relative to it, never to the working directory.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Options of every command")]
    config: Option<PathBuf>,
    /// Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error.
    #[arg(long, global = true, help_heading = "Options of every command")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order in which a newcomer meets them. The `Args` of a command describe it.
macro_rules! commands {
    ($($(#[$attribute:meta])? $name:ident($room:ident::$args:ident),)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($(#[$attribute])? $name($room::$args),)*
        }

        impl Command {
            fn run(&self, context: &Context) -> Ended {
                match self { $(Command::$name(args) => $room::run(args, context),)* }
            }
        }
    };
}

commands! {
    Demo(demo::Args),
    Init(init::Args),
    #[command(subcommand)]
    Suite(suite::Command),
    Ingest(ingest::Args),
    #[command(subcommand)]
    Pull(pull::Command),
    Drain(drain::Args),
    Run(run::Args),
    Serve(serve::Args),
    #[command(subcommand)]
    Backfill(backfill::Command),
    Report(report::Args),
    Reconcile(reconcile::Args),
    Explain(explain::Args),
    Trace(trace::Args),
    #[command(subcommand)]
    Export(export::Command),
    Status(status::Args),
    Doctor(doctor::Args),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Pending(pending::Command),
    #[command(subcommand)]
    Inputs(inputs::Command),
    #[command(subcommand)]
    Rejects(rejects::Command),
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    #[command(subcommand)]
    Held(held::Command),
    Forget(forget::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Retention(retention::Args),
    Schema(schema::Args),
    Sandbox(sandbox::Args),
}

pub(super) fn command() -> clap::Command {
    Cli::command()
}

pub(super) fn run(args: Vec<OsString>) -> Exit {
    match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let (form, config) = (Form::of(cli.json), cli.config.clone());
            dispatch(cli).unwrap_or_else(|failure| {
                log::start_for_failure(settings::log_format(config.as_deref()));
                form.failure(&failure)
            })
        }
        Err(error) => {
            // The arguments cannot be parsed, but `--json` and `--config` among them still choose the formats.
            let words: Vec<&OsString> = args.iter().take_while(|word| *word != "--").collect();
            log::start_for_failure(settings::log_format(config_of(&words).as_deref()));
            Form::of(words.iter().any(|word| *word == "--json")).usage(&error, &path_of(&words))
        }
    }
}

/// The `--config` in arguments that could not be parsed.
fn config_of(words: &[&OsString]) -> Option<PathBuf> {
    let behind = words.iter().skip_while(|word| **word != "--config").nth(1).map(PathBuf::from);
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    behind.or_else(joined)
}

/// The command in arguments that could not be parsed, with its subcommands.
fn path_of(words: &[&OsString]) -> String {
    let (mut command, mut path) = (Cli::command(), "passbridge".to_owned());
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(found) = command.find_subcommand(word).cloned() {
            path.push_str(&format!(" {word}"));
            command = found;
        }
    }
    path
}

/// The name of the command that was given.
fn named() -> String {
    env::args().find(|word| Cli::command().find_subcommand(word).is_some()).unwrap_or_default()
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    hint::note_config(cli.config.as_deref());
    name_command(&named());
    let context = Context { config: cli.config, form: Form::of(cli.json), clock: Clock::system() };
    if !matches!(cli.command, Command::Doctor(_)) {
        context.clock.check()?;
    }
    bus_error::watch(context.form)?;
    cli.command.run(&context)
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
