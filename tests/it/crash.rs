//! SIGKILL in the middle of drains: nothing is lost, and what may have been counted twice is known.
//!
//! Each of the three policies drains 20,000 events through a sandbox that answers after 5 ms and resets connections before
//! and after it accepts, and is killed 17 times or more between its first and its last accepted hit: 51 kills in all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::Duration;

use passbridge::sandbox::{EventRecording, Handle, SandboxOptions, SuiteSettings};

use crate::program::Program;
use crate::support::{FIRST_SECOND, PATIENCE, REQUESTOR, RSID, counted, sandbox_with};

const EVENTS: usize = 20_000;
const KILLS: usize = 17;
/// Of 17 kills, this many must leave attempts in doubt: 40 of 50.
const KILLS_IN_DOUBT: usize = 14;
const FAULTS: &str = "latency=5ms; reset-before:1%; reset-after:1%; seed=42";
const CONFIG: &str = "
[delivery]
lanes = 64
request_timeout_seconds = 5
backoff_base_ms = 5
backoff_max_seconds = 1
max_attempts = 50
[log]
level = \"error\"
";

struct Crashes {
    program: Program,
    sandbox: Handle,
    /// The numbers of the events that `status` named as in doubt, or repeated, so far.
    named: BTreeSet<String>,
}

impl Crashes {
    fn new(recording: EventRecording, suite: &[&str]) -> Crashes {
        let sandbox = sandbox_with(FAULTS, |options: &mut SandboxOptions| {
            let settings = SuiteSettings { recording, ..SuiteSettings::default() };
            options.suites = BTreeMap::from([(RSID.parse().expect("an rsid"), settings)]);
        });
        let program = Program::with(CONFIG);
        let url = sandbox.url();
        let add = ["suite", "add", "--requestor", REQUESTOR, "--rsid", RSID, "--collection-url", &url];
        assert_eq!(program.run(&[&add, suite].concat()).code, 0);
        program.write("events.ndjson", &plays_ndjson(EVENTS, 2_000));
        assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("a path")]).code, 0);
        Crashes { program, sandbox, named: BTreeSet::new() }
    }

    /// Drains and kills, again and again; returns how many kills left attempts in doubt.
    fn kill_often(&mut self) -> usize {
        let mut in_doubt = 0;
        for kill in 0..KILLS {
            let so_far = self.sandbox.accepted_count();
            let mut drain = start(&self.program, &["drain"]);
            let pause = 1 + (kill as u64 * 389) % 900;
            assert!(
                self.sandbox.wait_accepted(so_far + pause, PATIENCE),
                "kill {kill}: the drain sent too little"
            );
            drain.kill().expect("the drain is killed");
            drain.wait().expect("the drain ends");
            in_doubt += usize::from(self.look() > 0);
        }
        in_doubt
    }

    /// Asks `status` which events are in doubt, and that the account balances.
    fn look(&mut self) -> u64 {
        let (code, status) = self.program.json(&["status", "--verify", "--in-doubt"]);
        assert_eq!(code, 0, "{status}");
        assert_eq!(status["accounting"]["balanced"], true);
        assert_eq!(status["accounting"]["ingested"]["events"], EVENTS);
        for doubted in status["doubted"].as_array().expect("the doubted events") {
            self.named.insert(doubted["event_id"].as_str().expect("an event ID").to_owned());
        }
        status["in_doubt"].as_u64().expect("a number")
    }

    /// Drains what is left, with the faults still on.
    fn finish(&mut self) {
        for _ in 0..10 {
            let (code, summary) = self.program.json(&["drain"]);
            if code != 4 {
                assert!(code == 0 || code == 3, "{code}: {summary}");
                break;
            }
        }
        self.look();
    }

    /// How often each event was accepted, by its number.
    fn accepted(&self) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        for hit in self.sandbox.hits() {
            *accepted.entry(hit.evars[&6].clone()).or_default() += 1;
        }
        accepted
    }
}

fn start(program: &Program, args: &[&str]) -> Child {
    program.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// `count` play requests as NDJSON, of `visitors` visitors in turn, numbered in eVar6 and `event_id`.
fn plays_ndjson(count: usize, visitors: usize) -> String {
    let line = |number: usize| {
        let event = serde_json::json!({
            "occurred_at": FIRST_SECOND + (number / visitors) as i64,
            "event": "play_requested",
            "requestor_id": REQUESTOR,
            "event_id": number.to_string(),
            "mvpd_user_id": format!("user{}", number % visitors),
            "resource_id": number.to_string(),
        });
        format!("{event}\n")
    };
    (0..count).map(line).collect()
}

#[test]
fn with_event_ids_every_event_is_counted_exactly_once_through_seventeen_kills() {
    let mut crashes = Crashes::new(EventRecording::UseEventId, &["--event-ids", "on"]);
    let in_doubt = crashes.kill_often();
    assert!(in_doubt >= KILLS_IN_DOUBT, "only {in_doubt} kills left attempts in doubt");
    crashes.finish();
    assert_eq!(counted(&crashes.sandbox), EVENTS as u64);
    assert_eq!(crashes.accepted().len(), EVENTS);
}

#[test]
fn without_event_ids_only_events_that_status_named_are_repeated_through_seventeen_kills() {
    let mut crashes = Crashes::new(EventRecording::AlwaysRecord, &["--event-ids", "off"]);
    let in_doubt = crashes.kill_often();
    assert!(in_doubt >= KILLS_IN_DOUBT, "only {in_doubt} kills left attempts in doubt");
    crashes.finish();
    let accepted = crashes.accepted();
    assert_eq!(accepted.len(), EVENTS, "events were lost");
    let repeated: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(!repeated.is_empty(), "no repeat was provoked");
    for (number, times) in &repeated {
        assert!(
            crashes.named.contains(*number),
            "event {number} was accepted {times} times, and status never named it"
        );
    }
    let (_, status) = crashes.program.json(&["status"]);
    let over_count: usize = repeated.iter().map(|(_, times)| **times - 1).sum();
    let worst_case = status["over_count"]["worst_case_units"].as_u64().expect("a number");
    assert!(over_count as u64 <= worst_case, "{over_count} units over, {worst_case} stated");
}

#[test]
fn under_hold_no_event_is_repeated_and_every_doubtful_one_is_listed_through_seventeen_kills() {
    let mut crashes =
        Crashes::new(EventRecording::AlwaysRecord, &["--event-ids", "off", "--on-ambiguous", "hold"]);
    let in_doubt = crashes.kill_often();
    assert!(in_doubt >= KILLS_IN_DOUBT, "only {in_doubt} kills left attempts in doubt");
    crashes.finish();
    let accepted = crashes.accepted();
    assert!(accepted.values().all(|times| *times == 1), "an event was repeated");
    let (_, held) = crashes.program.json(&["held", "list", "--limit", "100000"]);
    let held = held["held"].as_array().expect("the held events").len();
    let (_, status) = crashes.program.json(&["status"]);
    let delivered = status["delivered"].as_u64().expect("a number") as usize;
    assert_eq!((status["held"].as_u64(), delivered + held), (Some(held as u64), EVENTS));
    assert!(accepted.len() >= delivered, "an event is delivered that nobody accepted");
}

#[test]
fn an_ingest_that_was_killed_loses_nothing_that_it_acknowledged_and_doubles_nothing() {
    let program = Program::with(CONFIG);
    program.write("events.ndjson", &plays_ndjson(100_000, 1_000));
    let path = program.path("events.ndjson");
    let path = path.to_str().expect("a path");
    for pause_ms in [20, 60, 120, 250] {
        let mut ingest = start(&program, &["ingest", path]);
        std::thread::sleep(Duration::from_millis(pause_ms));
        // An ingest that was quicker has ended; then the next one finds duplicates only.
        ingest.kill().expect("the ingest is killed");
        ingest.wait().expect("the ingest ends");
        let (code, status) = program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &true.into()));
    }
    let (code, report) = program.json(&["ingest", path]);
    assert_eq!(code, 0);
    let (_, status) = program.json(&["status", "--verify"]);
    assert_eq!(status["pending"], 100_000);
    assert_eq!(report["total"]["read"], 100_000);
}
