//! A lane has one connection and at most one request in flight, and sends the events of its visitors in their order.
//!
//! ```text
//! inbound ──> queue ──> claimed (a few, on disk before they are sent) ──> sent ──> recorded
//!               ^                                                                │
//!               └── aside: events of a visitor whose first event is in backoff  <┘
//! ```

mod claiming;
mod claims;
mod trial;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::aside::{Aside, Place};
use super::host::HostRun;
use super::parcel::{Parcel, put_first};
use super::recorder::{Recorder, RecorderGone};
use super::retry::{Next, RetryLimits, Situation, next};
use super::suite_run::SuiteRun;
use super::summary::Fate;
use super::verdict::Refusal;
use super::ward::Phase;
use crate::buffer::{Change, Delivered};
use crate::clock::Clock;
use crate::collection::Connection;
use crate::delivery::{Doubt, Outcome};
use crate::hit::VisitorKey;
use crate::suite::OnAmbiguous;
use claims::Claims;

/// A lane takes in more events when it has fewer than this in its queue.
const QUEUE_LOW: usize = 4;

pub(super) struct Lane {
    number: usize,
    host: Arc<HostRun>,
    recorder: Recorder,
    limits: RetryLimits,
    clock: Clock,
    changes: watch::Receiver<u64>,
    connection: Connection,
    inbound: UnboundedReceiver<Vec<Parcel>>,
    queue: VecDeque<Parcel>,
    claims: Claims,
    aside: Aside,
    /// Visitors with an event that this run leaves pending. The run sends none of their later events.
    ended: HashSet<VisitorKey>,
}

impl Lane {
    pub(super) fn new(
        number: usize,
        host: Arc<HostRun>,
        recorder: Recorder,
        (limits, clock): (RetryLimits, Clock),
        inbound: UnboundedReceiver<Vec<Parcel>>,
    ) -> Lane {
        Lane {
            number,
            changes: host.changes(),
            aside: Aside::new(host.known.lanes),
            claims: Claims::new(recorder.clone()),
            connection: host.host.connection(),
            host,
            recorder,
            limits,
            clock,
            inbound,
            queue: VecDeque::new(),
            ended: HashSet::new(),
        }
    }

    /// Sends events until none is left, the run stops, the host is given up, or the recorder fails.
    pub(super) async fn run(mut self) -> Result<(), RecorderGone> {
        while !self.host.is_stopped() {
            if self.changes.has_changed().is_ok_and(|has| has) {
                self.changes.borrow_and_update();
                self.take_back(false);
            }
            self.claim_more().await;
            if self.claims.is_empty() {
                // Asked only once: if the feed ended between two questions, the lane would wait for ever.
                let is_fed_out = self.inbound.is_closed() && self.inbound.is_empty();
                if is_fed_out && self.has_ended() {
                    break;
                }
                self.wait(is_fed_out).await;
            } else {
                self.send_front().await?;
            }
        }
        self.leave_everything();
        Ok(())
    }

    fn suite(&self, parcel: &Parcel) -> &SuiteRun {
        self.host.suite(parcel)
    }

    fn requeue(&mut self, parcels: impl Iterator<Item = Parcel>) {
        put_first(&mut self.queue, parcels.collect());
    }

    /// Whether this lane has no event left to send or settle.
    fn has_ended(&self) -> bool {
        self.aside.next_due().is_none()
            && self.queue.is_empty()
            && !self.host.suites.iter().any(|suite| suite.ward(|ward| ward.has_some_of(self.number)))
    }

    /// The next event that may be sent: first an event whose visitor's backoff is over, then one from the queue, then
    /// a candidate for the trial of a suite (see `ward`).
    fn next_parcel(&mut self) -> Option<Parcel> {
        while let Some(parcel) = self.aside.take_due() {
            if self.suite(&parcel).lets_go(&parcel) {
                return Some(parcel);
            }
            let behind = self.aside.release(parcel.visitor);
            self.requeue(std::iter::once(parcel).chain(behind));
        }
        while let Some(parcel) = self.queue.pop_front().or_else(|| self.candidate()) {
            let Some(mut parcel) = self.gate(parcel) else { continue };
            if self.aside.knows(parcel.visitor) {
                self.unload(&mut parcel);
            }
            match self.aside.place(parcel) {
                Place::Free(parcel) => return Some(parcel),
                Place::Kept => {}
                Place::NoRoom(parcel) => {
                    self.queue.push_front(parcel);
                    return None;
                }
            }
        }
        None
    }

    /// Waits for more events, for a backoff to end, for news of a suite, or for the stop.
    async fn wait(&mut self, is_fed_out: bool) {
        let due = self.aside.next_due();
        let mut changes = self.changes.clone();
        let can_receive = self.queue.is_empty() && !is_fed_out;
        let batch = tokio::select! {
            batch = self.inbound.recv(), if can_receive => batch,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            _ = changes.changed() => None,
            () = self.host.stopped() => None,
        };
        self.queue.extend(batch.into_iter().flatten());
    }

    async fn rest(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.host.stopped() => {}
        }
    }

    async fn deliver(&mut self, mut parcel: Parcel) {
        parcel.attempts += 1;
        self.host.known.tally.counts().retries += u64::from(parcel.attempts > 1);
        // The first hit of the attempt has its turn already.
        let first = parcel.hits_sent();
        while let Some(body) = parcel.body() {
            if parcel.hits_sent() > first && !self.may_go_on(&parcel).await {
                self.end_attempt(&mut parcel, None);
                return self.end_visitor(parcel);
            }
            let number = self.suite(&parcel).number_hit();
            let outcome = self.send(body).await;
            parcel.is_probe = false;
            if let Some(reply) = outcome.reply() {
                let (sequence, at) = (parcel.event.sequence, self.clock.now());
                self.recorder.record(Change::Attempt { sequence, reply, at });
            }
            let host_was_up = self.host.meet(parcel.suite, &outcome);
            if let Some(refusal) = Refusal::of(&outcome) {
                return self.refuse(parcel, outcome, refusal);
            }
            // While the breaker is open, an attempt that reaches no server does not count against the event.
            if !host_was_up && matches!(&outcome, Outcome::Retry { cause, .. } if cause.is_unreachable()) {
                parcel.attempts -= 1;
            }
            match self.next(&parcel, &outcome) {
                Next::Delivered => {
                    self.suite(&parcel).succeed(number);
                    self.host.known.tally.counts().hits += 1;
                    parcel.advance();
                }
                step => return self.take_step(parcel, outcome, step),
            }
        }
        self.settle(parcel, Fate::Delivered)
    }

    /// Sends one hit. If the run stops meanwhile, releases the other claims first, then waits for the reply.
    async fn send(&mut self, body: Bytes) -> Outcome {
        let sending = self.connection.send(body);
        tokio::pin!(sending);
        tokio::select! {
            biased;
            outcome = &mut sending => return outcome,
            () = self.host.stopped() => {}
        }
        let claimed = self.claims.take_back(None);
        claimed.into_iter().rev().for_each(|parcel| self.queue.push_front(parcel));
        sending.await
    }

    /// Waits until the pace allows the next hit of an event. Returns false if the run or the suite stopped meanwhile.
    async fn may_go_on(&self, parcel: &Parcel) -> bool {
        let may = || !self.host.is_stopped() && !self.suite(parcel).is_over();
        while may() {
            match self.host.reserve(parcel) {
                Ok(turn) => {
                    self.rest(turn).await;
                    return may();
                }
                Err(due) => self.rest(due).await,
            }
        }
        false
    }

    fn next(&self, parcel: &Parcel, outcome: &Outcome) -> Next {
        let suite = self.suite(parcel);
        let situation = Situation {
            attempts: parcel.attempts,
            bare_failures: parcel.bare_failures,
            policy: suite.suite.on_ambiguous,
            jitter: fastrand::f64(),
        };
        next(outcome, &situation, &self.limits)
    }

    fn take_step(&mut self, mut parcel: Parcel, outcome: Outcome, step: Next) {
        let rsid = self.suite(&parcel).rsid();
        tracing::debug!(seq = parcel.event.sequence.0, %rsid, ?outcome, ?step, "attempt failed");
        match step {
            Next::Delivered => {}
            Next::Bury(reason) => {
                self.end_attempt(&mut parcel, outcome.doubt());
                return self.settle(parcel, Fate::Dead(reason));
            }
            Next::Hold(doubt) => {
                self.keep_hits(&parcel);
                return self.settle(parcel, Fate::Held(doubt));
            }
            Next::Again(wait) => {
                self.end_attempt(&mut parcel, outcome.doubt());
                return self.again(parcel, Instant::now() + wait);
            }
            Next::LeavePending => {
                self.host.leave_behind(&parcel, &outcome);
                self.end_attempt(&mut parcel, outcome.doubt());
            }
        }
        self.end_visitor(parcel)
    }

    /// Records how many hits of an undelivered event were counted, so that no later attempt sends them again.
    fn keep_hits(&self, parcel: &Parcel) {
        let (sequence, form, hits_sent, at) =
            (parcel.event.sequence, parcel.form, parcel.hits_sent(), self.clock.now());
        if hits_sent > 0 {
            self.recorder.record(Change::PartlySent { sequence, form, hits_sent, at });
        }
    }

    /// Releases the claim of an attempt, or records a doubt if Adobe may have counted its last hit.
    fn end_attempt(&self, parcel: &mut Parcel, doubt: Option<&Doubt>) {
        self.keep_hits(parcel);
        let Some(doubt) = doubt.cloned() else {
            return self.release(parcel);
        };
        parcel.is_doubted = true;
        // `Retry` leaves the event pending. An event that is to be held never gets here: `take_step` settles it.
        let (event, form, policy, at) = (parcel.event, parcel.form, OnAmbiguous::Retry, self.clock.now());
        self.recorder.record(Change::Doubt { event, form, doubt, policy, at });
    }

    /// Sets the event aside for its backoff, and behind it the claimed events of the same visitor.
    fn again(&mut self, mut parcel: Parcel, due: Instant) {
        self.suite(&parcel).end_try(std::mem::take(&mut parcel.is_candidate));
        let mut claimed = self.claims.take_back(Some(parcel.visitor));
        claimed.iter_mut().chain([&mut parcel]).for_each(|parcel| self.unload(parcel));
        self.aside.back_off(parcel, claimed, due);
    }

    /// Records the final state of an event. The events that waited behind it become the first in the queue.
    fn settle(&mut self, parcel: Parcel, fate: Fate) {
        let suite = self.suite(&parcel);
        self.host.known.tally.settle(suite.rsid(), parcel.event.sequence, &fate);
        suite.settle(&parcel);
        let (event, form, at) = (parcel.event, parcel.form, self.clock.now());
        self.recorder.record(match fate {
            Fate::Delivered => Change::Delivered(Delivered { event, visitor: parcel.visitor, at }),
            Fate::Dead(reason) => Change::Dead { event, form, reason, at },
            Fate::Held(doubt) => Change::Doubt { event, form, doubt, policy: OnAmbiguous::Hold, at },
        });
        self.host.bindings.end(parcel.visitor, self.number, parcel.waiting);
        let waited = self.aside.release(parcel.visitor);
        self.requeue(waited.into_iter());
    }

    fn release(&self, parcel: &Parcel) {
        self.recorder.record(Change::Release { sequence: parcel.event.sequence });
    }

    /// Leaves an event and all later events of its visitor pending in this run.
    fn end_visitor(&mut self, parcel: Parcel) {
        let visitor = parcel.visitor;
        self.ended.insert(visitor);
        self.leave(&parcel);
        self.aside.release(visitor).iter().for_each(|parcel| self.leave(parcel));
        let claimed = self.claims.take_back(Some(visitor));
        claimed.iter().for_each(|parcel| self.leave(parcel));
    }

    /// Counts an event that this run leaves pending.
    fn leave(&self, parcel: &Parcel) {
        let suite = self.suite(parcel);
        self.host.known.tally.leave(suite.rsid(), parcel.is_doubted, !suite.is(Phase::Paused));
        suite.settle(parcel);
        self.host.bindings.set_aside(self.number, parcel.waiting);
    }

    /// Stops counting the hits of an event as waiting in this lane (see `bindings`), because the event is set aside.
    fn unload(&self, parcel: &mut Parcel) {
        if parcel.waiting > 0 {
            parcel.leave_block();
            self.host.bindings.set_aside(self.number, std::mem::take(&mut parcel.waiting));
        }
    }

    fn leave_everything(mut self) {
        self.give_back();
        self.take_back(true);
        self.inbound.close();
        while let Ok(batch) = self.inbound.try_recv() {
            self.queue.extend(batch);
        }
        let is_event = |parcel: &&Parcel| parcel.scout.is_none();
        self.queue.iter().chain(self.aside.parcels()).filter(is_event).for_each(|parcel| self.leave(parcel));
    }
}
