//! Transactions that others leave open, that a dump carries to another server, and that a frozen worker holds.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::server::{Cluster, Database, programs, wait_until};
use super::{CONFIG, STALE_ATTEMPTS, assert_balanced, collector, ingest, map, play};
use crate::program::Program;
use crate::support::{PATIENCE, counted, event};

#[test]
fn an_event_that_an_earlier_build_stored_by_its_spelling_is_known() {
    let Some(database) = Database::new("spelt") else { return };
    let program = database.program();
    let line = |number: usize, more: serde_json::Value| {
        let mut line = play(number);
        let members = line.as_object_mut().expect("an object");
        members.remove("event_id");
        members.extend(more.as_object().expect("an object").clone());
        line
    };
    let spelt = [json!({"mvpd": "\\N"}), json!({"mvpd": " Cableco", "event_id": "e1"})];
    let spelt = [line(0, spelt[0].clone()), line(1, spelt[1].clone())];
    let plain = [line(0, json!({})), line(1, json!({"mvpd": "Cableco", "event_id": "e1"}))];
    let take = |lines: &[serde_json::Value]| {
        program.write("a.ndjson", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        let (code, report) = program.json(&["ingest", program.path("a.ndjson").to_str().expect("a path")]);
        (code, report["total"]["stored"].clone(), report["total"]["duplicates"].clone())
    };
    assert_eq!(take(&spelt), (0, 2.into(), 0.into()));
    assert_eq!(take(&plain), (0, 0.into(), 2.into()));
    // An earlier build made the identity and the content of the values as they were written.
    for line in &spelt {
        let identity = event(line.clone()).identity();
        let (id, content) = identity.former.expect("another identity");
        database.ask(&format!(
            "UPDATE passbridge.identity SET id = decode('{id}', 'hex'), content = {} WHERE id = decode('{}', 'hex')",
            content.0, identity.id
        ));
    }
    assert_eq!(take(&spelt), (0, 0.into(), 2.into()));
}

#[test]
fn an_idle_writer_elsewhere_and_a_forgotten_prepared_transaction_stop_no_drain() {
    let Some(cluster) = Cluster::start(&["max_prepared_transactions = 2"]) else { return };
    let database = Database::on(&cluster.url(), "prepared");
    let sandbox = collector("");
    let program = database.program();
    map(&program, &sandbox, &[]);
    database.on_server("CREATE TABLE written (n integer)");
    let elsewhere = database.session(&database.server, "BEGIN; INSERT INTO written VALUES (1);");
    database.ask("CREATE TABLE written (n integer); BEGIN; INSERT INTO written VALUES (1); PREPARE TRANSACTION 'forgotten'");
    for drained in 1..=2 {
        ingest(&program, "events.ndjson", drained * 10..drained * 10 + 10);
        let (code, drain) = program.json(&["drain"]);
        assert_eq!((code, &drain["delivered"], &drain["pending"]), (0, &10.into(), &0.into()), "{drain}");
    }
    assert_eq!(database.on_server("SELECT count(*) FROM pg_prepared_xacts"), "1");
    elsewhere.end("ROLLBACK;");
    database.ask("ROLLBACK PREPARED 'forgotten'");
    assert_eq!(counted(&sandbox), 20);
    assert_balanced(&program, 20);
}

#[test]
fn a_dump_in_a_fresh_server_is_drained_to_its_end_and_what_comes_later_too() {
    let Some(old) = Cluster::start(&[]) else { return };
    let from = Database::on(&old.url(), "dumped");
    let sandbox = collector("");
    let program = from.program();
    map(&program, &sandbox, &[]);
    // The transactions of the old server have numbers that the fresh one reaches only much later.
    from.ask("DO $$ BEGIN FOR n IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    ingest(&program, "sent.ndjson", 0..40);
    assert_eq!(program.run(&["drain"]).code, 0);
    ingest(&program, "waiting.ndjson", 40..100);
    let Some(fresh) = Cluster::start(&[]) else { return };
    let to = Database::on(&fresh.url(), "restored");
    let mut dump = Command::new(programs().join("pg_dump"));
    let mut dump = dump.arg(from.url()).stdout(Stdio::piped()).spawn().expect("pg_dump starts");
    let mut restore = Command::new("psql");
    restore.args([&to.url(), "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]);
    let restored = restore.stdin(dump.stdout.take().expect("it is piped")).status().expect("psql starts");
    assert!(restored.success() && dump.wait().expect("it ends").success());
    let program = Program::bare();
    program.write("c.toml", &format!("[buffer]\nurl = \"{}\"\n{CONFIG}", to.url()));
    ingest(&program, "later.ndjson", 100..110);
    let (code, drain) = program.json(&["drain"]);
    assert_eq!((code, &drain["delivered"], &drain["pending"]), (0, &70.into(), &0.into()), "{drain}");
    ingest(&program, "last.ndjson", 110..120);
    let (code, drain) = program.json(&["drain"]);
    assert_eq!((code, &drain["delivered"]), (0, &10.into()), "{drain}");
    assert_eq!((counted(&sandbox), sandbox.accepted_count()), (120, 120), "nothing is sent twice");
    // Where nothing waits, too, it is noticed once.
    to.ask(
        "UPDATE passbridge.event SET xid = '900000'; UPDATE passbridge.progress SET cut = '900000:900000:'",
    );
    let is_told = || program.run(&["status"]).err.contains("comes from another server");
    assert_eq!([is_told(), is_told()], [true, false]);
    ingest(&program, "end.ndjson", 120..121);
    let (code, drain) = program.json(&["drain"]);
    assert_eq!((code, &drain["delivered"], sandbox.accepted_count()), (0, &1.into(), 121), "{drain}");
    assert_balanced(&program, 121);
}

#[test]
fn a_worker_frozen_between_begin_and_commit_of_an_attempt_blocks_nobody_beyond_the_margin() {
    let Some(database) = Database::new("between") else { return };
    let sandbox = collector("latency=20ms");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..2_000);
    let mut frozen = program.command(&["drain"]).spawn().expect("the program starts");
    let pid = Pid::from_child(&frozen);
    assert!(sandbox.wait_accepted(50, PATIENCE));
    // Its session is idle in a transaction that has locked slices.
    let is_between = "SELECT count(*) FROM pg_stat_activity s JOIN pg_locks l USING (pid)
         WHERE s.datname = current_database() AND s.state = 'idle in transaction'
           AND l.relation = 'passbridge.slice'::regclass AND l.mode = 'RowShareLock'";
    let started = Instant::now();
    loop {
        kill_process(pid, Signal::STOP).expect("it stops");
        // What the server had to do then is done.
        sleep(Duration::from_millis(5));
        if database.ask(is_between) != "0" {
            break;
        }
        kill_process(pid, Signal::CONT).expect("it goes on");
        assert!(started.elapsed() < PATIENCE, "it is never between the two");
        sleep(Duration::from_millis(fastrand::u64(1..10)));
    }
    let owner = database.ask("SELECT DISTINCT owner FROM passbridge.slice WHERE owner IS NOT NULL");
    let mut heir = program.command(&["drain"]).spawn().expect("the program starts");
    let owned = format!("SELECT count(*) FROM passbridge.slice WHERE owner = '{owner}'");
    wait_until("the other has its slices", || database.ask(&owned) == "0");
    // The other looks for free slices twice a second.
    let is_soon = format!(
        "SELECT clock_timestamp() - gone_at < interval '2 s' FROM passbridge.worker WHERE worker = '{owner}'"
    );
    assert_eq!(database.ask(&is_soon), "t", "it has them soon after the margin");
    assert!(matches!(heir.wait().expect("it ends").code(), Some(0 | 3)));
    let (_, status) = program.json(&["status"]);
    assert_eq!((&status["pending"], &status["delivered"]), (&0.into(), &2_000.into()), "{status}");
    kill_process(pid, Signal::CONT).expect("it goes on");
    let ended = frozen.wait().expect("it ends").code();
    assert!(matches!(ended, Some(0 | 3 | 75)), "{ended:?}");
    assert_eq!((counted(&sandbox), database.ask(STALE_ATTEMPTS)), (2_000, "0".to_owned()));
    assert_balanced(&program, 2_000);
}

#[test]
fn a_killed_worker_leaves_at_most_eight_events_a_lane_in_doubt() {
    let Some(database) = Database::new("killed") else { return };
    let sandbox = collector("latency=50ms");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..1_000);
    let mut worker = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(100, PATIENCE));
    worker.kill().expect("it is killed");
    worker.wait().expect("it ends");
    let gone = "SELECT count(*) FROM passbridge.worker WHERE gone_at > clock_timestamp()";
    wait_until("it counts as dead", || database.ask(gone) == "0");
    let (_, status) = program.json(&["status"]);
    // It has 8 lanes, all of which were busy.
    let in_doubt = status["in_doubt"].as_u64().expect("a number");
    assert!((8..=64).contains(&in_doubt), "{status}");
    let (code, drain) = program.json(&["drain"]);
    assert_eq!((code, &drain["pending"], counted(&sandbox)), (0, &0.into(), 1_000), "{drain}");
}
