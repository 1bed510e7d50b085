//! A lane: one connection, at most one request in flight, the events of its visitors in their order.
//!
//! ```text
//! inbound ──> queue ──> claimed (at most two, on disk before they are sent) ──> sent ──> recorded
//!               ^                                                                │
//!               └── aside: events of a visitor whose first one waits in backoff <┘
//! ```

mod trial;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Stop;
use super::aside::{Aside, Place};
use super::feed::{Parcel, Work};
use super::host::HostRun;
use super::recorder::{ClaimTicket, Recorder, RecorderGone};
use super::retry::{Next, RetryLimits, Situation, next};
use super::summary::Tally;
use super::verdict::Refusal;
use crate::buffer::{Change, Delivered};
use crate::clock::Clock;
use crate::collection::{Connection, Permit};
use crate::delivery::{DeadReason, Doubt, Outcome};
use crate::hit::VisitorKey;
use crate::suite::OnAmbiguous;

/// Claims that a lane may hold: one in flight, one ready behind it.
const CLAIMS_MAX: usize = 2;
/// Events at hand below which a lane looks for more.
const QUEUE_LOW: usize = 4;
/// The longest pause that a claim may sit through unsent; in a longer one it is given back, so that a crash leaves no doubt
/// about an event that was not sent.
const CLAIM_IDLE_MAX: std::time::Duration = std::time::Duration::from_millis(100);

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
    /// Waits until the run stops, or its host is left.
    async fn stopped(&self) {
        tokio::select! {
            _ = self.stop.wait() => {}
            () = self.host.given_up() => {}
        }
    }
}

pub(super) struct Lane {
    /// Its place among the lanes of its host.
    number: usize,
    context: LaneContext,
    changes: watch::Receiver<u64>,
    connection: Connection,
    inbound: Receiver<Vec<Parcel>>,
    queue: VecDeque<Parcel>,
    claimed: VecDeque<(Parcel, ClaimTicket)>,
    aside: Aside,
    /// Visitors with an event that this run leaves pending: they get nothing more.
    ended: HashSet<VisitorKey>,
    /// Whether the breaker lets this lane find out if its host is up.
    is_probing: bool,
}

/// What a lane turns to.
enum Turn {
    Go,
    Wait(Option<Instant>),
    End,
}

impl Lane {
    pub(super) fn new(number: usize, context: LaneContext, inbound: Receiver<Vec<Parcel>>) -> Lane {
        let connection = context.host.host.connection();
        Lane {
            number,
            changes: context.host.changes(),
            aside: Aside::new(context.host.lanes),
            context,
            connection,
            inbound,
            queue: VecDeque::new(),
            claimed: VecDeque::new(),
            ended: HashSet::new(),
            is_probing: false,
        }
    }

    /// Sends until there is nothing left, the run stops or the recorder fails.
    pub(super) async fn run(mut self) -> Result<(), RecorderGone> {
        loop {
            if self.is_stopped() {
                break;
            }
            if self.changes.has_changed().is_ok_and(|has| has) {
                self.changes.borrow_and_update();
                self.take_back(false).await?;
            }
            if let Some(until) = self.host_pause() {
                self.give_back().await?;
                self.rest(until).await;
                continue;
            }
            match self.turn().await? {
                Turn::Go => self.send_front().await?,
                Turn::Wait(due) => {
                    self.return_probe();
                    self.wait(due).await;
                }
                Turn::End => break,
            }
        }
        self.return_probe();
        self.leave_everything().await
    }

    fn is_stopped(&self) -> bool {
        self.context.stop.requested().is_some() || self.context.host.is_given_up()
    }

    /// Claims what can be claimed, and says what to do.
    async fn turn(&mut self) -> Result<Turn, RecorderGone> {
        while self.queue.len() < QUEUE_LOW {
            let Ok(batch) = self.inbound.try_recv() else { break };
            self.queue.extend(batch);
        }
        while self.claimed.len() < CLAIMS_MAX {
            let Some(parcel) = self.next_parcel() else { break };
            match parcel.work {
                Work::Bury(ref reason) => {
                    let reason = reason.clone();
                    self.bury(parcel, reason).await?;
                }
                Work::Send { .. } => self.claim(parcel).await?,
            }
        }
        if !self.claimed.is_empty() {
            return Ok(Turn::Go);
        }
        let due = self.aside.next_due();
        let ended = due.is_none()
            && self.queue.is_empty()
            && self.inbound.is_closed()
            && self.inbound.is_empty()
            && !self.context.host.suites.iter().any(|suite| suite.has_some_of(self.number));
        Ok(if ended { Turn::End } else { Turn::Wait(due) })
    }

    /// The next event that may go: of a visitor whose wait is over, else of the queue, else for the trial of a suite.
    fn next_parcel(&mut self) -> Option<Parcel> {
        while let Some(parcel) = self.aside.take_due() {
            if !parcel.suite.is_over() {
                return Some(parcel);
            }
            self.leave(&parcel);
        }
        while let Some(parcel) = self.queue.pop_front().or_else(|| self.candidate()) {
            let Some(parcel) = self.gate(parcel) else { continue };
            let blocked = self.aside.is_blocked(parcel.visitor).then(|| parcel.suite.clone());
            match self.aside.place(parcel) {
                Place::Free(parcel) => return Some(parcel),
                Place::Kept => blocked.iter().for_each(|suite| suite.keep(1)),
                Place::NoRoom(parcel) => {
                    blocked.iter().for_each(|suite| suite.decide_now());
                    self.queue.push_front(parcel);
                    return None;
                }
                Place::GiveWay(parcel) => {
                    tracing::debug!(rsid = %parcel.suite.rsid(), "a busy visitor gives way to the others until the next run");
                    self.ended.insert(parcel.visitor);
                    self.leave(&parcel);
                    self.aside.give_way(parcel.visitor).iter().for_each(|parcel| self.leave(parcel));
                }
            }
        }
        None
    }

    async fn claim(&mut self, parcel: Parcel) -> Result<(), RecorderGone> {
        let claim = Change::Claim { sequence: parcel.event.sequence, form: parcel.form };
        let ticket = self.context.recorder.claim(claim).await?;
        self.claimed.push_back((parcel, ticket));
        Ok(())
    }

    /// Waits for more events, for a backoff to end, or for the stop.
    async fn wait(&mut self, due: Option<Instant>) {
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

    /// Until when nothing may be sent, because nobody reaches the host. Asked only with something to send: the one lane that
    /// is allowed to probe must do so.
    fn host_pause(&mut self) -> Option<Instant> {
        let breaker = self.context.host.host.breaker();
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

    /// Lets another lane probe, where this one was to and has nothing to send.
    fn return_probe(&mut self) {
        if std::mem::take(&mut self.is_probing) {
            self.context.host.host.breaker().return_probe(Instant::now());
        }
    }

    fn has_work(&self) -> bool {
        let is_due = self.aside.next_due().is_some_and(|due| due <= Instant::now());
        !self.claimed.is_empty() || !self.queue.is_empty() || is_due
    }

    /// Rests until an instant, or the stop.
    async fn rest(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.context.stopped() => {}
        }
    }

    /// Sends the event at the front, once its pace allows it and its claim is durable.
    async fn send_front(&mut self) -> Result<(), RecorderGone> {
        let Some((front, _)) = self.claimed.front_mut() else { return Ok(()) };
        if !std::mem::take(&mut front.is_paid) {
            let now = Instant::now();
            let wait = self.context.host.host.limiter().reserve(now).max(front.suite.limiter.reserve(now));
            if wait > CLAIM_IDLE_MAX {
                // The wait belongs to this event: another one that goes before it pays for itself.
                front.is_paid = true;
                self.give_back().await?;
                self.rest(now + wait).await;
                return Ok(());
            }
            if !wait.is_zero() {
                sleep_until(now + wait).await;
            }
        }
        let Some((parcel, ticket)) = self.claimed.pop_front() else { return Ok(()) };
        ticket.granted().await?;
        if !parcel.suite.lets_go(&parcel) {
            self.give_back().await?;
            self.release(&parcel).await?;
            self.put_back(parcel);
            return Ok(());
        }
        self.deliver(parcel).await
    }

    async fn deliver(&mut self, mut parcel: Parcel) -> Result<(), RecorderGone> {
        parcel.attempts += 1;
        if parcel.attempts > 1 {
            self.context.tally.counts().retries += 1;
        }
        while let Some(body) = next_body(&parcel) {
            if has_begun(&parcel) && !self.may_go_on(&parcel).await {
                return self.interrupt(parcel).await;
            }
            let outcome = self.send(body).await?;
            let now = Instant::now();
            let breaker = self.context.host.host.breaker();
            let was_up = breaker.is_closed();
            breaker.record(now, &outcome);
            self.context.host.meet(&outcome);
            if let Outcome::Retry { retry_after: Some(asked), .. } = &outcome {
                breaker.rest(now, (*asked).min(self.context.limits.backoff_max));
            }
            self.is_probing = false;
            if let Some(refusal) = Refusal::of(&outcome) {
                return self.refuse(parcel, outcome, refusal).await;
            }
            match self.decide(&mut parcel, &outcome, was_up) {
                Next::Delivered => {
                    parcel.suite.succeed();
                    self.context.tally.counts().hits += 1;
                    advance(&mut parcel);
                }
                step => return self.take_step(parcel, outcome, step).await,
            }
        }
        self.finish_delivered(parcel).await
    }

    /// Sends one hit. A stop meanwhile gives back at once what was claimed behind it, and then waits for the reply.
    async fn send(&mut self, body: Bytes) -> Result<Outcome, RecorderGone> {
        let sending = self.connection.send(body);
        tokio::pin!(sending);
        tokio::select! {
            biased;
            outcome = &mut sending => return Ok(outcome),
            () = self.context.stopped() => {}
        }
        for (parcel, _) in self.claimed.drain(..).rev() {
            let release = Change::Release { sequence: parcel.event.sequence };
            self.context.recorder.record(release).await?;
            self.queue.push_front(parcel);
        }
        Ok(sending.await)
    }

    /// Keeps the pace between the hits of one event; false where the run or the suite was stopped meanwhile.
    async fn may_go_on(&self, parcel: &Parcel) -> bool {
        let now = Instant::now();
        let wait = self.context.host.host.limiter().reserve(now).max(parcel.suite.limiter.reserve(now));
        if !wait.is_zero() {
            self.rest(now + wait).await;
        }
        !self.is_stopped() && !parcel.suite.is_over()
    }

    /// Leaves an event of several hits, some of which were counted: it is repeated whole, in the same form.
    async fn interrupt(&mut self, mut parcel: Parcel) -> Result<(), RecorderGone> {
        if let Some(doubt) = some_hits_counted(&parcel) {
            parcel.is_doubted = true;
            self.record_doubt(&parcel, doubt, OnAmbiguous::Retry).await?;
        }
        self.end_visitor(parcel).await
    }

    fn decide(&self, parcel: &mut Parcel, outcome: &Outcome, host_was_up: bool) -> Next {
        // A host that nobody reaches is the breaker's matter: it costs no event an attempt.
        if !host_was_up && matches!(outcome, Outcome::Retry { cause, .. } if cause.is_unreachable()) {
            parcel.attempts -= 1;
        }
        self.next(parcel, outcome)
    }

    fn next(&self, parcel: &Parcel, outcome: &Outcome) -> Next {
        let situation = Situation {
            attempts: parcel.attempts,
            bare_failures: parcel.bare_failures,
            suite_succeeded: parcel.suite.has_succeeded(),
            policy: parcel.suite.suite.on_ambiguous,
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
        tracing::debug!(seq = parcel.event.sequence.0, rsid = %parcel.suite.rsid(), ?outcome, ?step, "attempt failed");
        match step {
            Next::Delivered => {}
            Next::Bury(reason) => return self.bury(parcel, reason).await,
            Next::Hold(doubt) => return self.hold(parcel, doubt).await,
            Next::Again(wait) => {
                self.settle_attempt(&mut parcel, &outcome).await?;
                return self.again(parcel, Instant::now() + wait).await;
            }
            Next::LeavePending => self.settle_attempt(&mut parcel, &outcome).await?,
            Next::StopSuite(fault) => {
                parcel.suite.stop(&fault);
                self.settle_attempt(&mut parcel, &outcome).await?;
            }
        }
        self.end_visitor(parcel).await
    }

    /// Takes the claim back, or turns it into a doubt: where the attempt may have been counted, or some of its hits were.
    async fn settle_attempt(&mut self, parcel: &mut Parcel, outcome: &Outcome) -> Result<(), RecorderGone> {
        let doubt = match outcome {
            Outcome::Ambiguous(doubt) => Some(doubt.clone()),
            Outcome::Delivered
            | Outcome::Rejected(_)
            | Outcome::BareFailure
            | Outcome::Refused { .. }
            | Outcome::Retry { .. }
            | Outcome::SuiteFault(_) => some_hits_counted(parcel),
        };
        match doubt {
            None => self.release(parcel).await,
            Some(doubt) => {
                parcel.is_doubted = true;
                // The policy for doubt was asked by whoever got here: the event stays pending.
                self.record_doubt(parcel, doubt, OnAmbiguous::Retry).await
            }
        }
    }

    /// Sets the event aside for its backoff, and behind it what was claimed of the same visitor.
    async fn again(&mut self, mut parcel: Parcel, due: Instant) -> Result<(), RecorderGone> {
        let visitor = parcel.visitor;
        parcel.suite.pass(std::mem::take(&mut parcel.is_candidate));
        self.aside.back_off(parcel, due);
        self.follow(visitor).await
    }

    /// Sets aside what was claimed of a visitor behind its first event.
    async fn follow(&mut self, visitor: VisitorKey) -> Result<(), RecorderGone> {
        for (claimed, ticket) in std::mem::take(&mut self.claimed) {
            if claimed.visitor == visitor {
                self.release(&claimed).await?;
                self.aside.follow(claimed);
            } else {
                self.claimed.push_back((claimed, ticket));
            }
        }
        Ok(())
    }

    /// The visitor's first event is settled: what waited behind it goes next, in its order.
    fn resume_visitor(&mut self, visitor: VisitorKey) {
        for parcel in self.aside.release(visitor).into_iter().rev() {
            self.queue.push_front(parcel);
        }
    }

    async fn finish_delivered(&mut self, parcel: Parcel) -> Result<(), RecorderGone> {
        {
            let mut counts = self.context.tally.counts();
            counts.read += 1;
            counts.suite(parcel.suite.rsid()).delivered += 1;
        }
        parcel.suite.settle(&parcel);
        let at = self.context.clock.now();
        let delivered = Delivered { event: parcel.event, visitor: parcel.visitor, at };
        self.context.recorder.record(Change::Delivered(delivered)).await?;
        self.resume_visitor(parcel.visitor);
        Ok(())
    }

    async fn bury(&mut self, parcel: Parcel, reason: DeadReason) -> Result<(), RecorderGone> {
        {
            let mut counts = self.context.tally.counts();
            counts.read += 1;
            counts.suite(parcel.suite.rsid()).dead += 1;
            if counts.dead.may_tell() {
                tracing::warn!(seq = parcel.event.sequence.0, rsid = %parcel.suite.rsid(), %reason, "event is dead");
            }
        }
        parcel.suite.settle(&parcel);
        if let Some(doubt) = some_hits_counted(&parcel) {
            self.record_doubt(&parcel, doubt, OnAmbiguous::Retry).await?;
        }
        let at = self.context.clock.now();
        let dead = Change::Dead { event: parcel.event, form: parcel.form, reason, at };
        self.context.recorder.record(dead).await?;
        self.resume_visitor(parcel.visitor);
        Ok(())
    }

    async fn hold(&mut self, parcel: Parcel, doubt: Doubt) -> Result<(), RecorderGone> {
        {
            let mut counts = self.context.tally.counts();
            counts.read += 1;
            counts.suite(parcel.suite.rsid()).held += 1;
            if counts.held.may_tell() {
                tracing::warn!(seq = parcel.event.sequence.0, rsid = %parcel.suite.rsid(), %doubt, "event is held");
            }
        }
        parcel.suite.settle(&parcel);
        self.record_doubt(&parcel, doubt, OnAmbiguous::Hold).await?;
        self.resume_visitor(parcel.visitor);
        Ok(())
    }

    async fn record_doubt(
        &mut self,
        parcel: &Parcel,
        doubt: Doubt,
        policy: OnAmbiguous,
    ) -> Result<(), RecorderGone> {
        let at = self.context.clock.now();
        let change = Change::Doubt { event: parcel.event, form: parcel.form, doubt, policy, at };
        self.context.recorder.record(change).await
    }

    async fn release(&mut self, parcel: &Parcel) -> Result<(), RecorderGone> {
        self.context.recorder.record(Change::Release { sequence: parcel.event.sequence }).await
    }

    /// Leaves an event pending, and with it everything of its visitor in this run.
    async fn end_visitor(&mut self, parcel: Parcel) -> Result<(), RecorderGone> {
        let visitor = parcel.visitor;
        self.ended.insert(visitor);
        self.leave(&parcel);
        self.aside.release(visitor).iter().for_each(|parcel| self.leave(parcel));
        for (claimed, ticket) in std::mem::take(&mut self.claimed) {
            if claimed.visitor == visitor {
                self.leave(&claimed);
                self.release(&claimed).await?;
            } else {
                self.claimed.push_back((claimed, ticket));
            }
        }
        Ok(())
    }

    /// Counts an event that this run leaves pending.
    fn leave(&self, parcel: &Parcel) {
        let mut counts = self.context.tally.counts();
        counts.read += 1;
        counts.in_doubt += u64::from(parcel.is_doubted);
        counts.left |= !parcel.suite.is_paused();
        drop(counts);
        parcel.suite.settle(parcel);
    }

    /// Gives claims back during a pause; their events are first in the queue.
    async fn give_back(&mut self) -> Result<(), RecorderGone> {
        for (parcel, _) in std::mem::take(&mut self.claimed).into_iter().rev() {
            self.release(&parcel).await?;
            self.put_back(parcel);
        }
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

fn next_body(parcel: &Parcel) -> Option<Bytes> {
    match &parcel.work {
        Work::Send { hits, next } => hits.get(*next).cloned(),
        Work::Bury(_) => None,
    }
}

fn advance(parcel: &mut Parcel) {
    if let Work::Send { next, .. } = &mut parcel.work {
        *next += 1;
    }
}

fn has_begun(parcel: &Parcel) -> bool {
    matches!(parcel.work, Work::Send { next, .. } if next > 0)
}

/// An event of several hits, some of which succeeded, is sent again whole and in the same form.
fn some_hits_counted(parcel: &Parcel) -> Option<Doubt> {
    match &parcel.work {
        Work::Send { hits, next } if *next > 0 => Some(Doubt::SomeCounted { counted: *next, of: hits.len() }),
        Work::Send { .. } | Work::Bury(_) => None,
    }
}
