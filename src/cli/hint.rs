//! Commands in messages: each gets the `--config` of the current command, so that it can be typed as it stands.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::job::JobName;

static CONFIG: OnceLock<PathBuf> = OnceLock::new();

/// Stores the `--config` of this process. A second call changes nothing.
pub(super) fn note_config(config: Option<&Path>) {
    if let Some(config) = config {
        CONFIG.get_or_init(|| config.to_owned());
    }
}

/// A message, with `--config` in every `passbridge` command that it names.
pub(super) fn complete(message: &str) -> Cow<'_, str> {
    match CONFIG.get() {
        Some(config) => Cow::Owned(with_config(message, config)),
        None => Cow::Borrowed(message),
    }
}

/// How a backfill goes on after one of its files could not be read. As long as an input is not loaded, no event of the
/// backfill was sent, so that all of them can be taken back.
pub(super) fn with_mended_file(name: &JobName) -> String {
    format!(
        "with the file as it was planned: passbridge backfill resume {name}; if it had to be mended, take back what is stored and begin \
         anew with all inputs: passbridge pending take-back --backfill {name} --yes; passbridge backfill cancel {name}; passbridge \
         backfill run {name} FILE..."
    )
}

fn with_config(message: &str, config: &Path) -> String {
    let config = config.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@%:,".contains(letter);
    let quoted =
        if config.chars().all(is_plain) { config } else { format!("'{}'", config.replace('\'', "'\\''")) };
    let command = format!("passbridge --config {quoted} ");
    // In `runuser -u passbridge -- passbridge`, the first name is the user's.
    message.replace("passbridge ", &command).replace(&format!("-u {command}"), "-u passbridge ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_repeats_the_configuration_and_other_words_stay() {
        for (config, message, expected) in [
            ("/etc/a.toml", "see passbridge status", "see passbridge --config /etc/a.toml status"),
            ("it's", "passbridge drain", "passbridge --config 'it'\\''s' drain"),
            (
                "a",
                "runuser -u passbridge -- passbridge drain",
                "runuser -u passbridge -- passbridge --config a drain",
            ),
            ("a", "set buffer.path in passbridge.toml", "set buffer.path in passbridge.toml"),
        ] {
            assert_eq!(with_config(message, Path::new(config)), expected);
        }
    }
}
