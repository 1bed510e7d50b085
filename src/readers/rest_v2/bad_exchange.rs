//! Why a line or an entry is no exchange, in words that quote nothing of it.

use std::fmt;

pub(super) const IS_TWICE: &str = "is given twice";
const HAS_MORE: &str = "is one exchange, and more follows on its line (put each on a line of its own, as jq -c . FILE | \
     passbridge ingest --format rest-v2 - does)";
pub(super) const HAS_HALF: &str = "has half a character (a lone \\ud800 to \\udfff)";
pub(super) const HAS_EXPONENT: &str =
    "has a number with an exponent (1e22) in the place of a text: digits may be lost";
pub(super) const HAS_LISTS: &str = "has a list in a list in the place of a text";
pub(super) const IS_FLOAT: &str = "is a number with a fraction or of more than 64 bits, which many programs change: write it as text, in quotes";
/// What may be wrong with a value where a text is expected.
pub(super) const WRONG_TEXTS: [&str; 4] = [HAS_HALF, HAS_EXPONENT, HAS_LISTS, IS_FLOAT];

/// Why a line is no exchange. It quotes nothing of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadExchange {
    /// The member (or `exchange` or `entry`, for the whole), what is wrong with its JSON, and the column in it.
    Json(&'static str, &'static str, usize),
    /// A member has another form than documented.
    Form(&'static str),
    /// A member that cannot be used, and why.
    Member(String, &'static str),
}

impl fmt::Display for BadExchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadExchange::Json("exchange" | "entry", what, column) => {
                write!(out, "it {what} at column {column}")
            }
            BadExchange::Json(member, what, column) => {
                write!(out, "its {member} {what} at its column {column}")
            }
            BadExchange::Form(member) => write!(out, "its {member} is not of the documented form"),
            BadExchange::Member(member, what) => write!(out, "{member} {what}"),
        }
    }
}

/// What is wrong, without any text of the line. serde's own texts are not shown: they may quote values.
pub(super) fn bad_form(error: &serde_json::Error, object: &'static str) -> BadExchange {
    let text = error.to_string();
    let mut known =
        WRONG_TEXTS.map(|what| (what, what)).into_iter().chain([("trailing characters", HAS_MORE)]);
    match known.find(|(start, _)| text.starts_with(start)) {
        Some((_, what)) => BadExchange::Json(object, what, error.column()),
        None if error.is_data() => BadExchange::Form(object),
        None => BadExchange::Json(object, "is not JSON", error.column()),
    }
}

pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, BadExchange> {
    value.ok_or_else(|| BadExchange::Member(member.to_owned(), "is missing"))
}
