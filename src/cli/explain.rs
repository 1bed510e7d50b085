//! `explain`: the hit that an event becomes.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::code::Code;
use super::{Context, Exit, Failure, output, refused};
use crate::event::{Instant, PassEvent, RequestorId, TimeBounds};
use crate::explain::explain;
use crate::readers::memory::Recollection;
use crate::readers::ndjson::NdjsonReader;
use crate::readers::{LINE_BYTES_MAX, Reader};
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

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
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
    context.done(&explanation)
}

/// The form of the requestor's suite; without a configuration or a buffer there is none.
fn mapped_form(requestor_id: &RequestorId, context: &Context) -> Result<Option<HitForm>, Failure> {
    let buffer = match context.open() {
        Ok((_, buffer)) => buffer,
        Err(failure) if matches!(failure.code, Code::ConfigMissing | Code::BufferMissing) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(buffer.suite_of(requestor_id)?.map(|suite| suite.form))
}

fn read_event(path: &Path, now: Instant) -> Result<PassEvent, Failure> {
    let mut text = Vec::new();
    let (name, read) = if path == Path::new("-") {
        ("standard input".to_owned(), read_start(io::stdin().lock(), &mut text))
    } else {
        (format!("{path:?}"), fs::File::open(path).and_then(|file| read_start(file, &mut text)))
    };
    let source = if path == Path::new("-") { Path::new("standard input") } else { path };
    read.map_err(Failure::reading(source))?;
    let refuse = |why: String| {
        refused(
            format!("{name} holds no event: {why}"),
            "schemas/pass-event.schema.json says what an event is; passbridge ingest --dry-run checks many",
        )
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(refused(
            format!("{name} is longer than {TEXT_BYTES_MAX} bytes; explain reads one event"),
            "give it the event alone, as head -1 FILE | passbridge explain does",
        ));
    }
    let text = String::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    let line = on_one_line(&text);
    // A person asks what would become of it; the clock's bounds are the business of ingest.
    let bounds = TimeBounds { latest: Instant::from_nanos(i64::MAX), now };
    let (mut reader, mut memory) = (NdjsonReader::new(line.as_bytes()), Recollection::new(None));
    let line = reader.next_line(bounds, &mut memory).map_err(|error| refuse(error.to_string()))?;
    let line = line.ok_or_else(|| refuse("it is empty".to_owned()))?;
    note_others(line.number, &text);
    line.result.map_err(|reason| refuse(reason.to_string()))
}

/// As much as is read of any source, and a byte more where it is longer.
fn read_start(source: impl Read, text: &mut Vec<u8>) -> io::Result<usize> {
    source.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(text)
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
