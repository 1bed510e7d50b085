//! What the bulk API reads of a request: its sender, and the file in its multipart/form-data form (RFC 7578).

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use memchr::memmem;

use super::super::reply::Broken;
use super::super::request::{Call, read};
use super::super::rules::Rule;

/// How much a form may have besides its file, in bytes.
const FORM_BYTES_MAX: u64 = 64 << 10;

/// The headers that every request with a file must have.
pub(super) const FILE_HEADERS: [&str; 3] = ["authorization", "x-api-key", "x-adobe-vgid"];

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

impl Call {
    pub(super) fn group(&self) -> &str {
        self.header("x-adobe-vgid")
    }

    /// The idempotency key; empty if none was sent.
    pub(super) fn key(&self) -> &str {
        self.header("x-adobe-idempotency-key")
    }

    /// Checks token and headers; returns the client ID. Adobe does not publish which headers a look-up needs.
    pub(super) fn authorize(&self, needed: &[&str]) -> Result<String, Ending> {
        let missing = needed.iter().find(|name| self.header(name).is_empty());
        if let Some(missing) = missing {
            self.found("", Rule::BulkHeaders, format!("no {missing}"));
        }
        let client_id = self.shared.world().tokens.client_of(self.header("authorization")).map(str::to_owned);
        let invalid = || refused(StatusCode::UNAUTHORIZED, "Invalid token (1)");
        let client_id = client_id.ok_or_else(invalid)?;
        if let Some(missing) = missing {
            let error = format!("Request is missing required header '{missing}'");
            return Err(refused(StatusCode::BAD_REQUEST, error));
        }
        if self.header("x-api-key") != client_id {
            self.found("", Rule::BulkHeaders, "x-api-key is not the client ID of the token");
            return Err(refused(StatusCode::UNAUTHORIZED, "Invalid API key"));
        }
        Ok(client_id)
    }

    pub(super) async fn file(&self, body: &mut Incoming) -> Result<FilePart, Ending> {
        let bytes_max = self.shared.world().bulk.settings.compressed_bytes_max;
        let refuse_bytes = |bytes: u64| {
            self.found("", Rule::BulkSize, format!("{bytes} bytes packed"));
            too_large()
        };
        let (bytes, received) = read(body, bytes_max.saturating_add(FORM_BYTES_MAX)).await?;
        let bytes = bytes.ok_or_else(|| refuse_bytes(received))?;
        let file = file_of(self.header("content-type"), &bytes).map_err(|error| {
            self.found("", Rule::BulkAddress, error.to_string());
            refused(StatusCode::BAD_REQUEST, error)
        })?;
        match file.bytes.len() as u64 {
            length if length > bytes_max => Err(refuse_bytes(length)),
            _ => Ok(file),
        }
    }
}

/// Runs long work on a thread of its own, so that other connections need not wait.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading a file has failed");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    })
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilePart {
    /// The name that the client has given the file; empty if none.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// The error for a form that is broken off or does not contain its boundary.
const BROKEN: &str = "the form is broken off or has no boundary";

/// The field `file` of a form, or why there is none.
fn file_of(content_type: &str, body: &Bytes) -> Result<FilePart, String> {
    let boundary = boundary_of(content_type).ok_or_else(|| {
        format!("the content type is {content_type:?}, not multipart/form-data with a boundary")
    })?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter may be at the very beginning, without the line end before it.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        memmem::find(body, delimiter.as_bytes()).ok_or(BROKEN)? + delimiter.len()
    };
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Err("the form has no field 'file'".to_owned());
        }
        // `rest` begins with the line end of the delimiter, so the empty line is also found if a part has no headers.
        let head_length = memmem::find(rest, b"\r\n\r\n").ok_or(BROKEN)?;
        let start = at + head_length + 4;
        let length = memmem::find(&body[start..], delimiter.as_bytes()).ok_or(BROKEN)?;
        let disposition = disposition_of(&String::from_utf8_lossy(&rest[..head_length]));
        if parameter(&disposition, "name").as_deref() == Some("file") {
            let name = parameter(&disposition, "filename").unwrap_or_default();
            return Ok(FilePart { name, bytes: body.slice(start..start + length) });
        }
        at = start + length + delimiter.len();
    }
}

fn boundary_of(content_type: &str) -> Option<String> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())
}

/// The value of the header Content-Disposition; empty if there is none.
fn disposition_of(head: &str) -> String {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    named.map(|(_, value)| value.trim().to_owned()).next().unwrap_or_default()
}

/// A parameter of a header, without its quotes. The parameters that we ask for contain no semicolon.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let is_it = key.trim().eq_ignore_ascii_case(name);
        is_it.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    fn read(content_type: &str, body: &str) -> Result<(String, String), String> {
        file_of(content_type, &Bytes::copy_from_slice(body.as_bytes()))
            .map(|file| (file.name, String::from_utf8_lossy(&file.bytes).into_owned()))
    }

    #[test]
    fn the_file_is_found_among_other_fields() {
        let body = "--x-1\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\na\r\n--x-1\r\n\
            content-type: application/gzip\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.gz\"\r\n\r\n\
            b\r\n--x-\r\nc\r\n--x-1--\r\n";
        let file = ("a.gz".to_owned(), "b\r\n--x-\r\nc".to_owned());
        assert_eq!(read(TYPE, body), Ok(file.clone()));
        assert_eq!(read("Multipart/Form-Data;boundary=x-1", &format!("preamble\r\n{body}")), Ok(file));
    }

    #[test]
    fn what_is_no_such_form_says_why() {
        let body = "--x-1\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\na\r\n--x-1--\r\n";
        assert_eq!(read(TYPE, body), Err("the form has no field 'file'".to_owned()));
        assert_eq!(read(TYPE, &body[..body.len() - 10]), Err(BROKEN.to_owned()));
        assert_eq!(read(TYPE, "a"), Err(BROKEN.to_owned()));
        assert_eq!(read(TYPE, ""), Err(BROKEN.to_owned()));
        for content_type in ["", "application/gzip", "multipart/form-data", "multipart/form-data; boundary="]
        {
            let why =
                format!("the content type is {content_type:?}, not multipart/form-data with a boundary");
            assert_eq!(read(content_type, body), Err(why));
        }
    }
}
