//! The columns of a report: parts of the time, dimensions and metrics, and the words for a metric without a
//! number. Every name that ESM documents is here.

use crate::config::EsmConfig;
use crate::event::{EventKind, KindSet, Property};

/// The metrics that become events, each with the kind of event.
pub(super) const METRICS: [(&str, EventKind); 10] = [
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
/// Requests that Adobe refused as an attack. They become failed authorizations if the configuration says so.
pub(super) const REJECTED: &str = "authz-rejected";
/// No event can carry this metric, so its numbers are stored as ESM states them.
pub(super) const ACCOUNTS: &str = "unique-accounts";
const OTHER_METRICS: [&str; 5] = [REJECTED, ACCOUNTS, "authz-latency", "unique-sessions", "count"];
/// Values of a metric that mean "no number".
const NO_NUMBERS: [&str; 4] = ["", "-", "N/A", "null"];
/// The dimensions that have an eVar.
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
/// The other documented dimensions. Only `requestor-id` becomes a part of events; the others distinguish records.
const DIMENSIONS: &str = "requestor-id media-company dc channel device browser-family browser-version os-type os-version \
     platform platform-version application-name application-version customer-app content-category event country api";
/// The parts of the time. ESM has no `utc-offset`: operators add this column to distinguish two equal hours.
const TIME: [&str; 6] = ["year", "month", "day", "hour", "minute", "utc-offset"];

/// The metric with this name and the kind of its events; `None` if it does not become events.
pub(super) fn counted_metric(name: &str, config: &EsmConfig) -> Option<(&'static str, EventKind)> {
    let rejected = config.rejected_is_failed.then_some((REJECTED, EventKind::AuthzFailed));
    METRICS.into_iter().chain(rejected).find(|(metric, _)| *metric == name)
}

/// Whether ESM has a metric for this kind of event.
pub fn has_metric(kind: EventKind) -> bool {
    METRICS.iter().any(|(_, counted)| *counted == kind)
}

/// The names of the metrics of these kinds of events.
pub fn columns(kinds: KindSet) -> impl Iterator<Item = &'static str> {
    METRICS.into_iter().filter(move |(_, kind)| kinds.has(*kind)).map(|(name, _)| name)
}

pub(super) fn is_metric(name: &str) -> bool {
    METRICS.iter().any(|(metric, _)| *metric == name) || OTHER_METRICS.contains(&name)
}

pub(super) fn is_no_number(value: &str) -> bool {
    NO_NUMBERS.contains(&value.trim())
}

pub(super) fn is_dimension(name: &str, config: &EsmConfig) -> bool {
    DIMENSIONS.split(' ').any(|known| known == name)
        || PROPERTIES.iter().any(|(known, _)| *known == name)
        || config.dimensions.iter().any(|known| known == name)
}

pub(super) fn is_time(name: &str) -> bool {
    TIME.contains(&name)
}

/// Whether this name is allowed in `esm.dimensions`: it is spelled as ESM spells dimensions, it is no part of the
/// time, and it is no metric, whose value would become part of a count's identity.
pub fn is_dimension_name(name: &str) -> bool {
    let is_spelled =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    !name.is_empty() && is_spelled && !is_time(name) && !is_metric(name)
}
