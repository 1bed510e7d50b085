//! Every setting that the sandbox can have wrong is found by a check or a probe, and explained with the fix.

use serde_json::Value;

use super::{Desk, findings};

/// By what a wrong setting is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `suite check` with the API alone.
    Api,
    /// With the settings file as well.
    File,
    /// `suite probe`.
    Probe,
}
use Way::{Api, File, Probe};

/// A wrong setting, how it is found, the severity in a check, the subject, and words of its fix.
const WRONG: &[(&str, &[Way], &str, &str, &str)] = &[
    ("missing", &[Api], "blocks", "suite", "compare examplersid with the Report Suite ID"),
    ("invisible", &[Api], "blocks", "suite", "add it to the product profile"),
    ("virtual=parent.suite", &[Api], "blocks", "suite", "map the requestors to its parent"),
    ("timezone=Europe/Berlin", &[Api, File], "warning", "suite", "set the time zone to US/Pacific"),
    ("timestamps=not_allowed", &[File, Probe], "blocks", "suite", "set Timestamps Optional"),
    ("single_byte", &[File], "wrong", "suite", "enable multi-byte character support"),
    ("single_byte", &[Probe], "wrong", "eVar6", "enable multi-byte character support"),
    ("bot=firefox", &[Probe], "wrong", "suite", "Bot Rules"),
    ("ip=203.0.113.", &[Probe], "wrong", "suite", "Exclude by IP Address"),
    ("event7=disabled", &[Api, Probe], "wrong", "event7", "enable"),
    ("event7=forbidden", &[Api, Probe], "wrong", "event7", "product profile"),
    ("event7=forbidden", &[File], "wrong", "event7", "as the settings file has it enabled"),
    ("evar3=forbidden", &[File], "wrong", "eVar3", "as the settings file has it enabled"),
    ("event7.name=Starts", &[Api], "warning", "event7", "name event7 \"Play request\""),
    ("event5.name=AuthZ failed", &[Api], "wrong", "event5", "the name of event6"),
    ("event7.type=numeric", &[Api, File], "wrong", "event7", "set the type to Counter"),
    ("event7.type=currency", &[Api, File], "wrong", "event7", "set the type to Counter"),
    ("event7.recording=always_record", &[File, Probe], "wrong", "event7", "Use Event ID"),
    ("event*.recording=always_record", &[File, Probe], "wrong", "event1", "Use Event ID"),
    ("event7.recording=once_per_visit", &[File, Probe], "wrong", "event7", "Use Event ID"),
    ("evar3=disabled", &[Api, Probe], "wrong", "eVar3", "enable"),
    ("evar1=disabled", &[Api, Probe], "wrong", "eVar1", "enable"),
    ("evar6=disabled", &[Api, Probe], "wrong", "eVar6", "enable"),
    ("evar10=disabled", &[Api, Probe], "wrong", "eVar10", "enable"),
    ("evar3=forbidden", &[Api, Probe], "wrong", "eVar3", "product profile"),
    ("evar3.name=Middle man", &[Api], "warning", "eVar3", "name eVar3 \"Proxy\""),
    ("evar3.name=MVPD", &[Api], "wrong", "eVar3", "the name of eVar2"),
    ("evar3.type=counter", &[Api, Probe], "wrong", "eVar3", "Text String"),
    (
        "evar3.allocation=original_value_first",
        &[Api],
        "wrong",
        "eVar3",
        "set Allocation to Most Recent (Last)",
    ),
    ("evar3.allocation=linear", &[Api], "wrong", "eVar3", "set Allocation to Most Recent (Last)"),
    ("evar2.expiration=visit", &[Api, Probe], "wrong", "eVar2", "Hit"),
    ("evar6.expiration=never", &[Api, Probe], "wrong", "eVar6", "Hit"),
    ("evar34.expiration=day", &[Api, Probe], "wrong", "eVar34", "Hit"),
    ("evar*.expiration=visit", &[Api, Probe], "wrong", "eVar2", "Hit"),
    ("evar3.merchandising=product", &[Api, Probe], "wrong", "eVar3", "erchandising"),
    ("evar3.merchandising=conversion_variable", &[Api, Probe], "wrong", "eVar3", "erchandising"),
];

#[test]
fn every_wrong_setting_is_found_and_explained_with_its_fix() {
    for (wrong, ways, severity, subject, fix) in WRONG {
        let desk = Desk::new();
        desk.wrong(&[wrong]);
        for way in *ways {
            let (code, report) = match way {
                Api => desk.check(),
                File => desk.check_with_file(),
                Probe => desk.probe(),
            };
            let is_wrong = matches!(*severity, "blocks" | "wrong");
            let codes: &[i32] = match (way, is_wrong) {
                (Probe, _) => &[3, 4],
                (_, true) => &[3],
                (_, false) => &[0],
            };
            assert!(codes.contains(&code), "{wrong} by {way:?}: {code} {report}");
            let found = report["findings"].as_array().expect("findings");
            let first = found.iter().find(|one| {
                one["subject"] == *subject && one["severity"] != "ok" && one["severity"] != "confirm"
            });
            let first = first.unwrap_or_else(|| panic!("{wrong} by {way:?}: {report}"));
            if *way != Probe {
                assert_eq!(first["severity"], *severity, "{wrong} by {way:?}: {first}");
            }
            let said = first["fix"].as_str().expect("a fix");
            assert!(said.contains(fix), "{wrong} by {way:?}: {said}");
        }
    }
}

#[test]
fn what_a_probe_disproved_stands_in_the_check_until_it_is_mended() {
    let desk = Desk::new();
    desk.wrong(&["event7.recording=always_record", "single_byte"]);
    assert_eq!(desk.probe().0, 3);
    let (code, report) = desk.check();
    assert_eq!(code, 3, "{report}");
    let expected = ["wrong suite Unique Event Recording", "wrong suite Multi-byte character support"];
    assert!(expected.iter().all(|one| findings(&report).iter().any(|found| found == one)), "{report}");
    // An older word does not outweigh what was seen; a newer one says that it was mended.
    desk.wrong(&[]);
    desk.confirm("unique-event-recording");
    let (code, report) = desk.check();
    assert_eq!(code, 3, "{report}");
    assert_eq!(super::items(&report, "wrong"), ["multi-byte"]);
    assert!(
        findings(&report).iter().any(|found| found == "warning suite Unique Event Recording"),
        "{report}"
    );
    assert_eq!(desk.probe().0, 0);
    assert_eq!(super::items(&desk.check().1, "wrong"), [""; 0]);
}

#[test]
fn one_line_tells_of_all_that_are_wrong_alike() {
    let desk = Desk::new();
    desk.wrong(&["evar*.expiration=visit", "evar7.expiration=page_view", "timestamps=not_allowed"]);
    let path = desk.settings_file();
    let printed = desk.program.run(&["suite", "check", super::RSID, "--settings", &path]);
    assert_eq!(printed.code, 3, "{printed:?}");
    let lines: Vec<&str> = printed.out.lines().collect();
    assert!(lines[1].starts_with("  blocks    timestamps: Timestamps: "), "{}", printed.out);
    assert!(printed.out.contains("eVar1-eVar6, eVar8-eVar34: Expire After: "), "{}", printed.out);
}

#[test]
fn a_file_that_is_older_than_the_suite_is_noticed() {
    let desk = Desk::new();
    let path = desk.settings_file();
    desk.wrong(&["evar2.expiration=visit"]);
    let (code, report) = desk.program.json(&["suite", "check", super::RSID, "--settings", &path]);
    assert_eq!(code, 3, "{report}");
    let found = report["findings"].as_array().expect("findings");
    let stale = found.iter().find(|one| one["source"] == "file" && one["severity"] == "warning");
    let stale = stale.unwrap_or_else(|| panic!("{report}"));
    assert_eq!((&stale["subject"], &stale["found"]), (&"eVar2".into(), &"Hit".into()));
    assert!(stale["fix"].as_str().is_some_and(|fix| fix.contains("download the file again")), "{stale}");
}

/// Which settings are wrong is a value of the sandbox: the table above has each of its kinds.
#[test]
fn the_table_has_every_kind_of_wrong_setting() {
    let syntax = passbridge::sandbox::WRONG_SYNTAX;
    let kinds: Vec<&str> = syntax
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split([' ', '=']).next())
        .filter(|kind| !kind.is_empty())
        .collect();
    assert!(kinds.len() >= 15, "{kinds:?}");
    for kind in kinds {
        let kind = kind.replace("eventN", "event").replace("evarN", "evar");
        let (subject, part) = kind.split_once('.').unwrap_or((&kind, ""));
        let has = |wrong: &str| wrong.starts_with(subject) && wrong.contains(part);
        assert!(WRONG.iter().any(|(wrong, ..)| has(wrong)), "{kind}");
    }
}

#[test]
fn a_name_in_other_letters_is_no_finding() {
    let desk = Desk::new();
    desk.wrong(&["event3.name=authn_ok", "evar2.name= mvpd "]);
    let (code, report) = desk.check();
    assert_eq!(code, 0, "{report}");
    let of = |subject: &str| -> Value {
        let findings = report["findings"].as_array().expect("findings").clone();
        findings
            .into_iter()
            .find(|one| one["subject"] == subject && one["setting"] == "Name")
            .expect("a comparison")
    };
    assert_eq!((&of("event3")["severity"], &of("event3")["found"]), (&"ok".into(), &"authn_ok".into()));
    assert_eq!(of("eVar2")["severity"], "ok");
    let printed = desk.run(&format!("suite check {}", super::RSID)).out;
    assert!(printed.contains("spelled   event3 \"authn_ok\" for \"AuthN OK\", eVar2"), "{printed}");
}
