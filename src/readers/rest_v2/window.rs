//! Sorts the exchanges of a log or an archive by their start, and derives their events.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::derive::{self, Derived, Taken};
use super::exchange::{Elsewhere, Exchange, Spent};
use super::gap::gaps;
use super::route::Endpoint;
use super::rule::Rule;
use super::shared::SharedDevices;
use super::state::{State, ms_of};
use super::summary::{ExchangeSummary, Gap};
use crate::config::RestV2Config;
use crate::event::{Instant, TimeBounds};
use crate::readers::line::{Excerpt, Line, ReadError, RejectReason};
use crate::readers::memory::{Keyring, MemoryKey, MemoryResult, Recollection};
use crate::readers::options::ReaderOptions;

/// The most exchanges that are held back, however long the configured window is.
const HELD_MAX: usize = 50_000;
/// The most bytes of URLs and bodies of the exchanges that are held back. The parsed exchanges take more memory than
/// these bytes: some hundred MiB if they have long lists of resources.
const HELD_TEXT_BYTES_MAX: usize = 32 << 20;
/// Two hops log the start of one call at most half of this apart, and so do two exports that round it differently.
const TWIN_MS: i64 = 100;
/// A log that goes on where another ends may begin this long before that end, because calls are logged when they end.
const OVERLAP_NANOS: i64 = 10_000_000_000;
/// Until the source ends, the first exchange is taken only when this many are held: they show if the newest come first.
const SAMPLE: usize = 64;

/// Holds the exchanges of one source until they are in order, then derives their events.
pub(super) struct Window {
    config: RestV2Config,
    keyring: Keyring,
    /// Exchanges that are held back until no earlier exchange can come, by start and line number. In a log
    /// with the newest exchange first, the number is `u64::MAX` less the line number.
    held: BTreeMap<(Instant, u64), Box<Exchange>>,
    held_text_bytes: usize,
    latest: Instant,
    /// The latest start of the exchanges of earlier sources, less `OVERLAP_NANOS`.
    others_to: Instant,
    /// The latest start of the exchanges that were taken, or that of earlier sources less the window, whichever is
    /// later; `None` before the first exchange.
    taken_to: Option<Instant>,
    /// For the fingerprints of each exchange that started in the same instant as the last one: the microseconds that
    /// rounding added to its duration or removed.
    moment: HashMap<MemoryKey, i64>,
    devices: SharedDevices,
    is_begun: bool,
    /// Whether the whole source is sorted before any exchange is taken, as far as the window has room.
    is_whole: bool,
    is_ended: bool,
    /// The events of the last exchange that are still to be returned.
    ready: VecDeque<(u64, Derived)>,
    /// The exchanges whose events were derived, to be freed by the caller.
    pub(super) spent: Spent,
    pub(super) summary: ExchangeSummary,
}

#[expect(clippy::large_enum_variant, reason = "nearly every one is a line, and none is kept")]
pub(super) enum Step {
    Line(Line<'static>),
    /// The caller must store the changes of the memory; then there may be a line.
    Paused,
    /// The caller must hold another exchange or call `end`; then there may be a line.
    Wanting,
    Ended,
}

impl Window {
    pub(super) fn new(options: &ReaderOptions, is_whole: bool) -> Window {
        Window {
            config: options.rest_v2.clone(),
            keyring: options.keyring.clone(),
            held: BTreeMap::new(),
            held_text_bytes: 0,
            latest: Instant::from_nanos(i64::MIN),
            others_to: Instant::from_nanos(i64::MIN),
            taken_to: None,
            moment: HashMap::new(),
            devices: SharedDevices::default(),
            is_begun: false,
            is_whole,
            is_ended: false,
            ready: VecDeque::new(),
            spent: Spent::new(),
            summary: ExchangeSummary::default(),
        }
    }

    /// Holds back an exchange with the API, or a redirect that may belong to a logout. Others are only counted.
    pub(super) fn hold(&mut self, number: u64, exchange: Result<Box<Exchange>, Elsewhere>) {
        match exchange {
            Ok(exchange) => {
                self.latest = self.latest.max(exchange.started_at);
                self.held_text_bytes += exchange.text_bytes;
                self.held.insert((exchange.started_at, number), exchange);
            }
            Err(Elsewhere::KeptAnswer) => self.summary.kept_answers += 1,
            Err(elsewhere) => {
                self.summary.others += 1;
                self.summary.prefixed += u64::from(elsewhere == Elsewhere::PrefixedPath);
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    pub(super) fn step(&mut self, bounds: TimeBounds, memory: &mut Recollection) -> Result<Step, ReadError> {
        loop {
            if let Some((number, (event, rule))) = self.ready.pop_front() {
                let line = Line::of(number, Excerpt::of(b""), Ok(event));
                return Ok(Step::Line(Line { rule: Some(rule), ..line }));
            }
            if memory.is_full() {
                return Ok(Step::Paused);
            }
            let Some((number, exchange)) = self.release()? else {
                if !self.is_ended {
                    return Ok(Step::Wanting);
                }
                // If an identifier was told because of its users, it is most likely this one too: no second note.
                let is_told = self.summary.gaps[Gap::SharedDevice as usize].exchanges > 0;
                if let Some(number) = self.devices.most().filter(|_| !is_told) {
                    self.summary.lacks(Gap::SharedDevice, number, "");
                }
                return Ok(Step::Ended);
            };
            let reason = self.take(number, &exchange, bounds, memory)?;
            let fingerprint = exchange.fingerprint;
            self.spent.push(exchange);
            if let Some(reason) = reason {
                let excerpt = Excerpt::hidden(&fingerprint.0, 0);
                return Ok(Step::Line(Line::of(number, excerpt, Err(reason))));
            }
        }
    }

    pub(super) fn is_inside_line(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next exchange, if no earlier exchange can come or if the window is full.
    fn release(&mut self) -> Result<Option<(u64, Box<Exchange>)>, ReadError> {
        let is_full = self.held.len() >= HELD_MAX || self.held_text_bytes >= HELD_TEXT_BYTES_MAX;
        let Some((&(started_at, _), _)) = self.held.first_key_value() else { return Ok(None) };
        if !self.is_ended && !is_full {
            let window = self.window_nanos();
            let is_settled = started_at.nanos() <= self.latest.nanos().saturating_sub(window);
            let is_sampled = self.is_begun || self.held.len() >= SAMPLE;
            if self.is_whole || !is_settled || !is_sampled {
                return Ok(None);
            }
        }
        if !self.is_begun && self.is_newest_first() {
            if !self.is_ended && is_full {
                return Err(ReadError::NewestFirst(self.held.len()));
            }
            self.is_whole = true;
            if !self.is_ended {
                return Ok(None);
            }
            let held = std::mem::take(&mut self.held).into_iter();
            self.held = held.map(|((at, number), exchange)| ((at, u64::MAX - number), exchange)).collect();
        }
        self.is_begun = true;
        let Some(((_, number), exchange)) = self.held.pop_first() else { return Ok(None) };
        self.held_text_bytes -= exchange.text_bytes;
        Ok(Some((number.min(u64::MAX - number), exchange)))
    }

    /// Whether the newest exchanges come first: the median start of the second half is before that of the first half.
    fn is_newest_first(&self) -> bool {
        let mut held: Vec<(u64, Instant)> =
            self.held.keys().map(|(started_at, number)| (*number, *started_at)).collect();
        held.sort_unstable();
        let (first, second) = held.split_at_mut(self.held.len() / 2);
        let middle = |half: &mut [(u64, Instant)]| {
            half.sort_unstable_by_key(|(_, started_at)| *started_at);
            half.get(half.len() / 2).map(|(_, started_at)| *started_at)
        };
        middle(first).zip(middle(second)).is_some_and(|(first, second)| second < first)
    }

    /// Derives the events of an exchange, or returns why it is refused.
    fn take(
        &mut self,
        number: u64,
        exchange: &Exchange,
        bounds: TimeBounds,
        memory: &mut Recollection,
    ) -> Result<Option<RejectReason>, ReadError> {
        // An exchange that starts long before the exchanges of an earlier source is out of order too.
        let taken_to = self.taken_to.unwrap_or_else(|| {
            let latest = memory.latest().nanos();
            self.others_to = Instant::from_nanos(latest.saturating_sub(OVERLAP_NANOS));
            Instant::from_nanos(latest.saturating_sub(self.window_nanos()))
        });
        let is_late = exchange.started_at < taken_to;
        if exchange.started_at != taken_to || self.moment.len() >= HELD_MAX {
            self.moment.clear();
        }
        let mut is_other = false;
        for fingerprint in [Some(exchange.fingerprint), exchange.truncated].into_iter().flatten() {
            let rounded_us = *self.moment.entry(fingerprint).or_insert(exchange.rounded_us);
            // The log may have rounded a duration of whole milliseconds, so its difference from another is not reported.
            is_other |= rounded_us != exchange.rounded_us && rounded_us != 0 && exchange.rounded_us != 0;
        }
        if is_other {
            self.summary.lacks(Gap::Distinction, number, "");
        }
        self.taken_to = Some(taken_to.max(exchange.started_at));
        memory.pass(exchange.started_at);
        let state = State { memory, keyring: &self.keyring, service_provider: "" };
        let taken = derive::take(exchange, &self.config, state, bounds)
            .map_err(|source| ReadError::Memory { line: number, source })?;
        match taken {
            Taken::Again => self.summary.again += 1,
            Taken::TokenAgain => {
                self.summary.again += 1;
                self.summary.lacks(Gap::Token, number, "");
            }
            Taken::Elsewhere => self.summary.others += 1,
            Taken::Rejected(reason) => return Ok(Some(reason)),
            Taken::Rule { rule, events, is_recovered } => {
                if self.config.asked_line == Some(number) {
                    self.summary.asked = Some(rule);
                }
                // Under these rules a redirect is the expected answer, or nothing is counted whatever the answer is.
                // So their statuses are not reported as uncounted.
                let is_right = matches!(
                    rule,
                    Rule::USER_AGENT_SENT | Rule::LOGOUT_SENT_TO_MVPD | Rule::NOTHING_TO_COUNT
                );
                if events.is_empty() && !is_right && !(200..300).contains(&exchange.status) {
                    *self.summary.uncounted.entry(exchange.status).or_default() += 1;
                }
                let sum = self.summary.rules.entry((exchange.endpoint.as_str(), rule)).or_default();
                sum.0 += 1;
                sum.1 += events.len() as u64;
                self.summary.late += u64::from(is_late);
                if exchange.started_at < self.others_to {
                    self.summary.lacks(Gap::Order, number, "");
                }
                self.compare(number, exchange, &events, memory)
                    .map_err(|source| ReadError::Memory { line: number, source })?;
                self.summary.unprefixed += u64::from(exchange.is_unprefixed);
                self.summary.recovered += u64::from(is_recovered);
                if let Some(check) = exchange.token_check {
                    *self.summary.service_tokens.entry(check.as_str()).or_default() += 1;
                }
                for gap in gaps(exchange, rule, &events) {
                    let why = exchange.asked.unread.filter(|_| gap == Gap::RequestBody);
                    self.summary.lacks(gap, number, why.map_or("", |unread| unread.0));
                }
                self.ready.extend(events.into_iter().map(|derived| (number, derived)));
            }
        }
        Ok(None)
    }

    /// Notes calls that look like others, and devices that look like several.
    fn compare(
        &mut self,
        number: u64,
        exchange: &Exchange,
        events: &[Derived],
        memory: &mut Recollection,
    ) -> MemoryResult<()> {
        if !events.is_empty() && self.is_twin(exchange, memory)? {
            self.summary.lacks(Gap::Twin, number, "");
        }
        if let Some(device) = exchange.device {
            self.devices.see(device, number);
        }
        if self.devices.is_shared(events, &self.keyring) {
            self.summary.lacks(Gap::SharedDevice, number, "");
        }
        Ok(())
    }

    /// Whether a call that counts each time looks like one that was counted before, in this input or an earlier one.
    /// Of the two, one may lack headers, a query or a body, or spell them otherwise, so only what both have is compared.
    fn is_twin(&self, exchange: &Exchange, memory: &mut Recollection) -> MemoryResult<bool> {
        let counts_each =
            matches!(exchange.endpoint, Endpoint::Authorize | Endpoint::Preauthorize | Endpoint::Logout);
        let Some(device) = exchange.device.filter(|_| counts_each && exchange.token.is_none()) else {
            return Ok(false);
        };
        let named = exchange.name.as_deref().unwrap_or_default().to_lowercase();
        let asked = exchange.resources().join("\n");
        let texts = [exchange.service_provider.as_str(), exchange.endpoint.as_str(), &named, &asked];
        let key = |part: i64| {
            let numbers = [&part.to_be_bytes()[..], &exchange.status.to_be_bytes()];
            self.keyring
                .derived("call", &[&[&device.0[..]], &texts.map(str::as_bytes)[..], &numbers].concat())
        };
        // A call that starts up to half a part of time away is in the same part, or in the one beside this half.
        let at = ms_of(exchange.started_at);
        let (part, rest) = (at.div_euclid(TWIN_MS), at.rem_euclid(TWIN_MS));
        let beside = if rest < TWIN_MS / 2 { part - 1 } else { part + 1 };
        let is_beside = memory.recall(key(beside))?.is_some();
        let mut state = State { memory, keyring: &self.keyring, service_provider: "" };
        Ok(!state.is_first(key(part), at + derive::TOKENS_MS)? || is_beside)
    }

    fn window_nanos(&self) -> i64 {
        i64::from(self.config.reorder_seconds).saturating_mul(1_000_000_000)
    }
}
