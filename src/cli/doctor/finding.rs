//! A finding of `doctor`: what was looked at, whether it is well, and what to do if it is not.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::cli::{Exit, Failure, Table, hint};
use crate::word::words;

words! {
    pub(super) enum Level {
        Ok = "ok",
        Warning = "warning",
        Failed = "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was examined. These words are stable.
    pub(super) check: &'static str,
    /// The file, the key, the suite or the host; `None` for the whole host.
    pub(super) of: Option<String>,
    pub(super) level: Level,
    pub(super) says: String,
    /// What to do; empty if nothing has to be done.
    #[serde(rename = "try")]
    pub(super) advice: String,
    /// Whether a command would refuse to begin because of this finding, with status 2.
    #[serde(skip)]
    pub(super) is_usage: bool,
}

impl Finding {
    pub(super) fn of(check: &'static str, of: Option<String>) -> Finding {
        Finding { check, of, level: Level::Ok, says: String::new(), advice: String::new(), is_usage: false }
    }

    pub(super) fn ok(self, says: impl Into<String>) -> Finding {
        Finding { says: says.into(), ..self }
    }

    pub(super) fn warning(self, says: impl Into<String>, advice: &str) -> Finding {
        self.at(Level::Warning, says.into(), advice)
    }

    pub(super) fn bad(self, says: impl Into<String>, advice: &str) -> Finding {
        self.at(Level::Failed, says.into(), advice)
    }

    pub(super) fn failed(self, failure: &Failure) -> Finding {
        let is_usage = failure.exit == Exit::Usage;
        Finding { is_usage, ..self.bad(failure.on_one_line(), &failure.advice) }
    }

    fn at(self, level: Level, says: String, advice: &str) -> Finding {
        Finding { level, says, advice: hint::complete(advice).into_owned(), ..self }
    }

    pub(super) fn soften(&mut self) {
        if self.level == Level::Failed {
            self.level = Level::Warning;
        }
    }
}

/// Writes the table of all findings, and what to do about each that is not well.
pub(super) fn write(findings: &[Finding], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut table = Table::new(&["level", "check", "of", "says"]);
    for Finding { level, check, of, says, .. } in findings {
        table.row(&[level, check, &of.as_deref().unwrap_or("-"), says]);
    }
    table.fmt(out)?;
    for Finding { check, of, advice, level, .. } in findings.iter().filter(|one| !one.advice.is_empty()) {
        let of = of.as_ref().map_or_else(String::new, |of| format!(" of {of}"));
        write!(out, "\n{level}: {check}{of}\n  try: {advice}\n")?;
    }
    Ok(())
}
