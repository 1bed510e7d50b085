//! An input that cannot be read to its end says so, and costs no line but the one in the break.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::program::Program;

const EXCHANGE: &str =
    r#"{"started_at":"2026-11-10T08:00:01Z","request":{"method":"GET","url":"https://x/"}}"#;

/// What the summary says of inputs that fail, without their folder.
fn failures(summary: &IngestSummary, intake: &Intake) -> Vec<String> {
    let folder = format!("{}/", intake.house.dir.path().display());
    summary.failures.iter().map(|failure| failure.to_string().replace(&folder, "")).collect()
}

#[test]
fn a_truncated_archive_stores_every_whole_line_and_names_the_one_in_the_break() {
    let text = events(10_000);
    let zstd = zstd::encode_all(text.as_bytes(), 1).expect("memory");
    for (name, whole) in [("cut.ndjson.gz", gzip(text.as_bytes())), ("cut.ndjson.zst", zstd)] {
        let intake = Intake::new();
        let path = intake.file(name, &whole[..whole.len() * 3 / 5]);
        let summary = intake.load(&[&path]);
        let stored = summary.total.stored;
        assert_eq!(summary.total, counts(stored, stored, 0, 0, 0), "{name}");
        assert!((100..10_000).contains(&stored), "{stored} lines of {name}");
        let failure = failures(&summary, &intake).join("\n");
        let expected = format!("{name}: breaks off in line {}: ", stored + 1);
        assert!(failure.starts_with(&expected), "{failure} but not {expected}");
        assert_eq!(intake.pending(), stored as i64);

        let whole = intake.file("whole", &whole);
        assert_eq!(intake.load(&[&whole]).total, counts(10_000, 10_000 - stored, stored, 0, 0), "{name}");
    }
}

#[test]
fn what_a_damaged_archive_stored_can_be_taken_back_and_the_message_says_how() {
    let text = events(20_000);
    // Blocks that are stored as they are: damage there yields another event, and only the checksum at the end tells.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(text.as_bytes()).expect("memory");
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    zstd.include_checksum(true).expect("a checksum");
    zstd.write_all(text.as_bytes()).expect("memory");
    for (name, mut bytes) in
        [("a.ndjson.gz", packed.finish().expect("memory")), ("a.ndjson.zst", zstd.finish().expect("memory"))]
    {
        let place = if name.ends_with("gz") { bytes.len() / 2 } else { bytes.len() - 1 };
        bytes[place] ^= 1;
        let program = Program::new();
        std::fs::write(program.path(name), bytes).expect("a file");
        let broken = program.run(&["ingest", &program.place(name)]);
        assert_eq!(broken.code, 1, "{broken:?}");
        assert!(broken.err.contains("pending take-back --input N"), "{broken:?}");
        let taken = program.run(&["pending", "take-back", "--input", "1", "--yes"]);
        assert_eq!((taken.code, &program.json(&["status"]).1["pending"]), (0, &0.into()), "{taken:?}");
    }
}

#[test]
fn a_truncated_csv_archive_keeps_its_whole_rows() {
    let rows: String = (0..3_000u64)
        .map(|row| {
            format!(
                "{},authn_ok,HarborNews,{:x}\n",
                1_794_000_000 + row,
                row.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            )
        })
        .collect();
    let whole = gzip(format!("occurred_at,event,requestor_id,session_id\n{rows}").as_bytes());
    let intake = Intake::new();
    let path = intake.file("cut.csv.gz", &whole[..whole.len() / 2]);
    let summary = intake.load(&[&path]);
    let stored = summary.total.stored;
    assert!(stored > 100);
    assert_eq!(summary.total, counts(stored, stored, 0, 0, 0));
    let failure = failures(&summary, &intake).join("\n");
    assert!(failure.starts_with(&format!("cut.csv.gz: breaks off in line {}: ", stored + 2)), "{failure}");
}

#[test]
fn a_damaged_file_of_which_nothing_was_stored_asks_for_no_take_back() {
    let report = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,2,8,REF30,M,5\n";
    let text = events(20_000);
    for (name, content, format) in [
        ("r.csv.gz", report, "auto"),
        ("r.gz", report, "esm"),
        ("r.gz", report, "auto"),
        ("e.ndjson.gz", &*text, "auto"),
    ] {
        let program = Program::new();
        let whole = program.file("whole", content);
        if name.starts_with('e') {
            assert_eq!(program.run(&["ingest", "--format", "ndjson", &whole]).code, 0);
        }
        let mut bytes = gzip(content.as_bytes());
        let sum = bytes.len() - 6;
        bytes[sum] ^= 1;
        std::fs::write(program.path(name), bytes).expect("a file");
        let broken = program.run(&["ingest", "--format", format, &program.place(name)]);
        assert_eq!(broken.code, 1, "{name} {format}: {broken:?}");
        let says = broken.err.contains("nothing of it was stored")
            && broken.err.contains("get it again from its source");
        assert!(says && !broken.err.contains("take-back"), "{name} {format}: {broken:?}");
    }
}

#[test]
fn the_other_inputs_go_in_when_one_fails() {
    let intake = Intake::new();
    let folder = intake.house.dir.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    let good = intake.file("good.ndjson", events(3).as_bytes());
    let files = [
        ("none.csv.gz", &b""[..]),
        ("none.zst", b""),
        ("book.csv", b"PK\x03\x04\x14\0"),
        ("log.xz", b"\xFD7zXZ\0\0"),
        ("wide.ndjson", b"\xFF\xFE{\0}\0"),
        ("list.json", b" [{\"event\":1}"),
        ("prose.txt", b"hello\n"),
        ("twice.gz", &gzip(&gzip(b"{}"))),
        ("misnamed.csv", EXCHANGE.as_bytes()),
        ("misnamed.har", b"{\n\"_links\": {}, \"report\": [{\"year\": \"2026\"}]}"),
        ("misnamed.ndjson", b"{\n\"log\": {\"version\": \"1.2\", \"creator\": {}, \"entries\": []}}"),
    ]
    .map(|(name, content)| intake.file(name, content));
    let fixtures = ["csv/duplicate-column.csv"].map(fixture);
    let missing = intake.house.dir.path().join("missing");
    let mut inputs: Vec<&Path> = vec![&folder, &missing];
    inputs.extend(files.iter().chain(&fixtures).map(PathBuf::as_path));
    inputs.push(&good);
    let summary = intake.load(&inputs);
    assert_eq!(summary.total, counts(3, 3, 0, 0, 0));
    assert_eq!(summary.inputs.len(), inputs.len());
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/");
    let failures: Vec<String> =
        failures(&summary, &intake).iter().map(|failure| failure.replace(repository, "")).collect();
    let header = "it must name the properties, separated by commas, semicolons, tabs or bars; for other names say --map";
    assert_eq!(
        failures,
        [
            "folder: is a folder without a file to read".to_owned(),
            "missing: cannot be opened: No such file or directory (os error 2)".to_owned(),
            "none.csv.gz: has no byte, so it is no whole gzip file".to_owned(),
            "none.zst: has no byte, so it is no whole Zstandard file".to_owned(),
            "book.csv: is packed as zip; only gzip and Zstandard are unpacked here, so write its events as NDJSON or CSV first".to_owned(),
            "log.xz: is packed as xz; only gzip and Zstandard are unpacked here, so write its events as NDJSON or CSV first".to_owned(),
            "wide.ndjson: is UTF-16; save it as UTF-8, as iconv -f UTF-16 -t UTF-8 FILE does".to_owned(),
            "list.json: breaks off in line 1: the JSON list is not closed: it is cut off, or still being written"
                .to_owned(),
            format!(
                "prose.txt: was taken for csv, because it does not begin as JSON does; if it is none, say --format: cannot be read: its header \"hello\" has no column \"occurred_at\"; {header}"
            ),
            "twice.gz: is packed twice: what is inside is packed as gzip again; unpack it once, as gzip -dc FILE | passbridge ingest - does".to_owned(),
            "misnamed.csv: is named as csv, but line 1 has started_at, and a request with method and url: say --format rest-v2".to_owned(),
            "misnamed.har: is named as har, but its report is a list of records: say --format esm".to_owned(),
            "misnamed.ndjson: is named as ndjson, but its log has a list of entries: say --format har".to_owned(),
            "csv/duplicate-column.csv: cannot be read: its header names \"mvpd\" twice: columns 4 and 5 are the same".to_owned(),
        ]
    );
}

#[test]
fn a_key_of_another_format_makes_no_other_format_and_a_guess_is_told_where_lines_are_rejected() {
    let intake = Intake::new();
    let event = r#""occurred_at":"2026-11-20T08:30:00Z","event":"authn_ok","requestor_id":"REF30"}"#;
    for (name, key) in [("a.ndjson", r#""log":"raw text""#), ("b.json", r#""_links":{"self":{"href":"x"}}"#)]
    {
        let path = intake.file(name, format!("{{{key},{event}\n").as_bytes());
        assert_eq!(intake.load(&[&path]).failures.len(), 0);
    }
    assert_eq!(intake.pending(), 1, "both are the same event");
    let path = intake.file("c.log", format!("started\n{{{event}\n").as_bytes());
    let summary = intake.load(&[&path]);
    assert_eq!(summary.total, counts(2, 0, 1, 0, 1));
    let told = "was taken for ndjson, because line 2 has occurred_at, event and requestor_id; if it is none, say --format";
    assert_eq!(summary.warnings[1].to_string(), format!("{}: {told}", path.display()));
}

#[test]
fn padding_holes_and_record_separators_hide_no_event() {
    let text = events(3);
    let zeros = vec![0; 300_000];
    let sequence: String = text.lines().map(|line| format!("\u{1e}{line}\n")).collect();
    let joined = text.replace("}\n{", "}{");
    for (name, content) in [
        ("hole.ndjson", [&zeros, text.as_bytes()].concat()),
        ("hole.log", [&zeros, text.as_bytes(), &zeros].concat()),
        ("padded.ndjson.gz", [&gzip(text.as_bytes())[..], &zeros].concat()),
        ("sequence.json", sequence.into_bytes()),
        ("joined.ndjson", joined.into_bytes()),
    ] {
        let intake = Intake::new();
        let summary = intake.load(&[&intake.file(name, &content)]);
        assert!(summary.failures.is_empty(), "{name}: {:?}", summary.failures);
        assert_eq!(summary.total, counts(3, 3, 0, 0, 0), "{name}");
    }
}

#[test]
fn an_empty_input_is_no_failure_and_is_named() {
    let intake = Intake::new();
    for (name, content) in
        [("a.ndjson", &b""[..]), ("b.csv", b"\xEF\xBB\xBF"), ("c", b" \n\n"), ("d.gz", &gzip(b""))]
    {
        let path = intake.file(name, content);
        let summary = intake.load(&[&path]);
        assert!(summary.failures.is_empty(), "{name}");
        assert_eq!(summary.total, Counts::default());
        assert_eq!(summary.warnings[0].to_string(), format!("{}: is empty", path.display()));
    }
}

#[test]
fn an_input_of_zero_bytes_alone_is_named_and_zeros_behind_its_lines_are_noted() {
    let intake = Intake::new();
    let zeros = vec![0; 300_000];
    let lines = [&zeros[..], b"\n", &zeros[..9], b"\r\n"].concat();
    for (name, content) in [
        ("a.ndjson", &zeros[..5]),
        ("b.csv", &zeros),
        ("c.har", &zeros),
        ("d", &zeros),
        ("e.ndjson.gz", &zeros),
        ("f.gz", &gzip(&zeros)),
        ("g.log", &lines),
        ("h.log", &lines[zeros.len()..]),
    ] {
        let path = intake.file(name, content);
        let summary = intake.load(&[&path]);
        let why = summary.inputs[0].unused.as_deref().unwrap_or_default();
        assert!(
            summary.failures.is_empty() && why.starts_with("holds only zero bytes"),
            "{name}: {summary:?}"
        );
        assert_eq!(summary.warnings[0].to_string(), format!("{}: {why}", path.display()));
    }
    // The size at the end of a gzip file has zero bytes.
    let packed = intake.load(&[&intake.file("i.ndjson.gz", &gzip(events(500).as_bytes()))]);
    assert_eq!((packed.total.stored, packed.warnings.len()), (500, 0), "{packed:?}");
    let header = "requestor_id,event,occurred_at\n";
    let row = "REF30,authn_ok,2026-11-20T08:30:00Z\n";
    let polls = r#"{"started_at":"2026-11-20T08:30:00Z","request":{"method":"GET","url":"https://x/"}}"#;
    let har = r#"{"log":{"version":"1.2","entries":[]}}"#.to_owned();
    let esm =
        r#"{"report":[{"year":2026,"month":11,"day":9,"hour":1,"requestor-id":"R","authn-attempts":1}]}"#;
    let xml = r#"<resource><record year="2026" month="11" day="9" hour="1" requestor-id="R"/></resource>"#;
    for (name, text) in [
        ("a.ndjson", events(500)),
        ("b.csv", format!("{header}{row}")),
        ("c.log", format!("{polls}\n")),
        ("d.har", har),
        ("e.json", esm.to_owned()),
        ("f.xml", xml.to_owned()),
        ("g.csv", "year,month,day,hour,requestor-id\n2026,11,9,1,R\n".to_owned()),
    ] {
        let (text, tail) = (text.as_bytes(), &zeros[..5_000]);
        let packed = zstd::encode_all(text, 1).expect("memory");
        for (name, content) in [
            (name.to_owned(), [text, tail].concat()),
            (format!("{name}.gz"), [&gzip(text), tail].concat()),
            (format!("{name}.zst"), [&packed, tail].concat()),
            (format!("inside-{name}.gz"), gzip(&[text, tail].concat())),
            (
                format!("both-{name}.gz"),
                [gzip(&[text, &tail[..3_000]].concat()), gzip(&[]), tail[..2_000].to_vec()].concat(),
            ),
        ] {
            let path = intake.file(&name, &content);
            let summary = intake.load(&[&path]);
            let told = format!("{}: ends with 5000 zero bytes", path.display());
            let notes: Vec<_> = summary.warnings.iter().map(ToString::to_string).collect();
            assert!(summary.failures.is_empty(), "{name}: {:?}", summary.failures);
            assert!(notes.iter().any(|note| note.starts_with(&told)), "{name}: {notes:?}");
        }
        for (name, content) in
            [(format!("whole-{name}.gz"), gzip(text)), (format!("whole-{name}.zst"), packed)]
        {
            let summary = intake.load(&[&intake.file(&name, &content)]);
            assert!(!summary.warnings.iter().any(|note| note.to_string().contains("zero bytes")), "{name}");
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_says_so() {
    let intake = Intake::new();
    let path = intake.file("secret.ndjson", events(1).as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("our file");
    std::fs::set_permissions(intake.house.dir.path(), std::fs::Permissions::from_mode(0o755))
        .expect("our folder");
    // The connection that reads is open by now, as in a program that has begun its work.
    assert_eq!(intake.pending(), 0);
    let summary = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            // The superuser may read everything, so this thread, and the one it starts, become another user.
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::thread::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("the superuser may");
            }
            intake.load(&[&path])
        });
        reading.join().expect("an ingest")
    });
    assert_eq!(
        failures(&summary, &intake),
        ["secret.ndjson: cannot be opened: Permission denied (os error 13)"]
    );
}

#[test]
fn lines_that_end_with_a_carriage_return_alone_are_read_by_their_lines_in_every_format_and_door() {
    let line = |number: usize| {
        let at = number % 60;
        format!(
            r#"{{"occurred_at":"2026-11-10T08:00:{at:02}Z","event":"authn_ok","requestor_id":"REF30","event_id":"{number}"}}"#
        )
    };
    let many: Vec<String> = (0..60_000).map(line).collect();
    let few = [line(1), line(2).replace("authn_ok", "bad"), line(3)];
    let csv = "occurred_at,event,requestor_id\n2026-11-10T08:00:00Z,authn_ok,REF30\n2026-11-10T08:00:01Z,bad,REF30\n";
    let esm = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,SUMS,A,3\n2026,11,10,8,SUMS,B,-1\n";
    let exchanges = std::fs::read_to_string(fixture("rest-v2/proxied-mvpd.ndjson")).expect("a log");
    // The mark stands for a line feed inside a cell.
    let cells = csv
        .replace("event,", "event,resource_id,")
        .replace("ok,", "ok,\"a\u{1}b\",")
        .replace("bad,", "bad,c,");
    for (name, content, rejected) in [
        ("cells.csv", cells, Some(4)),
        ("many.ndjson", many.join("\n"), None),
        ("few.ndjson", few.join("\n"), Some(2)),
        ("a.csv", csv.to_owned(), Some(3)),
        ("esm.csv", esm.to_owned(), Some(3)),
        ("log.ndjson", exchanges, None),
    ] {
        let read = |content: &str| {
            let intake = Intake::new();
            let path = intake.file(name, content.as_bytes());
            let summary = intake.load(&[&path]);
            let numbers = summary.rejects_path.iter().flat_map(|_| super::rejects::kept(&summary));
            let numbers: Vec<_> = numbers.map(|line| line["line"].as_u64()).collect();
            let warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
            let folder = intake.house.dir.path().display().to_string();
            (summary.total, numbers, warnings.join("\n").replace(&folder, ""))
        };
        let expected = read(&content.replace('\u{1}', "\n"));
        assert!(expected.0.stored > 0, "{name} {expected:?}");
        assert_eq!(expected.1, rejected.map(Some).into_iter().collect::<Vec<_>>(), "{name} {expected:?}");
        assert_eq!(read(&content.replace('\n', "\r").replace('\u{1}', "\n")), expected, "{name}");
    }
}
