use super::{EventKind, Instant};

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
    /// The nearest name is searched only when this is shown: an input may have many unknown names, of which few are.
    #[error("event {0:?} is unknown{near}", near = nearest_kind(.0))]
    UnknownKind(String),
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

/// The name of the kind of event whose name or label is nearest to a name.
fn nearest_kind(name: &str) -> String {
    // With underscores for blanks, Adobe's labels, such as "AuthZ OK", are similar to the names of kinds.
    let plain = |text: &str| text.trim().to_ascii_lowercase().replace(' ', "_");
    let name = plain(name);
    let distance = |known: &str| strsim::damerau_levenshtein(&plain(known), &name);
    let nearest = EventKind::ALL
        .into_iter()
        .map(|kind| (distance(kind.name()).min(distance(kind.label())), kind.name()))
        .min_by_key(|(misses, _)| *misses);
    // A name that shares less than half of its letters with the nearest one is no misspelling of it.
    let near = nearest.filter(|(misses, known)| misses * 2 <= known.len());
    near.map(|(_, known)| format!("; the nearest is {known:?}")).unwrap_or_default()
}
