//! Many workers on one buffer in PostgreSQL: nothing is lost, each event counts once, and visitors keep their order, whatever
//! dies.
//!
//! The tests that need a server run where `PASSBRIDGE_TEST_POSTGRES` has its URL, as a user that may create databases and
//! signal the server's processes: `.ci/run` starts one. `psql` does what a person would do there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passbridge::sandbox::{EventRecording, Handle, SandboxOptions, SuiteSettings};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::Program;
use crate::support::{FIRST_SECOND, PATIENCE, REQUESTOR, RSID, counted, event, sandbox_with};
use server::{Cluster, Database, Swallower, wait_until};

mod counting;
mod decisions;
mod doctor;
mod erasure;
mod errors;
mod exports;
mod faults;
mod house;
mod keeping;
mod monitor;
mod rates;
mod server;
mod suites;
mod taking_back;
mod traces;
mod transactions;

const WORKERS: usize = 3;
const EVENTS: usize = 6_000;
const VISITORS: usize = 400;
/// A lease of 2 s passes on after 2 + 1 + 1 s; a worker that is frozen so long has lost it.
const FROZEN: Duration = Duration::from_secs(6);
const CONFIG: &str = "
[delivery]
lanes = 8
request_timeout_seconds = 1
give_up_seconds = 30
backoff_base_ms = 5
backoff_max_seconds = 1
max_attempts = 50
[workers]
lease_seconds = 2
[log]
level = \"warn\"
";
/// Attempts in slices that had a later owner by then.
const STALE_ATTEMPTS: &str = "SELECT count(*) FROM passbridge.attempt a
     JOIN (SELECT rsid, n, epoch, min(at) AS began FROM passbridge.attempt GROUP BY 1, 2, 3) b ON b.rsid = a.rsid AND b.n = a.n
     WHERE a.epoch < b.epoch AND a.at > b.began";

impl Database {
    fn program(&self) -> Program {
        Program::with(&format!("[buffer]\nurl = \"{}\"\n{CONFIG}", self.url()))
    }
}

/// Maps the requestor of the tests to their suite.
fn map(program: &Program, sandbox: &Handle, options: &[&str]) {
    program.map(REQUESTOR, RSID, &sandbox.url(), options);
}

/// The events of visitors in turn, numbered in eVar6.
fn plays(numbers: std::ops::Range<usize>) -> String {
    numbers.fold(String::new(), |mut lines, number| {
        let event = play(number);
        writeln!(lines, "{event}").expect("a string takes all");
        lines
    })
}

fn play(number: usize) -> serde_json::Value {
    serde_json::json!({
        "occurred_at": FIRST_SECOND + (number / VISITORS) as i64,
        "event": "play_requested",
        "requestor_id": REQUESTOR,
        "event_id": number.to_string(),
        "mvpd_user_id": format!("user{}", number % VISITORS),
        "resource_id": number.to_string(),
    })
}

fn collector(faults: &str) -> Handle {
    sandbox_with(faults, |options: &mut SandboxOptions| {
        let settings = SuiteSettings { recording: EventRecording::UseEventId, ..SuiteSettings::default() };
        options.suites = BTreeMap::from([(RSID.parse().expect("an rsid"), settings)]);
    })
}

fn ingest(program: &Program, name: &str, numbers: std::ops::Range<usize>) {
    program.write(name, &plays(numbers));
    let (code, report) = program.json(&["ingest", program.path(name).to_str().expect("a path")]);
    assert_eq!(code, 0, "{report}");
}

/// The workers of a test: one that ends begins again.
struct Workers<'a> {
    program: &'a Program,
    workers: Vec<Child>,
    /// A drain that begins meanwhile fails.
    is_server_down: bool,
}

impl Workers<'_> {
    fn start(program: &Program) -> Workers<'_> {
        let mut workers = Workers { program, workers: Vec::new(), is_server_down: false };
        (0..WORKERS).for_each(|_| workers.workers.push(workers.one()));
        workers
    }

    fn one(&self) -> Child {
        let mut drain = self.program.command(&["drain"]);
        drain.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("the program starts")
    }

    /// Begins those again that have ended as they should.
    fn tend(&mut self) {
        for place in 0..WORKERS {
            if let Some(status) = self.workers[place].try_wait().expect("a child") {
                let is_well = matches!(status.code(), Some(0 | 3 | 4 | 75));
                assert!(
                    is_well || self.is_server_down && status.code() == Some(1),
                    "a worker ended by {status}"
                );
                self.workers[place] = self.one();
            }
        }
    }

    /// Goes on until so many hits were accepted.
    fn wait_accepted(&mut self, sandbox: &Handle, count: u64) {
        let started = Instant::now();
        while sandbox.accepted_count() < count {
            assert!(started.elapsed() < 2 * PATIENCE, "{} of {count}", sandbox.accepted_count());
            self.tend();
            sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self, place: usize) {
        self.workers[place].kill().expect("a worker is killed");
        self.workers[place].wait().expect("it ends");
        self.workers[place] = self.one();
    }

    fn signal(&self, place: usize, signal: Signal) {
        let pid = Pid::from_child(&self.workers[place]);
        kill_process(pid, signal).expect("a worker takes the signal");
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.kill().unwrap_or_default();
            worker.wait().map(drop).unwrap_or_default();
        }
    }
}

fn assert_balanced(program: &Program, ingested: usize) {
    let (code, status) = program.json(&["status", "--verify"]);
    assert_eq!(
        (code, &status["accounting"]["balanced"], &status["discrepancies"]),
        (0, &true.into(), &serde_json::json!([])),
        "{status}"
    );
    assert_eq!(status["accounting"]["ingested"], ingested);
}

#[test]
fn many_workers_lose_nothing_and_count_each_event_once_in_order_whatever_dies() {
    // The server crashes in it, which tests that share one would notice.
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = Database::on(&cluster.url(), "deaths");
    let sandbox = collector("latency=10ms; reset-before:1%; reset-after:1%; seed=7");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..EVENTS);
    let mut workers = Workers::start(&program);

    workers.wait_accepted(&sandbox, 300);
    workers.kill(0);
    assert_balanced(&program, EVENTS);

    workers.wait_accepted(&sandbox, 1_200);
    workers.signal(1, Signal::STOP);
    sleep(FROZEN);
    workers.signal(1, Signal::CONT);
    assert_balanced(&program, EVENTS);

    workers.wait_accepted(&sandbox, 2_400);
    // The death of one of its processes makes the server drop everything and recover, as `pg_ctl restart -m immediate` does.
    let backend = database.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'passbridge' AND datname = current_database() LIMIT 1");
    let backend = backend.parse().ok().and_then(Pid::from_raw).expect("a connection of a worker");
    workers.is_server_down = true;
    kill_process(backend, Signal::KILL).expect("the server's process is killed");
    sleep(Duration::from_secs(1));
    database.ask("SELECT 1");
    workers.tend();
    workers.is_server_down = false;
    assert_balanced(&program, EVENTS);

    workers.wait_accepted(&sandbox, 3_600);
    database.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'passbridge' AND datname = current_database()",
    );
    assert_balanced(&program, EVENTS);

    workers.wait_accepted(&sandbox, 4_800);
    workers.kill(2);
    let started = Instant::now();
    while program.json(&["status"]).1["pending"] != 0 {
        assert!(started.elapsed() < 2 * PATIENCE, "{}", program.json(&["status"]).1);
        workers.tend();
        sleep(Duration::from_millis(100));
    }
    drop(workers);
    assert_balanced(&program, EVENTS);
    let (_, status) = program.json(&["status"]);
    assert_eq!(status["delivered"], EVENTS, "{status}");
    assert_eq!(counted(&sandbox), EVENTS as u64);
    assert_in_order(&sandbox);
    // No worker records an attempt in a slice that has had a later owner.
    assert_eq!(database.ask(STALE_ATTEMPTS), "0");
}

/// Each event was accepted, and the first hits of each visitor in the order of their time.
fn assert_in_order(sandbox: &Handle) {
    let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
    let mut seen = vec![false; EVENTS];
    for hit in sandbox.hits() {
        let number: usize = hit.evars[&6].parse().expect("a number");
        if !std::mem::replace(&mut seen[number], true) {
            let before = latest.insert(number % VISITORS, number);
            assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
        }
    }
    assert!(seen.iter().all(|seen| *seen), "events were lost");
}

#[test]
fn what_commits_late_is_sent_and_an_idle_writer_elsewhere_stops_no_drain() {
    let Some(database) = Database::new("late") else { return };
    let sandbox = collector("");
    let program = database.program();
    map(&program, &sandbox, &[]);
    let elsewhere = database.session(&database.server, "BEGIN; SELECT pg_current_xact_id();");
    // An identity that another session holds makes the ingest of it wait, with its numbers taken.
    let id = event(play(3)).identity().id;
    let blocks = format!(
        "BEGIN; INSERT INTO passbridge.identity (id, content, seq) VALUES (decode('{id}', 'hex'), 0, 0);"
    );
    let blocking = database.session(&database.url(), &blocks);
    program.write("late.ndjson", &plays(0..10));
    let late = program.command(&["ingest", program.path("late.ndjson").to_str().expect("a path")]).spawn();
    let mut late = late.expect("the program starts");
    wait_until("the ingest waits", || {
        database.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'passbridge'") != "0"
    });
    ingest(&program, "early.ndjson", 10..20);
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["delivered"]), (0, &10.into()), "{drained}");
    blocking.end("ROLLBACK;");
    assert!(late.wait().expect("the ingest ends").success());
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["delivered"]), (0, &10.into()), "{drained}");
    assert_eq!(counted(&sandbox), 20);
    elsewhere.end("ROLLBACK;");
    // The same files again, from two processes at the same time: all of it is there.
    let again = ["late.ndjson", "early.ndjson"].map(|name| {
        let path = program.path(name);
        program
            .command(&["ingest", path.to_str().expect("a path"), "--json"])
            .spawn()
            .expect("the program starts")
    });
    for ingest in again {
        let done = ingest.wait_with_output().expect("it ends");
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("a document");
        assert_eq!((&report["total"]["duplicates"], &report["total"]["stored"]), (&10.into(), &0.into()));
    }
}

/// As soon after an ingest of millions, the server has no statistics: it took every slice for a small one, and read and sorted
/// it whole for each page. Here it does so because it takes an index for expensive.
#[test]
fn a_worker_reads_a_page_of_a_slice_and_not_the_slice_where_the_server_has_no_statistics() {
    let Some(database) = Database::new("unknown") else { return };
    let sandbox = collector("");
    let program = database.program();
    map(&program, &sandbox, &[]);
    database.ask("ALTER TABLE passbridge.event SET (autovacuum_enabled = off)");
    ingest(&program, "events.ndjson", 0..5_000);
    for kind in ["mvpd", "ecid"] {
        let page = format!(
            "SET random_page_cost = 1000;
             SELECT count(*) FROM passbridge.page_by_{kind}('{RSID}', 3, '{{1}}', '{{1:1:}}', pg_current_snapshot(), 0, 0, 256);
             SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'passbridge.event'::regclass"
        );
        assert_eq!(database.ask(&page), "256\n256", "{kind}: events in the page, and events read for it");
    }
}

#[test]
fn a_stop_hands_the_slices_over_without_doubt() {
    let Some(database) = Database::new("stop") else { return };
    let sandbox = collector("latency=20ms");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..1_000);
    let mut drain = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(100, PATIENCE));
    kill_process(Pid::from_child(&drain), Signal::TERM).expect("a signal");
    drain.wait().expect("it ends");
    let (_, status) = program.json(&["status", "--verify"]);
    assert_eq!((&status["in_doubt"], &status["under_way"]), (&0.into(), &0.into()), "{status}");
    let owned: Vec<_> =
        status["slices"].as_array().expect("slices").iter().map(|line| &line["owned"]).collect();
    assert_eq!(owned, [&serde_json::json!(0)]);
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["pending"], &drained["retries"]), (0, &0.into(), &0.into()), "{drained}");
    assert_eq!(sandbox.accepted_count(), 1_000, "nothing was sent twice");
}

#[test]
fn a_worker_that_was_frozen_claims_nothing_in_slices_that_others_took_over() {
    let Some(database) = Database::new("frozen") else { return };
    let sandbox = collector("latency=50ms");
    let program = database.program();
    // Nothing that is in doubt is repeated, so whatever is accepted twice was sent by two workers at the same time.
    map(&program, &sandbox, &["--on-ambiguous", "hold"]);
    ingest(&program, "events.ndjson", 0..EVENTS / 3);
    let mut frozen = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(100, PATIENCE));
    kill_process(Pid::from_child(&frozen), Signal::STOP).expect("it stops");
    let before = sandbox.accepted_count();
    let mut heir = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(before + 100, PATIENCE), "the slices were taken over");
    kill_process(Pid::from_child(&frozen), Signal::CONT).expect("it goes on");
    for worker in [&mut heir, &mut frozen] {
        let ended = worker.wait().expect("it ends").code();
        assert!(matches!(ended, Some(0 | 3 | 75)), "{ended:?}");
    }
    assert_eq!(database.ask(STALE_ATTEMPTS), "0");
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    sandbox.hits().iter().for_each(|hit| *times.entry(hit.evars[&6].clone()).or_default() += 1);
    times.retain(|_, times| *times > 1);
    assert_eq!(times, BTreeMap::new(), "two workers sent the same events");
    let (_, status) = program.json(&["status", "--verify"]);
    let [delivered, held] = ["delivered", "held"].map(|state| status[state].as_u64().expect("a number"));
    assert!(delivered + held == EVENTS as u64 / 3 && held <= 8, "{status}");
}

#[test]
fn a_worker_that_finds_its_slices_free_again_after_it_was_frozen_sends_all_of_them() {
    let Some(database) = Database::new("free") else { return };
    let sandbox = collector("latency=50ms");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..2_000);
    let owned = || {
        database.ask("SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM passbridge.slice WHERE owner IS NOT NULL GROUP BY owner) o")
    };
    let start = || program.command(&["drain"]).spawn().expect("the program starts");
    let (mut frozen, mut heir) = (start(), start());
    wait_until("each has its half", || owned() == "8");
    assert!(sandbox.wait_accepted(100, PATIENCE));
    kill_process(Pid::from_child(&frozen), Signal::STOP).expect("it stops");
    wait_until("the other has all slices that are left", || {
        database.ask("SELECT count(DISTINCT owner) FROM passbridge.slice WHERE owner IS NOT NULL") == "1"
    });
    // The other gives them back before the frozen one learns that it lost them, and for a while nothing can be sent.
    sandbox.set_faults("status=503".parse().expect("a fault"));
    kill_process(Pid::from_child(&heir), Signal::TERM).expect("it stops");
    heir.wait().expect("it ends");
    kill_process(Pid::from_child(&frozen), Signal::CONT).expect("it goes on");
    sleep(Duration::from_secs(3));
    sandbox.set_faults("".parse().expect("no fault"));
    let started = Instant::now();
    while frozen.try_wait().expect("a child").is_none() {
        assert!(started.elapsed() < PATIENCE, "it stands still: {}", program.json(&["status"]).1);
        sleep(Duration::from_millis(100));
    }
    let (_, status) = program.json(&["status", "--verify"]);
    assert_eq!((&status["pending"], &status["delivered"]), (&0.into(), &2_000.into()), "{status}");
    assert_eq!((counted(&sandbox), database.ask(STALE_ATTEMPTS)), (2_000, "0".to_owned()));
}

#[test]
fn what_a_crash_of_the_server_swallowed_at_its_commit_is_stored_all_the_same() {
    // The server may have written the transaction just before it crashed. Then its number is given to no other.
    for _ in 0..5 {
        if crashed_at_a_commit() != Some(false) {
            return;
        }
    }
    panic!("no crash lost the number of its transaction");
}

/// Whether the crash lost the number of the transaction; `None` without a server.
fn crashed_at_a_commit() -> Option<bool> {
    let cluster =
        Cluster::start(&["autovacuum = off", "bgwriter_lru_maxpages = 0", "checkpoint_timeout = 1h"])?;
    let database = Database::on(&cluster.url(), "swallowed");
    let program = database.program();
    let swallower = Swallower::before(&cluster);
    let config = format!("[buffer]\nurl = \"{}\"\n{CONFIG}", database.url_at(&swallower.url()));
    program.write("c.toml", &config);
    program.write("events.ndjson", &plays(0..10));
    // What is not written yet is lost with the server.
    let ask_number = |sql: &str| database.ask(sql).parse::<i64>().expect("a number");
    let pid = |sql: &str| Pid::from_raw(ask_number(sql) as i32).expect("a process");
    let writer = pid("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
    kill_process(writer, Signal::STOP).expect("it stops");
    swallower.arm();
    let mut ingest = program.command(&["ingest", &program.place("events.ndjson"), "--json"]);
    let ingest = ingest.stdout(Stdio::piped()).spawn().expect("the program starts");
    swallower.swallowed.recv_timeout(PATIENCE).expect("it comes to the commit");
    let backend = "FROM pg_stat_activity WHERE application_name = 'passbridge' AND backend_xid IS NOT NULL";
    let lost = ask_number(&format!("SELECT backend_xid {backend}"));
    let backend = pid(&format!("SELECT pid {backend}"));
    kill_process(backend, Signal::KILL).expect("the server's process is killed");
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", writer.as_raw_nonzero());
    wait_until("the server has recovered", || database.ask(&gone) == "0");
    let is_lost = ask_number("SELECT pg_current_xact_id()") <= lost;
    while ask_number("SELECT pg_current_xact_id()") < lost {}
    swallower.cut.send(()).expect("the connection ends");
    let done = ingest.wait_with_output().expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("a document");
    let is_there = database.ask("SELECT count(*) FROM passbridge.event");
    assert_eq!(
        (&report["total"]["stored"], &report["total"]["duplicates"], &is_there[..]),
        (&10.into(), &0.into(), "10"),
        "{report}"
    );
    Some(is_lost)
}

#[test]
fn what_a_database_cannot_do_yet_is_said_before_anything_is_done() {
    let program = Program::bare();
    let config = "[buffer]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n";
    program.write("c.toml", config);
    for (args, exit, says) in [
        (&["backfill", "status"][..], 2, "ingest the history"),
        (&["report"], 1, "cannot use the database postgres://127.0.0.1:1/none"),
        (&["backup", "copy.db"], 2, "pg_dump"),
        (&["drain", "--limit", "3"], 2, "drain takes --deadline alone"),
        (&["status", "--in-doubt"], 2, "status takes --verify, and --check"),
        (&["status"], 1, "cannot use the database postgres://127.0.0.1:1/none"),
        (&["init"], 1, "see that the server runs"),
    ] {
        let done = program.run(args);
        assert_eq!((done.code, done.err.contains(says)), (exit, true), "{args:?}: {}", done.err);
    }
    assert!(!program.path("passbridge.db").exists() && !program.path("copy.db").exists());
    program.write("c.toml", &format!("{config}path = \"passbridge.db\"\n"));
    let done = program.run(&["status"]);
    assert_eq!(
        (done.code, done.err.contains("c.toml:2: buffer.url: there is buffer.path, too")),
        (2, true),
        "{}",
        done.err
    );
}

#[test]
fn exchanges_are_refused_and_a_second_init_says_so() {
    let Some(database) = Database::new("doors") else { return };
    let program = database.program();
    assert_eq!((program.run(&["init"]).code, program.run(&["init", "--if-missing"]).code), (2, 0));
    program.write("log.har", r#"{"log":{"version":"1.2","entries":[]}}"#);
    let done = program.run(&["ingest", program.path("log.har").to_str().expect("a path")]);
    assert_eq!(
        (done.code, done.err.contains("takes events in NDJSON and CSV alone")),
        (1, true),
        "{}",
        done.err
    );
}
