//! Sends the live events of suites that use bulk files. This is part of a drain's run, beside its lanes.
//!
//! Each suite has a standing backfill (see `JobName::of_suite`) and a task of its own, so that one slow suite does not
//! hold up the others. The task settles files that earlier runs left, then writes and uploads files as a backfill does.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bulk::{BulkWay, FileRoute, LiveLeg, Tally, pace_of_calls, withdraw_unsent};
use super::error::BackfillError;
use super::gate::Leg;
use crate::buffer::{Buffer, BufferError, JobKey, JobRecord, JobSettings, RunStart};
use crate::delivery::{Trouble, TroubleKind};
use crate::drain::{Beside, RunSummary, Stop, StopReason};
use crate::job::JobRoute;
use crate::suite::{LiveRoute, Rsid};

/// How many suites are sent at the same time: enough that one with a large backlog does not hold up the others, few
/// enough for the memory, because each reads some 12 MiB ahead.
const SUITES_AT_ONCE: usize = 4;
/// How long a suite of the route `auto` keeps using files after its last file: Analytics takes up to two hours to
/// process a file, and single hits must not overtake it ("Latency" in the Analytics guide).
const AUTO_STAYS: Duration = Duration::from_secs(2 * 60 * 60);
const ADVICE: &str = "check [bulk] (bulk.url, bulk.client_id and its secret, bulk.dir) and what Adobe says; rows that it does not name: \
                      passbridge drain --accept-unnamed, once; or set --via dia; the events that wait go with the next run";
const PAUSE_POLL: Duration = Duration::from_secs(1);

/// Live files have threads of their own, because calls of the buffer block a thread and must not hold up the drain.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a drain that has started the threads of its lanes can start two more")
});

/// The suites of a run whose events are sent in files.
pub struct LiveFiles {
    buffer: Arc<Buffer>,
    way: BulkWay,
    suites: BTreeMap<Rsid, LiveSuite>,
}

struct LiveSuite {
    /// Whether the pending events are sent. Else only the files of earlier runs are settled.
    sends: bool,
    tally: Arc<Mutex<Tally>>,
}

impl LiveFiles {
    /// Chooses the suites of the next run; `None` if all use single hits. The caller holds the lock of drains.
    pub fn choose(buffer: &Arc<Buffer>, way: &BulkWay) -> Result<Option<Arc<dyn Beside>>, BufferError> {
        let unsettled = buffer.suites_in_files()?;
        let suite = |sends| LiveSuite { sends, tally: Arc::default() };
        // While it is unknown what became of a suite's files, no event of the suite is sent as a single hit.
        let mut suites: BTreeMap<_, _> = unsettled.iter().map(|rsid| (rsid.clone(), suite(false))).collect();
        for route in buffer.routes()? {
            let rsid = route.suite.form.rsid;
            let by_files = match route.suite.route {
                LiveRoute::Dia => false,
                LiveRoute::Bulk => true,
                LiveRoute::Auto => {
                    let last = buffer.standing_job(&rsid)?.finished_at;
                    unsettled.contains(&rsid)
                        || last.is_some_and(|at| !at.is_older(buffer.now(), AUTO_STAYS))
                        || buffer.has_pending_above(&rsid, way.config.auto_above_events)?
                }
            };
            if by_files {
                suites.insert(rsid, suite(true));
            }
        }
        let (buffer, way, is_wanted) = (buffer.clone(), way.clone(), !suites.is_empty());
        Ok(is_wanted.then(|| Arc::new(LiveFiles { buffer, way, suites }) as Arc<dyn Beside>))
    }

    /// Sends the events of one suite in legs, until none is left or the run is stopped.
    async fn send_suite(&self, live: &LiveLeg, sends: bool, stop: &Stop) -> Result<(), BackfillError> {
        self.way.client()?;
        let files = FileRoute::new(&self.buffer, &self.way, Some(live.clone()));
        loop {
            let rate = self.buffer.suite(&live.rsid)?.suite.hits_per_second.map(|rate| rate.get());
            let settings = JobSettings { route: JobRoute::Bulk, rate, hours: None };
            let job = JobRecord { settings, ..self.buffer.standing_job(&live.rsid)? };
            let leg = Stop::default();
            let watch =
                tokio::spawn(watch(self.buffer.clone(), live.rsid.clone(), stop.clone(), leg.clone()));
            let ended = match files.settle_open(&job, &leg).await {
                Ok(true) if sends => files.leg(&job, leg).await,
                settled => settled.map(|is_settled| if is_settled { Leg::Done } else { Leg::Over }),
            };
            watch.abort();
            withdraw_unsent(&self.buffer, &job, &self.way.config.dir)?;
            let is_over = matches!(ended?, Leg::Over);
            if !is_over || stop.requested().is_some() {
                // The suite's single hits waited for these files, so this run has not sent them.
                live.tally().left |= is_over || (!sends && self.buffer.has_pending_above(&live.rsid, 0)?);
                return Ok(());
            }
        }
    }

    /// Logs and records why nothing more of a suite is sent in this run.
    fn stop(&self, live: &LiveLeg, error: &BackfillError) {
        (live.tally().left, live.tally().stopped) = (true, Some(StopReason::Suite));
        let rsid = &live.rsid;
        let is_busy = matches!(error, BackfillError::Api(error) if error.is_for_the_moment());
        let kind = if is_busy { TroubleKind::ServerError } else { TroubleKind::Refused };
        tracing::error!(%rsid, %error, advice = ADVICE, "the files of a report suite are stopped for this run; its events wait");
        let earlier = self.buffer.earlier_troubles(live.start.run, JobKey::LIVE).unwrap_or_default();
        let same = earlier.iter().find(|one| one.rsid.as_ref() == Some(rsid) && one.kind == kind);
        let listing = self.buffer.suite(rsid);
        live.tally().trouble = listing.ok().map(|listing| Trouble {
            host: listing.suite.collection_url,
            rsid: Some(rsid.clone()),
            kind,
            cause: format!("its files: {error}"),
            attempts: 1,
            since: same.map_or(self.buffer.now(), |before| before.since),
            stopped: true,
            advice: Some(ADVICE.to_owned()),
            refused: Vec::new(),
            has_succeeded_since: false,
        });
    }
}

impl Beside for LiveFiles {
    fn takes(&self, rsid: &Rsid) -> bool {
        self.suites.contains_key(rsid)
    }

    fn send(self: Arc<Self>, start: &RunStart, allowance: Arc<AtomicU64>, stop: &Stop) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (places, calls) = (Arc::new(Semaphore::new(SUITES_AT_ONCE)), pace_of_calls(&self.way.config));
        for (rsid, LiveSuite { sends, tally }) in &self.suites {
            let (start, allowance) = (start.clone(), allowance.clone());
            let (rsid, calls, tally) = (rsid.clone(), calls.clone(), tally.clone());
            let live = LiveLeg { rsid, start, allowance, calls, tally };
            let (files, places, stop, sends) = (self.clone(), places.clone(), stop.clone(), *sends);
            let task = async move {
                let _place = places.acquire_owned().await;
                if let Err(error) = files.send_suite(&live, sends, &stop).await {
                    files.stop(&live, &error);
                }
            };
            tasks.spawn_on(task, THREADS.handle());
        }
        tasks
    }

    fn add_to(&self, summary: &mut RunSummary) {
        for (rsid, suite) in &self.suites {
            let mut tally = suite.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let Tally { sent, left, stopped, trouble } = std::mem::take(&mut *tally);
            summary.suites.insert(rsid.clone(), sent);
            summary.read += sent.delivered + sent.dead;
            summary.delivered += sent.delivered;
            summary.dead += sent.dead;
            summary.left |= left || stopped.is_some();
            summary.stopped = summary.stopped.or(stopped);
            summary.troubles.extend(trouble);
        }
    }
}

/// Ends a leg once the run is stopped, or the suite is paused, blocked or mapped anew.
async fn watch(buffer: Arc<Buffer>, rsid: Rsid, stop: Stop, leg: Stop) {
    // If the buffer cannot be read, the leg fails too and reports the error.
    let route = || buffer.suite(&rsid).ok().map(|found| (found.suite.state, found.requestors));
    let at_first = route();
    while route() == at_first {
        tokio::select! {
            reason = stop.wait() => return leg.request(reason),
            () = sleep(PAUSE_POLL) => {}
        }
    }
    leg.request(StopReason::GiveWay);
}
