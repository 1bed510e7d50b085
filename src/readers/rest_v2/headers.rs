//! The headers that carry something an event needs, and their decoders. Everything else is never read.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::json::Text;
use super::route::decoded;
use crate::event::VisitorRules;

/// The longest header value that is decoded, in bytes: servers refuse longer ones.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Both alphabets were seen in the wild; the URL-safe one is mapped to the other first.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers of one side of an exchange, as far as they are kept: the others are bearer tokens, addresses and cookies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers<'a> {
    pub device_identifier: Option<Cow<'a, str>>,
    pub device_info: Option<Cow<'a, str>>,
    pub visitor_identifier: Option<Cow<'a, str>>,
    /// `AD-Service-Token`: looked at where its keys are known, and never kept.
    pub service_token: Option<Cow<'a, str>>,
    /// Whether there is a platform identity: `Adobe-Subject-Token` or Roku's.
    pub has_platform_token: bool,
    /// `Location` of a redirect.
    pub location: Option<Cow<'a, str>>,
}

impl<'a> Headers<'a> {
    fn take(&mut self, name: &str, value: Option<Cow<'a, str>>) {
        let name = name.trim();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("location") {
            self.location = value;
        } else if value.is_none() {
        } else if is("AP-Device-Identifier") {
            self.device_identifier = value;
        } else if is("X-Device-Info") {
            self.device_info = value;
        } else if is("AP-Visitor-Identifier") {
            self.visitor_identifier = value;
        } else if is("AD-Service-Token") {
            self.service_token = value;
        } else if is("Adobe-Subject-Token") || is("X-Roku-Reserved-Roku-Connect-Token") {
            self.has_platform_token = true;
        }
    }
}

/// A header or a parameter as an archive writes it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, expecting = "name and value")]
pub(super) struct Pair<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Text<'a>,
}

/// Reads `request.headers`.
pub(super) fn of_request<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Headers<'a>, D::Error> {
    deserializer.deserialize_any(HeadersVisitor("request.headers"))
}

/// Reads `response.headers`.
pub(super) fn of_response<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Headers<'a>, D::Error> {
    deserializer.deserialize_any(HeadersVisitor("response.headers"))
}

/// Reads headers as an object, as a list of names and values, or as nothing; holds the member that they stand in.
struct HeadersVisitor(&'static str);

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }

    fn visit_unit<E>(self) -> Result<Headers<'de>, E> {
        Ok(Headers::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Headers<'de>, A::Error> {
        let mut headers = Headers::default();
        while let Some(Pair { name, value }) = pairs.next_element()? {
            let Some(name) = name.0 else {
                let missing = format!("missing field `the name of an entry of {}`", self.0);
                return Err(serde::de::Error::custom(missing));
            };
            headers.take(&name, value.0);
        }
        Ok(headers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
        let mut headers = Headers::default();
        while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            headers.take(&name.0.unwrap_or_default(), value.0);
        }
        Ok(headers)
    }
}

/// Decodes the Base64 of a header, with `%3D` for `=`, blanks at the ends.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() > HEADER_BYTES_MAX {
        return None;
    }
    decode_base64(&decoded(text, false))
}

/// Decodes Base64 of either alphabet, with or without padding.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) {
        return LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    LENIENT.decode(text).ok()
}

fn device_value(header: &str) -> &str {
    let header = header.trim();
    header.split_once(' ').map_or(header, |(_, value)| value.trim())
}

/// Whether an identifier names a device: all machines whose application sends a word for nobody would be one.
pub(super) fn names_device(header: &str, identifier: &[u8]) -> bool {
    let is_known = |text: &str| VisitorRules::default().known(text).is_some();
    let value = device_value(header);
    let is_scheme_alone = value.eq_ignore_ascii_case("fingerprint");
    !is_scheme_alone && is_known(value) && std::str::from_utf8(identifier).map_or(true, is_known)
}

/// The identifier inside `AP-Device-Identifier: fingerprint <Base64>`; one that does not decode is taken as it is, because it
/// tells devices apart all the same.
pub(super) fn device_identifier(header: &str) -> Option<Vec<u8>> {
    let value = device_value(header);
    let decoded = decode(value).filter(|decoded| !decoded.is_empty());
    decoded.or_else(|| (!value.is_empty()).then(|| value.as_bytes().to_vec()))
}

/// The ECID inside `AP-Visitor-Identifier`, which one page of Adobe's puts into quotes.
pub(super) fn visitor_identifier(header: &str) -> Option<&str> {
    let header = header.trim();
    let inside = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(header).trim();
    (!inside.is_empty()).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_lose_their_wrapping() {
        assert_eq!(device_identifier("fingerprint YWJj").as_deref(), Some(&b"abc"[..]));
        assert_eq!(device_identifier(" YWJj ").as_deref(), Some(&b"abc"[..]));
        assert_eq!(device_identifier("fingerprint ***").as_deref(), Some(&b"***"[..]));
        assert_eq!(device_identifier("  "), None);
        assert_eq!(visitor_identifier(" \"123\" "), Some("123"));
        assert_eq!(visitor_identifier("\"\""), None);
    }
}
