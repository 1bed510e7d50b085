//! A file as Adobe would read it: its header, its rows, which rows are hits, and the log of the other rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::super::incoming::{IncomingHit, Refusal, digest};
use super::super::judge::judge_values;
use super::super::rules::{Finding, Rule};
use super::super::settings::BulkSettings;
use super::super::tags::{Document, Tag, TagKind, is_digits};
use super::records::{FileFault, Record, Records};

/// The smallest number that is read as milliseconds: as seconds, it would be a time in November 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// Columns that documents have no tags for (Bulk Data Insertion API, "Column reference").
const ONLY_COLUMNS: [&str; 4] = ["aamlh", "queryString", "tnta", "trackingServer"];
/// Tags of documents that files have no columns for.
const NO_COLUMNS: &str = "analyticsVisitorID fallbackVisitorID marketingCloudOrgID customerPerspective scXmlVer sc_xml_ver \
    imsRegion aamBlob a4t timezone";
const CUSTOMER_ID: &str = "customerID.";

/// The findings of one file: for each rule the detail of the first finding, and the number of findings.
#[derive(Debug, Default)]
pub(super) struct FileFindings(BTreeMap<Rule, (String, u64)>);

impl FileFindings {
    /// Notes a finding. `detail` is only called for the first finding of its rule.
    pub(super) fn note(&mut self, rule: Rule, detail: impl FnOnce() -> String) {
        self.0.entry(rule).and_modify(|(_, count)| *count += 1).or_insert_with(|| (detail(), 1));
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        let more = |count: u64| if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        let whole = |(rule, (detail, count))| Finding::new(rule, format!("{detail}{}", more(count)));
        self.0.into_iter().map(whole).collect()
    }
}

/// A file that was read from beginning to end.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) rows: u64,
    pub(super) log: ProcessingLog,
    /// Why Adobe would refuse the whole file: the text of the processing log.
    pub(super) refusal: Option<String>,
    pub(super) suites: BTreeSet<String>,
    pub(super) findings: FileFindings,
}

impl Inspection {
    pub(super) fn invalid_rows(&self) -> u64 {
        if self.refusal.is_some() { self.rows } else { self.log.invalid_rows() }
    }
}

/// Reads a file to its end, without counting its hits.
pub(super) fn inspect(file: &[u8], settings: &BulkSettings) -> Result<Inspection, FileFault> {
    let mut inspection = Inspection {
        rows: 0,
        log: ProcessingLog::new(settings.name_all_invalid),
        refusal: None,
        suites: BTreeSet::new(),
        findings: FileFindings::default(),
    };
    let mut rows = Rows::open(file, settings, &mut inspection.findings)?;
    let mut times: HashMap<u64, i64> = HashMap::new();
    while let Some(row) = rows.next()? {
        inspection.rows = row.number;
        match &row.hit() {
            Ok(hit) => {
                if !inspection.suites.contains(hit.rsid) {
                    inspection.suites.insert(hit.rsid.to_owned());
                }
                judge_row(row.number, hit, &mut times, &mut inspection.findings);
            }
            Err(flaw) => {
                inspection.log.note(row.number, flaw);
                if let Some(rule) = flaw.rule {
                    inspection.findings.note(rule, || format!("row {}: {flaw}", row.number));
                }
            }
        }
    }
    if let Some(wrong) = rows.records.verdict() {
        inspection.findings.note(Rule::BulkCsv, || wrong);
    }
    inspection.refusal = rows.header.refusal.map(|(why, counts)| match counts {
        true => format!("{why} {}", completed(0, inspection.rows)),
        false => why,
    });
    Ok(inspection)
}

/// Notes the rules that a valid row breaks, alone or together with the rows above it.
fn judge_row(row: u64, hit: &IncomingHit<'_>, times: &mut HashMap<u64, i64>, findings: &mut FileFindings) {
    for Finding { rule, detail } in judge_values(hit.document) {
        findings.note(rule, || format!("row {row}: {detail}"));
    }
    let timestamp = hit.timestamp.unwrap_or("");
    if !is_digits(timestamp) {
        findings.note(Rule::BulkTimestamp, || format!("row {row}: timestamp is {timestamp:?}"));
    }
    let link_type = hit.document.value("linkType").unwrap_or("o");
    if link_type != "o" {
        findings.note(Rule::BulkLinkType, || format!("row {row}: linkType is {link_type:?}"));
    }
    let seconds = hit.seconds().unwrap_or(i64::MIN);
    let last = times.entry(hit.visitor_of_suite()).or_insert(seconds);
    if seconds < *last {
        let last = *last;
        findings
            .note(Rule::BulkRowOrder, || format!("row {row}: {seconds} comes after {last} of its visitor"));
    }
    *last = seconds.max(*last);
}

#[derive(Debug, Default)]
struct Header {
    columns: Vec<(String, TagKind)>,
    /// Why the header makes the whole file invalid: the text of the log, and whether the log counts the rows.
    refusal: Option<(String, bool)>,
}

impl Header {
    fn of(record: &Record<'_>, findings: &mut FileFindings) -> Header {
        let columns = record.cells().into_iter().flatten();
        let columns: Vec<_> = columns.map(|name| (name.to_owned(), kind_of(name))).collect();
        let mut refusal = None;
        for (at, (name, kind)) in columns.iter().enumerate() {
            if name.is_empty() {
                findings.note(Rule::BulkWidth, || "the header has a column without a name".to_owned());
            } else if *kind == TagKind::Unknown {
                findings.note(Rule::BulkColumns, || format!("{name:?} is not in the column reference"));
            }
            if is_customer_id(name) {
                findings.note(Rule::BulkCustomerId, || format!("column {name}"));
            }
            if columns[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                findings.note(Rule::BulkColumns, || format!("{name:?} stands twice"));
                let why = || (format!("Duplicate column in the file header: {name}."), false);
                refusal.get_or_insert_with(why);
            }
        }
        if refusal.is_none()
            && let Some((why, counts)) = lack_of(&columns)
        {
            findings.note(Rule::BulkRequired, || why.to_owned());
            refusal = Some((why.to_owned(), counts));
        }
        Header { columns, refusal }
    }
}

/// What the log says if the header lacks a column that every hit needs, and whether the log then counts the rows.
fn lack_of(columns: &[(String, TagKind)]) -> Option<(&'static str, bool)> {
    let is_known = |(_, kind): &&(String, TagKind)| *kind != TagKind::Unknown;
    let has =
        |wanted: &str| columns.iter().filter(is_known).any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let identities = ["visitorID", "marketingCloudVisitorID", "ipAddress"];
    if !identities.into_iter().any(has) && !columns.iter().any(|(name, _)| is_customer_id(name)) {
        let why = "No visitor ID found in the file header. There must be one of VisitorID, MarketingCloudVisitorID, \
            IPAddress, or CustomerID defined.";
        return Some((why, false));
    }
    let needed = [
        ("reportSuiteID", "No ReportSuiteID found in the file header."),
        ("timestamp", "No timestamp field found in the file header."),
        ("userAgent", "No user-agent found in the file header."),
    ];
    needed.into_iter().find(|(name, _)| !has(name)).map(|(_, why)| (why, true))
}

fn is_customer_id(name: &str) -> bool {
    name.get(..CUSTOMER_ID.len()).is_some_and(|start| start.eq_ignore_ascii_case(CUSTOMER_ID))
}

/// The kind of a column, as of a tag, but `Known` if only files have the name, and `Unknown` if only documents have it.
fn kind_of(name: &str) -> TagKind {
    let is_name = |known: &str| known.eq_ignore_ascii_case(name);
    if NO_COLUMNS.split(' ').any(is_name) {
        TagKind::Unknown
    } else if ONLY_COLUMNS.into_iter().any(is_name) || is_customer_id(name) {
        TagKind::Known
    } else {
        TagKind::of(name)
    }
}

pub(super) struct Rows<'f> {
    records: Records<'f>,
    header: Header,
    settings: &'f BulkSettings,
    number: u64,
}

impl<'f> Rows<'f> {
    pub(super) fn open(
        file: &'f [u8],
        settings: &'f BulkSettings,
        findings: &mut FileFindings,
    ) -> Result<Rows<'f>, FileFault> {
        let mut records = Records::new(file, settings.raw_bytes_max);
        let header = match records.next()? {
            Some(record) => Header::of(&record, findings),
            None => Header { columns: Vec::new(), refusal: Some(("The file is empty.".to_owned(), false)) },
        };
        Ok(Rows { records, header, settings, number: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, FileFault> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        self.number += 1;
        let is_chosen = is_chosen(record.bytes, self.settings);
        Ok(Some(Row { number: self.number, document: document_of(&record, &self.header), is_chosen }))
    }
}

pub(super) struct Row<'r> {
    /// The number of the row, from 1.
    pub(super) number: u64,
    /// The known tags of the row, or why it has none.
    document: Result<Document<'r>, Flaw>,
    /// Whether the settings declare the row invalid.
    is_chosen: bool,
}

impl Row<'_> {
    /// The hit of the row, or why the row is no hit.
    pub(super) fn hit(&self) -> Result<IncomingHit<'_>, Flaw> {
        let document = self.document.as_ref().map_err(Flaw::clone)?;
        let has_agent = document.value("userAgent").is_some();
        let hit = IncomingHit::of(document, "").map_err(|refusal| match refusal {
            Refusal::NoAccount => Flaw::missing("ReportSuiteId"),
            Refusal::NoVisitor if has_agent => Flaw::missing("VisitorID"),
            Refusal::NoVisitor => Flaw::missing("UserAgent"),
            Refusal::NoPage => Flaw::missing("PageName"),
            Refusal::SyntaxError | Refusal::Strict(_) => Flaw::new("malformed CSV", Rule::BulkCsv),
        })?;
        if !has_agent {
            return Err(Flaw::missing("UserAgent"));
        }
        if hit.timestamp.is_none() {
            return Err(Flaw::missing("Timestamp"));
        }
        // Adobe does not publish what it says of a timestamp that is no number of seconds, or has milliseconds.
        if hit.seconds().is_none_or(|seconds| seconds >= MILLISECONDS_FROM) {
            return Err(Flaw::new("invalid 'Timestamp'", Rule::BulkTimestamp));
        }
        if self.is_chosen { Err(Flaw::new("invalid value", None)) } else { Ok(hit) }
    }
}

fn document_of<'r>(record: &Record<'r>, header: &'r Header) -> Result<Document<'r>, Flaw> {
    let cells = record.cells().ok_or_else(|| Flaw::new("malformed CSV", Rule::BulkCsv))?;
    if record.ends.len() != header.columns.len() {
        return Err(Flaw::width(header.columns.len(), record.ends.len()));
    }
    let filled = header.columns.iter().zip(cells);
    let filled = filled.filter(|((_, kind), cell)| !cell.is_empty() && *kind != TagKind::Unknown);
    let tag = |((name, kind), cell): (&'r (String, TagKind), &'r str)| Tag {
        kind: *kind,
        name: Cow::Borrowed(name),
        value: Cow::Borrowed(cell),
    };
    Ok(Document { tags: filled.map(tag).collect(), ..Document::default() })
}

/// Whether the settings declare a row invalid. The content of the row decides, so the same row is always treated alike.
fn is_chosen(cells: &[u8], settings: &BulkSettings) -> bool {
    digest((settings.seed, cells)) % 100_000 < u64::from(settings.invalid_rows_per_100000)
}

/// The most rows of one kind of flaw that the log names (Bulk Data Insertion API, "Troubleshooting").
const NAMED_OF_A_KIND: u64 = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The kind of the flaw; rows are counted by kind.
    kind: String,
    more: String,
    rule: Option<Rule>,
}

impl Flaw {
    /// A flaw of this kind. `rule` is the broken rule; `None` if the settings declare the row invalid.
    fn new(kind: impl Into<String>, rule: impl Into<Option<Rule>>) -> Flaw {
        Flaw { kind: kind.into(), more: "This row will not be submitted.".to_owned(), rule: rule.into() }
    }

    fn width(expected: usize, found: usize) -> Flaw {
        let more = format!("Expected {expected} columns, but found {found}.");
        Flaw { more, ..Flaw::new("inconsistent column count", Rule::BulkWidth) }
    }

    /// The flaw of a row that lacks a value which every row needs.
    fn missing(name: &str) -> Flaw {
        let rule = if name == "UserAgent" { Rule::BulkAgent } else { Rule::BulkRequired };
        Flaw::new(format!("missing '{name}'"), rule)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}. {}", self.kind, self.more)
    }
}

#[derive(Debug, Default)]
pub(super) struct ProcessingLog {
    names_all: bool,
    sentences: Vec<String>,
    counts: BTreeMap<String, u64>,
    pub(super) first_row: Option<u64>,
}

impl ProcessingLog {
    fn new(names_all: bool) -> ProcessingLog {
        ProcessingLog { names_all, ..ProcessingLog::default() }
    }

    /// Notes an invalid row by its number, from 1 for the first below the header.
    pub(super) fn note(&mut self, row: u64, flaw: &Flaw) {
        let count = self.counts.entry(flaw.kind.clone()).or_default();
        *count += 1;
        if self.names_all || *count <= NAMED_OF_A_KIND {
            self.sentences.push(format!("On row: {row}, {flaw}"));
        }
        self.first_row.get_or_insert(row);
    }

    pub(super) fn invalid_rows(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The whole text for a file with this many rows; empty if all of them are valid.
    pub(super) fn text(&self, rows: u64) -> String {
        let invalid = self.invalid_rows();
        if invalid == 0 {
            return String::new();
        }
        let summed_up = self.counts.iter().filter(|(_, count)| !self.names_all && **count > NAMED_OF_A_KIND);
        let summed_up =
            summed_up.map(|(kind, count)| format!("{kind} on {} more rows.", count - NAMED_OF_A_KIND));
        let sentences: Vec<String> = self.sentences.iter().cloned().chain(summed_up).collect();
        format!("{} {}", sentences.join(" "), completed(rows - invalid, invalid))
    }
}

fn completed(valid: u64, invalid: u64) -> String {
    format!("Processing complete: {valid} rows will be submitted. {invalid} rows were invalid.")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const HEADER: &str = "REPORTSUITEID,timestamp,visitorID,userAgent,pageName,linkType,linkName,events,eVar1,eVar3,\
        eVar8,eVar9,eVar17";
    const GOOD: &str = "examplersid,1790000000,abc,x/1,Adobe Pass: AuthZ OK,o,AuthZ OK,event5:4k0z,SPORT1,Direct,\
        normal,N/A,N/A";

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory takes every write");
        encoder.finish().expect("memory takes every write")
    }

    fn inspected(text: &str) -> Inspection {
        inspect(&packed(text), &BulkSettings::default()).expect("a whole file")
    }

    /// The rules that a file breaks.
    fn codes(text: &str) -> Vec<&'static str> {
        let findings = inspected(text).findings.into_findings();
        findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    #[test]
    fn a_good_file_breaks_no_rule() {
        let inspection = inspected(&format!("{HEADER}\r\n{GOOD}\r\n\r\n{GOOD}\r\n"));
        assert_eq!((inspection.rows, inspection.invalid_rows()), (2, 0));
        assert_eq!(inspection.refusal, None);
        assert_eq!(inspection.suites.into_iter().collect::<Vec<_>>(), ["examplersid"]);
        assert_eq!(inspection.findings.into_findings(), []);
    }

    #[test]
    fn each_change_of_a_row_for_the_worse_breaks_its_rule() {
        for (part, replacement, expected) in [
            ("examplersid", "", &["BDIA-05"][..]),
            ("1790000000", "", &["BDIA-05"]),
            ("1790000000", "1790000000123", &["BDIA-07"]),
            ("1790000000", "2026-09-21T14:13:20Z", &["DIA-31", "BDIA-07"]),
            ("abc", "", &["BDIA-05"]),
            ("x/1", "", &["BDIA-06"]),
            ("Adobe Pass: AuthZ OK,o,AuthZ OK", ",,", &["BDIA-05"]),
            (",o,", ",lnk_o,", &["DIA-15", "BDIA-10"]),
            ("normal", "normal,", &["BDIA-03"]),
            ("normal", "nor\"mal", &["BDIA-02"]),
            ("SPORT1", "D=v2", &["DIA-19"]),
            ("event5:4k0z", "\"event5:4k0z,event6\"", &["DIA-38"]),
        ] {
            assert!(GOOD.contains(part), "{part}");
            let text = format!("{HEADER}\n{}\n", GOOD.replace(part, replacement));
            assert_eq!(codes(&text), expected, "{part} -> {replacement}");
        }
    }

    #[test]
    fn a_header_may_make_a_file_worthless() {
        let identity = "No visitor ID found in the file header. ";
        let timestamp = "No timestamp field found in the file header. Processing complete: 0 rows will be submitted. \
            1 rows were invalid.";
        for (part, replacement, refusal, expected) in [
            ("visitorID", "eVar20", Some(identity), &["BDIA-05"][..]),
            ("timestamp", "eVar20", Some(timestamp), &["BDIA-05"]),
            ("eVar3", "EVAR1", Some("Duplicate column in the file header: EVAR1."), &["BDIA-04"]),
            ("eVar3", "fallbackVisitorId", None, &["DIA-47", "BDIA-04"]),
            ("eVar3", "", None, &["DIA-47", "BDIA-03"]),
            ("eVar3", "customerID.crm.id", None, &["DIA-47", "BDIA-11"]),
        ] {
            let inspection = inspected(&format!("{}\n{GOOD}\n", HEADER.replace(part, replacement)));
            let told = inspection.refusal.clone();
            let is_told =
                told.as_deref().zip(refusal).is_none_or(|(told, refusal)| told.starts_with(refusal));
            assert!(told.is_some() == refusal.is_some() && is_told, "{replacement}: {told:?}");
            let findings = inspection.findings.into_findings();
            let codes: Vec<_> = findings.iter().map(|finding| finding.rule.as_str()).collect();
            assert!(expected.iter().all(|code| codes.contains(code)), "{replacement}: {codes:?}");
        }
        assert_eq!(inspected("").refusal.as_deref(), Some("The file is empty."));
    }

    #[test]
    fn rows_of_one_visitor_go_up_in_time_and_equal_times_are_in_order() {
        let row = |timestamp: &str, visitor: &str| {
            format!("{}\n", GOOD.replace("1790000000", timestamp).replace("abc", visitor))
        };
        let file = |rows: &[String]| format!("{HEADER}\n{}", rows.concat());
        assert_eq!(codes(&file(&[row("5", "a"), row("5", "a"), row("4", "b"), row("6", "a")])), [""; 0]);
        assert_eq!(codes(&file(&[row("5", "a"), row("4", "a"), row("3", "a")])), ["BDIA-08"]);
        let findings =
            inspected(&file(&[row("5", "a"), row("4", "a"), row("3", "a")])).findings.into_findings();
        assert_eq!(findings[0].detail, "row 2: 4 comes after 5 of its visitor, and 1 more");
    }

    #[test]
    fn chosen_rows_are_the_same_again_and_break_no_rule() {
        let settings = BulkSettings { invalid_rows_per_100000: 20_000, seed: 7, ..BulkSettings::default() };
        let rows: String =
            (0..200).map(|row| format!("{}\n", GOOD.replace("SPORT1", &row.to_string()))).collect();
        let text = |settings: &BulkSettings| {
            let inspection = inspect(&packed(&format!("{HEADER}\n{rows}")), settings).expect("a file");
            assert!(inspection.findings.0.is_empty());
            (inspection.invalid_rows(), inspection.log.text(inspection.rows))
        };
        let (invalid, log) = text(&settings);
        assert!((20..60).contains(&invalid), "{invalid} of 200");
        assert_eq!(text(&settings).1, log);
        assert_ne!(text(&BulkSettings { seed: 8, ..settings }).1, log);
    }

    #[test]
    fn rows_are_named_in_their_order_and_summed_up_above_ten_of_a_kind() {
        let mut log = ProcessingLog::new(false);
        assert_eq!(log.text(5), "");
        log.note(1, &Flaw::missing("UserAgent"));
        log.note(3, &Flaw::width(5, 6));
        assert_eq!(
            log.text(5000),
            "On row: 1, missing 'UserAgent'. This row will not be submitted. \
             On row: 3, inconsistent column count. Expected 5 columns, but found 6. \
             Processing complete: 4998 rows will be submitted. 2 rows were invalid."
        );
        for row in 4..=14 {
            log.note(row, &Flaw::width(5, row as usize));
        }
        let text = log.text(20);
        assert_eq!(text.matches("On row: ").count(), 11);
        assert!(
            text.contains(" inconsistent column count on 2 more rows. Processing complete: 7 rows"),
            "{text}"
        );
        assert_eq!((log.invalid_rows(), log.first_row), (13, Some(1)));
    }

    #[test]
    fn all_rows_are_named_where_that_is_wanted() {
        let mut log = ProcessingLog::new(true);
        (1..=25).for_each(|row| log.note(row, &Flaw::new("invalid value", None)));
        let text = log.text(25);
        assert_eq!(text.matches("On row: ").count(), 25);
        assert!(!text.contains("more rows"), "{text}");
    }
}
