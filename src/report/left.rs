//! Rows by properties that the metrics do not keep: read from the events that the buffer still has.

use super::dimension::Dimension;
use super::error::ReportError;
use super::period::Period;
use super::stated::Sources;
use super::table::Table;
use crate::buffer::MetricsReader;
use crate::mapping;

/// How many sightings of users are kept before duplicates are removed: 16 bytes each.
const SIGHTINGS_MAX: usize = 4_000_000;

/// That a user was seen in a row.
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
) -> Result<Table, ReportError> {
    let mut table = Table::new(by, period);
    let mut sightings = Sightings::default();
    reader.each_event(period.from(), period.to(), |event, user| {
        if !asked.is_empty() && !asked.iter().any(|requestor| requestor == event.requestor_id().as_str()) {
            return;
        }
        let source = sources.of(event.requestor_id().as_str());
        let properties = by.iter().filter_map(|dimension| dimension.property());
        let value = |property| mapping::reported(event, property).unwrap_or_default().into_owned();
        let combination = table.intern(properties.map(value).collect());
        let Some(place) = table.place(combination, event.occurred_at().unix_quarter()) else { return };
        table.count(place, event.kind(), u64::from(event.count()), source);
        if let Some(user) = user {
            let place = place as u32;
            sightings.add(Sighting { user: user.user, place, is_synthetic: user.is_synthetic });
        }
    })?;
    for (number, of_user) in (1..).zip(sightings.sorted().chunk_by(|one, other| one.user == other.user)) {
        of_user.iter().for_each(|seen| table.see(seen.place as usize, number, seen.is_synthetic));
    }
    Ok(table)
}

#[derive(Debug, Default)]
struct Sightings {
    seen: Vec<Sighting>,
    /// How many were left when duplicates were last removed.
    apart: usize,
}

impl Sightings {
    fn add(&mut self, sighting: Sighting) {
        // Waits until the number has doubled, so that sorting stays rare where there are few duplicates.
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
