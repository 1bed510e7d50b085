//! Any text in the headers that are decoded, of a login that is otherwise sound: nothing panics, the events come all the same,
//! and what stood in the headers of secrets is nowhere.
//!
//! ```text
//! cargo install cargo-fuzz
//! mkdir -p fuzz/corpus/headers
//! cargo +nightly fuzz run headers fuzz/corpus/headers fuzz/seeds/headers -- -max_total_time=600 -rss_limit_mb=1024
//! ```

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use passbridge::event::{Instant, TimeBounds};
use passbridge::readers::memory::Recollection;
use passbridge::readers::{Format, ReaderOptions};
use serde_json::json;

/// 2027-01-15T08:00:00Z, later than the exchanges below.
const NOW_NANOS: i64 = 1_800_000_000_000_000_000;
const SECRET: &str = "a-secret-that-is-never-kept";
/// A public key, so that tokens are looked at.
const KEY: &str = include_str!("../../fixtures/service-token/key.pem");

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default();
    let (device_info, device, token, visitor) = (part(), part(), part(), part());
    let exchange = |second: u8, method: &str, path: &str, body: &str, answer: serde_json::Value| {
        json!({
            "started_at": format!("2026-11-10T08:00:{second:02}Z"), "duration_ms": 20,
            "request": {"method": method, "url": format!("/api/v2/REF30/{path}"), "body": body, "headers": {
                "X-Device-Info": device_info, "AP-Device-Identifier": device, "AD-Service-Token": token,
                "AP-Visitor-Identifier": visitor, "Authorization": SECRET, "Cookie": SECRET,
                "Adobe-Subject-Token": SECRET, "AP-TempPass-Identity": SECRET, "X-Forwarded-For": SECRET,
            }},
            "response": {"status": 200, "headers": {"Set-Cookie": SECRET}, "body": answer.to_string()},
        })
    };
    let session = json!({"actionName": "authenticate", "code": "AB12", "sessionId": SECRET, "mvpd": "M"});
    let decision = json!({"decisions": [{"resource": "R", "mvpd": "M", "authorized": true, "source": "mvpd",
        "token": {"notBefore": 1, "notAfter": 2, "serializedToken": SECRET}}]});
    let log = format!(
        "{}\n{}\n",
        exchange(1, "POST", "sessions", "mvpd=M", session),
        exchange(2, "POST", "decisions/authorize/M", "{\"resources\":[\"R\"]}", decision)
    );
    let now = Instant::from_nanos(NOW_NANOS);
    let mut options = ReaderOptions::unused();
    options.service_keys.add("key-1", KEY).expect("a key");
    let mut reader = Format::RestV2.open(Cursor::new(log), &options).expect("a log");
    let mut events = 0;
    let mut memory = Recollection::new(None);
    while let Some(line) = reader.next_line(TimeBounds { latest: now, now }, &mut memory).expect("memory") {
        let event = line.result.expect("headers never cost an event");
        let written = serde_json::to_string(&event).expect("an event serialises");
        assert!(!written.contains(SECRET), "{written}");
        events += 1;
    }
    assert_eq!(events, 4, "AuthN requested; AuthZ requested, AuthZ OK, play requested");
});
