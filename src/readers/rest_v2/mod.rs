//! Exchanges with the Pass REST API V2: the requests of a gateway, the answers of Adobe, and the events that follow.
//!
//! - In: a log with one exchange per line, sorted roughly by start, or an HTTP archive. Out: the events that Adobe
//!   Pass would count, each with the rule that made it.
//! - Guarantees: tokens, codes, addresses and personal attributes are removed before anything is stored or
//!   reported. A line that is read twice is counted once. A login may begin in one run and end in another. A
//!   bad line is rejected alone.
//! - Does not know: where its memory is stored, who calls it.
//! - Rules: "REST API V2" in Adobe's guide to Pass Authentication; "Exchange logs" in `docs/sources.md`.

mod ahead;
mod answer;
mod archive;
mod bad_exchange;
mod derive;
mod device;
mod entries;
mod exchange;
mod gap;
mod headers;
mod hop;
mod json;
mod likeness;
mod members;
mod raw;
mod reader;
mod route;
mod rule;
mod secrets;
mod service_token;
mod shared;
mod state;
mod summary;
mod vocabulary;
mod window;

pub(super) use headers::decode_base64;
pub use likeness::{has_escapes, has_packed_text, is_like_exchange, is_packed, why_unreadable};
pub(super) use members::is_same;
pub use reader::ExchangeReader;
pub use rule::Rule;
pub use secrets::secret_name;
pub use service_token::{ServiceKeyError, ServiceKeys, TokenCheck};
pub use summary::{ExchangeSummary, Gap};
