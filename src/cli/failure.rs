//! The failure of a command: what happened, its causes, what to do, and the exit status.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Serialize, Serializer};

use super::advice::{Judge, Judgement, judge_backfill, of_system};
use super::code::Code;
use super::exit::Exit;
use super::hint;
use super::safe::without_secrets;
use crate::backfill::BackfillError;
use crate::ingest::InputFailure;
use crate::job::JobName;

pub(super) type Ended = Result<Exit, Failure>;

const GET_AGAIN: &str = "mend the input, or get it again from its source; nothing of it was stored";

/// The failure of a command, printed as text or as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    /// What happened and where; without its causes.
    #[serde(rename = "error")]
    pub(super) what: String,
    #[serde(rename = "cause", serialize_with = "joined")]
    pub(super) causes: Vec<String>,
    /// What to do about it; the commands in it can be typed as they are.
    #[serde(rename = "try")]
    pub(super) advice: String,
    pub(super) code: Code,
    #[serde(skip)]
    pub(super) exit: Exit,
}

impl<E: Error + Judge> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::of(&error.to_string(), error.source(), error.judge())
    }
}

/// Refuses a command that cannot be carried out as it was given, such as one whose options contradict each other.
pub(super) fn refused(what: impl AsRef<str>, advice: impl Into<String>) -> Failure {
    Failure::of(what.as_ref(), None, Code::Refused.usage(advice.into()))
}

impl Failure {
    pub(super) fn of(what: &str, source: Option<&(dyn Error + 'static)>, judgement: Judgement) -> Failure {
        let Judgement { code, exit, advice } = judgement;
        let causes = causes(what, source).iter().map(|cause| without_secrets(cause)).collect();
        let advice = hint::complete(&advice).into_owned();
        Failure { what: without_secrets(what), causes, advice, code, exit }
    }

    pub(super) fn reading(path: &Path) -> impl Fn(io::Error) -> Failure {
        move |source| Failure::of_file("read", &format!("{path:?}"), &source)
    }

    pub(super) fn writing(path: &Path) -> impl Fn(io::Error) -> Failure {
        move |source| Failure::of_file("write", &format!("{path:?}"), &source)
    }

    pub(super) fn of_file(verb: &str, name: &str, source: &io::Error) -> Failure {
        let advice = of_system(source, "check that the path exists and this user may use it");
        Failure::of(&format!("cannot {verb} {name}"), Some(source), Code::File.failed(advice))
    }

    pub(super) fn stopped() -> Failure {
        let advice = "run it again: what is stored stays once";
        Failure::of("stopped by a signal before it was complete", None, Code::Stopped.failed(advice))
    }

    /// The failure to write a file that must be new.
    pub(super) fn writing_new(path: &Path) -> impl Fn(io::Error) -> Failure {
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists => refused(
                format!("{path:?} exists, and nothing is overwritten"),
                "name another file, or remove it first",
            ),
            _ => Failure::writing(path)(source),
        }
    }

    pub(super) fn starting(source: io::Error) -> Failure {
        let advice = of_system(&source, "check the limits of this host on threads and open files");
        Failure::of("cannot start", Some(&source), Code::Host.failed(advice))
    }

    pub(super) fn printing(source: io::Error) -> Failure {
        let advice = "check where standard output goes; the work itself was done";
        Failure::of("cannot write to standard output", Some(&source), Code::Output.failed(advice))
    }

    pub(super) fn of_input(failure: &InputFailure) -> Failure {
        let InputFailure { path, error, has_stored } = failure;
        let failure = Failure::of(&format!("{path}: {error}"), error.source(), error.judge());
        if *has_stored { failure } else { failure.of_nothing_stored() }
    }

    /// Like `of_input`, for an input of which nothing is stored.
    pub(super) fn of_unstored(failure: &InputFailure) -> Failure {
        Failure::of_input(failure).of_nothing_stored()
    }

    fn of_nothing_stored(self) -> Failure {
        match self.code {
            Code::InputUnreadable => Failure { advice: GET_AGAIN.to_owned(), ..self },
            _ => self,
        }
    }

    pub(super) fn of_backfill(name: &JobName) -> impl Fn(BackfillError) -> Failure {
        move |error| Failure::of(&error.to_string(), error.source(), judge_backfill(name, &error))
    }

    pub(super) fn on_one_line(&self) -> String {
        let mut line = self.what.clone();
        self.causes.iter().for_each(|cause| line.push_str(&format!(": {cause}")));
        line
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.what)?;
        self.causes.iter().try_for_each(|cause| write!(out, "\n  cause: {cause}"))?;
        if self.advice.is_empty() { Ok(()) } else { write!(out, "\n  try: {}", self.advice) }
    }
}

fn joined<S: Serializer>(causes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&causes.join(": "))
}

/// The causes of an error, without those whose text the previous message contains.
fn causes(what: &str, mut source: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let (mut causes, mut said) = (Vec::new(), what.to_owned());
    while let Some(cause) = source {
        let text = cause.to_string();
        if !said.contains(&text) {
            causes.push(text.clone());
        }
        said = text;
        source = cause.source();
    }
    causes
}
