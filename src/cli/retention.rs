//! `retention`: deletes old events now.

use std::fmt;

use serde::Serialize;

use super::code::Code;
use super::{Context, Exit, Failure, options};
use crate::buffer::RetentionReport;
use crate::ingest::retain_rejects;

/// Deletes delivered and discarded events whose retention has passed, now instead of at the end of a drain.
///
/// Age counts from the outcome, never from when an event happened; what is pending, held or dead stays. Identities are kept
/// for buffer.dedup_days more, so that a file ingested again is still a duplicate. Nothing is deleted after the clock has
/// jumped, status 1: a host in the wrong year would delete everything.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Trust this host's clock after a jump: what looks old is old.
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
    let jumped = report.clock_jumped.then(|| {
        let what = "nothing was deleted: the clock has jumped by more than a week";
        let advice =
            "if it is right now: passbridge retention --trust-clock; if not, set it, and run this again";
        Failure::of(what, None, Code::Clock.failed(advice))
    });
    context.ended(&Report { buffer: report, expired_rejects_files }, jumped, Exit::Done)
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetentionReport { expired_delivered, expired_discarded, forgotten_identities, .. } = self.buffer;
        writeln!(out, "deleted    {expired_delivered} delivered and {expired_discarded} discarded events")?;
        writeln!(out, "forgotten  {forgotten_identities} identities of events deleted before")?;
        writeln!(out, "rejects    {} files deleted", self.expired_rejects_files)
    }
}
