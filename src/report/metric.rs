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

/// `names` are the key, the name and the heading.
const fn metric(names: [&'static str; 3], value: fn(&Figures) -> Number, meaning: &'static str) -> Metric {
    let [key, name, heading] = names;
    Metric { key, name, heading, meaning, value }
}

pub(super) const AUTHENTICATIONS: Metric = metric(
    ["successful_authentications", "Successful authentications", "AuthN granted"],
    |figures| Number::Count(figures.units(EventKind::AuthnOk)),
    "AuthN OK: an authentication token reached the viewer's device after a login with the MVPD. A login that is still cached, or \
     that single sign-on brings along, is none.",
);
pub(super) const AUTHORIZATIONS: Metric = metric(
    ["successful_authorizations", "Successful authorizations", "AuthZ granted"],
    |figures| Number::Count(figures.units(EventKind::AuthzOk)),
    "AuthZ OK: the MVPD said that the subscription includes what was asked for. For as long as that answer is cached, often a \
     day, nothing more is counted.",
);
pub(super) const PLAYS: Metric = metric(
    ["successful_play_requests", "Successful play requests", "Play requests"],
    |figures| Number::Count(figures.units(EventKind::PlayRequested)),
    "A media token was made for an entitled viewer. Whether the video began is not known.",
);
pub(super) const USERS: Metric = metric(
    ["unique_users", "Unique users", "Unique users"],
    |figures| Number::Count(figures.unique_users),
    "Different MVPD User IDs in all events but AuthN requested, failed ones too. Each counts once in whatever is looked at, so \
     a month is less than the sum of its days, and the total can be less than the sum of the MVPDs.",
);
pub(super) const ATTEMPTED_AUTHENTICATIONS: Metric = metric(
    ["attempted_authentications", "Attempted authentications", "AuthN attempts"],
    |figures| Number::Count(figures.units(EventKind::AuthnRequested)),
    "AuthN requested: a viewer was sent to the login of an MVPD. Wrong passwords on its page are part of one attempt.",
);
pub(super) const ATTEMPTED_AUTHORIZATIONS: Metric = metric(
    ["attempted_authorizations", "Attempted authorizations", "AuthZ attempts"],
    |figures| Number::Count(figures.units(EventKind::AuthzRequested)),
    "AuthZ requested: the MVPD was asked whether the subscription includes a resource.",
);
pub(super) const AUTHENTICATION_CONVERSION: Metric = metric(
    ["authentication_conversion", "Authentication conversion", "AuthN conversion"],
    |figures| Number::Share(figures.ratio(EventKind::AuthnOk, EventKind::AuthnRequested)),
    "Successful authentications as a share of attempted ones. It counts events, not users: who fails eight times and then \
     succeeds weighs as one in nine. Logins that began before the period can lift it above 100 %.",
);
pub(super) const AUTHORIZATION_CONVERSION: Metric = metric(
    ["authorization_conversion", "Authorization conversion", "AuthZ conversion"],
    |figures| Number::Share(figures.ratio(EventKind::AuthzOk, EventKind::AuthzRequested)),
    "Successful authorizations as a share of attempted ones.",
);

/// The page shows this metric only if ESM stated accounts.
pub(super) const STATED: Metric = metric(
    ["stated_unique_accounts", "Unique accounts, as ESM stated", "Accounts (ESM)"],
    |figures| Number::Count(figures.stated_unique_accounts),
    "What ESM itself says of exactly this requestor, MVPD and time. The same viewer is in many of these numbers, so they can be \
     neither added up nor divided.",
);

/// The six metrics of Adobe's page, the metrics that are calculated from them, and synthetic users.
pub(super) const METRICS: [Metric; 12] = [
    AUTHENTICATIONS,
    AUTHORIZATIONS,
    PLAYS,
    USERS,
    ATTEMPTED_AUTHENTICATIONS,
    ATTEMPTED_AUTHORIZATIONS,
    metric(
        ["unsuccessful_authentications", "Unsuccessful authentications", "AuthN without success"],
        |figures| Number::Difference(figures.unsuccessful_authentications()),
        "Attempted less successful authentications: there is no event for a login that a viewer gave up.",
    ),
    AUTHENTICATION_CONVERSION,
    metric(
        ["authentication_ratio", "Authentication ratio, as published", "AuthN ratio"],
        |figures| Number::Share(figures.ratio(EventKind::AuthnRequested, EventKind::AuthnOk)),
        "The same the other way round, as Adobe's page prints it: attempted over successful authentications. 200 % says that every \
         second attempt succeeds.",
    ),
    AUTHORIZATION_CONVERSION,
    metric(
        ["authorization_ratio", "Authorization ratio, as published", "AuthZ ratio"],
        |figures| Number::Share(figures.ratio(EventKind::AuthzRequested, EventKind::AuthzOk)),
        "Attempted over successful authorizations, as Adobe's page prints it.",
    ),
    metric(
        ["synthetic_users", "Synthetic users", "Synthetic users"],
        |figures| Number::Count(figures.synthetic_users),
        "Different IDs of degraded and temporary access, which stand for no subscriber. They are no unique users.",
    ),
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
