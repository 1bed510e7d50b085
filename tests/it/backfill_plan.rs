//! A plan of history counts what an ingest and a drain would do, says what stands in the way, and stores nothing.

mod history;

use std::io::Write;
use std::path::PathBuf;

use passbridge::backfill::{Counts, Day, Plan, Rates, Warning, plan};
use passbridge::clock::Clock;
use passbridge::config::STAND_IN_AGENT;
use passbridge::config::{IngestConfig, RestV2Config};
use passbridge::delivery::DeadReason;
use passbridge::encode::{bulk_header, bulk_row, dia};
use passbridge::event::{Instant, PassEvent};
use passbridge::ingest::{FormatChoice, IngestOptions, InputPath, load};
use passbridge::mapping::map;
use passbridge::suite::EventIds;
use serde_json::{Value, json};

use crate::fixture;
use crate::support::{
    FIRST_SECOND, House, REQUESTOR, RSID, event, plays, report_suite, requestor_id, sandbox,
};

/// 2026-11-20T12:00:00Z.
const NOW_SECOND: i64 = 1_795_176_000;
const DAY_SECONDS: i64 = 86_400;
/// A host that nobody asks.
const NOWHERE: &str = "https://example.sc.omtrdc.net";

/// A buffer, and the files of a backfill.
struct Desk {
    house: House,
    options: IngestOptions,
}

impl Desk {
    fn new() -> Desk {
        let house = House::at(Clock::fixed(Instant::from_nanos(NOW_SECOND * 1_000_000_000)));
        let rejects_dir = house.dir.path().join("rejects");
        let config = IngestConfig { rejects_dir, min_free_bytes: 0, ..IngestConfig::default() };
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
        Desk { house, options }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.house.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Events as a file of NDJSON.
    fn events(&self, name: &str, events: &[PassEvent]) -> PathBuf {
        let line = |event| serde_json::to_string(event).expect("text") + "\n";
        self.file(name, events.iter().map(line).collect::<String>().as_bytes())
    }

    fn plan(&self, inputs: &[&PathBuf]) -> Plan {
        self.plan_at(inputs, &Rates::default())
    }

    fn plan_at(&self, inputs: &[&PathBuf], rates: &Rates) -> Plan {
        let inputs: Vec<InputPath> = inputs.iter().map(InputPath::new).collect();
        plan(&self.house.buffer, &inputs, &self.options, rates, &mut |_| {}).expect("a plan")
    }

    fn load(&self, inputs: &[&PathBuf]) {
        let inputs: Vec<InputPath> = inputs.iter().map(InputPath::new).collect();
        load(&*self.house.buffer, &inputs, &self.options, &mut ()).expect("an ingest");
    }
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

fn day(text: &str) -> Day {
    let number = (0..40_000).find(|number| Day::from_number(*number).to_string() == text);
    Day::from_number(number.expect("a day"))
}

/// The days of a suite with their counts, as text.
fn days_of(plan: &Plan, rsid: &str) -> Vec<(String, Counts)> {
    let suite = plan.suites.iter().find(|suite| suite.rsid.as_str() == rsid).expect("the suite");
    suite.days.iter().map(|day| (day.day.to_string(), day.counts)).collect()
}

const NDJSON: &str = r#"{"occurred_at":"2026-11-10T10:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u1"}
{"occurred_at":"2026-11-10T11:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u2"}
{"occurred_at":"2026-11-10T12:00:00Z","event":"authz_ok","requestor_id":"REF30","mvpd_user_id":"u1","count":3}
{"occurred_at":"2026-11-11T00:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u1"}
this is no event
{"occurred_at":"2026-11-10T10:00:00Z","event":"play_requested","requestor_id":"REF40","mvpd_user_id":"u1","count":5}
{"occurred_at":"2026-11-10T10:00:00Z","event":"play_requested","requestor_id":"REF50","mvpd_user_id":"u1","count":2}
{"occurred_at":"2026-11-10T10:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u1"}
{"occurred_at":"2026-11-11T01:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u1","count":101}
{"occurred_at":"2026-11-11T02:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u4","event_id":"known"}
{"occurred_at":"2026-11-11T03:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u4","event_id":"twice"}
{"occurred_at":"2026-11-11T03:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u5","event_id":"twice"}
"#;
const CSV: &str = "occurred_at,event,requestor_id,mvpd_user_id
2026-11-10T10:00:00Z,play_requested,REF30,u1
2026-11-12T10:00:00Z,play_requested,REF30,u3
2026-11-12T10:00:00Z,play_wanted,REF30,u3
2026-11-12T10:00:00Z,,REF30,u3
";
/// In the buffer before.
const KNOWN: &str = r#"{"occurred_at":"2026-11-10T11:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u2"}
{"occurred_at":"2026-11-11T02:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"other","event_id":"known"}
"#;

/// Three formats that overlap each other and the buffer, for a suite, one without event IDs, and a requestor without any.
fn overlapping() -> (Desk, Vec<PathBuf>) {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let mut other = report_suite("noids", NOWHERE);
    other.form.event_ids = EventIds::Off;
    desk.house.map("REF40", &other);
    desk.load(&[&desk.file("known.ndjson", KNOWN.as_bytes())]);
    let exchanges = fixture::path("rest-v2/login-authorize-logout.ndjson");
    let inputs = vec![desk.file("a.ndjson", NDJSON.as_bytes()), desk.file("b.csv.gz", &gzip(CSV)), exchanges];
    (desk, inputs)
}

#[test]
fn every_event_is_counted_once_by_suite_and_day() {
    let (desk, inputs) = overlapping();
    let plan = desk.plan(&inputs.iter().collect::<Vec<_>>());

    let read: Vec<_> = plan.inputs.iter().map(|input| (input.read, input.events, input.rejected)).collect();
    assert_eq!(read, [(12, 11, 1), (4, 2, 2), (10, 10, 0)]);
    assert_eq!(plan.rejected, 3);

    // On the 10th: u1 once and three times, then ten events of an exchange log, of viewer-7 and before that of a device.
    // Of u1 there are two duplicates among the inputs, u2 is known. On the 11th: u1 once and dead once, u4; `known` and
    // `twice` are conflicts. On the 12th: u3.
    let none = Counts::default();
    assert_eq!(
        days_of(&plan, RSID),
        [
            (
                "2026-11-10".to_owned(),
                Counts {
                    events: 12,
                    units: 14,
                    hits: 14,
                    visitors: 3,
                    duplicates_in_buffer: 1,
                    duplicates_in_inputs: 2,
                    ..none
                }
            ),
            (
                "2026-11-11".to_owned(),
                Counts { events: 3, units: 2, hits: 2, visitors: 2, conflicts: 2, dead: 1, ..none }
            ),
            ("2026-11-12".to_owned(), Counts { events: 1, units: 1, hits: 1, visitors: 1, ..none }),
        ]
    );
    // u1 is there on two days.
    assert_eq!(plan.suites.iter().map(|suite| suite.total.visitors).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(
        days_of(&plan, "noids"),
        [("2026-11-10".to_owned(), Counts { events: 1, units: 5, hits: 1, visitors: 1, ..none })]
    );
    let [unmapped] = plan.unmapped.as_slice() else { panic!("one requestor without a suite") };
    assert_eq!(unmapped.requestor_id.as_str(), "REF50");
    assert_eq!(unmapped.total, Counts { events: 1, units: 2, ..none });

    assert_eq!(
        plan.total,
        Counts {
            events: 18,
            units: 24,
            hits: 18,
            visitors: 6,
            duplicates_in_buffer: 1,
            duplicates_in_inputs: 2,
            conflicts: 2,
            dead: 1
        }
    );
    assert_eq!((plan.by_dia.requests, plan.by_bulk.rows), (18, 18));
}

#[test]
fn each_thing_in_the_way_is_a_warning_with_its_counts() {
    let (desk, inputs) = overlapping();
    let plan = desk.plan(&inputs.iter().collect::<Vec<_>>());
    let path = |index: usize| inputs[index].to_str().expect("UTF-8").to_owned();
    let rsid = |rsid: &str| rsid.parse().expect("an rsid");
    assert_eq!(
        plan.warnings,
        [
            Warning::Rejected { path: path(0), lines: 1 },
            Warning::Rejected { path: path(1), lines: 2 },
            Warning::Conflicts { in_buffer: 1, in_inputs: 1 },
            Warning::NoSuite {
                requestor_id: requestor_id("REF50"),
                events: 1,
                first_day: day("2026-11-10"),
                last_day: day("2026-11-10")
            },
            Warning::Dead { rsid: rsid(RSID), events: 1, reason: DeadReason::CountTooLarge(101) },
            Warning::EventIdsOff { rsid: rsid("noids"), hits: 1 },
        ]
    );
    assert_eq!(plan.input_warnings.len(), 3);
    assert!(plan.failures.is_empty());
}

#[test]
fn a_plan_stores_nothing_and_an_ingest_and_a_drain_do_what_it_says() {
    let sandbox = sandbox("");
    let (desk, inputs) = overlapping();
    desk.house.buffer.remove_suite(&RSID.parse().expect("an rsid")).expect("removed");
    desk.house.suite(&sandbox.url());
    let inputs: Vec<_> = inputs.iter().collect();
    let before = desk.house.buffer.status().expect("a status");
    let plan = desk.plan(&inputs);
    assert_eq!(desk.house.buffer.status().expect("a status"), before);
    assert!(!desk.options.config.rejects_dir.exists());

    desk.load(&inputs);
    let after = desk.house.buffer.status().expect("a status");
    assert_eq!((after.pending - before.pending) as u64, plan.total.events);
    let again = desk.plan(&inputs);
    // An event that is in conflict with the buffer is so each time it stands there, as is one among the inputs.
    assert_eq!((again.total.events, again.total.conflicts, again.by_dia.requests), (0, 2, 0));

    desk.house.buffer.remove_suite(&"noids".parse().expect("an rsid")).expect("removed");
    desk.house.drain();
    // Two events were in the buffer before, one hit each.
    let hits = plan.suites.iter().find(|suite| suite.rsid.as_str() == RSID).expect("the suite").total.hits;
    assert_eq!(sandbox.accepted_count(), hits + 2);
}

#[test]
fn bytes_are_those_of_the_documents_and_of_the_files() {
    let desk = Desk::new();
    let suite = desk.house.suite(NOWHERE);
    let mut events = plays(50);
    events.push(event(json!({"mvpd_user_id": "counted", "count": 4, "user_agent": "Agent, \"quoted\""})));
    let mut rates = Rates::default();
    rates.limits.file_rows = 20;
    let plan = desk.plan_at(&[&desk.events("a.ndjson", &events)], &rates);

    let (mut documents, mut rows, mut header) = (Vec::new(), Vec::new(), Vec::new());
    bulk_header(&mut header);
    for event in &events {
        for hit in map(event, event.identity().id, &suite.form).expect("hits").hits {
            dia(&hit, &mut documents);
            bulk_row(&hit, STAND_IN_AGENT, &mut rows);
        }
    }
    assert_eq!(plan.by_dia.bytes, documents.len() as u64);
    let bulk = &plan.by_bulk;
    assert_eq!((bulk.rows, bulk.files, bulk.sampled_rows), (54, 3, 54));
    assert_eq!(bulk.raw_bytes, (rows.len() + 3 * header.len()) as u64);

    let one_file = gzip_3(&[header, rows].concat());
    let measured = bulk.compressed_bytes as f64 / bulk.raw_bytes as f64;
    assert!((measured - bulk.compression_ratio).abs() < 0.001);
    assert!((0.5..2.0).contains(&(bulk.compressed_bytes as f64 / one_file as f64)), "{bulk:?} {one_file}");
}

fn gzip_3(content: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(3));
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory").len()
}

#[test]
fn the_json_has_stable_names_with_their_units() {
    let (desk, inputs) = overlapping();
    let plan = desk.plan(&inputs.iter().collect::<Vec<_>>());
    let json: Value = serde_json::to_value(&plan).expect("JSON");
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let sorted = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        names(&json),
        sorted(
            "by_bulk by_dia failures input_warnings inputs new_days planned_at rejected suites total unmapped warnings"
        )
    );
    assert_eq!(names(&json["by_dia"]), sorted("bytes hosts requests seconds"));
    assert_eq!(
        names(&json["by_bulk"]),
        sorted("compressed_bytes compression_ratio files raw_bytes rows sampled_rows seconds visitor_groups")
    );
    assert_eq!(
        json["suites"][1]["days"],
        json!([{
            "day": "2026-11-10", "events": 1, "units": 5, "hits": 1, "visitors": 1, "duplicates_in_buffer": 0,
            "duplicates_in_inputs": 0, "conflicts": 0, "dead": 0
        }])
    );
    let warning = &json["warnings"][4];
    assert_eq!(
        (&warning["warning"], &warning["events"], &warning["reason"]),
        (&json!("dead"), &json!(1), &json!("count_too_large:101"))
    );
    assert!(warning["text"].as_str().expect("text").contains("--count-with-id"));
}
