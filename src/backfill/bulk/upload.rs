//! One group's uploads: a file at a time, until it is known what became of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::files::failed;
use super::pace::Pace;
use super::{BulkLimits, BulkWay, Tally};
use crate::backfill::BackfillError;
use crate::buffer::{
    Buffer, BufferError, BulkFile, BulkFileState, JobKey, JobRecord, Received, RefusedRow, RunId,
};
use crate::collection::{BulkClient, LookedUp, Upload, Uploaded, Validated};
use crate::delivery::DeadReason;
use crate::drain::{Stop, StopReason};

/// How long an upload in flight may go on once the leg has to end.
const GRACE: Duration = Duration::from_secs(25);
/// How often a key is looked up within its time.
const LOOK_UPS: u32 = 5;

/// What the groups of a leg share.
pub(super) struct Uploading {
    pub(super) buffer: Arc<Buffer>,
    pub(super) client: Arc<BulkClient>,
    pub(super) pace: Pace,
    pub(super) limits: BulkLimits,
    pub(super) job: JobKey,
    pub(super) run: RunId,
    /// Rows of a file; halved where one is too large.
    pub(super) sizes: Arc<AtomicU64>,
    pub(super) stop: Stop,
    pub(super) keeps_files: bool,
    pub(super) accepts_unnamed: bool,
}

/// A visitor group in a leg.
pub(super) struct Group {
    shared: Arc<Uploading>,
    /// When its next upload may begin.
    next_at: Instant,
    tally: Tally,
}

/// Whether a group goes on with its next file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
}

impl Group {
    /// A group whose last upload may have been by another process, and have arrived later than that process noted.
    pub(super) fn new(shared: Arc<Uploading>, name: &str) -> Result<Group, BackfillError> {
        let spacing = shared.pace.group_spacing();
        let wait = match shared.buffer.group_sent_at(name)? {
            Some(sent_at) if nanos_between(sent_at, shared.buffer.now()) < 2 * spacing.as_nanos() => spacing,
            _ => Duration::ZERO,
        };
        Ok(Group { shared, next_at: Instant::now() + wait, tally: Tally::default() })
    }

    /// Uploads its files in their order, until there are no more or the leg ends.
    pub(super) async fn run(mut self, mut files: mpsc::Receiver<BulkFile>) -> Result<Tally, BackfillError> {
        while let Some(file) = files.recv().await {
            if self.file(&file, Known::Nothing).await? == Next::Ends {
                break;
            }
        }
        Ok(self.tally)
    }

    /// Takes one file to its end. Once it is sent, only its answer or a look-up ends that, or the end of the leg.
    async fn file(&mut self, file: &BulkFile, mut known: Known) -> Result<Next, BackfillError> {
        let upload = read(file)?;
        let mut backoff = self.shared.limits.backoff_base;
        loop {
            let answer = match known {
                Known::Nothing | Known::NotReceived => self.attempt(file, &upload, known).await?,
                Known::Sent => {
                    Some(Uploaded::Unknown("a process before ended without its answer".to_owned()))
                }
            };
            match answer {
                None => return Ok(Next::Ends),
                Some(Uploaded::Received { rows, invalid_rows, named, log }) => {
                    let answer = Answer { rows, invalid_rows, named, log, is_looked_up: false };
                    return self.received(file, answer);
                }
                Some(Uploaded::Unknown(why)) => {
                    tracing::warn!(
                        key = upload.key,
                        why,
                        "nobody knows whether a file is in; its key is looked up"
                    );
                    match self.shared.looked_up(&upload.key).await? {
                        Some(LookedUp::Received(rows)) => {
                            return self.received(file, Answer::looked_up(rows));
                        }
                        Some(LookedUp::NotFound) => known = Known::NotReceived,
                        None => return Ok(Next::Ends),
                    }
                }
                Some(Uploaded::NotReceived { cause, retry_after }) => {
                    let wait = retry_after.unwrap_or(backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
                    let wait = wait.min(self.shared.limits.backoff_max);
                    let wait_ms = wait.as_millis() as u64;
                    tracing::warn!(
                        key = upload.key,
                        cause,
                        wait_ms,
                        "a file was not received; it goes again"
                    );
                    backoff = (backoff * 2).min(self.shared.limits.backoff_max);
                    if self.shared.waits_until(Instant::now() + wait).await {
                        return Ok(Next::Ends);
                    }
                    known = Known::NotReceived;
                }
                Some(Uploaded::TooLarge) => return self.too_large(file),
                Some(Uploaded::Rejected(why)) => {
                    self.shared.buffer.release_file(file.id)?;
                    let path = &file.file.path;
                    let what = format!("Adobe rejects the file {path:?}, and nothing of it is in: {why}");
                    return Err(BackfillError::Stuck(what));
                }
                Some(Uploaded::Refused(why)) => {
                    self.shared.buffer.release_file(file.id)?;
                    return Err(BackfillError::Stuck(format!("Adobe refuses uploads: {why}")));
                }
            }
        }
    }

    /// Uploads a file once it is its turn; `None` where the leg ends before that, or before the answer.
    async fn attempt(
        &mut self,
        file: &BulkFile,
        upload: &Upload,
        known: Known,
    ) -> Result<Option<Uploaded>, BackfillError> {
        if self.shared.waits_until(self.next_at).await {
            return Ok(None);
        }
        if known == Known::Nothing {
            match self.shared.validated(upload, file.file.rows).await? {
                First::Goes => {}
                First::TooLarge => return Ok(Some(Uploaded::TooLarge)),
                First::Ends => return Ok(None),
            }
        }
        self.shared.pace.turn().await;
        if self.shared.stop.requested().is_some() {
            return Ok(None);
        }
        self.shared.buffer.file_sent(file.id)?;
        let answer = tokio::select! {
            answer = self.shared.client.upload(upload) => answer,
            // Its answer is looked up by whoever goes on.
            () = self.shared.grace_is_over() => return Ok(None),
        };
        // From the answer on, because nobody knows when it arrived.
        self.next_at = Instant::now() + self.shared.pace.gap(file.file.rows);
        tracing::debug!(key = upload.key, group = upload.visitor_group, ?answer, "a file was uploaded");
        Ok(Some(answer))
    }

    /// Records the answer to a file that is in, and settles its rows.
    fn received(&mut self, file: &BulkFile, answer: Answer) -> Result<Next, BackfillError> {
        let shared = &self.shared;
        let Answer { rows, invalid_rows, named, log, is_looked_up } = answer;
        if rows != file.file.rows {
            tracing::warn!(
                key = file.file.key,
                rows,
                written = file.file.rows,
                "Adobe counts other rows than were written"
            );
        }
        let refused: Vec<RefusedRow> = named
            .into_iter()
            .filter(|(row, _)| (1..=file.file.rows).contains(row))
            .map(|(row, why)| RefusedRow { row, reason: DeadReason::Adobe(format!("invalid row: {why}")) })
            .collect();
        let unnamed = invalid_rows.saturating_sub(refused.len() as u64);
        let is_stuck = unnamed > 0 && !shared.accepts_unnamed;
        let received = Received { refused, unnamed, is_stuck, is_looked_up };
        shared.buffer.file_received(file.id, received)?;
        if is_stuck {
            return Err(unnamed_rows(file, unnamed, &log));
        }
        let (delivered, dead) = settle(shared, file)?;
        self.tally.files += 1;
        self.tally.delivered += delivered;
        self.tally.dead += dead;
        Ok(Next::Goes)
    }

    /// Has everything written anew in smaller files: later files of the group hold later events.
    fn too_large(&self, file: &BulkFile) -> Result<Next, BackfillError> {
        let shared = &self.shared;
        if file.file.rows <= 1 {
            return Err(BackfillError::Stuck(format!(
                "Adobe finds the file {:?} of one row too large",
                file.file.path
            )));
        }
        let rows = (file.file.rows / 2).max(1);
        tracing::warn!(rows, "Adobe finds a file too large; files are written anew with so many rows");
        shared.sizes.fetch_min(rows, Ordering::Relaxed);
        shared.buffer.release_file(file.id)?;
        remove(&file.file.path)?;
        shared.stop.request(StopReason::GiveWay);
        Ok(Next::Ends)
    }
}

/// What is known of a file that is in.
struct Answer {
    rows: u64,
    invalid_rows: u64,
    named: Vec<(u64, String)>,
    log: String,
    /// Whether only a look-up says so: whether rows were refused is then unknown for good.
    is_looked_up: bool,
}

impl Answer {
    fn looked_up(rows: u64) -> Answer {
        Answer { rows, invalid_rows: 0, named: Vec::new(), log: String::new(), is_looked_up: true }
    }
}

/// What is known of a file before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was never sent.
    Nothing,
    /// It was sent, and is not in.
    NotReceived,
    /// It was sent, and may be in.
    Sent,
}

/// What becomes of a file that may be the first of its job.
enum First {
    Goes,
    TooLarge,
    Ends,
}

impl Uploading {
    /// Sleeps; true where the leg ends meanwhile.
    async fn waits_until(&self, at: Instant) -> bool {
        tokio::select! {
            () = sleep_until(at) => self.stop.requested().is_some(),
            _ = self.stop.wait() => true,
        }
    }

    /// Ends some time after the leg was asked to.
    async fn grace_is_over(&self) {
        self.stop.wait().await;
        sleep(GRACE).await;
    }

    /// Has the first file of a job validated.
    async fn validated(&self, upload: &Upload, rows: u64) -> Result<First, BackfillError> {
        let _turn = self.pace.validation.lock().await;
        let mut backoff = self.limits.backoff_base;
        while !self.pace.is_valid() {
            self.pace.turn().await;
            match self.client.validate(upload).await {
                Ok(Validated::SomeRows(some, why)) if some < rows => {
                    // They become dead letters once the answer to the file names them.
                    tracing::warn!(why, "Adobe will refuse rows of the first file");
                    self.buffer.job_is_valid(self.job)?;
                    self.pace.set_valid();
                }
                Ok(Validated::TooLarge) => return Ok(First::TooLarge),
                Ok(Validated::Valid) => {
                    self.buffer.job_is_valid(self.job)?;
                    self.pace.set_valid();
                }
                Ok(Validated::Invalid(why) | Validated::SomeRows(_, why)) => {
                    return Err(BackfillError::Stuck(format!("Adobe finds the first file not valid: {why}")));
                }
                Err(error) if error.is_for_the_moment() => {
                    tracing::warn!(%error, "a file could not be validated; it is tried again");
                    if self.waits_until(Instant::now() + backoff).await {
                        return Ok(First::Ends);
                    }
                    backoff = (backoff * 2).min(self.limits.backoff_max);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if self.stop.requested().is_none() { First::Goes } else { First::Ends })
    }

    /// Looks a key up until it is found, or was not for long enough; `None` where the leg ends meanwhile.
    async fn looked_up(&self, key: &str) -> Result<Option<LookedUp>, BackfillError> {
        let pause = self.limits.lookup / LOOK_UPS;
        let mut missed = 0;
        loop {
            match self.client.look_up(key).await {
                Ok(LookedUp::Received(rows)) => return Ok(Some(LookedUp::Received(rows))),
                Ok(LookedUp::NotFound) if missed >= LOOK_UPS => return Ok(Some(LookedUp::NotFound)),
                Ok(LookedUp::NotFound) => missed += 1,
                Err(error) if error.is_for_the_moment() => {
                    tracing::warn!(%error, key, "a key could not be looked up; it is tried again");
                }
                Err(error) => return Err(error.into()),
            }
            if self.waits_until(Instant::now() + pause).await {
                return Ok(None);
            }
        }
    }
}

/// Deals with what legs before left: settles what is received, looks up what was sent, takes back what was not. False where it
/// had to end before that.
pub(in crate::backfill) async fn settle_open(
    buffer: &Arc<Buffer>,
    job: &JobRecord,
    way: &BulkWay,
    stop: &Stop,
) -> Result<bool, BackfillError> {
    let open = buffer.open_files(job.key)?;
    if open.is_empty() {
        return Ok(true);
    }
    let run = buffer.begin_run(job.key)?.run;
    let shared = Arc::new(Uploading {
        buffer: buffer.clone(),
        client: way.client()?.clone(),
        pace: Pace::new(&way.limits, way.rate(job), job.groups.unwrap_or(1)),
        limits: way.limits.clone(),
        job: job.key,
        run,
        sizes: Arc::default(),
        stop: stop.clone(),
        keeps_files: way.keeps_files,
        accepts_unnamed: way.accepts_unnamed,
    });
    let mut tally = Tally::default();
    for (file, state) in open {
        match state {
            BulkFileState::Written => {
                buffer.release_file(file.id)?;
                remove(&file.file.path)?;
            }
            BulkFileState::Received => {
                settle(&shared, &file)?;
            }
            BulkFileState::Stuck { unnamed } if !way.accepts_unnamed => {
                return Err(unnamed_rows(&file, unnamed, ""));
            }
            BulkFileState::Stuck { .. } => {
                settle(&shared, &file)?;
            }
            BulkFileState::Sent => {
                let mut group = Group::new(shared.clone(), &file.file.visitor_group)?;
                if group.file(&file, Known::Sent).await? == Next::Ends {
                    return Ok(false);
                }
                tally.delivered += group.tally.delivered;
                tally.dead += group.tally.dead;
                tally.files += group.tally.files;
            }
        }
    }
    buffer.finish_run(run, &tally)?;
    Ok(true)
}

fn settle(shared: &Uploading, file: &BulkFile) -> Result<(u64, u64), BufferError> {
    let settled = shared.buffer.settle_file(shared.run, file.id)?;
    if !shared.keeps_files
        && let Err(error) = remove(&file.file.path)
    {
        tracing::warn!(%error, "a file that is done with cannot be removed");
    }
    Ok(settled)
}

fn unnamed_rows(file: &BulkFile, unnamed: u64, log: &str) -> BackfillError {
    let log = if log.is_empty() { String::new() } else { format!(" ({log})") };
    BackfillError::Stuck(format!(
        "Adobe has taken the file {:?}, but refused {unnamed} rows that its log does not name{log}; they cannot be told from the \
         others. To go on and count them as delivered: passbridge backfill resume NAME --accept-unnamed",
        file.file.path
    ))
}

/// A clock that was set back has gone no time.
fn nanos_between(earlier: crate::event::Instant, later: crate::event::Instant) -> u128 {
    later.nanos().saturating_sub(earlier.nanos()).max(0).unsigned_abs().into()
}

/// A file as it lies on disk.
fn read(file: &BulkFile) -> Result<Upload, BackfillError> {
    let path = &file.file.path;
    let bytes = std::fs::read(path).map_err(|source| failed(path, source))?;
    Ok(Upload {
        visitor_group: file.file.visitor_group.clone(),
        key: file.file.key.clone(),
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: Bytes::from(bytes),
    })
}

fn remove(path: &Path) -> Result<(), BackfillError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(path, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}
