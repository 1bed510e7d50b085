//! Why the buffer on PostgreSQL could not do something.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::buffer::BufferError;
use crate::suite::Rsid;

pub(super) type Result<T> = std::result::Result<T, PostgresError>;

/// Why the buffer on PostgreSQL could not do something.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("cannot read the password in {path:?}")]
    Password { path: PathBuf, source: io::Error },
    /// No server answers, or the server is starting up, shutting down or out of connections for too long.
    #[error("cannot use the database {place}")]
    Away { place: String, source: Error },
    #[error("cannot log in to the database {place}")]
    LogIn { place: String, source: Error },
    #[error("the database {place} is a standby, or takes only reads")]
    ReadOnly { place: String },
    #[error("the database {place} is PostgreSQL {found}")]
    TooOld { place: String, found: String },
    #[error("the database {place} runs with {setting} = off, so what it acknowledges may be lost")]
    Unsafe { place: String, setting: &'static str },
    #[error("there is no buffer in the database {place}")]
    Missing { place: String },
    #[error("there is a buffer in the database {place} already")]
    Exists { place: String },
    #[error("cannot use the buffer in {place}: its schema is {found}, this program knows {known}")]
    OtherSchema { place: String, found: i32, known: i32 },
    #[error("this user lacks a right in the database {place}")]
    Rights { place: String, source: Error },
    #[error("the database {place} failed")]
    Failed { place: String, source: Error },
    #[error("the database {place} does not answer, for {seconds} s now")]
    Silent { place: String, seconds: u64 },
    /// Something in the tables is not as passbridge writes it.
    #[error("the buffer in the database is damaged: {0}")]
    Damaged(&'static str),
    /// A buffer in a file refuses this as well.
    #[error(transparent)]
    Refused(#[from] BufferError),
    #[error("a drain sends to report suite {0} at this moment")]
    Sending(Rsid),
    #[error("an ingest with exchanges or reports of ESM cannot be stored on PostgreSQL yet")]
    NotYet,
}

/// Whether the same statement may succeed soon: after a restart, a failover, or a conflict with another transaction.
pub(super) fn is_passing(error: &Error) -> bool {
    match error.code() {
        Some(code) => [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // What pgbouncer says while the server behind it is away.
            SqlState::PROTOCOL_VIOLATION,
            // The server became a standby meanwhile. The new primary soon answers at the same name.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code),
        None => true,
    }
}

impl PostgresError {
    pub(super) fn of(place: String, source: Error) -> PostgresError {
        match source.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                PostgresError::Rights { place, source }
            }
            Some(code)
                if [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    SqlState::INVALID_CATALOG_NAME,
                ]
                .contains(code) =>
            {
                PostgresError::LogIn { place, source }
            }
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => PostgresError::ReadOnly { place },
            // The client reports a missing password by these words alone, without an SQL state.
            None if source.source().is_some_and(|cause| cause.to_string() == "password missing") => {
                PostgresError::LogIn { place, source }
            }
            _ if is_passing(&source) => PostgresError::Away { place, source },
            _ => PostgresError::Failed { place, source },
        }
    }
}
