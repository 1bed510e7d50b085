//! What sources write of a viewer in more than one way: that nobody is known, and an address.

use std::net::{IpAddr, Ipv6Addr};

/// Words that stand for no one, in any case of their letters. One list for every identifier, in the mapping, the report, the
/// sandbox and the readers. Such an ID sent to Adobe is one giant visitor ("visitorID"). Version 1 of the visitor rules knew
/// the first three.
pub const NOBODY: [&str; 15] = [
    "0",
    "null",
    "unknown",
    "undefined",
    "none",
    "nil",
    // What databases export an absent value as.
    "\\n",
    "(null)",
    "(none)",
    "<null>",
    "nan",
    "n/a",
    "-",
    // What JavaScript writes of an object that was no text.
    "[object object]",
    // What a device gives whose owner limits tracking.
    "00000000-0000-0000-0000-000000000000",
];
/// How many of [`NOBODY`] version 1 of the visitor rules knew.
const NOBODY_V1: usize = 3;

/// The version of the rules that make a visitor of an event. It is part of a hit's form: what was sent under one version is
/// always repeated under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VisitorRules {
    /// Three words for nobody; an address only in its plain spelling.
    V1,
    /// Every word for nobody, and every spelling of an address.
    #[default]
    V2,
}

impl VisitorRules {
    /// The version in the buffer.
    pub fn number(self) -> i64 {
        match self {
            VisitorRules::V1 => 1,
            VisitorRules::V2 => 2,
        }
    }

    /// The rules of a version in the buffer.
    pub fn of_number(number: i64) -> Option<VisitorRules> {
        [VisitorRules::V1, VisitorRules::V2].into_iter().find(|rules| rules.number() == number)
    }

    /// Whether a value says that nobody is known: nothing, or a word for it.
    pub fn is_nobody(self, value: &str) -> bool {
        let bare = value.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control());
        let words = match self {
            VisitorRules::V1 => &NOBODY[..NOBODY_V1],
            VisitorRules::V2 => &NOBODY[..],
        };
        bare.is_empty() || words.iter().any(|word| bare.eq_ignore_ascii_case(word))
    }

    /// The address that a text spells.
    pub fn address(self, text: &str) -> Option<IpAddr> {
        match self {
            VisitorRules::V1 => text.trim().parse().ok(),
            VisitorRules::V2 => address(text),
        }
    }
}

/// An address in whatever spelling: alone, with a port, in brackets, with a zone, the first of a forwarded list; one that is
/// IPv4 inside IPv6 is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let first = text.split(',').next()?.trim().trim_matches('"');
    let bare = match first.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?.0,
        // A colon stands before a port, or in an IPv6 address more than once.
        None => match first.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => first,
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
            let found = VisitorRules::V2.address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
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
            assert_eq!(VisitorRules::V1.is_nobody(value), v1, "{value}");
            assert_eq!(VisitorRules::V2.is_nobody(value), v2, "{value}");
        }
    }
}
