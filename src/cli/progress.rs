//! The progress of long work: a bar on a terminal, otherwise a log line every few seconds.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;
use tokio::task::JoinHandle;

use super::output::{self, Form};
use crate::backfill;
use crate::buffer::{Buffer, BufferError, JobCounts, JobKey, Status};
use crate::drain::Stop;
use crate::harmless::on_one_line;
use crate::ingest::{self, Counts, RejectsLimit};
use crate::reconcile;

const LOG_EVERY: Duration = Duration::from_secs(5);
/// The interval at which a bar is updated from the buffer; each update reads the counters.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const BYTES: &str = "{bar:30} {bytes}/{total_bytes} {msg} ({eta})";
const BYTES_OF_UNKNOWN: &str = "{spinner} {bytes} {msg}";
pub(super) const DAYS: &str = "{bar:30} {pos}/{len} days of Analytics ({eta})";
pub(super) const READ: &str = "{spinner} {pos} events read, {msg} ({rate})";
pub(super) const SEARCHED: &str = "{bar:30} {pos}/{len} events searched ({rate}, {eta})";
const EVENTS: &str = "{bar:30} {pos}/{len} events {msg} ({rate}, {eta})";

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    // The rate of indicatif has four decimals, so this rate replaces it.
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // If the bar cannot be written, the work goes on.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    });
    length.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style)
}

fn at(position: u64, length: u64) -> impl FnOnce(&ProgressBar) {
    move |bar| {
        bar.set_length(length);
        bar.set_position(position);
    }
}

/// The progress of long work. Dropping it removes the bar, so that only the report stays on the screen.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl Progress {
    pub(super) fn new(length: Option<u64>, template: &str) -> Progress {
        let mut progress = Progress { bar: None, told_at: Instant::now() };
        progress.begin(length, template);
        progress
    }

    /// Replaces the bar, if there is one.
    fn begin(&mut self, length: Option<u64>, template: &str) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
        self.bar = io::stderr().is_terminal().then(|| bar(length, template));
    }

    /// Updates the bar; without a bar, logs if enough time has passed.
    fn show(&mut self, on_bar: impl FnOnce(&ProgressBar), log: impl FnOnce()) {
        match &self.bar {
            Some(bar) => on_bar(bar),
            None if self.told_at.elapsed() >= LOG_EVERY => {
                self.told_at = Instant::now();
                log();
            }
            None => {}
        }
    }

    pub(super) fn show_plan(&mut self, backfill::Progress { events_read, events_new }: backfill::Progress) {
        let on_bar = |bar: &ProgressBar| {
            bar.set_position(events_read);
            bar.set_message(format!("{events_new} of them new"));
        };
        self.show(on_bar, || tracing::info!(events_read, events_new, "planning"));
    }

    pub(super) fn show_search(&mut self, searched: u64, of: u64) {
        self.show(at(searched, of), || tracing::info!(searched, of, "searching events"));
    }

    pub(super) fn show_days(&mut self, reconcile::Progress { days_read, days }: reconcile::Progress) {
        let on_bar = at(days_read as u64, days as u64);
        self.show(on_bar, || tracing::info!(days_read, days, "reading Analytics"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

pub(super) struct IngestProgress {
    stop: Stop,
    pub(super) rejects_limit: Option<RejectsLimit>,
    path: String,
    shown: Progress,
}

impl IngestProgress {
    pub(super) fn new(stop: Stop) -> IngestProgress {
        let shown = Progress { bar: None, told_at: Instant::now() };
        IngestProgress { stop, rejects_limit: None, path: String::new(), shown }
    }
}

impl ingest::Observer for IngestProgress {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        let ingest::Progress { path, input_bytes_read, input_bytes, .. } = *progress;
        if self.path != path {
            let template = if input_bytes.is_some() { BYTES } else { BYTES_OF_UNKNOWN };
            self.shown.begin(input_bytes, template);
            self.path = path.to_owned();
        }
        let on_bar = |bar: &ProgressBar| {
            let Counts { stored, rejected, .. } = progress.input;
            bar.set_position(input_bytes_read);
            bar.set_message(format!("{}: {stored} stored, {rejected} rejected", on_one_line(path)));
        };
        let Counts { stored, duplicates, rejected, .. } = progress.total;
        self.shown.show(on_bar, || {
            tracing::info!(path, input_bytes_read, input_bytes, stored, duplicates, rejected, "ingesting");
        });
    }

    fn rejects_limit(&self) -> Option<RejectsLimit> {
        self.rejects_limit
    }

    fn goes_on(&mut self) -> bool {
        self.stop.requested().is_none()
    }
}

/// Shows the progress of work that reports none itself: reads the buffer at intervals until the watch is dropped.
pub(super) struct Watch {
    task: JoinHandle<()>,
    _shown: Progress,
}

impl Watch {
    /// Calls `tell` with the first and the current values at each interval. Must be called inside a runtime.
    fn start<T: Send + Sync + 'static>(
        buffer: &Arc<Buffer>,
        look: impl Fn(&Buffer) -> Result<T, BufferError> + Copy + Send + 'static,
        mut tell: impl FnMut(&T, &T, Option<&ProgressBar>) + Send + 'static,
    ) -> Watch {
        let shown = Progress::new(Some(0), EVENTS);
        let (buffer, bar) = (Arc::clone(buffer), shown.bar.clone());
        let task = tokio::spawn(async move {
            let pause = if bar.is_some() { LOOK_EVERY } else { LOG_EVERY };
            let mut first = None;
            loop {
                let buffer = Arc::clone(&buffer);
                let found = tokio::task::spawn_blocking(move || look(&buffer)).await;
                // If reading fails, the watch ends. The work itself reports the problem of its buffer.
                let Ok(Ok(now)) = found else { return };
                match &first {
                    Some(first) => tell(first, &now, bar.as_ref()),
                    None => first = Some(now),
                }
                tokio::time::sleep(pause).await;
            }
        });
        Watch { task, _shown: shown }
    }

    pub(super) fn drain(buffer: &Arc<Buffer>) -> Watch {
        let mut told = None;
        Watch::start(buffer, Buffer::status, move |first, now, bar| {
            let done = (decided(now) - decided(first)).max(0);
            match bar {
                Some(bar) => {
                    bar.set_length((first.pending - first.parked).max(done).unsigned_abs());
                    bar.set_position(done.unsigned_abs());
                    bar.set_message(format!(
                        "{} dead, {} held",
                        now.dead - first.dead,
                        now.held - first.held
                    ));
                }
                // A drain without progress is logged once.
                None if told == Some((done, now.pending)) => {}
                None => {
                    told = Some((done, now.pending));
                    tracing::info!(done, pending = now.pending, parked = now.parked, "draining");
                }
            }
        })
    }

    fn job(buffer: &Arc<Buffer>, job: JobKey, form: Form) -> Watch {
        let (began, mut told) = (Instant::now(), None);
        Watch::start(
            buffer,
            move |buffer| buffer.job_counts(job),
            move |first: &JobCounts, now, bar| {
                let JobCounts { pending, in_files, dead, .. } = *now;
                let done = now.events - pending;
                // The rate must not count the events of earlier runs.
                let since = done.saturating_sub(first.events - first.pending);
                let rate = since as f64 / began.elapsed().as_secs_f64();
                let seconds_left = (rate > 0.0).then(|| (pending as f64 / rate) as u64);
                match bar {
                    Some(bar) => {
                        if bar.position() == 0 {
                            bar.set_position(done);
                            bar.reset_eta();
                        }
                        bar.set_length(now.events);
                        bar.set_position(done);
                        bar.set_message(format!("{in_files} in files, {dead} dead"));
                    }
                    None if form == Form::Json => {
                        let line = json!({ "progress": now, "events_per_second": rate, "seconds_left": seconds_left });
                        output::line(tracing::Level::INFO, line);
                    }
                    None if told == Some((done, in_files)) => {}
                    None => {
                        told = Some((done, in_files));
                        let events_per_second = rate.round();
                        tracing::info!(
                            done,
                            pending,
                            in_files,
                            dead,
                            events_per_second,
                            seconds_left,
                            "backfilling"
                        );
                    }
                }
            },
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Events that are dead, held or delivered. Retention deletes some, but only after a drain.
fn decided(status: &Status) -> i64 {
    status.delivered + status.dead + status.held
}

/// Shows a backfill: first the loading of each input, then the events left to send.
pub(super) struct BackfillProgress {
    buffer: Arc<Buffer>,
    job: JobKey,
    form: Form,
    loading: IngestProgress,
    sending: Option<Watch>,
    waits: Option<String>,
}

impl BackfillProgress {
    pub(super) fn new(buffer: &Arc<Buffer>, job: JobKey, form: Form) -> BackfillProgress {
        let loading = IngestProgress::new(Stop::default());
        BackfillProgress { buffer: Arc::clone(buffer), job, form, loading, sending: None, waits: None }
    }
}

impl ingest::Observer for BackfillProgress {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        self.loading.progress(progress);
    }
}

impl backfill::Observer for BackfillProgress {
    fn sending(&mut self, _: &JobCounts) {
        self.loading = IngestProgress::new(Stop::default());
        self.sending = Some(Watch::job(&self.buffer, self.job, self.form));
    }

    fn waiting(&mut self, why: &str) {
        // A reason for waiting is logged once, not at each check.
        if self.waits.as_deref() != Some(why) {
            tracing::info!(why, "waiting");
            self.waits = Some(why.to_owned());
        }
    }
}
