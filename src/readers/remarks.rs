//! What a source contained that was skipped or may be a mistake. It is counted and reported once per source.

use super::unknown::UnknownKeys;
use crate::event::{IDENTIFIERS, PassEvent, Property, is_lost_address, is_spoilt};

/// The remarks of a reader about its source.
#[derive(Debug, Clone, Default)]
pub struct Remarks {
    /// Keys that belong to no property of an event.
    pub unknown: UnknownKeys,
    /// Header rows that are equal to the header before them.
    pub(super) same_headers: Seen,
    /// Header rows with other columns, or with the same columns in another order.
    pub(super) other_headers: Seen,
    /// Records of a report with an escape of half a surrogate pair.
    pub(super) half_pairs: Seen,
    spoilt: Seen,
    first_spoilt: String,
    lost_addresses: Seen,
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
    /// Looks for identifiers and addresses in an event that are certainly wrong.
    pub(super) fn look_at(&mut self, line: u64, event: &PassEvent) {
        for property in IDENTIFIERS {
            if let Some(text) = event.property(property).filter(|text| is_spoilt(property, text)) {
                if self.spoilt.count == 0 {
                    self.first_spoilt = format!("{property} {text:?}");
                }
                self.spoilt.note(line);
            }
        }
        if event.property(Property::IpAddress).is_some_and(is_lost_address) {
            self.lost_addresses.note(line);
        }
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
            (
                &self.half_pairs,
                "records have half a character (a lone \\ud800 to \\udfff): U+FFFD stands in its place",
            ),
            (&self.spoilt, &spoilt),
            (&self.lost_addresses, "values of ip_address are no address, and none is sent"),
        ];
        let seen = all.into_iter().filter(|(seen, _)| seen.count > 0);
        seen.map(|(seen, what)| (seen.first_line, format!("{} {what}", seen.count))).collect()
    }
}
