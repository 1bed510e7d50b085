//! Values of a viewer that sources spell in different ways: identifiers, words for "unknown", and addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::Property;

/// Words that mean "no viewer", in upper or lower case. The mapping, the report, the sandbox and the readers all use
/// this list, for every identifier. If such a word were sent as an ID, Adobe would count all these viewers as one
/// giant visitor. Version 1 of the visitor rules has the first three words, version 2 the first fifteen.
const NOBODY: [&str; 26] = [
    "0",
    "null",
    "unknown",
    "undefined",
    "none",
    "nil",
    // Databases export an absent value in these ways.
    "\\n",
    "(null)",
    "(none)",
    "<null>",
    "nan",
    "n/a",
    "-",
    // JavaScript writes this for an object in the place of a text.
    "[object object]",
    // Devices send this if their owner limits tracking.
    "00000000-0000-0000-0000-000000000000",
    // Go, R and Analytics write these for an absent value.
    "<nil>",
    "<none>",
    "na",
    "(not set)",
    "(unknown)",
    // The number zero or the boolean false, written as text.
    "0.0",
    "-0",
    "-0.0",
    "false",
    // An empty text that was quoted twice.
    "\"\"",
    "''",
];
/// The fewest digits of an identifier made only of zeros: a UUID has 32, an Experience Cloud ID 38.
const ZEROS_MIN: usize = 32;
/// A spreadsheet shows at least this many `#` instead of a number if the column is too narrow.
const NARROW_MIN: usize = 2;

/// The identifiers of a viewer, to which the rules below apply.
pub(super) const IDENTIFIERS_OF_VIEWER: [Property; 4] =
    [Property::MvpdUserId, Property::VisitorId, Property::DeviceId, Property::SessionId];
/// All identifiers that spreadsheets may spoil. The rules below read the first four; the others are sent as they are.
pub const IDENTIFIERS: [Property; 7] = {
    let [user, visitor, device, session] = IDENTIFIERS_OF_VIEWER;
    [user, visitor, device, session, Property::Mvpd, Property::Proxy, Property::ResourceId]
};

/// The version of the rules that find the visitor of an event. It is part of a hit's form: an event that was sent
/// under one version is always repeated under the same version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum VisitorRules {
    /// Three words for "no viewer"; an address only in its plain spelling.
    V1,
    /// Fifteen words for "no viewer"; also an address with a port, in brackets, with a zone, or first in a list.
    V2,
    /// All words for "no viewer"; every spelling of an address; identifiers without what a spreadsheet puts around
    /// them.
    #[default]
    V3,
}

impl VisitorRules {
    const ALL: [VisitorRules; 3] = [VisitorRules::V1, VisitorRules::V2, VisitorRules::V3];

    /// The number under which the buffer stores this version.
    pub fn number(self) -> i64 {
        self as i64 + 1
    }

    /// The version that the buffer stores under this number.
    pub fn of_number(number: i64) -> Option<VisitorRules> {
        VisitorRules::ALL.into_iter().find(|rules| rules.number() == number)
    }

    /// The identifier in a text; `None` if the text means "no viewer".
    pub fn known(self, text: &str) -> Option<&str> {
        if self < VisitorRules::V3 {
            let bare = text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control());
            return (!self.is_word_for_nobody(bare)).then_some(text);
        }
        let value = written(text).filter(|value| !self.is_word_for_nobody(value))?;
        // White space inside an ID is kept: two IDs that differ in it are two visitors.
        Some(if value == bare(text) { text } else { value })
    }

    /// The text that the eVar of a property shows: the original, without what a spreadsheet put around an identifier.
    pub fn shown(self, property: Property, text: &str) -> &str {
        let is_of_viewer = matches!(property, Property::MvpdUserId | Property::VisitorId);
        let written =
            written(text).filter(|value| is_of_viewer && self >= VisitorRules::V3 && *value != bare(text));
        written.unwrap_or(text)
    }

    fn is_word_for_nobody(self, bare: &str) -> bool {
        let words = match self {
            VisitorRules::V1 => &NOBODY[..3],
            VisitorRules::V2 => &NOBODY[..15],
            VisitorRules::V3 => &NOBODY[..],
        };
        bare.is_empty()
            || words.iter().any(|word| bare.eq_ignore_ascii_case(word))
            || self >= VisitorRules::V3 && is_all_zeros(bare)
    }

    /// The address in a text.
    pub fn address(self, text: &str) -> Option<IpAddr> {
        match self {
            VisitorRules::V1 => text.trim().parse().ok(),
            VisitorRules::V2 => address(text.split(',').next()?),
            VisitorRules::V3 => address_in_list(text),
        }
    }
}

/// Whether an address is lost: the text is no address, and it does not say that the address is unknown either.
pub fn is_lost_address(text: &str) -> bool {
    let mut items = text.split(',').map(node);
    VisitorRules::V3.address(text).is_none() && items.any(|item| !is_hidden(item))
}

/// An identifier without quotes and spaces around it, for comparisons. A spoilt identifier keeps its text.
pub fn identifier(text: &str) -> &str {
    written(text).unwrap_or_else(|| bare(text))
}

/// Whether a spreadsheet changed one of the [`IDENTIFIERS`], so that the text is not sent as the source wrote it.
pub fn is_spoilt(property: Property, text: &str) -> bool {
    if IDENTIFIERS_OF_VIEWER.contains(&property) { written(text).is_none() } else { is_spoilt_text(text) }
}

/// The same as `is_spoilt`, for an identifier that is not of a viewer.
pub(super) fn is_spoilt_text(text: &str) -> bool {
    written(text) != Some(bare(text))
}

/// An identifier as its source wrote it, without what a spreadsheet adds to keep a text that looks like a number:
/// `="0012345"`, or an apostrophe in front. `None` if the spreadsheet made it a number and kept only the first digits
/// (`1.23457E+11`, also with a decimal comma), showed `######` in a narrow column, or made it a formula (`#N/A`).
fn written(text: &str) -> Option<&str> {
    let text = bare(text);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(inside) = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) {
        return Some(bare(inside));
    }
    // An apostrophe that begins a name (`'t Gooi`) is part of the text.
    if let Some(behind) = text.strip_prefix('\'')
        && (is_number(behind) || behind.starts_with(['=', '+', '-', '@']))
    {
        return Some(behind);
    }
    let is_short = text.split_once(['e', 'E']).is_some_and(|(digits, exponent)| {
        let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, "0"));
        // An exponent alone does not prove a number: `3e4567` may be a hexadecimal identifier.
        let is_marked = digits.contains(['.', ',']) || exponent.starts_with('+');
        let power = exponent.strip_prefix('+').unwrap_or(exponent);
        is_marked && whole.len() == 1 && [whole, fraction, power].into_iter().all(is_number)
    });
    let is_error = text.starts_with('#') && text.ends_with(['!', '?'])
        || text.len() >= NARROW_MIN && text.bytes().all(|letter| letter == b'#')
        || ["#n/a", "#nv"].iter().any(|error| text.eq_ignore_ascii_case(error));
    (!is_short && !is_error).then_some(text)
}

/// The text without white space, control characters and zero-width characters at its ends.
fn bare(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control() || is_invisible(letter))
}

/// Characters without a width, which programs and keyboards leave in texts.
pub(super) fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

fn is_all_zeros(text: &str) -> bool {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.clone().count() >= ZEROS_MIN && digits.into_iter().all(|digit| digit == b'0')
}

/// The first address in a list that proxies wrote. Hidden nodes are skipped: a proxy may hide the node before it.
fn address_in_list(text: &str) -> Option<IpAddr> {
    let node = text.split(',').map(node).find(|node| !is_hidden(node))?;
    match node.split_once('/') {
        None => address(node),
        // The prefix length of a network of one address: /32 or /128.
        Some((alone, bits)) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
            address(alone).filter(|found| bits == if found.is_ipv4() { "32" } else { "128" })
        }
        // Java writes a name, which may be empty, a slash and the address.
        Some((_, behind)) => address(behind),
    }
}

/// The node in an item of the list. In a `Forwarded` header (RFC 7239) the node is the value of `for=`.
fn node(item: &str) -> &str {
    let mut pairs = item.split(';').filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.map_or(item, |(_, node)| node).trim().trim_matches('"')
}

/// Whether a node is hidden: empty, a word for "no viewer", or a made-up name with an underscore first (RFC 7239).
fn is_hidden(node: &str) -> bool {
    VisitorRules::V3.is_word_for_nobody(bare(node)) || node.starts_with('_')
}

/// An address alone, with a port, in brackets, or with a zone. IPv4 inside IPv6 becomes IPv4.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"');
    let bare = match node.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?.0,
        // One colon stands before a port; an IPv6 address has more than one.
        None => match node.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => node,
        },
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, _zone) = bare.split_once('%')?;
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for (text, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            (" 203.0.113.9 ", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("::FFFF:CB00:7109", Some("203.0.113.9")),
            ("203.0.113.9:51234", Some("203.0.113.9")),
            ("203.0.113.9, 198.51.100.1", Some("203.0.113.9")),
            ("203.0.113.9:51234,198.51.100.1:1", Some("203.0.113.9")),
            ("[::ffff:203.0.113.9]:443", Some("203.0.113.9")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[fe80::1%25eth0]:80", Some("fe80::1")),
            ("203.0.113.256", None),
            ("unknown, 203.0.113.9", None),
            ("203.0.113.9%eth0", None),
            ("[203.0.113.9", None),
            ("example.com:80", None),
            ("", None),
        ] {
            let found = |rules: VisitorRules| rules.address(text).map(|address| address.to_string());
            assert_eq!(found(VisitorRules::V2).as_deref(), expected, "{text}");
            let of_list = (text == "unknown, 203.0.113.9").then_some("203.0.113.9");
            assert_eq!(found(VisitorRules::V3).as_deref(), expected.or(of_list), "{text}");
        }
        for (text, expected) in [
            ("for=203.0.113.9;proto=https", Some("203.0.113.9")),
            ("proto=http; For=\"[2001:db8::1]:443\"", Some("2001:db8::1")),
            ("for=unknown, for=203.0.113.9", Some("203.0.113.9")),
            ("for=_secret;by=203.0.113.43, for=198.51.100.17", Some("198.51.100.17")),
            ("203.0.113.9/32", Some("203.0.113.9")),
            ("2001:db8::1/128", Some("2001:db8::1")),
            ("/203.0.113.9:51234", Some("203.0.113.9")),
            ("/[2001:db8:0:0:0:0:0:1]:443", Some("2001:db8::1")),
            ("home.example/203.0.113.9:51234", Some("203.0.113.9")),
            (" -, 203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.0/24", None),
            ("2001:db8::/32", None),
            ("viewer, 203.0.113.9", None),
            ("by=203.0.113.43", None),
        ] {
            let found = VisitorRules::V3.address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
            assert_eq!(is_lost_address(text), expected.is_none(), "{text}");
            assert_eq!(VisitorRules::V2.address(text), None, "{text}");
        }
        for text in ["", "unknown", "-", "for=unknown", "for=_hidden", "null, unknown"] {
            assert!(!is_lost_address(text), "{text}: nobody knows it, so none is lost");
        }
        assert_eq!(VisitorRules::V1.address("203.0.113.9:51234"), None);
        assert_eq!(VisitorRules::V1.address("::ffff:203.0.113.9"), "::ffff:203.0.113.9".parse().ok());
    }

    #[test]
    fn words_for_nobody_are_known_in_any_case() {
        for (value, v1, v2) in [
            ("0", true, true),
            (" NULL\u{7}", true, true),
            ("undefined", false, true),
            ("None", false, true),
            ("\\N", false, true),
            ("nil", false, true),
            ("N/A", false, true),
            ("(none)", false, true),
            ("[object Object]", false, true),
            ("", true, true),
            ("00", false, false),
            ("nobody", false, false),
            ("nilsson", false, false),
        ] {
            let is_nobody = |rules: VisitorRules| rules.known(value).is_none();
            assert_eq!(is_nobody(VisitorRules::V1), v1, "{value}");
            assert_eq!(is_nobody(VisitorRules::V2), v2, "{value}");
            assert_eq!(is_nobody(VisitorRules::V3), v2, "{value}");
        }
        let zeros = "0".repeat(38);
        for value in
            ["<nil>", "0.0", "-0", "False", "(not set)", "\"\"", "NA", "\u{feff}null\u{200b}", &zeros]
        {
            assert_eq!(VisitorRules::V3.known(value), None, "{value}");
            assert_eq!(VisitorRules::V2.known(value), Some(value));
        }
        assert_eq!(VisitorRules::V3.known(&zeros[..31]), Some(&zeros[..31]));
    }

    #[test]
    fn an_identifier_is_what_its_source_wrote_whatever_a_spreadsheet_put_around_it() {
        for (text, expected) in [
            ("bob", Some("bob")),
            ("bob   ", Some("bob   ")),
            ("\tbob\u{200b}", Some("\tbob\u{200b}")),
            ("=\"0012345\"", Some("0012345")),
            ("'0012345", Some("0012345")),
            ("'-a", Some("-a")),
            ("'t Gooi", Some("'t Gooi")),
            ("=\"0\"", None),
            ("1.23457E+11", None),
            ("1E+11", None),
            ("1.23457e11", None),
            ("9,99E+11", None),
            ("1,5e3", None),
            ("######", None),
            ("##", None),
            ("#", Some("#")),
            ("#1#", Some("#1#")),
            ("a,bE+11", Some("a,bE+11")),
            ("#N/A", None),
            ("#REF!", None),
            ("#VALUE!", None),
            ("#NAME?", None),
            ("#NAME", Some("#NAME")),
            ("3e4567", Some("3e4567")),
            ("12.3e+4", Some("12.3e+4")),
            ("12345678901234567890", Some("12345678901234567890")),
        ] {
            assert_eq!(VisitorRules::V3.known(text), expected, "{text}");
            assert_eq!(VisitorRules::V2.known(text), Some(text));
        }
        assert!(is_spoilt(Property::DeviceId, "#REF!") && is_spoilt(Property::Mvpd, "=\"M\""));
        assert!(!is_spoilt(Property::MvpdUserId, "=\"1\"") && !is_spoilt(Property::Mvpd, "M"));
    }
}
