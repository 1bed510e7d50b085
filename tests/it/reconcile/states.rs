//! What the account knows explains a difference to the unit: what waits, what is dead, held, deleted, in doubt, too fresh.

use passbridge::buffer::{NewVerdict, Selection, Settled, Undecided};
use passbridge::reconcile::{Cause, Cell, EsmSource, Likeness, Part, Tolerance, Verdict};
use passbridge::sandbox::AnalyticsSettings;
use passbridge::suite::{EventIds, OnAmbiguous, SuiteState};
use serde_json::json;

use super::world::{World, plays_at};
use crate::support::{REQUESTOR, RSID, event, subscriber};

const AT: &str = "2026-11-03T20:00:00Z";

/// Verdict, parts and rest of a cell against Analytics.
fn account(cell: &Cell) -> (Verdict, Vec<(Cause, i64)>, i64) {
    let parts = cell.analytics_parts.iter().map(|Part { cause, units }| (*cause, *units)).collect();
    (cell.verdict, parts, cell.analytics_unexplained)
}

/// Ten plays, of which three are in another state; nothing else is amiss.
fn assert_three_are(world: &World, cause: Cause) {
    let cell = world.cell();
    assert_eq!((cell.counted, cell.delivered, cell.analytics), (10, 7, Some(7)), "{cell:?}");
    assert_eq!(account(&cell), (Verdict::Explained, vec![(cause, -3)], 0));
    // Neither more nor less than the three.
    world.deliver_elsewhere(plays_at(AT, 90..91));
    assert_eq!(account(&world.cell()), (Verdict::Differs, vec![(cause, -3)], 1));
}

fn with_seven_delivered(change: impl FnOnce(&World)) -> World {
    let world = World::new(&[REQUESTOR]);
    world.deliver(plays_at(AT, 0..7));
    world.pass_hours(48);
    change(&world);
    world
}

#[test]
fn what_is_delivered_and_shown_agrees() {
    let world = with_seven_delivered(|_| {});
    let cell = world.cell();
    assert_eq!(account(&cell), (Verdict::Agrees, vec![], 0));
    assert_eq!((cell.mvpd.as_str(), cell.event, cell.day.as_str()), ("M", "play_requested", "2026-11-03"));
}

#[test]
fn what_is_pending_explains_what_is_missing() {
    let world = with_seven_delivered(|world| {
        world.house.store(plays_at(AT, 7..10));
    });
    assert_three_are(&world, Cause::Pending);
}

#[test]
fn what_is_parked_explains_what_is_missing() {
    let world = with_seven_delivered(|world| {
        let mut paused = world.suite.clone();
        paused.state = SuiteState::Paused;
        world.house.buffer.set_suite(paused).expect("a known suite");
        world.deliver(plays_at(AT, 7..10));
    });
    assert_three_are(&world, Cause::Parked);
}

/// Seven that are delivered and three that are dead: they are refused before one that is taken.
fn with_three_dead() -> World {
    let world = World::new(&[REQUESTOR]);
    world.deliver(plays_at(AT, 0..6));
    world.analytics.set_faults("failure=\"NO pagename OR pageurl\" first=3".parse().expect("a fault plan"));
    world.house.store(plays_at(AT, 7..10).into_iter().chain(plays_at(AT, 6..7)));
    let summary = world.house.drain_with(|options| options.lanes = 1).expect("a drain");
    assert_eq!((summary.delivered, summary.dead), (1, 3));
    world.analytics.set_faults("".parse().expect("no faults"));
    world.pass_hours(48);
    world
}

#[test]
fn what_is_dead_or_discarded_explains_what_is_missing() {
    assert_three_are(&with_three_dead(), Cause::Dead);
    let world = with_three_dead();
    world.house.buffer.settle(Undecided::Dead, &Selection::All, Settled::Discarded).expect("dead letters");
    assert_three_are(&world, Cause::Discarded);
}

#[test]
fn what_was_forgotten_before_it_went_explains_what_is_missing() {
    let world = with_seven_delivered(|world| {
        let events = (7..10).map(|id| {
            event(json!({"occurred_at": AT, "event_id": format!("play {id}"), "mvpd": "M", "mvpd_user_id": "gone"}))
        });
        world.house.store(events);
        let lock = world.house.buffer.lock_whole().expect("the lock");
        let whom = subscriber("M", "gone");
        assert_eq!(world.house.buffer.forget(&whom, &lock).expect("forgotten").events, 3);
    });
    assert_three_are(&world, Cause::Withdrawn);
}

/// Three held ones, counted or not.
fn with_held(fault: &str) -> World {
    let world = World::with(&[REQUESTOR], "", |suite| suite.on_ambiguous = OnAmbiguous::Hold);
    world.deliver(plays_at(AT, 0..7));
    world.analytics.set_faults(fault.parse().expect("a fault plan"));
    world.deliver(plays_at(AT, 7..10));
    world.analytics.set_faults("".parse().expect("no faults"));
    world.pass_hours(48);
    assert_eq!(world.house.buffer.status().expect("a status").held, 3);
    world
}

#[test]
fn what_is_held_may_have_been_counted_or_not() {
    let lost = with_held("reset-before");
    assert_eq!(account(&lost.cell()), (Verdict::Explained, vec![(Cause::Held, -3)], 0));
    let counted = with_held("reset-after");
    let both = vec![(Cause::Held, -3), (Cause::Ambiguous, 3)];
    assert_eq!(account(&counted.cell()), (Verdict::Agrees, both.clone(), 0));
    counted.deliver_elsewhere(plays_at(AT, 90..91));
    assert_eq!(account(&counted.cell()), (Verdict::Differs, both, 1));
}

#[test]
fn what_only_a_person_vouches_for_may_be_missing() {
    let world = with_held("reset-before");
    world.house.buffer.settle(Undecided::Held, &Selection::All, Settled::Delivered).expect("held events");
    let cell = world.cell();
    assert_eq!((cell.delivered, cell.analytics), (10, Some(7)));
    assert_eq!(account(&cell), (Verdict::Explained, vec![(Cause::Vouched, -3)], 0));
}

#[test]
fn repeats_without_event_ids_may_have_been_counted() {
    let world =
        World::with(&[REQUESTOR], "reset-after first=2", |suite| suite.form.event_ids = EventIds::Off);
    world.deliver(plays_at(AT, 0..1));
    world.pass_hours(48);
    let cell = world.cell();
    assert_eq!((cell.delivered, cell.analytics), (1, Some(3)));
    assert_eq!(account(&cell), (Verdict::Explained, vec![(Cause::Ambiguous, 2)], 0));
}

#[test]
fn repeats_with_event_ids_count_once_unless_the_suite_is_set_wrong() {
    let right = World::with(&[REQUESTOR], "reset-after first=2", |_| {});
    right.deliver(plays_at(AT, 0..1));
    right.pass_hours(48);
    assert_eq!(account(&right.cell()), (Verdict::Agrees, vec![], 0));
    let wrong = World::with(&[REQUESTOR], "reset-after first=2", |_| {});
    let setting = "event7.recording=always_record".parse().expect("a setting");
    wrong.analytics.set_wrong(RSID, vec![setting]);
    wrong.deliver(plays_at(AT, 0..1));
    wrong.pass_hours(48);
    let cell = wrong.cell();
    assert_eq!(account(&cell), (Verdict::Differs, vec![], 2));
    assert_eq!(cell.hints.iter().map(|hint| hint.looks_like).collect::<Vec<_>>(), [Likeness::RepeatsCounted]);
}

#[test]
fn what_was_delivered_a_moment_ago_need_not_show_yet() {
    let world = World::new(&[REQUESTOR]);
    let settings = AnalyticsSettings {
        calls_per_window: 100_000,
        latency_ms: 2 * 3_600_000,
        ..AnalyticsSettings::default()
    };
    world.analytics.set_analytics(settings);
    // Delivered on 15 November at 12:00, UTC: two hours and twelve days after they happened.
    world.deliver(plays_at("2026-11-15T10:00:00Z", 0..4).into_iter().chain(plays_at(AT, 4..9)));
    world.pass_hours(1);
    let account_of = |from: &str, to: &str| account(&world.compare(from, to).cells[0]);
    // Nobody knows whether they ever will while nothing shows that the suite records its hits.
    assert_eq!(account_of("2026-11-15", "2026-11-16"), (Verdict::Unknown, vec![(Cause::TooFresh, -4)], 0));
    let (checked_at, seen) = (world.clock.now(), json!({}));
    let ready = NewVerdict { checked_at, open: 0, blocks: Vec::new(), proved_at: None, void: None, seen };
    world.house.buffer.set_verdict(&world.suite.form.rsid, ready).expect("a known suite");
    assert_eq!(account_of("2026-11-15", "2026-11-16"), (Verdict::Explained, vec![(Cause::TooFresh, -4)], 0));
    assert_eq!(account_of("2026-11-03", "2026-11-04"), (Verdict::Explained, vec![(Cause::Late, -5)], 0));
    world.pass_hours(1);
    assert_eq!(account_of("2026-11-15", "2026-11-16"), (Verdict::Agrees, vec![], 0));
    // Analytics never shows them: what is recent ends after three hours, what is late after a day.
    let settings = AnalyticsSettings {
        calls_per_window: 100_000,
        latency_ms: u64::MAX >> 24,
        ..AnalyticsSettings::default()
    };
    world.analytics.set_analytics(settings);
    world.pass_hours(2);
    assert_eq!(account_of("2026-11-15", "2026-11-16"), (Verdict::Differs, vec![], -4));
    assert_eq!(account_of("2026-11-03", "2026-11-04"), (Verdict::Explained, vec![(Cause::Late, -5)], 0));
    world.pass_hours(21);
    assert_eq!(account_of("2026-11-03", "2026-11-04"), (Verdict::Differs, vec![], -5));
}

#[test]
fn a_tolerance_holds_for_each_cell() {
    let world = with_seven_delivered(|world| world.deliver_elsewhere(plays_at(AT, 90..92)));
    for (tolerance, verdict) in [
        ("0", Verdict::Differs),
        ("1", Verdict::Differs),
        ("2", Verdict::Agrees),
        ("20%", Verdict::Differs),
        ("25%", Verdict::Agrees),
    ] {
        let mut options = world.options("2026-11-01", "2026-11-08");
        options.tolerance = tolerance.parse::<Tolerance>().expect("a tolerance");
        let found = world.compare_with(&options, EsmSource::None).expect("a comparison");
        assert_eq!(found.verdict, verdict, "{tolerance}");
    }
}
