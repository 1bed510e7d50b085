//! The small facts and the secrets of a buffer.

use rusqlite::Connection;

use super::error::Result;
use super::rows::{first, only, run, value};

/// The fact that holds the next sequence number.
pub(super) const NEXT_SEQ: &str = "next_seq";
/// The fact that says where events end whose exchanges had identities of version 1; absent in a buffer that never had any.
pub(super) const FORMER_BEFORE: &str = "exchanges_1_before";
/// The fact that marks a copy: outcomes recorded in the original since then are not in it.
pub(super) const COPIED_AT: &str = "copied_at";

pub(super) fn fact(connection: &Connection, name: &str) -> Result<Option<i64>> {
    first(connection, "SELECT value FROM facts WHERE name = ?1", [name], only)
}

pub(super) fn set_fact(connection: &Connection, name: &str, value: i64) -> Result<()> {
    run(connection, "INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)", (name, value))
}

pub(super) fn forget_fact(connection: &Connection, name: &str) -> Result<()> {
    run(connection, "DELETE FROM facts WHERE name = ?1", [name])
}

/// What users are digested with in the metrics. No two buffers have the same.
pub(super) fn metrics_secret(connection: &Connection) -> Result<[u8; 32]> {
    value(connection, "SELECT value FROM secrets WHERE name = 'metrics'", [])
}

/// Makes a secret of the buffer, which stays the same for ever.
pub(super) fn make_secret(connection: &Connection, name: &str) -> Result<[u8; 32]> {
    let secret = random();
    run(connection, "INSERT INTO secrets (name, value) VALUES (?1, ?2)", (name, secret))?;
    Ok(secret)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < bytes.len() {
        // The kernel's generator fails only for a bad address, and is interrupted by signals.
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}
