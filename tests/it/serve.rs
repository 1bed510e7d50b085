//! The HTTP collector of `run`, judged from outside: the built program, sockets, signals.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture;
use crate::keeping::clock_shim;
use crate::program::{Program, done, lines, send};
use crate::support::PATIENCE;

const TOKEN: &str = "first-token-of-the-tests";
const OTHER_TOKEN: &str = "second-token-of-the-tests";
const EVENTS: &str = "/v1/events";

/// A program that listens.
pub(crate) struct Listening {
    child: Child,
    address: SocketAddr,
    /// Its log, as far as it has come.
    log: Option<thread::JoinHandle<String>>,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) document: Value,
}

fn program(serve: &str) -> Program {
    let program = Program::with(&format!(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 0\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n{serve}"
    ));
    program.write("tokens", &format!("# of the tests\n{TOKEN}\n{OTHER_TOKEN}\n"));
    program
}

impl Listening {
    pub(crate) fn start(program: &Program) -> Listening {
        Listening::of(program.command(&["run"]))
    }

    /// Starts a command, and reads from its log where it listens.
    pub(crate) fn of(mut command: Command) -> Listening {
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("a log"));
        let mut text = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a line of the log") > 0, "it ended: {text}");
            text.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening address=") {
                let address = rest.split_whitespace().next().expect("an address");
                break address.parse().expect("an address");
            }
        };
        let log = Some(thread::spawn(move || {
            log.read_to_string(&mut text).expect("the rest of the log");
            text
        }));
        Listening { child, address, log }
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }

    fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.ask(path, &format!("Authorization: Bearer {TOKEN}\r\n"), body)
    }

    /// Posts as senders do: again where it could not be stored in time, as on a busy machine.
    fn post_again(&self, body: &str) -> Reply {
        let started = Instant::now();
        loop {
            let reply = self.post(EVENTS, body.as_bytes());
            if reply.status != 503 || started.elapsed() > PATIENCE {
                return reply;
            }
        }
    }

    pub(crate) fn ask(&self, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut socket = self.connect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).expect("a head");
        // A refusal may come, and the connection close, before the body is through.
        drop(socket.write_all(body));
        read_reply(&mut socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks at a page with these headers: its status, its head and its text.
    pub(crate) fn look(&self, path: &str, headers: &str) -> (u16, String, String) {
        let mut socket = self.connect();
        write!(socket, "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").expect("a request");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("a reply");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        let mut socket = self.connect();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
        read_reply(&mut socket)
    }

    /// Ends it as an operator would; its log.
    pub(crate) fn stop(mut self) -> String {
        send(&self.child, Signal::TERM);
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
        self.log.take().expect("it is read once").join().expect("a log")
    }

    /// Ends it as a crash would; its log.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
        self.log.take().expect("it is read once").join().expect("a log")
    }
}

impl Drop for Listening {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn read_reply(socket: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(reply) = parse_reply(&bytes) {
            return reply;
        }
        match socket.read(&mut chunk) {
            Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&bytes)),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            // A signal for another test of this process.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// The reply, once it is whole.
fn parse_reply(bytes: &[u8]) -> Option<Reply> {
    let text = std::str::from_utf8(bytes).expect("replies are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.lines().next()?.parse().expect("a length");
    if body.len() < length {
        return None;
    }
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    Some(Reply { status, document: serde_json::from_str(body).expect("JSON"), head })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// One event, told apart by its number.
fn event(number: usize) -> String {
    lines(number + 1).lines().nth(number).expect("a line").to_owned()
}

fn pending(program: &Program) -> u64 {
    program.json(&["status"]).1["pending"].as_u64().expect("a number")
}

#[test]
fn what_is_posted_is_stored_once_in_every_form() {
    let program = program("");
    let server = Listening::start(&program);
    let ndjson = lines(3);
    let reply = server.post(EVENTS, ndjson.as_bytes());
    assert_eq!(reply.status, 202, "{reply:?}");
    let expected =
        json!({"read": 3, "stored": 3, "duplicates": 0, "conflicts": 0, "rejected": 0, "errors": []});
    assert_eq!(reply.document, expected);
    let array = format!("[{}]", ndjson.trim().replace('\n', ",\n"));
    for (body, headers) in [
        (array.clone().into_bytes(), ""),
        (gzip(array.as_bytes()), "Content-Encoding: gzip\r\n"),
        (gzip(ndjson.as_bytes()), ""),
    ] {
        let reply = server.ask(EVENTS, &format!("authorization: bearer {OTHER_TOKEN}\r\n{headers}"), &body);
        assert_eq!((reply.status, &reply.document["duplicates"]), (202, &json!(3)), "{reply:?}");
    }
    assert_eq!(pending(&program), 3);
    server.stop();
}

#[test]
fn nothing_is_acknowledged_after_the_buffer_was_overwritten() {
    let program = program("");
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", copy.to_str().expect("UTF-8")]).code, 0);
    let copy = std::fs::read(copy).expect("a copy");
    let mut server = Listening::start(&program);
    assert_eq!(server.post("/v1/events", event(1).as_bytes()).status, 202);
    // The request is under way before `run` can notice, and is answered even if it ends for that.
    let (mut socket, body) = (server.connect(), event(2));
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("a head");
    std::fs::write(program.path("passbridge.db"), copy).expect("it is overwritten");
    socket.write_all(body.as_bytes()).expect("a body");
    assert_eq!(read_reply(&mut socket).status, 503);
    assert_eq!(server.child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn each_bad_line_is_told_and_kept_and_the_rest_is_stored() {
    let program = program("");
    let server = Listening::start(&program);
    let other = event(0).replace("play_requested", "authz_ok");
    let body = format!("{}\n\n{{\"event\":\"play\"}}\n{}\nnonsense\n", event(0), other);
    let reply = server.post(EVENTS, body.as_bytes());
    assert_eq!(reply.status, 202, "{reply:?}");
    let counts = ["read", "stored", "conflicts", "rejected"].map(|key| reply.document[key].as_u64());
    assert_eq!(counts, [Some(4), Some(2), Some(0), Some(2)], "{reply:?}");
    let errors: Vec<_> = reply.document["errors"].as_array().expect("errors").iter().collect();
    let lines: Vec<_> = errors.iter().map(|error| error["line"].as_u64()).collect();
    assert_eq!(lines, [Some(3), Some(5)]);
    assert!(errors[1]["reason"].as_str().expect("a reason").contains("is not JSON"), "{errors:?}");

    // The same event_id with other content: the first stays, the other is kept.
    let conflicting = event(0).replace("\"mvpd\":\"M\"", "\"mvpd\":\"N\"");
    let array = format!("[{conflicting}, 3]");
    let reply = server.post(EVENTS, array.as_bytes());
    let counts = ["read", "stored", "conflicts", "rejected"].map(|key| reply.document[key].as_u64());
    assert_eq!((reply.status, counts), (202, [Some(2), Some(0), Some(1), Some(1)]), "{reply:?}");

    let reply = server.post(EVENTS, b"rubbish");
    assert_eq!((reply.status, &reply.document["rejected"]), (400, &json!(1)), "{reply:?}");
    server.stop();
    let kept: String = std::fs::read_dir(program.path("rejects"))
        .expect("rejects")
        .map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text"))
        .collect();
    assert_eq!(kept.lines().count(), 5, "{kept}");
    assert!(kept.contains("POST /v1/events") && kept.contains("\\\"mvpd\\\":\\\"N\\\""), "{kept}");
}

#[test]
fn what_comes_through_the_wrong_door_is_named() {
    let program = program("");
    let server = Listening::start(&program);
    let zstd = zstd::encode_all(event(0).as_bytes(), 1).expect("memory");
    let wide: Vec<u8> = event(0).bytes().flat_map(|byte| [byte, 0]).collect();
    let har = std::fs::read(fixture::path("har/basic.har")).expect("a fixture");
    let esm = std::fs::read(fixture::path("esm/hour.json")).expect("a fixture");
    let rows = std::fs::read(fixture::path("esm/hour.csv")).expect("a fixture");
    let exchange =
        std::fs::read_to_string(fixture::path("rest-v2/login-authorize-logout.ndjson")).expect("a fixture");
    let list = format!("[{}]", exchange.lines().collect::<Vec<_>>().join(","));
    for (path, body, why) in [
        (EVENTS, &zstd, "the body is packed as Zstandard"),
        (EVENTS, &wide, "the body is UTF-16"),
        (EVENTS, &vec![0; 5_000], "the body holds only zero bytes"),
        ("/v1/exchanges", &vec![0; 5_000], "the body holds only zero bytes"),
        ("/v1/exchanges", &wide, "the body is UTF-16"),
        (
            EVENTS,
            &esm,
            "the body is a report of ESM: ingest it as a file, with passbridge ingest --format esm",
        ),
        ("/v1/exchanges", &rows, "the body is a report of ESM"),
        (EVENTS, &b"occurred_at,event,requestor_id\n1794000000,authn_ok,R\n".to_vec(), "the body is CSV"),
        ("/v1/exchanges", &har, "the body is an HTTP archive"),
        (EVENTS, &b"[1, 2]".to_vec(), "the body is one JSON list"),
    ] {
        let reply = server.post(path, body);
        let error = reply.document["error"].as_str().unwrap_or_default();
        assert_eq!((reply.status, error.contains(why)), (400, true), "{path} {why}: {reply:?}");
    }
    let marked = format!("\u{feff} [{}, {}]", event(0), event(1));
    let reply = server.post(EVENTS, marked.as_bytes());
    assert_eq!((reply.status, &reply.document["stored"]), (202, &json!(2)), "{reply:?}");
    // A list is taken as from a file, also with a comma behind its last element.
    let spaced = format!("[{},\n  {},\n]\n", event(2), event(3));
    for (path, list, format) in [(EVENTS, spaced, "ndjson"), ("/v1/exchanges", list, "rest-v2")] {
        let reply = server.post(path, list.as_bytes());
        let stored = reply.document["stored"].as_u64().unwrap_or_default();
        assert!(reply.status == 202 && stored >= 2, "{reply:?}");
        program.write("list.json", &list);
        let (code, of_file) = program.json(&["ingest", "--format", format, &program.place("list.json")]);
        assert_eq!((code, &of_file["total"]["stored"]), (0, &json!(0)), "{of_file}");
    }
    server.stop();
}

#[test]
fn exchanges_that_are_passed_over_are_told_to_their_sender_and_to_the_log() {
    let program = program("");
    let server = Listening::start(&program);
    let exchange = |url: &str| {
        let exchange = json!({
            "started_at": "2026-11-01T08:00:00Z", "duration_ms": 5,
            "request": {"method": "POST", "url": url, "headers": {"AP-Device-Identifier": "YWJj"}},
            "response": {"status": 503, "headers": {}, "body": ""},
        });
        exchange.to_string()
    };
    let paths = ["/api/v2/REF30/decisions/authorize/M", "/tve/api/v2/REF30/decisions/authorize/M"];
    let reply = server.post("/v1/exchanges", paths.map(exchange).join("\n").as_bytes());
    let notes = reply.document["notes"].to_string();
    assert_eq!(reply.status, 202, "{reply:?}");
    assert!(notes.contains("1 exchanges were passed over, because they have something before"), "{reply:?}");
    assert!(notes.contains("line 1: request.body is missing; so 1 exchanges have"), "{reply:?}");
    let log = server.stop();
    let told = log.lines().find(|line| line.contains("WARN") && line.contains("are not what they seem"));
    assert!(told.is_some_and(|told| told.contains("notes=2")), "{log}");
}

#[test]
fn zero_bytes_at_the_end_of_a_body_are_told_to_their_sender() {
    let program = program("");
    let server = Listening::start(&program);
    let (line, zeros) = (format!("{}\n", event(0)).into_bytes(), vec![0; 700]);
    for (body, is_noted) in [
        ([line.clone(), zeros.clone()].concat(), true),
        ([gzip(&line), zeros.clone()].concat(), true),
        (gzip(&[line.clone(), zeros].concat()), true),
        (gzip(&line), false),
    ] {
        let reply = server.post(EVENTS, &body);
        let notes = reply.document["notes"].to_string();
        assert_eq!((reply.status, notes.contains("ends with 700 zero bytes")), (202, is_noted), "{reply:?}");
    }
    server.stop();
}

#[test]
fn a_reject_that_is_sent_again_is_kept_once_and_the_log_says_where() {
    let program = program("");
    let server = Listening::start(&program);
    for _ in 0..3 {
        let reply = server.post(EVENTS, format!("{}\nnonsense\n", event(0)).as_bytes());
        assert_eq!((reply.status, &reply.document["rejected"]), (202, &json!(1)), "{reply:?}");
    }
    let log = server.stop();
    let told =
        log.lines().find(|line| line.contains("posted lines were rejected")).expect("a line of the log");
    assert!(told.contains("WARN") && told.contains("rejected-") && told.contains("rejected=3"), "{told}");
    let nothing = self::program("");
    let config = std::fs::read_to_string(nothing.path("c.toml")).expect("a configuration");
    nothing.write("c.toml", &config.replace("[ingest]\n", "[ingest]\nrejects_max = 0\n"));
    let server = Listening::start(&nothing);
    let reply = server.post(EVENTS, format!("{}\nnonsense\n", event(0)).as_bytes());
    assert_eq!((reply.status, &reply.document["rejects_not_kept"]), (202, &json!(1)), "{reply:?}");
    let log = server.stop();
    let told =
        log.lines().find(|line| line.contains("posted lines were rejected")).expect("a line of the log");
    assert!(told.contains("WARN") && told.contains("none of them is kept, as ingest.rejects_max"), "{told}");
    assert!(!told.contains("path="), "{told}");
    for _ in 0..3 {
        let mut ingest = program
            .command(&["ingest", "--format", "ndjson", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        ingest.stdin.take().expect("its input").write_all(b"rubbish\n{}\n").expect("it reads");
        assert_eq!(ingest.wait().expect("it ends").code(), Some(3));
    }
    let kept: String = std::fs::read_dir(program.path("rejects"))
        .expect("rejects")
        .map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text"))
        .collect();
    assert_eq!(kept.lines().count(), 3, "{kept}");
}

#[test]
fn exchanges_give_the_events_of_their_log() {
    let program = program("");
    let server = Listening::start(&program);
    let path = fixture::path("rest-v2/login-authorize-logout.ndjson");
    let log = std::fs::read_to_string(&path).expect("a fixture");
    let mut stored = 0;
    for line in log.lines() {
        let reply = server.post("/v1/exchanges", line.as_bytes());
        assert_eq!(reply.status, 202, "{reply:?}");
        stored += reply.document["stored"].as_u64().expect("a number");
    }
    assert!(stored > 5, "{stored}");
    server.stop();
    let (code, document) = program.json(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!((code, document["total"]["stored"].as_u64()), (0, Some(0)), "{document}");
    assert_eq!(pending(&program), stored);
}

#[test]
fn strangers_are_refused_and_tokens_change_without_a_restart() {
    let program = program("");
    let server = Listening::start(&program);
    for headers in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer first-token-of-the-test\r\n",
        "Authorization: Basic Zmlyc3Q6\r\n",
    ] {
        let reply = server.ask(EVENTS, headers, event(0).as_bytes());
        assert_eq!(reply.status, 401, "{headers:?} {reply:?}");
        assert!(reply.head.contains("www-authenticate: bearer"), "{reply:?}");
    }
    program.write("tokens", "another-token-of-the-tests\n");
    let started = Instant::now();
    while server.post(EVENTS, event(0).as_bytes()).status != 401 {
        assert!(started.elapsed() < PATIENCE, "the old token is still good");
        thread::sleep(Duration::from_millis(200));
    }
    let headers = "Authorization: Bearer another-token-of-the-tests\r\n";
    assert_eq!(server.ask(EVENTS, headers, event(1).as_bytes()).status, 202);
    let log = server.stop();
    assert!(!log.contains("token-of-the-test"), "{log}");
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason() {
    let program = program("");
    let server = Listening::start(&program);
    let bomb = gzip(&vec![b'\n'; 200 << 20]);
    let long = vec![b'\n'; (8 << 20) + 1];
    for (path, headers, body, status, why) in [
        ("/v2/events", "", &b"{}"[..], 404, "/v1/events"),
        (EVENTS, "Content-Encoding: br\r\n", b"{}", 415, "gzip"),
        (EVENTS, "Content-Encoding: gzip\r\n", b"{}", 400, "gzip"),
        (EVENTS, "", b"\x1F\x8B\x08\x00\x00", 400, "gzip"),
        (EVENTS, "", b"[{\"a\":1},", 400, "breaks off: the JSON list is not closed"),
        (EVENTS, "", &bomb, 413, "unpacked"),
        (EVENTS, "", &long, 413, "at most"),
    ] {
        let reply = server.ask(path, &format!("Authorization: Bearer {TOKEN}\r\n{headers}"), body);
        assert_eq!(reply.status, status, "{path} {headers} {reply:?}");
        assert!(reply.document["error"].as_str().expect("why").contains(why), "{reply:?}");
    }
    assert_eq!(server.get("/healthz").document, json!({"status": "ok"}));
    assert_eq!(server.post("/healthz", b"").status, 405);
    assert_eq!(server.get(EVENTS).status, 401);
    server.stop();
    assert_eq!(pending(&program), 0);
}

#[test]
fn senders_that_are_slow_or_break_off_cost_only_themselves() {
    let program = program("request_timeout_seconds = 1\nidle_timeout_seconds = 2\n");
    let server = Listening::start(&program);
    let head = |length: usize| {
        format!(
            "POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let whole = event(0);
    // A body that never ends is refused in time.
    let mut slow = server.connect();
    writeln!(slow, "{}{whole}", head(10_000)).expect("half a body");
    // A head that never ends.
    let mut silent = server.connect();
    write!(silent, "POST {EVENTS} HTTP/1.1\r\nHost:").expect("half a head");
    // A body that breaks off, though its first line is whole.
    let mut broken = server.connect();
    writeln!(broken, "{}{whole}", head(10_000)).expect("half a body");
    broken.shutdown(Shutdown::Both).expect("it breaks off");
    // A chunked one that ends in the middle of a chunk.
    let mut chunked = server.connect();
    write!(chunked, "POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\nFFF\r\n{whole}\n")
        .expect("half a chunk");
    drop(chunked);

    assert_eq!(server.post(EVENTS, event(1).as_bytes()).status, 202, "others are served meanwhile");
    assert_eq!(read_reply(&mut slow).status, 408);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("it is closed");
    assert_eq!(server.get("/healthz").status, 200);
    server.stop();
    assert_eq!(pending(&program), 1, "only what was sent whole is stored");
}

#[test]
fn a_thousand_connections_keep_nobody_out() {
    let program = program("");
    let server = Listening::start(&program);
    let mut sockets: Vec<TcpStream> = (0..1000).map(|_| server.connect()).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        // Half of them silent, half of them in the middle of a body.
        if number % 2 == 0 {
            write!(socket, "POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 300\r\n\r\n{{")
                .expect("half a request");
        }
    }
    assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 202);
    let body = format!("{:<299}", &event(1)[1..]);
    for socket in sockets.iter_mut().step_by(2) {
        socket.write_all(body.as_bytes()).expect("the rest of a body");
    }
    for socket in sockets.iter_mut().step_by(2) {
        assert_eq!(read_reply(socket).status, 202);
    }
    drop(sockets);
    server.stop();
    assert_eq!(pending(&program), 2);
}

#[test]
fn nothing_that_was_acknowledged_is_lost_by_a_kill() {
    let program = program("");
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let server = Listening::start(&program);
        let is_over = AtomicBool::new(false);
        let confirmed = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for sender in 0..8 {
                let (server, is_over, confirmed) = (&server, &is_over, &confirmed);
                scope.spawn(move || {
                    let Ok(mut socket) = TcpStream::connect(server.address) else { return };
                    for number in 0.. {
                        let body = event(0).replace("\"e0\"", &format!("\"k{round}-{sender}-{number}\""));
                        let request = format!(
                            "POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        let Some(true) = exchange(&mut socket, &request) else { return };
                        confirmed.lock().expect("no panic").push(body);
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            }
            thread::sleep(Duration::from_millis(150 + 70 * round));
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(server.child.id().cast_signed()).expect("a process"),
                Signal::KILL,
            )
            .expect("it is killed");
            is_over.store(true, Ordering::Relaxed);
        });
        server.kill();
        acknowledged.extend(confirmed.into_inner().expect("no panic"));
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let mut text = String::new();
    for body in &acknowledged {
        writeln!(text, "{body}").expect("memory");
    }
    program.write("acknowledged.ndjson", &text);
    let (_, document) =
        program.json(&["ingest", program.path("acknowledged.ndjson").to_str().expect("UTF-8")]);
    assert_eq!(document["total"]["stored"].as_u64(), Some(0), "{document}");
    assert_eq!(document["total"]["duplicates"].as_u64(), Some(acknowledged.len() as u64), "{document}");
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

/// Sends a request; whether it was acknowledged, `None` where the connection ended first.
fn exchange(socket: &mut TcpStream, request: &str) -> Option<bool> {
    socket.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(reply) = parse_reply(&bytes) {
            return Some(reply.status == 202);
        }
        match socket.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

#[test]
fn while_the_clock_shows_what_no_event_can_have_everything_is_answered_with_503() {
    for seconds in [-86_400, 9_300_000_000] {
        let program = program("");
        let mut command = program.command(&["run"]);
        command.env("LD_PRELOAD", clock_shim(&program.path(""), seconds));
        let server = Listening::of(command);
        // Nobody asked before the clock went wrong.
        program.write("turned", "");
        for reply in [server.get("/healthz"), server.post(EVENTS, lines(1).as_bytes())] {
            assert_eq!(reply.status, 503, "{seconds} {reply:?}");
            let why = reply.document["error"].as_str().expect("a reason");
            assert!(why.contains("the clock of this host") && !reply.head.contains("date: "), "{reply:?}");
        }
        std::fs::remove_file(program.path("turned")).expect("the clock is right again");
        assert!(server.get("/healthz").head.contains("date: "));
        assert_eq!(server.post_again(&lines(1)).status, 202);
        assert!(!server.stop().contains("panicked"));
    }
}

#[test]
fn a_full_disk_or_backlog_is_never_acknowledged() {
    let floor = program("");
    floor.write(
        "c.toml",
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 9000000000000000000\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    let server = Listening::start(&floor);
    let started = Instant::now();
    for _ in 0..2 {
        let reply = server.post_again(&event(0));
        assert_eq!(reply.status, 429, "{reply:?}");
        assert!(reply.head.contains("retry-after: 60"), "{reply:?}");
    }
    let minutes = started.elapsed().as_secs() as usize / 60;
    let log = server.stop();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("what is posted is refused")).collect();
    assert!((1..=1 + minutes).contains(&told.len()), "one line a minute: {log}");
    let line = told[0];
    let path = floor.path("passbridge.db");
    for part in ["WARN", path.to_str().expect("UTF-8"), "free_bytes=", "min_free_bytes=9000000000000000000"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    let backlog = program("backlog_max_events = 5\n");
    let server = Listening::start(&backlog);
    assert_eq!(server.post_again(&lines(5)).status, 202);
    let started = Instant::now();
    let refused = loop {
        let reply = server.post_again(&event(0));
        if reply.status != 202 {
            break reply;
        }
        assert!(started.elapsed() < PATIENCE, "the backlog is never counted");
        thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        refused.document["error"].as_str().expect("why").contains("serve.backlog_max_events"),
        "{refused:?}"
    );
    server.stop();
}

#[test]
fn a_disk_that_refuses_writes_costs_nothing_that_was_acknowledged() {
    let program = program("");
    // No file may grow beyond 1 MiB, as if the disk were full.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_passbridge"))
        .arg("--config")
        .arg(program.path("c.toml"))
        .arg("run")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let server = Listening::of(limited);
    let (mut acknowledged, mut refusals) = (0, 0);
    for round in 0..60 {
        let body = lines(500).replace("\"event_id\":\"e", &format!("\"event_id\":\"r{round}-"));
        let reply = server.post(EVENTS, body.as_bytes());
        match reply.status {
            202 => acknowledged += reply.document["stored"].as_u64().expect("a number"),
            429 | 503 => {
                assert!(reply.head.contains("retry-after: "), "{reply:?}");
                refusals += 1;
            }
            other => panic!("{other}: {reply:?}"),
        }
    }
    assert!(refusals > 0 && acknowledged > 0, "{refusals} {acknowledged}");
    server.kill();
    assert_eq!(pending(&program), acknowledged);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn a_stop_answers_the_requests_under_way() {
    let program = program("");
    let server = Listening::start(&program);
    let body = event(0);
    let mut socket = server.connect();
    write!(
        socket,
        "POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("a head");
    // So that the request is under way when the signal comes.
    assert_eq!(server.get("/healthz").status, 200);
    thread::sleep(Duration::from_millis(200));
    send(&server.child, Signal::TERM);
    let address = server.address;
    let started = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "it still lets senders in");
        thread::sleep(Duration::from_millis(20));
    }
    socket.write_all(body.as_bytes()).expect("a body");
    assert_eq!(read_reply(&mut socket).status, 202);
    server.stop();
    assert_eq!(pending(&program), 1);
}

#[test]
fn nothing_is_acknowledged_once_the_log_of_the_buffer_was_emptied() {
    let program = program("");
    let mut server = Listening::start(&program);
    assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 202);
    std::fs::File::create(program.path("passbridge.db-wal")).expect("it is emptied");
    assert_eq!(server.post(EVENTS, event(1).as_bytes()).status, 503);
    assert_eq!(server.child.wait().expect("it ends by itself").code(), Some(1));
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn nothing_is_acknowledged_once_the_log_of_the_buffer_was_removed() {
    let program = program("");
    let mut server = Listening::start(&program);
    assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 202);
    std::fs::remove_file(program.path("passbridge.db-shm")).expect("it is removed");
    assert_eq!(server.post(EVENTS, event(1).as_bytes()).status, 503);
    assert_eq!(server.get("/healthz").status, 503);
    assert_eq!(server.child.wait().expect("it ends by itself").code(), Some(1));
    assert_eq!(pending(&program), 1);
}

#[test]
fn a_server_that_could_let_anybody_in_does_not_start() {
    let program = Program::with("[serve]\ningest = true\nlisten = \"127.0.0.1:0\"\n");
    let refused = program.run(&["run"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("serve.tokens_file"), "{}", refused.err);
    for (config, why) in [
        ("[serve]\ningest = true\n", "serve.listen"),
        ("[serve]\nlisten = \"localhost\"\n", "127.0.0.1:8090"),
        (
            "[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"c.toml\"\n",
            "no token in line 1",
        ),
    ] {
        program.write("c.toml", config);
        let refused = program.run(&["run"]);
        assert_eq!(refused.code, 2, "{config}");
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    program.write("c.toml", &format!("[serve]\nlisten = \"{address}\"\n"));
    let refused = done(program.command(&["run"]));
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("cannot listen on"), "{}", refused.err);
}

/// Starts it with so many files that it may have open, half of them connections.
fn with_files(program: &Program, files: u32) -> Listening {
    let inner = program.command(&["run"]);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""));
    command.arg(inner.get_program()).args(inner.get_args()).env_clear().current_dir("/");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Listening::of(command)
}

#[test]
fn the_health_is_told_whatever_the_others_do() {
    let program = program("");
    let server = with_files(&program, 200);
    let mut sockets: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    for socket in &mut sockets {
        // They ask and never read; those beyond the limit may find themselves closed.
        drop(write!(socket, "{}", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20)));
    }
    let mut monitor = server.connect();
    monitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    write!(monitor, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    assert_eq!(read_reply(&mut monitor).status, 200);
    let refused = server.post(EVENTS, event(0).as_bytes());
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("retry-after"), "{refused:?}");
    drop(sockets);
    let started = Instant::now();
    while server.post(EVENTS, event(0).as_bytes()).status != 202 {
        assert!(started.elapsed() < PATIENCE, "nobody gets a place again");
        thread::sleep(Duration::from_millis(50));
    }
    server.stop();
}

#[test]
fn a_sender_that_never_reads_is_let_go() {
    let program = program("request_timeout_seconds = 1\n");
    let server = Listening::start(&program);
    let mut socket = server.connect();
    socket.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let requests = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let started = Instant::now();
    loop {
        match socket.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(started.elapsed() < PATIENCE, "it is kept");
    }
    assert_eq!(server.get("/healthz").status, 200);
    server.stop();
}

#[test]
fn a_buffer_that_is_held_is_said_in_time() {
    let program = program("request_timeout_seconds = 1\n");
    let server = Listening::start(&program);
    let other = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is held");
    let reply = server.post(EVENTS, event(0).as_bytes());
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.document["error"].as_str().expect("why").contains("send it again"), "{reply:?}");
    assert_eq!(server.get("/healthz").status, 200, "it can be read");
    other.execute_batch("ROLLBACK").expect("it is let go");
    let started = Instant::now();
    while server.post(EVENTS, event(0).as_bytes()).status != 202 {
        assert!(started.elapsed() < PATIENCE, "it does not come back");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(pending(&program), 1);
    server.stop();
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_small_body_that_unpacks_to_a_large_one_takes_little_memory() {
    let program = program("request_timeout_seconds = 600\n");
    let server = Listening::start(&program);
    // Four that differ: a reject that is sent again is not kept again.
    let lines = ["{}\n", "{ }\n"].map(|line| gzip(line.repeat(500_000).as_bytes()));
    let arrays = ["0", "1"].map(|number| {
        gzip(format!("[{{\"a\":{number}}},{}0]", format!("{number},").repeat(499_998)).as_bytes())
    });
    for too_many in [b"{}\n".repeat(600_000), format!("[{{}},{}0]", "0,".repeat(600_000)).into_bytes()] {
        let reply = server.post(EVENTS, &gzip(&too_many));
        assert_eq!(reply.status, 400, "{reply:?}");
        let why = reply.document["error"].as_str().unwrap_or_default();
        assert!(why.contains("520000 are taken at once"), "{reply:?}");
    }
    thread::scope(|scope| {
        for body in lines.iter().chain(&arrays) {
            let server = &server;
            scope.spawn(move || {
                let reply = server.post(EVENTS, body);
                assert_eq!(reply.status, 400, "{reply:?}");
                let (rejected, left_out) = (&reply.document["rejected"], &reply.document["rejects_not_kept"]);
                let (rejected, left_out) =
                    (rejected.as_u64().expect("a count"), left_out.as_u64().expect("a count"));
                assert!(rejected == 500_000 && rejected - left_out == 10_000, "{rejected} {left_out}");
                assert_eq!(reply.document["errors"].as_array().map(Vec::len), Some(100));
            });
        }
    });
    let peak = peak_kib(&server.child);
    assert!(peak < 200 << 10, "{peak} KiB");
    server.stop();
    let kept = std::fs::read_dir(program.path("rejects"))
        .expect("rejects")
        .map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text").lines().count());
    assert_eq!(kept.sum::<usize>(), 40_000);
}

#[test]
fn tokens_that_are_taken_away_let_nobody_in_and_strangers_are_logged() {
    for gone in ["", "# none\n", "short\n"] {
        let program = program("");
        let server = Listening::start(&program);
        assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 202);
        if gone.is_empty() {
            std::fs::remove_file(program.path("tokens")).expect("it is removed");
        } else {
            program.write("tokens", gone);
        }
        let started = Instant::now();
        while server.post(EVENTS, event(0).as_bytes()).status != 401 {
            assert!(started.elapsed() < PATIENCE, "{gone:?}: the old token is still good");
            thread::sleep(Duration::from_millis(200));
        }
        program.write("tokens", &format!("{TOKEN}\nnot a token of anybody\n"));
        // The file is read again after five seconds at the latest.
        let mended_at = Instant::now();
        while mended_at.elapsed() < Duration::from_secs(6) {
            assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 401);
            thread::sleep(Duration::from_millis(500));
        }
        program.write("tokens", &format!("{TOKEN}\n"));
        while server.post(EVENTS, event(0).as_bytes()).status != 202 {
            assert!(started.elapsed() < PATIENCE, "{gone:?}: nobody is let in again");
            thread::sleep(Duration::from_millis(200));
        }
        for _ in 0..20 {
            assert_eq!(server.ask(EVENTS, "Authorization: Bearer guessed-token\r\n", b"").status, 401);
        }
        let log = server.stop();
        let told = log.matches("nobody is let in until serve.tokens_file is mended").count();
        assert!(told == 2 && log.contains("no token in line 2"), "each reason is told once: {log}");
        assert_eq!(log.matches("requests without a token").count(), 1, "{log}");
        assert!(log.contains("127.0.0.1") && !log.contains("guessed-token") && !log.contains(TOKEN), "{log}");
    }
}

#[test]
fn tokens_that_everybody_may_read_are_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, is_warned) in [(0o644, true), (0o640, false)] {
        let program = program("");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(program.path("tokens"), permissions).expect("its mode");
        let server = Listening::start(&program);
        assert_eq!(server.post(EVENTS, event(0).as_bytes()).status, 202);
        let log = server.stop();
        assert_eq!(log.contains("everybody on this host may use the file"), is_warned, "{mode:o} {log}");
    }
}
