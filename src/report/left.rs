//! Rows by properties that the metrics do not keep. They are counted from the events that the buffer still has.

use std::collections::BTreeSet;

use super::dimension::Dimension;
use super::error::ReportError;
use super::period::Period;
use super::stated::Sources;
use super::table::Table;
use crate::buffer::MetricsReader;
use crate::mapping;

/// A user that was seen in a cell of the table. Sightings are sorted by user.
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
    let mut sightings = BTreeSet::new();
    reader.each_event(period.from(), period.to(), |event| {
        let requestor_id = event.requestor_id().as_str();
        if !asked.is_empty() && !asked.iter().any(|asked| asked == requestor_id) {
            return;
        }
        let properties = by.iter().filter_map(|dimension| dimension.property());
        let value = |property| mapping::reported(event, property).unwrap_or_default().into_owned();
        let combination = table.intern(properties.map(value).collect());
        let Some(place) = table.place(combination, event.occurred_at().unix_quarter()) else { return };
        table.cells[place].count(event.kind(), event.count().into(), sources.of(requestor_id));
        if let Some(user) = reader.mark(&mapping::measure(event)) {
            let place = place as u32;
            sightings.insert(Sighting { user: user.user, place, is_synthetic: user.is_synthetic });
        }
    })?;
    let (mut number, mut last) = (0, None);
    for Sighting { user, place, is_synthetic } in sightings {
        number += u64::from(last != Some(user));
        last = Some(user);
        table.cells[place as usize].see(number, is_synthetic);
    }
    Ok(table)
}
