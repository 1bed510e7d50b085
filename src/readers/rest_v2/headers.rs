//! The request headers that carry something an event needs, and their decoders. Everything else is never read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::Property;
use crate::readers::surrogates;

/// The longest header value that is decoded, in bytes: servers refuse longer ones.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Values of `X-Device-Info` whose meaning is remembered: more than there are models in most logs.
const DEVICE_INFOS_MAX: usize = 1_024;
/// Longer ones, in bytes, are decoded anew each time, so that a hostile log fills no memory: all remembered ones take 4 MiB.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;

/// Both alphabets were seen in the wild; the URL-safe one is mapped to the other first.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers of a request, as far as they are kept: the others are bearer tokens, addresses and cookies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequestHeaders<'a> {
    /// `AP-Device-Identifier`.
    pub device_identifier: Option<Cow<'a, str>>,
    /// `X-Device-Info`.
    pub device_info: Option<Cow<'a, str>>,
    /// `AP-Visitor-Identifier`.
    pub visitor_identifier: Option<Cow<'a, str>>,
    /// `AD-Service-Token`: looked at where its keys are known, and never kept.
    pub service_token: Option<Cow<'a, str>>,
    /// Whether there is a platform identity: `Adobe-Subject-Token` or Roku's.
    pub has_platform_token: bool,
}

impl<'a> RequestHeaders<'a> {
    pub(super) fn set(&mut self, name: &str, value: Cow<'a, str>) {
        let is = |wanted: &str| name.trim().eq_ignore_ascii_case(wanted);
        if is("AP-Device-Identifier") {
            self.device_identifier = Some(value);
        } else if is("X-Device-Info") {
            self.device_info = Some(value);
        } else if is("AP-Visitor-Identifier") {
            self.visitor_identifier = Some(value);
        } else if is("AD-Service-Token") {
            self.service_token = Some(value);
        } else if is("Adobe-Subject-Token") || is("X-Roku-Reserved-Roku-Connect-Token") {
            self.has_platform_token = true;
        }
    }
}

/// Headers of one side of an exchange: what is wanted of them.
trait Headers<'a>: Default {
    /// The member that they stand in.
    const MEMBER: &'static str;

    /// Takes one header, where it is wanted.
    fn take(&mut self, name: &str, value: Option<Cow<'a, str>>);
}

impl<'a> Headers<'a> for RequestHeaders<'a> {
    const MEMBER: &'static str = "request.headers";

    fn take(&mut self, name: &str, value: Option<Cow<'a, str>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }
}

/// The one response header that is used, of a redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Location<'a>(pub Option<Cow<'a, str>>);

impl<'a> Headers<'a> for Location<'a> {
    const MEMBER: &'static str = "response.headers";

    fn take(&mut self, name: &str, value: Option<Cow<'a, str>>) {
        if name.trim().eq_ignore_ascii_case("location") {
            self.0 = value;
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

impl<'de: 'a, 'a> Deserialize<'de> for RequestHeaders<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor::<RequestHeaders<'de>>(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Location<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor::<Location<'de>>(PhantomData))
    }
}

/// Reads headers as an object, as a list of names and values, or as nothing.
struct HeadersVisitor<H>(PhantomData<H>);

impl<'de, H: Headers<'de>> Visitor<'de> for HeadersVisitor<H> {
    type Value = H;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(H::MEMBER)
    }

    fn visit_unit<E>(self) -> Result<H, E> {
        Ok(H::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<H, A::Error> {
        let mut headers = H::default();
        while let Some(Pair { name, value }) = pairs.next_element()? {
            headers.take(&name.0.unwrap_or_default(), value.0);
        }
        Ok(headers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<H, A::Error> {
        let mut headers = H::default();
        while let Some(Text(name)) = map.next_key()? {
            let Text(value) = map.next_value()?;
            headers.take(&name.unwrap_or_default(), value);
        }
        Ok(headers)
    }
}

/// Text that borrows where it can; a list is joined as HTTP joins repeated headers, anything else is no text.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(if flag { "true" } else { "false" })))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut joined: Option<String> = None;
        while let Some(Text(item)) = items.next_element()? {
            let Some(item) = item else { continue };
            match &mut joined {
                Some(joined) => {
                    joined.push_str(", ");
                    joined.push_str(&item);
                }
                None => joined = Some(item.into_owned()),
            }
        }
        Ok(joined.map(Cow::Owned))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A body: text, or nothing.
#[derive(Debug, Default)]
pub(super) enum BodyText<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// It is of another type.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for BodyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        match json.as_bytes() {
            [b'"', ..] => {
                let Text(text) = serde_json::from_str(json).map_err(serde::de::Error::custom)?;
                Ok(text.map_or(BodyText::Absent, BodyText::Text))
            }
            b"null" | b"[]" => Ok(BodyText::Absent),
            _ => Ok(BodyText::Other),
        }
    }
}

/// Decodes the Base64 of a header, with `%3D` for `=`, blanks at the ends.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() > HEADER_BYTES_MAX {
        return None;
    }
    decode_base64(&super::route::decoded(text, false))
}

/// Decodes Base64 of either alphabet, with or without padding.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) {
        return LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    LENIENT.decode(text).ok()
}

/// The identifier inside `AP-Device-Identifier: fingerprint <Base64>`; one that does not decode is taken as it is, because it
/// tells devices apart all the same.
pub(super) fn device_identifier(header: &str) -> Option<Vec<u8>> {
    let header = header.trim();
    let value = header.split_once(' ').map_or(header, |(_, value)| value.trim());
    let decoded = decode(value).filter(|decoded| !decoded.is_empty());
    decoded.or_else(|| (!value.is_empty()).then(|| value.as_bytes().to_vec()))
}

/// The ECID inside `AP-Visitor-Identifier`, which one page of Adobe's puts into quotes.
pub(super) fn visitor_identifier(header: &str) -> Option<&str> {
    let header = header.trim();
    let inside = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(header).trim();
    (!inside.is_empty()).then_some(inside)
}

/// Decodes `X-Device-Info`, each value once: a log has few models of devices, and names one in almost every line.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceInfos(HashMap<Box<str>, Option<Arc<Device>>>);

impl DeviceInfos {
    /// What a header says of the device, as properties; `None` where it does not decode.
    pub(super) fn read(&mut self, header: &str) -> Option<Arc<Device>> {
        if let Some(known) = self.0.get(header) {
            return known.clone();
        }
        let device = device_info(header).map(Arc::new);
        if header.len() <= REMEMBERED_BYTES_MAX {
            if self.0.len() >= DEVICE_INFOS_MAX {
                self.0.clear();
            }
            self.0.insert(header.into(), device.clone());
        }
        device
    }
}

fn device_info(header: &str) -> Option<Device> {
    let json = decode(header)?;
    let json = String::from_utf8_lossy(&json);
    let json = surrogates::mended(&json);
    let info: DeviceInfo<'_> = serde_json::from_str(&json).ok()?;
    let mut device = Device::default();
    let hardware_type = info.primary_hardware_type.or(info.hardware_type).and_then(|text| text.0);
    for (property, value) in [
        (Property::PrimaryHardwareType, hardware_type),
        (Property::DeviceModel, info.model.and_then(|text| text.0)),
        (Property::DeviceVersion, info.version.and_then(|text| text.0)),
        (Property::DeviceHardwareManufacturer, info.manufacturer.and_then(|text| text.0)),
        (Property::DeviceHardwareVendor, info.vendor.and_then(|text| text.0)),
        (Property::DeviceOsName, info.os_name.and_then(|text| text.0)),
        (Property::DeviceOsFamily, info.os_family.and_then(|text| text.0)),
        (Property::DeviceOsVendor, info.os_vendor.and_then(|text| text.0)),
        (Property::DeviceOsVersion, info.os_version.and_then(|text| text.0)),
        (Property::DeviceBrowserName, info.browser_name.and_then(|text| text.0)),
        (Property::DeviceBrowserVendor, info.browser_vendor.and_then(|text| text.0)),
        (Property::DeviceBrowserVersion, info.browser_version.and_then(|text| text.0)),
    ] {
        if let Some(value) = value {
            device.set(property, value.trim());
        }
    }
    device.derive();
    Some(device)
}

/// The members of `X-Device-Info` that an eVar reports. Addresses are not among them.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceInfo<'a> {
    #[serde(borrow)]
    primary_hardware_type: Option<Text<'a>>,
    /// What Adobe's own iOS cookbook sends instead.
    #[serde(borrow, rename = "type")]
    hardware_type: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    manufacturer: Option<Text<'a>>,
    #[serde(borrow)]
    vendor: Option<Text<'a>>,
    #[serde(borrow)]
    os_name: Option<Text<'a>>,
    #[serde(borrow)]
    os_family: Option<Text<'a>>,
    #[serde(borrow)]
    os_vendor: Option<Text<'a>>,
    #[serde(borrow)]
    os_version: Option<Text<'a>>,
    #[serde(borrow)]
    browser_name: Option<Text<'a>>,
    #[serde(borrow)]
    browser_vendor: Option<Text<'a>>,
    #[serde(borrow)]
    browser_version: Option<Text<'a>>,
}

/// What is known of a device, as properties of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Device(pub std::collections::BTreeMap<Cow<'static, str>, String>);

impl Device {
    /// Sets a property; an empty value sets nothing.
    pub(super) fn set(&mut self, property: Property, value: &str) {
        if !value.is_empty() {
            self.0.insert(Cow::Borrowed(property.name()), value.to_owned());
        }
    }

    fn get(&self, property: Property) -> Option<&str> {
        self.0.get(property.name()).map(String::as_str)
    }

    /// The properties that follow from others (section 10 of the reference).
    pub(super) fn derive(&mut self) {
        if let Some(os) = self.get(Property::DeviceOsName).map(str::to_owned) {
            self.set(Property::OperatingSystem, &os);
        }
        // The words of the configuration stand for some of them, where an event is made.
        if let Some(hardware) = self.get(Property::PrimaryHardwareType).map(str::to_owned) {
            self.set(Property::DeviceType, &hardware);
        }
        if let Some(platform) = self.platform().map(str::to_owned) {
            self.set(Property::NormalizedClientlessDeviceType, &platform);
        }
    }

    /// Adobe's word for the platform, as ESM's `platform` has it.
    fn platform(&self) -> Option<&str> {
        let name = self.get(Property::DeviceOsName);
        let family = self.get(Property::DeviceOsFamily);
        let is_os = |word: &str| {
            [name, family]
                .into_iter()
                .flatten()
                .any(|os| os.strip_suffix(" OS").unwrap_or(os).eq_ignore_ascii_case(word))
        };
        let is_amazon =
            [Property::DeviceHardwareVendor, Property::DeviceHardwareManufacturer, Property::DeviceOsVendor]
                .into_iter()
                .any(|property| {
                    self.get(property).is_some_and(|vendor| vendor.eq_ignore_ascii_case("Amazon"))
                });
        let is_console = self.get(Property::PrimaryHardwareType) == Some("GamesConsole");
        if is_os("Roku") {
            Some("Roku")
        } else if is_os("Android") && is_amazon {
            Some("FireTV")
        } else if is_os("tvOS") {
            Some("tvOS")
        } else if is_os("iOS") {
            Some("iOS")
        } else if is_os("Android") {
            Some("Android")
        } else if is_os("Windows") && is_console {
            Some("Xbox")
        } else {
            family
        }
    }

    /// Lays what the server says over it: Adobe's normalised values win where they are set.
    pub(super) fn overlay(&mut self, other: &Device) {
        for (name, value) in &other.0 {
            self.0.insert(name.clone(), value.clone());
        }
        self.derive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        LENIENT.encode(json)
    }

    #[test]
    fn device_info_is_read_in_every_encoding_seen() {
        let json = r#"{"primaryHardwareType":"SetTopBox","model":"AFTM","vendor":"Amazon","osName":"Android","osVersion":7}"#;
        let plain = encoded(json);
        for header in [
            plain.clone(),
            format!("  {plain} "),
            plain.trim_end_matches('=').to_owned(),
            plain.replace('=', "%3D"),
            plain.replace('+', "-").replace('/', "_"),
        ] {
            let device = device_info(&header).expect("it decodes");
            assert_eq!(device.get(Property::DeviceModel), Some("AFTM"));
            assert_eq!(device.get(Property::OperatingSystem), Some("Android"));
            assert_eq!(device.get(Property::DeviceType), Some("SetTopBox"));
            assert_eq!(device.get(Property::DeviceOsVersion), Some("7"));
            assert_eq!(device.get(Property::NormalizedClientlessDeviceType), Some("FireTV"));
        }
    }

    #[test]
    fn however_many_headers_there_are_each_is_read_as_it_is() {
        let mut infos = DeviceInfos::default();
        for number in (0..2 * DEVICE_INFOS_MAX + 5).chain(0..5) {
            let model = format!("model {number}");
            let header = encoded(&format!("{{\"model\":\"{model}\"}}"));
            for _ in 0..2 {
                let device = infos.read(&header).expect("it decodes");
                assert_eq!(device.get(Property::DeviceModel), Some(model.as_str()));
            }
            assert!(infos.0.len() <= DEVICE_INFOS_MAX);
        }
        assert_eq!((infos.read("!!!"), infos.read("!!!")), (None, None));
    }

    #[test]
    fn the_published_sample_does_not_decode_and_costs_only_its_evars() {
        assert_eq!(device_info(&encoded("{\"osName\": \"tvOS\"\n\"osFamily\":\"tvOS\"}")), None);
        for header in ["", "!!!", "bnVsbA==", &"A".repeat(HEADER_BYTES_MAX + 1)] {
            assert_eq!(device_info(header), None, "{header:.20}");
        }
    }

    #[test]
    fn platforms_have_esm_words() {
        for (json, expected) in [
            (r#"{"osName":"Roku"}"#, Some("Roku")),
            (r#"{"osName":"Roku OS","osFamily":"Roku OS"}"#, Some("Roku")),
            (r#"{"type":"TV","osName":"tvOS","osFamily":"tvOS"}"#, Some("tvOS")),
            (r#"{"osFamily":"Windows","primaryHardwareType":"GamesConsole"}"#, Some("Xbox")),
            (r#"{"osFamily":"Tizen"}"#, Some("Tizen")),
            ("{}", None),
        ] {
            let device = device_info(&encoded(json)).expect(json);
            assert_eq!(device.get(Property::NormalizedClientlessDeviceType), expected, "{json}");
        }
    }

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
