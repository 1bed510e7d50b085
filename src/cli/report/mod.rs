//! `report`: the server-side metrics, as Adobe Pass defines them.

mod text;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

use super::words::written;
use super::{
    Context, Exit, Failure, Settings, may_replace, on_file, output, refused, runtime, shared, undisturbed,
};
use crate::buffer::{Buffer, Discarded};
use crate::config::Zone;
use crate::event::{EventKind, Instant, Property};
use crate::postgres::SharedMetrics;
use crate::report::{Dimension, Metrics, Period, PeriodError, Report, ReportOptions, csv, page, report};
use crate::whole_file::{Readers, WholeFile};
use chrono_tz::Tz;

/// Shows the server-side metrics of a period, as Adobe Pass defines them: per MVPD and in total.
///
/// The default period is the last whole month. Days and months are in the time zone --timezone, by default esm.timezone (US
/// Pacific, as in ESM). Every event that was ever stored counts, delivered or not, even after retention has deleted it.
///
/// Unique users are the distinct MVPD User IDs of all events except AuthN requested. A user counts once in each
/// figure, so a month has fewer users than the sum of its days. In the total, an ID is one user even if several MVPDs
/// have it. Synthetic IDs of degraded and temporary access are shown separately.
///
/// --by groups rows by requestor, mvpd, proxy, sdk-type, device, day or hour; these figures are kept for ever. It
/// also takes the name of any other property that is reported as an eVar (resource_id, token_type, ...), but only for
/// the events that the buffer still has. Several --by give a row for each combination.
///
/// CSV has a line for the total and a line for each MVPD; with --by, a line for each row instead. Its columns are
/// from, to, timezone, scope, the values of --by, the figures, and the units of every event by its name.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/report.txt").trim_ascii_end())]
pub(super) struct Args {
    /// A year, month or day (2026, 2026-03, 2026-03-01), today, yesterday, this-month or last-month (the default).
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["from", "to"])]
    period: Option<String>,
    /// The first day as a date, or the first instant in RFC 3339, on a quarter hour.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The last day as a date, which is included, or the instant at which the period ends. Default today.
    #[arg(long, value_name = "DATE", requires = "from")]
    to: Option<String>,
    /// The time zone of days and hours, by its IANA name. Default esm.timezone.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
    /// Only this requestor; may be given several times.
    #[arg(long, value_name = "ID")]
    requestor: Vec<String>,
    /// A property to group rows by; may be given several times.
    #[arg(long, value_name = "WHAT", value_parser = dimension)]
    by: Vec<Dimension>,
    /// Leave out events that a person discarded by dead-letter, held or a cancelled backfill. Their users are still counted.
    #[arg(long)]
    without_discarded: bool,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Also write the report into this file, as one page with charts that needs no network. An earlier file is replaced.
    #[arg(long, value_name = "FILE", value_parser = written())]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    let is_file = !on_file::is_on_postgres(&settings);
    let file =
        is_file.then(|| Ok::<_, Failure>(Buffer::open(&context.buffer_options(&settings)?)?)).transpose()?;
    let metrics = match &file {
        Some(file) => Metrics::File(file.metrics()?),
        None => Metrics::Shared(SharedMetrics::open(runtime()?, &shared::address(&settings)?)?),
    };
    let stream = args.html.as_deref().map(|path| stream(path, &settings)).transpose()?;
    let zone = args.timezone.unwrap_or(settings.config.esm.timezone).0;
    let now = context.clock.now();
    let period = period(args, zone, now)?;
    let (requestors, by) = (args.requestor.clone(), once_each(&args.by));
    let discarded = if args.without_discarded { Discarded::LeftOut } else { Discarded::Counted };
    let options = ReportOptions { period, requestors, by, discarded };
    let report = report(&metrics, now, &options)?;
    if let Some(path) = &args.html {
        // Rows that are grouped by an ID of viewers name people.
        let is_personal =
            |by: &Dimension| matches!(by, Dimension::Property(Property::MvpdUserId | Property::VisitorId));
        let readers = if options.by.iter().any(is_personal) { Readers::Owner } else { Readers::Umask };
        write_page(&report, path, readers, stream.flatten())?;
    }
    if args.csv {
        output::bytes(csv(&report).as_bytes())?;
        report.remarks.iter().for_each(output::note);
    } else {
        context.form.report(&report)?;
    }
    Ok(Exit::Done)
}

/// Opens an output that is no file to replace: a device, a pipe, or what /dev/stdout leads to. `None` for a file, and
/// for a link to a file: the link is replaced, and its file stays.
fn stream(path: &Path, settings: &Settings) -> Result<Option<File>, Failure> {
    if !path.starts_with("/dev") && fs::metadata(path).map_or(true, |known| known.is_file()) {
        return may_replace(settings, path).map(|()| None);
    }
    let open = || {
        // Without NONBLOCK, opening a pipe would wait for its reader, perhaps for ever.
        let mut options = OpenOptions::new();
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = options.write(true).truncate(true).custom_flags(flags).open(path)?;
        fcntl_setfl(&file, OFlags::empty())?;
        Ok(Some(file))
    };
    open().map_err(|error: io::Error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => {
            refused(format!("cannot write {path:?}: nobody reads it"), "start its reader first")
        }
        _ => Failure::writing(path)(error),
    })
}

fn write_page(report: &Report, path: &Path, readers: Readers, stream: Option<File>) -> Result<(), Failure> {
    let page = page(report);
    let replace = || {
        let mut file = WholeFile::create(path, readers)?;
        file.write_all(page.as_bytes())?;
        file.replace()
    };
    let written = match stream {
        // A slow reader can block this write, so a signal must be able to end it.
        Some(mut stream) => stream.write_all(page.as_bytes()),
        None => undisturbed(replace)?,
    };
    written.map_err(Failure::writing(path))?;
    output::note(format_args!("the page is in {}", path.display()));
    Ok(())
}

fn period(args: &Args, zone: Tz, now: Instant) -> Result<Period, PeriodError> {
    match &args.from {
        Some(from) => Period::from_to(from, args.to.as_deref(), zone, now),
        None => Period::named(args.period.as_deref().unwrap_or("last-month"), zone, now),
    }
}

fn dimension(name: &str) -> Result<Dimension, String> {
    Dimension::from_name(name).ok_or_else(|| {
        let names = ["day", "hour", "requestor", "device"];
        let known = Property::reported().iter().map(|property| property.name()).chain(names);
        let near = known.max_by_key(|known| (strsim::jaro(known, name) * 1000.0) as u32).unwrap_or("day");
        if EventKind::from_name(name).is_some() {
            return format!("{name:?} is an event: every row has the units of every event");
        }
        format!("{name:?} is no property that is reported; the nearest is {near:?}")
    })
}

/// Removes repeated dimensions.
fn once_each(by: &[Dimension]) -> Vec<Dimension> {
    let is_first = |(index, each): &(usize, &Dimension)| !by[..*index].contains(each);
    by.iter().enumerate().filter(is_first).map(|(_, each)| *each).collect()
}
