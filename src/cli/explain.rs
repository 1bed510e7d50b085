//! `explain`: the hit that an event becomes.

use std::fmt;
use std::fs;
use std::io::{self, Read};
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
use crate::readers::{Format, LINE_BYTES_MAX, ReaderOptions};
use crate::suite::HitForm;

/// The longest text that is read, in bytes: an event of the longest line, written over several with white space. It is in memory
/// as a whole, some times over.
const TEXT_BYTES_MAX: usize = 2 * LINE_BYTES_MAX;
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
    let read = if is_standard_input {
        read_start(io::stdin().lock())
    } else {
        fs::File::open(path).and_then(read_start)
    };
    let path = if is_standard_input { Path::new("standard input") } else { path };
    let text = read.map_err(|source| CliError::File { verb: "read", path: path.to_owned(), source })?;
    let name = if is_standard_input { "standard input".to_owned() } else { format!("{path:?}") };
    let refuse = |why: String| CliError::Refused {
        what: format!("{name} holds no event: {why}"),
        advice:
            "schemas/pass-event.schema.json says what an event is; passbridge ingest --dry-run checks many"
                .to_owned(),
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(CliError::Refused {
            what: format!("{name} is longer than {TEXT_BYTES_MAX} bytes; explain reads one event"),
            advice: "give it the event alone, as head -1 FILE | passbridge explain does".to_owned(),
        });
    }
    let text = String::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
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

/// As much as is read of any source, and a byte more where it is longer.
fn read_start(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
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
