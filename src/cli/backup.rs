//! `backup`: a copy of the live buffer.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::words::written;
use super::{Context, Exit, Failure, blocking, until_stopped};
use crate::buffer::BufferError;

/// Copies the live buffer to a new file.
///
/// The copy is consistent, and drains and ingests go on meanwhile. Events that the original delivers later
/// still look pending in the copy, so the first drain of a restored copy asks for --accept-repeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge backup /var/backups/passbridge-$(date +%F).db")]
pub(super) struct Args {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE", value_parser = written())]
    file: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let ((_, buffer), file) = (context.open()?, args.file.clone());
    let copied = until_stopped(async |stop| {
        Ok(blocking(move || buffer.backup(&file, &|| stop.requested().is_none())).await)
    })?;
    let refuse = Failure::writing_new(&args.file);
    copied.map_err(|error| match error {
        BufferError::Exists(path) => Failure::writing_new(&path)(io::ErrorKind::AlreadyExists.into()),
        BufferError::File { path, source } if path == args.file => refuse(source),
        error => error.into(),
    })?;
    let bytes = std::fs::metadata(&args.file).map_err(Failure::reading(&args.file))?.len();
    let report = json!({ "path": args.file, "bytes": bytes });
    context.answer(&report, format_args!("{} ({bytes} bytes)", args.file.display()))
}
