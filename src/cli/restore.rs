//! `restore`: replaces the buffer by a copy.

use std::path::PathBuf;

use super::{Context, Exit, Failure, blocking, hint, until_stopped};
use crate::buffer::{Buffer, Restored};

/// Puts a copy, made with `backup` or by an upgrade, in the place of the buffer.
///
/// Nothing may use the buffer meanwhile: stop `run` first. The copy is read whole and checked before anything is changed. The buffer
/// that is replaced stays beside the new one, with its write-ahead log, as BUFFER.replaced-TIME. What was delivered after the copy
/// was made looks pending in it. If a suite sends no event IDs, the next drain therefore asks for --accept-repeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge restore /var/backups/passbridge-2026-11-20.db")]
pub(super) struct Args {
    /// The copy, which is not changed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let options = context.buffer_options(&context.settings()?)?;
    let file = args.file.clone();
    let restored = until_stopped(async |stop| {
        Ok(blocking(move || Buffer::restore(&options, &file, &|| stop.requested().is_none())).await?)
    })?;
    let Restored { path, from, schema, upgrade_copy, copied_at, log, kept } = &restored;
    let copied_at = copied_at.to_the_second();
    let upgrade = upgrade_copy.as_ref().map_or_else(String::new, |copy| {
        format!(
            "it is of an earlier release: to go back to the release that wrote it, start that one now; the next command of this \
             release upgrades it, and copies it as it is now to {} first\n",
            copy.display()
        )
    });
    let log = log.as_ref().map_or_else(String::new, |log| {
        format!("it was read with what its write-ahead log holds, {}: if that is of another file, restore again without it\n", log.display())
    });
    let kept = kept.as_ref().map_or_else(String::new, |kept| {
        format!("what was there before is kept as {}: remove it once it is not needed\n", kept.display())
    });
    let text = format!(
        "\
{} is the copy of {copied_at} in {} (schema {schema})
{upgrade}{log}{kept}
events delivered after {copied_at} look pending in it, and those stored after it are to be ingested again
next: {}",
        path.display(),
        from.display(),
        hint::complete("passbridge status --verify; then: passbridge drain")
    );
    context.answer(&restored, text)
}
