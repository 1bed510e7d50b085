//! Recognises rows of a database's change log that were changed or deleted: such a row is no new event.

use super::members::{Members, raw_value, unquoted};
use crate::event::{EventError, RawValue, is_no_value};
use crate::harmless::clip;

/// Ends of the names of keys whose values say what kind of change a row is: words in lower case, with bars between.
const KINDS: &str =
    "op|oper|operation|rowkind|op type|operation type|change type|dml type|row kind|capxaction";
/// More of these ends. Programs use such names for other things too, so a single letter as the value says nothing.
const KINDS_IN_WORDS: &str = "action|kind|type|event name";
/// What they say of a changed or deleted row, in lower case and without a sign.
const CHANGES: &str = "update|updated|delete|deleted|modify|remove|replace|update_before|update_after|update_preimage|update_postimage";
const CHANGES_IN_LETTERS: &str = "u|d|ub";
/// The start of the name of SQL Server's column, and its values: 1 for a deleted row, 3 before a change, 4 after it.
const SQL_SERVER: (&str, &str) = ("__$", "1|3|4");
/// Ends of the names of flags that say that a row was changed or deleted.
const FLAGS: &str = "deleted|is delete|is update|isupdate|isdelete";
/// The end of the name of the time at which a row was deleted.
const TIMES: &str = "deleted at";
/// The names of objects that have the row as it was before its change.
const FORMER: &str = "before|old|oldimage";
/// How many levels of objects are searched below a key that is no key of an event: a message, its headers, a key there.
const DEPTH_MAX: usize = 3;

/// Refuses a row whose key says that it was changed or deleted. `path` is a key that is no key of an event; `json` is the
/// text of an object.
pub(super) fn refuse_change(path: &str, value: &RawValue<'_>, json: &str) -> Result<(), EventError> {
    refuse_within(path, value, json, DEPTH_MAX)
}

fn refuse_within(path: &str, value: &RawValue<'_>, json: &str, depth: usize) -> Result<(), EventError> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_one_of = |words: &str, word: &str| words.split('|').any(|known| known.eq_ignore_ascii_case(word));
    let changed = |text: &str| Err(EventError::Changed(clip(path), clip(text)));
    let text = match value {
        RawValue::Text(text) => text.trim(),
        RawValue::Number(number) => number,
        RawValue::Flag(true) => "true",
        RawValue::Nested if json.starts_with('{') && is_one_of(FORMER, name) => return changed("an object"),
        RawValue::Nested if depth > 0 => {
            let Members(members) = serde_json::from_str(json).unwrap_or_default();
            return members.into_iter().try_for_each(|(key, json)| {
                let key = unquoted(key).unwrap_or_default();
                refuse_within(&format!("{path}.{key}"), &raw_value(json), json, depth - 1)
            });
        }
        RawValue::Flag(false) | RawValue::Absent | RawValue::Nested | RawValue::Half => return Ok(()),
    };
    // Nearly all values say nothing of the kind. They are compared without a copy.
    let bare = text.trim_start_matches(['+', '-']);
    let (is_word, is_letter) = (is_one_of(CHANGES, bare), is_one_of(CHANGES_IN_LETTERS, bare));
    let is_of_server = name.starts_with(SQL_SERVER.0) && is_one_of(SQL_SERVER.1, text);
    let (is_set, is_time) = (
        is_one_of("true|t|1|yes|y", text),
        !text.is_empty() && name.to_ascii_lowercase().ends_with("at") && !is_no_value(text),
    );
    if !(is_word || is_letter || is_of_server || is_set || is_time) {
        return Ok(());
    }
    let words = words_of(name);
    let ends_with = |ends: &str| {
        let is_end =
            |end: &str| words.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with(' '));
        ends.split('|').any(is_end)
    };
    let is_change = (is_word || is_letter || is_of_server) && ends_with(KINDS)
        || is_word && ends_with(KINDS_IN_WORDS)
        || is_set && ends_with(FLAGS)
        || is_time && ends_with(TIMES);
    if is_change { changed(text) } else { Ok(()) }
}

/// The words of a name in lower case, with blanks between: `is deleted` of `_isDeleted`.
fn words_of(name: &str) -> String {
    let mut words = String::new();
    let mut is_small = false;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() || letter.is_ascii_uppercase() && is_small {
            words.push(' ');
        }
        is_small = letter.is_ascii_lowercase();
        words.extend(letter.is_ascii_alphanumeric().then_some(letter.to_ascii_lowercase()));
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
