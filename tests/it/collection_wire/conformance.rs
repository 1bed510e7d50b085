//! Every shape of an HTTP/1 reply: what becomes of the hit, and whether the next one goes over the same connection. Each is
//! sent over plain TCP and over TLS, and is also read cut in two at each of its bytes.

use std::io;

use passbridge::collection::{Connection, Reply, ReplyReader};
use passbridge::delivery::{Doubt, NotReceived, Outcome};
use passbridge::web::ProxySettings;

use super::server::{Peer, SUCCESS, Server};
use super::ways::Authority;
use super::{Duration, connection, outcome, reply};

/// What the server does after its reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Waits,
    Closes,
}

/// Whether the next hit goes over the same connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Same,
    New,
}

struct Case {
    reply: Vec<u8>,
    then: Then,
    expected: Outcome,
    next: Next,
}

use Next::{New, Same};
use Then::{Closes, Waits};

fn case(reply: impl AsRef<[u8]>, then: Then, expected: Outcome, next: Next) -> Case {
    Case { reply: reply.as_ref().to_vec(), then, expected, next }
}

/// A reply with SUCCESS and its length, after these header lines.
fn with(headers: &str) -> String {
    reply("200 OK", headers, SUCCESS)
}

/// A reply with these header lines alone, and what follows the head.
fn raw(headers: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{rest}")
}

fn chunked(rest: &str) -> String {
    raw("Transfer-Encoding: chunked\r\n", rest)
}

fn broken(why: &str) -> Outcome {
    Outcome::Ambiguous(Doubt::Broken(why.to_owned()))
}

fn unreadable(status: u16) -> Outcome {
    Outcome::Ambiguous(Doubt::Unreadable(status))
}

/// SUCCESS with spaces behind it.
fn padded(bytes: usize) -> String {
    SUCCESS.to_owned() + &" ".repeat(bytes - SUCCESS.len())
}

/// Replies that are read whole, and after which the connection is used again.
fn lasting() -> Vec<Case> {
    let success = |reply: String| case(reply, Waits, Outcome::Delivered, Same);
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = format!("3a\r\n{SUCCESS}\r\n0\r\n");
    let (start, end) = SUCCESS.split_at(16);
    let fields = "X: y\r\n".repeat(99);
    let busy = Outcome::Retry { cause: NotReceived::Status(503), retry_after: Some(Duration::from_secs(7)) };
    vec![
        success(with("")),
        success(with("Connection: keep-alive\r\nKeep-Alive: timeout=15, max=100\r\n")),
        success(with("Content-Length: 58\r\n")),
        success(raw("CONTENT-LENGTH:\t 58 \t\r\n", SUCCESS)),
        success(raw("Content-Length: 58, 58\r\nContent-Length: 0058\r\n", SUCCESS)),
        success(format!("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 58\r\n\r\n{SUCCESS}")),
        success(format!("HTTP/1.1 200\r\nContent-Length: 58\r\n\r\n{SUCCESS}")),
        success(format!("\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 58\r\n\r\n{SUCCESS}")),
        success(format!("HTTP/1.1 200 OK\nContent-Length: 58\n\n{SUCCESS}")),
        success(with(&fields)),
        success(chunked(&format!("{last}\r\n"))),
        success(raw("transfer-encoding: gzip\r\nTransfer-Encoding: x, CHUNKED\r\n", &format!("{last}\r\n"))),
        success(chunked(&format!("003A ;a=\"b\"\r\n{SUCCESS}\r\n000\r\n\r\n"))),
        success(chunked(&format!("10\r\n{start}\r\n2a\r\n{end}\r\n0;last\r\nExpires: now\r\nX: y\r\n\r\n"))),
        success(chunked(&format!("{last}{fields}\r\n"))),
        success(format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{}", with(""))),
        success(interim.repeat(20) + &with("")),
        success(reply("200 OK", "", &padded(64 << 10))),
        success(chunked(&format!("10000\r\n{}\r\n0\r\n\r\n", padded(64 << 10)))),
        case(
            [b"HTTP/1.1 200 Caf\xe9\r\nX: \xe9\xff\r\nContent-Length: 58\r\n\r\n", SUCCESS.as_bytes()]
                .concat(),
            Waits,
            Outcome::Delivered,
            Same,
        ),
        case(reply("503 Busy", "retry-after: 7\r\n", "busy"), Waits, busy, Same),
        case(reply("200 OK", "", ""), Waits, unreadable(200), Same),
        case("HTTP/1.1 204 No Content\r\nContent-Length: 58\r\n\r\n", Waits, unreadable(204), Same),
        case(
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            Waits,
            Outcome::Ambiguous(Doubt::Status(304)),
            Same,
        ),
    ]
}

/// Replies that are read whole, and after which nothing more is asked over the connection.
fn last() -> Vec<Case> {
    let success = |reply: String, then| case(reply, then, Outcome::Delivered, New);
    let too_long = |reply: String| case(reply, Waits, unreadable(200), New);
    let long = padded((64 << 10) + 1);
    let chunk = format!("3a\r\n{SUCCESS}\r\n0\r\n\r\n");
    let (half, rest) = long.split_at(32 << 10);
    vec![
        success(with("Connection: close\r\n"), Waits),
        success(with("Connection: upgrade,\tClose\r\n"), Waits),
        success(with("Connection: close\r\nConnection: keep-alive\r\n"), Waits),
        success(with("Keep-Alive: timeout=0\r\n"), Waits),
        success(with("").replace("HTTP/1.1", "HTTP/1.0"), Waits),
        success(with("") + "HTTP/1.1 408 Request Timeout\r\n\r\n", Waits),
        success(with("") + "\r\n", Waits),
        success(chunked(&format!("{chunk}junk")), Waits),
        success(raw("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &chunk), Waits),
        success(raw("", SUCCESS), Closes),
        success(raw("Connection: keep-alive\r\n", SUCCESS), Closes),
        success(raw("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", SUCCESS), Closes),
        success(raw("", SUCCESS).replace("HTTP/1.1", "HTTP/1.0"), Closes),
        case(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            Waits,
            Outcome::Ambiguous(Doubt::Status(101)),
            New,
        ),
        too_long(reply("200 OK", "", &long)),
        too_long(raw("Content-Length: 1099511627776\r\n", SUCCESS)),
        too_long(raw("", &long)),
        too_long(chunked(&format!("10001\r\n{SUCCESS}"))),
        too_long(chunked(&format!("ffffffffffffffff\r\n{SUCCESS}"))),
        too_long(chunked(&format!("8000\r\n{half}\r\n8001\r\n{rest}"))),
    ]
}

/// Replies that cannot be trusted: the hit is in doubt.
fn refused() -> Vec<Case> {
    let refused = |reply: String, why: &str| case(reply, Waits, broken(why), New);
    let length = |value: &str| {
        refused(raw(&format!("Content-Length: {value}\r\n"), SUCCESS), "no clear Content-Length")
    };
    let chunk = |rest: &str| refused(chunked(rest), "bad chunk");
    let (name, value) = ("invalid header name", "invalid header value");
    let long = "x".repeat(68 << 10);
    vec![
        length("57\r\nContent-Length: 58"),
        length("58, 59"),
        length("58,"),
        length(""),
        length("+58"),
        length("-58"),
        length("5 8"),
        length("0x3a"),
        length("99999999999999999999"),
        chunk(&format!("\r\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!(";a\r\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!("-3a\r\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!("3a\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!("3a;a\nb\r\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!("39\r\n{SUCCESS}\r\n0\r\n\r\n")),
        chunk(&format!("3a\r\n{SUCCESS}xx0\r\n\r\n")),
        chunk(&format!("00000000000000003a\r\n{SUCCESS}\r\n0\r\n\r\n")),
        refused(chunked("0\r\nno field\r\n\r\n"), name),
        refused(chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))), "too many headers"),
        refused(
            chunked(&format!("1;{}\r\nx\r\n", "x".repeat(80)).repeat(4000)),
            "the server sends without end",
        ),
        refused(chunked(&format!("0\r\nX: {}", long.repeat(4))), "the server sends without end"),
        refused(
            raw("Transfer-Encoding: chunked\r\n", "").replace("1.1", "1.0"),
            "a transfer coding in HTTP/1.0",
        ),
        refused(with("X: a\r\n folded\r\n"), name),
        refused(with("X : a\r\n"), name),
        refused(with("no field\r\n"), name),
        refused(with("X: \0\r\n"), value),
        refused(with(&"X: y\r\n".repeat(100)), "too many headers"),
        refused(with(&format!("X: {long}\r\n")), "its head is too long"),
        refused(
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(21) + &with(""),
            "interim replies without end, or no status",
        ),
        refused(reply("099 OK", "", SUCCESS), "interim replies without end, or no status"),
        refused(reply("20 OK", "", SUCCESS), "invalid response status"),
        refused(with("").replace("HTTP/1.1", "HTTP/2.0"), "invalid HTTP version"),
        refused(SUCCESS.to_owned(), "invalid HTTP version"),
        case(raw("Content-Length: 59\r\n", SUCCESS), Closes, broken("the server closed it"), New),
        case(chunked(&format!("3a\r\n{SUCCESS}\r\n0\r\n")), Closes, broken("the server closed it"), New),
        case("HTTP/1.1 100 Continue\r\n\r\n", Closes, broken("the server closed it"), New),
    ]
}

fn cases() -> Vec<Case> {
    lasting().into_iter().chain(last()).chain(refused()).collect()
}

fn script(case: &Case) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    let (reply, then) = (case.reply.clone(), case.then);
    move |peer| {
        while peer.request().is_some() {
            peer.send(&reply);
            if then == Closes {
                return peer.say_end();
            }
        }
    }
}

/// The first bytes of a reply, to name it where it fails.
fn shown(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply).into_owned();
    format!("{:?} ({} bytes)", text.chars().take(200).collect::<String>(), reply.len())
}

/// Sends two hits for the case, and says what differs from what it expects.
async fn differs(case: &Case, server: &Server, mut connection: Connection) -> Option<String> {
    let outcomes = [connection.send("1".into()).await, connection.send("2".into()).await];
    let next = if server.connections() == 1 { Same } else { New };
    let is_right = outcomes.iter().all(|outcome| *outcome == case.expected) && next == case.next;
    (!is_right).then(|| format!("{}: {outcomes:?}, {next:?}", shown(&case.reply)))
}

#[tokio::test]
async fn each_reply_has_its_outcome_over_plain_tcp() {
    let mut failures = Vec::new();
    for case in cases() {
        let server = Server::start(script(&case));
        failures.extend(differs(&case, &server, connection(&server)).await);
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn each_reply_has_the_same_outcome_over_tls() {
    let authority = Authority::new("trusted");
    let config = authority.server("localhost");
    let mut failures = Vec::new();
    for case in cases() {
        let server = Server::start_tls(config.clone(), script(&case));
        let connection = authority.connection(&server, ProxySettings::default());
        failures.extend(differs(&case, &server, connection).await);
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Over TLS, a body without a length may have been cut off by anybody, unless the server says that it ends.
#[tokio::test]
async fn a_body_without_a_length_is_in_doubt_where_tls_was_cut_off() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), |peer| {
        peer.request();
        peer.send(raw("", SUCCESS));
    });
    let sent = authority.connection(&server, ProxySettings::default()).send("1".into()).await;
    assert_eq!(sent, broken("the server closed it"));
}

/// Reads these pieces, and then, where `then` says so, the end.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, then: Then) -> io::Result<Option<Reply>> {
    let mut reader = ReplyReader::default();
    let mut pieces = pieces.filter(|piece| !piece.is_empty());
    while let Some(piece) = pieces.next() {
        if let Some(reply) = reader.feed(piece)? {
            let is_behind = pieces.next().is_some();
            return Ok(Some(Reply { idle_max: reply.idle_max.filter(|_| !is_behind), ..reply }));
        }
    }
    if then == Closes { reader.feed(&[]) } else { Ok(None) }
}

#[test]
fn a_reply_is_the_same_wherever_it_is_cut() {
    for Case { reply, then, expected, .. } in cases() {
        let whole = read([&*reply].into_iter(), then);
        let is_broken = matches!(expected, Outcome::Ambiguous(Doubt::Broken(_)));
        assert_eq!(matches!(whole, Ok(Some(_))), !is_broken, "{}: {whole:?}", shown(&reply));
        let same = |other: io::Result<Option<Reply>>, at| match (&whole, other) {
            (Ok(whole), Ok(other)) => assert_eq!(*whole, other, "{} cut at {at}", shown(&reply)),
            (whole, other) => assert_eq!(whole.is_err(), other.is_err(), "{} cut at {at}", shown(&reply)),
        };
        same(read(reply.chunks(1), then), 1);
        for at in (1..reply.len()).step_by(1 + reply.len() / 4096 * 50) {
            let (head, tail) = reply.split_at(at);
            same(read([head, tail].into_iter(), then), at);
        }
    }
}

#[tokio::test]
async fn a_reply_cut_off_at_any_byte_is_in_doubt() {
    let whole = chunked(&format!("3a\r\n{SUCCESS}\r\n0\r\nX: y\r\n\r\n"));
    for length in 0..whole.len() {
        let start = whole[..length].to_owned();
        let outcome = outcome(move |peer| {
            peer.request();
            peer.send(&start);
        })
        .await;
        assert_eq!(outcome, broken("the server closed it"), "after {length} bytes");
    }
}
