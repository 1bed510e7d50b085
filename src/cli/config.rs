//! `config`: checks the configuration, and shows each key with its value and the place that gives the value.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::{Table as Toml, Value};

use super::doctor::broken_rules;
use super::layers::{self, Mistake};
use super::safe::{has_odd_signs, without_secrets};
use super::{Context, Exit, Failure, Table, settings};
use crate::web;

/// The place that is shown for a key that nobody has set.
const DEFAULT: &str = "default";
/// The value that is shown for a secret that is set.
const HIDDEN: &str = "...";

/// Checks the configuration, or shows every key with its value and the source of that value. No other file is read.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/config.txt").trim_ascii_end())]
pub(super) enum Command {
    /// Checks the file and the variables by all rules, and names each mistake with its line or variable.
    Check,
    /// Shows every key with its value, and its source: the default, a line of the file, or a variable. Secrets are hidden.
    Show {
        /// Only the keys that the file or a variable gives.
        #[arg(long)]
        given: bool,
    },
}

#[derive(Debug, Serialize)]
struct CheckReport {
    file: PathBuf,
    ok: bool,
    mistakes: Vec<Told>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Told {
    /// The file and the line, or the variable; `None` where several keys contradict each other.
    place: Option<String>,
    says: String,
}

#[derive(Debug, Serialize)]
struct ShowReport {
    file: PathBuf,
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    key: String,
    value: Value,
    from: String,
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let path = settings::find(context.config.as_deref())?;
    match command {
        Command::Check => {
            let report = check(&path)?;
            let exit = if report.ok { Exit::Done } else { Exit::Usage };
            context.ended(&report, None, exit)
        }
        Command::Show { given } => context.done(&show(&path, *given)?),
    }
}

fn check(path: &Path) -> Result<CheckReport, Failure> {
    let variables: Vec<_> = env::vars_os().collect();
    let layers = layers::look(&settings::text_of(path)?, path, &variables);
    let told = |Mistake { place, why }: Mistake| Told { place: Some(place), says: why };
    let mut mistakes: Vec<Told> = layers.mistakes.into_iter().map(told).collect();
    if mistakes.is_empty() {
        let broken = broken_rules(&settings::read(path)?);
        mistakes.extend(broken.iter().map(|why| Told { place: None, says: why.on_one_line() }));
        for (key, url) in layers.config.api_urls() {
            let Err(error) = web::address(key, url) else { continue };
            let place = layers.places.get(key).cloned();
            mistakes.push(Told { place, says: Failure::from(error).on_one_line() });
        }
    }
    Ok(CheckReport { file: path.to_owned(), ok: mistakes.is_empty(), mistakes, warnings: layers.warnings })
}

fn show(path: &Path, only_given: bool) -> Result<ShowReport, Failure> {
    let config = settings::read(path)?.config;
    let variables: Vec<_> = env::vars_os().collect();
    let places = layers::look(&settings::text_of(path)?, path, &variables).places;
    let table = Toml::try_from(&config).expect("a configuration that was read is a table");
    let mut keys = Vec::new();
    for (section, values) in table {
        for (key, value) in values.as_table().into_iter().flatten() {
            let key = format!("{section}.{key}");
            let from = places.get(&key);
            // A given secret is written as an empty text, which no other key can have.
            let is_secret = from.is_some() && value.as_str() == Some("");
            let value = match value {
                _ if is_secret => Value::String(HIDDEN.to_owned()),
                Value::String(url) if key.ends_with("url") && has_odd_signs(url) => {
                    Value::String(HIDDEN.to_owned())
                }
                Value::String(url) if key.ends_with("url") => Value::String(without_secrets(url)),
                other => other.clone(),
            };
            if from.is_some() || !only_given {
                keys.push(Key { key, value, from: from.map_or(DEFAULT, String::as_str).to_owned() });
            }
        }
    }
    Ok(ShowReport { file: path.to_owned(), keys })
}

impl fmt::Display for CheckReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CheckReport { file, mistakes, warnings, .. } = self;
        for Told { place, says } in mistakes {
            let place = place.as_ref().map_or_else(String::new, |place| format!("{place}: "));
            writeln!(out, "{place}{says}")?;
        }
        warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))?;
        let verdict =
            if mistakes.is_empty() { "ok".to_owned() } else { format!("{} mistakes", mistakes.len()) };
        writeln!(out, "{}: {verdict}", file.display())
    }
}

impl fmt::Display for ShowReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["key", "value", "from"]);
        for Key { key, value, from } in &self.keys {
            table.row(&[key, value, from]);
        }
        table.fmt(out)
    }
}
