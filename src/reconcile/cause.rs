//! The known causes of differences between two counts, and the words for them.

use serde::Serialize;

/// Why two counts of a cell differ. The first ten causes are fields of [`super::Stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    #[error("pending")]
    Pending,
    #[error("parked")]
    Parked,
    #[error("dead")]
    Dead,
    #[error("held")]
    Held,
    #[error("discarded")]
    Discarded,
    #[error("deleted undelivered")]
    Withdrawn,
    #[error("too fresh")]
    TooFresh,
    #[error("late")]
    Late,
    #[error("vouched for by hand")]
    Vouched,
    #[error("ambiguous")]
    Ambiguous,
    /// The day is not over, or ended so recently that ESM and the sources still add events to it.
    #[error("day not over")]
    OpenDay,
    /// ESM counts the authorizations that Adobe rejected as an attack in a separate metric.
    #[error("rejected apart")]
    Rejected,
    /// ESM counts only the failed logins of external systems.
    #[error("external only in ESM")]
    ExternalOnly,
}
