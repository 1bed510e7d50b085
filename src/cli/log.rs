//! Log lines on standard error, as text or as one JSON object a line.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::safe::without_passwords;
use crate::config::{LogConfig, LogFormat};
use crate::harmless::on_one_line;

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging for the life of the process. A second call changes nothing.
pub(super) fn start(config: &LogConfig) {
    // The configured level applies to our own logs; libraries log only warnings and errors.
    let own: LevelFilter = config.level.as_str().parse().expect("the words of the levels are theirs");
    let filter = Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("passbridge", own);
    let lines = fmt::layer().with_writer(Lines).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(is_coloured())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    match started {
        Ok(()) => IS_JSON.store(config.format == LogFormat::Json, Ordering::Relaxed),
        Err(_) => tracing::debug!("logging was started before"),
    }
}

/// Starts logging for a command that failed early, so that the failure is logged as JSON if that is the log format.
pub(super) fn start_for_failure(format: LogFormat) {
    if !tracing::dispatcher::has_been_set() {
        start(&LogConfig { format, ..LogConfig::default() });
    }
}

pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Writes text to standard error; for the systemd journal, each line starts with its priority (sd-daemon(3)).
pub(super) fn write(level: Level, text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    if !is_journal() {
        return writeln!(out, "{text}");
    }
    let priority = match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    };
    text.lines().try_for_each(|line| writeln!(out, "{priority}{line}"))
}

/// Tells if standard error goes to the journal: systemd gives the device and inode of its stream (systemd.exec(5)).
fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        rustix::fs::fstat(io::stderr())
            .is_ok_and(|stream| named == format!("{}:{}", stream.st_dev, stream.st_ino))
    })
}

struct Lines;

struct Line(Level);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line(*metadata.level())
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        // The subscriber has escaped harmful characters, and has added colour sequences, which must be kept.
        let safe = match text.trim_end_matches('\n') {
            text if is_coloured() => text.split('\x1b').map(on_one_line).collect::<Vec<_>>().join("\x1b"),
            text => on_one_line(text).into_owned(),
        };
        write(self.0, &without_passwords(&safe))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
