//! One hit as one XML document of the Data Insertion API.

use bytes::BufMut;
use memchr::memchr3_iter;

use crate::event::Property;
use crate::hit::{Hit, VisitorIdentity};

/// Every tag that a hit can have besides `eVar1` to `eVar34`, in the order of the document. Adobe silently
/// ignores unknown tags, so each of these must be in Adobe's variable reference.
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

/// The `linkType` of a custom link. A hit that is a link adds no page view ("Page views", Components Guide).
pub(super) const CUSTOM_LINK: &str = "o";
const START: &str = r#"<?xml version="1.0" encoding="UTF-8"?><request>"#;
const END: &str = "</request>";

/// The eVars' tags by number. They are constants, because each is written millions of times.
pub(super) const EVARS: [&str; Property::EVARS] = [
    "eVar1", "eVar2", "eVar3", "eVar4", "eVar5", "eVar6", "eVar7", "eVar8", "eVar9", "eVar10", "eVar11",
    "eVar12", "eVar13", "eVar14", "eVar15", "eVar16", "eVar17", "eVar18", "eVar19", "eVar20", "eVar21",
    "eVar22", "eVar23", "eVar24", "eVar25", "eVar26", "eVar27", "eVar28", "eVar29", "eVar30", "eVar31",
    "eVar32", "eVar33", "eVar34",
];

/// Appends the hit to `body`, as one XML document.
pub fn dia(hit: &Hit<'_>, body: &mut impl BufMut) {
    body.put_slice(START.as_bytes());
    each_tag(hit, |tag, value| {
        body.put_u8(b'<');
        body.put_slice(tag.as_bytes());
        body.put_u8(b'>');
        escape(value, body);
        body.put_slice(b"</");
        body.put_slice(tag.as_bytes());
        body.put_u8(b'>');
    });
    body.put_slice(END.as_bytes());
}

/// Calls `show` with each tag of the hit and its value, not escaped, in the order of the document.
pub(crate) fn each_tag(hit: &Hit<'_>, mut show: impl FnMut(&'static str, &str)) {
    show("scXmlVer", "1.0");
    show("reportSuiteID", hit.rsid.as_str());
    show("timestamp", &hit.timestamp.to_string());
    let (tag, id) = hit.visitor.tag();
    show(tag, id);
    if let VisitorIdentity::Ecid { org_id: Some(org_id), .. } = &hit.visitor {
        show("marketingCloudOrgID", org_id.as_str());
    }
    if let Some(address) = &hit.ip_address {
        show("ipAddress", address);
    }
    if let Some(agent) = &hit.user_agent {
        show("userAgent", agent);
    }
    show("pageName", &hit.page_name());
    show("linkType", CUSTOM_LINK);
    show("linkName", hit.link_name());
    show("events", &hit.events);
    // The mapping numbers eVars as the table does, from 1.
    for (number, value) in &hit.evars {
        show(EVARS[usize::from(*number) - 1], value);
    }
}

/// Escapes a text. Quotes need an entity only in attributes, and the document has none.
fn escape(value: &str, body: &mut impl BufMut) {
    let bytes = value.as_bytes();
    // Nearly every value is short and needs no escape. Then checking all bytes costs less than preparing a search.
    if !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'&' | b'<' | b'>')) {
        body.put_slice(bytes);
        return;
    }
    let mut written = 0;
    for at in memchr3_iter(b'&', b'<', b'>', bytes) {
        body.put_slice(&bytes[written..at]);
        body.put_slice(match bytes[at] {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            _ => b"&gt;",
        });
        written = at + 1;
    }
    body.put_slice(&bytes[written..]);
}
