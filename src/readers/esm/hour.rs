//! What a reader holds of an hour, and what it knows of a record before its report.

use super::respelt::Respelt;
use crate::event::{KindSet, RequestorId};
use crate::readers::memory::MemoryKey;

/// An hour of a requestor, held so that its rows are looked up once and not for each record.
pub(super) struct Hour {
    pub(super) requestor_id: RequestorId,
    /// From the Unix epoch.
    pub(super) number: i64,
    pub(super) place: MemoryKey,
    pub(super) lacking_at: MemoryKey,
    /// The row about the columns that its records lack.
    pub(super) lacking: Option<String>,
    /// The kinds of events that were counted in it before; `None` if nothing tells.
    pub(super) kinds: Option<KindSet>,
    /// Whether memory has it by this grouping and on this clock.
    pub(super) is_own: bool,
    /// Whether this report has remembered that.
    pub(super) is_remembered: bool,
}

/// What was counted of a record before its report.
pub(super) struct Earlier {
    /// Units, under the names of the record or, with `respelt`, under that spelling.
    pub(super) known: u64,
    pub(super) respelt: Option<Respelt>,
}
