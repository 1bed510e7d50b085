//! `rejects`: the files of rejected lines, and which of them are done.

use std::fmt;

use serde::Serialize;

use super::desk::Desk;
use super::{Context, Ended, Table, refused};
use crate::event::Instant;
use crate::ingest::{RejectsFile, rejects_files};

/// Lists the files of rejected lines, or shows one of them.
///
/// A file is done if it was corrected and ingested with no line rejected. Files are deleted after ingest.rejects_days.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the files, the latest first.
    List,
    /// Shows one file: how many lines it has for each reason, and the first of these lines.
    Show {
        /// The name of the file, as `list` shows it.
        file: String,
    },
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    file: RejectsFile,
    /// When the file was last ingested with nothing rejected; `None` if lines of it must still be mended.
    done_at: Option<Instant>,
}

#[derive(Serialize)]
struct Report {
    rejects: Vec<Listed>,
    #[serde(skip)]
    is_one: bool,
}

pub(super) fn run(command: &Command, context: &Context) -> Ended {
    let settings = context.settings()?;
    let desk = Desk::of(&settings, context)?;
    let mut rejects = Vec::new();
    for file in rejects_files(&settings.config.ingest.rejects_dir)? {
        if matches!(command, Command::Show { file: wanted } if *wanted != file.name) {
            continue;
        }
        let last = desk.inputs(None, Some(&file.name), 1)?.into_iter().next();
        let is_done = last.as_ref().is_some_and(|last| (last.rejected, last.conflicts) == (Some(0), Some(0)));
        let done_at = last.filter(|_| is_done).and_then(|last| last.ended_at);
        rejects.push(Listed { file, done_at });
    }
    match command {
        Command::Show { file } if rejects.is_empty() => {
            let what = format!("there is no file of rejects {file:?}");
            Err(refused(what, "see which there are: passbridge rejects list"))
        }
        _ => context.done(&Report { rejects, is_one: matches!(command, Command::Show { .. }) }),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rejects.is_empty() {
            return writeln!(out, "no file of rejects");
        }
        let mut table = Table::new(&["file", "written_at", "lines", "done_at"]);
        for Listed { file: RejectsFile { name, written_at, lines, .. }, done_at } in &self.rejects {
            let done_at = done_at.map_or("-".to_owned(), Instant::to_the_second);
            table.row(&[name, &written_at.to_the_second(), lines, &done_at]);
        }
        table.fmt(out)?;
        let mut reasons = Table::new(&["lines", "first", "reason"]);
        for one in self.rejects.iter().filter(|_| self.is_one) {
            for (reason, (lines, first)) in &one.file.reasons {
                reasons.row(&[lines, first, reason]);
            }
        }
        reasons.write_below(out)
    }
}
