//! `backfill`: history, loaded and sent below live traffic.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tokio::runtime::Builder;

use super::Context;
use super::exit::Exit;
use super::failure::CliError;
use super::hint;
use super::ingest::FormatArg;
use super::output::{self, Form};
use super::pass;
use super::progress::{BackfillProgress, PlanProgress};
use super::settings::Settings;
use super::signals;
use super::table::Table;
use crate::backfill::{
    self, BackfillOptions, BackfillReport, BulkLimits, BulkWay, Ending, ExportReport, Rates,
};
use crate::buffer::{Buffer, BufferError, JobCounts, JobRecord, JobSettings, JobSource};
use crate::collection::{BulkClient, BulkOptions, Collection, ImsOptions};
use crate::config::Zone;
use crate::drain::Stop;
use crate::event::Instant;
use crate::ingest::{FormatChoice, InputPath};
use crate::job::{Hours, JobName, JobRoute, JobState};

/// Takes history in and sends it beside live traffic, which always goes first.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Plan(PlanArgs),
    Run(RunArgs),
    Status(StatusArgs),
    Pause(NameArgs),
    Resume(ResumeArgs),
    Cancel(NameArgs),
    Export(ExportArgs),
}

/// Reads everything once, stores no event, and says what a backfill would do.
///
/// Per report suite and day: events, hits, visitors, duplicates; by each route: requests or files, bytes, how long; and what to
/// know before. The name keeps the inputs for `backfill run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
  0  done
  1  an input cannot be read to its end; what stands before the break is in the plan
  3  lines are rejected, or in conflict

Examples:
  passbridge backfill plan y2025 archive/2025-*.ndjson.gz
  passbridge backfill plan parked --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z
  passbridge backfill run y2025")]
pub(super) struct PlanArgs {
    /// What it is called: letters, digits, -, _ and .
    name: JobName,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Loads the inputs of a backfill and sends their events, until that is done.
///
/// Events that the buffer has seen before are duplicates, and are not sent again. Nothing is sent before every input is in the
/// buffer, so that each visitor's events go in the order of time. Whatever ends it, `backfill resume` goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
   0  done
   1  an input cannot be read, or Adobe refuses the files: mend it, then resume
   3  done, and events of it are dead or held, or lines were rejected or in conflict
   4  stopped or paused with events pending that could have gone (wins over 3)
  75  another backfill is running

Examples:
  passbridge backfill run y2025 archive/2025-*.ndjson.gz
  passbridge backfill run y2025 --via bulk --rate 4000 --window 22:00-06:00 archive/*.csv
  passbridge backfill run parked --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z")]
pub(super) struct RunArgs {
    /// What it is called: letters, digits, -, _ and .
    name: JobName,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Goes on with a backfill that was stopped, paused or cancelled; options replace those that it had.
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// Which.
    name: JobName,
    #[command(flatten)]
    way: WayArgs,
    /// Count rows as delivered that Adobe refused without naming them in its log.
    #[arg(long)]
    accept_unnamed: bool,
}

/// Where the events come from.
#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Files of any format that `ingest` reads, plain or compressed.
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long, value_enum, default_value_t = FormatArg::Auto)]
    format: FormatArg,
    /// Take events that wait in the buffer and happened at or after this instant.
    #[arg(long, value_name = "INSTANT", requires = "to", value_parser = instant)]
    from: Option<Instant>,
    /// The same, before this instant.
    #[arg(long, value_name = "INSTANT", requires = "from", value_parser = instant)]
    to: Option<Instant>,
}

/// How it goes.
#[derive(Debug, clap::Args)]
pub(super) struct WayArgs {
    /// One hit a request, or files of the Bulk Data Insertion API.
    #[arg(long, value_enum)]
    via: Option<RouteArg>,
    /// Hits a second for each collection host, or rows a second by bulk.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The hours of the day to send at, on the clock of schedule.timezone: 22:00-06:00; `always` lifts them.
    #[arg(long, value_name = "HOURS", value_parser = window)]
    window: Option<Window>,
    /// Keep the files of the bulk route once their answers are recorded.
    #[arg(long)]
    keep_files: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RouteArg {
    /// The Data Insertion API, as live events go.
    Dia,
    /// The Bulk Data Insertion API.
    Bulk,
}

/// Hours, or none.
#[derive(Debug, Clone, Copy)]
struct Window(Option<Hours>);

fn window(text: &str) -> Result<Window, String> {
    if text == "always" {
        return Ok(Window(None));
    }
    text.parse().map(|hours| Window(Some(hours))).map_err(|error: crate::job::JobError| error.to_string())
}

fn instant(text: &str) -> Result<Instant, String> {
    text.parse()
}

/// Which backfill.
#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    /// Its name.
    name: JobName,
}

/// Shows one backfill, or all of them.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Which; all of them without.
    name: Option<JobName>,
}

/// Writes the files of the bulk route for what is left of a backfill, and sends nothing.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Which.
    name: JobName,
    /// The folder for the files.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl WayArgs {
    /// The settings of a job, with what was given here over them.
    fn over(&self, before: JobSettings) -> JobSettings {
        JobSettings {
            route: match self.via {
                None => before.route,
                Some(RouteArg::Dia) => JobRoute::Dia,
                Some(RouteArg::Bulk) => JobRoute::Bulk,
            },
            rate: self.rate.or(before.rate),
            hours: self.window.map_or(before.hours, |window| window.0),
        }
    }
}

impl InputArgs {
    fn sources(&self) -> Result<Vec<JobSource>, CliError> {
        let format = match self.format.choice() {
            FormatChoice::Auto => None,
            FormatChoice::Is(format) => Some(format.name().to_owned()),
        };
        let file = |path: &PathBuf| {
            let path = std::path::absolute(path)
                .and_then(std::fs::canonicalize)
                .map_err(|source| CliError::File { verb: "read", path: path.clone(), source })?;
            if path.to_str().is_none() {
                return Err(CliError::Refused {
                    what: format!("the path {path:?} is no text"),
                    advice: "give the file a name in UTF-8".to_owned(),
                });
            }
            Ok(JobSource::File { path, format: format.clone() })
        };
        let mut sources: Vec<JobSource> = self.inputs.iter().map(file).collect::<Result<_, _>>()?;
        if let (Some(from), Some(to)) = (self.from, self.to) {
            sources.push(JobSource::Buffered { from, to });
        }
        Ok(sources)
    }
}

/// One backfill, or several.
#[derive(Debug, Serialize)]
struct StatusReport {
    backfills: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    job: JobRecord,
    #[serde(flatten)]
    counts: JobCounts,
    /// Whether a process is at it now.
    is_at_work: bool,
    inputs: Vec<serde_json::Value>,
}

impl fmt::Display for StatusReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.backfills.is_empty() {
            return writeln!(out, "no backfills");
        }
        let mut table = Table::new(&[
            "backfill",
            "state",
            "via",
            "events",
            "pending",
            "in files",
            "delivered",
            "dead",
            "held",
            "discarded",
        ]);
        for Shown { job, counts, is_at_work, .. } in &self.backfills {
            let state = match (job.state, is_at_work) {
                (JobState::Running, false) => "stopped",
                (state, _) => state.name(),
            };
            table.row(&[
                &job.name,
                &state,
                &job.settings.route.name(),
                &counts.events,
                &counts.pending,
                &counts.in_files,
                &counts.delivered,
                &counts.dead,
                &counts.held,
                &counts.discarded,
            ]);
        }
        table.fmt(out)?;
        for Shown { job, is_at_work, .. } in &self.backfills {
            if job.state == JobState::Running && !is_at_work {
                writeln!(out, "  {} is stopped: passbridge backfill resume {}", job.name, job.name)?;
            }
        }
        Ok(())
    }
}

/// What a run has come to.
#[derive(Debug, Serialize)]
struct RunReport {
    #[serde(flatten)]
    report: BackfillReport,
}

impl RunReport {
    fn sum(&self, name: &str) -> u64 {
        self.report.inputs.iter().filter_map(|input| input["counts"][name].as_u64()).sum()
    }

    fn exit(&self) -> Exit {
        let BackfillReport { counts, ending, .. } = &self.report;
        let is_unclean = counts.dead + counts.held + self.sum("rejected") + self.sum("conflicts") > 0;
        match ending {
            Ending::Done if is_unclean => Exit::Unclean,
            Ending::Done | Ending::Cancelled => Exit::Done,
            Ending::Paused | Ending::Stopped | Ending::Suite => Exit::Pending,
        }
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackfillReport { job, counts, inputs, ending, parked } = &self.report;
        let name = &job.name;
        let ending = match ending {
            Ending::Done => "done",
            Ending::Paused => "paused",
            Ending::Cancelled => "cancelled",
            Ending::Stopped => "stopped",
            Ending::Suite => "stopped: a collection host refuses a suite; see the log",
        };
        writeln!(out, "backfill {name}: {ending}")?;
        if !inputs.is_empty() {
            let sums = ["read", "stored", "duplicates", "conflicts", "rejected"].map(|sum| self.sum(sum));
            let [read, _, duplicates, conflicts, rejected] = sums;
            writeln!(
                out,
                "  {} inputs: {read} lines read, {duplicates} duplicates, {conflicts} in conflict, {rejected} rejected",
                inputs.len()
            )?;
        }
        let JobCounts { events, pending, delivered, dead, held, discarded, .. } = counts;
        writeln!(
            out,
            "  {events} events = {delivered} delivered + {pending} pending + {dead} dead + {held} held + {discarded} discarded"
        )?;
        for rejects in inputs.iter().filter_map(|input| input["rejects"].as_str()) {
            writeln!(out, "  rejected lines: {rejects}")?;
        }
        if *parked > 0 {
            writeln!(
                out,
                "  {parked} pending events have no active suite: see passbridge status; then backfill resume {name}"
            )?;
        } else if *pending > 0 {
            writeln!(out, "  to go on: passbridge backfill resume {name}")?;
        }
        if *dead > 0 {
            writeln!(out, "  dead: passbridge dead-letter list")?;
        }
        Ok(())
    }
}

/// What became of a job without running it.
#[derive(Debug, Serialize)]
struct ChangeReport {
    name: JobName,
    state: &'static str,
    /// Events that it moved.
    events: u64,
}

impl fmt::Display for ChangeReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChangeReport { name, state, events } = self;
        match *state {
            "cancelled" => writeln!(
                out,
                "backfill {name} is cancelled: {events} events are discarded; backfill resume {name} brings them back"
            ),
            _ => writeln!(out, "backfill {name} is {state}"),
        }
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportReport { folder, files, rows, unsendable } = self;
        writeln!(out, "{rows} rows in {} files in {}; nothing was sent", files.len(), folder.display())?;
        if *unsendable > 0 {
            writeln!(out, "  {unsendable} events cannot be sent: a run would make them dead letters")?;
        }
        Ok(())
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let buffer = Arc::new(Buffer::open(&context.buffer_options(&settings))?);
    match command {
        Command::Plan(args) => plan(args, &buffer, &settings, context),
        Command::Run(args) => {
            begin(args, &buffer)?;
            go(&args.name, &args.way, false, &buffer, &settings, context)
        }
        Command::Resume(args) => {
            resume(args, &buffer)?;
            go(&args.name, &args.way, args.accept_unnamed, &buffer, &settings, context)
        }
        Command::Status(args) => status(args, &buffer, context),
        Command::Pause(args) => pause(&args.name, &buffer, context),
        Command::Cancel(args) => cancel(&args.name, &buffer, context),
        Command::Export(args) => {
            let job = buffer.job(&args.name)?;
            let way = bulk_way(&settings, false, false)?;
            let report = backfill::export(&buffer, &job, &way, &args.folder)?;
            context.form.report(&report)?;
            Ok(Exit::Done)
        }
    }
}

/// Plans a backfill and keeps its inputs, instead of those of an earlier plan of that name.
fn plan(args: &PlanArgs, buffer: &Buffer, settings: &Settings, context: &Context) -> Result<Exit, CliError> {
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
        (Some(_), ..) => {
            return Err(CliError::Refused {
                what: "files and a span of the buffer cannot be planned together".to_owned(),
                advice: "plan them as two backfills".to_owned(),
            });
        }
        (None, _, files) => {
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
    buffer.forget_planned_job(&args.name)?;
    buffer.create_job(&args.name, job, sources)?;
    context.form.report(&plan)?;
    if context.form == Form::Text {
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
fn begin(args: &RunArgs, buffer: &Buffer) -> Result<(), CliError> {
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
        state => Err(CliError::Refused {
            what: format!("there is a backfill {} already, and it is {}", args.name, state.name()),
            advice: format!("passbridge backfill resume {0}; or choose another name", args.name),
        }),
    }
}

/// Makes a stopped, paused, cancelled or finished job a running one.
fn resume(args: &ResumeArgs, buffer: &Buffer) -> Result<(), CliError> {
    let lock = buffer.lock_backfill()?;
    let job = buffer.job(&args.name)?;
    if job.state == JobState::Planned {
        return Err(CliError::Refused {
            what: format!("backfill {} was never run", args.name),
            advice: format!("passbridge backfill run {}", args.name),
        });
    }
    if job.state == JobState::Cancelled {
        buffer.restore_job(job.key)?;
    }
    buffer.set_job_settings(job.key, args.way.over(job.settings))?;
    buffer.set_job_state(job.key, JobState::Running)?;
    drop(lock);
    Ok(())
}

fn go(
    name: &JobName,
    way: &WayArgs,
    accepts_unnamed: bool,
    buffer: &Arc<Buffer>,
    settings: &Settings,
    context: &Context,
) -> Result<Exit, CliError> {
    let job = buffer.job(name)?;
    let bulk = bulk_way(settings, way.keep_files, accepts_unnamed)?;
    let mut ingest = super::ingest::options(settings, FormatChoice::Auto, &context.clock);
    ingest.secret = settings.source_secret()?;
    ingest.service_keys = settings.service_keys()?;
    let mut collection = pass::collection_options(&settings.config.delivery);
    let rate = job.settings.rate.and_then(NonZeroU32::new);
    // The slower of both.
    collection.rate_per_host = [rate, collection.rate_per_host].into_iter().flatten().min();
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
        signals::listen(stop.clone())?;
        let report = backfill::run(buffer, name, &options, stop, &mut progress).await;
        progress.finish();
        Ok::<_, CliError>(report?)
    });
    // A thread that still reads standard input or a slow disk is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = RunReport { report: report? };
    context.form.report(&report)?;
    Ok(report.exit())
}

fn zone(settings: &Settings) -> Zone {
    let name = settings.config.schedule.timezone.clone();
    // The timetable was made of the same name.
    Zone::try_from(name).unwrap_or(Zone(chrono_tz::UTC))
}

fn bulk_way(settings: &Settings, keeps_files: bool, accepts_unnamed: bool) -> Result<BulkWay, CliError> {
    let config = &settings.config.bulk;
    let client = match (config.client_id.as_str(), settings.bulk_secret()?) {
        ("", _) | (_, None) => None,
        (client_id, Some(client_secret)) => Some(Arc::new(BulkClient::new(BulkOptions {
            url: config.url.clone(),
            ims: ImsOptions {
                url: config.ims_url.clone(),
                client_id: client_id.to_owned(),
                client_secret,
                scopes: config.scopes.clone(),
            },
            request_timeout: Duration::from_secs(config.request_timeout_seconds),
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
    let is_running = matches!(buffer.lock_backfill(), Err(BufferError::Backfilling(_)));
    let show = |job: JobRecord| -> Result<Shown, BufferError> {
        Ok(Shown {
            counts: buffer.job_counts(job.key)?,
            inputs: buffer.job_input_counts(job.key)?,
            is_at_work: is_running && job.state == JobState::Running,
            job,
        })
    };
    let backfills = jobs.into_iter().map(show).collect::<Result<_, _>>()?;
    context.form.report(&StatusReport { backfills })?;
    Ok(Exit::Done)
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
    context.form.report(&ChangeReport { name: name.clone(), state: JobState::Paused.name(), events: 0 })?;
    Ok(Exit::Done)
}

fn cancel(name: &JobName, buffer: &Buffer, context: &Context) -> Result<Exit, CliError> {
    let job = buffer.job(name)?;
    if job.state == JobState::Planned {
        buffer.forget_planned_job(name)?;
    } else {
        buffer.set_job_state(job.key, JobState::Cancelled)?;
    }
    let lock = lock_once_free(buffer)?;
    let events = if job.state == JobState::Planned { 0 } else { buffer.discard_job(job.key)? };
    drop(lock);
    context.form.report(&ChangeReport { name: name.clone(), state: JobState::Cancelled.name(), events })?;
    Ok(Exit::Done)
}

/// The lock of backfills, once the process that runs the job has seen that it is cancelled.
fn lock_once_free(buffer: &Buffer) -> Result<crate::buffer::BackfillLock, CliError> {
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
