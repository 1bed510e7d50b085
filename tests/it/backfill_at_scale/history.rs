//! A history of many files, the same ones of one seed, and what a right reading of it gives.
//!
//! Nine tenths of the events are numbered in `resource_id`, half of those have an `event_id`; their files are NDJSON and CSV in
//! turn, some packed. The rest are those of one exchange flow, again and again by other devices. Every file but the first of
//! its kind begins with the last tenth of the one before; about every hundredth line is no event.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use passbridge::event::EventKind;

/// 2026-10-20T00:00:00Z: long before the instants of the fixture, so that none of those is met twice when it is moved here.
const FIRST_MS: i64 = 1_792_454_400_000;
/// The numbered events lie in so many days.
const SPAN_MS: i64 = 12 * 86_400_000;
/// Between two devices that begin the flow, which takes ten times as long: flows interleave.
const ROUND_MS: i64 = 10_000;
const FLOW: &str = "fixtures/rest-v2/login-authorize-logout";
const CSV_HEADER: &str = "occurred_at,event,requestor_id,event_id,mvpd,mvpd_user_id,resource_id\n";
/// Visitors have so many numbered events each.
const EVENTS_A_VISITOR: u64 = 25;
/// Requestors of one suite.
pub(super) const REQUESTORS: [&str; 2] = ["REF30", "REF40"];

/// Lines that are no events, by the format they stand in, each with a part of its reason.
const BAD_NDJSON: [(&str, &str); 4] = [
    ("{\"occurred_at\":\"2026-10-20T08:20:02Z\",\"event\":\"authz_ok\"", "breaks off at column 56"),
    (
        "{\"occurred_at\":\"2026-10-20T08:20:05Z\",\"event\":\"authz_okay\",\"requestor_id\":\"REF30\"}",
        "event \"authz_okay\" is unknown",
    ),
    ("{\"event\":\"authz_ok\",\"requestor_id\":\"REF30\"}", "occurred_at is missing"),
    (
        "{\"occurred_at\":\"2099-01-01T00:00:00Z\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\"}",
        "is ahead of this host's clock",
    ),
];
const BAD_CSV: [(&str, &str); 4] = [
    ("2026-10-20T08:40:02Z,authz_ok,REF30", "has 3 fields; the header has 7"),
    ("2026-10-20T08:40:03Z,authz_ok,REF30,,M,u,r,surplus", "has 8 fields; the header has 7"),
    ("09/11/2026 08:40,authz_ok,REF30,,M,u,r", "is no RFC 3339 instant"),
    ("2026-10-20T08:40:05Z,,REF30,,M,u,r", "event is missing"),
];
const BAD_EXCHANGES: [(&str, &str); 2] = [
    ("no exchange", "is no exchange: it is not JSON"),
    (
        "{\"started_at\": \"2026-11-10T08:00:01.000Z\", \"request\": {\"method\": \"GET\"}}",
        "is no exchange: request.url is missing",
    ),
];

/// What was written, and what it holds.
pub(super) struct History {
    /// In the order in which they are to be read: logs of exchanges in that of their time, the others in any.
    pub(super) paths: Vec<PathBuf>,
    /// How many events are numbered: from 0 up to this.
    pub(super) numbered: u64,
    /// How many of the others stand in the first file.
    pub(super) first_log: u64,
    /// Valid events, each once, by their kind: `[0]` is event1.
    pub(super) events: [u64; 18],
    /// Lines of NDJSON and CSV whose event stands in a file before, too.
    pub(super) repeated: u64,
    /// The lines that are no events, by file and line, with a part of the reason.
    pub(super) bad: BTreeMap<PathBuf, BTreeMap<u64, &'static str>>,
}

/// The kind of a numbered event.
pub(super) fn kind(number: u64) -> EventKind {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    EventKind::from_slot((mixed % 18) as u8 + 1).expect("eighteen kinds")
}

impl History {
    /// Writes it into a folder.
    pub(super) fn write(folder: &Path, events: u64, files: usize, seed: u64) -> History {
        let rounds = events / 100;
        let logs = files / 5;
        let mut history = History {
            paths: Vec::new(),
            numbered: events - rounds * 10,
            first_log: rounds * 10 / logs as u64,
            events: [0; 18],
            repeated: 0,
            bad: BTreeMap::new(),
        };
        let mut rng = Rng::with_seed(seed);
        let mut paths = history.write_numbered(folder, files - logs, &mut rng);
        rng.shuffle(&mut paths);
        let logs = history.write_exchanges(folder, rounds, logs, &mut rng);
        // Logs stand among the others, in their order.
        let every = paths.len() / logs.len();
        for (index, log) in logs.into_iter().enumerate() {
            paths.insert(index * (every + 1), log);
        }
        history.paths = paths;
        history
    }

    /// All valid events.
    pub(super) fn total(&self) -> u64 {
        self.events.iter().sum()
    }

    /// All lines that are no events.
    pub(super) fn bad_total(&self) -> u64 {
        self.bad.values().map(|lines| lines.len() as u64).sum()
    }

    fn write_numbered(&mut self, folder: &Path, files: usize, rng: &mut Rng) -> Vec<PathBuf> {
        let step_ms = SPAN_MS / self.numbered as i64;
        let visitors = (self.numbered / EVENTS_A_VISITOR).max(1);
        let mut paths = Vec::new();
        let start_of = |file: usize| self.numbered * file as u64 / files as u64;
        let (mut repeated, mut bad) = (0, BTreeMap::new());
        for file in 0..files {
            let (start, end) = (start_of(file), start_of(file + 1));
            let overlap = if file == 0 { 0 } else { (start - start_of(file - 1)) / 10 };
            repeated += overlap;
            let is_csv = file % 5 >= 3;
            let (extension, bad_lines) = if is_csv { ("csv", &BAD_CSV) } else { ("ndjson", &BAD_NDJSON) };
            let mut out = Out::create(folder, &format!("{file:02}"), extension, file % 2 == 0);
            if is_csv {
                out.header(CSV_HEADER);
            }
            for number in start - overlap..end {
                let event = Numbered::of(number, step_ms, visitors);
                out.line(&if is_csv { event.csv() } else { event.ndjson() });
                out.perhaps_bad(bad_lines, rng);
            }
            let (path, lines) = out.finish();
            bad.insert(path.clone(), lines);
            paths.push(path);
        }
        self.repeated = repeated;
        self.bad.append(&mut bad);
        (0..self.numbered).for_each(|number| self.events[usize::from(kind(number).slot()) - 1] += 1);
        paths
    }

    fn write_exchanges(&mut self, folder: &Path, rounds: u64, files: usize, rng: &mut Rng) -> Vec<PathBuf> {
        let flow = Flow::read();
        for kind in &flow.kinds {
            self.events[usize::from(kind.slot()) - 1] += rounds;
        }
        let visitors = (self.numbered / EVENTS_A_VISITOR).max(1);
        let mut lines: Vec<(i64, u64, usize)> = (0..rounds)
            .flat_map(|round| {
                let at = FIRST_MS + round as i64 * ROUND_MS;
                let offsets = flow.lines.iter().map(|line| line.offset_ms).enumerate();
                offsets.map(move |(index, offset_ms)| (at + offset_ms, round, index))
            })
            .collect();
        lines.sort_unstable();
        let start_of = |file: usize| lines.len() * file / files;
        let mut paths = Vec::new();
        for file in 0..files {
            let start = start_of(file);
            let overlap = if file == 0 { 0 } else { (start - start_of(file - 1)) / 10 };
            let mut out = Out::create(folder, &format!("exchanges-{file:02}"), "ndjson", file % 2 == 1);
            for (_, round, index) in &lines[start - overlap..start_of(file + 1)] {
                out.line(&flow.line(*index, *round, visitors));
                out.perhaps_bad(&BAD_EXCHANGES, rng);
            }
            let (path, bad) = out.finish();
            self.bad.insert(path.clone(), bad);
            paths.push(path);
        }
        paths
    }
}

/// An event of NDJSON or CSV.
struct Numbered {
    number: u64,
    at_ms: i64,
    requestor: &'static str,
    visitor: u64,
}

impl Numbered {
    fn of(number: u64, step_ms: i64, visitors: u64) -> Numbered {
        // Neighbours come in another order than they happened.
        let jitter_ms = (number.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 44) as i64 % 60_000;
        Numbered {
            number,
            at_ms: FIRST_MS + number as i64 * step_ms + jitter_ms,
            requestor: REQUESTORS[(number / 3 % 2) as usize],
            visitor: number.wrapping_mul(7) % visitors,
        }
    }

    fn event_id(&self) -> Option<String> {
        self.number.is_multiple_of(2).then(|| format!("id-{}", self.number))
    }

    fn ndjson(&self) -> String {
        let Numbered { number, at_ms, requestor, visitor } = self;
        let event_id = self.event_id().map_or(String::new(), |id| format!("\"event_id\":\"{id}\","));
        format!(
            "{{\"occurred_at\":\"{}\",\"event\":\"{}\",\"requestor_id\":\"{requestor}\",{event_id}\"mvpd\":\"Cablevision\",\
             \"mvpd_user_id\":\"u{visitor}\",\"resource_id\":\"{number}\"}}",
            rfc3339(*at_ms),
            kind(*number).name(),
        )
    }

    fn csv(&self) -> String {
        let Numbered { number, at_ms, requestor, visitor } = self;
        let event_id = self.event_id().unwrap_or_default();
        format!("{at_ms},{},{requestor},{event_id},Cablevision,u{visitor},{number}", kind(*number).name())
    }
}

fn rfc3339(at_ms: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).expect("an instant of our time");
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The exchanges of one device.
struct Flow {
    lines: Vec<FlowLine>,
    /// The events that they give, as the fixture's list of them says.
    kinds: Vec<EventKind>,
    first_ms: i64,
}

struct FlowLine {
    text: String,
    /// When it began.
    started_at: String,
    /// The same, since the first of the flow.
    offset_ms: i64,
    /// Instants in its bodies, in Unix milliseconds.
    instants: Vec<i64>,
}

impl Flow {
    fn read() -> Flow {
        let fixture = |extension: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{FLOW}.{extension}"));
            fs::read_to_string(path).expect("a fixture")
        };
        let mut first_ms = None;
        let lines = fixture("ndjson")
            .lines()
            .map(|text| {
                let value: serde_json::Value = serde_json::from_str(text).expect("an exchange");
                let started_at = value["started_at"].as_str().expect("a start").to_owned();
                let at = chrono::DateTime::parse_from_rfc3339(&started_at).expect("an instant");
                let at_ms = at.timestamp_millis();
                let offset_ms = at_ms - *first_ms.get_or_insert(at_ms);
                FlowLine { text: text.to_owned(), started_at, offset_ms, instants: instants(text) }
            })
            .collect();
        let kinds = fixture("expected")
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).expect("an event");
                let name = value["event"].as_str().expect("a name");
                let mut kinds = (1..=18).filter_map(EventKind::from_slot);
                kinds.find(|kind| kind.name() == name).expect("a kind")
            })
            .collect();
        Flow { lines, kinds, first_ms: first_ms.expect("lines") }
    }

    /// A line of a round's device.
    fn line(&self, index: usize, round: u64, visitors: u64) -> String {
        let FlowLine { text, started_at, offset_ms, instants } = &self.lines[index];
        let first_ms = FIRST_MS + round as i64 * ROUND_MS;
        let mut text = text.replacen(started_at, &rfc3339(first_ms + offset_ms), 1);
        for instant in instants {
            text = text.replace(&instant.to_string(), &(instant - self.first_ms + first_ms).to_string());
        }
        text.replace("K7Q2ZP", &format!("K{round}"))
            .replace("\\\"s-1\\\"", &format!("\\\"s-{round}\\\""))
            .replace("viewer-7", &format!("u{}", round.wrapping_mul(11) % visitors))
            .replace("fingerprint ", &format!("fingerprint {round:08}"))
    }
}

/// The numbers of thirteen digits in a line.
fn instants(text: &str) -> Vec<i64> {
    let numbers = text.split(|sign: char| !sign.is_ascii_digit()).filter(|digits| digits.len() == 13);
    let mut numbers: Vec<i64> = numbers.map(|digits| digits.parse().expect("digits")).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A file that is being written.
struct Out {
    path: PathBuf,
    sink: Box<dyn Write>,
    lines: u64,
    bad: BTreeMap<u64, &'static str>,
}

impl Out {
    fn create(folder: &Path, name: &str, extension: &str, is_packed: bool) -> Out {
        let path = folder.join(format!("{name}.{extension}{}", if is_packed { ".gz" } else { "" }));
        let file = BufWriter::new(File::create(&path).expect("a file"));
        let sink: Box<dyn Write> =
            if is_packed { Box::new(GzEncoder::new(file, Compression::fast())) } else { Box::new(file) };
        Out { path, sink, lines: 0, bad: BTreeMap::new() }
    }

    fn header(&mut self, header: &str) {
        self.line(header.trim_end());
    }

    fn line(&mut self, line: &str) {
        self.lines += 1;
        writeln!(self.sink, "{line}").expect("a line is written");
    }

    /// One of a hundred times, a line that is no event.
    fn perhaps_bad(&mut self, bad: &[(&'static str, &'static str)], rng: &mut Rng) {
        if rng.u32(..100) == 0 {
            let (line, reason) = bad[rng.usize(..bad.len())];
            self.line(line);
            self.bad.insert(self.lines, reason);
        }
    }

    fn finish(mut self) -> (PathBuf, BTreeMap<u64, &'static str>) {
        self.sink.flush().expect("the file is written");
        // A packed file ends when its encoder does.
        drop(self.sink);
        (self.path, self.bad)
    }
}
