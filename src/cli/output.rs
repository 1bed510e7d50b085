//! Prints reports to standard output and everything else to standard error. No other file prints.
//!
//! If a reader closes the pipe early (`passbridge status | head -1`), the rest is dropped without an error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tracing::Level;

use super::code::Code;
use super::exit::Exit;
use super::failure::Failure;
use super::log;
use super::safe::{safe, without_secrets};
use crate::harmless::escaped;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
}

impl Form {
    pub(super) fn of(json: bool) -> Form {
        if json { Form::Json } else { Form::Text }
    }

    pub(super) fn report(self, report: &(impl Display + Serialize)) -> Result<(), Failure> {
        match self {
            Form::Text => quiet(print(safe(&report.to_string()).as_bytes())),
            Form::Json => document(report),
        }
    }

    /// Prints text for people (and adds the last line break), or a JSON document for programs.
    pub(super) fn answer(self, answer: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        match self {
            Form::Text => quiet(print(safe(&format!("{text}\n")).as_bytes())),
            Form::Json => document(answer),
        }
    }

    /// Prints why a command failed; with `--json` also as a document, unless a report was printed.
    pub(super) fn failure(self, failure: &Failure) -> Exit {
        self.tell(failure, failure)
    }

    fn tell(self, failure: &Failure, text: impl Display) -> Exit {
        if log::is_json() {
            let Failure { what, causes, advice, code, .. } = failure;
            tracing::error!(cause = causes.join(": "), "try" = advice, code = code.word(), "{what}");
        } else {
            line(Level::ERROR, text);
        }
        if self == Form::Json && !IS_REPORTED.load(Ordering::Relaxed) {
            // If standard output is closed, the message on standard error is enough.
            document(failure).unwrap_or_default();
        }
        failure.exit
    }

    /// Prints the text of clap about this command, such as `passbridge suite add`. Help and version are no failure; all
    /// other texts are usage errors.
    pub(super) fn usage(self, error: &clap::Error, command: &str) -> Exit {
        if !error.use_stderr() {
            return match error.print() {
                Err(source) if source.kind() != ErrorKind::BrokenPipe => Exit::Failed,
                Ok(()) | Err(_) => Exit::Done,
            };
        }
        let text = without_secrets(&error.render().to_string());
        // If the command of a group is missing, clap gives only the help of the group as its text.
        let is_help = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        let said = if is_help { "a command is missing: the usage has them" } else { &text };
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with("For more information");
        let mut lines = said.trim_start_matches("error: ").lines().map(str::trim).filter(is_said);
        let failure = Failure {
            what: lines.next().unwrap_or_default().to_owned(),
            causes: lines.map(str::to_owned).collect(),
            advice: format!("see the usage: {command} --help"),
            code: Code::Arguments,
            exit: Exit::Usage,
        };
        self.tell(&failure, text.trim_end())
    }
}

static IS_REPORTED: AtomicBool = AtomicBool::new(false);

/// Prints the content of a file to standard output; on a terminal, with harmful characters of UTF-8 escaped.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    quiet(print(&harmless(bytes)))
}

fn harmless(bytes: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(bytes) {
        Ok(text) if is_terminal() => Cow::Owned(escaped(text).as_bytes().to_vec()),
        Ok(_) | Err(_) => Cow::Borrowed(bytes),
    }
}

/// Prints text of another format, such as Markdown or metrics, with its harmful characters escaped.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    quiet(print(safe(text).as_bytes()))
}

/// Prints a JSON document, and notes that, so that a failure does not print a second document.
pub(super) fn document(document: &impl Serialize) -> Result<(), Failure> {
    IS_REPORTED.store(true, Ordering::Relaxed);
    quiet(json(document).and_then(|text| print(format!("{text}\n").as_bytes())))
}

/// JSON whose harmful characters are escaped, so that a terminal is safe and the values stay the same. Passwords in
/// URLs are hidden, because an input may be named by such a URL.
fn json(document: &impl Serialize) -> io::Result<String> {
    Ok(safe(&serde_json::to_string(document)?))
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Tells if the output goes to a terminal, where a person sees it, and not to a file or a program.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints the output of a command line by line.
pub(super) struct Lines {
    out: io::BufWriter<io::StdoutLock<'static>>,
    broken: Option<io::Error>,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { out: io::BufWriter::new(io::stdout().lock()), broken: None }
    }

    /// Prints a line. Breaks if that fails, for example because the reader has closed the pipe.
    pub(super) fn json(&mut self, line: &impl Serialize) -> ControlFlow<()> {
        let written = json(line).and_then(|line| writeln!(self.out, "{line}"));
        self.goes_on(written)
    }

    /// Prints bytes that are whole lines; on a terminal, with their harmful characters escaped.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let written = self.out.write_all(&harmless(bytes));
        self.goes_on(written)
    }

    fn goes_on(&mut self, written: io::Result<()>) -> ControlFlow<()> {
        self.broken = written.err();
        if self.broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        quiet(self.broken.take().map_or_else(|| self.out.flush(), Err))
    }
}

pub(super) fn note(text: impl Display) {
    tell(Level::INFO, "", text);
}

/// Prints a broken limit for a monitor, in one line.
pub(super) fn alarm(text: impl Display) {
    tell(Level::ERROR, "", text);
}

pub(super) fn warn(text: impl Display) {
    tell(Level::WARN, "warning: ", text);
}

fn tell(level: Level, prefix: &str, text: impl Display) {
    match level {
        _ if !log::is_json() => line(level, format_args!("{prefix}{text}")),
        Level::ERROR => tracing::error!("{text}"),
        Level::WARN => tracing::warn!("{text}"),
        _ => tracing::info!("{text}"),
    }
}

/// Writes text to standard error, with its harmful characters escaped.
pub(super) fn line(level: Level, text: impl Display) {
    // If standard error is closed, nobody can be told.
    log::write(level, &safe(&text.to_string())).unwrap_or_default();
}

fn quiet(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Failure::printing(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}
