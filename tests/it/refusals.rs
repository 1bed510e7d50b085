//! Whose fault a refusal is: an event's own where another hit of its suite succeeds, else the suite's, and then nothing is lost.

use passbridge::buffer::{Selection, Undecided};
use passbridge::delivery::TroubleKind;
use passbridge::drain::{RunSummary, StopReason};
use passbridge::event::PassEvent;
use passbridge::sandbox::OrderBy;
use passbridge::suite::OnAmbiguous;
use serde_json::json;

use crate::support::{FIRST_SECOND, House, counted, event, plays, report_suite, sandbox, sandbox_with};

/// What may be in flight when the first refusals come back, and the tries of a trial behind it.
const FEW_REQUESTS: u64 = 8 + 3 + 50 + 50;

/// `events` events of these visitors in turn; `is_bad` says which the sandbox refuses.
fn crowd(events: i64, visitors: i64, is_bad: impl Fn(i64) -> bool) -> Vec<PassEvent> {
    (0..events)
        .map(|number| {
            event(json!({
                "occurred_at": FIRST_SECOND + number,
                "event": if number % 3 == 0 { "authn_ok" } else { "play_requested" },
                "mvpd_user_id": format!("user{}", number % visitors),
                "resource_id": number.to_string(),
                "mvpd": if is_bad(number) { "bad" } else { "good" },
            }))
        })
        .collect()
}

const BAD: &str = "failure=\"NO timestamp\" only-evar2=bad";

fn assert_stopped(summary: &RunSummary, events: u64, what: &str) {
    assert_eq!((summary.delivered, summary.dead, summary.pending), (0, 0, events), "{what}");
    assert_eq!((summary.stopped, summary.left), (Some(StopReason::Suite), true), "{what}");
    let trouble = &summary.troubles[0];
    assert_eq!((trouble.kind, trouble.stopped), (TroubleKind::Refused, true), "{what}");
    assert!(trouble.rsid.is_some() && trouble.advice.is_some(), "{what}");
}

#[test]
fn bad_events_at_the_head_starve_nobody_and_are_dead_for_their_own_sake() {
    // Of visitors of their own, of visitors that also have good events, of a few, of one.
    for visitors in [10_500, 200, 2, 1] {
        let sandbox = sandbox_with(BAD, |options| options.order_by = OrderBy::Evar6);
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(10_500, visitors, |number| number < 500));
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead, summary.pending), (10_000, 500, 0), "{visitors}");
        assert_eq!((summary.stopped, summary.left), (None, false), "{visitors}");
        assert_eq!((counted(&sandbox), sandbox.inversions()), (10_000, 0), "{visitors}");
        house.assert_balanced();
    }
}

#[test]
fn as_many_bad_events_before_the_good_ones_starve_nobody_wherever_they_wait() {
    // Up to about 1,400 events lie in the lanes when the first refusals come back; the rest is in the buffer.
    for (bad, good) in [(700, 700), (1_000, 1_000), (2_500, 7_500)] {
        let sandbox = sandbox_with(BAD, |options| options.order_by = OrderBy::Evar6);
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(bad + good, bad + good, |number| number < bad));
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead, summary.pending), (good as u64, bad as u64, 0), "{bad}");
        assert_eq!((summary.stopped, summary.left), (None, false), "{bad}");
        assert_eq!((counted(&sandbox), sandbox.inversions()), (good as u64, 0), "{bad}");
        house.assert_balanced();
    }
}

#[test]
fn a_suite_that_takes_only_every_fiftieth_event_is_decided_within_some_runs() {
    let sandbox = sandbox_with(BAD, |options| options.order_by = OrderBy::Evar6);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(4_000, 4_000, |number| number % 50 != 7));
    // A trial of fifty visitors finds one that is taken in two of three cases, and others in the next run.
    for _ in 0..20 {
        if house.drain().pending < 400 {
            break;
        }
    }
    // The last bad ones wait for a success behind them.
    house.store(crowd(4_200, 4_200, |_| false).split_off(4_000));
    let last = house.drain();
    assert_eq!((last.pending, counted(&sandbox), sandbox.inversions()), (0, 80 + 200, 0), "{last:?}");
    house.assert_balanced();
}

#[test]
fn every_hundredth_bad_event_is_dead_alone() {
    let sandbox = sandbox_with(BAD, |options| options.order_by = OrderBy::Evar6);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(10_000, 500, |number| number % 100 == 7));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.pending), (9_900, 100, 0));
    assert_eq!((counted(&sandbox), sandbox.inversions()), (9_900, 0));
    assert_eq!(summary.troubles, []);
    house.assert_balanced();
}

#[test]
fn a_suite_that_refuses_everybody_with_a_reason_stops_with_all_its_events_pending() {
    for visitors in [5_000, 300, 2, 1] {
        let sandbox = sandbox("failure=\"NO timestamp\"");
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(5_000, visitors, |_| true));
        assert_stopped(&house.drain(), 5_000, "first run");
        let requests = sandbox.summary().requests;
        assert!(visitors < 50 || requests <= FEW_REQUESTS, "{visitors}: {requests}");
        assert!(requests <= 700, "{visitors}: {requests}");
        // The next run begins with a trial; and everything goes once the suite takes it.
        let again = house.drain();
        assert_stopped(&again, 5_000, "second run");
        assert!(again.troubles[0].since < again.started_at);
        sandbox.set_faults("".parse().expect("no faults"));
        let mended = house.drain();
        assert_eq!((mended.delivered, mended.dead, mended.pending), (5_000, 0, 0));
        assert_eq!((mended.troubles.len(), sandbox.inversions()), (0, 0));
        house.assert_balanced();
    }
}

#[test]
fn a_portal_in_place_of_the_collector_costs_few_attempts_and_holds_few_events() {
    for fault in ["status=302", "malformed"] {
        for policy in [OnAmbiguous::Retry, OnAmbiguous::Hold] {
            let sandbox = sandbox(fault);
            let house = House::new();
            house.suite_with(&sandbox.url(), |suite| suite.on_ambiguous = policy);
            house.store(crowd(5_504, 2_000, |_| false));
            let summary = house.drain();
            let what = format!("{fault} {policy:?}");
            assert_eq!(
                (summary.delivered, summary.dead, summary.stopped),
                (0, 0, Some(StopReason::Suite)),
                "{what}"
            );
            let requests = sandbox.summary().requests;
            assert!(requests <= 8 + 3 + 10, "{what}: {requests}");
            let doubted = if policy == OnAmbiguous::Hold { summary.held } else { summary.in_doubt };
            assert_eq!((doubted, summary.held + summary.pending), (requests, 5_504), "{what}");
            // The suite is on trial from the start of the next run, so that a run's worth of lanes is not held again.
            house.drain();
            assert!(sandbox.summary().requests <= requests + 10, "{what}");
            house.assert_balanced();
        }
    }
}

#[test]
fn few_events_of_a_suite_are_taken_at_their_word_until_three_in_a_row_were_refused() {
    let sandbox = sandbox("failure=\"NO timestamp\"");
    let house = House::new();
    house.suite(&sandbox.url());
    let mut dead = 0;
    for (number, event) in plays(5).into_iter().enumerate() {
        house.store([event]);
        let summary = house.drain();
        dead += summary.dead;
        assert_eq!(summary.troubles[0].stopped, number >= 2, "{number}");
    }
    assert_eq!((dead, house.buffer.status().expect("a status").pending), (2, 3));
}

#[test]
fn an_event_refused_after_a_backoff_leaves_nothing_of_its_visitor_behind_it() {
    // The first one is put off, so that the second one waits behind it; then both are refused.
    let sandbox = sandbox("status=503 first=1; failure=\"NO timestamp\"");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(2, 1, |_| false));
    let summary = house.drain_with(|options| options.deadline = Some(std::time::Duration::from_secs(60)));
    let summary = summary.expect("a drain");
    assert_eq!((summary.dead, summary.pending, summary.stopped), (2, 0, None));
}

#[test]
fn a_host_that_refuses_every_suite_is_left_and_another_suite_on_it_that_works_is_not() {
    for works in [false, true] {
        let faults =
            "status=302 only-rsid=examplersid; status=302 only-rsid=second; status=302 only-rsid=third";
        let sandbox = sandbox(if works { &faults[..faults.rfind(';').expect("three")] } else { faults });
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(plays(300));
        for name in ["second", "third"] {
            house.map(name, &report_suite(name, &sandbox.url()));
            house.store((0..300_i64).map(|number| {
                event(json!({"requestor_id": name, "occurred_at": FIRST_SECOND + number, "mvpd_user_id": number.to_string()}))
            }));
        }
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead), (if works { 300 } else { 0 }, 0));
        let rsids: Vec<bool> = summary.troubles.iter().map(|trouble| trouble.rsid.is_some()).collect();
        if works {
            assert_eq!((summary.stopped, rsids), (Some(StopReason::Suite), vec![true, true]));
        } else {
            assert_eq!((summary.stopped, rsids), (Some(StopReason::Host), vec![false]));
        }
        house.assert_balanced();
    }
}

#[test]
fn a_refusal_that_begins_in_the_middle_of_a_run_stops_the_suite_too() {
    let sandbox = sandbox("failure=\"NO timestamp\" after=1000");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(5_000, 700, |_| false));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.pending), (1_000, 0, 4_000));
    assert!(sandbox.summary().requests <= 1_000 + FEW_REQUESTS);
    assert!(house.buffer.undecided(Undecided::Dead, Selection::All, 1).expect("dead letters").is_empty());
}

#[test]
fn a_pace_that_was_waited_for_is_not_spent_on_another_suites_event() {
    let sandbox = sandbox("status=503 only-rsid=slow first=1");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.hits_per_second = std::num::NonZeroU32::new(5));
    let mut slow = report_suite("slow", &sandbox.url());
    slow.hits_per_second = std::num::NonZeroU32::new(2);
    house.map("SLOW", &slow);
    house.store((0..12_i64).flat_map(|number| {
        [
            event(json!({"occurred_at": FIRST_SECOND + number, "mvpd_user_id": number.to_string()})),
            event(json!({"requestor_id": "SLOW", "occurred_at": FIRST_SECOND + number, "mvpd_user_id": number.to_string()})),
        ]
    }));
    let began = std::time::Instant::now();
    let summary = house.drain_with(|options| options.lanes = 1).expect("a drain");
    assert_eq!(summary.delivered, 24);
    // Thirteen requests at two a second, of which the first goes at once.
    assert!(began.elapsed() > std::time::Duration::from_millis(5_900), "{:?}", began.elapsed());
}

#[test]
fn a_refusal_that_begins_in_the_middle_kills_nothing_however_late_successes_come_back() {
    for (good, lanes, kind) in
        [(300, 8, "failure=\"NO timestamp\""), (40, 32, "status=403"), (300, 1, "bare-failure")]
    {
        // Some replies are late: successes among them arrive when others are refused already.
        let sandbox = sandbox(&format!("latency=60ms:20%; {kind} after={good}"));
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(600, 300, |_| false));
        let summary = house.drain_with(|options| options.lanes = lanes).expect("a drain");
        assert_eq!((summary.delivered, summary.dead, summary.pending), (good, 0, 600 - good), "{kind}");
        assert!(summary.left && summary.troubles[0].kind == TroubleKind::Refused, "{kind}");
        sandbox.set_faults("".parse().expect("no faults"));
        let mended = house.drain();
        assert_eq!((mended.delivered, mended.dead, mended.pending), (600 - good, 0, 0), "{kind}");
        house.assert_balanced();
    }
}

#[test]
fn a_refusal_that_begins_for_eight_suites_of_a_host_kills_nothing() {
    let sandbox = sandbox("latency=60ms:10%; failure=\"NO timestamp\" after=400");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(200, 100, |_| false));
    for number in 1..8 {
        let name = format!("suite{number}");
        house.map(&name, &report_suite(&name, &sandbox.url()));
        house.store((0..200_i64).map(|at| {
            event(json!({"requestor_id": name, "occurred_at": FIRST_SECOND + at, "mvpd_user_id": (at % 100).to_string(), "resource_id": at.to_string()}))
        }));
    }
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.pending), (400, 0, 1_200));
    assert_eq!((summary.stopped, summary.left), (Some(StopReason::Host), true));
    house.assert_balanced();
}

#[test]
fn the_last_bad_events_of_a_suite_that_delivers_are_its_own_once_something_after_them_succeeds() {
    let sandbox = sandbox(BAD);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(60, 60, |number| number >= 55));
    // One lane sends in the order of time, so that the bad ones are the last.
    let drain = || house.drain_with(|options| options.lanes = 1).expect("a drain");
    let first = drain();
    assert_eq!((first.delivered, first.dead, first.pending, first.stopped), (55, 0, 5, None));
    assert_eq!((first.left, first.troubles[0].stopped), (true, false), "{:?}", first.troubles);
    house.store(crowd(100, 100, |number| (55..60).contains(&number)));
    let second = drain();
    assert_eq!((second.delivered, second.dead, second.pending), (40, 5, 0));
    assert_eq!(second.troubles, []);
    house.assert_balanced();
}

#[test]
fn a_suite_that_holds_what_may_have_been_counted_leaves_the_rest_in_every_run_that_it_is_stopped_in() {
    let sandbox = sandbox("status=302");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.on_ambiguous = OnAmbiguous::Hold);
    house.store(crowd(500, 200, |_| false));
    for run in 0..3 {
        let summary = house.drain();
        assert!(summary.left && summary.held > 0 && summary.pending > 0, "{run}: {summary:?}");
    }
}
