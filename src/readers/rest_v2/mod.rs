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
mod entries;
mod exchange;
mod har;
mod headers;
mod likeness;
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
pub use likeness::is_like_exchange;
pub use service_token::{ServiceKeyError, ServiceKeys, TokenCheck};
pub use summary::{ExchangeSummary, rule_name};

use super::memory::{Keyring, MemoryChange, Recollection};
use super::{Line, ReadError, Reader, UnknownKeys};
use crate::config::RestV2Config;
use crate::event::TimeBounds;
use ahead::Ahead;
use exchange::Redactor;
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
    /// Whether a release before schema 6 of the buffer read exchanges into it, so that what it knew them by is looked up too.
    pub knows_former: bool,
}

impl RestV2Options {
    /// With the defaults, nothing remembered, and a secret that is none: for sources of other formats.
    pub fn unused() -> RestV2Options {
        RestV2Options {
            config: RestV2Config::default(),
            keyring: Keyring::new(b""),
            service_keys: ServiceKeys::default(),
            memory: Rc::new(RefCell::new(Recollection::new(None))),
            knows_former: false,
        }
    }
}

/// Reads exchange logs.
pub struct RestV2Reader<R> {
    ahead: Ahead<R>,
    window: Window,
    /// Why the source broke off, until the exchanges before were taken.
    broken: Option<ReadError>,
    unknown: UnknownKeys,
}

impl<R: BufRead> RestV2Reader<R> {
    /// A reader from the start of a source.
    pub fn new(source: R, options: RestV2Options) -> RestV2Reader<R> {
        RestV2Reader {
            ahead: Ahead::new(source, Redactor::of(&options)),
            window: Window::new(options),
            broken: None,
            unknown: UnknownKeys::default(),
        }
    }
}

impl Redactor {
    fn of(options: &RestV2Options) -> Redactor {
        let prefix = route::path_of(&options.config.path_prefix).trim_matches('/');
        Redactor {
            keyring: options.keyring.clone(),
            service_keys: options.service_keys.clone(),
            device_infos: Default::default(),
            path_prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            knows_former: options.knows_former,
        }
    }
}

impl<R: BufRead> Reader for RestV2Reader<R> {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            match self.window.step(bounds)? {
                Step::Line(line) => return Ok(Some(line)),
                Step::Paused => return Ok(None),
                Step::Ended => return self.broken.take().map_or(Ok(None), Err),
                Step::Wanting => match self.ahead.next(self.window.spent()) {
                    Ok(Some(parsed)) => match parsed.result {
                        Ok(exchange) => self.window.hold(parsed.number, exchange),
                        Err(reason) => {
                            return Ok(Some(window::reject(parsed.number, parsed.line_bytes, reason)));
                        }
                    },
                    Ok(None) => self.window.end(),
                    Err(error) => {
                        self.broken = Some(error);
                        self.window.end();
                    }
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
