//! `explain`: shows the hit for an event.

use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::code::Code;
use super::desk::Desk;
use super::{Context, Exit, Failure, input, output, refused};
use crate::event::{EventId, Instant, PassEvent, TimeBounds};
use crate::explain::{Explanation, explain};
use crate::readers::memory::Recollection;
use crate::readers::ndjson::NdjsonReader;
use crate::readers::{LINE_BYTES_MAX, Reader};
use crate::suite::HitForm;

/// The longest text, in bytes: the longest line, and as much white space. Memory holds several copies of it.
const TEXT_BYTES_MAX: u64 = 2 * LINE_BYTES_MAX as u64;
/// The report suite to show if none is mapped.
const UNMAPPED_RSID: &str = "unmapped";

/// Shows the hit that an event becomes, tag by tag, and why.
///
/// The settings are those of the requestor's report suite if the buffer has one, else the defaults. Nothing
/// is stored or sent, and no configuration is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/explain.txt").trim_ascii_end())]
pub(super) struct Args {
    /// A file with one canonical event as JSON, on one line or several; `-` is standard input.
    #[arg(value_name = "EVENT", default_value = "-")]
    event: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    // The buffer is opened first, because the configuration sets the format of notes.
    let desk = opened(context)?;
    let event = read_event(&args.event, context.clock.now())?;
    let of = event.requestor_id();
    let mapped = match &desk {
        Some(desk) => desk.ask(|buffer| buffer.suite_of(of), async |buffer| buffer.suite_of(of).await)?,
        None => None,
    };
    context.done(&explained(&event, event.identity().id, mapped.map(|suite| suite.form).as_ref())?)
}

/// The hit of an event with this form; without a form, with the default settings, and a note that says so.
pub(super) fn explained(
    event: &PassEvent,
    id: EventId,
    form: Option<&HitForm>,
) -> Result<Explanation, Failure> {
    if let Some(form) = form {
        return Ok(explain(event, id, form));
    }
    output::note(format_args!(
        "note: {} is mapped to no report suite here; shown with the default settings",
        event.requestor_id()
    ));
    Ok(explain(event, id, &HitForm::with_defaults(UNMAPPED_RSID.parse()?)).without_suite())
}

/// The buffer; `None` if there is no configuration or no buffer.
fn opened(context: &Context) -> Result<Option<Desk>, Failure> {
    match Desk::open(context) {
        Ok(desk) => Ok(Some(desk)),
        Err(failure) if matches!(failure.code, Code::ConfigMissing | Code::BufferMissing) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn read_event(path: &Path, now: Instant) -> Result<PassEvent, Failure> {
    let advice = "give it the event alone, as head -1 FILE | passbridge explain does";
    let text = input::read(path, TEXT_BYTES_MAX, advice)?;
    let refuse = |why: String| {
        refused(
            format!("{} holds no event: {why}", input::name_of(path)),
            "schemas/pass-event.schema.json says what an event is; passbridge ingest --dry-run checks many",
        )
    };
    let text = String::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    // An object may have several lines. JSON has line breaks only between tokens, so spaces can replace them.
    let is_one = serde_json::from_str::<IgnoredAny>(&text).is_ok();
    let line = if is_one { text.replace(['\n', '\r'], " ") } else { text.clone() };
    // The time of the event is not limited: only ingest checks that.
    let bounds = TimeBounds { latest: Instant::from_nanos(i64::MAX), now };
    let (mut reader, mut memory) = (NdjsonReader::new(line.as_bytes(), None), Recollection::new(None));
    let line = reader.next_line(bounds, &mut memory).map_err(|error| refuse(error.to_string()))?;
    let line = line.ok_or_else(|| refuse("it is empty".to_owned()))?;
    let lines = text.lines().count();
    if lines > 1 && !is_one {
        output::note(format_args!("note: shown: line {} of {lines}", line.number));
    }
    line.result.map_err(|reason| {
        let is_other = !text.contains('{');
        refuse(if is_other {
            format!("an event is a JSON object here; {reason}")
        } else {
            reason.to_string()
        })
    })
}
