//! A thousand differences, planted where hits go and come from, are found, each in its cell, with its number, and no other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate, TimeZone};
use chrono_tz::Tz;
use fastrand::Rng;
use passbridge::event::{EventKind, PassEvent, Property};
use passbridge::readers::esm::has_metric;
use passbridge::reconcile::{Cause, Cell, EsmSource, Verdict};
use passbridge::sandbox::AnalyticsSettings;
use serde_json::json;

use super::world::{Grain, World, analytics, day_of, esm_json};
use crate::support::{PATIENCE, event};

const REQUESTORS: [&str; 5] = ["REF30", "REF40", "REF50", "Ref60", "REF70"];
const MVPDS: [&str; 9] =
    ["", "Cableco", "Smallco", "Müller & Söhne", "MVPD 4", "Dish", "Six", "seven", "Acht"];
/// The first day, Pacific, and how many: one has 25 hours.
const FIRST_DAY: &str = "2026-10-30";
const DAYS: u64 = 6;
const PLANTED: usize = 1_000;

/// A cell: requestor, day, MVPD, event.
type Place = (String, NaiveDate, String, EventKind);

fn place_of(event: &PassEvent) -> Place {
    let mvpd = event.property(Property::Mvpd).unwrap_or("").to_lowercase();
    (event.requestor_id().to_string(), day_of(event), mvpd, event.kind())
}

/// What an event says, so that a part of it can be changed.
#[derive(Clone)]
struct Said {
    id: String,
    requestor: &'static str,
    mvpd: String,
    kind: EventKind,
    unix_seconds: i64,
    count: u32,
}

impl Said {
    fn random(
        rng: &mut Rng,
        id: usize,
        requestor: &'static str,
        mvpd: &str,
        day: NaiveDate,
        kind: EventKind,
    ) -> Said {
        let begins = |day: NaiveDate| {
            let midnight = day.and_hms_opt(0, 0, 0).expect("midnight");
            Tz::America__Los_Angeles.from_local_datetime(&midnight).single().expect("once").timestamp()
        };
        let mvpd = if rng.u8(0..8) == 0 { mvpd.to_uppercase() } else { mvpd.to_owned() };
        let count = if rng.u8(0..8) == 0 { rng.u32(2..5) } else { 1 };
        let unix_seconds = rng.i64(begins(day)..begins(day + Days::new(1)));
        Said { id: format!("event {id}"), requestor, mvpd, kind, unix_seconds, count }
    }

    fn event(&self) -> PassEvent {
        let mut fields = json!({
            "occurred_at": self.unix_seconds,
            "event": self.kind.name(),
            "requestor_id": self.requestor,
            "event_id": self.id,
            "count": self.count,
            "device_id": format!("device {}", self.unix_seconds % 97),
        });
        if !self.mvpd.is_empty() {
            fields["mvpd"] = self.mvpd.clone().into();
        }
        event(fields)
    }
}

fn first_day() -> NaiveDate {
    FIRST_DAY.parse().expect("a day")
}

/// Some events of most cells.
fn truth(rng: &mut Rng) -> Vec<Said> {
    let mut said = Vec::new();
    for requestor in REQUESTORS {
        for mvpd in MVPDS {
            for day in 0..DAYS {
                for kind in EventKind::ALL {
                    for _ in 0..rng.usize(0..3) {
                        let day = first_day() + Days::new(day);
                        said.push(Said::random(rng, said.len(), requestor, mvpd, day, kind));
                    }
                }
            }
        }
    }
    said
}

/// What is expected of a cell: its verdict, and what nothing explains in Analytics and against ESM.
type Finding = (Verdict, i64, i64);

/// Who sends what where.
#[derive(Default)]
struct Scene {
    /// Delivered as it should be.
    ordinary: Vec<PassEvent>,
    /// Delivered to where nobody looks.
    lost: Vec<PassEvent>,
    /// Delivered a moment ago.
    late: Vec<PassEvent>,
    /// Posted by somebody else.
    foreign: Vec<PassEvent>,
    /// What Adobe Pass counted.
    counted: Vec<PassEvent>,
    expected: BTreeMap<Place, Finding>,
}

/// Plants so many differences, at most one a cell.
fn plant(rng: &mut Rng, said: &[Said], planted: usize) -> Scene {
    let mut scene = Scene::default();
    let mut touched: BTreeSet<Place> = BTreeSet::new();
    let mut victims: BTreeSet<usize> = BTreeSet::new();
    while victims.len() < planted {
        let index = rng.usize(0..said.len());
        let original = &said[index];
        let event = original.event();
        let place = place_of(&event);
        let mut changed = original.clone();
        changed.id = format!("changed {index}");
        let units = i64::from(original.count);
        // Lost, lost before it came in, doubled, mis-mapped, wrong day, wrong MVPD, late.
        let what = rng.u8(0..7);
        match what {
            3 => changed.kind = EventKind::ALL[rng.usize(0..18)],
            4 => {
                let day = first_day() + Days::new(rng.u64(0..DAYS));
                changed.unix_seconds =
                    Said::random(rng, 0, original.requestor, "", day, original.kind).unix_seconds;
            }
            5 => changed.mvpd = MVPDS[rng.usize(0..MVPDS.len())].to_owned(),
            _ => {}
        }
        let other = place_of(&changed.event());
        let is_moved = (3..=5).contains(&what);
        let is_taken = touched.contains(&place) || (is_moved && (other == place || touched.contains(&other)));
        if is_taken || (what == 1 && !has_metric(original.kind)) {
            continue;
        }
        let differs = |units: i64| (Verdict::Differs, units, 0);
        let finding = match what {
            1 => (Verdict::Differs, 0, -units),
            2 => differs(units),
            6 => (Verdict::Explained, 0, 0),
            _ => differs(-units),
        };
        match what {
            0 => scene.lost.push(event.clone()),
            1 => {}
            2 => {
                scene.ordinary.push(event.clone());
                scene.foreign.push(changed.event());
            }
            6 => scene.late.push(event.clone()),
            _ => {
                scene.lost.push(event.clone());
                scene.foreign.push(changed.event());
                scene.expected.insert(other.clone(), differs(units));
                touched.insert(other);
            }
        }
        scene.counted.push(event);
        scene.expected.insert(place.clone(), finding);
        touched.insert(place);
        victims.insert(index);
    }
    for (_, said) in said.iter().enumerate().filter(|(index, _)| !victims.contains(index)) {
        scene.ordinary.push(said.event());
        scene.counted.push(said.event());
    }
    scene
}

fn found(cells: &[Cell]) -> BTreeMap<Place, Finding> {
    let cells = cells.iter().filter(|cell| cell.verdict != Verdict::Agrees);
    cells
        .map(|cell| {
            let day = cell.day.parse().expect("a day");
            let kind = EventKind::from_name(cell.event).expect("an event");
            let place = (cell.requestor_id.clone(), day, cell.mvpd.to_lowercase(), kind);
            (place, (cell.verdict, cell.analytics_unexplained, cell.esm_unexplained))
        })
        .collect()
}

/// Plays a scene, and gives what a comparison finds beside what it should.
fn play(seed: u64, planted: usize) -> (BTreeMap<Place, Finding>, BTreeMap<Place, Finding>) {
    let mut rng = Rng::with_seed(seed);
    let said = truth(&mut rng);
    let scene = plant(&mut rng, &said, planted);
    let world = World::new(&REQUESTORS);
    let elsewhere = analytics("", &world.clock);
    world.deliver(scene.ordinary);
    let mut astray = world.suite.clone();
    astray.collection_url = elsewhere.url().parse().expect("a collection URL");
    world.house.buffer.set_suite(astray).expect("a known suite");
    let lost = scene.lost.len();
    world.deliver(scene.lost);
    assert!(elsewhere.wait_accepted(lost as u64, PATIENCE), "what is lost was sent");
    world.house.buffer.set_suite(world.suite.clone()).expect("a known suite");
    if !scene.foreign.is_empty() {
        world.deliver_elsewhere(scene.foreign);
    }
    world.pass_hours(48);
    world.deliver(scene.late);
    assert_eq!(world.house.buffer.pending().expect("counters"), 0);
    // Adobe shows a hit two hours after it came in, and it is one hour later now.
    let settings = AnalyticsSettings {
        calls_per_window: 100_000,
        latency_ms: 2 * 3_600_000,
        ..AnalyticsSettings::default()
    };
    world.analytics.set_analytics(settings);
    world.pass_hours(1);
    let esm = EsmSource::Reports(vec![("esm.json".to_owned(), esm_json(scene.counted.iter(), Grain::Hour))]);
    let to = (first_day() + Days::new(DAYS)).to_string();
    let compared = world.compare_with(&world.options(FIRST_DAY, &to), esm).expect("a comparison");
    for cell in compared.cells.iter().filter(|cell| cell.verdict == Verdict::Explained) {
        assert!(cell.analytics_parts.iter().all(|part| part.cause == Cause::Late), "{cell:?}");
    }
    assert!(compared.total.agrees > 1_000, "{:?}", compared.total);
    assert_eq!((compared.remarks.len(), compared.strangers.len()), (0, 0), "{:?}", compared.remarks);
    (found(&compared.cells), scene.expected)
}

#[test]
fn a_thousand_planted_differences_are_found_and_no_other() {
    for seed in 1..=3 {
        let (found, expected) = play(seed, PLANTED);
        assert!(expected.len() >= PLANTED);
        let missed: Vec<_> =
            expected.iter().filter(|(place, finding)| found.get(place) != Some(finding)).collect();
        let invented: Vec<_> = found.iter().filter(|(place, _)| !expected.contains_key(place)).collect();
        assert!(
            missed.is_empty() && invented.is_empty(),
            "seed {seed}: missed {missed:?}, invented {invented:?}"
        );
    }
}

#[test]
fn where_there_is_none_none_is_found() {
    let (found, expected) = play(4, 0);
    assert_eq!((found, expected), (BTreeMap::new(), BTreeMap::new()));
}
