//! Hides rejected lines that may be parts of an exchange: a secret may stand on another line than its name.

use serde::de::IgnoredAny;

use super::cause::{is_in_parts, is_part_of_object};
use super::line::{Excerpt, Line, RejectReason};
use super::members::{Members, unquoted};
use super::remarks::Remarks;
use super::rest_v2::{has_packed_text, is_like_exchange, is_packed, why_unreadable};
use crate::event::PassEvent;

/// The reason for rejecting a line that may have a secret whose name stands on a line before it.
const BEHIND_PARTS: &str = "is a part of an exchange, or of an object on several lines, or follows one, so nothing of it is kept: put each object on a \
     line of its own, as jq -c . FILE does, and ingest exchanges with --format rest-v2 (or har)";

/// Makes a line of a source, and notes remarks about its event. A rejected line behind a part of an exchange is neither
/// kept nor quoted, unless it is an object with members of an event.
pub(super) fn line<'a>(
    remarks: &mut Remarks,
    number: u64,
    excerpt: Excerpt<'a>,
    result: Result<PassEvent, RejectReason>,
) -> Line<'a> {
    let mut line = Line { number, excerpt, result, rule: None, unknown_key: remarks.unknown.take_first() };
    let reason = match &mut line.result {
        Ok(event) => {
            remarks.look_at(number, event);
            return line;
        }
        Err(reason) => reason,
    };
    let bytes = &line.excerpt.bytes;
    let members = serde_json::from_slice::<Members<'_>>(bytes);
    // A row of CSV may look like a text in a JSON list. So it is a part only if it looks like a part of an object.
    let (is_whole, is_part) = match line.excerpt.header {
        Some(_) => (matches!(reason, RejectReason::Event(_)), is_part_of_object(bytes)),
        None => {
            let is_cut =
                members.as_ref().is_ok_and(|members| has_part_inside(members, line.excerpt.map.is_some()));
            // The other lines of a key or a certificate look like identifiers.
            let is_key = memchr::memmem::find(bytes, b"-----BEGIN ").is_some();
            (members.is_ok() && !is_cut, is_cut || is_key || is_in_parts(bytes) || has_packed_text(bytes))
        }
    };
    remarks.is_in_parts |= !is_whole && (is_part || is_like_exchange(bytes));
    if remarks.is_in_parts && !members.is_ok_and(|members| members.is_event()) {
        if has_packed_text(bytes) {
            *reason = RejectReason::Recognised(why_unreadable(bytes));
        } else if !matches!(reason, RejectReason::Recognised(_)) {
            *reason = RejectReason::Recognised(BEHIND_PARTS);
        }
        line.excerpt = Excerpt::hidden(bytes, line.excerpt.line_bytes);
        return line;
    }
    // Packed bytes may have any byte, also a line feed and letters.
    remarks.is_packed |= is_packed(bytes);
    let is_text = |text: &str| !text.contains(|letter: char| letter.is_control() && letter != '\t');
    if remarks.is_packed && !std::str::from_utf8(bytes).is_ok_and(is_text) {
        line.excerpt = Excerpt::hidden(bytes, line.excerpt.line_bytes);
    }
    line
}

/// Whether a line of a log driver has a part of a longer text: Docker cuts lines at 16 KiB, and only the last part ends
/// with a line feed. A text that has members of JSON, but is no JSON, was cut too; if a map reads it, its event is rejected.
fn has_part_inside(members: &Members<'_>, is_mapped: bool) -> bool {
    let is_of_docker = members.0.iter().any(|(name, _)| *name == "\"stream\"");
    let is_part = |(name, value): &(&str, &str)| {
        let Some(text) = value.starts_with('"').then(|| unquoted(value).unwrap_or_default()) else {
            return false;
        };
        let is_cut = is_of_docker && *name == "\"log\"" && !text.ends_with('\n');
        let has_member = ["\":", "\" :", "\","].iter().any(|sign| text.contains(sign));
        is_cut || !is_mapped && has_member && serde_json::from_str::<IgnoredAny>(&text).is_err()
    };
    !members.is_event() && members.0.iter().any(is_part)
}
