//! The numbers by which the database names things, and how numbers of ours stand in its columns.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;

use crate::delivery::Sequence;
use crate::event::{ContentDigest, Instant};
use crate::hit::VisitorKey;

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

/// Lets a type stand in a column of integers: how it becomes one, and is made of one.
macro_rules! integer_column {
    ($($name:ident, $to:expr, $of:expr;)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let to: fn($name) -> i64 = $to;
                Ok(ToSqlOutput::from(to(*self)))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                i64::column_result(value).map($of)
            }
        }
    )*};
}

integer_column! {
    RequestorKey, |key| key.0, RequestorKey;
    FormKey, |key| key.0, FormKey;
    SuiteKey, |key| key.0, SuiteKey;
    JobKey, |key| key.0, JobKey;
    InputId, |key| key.0, InputId;
    RunId, |key| key.0, RunId;
    BulkFileId, |key| key.0, BulkFileId;
    Sequence, |sequence| sequence.0, Sequence;
    ContentDigest, |digest| digest.0, ContentDigest;
    VisitorKey, |key| key.0.cast_signed(), |number| VisitorKey(number.cast_unsigned());
    Instant, Instant::nanos, Instant::from_nanos;
}
