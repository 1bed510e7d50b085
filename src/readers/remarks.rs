//! What a source contained that was skipped or may be a mistake. Each kind is counted, and reported once per source.

use std::collections::HashSet;

use super::leftovers::{has_backslashes, has_leftovers, is_wrapped};
use super::totals::is_total;
use super::unknown::UnknownKeys;
use crate::event::{
    IDENTIFIERS, PassEvent, Property, VisitorRules, has_zeros_behind, is_lost_address, is_no_value,
    is_spoilt, long_number_ends_in_zero,
};
use crate::harmless::clip;

/// The most names of MVPDs and proxies that a reader remembers. There are several hundred; a source with more names is
/// read a little slower.
const NAMED_MAX: usize = 2_000;
/// The longest name that is remembered, in bytes: an eVar cuts a longer one.
const NAMED_BYTES_MAX: usize = 255;

/// The remarks of a reader about its source.
#[derive(Debug, Clone, Default)]
pub struct Remarks {
    /// Keys that belong to no property of an event.
    pub unknown: UnknownKeys,
    /// Header rows that repeat the header before them.
    pub(super) same_headers: Seen,
    /// Header rows with other columns, or with the same columns in another order.
    pub(super) other_headers: Seen,
    /// Rows of CSV that end with the source, without a line end.
    pub(super) without_end: Seen,
    /// Events that were read by a map.
    pub(super) mapped: Seen,
    /// The keys that the map takes properties from but no event has; empty if there are none.
    pub(super) unmet: String,
    spoilt: Seen,
    nameless: Seen,
    totals: Seen,
    /// Names that do mean an MVPD or a proxy. They are remembered, so that each is checked only once.
    named: HashSet<Box<str>>,
    with_zeros: Seen,
    padded: Seen,
    /// Numbers with more digits than a spreadsheet keeps, and how many of these end in 0.
    long_numbers: u64,
    rounded: Seen,
    lost_addresses: Seen,
    with_lost_letters: Seen,
    with_backslashes: Seen,
    with_leftovers: Seen,
    wrapped: Seen,
    /// Whether a part of an exchange, or of an object on several lines, was found.
    pub(super) is_in_parts: bool,
    /// Whether packed bytes were found.
    pub(super) is_packed: bool,
}

/// How often something was found, and the first line with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    count: u64,
    first_line: u64,
    /// What was found first, if it has a name.
    first: String,
}

impl Seen {
    pub(super) fn note(&mut self, line: u64) {
        if self.count == 0 {
            self.first_line = line;
        }
        self.count += 1;
    }

    fn note_text(&mut self, line: u64, name: &str, text: &str) {
        if self.count == 0 {
            self.first = format!("{} {:?}", clip(name), clip(text));
        }
        self.note(line);
    }
}

impl Remarks {
    /// Notes identifiers that a spreadsheet or program changed, names for no MVPD or proxy, and a lost IP address.
    pub(super) fn look_at(&mut self, line: u64, event: &PassEvent) {
        for property in IDENTIFIERS {
            let Some(text) = event.property(property) else { continue };
            if is_spoilt(property, text) {
                self.note_spoilt(line, property.name(), text);
            }
            self.note_changes(line, property.name(), text);
            let is_user = matches!(property, Property::MvpdUserId | Property::VisitorId);
            if has_backslashes(text, is_user) {
                self.with_backslashes.note_text(line, property.name(), text);
            } else if is_wrapped(text) {
                self.wrapped.note_text(line, property.name(), text);
            }
        }
        for property in [Property::LatencyMs, Property::Ttl] {
            if let Some(text) = event.property(property).filter(|text| has_zeros_behind(text)) {
                self.with_zeros.note_text(line, property.name(), text);
            }
        }
        for property in [Property::Mvpd, Property::Proxy] {
            if let Some(text) = event.property(property) {
                self.note_nameless(line, property.name(), text);
            }
        }
        self.note_changes(line, "event_id", event.event_id().unwrap_or_default());
        self.note_changes(line, Property::RequestorId.name(), event.requestor_id().as_str());
        if event.property(Property::IpAddress).is_some_and(is_lost_address) {
            self.lost_addresses.note(line);
        }
    }

    /// Notes an identifier with letters that a program could not read.
    pub(super) fn note_lost_letters(&mut self, line: u64, name: &str, text: &str) {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            self.with_lost_letters.note_text(line, name, text);
        }
    }

    /// Notes an identifier that the program that wrote the source has changed.
    fn note_changes(&mut self, line: u64, name: &str, text: &str) {
        self.note_lost_letters(line, name, text);
        if text.ends_with(' ') && !text.trim_ascii().is_empty() {
            self.padded.note_text(line, name, text);
        }
        if has_zeros_behind(text) {
            self.with_zeros.note_text(line, name, text);
        }
        let Some(is_rounded) = long_number_ends_in_zero(text) else { return };
        self.long_numbers += 1;
        if is_rounded {
            self.rounded.note_text(line, name, text);
        }
    }

    /// Notes an MVPD or a proxy whose name says that there is none.
    pub(super) fn note_nameless(&mut self, line: u64, name: &str, text: &str) {
        if self.named.contains(text) {
            return;
        }
        let is_nobody = VisitorRules::default().known(text).is_none();
        if is_nobody && !is_spoilt(Property::Mvpd, text) && !is_no_value(text) {
            self.nameless.note_text(line, name, text);
        } else if is_total(text) {
            self.totals.note_text(line, name, text);
        } else if has_leftovers(text) {
            self.with_leftovers.note_text(line, name, text);
        } else if self.named.len() < NAMED_MAX && text.len() <= NAMED_BYTES_MAX {
            self.named.insert(text.into());
        }
    }

    pub(super) fn note_spoilt(&mut self, line: u64, name: &str, text: &str) {
        self.spoilt.note_text(line, name, text);
    }

    /// The notes to report, each with the first line that it is about.
    pub fn notes(&self) -> Vec<(u64, String)> {
        // Of numbers that were not rounded, one in ten ends in 0. So if more than half end in 0, many were rounded.
        let is_chance = self.rounded.count * 2 <= self.long_numbers;
        let is_noted =
            |(seen, _): &(&Seen, &str)| seen.count > 0 && !(is_chance && std::ptr::eq(*seen, &self.rounded));
        let told = |(seen, what): (&Seen, &str)| {
            let what = what.replace("{long}", &self.long_numbers.to_string()).replace("{first}", &seen.first);
            (seen.first_line, format!("{} {what}", seen.count))
        };
        let seen = self.all().into_iter().filter(is_noted).map(told);
        let Seen { count, first_line, .. } = &self.mapped;
        let unmet = format!("the map takes {}, which none of {count} events has", self.unmet);
        seen.chain((*count > 0 && !self.unmet.is_empty()).then_some((*first_line, unmet))).collect()
    }

    /// What there is to note, with `{first}` for what was found first and `{long}` for the count of long numbers.
    fn all(&self) -> [(&Seen, &'static str); 14] {
        [
            (&self.same_headers, "header rows repeat the one before, and were passed over"),
            (
                &self.other_headers,
                "header rows name other columns, or in another order, and hold from there on",
            ),
            (
                &self.without_end,
                "rows have no line end: if the source was still being written, their last value is cut off, and they count \
                 again, as other events, once it is whole",
            ),
            (
                &self.spoilt,
                "identifiers were spoilt by a spreadsheet, first {first}: a user, device or session that has lost its digits counts as \
                 nobody, and other columns are sent as they are; export these columns as text",
            ),
            (
                &self.nameless,
                "names of an MVPD or a proxy say that there is none, first {first}, and are sent as they are, as one of that name; leave out what is not known",
            ),
            (
                &self.totals,
                "names of an MVPD or a proxy mean the sum of others, first {first}: if such rows sum up others here, their events count twice; \
                 take those rows out, and take back what was counted of them (passbridge pending take-back)",
            ),
            (
                &self.with_zeros,
                "values are whole numbers with a fraction of zeros, first {first}, as pandas writes a column with gaps: each \
                 is another user, device or event than the number without it; export these columns as text or as Int64",
            ),
            (
                &self.padded,
                "identifiers end with blanks, first {first}, as a CHAR column of a database pads them: each is another user, device \
                 or event than the one without blanks; export these columns with RTRIM",
            ),
            (
                &self.rounded,
                "of {long} identifiers with more than 15 digits end in 0, first {first}: a spreadsheet keeps 15 digits of a number, and JavaScript 17 \
                 at most, so that several users, devices or events become one; export these columns as text",
            ),
            (
                &self.with_lost_letters,
                "identifiers have U+FFFD, first {first}, which a program writes where it cannot read a letter, so that several users, \
                 devices or events become one; let that program read and write UTF-8",
            ),
            (
                &self.with_backslashes,
                "identifiers have backslash escapes, first {first}, as PostgreSQL's COPY and MySQL's OUTFILE write them, and count as other \
                 identifiers than those without; export the table as CSV",
            ),
            (
                &self.with_leftovers,
                "names of an MVPD or a proxy have leftovers of another encoding (%20, &amp;, \u{c3}\u{a9} for \u{e9}, an accent apart from its \
                 letter, an apostrophe in front), first {first}, and are others than the plain names; let their source write plain UTF-8",
            ),
            (
                &self.wrapped,
                "identifiers are printed in a program's own way (quotes, Optional[...], b'...', %3D for =), or have letters that nobody sees, \
                 first {first}, and are others than the bare ones; have their source write the bare values",
            ),
            (&self.lost_addresses, "values of ip_address are no address of a viewer, and none is sent"),
        ]
    }
}
