//! Recognises an exchange, or a part of one, in a log that is read as another format or wrapped by a log driver.

use memchr::memmem::find;

/// Words that exchanges contain and events do not, in lower case; the values behind them may be secrets. They are
/// members of lines and entries, headers of the API, members of answers, and paths.
const WORDS: [&str; 23] = [
    "started_at",
    "\"startedat",
    "\"started-at",
    "starteddatetime",
    "bearer ",
    "authorization\"",
    "authorization\\",
    "\"cookie",
    "set-cookie",
    "ap-device-identifier",
    "ap-temppass-identity",
    "ap-visitor-identifier",
    "x-device-info",
    "ad-service-token",
    "adobe-subject-token",
    "x-roku-reserved",
    "x-forwarded-for",
    "serializedtoken",
    "samlresponse",
    "actionname",
    "upstreamuserid",
    "/api/v2/",
    "\\/api\\/v2\\/",
];

/// Whether these bytes look like an exchange with the Pass REST API V2, or like a part of one.
pub fn is_like_exchange(bytes: &[u8]) -> bool {
    let small = bytes.to_ascii_lowercase();
    WORDS.iter().any(|word| find(&small, word.as_bytes()).is_some())
}
