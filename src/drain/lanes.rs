//! A lane has one connection and at most one request in flight, and sends the events of its visitors in their order.
//!
//! ```text
//! inbound ──> queue ──> claimed (at most two, on disk before they are sent) ──> sent ──> recorded
//!               ^                                                                │
//!               └── aside: events of a visitor whose first one waits in backoff <┘
//! ```

mod claims;
mod trial;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Stop;
use super::aside::{Aside, Place};
use super::host::HostRun;
use super::parcel::{Parcel, Work};
use super::recorder::{Recorder, RecorderGone};
use super::retry::{Next, RetryLimits, Situation, next};
use super::suite_run::SuiteRun;
use super::summary::{Fate, Tally};
use super::verdict::Refusal;
use crate::buffer::{Change, Delivered};
use crate::clock::Clock;
use crate::collection::{Connection, Permit};
use crate::delivery::{Doubt, Outcome};
use crate::hit::VisitorKey;
use crate::suite::OnAmbiguous;
use claims::Claims;

/// A lane takes in more events when it has fewer than this in its queue.
const QUEUE_LOW: usize = 4;
/// The longest wait for which a lane keeps a claim. Before a longer wait the lane releases the claim, so that a crash
/// does not leave an unsent event in doubt.
const CLAIM_IDLE_MAX: Duration = Duration::from_millis(100);

/// What a lane needs of its run.
pub(super) struct LaneContext {
    pub(super) host: Arc<HostRun>,
    pub(super) recorder: Recorder,
    pub(super) limits: RetryLimits,
    pub(super) stop: Stop,
    pub(super) tally: Arc<Tally>,
    pub(super) clock: Clock,
}

impl LaneContext {
    /// Waits until the run stops or gives up this host.
    async fn stopped(&self) {
        tokio::select! {
            _ = self.stop.wait() => {}
            () = self.host.given_up() => {}
        }
    }
}

pub(super) struct Lane {
    number: usize,
    context: LaneContext,
    changes: watch::Receiver<u64>,
    connection: Connection,
    inbound: Receiver<Vec<Parcel>>,
    queue: VecDeque<Parcel>,
    claims: Claims,
    aside: Aside,
    /// Visitors with an event that this run leaves pending. The run sends none of their later events.
    ended: HashSet<VisitorKey>,
    is_probing: bool,
}

impl Lane {
    pub(super) fn new(number: usize, context: LaneContext, inbound: Receiver<Vec<Parcel>>) -> Lane {
        let connection = context.host.host.connection();
        Lane {
            number,
            changes: context.host.changes(),
            aside: Aside::new(context.host.known.lanes),
            claims: Claims::new(context.recorder.clone()),
            context,
            connection,
            inbound,
            queue: VecDeque::new(),
            ended: HashSet::new(),
            is_probing: false,
        }
    }

    /// Sends until no event is left, the run stops or the recorder fails.
    pub(super) async fn run(mut self) -> Result<(), RecorderGone> {
        while !self.is_stopped() {
            if self.changes.has_changed().is_ok_and(|has| has) {
                self.changes.borrow_and_update();
                self.take_back(false).await?;
            }
            if let Some(until) = self.host_pause() {
                self.give_back().await?;
                self.rest(until).await;
                continue;
            }
            self.claim_more().await?;
            if self.claims.is_empty() {
                self.return_probe();
                if self.has_ended() {
                    break;
                }
                self.wait().await;
            } else {
                self.send_front().await?;
            }
        }
        self.return_probe();
        self.leave_everything().await
    }

    fn suite(&self, parcel: &Parcel) -> &SuiteRun {
        self.context.host.suite(parcel)
    }

    /// Puts events before the others of the queue, in their order.
    fn requeue(&mut self, parcels: impl DoubleEndedIterator<Item = Parcel>) {
        parcels.rev().for_each(|parcel| self.queue.push_front(parcel));
    }

    fn is_stopped(&self) -> bool {
        self.context.stop.requested().is_some() || self.context.host.is_given_up()
    }

    /// Claims events until both places for claims are taken or no event may be sent.
    async fn claim_more(&mut self) -> Result<(), RecorderGone> {
        while self.queue.len() < QUEUE_LOW {
            let Ok(batch) = self.inbound.try_recv() else { break };
            self.queue.extend(batch);
        }
        while self.claims.has_room() {
            let Some(parcel) = self.next_parcel() else { break };
            match &parcel.work {
                Work::Bury(reason) => {
                    let reason = reason.clone();
                    self.settle(parcel, Fate::Dead(reason)).await?;
                }
                Work::Send { .. } => self.claims.add(parcel).await?,
            }
        }
        Ok(())
    }

    /// Whether this lane has no event left to send or settle, and will get none.
    fn has_ended(&self) -> bool {
        self.aside.next_due().is_none()
            && self.queue.is_empty()
            && self.inbound.is_closed()
            && self.inbound.is_empty()
            && !self.context.host.suites.iter().any(|suite| suite.ward(|ward| ward.has_some_of(self.number)))
    }

    /// The next event that may be sent: of a visitor whose backoff is over, else from the queue, else a candidate for
    /// the trial of a suite (see `ward`).
    fn next_parcel(&mut self) -> Option<Parcel> {
        while let Some(parcel) = self.aside.take_due() {
            if !self.suite(&parcel).is_over() {
                return Some(parcel);
            }
            self.leave(&parcel);
        }
        while let Some(parcel) = self.queue.pop_front().or_else(|| self.candidate()) {
            let Some(parcel) = self.gate(parcel) else { continue };
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

    /// Waits for more events, for a backoff to end, or for the stop.
    async fn wait(&mut self) {
        let due = self.aside.next_due();
        let backoff = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let mut changes = self.changes.clone();
        let can_receive = self.queue.is_empty() && (!self.inbound.is_closed() || !self.inbound.is_empty());
        let batch = tokio::select! {
            batch = self.inbound.recv(), if can_receive => batch,
            () = backoff => None,
            _ = changes.changed() => None,
            () = self.context.stopped() => None,
        };
        self.queue.extend(batch.into_iter().flatten());
    }

    /// The time until which nothing may be sent, because the host is unreachable. Asks the breaker only if this lane
    /// has something to send: a lane that gets the permit to probe must use it.
    fn host_pause(&mut self) -> Option<Instant> {
        let breaker = &self.context.host.host.breaker;
        if self.is_probing || breaker.is_closed() || !self.has_work() {
            return None;
        }
        let now = Instant::now();
        match breaker.permit(now) {
            Permit::Go => {
                self.is_probing = true;
                None
            }
            Permit::Wait(wait) => Some(now + wait),
            Permit::GivenUp => {
                self.context.host.give_up();
                Some(now)
            }
        }
    }

    /// If this lane was allowed to probe but has nothing to send, lets another lane probe.
    fn return_probe(&mut self) {
        if std::mem::take(&mut self.is_probing) {
            self.context.host.host.breaker.return_probe(Instant::now());
        }
    }

    fn has_work(&self) -> bool {
        let is_due = self.aside.next_due().is_some_and(|due| due <= Instant::now());
        !self.claims.is_empty() || !self.queue.is_empty() || is_due
    }

    async fn rest(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.context.stopped() => {}
        }
    }

    /// Sends the first claimed event, once the pace allows it and the claim is durable.
    async fn send_front(&mut self) -> Result<(), RecorderGone> {
        let Some(front) = self.claims.front_mut() else { return Ok(()) };
        if !std::mem::take(&mut front.is_paid) {
            let now = Instant::now();
            let wait = self.context.host.reserve(front, now);
            if wait > CLAIM_IDLE_MAX {
                // This event has reserved its turn. An event that is sent before it must reserve another turn.
                front.is_paid = true;
                self.give_back().await?;
                self.rest(now + wait).await;
                return Ok(());
            }
            if !wait.is_zero() {
                sleep_until(now + wait).await;
            }
        }
        let Some(parcel) = self.claims.take_front().await? else { return Ok(()) };
        if self.suite(&parcel).lets_go(&parcel) {
            return self.deliver(parcel).await;
        }
        self.give_back().await?;
        self.release(&parcel).await?;
        self.put_back(parcel);
        Ok(())
    }

    async fn deliver(&mut self, mut parcel: Parcel) -> Result<(), RecorderGone> {
        parcel.attempts += 1;
        self.context.tally.counts().retries += u64::from(parcel.attempts > 1);
        while let Some(body) = parcel.body() {
            if parcel.some_counted().is_some() && !self.may_go_on(&parcel).await {
                self.end_attempt(&mut parcel, None).await?;
                return self.end_visitor(parcel).await;
            }
            parcel.sent = self.suite(&parcel).number_hit();
            let outcome = self.send(body).await?;
            let host_was_up = self.note(&outcome);
            if let Some(refusal) = Refusal::of(&outcome) {
                return self.refuse(parcel, outcome, refusal).await;
            }
            // The breaker deals with an unreachable host, so such an attempt does not count against the event.
            if !host_was_up && matches!(&outcome, Outcome::Retry { cause, .. } if cause.is_unreachable()) {
                parcel.attempts -= 1;
            }
            match self.next(&parcel, &outcome) {
                Next::Delivered => {
                    self.suite(&parcel).succeed(parcel.sent);
                    self.context.tally.counts().hits += 1;
                    parcel.advance();
                }
                step => return self.take_step(parcel, outcome, step).await,
            }
        }
        self.settle(parcel, Fate::Delivered).await
    }

    /// Sends one hit. If the run stops meanwhile, releases the claims behind it at once, then waits for the reply.
    async fn send(&mut self, body: Bytes) -> Result<Outcome, RecorderGone> {
        let sending = self.connection.send(body);
        tokio::pin!(sending);
        tokio::select! {
            biased;
            outcome = &mut sending => return Ok(outcome),
            () = self.context.stopped() => {}
        }
        let claimed = self.claims.take_back().await?;
        claimed.into_iter().rev().for_each(|parcel| self.queue.push_front(parcel));
        Ok(sending.await)
    }

    /// Records an outcome in the breaker and the host. Returns whether the breaker was closed before.
    fn note(&mut self, outcome: &Outcome) -> bool {
        let now = Instant::now();
        let breaker = &self.context.host.host.breaker;
        let was_up = breaker.is_closed();
        breaker.record(now, outcome);
        self.context.host.meet(outcome);
        if let Outcome::Retry { retry_after: Some(asked), .. } = outcome {
            breaker.rest(now, *asked);
        }
        self.is_probing = false;
        was_up
    }

    /// Keeps the pace between the hits of one event. Returns false if the run or the suite was stopped meanwhile.
    async fn may_go_on(&self, parcel: &Parcel) -> bool {
        let now = Instant::now();
        let wait = self.context.host.reserve(parcel, now);
        if !wait.is_zero() {
            self.rest(now + wait).await;
        }
        !self.is_stopped() && !self.suite(parcel).is_over()
    }

    fn next(&self, parcel: &Parcel, outcome: &Outcome) -> Next {
        let suite = self.suite(parcel);
        let situation = Situation {
            attempts: parcel.attempts,
            bare_failures: parcel.bare_failures,
            suite_succeeded: suite.has_succeeded(),
            policy: suite.suite.on_ambiguous,
            jitter: fastrand::f64(),
        };
        next(outcome, &situation, &self.context.limits)
    }

    async fn take_step(
        &mut self,
        mut parcel: Parcel,
        outcome: Outcome,
        step: Next,
    ) -> Result<(), RecorderGone> {
        let rsid = self.suite(&parcel).rsid();
        tracing::debug!(seq = parcel.event.sequence.0, %rsid, ?outcome, ?step, "attempt failed");
        match step {
            Next::Delivered => {}
            Next::Bury(reason) => return self.settle(parcel, Fate::Dead(reason)).await,
            Next::Hold(doubt) => return self.settle(parcel, Fate::Held(doubt)).await,
            Next::Again(wait) => {
                self.end_attempt(&mut parcel, outcome.doubt()).await?;
                return self.again(parcel, Instant::now() + wait).await;
            }
            Next::LeavePending => {
                self.context.host.leave_behind(&parcel, &outcome);
                self.end_attempt(&mut parcel, outcome.doubt()).await?;
            }
            Next::StopSuite(fault) => {
                self.suite(&parcel).ward(|ward| ward.stop(fault));
                self.end_attempt(&mut parcel, outcome.doubt()).await?;
            }
        }
        self.end_visitor(parcel).await
    }

    /// Releases the claim of an attempt, or records a doubt if Adobe may have counted the event or some of its hits.
    async fn end_attempt(&mut self, parcel: &mut Parcel, doubt: Option<&Doubt>) -> Result<(), RecorderGone> {
        let Some(doubt) = doubt.cloned().or_else(|| parcel.some_counted()) else {
            return self.release(parcel).await;
        };
        parcel.is_doubted = true;
        // If the policy of the suite is to hold, the event was settled as held elsewhere. Here it stays pending.
        self.record_doubt(parcel, doubt, OnAmbiguous::Retry).await
    }

    /// Sets the event aside for its backoff, and behind it the claimed events of the same visitor.
    async fn again(&mut self, mut parcel: Parcel, due: Instant) -> Result<(), RecorderGone> {
        self.suite(&parcel).end_try(std::mem::take(&mut parcel.is_candidate));
        let claimed = self.claims.take_back_of(parcel.visitor).await?;
        self.aside.back_off(parcel, claimed, due);
        Ok(())
    }

    /// Records the final state of an event. The events that waited behind it are sent next, in their order.
    async fn settle(&mut self, parcel: Parcel, fate: Fate) -> Result<(), RecorderGone> {
        let suite = self.suite(&parcel);
        self.context.tally.settle(suite.rsid(), parcel.event.sequence, &fate);
        suite.settle(&parcel);
        let (event, form, at) = (parcel.event, parcel.form, self.context.clock.now());
        match fate {
            Fate::Delivered => {
                self.record(Change::Delivered(Delivered { event, visitor: parcel.visitor, at })).await?;
            }
            Fate::Dead(reason) => {
                if let Some(doubt) = parcel.some_counted() {
                    self.record_doubt(&parcel, doubt, OnAmbiguous::Retry).await?;
                }
                self.record(Change::Dead { event, form, reason, at }).await?;
            }
            Fate::Held(doubt) => self.record_doubt(&parcel, doubt, OnAmbiguous::Hold).await?,
        }
        let waited = self.aside.release(parcel.visitor);
        self.requeue(waited.into_iter());
        Ok(())
    }

    async fn record_doubt(
        &self,
        parcel: &Parcel,
        doubt: Doubt,
        policy: OnAmbiguous,
    ) -> Result<(), RecorderGone> {
        let at = self.context.clock.now();
        self.record(Change::Doubt { event: parcel.event, form: parcel.form, doubt, policy, at }).await
    }

    async fn release(&self, parcel: &Parcel) -> Result<(), RecorderGone> {
        self.record(Change::Release { sequence: parcel.event.sequence }).await
    }

    async fn record(&self, change: Change) -> Result<(), RecorderGone> {
        self.context.recorder.record(change).await
    }

    /// Leaves an event pending, and with it all later events of its visitor in this run.
    async fn end_visitor(&mut self, parcel: Parcel) -> Result<(), RecorderGone> {
        let visitor = parcel.visitor;
        self.ended.insert(visitor);
        self.leave(&parcel);
        self.aside.release(visitor).iter().for_each(|parcel| self.leave(parcel));
        let claimed = self.claims.take_back_of(visitor).await?;
        claimed.iter().for_each(|parcel| self.leave(parcel));
        Ok(())
    }

    /// Counts an event that this run leaves pending.
    fn leave(&self, parcel: &Parcel) {
        let suite = self.suite(parcel);
        self.context.tally.leave(suite.rsid(), parcel.is_doubted, !suite.is_paused());
        suite.settle(parcel);
    }

    /// Releases the claims before a pause. Their events become the first in the queue.
    async fn give_back(&mut self) -> Result<(), RecorderGone> {
        let claimed = self.claims.take_back().await?;
        claimed.into_iter().rev().for_each(|parcel| self.put_back(parcel));
        Ok(())
    }

    fn put_back(&mut self, parcel: Parcel) {
        if let Some(parcel) = self.aside.take_back(parcel) {
            self.queue.push_front(parcel);
        }
    }

    async fn leave_everything(mut self) -> Result<(), RecorderGone> {
        self.give_back().await?;
        self.take_back(true).await?;
        self.inbound.close();
        while let Ok(batch) = self.inbound.try_recv() {
            self.queue.extend(batch);
        }
        let is_event = |parcel: &&Parcel| parcel.scout.is_none();
        self.queue.iter().chain(self.aside.parcels()).filter(is_event).for_each(|parcel| self.leave(parcel));
        Ok(())
    }
}
