//! The schedule of `passbridge run`: waits until a drain is due, then calls `tick`, which drains.
//!
//! - In: the `[schedule]` section, a clock, when the last drain started. Out: calls of `tick`, one at a time.
//! - Guarantees: ticks never overlap; slots (due times) missed while the host was down, asleep or busy become one
//!   tick; no slot starts two ticks; a clock set back delays the next tick by at most one slot; a stop ends a wait.
//! - Does not know: what a tick does, the buffer, signals.
//! - Rules: daylight saving as in cron(8). If an expression names hours, a slot in the skipped hour starts when the
//!   gap ends, and a slot in the doubled hour starts once, the first time. If an expression takes every hour, it
//!   follows elapsed time: the skipped hour has no slots, and the doubled hour has its slots twice.

use std::pin::{Pin, pin};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use cron::TimeUnitSpec;

use crate::clock::Clock;
use crate::config::ScheduleConfig;
use crate::event::Instant;

/// The longest that `run` sleeps before it reads the clock again, so that it notices a suspended host or a clock that
/// was set. One reading costs microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A drain that starts more than this after its slot is logged as missed. `LOOK_EVERY` alone delays no drain so long.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(60);
/// The longest jitter, in seconds. One hour is enough to spread the drains of many hosts.
pub const JITTER_SECONDS_MAX: u64 = 3600;
/// More than the largest difference between a local time and UTC.
const OFFSET_MAX: TimeDelta = TimeDelta::hours(15);
/// The days of the week, by their numbers in crontab(5).
const DAY_NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

/// The times at which drains start, which are called slots.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// Each rule gives slots. There is one rule, or there are two: one by day of month and one by day of week.
    rules: Vec<cron::Schedule>,
    /// Whether the expression takes all 24 hours. Then it follows elapsed time when the clocks change.
    every_hour: bool,
    zone: Tz,
    jitter: Duration,
}

/// Why a `[schedule]` section is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("schedule.cron {expression:?} is no cron expression of five or six fields: {why}")]
    BadCron { expression: String, why: String },
    #[error("schedule.cron {0:?} never comes due")]
    NeverDue(String),
    #[error("schedule.timezone {name:?} is no IANA time zone; the nearest is {nearest:?}")]
    UnknownTimezone { name: String, nearest: &'static str },
    #[error("schedule.jitter_seconds {0} must be 0 to {JITTER_SECONDS_MAX}")]
    JitterTooLong(u64),
}

impl Timetable {
    /// Reads a `[schedule]` section. Days are as in crontab(5): 0 and 7 are both Sunday. If day of month and day of
    /// week are both restricted, one match is enough. If one of the two begins with `*`, both must match.
    pub fn new(config: &ScheduleConfig) -> Result<Timetable, ScheduleError> {
        let zone = Tz::from_str(&config.timezone).map_err(|_| ScheduleError::UnknownTimezone {
            name: config.timezone.clone(),
            nearest: nearest_zone(&config.timezone),
        })?;
        if config.jitter_seconds > JITTER_SECONDS_MAX {
            return Err(ScheduleError::JitterTooLong(config.jitter_seconds));
        }
        let rules = read_cron(&config.cron)?;
        let every_hour = rules.iter().all(|rule| rule.hours().count() == 24);
        let jitter = Duration::from_secs(config.jitter_seconds);
        let timetable = Timetable { rules, every_hour, zone, jitter };
        match timetable.next_slot(Instant::from_nanos(0)) {
            Some(_) => Ok(timetable),
            None => Err(ScheduleError::NeverDue(config.cron.clone())),
        }
    }

    /// The first slot after an instant; `None` past the year 2100.
    pub fn next_slot(&self, after: Instant) -> Option<Instant> {
        let after = DateTime::<Utc>::from(after);
        let next = if self.every_hour { self.next_elapsed(after) } else { self.next_on_the_wall(after) };
        next.map(Instant::from)
    }

    /// The next slot of an expression that names hours. A skipped or repeated local time also gives one slot.
    fn next_on_the_wall(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = after + self.offset_at(after);
        std::iter::successors(self.next_local(local), |slot| self.next_local(*slot))
            .map(|slot| self.first_instant_of(slot.naive_utc()))
            .find(|slot| *slot > after)
    }

    /// The first slot after a local time. Takes and returns local times, written as if they were UTC.
    fn next_local(&self, local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.rules.iter().filter_map(|rule| rule.after(&local).next()).min()
    }

    /// The first instant at which a wall clock of the zone shows this time, or has just jumped past it.
    fn first_instant_of(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&local).earliest() {
            Some(at) => at.with_timezone(&Utc),
            None => self.change_between(local.and_utc() - OFFSET_MAX, local.and_utc() + OFFSET_MAX),
        }
    }

    /// The next slot of an expression that takes every hour. The slots keep their distance when the clocks change.
    fn next_elapsed(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = after;
        let mut local = from + self.offset_at(from);
        loop {
            let offset = self.offset_at(from);
            let slot = self.next_local(local)? - offset;
            if self.offset_at(slot) == offset {
                return Some(slot);
            }
            from = self.change_between(from, slot);
            local = from + self.offset_at(from) - TimeDelta::seconds(1);
        }
    }

    /// How far local time is ahead of UTC.
    fn offset_at(&self, at: DateTime<Utc>) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        TimeDelta::seconds(i64::from(offset.local_minus_utc()))
    }

    /// The instant at which the offset changes, to the second, between two instants that have different offsets.
    fn change_between(&self, before: DateTime<Utc>, after: DateTime<Utc>) -> DateTime<Utc> {
        let old = self.offset_at(before);
        let (mut low, mut high) = (before.timestamp(), after.timestamp());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let at = DateTime::from_timestamp(middle, 0).unwrap_or(after);
            if self.offset_at(at) == old { low = middle } else { high = middle }
        }
        DateTime::from_timestamp(high, 0).unwrap_or(after)
    }

    /// The time up to which slots count as done. If the clock was set back, this time moves back too, but at most to
    /// the next slot, because the tick for that slot may already have run.
    fn served(&self, served: Instant, now: Instant) -> Instant {
        match self.next_slot(now) {
            Some(next) if now < served => served.min(next),
            _ => served,
        }
    }
}

/// Calls `tick` at every slot until `stopped` resolves.
///
/// `last_started` is when the last completed drain began, `None` if there was none. If slots were missed since then,
/// one tick starts at once for all of them. Without `last_started`, the first tick waits for the next slot. A tick
/// that runs when `stopped` resolves is awaited: it must notice the stop by itself.
pub async fn run(
    timetable: &Timetable,
    clock: &Clock,
    last_started: Option<Instant>,
    stopped: impl Future<Output = ()>,
    mut tick: impl AsyncFnMut(),
) {
    let mut stopped = pin!(stopped);
    let mut served = last_started.unwrap_or_else(|| clock.now());
    loop {
        let now = clock.now();
        served = timetable.served(served, now);
        let wait = match timetable.next_slot(served) {
            Some(at) if at <= now => {
                log_start(at, now);
                let jitter = timetable.jitter.mul_f64(fastrand::f64());
                if stops_within(jitter, stopped.as_mut()).await {
                    return;
                }
                served = now;
                tick().await;
                continue;
            }
            Some(at) => Duration::from_nanos(at.nanos().saturating_sub(now.nanos()).unsigned_abs()),
            None => LOOK_EVERY,
        };
        if stops_within(wait.min(LOOK_EVERY), stopped.as_mut()).await {
            return;
        }
    }
}

fn log_start(at: Instant, now: Instant) {
    if DateTime::<Utc>::from(now) - DateTime::<Utc>::from(at) > LATE_AFTER {
        tracing::info!(missed_at = %at, "a drain was missed and starts now");
    } else {
        tracing::debug!(slot = %at, "a drain is due");
    }
}

/// Waits for this long, or until the stop. Returns true if the stop came first.
async fn stops_within(wait: Duration, stopped: Pin<&mut impl Future<Output = ()>>) -> bool {
    tokio::select! {
        biased;
        () = stopped => true,
        () = tokio::time::sleep(wait) => false,
    }
}

/// Translates an expression of crontab(5), where Sunday is 0 or 7 and one match of two restricted day fields is
/// enough. The `cron` crate has a seconds field, numbers Sunday 1, and requires both day fields to match.
fn read_cron(expression: &str) -> Result<Vec<cron::Schedule>, ScheduleError> {
    let refuse = |why: String| ScheduleError::BadCron { expression: expression.to_owned(), why };
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let (seconds, rest) = match fields.as_slice() {
        rest if rest.len() == 5 => ("0", rest),
        [seconds, rest @ ..] if rest.len() == 5 => (*seconds, rest),
        _ => return Err(refuse(format!("it has {} fields", fields.len()))),
    };
    let days = rest[4].split(',').map(named_days).collect::<Option<Vec<_>>>();
    let days = days.ok_or_else(|| refuse(format!("{:?} is no day of the week", rest[4])))?.join(",");
    let [minute, hour, day, month, _] = rest else { return Err(refuse("it has too few fields".to_owned())) };
    let rule = |day: &str, days: &str| {
        let six = format!("{seconds} {minute} {hour} {day} {month} {days}");
        cron::Schedule::from_str(&six).map_err(|error| refuse(error.to_string()))
    };
    let is_restricted = |field: &str| !field.starts_with(['*', '?']);
    if is_restricted(day) && is_restricted(&days) {
        Ok(vec![rule(day, "*")?, rule("*", &days)?])
    } else {
        Ok(vec![rule(day, &days)?])
    }
}

/// One item of the day-of-week field, with names instead of numbers; `None` if a number is not 0 to 7.
fn named_days(item: &str) -> Option<String> {
    if !item.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Some(item.to_owned());
    }
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let (first, last) = range.split_once('-').unwrap_or((range, if item == range { range } else { "7" }));
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let step: usize = step.parse().ok().filter(|step| *step > 0)?;
    let names = (first..=last).step_by(step).map(|day| DAY_NAMES.get(day).copied());
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty()).map(|names| names.join(","))
}

fn nearest_zone(name: &str) -> &'static str {
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|zone| zone.name())
        .min_by_key(|known| {
            strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &name.to_ascii_lowercase())
        })
        .unwrap_or("UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(cron: &str, timezone: &str) -> Timetable {
        let config =
            ScheduleConfig { cron: cron.to_owned(), timezone: timezone.to_owned(), jitter_seconds: 0 };
        Timetable::new(&config).expect("a valid schedule")
    }

    fn at(text: &str) -> Instant {
        Instant::from(DateTime::parse_from_rfc3339(text).expect("an instant").with_timezone(&Utc))
    }

    /// The next slots after an instant, as UTC texts.
    fn slots(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let timetable = timetable(cron, zone);
        let first = timetable.next_slot(at(after));
        let following = std::iter::successors(first, |slot| timetable.next_slot(*slot));
        following.take(count).map(|slot| slot.to_string()).collect()
    }

    #[test]
    fn five_and_six_fields_mean_the_same() {
        let after = "2026-11-20T08:31:00Z";
        let five = slots("*/30 * * * *", "America/Los_Angeles", after, 3);
        assert_eq!(five, ["2026-11-20T09:00:00Z", "2026-11-20T09:30:00Z", "2026-11-20T10:00:00Z"]);
        assert_eq!(five, slots("0 */30 * * * *", "America/Los_Angeles", after, 3));
    }

    #[test]
    fn days_of_the_week_are_numbered_as_in_crontab() {
        let friday = "2026-11-20T12:00:00Z";
        for (field, first) in [
            ("1-5", "2026-11-23T03:00:00Z"),
            ("0", "2026-11-22T03:00:00Z"),
            ("7", "2026-11-22T03:00:00Z"),
            ("6-7", "2026-11-21T03:00:00Z"),
            ("Mon", "2026-11-23T03:00:00Z"),
            ("2,4", "2026-11-24T03:00:00Z"),
            ("1/3", "2026-11-22T03:00:00Z"),
        ] {
            assert_eq!(slots(&format!("0 3 * * {field}"), "UTC", friday, 1), [first], "{field}");
        }
    }

    #[test]
    fn either_day_field_makes_a_slot_where_both_are_restricted() {
        let saturday = "2026-11-28T12:00:00Z";
        for (cron, due) in [
            ("0 8 13 * 5", ["2026-12-04T08:00:00Z", "2026-12-11T08:00:00Z", "2026-12-13T08:00:00Z"]),
            ("0 8 1,15 * MON", ["2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z", "2026-12-07T08:00:00Z"]),
            ("30 0 8 13 * FRI", ["2026-12-04T08:00:30Z", "2026-12-11T08:00:30Z", "2026-12-13T08:00:30Z"]),
            ("0 8 13 12 5", ["2026-12-04T08:00:00Z", "2026-12-11T08:00:00Z", "2026-12-13T08:00:00Z"]),
            // A day field that begins with `*`, even with a step, is not restricted, so both day fields must match.
            ("0 8 13 * *", ["2026-12-13T08:00:00Z", "2027-01-13T08:00:00Z", "2027-02-13T08:00:00Z"]),
            ("0 8 * * 5", ["2026-12-04T08:00:00Z", "2026-12-11T08:00:00Z", "2026-12-18T08:00:00Z"]),
            ("0 8 */2 * 5", ["2026-12-11T08:00:00Z", "2026-12-25T08:00:00Z", "2027-01-01T08:00:00Z"]),
        ] {
            assert_eq!(slots(cron, "UTC", saturday, 3), due, "{cron}");
        }
        // On Sunday 2026-03-08 there is no 02:30; on the 13th there is.
        let next = slots("30 2 13 * 0", "America/Los_Angeles", "2026-03-02T12:00:00Z", 3);
        assert_eq!(next, ["2026-03-08T10:00:00Z", "2026-03-13T09:30:00Z", "2026-03-15T09:30:00Z"]);
    }

    #[test]
    fn a_schedule_that_cannot_be_meant_is_refused() {
        for cron in [
            "",
            "* * * *",
            "0 0 * * * * 2026",
            "61 * * * *",
            "0 0 30 2 *",
            "0 0 * * 8",
            "0 0 * * 5-1",
            "x * * * *",
        ] {
            let config = ScheduleConfig { cron: cron.to_owned(), ..ScheduleConfig::default() };
            assert!(Timetable::new(&config).is_err(), "{cron:?}");
        }
        let config =
            ScheduleConfig { timezone: "america/los_angles".to_owned(), ..ScheduleConfig::default() };
        let refused = Timetable::new(&config).expect_err("no such zone").to_string();
        assert!(refused.contains("America/Los_Angeles"), "{refused}");
    }

    #[test]
    fn a_slot_in_the_skipped_hour_starts_when_the_gap_ends() {
        // 2026-03-08: 02:00 PST becomes 03:00 PDT at 10:00Z.
        let next = slots("30 2 * * *", "America/Los_Angeles", "2026-03-07T12:00:00Z", 2);
        assert_eq!(next, ["2026-03-08T10:00:00Z", "2026-03-09T09:30:00Z"]);
    }

    #[test]
    fn a_slot_in_the_doubled_hour_starts_once() {
        // 2026-11-01: 02:00 PDT becomes 01:00 PST at 09:00Z.
        let next = slots("30 1 * * *", "America/Los_Angeles", "2026-10-31T12:00:00Z", 2);
        assert_eq!(next, ["2026-11-01T08:30:00Z", "2026-11-02T09:30:00Z"]);
        let next = slots("30 1 * * *", "America/Los_Angeles", "2026-11-01T09:10:00Z", 1);
        assert_eq!(next, ["2026-11-02T09:30:00Z"], "started in the second pass of the doubled hour");
    }

    #[test]
    fn every_half_hour_stays_half_an_hour_through_both_changes() {
        for (zone, after) in [
            ("America/Los_Angeles", "2026-03-08T08:00:00Z"),
            ("America/Los_Angeles", "2026-11-01T07:00:00Z"),
            ("Europe/Berlin", "2026-10-24T23:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T12:00:00Z"),
        ] {
            let timetable = timetable("0 */30 * * * *", zone);
            let mut slot = at(after);
            for _ in 0..12 {
                let next = timetable.next_slot(slot).expect("a slot");
                assert_eq!(next.unix_seconds() - slot.unix_seconds(), 1800, "{zone} after {slot}");
                slot = next;
            }
        }
    }

    #[test]
    fn a_clock_set_back_neither_repeats_a_slot_nor_stops_the_runs() {
        let timetable = timetable("0 */30 * * * *", "UTC");
        let start = |served: &str, now: &str| {
            let served = timetable.served(at(served), at(now));
            timetable.next_slot(served).map(|slot| slot.to_string())
        };
        let noon = "2026-11-20T12:00:05Z";
        assert_eq!(start(noon, "2026-11-20T11:59:00Z").as_deref(), Some("2026-11-20T12:30:00Z"));
        assert_eq!(start(noon, "2026-11-20T09:10:00Z").as_deref(), Some("2026-11-20T10:00:00Z"));
        assert_eq!(start("2036-01-01T00:00:00Z", noon).as_deref(), Some("2026-11-20T13:00:00Z"));
    }

    /// Runs the schedule for some seconds of tokio's paused time. `wall` gives the wall clock's time for each second.
    /// Returns when ticks started, by the wall clock, to the minute.
    async fn ticks(
        last_started: Option<Instant>,
        seconds: u64,
        wall: impl Fn(u64) -> Instant,
        tick_seconds: u64,
    ) -> Vec<String> {
        let clock = Clock::fixed(wall(0));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let moving = async {
            for second in 1..=seconds {
                tokio::time::sleep(Duration::from_secs(1)).await;
                clock.set(wall(second));
            }
            stop.send(()).expect("the schedule still listens");
        };
        let mut started = Vec::new();
        let timetable = timetable("*/30 * * * *", "UTC");
        let stopped = async { stopped.await.expect("the clock says when to stop") };
        let running = run(&timetable, &clock, last_started, stopped, async || {
            started.push(clock.now().to_string()[..16].to_owned());
            tokio::time::sleep(Duration::from_secs(tick_seconds)).await;
        });
        tokio::join!(moving, running);
        started
    }

    fn plus(start: &str, seconds: u64) -> Instant {
        Instant::from_nanos(at(start).nanos() + seconds as i64 * 1_000_000_000)
    }

    #[tokio::test(start_paused = true)]
    async fn many_missed_slots_become_one_drain() {
        let wall = |second| plus("2026-11-20T12:10:00Z", second);
        let started = ticks(Some(at("2026-11-18T07:00:00Z")), 3100, wall, 0).await;
        assert_eq!(started, ["2026-11-20T12:10", "2026-11-20T12:30", "2026-11-20T13:00"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_caught_up_on_where_nothing_was_missed() {
        let wall = |second| plus("2026-11-20T12:10:00Z", second);
        for last_started in [None, Some(at("2026-11-20T12:00:01Z"))] {
            assert_eq!(ticks(last_started, 1300, wall, 0).await, ["2026-11-20T12:30"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slots_that_pass_during_a_drain_become_one_drain_after_it() {
        let wall = |second| plus("2026-11-20T12:29:00Z", second);
        let started = ticks(None, 9000, wall, 4000).await;
        assert_eq!(started, ["2026-11-20T12:30", "2026-11-20T13:36", "2026-11-20T14:43"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_host_drains_within_half_a_minute_of_waking() {
        let wall = |second| plus("2026-11-20T12:01:00Z", if second < 10 { second } else { second + 40_000 });
        let started = ticks(None, 100, wall, 0).await;
        assert_eq!(started, ["2026-11-20T23:08"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_ten_years_ahead_and_back_goes_on_draining() {
        let wall = |second| {
            let years = if (100..200).contains(&second) { 315_360_000 } else { 0 };
            plus("2026-11-20T12:31:00Z", second + years)
        };
        let started = ticks(None, 7200, wall, 0).await;
        assert_eq!(
            started.len(),
            4,
            "one in 2036, then one each half hour, except the slot that the drain in 2036 counted as: {started:?}"
        );
    }
}
