//! Notices a key that nearly all events of a requestor had, and that none has any more: a column was renamed, or lost.

use std::collections::BTreeMap;

use crate::buffer::Filled;

/// The fewest events, before and now, by which a requestor is judged: fewer may lack a key by chance.
const EVENTS_MIN: u32 = 20;
/// The share of the earlier events, in percent, that counts as nearly all.
const NEARLY_ALL_PERCENT: u32 = 95;

/// A note for each requestor that lost keys.
pub(super) fn notes(before: &BTreeMap<String, Filled>, now: &BTreeMap<String, Filled>) -> Vec<String> {
    let lost = now.iter().filter_map(|(requestor, now)| {
        let before = before.get(requestor).filter(|before| before.events.min(now.events) >= EVENTS_MIN)?;
        let is_lost = |(key, count): &(&String, &u32)| {
            **count * 100 >= before.events * NEARLY_ALL_PERCENT && !now.keys.contains_key(*key)
        };
        let keys: Vec<&str> = before.keys.iter().filter(is_lost).map(|(key, _)| key.as_str()).collect();
        (!keys.is_empty()).then(|| {
            let (keys, was, is) = (keys.join(", "), before.events, now.events);
            format!("{requestor}: {keys} was on nearly all of its {was} events before, and is on none of the last {is} now: was it renamed?")
        })
    });
    lost.collect()
}
