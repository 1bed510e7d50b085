//! Sends canary hits into a suite, and reads back what Analytics made of them.
//!
//! ```text
//! group    visitor      events        eVars                           shows
//! first    probe's own  1 to 18       all, the same values            each event and each eVar is seen
//! repeat   probe's own  1 to 18       the very same bytes             not counted again: Use Event ID (only with event IDs on)
//! second   probe's own  1 to 18       the same values, other serials  counted again: not Record Once Per Visit
//! set      another one  1             all, values of their own
//! bare     another one  12, then 13   one, and another one            no value of `set` is credited: it expired with its hit
//! ```
//!
//! The hits go through the very mapping, encoding and connection that events go through, but they are no Pass events: they
//! never enter the buffer's account or any metric of ours. A probe takes no lock, as nothing of it is in the queue that a
//! drain works on. It is put on record before its first hit goes, and all its hits follow from that record, so that
//! what an interrupted probe sent can be read back later.

mod compare;
mod judge;
mod plan;
mod report;
mod run;
mod send;

pub use report::{
    EvarSeen, EvarState, EventSeen, ProbeError, ProbeFinding, ProbeOutcome, ProbeReport, Proof, Verdict,
    outcome,
};
pub use run::{Probe, ProbeOptions};
