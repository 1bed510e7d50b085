//! Whatever form events come in, each is stored once, and what is no event is kept with its reason.

mod broken_inputs;
mod contracts;
mod foreign_hands;
mod inbox;
mod maps;
mod rejects;
mod spellings;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use passbridge::config::{IngestConfig, RestV2Config};
use passbridge::delivery::Sequence;
use passbridge::event::Instant;
use passbridge::ingest::{
    Counts, FormatChoice, IngestError, IngestOptions, IngestSummary, InputPath, Observer, Progress, load,
    preview,
};
use passbridge::readers::Format;

use crate::support::House;

/// 2026-11-20T12:00:00Z: later than every fixture.
fn now() -> Instant {
    Instant::from_nanos(1_795_176_000_000_000_000)
}

/// A buffer, and all that it takes to fill it.
struct Intake {
    house: House,
    options: IngestOptions,
}

impl Intake {
    fn new() -> Intake {
        let house = House::at(Clock::fixed(now()));
        let config = IngestConfig {
            rejects_dir: house.dir.path().join("rejects"),
            min_free_bytes: 0,
            ..IngestConfig::default()
        };
        let options = IngestOptions {
            job: Default::default(),
            format: FormatChoice::Auto,
            config,
            rest_v2: RestV2Config::default(),
            secret: None,
            service_keys: Default::default(),
            maps: Default::default(),
            contracts: Vec::new(),
            slice: Default::default(),
            accept_days: None,
            accept_missing: Vec::new(),
            esm: Default::default(),
            clock: house.clock.clone(),
        };
        Intake { house, options }
    }

    fn load(&self, inputs: &[&Path]) -> IngestSummary {
        let inputs: Vec<InputPath> = inputs.iter().map(InputPath::new).collect();
        load(&*self.house.buffer, &inputs, &self.options, &mut ()).expect("an ingest")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.house.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn pending(&self) -> i64 {
        self.house.buffer.status().expect("a status").pending
    }

    /// The stored events as canonical JSON, in the order they were stored.
    fn stored(&self) -> Vec<String> {
        let events = (1..=self.pending()).map(|number| self.house.buffer.event(Sequence(number)));
        let events = events.map(|event| event.expect("a read").expect("an event"));
        events.map(|event| serde_json::to_string(&event).expect("text")).collect()
    }
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

/// Events that differ, as NDJSON; hardly compressible, so that a cut file is cut in the middle of them.
fn events(count: usize) -> String {
    (0..count)
        .map(|index| {
            let noise = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            format!(
                "{{\"occurred_at\":{},\"event\":\"authz_ok\",\"requestor_id\":\"HarborNews\",\"session_id\":\"{noise:x}\"}}\n",
                1_794_000_000 + index
            )
        })
        .collect()
}

fn counts(read: u64, stored: u64, duplicates: u64, conflicts: u64, rejected: u64) -> Counts {
    Counts { read, stored, duplicates, conflicts, rejected }
}

#[test]
fn the_same_events_as_ndjson_and_as_csv_are_stored_once() {
    let intake = Intake::new();
    let first = intake.load(&[&fixture("ndjson/basic.ndjson")]);
    assert_eq!(first.total, counts(6, 6, 0, 0, 0));
    let second = intake.load(&[&fixture("csv/basic.csv")]);
    assert_eq!(second.total, counts(6, 0, 6, 0, 0));
    assert_eq!(intake.pending(), 6);
    assert!(second.warnings.is_empty() && second.failures.is_empty() && second.rejects_path.is_none());
    assert!(!intake.options.config.rejects_dir.exists(), "no reject, no folder");
}

#[test]
fn overlapping_halves_store_each_event_once_in_one_run_and_in_two() {
    let (first, second) =
        (fixture("ndjson/overlapping-first.ndjson"), fixture("ndjson/overlapping-second.ndjson"));
    let intake = Intake::new();
    let summary = intake.load(&[&first, &second]);
    assert_eq!(summary.inputs[0].counts, counts(14, 14, 0, 0, 0));
    assert_eq!(summary.inputs[1].counts, counts(11, 6, 5, 0, 0));
    assert_eq!(intake.load(&[&second, &first, &first]).total, counts(39, 0, 39, 0, 0));
    assert_eq!(intake.pending(), 20);
}

#[test]
fn the_summary_serialises_as_the_command_prints_it() {
    let intake = Intake::new();
    let path = intake.file("a.ndjson", events(2).as_bytes());
    let path = path.to_str().expect("UTF-8");
    let summary = intake.load(&[Path::new(path)]);
    let counts = r#""read":2,"stored":2,"duplicates":0,"conflicts":0,"rejected":0"#;
    let bytes = std::fs::metadata(path).expect("the file").len();
    let digest = summary.inputs[0].digest.as_ref().expect("a digest");
    assert_eq!(
        serde_json::to_string(&summary).expect("text"),
        format!(
            r#"{{"inputs":[{{"path":"{path}",{counts},"bytes":{bytes},"digest":"{digest}"}}],"total":{{{counts}}}}}"#
        )
    );
}

#[test]
fn a_conflict_names_both_lines_and_the_first_one_stays() {
    let intake = Intake::new();
    let path = fixture("ndjson/conflicting.ndjson");
    let summary = intake.load(&[&path]);
    // The same event_id of another kind is another event.
    assert_eq!(summary.total, counts(4, 2, 1, 1, 0));
    let path = path.display();
    assert_eq!(
        summary.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("{path}:3: has the event_id of {path}:1 and other content; the first one stays")]
    );
    assert!(intake.stored()[0].contains("Brightline"));
    let kept = std::fs::read_to_string(summary.rejects_path.expect("rejects")).expect("UTF-8");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("one line");
    assert_eq!((&kept["path"], &kept["line"]), (&path.to_string().into(), &3.into()));
    let reason = format!("has the event_id of {path}:1 and other content; the first one stays");
    assert_eq!(kept["reason"], reason);
    let lost: serde_json::Value =
        serde_json::from_str(kept["text"].as_str().expect("text")).expect("an event");
    assert_ne!(lost["mvpd"], "Brightline");
}

#[test]
fn compression_is_found_by_content_whatever_the_name() {
    let text = events(100);
    let (start, end) = text.as_bytes().split_at(3210);
    let zstd = |content: &[u8]| zstd::encode_all(content, 1).expect("memory");
    for (name, content) in [
        ("plain.gz", text.clone().into_bytes()),
        ("one-member", gzip(text.as_bytes())),
        ("members.csv.gz", [gzip(start), gzip(end)].concat()),
        ("frames.ndjson", [zstd(start), zstd(end)].concat()),
        ("skippable.zst", [&b"\x50\x2A\x4D\x18\x02\0\0\0ab"[..], &zstd(text.as_bytes())].concat()),
    ] {
        let mut intake = Intake::new();
        intake.options.format = FormatChoice::Is(Format::Ndjson);
        let path = intake.file(name, &content);
        assert_eq!(intake.load(&[&path]).total, counts(100, 100, 0, 0, 0), "{name}");
    }
}

/// Runs itself as a child, whose standard input is ours to fill.
#[test]
fn standard_input_is_read_like_a_file_however_it_trickles_in() {
    const CHILD: &str = "PASSBRIDGE_TEST_READS_STDIN";
    if std::env::var_os(CHILD).is_some() {
        let intake = Intake::new();
        let summary = intake.load(&[Path::new("-")]);
        assert_eq!(summary.inputs[0].path, "-");
        assert_eq!(summary.total, counts(500, 500, 0, 0, 0));
        return;
    }
    for content in [events(500).into_bytes(), gzip(events(500).as_bytes())] {
        let mut child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["ingest_formats::standard_input_is_read_like_a_file_however_it_trickles_in", "--exact"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut stdin = child.stdin.take().expect("a pipe");
        let (start, rest) = content.split_at(3);
        for part in [&start[..1], &start[1..]].into_iter().chain(rest.chunks(1000)) {
            stdin.write_all(part).expect("a reader");
            stdin.flush().expect("a reader");
        }
        drop(stdin);
        let output = child.wait_with_output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

#[test]
fn ndjson_quirks_cost_no_event_but_half_a_character() {
    let intake = Intake::new();
    let path = fixture("ndjson/quirks.ndjson");
    let summary = intake.load(&[&path]);
    assert_eq!(summary.total, counts(5, 4, 0, 0, 1));
    let half = "mvpd has half a character (a lone \\ud800 to \\udfff); have its source write the whole text";
    assert_eq!(
        summary.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            &format!("{}:5: {half}", path.display()),
            &format!(
                "{}:7: 1 names of an MVPD or a proxy say that there is none, first mvpd \"true\", and are sent as they are, as one of that name; \
                 leave out what is not known",
                path.display()
            ),
            "keys that no event has were kept out: \"region\" (1 times), \"zone\" (2 times)",
        ]
    );
    let stored = intake.stored();
    assert!(stored[3].ends_with("\"mvpd\":\"true\"}"), "{}", stored[3]);
}

#[test]
fn csv_quirks_cost_no_event() {
    let intake = Intake::new();
    let summary = intake.load(&[&fixture("csv/quirks.csv")]);
    assert_eq!(summary.total, counts(3, 3, 0, 0, 0));
    let told: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
    assert!(told[0].contains(": 1 rows have no line end: if the source was still being written"), "{told:?}");
    assert_eq!(told[1..], ["keys that no event has were kept out: \"region\" (3 times), \"zone\" (3 times)"]);
    let stored = intake.stored();
    assert!(stored[0].contains(r#""mvpd":"Brightline, \"Nord\"""#), "{}", stored[0]);
    assert!(stored[1].contains(r"<rss>\r\n<title>Two lines</title>\r\n</rss>"), "{}", stored[1]);
}

#[test]
fn the_demo_has_every_kind_for_each_of_three_requestors() {
    let intake = Intake::new();
    let names = ["demo/ref30.ndjson", "demo/ref40.csv", "demo/ref50.ndjson"];
    let inputs = names.map(|name| InputPath::new(fixture(name)));
    let mut met = std::collections::BTreeSet::new();
    let summary = preview(&inputs, &intake.options, &mut |event, _| {
        met.insert((event.requestor_id().as_str().to_owned(), event.kind()));
        ControlFlow::Continue(())
    });
    assert_eq!((summary.total, met.len()), (counts(56, 0, 0, 0, 0), 3 * 18));
    assert!(summary.warnings.is_empty() && summary.failures.is_empty());
    assert_eq!(
        load(&*intake.house.buffer, &inputs, &intake.options, &mut ()).expect("an ingest").total.stored,
        56
    );
}

#[test]
fn a_dry_run_hands_over_canonical_events_and_writes_nothing() {
    let intake = Intake::new();
    let mut lines = Vec::new();
    let inputs = [InputPath::new(fixture("ndjson/bad-lines.ndjson"))];
    let summary = preview(&inputs, &intake.options, &mut |event, _| {
        lines.push(serde_json::to_string(event).expect("text"));
        if lines.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(
        lines[0],
        r#"{"occurred_at":"2026-11-09T08:20:01Z","event":"authz_ok","requestor_id":"HarborNews","mvpd":"Brightline"}"#
    );
    assert_eq!(lines.len(), 2);
    assert_eq!(summary.total, counts(15, 0, 0, 0, 13));
    assert_eq!(intake.pending(), 0);
    assert!(!intake.options.config.rejects_dir.exists());
}

#[test]
fn an_event_may_be_ahead_of_the_clock_by_the_skew_and_no_more() {
    let mut intake = Intake::new();
    intake.options.config.future_skew_seconds = 60;
    let line = |second: i64| {
        let at = now().unix_seconds() + second;
        format!("{{\"occurred_at\":{at},\"event\":\"authn_ok\",\"requestor_id\":\"HarborNews\"}}\n")
    };
    let path = intake.file("a.ndjson", [line(60), line(61)].concat().as_bytes());
    let summary = intake.load(&[&path]);
    assert_eq!(summary.total, counts(2, 1, 0, 0, 1));
    let warning = summary.warnings[0].to_string();
    assert!(
        warning.contains(":2: occurred_at 2026-11-20T12:01:01Z is ahead of this host's clock"),
        "{warning}"
    );
}

#[test]
fn the_observer_sees_every_portion_once_it_is_durable() {
    struct Seen<'a>(&'a Buffer, Vec<(u64, i64, u64)>);
    impl Observer for Seen<'_> {
        fn progress(&mut self, progress: &Progress<'_>) {
            assert_eq!(progress.input, progress.total);
            assert!(progress.input_bytes.is_some_and(|bytes| progress.input_bytes_read <= bytes));
            let pending = self.0.status().expect("a status").pending;
            self.1.push((progress.total.stored, pending, progress.input_bytes_read));
        }
    }
    let intake = Intake::new();
    let text = events(25_000);
    let path = intake.file("a.ndjson", text.as_bytes());
    let mut seen = Seen(&intake.house.buffer, Vec::new());
    load(&*intake.house.buffer, &[InputPath::new(path)], &intake.options, &mut seen).expect("an ingest");
    let stored: Vec<(u64, i64)> = seen.1.iter().map(|(stored, pending, _)| (*stored, *pending)).collect();
    assert_eq!(stored, [(10_000, 10_000), (20_000, 20_000), (25_000, 25_000)]);
    assert_eq!(seen.1.last().map(|(.., read)| *read), Some(text.len() as u64));
}

#[test]
fn a_disk_below_the_floor_takes_nothing_in_and_both_figures_are_named() {
    let mut intake = Intake::new();
    intake.options.config.min_free_bytes = u64::MAX;
    let path = InputPath::new(intake.file("a.ndjson", events(2).as_bytes()));
    let error = load(&*intake.house.buffer, &[path], &intake.options, &mut ()).expect_err("the floor");
    let IngestError::DiskFloor { free_bytes, min_free_bytes: u64::MAX, stored: 0 } = error else {
        panic!("{error}")
    };
    assert!(error.to_string().contains(&free_bytes.to_string()), "{error}");
    assert_eq!(intake.pending(), 0);
}
