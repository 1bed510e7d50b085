//! The page of one event that a person must decide about. It changes nothing, and masks what may identify a viewer.

use maud::{Markup, html};

use super::page::{STYLE, table, text};
use crate::buffer::{Buffer, Selection, Undecided, UndecidedEvent, Why};
use crate::cli::Failure;
use crate::delivery::Sequence;
use crate::html::document as html_document;

/// The keys of an event whose values may identify a viewer. A source may make an `event_id` of such values.
const PERSONAL: [&str; 7] =
    ["event_id", "mvpd_user_id", "visitor_id", "ip_address", "user_agent", "device_id", "session_id"];
const MASK: &str = "\u{2022}\u{2022}\u{2022}";

/// The page of the event with this number; `None` if it is neither dead nor held. Shows personal values if `is_whole`.
pub(super) fn document(
    buffer: &Buffer,
    sequence: Sequence,
    is_whole: bool,
) -> Result<Option<String>, Failure> {
    let which = Selection::Sequences(vec![sequence]);
    let mut found = buffer.undecided(Undecided::Dead, &which, 1)?;
    found.extend(buffer.undecided(Undecided::Held, &which, 1)?);
    let (Some(one), Some(event)) = (found.pop(), buffer.event(sequence)?) else { return Ok(None) };
    let event = serde_json::to_value(event).expect("texts and numbers always serialise");
    let rows = event.as_object().into_iter().flatten().map(|(key, value)| {
        let is_hidden = !is_whole && PERSONAL.contains(&key.as_str());
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        vec![text(key), text(if is_hidden { MASK.to_owned() } else { value })]
    });
    let rows = table("The event", &[("key", true), ("value", true)], rows);
    Ok(Some(page(&one, &rows, is_whole)))
}

/// The page for a number that no dead or held event has.
pub(super) fn missing(sequence: i64) -> String {
    let body = html! { main {
        h1 { "Event " (sequence) " is neither dead nor held" }
        p { "What became of it: " code { "passbridge trace --sequence " (sequence) } " " a href="." { "The status page" } }
    } };
    html_document("passbridge: no such event", STYLE, &body)
}

fn page(one: &UndecidedEvent, event: &Markup, is_whole: bool) -> String {
    let UndecidedEvent { seq: Sequence(number), requestor_id, rsid, why, .. } = one;
    let (title, at, why, decide) = match why {
        Why::Dead { explanation, died_at, .. } => (
            format!("Dead letter {number}"),
            died_at,
            explanation.clone(),
            ["dead-letter requeue", "dead-letter discard"],
        ),
        Why::Held { attempts, cause, held_at } => (
            format!("Held event {number}"),
            held_at,
            format!("{cause}; attempts that may have counted it: {attempts}"),
            ["held requeue", "held settle --delivered"],
        ),
    };
    let body = html! { main {
        header {
            p.kind { "passbridge" }
            h1 { (title) }
            p.note { "Of " (requestor_id) @if let Some(rsid) = rsid { ", report suite " (rsid) } ", since " (at.to_the_second()) }
        }
        p { (why) }
        (event)
        p.note { "A person decides: " @for command in decide { code { "passbridge " (command) " " (number) } " " } }
        p { a href="." { "The status page" } @if !is_whole { " " a href={ "event?seq=" (number) "&personal" } { "With its personal values" } } }
    } };
    html_document(&title, STYLE, &body)
}
