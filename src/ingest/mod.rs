//! Ingest: reads events from files, standard input and the inbox, checks them, and stores them in the buffer.
//!
//! - In: inputs, plain or compressed, in any format of [`readers`](crate::readers); or the rows that other programs
//!   put into the inbox. Out: an [`IngestSummary`], and a file with the lines that are no event or whose `event_id`
//!   is already stored with other content.
//! - Guarantees: events that a summary counts as stored are durable. After a bad line, the rest of its input
//!   is still stored; after a broken input, the next inputs are read. If reading fails or a stop cuts a pipe off,
//!   all whole lines before that are stored; an incomplete line there is neither stored nor rejected. If an input
//!   simply ends within a line, this line is read like the others. At most about 32 MiB of lines are in memory.
//! - Does not know: report suites, hits, when a drain runs.
//! - Rules: `docs/sources.md`, `docs/guarantees.md`.

mod contract;
mod door;
mod erasure;
mod error;
mod gate;
mod inbox;
mod input;
mod intake;
mod load;
mod memory;
mod misplaced;
mod options;
mod paths;
mod pattern;
mod portion;
mod reading;
mod rejects;
mod summary;
mod unpack;

pub use contract::Contract;
pub use door::{Door, SharedDoor};
pub use erasure::{forget_rejects, rejects_of};
pub use error::{IngestError, InputError};
pub use inbox::take_inbox;
pub use input::{InputPath, read_whole};
pub use intake::{
    Intake, LineError, PlainSubmission, Receipt, Submission, SubmissionError, UNPACKED_BYTES_MAX,
    rejects_limit,
};
pub use load::{Observer, Origin, Progress, RejectsLimit, load, preview, preview_after};
pub use options::{FormatChoice, IngestOptions, Maps};
pub use paths::expand;
pub use rejects::{
    KeptReject, RejectsFile, expire_rejects, files_of_rejects, kept_rejects, rejects_files, retain_rejects,
};
pub(crate) use summary::is_zero;
pub use summary::{Counts, IngestSummary, InputFailure, InputSummary, Warning};
