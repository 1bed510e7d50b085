//! What the server's thread and the handle share: the store under its lock, and the door.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Judge;
use super::analytics::{self, AnalyticsState, WrongSetting};
use super::bulk::BulkState;
use super::esm::EsmState;
use super::faults::{FaultDice, FaultPlan};
use super::store::Store;
use super::suites::SuiteSettings;
use super::wire::WireControl;
use crate::clock::Clock;

/// How long a change of the door may take: it needs one turn of the server's thread.
const DOOR_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether connections are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    /// Nobody listens at the port.
    Refusing,
    Closed,
}

#[derive(Debug)]
pub(super) struct Collector {
    store: Mutex<Store>,
    esm: Mutex<EsmState>,
    bulk: Mutex<BulkState>,
    analytics: Mutex<AnalyticsState>,
    /// Told of every acceptance that someone waits for, and of every change of the door.
    changed: Condvar,
    pub(super) door: watch::Sender<Door>,
    /// What the server's thread has made of the door.
    actual_door: watch::Sender<Door>,
    pub(super) judge: Judge,
    pub(super) keeps_hits: bool,
    pub(super) clock: Clock,
}

impl Collector {
    pub(super) fn new(
        store: Store,
        bulk: BulkState,
        analytics: AnalyticsState,
        judge: Judge,
        keeps_hits: bool,
        clock: Clock,
    ) -> Collector {
        let door = door_of(store.dice.plan());
        Collector {
            store: Mutex::new(store),
            esm: Mutex::default(),
            bulk: Mutex::new(bulk),
            analytics: Mutex::new(analytics),
            changed: Condvar::new(),
            door: watch::Sender::new(door),
            actual_door: watch::Sender::new(Door::Open),
            judge,
            keeps_hits,
            clock,
        }
    }

    /// The store. A test that panicked while it held the lock has changed nothing by halves that anyone could still use.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn esm(&self) -> MutexGuard<'_, EsmState> {
        self.esm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bulk interface and the tokens for it. Never locked together with the store.
    pub(super) fn bulk(&self) -> MutexGuard<'_, BulkState> {
        self.bulk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What reports are made of. Where the store is locked too, it is locked after this.
    pub(super) fn analytics(&self) -> MutexGuard<'_, AnalyticsState> {
        self.analytics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a suite, or sets it anew. Reports keep the hits so far as they were.
    pub(super) fn set_suite(&self, rsid: &str, settings: SuiteSettings) {
        let mut analytics = self.analytics();
        let mut store = self.store();
        analytics.catch_up(&store, rsid);
        store.set_suite(rsid, settings);
    }

    /// Sets what is wrong with a suite. Reports keep the hits so far as they were.
    pub(super) fn set_wrong(&self, rsid: &str, wrong: Vec<WrongSetting>) {
        let mut analytics = self.analytics();
        analytics.set_wrong(&mut self.store(), rsid, wrong);
    }

    /// The file of a suite's settings that the admin pages download.
    pub(super) fn settings_file(&self, rsid: &str) -> String {
        let analytics = self.analytics();
        let settings = self.store().suite_settings(rsid).map(|(settings, _)| settings).unwrap_or_default();
        analytics::settings_file(&analytics, rsid, &settings)
    }

    /// Forgets hits, files, counts and violations; settings and tokens stay.
    pub(super) fn reset(&self) {
        self.bulk().reset();
        let mut analytics = self.analytics();
        self.store().reset();
        analytics.reset();
    }

    /// Tells those who wait for an acceptance, if there are any.
    pub(super) fn accepted_one(&self, store: &Store) {
        if store.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until so many hits were accepted; says whether they were in time.
    pub(super) fn wait_accepted(&self, count: u64, timeout: Duration) -> bool {
        let mut store = self.store();
        store.waiting += 1;
        let (mut store, _) = self
            .changed
            .wait_timeout_while(store, timeout, |store| store.accepted() < count)
            .unwrap_or_else(PoisonError::into_inner);
        store.waiting -= 1;
        store.accepted() >= count
    }

    /// Replaces the plan and begins its draws. The door follows soon.
    pub(super) fn set_plan(&self, plan: FaultPlan) {
        let door = door_of(&plan);
        self.store().dice = FaultDice::new(plan);
        self.door.send_if_modified(|current| {
            let is_new = *current != door && *current != Door::Closed;
            if is_new {
                *current = door;
            }
            is_new
        });
    }

    /// Waits until the door is as the plan wants it.
    pub(super) fn wait_for_door(&self) {
        let wanted = *self.door.borrow();
        let store = self.store();
        let is_other = |_: &mut Store| *self.actual_door.borrow() != wanted;
        drop(self.changed.wait_timeout_while(store, DOOR_TIMEOUT, is_other));
    }

    /// Says what has become of the door. For the server's thread.
    pub(super) fn door_is(&self, door: Door) {
        if self.actual_door.send_replace(door) != door {
            // Under the lock, so that no waiter can miss it between its look and its sleep.
            let _store = self.store();
            self.changed.notify_all();
        }
    }
}

fn door_of(plan: &FaultPlan) -> Door {
    if plan.refuses_everything() { Door::Refusing } else { Door::Open }
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) wire: Arc<WireControl>,
    opened_at: Instant,
    /// Milliseconds from `opened_at` to the last reply; [`BUSY`] while a request is answered.
    idle_since_ms: AtomicU64,
    /// How long it had been idle when the request under way came.
    idle_before_ms: AtomicU64,
    /// Requests under the limit of the plan.
    carried: AtomicU32,
}

const BUSY: u64 = u64::MAX;

impl Line {
    pub(super) fn new(number: u32, wire: Arc<WireControl>) -> Line {
        Line {
            number,
            wire,
            opened_at: Instant::now(),
            idle_since_ms: AtomicU64::new(0),
            idle_before_ms: AtomicU64::new(0),
            carried: AtomicU32::new(0),
        }
    }

    fn age_ms(&self) -> u64 {
        self.opened_at.elapsed().as_millis() as u64
    }

    pub(super) fn begin(&self) {
        let since = self.idle_since_ms.swap(BUSY, Ordering::Relaxed);
        self.idle_before_ms.store(self.age_ms().saturating_sub(since), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.idle_since_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// How long the connection has been idle; nothing while a request is answered.
    pub(super) fn idle(&self) -> Duration {
        let since = self.idle_since_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.age_ms().saturating_sub(since))
    }

    pub(super) fn idle_before_request(&self) -> Duration {
        Duration::from_millis(self.idle_before_ms.load(Ordering::Relaxed))
    }

    /// Counts a request, and gives how many there were.
    pub(super) fn carried_one(&self) -> u32 {
        self.carried.fetch_add(1, Ordering::Relaxed) + 1
    }
}
