//! A drain passes over the buffer once, sends pending events in the order of each visitor, and records outcomes.
//!
//! - In: a buffer, a collection, options, a stop. Out: a [`RunSummary`].
//! - Guarantees: a visitor's hits are in chronological order, however many lanes there are; an attempt is
//!   recorded on disk before it is made; an event that may have been counted is repeated in exactly the form
//!   of its first attempt, or held; an event becomes dead only if a reply is about it or if it gives no hit; a
//!   host that is down delays no other host; the run always ends.
//! - Does not know: SQL, sockets, schedules, texts for people.
//! - Rules: `docs/guarantees.md`. `retry.rs` decides on events, `verdict.rs` on suites, `lanes.rs` sends.

mod aside;
mod bindings;
mod feed;
mod host;
mod lane_threads;
mod lanes;
mod parcel;
mod recorder;
mod retry;
mod stop;
mod suite_run;
mod summary;
mod verdict;
mod ward;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use retry::RetryLimits;
pub(crate) use retry::{Next, Situation, next};
pub use stop::{Stop, StopReason};
pub use summary::{RunSummary, SuiteSummary};
pub(crate) use verdict::Refusal;

use crate::buffer::{
    AfterRestore, BackfillLock, Backlog, BlockedSuite, Buffer, BufferError, DrainLock, JobKey, JobRecord,
    LockWatch, Route, RunStart, Watch,
};
use crate::clock::{Clock, ClockError};
use crate::collection::{Collection, CollectionError, Host};
use crate::delivery::Trouble;
use crate::suite::{CollectionUrl, Rsid};
use host::{HostRun, TroubleKey};
use lane_threads::LaneThreads;
use lanes::Lane;
use parcel::Parcel;
use recorder::RecorderGone;
use summary::{Counts, Known, LINES_MAX};
use ward::Phase;

/// How many threads the lanes of a run share. The feed and the buffer have threads of their own.
const LANE_THREADS: usize = 2;
/// How often a drain checks whether suites were paused, so a pause (the kill switch) takes effect within this time.
const PAUSE_POLL: Duration = Duration::from_secs(1);

/// The options of a drain.
#[derive(Clone)]
pub struct DrainOptions {
    /// How many lanes each collection host has.
    pub lanes: usize,
    pub retry: RetryLimits,
    /// How long a stop waits for requests in flight.
    pub stop_grace: Duration,
    /// The most events to send, without those that are refused; `None` means all.
    pub limit: Option<u64>,
    /// The longest time a drain may take; `None` means no limit.
    pub deadline: Option<Duration>,
    /// Whether a buffer restored from a backup may send events again that were delivered after the backup.
    pub after_restore: AfterRestore,
    /// What sends the events of some suites in the place of the lanes.
    pub beside: Option<Arc<dyn Beside>>,
    pub clock: Clock,
}

/// Sends live events of some suites in the run of a drain, beside its lanes.
pub trait Beside: Send + Sync {
    fn takes(&self, rsid: &Rsid) -> bool;
    /// Starts to send, within the stop and the limit of the run. If a task is dropped, its uploads are cut off.
    fn send(self: Arc<Self>, start: &RunStart, allowance: Arc<AtomicU64>, stop: &Stop) -> JoinSet<()>;
    fn add_to(&self, summary: &mut RunSummary);
}

/// Why a drain could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The buffer failed, so the events in flight are in doubt.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Way(#[from] CollectionError),
    #[error("cannot start a thread of the drain")]
    Thread(#[source] std::io::Error),
    /// The clock jumped during the drain to a time that no event can have.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

/// The lock that a drain holds, so that no other process sends the same events meanwhile.
#[derive(Debug, Clone, Copy)]
pub enum Locked<'a> {
    Live(&'a DrainLock),
    Backfill(&'a BackfillLock, &'a JobRecord),
}

impl Locked<'_> {
    fn job(self) -> JobKey {
        match self {
            Locked::Live(_) => JobKey::LIVE,
            Locked::Backfill(_, job) => job.key,
        }
    }

    /// Says when the events that this run leaves pending are sent.
    fn then(self) -> String {
        match self {
            Locked::Live(_) => "the events that wait go with the next run".to_owned(),
            Locked::Backfill(_, JobRecord { name, .. }) => {
                format!("the events that wait go with: passbridge backfill resume {name}")
            }
        }
    }

    fn watch(self) -> LockWatch {
        match self {
            Locked::Live(lock) => lock.watch(),
            Locked::Backfill(lock, _) => lock.watch(),
        }
    }
}

/// Sends the pending events of the lock's job, and records the run.
pub async fn drain(
    buffer: &Arc<Buffer>,
    out: &Collection,
    options: &DrainOptions,
    stop: Stop,
    lock: Locked<'_>,
) -> Result<RunSummary, DrainError> {
    let started_at = options.clock.now();
    let (job, after_restore) = (lock.job(), options.after_restore);
    let mut routes = blocking(buffer, move |buffer| {
        buffer.accept_restored(after_restore)?;
        buffer.routes()
    })
    .await?;
    routes.retain(|route| !options.beside.iter().any(|beside| beside.takes(&route.suite.form.rsid)));
    let ways = ways(out, routes)?;
    let blocked = tell_blocked(buffer, job, &[]).await?;
    let (place, start, earlier) = blocking(buffer, move |buffer| {
        let (place, start) = (buffer.watch()?, buffer.begin_run(job)?);
        let earlier = buffer.earlier_troubles(start.run, job)?;
        Ok::<_, BufferError>((place, start, earlier))
    })
    .await?;
    let mut ground = Ground { lock: lock.watch(), place, blocked, met: Vec::new() };
    tracing::info!(run_id = start.run.0, recovered = start.recovered, held = start.held, "drain begins");
    let known = Arc::new(Known {
        lanes: options.lanes,
        allowance: Arc::new(AtomicU64::new(options.limit.unwrap_or(u64::MAX).min(u64::MAX / 2))),
        started_at,
        cover: start.cover,
        stop: stop.clone(),
        earlier,
        then: lock.then(),
        tally: Arc::default(),
    });
    let hosts = ways.into_iter().map(|(host, routes)| Arc::new(HostRun::new(host, routes, known.clone())));
    let pass = Pass { buffer, hosts: hosts.collect(), job, start, options, stop, known };
    let sent = pass.send_all(ground.clone()).await.and_then(|()| Ok(options.clock.check()?));
    // The record of a failed run says why, unless the buffer or its lock is no longer this run's.
    match (sent, blocking(buffer, move |buffer| ground.check(buffer)).await) {
        (Err(error), is_ours) => {
            match is_ours {
                Ok(()) => drop(pass.record(Some(&error)).await),
                Err(_) => drop(blocking(buffer, move |buffer| buffer.end_turn(job)).await),
            }
            Err(error)
        }
        (Ok(()), is_ours) => {
            let summary = pass.record(None).await?;
            is_ours?;
            Ok(summary)
        }
    }
}

/// Returns the suites whose hits are lost, even if a person lets hits be sent to them. Logs those not in `told`.
pub async fn tell_blocked(
    buffer: &Arc<Buffer>,
    job: JobKey,
    told: &[BlockedSuite],
) -> Result<Vec<BlockedSuite>, BufferError> {
    let blocked = blocking(buffer, move |buffer| buffer.blocked_suites(job)).await?;
    let lines_max = LINES_MAX as usize;
    let is_new = |one: &&BlockedSuite| {
        told.iter().all(|told| told.rsid != one.rsid || told.is_overruled != one.is_overruled)
    };
    let new: Vec<_> = blocked.iter().filter(is_new).collect();
    for BlockedSuite { rsid, reason, is_overruled, requestors } in new.iter().take(lines_max) {
        if *is_overruled {
            tracing::warn!(%rsid, reason, "the hits that are sent to report suite {rsid} are lost, and somebody overruled that: passbridge suite check {rsid}");
        } else {
            tracing::error!(
                %rsid,
                reason,
                requestors,
                "nothing is sent to report suite {rsid}, which would lose it, and its events wait: mend it, then passbridge suite check \
                 {rsid}; or passbridge suite resume {rsid} --anyway"
            );
        }
    }
    if let Some(suites @ 1..) = new.len().checked_sub(lines_max) {
        tracing::error!(suites, "more report suites would lose their hits: passbridge suite list names them");
    }
    Ok(blocked)
}

/// What a drain checks every second: that it still holds the lock, and that the buffer was not replaced.
#[derive(Debug, Clone)]
struct Ground {
    lock: LockWatch,
    place: Watch,
    /// The blocked suites at the last check. They are already logged.
    blocked: Vec<BlockedSuite>,
    /// The troubles that the run has recorded so far, so that `status` can show them.
    met: Vec<TroubleKey>,
}

impl Ground {
    fn check(&mut self, buffer: &Buffer) -> Result<(), BufferError> {
        self.lock.check()?;
        buffer.look(&mut self.place)
    }
}

/// A host, and the routes that lead to it.
type Way = (Arc<Host>, Vec<Route>);

/// Groups the routes by host. Fails before anything is sent if a proxy variable cannot be used.
fn ways(out: &Collection, routes: Vec<Route>) -> Result<Vec<Way>, CollectionError> {
    let mut by_host: BTreeMap<CollectionUrl, Vec<Route>> = BTreeMap::new();
    for route in routes {
        by_host.entry(route.suite.collection_url.clone()).or_default().push(route);
    }
    by_host.into_iter().map(|(url, routes)| Ok((out.host(&url)?, routes))).collect()
}

/// What the functions of a run share.
struct Pass<'a> {
    buffer: &'a Arc<Buffer>,
    hosts: Vec<Arc<HostRun>>,
    job: JobKey,
    start: RunStart,
    options: &'a DrainOptions,
    stop: Stop,
    known: Arc<Known>,
}

impl Pass<'_> {
    /// Records the run, and why it failed if it did.
    async fn record(&self, failure: Option<&DrainError>) -> Result<RunSummary, DrainError> {
        let (run, options, recorded) = (self.start.run, self.options, self.known.tally.counts().clone());
        let read = move |buffer: &Buffer| Ok::<_, BufferError>((buffer.status()?, buffer.claims_left(run)?));
        let (status, cut_off) = blocking(self.buffer, read).await?;
        recorded.tell_rest();
        let troubles = self.troubles();
        let stopped = self.stop_reason(&recorded, &troubles);
        let sum = |part: fn(&SuiteSummary) -> u64| recorded.suites.values().map(part).sum::<u64>();
        let mut summary = RunSummary {
            run_id: run,
            started_at: self.known.started_at,
            finished_at: options.clock.now(),
            read: recorded.read + cut_off,
            hits: recorded.hits,
            delivered: sum(|suite| suite.delivered),
            dead: sum(|suite| suite.dead),
            held: sum(|suite| suite.held) + self.start.held,
            in_doubt: recorded.in_doubt + cut_off,
            cut_off,
            retries: recorded.retries,
            pending: status.pending as u64,
            parked: status.parked as u64,
            stopped,
            left: recorded.left || cut_off > 0 || failure.is_some(),
            troubles,
            failure: failure.map(in_full),
            suites: recorded.suites,
        };
        options.beside.iter().for_each(|beside| beside.add_to(&mut summary));
        let to_record = summary.clone();
        blocking(self.buffer, move |buffer| buffer.finish_run(run, &to_record)).await?;
        tracing::info!(
            run_id = summary.run_id.0,
            read = summary.read,
            delivered = summary.delivered,
            dead = summary.dead,
            held = summary.held,
            in_doubt = summary.in_doubt,
            retries = summary.retries,
            pending = summary.pending,
            stopped = summary.stopped.map(StopReason::as_str),
            failure = summary.failure,
            "drain ends"
        );
        Ok(summary)
    }

    /// Starts lanes and feeds and waits for them. If a feed cannot read the buffer, the sending to its host
    /// ends, and the feed's error is returned at the end.
    async fn send_all(&self, ground: Ground) -> Result<(), DrainError> {
        // All backlogs are opened first: if too few files may be open, nothing is sent.
        let backlogs: Vec<_> = self.hosts.iter().map(|_| self.buffer.backlog(self.job)).collect();
        let lanes_in_all = self.options.lanes * self.hosts.len();
        let (recorder, recording) = recorder::recorder(self.buffer.clone(), self.start.run);
        let recording = tokio::spawn(recording);
        let deadline = tokio::spawn(keep_deadline(self.options.deadline, self.stop.clone()));
        let threads = LaneThreads::start(LANE_THREADS.min(lanes_in_all)).map_err(DrainError::Thread)?;
        let (mut lanes, mut feeds) = (JoinSet::new(), Vec::new());
        for (host, backlog) in self.hosts.iter().zip(backlogs.into_iter().collect::<Result<Vec<_>, _>>()?) {
            let start_lane = |number| {
                let (sender, inbound) = mpsc::unbounded_channel();
                let rules = (self.options.retry.clone(), self.options.clock.clone());
                let lane = Lane::new(number, host.clone(), recorder.clone(), rules, inbound);
                lanes.spawn_on(lane.run(), threads.of_lane(number));
                sender
            };
            let inbounds: Vec<_> = (0..host.known.lanes).map(start_lane).collect();
            feeds.push(start_feed(backlog, host.clone(), inbounds)?);
        }
        drop(recorder);
        if let Some(beside) = self.options.beside.clone() {
            let sending = beside.send(&self.start, self.known.allowance.clone(), &self.stop);
            lanes.spawn(async { sending.join_all().await.into_iter().try_for_each(Ok) });
        }
        let finished = self.finish(&mut lanes, ground).await;
        self.hosts.iter().for_each(|host| host.tell(true));
        let recorded = recording.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        deadline.abort();
        let mut damage = None;
        for feed in feeds {
            let fed = feed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            damage = fed.err().or(damage);
        }
        finished?;
        recorded?;
        damage.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits for the lanes. A stop limits the wait to the grace period; a lost lock or buffer ends the wait.
    /// An attempt that is cut off keeps its claim, so its event is in doubt.
    async fn finish(
        &self,
        lanes: &mut JoinSet<Result<(), RecorderGone>>,
        ground: Ground,
    ) -> Result<(), DrainError> {
        let grace_is_over = async {
            self.stop.wait().await;
            sleep(self.options.stop_grace).await;
        };
        let lost = self.watch(ground);
        tokio::pin!(grace_is_over, lost);
        loop {
            tokio::select! {
                joined = lanes.join_next() => match joined {
                    None => return Ok(()),
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // A lane whose recorder failed ends. The recorder reports the reason.
                    Some(_) => {}
                },
                () = &mut grace_is_over, if !lanes.is_empty() => {
                    tracing::warn!(lanes = lanes.len(), "requests still in flight after the grace period: their events are in doubt");
                    lanes.shutdown().await;
                    self.known.tally.counts().left = true;
                    return Ok(());
                }
                lost = &mut lost => {
                    lanes.shutdown().await;
                    return Err(lost);
                }
            }
        }
    }

    /// Every second, stops sending to suites without a route and records new troubles. Returns only after an error.
    async fn watch(&self, mut ground: Ground) -> DrainError {
        loop {
            sleep(PAUSE_POLL).await;
            self.hosts.iter().for_each(|host| host.tell(false));
            if let Err(error) = self.look(&mut ground).await {
                return error;
            }
        }
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.hosts.iter().flat_map(|host| host.troubles()).collect()
    }

    async fn look(&self, ground: &mut Ground) -> Result<(), DrainError> {
        self.options.clock.check()?;
        let mut looking = ground.clone();
        let looked = blocking(self.buffer, move |buffer| {
            looking.check(buffer)?;
            Ok::<_, BufferError>((looking, buffer.routes()?))
        });
        let (looked, routes) = looked.await?;
        *ground = looked;
        let (run, troubles) = (self.start.run, self.troubles());
        let met: Vec<_> = troubles.iter().map(host::key).collect();
        if met != ground.met {
            ground.met = met;
            blocking(self.buffer, move |buffer| buffer.note_troubles(run, &troubles)).await?;
        }
        for suite in self.hosts.iter().flat_map(|host| &host.suites) {
            let route = routes.iter().find(|route| route.suite.form.rsid == *suite.rsid());
            let maps = |route: &Route| suite.requestors.iter().all(|own| route.requestors.contains(own));
            if !route.is_some_and(maps) && !suite.is(Phase::Paused) {
                suite.ward(|ward| ward.end(Phase::Paused));
                ground.blocked = tell_blocked(self.buffer, self.job, &ground.blocked).await?;
            }
        }
        Ok(())
    }

    /// Why the run ended early: the most important of the reasons. `None` if there is none.
    fn stop_reason(&self, counts: &Counts, troubles: &[Trouble]) -> Option<StopReason> {
        let limit = counts.is_limited.then_some(StopReason::Limit);
        let stopped = troubles.iter().filter(|trouble| trouble.stopped);
        let of_troubles =
            stopped.map(|one| if one.rsid.is_some() { StopReason::Suite } else { StopReason::Host });
        self.stop.requested().into_iter().chain(limit).chain(of_troubles).min_by_key(|reason| *reason as u8)
    }
}

fn start_feed(
    backlog: Backlog,
    host: Arc<HostRun>,
    lanes: Vec<mpsc::UnboundedSender<Vec<Parcel>>>,
) -> Result<JoinHandle<Result<(), BufferError>>, DrainError> {
    let (runtime, thread) = (Handle::current(), std::thread::Builder::new().name("feed".to_owned()));
    thread.spawn(move || feed::feed(backlog, &host, &lanes, &runtime)).map_err(DrainError::Thread)
}

/// An error and its causes in one line.
fn in_full(error: &DrainError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn keep_deadline(deadline: Option<Duration>, stop: Stop) {
    if let Some(deadline) = deadline {
        sleep(deadline).await;
        stop.request(StopReason::Deadline);
    }
}

/// Runs a buffer call on another thread, because signals must be handled while another process holds the database.
async fn blocking<T: Send + 'static>(
    buffer: &Arc<Buffer>,
    verb: impl FnOnce(&Buffer) -> T + Send + 'static,
) -> T {
    let buffer = buffer.clone();
    let done = tokio::task::spawn_blocking(move || verb(&buffer)).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
