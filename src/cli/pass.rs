//! One drain as the command line does it: lock, inbox, drain, retention. `drain` makes one, `run` one per slot.

use std::env;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Context;
use super::failure::{CliError, Failure};
use super::hint;
use super::progress::DrainProgress;
use super::settings::Settings;
use crate::buffer::{Buffer, RetentionPolicy};
use crate::collection::{BreakerOptions, Collection, CollectionOptions};
use crate::config::DeliveryConfig;
use crate::drain::{self, AfterRestore, DrainOptions, Locked, RetryLimits, RunSummary, Stop, StopReason};
use crate::ingest::{self, Counts, FormatChoice, IngestOptions, IngestSummary, retain_rejects};
use crate::web::ProxySettings;

/// Everything that a drain needs, opened once.
pub(super) struct Pass {
    pub(super) buffer: Arc<Buffer>,
    collection: Collection,
    pub(super) options: DrainOptions,
    inbox: IngestOptions,
    retention: RetentionPolicy,
}

#[derive(Debug)]
pub(super) struct PassReport {
    pub(super) summary: RunSummary,
    pub(super) inbox: InboxReport,
    /// Whether what is old could be deleted after a drain that is done.
    pub(super) retained: Result<(), CliError>,
}

/// What became of the inbox.
#[derive(Debug, Serialize)]
pub(super) struct InboxReport {
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// The file of its rows that are no event, or lost against one.
    pub(super) rejects: Option<PathBuf>,
    /// Why rows were left in it.
    pub(super) left: Option<String>,
}

impl InboxReport {
    /// Tells of it in the log.
    fn new(moved: IngestSummary) -> InboxReport {
        for warning in &moved.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(path) = &moved.rejects_path {
            tracing::warn!(path = %path.display(), "rows of the inbox were rejected, and are kept");
        }
        let left = moved.left.map(|error| Failure::from(CliError::from(error)).on_one_line());
        if let Some(why) = &left {
            tracing::warn!(why, "the inbox was left; what is in the buffer is sent");
        }
        InboxReport { counts: moved.total, rejects: moved.rejects_path, left }
    }

    /// Whether a person has to look at it.
    pub(super) fn is_unclean(&self) -> bool {
        self.counts.rejected + self.counts.conflicts > 0 || self.left.is_some()
    }
}

impl fmt::Display for InboxReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, stored, duplicates, conflicts, rejected } = self.counts;
        if read > 0 {
            write!(out, "  inbox: {read} rows, {stored} stored")?;
            for (count, what) in
                [(duplicates, "duplicates"), (conflicts, "conflicts"), (rejected, "rejected")]
            {
                if count > 0 {
                    write!(out, ", {count} {what}")?;
                }
            }
            match &self.rejects {
                Some(path) => writeln!(out, ": {}", path.display())?,
                None => writeln!(out)?,
            }
        }
        match &self.left {
            Some(why) => writeln!(out, "  the inbox was left: {why}"),
            None => Ok(()),
        }
    }
}

impl Pass {
    /// Opens the buffer and checks what can be checked before anything is sent.
    pub(super) fn open(settings: &Settings, context: &Context) -> Result<Pass, CliError> {
        Pass::of(Arc::new(Buffer::open(&context.buffer_options(settings))?), settings, context)
    }

    /// The same buffer by other settings.
    pub(super) fn with(&self, settings: &Settings, context: &Context) -> Result<Pass, CliError> {
        Pass::of(Arc::clone(&self.buffer), settings, context)
    }

    fn of(buffer: Arc<Buffer>, settings: &Settings, context: &Context) -> Result<Pass, CliError> {
        Ok(Pass {
            buffer,
            collection: Collection::new(collection_options(&settings.config.delivery))?,
            options: drain_options(&settings.config.delivery, context),
            inbox: super::ingest::options(settings, FormatChoice::Auto, &context.clock),
            retention: super::retention_policy(settings),
        })
    }

    /// Moves the inbox, drains, and deletes what is old. Fails at once where another drain holds the lock.
    pub(super) async fn run(&self, stop: &Stop) -> Result<PassReport, CliError> {
        self.options.clock.check()?;
        let lock = self.buffer.lock()?;
        let (buffer, inbox) = (self.buffer.clone(), self.inbox.clone());
        let moved = blocking(move || ingest::take_inbox(&buffer, &inbox, &mut ())).await?;
        let inbox = InboxReport::new(moved);
        let progress = DrainProgress::start(&self.buffer);
        let drained =
            drain::drain(&self.buffer, &self.collection, &self.options, stop.clone(), Locked::Live(&lock))
                .await;
        drop(progress);
        let summary = drained?;
        // Who waits for the stop waits for nothing else; the next drain deletes as well.
        let retained = match summary.stopped {
            Some(StopReason::Signal | StopReason::Deadline) => Ok(()),
            _ => self.retain().await,
        };
        Ok(PassReport { summary, inbox, retained })
    }

    async fn retain(&self) -> Result<(), CliError> {
        let (buffer, policy, ingest) = (self.buffer.clone(), self.retention, self.inbox.config.clone());
        let now = self.inbox.clock.now();
        let report = blocking(move || -> Result<_, CliError> {
            let report = buffer.retain(policy)?;
            // Events are sent whatever becomes of old rejects.
            if !report.clock_jumped
                && let Err(error) = retain_rejects(&buffer, &ingest, now)
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "old rejects are left");
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

/// Does blocking work beside the runtime, so that signals are heard meanwhile.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The proxy variables of the environment. One that is not UTF-8 is given on, and refused as no proxy.
pub(super) fn proxy_settings() -> ProxySettings {
    ProxySettings::from_variables(|name| env::var_os(name).map(|text| text.to_string_lossy().into_owned()))
}

pub(super) fn collection_options(config: &DeliveryConfig) -> CollectionOptions {
    CollectionOptions {
        rate_per_host: NonZeroU32::new(config.rate_per_host),
        breaker: BreakerOptions {
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_secs(config.backoff_max_seconds),
            give_up: Duration::from_secs(config.give_up_seconds),
            ..BreakerOptions::default()
        },
        proxy: proxy_settings(),
        ..CollectionOptions::new(Duration::from_secs(config.request_timeout_seconds))
    }
}

pub(super) fn drain_options(config: &DeliveryConfig, context: &Context) -> DrainOptions {
    DrainOptions {
        lanes: config.lanes as usize,
        retry: RetryLimits {
            max_attempts: config.max_attempts,
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_secs(config.backoff_max_seconds),
        },
        stop_grace: Duration::from_secs(config.stop_grace_seconds),
        limit: None,
        deadline: None,
        after_restore: AfterRestore::Ask,
        clock: context.clock.clone(),
    }
}
