//! The rules of the published APIs by name, and the record of the rules that were broken.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::word::words;

/// How many violations are kept with their details; further ones are only counted.
const VIOLATIONS_KEPT_MAX: usize = 10_000;

words! {
    /// A published rule of the Data Insertion API or of the bulk API that a request can break, as its number.
    #[derive(PartialOrd, Ord)]
    pub enum Rule {
        Address = "DIA-01", // POST to a path that ends in /b/ss//6
        Headers = "DIA-03", // Content-Type and Accept are application/xml
        Expect = "DIA-04", // no Expect header
        OneHit = "DIA-05", // one hit per request
        Declaration = "DIA-06", // UTF-8 that begins with the XML declaration
        FlatTags = "DIA-07", // tags stand directly in the root, once each, with text only
        Entities = "DIA-08", // &, < and > are written as entities, and no entity but the five occurs
        PlainXml = "DIA-09", // no DOCTYPE, CDATA, comment, numeric reference, namespace or processing instruction
        WellFormed = "DIA-10", // well-formed XML 1.0
        KnownTags = "DIA-11", // only tags of the variable reference
        OneSuite = "DIA-12", // exactly one suite, in reportSuiteID, and none in the path
        Identity = "DIA-13", // visitorID or marketingCloudVisitorID, never empty
        PageContext = "DIA-14", // linkType with linkName, and pageName
        LinkForm = "DIA-15", // linkType is o; linkName and pageName are at most 100 bytes
        NoPageView = "DIA-16", // no hit adds a page view
        NoEmptyTag = "DIA-17", // no tag is empty
        VersionTag = "DIA-18", // scXmlVer is spelt so and says 1.0
        NoDynamicVariable = "DIA-19", // no value starts with D=
        Size = "DIA-20", // a hit stays under 64 KiB
        VisitorIdForm = "DIA-21", // visitorID is 1 to 100 ASCII letters and digits
        NoPlaceholder = "DIA-24", // placeholders are not identities
        OneIdentifier = "DIA-26", // one identifier per hit
        EcidForm = "DIA-27", // marketingCloudVisitorID is 38 decimal digits
        Timestamp = "DIA-30", // every hit carries timestamp
        TimestampDigits = "DIA-31", // timestamp is whole Unix seconds, in digits
        SameTimestamp = "DIA-32", // timestamp is the same on each attempt
        VisitorOrder = "DIA-33", // a visitor's hits come one by one, in the order of time
        EventName = "DIA-38", // events is one of event1 to event18
        EventCount = "DIA-39", // a count is a whole number of 2 or more
        EventId = "DIA-40", // an event ID is 1 to 20 of 0-9 and a-z
        SameHit = "DIA-41", // an event ID belongs to one event
        EventIdPresent = "DIA-42", // with event IDs on, every hit has one
        EventIdAbsent = "DIA-43", // with event IDs off, none is sent
        CountBeforeId = "DIA-44", // count and ID are written eventN=count:id
        EvarLength = "DIA-45", // an eVar is at most 255 bytes
        CleanText = "DIA-46", // no white space at the ends of a value, no control characters in it
        FixedTable = "DIA-47", // eVars follow the fixed table, defaults included
        IdleConnection = "DIA-59", // a connection idle for 15 seconds is not used again
        ClientAgent = "DIA-60", // User-Agent is a fixed, neutral one
        NoGet = "DIA-61", // GET is never used
        BulkSize = "BDIA-01", // a file is gzip, and within the limits of its sizes
        BulkCsv = "BDIA-02", // CSV by RFC 4180 in UTF-8, with one kind of line end throughout
        BulkWidth = "BDIA-03", // one header row, every row as wide as it, no comma at its end
        BulkColumns = "BDIA-04", // columns are of the column reference, each once
        BulkRequired = "BDIA-05", // every row has a suite, a time, an agent, an identity and page context
        BulkAgent = "BDIA-06", // userAgent is never empty
        BulkTimestamp = "BDIA-07", // timestamp is whole Unix seconds
        BulkRowOrder = "BDIA-08", // a visitor's rows are in the order of time within their file
        BulkFileOrder = "BDIA-09", // a visitor's files come in the order of time
        BulkLinkType = "BDIA-10", // linkType is o
        BulkCustomerId = "BDIA-11", // no customerID column
        BulkAddress = "BDIA-16", // POST of multipart/form-data with the field file to /aa/collect/v1/events
        BulkHeaders = "BDIA-17", // Authorization, x-api-key and x-adobe-vgid are sent
        BulkKey = "BDIA-18", // every file has an idempotency key of its own
        CallSpacing = "BDIA-19", // uploads keep the distance between calls
        GroupSpacing = "BDIA-20", // one upload of a group at a time, with the distance between starts
        GroupRate = "BDIA-21", // a group gets no more rows per second than agreed
        OneGroup = "BDIA-22", // a visitor belongs to one group for good
        GroupName = "BDIA-24", // a group's name contains the company or the suite
        LookUpFirst = "BDIA-30", // after a lost answer the key is looked up before anything else of its group is sent
        SentOnce = "BDIA-31", // a file that was received is not sent again
        ValidateOnce = "BDIA-37", // a file of each format is validated once, not every file
        BehindLive = "BDIA-39", // a row is not older than a hit of its visitor that came by the Data Insertion API
    }
}

/// A rule that a request has broken, without the numbers of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Finding {
        Finding { rule, detail: detail.into() }
    }
}

/// A rule that a request has broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub rule: Rule,
    pub detail: String,
    /// The report suite, if one was named.
    pub rsid: String,
    /// The number of the request since start or reset, from 1.
    pub request: u64,
    /// The number of its connection since start, from 0.
    pub connection: u32,
}

/// The violations: all are counted, and the first `VIOLATIONS_KEPT_MAX` are kept.
#[derive(Debug, Default)]
pub(super) struct Violations {
    pub(super) counts: BTreeMap<Rule, u64>,
    pub(super) kept: Vec<Violation>,
}

impl Violations {
    pub(super) fn add(&mut self, violation: Violation) {
        *self.counts.entry(violation.rule).or_default() += 1;
        if self.kept.len() < VIOLATIONS_KEPT_MAX {
            self.kept.push(violation);
        }
    }
}
