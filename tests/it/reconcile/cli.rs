//! The command: its statuses, its text, its JSON, its messages.

use std::os::unix::fs::PermissionsExt;

use passbridge::sandbox::{AnalyticsSettings, Handle};
use serde_json::{Value, json};

use crate::program::{Done, Program};
use crate::support::{House, PATIENCE, event, plays, sandbox};

/// REF30 and SILENT mapped to a suite, and credentials for Analytics.
fn program(sandbox: &Handle) -> Program {
    let url = sandbox.url();
    let program = Program::with(&format!(
        "[analytics]\nurl = \"{url}\"\nims_url = \"{url}/ims/token/v3\"\nclient_id = \"reader\"\n\
         client_secret_file = \"secret\"\n\
         [esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{url}\"\nsoftware_statement_file = \"statement\"\n"
    ));
    program.write("secret", "secret-of-reader\n");
    std::fs::set_permissions(program.path("secret"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    program.write("statement", "statement\n");
    program.suite(&url);
    let add = ["suite", "add", "--requestor", "SILENT", "--rsid", "examplersid"];
    assert_eq!(program.run(&add).code, 0);
    program
}

const SPAN: [&str; 7] = ["reconcile", "--suite", "examplersid", "--from", "2026-10-31", "--to", "2026-11-01"];

fn reconcile(program: &Program, more: &[&str]) -> Done {
    program.run(&[&SPAN, more].concat())
}

#[test]
fn what_agrees_is_told_in_a_few_lines_with_status_0() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    program.ingest(5);
    assert_eq!(program.run(&["drain"]).code, 0);
    let done = reconcile(&program, &[]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert_eq!(
        done.out,
        "report suite examplersid, 2026-10-31 to 2026-11-01 in America/Los_Angeles\n  \
         requestor  counted  delivered  Analytics  result\n  \
         REF30            5          5          5  agrees\n  \
         SILENT           0          0          0  no traffic\n\
         they agree; without traffic: SILENT\n"
    );
    let before = ["reconcile", "--suite", "examplersid", "--from", "2026-10-01", "--to", "2026-10-01"];
    assert!(program.run(&before).out.contains("nobody has anything of these days"));
    let (code, document) = program.json(&SPAN);
    assert_eq!(code, 0);
    assert_eq!((&document["verdict"], &document["total"]["analytics"]), (&json!("agrees"), &json!(5)));
    assert_eq!(document["suite_timezone"], "US/Pacific");
    let cell = &document["cells"][0];
    for (name, value) in [
        ("requestor_id", json!("REF30")),
        ("mvpd", json!("M")),
        ("day", json!("2026-10-31")),
        ("event", json!("play_requested")),
        ("slot", json!(7)),
        ("esm", Value::Null),
        ("counted", json!(5)),
        ("delivered", json!(5)),
        ("analytics", json!(5)),
        ("verdict", json!("agrees")),
        ("analytics_unexplained", json!(0)),
    ] {
        assert_eq!(cell[name], value, "{name}: {cell}");
    }
}

#[test]
fn what_only_waits_is_explained_with_status_0() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    program.ingest(5);
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("they agree, but for what is explained: pending -5"), "{}", done.out);
    assert!(done.out.contains("2026-10-31  REF30"), "{}", done.out);
}

#[test]
fn what_nothing_explains_is_status_3_with_its_cells() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    let other = House::new();
    other.suite(&sandbox.url());
    other.store((0..60).map(|number| {
        event(json!({"event_id": format!("e{number}"), "mvpd": format!("MVPD {number:02}"), "mvpd_user_id": "u"}))
    }));
    other.drain();
    assert!(sandbox.wait_accepted(60, PATIENCE));
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 3, "{done:?}");
    for words in [
        "60 differ",
        "cells that differ, and nothing explains it:",
        "MVPD 00",
        "Analytics +1; nothing of it was sent from here",
        "and 20 more; --json has every cell",
        "60 cells differ, and nothing explains it",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert!(!done.out.contains("MVPD 40"), "{}", done.out);
    let (code, document) = program.json(&SPAN);
    assert_eq!((code, document["cells"].as_array().map(Vec::len)), (3, Some(60)));
    let hint = &document["cells"][0]["hints"][0];
    assert_eq!(hint, &json!({"side": "analytics", "looks_like": "never_sent", "with": ""}));
    assert_eq!(reconcile(&program, &["--tolerance", "1"]).code, 0);
}

#[test]
fn a_number_that_is_needed_and_not_known_is_status_3() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    sandbox.set_wrong("examplersid", vec!["event7=disabled".parse().expect("a setting")]);
    program.ingest(5);
    assert_eq!(program.run(&["drain"]).code, 0);
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        done.out.contains("nothing was compared: 1 cells have a count in the buffer alone"),
        "{}",
        done.out
    );
    assert!(done.out.contains("note: Analytics does not report event7 (Play request)"), "{}", done.out);
    let line = done
        .out
        .lines()
        .find(|line| line.trim_start().starts_with("REF30"))
        .expect("a line of the requestor");
    assert_eq!(line.split_whitespace().take(4).collect::<Vec<_>>(), ["REF30", "5", "5", "?"], "{done:?}");
    let (_, json) = program.json(&SPAN);
    assert_eq!((&json["total"]["analytics"], &json["total"]["delivered"]), (&Value::Null, &json!(5)));
}

#[test]
fn mistakes_are_status_2_and_say_what_to_do() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    let without = Program::new();
    without.suite(&sandbox.url());
    let span = |from: &'static str, to: &'static str| {
        ["reconcile", "--suite", "examplersid", "--from", from, "--to", to]
    };
    for (program, words, what) in [
        (&without, SPAN.to_vec(), "analytics.client_id is not set"),
        (&program, [&SPAN[..], &["--no-analytics"]].concat(), "there is nothing to compare the buffer with"),
        (&program, span("2026-11-02", "2026-11-01").to_vec(), "is no span of days"),
        (&program, span("2025-11-02", "2026-11-03").to_vec(), "more than 366 days"),
        (&program, [&SPAN[..], &["--esm", "live", "a.json"]].concat(), "cannot be taken together"),
        (&program, [&SPAN[..], &["--esm", "/no/such/file"]].concat(), "cannot be opened"),
        (&program, [&SPAN[..], &["--tolerance", "much"]].concat(), "is no tolerance"),
        (&program, [&SPAN[..], &["--timezone", "Mars"]].concat(), "is no IANA time zone"),
    ] {
        let done = program.run(&words);
        assert_eq!(done.code, 2, "{words:?} {done:?}");
        assert!(done.err.contains(what) && done.out.is_empty(), "{words:?} {done:?}");
    }
    let unknown = ["reconcile", "--suite", "none", "--from", "2026-10-31", "--to", "2026-11-01"];
    assert!(program.run(&unknown).err.contains("there is no report suite none"));
    sandbox.set_wrong("examplersid", vec!["missing".parse().expect("a setting")]);
    let done = reconcile(&program, &[]);
    assert!(
        done.code == 2 && done.err.contains("no report suite examplersid") && done.err.contains("try:"),
        "{done:?}"
    );
}

#[test]
fn esm_is_compared_live_and_from_files_without_analytics() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    assert_eq!(program.run(&["suite", "set", "examplersid", "--count-with-id"]).code, 0);
    let pull = ["pull", "esm", "--from", "2026-10-31", "--to", "2026-11-02", "--requestor", "REF30"];
    let pulled = program.run(&pull);
    assert_eq!(pulled.code, 0, "{pulled:?}");
    let (code, document) = program.json(&[&SPAN[..], &["--esm", "live", "--no-analytics"]].concat());
    assert_eq!((code, &document["verdict"]), (0, &json!("agrees")), "{}", document["remarks"]);
    assert_eq!((&document["with_esm"], &document["with_analytics"]), (&json!(true), &json!(false)));
    let esm = document["total"]["esm"].as_u64().expect("units");
    assert!(esm > 1_000 && document["total"]["counted_beside_esm"] == esm, "{}", document["total"]);
    assert_eq!(program.run(&["drain"]).code, 0);
    let (code, document) = program.json(&[&SPAN[..], &["--esm", "live"]].concat());
    assert_eq!(
        (code, &document["verdict"], &document["total"]["analytics"]),
        (0, &json!("agrees"), &json!(esm))
    );
    let text = reconcile(&program, &["--esm", "live"]).out;
    let heading = text.lines().nth(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(
        heading.as_deref(),
        Some("requestor ESM counted beside counted delivered Analytics result"),
        "{text}"
    );
}

#[test]
fn what_no_report_of_esm_has_is_neither_zero_nor_right() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    program.ingest(5);
    program
        .write("other.csv", "year,month,day,hour,requestor-id,mvpd,media-tokens\n2026,11,1,8,SILENT,M,0\n");
    program
        .write("metric.csv", "year,month,day,hour,requestor-id,mvpd,authz-failed\n2026,11,1,8,REF30,M,0\n");
    for (report, told) in
        [("other.csv", "nothing of REF30 on"), ("metric.csv", "no metric of authn_requested")]
    {
        let report = program.path(report);
        let done = reconcile(&program, &["--no-analytics", "--esm", report.to_str().expect("UTF-8")]);
        assert!(done.code == 3 && done.out.contains("nothing was compared"), "{done:?}");
        assert!(done.out.contains(told) && !done.out.contains("agrees\n"), "{done:?}");
        let line = done.out.lines().find(|line| line.contains("REF30")).expect("a line of the requestor");
        assert_eq!(line.split_whitespace().take(4).collect::<Vec<_>>(), ["REF30", "-", "-", "5"], "{done:?}");
    }
}

#[test]
fn a_blank_cell_of_one_mvpd_is_not_known_though_another_mvpd_has_a_number_and_a_later_report_fills_it() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    program.ingest(5);
    let report = |name: &str, cell: &str| {
        let rows = format!("2026,10,31,17,REF30,M,0,{cell}\n2026,10,31,17,REF30,Other,0,0\n");
        program
            .write(name, &format!("year,month,day,hour,requestor-id,mvpd,authz-failed,media-tokens\n{rows}"));
        program.path(name).to_str().expect("UTF-8").to_owned()
    };
    let (blank, filled) = (report("blank.csv", ""), report("filled.csv", "5"));
    let done = reconcile(&program, &["--no-analytics", "--esm", &blank]);
    assert!(done.code == 3 && done.out.contains("nothing was compared: 1 cells"), "{done:?}");
    let told =
        "no number in 1 cells where they have one of other MVPDs or hours, first play_requested of \"M\"";
    assert!(done.out.contains(told), "{done:?}");
    let (_, json) = program.json(&[&SPAN[..], &["--no-analytics", "--esm", &blank]].concat());
    assert!(json["total"]["esm"].is_null() && json["cells"][0]["esm"].is_null(), "{json}");
    for reports in [[&blank, &filled], [&filled, &blank]] {
        let (code, json) =
            program.json(&[&SPAN[..], &["--no-analytics", "--esm", reports[0], reports[1]]].concat());
        assert_eq!(
            (code, &json["total"]["esm"], &json["verdict"]),
            (0, &json!(5), &json!("agrees")),
            "{json}"
        );
    }
}

#[test]
fn progress_and_logs_stay_on_standard_error() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(3));
    house.drain();
    let done = program.run(&[&SPAN[..], &["--json"]].concat());
    assert_eq!(done.code, 3);
    assert_eq!(done.out.lines().count(), 1, "{}", done.out);
    serde_json::from_str::<Value>(&done.out).expect("one document");
}

#[test]
fn hits_of_a_suite_that_loses_them_are_not_too_fresh() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    sandbox.set_wrong("examplersid", vec!["timestamps=not_allowed".parse().expect("a setting")]);
    program.ingest(5);
    assert_eq!(program.run(&["drain"]).code, 0);
    // Nobody has checked the suite, and nothing of it ever appeared: that may be, or not.
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        !done.out.contains("they agree") && done.out.contains("only too fresh is not known"),
        "{}",
        done.out
    );
    program.write("settings.tab", &sandbox.settings_file("examplersid"));
    let settings = program.path("settings.tab");
    let check = ["suite", "check", "examplersid", "--settings", settings.to_str().expect("UTF-8")];
    assert_eq!(program.run(&check).code, 3);
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 3, "{done:?}");
    for words in [
        "1 differ",
        "nothing of it is in Analytics",
        "note: the suite loses its hits (Timestamps: Not Allowed)",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert!(!done.out.contains("late -"), "{}", done.out);
    let next = done.out.lines().last().unwrap_or_default();
    assert!(next.contains("suite check examplersid") && !done.out.contains("a day later"), "{}", done.out);
}

#[test]
fn hits_of_a_suite_that_is_ready_may_be_too_fresh_and_an_aged_proof_is_said() {
    let sandbox = sandbox("");
    let program = program(&sandbox);
    program.ingest(5);
    let probe = ["suite", "probe", "examplersid", "--production", "--deadline", "2s", "--every", "1s"];
    assert_eq!(program.run(&probe).code, 0);
    let confirm = ["suite", "confirm", "examplersid", "event-types", "bot-rules", "visitors", "--by", "Ann"];
    assert_eq!(program.run(&confirm).code, 0);
    sandbox.set_analytics(AnalyticsSettings { latency_ms: 3_600_000, ..AnalyticsSettings::default() });
    assert_eq!(program.run(&["drain"]).code, 0);
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("they agree, but for what is explained: late -5"), "{}", done.out);
    let buffer = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    buffer.execute("UPDATE verdicts SET proved_at = proved_at - 31536000000000000", []).expect("a verdict");
    let done = reconcile(&program, &[]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.out.contains("note: how the suite is set was last proved on 20"), "{}", done.out);
}
