//! Refuses commands that work only with a file, and says what to do instead on PostgreSQL.

use std::env;

use super::failure::{Failure, refused};
use super::settings::Settings;

/// The commands that do not work on PostgreSQL yet, each with what to do instead.
const INSTEAD: [(&str, &str); 6] = [
    (
        "suite",
        "suite add, list, show, set, pause, resume and remove work; set the suite up by hand, as docs/onboarding.md says",
    ),
    ("backfill", "ingest the history: it goes with the live events, in the order of their time"),
    ("pull", "ingest events in NDJSON or CSV"),
    ("reconcile", "passbridge report has the figures to compare with those of ESM and Analytics"),
    ("backup", "pg_dump and point-in-time recovery do it"),
    ("restore", "restore the database by its own tools; docs/many-workers.md says what counts again then"),
];

/// Whether the configuration names a database of PostgreSQL.
pub(super) fn is_on_postgres(settings: &Settings) -> bool {
    !settings.config.buffer.url.is_empty()
}

/// Refuses a command that works only with a file.
pub(super) fn refuse(settings: &Settings) -> Result<(), Failure> {
    if !is_on_postgres(settings) {
        return Ok(());
    }
    let given = |name: &str| env::args().any(|word| word == name);
    let (command, instead) = INSTEAD
        .into_iter()
        .find(|(name, _)| given(name))
        .unwrap_or(("this command", "docs/many-workers.md says what works there"));
    Err(refused(
        format!(
            "passbridge {command} does not work like this yet where the buffer is on PostgreSQL (buffer.url); nothing was done"
        ),
        instead,
    ))
}

pub(super) fn refuse_options(is_given: bool, what: &str) -> Result<(), Failure> {
    if !is_given {
        return Ok(());
    }
    let why = format!("where the buffer is on PostgreSQL (buffer.url), {what}, so far; nothing was done");
    Err(refused(why, "docs/many-workers.md says what works there"))
}
