//! Sends test hits (canaries) into a suite, and reads back what Analytics made of them.
//!
//! ```text
//! group    visitor      events        eVars                           shows
//! first    probe's own  1 to 18       all, the same values            each event and each eVar is seen
//! repeat   probe's own  1 to 18       the very same bytes             with event IDs, not counted again: Use Event ID
//! second   probe's own  1 to 18       the same values, other serials  counted again: not Record Once Per Visit
//! set      a second     1             all, values of their own
//! bare     the second   12, then 13   a different one for each event  no value of `set` is credited: it had expired
//! ```
//!
//! The hits use the same mapping, encoding and connection as events, but they are no Pass events: neither the
//! buffer nor our metrics count them. A probe takes no lock, because its hits are not in the queue of a
//! drain. Its record is stored before its first hit is sent, and all hits follow from that record, so that
//! the hits of an interrupted probe can be read back later.

mod compare;
mod judge;
mod plan;
mod report;
mod run;

pub use report::{
    EvarSeen, EvarState, EventSeen, ProbeError, ProbeFinding, ProbeOutcome, ProbeReport, Proof, Verdict,
    outcome,
};
pub use run::{Probe, ProbeOptions};
