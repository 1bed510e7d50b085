//! The named numbers (facts) and the secrets of a buffer.

use rusqlite::Connection;

use super::error::Result;
use super::rows::{first, only, run, value};

/// The fact that holds the next sequence number.
pub(super) const NEXT_SEQ: &str = "next_seq";
/// The fact that holds the first sequence number of schema 6. Earlier events of exchanges have identities of
/// version 1. A buffer that stored no event before schema 6 lacks this fact.
pub(super) const FORMER_BEFORE: &str = "exchanges_1_before";
/// The fact that holds the number of the newest input of exchanges; negative if that input cannot be taken back.
pub(super) const NEWEST_EXCHANGES: &str = "newest_exchanges";
/// The fact that marks a copy: the time of copying. Outcomes recorded later are only in the original.
pub(super) const COPIED_AT: &str = "copied_at";
/// The fact that closes a buffer: when it was moved to another place.
pub(super) const MOVED_AT: &str = "moved_at";
/// The fact that holds the time since when the inbox has rows that drains cannot move.
pub(super) const INBOX_LEFT_SINCE: &str = "inbox_left_since";
/// The facts that hold the mark of the process that sends live events, and of the one that sends a backfill.
pub(super) const DRAIN_RUNNER: &str = "drain_runner";
pub(super) const BACKFILL_RUNNER: &str = "backfill_runner";
/// The fact that tells cursors of this buffer from cursors of other buffers, and from cursors before a restore.
pub(super) const CURSOR_SERIES: &str = "cursor_series";

pub(super) fn fact(connection: &Connection, name: &str) -> Result<Option<i64>> {
    first(connection, "SELECT value FROM facts WHERE name = ?1", [name], only)
}

pub(super) fn set_fact(connection: &Connection, name: &str, value: i64) -> Result<()> {
    run(connection, "INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)", (name, value))
}

pub(super) fn forget_fact(connection: &Connection, name: &str) -> Result<()> {
    run(connection, "DELETE FROM facts WHERE name = ?1", [name])
}

/// The key for the digests of users in the metrics. Each buffer has its own.
pub(super) fn metrics_secret(connection: &Connection) -> Result<[u8; 32]> {
    value(connection, "SELECT value FROM secrets WHERE name = 'metrics'", [])
}

/// Makes a random secret, which the buffer keeps for ever.
pub(super) fn make_secret(connection: &Connection, name: &str) -> Result<[u8; 32]> {
    let secret = random();
    run(connection, "INSERT INTO secrets (name, value) VALUES (?1, ?2)", (name, secret))?;
    Ok(secret)
}

/// Random bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < bytes.len() {
        // A signal may interrupt the call, so it is repeated. The call's other error, a bad address, cannot happen.
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}
