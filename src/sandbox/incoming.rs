//! The hit of a request as Adobe would read it, or the reason why Adobe would refuse it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::DateTime;
use serde::Serialize;

use super::tags::Document;

/// The identifiers of a visitor, in Adobe's order of precedence (Adobe Analytics guide, "Identify visitors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitorKind {
    VisitorId,
    AnalyticsVisitorId,
    MarketingCloudVisitorId,
    FallbackVisitorId,
    /// `ipAddress` with `userAgent`.
    IpAddress,
}

/// Why Adobe answers FAILURE (Data Insertion API, "Response types"). `Display` is Adobe's reason, except for `Strict`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Syntax Error")]
    SyntaxError,
    #[error("NO account")]
    NoAccount,
    #[error("NO visitorid OR ipaddress")]
    NoVisitor,
    #[error("NO pagename OR pageurl")]
    NoPage,
    /// In strict mode: the first rule that the request breaks.
    #[error("{0}")]
    Strict(String),
}

/// A hit that Adobe would accept.
#[derive(Debug, Clone)]
pub(super) struct IncomingHit<'d> {
    /// The suite as it was sent, or several suites with commas between.
    pub(super) rsid: &'d str,
    pub(super) visitor_kind: VisitorKind,
    pub(super) visitor: Cow<'d, str>,
    pub(super) timestamp: Option<&'d str>,
    pub(super) events: &'d str,
    /// Whether the hit is a link hit, which is no page view.
    pub(super) is_link: bool,
    /// A digest of the hit's content, the same for a single hit and for a row of a file while the program
    /// runs. It leaves out the timestamp, the order of the tags, tags that only one of the two APIs has, and
    /// the user agent, which may differ in a row of a file.
    pub(super) content_hash: u64,
    pub(super) document: &'d Document<'d>,
}

impl<'d> IncomingHit<'d> {
    /// Reads a document as a hit. If body and path both name a suite, the body's suite counts; Adobe publishes no rule.
    pub(super) fn of(document: &'d Document<'d>, path_rsid: &'d str) -> Result<IncomingHit<'d>, Refusal> {
        if document.is_malformed {
            return Err(Refusal::SyntaxError);
        }
        let rsid = suite_of(document, path_rsid).ok_or(Refusal::NoAccount)?;
        let (visitor_kind, visitor) = visitor_of(document).ok_or(Refusal::NoVisitor)?;
        let is_link = document.value("linkName").or(document.value("linkURL")).is_some();
        let has_page = document.value("pageName").or(document.value("pageURL")).is_some();
        let has_whole_link = is_link && document.value("linkType").is_some();
        if !has_page && !has_whole_link {
            return Err(Refusal::NoPage);
        }
        let (timestamp, events) = (document.value("timestamp"), document.value("events").unwrap_or(""));
        let content_hash = content_hash(document);
        Ok(IncomingHit { rsid, visitor_kind, visitor, timestamp, events, is_link, content_hash, document })
    }

    pub(super) fn visitor_hash(&self) -> u64 {
        digest((self.visitor_kind, self.visitor.as_ref()))
    }

    pub(super) fn visitor_of_suite(&self) -> u64 {
        digest((self.rsid, self.visitor_hash()))
    }

    pub(super) fn evar(&self, number: u16) -> Option<&'d str> {
        self.document.value(&format!("eVar{number}"))
    }

    /// The timestamp in Unix seconds, if the hit has one that can be read.
    pub(super) fn seconds(&self) -> Option<i64> {
        self.timestamp.and_then(timestamp_seconds)
    }
}

/// A digest of a value, stable while the program runs.
pub(super) fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn content_hash(document: &Document<'_>) -> u64 {
    const LEFT_OUT: [&str; 5] = ["timestamp", "userAgent", "scXmlVer", "sc_xml_ver", "marketingCloudOrgID"];
    let tags = document.tags.iter().filter(|tag| !LEFT_OUT.iter().any(|name| tag.is(name)));
    tags.map(|tag| digest((tag.name.to_ascii_lowercase(), &tag.value))).fold(0, u64::wrapping_add)
}

/// The suite that the document names, otherwise the one that the path names.
pub(super) fn suite_of<'d>(document: &'d Document<'_>, path_rsid: &'d str) -> Option<&'d str> {
    document.value("reportSuiteID").or(Some(path_rsid).filter(|rsid| !rsid.is_empty()))
}

/// The identifier that Adobe would use.
pub(super) fn visitor_of<'d>(document: &'d Document<'_>) -> Option<(VisitorKind, Cow<'d, str>)> {
    let by_precedence = [
        ("visitorID", VisitorKind::VisitorId),
        ("analyticsVisitorID", VisitorKind::AnalyticsVisitorId),
        ("marketingCloudVisitorID", VisitorKind::MarketingCloudVisitorId),
        ("fallbackVisitorID", VisitorKind::FallbackVisitorId),
    ];
    let mut named = by_precedence.into_iter().filter_map(|(tag, kind)| Some((kind, document.value(tag)?)));
    if let Some((kind, visitor)) = named.next() {
        return Some((kind, Cow::Borrowed(visitor)));
    }
    let (address, agent) = (document.value("ipAddress")?, document.value("userAgent")?);
    Some((VisitorKind::IpAddress, Cow::Owned(format!("{address} {agent}"))))
}

/// The Unix seconds of a timestamp: digits, or ISO 8601 with date, hours and minutes (Adobe Analytics guide,
/// "timestamp"). `None` for a form that Adobe does not describe.
fn timestamp_seconds(timestamp: &str) -> Option<i64> {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y%m%dT%H%M%S%#z", "%Y%m%dT%H%M%#z"];
    let iso = || forms.iter().find_map(|form| DateTime::parse_from_str(timestamp, form).ok());
    timestamp.parse().ok().or_else(|| Some(iso()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::super::xml::{DECLARATION, read};
    use super::*;

    fn reason(tags: &str, path_rsid: &str) -> Result<VisitorKind, String> {
        let body = format!("{DECLARATION}<request>{tags}</request>");
        IncomingHit::of(&read(body.as_bytes()), path_rsid)
            .map(|hit| hit.visitor_kind)
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn the_four_reasons_are_told_apart() {
        const PAGE: &str = "<pageName>p</pageName>";
        const SUITE: &str = "<reportSuiteID>s</reportSuiteID>";
        const VISITOR: &str = "<visitorID>v</visitorID>";
        for (tags, path, expected) in [
            ("<eVar1>", "", Err("Syntax Error")),
            (&format!("{PAGE}{VISITOR}") as &str, "", Err("NO account")),
            (&format!("{PAGE}{VISITOR}"), "s", Ok(VisitorKind::VisitorId)),
            (&format!("{PAGE}{VISITOR}<reportSuiteID> </reportSuiteID>"), "", Err("NO account")),
            (&format!("{PAGE}{SUITE}"), "", Err("NO visitorid OR ipaddress")),
            (&format!("{PAGE}{SUITE}<ipAddress>1.2.3.4</ipAddress>"), "", Err("NO visitorid OR ipaddress")),
            (
                &format!("{PAGE}{SUITE}<ipAddress>1.2.3.4</ipAddress><userAgent>a</userAgent>"),
                "",
                Ok(VisitorKind::IpAddress),
            ),
            (&format!("{SUITE}{VISITOR}"), "", Err("NO pagename OR pageurl")),
            (&format!("{SUITE}{VISITOR}<linkName>l</linkName>"), "", Err("NO pagename OR pageurl")),
            (
                &format!("{SUITE}{VISITOR}<linkType>o</linkType><linkName>l</linkName>"),
                "",
                Ok(VisitorKind::VisitorId),
            ),
        ] {
            assert_eq!(reason(tags, path), expected.map_err(str::to_owned), "{tags}");
        }
    }

    #[test]
    fn a_content_hash_leaves_out_the_time_the_agent_and_the_order_of_tags() {
        let hash = |tags: &str| {
            let body = format!(
                "{DECLARATION}<request><reportSuiteID>s</reportSuiteID><pageName>p</pageName>{tags}</request>"
            );
            IncomingHit::of(&read(body.as_bytes()), "").expect("a hit").content_hash
        };
        let first = hash("<timestamp>100</timestamp><visitorID>v</visitorID><eVar1>1</eVar1>");
        assert_eq!(first, hash("<timestamp>200</timestamp><visitorID>v</visitorID><eVar1>1</eVar1>"));
        assert_eq!(first, hash("<userAgent>a</userAgent><eVar1>1</eVar1><visitorID>v</visitorID>"));
        assert_ne!(first, hash("<visitorID>v</visitorID><eVar1>2</eVar1>"));
        assert_ne!(first, hash("<visitorID>v</visitorID><eVar2>1</eVar2>"));
        assert_ne!(
            hash("<visitorID>v</visitorID><zip>1</zip>"),
            hash("<visitorID>v</visitorID><state>1</state>")
        );
    }

    #[test]
    fn timestamps_are_seconds_or_iso_8601() {
        for text in [
            "1790000000",
            "2026-09-21T14:13:20Z",
            "2026-09-21T15:13:20+01:00",
            "2026-09-21T15:13:20+0100",
            "20260921T151320+0100",
            "2026-09-21T07:13:20-07",
            "20260921T141320Z",
        ] {
            assert_eq!(timestamp_seconds(text), Some(1_790_000_000), "{text}");
        }
        for text in ["1790000000.5", "yesterday", "2026-09-21", ""] {
            assert_eq!(timestamp_seconds(text), None, "{text}");
        }
    }
}
