//! What the columns of a report are: parts of the time, dimensions, and metrics. Every name that ESM documents stands here.

use crate::config::EsmConfig;
use crate::event::{EventKind, Property};

/// The metrics that an event stands for (section 8.4 of the reference).
const METRICS: [(&str, EventKind); 10] = [
    ("authn-attempts", EventKind::AuthnRequested),
    ("authn-pending", EventKind::AuthnPending),
    ("authn-successful", EventKind::AuthnOk),
    ("authz-attempts", EventKind::AuthzRequested),
    ("authz-successful", EventKind::AuthzOk),
    ("authz-failed", EventKind::AuthzFailed),
    ("media-tokens", EventKind::PlayRequested),
    ("authn-failed", EventKind::AuthnFailed),
    ("clientless-tokens", EventKind::ClientlessTokenOk),
    ("clientless-failures", EventKind::ClientlessTokenFailed),
];
/// Refused by Adobe as an attack: counted as a failed authorization where the configuration says so.
pub(super) const REJECTED: &str = "authz-rejected";
/// Kept as ESM states it: no event can carry it.
pub(super) const ACCOUNTS: &str = "unique-accounts";
/// The other metrics that are documented.
const OTHER_METRICS: [&str; 5] = [REJECTED, ACCOUNTS, "authz-latency", "unique-sessions", "count"];
/// The dimensions that an eVar reports.
pub(super) const PROPERTIES: [(&str, Property); 12] = [
    ("mvpd", Property::Mvpd),
    ("proxy", Property::Proxy),
    ("nsdk", Property::SdkType),
    ("sdk-type", Property::SdkType),
    ("nsdk-version", Property::SdkVersion),
    ("resource-id", Property::ResourceId),
    ("reason", Property::AuthzErrorType),
    ("cdt", Property::ClientlessDeviceType),
    ("os-family", Property::OperatingSystem),
    ("arch", Property::ServerVersion),
    ("eap", Property::ExternalAuthProvider),
    ("sso-type", Property::SsoMechanism),
];
/// The other dimensions that are documented: they tell records apart, and no eVar reports them.
const DIMENSIONS: [&str; 18] = [
    "requestor-id",
    "media-company",
    "dc",
    "channel",
    "device",
    "browser-family",
    "browser-version",
    "os-type",
    "os-version",
    "platform",
    "platform-version",
    "application-name",
    "application-version",
    "customer-app",
    "content-category",
    "event",
    "country",
    "api",
];
/// `utc-offset` is no column of ESM: who knows which of two hours a record is of says it there.
const TIME: [&str; 6] = ["year", "month", "day", "hour", "minute", "utc-offset"];

/// The metric of this name that an event stands for, and that event.
pub(super) fn counted_metric(name: &str, config: &EsmConfig) -> Option<(&'static str, EventKind)> {
    let rejected = config.rejected_is_failed.then_some((REJECTED, EventKind::AuthzFailed));
    METRICS.into_iter().chain(rejected).find(|(metric, _)| *metric == name)
}

/// Whether ESM has a metric for this event.
pub fn has_metric(kind: EventKind) -> bool {
    METRICS.iter().any(|(_, counted)| *counted == kind)
}

pub(super) fn is_metric(name: &str) -> bool {
    METRICS.iter().any(|(metric, _)| *metric == name) || OTHER_METRICS.contains(&name)
}

pub(super) fn is_dimension(name: &str, config: &EsmConfig) -> bool {
    DIMENSIONS.contains(&name)
        || PROPERTIES.iter().any(|(known, _)| *known == name)
        || config.dimensions.iter().any(|known| known == name)
}

/// Whether a column is a part of the time of its record.
pub(super) fn is_time(name: &str) -> bool {
    TIME.contains(&name)
}

/// Whether `esm.dimensions` may have this name: spelled as ESM spells dimensions, and neither a metric, whose value would then
/// be part of what identifies it, nor a part of the time.
pub fn is_dimension_name(name: &str) -> bool {
    let is_spelled =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    !name.is_empty() && is_spelled && !is_time(name) && !is_metric(name)
}
