//! The data of `status`: only values that can be read quickly.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::buffer::{Buffer, Holder, InputRecord, RunId, RunRecord, Status, SuiteListing};
use crate::cli::Failure;
use crate::cli::backfill::{Shown, shown};
use crate::delivery::Trouble;
use crate::event::Instant;
use crate::job::JobState;
use crate::suite::{Readiness, Rsid};
use crate::whole_file::beside;

/// The most inputs that the status shows.
const INPUTS_SHOWN: usize = 5;

#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    pub(super) version: &'static str,
    pub(super) at: Instant,
    pub(super) buffer: BufferFile,
    pub(super) drain: DrainStatus,
    pub(super) troubles: Vec<Trouble>,
    #[serde(flatten)]
    pub(super) status: Status,
    /// The suites that are blocked or overruled, or whose proofs are too old or void.
    pub(super) verdicts: Vec<SuiteVerdict>,
    /// The backfills that are running, stopped or paused, and those with pending events, which no drain sends.
    pub(super) backfills: Vec<Shown>,
    pub(super) inputs: Vec<InputRecord>,
    pub(super) last_completed_at: Option<Instant>,
    /// Until when retention deletes nothing, because the clock has jumped.
    pub(super) retention_waits_until: Option<Instant>,
    /// When the oldest event in the buffer was stored; if that is not known, when the buffer was created; `None` if
    /// nothing ever came in. If no drain was ever completed, the age of the last drain counts from this time.
    #[serde(skip)]
    pub(super) first_arrival_at: Option<Instant>,
}

#[derive(Debug, Serialize)]
pub(super) struct SuiteVerdict {
    pub(super) rsid: Rsid,
    pub(super) readiness: Readiness,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct BufferFile {
    pub(super) path: String,
    /// The size including the write-ahead log.
    pub(super) bytes: u64,
    pub(super) wal_bytes: u64,
    pub(super) free_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct DrainStatus {
    pub(super) state: DrainState,
    pub(super) holder: Option<Holder>,
    /// The current run, or a run that was cut off.
    pub(super) run_id: Option<RunId>,
    pub(super) began_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DrainState {
    /// No drain is running, and the last run ended normally.
    Idle,
    Running,
    /// No drain is running, and the last run did not end normally.
    CutOff,
}

pub(super) fn look(buffer: &Buffer, proof_age: Duration) -> Result<StatusReport, Failure> {
    let status = buffer.status_with_ages()?;
    let bytes = |ending| fs::metadata(beside(buffer.path(), ending)).map_or(0, |found| found.len());
    let now = buffer.now();
    let last = status.runs.first();
    let open = last.filter(|run| run.finished_at.is_none());
    let (run_id, began_at) = open.map(|run| (run.run_id, run.started_at)).unzip();
    let holder = buffer.drain_holder()?;
    let state = match (&holder, open) {
        (Some(_), _) => DrainState::Running,
        (None, Some(_)) => DrainState::CutOff,
        (None, None) => DrainState::Idle,
    };
    let created_at = || fs::metadata(buffer.path()).and_then(|file| file.created()).ok();
    let first_arrival_at = match buffer.first_arrival()? {
        None if status.inbox > 0 || status.accounting.ingested.events > 0 => created_at().map(Instant::from),
        first => first,
    };
    let mut backfills = shown(buffer, buffer.jobs()?)?;
    let is_open = |state| matches!(state, JobState::Running | JobState::Stopped | JobState::Paused);
    backfills.retain(|Shown { job, counts, .. }| counts.pending > 0 || is_open(job.state));
    // The problems of the latest run with a summary. A current run gets a summary with its first problem.
    let troubles = status.runs.iter().find(|run| run.summary.is_some()).map(RunRecord::troubles);
    Ok(StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        at: now,
        buffer: BufferFile {
            path: buffer.path().display().to_string(),
            bytes: bytes("") + bytes("-wal"),
            wal_bytes: bytes("-wal"),
            free_bytes: buffer.free_bytes()?,
        },
        drain: DrainStatus { state, holder, run_id, began_at },
        troubles: troubles.unwrap_or_default(),
        verdicts: verdicts(buffer, proof_age)?,
        backfills,
        inputs: buffer.inputs(None, None, INPUTS_SHOWN)?,
        last_completed_at: buffer.last_finished_run(now)?,
        retention_waits_until: buffer.retention_waits_until()?,
        first_arrival_at,
        status,
    })
}

fn verdicts(buffer: &Buffer, proof_age: Duration) -> Result<Vec<SuiteVerdict>, Failure> {
    let told = |SuiteListing { suite, verdict, .. }: SuiteListing| {
        let verdict = verdict?;
        let readiness = Readiness::of(Some(&verdict), buffer.now(), proof_age);
        let is_aged = matches!(readiness, Readiness::ProofAged { .. });
        let aged =
            verdict.proved_at.filter(|_| is_aged).map(|at| format!("proved at {}", at.to_the_second()));
        let blocks = verdict.blocks.is_some();
        let overruled =
            verdict.overruled.map(|reason| if blocks { format!("overruled: {reason}") } else { reason });
        let void = verdict.void.map(|void| format!("void: {void}"));
        let why: Vec<String> = [verdict.blocks, overruled, aged, void].into_iter().flatten().collect();
        (!why.is_empty()).then(|| SuiteVerdict { rsid: suite.form.rsid, readiness, why: why.join("; ") })
    };
    Ok(buffer.suites()?.into_iter().filter_map(told).collect())
}
