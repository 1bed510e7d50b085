//! How the API describes suites, dimensions and metrics, and the file of settings that the admin pages offer.
//!
//! Adobe does not publish the columns of that file, only that tabs separate its cells and that the first cell of its
//! header is empty (Adobe Analytics guide, "Download report suite settings"). Here it has one column for the suite,
//! and a row for each setting.

use serde_json::{Value, json};

use super::super::makeup::{Access, EventType, Makeup, Merchandising};

const CURRENCY: &str = "USD";

/// Adds the fields that `expansion` names to the fields that every answer has.
fn expanded(mut told: Value, more: &Value, expansion: &str) -> Value {
    for (name, value) in expansion.split(',').filter_map(|name| Some((name, more.get(name)?))) {
        told[name] = value.clone();
    }
    told
}

pub(super) fn suite(rsid: &str, makeup: &Makeup, expansion: &str) -> Value {
    let mut more = json!({ "name": rsid, "currency": CURRENCY, "timezoneZoneinfo": makeup.timezone.name(),
        "calendarType": { "rsid": rsid, "type": "GREGORIAN" } });
    if let Some(parent) = &makeup.parent {
        more["parentRsid"] = json!(parent.as_str());
    }
    expanded(json!({ "rsid": rsid, "id": rsid }), &more, expansion)
}

/// The dimensions that the credential may see: the day, and eVars.
pub(super) fn dimensions(makeup: &Makeup, expansion: &str) -> Value {
    let day = json!({ "id": "variables/daterangeday", "title": "Day", "name": "Day", "type": "time" });
    let open = makeup.evars.iter().filter(|(_, evar)| evar.access == Access::Open);
    let evars = open.map(|(number, evar)| {
        let syntax = Some(evar.merchandising).filter(|syntax| *syntax != Merchandising::Disabled);
        let more = json!({ "dataType": evar.kind, "allocationType": evar.allocation, "expirationType": evar.expiration,
            "expirationCustomDays": null, "merchandisingSyntax": syntax });
        let told = json!({ "id": format!("variables/evar{number}"), "title": evar.name, "name": evar.name,
            "type": "string", "category": "Conversion", "pathable": false, "segmentable": true });
        expanded(told, &more, expansion)
    });
    std::iter::once(day).chain(evars).collect()
}

/// The metrics that the credential may see: occurrences, and success events.
pub(super) fn metrics(makeup: &Makeup) -> Value {
    let occurrences =
        json!({ "id": "metrics/occurrences", "name": "Occurrences", "type": "int", "precision": 0 });
    let open = makeup.events.iter().filter(|(_, event)| event.access == Access::Open);
    let events = open.map(|(number, event)| {
        let (kind, precision) = match event.kind {
            EventType::Counter => ("int", 0),
            EventType::Numeric => ("decimal", 2),
            EventType::Currency => ("currency", 2),
        };
        json!({ "id": format!("metrics/event{number}"), "title": event.name, "name": event.name, "type": kind,
            "category": "Conversion", "precision": precision, "calculated": false, "allowedForReporting": true })
    });
    std::iter::once(occurrences).chain(events).collect()
}

pub(super) fn settings_file(rsid: &str, makeup: &Makeup) -> String {
    let mut file = format!("\t{rsid}\n");
    let mut row = |name: &str, value: &str| {
        let value = value.replace(['\t', '\n', '\r'], " ");
        file.push_str(&format!("{name}\t{value}\n"));
    };
    row("Report Suite Title", rsid);
    row("Time Zone", makeup.timezone.name());
    row("Base Currency", CURRENCY);
    row("Timestamps", makeup.timestamps.label());
    row("Multi-byte", if makeup.is_multi_byte { "Enabled" } else { "Disabled" });
    for (number, event) in &makeup.events {
        let is_enabled = event.access != Access::Disabled;
        row(&format!("event{number}: Name"), &event.name);
        row(&format!("event{number}: Type"), if is_enabled { event.kind.label() } else { "Disabled" });
        row(&format!("event{number}: Unique Event Recording"), event.recording.label());
    }
    for (number, evar) in &makeup.evars {
        let is_enabled = evar.access != Access::Disabled;
        row(&format!("eVar{number}: Name"), &evar.name);
        row(&format!("eVar{number}: Status"), if is_enabled { "Basic Subrelations" } else { "Disabled" });
        row(&format!("eVar{number}: Type"), evar.kind.label());
        row(&format!("eVar{number}: Allocation"), evar.allocation.label());
        row(&format!("eVar{number}: Expiration"), evar.expiration.label());
        row(&format!("eVar{number}: Merchandising"), evar.merchandising.label());
    }
    file
}
