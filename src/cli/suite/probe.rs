//! `suite probe`.

use std::fmt;
use std::time::Duration;

use super::check::{self, ranges};
use crate::cli::{Context, Exit, Failure, Table, hint, options, output, refused, until_stopped};
use crate::collection::Collection;
use crate::config::duration;
use crate::event::Instant;
use crate::onboarding::probe::{
    EvarSeen, EvarState, Probe, ProbeFinding, ProbeOptions, ProbeReport, Verdict,
};
use crate::onboarding::verdict;
use crate::suite::{Rsid, Stage};

/// Sends marked canary hits into a suite, and reads them back through the Reports API.
///
/// For each of the 18 events, one hit with all 34 eVars is sent, then the same hit again (which must not
/// count), and then another hit of the same visitor (which must count). Three more hits show that values
/// expire with their hit. The eVar2 of all of them begins with passbridge-probe. They are sent like real
/// events, but no account and no report of passbridge counts them. Adobe takes tens of minutes to show them.
/// If the wait is interrupted, --read-back continues it.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/suite_probe.txt").trim_ascii_end())]
pub(crate) struct ProbeArgs {
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

pub(super) fn run(args: &ProbeArgs, context: &Context) -> Result<Exit, Failure> {
    let (rsid, (settings, buffer)) = (&args.rsid, context.open()?);
    let buffer = &buffer;
    let known = buffer.suite(rsid)?;
    if known.suite.stage != Stage::Development && !args.production && args.read_back.is_none() {
        return Err(refused(
            format!(
                "report suite {rsid} is no development suite, and its reports would count the canary hits for ever"
            ),
            format!(
                "probe a development suite that is set alike; or say that it is one: passbridge suite set {rsid} --stage \
                 development; or mean it: passbridge suite probe {rsid} --production"
            ),
        ));
    }
    let analytics = options::analytics(&settings)?;
    let collection = Collection::new(options::collection(&settings.config.delivery))?;
    let probe = Probe {
        buffer,
        collection: &collection,
        analytics: &analytics,
        suite: &known.suite,
        requestors: &known.requestors,
    };
    let earlier = args.read_back.as_ref().map(|id| buffer.probe(rsid, id)).transpose()?;
    let options = ProbeOptions { deadline: args.deadline, every: args.every };
    let last = || buffer.last_probe(rsid).map(|probe| probe.map(|probe| probe.id));
    let last_before = last()?;
    let probed = until_stopped(async |stop| {
        let work = async {
            // Stores the settings that the probe is about to prove. If they change later, its proofs become void.
            let api = check::read(&analytics, rsid).await?;
            check::judge(&settings, buffer, rsid, Some(api), None)?;
            Ok::<_, Failure>(match &earlier {
                Some(record) => probe.read_back(record, &options).await?,
                None => probe.run(&options).await?,
            })
        };
        tokio::select! {
            report = work => report.map(Some),
            _ = stop.wait() => Ok(None),
        }
    });
    let begun = last()?.filter(|id| Some(id) != last_before.as_ref());
    match probed {
        Ok(Some(report)) => {
            verdict::renew(buffer, rsid, settings.config.analytics.proof_age())?;
            context.form.report(&report)?;
            Ok(match report.verdict {
                Verdict::Right => Exit::Done,
                Verdict::Wrong => Exit::Unclean,
                Verdict::Unseen => Exit::Pending,
            })
        }
        Ok(None) => {
            if let Some(id) = args.read_back.clone().or(begun) {
                tell_read_back(rsid, &id, "stopped before the probe was read back");
            }
            Ok(Exit::Pending)
        }
        Err(failure) => {
            // These hits should be read back: a second probe would add more hits, which stay in reports for ever.
            begun.iter().for_each(|id| tell_read_back(rsid, id, "hits of this probe may be out"));
            Err(failure)
        }
    }
}

fn tell_read_back(rsid: &Rsid, id: &str, why: &str) {
    let go_on = format!("passbridge suite probe {rsid} --read-back {id}");
    output::note(format_args!("{why}; later: {}", hint::complete(&go_on)));
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProbeReport { id, rsid, verdict, events, evars, findings, hits, is_sent, .. } = self;
        let verdict = match verdict {
            Verdict::Right => "everything was seen as it was sent",
            Verdict::Wrong => "something is wrong",
            Verdict::Unseen => "not everything was seen in time",
        };
        writeln!(out, "probe {id} of report suite {rsid}, {hits} hits: {verdict}")?;
        if !is_sent {
            writeln!(
                out,
                "  it is not known that all of its hits were received: what is missing may never have been sent; where anything \
                 is missing, probe again"
            )?;
        }
        let mut table = Table::new(&["event", "label", "sent", "to be counted", "counted", "first seen"]);
        for event in events {
            let never = if event.seen.is_some() { "never" } else { "?" };
            let at = event.first_seen_at.map_or(never.to_owned(), Instant::to_the_second);
            let seen = event.seen.map_or("?".to_owned(), |seen| seen.to_string());
            table.row(&[&event.event, &event.label, &event.sent, &event.expected, &seen, &at]);
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
        if self.verdict == Verdict::Right {
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
