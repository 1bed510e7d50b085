//! A change of the rules by which visitors are told apart leaves what is stored or in doubt as it was sent.

use std::collections::BTreeSet;

use passbridge::buffer::{Buffer, Flow, JobKey, Merge, PendingEvent};
use passbridge::clock::Clock;
use passbridge::delivery::Sequence;
use passbridge::encode;
use passbridge::event::{EventId, PassEvent, VisitorRules};
use passbridge::mapping;
use passbridge::suite::HitForm;
use serde_json::{Value, json};

use crate::fixture;
use crate::support::{House, RSID, buffer_options, event};

/// What the release before sent for an event that has nobody in three spellings.
const SENT_BEFORE: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?><request><scXmlVer>1.0</scXmlVer><reportSuiteID>examplersid</reportSuiteID>"#,
    "<timestamp>1795199400</timestamp><visitorID>undefined</visitorID><ipAddress>::ffff:203.0.113.9</ipAddress>",
    "<userAgent>a</userAgent><pageName>Adobe Pass: AuthN OK</pageName><linkType>o</linkType><linkName>AuthN OK</linkName>",
    "<events>event3:b2mugpnxu7whn3ayq7vf</events><eVar1>REF30</eVar1><eVar2>M</eVar2><eVar3>Direct</eVar3>",
    "<eVar8>normal</eVar8><eVar9>N/A</eVar9><eVar10>undefined</eVar10><eVar17>N/A</eVar17></request>"
);

fn nobody() -> PassEvent {
    event(json!({
        "occurred_at": "2026-11-20T18:30:00Z", "event": "authn_ok", "requestor_id": "REF30", "mvpd": "M",
        "mvpd_user_id": "undefined", "ip_address": "::ffff:203.0.113.9", "user_agent": "a", "device_id": "nil",
    }))
}

fn sent(event: &PassEvent, id: EventId, form: &HitForm) -> String {
    let mapped = mapping::map(event, id, form).expect("a hit");
    let mut document = Vec::new();
    encode::dia(&mapped.hits[0], &mut document);
    String::from_utf8(document).expect("UTF-8")
}

/// A buffer as the release before left it: one event in doubt, one that was never tried, under one suite.
#[test]
fn an_attempt_of_the_release_before_is_repeated_byte_for_byte_and_new_ones_follow_the_new_rules() {
    let house = House::new();
    let path = house.dir.path().join("before.db");
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/buffers/schema-5.sqlite");
    std::fs::copy(stored, &path).expect("a buffer of version 5");
    let before = rusqlite::Connection::open(&path).expect("the file");
    let body = nobody().stored_body();
    let known = "SELECT requestor FROM requestors WHERE requestor_id = 'REF30'";
    let requestor: i64 = before.query_row(known, [], |row| row.get(0)).expect("a requestor of the fixture");
    before
        .execute_batch(&format!(
            "INSERT INTO forms VALUES (900, '{RSID}', 'mvpd_user_id', '', 'on', 'single_hits');
             INSERT INTO suites (suite, rsid, form, collection_url, on_ambiguous, state)
                VALUES (900, '{RSID}', 900, 'http://127.0.0.1:1', 'retry', 'active');
             INSERT INTO mappings VALUES ({requestor}, 900);
             INSERT INTO doubts (seq, form, attempts, last_at, cause) VALUES (900, 900, 1, 0, 'a test');"
        ))
        .expect("rows of version 5");
    let occurred_at = nobody().occurred_at().nanos();
    for seq in [900, 901] {
        let id = fixture::first_id(&nobody());
        before
            .execute(
                "INSERT INTO events VALUES (?1, ?2, ?5, 3, ?3, 1, 0, 1, 1, ?4)",
                (seq, id.bytes(), occurred_at, &body, requestor),
            )
            .expect("an event");
        before
            .execute("INSERT INTO queue VALUES (0, ?3, ?1, ?2)", (occurred_at, seq, requestor))
            .expect("it waits");
    }
    drop(before);

    let buffer =
        Buffer::open(&buffer_options(path, &Clock::system())).expect("it is brought to this version");
    let routes = buffer.routes().expect("routes");
    let route = &routes[0];
    assert_eq!(route.suite.form.visitor_rules, VisitorRules::default());
    let mut backlog = buffer.backlog(JobKey::LIVE).expect("what waits");
    let mut walk = Merge::new([route.requestors[0]]);
    let mut next = || walk.next(&mut backlog, Sequence(i64::MAX), |_| Flow::Flows).expect("an event");
    let mut waiting: Vec<PendingEvent> = std::iter::from_fn(|| next().map(|(_, pending)| pending)).collect();
    waiting.retain(|waiting| waiting.reference.sequence >= Sequence(900));
    assert_eq!(waiting.len(), 2);
    let doubted = waiting[0].doubted.as_ref().expect("the one in doubt");
    assert_eq!(sent(&waiting[0].event, waiting[0].id, &doubted.form), SENT_BEFORE);
    assert!(waiting[1].doubted.is_none());
    let new = sent(&waiting[1].event, waiting[1].id, &route.suite.form);
    assert!(new.contains("<visitorID>pbs") && new.contains("<ipAddress>203.0.113.9</ipAddress>"), "{new}");
}

/// What version 2 sent of an ID that a spreadsheet quoted and of a word that version 3 knows.
#[test]
fn a_suite_of_version_two_goes_on_under_the_newest_version_and_repeats_under_its_own() {
    let house = House::new();
    let path = house.dir.path().join("before.db");
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/buffers/schema-6.sqlite");
    std::fs::copy(stored, &path).expect("a buffer of version 6");
    let before = rusqlite::Connection::open(&path).expect("the file");
    before
        .execute_batch(&format!(
            "INSERT INTO forms VALUES (900, '{RSID}', 'mvpd_user_id', '', 'on', 'single_hits', 2);
             INSERT INTO suites (suite, rsid, form, collection_url, on_ambiguous, state)
                VALUES (900, '{RSID}', 900, 'http://127.0.0.1:1', 'retry', 'active');"
        ))
        .expect("rows of version 6");
    drop(before);
    let buffer =
        Buffer::open(&buffer_options(path.clone(), &Clock::system())).expect("it is brought to this version");
    assert_eq!(buffer.verify().expect("a recount"), []);
    drop(buffer);
    let after = rusqlite::Connection::open(&path).expect("the file");
    let select = "SELECT group_concat(f.form || ':' || f.visitor_rules || ':' || (s.suite IS NOT NULL))
        FROM (SELECT * FROM forms ORDER BY form) f LEFT JOIN suites s USING (form)";
    let forms: String = after.query_row(select, [], |row| row.get(0)).expect("forms");
    assert_eq!(forms, "900:2:0,901:3:0,902:4:1");

    let version_2 =
        HitForm { visitor_rules: VisitorRules::V2, ..HitForm::with_defaults(RSID.parse().expect("a suite")) };
    let version_3 = HitForm { visitor_rules: VisitorRules::V3, ..version_2.clone() };
    let quoted = event(json!({"mvpd_user_id": "=\"bob\""}));
    let plain = event(json!({"mvpd_user_id": "bob"}));
    let zero = event(json!({"mvpd_user_id": 0.0, "device_id": "d"}));
    let id = quoted.identity().id;
    assert!(sent(&quoted, id, &version_2).contains("<visitorID>pbu"));
    assert_eq!(sent(&quoted, id, &version_3), sent(&plain, id, &version_3));
    assert!(sent(&zero, id, &version_2).contains("<eVar10>0.0</eVar10>"));
    let hit = sent(&zero, id, &version_3);
    assert!(hit.contains("<visitorID>pbs") && hit.contains("<eVar10>0.0</eVar10>"), "{hit}");
    let padded = event(json!({"mvpd_user_id": "bob  "}));
    assert_ne!(
        sent(&padded, id, &version_3),
        sent(&plain, id, &version_3),
        "IDs that differ are two visitors"
    );
}

#[test]
fn words_for_nobody_make_no_user_and_each_device_is_a_visitor_of_its_own() {
    let form = HitForm::with_defaults(RSID.parse().expect("a suite"));
    let words = ["undefined", "undefined", "None", "<nil>", "(not set)", "=\"0\""];
    let visitors: BTreeSet<String> = words
        .iter()
        .enumerate()
        .map(|(device, word)| {
            let event = event(json!({"mvpd_user_id": word, "device_id": format!("d{device}")}));
            assert_eq!(mapping::mvpd_user_id(&event), None, "{word}");
            sent(&event, event.identity().id, &form)
        })
        .map(|document| document.split("<visitorID>").nth(1).expect("an ID")[..43].to_owned())
        .collect();
    assert_eq!(visitors.len(), 6);
    assert!(visitors.iter().all(|visitor| visitor.starts_with("pbs")));
}

#[test]
fn one_address_is_one_visitor_in_whatever_spelling() {
    let form = HitForm::with_defaults(RSID.parse().expect("a suite"));
    let visitors = |addresses: &[&str]| -> BTreeSet<String> {
        let one = |address: &&str| {
            let event = event(json!({"mvpd_user_id": Value::Null, "ip_address": address, "user_agent": "a"}));
            let document = sent(&event, event.identity().id, &form);
            document
                .split("<visitorID>")
                .nth(1)
                .expect("an ID")
                .split("<pageName>")
                .next()
                .expect("text")
                .to_owned()
        };
        addresses.iter().map(one).collect()
    };
    let spellings = [
        "203.0.113.9",
        "::ffff:203.0.113.9",
        "203.0.113.9:51234",
        "203.0.113.9, 198.51.100.1",
        "[::ffff:203.0.113.9]:443",
    ];
    assert_eq!(visitors(&spellings).len(), 1);
    assert_eq!(visitors(&["2001:DB8:0:0::1", "2001:db8::1", "[2001:db8::1]"]).len(), 1);
}

#[test]
fn an_address_of_many_networks_or_of_the_own_machine_joins_no_two_viewers() {
    let form = HitForm::with_defaults(RSID.parse().expect("a suite"));
    let sent = |keys: Value, id: u8| {
        let mut event = json!({"occurred_at": "2026-11-20T18:30:00Z", "event": "authn_requested", "requestor_id": "REF30"});
        event.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        let event = crate::support::event(event);
        let mapped = mapping::map(&event, EventId::from_bytes([id; 16]), &form).expect("a hit");
        (mapped.visitor, mapped.hits[0].ip_address.as_deref().map(str::to_owned))
    };
    let from = |address: &str| json!({"ip_address": address, "user_agent": "A"});
    for address in
        ["10.0.0.5", "192.168.1.9", "172.16.0.1", "169.254.0.1", "100.64.0.1", "fe80::1", "fd00::1"]
    {
        let (one, other) = (sent(from(address), 1), sent(from(address), 2));
        assert!(one.0 != other.0, "{address}");
        assert_eq!(one.1.as_deref(), Some(address));
        let public = sent(from("203.0.113.9"), 1);
        for list in
            [format!("{address}, 203.0.113.9"), format!("unknown, {address},203.0.113.9, 198.51.100.1")]
        {
            assert_eq!(sent(from(&list), 2), public, "{list}");
        }
        assert_eq!(sent(from(&format!("203.0.113.9, {address}")), 2), public, "{address}");
    }
    for address in ["127.0.0.1", "::1", "255.255.255.255", "10.0.0.5"] {
        for key in ["device_id", "session_id", "mvpd_user_id"] {
            assert!(sent(json!({key: address}), 1).0 != sent(json!({key: address}), 2).0, "{key} {address}");
        }
    }
    assert_eq!(sent(json!({"device_id": "203.0.113.9"}), 1), sent(json!({"device_id": "203.0.113.9"}), 2));
}
