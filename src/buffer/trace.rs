//! Finds events, and tells all that the buffer keeps of each: where it came from, its state, its attempts and its repeats.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::forms::form_of;
use super::keys::{FormKey, InputId, RunId};
use super::repeats::EVENTS_MAX;
use super::rows::{all, each, first, from_row, json_list, only, read_event};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{EventId, EventKind, Instant, PassEvent, Property, RequestorId, identifier};
use crate::suite::HitForm;

/// Sequence numbers that a search looks at before it tells its progress. This takes less than a tenth of a second.
const SEARCHED_AT_ONCE: i64 = 100_000;

/// What to search for. A search reads all events, or those of the inputs.
pub enum Search<'a> {
    /// The events of a user or visitor with this ID.
    User(&'a str),
    /// The events of whose identity and count this is true.
    Identity(&'a dyn Fn(EventId, u32) -> bool),
    /// The events of this line of these inputs.
    Line(&'a [InputRecord], u64),
}

/// An input by the path that its caller gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputRecord {
    pub input: InputId,
    pub path: String,
    pub opened_at: Instant,
    /// The first and the last number of its events. `None` if it stored none, or if that was before schema 9.
    #[serde(skip)]
    span: Option<(i64, i64)>,
    /// Whether an earlier schema stored it.
    #[serde(skip)]
    is_uncounted: bool,
}

/// An event that came again, and was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepeatRecord {
    /// The event that is stored.
    pub seq: Sequence,
    pub path: String,
    pub line: u64,
    /// When its input was opened.
    pub opened_at: Instant,
    /// Whether its content was another one.
    pub is_conflict: bool,
}

/// An attempt that no SUCCESS answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    pub at: Instant,
    pub run: RunId,
    pub reply: String,
}

/// What the buffer keeps of an event.
#[derive(Debug, Clone, Serialize)]
pub struct TracedEvent {
    pub seq: Sequence,
    #[serde(skip)]
    pub event_id: EventId,
    #[serde(skip)]
    pub event: PassEvent,
    pub path: String,
    pub line: u64,
    /// When it was stored, at most a minute too early; `None` if that is not known.
    pub stored_at: Option<Instant>,
    /// The backfill that brought it.
    pub backfill: Option<String>,
    /// `pending`, `in_flight`, `in_file`, `delivered`, `settled`, `held`, `dead` or `discarded`.
    pub state: &'static str,
    /// Since when, and by which run. `None` where nothing says it.
    pub since: Option<Instant>,
    pub run: Option<RunId>,
    /// Why it is dead or held.
    pub reason: Option<String>,
    /// The attempts without SUCCESS that are kept, the oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// How many attempts may have been counted although no SUCCESS came back.
    pub in_doubt: u32,
    pub repeats: Vec<RepeatRecord>,
    /// How its hits are made: as an attempt fixed it, else as its suite is set now. `None` if it has no suite.
    #[serde(skip)]
    pub form: Option<HitForm>,
}

impl Buffer {
    /// The events that have this identity (32 hexadecimal digits), or to which their source gave this ID. The number is
    /// `None` if an event has expired or was erased.
    pub fn find_id(&self, text: &str) -> Result<Vec<Option<Sequence>>> {
        let digits = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).step_by(2).map(digits).collect();
        let as_identity = bytes.filter(|_| text.len() == 32).and_then(|bytes| bytes.try_into().ok());
        self.read(|connection| {
            let mut ids: Vec<EventId> = as_identity.map(EventId::from_bytes).into_iter().collect();
            let requestors: Vec<RequestorId> =
                all(connection, "SELECT requestor_id FROM requestors", [], only)?;
            for requestor_id in &requestors {
                ids.extend(EventKind::ALL.iter().map(|kind| EventId::by_id(requestor_id, *kind, text)));
            }
            let select = "SELECT seq FROM identities WHERE id = ?1";
            let found = ids.iter().map(|id| first(connection, select, [id.bytes()], only));
            found.filter_map(Result::transpose).collect()
        })
    }

    /// The inputs that were given by this path or by the end of it.
    pub fn inputs_at(&self, path: &str) -> Result<Vec<InputRecord>> {
        let select =
            "SELECT input, path, opened_at, first_seq, last_seq, stored IS NULL AS is_uncounted FROM inputs
             WHERE path = ?1 OR substr(path, -length(?1) - 1) = '/' || ?1 ORDER BY input";
        self.all(select, [path], |row| {
            let span = row.get::<_, Option<i64>>("first_seq")?.zip(row.get("last_seq")?);
            Ok(from_row!(row, InputRecord { input, path, opened_at, is_uncounted }, span: span))
        })
    }

    /// The events that came again on this line of these inputs.
    pub fn repeats_at(&self, inputs: &[InputRecord], line: u64) -> Result<Vec<RepeatRecord>> {
        let ids: Vec<i64> = inputs.iter().map(|input| input.input.0).collect();
        let select = "SELECT r.seq + ?2 - r.line AS seq, i.path, ?2 AS line, i.opened_at, r.is_conflict
             FROM repeats r JOIN inputs i ON i.input = r.input
             WHERE r.input IN (SELECT value FROM json_each(?1)) AND ?2 >= r.line AND ?2 < r.line + r.events";
        self.all(select, (json_list(&ids), line), repeat)
    }

    /// Searches events, and tells from time to time how many numbers it has looked at, and of how many.
    pub fn search(&self, what: &Search<'_>, tell: &mut dyn FnMut(u64, u64)) -> Result<Vec<Sequence>> {
        let whole: (Option<i64>, Option<i64>) = self
            .first("SELECT min(seq), max(seq) FROM events", [], |row| Ok((row.get(0)?, row.get(1)?)))?
            .unwrap_or_default();
        let Some(whole) = whole.0.zip(whole.1) else { return Ok(Vec::new()) };
        let (from, to) = match what {
            Search::Line(inputs, _) if inputs.iter().all(|input| !input.is_uncounted) => {
                let spans = || inputs.iter().filter_map(|input| input.span);
                let (first, last) = (spans().map(|span| span.0).min(), spans().map(|span| span.1).max());
                first.zip(last).unwrap_or((1, 0))
            }
            Search::Line(..) | Search::User(_) | Search::Identity(_) => whole,
        };
        let mut found = Vec::new();
        let mut at = from;
        while at <= to {
            let end = to.min(at + SEARCHED_AT_ONCE - 1);
            self.read(|connection| search_in(connection, what, (at, end), &mut found))?;
            tell((end - from + 1).unsigned_abs(), (to - from + 1).unsigned_abs());
            at = end + 1;
        }
        Ok(found)
    }

    /// What is kept of the events with these numbers, in their order. Leaves out numbers of no event.
    pub fn trace(&self, sequences: &[Sequence]) -> Result<Vec<TracedEvent>> {
        self.read(|connection| {
            let traced = sequences.iter().map(|sequence| traced(connection, *sequence));
            let mut traced: Vec<TracedEvent> = traced.filter_map(Result::transpose).collect::<Result<_>>()?;
            add_deliveries(connection, &mut traced)?;
            Ok(traced)
        })
    }
}

fn search_in(
    connection: &Connection,
    what: &Search<'_>,
    span: (i64, i64),
    found: &mut Vec<Sequence>,
) -> Result<()> {
    match what {
        Search::User(user) => {
            let wanted = identifier(user);
            // The stored text of an ID may have other characters around it. The escapes are those of the stored body.
            let quoted = serde_json::to_string(wanted).expect("text always serialises");
            let (user_id, visitor_id) = (Property::MvpdUserId.name(), Property::VisitorId.name());
            let select = "SELECT seq, coalesce(body ->> ?4, '') AS user, coalesce(body ->> ?5, '') AS visitor FROM events
                 WHERE seq BETWEEN ?1 AND ?2 AND instr(body, ?3) > 0";
            let values = (span.0, span.1, quoted.trim_matches('"'), user_id, visitor_id);
            each(connection, select, values, |row| {
                let (user, visitor): (String, String) = (row.get("user")?, row.get("visitor")?);
                if identifier(&user) == wanted || identifier(&visitor) == wanted {
                    found.push(row.get("seq")?);
                }
                Ok(())
            })
        }
        Search::Identity(is_it) => {
            let select = "SELECT seq, id, count FROM events WHERE seq BETWEEN ?1 AND ?2";
            each(connection, select, span, |row| {
                if is_it(EventId::from_bytes(row.get("id")?), row.get("count")?) {
                    found.push(row.get("seq")?);
                }
                Ok(())
            })
        }
        Search::Line(inputs, line) => {
            let select = "SELECT seq, input FROM events WHERE seq BETWEEN ?1 AND ?2 AND line = ?3";
            each(connection, select, (span.0, span.1, line), |row| {
                let of: InputId = row.get("input")?;
                if inputs.iter().any(|input| input.input == of) {
                    found.push(row.get("seq")?);
                }
                Ok(())
            })
        }
    }
}

fn repeat(row: &Row<'_>) -> Result<RepeatRecord> {
    Ok(from_row!(row, RepeatRecord { seq, path, line, opened_at, is_conflict }))
}

/// All that is kept of an event, but for its delivery; `None` if there is no such event.
fn traced(connection: &Connection, sequence: Sequence) -> Result<Option<TracedEvent>> {
    let select = "SELECT e.id, coalesce(i.path, '') AS path, e.line, j.name AS backfill,
            coalesce((SELECT a.at FROM arrivals a WHERE a.last_seq >= e.seq ORDER BY a.last_seq LIMIT 1), i.opened_at) AS stored_at,
            EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                    AND q.occurred_at = e.occurred_at AND q.seq = e.seq) AS is_pending,
            c.run AS claimed_by, b.file, h.held_at, d.died_at, d.run AS died_in, d.reason, x.discarded_at,
            u.cause, coalesce(u.attempts, 0) AS in_doubt, coalesce(u.form, c.form, b.form, d.form, s.form) AS form
         FROM events e LEFT JOIN inputs i ON i.input = e.input LEFT JOIN jobs j ON j.job = e.job
         LEFT JOIN claims c ON c.seq = e.seq LEFT JOIN bulk_rows b ON b.seq = e.seq LEFT JOIN doubts u ON u.seq = e.seq
         LEFT JOIN held h ON h.seq = e.seq LEFT JOIN dead_letters d ON d.seq = e.seq
         LEFT JOIN discarded x ON x.seq = e.seq
         LEFT JOIN mappings m ON m.requestor = e.requestor LEFT JOIN suites s ON s.suite = m.suite WHERE e.seq = ?1";
    let found = first(connection, select, [sequence], |row| {
        let mut run: Option<RunId> = row.get("claimed_by")?;
        let (mut since, mut reason): (Option<Instant>, Option<String>) = (None, None);
        let (held_at, died_at, discarded_at): (Option<Instant>, Option<Instant>, Option<Instant>) =
            (row.get("held_at")?, row.get("died_at")?, row.get("discarded_at")?);
        let state = match (row.get::<_, bool>("is_pending")?, held_at, died_at, discarded_at) {
            (true, ..) if run.is_some() => "in_flight",
            (true, ..) if row.get::<_, Option<i64>>("file")?.is_some() => "in_file",
            (true, ..) => "pending",
            (_, Some(at), ..) => {
                (since, reason) = (Some(at), row.get("cause")?);
                "held"
            }
            (_, _, Some(at), _) => {
                let why: DeadReason = row.get("reason")?;
                (since, reason, run) = (Some(at), Some(why.to_string()), row.get("died_in")?);
                "dead"
            }
            (_, _, _, Some(at)) => {
                since = Some(at);
                "discarded"
            }
            (false, None, None, None) => "delivered",
        };
        let form: Option<FormKey> = row.get("form")?;
        Ok(from_row!(row, TracedEvent { path, line, stored_at, backfill, in_doubt },
            seq: sequence, event_id: EventId::from_bytes(row.get("id")?), event: read_event(connection, sequence)?.event,
            state: state, since: since, run: run, reason: reason, attempts: Vec::new(), repeats: Vec::new(),
            form: form.map(|form| form_of(connection, form)).transpose()?))
    })?;
    let Some(mut event) = found else { return Ok(None) };
    let select = "SELECT at, run, reply FROM attempts WHERE seq = ?1 ORDER BY attempt";
    event.attempts =
        all(connection, select, [sequence], |row| Ok(from_row!(row, AttemptRecord { at, run, reply })))?;
    let select = "SELECT ?1 AS seq, i.path, r.line + ?1 - r.seq AS line, i.opened_at, r.is_conflict
         FROM repeats r JOIN inputs i ON i.input = r.input
         WHERE r.seq > ?1 - ?2 AND r.seq <= ?1 AND r.seq + r.events > ?1 ORDER BY r.input, line";
    event.repeats = all(connection, select, (sequence, EVENTS_MAX), repeat)?;
    Ok(Some(event))
}

/// Adds when and by which run the delivered ones of these events were delivered. `delivered` has no index of numbers, which
/// would cost every delivery: the latest rows come first, and one event is found in 10 million rows within a second.
fn add_deliveries(connection: &Connection, events: &mut [TracedEvent]) -> Result<()> {
    let delivered = events.iter().filter(|event| event.state == "delivered");
    let sequences: Vec<Sequence> = delivered.map(|event| event.seq).collect();
    let mut add = |row: &Row<'_>| {
        let seq: Sequence = row.get("seq")?;
        if let Some(event) = events.iter_mut().find(|event| event.seq == seq) {
            (event.since, event.run) = (row.get("delivered_at")?, row.get("run")?);
            if event.run.is_none() {
                event.state = "settled";
            }
        }
        Ok(())
    };
    match &sequences[..] {
        [] => Ok(()),
        [one] => {
            let select =
                "SELECT seq, delivered_at, run FROM delivered WHERE seq = ?1 ORDER BY n DESC LIMIT 1";
            first(connection, select, [one], &mut add).map(drop)
        }
        _ => {
            let select =
                "SELECT seq, delivered_at, run FROM delivered WHERE seq IN (SELECT value FROM json_each(?1))";
            each(connection, select, [json_list(&sequences)], add)
        }
    }
}
