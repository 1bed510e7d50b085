//! What was taken back is as if it had never come in, and what may have been counted stays.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fixture;
use crate::program::{Program, lines};
use crate::support::{PATIENCE, buffer_options, sandbox};

/// Every row of the metrics, of what readers remember, of the identities and of the kinds of feeds; but not the spellings and
/// clocks that were ever met, which decide nothing alone.
fn state(program: &Program) -> Vec<String> {
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    let mut rows = Vec::new();
    for select in [
        "SELECT c.hour || ' ' || g.mvpd || ' ' || c.slot || ' ' || c.units_00 || ' ' || c.units_15 FROM metric_counts c
         JOIN metric_groups g USING (metric_group) ORDER BY 1",
        "SELECT day || ' ' || hex(packed) FROM metric_users ORDER BY 1",
        "SELECT hex(key) || ' ' || drops_at || ' ' || body FROM source_memory
         WHERE body NOT LIKE 'esm spelled %' AND body NOT LIKE 'esm clocks %' ORDER BY 1",
        "SELECT hex(id) FROM identities ORDER BY 1",
        "SELECT requestor || feed FROM feeds ORDER BY 1",
        "SELECT requestor || ' ' || starts_at || ' ' || accounts FROM esm_accounts ORDER BY 1",
    ] {
        let mut statement = database.prepare(select).expect("SQL");
        let found = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.extend(found.map(|row| row.expect("a text")));
    }
    rows
}

fn ingest(program: &Program, name: &str, text: &str) -> Value {
    let (code, document) = program.json(&["ingest", &program.file(name, text)]);
    assert_eq!(code, 0, "{document}");
    document["total"].clone()
}

fn assert_balanced(program: &Program) -> Value {
    let (code, status) = program.json(&["status", "--verify"]);
    assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{status}");
    status
}

#[test]
fn a_file_that_was_taken_back_left_nothing_and_goes_in_mended() {
    let program = Program::new();
    // Both files have events of the users u0 and u1, on the same day.
    let bad = lines(5)
        .replace("\"event_id\":\"e", "\"event_id\":\"b")
        .replace("\"mvpd\":\"M\"", "\"mvpd\":\"Wrong\"");
    ingest(&program, "good.ndjson", &lines(2));
    let before = state(&program);
    assert_eq!(ingest(&program, "bad.ndjson", &bad)["stored"], 5);
    let with_bad = state(&program);
    let bad_path = program.place("bad.ndjson");

    let groups = program.json(&["pending", "list", "--source", &bad_path]).1["pending"].clone();
    assert_eq!(
        (&groups[0]["events"], &groups[0]["with_attempt"], &groups[1]),
        (&json!(5), &json!(0), &Value::Null)
    );
    let asked = program.run(&["pending", "take-back", "--source", &bad_path]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(
        asked.err.contains("5 of 5 pending events would be taken back") && asked.err.contains("--yes"),
        "{asked:?}"
    );
    assert_eq!(state(&program), with_bad, "nothing is done without --yes");
    assert_eq!(
        program.run(&["pending", "take-back", "--yes"]).code,
        2,
        "everything is never meant by nothing"
    );

    let lock =
        Buffer::open(&buffer_options(program.path("passbridge.db"), &Clock::system())).expect("it opens");
    for hold in [0, 1] {
        let _drain = (hold == 0).then(|| lock.lock().expect("the lock of drains"));
        let _backfill = (hold == 1).then(|| lock.lock_backfill().expect("the lock of backfills"));
        assert_eq!(program.run(&["pending", "take-back", "--source", &bad_path, "--yes"]).code, 75);
    }
    let (code, taken) = program.json(&["pending", "take-back", "--source", &bad_path, "--yes"]);
    assert_eq!((code, &taken["taken_back"], &taken["units"]), (0, &json!(5), &json!(5)), "{taken}");
    assert_eq!(state(&program), before);
    let status = assert_balanced(&program);
    assert_eq!((&status["pending"], &status["accounting"]["taken_back"]["events"]), (&json!(2), &json!(5)));
    assert!(program.run(&["status"]).out.contains("+ taken back"));

    let mended = bad.replace("Wrong", "M");
    assert_eq!(ingest(&program, "bad.ndjson", &mended)["stored"], 5);
    assert_balanced(&program);
    // Slices: a requestor that is not there, and a span that ends before the events.
    for slice in
        [["--requestor", "OTHER"], ["--to", "2026-11-01T00:00:00Z"], ["--from", "2026-11-01T00:00:01Z"]]
    {
        assert_eq!(program.run(&["pending", "take-back", "--yes", slice[0], slice[1]]).code, 2, "{slice:?}");
    }
    let all = program
        .json(&["pending", "take-back", "--yes", "--from", "2026-11-01T00:00:00Z", "--requestor", "REF30"])
        .1;
    assert_eq!(all["taken_back"], 7);
    assert!(!state(&program).iter().any(|row| row == "1events"), "the kind of feed is free again");
    assert_balanced(&program);
}

#[test]
fn what_may_have_been_counted_or_was_delivered_is_never_taken_back() {
    let sandbox = sandbox("reset-after:50%; seed=3");
    let program =
        Program::with("[delivery]\nlanes = 2\ngive_up_seconds = 1\nmax_attempts = 1\nbackoff_base_ms = 5\n");
    program.suite(&sandbox.url());
    program.ingest(40);
    program.run(&["drain"]);
    program.run(&["ingest", &program.file("more.ndjson", &lines(50))]);
    let before = program.json(&["status", "--in-doubt"]).1;
    let in_doubt = before["in_doubt"].as_i64().expect("a number");
    let delivered = before["delivered"].as_i64().expect("a number");
    assert!(in_doubt > 0 && delivered > 0, "{before}");
    let (code, taken) = program.json(&["pending", "take-back", "--requestor", "REF30", "--yes"]);
    assert_eq!((code, &taken["left_with_attempt"]), (3, &json!(in_doubt)), "{taken}");
    let status = assert_balanced(&program);
    assert_eq!((&status["pending"], &status["delivered"]), (&json!(in_doubt), &json!(delivered)));
    assert_eq!(status["accounting"]["taken_back"]["events"], 50 - in_doubt - delivered);
}

fn esm_report(hour: u8, plays: u32, accounts: u32) -> String {
    let record = json!({
        "year": "2026", "month": "11", "day": "10", "hour": hour.to_string(), "requestor-id": "REF30", "mvpd": "M",
        "media-tokens": plays.to_string(), "unique-accounts": accounts.to_string(),
    });
    json!({ "_links": { "self": { "href": "/esm/v3/x?limit=10000" } }, "report": [record] }).to_string()
}

#[test]
fn the_totals_of_esm_and_the_kind_of_feed_go_back() {
    let program = Program::new();
    ingest(&program, "first.json", &esm_report(8, 10, 3));
    let first = state(&program);
    ingest(&program, "second.json", &esm_report(8, 17, 3));
    assert_eq!(program.json(&["status"]).1["accounting"]["pending"]["units"], 17);

    // The first increase cannot go while the second stays: the next report would count between the two again.
    let (code, taken) =
        program.json(&["pending", "take-back", "--source", &program.place("first.json"), "--yes"]);
    assert_eq!(
        (code, &taken["taken_back"], &taken["left_below_later"]),
        (3, &json!(0), &json!(1)),
        "{taken}"
    );
    let (code, taken) =
        program.json(&["pending", "take-back", "--source", &program.place("second.json"), "--yes"]);
    assert_eq!((code, &taken["units"]), (0, &json!(7)), "{taken}");
    let totals = |rows: Vec<String>| -> Vec<String> {
        let rows = rows.into_iter().filter(|row| row.contains("esm "));
        rows.map(|row| row.rsplit_once("esm ").expect("a row").1.split(' ').next().unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(totals(state(&program)), totals(first));
    assert_eq!(ingest(&program, "second.json", &esm_report(8, 12, 4))["stored"], 1);
    assert_eq!(program.json(&["status"]).1["accounting"]["pending"]["units"], 12);

    let (code, taken) = program.json(&["pending", "take-back", "--requestor", "REF30", "--yes"]);
    assert_eq!((code, &taken["units"]), (0, &json!(12)), "{taken}");
    assert_eq!(state(&program), Vec::<String>::new());
    // Another grouping, and single events of the same requestor, are taken now.
    program.ingest(2);
    assert_balanced(&program);
}

/// Takes in a report of ESM of the hour 8 as CSV.
fn esm_rows(program: &Program, name: &str, metrics: &str, rows: &[&str]) {
    let rows: String = rows.iter().map(|row| format!("2026,11,10,8,REF30,{row}\n")).collect();
    ingest(program, name, &format!("year,month,day,hour,requestor-id,mvpd,{metrics}\n{rows}"));
}

#[test]
fn what_a_correction_of_esm_stated_is_unknown_again_once_it_is_taken_back() {
    let program = Program::new();
    let told = || {
        let (_, report) = program.json(&["report", "--period", "2026-11-10", "--by", "hour", "--by", "mvpd"]);
        (report["rows"].clone(), report["total"].clone(), report["remarks"].to_string())
    };
    let take_back = |name: &str| {
        let (code, taken) =
            program.json(&["pending", "take-back", "--source", &program.place(name), "--yes"]);
        assert_eq!((code, &taken["left_with_attempt"]), (0, &json!(0)), "{taken}");
    };
    esm_rows(&program, "first.csv", "media-tokens,unique-accounts", &["M,10,3", "N,4,"]);
    let (rows, total, remarks) = told();
    assert_eq!(
        (&rows[0]["attempted_authentications"], &rows[0]["stated_unique_accounts"]),
        (&Value::Null, &json!(3))
    );
    let memory = state(&program).len();

    let all = "media-tokens,authn-attempts,authn-successful,unique-accounts";
    esm_rows(&program, "second.csv", all, &["M,17,5,0,4", "N,4,,0,2", "O,1,1,,1"]);
    let second = told();
    esm_rows(&program, "third.csv", "media-tokens,authz-attempts,unique-accounts", &["M,17,6,9"]);
    let third = told();
    assert_eq!(third.0[0]["stated_unique_accounts"], 9);
    take_back("third.csv");
    assert_eq!(told(), second);
    esm_rows(&program, "third.csv", "media-tokens,authz-attempts,unique-accounts", &["M,17,6,9"]);
    take_back("second.csv");
    let without_second = told();
    let row = &without_second.0[0];
    for (name, expected) in [
        ("attempted_authentications", Value::Null),
        ("successful_authentications", Value::Null),
        ("attempted_authorizations", json!(6)),
        ("stated_unique_accounts", json!(9)),
    ] {
        assert_eq!(row[name], expected, "{name} {row}");
    }
    take_back("third.csv");
    assert_eq!(told(), (rows, total, remarks));
    assert_eq!(state(&program).len(), memory);
    take_back("first.csv");
    assert_eq!(state(&program), Vec::<String>::new());
    assert_balanced(&program);
}

#[test]
fn what_the_first_report_of_an_hour_stated_takes_one_row_and_goes_back_alone() {
    let program = Program::new();
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the file");
    let kept = || -> i64 {
        let count = "SELECT count(*) FROM source_memory WHERE body LIKE 'esm before %'";
        database.query_row(count, [], |row| row.get(0)).expect("a count")
    };
    let stated = || -> Vec<(String, i64)> {
        let mut select =
            database.prepare("SELECT mvpd, accounts FROM esm_accounts ORDER BY mvpd").expect("SQL");
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    };
    esm_rows(&program, "first.csv", "media-tokens,unique-accounts", &["M,10,3", "N,4,2"]);
    assert_eq!(kept(), 0, "before the first report ESM had stated nothing");
    esm_rows(
        &program,
        "second.csv",
        "media-tokens,authn-attempts,unique-accounts",
        &["M,10,0,4", "N,4,0,2", "O,5,1,7"],
    );
    let take_back = |name: &str, units: u64| {
        let (_, taken) = program.json(&["pending", "take-back", "--source", &program.place(name), "--yes"]);
        assert_eq!(taken["units"], units, "{taken}");
    };
    take_back("first.csv", 14);
    assert_eq!(stated(), [("M".to_owned(), 4), ("O".to_owned(), 7)]);
    esm_rows(&program, "first.csv", "media-tokens,unique-accounts", &["M,10,3", "N,4,2"]);
    take_back("second.csv", 6);
    assert_eq!(stated(), [("M".to_owned(), 3), ("N".to_owned(), 2)]);
    take_back("first.csv", 14);
    assert_eq!(state(&program), Vec::<String>::new());
    assert_balanced(&program);
}

#[test]
fn exchanges_go_back_whole_and_only_the_newest_of_them() {
    let mut log = Vec::new();
    for name in ["login-authorize-logout", "polled-profiles-complete-login", "proxied-mvpd", "temppass"] {
        if let Ok(text) = std::fs::read_to_string(fixture::path(&format!("rest-v2/{name}.ndjson"))) {
            log.extend(text.lines().map(str::to_owned));
        }
    }
    let mut changed = 0;
    for cut in (1..log.len()).step_by(3) {
        let program = Program::new();
        ingest(&program, "first.ndjson", &log[..cut].join("\n"));
        let first = state(&program);
        ingest(&program, "second.ndjson", &log[cut..].join("\n"));
        let second = state(&program);
        let (first_path, second_path) = (program.place("first.ndjson"), program.place("second.ndjson"));
        let has =
            |path: &str| program.json(&["pending", "list", "--source", path]).1["pending"][0] != Value::Null;
        if has(&first_path) {
            let refused = program.run(&["pending", "take-back", "--source", &first_path, "--yes"]);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.err.contains("is not the newest input"), "{refused:?}");
        }
        if !has(&second_path) {
            continue;
        }
        let part =
            ["pending", "take-back", "--source", &second_path, "--yes", "--from", "2026-01-01T00:00:00Z"];
        let refused = program.run(&part);
        assert!(refused.code == 2 && refused.err.contains("only as a whole"), "{refused:?}");
        assert_eq!(program.run(&part[..5]).code, 0);
        assert_eq!(state(&program), first, "cut at {cut}");
        let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
        let kept = "SELECT count(*) FROM source_memory_before";
        assert_eq!(database.query_row(kept, [], |row| row.get::<_, i64>(0)).expect("a count"), 0);
        ingest(&program, "second.ndjson", &log[cut..].join("\n"));
        let keys = |rows: &[String]| -> BTreeSet<String> {
            rows.iter().map(|row| row.split(' ').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(keys(&state(&program)), keys(&second), "cut at {cut}");
        let before: BTreeSet<&String> = first.iter().collect();
        changed += usize::from(
            first.iter().any(|row| row.ends_with('}') && !second.contains(row)) && !before.is_empty(),
        );
        assert_balanced(&program);
    }
    assert!(changed > 0, "some cut goes through a login");
}

#[test]
fn users_of_a_day_of_which_events_are_gone_stay_and_the_report_says_so() {
    let sandbox = sandbox("");
    let program = Program::with("[buffer]\nretention_days = 0\n");
    program.suite(&sandbox.url());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(program.run(&["retention"]).code, 0);
    let users = || {
        let report = program.json(&["report", "--period", "2026-11-01", "--timezone", "UTC"]).1;
        (
            report["total"]["unique_users"].clone(),
            report["total"]["successful_play_requests"].clone(),
            report["remarks"].to_string(),
        )
    };
    ingest(&program, "bad.ndjson", &lines(5));
    assert_eq!((users().0, users().1), (json!(5), json!(5)));
    let (code, taken) =
        program.json(&["pending", "take-back", "--source", &program.place("bad.ndjson"), "--yes"]);
    assert_eq!(
        (code, &taken["taken_back"], &taken["days_with_old_users"]),
        (0, &json!(2), &json!(1)),
        "{taken}"
    );
    let (unique_users, plays, remarks) = users();
    assert_eq!((unique_users, plays), (json!(5), json!(3)));
    assert!(remarks.contains("Unique users of REF30 on the UTC day 2026-11-01"), "{remarks}");
    assert_balanced(&program);
}

#[test]
fn what_a_person_discarded_has_its_own_line_and_can_be_left_out() {
    let sandbox = sandbox("reset-after");
    let program = Program::with(
        "[buffer]\nretention_days = 0\n[delivery]\nlanes = 2\ngive_up_seconds = 1\nmax_attempts = 1\n",
    );
    program.map("REF30", "examplersid", &sandbox.url(), &["--on-ambiguous", "hold"]);
    program.ingest(4);
    program.run(&["drain"]);
    let held = program.json(&["status"]).1["held"].as_u64().expect("a number");
    assert!(held > 0);
    assert_eq!(program.run(&["held", "settle", "--discarded", "--all"]).code, 0);
    let period = ["report", "--period", "2026-11-01", "--timezone", "UTC"];
    for has_expired in [false, true] {
        if has_expired {
            assert_eq!(program.run(&["retention"]).code, 0);
        }
        for by in [&[][..], &["--by", "resource_id"]] {
            let report = program.json(&[&period, by].concat()).1;
            assert_eq!(
                (&report["discarded"], &report["total"]["successful_play_requests"]),
                (&json!(held), &json!(4))
            );
            assert!(
                report["remarks"].to_string().contains(&format!("a person discarded {held} units")),
                "{report}"
            );
            let without = program.json(&[&period, by, &["--without-discarded"]].concat()).1;
            assert_eq!(
                (&without["discarded"], &without["total"]["successful_play_requests"]),
                (&json!(held), &json!(4 - held))
            );
            let of_rows = without["rows"][0]["successful_play_requests"].as_u64().unwrap_or(0);
            assert!(by.is_empty() || of_rows == 4 - held, "{without}");
        }
    }
}

/// Twenty thousand events, taken back in two transactions.
fn many(program: &Program) -> Vec<&'static str> {
    program.ingest(20_000);
    vec!["pending", "take-back", "--requestor", "REF30", "--yes"]
}

#[test]
fn a_take_back_that_is_killed_leaves_the_account_balanced_and_goes_on() {
    for pause in [0, 50, 200] {
        let program = Program::new();
        let args = many(&program);
        let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
        let left = || -> u64 {
            database.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("a count")
        };
        let mut child =
            program.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let started = Instant::now();
        while left() == 20_000 {
            assert!(started.elapsed() < PATIENCE, "nothing is taken back");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
        let status = assert_balanced(&program);
        let pending = status["pending"].as_u64().expect("a number");
        let again = program.run(&args);
        assert!(again.code == 0 || pending == 0, "{again:?}");
        let status = assert_balanced(&program);
        assert_eq!(
            (&status["pending"], &status["accounting"]["taken_back"]["events"]),
            (&json!(0), &json!(20_000))
        );
    }
}

#[test]
fn a_take_back_on_a_full_disk_does_nothing_by_halves() {
    let program = Program::new();
    let args = many(&program);
    // No file may grow beyond 2 MB, as on a disk that is full.
    let failed = program.through_shell("trap '' XFSZ; ulimit -f 4000", &args);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_balanced(&program);
    assert_eq!(program.run(&args).code, 0);
    assert_eq!(assert_balanced(&program)["pending"], 0);
}
