//! How our types are stored in columns: numbers as integers, words and names as text.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::{BulkFileId, FormKey, InputId, JobKey, RequestorKey, RunId, SuiteKey};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{ContentDigest, Instant, RequestorId};
use crate::hit::VisitorKey;
use crate::job::{Hours, JobName, JobRoute, JobState};
use crate::readers::memory::Feed;
use crate::suite::{
    CollectionUrl, CountForm, EventIds, IdentityKind, LiveRoute, OnAmbiguous, OrgId, Rsid, Stage, SuiteState,
};

/// Stores types as integers: `$to` makes the integer, `$of` reads it back.
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

/// Stores types as text: `$to` makes the text, `$of` reads it back.
macro_rules! text_column {
    ($to:expr, $of:expr; $($name:ident)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let to: fn(&$name) -> String = $to;
                Ok(ToSqlOutput::from(to(self)))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                $of(value.as_str()?).map_err(FromSqlError::other)
            }
        }
    )*};
}

text_column! {
    ToString::to_string, str::parse;
    CollectionUrl CountForm EventIds Feed Hours IdentityKind JobRoute JobState LiveRoute OnAmbiguous OrgId Rsid Stage SuiteState
}
text_column! { ToString::to_string, RequestorId::new; RequestorId }
text_column! { ToString::to_string, |name: &str| Ok::<_, FromSqlError>(JobName(name.to_owned())); JobName }
text_column! { DeadReason::code, |code| Ok::<_, FromSqlError>(DeadReason::from_code(code)); DeadReason }

/// A value that is stored as JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let document = serde_json::to_string(&self.0);
        document.map(ToSqlOutput::from).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Json<T>> {
        serde_json::from_str(value.as_str()?).map(Json).map_err(FromSqlError::other)
    }
}
