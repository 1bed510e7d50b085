//! The ways to a host: TLS with good and bad certificates, and through proxies.

use std::time::Duration;

use passbridge::collection::{Collection, CollectionError, CollectionOptions, Connection, Roots};
use passbridge::config::Secret;
use passbridge::delivery::{Doubt, NotReceived, Outcome};
use passbridge::web::ProxySettings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::server::{Peer, SUCCESS, Server, reply, success};
use super::{SECOND, host};

/// A certificate authority that the client may be told to trust.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A server's certificate for `name`, which this authority vouches for.
    pub(super) fn server(&self, name: &str) -> ServerConfig {
        self.certified(CertificateParams::new(vec![name.to_owned()]).expect("parameters"))
    }

    fn certified(&self, params: CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = rustls::crypto::ring::default_provider().into();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a server's configuration");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    fn options(&self) -> CollectionOptions {
        CollectionOptions {
            roots: Roots::Extra(self.0.pem().into_bytes()),
            ..CollectionOptions::new(Duration::from_secs(5))
        }
    }

    pub(super) fn connection(&self, server: &Server, proxy: ProxySettings) -> Connection {
        let url = format!("https://localhost:{}", server.address.port());
        host(&url, CollectionOptions { proxy, ..self.options() }).connection()
    }
}

fn cause(outcome: Outcome) -> NotReceived {
    match outcome {
        Outcome::Retry { cause, retry_after: None } => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn dia_02_a_host_with_a_trusted_certificate_is_spoken_to_over_tls() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), Peer::serve);
    let mut connection = authority.connection(&server, ProxySettings::default());
    for hit in 0..20 {
        assert_eq!(connection.send(hit.to_string().into()).await, Outcome::Delivered);
    }
    assert_eq!((server.connections(), server.bodies().len()), (1, 20));
    assert!(server.requests()[0].contains(&format!("host: localhost:{}\r\n", server.address.port())));
}

#[tokio::test]
async fn dia_02_a_certificate_for_another_name_or_of_a_stranger_is_refused() {
    let authority = Authority::new("trusted");
    for (server, said, issuer) in [
        (authority.server("elsewhere.example.com"), "not valid for name \"localhost\", but for", "trusted"),
        (
            Authority::new("stranger").server("localhost"),
            "no root certificate of this system vouches for the host",
            "stranger",
        ),
    ] {
        let server = Server::start_tls(server, Peer::serve);
        let outcome = authority.connection(&server, ProxySettings::default()).send("<request/>".into()).await;
        let NotReceived::Tls(why) = cause(outcome) else { panic!("{said}") };
        assert!(why.contains(said), "{why}");
        assert!(why.contains("the certificate of ") && why.contains(issuer), "{why}");
        assert_eq!(server.requests(), [""; 0]);
    }
}

#[tokio::test]
async fn why_a_certificate_is_refused_is_said_in_words_and_dates() {
    let authority = Authority::new("trusted");
    // Another authority of the same name has another key.
    let forged = Authority::new("trusted").server("localhost");
    let of = |change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        change(&mut params);
        authority.certified(params)
    };
    for (server, said) in [
        (forged, "signature does not fit"),
        (
            of(|params| params.not_after = rcgen::date_time_ymd(2020, 2, 3)),
            "it expired at 2020-02-03T00:00:00Z",
        ),
        (
            of(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1)),
            "it is valid from 2999-01-01T00:00:00Z on",
        ),
        (
            of(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "it is the certificate of a CA",
        ),
    ] {
        let server = Server::start_tls(server, Peer::serve);
        let outcome = authority.connection(&server, ProxySettings::default()).send("<request/>".into()).await;
        let NotReceived::Tls(why) = cause(outcome) else { panic!("{said}") };
        assert!(why.contains(said), "{why}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_speak_tls_is_told_apart_from_one_that_is_silent() {
    let authority = Authority::new("trusted");
    let plain = Server::start(|peer| peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let outcome = authority.connection(&plain, ProxySettings::default()).send("<request/>".into()).await;
    let NotReceived::Tls(why) = cause(outcome) else { panic!("it is plain") };
    assert!(why.starts_with("the answer is not TLS"), "{why}");

    let silent = Server::start(Peer::until_closed);
    let options = CollectionOptions {
        connect_timeout: Duration::from_millis(200),
        ..CollectionOptions::new(5 * SECOND)
    };
    let mut connection = host(&format!("https://{}", silent.address), options).connection();
    let outcome = connection.send("<request/>".into()).await;
    assert_eq!(cause(outcome), NotReceived::Tls("the handshake timed out".to_owned()));
}

#[tokio::test]
async fn dia_58_a_tls_connection_closed_between_requests_costs_nothing() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), |peer| {
        peer.request();
        peer.send(success());
    });
    let mut connection = authority.connection(&server, ProxySettings::default());
    for hit in ["1", "2", "3"] {
        assert_eq!(connection.send(hit.into()).await, Outcome::Delivered);
        server.wait_for_close();
    }
    assert_eq!(server.bodies(), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_long_reply_that_nobody_asked_for_answers_no_hit_over_tls_either() {
    let authority = Authority::new("trusted");
    for length in [100, 1_000, 100_000] {
        let unasked = reply("200 OK", &format!("X-Long: {}\r\n", "x".repeat(length)), SUCCESS);
        let (tell, sent) = std::sync::mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let server = Server::start_tls(authority.server("localhost"), move |peer| {
            while peer.request().is_some() {
                peer.send(success());
                std::thread::sleep(Duration::from_millis(50));
                peer.send(&unasked);
                tell.lock().expect("no panic").send(()).expect("a test");
            }
        });
        let mut connection = authority.connection(&server, ProxySettings::default());
        // In a task of its own, and blocked while the second reply comes: so the runtime has learned nothing of that
        // reply when the next hit goes.
        let sending = tokio::spawn(async move {
            for hit in ["1", "2", "3"] {
                assert_eq!(connection.send(hit.into()).await, Outcome::Delivered);
                sent.recv_timeout(10 * SECOND).expect("a reply that nobody asked for");
            }
        });
        sending.await.expect("every hit is delivered");
        let bodies = vec!["1".into(), "2".into(), "3".into()];
        assert_eq!((server.bodies(), server.connections()), (bodies, 3), "{length}");
    }
}

#[tokio::test]
async fn dia_56_a_tls_connection_that_breaks_after_the_first_byte_is_in_doubt() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), |peer| {
        peer.request();
        peer.send(&success()[..30]);
    });
    let mut connection = authority.connection(&server, ProxySettings::default());
    for body in ["<request/>".to_owned(), "x".repeat(1 << 20)] {
        let outcome = connection.send(body.into()).await;
        assert!(matches!(outcome, Outcome::Ambiguous(Doubt::Broken(_))), "{outcome:?}");
    }
}

#[test]
fn roots_that_are_no_certificates_are_refused() {
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let options = CollectionOptions { roots: Roots::Extra(pem.into()), ..CollectionOptions::default() };
        assert!(matches!(Collection::new(options), Err(CollectionError::BadRoots(_))), "{pem}");
    }
}

/// A proxy that tunnels every CONNECT to `target`, whatever it names, where it carries `authorization`.
fn proxy(target: &Server, authorization: &'static str) -> (Server, std::sync::mpsc::Receiver<String>) {
    let target = target.address;
    let (tell, asked) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::start(move |peer| {
        let Some(head) = peer.read_until("\r\n\r\n") else { return };
        tell.lock().expect("no panic").send(head.clone()).expect("a test");
        if head.contains(authorization) {
            peer.send("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
            peer.tunnel(target);
        } else {
            peer.send(reply(
                "407 Proxy Authentication Required",
                "Proxy-Authenticate: Basic\r\n",
                "who are you?",
            ));
        }
    });
    (server, asked)
}

fn through(proxy: &Server, user: &str, no: &str) -> ProxySettings {
    let https = Secret(format!("http://{user}{}", proxy.address));
    ProxySettings { https, no: no.to_owned(), ..ProxySettings::default() }
}

#[tokio::test]
async fn hits_go_through_the_proxy_in_one_tunnel() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), Peer::serve);
    let (proxy, asked) = proxy(&server, "");
    let mut connection = authority.connection(&server, through(&proxy, "", ""));
    for hit in ["1", "2", "3"] {
        assert_eq!(connection.send(hit.into()).await, Outcome::Delivered);
    }
    let target = format!("localhost:{}", server.address.port());
    assert_eq!(
        asked.try_iter().collect::<Vec<_>>(),
        [format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")]
    );
    assert_eq!((server.bodies(), proxy.connections()), (vec!["1".into(), "2".into(), "3".into()], 1));
}

#[tokio::test]
async fn the_proxy_gets_the_password_and_nobody_else_does() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), Peer::serve);
    let (proxy, _asked) = proxy(&server, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");

    let mut connection = authority.connection(&server, through(&proxy, "Aladdin:open%20sesame@", ""));
    assert_eq!(connection.send("<request/>".into()).await, Outcome::Delivered);
    assert!(!server.requests()[0].to_ascii_lowercase().contains("authorization"));

    let mut connection = authority.connection(&server, through(&proxy, "Aladdin:closed@", ""));
    let refused = cause(connection.send("<request/>".into()).await);
    let why = format!("{}: it answers 407 Proxy Authentication Required", proxy.address);
    assert_eq!(refused, NotReceived::Proxy(why));
}

#[tokio::test]
async fn a_host_in_no_proxy_and_plain_loopback_are_reached_directly() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), Peer::serve);
    let (proxy, asked) = proxy(&server, "");
    let mut connection = authority.connection(&server, through(&proxy, "", "example.com,localhost"));
    assert_eq!(connection.send("<request/>".into()).await, Outcome::Delivered);

    let plain = Server::start(Peer::serve);
    let options = CollectionOptions { proxy: through(&proxy, "", ""), ..CollectionOptions::default() };
    assert_eq!(host(&plain.url(), options).connection().send("<request/>".into()).await, Outcome::Delivered);
    assert_eq!((asked.try_iter().count(), proxy.connections()), (0, 0));
}

#[tokio::test]
async fn a_proxy_that_fails_is_told_apart_from_the_host() {
    let authority = Authority::new("trusted");
    let server = Server::start_tls(authority.server("localhost"), Peer::serve);
    for (answer, said) in [
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answers 502 Bad Gateway"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "its answer is not HTTP"),
        ("HTTP/1.1 200", "the connection broke"),
        ("", "the connection broke"),
    ] {
        let proxy = Server::start(move |peer| {
            peer.read_until("\r\n\r\n");
            peer.send(answer);
        });
        let outcome =
            authority.connection(&server, through(&proxy, "user:secret@", "")).send("x".into()).await;
        let NotReceived::Proxy(why) = cause(outcome) else { panic!("{answer}") };
        assert!(why.starts_with(&format!("{}: {said}", proxy.address)) && !why.contains("secret"), "{why}");
    }
    let gone = ProxySettings {
        https: Secret("http://user:secret@127.0.0.1:1".to_owned()),
        ..ProxySettings::default()
    };
    let NotReceived::Proxy(why) = cause(authority.connection(&server, gone).send("x".into()).await) else {
        panic!("it connected")
    };
    assert!(why.starts_with("127.0.0.1:1: cannot connect: ") && !why.contains("secret"), "{why}");
    let socks = ProxySettings {
        all: Secret("socks5://user:secret@127.0.0.1:1".to_owned()),
        ..ProxySettings::default()
    };
    let options = CollectionOptions { proxy: socks, ..authority.options() };
    let url = format!("https://localhost:{}", server.address.port()).parse().expect("a URL");
    let refused = Collection::new(options)
        .expect("a collection")
        .host(&url)
        .map(drop)
        .expect_err("a proxy that is none");
    assert!(refused.to_string().contains("ALL_PROXY must begin with http://"), "{refused}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_tls_meets_behind_a_proxy_names_the_proxy() {
    let (authority, foreign) = (Authority::new("trusted"), Authority::new("foreign"));
    let inspecting = Server::start_tls(foreign.server("localhost"), Peer::serve);
    let (tunnel, _asked) = proxy(&inspecting, "");
    let opened = |bytes: &'static [u8]| {
        Server::start(move |peer| {
            peer.read_until("\r\n\r\n");
            peer.send([b"HTTP/1.1 200 OK\r\n\r\n", bytes].concat());
            if bytes.is_empty() { peer.read(1) } else { peer.until_closed() }
        })
    };
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    for (proxy, said) in [
        (tunnel, "foreign"),
        (opened(b"welcome to the portal"), "the answer is not TLS"),
        (opened(b""), "onnection"),
        (opened(alert), "handshake failure"),
    ] {
        let mut connection = host(
            "https://localhost:1",
            CollectionOptions { proxy: through(&proxy, "", ""), ..authority.options() },
        )
        .connection();
        let NotReceived::Tls(why) = cause(connection.send("x".into()).await) else { panic!("{said}") };
        let way = format!("through the proxy {}: ", proxy.address);
        assert!(why.starts_with(&way) && why.contains(said), "{why}");
    }
}

#[tokio::test]
async fn a_proxy_that_never_answers_is_not_waited_for() {
    let authority = Authority::new("trusted");
    let proxy = Server::start(Peer::until_closed);
    let options = CollectionOptions {
        connect_timeout: Duration::from_millis(200),
        proxy: through(&proxy, "", ""),
        ..authority.options()
    };
    let mut connection = host("https://localhost:1", options).connection();
    let cause = cause(connection.send(SUCCESS.into()).await);
    assert_eq!(cause, NotReceived::Proxy(format!("{}: no answer in time", proxy.address)));
}
