//! A cell of a table: the units of every event, and the users, each of whom counts once.

use super::figures::Figures;
use crate::event::EventKind;

#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    units: [u64; EventKind::COUNT],
    users: [u64; 2],
    /// The user that was counted last, for subscribers and for synthetic IDs.
    last_seen: [u64; 2],
    /// Whether some units come from ESM, which names no users.
    has_sums: bool,
    pub(super) requestors: Requestors,
}

/// The requestors that have something in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Requestors {
    #[default]
    Nobody,
    One(u32),
    Several,
}

/// A requestor by its number, and whether its counts come from ESM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) requestor: u32,
    pub(super) is_esm: bool,
    /// Whether nothing is known of the requestor except numbers of unique accounts.
    pub(super) is_stated_alone: bool,
}

impl Cell {
    pub(super) fn count(&mut self, kind: EventKind, units: u64, source: Source) {
        self.units[usize::from(kind.slot() - 1)] += units;
        self.note(source);
    }

    /// Notes that a requestor has something in the cell.
    pub(super) fn note(&mut self, source: Source) {
        self.has_sums |= source.is_esm;
        self.requestors = match self.requestors {
            Requestors::Nobody => Requestors::One(source.requestor),
            Requestors::One(known) if known == source.requestor => Requestors::One(known),
            Requestors::One(_) | Requestors::Several => Requestors::Several,
        };
    }

    /// Adds the units of another cell. Users cannot be added, because both cells may have the same users.
    pub(super) fn add_units(&mut self, other: &Cell) {
        self.units.iter_mut().zip(other.units).for_each(|(sum, units)| *sum += units);
        self.has_sums |= other.has_sums;
        self.requestors = Requestors::Several;
    }

    /// Counts a user, unless it is the one counted last. Users are numbered from 1, and come one after the other.
    pub(super) fn see(&mut self, user: u64, is_synthetic: bool) {
        let side = usize::from(is_synthetic);
        self.users[side] += u64::from(self.last_seen[side] != user);
        self.last_seen[side] = user;
    }

    pub(super) fn units_of_all(&self) -> u64 {
        self.units.iter().sum()
    }

    pub(super) fn figures(&self) -> Figures {
        let units = |kind: EventKind| self.units[usize::from(kind.slot() - 1)];
        let [unique_users, synthetic_users] = self.users.map(|users| (!self.has_sums).then_some(users));
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
            stated_unique_accounts: None,
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
        assert_eq!((cell.figures().unique_users, cell.figures().synthetic_users), (Some(2), Some(2)));
        cell.count(EventKind::AuthnOk, 1, Source { requestor: 0, is_esm: true, is_stated_alone: false });
        assert_eq!((cell.figures().unique_users, cell.figures().synthetic_users), (None, None));
    }

    #[test]
    fn rates_are_the_share_and_the_published_ratio_and_none_of_nothing() {
        let mut cell = Cell::default();
        let nobody = Some(0);
        assert_eq!(
            cell.figures(),
            Figures { unique_users: nobody, synthetic_users: nobody, ..Figures::default() }
        );
        let source = Source { requestor: 0, is_esm: false, is_stated_alone: false };
        cell.count(EventKind::AuthnRequested, 9, source);
        cell.count(EventKind::AuthnOk, 12, source);
        cell.count(EventKind::AuthzRequested, 4, source);
        let figures = cell.figures();
        assert_eq!(figures.unsuccessful_authentications, -3);
        assert_eq!(
            (figures.authentication_conversion, figures.authentication_ratio),
            (Some(12.0 / 9.0), Some(0.75))
        );
        assert_eq!((figures.authorization_conversion, figures.authorization_ratio), (Some(0.0), None));
    }
}
