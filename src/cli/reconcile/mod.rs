//! `reconcile`: compares ESM, the buffer and Analytics, and explains differences.

mod report;

use std::error::Error;

use chrono::{Days, NaiveDate, TimeDelta};

use super::code::Code;
use super::progress::{DAYS, Progress};
use super::{Context, Exit, Failure, Settings, options, refused, unless_stopped};
use crate::buffer::Buffer;
use crate::config::Zone;
use crate::esm::EsmClient;
use crate::ingest::{InputPath, read_whole};
use crate::readers::esm::REPORT_BYTES_MAX;
use crate::reconcile::{DAYS_MAX, EsmSource, ReconcileOptions, Tolerance, Verdict, reconcile};
use crate::suite::Rsid;

const LIVE: &str = "live";

/// Compares what ESM counted, what the buffer holds and what Analytics reports, and says why they differ.
///
/// Each requestor, MVPD, day and event of a suite is a cell. Events that are pending, parked, dead, held, too fresh
/// or ambiguous explain a difference. Analytics shows a whole live day some 3 hours after its last drain, and a whole
/// backfilled day after one day. Reading Analytics costs one call to Adobe for each day and one for each requestor
/// that had traffic on that day, at two calls a second.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/reconcile.txt").trim_ascii_end())]
pub(super) struct Args {
    /// The report suite.
    #[arg(long, value_name = "RSID")]
    suite: Rsid,
    /// The first day.
    #[arg(long, value_name = "DATE", value_parser = day)]
    from: NaiveDate,
    /// The last day.
    #[arg(long, value_name = "DATE", value_parser = day)]
    to: NaiveDate,
    /// Reports of ESM by minute, hour or day that group by requestor-id and mvpd, as JSON, XML or CSV; `live` fetches them by
    /// hour, as `pull esm` does.
    #[arg(long, value_name = "FILE|live", num_args = 1..)]
    esm: Vec<String>,
    /// Leave Analytics out: compare ESM and the buffer.
    #[arg(long)]
    no_analytics: bool,
    /// How far two numbers of a cell may differ: in units, such as 5, or as a share of the larger number, such as 0.5%.
    #[arg(long, value_name = "N|N%", default_value_t)]
    tolerance: Tolerance,
    /// The time zone of the days, by its IANA name. The default is that of ESM's reports, esm.timezone.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
}

fn day(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("{text:?} is no date such as 2026-11-10"))
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    check(args)?;
    let (settings, buffer) = context.open()?;
    let analytics = if args.no_analytics { None } else { Some(options::analytics(&settings)?) };
    let esm = esm_source(args, &settings, &buffer)?;
    let options = ReconcileOptions {
        rsid: args.suite.clone(),
        dates: args.from..args.to + Days::new(1),
        zone: args.timezone.unwrap_or(settings.config.esm.timezone),
        tolerance: args.tolerance,
        esm: settings.config.esm.clone(),
        proof_age: settings.config.analytics.proof_age(),
    };
    let mut shown = Progress::new(Some(0), DAYS);
    let compared = unless_stopped(reconcile(&buffer, analytics.as_ref(), esm, &options, &mut |progress| {
        shown.show_days(progress)
    }));
    drop(shown);
    let compared = compared?;
    let verdict = compared.verdict;
    context.form.report(&compared)?;
    Ok(match verdict {
        Verdict::Agrees | Verdict::Explained => Exit::Done,
        Verdict::Unknown | Verdict::Differs => Exit::Unclean,
    })
}

fn check(args: &Args) -> Result<(), Failure> {
    let Args { from, to, esm, no_analytics, .. } = args;
    let (what, advice) = if from > to {
        (
            format!("from {from} to {to} is no span of days"),
            "give the first day as --from and the last one as --to",
        )
    } else if *to - *from >= TimeDelta::days(DAYS_MAX) {
        (
            format!("from {from} to {to} are more than {DAYS_MAX} days"),
            "compare it in parts, such as month by month",
        )
    } else if *no_analytics && esm.is_empty() {
        (
            "with --no-analytics and without --esm there is nothing to compare the buffer with".to_owned(),
            "name reports of ESM with --esm, or leave --no-analytics out",
        )
    } else if esm.len() > 1 && esm.iter().any(|source| source == LIVE) {
        ("--esm live and files cannot be taken together: both count the same".to_owned(), "name one of them")
    } else {
        return Ok(());
    };
    Err(refused(what, advice))
}

fn esm_source(args: &Args, settings: &Settings, buffer: &Buffer) -> Result<EsmSource, Failure> {
    match &args.esm[..] {
        [] => Ok(EsmSource::None),
        [source] if source == LIVE => {
            let (config, requestors) = (settings.config.esm.clone(), buffer.suite(&args.suite)?.requestors);
            let client = EsmClient::new(config, requestors, &options::proxy(), buffer.path())?;
            Ok(EsmSource::Live(Box::new(client)))
        }
        files => {
            let read = |path: &String| {
                let document = read_whole(&InputPath::new(path), REPORT_BYTES_MAX).map_err(|error| {
                    let advice = "name whole reports of ESM that this user may read";
                    let what = format!("the ESM report {path:?} {error}");
                    Failure::of(&what, error.source(), Code::Refused.usage(advice))
                })?;
                Ok((path.clone(), document))
            };
            Ok(EsmSource::Reports(files.iter().map(read).collect::<Result<_, Failure>>()?))
        }
    }
}
