//! What the API says of suites, dimensions and metrics, and the file that the admin pages download.
//!
//! The columns of that file are not published: only that it is separated by tabs and that the first cell of its header is empty
//! (Adobe Analytics guide, "Download report suite settings"). Here it has a column for each report suite and a row for each
//! setting:
//!
//! ```text
//!                                     examplersid
//! Report Suite Title                  examplersid
//! Time Zone                           US/Pacific
//! Base Currency                       USD
//! Timestamps                          Optional | Required | Not Allowed
//! Multi-byte                          Enabled | Disabled
//! event1: Name                        AuthN requested
//! event1: Type                        Counter | Numeric | Currency | Disabled
//! event1: Unique Event Recording      Use Event ID | Always Record Event | Record Once Per Visit
//! eVar1: Name                         Channel
//! eVar1: Status                       Basic Subrelations | Disabled
//! eVar1: Type                         Text String | Counter
//! eVar1: Allocation                   Most Recent (Last) | Original Value (First) | Linear
//! eVar1: Expiration                   Hit | Visit | Minute | Hour | Day | Week | Month | Quarter | Year | Never | Purchase
//! eVar1: Merchandising                Disabled | Product Syntax | Conversion Variable Syntax
//! ```

use serde_json::{Value, json};

use super::super::makeup::{Access, EventType, Makeup, Merchandising};
use super::super::settings::SuiteSettings;

const CURRENCY: &str = "USD";

/// A suite, with what an expansion asks for.
pub(super) fn suite(rsid: &str, makeup: &Makeup, expansion: &str) -> Value {
    let mut suite = json!({ "rsid": rsid, "id": rsid });
    for name in expansion.split(',') {
        match name {
            "name" => suite[name] = json!(rsid),
            "currency" => suite[name] = json!(CURRENCY),
            "timezoneZoneinfo" => suite[name] = json!(makeup.timezone.name()),
            "calendarType" => suite[name] = json!({ "rsid": rsid, "type": "GREGORIAN" }),
            "parentRsid" => {
                if let Some(parent) = &makeup.parent {
                    suite[name] = json!(parent.as_str());
                }
            }
            _ => {}
        }
    }
    suite
}

/// The dimensions that the credential may see, eVars among others.
pub(super) fn dimensions(makeup: &Makeup, expansion: &str) -> Value {
    let mut found =
        vec![json!({ "id": "variables/daterangeday", "title": "Day", "name": "Day", "type": "time" })];
    for (number, evar) in makeup.evars.iter().filter(|(_, evar)| evar.access == Access::Open) {
        let mut dimension = json!({ "id": format!("variables/evar{number}"), "title": evar.name, "name": evar.name,
            "type": "string", "category": "Conversion", "pathable": false, "segmentable": true });
        for name in expansion.split(',') {
            match name {
                "dataType" => dimension[name] = json!(evar.kind),
                "allocationType" => dimension[name] = json!(evar.allocation),
                "expirationType" => dimension[name] = json!(evar.expiration),
                "expirationCustomDays" => dimension[name] = Value::Null,
                "merchandisingSyntax" => {
                    let syntax = Some(evar.merchandising).filter(|syntax| *syntax != Merchandising::Disabled);
                    dimension[name] = json!(syntax);
                }
                _ => {}
            }
        }
        found.push(dimension);
    }
    found.into()
}

/// The metrics that the credential may see, success events among others.
pub(super) fn metrics(makeup: &Makeup) -> Value {
    let mut found =
        vec![json!({ "id": "metrics/occurrences", "name": "Occurrences", "type": "int", "precision": 0 })];
    for (number, event) in makeup.events.iter().filter(|(_, event)| event.access == Access::Open) {
        let (kind, precision) = match event.kind {
            EventType::Counter => ("int", 0),
            EventType::Numeric => ("decimal", 2),
            EventType::Currency => ("currency", 2),
        };
        found.push(json!({ "id": format!("metrics/event{number}"), "title": event.name, "name": event.name, "type": kind,
            "category": "Conversion", "precision": precision, "calculated": false, "allowedForReporting": true }));
    }
    found.into()
}

/// The file of a suite's settings that the admin pages download.
pub(super) fn settings_file(rsid: &str, makeup: &Makeup, settings: &SuiteSettings) -> String {
    let mut file = format!("\t{rsid}\n");
    let mut row = |name: &str, value: &str| {
        let value = value.replace(['\t', '\n', '\r'], " ");
        file.push_str(&format!("{name}\t{value}\n"));
    };
    row("Report Suite Title", rsid);
    row("Time Zone", makeup.timezone.name());
    row("Base Currency", CURRENCY);
    row("Timestamps", makeup.timestamps.unwrap_or(settings.timestamps).label());
    row("Multi-byte", if makeup.is_multi_byte { "Enabled" } else { "Disabled" });
    for (number, event) in &makeup.events {
        let is_enabled = event.access != Access::Disabled;
        row(&format!("event{number}: Name"), &event.name);
        row(&format!("event{number}: Type"), if is_enabled { event.kind.label() } else { "Disabled" });
        let recording = event.recording.unwrap_or(settings.recording);
        row(&format!("event{number}: Unique Event Recording"), recording.label());
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
