//! Recognises a report and its form by its start, and says of what is nearly a report how to make it one.

use super::encoding::without_marks;

const NO_REPORT: &str = "no ESM report: it is neither JSON with a list \"report\", nor XML of a <resource>, nor CSV with \
     columns year and month";
/// How many lines may stand above the header for a message to name its line.
const TITLES_MAX: usize = 20;
/// The columns that every report has.
pub(super) const TIME_COLUMNS: [&str; 2] = ["year", "month"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Xml,
    /// The byte between two cells. A spreadsheet of some languages writes another than a comma.
    Csv(u8),
}

/// Whether a source with this start is a report.
pub fn starts_like_esm(start: &[u8]) -> bool {
    kind_of(start).is_some()
}

/// The kind of a report with this start; `None` if it is no report.
pub(super) fn kind_of(start: &[u8]) -> Option<Kind> {
    let start = without_marks(start).trim_ascii_start();
    let has = |text: &str| memchr::memmem::find(start, text.as_bytes()).is_some();
    match start.first()? {
        b'{' if start[1..].trim_ascii_start().starts_with(b"\"_links\"") || has_list_of_records(start) => {
            Some(Kind::Json)
        }
        b'<' if has("<resource") || has("<Resource") || has("<RESOURCE") => Some(Kind::Xml),
        _ => {
            let header = start.split(|byte| *byte == b'\n').next()?;
            let header = std::str::from_utf8(header).ok()?.to_ascii_lowercase();
            let is_report = |separator: &u8| {
                let cells = header.split(char::from(*separator));
                let names: Vec<&str> = cells.map(|name| name.trim().trim_matches('"')).collect();
                // A CSV of events may have columns named year and month, but it also has `occurred_at`.
                TIME_COLUMNS.iter().all(|name| names.contains(name)) && !names.contains(&"occurred_at")
            };
            b",;\t|".iter().find(|separator| is_report(separator)).copied().map(Kind::Csv)
        }
    }
}

/// The number of the header's line, from 1, if a report in CSV has titles above it.
pub fn header_below(start: &[u8]) -> Option<usize> {
    let starts = memchr::memchr_iter(b'\n', start).map(|end| end + 1).take(TITLES_MAX);
    let is_header = |at: usize| {
        let has_name = start.get(at).is_some_and(|first| !first.is_ascii_whitespace());
        has_name && matches!(kind_of(&start[at..]), Some(Kind::Csv(_)))
    };
    (2..).zip(starts).find(|(_, at)| is_header(*at)).map(|(line, _)| line)
}

/// Why a document is no report, and how to make it one.
pub(super) fn no_report(document: &[u8]) -> String {
    if let Some(line) = header_below(document) {
        return format!(
            "its header is line {line}: take off what stands above it, as tail -n +{line} FILE | passbridge ingest --format esm - does"
        );
    }
    let has = |name: &[u8]| memchr::memmem::find(document, name).is_some();
    let cure = match document.trim_ascii_start().first() {
        Some(b'{') if has(b"\"report\"") => "jq '.report |= [.]'",
        Some(b'[') if has(b"\"report\"") => "jq '.[]'",
        Some(b'{' | b'[') if [&b"\"year\""[..], b"\"Year\""].into_iter().any(has) => {
            "jq -s '{report: flatten}'"
        }
        _ => return NO_REPORT.to_owned(),
    };
    format!(
        "it has records of ESM, but no list \"report\" of them: {cure} FILE | passbridge ingest --format esm - makes it one"
    )
}

/// Whether an object has a list named `report`. The word alone is not enough: it may be a value of an event.
fn has_list_of_records(start: &[u8]) -> bool {
    const NAME: &[u8] = b"\"report\"";
    memchr::memmem::find_iter(start, NAME).any(|at| {
        let behind = start[at + NAME.len()..].trim_ascii_start().strip_prefix(b":");
        behind.is_some_and(|value| value.trim_ascii_start().starts_with(b"["))
    })
}
