//! Errors that keep the server from starting.

use std::io;
use std::net::SocketAddr;

use super::tokens::TokensError;
use crate::buffer::BufferError;
use crate::ingest::IngestError;

/// The reason why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl From<BufferError> for ServeError {
    fn from(error: BufferError) -> ServeError {
        ServeError::Ingest(error.into())
    }
}
