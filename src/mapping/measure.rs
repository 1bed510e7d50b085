//! What an event adds to the metrics. It is computed once, when the event is parsed.

use super::{identity, reported};
use crate::event::{
    EventKind, Measure, MeasuredUser, PassEvent, PlainDigest, Property, VisitorRules, is_synthetic,
};

/// The properties that metrics are grouped by, in the order of the columns of `metric_groups`.
const GROUPED: [Property; 5] =
    [Property::Mvpd, Property::Proxy, Property::SdkType, Property::DeviceType, Property::AuthzErrorType];

/// What an event adds to the metrics. AuthN requested adds no user, because nobody has logged in yet.
pub fn measure(event: &PassEvent) -> Measure {
    let values = GROUPED.map(|property| reported(event, property));
    let user = match event.kind() {
        EventKind::AuthnRequested => None,
        _ => mvpd_user_id(event).map(|id| MeasuredUser {
            digest: PlainDigest::of(id),
            is_synthetic: is_synthetic(id, event.property(Property::TokenType)),
        }),
    };
    Measure::new(values.each_ref().map(|value| value.as_deref().unwrap_or_default()), user)
}

/// The MVPD User ID of an event as eVar10 shows it, trimmed; `None` if it is missing or only says that it is unknown.
pub fn mvpd_user_id(event: &PassEvent) -> Option<&str> {
    identity::known(event, Property::MvpdUserId, VisitorRules::default()).map(str::trim)
}
