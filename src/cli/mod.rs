//! The command line: reads arguments; prints text or one JSON document, and returns an exit status.
//!
//! - In: arguments, the environment, the configuration file. Out: a report on standard output; notes, errors
//!   and logs on standard error; an [`Exit`].
//! - Guarantees: with `--json`, standard output has one document and nothing else; every error says what to do.
//! - Does not know: SQL, HTTP, XML. A command parses arguments, calls other modules, and prints.
//! - Rules: each command has one file or folder with its arguments, its `run` and its report; `commands` lists all
//!   commands. Commands import shared items from this module.

mod advice;
mod ages;
mod alerts;
mod backfill;
mod backup;
mod bus_error;
mod code;
mod commands;
mod config;
mod context;
mod dead_and_held;
mod dead_letter;
mod demo;
mod desk;
mod doctor;
mod drain;
mod exit;
mod explain;
mod export;
mod failure;
mod forget;
mod held;
mod hint;
mod ingest;
mod init;
mod input;
mod inputs;
mod keeping;
mod layers;
mod log;
mod notify;
mod on_file;
mod options;
mod output;
mod pass;
mod pending;
mod person;
mod progress;
mod pull;
mod reconcile;
mod rejects;
mod report;
mod restore;
mod retention;
mod run;
mod safe;
mod sandbox;
mod schema;
mod serve;
mod settings;
mod shared;
mod signals;
mod spool;
mod status;
mod suite;
mod table;
mod trace;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

pub use exit::Exit;

pub(in crate::cli) use context::{
    Context, blocking, may_replace, runtime, undisturbed, unless_stopped, until_stopped,
};
pub(in crate::cli) use failure::{Ended, Failure, refused};
pub(in crate::cli) use output::Form;
pub(in crate::cli) use settings::Settings;
pub(in crate::cli) use table::Table;

/// Runs the program with these arguments.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    commands::run(args.collect()).into()
}

/// The commands with all their options, from which pages of the manual and completions are made.
#[doc(hidden)]
pub fn command() -> clap::Command {
    commands::command()
}
