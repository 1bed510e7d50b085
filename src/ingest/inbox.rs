//! Moves the rows of `inbox(body)`, the one table that is open to other programs, through the same validation as a file.

use super::portions::Reject;
use super::rejects::{Kept, Rejects};
use super::summary::{FirstLine, Tally, conflict_reason};
use super::{IngestError, IngestOptions, IngestSummary, Observer, Progress, check_free_disk};
use crate::buffer::{Batch, Buffer, Feed, InboxRow, InputId, JobKey, NewEvent, StoreReport};
use crate::readers::ndjson::LineParser;
use crate::readers::{Excerpt, RejectReason};

/// How the inbox is named where a file has its path.
const INBOX: &str = "inbox";
/// Rows that are moved in one transaction. Another program chose their size, so this also bounds memory.
const ROWS_MAX: usize = 1_000;

/// Moves the rows that were in the inbox when it began: events into the buffer, anything else into the rejects, with its
/// `rowid` as its line. A row leaves the inbox in the transaction that stores its event, or after its reject is on disk.
/// Where the disk is too full or rejects cannot be kept, the other rows are left, and the summary says why: what is in the
/// buffer can be sent all the same.
pub fn take_inbox(
    buffer: &Buffer,
    options: &IngestOptions,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, IngestError> {
    let mut take = Take {
        buffer,
        options,
        tally: Tally::new([INBOX.to_owned()].into_iter()),
        rejects: Rejects::new(options),
        kept: Kept::default(),
        parser: LineParser::new(),
        input: None,
    };
    // A short page is the last one: rows that arrive while it is moved are left for the next drain, or a busy program
    // would keep this one here.
    let left = loop {
        match take.page(observer) {
            Ok(ROWS_MAX) => {}
            Ok(_) => break None,
            Err(IngestError::Buffer(error)) => return Err(error.into()),
            Err(
                error @ (IngestError::DiskFloor { .. }
                | IngestError::RejectsDiskFloor { .. }
                | IngestError::Rejects { .. }),
            ) => break Some(error),
        }
    };
    take.tally.unknown(take.parser.unknown_keys());
    let path = take.rejects.path().map(|path| path.to_owned());
    Ok(IngestSummary { left, ..take.tally.finish(path) })
}

struct Take<'a> {
    buffer: &'a Buffer,
    options: &'a IngestOptions,
    tally: Tally,
    rejects: Rejects,
    kept: Kept,
    parser: LineParser,
    /// The inbox as the buffer knows it, once it had a row.
    input: Option<InputId>,
}

impl Take<'_> {
    /// Moves one page and says how many rows it had.
    fn page(&mut self, observer: &mut dyn Observer) -> Result<usize, IngestError> {
        let rows = self.buffer.inbox(ROWS_MAX)?;
        if rows.is_empty() {
            return Ok(0);
        }
        check_free_disk(self.buffer, self.options, &self.tally)?;
        let (events, rejects) = self.sort(&rows);
        self.rejects.write(&mut self.kept, rejects.iter())?;
        self.rejects.sync()?;
        let input = match self.input {
            Some(input) => input,
            None => *self.input.insert(self.buffer.open_input(INBOX)?),
        };
        let rowids: Vec<i64> = rows.iter().map(|row| row.rowid).collect();
        let report = self.buffer.store_inbox(
            &rowids,
            Batch {
                input,
                feed: Feed::Events,
                job: JobKey::LIVE,
                events: events.clone(),
                memory: Vec::new(),
                stated: Vec::new(),
            },
        )?;
        self.tally.stored(0, &report);
        for Reject { line, reason, .. } in rejects {
            self.tally.rejected(0, line, reason);
        }
        self.keep_mixed(&rows, &events, &report)?;
        self.keep_conflicts(&rows, &report)?;
        // The rows are gone after this, so the limit is one of each page: it is larger, unless somebody chose a smaller one.
        self.tally.kept(0, &std::mem::take(&mut self.kept));
        observer.progress(&Progress {
            path: INBOX,
            input_bytes_read: 0,
            input_bytes: None,
            input: self.tally.counts(0),
            total: self.tally.total(),
        });
        Ok(rows.len())
    }

    fn keep_mixed(
        &mut self,
        rows: &[InboxRow],
        events: &[NewEvent],
        report: &StoreReport,
    ) -> Result<(), IngestError> {
        for event in report.mixed.iter().map(|index| &events[*index]) {
            let row = rows.iter().find(|row| row.rowid.cast_unsigned() == event.line);
            let body = row.map_or(&b""[..], |row| &row.body);
            let reason = RejectReason::MixedFeeds(event.requestor_id.as_str().to_owned()).to_string();
            let reject = Reject::new(INBOX, event.line, &Excerpt::of(body), reason);
            self.rejects.write(&mut self.kept, std::iter::once(&reject))?;
            self.tally.rejected(0, reject.line, reject.reason);
        }
        self.rejects.sync()
    }

    /// A file stays where it is; a row that lost against another event would be gone with what it says.
    fn keep_conflicts(&mut self, rows: &[InboxRow], report: &StoreReport) -> Result<(), IngestError> {
        for conflict in &report.conflicts {
            let reason = conflict_reason(&FirstLine::of(conflict));
            let row = rows.iter().find(|row| row.rowid.cast_unsigned() == conflict.line);
            let body = row.map_or(&b""[..], |row| &row.body);
            let reject = Reject::new(INBOX, conflict.line, &Excerpt::of(body), reason);
            self.rejects.write(&mut self.kept, std::iter::once(&reject))?;
        }
        self.rejects.sync()
    }

    fn sort(&mut self, rows: &[InboxRow]) -> (Vec<NewEvent>, Vec<Reject>) {
        let mut events = Vec::with_capacity(rows.len());
        let mut rejects = Vec::new();
        for row in rows {
            let mut rest = Some(&row.body[..]);
            while let Some(body) = rest {
                let line = self.parser.parse_alone(row.rowid.cast_unsigned(), body, self.options.bounds());
                match &line.result {
                    Ok(event) => events.push(NewEvent::new(line.number, event)),
                    Err(reason) => {
                        rejects.push(Reject::new(INBOX, line.number, &line.excerpt, reason.to_string()))
                    }
                }
                rest = self.parser.rest().map(|start| &body[start..]);
            }
        }
        (events, rejects)
    }
}
