//! The numbers by which the database names things.

use serde::Serialize;

/// A requestor, as the buffer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestorKey(pub(super) i64);

/// A hit form, as the buffer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormKey(pub(super) i64);

/// A suite that is not retired, as the buffer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SuiteKey(pub(super) i64);

/// What brought an event: nothing for live events, else the backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct JobKey(pub(super) i64);

impl JobKey {
    /// The job of live events.
    pub const LIVE: JobKey = JobKey(0);
}

/// One input, as the buffer remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputId(pub(super) i64);

/// The number of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RunId(pub i64);

/// The number of a bulk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BulkFileId(pub(super) i64);
