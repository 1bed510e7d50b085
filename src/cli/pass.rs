//! One pass of a drain: lock, inbox, drain, retention. `drain` makes one, `run` one for each slot of its schedule.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use super::alerts::{LINES_MAX, Notifier};
use super::progress::Watch;
use super::table::write_notes;
use super::{Context, Exit, Failure, Settings, Table, blocking, hint, options};
use crate::backfill::{BulkWay, LiveFiles};
use crate::buffer::Buffer;
use crate::collection::Collection;
use crate::config::BufferConfig;
use crate::drain::{self, DrainOptions, Locked, RunSummary, Stop, StopReason};
use crate::harmless::few;
use crate::ingest::{self, Counts, FormatChoice, IngestOptions, IngestSummary, retain_rejects};
use crate::suite::LiveRoute;
use crate::web::Ping;

pub(super) struct Pass {
    pub(super) buffer: Arc<Buffer>,
    collection: Collection,
    pub(super) options: DrainOptions,
    pub(super) bulk: BulkWay,
    inbox: IngestOptions,
    retention: BufferConfig,
    /// `None` if nobody is to be told.
    notifier: Option<Rc<Notifier>>,
}

#[derive(Debug, Serialize)]
pub(super) struct DrainReport {
    #[serde(flatten)]
    pub(super) run: RunSummary,
    pub(super) inbox: InboxReport,
    /// The reason why old data could not be deleted after a completed drain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
pub(super) struct InboxReport {
    #[serde(flatten)]
    counts: Counts,
    /// The file of rejects, with the inbox's rows that are no event, conflict with a stored event, or have a requestor
    /// whose counts come from ESM.
    rejects: Option<PathBuf>,
    /// The reason why rows stay in the inbox.
    left: Option<String>,
}

impl Pass {
    /// Opens the buffer, and makes the clients and the options of a pass.
    pub(super) fn open(settings: &Settings, context: &Context) -> Result<Pass, Failure> {
        let buffer = Arc::new(Buffer::open(&context.buffer_options(settings)?)?);
        let notifier = Notifier::start(settings, &buffer)?;
        Pass::of(buffer, notifier, settings, context)
    }

    pub(super) fn with(&self, settings: &Settings, context: &Context) -> Result<Pass, Failure> {
        Pass::of(Arc::clone(&self.buffer), self.notifier.clone(), settings, context)
    }

    fn of(
        buffer: Arc<Buffer>,
        notifier: Option<Rc<Notifier>>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Pass, Failure> {
        // If all suites go as single hits, a bad credential for files is no error.
        let is_wanted = buffer.suites()?.iter().any(|listing| listing.suite.route != LiveRoute::Dia);
        let client = options::bulk_client(settings);
        let client = if is_wanted { client? } else { client.unwrap_or_default() };
        Ok(Pass {
            buffer,
            bulk: options::bulk(settings, client, false, false),
            collection: Collection::new(options::collection(&settings.config.delivery))?,
            options: options::drain(&settings.config.delivery, context),
            inbox: IngestOptions {
                maps: options::maps(settings, "ingest.inbox_map", &settings.config.ingest.inbox_map)?,
                ..options::ingest(settings, FormatChoice::Auto, &context.clock)
            },
            retention: settings.config.buffer.clone(),
            notifier,
        })
    }

    /// Fails if the proxy variable for the host of a suite is not valid. Without a suite, checks all proxy variables.
    pub(super) fn check_ways(&self) -> Result<(), Failure> {
        let suites = self.buffer.suites()?;
        if suites.is_empty() {
            self.collection.check_proxy()?;
        }
        for listing in suites {
            self.collection.host(&listing.suite.collection_url)?;
        }
        Ok(())
    }

    /// Moves the inbox, drains, and deletes old data. Fails at once if another drain holds the lock.
    pub(super) async fn run(&self, stop: &Stop) -> Result<DrainReport, Failure> {
        let passed = self.pass(stop).await;
        let ping = match &passed {
            // Another process drains, and tells of its own drain.
            Err(failure) if failure.exit == Exit::LockHeld => None,
            Err(failure) | Ok(DrainReport { failure: Some(failure), .. }) => {
                Some(Ping::Failed(failure.on_one_line()))
            }
            Ok(report) => Some(report.ping()),
        };
        self.notifier.iter().zip(ping).for_each(|(notifier, ping)| notifier.send(ping));
        passed
    }

    async fn pass(&self, stop: &Stop) -> Result<DrainReport, Failure> {
        let Pass { buffer, collection, options, .. } = self;
        options.clock.check()?;
        let lock = buffer.lock()?;
        self.notifier.iter().for_each(|notifier| notifier.send(Ping::Start));
        let (source, inbox) = (Arc::clone(buffer), self.inbox.clone());
        let moved = blocking(move || ingest::take_inbox(&source, &inbox, &mut ())).await?;
        let inbox = InboxReport::new(moved);
        let watch = Watch::drain(buffer);
        let (chosen, way) = (Arc::clone(buffer), self.bulk.clone());
        let beside = blocking(move || LiveFiles::choose(&chosen, &way)).await?;
        let options = &DrainOptions { beside, ..options.clone() };
        let drained = drain::drain(buffer, collection, options, stop.clone(), Locked::Live(&lock)).await;
        drop(watch);
        let run = drained?;
        // After a stop, the next drain deletes old data.
        let failure = match run.stopped {
            Some(StopReason::Signal | StopReason::Deadline) => None,
            _ => self.retain().await.err(),
        };
        Ok(DrainReport { run, inbox, failure })
    }

    async fn retain(&self) -> Result<(), Failure> {
        let (buffer, retention) = (Arc::clone(&self.buffer), self.retention.clone());
        let ingest = self.inbox.config.clone();
        let now = self.inbox.clock.now();
        let report = blocking(move || -> Result<_, Failure> {
            let report = buffer.retain(&retention)?;
            // A failure to delete old rejects must not stop the sending of events.
            if !report.clock_jumped
                && let Err(error) = retain_rejects(&buffer, &ingest, now)
            {
                tracing::warn!(error = &error as &dyn Error, "old rejects are left");
            }
            Ok(report)
        })
        .await?;
        if report.clock_jumped {
            tracing::warn!(
                "the clock has jumped, so nothing was deleted; if it is right now: {}",
                hint::complete("passbridge retention --trust-clock")
            );
        }
        Ok(())
    }
}

impl DrainReport {
    /// The ping for monitors: failed if a host or suite stopped the drain, or if it ended by itself and left events.
    fn ping(&self) -> Ping {
        let RunSummary { stopped, left, troubles, .. } = &self.run;
        let has_failed = match stopped {
            Some(StopReason::Host | StopReason::Suite) => true,
            Some(StopReason::Signal | StopReason::Deadline | StopReason::Limit | StopReason::GiveWay) => {
                false
            }
            None => *left,
        };
        let why = || few(troubles.iter().map(ToString::to_string), LINES_MAX).join("\n");
        if has_failed { Ping::Failed(why()) } else { Ping::Done }
    }
}

impl InboxReport {
    fn new(moved: IngestSummary) -> InboxReport {
        for warning in &moved.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(path) = &moved.rejects_path {
            tracing::warn!(path = %path.display(), "rows of the inbox were rejected, and are kept");
        }
        let left = moved.left.map(|error| Failure::from(error).on_one_line());
        if let Some(why) = &left {
            tracing::warn!(why, "the inbox was left; what is in the buffer is sent");
        }
        InboxReport { counts: moved.total, rejects: moved.rejects_path, left }
    }

    pub(super) fn is_unclean(&self) -> bool {
        self.counts.rejected + self.counts.conflicts > 0 || self.left.is_some()
    }
}

impl fmt::Display for InboxReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, stored, duplicates, conflicts, rejected } = self.counts;
        if read > 0 {
            write!(out, "  inbox: {read} read, {stored} stored")?;
            let others = [(duplicates, "duplicates"), (conflicts, "conflicts"), (rejected, "rejected")];
            for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
                write!(out, ", {count} {what}")?;
            }
            let rejects = self.rejects.as_ref().map(|path| format!(": {}", path.display()));
            writeln!(out, "{}", rejects.unwrap_or_default())?;
        }
        self.left.iter().try_for_each(|why| writeln!(out, "  the inbox was left: {why}"))
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunSummary { run_id, read, hits, delivered, dead, held, in_doubt, retries, .. } = &self.run;
        let files: u64 = self.run.suites.values().map(|suite| suite.files).sum();
        let and = if files > 0 { format!(" and {files} files") } else { String::new() };
        writeln!(out, "run {}: {read} events read, {delivered} delivered in {hits} hits{and}", run_id.0)?;
        self.inbox.fmt(out)?;
        let notes = [
            (*dead, "dead: passbridge dead-letter list"),
            (*held, "held: passbridge held list"),
            (*in_doubt, "in doubt: repeated by the next drain"),
            (*retries, "attempts repeated"),
        ];
        write_notes(out, notes.map(|(count, what)| (count, format!("{count} {}", hint::complete(what)))))?;
        if self.run.suites.len() > 1 {
            let mut table = Table::new(&["suite", "delivered", "dead", "held"]);
            for (rsid, suite) in &self.run.suites {
                table.row(&[rsid, &suite.delivered, &suite.dead, &suite.held]);
            }
            table.fmt(out)?;
        }
        for trouble in &self.run.troubles {
            writeln!(out, "  trouble: {trouble}")?;
        }
        writeln!(out, "  {} pending, of which {} parked", self.run.pending, self.run.parked)?;
        let stopped = self.run.stopped.map(stopped);
        stopped.iter().try_for_each(|reason| writeln!(out, "  stopped: {reason}"))
    }
}

fn stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Signal => "by a signal",
        StopReason::Deadline => "by its deadline",
        StopReason::Limit => "at its limit",
        StopReason::Host => "a collection host was left for this run; its trouble says why",
        StopReason::GiveWay => "because it gave way",
        StopReason::Suite => "a report suite was stopped for this run; its trouble says why",
    }
}
