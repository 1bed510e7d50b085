//! A cell of a table: units by event, and users. A user counts once in a cell.

use std::collections::BTreeSet;

use super::figures::Figures;
use crate::event::{EventKind, KindSet};

#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    units: [u64; EventKind::COUNT],
    users: [u64; 2],
    /// The number of the user counted last: first of subscribers, then of synthetic IDs. `users` has the same order.
    last_seen: [u64; 2],
    /// Whether some of the cell comes from ESM, which names no users.
    has_sums: bool,
    /// The sets of kinds of events that sources of the cell do not count. Sources that lack the same kinds share a set.
    lacking: BTreeSet<KindSet>,
    /// The requestors, and the MVPDs, that have units or stated accounts in the cell.
    pub(super) requestors: Sole,
    pub(super) mvpds: Sole,
}

/// How many requestors or MVPDs a cell has: none, one (with its number) or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sole {
    #[default]
    Nobody,
    One(u32),
    Several,
}

impl Sole {
    fn add(&mut self, number: u32) {
        *self = match *self {
            Sole::Nobody => Sole::One(number),
            Sole::One(known) if known == number => Sole::One(known),
            Sole::One(_) | Sole::Several => Sole::Several,
        };
    }
}

/// Where units or stated accounts come from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Source {
    pub(super) requestor: u32,
    /// The number of the MVPD; `None` for accounts of all MVPDs together.
    pub(super) mvpd: Option<u32>,
    pub(super) is_esm: bool,
    /// Whether nothing is known of the requestor except numbers of unique accounts.
    pub(super) is_stated_alone: bool,
    /// The kinds of events that the source does not count.
    pub(super) lacking: KindSet,
}

impl Cell {
    pub(super) fn count(&mut self, kind: EventKind, units: u64, source: Source) {
        self.units[usize::from(kind.slot() - 1)] += units;
        if !self.lacking.contains(&source.lacking) {
            self.lacking.insert(source.lacking);
        }
        self.note(source);
    }

    /// Records that a requestor and an MVPD have units or stated accounts in the cell.
    pub(super) fn note(&mut self, source: Source) {
        self.has_sums |= source.is_esm;
        self.requestors.add(source.requestor);
        source.mvpd.into_iter().for_each(|mvpd| self.mvpds.add(mvpd));
    }

    /// Adds the units of another cell. Users cannot be added, because both cells may have the same users.
    pub(super) fn add_units(&mut self, other: &Cell) {
        self.units.iter_mut().zip(other.units).for_each(|(sum, units)| *sum += units);
        self.has_sums |= other.has_sums;
        self.lacking.extend(&other.lacking);
        (self.requestors, self.mvpds) = (Sole::Several, Sole::Several);
    }

    pub(super) fn add_user(&mut self, is_synthetic: bool) {
        self.users[usize::from(is_synthetic)] += 1;
    }

    /// Counts a user, unless it is the one counted last. Callers pass the users in ascending order, from 1.
    pub(super) fn see(&mut self, user: u64, is_synthetic: bool) {
        let side = usize::from(is_synthetic);
        self.users[side] += u64::from(self.last_seen[side] != user);
        self.last_seen[side] = user;
    }

    pub(super) fn units_of_all(&self) -> u64 {
        self.units.iter().sum()
    }

    pub(super) fn figures(&self) -> Figures {
        let events = EventKind::ALL.map(|kind| {
            let units = self.units[usize::from(kind.slot() - 1)];
            let is_counted = self.lacking.iter().any(|lacking| !lacking.has(kind));
            (!self.has_sums || is_counted || units > 0).then_some(units)
        });
        let [unique_users, synthetic_users] = self.users.map(|users| (!self.has_sums).then_some(users));
        let lacking = self.lacking.clone();
        Figures { events, lacking, unique_users, synthetic_users, stated_unique_accounts: None }
    }
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
        cell.count(EventKind::AuthnOk, 1, Source { is_esm: true, ..Source::default() });
        assert_eq!((cell.figures().unique_users, cell.figures().synthetic_users), (None, None));
    }

    #[test]
    fn rates_are_the_share_and_the_published_ratio_and_none_of_nothing() {
        let mut cell = Cell::default();
        let nothing = cell.figures();
        assert_eq!((nothing.events, nothing.unique_users), ([Some(0); EventKind::COUNT], Some(0)));
        cell.count(EventKind::AuthnRequested, 9, Source::default());
        cell.count(EventKind::AuthnOk, 12, Source::default());
        cell.count(EventKind::AuthzRequested, 4, Source::default());
        let figures = cell.figures();
        assert_eq!(figures.unsuccessful_authentications(), Some(-3));
        let ratio = |of, to| figures.ratio(of, to);
        assert_eq!(ratio(EventKind::AuthnOk, EventKind::AuthnRequested), Some(12.0 / 9.0));
        assert_eq!(ratio(EventKind::AuthnRequested, EventKind::AuthnOk), Some(0.75));
        assert_eq!(ratio(EventKind::AuthzOk, EventKind::AuthzRequested), Some(0.0));
        assert_eq!(ratio(EventKind::AuthzRequested, EventKind::AuthzOk), None);
    }
}
