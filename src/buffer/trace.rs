//! Finds events, and tells all that the buffer keeps of each: its origin, its state, its attempts and its repeats.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::database::Buffer;
use super::error::Result;
use super::forms::form_of;
use super::inputs::InputRecord;
use super::keys::{FormKey, RunId};
use super::repeats::EVENTS_MAX;
use super::rows::{all, each, first, from_row, json_list, only, read_event};
use crate::delivery::Sequence;
use crate::event::{EventId, EventKind, Instant, PassEvent, Property, RequestorId};
use crate::suite::HitForm;

/// Sequence numbers that a search looks at before it tells its progress. This takes less than a tenth of a second.
const SEARCHED_AT_ONCE: i64 = 100_000;

/// What to search for. A search reads all events or, with `line`, the events of its inputs.
#[derive(Default)]
pub struct Search<'a> {
    /// Only events whose mvpd_user_id or visitor_id is this text.
    pub user: Option<&'a str>,
    /// Only events of this line of these inputs.
    pub line: Option<(&'a [InputRecord], u64)>,
    /// Only events for whose identity and count this function returns true.
    pub is_it: Option<&'a dyn Fn(EventId, u32) -> bool>,
}

impl Search<'_> {
    /// The body of each event of `user` has one of these texts; `None` without a `user`.
    pub fn needles(&self) -> [Option<String>; 2] {
        let value = self.user.map(|user| serde_json::to_string(user).expect("text always serialises"));
        let needle = |property: Property| Some(format!("\"{}\":{}", property.name(), value.as_ref()?));
        [Property::MvpdUserId, Property::VisitorId].map(needle)
    }
}

/// An event that came again, and was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepeatRecord {
    /// The event that is stored.
    pub seq: Sequence,
    /// The input of the repeat, the line there, and when that input was opened.
    pub path: String,
    pub line: u64,
    pub opened_at: Instant,
    /// Whether the repeat had other content than the stored event.
    pub is_conflict: bool,
}

/// An attempt that got another reply than SUCCESS, or no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    pub at: Instant,
    /// The run that made it; `None` on PostgreSQL, where a worker made it.
    pub run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
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
    /// When it was stored, at most a minute too early; before schema 6, when its input was opened. `None`: not known.
    pub stored_at: Option<Instant>,
    pub backfill: Option<String>,
    /// `pending`, `partly_sent`, `in_flight`, `in_file`, `delivered`, `held`, `dead` or `discarded`.
    pub state: String,
    /// When the event got this state; `None` while it is pending. `run` delivered or rejected it, or is sending it.
    pub since: Option<Instant>,
    pub run: Option<RunId>,
    /// Why it is dead or held.
    pub reason: Option<String>,
    /// The attempts without SUCCESS that are kept, the oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// How many attempts may have been counted although no SUCCESS came back.
    pub in_doubt: u32,
    pub repeats: Vec<RepeatRecord>,
    /// The form of the event's hits: that of its attempts, else that of its suite now. `None` if it has no suite.
    #[serde(skip)]
    pub form: Option<HitForm>,
}

impl Buffer {
    /// The events that have this identity (32 hexadecimal digits), or to which their source gave this ID. The number is
    /// `None` if an event has expired or was erased.
    pub fn find_id(&self, text: &str) -> Result<Vec<Option<Sequence>>> {
        self.read(|connection| {
            let requestors: Vec<RequestorId> =
                all(connection, "SELECT requestor_id FROM requestors", [], only)?;
            let ids = identities(text, &requestors);
            let select = "SELECT seq FROM identities WHERE id = ?1";
            let found = ids.iter().map(|id| first(connection, select, [id.bytes()], only));
            found.filter_map(Result::transpose).collect()
        })
    }

    /// The events that came again on this line of these inputs.
    pub fn repeats_at(&self, inputs: &[InputRecord], line: u64) -> Result<Vec<RepeatRecord>> {
        let select = "SELECT r.seq + ?2 - r.line AS seq, i.path, ?2 AS line, i.opened_at, r.is_conflict
             FROM repeats r JOIN inputs i ON i.input = r.input
             WHERE r.input IN (SELECT value FROM json_each(?1)) AND ?2 >= r.line AND ?2 < r.line + r.events";
        self.all(select, (numbers(inputs), line), repeat)
    }

    /// Searches events. Calls `tell` from time to time with how many numbers it has looked at, and how many there are.
    pub fn search(&self, what: &Search<'_>, tell: &mut dyn FnMut(u64, u64)) -> Result<Vec<Sequence>> {
        let select = "SELECT coalesce(min(seq), 1) AS low, coalesce(max(seq), 0) AS high FROM events";
        let whole = self.first(select, [], |row| Ok((row.get("low")?, row.get("high")?)))?;
        let (mut from, mut to): (i64, i64) = whole.unwrap_or((1, 0));
        if let Some((inputs, _)) =
            what.line.filter(|(inputs, _)| inputs.iter().all(|one| one.stored.is_some()))
        {
            let spans = || inputs.iter().filter_map(|input| input.span);
            from = spans().map(|span| span.0).min().map_or(i64::MAX, |low| low.max(from));
            to = spans().map(|span| span.1).max().map_or(0, |high| high.min(to));
        }
        let (inputs, line) = what.line.map(|(inputs, line)| (numbers(inputs), line)).unzip();
        let [user, visitor] = what.needles();
        let select = "SELECT seq, id, count FROM events WHERE seq BETWEEN ?1 AND ?2
             AND (?3 IS NULL OR line = ?3 AND input IN (SELECT value FROM json_each(?4)))
             AND (?5 IS NULL OR instr(body, ?5) > 0 OR instr(body, ?6) > 0)";
        let mut found = Vec::new();
        for at in (from..=to).step_by(SEARCHED_AT_ONCE as usize) {
            let end = to.min(at + SEARCHED_AT_ONCE - 1);
            self.read(|connection| {
                each(connection, select, (at, end, line, &inputs, &user, &visitor), |row| {
                    let (id, count) = (EventId::from_bytes(row.get("id")?), row.get("count")?);
                    if what.is_it.is_none_or(|is_it| is_it(id, count)) {
                        found.push(row.get("seq")?);
                    }
                    Ok(())
                })
            })?;
            tell((end - from + 1).unsigned_abs(), (to - from + 1).unsigned_abs());
        }
        Ok(found)
    }

    /// What is kept of an event; `None` if there is none with this number.
    pub fn trace(&self, sequence: Sequence) -> Result<Option<TracedEvent>> {
        self.read(|connection| traced(connection, sequence))
    }
}

/// The identities that `text` may mean: its 32 hexadecimal digits, or an event of each kind and requestor with this ID.
pub fn identities(text: &str, requestors: &[RequestorId]) -> Vec<EventId> {
    let digits = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).step_by(2).map(digits).collect();
    let as_identity = bytes.filter(|_| text.len() == 32).and_then(|bytes| bytes.try_into().ok());
    let by_id =
        |requestor_id| EventKind::ALL.iter().map(move |kind| EventId::by_id(requestor_id, *kind, text));
    as_identity.map(EventId::from_bytes).into_iter().chain(requestors.iter().flat_map(by_id)).collect()
}

fn numbers(inputs: &[InputRecord]) -> String {
    json_list(&inputs.iter().map(|input| input.input).collect::<Vec<_>>())
}

fn repeat(row: &Row<'_>) -> Result<RepeatRecord> {
    Ok(from_row!(row, RepeatRecord { seq, path, line, opened_at, is_conflict }))
}

fn traced(connection: &Connection, sequence: Sequence) -> Result<Option<TracedEvent>> {
    let select = "SELECT e.seq, e.id, coalesce(i.path, '') AS path, e.line, j.name AS backfill,
            coalesce((SELECT a.at FROM arrivals a WHERE a.last_seq >= e.seq ORDER BY a.last_seq LIMIT 1), i.opened_at) AS stored_at,
            CASE WHEN h.seq THEN 'held' WHEN d.seq THEN 'dead' WHEN x.seq THEN 'discarded' WHEN q.seq IS NULL THEN 'delivered'
                 WHEN c.seq THEN 'in_flight' WHEN b.seq THEN 'in_file' WHEN u.hits_sent > 0 THEN 'partly_sent' ELSE 'pending' END AS state,
            coalesce(h.held_at, d.died_at, x.discarded_at) AS since, coalesce(c.run, d.run) AS run,
            coalesce(d.reason, CASE WHEN h.seq THEN u.cause END) AS reason, coalesce(u.attempts, 0) AS in_doubt,
            coalesce(u.form, c.form, b.form, d.form, s.form) AS form
         FROM events e LEFT JOIN inputs i ON i.input = e.input LEFT JOIN jobs j ON j.job = e.job
         LEFT JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
         LEFT JOIN claims c ON c.seq = e.seq LEFT JOIN bulk_rows b ON b.seq = e.seq LEFT JOIN doubts u ON u.seq = e.seq
         LEFT JOIN held h ON h.seq = e.seq LEFT JOIN dead_letters d ON d.seq = e.seq
         LEFT JOIN discarded x ON x.seq = e.seq
         LEFT JOIN mappings m ON m.requestor = e.requestor LEFT JOIN suites s ON s.suite = m.suite WHERE e.seq = ?1";
    let found = first(connection, select, [sequence], |row| {
        let form: Option<FormKey> = row.get("form")?;
        Ok(
            from_row!(row, TracedEvent { seq, path, line, stored_at, backfill, state, since, run, reason, in_doubt },
            event_id: EventId::from_bytes(row.get("id")?), event: read_event(connection, sequence)?.event,
            attempts: Vec::new(), repeats: Vec::new(), form: form.map(|form| form_of(connection, form)).transpose()?),
        )
    })?;
    let Some(mut event) = found else { return Ok(None) };
    let select = "SELECT at, run, reply FROM attempts WHERE seq = ?1 ORDER BY attempt";
    event.attempts = all(connection, select, [sequence], |row| {
        Ok(from_row!(row, AttemptRecord { at, run, reply }, worker: None))
    })?;
    let select = "SELECT ?1 AS seq, i.path, r.line + ?1 - r.seq AS line, i.opened_at, r.is_conflict
         FROM repeats r JOIN inputs i ON i.input = r.input
         WHERE r.seq > ?1 - ?2 AND r.seq <= ?1 AND r.seq + r.events > ?1 ORDER BY r.input, line";
    event.repeats = all(connection, select, (sequence, EVENTS_MAX), repeat)?;
    if event.state == "delivered" {
        // An index by event would slow down every delivery. Without one, a search of 10 million rows takes at most 1 s.
        let select = "SELECT delivered_at, run FROM delivered WHERE seq = ?1 ORDER BY n DESC LIMIT 1";
        let found =
            first(connection, select, [sequence], |row| Ok((row.get("delivered_at")?, row.get("run")?)))?;
        (event.since, event.run) = found.unwrap_or_default();
    }
    Ok(Some(event))
}
