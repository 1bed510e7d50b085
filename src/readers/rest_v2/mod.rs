//! Exchange logs of the Pass REST API V2: what a gateway asked and what Adobe answered, and the events that follow.
//!
//! - In: one exchange per line, in about the order of their start. Out: the events that Adobe Pass would count, each with the
//!   rule of the derivation table that made it.
//! - Guarantees: tokens, codes, addresses and personal attributes are gone before anything is kept or reported; a line read
//!   twice gives nothing twice; a login may begin in one run and end in another; one bad line costs only itself.
//! - Does not know: where what it remembers is stored, who asks.
//! - Rules: `reference/pass-rest-api-v2.md`, above all its sections 7, 8 and 12.

mod answer;
mod derive;
mod exchange;
mod headers;
mod route;
mod state;
mod vocabulary;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::BufRead;
use std::rc::Rc;

use super::lines::Lines;
use super::memory::{Keyring, MemoryChange, Recollection};
use super::{Excerpt, LINE_BYTES_MAX, Line, ReadError, Reader, RejectReason, UnknownKeys};
use crate::config::RestV2Config;
use crate::event::{Instant, PassEvent, TimeBounds};
use derive::Taken;
use exchange::{BadExchange, Exchange, RawExchange};
use state::State;

/// Exchanges that are held back at most, whatever the window: some hundred MiB.
const HELD_MAX: usize = 50_000;
/// Changes after which the reader asks for them to be stored, though no event came: bounds memory in a log of polls.
const CHANGES_MAX: usize = 20_000;

/// Whether a source that begins so holds exchanges: its first object has their members, and an event has none of them.
pub fn starts_like_exchanges(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let line = line.unwrap_or_default();
    [&b"\"started_at\""[..], b"\"request\""].iter().all(|name| memchr::memmem::find(line, name).is_some())
}

/// How exchanges are read.
#[derive(Debug, Clone)]
pub struct RestV2Options {
    /// Section `[rest_v2]` of the configuration.
    pub config: RestV2Config,
    /// What devices and codes are digested with.
    pub keyring: Keyring,
    /// What earlier lines said, of this run and of others.
    pub memory: Rc<RefCell<Recollection>>,
}

impl RestV2Options {
    /// With the defaults, nothing remembered, and a secret that is none: for sources of other formats.
    pub fn unused() -> RestV2Options {
        RestV2Options {
            config: RestV2Config::default(),
            keyring: Keyring::new(b""),
            memory: Rc::new(RefCell::new(Recollection::new(None))),
        }
    }
}

/// What became of the exchanges of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeSummary {
    /// Exchanges and the events they gave, by endpoint and rule.
    pub rules: BTreeMap<(&'static str, u8), (u64, u64)>,
    /// Requests for other paths.
    pub others: u64,
    /// Exchanges that were taken before.
    pub again: u64,
    /// Exchanges that came later than they may be out of order.
    pub late: u64,
    /// `X-Device-Info` headers that do not decode, and the first line with one.
    pub broken_device_infos: u64,
    /// That line.
    pub first_broken_device_info: Option<u64>,
}

impl serde::Serialize for ExchangeSummary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        #[derive(serde::Serialize)]
        struct Row {
            endpoint: &'static str,
            rule: u8,
            outcome: &'static str,
            exchanges: u64,
            events: u64,
        }
        let row = |(&(endpoint, rule), &(exchanges, events)): (&(&'static str, u8), &(u64, u64))| Row {
            endpoint,
            rule,
            outcome: rule_name(rule),
            exchanges,
            events,
        };
        let mut fields = serializer.serialize_struct("ExchangeSummary", 5)?;
        fields.serialize_field("rules", &self.rules.iter().map(row).collect::<Vec<_>>())?;
        fields.serialize_field("other_paths", &self.others)?;
        fields.serialize_field("seen_before", &self.again)?;
        fields.serialize_field("late", &self.late)?;
        fields.serialize_field("broken_device_infos", &self.broken_device_infos)?;
        fields.end()
    }
}

/// What a row of the derivation table is about, in a few words.
pub fn rule_name(rule: u8) -> &'static str {
    match rule {
        1 => "login begins",
        2 => "session waits for a choice",
        3 => "already authenticated",
        4 => "authentication degraded",
        5 => "temporary access",
        6 => "login begins after a choice",
        7 => "session retried or looked at",
        8 => "user agent sent to the MVPD",
        9 => "session failed",
        10 => "login completed",
        11 => "poll without news",
        12 => "login completed while degraded",
        13 => "profile of temporary access",
        14 => "code refused",
        15 => "profiles refreshed",
        16 => "profiles refused",
        17 => "profile found by single sign-on",
        18 => "partner login begins",
        19 => "partner session while degraded",
        20 => "partner falls back to a login",
        21 => "partner session waits for a choice",
        22 => "partner session failed",
        23 => "refused before processing, or not answered",
        24 => "partner login completed",
        25 => "partner profile while degraded",
        26 => "partner login failed",
        27 => "authorized by the MVPD",
        28 => "authorized from the cache",
        29 => "authorized by degradation",
        30 => "authorized by temporary access",
        31 => "authorized without a media token",
        32 => "denied by the MVPD",
        33 => "denied by degradation or temporary access",
        34 => "authorization failed",
        35 => "authorization failed without a code",
        36 => "preflight answered",
        37 => "preflight failed",
        38 => "logout completed",
        39 => "logout sent to the MVPD",
        40 => "logout left to the partner",
        41 => "logout without a profile",
        42 => "logout failed",
        _ => "nothing to count",
    }
}

impl ExchangeSummary {
    /// Adds those of another source.
    pub fn add(&mut self, other: &ExchangeSummary) {
        for (key, (exchanges, events)) in &other.rules {
            let sum = self.rules.entry(*key).or_default();
            sum.0 += exchanges;
            sum.1 += events;
        }
        self.others += other.others;
        self.again += other.again;
        self.late += other.late;
        self.broken_device_infos += other.broken_device_infos;
        self.first_broken_device_info = self.first_broken_device_info.or(other.first_broken_device_info);
    }
}

/// Reads exchange logs.
pub struct RestV2Reader<R> {
    lines: Lines<R>,
    options: RestV2Options,
    /// What is held back until nothing earlier can come.
    held: BinaryHeap<Reverse<Held>>,
    latest: Instant,
    /// Where the last exchange taken began.
    taken_to: Instant,
    is_ended: bool,
    /// The events of the exchange taken last.
    ready: VecDeque<(u64, PassEvent, u8)>,
    summary: ExchangeSummary,
    unknown: UnknownKeys,
}

/// An exchange that waits, in the order of its start, then of its line.
struct Held {
    number: u64,
    exchange: Box<Exchange>,
}

impl Held {
    fn order(&self) -> (Instant, u64) {
        (self.exchange.started_at, self.number)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl<R: BufRead> RestV2Reader<R> {
    /// A reader from the start of a source.
    pub fn new(source: R, options: RestV2Options) -> RestV2Reader<R> {
        RestV2Reader {
            lines: Lines::new(source),
            options,
            held: BinaryHeap::new(),
            latest: Instant::from_nanos(i64::MIN),
            taken_to: Instant::from_nanos(i64::MIN),
            is_ended: false,
            ready: VecDeque::new(),
            summary: ExchangeSummary::default(),
            unknown: UnknownKeys::default(),
        }
    }

    /// The next exchange that nothing earlier can precede.
    fn release(&mut self) -> Option<Held> {
        let Reverse(first) = self.held.peek()?;
        let window = i64::from(self.options.config.reorder_seconds).saturating_mul(1_000_000_000);
        let is_settled = first.exchange.started_at.nanos() <= self.latest.nanos().saturating_sub(window);
        if !self.is_ended && !is_settled && self.held.len() < HELD_MAX {
            return None;
        }
        self.held.pop().map(|Reverse(held)| held)
    }

    /// Derives the events of an exchange; why it is refused, where it is.
    fn take(&mut self, held: &Held, bounds: TimeBounds) -> Result<Option<RejectReason>, ReadError> {
        let Held { number, exchange } = held;
        if exchange.started_at < self.taken_to {
            self.summary.late += 1;
        }
        self.taken_to = self.taken_to.max(exchange.started_at);
        let mut memory = self.options.memory.borrow_mut();
        let state = State { memory: &mut memory, keyring: &self.options.keyring };
        let taken = derive::take(exchange, &self.options.config, state, bounds)
            .map_err(|source| ReadError::Memory { line: *number, source })?;
        match taken {
            Taken::Again => self.summary.again += 1,
            Taken::Refused(error) => return Ok(Some(RejectReason::Event(error))),
            Taken::NoRequestor => {
                let what = "the service provider of its path cannot be a requestor ID".to_owned();
                return Ok(Some(RejectReason::Exchange(what)));
            }
            Taken::Unreadable(column) => {
                let what = format!("the body of a success cannot be read from its column {column} on");
                return Ok(Some(RejectReason::Exchange(what)));
            }
            Taken::Rule(rule, events) => {
                let sum = self.summary.rules.entry((exchange.endpoint.name(), rule)).or_default();
                sum.0 += 1;
                sum.1 += events.len() as u64;
                self.ready.extend(events.into_iter().map(|derived| (*number, derived.event, derived.rule)));
                memory.pass(exchange.started_at);
                if exchange.is_device_info_broken {
                    self.summary.broken_device_infos += 1;
                    self.summary.first_broken_device_info.get_or_insert(*number);
                }
            }
        }
        Ok(None)
    }

    /// Reads the current line; why it is none, where it is none.
    fn read(&mut self) -> Option<RejectReason> {
        let bytes = self.lines.bytes();
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        if self.lines.line_bytes() > LINE_BYTES_MAX as u64 {
            return Some(RejectReason::TooLong(self.lines.line_bytes()));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Some(RejectReason::NotUtf8(error.valid_up_to() + 1)),
        };
        let raw = match RawExchange::from_line(text) {
            Ok(raw) => raw,
            Err(bad) => return Some(RejectReason::Exchange(bad.to_string())),
        };
        match Exchange::redacted(&raw, &self.options.keyring) {
            Some(exchange) => {
                self.latest = self.latest.max(exchange.started_at);
                let number = self.lines.number();
                self.held.push(Reverse(Held { number, exchange: Box::new(exchange) }));
            }
            None => self.summary.others += 1,
        }
        None
    }
}

impl std::fmt::Display for BadExchange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadExchange::Form(what, column) => write!(out, "{what} at column {column}"),
            BadExchange::Missing(field) => write!(out, "{field} is missing"),
            BadExchange::StartedAt => out.write_str(
                "started_at is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00.125Z",
            ),
            BadExchange::Duration => out.write_str("duration_ms is more than a day; it counts milliseconds"),
        }
    }
}

/// A reject of an exchange keeps no byte of its line: any of them may be a secret. Path, number and reason lead back to it.
fn reject(number: u64, line_bytes: u64, reason: RejectReason) -> Line<'static> {
    let excerpt = Excerpt { bytes: (&b""[..]).into(), line_bytes, header: None, is_lossy: false };
    Line { number, excerpt, result: Err(reason), rule: None }
}

impl<R: BufRead> Reader for RestV2Reader<R> {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            if let Some((number, event, rule)) = self.ready.pop_front() {
                let excerpt = Excerpt::of(b"");
                return Ok(Some(Line { number, excerpt, result: Ok(event), rule: Some(rule) }));
            }
            if self.is_paused() {
                return Ok(None);
            }
            if let Some(held) = self.release() {
                if let Some(reason) = self.take(&held, bounds)? {
                    return Ok(Some(reject(held.number, 0, reason)));
                }
            } else if self.is_ended {
                return Ok(None);
            } else if self.lines.advance()? {
                if let Some(reason) = self.read() {
                    return Ok(Some(reject(self.lines.number(), self.lines.line_bytes(), reason)));
                }
            } else {
                self.is_ended = true;
            }
        }
    }

    fn unknown_keys(&self) -> &UnknownKeys {
        &self.unknown
    }

    fn is_inside_line(&self) -> bool {
        !self.ready.is_empty()
    }

    fn is_paused(&self) -> bool {
        self.ready.is_empty() && self.options.memory.borrow().changes_waiting() >= CHANGES_MAX
    }

    fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.options.memory.borrow_mut().take_changes()
    }

    fn exchanges(&self) -> Option<&ExchangeSummary> {
        Some(&self.summary)
    }
}
