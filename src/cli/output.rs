//! The only place that prints: reports to standard output, everything else to standard error.
//!
//! A reader that leaves early (`passbridge status | head -1`) ends nothing: what it did not read is dropped quietly.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

use super::exit::Exit;
use super::failure::{CliError, Failure};

/// How reports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

impl Form {
    /// The form that `--json` asks for.
    pub(super) fn of(json: bool) -> Form {
        if json { Form::Json } else { Form::Text }
    }

    /// Prints a command's report.
    pub(super) fn report(self, report: &(impl Display + Serialize)) -> Result<(), CliError> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = match self {
            Form::Text => write!(out, "{report}"),
            Form::Json => {
                serde_json::to_writer(&mut out, report).map_err(io::Error::from).and_then(|()| writeln!(out))
            }
        };
        quiet(written.and_then(|()| out.flush()))
    }
}

/// Prints text that is a command's whole output as it is, such as a file that was asked for on standard output.
pub(super) fn text(text: &str) -> Result<(), CliError> {
    bytes(text.as_bytes())
}

/// Prints a file that was asked for on standard output.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    quiet(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints what has no text of its own as one JSON document.
pub(super) fn document(document: &impl Serialize) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer(&mut out, document).map_err(io::Error::from);
    quiet(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()))
}

/// Whether a person would see what is printed, instead of a file or a program.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints lines that are a command's whole output, as they come.
pub(super) struct Lines {
    out: io::BufWriter<io::StdoutLock<'static>>,
    broken: Option<io::Error>,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { out: io::BufWriter::new(io::stdout().lock()), broken: None }
    }

    /// Prints a line, or breaks where nobody can read it any more.
    pub(super) fn json(&mut self, line: &impl Serialize) -> ControlFlow<()> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
        match written.and_then(|()| writeln!(self.out)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.broken = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<(), CliError> {
        quiet(match self.broken.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        })
    }
}

/// Writes a file whole or not at all, in place of an earlier one of that name.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A device or a pipe is written to, not replaced.
    if fs::metadata(&path).is_ok_and(|known| !known.is_file()) {
        return fs::write(&path, bytes);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    });
    if written.is_err() {
        // What matters is why it could not be written.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Tells a person something beside the report.
pub(super) fn note(text: impl Display) {
    let mut out = io::stderr().lock();
    // Where standard error is gone there is nobody left to tell.
    writeln!(out, "{text}").unwrap_or_default();
}

/// Prints why a command failed, and gives its exit status.
pub(super) fn failure(failure: &Failure) -> Exit {
    note(failure);
    failure.exit
}

/// Prints what clap has to say: help and version are done, everything else is usage.
pub(super) fn usage(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Done,
        (false, Err(source)) if source.kind() == ErrorKind::BrokenPipe => Exit::Done,
        (false, Err(_)) => Exit::Failed,
    }
}

fn quiet(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(CliError::Output(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}
