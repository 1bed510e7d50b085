//! Connections that break or hang, at every point of a request.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use passbridge::collection::CollectionOptions;
use passbridge::delivery::{Doubt, NotReceived, Outcome};

use super::server::{Peer, Server, success};
use super::{SECOND, connection, host, outcome, outcome_of, retry};

fn is_broken(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ambiguous(Doubt::Broken(_)))
}

fn impatient(url: &str) -> passbridge::collection::Connection {
    host(url, CollectionOptions::new(Duration::from_millis(300))).connection()
}

#[tokio::test]
async fn dia_56_a_refused_connection_is_not_received() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let outcome = impatient(&format!("http://{address}")).send("<request/>".into()).await;
    let Outcome::Retry { cause: NotReceived::Connect(why), retry_after: None } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(why.contains("refused") && why.contains(&address.to_string()), "{why}");
}

#[tokio::test]
async fn dia_56_a_name_without_an_address_is_not_received() {
    let mut connection = host("https://host.invalid", CollectionOptions::new(5 * SECOND)).connection();
    let outcome = connection.send("<request/>".into()).await;
    assert!(matches!(outcome, Outcome::Retry { cause: NotReceived::Resolve(_), .. }), "{outcome:?}");
}

#[tokio::test]
async fn dia_56_a_host_that_does_not_accept_is_not_received() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let patience = Duration::from_millis(100);
    let waiting: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok()).collect();
    let outcome = impatient(&format!("http://{address}")).send("<request/>".into()).await;
    assert_eq!(outcome, retry(NotReceived::Connect(format!("{address}: timed out"))), "{}", waiting.len());
}

#[tokio::test]
async fn dia_56_a_server_that_is_gone_when_the_next_hit_comes_is_not_received() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::start(|peer| {
        peer.request();
        peer.send(success());
    });
    let once = std::thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        drop(listener);
        let upstream = TcpStream::connect(server.address).expect("a server");
        std::thread::scope(|scope| {
            scope.spawn(|| std::io::copy(&mut &client, &mut &upstream));
            let _sent = std::io::copy(&mut &upstream, &mut &client);
            let _gone = client.shutdown(std::net::Shutdown::Both);
        });
    });
    let mut connection = impatient(&format!("http://{address}"));
    assert_eq!(connection.send("1".into()).await, Outcome::Delivered);
    once.join().expect("no panic");
    let outcome = connection.send("2".into()).await;
    assert!(matches!(outcome, Outcome::Retry { cause: NotReceived::Connect(_), .. }), "{outcome:?}");
}

#[tokio::test]
async fn dia_56_a_connection_closed_at_once_is_never_delivered() {
    for _ in 0..20 {
        let outcome = outcome(|_| {}).await;
        assert!(outcome == retry(NotReceived::BeforeFirstByte) || is_broken(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn dia_56_a_reset_in_the_middle_of_the_request_is_in_doubt() {
    let server = Server::start(|peer| peer.read(1000));
    let outcome = connection(&server).send("x".repeat(16 << 20).into()).await;
    assert!(is_broken(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn dia_56_a_break_at_any_byte_of_the_reply_is_in_doubt() {
    for length in 0..success().len() {
        let outcome = outcome(move |peer| {
            peer.request();
            peer.send(&success()[..length]);
        })
        .await;
        assert!(is_broken(&outcome), "after {length} bytes: {outcome:?}");
    }
}

#[tokio::test]
async fn dia_56_a_reset_in_the_middle_of_the_reply_is_in_doubt() {
    for length in [0, 10, success().len() - 1] {
        let outcome = outcome(move |peer| {
            // All but the last byte is read, so closing resets.
            peer.read_until("<request/");
            peer.send(&success()[..length]);
        })
        .await;
        assert!(is_broken(&outcome), "after {length} bytes: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_in_doubt() {
    for garbage in
        ["\0\0\0\0\0\0\0\0", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 two hundred\r\n\r\n", "\r\n\r\n\r\n"]
    {
        let outcome = outcome(move |peer| {
            peer.request();
            peer.send(garbage);
        })
        .await;
        assert!(is_broken(&outcome), "{garbage:?}: {outcome:?}");
    }
    let endless_head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    let outcome = outcome_of(endless_head).await;
    assert!(is_broken(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn dia_56_a_reply_that_does_not_come_in_time_is_in_doubt() {
    for length in [0, 12, success().len() - 1] {
        let server = Server::start(move |peer| {
            if peer.number > 1 {
                return peer.serve();
            }
            peer.request();
            peer.send(&success()[..length]);
            peer.until_closed();
        });
        let mut connection = impatient(&server.url());
        assert_eq!(connection.send("1".into()).await, Outcome::Ambiguous(Doubt::TimedOut), "{length}");
        assert_eq!(connection.send("2".into()).await, Outcome::Delivered, "{length}");
        assert_eq!((server.bodies(), server.connections()), (vec!["1".into(), "2".into()], 2));
    }
}

#[tokio::test]
async fn the_time_limit_is_each_requests_own() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            std::thread::sleep(Duration::from_millis(120));
            peer.send(success());
        }
    });
    let mut connection = impatient(&server.url());
    for _ in 0..5 {
        assert_eq!(connection.send("<request/>".into()).await, Outcome::Delivered);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_that_the_server_never_reads_times_out_in_doubt() {
    let server = Server::start(|peer| {
        peer.read(1);
        std::thread::sleep(SECOND);
    });
    let outcome = impatient(&server.url()).send("x".repeat(16 << 20).into()).await;
    assert_eq!(outcome, Outcome::Ambiguous(Doubt::TimedOut));
}

#[tokio::test]
async fn a_send_that_is_dropped_closes_its_connection() {
    let server = Server::start(|peer| {
        if peer.number > 1 {
            return peer.serve();
        }
        peer.request();
        peer.until_closed();
    });
    let mut connection = connection(&server);
    let dropped = tokio::time::timeout(Duration::from_millis(50), connection.send("1".into())).await;
    assert!(dropped.is_err());
    server.wait_for_close();
    assert_eq!(connection.send("2".into()).await, Outcome::Delivered);
    assert_eq!(server.bodies(), ["1", "2"]);
}

#[tokio::test]
async fn a_reply_before_the_whole_request_was_read_counts_and_ends_the_connection() {
    let server = Server::start(|peer: &mut Peer| {
        if peer.number > 1 {
            return peer.serve();
        }
        peer.read(1000);
        peer.send("HTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n");
        // Reading on would let a fast client send all of its request, and then it may keep the connection.
        std::thread::sleep(SECOND);
    });
    let mut connection = connection(&server);
    let outcome = connection.send("x".repeat(16 << 20).into()).await;
    let retry_after = Some(3 * SECOND);
    assert_eq!(outcome, Outcome::Retry { cause: NotReceived::Status(429), retry_after });
    assert_eq!(connection.send("2".into()).await, Outcome::Delivered);
    assert_eq!((server.bodies(), server.connections()), (vec!["2".into()], 2));
}

#[tokio::test]
async fn informational_replies_without_end_end_the_request_and_leave_it_in_doubt() {
    let server = Server::start(|peer| {
        peer.request();
        // As fast as the socket takes them, so that there is always one more to read.
        (0..40_000).for_each(|_| peer.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(64)));
        peer.send(success());
    });
    let began = std::time::Instant::now();
    let outcome = impatient(&server.url()).send("<request/>".into()).await;
    assert!(is_broken(&outcome) || outcome == Outcome::Ambiguous(Doubt::TimedOut), "{outcome:?}");
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
}
