//! Merges the configuration: values of the file, replaced by those of the environment. Each value is checked
//! separately, so that a message can name its line or its variable.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;
use toml::{Table, Value};

use crate::clock::Clock;
use crate::config::{Config, OpenEvent};
use crate::ingest::Contract;
use crate::postgres::Address;
use crate::readers::Map;
use crate::readers::esm::is_dimension_name;
use crate::schedule::{JITTER_SECONDS_MAX, Timetable};

pub(super) const VARIABLE_PREFIX: &str = "PASSBRIDGE_";

/// The ranges of numbers. A number without an entry here may be 0 or any larger number that its type holds.
const RANGES: [(&str, &str, RangeInclusive<i64>); 33] = [
    ("buffer", "retention_days", 0..=3650),
    ("buffer", "dedup_days", 0..=3650),
    ("schedule", "jitter_seconds", 0..=JITTER_SECONDS_MAX as i64),
    ("delivery", "lanes", 1..=1024),
    ("delivery", "request_timeout_seconds", 1..=600),
    ("delivery", "max_attempts", 1..=100),
    ("delivery", "give_up_seconds", 1..=86_400),
    ("delivery", "stop_grace_seconds", 0..=3600),
    ("delivery", "backoff_base_ms", 1..=60_000),
    ("delivery", "backoff_max_seconds", 1..=3600),
    ("ingest", "rejects_max", 0..=10_000_000),
    ("ingest", "rejects_days", 1..=3_650),
    ("ingest", "future_skew_seconds", 0..=86_400),
    ("esm", "dedup_days", 1..=3650),
    ("esm", "rows", 1..=1_000_000),
    ("esm", "request_timeout_seconds", 1..=3600),
    ("bulk", "rate", 1..=1_000_000),
    ("bulk", "file_rows", 1..=1_000_000),
    ("bulk", "file_bytes", 65_536..=100_000_000),
    ("bulk", "file_bytes_unpacked", 65_536..=1_000_000_000),
    ("bulk", "call_spacing_ms", 1..=3_600_000),
    ("bulk", "group_spacing_ms", 1..=3_600_000),
    ("bulk", "group_rows_per_second", 1..=1_000_000),
    ("bulk", "backoff_base_ms", 1..=3_600_000),
    ("bulk", "backoff_max_ms", 1..=3_600_000),
    ("bulk", "request_timeout_seconds", 1..=3600),
    ("analytics", "request_timeout_seconds", 1..=3600),
    ("analytics", "calls_per_window", 1..=1000),
    ("analytics", "window_ms", 1..=3_600_000),
    ("analytics", "proof_days", 1..=36_500),
    ("serve", "request_timeout_seconds", 1..=3600),
    ("serve", "idle_timeout_seconds", 1..=3600),
    ("workers", "lease_seconds", 2..=600),
];

#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub(super) struct Mistake {
    /// The file and the line, or the variable.
    pub(super) place: String,
    pub(super) why: String,
}

fn mistake(place: impl Into<String>, why: String) -> Mistake {
    Mistake { place: place.into(), why }
}

/// The result of all layers: the configuration without the mistaken keys, and each mistake.
pub(super) struct Layers {
    pub(super) config: Config,
    /// Warnings of variables that are not read, and of keys of earlier releases.
    pub(super) warnings: Vec<String>,
    pub(super) mistakes: Vec<Mistake>,
    /// Where each given key comes from: the file and the line, or the variable.
    pub(super) places: BTreeMap<String, String>,
}

struct Given {
    section: String,
    key: String,
    value: Value,
    place: String,
}

/// The configuration from a file's text and variables, and warnings. Fails with the first mistake.
pub(super) fn read(
    text: &str,
    file: &Path,
    variables: &[(OsString, OsString)],
) -> Result<(Config, Vec<String>), Mistake> {
    let Layers { config, warnings, mistakes, .. } = look(text, file, variables);
    mistakes.into_iter().next().map_or(Ok((config, warnings)), Err)
}

/// Reads a file's text and variables to the end, whatever is wrong with some of them.
pub(super) fn look(text: &str, file: &Path, variables: &[(OsString, OsString)]) -> Layers {
    let mut known =
        Table::try_from(Config::default()).expect("a struct of structs of numbers and texts is a table");
    if let Some(Value::Table(keys)) = known.get_mut("rest_v2") {
        keys.extend(OpenEvent::ALL.map(|event| (format!("count_{}", event.as_str()), Value::Boolean(true))));
    }
    let mut warnings: Vec<String> =
        variables.iter().filter_map(|(name, _)| without_section(name.to_str()?, &known)).collect();
    let (mut table, mut places) = (Table::new(), BTreeMap::new());
    let (mut mistakes, mut left_out): (Vec<Mistake>, Vec<OpenEvent>) = (Vec::new(), Vec::new());
    let in_file = in_file(text, file, &known).unwrap_or_else(|mistake| vec![Err(mistake)]);
    for given in in_file.into_iter().chain(in_environment(variables, &known)) {
        let checked = given.and_then(|given| {
            if let Some(event) = OpenEvent::of_former_key(&given.key).filter(|_| given.section == "rest_v2") {
                warnings.push(take_former_key(&given, event, &mut left_out)?);
                return Ok(None);
            }
            check(&given, known[&given.section].get(&given.key)).map(|()| Some(given))
        });
        match checked {
            Err(mistake) => mistakes.push(mistake),
            Ok(None) => {}
            Ok(Some(Given { section, key, value, place })) => {
                places.insert(format!("{section}.{key}"), place);
                let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key, value);
                }
            }
        }
    }
    let mut config = Config::deserialize(table).unwrap_or_else(|error| {
        mistakes.push(mistake(file.display().to_string(), error.message().to_owned()));
        Config::default()
    });
    config.rest_v2.leave_out.extend(left_out);
    if let (Some(place), true) = (places.get("buffer.url"), places.contains_key("buffer.path")) {
        let why =
            "buffer.url: there is buffer.path, too, and a buffer is a file or a database: leave one out";
        mistakes.push(mistake(place.clone(), why.to_owned()));
    }
    Layers { config, warnings, mistakes, places }
}

/// Applies a key of an earlier release that said if an event counts. Returns a warning that says what to write now.
fn take_former_key(given: &Given, event: OpenEvent, dropped: &mut Vec<OpenEvent>) -> Result<String, Mistake> {
    let Given { key, value, place, .. } = given;
    let Some(is_counted) = value.as_bool() else {
        return Err(mistake(place, format!("rest_v2.{key}: {value} must be true or false")));
    };
    dropped.retain(|left_out| *left_out != event);
    let now = if is_counted {
        "leave it out: that is the default".to_owned()
    } else {
        dropped.push(event);
        format!("put {:?} into rest_v2.leave_out instead", event.as_str())
    };
    Ok(format!("{place}: rest_v2.{key} is a key of an earlier release and still holds; {now}"))
}

fn keys(known: &Table) -> impl Iterator<Item = (&str, &str)> {
    known.iter().flat_map(|(section, keys)| {
        keys.as_table().into_iter().flat_map(Table::keys).map(move |key| (section.as_str(), key.as_str()))
    })
}

/// The keys of a file, or what is wrong with each. Fails if the text is no TOML.
fn in_file(text: &str, file: &Path, known: &Table) -> Result<Vec<Result<Given, Mistake>>, Mistake> {
    let place = |at: usize| {
        let before = &text.as_bytes()[..at.min(text.len())];
        format!("{}:{}", file.display(), before.iter().filter(|byte| **byte == b'\n').count() + 1)
    };
    let syntax = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let name = text.get(span.clone()).unwrap_or_default();
        let is_twice = error.message() == "duplicate key";
        let why = match is_twice.then(|| given_before(text, span.start)).flatten() {
            Some(line) => format!("{name} is given twice; the first is in line {line}"),
            None => error.message().to_owned(),
        };
        mistake(place(span.start), why)
    };
    let spans = DeTable::parse(text).map_err(syntax)?;
    let mut values: Table = text.parse().map_err(syntax)?;
    let mut found = Vec::new();
    for (section, keys) in spans.get_ref() {
        let (name, section_place) = (section.get_ref().as_ref(), place(section.span().start));
        let Some(known_keys) = known.get(name).and_then(Value::as_table) else {
            found.push(Err(unknown_section(section_place, name, known)));
            continue;
        };
        let (Some(spans), Some(Value::Table(values))) = (keys.get_ref().as_table(), values.remove(name))
        else {
            found.push(Err(mistake(section_place, format!("{name}: it is a section: write [{name}]"))));
            continue;
        };
        for (key, value) in values {
            let span = spans.keys().find(|span| *span.get_ref() == key.as_str());
            let place = place(span.map_or(0, |span| span.span().start));
            let is_known = known_keys.contains_key(&key) || known_keys.is_empty();
            found.push(if is_known {
                Ok(Given { section: name.to_owned(), key, value, place })
            } else {
                Err(unknown_key(place, &key, known))
            });
        }
    }
    Ok(found)
}

/// The number (from 1) of the first line with the table or key that byte `at` gives again, or with a key inside it.
fn given_before(text: &str, at: usize) -> Option<usize> {
    let (mut table, mut given) = (String::new(), Vec::new());
    let last = text[..at].matches('\n').count();
    for (number, line) in (1..).zip(text.lines().take(last + 1)) {
        let name =
            line.split(['=', ']']).next().unwrap_or_default().trim_matches(['[', ' ', '\t', '"', '\'']);
        let is_table = line.trim_start().starts_with('[');
        let path = if is_table || table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        if is_table {
            table.clone_from(&path);
        }
        given.push((number, format!("{path}.")));
    }
    let (_, twice) = given.pop()?;
    given.into_iter().find(|(_, path)| path.starts_with(&twice)).map(|(number, _)| number)
}

fn in_environment(variables: &[(OsString, OsString)], known: &Table) -> Vec<Result<Given, Mistake>> {
    variables.iter().filter_map(|(name, text)| in_variable(name.to_str()?, text, known).transpose()).collect()
}

/// The key that a variable gives; `None` if the variable is not for this program.
fn in_variable(name: &str, text: &OsStr, known: &Table) -> Result<Option<Given>, Mistake> {
    if !name.starts_with(VARIABLE_PREFIX) {
        return Ok(None);
    }
    let Some((section, key)) = keys(known).find(|(section, key)| variable(section, key) == name) else {
        // Container platforms set variables such as PASSBRIDGE_PORT for a service named passbridge. None
        // of them has two underscores in a row.
        let is_near_miss =
            keys(known).any(|(section, key)| variable(section, key).replace("__", "_") == name);
        if name.contains("__") || is_near_miss {
            let nearest = nearest(name, keys(known).map(|(section, key)| variable(section, key)));
            return Err(unknown("environment", "variable", name, &nearest));
        }
        return Ok(None);
    };
    let text = text.to_str().ok_or_else(|| mistake(name, format!("{section}.{key}: it is not UTF-8")))?;
    // Text that cannot be parsed stays text. `check` refuses it later, like a wrong type in the file.
    let typed = match &known[section][key] {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => None,
    };
    let value = typed.unwrap_or_else(|| Value::String(text.to_owned()));
    Ok(Some(Given { section: section.to_owned(), key: key.to_owned(), value, place: name.to_owned() }))
}

/// Checks one value alone: its type and range, that no text is empty, and the rules of its section (such as maps).
fn check(given: &Given, default: Option<&Value>) -> Result<(), Mistake> {
    let Given { section, key, value, place } = given;
    let refuse = |why: String| Err(mistake(place, format!("{section}.{key}: {why}")));
    if let Some(wanted) = default.and_then(|default| wanted(section, key, value, default)) {
        return refuse(format!("{value} must be {wanted}"));
    }
    let alone = Table::from_iter([(key.clone(), value.clone())]);
    let config = Config::deserialize(Table::from_iter([(section.clone(), Value::Table(alone))]));
    let config = config.map_err(|error| mistake(place, format!("{section}.{key}: {}", error.message())))?;
    Timetable::new(&config.schedule).map_err(|error| mistake(place, error.to_string()))?;
    let of_contract = |(name, contract): (&String, _)| Contract::new(name, contract, &Clock::system()).err();
    let of_map = config.map.values().find_map(|map| Map::new(map).err());
    if let Some(why) = of_map.or_else(|| config.contract.iter().find_map(of_contract)) {
        return refuse(why);
    }
    if value.as_str() == Some("") {
        return refuse("it is empty".to_owned());
    }
    if let Some(Err(why)) =
        Some(&config.buffer.url).filter(|url| !url.is_empty()).map(|url| Address::parse(url))
    {
        return refuse(why);
    }
    grouping_mistake(section, key, value).map_or(Ok(()), refuse)
}

/// Says which values of a number, a switch or a name are allowed; `None` if this value is allowed.
fn wanted(section: &str, key: &str, value: &Value, default: &Value) -> Option<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let range = RANGES.iter().find(|(of_section, of_key, _)| *of_section == section && *of_key == key);
    let (fits, wanted) = match (default, range) {
        (Value::Boolean(_), _) => (value.is_bool(), "true or false".to_owned()),
        (Value::Integer(_), Some((.., range))) => (
            value.as_integer().is_some_and(|number| range.contains(&number)),
            format!("a whole number from {} to {}", range.start(), range.end()),
        ),
        (Value::Integer(_), None) => {
            (value.as_integer().is_some_and(|number| number >= 0), "a whole number, 0 or more".to_owned())
        }
        _ if (section, key) == ("bulk", "company") => (
            value.as_str().is_some_and(|name| name.chars().all(is_plain)),
            "letters, digits and any of - _ .".to_owned(),
        ),
        _ => return None,
    };
    (!fits).then_some(wanted)
}

/// The reason why ESM reports cannot be grouped by a value; `None` if they can.
fn grouping_mistake(section: &str, key: &str, value: &Value) -> Option<String> {
    match (section, key) {
        ("esm", "dimensions") => {
            let mut names = value.as_array()?.iter().filter_map(Value::as_str);
            let name = names.find(|name| !is_dimension_name(name))?;
            Some(format!(
                "{name:?} is no dimension: write it as reports do, and name no metric or part of the time"
            ))
        }
        ("esm", "group_by") => {
            let path = value.as_str()?;
            let names: Vec<&str> = path.strip_prefix("minute/").unwrap_or(path).split('/').collect();
            if let Some(name) = names.iter().find(|name| !is_dimension_name(name)) {
                return Some(format!("{name:?} in {path:?} is no dimension"));
            }
            let why = "has no requestor-id, and every event needs one";
            (!names.contains(&"requestor-id")).then(|| format!("{path:?} {why}"))
        }
        _ => None,
    }
}

/// The warning about a variable that names a key without its section.
fn without_section(name: &str, known: &Table) -> Option<String> {
    let rest = name.strip_prefix(VARIABLE_PREFIX)?;
    let (section, key) = keys(known).find(|(_, key)| key.to_ascii_uppercase() == rest)?;
    Some(format!("the variable {name} is not read; did you mean {}?", variable(section, key)))
}

fn variable(section: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

fn unknown_section(place: String, name: &str, known: &Table) -> Mistake {
    match keys(known).find(|(_, key)| *key == name) {
        Some((section, key)) => {
            mistake(place, format!("{name}: it stands in no section; did you mean {section}.{key}?"))
        }
        None => unknown(place, "section", name, &nearest(name, known.keys().cloned())),
    }
}

fn unknown_key(place: String, name: &str, known: &Table) -> Mistake {
    let key = nearest(name, keys(known).map(|(_, key)| key.to_owned()));
    let section = keys(known).find(|(_, known)| *known == key).map_or("", |(section, _)| section);
    unknown(place, "key", name, &format!("{section}.{key}"))
}

fn unknown(place: impl Into<String>, what: &str, name: &str, nearest: &str) -> Mistake {
    mistake(place, format!("unknown {what} {name:?}; the nearest is {nearest:?}"))
}

fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> String {
    candidates.min_by_key(|candidate| strsim::damerau_levenshtein(candidate, name)).unwrap_or_default()
}
