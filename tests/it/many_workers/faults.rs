//! Faults at random against workers, ingests, the pooler and the server.
//!
//! `PASSBRIDGE_TEST_FAULTS=200 PASSBRIDGE_TEST_POSTGRES=... cargo test --release --test it -- many_workers::faults --nocapture` is the
//! full attack: 8 workers, 200,000 events of 20,000 visitors; `PASSBRIDGE_TEST_SEED` repeats one. Without a number it is small.

use std::collections::BTreeMap;
use std::env;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passbridge::sandbox::{EventRecording, Handle, SandboxOptions, SuiteSettings};
use rustix::process::{Pid, Signal, kill_process};

use super::server::{Cluster, Database, Pooler};
use super::{CONFIG, FROZEN};
use crate::program::Program;
use crate::support::{FIRST_SECOND, PATIENCE, sandbox_with};

const FAULTS: usize = 8;

/// The size of an attack.
#[derive(Clone, Copy)]
struct Size {
    workers: usize,
    /// A batch goes in before each fault, so that there is work for all.
    batch_events: usize,
    visitors: usize,
}

const SMALL: Size = Size { workers: 4, batch_events: 400, visitors: 2_000 };
const FULL: Size = Size { workers: 8, batch_events: 1_000, visitors: 20_000 };
/// The suite of every fifth visitor uses no event IDs.
const SUITES: [(&str, &str); 2] = [("REF30", "exact"), ("REF40", "bounded")];
/// The most time that all takes to settle after the last fault.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

struct Worker {
    child: Child,
    born: Instant,
    /// Until then it is stopped.
    thaws: Option<Instant>,
}

struct Attack {
    // It is dropped before its server.
    database: Database,
    cluster: Cluster,
    pooler: Option<Pooler>,
    /// What workers and ingests use: by way of the pooler.
    program: Program,
    /// What looks at the account.
    direct: Program,
    sandbox: Handle,
    workers: Vec<Worker>,
    random: fastrand::Rng,
    /// When the server or the pooler was last away.
    away: [Instant; 2],
    size: Size,
    events: usize,
}

fn config(url: &str) -> String {
    format!("[buffer]\nurl = \"{url}\"\n{CONFIG}")
}

impl Attack {
    fn begin(seed: u64, size: Size) -> Option<Attack> {
        let cluster = Cluster::start(&["max_connections = 200"])?;
        let database = Database::on(&cluster.url(), "faults");
        let pooler = Pooler::start(&cluster);
        let through = pooler.as_ref().map_or_else(|| cluster.url(), Pooler::url);
        let direct = Program::with(&config(&database.url()));
        let program = Program::bare();
        program.write("c.toml", &config(&database.url_at(&through)));
        let sandbox =
            sandbox_with("latency=10ms; reset-before:1%; reset-after:1%", |options: &mut SandboxOptions| {
                let settings = |recording| SuiteSettings { recording, ..SuiteSettings::default() };
                let [exact, bounded] = SUITES.map(|(_, rsid)| rsid.parse().expect("an rsid"));
                options.suites = BTreeMap::from([
                    (exact, settings(EventRecording::UseEventId)),
                    (bounded, settings(EventRecording::AlwaysRecord)),
                ]);
            });
        for ((requestor, rsid), ids) in SUITES.into_iter().zip(["on", "off"]) {
            direct.map(requestor, rsid, &sandbox.url(), &["--event-ids", ids]);
        }
        let random = fastrand::Rng::with_seed(seed);
        let away = [Instant::now(); 2];
        let mut attack = Attack {
            cluster,
            database,
            pooler,
            program,
            direct,
            sandbox,
            workers: Vec::new(),
            random,
            away,
            size,
            events: 0,
        };
        (0..size.workers).for_each(|_| attack.workers.push(attack.worker()));
        Some(attack)
    }

    fn worker(&self) -> Worker {
        let mut drain = self.program.command(&["drain"]);
        drain.stdout(Stdio::null()).stderr(Stdio::inherit());
        Worker { child: drain.spawn().expect("the program starts"), born: Instant::now(), thaws: None }
    }

    /// Wakes workers whose time has come, and begins those again that have ended as they should.
    fn tend(&mut self) {
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            if worker.thaws.is_some_and(|thaws| thaws <= Instant::now()) {
                kill_process(Pid::from_child(&worker.child), Signal::CONT).expect("it goes on");
                worker.thaws = None;
            }
            if let Some(status) = worker.child.try_wait().expect("a child") {
                // Who finds no server at its start says so and ends; whoever works waits for it.
                let [from, until] = self.away;
                let found_none = worker.born + Duration::from_secs(15) >= from && worker.born <= until;
                let is_well = matches!(status.code(), Some(0 | 3 | 4 | 75));
                assert!(is_well || found_none && status.code() == Some(1), "a worker ended by {status}");
                self.workers[place] = self.worker();
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend();
            sleep(Duration::from_millis(20));
        }
    }

    /// Something happens while a batch is ingested. Says what.
    fn fault(&mut self) -> &'static str {
        let mut ingest = self.ingest();
        let pause = Duration::from_millis(self.random.u64(..400));
        self.wait(pause);
        let place = self.random.usize(..self.workers.len());
        let pid = Pid::from_child(&self.workers[place].child);
        let what = match self.random.u32(..9) {
            0 | 1 => {
                self.workers[place].child.kill().expect("a worker is killed");
                self.workers[place].child.wait().expect("it ends");
                self.workers[place] = self.worker();
                "a worker is killed"
            }
            2 | 3 => {
                kill_process(pid, Signal::STOP).expect("a worker stops");
                self.workers[place].thaws = Some(Instant::now() + FROZEN);
                "a worker is frozen for longer than its lease"
            }
            4 => {
                kill_process(pid, Signal::STOP).expect("a worker stops");
                self.workers[place].thaws = Some(Instant::now() + Duration::from_secs(1));
                "a worker is frozen for a second"
            }
            5 => {
                self.away[0] = Instant::now();
                self.away[1] = Instant::now() + PATIENCE;
                self.cluster.pg_ctl(&["-w", "-m", "immediate", "restart"]);
                // A pooler tries a server again after some seconds.
                self.away[1] =
                    Instant::now() + Duration::from_secs(if self.pooler.is_some() { 20 } else { 1 });
                "the server is restarted at once"
            }
            6 => {
                self.database.ask(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()",
                );
                self.away = [Instant::now(), Instant::now() + Duration::from_secs(1)];
                "all connections are cut"
            }
            7 if self.pooler.is_some() => {
                self.away = [Instant::now(), Instant::now() + Duration::from_secs(2)];
                self.pooler.iter_mut().for_each(Pooler::kill_and_start);
                "the pooler is killed"
            }
            _ => {
                ingest.kill().expect("an ingest is killed");
                "an ingest is killed"
            }
        };
        // What ended early is done again: nothing of it is stored twice.
        while !ingest.wait().expect("it ends").success() {
            self.tend();
            sleep(Duration::from_millis(100));
            ingest = self.ingest();
        }
        self.events += self.size.batch_events;
        what
    }

    /// Begins to ingest the next batch.
    fn ingest(&self) -> Child {
        let lines = (self.events..self.events + self.size.batch_events)
            .map(|number| format!("{}\n", self.size.event(number)));
        let file = self.program.file("batch.ndjson", &lines.collect::<String>());
        let mut ingest = self.program.command(&["ingest", &file]);
        ingest.stdout(Stdio::null()).stderr(Stdio::null());
        ingest.spawn().expect("the program starts")
    }

    fn assert_balanced(&self, after: &str) -> i64 {
        let (code, status) = self.direct.json(&["status", "--verify"]);
        assert_eq!((code, &status["discrepancies"]), (0, &serde_json::json!([])), "after {after}: {status}");
        assert_eq!(
            (&status["accounting"]["balanced"], &status["accounting"]["ingested"]),
            (&true.into(), &self.events.into())
        );
        status["pending"].as_i64().expect("a number")
    }

    fn settle(&mut self) {
        let started = Instant::now();
        while self.assert_balanced("the last fault") > 0 {
            assert!(started.elapsed() < SETTLED_WITHIN, "{}", self.direct.json(&["status"]).1);
            self.wait(Duration::from_millis(500));
        }
    }

    fn assert_kept(&self) {
        let (_, status) = self.direct.json(&["status"]);
        assert_eq!((&status["delivered"], &status["in_doubt"]), (&self.events.into(), &0.into()), "{status}");
        let (mut latest, mut seen) = (BTreeMap::new(), vec![false; self.events]);
        for hit in self.sandbox.hits() {
            let number: usize = hit.evars[&6].parse().expect("a number");
            if !std::mem::replace(&mut seen[number], true) {
                let before = latest.insert(number % self.size.visitors, number);
                assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
            }
        }
        assert!(seen.iter().all(|seen| *seen), "events were lost");
        let of_bounded = (0..self.events).filter(|number| self.size.suite_of(*number) == 1).count() as u64;
        let [exact, bounded] = SUITES.map(|(_, rsid)| self.sandbox.counted(rsid).iter().sum::<u64>());
        assert_eq!(exact, self.events as u64 - of_bounded, "each event with an ID counts once");
        let over = status["over_count_max"].as_u64().expect("a number");
        assert!(
            (of_bounded..=of_bounded + over).contains(&bounded),
            "{of_bounded} counted as {bounded}, bound {over}"
        );
        tell(&format!("{bounded} counted of {of_bounded} without IDs; the bound was {over}"));
        // No worker records an attempt in a slice that has had a later owner.
        assert_eq!(self.database.ask(super::STALE_ATTEMPTS), "0");
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.child.kill().unwrap_or_default();
            worker.child.wait().map(drop).unwrap_or_default();
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever repeats an attack needs its seed, and wants to see how far it is"
)]
fn tell(what: &str) {
    eprintln!("{what}");
}

impl Size {
    fn suite_of(self, number: usize) -> usize {
        usize::from((number % self.visitors).is_multiple_of(5))
    }

    fn event(self, number: usize) -> serde_json::Value {
        serde_json::json!({
            "occurred_at": FIRST_SECOND + (number / self.visitors) as i64,
            "event": "play_requested",
            "requestor_id": SUITES[self.suite_of(number)].0,
            "event_id": number.to_string(),
            "mvpd_user_id": format!("user{}", number % self.visitors),
            "resource_id": number.to_string(),
        })
    }
}

#[test]
fn faults_at_random_lose_nothing_repeat_only_what_is_named_and_keep_the_order() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let faults = number("PASSBRIDGE_TEST_FAULTS").map_or(FAULTS, |faults| faults as usize);
    let seed = number("PASSBRIDGE_TEST_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    tell(&format!("PASSBRIDGE_TEST_SEED={seed}"));
    let size = if faults > FAULTS { FULL } else { SMALL };
    let Some(mut attack) = Attack::begin(seed, size) else { return };
    let started = Instant::now();
    for fault in 1..=faults {
        let what = attack.fault();
        let pending = attack.assert_balanced(what);
        tell(&format!("{} s, fault {fault}: {what}; {pending} pending", started.elapsed().as_secs()));
    }
    attack.settle();
    attack.assert_kept();
    let (seconds, events) = (started.elapsed().as_secs(), attack.events);
    tell(&format!("{faults} faults, {events} events of {} visitors: kept, after {seconds} s", size.visitors));
}
