//! Finds the rules that one request breaks, whatever came before it.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};

use super::events_variable::{EVENT_ID_BYTES_MAX, EventUse, event_uses};
use super::rules::{Finding, Rule};
use super::tags::{Document, Tag, TagKind, is_digits};
use crate::event::{DefaultValue, EventKind, Property, VisitorRules};
use crate::suite::Rsid;

/// What Adobe stores of an eVar, in bytes (Adobe Analytics guide, "eVar").
const EVAR_BYTES_MAX: usize = 255;
/// What Adobe stores of `pageName` and `linkName`, in bytes (Adobe Analytics guide, "pageName").
const NAME_BYTES_MAX: usize = 100;
/// The longest `visitorID`, in bytes (Adobe Analytics guide, "visitorID").
const VISITOR_ID_BYTES_MAX: usize = 100;
/// The digits of an ECID (Adobe Analytics guide, "Namespaces").
const ECID_DIGITS: usize = 38;
/// The smallest body that is too large, in bytes. The limit is far above any hit of the integration.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The smallest number that is read as milliseconds: as seconds, it would be a time in November 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;
/// How user agents of HTTP libraries and of browsers begin. A client of the collection host must name itself.
const FOREIGN_AGENTS: [&str; 10] =
    ["reqwest", "hyper", "curl", "wget", "python", "go-http", "java", "okhttp", "axios", "mozilla"];

/// Every rule that the request breaks, except the rules that depend on earlier requests.
pub(super) fn judge(
    headers: &HeaderMap,
    path_rsid: &str,
    body: &[u8],
    document: &Document<'_>,
) -> Vec<Finding> {
    let mut judge = Judge { document, findings: document.findings.clone() };
    judge.headers(headers);
    judge.check(body.len() < BODY_BYTES_MAX, Rule::Size, || format!("{} bytes", body.len()));
    // The other checks would only repeat that nothing could be read.
    if !document.is_malformed {
        judge.hit(path_rsid);
    }
    judge.findings
}

/// Every rule that the values of a hit break, whether the hit came as XML or as a row of a file.
pub(super) fn judge_values(document: &Document<'_>) -> Vec<Finding> {
    let mut judge = Judge { document, findings: Vec::new() };
    judge.hit("");
    judge.findings
}

struct Judge<'d> {
    document: &'d Document<'d>,
    findings: Vec<Finding>,
}

impl<'d> Judge<'d> {
    fn find(&mut self, rule: Rule, detail: impl Into<String>) {
        self.findings.push(Finding::new(rule, detail));
    }

    /// Notes the rule as broken unless `holds` is true.
    fn check(&mut self, holds: bool, rule: Rule, detail: impl FnOnce() -> String) {
        if !holds {
            self.find(rule, detail());
        }
    }

    fn value(&self, name: &str) -> Option<&'d str> {
        self.document.value(name)
    }

    fn hit(&mut self, path_rsid: &str) {
        self.tags();
        self.suite(path_rsid);
        self.identity();
        self.page_context();
        self.timestamp();
        self.events();
        self.evars();
    }

    fn headers(&mut self, headers: &HeaderMap) {
        let text = |name: HeaderName| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
        for name in [CONTENT_TYPE, ACCEPT] {
            let value = text(name.clone());
            let media_type = value.split(';').next().unwrap_or("").trim();
            let is_xml = media_type.eq_ignore_ascii_case("application/xml");
            self.check(is_xml, Rule::Headers, || format!("{name}: {value}"));
        }
        let agent = text(USER_AGENT).to_ascii_lowercase();
        let is_foreign = FOREIGN_AGENTS.iter().any(|foreign| agent.starts_with(foreign));
        self.check(!agent.is_empty() && !is_foreign, Rule::ClientAgent, || format!("user-agent: {agent}"));
    }

    fn tags(&mut self) {
        let document = self.document;
        for (at, tag) in document.tags.iter().enumerate() {
            let is_first = !document.tags[..at].iter().any(|other| other.is(&tag.name));
            self.check(is_first, Rule::FlatTags, || format!("<{}> stands twice", tag.name));
            self.tag(tag);
        }
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        let Tag { kind, name, value } = tag;
        self.check(*kind != TagKind::Unknown, Rule::KnownTags, || format!("<{name}>"));
        let is_version = tag.is("scXmlVer") || tag.is("sc_xml_ver");
        let is_right = !is_version || (name == "scXmlVer" && value == "1.0");
        self.check(is_right, Rule::VersionTag, || format!("<{name}>{value}"));
        let trimmed = value.trim();
        self.check(!trimmed.is_empty(), Rule::NoEmptyTag, || format!("<{name}>"));
        self.check(trimmed.is_empty() || trimmed == value, Rule::CleanText, || {
            format!("<{name}> has white space at an end: {value:?}")
        });
        self.check(!value.chars().any(char::is_control), Rule::CleanText, || {
            format!("<{name}> has a control character: {value:?}")
        });
        self.check(!value.starts_with("D="), Rule::NoDynamicVariable, || format!("<{name}> is {value:?}"));
    }

    fn suite(&mut self, path_rsid: &str) {
        self.check(path_rsid.is_empty(), Rule::OneSuite, || format!("the path names {path_rsid:?}"));
        let rsid = self.value("reportSuiteID").unwrap_or("");
        self.check(rsid.parse::<Rsid>().is_ok(), Rule::OneSuite, || format!("reportSuiteID is {rsid:?}"));
    }

    fn identity(&mut self) {
        let visitor_id = self.value("visitorID");
        let ecid = self.value("marketingCloudVisitorID");
        let others = [self.value("analyticsVisitorID"), self.value("fallbackVisitorID")];
        let lacks = || "neither visitorID nor marketingCloudVisitorID".to_owned();
        self.check(visitor_id.or(ecid).is_some(), Rule::Identity, lacks);
        let identifiers = [visitor_id, ecid].into_iter().chain(others).flatten().count();
        self.check(identifiers < 2, Rule::OneIdentifier, || "more than one identifier".to_owned());
        for id in [visitor_id, ecid].into_iter().flatten() {
            let is_somebody = VisitorRules::default().known(id).is_some();
            self.check(is_somebody, Rule::NoPlaceholder, || format!("the identity is {id:?}"));
        }
        if let Some(id) = visitor_id {
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_short = id.len() <= VISITOR_ID_BYTES_MAX;
            self.check(is_plain && is_short, Rule::VisitorIdForm, || format!("visitorID is {id:?}"));
        }
        if let Some(id) = ecid {
            let is_ecid = id.len() == ECID_DIGITS && is_digits(id);
            self.check(is_ecid, Rule::EcidForm, || format!("marketingCloudVisitorID is {id:?}"));
        }
    }

    fn page_context(&mut self) {
        let [link_type, link_name, page_name] = ["linkType", "linkName", "pageName"].map(|tag| {
            let value = self.value(tag);
            self.check(value.is_some(), Rule::PageContext, || format!("no {tag}"));
            value
        });
        let is_link = link_type.is_some() && link_name.or(self.value("linkURL")).is_some();
        let page_view = || "without link type and name it is a page view".to_owned();
        self.check(is_link, Rule::NoPageView, page_view);
        if let Some(link_type) = link_type.filter(|link_type| *link_type != "o") {
            self.find(Rule::LinkForm, format!("linkType is {link_type:?}"));
        }
        for (tag, value) in [("linkName", link_name), ("pageName", page_name)] {
            if let Some(value) = value.filter(|value| value.len() > NAME_BYTES_MAX) {
                self.find(Rule::LinkForm, format!("{tag} has {} bytes", value.len()));
            }
        }
    }

    fn timestamp(&mut self) {
        let Some(timestamp) = self.value("timestamp") else {
            self.find(Rule::Timestamp, "no timestamp");
            return;
        };
        let is_seconds =
            is_digits(timestamp) && timestamp.parse().is_ok_and(|seconds: u64| seconds < MILLISECONDS_FROM);
        self.check(is_seconds, Rule::TimestampDigits, || format!("timestamp is {timestamp:?}"));
    }

    fn events(&mut self) {
        let events = self.value("events").unwrap_or("");
        let is_one = event_uses(events).count() == 1 && !events.contains(',');
        self.check(is_one, Rule::EventName, || format!("events is {events:?}"));
        for event in event_uses(events) {
            self.event(&event);
        }
    }

    fn event(&mut self, event: &EventUse<'_>) {
        let (name, is_ours) = (event.name, event.slot().is_some());
        self.check(is_ours, Rule::EventName, || format!("{name:?} is none of event1 to event18"));
        if let Some(count) = event.count {
            let is_whole = !count.starts_with('0') && is_digits(count);
            let is_right = is_whole && count.parse().is_ok_and(|count: u64| count >= 2);
            self.check(is_right, Rule::EventCount, || format!("the count is {count:?}"));
        }
        if let Some(id) = event.id {
            let is_plain = id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
            let is_right = is_plain && (1..=EVENT_ID_BYTES_MAX).contains(&id.len());
            self.check(is_right, Rule::EventId, || format!("the event ID is {id:?}"));
        }
        self.check(!event.id_first, Rule::CountBeforeId, || "the ID stands before the count".to_owned());
    }

    fn evars(&mut self) {
        let mut present = [false; Property::EVARS + 1];
        for (number, value) in self.document.evars() {
            match present.get_mut(usize::from(number)) {
                Some(present) => *present = true,
                None => self.find(Rule::FixedTable, format!("eVar{number} is not in the table")),
            }
            let bytes = value.len();
            self.check(bytes <= EVAR_BYTES_MAX, Rule::EvarLength, || {
                format!("eVar{number} has {bytes} bytes")
            });
        }
        let kind = event_uses(self.value("events").unwrap_or(""))
            .find_map(|event| event.slot())
            .and_then(EventKind::from_slot);
        for (property, evar) in Property::reported().iter().zip(1..) {
            let is_right = present[evar] || !is_always_sent(*property, kind);
            self.check(is_right, Rule::FixedTable, || format!("no eVar{evar} ({})", property.label()));
        }
    }
}

/// Whether every hit of this event carries the property, even if the event has no value for it.
fn is_always_sent(property: Property, kind: Option<EventKind>) -> bool {
    match property.default_value() {
        DefaultValue::Absent => property == Property::RequestorId,
        DefaultValue::Always(_) | DefaultValue::Clientless(..) => true,
        DefaultValue::On(kinds, _) => kind.is_some_and(|kind| kinds.contains(&kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::xml::{DECLARATION, read};
    use super::*;

    /// A hit that breaks no rule.
    const GOOD: &str = "<scXmlVer>1.0</scXmlVer><reportSuiteID>examplersid</reportSuiteID>\
        <timestamp>1790000000</timestamp><visitorID>abc</visitorID><pageName>Adobe Pass: AuthZ OK</pageName>\
        <linkType>o</linkType><linkName>AuthZ OK</linkName><events>event5:4k0z</events><eVar1>SPORT1</eVar1>\
        <eVar3>Direct</eVar3><eVar8>normal</eVar8><eVar9>N/A</eVar9><eVar17>N/A</eVar17>";

    fn broken(tags: &str, path_rsid: &str) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(CONTENT_TYPE, "application/xml"), (ACCEPT, "application/xml"), (USER_AGENT, "x/1")]
        {
            headers.insert(name, value.parse().expect("a header value"));
        }
        let body = format!("{DECLARATION}<request>{tags}</request>");
        let document = read(body.as_bytes());
        judge(&headers, path_rsid, body.as_bytes(), &document)
            .iter()
            .map(|finding| finding.rule.as_str())
            .collect()
    }

    /// The codes of the rules that the good hit breaks once `part` is replaced.
    fn with(part: &str, replacement: &str) -> Vec<&'static str> {
        assert!(GOOD.contains(part), "{part}");
        broken(&GOOD.replace(part, replacement), "")
    }

    #[test]
    fn the_good_hit_breaks_no_rule() {
        assert_eq!(broken(GOOD, ""), [""; 0]);
        let ecid = format!("<marketingCloudVisitorID>{}</marketingCloudVisitorID>", "1".repeat(38));
        assert_eq!(with("<visitorID>abc</visitorID>", &ecid), [""; 0]);
        assert_eq!(with("event5:4k0z", "event5=2"), [""; 0]);
        assert_eq!(with("SPORT1", &"é".repeat(127)), [""; 0]);
        assert_eq!(with("<visitorID>abc", &format!("<visitorID>{}", "a".repeat(100))), [""; 0]);
        assert_eq!(
            with("linkName>AuthZ OK</linkName", &format!("linkName>{}</linkName", "a".repeat(100))),
            [""; 0]
        );
    }

    #[test]
    fn each_change_for_the_worse_breaks_its_rule() {
        for (part, replacement, code) in [
            ("<eVar1>SPORT1</eVar1>", "<eVar1>SPORT1</eVar1><evar1>x</evar1>", "DIA-07"),
            ("<eVar17>N/A</eVar17>", "<eVar17>N/A</eVar17><evarr>x</evarr>", "DIA-11"),
            ("examplersid", "one,two", "DIA-12"),
            ("abc", " ", "DIA-13"),
            ("<pageName>Adobe Pass: AuthZ OK</pageName>", "", "DIA-14"),
            ("<linkType>o", "<linkType>lnk_o", "DIA-15"),
            ("<linkType>o</linkType>", "", "DIA-16"),
            ("SPORT1", "", "DIA-17"),
            ("1.0", "2.0", "DIA-18"),
            ("<scXmlVer>1.0</scXmlVer>", "<sc_xml_ver>1.0</sc_xml_ver>", "DIA-18"),
            ("SPORT1", "D=v2", "DIA-19"),
            ("abc", "a-c", "DIA-21"),
            ("abc", "ünder", "DIA-21"),
            ("abc", "NULL", "DIA-24"),
            ("<visitorID>abc", "<fallbackVisitorID>d</fallbackVisitorID><visitorID>abc", "DIA-26"),
            (
                "<visitorID>abc</visitorID>",
                "<marketingCloudVisitorID>123</marketingCloudVisitorID>",
                "DIA-27",
            ),
            ("<timestamp>1790000000</timestamp>", "", "DIA-30"),
            ("1790000000", "1790000000.0", "DIA-31"),
            ("1790000000", "1790000000000", "DIA-31"),
            ("1790000000", "2026-09-21T13:33:20Z", "DIA-31"),
            ("event5:4k0z", "event19:4k0z", "DIA-38"),
            ("event5:4k0z", "event5:4k0z,event6:4k0z", "DIA-38"),
            ("event5:4k0z", "Event5", "DIA-38"),
            ("event5:4k0z", "event5=1", "DIA-39"),
            ("event5:4k0z", "event5=2.5", "DIA-39"),
            ("event5:4k0z", "event5=02", "DIA-39"),
            ("4k0z", "4K0z", "DIA-40"),
            ("4k0z", "012345678901234567890", "DIA-40"),
            ("event5:4k0z", "event5:4k0z=3", "DIA-44"),
            ("SPORT1", " SPORT1", "DIA-46"),
            ("SPORT1", "SPO\tRT1", "DIA-46"),
            ("SPORT1", "SPO\u{85}RT1", "DIA-46"),
            ("<eVar9>N/A</eVar9>", "", "DIA-47"),
            ("<eVar8>normal</eVar8>", "", "DIA-47"),
            ("<eVar17>N/A</eVar17>", "<eVar17>N/A</eVar17><eVar35>x</eVar35>", "DIA-47"),
        ] {
            let codes = with(part, replacement);
            assert!(codes.contains(&code), "{replacement:?} breaks {codes:?}, not {code}");
        }
        assert_eq!(with("SPORT1", &"a".repeat(256)), ["DIA-45"]);
        assert_eq!(broken(GOOD, "examplersid"), ["DIA-12"]);
        let eight_on_other_events = GOOD.replace("event5", "event6").replace("<eVar8>normal</eVar8>", "");
        assert_eq!(broken(&eight_on_other_events, ""), [""; 0]);
    }

    #[test]
    fn headers_are_judged_by_media_type_and_agent() {
        let mut headers = HeaderMap::new();
        let document = Document::default();
        let codes = |headers: &HeaderMap| -> Vec<&'static str> {
            let mut judge = Judge { document: &document, findings: Vec::new() };
            judge.headers(headers);
            judge.findings.iter().map(|finding| finding.rule.as_str()).collect()
        };
        assert_eq!(codes(&headers), ["DIA-03", "DIA-03", "DIA-60"]);
        headers.insert(CONTENT_TYPE, "application/xml; charset=utf-8".parse().expect("a value"));
        headers.insert(ACCEPT, "application/xml".parse().expect("a value"));
        headers.insert(USER_AGENT, "Mozilla/5.0 (X11)".parse().expect("a value"));
        assert_eq!(codes(&headers), ["DIA-60"]);
        headers.insert(USER_AGENT, "passbridge/1".parse().expect("a value"));
        assert_eq!(codes(&headers), [""; 0]);
    }
}
