//! What the rows of a report are grouped by.

use crate::event::Property;

/// What a report may group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The calendar day of the report's time zone, as `2026-03-01`.
    Day,
    /// The hour of the report's time zone, as `2026-03-01T14:00-08:00`.
    Hour,
    /// A property that is reported as an eVar. The metrics keep requestor, MVPD, proxy, SDK type and device
    /// type. Rows by other properties are read from the events that the buffer still has.
    Property(Property),
}

impl Dimension {
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Day => "day",
            Dimension::Hour => "hour",
            Dimension::Property(property) => property.name(),
        }
    }

    /// The dimension with this name: `day`, `hour`, or a property that is reported as an eVar. `-` may stand for `_`.
    /// `requestor` and `device` are short for `requestor_id` and `device_type`, `reason` for `authz_error_type`.
    pub fn from_name(name: &str) -> Option<Dimension> {
        let name = name.replace('-', "_");
        let property = match name.as_str() {
            "day" => return Some(Dimension::Day),
            "hour" => return Some(Dimension::Hour),
            "requestor" => Property::RequestorId,
            "device" => Property::DeviceType,
            "reason" => Property::AuthzErrorType,
            name => Property::from_name(name)?,
        };
        property.evar().is_some().then_some(Dimension::Property(property))
    }

    pub(super) fn property(self) -> Option<Property> {
        match self {
            Dimension::Day | Dimension::Hour => None,
            Dimension::Property(property) => Some(property),
        }
    }
}

/// A text in lower case, because Analytics ignores case when it compares values.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}
