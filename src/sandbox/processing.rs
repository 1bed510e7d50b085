//! What a suite shows in reports: its hits, processed by its settings as Adobe's pages say.
//!
//! Each hit is processed once, in the order of receipt, by the settings that its suite had then: the timestamp
//! setting, exclusions, encoding, persistence of eVars, recording of events. The result is a row for each event that
//! counts, with the values of eVars that the event is credited to.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::events_variable::{Serial, event_uses};
use super::incoming::IncomingHit;
use super::makeup::{Access, Allocation, EvarType, EventRecording, Expiration, Makeup, Merchandising};
use crate::event::{Instant, Property};

/// The pause after which another visit begins, in seconds (Adobe Analytics guide, "Visits").
const VISIT_PAUSE_SECONDS: i64 = 30 * 60;
/// How much of a value is kept, in bytes (Adobe Analytics guide, "eVar").
const VALUE_BYTES_MAX: usize = 255;
const DAY_SECONDS: i64 = 86_400;

/// The ID of an eVar's value in reports; 0 means no value.
pub(super) type Item = u32;

#[derive(Debug)]
pub(super) struct Counted {
    /// When the event happened, in Unix seconds.
    pub(super) at: i64,
    pub(super) received_at: Instant,
    pub(super) slot: u16,
    pub(super) units: f64,
    /// The values that the event is credited to, one for each eVar from eVar1.
    values: [Item; Property::EVARS],
}

impl Counted {
    /// The value of an eVar that the event is credited to.
    pub(super) fn item(&self, evar: u16) -> Item {
        self.values.get(usize::from(evar) - 1).copied().unwrap_or(0)
    }
}

/// The values of an eVar. Spellings that differ only in case are one value. IDs are places in `shown`, from 1.
#[derive(Debug, Default)]
struct Items {
    ids: HashMap<String, Item>,
    shown: Vec<String>,
}

impl Items {
    /// The ID of a value. A new value gets a new ID.
    fn item(&mut self, value: &str) -> Item {
        *self.ids.entry(value.to_lowercase()).or_insert_with(|| {
            self.shown.push(value.to_owned());
            self.shown.len() as Item
        })
    }
}

/// A value of an eVar that persists for a visitor.
#[derive(Debug, Clone, Copy)]
struct Held {
    item: Item,
    since: i64,
    visit: u32,
}

#[derive(Debug, Default)]
struct Visitor {
    last: i64,
    visit: u32,
    /// Events that were recorded in this visit.
    recorded: HashSet<u8>,
    held: BTreeMap<u16, Held>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counted: Vec<Counted>,
    items: BTreeMap<u16, Items>,
    seen: HashSet<(u8, Serial)>,
    visitors: HashMap<u64, Visitor>,
}

impl Ledger {
    /// Reads the ID of a value of an eVar, where 0 means no value; `None` if the eVar has no value with this ID.
    pub(super) fn item(&self, evar: u16, id: &str) -> Option<Item> {
        let seen = self.items.get(&evar).map_or(0, |items| items.shown.len());
        id.parse().ok().filter(|item| *item as usize <= seen)
    }

    pub(super) fn shown(&self, evar: u16, item: Item) -> &str {
        let place = (item as usize).checked_sub(1);
        let shown = place.and_then(|place| self.items.get(&evar)?.shown.get(place));
        shown.map_or("Unspecified", String::as_str)
    }

    /// Processes a hit by the settings that its suite has now.
    pub(super) fn take(&mut self, hit: &IncomingHit<'_>, received_at: Instant, makeup: &Makeup) {
        let value = |name| hit.document.value(name).unwrap_or("");
        let (agent, address) = (value("userAgent").to_lowercase(), value("ipAddress"));
        let is_excluded = makeup.bots.iter().any(|bot| agent.contains(bot.as_str()))
            || makeup.excluded_addresses.iter().any(|prefix| address.starts_with(prefix.as_str()));
        if is_excluded || makeup.timestamps.drops(hit.timestamp.is_some()) {
            return;
        }
        let at = hit.seconds().unwrap_or_else(|| received_at.unix_seconds());
        let visitor = hit.visitor_hash();
        self.visit(visitor, at);
        let values = self.credit(hit, at, makeup);
        for event in event_uses(hit.events) {
            let Some(slot) = event.slot() else { continue };
            let makeup = makeup.events.get(&u16::from(slot)).filter(|event| event.access != Access::Disabled);
            let Some(makeup) = makeup else { continue };
            let units = match makeup.recording {
                EventRecording::AlwaysRecord => Some(event.units()),
                EventRecording::UseEventId => {
                    let is_new = event.serial().is_none_or(|serial| self.seen.insert((slot, serial)));
                    is_new.then(|| event.units())
                }
                EventRecording::OncePerVisit => {
                    let visitor = self.visitors.get_mut(&visitor);
                    visitor.is_none_or(|visitor| visitor.recorded.insert(slot)).then_some(1)
                }
            };
            let counted =
                |units| Counted { at, received_at, slot: u16::from(slot), units: units as f64, values };
            self.counted.extend(units.map(counted));
        }
    }

    fn visit(&mut self, visitor: u64, at: i64) {
        let visitor =
            self.visitors.entry(visitor).or_insert_with(|| Visitor { last: at, ..Visitor::default() });
        if (at - visitor.last).abs() > VISIT_PAUSE_SECONDS {
            visitor.visit += 1;
            visitor.recorded.clear();
        }
        visitor.last = visitor.last.max(at);
    }

    /// The values of eVars that the events of a hit are credited to.
    fn credit(&mut self, hit: &IncomingHit<'_>, at: i64, makeup: &Makeup) -> [Item; Property::EVARS] {
        let mut values = [0; Property::EVARS];
        let sent: BTreeMap<u16, &str> = hit.document.evars().collect();
        let visitor = self.visitors.entry(hit.visitor_hash()).or_default();
        for (number, evar) in makeup.evars.iter().filter(|(_, evar)| evar.access != Access::Disabled) {
            let index = usize::from(*number) - 1;
            // Values of a merchandising eVar are bound to products, and these hits have no products.
            let is_plain = evar.merchandising == Merchandising::Disabled;
            let sent = sent.get(number).filter(|_| is_plain);
            let text = sent.map(|text| kept(text, makeup.is_multi_byte)).filter(|text| match evar.kind {
                EvarType::Text => !text.is_empty(),
                EvarType::Counter => text.parse::<f64>().is_ok(),
            });
            let item = text.map(|text| self.items.entry(*number).or_default().item(&text));
            if evar.expiration == Expiration::PageView {
                values[index] = item.unwrap_or(0);
                continue;
            }
            let held = visitor.held.get(number).copied();
            let held = held.filter(|held| held.lasts(evar.expiration, at, visitor.visit));
            let keeps = evar.allocation == Allocation::OriginalValueFirst && held.is_some();
            if let Some(item) = item.filter(|_| !keeps) {
                visitor.held.insert(*number, Held { item, since: at, visit: visitor.visit });
                values[index] = item;
            } else {
                values[index] = held.map_or(0, |held| held.item);
            }
        }
        values
    }
}

impl Held {
    fn lasts(&self, expiration: Expiration, at: i64, visit: u32) -> bool {
        let seconds = match expiration {
            Expiration::PageView => return false,
            Expiration::Visit => return visit == self.visit,
            // No hit here is a purchase, so the value never expires.
            Expiration::Never | Expiration::Purchase => return true,
            Expiration::Minute => 60,
            Expiration::Hour => 3600,
            Expiration::Day => DAY_SECONDS,
            Expiration::Week => 7 * DAY_SECONDS,
            Expiration::Month => 30 * DAY_SECONDS,
            Expiration::Quarter => 90 * DAY_SECONDS,
            Expiration::Year => 365 * DAY_SECONDS,
        };
        at - self.since < seconds
    }
}

/// What Adobe keeps of a value: trimmed, cut by bytes, and, without multi-byte support, read as ISO-8859-1.
fn kept(text: &str, is_multi_byte: bool) -> String {
    let text = text.trim();
    let bytes = &text.as_bytes()[..text.len().min(VALUE_BYTES_MAX)];
    if is_multi_byte {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_in_any_case_and_shown_as_first_seen() {
        let mut ledger = Ledger::default();
        let items = ledger.items.entry(2).or_default();
        let item = items.item("Cableco");
        assert_eq!((items.item("CABLECO"), items.item("cablecO")), (item, item));
        assert_ne!(items.item("Smallco"), item);
        assert_eq!((ledger.shown(2, item), ledger.item(2, &item.to_string())), ("Cableco", Some(item)));
        assert_eq!((ledger.shown(2, 0), ledger.item(2, "0")), ("Unspecified", Some(0)));
        assert_eq!((ledger.item(2, "x"), ledger.item(2, "3"), ledger.item(3, "1")), (None, None, None));
    }

    #[test]
    fn a_value_is_cut_by_bytes_and_mangled_without_multi_byte_support() {
        assert_eq!(kept(" Télé ", true), "Télé");
        assert_eq!(kept("Télé", false), "TÃ©lÃ©");
        assert_eq!(kept(&"a".repeat(300), true).len(), 255);
        assert!(kept(&format!("{}é", "a".repeat(254)), true).ends_with('\u{fffd}'));
    }

    #[test]
    fn what_a_visitor_keeps_ends_with_its_visit_or_its_time() {
        let held = Held { item: 1, since: 1000, visit: 2 };
        for (expiration, at, visit, lasts) in [
            (Expiration::PageView, 1000, 2, false),
            (Expiration::Visit, 9999, 2, true),
            (Expiration::Visit, 1001, 3, false),
            (Expiration::Minute, 1059, 3, true),
            (Expiration::Minute, 1060, 2, false),
            (Expiration::Never, i64::MAX, 9, true),
        ] {
            assert_eq!(held.lasts(expiration, at, visit), lasts, "{expiration:?} {at} {visit}");
        }
    }
}
