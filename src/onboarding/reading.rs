//! Reads what Adobe's pages, files and interfaces call the same setting.
//!
//! The columns of the settings file are not published, and the interfaces use other words than the admin pages: each
//! setting is read by what its texts have in common. A text that is none of these is `None`, never a guess.

/// A text in lower case, without what stands in parentheses, its words apart by single blanks.
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

/// Whether two names are the same but for case, blanks and punctuation.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let key = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    key(one) == key(other)
}

/// What a suite does with a hit's timestamp ("Timestamps optional", Admin guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timestamps {
    Optional,
    Required,
    NotAllowed,
}

pub(super) fn timestamps(text: &str) -> Option<Timestamps> {
    let text = plain(text);
    match text.as_str() {
        "0" | "no" | "off" | "false" | "disabled" | "none" => Some(Timestamps::NotAllowed),
        _ if text.contains("not allowed") || text.contains("not supported") || text.contains("disallow") => {
            Some(Timestamps::NotAllowed)
        }
        _ if text.contains("optional") => Some(Timestamps::Optional),
        _ if text.contains("required") || text == "timestamped" => Some(Timestamps::Required),
        _ => None,
    }
}

/// Whether a switch is on.
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

/// What a success event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    Counter,
    Numeric,
    Currency,
    Disabled,
}

/// As the admin page and its file name it. `int` is Analytics' word for what both counters and some numeric events show, so
/// it is none of these.
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

/// What a success event does with its event IDs ("Event serialization").
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

/// Whether an eVar is of type Text String.
pub(super) fn is_text(text: &str) -> bool {
    matches!(plain(text).as_str(), "text" | "string" | "text string")
}

/// Whether an eVar's allocation is Most Recent (Last).
pub(super) fn is_most_recent(text: &str) -> bool {
    matches!(plain(text).as_str(), "most recent" | "most recent last" | "last" | "last touch" | "recent")
}

/// Whether an eVar expires with its hit. Interfaces have no word of their own for that: they say page view.
pub(super) fn expires_at_hit(text: &str) -> bool {
    matches!(
        plain(text).as_str(),
        "hit" | "page view" | "pageview" | "page" | "hit level" | "page view or hit"
    )
}

pub(super) fn is_no_merchandising(text: &str) -> bool {
    matches!(plain(text).as_str(), "" | "none" | "disabled" | "off" | "no" | "false" | "0")
}

/// Whether a time zone is that of ESM.
pub(super) fn is_pacific(text: &str) -> bool {
    const NAMES: [&str; 5] =
        ["America/Los_Angeles", "US/Pacific", "US/Pacific-New", "PST8PDT", "America/Tijuana"];
    // The page's own labels read such as "(GMT-08:00) Pacific Time".
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(text.trim())) || plain(text).starts_with("pacific")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_the_admin_page_are_read_whatever_stands_in_their_parentheses() {
        for (text, expected) in [
            ("Timestamps not allowed", Some(Timestamps::NotAllowed)),
            ("Timestamps required (setting visitorID not supported)", Some(Timestamps::Required)),
            (
                "Timestamps optional (setting visitorID supported but not on timestamped hits)",
                Some(Timestamps::Optional),
            ),
            ("not_allowed", Some(Timestamps::NotAllowed)),
            ("Disabled", Some(Timestamps::NotAllowed)),
            ("Enabled", None),
            ("", None),
        ] {
            assert_eq!(timestamps(text), expected, "{text}");
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
        assert!(is_text("Text String") && is_text("STRING") && !is_text("Counter"));
        assert!(is_most_recent("Most Recent (Last)") && is_most_recent("most_recent_last"));
        assert!(!is_most_recent("Original Value (First)") && !is_most_recent("linear"));
        assert!(expires_at_hit("Hit") && expires_at_hit("page_view") && !expires_at_hit("Visit"));
        assert!(is_pacific("America/Los_Angeles") && is_pacific("(GMT-08:00) Pacific Time (US & Canada)"));
        assert!(!is_pacific("US/Eastern"));
        assert!(same_name("AuthN  requested", "authn_requested") && !same_name("AuthZ OK", "AuthN OK"));
        assert_eq!((switch("Enabled"), switch("no"), switch("maybe")), (Some(true), Some(false), None));
    }
}
