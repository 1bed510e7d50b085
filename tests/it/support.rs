//! Builders for the tests: a buffer in a temporary folder, suites, events, a drain. Their defaults never matter to a test.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use passbridge::buffer::{
    AfterRestore, Batch, Buffer, BufferOptions, Feed, Forget, JobKey, NewEvent, StoreReport,
};
use passbridge::clock::Clock;
use passbridge::collection::{BreakerOptions, Collection, CollectionOptions};
use passbridge::drain::{DrainError, DrainOptions, Locked, RetryLimits, RunSummary, Stop, drain};
use passbridge::event::{Draft, Instant, PassEvent, Property, RawValue, RequestorId, TimeBounds};
use passbridge::mapping;
use passbridge::sandbox::{Handle, Sandbox, SandboxOptions};
use passbridge::suite::{HitForm, LiveRoute, OnAmbiguous, ReportSuite, Rsid, Stage, SuiteState};
use tempfile::TempDir;

/// The suite that tests send to.
pub(crate) const RSID: &str = "examplersid";
/// The requestor that tests send for.
pub(crate) const REQUESTOR: &str = "REF30";
/// 2026-11-01T00:00:00Z, in Unix seconds: when the first event of a test happens.
pub(crate) const FIRST_SECOND: i64 = 1_793_491_200;
/// Wait this long for something that happens at once, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The subscriber whom an MVPD knows by this ID.
pub(crate) fn subscriber(mvpd: &str, id: &str) -> Forget {
    let (property, id) = (Property::MvpdUserId, id.to_owned());
    Forget { property, id, mvpd: Some(mvpd.to_owned()), maps: Default::default() }
}

/// A buffer, and all that it takes to drain it.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) buffer: Arc<Buffer>,
}

impl House {
    /// An empty buffer, under the system's clock.
    pub(crate) fn new() -> House {
        House::at(Clock::system())
    }

    /// An empty buffer under this clock.
    pub(crate) fn at(clock: Clock) -> House {
        let dir = TempDir::new().expect("a temporary folder");
        let options = buffer_options(dir.path().join("passbridge.db"), &clock);
        Buffer::create(&options).expect("a new buffer");
        let buffer = Arc::new(Buffer::open(&options).expect("the buffer opens"));
        House { dir, clock, buffer }
    }

    /// Maps [`REQUESTOR`] to [`RSID`] at this collection URL.
    pub(crate) fn suite(&self, url: &str) -> ReportSuite {
        self.suite_with(url, |_| {})
    }

    /// The same, with other settings.
    pub(crate) fn suite_with(&self, url: &str, change: impl FnOnce(&mut ReportSuite)) -> ReportSuite {
        let mut suite = report_suite(RSID, url);
        change(&mut suite);
        self.map(REQUESTOR, &suite);
        suite
    }

    /// Maps a requestor to a suite.
    pub(crate) fn map(&self, requestor: &str, suite: &ReportSuite) {
        self.buffer.add_suite(suite.clone(), vec![requestor_id(requestor)]).expect("the suite is added");
    }

    /// Stores events.
    pub(crate) fn store(&self, events: impl IntoIterator<Item = PassEvent>) -> StoreReport {
        let input = self.buffer.open_input("test").expect("an input");
        let events = events
            .into_iter()
            .enumerate()
            .map(|(line, event)| NewEvent::new(line as u64 + 1, &event, mapping::measure(&event)))
            .collect::<Vec<_>>();
        self.buffer
            .store(Batch {
                input,
                feed: Feed::Events,
                job: JobKey::LIVE,
                events: events.into(),
                memory: Vec::new(),
                stated: Vec::new(),
                rejected: 0,
            })
            .expect("events are stored")
    }

    /// One pass with the options of [`options`].
    pub(crate) fn drain(&self) -> RunSummary {
        self.drain_with(|_| {}).expect("a drain")
    }

    /// One pass with other options.
    pub(crate) fn drain_with(
        &self,
        change: impl FnOnce(&mut DrainOptions),
    ) -> Result<RunSummary, DrainError> {
        self.drain_until(Stop::default(), change)
    }

    /// One pass with other options, and a stop.
    pub(crate) fn drain_until(
        &self,
        stop: Stop,
        change: impl FnOnce(&mut DrainOptions),
    ) -> Result<RunSummary, DrainError> {
        let mut options = options(&self.clock);
        change(&mut options);
        self.drain_through(&collection(), &options, stop)
    }

    /// One pass with other options, through [`hasty_collection`].
    pub(crate) fn drain_hastily(&self, change: impl FnOnce(&mut DrainOptions)) -> RunSummary {
        let mut options = options(&self.clock);
        change(&mut options);
        self.drain_through(&hasty_collection(), &options, Stop::default()).expect("a drain")
    }

    /// One pass through this collection.
    pub(crate) fn drain_through(
        &self,
        out: &Collection,
        options: &DrainOptions,
        stop: Stop,
    ) -> Result<RunSummary, DrainError> {
        let lock = self.buffer.lock().expect("the drain lock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(drain(&self.buffer, out, options, stop, Locked::Live(&lock)))
    }

    /// Proves that the counters and the rows agree, and that the account balances.
    pub(crate) fn assert_balanced(&self) {
        assert_eq!(self.buffer.verify().expect("a recount"), []);
        assert!(self.buffer.status().expect("a status").accounting.balanced);
    }
}

pub(crate) fn buffer_options(path: PathBuf, clock: &Clock) -> BufferOptions {
    BufferOptions { path, allow_network_filesystem: false, clock: clock.clone(), measure: mapping::measure }
}

/// A collection with the pauses of a test and the patience that a busy machine needs: a reply that comes late there
/// would be a doubt, and a host that is slow there would be given up.
pub(crate) fn collection() -> Collection {
    collection_with(PATIENCE, PATIENCE)
}

/// A collection that soon gives up what never answers, for tests of a host that does not.
pub(crate) fn hasty_collection() -> Collection {
    collection_with(Duration::from_millis(500), Duration::from_secs(2))
}

fn collection_with(request_timeout: Duration, give_up: Duration) -> Collection {
    let breaker = BreakerOptions {
        backoff_base: Duration::from_millis(2),
        backoff_max: Duration::from_millis(20),
        give_up,
        ..BreakerOptions::default()
    };
    let options = CollectionOptions { breaker, ..CollectionOptions::new(request_timeout) };
    Collection::new(options).expect("a collection")
}

/// Options whose waits suit a test.
pub(crate) fn options(clock: &Clock) -> DrainOptions {
    DrainOptions {
        lanes: 8,
        retry: RetryLimits {
            max_attempts: 20,
            backoff_base: Duration::from_millis(2),
            backoff_max: Duration::from_millis(20),
        },
        stop_grace: Duration::from_secs(5),
        limit: None,
        deadline: None,
        after_restore: AfterRestore::Ask,
        beside: None,
        clock: clock.clone(),
    }
}

pub(crate) fn report_suite(rsid: &str, url: &str) -> ReportSuite {
    ReportSuite {
        form: HitForm::with_defaults(rsid.parse().expect("an rsid")),
        collection_url: url.parse().expect("a collection URL"),
        on_ambiguous: OnAmbiguous::Retry,
        hits_per_second: None,
        state: SuiteState::Active,
        stage: Stage::Production,
        route: LiveRoute::Dia,
    }
}

pub(crate) fn requestor_id(name: &str) -> RequestorId {
    RequestorId::new(name).expect("a requestor ID")
}

pub(crate) fn rsid() -> Rsid {
    RSID.parse().expect("an rsid")
}

/// An event of [`REQUESTOR`], by its keys and values as JSON; what it needs besides is filled in.
pub(crate) fn event(fields: serde_json::Value) -> PassEvent {
    let mut draft = Draft::default();
    let mut set = |key: &str, value: &serde_json::Value| {
        let text = value.to_string();
        let raw = match value {
            serde_json::Value::String(text) => RawValue::Text(text.into()),
            _ => RawValue::Number(&text),
        };
        draft.set(key, raw).expect("a valid field");
    };
    let fields = fields.as_object().expect("an object").clone();
    for (key, value) in [
        ("occurred_at", FIRST_SECOND.into()),
        ("event", "play_requested".into()),
        ("requestor_id", REQUESTOR.into()),
    ] {
        if !fields.contains_key(key) {
            set(key, &value);
        }
    }
    fields.iter().for_each(|(key, value)| set(key, value));
    let end_of_time = Instant::from_nanos(i64::MAX);
    draft.finish(TimeBounds { latest: end_of_time, now: end_of_time }).expect("a valid event")
}

/// `count` play requests of as many visitors, a second apart, numbered in eVar6.
pub(crate) fn plays(count: i64) -> Vec<PassEvent> {
    (0..count)
        .map(|number| {
            event(serde_json::json!({
                "occurred_at": FIRST_SECOND + number,
                "mvpd_user_id": format!("user{number}"),
                "resource_id": number.to_string(),
            }))
        })
        .collect()
}

/// A sandbox with this fault plan.
pub(crate) fn sandbox(faults: &str) -> Handle {
    sandbox_with(faults, |_| {})
}

/// The same, with other options.
pub(crate) fn sandbox_with(faults: &str, change: impl FnOnce(&mut SandboxOptions)) -> Handle {
    let mut options = SandboxOptions::default();
    if !faults.is_empty() {
        options.faults = faults.parse().expect("a fault plan");
    }
    change(&mut options);
    Sandbox::start(options).expect("a sandbox")
}

/// Everything that the sandbox counted for [`RSID`].
pub(crate) fn counted(sandbox: &Handle) -> u64 {
    sandbox.counted(RSID).iter().sum()
}
