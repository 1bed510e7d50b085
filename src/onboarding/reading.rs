//! Reads the texts that Adobe's pages, files and interfaces use for the same setting.
//!
//! The rows of the settings file are not published, and the interfaces use other words than the admin pages.
//! So each setting is recognised by the words that its texts share. An unknown text is `None`, never a guess.

/// A text in lower case: only letters and digits, without text in brackets, with single blanks between words.
pub(super) fn plain(text: &str) -> String {
    let mut depth = 0_u32;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            letter if letter.is_alphanumeric() => out.extend(letter.to_lowercase()),
            _ => out.push(' '),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether two names differ only in case, blanks and punctuation.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let key = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    key(one) == key(other)
}

/// Whether a suite records hits with a timestamp ("Timestamps optional", Admin guide).
pub(super) fn takes_timestamps(text: &str) -> Option<bool> {
    let text = plain(text);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_off = matches!(text.as_str(), "0" | "no" | "off" | "false" | "disabled" | "none");
    if is_off || says(&["not allowed", "not supported", "disallow"]) {
        Some(false)
    } else if says(&["optional", "required"]) || text == "timestamped" {
        Some(true)
    } else {
        None
    }
}

pub(super) fn switch(text: &str) -> Option<bool> {
    match plain(text).as_str() {
        "1" | "yes" | "on" | "true" | "enabled" | "enable" | "active" | "supported" | "utf 8" | "utf8" => {
            Some(true)
        }
        "0" | "no" | "off" | "false" | "disabled" | "disable" | "inactive" | "none" | "not supported"
        | "not enabled" | "iso 8859 1" => Some(false),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    Counter,
    Numeric,
    Currency,
    Disabled,
}

/// The type of an event, in the words of the admin page and its file. Analytics says `int` for counters and for some
/// numeric events, so `int` is `None`.
pub(super) fn event_type(text: &str) -> Option<EventType> {
    let text = plain(text);
    match text.split(' ').next().unwrap_or("") {
        "counter" => Some(EventType::Counter),
        "numeric" | "decimal" | "number" => Some(EventType::Numeric),
        "currency" => Some(EventType::Currency),
        "disabled" => Some(EventType::Disabled),
        _ => None,
    }
}

/// How a success event uses event IDs ("Event serialization").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    UseEventId,
    Always,
    OncePerVisit,
}

pub(super) fn recording(text: &str) -> Option<Recording> {
    let text = plain(text);
    if text.contains("visit") {
        Some(Recording::OncePerVisit)
    } else if text.contains("event id") || text.contains("unique id") {
        Some(Recording::UseEventId)
    } else if text.contains("always") || matches!(text.as_str(), "unavailable" | "disabled" | "none") {
        Some(Recording::Always)
    } else {
        None
    }
}

pub(super) fn is_pacific(text: &str) -> bool {
    const NAMES: [&str; 5] =
        ["America/Los_Angeles", "US/Pacific", "US/Pacific-New", "PST8PDT", "America/Tijuana"];
    // The admin page has labels such as "(GMT-08:00) Pacific Time".
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(text.trim())) || plain(text).starts_with("pacific")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_the_admin_page_are_read_whatever_stands_in_their_parentheses() {
        for (text, expected) in [
            ("Timestamps not allowed", Some(false)),
            ("Timestamps required (setting visitorID not supported)", Some(true)),
            ("Timestamps optional (setting visitorID supported but not on timestamped hits)", Some(true)),
            ("not_allowed", Some(false)),
            ("Disabled", Some(false)),
            ("Enabled", None),
            ("", None),
        ] {
            assert_eq!(takes_timestamps(text), expected, "{text}");
        }
    }

    #[test]
    fn a_setting_is_read_in_every_wording_that_is_known() {
        for text in ["Use Event ID", "use_event_id", "record_once_per_unique_id"] {
            assert_eq!(recording(text), Some(Recording::UseEventId), "{text}");
        }
        assert_eq!(recording("Always Record"), Some(Recording::Always));
        assert_eq!(recording("Record Once Per Visit"), Some(Recording::OncePerVisit));
        for text in ["Counter", "Counter (no subrelations)", "counter_no_subrelations"] {
            assert_eq!(event_type(text), Some(EventType::Counter), "{text}");
        }
        assert_eq!((event_type("int"), event_type("currency")), (None, Some(EventType::Currency)));
        assert!(is_pacific("America/Los_Angeles") && is_pacific("(GMT-08:00) Pacific Time (US & Canada)"));
        assert!(!is_pacific("US/Eastern"));
        assert!(same_name("AuthN  requested", "authn_requested") && !same_name("AuthZ OK", "AuthN OK"));
        assert_eq!((switch("Enabled"), switch("no"), switch("maybe")), (Some(true), Some(false), None));
    }
}
