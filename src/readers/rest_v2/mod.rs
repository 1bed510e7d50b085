//! Exchange logs of the Pass REST API V2: a gateway's requests, Adobe's answers, and the events that follow.
//!
//! - In: one exchange per line, roughly in the order of their start. Out: the events that Adobe Pass would count,
//!   each with the rule that made it.
//! - Guarantees: tokens, codes, addresses and personal attributes are removed before anything is stored or reported;
//!   a line that is read twice is counted once; a login may begin in one run and end in another; a bad line costs only
//!   itself.
//! - Does not know: where its memory is stored, who calls it.
//! - Rules: `reference/pass-rest-api-v2.md`, above all its sections 7, 8 and 12.

mod ahead;
mod answer;
mod archive;
mod derive;
mod device;
mod entries;
mod exchange;
mod headers;
mod hop;
mod json;
mod likeness;
mod members;
mod raw;
mod reader;
mod route;
mod rule;
mod service_token;
mod state;
mod summary;
mod vocabulary;
mod window;

pub use likeness::is_like_exchange;
pub(super) use members::is_same;
pub use reader::ExchangeReader;
pub use rule::Rule;
pub use service_token::{ServiceKeyError, ServiceKeys, TokenCheck};
pub use summary::ExchangeSummary;
