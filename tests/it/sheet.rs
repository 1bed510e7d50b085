//! The configuration sheet, as the program writes it: read back by a reader that shares nothing with the writer.

mod workbook;

use std::process::{Command, Stdio};

use passbridge::event::{EventKind, Property};

use crate::program::{Program, done};
use workbook::Workbook;

fn written(program: &Program, name: &str) -> Vec<u8> {
    let path = program.path(name);
    let done = program.run_bare(&["suite", "sheet", "--out", path.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
    std::fs::read(path).expect("the sheet")
}

#[test]
fn the_workbook_has_a_tab_for_each_topic_and_every_event_and_evar() {
    let program = Program::bare();
    let book = Workbook::read(&written(&program, "sheet.xlsx"));
    assert_eq!(book.tabs(), ["Overview", "Suite", "Events", "eVars", "Metrics", "Agreements"]);
    let events = EventKind::ALL.map(|kind| {
        let slot = format!("event{}", kind.slot());
        [&slot, kind.label(), "Counter (no subrelations)", "Use Event ID", "Enabled", "open"]
            .map(str::to_owned)
            .to_vec()
    });
    let head = ["Event", "Name", "Type", "Unique event recording", "Visibility", "Done"];
    assert_eq!(book.rows("Events", 5), head.map(str::to_owned));
    for (row, event) in (6..).zip(&events) {
        assert_eq!(&book.rows("Events", row), event);
    }
    for (row, property) in (6..).zip(Property::reported()) {
        let cells = book.rows("eVars", row);
        assert_eq!(
            cells[..5],
            [&format!("eVar{}", row - 5), property.label(), "Text String", "Most Recent (Last)", "Hit"]
        );
        assert_eq!((cells[7].as_str(), cells[8].as_str()), (property.name(), "open"));
    }
    assert_eq!(book.rows("eVars", 40), Vec::<String>::new());
}

#[test]
fn a_name_that_says_no_form_is_refused() {
    let program = Program::bare();
    let formless = program.run_bare(&["suite", "sheet", "--out", &program.place("sheet.docx")]);
    assert!(formless.code == 2 && formless.err.contains("--format"), "{formless:?}");
    assert!(!program.path("sheet.docx").exists());
}

#[test]
fn a_requestor_that_reads_like_a_formula_is_none_in_a_table() {
    let program = Program::new();
    program.map("=cmd()", "other", "http://127.0.0.1:9", &[]);
    let sheet = program.run(&["suite", "sheet", "other", "--format", "csv"]);
    assert!(sheet.out.contains(",'=cmd()"), "{sheet:?}");
    assert!(!sheet.out.contains(",=") && !sheet.out.contains("\"="), "{sheet:?}");
}

#[test]
fn the_workbook_can_be_handed_over() {
    let program = Program::bare();
    let bytes = written(&program, "sheet.xlsx");
    assert_eq!(bytes, written(&program, "again.xlsx"), "the same settings are the same file");
    let book = Workbook::read(&bytes);
    for tab in &book.tabs()[1..] {
        let sheet = book.part(tab);
        for (what, expected) in [
            ("its header stays", "<pane xSplit=\"1\" ySplit=\"5\" topLeftCell=\"B6\""),
            ("what to tick off is a choice", "\"open,done,not needed\""),
            ("done is seen", "<conditionalFormatting"),
            ("it can be filtered", "<autoFilter"),
            ("it prints across", "orientation=\"landscape\""),
        ] {
            assert!(sheet.contains(expected), "{tab}: {what}\n{sheet}");
        }
    }
    let overview = book.part("Overview");
    assert!(overview.contains("COUNTIF('Events'!$F$6:$F$23,\"done\")"), "{overview}");
    assert_eq!(
        book.rows("Overview", 7)[..3],
        ["Events", "Admin > Report Suites > Edit Settings > Conversion > Success Events", "18"]
    );
}

#[test]
fn a_mapped_suite_has_a_sheet_of_its_own() {
    let program = Program::new();
    let settings = ["--identity", "ecid", "--org-id", "none", "--event-ids", "off"];
    program.map("REF30", "examplersid", "https://c.example.com", &settings);
    let done = program.run(&["suite", "sheet", "examplersid"]);
    assert_eq!(done.code, 0, "{done:?}");
    for part in [
        "# Adobe Pass in report suite examplersid: its settings\n",
        "| Requestors | REF30 |",
        "| Unique visitor | Experience Cloud ID, as marketingCloudVisitorID |",
        "| event7 | Play request | Counter (no subrelations) | Always Record Event | Enabled | [ ] |",
    ] {
        assert!(done.out.contains(part), "{part}\n{}", done.out);
    }
    let (code, document) = program.json(&["suite", "sheet", "examplersid"]);
    assert_eq!((code, document["topics"][2]["rows"][9][1].as_str()), (0, Some("MVPD User ID")));
    assert_eq!(program.run(&["suite", "sheet", "unknown"]).code, 2);
}

#[test]
fn a_sheet_is_never_written_over_a_file_or_into_a_terminal() {
    let program = Program::bare();
    program.write("sheet.md", "mine");
    let path = program.path("sheet.md");
    let refused = program.run_bare(&["suite", "sheet", "--out", path.to_str().expect("UTF-8")]);
    assert_eq!((refused.code, std::fs::read_to_string(&path).expect("a file").as_str()), (2, "mine"));
    // script runs a command on a terminal of its own.
    let mut terminal = Command::new("script");
    let line = format!("{} suite sheet --format xlsx", env!("CARGO_BIN_EXE_passbridge"));
    terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    let refused = done(terminal);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.out.contains("--out sheet.xlsx"), "{refused:?}");
}

#[test]
fn the_sheet_of_experience_cloud_ids_compares_no_visitors_with_esm_in_any_form() {
    let program = Program::new();
    let add = ["suite", "add", "--requestor", "REF30", "--rsid", "a", "--collection-url", "https://h"];
    let ecid = ["--identity", "ecid", "--org-id", "1234567890ABCDEF12345678@AdobeOrg"];
    assert_eq!(program.run(&[&add[..], &ecid].concat()).code, 0);
    assert_eq!(
        program
            .run(&["suite", "add", "--requestor", "REF40", "--rsid", "b", "--collection-url", "https://h"])
            .code,
        0
    );
    let sheet = |rsid: &str, form: &str| {
        let path = program.path(&format!("{rsid}.{form}"));
        let done = program.run(&["suite", "sheet", rsid, "--out", path.to_str().expect("UTF-8")]);
        assert_eq!(done.code, 0, "{done:?}");
        let bytes = std::fs::read(path).expect("the sheet");
        match form {
            "xlsx" => (5..16)
                .flat_map(|row| Workbook::read(&bytes).rows("Suite", row))
                .collect::<Vec<_>>()
                .join("\n"),
            _ => String::from_utf8(bytes).expect("UTF-8"),
        }
    };
    for form in ["md", "csv", "html", "xlsx"] {
        let (ecids, accounts) = (sheet("a", form), sheet("b", form));
        assert!(!ecids.contains("it compares with the unique users of ESM"), "{form}: {ecids}");
        assert!(ecids.contains("No segment makes that the number of accounts"), "{form}: {ecids}");
        assert!(accounts.contains("it compares with the unique users of ESM"), "{form}: {accounts}");
        assert!(!accounts.contains("No segment makes that"), "{form}: {accounts}");
    }
}
