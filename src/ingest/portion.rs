//! Some lines of one input, read and checked: the events to store, and the lines that are no event.
//!
//! The code for input files, for the inbox and for HTTP uses this module, which makes portions of lines, batches for
//! the buffer, and the rejects to write: rejected lines, and events that the buffer refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant as Timer};

use serde::de::IgnoredAny;

use super::contract::Contract;
use super::options::IngestOptions;
use crate::buffer::{Batch, Conflict, Feed, InputId, JobKey, NewEvent, StoreReport};
use crate::event::{EventError, FilledKeys, PassEvent, Slice, TimeBounds};
use crate::mapping::measure;
use crate::readers::esm::StatedAccounts;
use crate::readers::memory::{MemoryRow, Recollection};
use crate::readers::rest_v2::{
    has_escapes, has_packed_text, is_like_exchange, is_packed, secret_name, why_unreadable,
};
use crate::readers::{
    Excerpt, Line, Map, ReadError, Reader, RejectReason, RejectedLine, wide_encoding, wrapped,
};

/// The most lines of a portion. Storing 10,000 events at once costs half as much as in ten parts.
const PORTION_LINES_MAX: usize = 10_000;
/// The largest portion, in bytes of event bodies and rejected lines. It limits memory if events are large.
const PORTION_BYTES_MAX: usize = 8 << 20;
/// The longest time that lines of a pipe wait to be stored.
const STREAM_TIME: Duration = Duration::from_secs(1);
/// Once a pipe has given this many lines, they are stored as soon as `STREAM_LINES_TIME` is over. Without that time,
/// the lines of a fast pipe would be stored in portions of this size, at twice the cost.
const STREAM_LINES: usize = 1_000;
const STREAM_LINES_TIME: Duration = Duration::from_millis(100);
/// For how many unknown names of events the nearest known name is searched, which takes longer than to read an event.
const UNKNOWN_MAX: usize = 20;
/// The reason for rejecting a line that looks like an exchange, in a source of another format.
const EXCHANGE_AMONG_OTHERS: &str = "looks like an exchange with the Pass REST API V2, or a part of one, so nothing of it is kept: \
     ingest exchanges with --format rest-v2 (or har), or post them to /v1/exchanges, out of a log driver's wrapper first, such as with jq -r .log";

#[derive(Default)]
pub(super) struct Portion {
    pub(super) path: String,
    pub(super) events: Arc<Vec<NewEvent>>,
    pub(super) keys: FilledKeys,
    pub(super) rejects: Vec<Reject>,
    /// The kind of feed: single events, or sums from ESM.
    pub(super) feed: Feed,
    /// State of the readers after these lines, which later runs need.
    pub(super) changes: Vec<MemoryRow>,
    /// The unique accounts that ESM states in these records.
    pub(super) stated: Vec<StatedAccounts>,
    /// The reasons to reject the first unknown names of events.
    pub(super) unknown: HashMap<String, String>,
    /// The most rejected lines to hold; `None` means no limit.
    pub(super) rejects_max: Option<usize>,
    /// Rejected lines above `rejects_max`. They are only counted.
    pub(super) rejects_not_held: u64,
    /// Their kinds of reasons, with the number of lines of each.
    pub(super) reasons_not_held: BTreeMap<String, u64>,
    /// The contracts that its source must keep.
    pub(super) contracts: Vec<Contract>,
    /// The slice of the events that is taken, and how many events were left out.
    pub(super) slice: Slice,
    pub(super) outside_slice: u64,
    /// The map with which all events must be read. A line of a rejects file that comes in again must name it, too.
    pub(super) only_by: Option<Arc<str>>,
}

impl Portion {
    pub(super) fn new(path: &str, options: &IngestOptions) -> Portion {
        let contracts = options.contracts_of(path);
        Portion { path: path.to_owned(), contracts, slice: options.slice.clone(), ..Portion::default() }
    }

    pub(super) fn has_rows(&self) -> bool {
        let Portion { events, changes, stated, rejects, rejects_not_held, .. } = self;
        let is_empty = events.is_empty() && changes.is_empty() && stated.is_empty() && rejects.is_empty();
        !is_empty || *rejects_not_held > 0
    }

    /// Reads lines until the portion or `memory` is full, or the input ends. Returns true if there may be more. With
    /// `stream_since`, as for a pipe, lines do not wait for a full portion.
    pub(super) fn fill(
        &mut self,
        reader: &mut dyn Reader,
        memory: &mut Recollection,
        bounds: &dyn Fn() -> TimeBounds,
        mut stream_since: Option<Timer>,
    ) -> Result<bool, ReadError> {
        let (mut lines, mut bytes) = (0, 0);
        let has_more = loop {
            let is_end = match reader.next_line(bounds(), memory) {
                Ok(Some(mut line)) => {
                    lines += 1;
                    if line.result.as_mut().is_ok_and(|event| !self.slice.takes(event)) {
                        self.outside_slice += 1;
                    } else {
                        bytes += self.take(&line);
                    }
                    false
                }
                Ok(None) => true,
                Err(error) if error.is_pause() => false,
                Err(error) => break Err(error),
            };
            if lines == 0 {
                // The time runs from the first line on.
                stream_since = stream_since.map(|_| Timer::now());
            }
            let waited = stream_since.map_or(Duration::ZERO, |since| since.elapsed());
            let is_due = waited >= STREAM_TIME || lines >= STREAM_LINES && waited >= STREAM_LINES_TIME;
            let is_full = is_due && lines > 0
                || lines >= PORTION_LINES_MAX
                || bytes >= PORTION_BYTES_MAX
                || memory.is_full();
            if is_full && !reader.is_inside_line() {
                break Ok(true);
            }
            if is_end {
                break Ok(false);
            }
        };
        self.changes.append(&mut memory.take_changes());
        self.stated.append(&mut memory.take_stated());
        self.feed = reader.feed();
        has_more
    }

    /// Adds a line and returns the number of bytes that it takes.
    pub(super) fn take(&mut self, line: &Line<'_>) -> usize {
        let passed_by = self.only_by.clone().filter(|map| line.excerpt.map.as_ref() != Some(map));
        let reason = match (&line.result, &passed_by) {
            (Ok(_), Some(map)) => Some(format!(
                "has the form of a rejected line, and is not for the map {map:?} by which all events of this sender come"
            )),
            (Ok(event), None) => breach(&self.contracts, line, event),
            (Err(reason), _) => Some(self.text_of(reason)),
        };
        match (&line.result, reason) {
            (Ok(event), None) => {
                self.keys.add(event);
                let mut event = NewEvent::new(line.number, event, measure(event));
                event.former_ids.extend(line.rule.iter().flat_map(|applied| &applied.former_ids));
                let bytes = event.body.len();
                Arc::make_mut(&mut self.events).push(event);
                bytes
            }
            (_, Some(reason)) if self.rejects_max.is_some_and(|max| self.rejects.len() >= max) => {
                self.rejects_not_held += 1;
                *self.reasons_not_held.entry(kind_of(&reason)).or_default() += 1;
                0
            }
            (_, reason) => {
                let mut excerpt = line.excerpt.clone();
                excerpt.map = passed_by.or(excerpt.map);
                let reject = Reject::new(&self.path, line.number, &excerpt, reason.unwrap_or_default());
                let bytes = reject.kept.len();
                self.rejects.push(reject);
                bytes
            }
        }
    }

    /// The text of a reason. Only for the first unknown names of events is the nearest known name searched.
    fn text_of(&mut self, reason: &RejectReason) -> String {
        let RejectReason::Event(EventError::UnknownKind(name)) = reason else { return reason.to_string() };
        match self.unknown.get(name) {
            Some(text) => text.clone(),
            None if self.unknown.len() >= UNKNOWN_MAX => format!("event {name:?} is unknown"),
            None => self.unknown.entry(name.clone()).or_insert(reason.to_string()).clone(),
        }
    }

    /// Makes the batch to store. The events stay here too, because the buffer may refuse some of them.
    pub(super) fn batch(&mut self, input: InputId, job: JobKey) -> Batch {
        Batch {
            input,
            feed: self.feed,
            job,
            events: self.events.clone(),
            memory: std::mem::take(&mut self.changes),
            stated: std::mem::take(&mut self.stated),
            rejected: self.rejects.len() as u64 + self.rejects_not_held,
        }
    }

    /// The events that the buffer refused, as rejects: first those whose requestor already has the other kind
    /// of feed, then those whose `event_id` another event has. `text` returns the text that is kept of an event, by
    /// its index, and `map` is the map by which that text must be read; `None` for NDJSON of passbridge's own keys.
    pub(super) fn left_out(
        &self,
        report: &StoreReport,
        text: &dyn Fn(usize, &NewEvent) -> Vec<u8>,
        map: Option<&Map>,
    ) -> [Vec<Reject>; 2] {
        let reject = |index: usize, reason: String| {
            let event = &self.events[index];
            let text = text(index, event);
            let mut excerpt = Excerpt::of(&text);
            excerpt.map = map.map(Map::name);
            Reject::new(&self.path, event.line, &excerpt, reason)
        };
        let mixed = report.mixed.iter().map(|(index, there)| {
            let requestor_id = self.events[*index].requestor_id.as_str();
            reject(*index, RejectReason::mixed(requestor_id, there).to_string())
        });
        let lost = report.conflicts.iter().map(|conflict| reject(conflict.index, conflict_reason(conflict)));
        [mixed.collect(), lost.collect()]
    }
}

/// How the event of a line breaks one of these contracts, if it does.
pub(super) fn breach(contracts: &[Contract], line: &Line<'_>, event: &PassEvent) -> Option<String> {
    contracts.iter().find_map(|contract| contract.breach(line, event))
}

/// A line that is not stored.
pub(super) struct Reject {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) kept: String,
    /// Equal for lines with equal texts.
    pub(super) digest: [u8; 32],
}

impl Reject {
    /// This is the only constructor, so that no secret is kept or shown. It hides a line that looks like an exchange,
    /// may have a secret, or cannot be searched for one: packed text, escaped letters, or letters in UTF-16 or UTF-32.
    pub(super) fn new(path: &str, line: u64, excerpt: &Excerpt<'_>, reason: String) -> Reject {
        let digest = excerpt.digest();
        let nothing = Excerpt::hidden(&[], excerpt.line_bytes);
        let valueless = without_values(&reason);
        let text = String::from_utf8_lossy(&excerpt.bytes);
        let inside = || wrapped(&text, true);
        let (excerpt, reason) = if is_packed(&excerpt.bytes) {
            (&nothing, valueless)
        } else if is_like_exchange(&excerpt.bytes) {
            (&nothing, inside().unwrap_or_else(|| EXCHANGE_AMONG_OTHERS.to_owned()))
        } else if has_wide_letters(&text) {
            (
                &nothing,
                format!("{valueless}; nothing of it is kept, because it has letters in UTF-16 or UTF-32"),
            )
        } else if has_packed_text(&excerpt.bytes) {
            (&nothing, inside().unwrap_or_else(|| why_unreadable(&excerpt.bytes).to_owned()))
        } else if let Some(name) = secret_name(&text, excerpt.header.as_deref()) {
            (&nothing, format!("{valueless}; nothing of it is kept, because it may have a secret ({name})"))
        } else if excerpt.header.is_none()
            && has_escapes(&text)
            && serde_json::from_str::<IgnoredAny>(&text).is_err()
        {
            (
                &nothing,
                format!(
                    "{valueless}; nothing of it is kept, because letters in it are escaped (%XX, &name;, \\xXX)"
                ),
            )
        } else {
            (excerpt, reason)
        };
        let kept = RejectedLine::new(path, line, &reason, excerpt);
        let kept = serde_json::to_string(&kept).expect("text and numbers always serialise");
        Reject { line, reason, kept, digest }
    }
}

/// The event as a line of NDJSON, to keep an event that came in any format.
pub(super) fn canonical_text(_index: usize, event: &NewEvent) -> Vec<u8> {
    let event = event.event().expect("the body was made of an event");
    serde_json::to_vec(&event).expect("text and numbers always serialise")
}

/// Whether a text has letters with zero bytes between them, for example because a program adds UTF-16 to UTF-8.
/// No search for a secret or a person finds a word in such letters. A zero byte may be an escape of JSON.
fn has_wide_letters(text: &str) -> bool {
    let plain = text.replace("\\u0000", "\0");
    plain.contains('\0') && (0..plain.len()).any(|at| wide_encoding(&plain.as_bytes()[at..]).is_some())
}

/// A reason without the values of the line that it quotes: they may be a secret, or name a person.
fn without_values(reason: &str) -> String {
    // Within a value, a quote and a backslash have a backslash before them.
    let plain = reason.replace("\\\\", "").replace("\\\"", "");
    plain.split('"').enumerate().map(|(place, part)| if place % 2 == 1 { "…" } else { part }).collect()
}

/// The kind of a reason, by which rejected lines are counted: the reason without its values, numbers and hints.
pub(super) fn kind_of(reason: &str) -> String {
    let reason = without_values(reason);
    if reason.starts_with("has the event_id of ") {
        return "has the event_id of another event and other content".to_owned();
    }
    if reason.starts_with("breaks contract.") {
        return reason.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
    }
    let kind = reason.split([';', ':']).next().unwrap_or_default();
    let kind = kind.replace(|letter: char| letter.is_ascii_digit(), "");
    kind.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn conflict_reason(conflict: &Conflict) -> String {
    let first = match conflict.first_path.as_str() {
        "" => "an event that has expired from the buffer".to_owned(),
        path => format!("{path}:{}", conflict.first_line),
    };
    format!("has the event_id of {first} and other content; the first one stays")
}
