//! The numbers of the things that the buffer stores.

use serde::Serialize;

/// The number of a requestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RequestorKey(pub(super) i64);

/// The number of a hit form: the settings with which the hits of a suite are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FormKey(pub(super) i64);

/// The number of a suite that is not retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SuiteKey(pub(super) i64);

/// The number of a backfill; [`JobKey::LIVE`] for live events. Negative for the standing backfill of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct JobKey(pub(super) i64);

impl JobKey {
    /// For live events, which belong to no backfill.
    pub const LIVE: JobKey = JobKey(0);

    /// Whether this is the standing backfill of a suite.
    pub fn is_standing(self) -> bool {
        self.0 < 0
    }
}

/// The number of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InputId(pub i64);

/// The number of a run: of a drain, or of a process that runs a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RunId(pub i64);

/// The number of a bulk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BulkFileId(pub(super) i64);
