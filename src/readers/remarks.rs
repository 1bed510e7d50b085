//! What a source contained that was skipped or may be a mistake. Each kind is counted, and reported once per source.

use super::unknown::UnknownKeys;
use crate::event::{IDENTIFIERS, PassEvent, Property, is_lost_address, is_spoilt};

/// The remarks of a reader about its source.
#[derive(Debug, Clone, Default)]
pub struct Remarks {
    /// Keys that belong to no property of an event.
    pub unknown: UnknownKeys,
    /// Header rows that repeat the header before them.
    pub(super) same_headers: Seen,
    /// Header rows with other columns, or with the same columns in another order.
    pub(super) other_headers: Seen,
    spoilt: Seen,
    first_spoilt: String,
    lost_addresses: Seen,
    /// Whether a part of an exchange, or of an object on several lines, was found.
    pub(super) is_in_parts: bool,
}

/// How often something was found, and the first line with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    count: u64,
    first_line: u64,
}

impl Seen {
    pub(super) fn note(&mut self, line: u64) {
        if self.count == 0 {
            self.first_line = line;
        }
        self.count += 1;
    }
}

impl Remarks {
    /// Notes identifiers of an event that a spreadsheet spoilt, and an IP address that cannot be read.
    pub(super) fn look_at(&mut self, line: u64, event: &PassEvent) {
        for property in IDENTIFIERS {
            if let Some(text) = event.property(property).filter(|text| is_spoilt(property, text)) {
                self.note_spoilt(line, property.name(), text);
            }
        }
        if event.property(Property::IpAddress).is_some_and(is_lost_address) {
            self.lost_addresses.note(line);
        }
    }

    pub(super) fn note_spoilt(&mut self, line: u64, name: &str, text: &str) {
        if self.spoilt.count == 0 {
            self.first_spoilt = format!("{name} {text:?}");
        }
        self.spoilt.note(line);
    }

    /// The notes to report, each with the first line that it is about.
    pub fn notes(&self) -> Vec<(u64, String)> {
        let spoilt = format!(
            "identifiers were spoilt by a spreadsheet, first {}: a user, device or session that has lost its digits counts as \
             nobody, and other columns are sent as they are; export these columns as text",
            self.first_spoilt
        );
        let all = [
            (&self.same_headers, "header rows repeat the one before, and were passed over"),
            (
                &self.other_headers,
                "header rows name other columns, or in another order, and hold from there on",
            ),
            (&self.spoilt, &spoilt),
            (&self.lost_addresses, "values of ip_address are no address, and none is sent"),
        ];
        let seen = all.into_iter().filter(|(seen, _)| seen.count > 0);
        seen.map(|(seen, what)| (seen.first_line, format!("{} {what}", seen.count))).collect()
    }
}
