//! A report in any of its three forms, as records of names and texts.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use csv_core::{ReadRecordResult, Reader as CsvSplitter};
use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::Value;

use crate::readers::csv::COLUMNS_MAX;

/// A record: what stands in it by name, and its text for the rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) text: String,
}

/// A report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) records: Vec<Record>,
    /// The most rows that a report may have, where it says so and has so many: there may be more that it does not show.
    pub(super) reached_limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Xml,
    Csv,
}

#[derive(Deserialize)]
struct JsonReport {
    #[serde(rename = "_links", default)]
    links: Option<Links>,
    report: Vec<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct Links {
    #[serde(rename = "self", default)]
    own: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    href: String,
}

/// What a source is that begins so; `None`: no report.
pub(super) fn kind_of(start: &[u8]) -> Option<Kind> {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
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
            // A file of events may have columns of its own, and year and month among them.
            let is_report =
                ["year", "month"].iter().all(|name| names.contains(name)) && !names.contains(&"occurred_at");
            is_report.then_some(Kind::Csv)
        }
    }
}

/// Whether an object has a list named `report`; an event may have that word in a value.
fn has_list_of_records(start: &[u8]) -> bool {
    const NAME: &[u8] = b"\"report\"";
    memchr::memmem::find_iter(start, NAME).any(|at| {
        let behind = start[at + NAME.len()..].trim_ascii_start().strip_prefix(b":");
        behind.is_some_and(|value| value.trim_ascii_start().starts_with(b"["))
    })
}

/// Reads a report; where it breaks, in lines from 1, and what is wrong.
pub(super) fn read(document: &[u8]) -> Result<Report, (u64, String)> {
    let document = document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(document);
    match kind_of(document) {
        Some(Kind::Json) => read_json(document),
        Some(Kind::Xml) => read_xml(document),
        Some(Kind::Csv) => read_csv(document),
        None => Err((1, "no ESM report: it is neither JSON with \"report\", nor XML of a <resource>, nor CSV with columns year and month".to_owned())),
    }
}

/// One report, or several behind each other as pages are saved.
fn read_json(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut whole = Report::default();
    for report in serde_json::Deserializer::from_slice(document).into_iter::<JsonReport>() {
        let JsonReport { links, report } =
            report.map_err(|error| (error.line() as u64, error.to_string()))?;
        let href = links.and_then(|links| links.own).map(|link| link.href).unwrap_or_default();
        let limit = limit_of(&href).filter(|limit| report.len() as u64 >= *limit);
        whole.reached_limit = whole.reached_limit.or(limit);
        for record in report {
            let number = whole.records.len() as u64 + 1;
            let text = serde_json::to_string(&record).expect("it was JSON");
            let fields = record.into_iter().map(|(name, value)| (name_of(&name), text_of(value)));
            whole.records.push(Record { number, fields: fields.collect(), text });
        }
    }
    Ok(whole)
}

/// The limit of rows that a report in JSON has reached: its own, as its link tells it, or the one that was asked for. `None`
/// where it has fewer rows, or is no report.
pub fn limit_reached(document: &[u8], rows_asked: u64) -> Option<u64> {
    #[derive(Deserialize)]
    struct Rows {
        #[serde(rename = "_links", default)]
        links: Option<Links>,
        report: Vec<serde::de::IgnoredAny>,
    }
    let Rows { links, report } = serde_json::from_slice(document).ok()?;
    let own = links.and_then(|links| links.own).and_then(|link| limit_of(&link.href));
    let limit = own.map_or(rows_asked, |own| own.min(rows_asked));
    (report.len() as u64 >= limit).then_some(limit)
}

/// Why a report in JSON is not the one that was asked for: grouped by these dimensions beneath the day or the hour, of the times from
/// the first to before the second. To take it would close those hours with counts of other ones, or of too few.
pub fn mismatch<'a>(
    document: &[u8],
    dimensions: impl Iterator<Item = &'a str> + Clone,
    (from, to): (NaiveDateTime, NaiveDateTime),
) -> Option<String> {
    let report = match read_json(document) {
        Ok(report) => report,
        Err((line, why)) => return Some(format!("it is no report in JSON: line {line}: {why}")),
    };
    for Record { number, fields, .. } in &report.records {
        let asked = ["year", "month", "day", "hour"].into_iter().chain(dimensions.clone());
        if let Some(name) = asked.clone().find(|name| !fields.contains_key(*name)) {
            return Some(format!("record {number} has no {name}"));
        }
        let part = |name: &str| fields.get(name).map_or(Some(0), |text| text.trim().parse().ok());
        let day = part("year")
            .zip(part("month").zip(part("day")))
            .and_then(|(year, (month, day))| NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day));
        let time = part("hour")
            .zip(part("minute"))
            .and_then(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0));
        let at = day.zip(time).map(|(day, time)| day.and_time(time));
        if !at.is_some_and(|at| (from..to).contains(&at)) {
            return Some(format!("record {number} is of another time"));
        }
    }
    None
}

/// A value as text; an absent one is blank, so that its column is still one.
fn text_of(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn read_xml(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let document = std::str::from_utf8(document).map_err(|error| (1, error.to_string()))?;
    let mut reader = quick_xml::Reader::from_str(document);
    let line = |reader: &quick_xml::Reader<&[u8]>| {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(document.len()).min(document.len());
        document.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1
    };
    let (mut is_ended, mut limit) = (false, None);
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
            Event::Start(tag) | Event::Empty(tag) => {
                let mut fields = BTreeMap::new();
                for attribute in tag.attributes() {
                    let attribute = attribute.map_err(|error| (line(&reader), error.to_string()))?;
                    let (name, text) = (attribute.key.as_ref(), attribute.value.as_ref());
                    // Adobe's samples write bare ampersands in href: what does not unescape stays as it is.
                    let value =
                        quick_xml::escape::unescape(text).map_or(text.to_owned(), |text| text.into_owned());
                    fields.insert(name_of(name), value);
                }
                match tag.local_name().as_ref() {
                    "record" => {
                        let number = report.records.len() as u64 + 1;
                        let text = tag_text(&tag);
                        report.records.push(Record { number, fields, text });
                    }
                    "resource" => {
                        limit = fields.get("href").and_then(|href| limit_of(href));
                        is_ended = is_empty_tag;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn tag_text(tag: &quick_xml::events::BytesStart<'_>) -> String {
    format!("<{}/>", &**tag)
}

fn read_csv(document: &[u8]) -> Result<Report, (u64, String)> {
    let mut report = Report::default();
    let mut names: Option<Vec<String>> = None;
    let mut splitter = CsvSplitter::new();
    // A row cannot be longer than the document.
    let (mut rest, mut text, mut ends) = (document, vec![0; document.len() + 1], vec![0; COLUMNS_MAX + 1]);
    let (mut line, mut written, mut count) = (1, 0, 0);
    loop {
        let (result, read, more, fields) =
            splitter.read_record(rest, &mut text[written..], &mut ends[count..]);
        (rest, written, count) = (&rest[read..], written + more, count + fields);
        match result {
            ReadRecordResult::End => return Ok(report),
            // Asked again with nothing left, it gives the last row, or the end.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                return Err((line, format!("a row has more than {COLUMNS_MAX} columns")));
            }
            ReadRecordResult::Record => {
                take_row(&mut report, &mut names, line, &text[..written], &ends[..count])?;
                (line, written, count) = (splitter.line(), 0, 0);
            }
        }
    }
}

fn take_row(
    report: &mut Report,
    names: &mut Option<Vec<String>>,
    line: u64,
    text: &[u8],
    ends: &[usize],
) -> Result<(), (u64, String)> {
    let mut start = 0;
    let mut cells = Vec::with_capacity(ends.len());
    for end in ends {
        let cell = std::str::from_utf8(&text[start..*end]).map_err(|error| (line, error.to_string()))?;
        cells.push(cell.trim().to_owned());
        start = *end;
    }
    let Some(names) = names else {
        *names = Some(cells.iter().map(|cell| name_of(cell)).collect());
        return Ok(());
    };
    if cells.len() != names.len() {
        return Err((line, format!("a row has {} cells, the header {}", cells.len(), names.len())));
    }
    let text = cells.join(",");
    let fields = names.iter().cloned().zip(cells).collect();
    report.records.push(Record { number: report.records.len() as u64 + 1, fields, text });
    Ok(())
}

/// A name as the documentation spells it, whatever a header makes of it.
fn name_of(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

/// The `limit` of a report's own link.
fn limit_of(href: &str) -> Option<u64> {
    let query = href.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix("limit="))?.parse().ok()
}
