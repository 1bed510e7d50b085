//! Suites of one collection host: what keeps one of them from being sent to neither delays the others nor is told as theirs.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Done, Program, Running, send};
use crate::support::{PATIENCE, sandbox};

const SUITES: [&str; 2] = ["troubled", "fine"];

/// A program with two suites at one host, and as many events of each, of as many visitors. All events of the first suite
/// are the older ones if `is_first_older`, else both take turns.
fn two_suites(url: &str, config: &str, events: usize, is_first_older: bool) -> Program {
    let program = Program::with(&format!("[log]\nlevel = \"info\"\n[delivery]\n{config}"));
    let mut lines = String::new();
    for (place, rsid) in SUITES.into_iter().enumerate() {
        let add = ["suite", "add", "--requestor", rsid, "--rsid", rsid, "--collection-url", url];
        assert_eq!(program.run(&add).code, 0);
        lines.extend((0..events).map(|number| {
            let second = 1_793_491_200 + number + if is_first_older { place * events } else { 0 };
            format!(
                "{{\"occurred_at\":{second},\"event\":\"play_requested\",\"requestor_id\":\"{rsid}\",\"mvpd_user_id\":\"u{number}\",\"resource_id\":\"{number}\"}}\n"
            )
        }));
    }
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    program
}

fn lines<'a>(done: &'a Done, part: &str) -> Vec<&'a str> {
    done.err.lines().filter(|line| line.contains(part)).collect()
}

/// The only trouble of a run or a status.
fn only_trouble(report: &Value) -> &Value {
    let troubles = report["troubles"].as_array().expect("troubles");
    assert_eq!(troubles.len(), 1, "{report}");
    &troubles[0]
}

#[test]
fn a_suite_that_is_throttled_rests_alone_while_its_neighbour_is_drained() {
    for is_first_older in [true, false] {
        let sandbox = sandbox("status=429 retry-after=60 only-rsid=troubled");
        let program = two_suites(&sandbox.url(), "lanes = 8\n", 3_000, is_first_older);
        let began = std::time::Instant::now();
        let running = Running::start(program.command(&["drain"]));
        assert!(sandbox.wait_accepted(3_000, PATIENCE / 2), "the neighbour is drained at once");
        assert!(began.elapsed() < PATIENCE / 2);
        running.wait_for_log("throttles");
        let (_, status) = program.json(&["status"]);
        let trouble = only_trouble(&status);
        assert_eq!(
            (&trouble["rsid"], &trouble["kind"]),
            (&json!("troubled"), &json!("throttled")),
            "{status}"
        );
        assert!(trouble["since"].is_string() && trouble["host"] == sandbox.url(), "{status}");
        // Nobody asks before the rest is over.
        let asked = sandbox.summary().requests;
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(sandbox.summary().requests, asked);
        assert!(asked < 3_000 + 60, "{asked}");
        send(running.child(), Signal::TERM);
        let done = running.wait();
        let [warned] = lines(&done, "throttles")[..] else { panic!("{}", done.err) };
        assert!(warned.contains("WARN") && warned.contains("troubled"), "{warned}");
        assert!(warned.contains(&sandbox.url()) && warned.contains("HTTP 429"), "{warned}");
        assert!(!done.err.contains("in doubt"), "{}", done.err);
    }
}

#[test]
fn a_suite_that_is_answered_with_errors_all_the_time_is_left_alone_and_its_neighbour_loses_nothing() {
    for is_first_older in [true, false] {
        let sandbox = sandbox("status=503 only-rsid=troubled; latency=3ms only-rsid=fine");
        let config = "lanes = 8\ngive_up_seconds = 2\nbackoff_base_ms = 5\n";
        let program = two_suites(&sandbox.url(), config, 2_000, is_first_older);
        let (code, run) = program.json(&["drain"]);
        assert_eq!((code, &run["stopped"], &run["delivered"]), (4, &json!("suite"), &json!(2_000)), "{run}");
        assert_eq!((&run["pending"], &run["in_doubt"]), (&json!(2_000), &json!(0)), "{run}");
        let trouble = only_trouble(&run);
        assert_eq!((&trouble["rsid"], &trouble["stopped"]), (&json!("troubled"), &json!(true)), "{run}");
        assert_eq!(
            (&trouble["kind"], &trouble["since"]),
            (&json!("server_error"), &run["started_at"]),
            "{run}"
        );
        assert!(trouble["cause"].as_str().is_some_and(|cause| cause.contains("HTTP 503")), "{run}");
        let status = program.run(&["status"]);
        assert!(status.out.contains("suite troubled") && status.out.contains("HTTP 503"), "{}", status.out);
        // The suite is told by its name from the first line on, and its trouble lasts since the first run that met it.
        let done = program.run(&["drain"]);
        assert!(lines(&done, "WARN").iter().all(|line| line.contains("troubled")), "{}", done.err);
        let (_, again) = program.json(&["drain"]);
        assert_eq!(only_trouble(&again)["since"], run["started_at"], "{again}");
        // Once it answers, everything goes, in the order of each visitor.
        sandbox.set_faults("".parse().expect("no faults"));
        let (code, mended) = program.json(&["drain"]);
        assert_eq!((code, &mended["pending"], &mended["troubles"]), (0, &json!(0), &json!([])), "{mended}");
    }
}

#[test]
fn what_all_suites_of_a_host_meet_is_one_trouble_of_the_host() {
    for fault in ["status=503", "status=429 retry-after=1", "timeout-before"] {
        let sandbox = sandbox(fault);
        let config = "lanes = 8\ngive_up_seconds = 2\nbackoff_base_ms = 5\nrequest_timeout_seconds = 1\n";
        let program = two_suites(&sandbox.url(), config, 500, false);
        let done = program.run(&["drain"]);
        assert_eq!(done.code, 4, "{}", done.err);
        assert!(!done.err.contains("troubled") && !done.err.contains("fine"), "{}", done.err);
        assert!(lines(&done, "probing").len() <= 1, "{fault}: {}", done.err);
        assert_eq!(lines(&done, "all the time").len(), 1, "{fault}: {}", done.err);
        let (_, run) = program.json(&["drain"]);
        assert_eq!((&run["stopped"], &run["delivered"]), (&json!("host"), &json!(0)), "{run}");
        let trouble = only_trouble(&run);
        assert_eq!((&trouble["rsid"], &trouble["stopped"]), (&json!(null), &json!(true)), "{fault}: {run}");
    }
}

#[test]
fn the_visitors_of_a_suite_that_fails_now_and_then_keep_their_order_beside_a_neighbour() {
    let sandbox = crate::support::sandbox_with(
        "status=503:20% only-rsid=troubled; status=503 only-rsid=troubled after=200 first=40",
        |options| options.orders_by_evar6 = true,
    );
    let config = "lanes = 8\nmax_attempts = 99\nbackoff_base_ms = 2\nbackoff_max_seconds = 1\n";
    let program = Program::with(&format!("[delivery]\n{config}"));
    let mut events = String::new();
    for rsid in SUITES {
        let add = ["suite", "add", "--requestor", rsid, "--rsid", rsid, "--collection-url", &sandbox.url()];
        assert_eq!(program.run(&add).code, 0);
        events.extend((0..2_000).map(|number| {
            format!(
                "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"{rsid}\",\"mvpd_user_id\":\"{rsid}{}\",\"resource_id\":\"{number}\"}}\n",
                1_793_491_200 + number,
                number % 70,
            )
        }));
    }
    program.write("events.ndjson", &events);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let (code, run) = program.json(&["drain"]);
    assert_eq!((code, &run["delivered"], sandbox.summary().inversions), (0, &json!(4_000), 0), "{run}");
}
