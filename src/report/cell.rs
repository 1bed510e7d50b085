//! A cell of a table: units by event, and users. A user counts once in a cell.

use super::figures::Figures;
use crate::event::EventKind;
use crate::readers::esm::has_metric;

#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    units: [u64; EventKind::COUNT],
    users: [u64; 2],
    /// The number of the user counted last: of subscribers, then of synthetic IDs, as in `users`.
    last_seen: [u64; 2],
    /// Whether events of the cell come one by one, and whether some come from ESM, which names no users.
    is_fed_by: [bool; 2],
    pub(super) requestors: Requestors,
}

/// The requestors that have units or stated accounts in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Requestors {
    #[default]
    Nobody,
    One(u32),
    Several,
}

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

    /// Records that a requestor has units or stated accounts in the cell.
    pub(super) fn note(&mut self, source: Source) {
        self.is_fed_by[usize::from(source.is_esm)] = true;
        self.requestors = match self.requestors {
            Requestors::Nobody => Requestors::One(source.requestor),
            Requestors::One(known) if known == source.requestor => Requestors::One(known),
            Requestors::One(_) | Requestors::Several => Requestors::Several,
        };
    }

    /// Adds the units of another cell. Users cannot be added, because both cells may have the same users.
    pub(super) fn add_units(&mut self, other: &Cell) {
        self.units.iter_mut().zip(other.units).for_each(|(sum, units)| *sum += units);
        self.is_fed_by.iter_mut().zip(other.is_fed_by).for_each(|(is_fed, too)| *is_fed |= too);
        self.requestors = Requestors::Several;
    }

    /// Counts a user, unless it was counted last. Callers pass the users in ascending order, from 1.
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
        let [has_events, has_sums] = self.is_fed_by;
        let [unique_users, synthetic_users] = self.users.map(|users| (!has_sums).then_some(users));
        let is_known = |kind| has_events || !has_sums || has_metric(kind);
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
            events: EventKind::ALL.map(|kind| is_known(kind).then_some(units(kind))),
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
            Figures {
                unique_users: nobody,
                synthetic_users: nobody,
                events: [nobody; EventKind::COUNT],
                ..Figures::default()
            }
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
