//! Reads and decodes the headers that events need. All other headers are ignored.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use super::bad_exchange::{BadExchange, IS_TWICE, bad_form, required};
use super::json::Text;
use super::members::is_same;
use super::route::decoded;
use crate::event::VisitorRules;
use crate::readers::members::{Members, unquoted};

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
    /// The same headers as an earlier release read them, if that differs. That release's fingerprint depends on them.
    pub earlier: Option<Box<Headers<'a>>>,
}

impl<'a> Headers<'a> {
    /// Reads the headers in this member: an object, a list of names and values, or null.
    pub(super) fn of(json: Option<&'a str>, member: &'static str) -> Result<Headers<'a>, BadExchange> {
        let json = json.unwrap_or("{}");
        let mut pairs = Vec::new();
        match json.as_bytes()[0] {
            b'{' => {
                let Members(members) =
                    serde_json::from_str(json).map_err(|error| bad_form(&error, member))?;
                for (name, value) in members {
                    pairs.push((unquoted(name).unwrap_or_default(), Some(value)));
                }
            }
            b'[' if json[1..].trim_start().starts_with('"') => {
                let what = "is a flat list of names and values, as rawHeaders of Node; let it be an object, as its headers are";
                return Err(BadExchange::Member(member.to_owned(), what));
            }
            b'[' => {
                for Pair { name, value } in Pair::list(json)? {
                    let name = required(name.0, &format!("the name of an entry of {member}"))?;
                    pairs.push((name, value.map(RawValue::get)));
                }
            }
            _ => return Err(BadExchange::Form(member)),
        }
        let (mut headers, mut earlier) = <(Headers<'_>, Headers<'_>)>::default();
        for (name, value) in pairs.iter().filter_map(|(name, value)| Some((name.trim(), (*value)?))) {
            // An earlier release knew a header by Adobe's name alone, and joined the values of a list.
            if let Some(place) = earlier.place(|wanted| name.eq_ignore_ascii_case(wanted)) {
                *place = Text::of(value).ok().and_then(|text| text.0).or(place.take());
            }
            headers.take(name, value)?;
        }
        let is_same = headers == earlier;
        Ok(Headers { earlier: (!is_same).then(|| Box::new(earlier)), ..headers })
    }

    /// Takes a header if events need it. Refuses a header with two different values: either may be right.
    fn take(&mut self, name: &str, value: &'a str) -> Result<(), BadExchange> {
        // CGI and nginx write `HTTP_AP_DEVICE_IDENTIFIER`, and some loggers `AP_DEVICE_IDENTIFIER`.
        let of_cgi = name.get(..5).filter(|start| start.eq_ignore_ascii_case("HTTP_"));
        let bare = of_cgi.map_or(name, |start| &name[start.len()..]);
        let Some(place) = self.place(|wanted| is_same(bare, wanted)) else { return Ok(()) };
        let wrong = |what| BadExchange::Member(name.to_owned(), what);
        let Text(value) = Text::of_fingerprint(value).map_err(wrong)?;
        let value = value.map(|value| one_of(bare, value)).transpose().map_err(wrong)?;
        if place.is_some() && value.is_some() && *place != value {
            return Err(wrong(IS_TWICE));
        }
        *place = value.or(place.take());
        Ok(())
    }

    /// The place of a header that is read.
    fn place(&mut self, is: impl Fn(&str) -> bool) -> Option<&mut Option<Cow<'a, str>>> {
        self.has_platform_token |= is("Adobe-Subject-Token") || is("X-Roku-Reserved-Roku-Connect-Token");
        let places = [
            ("Location", &mut self.location),
            ("AP-Device-Identifier", &mut self.device_identifier),
            ("X-Device-Info", &mut self.device_info),
            ("AP-Visitor-Identifier", &mut self.visitor_identifier),
            ("AD-Service-Token", &mut self.service_token),
        ];
        places.into_iter().find_map(|(name, place)| is(name).then_some(place))
    }

    /// The headers of a request, with the `Location` of its answer or, if the answer has none, with the URL `beside`.
    pub(super) fn redirected(mut self, answer: Headers<'a>, beside: Option<Cow<'a, str>>) -> Headers<'a> {
        let before = answer.earlier.map_or_else(|| answer.location.clone(), |earlier| earlier.location);
        if self.earlier.is_some() || before != answer.location {
            let earlier = self.earlier.take().map_or_else(|| self.clone(), |earlier| *earlier);
            self.earlier = Some(Box::new(Headers { location: before.or(beside.clone()), ..earlier }));
        }
        Headers { location: answer.location.or(beside), ..self }
    }
}

/// The one value of a header. A proxy joins repeated headers with commas; some loggers put a value in brackets or quotes.
fn one_of<'a>(name: &str, value: Cow<'a, str>) -> Result<Cow<'a, str>, &'static str> {
    let list = value.trim();
    let list = list.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(list);
    // A word for nobody may have brackets of its own, such as `[Filtered]`.
    let is_known = |text: &str| {
        text.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("fingerprint "))
            || text.starts_with("eyJ")
    };
    let is_wrapped = !is_same(name, "AP-Visitor-Identifier") && unwrapped(&value) != value.trim();
    let is_alone = !value.contains(',') && (!is_wrapped || !is_known(unwrapped(&value)));
    if is_alone || is_same(name, "Location") || unwrapped(&value).starts_with('{') {
        return Ok(value);
    }
    let mut values = list.split(',').map(unwrapped).filter(|value| !value.is_empty());
    let first = values.next().unwrap_or_default();
    if values.any(|other| other != first) {
        return Err(IS_TWICE);
    }
    Ok(first.to_owned().into())
}

/// A text without the brackets, quotes and blanks around it.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    let mut pairs = [('[', ']'), ('"', '"')].into_iter();
    let inside = pairs.find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    inside.map_or(text, unwrapped)
}

/// A header or a parameter as an archive writes it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Pair<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Option<&'a RawValue>,
}

impl<'a> Pair<'a> {
    pub(super) fn list(json: &'a str) -> Result<Vec<Pair<'a>>, BadExchange> {
        serde_json::from_str(json).map_err(|error| bad_form(&error, "name and value"))
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
pub(in crate::readers) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok()
}

fn device_value(header: &str) -> &str {
    let header = header.trim();
    header.split_once(' ').map_or(header, |(_, value)| value.trim())
}

/// Whether an identifier names a device. A word for "unknown" would join all devices that send it.
pub(super) fn names_device(header: &str, identifier: &[u8]) -> bool {
    let mut texts = [header, device_value(header)].into_iter().chain(std::str::from_utf8(identifier));
    texts.all(|text| VisitorRules::default().known(text).is_some())
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
