//! Reads the objects of an exchange. Loggers spell the names of members in different ways: `started_at`,
//! `startedAt`, `StartedAt`. A member that occurs twice, in any spelling, is an error.

use super::bad_exchange::{BadExchange, IS_TWICE, bad_form};
use crate::readers::members::{Members, unquoted};

/// The JSON of these members of an object; `None` for a member that is missing or null. An object that is missing or
/// null has no members, nor has an empty list, as some languages write an empty object. Messages call it `object`.
pub(super) fn of<'a, const N: usize>(
    json: Option<&'a str>,
    object: &'static str,
    names: [&'static str; N],
) -> Result<[Option<&'a str>; N], BadExchange> {
    let (mut found, mut seen) = ([None; N], [false; N]);
    let Some(json) = json.filter(|json| !is_empty_list(json)) else { return Ok(found) };
    let Members(members) = serde_json::from_str(json).map_err(|error| bad_form(&error, object))?;
    for (name, value) in members {
        let name = unquoted(name).unwrap_or_default();
        let Some(at) = names.iter().position(|known| is_same(&name, known)) else { continue };
        if std::mem::replace(&mut seen[at], true) {
            let is_outermost = matches!(object, "exchange" | "entry");
            let member = if is_outermost { names[at].to_owned() } else { format!("{object}.{}", names[at]) };
            return Err(BadExchange::Member(member, IS_TWICE));
        }
        found[at] = Some(value).filter(|value| *value != "null");
    }
    Ok(found)
}

pub(super) fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]")
}

/// Whether this name means the known member, whatever its spelling. Go writes `Header` for the headers.
pub(in crate::readers) fn is_same(name: &str, known: &str) -> bool {
    letters(name).eq(letters(known)) || known == "headers" && letters(name).eq(*b"header")
}

/// The letters of a name in lower case, without the characters that join its words.
fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
}
