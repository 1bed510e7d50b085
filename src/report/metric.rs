//! The metrics of a report in the order in which CSV and the page show them, each with its meaning.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

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
    value: |figures| Number::Count(figures.units(EventKind::AuthnOk)),
};
pub(super) const AUTHORIZATIONS: Metric = Metric {
    key: "successful_authorizations",
    name: "Successful authorizations",
    heading: "AuthZ granted",
    meaning: "AuthZ OK: the MVPD said that the subscription includes what was asked for. For as long as that answer is cached, often a \
              day, nothing more is counted.",
    value: |figures| Number::Count(figures.units(EventKind::AuthzOk)),
};
pub(super) const PLAYS: Metric = Metric {
    key: "successful_play_requests",
    name: "Successful play requests",
    heading: "Play requests",
    meaning: "A media token was made for an entitled viewer. Whether the video began is not known.",
    value: |figures| Number::Count(figures.units(EventKind::PlayRequested)),
};
pub(super) const USERS: Metric = Metric {
    key: "unique_users",
    name: "Unique users",
    heading: "Unique users",
    meaning: "Different MVPD User IDs in all events but AuthN requested, failed ones too. Each counts once in whatever is looked at, so \
              a month is less than the sum of its days, and the total can be less than the sum of the MVPDs.",
    value: |figures| Number::Count(figures.unique_users),
};
pub(super) const ATTEMPTED_AUTHENTICATIONS: Metric = Metric {
    key: "attempted_authentications",
    name: "Attempted authentications",
    heading: "AuthN attempts",
    meaning: "AuthN requested: a viewer was sent to the login of an MVPD. Wrong passwords on its page are part of one attempt.",
    value: |figures| Number::Count(figures.units(EventKind::AuthnRequested)),
};
pub(super) const ATTEMPTED_AUTHORIZATIONS: Metric = Metric {
    key: "attempted_authorizations",
    name: "Attempted authorizations",
    heading: "AuthZ attempts",
    meaning: "AuthZ requested: the MVPD was asked whether the subscription includes a resource.",
    value: |figures| Number::Count(figures.units(EventKind::AuthzRequested)),
};
pub(super) const AUTHENTICATION_CONVERSION: Metric = Metric {
    key: "authentication_conversion",
    name: "Authentication conversion",
    heading: "AuthN conversion",
    meaning: "Successful authentications as a share of attempted ones. It counts events, not users: who fails eight times and then \
              succeeds weighs as one in nine. Logins that began before the period can lift it above 100 %.",
    value: |figures| Number::Share(figures.ratio(EventKind::AuthnOk, EventKind::AuthnRequested)),
};
pub(super) const AUTHORIZATION_CONVERSION: Metric = Metric {
    key: "authorization_conversion",
    name: "Authorization conversion",
    heading: "AuthZ conversion",
    meaning: "Successful authorizations as a share of attempted ones.",
    value: |figures| Number::Share(figures.ratio(EventKind::AuthzOk, EventKind::AuthzRequested)),
};

/// The page shows this metric only if ESM stated accounts.
pub(super) const STATED: Metric = Metric {
    key: "stated_unique_accounts",
    name: "Unique accounts, as ESM stated",
    heading: "Accounts (ESM)",
    meaning: "What ESM itself says of exactly this requestor, MVPD and time. The same viewer is in many of these numbers, so they can be \
              neither added up nor divided.",
    value: |figures| Number::Count(figures.stated_unique_accounts),
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
        value: |figures| Number::Difference(figures.unsuccessful_authentications()),
    },
    AUTHENTICATION_CONVERSION,
    Metric {
        key: "authentication_ratio",
        name: "Authentication ratio, as published",
        heading: "AuthN ratio",
        meaning: "The same the other way round, as Adobe's page prints it: attempted over successful authentications. 200 % says that every \
                  second attempt succeeds.",
        value: |figures| Number::Share(figures.ratio(EventKind::AuthnRequested, EventKind::AuthnOk)),
    },
    AUTHORIZATION_CONVERSION,
    Metric {
        key: "authorization_ratio",
        name: "Authorization ratio, as published",
        heading: "AuthZ ratio",
        meaning: "Attempted over successful authorizations, as Adobe's page prints it.",
        value: |figures| Number::Share(figures.ratio(EventKind::AuthzRequested, EventKind::AuthzOk)),
    },
    Metric {
        key: "synthetic_users",
        name: "Synthetic users",
        heading: "Synthetic users",
        meaning: "Different IDs of degraded and temporary access, which stand for no subscriber. They are no unique users.",
        value: |figures| Number::Count(figures.synthetic_users),
    },
];

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut figures = serializer.serialize_map(None)?;
        for metric in METRICS.iter().chain([&STATED]) {
            figures.serialize_entry(metric.key, &(metric.value)(self))?;
        }
        figures.serialize_entry("events", &self.events)?;
        figures.end()
    }
}
