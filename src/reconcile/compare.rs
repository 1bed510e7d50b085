//! Compares the counts of ESM, the buffer and Analytics for each cell. It calculates only; it reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{Cell, Counts, Stated, Stored, Verdict};
use super::hint::{self, Hint, Likeness, Rest, Side};
use super::key::{CellKey, Name, Spellings};
use super::tolerance::Tolerance;
use crate::event::{EventKind, KindSet};
use crate::readers::esm::has_metric;

/// A day that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    pub label: String,
    /// Whether ESM and the buffer may still get events of this day.
    pub is_open: bool,
}

/// The counts of ESM.
#[derive(Debug, Clone, Default)]
pub struct EsmSide {
    pub units: BTreeMap<CellKey, Stated>,
    /// The events that the reports cover, by requestor and day. There, a cell without a row counts as zero.
    pub covered: BTreeMap<(Name, usize), KindSet>,
    /// The cells of which a report has a record without a number. Their count is not known.
    pub blank: BTreeSet<CellKey>,
}

/// The counts of Analytics.
#[derive(Debug, Clone, Default)]
pub struct AnalyticsSide {
    pub units: BTreeMap<CellKey, u64>,
    /// The days and events that Analytics refused to report. A refusal applies to all requestors.
    pub refused: BTreeSet<(usize, EventKind)>,
}

/// The counts to compare. A side that is `None` is not compared.
#[derive(Debug, Clone, Default)]
pub struct Sides {
    pub days: Vec<Day>,
    pub spellings: Spellings,
    pub esm: Option<EsmSide>,
    pub stored: BTreeMap<CellKey, Stored>,
    /// The days on which the buffer lacks units of a requestor, because it deleted events before it kept metrics.
    pub incomplete: BTreeSet<(Name, usize)>,
    pub analytics: Option<AnalyticsSide>,
    /// Whether Analytics shows no delivered unit so far and nothing proves (see `Readiness`) that the suite records its
    /// hits. Then the units that are `too_fresh` or `late` may never appear.
    pub is_unproven: bool,
}

impl Sides {
    /// Judges every cell in which ESM, the buffer or Analytics has a count, in the order of the keys.
    pub fn compare(&self, tolerance: Tolerance) -> Vec<Cell> {
        let mut keys: BTreeSet<&CellKey> = self.stored.keys().collect();
        keys.extend(self.esm.iter().flat_map(|esm| esm.units.keys()));
        keys.extend(self.analytics.iter().flat_map(|analytics| analytics.units.keys()));
        let mut cells = Vec::with_capacity(keys.len());
        let (mut in_analytics, mut in_esm) = (Vec::new(), Vec::new());
        for key in keys {
            let counts = self.counts(key);
            if counts.is_empty() {
                continue;
            }
            let cell = self.judge(key, &counts, tolerance);
            let stored = &counts.stored;
            let rest = |units: i64, expected: u64, found: u64, repeated: u64| {
                (units != 0).then_some(Rest { key, cell: cells.len(), units, expected, found, repeated })
            };
            let (delivered, shown) = (stored.delivered(), cell.analytics.unwrap_or(0));
            in_analytics.extend(rest(cell.analytics_unexplained, delivered, shown, stored.repeated));
            in_esm.extend(rest(cell.esm_unexplained, cell.esm.unwrap_or(0), stored.counted, 0));
            cells.push(cell);
        }
        self.hint(Side::Analytics, &in_analytics, &mut cells);
        self.hint(Side::Esm, &in_esm, &mut cells);
        cells
    }

    fn counts(&self, key: &CellKey) -> Counts {
        let place = (key.requestor.clone(), key.day);
        let esm = self.esm.as_ref().filter(|esm| has_metric(key.kind) && !esm.blank.contains(key));
        Counts {
            esm: esm.and_then(|esm| {
                let stated = esm.units.get(key).copied();
                let is_covered = esm.covered.get(&place).is_some_and(|kinds| kinds.has(key.kind));
                stated.or_else(|| is_covered.then(Stated::default))
            }),
            stored: self.stored.get(key).copied().unwrap_or_default(),
            analytics: self.analytics.as_ref().and_then(|analytics| {
                let is_refused = analytics.refused.contains(&(key.day, key.kind));
                (!is_refused).then(|| analytics.units.get(key).copied().unwrap_or(0))
            }),
        }
    }

    fn judge(&self, key: &CellKey, counts: &Counts, tolerance: Tolerance) -> Cell {
        let day = &self.days[key.day];
        let is_whole = !self.incomplete.contains(&(key.requestor.clone(), key.day));
        let analytics = counts.against_analytics().filter(|_| is_whole);
        let esm = counts.against_esm(key.kind, day.is_open).filter(|_| is_whole);
        // Units that were never sent cannot be missing in Analytics.
        let is_missing = self.analytics.is_some() && analytics.is_none() && counts.stored.delivered() > 0;
        let is_doubted = self.is_unproven && counts.stored.too_fresh + counts.stored.late > 0;
        // Without Analytics, an event that has a metric in ESM can be compared only with ESM.
        let is_alone = self.analytics.is_none() && has_metric(key.kind) && counts.esm.is_none();
        // Analytics refused to report, and ESM has no count: nothing was compared.
        let is_lone = self.analytics.is_some() && analytics.is_none() && esm.is_none();
        let is_unknown = is_missing || is_lone || is_doubted || is_alone || !is_whole;
        let known = if is_unknown { Verdict::Unknown } else { Verdict::Agrees };
        let judged = [&analytics, &esm].into_iter().flatten().map(|account| account.verdict(tolerance));
        let verdict = judged.fold(known, Verdict::max);
        let (analytics, esm) = (analytics.unwrap_or_default(), esm.unwrap_or_default());
        Cell {
            requestor_id: self.spellings.of_requestor(&key.requestor).to_owned(),
            mvpd: self.spellings.of_mvpd(&key.mvpd).to_owned(),
            day: day.label.clone(),
            event: key.kind.name(),
            slot: key.kind.slot(),
            esm: counts.esm.map(|stated| stated.units),
            counted: counts.stored.counted,
            delivered: counts.stored.delivered(),
            analytics: counts.analytics,
            buffer: counts.stored,
            analytics_parts: analytics.parts,
            analytics_unexplained: analytics.rest,
            esm_parts: esm.parts,
            esm_unexplained: esm.rest,
            verdict,
            hints: Vec::new(),
        }
    }

    fn hint(&self, side: Side, rests: &[Rest<'_>], cells: &mut [Cell]) {
        for (rest, guesses) in rests.iter().zip(hint::guess(rests)) {
            let cell = &mut cells[rest.cell];
            if cell.verdict == Verdict::Differs {
                let hint = |(looks_like, with)| Hint { side, looks_like, with: self.spell(looks_like, with) };
                cell.hints.extend(guesses.into_iter().map(hint));
            }
        }
    }

    fn spell(&self, likeness: Likeness, with: Option<&CellKey>) -> String {
        match (likeness, with) {
            (Likeness::AnotherDay, Some(key)) => self.days[key.day].label.clone(),
            (Likeness::AnotherMvpd, Some(key)) => self.spellings.of_mvpd(&key.mvpd).to_owned(),
            (_, Some(key)) => key.kind.name().to_owned(),
            (_, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::cause::Cause;
    use super::*;

    const DAYS: usize = 6;
    const PLANTED: usize = 1_000;

    fn key(requestor: usize, mvpd: usize, day: usize, kind: EventKind) -> CellKey {
        let mvpd = if mvpd == 0 { String::new() } else { format!("mvpd {mvpd}") };
        CellKey { requestor: Name::of(&format!("ref{requestor}")), day, mvpd: Name::of(&mvpd), kind }
    }

    fn keys() -> Vec<CellKey> {
        let mut keys = Vec::new();
        for requestor in 0..5 {
            for mvpd in 0..9 {
                for day in 0..DAYS {
                    keys.extend(EventKind::ALL.map(|kind| key(requestor, mvpd, day, kind)));
                }
            }
        }
        keys
    }

    fn days() -> Vec<Day> {
        (1..=DAYS).map(|day| Day { label: format!("2026-11-{day:02}"), is_open: false }).collect()
    }

    /// A cell with units in random states, and the fewest and the most units that Analytics may show of it.
    fn some(rng: &mut Rng) -> (Stored, [u64; 2]) {
        let mut stored = Stored { counted: 20 + rng.u64(0..20), ..Stored::default() };
        if rng.u8(0..4) > 0 {
            return (stored, [stored.counted; 2]);
        }
        for term in [
            &mut stored.pending,
            &mut stored.parked,
            &mut stored.dead,
            &mut stored.held,
            &mut stored.discarded,
            &mut stored.withdrawn,
            &mut stored.too_fresh,
            &mut stored.late,
            &mut stored.vouched,
            &mut stored.ambiguous,
            &mut stored.repeated,
        ] {
            *term = rng.u64(0..2);
        }
        let delivered = stored.delivered();
        let hidden = stored.too_fresh + stored.late + stored.vouched;
        (stored, [delivered - hidden, delivered + stored.ambiguous])
    }

    /// Sides whose differences all have known causes, the bounds of each cell as `some` returns them, and the
    /// cells whose verdict is `Explained`.
    fn peace(rng: &mut Rng) -> (Sides, BTreeMap<CellKey, [u64; 2]>, BTreeSet<CellKey>) {
        let mut sides = Sides { days: days(), ..Sides::default() };
        let (mut esm, mut analytics) = (EsmSide::default(), AnalyticsSide::default());
        let (mut bounds, mut explained) = (BTreeMap::new(), BTreeSet::new());
        for key in keys() {
            let (stored, [least, most]) = some(rng);
            let shown = rng.u64(least..=most);
            if shown != stored.counted {
                explained.insert(key.clone());
            }
            if has_metric(key.kind) {
                esm.units.insert(key.clone(), Stated { units: stored.counted, rejected: 0 });
                esm.covered.insert((key.requestor.clone(), key.day), EventKind::ALL.into_iter().collect());
            }
            analytics.units.insert(key.clone(), shown);
            bounds.insert(key.clone(), [least, most]);
            sides.stored.insert(key, stored);
        }
        (sides.esm, sides.analytics) = (Some(esm), Some(analytics));
        (sides, bounds, explained)
    }

    fn with(sides: &Sides, verdict: Verdict) -> BTreeSet<(String, String, String, &'static str)> {
        let cells = sides.compare(Tolerance::default()).into_iter();
        let cells = cells.filter(|cell| cell.verdict == verdict);
        cells.map(|cell| (cell.requestor_id, cell.day, cell.mvpd, cell.event)).collect()
    }

    fn names<'k>(
        keys: impl IntoIterator<Item = &'k CellKey>,
    ) -> BTreeSet<(String, String, String, &'static str)> {
        let days = days();
        keys.into_iter()
            .map(|key| {
                let text = |name: &Name| name.as_str().to_owned();
                (text(&key.requestor), days[key.day].label.clone(), text(&key.mvpd), key.kind.name())
            })
            .collect()
    }

    /// The cell in which the missing units of `key` appear; `None` if they appear nowhere.
    fn counterpart(rng: &mut Rng, key: &CellKey) -> Option<CellKey> {
        let mut other = key.clone();
        match rng.u8(0..4) {
            0 => return None,
            1 => other.kind = EventKind::ALL[rng.usize(0..18)],
            2 => other.day = if key.day == 0 { 1 } else { key.day - 1 },
            _ => other.mvpd = Name::of(&format!("mvpd {}", rng.usize(1..9))),
        }
        Some(other)
    }

    #[test]
    fn every_planted_difference_is_found_and_none_where_there_is_none() {
        for seed in 0..40 {
            let mut rng = Rng::with_seed(seed);
            let (mut sides, bounds, explained) = peace(&mut rng);
            assert_eq!(with(&sides, Verdict::Differs), BTreeSet::new(), "seed {seed}");
            assert_eq!(with(&sides, Verdict::Explained), names(&explained), "seed {seed}");
            let all = keys();
            let mut touched: BTreeSet<CellKey> = BTreeSet::new();
            let mut planted = 0;
            while planted < PLANTED {
                let key = &all[rng.usize(0..all.len())];
                let (analytics, esm) =
                    (sides.analytics.as_mut().expect("asked"), sides.esm.as_mut().expect("asked"));
                let other = counterpart(&mut rng, key);
                if touched.contains(key) || other.iter().any(|other| touched.contains(other) || other == key)
                {
                    continue;
                }
                let units = rng.u64(1..5);
                let [least, most] = bounds[key];
                match (&other, rng.u8(0..3)) {
                    (None, 0) if esm.units.contains_key(key) && key.kind != EventKind::AuthnFailed => {
                        esm.units.entry(key.clone()).or_default().units += units;
                    }
                    (None, 1) => {
                        analytics.units.insert(key.clone(), most + units);
                    }
                    _ => {
                        analytics.units.insert(key.clone(), least - units);
                    }
                }
                if let Some(other) = other {
                    analytics.units.insert(other.clone(), bounds[&other][1] + units);
                    touched.insert(other);
                }
                touched.insert(key.clone());
                planted += 1;
            }
            assert_eq!(with(&sides, Verdict::Differs), names(&touched), "seed {seed}");
        }
    }

    /// Play requests of one requestor and one MVPD. For each day: the count of the buffer, then that of Analytics.
    fn plays(numbers: &[(u64, u64)]) -> Sides {
        let mut sides = Sides { days: days(), analytics: Some(AnalyticsSide::default()), ..Sides::default() };
        for (day, (counted, shown)) in numbers.iter().enumerate() {
            let key = key(0, 1, day, EventKind::PlayRequested);
            sides.stored.insert(key.clone(), Stored { counted: *counted, ..Stored::default() });
            sides.analytics.as_mut().expect("asked").units.insert(key, *shown);
        }
        sides
    }

    fn likenesses(sides: &Sides) -> Vec<(Likeness, String)> {
        let cells = sides.compare(Tolerance::default());
        cells.into_iter().flat_map(|cell| cell.hints).map(|hint| (hint.looks_like, hint.with)).collect()
    }

    #[test]
    fn a_rest_says_what_it_looks_like() {
        let day = |day: usize| format!("2026-11-{day:02}");
        let another = |number| (Likeness::AnotherDay, day(number));
        assert_eq!(likenesses(&plays(&[(9, 5), (6, 10)])), [another(2), another(1)]);
        // The two days are not neighbours, so there is no hint.
        assert_eq!(likenesses(&plays(&[(9, 5), (1, 1), (6, 10)])), []);
        assert_eq!(likenesses(&plays(&[(9, 18)])), [(Likeness::Doubled, String::new())]);
        assert_eq!(likenesses(&plays(&[(9, 0)])), [(Likeness::NothingThere, String::new())]);
        assert_eq!(likenesses(&plays(&[(0, 3)])), [(Likeness::NeverSent, String::new())]);
        let mut repeated = plays(&[(9, 11)]);
        repeated.stored.values_mut().for_each(|stored| stored.repeated = 2);
        assert_eq!(likenesses(&repeated), [(Likeness::RepeatsCounted, String::new())]);
        let mut moved = plays(&[(9, 5)]);
        let analytics = moved.analytics.as_mut().expect("asked");
        analytics.units.insert(key(0, 2, 0, EventKind::PlayRequested), 4);
        analytics.units.insert(key(0, 1, 0, EventKind::PlayFailed), 4);
        let found = likenesses(&moved);
        assert!(found.contains(&(Likeness::AnotherMvpd, "mvpd 2".to_owned())), "{found:?}");
        assert!(found.contains(&(Likeness::AnotherEvent, "play_failed".to_owned())), "{found:?}");
    }

    #[test]
    fn what_is_refused_is_unknown_and_never_zero() {
        let mut sides = plays(&[(9, 9), (0, 0)]);
        let requestor = Name::of("ref0");
        let analytics = sides.analytics.as_mut().expect("asked");
        analytics.units.clear();
        for day in 0..2 {
            analytics.refused.insert((day, EventKind::PlayRequested));
        }
        let cells = sides.compare(Tolerance::default());
        let told: Vec<_> = cells.iter().map(|cell| (cell.verdict, cell.analytics)).collect();
        assert_eq!(told, [(Verdict::Unknown, None)]);
        // Units that were never sent are not missing, but nothing was compared either.
        sides.stored.values_mut().for_each(|stored| stored.pending = stored.counted);
        assert_eq!(sides.compare(Tolerance::default())[0].verdict, Verdict::Unknown);
        sides.incomplete.insert((requestor, 0));
        sides.stored.values_mut().for_each(|stored| stored.pending = 0);
        sides.analytics.as_mut().expect("asked").refused.clear();
        assert_eq!(sides.compare(Tolerance::default())[0].verdict, Verdict::Unknown);
    }

    #[test]
    fn esm_is_compared_where_it_has_a_metric_and_covers_the_day() {
        let mut sides = Sides { days: days(), ..Sides::default() };
        let mut esm = EsmSide::default();
        let requestor = Name::of("ref0");
        esm.covered.insert((requestor.clone(), 0), EventKind::ALL.into_iter().collect());
        for (day, kind, counted, stated) in [
            // ESM has no such metric.
            (0, EventKind::LogoutRequested, 5, None),
            // No report covers this day, and nobody asked Analytics.
            (1, EventKind::PlayRequested, 5, None),
            // A report covers the day, but has no row for the event.
            (0, EventKind::PlayRequested, 5, None),
            (0, EventKind::AuthzOk, 5, Some(Stated { units: 5, rejected: 0 })),
            (0, EventKind::AuthzFailed, 7, Some(Stated { units: 5, rejected: 2 })),
            (0, EventKind::AuthnFailed, 7, Some(Stated { units: 1, rejected: 0 })),
            (0, EventKind::AuthnOk, 0, Some(Stated { units: 3, rejected: 0 })),
        ] {
            let key = key(0, 1, day, kind);
            if let Some(stated) = stated {
                esm.units.insert(key.clone(), stated);
            }
            sides.stored.insert(key, Stored { counted, ..Stored::default() });
        }
        sides.esm = Some(esm);
        let judged = |sides: &Sides| -> BTreeMap<(String, &'static str), (Verdict, i64, Option<Cause>)> {
            let cells = sides.compare(Tolerance::default()).into_iter();
            cells
                .map(|cell| {
                    let cause = cell.esm_parts.first().map(|part| part.cause);
                    ((cell.day, cell.event), (cell.verdict, cell.esm_unexplained, cause))
                })
                .collect()
        };
        let (first, second) = ("2026-11-01".to_owned(), "2026-11-02".to_owned());
        let expected = BTreeMap::from([
            ((first.clone(), "logout_requested"), (Verdict::Agrees, 0, None)),
            ((second, "play_requested"), (Verdict::Unknown, 0, None)),
            ((first.clone(), "play_requested"), (Verdict::Differs, 5, None)),
            ((first.clone(), "authz_ok"), (Verdict::Agrees, 0, None)),
            ((first.clone(), "authz_failed"), (Verdict::Explained, 0, Some(Cause::Rejected))),
            ((first.clone(), "authn_failed"), (Verdict::Explained, 0, Some(Cause::ExternalOnly))),
            ((first.clone(), "authn_ok"), (Verdict::Differs, -3, None)),
        ]);
        assert_eq!(judged(&sides), expected);
        sides.days[0].is_open = true;
        let open = judged(&sides);
        assert_eq!(
            open[&(first, "play_requested")],
            (Verdict::Explained, 0, Some(Cause::OpenDay)),
            "a day that is not over still fills"
        );
    }
}
