//! Reads source formats: bytes in, events or rejected lines out. Each format has one reader.
//!
//! - In: a [`BufRead`](std::io::BufRead), already decompressed, and the time bounds. Out: one [`Line`] after the
//!   other, each an event or the reason why it has none.
//! - Guarantees: a bad line is rejected alone, and reading continues after it. A source that cannot be read to its end,
//!   or that is no document of its format, gives a [`ReadError`]. Memory is bounded: of a line above [`LINE_BYTES_MAX`]
//!   only the start is kept.
//! - Does not know: files, compression, the time of day, the buffer.
//! - Rules: RFC 8259 (JSON); RFC 4180 (CSV); `schemas/pass-event.schema.json` for events; `docs/sources.md`.

mod cause;
mod change;
pub mod csv;
pub mod esm;
mod format;
mod guess;
mod leftovers;
mod line;
mod lines;
mod list;
mod map;
mod members;
pub mod memory;
pub mod ndjson;
mod options;
mod parts;
mod records;
mod rejected;
mod remarks;
pub mod rest_v2;
mod totals;
mod unknown;
mod wrapper;

pub use cause::{stranger, wide_encoding};
pub use format::Format;
pub use guess::{Guess, guess};
pub use line::{
    AppliedRule, EXCERPT_BYTES_MAX, Excerpt, HeaderError, LINE_BYTES_MAX, Line, ReadError, Reader,
    RejectReason, SourceSummary,
};
pub use lines::BYTE_ORDER_MARK;
pub use list::{ListElements, starts_as_list};
pub use map::Map;
pub use ndjson::LineParser;
pub use options::ReaderOptions;
pub use rejected::RejectedLine;
pub use remarks::Remarks;
pub use unknown::{UnknownKeys, event_key};
pub(crate) use wrapper::wrapped;
