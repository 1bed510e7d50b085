//! What stood in the way of a run stands in its record, its report and its log, with the cause and since when.

use std::net::TcpListener;
use std::time::Duration;

use passbridge::buffer::{Buffer, NewVerdict};
use passbridge::clock::Clock;
use passbridge::delivery::TroubleKind;
use passbridge::drain::StopReason;
use serde_json::json;

use crate::program::{Program, Running};
use crate::support::{House, PATIENCE, buffer_options, plays, sandbox};

#[test]
fn a_host_that_refuses_connections_is_a_trouble_since_the_first_run_that_met_it_until_one_gets_through() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let house = House::new();
    let mut suite = house.suite(&format!("http://{address}"));
    house.store(plays(20));
    let first = house.drain_hastily(|_| {});
    let [trouble] = &first.troubles[..] else { panic!("{:?}", first.troubles) };
    assert_eq!((trouble.kind, &trouble.rsid, trouble.stopped), (TroubleKind::Connect, &None, true));
    assert_eq!((trouble.since, first.stopped), (first.started_at, Some(StopReason::Host)));
    assert!(trouble.cause.contains("refused") && trouble.attempts >= 10, "{trouble}");
    let second = house.drain_hastily(|_| {});
    assert_eq!(second.troubles[0].since, first.started_at);
    assert_eq!(house.buffer.runs(1).expect("a run")[0].troubles(), second.troubles);

    let sandbox = sandbox("429 first=1 retry-after=1");
    suite.collection_url = sandbox.url().parse().expect("a URL");
    house.buffer.set_suite(suite).expect("the suite moves");
    let third =
        house.drain_with(|options| options.retry.backoff_max = Duration::from_secs(5)).expect("a drain");
    let [trouble] = &third.troubles[..] else { panic!("{:?}", third.troubles) };
    assert_eq!((trouble.kind, trouble.stopped, third.delivered), (TroubleKind::Throttled, false, 20));
    assert!(trouble.cause.contains("429") && trouble.cause.contains("1 s"), "{trouble}");
    house.store(plays(21));
    assert_eq!(house.drain().troubles, []);
}

#[test]
fn a_run_names_twenty_dead_events_and_counts_the_rest() {
    let sandbox = sandbox("failure=\"Syntax Error\" only-evar2=bad");
    // With one lane, good events are sent after the last refusal, so that no refused event waits for the next run.
    let program = Program::with("[delivery]\nlanes = 1\n");
    program.suite(&sandbox.url());
    let line = |number: usize| {
        let mvpd = if number < 200 && number.is_multiple_of(5) { "bad" } else { "good" };
        format!(
            "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"mvpd\":\"{mvpd}\",\"mvpd_user_id\":\"u{number}\"}}\n",
            1_793_491_200 + number
        )
    };
    program.write("events.ndjson", &(0..300).map(line).collect::<String>());
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let done = program.run(&["drain"]);
    assert_eq!(done.code, 3, "{}", done.err);
    assert_eq!(done.err.matches("event is dead").count(), 20, "{}", done.err);
    assert!(done.err.contains("more events are dead") && done.err.contains("count=20"), "{}", done.err);
}

#[test]
fn the_log_the_report_and_its_json_say_why_a_host_is_down() {
    let sandbox = sandbox("refuse");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(30);
    drop(sandbox);
    let done = program.run(&["drain"]);
    assert_eq!(done.code, 4);
    let warned =
        done.err.lines().find(|line| line.contains("the collection host is down")).expect("a warning");
    assert!(warned.contains("refused"), "{warned}");
    assert!(done.out.contains("trouble: http://127.0.0.1:") && done.out.contains("since"), "{}", done.out);
    let (_, run) = program.json(&["drain"]);
    assert_eq!(
        (&run["troubles"][0]["kind"], &run["troubles"][0]["stopped"]),
        (&"connect".into(), &true.into())
    );
    assert!(run["troubles"][0]["since"].as_str() < run["started_at"].as_str(), "{run}");
}

#[test]
fn a_trouble_that_left_events_behind_stays_in_the_record_whatever_succeeds_after_it() {
    // The first hit is never answered for good, and the others succeed after it. After the last one, nothing is sent.
    let sandbox = sandbox(
        "status=503 only-evar2=bad; latency=1s only-evar2=odd; malformed accept=no only-evar2=odd; latency=20ms only-evar2=good",
    );
    let program = Program::with("[delivery]\nlanes = 4\nmax_attempts = 2\nbackoff_base_ms = 1\n");
    program.suite(&sandbox.url());
    let line = |number: usize| {
        let mvpd = if number == 0 { "bad" } else { ["good", "odd"][number / 79] };
        format!(
            "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"mvpd\":\"{mvpd}\",\"mvpd_user_id\":\"u{number}\"}}\n",
            1_793_491_200 + number
        )
    };
    program.write("events.ndjson", &(0..80).map(line).collect::<String>());
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let (code, run) = program.json(&["drain"]);
    assert_eq!((code, run["delivered"].as_u64()), (4, Some(78)), "{run}");
    let found: Vec<_> =
        run["troubles"].as_array().expect("troubles").iter().map(|found| found["kind"].as_str()).collect();
    assert_eq!(found, [Some("server_error"), Some("refused")], "{run}");
    let (_, status) = program.json(&["status"]);
    assert_eq!(status["troubles"].as_array().map(Vec::len), Some(2), "{status}");
}

#[test]
fn a_suite_that_is_stopped_is_told_once_with_what_to_do_and_a_host_that_refuses_all_of_them_once() {
    for suites in [1, 12] {
        let sandbox = sandbox("failure=\"NO timestamp\"");
        let program = Program::new();
        let mut lines = String::new();
        for suite in 0..suites {
            let (name, url) = (format!("REF{suite}"), sandbox.url());
            let add = [
                "suite",
                "add",
                "--requestor",
                &name,
                "--rsid",
                &format!("suite{suite}"),
                "--collection-url",
                &url,
            ];
            assert_eq!(program.run(&add).code, 0);
            lines.extend((0..20).map(|number| {
                format!(
                    "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"{name}\",\"mvpd_user_id\":\"u{number}\"}}\n",
                    1_793_491_200 + number
                )
            }));
        }
        program.write("events.ndjson", &lines);
        assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
        let done = program.run(&["drain"]);
        assert_eq!(done.code, 4, "{}", done.err);
        let errors: Vec<&str> = done.err.lines().filter(|line| line.contains("ERROR")).collect();
        let [error] = errors[..] else { panic!("{suites}: {}", done.err) };
        assert!(error.contains("NO timestamp") && error.contains("passbridge suite check"), "{error}");
        let since =
            done.out.split("since ").nth(1).and_then(|rest| rest.split(')').next()).expect("an instant");
        assert_eq!(since.len(), "2026-11-28T22:46:51Z".len(), "{}", done.out);
    }
}

/// Parks a suite of the program because its hits are known to be lost.
fn block(program: &Program, rsid: &str) {
    let clock = Clock::system();
    let buffer = Buffer::open(&buffer_options(program.path("passbridge.db"), &clock)).expect("the buffer");
    let blocks = vec!["timestamps are not allowed".to_owned()];
    let verdict =
        NewVerdict { checked_at: clock.now(), open: 1, blocks, proved_at: None, void: None, seen: json!({}) };
    buffer.set_verdict(&rsid.parse().expect("an ID"), verdict).expect("a known suite");
}

#[test]
fn suites_that_would_lose_hits_are_twenty_errors_and_a_count() {
    let program = Program::new();
    let mut lines = String::new();
    for suite in 0..25 {
        let (name, rsid) = (format!("REF{suite}"), format!("suite{suite}"));
        let add =
            ["suite", "add", "--requestor", &name, "--rsid", &rsid, "--collection-url", "http://127.0.0.1:1"];
        assert_eq!(program.run(&add).code, 0);
        block(&program, &rsid);
        lines.push_str(&crate::program::lines(1).replace("REF30", &name));
    }
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let done = program.run(&["drain"]);
    assert_eq!(done.err.lines().filter(|line| line.contains("ERROR")).count(), 21, "{}", done.err);
    assert!(done.err.contains("suites=5"), "{}", done.err);
}

#[test]
fn suites_that_refuse_everything_are_twenty_lines_of_a_kind_for_the_whole_run_and_a_count() {
    // Two hosts, each with one suite that works, so that neither is left as a whole.
    let sandboxes = [(); 2].map(|()| sandbox("failure=\"NO timestamp\" only-evar2=bad"));
    let program = Program::with("[log]\nlevel = \"info\"\n");
    let mut lines = String::new();
    for suite in 0..26 {
        let (name, rsid, url) = (format!("REF{suite}"), format!("suite{suite}"), sandboxes[suite % 2].url());
        let add = ["suite", "add", "--requestor", &name, "--rsid", &rsid, "--collection-url", &url];
        assert_eq!(program.run(&add).code, 0);
        let mvpd = if suite < 2 { "good" } else { "bad" };
        lines.extend((0..6).map(|number| {
            format!(
                "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"{name}\",\"mvpd\":\"{mvpd}\",\"mvpd_user_id\":\"u{number}\"}}\n",
                1_793_491_200 + number
            )
        }));
    }
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let done = program.run(&["drain"]);
    for (line, rest) in [
        ("events of other visitors are tried", "more searches for other visitors"),
        ("report suite stopped for this run", "more report suites were stopped"),
        ("event is refused", "more events are refused"),
    ] {
        assert_eq!(done.err.matches(line).count(), 20, "{line}: {}", done.err);
        assert_eq!(done.err.matches(rest).count(), 1, "{rest}: {}", done.err);
    }
}

#[test]
fn a_check_that_parks_a_suite_under_a_drain_is_an_error_of_that_drain() {
    let sandbox = sandbox("latency=100ms");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(400);
    let running = Running::start(program.command(&["drain"]));
    assert!(sandbox.wait_accepted(3, PATIENCE), "it sends");
    block(&program, "examplersid");
    let done = running.wait();
    let errors =
        done.err.lines().filter(|line| line.contains("ERROR") && line.contains("timestamps are not allowed"));
    assert_eq!(errors.count(), 1, "{}", done.err);
}

#[test]
fn a_proxy_variable_with_a_port_that_is_no_number_is_refused_before_anything_is_sent() {
    let program = Program::new();
    program.suite("https://collect.example.test");
    program.ingest(3);
    for (variable, proxy) in
        [("HTTPS_PROXY", "http://user:hush@127.0.0.1:31x8"), ("ALL_PROXY", "http://127.0.0.1:0")]
    {
        let mut command = program.command(&["drain"]);
        command.env(variable, proxy);
        let done = crate::program::done(command);
        assert_eq!(done.code, 2, "{}", done.err);
        assert!(
            done.err.contains(&format!("{variable} names a port")) && !done.err.contains("hush"),
            "{}",
            done.err
        );
    }
    let (_, status) = program.json(&["status"]);
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(0), "{status}");
}

#[test]
fn a_backfill_that_a_refusal_stopped_is_named_with_its_cause_wherever_one_looks() {
    let sandbox = sandbox("failure=\"NO timestamp\"");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.write("events.ndjson", &crate::program::lines(20));
    let (code, report) =
        program.json(&["backfill", "run", "h", program.path("events.ndjson").to_str().expect("UTF-8")]);
    assert_eq!(
        (code, &report["state"], &report["ending"]),
        (4, &json!("stopped"), &json!("suite")),
        "{report}"
    );
    let trouble = &report["troubles"][0];
    assert_eq!((&trouble["rsid"], &trouble["stopped"]), (&json!("examplersid"), &json!(true)), "{report}");
    let advice = trouble["advice"].as_str().expect("an advice");
    assert!(advice.contains("backfill resume h") && !advice.contains("next run"), "{advice}");

    let asked: [(&[&str], i32); 4] = [
        (&["status"], 0),
        (&["status", "--check"], 4),
        (&["backfill", "status", "h"], 0),
        (&["backfill", "resume", "h"], 4),
    ];
    for (args, code) in asked {
        let done = program.run(args);
        let said = format!("{}{}", done.out, if args.contains(&"--check") { &done.err } else { "" });
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        for part in [&sandbox.url(), "NO timestamp", "examplersid", "since 20", "backfill resume h"] {
            assert!(said.contains(part), "{args:?} {part}: {said}");
        }
    }
    let (_, status) = program.json(&["status"]);
    assert_eq!(status["backfills"][0]["troubles"][0]["kind"], "refused", "{status}");
}

#[test]
fn bad_events_that_are_alone_in_a_backfill_are_dead_once_live_events_of_their_suite_have_succeeded() {
    let sandbox = sandbox("failure=\"NO timestamp\" first=3");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.write(
        "history.ndjson",
        &crate::program::lines(3).replace("\"e0", "\"h0").replace("\"e1", "\"h1").replace("\"e2", "\"h2"),
    );
    let history = program.path("history.ndjson");
    let run = ["backfill", "run", "h", history.to_str().expect("UTF-8")];
    assert_eq!(program.json(&run).1["ending"], "suite");
    program.ingest(5);
    assert_eq!(program.run(&["drain"]).code, 0);
    sandbox.set_faults("failure=\"NO timestamp\"".parse().expect("faults"));
    let (code, report) = program.json(&["backfill", "resume", "h"]);
    assert_eq!((code, &report["state"]), (3, &json!("done")), "{report}");
    assert_eq!(program.json(&["status"]).1["dead"], 3);
}

#[test]
fn what_to_do_about_a_trouble_goes_by_what_became_of_the_events() {
    for (faults, policy, says, not) in [
        ("status=400 first=1; status=400 after=2", "retry", "dead events go once", "held"),
        ("status=302", "hold", "held events want", "next run"),
        ("status=501", "hold", "held events want", "next run"),
        ("status=400", "retry", "wait go with the next run", "dead"),
        ("failure=\"NO timestamp\"", "retry", "wait go with the next run", "dead"),
    ] {
        let sandbox = sandbox(faults);
        let program = Program::with("[delivery]\nlanes = 1\nmax_attempts = 2\nbackoff_base_ms = 1\n");
        program.suite(&sandbox.url());
        assert_eq!(program.run(&["suite", "set", "examplersid", "--on-ambiguous", policy]).code, 0);
        program.ingest(if faults.contains("first") { 3 } else { 1 });
        let (_, run) = program.json(&["drain"]);
        let advice = run["troubles"][0]["advice"].as_str().unwrap_or_else(|| panic!("{faults}: {run}"));
        assert!(advice.contains(says) && !advice.contains(not), "{faults}: {advice}");
    }
}

#[test]
fn a_host_that_answers_with_errors_is_not_said_to_be_down() {
    let sandbox = sandbox("status=501");
    let program = Program::with("[delivery]\ngive_up_seconds = 1\nbackoff_base_ms = 1\n");
    program.suite(&sandbox.url());
    program.ingest(30);
    let done = program.run(&["drain"]);
    assert!(done.err.contains("answers with errors") && done.err.contains("HTTP 501"), "{}", done.err);
    assert!(!done.err.contains("is down") && !done.err.contains("did not answer"), "{}", done.err);
}

#[test]
fn too_few_open_files_are_named_as_such_where_sqlite_cannot_open_one() {
    let program = Program::new();
    let mut named = 0;
    for files in 4..16 {
        let mut command = std::process::Command::new("sh");
        let (binary, config) = (env!("CARGO_BIN_EXE_passbridge"), program.path("c.toml"));
        command.args(["-c", "ulimit -n $0; exec \"$@\""]).arg(files.to_string()).arg(binary);
        command.arg("--config").arg(config).arg("status").current_dir(program.path(""));
        let done = crate::program::done(command);
        if done.err.contains("unable to open database file") {
            assert!(
                done.err.contains("limit on open files") && done.err.contains("ulimit -n"),
                "{}",
                done.err
            );
            named += 1;
        }
    }
    assert!(named > 0, "no limit was low enough, or all were too low");
}

#[test]
fn an_event_that_a_suite_answers_with_400_is_told_at_once_waits_and_is_not_sent_again_in_that_run() {
    let sandbox = sandbox("status=400");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(2);
    let (code, run) = program.json(&["drain"]);
    assert_eq!((code, &run["pending"], &run["retries"]), (4, &json!(2), &json!(0)), "{run}");
    let done = program.run(&["drain"]);
    assert_eq!(done.err.matches("event is refused").count(), 1, "{}", done.err);
    assert!(done.err.contains("cause=\"HTTP 400\"") && done.err.contains("seq="), "{}", done.err);
}

#[test]
fn a_suite_whose_verdict_was_overruled_is_shown_and_warned_of_once_a_drain() {
    let sandbox = sandbox("");
    let program = Program::new();
    program.suite(&sandbox.url());
    block(&program, "examplersid");
    assert_eq!(program.run(&["suite", "resume", "examplersid", "--anyway"]).code, 0);
    program.ingest(3);
    let done = program.run(&["drain"]);
    let warned = |line: &&str| line.contains("WARN") && line.contains("timestamps are not allowed");
    assert_eq!((done.code, done.err.lines().filter(warned).count()), (0, 1), "{}", done.err);
    let (_, list) = program.json(&["suite", "list"]);
    assert_eq!(list["suites"][0]["readiness"]["state"], "overruled", "{list}");
    let (code, checked) = program.json(&["status", "--check"]);
    let checks = checked["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["check"] == "overruled").expect("a line of it");
    assert_eq!(
        (code, &found["of"], &found["broken"]),
        (0, &json!("examplersid"), &json!(false)),
        "{checked}"
    );
}

#[test]
fn a_suite_id_that_differs_by_case_alone_is_refused() {
    let program = Program::new();
    program.suite("http://127.0.0.1:1");
    let add = [
        "suite",
        "add",
        "--requestor",
        "REF31",
        "--rsid",
        "ExampleRSID",
        "--collection-url",
        "http://127.0.0.1:1",
    ];
    let done = program.run(&add);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("ExampleRSID is known as examplersid"), "{}", done.err);
}

#[test]
fn status_tells_what_a_drain_has_met_while_it_goes_on() {
    let sandbox = sandbox("status=503");
    let program = Program::with("[delivery]\ngive_up_seconds = 60\n");
    program.suite(&sandbox.url());
    program.ingest(30);
    let running = Running::start(program.command(&["drain"]));
    let started = std::time::Instant::now();
    let status = loop {
        let (_, status) = program.json(&["status"]);
        if status["troubles"].as_array().is_some_and(|troubles| !troubles.is_empty()) {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&status["drain"]["state"], &status["troubles"][0]["kind"]),
        (&json!("running"), &json!("server_error"))
    );
    assert!(program.run(&["status"]).out.contains("HTTP 503"));
    drop(running);
}

#[test]
fn run_refuses_at_its_start_a_proxy_that_every_drain_would_refuse() {
    let program = Program::new();
    for has_suite in [false, true] {
        if has_suite {
            program.suite("https://collect.example.test");
        }
        let mut command = program.command(&["run"]);
        command.env("HTTPS_PROXY", "socks5://user:hush@127.0.0.1:1");
        let done = Running::start(command).wait();
        assert_eq!(done.code, 2, "{done:?}");
        assert!(
            done.err.contains("HTTPS_PROXY must begin with http://") && !done.err.contains("hush"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_host_that_is_down_for_maintenance_is_not_said_to_throttle() {
    let sandbox = sandbox("status=503 retry-after=1");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(3);
    let done = program.run(&["drain"]);
    assert!(done.err.contains("answers with errors") && !done.err.contains("throttle"), "{}", done.err);
    let (_, run) = program.json(&["drain"]);
    let trouble = &run["troubles"][0];
    assert_eq!(trouble["kind"], "server_error", "{run}");
    assert_eq!(trouble["cause"], "HTTP 503, and asks for a rest of 1 s", "{run}");
}

#[test]
fn a_drain_that_may_open_too_few_files_says_so_and_its_record_too_and_no_limit_is_a_panic() {
    let program = Program::new();
    program.suite("http://127.0.0.1:1");
    program.ingest(3);
    for files in 8..30 {
        let mut command = std::process::Command::new("sh");
        let (binary, config) = (env!("CARGO_BIN_EXE_passbridge"), program.path("c.toml"));
        command.args(["-c", "ulimit -n $0; exec \"$@\""]).arg(files.to_string()).arg(binary);
        command.arg("--config").arg(config).arg("drain").current_dir(program.path(""));
        let done = crate::program::done(command);
        assert!([1, 4].contains(&done.code), "{files}: {done:?}");
        assert!(done.code == 4 || done.err.contains("limit on open files"), "{files}: {done:?}");
    }
    let (_, status) = program.json(&["status"]);
    assert_eq!(status["drain"]["state"], "idle", "{status}");
    let runs = status["runs"].as_array().expect("runs");
    assert!(runs.iter().all(|run| run["finished_at"].is_string()), "{status}");
    let failed: Vec<&str> = runs.iter().filter_map(|run| run["summary"]["failure"].as_str()).collect();
    assert!(failed.iter().all(|failure| failure.contains("open")) && !failed.is_empty(), "{status}");
}
