//! Which attempts are recorded next, and how the lanes get them.
//!
//! Attempts are recorded while the lanes still send other events, so that no lane waits for a commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::host::{HostWork, LOOK_EVERY, POLL};
use super::lane::{Sending, lane};
use super::pace::Pace;
use crate::collection::{Connection, Permit};
use crate::postgres::Attempt;
use crate::suite::OnAmbiguous;

/// How many attempts per lane may be recorded without an outcome, as in a drain from a file. If the worker dies, their
/// events are in doubt. The limit is one for suites that hold events in doubt, and while the breaker is not closed.
const CLAIMS_A_LANE: usize = 8;
/// How long an outcome waits for more outcomes while the lanes have work, because few transactions cost less than many.
const GATHER: Duration = Duration::from_millis(20);

impl HostWork {
    /// The time at which the outcomes that are not recorded yet have waited long enough.
    pub(super) fn gathered_at(&self) -> Option<Instant> {
        self.group_since.map(|since| since + GATHER)
    }

    /// Whether the next transaction still waits for outcomes, because more than half of the places in the queue are
    /// taken, so that the lanes have work meanwhile.
    pub(super) fn gathers(&self) -> bool {
        2 * self.queue.borrow().len() > (CLAIMS_A_LANE - 1) * self.work.options.lanes
            && self.gathered_at().is_none_or(|at| Instant::now() < at)
    }

    /// Takes back the attempts that no lane has begun and that may not be made now.
    pub(super) fn withdraw(&mut self, is_stopped: bool) {
        let all = is_stopped || !self.breaker.is_closed();
        let may_stay = |sending: &Sending| !all && !self.suites[sending.parcel.place.0].is_stopped;
        let (stay, unsent): (VecDeque<Sending>, VecDeque<Sending>) =
            self.queue.take().into_iter().partition(may_stay);
        self.queue.replace(stay);
        unsent.into_iter().for_each(|sending| self.take(sending.unsent()));
    }

    /// Gives granted attempts to idle lanes.
    pub(super) fn launch(&mut self) {
        while let Some(connection) = self.idle.pop() {
            let Some(sending) = self.queue.borrow_mut().pop_front() else {
                return self.idle.push(connection);
            };
            let guard = (self.work.lease.clone(), self.work.stop.clone());
            self.lanes.spawn_local(lane(sending, self.queue.clone(), connection, guard, self.sender.clone()));
        }
    }

    pub(super) fn end_lane(&mut self, lane: Result<Connection, JoinError>) {
        self.idle.push(lane.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        self.launch();
    }

    /// Chooses the next events to send, at most one for each visitor, while the breaker permits it.
    pub(super) fn choose(&mut self) -> Vec<Sending> {
        let mut chosen: Vec<Sending> = Vec::new();
        self.permit_at = None;
        let open = self.suites.iter().map(|suite| suite.in_flight).sum::<usize>();
        let (lanes, term) = (self.work.options.lanes, self.work.lease.term());
        while chosen.len() + open < CLAIMS_A_LANE * lanes && self.work.lease.is_held_since(term) {
            let now = Instant::now();
            let is_full = |suite: usize| self.suites[suite].paces.iter().any(|pace| pace.is_full());
            let Some(mut parcel) = self.lines.next(|suite| !is_full(suite)) else {
                let waits = (0..self.suites.len()).any(is_full);
                self.permit_at = waits.then(|| now + POLL);
                break;
            };
            let holds = self.suites[parcel.place.0].route.suite.on_ambiguous == OnAmbiguous::Hold;
            if chosen.len() + open >= lanes && (holds || !self.breaker.is_closed()) {
                self.lines.back(parcel);
                break;
            }
            let suite = &mut self.suites[parcel.place.0];
            let slice =
                self.slices.get_mut(&parcel.place).filter(|slice| !slice.is_leaving && !suite.is_stopped);
            let Some(slice) = slice else {
                // The event may not be sent now. It rests, again and again, until the worker forgets its slice.
                self.lines.rest(parcel, now + LOOK_EVERY);
                continue;
            };
            let is_probe = match self.breaker.permit(now) {
                Permit::Go => false,
                Permit::Probe => true,
                Permit::Wait(wait) => {
                    self.permit_at = Some(now + wait);
                    self.lines.back(parcel);
                    break;
                }
                Permit::GivenUp => {
                    self.is_given_up = true;
                    self.lines.back(parcel);
                    break;
                }
            };
            parcel.attempts += 1;
            self.summary.retries += u64::from(parcel.attempts > 1);
            slice.in_flight += 1;
            suite.in_flight += 1;
            let number = suite.number();
            let attempt = fastrand::i64(1..);
            self.group.attempts.push(Attempt {
                seq: parcel.seq,
                attempt,
                claim: Arc::clone(&slice.claim),
                form: Arc::clone(&parcel.form),
                first_hit: i32::try_from(parcel.hits_sent).unwrap_or(i32::MAX),
            });
            let paces = suite.paces.clone();
            let waiters = paces.iter().map(Pace::enter).collect();
            chosen.push(Sending { parcel, attempt, number, is_probe, term, paces, waiters });
        }
        chosen
    }
}
