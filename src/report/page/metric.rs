//! The metrics of a report in the order in which the page shows them, each with its meaning.

use super::number::Number;
use crate::event::EventKind;
use crate::report::Figures;

/// A metric.
pub(super) struct Metric {
    /// Its key in the JSON document.
    pub(super) key: &'static str,
    /// What it is called.
    pub(super) name: &'static str,
    /// What it counts, in a sentence or two.
    pub(super) meaning: &'static str,
    /// Its value.
    pub(super) value: fn(&Figures) -> Number,
}

impl Metric {
    /// Its name where there is little room.
    pub(super) fn short_name(&self) -> String {
        let shorter = [
            ("Authentication", "AuthN"),
            ("Authorization", "AuthZ"),
            ("authentications", "AuthN"),
            ("authorizations", "AuthZ"),
            (", as published", ""),
        ];
        shorter.iter().fold(self.name.to_owned(), |name, (long, short)| name.replace(long, short))
    }
}

pub(super) const AUTHENTICATIONS: Metric = Metric {
    key: "successful_authentications",
    name: "Successful authentications",
    meaning: "AuthN OK: an authentication token reached the viewer's device after a login with the MVPD. A login that is still cached, or \
              that single sign-on brings along, is none.",
    value: |figures| Number::Count(figures.successful_authentications),
};
pub(super) const AUTHORIZATIONS: Metric = Metric {
    key: "successful_authorizations",
    name: "Successful authorizations",
    meaning: "AuthZ OK: the MVPD said that the subscription includes what was asked for. For as long as that answer is cached, often a \
              day, nothing more is counted.",
    value: |figures| Number::Count(figures.successful_authorizations),
};
pub(super) const PLAYS: Metric = Metric {
    key: "successful_play_requests",
    name: "Successful play requests",
    meaning: "A media token was made for an entitled viewer. Whether the video began is not known.",
    value: |figures| Number::Count(figures.successful_play_requests),
};
pub(super) const USERS: Metric = Metric {
    key: "unique_users",
    name: "Unique users",
    meaning: "Different MVPD User IDs in all events but AuthN requested, failed ones too. Each counts once in whatever is looked at, so \
              a month is less than the sum of its days, and the total can be less than the sum of the MVPDs.",
    value: |figures| Number::Count(figures.unique_users),
};
pub(super) const ATTEMPTED_AUTHENTICATIONS: Metric = Metric {
    key: "attempted_authentications",
    name: "Attempted authentications",
    meaning: "AuthN requested: a viewer was sent to the login of an MVPD. Wrong passwords on its page are part of one attempt.",
    value: |figures| Number::Count(figures.attempted_authentications),
};
pub(super) const ATTEMPTED_AUTHORIZATIONS: Metric = Metric {
    key: "attempted_authorizations",
    name: "Attempted authorizations",
    meaning: "AuthZ requested: the MVPD was asked whether the subscription includes a resource.",
    value: |figures| Number::Count(figures.attempted_authorizations),
};
pub(super) const AUTHENTICATION_CONVERSION: Metric = Metric {
    key: "authentication_conversion",
    name: "Authentication conversion",
    meaning: "Successful authentications as a share of attempted ones. It counts events, not users: who fails eight times and then \
              succeeds weighs as one in nine. Logins that began before the period can lift it above 100 %.",
    value: |figures| Number::Share(figures.authentication_conversion),
};
pub(super) const AUTHORIZATION_CONVERSION: Metric = Metric {
    key: "authorization_conversion",
    name: "Authorization conversion",
    meaning: "Successful authorizations as a share of attempted ones.",
    value: |figures| Number::Share(figures.authorization_conversion),
};

/// The six of Adobe's page, then what follows from them.
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
        meaning: "Attempted less successful authentications: there is no event for a login that a viewer gave up.",
        value: |figures| Number::Difference(figures.unsuccessful_authentications),
    },
    AUTHENTICATION_CONVERSION,
    Metric {
        key: "authentication_ratio",
        name: "Authentication ratio, as published",
        meaning: "The same the other way round, as Adobe's page prints it: attempted over successful authentications. 200 % says that every \
                  second attempt succeeds.",
        value: |figures| Number::Share(figures.authentication_ratio),
    },
    AUTHORIZATION_CONVERSION,
    Metric {
        key: "authorization_ratio",
        name: "Authorization ratio, as published",
        meaning: "Attempted over successful authorizations, as Adobe's page prints it.",
        value: |figures| Number::Share(figures.authorization_ratio),
    },
    Metric {
        key: "synthetic_users",
        name: "Synthetic users",
        meaning: "Different IDs of degraded and temporary access, which stand for no subscriber. They are no unique users.",
        value: |figures| Number::Count(figures.synthetic_users),
    },
];

/// How many of [`METRICS`] stand in the table of Adobe's page.
pub(super) const PUBLISHED: usize = 6;

/// What an event is called, with the label of Adobe's list of metrics where that has another.
pub(super) fn event_name(kind: EventKind) -> String {
    let other = match kind {
        EventKind::LogoutRequested => "Logout requested",
        EventKind::PreflightRequested => "Preauthorization requested",
        EventKind::PreflightGranted => "Preauthorization OK",
        EventKind::PreflightDenied => "Preauthorization denied",
        EventKind::PreflightFailed => "Preauthorization failed",
        EventKind::AuthnRequested
        | EventKind::AuthnPending
        | EventKind::AuthnOk
        | EventKind::AuthzRequested
        | EventKind::AuthzOk
        | EventKind::AuthzFailed
        | EventKind::PlayRequested
        | EventKind::AuthnFailed
        | EventKind::ClientlessTokenOk
        | EventKind::ClientlessTokenFailed
        | EventKind::PlayFailed
        | EventKind::LogoutCompleted
        | EventKind::LogoutFailed => return kind.label().to_owned(),
    };
    format!("{} ({other})", kind.label())
}

/// What Adobe says of its most common reasons of a failure.
pub(super) fn reason_meaning(reason: &str) -> &'static str {
    const MEANINGS: [(&str, &str); 7] = [
        ("noAuthZ", "The MVPD says that the subscription does not include it."),
        ("network", "The MVPD could not be reached, or did not answer."),
        (
            "norefreshtoken",
            "The login cannot be renewed, for example after a new password; the viewer logs in again.",
        ),
        ("mismatch", "The request came from another device than the login did."),
        ("invalid", "The request was not valid: a parameter was missing or wrong."),
        ("authzNone", "The programmer has denied this channel with this MVPD."),
        ("fraud", "Asked again within seconds of a denial, many times: often a fault of the application."),
    ];
    MEANINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(reason)).map_or("", |(_, meaning)| meaning)
}
