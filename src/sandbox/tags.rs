//! The tags of a hit by name, whether the hit came as XML or as a row of a file.

use std::borrow::Cow;

use super::rules::Finding;

/// The highest eVar that Adobe has.
const EVAR_MAX: u16 = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TagKind {
    Evar(u16),
    /// The tag is in Adobe's variable reference.
    Known,
    /// The tag is in no reference, so Adobe ignores it silently.
    Unknown,
}

/// The tags of the variable reference (Data Insertion API), except numbered tags. Case is ignored.
const KNOWN: &str = "scXmlVer sc_xml_ver reportSuiteID timestamp visitorID analyticsVisitorID marketingCloudVisitorID \
    marketingCloudOrgID fallbackVisitorID ipAddress userAgent pageName pageURL linkType linkName linkURL \
    events language customerPerspective server channel imsRegion aamBlob a4t userAgentClientHints \
    browserHeight browserWidth campaign colorDepth connectionType contextData cookiesEnabled \
    currencyCode javaEnabled pageType products purchaseId referrer resolution state transactionId zip \
    timezone homePage javaScriptVersion plugins";

/// Families of numbered tags, with the last number of each.
const FAMILIES: [(&str, u16); 3] = [("prop", 75), ("hier", 5), ("list", 3)];

impl TagKind {
    pub(super) fn of(name: &str) -> TagKind {
        if let Some(number) = numbered(name, "evar") {
            return if number <= EVAR_MAX { TagKind::Evar(number) } else { TagKind::Unknown };
        }
        let is_known = KNOWN.split(' ').any(|known| known.eq_ignore_ascii_case(name))
            || FAMILIES
                .iter()
                .any(|(family, last)| numbered(name, family).is_some_and(|number| number <= *last))
            || name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("contextData."));
        if is_known { TagKind::Known } else { TagKind::Unknown }
    }
}

/// The number of a tag such as `eVar7`, from 1 on.
fn numbered(name: &str, family: &str) -> Option<u16> {
    let (start, digits) = name.split_at_checked(family.len())?;
    let is_one = start.eq_ignore_ascii_case(family) && !digits.starts_with('0') && is_digits(digits);
    digits.parse().ok().filter(|_| is_one)
}

pub(super) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One tag with its text, entities resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'b> {
    pub(super) kind: TagKind,
    pub(super) name: Cow<'b, str>,
    pub(super) value: Cow<'b, str>,
}

impl Tag<'_> {
    /// Whether the tag has this name. Case is ignored.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A body, or a row of a file, as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document<'b> {
    pub(super) tags: Vec<Tag<'b>>,
    /// The rules of the grammar that its bytes break.
    pub(super) findings: Vec<Finding>,
    /// Whether Adobe's parser would refuse the document: "Syntax Error".
    pub(super) is_malformed: bool,
}

impl Document<'_> {
    /// The value that Adobe would use: the text of the first tag of this name, if it is more than white space.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.is(name))?;
        Some(tag.value.as_ref()).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn evars(&self) -> impl Iterator<Item = (u16, &str)> {
        self.tags.iter().filter_map(|tag| match tag.kind {
            TagKind::Evar(number) => Some((number, tag.value.as_ref())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_known_without_regard_to_case() {
        for (name, kind) in [
            ("reportSuiteID", TagKind::Known),
            ("VISITORID", TagKind::Known),
            ("eVar34", TagKind::Evar(34)),
            ("evar250", TagKind::Evar(250)),
            ("eVar251", TagKind::Unknown),
            ("eVar0", TagKind::Unknown),
            ("eVar", TagKind::Unknown),
            ("prop75", TagKind::Known),
            ("prop76", TagKind::Unknown),
            ("contextData.a", TagKind::Known),
            ("visitor", TagKind::Unknown),
        ] {
            assert_eq!(TagKind::of(name), kind, "{name}");
        }
    }
}
