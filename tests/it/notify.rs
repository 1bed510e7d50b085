//! Drains and broken limits are told to whom the configuration names, and never delay a drain.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rusqlite::Connection;

use crate::program::Program;
use crate::support::{PATIENCE, sandbox};

/// A service that takes pings: its address, and each path with its body.
fn service() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/ping/secret-uuid", listener.local_addr().expect("an address"));
    let (sender, pings) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a client"));
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).is_ok_and(|read| read > 2) {
                let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                length = last
                    .strip_prefix("content-length: ")
                    .map_or(length, |text| text.parse().expect("a length"));
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK";
            stream.get_mut().write_all(answer).expect("an answer");
            // A test that has ended wants no more.
            sender.send((path, String::from_utf8(body).expect("text"))).unwrap_or_default();
        }
    });
    (url, pings)
}

#[test]
fn a_ping_url_hears_of_the_start_the_success_and_the_failure_of_a_drain() {
    let ((url, pings), sandbox) = (service(), sandbox(""));
    let config =
        format!("[notify]\nping_url = \"{url}\"\n[delivery]\ngive_up_seconds = 1\nbackoff_base_ms = 5\n");
    let program = Program::with(&config);
    let heard = || pings.recv_timeout(PATIENCE).expect("a ping");
    program.suite(&sandbox.url());
    program.ingest(1);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(heard(), ("/ping/secret-uuid/start".to_owned(), String::new()));
    assert_eq!(heard(), ("/ping/secret-uuid".to_owned(), String::new()));

    drop(sandbox);
    program.write("more.ndjson", &crate::program::lines(2));
    assert_eq!(program.run(&["ingest", program.path("more.ndjson").to_str().expect("UTF-8")]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 4);
    assert_eq!(heard().0, "/ping/secret-uuid/start");
    let (path, reason) = heard();
    assert_eq!(path, "/ping/secret-uuid/fail");
    assert!(reason.contains("cannot connect"), "{reason}");
}

#[test]
fn a_ping_url_that_does_not_answer_loses_nothing_and_is_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let sandbox = sandbox("");
    let program = Program::with(&format!("[notify]\nping_url = \"http://{address}/ping/secret-uuid\"\n"));
    program.suite(&sandbox.url());
    program.ingest(2);
    let drained = program.run(&["drain"]);
    assert_eq!((drained.code, sandbox.counted("examplersid")[6]), (0, 2), "{drained:?}");
    assert!(drained.err.contains("nobody was told of the drain"), "{drained:?}");
    assert!(!drained.err.contains("secret-uuid"), "{drained:?}");
    program.write("c.toml", "[notify]\nping_url = \"http://example.com/secret-uuid\"\n");
    let refused = program.run(&["drain"]);
    assert_eq!((refused.code, refused.err.contains("secret-uuid")), (2, false), "{refused:?}");
    assert!(refused.err.contains("notify.ping_url"), "{refused:?}");
}

#[test]
fn a_command_that_hangs_is_ended_with_the_drain_and_not_begun_again_at_once() {
    let program = Program::bare();
    let command = "[\"/bin/sh\", \"-c\", \"sleep 600 & echo $$ $! >> pids; wait\"]";
    program.write("c.toml", &format!("[monitor]\nmax_parked = 0\n[notify]\ncommand = {command}\n"));
    assert_eq!(program.run(&["init"]).code, 0);
    program.ingest(2);
    let drain = || {
        let mut command = program.command(&["drain"]);
        command.current_dir(program.path("")).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("it runs").success());
    };
    drain();
    let pids = fs::read_to_string(program.path("pids")).expect("what was begun");
    for pid in pids.split_whitespace() {
        let lives =
            || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let started = Instant::now();
        while lives() {
            assert!(started.elapsed() < PATIENCE, "process {pid} goes on");
        }
    }
    drain();
    assert_eq!(fs::read_to_string(program.path("pids")).expect("what was begun"), pids);
}

#[test]
fn a_command_hears_once_of_a_broken_limit_and_of_its_end() {
    let sandbox = sandbox("");
    let program = Program::bare();
    let told = program.path("told");
    let command = format!("[\"/bin/sh\", \"-c\", \"cat >> {}\"]", told.display());
    program.write("c.toml", &format!("[monitor]\nmax_parked = 0\n[notify]\ncommand = {command}\n"));
    assert_eq!(program.run(&["init"]).code, 0);
    program.ingest(2);
    for _ in 0..2 {
        program.run(&["drain"]);
        let text = fs::read_to_string(&told).expect("what was told");
        assert!(
            text.starts_with("broken max_parked: 2 events are parked") && text.lines().count() == 1,
            "{text}"
        );
    }
    program.suite(&sandbox.url());
    program.run(&["drain"]);
    let lines = || fs::read_to_string(&told).expect("what was told").lines().count();
    assert_eq!(lines(), 1, "the command has just run");
    // An hour passes.
    let buffer = Connection::open(program.path("passbridge.db")).expect("the buffer");
    let change = "UPDATE facts SET value = value - 3600000000000 WHERE name = 'told_at'";
    assert_eq!(buffer.execute(change, []).expect("a change"), 1);
    drop(buffer);
    program.run(&["drain"]);
    assert!(fs::read_to_string(&told).expect("what was told").ends_with("ended max_parked\n"));
    assert_eq!(lines(), 2);
}
