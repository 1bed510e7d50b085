//! `doctor` names what is wrong with the host, and what to do; it sends nothing.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use rusqlite::Connection;
use serde_json::Value;

use crate::program::Program;
use crate::support::{buffer_options, sandbox};

/// The finding of this check and, if one is named, of this thing.
fn found<'a>(report: &'a Value, check: &str, of: Option<&str>) -> &'a Value {
    let mut findings = report["findings"].as_array().expect("findings").iter();
    let is_it = |one: &&Value| one["check"] == check && of.is_none_or(|of| one["of"] == of);
    findings.find(is_it).unwrap_or_else(|| panic!("no finding {check} of {of:?} in {report}"))
}

#[test]
fn a_host_in_order_has_no_failure_and_no_hit_is_sent() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(2);
    let (code, report) = program.json(&["doctor", "--full"]);
    assert_eq!(code, 0, "{report}");
    for check in
        ["configuration", "schema", "owner", "disk", "integrity", "locks", "processes", "clock", "host"]
    {
        let one = found(&report, check, None);
        assert_eq!((&one["level"], &one["try"]), (&"ok".into(), &"".into()), "{one}");
    }
    assert_eq!(found(&report, "suite", Some("examplersid"))["level"], "warning", "nobody has checked it");
    assert_eq!(sandbox.counted("examplersid")[6], 0);
    let text = program.run(&["doctor"]);
    assert!(text.out.contains("integrity") && text.out.contains("try: see each item"), "{text:?}");
}

#[test]
fn each_fault_is_named_with_what_to_do() {
    // It takes connections, and never begins TLS.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let config = "[ingest]\nmin_free_bytes = 9000000000000000000\n[analytics]\nclient_id = \"a\"\nclient_secret_file = \"gone\"\n";
    let program = Program::with(&format!(
        "{config}url = \"http://{closed}\"\nims_url = \"https://no-such-host.invalid\"\n"
    ));
    program.suite(&format!("http://{closed}"));
    fs::set_permissions(program.path("passbridge.db"), Permissions::from_mode(0o604)).expect("a mode");
    let (code, report) = program.json(&["doctor"]);
    assert_eq!(code, 1, "{report}");
    for (check, of, level, says, advice) in [
        ("disk", None, "failed", "nothing is taken in", "free some disk"),
        ("secret", Some("analytics.client_secret_file"), "failed", "gone", "write the client secret"),
        ("host", Some(&*format!("http://{closed}")), "failed", "cannot connect", "the firewall"),
        ("host", Some("https://no-such-host.invalid"), "failed", "cannot resolve", "check analytics.ims_url"),
        ("mode", None, "warning", "mode 0604", "chmod o= "),
    ] {
        let one = found(&report, check, of);
        assert_eq!(one["level"], level, "{one}");
        let has = |key: &str, part: &str| one[key].as_str().expect("a text").contains(part);
        assert!(has("says", says) && has("try", advice), "{one}");
    }
}

#[test]
fn a_run_that_is_under_way_is_named_by_its_process() {
    let program = Program::new();
    let buffer =
        Buffer::open(&buffer_options(program.path("passbridge.db"), &Clock::system())).expect("a buffer");
    let held = buffer.lock().expect("the lock");
    let (code, report) = program.json(&["doctor"]);
    let own = std::process::id().to_string();
    for check in ["locks", "processes"] {
        let one = found(&report, check, None);
        assert!(one["says"].as_str().expect("a text").contains(&own), "{one}");
    }
    assert_eq!(code, 0, "a lock is no fault: {report}");
    drop(held);
}

#[test]
fn before_start_fails_where_run_would_end_with_2_and_only_there() {
    // Neither a full disk nor a host that is down keeps `run` from starting, nor a secret that it does not read.
    let floor = "[ingest]\nmin_free_bytes = 9000000000000000000\n[rest_v2]\nsecret_file = \"gone\"\n";
    let program = Program::with(floor);
    program.suite("http://127.0.0.1:9");
    let (code, report) = program.json(&["doctor", "--before-start"]);
    assert_eq!(code, 0, "{report}");
    let checks = report["findings"].as_array().expect("findings").iter();
    let checks: Vec<&str> = checks.filter_map(|one| one["check"].as_str()).collect();
    assert_eq!(checks, ["configuration", "secret", "schema"], "no network, no data");

    let database = program.path("passbridge.db");
    let connection = Connection::open(&database).expect("the buffer");
    connection.pragma_update(None, "user_version", 1_000).expect("a version");
    drop(connection);
    let broken = |config: &str| {
        program.write("c.toml", config);
        let (before, run) = (program.run(&["doctor", "--before-start"]), program.run(&["run"]));
        assert_eq!((before.code, run.code), (2, 2), "{config}: {before:?} {run:?}");
        before.out
    };
    assert!(broken("").contains("its schema is 1000"));
    assert!(broken("[delivery]\nlane = 8\n").contains("delivery.lanes"));
    assert!(broken("[ingest]\ninbox_map = \"none\"\n").contains("[map.none]"));
    assert!(broken("[serve]\ningest = true\nlisten = \"0\"\n").contains("serve.tokens_file"));
    fs::write(&database, "no database, and longer than the header of one: ".repeat(9)).expect("a file");
    assert!(broken("").contains("is no buffer"));
    fs::remove_file(&database).expect("a file");
    assert!(broken("").contains("create it with"));
}

#[test]
fn a_buffer_of_an_earlier_release_is_named_and_not_migrated() {
    let program = Program::new();
    let old = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/buffers/schema-8.sqlite");
    fs::copy(old, program.path("passbridge.db")).expect("a buffer of schema 8");
    let before = fs::read(program.path("passbridge.db")).expect("the buffer");
    let (code, report) = program.json(&["doctor"]);
    assert_eq!((code, &found(&report, "schema", None)["level"]), (0, &"warning".into()), "{report}");
    assert_eq!(fs::read(program.path("passbridge.db")).expect("the buffer"), before);
}
