//! Rows by properties that the metrics do not keep: read from the events that the buffer still has.

use super::period::Period;
use super::rows::Rows;
use super::stated::Sources;
use super::{Dimension, ReportError};
use crate::buffer::MetricsReader;
use crate::mapping;

/// Sightings of users that are kept before those of one user in one row are made one: 16 bytes each.
const SIGHTINGS_MAX: usize = 4_000_000;

/// A user in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sighting {
    user: u64,
    place: u32,
    is_synthetic: bool,
}

/// Counts the rows of a period from its events.
pub(super) fn count(
    reader: &MetricsReader,
    asked: &[String],
    period: &Period,
    by: &[Dimension],
    sources: &Sources,
) -> Result<Rows, ReportError> {
    let mut rows = Rows::new(by, period);
    let mut sightings = Sightings::default();
    reader.each_event(period.from(), period.to(), |event, user| {
        if !asked.is_empty() && !asked.iter().any(|requestor| requestor == event.requestor_id().as_str()) {
            return;
        }
        let source = sources.of(event.requestor_id().as_str());
        let values = by.iter().filter_map(|dimension| match dimension {
            Dimension::Day | Dimension::Hour => None,
            Dimension::Property(property) => {
                Some(mapping::reported(event, *property).unwrap_or_default().into_owned())
            }
        });
        let combination = rows.intern(values.collect());
        let quarter = event.occurred_at().unix_seconds().div_euclid(900);
        rows.count(combination, quarter, (event.kind(), u64::from(event.count())), source);
        if let Some(user) = user
            && let Some(place) = rows.place(combination, quarter)
        {
            let place = place as u32;
            sightings.add(Sighting { user: user.user, place, is_synthetic: user.is_synthetic });
        }
    })?;
    for (number, of_user) in (1..).zip(sightings.sorted().chunk_by(|one, other| one.user == other.user)) {
        of_user.iter().for_each(|seen| rows.see_at(seen.place as usize, number, seen.is_synthetic));
    }
    Ok(rows)
}

#[derive(Debug, Default)]
struct Sightings {
    seen: Vec<Sighting>,
    /// How many of them were told apart last.
    apart: usize,
}

impl Sightings {
    fn add(&mut self, sighting: Sighting) {
        // As many again as there are apart, so that sorting stays rare where few are the same.
        if self.seen.len() >= SIGHTINGS_MAX.max(2 * self.apart) {
            self.tell_apart();
        }
        self.seen.push(sighting);
    }

    fn tell_apart(&mut self) {
        self.seen.sort_unstable();
        self.seen.dedup();
        self.apart = self.seen.len();
    }

    fn sorted(&mut self) -> &[Sighting] {
        self.tell_apart();
        &self.seen
    }
}
