//! How a requestor's events come in, which stays as it was first.

use rusqlite::Connection;

use super::error::Result;
use super::keys::RequestorKey;
use super::rows::{run, value};
use crate::readers::memory::Feed;

/// The words that stand for it in SQL.
impl Feed {
    pub(super) fn name(self) -> &'static str {
        match self {
            Feed::Events => "events",
            Feed::Esm => "esm",
        }
    }

    pub(super) fn of_name(name: &str) -> Feed {
        if name == "esm" { Feed::Esm } else { Feed::Events }
    }
}

/// How a requestor's events come in: as they did first.
pub(super) fn feed_of(connection: &Connection, requestor: RequestorKey, first: Feed) -> Result<Feed> {
    let insert = "INSERT OR IGNORE INTO feeds (requestor, feed) VALUES (?1, ?2)";
    run(connection, insert, (requestor, first.name()))?;
    let known: String = value(connection, "SELECT feed FROM feeds WHERE requestor = ?1", [requestor])?;
    Ok(Feed::of_name(&known))
}
