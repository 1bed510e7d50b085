//! Nothing goes where it is known to be lost: what a check or a probe saw parks a suite's events until it is mended or
//! overruled, and what was proved once counts as long as it can.

use passbridge::sandbox::AnalyticsSettings;
use serde_json::{Value, json};

use super::{Desk, RSID, findings, items};
use crate::backfill::{Backfills, history, limits};
use crate::program::Program;

/// Days of a year, in nanoseconds.
const YEAR_NANOS: i64 = 365 * 86_400_000_000_000;

impl Desk {
    /// With an unpaused suite, and so many events for it in the buffer.
    fn with_events(count: usize) -> Desk {
        let desk = Desk::new();
        desk.program.ingest(count);
        desk
    }

    fn readiness(&self) -> String {
        let (code, list) = self.json("suite list");
        assert_eq!(code, 0, "{list}");
        list["suites"][0]["readiness"]["state"].as_str().expect("a state").to_owned()
    }

    fn listed(&self) -> String {
        let list = self.run("suite list");
        assert_eq!(list.code, 0, "{list:?}");
        list.out
    }

    fn sql(&self, statement: &str) {
        let buffer = rusqlite::Connection::open(self.program.path("passbridge.db")).expect("the buffer");
        assert!(buffer.execute(statement, []).expect("a statement") > 0);
    }

    /// Drains; gives what was taken in all, and the lines of the log that say ERROR.
    fn drained(&self) -> (usize, Vec<String>) {
        let done = self.run("drain");
        assert_eq!(done.code, 0, "{done:?}");
        let errors = done.err.lines().filter(|line| line.contains("ERROR")).map(str::to_owned);
        (self.sandbox.accepted_count() as usize, errors.collect())
    }

    /// What the status says of the only requestor: why it is parked, and the reason.
    fn parked(&self) -> (i64, Value, String) {
        let (_, status) = self.json("status");
        let requestor = &status["requestors"][0];
        let reason = requestor["parked_because"].as_str().unwrap_or_default().to_owned();
        (status["parked"].as_i64().expect("a number"), requestor["parked"].clone(), reason)
    }
}

#[test]
fn a_suite_that_is_seen_to_drop_timestamps_is_parked_until_a_check_finds_it_mended() {
    let desk = Desk::with_events(3);
    desk.wrong(&["timestamps=not_allowed"]);
    assert_eq!((desk.readiness(), desk.parked().1), ("unchecked".to_owned(), Value::Null));
    let (code, report) = desk.check_with_file();
    assert_eq!((code, &report["readiness"]["state"]), (3, &json!("blocks")), "{report}");

    let (taken, errors) = desk.drained();
    assert_eq!((taken, errors.len()), (0, 1), "{errors:?}");
    assert!(errors[0].contains(RSID) && errors[0].contains("Timestamps: Not Allowed"), "{errors:?}");
    let (parked, why, reason) = desk.parked();
    assert_eq!((parked, why, reason.as_str()), (3, json!("blocked"), "Timestamps: Not Allowed"));
    assert!(desk.listed().contains("blocked  blocks"), "{}", desk.listed());
    let status = desk.run("status").out;
    assert!(status.contains(&format!("suite {RSID}: blocks: Timestamps: Not Allowed")), "{status}");
    assert_eq!(desk.run("status --check").code, 4, "it always alarms");
    assert_eq!(desk.run("retention").code, 0);
    assert_eq!(desk.parked().0, 3, "what waits is never deleted");

    // The API cannot show the setting: what the file showed stands.
    let (code, report) = desk.check();
    assert_eq!((code, findings(&report)[0].as_str()), (3, "blocks suite Timestamps"), "{report}");
    assert_eq!(desk.drained().0, 0);

    desk.wrong(&[]);
    let (code, report) = desk.check_with_file();
    assert_eq!((code, &report["readiness"]["state"]), (0, &json!("open")), "{report}");
    assert_eq!(desk.drained(), (3, vec![]));
    assert_eq!(desk.parked(), (0, Value::Null, String::new()));
}

#[test]
fn a_suite_that_is_removed_and_added_again_still_blocks() {
    let desk = Desk::with_events(3);
    desk.wrong(&["timestamps=not_allowed"]);
    assert_eq!(desk.check_with_file().0, 3);
    for overruled in [false, true] {
        if overruled {
            assert_eq!(desk.run(&format!("suite resume {RSID} --anyway")).code, 0);
        }
        assert_eq!(desk.run(&format!("suite remove {RSID}")).code, 0);
        desk.add(&[]);
        assert_eq!(desk.readiness(), "blocks", "overruled before: {overruled}");
        assert_eq!(desk.drained().0, 0);
        assert_eq!(desk.parked().2, "Timestamps: Not Allowed");
    }
    // Another spelling of its ID is no other suite.
    assert_eq!(desk.run(&format!("suite remove {RSID}")).code, 0);
    let (url, other) = (desk.sandbox.url(), RSID.to_uppercase());
    let add = ["suite", "add", "--requestor", "REF30", "--rsid", &other, "--collection-url", &url];
    assert_eq!(desk.program.run(&add).code, 0);
    assert_eq!((desk.readiness().as_str(), desk.drained().0), ("blocks", 0));
    assert_eq!(desk.run(&format!("suite remove {other}")).code, 0);
    desk.wrong(&[]);
    desk.add(&[]);
    assert_eq!(desk.check_with_file().0, 0);
    assert_eq!(desk.drained().0, 3);
}

#[test]
fn a_person_overrules_a_reason_by_name_and_another_reason_parks_again() {
    let desk = Desk::with_events(3);
    desk.wrong(&["timestamps=not_allowed"]);
    assert_eq!(desk.check_with_file().0, 3);
    let refused = desk.run(&format!("suite resume {RSID}"));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("Timestamps: Not Allowed") && refused.err.contains("--anyway"),
        "{refused:?}"
    );
    assert_eq!(desk.drained().0, 0);
    assert_eq!(desk.run(&format!("suite resume {RSID} --anyway")).code, 0);
    assert_eq!(desk.check_with_file().0, 3, "it is wrong all the same");
    assert_eq!(desk.drained(), (3, vec![]));
    let shown = desk.run(&format!("suite show {RSID}")).out;
    assert!(shown.contains("overruled        Timestamps: Not Allowed"), "{shown}");

    desk.wrong(&["virtual=parent.suite", "timestamps=not_allowed"]);
    assert_eq!(desk.check().0, 3);
    assert_eq!(desk.readiness(), "blocks");
    let shown = desk.run(&format!("suite show {RSID}")).out;
    assert!(shown.contains("virtual report suite of parent.suite"), "{shown}");
}

#[test]
fn a_persons_newer_word_outweighs_an_older_file() {
    let desk = Desk::with_events(3);
    desk.wrong(&["timestamps=not_allowed"]);
    desk.confirm("timestamps");
    assert_eq!(desk.check_with_file().0, 3, "the file is newer than the word");
    assert_eq!(desk.drained().0, 0);
    desk.confirm("timestamps");
    assert_eq!(desk.drained().0, 3);
    let (code, report) = desk.check();
    assert_eq!((code, items(&report, "confirmed")), (0, vec!["timestamps".to_owned()]), "{report}");
}

#[test]
fn a_probe_whose_hits_are_lost_parks_the_suite_once_adobe_had_its_time() {
    let desk = Desk::with_events(3);
    desk.wrong(&["timestamps=not_allowed"]);
    let (code, probe) = desk.probe();
    assert_eq!((code, &probe["verdict"]), (4, &json!("unseen")), "{probe}");
    assert!(probe["findings"][0]["found"].to_string().contains("too early"), "{probe}");
    let hits = desk.sandbox.accepted_count();
    assert_ne!(desk.readiness(), "blocks", "Adobe may need two hours");
    desk.sql("UPDATE probes SET sent_at = sent_at - 7200000000000");
    let id = probe["id"].as_str().expect("an ID");
    let (code, probe) = desk.json(&format!("suite probe {RSID} --read-back {id} --deadline 1s --every 1s"));
    assert_eq!((code, &probe["verdict"]), (3, &json!("wrong")), "{probe}");
    let found = probe["findings"][0]["found"].as_str().expect("a text");
    assert!(found.contains("2 h after Adobe answered SUCCESS") && !found.contains("too early"), "{found}");
    assert_eq!(desk.readiness(), "blocks");
    assert_eq!(desk.drained().0 as u64, hits, "no event goes where every hit of a probe was lost");
    assert!(desk.parked().2.contains("none of its 57 hits was seen"), "{:?}", desk.parked());

    desk.wrong(&[]);
    assert_eq!(desk.probe().0, 0);
    desk.drained();
    assert_eq!(desk.parked(), (0, Value::Null, String::new()));
}

#[test]
fn an_invisible_suite_blocks_only_where_nothing_was_ever_delivered() {
    let desk = Desk::with_events(3);
    desk.wrong(&["invisible"]);
    assert_eq!((desk.check().0, desk.readiness().as_str()), (3, "blocks"));
    assert_eq!(desk.drained().0, 0);

    let desk = Desk::with_events(3);
    assert_eq!(desk.drained().0, 3, "an unchecked suite flows");
    desk.wrong(&["invisible"]);
    let (code, report) = desk.check();
    assert_eq!((code, items(&report, "warned")), (0, vec!["suite".to_owned()]), "{report}");
    assert_eq!(desk.json(&format!("suite check {RSID} --strict")).0, 3);
    desk.program.write("more.ndjson", &history(100, 102));
    let more = desk.program.path("more.ndjson");
    desk.program.run(&["ingest", more.to_str().expect("UTF-8")]);
    assert!(desk.drained().0 > 3);
}

#[test]
fn a_suite_that_is_shown_to_exist_is_not_blocked_because_it_is_invisible() {
    let invisible = |desk: &Desk| {
        desk.wrong(&["invisible"]);
        desk.check();
        desk.readiness()
    };
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    assert_eq!(invisible(&desk), "open", "its probe was seen");

    let desk = Desk::new();
    desk.confirm("suite");
    assert_eq!(invisible(&desk), "blocks", "the word is older than the sight");
    desk.confirm("suite");
    assert_eq!(desk.readiness(), "open", "somebody has looked again");

    let desk = Desk::new();
    assert_eq!(invisible(&desk), "blocks");
    let (code, report) = desk.check_with_file();
    assert_eq!((code, desk.readiness().as_str()), (0, "open"), "{report}");
    let of = |item: &str| {
        let items = report["items"].as_array().expect("items");
        items.iter().find(|one| one["item"] == item).expect("an item")["because"].to_string()
    };
    assert!(of("timestamps").contains("shown by the settings file of"), "{report}");
    assert_eq!(of("suite"), "\"see the warning\"");
}

#[test]
fn a_deviation_that_a_person_confirmed_stays_in_sight_with_the_persons_name() {
    for is_by_file in [false, true] {
        let desk = Desk::new();
        desk.wrong(&["timezone=UTC"]);
        let check = || if is_by_file { desk.check_with_file().1 } else { desk.check().1 };
        check();
        desk.confirm("time-zone");
        let report = if is_by_file { desk.check().1 } else { check() };
        assert!(findings(&report).contains(&"warning suite Time zone".to_owned()), "{report}");
        assert_eq!(items(&report, "confirmed"), ["time-zone"]);
        let printed = desk.run(&format!("suite check {RSID}")).out;
        assert!(printed.contains("Time zone: UTC\n            expected: US/Pacific\n"), "{printed}");
        assert!(printed.contains("  accepted  time-zone: confirmed by Ann on "), "{printed}");
    }
}

#[test]
fn hits_that_analytics_refuses_to_show_are_not_called_lost() {
    for (access, why) in [("forbidden", "unauthorized_metric"), ("disabled", "not_enabled_metric")] {
        let desk = Desk::new();
        desk.wrong(&[&format!("event*={access}")]);
        let (code, probe) = desk.probe();
        assert_eq!(code, 3, "{probe}");
        let [finding] = probe["findings"].as_array().expect("findings").as_slice() else { panic!("{probe}") };
        let (found, fix) = (finding["found"].to_string(), finding["fix"].to_string());
        assert!(found.contains("is not known") && found.contains(why), "{finding}");
        assert!(finding["item"] == "events" && fix.contains("product profile"), "{finding}");
        let proofs = probe["outcome"]["proofs"].as_array().expect("proofs");
        assert!(proofs.iter().all(|proof| proof["item"] == "events"), "no verdict on timestamps: {probe}");
    }
}

#[test]
fn an_event_that_analytics_refuses_to_show_is_not_known_and_never_0() {
    let desk = Desk::new();
    desk.wrong(&["event7=forbidden"]);
    let (_, probe) = desk.probe();
    let events = probe["events"].as_array().expect("events");
    assert_eq!((&events[6]["event"], &events[6]["seen"]), (&json!("event7"), &Value::Null), "{probe}");
    assert!(events.iter().enumerate().all(|(index, event)| index == 6 || event["seen"] == 2), "{probe}");
    let id = probe["id"].as_str().expect("an ID");
    let text = desk.run(&format!("suite probe {RSID} --read-back {id} --deadline 1s --every 1s")).out;
    let line = text.lines().find(|line| line.trim_start().starts_with("event7 ")).expect("a line");
    assert!(line.trim_end().ends_with('?') && line.matches('?').count() == 2, "{text}");
}

#[test]
fn suites_that_cannot_be_read_are_a_failure_that_is_said() {
    let desk = Desk::new();
    desk.sandbox.set_analytics(AnalyticsSettings { forbidden: true, ..AnalyticsSettings::default() });
    let (code, report) = desk.json("suite check --all");
    assert_eq!((code, &report["failure"]["code"]), (1, &json!("server_refused")), "{report}");
    assert!(report["failure"]["try"].to_string().len() > 5, "{report}");
    let printed = desk.run("suite check --all");
    assert!(printed.err.contains("error: ") && printed.err.contains("try: "), "{printed:?}");
}

#[test]
fn backfills_of_both_routes_leave_a_blocked_suite_alone() {
    let house = Backfills::new(limits(), "");
    house.sandbox.set_wrong(RSID, vec!["timestamps=not_allowed".parse().expect("a wrong setting")]);
    house.program.write("settings.tab", &house.sandbox.settings_file(RSID));
    let settings = house.program.path("settings.tab");
    let check = ["suite", "check", RSID, "--settings", settings.to_str().expect("UTF-8")];
    assert_eq!(house.program.run(&check).code, 3);
    let plan = house.program.run(&["backfill", "plan", "p", &house.file("p.ndjson", &history(0, 20))]);
    assert!(plan.out.contains("BLOCKED") && plan.out.contains("Timestamps: Not Allowed"), "{plan:?}");
    for (name, route, from) in [("one", "dia", 0), ("two", "bulk", 20)] {
        let file = house.file(&format!("{name}.ndjson"), &history(from, from + 20));
        let done = house.program.run(&["backfill", "run", name, "--via", route, &file]);
        assert_eq!(done.err.lines().filter(|line| line.contains("ERROR")).count(), 1, "{route}: {done:?}");
        assert_eq!(
            (&house.status(name)["pending"], &house.status(name)["delivered"]),
            (&json!(20), &json!(0))
        );
    }
    assert_eq!(house.program.json(&["status"]).1["parked"], 40);
    house.sandbox.set_wrong(RSID, vec![]);
    house.program.write("settings.tab", &house.sandbox.settings_file(RSID));
    assert_eq!(house.program.run(&check).code, 0);
    for name in ["one", "two"] {
        assert_eq!(house.program.run(&["backfill", "resume", name]).code, 0);
    }
    house.assert_whole(40);
}

#[test]
fn what_is_warned_of_is_not_listed_as_right_and_strict_asks_for_a_word() {
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    desk.confirm("event-types bot-rules visitors");
    assert_eq!(desk.run(&format!("suite check {RSID} --strict")).code, 0);
    assert_eq!(desk.run(&format!("suite set {RSID} --event-ids off")).code, 0);
    for (wrong, item) in [(&[][..], "unique-event-recording"), (&["event7.name=Starts"][..], "events")] {
        desk.wrong(wrong);
        let (code, report) = desk.check();
        assert!(code == 0 && items(&report, "warned").contains(&item.to_owned()), "{report}");
        let printed = desk.run(&format!("suite check {RSID} --strict"));
        assert_eq!(printed.code, 3, "{printed:?}");
        let right: Vec<&str> = printed.out.lines().filter(|line| line.starts_with("  right")).collect();
        assert!(right.iter().all(|line| !line.contains(item)), "{}", printed.out);
        assert_eq!(desk.readiness(), "open");
    }
    // The name was seen to change, so what was proved before does not count any more: it is said by name, too.
    desk.confirm("timestamps events evars unique-event-recording multi-byte time-zone suite");
    let printed = desk.run(&format!("suite check {RSID} --strict"));
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(
        printed.out.contains("  accepted  ") && printed.out.contains("  warning   event7: Name"),
        "{printed:?}"
    );
    assert_eq!(desk.readiness(), "ready");
}

#[test]
fn a_proof_is_void_once_the_suite_was_seen_to_be_set_otherwise() {
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    assert!(items(&desk.check().1, "proved").contains(&"timestamps".to_owned()));
    desk.wrong(&["evar2.allocation=linear"]);
    desk.check();
    desk.wrong(&[]);
    let (_, report) = desk.check();
    assert_eq!(items(&report, "proved"), [""; 0], "{report}");
    let void = report["void"].as_str().expect("a reason");
    assert!(void.contains("the suite's settings were seen to have changed on 20"), "{void}");
    let shown = desk.run(&format!("suite show {RSID}")).out;
    assert!(shown.contains("void proof       timestamps: proved by probe"), "{shown}");
    assert_eq!(desk.probe().0, 0);
    assert!(items(&desk.check().1, "proved").contains(&"timestamps".to_owned()));
}

#[test]
fn a_proof_ages_and_readiness_says_so_before_anybody_checks_again() {
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    desk.confirm("event-types bot-rules visitors");
    assert_eq!(desk.readiness(), "ready");
    desk.sql(&format!("UPDATE verdicts SET proved_at = proved_at - {YEAR_NANOS}"));
    assert_eq!(desk.readiness(), "proof_aged");
    assert!(desk.listed().contains("proof aged"), "{}", desk.listed());
    let status = desk.run("status").out;
    assert!(status.contains(&format!("suite {RSID}: proof aged: proved at ")), "{status}");
    desk.sql("UPDATE probes SET report = json_set(report, '$.outcome.read_at', '2025-11-01T00:00:00Z')");
    let (code, report) = desk.json(&format!("suite check {RSID} --strict"));
    assert_eq!((code, items(&report, "open")[0].as_str()), (3, "timestamps"), "{report}");
    assert!(report["void"].as_str().is_some_and(|void| void.contains("older than 90 days")), "{report}");
}

#[test]
fn what_a_file_showed_stands_in_later_checks_until_it_is_too_old() {
    let desk = Desk::new();
    assert_eq!(desk.check_with_file().0, 0);
    let open = ["bot-rules", "visitors"];
    assert_eq!(items(&desk.check().1, "open"), open, "the API alone shows less than was known");
    desk.sql("UPDATE verdicts SET seen = json_set(seen, '$.file.at', '2025-11-01T00:00:00Z')");
    let (_, report) = desk.check();
    assert!(items(&report, "open").contains(&"timestamps".to_owned()), "{report}");
}

#[test]
fn all_suites_are_walked_and_each_keeps_its_verdict() {
    let desk = Desk::new();
    let url = desk.sandbox.url();
    for (requestor, rsid) in [("REF40", "second"), ("REF50", "third")] {
        let add = ["suite", "add", "--requestor", requestor, "--rsid", rsid, "--collection-url", &url];
        assert_eq!(desk.program.run(&add).code, 0);
    }
    assert_eq!(desk.run("suite check --all").code, 0);
    desk.sandbox.set_wrong("second", vec!["virtual=parent.suite".parse().expect("a wrong setting")]);
    let (code, report) = desk.json("suite check --all");
    let states = |list: &Value| -> Vec<String> {
        let suites = list["suites"].as_array().expect("suites").iter();
        suites.map(|one| one["readiness"]["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!((code, states(&report)), (3, vec!["open".to_owned(), "blocks".to_owned(), "open".to_owned()]));
    assert_eq!(states(&desk.json("suite list").1), states(&report));
    let printed = desk.run("suite check --all");
    assert!(printed.out.contains("second") && printed.out.contains("blocks"), "{printed:?}");
    // The worst suite is the one to look at, not the first.
    let advice = printed.out.lines().last().unwrap_or_default().to_owned();
    assert!(advice.contains("what to do: ") && advice.ends_with("suite check second"), "{printed:?}");
    assert_eq!(desk.run(&format!("suite check {RSID} --all")).code, 2);
    assert_eq!(desk.run("suite check").code, 2);
}

#[test]
fn walks_in_a_row_keep_adobes_pace_together() {
    let desk = Desk::without_suite();
    let config = std::fs::read_to_string(desk.program.path("c.toml")).expect("a configuration");
    let paced = config.replace("calls_per_window = 1000\nwindow_ms = 60", "window_ms = 1500");
    desk.program.write("c.toml", &paced);
    desk.add(&[]);
    for (requestor, rsid) in [("REF40", "second"), ("REF50", "third")] {
        let url = desk.sandbox.url();
        let add = ["suite", "add", "--requestor", requestor, "--rsid", rsid, "--collection-url", &url];
        assert_eq!(desk.program.run(&add).code, 0);
    }
    // Calls take different times to arrive, so the window of the sandbox is a third of the client's.
    desk.sandbox.set_analytics(AnalyticsSettings { window_ms: 500, ..AnalyticsSettings::default() });
    for _ in 0..2 {
        let walked = desk.run("suite check --all");
        assert!(walked.code == 0 && !walked.err.contains("asking again"), "{walked:?}");
    }
    let calls = desk.sandbox.analytics_calls();
    assert_eq!((calls.calls, calls.too_many), (20, 0));
}

#[test]
fn a_settings_file_that_is_not_there_is_named_before_adobe_is_asked() {
    let desk = Desk::new();
    let missing = desk.program.path("nofile");
    let mut command =
        desk.program.command(&["suite", "check", RSID, "--settings", missing.to_str().expect("UTF-8")]);
    command.env("PASSBRIDGE_ANALYTICS__URL", "http://127.0.0.1:9");
    let refused = crate::program::done(command);
    assert!(
        refused.code == 1 && refused.err.contains("cannot read") && refused.err.contains("nofile"),
        "{refused:?}"
    );
}

#[test]
fn a_suite_is_added_paused_and_what_blocks_here_is_paused_elsewhere() {
    let desk = Desk::without_suite();
    desk.add(&["--paused"]);
    desk.program.ingest(3);
    assert_eq!(desk.drained().0, 0);
    assert_eq!(desk.parked().1, "paused");
    assert_eq!(desk.run(&format!("suite resume {RSID}")).code, 0);
    let url = desk.sandbox.url();
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", RSID, "--collection-url", &url, "--paused"];
    let refused = desk.program.run(&add);
    assert!(refused.code == 2 && refused.err.contains("suite pause"), "{refused:?}");
    assert_eq!(desk.drained().0, 3);

    desk.wrong(&["timestamps=not_allowed"]);
    assert_eq!(desk.check_with_file().0, 3);
    assert!(desk.run("suite export").out.contains("\"state\": \"paused\""));
}

#[test]
fn ecids_ask_for_their_organisation_at_once_and_a_virtual_suites_id_is_named_as_one() {
    let program = Program::new();
    let add = |rsid: &str, more: &[&str]| {
        let add = ["suite", "add", "--requestor", "REF30", "--rsid", rsid, "--collection-url", "https://h"];
        program.run(&[&add[..], more].concat())
    };
    let refused = add("a", &["--identity", "ecid"]);
    assert!(refused.code == 2 && refused.err.contains("--org-id ID@AdobeOrg"), "{refused:?}");
    assert_eq!(add("a", &["--identity", "ecid", "--org-id", "1234567890ABCDEF12345678@AdobeOrg"]).code, 0);
    let set = ["suite", "set", "a", "--org-id", "none", "--split-visitors"];
    assert_eq!(program.run(&set).code, 0, "who says none means it");
    let set = ["suite", "set", "a", "--identity", "ecid", "--split-visitors"];
    assert_eq!(program.run(&set).code, 2);
    let organisation = ["--org-id", "1234567890ABCDEF12345678@AdobeOrg"];
    assert_eq!(program.run(&["suite", "set", "a", "--identity", "mvpd_user_id", "--split-visitors"]).code, 0);
    let refused = program.run(&["suite", "set", "a", "--identity", "ecid"]);
    assert!(refused.err.contains("--split-visitors") && refused.err.contains("--org-id"), "{refused:?}");
    for refused in
        [add("b", &organisation), program.run(&[&["suite", "set", "a"], &organisation[..]].concat())]
    {
        assert!(refused.code == 2 && refused.err.contains("--identity ecid"), "{refused:?}");
    }
    for virtual_one in ["vrs_acme0_sports", "VRS_acme0_sports"] {
        let refused = add(virtual_one, &[]);
        assert!(refused.code == 2 && refused.err.contains("virtual report suite"), "{refused:?}");
    }
}
