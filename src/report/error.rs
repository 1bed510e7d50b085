//! Why there is no report.

use crate::buffer::BufferError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// `known` are the requestors that have events.
    #[error("no event of requestor {requestor_id:?} was ever stored")]
    UnknownRequestor { requestor_id: String, known: Vec<String> },
    #[error("the period begins at {from}, which is still to come: there is no data of it yet")]
    ToCome { from: String },
    #[error("by {} there are more than half a million rows", by.join(", "))]
    TooManyRows { by: Vec<&'static str> },
}
