//! Reports of random events against a count that shares nothing with them: rows of plain SQL, sets, and offsets by hand.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use passbridge::event::PassEvent;
use passbridge::report::{Figures, Period, Report, Row};
use serde_json::json;

use super::report_of;
use crate::support::{House, event};

/// Events of a test.
pub(super) const EVENTS: usize = 4_000;

/// A random event of the days from one instant on, in Unix seconds. Values and IDs are few, so that they meet; the IDs of two
/// MVPDs are never the same, unless `shared`.
pub(super) fn random_event(
    random: &mut fastrand::Rng,
    from: i64,
    days: i64,
    number: usize,
    shared: bool,
) -> PassEvent {
    let kinds = passbridge::event::EventKind::ALL;
    let mvpd = *random.choice(&["A", "B", "C", ""]).expect("one of them");
    let owner = if shared { "" } else { mvpd };
    let user = match random.u32(0..20) {
        0 => "unknown".to_owned(),
        1 => format!("temppass_{owner}{}", random.u32(0..9)),
        2 => format!("95cf93bcd183214a{owner}{}", random.u32(0..3)),
        3 => format!("  u{owner}{}\t", random.u32(0..150)),
        4 => String::new(),
        _ => format!("u{owner}{}", random.u32(0..150)),
    };
    event(json!({
        "occurred_at": from + random.i64(0..days * 86_400),
        "event": random.choice(kinds).expect("a kind").name(),
        "event_id": number.to_string(),
        "requestor_id": random.choice(["REF30", "REF40", "REF50"]).expect("one of them"),
        "count": if random.u8(0..10) == 0 { random.u32(1..9) } else { 1 },
        "mvpd": mvpd,
        "mvpd_user_id": user,
        "proxy": random.choice(["", "Synacor"]).expect("one of them"),
        "device_type": random.choice(["TV", "PC", ""]).expect("one of them"),
        "resource_id": random.choice(["sport", "news"]).expect("one of them"),
        "authz_error_type": random.choice(["noAuthZ", "network", ""]).expect("one of them"),
    }))
}

/// A stored event, as plain SQL finds it.
struct Stored {
    at: i64,
    slot: usize,
    count: u64,
    requestor: String,
    mvpd: String,
    proxy: String,
    resource: String,
    reason: String,
    user: String,
}

fn stored(house: &House) -> Vec<Stored> {
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    let mut statement = database
        .prepare(
            "SELECT occurred_at / 1000000000, slot, count, requestor_id, coalesce(body ->> 'mvpd', ''),
                    coalesce(body ->> 'proxy', 'Direct'), coalesce(body ->> 'resource_id', ''),
                    coalesce(body ->> 'authz_error_type', ''), coalesce(body ->> 'mvpd_user_id', '')
             FROM events JOIN requestors USING (requestor)",
        )
        .expect("SQL");
    let rows = statement.query_map([], |row| {
        Ok(Stored {
            at: row.get(0)?,
            slot: usize::from(row.get::<_, u8>(1)?),
            count: u64::from(row.get::<_, u32>(2)?),
            requestor: row.get(3)?,
            mvpd: row.get(4)?,
            proxy: row.get(5)?,
            resource: row.get(6)?,
            reason: row.get(7)?,
            user: row.get(8)?,
        })
    });
    rows.expect("rows").collect::<Result<_, _>>().expect("rows")
}

/// Sums of a key.
#[derive(Default)]
struct Sums {
    units: [u64; 18],
    users: BTreeSet<String>,
    synthetic: BTreeSet<String>,
}

impl Sums {
    fn add(&mut self, event: &Stored) {
        self.units[event.slot - 1] += event.count;
        let id = event.user.trim();
        if event.slot == 1 || ["", "0", "unknown", "null"].contains(&id) {
            return;
        }
        let is_synthetic = id.starts_with("temppass_") || id.starts_with("95cf93bcd183214a");
        if is_synthetic {
            self.synthetic.insert(id.to_owned())
        } else {
            self.users.insert(id.to_owned())
        };
    }
}

/// A count by any key of the events from one second until before another.
fn count(
    events: &[Stored],
    period: (i64, i64),
    key: impl Fn(&Stored) -> Vec<String>,
) -> BTreeMap<Vec<String>, Sums> {
    let mut sums: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    for event in events.iter().filter(|event| (period.0..period.1).contains(&event.at)) {
        sums.entry(key(event)).or_default().add(event);
    }
    sums
}

fn assert_figures(figures: &Figures, sums: Option<&Sums>, of: &str) {
    let none = Sums::default();
    let sums = sums.unwrap_or(&none);
    assert_eq!(figures.events, sums.units.map(Some), "{of}");
    assert_eq!(figures.unique_users, Some(sums.users.len() as u64), "unique users of {of}");
    assert_eq!(figures.synthetic_users, Some(sums.synthetic.len() as u64), "synthetic users of {of}");
    assert_eq!(
        figures.unsuccessful_authentications(),
        Some(sums.units[0] as i64 - sums.units[2] as i64),
        "{of}"
    );
}

fn assert_rows(rows: &[Row], expected: &BTreeMap<Vec<String>, Sums>) {
    let keys: BTreeSet<&Vec<String>> = rows.iter().map(|row| &row.key).collect();
    assert_eq!(keys, expected.keys().collect::<BTreeSet<_>>());
    assert_eq!(keys.len(), rows.len(), "a key stands twice");
    rows.iter().for_each(|row| assert_figures(&row.figures, expected.get(&row.key), &row.key.join(" ")));
}

/// A time zone by hand: until a second one offset, then another.
struct ByHand {
    zone: Tz,
    before: (i64, &'static str),
    changes_at: i64,
    after: (i64, &'static str),
}

const SPRING: ByHand = ByHand {
    zone: chrono_tz::America::Los_Angeles,
    before: (-8 * 3600, "-08:00"),
    changes_at: 1_772_964_000, // 2026-03-08T10:00:00Z
    after: (-7 * 3600, "-07:00"),
};
const AUTUMN: ByHand = ByHand {
    zone: chrono_tz::America::Los_Angeles,
    before: (-7 * 3600, "-07:00"),
    changes_at: 1_793_523_600, // 2026-11-01T09:00:00Z
    after: (-8 * 3600, "-08:00"),
};
const KOLKATA: ByHand = ByHand {
    zone: chrono_tz::Asia::Kolkata,
    before: (19_800, "+05:30"),
    changes_at: i64::MAX,
    after: (0, ""),
};
const KATHMANDU: ByHand = ByHand {
    zone: chrono_tz::Asia::Kathmandu,
    before: (20_700, "+05:45"),
    changes_at: i64::MAX,
    after: (0, ""),
};

impl ByHand {
    fn offset(&self, at: i64) -> (i64, &'static str) {
        if at < self.changes_at { self.before } else { self.after }
    }

    /// The day and the hour that the clock shows.
    fn shows(&self, at: i64) -> (String, String) {
        let (offset, name) = self.offset(at);
        let local = chrono::DateTime::from_timestamp(at + offset, 0).expect("an instant").naive_utc();
        (local.format("%Y-%m-%d").to_string(), format!("{}:00{name}", local.format("%Y-%m-%dT%H")))
    }

    /// The seconds when a day begins.
    fn midnight(&self, day: &str) -> i64 {
        let utc =
            format!("{day}T00:00:00Z").parse::<chrono::DateTime<chrono::Utc>>().expect("a day").timestamp();
        let (offset, _) = self.offset(utc - self.before.0);
        utc - offset
    }
}

/// Checks reports of two days by hour and of five by day around the middle of the events.
fn assert_equal(house: &House, clock: &ByHand, days: [&str; 6]) {
    let events = stored(house);
    let period = |first: usize, end: usize| {
        let (from, to) = (clock.midnight(days[first]), clock.midnight(days[end]));
        let at = |seconds: i64| passbridge::event::Instant::from_nanos(seconds * 1_000_000_000);
        let named = Period::from_to(days[first], Some(days[end - 1]), clock.zone, at(0)).expect("a period");
        assert_eq!((named.from(), named.to()), (at(from), at(to)), "{}", days[first]);
        (named, (from, to))
    };
    let (five_days, seconds) = period(0, 5);
    let hour = |event: &Stored| clock.shows(event.at).1;
    let day = |event: &Stored| clock.shows(event.at).0;
    let report = report_of(house, five_days, &["day", "requestor", "proxy"]);
    assert_rows(
        &report.rows,
        &count(&events, seconds, |event| vec![day(event), event.requestor.clone(), event.proxy.clone()]),
    );
    assert_eq!(report.trend.len(), 5);
    let by_day = count(&events, seconds, |event| vec![day(event)]);
    report.trend.iter().for_each(|row| assert_figures(&row.figures, by_day.get(&row.key), &row.key[0]));
    assert_whole(&report, &events, seconds);
    assert_rows(
        &report_of(house, five_days, &["resource_id", "hour"]).rows,
        &count(&events, seconds, |event| vec![event.resource.clone(), hour(event)]),
    );

    let (two_days, seconds) = period(2, 4);
    let report = report_of(house, two_days, &["hour", "mvpd"]);
    assert_rows(&report.rows, &count(&events, seconds, |event| vec![hour(event), event.mvpd.clone()]));
    assert_eq!(report.trend.len() as i64, (seconds.1 - seconds.0) / 3600, "an hour for each that passes");
    let by_hour = count(&events, seconds, |event| vec![hour(event)]);
    report.trend.iter().for_each(|row| assert_figures(&row.figures, by_hour.get(&row.key), &row.key[0]));
    assert_whole(&report, &events, seconds);
}

/// The total, every MVPD, and failures by reason.
fn assert_whole(report: &Report, events: &[Stored], seconds: (i64, i64)) {
    let total = count(events, seconds, |_| Vec::new());
    assert_figures(&report.total, total.get(&Vec::new()), "the total");
    let mvpds = count(events, seconds, |event| vec![event.mvpd.clone()]);
    let mut names: Vec<&String> = report.mvpds.iter().map(|column| &column.mvpd).collect();
    let volume = |column: &passbridge::report::Column| column.figures.events.iter().flatten().sum::<u64>();
    assert!(report.mvpds.is_sorted_by(|one, next| volume(one) >= volume(next)), "the largest first");
    names.sort_unstable();
    assert_eq!(names, mvpds.keys().map(|key| &key[0]).collect::<Vec<_>>());
    for column in &report.mvpds {
        assert_figures(&column.figures, mvpds.get(&vec![column.mvpd.clone()]), &column.mvpd);
    }
    let mut failures: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for event in events.iter().filter(|event| (seconds.0..seconds.1).contains(&event.at)) {
        if [6, 8, 10, 11, 14, 16, 18].contains(&event.slot) {
            *failures.entry((event.slot, event.reason.as_str())).or_default() += event.count;
        }
    }
    let slot =
        |name: &str| usize::from(passbridge::event::EventKind::from_name(name).expect("a kind").slot());
    let found = report.failures.iter().map(|each| ((slot(&each.event), each.reason.as_str()), each.count));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), failures);
    assert!(report.failures.is_sorted_by(|one, next| one.count >= next.count));
}

/// A buffer with random events of seven days, in portions of random sizes.
pub(super) fn random_house(seed: u64, from: i64, shared: bool) -> House {
    let house = House::new();
    let mut random = fastrand::Rng::with_seed(seed);
    let events: Vec<PassEvent> =
        (0..EVENTS).map(|number| random_event(&mut random, from, 7, number, shared)).collect();
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let (portion, later) = rest.split_at(random.usize(1..800).min(rest.len()));
        house.store(portion.to_vec());
        rest = later;
    }
    house.assert_balanced();
    house
}

#[test]
fn around_the_day_of_23_hours_reports_equal_an_independent_count() {
    let house = random_house(1, SPRING.changes_at - 4 * 86_400, true);
    let days = ["2026-03-06", "2026-03-07", "2026-03-08", "2026-03-09", "2026-03-10", "2026-03-11"];
    for clock in [SPRING, KOLKATA, KATHMANDU] {
        assert_equal(&house, &clock, days);
    }
}

#[test]
fn around_the_day_of_25_hours_reports_equal_an_independent_count() {
    let house = random_house(2, AUTUMN.changes_at - 4 * 86_400, true);
    let days = ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"];
    for clock in [AUTUMN, KOLKATA, KATHMANDU] {
        assert_equal(&house, &clock, days);
    }
}

#[test]
fn a_period_between_two_quarter_hours_is_exact() {
    let house = random_house(3, AUTUMN.changes_at - 4 * 86_400, true);
    let events = stored(&house);
    for (from, to) in
        [("2026-10-31T23:15:00Z", "2026-11-02T09:45:00Z"), ("2026-11-01T08:45:00Z", "2026-11-01T09:00:00Z")]
    {
        let now = "2026-11-20T12:00:00Z".parse().expect("an instant");
        let period = Period::from_to(from, Some(to), AUTUMN.zone, now).expect("a period");
        let seconds =
            [from, to].map(|at| at.parse::<chrono::DateTime<chrono::Utc>>().expect("an instant").timestamp());
        assert_whole(&report_of(&house, period, &[]), &events, (seconds[0], seconds[1]));
    }
}
