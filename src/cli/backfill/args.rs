//! The arguments of `backfill`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::buffer::{JobSettings, JobSource};
use crate::cli::ingest::{AcceptArgs, OfArgs, input};
use crate::cli::words::{explained, written};
use crate::cli::{Failure, Settings, options, refused};
use crate::event::{Instant, Slice};
use crate::ingest::{self, FormatChoice, InputPath};
use crate::job::{Hours, JobError, JobName, JobRoute};

/// Loads old events and sends them beside live events, which always go first.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Reads all inputs once, stores no event, and says what the backfill would do.
    ///
    /// The plan has events, hits, visitors and duplicates for each report suite and day; requests or files, bytes and
    /// time for each route; and warnings. `backfill run` with the same name takes the inputs of the plan.
    #[command(after_help = include_str!("../help/backfill_plan.txt").trim_ascii_end())]
    Plan(PlanArgs),
    Run(RunArgs),
    /// Shows one backfill, or all of them.
    Status {
        /// The name of the backfill; without it, all are shown.
        name: Option<JobName>,
    },
    /// Stops a running backfill until it is resumed.
    ///
    /// Requests in flight are finished and recorded. The other events wait, and no live drain sends them.
    Pause(NameArgs),
    Resume(ResumeArgs),
    /// Discards the events that a backfill has not sent yet; `resume` restores them.
    ///
    /// Events that were certainly not sent are discarded. Events that may have been counted keep waiting.
    Cancel(NameArgs),
    /// Writes the events that a backfill has not sent yet into files of the bulk route, and sends nothing.
    Export {
        /// The name of the backfill.
        name: JobName,
        /// The folder for the files.
        #[arg(value_name = "DIR", value_parser = written())]
        folder: PathBuf,
    },
}

/// Loads the inputs of a backfill and sends their events until all are sent.
///
/// Events that the buffer has seen before are duplicates, and are not sent again. Nothing is sent before
/// every input is in the buffer, so that each visitor's events are sent in the order of time. If the run ends
/// early, `backfill resume` continues it.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/backfill_run.txt").trim_ascii_end())]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(super) new: NewArgs,
    #[command(flatten)]
    pub(super) accept: AcceptArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(super) new: NewArgs,
    /// Print the plan as Markdown for the person who approves it: server calls, peak, finishing date, risk and route, and the digests of the inputs.
    #[arg(long)]
    pub(super) markdown: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The name of the backfill: up to 64 letters, digits and any of - _ . in between
    pub(super) name: JobName,
    #[command(flatten)]
    pub(super) inputs: InputArgs,
    #[command(flatten)]
    pub(super) way: WayArgs,
}

/// Continues a backfill that was planned, stopped, paused or cancelled, or a finished one with events that can be
/// sent now. The options that are given replace the earlier ones.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The name of the backfill.
    pub(super) name: JobName,
    #[command(flatten)]
    pub(super) way: WayArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    /// Count rows of bulk files as delivered if Adobe refused them without naming them in its log.
    #[arg(long)]
    pub(super) accept_unnamed: bool,
}

/// Where the events come from.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// Files of any format that `ingest` reads, plain or compressed, folders, or quoted patterns. Without files, the
    /// backfill takes the events of the buffer that wait and happened between --from and --to.
    #[arg(value_name = "FILE", value_parser = input())]
    pub(super) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) of: OfArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WayArgs {
    /// The route: single hits or bulk files.
    #[arg(long, value_name = "VIA", value_parser = explained(ROUTES))]
    via: Option<JobRoute>,
    /// Hits per second for each collection host; with --via bulk, rows per second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The hours of the day in which to send, such as 22:00-06:00, in the time zone schedule.timezone; `always` is no limit.
    #[arg(long, value_name = "HOURS", value_parser = window)]
    window: Option<Window>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FileArgs {
    /// Keep the files of the bulk route after their answers are recorded.
    #[arg(long)]
    pub(super) keep_files: bool,
}

const ROUTES: [(JobRoute, &str); 2] = [
    (JobRoute::Dia, "The Data Insertion API, one hit for each request"),
    (JobRoute::Bulk, "The Bulk Data Insertion API, many rows in a file"),
];

#[derive(Debug, Clone, Copy)]
struct Window(Option<Hours>);

fn window(text: &str) -> Result<Window, String> {
    if text == "always" {
        return Ok(Window(None));
    }
    text.parse().map(|hours| Window(Some(hours))).map_err(|error: JobError| error.to_string())
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// The name of the backfill.
    pub(super) name: JobName,
}

impl WayArgs {
    /// The settings of a job; the arguments that are given replace some of them.
    pub(super) fn over(&self, before: JobSettings) -> JobSettings {
        JobSettings {
            route: self.via.unwrap_or(before.route),
            rate: self.rate.or(before.rate),
            hours: self.window.map_or(before.hours, |window| window.0),
        }
    }
}

impl InputArgs {
    /// The files, including those that folders and patterns name.
    pub(super) fn files(&self) -> Vec<InputPath> {
        ingest::expand(&self.inputs, "-")
    }

    /// The span of the events to take from the buffer; `None` if files are named, or if no option selects events.
    pub(super) fn window(&self) -> Result<Option<(Instant, Instant)>, Failure> {
        let slice = self.of.slice()?;
        if !self.inputs.is_empty() || slice == Slice::default() && self.of.map.is_none() {
            return Ok(None);
        }
        let (from, to) = (slice.from, slice.to);
        let is_span = slice == Slice { from, to, ..Slice::default() } && self.of.map.is_none();
        from.zip(to).filter(|_| is_span).map(Some).ok_or_else(|| {
            let what = "no file is named, and of the buffer only a span can be taken";
            refused(what, "name files, or --from and --to alone")
        })
    }

    pub(super) fn sources(&self, settings: &Settings) -> Result<Vec<JobSource>, Failure> {
        if let Some((from, to)) = self.window()? {
            return Ok(vec![JobSource::Buffered { from, to }]);
        }
        let map =
            self.of.map.as_ref().map(|name| options::map_named(settings, name).map(Box::new)).transpose()?;
        let format = match self.of.format {
            FormatChoice::Auto => None,
            FormatChoice::Is(format) => Some(format.to_string()),
        };
        let source = |input: &InputPath| {
            let path = match input {
                InputPath::File(path) => path,
                InputPath::StandardInput(_) => Path::new("-"),
            };
            let path =
                std::path::absolute(path).and_then(fs::canonicalize).map_err(Failure::reading(path))?;
            match path.to_str() {
                Some(_) => {
                    let (format, map, slice) = (format.clone(), map.clone(), self.of.slice()?);
                    Ok(JobSource::File { path, format, map, slice })
                }
                None => Err(refused(format!("the path {path:?} is no text"), "give it a name in UTF-8")),
            }
        };
        self.files().iter().map(source).collect()
    }
}
