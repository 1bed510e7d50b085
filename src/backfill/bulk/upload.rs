//! Uploads the files of one visitor group in order. A file waits until it is known whether Adobe took the previous one.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until};

use super::files::{failed, sweep};
use super::leg::LiveLeg;
use super::pace::Pace;
use super::way::BulkWay;
use crate::backfill::error::BackfillError;
use crate::buffer::{Buffer, BufferError, BulkFile, JobKey, JobRecord, Received, RefusedRow, RunId};
use crate::delivery::DeadReason;
use crate::drain::{Stop, StopReason};
use crate::web::{ApiError, Backoff, BulkClient, LookedUp, Patience, Upload, Uploaded, Validated};

/// How long an upload in flight may go on after the leg (see `Uploading`) was asked to end.
const GRACE: Duration = Duration::from_secs(25);
/// How often a key is looked up again within the time limit for look-ups.
const LOOK_UPS: u32 = 5;
/// The longest pause before a live file is tried again. If more is needed, the run sends no more files of the suite.
const LIVE_WAIT_MAX: Duration = Duration::from_secs(100);

/// What the groups of a leg (one stretch of sending without an interruption) share.
pub(super) struct Uploading {
    pub(super) buffer: Arc<Buffer>,
    pub(super) client: Arc<BulkClient>,
    pub(super) pace: Pace,
    pub(super) way: BulkWay,
    pub(super) job: JobKey,
    pub(super) run: RunId,
    /// How many rows a file may have; halved if Adobe finds a file too large.
    pub(super) file_rows: Arc<AtomicU64>,
    pub(super) stop: Stop,
    /// The suite whose live events the leg sends; `None` for a backfill.
    pub(super) live: Option<LiveLeg>,
}

/// A visitor group in a leg.
pub(super) struct Group {
    shared: Arc<Uploading>,
    last: Option<Last>,
}

/// The last upload of a group. The next one must not begin too soon after it.
struct Last {
    /// When the answer came; nobody knows when the upload arrived. `Group::new` knows only when the upload began.
    at: Instant,
    rows: u64,
}

/// What is known about the uploads of a file.
pub(super) enum State {
    /// The file was never sent.
    New,
    /// The file was sent, and Adobe did not take it.
    NotReceived,
    /// The file was sent, and Adobe may have taken it. Holds the reason why this is unknown.
    Unknown(String),
}

/// The result of an attempt to upload.
enum Attempt {
    Answer(Uploaded),
    /// The leg ends before the upload or before the answer.
    Ends,
    /// The file is missing or has changed on disk.
    Damaged,
}

/// Whether a group goes on with its next file.
type Next = Result<ControlFlow<()>, BackfillError>;

impl Group {
    /// Reads the time of the group's last upload from the buffer. The upload may have arrived later.
    pub(super) fn new(shared: &Arc<Uploading>, name: &str) -> Result<Group, BackfillError> {
        let last = shared.buffer.group_sent_at(name)?.and_then(|(sent_at, rows)| {
            // If the clock was set back, no time counts as passed.
            let since = shared.buffer.now().nanos().saturating_sub(sent_at.nanos()).max(0).unsigned_abs();
            let since = Duration::from_nanos(since);
            // The buffer knows when the upload began, not when it arrived. If it began less than two spacings ago, the
            // pause before the next upload (`Pace::gap`) counts from now.
            let at_least = if since < 2 * shared.pace.gap(0) { Duration::ZERO } else { since };
            Instant::now().checked_sub(at_least).map(|at| Last { at, rows })
        });
        Ok(Group { shared: shared.clone(), last })
    }

    /// Uploads the files of the group in their order, until no file is left or the leg ends.
    pub(super) async fn run(mut self, mut files: mpsc::Receiver<BulkFile>) -> Result<(), BackfillError> {
        while let Some(file) = files.recv().await {
            if self.file(&file, State::New).await?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Uploads one file until an answer or a look-up tells its result, or the leg ends.
    pub(super) async fn file(&mut self, file: &BulkFile, mut state: State) -> Next {
        // If an upload had no answer, the refusal of a later upload does not tell whether that earlier upload arrived.
        let mut was_unknown = false;
        let mut has_new_token = false;
        let mut backoff = self.shared.backoff();
        loop {
            if let State::Unknown(why) = state {
                was_unknown = true;
                match self.look_up(file, why, &mut backoff).await? {
                    ControlFlow::Break(next) => return Ok(next),
                    ControlFlow::Continue(()) => state = State::NotReceived,
                }
            }
            let answer = match self.attempt(file, matches!(state, State::New)).await? {
                Attempt::Answer(answer) => answer,
                Attempt::Ends => return Ok(ControlFlow::Break(())),
                Attempt::Damaged => return self.write_anew(file),
            };
            state = match answer {
                Uploaded::Received { rows, invalid_rows, named, log } => {
                    return self.received(file, Answer { rows, invalid_rows, named, log });
                }
                Uploaded::Unknown(why) => State::Unknown(why),
                Uploaded::NotReceived(error) => {
                    if self.shared.waits_for(error, &mut backoff, "a file was not received").await? {
                        return Ok(ControlFlow::Break(()));
                    }
                    State::NotReceived
                }
                Uploaded::TokenRefused(_) if !has_new_token => {
                    tracing::debug!("the access token is refused, and is had anew");
                    has_new_token = true;
                    State::NotReceived
                }
                Uploaded::TooLarge => return self.too_large(file),
                Uploaded::TokenRefused(_) | Uploaded::Rejected(_) | Uploaded::Refused(_) => {
                    return Err(self.refused(file, answer, was_unknown));
                }
            };
        }
    }

    /// Looks up a file that Adobe may have taken. Returns `Continue` if it did not arrive and must be sent again.
    async fn look_up(
        &mut self,
        file: &BulkFile,
        why: String,
        backoff: &mut Backoff,
    ) -> Result<ControlFlow<ControlFlow<()>>, BackfillError> {
        let key = &file.file.key;
        tracing::warn!(key, why, "it is unknown whether Adobe has a file; its key is looked up");
        Ok(ControlFlow::Break(match self.shared.looked_up(key, file.file.rows).await? {
            None => ControlFlow::Break(()),
            Some(LookedUp::Arrived(Uploaded::Received { rows, invalid_rows, named, log })) => {
                self.received(file, Answer { rows, invalid_rows, named, log })?
            }
            // Adobe rejected the file as a whole, so it took no row from any upload of it.
            Some(LookedUp::Arrived(rejected)) => return Err(self.refused(file, rejected, false)),
            // The suite was paused, blocked or removed meanwhile.
            Some(LookedUp::NotFound) if !self.shared.buffer.file_events(file.id)?.1 => {
                self.write_anew(file)?
            }
            Some(LookedUp::NotFound) if backoff.next(None).is_none() => {
                return Err(BackfillError::Unanswered { path: file.file.path.clone(), why });
            }
            Some(LookedUp::NotFound) => return Ok(ControlFlow::Continue(())),
        }))
    }

    async fn attempt(&mut self, file: &BulkFile, is_new: bool) -> Result<Attempt, BackfillError> {
        if self.shared.waits_until(self.next_at(file.file.rows)).await {
            return Ok(Attempt::Ends);
        }
        let Some(upload) = read(file)? else { return Ok(Attempt::Damaged) };
        if is_new && let Some(ended) = self.shared.validate(&upload).await? {
            return Ok(ended);
        }
        let turn = self.shared.pace.calls.turn().await;
        if self.shared.stop.requested().is_some() {
            return Ok(Attempt::Ends);
        }
        // Calls of other groups go on while this thread waits for the buffer.
        block_in_place(|| self.shared.buffer.file_sent(file.id))?;
        turn.begins();
        let answer = tokio::select! {
            answer = self.shared.client.upload(&upload) => answer,
            // The next run looks up the file.
            () = self.shared.grace_is_over() => return Ok(Attempt::Ends),
        };
        self.last = Some(Last { at: Instant::now(), rows: file.file.rows });
        tracing::debug!(key = upload.key, group = upload.visitor_group, ?answer, "a file was uploaded");
        Ok(Attempt::Answer(answer))
    }

    /// When a file of this many rows may be sent. The larger of two successive files decides the pause between them.
    fn next_at(&self, rows: u64) -> Instant {
        let after = |last: &Last| last.at + self.shared.pace.gap(last.rows.max(rows));
        self.last.as_ref().map_or_else(Instant::now, after)
    }

    /// Records the answer to a file that Adobe took, and settles its events. Fails if Adobe refused rows without naming
    /// them, or counts fewer rows than were written, unless that is accepted. An answer that says nothing of refused
    /// rows counts as one without refused rows.
    fn received(&mut self, file: &BulkFile, answer: Answer) -> Next {
        let shared = &self.shared;
        let Answer { rows, invalid_rows, named, log } = answer;
        let written = file.file.rows;
        if rows != written {
            tracing::warn!(key = file.file.key, rows, written, "Adobe counts other rows than were written");
        }
        let is_looked_up = invalid_rows.is_none();
        if is_looked_up {
            let key = &file.file.key;
            tracing::warn!(key, rows, "Adobe has a file, and does not say whether it refused rows of it");
        }
        let invalid_rows = invalid_rows.unwrap_or(0);
        let refused = refused_rows(named, invalid_rows, written);
        // The client has checked that `rows` is at most what was written, and `invalid_rows` at most `rows`.
        let unnamed = invalid_rows - refused.len() as u64 + (written - rows);
        let is_stuck = unnamed > 0 && !shared.way.accepts_unnamed;
        let received = Received { refused, unnamed, is_stuck, is_looked_up };
        block_in_place(|| shared.buffer.file_received(file.id, received))?;
        if is_stuck {
            return Err(unnamed_rows(file, unnamed, log));
        }
        settle(shared, file)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Makes the next leg write all unsent events again, in smaller files, so that the files of a group stay in the
    /// order of time. If the file has only one event, the job fails.
    fn too_large(&self, file: &BulkFile) -> Next {
        let (events, _) = self.shared.buffer.file_events(file.id)?;
        if events <= 1 {
            // Adobe took no row of the file, so the event may be sent as a single hit.
            self.shared.buffer.withdraw_file(file)?;
            return Err(BackfillError::TooLarge(file.file.path.clone()));
        }
        let rows = (file.file.rows / 2).max(1);
        tracing::warn!(rows, "Adobe finds a file too large; files are written again with fewer rows");
        self.shared.file_rows.fetch_min(rows, Ordering::Relaxed);
        self.write_anew(file)
    }

    /// Withdraws a file of which Adobe took no row. Ends the leg; the next leg begins with the events of the file.
    fn write_anew(&self, file: &BulkFile) -> Next {
        self.shared.buffer.withdraw_file(file)?;
        self.shared.stop.request(StopReason::GiveWay);
        Ok(ControlFlow::Break(()))
    }

    /// The error of a job whose file is refused. Withdraws the file, unless Adobe may have taken an earlier upload.
    fn refused(&self, file: &BulkFile, answer: Uploaded, was_unknown: bool) -> BackfillError {
        if !was_unknown && let Err(error) = self.shared.buffer.withdraw_file(file) {
            return error.into();
        }
        let path = file.file.path.clone();
        match answer {
            Uploaded::Rejected(why) => BackfillError::Rejected { path, why },
            Uploaded::Refused(error) | Uploaded::TokenRefused(error) | Uploaded::NotReceived(error) => {
                error.into()
            }
            Uploaded::Received { log: why, .. } | Uploaded::Unknown(why) => {
                BackfillError::Unanswered { path, why }
            }
            Uploaded::TooLarge => BackfillError::TooLarge(path),
        }
    }
}

/// What is known of a file that Adobe took.
struct Answer {
    rows: u64,
    invalid_rows: Option<u64>,
    named: Vec<(u64, String)>,
    log: String,
}

impl Uploading {
    /// Sleeps until `at`. Returns true if the leg ends meanwhile.
    async fn waits_until(&self, at: Instant) -> bool {
        tokio::select! {
            () = sleep_until(at) => self.stop.requested().is_some(),
            _ = self.stop.wait() => true,
        }
    }

    /// Waits until the grace period after the end of the leg is over.
    async fn grace_is_over(&self) {
        self.stop.wait().await;
        sleep(GRACE).await;
    }

    fn backoff(&self) -> Backoff {
        let [base, max] = [self.way.config.backoff_base_ms, self.way.config.backoff_max_ms];
        Backoff::new(Patience::bulk(Duration::from_millis(base), Duration::from_millis(max)))
    }

    /// Waits before a call is tried again. Returns true if the leg ends, and the error if there is no further try.
    async fn waits_for(
        &self,
        error: ApiError,
        backoff: &mut Backoff,
        what: &str,
    ) -> Result<bool, BackfillError> {
        let wait_max = if self.live.is_some() { LIVE_WAIT_MAX } else { Duration::MAX };
        let wait = backoff.next(error.retry_after()).filter(|wait| *wait <= wait_max);
        let Some(wait) = wait else { return Err(error.into()) };
        // The random part keeps refused groups from trying again at the same time. Retry-After is kept exactly.
        let wait =
            if error.retry_after().is_some() { wait } else { wait.mul_f64(0.5 + fastrand::f64() / 2.0) };
        let (wait_ms, check) = (wait.as_millis() as u64, error.to_check());
        tracing::warn!(%error, check, wait_ms, "{what}; it is tried again");
        Ok(self.waits_until(Instant::now() + wait).await)
    }

    /// Repeats a call until its answer is conclusive. Returns `None` if the leg ends meanwhile.
    async fn conclusive<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        what: &str,
        call: impl Fn() -> F,
    ) -> Result<Option<T>, BackfillError> {
        let mut backoff = self.backoff();
        loop {
            let answered = tokio::select! {
                answered = call() => answered,
                _ = self.stop.wait() => return Ok(None),
            };
            match answered {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) if error.is_for_the_moment() => {
                    if self.waits_for(error, &mut backoff, what).await? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets Adobe validate the first file of a job. Returns `Some` if the file is too large or the leg ends.
    async fn validate(&self, upload: &Upload) -> Result<Option<Attempt>, BackfillError> {
        let mut is_valid = self.pace.is_valid.lock().await;
        if !*is_valid {
            let call = || async {
                self.pace.calls.turn().await.begins();
                self.client.validate(upload).await
            };
            match self.conclusive("a file could not be validated", call).await? {
                None => return Ok(Some(Attempt::Ends)),
                Some(Validated::TooLarge) => return Ok(Some(Attempt::Answer(Uploaded::TooLarge))),
                Some(Validated::Invalid(why)) => return Err(BackfillError::NotValid(why)),
                Some(Validated::Valid) => {}
                // These rows become dead letters once the answer to the file names them.
                Some(Validated::SomeRows(why)) => {
                    tracing::warn!(why, "Adobe will refuse rows of the first file");
                }
            }
            self.buffer.job_is_valid(self.job)?;
            *is_valid = true;
        }
        Ok(self.stop.requested().map(|_| Attempt::Ends))
    }

    /// Looks a key up until it is found or the time limit is over. Returns `None` if the leg ends meanwhile.
    async fn looked_up(&self, key: &str, rows: u64) -> Result<Option<LookedUp>, BackfillError> {
        let pause = Duration::from_millis(self.way.config.lookup_ms) / LOOK_UPS;
        let mut missed = 0;
        loop {
            let call = || self.client.look_up(key, rows);
            match self.conclusive("a key could not be looked up", call).await? {
                Some(LookedUp::NotFound) if missed < LOOK_UPS => missed += 1,
                looked_up => return Ok(looked_up),
            }
            if self.waits_until(Instant::now() + pause).await {
                return Ok(None);
            }
        }
    }
}

/// Withdraws the files of a job that were never sent, and deletes the files that killed processes left in the job's
/// folder, which is in `dir` under the job's name. Returns how many events are in files that were sent.
pub fn withdraw_unsent(buffer: &Buffer, job: &JobRecord, dir: &Path) -> Result<u64, BackfillError> {
    buffer.withdraw_unsent(|of| of == job.key)?;
    sweep(&dir.join(job.name.as_str()), &buffer.bulk_paths(job.key)?)?;
    Ok(buffer.job_counts(job.key)?.in_files)
}

/// Settles the events of a file, removes the file, and only then closes its record. So if a crash or an error
/// leaves the file, the next backfill removes it.
pub(super) fn settle(shared: &Uploading, file: &BulkFile) -> Result<(), BufferError> {
    block_in_place(|| {
        let (delivered, dead) = shared.buffer.settle_file(shared.run, file.id)?;
        shared.live.iter().for_each(|live| live.count(1, delivered, dead));
        if !shared.way.keeps_files
            && let Err(error) = remove(&file.file.path)
        {
            tracing::warn!(%error, "a file that is done with cannot be removed; the next backfill tries again");
        } else {
            shared.buffer.file_done(file.id)?;
        }
        Ok(())
    })
}

/// The rows that a log names as refused. If it names more than `invalid_rows`, it is wrong, and no row is returned.
fn refused_rows(named: Vec<(u64, String)>, invalid_rows: u64, written: u64) -> Vec<RefusedRow> {
    let refused = named
        .into_iter()
        .filter(|(row, _)| (1..=written).contains(row))
        .map(|(row, why)| RefusedRow { row, reason: DeadReason::Adobe(format!("invalid row: {why}")) });
    let refused: Vec<RefusedRow> = refused.collect();
    if refused.len() as u64 > invalid_rows { Vec::new() } else { refused }
}

pub(super) fn unnamed_rows(file: &BulkFile, rows: u64, log: String) -> BackfillError {
    BackfillError::Unnamed { path: file.file.path.clone(), rows, log }
}

/// Reads a file from disk. Returns `None` if it is missing, or has another length than was written.
fn read(file: &BulkFile) -> Result<Option<Upload>, BackfillError> {
    let path = &file.file.path;
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, source)),
    };
    if bytes.len() as u64 != file.file.bytes {
        return Ok(None);
    }
    Ok(Some(Upload {
        visitor_group: file.file.visitor_group.clone(),
        key: file.file.key.clone(),
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        rows: file.file.rows,
        bytes: Bytes::from(bytes),
    }))
}

fn remove(path: &Path) -> Result<(), BackfillError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(path, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_believed_where_it_can_be_right() {
        let named = |rows: &[u64]| rows.iter().map(|row| (*row, "no date".to_owned())).collect();
        for (rows, invalid_rows, refused) in [
            (&[2, 5][..], 2, &[2, 5][..]),
            // The log does not name the third refused row.
            (&[2], 3, &[2]),
            // One row was refused, but the log names two rows, so which one is unknown.
            (&[2, 5], 1, &[]),
            // The file has ten rows, and row 0 would be the header.
            (&[0, 2, 11], 1, &[2]),
        ] {
            let found = refused_rows(named(rows), invalid_rows, 10);
            assert_eq!(found.iter().map(|row| row.row).collect::<Vec<_>>(), refused, "{rows:?}");
        }
    }
}
