//! What other programs insert into the inbox goes the way of a file's lines.

use passbridge::ingest::take_inbox;

use super::*;

impl Intake {
    /// Inserts as another program would, with nothing of ours.
    fn insert(&self, values: &[&str]) {
        let database = rusqlite::Connection::open(self.house.buffer.path()).expect("the file");
        for value in values {
            database
                .execute(&format!("INSERT INTO inbox (body) VALUES ({value})"), [])
                .expect("an open table");
        }
    }

    fn take(&self) -> IngestSummary {
        take_inbox(&self.house.buffer, &self.options, &mut ()).expect("the inbox")
    }

    fn inbox_rows(&self) -> i64 {
        self.house.buffer.status().expect("a status").inbox
    }
}

const EVENT: &str =
    r#"'{"occurred_at":1794000000,"event":"authn_ok","requestor_id":"HarborNews","event_id":"i-1"}'"#;

#[test]
fn an_empty_inbox_is_no_work() {
    let intake = Intake::new();
    let summary = intake.take();
    assert_eq!(summary.total, Counts::default());
    assert!(summary.warnings.is_empty() && summary.rejects_path.is_none());
}

#[test]
fn events_are_stored_and_whatever_else_was_inserted_is_kept_as_a_reject() {
    let intake = Intake::new();
    let other = EVENT.replace("authn_ok\"", "authn_ok\",\"mvpd\":\"Brightline\"");
    let blob = format!("CAST({} AS BLOB)", EVENT.replace("i-1", "i-2"));
    intake.insert(&[EVENT, "NULL", "''", "42", "x'FF00'", "'{}'", &blob, EVENT, &other]);
    let summary = intake.take();
    assert_eq!(summary.inputs[0].path, "inbox");
    assert_eq!(summary.total, counts(9, 2, 1, 1, 5));
    assert_eq!((intake.inbox_rows(), intake.pending()), (0, 2));
    let kept = std::fs::read_to_string(summary.rejects_path.expect("rejects")).expect("UTF-8");
    let kept: Vec<(u64, String, String)> = kept
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["path"], "inbox");
            let text = |key: &str| line[key].as_str().expect("text").to_owned();
            (line["line"].as_u64().expect("a rowid"), text("reason"), text("text"))
        })
        .collect();
    let expected = [
        (2, "is empty", ""),
        (3, "is empty", ""),
        (4, "is not a JSON object", "42"),
        (5, "is not UTF-8 from byte 1 on", "\u{fffd}\0"),
        (6, "occurred_at is missing", "{}"),
        // The row of a conflict is gone from the inbox, so it is kept too, though it counts as a conflict.
        (9, "has the event_id of inbox:1 and other content; the first one stays", other.trim_matches('\'')),
    ];
    assert_eq!(kept, expected.map(|(line, reason, text)| (line, reason.to_owned(), text.to_owned())));
}

#[test]
fn a_long_inbox_is_moved_page_by_page() {
    let intake = Intake::new();
    let database = rusqlite::Connection::open(intake.house.buffer.path()).expect("the file");
    database
        .execute(
            "INSERT INTO inbox (body)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             SELECT json_object('occurred_at', 1794000000 + i, 'event', 'authn_ok', 'requestor_id', 'HarborNews') FROM n",
            [],
        )
        .expect("an open table");
    assert_eq!(intake.take().total, counts(2_500, 2_500, 0, 0, 0));
    assert_eq!((intake.inbox_rows(), intake.pending()), (0, 2_500));
}

#[test]
fn every_bad_row_is_kept_because_nothing_else_has_it() {
    let mut intake = Intake::new();
    intake.options.config.rejects_max = 1;
    intake.insert(&["'bad'", "'worse'", "'worst'"]);
    let summary = intake.take();
    assert_eq!((intake.inbox_rows(), summary.total.rejected, rejects::kept(&summary).len()), (0, 3, 3));
}

#[test]
fn a_row_that_is_no_line_says_what_it_is_and_a_byte_order_mark_is_no_matter() {
    let intake = Intake::new();
    let event = r#"{"occurred_at":1794000000,"event":"authn_ok","requestor_id":"HarborNews"}"#;
    intake.insert(&[
        &format!("'\u{feff}{event}'"),
        "x'28b52ffd0000'",
        "x'fffe7b00'",
        &format!("'[{event}]'"),
        "'{\"report\":[{\"year\":2026}]}'",
    ]);
    let summary = intake.take();
    assert_eq!(summary.total, counts(5, 1, 0, 0, 4));
    let reasons: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
    for (reason, why) in
        reasons.iter().zip(["packed as Zstandard", "UTF-16", "one JSON list", "a report of ESM"])
    {
        assert!(reason.contains(why), "{reasons:?}");
    }
}

#[test]
fn each_event_of_a_row_that_is_left_out_is_kept_alone_and_many_on_a_row_take_as_long_as_many_rows() {
    let event = |id: usize, mvpd: &str| {
        format!(
            r#"{{"occurred_at":1794000000,"event":"authn_ok","requestor_id":"HarborNews","event_id":"i-{id}","mvpd":"{mvpd}"}}"#
        )
    };
    let row = |count: usize, mvpd: &str| (0..count).map(|id| event(id, mvpd)).collect::<String>();
    let took = |rows: &[String]| {
        let intake = Intake::new();
        let file = intake.file("a.ndjson", row(36_000, "A").replace("}{", "}\n{").as_bytes());
        assert_eq!(intake.load(&[&file]).total.stored, 36_000);
        let database = rusqlite::Connection::open(intake.house.buffer.path()).expect("the file");
        database.execute_batch("BEGIN").expect("a transaction");
        for row in rows {
            database.execute("INSERT INTO inbox (body) VALUES (?1)", [row]).expect("an open table");
        }
        database.execute_batch("COMMIT").expect("a commit");
        let began = std::time::Instant::now();
        let summary = intake.take();
        let took = began.elapsed();
        assert_eq!(summary.total, counts(36_000, 0, 0, 36_000, 0));
        let kept = rejects::kept(&summary);
        assert!(
            kept.iter().all(|line| line["text"].as_str().is_some_and(|text| text.len() < 200)),
            "each alone"
        );
        took
    };
    let one_row = took(&[row(36_000, "B")]);
    let each_alone: Vec<String> = (0..36_000).map(|id| event(id, "B")).collect();
    let rows = took(&each_alone);
    assert!(one_row < rows * 2, "{one_row:?} on one row, {rows:?} on rows of their own");
}

#[test]
fn a_row_stays_where_its_reject_cannot_be_kept() {
    let mut intake = Intake::new();
    intake.options.config.rejects_dir = intake.file("a-file", b"");
    intake.insert(&["'bad'"]);
    let left = intake.take().left;
    assert!(matches!(left, Some(IngestError::Rejects { .. })), "{left:?}");
    assert_eq!(intake.inbox_rows(), 1);
}

#[test]
fn a_row_whose_event_is_left_out_stays_until_its_reject_is_kept() {
    let mut intake = Intake::new();
    let rejects_dir = intake.file("a-file", b"");
    let folder = std::mem::replace(&mut intake.options.config.rejects_dir, rejects_dir);
    let other = EVENT.replace("authn_ok\"", "authn_ok\",\"mvpd\":\"Brightline\"");
    intake.insert(&[EVENT, &other]);
    let summary = intake.take();
    assert!(matches!(summary.left, Some(IngestError::Rejects { .. })), "{:?}", summary.left);
    assert_eq!((intake.inbox_rows(), intake.pending(), summary.total.stored), (1, 1, 1));
    intake.options.config.rejects_dir = folder;
    let summary = intake.take();
    assert_eq!((intake.inbox_rows(), summary.total), (0, counts(1, 0, 0, 1, 0)));
    assert_eq!(rejects::kept(&summary).len(), 1);
}
