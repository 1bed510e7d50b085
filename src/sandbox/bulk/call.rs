//! One request to the bulk interface: who sent it, and the file in its form.

use std::sync::Arc;
use std::time::Instant;

use http::{StatusCode, header, request};
use hyper::body::Incoming;

use super::super::reply::Broken;
use super::super::request::{header, read};
use super::super::rules::{Finding, Rule};
use super::super::world::{Origin, Shared};
use super::form::{self, FilePart};

/// What a form may have besides its file, in bytes.
const FORM_BYTES_MAX: u64 = 64 << 10;

/// Why a request ends without what it asked for.
pub(super) enum Ending {
    Refused(StatusCode, String),
    Broken,
}

impl From<Broken> for Ending {
    fn from(_: Broken) -> Ending {
        Ending::Broken
    }
}

pub(super) fn refused(status: StatusCode, error: impl ToString) -> Ending {
    Ending::Refused(status, error.to_string())
}

pub(super) fn too_large() -> Ending {
    refused(StatusCode::PAYLOAD_TOO_LARGE, "File is too large")
}

pub(super) struct Call<'c> {
    pub(super) shared: &'c Arc<Shared>,
    /// Its number and that of its connection, for the record of broken rules.
    pub(super) origin: Origin,
    /// When its head came.
    pub(super) at: Instant,
    pub(super) head: request::Parts,
}

impl Call<'_> {
    pub(super) fn violated(&self, rsid: &str, findings: impl IntoIterator<Item = Finding>) {
        self.shared.world().violate(self.origin, rsid, findings);
    }

    fn found(&self, rule: Rule, detail: impl Into<String>) {
        self.violated("", [Finding::new(rule, detail)]);
    }

    pub(super) fn header(&self, name: &str) -> &str {
        header(&self.head.headers, name)
    }

    /// Looks at token and headers; gives the client ID. Which headers a look-up needs besides is not published.
    pub(super) fn authorize(&self, needed: &[&str]) -> Result<String, Ending> {
        let missing = needed.iter().find(|name| self.header(name).is_empty());
        if let Some(missing) = missing {
            self.found(Rule::BulkHeaders, format!("no {missing}"));
        }
        let client_id = self.shared.world().tokens.client_of(self.header("authorization")).map(str::to_owned);
        let invalid = || refused(StatusCode::UNAUTHORIZED, "Invalid token (1)");
        let client_id = client_id.ok_or_else(invalid)?;
        if let Some(missing) = missing {
            let error = format!("Request is missing required header '{missing}'");
            return Err(refused(StatusCode::BAD_REQUEST, error));
        }
        if self.header("x-api-key") != client_id {
            self.found(Rule::BulkHeaders, "x-api-key is not the client ID of the token");
            return Err(refused(StatusCode::UNAUTHORIZED, "Invalid API key"));
        }
        Ok(client_id)
    }

    /// The same for a request with a file, whose body is turned away where that fails.
    pub(super) async fn authorize_file(&self, body: Incoming) -> Result<(String, Incoming), Ending> {
        match self.authorize(&["authorization", "x-api-key", "x-adobe-vgid"]) {
            Ok(client_id) => Ok((client_id, body)),
            Err(ending) => {
                self.turn_away(body).await?;
                Err(ending)
            }
        }
    }

    /// The file of the form in a body.
    pub(super) async fn file(&self, body: Incoming) -> Result<FilePart, Ending> {
        let bytes_max = self.shared.world().bulk.settings.compressed_bytes_max;
        let refuse_bytes = |bytes: u64| {
            self.found(Rule::BulkSize, format!("{bytes} bytes packed"));
            too_large()
        };
        let (bytes, received) = read(body, bytes_max.saturating_add(FORM_BYTES_MAX)).await?;
        let bytes = bytes.ok_or_else(|| refuse_bytes(received))?;
        let file = form::file_of(self.header("content-type"), &bytes).map_err(|error| {
            self.found(Rule::BulkAddress, error.to_string());
            refused(StatusCode::BAD_REQUEST, error)
        })?;
        match file.bytes.len() as u64 {
            length if length > bytes_max => Err(refuse_bytes(length)),
            _ => Ok(file),
        }
    }

    /// Leaves the body to a client that waits to be asked for it, and takes it from one that does not: that one would see a
    /// broken connection instead of the reply.
    pub(super) async fn turn_away(&self, body: Incoming) -> Result<(), Broken> {
        if !self.head.headers.contains_key(header::EXPECT) {
            read(body, 0).await?;
        }
        Ok(())
    }
}

/// Does what takes longer than other connections should wait.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading a file has failed");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    })
}
