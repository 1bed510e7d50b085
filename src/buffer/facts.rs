//! The named numbers (facts) and the secrets of a buffer.

use rusqlite::Connection;

use super::error::Result;
use super::rows::{first, only, run, value};

/// The fact that holds the next sequence number.
pub(super) const NEXT_SEQ: &str = "next_seq";
/// The fact that holds the first sequence number after the events whose exchanges had identities of version 1. A
/// buffer that never had such events lacks it.
pub(super) const FORMER_BEFORE: &str = "exchanges_1_before";
/// The fact that marks a copy: the time of copying. Outcomes recorded later are only in the original.
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
        // If a signal interrupts the kernel's generator, it is asked again. Else it fails only for a bad address.
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}
