//! What an answer says, as far as an event needs it: lenient where Adobe's pages and servers disagree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::headers::{Device, Text};
use super::route::Endpoint;
use crate::event::Property;

/// A response body, read as its endpoint and status ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// `/sessions`
    Session(Session<'a>),
    /// The status of a session: the device that streams.
    Device(Device),
    /// `/profiles`
    Profiles(Vec<(Cow<'a, str>, Profile<'a>)>),
    /// `/decisions`
    Decisions(Vec<Decision<'a>>),
    /// `/logout`: what the first entry asks for.
    Logout(Action<'a>),
    /// The MVPDs that stand behind a proxy.
    Configuration(Vec<Cow<'a, str>>),
    Error(Cow<'a, str>),
    /// No body that says anything: a redirect, HTML, an error without a code.
    Nothing,
}

/// Answers of the three session endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Session<'a> {
    #[serde(borrow)]
    pub(super) action_name: Word<'a>,
    #[serde(borrow)]
    pub(super) reason_type: Word<'a>,
    #[serde(borrow)]
    pub(super) code: Word<'a>,
    #[serde(borrow)]
    pub(super) session_id: Word<'a>,
    #[serde(borrow)]
    pub(super) mvpd: Word<'a>,
    pub(super) not_before: Millis,
    pub(super) not_after: Millis,
}

/// One profile. Of its attributes only the user ID and two flags are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Profile<'a> {
    pub(super) not_before: Millis,
    pub(super) not_after: Millis,
    #[serde(borrow)]
    pub(super) issuer: Word<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) attributes: Attributes<'a>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Attributes<'a> {
    #[serde(borrow, rename = "userID")]
    pub(super) user_id: Attribute<'a>,
    #[serde(borrow)]
    pub(super) hba_status: Attribute<'a>,
    #[serde(borrow, rename = "tokenSource")]
    pub(super) token_source: Attribute<'a>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Attribute<'a> {
    #[serde(borrow)]
    value: Word<'a>,
    #[serde(borrow)]
    state: Word<'a>,
}

impl Attribute<'_> {
    /// Its value, unless that is ciphertext for the programmer's key.
    pub(super) fn plain(&self) -> Option<&str> {
        let is_plain = self.state.get().is_none_or(|state| state.eq_ignore_ascii_case("plain"));
        self.value.get().filter(|_| is_plain)
    }
}

/// One decision about a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Decision<'a> {
    #[serde(borrow)]
    pub(super) resource: Word<'a>,
    #[serde(borrow)]
    pub(super) mvpd: Word<'a>,
    pub(super) authorized: bool,
    #[serde(borrow)]
    pub(super) source: Word<'a>,
    pub(super) token: Option<Token>,
    pub(super) not_before: Millis,
    pub(super) not_after: Millis,
    #[serde(borrow)]
    pub(super) error: Option<ErrorBody<'a>>,
}

/// The validity of a media token; the token itself is never read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Token {
    pub(super) not_before: Millis,
    pub(super) not_after: Millis,
}

/// Of an enhanced error only the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody<'a> {
    #[serde(borrow)]
    pub(super) code: Word<'a>,
}

/// A text that may be missing, null, or of another type; empty means missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word<'a>(Option<Cow<'a, str>>);

impl<'a> Word<'a> {
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.get() == Some(word)
    }

    fn into_text(self) -> Option<Cow<'a, str>> {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        Ok(Word(text.filter(|text| !text.trim().is_empty())))
    }
}

/// Milliseconds since the Unix epoch, as a number or as text; anything else is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(pub(super) Option<i64>);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        // Later than the year 2262 no event can be.
        let limit = i64::MAX / 1_000_000;
        let millis = text.and_then(|text| text.trim().parse::<i64>().ok());
        Ok(Millis(millis.filter(|millis| (0..=limit).contains(millis))))
    }
}

/// The entries of a JSON object in their order; anything but an object has none.
struct Entries<T>(Vec<T>);

impl<'de: 'a, 'a, T: Deserialize<'de> + 'a> Deserialize<'de> for Entries<(Cow<'a, str>, T)> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a, T>(std::marker::PhantomData<&'a T>);
        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for Object<'a, T> {
            type Value = Entries<(Cow<'a, str>, T)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            /// Some languages write an empty object so.
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                match items.next_element::<IgnoredAny>()? {
                    None => Ok(Entries(Vec::new())),
                    Some(_) => Err(serde::de::Error::custom("a list")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    match name {
                        Some(name) => entries.push((name, map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_any(Object(std::marker::PhantomData))
    }
}

/// Reads the body of an answer. An error is one that a success cannot have.
pub(super) fn read(endpoint: Endpoint, status: u16, body: &str) -> Result<Answer<'_>, serde_json::Error> {
    if !(200..300).contains(&status) {
        return Ok(error_code(body).map_or(Answer::Nothing, Answer::Error));
    }
    match endpoint {
        Endpoint::CreateSession | Endpoint::ResumeSession | Endpoint::PartnerSession => {
            serde_json::from_str(body).map(Answer::Session)
        }
        Endpoint::RetrieveSession => {
            let status: Status<'_> = serde_json::from_str(body)?;
            Ok(Answer::Device(status.device.map(device_of).unwrap_or_default()))
        }
        Endpoint::Profiles | Endpoint::ProfileOfMvpd | Endpoint::ProfileOfCode | Endpoint::PartnerProfile => {
            #[derive(Deserialize)]
            struct Body<'a> {
                #[serde(borrow)]
                profiles: Entries<(Cow<'a, str>, Profile<'a>)>,
            }
            let body: Body<'_> = serde_json::from_str(body)?;
            Ok(Answer::Profiles(body.profiles.0))
        }
        Endpoint::Authorize | Endpoint::Preauthorize => {
            #[derive(Deserialize)]
            struct Body<'a> {
                #[serde(borrow)]
                decisions: Vec<Decision<'a>>,
            }
            let body: Body<'_> = serde_json::from_str(body)?;
            Ok(Answer::Decisions(body.decisions))
        }
        Endpoint::Logout => {
            #[derive(Deserialize)]
            struct Body<'a> {
                #[serde(borrow)]
                logouts: Entries<(Cow<'a, str>, Action<'a>)>,
            }
            let body: Body<'_> = serde_json::from_str(body)?;
            let first = body.logouts.0.into_iter().next();
            Ok(Answer::Logout(first.map(|(_, action)| action).unwrap_or_default()))
        }
        Endpoint::Configuration => {
            let body: ConfigurationBody<'_> = serde_json::from_str(body)?;
            let inside = body.requestor.map(|requestor| requestor.mvpds).unwrap_or_default();
            let proxied = inside.into_iter().chain(body.mvpds).filter(|mvpd| mvpd.is_proxy);
            Ok(Answer::Configuration(proxied.filter_map(|mvpd| mvpd.id.into_text()).collect()))
        }
        Endpoint::UserAgent | Endpoint::Elsewhere => Ok(Answer::Nothing),
    }
}

/// What a logout asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Action<'a> {
    #[serde(borrow)]
    pub(super) action_name: Word<'a>,
    /// Where the browser is to be sent.
    #[serde(borrow)]
    pub(super) url: Word<'a>,
}

#[derive(Deserialize)]
struct ConfigurationBody<'a> {
    #[serde(borrow, default)]
    requestor: Option<Requestor<'a>>,
    #[serde(borrow, default)]
    mvpds: Vec<Mvpd<'a>>,
}

#[derive(Deserialize)]
struct Requestor<'a> {
    #[serde(borrow, default)]
    mvpds: Vec<Mvpd<'a>>,
}

#[derive(Deserialize)]
struct Mvpd<'a> {
    #[serde(borrow, default)]
    id: Word<'a>,
    #[serde(default, rename = "isProxy")]
    is_proxy: bool,
}

/// The code of an enhanced error, bare or wrapped in `error`.
fn error_code(body: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        error: ErrorBody<'a>,
    }
    let bare = serde_json::from_str::<ErrorBody<'_>>(body).ok().and_then(|error| error.code.into_text());
    bare.or_else(|| {
        serde_json::from_str::<Wrapped<'_>>(body).ok().and_then(|body| body.error.code.into_text())
    })
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    device: Option<StreamingDevice<'a>>,
}

/// Adobe's normalised view of the device that streams; its address is not read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StreamingDevice<'a> {
    #[serde(borrow, rename = "type")]
    hardware_type: Word<'a>,
    #[serde(borrow)]
    model: Word<'a>,
    #[serde(borrow)]
    version: Part<'a>,
    #[serde(borrow)]
    hardware: Part<'a>,
    #[serde(borrow)]
    operating_system: Part<'a>,
    #[serde(borrow)]
    browser: Part<'a>,
}

/// A part of the device, or a version: members that a part does not have are absent.
#[derive(Default)]
struct Part<'a> {
    name: Word<'a>,
    family: Word<'a>,
    vendor: Word<'a>,
    manufacturer: Word<'a>,
    version: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Members<'a> {
            #[serde(borrow)]
            name: Word<'a>,
            #[serde(borrow)]
            family: Word<'a>,
            #[serde(borrow)]
            vendor: Word<'a>,
            #[serde(borrow)]
            manufacturer: Word<'a>,
            version: Version,
            #[serde(flatten)]
            own: VersionParts,
        }
        let members = Option::<Members<'de>>::deserialize(deserializer)?.unwrap_or_default();
        let version = members.version.0.or_else(|| members.own.text());
        Ok(Part {
            name: members.name,
            family: members.family,
            vendor: members.vendor,
            manufacturer: members.manufacturer,
            version,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VersionParts {
    major: Option<Number>,
    minor: Option<Number>,
    patch: Option<Number>,
}

#[derive(Clone)]
struct Number(String);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        Ok(Number(
            text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).unwrap_or("0".into()),
        ))
    }
}

impl VersionParts {
    /// `major.minor.patch`; all zero means unknown.
    fn text(&self) -> Option<String> {
        let part = |number: &Option<Number>| number.as_ref().map_or("0", |number| &number.0).to_owned();
        let parts = [part(&self.major), part(&self.minor), part(&self.patch)];
        parts.iter().any(|part| part != "0").then(|| parts.join("."))
    }
}

/// A version that is an object, or a text.
#[derive(Default)]
struct Version(Option<String>);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Version(match value {
            serde_json::Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            object @ serde_json::Value::Object(_) => {
                serde_json::from_value::<VersionParts>(object).ok().and_then(|parts| parts.text())
            }
            _ => None,
        }))
    }
}

fn device_of(from: StreamingDevice<'_>) -> Device {
    let mut device = Device::default();
    let mut set = |property: Property, value: Option<&str>| device.set(property, value.unwrap_or("").trim());
    set(Property::PrimaryHardwareType, from.hardware_type.get());
    set(Property::DeviceModel, from.model.get());
    set(Property::DeviceVersion, from.version.version.as_deref());
    set(Property::DeviceHardwareModel, from.hardware.name.get());
    set(Property::DeviceHardwareVendor, from.hardware.vendor.get());
    set(Property::DeviceHardwareManufacturer, from.hardware.manufacturer.get());
    set(Property::DeviceHardwareVersion, from.hardware.version.as_deref());
    set(Property::DeviceOsName, from.operating_system.name.get());
    set(Property::DeviceOsFamily, from.operating_system.family.get());
    set(Property::DeviceOsVendor, from.operating_system.vendor.get());
    set(Property::DeviceOsVersion, from.operating_system.version.as_deref());
    set(Property::DeviceBrowserName, from.browser.name.get());
    set(Property::DeviceBrowserVendor, from.browser.vendor.get());
    set(Property::DeviceBrowserVersion, from.browser.version.as_deref());
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_text_and_unknown_members_are_no_matter() {
        let body =
            r#"{"actionName":"authenticate","code":"AB","notBefore":"1000","notAfter":2000,"new":{"a":[1]}}"#;
        let Ok(Answer::Session(session)) = read(Endpoint::CreateSession, 200, body) else {
            panic!("a session")
        };
        assert!(session.action_name.is("authenticate"));
        assert_eq!((session.not_before, session.not_after), (Millis(Some(1000)), Millis(Some(2000))));
    }

    #[test]
    fn ciphertext_is_no_user_id() {
        for (attribute, expected) in [
            (r#"{"value":"u1","state":"plain"}"#, Some("u1")),
            (r#"{"value":17}"#, Some("17")),
            (r#"{"value":"u1","state":"enc"}"#, None),
            (r#"{"value":["a","b"],"state":"plain"}"#, Some("a, b")),
            ("{}", None),
        ] {
            let body = format!(r#"{{"profiles":{{"M":{{"attributes":{{"userID":{attribute}}}}}}}}}"#);
            let Ok(Answer::Profiles(profiles)) = read(Endpoint::Profiles, 200, &body) else {
                panic!("{body}")
            };
            assert_eq!(profiles[0].1.attributes.user_id.plain(), expected, "{attribute}");
        }
    }

    #[test]
    fn error_codes_are_found_bare_and_wrapped() {
        for (body, expected) in [
            (
                r#"{"status":400,"code":"invalid_parameter_code","message":{"a":1}}"#,
                Some("invalid_parameter_code"),
            ),
            (r#"{"error":{"code":"internal_server_error"}}"#, Some("internal_server_error")),
            (r#"{"error":"invalid_request"}"#, None),
            ("<html></html>", None),
            ("", None),
        ] {
            assert_eq!(error_code(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_device_has_versions_in_dots_and_zero_is_unknown() {
        let body = r#"{"device":{"type":"TV","model":"M","version":{"major":"5","minor":0,"patch":1},
            "hardware":{"name":"H","version":{"major":0,"minor":0,"patch":0}},
            "operatingSystem":{"name":"tvOS","version":"16.1"},"browser":null,"connection":{"ipAddress":"10.0.0.1"}}}"#;
        let Ok(Answer::Device(device)) = read(Endpoint::RetrieveSession, 200, body) else {
            panic!("a device")
        };
        let text = serde_json::to_string(&device).expect("a map of texts");
        assert_eq!(
            text,
            r#"{"device_hardware_model":"H","device_model":"M","device_os_name":"tvOS","device_os_version":"16.1","device_version":"5.0.1","primary_hardware_type":"TV"}"#
        );
    }
}
