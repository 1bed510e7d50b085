//! What came of each input, of its rejected lines, and of the dead letters, without a look into files.

use std::fs;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::program::{Done, Program, lines};
use crate::support::sandbox;

fn ingest(program: &Program, name: &str, text: &str, options: &[&str]) -> Done {
    program.run(&[&["ingest", &program.file(name, text)], options].concat())
}

#[test]
fn an_input_has_its_counts_digest_and_reasons_in_list_show_and_status() {
    let program = Program::new();
    let text = format!("{}no event\nnor this 7\n{{\"event\":\"nope\"}}\n", lines(2));
    assert_eq!(ingest(&program, "first.ndjson", &text, &[]).code, 3);
    let conflict = lines(1).replace("\"u0\"", "\"other\"");
    assert_eq!(ingest(&program, "second.ndjson", &format!("{}{conflict}", lines(3)), &[]).code, 3);

    let (code, listed) = program.json(&["inputs", "list"]);
    let [second, first] = &listed["inputs"].as_array().expect("inputs")[..] else { panic!("{listed}") };
    assert_eq!(
        (code, &first["stored"], &first["duplicates"], &first["conflicts"]),
        (0, &json!(2), &json!(0), &json!(0))
    );
    assert_eq!(
        (&second["stored"], &second["duplicates"], &second["conflicts"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert!(
        first["ended_at"].is_string()
            && first["path"].as_str().is_some_and(|path| path.ends_with("first.ndjson"))
    );
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let summary = &first["summary"];
    assert_eq!((&summary["digest"], &summary["bytes"]), (&json!(digest), &json!(text.len())));
    assert_eq!(summary["rejected"], 3, "{summary}");
    let reasons = summary["rejected_by_reason"].as_object().expect("reasons");
    assert_eq!(reasons.values().filter_map(|count| count.as_u64()).sum::<u64>(), 3, "{reasons:?}");
    assert!(
        reasons
            .keys()
            .any(|reason| reason.starts_with("event … is unknown") || reason == "occurred_at is missing"),
        "{reasons:?}"
    );

    assert_eq!(program.json(&["status"]).1["inputs"], listed["inputs"]);
    assert!(program.run(&["status"]).out.contains("second.ndjson"));
    let shown = program.run(&["inputs", "show", "1"]);
    assert!(shown.out.contains(&digest) && shown.out.contains("rejected because"), "{shown:?}");
    assert_eq!(program.run(&["inputs", "show", "9"]).code, 2);
}

/// Each row of a source that is in no figure is found as docs/operating.md says.
#[test]
fn a_figure_that_is_lower_than_the_rows_of_its_source_is_explained_row_by_row() {
    let program = Program::with("[contract.ref30]\nrequestors = [\"REF30\"]\nmvpds = [\"M\"]\n");
    let good = lines(10);
    let unknown =
        lines(12).lines().skip(10).map(|line| line.replace("\"M\"", "\"New\"") + "\n").collect::<String>();
    let conflict = lines(1).replace("\"u0\"", "\"other\"");
    assert_eq!(
        ingest(&program, "day.ndjson", &format!("{good}{unknown}{}{conflict}", lines(3)), &[]).code,
        3
    );
    let back = lines(17).lines().skip(12).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(ingest(&program, "back.ndjson", &back, &[]).code, 0);
    assert_eq!(program.run(&["pending", "take-back", "--input", "2", "--yes"]).code, 0);

    let report = program.json(&["report", "--period", "2026-11-01", "--timezone", "UTC"]).1;
    assert_eq!(report["total"]["successful_play_requests"], 10, "{report}");
    let listed = program.json(&["inputs", "list"]).1["inputs"].clone();
    let counts = ["stored", "duplicates", "conflicts", "rejected"].map(|count| listed[1][count].clone());
    assert_eq!(counts, [10, 3, 1, 2].map(|count| json!(count)), "{listed}");
    assert_eq!(
        (&listed[0]["stored"], &listed[0]["summary"]["taken_back"]),
        (&json!(5), &json!(5)),
        "{listed}"
    );
    let text = program.run(&["inputs", "list"]).out;
    assert!(
        text.lines().any(|line| line.contains("back.ndjson") && line.trim_end().ends_with(" 5")),
        "{text}"
    );
    let shown = program.run(&["inputs", "show", "1"]).out;
    assert!(shown.contains("breaks contract.ref30: mvpd … is not known there"), "{shown}");
    let files = program.json(&["rejects", "list"]).1;
    let name = files["rejects"][0]["name"].as_str().expect("a name");
    let reasons = program.run(&["rejects", "show", name]).out;
    assert!(reasons.contains("has the event_id of another event and other content"), "{reasons}");

    let trace = |args: &[&str]| program.run(&[&["trace"], args].concat());
    let rejected = trace(&["e11"]);
    let told = ["day.ndjson:12 breaks contract.ref30: mvpd \"New\" is not known there", name];
    assert!(rejected.code == 0 && told.iter().all(|told| rejected.out.contains(told)), "{rejected:?}");
    assert_eq!(trace(&["e1"]).out.matches("rejected").count(), 0, "its ID is only a part of others");
    assert_eq!(trace(&["1"]).code, 2);
    let gone = trace(&["e12"]);
    assert!(gone.code == 2 && gone.err.contains("taken back ("), "{gone:?}");
    let gone = trace(&["--line", "back.ndjson:1"]);
    assert!(gone.code == 0 && gone.out.contains("5 of its events were taken back"), "{gone:?}");
}

#[test]
fn exchanges_without_an_event_are_counted_by_their_rule() {
    let program = Program::new();
    let log = fs::read_to_string(crate::fixture::path("rest-v2/already-authenticated.ndjson"))
        .expect("a log of exchanges");
    assert_eq!(ingest(&program, "gateway.log", &log, &["--format", "rest-v2"]).code, 0);
    let (_, shown) = program.json(&["inputs", "show", "1"]);
    let unused = shown["inputs"][0]["summary"]["unused_by_rule"].as_object().expect("rules").clone();
    assert_eq!(
        (&unused["3 already authenticated"], &unused["15 profiles refreshed"]),
        (&json!(2), &json!(1)),
        "{shown}"
    );
    assert_eq!(ingest(&program, "gateway.log", &log, &["--format", "rest-v2"]).code, 0);
    let (_, again) = program.json(&["inputs", "show", "2"]);
    assert!(again["inputs"][0]["summary"]["unused_by_rule"]["seen before"].as_u64() > Some(0), "{again}");
}

#[test]
fn a_rejects_file_that_was_mended_and_ingested_is_done() {
    let program = Program::new();
    let text =
        lines(3).replacen("\"play_requested\"", "\"plai\"", 1).replace("\"play_requested\"", "\"play\"");
    assert_eq!(ingest(&program, "night.ndjson", &text, &[]).code, 3);
    let (_, listed) = program.json(&["rejects", "list"]);
    let file = &listed["rejects"][0];
    assert_eq!((&file["lines"], &file["done_at"]), (&json!(3), &json!(null)), "{listed}");
    assert_eq!(
        file["reasons"],
        json!({"event … is unknown": [3, format!("{}:1", program.place("night.ndjson"))]}),
        "one reason, whatever the values"
    );
    let name = file["name"].as_str().expect("a name");
    let shown = program.run(&["rejects", "show", name]);
    assert!(shown.out.contains("night.ndjson:1") && shown.out.contains("is unknown"), "{shown:?}");

    let path = program.path("rejects").join(name);
    let mend = |from: &str, to: &str| {
        fs::write(&path, fs::read_to_string(&path).expect("UTF-8").replace(from, to)).expect("mended")
    };
    mend(
        "\\\"plai\\\",\\\"requestor_id\\\":\\\"REF30\\\",\\\"event_id\\\":\\\"e0",
        "\\\"play_requested\\\",\\\"requestor_id\\\":\\\"REF30\\\",\\\"event_id\\\":\\\"e0",
    );
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    let of_name = || {
        let (_, listed) = program.json(&["rejects", "list"]);
        let files = listed["rejects"].as_array().expect("files").clone();
        files.into_iter().find(|one| one["name"] == name).expect("the file")
    };
    assert_eq!(of_name()["done_at"], json!(null), "two lines are still wrong");
    mend("\\\"play\\\"", "\\\"play_requested\\\"");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 0);
    assert!(of_name()["done_at"].is_string(), "{}", of_name());
    assert_eq!(program.run(&["rejects", "show", "other"]).code, 2);
}

#[test]
fn an_ingest_stops_at_its_limit_of_rejected_lines_before_it_stores_more() {
    for (limit, wrong, code) in [("1", 2, 1), ("2", 2, 3), ("10%", 2, 1), ("20%", 2, 3)] {
        let program = Program::new();
        let text = format!("{}{}", "no event\n".repeat(wrong), lines(8));
        let done = ingest(&program, "night.ndjson", &text, &["--max-rejects", limit]);
        assert_eq!(done.code, code, "{limit} {done:?}");
        let (_, status) = program.json(&["status"]);
        assert_eq!(status["pending"], if code == 1 { 0 } else { 8 }, "{limit} {status}");
        if code == 1 {
            assert!(
                done.err.contains("2 of the 10 lines read so far are rejected")
                    && done.err.contains("0 events were stored before"),
                "{done:?}"
            );
            assert_eq!(program.json(&["rejects", "list"]).1["rejects"][0]["lines"], 2);
        }
    }
    // A first portion that is good stays.
    let program = Program::new();
    let text = format!("{}{}", lines(10_000), "no event\n".repeat(2_000));
    let (code, failure) = {
        program.write("long.ndjson", &text);
        program.json(&[
            "ingest",
            program.path("long.ndjson").to_str().expect("UTF-8"),
            "--max-rejects",
            "10%",
        ])
    };
    assert_eq!((code, &failure["code"]), (1, &json!("too_many_rejects")), "{failure}");
    assert_eq!(program.json(&["status"]).1["pending"], 10_000);
    assert_eq!(ingest(&program, "x.ndjson", "", &["--max-rejects", "101%"]).code, 2);
}

#[test]
fn a_list_of_dead_letters_says_what_it_leaves_out_and_groups_all() {
    let (sandbox, program) = (sandbox("failure=BAD first=4"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    let text = lines(5).replacen("\"mvpd\":\"M\"", "\"mvpd\":\"N\",\"resource_id\":\"R\"", 1);
    assert_eq!(ingest(&program, "night.ndjson", &text, &[]).code, 0);
    program.run(&["drain"]);
    let (_, listed) = program.json(&["dead-letter", "list", "--limit", "1"]);
    assert_eq!(
        (&listed["not_shown"], listed["dead_letters"].as_array().map(Vec::len)),
        (&json!(3), Some(1)),
        "{listed}"
    );
    assert_eq!(
        listed["groups"],
        json!([
            {"reason": "adobe:BAD", "mvpd": "M", "resource_id": null, "events": 3},
            {"reason": "adobe:BAD", "mvpd": "N", "resource_id": "R", "events": 1},
        ])
    );
    let text = program.run(&["dead-letter", "list", "--limit", "1"]).out;
    assert!(
        text.contains("3 more are not shown (--limit); all 4 of them:") && text.contains("R  "),
        "{text}"
    );
    assert!(!program.run(&["dead-letter", "list"]).out.contains("not shown"));
}
