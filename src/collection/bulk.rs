//! The Bulk Data Insertion API: one file a request, validated, uploaded, looked up by its key.
//!
//! - In: a file's bytes, its visitor group and its key. Out: what that means for its rows.
//! - Guarantees: nothing is repeated here but a request whose token was refused, once; an answer that leaves open whether the
//!   file is in says so; no token or secret is in any message.
//! - Does not know: events, groups, when a file may be sent.
//! - Rules: section 7 of `reference/adobe-analytics.md`, BDIA-16 to BDIA-38.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::web::{self, Ims, ImsError, ImsOptions, SetupError};

/// The longest answer that is read, in bytes: a log names ten rows of a kind.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How much of an answer's text a message repeats, in characters.
const WORDS_MAX: usize = 300;
/// The states of a file that is in: processing follows the upload.
const IS_IN: [&str; 3] = ["UPLOADED", "PROCESSING", "COMPLETE"];
/// The states of one of which nothing is: Adobe's guide calls the second what its other pages call the first.
const IS_NOT_IN: [&str; 2] = ["REJECTED", "ERROR"];
/// What a log begins a line about a row with.
const ROW_MARK: &str = "On row: ";

/// Where and how files are uploaded.
#[derive(Clone)]
pub struct BulkOptions {
    /// The address of uploads, such as `https://analytics-collection.adobe.io/aa/collect/v1/events`.
    pub url: String,
    /// Who asks.
    pub ims: ImsOptions,
    /// How long a request may take.
    pub request_timeout: Duration,
}

/// Why nothing can be uploaded.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// There is no client.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nobody answered.
    #[error("{what} cannot be had")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// The server is busy or broken for the moment.
    #[error("{what} cannot be had for the moment: HTTP {status}")]
    Busy {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// It was refused for good.
    #[error("Adobe refuses {what} with status {status}: {why}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
        /// In Adobe's words.
        why: String,
    },
    /// An answer is not what is documented.
    #[error("the answer about {what} cannot be read: {why}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl BulkError {
    /// Whether the same may go well in a while.
    pub fn is_for_the_moment(&self) -> bool {
        matches!(self, BulkError::Unreachable { .. } | BulkError::Busy { .. })
    }
}

impl From<ImsError> for BulkError {
    fn from(error: ImsError) -> BulkError {
        let what = ImsError::WHAT;
        match error {
            ImsError::Unreachable(source) => BulkError::Unreachable { what, source },
            ImsError::Busy(status, _) => BulkError::Busy { what, status },
            ImsError::Refused(status, why) => BulkError::Refused { what, status, why },
            ImsError::Unreadable(why) => BulkError::Unreadable { what, why: why.to_owned() },
        }
    }
}

/// A file on its way.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its visitor group.
    pub visitor_group: String,
    /// Its idempotency key.
    pub key: String,
    /// Its name for the form.
    pub name: String,
    /// Gzip of its rows.
    pub bytes: Bytes,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It is in, save the rows that are invalid.
    Received {
        /// Rows that Adobe saw.
        rows: u64,
        /// Rows that it refused.
        invalid_rows: u64,
        /// The rows that its log names, by their number from 1, and why.
        named: Vec<(u64, String)>,
        /// Its log.
        log: String,
    },
    /// Nothing of it is in, and it must not be sent again as it is.
    Rejected(String),
    /// Nothing of it is in: it is too large.
    TooLarge,
    /// Nothing of it is in: its token is good no more. The next attempt has a new one.
    TokenRefused,
    /// Nothing of it is in, for the moment.
    NotReceived {
        /// Why.
        cause: String,
        /// What the server asked for.
        retry_after: Option<Duration>,
    },
    /// It may be in: its key is to be looked up.
    Unknown(String),
    /// Nothing of it is in, and nothing else will go in either until somebody mends the settings.
    Refused(String),
}

/// What Adobe finds of a file that it was only to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validated {
    /// Nothing is wrong with it.
    Valid,
    /// Rows of it would be refused, in Adobe's words; the answer to its upload says which.
    SomeRows(String),
    /// It is too large.
    TooLarge,
    /// It would be refused, and why.
    Invalid(String),
}

/// What Adobe knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookedUp {
    /// The file is in, with so many rows.
    Received(u64),
    /// No such file.
    NotFound,
}

/// A client of the API.
pub struct BulkClient {
    http: Client,
    url: Url,
    ims: Ims,
}

#[derive(Deserialize)]
struct FileAnswer {
    #[serde(default)]
    status_code: String,
    rows: Option<u64>,
    invalid_rows: Option<u64>,
    #[serde(default)]
    processing_log: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Verdict {
    success: Option<String>,
    error: Option<String>,
}

impl BulkClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: BulkOptions) -> Result<BulkClient, BulkError> {
        let url = web::address("bulk.url", &options.url)?;
        let ims = Ims::new("bulk.ims_url", options.ims)?;
        let http = web::client(&[&url, ims.url()], options.request_timeout)?;
        Ok(BulkClient { http, url, ims })
    }

    /// Asks whether Adobe would take a file.
    pub async fn validate(&self, upload: &Upload) -> Result<Validated, BulkError> {
        let what = "the validation of a file";
        let url = self.beneath(&["validate"]);
        let response =
            self.send(|token| self.form(&url, upload, token)).await.map_err(|error| match error {
                NoReply::Token(error) => error,
                NoReply::Http(source) => BulkError::Unreachable { what, source: source.without_url() },
            })?;
        let status = response.status();
        let body = whole(response)
            .await
            .map_err(|source| BulkError::Unreachable { what, source: source.without_url() })?;
        if is_busy(status) {
            return Err(BulkError::Busy { what, status: status.as_u16() });
        }
        match serde_json::from_slice::<Verdict>(&body) {
            Ok(Verdict { success: Some(_), error: None }) if status.is_success() => Ok(Validated::Valid),
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => Ok(Validated::TooLarge),
            // A refusal of the request is no verdict about the file.
            Ok(Verdict { error: Some(why), .. }) if !is_refusal(status) => Ok(verdict(&words(&why))),
            _ if !status.is_success() => Err(BulkError::Refused {
                what,
                status: status.as_u16(),
                why: words(&String::from_utf8_lossy(&body)),
            }),
            _ => Err(BulkError::Unreadable { what, why: words(&String::from_utf8_lossy(&body)) }),
        }
    }

    /// Uploads a file, in one request: what is to be repeated is another upload, which has to wait for its turn.
    pub async fn upload(&self, upload: &Upload) -> Uploaded {
        let response = match self.once(|token| self.form(&self.url, upload, token)).await {
            Ok(response) => response,
            Err(NoReply::Token(error)) if error.is_for_the_moment() => {
                return Uploaded::NotReceived { cause: error.to_string(), retry_after: None };
            }
            Err(NoReply::Token(error)) => return Uploaded::Refused(error.to_string()),
            Err(NoReply::Http(error)) if error.is_connect() => {
                return Uploaded::NotReceived {
                    cause: web::root_cause(&error.without_url()),
                    retry_after: None,
                };
            }
            Err(NoReply::Http(error)) => return Uploaded::Unknown(web::root_cause(&error.without_url())),
        };
        let (status, retry_after) = (response.status(), web::retry_after(response.headers()));
        if status == StatusCode::UNAUTHORIZED {
            self.ims.forget().await;
            return Uploaded::TokenRefused;
        }
        match whole(response).await {
            Ok(body) => uploaded(status, retry_after, &body),
            Err(error) => Uploaded::Unknown(web::root_cause(&error.without_url())),
        }
    }

    /// Asks whether a file with this key is in.
    pub async fn look_up(&self, key: &str) -> Result<LookedUp, BulkError> {
        let what = "the look-up of a file";
        let url = self.beneath(&["key", key]);
        let unreachable =
            |source: reqwest::Error| BulkError::Unreachable { what, source: source.without_url() };
        let response = self.send(|token| self.ims.authorize(self.http.get(url.clone()), token)).await;
        let response = response.map_err(|error| match error {
            NoReply::Token(error) => error,
            NoReply::Http(source) => unreachable(source),
        })?;
        let status = response.status();
        let body = whole(response).await.map_err(unreachable)?;
        let answer = serde_json::from_slice::<FileAnswer>(&body);
        match (status, answer) {
            (StatusCode::OK, Ok(FileAnswer { rows: Some(rows), .. })) => Ok(LookedUp::Received(rows)),
            // Only in Adobe's words: another 404 is a wrong address, and would have the file sent twice.
            (StatusCode::NOT_FOUND | StatusCode::OK, Ok(FileAnswer { error: Some(error), .. }))
                if error.to_ascii_lowercase().contains("not found") =>
            {
                Ok(LookedUp::NotFound)
            }
            (status, _) if is_busy(status) => Err(BulkError::Busy { what, status: status.as_u16() }),
            (StatusCode::OK, _) => {
                Err(BulkError::Unreadable { what, why: words(&String::from_utf8_lossy(&body)) })
            }
            (status, _) => Err(BulkError::Refused {
                what,
                status: status.as_u16(),
                why: words(&String::from_utf8_lossy(&body)),
            }),
        }
    }

    /// Sends a request with a token.
    async fn once(&self, request: impl Fn(&str) -> RequestBuilder) -> Result<Response, NoReply> {
        let token = self.ims.token(&self.http).await.map_err(|error| NoReply::Token(error.into()))?;
        request(&token).send().await.map_err(NoReply::Http)
    }

    /// The same, and once more with a new token where that one is refused.
    async fn send(&self, request: impl Fn(&str) -> RequestBuilder) -> Result<Response, NoReply> {
        let response = self.once(&request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        tracing::debug!("the access token is refused, and is had anew");
        self.ims.forget().await;
        self.once(&request).await
    }

    /// The file as a form. Its boundary is made of its key, which no gzip begins a line with by chance.
    fn form(&self, url: &Url, upload: &Upload, token: &str) -> RequestBuilder {
        let boundary = format!("passbridge-{}", upload.key);
        let mut body = Vec::with_capacity(upload.bytes.len() + 512);
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
                 Content-Type: application/gzip\r\n\r\n",
                upload.name
            )
            .as_bytes(),
        );
        body.extend_from_slice(&upload.bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        self.ims
            .authorize(self.http.post(url.clone()), token)
            .header("x-adobe-vgid", &upload.visitor_group)
            .header("x-adobe-idempotency-key", &upload.key)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(body)
    }

    fn beneath(&self, names: &[&str]) -> Url {
        let mut url = self.url.clone();
        // An address of HTTP has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(names);
        }
        url
    }
}

enum NoReply {
    Token(BulkError),
    Http(reqwest::Error),
}

/// What an answer to an upload means, by its body whatever its status.
fn uploaded(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Uploaded {
    let text = || words(&String::from_utf8_lossy(body));
    let answer = serde_json::from_slice::<FileAnswer>(body).ok();
    match answer {
        Some(answer) if IS_NOT_IN.iter().any(|code| answer.status_code.eq_ignore_ascii_case(code)) => {
            let log = answer.processing_log.clone().unwrap_or_default();
            let named = named_rows(&log);
            if let Some(rows) = answer.rows.filter(|rows| *rows > 0 && named.len() as u64 == *rows) {
                // Each row has its own reason, so each is refused by itself.
                return Uploaded::Received { rows, invalid_rows: rows, named, log: words(&log) };
            }
            Uploaded::Rejected(answer.processing_log.or(answer.error).map_or_else(text, |log| words(&log)))
        }
        Some(FileAnswer { status_code, rows: Some(rows), invalid_rows, processing_log, .. })
            if status.is_success() && IS_IN.iter().any(|code| status_code.eq_ignore_ascii_case(code)) =>
        {
            let (log, invalid_rows) = (processing_log.unwrap_or_default(), invalid_rows.unwrap_or(0));
            let named = named_rows(&log);
            // Rows that are all named are refused one by one; else nothing is in, for a reason that concerns the whole file.
            if invalid_rows > 0 && invalid_rows >= rows && (named.len() as u64) < rows {
                return Uploaded::Rejected(words(&log));
            }
            Uploaded::Received { rows, invalid_rows, named, log: words(&log) }
        }
        Some(answer) if status.is_success() && !answer.status_code.is_empty() => {
            Uploaded::Unknown(format!("status code {:?}", words(&answer.status_code)))
        }
        answer => {
            let why = answer.and_then(|answer| answer.error).map_or_else(text, |error| words(&error));
            match status {
                StatusCode::PAYLOAD_TOO_LARGE => Uploaded::TooLarge,
                StatusCode::TOO_MANY_REQUESTS => {
                    Uploaded::NotReceived { cause: "HTTP 429".to_owned(), retry_after }
                }
                // A gateway may say 503, 408 or 409 of what went through before.
                StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => {
                    Uploaded::Unknown(format!("HTTP {}: {why}", status.as_u16()))
                }
                status if status.is_client_error() => {
                    Uploaded::Refused(format!("HTTP {}: {why}", status.as_u16()))
                }
                status => Uploaded::Unknown(format!("HTTP {}: {why}", status.as_u16())),
            }
        }
    }
}

/// What a refusal says: `File has 3 rows that ... (Ex: row #59)` is about these rows.
fn verdict(why: &str) -> Validated {
    let number = why.strip_prefix("File has ").and_then(|rest| rest.split(' ').next());
    if number.is_some_and(|number| number.replace(',', "").parse::<u64>().is_ok()) {
        Validated::SomeRows(why.to_owned())
    } else {
        Validated::Invalid(why.to_owned())
    }
}

/// The rows that a log names, each once: `On row: 7, missing 'UserAgent'. ...`.
fn named_rows(log: &str) -> Vec<(u64, String)> {
    let mut named = BTreeMap::new();
    for part in log.split(ROW_MARK).skip(1) {
        let number =
            part.split(|letter: char| !letter.is_ascii_digit() && letter != ',').next().unwrap_or("");
        // A comma before a blank ends the number, another one stands in it.
        let number = number.trim_end_matches(',');
        let Ok(row) = number.replace(',', "").parse::<u64>() else { continue };
        let why = part[number.len()..].lines().next().unwrap_or("").trim_start_matches([',', ' ']);
        // What follows the sentence is about other rows, or about the file.
        let why = why.split(". ").next().unwrap_or("").trim_end_matches(['.', ' ', ';']);
        named.entry(row).or_insert_with(|| words(why));
    }
    named.into_iter().collect()
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT || web::is_for_the_moment(status)
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
}

/// The text of an answer, short and on one line.
fn words(text: &str) -> String {
    web::words(text, WORDS_MAX)
}

/// A body; nothing of one that is too long, which says nothing that is read.
async fn whole(response: Response) -> Result<Vec<u8>, reqwest::Error> {
    web::whole(response, ANSWER_BYTES_MAX).await.map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Uploaded {
        uploaded(StatusCode::from_u16(status).expect("a status"), None, body.as_bytes())
    }

    #[test]
    fn the_body_decides_whatever_the_status() {
        let received = |invalid_rows, named, log: &str| Uploaded::Received {
            rows: 9,
            invalid_rows,
            named,
            log: log.to_owned(),
        };
        assert_eq!(
            read(200, r#"{"status_code":"UPLOADED","rows":9,"invalid_rows":0,"visitor_group":"a","more":1}"#),
            received(0, vec![], "")
        );
        let log = r"On row: 2, missing 'UserAgent'\nOn row: 7, no timestamp.";
        assert_eq!(
            read(
                200,
                &format!(
                    r#"{{"status_code":"UPLOADED","rows":9,"invalid_rows":2,"processing_log":"{log}"}}"#
                )
            ),
            received(
                2,
                vec![(2, "missing 'UserAgent'".to_owned()), (7, "no timestamp".to_owned())],
                "On row: 2, missing 'UserAgent' On row: 7, no timestamp."
            )
        );
        assert_eq!(read(200, r#"{"status_code":"PROCESSING","rows":9}"#), received(0, vec![], ""));
        for status in [200, 400] {
            let body = r#"{"status_code":"REJECTED","rows":9,"invalid_rows":9,"processing_log":"Not in GZIP format"}"#;
            assert_eq!(read(status, body), Uploaded::Rejected("Not in GZIP format".to_owned()));
        }
        let all_invalid = r#"{"status_code":"UPLOADED","rows":9,"invalid_rows":9,"processing_log":"x"}"#;
        assert_eq!(read(200, all_invalid), Uploaded::Rejected("x".to_owned()));
    }

    #[test]
    fn only_what_surely_did_not_go_in_is_sent_again() {
        assert_eq!(read(413, "{}"), Uploaded::TooLarge);
        let odd = r#"{"status_code":"QUARANTINED","rows":9}"#;
        assert_eq!(read(200, odd), Uploaded::Unknown("status code \"QUARANTINED\"".to_owned()));
        let error = r#"{"status_code":"ERROR","status":"File Error","rows":9,"error":"no"}"#;
        assert_eq!(read(200, error), Uploaded::Rejected("no".to_owned()));
        assert_eq!(read(429, ""), Uploaded::NotReceived { cause: "HTTP 429".to_owned(), retry_after: None });
        assert_eq!(read(403, r#"{"error":"no"}"#), Uploaded::Refused("HTTP 403: no".to_owned()));
        assert_eq!(read(400, r#"{"error":"no vgid"}"#), Uploaded::Refused("HTTP 400: no vgid".to_owned()));
        for (status, body) in [
            (500, "{}"),
            (502, "<html>"),
            (200, "<html>"),
            (200, "{}"),
            (302, ""),
            (408, ""),
            (503, ""),
            (409, "{}"),
        ] {
            assert!(matches!(read(status, body), Uploaded::Unknown(_)), "{status} {body}");
        }
    }

    #[test]
    fn a_log_names_each_row_once_and_its_reason_only() {
        let log = "On row: 3, missing 'UserAgent'. On row: 1,234, bad timestamp. Processing complete: 9 rows\nOn row: 3, again\nOn row: x";
        assert_eq!(
            named_rows(log),
            [(3, "missing 'UserAgent'".to_owned()), (1234, "bad timestamp".to_owned())]
        );
        let all = r#"{"status_code":"UPLOADED","rows":1,"invalid_rows":1,"processing_log":"On row: 1, no"}"#;
        assert!(matches!(read(200, all), Uploaded::Received { invalid_rows: 1, .. }), "each row is named");
    }

    #[test]
    fn a_verdict_tells_bad_rows_from_a_bad_file() {
        let rows = "File has 1,003 rows that do not conform (Ex: row #59)";
        assert_eq!(verdict(rows), Validated::SomeRows(rows.to_owned()));
        assert_eq!(verdict("File has no header"), Validated::Invalid("File has no header".to_owned()));
    }
}
