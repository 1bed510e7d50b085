//! `backup`: a copy of the live buffer.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::value_parser;
use serde_json::json;

use super::words::written;
use super::{Context, Exit, Failure, blocking, may_replace, until_stopped};
use crate::buffer::{Buffer, BufferError};
use crate::event::Instant;
use crate::whole_file::entries;

/// How the copies in a folder are named; other files there are left alone.
const PREFIX: &str = "passbridge-";
const ENDING: &str = ".db";

/// Copies the live buffer to a new file.
///
/// The copy is consistent, and drains and ingests continue meanwhile. Events that the original delivers later still look
/// pending in the copy. So the first drain of a restored copy asks for --accept-repeat if a suite has no event IDs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE", value_parser = written(), required_unless_present = "into")]
    file: Option<PathBuf>,
    /// Write into this folder, to a file named after the time. Only the newest --keep files with such names are kept.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    into: Option<PathBuf>,
    /// How many such files to keep in DIR, including the new one.
    #[arg(long, value_name = "N", requires = "into", default_value_t = 7, value_parser = value_parser!(u32).range(1..))]
    keep: u32,
    /// Move the buffer into FILE, to take it to another host or disk. The original is closed: no other command uses it any more.
    ///
    /// FILE is then the buffer itself and not a copy, so nothing is sent twice and --accept-repeat is not needed. No drain and no backfill may run (status 75);
    /// stop what inserts into the inbox. Put FILE where buffer.path of the new host says. Do not `restore` it, because `restore` makes a copy.
    #[arg(long = "move", conflicts_with = "into")]
    moves: bool,
}

const EXAMPLES: &str = "Examples:
  passbridge backup /var/backups/passbridge-$(date +%F).db
  passbridge backup --into /var/backups/passbridge --keep 14";

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let path = match (&args.into, &args.file) {
        (Some(folder), _) => folder.join(name_at(context.clock.now())),
        (None, file) => file.clone().expect("clap asks for a file where no folder is given"),
    };
    let settings = context.settings()?;
    let buffer = Buffer::open_moved(&context.buffer_options(&settings)?)?;
    may_replace(&settings, &path)?;
    let lock = args.moves.then(|| buffer.lock_whole()).transpose()?;
    let file = path.clone();
    let copied = until_stopped(async |stop| {
        let goes_on = move || stop.requested().is_none();
        let copy = move || match lock {
            Some(lock) => buffer.move_to(&file, &goes_on, &lock),
            None => buffer.backup(&file, &goes_on),
        };
        Ok(blocking(copy).await)
    })?;
    let refuse = Failure::writing_new(&path);
    copied.map_err(|error| match error {
        BufferError::Exists(path) => Failure::writing_new(&path)(io::ErrorKind::AlreadyExists.into()),
        BufferError::File { path: failed, source } if failed == path => refuse(source),
        error => error.into(),
    })?;
    let bytes = fs::metadata(&path).map_err(Failure::reading(&path))?.len();
    // Older copies are removed only now, after the new copy was checked.
    let removed = match &args.into {
        Some(folder) => rotate(folder, &path, args.keep as usize)?,
        None => Vec::new(),
    };
    let report = json!({ "path": path, "bytes": bytes, "moved": args.moves, "removed": removed });
    let moved = if args.moves { "; the original is closed" } else { "" };
    context.answer(&report, format_args!("{} ({bytes} bytes){moved}", path.display()))
}

/// A name such as `passbridge-20261130T013000Z.db`: names sort in the order of time.
fn name_at(now: Instant) -> String {
    let digits: String = now.to_the_second().replace(['-', ':'], "");
    format!("{PREFIX}{digits}{ENDING}")
}

/// Removes all copies in a folder but the newest `keep`, and never the new copy, whatever the clock says.
fn rotate(folder: &Path, new: &Path, keep: usize) -> Result<Vec<PathBuf>, Failure> {
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(ENDING));
        let shape = digits.map(|digits| digits.replace(|sign: char| sign.is_ascii_digit(), "0"));
        path != new && shape.as_deref() == Some("00000000T000000Z")
    };
    let mut copies = entries(folder).map_err(Failure::reading(folder))?;
    copies.retain(is_copy);
    copies.sort();
    copies.truncate((copies.len() + 1).saturating_sub(keep));
    for old in &copies {
        fs::remove_file(old).map_err(Failure::writing(old))?;
    }
    Ok(copies)
}
