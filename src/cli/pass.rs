//! One drain as the command line does it: lock, inbox, drain, retention. `drain` makes one, `run` one per slot.

use std::env;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::failure::CliError;
use super::progress::DrainProgress;
use super::settings::Settings;
use crate::buffer::{Buffer, RetentionPolicy};
use crate::collection::{BreakerOptions, Collection, CollectionOptions, ProxySettings};
use crate::config::DeliveryConfig;
use crate::drain::{self, AfterRestore, DrainOptions, RetryLimits, RunSummary, Stop, StopReason};
use crate::ingest::{self, FormatChoice, IngestOptions};

/// Everything that a drain needs, opened once.
pub(super) struct Pass {
    pub(super) buffer: Arc<Buffer>,
    collection: Collection,
    pub(super) options: DrainOptions,
    inbox: IngestOptions,
    retention: RetentionPolicy,
}

/// What a drain did.
#[derive(Debug)]
pub(super) struct PassReport {
    pub(super) summary: RunSummary,
    /// Rows of the inbox that are no event.
    pub(super) inbox_rejected: u64,
}

impl Pass {
    /// Opens the buffer and checks what can be checked before anything is sent.
    pub(super) fn open(settings: &Settings, context: &Context) -> Result<Pass, CliError> {
        Ok(Pass {
            buffer: Arc::new(Buffer::open(&context.buffer_options(settings))?),
            collection: Collection::new(collection_options(&settings.config.delivery))?,
            options: drain_options(&settings.config.delivery, context),
            inbox: super::ingest::options(settings, FormatChoice::Auto, &context.clock),
            retention: super::retention_policy(settings),
        })
    }

    /// Moves the inbox, drains, and deletes what is old. Fails at once where another drain holds the lock.
    pub(super) async fn run(&self, stop: &Stop) -> Result<PassReport, CliError> {
        let lock = self.buffer.lock()?;
        let (buffer, inbox) = (self.buffer.clone(), self.inbox.clone());
        let moved = blocking(move || ingest::take_inbox(&buffer, &inbox, &mut ())).await?;
        for warning in &moved.warnings {
            tracing::warn!("{warning}");
        }
        let progress = DrainProgress::start(&self.buffer);
        let drained = drain::drain(&self.buffer, &self.collection, &self.options, stop.clone(), &lock).await;
        drop(progress);
        let summary = drained?;
        // Who waits for the stop waits for nothing else; the next drain deletes as well.
        if !matches!(summary.stopped, Some(StopReason::Signal | StopReason::Deadline)) {
            self.retain().await?;
        }
        Ok(PassReport { summary, inbox_rejected: moved.total.rejected })
    }

    async fn retain(&self) -> Result<(), CliError> {
        let (buffer, policy) = (self.buffer.clone(), self.retention);
        let report = blocking(move || buffer.retain(policy)).await?;
        if report.clock_jumped {
            tracing::warn!(
                "the clock has jumped, so nothing was deleted; if it is right now: passbridge retention --trust-clock"
            );
        }
        Ok(())
    }
}

/// Does blocking work beside the runtime, so that signals are heard meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn collection_options(config: &DeliveryConfig) -> CollectionOptions {
    CollectionOptions {
        rate_per_host: NonZeroU32::new(config.rate_per_host),
        breaker: BreakerOptions {
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_secs(config.backoff_max_seconds),
            give_up: Duration::from_secs(config.give_up_seconds),
            ..BreakerOptions::default()
        },
        proxy: ProxySettings::from_variables(|name| env::var(name).ok()),
        ..CollectionOptions::new(Duration::from_secs(config.request_timeout_seconds))
    }
}

fn drain_options(config: &DeliveryConfig, context: &Context) -> DrainOptions {
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
