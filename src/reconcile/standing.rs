//! Reads the buffer: the requestors of the suite, and for each cell the states of its events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::cell::Stored;
use super::compare::Sides;
use super::days::Calendar;
use super::error::ReconcileError;
use super::key::{CellKey, Name, Spellings};
use super::outcome::Stranger;
use super::seen::{FRESH_NANOS, LATE_NANOS, Seen};
use crate::buffer::{
    Buffer, RequestorKey, RequestorStatus, Standing, StandingFacts, StandingQuestion, StandingUnits,
};
use crate::event::{Instant, Property};
use crate::mapping;
use crate::suite::Rsid;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The requestors of the suite, and all other requestors of the buffer.
pub(super) struct People {
    pub(super) own: Vec<RequestorStatus>,
    others: Vec<RequestorStatus>,
}

impl People {
    pub(super) fn of(buffer: &Buffer, rsid: &Rsid) -> Result<People, ReconcileError> {
        // An unknown suite is an error. A suite without a requestor is not.
        buffer.suite(rsid)?;
        let is_own = |one: &RequestorStatus| one.rsid.as_deref() == Some(rsid.as_str());
        let (own, others) = buffer.requestors()?.into_iter().partition(is_own);
        Ok(People { own, others })
    }

    pub(super) fn names(&self) -> BTreeSet<Name> {
        self.own.iter().map(|one| Name::of(&one.requestor_id)).collect()
    }

    pub(super) fn shown(&self) -> BTreeSet<String> {
        self.own.iter().map(|one| one.requestor_id.clone()).collect()
    }

    pub(super) fn strangers(&self, seen: Option<&Seen>, spellings: &Spellings) -> Vec<Stranger> {
        let known: BTreeMap<Name, &RequestorStatus> =
            self.others.iter().map(|one| (Name::of(&one.requestor_id), one)).collect();
        let stranger = |(name, units): (&Name, &u64)| {
            let known = known.get(name);
            Stranger {
                requestor_id: known
                    .map_or_else(|| spellings.of_requestor(name).to_owned(), |one| one.requestor_id.clone()),
                units: *units,
                is_known: known.is_some(),
                rsid: known.and_then(|one| one.rsid.clone()),
            }
        };
        seen.iter().flat_map(|seen| seen.strangers.iter()).map(stranger).collect()
    }
}

pub(super) fn read_buffer(
    buffer: &Buffer,
    calendar: &Calendar,
    people: &People,
    now: Instant,
    spellings: &mut Spellings,
    sides: &mut Sides,
) -> Result<StandingFacts, ReconcileError> {
    let before = |nanos: i64| Instant::from_nanos(now.nanos().saturating_sub(nanos));
    let (from, to) = calendar.bounds();
    let (fresh_since, late_since) = (before(FRESH_NANOS), before(LATE_NANOS));
    let question = StandingQuestion { from, to, fresh_since, late_since, late_nanos: LATE_NANOS };
    let mut known: BTreeMap<RequestorKey, (Name, bool)> = BTreeMap::new();
    for one in &people.own {
        known.insert(one.key, (Name::of(&one.requestor_id), one.parked.is_some()));
    }
    // Millions of rows have few different names, so each name is folded once.
    let mut mvpds: HashMap<String, Name> = HashMap::new();
    let keys: Vec<RequestorKey> = known.keys().copied().collect();
    let facts = buffer.standing(&keys, &question, |units: StandingUnits<'_>| {
        let (Some((requestor, is_parked)), Some(day)) =
            (known.get(&units.requestor), calendar.day_at(units.at))
        else {
            return;
        };
        if !mvpds.contains_key(units.mvpd) {
            let shown = mapping::shown(Property::Mvpd, units.mvpd).unwrap_or_default();
            mvpds.insert(units.mvpd.to_owned(), spellings.mvpd_of_buffer(&shown));
        }
        let key =
            CellKey { requestor: requestor.clone(), day, mvpd: mvpds[units.mvpd].clone(), kind: units.kind };
        put(sides.stored.entry(key).or_default(), units.standing, units.units, *is_parked);
    })?;
    for (requestor, hour) in &facts.incomplete {
        let ends = Instant::from_nanos(hour.nanos() + HOUR_NANOS - 1);
        let days = [calendar.day_at(*hour), calendar.day_at(ends)].into_iter().flatten();
        if let Some((name, _)) = known.get(requestor) {
            sides.incomplete.extend(days.map(|day| (name.clone(), day)));
        }
    }
    Ok(facts)
}

fn put(stored: &mut Stored, standing: Standing, units: u64, is_parked: bool) {
    let place = match standing {
        Standing::Counted => &mut stored.counted,
        Standing::Withdrawn => &mut stored.withdrawn,
        Standing::Pending if is_parked => &mut stored.parked,
        Standing::Pending => &mut stored.pending,
        Standing::Dead => &mut stored.dead,
        Standing::Held => &mut stored.held,
        Standing::Discarded => &mut stored.discarded,
        Standing::TooFresh => &mut stored.too_fresh,
        Standing::Late => &mut stored.late,
        Standing::Vouched => &mut stored.vouched,
        Standing::Ambiguous => &mut stored.ambiguous,
        Standing::Repeated => &mut stored.repeated,
    };
    *place += units;
}
