//! The facts about a device, from the header of a request or from an answer that describes a session.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::headers::decode;
use super::json::{Text, word};
use super::members;
use crate::event::Property;

/// How many values of `X-Device-Info` are remembered: more than the number of models in most logs.
const DEVICE_INFOS_MAX: usize = 1_024;
/// The longest value that is remembered, in bytes. So a hostile log fills at most 4 MiB of memory.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;

/// The members of `X-Device-Info` that have an eVar. Addresses of devices are left out.
const OF_HEADER: [(&str, Property); 13] = [
    // One of Adobe's pages (the iOS cookbook) has `type` in the place of `primaryHardwareType`.
    ("type", Property::PrimaryHardwareType),
    ("primaryHardwareType", Property::PrimaryHardwareType),
    ("model", Property::DeviceModel),
    ("version", Property::DeviceVersion),
    ("manufacturer", Property::DeviceHardwareManufacturer),
    ("vendor", Property::DeviceHardwareVendor),
    ("osName", Property::DeviceOsName),
    ("osFamily", Property::DeviceOsFamily),
    ("osVendor", Property::DeviceOsVendor),
    ("osVersion", Property::DeviceOsVersion),
    ("browserName", Property::DeviceBrowserName),
    ("browserVendor", Property::DeviceBrowserVendor),
    ("browserVersion", Property::DeviceBrowserVersion),
];
/// The texts in Adobe's description of a device, as JSON pointers. Adobe normalises these texts.
const OF_SESSION: [(&str, Property); 10] = [
    ("/type", Property::PrimaryHardwareType),
    ("/model", Property::DeviceModel),
    ("/hardware/name", Property::DeviceHardwareModel),
    ("/hardware/vendor", Property::DeviceHardwareVendor),
    ("/hardware/manufacturer", Property::DeviceHardwareManufacturer),
    ("/operatingSystem/name", Property::DeviceOsName),
    ("/operatingSystem/family", Property::DeviceOsFamily),
    ("/operatingSystem/vendor", Property::DeviceOsVendor),
    ("/browser/name", Property::DeviceBrowserName),
    ("/browser/vendor", Property::DeviceBrowserVendor),
];
/// The parts of Adobe's description of a device that have a version.
const VERSIONS_OF_SESSION: [(&str, Property); 4] = [
    ("version", Property::DeviceVersion),
    ("hardware", Property::DeviceHardwareVersion),
    ("operatingSystem", Property::DeviceOsVersion),
    ("browser", Property::DeviceBrowserVersion),
];

/// The facts about a device, as properties of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Device(pub BTreeMap<Cow<'static, str>, String>);

impl Device {
    /// The device in `X-Device-Info`; `None` if the header does not decode.
    fn of_header(header: &str) -> Option<Device> {
        // Some loggers write the decoded JSON of the header.
        let is_plain = header.trim_start().starts_with('{');
        let json = if is_plain { header.as_bytes().to_vec() } else { decode(header)? };
        let json = String::from_utf8_lossy(&json);
        let values = members::of(Some(&json), "X-Device-Info", OF_HEADER.map(|(name, _)| name)).ok()?;
        let mut device = Device::default();
        for ((_, property), value) in OF_HEADER.into_iter().zip(values) {
            let text = value.map(Text::of).transpose().ok()?;
            device.set(property, text.and_then(|Text(text)| text).as_deref());
        }
        device.derive();
        Some(device)
    }

    /// The device in an answer that describes a session. A part in an unknown form loses only its own eVars.
    pub(super) fn of_session(device: &Value) -> Device {
        let mut found = Device::default();
        for (place, property) in OF_SESSION {
            found.set(property, device.pointer(place).and_then(text_of).as_deref());
        }
        for (part, property) in VERSIONS_OF_SESSION {
            let part = &device[part];
            found.set(property, version_of(&part["version"]).or_else(|| version_of(part)).as_deref());
        }
        found
    }

    /// Sets a property. An empty value is ignored.
    fn set(&mut self, property: Property, value: Option<&str>) {
        if let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) {
            self.0.insert(Cow::Borrowed(property.name()), value.to_owned());
        }
    }

    fn get(&self, property: Property) -> Option<&str> {
        self.0.get(property.name()).map(String::as_str)
    }

    /// Adds what Adobe's server says about the device. Its values are normalised, so they replace others.
    pub(super) fn overlay(&mut self, other: &Device) {
        for (name, value) in &other.0 {
            self.0.insert(name.clone(), value.clone());
        }
        self.derive();
    }

    /// Sets the properties that follow from other properties. When an event is made, the configuration may
    /// replace the device type.
    fn derive(&mut self) {
        let os = self.get(Property::DeviceOsName).map(str::to_owned);
        let hardware = self.get(Property::PrimaryHardwareType).map(str::to_owned);
        let platform = self.platform().map(str::to_owned);
        self.set(Property::OperatingSystem, os.as_deref());
        self.set(Property::DeviceType, hardware.as_deref());
        self.set(Property::NormalizedClientlessDeviceType, platform.as_deref());
    }

    /// Adobe's word for the platform, as in ESM's `platform`; if there is none, the family of the operating system.
    fn platform(&self) -> Option<&str> {
        use Property::{
            DeviceHardwareManufacturer, DeviceHardwareVendor, DeviceOsFamily, DeviceOsName, DeviceOsVendor,
        };
        let says = |properties: &[Property], word: &str| {
            let values = properties.iter().filter_map(|property| self.get(*property));
            values
                .map(|value| value.strip_suffix(" OS").unwrap_or(value))
                .any(|it| it.eq_ignore_ascii_case(word))
        };
        let is_os = |word| says(&[DeviceOsName, DeviceOsFamily], word);
        let is_amazon = says(&[DeviceHardwareVendor, DeviceHardwareManufacturer, DeviceOsVendor], "Amazon");
        let is_console = self.get(Property::PrimaryHardwareType) == Some("GamesConsole");
        let words = [
            ("Roku", is_os("Roku")),
            ("FireTV", is_os("Android") && is_amazon),
            ("tvOS", is_os("tvOS")),
            ("iOS", is_os("iOS")),
            ("Android", is_os("Android")),
            ("Xbox", is_os("Windows") && is_console),
        ];
        words.into_iter().find_map(|(word, is_it)| is_it.then_some(word)).or(self.get(DeviceOsFamily))
    }
}

fn text_of(value: &Value) -> Option<String> {
    word(&mut serde_json::Deserializer::from_str(&value.to_string())).ok().flatten()
}

/// A version: a text, or an object with `major`, `minor` and `patch`. All zeros mean an unknown version.
fn version_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_) => text_of(value),
        Value::Object(_) => {
            let part = |name: &str| text_of(&value[name]).unwrap_or_else(|| "0".to_owned());
            let parts = ["major", "minor", "patch"].map(part);
            parts.iter().any(|part| part != "0").then(|| parts.join("."))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// Decodes each value of `X-Device-Info` once: a log has few models of devices, but the header in almost every line.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceInfos(HashMap<Box<str>, Option<Arc<Device>>>);

impl DeviceInfos {
    pub(super) fn read(&mut self, header: &str) -> Option<Arc<Device>> {
        if let Some(known) = self.0.get(header) {
            return known.clone();
        }
        let device = Device::of_header(header).map(Arc::new);
        if header.len() <= REMEMBERED_BYTES_MAX {
            if self.0.len() >= DEVICE_INFOS_MAX {
                self.0.clear();
            }
            self.0.insert(header.into(), device.clone());
        }
        device
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::super::headers::LENIENT;
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
            let device = Device::of_header(&header).expect("it decodes");
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
    fn names_are_known_in_any_case_and_a_member_that_stands_twice_breaks_the_header() {
        let device =
            Device::of_header(&encoded(r#"{"MODEL":"AFTM","OSNAME":"Android"}"#)).expect("it decodes");
        assert_eq!(device.get(Property::DeviceModel), Some("AFTM"));
        assert_eq!(device.get(Property::OperatingSystem), Some("Android"));
        for json in [r#"{"model":"AFTM","model":"OTHER"}"#, r#"{"model":"AFTM","Model":"AFTM"}"#] {
            assert_eq!(Device::of_header(&encoded(json)), None, "{json}");
        }
    }

    #[test]
    fn the_published_sample_does_not_decode_and_costs_only_its_evars() {
        assert_eq!(Device::of_header(&encoded("{\"osName\": \"tvOS\"\n\"osFamily\":\"tvOS\"}")), None);
        for header in ["", "!!!", "bnVsbA==", &"A".repeat((64 << 10) + 1)] {
            assert_eq!(Device::of_header(header), None, "{header:.20}");
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
            let device = Device::of_header(&encoded(json)).expect(json);
            assert_eq!(device.get(Property::NormalizedClientlessDeviceType), expected, "{json}");
        }
    }
}
