//! The `events` variable: `event7`, `event7=3`, `event7:id`, `event7=3:id`, several separated by commas.

use super::tags::is_digits;

/// How much of an event ID Analytics keeps, in bytes (Adobe Analytics guide, "Event serialization").
pub(super) const EVENT_ID_BYTES_MAX: usize = 20;
/// The last event slot of the integration.
pub(super) const SLOTS: usize = 18;

/// An event ID as Analytics keeps it: its first 20 bytes, filled up with zeros.
pub(super) type Serial = [u8; EVENT_ID_BYTES_MAX];

/// One item of the variable, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventUse<'v> {
    pub(super) name: &'v str,
    pub(super) count: Option<&'v str>,
    pub(super) id: Option<&'v str>,
    /// Whether the ID came before the count.
    pub(super) id_first: bool,
}

/// The items of the variable, in order. Empty text has none.
pub(super) fn event_uses(events: &str) -> impl Iterator<Item = EventUse<'_>> {
    events.split(',').filter(|item| !item.is_empty()).map(EventUse::of)
}

impl<'v> EventUse<'v> {
    fn of(item: &'v str) -> EventUse<'v> {
        let Some(at) = item.find(['=', ':']) else {
            return EventUse { name: item, count: None, id: None, id_first: false };
        };
        let (name, rest) = (&item[..at], &item[at + 1..]);
        if item.as_bytes()[at] == b'=' {
            let (count, id) = rest.split_once(':').map_or((rest, None), |(count, id)| (count, Some(id)));
            EventUse { name, count: Some(count), id, id_first: false }
        } else {
            let (id, count) = rest.split_once('=').map_or((rest, None), |(id, count)| (id, Some(count)));
            EventUse { name, count, id: Some(id), id_first: count.is_some() }
        }
    }

    /// The event slot, if the name is one of `event1` to `event18`, in lower case.
    pub(super) fn slot(&self) -> Option<u8> {
        let digits = self.name.strip_prefix("event")?;
        if digits.starts_with('0') || !is_digits(digits) {
            return None;
        }
        digits.parse().ok().filter(|slot| (1..=SLOTS as u8).contains(slot))
    }

    /// How much the item adds to its event. Adobe does not publish what decimals add to a counter; here they add 1.
    pub(super) fn units(&self) -> u64 {
        self.count.map_or(1, |count| count.parse().unwrap_or(1))
    }

    /// The event ID, cut as Analytics cuts it.
    pub(super) fn serial(&self) -> Option<Serial> {
        let id = self.id.filter(|id| !id.is_empty())?.as_bytes();
        let mut serial = Serial::default();
        let length = id.len().min(EVENT_ID_BYTES_MAX);
        serial[..length].copy_from_slice(&id[..length]);
        Some(serial)
    }
}

pub(super) fn serial_text(serial: &Serial) -> String {
    let end = serial.iter().position(|byte| *byte == 0).unwrap_or(serial.len());
    String::from_utf8_lossy(&serial[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_and_id_are_found_in_either_order() {
        let uses: Vec<EventUse<'_>> =
            event_uses("event1,event2=3,event3:ab,event4=5:cd,event6:ef=7,").collect();
        let expected = [
            ("event1", None, None, false),
            ("event2", Some("3"), None, false),
            ("event3", None, Some("ab"), false),
            ("event4", Some("5"), Some("cd"), false),
            ("event6", Some("7"), Some("ef"), true),
        ];
        assert_eq!(uses, expected.map(|(name, count, id, id_first)| EventUse { name, count, id, id_first }));
    }

    #[test]
    fn a_slot_is_lower_case_and_one_to_eighteen() {
        let slot = |name| EventUse::of(name).slot();
        assert_eq!((slot("event1"), slot("event18")), (Some(1), Some(18)));
        for name in ["event0", "event19", "Event1", "event01", "event", "event1x", "purchase", "event257"] {
            assert_eq!(slot(name), None, "{name}");
        }
    }

    #[test]
    fn an_id_is_cut_to_twenty_bytes() {
        let serial = EventUse::of("event1:0123456789012345678901").serial().expect("a serial");
        assert_eq!(serial_text(&serial), "01234567890123456789");
        assert_eq!(EventUse::of("event1:").serial(), None);
    }
}
