//! Moves the rows of `inbox(body)`, the only table that other programs may write to. Checks them like lines of a file.

use super::door::Door;
use super::error::IngestError;
use super::gate::Gate;
use super::load::{Observer, Progress};
use super::misplaced;
use super::options::IngestOptions;
use super::portion::Portion;
use super::rejects::{Kept, Rejects};
use super::summary::{INBOX, IngestSummary, InputEnd};
use super::unpack::Zeros;
use crate::buffer::{Buffer, InboxRow, InputId, JobKey, NewEvent};
use crate::readers::{LineParser, RejectReason};

/// The most rows moved in one transaction, all of which are in memory. Other programs choose the size of a row.
const ROWS_MAX: usize = 1_000;

/// Moves the rows of the inbox: events into the buffer, all other rows into the rejects with their `rowid` as
/// line number. A row is deleted only when its event is stored or its reject is on disk. If the disk is too
/// full or rejects cannot be kept, the other rows stay and the summary says why. This is no error, because
/// the drain can still send the events in the buffer.
pub fn take_inbox(
    buffer: &Buffer,
    options: &IngestOptions,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, IngestError> {
    let mut take = Take {
        buffer,
        options,
        summary: IngestSummary::of([INBOX.to_owned()].into_iter()),
        rejects: Rejects::new(options),
        parser: LineParser::with(options.maps.chosen.clone()),
        input: None,
        gate: Gate::default(),
    };
    // A page with fewer rows than the limit is the last one. Rows that arrive later wait for the next drain, so that
    // a program that adds rows all the time does not keep this loop running.
    let left = loop {
        match take.page(observer) {
            Ok(ROWS_MAX) => {}
            Ok(_) => break None,
            Err(error @ (IngestError::Buffer(_) | IngestError::Postgres(_))) => return Err(error),
            Err(
                error @ (IngestError::DiskFloor { .. }
                | IngestError::TooManyRejects { .. }
                | IngestError::RejectsDiskFloor { .. }
                | IngestError::Rejects { .. }),
            ) => break Some(error),
        }
    };
    if let Err(error) = buffer.note_inbox_left(left.is_some()) {
        tracing::error!(%error, "it cannot be recorded since when rows stay in the inbox");
    }
    let Take { mut summary, rejects, parser, input, .. } = take;
    let of_rows = Box::new(parser.summary());
    let end = InputEnd::Read {
        result: Ok(()),
        guess: None,
        zeros: Zeros::default(),
        summary: of_rows,
        content: None,
    };
    summary.ended(0, end);
    if let Some(input) = input {
        buffer.end_input(input, &summary.inputs[0], left.is_none())?;
    }
    summary.finish(rejects.path());
    summary.left = left;
    Ok(summary)
}

struct Take<'a> {
    buffer: &'a Buffer,
    options: &'a IngestOptions,
    summary: IngestSummary,
    rejects: Rejects,
    parser: LineParser,
    /// The ID of the inbox in the buffer; set at the first row.
    input: Option<InputId>,
    gate: Gate,
}

impl Take<'_> {
    /// Moves one page and returns its number of rows.
    fn page(&mut self, observer: &mut dyn Observer) -> Result<usize, IngestError> {
        let rows = self.buffer.inbox(ROWS_MAX)?;
        if rows.is_empty() {
            return Ok(0);
        }
        self.buffer.has_room(self.options, self.summary.total.stored)?;
        let (mut portion, texts) = self.read(&rows);
        let mut kept = Kept::default();
        self.rejects.keep(&mut kept, &portion.rejects, self.buffer)?;
        let input = match self.input {
            Some(input) => input,
            None => *self.input.insert(self.buffer.open_input(INBOX)?),
        };
        let told = self.gate.tell(self.buffer, self.options, &mut portion)?;
        self.summary.note_of(0, told);
        let rowids: Vec<i64> = rows.iter().map(|row| row.rowid).collect();
        let (report, left) = self.buffer.store_inbox(&rowids, portion.batch(input, JobKey::LIVE))?;
        // The row is deleted afterwards, so the reject keeps the text of the event.
        let text = |index: usize, _: &NewEvent| texts[index].to_vec();
        let left_out = portion.left_out(&report, &text, self.options.maps.chosen.as_deref());
        self.summary.stored(0, &portion, &report, &left_out);
        for rejects in &left_out {
            self.rejects.keep(&mut kept, rejects, self.buffer)?;
        }
        if !left.is_empty() {
            self.buffer.delete_from_inbox(left)?;
        }
        self.summary.kept(0, kept);
        let (input, total) = (&self.summary.inputs[0].counts, &self.summary.total);
        observer.progress(&Progress { path: INBOX, input_bytes_read: 0, input_bytes: None, input, total });
        Ok(rows.len())
    }

    /// Reads rows. Returns also the text of each event, because a row may have several events.
    fn read<'a>(&mut self, rows: &'a [InboxRow]) -> (Portion, Vec<&'a [u8]>) {
        let only_by = self.options.maps.chosen.as_ref().map(|map| map.name());
        let mut portion = Portion { only_by, ..Portion::new(INBOX, self.options) };
        let mut texts = Vec::new();
        for row in rows {
            let mut rest = Some(misplaced::without_mark(&row.body));
            while let Some(body) = rest {
                let number = row.rowid.cast_unsigned();
                let mut line = self.parser.parse_alone(number, body, self.options.bounds());
                let own = self.parser.rest().map_or(body, |next| &body[..next]);
                let why = || misplaced::why_no_text(own).or_else(|| misplaced::why_no_lines(own, true));
                if let Some(why) = line.result.is_err().then(why).flatten() {
                    line.result = Err(RejectReason::Misplaced(why));
                }
                portion.take(&line);
                texts.resize(portion.events.len(), own);
                rest = self.parser.rest().map(|start| &body[start..]);
            }
        }
        (portion, texts)
    }
}
