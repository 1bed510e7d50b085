//! Reads and decodes the headers that events need. All other headers are ignored.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Text;
use super::members::is_same;
use super::route::decoded;
use crate::event::VisitorRules;

/// The longest header value that is decoded, in bytes. Servers refuse longer values.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Decodes the standard alphabet of Base64, with or without padding.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers of a request or an answer that are read. Other headers, such as cookies, are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers<'a> {
    pub device_identifier: Option<Cow<'a, str>>,
    pub device_info: Option<Cow<'a, str>>,
    pub visitor_identifier: Option<Cow<'a, str>>,
    /// `AD-Service-Token`. It is checked if keys are configured, and never stored.
    pub service_token: Option<Cow<'a, str>>,
    /// Whether the request has a platform identity: `Adobe-Subject-Token` or Roku's header.
    pub has_platform_token: bool,
    pub location: Option<Cow<'a, str>>,
    /// The same headers as an earlier release read them, if it read them in another way. It knows the exchange by these.
    pub earlier: Option<Box<Headers<'a>>>,
}

impl<'a> Headers<'a> {
    /// Headers of which some are given by these names and values.
    fn of<E: serde::de::Error>(pairs: &[(Cow<'a, str>, Option<&'a RawValue>)]) -> Result<Headers<'a>, E> {
        let (mut headers, mut earlier) = <(Headers<'_>, Headers<'_>)>::default();
        for (name, value) in pairs.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            headers.take(name.trim(), value)?;
            earlier.take_as_before(name.trim(), value);
        }
        let is_same = headers == earlier;
        Ok(Headers { earlier: (!is_same).then(|| Box::new(earlier)), ..headers })
    }

    /// The place of a header that is read.
    fn place(&mut self, is: impl Fn(&str) -> bool) -> Option<&mut Option<Cow<'a, str>>> {
        if is("Location") {
            return Some(&mut self.location);
        } else if is("AP-Device-Identifier") {
            return Some(&mut self.device_identifier);
        } else if is("X-Device-Info") {
            return Some(&mut self.device_info);
        } else if is("AP-Visitor-Identifier") {
            return Some(&mut self.visitor_identifier);
        } else if is("AD-Service-Token") {
            return Some(&mut self.service_token);
        }
        self.has_platform_token |= is("Adobe-Subject-Token") || is("X-Roku-Reserved-Roku-Connect-Token");
        None
    }

    /// Takes a header that is read. Refuses a header with two different values: either may be right.
    fn take<E: serde::de::Error>(&mut self, name: &str, value: &'a RawValue) -> Result<(), E> {
        // CGI and nginx write `HTTP_AP_DEVICE_IDENTIFIER`, and some loggers only the underscores.
        let of_cgi = name.get(..5).filter(|start| start.eq_ignore_ascii_case("HTTP_"));
        let bare = of_cgi.map_or(name, |start| &name[start.len()..]);
        let Some(place) = self.place(|wanted| is_same(bare, wanted)) else { return Ok(()) };
        let wrong = |what: &str| E::custom(format!("{what} `{name}`"));
        let Text(value) = Text::of_fingerprint(value).map_err(wrong)?;
        if place.is_some() && value.is_some() && *place != value {
            return Err(wrong("duplicate field"));
        }
        *place = value.or(place.take());
        Ok(())
    }

    /// Takes a header as earlier releases did: by its name in Adobe's documentation alone, and with all values of a list.
    fn take_as_before(&mut self, name: &str, value: &'a RawValue) {
        if let Some(place) = self.place(|wanted| name.eq_ignore_ascii_case(wanted))
            && let Ok(Text(Some(text))) = Text::of(value.get())
        {
            *place = Some(text);
        }
    }

    /// The headers of a request, with the place to which its answer redirects.
    pub(super) fn redirected(mut self, answer: Headers<'a>, beside: Option<Cow<'a, str>>) -> Headers<'a> {
        let before = answer.earlier.map_or_else(|| answer.location.clone(), |earlier| earlier.location);
        if self.earlier.is_some() || before != answer.location {
            let earlier = self.earlier.take().map_or_else(|| self.clone(), |earlier| *earlier);
            self.earlier = Some(Box::new(Headers { location: before.or(beside.clone()), ..earlier }));
        }
        Headers { location: answer.location.or(beside), ..self }
    }
}

/// A header or a parameter as an archive writes it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, expecting = "name and value")]
pub(super) struct Pair<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Option<&'a RawValue>,
}

pub(super) fn of_request<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Headers<'a>, D::Error> {
    deserializer.deserialize_any(HeadersVisitor("request.headers"))
}

pub(super) fn of_response<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Headers<'a>, D::Error> {
    deserializer.deserialize_any(HeadersVisitor("response.headers"))
}

/// Reads headers as an object, as a list of names and values, or as null. Holds the member's name, for messages.
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
        let mut headers = Vec::new();
        while let Some(Pair { name, value }) = pairs.next_element()? {
            let Some(name) = name.0 else {
                let missing = format!("missing field `the name of an entry of {}`", self.0);
                return Err(serde::de::Error::custom(missing));
            };
            headers.push((name, value));
        }
        Headers::of(&headers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
        let mut headers = Vec::new();
        while let Some((name, value)) = map.next_entry::<Text<'de>, Option<&'de RawValue>>()? {
            headers.push((name.0.unwrap_or_default(), value));
        }
        Headers::of(&headers)
    }
}

/// Decodes the Base64 of a header, which may have `%3D` in the place of `=`, and blanks around it.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() > HEADER_BYTES_MAX {
        return None;
    }
    decode_base64(&decoded(text, false))
}

/// Decodes Base64 of the standard or the URL-safe alphabet, because logs contain both.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok()
}

fn device_value(header: &str) -> &str {
    let header = header.trim();
    header.split_once(' ').map_or(header, |(_, value)| value.trim())
}

/// Whether an identifier names a device. A word for "unknown" would join all devices that send it.
pub(super) fn names_device(header: &str, identifier: &[u8]) -> bool {
    let value = device_value(header);
    let mut texts = [header, value].into_iter().chain(std::str::from_utf8(identifier));
    let is_scheme_alone = value.eq_ignore_ascii_case("fingerprint");
    !is_scheme_alone && texts.all(|text| VisitorRules::default().known(text).is_some())
}

/// The identifier in `AP-Device-Identifier: fingerprint <Base64>`, or its text if it does not decode.
pub(super) fn device_identifier(header: &str) -> Option<Vec<u8>> {
    let value = device_value(header);
    let decoded = decode(value).filter(|decoded| !decoded.is_empty());
    decoded.or_else(|| (!value.is_empty()).then(|| value.as_bytes().to_vec()))
}

/// The ECID in `AP-Visitor-Identifier`, which one of Adobe's pages puts in quotes.
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
