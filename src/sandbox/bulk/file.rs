//! A file as Adobe would read it: its header, its rows, and which of them are hits.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::document::{Document, Tag, TagKind};
use super::super::incoming::{IncomingHit, Refusal, timestamp_seconds};
use super::super::judge::judge_values;
use super::super::rules::{Finding, Rule};
use super::log::{Flaw, ProcessingLog, completed};
use super::records::{FileFault, Record, Records, Syntax};
use super::settings::BulkSettings;

/// From here on a number is milliseconds: as seconds it lies beyond the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// What only files have (Bulk Data Insertion API, "Column reference").
const ONLY_COLUMNS: [&str; 4] = ["aamlh", "queryString", "tnta", "trackingServer"];
/// What only single hits have.
const NO_COLUMNS: [&str; 10] = [
    "analyticsVisitorId",
    "fallbackVisitorId",
    "marketingCloudOrgId",
    "customerPerspective",
    "scXmlVer",
    "sc_xml_ver",
    "imsRegion",
    "aamBlob",
    "a4t",
    "timezone",
];
const CUSTOMER_ID: &str = "customerID.";

/// Findings of one file: the first of each rule in full, the others as a number.
#[derive(Debug, Default)]
pub(super) struct FileFindings(BTreeMap<Rule, (String, u64)>);

impl FileFindings {
    /// Notes a finding, whose detail is only asked for where it is the first of its rule.
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
    /// Why the file as a whole is not taken: the text of its log.
    pub(super) refusal: Option<String>,
    /// The suites of its rows.
    pub(super) suites: BTreeSet<String>,
    pub(super) findings: FileFindings,
}

impl Inspection {
    pub(super) fn invalid_rows(&self) -> u64 {
        if self.refusal.is_some() { self.rows } else { self.log.invalid_rows() }
    }
}

/// Reads a file without counting anything of it; with the rules that it breaks, where it is judged.
pub(super) fn inspect(
    file: &[u8],
    settings: &BulkSettings,
    is_judged: bool,
) -> Result<Inspection, FileFault> {
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
                if is_judged {
                    judge_row(row.number, hit, &mut times, &mut inspection.findings);
                }
            }
            Err(flaw) => {
                inspection.log.note(row.number, *flaw);
                judge_flaw(row.number, *flaw, &mut inspection.findings);
            }
        }
    }
    if let Some(wrong) = rows.records.syntax.and_then(|syntax| syntax.verdict()) {
        inspection.findings.note(Rule::BulkCsv, || wrong);
    }
    inspection.refusal = rows.header.refusal.map(|why| match why {
        HeaderRefusal::Ends(why) => why,
        HeaderRefusal::Counts(why) => format!("{why} {}", completed(0, inspection.rows)),
    });
    Ok(inspection)
}

fn judge_flaw(row: u64, flaw: Flaw, findings: &mut FileFindings) {
    let rule = match flaw {
        Flaw::Width { .. } => Rule::BulkWidth,
        Flaw::Missing(USER_AGENT) => Rule::BulkAgent,
        Flaw::Missing(_) => Rule::BulkRequired,
        Flaw::Malformed => Rule::BulkCsv,
        Flaw::Timestamp => Rule::BulkTimestamp,
        // Nothing is wrong with it.
        Flaw::Chosen => return,
    };
    findings.note(rule, || format!("row {row}: {flaw}"));
}

/// What a valid row breaks, by itself and beside those above it.
fn judge_row(row: u64, hit: &IncomingHit<'_>, times: &mut HashMap<u64, i64>, findings: &mut FileFindings) {
    for Finding { rule, detail } in judge_values(hit.document) {
        findings.note(rule, || format!("row {row}: {detail}"));
    }
    let timestamp = hit.timestamp.unwrap_or("");
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        findings.note(Rule::BulkTimestamp, || format!("row {row}: timestamp is {timestamp:?}"));
    }
    let link_type = hit.document.value(TagKind::LinkType).unwrap_or("o");
    if link_type != "o" {
        findings.note(Rule::BulkLinkType, || format!("row {row}: linkType is {link_type:?}"));
    }
    let seconds = timestamp_seconds(timestamp).unwrap_or(i64::MIN);
    let last = times.entry(visitor_of_suite(hit)).or_insert(seconds);
    if seconds < *last {
        let last = *last;
        findings
            .note(Rule::BulkRowOrder, || format!("row {row}: {seconds} comes after {last} of its visitor"));
    }
    *last = seconds.max(*last);
}

/// A digest of the visitor of a hit in its suite.
pub(super) fn visitor_of_suite(hit: &IncomingHit<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (hit.rsid, hit.visitor_hash()).hash(&mut hasher);
    hasher.finish()
}

const USER_AGENT: &str = "UserAgent";

/// Why a header makes a file worthless.
#[derive(Debug, Clone, PartialEq, Eq)]
enum HeaderRefusal {
    /// The log says this and no more.
    Ends(String),
    /// The log also says how many rows there were.
    Counts(String),
}

/// The first row of a file.
#[derive(Debug, Default)]
struct Header {
    columns: Vec<(String, TagKind)>,
    refusal: Option<HeaderRefusal>,
}

impl Header {
    fn of(record: &Record<'_>, findings: &mut FileFindings) -> Header {
        let columns = record.cells().into_iter().flatten();
        let columns: Vec<_> = columns.map(|name| (name.to_owned(), kind_of(name))).collect();
        let mut names = HashSet::new();
        let mut twice = None;
        for (name, kind) in &columns {
            if name.is_empty() {
                findings.note(Rule::BulkWidth, || "the header has a column without a name".to_owned());
            } else if *kind == TagKind::Unknown {
                findings.note(Rule::BulkColumns, || format!("{name:?} is not in the column reference"));
            }
            if is_customer_id(name) {
                findings.note(Rule::BulkCustomerId, || format!("column {name}"));
            }
            if !names.insert(name.to_ascii_lowercase()) {
                findings.note(Rule::BulkColumns, || format!("{name:?} stands twice"));
                twice.get_or_insert(name);
            }
        }
        let refusal = twice
            .map(|name| HeaderRefusal::Ends(format!("Duplicate column in the file header: {name}.")))
            .or_else(|| lack_of(&columns));
        if let Some(HeaderRefusal::Counts(why) | HeaderRefusal::Ends(why)) = &refusal
            && twice.is_none()
        {
            findings.note(Rule::BulkRequired, || why.clone());
        }
        Header { columns, refusal }
    }
}

/// What a header lacks without which no row can be a hit.
fn lack_of(columns: &[(String, TagKind)]) -> Option<HeaderRefusal> {
    let has = |kind| columns.iter().any(|(_, known)| *known == kind);
    let has_identity = has(TagKind::VisitorId)
        || has(TagKind::MarketingCloudVisitorId)
        || has(TagKind::IpAddress)
        || columns.iter().any(|(name, _)| is_customer_id(name));
    if !has_identity {
        let one_of =
            "There must be one of VisitorID, MarketingCloudVisitorID, IPAddress, or CustomerID defined";
        return Some(HeaderRefusal::Ends(format!("No visitor ID found in the file header. {one_of}.")));
    }
    [
        (TagKind::ReportSuiteId, "No ReportSuiteID found in the file header."),
        (TagKind::Timestamp, "No timestamp field found in the file header."),
        (TagKind::UserAgent, "No user-agent found in the file header."),
    ]
    .into_iter()
    .find(|(kind, _)| !has(*kind))
    .map(|(_, why)| HeaderRefusal::Counts(why.to_owned()))
}

fn is_customer_id(name: &str) -> bool {
    name.get(..CUSTOMER_ID.len()).is_some_and(|start| start.eq_ignore_ascii_case(CUSTOMER_ID))
}

/// What a column is for: what the tag of the same name is, but for those that only one of the interfaces has.
fn kind_of(name: &str) -> TagKind {
    let is_in = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_in(&NO_COLUMNS) {
        TagKind::Unknown
    } else if is_in(&ONLY_COLUMNS) || is_customer_id(name) {
        TagKind::Other
    } else {
        TagKind::of(name)
    }
}

/// The rows below the header.
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
        let mut records = Records::new(file, settings.raw_bytes_max, Some(Syntax::default()));
        let header = match records.next()? {
            Some(record) => Header::of(&record, findings),
            None => Header {
                columns: Vec::new(),
                refusal: Some(HeaderRefusal::Ends("The file is empty.".to_owned())),
            },
        };
        Ok(Rows { records, header, settings, number: 0 })
    }

    /// The next row; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, FileFault> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        self.number += 1;
        Ok(Some(Row::new(self.number, &record, &self.header, self.settings)))
    }
}

pub(super) struct Row<'r> {
    /// From 1.
    pub(super) number: u64,
    document: Document<'r>,
    flaw: Option<Flaw>,
}

impl<'r> Row<'r> {
    fn new(number: u64, record: &Record<'r>, header: &'r Header, settings: &BulkSettings) -> Row<'r> {
        let expected = header.columns.len();
        let mut row = Row { number, document: Document::default(), flaw: None };
        let Some(cells) = record.cells() else {
            row.flaw = Some(Flaw::Malformed);
            return row;
        };
        if record.width() != expected {
            row.flaw = Some(Flaw::Width { expected, found: record.width() });
            return row;
        }
        let filled = header.columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
        let known = filled.filter(|((_, kind), _)| *kind != TagKind::Unknown);
        row.document.tags.reserve(expected);
        row.document.tags.extend(known.map(|((name, kind), cell)| Tag {
            kind: *kind,
            name: Cow::Borrowed(name),
            value: Cow::Borrowed(cell),
        }));
        if is_chosen(record.bytes(), settings) {
            row.flaw = Some(Flaw::Chosen);
        }
        row
    }

    /// Its hit, or why it is none.
    pub(super) fn hit(&self) -> Result<IncomingHit<'_>, Flaw> {
        if let Some(flaw) = self.flaw.filter(|flaw| *flaw != Flaw::Chosen) {
            return Err(flaw);
        }
        let hit = IncomingHit::of(&self.document, "").map_err(|refusal| match refusal {
            Refusal::NoAccount => Flaw::Missing("ReportSuiteId"),
            Refusal::NoVisitor if self.document.value(TagKind::UserAgent).is_none() => {
                Flaw::Missing(USER_AGENT)
            }
            Refusal::NoVisitor => Flaw::Missing("VisitorID"),
            Refusal::NoPage => Flaw::Missing("PageName"),
            Refusal::SyntaxError | Refusal::Strict(_) => Flaw::Malformed,
        })?;
        if self.document.value(TagKind::UserAgent).is_none() {
            return Err(Flaw::Missing(USER_AGENT));
        }
        let timestamp = hit.timestamp.ok_or(Flaw::Missing("Timestamp"))?;
        if timestamp_seconds(timestamp).is_none_or(|seconds| seconds >= MILLISECONDS_FROM) {
            return Err(Flaw::Timestamp);
        }
        match self.flaw {
            Some(flaw) => Err(flaw),
            None => Ok(hit),
        }
    }
}

/// Whether the settings declare a row invalid: by its content, so that a repeat of it has the same fate.
fn is_chosen(cells: &[u8], settings: &BulkSettings) -> bool {
    if settings.invalid_rows_per_100000 == 0 {
        return false;
    }
    let mut hasher = DefaultHasher::new();
    settings.seed.hash(&mut hasher);
    hasher.write(cells);
    hasher.finish() % 100_000 < u64::from(settings.invalid_rows_per_100000)
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
        inspect(&packed(text), &BulkSettings::default(), true).expect("a whole file")
    }

    /// The rules that a file breaks.
    fn codes(text: &str) -> Vec<&'static str> {
        let findings = inspected(text).findings.into_findings();
        findings.iter().map(|finding| finding.rule.code()).collect()
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
            let codes: Vec<_> = findings.iter().map(|finding| finding.rule.code()).collect();
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
            let inspection = inspect(&packed(&format!("{HEADER}\n{rows}")), settings, true).expect("a file");
            assert!(inspection.findings.0.is_empty());
            (inspection.invalid_rows(), inspection.log.text(inspection.rows))
        };
        let (invalid, log) = text(&settings);
        assert!((20..60).contains(&invalid), "{invalid} of 200");
        assert_eq!(text(&settings).1, log);
        assert_ne!(text(&BulkSettings { seed: 8, ..settings }).1, log);
    }
}
