//! The server-side metrics of a period, with the meaning that Adobe Pass gives them.
//!
//! - In: a buffer, a period, a time zone, what to group by. Out: a [`Report`], the very value that text, CSV, JSON and the page
//!   print.
//! - Guarantees: an event counts in the hour of its `occurred_at`, as often as its `count` says, from ingest on and whatever
//!   became of it since; a user counts once in whatever is asked for, never as a sum of parts.
//! - Does not know: SQL, what was sent, what Analytics shows (`reconcile` compares).
//! - Rules: "Understanding Server-side Metrics" of Adobe Pass Authentication.

mod figures;
mod page;

pub use figures::{Column, Dimension, Failure, Figures, Note, Report, Row};
pub use page::page;
