//! Exchange logs of the Pass REST API V2: what a gateway asked and what Adobe answered, and the events that follow.
//!
//! - In: one exchange per line, in about the order of their start. Out: the events that Adobe Pass would count, each with the
//!   rule of the derivation table that made it.
//! - Guarantees: tokens, codes, addresses and personal attributes are gone before anything is kept or reported; a line read
//!   twice gives nothing twice; a login may begin in one run and end in another; one bad line costs only itself.
//! - Does not know: where what it remembers is stored, who asks.
//! - Rules: `reference/pass-rest-api-v2.md`, above all its sections 7, 8 and 12.

mod ahead;
mod answer;
mod derive;
mod exchange;
mod har;
mod headers;
mod route;
mod service_token;
mod state;
mod summary;
mod vocabulary;
mod window;

use std::cell::RefCell;
use std::io::BufRead;
use std::rc::Rc;

pub use har::HarReader;
pub use service_token::{ServiceKeyError, ServiceKeys, TokenCheck};
pub use summary::{ExchangeSummary, rule_name};

use super::memory::{Keyring, MemoryChange, Recollection};
use super::{Line, ReadError, Reader, UnknownKeys};
use crate::config::RestV2Config;
use crate::event::TimeBounds;
use ahead::{Ahead, Parser};
use window::{Step, Window};

/// How exchanges are read.
#[derive(Debug, Clone)]
pub struct RestV2Options {
    /// Section `[rest_v2]` of the configuration.
    pub config: RestV2Config,
    /// What devices and codes are digested with.
    pub keyring: Keyring,
    /// The keys that service tokens are checked with; none: they are not.
    pub service_keys: ServiceKeys,
    /// What earlier lines said, of this run and of others.
    pub memory: Rc<RefCell<Recollection>>,
}

impl RestV2Options {
    /// With the defaults, nothing remembered, and a secret that is none: for sources of other formats.
    pub fn unused() -> RestV2Options {
        RestV2Options {
            config: RestV2Config::default(),
            keyring: Keyring::new(b""),
            service_keys: ServiceKeys::default(),
            memory: Rc::new(RefCell::new(Recollection::new(None))),
        }
    }
}

/// Reads exchange logs.
pub struct RestV2Reader<R> {
    ahead: Ahead<R>,
    window: Window,
    unknown: UnknownKeys,
}

impl<R: BufRead> RestV2Reader<R> {
    /// A reader from the start of a source.
    pub fn new(source: R, options: RestV2Options) -> RestV2Reader<R> {
        RestV2Reader {
            ahead: Ahead::new(source, Parser::of(&options)),
            window: Window::new(options),
            unknown: UnknownKeys::default(),
        }
    }
}

impl Parser {
    /// As these options say.
    fn of(options: &RestV2Options) -> Parser {
        Parser {
            keyring: options.keyring.clone(),
            service_keys: options.service_keys.clone(),
            device_infos: Default::default(),
        }
    }
}

impl<R: BufRead> Reader for RestV2Reader<R> {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            match self.window.step(bounds)? {
                Step::Line(line) => return Ok(Some(line)),
                Step::Paused | Step::Ended => return Ok(None),
                Step::Wanting => match self.ahead.next(self.window.spent())? {
                    Some(parsed) => match parsed.result {
                        Ok(exchange) => self.window.hold(parsed.number, exchange),
                        Err(reason) => {
                            return Ok(Some(window::reject(parsed.number, parsed.line_bytes, reason)));
                        }
                    },
                    None => self.window.end(),
                },
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
