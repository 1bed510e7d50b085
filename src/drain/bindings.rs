//! Chooses the lane of each event: the lane that has the visitor's other events, else a lane with few waiting hits.
//!
//! A visitor is bound to a lane while one of its events is there, so its hits keep their order. For an unbound visitor,
//! some lanes are compared, and the one with the fewest waiting hits gets the event, so that no lane idles for long.
//! Chance decides between equals: if every second event is bad, the good ones must not all be in the same lanes.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::hit::VisitorKey;

/// How many hits a lane may have waiting, on average: enough that no lane idles while the feed reads on.
const WAITING_A_LANE: usize = 16;
/// How many hits may wait in all lanes together, however many lanes there are. A visitor stays with its lane while it
/// has an event there. If nearly all visitors had events in lanes, no event could go to the lane with the least work.
const WAITING_MAX: usize = 8 << 10;
/// Hits of one lane count towards the limit only up to this many times the average. A lane can have more hits: while
/// its queue is long, its visitors' later events come to it. If all hits counted, a few lanes with long queues would
/// take the room of the other lanes, and these would idle.
const COUNTED_TIMES: usize = 2;
/// All waiting hits together, counted or not, may be at most this many times the limit. This bounds the memory.
const WAITING_TIMES_MAX: usize = 4;
/// How many lanes are compared for an event: enough to find one with little to do, and few enough for a thousand lanes.
const COMPARED: usize = 32;
/// How often the feed, while it waits for room in the lanes, checks whether they have ended.
const LANES_POLL: Duration = Duration::from_millis(20);

pub(super) struct Bindings {
    state: Mutex<State>,
    has_room: Condvar,
    waiting_max: usize,
}

struct State {
    visitors: HashMap<VisitorKey, Bound>,
    /// The hits that wait in each lane.
    waiting: Vec<usize>,
    waiting_in_all: usize,
    /// The sum of `waiting`, but of each lane at most `counted_a_lane`.
    counted: usize,
    counted_a_lane: usize,
    is_feed_waiting: bool,
}

impl State {
    fn set_waiting(&mut self, lane: usize, hits: usize) {
        let before = std::mem::replace(&mut self.waiting[lane], hits);
        self.waiting_in_all = self.waiting_in_all + hits - before;
        let of_lane = |hits: usize| hits.min(self.counted_a_lane);
        self.counted = self.counted + of_lane(hits) - of_lane(before);
    }

    fn is_within(&self, waiting: usize) -> bool {
        self.counted <= waiting && self.waiting_in_all <= waiting * WAITING_TIMES_MAX
    }
}

/// Returns how many hits a lane may have waiting, on average, where there are this many lanes.
pub(super) fn waiting_a_lane(lanes: usize) -> usize {
    (WAITING_MAX / lanes).clamp(1, WAITING_A_LANE)
}

struct Bound {
    lane: usize,
    events: u32,
}

impl Bindings {
    pub(super) fn new(lanes: usize) -> Bindings {
        let state = State {
            visitors: HashMap::new(),
            waiting: vec![0; lanes],
            waiting_in_all: 0,
            counted: 0,
            counted_a_lane: COUNTED_TIMES * waiting_a_lane(lanes),
            is_feed_waiting: false,
        };
        Bindings {
            state: Mutex::new(state),
            has_room: Condvar::new(),
            waiting_max: waiting_a_lane(lanes) * lanes,
        }
    }

    /// Returns the lane for an event with this many hits, and binds its visitor to the lane.
    pub(super) fn bind(&self, visitor: VisitorKey, hits: usize) -> usize {
        let state = &mut *self.state();
        let bound = state.visitors.entry(visitor).or_insert_with(|| {
            let (lanes, first) = (state.waiting.len(), fastrand::usize(..state.waiting.len()));
            let from_first = (first..first + lanes.min(COMPARED)).map(|lane| lane % lanes);
            Bound { lane: from_first.min_by_key(|lane| state.waiting[*lane]).unwrap_or(first), events: 0 }
        });
        bound.events += 1;
        let lane = bound.lane;
        state.set_waiting(lane, state.waiting[lane] + hits);
        lane
    }

    /// Records that an event ended in its lane. Once no event of its visitor is left there, the visitor's later events
    /// may go elsewhere. `hits` is 0 if the event was set aside before.
    pub(super) fn end(&self, visitor: VisitorKey, lane: usize, hits: usize) {
        let state = &mut *self.state();
        if let Some(bound) = state.visitors.get_mut(&visitor) {
            bound.events -= 1;
            if bound.events == 0 {
                state.visitors.remove(&visitor);
            }
        }
        self.leave(state, lane, hits);
    }

    /// Records that an event waits aside or in the ward, or was left pending: it holds up nothing in its lane.
    pub(super) fn set_aside(&self, lane: usize, hits: usize) {
        self.leave(&mut self.state(), lane, hits);
    }

    fn leave(&self, state: &mut State, lane: usize, hits: usize) {
        state.set_waiting(lane, state.waiting[lane] - hits);
        // The feed wakes once half of the room is free, so that it hands over many events at a time.
        if state.is_feed_waiting && state.is_within(self.waiting_max / 2) {
            state.is_feed_waiting = false;
            self.has_room.notify_one();
        }
    }

    /// Waits until the lanes have room for more hits or have ended.
    pub(super) fn wait_for_room(&self, is_over: impl Fn() -> bool) {
        let mut state = self.state();
        while !state.is_within(self.waiting_max - 1) && !is_over() {
            state.is_feed_waiting = true;
            let waited = self.has_room.wait_timeout(state, LANES_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_feed_waiting = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_stays_with_its_lane_while_it_has_an_event_there_and_others_go_where_least_waits() {
        let bindings = Bindings::new(3);
        let bind = |visitor, hits| bindings.bind(VisitorKey(visitor), hits);
        // Chance decides which of the free lanes comes first.
        let [first, second, third] = [bind(1, 5), bind(2, 1), bind(3, 2)];
        assert_eq!(first + second + third, 3, "one each");
        assert_eq!(bind(4, 1), second);
        assert_eq!([bind(1, 1), bind(3, 1)], [first, third], "they have events there");
        // The first event of visitor 1 waits aside and holds up nobody; the second one keeps the visitor in the lane.
        bindings.set_aside(first, 5);
        assert_eq!([bind(5, 1), bind(1, 1)], [first, first]);
        bindings.end(VisitorKey(2), second, 1);
        assert_eq!([bind(6, 1), bind(2, 1)], [second, second], "it has the least");
    }

    #[test]
    fn visitors_do_not_take_the_lanes_in_turn() {
        let bindings = Bindings::new(64);
        let lanes: Vec<usize> = (0..64).map(|visitor| bindings.bind(VisitorKey(visitor), 1)).collect();
        let odd = lanes.iter().step_by(2).filter(|lane| **lane % 2 == 1).count();
        assert!((1..32).contains(&odd), "every second visitor has lanes of one kind: {lanes:?}");
    }

    #[test]
    fn a_thousand_lanes_have_no_more_hits_waiting_than_five_hundred() {
        assert_eq!(
            [1, 512, 1_024, 4_096].map(|lanes| waiting_a_lane(lanes) * lanes),
            [16, 8_192, 8_192, 8_192]
        );
        assert_eq!(waiting_a_lane(10_000), 1, "each lane can have work");
    }

    #[test]
    fn a_lane_with_a_long_queue_leaves_the_others_their_room_up_to_a_bound() {
        let bindings = Bindings::new(16);
        let has_room = || bindings.state().is_within(16 * WAITING_A_LANE - 1);
        let bind = |events| {
            (0..events).for_each(|_| {
                bindings.bind(VisitorKey(1), 1);
            });
        };
        bind(16 * WAITING_A_LANE);
        assert!(has_room(), "one visitor has more than the average, and the other lanes have nothing");
        bind(16 * WAITING_A_LANE * 3);
        assert!(!has_room(), "its events would take all memory");
    }

    #[test]
    fn the_feed_waits_while_the_lanes_are_full() {
        let bindings = Bindings::new(1);
        let bind = |visitor| assert_eq!(bindings.bind(VisitorKey(visitor), 1), 0);
        (0..WAITING_A_LANE as u64).for_each(bind);
        std::thread::scope(|scope| {
            let feed = scope.spawn(|| bindings.wait_for_room(|| false));
            (0..WAITING_A_LANE as u64 / 2).for_each(|visitor| {
                while !bindings.state().is_feed_waiting {
                    assert!(!feed.is_finished(), "the lanes are full");
                }
                bindings.end(VisitorKey(visitor), 0, 1);
            });
            feed.join().expect("the feed goes on");
        });
        (0..WAITING_A_LANE as u64 / 2).for_each(bind);
        bindings.wait_for_room(|| true);
    }
}
