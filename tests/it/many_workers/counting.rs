//! What `report` says of a buffer in PostgreSQL: the same as of a file with the same events.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use passbridge::sandbox::Handle;
use serde_json::{Value, json};

use super::server::{Database, psql_file};
use super::{CONFIG, collector};
use crate::program::Program;

const KINDS: [&str; 9] = [
    "authn_requested",
    "authn_ok",
    "authn_failed",
    "authz_requested",
    "authz_ok",
    "authz_failed",
    "play_requested",
    "preflight_denied",
    "logout_completed",
];
/// One more, whose events a person discards.
const REQUESTORS: usize = 12;
const MVPDS: usize = 50;
const EVENTS: usize = 12_000;

/// The events of June 2026 with these numbers, always the same ones.
fn june(numbers: std::ops::Range<usize>) -> String {
    numbers.fold(String::new(), |mut lines, number| {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let mvpd = random.usize(..MVPDS);
        let kind = KINDS[random.usize(..KINDS.len())];
        let minute = random.u32(..30 * 24 * 60);
        let mut event = json!({
            "event_id": number.to_string(),
            "occurred_at": format!("2026-06-{:02}T{:02}:{:02}:07Z", 1 + minute / 1440, minute / 60 % 24, minute % 60),
            "event": kind,
            "requestor_id": format!("REF{:02}", random.usize(..REQUESTORS)),
            "count": 1 + random.u32(..3),
            "resource_id": format!("SPORT{}", random.u32(..4)),
        });
        // Some MVPDs have several spellings, some events have none.
        let spelled = if number % 97 == 0 { "PROVIDER" } else { "Provider" };
        if number % 53 != 0 {
            event["mvpd"] = format!("{spelled} {mvpd}").into();
        }
        let user = random.u32(..2_000);
        match user % 40 {
            0 => event["mvpd_user_id"] = format!("temppass_{user}").into(),
            1 => event["mvpd_user_id"] = "null".into(),
            2 => {}
            _ => event["mvpd_user_id"] = format!(" user{user}").into(),
        }
        for (name, values) in [("proxy", ["Hub", ""]), ("sdk_type", ["Roku", "iOS"]), ("device_type", ["TV", "Phone"])] {
            if random.bool() {
                event[name] = values[random.usize(..2)].into();
            }
        }
        if kind.ends_with("failed") || kind.ends_with("denied") {
            event["authz_error_type"] = ["noAuthZ", "network", "fraud"][random.usize(..3)].into();
        }
        writeln!(lines, "{event}").expect("a string takes all");
        lines
    })
}

/// Stores the month and discards the events of one more requestor.
fn live_through_june(program: &Program, sandbox: &Handle) {
    program.map("REF99", "examplersid", &sandbox.url(), &["--on-ambiguous", "hold"]);
    // Later files overlap earlier ones.
    for (file, numbers) in [0..5_000, 4_000..9_000, 8_000..EVENTS].into_iter().enumerate() {
        let file = program.file(&format!("{file}.ndjson"), &june(numbers));
        assert_eq!(program.run(&["ingest", &file]).code, 0);
    }
    let mut more = june(EVENTS..EVENTS + 6);
    (0..REQUESTORS).for_each(|number| more = more.replace(&format!("REF{number:02}"), "REF99"));
    let file = program.file("more.ndjson", &more);
    assert_eq!(program.run(&["ingest", &file]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3, "six are held");
    assert_eq!(program.json(&["held", "settle", "--discarded", "--all"]).1["discarded"], 6);
}

/// Every form of reports of the month, with what was asked for.
fn told(program: &Program) -> Vec<(String, String)> {
    let page = program.place("page.html");
    let mut told = Vec::new();
    let june = ["report", "--period", "2026-06"];
    for more in [
        &[][..],
        &["--json"],
        &["--csv"],
        &["--html", &page],
        &["--json", "--by", "requestor", "--by", "mvpd"],
        &["--csv", "--by", "mvpd", "--by", "day"],
        &["--json", "--by", "proxy", "--by", "sdk-type", "--by", "device"],
        &["--json", "--by", "hour", "--requestor", "REF03", "--requestor", "REF05"],
        &["--json", "--timezone", "Asia/Kolkata", "--by", "day"],
        &["--json", "--without-discarded"],
        &["--csv", "--without-discarded", "--by", "requestor"],
        &["--json", "--by", "resource_id", "--by", "requestor", "--without-discarded"],
        &["--json", "--by", "reason"],
        &["--json", "--by", "token_type", "--requestor", "REF05"],
    ] {
        let done = program.run(&[&june[..], more].concat());
        assert_eq!(done.code, 0, "{more:?}: {done:?}");
        assert!(more.contains(&"--html") || done.out.len() > 1_000, "{more:?}: {done:?}");
        told.push((more.join(" "), done.out));
    }
    let span = [
        "report",
        "--from",
        "2026-06-14T23:45:00Z",
        "--to",
        "2026-06-16T00:15:00Z",
        "--timezone",
        "UTC",
        "--json",
    ];
    told.push(("--from --to".to_owned(), program.run(&span).out));
    told.push(("page".to_owned(), fs::read_to_string(page).expect("a page")));
    told
}

#[track_caller]
fn assert_same(one: &[(String, String)], other: &[(String, String)]) {
    for ((asked, one), (_, other)) in one.iter().zip(other) {
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert!(one == other, "{asked}: {differs:?}");
    }
}

#[test]
fn a_month_of_twelve_requestors_and_fifty_mvpds_says_the_same_of_a_file_in_every_form_and_after_retention() {
    let Some(database) = Database::new("counting") else { return };
    let sandbox = collector("reset-after:100%");
    let (shared, file) = (database.program(), Program::with(CONFIG));
    live_through_june(&file, &sandbox);
    live_through_june(&shared, &sandbox);
    let of_file = told(&file);
    assert_same(&of_file, &told(&shared));
    let total: Value = serde_json::from_str(&of_file[1].1).expect("a document");
    assert!(
        total["discarded"].as_u64() > Some(5) && total["total"]["unique_users"].as_u64() > Some(1_500),
        "{total}"
    );
    // Folding changes no figure, and what is deleted stays counted, and stays known as discarded.
    let packs = "SELECT count(*), sum(users) FROM passbridge.metric_users";
    let before = database.ask(packs);
    database.ask("UPDATE passbridge.final SET at = at - interval '31 days'");
    assert_eq!(shared.json(&["retention"]).1["expired_discarded"], 6);
    let left = "SELECT (SELECT count(*) FROM passbridge.metric_delta), (SELECT max(n) FROM (
        SELECT count(*) AS n FROM passbridge.metric_users GROUP BY day) d)";
    assert_eq!(database.ask(left), "0|1", "{before}");
    let is_kept = |(asked, _): &&(String, String)| {
        !["resource_id", "reason", "token_type"].iter().any(|by| asked.contains(by))
    };
    let kept = |told: &[(String, String)]| told.iter().filter(is_kept).cloned().collect::<Vec<_>>();
    assert_same(&kept(&of_file), &kept(&told(&shared)));
    assert_eq!(shared.run(&["status", "--verify"]).code, 0);
    database.ask("UPDATE passbridge.metric_count SET units_15 = units_15 + 1 WHERE ctid = '(0,1)'");
    let done = shared.run(&["status", "--verify"]);
    assert!(done.code == 1 && done.out.contains("counted for reports"), "{done:?}");
}

#[test]
fn ingests_of_overlapping_files_at_the_same_time_count_each_event_once() {
    let Some(database) = Database::new("counting_at_once") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    let files: Vec<String> = (0..6)
        .map(|number| {
            let numbers = (number * 900..number * 900 + 1_500).rev();
            let lines: String =
                numbers.map(|number| june(number..number + 1).replace("PROVIDER", "Provider")).collect();
            shared.file(&format!("{number}.ndjson"), &lines)
        })
        .collect();
    let ingests: Vec<_> = files
        .iter()
        .map(|file| {
            let mut ingest = shared.command(&["ingest", file]);
            ingest.stdout(Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    for mut ingest in ingests {
        assert!(ingest.wait().expect("it ends").success());
    }
    files.iter().for_each(|name| assert_eq!(file.run(&["ingest", name]).code, 0));
    let done = shared.run(&["status", "--verify"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_same(&told(&file), &told(&shared));
}

/// A buffer as a release with the first steps of the schema made it.
pub(super) fn older(database: &Database, steps: &[&str]) -> Program {
    for file in ["schemas/postgres.sql", "fixtures/postgres/schema-1.sql"].iter().chain(steps) {
        psql_file(&database.url(), &Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    }
    database.ask(&format!("UPDATE passbridge.version SET schema = {}", steps.len() + 1));
    let program = Program::bare();
    program.write("c.toml", &format!("[buffer]\nurl = \"{}\"\n{CONFIG}", database.url()));
    program
}

#[test]
fn a_buffer_of_schema_3_is_drained_and_takes_in_what_is_new() {
    let Some(database) = Database::new("schema3") else { return };
    let program = older(&database, &["schemas/postgres-2.sql", "schemas/postgres-3.sql"]);
    let sandbox = collector("");
    program.map("REF40", "examplersid2", &sandbox.url(), &[]);
    program.write("new.ndjson", &june(0..50));
    assert_eq!(program.json(&["ingest", &program.place("new.ndjson")]).1["total"]["stored"], 50);
    assert_eq!(program.json(&["drain"]).1["delivered"], 4);
    assert_eq!(database.ask("SELECT schema FROM passbridge.version"), "5");
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn a_buffer_of_schema_1_goes_on_and_its_events_are_counted_once() {
    let Some(database) = Database::new("older") else { return };
    let program = older(&database, &[]);
    assert_eq!(program.run(&["status"]).code, 0);
    // A program of schema 1 that is still running stores nothing, and deletes nothing that is not counted yet.
    let columns = "seq, id, requestor, slot, occurred_at, count, mvpd_bucket, ecid_bucket, input, line, body";
    let store = format!(
        "INSERT INTO passbridge.event ({columns}) SELECT seq + 1000, {} FROM passbridge.event",
        &columns[5..]
    );
    for (old, caught) in
        [(store.as_str(), "check_violation"), ("DELETE FROM passbridge.event", "raise_exception")]
    {
        database.ask(&format!("DO $$ BEGIN {old}; EXCEPTION WHEN {caught} THEN RETURN; END $$"));
    }
    assert_eq!(database.ask("SELECT count(*) FROM passbridge.event"), "22");
    let march = ["report", "--period", "2026-03", "--timezone", "UTC", "--by", "requestor", "--json"];
    let reports: Vec<_> =
        (0..4).map(|_| program.command(&march).stdout(Stdio::piped()).spawn().expect("it starts")).collect();
    for report in reports {
        let done = report.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{done:?}");
        let report: Value = serde_json::from_slice(&done.stdout).expect("a document");
        let figures = |row: &Value| {
            [&row["events"][6], &row["events"][4], &row["unique_users"], &row["synthetic_users"]]
                .map(Value::clone)
        };
        assert_eq!(figures(&report["total"]), [json!(22), json!(6), json!(7), json!(1)]);
        assert_eq!(report["discarded"], 7);
        let rows = report["rows"].as_array().expect("rows").iter().map(figures).collect::<Vec<_>>();
        assert_eq!(rows[2], [json!(6), json!(0), json!(4), json!(0)]);
        assert!(
            report["remarks"].to_string().contains("Before 2026-03-03T09:00:00Z metrics are not whole"),
            "{report}"
        );
    }
    let done = program.run(&["status", "--verify"]);
    assert_eq!(done.code, 0, "{done:?}");
    let sandbox = collector("");
    program.map("REF40", "examplersid2", &sandbox.url(), &[]);
    program.write("new.ndjson", &june(0..50));
    assert_eq!(program.json(&["ingest", &program.place("new.ndjson")]).1["total"]["stored"], 50);
    assert_eq!(program.json(&["drain"]).1["delivered"], 4);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
    database.ask("UPDATE passbridge.version SET schema = 6");
    let done = program.run(&["report"]);
    assert!(done.code == 2 && done.err.contains("its schema is 6, this program knows 5"), "{done:?}");
}
