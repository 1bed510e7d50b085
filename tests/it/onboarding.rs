//! A report suite is taken from nothing to checked, probed and confirmed, and whatever is wrong with it is found and
//! explained.

mod verdicts;
mod wrong_settings;

use std::time::Duration;

use passbridge::sandbox::{AnalyticsSettings, Handle};
use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Done, Program, done, send};
use crate::support::{PATIENCE, sandbox_with};

const RSID: &str = "examplersid";

/// A sandbox, and a program that has one suite in it.
struct Desk {
    sandbox: Handle,
    program: Program,
}

impl Desk {
    /// With a development suite for REF30.
    fn new() -> Desk {
        let desk = Desk::without_suite();
        desk.add(&["--stage", "development"]);
        desk
    }

    fn without_suite() -> Desk {
        let sandbox = sandbox_with("", |options| {
            options.analytics =
                AnalyticsSettings { calls_per_window: 1_000_000, ..AnalyticsSettings::default() };
        });
        let url = sandbox.url();
        let program = Program::with(&format!(
            "[analytics]\nurl = \"{url}\"\nims_url = \"{url}/ims/token/v3\"\nclient_id = \"client-one\"\n\
             client_secret_file = \"secret\"\ncalls_per_window = 1000\nwindow_ms = 60\n"
        ));
        program.write("secret", "secret-of-client-one\n");
        Desk { sandbox, program }
    }

    fn add(&self, args: &[&str]) {
        let url = self.sandbox.url();
        let add = ["suite", "add", "--requestor", "REF30", "--rsid", RSID, "--collection-url", &url];
        let done = self.program.run(&[&add[..], args].concat());
        assert_eq!(done.code, 0, "{done:?}");
    }

    fn wrong(&self, settings: &[&str]) {
        let wrong = settings.iter().map(|text| text.parse().expect("a wrong setting")).collect();
        self.sandbox.set_wrong(RSID, wrong);
    }

    fn run(&self, words: &str) -> Done {
        self.program.run(&words.split(' ').collect::<Vec<_>>())
    }

    fn json(&self, words: &str) -> (i32, Value) {
        self.program.json(&words.split(' ').collect::<Vec<_>>())
    }

    /// Confirms everything that no source shows.
    fn confirm(&self, items: &str) {
        let done = self.run(&format!("suite confirm {RSID} {items} --by Ann"));
        assert_eq!(done.code, 0, "{done:?}");
    }

    /// The settings file of the sandbox, where the program finds it.
    fn settings_file(&self) -> String {
        self.program.write("settings.tab", &self.sandbox.settings_file(RSID));
        self.program.path("settings.tab").to_str().expect("UTF-8").to_owned()
    }

    /// Checks with the API alone.
    fn check(&self) -> (i32, Value) {
        self.json(&format!("suite check {RSID}"))
    }

    /// Checks with the API and the settings file.
    fn check_with_file(&self) -> (i32, Value) {
        let path = self.settings_file();
        self.program.json(&["suite", "check", RSID, "--settings", &path])
    }

    fn probe(&self) -> (i32, Value) {
        self.json(&format!("suite probe {RSID} --deadline 2s --every 1s"))
    }

    fn latency(&self, milliseconds: u64) {
        let slow = AnalyticsSettings {
            calls_per_window: 1_000_000,
            latency_ms: milliseconds,
            ..AnalyticsSettings::default()
        };
        self.sandbox.set_analytics(slow);
    }
}

/// The findings of a check that are worse than `ok`, as `severity subject setting`.
fn findings(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    let bad = findings.iter().filter(|finding| finding["severity"] != "ok");
    bad.map(|one| format!("{} {} {}", text(one, "severity"), text(one, "subject"), text(one, "setting")))
        .collect()
}

/// The items in a state.
fn items(report: &Value, state: &str) -> Vec<String> {
    let items = report["items"].as_array().expect("items").iter();
    let of = items.filter(|item| item["state"] == state);
    of.map(|item| item["item"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_clean_suite_goes_from_nothing_to_checked_probed_and_confirmed() {
    let desk = Desk::new();
    let (code, report) = desk.check();
    assert_eq!(code, 0, "{report}");
    assert_eq!(items(&report, "shown"), ["suite", "events", "evars", "time-zone"]);
    let open = ["timestamps", "unique-event-recording", "event-types", "multi-byte", "bot-rules", "visitors"];
    assert_eq!(items(&report, "open"), open);
    assert_eq!(desk.json(&format!("suite check {RSID} --strict")).0, 3);

    let (code, probe) = desk.probe();
    assert_eq!((code, &probe["verdict"]), (0, &"right".into()), "{probe}");
    let (_, report) = desk.check();
    assert_eq!(items(&report, "proved"), ["timestamps", "unique-event-recording", "multi-byte"]);
    let because = report["items"][0]["because"].as_str().expect("a reason");
    assert!(because.starts_with(&format!("proved by probe {} on 20", probe["id"].as_str().expect("an ID"))));

    desk.confirm("event-types bot-rules visitors");
    let (code, report) = desk.json(&format!("suite check {RSID} --strict"));
    assert_eq!((code, findings(&report), items(&report, "open")), (0, vec![], vec![]), "{report}");
    let printed = desk.run(&format!("suite check {RSID}")).out;
    assert!(printed.lines().count() <= 12 && printed.contains("all is as it should be"), "{printed}");
    let shown = desk.run(&format!("suite show {RSID}")).out;
    assert!(
        shown.contains("event-types by Ann on 20") && shown.contains("all was seen as it was sent"),
        "{shown}"
    );
}

#[test]
fn the_settings_file_alone_is_enough_and_shows_what_the_api_cannot() {
    let desk = Desk::new();
    let path = desk.settings_file();
    let bare = Program::new();
    bare.suite(&desk.sandbox.url());
    let (code, report) = bare.json(&["suite", "check", RSID, "--settings", &path]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(items(&report, "open"), ["bot-rules", "visitors"], "{report}");
    assert_eq!((&report["api"], items(&report, "wrong")), (&false.into(), vec![]));
    let refused = bare.run(&["suite", "check", RSID]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("analytics.client_id") && refused.err.contains("--settings FILE"),
        "{refused:?}"
    );
    let (code, both) = desk.check_with_file();
    assert_eq!(
        (code, items(&both, "open")),
        (0, vec!["bot-rules".to_owned(), "visitors".to_owned()]),
        "{both}"
    );
}

#[test]
fn a_file_of_other_suites_is_refused_with_what_it_has() {
    let desk = Desk::new();
    desk.program.write("other.tab", "\tother.suite\nTimestamps\tOptional\n");
    let path = desk.program.path("other.tab");
    let refused = desk.program.run(&["suite", "check", RSID, "--settings", path.to_str().expect("UTF-8")]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("it has \"other.suite\""), "{refused:?}");
}

#[test]
fn a_word_is_void_once_the_setting_that_it_rests_on_has_changed() {
    let desk = Desk::new();
    desk.confirm("timestamps unique-event-recording event-types multi-byte bot-rules visitors");
    assert_eq!(desk.json(&format!("suite check {RSID} --strict")).0, 0);
    assert_eq!(desk.run(&format!("suite set {RSID} --identity ecid --org-id none --split-visitors")).code, 0);
    let (code, report) = desk.json(&format!("suite check {RSID} --strict"));
    assert_eq!((code, items(&report, "open")), (3, vec!["timestamps".to_owned(), "visitors".to_owned()]));
    let shown = desk.run(&format!("suite show {RSID}")).out;
    assert!(
        shown.contains("void: it was given for identity mvpd_user_id, and now it is identity ecid"),
        "{shown}"
    );
    let found: Vec<&Value> = report["findings"].as_array().expect("findings").iter().collect();
    let said =
        |text: &str| found.iter().any(|one| one["found"].as_str().is_some_and(|found| found.contains(text)));
    assert!(said("Ann confirmed it on 20"), "{report}");

    desk.confirm("timestamps visitors");
    assert_eq!(desk.json(&format!("suite check {RSID} --strict")).0, 0);
    assert_eq!(desk.run(&format!("suite confirm {RSID} visitors --withdraw")).code, 0);
    let (code, report) = desk.json(&format!("suite check {RSID} --strict"));
    assert_eq!((code, items(&report, "open")), (3, vec!["visitors".to_owned()]));
    let again = desk.run(&format!("suite confirm {RSID} visitors --withdraw"));
    assert_eq!(again.code, 2);
    assert!(again.err.contains("nobody has confirmed visitors"), "{again:?}");
}

#[test]
fn words_travel_with_an_export_and_end_with_their_suite() {
    let (here, there) = (Desk::new(), Desk::without_suite());
    here.confirm("timestamps bot-rules");
    let export = here.run("suite export").out;
    there.program.write("suites.json", &export);
    let path = there.program.path("suites.json");
    assert_eq!(there.program.run(&["suite", "import", path.to_str().expect("UTF-8")]).code, 0);
    assert_eq!(there.run("suite export").out, export);
    let (_, shown) = there.json(&format!("suite show {RSID}"));
    assert_eq!((&shown["stage"], &shown["confirmations"][0]["by"]), (&"development".into(), &"Ann".into()));
    // A later word stays, whatever an older export says.
    assert_eq!(there.run(&format!("suite confirm {RSID} timestamps --by Ben")).code, 0);
    assert_eq!(there.program.run(&["suite", "import", path.to_str().expect("UTF-8")]).code, 0);
    let (_, shown) = there.json(&format!("suite show {RSID}"));
    assert_eq!(shown["confirmations"][0]["by"], "Ben", "{shown}");
    assert_eq!(there.run(&format!("suite remove {RSID}")).code, 0);
    let url = there.sandbox.url();
    let add = ["suite", "add", "--requestor", "REF30", "--rsid", RSID, "--collection-url", &url];
    assert_eq!(there.program.run(&add).code, 0);
    let (_, shown) = there.json(&format!("suite show {RSID}"));
    assert_eq!(shown["confirmations"], Value::Array(Vec::new()));
}

#[test]
fn a_production_suite_is_probed_only_when_that_is_meant() {
    let desk = Desk::without_suite();
    desk.add(&[]);
    let refused = desk.run(&format!("suite probe {RSID}"));
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("is no development suite") && refused.err.contains("--production"),
        "{refused:?}"
    );
    assert_eq!(desk.sandbox.accepted_count(), 0);
    let (code, probe) = desk.json(&format!("suite probe {RSID} --production --deadline 2s --every 1s"));
    assert_eq!((code, &probe["verdict"]), (0, &"right".into()), "{probe}");
    assert_eq!(desk.sandbox.accepted_count(), 57);
}

#[test]
fn canary_hits_keep_the_rules_and_never_enter_the_account() {
    let desk = Desk::new();
    let (code, probe) = desk.probe();
    assert_eq!(code, 0, "{probe}");
    assert_eq!(desk.sandbox.violations(), []);
    let (_, status) = desk.json("status");
    assert_eq!(status["accounting"]["ingested"]["events"], 0, "{status}");
    assert!(
        desk.sandbox.hits().iter().all(|hit| hit.evars.get(&1).is_none_or(|requestor| requestor == "REF30"))
    );
    for event in probe["events"].as_array().expect("events") {
        assert_eq!((&event["sent"], &event["expected"], &event["seen"]), (&3.into(), &2.into(), &2.into()));
        assert!(event["first_seen_at"].is_string());
    }
    assert!(probe["evars"].as_array().expect("eVars").iter().all(|evar| evar["state"] == "right"));
}

#[test]
fn suites_of_every_form_are_probed() {
    for args in [
        &["--identity", "ecid", "--org-id", "1234567890ABCDEF12345678@AdobeOrg"][..],
        &["--event-ids", "off"][..],
        &["--count-with-id"][..],
    ] {
        let desk = Desk::without_suite();
        desk.add(&[args, &["--stage", "development"][..]].concat());
        let (code, probe) = desk.probe();
        assert_eq!((code, &probe["verdict"]), (0, &"right".into()), "{args:?}: {probe}");
        let (code, report) = desk.check();
        assert_eq!((code, items(&report, "wrong")), (0, vec![]), "{args:?}: {report}");
    }
}

#[test]
fn what_an_identity_means_for_unique_visitors_is_said() {
    let desk = Desk::new();
    let visitors = |report: &Value| {
        let findings = report["findings"].as_array().expect("findings").clone();
        let own =
            findings.into_iter().find(|one| one["item"] == "visitors" && one["setting"] == "Unique Visitors");
        own.expect("a warning")["found"].as_str().expect("a text").to_owned()
    };
    let said = visitors(&desk.check().1);
    assert!(said.contains("visitorID on timestamped hits") && !said.contains("share the suite"), "{said}");
    assert_eq!(desk.run(&format!("suite add --requestor REF40 --rsid {RSID}")).code, 0);
    assert_eq!(desk.run(&format!("suite set {RSID} --identity ecid --org-id none --split-visitors")).code, 0);
    let (_, report) = desk.check();
    let said = visitors(&report);
    assert!(said.contains("Experience Cloud ID") && said.contains("REF30, REF40 share the suite"), "{said}");
    assert!(findings(&report).contains(&"warning passbridge organisation".to_owned()), "{report}");
}

#[test]
fn a_probe_waits_for_late_hits_and_gives_up_at_its_deadline() {
    let desk = Desk::new();
    desk.latency(3_600_000);
    let (code, probe) = desk.json(&format!("suite probe {RSID} --deadline 1s --every 1s"));
    assert_eq!((code, &probe["verdict"]), (4, &"unseen".into()), "{probe}");
    let found = probe["findings"][0]["found"].as_str().expect("a text");
    let id = probe["id"].as_str().expect("an ID");
    assert!(found.contains("Adobe may need 2 h") && found.contains(&format!("--read-back {id}")), "{found}");
    let sent = desk.sandbox.accepted_count();

    desk.latency(0);
    let (code, again) = desk.json(&format!("suite probe {RSID} --read-back {id} --deadline 2s --every 1s"));
    assert_eq!((code, &again["verdict"]), (0, &"right".into()), "{again}");
    assert_eq!((desk.sandbox.accepted_count(), &again["id"]), (sent, &probe["id"]));
    let (_, shown) = desk.json(&format!("suite show {RSID}"));
    assert_eq!(shown["last_probe"]["verdict"], "right");
    let unknown = desk.run(&format!("suite probe {RSID} --read-back probe0"));
    assert_eq!(unknown.code, 2, "{unknown:?}");

    desk.latency(2_000);
    let (code, late) = desk.json(&format!("suite probe {RSID} --deadline 60s --every 1s"));
    assert_eq!((code, &late["verdict"]), (0, &"right".into()), "{late}");
}

#[test]
fn a_killed_probe_is_read_back_later() {
    let desk = Desk::new();
    desk.latency(3_600_000);
    let mut killed = desk.program.command(&["suite", "probe", RSID]).spawn().expect("the program starts");
    assert!(desk.sandbox.wait_accepted(57, PATIENCE), "the hits are sent");
    send(&killed, Signal::KILL);
    killed.wait().expect("it ends");
    let (_, shown) = desk.json(&format!("suite show {RSID}"));
    let id = shown["last_probe"]["id"].as_str().expect("an ID").to_owned();
    assert!(shown["last_probe"]["verdict"].is_null(), "{shown}");
    desk.latency(0);
    let (code, probe) = desk.json(&format!("suite probe {RSID} --read-back {id} --deadline 2s --every 1s"));
    assert_eq!((code, &probe["verdict"]), (0, &"right".into()), "{probe}");
}

#[test]
fn a_probe_that_was_cut_off_takes_no_proof_away() {
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    let proved = desk.run(&format!("suite check {RSID}"));
    assert!(proved.out.contains("proved by probe"), "{proved:?}");
    let before = desk.sandbox.accepted_count();
    desk.latency(3_600_000);
    let mut killed = desk.program.command(&["suite", "probe", RSID]).spawn().expect("the program starts");
    assert!(desk.sandbox.wait_accepted(before + 1, PATIENCE), "its hits go");
    send(&killed, Signal::KILL);
    killed.wait().expect("it ends");
    let again = desk.run(&format!("suite check {RSID}"));
    assert_eq!(again.out, proved.out);
}

#[test]
fn a_proof_is_void_once_the_setting_that_it_rests_on_has_changed() {
    let desk = Desk::new();
    assert_eq!(desk.probe().0, 0);
    let (_, report) = desk.json(&format!("suite check {RSID}"));
    assert!(items(&report, "proved").contains(&"timestamps".to_owned()), "{report}");
    assert_eq!(desk.run(&format!("suite set {RSID} --identity ecid --org-id none --split-visitors")).code, 0);
    let (_, report) = desk.json(&format!("suite check {RSID}"));
    assert!(items(&report, "open").contains(&"timestamps".to_owned()), "{report}");
}

#[test]
fn a_reading_that_is_refused_for_the_moment_does_not_end_the_wait() {
    let desk = Desk::new();
    desk.latency(3_600_000);
    let words = ["suite", "probe", RSID, "--deadline", "60s", "--every", "1s"];
    let mut waiting = desk.program.command(&words).spawn().expect("the program starts");
    assert!(desk.sandbox.wait_accepted(57, PATIENCE), "the hits are sent");
    // More refusals than one call is tried.
    desk.sandbox.set_analytics(AnalyticsSettings {
        calls_per_window: 1_000_000,
        busy_next: 8,
        busy_status: 429,
        ..AnalyticsSettings::default()
    });
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0));
    let (_, shown) = desk.json(&format!("suite show {RSID}"));
    assert_eq!(shown["last_probe"]["verdict"], "right");
}

#[test]
fn hits_that_nobody_could_look_for_are_not_called_lost() {
    let usual = || AnalyticsSettings { calls_per_window: 1_000_000, ..AnalyticsSettings::default() };
    for (deadline, settings) in [
        ("4s", AnalyticsSettings { busy_next: 1_000, busy_status: 429, ..usual() }),
        ("4s", AnalyticsSettings { forbidden: true, ..usual() }),
        (
            "60s",
            AnalyticsSettings {
                refuse_tokens: "invalid_client".to_owned(),
                forget_tokens_after: 1,
                ..usual()
            },
        ),
    ] {
        let desk = Desk::new();
        desk.latency(3_600_000);
        let words = ["suite", "probe", RSID, "--deadline", deadline, "--every", "1s"];
        let mut command = desk.program.command(&words);
        command.stderr(std::process::Stdio::piped());
        let waiting = command.spawn().expect("the program starts");
        assert!(desk.sandbox.wait_accepted(57, PATIENCE), "the hits are sent");
        desk.sandbox.set_analytics(settings);
        let done = waiting.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{told}");
        let says_how = told.contains("hits of this probe may be out") && told.contains("--read-back probe");
        assert!(says_how, "{told}");
    }
}

#[test]
fn a_signal_ends_the_wait_and_says_how_to_go_on() {
    let desk = Desk::new();
    desk.latency(3_600_000);
    let waiting = desk.program.command(&["suite", "probe", RSID]).spawn().expect("the program starts");
    assert!(desk.sandbox.wait_accepted(57, PATIENCE), "the hits are sent");
    std::thread::sleep(Duration::from_millis(500));
    send(&waiting, Signal::TERM);
    let output = waiting.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("--read-back probe"), "{said}");
}

#[test]
fn a_collector_that_takes_no_hit_ends_the_probe_with_the_reason() {
    let desk = Desk::new();
    desk.sandbox.set_faults("status=403:100%".parse().expect("a fault plan"));
    let failed = desk.run(&format!("suite probe {RSID}"));
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("hit 1 of 57") && failed.err.contains("HTTP 403"), "{failed:?}");
    assert!(!failed.err.contains("may be out"), "{failed:?}");
    assert_eq!(desk.json(&format!("suite show {RSID}")).1["last_probe"], Value::Null);
    desk.wrong(&["virtual=parent.suite"]);
    let refused = desk.run(&format!("suite probe {RSID}"));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("is a virtual report suite of parent.suite"), "{refused:?}");
}

#[test]
fn what_never_left_is_neither_recorded_nor_lost() {
    // The name does not resolve, nobody listens, and a variable that names no proxy.
    let cases = [
        ("https://nobody.invalid", "NO_PROXY", "*", 1, "cannot resolve"),
        ("http://127.0.0.1:1", "NO_PROXY", "*", 1, "cannot connect"),
        ("https://collector.example", "HTTPS_PROXY", "http://proxy:none", 2, "HTTPS_PROXY"),
    ];
    std::thread::scope(|scope| {
        for (url, name, value, code, why) in cases {
            scope.spawn(move || {
                let desk = Desk::new();
                let set = ["suite", "set", RSID, "--collection-url", url];
                assert_eq!(desk.program.run(&set).code, 0);
                let mut command = desk.program.command(&["suite", "probe", RSID]);
                command.env(name, value);
                let failed = done(command);
                assert!(failed.code == code && failed.err.contains(why), "{failed:?}");
                assert!(!failed.err.contains("may be out"), "{failed:?}");
                assert_eq!(desk.json(&format!("suite show {RSID}")).1["last_probe"], Value::Null);
            });
        }
    });
}

#[test]
fn the_hits_that_a_probe_could_not_send_are_not_called_lost() {
    let desk = Desk::new();
    assert_eq!(desk.run(&format!("suite set {RSID} --rate 10")).code, 0);
    let failed = std::thread::scope(|scope| {
        let probe = scope.spawn(|| desk.run(&format!("suite probe {RSID}")));
        assert!(desk.sandbox.wait_accepted(3, PATIENCE), "some hits go");
        desk.sandbox.set_faults("status=403:100%".parse().expect("a fault plan"));
        probe.join().expect("it ends")
    });
    assert!(failed.code == 1 && failed.err.contains("hits of this probe may be out"), "{failed:?}");
    let (_, shown) = desk.json(&format!("suite show {RSID}"));
    let id = shown["last_probe"]["id"].as_str().expect("an ID");
    // First nothing shows of them, then those that were sent.
    for latency in [3_600_000, 0] {
        desk.latency(latency);
        let (code, probe) =
            desk.json(&format!("suite probe {RSID} --read-back {id} --deadline 1s --every 1s"));
        assert_eq!(
            (code, &probe["is_sent"], &probe["findings"]),
            (4, &false.into(), &serde_json::json!([])),
            "{latency}: {probe}"
        );
    }
    let (_, report) = desk.json(&format!("suite check {RSID}"));
    assert!(items(&report, "wrong").is_empty(), "{report}");
    assert!(!items(&report, "proved").contains(&"events".to_owned()), "{report}");
}

#[test]
fn lost_replies_do_not_change_what_a_probe_sees() {
    let desk = Desk::new();
    desk.sandbox.set_faults("reset-after:5%; status=503:5%; seed=3".parse().expect("a fault plan"));
    let (code, probe) = desk.probe();
    assert_eq!((code, &probe["verdict"]), (0, &"right".into()), "{probe}");
}
