//! `suite probe`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Suites;
use super::check::{self, ranges};
use crate::buffer::Buffer;
use crate::cli::Context;
use crate::cli::analytics::client_of;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::hint;
use crate::cli::output;
use crate::cli::pass::collection_options;
use crate::cli::signals::{self, Hangup};
use crate::cli::table::Table;
use crate::collection::Collection;
use crate::config::duration;
use crate::drain::Stop;
use crate::event::Instant;
use crate::onboarding::probe::{
    EvarSeen, EvarState, Probe, ProbeFinding, ProbeOptions, ProbeReport, Verdict,
};
use crate::suite::{Rsid, Stage};

/// Sends marked canary hits into a suite, and reads them back through the Reports API.
///
/// For each of the 18 events one hit goes out with all 34 eVars, once more as the very same hit (which must not count
/// again), and a second one of the same visitor (which must); three more show that values expire with their hit. Their eVar2
/// begins with passbridge-probe. They take the way of real events, but are none: nothing of them is in the buffer's account or in
/// any report of passbridge. Adobe takes tens of minutes to show them; an interrupted wait is taken up with --read-back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
   0  everything was seen as it was sent
   1  the hits could not be sent, or Analytics could not be read
   2  wrong arguments or configuration, or no development suite: nothing was sent
   3  everything that can be seen was seen, and something is wrong
   4  the deadline passed, or a signal came, before everything was seen

Examples:
  passbridge suite probe devrsid
  passbridge suite probe examplersid --production --deadline 3h
  passbridge suite probe devrsid --read-back probe0a1b2c3d4e")]
pub(in crate::cli) struct ProbeArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// Send into a suite whose stage is not development: its reports count the canary hits for ever.
    #[arg(long)]
    production: bool,
    /// How long to wait for the hits. Adobe calls a report complete after 2 h.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = duration)]
    deadline: Duration,
    /// How long to wait between two readings. Adobe asks not to poll faster than every 30 minutes.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    every: Duration,
    /// Send nothing, and read this earlier probe back.
    #[arg(long, value_name = "ID", conflicts_with = "production")]
    read_back: Option<String>,
}

pub(super) fn run(args: &ProbeArgs, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let suites = Suites::open(context, &settings)?;
    let buffer = &suites.buffer;
    let known = buffer.suite(&args.rsid)?;
    if known.suite.stage != Stage::Development && !args.production && args.read_back.is_none() {
        return Err(CliError::Refused {
            what: format!(
                "report suite {} is no development suite, and its reports would count the canary hits for ever",
                args.rsid
            ),
            advice: format!(
                "probe a development suite that is set alike; or say that it is one: passbridge suite set {0} --stage \
                 development; or mean it: passbridge suite probe {0} --production",
                args.rsid
            ),
        });
    }
    let analytics = client_of(&settings)?;
    let collection = Collection::new(collection_options(&settings.config.delivery))?;
    let probe = Probe {
        buffer,
        collection: &collection,
        analytics: &analytics,
        suite: &known.suite,
        requestors: &known.requestors,
    };
    let earlier = args.read_back.as_ref().map(|id| buffer.probe(&args.rsid, id)).transpose()?;
    let options = ProbeOptions { deadline: args.deadline, every: args.every };
    let last_before = buffer.last_probe(&args.rsid)?.map(|probe| probe.id);
    let stop = Stop::default();
    let probed = crate::cli::runtime()?.block_on(async {
        signals::listen(stop.clone(), Hangup::Stops)?;
        let work = async {
            // What the suite is set to now is what the probe proves: a later change makes its proofs void.
            let api = check::read(&analytics, &args.rsid).await?;
            check::judge(&suites, &args.rsid, Some(api), None)?;
            Ok::<_, CliError>(match &earlier {
                Some(record) => probe.read_back(record, &options).await?,
                None => probe.run(&options).await?,
            })
        };
        tokio::select! {
            report = work => Ok::<_, CliError>(Some(report)),
            _ = stop.wait() => Ok(None),
        }
    })?;
    let probed = match probed {
        Some(Err(error)) => {
            // Who sends again leaves more hits that reports cannot forget.
            let last = buffer.last_probe(&args.rsid)?.map(|probe| probe.id);
            if let Some(id) = last.filter(|id| Some(id) != last_before.as_ref()) {
                tell_read_back(&args.rsid, &id, "hits of this probe may be out");
            }
            return Err(error);
        }
        Some(Ok(report)) => Some(report),
        None => None,
    };
    match probed {
        Some(report) => {
            suites.renew(&args.rsid)?;
            context.form.report(&Report(&report))?;
            Ok(exit(report.verdict))
        }
        None => interrupted(args, buffer, last_before),
    }
}

fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Right => Exit::Done,
        Verdict::Wrong => Exit::Unclean,
        Verdict::Unseen => Exit::Pending,
    }
}

/// Says how to go on.
fn interrupted(args: &ProbeArgs, buffer: &Buffer, before: Option<String>) -> Result<Exit, CliError> {
    let last = buffer.last_probe(&args.rsid)?.map(|probe| probe.id).filter(|id| Some(id) != before.as_ref());
    if let Some(id) = args.read_back.clone().or(last) {
        tell_read_back(&args.rsid, &id, "stopped before the probe was read back");
    }
    Ok(Exit::Pending)
}

fn tell_read_back(rsid: &Rsid, id: &str, why: &str) {
    let go_on = format!("passbridge suite probe {rsid} --read-back {id}");
    output::note(format_args!("{why}; later: {}", hint::complete(&go_on)));
}

#[derive(Serialize)]
#[serde(transparent)]
struct Report<'a>(&'a ProbeReport);

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProbeReport { id, rsid, verdict, events, evars, findings, hits, is_sent, .. } = self.0;
        let verdict = match verdict {
            Verdict::Right => "everything was seen as it was sent",
            Verdict::Wrong => "something is wrong",
            Verdict::Unseen => "not everything was seen in time",
        };
        writeln!(out, "probe {id} of report suite {rsid}, {hits} hits: {verdict}")?;
        if !is_sent {
            writeln!(
                out,
                "  it is not known that all of its hits were received: what is missing may never have been sent"
            )?;
        }
        let mut table = Table::new(&["event", "label", "sent", "to be counted", "counted", "first seen"]);
        for event in events {
            let at = event.first_seen_at.map_or("never".to_owned(), minute);
            table.row(&[&event.event, &event.label, &event.sent, &event.expected, &event.seen, &at]);
        }
        table.fmt(out)?;
        for (state, words) in [
            (EvarState::Right, "as sent"),
            (EvarState::Missing, "not seen"),
            (EvarState::Altered, "changed"),
            (EvarState::Partial, "with too few events"),
            (EvarState::Leaks, "credited with later events"),
            (EvarState::Unread, "not read"),
        ] {
            let of: Vec<&str> = evars
                .iter()
                .filter(|evar| evar.state == state)
                .map(|EvarSeen { evar, .. }| evar.as_str())
                .collect();
            if !of.is_empty() {
                writeln!(out, "  {words}: {}", ranges(&of))?;
            }
        }
        if self.0.verdict == Verdict::Right {
            writeln!(
                out,
                "  not shown by a probe: bot rules and IP exclusions that match viewers, allocations, types of events (suite check)"
            )?;
        }
        for ProbeFinding { subject, found, fix, .. } in findings {
            writeln!(out, "  wrong     {subject}: {}", hint::complete(found))?;
            writeln!(out, "            fix: {}", hint::complete(fix))?;
        }
        Ok(())
    }
}

/// An instant to the minute, in UTC.
fn minute(at: Instant) -> String {
    chrono::DateTime::from(at).format("%Y-%m-%d %H:%MZ").to_string()
}
