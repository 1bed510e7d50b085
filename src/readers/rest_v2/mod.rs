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
mod har;
mod headers;
mod route;
mod state;
mod summary;
mod vocabulary;
mod window;

use std::cell::RefCell;
use std::io::BufRead;
use std::rc::Rc;

pub use har::HarReader;
pub use summary::{ExchangeSummary, rule_name};

use super::lines::Lines;
use super::memory::{Keyring, MemoryChange, Recollection};
use super::{LINE_BYTES_MAX, Line, ReadError, Reader, RejectReason, UnknownKeys};
use crate::config::RestV2Config;
use crate::event::TimeBounds;
use exchange::RawExchange;
use window::{Step, Window};

/// Whether a source that begins so holds exchanges: its first object has their members, and an event has none of them.
pub fn starts_like_exchanges(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let line = line.unwrap_or_default();
    [&b"\"started_at\""[..], b"\"request\""].iter().all(|name| memchr::memmem::find(line, name).is_some())
}

/// Whether a source that begins so is an HTTP archive.
pub fn starts_like_har(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    start.strip_prefix(b"{").is_some_and(|inside| inside.trim_ascii_start().starts_with(b"\"log\""))
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

/// Reads exchange logs.
pub struct RestV2Reader<R> {
    lines: Lines<R>,
    window: Window,
    unknown: UnknownKeys,
}

impl<R: BufRead> RestV2Reader<R> {
    /// A reader from the start of a source.
    pub fn new(source: R, options: RestV2Options) -> RestV2Reader<R> {
        RestV2Reader {
            lines: Lines::new(source),
            window: Window::new(options),
            unknown: UnknownKeys::default(),
        }
    }

    /// Reads the current line; why it is none, where it is none.
    fn read(&mut self) -> Result<(), RejectReason> {
        let bytes = self.lines.bytes();
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.lines.line_bytes() > LINE_BYTES_MAX as u64 {
            return Err(RejectReason::TooLong(self.lines.line_bytes()));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| RejectReason::NotUtf8(error.valid_up_to() + 1))?;
        let raw = RawExchange::from_line(text).map_err(|bad| RejectReason::Exchange(bad.to_string()))?;
        self.window.hold(self.lines.number(), &raw);
        Ok(())
    }
}

impl<R: BufRead> Reader for RestV2Reader<R> {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            match self.window.step(bounds)? {
                Step::Line(line) => return Ok(Some(line)),
                Step::Paused | Step::Ended => return Ok(None),
                Step::Wanting if self.lines.advance()? => {
                    if let Err(reason) = self.read() {
                        let (number, line_bytes) = (self.lines.number(), self.lines.line_bytes());
                        return Ok(Some(window::reject(number, line_bytes, reason)));
                    }
                }
                Step::Wanting => self.window.end(),
            }
        }
    }

    fn unknown_keys(&self) -> &UnknownKeys {
        &self.unknown
    }

    fn is_inside_line(&self) -> bool {
        self.window.is_inside_line()
    }

    fn is_paused(&self) -> bool {
        self.window.is_paused()
    }

    fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.window.take_changes()
    }

    fn exchanges(&self) -> Option<&ExchangeSummary> {
        Some(self.window.summary())
    }
}
