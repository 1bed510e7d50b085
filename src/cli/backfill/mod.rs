//! `backfill`: loads old events and sends them with lower priority than live events.

mod args;
mod gate;
mod markdown;
mod plan;
mod report;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Timer};

use serde_json::{Value, json};
use tokio::runtime::Builder;

pub(super) use args::Command;
pub(super) use report::Shown;

use super::code::Code;
use super::ingest::AcceptArgs;
use super::progress::{BackfillProgress, Progress, READ};
use super::signals::{self, Hangup};
use super::{
    Context, Exit, Failure, Form, Settings, blocking, hint, may_replace, options, output, refused,
    until_stopped,
};
use crate::backfill::{self, BackfillOptions, BackfillReport, BulkWay, Rates};
use crate::buffer::{BackfillLock, Buffer, BufferError, JobKey, JobRecord, JobSettings};
use crate::collection::Collection;
use crate::drain::Stop;
use crate::event::Instant;
use crate::ingest::FormatChoice;
use crate::job::{JobName, JobRoute, JobState};
use args::{NewArgs, PlanArgs, ResumeArgs, RunArgs, WayArgs};
use report::StatusReport;

/// The longest wait for a cancelled job to end. A hit takes less by default; an upload may take longer.
const CANCEL_PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let backfills = Backfills { buffer: Arc::new(buffer), settings: &settings, context };
    match command {
        Command::Plan(args) => backfills.plan(args),
        Command::Run(RunArgs { new, accept, files }) => {
            let bulk = options::bulk(&settings, None, files.keep_files, false);
            backfills.run(&new.name, &new.way, bulk, || backfills.begin(new, accept))
        }
        Command::Resume(args) => {
            let bulk = options::bulk(&settings, None, args.files.keep_files, args.accept_unnamed);
            backfills.run(&args.name, &args.way, bulk, || backfills.resume(args))
        }
        Command::Status { name } => backfills.status(name.as_ref()),
        Command::Pause(args) => backfills.pause(&args.name),
        Command::Cancel(args) => backfills.cancel(&args.name),
        Command::Export { name, folder } => backfills.export(name, folder),
    }
}

/// The present state of these backfills. A running backfill is shown as `stopped` if no process works on it.
pub(super) fn shown(buffer: &Buffer, jobs: Vec<JobRecord>) -> Result<Vec<Shown>, BufferError> {
    let at_work = buffer.backfill_holder()?.and(buffer.open_job()?);
    let show = |mut job: JobRecord| -> Result<Shown, BufferError> {
        let mut obstacles = buffer.job_obstacles(job.key)?;
        let is_at_work = at_work == Some(job.key);
        if is_at_work {
            obstacles.inputs_left = 0;
        } else if job.state == JobState::Running {
            job.state = JobState::Stopped;
            obstacles.failure = obstacles.open_since.map(|at| cut_off(&job.name, at)).or(obstacles.failure);
        }
        Ok(Shown {
            counts: buffer.job_counts(job.key)?,
            calls: buffer.job_calls(job.key)?,
            waits_until: None,
            obstacles,
            inputs: buffer.job_input_counts(job.key)?,
            plan: None,
            looked_up_files: buffer.looked_up_files(job.key)?,
            is_at_work,
            job,
        })
    };
    jobs.into_iter().map(show).collect()
}

fn cut_off(name: &JobName, began_at: Instant) -> String {
    let since = began_at.to_the_second();
    let why = format!("cut off by a kill, a crash or a power loss, in its run since {since}");
    let advice = format!("what was in flight is in doubt; to go on: passbridge backfill resume {name}");
    format!("{why}; {}", hint::complete(&advice))
}

struct Backfills<'a> {
    buffer: Arc<Buffer>,
    settings: &'a Settings,
    context: &'a Context,
}

impl Backfills<'_> {
    fn known(&self, name: &JobName) -> Result<Option<JobRecord>, Failure> {
        match self.buffer.job(name) {
            Ok(job) => Ok(Some(job)),
            Err(BufferError::UnknownJob(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins, and works until the backfill ends. Fails before anything is recorded if the route needs a credential and
    /// there is none.
    fn run(
        &self,
        name: &JobName,
        way: &WayArgs,
        mut bulk: BulkWay,
        begin: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let lock = self.buffer.lock_backfill()?;
        bulk.client = options::bulk_client(self.settings)?;
        let known = self.known(name)?.map(|job| job.settings).unwrap_or_default();
        if way.over(known).route == JobRoute::Bulk {
            bulk.client().map_err(Failure::of_backfill(name))?;
        }
        begin()?;
        let job = self.buffer.job(name)?;
        let report = self.work(&job, bulk, &lock).inspect_err(|failure| self.note_end(job.key, failure))?;
        self.context.form.report(&report)?;
        Ok(report::exit(&report))
    }

    /// Plans a backfill and stores its inputs. The inputs replace those of an earlier plan with the same name.
    fn plan(&self, PlanArgs { new: args, markdown }: &PlanArgs) -> Result<Exit, Failure> {
        let (name, sources) = (&args.name, args.inputs.sources(self.settings)?);
        if sources.is_empty() {
            let advice = format!("name files, or --from and --to: passbridge backfill plan {name} FILE...");
            return Err(refused("there is nothing to plan", advice));
        }
        if let Some(job) = self.known(name)?.filter(|job| job.state != JobState::Planned) {
            return Err(refused(
                format!("there is a backfill {name} already, and it is {}", job.state.as_str()),
                "choose another name for the new one",
            ));
        }
        let job = args.way.over(JobSettings::default());
        let plan = self.make_plan(args, job.rate.and_then(NonZeroU32::new))?;
        self.buffer.forget_empty_job(name)?;
        self.buffer.create_job(name, job, sources, &plan)?;
        let is_unused = plan.inputs.iter().any(|input| input.unused.is_some());
        let is_unclean = is_unused || plan.rejected + plan.total.conflicts > 0;
        let failure = plan.failures.first().map(Failure::of_unstored);
        let exit = if is_unclean { Exit::Unclean } else { Exit::Done };
        if *markdown && self.context.form == Form::Text {
            output::text(&markdown::of(name, &plan, job, options::zone(self.settings)))?;
            return failure.map_or(Ok(exit), Err);
        }
        let exit = self.context.ended(&plan, failure, exit)?;
        if self.context.form == Form::Text {
            let run = format!("passbridge backfill run {name}");
            output::note(format_args!("to run it: {}", hint::complete(&run)));
        }
        Ok(exit)
    }

    fn make_plan(&self, args: &NewArgs, rate: Option<NonZeroU32>) -> Result<backfill::Plan, Failure> {
        let config = &self.settings.config;
        let rates = Rates::of(&config.delivery, &config.bulk, rate);
        if let Some((from, to)) = args.inputs.window()? {
            return Ok(backfill::plan_buffered(&self.buffer, from, to, &rates)?);
        }
        let options = args.inputs.of.options(self.settings, self.context)?;
        let inputs = args.inputs.files();
        let mut progress = Progress::new(None, READ);
        Ok(backfill::plan(&self.buffer, &inputs, &options, &rates, &mut |done| progress.show_plan(done))?)
    }

    /// Starts a planned job. Makes the plan first if the inputs were not planned.
    fn begin(&self, args: &NewArgs, accepted: &AcceptArgs) -> Result<(), Failure> {
        let (name, sources) = (&args.name, args.inputs.sources(self.settings)?);
        let job = match self.known(name)? {
            None if sources.is_empty() => {
                return Err(refused(
                    format!("there is no plan of {name}, and no input is named"),
                    format!("passbridge backfill run {name} FILE..."),
                ));
            }
            None => {
                let plan = self.make_plan(args, None)?;
                self.refuse(&json!(plan), accepted)?;
                self.buffer.create_job(name, JobSettings::default(), sources, &plan)?;
                return self.start(&self.buffer.job(name)?, &args.way);
            }
            Some(JobRecord { state, .. }) if state != JobState::Planned => {
                // No process runs this job, because the caller holds the lock.
                let state = if state == JobState::Running { JobState::Stopped } else { state };
                return Err(refused(
                    format!("there is a backfill {name} already, and it is {state}"),
                    format!("passbridge backfill resume {name}; or choose another name"),
                ));
            }
            Some(_) if !sources.is_empty() => {
                return Err(refused(
                    format!("backfill {name} is planned with its inputs already"),
                    format!("run it without inputs, or plan anew: passbridge backfill plan {name} FILE..."),
                ));
            }
            Some(job) => job,
        };
        let plan = self.buffer.job_plan(job.key)?.ok_or_else(|| {
            refused(
                format!("the plan of {name} is of an earlier release, which did not keep what it had read"),
                format!("plan it anew: passbridge backfill plan {name} FILE..."),
            )
        })?;
        gate::refuse_changed(&self.buffer, &job, &plan)?;
        self.refuse(&plan, accepted)?;
        self.start(&job, &args.way)
    }

    fn refuse(&self, plan: &Value, accepted: &AcceptArgs) -> Result<(), Failure> {
        gate::refuse_lost(plan, accepted)?;
        gate::refuse_delivered(&self.buffer, plan, accepted)
    }

    fn start(&self, job: &JobRecord, way: &WayArgs) -> Result<(), Failure> {
        self.buffer.set_job_settings(job.key, way.over(job.settings))?;
        Ok(self.buffer.set_job_state(job.key, JobState::Running)?)
    }

    /// Starts a planned, stopped, paused, cancelled or finished job again.
    fn resume(&self, args: &ResumeArgs) -> Result<(), Failure> {
        let job = self.buffer.job(&args.name)?;
        // The events become pending before a changed input is refused: a person can take back only pending events.
        if job.state == JobState::Cancelled {
            self.buffer.restore_job(job.key)?;
            self.start(&job, &args.way)?;
        }
        if let Some(plan) = self.buffer.job_plan(job.key)? {
            gate::refuse_changed(&self.buffer, &job, &plan)?;
        }
        self.start(&job, &args.way)
    }

    fn work(&self, job: &JobRecord, bulk: BulkWay, lock: &BackfillLock) -> Result<BackfillReport, Failure> {
        let Backfills { buffer, settings, context } = self;
        let name = &job.name;
        let mut collection = options::collection(&settings.config.delivery);
        let rate = job.settings.rate.and_then(NonZeroU32::new);
        // The lower of the job's rate and the configured rate applies.
        collection.rate_per_host = [rate, collection.rate_per_host].into_iter().flatten().min();
        if let Some(fixed) = job.groups.filter(|fixed| *fixed < bulk.groups(job)) {
            tracing::warn!(
                visitor_groups = fixed,
                "the rate is more than the visitor groups of this backfill carry, whose number is fixed"
            );
        }
        let options = BackfillOptions {
            ingest: options::keyed_ingest(settings, FormatChoice::Auto, &context.clock)?,
            drain: options::drain(&settings.config.delivery, context),
            collection: Collection::new(collection)?,
            bulk,
            zone: options::zone(settings),
        };
        let mut progress = BackfillProgress::new(buffer, job.key, context.form);
        // Loading blocks its thread, so another thread handles signals.
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Failure::starting)?;
        let report = runtime.block_on(async {
            let stop = Stop::default();
            signals::listen(stop.clone(), Hangup::Stops)?;
            let report = backfill::run(buffer, name, lock, &options, stop, &mut progress).await;
            drop(progress);
            report.map_err(Failure::of_backfill(name))
        });
        // Waits a second at most for a thread that still reads standard input or a slow disk.
        runtime.shutdown_timeout(Duration::from_secs(1));
        report
    }

    /// Records why and when a backfill ended, for `status`, unless its buffer is lost.
    fn note_end(&self, job: JobKey, failure: &Failure) {
        let since = self.buffer.now().to_the_second();
        let text = format!("{} (since {since}); {}", failure.on_one_line(), failure.advice);
        if failure.code != Code::BufferLost
            && let Err(error) =
                self.buffer.end_job_run(job).and_then(|()| self.buffer.note_job_failure(job, &text))
        {
            tracing::warn!(%error, "why the backfill ended cannot be recorded");
        }
    }

    fn status(&self, name: Option<&JobName>) -> Result<Exit, Failure> {
        let buffer = &self.buffer;
        let jobs = match name {
            Some(name) => vec![buffer.job(name)?],
            None => buffer.jobs()?,
        };
        let mut backfills = shown(buffer, jobs)?;
        let zone = options::zone(self.settings);
        for one in &mut backfills {
            one.plan = buffer.job_plan(one.job.key)?;
            let hours = one.job.settings.hours.filter(|_| one.is_at_work);
            let waits = hours.filter(|hours| hours.minutes_to_wait(self.context.clock.now(), zone).is_some());
            one.waits_until = waits.map(|hours| format!("{} ({})", hours.start(), zone.0.name()));
        }
        self.context.done(&StatusReport { backfills })
    }

    fn pause(&self, name: &JobName) -> Result<Exit, Failure> {
        let job = self.buffer.job(name)?;
        if job.state != JobState::Running {
            return Err(refused(
                format!("backfill {name} is {}, so there is nothing to pause", job.state.as_str()),
                "see all of them: passbridge backfill status",
            ));
        }
        self.buffer.set_job_state(job.key, JobState::Paused)?;
        let report = json!({ "name": name, "state": JobState::Paused });
        self.context.answer(&report, format_args!("backfill {name} is {}", JobState::Paused))
    }

    fn cancel(&self, name: &JobName) -> Result<Exit, Failure> {
        let buffer = &self.buffer;
        let job = buffer.job(name)?;
        if job.state == JobState::Done && buffer.job_counts(job.key)?.pending == 0 {
            return Err(refused(
                format!("backfill {name} is done, so there is nothing to cancel"),
                format!("see what became of its events: passbridge backfill status {name}"),
            ));
        }
        buffer.set_job_state(job.key, JobState::Cancelled)?;
        let _lock = self.lock_once_free()?;
        // Another process may have started the job while this one waited for the lock.
        buffer.set_job_state(job.key, JobState::Cancelled)?;
        let in_files = backfill::withdraw_unsent(buffer, &job, &self.settings.config.bulk.dir)
            .map_err(Failure::of_backfill(name))?;
        let discarded = buffer.discard_job(job.key)?;
        let pending = buffer.job_counts(job.key)?.pending;
        buffer.forget_empty_job(name)?;
        let is_forgotten = self.known(name).is_ok_and(|job| job.is_none());
        let mut text = format!("backfill {name} is cancelled: ");
        if is_forgotten {
            text.push_str("it had brought no event, and its name is free again");
        } else {
            text.push_str(&format!(
                "{discarded} events discarded; in other inputs they are duplicates, and backfill resume {name} brings them back"
            ));
            if pending > 0 {
                text.push_str(&format!(
                    "\n  {pending} events may have been counted and go on waiting, {in_files} of them in files without an answer"
                ));
            }
        }
        let report = json!({
            "name": name,
            "discarded": discarded,
            "pending": pending,
            "in_files": in_files,
            "is_forgotten": is_forgotten,
        });
        self.context.answer(&report, text)
    }

    /// Takes the lock of backfills after the process that runs the job has stopped.
    fn lock_once_free(&self) -> Result<BackfillLock, Failure> {
        let since = Timer::now();
        loop {
            match self.buffer.lock_backfill() {
                Err(BufferError::Backfilling(_)) if since.elapsed() < CANCEL_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                other => return Ok(other?),
            }
        }
    }

    fn export(&self, name: &JobName, folder: &Path) -> Result<Exit, Failure> {
        may_replace(self.settings, &folder.join("rows.gz"))?;
        let job = self.buffer.job(name)?;
        if job.state == JobState::Planned {
            return Err(refused(
                format!("backfill {name} is only planned, so none of its events is in the buffer"),
                format!("passbridge backfill run {name}"),
            ));
        }
        let way = options::bulk(self.settings, None, false, false);
        let (buffer, folder) = (self.buffer.clone(), folder.to_owned());
        let report = until_stopped(async |stop| {
            let goes_on = move || stop.requested().is_none();
            Ok(blocking(move || backfill::export(&buffer, &job, &way, &folder, &goes_on)).await)
        })?;
        self.context.done(&report.map_err(Failure::of_backfill(name))?)
    }
}
