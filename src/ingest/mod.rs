//! Takes events in: files, standard input and the inbox, through one validation, into the buffer.
//!
//! - In: inputs, plain or compressed, in any format of [`readers`](crate::readers); or the rows that other programs put into
//!   the inbox. Out: an [`IngestSummary`], and a file of the lines that are no event,
//!   or that lost against another of their `event_id`.
//! - Guarantees: what a summary counts as stored is durable. The rest of an input goes in behind a bad line, and the rest of
//!   the inputs behind a broken one. Of an input that breaks off, every whole line is stored and the one in the break is
//!   neither stored nor rejected. Memory is bounded by three portions of some 8 MiB, whatever an input holds.
//! - Does not know: report suites, hits, when a drain runs.
//! - Rules: sections 3 and 7 of the design; sections 3 and 6 of its measures for the two threads and the size of a batch.

mod erasure;
mod error;
mod inbox;
mod input;
mod intake;
mod load;
mod memory;
mod misplaced;
mod options;
mod portion;
mod reading;
mod rejects;
mod summary;
mod unpack;

pub use erasure::forget_rejects;
pub use error::{IngestError, InputError};
pub use inbox::take_inbox;
pub use input::{InputPath, read_whole};
pub use intake::{
    Intake, LineError, PlainSubmission, Receipt, Submission, SubmissionError, UNPACKED_BYTES_MAX,
};
pub use load::{Observer, Origin, Progress, load, preview};
pub use options::{FormatChoice, IngestOptions};
pub use rejects::retain_rejects;
pub(crate) use summary::is_zero;
pub use summary::{Counts, IngestSummary, InputFailure, InputSummary, Warning};
