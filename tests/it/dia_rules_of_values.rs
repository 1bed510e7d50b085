//! The conformance rules of a DIA client about time, events and eVars, each by its number.

use std::collections::HashSet;

use passbridge::delivery::DeadReason;
use passbridge::event::{Draft, EventError, EventKind, Instant, Property, RawValue, TimeBounds};
use passbridge::mapping::{self, Note, serial};
use passbridge::suite::{CountForm, EventIds, HitForm};
use serde_json::{Value, json};

use crate::dia_rules::{all_requests, request, requests};
use crate::fixture;

/// The eVars by their number and the properties that they report, written by hand.
const EVARS: [&str; 34] = [
    "requestor_id",
    "mvpd",
    "proxy",
    "sdk_type",
    "sdk_version",
    "resource_id",
    "authz_error_type",
    "token_type",
    "clientless_device_type",
    "mvpd_user_id",
    "device_type",
    "operating_system",
    "primary_hardware_type",
    "ttl",
    "authentication_type",
    "server_version",
    "external_auth_provider",
    "latency_ms",
    "visitor_id",
    "sso_mechanism",
    "device_model",
    "device_version",
    "device_hardware_model",
    "device_hardware_vendor",
    "device_hardware_manufacturer",
    "device_hardware_version",
    "device_os_name",
    "device_os_family",
    "device_os_vendor",
    "device_os_version",
    "device_browser_name",
    "device_browser_vendor",
    "device_browser_version",
    "normalized_clientless_device_type",
];
/// The events by their number, and their labels.
const EVENTS: [(&str, &str); 18] = [
    ("authn_requested", "AuthN requested"),
    ("authn_pending", "AuthN pending"),
    ("authn_ok", "AuthN OK"),
    ("authz_requested", "AuthZ requested"),
    ("authz_ok", "AuthZ OK"),
    ("authz_failed", "AuthZ failed"),
    ("play_requested", "Play request"),
    ("authn_failed", "AuthN Failed"),
    ("clientless_token_ok", "Clientless AuthN Token Request OK"),
    ("clientless_token_failed", "Clientless AuthN Token Request Failed"),
    ("play_failed", "Play request failed"),
    ("logout_requested", "Logout request"),
    ("logout_completed", "Logout completed"),
    ("logout_failed", "Logout failed"),
    ("preflight_requested", "Preflight request"),
    ("preflight_failed", "Preflight failed"),
    ("preflight_granted", "Preflight granted"),
    ("preflight_denied", "Preflight denied"),
];

fn evar(more: Value, number: u8) -> Option<String> {
    let request = request(&fixture::authz_ok(&more), &fixture::form());
    request.get(&format!("eVar{number}")).map(str::to_owned)
}

fn without_ids() -> HitForm {
    HitForm { event_ids: EventIds::Off, ..fixture::form() }
}

fn with_counts() -> HitForm {
    HitForm { count_form: CountForm::CountWithId, ..fixture::form() }
}

/// `event`, `count` and `id` of an `events` value.
fn parts(events: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, id) = events.split_once(':').map_or((events, None), |(rest, id)| (rest, Some(id)));
    let (event, count) = rest.split_once('=').map_or((rest, None), |(event, count)| (event, Some(count)));
    (event, count, id)
}

#[test]
fn dia_30_to_32_the_timestamp_is_the_events_own_in_whole_seconds() {
    for (occurred_at, timestamp) in [
        (json!("2026-03-15T09:00:00Z"), "1773565200"),
        (json!("2026-03-15T02:00:00.999999999-07:00"), "1773565200"),
        (json!(1_773_565_200), "1773565200"),
        (json!(1_773_565_200.75), "1773565200"),
        (json!(1_773_565_200_999_u64), "1773565200"),
        (json!("2000-01-01T00:00:00Z"), "946684800"),
    ] {
        let event = fixture::authz_ok(&json!({ "occurred_at": occurred_at }));
        for _attempt in 0..2 {
            assert_eq!(request(&event, &fixture::form()).get("timestamp"), Some(timestamp), "{occurred_at}");
        }
    }
    for request in all_requests() {
        let timestamp = request.get("timestamp").expect("a timestamp");
        assert!(timestamp.len() <= 10 && timestamp.bytes().all(|byte| byte.is_ascii_digit()), "{timestamp}");
    }
}

#[test]
fn dia_36_an_event_ahead_of_the_skew_is_refused() {
    let now = Instant::from_nanos(1_790_000_000_000_000_000);
    let latest = Instant::from_nanos(now.nanos() + 300_000_000_000);
    let finish = |occurred_at: &str| {
        let mut draft = Draft::default();
        draft.set("occurred_at", RawValue::Number(occurred_at)).expect("an instant");
        draft.set("event", RawValue::Text("authz_ok".into())).expect("a kind");
        draft.set("requestor_id", RawValue::Text("SPORT1".into())).expect("a requestor");
        draft.finish(TimeBounds { latest, now })
    };
    assert!(finish("1790000300").is_ok());
    assert!(matches!(finish("1790000300.000000001"), Err(EventError::TooLate { .. })));
}

#[test]
fn dia_37_hits_of_one_second_keep_their_timestamp() {
    let timestamps: HashSet<String> = (0..5)
        .map(|index| {
            let event =
                fixture::authz_ok(&json!({ "mvpd_user_id": "a", "event_id": format!("evt-{index}") }));
            request(&event, &fixture::form()).get("timestamp").expect("a timestamp").to_owned()
        })
        .collect();
    assert_eq!(timestamps.len(), 1);
    let split = requests(&fixture::authz_ok(&json!({ "count": 100 })), &fixture::form());
    assert!(split.iter().all(|request| request.get("timestamp") == Some("1773565200")));
}

#[test]
fn dia_38_to_40_events_is_one_event_with_at_most_one_count_and_one_id() {
    let names: HashSet<String> = (1..=18).map(|slot| format!("event{slot}")).collect();
    for request in all_requests() {
        let events = request.get("events").expect("events");
        let (event, count, id) = parts(events);
        assert!(names.contains(event), "{events}");
        if let Some(count) = count {
            assert!(
                count.parse::<u32>().is_ok_and(|number| number >= 2 && number.to_string() == count),
                "{events}"
            );
        }
        if let Some(id) = id {
            let fits = id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
            assert!(fits && (1..=20).contains(&id.len()), "{events}");
        }
    }
}

#[test]
fn dia_41_the_id_is_a_function_of_the_events_identity() {
    let serial_of = |more: Value| {
        let request = request(&fixture::authz_ok(&more), &fixture::form());
        parts(request.get("events").expect("events")).2.expect("an ID").to_owned()
    };
    assert_eq!(
        serial_of(json!({ "event_id": "1", "mvpd": "a" })),
        serial_of(json!({ "event_id": "1", "mvpd": "b" }))
    );
    let differing = [
        json!({}),
        json!({ "event_id": "1" }),
        json!({ "event_id": "2" }),
        json!({ "event_id": "1", "requestor_id": "SPORT2" }),
        json!({ "event_id": "1", "event": "authz_failed" }),
        json!({ "mvpd": "a" }),
        json!({ "occurred_at": "2026-03-15T09:00:00.001Z" }),
    ];
    let serials: HashSet<String> = differing.iter().cloned().map(serial_of).collect();
    assert_eq!(serials.len(), differing.len());
}

#[test]
fn dia_42_and_43_a_hit_has_an_id_where_the_suite_uses_them_and_only_there() {
    for count in [1, 2, 100] {
        let event = fixture::authz_ok(&json!({ "count": count }));
        for (form, has_id) in [(fixture::form(), true), (with_counts(), true), (without_ids(), false)] {
            for request in requests(&event, &form) {
                assert_eq!(parts(request.get("events").expect("events")).2.is_some(), has_id);
            }
        }
    }
}

#[test]
fn dia_44_count_and_id_go_out_as_the_suite_says() {
    let event = fixture::authz_ok(&json!({ "count": 3 }));
    let id = event.identity().id;
    let sent = |form: &HitForm| -> Vec<String> {
        let requests = requests(&event, form);
        requests.iter().map(|request| request.get("events").expect("events").to_owned()).collect()
    };
    assert_eq!(sent(&without_ids()), ["event5=3"]);
    assert_eq!(sent(&with_counts()), [format!("event5=3:{}", serial(id, 0))]);
    assert_eq!(sent(&fixture::form()), [1, 2, 3].map(|index| format!("event5:{}", serial(id, index))));
    let too_many = fixture::authz_ok(&json!({ "count": 101 }));
    let form = fixture::form();
    let refused = mapping::map(&too_many, too_many.identity().id, &form);
    assert_eq!(refused.map(|mapped| mapped.hits.len()), Err(DeadReason::CountTooLarge(101)));
}

#[test]
fn dia_44_single_hits_of_an_event_share_one_visitor() {
    for more in [json!({ "count": 5 }), json!({ "count": 5, "mvpd_user_id": "a-b" })] {
        let requests = requests(&fixture::authz_ok(&more), &fixture::form());
        let visitors: HashSet<Option<&str>> =
            requests.iter().map(|request| request.get("visitorID")).collect();
        assert_eq!((requests.len(), visitors.len()), (5, 1));
    }
}

#[test]
fn dia_45_an_evar_is_cut_at_255_bytes_between_characters_and_told() {
    for (text, kept) in [
        ("x".repeat(255), "x".repeat(255)),
        ("x".repeat(256), "x".repeat(255)),
        ("é".repeat(128), "é".repeat(127)),
        ("x".repeat(252) + "😀", "x".repeat(252)),
        ("x".repeat(251) + "😀", "x".repeat(251) + "😀"),
        ("x".repeat(254) + " y", "x".repeat(254)),
        ("&".repeat(300), "&".repeat(255)),
    ] {
        let event = fixture::authz_ok(&json!({ "mvpd_user_id": "a", "mvpd": text }));
        assert_eq!(request(&event, &fixture::form()).get("eVar2"), Some(kept.as_str()));
        let form = fixture::form();
        let mapped = mapping::map(&event, event.identity().id, &form).expect("a hit");
        let is_told = mapped.notes == [Note::ValueCut { property: Property::Mvpd, bytes: text.len() }];
        assert_eq!(is_told, text != kept);
    }
}

#[test]
fn dia_46_values_have_no_blanks_at_their_ends_and_no_control_characters() {
    let text = "\u{2029}\t a\tb\nc\u{9}\u{1b}[0m\u{7f}\u{85}d\u{a0}\r\n";
    assert_eq!(evar(json!({ "mvpd": text }), 2).as_deref(), Some("a b c [0m  d"));
    for request in all_requests() {
        for (tag, value) in request.0 {
            assert!(value.trim() == value && !value.chars().any(char::is_control), "{tag} {value:?}");
        }
    }
}

#[test]
fn dia_47_evars_and_events_follow_the_fixed_table() {
    let mut object = json!({});
    for name in EVARS {
        object[name] = json!(format!("value of {name}"));
    }
    let event = fixture::authz_ok(&object);
    let request_of_all = request(&event, &fixture::form());
    let values = EVARS.map(|name| format!("value of {name}"));
    let expected: Vec<(u8, &str)> = (1..).zip(values.iter().map(String::as_str)).collect();
    assert_eq!(request_of_all.evars(), expected);
    for (slot, (name, label)) in (1..).zip(EVENTS) {
        let request = request(&fixture::authz_ok(&json!({ "event": name })), &without_ids());
        assert_eq!(request.get("events"), Some(format!("event{slot}").as_str()));
        assert_eq!(request.get("linkName"), Some(label));
    }
}

#[test]
fn dia_47_the_documented_defaults_stand_in_for_absent_properties() {
    for kind in EventKind::ALL {
        let name = kind.name();
        let normal = ["authn_pending", "authn_ok", "authz_ok", "play_requested", "preflight_granted"];
        assert_eq!(
            evar(json!({ "event": name }), 8).as_deref(),
            normal.contains(&name).then_some("normal"),
            "{name}"
        );
        let is_clientless = name.starts_with("clientless_token");
        let device_type = if is_clientless { "Unknown" } else { "N/A" };
        assert_eq!(evar(json!({ "event": name }), 9).as_deref(), Some(device_type), "{name}");
        assert_eq!(evar(json!({ "event": name, "sdk_type": "Clientless" }), 9).as_deref(), Some("Unknown"));
        assert_eq!(
            evar(json!({ "event": name, "clientless_device_type": "roku" }), 9).as_deref(),
            Some("roku")
        );
        assert_eq!(evar(json!({ "event": name }), 3).as_deref(), Some("Direct"));
        assert_eq!(evar(json!({ "event": name, "proxy": "\t" }), 3).as_deref(), Some("Direct"));
        assert_eq!(evar(json!({ "event": name }), 17).as_deref(), Some("N/A"));
    }
}

#[test]
fn dia_47_an_mrss_resource_is_reported_by_its_item_title() {
    let mrss =
        "<rss><channel><title>TNT</title><item><title>The Closer &amp; Co</title></item></channel></rss>";
    for before in ["", "\u{feff}", " \n", "<?xml version=\"1.0\"?>\n", "\u{feff}<?xml version=\"1.0\"?>"] {
        let title = evar(json!({ "resource_id": format!("{before}{mrss}") }), 6);
        assert_eq!(title.as_deref(), Some("The Closer & Co"), "{before:?}");
    }
    for plain in ["TNT", "<rss><channel></rss>", "<rss><item><title>&own;</title></item></rss>", "<rssy/>"] {
        assert_eq!(evar(json!({ "resource_id": plain }), 6).as_deref(), Some(plain));
    }
}
