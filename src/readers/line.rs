//! What every reader returns: lines, each with an event or the reason why it has none.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::esm::EsmSummary;
use super::memory::{Feed, MemoryError, Recollection};
use super::remarks::Remarks;
use super::rest_v2::{ExchangeSummary, Rule};
use crate::event::{EventError, EventId, PassEvent, TimeBounds};

/// The longest line or CSV row, in bytes. An event with every property takes a few KiB, an MRSS resource some hundred
/// KiB. A longer line means that the file is not made of lines. Such a file must not fill memory.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// If a line is longer, this many bytes of it are kept for the rejects: enough to recognise the line.
pub const EXCERPT_BYTES_MAX: usize = 64 << 10;

/// The most columns of a CSV header. A wide export has some hundred. Further cells of a row are only counted.
pub(super) const COLUMNS_MAX: usize = 1024;

/// A reader of one format. `ingest` works with this trait and knows no format.
pub trait Reader {
    /// The next line; `None` at the end of the source, or if `memory` is full: its changes must then be stored first.
    /// After an error other than a pause ([`ReadError::is_pause`]), nothing more can be read.
    fn next_line(&mut self, bounds: TimeBounds, memory: &mut Recollection) -> ReadResult<Option<Line<'_>>>;

    /// Whether more events of the last line follow. If so, a batch of events to be stored must not end here.
    fn is_inside_line(&self) -> bool {
        false
    }

    fn feed(&self) -> Feed {
        Feed::Events
    }

    /// What the source contained so far, in addition to its events.
    fn summary(&self) -> SourceSummary;
}

/// What a source contained in addition to its events.
#[derive(Debug, Clone, Default)]
pub struct SourceSummary {
    /// What was skipped, or may be a mistake.
    pub remarks: Remarks,
    /// What happened to the exchanges, if the source has exchanges.
    pub exchanges: Option<ExchangeSummary>,
    /// What an ESM report contained, if the source is a report.
    pub esm: Option<EsmSummary>,
}

impl SourceSummary {
    /// Whether the source had no exchange and no record of a report.
    pub fn is_empty(&self) -> bool {
        let SourceSummary { remarks: _, exchanges, esm } = self;
        exchanges.as_ref().is_none_or(|exchanges| *exchanges == ExchangeSummary::default())
            && esm.as_ref().is_none_or(|esm| *esm == EsmSummary::default())
    }
}

impl From<&Remarks> for SourceSummary {
    fn from(remarks: &Remarks) -> SourceSummary {
        SourceSummary { remarks: remarks.clone(), ..SourceSummary::default() }
    }
}

/// An event or a reject. A line, an entry of an archive or a record of a report becomes one, several or none.
#[derive(Debug)]
pub struct Line<'a> {
    /// The number, from 1, of the line where the event or reject starts. In CSV, the header and lines inside quotes
    /// count too. An entry of an archive, or a record in JSON or XML, has its own number.
    pub number: u64,
    /// The line itself, for the rejects. It is empty for exchanges, which may contain secrets, and for events of ESM.
    pub excerpt: Excerpt<'a>,
    pub result: Result<PassEvent, RejectReason>,
    /// The rule that made the event, if the line is an exchange.
    pub rule: Option<AppliedRule>,
    /// The first unknown key of the line.
    pub unknown_key: Option<Box<str>>,
}

impl<'a> Line<'a> {
    /// A line of a format that has no rules and no unknown keys.
    pub(super) fn of(number: u64, excerpt: Excerpt<'a>, result: Result<PassEvent, RejectReason>) -> Line<'a> {
        Line { number, excerpt, result, rule: None, unknown_key: None }
    }
}

/// The rule that made an event of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRule {
    pub rule: Rule,
    /// The identities of the event in earlier releases, which may have stored it.
    pub former_ids: Vec<EventId>,
}

/// A line as its source wrote it, or its beginning if it is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// The bytes without the line ending; of a line above [`LINE_BYTES_MAX`] the first [`EXCERPT_BYTES_MAX`].
    pub bytes: Cow<'a, [u8]>,
    /// The length of the whole line in bytes.
    pub line_bytes: u64,
    /// The header row with the names of the cells, in CSV.
    pub header: Option<Cow<'a, str>>,
    /// The map by which the line is read; `None` if the line has the keys and values of an event.
    pub map: Option<Arc<str>>,
    /// Whether an earlier run replaced bytes that were not UTF-8 by U+FFFD.
    pub is_lossy: bool,
    /// The digest of a line that may have secrets. `bytes` then has nothing of the line.
    pub(super) hidden: Option<[u8; 32]>,
}

impl Excerpt<'static> {
    /// The excerpt of a line if only this text of it is known.
    pub(super) fn of_text(text: String) -> Excerpt<'static> {
        let line_bytes = text.len() as u64;
        Excerpt { bytes: text.into_bytes().into(), ..Excerpt::part(b"", line_bytes) }
    }

    /// The excerpt of a line that may have secrets: nothing but its digest and length.
    pub(crate) fn hidden(line: &[u8], line_bytes: u64) -> Excerpt<'static> {
        Excerpt { hidden: Some(Sha256::digest(line).into()), ..Excerpt::part(b"", line_bytes) }
    }
}

impl Excerpt<'_> {
    /// The excerpt of a line that is whole in memory.
    pub fn of(line: &[u8]) -> Excerpt<'_> {
        let kept = if line.len() > LINE_BYTES_MAX { &line[..EXCERPT_BYTES_MAX] } else { line };
        Excerpt::part(kept, line.len() as u64)
    }

    /// The excerpt with these bytes of a line of this length.
    pub(super) fn part(kept: &[u8], line_bytes: u64) -> Excerpt<'_> {
        Excerpt { bytes: kept.into(), line_bytes, header: None, map: None, is_lossy: false, hidden: None }
    }

    /// A digest that tells lines with different texts apart. It is made without a secret, so it must not be stored.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let line = self.hidden.unwrap_or_else(|| Sha256::digest(&self.bytes).into());
        Sha256::new().chain_update(self.line_bytes.to_be_bytes()).chain_update(line).finalize().into()
    }
}

/// Why a line is no event. The texts are lower-case fragments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The line is an object or a row, but not an event.
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    #[error("is {0} bytes long; the most is {LINE_BYTES_MAX}")]
    TooLong(u64),
    #[error("is empty")]
    Empty,
    #[error("ends with {0} zero bytes; take them off, and see that nothing is cut off before them")]
    ZerosAtEnd(usize),
    #[error("has a zero byte at byte {0}; a part may be lost there")]
    ZeroByte(usize),
    /// The place where the line ends, before its object does.
    #[error("breaks off at column {0}, inside its object; get the whole line from its source")]
    BreaksOff(usize),
    #[error("is not JSON: {what} at column {column}")]
    NotJson {
        what: String,
        /// The place in the line, in bytes from 1.
        column: usize,
    },
    #[error(
        "has other text before its object, which begins at column {0}; take that off first, as sed 's/^[^{{]*//' FILE | passbridge ingest - does"
    )]
    Prefixed(usize),
    /// The number of the CSV field with text after its closing quote.
    #[error(
        "has text behind the closing quote of field {0}: a quote inside quotes is written twice, not once and not behind a backslash"
    )]
    BehindQuote(usize),
    /// The number of the CSV field with a blank before its opening quote.
    #[error(
        "has a blank before the opening quote of field {0}, so that the quotes would be a part of the value: take the blanks behind the separators away"
    )]
    BeforeQuote(usize),
    #[error(
        "has rows inside its quotes, lines {0} to {1}: a quote before them was opened by mistake; mend it there"
    )]
    RowsInside(u64, u64),
    /// The event has a key twice, perhaps in different cases.
    #[error("{key} is given twice, at columns {first} and {second}")]
    KeyTwice {
        /// The key as it is spelled the second time.
        key: String,
        /// The first place, in bytes from 1.
        first: usize,
        second: usize,
    },
    #[error("is not a JSON object")]
    NotObject,
    /// The line is recognised as something else than an event.
    #[error("{0}")]
    Recognised(&'static str),
    #[error("has {what} at column {column}, which JSON does not know; write null")]
    NoNumber { what: &'static str, column: usize },
    #[error("has {found} fields; the header has {expected}")]
    FieldCount { found: usize, expected: usize },
    #[error(
        "has {found} fields and no line end; the header has {expected}: the source breaks off here, so take it when it is whole"
    )]
    CutOff { found: usize, expected: usize },
    #[error(
        "opens a quote that is never closed; everything behind it is in this row, or the source breaks off here"
    )]
    OpenQuote,
    /// A line is no exchange. The reason quotes nothing of the line, which may contain secrets.
    #[error("is no exchange: {0}")]
    Exchange(String),
    #[error(
        "is of requestor {0}, whose counts come from ESM reports: they would count it again, so take one of the two sources for a requestor"
    )]
    MixedFeeds(String),
    #[error("{0}")]
    Esm(String),
    /// The line belongs to another format or command, or is wrapped by another program. The text names it.
    #[error("{0}")]
    Misplaced(String),
    #[error("still holds U+FFFD where its source was not UTF-8; put what belongs there")]
    NotMended,
    /// A line of a rejects file was read by a map that is not the given one, or no map is given.
    #[error(
        "came by the map {0:?}: ingest the files of rejected lines again with --map {0}, each map in a run of its own"
    )]
    OtherMap(String),
    /// The header in a line of a rejects file cannot be used.
    #[error("its header {0}")]
    Header(HeaderError),
}

impl RejectReason {
    /// Why an event is refused whose requestor has ESM reports, in which its ID is spelled as in `there`.
    pub(crate) fn mixed(requestor_id: &str, there: &str) -> RejectReason {
        RejectReason::MixedFeeds(requestor_as(requestor_id, there))
    }

    /// The reason to refuse a line with bytes that are no text: zero bytes, as after a power loss, or DOS's end mark.
    pub(super) fn of_filler(line: &[u8]) -> Option<RejectReason> {
        match line.iter().rev().take_while(|byte| **byte == 0).count() {
            0 if line.last() == Some(&0x1A) => Some(RejectReason::Recognised(
                "ends with DOS's mark of the end of a file (byte 0x1A); take it off",
            )),
            0 => memchr::memchr(0, line).map(|at| RejectReason::ZeroByte(at + 1)),
            zeros => Some(RejectReason::ZerosAtEnd(zeros)),
        }
    }
}

/// A requestor's ID, with the other spelling that a feed of it has.
pub(super) fn requestor_as(requestor_id: &str, there: &str) -> String {
    if requestor_id == there {
        format!("{requestor_id:?}")
    } else {
        format!("{requestor_id:?} (spelled {there:?} before)")
    }
}

pub(super) type ReadResult<T> = Result<T, ReadError>;

/// Why reading must stop. The texts continue a sentence that begins with the source's name.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source broke off, or from this line on it is not of its format.
    #[error("breaks off in line {line}")]
    Broken {
        /// If the source broke off: the incomplete line, or the next line if the last line was complete.
        line: u64,
        source: io::Error,
    },
    /// The source as a whole is not of its format; `source` says what it is, or what to do.
    #[error("cannot be read")]
    Foreign(#[source] io::Error),
    #[error("cannot be derived from line {line} on, because what is known of earlier runs cannot be read")]
    Memory { line: u64, source: MemoryError },
    #[error("cannot be read: its header {0}")]
    Header(HeaderError),
    #[error("cannot be read from line {line} on: the header there {header}")]
    OtherHeader { line: u64, header: HeaderError },
    /// A log with the newest exchange first must be sorted as a whole, but this log is too long for that.
    #[error(
        "is sorted newest first and has more than {0} exchanges: sort it oldest first, such as with `tac FILE | passbridge ingest --format rest-v2 -`"
    )]
    NewestFirst(usize),
}

impl ReadError {
    /// Whether the source has no bytes at the moment. The next call then goes on where this one stopped.
    pub fn is_pause(&self) -> bool {
        matches!(self, ReadError::Broken { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Why a CSV header cannot be used. The texts continue a sentence that begins with "its header".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("names {name:?} twice: columns {first} and {second} are the same")]
    Twice {
        name: String,
        /// The number of the first column, from 1.
        first: usize,
        second: usize,
    },
    #[error(
        "{found:?} has no column {missing:?}; it must name the properties, separated by commas, semicolons, tabs or bars; for other names say --map"
    )]
    Missing { missing: &'static str, found: String },
    #[error("{found:?} has no column {column:?}, from which the map takes {property}")]
    Unmapped { column: String, property: &'static str, found: String },
    /// The row is recognised as something else than a header.
    #[error("{0}")]
    Recognised(&'static str),
    #[error(
        "has {0:?} where a name is expected: the lines of this source end with neither LF nor CR; convert them"
    )]
    HasRows(String),
    #[error("has more than {} columns", COLUMNS_MAX)]
    TooManyColumns,
    /// The header cannot be read, for the reason for which a row is rejected.
    #[error("{0}")]
    Row(Box<RejectReason>),
}
