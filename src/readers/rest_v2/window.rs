//! Puts exchanges into the order of their start and derives their events: what every source of exchanges shares.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::derive::{self, Taken};
use super::exchange::{Exchange, Spent};
use super::state::State;
use super::{ExchangeSummary, RestV2Options};
use crate::event::{Instant, PassEvent, TimeBounds};
use crate::readers::memory::MemoryChange;
use crate::readers::{Excerpt, Line, ReadError, RejectReason};

/// Exchanges that are held back at most, whatever the window: some hundred MiB.
const HELD_MAX: usize = 50_000;
/// Changes after which the reader asks for them to be stored, though no event came: bounds memory in a log of polls.
const CHANGES_MAX: usize = 20_000;

/// The exchanges of one source on their way to events.
pub(super) struct Window {
    options: RestV2Options,
    /// What is held back until nothing earlier can come.
    held: BinaryHeap<Reverse<Held>>,
    latest: Instant,
    /// Where the last exchange taken began.
    taken_to: Instant,
    is_ended: bool,
    /// The events of the exchange taken last.
    ready: VecDeque<(u64, PassEvent, u8)>,
    /// Exchanges that are done with.
    spent: Spent,
    summary: ExchangeSummary,
}

/// What a window has.
#[expect(clippy::large_enum_variant, reason = "nearly every one is a line, and none is kept")]
pub(super) enum Step {
    /// An event or a reject.
    Line(Line<'static>),
    /// Nothing until its changes were taken.
    Paused,
    /// Nothing until it is given another exchange.
    Wanting,
    /// Nothing more.
    Ended,
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

impl Window {
    pub(super) fn new(options: RestV2Options) -> Window {
        Window {
            options,
            held: BinaryHeap::new(),
            latest: Instant::from_nanos(i64::MIN),
            taken_to: Instant::from_nanos(i64::MIN),
            is_ended: false,
            ready: VecDeque::new(),
            spent: Spent::new(),
            summary: ExchangeSummary::default(),
        }
    }

    /// Takes an exchange in; one with somebody else is counted and gone.
    pub(super) fn hold(&mut self, number: u64, exchange: Option<Box<Exchange>>) {
        match exchange {
            Some(exchange) => {
                self.latest = self.latest.max(exchange.started_at);
                self.held.push(Reverse(Held { number, exchange }));
            }
            None => self.summary.others += 1,
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    /// What there is now.
    pub(super) fn step(&mut self, bounds: TimeBounds) -> Result<Step, ReadError> {
        loop {
            if let Some((number, event, rule)) = self.ready.pop_front() {
                let excerpt = Excerpt::of(b"");
                return Ok(Step::Line(Line { number, excerpt, result: Ok(event), rule: Some(rule) }));
            }
            if self.is_paused() {
                return Ok(Step::Paused);
            }
            let Some(held) = self.release() else {
                return Ok(if self.is_ended { Step::Ended } else { Step::Wanting });
            };
            let reason = self.take(&held, bounds)?;
            self.spent.push(held.exchange);
            if let Some(reason) = reason {
                return Ok(Step::Line(reject(held.number, 0, reason)));
            }
        }
    }

    pub(super) fn is_inside_line(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.ready.is_empty() && self.options.memory.borrow().changes_waiting() >= CHANGES_MAX
    }

    pub(super) fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.options.memory.borrow_mut().take_changes()
    }

    /// The exchanges that are done with, for the caller to take away.
    pub(super) fn spent(&mut self) -> &mut Spent {
        &mut self.spent
    }

    pub(super) fn summary(&self) -> &ExchangeSummary {
        &self.summary
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
        memory.pass(exchange.started_at);
        let state = State { memory: &mut memory, keyring: &self.options.keyring };
        let taken = derive::take(exchange, &self.options.config, state, bounds)
            .map_err(|source| ReadError::Memory { line: *number, source })?;
        match taken {
            Taken::Again => self.summary.again += 1,
            Taken::Elsewhere => self.summary.others += 1,
            Taken::Refused(error) => return Ok(Some(RejectReason::Event(error))),
            Taken::NoRequestor => {
                let what = "the service provider of its path cannot be a requestor ID".to_owned();
                return Ok(Some(RejectReason::Exchange(what)));
            }
            Taken::Mixed(requestor_id) => {
                return Ok(Some(RejectReason::MixedFeeds(requestor_id.as_str().to_owned())));
            }
            Taken::Unreadable(column) => {
                let what = format!("the body of a success cannot be read from its column {column} on");
                return Ok(Some(RejectReason::Exchange(what)));
            }
            Taken::Rule(rule, events) => {
                let sum = self.summary.rules.entry((exchange.endpoint.name(), rule)).or_default();
                sum.0 += 1;
                sum.1 += events.len() as u64;
                if let Some(check) = exchange.token_check {
                    *self.summary.service_tokens.entry(check).or_default() += 1;
                }
                self.ready.extend(events.into_iter().map(|derived| (*number, derived.event, derived.rule)));
                if exchange.is_device_info_broken {
                    self.summary.broken_device_infos += 1;
                    self.summary.first_broken_device_info.get_or_insert(*number);
                }
            }
        }
        Ok(None)
    }
}

/// A reject of an exchange keeps no byte of its line: any of them may be a secret. Path, number and reason lead back to it.
pub(super) fn reject(number: u64, line_bytes: u64, reason: RejectReason) -> Line<'static> {
    let excerpt = Excerpt { bytes: (&b""[..]).into(), line_bytes, header: None, is_lossy: false };
    Line { number, excerpt, result: Err(reason), rule: None }
}
