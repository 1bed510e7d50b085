//! Long work as it goes: a bar on a terminal, a log line every few seconds elsewhere.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::output::{self, Form};
use super::safe::one_line;
use crate::backfill;
use crate::buffer::{Buffer, JobCounts, JobKey, Status};
use crate::drain::Stop;
use crate::ingest::{self, Counts};
use crate::reconcile;

/// How often the log tells.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How often a drain's bar moves; each look reads the buffer's counters.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const BYTES: &str = "{bar:30} {bytes}/{total_bytes} {msg} ({eta})";
const BYTES_OF_UNKNOWN: &str = "{spinner} {bytes} {msg}";
const DAYS: &str = "{bar:30} {pos}/{len} days of Analytics ({eta})";
const READ: &str = "{spinner} {pos} events read, {msg} ({rate})";
const EVENTS: &str = "{bar:30} {pos}/{len} events {msg} ({rate}, {eta})";

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    // indicatif's own has four decimals.
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // A bar that cannot be written is no reason to stop the work.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    });
    length.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style)
}

/// Shows an ingest, and ends it at a stop.
pub(super) struct IngestProgress {
    stop: Stop,
    is_terminal: bool,
    /// The bar of the input at work, with its name.
    bar: Option<(String, ProgressBar)>,
    told_at: Instant,
}

impl IngestProgress {
    pub(super) fn new(stop: Stop) -> IngestProgress {
        IngestProgress { stop, is_terminal: io::stderr().is_terminal(), bar: None, told_at: Instant::now() }
    }

    /// Takes the bar away, so that the report stands alone.
    pub(super) fn finish(self) {
        if let Some((_, bar)) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, progress: &ingest::Progress<'_>) {
        let is_same = self.bar.as_ref().is_some_and(|(path, _)| path == progress.path);
        if !is_same {
            let template = if progress.input_bytes.is_some() { BYTES } else { BYTES_OF_UNKNOWN };
            let next = (progress.path.to_owned(), bar(progress.input_bytes, template));
            if let Some((_, done)) = self.bar.replace(next) {
                done.finish_and_clear();
            }
        }
        if let Some((path, bar)) = &self.bar {
            bar.set_position(progress.input_bytes_read);
            let Counts { stored, rejected, .. } = progress.input;
            bar.set_message(format!("{}: {stored} stored, {rejected} rejected", one_line(path)));
        }
    }
}

impl ingest::Observer for IngestProgress {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        if self.is_terminal {
            self.show(progress);
        } else if self.told_at.elapsed() >= LOG_EVERY {
            self.told_at = Instant::now();
            tracing::info!(
                path = progress.path,
                input_bytes_read = progress.input_bytes_read,
                input_bytes = progress.input_bytes,
                stored = progress.total.stored,
                duplicates = progress.total.duplicates,
                rejected = progress.total.rejected,
                "ingesting"
            );
        }
    }

    fn goes_on(&mut self) -> bool {
        self.stop.requested().is_none()
    }
}

/// Shows a plan being made.
pub(super) struct PlanProgress {
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl PlanProgress {
    pub(super) fn new() -> PlanProgress {
        PlanProgress { bar: io::stderr().is_terminal().then(|| bar(None, READ)), told_at: Instant::now() }
    }

    /// Takes the bar away, so that the report stands alone.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

impl backfill::PlanObserver for PlanProgress {
    fn progress(&mut self, progress: backfill::Progress) {
        let backfill::Progress { events_read, events_new } = progress;
        match &self.bar {
            Some(bar) => {
                bar.set_position(events_read);
                bar.set_message(format!("{events_new} of them new"));
            }
            None if self.told_at.elapsed() >= LOG_EVERY => {
                self.told_at = Instant::now();
                tracing::info!(events_read, events_new, "planning");
            }
            None => {}
        }
    }
}

pub(super) struct ReconcileProgress {
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl ReconcileProgress {
    pub(super) fn new() -> ReconcileProgress {
        let bar = io::stderr().is_terminal().then(|| bar(Some(0), DAYS));
        ReconcileProgress { bar, told_at: Instant::now() }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, progress: reconcile::Progress) {
        let reconcile::Progress { days_read, days } = progress;
        match &self.bar {
            Some(bar) => {
                bar.set_length(days as u64);
                bar.set_position(days_read as u64);
            }
            None if self.told_at.elapsed() >= LOG_EVERY => {
                self.told_at = Instant::now();
                tracing::info!(days_read, days, "reading Analytics");
            }
            None => {}
        }
    }

    /// Takes the bar away, so that the report stands alone.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a backfill: the loading of each input, then what is left to send.
pub(super) struct BackfillProgress {
    buffer: Arc<Buffer>,
    job: JobKey,
    form: Form,
    loading: IngestProgress,
    sending: Option<(JoinHandle<()>, Option<ProgressBar>)>,
    waits: Option<String>,
}

impl BackfillProgress {
    pub(super) fn new(buffer: &Arc<Buffer>, job: JobKey, form: Form) -> BackfillProgress {
        BackfillProgress {
            buffer: buffer.clone(),
            job,
            form,
            loading: IngestProgress::new(Stop::default()),
            sending: None,
            waits: None,
        }
    }

    /// Takes the bars away, so that the report stands alone.
    pub(super) fn finish(self) {
        self.loading.finish();
        if let Some((watch, bar)) = self.sending {
            watch.abort();
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        }
    }
}

impl ingest::Observer for BackfillProgress {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        self.loading.progress(progress);
    }
}

impl backfill::Observer for BackfillProgress {
    fn sending(&mut self, counts: &JobCounts) {
        std::mem::replace(&mut self.loading, IngestProgress::new(Stop::default())).finish();
        let bar = io::stderr().is_terminal().then(|| bar(Some(counts.events), EVENTS));
        let watch = tokio::spawn(watch_job(self.buffer.clone(), self.job, self.form, bar.clone()));
        self.sending = Some((watch, bar));
    }

    fn waiting(&mut self, why: &str) {
        // Told once, not as often as it is looked.
        if self.waits.as_deref() != Some(why) {
            tracing::info!(why, "waiting");
            self.waits = Some(why.to_owned());
        }
    }
}

/// How a backfill goes, for machines.
#[derive(Serialize)]
struct JobProgress {
    progress: JobCounts,
    events_per_second: f64,
    seconds_left: Option<u64>,
}

async fn watch_job(buffer: Arc<Buffer>, job: JobKey, form: Form, bar: Option<ProgressBar>) {
    let began = Instant::now();
    let pause = if bar.is_some() { LOOK_EVERY } else { LOG_EVERY };
    // What earlier runs have done is none of this one's rate.
    let mut first = None;
    let mut told = None;
    loop {
        let look = {
            let buffer = buffer.clone();
            tokio::task::spawn_blocking(move || buffer.job_counts(job))
        };
        // A look that fails ends the watching; the backfill itself says what is wrong with its buffer.
        let Ok(Ok(counts)) = look.await else { return };
        let done = counts.events - counts.pending;
        let Some(first) = first else {
            first = Some(done);
            if let Some(bar) = &bar {
                bar.set_position(done);
                bar.reset_eta();
            }
            tokio::time::sleep(pause).await;
            continue;
        };
        let since = done.saturating_sub(first);
        let rate = since as f64 / began.elapsed().as_secs_f64();
        let seconds_left = (rate > 0.0).then(|| (counts.pending as f64 / rate) as u64);
        match &bar {
            Some(bar) => {
                bar.set_length(counts.events);
                bar.set_position(done);
                bar.set_message(format!("{} in files, {} dead", counts.in_files, counts.dead));
            }
            None if form == Form::Json => {
                let progress = JobProgress { progress: counts, events_per_second: rate, seconds_left };
                output::line(
                    tracing::Level::INFO,
                    serde_json::to_string(&progress).expect("numbers always serialise"),
                );
            }
            None if told == Some((done, counts.in_files)) => {}
            None => {
                told = Some((done, counts.in_files));
                tracing::info!(
                    done,
                    pending = counts.pending,
                    in_files = counts.in_files,
                    dead = counts.dead,
                    events_per_second = rate.round(),
                    seconds_left,
                    "backfilling"
                );
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Shows a drain until it is dropped, from the counters of the buffer.
pub(super) struct DrainProgress {
    watch: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl DrainProgress {
    /// Starts to look. Must be called inside a runtime.
    pub(super) fn start(buffer: &Arc<Buffer>) -> DrainProgress {
        let bar = io::stderr().is_terminal().then(|| bar(Some(0), EVENTS));
        let watch = tokio::spawn(watch(buffer.clone(), bar.clone()));
        DrainProgress { watch, bar }
    }
}

impl Drop for DrainProgress {
    fn drop(&mut self) {
        self.watch.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

async fn watch(buffer: Arc<Buffer>, bar: Option<ProgressBar>) {
    let Some(first) = look(&buffer).await else { return };
    let length = first.pending - first.parked;
    let mut told = None;
    loop {
        tokio::time::sleep(if bar.is_some() { LOOK_EVERY } else { LOG_EVERY }).await;
        let Some(now) = look(&buffer).await else { return };
        let done = (decided(&now) - decided(&first)).max(0);
        match &bar {
            Some(bar) => {
                bar.set_length(length.max(done).unsigned_abs());
                bar.set_position(done.unsigned_abs());
                bar.set_message(format!("{} dead, {} held", now.dead - first.dead, now.held - first.held));
            }
            // A drain that makes no progress says so once.
            None if told == Some((done, now.pending)) => {}
            None => {
                told = Some((done, now.pending));
                tracing::info!(done, pending = now.pending, parked = now.parked, "draining");
            }
        }
    }
}

/// Events that are no longer pending. Retention runs after the drain, so these only grow while it is watched.
fn decided(status: &Status) -> i64 {
    status.delivered + status.dead + status.held
}

/// A look that fails ends the watching; the drain itself says what is wrong with its buffer.
async fn look(buffer: &Arc<Buffer>) -> Option<Status> {
    let buffer = buffer.clone();
    tokio::task::spawn_blocking(move || buffer.status()).await.ok()?.ok()
}
