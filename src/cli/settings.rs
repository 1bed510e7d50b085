//! Finds the configuration file, reads it, lays the environment over it, and checks every value once.
//!
//! Each value is checked by itself, so that a message names the line or the variable that it came from.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Deserialize;
use toml::de::DeTable;
use toml::{Table, Value};

use crate::config::{Config, LogFormat, Secret};
use crate::readers::esm::is_dimension_name;
use crate::readers::rest_v2::ServiceKeys;
use crate::schedule::{JITTER_SECONDS_MAX, ScheduleError, Timetable};
use crate::web::{read_secret, read_secret_text};

/// Names the file where `--config` does not.
pub(super) const CONFIG_VARIABLE: &str = "PASSBRIDGE_CONFIG";
/// The file in the working directory.
pub(super) const LOCAL_FILE: &str = "passbridge.toml";
/// The file of a host.
const SYSTEM_FILE: &str = "/etc/passbridge/passbridge.toml";
/// What the variables that override keys begin with.
const VARIABLE_PREFIX: &str = "PASSBRIDGE_";

/// What a number may be. A key that is not here takes whatever its type can hold.
const RANGES: [(&str, &str, RangeInclusive<i64>); 32] = [
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
];

#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The file that it was read from, absolute.
    pub(super) file: PathBuf,
    /// Every value, its paths absolute.
    pub(super) config: Config,
    /// When `run` drains.
    pub(super) timetable: Timetable,
    /// Variables that look meant for us and are not read.
    pub(super) warnings: Vec<String>,
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("no configuration file; looked at {}", list(.0))]
    NotFound(Vec<PathBuf>),
    #[error("cannot read configuration {path:?}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{place}: {why}")]
    Syntax { place: String, why: String },
    #[error("{place}: unknown {what} {name:?}; the nearest is {nearest:?}")]
    Unknown {
        /// File and line, or the environment.
        place: String,
        what: &'static str,
        name: String,
        /// What it may have meant.
        nearest: String,
    },
    #[error("{place}: {key}: {why}")]
    BadValue {
        /// File and line, or the variable.
        place: String,
        key: String,
        why: String,
    },
    #[error("cannot use the secret of {key} in {path:?}: {why}")]
    Secret {
        /// The key that names its file.
        key: &'static str,
        path: PathBuf,
        why: String,
    },
    #[error("cannot use the key of rest_v2.service_token_keys.{kid} in {path:?}: {why}")]
    ServiceKey {
        /// The `kid` that tokens name.
        kid: String,
        path: PathBuf,
        why: String,
    },
    #[error("{file:?}: {source}")]
    Schedule { file: PathBuf, source: ScheduleError },
}

impl Settings {
    /// What sources are digested with, where a file holds it.
    pub(super) fn source_secret(&self) -> Result<Option<Vec<u8>>, SettingsError> {
        /// The shortest secret that cannot be guessed, in bytes: 128 random bits, in any notation.
        const SECRET_BYTES_MIN: usize = 16;
        let path = &self.config.rest_v2.secret_file;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let refuse =
            |why: String| SettingsError::Secret { key: "rest_v2.secret_file", path: path.clone(), why };
        let secret = read_secret(path).map_err(|error| refuse(error.to_string()))?;
        let secret = secret.trim_ascii_end();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(refuse(format!("it has fewer than {SECRET_BYTES_MIN} bytes")));
        }
        Ok(Some(secret.to_vec()))
    }
}

impl Settings {
    /// The secret of `[bulk]`, from its file or the environment; `None` where neither has one.
    pub(super) fn bulk_secret(&self) -> Result<Option<String>, SettingsError> {
        let bulk = &self.config.bulk;
        client_secret("bulk.client_secret_file", &bulk.client_secret_file, &bulk.client_secret)
    }

    /// The secret of `[analytics]`, likewise.
    pub(super) fn analytics_secret(&self) -> Result<Option<String>, SettingsError> {
        let analytics = &self.config.analytics;
        let path = &analytics.client_secret_file;
        client_secret("analytics.client_secret_file", path, &analytics.client_secret)
    }

    /// The keys of `rest_v2.service_token_keys`.
    pub(super) fn service_keys(&self) -> Result<ServiceKeys, SettingsError> {
        let mut keys = ServiceKeys::default();
        for (kid, path) in &self.config.rest_v2.service_token_keys {
            let refuse =
                |why: String| SettingsError::ServiceKey { kid: kid.clone(), path: path.clone(), why };
            let pem = read_secret_text(path).map_err(|error| refuse(error.to_string()))?;
            keys.add(kid, &pem).map_err(|error| refuse(error.to_string()))?;
        }
        Ok(keys)
    }
}

/// A secret from its file or, where none is named, from the environment.
fn client_secret(key: &'static str, path: &Path, secret: &Secret) -> Result<Option<String>, SettingsError> {
    if path.as_os_str().is_empty() {
        return Ok(Some(secret.0.clone()).filter(|secret| !secret.is_empty()));
    }
    let refuse = |why: String| SettingsError::Secret { key, path: path.to_owned(), why };
    let text = read_secret_text(path).map_err(|error| refuse(error.to_string()))?;
    match text.trim() {
        "" => Err(refuse("it is empty".to_owned())),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// One value and where it was given.
struct Given {
    section: String,
    key: String,
    value: Value,
    place: String,
}

/// Finds the file: `--config`, then PASSBRIDGE_CONFIG, then the working directory, then /etc.
pub(super) fn find(option: Option<&Path>) -> Result<PathBuf, SettingsError> {
    if let Some(path) = named(option) {
        return Ok(path);
    }
    let places = [PathBuf::from(LOCAL_FILE), PathBuf::from(SYSTEM_FILE)];
    match places.iter().find(|place| place.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(SettingsError::NotFound(places.to_vec())),
    }
}

/// The file that the option or the environment names, whether it exists or not.
pub(super) fn named(option: Option<&Path>) -> Option<PathBuf> {
    let variable = || env::var_os(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    option.map(Path::to_owned).or_else(variable)
}

/// Reads a file, lays the environment over it, and checks it.
pub(super) fn read(path: &Path) -> Result<Settings, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    read_text(text.strip_prefix('\u{feff}').unwrap_or(&text), path)
}

/// How the log is written, of a configuration that cannot be used otherwise.
pub(super) fn log_format(path: &Path) -> Option<LogFormat> {
    let named = env::var(format!("{VARIABLE_PREFIX}LOG__FORMAT")).ok().map(Value::String);
    let in_file = || fs::read_to_string(path).ok()?.parse::<Table>().ok()?.get("log")?.get("format").cloned();
    LogFormat::deserialize(named.or_else(in_file)?).ok()
}

/// Reads a text as if it stood in this file.
pub(super) fn read_text(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let file = std::path::absolute(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    parse(text, &file, env::vars_os())
}

/// Makes settings of a file's text and of these variables.
pub(super) fn parse(
    text: &str,
    file: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let known = defaults();
    let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
    let warnings = variables.iter().filter_map(|(name, _)| without_section(name.to_str()?, &known)).collect();
    let mut table = Table::new();
    for given in in_file(text, file, &known)?.into_iter().chain(in_environment(variables, &known)?) {
        check(&given, &known[&given.section][&given.key])?;
        let section = table.entry(given.section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(given.key, given.value);
        }
    }
    let mut config = Config::deserialize(table).map_err(|error| SettingsError::Syntax {
        place: file.display().to_string(),
        why: error.message().to_owned(),
    })?;
    let timetable = Timetable::new(&config.schedule)
        .map_err(|source| SettingsError::Schedule { file: file.to_owned(), source })?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    config.buffer.path = folder.join(&config.buffer.path);
    config.ingest.rejects_dir = folder.join(&config.ingest.rejects_dir);
    for key in config.rest_v2.service_token_keys.values_mut() {
        *key = folder.join(&key);
    }
    config.esm.credentials_file = folder.join(&config.esm.credentials_file);
    config.bulk.dir = folder.join(&config.bulk.dir);
    for named in [
        &mut config.bulk.client_secret_file,
        &mut config.analytics.client_secret_file,
        &mut config.rest_v2.secret_file,
        &mut config.serve.tokens_file,
        &mut config.esm.software_statement_file,
    ] {
        if !named.as_os_str().is_empty() {
            *named = folder.join(&named);
        }
    }
    Ok(Settings { file: file.to_owned(), config, timetable, warnings })
}

/// Every section and key that exists, with its default.
fn defaults() -> Table {
    Table::try_from(Config::default()).expect("a struct of structs of numbers and texts is a table")
}

fn keys(known: &Table) -> impl Iterator<Item = (&str, &str, &Value)> {
    known.iter().flat_map(|(section, keys)| {
        keys.as_table().into_iter().flatten().map(move |(key, value)| (section.as_str(), key.as_str(), value))
    })
}

fn in_file(text: &str, file: &Path, known: &Table) -> Result<Vec<Given>, SettingsError> {
    let place = |at: usize| format!("{}:{}", file.display(), line_of(text, at));
    let syntax = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let name = text.get(span.clone()).unwrap_or_default();
        let before =
            (error.message() == "duplicate key").then(|| last_given(&text[..span.start], name)).flatten();
        let why = match before {
            Some(line) => format!("{name} is given twice; the first is in line {line}"),
            None => error.message().to_owned(),
        };
        SettingsError::Syntax { place: place(span.start), why }
    };
    let spans = DeTable::parse(text).map_err(syntax)?;
    let values: Table = text.parse().map_err(syntax)?;
    let mut found = Vec::new();
    for (section, keys_of_section) in spans.get_ref() {
        let section_place = place(section.span().start);
        let name: &str = section.get_ref();
        let Some(Value::Table(known_keys)) = known.get(name) else {
            return Err(unknown_section(section_place, name, known));
        };
        let (Some(spans), Some(Value::Table(values))) =
            (keys_of_section.get_ref().as_table(), values.get(name))
        else {
            return Err(bad_value(section_place, name, format!("it is a section: write [{name}]")));
        };
        for (key, value) in values {
            let at =
                spans.keys().find(|span| *span.get_ref() == key.as_str()).map_or(0, |span| span.span().start);
            if !known_keys.contains_key(key) {
                return Err(unknown_key(place(at), key, known));
            }
            found.push(Given {
                section: name.to_owned(),
                key: key.clone(),
                value: value.clone(),
                place: place(at),
            });
        }
    }
    Ok(found)
}

/// The last line, from 1, that gives this table or key.
fn last_given(text: &str, name: &str) -> Option<usize> {
    let gives = |line: &str| {
        let path = line.split(['=', ']']).next().unwrap_or_default().trim_matches(['[', ' ', '\t']);
        path.rsplit('.').next() == Some(name)
    };
    (1..).zip(text.lines()).filter(|(_, line)| gives(line)).map(|(number, _)| number).last()
}

fn in_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    known: &Table,
) -> Result<Vec<Given>, SettingsError> {
    let mut found = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        let Some((section, key, default)) =
            keys(known).find(|(section, key, _)| variable(section, key) == name)
        else {
            // Container platforms set variables such as PASSBRIDGE_PORT for a service of our name, none of them with
            // two underscores in a row.
            let is_near_miss =
                keys(known).any(|(section, key, _)| variable(section, key).replace("__", "_") == name);
            if name.contains("__") || is_near_miss {
                return Err(unknown_variable(name, known));
            }
            continue;
        };
        let text = text.to_str().ok_or_else(|| {
            bad_value(name.to_owned(), &format!("{section}.{key}"), "it is not UTF-8".to_owned())
        })?;
        // A text that is no such value stays text, and is refused with the rest.
        let typed = match default {
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            _ => None,
        };
        let value = typed.unwrap_or_else(|| Value::String(text.to_owned()));
        found.push(Given { section: section.to_owned(), key: key.to_owned(), value, place: name.to_owned() });
    }
    Ok(found)
}

/// Checks one value by itself: its type, its range, and that a path or text is not empty.
fn check(given: &Given, default: &Value) -> Result<(), SettingsError> {
    let Given { section, key, value, place } = given;
    let refuse = |why: String| bad_value(place.clone(), &format!("{section}.{key}"), why);
    let range = RANGES.iter().find(|(of_section, of_key, _)| of_section == section && of_key == key);
    let fits = match (default, value.as_integer(), range) {
        (Value::Integer(_), Some(number), Some((_, _, range))) => range.contains(&number),
        (Value::Integer(_), number, None) => number.is_some_and(|number| number >= 0),
        (Value::Integer(_), None, Some(_)) => false,
        (Value::Boolean(_), ..) => value.is_bool(),
        _ => true,
    };
    if !fits {
        let wanted = match (default, range) {
            (Value::Boolean(_), _) => "true or false".to_owned(),
            (_, Some((_, _, range))) => format!("a whole number from {} to {}", range.start(), range.end()),
            (_, None) => "a whole number, 0 or more".to_owned(),
        };
        return Err(refuse(format!("{value} must be {wanted}")));
    }
    let alone = Table::from_iter([(key.clone(), value.clone())]);
    Config::deserialize(Table::from_iter([(section.clone(), Value::Table(alone))]))
        .map_err(|error| refuse(error.message().to_owned()))?;
    if value.as_str() == Some("") {
        return Err(refuse("it is empty".to_owned()));
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if (section.as_str(), key.as_str()) == ("bulk", "company")
        && !value.as_str().is_some_and(|name| name.chars().all(is_plain))
    {
        return Err(refuse(format!("{value} must be letters, digits and any of - _ .")));
    }
    grouping_mistake(section, key, value).map_or(Ok(()), |why| Err(refuse(why)))
}

/// Why reports cannot be grouped as a value says.
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

/// What to say of a variable that names a key without its section.
fn without_section(name: &str, known: &Table) -> Option<String> {
    let rest = name.strip_prefix(VARIABLE_PREFIX)?;
    let (section, key, _) = keys(known).find(|(_, key, _)| key.to_ascii_uppercase() == rest)?;
    Some(format!("the variable {name} is not read; did you mean {}?", variable(section, key)))
}

/// The variable that overrides a key.
fn variable(section: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn bad_value(place: String, key: &str, why: String) -> SettingsError {
    SettingsError::BadValue { place, key: key.to_owned(), why }
}

fn unknown_section(place: String, name: &str, known: &Table) -> SettingsError {
    if let Some((section, key, _)) = keys(known).find(|(_, key, _)| *key == name) {
        return bad_value(place, name, format!("it stands in no section; did you mean {section}.{key}?"));
    }
    let nearest = nearest(name, known.keys().cloned());
    SettingsError::Unknown { place, what: "section", name: name.to_owned(), nearest }
}

fn unknown_key(place: String, name: &str, known: &Table) -> SettingsError {
    let key = nearest(name, keys(known).map(|(_, key, _)| key.to_owned()));
    let section =
        keys(known).find(|(_, candidate, _)| *candidate == key).map_or("", |(section, _, _)| section);
    SettingsError::Unknown { place, what: "key", name: name.to_owned(), nearest: format!("{section}.{key}") }
}

fn unknown_variable(name: &str, known: &Table) -> SettingsError {
    let nearest = nearest(name, keys(known).map(|(section, key, _)| variable(section, key)));
    SettingsError::Unknown {
        place: "environment".to_owned(),
        what: "variable",
        name: name.to_owned(),
        nearest,
    }
}

fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> String {
    candidates.min_by_key(|candidate| strsim::damerau_levenshtein(candidate, name)).unwrap_or_default()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        parse(text, Path::new("/etc/passbridge/passbridge.toml"), variables)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_defaults_beside_it() {
        let settings = with("", &[]).expect("a configuration");
        assert_eq!(settings.config.buffer.path, Path::new("/etc/passbridge/passbridge.db"));
        assert_eq!(settings.config.ingest.rejects_dir, Path::new("/etc/passbridge/rejects"));
        assert_eq!(settings.config.delivery, Config::default().delivery);
    }

    #[test]
    fn the_environment_wins_over_the_file_in_the_type_of_the_key() {
        let settings = with(
            "[delivery]\nlanes = 8\n",
            &[
                ("PASSBRIDGE_DELIVERY__LANES", "16"),
                ("PASSBRIDGE_BUFFER__ALLOW_NETWORK_FILESYSTEM", "true"),
                ("PASSBRIDGE_BUFFER__PATH", "/var/lib/passbridge/events.db"),
                ("PASSBRIDGE_LOG__LEVEL", "debug"),
                ("PASSBRIDGE_SERVICE_HOST", "10.0.0.1"),
                ("PASSBRIDGE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ],
        )
        .expect("a configuration");
        assert_eq!(settings.config.delivery.lanes, 16);
        assert!(settings.config.buffer.allow_network_filesystem);
        assert_eq!(settings.config.buffer.path, Path::new("/var/lib/passbridge/events.db"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_the_nearest_valid_name() {
        let file = "/etc/passbridge/passbridge.toml";
        for (text, variables, message) in [
            ("[delivery]\n\nlane = 8", vec![], format!("{file}:3: unknown key \"lane\"; the nearest is \"delivery.lanes\"")),
            ("[buffer]\nlanes = 8", vec![], format!("{file}:2: unknown key \"lanes\"; the nearest is \"delivery.lanes\"")),
            ("\n[delivry]", vec![], format!("{file}:2: unknown section \"delivry\"; the nearest is \"delivery\"")),
            ("delivery = 3", vec![], format!("{file}:1: delivery: it is a section: write [delivery]")),
            ("[delivery]\nlanes = 0", vec![], format!("{file}:2: delivery.lanes: 0 must be a whole number from 1 to 1024")),
            ("delivery.lanes = 1025", vec![], format!("{file}:1: delivery.lanes: 1025 must be a whole number from 1 to 1024")),
            ("[delivery]\nlanes = \"8\"", vec![], format!("{file}:2: delivery.lanes: \"8\" must be a whole number from 1 to 1024")),
            ("[ingest]\nmin_free_bytes = -1", vec![], format!("{file}:2: ingest.min_free_bytes: -1 must be a whole number, 0 or more")),
            ("[delivery]\nlanes = 8\n\n[delivery]\n", vec![], format!("{file}:4: delivery is given twice; the first is in line 1")),
            ("[log]\n[delivery]\nlanes = 8\n lanes = 9", vec![], format!("{file}:4: lanes is given twice; the first is in line 3")),
            (
                "[rest_v2.service_token_keys]\n[log]\n[ rest_v2.service_token_keys ]",
                vec![],
                format!("{file}:3: service_token_keys is given twice; the first is in line 1"),
            ),
            ("lanes = 8", vec![], format!("{file}:1: lanes: it stands in no section; did you mean delivery.lanes?")),
            ("[buffer]\npath = \"\"", vec![], format!("{file}:2: buffer.path: it is empty")),
            ("[esm]\ngroup_by = \"proxy/mvpd\"", vec![], format!("{file}:2: esm.group_by: \"proxy/mvpd\" has no requestor-id, and every event needs one")),
            ("[esm]\ngroup_by = \"../requestor-id\"", vec![], format!("{file}:2: esm.group_by: \"..\" in \"../requestor-id\" is no dimension")),
            (
                "[esm]\ndimensions = [\"planet\", \"authz-attempts\"]",
                vec![],
                format!("{file}:2: esm.dimensions: \"authz-attempts\" is no dimension: write it as reports do, and name no metric or part of the time"),
            ),
            (
                "",
                vec![("PASSBRIDGE_DELIVERY__LANES", "many")],
                "PASSBRIDGE_DELIVERY__LANES: delivery.lanes: \"many\" must be a whole number from 1 to 1024".to_owned(),
            ),
            (
                "",
                vec![("PASSBRIDGE_DELIVERY_LANES", "3")],
                "environment: unknown variable \"PASSBRIDGE_DELIVERY_LANES\"; the nearest is \
                 \"PASSBRIDGE_DELIVERY__LANES\""
                    .to_owned(),
            ),
            (
                "",
                vec![("PASSBRIDGE_LOG__LEVL", "info")],
                "environment: unknown variable \"PASSBRIDGE_LOG__LEVL\"; the nearest is \"PASSBRIDGE_LOG__LEVEL\""
                    .to_owned(),
            ),
        ] {
            assert_eq!(with(text, &variables).err(), Some(message));
        }
        for text in [
            "[log]\nformat = \"xml\"",
            "[delivery]\nlanes = \"8\"",
            "[delivery]\nlanes = -1",
            "[delivery",
            "a = 1\na = 2",
        ] {
            let refused = with(text, &[]).expect_err(text);
            assert!(refused.starts_with(file), "{refused}");
        }
    }

    #[test]
    fn a_variable_without_its_section_is_warned_about() {
        let settings = with("", &[("PASSBRIDGE_LANES", "8"), ("PASSBRIDGE_PORT", "80")]).expect("settings");
        assert_eq!(
            settings.warnings,
            ["the variable PASSBRIDGE_LANES is not read; did you mean PASSBRIDGE_DELIVERY__LANES?"]
        );
    }

    #[test]
    fn the_schedule_is_checked_with_the_rest() {
        assert!(with("[schedule]\ncron = \"every day\"", &[]).is_err());
        assert!(with("[schedule]\ntimezone = \"Mars/Olympus\"", &[]).is_err());
    }
}
