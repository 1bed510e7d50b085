//! Reads the file that Admin > Report Suites > Download writes: a column for each report suite, a row for each setting.
//!
//! ```text
//!                        examplersid      otherrsid          the first cell is empty
//! Timestamps             Optional         Not allowed
//! event1: Name           AuthN requested  ...
//! eVar1: Expiration      Hit              ...
//! ```
//!
//! Adobe publishes the shape of the file but not its rows. So a row is understood by its label, in any wording of the
//! admin pages; [`SettingsFile`] says which rows were not understood. A setting without a row stays unknown.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::reading::plain;
use crate::harmless::few;
use crate::suite::Rsid;
use crate::word::words;

/// The largest file that is read, in bytes. Hundreds of suites with all their settings are far smaller.
pub const BYTES_MAX: u64 = 64 << 20;
/// The most columns that are read: more than any company has report suites. Further cells of a row are not split.
const COLUMNS_MAX: usize = 20_000;
const COLUMNS_NAMED_MAX: usize = 8;

words! {
    /// Which setting of a suite, an event or an eVar a row shows.
    #[derive(PartialOrd, Ord)]
    pub enum Field {
        SuiteId = "suite_id",
        Name = "name",
        /// For a virtual report suite: the suite that it is a view of.
        Parent = "parent",
        TimeZone = "time_zone",
        Timestamps = "timestamps",
        MultiByte = "multi_byte",
        /// For an event: counter, numeric, currency or disabled. For an eVar: text or counter.
        Kind = "kind",
        Recording = "recording",
        Allocation = "allocation",
        Expiration = "expiration",
        /// Whether the event or eVar is enabled, or which subrelations it has.
        Status = "status",
        Merchandising = "merchandising",
    }
}

/// The labels of rows about a suite, in the wordings of the admin pages, as [`plain`] writes them.
const SUITE_LABELS: [(Field, &str); 6] = [
    (Field::SuiteId, "report suite id, rsid, report suite"),
    (Field::Name, "site title, report suite name, report suite title, name, title"),
    (Field::Parent, "parent report suite, parent, parent rsid, virtual report suite parent"),
    (Field::TimeZone, "time zone, timezone"),
    (
        Field::Timestamps,
        "timestamps, timestamp, timestamps optional, timestamp configuration, timestamp setting, timestamp support, timestamped",
    ),
    (
        Field::MultiByte,
        "multi byte, multibyte, multi byte character support, multi byte support, multibyte character support, multi byte characters",
    ),
];

/// What a label says in addition to the number of its event or eVar. A label with only the number means the name.
const VARIABLE_LABELS: [(Field, &str); 7] = [
    (Field::Name, ", name, label, title"),
    (Field::Kind, "type, data type, event type, variable type"),
    (Field::Recording, "unique event recording, recording, event serialization, serialization"),
    (Field::Status, "status, enabled, state, active"),
    (Field::Allocation, "allocation, allocation type"),
    (Field::Expiration, "expiration, expire after, expires after, expiration type, expires, expire"),
    (Field::Merchandising, "merchandising, enable merchandising, merchandising enabled"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Suite,
    Event(u16),
    Evar(u16),
}

/// The settings of one suite in a settings file, in the words of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettingsFile {
    /// The heading of the suite's column.
    pub column: String,
    pub suite: Rows,
    pub events: BTreeMap<u16, Rows>,
    pub evars: BTreeMap<u16, Rows>,
    pub understood_rows: usize,
    /// The labels of rows that a check does not use.
    pub other_rows: Vec<String>,
}

/// The texts of the rows about a suite, an event or an eVar.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Rows(BTreeMap<Field, String>);

impl Rows {
    pub fn get(&self, field: Field) -> Option<&str> {
        self.0.get(&field).map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rows, D::Error> {
        // Earlier releases stored null for a field that no row has.
        let kept: BTreeMap<Field, Option<String>> = BTreeMap::deserialize(deserializer)?;
        Ok(Rows(kept.into_iter().filter_map(|(field, text)| Some((field, text?))).collect()))
    }
}

/// Why a file gives no settings for the suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFileError {
    #[error("it has no row of report suites: the first line must be an empty cell, a tab, and report suites")]
    NoHeader,
    #[error("it has no column for report suite {rsid}; it has {columns}")]
    NoColumn { rsid: Rsid, columns: String },
    #[error("none of its {rows} rows is a setting that is known, such as \"Timestamps\" or \"event1: Name\"")]
    NoRow { rows: usize },
    #[error("its rows {first:?} and {second:?} say different things of one setting")]
    Contradiction { first: String, second: String },
}

/// Reads the settings of a suite. `names` are other headings of its column, such as the suite's name in Analytics.
pub fn parse(bytes: &[u8], rsid: &Rsid, names: &[&str]) -> Result<SettingsFile, SettingsFileError> {
    let text = decode(bytes);
    let rows: Vec<Vec<String>> = text.lines().filter(|line| !line.trim().is_empty()).map(cells).collect();
    let (header, rows) = rows.split_first().ok_or(SettingsFileError::NoHeader)?;
    if header.len() < 2 {
        return Err(SettingsFileError::NoHeader);
    }
    let column = find_column(header, rows, rsid, names).ok_or_else(|| SettingsFileError::NoColumn {
        rsid: rsid.clone(),
        columns: few(header[1..].iter().map(|name| format!("{name:?}")), COLUMNS_NAMED_MAX).join(", "),
    })?;
    let mut file = SettingsFile { column: header[column].clone(), ..SettingsFile::default() };
    let mut read: BTreeMap<(Subject, Field), (&str, &str)> = BTreeMap::new();
    for row in rows {
        let label = row[0].as_str();
        let Some(setting) = setting_of(label) else {
            file.other_rows.push(label.to_owned());
            continue;
        };
        file.understood_rows += 1;
        let value = row.get(column).map_or("", |cell| cell.trim());
        if value.is_empty() || setting.1 == Field::SuiteId {
            continue;
        }
        if let Some((first, other)) = read.insert(setting, (label, value))
            && plain(other) != plain(value)
        {
            let (first, second) = (first.to_owned(), label.to_owned());
            return Err(SettingsFileError::Contradiction { first, second });
        }
    }
    if file.understood_rows == 0 {
        return Err(SettingsFileError::NoRow { rows: rows.len() });
    }
    for ((subject, field), (_, value)) in read {
        let rows = match subject {
            Subject::Suite => &mut file.suite,
            Subject::Event(number) => file.events.entry(number).or_default(),
            Subject::Evar(number) => file.evars.entry(number).or_default(),
        };
        rows.0.insert(field, value.to_owned());
    }
    Ok(file)
}

/// Decodes UTF-8 or UTF-16, with or without a byte order mark; otherwise each byte is a character of ISO 8859-1.
fn decode(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // UTF-16 without a byte order mark: the file begins with ASCII, so every second byte is zero.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, first, ..] if *first != 0 => utf16(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
            }
        }
    }
}

/// The cells of a line, at least one.
fn cells(line: &str) -> Vec<String> {
    let unquoted = |cell: &str| {
        let cell = cell.trim();
        match cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None => cell.to_owned(),
        }
    };
    line.splitn(COLUMNS_MAX, '\t').map(unquoted).collect()
}

/// Finds the column of a suite by its ID, in the heading or in the row of IDs, or else by one of its names.
fn find_column(header: &[String], rows: &[Vec<String>], rsid: &Rsid, names: &[&str]) -> Option<usize> {
    let is_rsid = |cell: &str| cell.trim().eq_ignore_ascii_case(rsid.as_str());
    let holds_rsid =
        |cell: &str| cell.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').any(is_rsid);
    let is_named = |cell: &str| names.iter().any(|name| plain(name) == plain(cell));
    let find = |row: &[String], is_meant: &dyn Fn(&str) -> bool| {
        row.iter().skip(1).position(|cell| is_meant(cell)).map(|at| at + 1)
    };
    let ids = rows.iter().find(|row| setting_of(&row[0]) == Some((Subject::Suite, Field::SuiteId)));
    find(header, &is_rsid)
        .or_else(|| find(ids?, &is_rsid))
        .or_else(|| find(header, &holds_rsid))
        .or_else(|| find(header, &is_named))
}

/// The setting that a label names, in the wordings of the admin pages.
fn setting_of(label: &str) -> Option<(Subject, Field)> {
    // "Custom Conversion 3 (eVar3): Name": the number may stand in parentheses, so the text in them is kept.
    let text = plain(&label.replace(['(', ')', '[', ']'], " "));
    if let Some(field) = field_of(&SUITE_LABELS, &text) {
        return Some((Subject::Suite, field));
    }
    let evar = numbered(&text, "evar", &["conversion variable", "custom conversion", "evar"])
        .and_then(|(number, rest)| Some((Subject::Evar(number), field_of(&VARIABLE_LABELS, &rest)?)));
    evar.or_else(|| {
        numbered(&text, "event", &["success event", "custom event", "event"])
            .and_then(|(number, rest)| Some((Subject::Event(number), field_of(&VARIABLE_LABELS, &rest)?)))
    })
}

fn field_of(labels: &[(Field, &str)], text: &str) -> Option<Field> {
    labels.iter().find(|(_, texts)| texts.split(", ").any(|one| one == text)).map(|(field, _)| *field)
}

/// The number after a word such as `evar`, and the rest of the label; `None` if the label is about something else.
fn numbered(text: &str, word: &str, prefixes: &[&str]) -> Option<(u16, String)> {
    let words: Vec<&str> = text.split(' ').collect();
    let at = words.iter().position(|one| *one == word || digits_after(one, word).is_some())?;
    let (number, used) = match digits_after(words[at], word) {
        Some(number) => (number, 1),
        None => (words.get(at + 1)?.parse().ok()?, 2),
    };
    // The text before the word may only be another name of the same variable, with or without its number.
    let before: Vec<&str> =
        words[..at].iter().copied().filter(|word| word.parse::<u16>().ok() != Some(number)).collect();
    let before = before.join(" ");
    let is_alias = before.is_empty() || prefixes.iter().any(|prefix| prefix.starts_with(before.as_str()));
    // "Success Event 2 (event2): Name" has its number twice.
    let rest = words[at + used..].iter().filter(|one| digits_after(one, word) != Some(number));
    is_alias.then(|| (number, rest.copied().collect::<Vec<_>>().join(" ")))
}

fn digits_after(text: &str, word: &str) -> Option<u16> {
    text.strip_prefix(word).and_then(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsid() -> Rsid {
        "examplersid".parse().expect("a report suite")
    }

    const FILE: &str = "\tother\tExample Sports (examplersid)\nTimestamps\tNot allowed\tTimestamps optional\n\
                        Multi-byte\tNo\tYes\nevent1: Type\tCurrency\tCounter\nSuccess Event 2 (event2) Name\tx\tAuthN pending\n\
                        eVar1: Name\tx\t\"Channel \"\"one\"\"\"\neVar 34 - Expire After\tVisit\tHit\nBase Currency\tUSD\tEUR\n";

    #[test]
    fn a_column_is_read_by_the_labels_of_its_rows() {
        let file = parse(FILE.as_bytes(), &rsid(), &[]).expect("a settings file");
        assert_eq!(file.suite.get(Field::Timestamps), Some("Timestamps optional"));
        assert_eq!(file.suite.get(Field::MultiByte), Some("Yes"));
        assert_eq!(file.events[&1].get(Field::Kind), Some("Counter"));
        assert_eq!(file.events[&2].get(Field::Name), Some("AuthN pending"));
        assert_eq!(file.evars[&1].get(Field::Name), Some("Channel \"one\""));
        assert_eq!(file.evars[&34].get(Field::Expiration), Some("Hit"));
        assert_eq!((file.understood_rows, file.other_rows), (6, vec!["Base Currency".to_owned()]));
    }

    #[test]
    fn every_encoding_of_the_file_is_read_alike() {
        let expected = parse(FILE.as_bytes(), &rsid(), &[]).expect("a settings file");
        let units: Vec<u16> = FILE.encode_utf16().collect();
        let (little, big): (Vec<u8>, Vec<u8>) = (
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        );
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            marked(b"\xEF\xBB\xBF", FILE.as_bytes()),
            marked(b"\xFF\xFE", &little),
            marked(b"\xFE\xFF", &big),
            little.clone(),
            big.clone(),
            FILE.replace('\n', "\r\n").into_bytes(),
        ] {
            assert_eq!(parse(&bytes, &rsid(), &[]), Ok(expected.clone()));
        }
    }

    #[test]
    fn a_column_is_found_by_heading_by_row_or_by_name() {
        for file in [
            "\tEXAMPLERSID\nTimestamps\tOptional\n",
            "\tA\tB\nReport Suite ID\tother\texamplersid\nTimestamps\tx\tOptional\n",
            "\tExample  sports\nTimestamps\tOptional\n",
        ] {
            let found = parse(file.as_bytes(), &rsid(), &["Example Sports"]).expect(file);
            assert_eq!(found.suite.get(Field::Timestamps), Some("Optional"), "{file}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_is_refused_with_the_reason() {
        for (file, why) in [
            ("", "no row of report suites"),
            ("Timestamps\n", "no row of report suites"),
            ("\tother\tmore\nTimestamps\tOptional\tOptional\n", "it has \"other\", \"more\""),
            ("\texamplersid\nBase Currency\tUSD\n", "none of its 1 rows"),
            (
                "\texamplersid\nTimestamps\tOptional\nTimestamps Optional\tRequired\n",
                "\"Timestamps\" and \"Timestamps Optional\"",
            ),
        ] {
            let error = parse(file.as_bytes(), &rsid(), &[]).expect_err(file);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn labels_of_other_things_are_not_taken_for_settings() {
        for label in ["Event 1 hour budget", "event0x: Name", "eVar: Name", "prop1: Name", "Notes on event1"]
        {
            assert_eq!(setting_of(label), None, "{label}");
        }
        assert_eq!(
            setting_of("Custom Conversion 3 (eVar3): Allocation"),
            Some((Subject::Evar(3), Field::Allocation))
        );
        assert_eq!(setting_of("event7"), Some((Subject::Event(7), Field::Name)));
    }

    #[test]
    fn what_an_earlier_release_kept_is_read_without_its_empty_fields() {
        let kept = r#"{"name": "Channel", "kind": null, "allocation": null}"#;
        let rows: Rows = serde_json::from_str(kept).expect("rows");
        assert_eq!((rows.get(Field::Name), rows.get(Field::Kind)), (Some("Channel"), None));
        assert_eq!(serde_json::to_string(&rows).expect("JSON"), r#"{"name":"Channel"}"#);
    }
}
