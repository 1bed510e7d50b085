//! `backup`: a copy of the live buffer.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::exit::Exit;
use super::failure::CliError;
use super::signals::{self, Hangup};
use super::{Context, pass, runtime};
use crate::buffer::BufferError;
use crate::drain::Stop;

/// Copies the live buffer to a new file.
///
/// The copy is consistent, and drains and ingests go on meanwhile. It knows that it is one: what the original delivers
/// afterwards still looks pending in it, so the first drain of a restored copy asks for --accept-repeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge backup /var/backups/passbridge-$(date +%F).db")]
pub(super) struct Args {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct BackupReport {
    path: PathBuf,
    bytes: u64,
}

impl fmt::Display for BackupReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} ({} bytes)", self.path.display(), self.bytes)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    if args.file.exists() {
        return Err(CliError::Refused {
            what: format!("{:?} exists, and a backup overwrites nothing", args.file),
            advice: "name another file".to_owned(),
        });
    }
    let (buffer, file) = (context.buffer()?, args.file.clone());
    until_stopped(move |goes_on| buffer.backup(&file, goes_on))?;
    let read = std::fs::metadata(&args.file);
    let bytes =
        read.map_err(|source| CliError::File { verb: "read", path: args.file.clone(), source })?.len();
    context.form.report(&BackupReport { path: args.file.clone(), bytes })?;
    Ok(Exit::Done)
}

/// Does long work on files that a signal ends early, so that it takes away what is half made.
pub(super) fn until_stopped<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, BufferError> + Send + 'static,
) -> Result<T, CliError> {
    runtime()?.block_on(async {
        let stop = Stop::default();
        signals::listen(stop.clone(), Hangup::Stops)?;
        Ok(pass::blocking(move || work(&|| stop.requested().is_none())).await?)
    })
}
