//! A cell: units of every event and users, each counted once, of whatever a figure is asked for.

use super::Figures;
use crate::event::EventKind;

/// What is counted of one column, row or span.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    units: [u64; EventKind::ALL.len()],
    /// People, then synthetic IDs.
    users: [u64; 2],
    /// The user that was seen last, of both.
    last_seen: [u64; 2],
}

impl Cell {
    pub(super) fn count(&mut self, kind: EventKind, units: u64) {
        self.units[usize::from(kind.slot() - 1)] += units;
    }

    /// Sees a user, by a number that goes up from 1 with each of them: all that is seen of one comes together.
    pub(super) fn see(&mut self, user: u64, is_synthetic: bool) {
        let side = usize::from(is_synthetic);
        self.users[side] += u64::from(self.last_seen[side] != user);
        self.last_seen[side] = user;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.iter().chain(&self.users).all(|sum| *sum == 0)
    }

    pub(super) fn units_of_all(&self) -> u64 {
        self.units.iter().sum()
    }

    pub(super) fn figures(&self) -> Figures {
        let units = |kind: EventKind| self.units[usize::from(kind.slot() - 1)];
        let [unique_users, synthetic_users] = self.users;
        let (authn_tried, authn_ok) = (units(EventKind::AuthnRequested), units(EventKind::AuthnOk));
        let (authz_tried, authz_ok) = (units(EventKind::AuthzRequested), units(EventKind::AuthzOk));
        Figures {
            successful_authentications: authn_ok,
            successful_authorizations: authz_ok,
            successful_play_requests: units(EventKind::PlayRequested),
            unique_users,
            attempted_authentications: authn_tried,
            attempted_authorizations: authz_tried,
            unsuccessful_authentications: authn_tried.cast_signed().saturating_sub(authn_ok.cast_signed()),
            authentication_conversion: ratio(authn_ok, authn_tried),
            authentication_ratio: ratio(authn_tried, authn_ok),
            authorization_conversion: ratio(authz_ok, authz_tried),
            authorization_ratio: ratio(authz_tried, authz_ok),
            synthetic_users,
            events: self.units,
        }
    }
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| of as f64 / to as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_counts_once_however_often_seen_and_synthetic_ones_apart() {
        let mut cell = Cell::default();
        for (user, is_synthetic) in [(1, false), (1, false), (1, true), (2, false), (3, true), (3, true)] {
            cell.see(user, is_synthetic);
        }
        assert_eq!((cell.figures().unique_users, cell.figures().synthetic_users), (2, 2));
    }

    #[test]
    fn rates_are_the_share_and_the_published_ratio_and_none_of_nothing() {
        let mut cell = Cell::default();
        assert!(cell.is_empty());
        assert_eq!(cell.figures(), Figures::default());
        cell.count(EventKind::AuthnRequested, 9);
        cell.count(EventKind::AuthnOk, 12);
        cell.count(EventKind::AuthzRequested, 4);
        let figures = cell.figures();
        assert_eq!(figures.unsuccessful_authentications, -3);
        assert_eq!(
            (figures.authentication_conversion, figures.authentication_ratio),
            (Some(12.0 / 9.0), Some(0.75))
        );
        assert_eq!((figures.authorization_conversion, figures.authorization_ratio), (Some(0.0), None));
    }
}
