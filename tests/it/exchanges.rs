//! Exchanges as they come in the wild: each is one, whatever stands beside it, whatever wrote it, in whatever order; and what is
//! not understood of them is said.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use passbridge::config::{IngestConfig, RestV2Config};
use passbridge::event::Instant;
use passbridge::ingest::{FormatChoice, IngestOptions, IngestSummary, InputPath, Warning, load, preview};
use passbridge::readers::Format;
use passbridge::readers::rest_v2::{ExchangeSummary, Gap};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture;
use crate::ingest_formats::gzip;
use crate::program::Program;
use crate::serve::Listening;
use crate::support::{House, buffer_options, subscriber};

mod gaps;

/// 2026-11-28T16:00:00Z: later than every fixture.
const NOW_NANOS: i64 = 1_795_881_600_000_000_000;

fn options(dir: &Path) -> IngestOptions {
    IngestOptions {
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: None,
        accept_missing: Vec::new(),
        job: Default::default(),
        format: FormatChoice::Auto,
        config: IngestConfig {
            rejects_dir: dir.join("rejects"),
            min_free_bytes: 0,
            ..IngestConfig::default()
        },
        rest_v2: RestV2Config::default(),
        secret: None,
        service_keys: Default::default(),
        esm: Default::default(),
        clock: Clock::fixed(Instant::from_nanos(NOW_NANOS)),
    }
}

/// What a source gave: its events as text, and what was told of it.
struct Read {
    events: Vec<Value>,
    summary: IngestSummary,
}

impl Read {
    fn exchanges(&self) -> &ExchangeSummary {
        self.summary.exchanges.as_ref().expect("a source of exchanges")
    }

    fn with(&self, property: &str) -> usize {
        self.events.iter().filter(|event| !event[property].is_null()).count()
    }

    /// The reasons of the lines that were rejected.
    fn rejected(&self) -> Vec<(u64, String)> {
        let rejected = self.summary.warnings.iter().filter_map(|warning| match warning {
            Warning::Rejected { line, reason, .. } => Some((*line, reason.clone())),
            _ => None,
        });
        rejected.collect()
    }
}

/// How many exchanges lack something.
fn lacking(read: &Read, gap: Gap) -> u64 {
    read.exchanges().gaps[gap as usize].exchanges
}

fn read(path: &Path) -> Read {
    let dir = TempDir::new().expect("a temporary folder");
    let mut events = Vec::new();
    let summary = preview(&[InputPath::new(path)], &options(dir.path()), &mut |event, _| {
        events.push(serde_json::to_value(event).expect("JSON"));
        ControlFlow::Continue(())
    });
    Read { events, summary }
}

fn read_fixture(name: &str) -> Read {
    read(&fixture::path(name))
}

fn read_text(name: &str, content: impl AsRef<[u8]>) -> Read {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join(name);
    fs::write(&path, content).expect("a file");
    read(&path)
}

fn text(name: &str) -> String {
    fs::read_to_string(fixture::path(name)).expect(name)
}

/// An authorization that failed, without anything that tells it from another.
fn authorize() -> Value {
    json!({
        "started_at": "2026-11-10T08:00:01.123Z", "duration_ms": 5,
        "request": {
            "method": "POST", "url": "https://h/api/v2/REF30/decisions/authorize/M",
            "headers": {"AP-Device-Identifier": "fingerprint YWJj"}, "body": "{\"resources\":[\"A\"]}",
        },
        "response": {"status": 503, "headers": {}, "body": ""},
    })
}

fn archive(entries: &[Value]) -> String {
    json!({"log": {"version": "1.2", "creator": {"name": "a test"}, "entries": entries}}).to_string()
}

/// The same as an entry of an archive.
fn entry() -> Value {
    json!({
        "startedDateTime": "2026-11-10T08:00:01.123Z", "time": 5,
        "request": {
            "method": "POST", "url": "https://h/api/v2/REF30/decisions/authorize/M",
            "headers": [{"name": "AP-Device-Identifier", "value": "fingerprint YWJj"}],
            "postData": {"mimeType": "application/json", "text": "{\"resources\":[\"A\"]}"},
        },
        "response": {"status": 503, "headers": [], "content": {"size": 0, "mimeType": "", "text": ""}},
    })
}

fn changed(mut whole: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let object = whole.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    object.insert(name.to_owned(), value);
    whole
}

#[test]
fn two_exchanges_of_one_millisecond_are_two_and_the_same_line_is_one() {
    let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
    let log = [InputPath::new(fixture::path("exchanges/same-millisecond.ndjson"))];
    let take = || load(&*house.buffer, &log, &options(house.dir.path()), &mut ()).expect("an ingest");
    assert_eq!(take().total.stored, 4);
    let again = take();
    assert_eq!((again.total.read, again.exchanges.expect("exchanges").again), (0, 2));
    for (pointer, value) in [
        ("/duration_ms", json!(7)),
        ("/started_at", json!("2026-11-10T08:00:01.124Z")),
        ("/request/url", json!("https://h/api/v2/REF30/decisions/authorize/M?trace=2")),
        ("/request/body", json!("{\"resources\":[\"B\"]}")),
        ("/request/headers/AP-Device-Identifier", json!("fingerprint ZGVm")),
        ("/request/headers/X-Device-Info", json!("eyJtb2RlbCI6IkEifQ==")),
        ("/request/headers/AP-Visitor-Identifier", json!("123")),
        ("/request/headers/AD-Service-Token", json!("a.b.c")),
        ("/request/headers/Adobe-Subject-Token", json!("a.b.c")),
        ("/response/status", json!(500)),
        ("/response/body", json!("{}")),
        ("/response/headers/Location", json!("https://h/?mso_id=M")),
    ] {
        let other = changed(authorize(), pointer, value);
        let both = read_text("log.ndjson", format!("{}\n{other}\n{other}", authorize()));
        assert_eq!((both.exchanges().again, both.events.len()), (1, 4), "{pointer} tells nothing apart");
    }
}

#[test]
fn a_rejected_exchange_that_moves_in_its_log_is_not_kept_again_and_another_is() {
    let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
    let path = house.dir.path().join("rolling.ndjson");
    let at =
        |second: u32| changed(authorize(), "/started_at", json!(format!("2026-11-10T08:00:{second:02}Z")));
    // Nothing of them is kept but the reason, which is the same for all: one cannot be read, the other is refused later.
    let unread = |second| changed(at(second), "/response/status", json!(700)).to_string();
    let refused = |second| {
        changed(at(second), "/started_at", json!(format!("2099-11-10T08:00:{second:02}Z"))).to_string()
    };
    let kept_before = |lines: &[String]| {
        fs::write(&path, lines.join("\n")).expect("a log");
        let mut options = options(house.dir.path());
        options.format = FormatChoice::Is(Format::RestV2);
        let log = [InputPath::new(&path)];
        let summary = load(&*house.buffer, &log, &options, &mut ()).expect("an ingest");
        (summary.total.rejected, summary.rejects_kept_before)
    };
    assert_eq!(kept_before(&[unread(1), refused(2), unread(3), refused(4)]), (4, 0));
    assert_eq!(kept_before(&[unread(3), refused(4), unread(5), refused(6)]), (4, 2));
    let archive = house.dir.path().join("rolling.har");
    let kept_before = |entries: &[Value]| {
        fs::write(&archive, self::archive(entries)).expect("an archive");
        let log = [InputPath::new(&archive)];
        let summary = load(&*house.buffer, &log, &options(house.dir.path()), &mut ()).expect("an ingest");
        (summary.total.rejected, summary.rejects_kept_before)
    };
    let entry = |time: u32| changed(changed(entry(), "/time", json!(time)), "/response/status", json!(700));
    assert_eq!(kept_before(&[entry(1), entry(2)]), (2, 0));
    assert_eq!(kept_before(&[entry(2), entry(3)]), (2, 1));
}

#[test]
fn exchanges_that_only_a_part_of_a_millisecond_tells_apart_count_once_and_are_told() {
    let took = |ms: Value| changed(authorize(), "/duration_ms", ms).to_string();
    let two = read_text("log.ndjson", [took(json!(5.13)), took(json!(5.37)), took(json!(6))].join("\n"));
    assert_eq!((two.events.len(), lacking(&two, Gap::Distinction), two.exchanges().again), (4, 1, 1));
    let told: Vec<String> = two.summary.warnings.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("log.ndjson:2: 1 exchanges differ from another one only in"), "{told:?}");
    // Another log may have cut the duration off. Of two logs with whole milliseconds, neither has cut off the other's.
    for [one, other, count] in
        [[5.6, 5.0, 2.0], [5.0, 5.6, 2.0], [5.4, 5.0, 2.0], [5.0, 6.0, 4.0], [6.0, 5.0, 4.0]]
    {
        let both = read_text("log.ndjson", [took(json!(one)), took(json!(other))].join("\n"));
        assert_eq!((both.events.len() as f64, lacking(&both, Gap::Distinction)), (count, 0), "{one} {other}");
    }
    let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
    let stored = [5.6, 5.0, 6.0].map(|ms| {
        let path = house.dir.path().join(format!("{ms}.ndjson"));
        fs::write(&path, took(json!(ms))).expect("a log");
        let log = [InputPath::new(path)];
        load(&*house.buffer, &log, &options(house.dir.path()), &mut ()).expect("an ingest").total.stored
    });
    assert_eq!(stored, [2, 0, 0]);
    // A log that was written again may have rounded the duration.
    for other in [json!(5.13), json!(5), json!("5.130")] {
        let same = read_text("log.ndjson", [took(json!(5.13)), took(other.clone())].join("\n"));
        assert_eq!((lacking(&same, Gap::Distinction), same.exchanges().again), (0, 1), "{other}");
    }
}

#[test]
fn a_wrapped_exchange_is_named_by_the_member_that_holds_it_and_by_no_other_name() {
    let exchange = authorize();
    let text = exchange.to_string();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &text);
    for (line, expected) in [
        (json!({"message": text, "time": 1}), "as text in \"message\""),
        (json!({"log": format!("{text}\n"), "stream": "stdout"}), "jq -r '.log' FILE"),
        (json!({"_index": "x", "_source": exchange}), "jq -c '._source' FILE"),
        (json!({"_source": {"@timestamp": "x", "message": text}}), "jq -r '._source.message' FILE"),
        (json!({"logEvents": [{"id": "1", "message": text}]}), "jq -r '.logEvents[].message' FILE"),
        (json!({"@message": text}), "jq -r '.\"@message\"' FILE"),
        (
            json!({"streams": [{"stream": {"app": "gw"}, "values": [["1794297601000000000", text]]}]}),
            "jq -r '.streams[].values[][1]' FILE",
        ),
        (
            json!({"Records": [{"kinesis": {"data": encoded}}]}),
            "jq -r '.Records[].kinesis.data|@base64d' FILE",
        ),
        (json!({"specversion": "1.0", "data_base64": encoded}), "jq -r '.data_base64|@base64d' FILE"),
        (
            json!({"result": {"fields": {"deep": {"deeper": {"message": text}}}}}),
            "as text in a member, as a log driver",
        ),
        (json!({"a-secret-in-a-name": text}), "as text in a member, as a log driver"),
    ] {
        for format in [FormatChoice::Auto, FormatChoice::Is(Format::Ndjson), FormatChoice::Is(Format::RestV2)]
        {
            let dir = TempDir::new().expect("a temporary folder");
            let path = dir.path().join("wrapped.ndjson");
            fs::write(&path, line.to_string()).expect("a log");
            let options = IngestOptions { format, ..options(dir.path()) };
            let summary = preview(&[InputPath::new(&path)], &options, &mut |_, _| ControlFlow::Continue(()));
            let told = Read { events: Vec::new(), summary }.rejected();
            assert!(told.len() == 1 && told[0].1.contains(expected), "{line} {format:?}: {told:?}");
            assert!(!told[0].1.contains("a-secret") && !told[0].1.contains("YWJj"), "{told:?}");
        }
    }
}

/// Every source that the release before schema 6 of the buffer read into `exchanges-before-6.sqlite`, as it read them: some of
/// requestors of their own.
fn sources_of_old(dir: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for format in ["csv", "json", "xml"] {
        let path = dir.join(format!("hour.{format}"));
        fs::write(&path, text(&format!("esm/hour.{format}")).replace("REF30", "REF70")).expect("a report");
        sources.push(path);
    }
    for folder in ["rest-v2", "rest-v2/samples", "ndjson", "csv"] {
        let files =
            fs::read_dir(fixture::path(folder)).expect("a folder").map(|entry| entry.expect("a file").path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| {
                path.extension().is_some_and(|extension| extension == "ndjson" || extension == "csv")
            })
            .collect();
        files.sort();
        sources.extend(files);
    }
    sources.push(fixture::path("har/basic.har"));
    sources
}

fn buffer_of_old(dir: &Path) -> Buffer {
    let path = dir.join("passbridge.db");
    fs::copy(fixture::path("buffers/exchanges-before-6.sqlite"), &path).expect("a copy");
    let clock = Clock::fixed(Instant::from_nanos(NOW_NANOS));
    Buffer::open(&buffer_options(path, &clock)).expect("it opens")
}

#[test]
fn what_an_earlier_release_read_adds_nothing_when_it_is_read_again() {
    let dir = TempDir::new().expect("a temporary folder");
    let buffer = buffer_of_old(dir.path());
    for (round, remembers) in [true, true, false, false].into_iter().enumerate() {
        if !remembers {
            // As after the days for which exchanges are remembered; only the identities of events are left.
            let database = rusqlite::Connection::open(buffer.path()).expect("the database opens");
            database
                .execute("DELETE FROM source_memory WHERE body = '' OR body NOT LIKE 'esm %'", [])
                .expect("it forgets");
        }
        let (mut known, mut added) = (0, Vec::new());
        for source in sources_of_old(dir.path()) {
            let summary = load(&buffer, &[InputPath::new(&source)], &options(dir.path()), &mut ());
            let summary = summary.expect("an ingest");
            let exchanges = summary.exchanges.clone().unwrap_or_default();
            known += summary.total.duplicates + exchanges.again;
            // That release rejected a line with two objects, and stored neither.
            let rejected_then = u64::from(round == 0 && source.ends_with("bad-lines.ndjson"));
            if summary.total.stored + exchanges.recovered > rejected_then {
                added.push(format!("{} of {source:?}: {exchanges:?}", summary.total.stored));
            }
        }
        assert!(known > 150 && added.is_empty(), "remembers {remembers}: {known} known, added {added:#?}");
        assert_eq!(buffer.verify().expect("a recount"), []);
    }
}

#[test]
fn an_exchange_that_an_earlier_release_swallowed_is_counted_once_and_said() {
    let dir = TempDir::new().expect("a temporary folder");
    let buffer = buffer_of_old(dir.path());
    let log = dir.path().join("same-millisecond.ndjson");
    fs::write(&log, text("exchanges/same-millisecond.ndjson").replace("REF30", "REF80")).expect("a log");
    for (stored, recovered, again) in [(2, 1, 1), (0, 0, 2)] {
        let summary =
            load(&buffer, &[InputPath::new(&log)], &options(dir.path()), &mut ()).expect("an ingest");
        let exchanges = summary.exchanges.expect("exchanges");
        assert_eq!((summary.total.stored, exchanges.recovered, exchanges.again), (stored, recovered, again));
    }
}

#[test]
fn an_exchange_is_the_same_in_any_spelling_of_its_members_and_of_its_method() {
    let dir = TempDir::new().expect("a temporary folder");
    // What a release wrote that took `post` and `POST` for two methods.
    let path = dir.path().join("passbridge.db");
    fs::copy(fixture::path("buffers/exchange-of-lower-case-method.sqlite"), &path).expect("a copy");
    let clock = Clock::fixed(Instant::from_nanos(NOW_NANOS));
    let buffer = Buffer::open(&buffer_options(path, &clock)).expect("it opens");
    let small = changed(authorize(), "/request/method", json!("post")).to_string();
    let respelled = json!({
        "StartedAt": "2026-11-10T08:00:01.123Z", "durationMs": 5,
        "Request": {
            "Method": "Post", "URL": "https://h/api/v2/REF30/decisions/authorize/M",
            "Header": {"AP-Device-Identifier": ["fingerprint YWJj"]}, "Body": "{\"resources\":[\"A\"]}",
        },
        "Response": {"StatusCode": 503, "Headers": {}, "Body": ""},
    });
    let respelled_entry = entry()
        .to_string()
        .replace("\"headers\"", "\"Headers\"")
        .replace("\"postData\"", "\"PostData\"")
        .replace("\"startedDateTime\"", "\"started_date_time\"");
    let respelled_entry = serde_json::from_str(&respelled_entry).expect("JSON");
    let sources = [
        ("small.ndjson", small.clone()),
        ("large.ndjson", authorize().to_string()),
        ("respelled.ndjson", respelled.to_string()),
        ("respelled.har", archive(&[respelled_entry])),
    ];
    for remembers in [true, false] {
        if !remembers {
            let database = rusqlite::Connection::open(buffer.path()).expect("the database opens");
            database.execute("DELETE FROM source_memory", []).expect("it forgets");
        }
        for (name, text) in &sources {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a source");
            let mut options = options(dir.path());
            options.format =
                FormatChoice::Is(if name.ends_with("har") { Format::Har } else { Format::RestV2 });
            let summary = load(&buffer, &[InputPath::new(&path)], &options, &mut ()).expect("an ingest");
            let again = summary.exchanges.as_ref().map(|exchanges| exchanges.again);
            assert_eq!((summary.total.stored, summary.total.rejected), (0, 0), "{name}: {summary:?}");
            assert!(!remembers || again == Some(1), "{name}: {summary:?}");
            // The method in small letters is what that release knew the events by.
            if !remembers && name.starts_with("small") {
                assert_eq!(summary.total.duplicates, 2, "{summary:?}");
                break;
            }
        }
    }
    assert_eq!(buffer.verify().expect("a recount"), []);
}

#[test]
fn an_exchange_is_the_same_however_its_url_is_escaped() {
    let dir = TempDir::new().expect("a temporary folder");
    // What two releases wrote of this log that took `%2f` and `%2F`, or `%4f` and `O`, for two paths; the first two lines one that also
    // took `post` and `POST` for two methods.
    let path = dir.path().join("passbridge.db");
    fs::copy(fixture::path("buffers/exchange-of-escaped-url.sqlite"), &path).expect("a copy");
    let clock = Clock::fixed(Instant::from_nanos(NOW_NANOS));
    let buffer = Buffer::open(&buffer_options(path, &clock)).expect("it opens");
    let as_before = text("exchanges/escaped-url.ndjson");
    let mut normal = as_before.clone();
    for (escaped, plain) in [("%4f", "O"), ("%41", "A"), ("%2f", "%2F"), ("%3d", "%3D"), ("%3a", "%3A")] {
        assert!(normal.contains(escaped), "{escaped}");
        normal = normal.replace(escaped, plain);
    }
    for remembers in [true, false] {
        if !remembers {
            let database = rusqlite::Connection::open(buffer.path()).expect("the database opens");
            database.execute("DELETE FROM source_memory", []).expect("it forgets");
        }
        for (name, text) in [("as-before.ndjson", &as_before), ("normal.ndjson", &normal)] {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a log");
            let summary =
                load(&buffer, &[InputPath::new(&path)], &options(dir.path()), &mut ()).expect("an ingest");
            let again = summary.exchanges.as_ref().map_or(0, |exchanges| exchanges.again);
            assert_eq!((summary.total.stored, summary.total.rejected), (0, 0), "{name}: {summary:?}");
            // Where nothing else is left, the events are known by the identities that they had then.
            let known = if remembers || name.starts_with("normal") { (4, 0) } else { (0, 5) };
            assert_eq!((again, summary.total.duplicates), known, "{name}: {summary:?}");
        }
    }
    assert_eq!(buffer.verify().expect("a recount"), []);
    // The mvpd is what the path says, decoded.
    let read = read_text("normal.ndjson", format!("{normal}{as_before}"));
    assert_eq!((read.events.len(), read.exchanges().again), (5, 4));
    assert_eq!(read.events[0]["mvpd"], json!("Cable One/Two"));
}

#[test]
fn a_member_that_stands_twice_or_is_called_otherwise_is_rejected_by_its_name() {
    let twice = |pointer, value| changed(authorize(), pointer, value);
    for (exchange, expected) in [
        (twice("/request/Headers", json!({})), "headers is given twice"),
        (twice("/request/METHOD", json!("GET")), "request.method is given twice"),
        (
            twice("/response/StatusCode", json!(200)),
            "response.status and response.statusCode say different things",
        ),
        (twice("/response/Status", json!("503 Service Unavailable")), "status is given twice"),
        (twice("/startedAt", json!("2026-11-10T08:00:01Z")), "started_at is given twice"),
        (
            twice("/response", json!({"code": 200, "body": "{}"})),
            "response.status is missing, though the response has a body",
        ),
    ] {
        let path = "log.ndjson";
        let read = read_text(path, format!("{}\n{exchange}", changed(authorize(), "/duration_ms", json!(9))));
        let rejected = read.rejected();
        assert!(rejected.len() == 1 && rejected[0].1.contains(expected), "{expected}: {rejected:?}");
    }
}

#[test]
fn a_body_of_an_answer_that_is_missing_or_cut_off_is_named() {
    let granted = json!({"decisions": [{"resource": "A", "mvpd": "M", "authorized": true}]}).to_string();
    let denied = json!({"code": "authorization_denied_by_mvpd", "message": "no"}).to_string();
    for (status, body, expected) in [
        (200, Value::Null, Some("(response.body) is missing or empty")),
        (200, json!(""), Some("(response.body) is missing or empty")),
        (200, json!(granted[..30]), Some("(response.body) is cut off after 30 bytes")),
        // A decision that does not say what was decided is no denial.
        (
            200,
            json!(granted.replace("authorized", "authorised")),
            Some("on: authorized is missing before it"),
        ),
        (
            200,
            json!(granted.replace("true", "\"true\"")),
            Some("on: authorized is a text in place of true or false"),
        ),
        (200, json!("{\"decisions\":{\"a\":1}}"), Some("on: decisions is an object in place of a list")),
        (200, json!(granted.replace("{\"", "x{\"")), Some("is not of the documented form there")),
        (403, json!(denied[..20]), Some("(response.body) is cut off after 20 bytes")),
        (403, json!("\u{1f}\u{fffd}\u{8}\u{0}"), Some("(response.body) is packed as gzip or Base64")),
        (403, json!("eyJjb2RlIjoieCJ9"), Some("(response.body) is packed as gzip or Base64")),
        (403, json!("H4sIAAAAAAAAA6uu"), Some("(response.body) is packed as gzip or Base64")),
        (200, json!("H4sIAAAAAAAAA6uu"), Some("(response.body) is packed as gzip or Base64")),
        (403, json!("\u{feff}{\"code\":\"c\"}"), Some("(response.body) begins with a byte order mark")),
        (200, json!("\u{feff}{}"), Some("(response.body) begins with a byte order mark")),
        (200, json!(granted), None),
        (403, json!(denied), None),
        (502, json!("<html>"), None),
        (429, json!(denied[..20]), None),
    ] {
        let answered =
            changed(changed(authorize(), "/response/status", json!(status)), "/response/body", body);
        let rejected = read_text("log.ndjson", answered.to_string()).rejected();
        match expected {
            Some(why) => assert!(rejected.len() == 1 && rejected[0].1.contains(why), "{why}: {rejected:?}"),
            None => assert_eq!(rejected, [], "{answered}"),
        }
    }
}

#[test]
fn repeats_and_what_is_out_of_order_are_told_without_being_asked() {
    let program = Program::new();
    let mut lines: Vec<String> = (0..130)
        .map(|minute| {
            authorize()
                .to_string()
                .replace("08:00:01", &format!("{:02}:{:02}:01", 8 + minute / 60, minute % 60))
        })
        .collect();
    let first = lines.remove(0);
    lines.push(first.clone());
    lines.push(first);
    program.write("log.ndjson", &lines.join("\n"));
    let log = program.path("log.ndjson");
    let done = program.run(&["ingest", log.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
    for told in
        ["1 are repeats of what was read before", "1 are out of order by more than rest_v2.reorder_seconds"]
    {
        assert!(done.out.contains(told), "{}", done.out);
    }
}

/// All that was written below a folder: names and bytes.
fn written(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.display().to_string(), fs::read(&path).expect("a file"))).collect()
}

fn assert_no_secret(written: &[(String, Vec<u8>)]) {
    for (name, bytes) in written {
        let found = memchr_of(bytes, b"SECRET");
        assert_eq!(found, None, "in {name}");
    }
}

fn memchr_of(bytes: &[u8], mark: &[u8]) -> Option<String> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some(String::from_utf8_lossy(&bytes[at.saturating_sub(40)..(at + 40).min(bytes.len())]).into_owned())
}

#[test]
fn a_log_that_begins_with_a_line_of_another_program_is_read_and_keeps_no_secret() {
    let program = Program::new();
    let log = fixture::path("exchanges/foreign-first-line.log");
    let (code, document) = program.json(&["ingest", log.to_str().expect("UTF-8")]);
    let counts = ["stored", "rejected"].map(|key| document["total"][key].as_u64());
    assert_eq!((code, counts), (3, [Some(10), Some(1)]), "{document}");
    let rejects = written(&program.path("rejects"));
    assert_eq!(rejects.len(), 1);
    assert_no_secret(&rejects);
}

/// An exchange in every place where it may stand by mistake.
fn misplaced() -> Vec<String> {
    let secrets = "SECRETbearer";
    let mut exchange =
        changed(authorize(), "/request/headers/Authorization", json!(format!("Bearer {secrets}")));
    exchange["response"]["body"] =
        json!("{\"profiles\":{\"M\":{\"attributes\":{\"userID\":{\"value\":\"SECRETuser\"}}}}}");
    let line = exchange.to_string();
    let har = json!({"startedDateTime": "x", "request": {"url": "SECRETurl", "headers": []}}).to_string();
    vec![
        line.clone(),
        line[..line.len() - 30].to_owned(),
        line[line.find("Authorization").expect("a header")..].to_owned(),
        json!({"log": line, "stream": "stdout", "time": "2026-11-10T08:00:00Z"}).to_string(),
        json!({"message": exchange, "level": "info"}).to_string(),
        json!({"message": json!({"log": line}).to_string()}).to_string(),
        format!("2026-11-10T08:00:00Z stdout F {line}"),
        json!({"path": "a", "line": 1, "reason": "occurred_at is missing", "text": line}).to_string(),
        line.replacen(
            '{',
            "{\"occurred_at\":\"SECRETtime\",\"event\":\"SECRETevent\",\"requestor_id\":\"R\",",
            1,
        ),
        har,
    ]
}

#[test]
fn what_looks_like_an_exchange_is_kept_by_no_door() {
    let program = Program::with(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[log]\nlevel = \"trace\"\n[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", "a-token-of-the-senders\n");
    let event =
        "{\"occurred_at\":\"2026-11-10T08:00:00Z\",\"event\":\"authn_ok\",\"requestor_id\":\"REF30\"}";
    let lines = misplaced();
    program.write("events.ndjson", &format!("{event}\n{}\n", lines.join("\n")));
    let row = |line: &String| format!("2026-11-10T08:00:00Z,\"{}\",REF30\n", line.replace('"', "\"\""));
    let rows: String = lines.iter().map(row).collect();
    program.write("events.csv", &format!("occurred_at,event,requestor_id\n{rows}"));
    program.write("header.csv", &format!("{}\n", lines[6]));
    let mut told = Vec::new();
    for (file, format, rejected) in
        [("events.ndjson", "ndjson", 10), ("events.csv", "csv", 10), ("header.csv", "csv", 0)]
    {
        let path = program.path(file);
        for arguments in [&["ingest", "--format", format][..], &["ingest", "--dry-run", "--format", format]] {
            let done = program.run(&[arguments, &[path.to_str().expect("UTF-8")]].concat());
            assert_ne!(done.code, 0, "{done:?}");
            assert!(rejected == 0 || done.err.contains("looks like an exchange"), "{}", done.err);
            told.push((file.to_owned(), format!("{}{}", done.out, done.err).into_bytes()));
        }
    }
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the database opens");
    for line in &lines {
        database.execute("INSERT INTO inbox (body) VALUES (?1)", [line]).expect("a row");
    }
    drop(database);
    let drained = program.run(&["drain"]);
    told.push(("drain".to_owned(), format!("{}{}", drained.out, drained.err).into_bytes()));
    // Nor does anything stay in the pages that the rows of the inbox had.
    told.push(("buffer".to_owned(), std::fs::read(program.path("passbridge.db")).expect("the buffer")));
    let server = Listening::start(&program);
    let headers = "Authorization: Bearer a-token-of-the-senders\r\n";
    let array = json!(
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or(json!(line))).collect::<Vec<Value>>()
    );
    for body in [format!("{event}\n{}", lines.join("\n")), array.to_string()] {
        let reply = server.ask("/v1/events", headers, body.as_bytes());
        assert_eq!(reply.document["rejected"], json!(10), "{reply:?}");
        assert!(reply.document.to_string().contains("or post them to /v1/exchanges"), "{reply:?}");
        told.push(("a reply".to_owned(), reply.document.to_string().into_bytes()));
    }
    told.push(("the log".to_owned(), server.kill().into_bytes()));
    let rejects = written(&program.path("rejects"));
    assert!(rejects.len() >= 4, "{} files of rejects", rejects.len());
    assert_no_secret(&rejects);
    assert_no_secret(&told);
}

/// An exchange on many lines, whose secrets are on other lines than their names, and a text that one line has alone.
fn on_many_lines() -> Vec<String> {
    let headers = json!([{"name": "Cookie", "value": "SECRETcookie"}, {"name": "AD-Service-Token", "value": "SECRETtoken"}]);
    let mut exchange = changed(authorize(), "/request/headers", headers);
    exchange["response"]["body"] =
        json!({"attributes": {"zip": {"value": ["SECRETzip"]}, "householdID": {"value": "SECREThousehold"}}});
    let mut archived = entry();
    archived["request"]["headers"] = json!([{"name": "Authorization", "value": "SECRETauthorization"}]);
    archived["response"]["cookies"] = json!([{"name": "session", "value": "SECRETsession"}]);
    let archive: Value = serde_json::from_str(&archive(&[archived])).expect("JSON");
    let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("text");
    let dump = "> GET /api/v2/REF30/configuration HTTP/1.1\n> Cookie: SECRETdump\n>\nSECRETbody\n";
    vec![pretty(&exchange), pretty(&archive), pretty(&exchange).replace('"', "'"), dump.to_owned()]
}

#[test]
fn nothing_that_follows_a_part_of_an_exchange_is_kept_by_any_door() {
    let program = Program::with(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", "a-token-of-the-senders\n");
    let event = json!({"occurred_at": "2026-11-10T08:00:00Z", "event": "authn_ok", "requestor_id": "REF30"});
    let (event, bad) = (event.to_string(), event.to_string().replace("authn_ok", "login"));
    let mut told = Vec::new();
    for (number, lines) in on_many_lines().into_iter().enumerate() {
        let name = format!("{number}.ndjson");
        program.write(&name, &format!("bad\n{event}\n{lines}\n{event}\n{bad}\n"));
        let path = program.path(&name);
        let done = program.run(&["ingest", "--format", "ndjson", path.to_str().expect("UTF-8")]);
        assert_eq!(done.code, 3, "{done:?}");
        told.push((name, format!("{}{}", done.out, done.err).into_bytes()));
        let rows = format!("occurred_at,event,requestor_id\nbad,b,c\n{lines}\n");
        program.write("a.csv", &rows);
        program.run(&["ingest", "--format", "csv", program.path("a.csv").to_str().expect("UTF-8")]);
    }
    let kept: Vec<Value> = written(&program.path("rejects"))
        .iter()
        .flat_map(|(_, bytes)| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect();
    let kept_of = |text: &str| kept.iter().filter(|line| line["text"] == json!(text)).count();
    assert_eq!((kept_of("bad"), kept_of(&bad)), (4, 4), "what comes before, and events with a mistake, stay");
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the database opens");
    for line in on_many_lines().iter().flat_map(|lines| lines.lines()) {
        database.execute("INSERT INTO inbox (body) VALUES (?1)", [line]).expect("a row");
    }
    drop(database);
    let drained = program.run(&["drain"]);
    told.push(("drain".to_owned(), format!("{}{}", drained.out, drained.err).into_bytes()));
    let server = Listening::start(&program);
    let headers = "Authorization: Bearer a-token-of-the-senders\r\n";
    for lines in on_many_lines() {
        let reply = server.ask("/v1/events", headers, format!("{event}\n{lines}").as_bytes());
        told.push(("a reply".to_owned(), reply.document.to_string().into_bytes()));
    }
    told.push(("the log".to_owned(), server.kill().into_bytes()));
    assert_no_secret(&written(&program.path("rejects")));
    assert_no_secret(&told);
}

#[test]
fn what_is_packed_inside_a_rejected_line_is_not_kept() {
    let program = Program::new();
    let secret = authorize().to_string();
    let packed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, gzip(secret.as_bytes()));
    let digits: String = gzip(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let lines = [json!({"awslogs": {"data": packed}}), json!({"data": digits}), json!({"a": gzip(b"{}")})];
    program.write("a.ndjson", &lines.map(|line| format!("{line}\n")).concat());
    assert_eq!(program.run(&["ingest", program.path("a.ndjson").to_str().expect("UTF-8")]).code, 3);
    for (_, bytes) in written(&program.path("rejects")) {
        assert!(!String::from_utf8_lossy(&bytes).contains("data"), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 3);
    }
}

#[test]
fn a_person_is_found_in_rejects_in_whatever_form_they_are_kept() {
    let forget = subscriber("Sling", "josé \"7\"");
    let event = json!({"mvpd": "Sling", "mvpd_user_id": "josé \"7\""}).to_string();
    let escaped = event.replace('é', "\\u00e9");
    let answer =
        json!({"profiles": {"Sling": {"attributes": {"userID": {"value": "josé \"7\""}}}}}).to_string();
    let exchange = json!({"started_at": "x", "response": {"body": answer}}).to_string();
    let wrapped = json!({"log": exchange}).to_string();
    for kept in [
        event.clone(),
        escaped.clone(),
        escaped.replace("\\u00e9", "\\u00E9"),
        escaped[..escaped.len() - 1].to_owned(),
        json!({"log": event}).to_string(),
        json!({"log": json!({"log": escaped}).to_string()}).to_string(),
        exchange.clone(),
        exchange[..exchange.len() - 1].to_owned(),
        wrapped.clone(),
        wrapped[..wrapped.len() - 3].to_owned(),
        "2026-11-10T08:00:00Z,authn_ok,REF30,Sling,\"josé \"\"7\"\"\"".to_owned(),
    ] {
        assert!(forget.concerns(&kept), "{kept}");
        assert!(!forget.concerns(&kept.replace('7', "8")), "{kept}");
    }
}

#[test]
fn a_log_of_which_nothing_was_processed_is_no_success() {
    let program = Program::with("");
    let refused = |line: &str| {
        let mut exchange: Value = serde_json::from_str(line).expect("JSON");
        exchange["response"] = json!({"status": 401, "headers": {}, "body": ""});
        exchange.to_string()
    };
    let log = text("exchanges/oldest-first.ndjson");
    let lines: Vec<String> = log.lines().map(refused).collect();
    program.write("refused.ndjson", &lines.join("\n"));
    for status in [499, 100] {
        let refused = lines.join("\n").replace("\"status\":401", &format!("\"status\":{status}"));
        let path = program.path("unanswered.ndjson");
        program.write("unanswered.ndjson", &refused);
        assert_eq!(program.run(&["ingest", "--dry-run", path.to_str().expect("UTF-8")]).code, 3, "{status}");
    }
    let another = lines[0].replace("2026-", "2025-");
    program.write("mixed.ndjson", &format!("{}\n{another}", log.trim_end()));
    let path = program.path("refused.ndjson");
    let done = program.run(&["ingest", path.to_str().expect("UTF-8")]);
    let why =
        format!("nothing of it was used: {} exchanges were refused before they were processed", lines.len());
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains(&why), "{done:?}");
    let path = program.path("mixed.ndjson");
    let done = program.run(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("exchanges: 1 were refused before they were processed"), "{done:?}");
}

#[test]
fn a_path_behind_a_prefix_is_told_and_can_be_named() {
    let log = fixture::path("exchanges/other-path.ndjson");
    let log = log.to_str().expect("UTF-8");
    let serve = "[schedule]\ncron = \"0 0 1 1 *\"\n[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n";
    let program = Program::with(serve);
    for arguments in [&["ingest", log][..], &["ingest", "--dry-run", log]] {
        let done = program.run(arguments);
        assert_eq!(done.code, 3, "{done:?}");
        assert!(
            format!("{}{}", done.out, done.err).contains("7 of other paths than those of the API"),
            "{done:?}"
        );
        assert!(
            done.err.contains("7 have something before /api/v2/, which rest_v2.path_prefix can name"),
            "{done:?}"
        );
    }
    program.write("tokens", "a-token-of-the-senders\n");
    let server = Listening::start(&program);
    let headers = "Authorization: Bearer a-token-of-the-senders\r\n";
    let reply = server.ask("/v1/exchanges", headers, text("exchanges/other-path.ndjson").as_bytes());
    let why = reply.document["unused"].as_str().unwrap_or_default();
    assert_eq!((reply.status, why.contains("rest_v2.path_prefix")), (400, true), "{reply:?}");
    server.kill();
    for prefix in ["/tve", "tve/", "https://gateway.example.com/tve/", "tve/api/v2", "/tve/api/v2/"] {
        let program = Program::with(&format!("[rest_v2]\npath_prefix = \"{prefix}\"\n"));
        let (code, document) = program.json(&["ingest", log]);
        assert_eq!((code, document["total"]["stored"].as_u64()), (0, Some(10)), "{prefix}: {document}");
    }
    let plain = changed(authorize(), "/started_at", json!("2026-11-10T07:00:01Z")).to_string();
    program.write("both.ndjson", &format!("{plain}\n{}", text("exchanges/other-path.ndjson")));
    let both = program.path("both.ndjson");
    let done = program.run(&["ingest", both.to_str().expect("UTF-8")]);
    assert!(
        done.err.contains("7 exchanges were passed over, because they have something before"),
        "{done:?}"
    );
    let program = Program::with("[rest_v2]\npath_prefix = \"/other\"\n");
    program.write("plain.ndjson", &plain);
    let path = program.path("plain.ndjson");
    let done = program.run(&["ingest", path.to_str().expect("UTF-8")]);
    assert!(done.err.contains("none of its 1 exchanges with the API has rest_v2.path_prefix"), "{done:?}");
}

#[test]
fn an_input_of_which_nothing_was_used_ends_with_3_and_others_do_not() {
    let program = Program::new();
    let neighbours = fixture::path("rest-v2/neighbours.ndjson");
    let done = program.run(&["ingest", neighbours.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("nothing of it was used: "), "{done:?}");
    program.write("zeros.ndjson", &"\0".repeat(5_000));
    let zeros = program.path("zeros.ndjson");
    for words in [&["ingest"][..], &["ingest", "--dry-run"], &["backfill", "plan", "p"]] {
        let done = program.run(&[words, &[zeros.to_str().expect("UTF-8")]].concat());
        let said = format!("{}{}", done.out, done.err);
        assert!(done.code == 3 && said.contains("holds only zero bytes"), "{words:?}: {done:?}");
    }
    let polls =
        authorize().to_string().replace("decisions/authorize/M", "profiles/code/K").replace("POST", "GET");
    program.write("polls.ndjson", &polls);
    program.write("empty.har", &archive(&[]));
    for file in ["polls.ndjson", "polls.ndjson", "empty.har"] {
        let path = program.path(file);
        let done = program.run(&["ingest", path.to_str().expect("UTF-8")]);
        assert_eq!(done.code, 0, "{file}: {done:?}");
    }
}

#[test]
fn a_backfill_of_a_log_of_which_nothing_is_used_ends_with_3_when_planned_and_when_run() {
    let program = Program::new();
    let neighbours = fixture::path("rest-v2/neighbours.ndjson");
    for args in [&["backfill", "plan", "p"][..], &["backfill", "run", "r"]] {
        let (code, report) = program.json(&[args, &[neighbours.to_str().expect("UTF-8")]].concat());
        assert_eq!(code, 3, "{args:?}: {report}");
        assert!(
            report["inputs"][0]["unused"].as_str().is_some_and(|why| why.contains("nothing of it was used")),
            "{report}"
        );
    }
}

#[test]
fn an_answer_that_a_browser_had_kept_is_no_call() {
    let at =
        |second: u32| changed(entry(), "/startedDateTime", json!(format!("2026-11-10T08:00:{second:02}Z")));
    let kept = ["memory", "disk", "prefetch"].map(|place| changed(at(1), "/_fromCache", json!(place)));
    let of_worker = |source: &str| changed(at(2), "/response/_serviceWorkerResponseSource", json!(source));
    let of_safari = |place: &str| changed(at(4), "/_fetchType", json!(place));
    let safari = ["Memory Cache", "Disk Cache", "Service Worker", "Network Load"].map(of_safari);
    let entries = [&kept[..], &[of_worker("cache-storage"), of_worker("network"), at(3)], &safari].concat();
    let read = read_text("a.har", archive(&entries));
    assert_eq!((read.exchanges().kept_answers, read.exchanges().used()), (7, 3));
    let nothing = read_text("b.har", archive(&kept));
    assert_eq!((nothing.exchanges().kept_answers, nothing.events.len()), (3, 0));
}

#[test]
fn what_an_archive_lacks_is_told_by_its_own_names() {
    let answer = |status: u16, content: Value| {
        let entry =
            changed(changed(entry(), "/response/status", json!(status)), "/response/content", content);
        read_text("a.har", archive(&[entry])).rejected().pop().expect("a reject").1
    };
    for (status, content, expected) in [
        (200, json!({"text": ""}), "(response.content.text) is missing or empty: let the program that saves"),
        (200, json!({"text": "{\"deci"}), "(response.content.text) is cut off after 6 bytes"),
        (
            403,
            json!({"text": "H4sIAAAA"}),
            "(response.content.text) is packed as gzip or Base64: let the program",
        ),
        (
            403,
            json!({"text": "H4sIAAAAAAAAA6uu", "encoding": "base64"}),
            "response.content.text is Base64 of gzip",
        ),
    ] {
        let why = answer(status, content);
        assert!(why.contains(expected) && !why.contains("gateway"), "{why}");
    }
    let bare = read_text("a.har", json!({"entries": [entry()]}).to_string());
    let broken = format!("{:?}", bare.summary);
    assert!(broken.contains("log is missing (if it has the entries all the same, jq"), "{broken}");
}

#[test]
fn a_member_of_the_wrong_kind_is_named_with_its_own_path() {
    let fixture = text("rest-v2/login-authorize-logout.ndjson");
    let line: Value = serde_json::from_str(fixture.lines().nth(3).expect("a line")).expect("JSON");
    let mut profiles: Value =
        serde_json::from_str(line["response"]["body"].as_str().expect("a body")).expect("JSON");
    for (name, is) in [("userID", "a text"), ("hba_status", "a text")] {
        let attributes = &mut profiles["profiles"]["Cablevision"]["attributes"];
        let before = attributes[name].take();
        attributes[name] = json!("x");
        let line = changed(line.clone(), "/response/body", json!(profiles.to_string()));
        let why = read_text("log.ndjson", line.to_string()).rejected().pop().expect("a reject").1;
        let expected = format!("a success cannot be read: attributes.{name} is {is} in place of an object");
        assert!(why.contains(&expected), "{why}");
        profiles["profiles"]["Cablevision"]["attributes"][name] = before;
    }
}

#[test]
fn a_parameter_of_a_path_is_no_part_of_an_mvpd_and_capitals_are_told() {
    for path in
        ["M;jsessionid=SECRET", "M%3bjsessionid=SECRET", "M;a=b;jsessionid=SECRET", "M/;jsessionid=SECRET"]
    {
        let url = json!(format!("https://h/api/v2/REF30;v=1/decisions/authorize/{path}"));
        let read = read_text("log.ndjson", changed(authorize(), "/request/url", url).to_string());
        let names: Vec<_> =
            read.events.iter().map(|event| (&event["requestor_id"], &event["mvpd"])).collect();
        assert_eq!(names, [(&json!("REF30"), &json!("M")); 2], "{path}");
    }
    let url = json!("https://h/API/V2/REF30/decisions/authorize/M");
    let log = format!("{}\n{}", authorize(), changed(authorize(), "/request/url", url));
    let read = read_text("log.ndjson", log);
    assert_eq!((read.exchanges().used(), read.exchanges().prefixed), (1, 1));
    let told = format!("{:?}", read.summary.warnings);
    assert!(told.contains("or capitals where Adobe has none"), "{told}");
}

#[test]
fn a_body_of_an_archive_is_read_or_told_and_never_taken_for_empty() {
    for (name, events, resources) in [("text", 4, 4), ("base64", 4, 4), ("missing", 2, 0)] {
        let read = read_fixture(&format!("har/body-{name}.har"));
        assert_eq!((read.events.len(), read.with("resource_id")), (events, resources), "{name}");
        let told = read.summary.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(
            told.contains("body-missing.har:1: request.postData is missing or empty"),
            name == "missing",
            "{told}"
        );
    }
    let post = |post: Value| archive(&[changed(entry(), "/request/postData", post)]);
    let unreadable = read_text("a.har", post(json!({"text": "%%%", "encoding": "base64"})));
    assert_eq!((unreadable.events.len(), lacking(&unreadable, Gap::RequestBody)), (2, 1));
    assert_eq!(
        unreadable.exchanges().gaps[Gap::RequestBody as usize].first,
        Some((1, "request.postData.text is no Base64 of a text"))
    );
    for body in ["{\"resources\":7}", "resources=A", "{\"resources\":[\"A\""] {
        let line = changed(authorize(), "/request/body", json!(body));
        let read = read_text("log.ndjson", line.to_string());
        assert_eq!((read.events.len(), lacking(&read, Gap::RequestBody)), (2, 1), "{body}");
    }
    for params in [json!([{"value": "A"}]), json!([{"name": "mvpd", "value": "M"}, {"name": null}])] {
        let rejected = read_text("a.har", post(json!({ "params": params }))).rejected();
        let expected = "the name of an entry of request.postData.params is missing";
        assert!(rejected.len() == 1 && rejected[0].1.contains(expected), "{rejected:?}");
    }
    let both =
        read_text("a.har", post(json!({"text": "{\"resources\":[\"A\"]}", "params": [{"value": "A"}]})));
    assert_eq!((both.events.len(), both.rejected().len()), (2, 0), "its text says all");
    // An answer that names its resources needs no body, nor does one that gives no event.
    let silent = changed(changed(authorize(), "/request/body", Value::Null), "/response/status", json!(401));
    assert_eq!(lacking(&read_text("log.ndjson", silent.to_string()), Gap::RequestBody), 0);
    // What an answer says must not be lost either.
    for content in [json!({"size": 9, "text": "%%%", "encoding": "base64"}), json!({"size": 9})] {
        let failed = changed(changed(entry(), "/response/content", content), "/response/status", json!(400));
        let read = read_text("a.har", archive(&[failed]));
        let rejected = read.rejected();
        assert_eq!((read.events.len(), rejected.len(), rejected[0].0), (0, 1, 1));
        assert!(rejected[0].1.contains("response.content.text"), "{rejected:?}");
    }
}

#[test]
fn half_a_character_rejects_what_it_identifies_and_costs_nothing_else() {
    assert_eq!(read_fixture("exchanges/lone-surrogate.ndjson").events.len(), 10);
    let half = |line: &Value| line.to_string().replace("HALF", "\\ud83d").replace("INSIDE", "\\\\ud83d");
    let ignored = changed(authorize(), "/request/headers/X-Note", json!("HALF"));
    let ignored = changed(ignored, "/response/body", json!("{\"code\":\"c\",\"message\":\"INSIDE\"}"));
    let found = read_text("log.ndjson", half(&ignored));
    assert_eq!((found.events.len(), found.rejected().len()), (2, 0), "{:?}", found.summary.warnings);
    assert_eq!(found.events[1]["authz_error_type"], json!("c"));
    for (pointer, value, reason) in [
        ("/request/headers/AP-Visitor-Identifier", "HALF", "AP-Visitor-Identifier has half a character"),
        (
            "/request/headers/AP-Device-Identifier",
            "fingerprint HALF",
            "AP-Device-Identifier has half a character",
        ),
        (
            "/request/url",
            "/api/v2/REF30/decisions/authorize/MHALF",
            "request.url has half a character (a lone \\ud800 to \\udfff)",
        ),
        ("/request/body", "HALF", "request.body has half a character"),
        ("/response/body", "HALF", "response.body has half a character"),
        ("/response/body", "{\"code\":\"cINSIDE\"}", "error code cannot be read"),
        ("/response/body", "{\"code\":\"a\",\"code\":\"b\"}", "error code cannot be read"),
        ("/response/body", "{\"error\":{\"code\":\"a\",\"code\":\"b\"}}", "error code cannot be read"),
    ] {
        let found = read_text("log.ndjson", half(&changed(authorize(), pointer, json!(value))));
        let rejected = found.rejected();
        assert!(
            found.events.is_empty() && rejected.len() == 1,
            "{pointer} {value}: {:?}",
            found.summary.warnings
        );
        assert!(rejected[0].1.contains(reason), "{pointer} {value}: {rejected:?}");
    }
    let unread = changed(authorize(), "/request/body", json!("{\"resources\":[\"AINSIDE\"]}"));
    let found = read_text("log.ndjson", half(&unread));
    assert_eq!(
        (found.with("resource_id"), lacking(&found, Gap::RequestBody)),
        (0, 1),
        "{:?}",
        found.summary.warnings
    );
    let whole = changed(entry(), "/pageref", json!("HALF"));
    let found = read_text("a.har", half(&serde_json::from_str(&archive(&[whole])).expect("JSON")));
    assert_eq!((found.events.len(), found.with("resource_id")), (2, 2), "{:?}", found.summary.warnings);
}

#[test]
fn a_number_keeps_its_digits_in_an_exchange_or_rejects_it_by_its_name() {
    let answer = json!({"decisions": [{"resource": "@@", "serviceProvider": "REF30", "mvpd": "M", "authorized": false}]});
    let answer = answer.to_string().replace("\"@@\"", "12345678901234567890123");
    let permitted =
        changed(changed(authorize(), "/response/status", json!(200)), "/response/body", json!(answer));
    let found = read_text("log.ndjson", changed(permitted, "/request/body", json!("")).to_string());
    assert_eq!(found.events[0]["resource_id"], json!("12345678901234567890123"), "{:?}", found.events);
    let as_number = |whole: Value, digits: &str| whole.to_string().replace("\"@@\"", digits);
    for digits in ["12345678901234567890123456789012345678", "1e5", "0.10"] {
        let header = "AP-Visitor-Identifier";
        let line = changed(authorize(), &format!("/request/headers/{header}"), json!("@@"));
        let entry = changed(entry(), "/request/headers", json!([{"name": header, "value": "@@"}]));
        for found in [
            read_text("log.ndjson", as_number(line, digits)),
            read_text("a.har", as_number(json!({"log": {"entries": [entry]}}), digits)),
        ] {
            let rejected = found.rejected();
            assert!(found.events.is_empty() && rejected.len() == 1, "{digits}: {:?}", found.events);
            assert!(
                rejected[0].1.contains("AP-Visitor-Identifier is a number with a fraction"),
                "{rejected:?}"
            );
        }
    }
    let found = read_text("log.ndjson", as_number(changed(authorize(), "/request/url", json!("@@")), "1e5"));
    assert!(found.rejected()[0].1.contains("has a number with an exponent"), "{:?}", found.rejected());
}

#[test]
fn the_status_of_go_is_taken_where_both_of_its_members_agree() {
    let both =
        changed(authorize(), "/response", json!({"Status": "503 Service Unavailable", "StatusCode": 503}));
    let alone = changed(authorize(), "/response", json!({"Status": "503 Service Unavailable"}));
    for line in [both, alone] {
        let found = read_text("log.ndjson", line.to_string());
        assert_eq!((found.events.len(), found.rejected()), (2, vec![]));
    }
}

#[test]
fn what_stands_twice_in_an_exchange_is_named_and_never_chosen_from() {
    let one = authorize().to_string();
    let two = read_text("log.ndjson", format!("{one} {one}\n"));
    let reason = &two.rejected()[0].1;
    let what = "more follows on its line (put each on a line of its own, as jq -c . FILE | passbridge ingest --format rest-v2 - does)";
    assert!(reason.contains(&format!("{what} at column {}", one.len() + 2)), "{reason}");
    let torn = read_text("log.ndjson", format!("{one}\n{one}\0\0\0"));
    let reason = "ends with 3 zero bytes; take them off, and see that nothing is cut off before them";
    assert_eq!(torn.rejected(), [(2, reason.to_owned())]);
    let headers = |other: &str| {
        let headers = [("AP-Device-Identifier", "fingerprint YWJj"), ("ap-device-identifier", other)];
        json!(headers.map(|(name, value)| json!({"name": name, "value": value})))
    };
    for (other, rejected) in [("fingerprint YWJk", 1), ("fingerprint YWJj", 0)] {
        let line = changed(authorize(), "/request/headers", headers(other)).to_string();
        let found = read_text("log.ndjson", line);
        assert_eq!(found.rejected().len(), rejected, "{other}: {:?}", found.summary.warnings);
        assert!(found.rejected().iter().all(|(_, why)| why.contains("ap-device-identifier is given twice")));
    }
    let url = r#""url":"https://h/api/v2/REF30/decisions/authorize/M""#;
    let doubled = archive(&[entry()]).replace(url, &format!(r#""url":"https://other.example/",{url}"#));
    let found = read_text("a.har", doubled);
    assert!(found.rejected().len() == 1, "{:?}", found.summary.warnings);
    assert!(found.rejected()[0].1.contains("request.url is given twice"), "{:?}", found.rejected());
}

#[test]
fn a_log_whose_newest_line_is_first_gives_the_same_events() {
    let oldest = read_fixture("exchanges/oldest-first.ndjson");
    let newest = read_fixture("exchanges/newest-first.ndjson");
    assert_eq!((newest.events.len(), newest.with("mvpd_user_id")), (10, 9));
    assert_eq!(newest.events, oldest.events);
    assert_eq!(newest.exchanges().late, 0);
    // A stray line, and lines of several servers that run into each other, hide neither order.
    let exchange = |second: u64| {
        let at =
            format!("2026-11-10T{:02}:{:02}:{:02}.123Z", 8 + second / 3600, second / 60 % 60, second % 60);
        changed(authorize(), "/started_at", json!(at)).to_string()
    };
    let jitter = |number: u64| 10 * number + number * 7919 % 25;
    let mut lines: Vec<String> = (1..400).map(|number| exchange(jitter(number))).collect();
    let oldest = read_text("log.ndjson", lines.join("\n"));
    assert_eq!((oldest.events.len(), oldest.exchanges().late), (798, 0));
    lines.reverse();
    lines.insert(0, exchange(2));
    let newest = read_text("log.ndjson", lines.join("\n"));
    assert_eq!((newest.events.len(), newest.exchanges().late), (800, 0));
    assert_eq!(newest.events[2..], oldest.events);
}

#[test]
fn a_log_that_is_too_long_to_be_put_in_order_says_so() {
    let line = |number: u32| {
        let at = Instant::from_nanos(NOW_NANOS - i64::from(number) * 1_000_000_000);
        format!(
            "{{\"started_at\":\"{at}\",\"request\":{{\"method\":\"GET\",\"url\":\"/api/v2/R/profiles\"}}}}\n"
        )
    };
    let read = read_text("log.ndjson", (1..50_100).map(line).collect::<String>());
    let failure = read.summary.failures.first().expect("a failure").to_string();
    assert!(failure.contains("is sorted newest first and has more than 50000 exchanges"), "{failure}");
}

#[test]
fn entries_of_other_sites_are_passed_over_whatever_is_in_them() {
    for name in
        ["other-site-headers-null", "other-site-status-null", "other-site-bad-byte", "base64-in-lines"]
    {
        let read = read_fixture(&format!("har/{name}.har"));
        assert!(read.summary.failures.is_empty(), "{name}: {:?}", read.summary.failures);
        assert_eq!((read.events.len(), read.rejected()), (10, vec![]), "{name}");
    }
    let other = changed(entry(), "/request/url", json!("https://www.example.com/x.js"));
    for (pointer, value) in [
        ("/startedDateTime", json!(7)),
        ("/time", json!("soon")),
        ("/request/headers", json!("none")),
        ("/request/postData", json!("none")),
        ("/response", json!(7)),
        ("/response/status", json!([])),
        ("/response/content", json!({"text": {"a": 1}})),
        ("/response/content", json!({"text": "x".repeat(5 << 20)})),
    ] {
        let read = read_text("a.har", archive(&[changed(other.clone(), pointer, value.clone()), entry()]));
        assert_eq!(
            (read.events.len(), read.exchanges().others, read.rejected()),
            (2, 1, vec![]),
            "{pointer}"
        );
        let read = read_text(
            "b.har",
            archive(&[changed(entry(), pointer, value), changed(entry(), "/time", json!(9))]),
        );
        let rejected = read.rejected();
        let numbers: Vec<u64> = rejected.iter().map(|(number, _)| *number).collect();
        assert_eq!((read.events.len(), numbers), (2, vec![1]), "{pointer}: {rejected:?}");
    }
    let broken =
        archive(&[entry(), changed(entry(), "/time", json!(9))]).replacen("\"headers\"", "\"hé\"", 1);
    let broken: Vec<u8> = broken.into_bytes().into_iter().filter(|byte| *byte != 0xA9).collect();
    let read = read_text("a.har", broken);
    assert_eq!((read.events.len(), read.rejected().len()), (2, 1), "{:?}", read.summary.failures);
}

#[test]
fn what_an_empty_object_is_written_as_is_no_matter_and_messages_name_the_member() {
    assert_eq!(read_fixture("exchanges/headers-as-list.ndjson").events.len(), 10);
    for (pointer, value) in [
        ("/request/headers", json!([])),
        ("/request/headers", Value::Null),
        ("/request/headers", json!([{"name": "AP-Device-Identifier", "value": "x"}])),
        ("/response/headers", json!([])),
        ("/response/headers", json!([{"name": "Date", "value": "x"}])),
        ("/duration_ms", json!("5")),
        ("/response/status", json!("503")),
        ("/response/status", json!(503.0)),
        ("/response/body", json!([])),
        ("/response/body", Value::Null),
    ] {
        let read = read_text("log.ndjson", changed(authorize(), pointer, value.clone()).to_string());
        assert_eq!(read.events.len(), 2, "{pointer} {value}: {:?}", read.rejected());
    }
    let session = changed(authorize(), "/request/url", json!("/api/v2/R/profiles"));
    let session = changed(changed(session, "/request/method", json!("GET")), "/response/status", json!(200));
    let read_profiles =
        read_text("log.ndjson", changed(session, "/response/body", json!("{\"profiles\":[]}")).to_string());
    assert_eq!(read_profiles.rejected(), []);
    for (pointer, value, expected) in [
        ("/started_at", json!(true), "started_at is no RFC 3339 instant"),
        ("/started_at", Value::Null, "started_at is missing"),
        ("/started_at", json!("2026-11-10T08:00:01"), "started_at is no RFC 3339 instant with an offset"),
        ("/started_at", json!(1_794_297_601_123_456_u64), "it may be micro- or nanoseconds"),
        ("/started_at", json!("1794297601123456789"), "it may be micro- or nanoseconds"),
        ("/duration_ms", json!("SECRET"), "duration_ms is no number"),
        ("/duration_ms", json!(86_400_001), "duration_ms is more than a day"),
        ("/request", json!("SECRET"), "its request is not of the documented form"),
        ("/request/method", Value::Null, "request.method is missing"),
        ("/request/url", Value::Null, "request.url is missing"),
        ("/request/headers", json!("SECRET"), "its request.headers is not of the documented form"),
        ("/request/headers", json!(["SECRET"]), "is a flat list of names and values"),
        (
            "/request/headers",
            json!([{"key": "AP-Device-Identifier", "value": "SECRET"}]),
            "the name of an entry of request.headers is missing",
        ),
        (
            "/response/headers",
            json!([{"SECRET": "x"}]),
            "the name of an entry of response.headers is missing",
        ),
        ("/request/body", json!({"SECRET": 1}), "request.body is no text"),
        ("/response", json!("SECRET"), "its response is not of the documented form"),
        ("/response/status", json!("SECRET"), "response.status is no status of HTTP"),
        ("/response/status", json!(70_000), "response.status is no status of HTTP"),
        ("/response/headers", json!(7), "its response.headers is not of the documented form"),
        ("/response/body", json!({"SECRET": 1}), "response.body is no text"),
    ] {
        let read = read_text(
            "log.ndjson",
            format!(
                "{}\n{}",
                changed(authorize(), "/duration_ms", json!(9)),
                changed(authorize(), pointer, value.clone())
            ),
        );
        let rejected = read.rejected();
        assert_eq!((read.events.len(), rejected.len()), (2, 1), "{pointer} {value}");
        assert!(
            rejected[0].1.contains(expected) && !rejected[0].1.contains("SECRET"),
            "{pointer} {value}: {rejected:?}"
        );
    }
    let nameless = changed(entry(), "/request/headers", json!([{"AP-Device-Identifier": "SECRET"}]));
    let rejected = read_text("a.har", archive(&[nameless])).rejected();
    let expected = "the name of an entry of request.headers is missing";
    assert!(rejected.len() == 1 && rejected[0].1.contains(expected), "{rejected:?}");
}

#[test]
fn a_word_for_nobody_is_no_device_and_tells_exchanges_apart_all_the_same() {
    let device = |header: &str| {
        let headers = json!({"AP-Device-Identifier": header});
        read_text("log.ndjson", changed(authorize(), "/request/headers", headers).to_string())
    };
    for header in [
        "fingerprint dW5kZWZpbmVk",
        "fingerprint bnVsbA==",
        "fingerprint MA==",
        "Ti9B",
        "fingerprint MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAw",
        "fingerprint null",
        "fingerprint 00000000-0000-0000-0000-000000000000",
        "fingerprint",
        "fingerprint ",
        "[object Object]",
        "(not set)",
        "[REDACTED]",
        "<redacted>",
        "[Filtered]",
        "***",
        "fingerprint xxxx",
        "fingerprint REMOVED",
        "fingerprint ZmluZ2VycHJpbnQ=",
        "%REQ(AP-DEVICE-IDENTIFIER)%",
        "sha256:",
        "not logged",
    ] {
        let read = device(header);
        assert_eq!((read.events.len(), read.with("device_id")), (2, 0), "{header}: {:?}", read.rejected());
    }
    assert_eq!(device("fingerprint YWJj").with("device_id"), 2);
    let with = |header: &str| changed(authorize(), "/request/headers/AP-Device-Identifier", json!(header));
    let two = format!("{}\n{}", with("fingerprint dW5kZWZpbmVk"), with("fingerprint bnVsbA=="));
    assert_eq!(read_text("log.ndjson", two).exchanges().again, 0);
}

#[test]
fn exchanges_without_a_usable_device_are_counted_with_their_first_line() {
    let log = text("rest-v2/login-authorize-logout.ndjson");
    let masked = |line: &str| {
        let mut exchange: Value = serde_json::from_str(line).expect("JSON");
        if let Some(header) = exchange.pointer_mut("/request/headers/AP-Device-Identifier") {
            *header = json!("***");
        }
        exchange.to_string()
    };
    let lines: Vec<String> = log.lines().map(masked).collect();
    let read = read_text("log.ndjson", lines.join("\n"));
    let told: Vec<String> = read.summary.warnings.iter().map(ToString::to_string).collect();
    assert!(lacking(&read, Gap::DeviceIdentifier) > 3, "{:?}", read.exchanges());
    assert!(
        told.iter().any(|told| told.contains("have no AP-Device-Identifier that names a device")),
        "{told:?}"
    );
    let whole = read_text("log.ndjson", &log);
    assert_eq!((lacking(&whole, Gap::DeviceIdentifier), whole.summary.warnings.len()), (0, 0));
}

#[test]
fn the_names_of_headers_may_be_those_of_cgi_and_of_nginx() {
    let device = |name: &str| {
        let headers = json!({name: "fingerprint YWJj"});
        read_text("log.ndjson", changed(authorize(), "/request/headers", headers).to_string()).events
    };
    let expected = device("AP-Device-Identifier");
    for name in ["ap_device_identifier", "HTTP_AP_DEVICE_IDENTIFIER", "http_ap_device_identifier"] {
        assert_eq!(device(name), expected, "{name}");
    }
    assert_ne!(device("x_device_identifier"), expected);
}

/// An earlier release took no notice of such names, and joined the values of a list: it read what `before` says.
#[test]
fn an_exchange_that_an_earlier_release_read_without_its_headers_adds_nothing() {
    let with = |headers: Value| changed(authorize(), "/request/headers", headers).to_string();
    let other = |headers: &str| with(serde_json::from_str(headers).expect("JSON"));
    let device = "fingerprint YWJj";
    let redirect = |name: &str, place: Value| {
        let logout = changed(authorize(), "/request/url", json!("https://h/api/v2/REF30/logout/M"));
        let logout =
            changed(changed(logout, "/request/method", json!("GET")), "/response/status", json!(302));
        changed(logout, "/response/headers", json!({name: place})).to_string()
    };
    for (before, now) in [
        (with(json!({"X-Other": device})), with(json!({"HTTP_AP_DEVICE_IDENTIFIER": device}))),
        (with(json!({"X-Other": device})), with(json!({"ap_device_identifier": device}))),
        (
            with(json!({"AP-Device-Identifier": format!("{device}, {device}")})),
            with(json!({"AP-Device-Identifier": [device, device]})),
        ),
        (
            with(json!({})),
            with(json!({"http_ad_service_token": "a.b.c", "HTTP_AP_VISITOR_IDENTIFIER": "123"})),
        ),
        (with(json!({})), with(json!({"HTTP_ADOBE_SUBJECT_TOKEN": "a.b.c"}))),
        (
            with(json!({"AP-Device-Identifier": device, "X-Device-Info": "e30=, e30="})),
            with(json!({"AP-Device-Identifier": device, "x_visitor": 1, "X-Device-Info": ["e30=", "e30="]})),
        ),
        (
            with(json!({"AP-Device-Identifier": device})),
            other(&format!(
                "{{\"ap_device_identifier\":\"{device}\",\"AP-Device-Identifier\":\"{device}\"}}"
            )),
        ),
        (redirect("X-Other", json!("")), redirect("HTTP_LOCATION", json!("https://h/?mso_id=M"))),
    ] {
        let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
        for remembers in [true, false] {
            let mut stored = Vec::new();
            for text in [&before, &now, &now] {
                let path = house.dir.path().join("log.ndjson");
                fs::write(&path, text).expect("a log");
                let log = [InputPath::new(&path)];
                let read =
                    load(&*house.buffer, &log, &options(house.dir.path()), &mut ()).expect("an ingest");
                let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
                if !remembers {
                    database.execute("DELETE FROM source_memory", []).expect("it forgets");
                }
                assert_eq!(read.total.rejected, 0, "{now}: {read:?}");
                stored.push(read.total.stored);
            }
            let first = if remembers { stored[0] } else { 0 };
            assert_eq!((stored[0], stored[1], stored[2]), (first, 0, 0), "{now} after {before}");
        }
    }
    let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
    let path = house.dir.path().join("log.ndjson");
    let two =
        ["fingerprint YWJj", "fingerprint ZGVm"].map(|it| with(json!({"HTTP_AP_DEVICE_IDENTIFIER": it})));
    fs::write(&path, two.join("\n")).expect("a log");
    let read = load(&*house.buffer, &[InputPath::new(&path)], &options(house.dir.path()), &mut ())
        .expect("an ingest");
    assert_eq!(read.total.stored, 4, "what no earlier release read is told apart by its devices");
}

#[test]
fn a_header_that_is_a_list_of_two_values_is_named_as_two_headers_are() {
    let read = |list: Value| {
        let one = changed(authorize(), "/request/headers/AP-Device-Identifier", list);
        read_text("log.ndjson", one.to_string())
    };
    let two = read(json!(["fingerprint YWJj", "fingerprint YQ=="]));
    assert_eq!(two.events.len(), 0);
    assert!(two.rejected()[0].1.contains("AP-Device-Identifier is given twice"), "{:?}", two.rejected());
    let same = read(json!(["fingerprint YWJj", "fingerprint YWJj"]));
    assert_eq!(same.events, read(json!("fingerprint YWJj")).events);
}

#[test]
fn a_service_provider_that_is_a_word_for_nobody_is_rejected() {
    for name in ["undefined", "null", "1.23457E+11", "%23N%2FA"] {
        let url = format!("https://h/api/v2/{name}/decisions/authorize/M");
        let log = changed(authorize(), "/request/url", json!(url));
        let har = archive(&[changed(entry(), "/request/url", json!(url))]);
        for (file, content) in [("log.ndjson", log.to_string()), ("a.har", har)] {
            let read = read_text(file, content);
            let rejected = read.rejected();
            let is_named = rejected.iter().all(|(_, why)| why.contains("names no requestor"));
            assert!(read.events.is_empty() && rejected.len() == 1 && is_named, "{name}: {rejected:?}");
        }
    }
}

#[test]
fn the_exchanges_before_a_break_are_taken() {
    let log = format!("{}\n", authorize());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(log.repeat(3000).as_bytes()).expect("memory");
    let mut packed = packed.finish().expect("memory");
    packed.truncate(packed.len() - 12);
    for (name, content) in [
        ("log.ndjson.gz", packed),
        (
            "a.har",
            archive(&[entry(), entry()]).into_bytes().split_last_chunk::<20>().expect("long").0.to_vec(),
        ),
    ] {
        let read = read_text(name, content);
        assert_eq!((read.events.len(), read.summary.failures.len()), (2, 1), "{name}");
    }
}

/// Feeds an archive of 128 entries, each made of its number, and gives what was told and the peak of the memory until then, in KiB.
fn fed(entry_of: impl Fn(usize) -> String) -> (String, u64) {
    let program = Program::new();
    let mut child = program
        .command(&["ingest", "--format", "har", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut source = child.stdin.take().expect("its standard input");
    source.write_all(b"{\"log\":{\"entries\":[").expect("it reads");
    for number in 0..128 {
        source.write_all(format!("{},", entry_of(number)).as_bytes()).expect("it reads");
    }
    // All but what a pipe holds was read.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process that runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    source.write_all(format!("{}]}}}}", entry()).as_bytes()).expect("it reads");
    drop(source);
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{done:?}");
    (String::from_utf8_lossy(&done.stdout).into_owned(), peak)
}

#[test]
fn an_archive_takes_no_more_memory_than_its_exchanges() {
    /// Well below what 128 MiB of entries would take; the program alone takes some 20 MiB.
    const PEAK_KIB_MAX: u64 = 80 << 10;
    let other = changed(entry(), "/request/url", json!("https://www.example.com/x.js"));
    let other = changed(other, "/response/content", json!({"text": "x".repeat(1 << 20)})).to_string();
    let (told, peak) = fed(|_| other.clone());
    assert!(told.contains("128 of other paths"), "{told}");
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn exchanges_that_hold_much_are_bounded_by_their_bodies() {
    /// 128 MiB of profiles would take some 400 MiB.
    const PEAK_KIB_MAX: u64 = 192 << 10;
    let profiles: serde_json::Map<String, Value> = (0..10_000)
        .map(|number| {
            let attributes =
                json!({"userID": {"value": format!("a-user-of-the-tests-{number}"), "state": "plain"}});
            (format!("M{number}"), json!({"notAfter": 1_900_000_000_000_i64, "attributes": attributes}))
        })
        .collect();
    let many = changed(entry(), "/request/url", json!("https://h/api/v2/REF30/profiles"));
    let many = changed(changed(many, "/request/method", json!("GET")), "/response/status", json!(200));
    let text = json!({"profiles": profiles}).to_string();
    let many = changed(many, "/response/content/text", json!(text)).to_string();
    let (_, peak) = fed(|number| many.replace("08:00:01.123", &format!("08:00:01.{number:03}")));
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn exchanges_that_count_nothing_because_of_their_status_are_told_by_status() {
    let session = changed(authorize(), "/request/url", json!("https://h/api/v2/REF30/sessions"));
    let statuses = [302, 304, 400, 404, 404, 407, 408, 0];
    let lines = (0..).zip(statuses).map(|(second, status)| {
        let session = changed(session.clone(), "/response/status", json!(status));
        changed(session, "/started_at", json!(format!("2026-11-10T08:00:0{second}Z"))).to_string()
    });
    let program = Program::new();
    program.write("log.ndjson", &format!("{}\n{}", lines.collect::<Vec<_>>().join("\n"), authorize()));
    let path = program.path("log.ndjson");
    let path = path.to_str().expect("UTF-8");
    let done = program.run(&["ingest", "--dry-run", path]);
    let told = "exchanges: 8 were refused before they were processed, redirected, failed or not answered (0), so they count nothing; \
                by status: 0 (1), 302 (1), 304 (1), 400 (1), 404 (2), 407 (1), 408 (1)";
    assert!(format!("{}{}", done.out, done.err).contains(told), "{done:?}");
    let (_, document) = program.json(&["ingest", path]);
    let by_status = &document["exchanges"]["uncounted_by_status"];
    assert_eq!(
        *by_status,
        json!({"0": 1, "302": 1, "304": 1, "400": 1, "404": 2, "407": 1, "408": 1}),
        "{document}"
    );
    // What succeeds, or redirects as it should, is not among them.
    for name in ["login-authorize-logout", "logout-through-browser", "already-authenticated"] {
        let read = read_fixture(&format!("rest-v2/{name}.ndjson"));
        assert_eq!(read.exchanges().uncounted, Default::default(), "{name}");
    }
}

#[test]
fn a_method_that_is_none_is_named_and_never_taken_for_another_path() {
    for method in [json!(""), json!(5), json!("GET "), json!("/api/v2")] {
        let second = changed(authorize(), "/duration_ms", json!(9));
        let log = format!("{}\n{second}", changed(authorize(), "/request/method", method.clone()));
        let other = changed(entry(), "/request/url", json!("https://www.example.com/x.js"));
        let other = changed(other, "/request/method", method.clone());
        let archive = archive(&[changed(entry(), "/request/method", method.clone()), entry(), other]);
        for (name, content, others) in [("a.ndjson", log, 0), ("a.har", archive, 1)] {
            let read = read_text(name, content);
            assert_eq!((read.events.len(), read.exchanges().others), (2, others), "{name} {method}");
            let why = "is no exchange: request.method is no method of HTTP, such as GET or POST";
            assert_eq!(read.rejected(), [(1, why.to_owned())], "{name} {method}");
        }
    }
}

#[test]
fn the_hops_of_a_logout_are_found_however_their_urls_are_escaped() {
    let log = text("rest-v2/logout-through-browser.ndjson");
    let plain = log.replace("session=one", "session=o%6Ee%2Fa");
    let asked = read_text("plain.ndjson", &plain).events;
    assert!(asked.iter().any(|event| event["event"] == "logout_completed"), "{asked:?}");
    // The browser and the gateway spell the same URLs in another way than the answer that named them.
    let spelled = plain
        .replace(
            "/logout?session=o%6Ee%2Fa&device=made-up\", \"headers",
            "/logout?session=one%2fa&device=made%2Dup\", \"headers",
        )
        .replace(
            "https://login.cablevision.example/saml/slo?SAMLRequest=made-up\", \"headers",
            "https://login.cablevision.example/saml/sl%6f?SAMLRequest=made-up\", \"headers",
        )
        .replace("\"https://tv.example/bye?state", "\"HTTPS://TV.example/%62ye?state");
    assert_ne!(spelled, plain);
    let kinds = |events: &[Value]| events.iter().map(|event| event["event"].clone()).collect::<Vec<_>>();
    let found = read_text("spelled.ndjson", &spelled).events;
    assert_eq!(kinds(&found), kinds(&asked));
}

#[test]
fn a_status_that_http_does_not_have_is_no_failure_but_a_reject() {
    for status in [json!(1), json!(99), json!(600), json!("999"), json!(1000)] {
        let read =
            read_text("a.ndjson", changed(authorize(), "/response/status", status.clone()).to_string());
        let why = "is no exchange: response.status is no status of HTTP";
        assert_eq!((read.events.len(), read.rejected()), (0, vec![(1, why.to_owned())]), "{status}");
    }
    for status in [json!(0), json!(-1), Value::Null] {
        let read =
            read_text("a.ndjson", changed(authorize(), "/response/status", status.clone()).to_string());
        assert_eq!(read.exchanges().uncounted, [(0, 1)].into(), "{status}");
    }
}

#[test]
fn what_other_programs_make_of_an_exchange_is_said_by_its_name() {
    let line = authorize().to_string();
    let headers =
        changed(authorize(), "/request/headers", json!(["AP-Device-Identifier", "fingerprint YWJj"]));
    let escaped = line.replace('"', "\\x22");
    let form: String = form_urlencoded::byte_serialize(line.as_bytes()).collect();
    for (line, expected) in [
        (headers.to_string(), "request.headers is a flat list of names and values, as rawHeaders of Node"),
        (escaped, "say escape=json in the log_format"),
        (form, "with curl --data-binary and not --data-urlencode"),
    ] {
        for format in [FormatChoice::Is(Format::Ndjson), FormatChoice::Is(Format::RestV2)] {
            let dir = TempDir::new().expect("a temporary folder");
            let path = dir.path().join("log");
            fs::write(&path, &line).expect("a log");
            let options = IngestOptions { format, ..options(dir.path()) };
            let summary = preview(&[InputPath::new(&path)], &options, &mut |_, _| ControlFlow::Continue(()));
            let told: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
            let is_of_exchanges = expected.contains("rawHeaders");
            let is_told = told[0].contains(expected);
            assert!(is_told || is_of_exchanges && format == FormatChoice::Is(Format::Ndjson), "{told:?}");
        }
    }
    let twice = changed(authorize(), "/request/body", json!("{\"resources\":[\"A\",\"A\",\"B\"]}"));
    let read = read_text("log.ndjson", twice.to_string());
    assert_eq!(read.events.len(), 4, "a resource that is asked for twice fails once");
}
