//! Reads a report in any of its three forms into records of names and texts.

use std::collections::HashMap;
use std::rc::Rc;

use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::encoding::{text_of_xml, without_marks};
use super::fields::{is_metric, is_time};
use super::kind::{Kind, TIME_COLUMNS, kind_of, no_report};
use crate::event::unwrapped;
use crate::harmless::clip;
use crate::readers::line::{COLUMNS_MAX, HeaderError};
use crate::readers::members::{Members, unquoted};
use crate::readers::records::{Records, beyond_a_line};
use crate::readers::remarks::Remarks;

/// The most bytes that all values of a record may have together. With this limit, the place where a value ends fits
/// into 16 bits, which halves the memory.
const RECORD_BYTES_MAX: usize = u16::MAX as usize;
/// The most records of a report, so that many tiny records take no more memory than a report of `REPORT_BYTES_MAX`.
const RECORDS_MAX: u64 = 1_000_000;

/// A record: texts by name. A report of half a million records is in memory as a whole. So records with the same
/// names share the list of names, and all values of a record are one text.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The number of the record, from 1; in CSV the line where it starts.
    pub(super) number: u64,
    names: Rc<[String]>,
    /// Where each value ends in `values`.
    ends: Box<[u16]>,
    values: Box<str>,
    /// The index of the first value that cannot be taken as a text: an object, a list, a text with half of a surrogate
    /// pair, or a number that is not kept as the report writes it. In metrics and times such numbers are allowed.
    pub(super) no_text: Option<u16>,
}

impl Record {
    fn new(
        number: u64,
        names: &Rc<[String]>,
        values: impl Iterator<Item = impl AsRef<str>>,
    ) -> Result<Record, String> {
        if number > RECORDS_MAX {
            return Err(format!("a report has at most {RECORDS_MAX} records: fetch it in parts"));
        }
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(names.len()));
        for value in values {
            text.push_str(value.as_ref());
            let end = u16::try_from(text.len());
            ends.push(end.map_err(|_| format!("record {number} has more than {RECORD_BYTES_MAX} bytes"))?);
        }
        Ok(Record { number, names: Rc::clone(names), ends: ends.into(), values: text.into(), no_text: None })
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

/// Dimensions that every counted event has. A report by one of them names it in at least one record.
pub(super) const ALWAYS_NAMED: [&str; 4] = ["media-company", "proxy", "mvpd", "requestor-id"];

/// The first of these dimensions that is blank in all records, as in a report that was made without it. If such a
/// report were taken, the right report would count the same hours again.
pub(super) fn nameless<'a>(
    records: &[Record],
    mut dimensions: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let is_nameless = |name: &&str| records.iter().all(|record| record.field(name).is_none());
    dimensions.find(|name| ALWAYS_NAMED.contains(name) && !records.is_empty() && is_nameless(name))
}

/// The list of a record's names. Neighbouring records with the same names share the list. Refuses a name that occurs
/// twice, because nobody knows which of its values is right.
fn shape_of(
    last: &mut Option<Rc<[String]>>,
    names: Vec<String>,
    whose: &str,
    place: &str,
) -> Result<Rc<[String]>, String> {
    if let Some(known) = last.as_ref().filter(|known| known[..] == names[..]) {
        return Ok(Rc::clone(known));
    }
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = places.insert(name, index).filter(|_| !name.is_empty()) {
            let (first, second) = (first + 1, index + 1);
            return Err(format!("{whose} has {:?} twice: {place} {first} and {place} {second}", clip(name)));
        }
    }
    Ok(Rc::clone(last.insert(names.into())))
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) records: Vec<Record>,
    pub(super) remarks: Remarks,
    /// How many records are in pages that repeat an earlier page of the document.
    pub(super) repeated: u64,
    /// The limit of rows, if the report has reached it. The report may then lack rows.
    pub(super) reached_limit: Option<u64>,
    /// Whether the last page of the document names a next one.
    pub(super) has_next: bool,
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

/// Reads a report. An error has a line number, from 1, and a reason.
pub(super) fn read(document: &[u8]) -> Result<Report, (u64, String)> {
    match kind_of(document) {
        Some(Kind::Json) => read_json(without_marks(document)),
        Some(Kind::Xml) => read_xml(without_marks(document)),
        Some(Kind::Csv(separator)) => read_csv(document, separator),
        None => Err((1, no_report(document))),
    }
}

/// Reads one report, or several pages that were saved in one file. A page that was saved twice adds nothing.
pub(super) fn read_json(document: &[u8]) -> Result<Report, (u64, String)> {
    if let Err(error) = std::str::from_utf8(document) {
        return Err((line_at(document, error.valid_up_to()), "it is not UTF-8".to_owned()));
    }
    let mut whole = Report::default();
    let mut pages: Vec<std::ops::Range<usize>> = Vec::new();
    let (mut last_names, mut is_first) = (None, true);
    for report in serde_json::Deserializer::from_slice(document).into_iter::<JsonReport<'_>>() {
        let report = report.map_err(|error| {
            let what = error.to_string();
            let is_other = ["missing field", "invalid type: map"].iter().any(|start| what.starts_with(start));
            let what = match is_first {
                true if is_other => no_report(document),
                false if !error.is_eof() => {
                    format!("what follows the report is no other report: take it off ({what})")
                }
                _ => what,
            };
            (error.line() as u64, what)
        })?;
        is_first = false;
        let limit = report.limit().filter(|limit| report.report.len() as u64 >= *limit);
        whole.reached_limit = whole.reached_limit.or(limit);
        whole.has_next = !report.links["next"].is_null();
        let before = whole.records.len();
        let mut records = Vec::with_capacity(report.report.len());
        for json in &report.report {
            let number = (before + records.len()) as u64 + 1;
            let at = json.get().as_ptr().addr() - document.as_ptr().addr();
            let record = json_record(number, json.get(), &mut last_names);
            records.push(record.map_err(|what| (line_at(document, at), what))?);
        }
        let is_known = |page: &std::ops::Range<usize>| {
            page.len() == records.len()
                && whole.records[page.clone()].iter().zip(&records).all(|(one, other)| one.is_like(other))
        };
        if pages.iter().any(is_known) {
            whole.repeated += records.len() as u64;
        } else {
            whole.records.append(&mut records);
            pages.push(before..whole.records.len());
        }
    }
    Ok(whole)
}

fn json_record(number: u64, json: &str, last_names: &mut Option<Rc<[String]>>) -> Result<Record, String> {
    let mut no_text = None;
    let mut read = || {
        let Members(members) = serde_json::from_str(json)?;
        let pairs = (0..).zip(members).map(|(index, (name, value))| {
            let (name, text) = (name_of(&unquoted(name)?), text_of(value));
            let is_text = text.as_ref().is_ok_and(|text| {
                let is_as_written = value.starts_with(['"', 'n']) || text == value && !has_exponent(value);
                !value.starts_with(['{', '[']) && (is_as_written || is_metric(&name) || is_time(&name))
            });
            no_text = no_text.or(if is_text { None } else { Some(index) });
            Ok((name, text.unwrap_or_else(|_| value.to_owned())))
        });
        pairs.collect::<serde_json::Result<(Vec<String>, Vec<String>)>>()
    };
    let (names, values) = read().map_err(|error| format!("record {number} cannot be read: {error}"))?;
    let names = shape_of(last_names, names, &format!("record {number}"), "member")?;
    Ok(Record { no_text, ..Record::new(number, &names, values.iter())? })
}

/// The line of a byte in a document, from 1.
fn line_at(document: &[u8], at: usize) -> u64 {
    memchr::memchr_iter(b'\n', &document[..at.min(document.len())]).count() as u64 + 1
}

/// Whether a value is a number such as 1.2e7, whose last digits may be lost.
fn has_exponent(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && json.contains(['e', 'E'])
}

/// A value as text. Null becomes empty, so that its column is kept. A number with an exponent stays: it is no count.
fn text_of(json: &str) -> serde_json::Result<String> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => unquoted(json)?.into_owned(),
        Some(b'n') => String::new(),
        _ if has_exponent(json) => json.to_owned(),
        _ => serde_json::from_str::<Value>(json)?.to_string(),
    })
}

fn read_xml(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let document = text_of_xml(document).map_err(|what| (1, what))?;
    let mut reader = quick_xml::Reader::from_str(document);
    let line = |reader: &quick_xml::Reader<&[u8]>| {
        line_at(document.as_bytes(), usize::try_from(reader.buffer_position()).unwrap_or(document.len()))
    };
    let (mut is_ended, mut limit, mut page_starts_at, mut last_names) = (false, None, 0, None);
    let mut is_in_report = false;
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err((line(&reader), error.to_string())),
        };
        let is_empty_tag = matches!(event, Event::Empty(_));
        let is_of_report = match &event {
            Event::Text(text) => text.trim_ascii().is_empty(),
            Event::Start(tag) | Event::Empty(tag) => name_of(tag.local_name().as_ref()) == "resource",
            other => !matches!(other, Event::CData(_) | Event::GeneralRef(_)),
        };
        if is_ended && !is_of_report {
            let what =
                "something follows the </resource> of the report: take it off, or fetch the report again";
            return Err((line(&reader), what.to_owned()));
        }
        if let Some(stranger) = stranger(&event, is_in_report) {
            let place = if is_in_report { "report" } else { "resource" };
            let what = format!("its <{place}> has {stranger} where only <record> is read");
            return Err((line(&reader), what));
        }
        match event {
            Event::Eof if is_ended => return Ok(report),
            Event::Eof => return Err((line(&reader), "the XML ends before its </resource>".to_owned())),
            Event::End(tag) if name_of(tag.local_name().as_ref()) == "report" => is_in_report = false,
            Event::End(tag) if name_of(tag.local_name().as_ref()) == "resource" => {
                is_ended = true;
                let rows = (report.records.len() - page_starts_at) as u64;
                report.reached_limit = report.reached_limit.or(limit.filter(|limit| rows >= *limit));
            }
            Event::Start(tag) | Event::Empty(tag) => match &name_of(tag.local_name().as_ref())[..] {
                "record" => {
                    let number = report.records.len() as u64 + 1;
                    let record = attributes(&tag).and_then(|(names, values)| {
                        let names =
                            shape_of(&mut last_names, names, &format!("record {number}"), "attribute")?;
                        Record::new(number, &names, values.iter())
                    });
                    report.records.push(record.map_err(|what| (line(&reader), what))?);
                }
                "resource" => {
                    let (names, values) = attributes(&tag).map_err(|what| (line(&reader), what))?;
                    let href = names.iter().position(|name| name == "href").map(|index| &values[index]);
                    limit = href.and_then(|href| limit_of(href));
                    report.has_next = false;
                    page_starts_at = report.records.len();
                    is_ended = is_empty_tag;
                }
                "report" => is_in_report = !is_empty_tag,
                "link" => {
                    let (names, values) = attributes(&tag).map_err(|what| (line(&reader), what))?;
                    report.has_next |=
                        names.iter().zip(&values).any(|(name, it)| name == "rel" && it == "next");
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Names a part of the XML that may hold counts, but is no record; the part is in `<report>`, or else in `<resource>`.
fn stranger(part: &Event<'_>, is_in_report: bool) -> Option<String> {
    match part {
        Event::Start(tag) | Event::Empty(tag) => {
            let (known, name) = (["record", "resource", "links", "link", "report"], tag.local_name());
            let known = if is_in_report { &known[..1] } else { &known };
            (!known.contains(&&*name_of(name.as_ref()))).then(|| format!("<{}>", clip(name.as_ref())))
        }
        _ if !is_in_report => None,
        Event::Text(text) if text.trim_ascii().is_empty() => None,
        Event::Text(_) | Event::GeneralRef(_) => Some("text".to_owned()),
        Event::CData(_) => Some("CDATA".to_owned()),
        _ => None,
    }
}

/// Names and values of the attributes of a tag, including attributes that occur twice.
fn attributes(tag: &quick_xml::events::BytesStart<'_>) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        // By the rules of XML, a line end or tab that is written as such is a blank.
        let text = attribute.value.replace(['\n', '\r', '\t'], " ");
        let text = text.as_str();
        names.push(name_of(attribute.key.as_ref()));
        values.push(match quick_xml::escape::unescape(text) {
            Ok(text) => text.into_owned(),
            // Adobe's samples have bare ampersands in `href`. Such a text is taken as it is.
            Err(_) if !has_reference(text) => text.to_owned(),
            Err(_) => {
                return Err(format!(
                    "{} {:?} has a character reference that XML does not know",
                    clip(&names[names.len() - 1]),
                    clip(text)
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

fn read_csv(document: &[u8], separator: u8) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let mut records = Records::new(document);
    records.separate_by(separator).map_err(|error| (1, error.to_string()))?;
    let mut names: Option<Rc<[String]>> = None;
    while records.advance().map_err(|error| (1, error.to_string()))? {
        if !records.is_separator_line() {
            take_row(&mut report, &mut names, &records).map_err(|what| (records.start_line, what))?;
        }
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
    // A file that was made of several reports has a header before each of them.
    let is_header = TIME_COLUMNS.iter().all(|name| all.iter().any(|cell| cell == name));
    let Some(names) = names.as_mut().filter(|_| !is_header) else {
        if let Some(before) = names {
            let Remarks { same_headers, other_headers, .. } = &mut report.remarks;
            let seen = if before[..] == all[..] { same_headers } else { other_headers };
            seen.note(row.start_line);
        }
        let is_number = |cell: &&&str| !cell.is_empty() && cell.bytes().all(|it| it.is_ascii_digit());
        let number = || cells.iter().find(is_number).copied();
        if let Some(found) = beyond_a_line(&cells).or_else(number) {
            return Err(format!("the header {}", HeaderError::HasRows(clip(found))));
        }
        *names = Some(shape_of(&mut None, all, "the header", "column")?);
        return Ok(());
    };
    let year = names.iter().position(|name| name == "year");
    row.refuse_rows_inside(names.len(), year, |_| false).map_err(|why| format!("a row {why}"))?;
    // Spreadsheets leave rows of commas at the end. They are skipped.
    if cells.iter().all(|cell| cell.trim().is_empty()) {
        return Ok(());
    }
    if cells.len() != names.len() {
        return Err(format!("a row has {} cells, the header {}", cells.len(), names.len()));
    }
    if row.may_be_cut() {
        report.remarks.without_end.note(row.start_line);
    }
    let cells = cells.iter().map(|cell| unwrapped(cell.trim()));
    report.records.push(Record::new(row.start_line, names, cells)?);
    Ok(())
}

/// A name as the documentation spells it. A header may write it with blanks, underscores or capitals.
fn name_of(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

fn limit_of(href: &str) -> Option<u64> {
    let query = href.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix("limit="))?.parse().ok()
}
