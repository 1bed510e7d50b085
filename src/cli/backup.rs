//! `backup`: a copy of the live buffer.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, Exit, Failure, blocking, refused, until_stopped};

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

#[derive(Serialize)]
struct BackupReport<'a> {
    path: &'a Path,
    bytes: u64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if args.file.exists() {
        return Err(refused(
            format!("{:?} exists, and a backup overwrites nothing", args.file),
            "name another file",
        ));
    }
    let ((_, buffer), file) = (context.open()?, args.file.clone());
    until_stopped(async |stop| {
        Ok(blocking(move || buffer.backup(&file, &|| stop.requested().is_none())).await?)
    })?;
    let bytes = std::fs::metadata(&args.file).map_err(Failure::reading(&args.file))?.len();
    context.answer(
        &BackupReport { path: &args.file, bytes },
        format_args!("{} ({bytes} bytes)", args.file.display()),
    )
}
