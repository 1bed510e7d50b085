//! Rates of suites and hosts hold over all workers together.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use passbridge::sandbox::{AcceptedHit, Handle};

use super::server::Database;
use super::{CONFIG, WORKERS, assert_balanced, collector, ingest, map};
use crate::program::Program;
use crate::support::{RSID, counted};

/// Slow enough for a busy host.
const RATE: usize = 30;
const SENT: usize = 10 * RATE;
/// As [`CONFIG`] has them.
const LANES: usize = 8;

/// On a busy host, hits must not be sent again because an answer or a lease came late.
fn patient(database: &Database, delivery: &str) -> Program {
    let config = CONFIG.replace("request_timeout_seconds = 1\n", delivery).replace("lease_seconds = 2", "");
    Program::with(&format!("[buffer]\nurl = \"{}\"\n{config}", database.url()))
}

/// Drains with three workers at the same time.
fn drain_together(program: &Program) {
    let drain = || program.command(&["drain"]).stdout(Stdio::null()).spawn().expect("the program starts");
    for mut worker in (0..WORKERS).map(|_| drain()).collect::<Vec<_>>() {
        let ended = worker.wait().expect("it ends").code();
        assert!(matches!(ended, Some(0 | 75)), "{ended:?}");
    }
}

/// The rate was kept in every second, and more of it was used than one worker's share, also on a busy host.
fn assert_paced(sandbox: &Handle) {
    let mut times: Vec<i64> =
        sandbox.hits().iter().map(|hit: &AcceptedHit| hit.received_at.nanos()).collect();
    times.sort_unstable();
    assert_eq!(times.len(), SENT);
    let second = Duration::from_secs(1).as_nanos() as i64;
    let busiest = |span: i64| {
        let within = |first: usize| times[first..].iter().take_while(|at| **at < times[first] + span).count();
        (0..SENT).map(within).max().expect("hits")
    };
    // Each worker may be late with the hits of a tenth of a second, and then sends them at once. A sandbox that had to
    // wait for the processor then meets the hits that are on their way together.
    let most = RATE + WORKERS * RATE / 10 + WORKERS * LANES;
    assert!(busiest(second) <= most, "{} hits within a second", busiest(second));
    let seconds = (times[SENT - 1] - times[0]) as f64 / second as f64;
    let rate = (SENT - 1) as f64 / seconds;
    assert!(rate <= 1.02 * RATE as f64, "{rate} hits a second");
    // More than a third, which is the share of one worker, in the five seconds that nothing else disturbed most.
    let best = busiest(5 * second) as f64 / 5.0;
    assert!(best >= 0.4 * RATE as f64, "{best} hits a second at best");
}

#[test]
fn three_workers_keep_the_rate_of_a_suite_and_use_it() {
    let Some(database) = Database::new("paced") else { return };
    let program = patient(&database, "");
    let sandbox = collector("latency=20ms");
    map(&program, &sandbox, &[]);
    let done = program.run(&["suite", "set", RSID, "--rate", &RATE.to_string()]);
    assert_eq!(done.code, 0, "{done:?}");
    ingest(&program, "events.ndjson", 0..SENT);
    drain_together(&program);
    assert_paced(&sandbox);
    assert_eq!(counted(&sandbox), SENT as u64);
    assert_balanced(&program, SENT);
    let workers = database.ask("SELECT count(DISTINCT worker) FROM passbridge.attempt");
    assert_eq!(workers, WORKERS.to_string(), "each of them sent");
}

#[test]
fn three_workers_keep_the_rate_of_a_host_over_its_suites_and_several_hits_of_an_event() {
    let Some(database) = Database::new("paced_host") else { return };
    let program = patient(&database, &format!("rate_per_host = {RATE}\n"));
    let sandbox = collector("latency=20ms");
    map(&program, &sandbox, &[]);
    program.map("REF40", "secondrsid", &sandbox.url(), &[]);
    ingest(&program, "events.ndjson", 0..SENT / 2);
    let line = |number: usize| {
        format!(
            "{{\"occurred_at\":\"2026-11-01T00:00:00Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF40\",\"event_id\":\"{number}\",\
             \"mvpd_user_id\":\"u{number}\",\"resource_id\":\"{number}\",\"count\":5}}\n"
        )
    };
    let lines: String = (0..SENT / 10).map(line).collect();
    let file = program.file("second.ndjson", &lines);
    assert_eq!(program.run(&["ingest", &file]).code, 0);
    drain_together(&program);
    assert_paced(&sandbox);
    let mut by_suite: BTreeMap<String, usize> = BTreeMap::new();
    sandbox.hits().into_iter().for_each(|hit| *by_suite.entry(hit.rsid).or_default() += 1);
    assert_eq!(by_suite.into_values().collect::<Vec<_>>(), [SENT / 2; 2]);
    assert_balanced(&program, SENT / 2 + SENT / 10);
}
