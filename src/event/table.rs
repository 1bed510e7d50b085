//! The fixed table of the integration: which event has which event slot, which property has which eVar.
//!
//! The table is only here, as data. It cannot be configured: "the mapping of events and eVars is not configurable"
//! (Adobe Pass Authentication, "Integrating Adobe Pass Authentication server side data into Adobe Analytics").

use std::fmt;

/// Declares an enum whose variants have a number, a name in canonical events, and Adobe's label.
macro_rules! named {
    ($(#[$about:meta])* $Type:ident, $count:literal; $($variant:ident = $number:literal, $name:literal, $label:literal;)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Type {
            $(#[doc = concat!("`", $name, "`: ", $label, ".")] $variant = $number,)*
        }

        impl $Type {
            pub const COUNT: usize = $count;
            /// All variants, by their number.
            pub const ALL: [$Type; $count] = [$($Type::$variant,)*];

            /// The name in a canonical event.
            pub fn name(self) -> &'static str {
                match self { $($Type::$variant => $name,)* }
            }

            /// Adobe's label in the report suite.
            pub fn label(self) -> &'static str {
                match self { $($Type::$variant => $label,)* }
            }

            pub fn from_name(name: &str) -> Option<$Type> {
                match name { $($name => Some($Type::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// One of the eighteen kinds of Pass events, by its event slot.
    EventKind, 18;
    AuthnRequested = 1, "authn_requested", "AuthN requested";
    AuthnPending = 2, "authn_pending", "AuthN pending";
    AuthnOk = 3, "authn_ok", "AuthN OK";
    AuthzRequested = 4, "authz_requested", "AuthZ requested";
    AuthzOk = 5, "authz_ok", "AuthZ OK";
    AuthzFailed = 6, "authz_failed", "AuthZ failed";
    PlayRequested = 7, "play_requested", "Play request";
    AuthnFailed = 8, "authn_failed", "AuthN Failed";
    ClientlessTokenOk = 9, "clientless_token_ok", "Clientless AuthN Token Request OK";
    ClientlessTokenFailed = 10, "clientless_token_failed", "Clientless AuthN Token Request Failed";
    PlayFailed = 11, "play_failed", "Play request failed";
    LogoutRequested = 12, "logout_requested", "Logout request";
    LogoutCompleted = 13, "logout_completed", "Logout completed";
    LogoutFailed = 14, "logout_failed", "Logout failed";
    PreflightRequested = 15, "preflight_requested", "Preflight request";
    PreflightFailed = 16, "preflight_failed", "Preflight failed";
    PreflightGranted = 17, "preflight_granted", "Preflight granted";
    PreflightDenied = 18, "preflight_denied", "Preflight denied";
}

/// A set of kinds of events: a bit for each, the lowest for event1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KindSet(pub u32);

impl KindSet {
    pub fn has(self, kind: EventKind) -> bool {
        self.0 >> (kind.slot() - 1) & 1 == 1
    }

    pub fn with(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    pub fn without(self, other: KindSet) -> KindSet {
        KindSet(self.0 & !other.0)
    }
}

impl FromIterator<EventKind> for KindSet {
    fn from_iter<T: IntoIterator<Item = EventKind>>(kinds: T) -> KindSet {
        KindSet(kinds.into_iter().fold(0, |bits, kind| bits | 1 << (kind.slot() - 1)))
    }
}

impl EventKind {
    /// The event slot: 7 is `event7`.
    pub fn slot(self) -> u8 {
        self as u8
    }

    /// The kind in this event slot; `None` unless the slot is 1 to 18.
    pub fn from_slot(slot: u8) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(slot.wrapping_sub(1))).copied()
    }
}

/// The value that a hit has for an absent property, as the integration's documentation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    Absent,
    /// This value, on every event.
    Always(&'static str),
    /// This value, on these events only.
    On(&'static [EventKind], &'static str),
    /// The first value if the event came from a Clientless device (`sdk_type` says so, or the event is the Clientless
    /// token request itself), else the second.
    Clientless(&'static str, &'static str),
}

named! {
    /// A field of a Pass event that carries text. The first 34 are the eVars, in order.
    Property, 38;
    RequestorId = 0, "requestor_id", "Channel";
    Mvpd = 1, "mvpd", "MVPD";
    Proxy = 2, "proxy", "Proxy";
    SdkType = 3, "sdk_type", "SDK type";
    SdkVersion = 4, "sdk_version", "SDK version";
    ResourceId = 5, "resource_id", "Resource ID";
    AuthzErrorType = 6, "authz_error_type", "AuthZ error type";
    TokenType = 7, "token_type", "Token Type";
    ClientlessDeviceType = 8, "clientless_device_type", "Clientless device type";
    MvpdUserId = 9, "mvpd_user_id", "MVPD User ID";
    DeviceType = 10, "device_type", "Device Type";
    OperatingSystem = 11, "operating_system", "Operating System";
    PrimaryHardwareType = 12, "primary_hardware_type", "Primary hardware type";
    Ttl = 13, "ttl", "TTL";
    AuthenticationType = 14, "authentication_type", "Authentication Type";
    ServerVersion = 15, "server_version", "Version of server architecture";
    ExternalAuthProvider = 16, "external_auth_provider", "External authentication provider";
    LatencyMs = 17, "latency_ms", "Latency";
    VisitorId = 18, "visitor_id", "Visitor Id";
    SsoMechanism = 19, "sso_mechanism", "SSO Mechanism";
    DeviceModel = 20, "device_model", "Device Model";
    DeviceVersion = 21, "device_version", "Device Version";
    DeviceHardwareModel = 22, "device_hardware_model", "Device Hardware Model";
    DeviceHardwareVendor = 23, "device_hardware_vendor", "Device Hardware Vendor";
    DeviceHardwareManufacturer = 24, "device_hardware_manufacturer", "Device Hardware Manufacturer";
    DeviceHardwareVersion = 25, "device_hardware_version", "Device Hardware Version";
    DeviceOsName = 26, "device_os_name", "Device OS Name";
    DeviceOsFamily = 27, "device_os_family", "Device OS Family";
    DeviceOsVendor = 28, "device_os_vendor", "Device OS Vendor";
    DeviceOsVersion = 29, "device_os_version", "Device OS Version";
    DeviceBrowserName = 30, "device_browser_name", "Device Browser Name";
    DeviceBrowserVendor = 31, "device_browser_vendor", "Device Browser Vendor";
    DeviceBrowserVersion = 32, "device_browser_version", "Device Browser Version";
    NormalizedClientlessDeviceType = 33, "normalized_clientless_device_type", "Normalized Clientless device type";
    IpAddress = 34, "ip_address", "the viewer's IP address, never an eVar";
    UserAgent = 35, "user_agent", "the viewer's user agent, never an eVar";
    DeviceId = 36, "device_id", "the device's identifier, never reported";
    SessionId = 37, "session_id", "the session's identifier, never reported";
}

impl fmt::Display for Property {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl serde::Serialize for Property {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Property {
    /// How many properties are reported as eVars.
    pub const EVARS: usize = 34;

    /// The number of the eVar: 10 is `eVar10`. `None` if the property is not reported as an eVar.
    pub fn evar(self) -> Option<u8> {
        let index = self as u8;
        (usize::from(index) < Property::EVARS).then_some(index + 1)
    }

    /// The 34 properties with an eVar, in the order of the eVars.
    pub fn reported() -> &'static [Property] {
        &Property::ALL[..Property::EVARS]
    }

    /// What a hit has if the event has no value.
    pub fn default_value(self) -> DefaultValue {
        use EventKind::{AuthnOk, AuthnPending, AuthzOk, PlayRequested, PreflightGranted};
        match self {
            Property::Proxy => DefaultValue::Always("Direct"),
            Property::TokenType => {
                DefaultValue::On(&[AuthnPending, AuthnOk, AuthzOk, PlayRequested, PreflightGranted], "normal")
            }
            Property::ExternalAuthProvider => DefaultValue::Always("N/A"),
            Property::ClientlessDeviceType => DefaultValue::Clientless("Unknown", "N/A"),
            _ => DefaultValue::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_names_lead_back_to_their_kind() {
        for (index, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.slot()), index + 1);
            assert_eq!(EventKind::from_slot(kind.slot()), Some(kind));
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_slot(0), None);
        assert_eq!(EventKind::from_slot(19), None);
    }

    #[test]
    fn evars_are_numbered_one_to_thirty_four() {
        let numbers: Vec<u8> = Property::reported().iter().filter_map(|property| property.evar()).collect();
        assert_eq!(numbers, (1..=34).collect::<Vec<u8>>());
        assert_eq!(Property::IpAddress.evar(), None);
        for property in Property::ALL {
            assert_eq!(Property::from_name(property.name()), Some(property));
        }
    }
}
