//! `status` answers at three in the morning, and `status --check` alarms when it should, and only then.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use passbridge::buffer::NewVerdict;
use passbridge::clock::Clock;
use passbridge::event::Instant;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Done, Program, bare_command, done, lines, send};
use crate::support::{House, event, plays, sandbox};

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// A release after an upgrade is looked at before anything of its own is stored.
#[test]
fn every_look_at_a_buffer_of_an_earlier_release_works() {
    let buffers = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/buffers");
    for stored in fs::read_dir(buffers).expect("the buffers") {
        let stored = stored.expect("a buffer").path();
        let program = Program::bare();
        fs::copy(&stored, program.path("passbridge.db")).expect("a copy");
        program.write("c.toml", "[buffer]\npath = \"passbridge.db\"\n");
        for look in [
            &["status"][..],
            &["status", "--verify"],
            &["status", "--in-doubt"],
            &["status", "--check"],
            &["report", "--period", "2026-11"],
            &["suite", "list"],
            &["dead-letter", "list"],
            &["held", "list"],
            &["backfill", "status"],
            &["retention"],
        ] {
            for args in [look.to_vec(), [look, &["--json"]].concat()] {
                let done = program.run(&args);
                let is_breach = look.contains(&"--check") && done.code == 4;
                assert!(done.code == 0 || is_breach, "{stored:?} {args:?}: {done:?}");
            }
        }
    }
}

/// A buffer whose clock stood so many hours ago while a test filled it, now looked at by the built program.
struct Past(House);

impl Past {
    fn new(hours: i64) -> Past {
        let now = Clock::system().now();
        let house = House::at(Clock::fixed(Instant::from_nanos(now.nanos() - hours * HOUR_NANOS)));
        fs::write(house.dir.path().join("c.toml"), "").expect("a configuration");
        Past(house)
    }

    fn status(&self, args: &[&str]) -> Done {
        let mut command = bare_command(self.0.dir.path());
        command.args(["--config", "c.toml", "status"]).args(args);
        done(command)
    }

    /// Moves the clock of the buffer to now.
    fn now(&self) {
        self.0.clock.set(Clock::system().now());
    }
}

/// The checks that are broken, by name and whose they are.
fn broken(done: &Done) -> Vec<(String, Value)> {
    let report: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let checks = report["checks"].as_array().expect("checks").iter().filter(|check| check["broken"] == true);
    checks.map(|check| (check["check"].as_str().expect("a name").to_owned(), check["of"].clone())).collect()
}

#[test]
fn an_event_that_waits_since_hours_alarms_and_a_file_of_last_month_does_not() {
    let sandbox = sandbox("");
    let past = Past::new(3);
    past.0.suite(&sandbox.url());
    past.0.store(plays(2));
    // A drain that could do nothing with them, and ended in time.
    past.now();
    past.0.drain_with(|options| options.limit = Some(1)).expect("a drain");
    let check = past.status(&["--check", "--json"]);
    assert_eq!((check.code, broken(&check)), (4, vec![("max_age".to_owned(), Value::Null)]), "{check:?}");
    let text = past.status(&["--check"]);
    assert_eq!((text.code, text.out.as_str(), text.err.lines().count()), (4, "", 1), "{text:?}");
    assert!(
        text.err.starts_with("max_age: events wait since ") && text.err.contains("(3h00m ago)"),
        "{text:?}"
    );
    assert_eq!(past.status(&["--check", "--max-age", "4h"]).code, 0);
    let shown = past.status(&["--max-age", "2h", "--json"]);
    let report: Value = serde_json::from_str(&shown.out).expect("a report");
    assert_eq!((shown.code, &report["overdue"][0]["check"]), (4, &"max_age".into()), "{report}");
    assert!(past.status(&["--max-age", "2h"]).err.contains("max_age"));

    past.0.drain();
    past.0.store([event(json!({ "mvpd_user_id": "yesterday" }))]);
    let daily = past.status(&["--check"]);
    assert_eq!(
        (daily.code, daily.err.as_str()),
        (0, ""),
        "the event is of November 1st, and came in just now"
    );
}

#[test]
fn the_first_stored_counts_though_older_events_came_in_after_it() {
    let sandbox = sandbox("");
    let past = Past::new(5);
    past.0.suite(&sandbox.url());
    let late_in_the_month = json!({ "occurred_at": "2026-11-20T00:00:00Z", "mvpd_user_id": "u" });
    past.0.store([event(late_in_the_month)]);
    past.now();
    past.0.store(plays(3));
    let report: Value = serde_json::from_str(&past.status(&["--json"]).out).expect("a report");
    let stored: Instant =
        report["oldest_stored_at"].as_str().and_then(|at| at.parse().ok()).expect("an instant");
    let hours = (Clock::system().now().nanos() - stored.nanos()) / HOUR_NANOS;
    assert_eq!((hours, &report["oldest_sendable_at"]), (5, &"2026-11-01T00:00:00Z".into()), "{report}");
}

#[test]
fn a_silent_source_alarms_once_a_limit_is_set_also_by_requestor() {
    let past = Past::new(7);
    past.0.store(plays(1));
    past.now();
    past.0.store([event(json!({ "requestor_id": "REF40", "mvpd_user_id": "u" }))]);
    let check =
        |args: &[&str]| broken(&past.status(&[&["--check", "--json", "--max-age", "6h"], args].concat()));
    let never_drained = ("max_age".to_owned(), "last_run".into());
    assert_eq!(check(&[]), std::slice::from_ref(&never_drained), "silence is off until it is set");
    assert_eq!(check(&["--max-silence", "6h"]), std::slice::from_ref(&never_drained));
    let silent = ("max_silence".to_owned(), "REF30".into());
    assert_eq!(
        check(&["--max-silence", "REF30=6h", "--max-silence", "REF40=6h"]),
        [never_drained.clone(), silent.clone()]
    );
    let unknown = ("max_silence".to_owned(), "REF99".into());
    assert_eq!(check(&["--max-silence", "REF99=6h"]), [never_drained.clone(), unknown]);
    fs::write(past.0.dir.path().join("c.toml"), "[monitor]\nmax_silence_of = { REF30 = \"6h\" }\n")
        .expect("a file");
    assert_eq!(check(&[]), [never_drained, silent]);
}

#[test]
fn what_died_within_a_day_what_is_parked_and_what_was_rejected_has_limits() {
    // The fourth is sent after the three and succeeds: the three are dead for their own sake.
    let (sandbox, program) = (sandbox("failure=BAD first=3"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    program.write(
        "events.ndjson",
        &format!(
            "{}nonsense\n{}",
            lines(4),
            lines(2).replace("REF30", "REF40").replace("\"e0\"", "\"f0\"").replace("\"e1\"", "\"f1\"")
        ),
    );
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 3);
    assert_eq!(program.run(&["drain"]).code, 3);
    let check = |args: &[&str]| broken(&program.run(&[&["status", "--check", "--json"], args].concat()));
    assert_eq!(check(&[]), []);
    let strict = ["--max-dead", "2", "--max-parked", "1", "--max-rejects", "0", "--max-held", "0"];
    let names: Vec<_> = check(&strict).into_iter().map(|(check, _)| check).collect();
    assert_eq!(names, ["max_dead", "max_parked", "max_rejects"]);
    assert_eq!(check(&["--max-dead", "3", "--max-parked", "2", "--max-rejects", "1"]), []);
    let buffer = Connection::open(program.path("passbridge.db")).expect("SQLite");
    buffer.execute("UPDATE dead_letters SET died_at = died_at - 25 * 3600000000000", []).expect("an update");
    assert_eq!(check(&["--max-dead", "0"]), [], "they died yesterday");
    // No limit turns this one off.
    buffer.execute("UPDATE suites SET blocked = 'timestamps are not allowed'", []).expect("an update");
    assert_eq!(check(&[]), [("blocked".to_owned(), "examplersid".into())]);
    assert!(program.run(&["status", "--check"]).err.contains("timestamps are not allowed"));
}

#[test]
fn status_names_who_drains_the_lock_names_its_holder_and_a_drain_that_died_is_cut_off() {
    let sandbox = sandbox("timeout-before");
    let program = Program::with("[delivery]\nlanes = 2\n");
    program.suite(&sandbox.url());
    program.ingest(5);
    let state = |drain: &str| {
        let (_, status) = program.json(&["status"]);
        assert_eq!(status["drain"]["state"], drain, "{status}");
        status
    };
    state("idle");
    let mut child =
        program.command(&["drain"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    while sandbox.summary().requests < 2 {
        assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = state("running");
    let holder = &status["drain"]["holder"];
    assert_eq!((&holder["pid"], &holder["command"]), (&child.id().into(), &"drain".into()), "{status}");
    assert!(holder["since"].is_string() && status["drain"]["run_id"].is_u64());
    let text = program.run(&["status"]).out;
    assert!(text.contains(&format!("under way: process {} (drain), run began 20", child.id())), "{text}");
    assert!(
        text.lines().any(|run| run.trim_start().starts_with("1 ") && run.ends_with("under way")),
        "{text}"
    );
    let second = program.run(&["drain"]);
    assert_eq!(second.code, 75);
    assert!(second.err.contains(&format!("process {} (drain), since 20", child.id())), "{second:?}");
    send(&child, Signal::KILL);
    child.wait().expect("it is dead");
    state("cut_off");
    let text = program.run(&["status"]).out;
    assert!(text.contains("the last was cut off, run began 20"), "{text}");
    assert!(text.lines().any(|run| run.trim_start().starts_with("1 ") && run.ends_with("cut off")), "{text}");
    let says = program.json(&["status", "--check"]).1["checks"][1]["says"].clone();
    let parts = ["; one that began 20", "was cut off"];
    assert!(parts.iter().all(|part| says.as_str().is_some_and(|says| says.contains(part))), "{says}");
}

#[test]
fn status_says_what_waits_and_when_something_came_and_went() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(2);
    let requestor = |of: &Value| of["requestors"][0].clone();
    let before = requestor(&program.json(&["status"]).1);
    assert!(before["arrived_at"].is_string() && before["oldest_stored_at"].is_string(), "{before}");
    assert!(before["delivered_at"].is_null(), "{before}");
    assert_eq!(program.run(&["drain"]).code, 0);
    let (_, after) = program.json(&["status"]);
    assert!(requestor(&after)["delivered_at"].is_string() && requestor(&after)["oldest_stored_at"].is_null());
    assert_eq!((&after["version"], &after["troubles"]), (&env!("CARGO_PKG_VERSION").into(), &json!([])));
    assert!(after["buffer"]["bytes"].as_u64() > Some(0) && after["buffer"]["free_bytes"].as_u64() > Some(0));

    program.write("more.ndjson", &lines(4));
    assert_eq!(program.run(&["ingest", program.path("more.ndjson").to_str().expect("UTF-8")]).code, 0);
    drop(sandbox);
    assert_eq!(program.run(&["drain"]).code, 4);
    let (_, stopped) = program.json(&["status"]);
    assert!(stopped["troubles"].is_array() && stopped["drain"]["state"] == "idle", "{stopped}");
    let text = program.run(&["status"]).out;
    assert!(text.contains("waits        since 20") && text.contains("passbridge   0."), "{text}");
    let is_nanosecond = |word: &str| word.contains('.') && word.ends_with('Z');
    assert!(!text.split_whitespace().any(is_nanosecond), "{text}");
}

#[test]
fn a_fresh_buffer_alarms_when_its_events_have_waited_too_long_for_a_first_drain() {
    let program = Program::new();
    assert_eq!(program.run(&["status", "--check"]).code, 0, "nothing ever came in");
    program.ingest(2);
    let fresh = program.run(&["status", "--check"]);
    assert_eq!((fresh.code, fresh.err.as_str()), (0, ""), "a drain has two hours");
    let past = Past::new(3);
    past.0.store(plays(1));
    let check = past.status(&["--check", "--json"]);
    assert_eq!(
        (check.code, broken(&check)),
        (4, vec![("max_age".to_owned(), "last_run".into())]),
        "{check:?}"
    );
    let text = past.status(&["--check"]).err;
    assert!(
        text.contains("no drain was ever completed") && text.contains("came in") && text.contains("(3h"),
        "{text}"
    );
}

#[test]
fn a_broken_limit_says_where_to_look() {
    let program = Program::new();
    program.ingest(2);
    program.write("bad.ndjson", "nonsense\n");
    assert_eq!(program.run(&["ingest", program.path("bad.ndjson").to_str().expect("UTF-8")]).code, 3);
    let check = program.run(&["status", "--check", "--max-parked", "0", "--max-rejects", "0"]);
    let line =
        |name: &str| check.err.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let parked = line("max_parked");
    assert!(parked.contains("REF30") && parked.contains("no suite") && parked.contains("status"), "{parked}");
    let rejects = program.path("rejects");
    assert!(line("max_rejects").contains(rejects.to_str().expect("UTF-8")), "{check:?}");
}

#[test]
fn of_many_requestors_that_are_parked_some_are_named_and_the_others_counted() {
    let program = Program::new();
    for count in [5, 7] {
        let lines = (0..count).map(|number| {
            lines(1).replace("REF30", &format!("R{number}")).replace("e0", &format!("e{number}"))
        });
        program.write("events.ndjson", &lines.collect::<String>());
        assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
        let told = program.run(&["status", "--check", "--max-parked", "0"]).err;
        assert_eq!(
            (told.matches(" of R").count(), told.contains("; and 2 others")),
            (5, count == 7),
            "{told}"
        );
    }
}

#[test]
fn events_of_a_backfill_are_no_sign_of_a_live_source_and_are_not_denied() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.write("history.ndjson", &lines(2));
    let history = program.path("history.ndjson");
    assert_eq!(program.run(&["backfill", "run", "h", history.to_str().expect("UTF-8")]).code, 0);
    for limit in ["REF30=1h", "1h"] {
        let check = program.run(&["status", "--check", "--max-silence", limit]);
        assert!(check.code == 4 && check.err.contains("no live event"), "{check:?}");
        assert!(!check.err.contains("no event"), "{check:?}");
    }
    let status = program.run(&["status"]).out;
    assert!(status.lines().any(|line| line.contains("REF30") && line.contains("none live")), "{status}");
}

#[test]
fn a_place_where_no_rejects_can_be_kept_is_an_alarm() {
    let program = Program::new();
    let rejects = program.path("rejects");
    let check = || broken(&program.run(&["status", "--check", "--json"]));
    assert_eq!(check(), [], "it is made with the first reject");
    let alarm = [("max_rejects".to_owned(), Value::from("ingest.rejects_dir"))];
    fs::write(&rejects, "a file").expect("a file");
    assert_eq!(check(), alarm);
    fs::remove_file(&rejects).expect("the file goes");
    std::os::unix::fs::symlink(program.path("nowhere"), &rejects).expect("a link that leads nowhere");
    assert_eq!(check(), alarm);
    let told = program.run(&["status", "--check"]);
    assert!(told.code == 4 && told.err.contains("rejected lines cannot be kept in "), "{told:?}");
    fs::create_dir(program.path("nowhere")).expect("a folder");
    assert_eq!(check(), []);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(program.path("nowhere"), open).expect("its mode");
    assert_eq!(check(), alarm, "others may write to it");
}

#[test]
fn a_silence_that_is_given_twice_for_the_same_requestor_is_refused_with_both() {
    let program = Program::new();
    for (args, why) in [
        (["REF30=1h", "REF30=2h"], "--max-silence is given twice for REF30: 1h and 2h"),
        (["off", "2h"], "--max-silence is given twice: off and 2h"),
    ] {
        let args = ["status", "--check", "--max-silence", args[0], "--max-silence", args[1]];
        let refused = program.run(&args);
        assert!(refused.code == 2 && refused.err.contains(why), "{refused:?}");
    }
    let two = ["status", "--check", "--max-silence", "REF30=off", "--max-silence", "off"];
    assert_eq!(program.run(&two).code, 0);
}

#[test]
fn a_reason_that_is_a_part_of_an_overruled_one_blocks_a_suite_again() {
    let house = House::new();
    let suite = house.suite("http://127.0.0.1:1");
    let rsid = &suite.form.rsid;
    let blocks_after = |blocks: &[&str]| {
        let (blocks, checked_at) =
            (blocks.iter().map(|&reason| reason.to_owned()).collect(), house.buffer.now());
        let verdict =
            NewVerdict { checked_at, open: 1, blocks, proved_at: None, void: None, seen: json!({}) };
        house.buffer.set_verdict(rsid, verdict).expect("a known suite");
        house.buffer.suite(rsid).expect("a suite").verdict.expect("a verdict").blocks
    };
    let long = "timestamps: not allowed; of 2 probes none arrived";
    assert_eq!(blocks_after(&[long, "kind: virtual"]), Some(format!("{long}; kind: virtual")));
    house.buffer.overrule(rsid).expect("a known suite");
    assert_eq!(blocks_after(&["kind: virtual", long]), None, "whatever their order");
    assert_eq!(blocks_after(&["timestamps: not"]).as_deref(), Some("timestamps: not"));
}

#[test]
fn rejected_lines_that_are_kept_nowhere_count_as_those_that_are() {
    let program = Program::with("[ingest]\nrejects_max = 2\n[monitor]\nmax_rejects = 6\n");
    program.write("bad.ndjson", &"nonsense\n".repeat(6));
    let path = program.path("bad.ndjson");
    let ingest = || assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    ingest();
    let check = || broken(&program.run(&["status", "--check", "--json"]));
    assert_eq!(check(), [], "six are allowed: two that are kept, and four that are not");
    program.write("bad.ndjson", &"other nonsense\n".repeat(5));
    ingest();
    assert_eq!(check(), [("max_rejects".to_owned(), Value::Null)]);
    let told = program.run(&["status", "--check"]).err;
    assert!(told.contains("11 lines were rejected within 24 hours"), "{told}");
    assert!(told.contains("(7 of them are kept nowhere: ingest.rejects_max)"), "{told}");
    // At the default, an HTTP request or an ESM report keeps no more than memory may hold.
    program.write("c.toml", "[monitor]\nmax_rejects = 6\n");
    let both =
        "(7 of them are kept nowhere: ingest.rejects_max for a file, 10000 for a request or an ESM report)";
    assert!(program.run(&["status", "--check"]).err.contains(both));
    let buffer = Connection::open(program.path("passbridge.db")).expect("SQLite");
    let age = "UPDATE facts SET name = 'rejects_not_kept_' || (substr(name, 18) - 30) WHERE name LIKE 'rejects_not_kept_%'";
    assert!(buffer.execute(age, []).expect("an update") >= 1, "a fact of each hour");
    assert_eq!(check(), [], "it was yesterday");
}

#[test]
fn what_others_put_into_the_folder_of_rejects_does_not_count() {
    let program = Program::new();
    fs::create_dir_all(program.path("rejects")).expect("a folder");
    for name in ["notes.txt", "rejected-by-partner.ndjson", "rejected-20261120-1.ndjson.swp"] {
        program.write(&format!("rejects/{name}"), &"a line\n".repeat(200));
    }
    assert_eq!(broken(&program.run(&["status", "--check", "--json"])), []);
    program.write("rejects/rejected-20261120T083000Z-1.ndjson", &"a line\n".repeat(101));
    let told = program.run(&["status", "--check"]).err;
    assert!(told.contains("101 lines were rejected within 24 hours"), "{told}");
}

#[test]
fn a_limit_is_read_alike_from_an_option_and_from_the_file() {
    let program = Program::new();
    program.ingest(1);
    for (options, file, code) in [
        (&["--max-age", "off"][..], "max_age = \"off\"", 0),
        (&["--max-age", "1h30m"], "max_age = \"1h30m\"", 0),
        (&["--max-silence", "REF30=off"], "max_silence_of = { REF30 = \"off\" }", 0),
        (&["--max-silence", "=1h"], "max_silence_of = { \"\" = \"1h\" }", 2),
        (&["--max-silence", " REF30=1h"], "max_silence_of = { \" REF30\" = \"1h\" }", 2),
        (&["--max-silence", "REF30="], "max_silence_of = { REF30 = \"\" }", 2),
        (&["--max-age", "30m1h"], "max_age = \"30m1h\"", 2),
        (&["--max-age", "never"], "max_age = \"never\"", 2),
    ] {
        let by_option = program.run(&[&["status", "--check"], options].concat());
        assert_eq!(by_option.code, code, "{options:?}: {by_option:?}");
        program.write("c.toml", &format!("[monitor]\n{file}\n"));
        let by_file = program.run(&["status"]);
        program.write("c.toml", "");
        assert_eq!(by_file.code, code, "{file}: {by_file:?}");
    }
    assert_eq!(program.run(&["status", "--max-age", "off"]).code, 0);
}

#[test]
fn a_host_that_throttles_is_named_where_events_wait_too_long() {
    let sandbox = sandbox("429 first=1 retry-after=1");
    let past = Past::new(3);
    past.0.suite(&sandbox.url());
    past.0.store(plays(2));
    past.now();
    past.0
        .drain_with(|options| {
            options.limit = Some(1);
            options.retry.backoff_max = Duration::from_secs(5);
        })
        .expect("a drain");
    let told = past.status(&["--check"]).err;
    for part in ["max_age: events wait since", &format!("; {}: HTTP 429", sandbox.url()), "since 20"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_host_that_throttled_a_drain_that_sent_everything_keeps_nothing_waiting() {
    let sandbox = sandbox("429 first=1");
    let past = Past::new(3);
    past.0.suite(&sandbox.url());
    past.0.store(plays(2));
    past.0.drain();
    let told = past.status(&["--json"]).out;
    assert!(told.contains("HTTP 429"), "{told}");
    // What came in since waits for the next drain, and for nobody else.
    past.0.store(plays(3));
    assert_eq!(broken(&past.status(&["--check", "--json", "--max-age", "off"])), []);
}

#[test]
fn what_was_noted_while_the_clock_was_ahead_hides_nothing() {
    let sandbox = sandbox("");
    let past = Past::new(-72);
    past.0.suite(&sandbox.url());
    past.0.store(plays(2));
    past.0.drain();
    let check = past.status(&["--check", "--json", "--max-silence", "6h"]);
    let alarms = [("max_age".to_owned(), "last_run".into()), ("max_silence".to_owned(), Value::Null)];
    assert_eq!((check.code, broken(&check)), (4, alarms.to_vec()), "{check:?}");
    let told = past.status(&["--check"]).err;
    let status = past.status(&[]).out;
    for text in [told, status] {
        assert!(text.contains("; one that ended 20"), "{text}");
        assert!(text.contains(" ahead of this host's clock) does not count"), "{text}");
    }
    // A drain of now is the last one, whatever was noted before.
    past.now();
    past.0.drain();
    assert_eq!(broken(&past.status(&["--check", "--json"])), []);
}

#[test]
fn a_dry_run_names_what_stays_parked_and_why() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(3);
    program.write(
        "others.ndjson",
        &lines(2).replace("REF30", "REF40").replace("\"e0\"", "\"f0\"").replace("\"e1\"", "\"f1\""),
    );
    assert_eq!(program.run(&["ingest", program.path("others.ndjson").to_str().expect("UTF-8")]).code, 0);
    let dry = || program.run(&["drain", "--dry-run"]).out;
    assert!(
        dry().contains("would send 3 events") && dry().contains("2 events of REF40 stay parked: no suite"),
        "{}",
        dry()
    );
    assert_eq!(program.run(&["suite", "pause", "examplersid"]).code, 0);
    assert!(dry().contains("3 events of REF30 stay parked: paused"), "{}", dry());
    assert_eq!(program.run(&["suite", "resume", "examplersid"]).code, 0);
    let buffer = Connection::open(program.path("passbridge.db")).expect("SQLite");
    buffer.execute("UPDATE suites SET blocked = 'timestamps are not allowed'", []).expect("an update");
    assert!(
        dry().contains("3 events of REF30 stay parked: blocked, timestamps are not allowed"),
        "{}",
        dry()
    );
    let (_, json) = program.json(&["drain", "--dry-run"]);
    assert_eq!(
        (&json["parked"], &json["parked_requestors"][0]["requestor_id"]),
        (&5.into(), &"REF30".into()),
        "{json}"
    );
}

#[test]
fn events_of_a_backfill_that_is_done_are_an_alarm_once_they_could_go() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.ingest(5);
    let all = ["--from", "2000-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];
    assert_eq!(program.run(&[&["backfill", "run", "h"][..], &all].concat()).code, 0);
    let broken = || {
        let (code, checked) = program.json(&["status", "--check"]);
        let alarms = checked["checks"].as_array().expect("checks").iter().filter(|one| one["broken"] == true);
        (
            code,
            alarms
                .filter(|one| one["check"] == "backfill")
                .map(|one| one["says"].to_string())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(broken().1, [] as [String; 0], "parked events have a check of their own");
    program.suite(&sandbox.url());
    assert_eq!(program.run(&["drain"]).code, 0);
    let (code, says) = broken();
    assert!(code == 4 && says.len() == 1 && says[0].contains("backfill resume h"), "{says:?}");
    assert!(program.run(&["status"]).out.contains("backfill resume h"));
    assert_eq!(program.run(&["backfill", "resume", "h"]).code, 0);
    assert_eq!((broken(), sandbox.accepted_count()), ((0, vec![]), 5));
}
