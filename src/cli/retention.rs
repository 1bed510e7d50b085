//! `retention`: deletes old events now.

use super::code::Code;
use super::keeping::{Keeping, Report};
use super::{Context, Exit, Failure, on_file, shared};
use crate::buffer::Buffer;
use crate::ingest::retain_rejects;

/// Deletes delivered and discarded events whose retention has passed, now instead of at the end of a drain.
///
/// Age counts from the outcome, never from when an event happened. Pending, held and dead events stay. Identities are
/// kept for buffer.dedup_days more, so that a file that is ingested again is still a duplicate. If the clock has
/// jumped, nothing is deleted (status 1), because a host with a wrong year would delete everything.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Trust this host's clock after a jump, and delete what is old by it.
    #[arg(long)]
    trust_clock: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    if on_file::is_on_postgres(&settings) {
        let keeping = Keeping { trusts_database: args.trust_clock, ..Keeping::new(&settings, context) };
        let report = shared::block_on(&settings, async |buffer| keeping.retain(buffer).await)?;
        let what =
            "nothing was deleted: the clocks of this host and of the database differ by more than a day";
        return ended(report, what, context);
    }
    let buffer = Buffer::open(&context.buffer_options(&settings)?)?;
    let _lock = buffer.lock()?;
    if args.trust_clock {
        buffer.trust_clock()?;
    }
    let report = buffer.retain(&settings.config.buffer)?;
    let expired_rejects_files = match report.clock_jumped {
        true => 0,
        false => retain_rejects(&buffer, &settings.config.ingest, context.clock.now())?,
    };
    let what = "nothing was deleted: the clock has jumped by more than a week";
    ended(Report { buffer: report, expired_rejects_files }, what, context)
}

fn ended(report: Report, what: &str, context: &Context) -> Result<Exit, Failure> {
    let jumped = report.buffer.clock_jumped.then(|| {
        let advice =
            "if it is right now: passbridge retention --trust-clock; if not, set it, and run this again";
        Failure::of(what, None, Code::Clock.failed(advice))
    });
    context.ended(&report, jumped, Exit::Done)
}
