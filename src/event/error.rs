use super::Instant;

/// Why a line is no event. The texts are lower-case fragments that name the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is given twice")]
    Twice(String),
    #[error("{0} must be text, a number or a boolean, not an object or a list")]
    Nested(String),
    #[error("the map looks into {0:?}, which is no object: its source may have cut it off")]
    NoObject(String),
    #[error(
        "is a changed or deleted row of a database's change log ({0:?} is {1:?}), which is no new event; take the new rows alone"
    )]
    Changed(String, String),
    #[error("{0} has half a character (a lone \\ud800 to \\udfff); have its source write the whole text")]
    Half(String),
    #[error("event {0:?} is unknown{near}", near = .1.map(|name| format!("; the nearest is {name:?}")).unwrap_or_default())]
    UnknownKind(String, Option<&'static str>),
    #[error("event {0:?} is Analytics' number of an event: write {1:?}")]
    KindByNumber(String, &'static str),
    #[error("occurred_at {0}")]
    BadInstant(String),
    #[error("occurred_at {0} is before the year 2000; seconds and milliseconds may be mixed up")]
    TooEarly(Instant),
    #[error(
        "occurred_at {at} is ahead of this host's clock ({now}) by more than ingest.future_skew_seconds; check the clock of the source and of this host"
    )]
    TooLate { at: Instant, now: Instant },
    #[error(
        "requestor_id {0:?} must be 1 to 255 bytes without control characters or white space at its ends"
    )]
    BadRequestor(String),
    #[error("requestor_id {0:?} names no requestor: {1}")]
    NoRequestor(String, &'static str),
    #[error("event_id must be text or a number of 1 to 128 characters")]
    BadEventId,
    #[error(
        "event_id {0:?} was spoilt by a spreadsheet, so that events may share it; export that column as text"
    )]
    SpoiltEventId(String),
    #[error(
        "{0} {1} is a number with an exponent, which keeps the first digits of an identifier alone; have its source write it as text"
    )]
    Exponent(&'static str, String),
    #[error("count {0:?} must be a whole number from 1 to 1,000,000")]
    BadCount(String),
}
