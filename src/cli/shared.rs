//! The commands on a buffer in PostgreSQL, which many workers share.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::advice::{Judge, Judgement};
use super::code::Code;
use super::keeping::Keeping;
use super::table::write_notes;
use super::{Context, Exit, Failure, Settings, Table, hint, options, runtime, until_stopped};
use crate::buffer::SuiteListing;
use crate::collection::Collection;
use crate::drain::{Stop, StopReason};
use crate::event::Instant;
use crate::ingest::SharedDoor;
use crate::postgres::{Address, PostgresError, SharedBuffer, SharedStatus};
use crate::workers::{self, WorkError, WorkOptions, WorkSummary};

pub(super) fn address(settings: &Settings) -> Result<Address, Failure> {
    let buffer = &settings.config.buffer;
    let address = Address::parse(&buffer.url).expect("the URL was checked when the configuration was read");
    Ok(address.with_password(&buffer.password_file)?)
}

/// Opens the buffer, and does the work on this thread.
pub(super) fn block_on<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&mut SharedBuffer) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let address = address(settings)?;
    runtime()?.block_on(async { work(&mut SharedBuffer::open(&address).await?).await })
}

/// Fails if the buffer does not answer.
pub(super) fn look(address: &Address) -> Result<(), Failure> {
    runtime()?.block_on(SharedBuffer::open(address))?;
    Ok(())
}

/// Opens the buffer to store events in it.
pub(super) fn door(settings: &Settings) -> Result<SharedDoor, Failure> {
    let (address, runtime) = (address(settings)?, runtime()?);
    let buffer = runtime.block_on(SharedBuffer::open(&address))?;
    Ok(SharedDoor::new(runtime, buffer, settings.file.clone()))
}

pub(super) fn init(settings: &Settings, may_exist: bool, context: &Context) -> Result<Exit, Failure> {
    let address = address(settings)?;
    let created = runtime()?.block_on(async {
        match SharedBuffer::create(&address).await {
            Err(PostgresError::Exists { .. }) if may_exist => {
                SharedBuffer::open(&address).await.map(|_| false)
            }
            created => created.map(|()| true),
        }
    })?;
    let (made, next) = (
        if created { "created" } else { "kept as it was" },
        "passbridge suite add --requestor ID --rsid RSID --collection-url URL",
    );
    let text = format!("buffer         {address}  ({made})\n\nnext: {}", hint::complete(next));
    let report = json!({ "config": settings.file, "buffer": address.to_string(), "buffer_created": created });
    context.answer(&report, text)
}

pub(super) fn drain(
    settings: &Settings,
    deadline: Option<Duration>,
    context: &Context,
) -> Result<Exit, Failure> {
    let worker = Worker::new(settings, context)?;
    let summary = until_stopped(async |stop| worker.drain(deadline, stop).await)?;
    let exit = match &summary {
        WorkSummary { left: true, .. } => Exit::Pending,
        WorkSummary { dead, held, .. } if dead + held > 0 => Exit::Unclean,
        WorkSummary { by_others: true, .. } => Exit::LockHeld,
        _ => Exit::Done,
    };
    context.form.report(&Drained(summary))?;
    Ok(exit)
}

/// What one of many workers needs to drain.
pub(super) struct Worker {
    address: Address,
    out: Collection,
    work: WorkOptions,
    keeping: Keeping,
}

impl Worker {
    pub(super) fn new(settings: &Settings, context: &Context) -> Result<Worker, Failure> {
        let delivery = &settings.config.delivery;
        let drain = options::drain(delivery, context);
        let work = WorkOptions {
            lanes: drain.lanes,
            rate_per_host: NonZeroU32::new(delivery.rate_per_host),
            retry: drain.retry,
            request_timeout: Duration::from_secs(delivery.request_timeout_seconds),
            stop_grace: drain.stop_grace,
            deadline: None,
            lease: Duration::from_secs(settings.config.workers.lease_seconds),
        };
        let (address, out) = (address(settings)?, Collection::new(options::collection(delivery))?);
        Ok(Worker { address, out, work, keeping: Keeping::new(settings, context) })
    }

    pub(super) async fn drain(&self, deadline: Option<Duration>, stop: Stop) -> Result<WorkSummary, Failure> {
        let work = WorkOptions { deadline, ..self.work.clone() };
        let summary = workers::drain(&self.address, &self.out, &work, stop).await?;
        let WorkSummary { slices, delivered, dead, held, pending, .. } = summary;
        tracing::info!(slices, delivered, dead, held, pending, "drain ended");
        if !matches!(summary.stopped, Some(StopReason::Signal | StopReason::Deadline)) {
            self.retain().await.unwrap_or_else(|failure| {
                tracing::warn!(why = failure.on_one_line(), "what is old was not deleted");
            });
        }
        Ok(summary)
    }

    async fn retain(&self) -> Result<(), Failure> {
        let report = self.keeping.retain(&mut SharedBuffer::open(&self.address).await?).await?;
        if report.buffer.clock_jumped {
            tracing::warn!(
                "the clocks of this host and of the database differ by more than a day, so nothing was deleted"
            );
        }
        Ok(())
    }

    /// The database, its suites, and the time up to which drains have covered all suites that are not paused. Fails if
    /// the way to a suite's collection host is not valid.
    pub(super) fn look(&self) -> Result<(String, Vec<SuiteListing>, Option<Instant>), Failure> {
        runtime()?.block_on(async {
            let mut buffer = SharedBuffer::open(&self.address).await?;
            let suites = buffer.suites().await?;
            for listing in &suites {
                self.out.host(&listing.suite.collection_url)?;
            }
            let slices = buffer.status().await?.slices;
            let covered = slices.iter().filter(|suite| !suite.is_paused).map(|suite| suite.covered_at);
            Ok((self.address.to_string(), suites, covered.min().flatten()))
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Drained(WorkSummary);

impl fmt::Display for Drained {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkSummary { worker, slices, read, hits, delivered, pending, parked, .. } = &self.0;
        writeln!(
            out,
            "worker {worker}: {slices} slices covered, {read} events read, {delivered} delivered in {hits} hits"
        )?;
        let notes = [
            (self.0.dead, "dead"),
            (self.0.held, "held"),
            (self.0.in_doubt, "in doubt: repeated by the next drain"),
            (self.0.retries, "attempts repeated"),
            (self.0.lost_slices, "slices were taken over by other workers, because the lease had ended"),
        ];
        write_notes(out, notes.map(|(count, what)| (count, format!("{count} {what}"))))?;
        self.0.troubles.iter().try_for_each(|trouble| writeln!(out, "  trouble: {trouble}"))?;
        writeln!(out, "  {pending} pending, of which {parked} parked")
    }
}

pub(super) fn status(settings: &Settings, verify: bool, context: &Context) -> Result<Exit, Failure> {
    let (status, discrepancies) = block_on(settings, async |buffer| {
        let discrepancies = if verify { Some(buffer.verify().await?) } else { None };
        Ok((buffer.status().await?, discrepancies))
    })?;
    let is_off = !status.accounting.balanced || discrepancies.iter().any(|found| !found.is_empty());
    let failure = is_off.then(|| {
        let what = "the account is off: the postings and the rows of the buffer differ";
        Failure::of(what, None, Code::BufferDamaged.failed("check the database server and its disk"))
    });
    context.ended(&Looked { status, discrepancies }, failure, Exit::Done)
}

#[derive(Serialize)]
pub(super) struct Looked {
    #[serde(flatten)]
    pub(super) status: SharedStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discrepancies: Option<Vec<String>>,
}

impl fmt::Display for Looked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SharedStatus { pending, delivered, dead, held, discarded, .. } = &self.status;
        let SharedStatus { expired, erased, taken_back, parked, in_doubt, under_way, .. } = &self.status;
        writeln!(
            out,
            "pending    {pending}, of which {parked} parked and {in_doubt} in doubt; {under_way} under way"
        )?;
        writeln!(
            out,
            "delivered  {delivered}\ndead       {dead}\nheld       {held}\ndiscarded  {discarded}\nexpired    {expired}\nerased     {erased}\ntaken back {taken_back}"
        )?;
        let over_count = self.status.over_count_max;
        write_notes(
            out,
            [(
                over_count.unsigned_abs(),
                format!("at most {over_count} units may have been counted too often"),
            )],
        )?;
        let mut table = Table::new(&["requestor", "suite", "pending"]);
        for line in &self.status.requestors {
            table.row(&[&line.requestor_id, &line.rsid.as_deref().unwrap_or("none"), &line.pending]);
        }
        table.fmt(out)?;
        let mut table = Table::new(&["suite", "slices", "owned", "covered at"]);
        for line in &self.status.slices {
            table.row(&[
                &line.rsid,
                &line.slices,
                &line.owned,
                &line.covered_at.map_or("never".to_owned(), Instant::to_the_second),
            ]);
        }
        table.fmt(out)?;
        let mut table = Table::new(&["worker", "host", "process", "slices", "lease"]);
        for line in &self.status.workers {
            let lease = if line.is_alive { "held" } else { "ended" };
            table.row(&[&line.worker, &line.host, &line.pid, &line.slices, &lease]);
        }
        table.fmt(out)?;
        match self.discrepancies.as_deref() {
            Some([]) => writeln!(out, "verified: every row was counted, and the account is right"),
            Some(found) => found.iter().try_for_each(|line| writeln!(out, "  {line}")),
            None => Ok(()),
        }
    }
}

impl Judge for WorkError {
    fn judge(&self) -> Judgement {
        match self {
            WorkError::Buffer(error) => error.judge(),
            WorkError::Way(error) => error.judge(),
        }
    }
}

impl Judge for PostgresError {
    fn judge(&self) -> Judgement {
        match self {
            PostgresError::Password { .. } => {
                Code::SecretUnusable.usage("correct buffer.password_file or PGPASSFILE, and who may read that file")
            }
            PostgresError::Away { .. } | PostgresError::Silent { .. } => Code::Unreachable.failed(
                "see that the server runs, that buffer.url names it, and that it has connections free; then run it again: what was \
                 reported before is stored",
            ),
            PostgresError::LogIn { .. } => Code::NotConfigured
                .usage("correct the user and the database in buffer.url, and the password in buffer.password_file or PGPASSFILE"),
            PostgresError::ReadOnly { .. } => {
                Code::Database.failed("name the primary in buffer.url, or wait until the failover is done")
            }
            PostgresError::TooOld { .. } => Code::NotConfigured.usage("use PostgreSQL 15 or later"),
            PostgresError::Unsafe { .. } => Code::NotConfigured.usage("switch it on in postgresql.conf, and restart the server"),
            PostgresError::Missing { .. } => Code::BufferMissing.usage("create it with: passbridge init; or correct buffer.url"),
            PostgresError::Exists { .. } => Code::BufferExists.usage("nothing to do: it was left as it is"),
            PostgresError::OtherSchema { .. } => Code::BufferNewer.usage("use the release that wrote it on every host"),
            PostgresError::Rights { .. } => {
                Code::Database.failed("grant the user CREATE on the database for passbridge init, and let it own the schema passbridge")
            }
            PostgresError::Failed { .. } => Code::Database
                .failed("see the cause and the server's log, then run it again; what was reported before is stored"),
            PostgresError::Damaged(_) => Code::BufferDamaged.failed("restore the database, or ask what wrote into its tables"),
            PostgresError::Refused(error) => error.judge(),
            PostgresError::Sending(rsid) => Code::SuiteUndecided.usage(format!(
                "stop that within a second: passbridge suite pause {rsid}; then run it again, and resume the suite"
            )),
            PostgresError::NotYet => Code::Refused.usage("ingest them into a buffer that is a file"),
        }
    }
}
