//! Whose fault a refusal is: an event's own where another hit of its suite succeeds, else the suite's, and then nothing is lost.

use std::time::Duration;

use passbridge::buffer::{Selection, Undecided, Why};
use passbridge::collection::{Collection, CollectionOptions};
use passbridge::delivery::{DeadReason, TroubleKind};
use passbridge::drain::{DrainOptions, RunSummary, Stop, StopReason};
use passbridge::event::PassEvent;
use passbridge::suite::{EventIds, OnAmbiguous};
use serde_json::json;

use crate::support::{
    FIRST_SECOND, House, counted, event, options, plays, report_suite, sandbox, sandbox_with,
};

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
    // Of visitors of their own, of visitors that also have good events, of a few, of one. Of a few, each run asks more.
    for (visitors, runs_max) in [(10_500, 1), (200, 1), (2, 5), (1, 5)] {
        let sandbox = sandbox_with(BAD, |options| options.orders_by_evar6 = true);
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(10_500, visitors, |number| number < 500));
        let mut summary = house.drain();
        for _ in 1..runs_max {
            if summary.stopped == Some(StopReason::Suite) {
                assert_stopped(&summary, 10_500, "a run that asked too few");
                summary = house.drain();
            }
        }
        assert_eq!((summary.delivered, summary.dead, summary.pending), (10_000, 500, 0), "{visitors}");
        assert_eq!((summary.stopped, summary.left), (None, false), "{visitors}");
        assert_eq!((counted(&sandbox), sandbox.summary().inversions), (10_000, 0), "{visitors}");
        house.assert_balanced();
    }
}

#[test]
fn as_many_bad_events_before_the_good_ones_starve_nobody_wherever_they_wait() {
    // Up to about 1,400 events lie in the lanes when the first refusals come back; the rest is in the buffer.
    for (bad, good) in [(700, 700), (1_000, 1_000), (2_500, 7_500)] {
        let sandbox = sandbox_with(BAD, |options| options.orders_by_evar6 = true);
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(bad + good, bad + good, |number| number < bad));
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead, summary.pending), (good as u64, bad as u64, 0), "{bad}");
        assert_eq!((summary.stopped, summary.left), (None, false), "{bad}");
        assert_eq!((counted(&sandbox), sandbox.summary().inversions), (good as u64, 0), "{bad}");
        house.assert_balanced();
    }
}

#[test]
fn a_suite_that_takes_only_every_fiftieth_event_is_decided_within_some_runs() {
    let sandbox = sandbox_with(BAD, |options| options.orders_by_evar6 = true);
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
    assert_eq!((last.pending, counted(&sandbox), sandbox.summary().inversions), (0, 80 + 200, 0), "{last:?}");
    house.assert_balanced();
}

#[test]
fn every_hundredth_bad_event_is_dead_alone() {
    let sandbox = sandbox_with(BAD, |options| options.orders_by_evar6 = true);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(10_000, 500, |number| number % 100 == 7));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.pending), (9_900, 100, 0));
    assert_eq!((counted(&sandbox), sandbox.summary().inversions), (9_900, 0));
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
        assert!(requests <= FEW_REQUESTS, "{visitors}: {requests}");
        // The next run begins with a trial; and everything goes once the suite takes it.
        let again = house.drain();
        assert_stopped(&again, 5_000, "second run");
        assert!(again.troubles[0].since < again.started_at);
        sandbox.set_faults("".parse().expect("no faults"));
        let mended = house.drain();
        assert_eq!((mended.delivered, mended.dead, mended.pending), (5_000, 0, 0));
        assert_eq!((mended.troubles.len(), sandbox.summary().inversions), (0, 0));
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
fn a_refusal_without_a_later_success_condemns_no_event_in_whatever_words_and_however_many_nights_it_takes() {
    for fault in ["failure=\"NO timestamp\"", "status=400", "bare-failure", "status=302"] {
        let sandbox = sandbox(fault);
        let house = House::new();
        house.suite(&sandbox.url());
        for (number, event) in plays(5).into_iter().enumerate() {
            house.store([event]);
            let summary = house.drain();
            assert_eq!(
                (summary.dead, summary.pending, summary.left),
                (0, number as u64 + 1, true),
                "{fault}"
            );
            assert_eq!(summary.troubles[0].stopped, number >= 1, "{fault} {number}");
        }
        sandbox.set_faults("".parse().expect("no faults"));
        let mended = house.drain();
        assert_eq!((mended.delivered, mended.pending), (5, 0), "{fault}");
        house.assert_balanced();
    }
}

#[test]
fn a_bad_event_that_is_alone_waits_until_another_event_of_its_suite_succeeds_and_is_dead_then() {
    for fault in
        ["failure=\"NO timestamp\"", "status=400", "bare-failure", "status=404", "failure=\"NO account\""]
    {
        let sandbox = sandbox(&format!("{fault} only-evar2=bad"));
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(1, 1, |_| true));
        for night in 1..=2 {
            let summary = house.drain();
            assert_eq!((summary.dead, summary.pending), (0, 1), "{fault}");
            assert!(!summary.troubles[0].stopped, "{fault} {night}");
        }
        house.store(crowd(2, 2, |_| false).split_off(1));
        // One lane, so that the good event goes after the refusal came back.
        let summary = house.drain_with(|options| options.lanes = 1).expect("a drain");
        assert_eq!((summary.delivered, summary.dead, summary.pending), (1, 1, 0), "{fault}");
        assert_eq!((summary.stopped, summary.troubles), (None, Vec::new()), "{fault}");
        house.assert_balanced();
    }
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
    assert_eq!((summary.dead, summary.pending, summary.stopped), (0, 2, None));
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
    assert!(house.buffer.undecided(Undecided::Dead, &Selection::All, 1).expect("dead letters").is_empty());
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
    assert_eq!((first.delivered, first.dead, first.pending), (55, 0, 5));
    assert_eq!((first.left, first.stopped), (true, Some(StopReason::Suite)), "{:?}", first.troubles);
    house.store(crowd(100, 100, |number| (55..60).contains(&number)));
    let second = drain();
    assert_eq!((second.delivered, second.dead, second.pending), (40, 5, 0));
    assert_eq!(second.troubles, []);
    // One or two are no evidence against the suite, and wait as well.
    house.store(crowd(103, 103, |number| number > 100).split_off(100));
    let third = drain();
    assert_eq!((third.delivered, third.dead, third.pending, third.stopped), (1, 0, 2, None));
    assert_eq!((third.left, third.troubles[0].stopped), (true, false), "{:?}", third.troubles);
    house.assert_balanced();
}

#[test]
fn a_suite_that_has_won_a_trial_is_stopped_by_three_refusals_at_the_end_too() {
    let (sandbox, house) = (sandbox(BAD), House::new());
    house.suite(&sandbox.url());
    // Every visitor has good events before the last bad ones, so that no trial sends these before their turn.
    house.store(crowd(60, 5, |number| (10..13).contains(&number) || number > 55));
    let summary = house.drain_with(|options| options.lanes = 1).expect("a drain");
    // The three of the trial are their own fault; of the last four nobody knows.
    assert_eq!((summary.delivered, summary.dead, summary.pending), (53, 3, 4));
    assert_eq!((summary.left, summary.stopped), (true, Some(StopReason::Suite)), "{:?}", summary.troubles);
    house.assert_balanced();
}

#[test]
fn a_refusal_of_everybody_that_begins_with_the_last_hits_in_flight_kills_nothing() {
    // Seven are refused while the last one, which was sent before their replies came, is taken. With so many lanes no
    // two of the visitors share one. The refusals wait as well, so that a busy machine has sent the last one before them.
    let sandbox = sandbox(
        "latency=3s only-evar6=19; latency=1s only-evar2=bad; failure=\"NO timestamp\" only-evar2=bad",
    );
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(20, 20, |number| (12..19).contains(&number)));
    let out = Collection::new(CollectionOptions::new(Duration::from_secs(10))).expect("a collection");
    let many = DrainOptions { lanes: 250, ..options(&house.clock) };
    let summary = house.drain_through(&out, &many, Stop::default()).expect("a drain");
    assert_eq!((summary.delivered, summary.dead, summary.pending), (13, 0, 7));
    assert_eq!((summary.stopped, summary.left), (Some(StopReason::Suite), true));
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 7);
    house.assert_balanced();
}

#[test]
fn a_limit_counts_an_event_once_though_it_was_chosen_for_a_trial_and_sent_in_its_turn() {
    let sandbox = sandbox(BAD);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(3_000, 3_000, |number| number < 100));
    let summary = house.drain_with(|options| options.limit = Some(2_880)).expect("a drain");
    assert_eq!((summary.dead, summary.stopped), (100, Some(StopReason::Limit)));
    assert!((2_875..=2_880).contains(&summary.delivered), "{summary:?}");
}

#[test]
fn bad_events_at_the_head_leave_a_limit_to_the_good_ones() {
    let (sandbox, house) = (sandbox(BAD), House::new());
    house.suite(&sandbox.url());
    house.store(crowd(1_000, 1_000, |number| number < 500));
    let summary = house.drain_with(|options| options.limit = Some(100)).expect("a drain");
    assert_eq!(summary.stopped, Some(StopReason::Limit), "{summary:?}");
    // A visitor that was chosen for the trial and not asked counts, although its turn has not come.
    assert!((50..=100).contains(&summary.delivered), "{summary:?}");
    house.assert_balanced();
}

#[test]
fn an_event_that_gets_a_page_or_a_redirect_while_others_succeed_is_dead_and_its_doubt_stays() {
    for fault in ["malformed", "status=302"] {
        let sandbox = sandbox(&format!("{fault} only-evar2=bad"));
        let house = House::new();
        house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
        house.store(crowd(40, 40, |number| number == 3));
        let change = |options: &mut DrainOptions| (options.lanes, options.retry.max_attempts) = (1, 4);
        let summary = house.drain_with(change).expect("a drain");
        assert_eq!((summary.delivered, summary.dead, summary.pending), (39, 1, 0), "{fault}");
        assert_eq!((summary.stopped, summary.retries), (None, 3), "{fault}");
        let over_count = house.buffer.status().expect("a status").over_count;
        assert_eq!((over_count.events, over_count.worst_case_units), (1, 3), "{fault}");
        let dead = house.buffer.undecided(Undecided::Dead, &Selection::All, 10).expect("dead letters");
        let Why::Dead { reason: DeadReason::Refused(200 | 302), .. } = &dead[0].why else {
            panic!("{fault}: {dead:?}")
        };
        house.assert_balanced();
    }
}

#[test]
fn bad_events_of_a_suite_whose_events_are_all_in_flight_at_once_are_dead_in_the_next_run() {
    // Each visitor has a lane of its own, and no good event is sent after the refusals come back.
    let sandbox = sandbox(&format!("latency=2s only-evar2=bad; {BAD}"));
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd(6, 6, |number| number < 2));
    let out = Collection::new(CollectionOptions::new(Duration::from_secs(10))).expect("a collection");
    let many = DrainOptions { lanes: 32, ..options(&house.clock) };
    let drain = || house.drain_through(&out, &many, Stop::default()).expect("a drain");
    let first = drain();
    assert_eq!((first.delivered, first.dead, first.pending), (4, 0, 2));
    assert_eq!(first.troubles[0].refused.len(), 2);
    house.store(crowd(12, 12, |_| false).split_off(6));
    let second = drain();
    assert_eq!((second.delivered, second.dead, second.pending), (6, 2, 0), "{:?}", second.troubles);
    assert_eq!((second.stopped, second.troubles), (None, Vec::new()));
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

#[test]
fn an_event_that_is_refused_alone_is_asked_for_once_a_run_in_whatever_words() {
    for fault in ["status=302", "malformed", "bare-failure", "failure=\"NO timestamp\""] {
        let sandbox = sandbox(fault);
        let house = House::new();
        house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
        house.store(plays(1));
        for run in 1..=2 {
            let summary = house.drain();
            assert_eq!((summary.pending, summary.retries), (1, 0), "{fault}");
            assert_eq!(sandbox.summary().requests, run, "{fault}");
        }
    }
}

#[test]
fn events_that_are_answered_with_404_or_no_account_stop_no_suite_that_takes_others() {
    for fault in ["status=404", "failure=\"NO account\""] {
        let sandbox = sandbox(&format!("{fault} only-evar2=bad"));
        let house = House::new();
        house.suite(&sandbox.url());
        house.store(crowd(2_000, 2_000, |number| number < 100));
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead, summary.pending), (1_900, 100, 0), "{fault}");
        assert_eq!(summary.stopped, None, "{fault}");
        house.assert_balanced();
    }
}
