//! Reads a report in any of its three forms into records of names and texts.

use std::collections::HashMap;
use std::rc::Rc;

use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::readers::line::COLUMNS_MAX;
use crate::readers::lines::BYTE_ORDER_MARK;
use crate::readers::members::{Members, unquoted};
use crate::readers::records::Records;
use crate::readers::remarks::Remarks;
use crate::readers::surrogates;

/// The longest record, in bytes of its values. Ends of values take 16 bits, which halves a report's memory.
const RECORD_BYTES_MAX: usize = u16::MAX as usize;

/// The columns that every report has.
const TIME_COLUMNS: [&str; 2] = ["year", "month"];

/// A record: texts by name. A report of half a million records is in memory as a whole, so records with the same
/// names share the list of names, and all values of a record are one text.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) number: u64,
    names: Rc<[String]>,
    /// Where each value ends in `values`.
    ends: Box<[u16]>,
    values: Box<str>,
}

impl Record {
    fn new(
        number: u64,
        names: &Rc<[String]>,
        values: impl Iterator<Item = impl AsRef<str>>,
    ) -> Result<Record, String> {
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(names.len()));
        for value in values {
            text.push_str(value.as_ref());
            let end = u16::try_from(text.len());
            ends.push(end.map_err(|_| format!("record {number} has more than {RECORD_BYTES_MAX} bytes"))?);
        }
        Ok(Record { number, names: Rc::clone(names), ends: ends.into(), values: text.into() })
    }

    /// Names and values, in the order of the report.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let values =
            starts.zip(&self.ends).map(|(start, end)| &self.values[usize::from(start)..usize::from(*end)]);
        self.names.iter().map(String::as_str).zip(values)
    }

    /// The value with this name, without white space at its ends; `None` if it is absent or blank.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub(super) fn names(&self) -> &Rc<[String]> {
        &self.names
    }

    /// Whether another record has the same names and values.
    pub(super) fn is_like(&self, other: &Record) -> bool {
        self.fields().eq(other.fields())
    }

    /// The record as text, for the rejects.
    pub(super) fn text(&self) -> String {
        let fields = self.fields().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(fields.collect()).to_string()
    }
}

/// The lists of names, each stored once.
#[derive(Debug, Default)]
struct Shapes {
    last: Option<Rc<[String]>>,
}

impl Shapes {
    /// The names as the documentation spells them. Refuses a name that stands twice: its right value is unknown.
    fn of(&mut self, names: Vec<String>, whose: &str, place: &str) -> Result<Rc<[String]>, String> {
        if let Some(known) = self.last.as_ref().filter(|known| known[..] == names[..]) {
            return Ok(Rc::clone(known));
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = places.insert(name, index).filter(|_| !name.is_empty()) {
                return Err(format!(
                    "{whose} has {name:?} twice: {place} {} and {place} {}",
                    first + 1,
                    index + 1
                ));
            }
        }
        let names: Rc<[String]> = names.into();
        self.last = Some(Rc::clone(&names));
        Ok(names)
    }
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) records: Vec<Record>,
    pub(super) remarks: Remarks,
    /// The limit of rows in the report, if the report has so many. It may then lack rows.
    pub(super) reached_limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Xml,
    Csv,
}

#[derive(Deserialize)]
struct JsonReport<'a> {
    #[serde(rename = "_links", default)]
    links: Value,
    #[serde(borrow)]
    report: Vec<&'a RawValue>,
}

impl JsonReport<'_> {
    /// The limit of rows in the report's link to itself.
    fn limit(&self) -> Option<u64> {
        limit_of(self.links["self"]["href"].as_str()?)
    }
}

/// Whether a source with this start is a report.
pub fn starts_like_esm(start: &[u8]) -> bool {
    kind_of(start).is_some()
}

/// The kind of a report with this start; `None` if it is no report.
fn kind_of(start: &[u8]) -> Option<Kind> {
    let start = without_marks(start).trim_ascii_start();
    let has = |text: &[u8]| memchr::memmem::find(start, text).is_some();
    match start.first()? {
        b'{' if start[1..].trim_ascii_start().starts_with(b"\"_links\"") || has_list_of_records(start) => {
            Some(Kind::Json)
        }
        b'<' if has(b"<resource") => Some(Kind::Xml),
        _ => {
            let header = start.split(|byte| *byte == b'\n').next()?;
            let header = std::str::from_utf8(header).ok()?.to_ascii_lowercase();
            let names: Vec<&str> = header.split(',').map(|name| name.trim().trim_matches('"')).collect();
            // A CSV of events may have columns named year and month, but it also has `occurred_at`.
            let is_report =
                TIME_COLUMNS.iter().all(|name| names.contains(name)) && !names.contains(&"occurred_at");
            is_report.then_some(Kind::Csv)
        }
    }
}

/// The document without a byte order mark and without the `sep=` line of a spreadsheet.
fn without_marks(document: &[u8]) -> &[u8] {
    let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
    let rest = document
        .strip_prefix(b"sep=,")
        .and_then(|rest| rest.strip_prefix(b"\r").unwrap_or(rest).strip_prefix(b"\n"));
    rest.unwrap_or(document)
}

/// Whether an object has a list named `report`. The word alone is not enough: an event may have it as a value.
fn has_list_of_records(start: &[u8]) -> bool {
    const NAME: &[u8] = b"\"report\"";
    memchr::memmem::find_iter(start, NAME).any(|at| {
        let behind = start[at + NAME.len()..].trim_ascii_start().strip_prefix(b":");
        behind.is_some_and(|value| value.trim_ascii_start().starts_with(b"["))
    })
}

/// Reads a report. An error has a line number, from 1, and a reason.
pub(super) fn read(document: &[u8]) -> Result<Report, (u64, String)> {
    let document = without_marks(document);
    match kind_of(document) {
        Some(Kind::Json) => read_json(document),
        Some(Kind::Xml) => read_xml(document),
        Some(Kind::Csv) => read_csv(document),
        None => Err((1, "no ESM report: it is neither JSON with \"report\", nor XML of a <resource>, nor CSV with columns year and month".to_owned())),
    }
}

/// Reads one report, or several saved behind each other as pages. A page that was saved twice adds nothing.
pub(super) fn read_json(source: &[u8]) -> Result<Report, (u64, String)> {
    let text = std::str::from_utf8(source)
        .map_err(|error| (line_at(source, error.valid_up_to()), "it is not UTF-8".to_owned()))?;
    let mended = surrogates::mended(text);
    let document = mended.as_bytes();
    let mut whole = Report::default();
    let mut pages: Vec<std::ops::Range<usize>> = Vec::new();
    let mut shapes = Shapes::default();
    for report in serde_json::Deserializer::from_slice(document).into_iter::<JsonReport<'_>>() {
        let report = report.map_err(|error| (error.line() as u64, error.to_string()))?;
        let limit = report.limit().filter(|limit| report.report.len() as u64 >= *limit);
        whole.reached_limit = whole.reached_limit.or(limit);
        let before = whole.records.len();
        let mut records = Vec::with_capacity(report.report.len());
        for json in &report.report {
            let number = (before + records.len()) as u64 + 1;
            let at = json.get().as_ptr().addr() - document.as_ptr().addr();
            let record = json_record(number, json.get(), &mut shapes);
            records.push(record.map_err(|what| (line_at(document, at), what))?);
            if source[at..at + json.get().len()] != *json.get().as_bytes() {
                whole.remarks.half_pairs.note(number);
            }
        }
        let is_known = |page: &std::ops::Range<usize>| {
            page.len() == records.len()
                && whole.records[page.clone()].iter().zip(&records).all(|(one, other)| one.is_like(other))
        };
        if !pages.iter().any(is_known) {
            whole.records.append(&mut records);
            pages.push(before..whole.records.len());
        }
    }
    Ok(whole)
}

fn json_record(number: u64, json: &str, shapes: &mut Shapes) -> Result<Record, String> {
    let read = || {
        let Members(members) = serde_json::from_str(json)?;
        let pairs = members.into_iter().map(|(name, value)| Ok((name_of(&unquoted(name)?), text_of(value)?)));
        pairs.collect::<serde_json::Result<(Vec<String>, Vec<String>)>>()
    };
    let (names, values) = read().map_err(|error| format!("record {number} cannot be read: {error}"))?;
    let names = shapes.of(names, &format!("record {number}"), "member")?;
    Record::new(number, &names, values.iter())
}

/// The line of a byte in a document, from 1.
fn line_at(document: &[u8], at: usize) -> u64 {
    memchr::memchr_iter(b'\n', &document[..at.min(document.len())]).count() as u64 + 1
}

/// The row limit that a JSON report has reached: the limit in its link, else the requested one. `None`: not reached.
pub fn limit_reached(document: &[u8], rows_asked: u64) -> Option<u64> {
    let text = surrogates::mended(std::str::from_utf8(document).ok()?);
    let rows: JsonReport<'_> = serde_json::from_str(&text).ok()?;
    let limit = rows.limit().map_or(rows_asked, |own| own.min(rows_asked));
    (rows.report.len() as u64 >= limit).then_some(limit)
}

/// A value as text. A missing value becomes an empty text, so that its column is kept.
fn text_of(json: &str) -> serde_json::Result<String> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => unquoted(json)?.into_owned(),
        Some(b'n') => String::new(),
        _ => serde_json::from_str::<Value>(json)?.to_string(),
    })
}

fn read_xml(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let document = std::str::from_utf8(document).map_err(|error| (1, error.to_string()))?;
    let mut reader = quick_xml::Reader::from_str(document);
    let line = |reader: &quick_xml::Reader<&[u8]>| {
        line_at(document.as_bytes(), usize::try_from(reader.buffer_position()).unwrap_or(document.len()))
    };
    let (mut is_ended, mut limit, mut shapes) = (false, None, Shapes::default());
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err((line(&reader), error.to_string())),
        };
        let is_empty_tag = matches!(event, Event::Empty(_));
        match event {
            Event::Eof if is_ended => {
                report.reached_limit = limit.filter(|limit| report.records.len() as u64 >= *limit);
                return Ok(report);
            }
            Event::Eof => return Err((line(&reader), "the XML ends before its </resource>".to_owned())),
            Event::End(tag) if tag.local_name().as_ref() == "resource" => is_ended = true,
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                "record" => {
                    let number = report.records.len() as u64 + 1;
                    let record = attributes(&tag).and_then(|(names, values)| {
                        let names = shapes.of(names, &format!("record {number}"), "attribute")?;
                        Record::new(number, &names, values.iter())
                    });
                    report.records.push(record.map_err(|what| (line(&reader), what))?);
                }
                "resource" => {
                    let (names, values) = attributes(&tag).map_err(|what| (line(&reader), what))?;
                    let href = names.iter().position(|name| name == "href").map(|index| &values[index]);
                    limit = href.and_then(|href| limit_of(href));
                    is_ended = is_empty_tag;
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Names and values of the attributes of a tag, including attributes that stand twice.
fn attributes(tag: &quick_xml::events::BytesStart<'_>) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let text = attribute.value.as_ref();
        names.push(name_of(attribute.key.as_ref()));
        values.push(match quick_xml::escape::unescape(text) {
            Ok(text) => text.into_owned(),
            // Adobe's samples have bare ampersands in href: such a text is taken as it is.
            Err(_) if !has_reference(text) => text.to_owned(),
            Err(_) => {
                return Err(format!(
                    "{} {text:?} has a character reference that XML does not know",
                    names[names.len() - 1]
                ));
            }
        });
    }
    Ok((names, values))
}

/// Whether a text contains a character reference, such as `&name;` or `&#1;`.
fn has_reference(text: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
    text.split('&')
        .skip(1)
        .any(|rest| rest.split_once(';').is_some_and(|(name, _)| !name.is_empty() && is_name(name)))
}

fn read_csv(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let mut records = Records::new(document);
    let mut names: Option<Rc<[String]>> = None;
    while records.advance().map_err(|error| (1, error.to_string()))? {
        take_row(&mut report, &mut names, &records).map_err(|what| (records.start_line, what))?;
    }
    Ok(report)
}

fn take_row(
    report: &mut Report,
    names: &mut Option<Rc<[String]>>,
    row: &Records<&[u8]>,
) -> Result<(), String> {
    if row.found > COLUMNS_MAX {
        return Err(format!("a row has more than {COLUMNS_MAX} columns"));
    }
    let cells = row.cells().map_err(|why| format!("a row {why}"))?;
    let all: Vec<String> = cells.iter().map(|cell| name_of(cell)).collect();
    // A file that was made of several reports has a header before each.
    let is_header = TIME_COLUMNS.iter().all(|name| all.iter().any(|cell| cell == name));
    let Some(names) = names.as_mut().filter(|_| !is_header) else {
        if let Some(before) = names {
            let Remarks { same_headers, other_headers, .. } = &mut report.remarks;
            let seen = if before[..] == all[..] { same_headers } else { other_headers };
            seen.note(row.start_line);
        }
        *names = Some(Shapes::default().of(all, "the header", "column")?);
        return Ok(());
    };
    // Spreadsheets leave rows of commas at the end.
    if cells.iter().all(|cell| cell.trim().is_empty()) {
        return Ok(());
    }
    if cells.len() != names.len() {
        return Err(format!("a row has {} cells, the header {}", cells.len(), names.len()));
    }
    let cells = cells.iter().map(|cell| cell.trim());
    report.records.push(Record::new(report.records.len() as u64 + 1, names, cells)?);
    Ok(())
}

/// A name as the documentation spells it, although a header may write it with spaces or capitals.
fn name_of(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

/// The `limit` in a link.
fn limit_of(href: &str) -> Option<u64> {
    let query = href.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix("limit="))?.parse().ok()
}
