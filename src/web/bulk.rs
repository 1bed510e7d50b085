//! The client of the Bulk Data Insertion API: it validates a file, uploads it, and looks it up by its key.
//!
//! - In: a file's bytes, its visitor group and its key. Out: what became of the file's rows.
//! - Guarantees: an upload is never repeated here; other requests are repeated once if their token was refused. If an
//!   answer does not show whether Adobe has the file, the result is `Unknown`. No message contains a secret.
//! - Does not know: events, how visitors are put into groups, when a file may be sent.
//! - Rules: "Bulk Data Insertion API" on developer.adobe.com/analytics-collection-apis.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{self, ApiError, Cause, Endpoint, WORDS_CHARS_MAX};
use super::http::{Answer, SetupError, beneath};
use super::ims::{ApiOptions, Ims};
use super::retry::Patience;

/// The configuration key of the address, for messages.
const KEY: &str = "bulk.url";
/// The most bytes of an answer. Real answers are far shorter: a log names at most ten rows of each flaw.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The states of a file that Adobe has accepted, even if Adobe has not processed the file yet.
const IS_IN: [&str; 3] = ["UPLOADED", "PROCESSING", "COMPLETE"];
/// The states of a file of which Adobe has accepted nothing. Adobe's guide writes ERROR, its other pages REJECTED.
const IS_NOT_IN: [&str; 2] = ["REJECTED", "ERROR"];
/// Adobe's answer for an unknown key. Any other text may come from another server or a wrong address. If
/// another text counted as this answer, a file could be sent twice.
const UNKNOWN_KEY: &str = "File not found";
const OTHER_KEY: &str = "the answer names the key of another file, or none";
/// The beginning of each sentence of a processing log that is about one row.
const ROW_MARK: &str = "On row: ";

/// A file to upload.
#[derive(Debug, Clone)]
pub struct Upload {
    pub visitor_group: String,
    pub key: String,
    /// The file name in the multipart form.
    pub name: String,
    pub rows: u64,
    /// The rows, packed with gzip.
    pub bytes: Bytes,
}

/// The result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// Adobe has accepted the file, except its invalid rows.
    Received {
        /// The rows that Adobe counted, at most as many as were written.
        rows: u64,
        /// The rows that Adobe refused, at most `rows`; `None` if the answer does not count refused rows.
        invalid_rows: Option<u64>,
        /// The rows that the processing log names: each row's number, from 1, and the reason.
        named: Vec<(u64, String)>,
        log: String,
    },
    /// Adobe has accepted nothing of the file, and it must not be sent again as it is.
    Rejected(String),
    /// Adobe has accepted nothing, because the file is too large.
    TooLarge,
    /// Adobe has accepted nothing, because it refused the access token. The next attempt gets a new token.
    TokenRefused(ApiError),
    /// Adobe has accepted nothing; the same upload may succeed later.
    NotReceived(ApiError),
    /// Adobe may have accepted the file: the caller must look up its key.
    Unknown(String),
    /// Adobe has accepted nothing, and refuses every upload until the settings are corrected.
    Refused(ApiError),
}

/// What Adobe says of a file that was sent only for validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validated {
    Valid,
    /// Adobe would refuse some rows, and this is Adobe's text. Only the answer to an upload says which rows.
    SomeRows(String),
    TooLarge,
    Invalid(String),
}

/// Adobe's answer to the look-up of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// The file arrived, and Adobe accepted or rejected it.
    Arrived(Uploaded),
    NotFound,
}

/// A client of the Bulk Data Insertion API.
pub struct BulkClient {
    ims: Ims,
}

#[derive(Deserialize)]
struct FileAnswer {
    /// `None` if the member is missing. A null is `Some`, so that it counts as the key of another file.
    #[serde(default, deserialize_with = "stated")]
    idempotency_key: Option<Value>,
    #[serde(default)]
    status_code: String,
    rows: Option<u64>,
    invalid_rows: Option<u64>,
    #[serde(default)]
    processing_log: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

fn stated<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

#[derive(Deserialize)]
struct Verdict {
    success: Option<String>,
    error: Option<String>,
}

impl BulkClient {
    pub fn new(options: ApiOptions) -> Result<BulkClient, SetupError> {
        Ok(BulkClient { ims: Ims::new((KEY, "bulk.ims_url"), options, Patience::ONCE, None)? })
    }

    /// Asks Adobe whether it would accept a file.
    pub async fn validate(&self, upload: &Upload) -> Result<Validated, ApiError> {
        let url = beneath(&self.ims.url, ["validate"]);
        let endpoint = Endpoint::new("the validation of a file", KEY, &url);
        let answer = self.ims.ask(&endpoint, ANSWER_BYTES_MAX, || self.form(&url, upload)).await?;
        let status = answer.status;
        match serde_json::from_slice::<Verdict>(&answer.body) {
            Ok(Verdict { success: Some(_), error: None }) if status.is_success() => Ok(Validated::Valid),
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => Ok(Validated::TooLarge),
            // If `is_refusal`, the status refuses the request and says nothing about the file.
            Ok(Verdict { error: Some(why), .. }) if !is_refusal(status) => Ok(verdict(&words(&why))),
            _ if !status.is_success() => Err(answer.refusal(&endpoint)),
            _ => Err(endpoint.unreadable(text(&answer.body))),
        }
    }

    /// Uploads a file in one request and never repeats it: the caller must wait for its turn before each attempt.
    pub async fn upload(&self, upload: &Upload) -> Uploaded {
        let endpoint = Endpoint::new("an upload", KEY, &self.ims.url);
        let token = match self.ims.token().await {
            Ok(token) => token,
            Err(error) if error.is_for_the_moment() => return Uploaded::NotReceived(error),
            Err(error) => return Uploaded::Refused(error),
        };
        let request = self.form(&self.ims.url, upload);
        match self.ims.send(&endpoint, request, &token, ANSWER_BYTES_MAX).await {
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                self.ims.forget().await;
                Uploaded::TokenRefused(answer.refusal(&endpoint))
            }
            Ok(answer) => uploaded(&endpoint, &answer, &upload.key, upload.rows),
            Err(error) if matches!(error.cause, Cause::NotReached(_) | Cause::Proxy(_)) => {
                Uploaded::NotReceived(error)
            }
            Err(error) if matches!(error.cause, Cause::NotSendable(_)) => Uploaded::Refused(error),
            Err(error) => Uploaded::Unknown(error.to_string()),
        }
    }

    /// Asks whether Adobe has accepted the file with this key. `rows` is the number of rows in the file.
    pub async fn look_up(&self, key: &str, rows: u64) -> Result<LookedUp, ApiError> {
        let url = beneath(&self.ims.url, ["key", key]);
        let endpoint = Endpoint::new("the look-up of a file", KEY, &url);
        let request = || self.ims.http.request(Method::GET, &url);
        let answer = self.ims.ask(&endpoint, ANSWER_BYTES_MAX, request).await?;
        looked_up(&endpoint, &answer, key, rows)
    }

    /// The file as a multipart form. The boundary contains the key, so that no line of the gzip equals the boundary.
    fn form(&self, url: &Url, upload: &Upload) -> RequestBuilder {
        let boundary = format!("passbridge-{}", upload.key);
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/gzip\r\n\r\n",
            upload.name
        );
        let body = [head.as_bytes(), &upload.bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let request = self.ims.http.request(Method::POST, url);
        request
            .header("x-adobe-vgid", &upload.visitor_group)
            .header("x-adobe-idempotency-key", &upload.key)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(body)
    }
}

/// What an answer to an upload means. If its body does not say what became of the file, the status decides.
fn uploaded(endpoint: &Endpoint, answer: &Answer, key: &str, written: u64) -> Uploaded {
    let status = answer.status;
    let unknown =
        |why: &str| Uploaded::Unknown(format!("{}: HTTP {}: {why}", endpoint.place, status.as_u16()));
    let file = serde_json::from_slice::<FileAnswer>(&answer.body).ok();
    match file.map_or(Ok(None), |file| file.outcome(status, key, written)) {
        Ok(Some(uploaded)) => uploaded,
        Err(why) => unknown(&why),
        Ok(None) => match status {
            StatusCode::PAYLOAD_TOO_LARGE => Uploaded::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Uploaded::NotReceived(answer.refusal(endpoint)),
            // A gateway may answer with these statuses, or with a 5xx, although Adobe has received the file.
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => unknown(&text(&answer.body)),
            status if status.is_client_error() => Uploaded::Refused(answer.refusal(endpoint)),
            _ => unknown(&text(&answer.body)),
        },
    }
}

/// What an answer to a look-up means. Only an answer that names the key proves that the file arrived.
fn looked_up(endpoint: &Endpoint, answer: &Answer, key: &str, written: u64) -> Result<LookedUp, ApiError> {
    match (answer.status, serde_json::from_slice::<FileAnswer>(&answer.body)) {
        (StatusCode::OK | StatusCode::NOT_FOUND, Ok(file)) if file.is_of_another(key) => {
            Err(endpoint.unreadable(OTHER_KEY))
        }
        // If the answer also says what became of the file, it contradicts itself and does not count.
        (StatusCode::NOT_FOUND, Ok(FileAnswer { error: Some(error), rows: None, status_code, .. }))
            if error.eq_ignore_ascii_case(UNKNOWN_KEY) && status_code.is_empty() =>
        {
            Ok(LookedUp::NotFound)
        }
        (status @ StatusCode::OK, Ok(mut file)) if file.idempotency_key.is_some() => {
            // The answer in Adobe's guide has no status code, and a number of rows means an accepted file.
            if file.status_code.is_empty() && file.rows.is_some() {
                file.status_code = IS_IN[0].to_owned();
            }
            let outcome = file.outcome(status, key, written).map_err(|why| endpoint.unreadable(why))?;
            outcome.map(LookedUp::Arrived).ok_or_else(|| endpoint.unreadable(text(&answer.body)))
        }
        (StatusCode::OK, _) => Err(endpoint.unreadable(text(&answer.body))),
        _ => Err(answer.refusal(endpoint)),
    }
}

impl FileAnswer {
    fn is_of_another(&self, key: &str) -> bool {
        self.idempotency_key.as_ref().is_some_and(|own| own != key)
    }

    /// What became of the file with this key and `written` rows. `None` if the answer does not say; an error if it
    /// contradicts the file or itself, accepts the file without naming its key, or has an unknown status code.
    fn outcome(self, status: StatusCode, key: &str, written: u64) -> Result<Option<Uploaded>, String> {
        let is_one_of = |codes: &[&str]| codes.iter().any(|code| self.status_code.eq_ignore_ascii_case(code));
        let (is_in, is_not_in) = (is_one_of(&IS_IN), is_one_of(&IS_NOT_IN));
        // Adobe's answer names the key of the file. Without the key, only a look-up can show that the file arrived; and a
        // gateway may say `ERROR` of a file that it passed on. Adobe's own refusals count the rows.
        let is_adobes = matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST) && self.rows.is_some();
        let is_doubtful = is_in && status.is_success() || is_not_in && !is_adobes;
        if is_doubtful && self.idempotency_key.is_none() || self.is_of_another(key) {
            return Err(OTHER_KEY.to_owned());
        }
        let (rows, invalid_rows) = (self.rows.unwrap_or(written), self.invalid_rows);
        if rows > written || invalid_rows.is_some_and(|invalid| invalid > rows) {
            let invalid = invalid_rows.unwrap_or(0);
            return Err(format!(
                "it counts {rows} rows and {invalid} invalid ones, of {written} in the file"
            ));
        }
        let log = self.processing_log.as_deref().unwrap_or_default();
        let named = named_rows(log);
        let named_count = named.iter().filter(|(row, _)| (1..=written).contains(row)).count() as u64;
        let error = self.error.as_deref().map(words).filter(|error| !error.is_empty());
        if is_in && named_count > invalid_rows.unwrap_or(0) {
            let counted = invalid_rows.map_or("none".to_owned(), |invalid| invalid.to_string());
            return Err(format!("its log names {named_count} invalid rows, and it counts {counted}"));
        }
        if let Some(error) = error.as_ref().filter(|_| is_in) {
            return Err(format!("status code {:?}, and an error: {error}", words(&self.status_code)));
        }
        let are_all_named = self.rows.is_some_and(|rows| rows > 0 && named.len() as u64 == rows);
        let log = words(log);
        match (is_in, is_not_in) {
            // The log names each row, so each row is refused for its own reason.
            (_, true) if are_all_named => {
                Ok(Some(Uploaded::Received { rows, invalid_rows: Some(rows), named, log }))
            }
            (_, true) if !log.is_empty() => Ok(Some(Uploaded::Rejected(log))),
            (_, true) => Ok(Some(Uploaded::Rejected(error.unwrap_or_else(|| words(&self.status_code))))),
            // If all rows are invalid and the log does not name every one, the whole file is refused.
            (true, _) if status.is_success() && self.rows.is_some() => {
                let is_nothing_in = invalid_rows.is_some_and(|invalid| invalid > 0 && invalid == rows);
                Ok(Some(if is_nothing_in && !are_all_named {
                    Uploaded::Rejected(log)
                } else {
                    Uploaded::Received { rows, invalid_rows, named, log }
                }))
            }
            _ if status.is_success() && !self.status_code.is_empty() => {
                Err(format!("status code {:?}", words(&self.status_code)))
            }
            _ => Ok(None),
        }
    }
}

/// Whether a refusal is about some rows (`File has 3 rows that ... (Ex: row #59)`) or about the whole file.
fn verdict(why: &str) -> Validated {
    let number = why.strip_prefix("File has ").and_then(|rest| rest.split(' ').next());
    if number.is_some_and(|number| number.replace(',', "").parse::<u64>().is_ok()) {
        Validated::SomeRows(why.to_owned())
    } else {
        Validated::Invalid(why.to_owned())
    }
}

/// The rows that a processing log names, each once. A log reads: `On row: 7, missing 'UserAgent'. ...`.
fn named_rows(log: &str) -> Vec<(u64, String)> {
    let mut named = BTreeMap::new();
    for part in log.split(ROW_MARK).skip(1) {
        let number =
            part.split(|letter: char| !letter.is_ascii_digit() && letter != ',').next().unwrap_or("");
        // A comma after the number ends it; a comma within the number separates thousands.
        let number = number.trim_end_matches(',');
        let Ok(row) = number.replace(',', "").parse::<u64>() else { continue };
        let why = part[number.len()..].lines().next().unwrap_or("").trim_start_matches([',', ' ']);
        // The text after this sentence is about other rows or about the whole file.
        let why = why.split(". ").next().unwrap_or("").trim_end_matches(['.', ' ', ';']);
        named.entry(row).or_insert_with(|| words(why));
    }
    named.into_iter().collect()
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
}

/// The text of an answer, short and on one line.
fn words(text: &str) -> String {
    error::words(text, WORDS_CHARS_MAX)
}

fn text(body: &[u8]) -> String {
    words(&String::from_utf8_lossy(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("an upload", KEY, &Url::parse("https://collect.example/events").expect("a URL"))
    }

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, retry_after: None, location: Vec::new(), body: body.as_bytes().to_vec() }
    }

    /// An answer to a file of nine rows with the key `k`.
    fn read(status: u16, body: &str) -> Uploaded {
        uploaded(&endpoint(), &answer(status, body), "k", 9)
    }

    fn look(status: u16, body: &str) -> Result<LookedUp, ApiError> {
        looked_up(&endpoint(), &answer(status, body), "k", 9)
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
            read(
                200,
                r#"{"idempotency_key":"k","status_code":"UPLOADED","rows":9,"invalid_rows":0,"more":1}"#
            ),
            received(Some(0), vec![], "")
        );
        let log = r"On row: 2, missing 'UserAgent'\nOn row: 7, no timestamp.";
        assert_eq!(
            read(
                200,
                &format!(
                    r#"{{"idempotency_key":"k","status_code":"UPLOADED","rows":9,"invalid_rows":2,"processing_log":"{log}"}}"#
                )
            ),
            received(
                Some(2),
                vec![(2, "missing 'UserAgent'".to_owned()), (7, "no timestamp".to_owned())],
                "On row: 2, missing 'UserAgent' On row: 7, no timestamp."
            )
        );
        let processing = r#"{"idempotency_key":"k","status_code":"PROCESSING","rows":9}"#;
        assert_eq!(read(200, processing), received(None, vec![], ""));
        for status in [200, 400] {
            let body = r#"{"status_code":"REJECTED","rows":9,"invalid_rows":9,"processing_log":"Not in GZIP format"}"#;
            assert_eq!(read(status, body), Uploaded::Rejected("Not in GZIP format".to_owned()));
        }
        let all_invalid = r#"{"idempotency_key":"k","status_code":"UPLOADED","rows":9,"invalid_rows":9,"processing_log":"x"}"#;
        assert_eq!(read(200, all_invalid), Uploaded::Rejected("x".to_owned()));
    }

    #[test]
    fn only_what_surely_did_not_go_in_is_sent_again() {
        assert_eq!(read(413, "{}"), Uploaded::TooLarge);
        let error = r#"{"status_code":"ERROR","status":"File Error","rows":9,"error":"no"}"#;
        assert_eq!(read(200, error), Uploaded::Rejected("no".to_owned()));
        let refused = |status, body: &str| answer(status, body).refusal(&endpoint());
        assert_eq!(read(429, ""), Uploaded::NotReceived(refused(429, "")));
        for (status, body, told) in [
            (403, r#"{"error":"no"}"#, "collect.example/events refuses an upload with status 403: no"),
            (
                400,
                r#"{"error":"no vgid"}"#,
                "collect.example/events refuses an upload with status 400: no vgid",
            ),
        ] {
            assert!(
                matches!(read(status, body), Uploaded::Refused(error) if error.to_string() == told),
                "{told}"
            );
        }
        for (status, body) in [
            (500, "{}"),
            (504, r#"{"status_code":"ERROR","message":"gateway timeout"}"#),
            (500, r#"{"status_code":"REJECTED","rows":9}"#),
            (200, r#"{"status_code":"ERROR","error":"upstream timed out"}"#),
            (302, r#"{"status_code":"REJECTED"}"#),
            (502, "<html>"),
            (200, "<html>"),
            (200, "{}"),
            (200, r#"{"status_code":"QUARANTINED","rows":9}"#),
            (302, ""),
            (408, ""),
            (503, ""),
            (409, "{}"),
            (500, r#"{"status_code":"UPLOADED","rows":9}"#),
        ] {
            assert!(matches!(read(status, body), Uploaded::Unknown(_)), "{status} {body}");
        }
    }

    #[test]
    fn an_answer_is_believed_for_its_own_key_and_where_its_counts_make_sense() {
        for wrong in [
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0,"idempotency_key":"other""#,
            r#""status_code":"REJECTED","rows":9,"invalid_rows":9,"idempotency_key":"other""#,
            r#""status_code":"UPLOADED","rows":10,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":10,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":5,"invalid_rows":6,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":18446744073709551596,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":-1,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0.5,"idempotency_key":"k""#,
            r#""status_code":"UPLOADED","idempotency_key":"k""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0"#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0,"idempotency_key":null"#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0,"idempotency_key":"k","error":"boom""#,
            r#""status_code":"COMPLETE","rows":9,"idempotency_key":"k","error":"boom""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":0,"idempotency_key":"k","processing_log":"On row: 3, no date""#,
            r#""status_code":"UPLOADED","rows":9,"idempotency_key":"k","processing_log":"On row: 3, no date""#,
            r#""status_code":"UPLOADED","rows":9,"invalid_rows":1,"idempotency_key":"k","processing_log":"On row: 3, no. On row: 4, no""#,
            r#""status_code":"HELD","rows":9,"idempotency_key":"k""#,
        ] {
            let body = format!("{{{wrong}}}");
            assert!(matches!(read(200, &body), Uploaded::Unknown(_)), "{body}");
            assert!(look(200, &body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_look_up_obeys_its_status_code_and_its_invalid_rows() {
        let own = |rest: &str| format!("{{\"idempotency_key\":\"k\"{rest}}}");
        let received = |invalid_rows, named| {
            let log = if named == vec![] { String::new() } else { "On row: 3, no date".to_owned() };
            LookedUp::Arrived(Uploaded::Received { rows: 9, invalid_rows, named, log })
        };
        let rejected = |why: &str| LookedUp::Arrived(Uploaded::Rejected(why.to_owned()));
        for (rest, found) in [
            (r#","file_id":"f","rows":9"#, received(None, vec![])),
            (r#","rows":9,"status_code":"COMPLETE","invalid_rows":0"#, received(Some(0), vec![])),
            (
                r#","rows":9,"status_code":"UPLOADED","invalid_rows":1,"processing_log":"On row: 3, no date""#,
                received(Some(1), vec![(3, "no date".to_owned())]),
            ),
            (r#","rows":9,"status_code":"REJECTED","processing_log":"no header""#, rejected("no header")),
            (r#","rows":9,"invalid_rows":9"#, rejected("")),
            (r#","status_code":"ERROR""#, rejected("ERROR")),
        ] {
            assert_eq!(look(200, &own(rest)), Ok(found), "{rest}");
        }
        // An answer without a key may be about any file.
        assert!(look(200, r#"{"rows":9}"#).is_err());
    }

    #[test]
    fn only_adobes_words_for_an_unknown_key_allow_a_repeat() {
        for body in [r#"{"error":"File not found"}"#, r#"{"error":"file not found","idempotency_key":"k"}"#] {
            assert_eq!(look(404, body), Ok(LookedUp::NotFound), "{body}");
            assert!(look(200, body).is_err_and(|error| !error.is_for_the_moment()), "{body}");
        }
        for body in [
            r#"{"error":"File not found","idempotency_key":"other"}"#,
            r#"{"error":"File not found","idempotency_key":null}"#,
            r#"{"error":"File not found","idempotency_key":"k","status_code":"UPLOADED"}"#,
            r#"{"error":"File not found","idempotency_key":"k","rows":9}"#,
            r#"{"timestamp":"2026-11-28","status":404,"error":"Not Found","path":"/events/key/k"}"#,
            r#"{"error":"not found"}"#,
            r#"{"error":"The requested file not found on this server"}"#,
            r#"{"message":"File not found"}"#,
            "File not found",
            "<html>404</html>",
            "",
        ] {
            for status in [200, 404] {
                assert!(look(status, body).is_err_and(|error| !error.is_for_the_moment()), "{status} {body}");
            }
        }
    }

    #[test]
    fn a_log_names_each_row_once_and_its_reason_only() {
        let log = "On row: 3, missing 'UserAgent'. On row: 1,234, bad timestamp. Processing complete: 9 rows\nOn row: 3, again\nOn row: x";
        assert_eq!(
            named_rows(log),
            [(3, "missing 'UserAgent'".to_owned()), (1234, "bad timestamp".to_owned())]
        );
        let all = r#"{"idempotency_key":"k","status_code":"UPLOADED","rows":1,"invalid_rows":1,"processing_log":"On row: 1, no"}"#;
        assert!(
            matches!(read(200, all), Uploaded::Received { invalid_rows: Some(1), .. }),
            "each row is named"
        );
    }

    #[test]
    fn a_verdict_tells_bad_rows_from_a_bad_file() {
        let rows = "File has 1,003 rows that do not conform (Ex: row #59)";
        assert_eq!(verdict(rows), Validated::SomeRows(rows.to_owned()));
        assert_eq!(verdict("File has no header"), Validated::Invalid("File has no header".to_owned()));
    }
}
