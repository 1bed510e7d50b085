//! The body of a request, read with the sandbox's own eyes: what its tags say, and which rules of the published grammar its
//! bytes break.
//!
//! The common case, a plain document that breaks none, is scanned in one pass. Anything else is read again, slowly and
//! with names for what is wrong: [`read`] gives the same tags either way.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use super::reader::read_carefully;
use super::rules::{Finding, Rule};

/// How every document must begin (Data Insertion API, "Troubleshooting").
pub(super) const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
/// How many tags a hit has at most, so that the list seldom grows.
const TAGS_EXPECTED: usize = 48;
/// The highest eVar that Adobe has.
pub(super) const EVAR_MAX: u16 = 250;

/// What a tag is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TagKind {
    ReportSuiteId,
    Timestamp,
    VisitorId,
    AnalyticsVisitorId,
    MarketingCloudVisitorId,
    MarketingCloudOrgId,
    FallbackVisitorId,
    IpAddress,
    UserAgent,
    PageName,
    PageUrl,
    LinkType,
    LinkName,
    LinkUrl,
    Events,
    ScXmlVer,
    Evar(u16),
    /// In Adobe's variable reference, of no use here.
    Other,
    /// In no reference: ignored by Adobe without a word.
    Unknown,
}

/// The tags that the sandbox looks into (Data Insertion API, "Variable reference"); compared without regard to case.
const NAMED: [(&str, TagKind); 17] = [
    ("scXmlVer", TagKind::ScXmlVer),
    ("sc_xml_ver", TagKind::ScXmlVer),
    ("reportSuiteId", TagKind::ReportSuiteId),
    ("timestamp", TagKind::Timestamp),
    ("visitorId", TagKind::VisitorId),
    ("analyticsVisitorId", TagKind::AnalyticsVisitorId),
    ("marketingCloudVisitorId", TagKind::MarketingCloudVisitorId),
    ("marketingCloudOrgId", TagKind::MarketingCloudOrgId),
    ("fallbackVisitorId", TagKind::FallbackVisitorId),
    ("ipAddress", TagKind::IpAddress),
    ("userAgent", TagKind::UserAgent),
    ("pageName", TagKind::PageName),
    ("pageUrl", TagKind::PageUrl),
    ("linkType", TagKind::LinkType),
    ("linkName", TagKind::LinkName),
    ("linkUrl", TagKind::LinkUrl),
    ("events", TagKind::Events),
];

/// The rest of the variable reference.
const OTHERS: [&str; 29] = [
    "language",
    "customerPerspective",
    "server",
    "channel",
    "imsRegion",
    "aamBlob",
    "a4t",
    "userAgentClientHints",
    "browserHeight",
    "browserWidth",
    "campaign",
    "colorDepth",
    "connectionType",
    "contextData",
    "cookiesEnabled",
    "currencyCode",
    "javaEnabled",
    "pageType",
    "products",
    "purchaseId",
    "referrer",
    "resolution",
    "state",
    "transactionId",
    "zip",
    "timezone",
    "homePage",
    "javaScriptVersion",
    "plugins",
];

/// Families of numbered tags, with the last number of each.
const FAMILIES: [(&[u8; 4], u16); 3] = [(b"prop", 75), (b"hier", 5), (b"list", 3)];

impl TagKind {
    pub(super) fn of(name: &str) -> TagKind {
        if let Some(number) = numbered(name, b"evar") {
            return if number <= EVAR_MAX { TagKind::Evar(number) } else { TagKind::Unknown };
        }
        if let Some((_, kind)) = NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return *kind;
        }
        let is_other = OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name))
            || FAMILIES
                .iter()
                .any(|(family, last)| numbered(name, family).is_some_and(|number| number <= *last))
            || name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("contextData."));
        if is_other { TagKind::Other } else { TagKind::Unknown }
    }
}

/// The number of a tag such as `eVar7`, from 1 on.
fn numbered(name: &str, family: &[u8; 4]) -> Option<u16> {
    let (start, digits) = name.as_bytes().split_first_chunk::<4>()?;
    if !start.eq_ignore_ascii_case(family) || digits.first().is_none_or(|digit| *digit == b'0') {
        return None;
    }
    digits.iter().try_fold(0, |number: u16, digit| {
        let value = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

/// One tag with its text, entities resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'b> {
    pub(super) kind: TagKind,
    pub(super) name: Cow<'b, str>,
    pub(super) value: Cow<'b, str>,
}

/// A body as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document<'b> {
    /// In the order of the body.
    pub(super) tags: Vec<Tag<'b>>,
    /// Rules of the grammar that its bytes break.
    pub(super) findings: Vec<Finding>,
    /// Whether Adobe's parser would refuse it: "Syntax Error".
    pub(super) is_malformed: bool,
}

impl Document<'_> {
    /// The text of the first tag of this kind that is more than white space: what Adobe would use.
    pub(super) fn value(&self, kind: TagKind) -> Option<&str> {
        self.tags
            .iter()
            .find(|tag| tag.kind == kind)
            .map(|tag| tag.value.as_ref())
            .filter(|value| !value.trim().is_empty())
    }

    pub(super) fn evars(&self) -> impl Iterator<Item = (u16, &str)> {
        self.tags.iter().filter_map(|tag| match tag.kind {
            TagKind::Evar(number) => Some((number, tag.value.as_ref())),
            _ => None,
        })
    }
}

pub(super) fn read(body: &[u8]) -> Document<'_> {
    let Ok(text) = str::from_utf8(body) else {
        return Document {
            findings: vec![Finding::new(Rule::Declaration, "the body is not UTF-8")],
            is_malformed: true,
            ..Document::default()
        };
    };
    match scan(text) {
        Some(tags) => Document { tags, ..Document::default() },
        None => read_carefully(text),
    }
}

/// The tags of a document that breaks no rule of the grammar; `None` where it may.
fn scan(text: &str) -> Option<Vec<Tag<'_>>> {
    if has_illegal_character(text) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut tags = Vec::with_capacity(TAGS_EXPECTED);
    let first = text.strip_prefix(DECLARATION)?.trim_ascii_start().strip_prefix("<request>")?;
    let mut at = text.len() - first.len();
    loop {
        at += bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace())?;
        let name_at = at + bytes[at..].strip_prefix(b"<").map(|_| 1)?;
        if let Some(end) = bytes[name_at..].strip_prefix(b"/request>") {
            return end.trim_ascii().is_empty().then_some(tags);
        }
        let name_length = plain_name_length(&bytes[name_at..])?;
        let value_at = name_at + name_length + 1;
        let mut close_at = value_at + memchr3(b'<', b'&', b'>', &bytes[value_at..])?;
        let is_literal = bytes[close_at] == b'<';
        if !is_literal {
            close_at += memchr(b'<', &bytes[close_at..])?;
        }
        let name = &text[name_at..name_at + name_length];
        let value = &text[value_at..close_at];
        let close = bytes[close_at..].strip_prefix(b"</")?.strip_prefix(name.as_bytes())?;
        close.strip_prefix(b">")?;
        tags.push(Tag {
            kind: TagKind::of(name),
            name: Cow::Borrowed(name),
            value: if is_literal { Cow::Borrowed(value) } else { resolve(value)? },
        });
        at = close_at + name_length + 3;
    }
}

/// The length of a name that ends with `>`: letters, digits, underscores and periods, a letter first. No namespace, no
/// attribute.
fn plain_name_length(bytes: &[u8]) -> Option<usize> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let length = bytes.iter().position(|byte| !is_plain(byte))?;
    (bytes[0].is_ascii_alphabetic() && bytes[length] == b'>').then_some(length)
}

/// Text with its entities resolved; `None` where it holds another entity, a bare ampersand or a bare `>`.
fn resolve(raw: &str) -> Option<Cow<'_, str>> {
    let Some(mut at) = memchr2(b'&', b'>', raw.as_bytes()) else { return Some(Cow::Borrowed(raw)) };
    let mut resolved = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        resolved.push_str(&rest[..at]);
        let entity = rest[at..].strip_prefix('&')?;
        let (name, after) = entity.split_once(';')?;
        resolved.push(entity_character(name)?);
        rest = after;
        match memchr2(b'&', b'>', rest.as_bytes()) {
            Some(next) => at = next,
            None => {
                resolved.push_str(rest);
                return Some(Cow::Owned(resolved));
            }
        }
    }
}

/// The character of one of the five entities that Adobe supports (Data Insertion API, "Build a request").
pub(super) fn entity_character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// Whether a character stands in it that XML 1.0 cannot carry.
pub(super) fn has_illegal_character(text: &str) -> bool {
    // Without an early end, so that the compiler can look at many bytes at once.
    let has_control = text
        .bytes()
        .fold(false, |found, byte| found | (byte < 0x20 && byte != b'\t' && byte != b'\n' && byte != b'\r'));
    has_control || (memchr(0xef, text.as_bytes()).is_some() && text.contains(['\u{fffe}', '\u{ffff}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(inner: &str) -> String {
        format!("{DECLARATION}<request>{inner}</request>")
    }

    #[test]
    fn a_plain_document_is_scanned_and_its_entities_resolved() {
        let body =
            document("<eVar2>a &amp; b &lt;c&gt; &quot;d&quot; &apos;</eVar2>\n<events>event1</events>");
        let tags = scan(&body).expect("a plain document");
        assert_eq!(tags[0].kind, TagKind::Evar(2));
        assert_eq!(tags[0].value, "a & b <c> \"d\" '");
        assert_eq!((tags[1].kind, tags[1].value.as_ref()), (TagKind::Events, "event1"));
    }

    #[test]
    fn whatever_may_break_a_rule_is_left_to_the_careful_reader() {
        for inner in [
            "<eVar1>&nbsp;</eVar1>",
            "<eVar1>&#65;</eVar1>",
            "<eVar1>a & b</eVar1>",
            "<eVar1>a > b</eVar1>",
            "<eVar1 a=\"b\">x</eVar1>",
            "<eVar1><b/></eVar1>",
            "<eVar1/>",
            "<eVar1>\u{1}</eVar1>",
            "<eVar1>\u{ffff}</eVar1>",
            "<eVar1>x</eVar2>",
            "<!-- c -->",
            "<eVar1><![CDATA[x]]></eVar1>",
            "text",
            "<eVar1>x",
        ] {
            assert_eq!(scan(&document(inner)), None, "{inner}");
        }
        assert_eq!(scan("<request></request>"), None);
    }

    #[test]
    fn tags_are_known_without_regard_to_case() {
        for (name, kind) in [
            ("reportSuiteID", TagKind::ReportSuiteId),
            ("VISITORID", TagKind::VisitorId),
            ("eVar34", TagKind::Evar(34)),
            ("evar250", TagKind::Evar(250)),
            ("eVar251", TagKind::Unknown),
            ("eVar0", TagKind::Unknown),
            ("eVar", TagKind::Unknown),
            ("prop75", TagKind::Other),
            ("prop76", TagKind::Unknown),
            ("contextData.a", TagKind::Other),
            ("visitor", TagKind::Unknown),
        ] {
            assert_eq!(TagKind::of(name), kind, "{name}");
        }
    }
}
