//! Shows the hits that one event becomes (the first tag by tag), or counts the hits of the backlog. Sends nothing.
//!
//! - In: an event, its identity and the hit form of its suite, or the buffer. Out: [`Explanation`] or [`Preview`].
//! - Guarantees: what it shows is made by the functions that make real hits.
//! - Does not know: whether the event was sent, or whether a drain would send it now.

mod preview;

use std::fmt;

use serde::Serialize;

use crate::delivery::DeadReason;
use crate::encode;
use crate::event::{DefaultValue, EventId, PassEvent, Property, VisitorRules};
use crate::hit::{Hit, VisitorIdentity};
use crate::mapping::{self, Note, Source};
use crate::suite::{CountForm, EventIds, HitForm};

pub use preview::{Preview, SuitePreview, preview};

/// An event and everything that Adobe will receive for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub event_id: EventId,
    /// The event, as one line of NDJSON would carry it.
    pub event: PassEvent,
    /// `None` if the requestor has no report suite yet.
    pub rsid: Option<String>,
    /// Why the event can never be sent; `None` if it can.
    pub dead: Option<DeadReason>,
    pub identity: Option<Identity>,
    /// The tags of the first hit, in their order.
    pub tags: Vec<TagLine>,
    /// The properties that send no tag, in the order of their eVars.
    pub absent: Vec<&'static str>,
    pub notes: Vec<Note>,
    /// The XML of every hit, as it is sent.
    pub xml: Vec<String>,
}

/// The identity of a hit, and why the hit has this identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub tag: &'static str,
    pub value: String,
    pub because: String,
}

/// One tag of a hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagLine {
    pub tag: &'static str,
    /// Adobe's label of an eVar; `None` for other tags.
    pub label: Option<&'static str>,
    pub value: String,
    pub from: String,
}

/// Explains what the event becomes.
pub fn explain(event: &PassEvent, id: EventId, form: &HitForm) -> Explanation {
    let (dead, notes, hits) = match mapping::map(event, id, form) {
        Ok(mapped) => (None, mapped.notes, mapped.hits),
        Err(reason) => (Some(reason), Vec::new(), Vec::new()),
    };
    let mut explanation = Explanation {
        event_id: id,
        event: event.clone(),
        rsid: Some(form.rsid.to_string()),
        dead,
        identity: hits.first().map(|hit| identity(hit, &notes)),
        tags: Vec::new(),
        absent: Vec::new(),
        notes,
        xml: hits.iter().map(document).collect(),
    };
    if let Some(hit) = hits.first() {
        encode::each_tag(hit, |tag, value| {
            let from = explanation.source_of(tag, form);
            let label = evar_property(tag).map(Property::label);
            explanation.tags.push(TagLine { tag, label, value: value.to_owned(), from });
        });
        let is_absent =
            |property: &&Property| !hit.evars.iter().any(|(number, _)| Some(*number) == property.evar());
        explanation.absent =
            Property::reported().iter().filter(is_absent).map(|property| property.name()).collect();
    }
    explanation
}

impl Explanation {
    fn source_of(&self, tag: &str, form: &HitForm) -> String {
        match (evar_property(tag), &self.identity) {
            (Some(property), _) => evar_source(&self.event, property, form.visitor_rules),
            (None, Some(identity)) if tag == identity.tag => identity.because.clone(),
            (None, _) => plain_source(tag, &self.event, form),
        }
    }

    /// Removes the report suite of an explanation whose `form` was a placeholder: the requestor has no suite.
    pub fn without_suite(mut self) -> Explanation {
        self.rsid = None;
        for line in self.tags.iter_mut().filter(|line| line.tag == "reportSuiteID") {
            line.from = no_suite(&self.event);
        }
        self
    }
}

fn no_suite(event: &PassEvent) -> String {
    format!("none: {} has no suite yet", event.requestor_id())
}

fn document(hit: &Hit<'_>) -> String {
    let mut body = Vec::new();
    encode::dia(hit, &mut body);
    String::from_utf8_lossy(&body).into_owned()
}

fn identity(hit: &Hit<'_>, notes: &[Note]) -> Identity {
    let (tag, value) = hit.visitor.tag();
    let reasons: Vec<String> =
        notes.iter().filter(|note| note.is_of_identity()).map(ToString::to_string).collect();
    let because = match (&hit.visitor, reasons.is_empty()) {
        (_, false) => reasons.join("; "),
        (VisitorIdentity::VisitorId(_), true) => "mvpd_user_id, as it is".to_owned(),
        (VisitorIdentity::Ecid { .. }, true) => "visitor_id, which is an Experience Cloud ID".to_owned(),
    };
    Identity { tag, value: value.to_owned(), because }
}

fn evar_property(tag: &str) -> Option<Property> {
    let number: u8 = tag.strip_prefix("eVar")?.parse().ok()?;
    Property::reported().iter().copied().find(|property| property.evar() == Some(number))
}

fn evar_source(event: &PassEvent, property: Property, rules: VisitorRules) -> String {
    let name = property.name();
    match mapping::evar(event, property, rules, &mut Vec::new()).map(|evar| evar.source) {
        Some(Source::Event) => name.to_owned(),
        Some(Source::MrssTitle) => format!("the item title of the MRSS document in {name}"),
        Some(Source::Default) | None => {
            let lack = if event.property(property).is_some() { "a blank" } else { "no" };
            let of_kind = match property.default_value() {
                DefaultValue::On(..) => format!(" and is {}", event.kind().name()),
                DefaultValue::Clientless(..) => " (Unknown from Clientless devices, else N/A)".to_owned(),
                DefaultValue::Always(_) | DefaultValue::Absent => String::new(),
            };
            format!("default: the event has {lack} {name}{of_kind}")
        }
    }
}

fn plain_source(tag: &str, event: &PassEvent, form: &HitForm) -> String {
    match tag {
        "scXmlVer" => "constant: the version of the format".to_owned(),
        "reportSuiteID" => format!("the report suite of requestor {}", event.requestor_id()),
        "timestamp" => format!("occurred_at {}, in whole Unix seconds", event.occurred_at()),
        "marketingCloudOrgID" => "the suite's --org-id".to_owned(),
        "ipAddress" => Property::IpAddress.name().to_owned(),
        "userAgent" => Property::UserAgent.name().to_owned(),
        "linkType" => "constant: a custom link, which adds no page view".to_owned(),
        "events" => events_source(event, form),
        _ => format!("the label of {}", event.kind().name()),
    }
}

fn events_source(event: &PassEvent, form: &HitForm) -> String {
    let name = event.kind().name();
    let count = event.count();
    match (form.event_ids, form.count_form) {
        (EventIds::Off, _) if count == 1 => format!("{name}; the suite has event IDs off"),
        (EventIds::Off, _) => format!("{name}, count {count}; the suite has event IDs off"),
        (EventIds::On, _) if count == 1 => {
            format!("{name}, and the serial by which Analytics counts it once")
        }
        (EventIds::On, CountForm::CountWithId) => {
            format!("{name}, count {count}, and the serial by which Analytics counts it once")
        }
        (EventIds::On, CountForm::SingleHits) => format!("{name}, 1 of {count}, and the serial of this hit"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = &self.event;
        writeln!(
            out,
            "event     {} of {} at {}",
            event.kind().name(),
            event.requestor_id(),
            event.occurred_at()
        )?;
        writeln!(out, "event_id  {}", self.event_id)?;
        if let Some(reason) = &self.dead {
            return writeln!(out, "dead      {reason}");
        }
        if let Some(identity) = &self.identity {
            writeln!(out, "visitor   {} {}\n          {}", identity.tag, identity.value, identity.because)?;
        }
        let suite = self.rsid.clone().unwrap_or_else(|| no_suite(&self.event));
        writeln!(out, "\nhit for report suite {suite}:")?;
        for TagLine { tag, label, value, from } in &self.tags {
            let label = label.map(|label| format!("{label} = ")).unwrap_or_default();
            writeln!(out, "  {tag:<15} {label}{value:?}  {from}")?;
        }
        if !self.absent.is_empty() {
            writeln!(out, "\nno tag, as the event has no value: {}", self.absent.join(" "))?;
        }
        if !self.notes.is_empty() {
            writeln!(out, "\nchanged on the way:")?;
            self.notes.iter().try_for_each(|note| writeln!(out, "  {note}"))?;
        }
        let [first, rest @ ..] = self.xml.as_slice() else { return Ok(()) };
        writeln!(out, "\nXML:\n{first}")?;
        if !rest.is_empty() {
            writeln!(out, "and {} more hits, alike but for the serial in events", rest.len())?;
        }
        Ok(())
    }
}
