//! Claims slices of one collection host, reads and sends their events, records the outcomes, and gives the slices back.
//!
//! ```text
//! backlog ──> lines (a visitor's events in order) ──> attempt, durable ──> lane ──> reply ──┐
//!                 ^                                                                   outcome, with the next attempts
//!                 └── back, or to rest                                           <────────┘
//! ```
//!
//! One loop does all this, so outcomes and new attempts share a transaction; while the transaction commits, lanes send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::lane::{End, Parcel, Queue, Reply, Sending};
use super::line::Lines;
use super::pace::Pace;
use super::suite::{Refused, SuiteWork};
use super::tally::WorkSummary;
use super::work::{Place, Work};
use crate::collection::{Breaker, Connection, Host};
use crate::delivery::{Doubt, Outcome};
use crate::drain::{Next, Refusal, Situation, StopReason, next};
use crate::postgres::{
    Backlog, Claim, Cut, Decision, Granted, Group, Outcome as Recorded, PostgresError, SharedBuffer,
    SharedRoute, Verdict, Waiting,
};
use crate::suite::OnAmbiguous;

/// How often the worker looks for free slices, computes its fair share, and checks whether suites were paused.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A slice with fewer events in memory than this reads its next page.
const WAITING_LOW: usize = 512;
/// How many slices read a page while a transaction commits.
const PAGES_AT_ONCE: usize = 2;
/// How many different troubles a summary names.
const TROUBLES_MAX: usize = 20;
/// How soon the loop goes round again, without a new look, while the lease is not held or a pace is full
/// (`Pace::is_full`).
pub(super) const POLL: Duration = Duration::from_millis(20);

/// A slice that this worker owns.
pub(super) struct SliceWork {
    pub(super) claim: Arc<Claim>,
    pub(super) backlog: Backlog,
    /// How many events are in memory, including those under way.
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    /// Events that this drain leaves pending.
    pub(super) left: Vec<i64>,
    /// Whether the slice is given back once nothing of it is under way.
    pub(super) is_leaving: bool,
}

pub(super) struct HostWork {
    pub(super) work: Work,
    pub(super) buffer: SharedBuffer,
    pub(super) reader: SharedBuffer,
    pub(super) host: Arc<Host>,
    pub(super) breaker: Breaker,
    pub(super) suites: Vec<SuiteWork>,
    pub(super) cut: Cut,
    pub(super) slices: BTreeMap<Place, SliceWork>,
    pub(super) lines: Lines,
    pub(super) idle: Vec<Connection>,
    pub(super) queue: Queue,
    pub(super) lanes: JoinSet<Connection>,
    pub(super) sender: UnboundedSender<Reply>,
    pub(super) replies: UnboundedReceiver<Reply>,
    /// What is recorded next, and since when its first outcome waits.
    pub(super) group: Group,
    pub(super) group_since: Option<Instant>,
    pub(super) summary: WorkSummary,
    pub(super) is_given_up: bool,
    /// The buffer's error when a lane asked for the turn of a hit. `run` then fails with this error.
    failure: Option<PostgresError>,
    /// Whether, at the last look, a slice of this worker or of another was not yet covered up to `cut`, which is what
    /// was stored when the drain began.
    pub(super) waits_for_others: bool,
    pub(super) look_at: Instant,
    /// When to choose events again, after the breaker refused a permit or while a pace is full (`Pace::is_full`).
    pub(super) permit_at: Option<Instant>,
}

impl HostWork {
    pub(super) async fn new(
        work: Work,
        host: Arc<Host>,
        routes: Vec<SharedRoute>,
        cut: Cut,
    ) -> Result<HostWork, PostgresError> {
        let (sender, replies) = unbounded_channel();
        let mut paces = Vec::new();
        if let Some(rate) = work.options.rate_per_host {
            paces.push(Pace::open(format!("host {}", host.url()), rate, &work).await?);
        }
        let mut suites = Vec::new();
        for route in routes {
            let mut paces = paces.clone();
            if let Some(rate) = route.suite.hits_per_second {
                paces.push(Pace::open(format!("suite {}", route.suite.form.rsid), rate, &work).await?);
            }
            suites.push(SuiteWork::new(route, paces));
        }
        Ok(HostWork {
            buffer: work.open().await?,
            reader: work.open().await?,
            failure: None,
            breaker: host.breaker(),
            idle: (0..work.options.lanes).map(|_| host.connection()).collect(),
            suites,
            work,
            host,
            cut,
            slices: BTreeMap::new(),
            lines: Lines::default(),
            queue: Queue::default(),
            lanes: JoinSet::new(),
            sender,
            replies,
            group: Group::default(),
            group_since: None,
            summary: WorkSummary::default(),
            is_given_up: false,
            waits_for_others: true,
            look_at: Instant::now(),
            permit_at: None,
        })
    }

    /// Works until this worker or others have sent the backlog of every slice, or until the run stops.
    pub(super) async fn run(mut self) -> Result<WorkSummary, PostgresError> {
        let mut grace_ends: Option<Instant> = None;
        loop {
            let is_stopped = self.work.stop.requested().is_some() || self.is_given_up;
            if !is_stopped && Instant::now() >= self.look_at {
                self.look().await?;
                self.look_at = Instant::now() + LOOK_EVERY;
            }
            while let Ok(reply) = self.replies.try_recv() {
                self.take(reply);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.lines.wake(Instant::now());
            self.withdraw(is_stopped);
            if !is_stopped && self.gathers() {
                self.wait(None).await;
                continue;
            }
            let chosen = if is_stopped { Vec::new() } else { self.choose() };
            let is_idle = !self.record(chosen, is_stopped).await?;
            self.end_slices(is_stopped).await?;
            let in_flight = self.suites.iter().map(|suite| suite.in_flight).sum::<usize>();
            if is_stopped {
                let ends = *grace_ends.get_or_insert_with(|| Instant::now() + self.work.options.stop_grace);
                if in_flight == 0 || Instant::now() >= ends {
                    self.summary.cut_off = in_flight as u64;
                    break;
                }
            } else if self.slices.is_empty() && in_flight == 0 && !self.waits_for_others {
                break;
            }
            if is_idle {
                self.wait(grace_ends).await;
            }
        }
        self.give_back_all().await?;
        self.summary.by_others =
            self.summary.slices == 0 && self.work.stop.requested().is_none() && !self.is_given_up;
        Ok(self.summary)
    }

    /// Waits for a reply, the end of a lane, a stop, or the next time at which something is due; at most `LOOK_EVERY`.
    async fn wait(&mut self, grace_ends: Option<Instant>) {
        let lease = (!self.work.lease.is_held()).then(|| Instant::now() + POLL);
        let others = [self.lines.next_due(), self.permit_at, lease, grace_ends, self.gathered_at()];
        let until = others.into_iter().flatten().fold(Instant::now() + LOOK_EVERY, Instant::min);
        let is_stopping = grace_ends.is_some();
        tokio::select! {
            reply = self.replies.recv() => if let Some(reply) = reply { self.take(reply) },
            Some(lane) = self.lanes.join_next() => self.end_lane(lane),
            () = sleep_until(until) => {}
            _ = self.work.stop.wait(), if !is_stopping => {}
        }
    }

    /// Records new attempts, outcomes and decisions, and reads the next pages meanwhile. Then gives the lanes the
    /// attempts that the buffer granted. Returns false if there was nothing to do.
    pub(super) async fn record(
        &mut self,
        chosen: Vec<Sending>,
        is_stopped: bool,
    ) -> Result<bool, PostgresError> {
        let group = std::mem::take(&mut self.group);
        self.group_since = None;
        let is_low = |slice: &SliceWork| {
            !is_stopped && !slice.is_leaving && !slice.backlog.is_exhausted && slice.waiting < WAITING_LOW
        };
        let low = self
            .slices
            .iter()
            .filter(|((suite, ..), slice)| is_low(slice) && !self.suites[*suite].is_stopped);
        let mut pages: Vec<(Place, Backlog)> =
            low.take(PAGES_AT_ONCE).map(|(place, slice)| (*place, slice.backlog.clone())).collect();
        let is_empty = group.attempts.is_empty() && group.outcomes.is_empty() && group.decisions.is_empty();
        if is_empty && pages.is_empty() {
            return Ok(false);
        }
        let (buffer, reader, worker) = (&mut self.buffer, &mut self.reader, &self.work.worker);
        let recording =
            async { if is_empty { Ok(Granted::default()) } else { buffer.record(worker, &group).await } };
        let reading = async {
            let mut read = Vec::new();
            for (place, backlog) in &mut pages {
                read.push((*place, reader.page(backlog).await?));
            }
            Ok::<_, PostgresError>(read)
        };
        let (granted, read) = tokio::try_join!(recording, reading)?;
        self.go_on(granted, &group, chosen);
        for (place, backlog) in pages {
            if let Some(slice) = self.slices.get_mut(&place) {
                slice.backlog = backlog;
            }
        }
        read.into_iter().for_each(|(place, events)| self.add(place, &events));
        Ok(true)
    }

    fn go_on(&mut self, granted: Granted, group: &Group, chosen: Vec<Sending>) {
        let decided = group.decisions.iter().filter(|(_, decision)| granted.decided.contains(&decision.seq));
        decided.for_each(|(rsid, decision)| self.summary.count(rsid, decision));
        for claim in granted.lost {
            let place = self.slices.iter().find(|(_, slice)| slice.claim == claim).map(|(place, _)| *place);
            if let Some(place) = place {
                self.lose(place);
            }
        }
        for sending in chosen {
            if granted.attempts.contains(&sending.attempt) {
                self.queue.borrow_mut().push_back(sending);
                continue;
            }
            // The slice is lost, or somebody has decided the event.
            let Sending { parcel, is_probe, .. } = sending;
            self.land(parcel.place, is_probe);
            self.done(&parcel);
        }
        while let Some(lane) = self.lanes.try_join_next() {
            self.end_lane(lane);
        }
        self.launch();
    }

    /// Adds the events of a page to their visitors' lines. Events not to be sent become held or dead, or stay pending.
    fn add(&mut self, place: Place, events: &[Waiting]) {
        let Some(slice) = self.slices.get_mut(&place) else { return };
        let route = &self.suites[place.0].route;
        let rsid = &route.suite.form.rsid;
        self.summary.read += events.len() as u64;
        for waiting in events {
            let is_doubted = waiting.earlier.as_ref().is_some_and(|earlier| earlier.is_in_doubt);
            if is_doubted && route.suite.on_ambiguous == OnAmbiguous::Hold {
                let reason = Some(Doubt::RunEnded.to_string());
                let decision = Decision { seq: waiting.seq, state: Verdict::Held, reason };
                self.group.decisions.push((rsid.clone(), decision));
                continue;
            }
            match Parcel::new(place, route, waiting) {
                Err(reason) => {
                    let reason = Some(reason.code());
                    let decision = Decision { seq: waiting.seq, state: Verdict::Dead, reason };
                    self.group.decisions.push((rsid.clone(), decision));
                }
                Ok(parcel) if self.lines.is_ended(parcel.visitor) => slice.left.push(parcel.seq),
                Ok(parcel) => {
                    slice.waiting += 1;
                    self.lines.push(parcel);
                }
            }
        }
    }

    /// Counts an attempt as no longer under way. `is_probe` means a probe that was not sent: its permit is given back.
    fn land(&mut self, place: Place, is_probe: bool) {
        self.suites[place.0].in_flight -= 1;
        if let Some(slice) = self.slices.get_mut(&place) {
            slice.in_flight = slice.in_flight.saturating_sub(1);
        }
        if is_probe {
            self.breaker.return_probe(Instant::now());
        }
    }

    /// Forgets an event that this worker need not send any more. The next event of its visitor may now be sent.
    fn done(&mut self, parcel: &Parcel) {
        if let Some(slice) = self.slices.get_mut(&parcel.place) {
            slice.waiting = slice.waiting.saturating_sub(1);
        }
        self.lines.free(parcel.visitor);
    }

    /// Records how an attempt ended, and does what follows for its event, its suite and the breaker.
    pub(super) fn take(&mut self, reply: Reply) {
        let Reply { mut parcel, attempt, number, is_probe, hits, end } = reply;
        self.group_since.get_or_insert_with(Instant::now);
        self.summary.hits += hits;
        self.land(parcel.place, is_probe && matches!(end, End::Unsent | End::NoTurn(_)));
        let outcome = match end {
            End::Delivered => {
                self.breaker.record(Instant::now(), &Outcome::Delivered);
                self.note(&parcel, attempt, Verdict::Delivered, None);
                self.decide(&parcel, Verdict::Delivered, None);
                for refused in self.suites[parcel.place.0].succeed(number) {
                    self.settle_refused(refused);
                }
                return;
            }
            End::Unsent | End::NoTurn(_) => {
                if let End::NoTurn(error) = end {
                    self.failure = Some(error);
                }
                self.note(&parcel, attempt, Verdict::Unsent, None);
                parcel.attempts -= 1;
                return self.back(parcel, None);
            }
            End::Met(outcome) => outcome,
        };
        let was_up = self.breaker.is_closed();
        self.breaker.record(Instant::now(), &outcome);
        if let Some((_, cause)) = outcome.trouble() {
            self.tell(cause);
        }
        // While the breaker is open, an attempt that reaches no server does not count against the event.
        if !was_up && matches!(&outcome, Outcome::Retry { cause, .. } if cause.is_unreachable()) {
            parcel.attempts -= 1;
        }
        parcel.bare_failures += u32::from(matches!(outcome, Outcome::BareFailure));
        parcel.is_doubted |= outcome.doubt().is_some();
        if let Some(refusal) = Refusal::of(&outcome) {
            let verdict = if refusal.is_doubtful { Verdict::Doubt } else { Verdict::Refused };
            self.note(&parcel, attempt, verdict, outcome.reply());
            return self.refuse(parcel, outcome, &refusal.cause);
        }
        let verdict = if outcome.doubt().is_some() { Verdict::Doubt } else { Verdict::Retry };
        self.note(&parcel, attempt, verdict, outcome.reply());
        self.step(parcel, &outcome);
    }

    fn note(&mut self, parcel: &Parcel, attempt: i64, verdict: Verdict, reason: Option<String>) {
        let hits_sent = i32::try_from(parcel.hits_sent).unwrap_or(i32::MAX);
        self.group.outcomes.push(Recorded { seq: parcel.seq, attempt, verdict, hits_sent, reason });
    }

    fn decide(&mut self, parcel: &Parcel, state: Verdict, reason: Option<String>) {
        let rsid = self.suites[parcel.place.0].route.suite.form.rsid.clone();
        let decision = Decision { seq: parcel.seq, state, reason };
        self.group.decisions.push((rsid, decision));
        self.done(parcel);
    }

    /// Does with an event what the rules of the drain decide for its outcome.
    fn step(&mut self, parcel: Parcel, outcome: &Outcome) {
        let situation = Situation {
            attempts: parcel.attempts,
            bare_failures: parcel.bare_failures,
            policy: self.suites[parcel.place.0].route.suite.on_ambiguous,
            jitter: fastrand::f64(),
        };
        match next(outcome, &situation, &self.work.options.retry) {
            Next::Delivered => self.decide(&parcel, Verdict::Delivered, None),
            Next::Bury(reason) => self.decide(&parcel, Verdict::Dead, Some(reason.code())),
            Next::Hold(doubt) => self.decide(&parcel, Verdict::Held, Some(doubt.to_string())),
            Next::Again(wait) => self.back(parcel, Some(Instant::now() + wait)),
            Next::LeavePending => self.leave(parcel),
        }
    }

    /// Puts an event back into its line, at once or after a rest until an instant, unless its slice is gone.
    fn back(&mut self, parcel: Parcel, rest: Option<Instant>) {
        match (self.slices.contains_key(&parcel.place), rest) {
            (false, _) => self.lines.free(parcel.visitor),
            (true, Some(until)) => self.lines.rest(parcel, until),
            (true, None) => self.lines.back(parcel),
        }
    }

    fn refuse(&mut self, parcel: Parcel, outcome: Outcome, cause: &str) {
        if !self.slices.contains_key(&parcel.place) {
            return self.lines.free(parcel.visitor);
        }
        let suite = &mut self.suites[parcel.place.0];
        if suite.refuse(parcel, outcome) {
            let rsid = suite.route.suite.form.rsid.clone();
            tracing::error!(%rsid, fault = cause, "report suite stopped for this drain; its events wait");
            self.summary.troubles.push(format!("{rsid}: stopped for this drain: {cause}"));
            self.summary.stopped = self.summary.stopped.or(Some(StopReason::Suite));
        }
    }

    /// Treats a refused event as at fault, because a later success has shown that its suite is not.
    fn settle_refused(&mut self, refused: Refused) {
        if self.slices.contains_key(&refused.parcel.place) {
            self.step(refused.parcel, &refused.outcome);
        }
    }

    /// Leaves a refused event to the next drain. Holds it instead if it is in doubt and its suite holds such events.
    pub(super) fn leave_refused(&mut self, refused: Refused) {
        let Refused { parcel, outcome, .. } = refused;
        let policy = self.suites[parcel.place.0].route.suite.on_ambiguous;
        match outcome.doubt().filter(|_| policy == OnAmbiguous::Hold) {
            Some(doubt) => self.decide(&parcel, Verdict::Held, Some(doubt.to_string())),
            None => self.leave(parcel),
        }
    }

    /// Leaves an event, and the later ones of its visitor, pending in this drain.
    fn leave(&mut self, parcel: Parcel) {
        self.summary.in_doubt += u64::from(parcel.is_doubted);
        self.summary.left = true;
        let behind = self.lines.end(parcel.visitor);
        for parcel in std::iter::once(parcel).chain(behind) {
            // The visitor's later events may belong to a later claim of the same slice.
            if let Some(slice) = self.slices.get_mut(&parcel.place) {
                slice.left.push(parcel.seq);
                slice.waiting -= 1;
            }
        }
    }

    fn tell(&mut self, cause: String) {
        let trouble = format!("{}: {cause}", self.host.url());
        if !self.summary.troubles.contains(&trouble) && self.summary.troubles.len() < TROUBLES_MAX {
            tracing::warn!(host = %self.host.url(), cause, "trouble at the collection host");
            self.summary.troubles.push(trouble);
        }
    }
}
