//! The metrics of a report in the order in which CSV and the page show them, each with its meaning.

use super::figures::Figures;
use super::number::Number;
use crate::event::EventKind;

/// Of each metric its key, its name, the same in short words at the head of a column, and what it counts, in a sentence or two.
const TEXTS: &str = include_str!("metrics.txt");

pub(super) struct Metric {
    /// Its key in the JSON document.
    pub(super) key: &'static str,
    pub(super) value: fn(&Figures) -> Number,
}

impl Metric {
    pub(super) fn name(&self) -> &'static str {
        self.text(1)
    }

    pub(super) fn heading(&self) -> &'static str {
        self.text(2)
    }

    pub(super) fn meaning(&self) -> &'static str {
        self.text(3)
    }

    fn text(&self, column: usize) -> &'static str {
        let mut rows = TEXTS.lines().map(|line| line.split(" | "));
        let row = rows.find(|row| row.clone().next() == Some(self.key));
        row.and_then(|mut row| row.nth(column)).expect("every metric has a whole row; a test looks each up")
    }
}

pub(super) const AUTHENTICATIONS: Metric = Metric {
    key: "successful_authentications",
    value: |figures| Number::Count(figures.successful_authentications),
};
pub(super) const AUTHORIZATIONS: Metric = Metric {
    key: "successful_authorizations",
    value: |figures| Number::Count(figures.successful_authorizations),
};
pub(super) const PLAYS: Metric = Metric {
    key: "successful_play_requests",
    value: |figures| Number::Count(figures.successful_play_requests),
};
pub(super) const USERS: Metric =
    Metric { key: "unique_users", value: |figures| Number::Known(figures.unique_users) };
pub(super) const ATTEMPTED_AUTHENTICATIONS: Metric = Metric {
    key: "attempted_authentications",
    value: |figures| Number::Count(figures.attempted_authentications),
};
pub(super) const ATTEMPTED_AUTHORIZATIONS: Metric = Metric {
    key: "attempted_authorizations",
    value: |figures| Number::Count(figures.attempted_authorizations),
};
pub(super) const AUTHENTICATION_CONVERSION: Metric = Metric {
    key: "authentication_conversion",
    value: |figures| Number::Share(figures.authentication_conversion),
};
pub(super) const AUTHORIZATION_CONVERSION: Metric = Metric {
    key: "authorization_conversion",
    value: |figures| Number::Share(figures.authorization_conversion),
};

/// Shown where ESM stated any.
pub(super) const STATED: Metric =
    Metric { key: "stated_unique_accounts", value: |figures| Number::Known(figures.stated_unique_accounts) };

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
        value: |figures| Number::Difference(figures.unsuccessful_authentications),
    },
    AUTHENTICATION_CONVERSION,
    Metric { key: "authentication_ratio", value: |figures| Number::Share(figures.authentication_ratio) },
    AUTHORIZATION_CONVERSION,
    Metric { key: "authorization_ratio", value: |figures| Number::Share(figures.authorization_ratio) },
    Metric { key: "synthetic_users", value: |figures| Number::Known(figures.synthetic_users) },
];

/// What Adobe's list of metrics calls some events otherwise than its list of events.
const OTHER_NAMES: [(EventKind, &str); 5] = [
    (EventKind::LogoutRequested, "Logout requested"),
    (EventKind::PreflightRequested, "Preauthorization requested"),
    (EventKind::PreflightGranted, "Preauthorization OK"),
    (EventKind::PreflightDenied, "Preauthorization denied"),
    (EventKind::PreflightFailed, "Preauthorization failed"),
];

/// What an event is called, by both lists.
pub(super) fn event_name(kind: EventKind) -> String {
    match OTHER_NAMES.iter().find(|(named, _)| *named == kind) {
        Some((_, other)) => format!("{} ({other})", kind.label()),
        None => kind.label().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_texts_and_every_text_its_metric() {
        for metric in METRICS.iter().chain([&STATED]) {
            let longer = [metric.heading(), metric.meaning()].map(str::len);
            assert!(metric.name().len() > 5 && longer[0] > 5 && longer[1] > longer[0], "{}", metric.key);
        }
        assert_eq!(TEXTS.lines().count(), METRICS.len() + 1);
    }
}
