//! `retention`: deletes old events now.

use serde::Serialize;

use super::{Context, Exit, Failure, hint, options};
use crate::buffer::RetentionReport;
use crate::ingest::retain_rejects;

/// Deletes delivered and discarded events whose retention has passed, now instead of at the end of a drain.
///
/// Age counts from the outcome, never from when an event happened; what is pending, held or dead stays. Identities are kept
/// for buffer.dedup_days more, so that a file ingested again is still a duplicate. Nothing is deleted after the clock has
/// jumped, status 1: a host in the wrong year would delete everything.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Vouch for this host's clock after a jump: what looks old is old.
    #[arg(long)]
    trust_clock: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    buffer: RetentionReport,
    expired_rejects_files: u64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let _lock = buffer.lock()?;
    if args.trust_clock {
        buffer.trust_clock()?;
    }
    let report = buffer.retain(options::retention(&settings))?;
    let expired_rejects_files = match report.clock_jumped {
        true => 0,
        false => retain_rejects(&buffer, &settings.config.ingest, context.clock.now())?,
    };
    let RetentionReport { expired_delivered, expired_discarded, forgotten_identities, clock_jumped } = report;
    let text = if clock_jumped {
        let trust = hint::complete("passbridge retention --trust-clock");
        format!("nothing deleted: the clock has jumped by more than a week. If it is right now: {trust}")
    } else {
        format!(
            "deleted    {expired_delivered} delivered and {expired_discarded} discarded events\n\
             forgotten  {forgotten_identities} identities of events deleted before\n\
             rejects    {expired_rejects_files} files deleted"
        )
    };
    context.answer(&Report { buffer: report, expired_rejects_files }, text)?;
    Ok(if clock_jumped { Exit::Failed } else { Exit::Done })
}
