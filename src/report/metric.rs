//! The metrics of a report in the order in which CSV and the page show them, each with its meaning.

use super::figures::Figures;
use super::number::Number;
use crate::event::EventKind;

pub(super) struct Metric {
    /// The key in the JSON document.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    /// The name in short words, for the head of a column.
    pub(super) heading: &'static str,
    /// What the metric counts, in a sentence or two.
    pub(super) meaning: &'static str,
    pub(super) value: fn(&Figures) -> Number,
}

pub(super) const AUTHENTICATIONS: Metric = Metric {
    key: "successful_authentications",
    name: "Successful authentications",
    heading: "AuthN granted",
    meaning: "AuthN OK: an authentication token reached the viewer's device after a login with the MVPD. A login that is still cached, or \
              that single sign-on brings along, is none.",
    value: |figures| Number::Count(figures.successful_authentications),
};
pub(super) const AUTHORIZATIONS: Metric = Metric {
    key: "successful_authorizations",
    name: "Successful authorizations",
    heading: "AuthZ granted",
    meaning: "AuthZ OK: the MVPD said that the subscription includes what was asked for. For as long as that answer is cached, often a \
              day, nothing more is counted.",
    value: |figures| Number::Count(figures.successful_authorizations),
};
pub(super) const PLAYS: Metric = Metric {
    key: "successful_play_requests",
    name: "Successful play requests",
    heading: "Play requests",
    meaning: "A media token was made for an entitled viewer. Whether the video began is not known.",
    value: |figures| Number::Count(figures.successful_play_requests),
};
pub(super) const USERS: Metric = Metric {
    key: "unique_users",
    name: "Unique users",
    heading: "Unique users",
    meaning: "Different MVPD User IDs in all events but AuthN requested, failed ones too. Each counts once in whatever is looked at, so \
              a month is less than the sum of its days, and the total can be less than the sum of the MVPDs.",
    value: |figures| Number::Known(figures.unique_users),
};
pub(super) const ATTEMPTED_AUTHENTICATIONS: Metric = Metric {
    key: "attempted_authentications",
    name: "Attempted authentications",
    heading: "AuthN attempts",
    meaning: "AuthN requested: a viewer was sent to the login of an MVPD. Wrong passwords on its page are part of one attempt.",
    value: |figures| Number::Count(figures.attempted_authentications),
};
pub(super) const ATTEMPTED_AUTHORIZATIONS: Metric = Metric {
    key: "attempted_authorizations",
    name: "Attempted authorizations",
    heading: "AuthZ attempts",
    meaning: "AuthZ requested: the MVPD was asked whether the subscription includes a resource.",
    value: |figures| Number::Count(figures.attempted_authorizations),
};
pub(super) const AUTHENTICATION_CONVERSION: Metric = Metric {
    key: "authentication_conversion",
    name: "Authentication conversion",
    heading: "AuthN conversion",
    meaning: "Successful authentications as a share of attempted ones. It counts events, not users: who fails eight times and then \
              succeeds weighs as one in nine. Logins that began before the period can lift it above 100 %.",
    value: |figures| Number::Share(figures.authentication_conversion),
};
pub(super) const AUTHORIZATION_CONVERSION: Metric = Metric {
    key: "authorization_conversion",
    name: "Authorization conversion",
    heading: "AuthZ conversion",
    meaning: "Successful authorizations as a share of attempted ones.",
    value: |figures| Number::Share(figures.authorization_conversion),
};

/// The page shows this metric only if ESM stated accounts.
pub(super) const STATED: Metric = Metric {
    key: "stated_unique_accounts",
    name: "Unique accounts, as ESM stated",
    heading: "Accounts (ESM)",
    meaning: "What ESM itself says of exactly this requestor, MVPD and time. The same viewer is in many of these numbers, so they can be \
              neither added up nor divided.",
    value: |figures| Number::Known(figures.stated_unique_accounts),
};

/// The six metrics of Adobe's page, the metrics that are calculated from them, and synthetic users.
pub(super) const METRICS: [Metric; 12] = [
    AUTHENTICATIONS,
    AUTHORIZATIONS,
    PLAYS,
    USERS,
    ATTEMPTED_AUTHENTICATIONS,
    ATTEMPTED_AUTHORIZATIONS,
    Metric {
        key: "unsuccessful_authentications",
        name: "Unsuccessful authentications",
        heading: "AuthN without success",
        meaning: "Attempted less successful authentications: there is no event for a login that a viewer gave up.",
        value: |figures| Number::Difference(figures.unsuccessful_authentications),
    },
    AUTHENTICATION_CONVERSION,
    Metric {
        key: "authentication_ratio",
        name: "Authentication ratio, as published",
        heading: "AuthN ratio",
        meaning: "The same the other way round, as Adobe's page prints it: attempted over successful authentications. 200 % says that every \
                  second attempt succeeds.",
        value: |figures| Number::Share(figures.authentication_ratio),
    },
    AUTHORIZATION_CONVERSION,
    Metric {
        key: "authorization_ratio",
        name: "Authorization ratio, as published",
        heading: "AuthZ ratio",
        meaning: "Attempted over successful authorizations, as Adobe's page prints it.",
        value: |figures| Number::Share(figures.authorization_ratio),
    },
    Metric {
        key: "synthetic_users",
        name: "Synthetic users",
        heading: "Synthetic users",
        meaning: "Different IDs of degraded and temporary access, which stand for no subscriber. They are no unique users.",
        value: |figures| Number::Known(figures.synthetic_users),
    },
];

/// The names of events that differ between Adobe's list of metrics and its list of events.
const OTHER_NAMES: [(EventKind, &str); 5] = [
    (EventKind::LogoutRequested, "Logout requested"),
    (EventKind::PreflightRequested, "Preauthorization requested"),
    (EventKind::PreflightGranted, "Preauthorization OK"),
    (EventKind::PreflightDenied, "Preauthorization denied"),
    (EventKind::PreflightFailed, "Preauthorization failed"),
];

/// The name of an event; if the two lists differ, both names.
pub(super) fn event_name(kind: EventKind) -> String {
    match OTHER_NAMES.iter().find(|(named, _)| *named == kind) {
        Some((_, other)) => format!("{} ({other})", kind.label()),
        None => kind.label().to_owned(),
    }
}
