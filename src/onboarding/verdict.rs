//! The verdict on a suite: the result of its last check and probe, stored together with what they saw.

use std::time::Duration;

use super::check::{CheckReport, Evidence, Seen, check};
use super::probe;
use crate::buffer::{Buffer, BufferError, NewVerdict};
use crate::suite::Rsid;

/// Checks a suite against what the sources showed, and stores the verdict.
pub fn judge(
    buffer: &Buffer,
    rsid: &Rsid,
    seen: &Seen,
    proof_age: Duration,
) -> Result<CheckReport, BufferError> {
    let known = buffer.suite(rsid)?;
    let probe = buffer.last_read_probe(rsid)?.as_ref().and_then(probe::outcome);
    let evidence = Evidence {
        seen,
        confirmations: &known.confirmations,
        probe: probe.as_ref(),
        has_delivered: buffer.has_delivered(rsid)?,
        now: buffer.now(),
        proof_age,
    };
    let report = check(&known.suite, &known.requestors, evidence);
    let verdict = NewVerdict {
        checked_at: seen.checked_at.unwrap_or(evidence.now),
        open: report.unsettled().count() as u32,
        blocks: report.blocks(),
        proved_at: report.proved_at,
        void: report.void.clone(),
        seen: serde_json::to_value(seen).expect("texts and numbers always serialise"),
    };
    buffer.set_verdict(rsid, verdict)?;
    Ok(report)
}

/// Checks a suite again after a change that no source shows. Does nothing if the suite was never checked.
pub fn renew(buffer: &Buffer, rsid: &Rsid, proof_age: Duration) -> Result<(), BufferError> {
    match buffer.seen(rsid)? {
        Some(seen) => judge(buffer, rsid, &seen, proof_age).map(drop),
        None => Ok(()),
    }
}
