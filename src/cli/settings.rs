//! Finds and reads the configuration file, and the files of secrets that it names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, io};

use serde::Deserialize;
use tokio::sync::watch;
use toml::{Table, Value};

use super::layers::{self, Mistake, VARIABLE_PREFIX};
use crate::config::{Config, LogFormat, Secret};
use crate::readers::rest_v2::ServiceKeys;
use crate::schedule::Timetable;
use crate::web::{read_secret, read_secret_text};
use crate::whole_file::warn_if_open;

const CONFIG_VARIABLE: &str = "PASSBRIDGE_CONFIG";
pub(super) const LOCAL_FILE: &str = "passbridge.toml";
const SYSTEM_FILE: &str = "/etc/passbridge/passbridge.toml";
/// The start of the configuration keys that name a public key of the identity service. The key ID (`kid`) follows.
pub(super) const SERVICE_KEYS: &str = "rest_v2.service_token_keys.";
/// The shortest secret, in bytes. Nobody can guess 128 random bits.
const SECRET_BYTES_MIN: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The absolute path of the configuration file.
    pub(super) file: PathBuf,
    pub(super) config: Config,
    pub(super) timetable: Timetable,
    /// Warnings about variables that are not read, and about keys of earlier releases.
    pub(super) warnings: Vec<String>,
    /// Whether the configuration file itself contains a client secret or a ping URL, which is a secret, too.
    pub(super) has_secret: bool,
    /// The current configuration, for listeners and notices. It changes when the file is read again.
    pub(super) current: watch::Sender<Config>,
    /// The files and folders that the configuration names, and the file itself.
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("no configuration file; looked at {LOCAL_FILE}, {SYSTEM_FILE}")]
    NotFound,
    #[error("cannot read configuration {path:?}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Invalid(#[from] Mistake),
    #[error("cannot use {key} in {path:?}: {why}")]
    Secret { key: String, path: PathBuf, why: String },
}

impl Settings {
    /// The secret for digests of exchanges; `None` if no file is configured: then the buffer's own secret is used.
    pub(super) fn source_secret(&self) -> Result<Option<Vec<u8>>, SettingsError> {
        let path = &self.config.rest_v2.secret_file;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        warn_if_open(path);
        let refuse = refuse_secret("rest_v2.secret_file", path);
        let secret = read_secret(path).map_err(|error| refuse(error.to_string()))?;
        let secret = secret.trim_ascii_end();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(refuse(format!("it has fewer than {SECRET_BYTES_MIN} bytes")));
        }
        Ok(Some(secret.to_vec()))
    }

    pub(super) fn service_keys(&self) -> Result<ServiceKeys, SettingsError> {
        let mut keys = ServiceKeys::default();
        for (kid, path) in &self.config.rest_v2.service_token_keys {
            let key = format!("{SERVICE_KEYS}{kid}");
            let refuse = refuse_secret(&key, path);
            let pem = read_secret_text(path).map_err(|error| refuse(error.to_string()))?;
            keys.add(kid, &pem).map_err(|error| refuse(error.to_string()))?;
        }
        Ok(keys)
    }
}

/// A secret from its file or, if no file is configured, from the configuration; `None` if there is neither.
pub(super) fn client_secret(
    key: &str,
    path: &Path,
    secret: &Secret,
) -> Result<Option<String>, SettingsError> {
    if path.as_os_str().is_empty() {
        return Ok(Some(secret.0.clone()).filter(|secret| !secret.is_empty()));
    }
    warn_if_open(path);
    let refuse = refuse_secret(key, path);
    let text = read_secret_text(path).map_err(|error| refuse(error.to_string()))?;
    match text.trim() {
        "" => Err(refuse("it is empty".to_owned())),
        secret => Ok(Some(secret.to_owned())),
    }
}

fn refuse_secret(key: &str, path: &Path) -> impl Fn(String) -> SettingsError {
    move |why| SettingsError::Secret { key: key.to_owned(), path: path.to_owned(), why }
}

/// Finds the file: `--config`, PASSBRIDGE_CONFIG, the working directory, /etc. The first two may name a new file.
pub(super) fn find(option: Option<&Path>) -> Result<PathBuf, SettingsError> {
    let variable = || env::var_os(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = option.map(Path::to_owned).or_else(variable) {
        return Ok(path);
    }
    let mut places = [LOCAL_FILE, SYSTEM_FILE].into_iter().map(PathBuf::from);
    places.find(|place| place.exists()).ok_or(SettingsError::NotFound)
}

/// Reads the file, applies the variables of the environment, and checks the result.
pub(super) fn read(path: &Path) -> Result<Settings, SettingsError> {
    read_text(&text_of(path)?, path)
}

/// The text of the file, which may contain secrets.
pub(super) fn text_of(path: &Path) -> Result<String, SettingsError> {
    read_secret_text(path).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => {
            Mistake { place: path.display().to_string(), why: source.to_string() }.into()
        }
        _ => SettingsError::Unreadable { path: path.to_owned(), source },
    })
}

/// The log format to use if the configuration was not read or is not valid.
pub(super) fn log_format(option: Option<&Path>) -> LogFormat {
    let named = env::var(format!("{VARIABLE_PREFIX}LOG__FORMAT")).ok().map(Value::String);
    let in_file = || {
        let text = text_of(&find(option).ok()?).ok()?;
        text.parse::<Table>().ok()?.get("log")?.get("format").cloned()
    };
    let format = named.or_else(in_file).and_then(|format| LogFormat::deserialize(format).ok());
    format.unwrap_or(LogFormat::Text)
}

/// Parses a text as the content of this file.
pub(super) fn read_text(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let file = std::path::absolute(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    parse(text, &file, env::vars_os())
}

/// Makes settings from the text of a file and from variables.
pub(super) fn parse(
    text: &str,
    file: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let variables: Vec<_> = variables.into_iter().collect();
    let (mut config, warnings) = layers::read(text, file, &variables)?;
    let timetable = Timetable::new(&config.schedule)
        .map_err(|error| Mistake { place: format!("{file:?}"), why: error.to_string() })?;
    let (folder, mut files) = (file.parent().unwrap_or(Path::new("/")), vec![file.to_owned()]);
    for path in [
        &mut config.buffer.path,
        &mut config.buffer.password_file,
        &mut config.ingest.rejects_dir,
        &mut config.esm.credentials_file,
        &mut config.esm.software_statement_file,
        &mut config.bulk.dir,
        &mut config.bulk.client_secret_file,
        &mut config.analytics.client_secret_file,
        &mut config.rest_v2.secret_file,
        &mut config.serve.tokens_file,
        &mut config.serve.pages_tokens_file,
    ]
    .into_iter()
    .chain(config.rest_v2.service_token_keys.values_mut())
    .filter(|path| !path.as_os_str().is_empty())
    {
        *path = folder.join(&path);
        files.push(path.clone());
    }
    let table = text.parse::<Table>().unwrap_or_default();
    let has_secret = table
        .values()
        .any(|section| ["client_secret", "ping_url"].iter().any(|key| section.get(key).is_some()));
    let current = watch::Sender::new(config.clone());
    Ok(Settings { file: file.to_owned(), config, current, timetable, warnings, has_secret, files })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OpenEvent;

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
            ("[delivery]\nlanes = 8\n\"lanes\" = 9", vec![], format!("{file}:3: \"lanes\" is given twice; the first is in line 2")),
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
    fn the_switches_of_the_release_before_count_what_they_counted() {
        for switches in 0..1 << OpenEvent::ALL.len() {
            let events = || OpenEvent::ALL.into_iter().enumerate();
            let is_on = |index: usize| switches & (1 << index) != 0;
            let lines =
                events().map(|(index, event)| format!("count_{} = {}\n", event.as_str(), is_on(index)));
            let text = format!("[rest_v2]\n{}", lines.collect::<String>());
            let settings = with(&text, &[]).expect("a file of the release before");
            for (index, event) in events() {
                assert_eq!(settings.config.rest_v2.counts(event), is_on(index), "{event:?} in {text}");
            }
            assert_eq!(settings.warnings.len(), 6);
        }
        let variable = [("PASSBRIDGE_REST_V2__COUNT_PLAY_FAILED", "true")];
        let settings = with("[rest_v2]\ncount_play_failed = false\n", &variable).expect("a variable");
        assert!(settings.config.rest_v2.counts(OpenEvent::PlayFailed), "the environment wins");
        assert_eq!(
            settings.warnings[0],
            "/etc/passbridge/passbridge.toml:2: rest_v2.count_play_failed is a key of an earlier release and still holds; put \"play_failed\" into rest_v2.leave_out instead"
        );
        assert!(with("[rest_v2]\ncount_play_failed = 1\n", &[]).is_err());
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
    fn the_schedule_is_checked_with_the_rest_and_told_with_its_place() {
        let refused = with("\n[schedule]\ncron = \"every day\"", &[]).expect_err("two fields");
        assert!(refused.starts_with("/etc/passbridge/passbridge.toml:3: schedule.cron"), "{refused}");
        let refused = with("", &[("PASSBRIDGE_SCHEDULE__TIMEZONE", "Mars/Olympus")]).expect_err("no zone");
        assert!(refused.starts_with("PASSBRIDGE_SCHEDULE__TIMEZONE: "), "{refused}");
    }
}
