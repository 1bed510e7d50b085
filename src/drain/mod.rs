//! One pass over the buffer: every event that waits and may go is sent, in the order of its visitor, and its fate recorded.
//!
//! - In: a buffer, a collection, options, a stop. Out: a [`RunSummary`].
//! - Guarantees: a visitor's hits are in chronological order, however many lanes there are; an attempt is on disk before its
//!   first byte; an event that may have been counted is repeated in the very form of its first attempt, or held; only a reply
//!   about an event makes it dead; a host that is down stalls nobody else; the run ends.
//! - Does not know: SQL, sockets, when it is started, what a person wants to read.
//! - Rules: section 6 of the design. `retry.rs` decides on an event, `verdict.rs` on a suite, `lanes.rs` sends, `feed.rs` reads ahead,
//!   `recorder.rs` writes.

mod aside;
mod feed;
mod host;
mod lanes;
mod preview;
mod recorder;
mod retry;
mod stop;
mod suite_run;
mod summary;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use preview::{Preview, SuitePreview, preview};
pub use retry::RetryLimits;
pub use stop::{Stop, StopReason};
pub use summary::{RunSummary, SuiteSummary};

use crate::buffer::{
    BackfillLock, BlockedSuite, Buffer, BufferError, DrainLock, JobKey, LockWatch, Route, RunStart, Watch,
};
use crate::clock::Clock;
use crate::collection::Collection;
use crate::delivery::Trouble;
use crate::event::Instant;
use crate::suite::{CollectionUrl, EventIds};
use feed::{Parcel, Scope};
use host::HostRun;
use lanes::{Lane, LaneContext};
use recorder::{Recorder, RecorderGone};
use summary::{Counts, Tally};

/// How often a drain looks for suites that were paused: the kill switch works within this time.
const PAUSE_POLL: Duration = Duration::from_secs(1);
/// Batches that wait for a lane: enough that it never runs dry while the feed reads on, few enough to bound the memory.
const BATCHES_AHEAD: usize = 2;

/// How a drain goes about it.
#[derive(Debug, Clone)]
pub struct DrainOptions {
    pub lanes: usize,
    /// When a failed attempt is repeated.
    pub retry: RetryLimits,
    /// How long a stop waits for requests in flight.
    pub stop_grace: Duration,
    /// The most events to take; `None` takes all.
    pub limit: Option<u64>,
    /// The longest that it may take; `None` is no limit.
    pub deadline: Option<Duration>,
    /// Whether a buffer that was restored from a backup may repeat what the original delivered since.
    pub after_restore: AfterRestore,
    pub clock: Clock,
}

/// What to do with a buffer that is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterRestore {
    /// Refuse where repeats would count twice.
    #[default]
    Ask,
    /// Drain it all the same.
    Accept,
}

/// Why a drain could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The buffer failed; what was in flight is in doubt.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The buffer was restored from a backup, and a suite cannot tell repeats.
    #[error(
        "the buffer is a copy made at {copied_at}: what was delivered since would be sent again, and report suite {rsid} has no event IDs to tell"
    )]
    Restored {
        /// When the copy was made.
        copied_at: Instant,
        /// The first such suite.
        rsid: String,
    },
    #[error("cannot start a thread to read the backlog")]
    Thread(#[source] std::io::Error),
}

/// The right to drain: what is sent is sent by nobody else.
#[derive(Debug, Clone, Copy)]
pub enum Locked<'a> {
    /// Live events, their inbox moved.
    Live(&'a DrainLock),
    /// The events of this backfill.
    Backfill(&'a BackfillLock, JobKey),
}

impl Locked<'_> {
    fn job(self) -> JobKey {
        match self {
            Locked::Live(_) => JobKey::LIVE,
            Locked::Backfill(_, job) => job,
        }
    }

    fn watch(self) -> LockWatch {
        match self {
            Locked::Live(lock) => lock.watch(),
            Locked::Backfill(lock, _) => lock.watch(),
        }
    }
}

/// Sends what waits.
pub async fn drain(
    buffer: &Arc<Buffer>,
    out: &Collection,
    options: &DrainOptions,
    stop: Stop,
    lock: Locked<'_>,
) -> Result<RunSummary, DrainError> {
    let started_at = options.clock.now();
    let (job, after_restore) = (lock.job(), options.after_restore);
    let (routes, start, earlier, place) = blocking(buffer, move |buffer| {
        accept_restored(buffer, after_restore)?;
        let start = buffer.begin_run(job)?;
        let earlier = buffer.earlier_troubles(start.run, job)?;
        Ok::<_, DrainError>((buffer.routes()?, start, earlier, buffer.watch()?))
    })
    .await?;
    tell_blocked(buffer, job).await?;
    tracing::info!(run_id = start.run.0, recovered = start.recovered, held = start.held, "drain begins");
    let tally = Arc::new(Tally::default());
    let hosts = hosts(out, routes, options.lanes, &earlier);
    let mut ground = Ground { lock: lock.watch(), place };
    let damage = send_all(buffer, &hosts, job, &start, options, &stop, (&tally, ground.clone())).await?;
    let (run, recorded) = (start.run, tally.counts().clone());
    let (status, cut_off) =
        blocking(buffer, move |buffer| Ok::<_, BufferError>((buffer.status()?, buffer.claims_left(run)?)))
            .await?;
    let stopped = stop_reason(&stop, &hosts, &recorded);
    let finished_at = options.clock.now();
    recorded.dead.tell_rest("dead");
    recorded.held.tell_rest("held");
    let troubles = hosts.iter().flat_map(|host| host.troubles(&earlier, started_at)).collect();
    let times = (started_at, finished_at);
    let summary = RunSummary::new(&start, times, recorded, &status, cut_off, stopped, troubles);
    let to_record = summary.clone();
    blocking(buffer, move |buffer| buffer.finish_run(run, &to_record)).await?;
    tracing::info!(
        run_id = summary.run_id.0,
        read = summary.read,
        delivered = summary.delivered,
        dead = summary.dead,
        held = summary.held,
        in_doubt = summary.in_doubt,
        retries = summary.retries,
        pending = summary.pending,
        stopped = summary.stopped.map(StopReason::name),
        "drain ends"
    );
    blocking(buffer, move |buffer| ground.check(buffer)).await?;
    damage.map_or(Ok(summary), |error| Err(error.into()))
}

/// Says once a run which suites nothing is sent to, because their hits are known to be lost.
pub async fn tell_blocked(buffer: &Arc<Buffer>, job: JobKey) -> Result<(), BufferError> {
    for blocked in blocking(buffer, move |buffer| buffer.blocked_suites(job)).await? {
        let BlockedSuite { rsid, reason, requestors } = blocked;
        tracing::error!(
            %rsid,
            reason,
            requestors,
            "nothing is sent to report suite {rsid}, which would lose it, and its events wait: mend it, then passbridge suite check \
             {rsid}; or passbridge suite resume {rsid} --anyway"
        );
    }
    Ok(())
}

/// Refuses a buffer that is a copy where repeats would count twice, unless that is accepted.
pub fn accept_restored(buffer: &Buffer, after_restore: AfterRestore) -> Result<(), DrainError> {
    let Some(copied_at) = buffer.copied_at()? else { return Ok(()) };
    // Paused suites too: they are drained some day. The mark stays until somebody accepts, for suites to come.
    let suites = buffer.suites()?;
    let blind = suites.iter().find(|listing| listing.suite.form.event_ids == EventIds::Off);
    match (blind, after_restore) {
        (Some(listing), AfterRestore::Ask) => {
            Err(DrainError::Restored { copied_at, rsid: listing.suite.form.rsid.to_string() })
        }
        (None, AfterRestore::Ask) => Ok(()),
        (_, AfterRestore::Accept) => Ok(buffer.accept_copy()?),
    }
}

/// What a drain stands on: nobody else drains, and what it records goes into the buffer that it read.
#[derive(Debug, Clone)]
struct Ground {
    lock: LockWatch,
    place: Watch,
}

impl Ground {
    fn check(&mut self, buffer: &Buffer) -> Result<(), BufferError> {
        self.lock.check()?;
        buffer.look(&mut self.place)
    }
}

fn hosts(out: &Collection, routes: Vec<Route>, lanes: usize, earlier: &[Trouble]) -> Vec<Arc<HostRun>> {
    let mut by_host: BTreeMap<CollectionUrl, Vec<Route>> = BTreeMap::new();
    for route in routes {
        by_host.entry(route.suite.collection_url.clone()).or_default().push(route);
    }
    let host = |(url, routes)| Arc::new(HostRun::new(out.host(&url), url, routes, lanes, earlier));
    by_host.into_iter().map(host).collect()
}

type Feed = JoinHandle<Result<(), BufferError>>;

async fn send_all(
    buffer: &Arc<Buffer>,
    hosts: &[Arc<HostRun>],
    job: JobKey,
    start: &RunStart,
    options: &DrainOptions,
    stop: &Stop,
    (tally, ground): (&Arc<Tally>, Ground),
) -> Result<Option<BufferError>, DrainError> {
    let lanes_in_all = hosts.iter().map(|host| host.lanes).sum();
    let (recorder, recording) = recorder::recorder(buffer.clone(), start.run, lanes_in_all);
    let recording = tokio::spawn(recording);
    let watch = watch_over(buffer.clone(), hosts.to_vec(), ground);
    let deadline = tokio::spawn(keep_deadline(options.deadline, stop.clone()));
    let allowance = Arc::new(AtomicU64::new(options.limit.unwrap_or(u64::MAX)));
    let mut lanes = JoinSet::new();
    let mut feeds: Vec<Feed> = Vec::new();
    for host in hosts {
        let scope = Scope {
            cover: start.cover,
            allowance: allowance.clone(),
            stop: stop.clone(),
            tally: tally.clone(),
        };
        let inbounds = start_lanes(&mut lanes, host, &recorder, options, stop, tally);
        feeds.push(start_feed(buffer, host, job, scope, inbounds)?);
    }
    drop(recorder);
    let lost = finish_lanes(&mut lanes, stop, options.stop_grace, tally, watch).await;
    let recorded = recording.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    deadline.abort();
    // What a feed could not read ends its host's part; what was sent is recorded and reported all the same.
    let failed = feeds
        .into_iter()
        .filter_map(|feed| feed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).err());
    let damage = failed.last();
    if let Some(lost) = lost {
        return Err(lost.into());
    }
    recorded?;
    Ok(damage)
}

fn start_lanes(
    lanes: &mut JoinSet<Result<(), RecorderGone>>,
    host: &Arc<HostRun>,
    recorder: &Recorder,
    options: &DrainOptions,
    stop: &Stop,
    tally: &Arc<Tally>,
) -> Vec<mpsc::Sender<Vec<Parcel>>> {
    let start = |number| {
        let (sender, inbound) = mpsc::channel(BATCHES_AHEAD);
        let context = LaneContext {
            host: host.clone(),
            recorder: recorder.clone(),
            limits: options.retry.clone(),
            stop: stop.clone(),
            tally: tally.clone(),
            clock: options.clock.clone(),
        };
        lanes.spawn(Lane::new(number, context, inbound).run());
        sender
    };
    (0..host.lanes).map(start).collect()
}

fn start_feed(
    buffer: &Buffer,
    host: &Arc<HostRun>,
    job: JobKey,
    scope: Scope,
    lanes: Vec<mpsc::Sender<Vec<Parcel>>>,
) -> Result<Feed, DrainError> {
    let backlog = buffer.backlog(job)?;
    let (host, runtime) = (host.clone(), Handle::current());
    std::thread::Builder::new()
        .name("feed".to_owned())
        .spawn(move || feed::feed(backlog, &host, &scope, &lanes, &runtime))
        .map_err(DrainError::Thread)
}

/// Waits for the lanes; after a stop at most the grace period, and no longer where the ground is lost. What is cut off keeps
/// its claim, and is in doubt.
async fn finish_lanes(
    lanes: &mut JoinSet<Result<(), RecorderGone>>,
    stop: &Stop,
    grace: Duration,
    tally: &Tally,
    watch: impl Future<Output = BufferError>,
) -> Option<BufferError> {
    let grace_is_over = async {
        stop.wait().await;
        sleep(grace).await;
    };
    tokio::pin!(grace_is_over, watch);
    loop {
        tokio::select! {
            joined = lanes.join_next() => match joined {
                None => return None,
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // A lane that lost its recorder ends; the recorder itself says why.
                Some(_) => {}
            },
            () = &mut grace_is_over, if !lanes.is_empty() => {
                tracing::warn!(lanes = lanes.len(), "requests still in flight after the grace period: their events are in doubt");
                lanes.shutdown().await;
                tally.counts().left = true;
                return None;
            }
            lost = &mut watch => {
                lanes.shutdown().await;
                return Some(lost);
            }
        }
    }
}

/// Stops sending to suites that are no longer active. Ends only where the lock or the buffer is lost.
async fn watch_over(buffer: Arc<Buffer>, hosts: Vec<Arc<HostRun>>, mut ground: Ground) -> BufferError {
    loop {
        sleep(PAUSE_POLL).await;
        let mut looking = ground.clone();
        let looked = blocking(&buffer, move |buffer| looking.check(buffer).map(|()| looking)).await;
        let routes = match looked {
            Ok(looked) => {
                ground = looked;
                buffer.routes_now().await
            }
            Err(error) => Err(error),
        };
        let routes = match routes {
            Ok(routes) => routes,
            Err(error) => return error,
        };
        for suite in hosts.iter().flat_map(|host| &host.suites) {
            let route = routes.iter().find(|route| route.suite.form.rsid == *suite.rsid());
            let still_maps =
                |route: &Route| suite.requestors.iter().all(|requestor| route.requestors.contains(requestor));
            if !route.is_some_and(still_maps) {
                suite.pause();
            }
        }
    }
}

async fn keep_deadline(deadline: Option<Duration>, stop: Stop) {
    if let Some(deadline) = deadline {
        sleep(deadline).await;
        stop.request(StopReason::Deadline);
    }
}

/// Why the run ended early, if it did; the reason that says most where there are several.
fn stop_reason(stop: &Stop, hosts: &[Arc<HostRun>], counts: &Counts) -> Option<StopReason> {
    let limit = counts.is_limited.then_some(StopReason::Limit);
    stop.requested().into_iter().chain(limit).chain(hosts.iter().flat_map(|host| host.stop_reasons())).min()
}

/// Does a verb of the buffer beside the runtime, so that a second signal is heard while another process holds the database.
async fn blocking<T: Send + 'static>(
    buffer: &Arc<Buffer>,
    verb: impl FnOnce(&Buffer) -> T + Send + 'static,
) -> T {
    let buffer = buffer.clone();
    let done = tokio::task::spawn_blocking(move || verb(&buffer)).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
