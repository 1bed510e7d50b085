//! Recognises rows of a database's change log that were changed or deleted: such a row is no new event.

use crate::event::{EventError, RawValue, is_no_value};
use crate::harmless::clip;

/// The columns in which programs say what kind of change a row is, in lower case, with bars between: Debezium and AWS DMS,
/// GoldenGate, Delta Lake and BigQuery, Snowflake, SQL Server, Hudi, Flink.
const KINDS: &str =
    "op|_op|__op|op_type|_change_type|metadata$action|__$operation|_hoodie_operation|rowkind|_rowkind";
/// What they say of a changed or deleted row, in lower case and without a sign.
const CHANGES: &str = "u|d|ub|update|delete|update_before|update_after|update_preimage|update_postimage";
/// How the column of SQL Server begins, and what it says of a deleted row, and of one before and after a change.
const SQL_SERVER: (&str, &str) = ("__$", "1|3|4");
/// The column in which Snowflake says that an inserted row was one before.
const IS_UPDATE: &str = "metadata$isupdate";

/// Refuses a row whose column says that it was changed or deleted. `path` is a key that is no key of an event.
pub(super) fn refuse_change(path: &str, value: &RawValue<'_>) -> Result<(), EventError> {
    let name = path.rsplit('.').next().unwrap_or(path);
    // Nearly all names are of no such column. They are compared without a copy.
    let is_one_of = |words: &str, word: &str| words.split('|').any(|known| known.eq_ignore_ascii_case(word));
    let ends_with = |end: &str| {
        let start = name.len().saturating_sub(end.len());
        name.starts_with('_') && name.get(start..).is_some_and(|it| it.eq_ignore_ascii_case(end))
    };
    let (is_kind, is_time) = (is_one_of(KINDS, name), ends_with("deleted_at"));
    if !(is_kind || is_time || ends_with("deleted") || name.eq_ignore_ascii_case(IS_UPDATE)) {
        return Ok(());
    }
    let text = match value {
        RawValue::Text(text) => text.trim(),
        RawValue::Number(number) => number,
        RawValue::Flag(true) => "true",
        RawValue::Flag(false) | RawValue::Absent | RawValue::Nested | RawValue::Half => return Ok(()),
    };
    let is_change = if is_kind {
        is_one_of(CHANGES, text.trim_start_matches(['+', '-']))
            || name.starts_with(SQL_SERVER.0) && is_one_of(SQL_SERVER.1, text)
    } else if is_time {
        !text.is_empty() && !is_no_value(text)
    } else {
        is_one_of("true|t|1|yes|y", text)
    };
    if is_change { Err(EventError::Changed(clip(path), clip(text))) } else { Ok(()) }
}
