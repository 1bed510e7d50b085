//! The spelling of a value makes no second event, and what another program left in values or rows is told or refused.

use passbridge::buffer::{Batch, Feed, JobKey, NewEvent};
use passbridge::event::{ContentDigest, EventId};
use passbridge::mapping;
use serde_json::{Value, json};

use super::*;
use crate::program::Program;

fn plain() -> Value {
    json!({"occurred_at": "2026-11-20T08:30:00Z", "event": "authz_ok", "requestor_id": "REF30", "mvpd": "Cableco",
        "mvpd_user_id": "0012", "ip_address": "203.0.113.9", "user_agent": "a"})
}

fn with(changes: Value) -> Value {
    let mut line = plain();
    line.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    line
}

/// The line with an `event_id` if there is one.
fn named(line: &Value, event_id: Option<&str>) -> Value {
    let mut line = line.clone();
    event_id.map(|id| line.as_object_mut().expect("an object").insert("event_id".to_owned(), id.into()));
    line
}

/// The event with values as other programs write them, each of which becomes the same hit.
fn spellings() -> Vec<Value> {
    let mut all = vec![
        with(json!({"mvpd_user_id": "=\"0012\""})),
        with(json!({"mvpd_user_id": "'0012"})),
        with(json!({"mvpd": " Cableco"})),
        with(json!({"mvpd": "Cableco\t"})),
        with(json!({"mvpd": "\u{a0}Cableco "})),
    ];
    all.extend(
        ["\\N", "NULL", "(null)", "<null>", " null "]
            .map(|word| with(json!({"resource_id": word, "device_id": word}))),
    );
    all.extend(
        ["::ffff:203.0.113.9", "203.0.113.9:51234", "[::FFFF:203.0.113.9]:443"]
            .map(|address| with(json!({ "ip_address": address }))),
    );
    all
}

/// The same as a row of CSV.
fn csv(line: &Value) -> String {
    let members = line.as_object().expect("an object");
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let cells: Vec<String> = members.values().map(|value| cell(value.as_str().expect("text"))).collect();
    format!("{}\n{}\n", names.join(","), cells.join(","))
}

#[test]
fn values_that_become_the_same_hit_are_the_same_event_in_whatever_spelling() {
    for line in spellings() {
        for event_id in [None, Some("e1")] {
            let intake = Intake::new();
            let odd = intake.file("odd.csv", csv(&named(&line, event_id)).as_bytes());
            let even = intake.file("even.ndjson", format!("{}\n", named(&plain(), event_id)).as_bytes());
            assert_eq!(intake.load(&[&odd]).total, counts(1, 1, 0, 0, 0), "{line}");
            assert_eq!(intake.load(&[&even, &odd]).total, counts(2, 0, 2, 0, 0), "{line}");
            let other = Intake::new();
            assert_eq!(other.load(&[&even, &odd]).total, counts(2, 1, 1, 0, 0), "{line}");
        }
    }
    let intake = Intake::new();
    let others = ["\u{a0}0012", "12", "00 12", "\"0012\""].map(|user| with(json!({"mvpd_user_id": user})));
    let others: String = others
        .iter()
        .chain([&with(json!({"ip_address": "203.0.113.10"}))])
        .map(|line| format!("{line}\n"))
        .collect();
    let others = intake.file("others.ndjson", format!("{}\n{others}", plain()).as_bytes());
    assert_eq!(intake.load(&[&others]).total, counts(6, 6, 0, 0, 0), "IDs that differ are other events");
}

/// An earlier release stored events under identities of the values as they were written.
#[test]
fn what_an_earlier_release_stored_by_its_spelling_is_known_when_it_is_read_again() {
    for line in spellings() {
        for event_id in [None, Some("e1")] {
            let line = named(&line, event_id);
            let event = crate::support::event(line.clone());
            let former: Option<(EventId, ContentDigest)> = event.identity().former;
            let (id, content) = former.expect("another identity");
            let intake = Intake::new();
            let buffer = &intake.house.buffer;
            let stored = NewEvent {
                id,
                content,
                former: None,
                former_ids: Vec::new(),
                ..NewEvent::new(1, &event, mapping::measure(&event))
            };
            let input = buffer.open_input("earlier").expect("an input");
            let batch = Batch {
                input,
                feed: Feed::Events,
                job: JobKey::LIVE,
                events: vec![stored].into(),
                memory: Vec::new(),
                stated: Vec::new(),
                rejected: 0,
            };
            assert_eq!(buffer.store(batch).expect("the event is stored").stored, 1);
            let again = intake.file("again.ndjson", format!("{line}\n").as_bytes());
            assert_eq!(intake.load(&[&again]).total, counts(1, 0, 1, 0, 0), "{line}");
        }
    }
}

#[test]
fn a_changed_or_deleted_row_of_a_change_log_is_rejected_and_an_inserted_one_is_an_event() {
    let columns = [
        ("__op", json!("c"), true),
        ("__op", json!("r"), true),
        ("__op", json!("u"), false),
        ("__op", json!("d"), false),
        ("Op", json!("I"), true),
        ("Op", json!("D"), false),
        ("op", json!(1), true),
        ("__deleted", json!("false"), true),
        ("__deleted", json!("true"), false),
        ("_fivetran_deleted", json!(false), true),
        ("_fivetran_deleted", json!(true), false),
        ("METADATA$ACTION", json!("INSERT"), true),
        ("METADATA$ACTION", json!("DELETE"), false),
        ("METADATA$ISUPDATE", json!(true), false),
        ("_ab_cdc_deleted_at", Value::Null, true),
        ("_ab_cdc_deleted_at", json!("2026-11-20T09:00:00Z"), false),
        ("_change_type", json!("insert"), true),
        ("_change_type", json!("update_preimage"), false),
        ("_change_type", json!("delete"), false),
        ("__$operation", json!(2), true),
        ("__$operation", json!(3), false),
        ("rowkind", json!("-U"), false),
        ("zone", json!("d"), true),
        ("action", json!("d"), true),
        ("stop", json!("u"), true),
        ("action", json!("delete"), false),
        ("eventType", json!("UPDATE"), false),
        ("operationType", json!("replace"), false),
        ("header__change_oper", json!("U"), false),
        ("SYS_CHANGE_OPERATION", json!("D"), false),
        ("DTL__CAPXACTION", json!("D"), false),
        ("row_kind", json!("-D"), false),
        ("is_deleted", json!(true), false),
        ("isDeleted", json!("1"), false),
        ("is_deleted", json!(0), true),
        ("deleted_at", json!("2026-11-20 09:00:00"), false),
        ("datastream_metadata_is_deleted", json!("true"), false),
    ];
    for (name, value, is_event) in columns {
        let line = with(json!({ name: value }));
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let intake = Intake::new();
        for (file, content) in
            [("a.ndjson", format!("{line}\n")), ("a.csv", csv(&with(json!({ name: text }))))]
        {
            let loaded = intake.load(&[&intake.file(file, content.as_bytes())]);
            assert_eq!(loaded.total.rejected, u64::from(!is_event), "{file}: {content}");
            let rejects = loaded.rejects_path.map(|path| std::fs::read_to_string(path).expect("a file"));
            let is_told = rejects.is_some_and(|kept| kept.contains("changed or deleted row"));
            assert_eq!(is_told, !is_event, "{file}: {content}");
        }
    }
}

#[test]
fn a_change_that_is_told_beside_the_object_of_a_map_is_rejected() {
    let row = r#""data":{"occurred_at":"2026-11-20T08:30:00Z","event":"authz_ok","requestor_id":"REF30"}"#;
    for (beside, is_event) in [
        (r#""type":"insert""#, true),
        (r#""type":"update","old":{"mvpd":"Cableco"}"#, false),
        (r#""type":"delete""#, false),
        (r#""metadata":{"operation":"insert","schema":"update"}"#, true),
        (r#""metadata":{"operation":"update"}"#, false),
        (r#""source_metadata":{"is_deleted":false}"#, true),
        (r#""source_metadata":{"is_deleted":true}"#, false),
        (r#""message":{"headers":{"operation":"DELETE"}}"#, false),
        (r#""before":null"#, true),
        (r#""before":{"mvpd":"M"}"#, false),
        (r#""eventName":"INSERT""#, true),
        (r#""eventName":"MODIFY""#, false),
    ] {
        let program = Program::with(
            "[map.log]\nkeys = { occurred_at = \"data.occurred_at\", event = \"data.event\", requestor_id = \"data.requestor_id\" }\n",
        );
        let path = program.file("a.ndjson", &format!("{{{beside},{row}}}\n"));
        let (_, done) = program.json(&["ingest", "--map", "log", &path]);
        let found = [&done["total"]["stored"], &done["total"]["rejected"]];
        assert_eq!(found, [&json!(u64::from(is_event)), &json!(u64::from(!is_event))], "{beside}: {done}");
    }
}

/// The notes about a CSV file with these cells of one column.
fn notes(column: &str, cells: &[&str]) -> Vec<String> {
    let intake = Intake::new();
    let rows: Vec<String> = (0..)
        .zip(cells)
        .map(|(at, cell)| format!("2026-11-20T08:30:{at:02}Z,authz_ok,REF30,{cell}\n"))
        .collect();
    let file = format!("occurred_at,event,requestor_id,{column}\n{}", rows.concat());
    let loaded = intake.load(&[&intake.file("a.csv", file.as_bytes())]);
    assert_eq!(loaded.total.stored, cells.len() as u64);
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn backslash_escapes_of_a_dump_are_told() {
    let told = notes("mvpd_user_id", &["DOM\\ann", "DOM\\tom", "DOM\\\\ann", "J\\u00fcrgen"]);
    assert!(
        told.len() == 1
            && told[0].contains("a.csv:4: 2 identifiers have backslash escapes, first mvpd_user_id"),
        "{told:?}"
    );
    let told = notes("resource_id", &["RES1", "RES\\t1"]);
    assert!(told.len() == 1 && told[0].contains("a.csv:3: 1 identifiers have backslash escapes"), "{told:?}");
    assert_eq!(notes("mvpd_user_id", &["DOM\\ann", "DOM\\nina"]), [""; 0]);
}

#[test]
fn names_of_mvpds_with_leftovers_of_an_encoding_are_told() {
    let odd = ["Cable%20Co", "Cable%E9", "TÃ©lÃ©", "Cableco &amp; Sons", "Te\u{301}", "'Cableco"];
    let told = notes("mvpd", &[&["Cableco", "Té"][..], &odd].concat());
    assert!(
        told.len() == 1
            && told[0].contains("a.csv:4: 6 names of an MVPD or a proxy have leftovers of another encoding")
            && told[0].contains("first mvpd \"Cable%20Co\""),
        "{told:?}"
    );
}
