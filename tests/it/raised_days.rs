//! A live file that adds too much to days that were delivered already is kept out, and ordinary late events are not.

use std::fmt::Write;

use passbridge::clock::Clock;
use passbridge::config::IngestConfig;
use passbridge::event::Instant;
use passbridge::ingest::{FormatChoice, IngestOptions, InputPath, load};
use serde_json::{Value, json};

use crate::program::Program;
use crate::support::{House, sandbox};

/// So many events of a day, each with an event ID that begins with `prefix`.
fn day(date: &str, prefix: &str, count: usize) -> String {
    let line = |number: usize| {
        format!(
            "{{\"occurred_at\":\"{date}T{:02}:{:02}:00Z\",\"event\":\"authn_ok\",\"requestor_id\":\"REF30\",\
             \"event_id\":\"{prefix}{number}\",\"mvpd_user_id\":\"u{}\"}}\n",
            number / 60 % 24,
            number % 60,
            number % 97
        )
    };
    (0..count).map(line).collect()
}

/// A buffer that has delivered 100 events of 2026-10-01.
fn delivered() -> (Program, passbridge::sandbox::Handle) {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let live = program.file("live.ndjson", &day("2026-10-01", "a", 100));
    assert_eq!(program.run(&["ingest", &live]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    (program, sandbox)
}

fn pending(program: &Program) -> Value {
    program.json(&["status"]).1["pending"].clone()
}

#[test]
fn a_file_that_is_a_delivered_day_in_another_form_is_kept_out_whole_until_the_day_is_named() {
    let (program, _sandbox) = delivered();
    let text = day("2026-10-02", "new", 5) + &day("2026-10-01", "again", 51);
    let again = program.file("again.ndjson", &text);
    let other = program.file("other.ndjson", &day("2026-10-03", "o", 3));
    let (code, report) = program.json(&["ingest", &again, &other]);
    assert_eq!((code, &report["total"]["stored"]), (3, &json!(3)), "{report}");
    let why = report["inputs"][0]["unused"].as_str().expect("a reason");
    assert!(why.contains("REF30 2026-10-01 authn_ok: 51 more than 100 delivered and 0 waiting"), "{why}");
    assert!(why.ends_with("--accept-days 2026-10-01"), "{why}");
    assert_eq!(pending(&program), 3);
    let listed = program.json(&["inputs", "list"]).1;
    let listed = listed["inputs"].as_array().expect("inputs").iter();
    let kept_out = listed.filter(|input| input["summary"]["unused"].is_string()).count();
    assert_eq!(kept_out, 1, "an input that was kept out is in the list");
    // What was delivered comes again as duplicates, however often, and half as much more goes in.
    let same = program.path("live.ndjson").to_str().expect("UTF-8").to_owned();
    assert_eq!(program.json(&["ingest", &same]).1["total"]["duplicates"], 100);
    let half = program.file("half.ndjson", &day("2026-10-01", "half", 50));
    assert_eq!(program.run(&["ingest", &half]).code, 0);
    let (code, report) = program.json(&["ingest", &again, "--accept-days", "2026-10-01"]);
    assert_eq!((code, &report["total"]["stored"]), (0, &json!(56)), "{report}");
}

#[test]
fn a_re_export_in_parts_is_stopped_at_the_part_that_is_too_much() {
    let (program, _sandbox) = delivered();
    let parts: Vec<String> = (0..5)
        .map(|part| program.file(&format!("{part}.ndjson"), &day("2026-10-01", &format!("p{part}-"), 20)))
        .collect();
    let args: Vec<&str> = ["ingest"].into_iter().chain(parts.iter().map(String::as_str)).collect();
    let (code, report) = program.json(&args);
    assert_eq!((code, &report["total"]["stored"]), (3, &json!(40)), "{report}");
}

#[test]
fn a_large_file_is_looked_at_to_its_end_before_anything_of_its_late_events_is_stored() {
    let (program, _sandbox) = delivered();
    // The events of the delivered day are in the second portion of the first, and on both ends of the other.
    let now = Clock::system().now().nanos();
    let recent = day(&Instant::from_nanos(now - 86_400_000_000_000).to_the_day(), "recent", 10_500);
    let behind = program.file("behind.ndjson", &(recent.clone() + &day("2026-10-01", "again", 80)));
    let (code, report) = program.json(&["ingest", &behind]);
    assert_eq!((code, &report["total"]["stored"]), (3, &json!(10_000)), "{report}");
    let why = report["inputs"][0]["unused"].as_str().expect("a reason");
    assert!(
        why.contains("80 more than 100 delivered") && why.contains("pending take-back --input 2"),
        "{why}"
    );
    assert_eq!(program.run(&["pending", "take-back", "--input", "2", "--yes"]).code, 0);
    let ends = day("2026-10-01", "x", 40) + &recent + &day("2026-10-01", "y", 40);
    let ends = program.file("ends.ndjson", &ends);
    let (code, report) = program.json(&["ingest", &ends]);
    assert_eq!((code, &report["total"]["stored"], pending(&program)), (3, &json!(0), json!(0)), "{report}");
}

#[test]
fn a_pipe_and_the_inbox_tell_of_raised_days_and_take_the_events() {
    let (program, _sandbox) = delivered();
    let piped = {
        let mut command = program.command(&["ingest", "-"]);
        let path = program.file("piped.ndjson", &day("2026-10-01", "piped", 60));
        command.stdin(std::fs::File::open(path).expect("a file"));
        crate::program::done(command)
    };
    assert_eq!(piped.code, 0, "{piped:?}");
    let told = "REF30 2026-10-01 authn_ok: 60 more than 100 delivered";
    assert!(piped.err.contains(told) && piped.err.contains("passbridge pending list"), "{piped:?}");
    assert_eq!(pending(&program), 60);
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    for line in day("2026-10-01", "row", 100).lines() {
        database.execute("INSERT INTO inbox VALUES (?1)", [line]).expect("a row");
    }
    let drained = program.run(&["drain"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(drained.err.contains("REF30 2026-10-01 authn_ok: 100 more"), "{drained:?}");
}

#[test]
fn a_month_of_ordinary_files_with_late_events_stops_nothing() {
    const HALF_HOUR: i64 = 1_800;
    const FIRST: i64 = 1_790_812_800; // 2026-10-01T00:00:00Z
    let sandbox = sandbox("");
    let at = |seconds: i64| Instant::from_nanos(seconds * 1_000_000_000);
    let house = House::at(Clock::fixed(at(FIRST)));
    house.suite(&sandbox.url());
    let config = IngestConfig {
        rejects_dir: house.dir.path().join("rejects"),
        min_free_bytes: 0,
        ..IngestConfig::default()
    };
    let options = IngestOptions {
        job: Default::default(),
        format: FormatChoice::Auto,
        config,
        rest_v2: Default::default(),
        secret: None,
        service_keys: Default::default(),
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: Some(Vec::new()),
        accept_missing: Vec::new(),
        esm: Default::default(),
        clock: house.clock.clone(),
    };
    // Common events and rare ones; every twentieth is up to six days late.
    let kinds = ["play_requested", "authz_ok", "authz_ok", "authz_ok", "authn_ok", "authz_failed"];
    let (mut seed, mut number, mut late) = (7_u64, 0_i64, 0_u32);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let path = house.dir.path().join("half-hour.ndjson");
    for slot in 1..=30 * 48 {
        let now = FIRST + slot * HALF_HOUR;
        house.clock.set(at(now));
        let mut text = String::new();
        for _ in 0..10 {
            number += 1;
            let delay = if random(20) == 0 { random(6 * 86_400) as i64 } else { 0 };
            let second = (now - 1 - random(1_800) as i64 - delay).max(FIRST);
            late += u32::from(second < (now / 86_400 - 1) * 86_400);
            let kind = if random(200) == 0 { "authn_failed" } else { kinds[random(6) as usize] };
            writeln!(
                text,
                "{{\"occurred_at\":{second},\"event\":\"{kind}\",\"requestor_id\":\"REF30\",\"event_id\":\"e{number}\"}}"
            )
            .expect("memory");
        }
        std::fs::write(&path, text).expect("a file");
        let summary = load(&*house.buffer, &[InputPath::new(&path)], &options, &mut ()).expect("an ingest");
        assert_eq!((summary.total.stored, &summary.warnings), (10, &Vec::new()), "file {slot}");
        if slot % 48 == 0 {
            assert_eq!(house.drain().pending, 0);
        }
    }
    assert!(late > 200, "{late} events came after their day had ended for a day");
}
