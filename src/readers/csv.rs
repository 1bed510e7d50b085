//! CSV: a header row of property names in any order, then one event per row, as RFC 4180 and spreadsheets write it.
//!
//! Every cell is text; an empty cell means an absent key. Unknown columns count once per row, like unknown keys. Rows
//! end in LF or CR LF, and quoted cells may contain line ends. A line `sep=,` and rows without a value, which
//! spreadsheets write, are skipped. In several files joined to one, each header applies to the rows after it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use super::cause::cause;
use super::line::{
    COLUMNS_MAX, Excerpt, HeaderError, Line, ReadError, ReadResult, Reader, RejectReason, SourceSummary,
};
use super::map::Map;
use super::memory::Recollection;
use super::parts;
use super::records::{Records, beyond_a_line};
use super::remarks::Remarks;
use super::rest_v2::is_like_exchange;
use super::unknown::UnknownKeys;
use crate::event::{Draft, EventKind, Instant, PassEvent, RawValue, TimeBounds, key_named};
use crate::harmless::clip;

/// The columns that every header must have, because every event needs them.
const REQUIRED: [&str; 3] = ["occurred_at", "event", "requestor_id"];

/// Reads events from CSV.
pub struct CsvReader<R> {
    records: Records<R>,
    header: String,
    columns: Vec<String>,
    remarks: Remarks,
    map: Option<Arc<Map>>,
}

impl<R: BufRead> CsvReader<R> {
    /// A reader at the start of a source. It reads the header.
    pub fn new(source: R, map: Option<Arc<Map>>) -> Result<CsvReader<R>, ReadError> {
        let mut records = Records::new(source);
        records.advance()?;
        if records.is_separator_line() {
            records.advance()?;
        }
        let separator = separator_of(&records.raw.bytes, map.as_deref());
        records.separate_by(separator)?;
        let columns = records.header(map.as_deref()).map_err(ReadError::Header)?;
        let header = String::from_utf8_lossy(&records.raw.bytes).into_owned();
        Ok(CsvReader { records, header, columns, remarks: Remarks::default(), map })
    }
}

impl<R: BufRead> Reader for CsvReader<R> {
    fn next_line(&mut self, bounds: TimeBounds, _memory: &mut Recollection) -> ReadResult<Option<Line<'_>>> {
        loop {
            if !self.records.advance()? {
                return Ok(None);
            }
            if self.records.is_header_again(&self.columns, self.map.as_deref()) {
                self.take_header()?;
            } else if !self.records.is_blank() && !self.records.is_separator_line() {
                break;
            }
        }
        let result =
            self.records.event(&self.columns, self.map.as_deref(), bounds, &mut self.remarks.unknown);
        let header = Some(Cow::Borrowed(&self.header[..]));
        if result.is_ok() && self.records.may_be_cut() {
            self.remarks.without_end.note(self.records.start_line);
        }
        let raw = &self.records.raw;
        let map = self.map.as_ref().map(|map| map.name());
        let excerpt = Excerpt { header, map, ..Excerpt::part(&raw.bytes, raw.whole_bytes) };
        Ok(Some(parts::line(&mut self.remarks, self.records.start_line, excerpt, result)))
    }

    fn summary(&self) -> SourceSummary {
        (&self.remarks).into()
    }
}

impl<R: BufRead> CsvReader<R> {
    /// Makes the current row the header of the rows after it.
    fn take_header(&mut self) -> Result<(), ReadError> {
        let line = self.records.start_line;
        let columns = self.records.header(self.map.as_deref());
        let columns = columns.map_err(|header| ReadError::OtherHeader { line, header })?;
        let is_same = columns.len() == self.columns.len()
            && columns.iter().zip(&self.columns).all(|(one, other)| one.eq_ignore_ascii_case(other));
        let seen = if is_same { &mut self.remarks.same_headers } else { &mut self.remarks.other_headers };
        seen.note(line);
        self.header = String::from_utf8_lossy(&self.records.raw.bytes).into_owned();
        self.columns = columns;
        Ok(())
    }
}

/// Parses a row of a rejects file by the header that the file keeps with it.
pub(super) fn parse_row(
    header: &str,
    row: &str,
    map: Option<&Map>,
    bounds: TimeBounds,
    unknown: &mut UnknownKeys,
) -> Result<PassEvent, RejectReason> {
    let in_memory = "a source in memory never breaks off";
    let mut records = Records::new(header.as_bytes());
    records.advance().expect(in_memory);
    let separator = separator_of(header.as_bytes(), map);
    records.separate_by(separator).expect(in_memory);
    let columns = records.header(map).map_err(RejectReason::Header)?;
    // A kept row has no line end. It gets one here, because a row without a line end may count as cut off.
    let row = format!("{row}\n");
    let mut records = Records::new(row.as_bytes());
    records.separate_by(separator).expect(in_memory);
    if !records.advance().expect(in_memory) {
        return Err(RejectReason::Empty);
    }
    let result = records.event(&columns, map, bounds, unknown);
    // A line break outside quotes makes two rows. Both become one reject, so that the second is not lost.
    if records.advance().expect(in_memory) {
        return Err(RejectReason::FieldCount {
            found: columns.len() + records.found,
            expected: columns.len(),
        });
    }
    result
}

impl<R: BufRead> Records<R> {
    /// Whether the current record is the `sep=` line of a spreadsheet.
    pub(super) fn is_separator_line(&self) -> bool {
        let raw = self.raw.bytes.trim_ascii_start();
        let is_mark = raw.get(..4).is_some_and(|mark| mark.eq_ignore_ascii_case(b"sep="));
        is_mark && (raw.len() == 5 || raw.trim_ascii_end().len() == 5)
    }

    /// Whether the current record is a header, perhaps joined to the last cell of a row. A header has no time and two
    /// different names of columns or keys; or it has two required names or, with a map, all columns that the map needs.
    fn is_header_again(&self, columns: &[String], map: Option<&Map>) -> bool {
        let raw;
        let cells = match self.cells() {
            Ok(cells) => cells,
            Err(RejectReason::BehindQuote(_) | RejectReason::BeforeQuote(_)) => {
                raw = String::from_utf8_lossy(&self.raw.bytes);
                raw.split(char::from(self.separator)).map(|cell| cell.trim_matches('"')).collect()
            }
            Err(_) => return false,
        };
        let time = time_column(columns, map).and_then(|column| cells.get(column));
        if !time.is_some_and(|cell| cell.trim().starts_with(|it: char| it.is_ascii_digit())) {
            let is_name = |cell: &&str| {
                let cell = cell.trim();
                let is_column = || columns.iter().any(|column| column.eq_ignore_ascii_case(cell));
                !cell.is_empty() && (key_named(cell).is_some() || is_column())
            };
            let mut names = cells.iter().copied().filter(is_name);
            if names.next().is_some_and(|first| names.any(|name| !name.eq_ignore_ascii_case(first))) {
                return true;
            }
        }
        if let Some(map) = map {
            return map.missing(&cells, &REQUIRED).is_none();
        }
        let has = |name: &str| cells.iter().any(|cell| cell.trim().eq_ignore_ascii_case(name));
        REQUIRED.into_iter().filter(|name| has(name)).count() > 1
    }

    fn header(&self, map: Option<&Map>) -> Result<Vec<String>, HeaderError> {
        if let Some(cause) = cause(&self.raw.bytes) {
            return Err(HeaderError::Recognised(cause));
        }
        let cells = self.cells().map_err(|reason| HeaderError::Row(Box::new(reason)))?;
        if self.found > COLUMNS_MAX {
            return Err(HeaderError::TooManyColumns);
        }
        if is_like_exchange(&self.raw.bytes) {
            let found = "(what looks like an exchange: say --format rest-v2)".to_owned();
            return Err(HeaderError::Missing { missing: REQUIRED[0], found });
        }
        let is_value = |cell: &&str| EventKind::from_name(cell).is_some() || Instant::of_source(cell).is_ok();
        let value = || cells.iter().find(|cell| map.is_none() && is_value(cell)).copied();
        if let Some(found) = beyond_a_line(&cells).or_else(value) {
            return Err(HeaderError::HasRows(clip(found)));
        }
        let bare = |cell: &str| cell.trim().trim_start_matches('\u{feff}').to_owned();
        let names: Vec<String> = cells.into_iter().map(bare).collect();
        let mut met = HashMap::new();
        for (column, name) in (1..).zip(&names).filter(|(_, name)| !name.is_empty()) {
            let key = key_named(name).filter(|_| map.is_none()).unwrap_or(name);
            if let Some(first) = met.insert(key, column) {
                return Err(HeaderError::Twice { name: name.clone(), first, second: column });
            }
        }
        let found = || start_of(&self.raw.bytes);
        if let Some(map) = map {
            let names_of_map: Vec<&str> = names.iter().map(String::as_str).collect();
            let missing = map.missing(&names_of_map, &REQUIRED);
            return missing.map_or(Ok(names), |(column, property)| {
                Err(HeaderError::Unmapped { column, property, found: found() })
            });
        }
        match REQUIRED.into_iter().find(|name| !met.contains_key(name)) {
            Some(missing) => Err(HeaderError::Missing { missing, found: found() }),
            None => Ok(names),
        }
    }

    fn event(
        &self,
        columns: &[String],
        map: Option<&Map>,
        bounds: TimeBounds,
        unknown: &mut UnknownKeys,
    ) -> Result<PassEvent, RejectReason> {
        let cells = self.cells()?;
        self.refuse_rows_inside(columns.len(), time_column(columns, map), |cell| {
            map.is_some_and(|map| map.is_time(cell))
        })?;
        if self.found < columns.len() && self.may_be_cut() {
            return Err(RejectReason::CutOff { found: self.found, expected: columns.len() });
        }
        if self.found != columns.len() {
            return Err(RejectReason::FieldCount { found: self.found, expected: columns.len() });
        }
        let mut draft = Draft::default();
        if let Some(map) = map {
            for (column, cell) in columns.iter().zip(cells) {
                map.take((&mut draft, unknown), column, RawValue::Text(Cow::Borrowed(cell)), "")?;
            }
            map.complete(&mut draft, unknown)?;
            return Ok(draft.finish(bounds)?);
        }
        for (column, cell) in columns.iter().zip(cells) {
            let value = RawValue::Text(Cow::Borrowed(cell));
            if !draft.set(column, value.clone())? {
                unknown.take(column, &value, "")?;
            }
        }
        Ok(draft.finish(bounds)?)
    }
}

/// Which column has the times.
fn time_column(columns: &[String], map: Option<&Map>) -> Option<usize> {
    let is_key = |column: &String| match map {
        None => key_named(column) == Some(REQUIRED[0]),
        Some(map) => map.takes(REQUIRED[0], column),
    };
    columns.iter().position(is_key)
}

/// The separator of a header: the one of the map or, if the map has none, the one that gives the most known names.
fn separator_of(header: &[u8], map: Option<&Map>) -> u8 {
    if let Some(separator) = map.and_then(Map::separator) {
        return separator;
    }
    let header = String::from_utf8_lossy(header);
    let known = |separator: &u8| {
        let names =
            header.split(char::from(*separator)).map(|cell| cell.trim_matches(['"', ' ', '\u{feff}', '\r']));
        names.filter(|name| map.map_or(key_named(name).is_some(), |map| map.knows(name))).count()
    };
    [b'|', b';', b'\t', b','].into_iter().max_by_key(known).unwrap_or(b',')
}

/// The first characters of a header, for a message.
fn start_of(raw: &[u8]) -> String {
    const CHARS_MAX: usize = 60;
    String::from_utf8_lossy(raw).chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::super::line::{EXCERPT_BYTES_MAX, LINE_BYTES_MAX};
    use super::*;
    use crate::event::{Instant, Property};

    const HEADER: &str = "requestor_id,event,occurred_at,mvpd";

    fn bounds() -> TimeBounds {
        let now = Instant::from_nanos(1_795_000_000_000_000_000);
        TimeBounds { latest: now, now }
    }

    /// Reads a source in chunks of several sizes and checks that the results are equal: for each line its number, and
    /// its `mvpd` or the reason of the reject.
    fn read(source: &str) -> Vec<(u64, String)> {
        let mut last = None;
        for capacity in [1, 3, 4096] {
            let mut reader = CsvReader::new(BufReader::with_capacity(capacity, source.as_bytes()), None)
                .expect("a header");
            let mut found = Vec::new();
            while let Some(line) = reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory") {
                let text = match line.result {
                    Ok(event) => event.property(Property::Mvpd).unwrap_or("-").to_owned(),
                    Err(reason) => reason.to_string(),
                };
                found.push((line.number, text));
            }
            assert!(last.is_none_or(|last| last == found), "chunks of {capacity}");
            last = Some(found);
        }
        last.expect("three readings")
    }

    fn rows(rows: &str) -> Vec<(u64, String)> {
        read(&format!("{HEADER}\n{rows}"))
    }

    #[test]
    fn rows_are_read_with_the_line_that_they_start_in() {
        let row = "REF30,authn_ok,2026-11-10T08:00:00Z";
        for (text, expected) in [
            (format!("{row},a\n{row},b"), vec![(2, "a"), (3, "b")]),
            (format!("{row},a\r\n\r\n{row},b\r\n"), vec![(2, "a"), (4, "b")]),
            (format!("{row},\"a\nb\"\n{row},\"c\"\"d\"\n"), vec![(2, "a\nb"), (4, "c\"d")]),
            (format!("{row},\n"), vec![(2, "-")]),
            ("REF30,authn_ok,1790000000.5,n".to_owned(), vec![(2, "n")]),
            (
                format!("{row},u\0\0"),
                vec![(
                    2,
                    "ends with 2 zero bytes; take them off, and see that nothing is cut off before them",
                )],
            ),
            (
                format!("{row},u\0\n{row},\"v\"\0\n{row},\0w\n{row},x\n\0\0"),
                vec![
                    (2, "ends with 1 zero bytes; take them off, and see that nothing is cut off before them"),
                    (3, "ends with 1 zero bytes; take them off, and see that nothing is cut off before them"),
                    (4, "has a zero byte at byte 37; a part may be lost there"),
                    (5, "x"),
                ],
            ),
            (
                format!("{row},u\x1a"),
                vec![(2, "ends with DOS's mark of the end of a file (byte 0x1A); take it off")],
            ),
            (
                format!("{row},u\r\n\x1a"),
                vec![(2, "u"), (3, "ends with DOS's mark of the end of a file (byte 0x1A); take it off")],
            ),
            (
                format!("{row}\n{row},a,b\n{row},c"),
                vec![(2, "has 3 fields; the header has 4"), (3, "has 5 fields; the header has 4"), (4, "c")],
            ),
            (
                format!("{row},a\n{row},\"b\n{row},c\n"),
                vec![
                    (2, "a"),
                    (
                        3,
                        "opens a quote that is never closed; everything behind it is in this row, or the source breaks off here",
                    ),
                ],
            ),
            (String::new(), vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
            assert_eq!(rows(&text), expected, "{text}");
        }
    }

    #[test]
    fn columns_come_in_any_order_and_unknown_ones_are_counted_by_row() {
        let source = "\u{feff}zone, mvpd ,event,\"occurred_at\",requestor_id,count,\r\n\
                      z,Cablevision,authn_ok,1790000000000,REF30,3,\r\n\
                      z,,authn_ok,1790000000000,REF30,,\r\n";
        let mut reader = CsvReader::new(source.as_bytes(), None).expect("a header");
        let event = reader
            .next_line(bounds(), &mut Recollection::new(None))
            .expect("memory")
            .expect("a row")
            .result
            .expect("an event");
        assert_eq!((event.count(), event.property(Property::Mvpd)), (3, Some("Cablevision")));
        let line = reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory").expect("a row");
        assert_eq!(line.result.expect("an event").count(), 1);
        assert_eq!(
            line.excerpt.header.as_deref(),
            Some("zone, mvpd ,event,\"occurred_at\",requestor_id,count,")
        );
        assert_eq!(line.excerpt.bytes.as_ref(), b"z,,authn_ok,1790000000000,REF30,,");
        assert_eq!(reader.summary().remarks.unknown.to_string(), "\"\" (2 times), \"zone\" (2 times)");
    }

    #[test]
    fn the_separator_is_the_one_that_gives_known_columns() {
        for separator in ["|", ";", "\t", ","] {
            for start in ["", "\u{feff}", "sep=?\r\n"] {
                let text = format!(
                    "{start}{HEADER}\r\nREF30,authn_ok,1790000000,\"a?b\"\r\nREF30,authn_ok,1790000000,c\r\n"
                );
                let text = text.replace([',', '?'], separator);
                let lines: Vec<String> = read(&text).into_iter().map(|(_, mvpd)| mvpd).collect();
                assert_eq!(lines, [format!("a{separator}b"), "c".to_owned()], "{text}");
            }
        }
    }

    #[test]
    fn a_header_that_cannot_be_used_says_why() {
        for (source, expected) in [
            (
                "",
                "\"\" has no column \"occurred_at\"; it must name the properties, separated by commas, semicolons, tabs or bars; for other names say --map",
            ),
            ("occurred_at,event,requestor_id,event\n", "names \"event\" twice: columns 2 and 4 are the same"),
            (
                "mvpd,event,requestor_id,occurred_at,MVPD\n",
                "names \"MVPD\" twice: columns 1 and 5 are the same",
            ),
            (
                "sep=;\noccurred_at;event\n",
                "\"occurred_at;event\" has no column \"requestor_id\"; it must name the properties, separated by commas, semicolons, tabs or bars; for other names say --map",
            ),
            (
                "occurred_at,\"event\n",
                "opens a quote that is never closed; everything behind it is in this row, or the source breaks off here",
            ),
            (
                "occurred_at,event,requestor_id\0\n",
                "ends with 1 zero bytes; take them off, and see that nothing is cut off before them",
            ),
            (
                "occurred_at,\"event\"x,requestor_id\n",
                "has text behind the closing quote of field 2: a quote inside quotes is written twice, not once and not behind a backslash",
            ),
            (
                "o\0c\0c\0u\0r\0r\0e\0d\0_\0a\0t\0\n",
                "is UTF-16; save it as UTF-8, as iconv -f UTF-16 -t UTF-8 FILE does",
            ),
        ] {
            let error = CsvReader::new(source.as_bytes(), None).err().expect(source);
            assert_eq!(error.to_string(), format!("cannot be read: its header {expected}"), "{source}");
        }
        let wide = format!("{HEADER}{}", ",a".repeat(COLUMNS_MAX));
        assert!(matches!(
            CsvReader::new(wide.as_bytes(), None),
            Err(ReadError::Header(HeaderError::TooManyColumns | HeaderError::Twice { .. }))
        ));
    }

    #[test]
    fn what_spreadsheets_write_beside_events_is_passed_over() {
        let row = "REF30,authn_ok,2026-11-10T08:00:00Z,a";
        let rows = format!("{row}\r\n,,,\r\n,,\n\"\", ,\n\0\0\0{row}\n");
        let capitals = HEADER.to_uppercase();
        for start in ["", "sep=,\r\n", "\u{feff}SEP=,\n", "\0\0\0\0"] {
            let first = 2 + u64::from(start.contains('\n'));
            let found = read(&format!("{start}{capitals}\r\n{rows}"));
            let expected = [(first, "a".to_owned()), (first + 4, "a".to_owned())];
            assert_eq!(found, expected, "{start:?}");
        }
    }

    #[test]
    fn a_second_header_is_passed_over_or_holds_from_there_on() {
        let row = "REF30,authn_ok,2026-11-10T08:00:00Z,a";
        let other = "\"\u{feff}MVPD\",event,requestor_id,occurred_at\nb,authn_ok,REF30,2026-11-10T08:00:00Z";
        let fewer = "event,requestor_id,occurred_at\r\nauthn_ok,REF30,2026-11-10T08:00:00Z\r\n";
        let first = format!("{HEADER}\r\n{row}\r\n");
        let source =
            format!("{first}\u{feff}{first}{}\nsep=,\n\u{feff}{other}\n{fewer}", first.to_uppercase());
        let mut reader = CsvReader::new(source.as_bytes(), None).expect("a header");
        let mut found = Vec::new();
        while let Some(line) = reader.next_line(bounds(), &mut Recollection::new(None)).expect("headers") {
            let mvpd = line.result.map(|event| event.property(Property::Mvpd).map(str::to_owned));
            found.push((line.number, mvpd.map_err(|reason| reason.to_string())));
        }
        let upper = "event \"AUTHN_OK\" is unknown; the nearest is \"authn_ok\"".to_owned();
        let event = |mvpd: &str| Ok(Some(mvpd.to_owned()));
        let expected = [(2, event("a")), (4, event("a")), (6, Err(upper)), (10, event("b")), (12, Ok(None))];
        assert_eq!(found, expected);
        let notes = reader.summary().remarks.notes();
        assert_eq!(
            notes,
            [
                (3, "2 header rows repeat the one before, and were passed over".to_owned()),
                (
                    9,
                    "2 header rows name other columns, or in another order, and hold from there on"
                        .to_owned()
                )
            ]
        );
        let twice = format!("{first}occurred_at,event,requestor_id,event\n{row}\n");
        let mut reader = CsvReader::new(twice.as_bytes(), None).expect("a header");
        let mut next = || reader.next_line(bounds(), &mut Recollection::new(None)).map(|line| line.is_some());
        assert!(next().expect("a row"));
        assert_eq!(
            next().expect_err("nobody knows the columns").to_string(),
            "cannot be read from line 3 on: the header there names \"event\" twice: columns 2 and 4 are the same"
        );
    }

    #[test]
    fn halves_of_a_character_in_two_cells_are_not_utf8() {
        let mut source = HEADER.as_bytes().to_vec();
        source.extend(b"\nREF30,authn_ok,\xC3,\xA9\nREF30,authn_ok,\xFF,a\n");
        let mut reader = CsvReader::new(source.as_slice(), None).expect("a header");
        for _ in 0..2 {
            let line =
                reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory").expect("a row");
            assert!(matches!(line.result, Err(RejectReason::NotUtf8(_))), "{:?}", line.result);
        }
    }

    #[test]
    fn a_row_above_the_limit_is_rejected_and_the_next_one_is_read() {
        let head = format!("{HEADER}\nREF30,authn_ok,2026-11-10T08:00:00Z,\"");
        for filler in ["x", ",", "\"\"", "\n"] {
            let length = LINE_BYTES_MAX as u64 + 10;
            let filler_bytes = filler.repeat(length as usize / filler.len());
            let tail = "\"\nREF30,authn_ok,2026-11-10T08:00:00Z,next\n";
            let source = head.as_bytes().chain(filler_bytes.as_bytes()).chain(tail.as_bytes());
            let mut reader = CsvReader::new(source, None).expect("a header");
            let line =
                reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory").expect("a row");
            assert!(matches!(line.result, Err(RejectReason::TooLong(_))), "{filler:?}: {:?}", line.result);
            assert_eq!(line.excerpt.bytes.len(), EXCERPT_BYTES_MAX);
            let line =
                reader.next_line(bounds(), &mut Recollection::new(None)).expect("memory").expect("a row");
            assert_eq!(line.result.expect("an event").property(Property::Mvpd), Some("next"));
            assert!(reader.records.cells.capacity() <= 4 * LINE_BYTES_MAX);
        }
    }
}
