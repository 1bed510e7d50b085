//! The acceptance test of backfills: a history of many files goes by either route through faults and kills, and every valid
//! event of it counts exactly once.
//!
//! ```text
//! BACKFILL_EVENTS=2000000 cargo test --release --test it backfill_at_scale -- --nocapture --test-threads 1
//! ```
//!
//! is the full size: 40 files and 20 kills for each route. Without the variable it is 20,000 events, 12 files and 6 kills.
//! Limits and waits are a hundredth of Adobe's, for the program and for the sandbox, which judges whether they are kept.

mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use passbridge::buffer::{Buffer, JobCounts};
use passbridge::clock::Clock;
use passbridge::sandbox::{BulkFault, BulkSettings, EventRecording, Handle, SandboxOptions, SuiteSettings};
use serde_json::{Value, json};

use self::history::{History, REQUESTORS};
use crate::program::Program;
use crate::support::{RSID, buffer_options, counted, sandbox_with};

/// What the exchanges of a requestor have and its other files do not.
const MISSING: &str = "sdk_type,sdk_version,device_type,operating_system,primary_hardware_type,ttl,authentication_type,latency_ms,device_model,\
    device_version,device_hardware_vendor,device_hardware_manufacturer,device_os_name,device_os_version,\
    normalized_clientless_device_type,device_id";
const CONFIG: &str = "
[buffer]
path = \"passbridge.db\"
[delivery]
lanes = 32
give_up_seconds = 10
backoff_base_ms = 5
backoff_max_seconds = 1
max_attempts = 50
request_timeout_seconds = 5
[log]
level = \"error\"
[bulk]
client_id = \"client\"
call_spacing_ms = 10
group_spacing_ms = 200
lookup_ms = 600
backoff_base_ms = 20
backoff_max_ms = 1200
request_timeout_seconds = 30
company = \"acme\"
";
/// A kill that has not struck by then will not.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at the counts of a job that is to be killed.
const POLL: Duration = Duration::from_millis(5);
/// What the faults of the DIA route are.
const DIA_FAULTS: &str = "reset-before:0.2%; reset-after:0.2%; reset-mid-reply:0.1%; 429:0.2% retry-after=0; status=503:0.1%; seed=7";

/// How much of it.
struct Size {
    events: u64,
    files: usize,
    kills: usize,
    file_rows: u64,
}

impl Size {
    fn of_environment() -> Size {
        match std::env::var("BACKFILL_EVENTS") {
            Ok(events) => Size {
                events: events.parse().expect("BACKFILL_EVENTS is a number"),
                files: 40,
                kills: 20,
                file_rows: 10_000,
            },
            Err(_) => Size { events: 20_000, files: 12, kills: 6, file_rows: 500 },
        }
    }

    /// So many that the rows of a file, and not the spacing of a group, tell when the next one may go.
    fn group_rows_per_second(&self) -> u64 {
        4 * self.file_rows
    }
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So many events are loaded.
    Loaded(u64),
    /// The sandbox has accepted so many hits.
    Accepted(u64),
    /// So many events are recorded as delivered, or dead.
    Settled(u64),
}

struct Acceptance {
    size: Size,
    program: Program,
    sandbox: Handle,
    history: History,
    rng: Rng,
    since: Instant,
}

impl Acceptance {
    fn new(faults: &str, bulk: BulkSettings, recording: EventRecording) -> Acceptance {
        let since = Instant::now();
        let size = Size::of_environment();
        let sandbox = sandbox_with(faults, |options: &mut SandboxOptions| {
            let settings = SuiteSettings { recording, ..SuiteSettings::default() };
            options.suites = BTreeMap::from([(RSID.parse().expect("an rsid"), settings)]);
            options.bulk = BulkSettings { group_rows_per_second: size.group_rows_per_second(), ..bulk };
            options.keeps_digests_only = true;
        });
        let program = Program::bare();
        program.write("secret", "secret-of-client\n");
        let (url, file_rows, group_rate) = (sandbox.url(), size.file_rows, size.group_rows_per_second());
        program.write(
            "c.toml",
            &format!(
                "{CONFIG}rate = {}\ngroup_rows_per_second = {group_rate}\nfile_rows = {file_rows}\n\
                 client_secret_file = \"secret\"\nurl = \"{url}/aa/collect/v1/events\"\n\
                 ims_url = \"{url}/ims/token/v3\"\n",
                2 * group_rate
            ),
        );
        assert_eq!(program.run(&["init"]).code, 0);
        let [one, other] = REQUESTORS;
        let add = ["suite", "add", "--requestor", one, other, "--rsid", RSID, "--collection-url", &url];
        assert_eq!(program.run(&add).code, 0);
        let folder = program.path("history");
        std::fs::create_dir(&folder).expect("a folder");
        let history = History::write(&folder, size.events, size.files, 42);
        let run = Acceptance { size, program, sandbox, history, rng: Rng::with_seed(42), since };
        run.tell(&format!("{} events in {} files are written", run.history.total(), run.history.paths.len()));
        run
    }

    fn tell(&self, what: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        #[expect(clippy::print_stderr, reason = "whoever runs the full size wants to see how far it is")]
        {
            eprintln!("{seconds:7.1} s  {what}");
        }
    }

    fn files(&self) -> Vec<&str> {
        self.history.paths.iter().map(|path| path.to_str().expect("UTF-8")).collect()
    }

    /// Plans the history, and compares the plan with what was written.
    fn plan(&self, via: &str) {
        let args = [&["backfill", "plan", "h", "--via", via], &self.files()[..]].concat();
        let (code, plan) = self.program.json(&args);
        assert_eq!(code, 3, "lines are rejected: {}", plan["warnings"]);
        let history = &self.history;
        assert_eq!(
            (
                &plan["total"]["events"],
                &plan["total"]["dead"],
                &plan["total"]["conflicts"],
                &plan["rejected"]
            ),
            (&json!(history.total()), &json!(0), &json!(0), &json!(history.bad_total()))
        );
        let repeated = plan["total"]["duplicates_in_inputs"].as_u64().expect("a number");
        assert!(repeated >= history.repeated, "{repeated} of {} repeats", history.repeated);
        self.tell("planned");
    }

    /// Runs it, and kills it again and again: a third of the times while it loads.
    fn kill_often(&mut self) {
        let (kills, total) = (self.size.kills as u64, self.history.total());
        let mut args = vec!["backfill", "run", "h", "--accept-missing", MISSING];
        let loading = kills / 3;
        let mut struck_while_loading = 0;
        for kill in 0..kills {
            let child = self.start(&args);
            let moment = if kill == 0 {
                // In the middle of the first file, which is a log of exchanges.
                Moment::Loaded(self.history.first_log / 2)
            } else if kill < loading {
                let share = total / loading;
                Moment::Loaded(share * kill + self.rng.u64(1..share))
            } else if kill % 2 == 0 {
                Moment::Accepted(self.later(self.sandbox.accepted_count(), kills - kill))
            } else {
                Moment::Settled(self.later(settled(&self.counts()), kills - kill))
            };
            self.kill_at(child, moment, kill);
            args = vec!["backfill", "resume", "h"];
            let counts = self.counts();
            struck_while_loading += u64::from(counts.events < total);
            self.assert_balanced();
            let what = format!("kill {}: {moment:?}; {counts:?}", kill + 1);
            self.tell(&what);
        }
        self.tell(&format!("{struck_while_loading} kills struck while it loaded"));
        let (code, report) = self.program.json(&args);
        assert_eq!((code, &report["state"], &report["pending"]), (3, &json!("done"), &json!(0)), "{report}");
        self.tell("done");
    }

    /// A number between this one and nine tenths of all events that leaves room for the kills still to come; the last tenth is
    /// for looks that come late.
    fn later(&mut self, so_far: u64, kills_left: u64) -> u64 {
        let share = (self.history.total() * 9 / 10).saturating_sub(so_far) / (kills_left + 1);
        so_far + self.rng.u64(share / 2..=share * 3 / 2).max(1)
    }

    fn start(&self, args: &[&str]) -> Child {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(self.program.path("errors"));
        let mut command = self.program.command(args);
        command.stdout(Stdio::null()).stderr(errors.expect("a file"));
        command.spawn().expect("the program starts")
    }

    fn kill_at(&self, mut child: Child, moment: Moment, kill: u64) {
        let since = Instant::now();
        loop {
            let looked_at = Instant::now();
            let has_come = match moment {
                Moment::Accepted(hits) => self.sandbox.wait_accepted(hits, Duration::from_millis(200)),
                Moment::Loaded(events) => self.counts().events >= events,
                Moment::Settled(events) => settled(&self.counts()) >= events,
            };
            if has_come {
                break;
            }
            let ended = child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "kill {kill} at {moment:?}: it ended: {ended:?}\n{}", self.errors());
            assert!(since.elapsed() < PATIENCE, "kill {kill} at {moment:?} never came\n{}", self.errors());
            if !matches!(moment, Moment::Accepted(_)) {
                // Looking at much takes long, and what is looked at should go on meanwhile.
                std::thread::sleep(POLL.max(3 * looked_at.elapsed()));
            }
        }
        child.kill().expect("it is killed");
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.code(), None, "kill {kill} at {moment:?}: it ended before\n{}", self.errors());
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.program.path("errors")).unwrap_or_default()
    }

    /// The counts of the job, read beside whatever runs.
    fn counts(&self) -> JobCounts {
        let options = buffer_options(self.program.path("passbridge.db"), &Clock::system());
        let buffer = Buffer::open(&options).expect("the buffer opens");
        let job = buffer.job(&"h".parse().expect("a name")).expect("the job");
        buffer.job_counts(job.key).expect("its counts")
    }

    fn assert_balanced(&self) -> Value {
        let (code, status) = self.program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{status}");
        status
    }

    /// `backfill status`.
    fn status(&self) -> Value {
        let (code, document) = self.program.json(&["backfill", "status", "h"]);
        assert_eq!(code, 0, "{document}");
        document["backfills"][0].clone()
    }

    /// Each file's bad lines are in its rejects file, no other line is, and each has its reason.
    fn assert_rejects(&self, status: &Value) {
        let inputs = status["inputs"].as_array().expect("inputs");
        assert_eq!(inputs.len(), self.history.paths.len());
        for input in inputs {
            let path = Path::new(input["path"].as_str().expect("a path"));
            let bad = &self.history.bad[path];
            assert_eq!(input["counts"]["rejected"], bad.len(), "{input}");
            let rejects = input["rejects"].as_str().map(|path| self.program.path(path));
            let text = rejects.map_or(String::new(), |path| std::fs::read_to_string(path).expect("rejects"));
            let rejected: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let lines: BTreeSet<u64> = rejected.iter().filter_map(|line| line["line"].as_u64()).collect();
            assert!(
                lines.iter().eq(bad.keys()) && rejected.len() == bad.len(),
                "{path:?}: {lines:?}, {bad:?}"
            );
            for line in rejected {
                let reason = line["reason"].as_str().expect("a reason");
                let expected = bad[&line["line"].as_u64().expect("a number")];
                assert!(reason.contains(expected), "{expected}: {line}");
            }
        }
    }

    /// Each numbered event that the sandbox accepted came with one serial of its own and as its kind; gives, by kind, how many
    /// events of the history were never accepted.
    fn missing(&self) -> [u64; 18] {
        const PAGE: usize = 100_000;
        let mut serials = vec![0_u64; self.history.numbered as usize];
        let mut missing = self.history.events;
        let mut others = BTreeSet::new();
        let mut offset = 0;
        loop {
            let hits = self.sandbox.hits_page(None, offset, PAGE);
            offset += hits.len();
            for hit in &hits {
                let slot = hit.slot.expect("one of the eighteen");
                let mut hasher = DefaultHasher::new();
                hit.serial.as_ref().expect("a serial").hash(&mut hasher);
                let serial = hasher.finish();
                let number: Option<u64> = hit.evars.get(&6).and_then(|text| text.parse().ok());
                let is_new = match number {
                    Some(number) => {
                        assert_eq!(history::kind(number).slot(), slot, "event {number}");
                        let known = std::mem::replace(&mut serials[number as usize], serial);
                        assert!(known == 0 || known == serial, "event {number} came with two serials");
                        known == 0
                    }
                    None => others.insert(serial),
                };
                missing[usize::from(slot) - 1] -= u64::from(is_new);
            }
            if hits.len() < PAGE {
                return missing;
            }
        }
    }

    /// What holds by either route; gives the events that the sandbox has not counted.
    fn assert_whole(&self) -> u64 {
        let status = self.assert_balanced();
        assert_eq!(status["pending"], 0);
        let mut violations = self.sandbox.summary().violations;
        // A kill may come between a validation and its record, so the next run validates again.
        violations.remove("BDIA-37");
        assert_eq!(violations, BTreeMap::new(), "{:?}", first(&self.sandbox));
        assert_eq!(self.sandbox.summary().inversions, 0);
        let missing = self.missing();
        let by_kind = self.sandbox.counted(RSID);
        let expected: Vec<u64> =
            self.history.events.iter().zip(missing).map(|(all, few)| all - few).collect();
        assert_eq!(by_kind.to_vec(), expected, "each accepted event counts once");
        self.assert_rejects(&self.status());
        let left = std::fs::read_dir(self.program.path("bulk/h")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "files are left");
        missing.iter().sum()
    }

    /// The whole history as another backfill sends nothing.
    fn assert_known(&self, via: &str) {
        let before = self.sandbox.summary();
        let options = ["backfill", "run", "again", "--via", via, "--accept-missing", MISSING];
        let args = [&options[..], &self.files()[..]].concat();
        let (code, report) = self.program.json(&args);
        assert_eq!((code, &report["state"], &report["events"]), (3, &json!("done"), &json!(0)), "{report}");
        assert_eq!(self.sandbox.summary().requests, before.requests);
        self.assert_balanced();
        self.tell("run again, which sent nothing");
    }
}

fn settled(counts: &JobCounts) -> u64 {
    counts.delivered + counts.dead
}

fn first(sandbox: &Handle) -> Vec<String> {
    sandbox.violations().iter().take(10).map(|violation| format!("{violation:?}")).collect()
}

#[test]
fn a_history_by_files_counts_each_event_once_through_faults_and_kills() {
    let faults = BulkSettings {
        call_spacing_ms: 10,
        group_spacing_ms: 200,
        company: "acme".to_owned(),
        faults: [
            (BulkFault::LoseAnswer, 8.0),
            (BulkFault::BreakBefore, 5.0),
            (BulkFault::Busy, 8.0),
            (BulkFault::ServerError, 4.0),
            (BulkFault::ServerErrorAfter, 4.0),
        ]
        .into(),
        forget_tokens_after: 7,
        token_seconds: 4,
        lookup_blind_ms: 100,
        invalid_rows_per_100000: 100,
        name_all_invalid: true,
        seed: 1,
        ..BulkSettings::default()
    };
    let mut run = Acceptance::new("", faults, EventRecording::AlwaysRecord);
    run.plan("bulk");
    run.kill_often();
    let missing = run.assert_whole();

    // Of a file whose answer was lost, nobody tells the program which rows were refused: they count as delivered, and the
    // program says which files those are.
    let status = run.status();
    let of = |name: &str| status[name].as_u64().unwrap_or_else(|| panic!("no {name}: {status}"));
    let received = run.sandbox.bulk_files();
    let files: BTreeMap<&str, (u64, u64)> =
        received.iter().map(|file| (file.key.as_str(), (file.rows, file.invalid_rows))).collect();
    assert_eq!((files.len(), of("files")), (received.len(), received.len() as u64), "each file went once");
    let looked_up: Vec<&str> =
        status["looked_up_files"].as_array().expect("keys").iter().filter_map(Value::as_str).collect();
    let rows: u64 = looked_up.iter().map(|key| files[key].0).sum();
    let unnoticed: u64 = looked_up.iter().map(|key| files[key].1).sum();
    let refused: u64 = files.values().map(|file| file.1).sum();
    let total = run.history.total();
    assert!(!looked_up.is_empty() && of("dead") > 0, "{status}");
    assert_eq!(of("looked_up_rows"), rows);
    assert_eq!((of("dead"), missing), (refused - unnoticed, refused));
    assert_eq!((of("events"), of("delivered")), (total, total - of("dead")));
    assert_eq!(counted(&run.sandbox), of("delivered") - unnoticed);
    run.tell(&format!(
        "{} files, {} looked up; {refused} rows refused, {unnoticed} of them in files that were looked up",
        files.len(),
        looked_up.len()
    ));
    run.assert_known("bulk");
}

#[test]
fn a_history_by_single_hits_counts_each_event_once_through_faults_and_kills() {
    let mut run = Acceptance::new(DIA_FAULTS, BulkSettings::default(), EventRecording::UseEventId);
    run.plan("dia");
    run.kill_often();
    assert_eq!(run.assert_whole(), 0, "every event is counted");
    let (status, total) = (run.status(), run.history.total());
    assert_eq!((&status["delivered"], &status["dead"]), (&json!(total), &json!(0)));
    assert_eq!(counted(&run.sandbox), total);
    let repeats = run.sandbox.accepted_count() - total;
    run.tell(&format!("{repeats} hits were repeats, which do not count"));
    run.assert_known("dia");
}
