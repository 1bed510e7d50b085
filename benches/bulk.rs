//! Bulk files: how many rows a second one core maps, writes and compresses.
//!
//! `cargo bench --bench bulk` takes 200,000 events of the shapes that sources give, in a file of 50,000 rows each. Goal: 80,000
//! rows a second.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use passbridge::encode::{bulk_header, bulk_row};
use passbridge::event::{Draft, Instant as At, PassEvent, RawValue, TimeBounds};
use passbridge::mapping;
use passbridge::suite::{CountForm, EventIds, HitForm, IdentityKind};

const EVENTS: u32 = 200_000;
const ROWS_A_FILE: usize = 50_000;
const RUNS: usize = 3;

fn main() {
    let events: Vec<PassEvent> = (0..EVENTS).map(event).collect();
    let form = HitForm {
        rsid: "examplersid".parse().expect("a suite"),
        identity: IdentityKind::MvpdUserId,
        org_id: None,
        event_ids: EventIds::On,
        count_form: CountForm::SingleHits,
    };
    for level in [1, 3, 6] {
        let mut rates = Vec::new();
        let mut bytes = (0, 0);
        for _ in 0..RUNS {
            let started = Instant::now();
            bytes = write(&events, &form, level);
            rates.push(f64::from(EVENTS) / started.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "gzip {level}: {:9.0} rows/s (goal 80000), {} bytes a row, {} compressed",
            rates[RUNS / 2],
            bytes.0 / EVENTS as usize,
            bytes.1 / EVENTS as usize
        );
    }
}

/// Writes all events; the bytes before and after compression.
fn write(events: &[PassEvent], form: &HitForm, level: u32) -> (usize, usize) {
    let (mut plain, mut packed) = (0, 0);
    for file in events.chunks(ROWS_A_FILE) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        let mut rows = Vec::new();
        bulk_header(&mut rows);
        for event in file {
            let (id, _) = event.identity();
            let mapped = mapping::map(event, id, form).expect("hits");
            mapped.hits.iter().for_each(|hit| bulk_row(hit, "passbridge", &mut rows));
            if rows.len() > 64 << 10 {
                plain += rows.len();
                encoder.write_all(&rows).expect("memory");
                rows.clear();
            }
        }
        plain += rows.len();
        encoder.write_all(&rows).expect("memory");
        packed += encoder.finish().expect("memory").len();
    }
    (plain, packed)
}

fn event(number: u32) -> PassEvent {
    let mut draft = Draft::default();
    let mut set = |key: &str, value: String| {
        draft.set(key, RawValue::Text(value.into())).expect("a value");
    };
    set("occurred_at", format!("2026-11-{:02}T{:02}:{:02}:00Z", 1 + number % 20, number % 24, number % 60));
    set(
        "event",
        ["authz_requested", "authz_ok", "play_requested", "authn_ok"][number as usize % 4].to_owned(),
    );
    set("requestor_id", "REF30".to_owned());
    set("event_id", format!("bench-{number}"));
    set("mvpd", ["Cableco", "Northline", "Southline"][number as usize % 3].to_owned());
    set("mvpd_user_id", format!("dXNlci0{}", number % 20_000));
    set("resource_id", format!("channel-{}", number % 40));
    set("sdk_type", "Clientless".to_owned());
    set("device_model", "AppleTV11,1".to_owned());
    set("device_os_name", "tvOS".to_owned());
    set("device_os_version", "17.4".to_owned());
    set("user_agent", "Mozilla/5.0 (Apple TV; CPU OS 17_4 like Mac OS X)".to_owned());
    set("latency_ms", (number % 900).to_string());
    let now = At::from_nanos(1_800_000_000_000_000_000);
    draft.finish(TimeBounds { latest: now, now }).expect("an event")
}
