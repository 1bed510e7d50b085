//! Finds events that add too much to days that were delivered already, as a re-export under other identities does, and
//! events that lack keys, for example because a column was renamed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;

use super::options::IngestOptions;
use super::portion::Portion;
use crate::buffer::{Buffer, BufferError, JobKey, NewEvent, Recognition};
use crate::event::{EventId, EventKind, FilledKeys, Instant, RequestorId};
use crate::harmless::few;

/// The reason to keep an input out names at most this many counts, each of one kind of event on a requestor's day.
const NAMED_MAX: usize = 20;
/// Up to this many added units of a requestor's day are no re-export: a rare event doubles when one more comes late.
const UNITS_IGNORED: u64 = 10;
/// The most identities of an input that are remembered, 32 MB. Beyond that, what the input repeats counts as new.
const REMEMBERED_MAX: usize = 1 << 20;
/// The most days of requestors that are known at the same time, 10 MB: posted events can name any day.
const DAYS_MAX: usize = 10_000;
const DAY_SECONDS: i64 = 86_400;

/// The units of one kind of event on a requestor's day.
struct Cell {
    delivered: u64,
    waiting: u64,
    /// The units that earlier inputs added, and those that the present input would add.
    taken: u64,
    added: u64,
}

impl Cell {
    /// Whether `more` units are more than half of the delivered and waiting units. Waiting units count too: while a day
    /// is being sent, its delivered units alone say little.
    fn is_raised(&self, more: u64) -> bool {
        2 * more > self.delivered + self.waiting
    }
}

/// What was delivered of days that ended, and what is added to them; and which keys the events have.
#[derive(Default)]
pub(super) struct Gate {
    days: HashMap<(RequestorId, i64), BTreeMap<u8, Cell>>,
    seen: HashSet<EventId>,
    /// The keys of earlier events, once the buffer was asked for them.
    before: Option<FilledKeys>,
    /// The keys of the present input so far.
    now: FilledKeys,
}

impl Gate {
    /// Counts the new events of days that ended more than 24 hours ago, except for the days that `accept_days` names.
    pub(super) fn add(
        &mut self,
        buffer: &Buffer,
        options: &IngestOptions,
        events: &[NewEvent],
    ) -> Result<(), BufferError> {
        let (reader, before) = (buffer.planning()?, options.settled_before());
        for event in events.iter().filter(|event| event.occurred_at < before) {
            let day = event.occurred_at.unix_seconds().div_euclid(DAY_SECONDS);
            if options.accept_days.iter().flatten().any(|span| span.has(day)) {
                continue;
            }
            let key = (event.requestor_id.clone(), day);
            if !self.days.contains_key(&key) {
                if self.days.len() >= DAYS_MAX {
                    self.days.clear();
                }
                let found = reader.units_of_day(&key.0, day)?.into_iter();
                let cell =
                    |(slot, delivered, waiting)| (slot, Cell { delivered, waiting, taken: 0, added: 0 });
                self.days.insert(key.clone(), found.map(cell).collect());
            }
            let cell = self.days.get_mut(&key).and_then(|cells| cells.get_mut(&event.kind.slot()));
            if let Some(cell) = cell
                && reader.recognise([event.identity()].into_iter())? == [Recognition::New]
                && (self.seen.len() >= REMEMBERED_MAX || self.seen.insert(event.id))
            {
                cell.added += u64::from(event.count);
            }
        }
        Ok(())
    }

    fn keys(&mut self, buffer: &Buffer, portion: &mut Portion) -> Result<[&mut FilledKeys; 2], BufferError> {
        self.now.absorb(take(&mut portion.keys));
        let before = match &mut self.before {
            Some(before) => before,
            none => none.insert(buffer.filled_keys()?),
        };
        Ok([before, &mut self.now])
    }

    /// The reason to keep a live file out, if the events that were read from it so far lack keys.
    pub(super) fn lost_keys(
        &mut self,
        buffer: &Buffer,
        options: &IngestOptions,
        portion: &mut Portion,
        is_end: bool,
    ) -> Result<Option<String>, BufferError> {
        let [before, now] = self.keys(buffer, portion)?;
        let lost = before.lost(now, &options.accept_missing);
        if !lost.is_empty() {
            *now = FilledKeys::default();
            return Ok(Some(format!("{lost}; {}", lost.advice())));
        }
        if is_end {
            before.absorb(take(now));
        }
        Ok(None)
    }

    /// Ends a file. Returns the reason to keep it out, if it raises days; else counts its events as taken.
    pub(super) fn why_out(&mut self) -> Option<String> {
        let (mut days, told): (Vec<_>, Vec<_>) = self.end(true).into_iter().unzip();
        days.dedup();
        self.now = if days.is_empty() { take(&mut self.now) } else { FilledKeys::default() };
        (!days.is_empty()).then(|| {
            format!(
                "would raise days far above what was delivered of them: {}; where these are the same events in another form, leave \
                 them out, because Analytics cannot take a count back; where they are others, name the days: --accept-days {}",
                few(told, NAMED_MAX).join("; "),
                days.join(",")
            )
        })
    }

    /// Ends an input. Returns the days that the input raises, each with a text. Counts the input's events as taken,
    /// unless it is a file and raises a day.
    fn end(&mut self, is_file: bool) -> Vec<(String, String)> {
        let mut raised = Vec::new();
        for ((requestor_id, day), cells) in &self.days {
            let units = |of: fn(&Cell) -> u64| {
                cells.values().map(|cell| if cell.is_raised(of(cell)) { of(cell) } else { 0 }).sum::<u64>()
            };
            // Each day is told only once.
            if units(|cell| cell.taken + cell.added) <= UNITS_IGNORED
                || units(|cell| cell.taken) > UNITS_IGNORED
            {
                continue;
            }
            let day = Instant::of_quarter(day * 96).to_the_day();
            for (slot, cell) in
                cells.iter().filter(|(_, cell)| cell.added > 0 && cell.is_raised(cell.taken + cell.added))
            {
                let event = EventKind::from_slot(*slot).map_or("", EventKind::name);
                let Cell { delivered, waiting, taken, added } = cell;
                let text = format!(
                    "{requestor_id} {day} {event}: {added} more than {delivered} delivered and {} waiting",
                    waiting + taken
                );
                raised.push((day.clone(), text));
            }
        }
        raised.sort_unstable();
        self.seen.clear();
        let is_out = is_file && !raised.is_empty();
        for cell in self.days.values_mut().flat_map(BTreeMap::values_mut) {
            cell.taken += if is_out { 0 } else { cell.added };
            cell.added = 0;
        }
        raised
    }

    /// The warnings about live events that raise days or lack keys but cannot be kept out.
    pub(super) fn tell(
        &mut self,
        buffer: &Buffer,
        options: &IngestOptions,
        portion: &mut Portion,
    ) -> Result<Vec<String>, BufferError> {
        if options.job != JobKey::LIVE {
            return Ok(Vec::new());
        }
        let [before, now] = self.keys(buffer, portion)?;
        let mut told: Vec<String> = before.tell(now).into_iter().collect();
        if !options.has_settled(&portion.events) {
            return Ok(told);
        }
        self.add(buffer, options, &portion.events)?;
        let days: Vec<String> = self.end(false).into_iter().map(|(_, text)| text).collect();
        let raised = (!days.is_empty()).then(|| {
            format!(
                "days are raised far above what was delivered of them: {}; if these are the same events in another form, take them back before \
                 they are sent: passbridge pending list",
                days.join("; ")
            )
        });
        told.extend(raised);
        Ok(told)
    }
}
