//! `restore`: a copy in the place of the buffer.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::exit::Exit;
use super::failure::CliError;
use super::{Context, backup, hint};
use crate::buffer::{Buffer, Restored};

/// Puts a copy, made with `backup` or by an upgrade, in the place of the buffer.
///
/// Nothing may use the buffer meanwhile: stop `run` first. The copy is read whole and checked before anything is changed. The
/// buffer that was there is kept beside it, with its write-ahead log, as FILE.replaced-TIME. What was delivered after the copy was made
/// looks pending in it: where a suite sends no event IDs, the next drain asks for --accept-repeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge restore /var/backups/passbridge-2026-11-20.db")]
pub(super) struct Args {
    /// The copy; it stays as it is.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What was restored, as people read it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct RestoreReport(Restored);

impl fmt::Display for RestoreReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Restored { path, from, schema, copied_at, kept } = &self.0;
        writeln!(
            out,
            "{} is the copy of {copied_at} in {} (schema {schema})",
            path.display(),
            from.display()
        )?;
        if let Some(kept) = kept {
            writeln!(
                out,
                "what was there before is kept as {}: remove it once it is not needed",
                kept.display()
            )?;
        }
        writeln!(
            out,
            "\nevents delivered after {copied_at} look pending in it, and those stored after it are to be ingested again"
        )?;
        writeln!(out, "next: {}", hint::complete("passbridge status --verify; then: passbridge drain"))
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let options = context.buffer_options(&context.settings()?);
    let file = args.file.clone();
    let restored = backup::until_stopped(move |goes_on| Buffer::restore(&options, &file, goes_on))?;
    context.form.report(&RestoreReport(restored))?;
    Ok(Exit::Done)
}
