//! `explain` shows the hit that is sent, and says where each value comes from.

use passbridge::explain::explain;
use serde_json::json;

use crate::program::Program;
use crate::{dia_reader, fixture};

#[test]
fn it_shows_the_very_tags_that_are_sent() {
    for stem in fixture::stems("events") {
        let (event, form) = (fixture::event(&stem), fixture::form_of(&stem));
        let explanation = explain(&event, fixture::first_id(&event), &form);
        let documents = fixture::documents(&event, &form);
        assert!(
            explanation.xml.iter().map(String::as_bytes).eq(documents.iter().map(Vec::as_slice)),
            "{stem}"
        );
        let sent = dia_reader::read(&documents[0]).expect("a document");
        let shown = explanation.tags.iter().map(|line| (line.tag.to_owned(), line.value.clone())).collect();
        assert_eq!(dia_reader::Request(shown), sent, "{stem}");
        assert_eq!(explanation.absent.len() + sent.evars().len(), 34, "{stem}");
    }
}

#[test]
fn it_says_where_each_value_comes_from() {
    let event = fixture::authz_ok(&json!({
        "mvpd": "Cable\tCo", "token_type": " ", "resource_id": "<rss><item><title>The Closer</title></item></rss>",
        "device_id": "dev-1",
    }));
    let text = explain(&event, event.identity().id, &fixture::form()).to_string();
    for line in [
        r#"eVar1           Channel = "SPORT1"  requestor_id"#,
        r#"eVar2           MVPD = "Cable Co"  mvpd"#,
        r#"eVar3           Proxy = "Direct"  default: the event has no proxy"#,
        r#"eVar6           Resource ID = "The Closer"  the item title of the MRSS document in resource_id"#,
        r#"eVar8           Token Type = "normal"  default: the event has a blank token_type and is authz_ok"#,
        "mvpd had control characters, which became spaces: 1",
        "the event has no usable mvpd_user_id: visitorID is a surrogate made from requestor_id and device_id",
        "authz_ok of SPORT1 at 2026-03-15T09:00:00Z",
        "no tag, as the event has no value: sdk_type sdk_version",
        "<eVar2>Cable Co</eVar2>",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn it_says_why_an_event_is_dead() {
    let event = fixture::authz_ok(&json!({ "count": 101 }));
    let explanation = explain(&event, event.identity().id, &fixture::form());
    assert!(explanation.to_string().contains("count 101 would take 101 hits"));
    let json = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(json["dead"], "count_too_large:101");
    assert_eq!(json["xml"], json!([]));
}

#[test]
fn its_json_names_the_notes_and_the_identity() {
    let event = fixture::authz_ok(&json!({ "mvpd_user_id": "a-b", "mvpd": "D=v1", "count": 2 }));
    let explanation = explain(&event, event.identity().id, &fixture::form());
    let json = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(
        json["notes"],
        json!([
            { "note": "visitor_digested", "because": "other_characters" },
            { "note": "dynamic_variable_broken", "property": "mvpd" },
            { "note": "split", "hits": 2 },
        ])
    );
    assert_eq!(json["identity"]["tag"], "visitorID");
    assert_eq!(json["event"]["mvpd"], "D=v1");
    assert_eq!(json["xml"].as_array().map(Vec::len), Some(2));
}

#[test]
fn one_huge_line_is_refused_by_a_limit_that_is_named() {
    let program = Program::bare();
    let line = format!("{{\"mvpd\":\"{}\"}}\n", "x".repeat(8 << 20));
    program.write("huge.json", &line);
    let done = program.run_bare(&["explain", &program.path("huge.json").display().to_string()]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(
        done.err.contains("is longer than 8388608 bytes\n  try: give it the event alone"),
        "{}",
        done.err
    );
}

#[test]
fn a_row_of_csv_is_told_that_json_is_wanted() {
    let program = Program::bare();
    program.write("a.csv", "occurred_at,event,requestor_id\n2026-11-20T08:30:00Z,authn_ok,REF30\n");
    let done = program.run_bare(&["explain", &program.path("a.csv").display().to_string()]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("holds no event: an event is a JSON object here"), "{}", done.err);
}
