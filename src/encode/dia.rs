//! One hit as one XML document of the Data Insertion API.

use memchr::memchr3_iter;

use crate::hit::{Hit, VisitorIdentity};

/// Every tag that a hit can have beside `eVar1` to `eVar34`, in the order they are written. Adobe ignores unknown tags
/// silently, so each of these stands in its variable reference.
pub const TAGS: [&str; 12] = [
    "scXmlVer",
    "reportSuiteID",
    "timestamp",
    "visitorID",
    "marketingCloudVisitorID",
    "marketingCloudOrgID",
    "ipAddress",
    "userAgent",
    "pageName",
    "linkType",
    "linkName",
    "events",
];

/// What `pageName` says before the label of the event.
pub(super) const PAGE_PREFIX: &str = "Adobe Pass: ";
/// A custom link: as a link, a hit adds no page view ("Page views", Components Guide).
pub(super) const CUSTOM_LINK: &str = "o";
/// The bytes of an ordinary document; a longer one grows the body.
const DOCUMENT_BYTES: usize = 2_048;
const START: &str = r#"<?xml version="1.0" encoding="UTF-8"?><request>"#;
const END: &str = "</request>";

/// A tag, spelt out once for all hits.
pub(crate) struct Tag {
    pub(crate) name: &'static str,
    open: &'static str,
    close: &'static str,
}

macro_rules! tag {
    ($($name:tt)+) => {
        Tag {
            name: concat!($($name),+),
            open: concat!("<", $($name,)+ ">"),
            close: concat!("</", $($name,)+ ">"),
        }
    };
}

macro_rules! evars {
    ($($number:literal)*) => { [$(tag!("eVar" $number)),*] };
}

static SC_XML_VER: Tag = tag!("scXmlVer");
static REPORT_SUITE_ID: Tag = tag!("reportSuiteID");
static TIMESTAMP: Tag = tag!("timestamp");
static VISITOR_ID: Tag = tag!("visitorID");
static MARKETING_CLOUD_VISITOR_ID: Tag = tag!("marketingCloudVisitorID");
static MARKETING_CLOUD_ORG_ID: Tag = tag!("marketingCloudOrgID");
static IP_ADDRESS: Tag = tag!("ipAddress");
static USER_AGENT: Tag = tag!("userAgent");
static PAGE_NAME: Tag = tag!("pageName");
static LINK_TYPE: Tag = tag!("linkType");
static LINK_NAME: Tag = tag!("linkName");
static EVENTS: Tag = tag!("events");
static EVARS: [Tag; 34] = evars!(
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34
);

/// Appends the hit to `body`, as one XML document.
pub fn dia(hit: &Hit<'_>, body: &mut Vec<u8>) {
    body.reserve(DOCUMENT_BYTES);
    body.extend_from_slice(START.as_bytes());
    each_tag(hit, |tag, value| {
        body.extend_from_slice(tag.open.as_bytes());
        escape(value, body);
        body.extend_from_slice(tag.close.as_bytes());
    });
    body.extend_from_slice(END.as_bytes());
}

/// Shows each tag of the hit and its value, not escaped, in the order of the document.
pub(crate) fn each_tag(hit: &Hit<'_>, mut show: impl FnMut(&'static Tag, &str)) {
    show(&SC_XML_VER, "1.0");
    show(&REPORT_SUITE_ID, hit.rsid.as_str());
    show(&TIMESTAMP, &hit.timestamp.to_string());
    match &hit.visitor {
        VisitorIdentity::VisitorId(id) => show(&VISITOR_ID, id),
        VisitorIdentity::Ecid { id, org_id } => {
            show(&MARKETING_CLOUD_VISITOR_ID, id);
            if let Some(org_id) = org_id {
                show(&MARKETING_CLOUD_ORG_ID, org_id.as_str());
            }
        }
    }
    if let Some(address) = &hit.ip_address {
        show(&IP_ADDRESS, address);
    }
    if let Some(agent) = &hit.user_agent {
        show(&USER_AGENT, agent);
    }
    show(&PAGE_NAME, &[PAGE_PREFIX, hit.link_name()].concat());
    show(&LINK_TYPE, CUSTOM_LINK);
    show(&LINK_NAME, hit.link_name());
    show(&EVENTS, &hit.events);
    // Mapping numbers them as the table does, 1 to 34.
    for (number, value) in &hit.evars {
        show(&EVARS[usize::from(*number) - 1], value);
    }
}

/// In text, quotes need no entity.
fn escape(value: &str, body: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    // Nearly every value is short and needs nothing: a pass without an early exit costs less than to set up a search.
    if !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'&' | b'<' | b'>')) {
        body.extend_from_slice(bytes);
        return;
    }
    let mut written = 0;
    for at in memchr3_iter(b'&', b'<', b'>', bytes) {
        body.extend_from_slice(&bytes[written..at]);
        body.extend_from_slice(match bytes[at] {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            _ => b"&gt;",
        });
        written = at + 1;
    }
    body.extend_from_slice(&bytes[written..]);
}
