//! The conformance rules of a DIA client about the request and the identity in it, each by its number. Those about time,
//! events and eVars stand in `dia_rules_of_values`, those about HTTP, order and replies with the rooms that decide them.

use std::collections::{BTreeSet, HashSet};

use passbridge::encode;
use passbridge::event::{EventKind, PassEvent, Property};
use passbridge::suite::{CountForm, EventIds, HitForm, IdentityKind};
use serde_json::{Value, json};

use crate::dia_reader::{self, Request};
use crate::fixture;

/// The tags of Adobe's variable reference without those that are numbered, in lower case as case does not matter there.
const VARIABLE_REFERENCE: &str = "reportsuiteid timestamp visitorid marketingcloudvisitorid marketingcloudorgid ipaddress \
    useragent language pagename linktype linkname linkurl events customerperspective server channel analyticsvisitorid \
    fallbackvisitorid imsregion aamblob a4t useragentclienthints browserheight browserwidth campaign colordepth \
    connectiontype cookiesenabled currencycode javaenabled pagetype pageurl products purchaseid referrer resolution \
    scxmlver transactionid zip";

/// The only or first request of an event.
pub(crate) fn request(event: &PassEvent, form: &HitForm) -> Request {
    requests(event, form).swap_remove(0)
}

/// The requests of an event.
pub(crate) fn requests(event: &PassEvent, form: &HitForm) -> Vec<Request> {
    let documents = fixture::documents(event, form);
    documents.iter().map(|document| dia_reader::read(document).expect("a strict document")).collect()
}

/// The requests of every fixture in every form of a suite, but for counts that some forms refuse.
pub(crate) fn all_requests() -> impl Iterator<Item = Request> {
    fixture::stems("events").into_iter().flat_map(|stem| {
        let event = fixture::event(&stem);
        forms()
            .into_iter()
            .filter(|form| fits(form, &event))
            .flat_map(|form| requests(&event, &form))
            .collect::<Vec<_>>()
    })
}

fn forms() -> Vec<HitForm> {
    let mut forms = Vec::new();
    for identity in [IdentityKind::MvpdUserId, IdentityKind::Ecid] {
        for event_ids in [EventIds::On, EventIds::Off] {
            for count_form in [CountForm::SingleHits, CountForm::CountWithId] {
                forms.push(HitForm { identity, event_ids, count_form, ..fixture::form() });
            }
        }
    }
    forms
}

fn fits(form: &HitForm, event: &PassEvent) -> bool {
    event.count() <= 100 || form.event_ids == EventIds::Off || form.count_form == CountForm::CountWithId
}

fn visitor_id(more: Value) -> String {
    request(&fixture::authz_ok(&more), &fixture::form()).get("visitorID").expect("a visitor ID").to_owned()
}

#[test]
fn dia_05_a_document_holds_one_hit() {
    let event = fixture::authz_ok(&json!({ "count": 3 }));
    let documents = fixture::documents(&event, &fixture::form());
    assert_eq!(documents.len(), 3);
    for document in documents {
        let text = String::from_utf8(document).expect("UTF-8");
        assert_eq!(text.matches("<request>").count(), 1);
    }
}

#[test]
fn dia_06_to_10_every_document_is_flat_strict_xml() {
    let hostile = "<![CDATA[ ]]> <!DOCTYPE x> <!-- --> <?pi?> &#65; &lol; </request> \0\u{1}\u{b}\u{fffe}";
    let mut object = json!({});
    for property in &Property::ALL[1..] {
        object[property.name()] = json!(hostile);
    }
    for form in forms() {
        let request = request(&fixture::authz_ok(&object), &form);
        assert_eq!(
            request.get("eVar2"),
            Some("<![CDATA[ ]]> <!DOCTYPE x> <!-- --> <?pi?> &#65; &lol; </request>")
        );
    }
    // The reader refuses whatever the five rules forbid.
    assert!(all_requests().count() > 400);
}

#[test]
fn dia_11_only_tags_of_the_variable_reference_are_sent() {
    let sent: BTreeSet<String> =
        all_requests().chain([with_org()]).flat_map(|request| request.0).map(|(tag, _)| tag).collect();
    let evars = (1..=34).map(|number| format!("eVar{number}"));
    let listed: BTreeSet<String> = encode::TAGS.iter().map(|tag| (*tag).to_owned()).chain(evars).collect();
    assert_eq!(sent, listed);
    for tag in encode::TAGS {
        assert!(VARIABLE_REFERENCE.split(' ').any(|listed| listed == tag.to_lowercase()), "{tag}");
    }
}

fn with_org() -> Request {
    request(&fixture::event("ecid-with-org"), &fixture::form_of("ecid-with-org"))
}

#[test]
fn dia_12_a_hit_names_its_report_suite_once() {
    for request in all_requests() {
        assert_eq!(request.get("reportSuiteID"), Some("examplersid"));
    }
}

#[test]
fn dia_13_and_26_a_hit_has_one_identity() {
    for request in all_requests() {
        let identities: Vec<&str> =
            ["visitorID", "marketingCloudVisitorID", "analyticsVisitorID", "fallbackVisitorID"]
                .into_iter()
                .filter_map(|tag| request.get(tag))
                .collect();
        assert!(matches!(identities[..], [id] if !id.trim().is_empty()), "{request:?}");
    }
}

#[test]
fn dia_14_to_16_a_hit_is_a_custom_link_with_a_page_name() {
    for kind in EventKind::ALL {
        let request = request(&fixture::authz_ok(&json!({ "event": kind.name() })), &fixture::form());
        assert_eq!(request.get("linkType"), Some("o"));
        assert_eq!(request.get("linkName"), Some(kind.label()));
        assert_eq!(request.get("pageName"), Some(format!("Adobe Pass: {}", kind.label()).as_str()));
        for name in ["linkName", "pageName"] {
            assert!(request.get(name).is_some_and(|name| name.len() <= 100));
        }
    }
}

#[test]
fn dia_17_what_is_absent_sends_no_tag() {
    let minimal = request(&fixture::event("minimal"), &fixture::form());
    let numbers: Vec<u8> = minimal.evars().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 3, 9, 17]);
    for request in all_requests() {
        assert!(request.0.iter().all(|(_, value)| !value.is_empty()), "{request:?}");
    }
}

#[test]
fn dia_18_the_version_stands_first() {
    for request in all_requests() {
        assert_eq!(request.0[0], ("scXmlVer".to_owned(), "1.0".to_owned()));
    }
}

#[test]
fn dia_19_no_value_names_a_dynamic_variable() {
    for text in ["D=v10", " D=v10", "\tD=v10", "\0D=v10", "D\u{1}=v10", "\u{2003}D=User-Agent", "D=D="] {
        let mut object = json!({});
        for property in &Property::ALL[1..] {
            object[property.name()] = json!(text);
        }
        for (tag, value) in request(&fixture::authz_ok(&object), &fixture::form()).0 {
            assert!(!value.starts_with("D="), "{tag} {value}");
        }
    }
}

#[test]
fn dia_20_the_longest_hit_is_sent_whole() {
    let stem = "every-value-at-its-longest";
    let documents = fixture::documents(&fixture::event(stem), &fixture::form());
    assert!(documents[0].len() < 64 * 1024);
    let request = dia_reader::read(&documents[0]).expect("a strict document");
    assert_eq!(request.evars().len(), 34);
    assert!(request.evars()[1..].iter().all(|(_, value)| *value == "&<>".repeat(85)));
}

#[test]
fn dia_21_visitor_id_is_alphanumeric_and_short() {
    for request in all_requests() {
        let Some(id) = request.get("visitorID") else { continue };
        assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }
}

#[test]
fn dia_22_an_id_that_does_not_fit_has_one_digest() {
    let long = "0123456789".repeat(10) + "0";
    for id in [long.as_str(), "Zm9v+YmFy/w==", "a-b", "a_b", "ü", "a b", "😀", "\0x", "pbu0", "pbs0"] {
        let first = visitor_id(json!({ "mvpd_user_id": id, "mvpd": "One", "device_id": "1" }));
        let second = visitor_id(json!({ "mvpd_user_id": id, "mvpd": "Two", "event": "logout_completed" }));
        assert_eq!(first, second);
        assert!(first.starts_with("pbu") && first != id, "{first}");
    }
    for id in ["a8F3kQ0pZ2", "1", &long[..100]] {
        assert_eq!(visitor_id(json!({ "mvpd_user_id": id })), id);
    }
}

#[test]
fn dia_23_ids_that_differ_stay_apart() {
    let ids = [
        "abc",
        "Abc",
        "abc ",
        " abc",
        "abc=",
        "ab-c",
        "a-bc",
        "a_bc",
        "A-bc",
        "abc\u{301}",
        "abć",
        "\0abc",
        "0000000000",
        "00000000000",
        "null-",
        "pbu",
        "pbs",
        "PBU",
    ];
    let digests = ids.map(|id| visitor_id(json!({ "mvpd_user_id": id })));
    let again = digests.clone().map(|id| visitor_id(json!({ "mvpd_user_id": id })));
    let surrogate = visitor_id(json!({ "device_id": "abc" }));
    let all: HashSet<&String> = digests.iter().chain([&surrogate]).collect();
    assert_eq!(all.len(), ids.len() + 1);
    // The digest of one person, given as the ID of another, is yet another visitor.
    for (digest, of_digest) in digests.iter().zip(&again) {
        assert_eq!(digest == of_digest, !digest.starts_with("pbu"), "{digest}");
    }
}

#[test]
fn dia_24_placeholders_are_nobody() {
    let surrogate = visitor_id(json!({ "device_id": "dev-1" }));
    for nobody in ["0", "null", "NULL", "Null", "unknown", "Unknown", " ", " 0 ", "\tnull\n", "\u{a0}", "\0"]
    {
        let user = json!({ "mvpd_user_id": nobody, "device_id": "dev-1" });
        assert_eq!(visitor_id(user), surrogate, "{nobody:?}");
        let session = visitor_id(json!({ "session_id": "s-1" }));
        let device = json!({ "mvpd_user_id": nobody, "device_id": nobody, "session_id": "s-1" });
        assert_eq!(visitor_id(device), session, "{nobody:?}");
    }
    assert_eq!(visitor_id(json!({ "mvpd_user_id": "00" })), "00");
}

#[test]
fn dia_25_events_without_a_user_share_no_constant_id() {
    let distinct = |key: &str, same_for_all: bool| {
        let number = |number: i32| if same_for_all { 0 } else { number };
        let value = |index| match key {
            "ip_address" => format!("203.0.{}.{}", number(index) / 250, 1 + number(index) % 250),
            _ => format!("it-{}", number(index)),
        };
        let ids: HashSet<String> = (0..1000)
            .map(|index| {
                visitor_id(json!({
                    "occurred_at": 1_790_000_000 + index, "event": "authn_requested", "user_agent": "TV", key: value(index),
                }))
            })
            .collect();
        ids.len()
    };
    for key in ["device_id", "session_id", "ip_address"] {
        assert_eq!((distinct(key, false), distinct(key, true)), (1000, 1), "{key}");
    }
    // Nothing to tell them apart or together by: each event is a visitor of its own.
    assert_eq!(distinct("mvpd", true), 1000);
}

#[test]
fn dia_25_surrogates_of_one_text_differ_by_requestor_and_by_kind() {
    let ids: HashSet<String> = [
        json!({ "device_id": "x" }),
        json!({ "session_id": "x" }),
        json!({ "ip_address": "203.0.113.1", "user_agent": "x" }),
        json!({ "requestor_id": "SPORT2", "device_id": "x" }),
        json!({ "requestor_id": "SPORT1x", "device_id": "" }),
    ]
    .into_iter()
    .map(visitor_id)
    .collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn dia_27_an_ecid_is_38_digits_with_its_organisation() {
    let ecid = "20265673158980419722735089753036633573";
    let form = HitForm { identity: IdentityKind::Ecid, ..fixture::form() };
    let sent = request(&fixture::authz_ok(&json!({ "visitor_id": ecid, "mvpd_user_id": "a" })), &form);
    assert_eq!(sent.get("marketingCloudVisitorID"), Some(ecid));
    assert_eq!(sent.get("visitorID"), None);
    assert_eq!(sent.get("marketingCloudOrgID"), None);
    assert_eq!(with_org().get("marketingCloudOrgID"), Some("1234567890ABCDEF12345678@AdobeOrg"));
    let arabic = "٢".repeat(19);
    for other in [&ecid[1..], &format!("{ecid}0"), &format!("x{}", &ecid[1..]), arabic.as_str(), "unknown"] {
        let event = fixture::authz_ok(&json!({ "visitor_id": other, "mvpd_user_id": "a" }));
        let request =
            request(&event, &HitForm { org_id: fixture::form_of("ecid-with-org").org_id, ..form.clone() });
        assert_eq!(request.get("marketingCloudVisitorID"), None, "{other}");
        assert_eq!(request.get("marketingCloudOrgID"), None, "{other}");
        assert!(request.get("visitorID").is_some_and(|id| id.starts_with("pbs")), "{other}");
    }
}

#[test]
fn dia_29_evar10_keeps_the_original_user_id() {
    for id in ["a8F3kQ0pZ2", "Zm9v+YmFy/w==", "0", "null", "pbu0", "ü"] {
        let request = request(&fixture::authz_ok(&json!({ "mvpd_user_id": id })), &fixture::form());
        assert_eq!(request.get("eVar10"), Some(id));
    }
    let request = request(&fixture::authz_ok(&json!({ "mvpd_user_id": "ü".repeat(300) })), &fixture::form());
    assert_eq!(request.get("eVar10"), Some("ü".repeat(127).as_str()));
}
