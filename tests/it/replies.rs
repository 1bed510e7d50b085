//! What each kind of reply, or the lack of one, does to an event, its visitor, its suite and its host.

use std::time::{Duration, Instant};

use passbridge::buffer::{Change, Claims, EventRef, Flow, JobKey, Merge, Requeue, Selection, Undecided, Why};
use passbridge::collection::{Collection, CollectionOptions};
use passbridge::delivery::{DeadReason, Doubt};
use passbridge::drain::{DrainOptions, Stop, StopReason};
use passbridge::sandbox::Handle;
use passbridge::suite::{EventIds, OnAmbiguous};
use serde_json::json;

use crate::support::{FIRST_SECOND, House, PATIENCE, counted, event, options, plays, report_suite, sandbox};

#[test]
fn faults_that_leave_no_doubt_are_repeated_without_a_double() {
    let sandbox = sandbox("status=503:10%; 429:5%; 408:5%; status=500:5%; reset-before:0%; seed=3");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
    house.store(plays(500));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.in_doubt), (500, 0, 0));
    assert!(summary.retries > 0);
    assert_eq!(sandbox.accepted_count(), 500);
    house.assert_balanced();
}

#[test]
fn doubtful_attempts_are_repeated_and_counted_once_by_their_serial() {
    let faults =
        "reset-after:5%; reset-before:5%; malformed:3%; empty:2%; timeout-after:1%; status=502:2%; seed=5";
    let sandbox = sandbox(faults);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(400));
    let summary = house.drain_hastily(|options| options.lanes = 32);
    assert_eq!((summary.delivered, summary.dead), (400, 0));
    assert!(sandbox.accepted_count() > 400, "no repeat was provoked");
    assert_eq!(counted(&sandbox), 400);
    assert_eq!(house.buffer.status().expect("a status").over_count.worst_case_units, 0);
    house.assert_balanced();
}

#[test]
fn without_event_ids_the_worst_case_over_count_is_known_to_the_unit() {
    let sandbox = sandbox("reset-after only-evar6=3 first=2; reset-before only-evar6=4 first=1");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
    let mut events = plays(10);
    events[3] = event(json!({
        "occurred_at": FIRST_SECOND + 3, "mvpd_user_id": "user3", "resource_id": "3", "count": 7,
    }));
    house.store(events);
    assert_eq!(house.drain().delivered, 10);
    let over_count = house.buffer.status().expect("a status").over_count;
    assert_eq!((over_count.events, over_count.worst_case_units), (2, 2 * 7 + 1));
    assert_eq!(counted(&sandbox), 9 + 7 + 2 * 7);
    let doubted = house.buffer.doubted().expect("the doubted events");
    assert_eq!(doubted.iter().map(|event| event.attempts).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn under_hold_a_doubtful_event_is_never_repeated_and_is_listed() {
    let sandbox = sandbox("reset-after only-evar6=3");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.on_ambiguous = OnAmbiguous::Hold);
    house.store(plays(10));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.held, summary.left), (9, 1, false));
    assert_eq!(sandbox.accepted_count(), 10);
    let held = house.buffer.undecided(Undecided::Held, &Selection::All, 10).expect("held events");
    assert_eq!(held.len(), 1);
    assert_eq!(house.drain().read, 0);
    house.assert_balanced();
}

#[test]
fn one_event_that_a_firewall_refuses_among_good_ones_is_dead_alone() {
    let sandbox = sandbox("status=403 only-evar6=0");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(20));
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.dead, summary.left), (19, 1, false));
    let dead = house.buffer.undecided(Undecided::Dead, &Selection::All, 10).expect("dead letters");
    assert!(matches!(&dead[0].why, Why::Dead { reason: DeadReason::Refused(403), .. }), "{dead:?}");
    house.assert_balanced();
}

#[test]
fn a_suite_that_refuses_every_visitor_is_stopped_and_nothing_is_dead() {
    // Every visitor is tried, because the reply may be about the event.
    for fault in ["status=403", "status=404", "failure=\"NO account\""] {
        let sandbox = sandbox(&format!("{fault} only-rsid=examplersid"));
        let house = House::new();
        house.suite(&sandbox.url());
        let mut other = report_suite("otherrsid", &sandbox.url());
        other.form.event_ids = EventIds::On;
        house.map("OTHER", &other);
        house.store(plays(50));
        house.store([event(json!({"requestor_id": "OTHER"}))]);
        let summary = house.drain();
        assert_eq!((summary.delivered, summary.dead, summary.pending), (1, 0, 50), "{fault}");
        assert_eq!((summary.stopped, summary.left), (Some(StopReason::Suite), true), "{fault}");
        assert!(sandbox.summary().requests <= 51, "{fault}: the suite was not left alone");
        house.assert_balanced();
    }
}

#[test]
fn an_adobe_reason_is_dead_in_adobes_words_and_a_bare_failure_after_three_tries() {
    let sandbox = sandbox("failure=\"Syntax Error\" only-evar6=1; bare-failure only-evar6=2");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(5));
    // One lane sends in the order of time, so that others are sent after the bad ones were refused.
    let summary = house.drain_with(|options| options.lanes = 1).expect("a drain");
    assert_eq!((summary.delivered, summary.dead), (3, 2));
    assert_eq!(sandbox.summary().requests, 3 + 1 + 3);
    let reasons = house.buffer.status().expect("a status").dead_by_reason;
    let mut codes: Vec<String> = reasons.iter().map(|reason| reason.reason.code()).collect();
    codes.sort();
    assert_eq!(codes, ["adobe:Syntax Error", "general_failure"]);
}

#[test]
fn an_outage_longer_than_every_limit_leaves_everything_pending() {
    let sandbox = sandbox("refuse");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(200));
    let summary = house.drain_hastily(|options| options.retry.max_attempts = 2);
    assert_eq!((summary.delivered, summary.dead, summary.held, summary.in_doubt), (0, 0, 0, 0));
    assert_eq!((summary.pending, summary.stopped, summary.left), (200, Some(StopReason::Host), true));
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 200);
    house.assert_balanced();
}

#[test]
fn a_host_that_is_down_stalls_nobody_else() {
    let (down, up) = (sandbox("refuse"), sandbox(""));
    let house = House::new();
    house.suite(&up.url());
    house.map("DOWN", &report_suite("downrsid", &down.url()));
    // More than the lanes of a host take in.
    house.store((0..3_000_i64).map(|number| {
        event(json!({"requestor_id": "DOWN", "occurred_at": FIRST_SECOND - 1, "resource_id": number.to_string()}))
    }));
    house.store(plays(500));
    let stop = Stop::default();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The run does not give up the other host before this wait ends.
            let have_arrived = up.wait_accepted(500, PATIENCE / 2);
            stop.request(StopReason::Signal);
            assert!(have_arrived, "the healthy host waited for the other");
        });
        house.drain_until(stop.clone(), |_| {}).expect("a drain")
    });
    assert_eq!((summary.delivered, summary.pending, summary.stopped), (500, 3_000, Some(StopReason::Signal)));
}

#[test]
fn a_host_that_comes_back_within_the_run_costs_no_event() {
    let sandbox = sandbox("refuse");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(300));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            sandbox.set_faults("".parse().expect("no faults"));
        });
        house.drain_with(|options| options.retry.max_attempts = 3).expect("a drain")
    });
    assert_eq!((summary.delivered, summary.pending, summary.stopped), (300, 0, None));
}

#[test]
fn a_stop_takes_nothing_new_and_records_what_is_in_flight() {
    let sandbox = sandbox("latency=500ms");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(1_000));
    let stop = Stop::default();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(20, PATIENCE));
            stop.request(StopReason::Signal);
        });
        house.drain_until(stop.clone(), |_| {}).expect("a drain")
    });
    assert_eq!((summary.stopped, summary.left), (Some(StopReason::Signal), true));
    assert!(summary.delivered < 200);
    assert_eq!((sandbox.accepted_count(), summary.in_doubt), (summary.delivered, 0));
    assert_eq!(house.buffer.status().expect("a status").in_doubt, 0);
    house.assert_balanced();
}

#[test]
fn what_the_grace_period_cuts_off_is_in_doubt() {
    let sandbox = sandbox("timeout-after only-evar6=0");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(4));
    let stop = Stop::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + PATIENCE;
            while house.buffer.status().expect("a status").delivered < 3 || sandbox.accepted_count() < 4 {
                assert!(Instant::now() < end, "three are answered");
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.request(StopReason::Signal);
        });
        house
            .drain_until(stop.clone(), |options| options.stop_grace = Duration::from_millis(20))
            .expect("a drain");
    });
    assert_eq!(house.buffer.status().expect("a status").in_doubt, 1);
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 1);
    assert_eq!(counted(&sandbox), 4);
}

#[test]
fn a_lane_has_a_few_claims_ahead_and_under_hold_or_a_pace_only_that_of_the_hit_that_goes() {
    for (policy, rate, claims) in [
        (OnAmbiguous::Retry, None, 3..=16),
        (OnAmbiguous::Hold, None, 2..=2),
        (OnAmbiguous::Retry, std::num::NonZeroU32::new(1_000), 2..=2),
    ] {
        let (sandbox, house, stop) = (sandbox("timeout-after"), House::new(), Stop::default());
        house
            .suite_with(&sandbox.url(), |suite| (suite.on_ambiguous, suite.hits_per_second) = (policy, rate));
        house.store(plays(60));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(sandbox.wait_accepted(2, PATIENCE));
                // Both lanes wait for a reply by now, and claim nothing more.
                std::thread::sleep(Duration::from_millis(300));
                let claimed = house.buffer.doubted().expect("the claims").len();
                stop.request(StopReason::Signal);
                assert!(claims.contains(&claimed), "{policy:?} {rate:?}: {claimed}");
            });
            let grace = Duration::from_millis(20);
            let options = |options: &mut DrainOptions| (options.lanes, options.stop_grace) = (2, grace);
            house.drain_until(stop.clone(), options).expect("a drain");
        });
    }
}

#[test]
fn a_claim_that_ends_is_none_any_more_while_the_others_of_its_wave_go_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (retry, hold) = (OnAmbiguous::Retry, OnAmbiguous::Hold);
    for (what, policy, attempts) in
        [("released", retry, 0), ("dead", retry, 0), ("doubted", retry, 1), ("held", hold, 1)]
    {
        let house = House::new();
        house.suite("http://127.0.0.1:1");
        house.store(plays(3));
        let run = house.buffer.begin_run(JobKey::LIVE).expect("a run");
        let route = house.buffer.routes().expect("routes").remove(0);
        let mut backlog = house.buffer.backlog(JobKey::LIVE).expect("a backlog");
        let mut merge = Merge::new(route.requestors);
        let next = || merge.next(&mut backlog, run.cover, |_| Flow::Flows).expect("an event");
        let events: Vec<_> = std::iter::from_fn(next).map(|(_, event)| event.reference).collect();
        let record = |claims, changes| {
            runtime.block_on(house.buffer.record(run.run, claims, changes)).expect("they are recorded")
        };
        let (form, at, event) = (route.form, house.buffer.now(), events[0]);
        let begin = |event: &EventRef| Change::Claim { sequence: event.sequence, form };
        let claims = record(Claims::default(), events.iter().map(begin).collect());
        assert_eq!(house.buffer.claims_left(run.run).expect("a count"), 3, "{what}");
        let end = match what {
            "released" => Change::Release { sequence: event.sequence },
            "dead" => Change::Dead { event, form, reason: DeadReason::Adobe("bad".to_owned()), at },
            _ => Change::Doubt { event, form, doubt: Doubt::TimedOut, policy, at },
        };
        drop(record(claims, vec![end]));
        // A person may send it again while the run goes on, which is killed then.
        for state in [Undecided::Dead, Undecided::Held] {
            house.buffer.requeue(state, &Selection::All, Requeue::EvenIfDoubled).expect("a requeue");
        }
        assert_eq!(house.buffer.begin_run(JobKey::LIVE).expect("the next run").recovered, 2, "{what}");
        let doubted = house.buffer.doubted().expect("the doubts");
        let first = doubted.iter().find(|one| one.seq == event.sequence);
        assert_eq!(first.map_or(0, |one| one.attempts), attempts, "{what}");
    }
}

#[test]
fn a_limit_and_a_deadline_end_the_run_with_the_rest_pending() {
    let sandbox = sandbox("latency=5ms");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(2_000));
    let limited = house.drain_with(|options| options.limit = Some(100)).expect("a drain");
    assert_eq!((limited.read, limited.stopped, limited.left), (100, Some(StopReason::Limit), true));
    assert_eq!(limited.delivered + limited.pending, 2_000);
    let timed =
        house.drain_with(|options| options.deadline = Some(Duration::from_millis(100))).expect("a drain");
    assert_eq!((timed.stopped, timed.left), (Some(StopReason::Deadline), true));
    assert_eq!(house.drain().pending, 0);
}

#[test]
fn a_limit_that_takes_the_last_event_is_no_early_end() {
    let sandbox = sandbox("");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(10));
    let summary = house.drain_with(|options| options.limit = Some(10)).expect("a drain");
    assert_eq!((summary.delivered, summary.stopped, summary.left), (10, None, false));
}

#[test]
fn hits_per_second_hold_over_all_lanes() {
    let sandbox = sandbox("");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.hits_per_second = std::num::NonZeroU32::new(100));
    house.store(plays(100));
    let began = Instant::now();
    assert_eq!(house.drain().delivered, 100);
    assert!(began.elapsed() > Duration::from_millis(850), "{:?}", began.elapsed());
}

/// The pace of a suite in the tests of what a window of it holds: so slow that a busy machine's delays hardly count.
const HITS_A_SECOND: u32 = 4;
const WINDOW_SECONDS: u32 = 5;

/// Asserts that no window of [`WINDOW_SECONDS`] held more hits than [`HITS_A_SECOND`] allows, and five that came late;
/// returns how many seconds all of them took.
fn assert_paced(sandbox: &Handle, what: &str) -> f64 {
    let mut at: Vec<i64> = sandbox.hits().iter().map(|hit| hit.received_at.nanos()).collect();
    at.sort_unstable();
    let window = i64::from(WINDOW_SECONDS) * 1_000_000_000;
    let within = |first: &i64| at.iter().filter(|at| (0..window).contains(&(**at - first))).count();
    let busiest = at.iter().map(within).max().expect("hits");
    assert!(busiest <= (HITS_A_SECOND * WINDOW_SECONDS + 5) as usize, "{what}: {busiest} hits in a window");
    (at[at.len() - 1] - at[0]) as f64 / 1e9
}

/// A drain of so many events at [`HITS_A_SECOND`], with many lanes.
fn drain_at_a_pace(house: &House, sandbox: &Handle, count: i64) {
    house.suite_with(&sandbox.url(), |suite| {
        suite.hits_per_second = std::num::NonZeroU32::new(HITS_A_SECOND);
    });
    house.store(plays(count));
    // The rest that a host asks for is obeyed to the second.
    let mut options = options(&house.clock);
    options.lanes = 32;
    let out = Collection::new(CollectionOptions::new(PATIENCE)).expect("a collection");
    let summary = house.drain_through(&out, &options, Stop::default()).expect("a drain");
    assert_eq!(summary.delivered, count as u64);
}

#[test]
fn no_window_holds_more_hits_of_a_suite_than_its_rate_whatever_interrupted_them() {
    // A rest that the host asks for, a host that is down for a while, a lost connection, replies slower than the pace.
    let faults = [
        "429 after=10 first=1 retry-after=6",
        "status=503 after=10 first=12",
        "close after=10 first=1",
        "latency=3s",
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                let (sandbox, house) = (sandbox(fault), House::new());
                drain_at_a_pace(&house, &sandbox, 50);
                let seconds = assert_paced(&sandbox, fault);
                // 49 distances, and the rest: only hits whose turn comes within a tenth of a second go in spite of it.
                let least = if fault.starts_with("429") { 12.0 + 6.0 } else { 12.0 };
                assert!(seconds > least - 1.5, "{fault}: {seconds} seconds");
            });
        }
    });
}

#[test]
fn a_slow_disk_saves_up_no_turns() {
    let (sandbox, house) = (sandbox(""), House::new());
    let other = rusqlite::Connection::open(house.buffer.path()).expect("the database");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(5, PATIENCE));
            let other = other;
            other.busy_timeout(PATIENCE).expect("a timeout");
            other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
            std::thread::sleep(Duration::from_secs(4));
            other.execute_batch("COMMIT").expect("the end");
        });
        drain_at_a_pace(&house, &sandbox, 50);
    });
    assert_paced(&sandbox, "a slow disk");
}

#[test]
fn a_pace_ends_no_drain_before_its_backlog_ends() {
    for (of_suite, of_host) in [(Some(200), None), (None, Some(200))] {
        let (sandbox, house) = (sandbox(""), House::new());
        house.suite_with(&sandbox.url(), |suite| {
            suite.hits_per_second = of_suite.and_then(std::num::NonZeroU32::new);
        });
        house.store(plays(600));
        let mut options = options(&house.clock);
        options.lanes = 4;
        let mut collection = CollectionOptions::new(Duration::from_secs(10));
        collection.rate_per_host = of_host.and_then(std::num::NonZeroU32::new);
        let out = Collection::new(collection).expect("a collection");
        let summary = house.drain_through(&out, &options, Stop::default()).expect("a drain");
        assert_eq!((summary.delivered, summary.pending), (600, 0), "{of_suite:?} {of_host:?}");
    }
}

#[test]
fn a_suite_with_a_slow_pace_holds_up_no_other_suite_of_its_host() {
    for lanes in [1, 8] {
        let (sandbox, house) = (sandbox(""), House::new());
        house.suite(&sandbox.url());
        let mut slow = report_suite("slow", &sandbox.url());
        slow.hits_per_second = std::num::NonZeroU32::new(1);
        house.map("SLOW", &slow);
        house.store((0..600_i64).map(|number| {
            let requestor = if number % 10 < 5 { "SLOW" } else { "REF30" };
            let visitor = if requestor == "SLOW" { number % 7 } else { number };
            event(json!({
                "occurred_at": FIRST_SECOND + number, "requestor_id": requestor,
                "mvpd_user_id": visitor.to_string(), "resource_id": number.to_string(),
            }))
        }));
        let stop = Stop::default();
        let summary = std::thread::scope(|scope| {
            scope.spawn(|| {
                let end = Instant::now() + PATIENCE;
                while counted(&sandbox) < 300 && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(10));
                }
                stop.request(StopReason::Signal);
            });
            house.drain_until(stop.clone(), |options| options.lanes = lanes).expect("a drain")
        });
        assert_eq!((counted(&sandbox), sandbox.summary().inversions), (300, 0), "{lanes}");
        // Behind the pace of the other suite the last of them would have gone after five minutes.
        assert!(summary.delivered < 300 + 100, "{lanes}: {summary:?}");
        assert_eq!(summary.delivered + summary.pending, 600);
        house.assert_balanced();
    }
}

#[test]
fn a_requeued_dead_letter_goes_out_in_the_next_run() {
    let sandbox = sandbox("failure=\"Syntax Error\" only-evar6=1");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(3));
    assert_eq!(house.drain_with(|options| options.lanes = 1).expect("a drain").dead, 1);
    sandbox.set_faults("".parse().expect("no faults"));
    let requeued =
        house.buffer.requeue(Undecided::Dead, &Selection::All, Requeue::OnlyExact).expect("a requeue");
    assert_eq!((requeued.requeued, requeued.may_double), (1, 0));
    assert_eq!(house.drain().delivered, 1);
    assert_eq!(counted(&sandbox), 3);
    house.assert_balanced();
}

#[test]
fn an_event_counted_by_single_hits_resumes_within_a_run_and_is_delivered_with_its_last() {
    let sandbox = sandbox("status=503 after=3 first=1");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store([event(json!({"mvpd_user_id": "one", "count": 5}))]);
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.hits), (1, 5));
    assert_eq!(counted(&sandbox), 5);
    house.store([event(json!({"mvpd_user_id": "one", "count": 101}))]);
    let summary = house.drain();
    assert_eq!((summary.dead, summary.hits), (1, 0));
    let dead = house.buffer.undecided(Undecided::Dead, &Selection::All, 10).expect("dead letters");
    assert!(matches!(&dead[0].why, Why::Dead { reason: DeadReason::CountTooLarge(101), .. }), "{dead:?}");
}

#[test]
fn an_event_of_which_some_hits_were_counted_goes_on_at_its_next_hit_in_the_same_form() {
    for fault in ["status=503 after=2", "failure=\"Syntax Error\" after=2"] {
        let sandbox = sandbox(fault);
        let house = House::new();
        let mut suite = house.suite(&sandbox.url());
        house.store([event(json!({"mvpd_user_id": "one", "count": 5}))]);
        let summary = house.drain_with(|options| options.retry.max_attempts = 2).expect("a drain");
        assert_eq!((summary.hits, summary.delivered), (2, 0), "{fault}");
        suite.form.event_ids = EventIds::Off;
        house.buffer.set_suite(suite).expect("the settings change");
        sandbox.set_faults("".parse().expect("no faults"));
        house.buffer.requeue(Undecided::Dead, &Selection::All, Requeue::OnlyExact).expect("a requeue");
        assert_eq!(house.drain().hits, 3, "{fault}");
        assert_eq!(counted(&sandbox), 5, "{fault}");
    }
}

#[test]
fn single_hits_keep_the_pace_and_obey_a_stop() {
    let sandbox = sandbox("");
    let house = House::new();
    let mut suite =
        house.suite_with(&sandbox.url(), |suite| suite.hits_per_second = std::num::NonZeroU32::new(20));
    house.store([event(json!({"mvpd_user_id": "one", "count": 100}))]);
    let stop = Stop::default();
    let began = Instant::now();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(10, PATIENCE));
            stop.request(StopReason::Signal);
        });
        house.drain_until(stop.clone(), |_| {}).expect("a drain")
    });
    assert!(began.elapsed() > Duration::from_millis(350), "{:?}", began.elapsed());
    assert!(summary.hits < 60, "{}", summary.hits);
    assert_eq!((summary.delivered, summary.in_doubt, summary.left), (0, 0, true));
    suite.hits_per_second = None;
    house.buffer.set_suite(suite).expect("the pace ends");
    let rest = house.drain();
    assert_eq!(
        (rest.delivered, summary.hits + rest.hits),
        (1, 100),
        "nothing that is known to be counted goes again"
    );
    assert_eq!(counted(&sandbox), 100);
}

#[test]
fn a_host_that_asks_for_rest_gets_it_from_every_lane() {
    let sandbox = sandbox("429 first=1 retry-after=1");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(200));
    let began = Instant::now();
    let summary =
        house.drain_with(|options| options.retry.backoff_max = Duration::from_secs(5)).expect("a drain");
    assert_eq!(summary.delivered, 200);
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
}

#[test]
fn a_stop_leaves_in_doubt_only_what_was_written() {
    let sandbox = sandbox("timeout-after");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(4));
    let stop = Stop::default();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(1, PATIENCE));
            stop.request(StopReason::Signal);
        });
        house
            .drain_until(stop.clone(), |options| {
                (options.lanes, options.stop_grace) = (1, Duration::from_millis(50))
            })
            .expect("a drain")
    });
    assert_eq!((summary.in_doubt, summary.left), (1, true));
    assert_eq!(house.buffer.status().expect("a status").in_doubt, 1);
}
