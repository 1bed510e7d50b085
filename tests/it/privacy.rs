//! What is forgotten is gone from wherever the program keeps it.

use std::fs;

use crate::program::{Program, lines};

#[test]
fn a_person_is_forgotten_in_the_buffer_and_in_the_rejected_lines() {
    let program = Program::new();
    let good = lines(3);
    let broken = good.replace("2026-11-01", "2026-99-01");
    program.write("events.ndjson", &format!("{good}{broken}"));
    let path = program.path("events.ndjson");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);

    let (code, forgotten) = program.json(&["forget", "--mvpd", "M", "--mvpd-user-id", "u1"]);
    assert_eq!(
        (code, &forgotten["events"], &forgotten["rejected_lines"]),
        (0, &1.into(), &1.into()),
        "{forgotten}"
    );
    let rejects =
        fs::read_dir(program.path("rejects")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let left: String = rejects.map(|path| fs::read_to_string(path).expect("UTF-8")).collect();
    assert_eq!((left.lines().count(), left.contains("u1"), left.contains("u2")), (2, false, true), "{left}");
    let database = fs::read(program.path("passbridge.db")).expect("the buffer");
    assert!(!database.windows(8).any(|window| window == b"\"u1\",\"mv" || window == b":\"u1\",\"m"));

    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    let status = program.json(&["status", "--verify"]).1;
    assert_eq!(
        (&status["pending"], &status["accounting"]["erased"]["events"]),
        (&2.into(), &1.into()),
        "{status}"
    );
}

#[test]
fn a_rejects_file_without_another_line_is_removed() {
    let program = Program::new();
    program.write("events.ndjson", "{\"event\":\"play_requested\",\"visitor_id\":\"v1\"}\n");
    let path = program.path("events.ndjson");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    assert_eq!(program.json(&["forget", "--visitor-id", "v1"]).1["rejected_lines"], 1);
    assert_eq!(fs::read_dir(program.path("rejects")).expect("a folder").count(), 0);
}
