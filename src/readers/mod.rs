//! Reads source formats: bytes in, events or rejected lines out. Each format has one reader.
//!
//! - In: a [`BufRead`](std::io::BufRead), already decompressed, and the time bounds. Out: one [`Line`] after the
//!   other, each an event or the reason why it has none.
//! - Guarantees: a bad line costs only itself, and reading goes on behind it. Memory is bounded: no line above
//!   [`LINE_BYTES_MAX`] is kept. A last line that is incomplete is neither an event nor a reject, but gives a
//!   [`ReadError`].
//! - Does not know: files, compression, the time of day, the buffer.
//! - Rules: section 3 of the design; RFC 8259 and RFC 4180 for the two formats; `schemas/pass-event.schema.json` for a line.

mod cause;
pub mod csv;
pub mod esm;
mod format;
mod guess;
mod line;
mod lines;
mod members;
pub mod memory;
pub mod ndjson;
mod options;
mod records;
mod rejected;
mod remarks;
pub mod rest_v2;
mod surrogates;
mod unknown;

pub use cause::is_utf16;
pub use format::Format;
pub use guess::{Guess, guess};
pub use line::{
    AppliedRule, EXCERPT_BYTES_MAX, Excerpt, HeaderError, LINE_BYTES_MAX, Line, ReadError, Reader,
    RejectReason, SourceSummary,
};
pub use lines::BYTE_ORDER_MARK;
pub use options::ReaderOptions;
pub use rejected::RejectedLine;
pub use remarks::Remarks;
pub use unknown::UnknownKeys;
