//! Each visitor's hits arrive in chronological order, whatever goes wrong on the way.

use passbridge::drain::{Stop, StopReason};
use serde_json::json;

use crate::support::{FIRST_SECOND, House, PATIENCE, counted, event, plays, sandbox, sandbox_with};

/// 5,000 visitors with 20 events each, many within one second, numbered in the order in which they happened.
fn crowd() -> Vec<passbridge::event::PassEvent> {
    let mut events = Vec::with_capacity(100_000);
    for number in 0..20_i64 {
        for visitor in 0..5_000_i64 {
            events.push(event(json!({
                // Seven events of a visitor share each second.
                "occurred_at": FIRST_SECOND + number / 7,
                "mvpd_user_id": format!("visitor{visitor}"),
                "resource_id": number.to_string(),
            })));
        }
    }
    events
}

#[test]
fn dia_33_and_34_hits_of_one_visitor_arrive_in_order_across_lanes_though_every_fifth_fails() {
    // A failure without a reason is rare enough that no event meets three of them, which would make it dead.
    let faults = "status=503:10.4%; reset-before:4%; reset-after:4%; 429:0.5%; bare-failure:0.1%; malformed:1%; seed=11";
    let sandbox = sandbox_with(faults, |options| {
        options.orders_by_evar6 = true;
        options.keeps_digests_only = true;
    });
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(crowd());
    let mut undelivered = 100_000;
    for _ in 0..5 {
        let summary = house.drain_with(|options| options.lanes = 64).expect("a drain");
        assert_eq!(summary.dead, 0);
        undelivered -= summary.delivered;
        if undelivered == 0 {
            break;
        }
    }
    assert_eq!(undelivered, 0);
    assert_eq!(sandbox.summary().inversions, 0);
    assert_eq!(counted(&sandbox), 100_000);
    house.assert_balanced();
}

#[test]
fn a_visitor_keeps_its_order_over_two_requestors_of_one_suite() {
    let sandbox = sandbox_with("status=503:20%", |options| options.orders_by_evar6 = true);
    let house = House::new();
    let suite = house.suite(&sandbox.url());
    house.map("OTHER", &suite);
    house.store((0..200_i64).rev().map(|number| {
        event(json!({
            "requestor_id": if number % 2 == 0 { "REF30" } else { "OTHER" },
            "occurred_at": FIRST_SECOND + number,
            "mvpd_user_id": "one",
            "resource_id": number.to_string(),
        }))
    }));
    assert_eq!(house.drain().delivered, 200);
    assert_eq!(sandbox.summary().inversions, 0);
}

#[test]
fn dia_35_a_visitor_in_backoff_does_not_hold_up_the_others_of_its_lane() {
    let sandbox = sandbox("status=503 only-evar6=0");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(50));
    let stop = Stop::default();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let have_arrived = sandbox.wait_accepted(49, PATIENCE);
            stop.request(StopReason::Signal);
            assert!(have_arrived, "the failing visitor was waited for");
        });
        // A backoff so long that nothing is waited for but the others.
        house.drain_until(stop.clone(), |options| {
            options.lanes = 1;
            (options.retry.backoff_base, options.retry.backoff_max) = (10 * PATIENCE, 10 * PATIENCE);
        })
    });
    let summary = summary.expect("a drain");
    assert_eq!((summary.delivered, summary.pending), (49, 1));
}

#[test]
fn a_visitor_whose_event_stays_pending_gets_nothing_more_in_that_run() {
    let sandbox = sandbox("status=503 only-evar6=1");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store((0..5_i64).map(|number| {
        event(json!({"occurred_at": FIRST_SECOND + number, "mvpd_user_id": "one", "resource_id": number.to_string()}))
    }));
    let summary = house.drain_with(|options| options.retry.max_attempts = 3).expect("a drain");
    assert_eq!((summary.delivered, summary.pending, summary.left), (1, 4, true));
    assert_eq!(sandbox.accepted_count(), 1);
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 4);
    assert_eq!(sandbox.summary().inversions, 0);
}

#[test]
fn an_event_older_than_what_its_visitor_was_sent_goes_out_unshifted_in_the_next_run() {
    let sandbox = sandbox("");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store([event(json!({"occurred_at": FIRST_SECOND + 100, "mvpd_user_id": "one"}))]);
    assert_eq!(house.drain().delivered, 1);
    house.store([
        event(json!({"occurred_at": FIRST_SECOND + 50, "mvpd_user_id": "one"})),
        event(json!({"occurred_at": FIRST_SECOND + 50, "mvpd_user_id": "two"})),
        event(json!({"occurred_at": FIRST_SECOND + 150, "mvpd_user_id": "one"})),
    ]);
    let summary = house.drain();
    assert_eq!((summary.delivered, summary.pending), (3, 0));
    let timestamps: Vec<i64> = sandbox.hits().iter().filter_map(|hit| hit.timestamp).collect();
    assert!(timestamps.contains(&(FIRST_SECOND + 50)), "{timestamps:?}");
}

#[test]
fn a_busy_visitor_outlives_more_failures_than_there_is_room_aside() {
    let sandbox = sandbox_with("status=503:5%; seed=9", |options| options.orders_by_evar6 = true);
    let house = House::new();
    house.suite(&sandbox.url());
    house.store((0..400_i64).map(|number| {
        event(json!({"occurred_at": FIRST_SECOND + number, "mvpd_user_id": "busy", "resource_id": number.to_string()}))
    }));
    // 16,384 events aside over 512 lanes are 32 a lane.
    let summary = house.drain_with(|options| options.lanes = 512).expect("a drain");
    assert_eq!((summary.delivered, sandbox.summary().inversions), (400, 0));
}
