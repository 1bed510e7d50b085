//! `backup`: a copy of the live buffer.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::words::written;
use super::{Context, Exit, Failure, blocking, until_stopped};
use crate::buffer::{Buffer, BufferError};

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
    /// Move the buffer there, to another host or disk: the original is closed, and what goes on there is no copy.
    ///
    /// Nothing is sent twice then, and nothing has to be accepted. No drain and no backfill may run (status 75); stop what inserts
    /// into the inbox. Put the file where buffer.path of the new host says; do not `restore` it, which makes a copy of it.
    #[arg(long = "move")]
    moves: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let buffer = Buffer::open_moved(&context.buffer_options(&context.settings()?))?;
    let lock = args.moves.then(|| buffer.lock_whole()).transpose()?;
    let file = args.file.clone();
    let copied = until_stopped(async |stop| {
        let goes_on = move || stop.requested().is_none();
        let copy = move || match lock {
            Some(lock) => buffer.move_to(&file, &goes_on, &lock),
            None => buffer.backup(&file, &goes_on),
        };
        Ok(blocking(copy).await)
    })?;
    let refuse = Failure::writing_new(&args.file);
    copied.map_err(|error| match error {
        BufferError::Exists(path) => Failure::writing_new(&path)(io::ErrorKind::AlreadyExists.into()),
        BufferError::File { path, source } if path == args.file => refuse(source),
        error => error.into(),
    })?;
    let bytes = std::fs::metadata(&args.file).map_err(Failure::reading(&args.file))?.len();
    let report = json!({ "path": args.file, "bytes": bytes, "moved": args.moves });
    let moved = if args.moves { "; the original is closed" } else { "" };
    context.answer(&report, format_args!("{} ({bytes} bytes){moved}", args.file.display()))
}
