//! `backfill`: history, loaded and sent below live traffic.

mod args;
mod plan;
mod report;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

pub(super) use args::Command;

use super::Context;
use super::exit::Exit;
use super::failure::CliError;
use super::hint;
use super::output::{self, Form};
use super::pass;
use super::progress::{BackfillProgress, PlanProgress};
use super::settings::Settings;
use super::signals::{self, Hangup};
use crate::backfill::{self, BackfillOptions, BulkLimits, BulkWay, Rates};
use crate::buffer::{BackfillLock, Buffer, BufferError, JobRecord, JobSettings};
use crate::collection::Collection;
use crate::config::Zone;
use crate::drain::Stop;
use crate::ingest::{FormatChoice, InputPath};
use crate::job::{JobName, JobState};
use crate::web::{ApiOptions, BulkClient, ImsOptions};
use args::{NewArgs, ResumeArgs, StatusArgs};
use report::{CancelReport, PauseReport, RunReport, Shown, StatusReport};

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let buffer = Arc::new(Buffer::open(&context.buffer_options(&settings))?);
    match command {
        Command::Plan(args) => plan(&args.new, &buffer, &settings, context),
        Command::Run(args) => {
            let lock = buffer.lock_backfill()?;
            begin(&args.new, &buffer)?;
            let bulk = bulk_way(&settings, args.files.keep_files, false)?;
            go(&args.new.name, bulk, &lock, &buffer, &settings, context)
        }
        Command::Resume(args) => {
            let lock = buffer.lock_backfill()?;
            resume(args, &buffer)?;
            let bulk = bulk_way(&settings, args.files.keep_files, args.accept_unnamed)?;
            go(&args.name, bulk, &lock, &buffer, &settings, context)
        }
        Command::Status(args) => status(args, &buffer, context),
        Command::Pause(args) => pause(&args.name, &buffer, context),
        Command::Cancel(args) => cancel(&args.name, &buffer, &settings.config.bulk.dir, context),
        Command::Export(args) => {
            let job = buffer.job(&args.name)?;
            if job.state == JobState::Planned {
                return Err(CliError::Refused {
                    what: format!(
                        "backfill {} is only planned, so none of its events is in the buffer",
                        args.name
                    ),
                    advice: format!("passbridge backfill run {}", args.name),
                });
            }
            let way = bulk_way(&settings, false, false)?;
            let report = backfill::export(&buffer, &job, &way, &args.folder)
                .map_err(|source| CliError::Backfill { name: args.name.clone(), source })?;
            context.form.report(&report)?;
            Ok(Exit::Done)
        }
    }
}

/// Plans a backfill and keeps its inputs, instead of those of an earlier plan of that name.
fn plan(args: &NewArgs, buffer: &Buffer, settings: &Settings, context: &Context) -> Result<Exit, CliError> {
    let sources = args.inputs.sources()?;
    if sources.is_empty() {
        return Err(CliError::Refused {
            what: "there is nothing to plan".to_owned(),
            advice: format!("name files, or --from and --to: passbridge backfill plan {} FILE...", args.name),
        });
    }
    match buffer.job(&args.name) {
        Err(BufferError::UnknownJob(_)) => {}
        Err(error) => return Err(error.into()),
        Ok(job) if job.state == JobState::Planned => {}
        Ok(job) => {
            return Err(CliError::Refused {
                what: format!("there is a backfill {} already, and it is {}", args.name, job.state.name()),
                advice: "choose another name for the new one".to_owned(),
            });
        }
    }
    let job = args.way.over(JobSettings::default());
    let rates =
        Rates::of(&settings.config.delivery, &settings.config.bulk, job.rate.and_then(NonZeroU32::new));
    let plan = match (args.inputs.from, args.inputs.to, &args.inputs.inputs[..]) {
        (Some(from), Some(to), []) => backfill::plan_buffered(buffer, from, to, &rates)?,
        (_, _, files) => {
            let mut options = super::ingest::options(settings, args.inputs.format.choice(), &context.clock);
            options.secret = settings.source_secret()?;
            options.service_keys = settings.service_keys()?;
            let inputs: Vec<InputPath> = files.iter().map(InputPath::new).collect();
            let mut progress = PlanProgress::new();
            let plan = backfill::plan(buffer, &inputs, &options, &rates, &mut progress);
            progress.finish();
            plan?
        }
    };
    buffer.forget_empty_job(&args.name)?;
    buffer.create_job(&args.name, job, sources)?;
    context.form.report(&plan)?;
    if context.form == Form::Text && plan.failures.is_empty() {
        output::note(format_args!(
            "to run it: {}",
            hint::complete(&format!("passbridge backfill run {}", args.name))
        ));
    }
    Ok(match (plan.failures.is_empty(), plan.rejected + plan.total.conflicts) {
        (false, _) => Exit::Failed,
        (true, 0) => Exit::Done,
        (true, _) => Exit::Unclean,
    })
}

/// Makes a planned or new job a running one.
fn begin(args: &NewArgs, buffer: &Buffer) -> Result<(), CliError> {
    let sources = args.inputs.sources()?;
    let job = match buffer.job(&args.name) {
        Ok(job) => job,
        Err(BufferError::UnknownJob(_)) if sources.is_empty() => {
            return Err(CliError::Refused {
                what: format!("there is no plan of {}, and no input is named", args.name),
                advice: format!("passbridge backfill run {} FILE...", args.name),
            });
        }
        Err(BufferError::UnknownJob(_)) => {
            buffer.create_job(&args.name, args.way.over(JobSettings::default()), sources)?;
            let job = buffer.job(&args.name)?;
            return Ok(buffer.set_job_state(job.key, JobState::Running)?);
        }
        Err(error) => return Err(error.into()),
    };
    match job.state {
        JobState::Planned if sources.is_empty() => {
            buffer.set_job_settings(job.key, args.way.over(job.settings))?;
            Ok(buffer.set_job_state(job.key, JobState::Running)?)
        }
        JobState::Planned => Err(CliError::Refused {
            what: format!("backfill {} is planned with its inputs already", args.name),
            advice: format!(
                "run it without inputs, or plan it anew: passbridge backfill plan {} FILE...",
                args.name
            ),
        }),
        // The caller holds the lock, so no process runs it.
        _ => Err(CliError::Refused {
            what: format!(
                "there is a backfill {} already, and it is {}",
                args.name,
                seen(&job, false).name()
            ),
            advice: format!("passbridge backfill resume {0}; or choose another name", args.name),
        }),
    }
}

/// Makes a planned, stopped, paused, cancelled or finished job a running one.
fn resume(args: &ResumeArgs, buffer: &Buffer) -> Result<(), CliError> {
    let job = buffer.job(&args.name)?;
    if job.state == JobState::Cancelled {
        buffer.restore_job(job.key)?;
    }
    buffer.set_job_settings(job.key, args.way.over(job.settings))?;
    Ok(buffer.set_job_state(job.key, JobState::Running)?)
}

fn go(
    name: &JobName,
    bulk: BulkWay,
    lock: &BackfillLock,
    buffer: &Arc<Buffer>,
    settings: &Settings,
    context: &Context,
) -> Result<Exit, CliError> {
    let job = buffer.job(name)?;
    let mut ingest = super::ingest::options(settings, FormatChoice::Auto, &context.clock);
    ingest.secret = settings.source_secret()?;
    ingest.service_keys = settings.service_keys()?;
    let mut collection = pass::collection_options(&settings.config.delivery);
    let rate = job.settings.rate.and_then(NonZeroU32::new);
    // The slower of both.
    collection.rate_per_host = [rate, collection.rate_per_host].into_iter().flatten().min();
    if let Some(fixed) = job.groups.filter(|fixed| *fixed < bulk.groups(&job)) {
        tracing::warn!(
            visitor_groups = fixed,
            "the rate is more than the visitor groups of this backfill carry, whose number is fixed"
        );
    }
    let options = BackfillOptions {
        ingest,
        drain: pass::drain_options(&settings.config.delivery, context),
        collection: Collection::new(collection)?,
        bulk,
        zone: zone(settings),
    };
    let stop = Stop::default();
    let mut progress = BackfillProgress::new(buffer, job.key, context.form);
    // Loading blocks its thread; signals are heard by another.
    let runtime =
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(CliError::Start)?;
    let report = runtime.block_on(async {
        signals::listen(stop.clone(), Hangup::Stops)?;
        let report = backfill::run(buffer, name, lock, &options, stop, &mut progress).await;
        progress.finish();
        report.map_err(|source| CliError::Backfill { name: name.clone(), source })
    });
    // A thread that still reads standard input or a slow disk is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = RunReport { report: report? };
    context.form.report(&report)?;
    Ok(report.exit())
}

fn zone(settings: &Settings) -> Zone {
    // The timetable was made of the same name.
    settings.config.schedule.timezone.parse().unwrap_or(Zone(chrono_tz::UTC))
}

fn bulk_way(settings: &Settings, keeps_files: bool, accepts_unnamed: bool) -> Result<BulkWay, CliError> {
    let config = &settings.config.bulk;
    let client = match (config.client_id.as_str(), settings.bulk_secret()?) {
        ("", _) | (_, None) => None,
        (client_id, Some(client_secret)) => Some(Arc::new(BulkClient::new(ApiOptions {
            url: config.url.clone(),
            ims: ImsOptions {
                url: config.ims_url.clone(),
                client_id: client_id.to_owned(),
                client_secret,
                scopes: config.scopes.clone(),
            },
            request_timeout: Duration::from_secs(config.request_timeout_seconds),
            proxy: pass::proxy_settings(),
        })?)),
    };
    Ok(BulkWay {
        client,
        limits: BulkLimits::of(config),
        rate: NonZeroU32::new(config.rate).unwrap_or(NonZeroU32::MIN),
        dir: config.dir.clone(),
        company: config.company.clone(),
        user_agent: config.user_agent.clone(),
        keeps_files,
        accepts_unnamed,
    })
}

fn status(args: &StatusArgs, buffer: &Buffer, context: &Context) -> Result<Exit, CliError> {
    let jobs = match &args.name {
        Some(name) => vec![buffer.job(name)?],
        None => buffer.jobs()?,
    };
    let is_running = is_running(buffer);
    let show = |job: JobRecord| -> Result<Shown, BufferError> {
        let state = seen(&job, is_running);
        Ok(Shown {
            counts: buffer.job_counts(job.key)?,
            inputs: buffer.job_input_counts(job.key)?,
            looked_up_files: buffer.looked_up_files(job.key)?,
            is_at_work: state == JobState::Running,
            job: JobRecord { state, ..job },
        })
    };
    let backfills = jobs.into_iter().map(show).collect::<Result<_, _>>()?;
    context.form.report(&StatusReport { backfills })?;
    Ok(Exit::Done)
}

/// Whether a process runs a backfill of this buffer.
pub(super) fn is_running(buffer: &Buffer) -> bool {
    matches!(buffer.lock_backfill(), Err(BufferError::Backfilling(_)))
}

/// The state of a job as a person sees it.
pub(super) fn seen(job: &JobRecord, is_running: bool) -> JobState {
    if job.state == JobState::Running && !is_running { JobState::Stopped } else { job.state }
}

fn pause(name: &JobName, buffer: &Buffer, context: &Context) -> Result<Exit, CliError> {
    let job = buffer.job(name)?;
    if job.state != JobState::Running {
        return Err(CliError::Refused {
            what: format!("backfill {name} is {}, so there is nothing to pause", job.state.name()),
            advice: "see all of them: passbridge backfill status".to_owned(),
        });
    }
    buffer.set_job_state(job.key, JobState::Paused)?;
    context.form.report(&PauseReport { name: name.clone(), state: JobState::Paused })?;
    Ok(Exit::Done)
}

fn cancel(name: &JobName, buffer: &Buffer, dir: &Path, context: &Context) -> Result<Exit, CliError> {
    let job = buffer.job(name)?;
    if job.state == JobState::Done && buffer.job_counts(job.key)?.pending == 0 {
        return Err(CliError::Refused {
            what: format!("backfill {name} is done, so there is nothing to cancel"),
            advice: format!("see what became of its events: passbridge backfill status {name}"),
        });
    }
    buffer.set_job_state(job.key, JobState::Cancelled)?;
    let _lock = lock_once_free(buffer)?;
    // Whoever waited for the lock as well may have made it a running one.
    buffer.set_job_state(job.key, JobState::Cancelled)?;
    let in_files = backfill::withdraw_unsent(buffer, &job, dir)
        .map_err(|source| CliError::Backfill { name: name.clone(), source })?;
    let discarded = buffer.discard_job(job.key)?;
    let pending = buffer.job_counts(job.key)?.pending;
    buffer.forget_empty_job(name)?;
    let is_forgotten = matches!(buffer.job(name), Err(BufferError::UnknownJob(_)));
    context.form.report(&CancelReport { name: name.clone(), discarded, pending, in_files, is_forgotten })?;
    Ok(Exit::Done)
}

/// The lock of backfills, once the process that runs the job has seen that it is cancelled.
fn lock_once_free(buffer: &Buffer) -> Result<BackfillLock, CliError> {
    /// Longer than a request takes that is in flight.
    const PATIENCE: Duration = Duration::from_secs(60);
    let since = std::time::Instant::now();
    loop {
        match buffer.lock_backfill() {
            Err(BufferError::Backfilling(_)) if since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return Ok(other?),
        }
    }
}
