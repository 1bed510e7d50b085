//! The command line: arguments in; text or one JSON document and an exit status out.
//!
//! - In: arguments, the environment, the configuration file. Out: a report on standard output, notes, errors and logs on
//!   standard error, an [`Exit`].
//! - Guarantees: with `--json` nothing but one document reaches standard output; every error says what to do about it.
//! - Does not know: SQL, HTTP, XML. A command parses, calls the rooms, prints.
//! - Rules: sections 7 and 8 of the design. One file per command, with its arguments, its `run` and its report; `commands` has
//!   the tree of all, and what they share is imported from here.

mod advice;
mod ages;
mod backfill;
mod backup;
mod bus_error;
mod code;
mod commands;
mod context;
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
mod input;
mod layers;
mod log;
mod options;
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
mod undecided;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

pub use exit::Exit;

pub(in crate::cli) use context::{Context, blocking, runtime, unless_stopped, until_stopped};
pub(in crate::cli) use failure::{Failure, refused};
pub(in crate::cli) use output::Form;
pub(in crate::cli) use settings::Settings;
pub(in crate::cli) use table::Table;

/// Runs the program with these arguments.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    commands::run(args.collect()).into()
}
