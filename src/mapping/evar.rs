//! The value of one eVar of a hit: its property, the title in an MRSS document, or the documented default.

use std::borrow::Cow;

use super::limits::EVAR_BYTES_MAX;
use super::mrss::Resource;
use super::{Note, mrss, sanitize};
use crate::event::{DefaultValue, EventKind, PassEvent, Property, VisitorRules};

/// The `sdk_type` of the Clientless API. Its case is ignored, as in Analytics (Implementation Guide, "eVar").
const CLIENTLESS: &str = "Clientless";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evar<'a> {
    pub(crate) value: Cow<'a, str>,
    pub(crate) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Event,
    /// The item title of the MRSS document that the event carries.
    MrssTitle,
    /// The documented default of the integration, because the event has no value.
    Default,
}

/// The eVar of a property; `None` if the hit gets no tag for it.
pub(crate) fn evar<'a>(
    event: &'a PassEvent,
    property: Property,
    rules: VisitorRules,
    notes: &mut Vec<Note>,
) -> Option<Evar<'a>> {
    let text = event.property(property).and_then(|text| rules.shown(property, text));
    let Some(text) = text else { return default(event, property) };
    if property == Property::ResourceId
        && let Some(value) = mrss_title(text, notes)
    {
        return Some(Evar { value: Cow::Owned(value), source: Source::MrssTitle });
    }
    match sanitize::clean(text, property, EVAR_BYTES_MAX, notes) {
        Some(value) => Some(Evar { value, source: Source::Event }),
        None => default(event, property),
    }
}

fn mrss_title(resource: &str, notes: &mut Vec<Note>) -> Option<String> {
    let title = match mrss::read(resource) {
        Resource::Plain => return None,
        Resource::Mrss { title } => {
            notes.push(Note::MrssTitle);
            sanitize::clean(&title, Property::ResourceId, EVAR_BYTES_MAX, notes).map(Cow::into_owned)
        }
        Resource::BrokenMrss => None,
    };
    if title.is_none() {
        notes.push(Note::MrssBroken);
    }
    title
}

fn default<'a>(event: &PassEvent, property: Property) -> Option<Evar<'a>> {
    let value = match property.default_value() {
        DefaultValue::Absent => return None,
        DefaultValue::Always(value) => value,
        DefaultValue::On(kinds, value) => kinds.contains(&event.kind()).then_some(value)?,
        DefaultValue::Clientless(clientless, _) if is_clientless(event) => clientless,
        DefaultValue::Clientless(_, other) => other,
    };
    Some(Evar { value: Cow::Borrowed(value), source: Source::Default })
}

fn is_clientless(event: &PassEvent) -> bool {
    matches!(event.kind(), EventKind::ClientlessTokenOk | EventKind::ClientlessTokenFailed)
        || event.property(Property::SdkType).is_some_and(|sdk| sdk.trim().eq_ignore_ascii_case(CLIENTLESS))
}
