//! What every reader gives: lines, each an event or the reason why it is none.

use std::borrow::Cow;
use std::io;

use super::esm::EsmSummary;
use super::memory::{Feed, MemoryError, Recollection};
use super::remarks::Remarks;
use super::rest_v2::{ExchangeSummary, Rule};
use crate::event::{EventError, EventId, PassEvent, TimeBounds};

/// The longest line or CSV row, in bytes. An event with every property filled takes a few KiB; an MRSS resource may take
/// some hundred. Above this lies a file that is not made of lines, and memory must not follow it.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// How much of a longer line is kept for the rejects, in bytes: enough to recognise what it was.
pub const EXCERPT_BYTES_MAX: usize = 64 << 10;

/// The most columns of a CSV header. A wide export has some hundred; the cells of a row above this are counted, not kept.
pub(super) const COLUMNS_MAX: usize = 1024;

/// The seam between formats and ingest.
pub trait Reader {
    /// The next line; `None` at the end of the source, or while the changes in `memory` must be stored first. After an error
    /// there is nothing more to read.
    fn next_line(
        &mut self,
        bounds: TimeBounds,
        memory: &mut Recollection,
    ) -> Result<Option<Line<'_>>, ReadError>;

    /// Whether the last line has more events: what is stored of it must not be cut here.
    fn is_inside_line(&self) -> bool {
        false
    }

    /// How the events of the source count.
    fn feed(&self) -> Feed {
        Feed::Events
    }

    /// What the source held so far beside its events.
    fn summary(&self) -> SourceSummary;
}

/// What a source held beside its events.
#[derive(Debug, Clone, Default)]
pub struct SourceSummary {
    /// What was passed over in it, or is not what it seems.
    pub remarks: Remarks,
    /// What became of its exchanges, where it holds them.
    pub exchanges: Option<ExchangeSummary>,
    /// What a report told, where it is one.
    pub esm: Option<EsmSummary>,
}

impl SourceSummary {
    /// Whether it tells of nothing that was read.
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

/// One line of a source, blank ones left out.
#[derive(Debug)]
pub struct Line<'a> {
    /// Where it starts in its source, from 1; in CSV the header and the lines inside quotes count too.
    pub number: u64,
    /// The line itself, for the rejects.
    pub excerpt: Excerpt<'a>,
    /// Its event, or why it is none.
    pub result: Result<PassEvent, RejectReason>,
    /// The rule that made the event, where the line is none by itself.
    pub rule: Option<AppliedRule>,
}

/// How an event follows from an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRule {
    pub rule: Rule,
    /// The identities that earlier releases gave this event, where there may be such.
    pub former_ids: Vec<EventId>,
}

/// A line as its source wrote it, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// Its bytes without the line ending; of a line above [`LINE_BYTES_MAX`] the first [`EXCERPT_BYTES_MAX`].
    pub bytes: Cow<'a, [u8]>,
    /// The length of the whole line in bytes.
    pub line_bytes: u64,
    /// The header row that gives its cells their names, in CSV.
    pub header: Option<Cow<'a, str>>,
    /// Whether an earlier run already put U+FFFD for what was not UTF-8.
    pub is_lossy: bool,
}

impl<'a> Excerpt<'a> {
    /// Its first bytes, of a line that is whole.
    pub(super) fn cut(self, end: usize) -> Excerpt<'a> {
        let bytes = match self.bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..end]),
            Cow::Owned(bytes) => Cow::Owned(bytes[..end].to_vec()),
        };
        Excerpt { bytes, line_bytes: end as u64, ..self }
    }
}

impl Excerpt<'static> {
    /// A text that stands for a line.
    pub(super) fn of_text(text: String) -> Excerpt<'static> {
        Excerpt {
            line_bytes: text.len() as u64,
            bytes: text.into_bytes().into(),
            header: None,
            is_lossy: false,
        }
    }
}

impl Excerpt<'_> {
    /// What is kept of a line that is whole in memory.
    pub fn of(line: &[u8]) -> Excerpt<'_> {
        let kept = if line.len() > LINE_BYTES_MAX { &line[..EXCERPT_BYTES_MAX] } else { line };
        Excerpt::part(kept, line.len() as u64)
    }

    /// What is kept of a line that has so many bytes.
    pub(super) fn part(kept: &[u8], line_bytes: u64) -> Excerpt<'_> {
        Excerpt { bytes: kept.into(), line_bytes, header: None, is_lossy: false }
    }
}

/// Why a line is no event. The texts are lower-case fragments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// It is an object or a row, but no event.
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    #[error("is {0} bytes long; the most is {LINE_BYTES_MAX}")]
    TooLong(u64),
    #[error("is empty")]
    Empty,
    #[error("is not JSON: {what} at column {column}")]
    NotJson {
        what: String,
        /// Where, in bytes from 1.
        column: usize,
    },
    #[error(
        "has other text before its object, which begins at column {0}; take that off first, as sed 's/^[^{{]*//' FILE | passbridge ingest - does"
    )]
    Prefixed(usize),
    /// Its event is a text inside an object of a log driver.
    #[error(
        "holds its event as text in {0:?}, as a log driver wraps it; unwrap it first, as jq -r .{0} FILE | passbridge ingest - does"
    )]
    Wrapped(String),
    /// The object or the list of a wrapper.
    #[error(
        "holds its event inside {0:?}, as a wrapper has it; take it out first, as jq -c '.{0}{1}' FILE | passbridge ingest - does"
    )]
    Inside(String, &'static str),
    /// The number of the field.
    #[error(
        "has text behind the closing quote of field {0}: a quote inside quotes is written twice, not once and not behind a backslash"
    )]
    BehindQuote(usize),
    /// A key of its event stands twice, in whatever case of letters.
    #[error("{key} is given twice, at columns {first} and {second}")]
    KeyTwice {
        /// The key, as it stands the second time.
        key: String,
        /// Where it stands first, in bytes from 1.
        first: usize,
        second: usize,
    },
    #[error("is not a JSON object")]
    NotObject,
    /// It is recognised as something that is no event.
    #[error("{0}")]
    Recognised(&'static str),
    #[error("has {what} at column {column}, which JSON does not know; write null")]
    NoNumber { what: &'static str, column: usize },
    #[error("has {found} fields; the header has {expected}")]
    FieldCount { found: usize, expected: usize },
    /// A CSV row opens a quote that the source never closes.
    #[error("opens a quote that is never closed; everything behind it is in this row")]
    OpenQuote,
    /// A line is no exchange. It says nothing of what stands in it: that may be a secret.
    #[error("is no exchange: {0}")]
    Exchange(String),
    #[error(
        "is of requestor {0:?}, whose counts come from ESM reports: they would count it again, so take one of the two sources for a requestor"
    )]
    MixedFeeds(String),
    #[error("{0}")]
    Esm(String),
    /// It belongs to another format or door, and to which.
    #[error("{0}")]
    Misplaced(String),
    /// A line of an earlier run's rejects still shows where it was not UTF-8.
    #[error("still holds U+FFFD where its source was not UTF-8; put what belongs there")]
    NotMended,
    /// A line of an earlier run's rejects names a header that cannot be one.
    #[error("its header {0}")]
    Header(HeaderError),
}

/// Why a source cannot be read on. The texts continue a sentence that begins with the source's name.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source broke off; the lines before this one were whole.
    #[error("breaks off in line {line}")]
    Broken {
        /// The line that is not whole, or that would have been next.
        line: u64,
        source: io::Error,
    },
    #[error("cannot be derived from line {line} on, because what is known of earlier runs cannot be read")]
    Memory { line: u64, source: MemoryError },
    /// The header row of a CSV source cannot be used.
    #[error("cannot be read: its header {0}")]
    Header(HeaderError),
    #[error("cannot be read from line {line} on: the header there {header}")]
    OtherHeader { line: u64, header: HeaderError },
    /// A log whose newest exchange is first is put in order as a whole, and this one is too long for that.
    #[error(
        "is sorted newest first and has more than {0} exchanges: sort it oldest first, such as with `tac FILE | passbridge ingest --format rest-v2 -`"
    )]
    NewestFirst(usize),
}

/// Why a CSV header cannot be used. The texts continue a sentence that begins with "its header".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("names {name:?} twice: columns {first} and {second} are the same")]
    Twice {
        name: String,
        /// Its first column, from 1.
        first: usize,
        /// Its second.
        second: usize,
    },
    #[error("{found:?} has no column {missing:?}; it must name the properties, separated by commas")]
    Missing { missing: &'static str, found: String },
    #[error("{found:?} is one column: the columns are separated by {separator}; commas are needed")]
    OtherSeparator { separator: &'static str, found: String },
    /// It is recognised as something that is no header.
    #[error("{0}")]
    Recognised(&'static str),
    #[error("has more than {} columns", COLUMNS_MAX)]
    TooManyColumns,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("opens a quote that is never closed")]
    OpenQuote,
}
