//! The canonical events of `fixtures/events`, and the hit form that each is mapped with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use passbridge::event::{Draft, EventId, Instant, PassEvent, RawValue, TimeBounds};
use passbridge::mapping;
use passbridge::suite::{CountForm, EventIds, HitForm, IdentityKind};
use serde_json::Value;

/// A file below `fixtures/`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The stems of the files of a folder below `fixtures/`, sorted.
pub(crate) fn stems(folder: &str) -> BTreeSet<String> {
    fs::read_dir(path(folder))
        .expect("the folder of fixtures")
        .map(|entry| entry.expect("a fixture").path())
        .filter(|path| path.is_file())
        .map(|file| file.file_stem().and_then(|stem| stem.to_str()).expect("a plain name").to_owned())
        .collect()
}

/// The event of a stem.
pub(crate) fn event(stem: &str) -> PassEvent {
    let text = fs::read_to_string(path(&format!("events/{stem}.json"))).expect("a fixture");
    event_of(&serde_json::from_str(&text).expect("JSON"))
}

/// The event that a JSON object stands for.
pub(crate) fn event_of(object: &Value) -> PassEvent {
    let mut draft = Draft::default();
    for (key, value) in object.as_object().expect("an object") {
        let number = value.to_string();
        let value = match value {
            Value::Null => RawValue::Absent,
            Value::Bool(flag) => RawValue::Flag(*flag),
            Value::Number(_) => RawValue::Number(&number),
            Value::String(text) => RawValue::Text(text.as_str().into()),
            Value::Array(_) | Value::Object(_) => RawValue::Nested,
        };
        draft.set(key, value).expect("a valid key");
    }
    let end_of_time = Instant::from_nanos(i64::MAX);
    draft.finish(TimeBounds { latest: end_of_time, now: end_of_time }).expect("a valid event")
}

/// An authorization at a fixed instant, with these properties beside or instead of its own.
pub(crate) fn authz_ok(more: &Value) -> PassEvent {
    let mut object = serde_json::json!({
        "occurred_at": "2026-03-15T09:00:00Z", "event": "authz_ok", "requestor_id": "SPORT1",
    });
    let keys = object.as_object_mut().expect("an object");
    keys.extend(more.as_object().expect("an object").clone());
    event_of(&object)
}

/// The form of a new suite: MVPD User ID, event IDs on.
pub(crate) fn form() -> HitForm {
    HitForm::with_defaults("examplersid".parse().expect("a report suite ID"))
}

/// The form that a stem is about; most are about the form of a new suite.
pub(crate) fn form_of(stem: &str) -> HitForm {
    let mut form = form();
    if stem.starts_with("ecid") {
        form.identity = IdentityKind::Ecid;
    }
    if stem.ends_with("-with-org") {
        form.org_id = Some("1234567890ABCDEF12345678@AdobeOrg".parse().expect("an organisation"));
    }
    if stem.ends_with("-without-event-ids") {
        form.event_ids = EventIds::Off;
    }
    if stem.ends_with("-with-id") {
        form.count_form = CountForm::CountWithId;
    }
    form
}

/// The identity under which the first release stored an event.
pub(crate) fn first_id(event: &PassEvent) -> EventId {
    let identity = event.identity();
    identity.former.map_or(identity.id, |(id, _)| id)
}

/// The documents that an event becomes.
pub(crate) fn documents(event: &PassEvent, form: &HitForm) -> Vec<Vec<u8>> {
    let id = first_id(event);
    let mapped = mapping::map(event, id, form).expect("hits");
    mapped
        .hits
        .iter()
        .map(|hit| {
            let mut body = Vec::new();
            passbridge::encode::dia(hit, &mut body);
            body
        })
        .collect()
}

/// The same as a bulk file: its header, and a row for each hit.
pub(crate) fn bulk_file(event: &PassEvent, form: &HitForm, user_agent: &str) -> Vec<u8> {
    let id = first_id(event);
    let mapped = mapping::map(event, id, form).expect("hits");
    let mut file = Vec::new();
    passbridge::encode::bulk_header(&mut file);
    mapped.hits.iter().for_each(|hit| passbridge::encode::bulk_row(hit, user_agent, &mut file));
    file
}
