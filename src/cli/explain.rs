//! `explain`: the hit that an event becomes.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::IgnoredAny;

use super::Context;
use super::exit::Exit;
use super::failure::CliError;
use super::output;
use super::settings::SettingsError;
use crate::buffer::BufferError;
use crate::event::{Instant, PassEvent, RequestorId, TimeBounds};
use crate::explain::{Explanation, explain};
use crate::readers::{Format, ReaderOptions};
use crate::suite::HitForm;

/// The report suite that is shown where none is mapped.
const UNMAPPED_RSID: &str = "unmapped";

/// Shows the hit that an event becomes, tag by tag, and why.
///
/// It is mapped with the settings of its requestor's report suite where the buffer has one, else with the defaults. Nothing
/// is stored or sent, and no configuration is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  passbridge explain event.json
  head -1 events.ndjson | passbridge explain --json | jq .tags")]
pub(super) struct Args {
    /// A file with one canonical event as JSON, on one line or several; `-` is standard input.
    #[arg(value_name = "EVENT", default_value = "-")]
    event: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Explanation);

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let event = read_event(&args.event, context.clock.now())?;
    let explained = |form: &HitForm| explain(&event, event.identity().0, form);
    let explanation = match mapped_form(event.requestor_id(), context)? {
        Some(form) => explained(&form),
        None => {
            output::note(format_args!(
                "note: {} is mapped to no report suite here; shown with the default settings",
                event.requestor_id()
            ));
            explained(&HitForm::with_defaults(UNMAPPED_RSID.parse()?)).without_suite()
        }
    };
    context.form.report(&Report(explanation))?;
    Ok(Exit::Done)
}

/// The form of the requestor's suite; without a configuration or a buffer there is none.
fn mapped_form(requestor_id: &RequestorId, context: &Context) -> Result<Option<HitForm>, CliError> {
    let buffer = match context.buffer() {
        Ok(buffer) => buffer,
        Err(CliError::Settings(SettingsError::NotFound(_)) | CliError::Buffer(BufferError::Missing(_))) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(buffer.suite_of(requestor_id)?.map(|suite| suite.form))
}

fn read_event(path: &Path, now: Instant) -> Result<PassEvent, CliError> {
    let is_standard_input = path == Path::new("-");
    let read = if is_standard_input { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let path = if is_standard_input { Path::new("standard input") } else { path };
    let text = read.map_err(|source| CliError::File { verb: "read", path: path.to_owned(), source })?;
    let name = if is_standard_input { "standard input".to_owned() } else { format!("{path:?}") };
    let refuse = |why: String| CliError::Refused {
        what: format!("{name} holds no event: {why}"),
        advice:
            "schemas/pass-event.schema.json says what an event is; passbridge ingest --dry-run checks many"
                .to_owned(),
    };
    let line = on_one_line(&text);
    // A person asks what would become of it; the clock's bounds are the business of ingest.
    let bounds = TimeBounds { latest: Instant::from_nanos(i64::MAX), now };
    let mut reader = Format::Ndjson
        .open(line.as_bytes(), &ReaderOptions::unused())
        .map_err(|error| refuse(error.to_string()))?;
    match reader.next_line(bounds) {
        Ok(Some(line)) => {
            note_others(line.number, &text);
            line.result.map_err(|reason| refuse(reason.to_string()))
        }
        Ok(None) => Err(refuse("it is empty".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// Says which line is shown, where there are several and they are no single object.
fn note_others(number: u64, text: &str) {
    let lines = text.lines().count();
    if lines > 1 && serde_json::from_str::<IgnoredAny>(text).is_err() {
        output::note(format_args!("note: shown: line {number} of {lines}"));
    }
}

/// The text as a line: an object may be spread over several. Line breaks inside JSON only stand between its tokens.
fn on_one_line(text: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => text.replace(['\n', '\r'], " "),
        Err(_) => text.to_owned(),
    }
}
