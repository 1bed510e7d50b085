//! Reads source formats: bytes in, events or rejected lines out; one reader a format.
//!
//! - In: a [`BufRead`](std::io::BufRead), already decompressed, and what the clock allows. Out: one [`Line`] after the other, each an event or
//!   the reason why it is none.
//! - Guarantees: a bad line costs only itself, and reading goes on behind it. Memory stays flat whatever a line holds: none
//!   above [`LINE_BYTES_MAX`] is kept. A line that its source broke off is neither an event nor a reject but a [`ReadError`].
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
