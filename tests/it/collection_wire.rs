//! What collection sends, and what it makes of every way in which a server can answer or fail to.

mod broken;
mod conformance;
pub(crate) mod server;
mod ways;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use passbridge::collection::{Collection, CollectionOptions, Connection, Host};
use passbridge::delivery::{DeadReason, Doubt, NotReceived, Outcome, SuiteFault};
use tokio::time::Instant;

use server::{Peer, SUCCESS, Server, reply, success};

const SECOND: Duration = Duration::from_secs(1);

fn host(url: &str, options: CollectionOptions) -> Arc<Host> {
    let url = url.parse().expect("a url");
    Collection::new(options).expect("a collection").host(&url).expect("a way there")
}

fn connection(server: &Server) -> Connection {
    host(&server.url(), CollectionOptions::new(10 * SECOND)).connection()
}

/// What becomes of one hit when `script` answers.
async fn outcome(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Outcome {
    connection(&Server::start(script)).send("<request/>".into()).await
}

/// What becomes of one hit that gets this reply, after which the server waits.
async fn outcome_of(reply: impl AsRef<[u8]> + Send + Sync + 'static) -> Outcome {
    outcome(move |peer| {
        peer.request();
        peer.send(&reply);
        peer.until_closed();
    })
    .await
}

fn retry(cause: NotReceived) -> Outcome {
    Outcome::Retry { cause, retry_after: None }
}

#[tokio::test]
async fn dia_01_03_04_60_61_a_request_is_one_fixed_post() {
    let server = Server::start(Peer::serve);
    let url = format!("http://localhost:{}", server.address.port());
    let mut connection = host(&url, CollectionOptions::default()).connection();
    assert_eq!(connection.send("<request>é</request>".into()).await, Outcome::Delivered);

    let sent = format!(
        "POST /b/ss//6 HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/xml\r\naccept: application/xml\r\n\
         user-agent: passbridge/{}\r\ncontent-length: 21\r\n\r\n<request>é</request>",
        server.address.port(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(server.requests(), [sent]);
}

#[tokio::test]
async fn dia_04_a_large_body_is_sent_whole_and_without_expect() {
    let server = Server::start(Peer::serve);
    let body = "x".repeat(3 << 20);
    assert_eq!(connection(&server).send(body.clone().into()).await, Outcome::Delivered);
    assert!(!server.requests()[0].to_ascii_lowercase().contains("expect"));
    assert!(server.bodies() == [body]);
}

#[tokio::test]
async fn dia_59_one_connection_carries_many_requests() {
    let server = Server::start(Peer::serve);
    let mut connection = connection(&server);
    for hit in 0..50 {
        assert_eq!(connection.send(format!("<hit>{hit}</hit>").into()).await, Outcome::Delivered);
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 50));
}

#[tokio::test]
async fn dia_58_a_connection_closed_between_requests_costs_nothing() {
    for (requests_per_connection, header) in [(1, ""), (2, ""), (5, ""), (1, "Connection: close\r\n")] {
        let server = Server::start(move |peer| {
            for _ in 0..requests_per_connection {
                if peer.request().is_none() {
                    return;
                }
                peer.send(reply("200 OK", header, SUCCESS));
            }
        });
        let mut connection = connection(&server);
        for hit in 0..10 {
            assert_eq!(connection.send(hit.to_string().into()).await, Outcome::Delivered);
            if (hit + 1) % requests_per_connection == 0 {
                server.wait_for_close();
            }
        }
        let hits: Vec<_> = (0..10).map(|hit| hit.to_string()).collect();
        assert_eq!(server.bodies(), hits, "{requests_per_connection} {header}");
        assert_eq!(server.connections(), 10 / requests_per_connection, "{requests_per_connection} {header}");
    }
}

#[tokio::test]
async fn dia_58_a_reply_that_nobody_asked_for_costs_nothing() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.send(success() + &reply("408 Request Timeout", "Connection: close\r\n", "too slow"));
        }
    });
    let mut connection = connection(&server);
    for hit in ["1", "2", "3"] {
        assert_eq!(connection.send(hit.into()).await, Outcome::Delivered);
    }
    assert_eq!((server.bodies(), server.connections()), (vec!["1".into(), "2".into(), "3".into()], 3));
}

#[tokio::test]
async fn dia_59_a_connection_idle_beyond_the_servers_promise_is_not_used_again() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.send(reply("200 OK", "Keep-Alive: timeout=0\r\n", SUCCESS));
        }
    });
    let mut connection = connection(&server);
    for _ in 0..3 {
        assert_eq!(connection.send("<request/>".into()).await, Outcome::Delivered);
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn dia_48_to_55_a_complete_reply_decides() {
    let failure = |reason: &str| format!("<status>FAILURE</status><reason>{reason}</reason>");
    let retry_after = |status, seconds| Outcome::Retry {
        cause: NotReceived::Status(status),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    for (status, headers, body, expected) in [
        ("200 OK", "Status: SUCCESS\r\n", SUCCESS.into(), Outcome::Delivered),
        ("200 OK", "Status: SUCCESS\r\n", String::new(), Outcome::Ambiguous(Doubt::Unreadable(200))),
        ("200 OK", "", failure("NO account"), Outcome::SuiteFault(SuiteFault::NoAccount)),
        ("200 OK", "", failure("Syntax Error"), Outcome::Rejected(DeadReason::Adobe("Syntax Error".into()))),
        ("200 OK", "", "<status>FAILURE</status>".into(), Outcome::BareFailure),
        ("404 Not Found", "", "no such page".into(), Outcome::SuiteFault(SuiteFault::NotFound)),
        ("403 Forbidden", "", SUCCESS.into(), Outcome::Refused { status: 403 }),
        ("408 Request Timeout", "", String::new(), retry(NotReceived::Status(408))),
        ("429 Too Many Requests", "Retry-After: 7\r\n", String::new(), retry_after(429, 7)),
        ("500 Oops", "", String::new(), retry(NotReceived::Status(500))),
        ("502 Bad Gateway", "", String::new(), Outcome::Ambiguous(Doubt::Status(502))),
        ("503 Busy", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", String::new(), retry_after(503, 0)),
        ("504 Gateway Timeout", "Retry-After: 7\r\n", String::new(), Outcome::Ambiguous(Doubt::Status(504))),
    ] {
        assert_eq!(outcome_of(reply(status, headers, &body)).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn dia_53_a_redirect_is_not_followed() {
    let elsewhere = Server::start(Peer::serve);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/b/ss//6?pccr=true\r\n", elsewhere.url());
        let expected = Outcome::Ambiguous(Doubt::Status(status));
        assert_eq!(outcome_of(reply(&format!("{status} Elsewhere"), &location, "")).await, expected);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn dia_57_a_reply_in_chunks_of_any_boundaries_is_read_whole() {
    for boundary in 1..=SUCCESS.len() {
        let chunks: String = SUCCESS
            .as_bytes()
            .chunks(boundary)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
            .collect();
        let reply = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        assert_eq!(outcome_of(reply).await, Outcome::Delivered, "chunks of {boundary}");
    }
}

#[tokio::test]
async fn dia_57_a_reply_that_trickles_in_is_read_whole_and_its_connection_reused() {
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3a\r\n{SUCCESS}\r\n0\r\n\r\n");
    let replies = [success(), chunked];
    let server = Server::start(move |peer| {
        for reply in &replies {
            peer.request();
            reply.as_bytes().chunks(1).for_each(|byte| peer.send(byte));
        }
        peer.until_closed();
    });
    let mut connection = connection(&server);
    assert_eq!(connection.send("1".into()).await, Outcome::Delivered);
    assert_eq!(connection.send("2".into()).await, Outcome::Delivered);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn interim_replies_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(outcome_of(interim.to_owned() + &success()).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_reply_without_a_length_ends_with_its_connection() {
    let until_close = |text: &'static str| {
        move |peer: &mut Peer| {
            peer.request();
            peer.send(text);
        }
    };
    let whole = "HTTP/1.0 200 OK\r\n\r\n<status>SUCCESS</status>";
    assert_eq!(outcome(until_close(whole)).await, Outcome::Delivered);
    let cut = "HTTP/1.0 200 OK\r\n\r\n<status>SUCCESS";
    assert_eq!(outcome(until_close(cut)).await, Outcome::Ambiguous(Doubt::Unreadable(200)));
}

#[tokio::test]
async fn a_huge_reply_is_not_read_to_its_end() {
    for (status, expected) in [
        ("200 OK", Outcome::Ambiguous(Doubt::Unreadable(200))),
        ("503 Busy", retry(NotReceived::Status(503))),
        ("404 Not Found", Outcome::SuiteFault(SuiteFault::NotFound)),
    ] {
        let server = Server::start(move |peer| {
            peer.request();
            peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 1099511627776\r\n\r\n{SUCCESS}"));
            peer.send(" ".repeat(1 << 20));
            peer.until_closed();
        });
        let mut connection = connection(&server);
        assert_eq!(connection.send("<request/>".into()).await, expected);
        assert_eq!(connection.send("<request/>".into()).await, expected);
        assert_eq!(server.connections(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_host_is_one_for_all_who_hold_it() {
    let options = CollectionOptions { rate_per_host: NonZeroU32::new(1), ..CollectionOptions::default() };
    let collection = Collection::new(options).expect("a collection");
    let url = "http://127.0.0.1:1".parse().expect("a url");
    let now = Instant::now();

    let host = collection.host(&url).expect("a way there");
    assert_eq!(host.limiter.reserve(now), Duration::ZERO);
    let connection = host.connection();
    drop(host);
    assert!(
        collection.host(&url).expect("a way there").limiter.reserve(now) > Duration::ZERO,
        "a connection keeps its host"
    );
    drop(connection);
    assert_eq!(
        collection.host(&url).expect("a way there").limiter.reserve(now),
        Duration::ZERO,
        "nobody holds it: it begins anew"
    );
}
