//! The syntax of faults and wrong settings: words `NAME` or `NAME=VALUE`, with quotes around a value with separators.

use std::str::FromStr;

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {why}")]
pub struct SyntaxError {
    /// `fault`, or `wrong setting`.
    pub(super) what: &'static str,
    pub(super) text: String,
    pub(super) why: String,
}

/// Splits where a separator stands outside double quotes; empty parts are left out.
pub(super) fn split_unquoted(text: &str, is_separator: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = text.split(move |letter| {
        is_quoted ^= letter == '"';
        !is_quoted && is_separator(letter)
    });
    parts.filter(|part| !part.is_empty())
}

/// The name of a word, and its value without quotes.
pub(super) fn name_and_value(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(unquoted(value))))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Reads a number; an error names the option that needs it.
pub(super) fn number<N: FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name} needs a whole number, not {text:?}"))
}
