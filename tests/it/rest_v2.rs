//! Which events exchange logs give, judged by lists derived by hand from Adobe's pages, and what is never kept of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use passbridge::config::{BufferConfig, IngestConfig, RestV2Config};
use passbridge::delivery::Sequence;
use passbridge::event::{Instant, PassEvent, Property};
use passbridge::ingest::{
    FormatChoice, IngestOptions, IngestSummary, InputPath, Origin, Warning, load, preview,
};
use passbridge::readers::Format;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::fixture;
use crate::program::Program;
use crate::serve::Listening;
use crate::support::{House, buffer_options, subscriber};

/// 2026-11-20T12:00:00Z: later than every fixture.
const NOW_NANOS: i64 = 1_795_176_000_000_000_000;

fn options(rejects_dir: &Path) -> IngestOptions {
    IngestOptions {
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: None,
        accept_missing: Vec::new(),
        job: Default::default(),
        format: FormatChoice::Is(Format::RestV2),
        config: IngestConfig {
            rejects_dir: rejects_dir.to_owned(),
            min_free_bytes: 0,
            ..IngestConfig::default()
        },
        rest_v2: RestV2Config::default(),
        secret: Some(b"a secret of tests".to_vec()),
        service_keys: Default::default(),
        esm: Default::default(),
        clock: Clock::fixed(Instant::from_nanos(NOW_NANOS)),
    }
}

/// An event as a list of expectations names it.
fn told(event: &PassEvent, origin: Origin) -> Value {
    let mut line = Map::new();
    line.insert("line".to_owned(), origin.line.into());
    line.insert("rule".to_owned(), origin.rule.map(|rule| rule.number).into());
    line.insert("event".to_owned(), event.kind().name().into());
    line.insert("occurred_at".to_owned(), event.occurred_at().to_string().into());
    for property in [
        Property::Mvpd,
        Property::MvpdUserId,
        Property::ResourceId,
        Property::AuthzErrorType,
        Property::TokenType,
        Property::Ttl,
        Property::AuthenticationType,
        Property::ExternalAuthProvider,
        Property::LatencyMs,
        Property::VisitorId,
        Property::SsoMechanism,
        Property::Proxy,
    ] {
        if let Some(value) = event.property(property) {
            line.insert(property.name().to_owned(), value.into());
        }
    }
    Value::Object(line)
}

#[test]
fn an_exchange_at_the_end_of_time_is_a_reject_like_any_other() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("late.ndjson");
    let line = log().swap_remove(0);
    let whole: Value = serde_json::from_str(&line).expect("an exchange");
    let started_at = whole["started_at"].as_str().expect("a start");
    let late = ["2262-04-11T23:47:16.854Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"];
    fs::write(&path, late.map(|late| line.replace(started_at, late) + "\n").concat()).expect("a log");
    let summary =
        preview(&[InputPath::new(&path)], &options(dir.path()), &mut |_, _| ControlFlow::Continue(()));
    assert_eq!((summary.total.read, summary.total.rejected), (3, 3), "{summary:?}");
}

/// The published samples of the 13 endpoints. `fixtures/rest-v2/samples/README.md` says which line is which, and its row.
#[test]
fn every_published_sample_gives_the_events_of_its_list() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let table = fs::read_to_string(fixture::path("rest-v2/samples/README.md")).expect("a table");
    let mut stems = fixture::stems("rest-v2/samples");
    stems.remove("README");
    assert_eq!(stems.len(), 15, "13 endpoints, mended samples, and an older form: {stems:?}");
    let mut wrong = Vec::new();
    for stem in stems {
        let path = fixture::path(&format!("rest-v2/samples/{stem}.ndjson"));
        let mut found = Vec::new();
        let summary = preview(&[InputPath::new(&path)], &options(dir.path()), &mut |event, origin| {
            found.push(told(event, origin).to_string());
            ControlFlow::Continue(())
        });
        assert!(summary.failures.is_empty(), "{stem}: {:?}", summary.failures);
        let mut rejected = BTreeSet::new();
        for warning in &summary.warnings {
            if let Warning::Rejected { line, .. } = warning {
                rejected.insert(*line);
                found.push(serde_json::json!({"line": line, "rejected": true}).to_string());
            }
        }
        let list = fs::read_to_string(path.with_extension("expected")).expect("a list");
        let mut expected: Vec<String> =
            list.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON").to_string()).collect();
        expected.sort();
        found.sort();
        if found != expected {
            wrong.push(format!("{stem}:\n  found {found:#?}\n  expected {expected:#?}"));
        }
        // The rows of the samples that give no event are only here.
        let mut rows: BTreeMap<u8, u64> = BTreeMap::new();
        for cells in table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
            if cells.len() > 6 && cells[1] == stem && !rejected.contains(&cells[2].parse().expect("a line")) {
                *rows.entry(cells[6].parse().expect("a row")).or_default() += 1;
            }
        }
        let mut applied: BTreeMap<u8, u64> = BTreeMap::new();
        for ((_, rule), (exchanges, _)) in &summary.exchanges.expect("exchanges").rules {
            *applied.entry(rule.number).or_default() += exchanges;
        }
        if applied != rows {
            wrong.push(format!("{stem}: rows {applied:?}, expected {rows:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_flow_gives_the_events_of_its_list() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let mut wrong = Vec::new();
    let stems = fixture::stems("rest-v2");
    assert!(stems.len() >= 23, "flows are missing: {stems:?}");
    for stem in stems {
        let path = fixture::path(&format!("rest-v2/{stem}.ndjson"));
        let mut found = Vec::new();
        let summary = preview(&[InputPath::new(&path)], &options(dir.path()), &mut |event, origin| {
            found.push(told(event, origin));
            ControlFlow::Continue(())
        });
        assert!(summary.failures.is_empty(), "{stem}: {:?}", summary.failures);
        let expected = fs::read_to_string(fixture::path(&format!("rest-v2/{stem}.expected"))).expect(&stem);
        let expected: Vec<Value> =
            expected.lines().map(|line| serde_json::from_str(line).expect(&stem)).collect();
        if found != expected {
            let list = |lines: &[Value]| lines.iter().map(|line| format!("\n    {line}")).collect::<String>();
            wrong.push(format!("{stem}\n  found{}\n  expected{}", list(&found), list(&expected)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every log of the fixtures: the flows and the published samples.
fn logs() -> Vec<(String, String)> {
    let flows = fixture::stems("rest-v2").into_iter().map(|stem| format!("rest-v2/{stem}.ndjson"));
    let samples = fixture::stems("rest-v2/samples").into_iter().filter(|stem| stem != "README");
    let samples = samples.map(|stem| format!("rest-v2/samples/{stem}.ndjson"));
    let read = |name: String| {
        let text = fs::read_to_string(fixture::path(&name)).expect(&name);
        (name, text)
    };
    flows.chain(samples).map(read).collect()
}

/// Every exchange of the fixtures that can be read, in time order, as one gateway's log.
fn log() -> Vec<String> {
    let mut lines = Vec::new();
    for (_, text) in logs() {
        for line in text.lines() {
            let Ok(exchange) = serde_json::from_str::<Value>(line) else { continue };
            let Some(started_at) = exchange["started_at"].as_str() else { continue };
            lines.push((started_at.to_owned(), line.to_owned()));
        }
    }
    lines.sort_by(|first, second| first.0.cmp(&second.0));
    lines.into_iter().map(|(_, line)| line).collect()
}

struct Intake {
    house: House,
    options: IngestOptions,
}

impl Intake {
    fn new() -> Intake {
        let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
        let options = options(&house.dir.path().join("rejects"));
        Intake { house, options }
    }

    fn load(&self, lines: &[String]) -> IngestSummary {
        let path = self.house.dir.path().join("log.ndjson");
        fs::write(&path, lines.join("\n")).expect("a file");
        let summary = load(&*self.house.buffer, &[InputPath::new(&path)], &self.options, &mut ());
        let summary = summary.expect("an ingest");
        assert!(summary.failures.is_empty(), "{:?}", summary.failures);
        assert_eq!(summary.total.conflicts, 0, "{:?}", summary.warnings);
        summary
    }

    fn stored(&self) -> BTreeSet<String> {
        let count = self.house.buffer.status().expect("a status").pending;
        let events = (1..=count).map(|number| self.house.buffer.event(Sequence(number)));
        let events = events.map(|event| event.expect("a read").expect("an event"));
        events.map(|event| serde_json::to_string(&event).expect("text")).collect()
    }
}

#[test]
fn a_log_that_is_read_again_gives_nothing_twice() {
    let (intake, log) = (Intake::new(), log());
    let first = intake.load(&log);
    assert!(first.total.stored > 100, "{:?}", first.total);
    let again = intake.load(&log);
    assert_eq!((again.total.stored, again.total.duplicates), (0, 0), "{:?}", again.total);
    let exchanges = again.exchanges.expect("exchanges");
    assert!(exchanges.again > 60 && exchanges.rules.is_empty(), "{exchanges:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_log_in_pieces_that_overlap_gives_the_same_events(
        cuts in prop::collection::vec((0.0_f64..1.0, 0_usize..40), 0..8)
    ) {
        let log = log();
        let whole = Intake::new();
        whole.load(&log);
        let mut cuts: Vec<(usize, usize)> =
            cuts.iter().map(|(at, overlap)| ((at * log.len() as f64) as usize, *overlap)).collect();
        cuts.push((log.len(), 0));
        cuts.sort_unstable();
        let pieces = Intake::new();
        let mut start = 0;
        for (end, overlap) in cuts {
            pieces.load(&log[start..end.max(start)]);
            start = end.saturating_sub(overlap);
        }
        prop_assert_eq!(pieces.stored(), whole.stored());
    }
}

#[test]
fn who_is_forgotten_is_gone_from_what_sources_remember() {
    let intake = Intake::new();
    intake.load(&log());
    let whom = subscriber("Cablevision", "viewer-9");
    let lock = intake.house.buffer.lock_whole().expect("the locks");
    let forgotten = intake.house.buffer.forget(&whom, &lock).expect("an erasure");
    assert_eq!((forgotten.events, forgotten.memory_rows), (5, 1), "{forgotten:?}");
    let database = fs::read(intake.house.buffer.path()).expect("the database");
    assert!(!database.windows(8).any(|bytes| bytes == b"viewer-9"));
    assert!(database.windows(8).any(|bytes| bytes == b"viewer-7"), "others stay");
}

#[test]
fn what_sources_remember_goes_when_its_time_is_over() {
    let intake = Intake::new();
    // Profiles of the published samples, which come later, last for years.
    let flows = log().into_iter().filter(|line| line.contains("\"started_at\": \"2026-11-10"));
    intake.load(&flows.collect::<Vec<_>>());
    let rows = || -> i64 {
        let database = rusqlite::Connection::open(intake.house.buffer.path()).expect("the database opens");
        database.query_row("SELECT count(*) FROM source_memory", [], |row| row.get(0)).expect("a count")
    };
    let retain_after = |days: i64| {
        let clock = Clock::fixed(Instant::from_nanos(NOW_NANOS + days * 86_400_000_000_000));
        let buffer = Buffer::open(&buffer_options(intake.house.buffer.path().to_owned(), &clock));
        let buffer = buffer.expect("it opens");
        buffer.trust_clock().expect("the clock is vouched for");
        buffer.retain(&BufferConfig::default()).expect("retention");
    };
    let stored = rows();
    retain_after(6);
    assert_eq!(rows(), stored, "a week is everything's least");
    retain_after(8);
    assert!((60..stored).contains(&rows()), "logins are over, exchanges are still recognised: {}", rows());
    retain_after(50);
    assert_eq!(rows(), 1, "the MVPD that stands behind a proxy");
    retain_after(5_000);
    assert_eq!(rows(), 1, "it does until a configuration says otherwise");
    let configuration = log().into_iter().find(|line| line.contains("\\\"isProxy\\\": true")).expect("one");
    let direct = configuration.replace("\\\"isProxy\\\": true", "\\\"isProxy\\\": false");
    intake.load(&[direct.replace("2026-11-10", "2026-11-11")]);
    retain_after(6_000);
    assert_eq!(rows(), 0);
}

/// The archive that a proxy would have saved of the same exchanges: every other body in Base64, forms as parameters.
fn archive(lines: &[Value]) -> String {
    let pairs = |headers: &Value| -> Vec<Value> {
        let headers = headers.as_object().into_iter().flatten();
        headers.map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect()
    };
    let entry = |(number, line): (usize, &Value)| {
        let (request, response) = (&line["request"], &line["response"]);
        let body = request["body"].as_str().unwrap_or("");
        let post = if body.starts_with('{') {
            serde_json::json!({"mimeType": "application/json", "text": body})
        } else {
            let params = body.split('&').filter_map(|pair| pair.split_once('='));
            let params = params
                .map(|(name, value)| serde_json::json!({"name": name, "value": value.replace("%20", " ")}));
            serde_json::json!({"params": params.collect::<Vec<_>>()})
        };
        let answer = response["body"].as_str().unwrap_or("");
        let content = if number % 2 == 0 {
            serde_json::json!({"text": answer})
        } else {
            serde_json::json!({"encoding": "base64", "text": base64(answer.as_bytes())})
        };
        serde_json::json!({
            "startedDateTime": line["started_at"], "time": line["duration_ms"].as_f64().map_or(-1.0, |ms| ms + 0.25),
            "request": {"method": request["method"], "url": request["url"], "httpVersion": "HTTP/2",
                        "headers": pairs(&request["headers"]), "postData": post},
            "response": {"status": response["status"].as_i64().unwrap_or(0), "headers": pairs(&response["headers"]),
                         "content": content, "redirectURL": ""},
        })
    };
    let entries: Vec<Value> = lines.iter().enumerate().map(entry).collect();
    serde_json::json!({"log": {"version": "1.2", "creator": {"name": "a test"}, "entries": entries}})
        .to_string()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |number, at| number << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { letter as char } else { '=' });
        }
    }
    text
}

#[test]
fn an_archive_gives_the_same_events_as_its_lines() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let mut archived = 0;
    for (stem, text) in logs() {
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let texts: Vec<String> = lines.iter().map(Value::to_string).collect();
        let events_of = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).expect("a file");
            let mut events = Vec::new();
            let options = IngestOptions { format: FormatChoice::Auto, ..options(dir.path()) };
            let summary = preview(&[InputPath::new(&path)], &options, &mut |event, _| {
                events.push(serde_json::to_string(event).expect("text"));
                ControlFlow::Continue(())
            });
            assert!(summary.failures.is_empty(), "{stem}: {:?}", summary.failures);
            events
        };
        // Found by what it holds, whatever its name.
        let from_archive = events_of("capture.json", &archive(&lines));
        archived += from_archive.len();
        assert_eq!(from_archive, events_of("log.ndjson", &texts.join("\n")), "{stem}");
    }
    assert!(archived > 150, "{archived} events of archives are too few");
}

#[test]
fn an_archive_that_is_cut_off_or_none_says_so_without_a_word_of_it() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    for (content, expected) in [
        ("{\"log\":{\"entries\":[{\"SECRET\":1}", "no HTTP archive"),
        ("{\"log\":{\"SECRET\":1}}", "entries is missing"),
        ("[\"SECRET\"]", "no HTTP archive"),
    ] {
        let path = dir.path().join("capture.har");
        fs::write(&path, content).expect("a file");
        let options = IngestOptions { format: FormatChoice::Is(Format::Har), ..options(dir.path()) };
        let summary = preview(&[InputPath::new(&path)], &options, &mut |_, _| ControlFlow::Continue(()));
        let failure = summary.failures.first().expect("a failure").to_string();
        assert!(failure.contains(expected) && !failure.contains("SECRET"), "{failure}");
    }
}

/// Lines with a mark in every place of an exchange whose content must not be kept.
fn marked_lines() -> String {
    let line = |number: u32, url: &str, method: &str, body: &str, status: u16, answer: &str| {
        let started_at = format!("2026-11-10T08:00:{number:02}.000Z");
        let headers = serde_json::json!({
            "Authorization": "Bearer SECRETbearer", "Cookie": "SECRETcookie", "X-Forwarded-For": "SECRETaddress",
            "AD-Service-Token": "SECRETservice.a.b", "Adobe-Subject-Token": "SECRETsubject",
            "X-Roku-Reserved-Roku-Connect-Token": "SECRETroku", "AP-TempPass-Identity": "SECRETtemppass",
            "AP-Device-Identifier": "fingerprint U0VDUkVUZGV2aWNl", "Proxy-Authorization": "SECRETproxy",
            // {"model":"AFTM","osName":"Android","connectionIp":"SECRETip","connectionPort":"SECRETport"}
            "X-Device-Info": "eyJtb2RlbCI6IkFGVE0iLCJvc05hbWUiOiJBbmRyb2lkIiwiY29ubmVjdGlvbklwIjoiU0VDUkVUaXAiLCJjb25uZWN0aW9uUG9ydCI6IlNFQ1JFVHBvcnQifQ==",
        });
        serde_json::json!({
            "started_at": started_at, "duration_ms": 120,
            "request": {"method": method, "url": url, "headers": headers, "body": body},
            "response": {"status": status, "headers": {"Set-Cookie": "SECRETsetcookie"}, "body": answer},
        })
        .to_string()
    };
    let session = r#"{"actionName":"authenticate","code":"SECRETcode","sessionId":"SECRETsession","mvpd":"M","url":"/x?pt=SECRETurl","notBefore":"1794297600000","notAfter":"1794299400000"}"#;
    let profile = r#"{"profiles":{"M":{"notBefore":1794297601000,"notAfter":1794397600000,"issuer":"M","type":"regular","sessionId":"SECRETsession","attributes":{"userID":{"value":"u1","state":"plain"},"zip":{"value":["SECRETzip"],"state":"plain"},"householdID":{"value":"SECREThousehold","state":"plain"},"upstreamUserID":{"value":"SECRETupstream"}}}}}"#;
    let decision = r#"{"decisions":[{"resource":"R","serviceProvider":"REF30","mvpd":"M","authorized":true,"source":"mvpd","notBefore":1794297602000,"notAfter":1794397600000,"token":{"notBefore":1794297602000,"notAfter":1794298000000,"serializedToken":"SECRETtoken"}}]}"#;
    let denied = r#"{"status":400,"code":"invalid_parameter_mvpd","message":"SECRETmessage","details":"SECRETdetails","trace":"t","helpUrl":"SECREThelp"}"#;
    let partner = r#"{"actionName":"partner_profile","sessionId":"SECRETsession2","authenticationRequest":{"type":"saml","request":"SECRETsaml"}}"#;
    let mut lines = vec![
        line(1, "https://h/api/v2/REF30/sessions", "POST", "mvpd=M&redirectUrl=SECRETredirect", 200, session),
        line(2, "https://h/api/v2/REF30/profiles/code/SECRETcode?q=SECRETquery", "GET", "", 200, profile),
        line(3, "/api/v2/REF30/decisions/authorize/M", "POST", r#"{"resources":["R"]}"#, 200, decision),
        line(4, "/api/v2/REF30/decisions/authorize/M", "POST", r#"{"resources":["R"]}"#, 400, denied),
        line(5, "/api/v2/REF30/sessions/sso/Apple", "POST", "domainName=SECRETdomain", 200, partner),
        line(6, "/api/v2/REF30/profiles/sso/Apple", "POST", "SAMLResponse=SECRETresponse", 201, profile),
        line(
            7,
            "/o/client/token?client_secret=SECRETclient",
            "POST",
            "client_secret=SECRETclient",
            200,
            "{\"access_token\":\"SECRETaccess\"}",
        ),
        line(
            8,
            "/api/v2/REF30/profiles/code/SECRETcode",
            "GET",
            "",
            200,
            "{\"profiles\":{\"M\" \"SECRETbroken\"}}",
        ),
        line(9, "/api/v2/SECRETrequestor%0A/sessions", "POST", "", 200, session),
        line(
            10,
            "/api/v2/REF30/logout/M?redirectUrl=SECRETredirect",
            "GET",
            "",
            200,
            "{\"logouts\":{\"M\":{\"actionName\":\"logout\",\"url\":\"SECRETlogout\"}}}",
        ),
    ];
    let good = lines[0].clone();
    lines.push(good[..good.len() - 3].to_owned());
    lines.push(good.replace("\"duration_ms\":120", "\"duration_ms\":\"SECRETduration\""));
    lines.push(good.replace("2026-11-10T08:00:01.000Z", "SECRETstarted"));
    lines.push(good.replace("2026-11-10T08:00:01.000Z", "2036-11-10T08:00:01.000Z"));
    lines.join("\n")
}

/// Posts the lines again, a little later, and ends the program in the middle of its work: the replies and its log.
fn posted_until_a_crash(program: &Program) -> Vec<(String, Vec<u8>)> {
    let server = Listening::start(program);
    let headers = "Authorization: Bearer SECRETtoken-of-the-senders\r\n";
    let later = marked_lines().replace("2026-11-10T08", "2026-11-10T09");
    let mut written = Vec::new();
    for body in [later.as_str(), "{\"started_at\":\"SECRET", "[\"SECRETlist\"]"] {
        let reply = server.ask("/v1/exchanges", headers, body.as_bytes());
        assert!(matches!(reply.status, 202 | 400), "{reply:?}");
        written.push(("a reply".to_owned(), reply.document.to_string().into_bytes()));
    }
    let refused = server.ask("/v1/events", "Authorization: Bearer SECRETwrong\r\n", b"SECRETbody");
    written.push(("a refusal".to_owned(), refused.document.to_string().into_bytes()));
    written.push(("the log of a crash".to_owned(), server.kill().into_bytes()));
    written
}

#[test]
fn no_secret_of_an_exchange_reaches_any_byte_that_is_written() {
    let key = fixture::path("service-token/key.pem");
    let program = Program::with(&format!(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[log]\nlevel = \"trace\"\n[rest_v2]\nservice_token_keys = {{ key-1 = {key:?} }}\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n"
    ));
    program.write("tokens", "SECRETtoken-of-the-senders\n");
    program.write("log.ndjson", &marked_lines());
    let log = program.path("log.ndjson");
    let log = log.to_str().expect("UTF-8");
    // A connection that stays open keeps the write-ahead log from being folded away.
    let buffer =
        Buffer::open(&buffer_options(program.path("passbridge.db"), &Clock::system())).expect("it opens");
    let mut written = Vec::new();
    for arguments in [
        &["ingest", "--format", "rest-v2", log][..],
        &["ingest", "--format", "rest-v2", "--summary", "--json", log],
        &["ingest", "--dry-run", "--why", "--summary", log],
        &["drain"],
        &["status"],
    ] {
        let done = program.run(arguments);
        assert_ne!(done.code, 2, "{done:?}");
        written.push((arguments.join(" "), format!("{}{}", done.out, done.err).into_bytes()));
    }
    written.extend(posted_until_a_crash(&program));
    for own in ["log.ndjson", "tokens"] {
        fs::remove_file(program.path(own)).expect("what the marks came from");
    }
    let mut folders = vec![program.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                written.push((path.display().to_string(), fs::read(&path).expect("a file")));
            }
        }
    }
    assert!(
        written.iter().any(|(name, bytes)| name.ends_with("-wal") && bytes.len() > 4096),
        "no log to look at"
    );
    assert!(written.iter().any(|(name, bytes)| name.contains("rejects") && !bytes.is_empty()));
    for (name, bytes) in &written {
        // In clear, in Base64, in hexadecimal, as a list of bytes.
        for mark in [&b"SECRET"[..], b"U0VDUkVU", b"534543524554", b"83,69,67,82,69,84"] {
            let found = bytes.windows(mark.len()).position(|window| window == mark);
            let shown = found.map(|at| String::from_utf8_lossy(&bytes[at..(at + 40).min(bytes.len())]));
            assert_eq!(shown, None, "in {name}");
        }
    }
    assert!(buffer.status().expect("a status").pending >= 8, "the good lines are events");
}
