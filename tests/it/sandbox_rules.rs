//! The sandbox answers, counts and fails as Adobe's published interface does and as its fault plan says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use passbridge::sandbox::{
    EventRecording, FaultPlan, Handle, Sandbox, SandboxOptions, SuiteSettings, TimestampSetting,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// Long enough for anything that will happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to see that something does not happen.
const GLANCE: Duration = Duration::from_millis(200);
const SUCCESS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>SUCCESS</status>";

/// A hit that breaks no rule; its fields are what tests vary.
#[derive(Clone)]
struct TestHit {
    rsid: &'static str,
    visitor: &'static str,
    timestamp: Option<u32>,
    events: &'static str,
    evar6: u32,
}

const HIT: TestHit = TestHit {
    rsid: "examplersid",
    visitor: "abc",
    timestamp: Some(1_790_000_000),
    events: "event5:a",
    evar6: 1,
};

impl TestHit {
    fn body(&self) -> String {
        let timestamp = self.timestamp.map_or(String::new(), |at| format!("<timestamp>{at}</timestamp>"));
        document(&format!(
            "<scXmlVer>1.0</scXmlVer><reportSuiteID>{}</reportSuiteID>{timestamp}<visitorID>{}</visitorID>\
             <pageName>Adobe Pass: AuthZ OK</pageName><linkType>o</linkType><linkName>AuthZ OK</linkName>\
             <events>{}</events><eVar1>SPORT1</eVar1><eVar3>Direct</eVar3><eVar6>{}</eVar6><eVar8>normal</eVar8>\
             <eVar9>N/A</eVar9><eVar17>N/A</eVar17>",
            self.rsid, self.visitor, self.events, self.evar6
        ))
    }
}

fn document(tags: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><request>{tags}</request>")
}

fn sandbox(options: SandboxOptions) -> Handle {
    Sandbox::start(options).expect("the sandbox starts")
}

fn faulty(plan: &str) -> Handle {
    sandbox(SandboxOptions { faults: plan.parse().expect("a plan"), ..SandboxOptions::default() })
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    /// Lower-case names and values, a line each.
    head: String,
    body: String,
}

/// A client that writes what it is told to, and sees what the wire carries.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        Client(socket)
    }

    fn of(sandbox: &Handle) -> Client {
        Client::new(sandbox.address())
    }

    fn post(&mut self, hit: &TestHit) -> io::Result<Reply> {
        self.send("POST", "/b/ss//6", "", &hit.body())
    }

    fn post_body(&mut self, body: &str) -> Reply {
        self.send("POST", "/b/ss//6", "", body).expect("a reply")
    }

    fn write(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        // In one write: many small ones would wait for each other's acknowledgement.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: passbridge/1\r\nContent-Type: application/xml\r\n\
             Accept: application/xml\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(request.as_bytes())
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Reply> {
        self.write(method, path, headers, body)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let head = self.read_until("\r\n\r\n")?.to_ascii_lowercase();
        let status = head.get(9..12).and_then(|code| code.parse().ok()).expect("a status line");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = String::new();
        if let Some(length) = length {
            let mut bytes = vec![0; length.parse().expect("a length")];
            self.0.read_exact(&mut bytes)?;
            body = String::from_utf8_lossy(&bytes).into_owned();
        } else if head.contains("transfer-encoding: chunked") {
            while let size @ 1.. = usize::from_str_radix(self.read_until("\r\n")?.trim(), 16).expect("a size")
            {
                let mut bytes = vec![0; size + 2];
                self.0.read_exact(&mut bytes)?;
                body.push_str(str::from_utf8(&bytes[..size]).expect("text"));
            }
            self.read_until("\r\n")?;
        }
        Ok(Reply { status, head, body })
    }

    fn read_until(&mut self, end: &str) -> io::Result<String> {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            text.push(char::from(byte[0]));
        }
        Ok(text)
    }

    /// How the connection ends, if nothing more is sent.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).map(|_| rest)
    }
}

fn codes(sandbox: &Handle) -> Vec<&'static str> {
    sandbox.violations().iter().map(|violation| violation.rule.as_str()).collect()
}

fn text_of(sandbox: &Handle, method: &str, path: &str, body: &str) -> (u16, Value) {
    let reply = Client::of(sandbox).send(method, path, "", body).expect("a reply");
    (reply.status, serde_json::from_str(&reply.body).expect("JSON"))
}

#[test]
fn a_good_hit_is_answered_as_published_and_counted() {
    let sandbox = sandbox(SandboxOptions::default());
    let reply = Client::of(&sandbox).post(&TestHit { events: "event5=3:a", ..HIT }).expect("a reply");
    assert_eq!((reply.status, reply.body.as_str()), (200, SUCCESS));
    assert!(reply.head.contains("\r\nstatus: success\r\n"), "{}", reply.head);
    assert!(reply.head.contains("\r\nkeep-alive: timeout=15\r\n"), "{}", reply.head);
    assert_eq!(codes(&sandbox), [""; 0]);
    assert_eq!(sandbox.counted("examplersid")[4], 3);
    assert_eq!(sandbox.counted("another"), [0; 18]);

    let hit = &sandbox.hits()[0];
    assert_eq!((hit.receipt, hit.rsid.as_str(), hit.visitor.as_str()), (1, "examplersid", "abc"));
    assert_eq!((hit.timestamp, hit.slot, hit.count), (Some(1_790_000_000), Some(5), 3));
    assert_eq!((hit.serial.as_deref(), hit.connection, hit.is_answered), (Some("a"), 0, true));
    assert_eq!(hit.evars[&1], "SPORT1");
}

#[test]
fn each_reason_stands_in_the_body_and_all_but_no_account_in_the_headers() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut client = Client::of(&sandbox);
    for (tags, reason, is_in_head) in [
        ("<visitorID>a</visitorID><pageName>p</pageName>", "NO account", false),
        ("<reportSuiteID>s</reportSuiteID><visitorID>a</visitorID>", "NO pagename OR pageurl", true),
        ("<reportSuiteID>s</reportSuiteID><pageName>p</pageName>", "NO visitorid OR ipaddress", true),
        ("<reportSuiteID>s & t</reportSuiteID>", "Syntax Error", true),
    ] {
        let reply = client.post_body(&document(tags));
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<status>FAILURE</status>\n<reason>{reason}</reason>"
        );
        assert_eq!((reply.status, reply.body), (200, expected));
        let header = format!("\r\nreason: {}\r\n", reason.to_ascii_lowercase());
        assert_eq!(reply.head.contains(&header), is_in_head, "{}", reply.head);
        assert_eq!(reply.head.contains("\r\nstatus: failure\r\n"), is_in_head, "{}", reply.head);
    }
    assert_eq!(sandbox.accepted_count(), 0);
    assert_eq!(sandbox.summary().suites[0].received, 2);
}

#[test]
fn the_suite_may_stand_in_the_path_but_should_not() {
    let sandbox = sandbox(SandboxOptions::default());
    let body = HIT.body().replace("<reportSuiteID>examplersid</reportSuiteID>", "");
    let reply = Client::of(&sandbox).send("POST", "/b/ss/inpath/6", "", &body).expect("a reply");
    assert_eq!(reply.body, SUCCESS);
    assert_eq!(sandbox.counted("inpath")[4], 1);
    assert_eq!(codes(&sandbox), ["DIA-12", "DIA-12"]);
}

#[test]
fn what_is_not_a_post_to_type_six_records_nothing_and_is_a_violation() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut client = Client::of(&sandbox);
    for (method, path, status, code) in [
        ("POST", "/b/ss/6", 404, "DIA-01"),
        ("POST", "/", 404, "DIA-01"),
        ("POST", "/b/ss/examplersid/99", 404, "DIA-01"),
        ("POST", "/b/ss/examplersid/2", 204, "DIA-01"),
        ("GET", "/b/ss/examplersid/0?AQB=1", 200, "DIA-61"),
        ("GET", "/b/ss/examplersid/1?AQB=1", 200, "DIA-61"),
        ("GET", "/nowhere", 404, "DIA-61"),
        ("PUT", "/b/ss//6", 405, "DIA-01"),
    ] {
        let reply = client.send(method, path, "", "").expect("a reply");
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(!reply.head.contains("reason:"), "{method} {path}: {}", reply.head);
        assert_eq!(codes(&sandbox).last(), Some(&code), "{method} {path}");
    }
    assert_eq!(sandbox.accepted_count(), 0);
}

#[test]
fn expect_100_continue_is_rejected_before_the_body() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut client = Client::of(&sandbox);
    write!(
        client.0,
        "POST /b/ss//6 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    .expect("a request");
    let reply = client.reply().expect("a reply");
    assert_eq!((reply.status, reply.body.as_str()), (417, ""));
    assert_eq!(codes(&sandbox), ["DIA-04"]);
}

#[test]
fn an_event_id_counts_once_unless_the_suite_always_records() {
    let sandbox = sandbox(SandboxOptions::default());
    let always = SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() };
    sandbox.set_suite("always", always);
    let mut client = Client::of(&sandbox);
    for rsid in ["examplersid", "examplersid", "always", "always"] {
        client.post(&TestHit { rsid, ..HIT }).expect("a reply");
    }
    assert_eq!((sandbox.counted("examplersid")[4], sandbox.counted("always")[4]), (1, 2));
    let suite = &sandbox.summary().suites[1];
    assert_eq!((suite.rsid.as_str(), suite.duplicates, suite.occurrences), ("examplersid", 1, 2));
    assert_eq!((suite.page_views, suite.unique_visitors), (0, 1));
}

#[test]
fn a_suite_drops_timestamped_hits_without_a_word_where_it_allows_none() {
    let sandbox = sandbox(SandboxOptions::default());
    let none = SuiteSettings { timestamps: TimestampSetting::NotAllowed, ..SuiteSettings::default() };
    sandbox.set_suite("examplersid", none);
    assert_eq!(Client::of(&sandbox).post(&HIT).expect("a reply").body, SUCCESS);
    let suite = &sandbox.summary().suites[0];
    assert_eq!((suite.accepted, suite.dropped_by_timestamp, suite.occurrences), (1, 1, 0));
    assert_eq!(sandbox.counted("examplersid"), [0; 18]);
}

#[test]
fn an_unlisted_suite_is_answered_and_not_counted() {
    let suites = [("listed".parse().expect("an rsid"), SuiteSettings::default())].into();
    let sandbox =
        sandbox(SandboxOptions { suites, forgets_unknown_suites: true, ..SandboxOptions::default() });
    let mut client = Client::of(&sandbox);
    for rsid in ["listed", "unlisted"] {
        assert_eq!(client.post(&TestHit { rsid, ..HIT }).expect("a reply").body, SUCCESS);
    }
    assert_eq!((sandbox.counted("listed")[4], sandbox.counted("unlisted")[4]), (1, 0));
    assert_eq!(sandbox.accepted_count(), 2);
}

#[test]
fn a_hit_without_a_link_is_a_page_view() {
    let sandbox = sandbox(SandboxOptions::default());
    let body = HIT.body().replace("<linkType>o</linkType><linkName>AuthZ OK</linkName>", "");
    assert_eq!(Client::of(&sandbox).post_body(&body).body, SUCCESS);
    assert_eq!(sandbox.summary().suites[0].page_views, 1);
    assert!(codes(&sandbox).contains(&"DIA-16"));
}

#[test]
fn a_violation_names_its_rule_its_request_and_what_was_found() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut client = Client::of(&sandbox);
    client.post(&HIT).expect("a reply");
    assert_eq!(
        client.post(&TestHit { visitor: "a-b", events: "event5:b", ..HIT }).expect("a reply").body,
        SUCCESS
    );
    let violations = sandbox.violations();
    assert_eq!(violations.len(), 1);
    let violation = &violations[0];
    assert_eq!((violation.rule.as_str(), violation.request, violation.connection), ("DIA-21", 2, 0));
    assert_eq!((violation.rsid.as_str(), violation.detail.as_str()), ("examplersid", "visitorID is \"a-b\""));
    assert_eq!(sandbox.summary().violations, [("DIA-21", 1)].into());
}

#[test]
fn strict_mode_answers_failure_with_the_rule() {
    let sandbox = sandbox(SandboxOptions { is_strict: true, ..SandboxOptions::default() });
    let mut client = Client::of(&sandbox);
    let reply = client.post(&TestHit { visitor: "a-b", ..HIT }).expect("a reply");
    assert!(reply.body.contains("<status>FAILURE</status>\n<reason>DIA-21: "), "{}", reply.body);
    assert_eq!(client.post(&HIT).expect("a reply").body, SUCCESS);
    assert_eq!(sandbox.accepted_count(), 1);
}

#[test]
fn only_first_deliveries_of_one_visitor_can_be_out_of_order() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut client = Client::of(&sandbox);
    let later = TestHit { timestamp: Some(1_790_000_001), events: "event5:b", ..HIT };
    let stranger = TestHit { visitor: "def", events: "event5:c", ..HIT };
    for hit in [&HIT, &later, &HIT, &stranger] {
        client.post(hit).expect("a reply");
    }
    assert_eq!(sandbox.summary().inversions, 0);
    client.post(&TestHit { events: "event5:d", ..HIT }).expect("a reply");
    assert_eq!((sandbox.summary().inversions, codes(&sandbox)), (1, vec!["DIA-33"]));
}

#[test]
fn order_can_be_judged_by_the_number_in_evar6() {
    let sandbox = sandbox(SandboxOptions { orders_by_evar6: true, ..SandboxOptions::default() });
    let mut client = Client::of(&sandbox);
    for evar6 in [1, 3, 1, 2, 3] {
        client.post(&TestHit { evar6, events: "event5", ..HIT }).expect("a reply");
    }
    assert_eq!(sandbox.summary().inversions, 1);
}

#[test]
fn two_hits_of_one_visitor_at_a_time_are_a_violation() {
    let sandbox = faulty("timeout-before first=1");
    let mut first = Client::of(&sandbox);
    first.write("POST", "/b/ss//6", "", &HIT.body()).expect("a request");
    let mut second = Client::of(&sandbox);
    // The first may still be on its way; the second is a stranger until it has come.
    while sandbox.summary().requests == 0 {
        std::thread::yield_now();
    }
    second.post(&TestHit { visitor: "def", events: "event5:b", ..HIT }).expect("a reply");
    assert_eq!(codes(&sandbox), [""; 0]);
    second.post(&TestHit { events: "event5:c", ..HIT }).expect("a reply");
    assert_eq!(codes(&sandbox), ["DIA-33"]);
}

#[test]
fn a_reset_before_acceptance_loses_the_hit_and_one_after_does_not() {
    for (plan, accepted) in [("reset-before", 0), ("reset-after", 1)] {
        let sandbox = faulty(plan);
        let error = Client::of(&sandbox).post(&HIT).expect_err("no reply");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{plan}");
        assert_eq!(sandbox.accepted_count(), accepted, "{plan}");
        assert!(sandbox.hits().iter().all(|hit| !hit.is_answered));
    }
}

#[test]
fn a_reset_mid_reply_breaks_off_after_the_first_byte_and_before_the_last() {
    let sandbox = faulty("reset-mid-reply; seed=3");
    let mut lengths = Vec::new();
    for _ in 0..20 {
        let mut client = Client::of(&sandbox);
        client.write("POST", "/b/ss//6", "", &HIT.body()).expect("a request");
        let mut reply = Vec::new();
        let error = client.0.read_to_end(&mut reply).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(!reply.is_empty() && !reply.ends_with(b"</status>"), "{}", String::from_utf8_lossy(&reply));
        lengths.push(reply.len());
    }
    lengths.dedup();
    assert!(lengths.len() > 5, "{lengths:?}");
    assert_eq!(sandbox.accepted_count(), 20);
}

#[test]
fn a_timeout_never_answers() {
    for (plan, accepted) in [("timeout-before", 0), ("timeout-after", 1)] {
        let sandbox = faulty(plan);
        let mut client = Client::of(&sandbox);
        client.0.set_read_timeout(Some(GLANCE)).expect("a read timeout");
        let error = client.post(&HIT).expect_err("no reply");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{plan}");
        assert_eq!(sandbox.accepted_count(), accepted, "{plan}");
    }
}

#[test]
fn a_status_is_answered_with_what_belongs_to_it() {
    for (plan, status, header) in [
        ("429 retry-after=2", 429, "\r\nretry-after: 2\r\n"),
        ("status=302", 302, "\r\nlocation: /b/ss//6?pccr=true"),
        ("status=503", 503, "\r\ncontent-length: 0\r\n"),
        ("404", 404, ""),
        ("408", 408, ""),
    ] {
        let sandbox = faulty(plan);
        let reply = Client::of(&sandbox).post(&HIT).expect("a reply");
        assert_eq!((reply.status, reply.body.as_str()), (status, ""), "{plan}");
        assert!(reply.head.contains(header), "{plan}: {}", reply.head);
        assert_eq!(sandbox.accepted_count(), 0, "{plan}");
    }
    let sandbox = faulty("502 accept=yes");
    assert_eq!(Client::of(&sandbox).post(&HIT).expect("a reply").status, 502);
    assert_eq!(sandbox.accepted_count(), 1);
}

#[test]
fn unreadable_and_failing_replies_come_as_planned() {
    const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    for (plan, body, accepted) in [
        ("malformed", format!("{DECLARATION}<status>SUCCESS</sta"), 1),
        ("empty", String::new(), 1),
        ("empty accept=no", String::new(), 0),
        ("bare-failure", format!("{DECLARATION}<status>FAILURE</status>"), 0),
        (
            "failure=\"NO account\"",
            format!("{DECLARATION}<status>FAILURE</status>\n<reason>NO account</reason>"),
            0,
        ),
        ("two-declarations", format!("{DECLARATION}{DECLARATION}<status>SUCCESS</status>"), 1),
    ] {
        let sandbox = faulty(plan);
        let reply = Client::of(&sandbox).post(&HIT).expect("a reply");
        assert_eq!((reply.status, reply.body), (200, body), "{plan}");
        assert_eq!(sandbox.accepted_count(), accepted, "{plan}");
    }
}

#[test]
fn slow_and_chunked_replies_are_whole_in_the_end() {
    let sandbox = faulty("chunked first=1; slow-reply=5ms");
    let mut client = Client::of(&sandbox);
    let chunked = client.post(&HIT).expect("a reply");
    assert!(chunked.head.contains("transfer-encoding: chunked"), "{}", chunked.head);
    let slow_from = Instant::now();
    let slow = client.post(&HIT).expect("a reply");
    assert!(slow.head.contains("content-length: "), "{}", slow.head);
    assert!(slow_from.elapsed() >= Duration::from_millis(25));
    assert_eq!((chunked.body.as_str(), slow.body.as_str()), (SUCCESS, SUCCESS));
}

#[test]
fn latency_holds_the_reply_not_the_hit() {
    let sandbox = faulty("latency=100ms");
    let mut client = Client::of(&sandbox);
    client.write("POST", "/b/ss//6", "", &HIT.body()).expect("a request");
    let sent_at = Instant::now();
    assert!(sandbox.wait_accepted(1, PATIENCE));
    assert_eq!(client.reply().expect("a reply").body, SUCCESS);
    assert!(sent_at.elapsed() >= Duration::from_millis(90));
}

#[test]
fn a_connection_is_closed_without_notice_after_its_last_reply() {
    for (plan, replies) in [("close", 1), ("max-requests-per-connection=3", 3)] {
        let sandbox = faulty(plan);
        let mut client = Client::of(&sandbox);
        for _ in 0..replies {
            let reply = client.post(&HIT).expect("a reply");
            assert!(!reply.head.contains("connection:"), "{plan}: {}", reply.head);
        }
        assert_eq!(client.rest().expect("the end"), b"", "{plan}");
        let summary = sandbox.summary();
        assert_eq!((summary.connections, summary.requests_per_connection_max), (1, replies));
    }
}

#[test]
fn refused_connections_are_refused_until_the_plan_is_lifted() {
    let sandbox = sandbox(SandboxOptions::default());
    let mut open = Client::of(&sandbox);
    open.post(&HIT).expect("a reply");
    sandbox.set_faults("refuse".parse().expect("a plan"));
    let error = TcpStream::connect(sandbox.address()).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(open.rest().expect("the end"), b"");
    sandbox.set_faults(FaultPlan::default());
    assert_eq!(Client::of(&sandbox).post(&HIT).expect("a reply").body, SUCCESS);
}

#[test]
fn a_share_of_refusals_resets_connections_as_they_come() {
    let sandbox = faulty("refuse first=1");
    let mut first = Client::of(&sandbox);
    let error = first.post(&HIT).expect_err("a reset");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(Client::of(&sandbox).post(&HIT).expect("a reply").body, SUCCESS);
}

#[test]
fn faults_strike_only_whom_they_are_limited_to() {
    let sandbox = faulty("503 only-visitor=abc; 500 only-evar6=7; 502 only-rsid=other");
    let mut client = Client::of(&sandbox);
    let mut status = |hit: &TestHit| client.post(hit).expect("a reply").status;
    assert_eq!(status(&HIT), 503);
    assert_eq!(status(&TestHit { visitor: "def", evar6: 7, ..HIT }), 500);
    assert_eq!(status(&TestHit { visitor: "def", rsid: "other", ..HIT }), 502);
    assert_eq!(status(&TestHit { visitor: "def", ..HIT }), 200);
}

#[test]
fn the_same_seed_and_order_give_the_same_faults() {
    let run = |seed: u64| -> Vec<u16> {
        let sandbox = faulty(&format!("503:30%; 429:30%; seed={seed}"));
        let mut client = Client::of(&sandbox);
        (0..100).map(|_| client.post(&HIT).expect("a reply").status).collect()
    };
    let once = run(1);
    assert_eq!(once, run(1));
    assert_ne!(once, run(2));
    assert!([200, 429, 503].iter().all(|status| once.contains(status)));
}

#[test]
fn reset_forgets_what_came_and_keeps_what_was_set() {
    let sandbox = faulty("503 first=1");
    sandbox.set_suite(
        "examplersid",
        SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() },
    );
    let mut client = Client::of(&sandbox);
    for status in [503, 200, 200] {
        assert_eq!(client.post(&HIT).expect("a reply").status, status);
    }
    sandbox.reset();
    assert_eq!(
        (sandbox.accepted_count(), sandbox.counted("examplersid"), sandbox.hits()),
        (0, [0; 18], vec![])
    );
    for status in [503, 200, 200] {
        assert_eq!(client.post(&HIT).expect("a reply").status, status);
    }
    assert_eq!(sandbox.counted("examplersid")[4], 2);
}

#[test]
fn digests_keep_what_exactly_once_is_judged_by() {
    let sandbox = sandbox(SandboxOptions { keeps_digests_only: true, ..SandboxOptions::default() });
    Client::of(&sandbox).post(&TestHit { events: "event5=3:a", evar6: 9, ..HIT }).expect("a reply");
    let hits = sandbox.hits_page(Some("examplersid"), 0, 10);
    let hit = &hits[0];
    assert_eq!((hits.len(), hit.receipt, hit.slot, hit.count), (1, 1, Some(5), 3));
    assert_eq!((hit.serial.as_deref(), hit.timestamp), (Some("a"), Some(1_790_000_000)));
    assert_eq!(hit.evars, [(6, "9".to_owned())].into());
}

#[test]
fn the_answers_over_http_are_those_of_the_handle() {
    let sandbox = sandbox(SandboxOptions::default());
    let settings = r#"{"timestamps":"required"}"#;
    let (status, set) = text_of(&sandbox, "PUT", "/sandbox/suites/examplersid", settings);
    assert_eq!((status, &set["recording"]), (200, &json!("use_event_id")));
    let (_, plan) = text_of(&sandbox, "PUT", "/sandbox/faults", r#"{"seed":7,"faults":["503 first=1"]}"#);
    assert_eq!(plan, json!({"seed": 7, "faults": ["status=503 first=1"]}));
    let mut client = Client::of(&sandbox);
    for hit in [HIT, HIT, TestHit { visitor: "a-b", timestamp: None, ..HIT }] {
        client.post(&hit).expect("a reply");
    }

    let (_, summary) = text_of(&sandbox, "GET", "/sandbox/summary", "");
    // Each question is a connection of its own, so that count has moved on.
    let mut expected = serde_json::to_value(sandbox.summary()).expect("JSON");
    expected["connections"] = summary["connections"].clone();
    assert_eq!(summary, expected);
    assert_eq!(summary["faults"], json!([{"fault": "status=503 first=1", "struck": 1}]));
    let suite = &summary["suites"][0];
    assert_eq!(
        (&suite["received"], &suite["accepted"], &suite["dropped_by_timestamp"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(
        suite["events"][4],
        json!({"event": "event5", "name": "authz_ok", "label": "AuthZ OK", "hits": 1, "units": 1, "duplicates": 0})
    );

    let (_, hits) = text_of(&sandbox, "GET", "/sandbox/hits?rsid=examplersid&offset=1&limit=5", "");
    assert_eq!(hits["hits"], json!([sandbox.hits()[1]]));
    let (_, violations) = text_of(&sandbox, "GET", "/sandbox/violations", "");
    assert_eq!(violations["violations"], json!(sandbox.violations()));
    text_of(&sandbox, "POST", "/sandbox/reset", "");
    assert_eq!(sandbox.accepted_count(), 0);
}

#[test]
fn a_setting_that_cannot_be_read_is_refused_and_changes_nothing() {
    let sandbox = sandbox(SandboxOptions::default());
    for (method, path, body, expected) in [
        ("PUT", "/sandbox/suites/examplersid", r#"{"timestamp":"required"}"#, 400),
        ("PUT", "/sandbox/suites/a,b", "{}", 400),
        ("PUT", "/sandbox/faults", r#"{"faults":["statos=503"]}"#, 400),
        ("GET", "/sandbox/hits?limit=x", "", 400),
        ("GET", "/sandbox/nothing", "", 404),
        ("DELETE", "/sandbox/summary", "", 404),
    ] {
        let (status, answer) = text_of(&sandbox, method, path, body);
        assert_eq!(status, expected, "{method} {path}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    assert_eq!((sandbox.summary().suites, sandbox.summary().faults), (vec![], vec![]));
}

#[test]
fn an_idle_connection_is_closed() {
    let sandbox = sandbox(SandboxOptions { idle_close: Some(GLANCE), ..SandboxOptions::default() });
    let mut client = Client::of(&sandbox);
    client.post(&HIT).expect("a reply");
    assert_eq!(client.rest().expect("the end"), b"");
}

#[test]
fn a_shut_down_sandbox_leaves_its_port_and_its_connections() {
    let first = sandbox(SandboxOptions::default());
    let address = first.address();
    let mut client = Client::of(&first);
    client.post(&HIT).expect("a reply");
    drop(first);
    assert_eq!(client.rest().expect("the end"), b"");
    let second = sandbox(SandboxOptions { address, ..SandboxOptions::default() });
    assert_eq!(Client::of(&second).post(&HIT).expect("a reply").body, SUCCESS);
}

#[test]
fn it_listens_on_loopback_only_and_says_why_it_cannot_start() {
    let start = |address: &str| {
        let address = address.parse().expect("an address");
        Sandbox::start(SandboxOptions { address, ..SandboxOptions::default() })
    };
    let error = start("0.0.0.0:0").expect_err("no start");
    assert!(error.to_string().contains("not a loopback address"), "{error}");
    let running = start("127.0.0.1:0").expect("a start");
    let error = start(&running.address().to_string()).expect_err("a taken port");
    assert!(error.to_string().starts_with("sandbox cannot listen at 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn an_ordinary_client_delivers_over_tls_on_one_connection() {
    // A second test in this process may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .expect("a TLS configuration");
    let sandbox = sandbox(SandboxOptions { tls: Some(Arc::new(tls)), ..SandboxOptions::default() });
    assert!(sandbox.url().starts_with("https://127.0.0.1:"));

    let root = reqwest::Certificate::from_der(identity.cert.der()).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
    let url = format!("https://localhost:{}/b/ss//6", sandbox.address().port());
    for _ in 0..3 {
        let reply = client.post(&url).body(HIT.body()).send().await.expect("a reply");
        assert_eq!(reply.text().await.expect("a body"), SUCCESS);
    }
    let summary = sandbox.summary();
    let (accepted, requests_max) = (summary.accepted, summary.requests_per_connection_max);
    assert_eq!((accepted, summary.connections, requests_max), (3, 1, 3));
    // reqwest sends neither an agent nor the media types of its own accord.
    assert_eq!(codes(&sandbox)[..3], ["DIA-03", "DIA-03", "DIA-60"]);
}
