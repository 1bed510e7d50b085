//! What an event adds to the metrics, computed where the event is parsed, so that storing it parses nothing again.

use super::{identity, reported};
use crate::event::{EventKind, Measure, MeasuredUser, PassEvent, PlainDigest, Property, VisitorRules};

/// The properties that metrics are grouped by, in the order of the columns of `metric_groups`.
const GROUPED: [Property; 5] =
    [Property::Mvpd, Property::Proxy, Property::SdkType, Property::DeviceType, Property::AuthzErrorType];
/// How the user ID of a degraded authentication begins. That ID belongs to nobody (Pass REST API V2, samples of
/// profiles of type `degraded`).
const DEGRADED_PREFIX: &str = "95cf93bcd183214a";
/// How the user ID of a temporary pass begins (the same samples, of type `temporary`).
const TEMPORARY_PREFIX: &str = "temppass_";
/// The token type of an authentication that degradation granted.
const DEGRADED_TOKEN: &str = "authnall";

/// What an event adds to the metrics. AuthN requested adds no user, because nobody has logged in yet.
pub fn measure(event: &PassEvent) -> Measure {
    let values = GROUPED.map(|property| reported(event, property));
    let user = match event.kind() {
        EventKind::AuthnRequested => None,
        _ => mvpd_user_id(event)
            .map(|id| MeasuredUser { digest: PlainDigest::of(id), is_synthetic: is_synthetic(event, id) }),
    };
    Measure::new(values.each_ref().map(|value| value.as_deref().unwrap_or_default()), user)
}

/// The MVPD User ID of an event as eVar10 shows it, trimmed; `None` if it is missing or only says that it is unknown.
pub fn mvpd_user_id(event: &PassEvent) -> Option<&str> {
    identity::known(event, Property::MvpdUserId, VisitorRules::default()).map(str::trim)
}

/// Whether an ID is that of degraded access, which many viewers share, or of temporary access, which is always new.
fn is_synthetic(event: &PassEvent, id: &str) -> bool {
    id.starts_with(DEGRADED_PREFIX)
        || id.starts_with(TEMPORARY_PREFIX)
        || event
            .property(Property::TokenType)
            .is_some_and(|token| token.trim().eq_ignore_ascii_case(DEGRADED_TOKEN))
}
