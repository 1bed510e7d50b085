//! Whatever an event contains, its hits are whole: well-formed, with exactly the tags that it calls for, and with the values
//! that an independent reading of the rules expects.

use passbridge::event::{EventKind, PassEvent, Property, RequestorId, VisitorRules};
use passbridge::suite::{CountForm, EventIds, HitForm, IdentityKind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

use crate::{bulk_rows, dia_reader, fixture};

/// What breaks parsers, reports and people.
const FRAGMENTS: [&str; 44] = [
    "\0",
    "\u{1}",
    "\u{8}",
    "\t",
    "\n",
    "\u{b}",
    "\u{c}",
    "\r",
    "\u{1b}[2J",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{9f}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}",
    "\u{200f}",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10ffff}",
    "]]>",
    "<![CDATA[",
    "<!DOCTYPE x [",
    "<!--",
    "<?xml version=\"1.0\"?>",
    "</request>",
    "<eVar1>x</eVar1>",
    "</eVar1>",
    "&amp;",
    "&#0;",
    "&lol;",
    "&",
    "\"",
    "'",
    "D=",
    " ",
    "é",
    "👩\u{200d}👩\u{200d}👧",
    "null",
    "0",
    "a8F3kQ0pZ2",
];

fn hostile_text() -> impl Strategy<Value = String> {
    let fragments = || vec(select(&FRAGMENTS[..]), 0..6).prop_map(|parts| parts.concat());
    prop_oneof![
        3 => fragments(),
        2 => any::<String>(),
        // The limit of an eVar falls inside of one of the fragments.
        2 => (fragments(), 235..260_usize, fragments())
            .prop_map(|(start, filling, end)| format!("{start}{}{end}", "x".repeat(filling))),
        1 => "[0-9A-Za-z]{1,110}",
        1 => "[0-9]{37,39}",
    ]
}

fn hostile_event() -> impl Strategy<Value = PassEvent> {
    let texts = vec(proptest::option::of(hostile_text()), Property::COUNT - 1);
    (texts, hostile_text(), select(EventKind::ALL.to_vec()), 1..=100_u32).prop_map(
        |(texts, requestor, kind, count)| {
            let mut object = json!({
                "occurred_at": 1_790_000_000, "event": kind.name(), "count": count, "requestor_id": accepted(&requestor),
            });
            for (property, text) in Property::ALL.iter().skip(1).zip(texts) {
                object[property.name()] = text.map_or(Value::Null, Value::String);
            }
            fixture::event_of(&object)
        },
    )
}

/// A requestor ID that a source is let in with: no control characters, no white space at its ends, 255 bytes at most, and
/// nothing that stands for none.
fn accepted(text: &str) -> String {
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(60).collect();
    RequestorId::of_source(text.trim()).map_or("SPORT1".to_owned(), |known| known.to_string())
}

fn any_form() -> impl Strategy<Value = HitForm> {
    (any::<[bool; 4]>()).prop_map(|[ecid, org, ids_off, with_id]| HitForm {
        identity: if ecid { IdentityKind::Ecid } else { IdentityKind::MvpdUserId },
        org_id: org.then(|| "1234567890ABCDEF12345678@AdobeOrg".parse().expect("an organisation")),
        event_ids: if ids_off { EventIds::Off } else { EventIds::On },
        count_form: if with_id { CountForm::CountWithId } else { CountForm::SingleHits },
        ..fixture::form()
    })
}

/// The rules for a value, written without a look at the code: letter by letter, from the ends.
fn expected_value(text: &str, bytes_max: usize) -> Option<String> {
    let mut letters: std::collections::VecDeque<char> = text
        .chars()
        .filter(|letter| match u32::from(*letter) {
            0x9 | 0xa | 0xd => true,
            code => code >= 0x20 && code != 0xfffe && code != 0xffff,
        })
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    while letters.front().is_some_and(|letter| letter.is_whitespace()) {
        letters.pop_front();
    }
    let has_blank_end = |letters: &std::collections::VecDeque<char>| {
        letters.back().is_some_and(|letter| letter.is_whitespace())
    };
    while has_blank_end(&letters) {
        letters.pop_back();
    }
    if letters.len() >= 2 && letters[0] == 'D' && letters[1] == '=' {
        letters.insert(1, ' ');
    }
    let mut bytes: usize = letters.iter().map(|letter| letter.len_utf8()).sum();
    while bytes > bytes_max {
        bytes -= letters.pop_back().map_or(0, char::len_utf8);
    }
    while has_blank_end(&letters) {
        letters.pop_back();
    }
    (!letters.is_empty()).then(|| letters.into_iter().collect())
}

fn expected_default(event: &PassEvent, name: &str) -> Option<&'static str> {
    let slot = event.kind().slot();
    let sdk = event.property(Property::SdkType).unwrap_or_default();
    match name {
        "proxy" => Some("Direct"),
        "external_auth_provider" => Some("N/A"),
        "token_type" => [2, 3, 5, 7, 17].contains(&slot).then_some("normal"),
        "clientless_device_type" if sdk == "Clientless" || slot == 9 || slot == 10 => Some("Unknown"),
        "clientless_device_type" => Some("N/A"),
        _ => None,
    }
}

/// The tags that are not eVars, and the eVars with their values, in the order of the document.
fn expected_tags(event: &PassEvent, form: &HitForm) -> (Vec<&'static str>, Vec<(u8, String)>) {
    let known = |property| VisitorRules::default().known(event.property(property)?);
    let ecid = known(Property::VisitorId).unwrap_or_default();
    let is_ecid = ecid.len() == 38 && ecid.bytes().all(|byte| byte.is_ascii_digit());
    let is_sent_as_ecid = form.identity == IdentityKind::Ecid && is_ecid;
    let address = event.property(Property::IpAddress).unwrap_or_default().trim();
    let shown = |property| VisitorRules::default().shown(property, event.property(property)?);
    let agent = shown(Property::UserAgent).and_then(|agent| expected_value(agent, 1_000));
    let tags = [
        ("scXmlVer", true),
        ("reportSuiteID", true),
        ("timestamp", true),
        ("visitorID", !is_sent_as_ecid),
        ("marketingCloudVisitorID", is_sent_as_ecid),
        ("marketingCloudOrgID", is_sent_as_ecid && form.org_id.is_some()),
        ("ipAddress", address.parse::<std::net::IpAddr>().is_ok()),
        ("userAgent", agent.is_some()),
        ("pageName", true),
        ("linkType", true),
        ("linkName", true),
        ("events", true),
    ];
    let tags = tags.into_iter().filter_map(|(tag, is_sent)| is_sent.then_some(tag)).collect();
    let evars = (1..)
        .zip(Property::reported())
        .filter_map(|(number, property)| {
            // What a spreadsheet puts around an identifier has tests of its own.
            let own = shown(*property).and_then(|text| expected_value(text, 255));
            let value = own.or_else(|| expected_default(event, property.name()).map(str::to_owned))?;
            Some((number, value))
        })
        .collect();
    (tags, evars)
}

/// What a parser that knows nothing of DIA reads: each tag below the root, and its text.
fn read_with_a_parser(document: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(str::from_utf8(document).expect("UTF-8"));
    reader.config_mut().enable_all_checks(true);
    let mut tags: Vec<(String, String)> = Vec::new();
    let mut depth = 0;
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(tag) => {
                depth += 1;
                if depth > 1 {
                    tags.push((tag.name().as_ref().to_owned(), String::new()));
                }
            }
            Event::End(_) => depth -= 1,
            Event::Text(text) => tags.last_mut().expect("a tag").1.push_str(&text),
            Event::GeneralRef(entity) => {
                let letter = quick_xml::escape::resolve_xml_entity(&entity).expect("one of the five");
                tags.last_mut().expect("a tag").1.push_str(letter);
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("{other:?} in a document"),
        }
    }
    assert_eq!(depth, 0);
    tags
}

fn assert_hits_are_whole(event: &PassEvent, form: &HitForm) {
    let (tags, evars) = expected_tags(event, form);
    let documents = fixture::documents(event, form);
    bulk_rows::assert_rows_agree(event, form);
    let is_split = form.event_ids == EventIds::On && form.count_form == CountForm::SingleHits;
    assert_eq!(documents.len(), if is_split { event.count() as usize } else { 1 });
    for document in [&documents[0], &documents[documents.len() - 1]] {
        let request = dia_reader::read(document).expect("a strict document");
        assert_eq!(request.0, read_with_a_parser(document));
        let plain: Vec<&str> = request.tags().into_iter().filter(|tag| !tag.starts_with("eVar")).collect();
        assert_eq!(plain, tags);
        let sent: Vec<(u8, String)> =
            request.evars().into_iter().map(|(number, value)| (number, value.to_owned())).collect();
        assert_eq!(sent, evars);
        assert!(request.0.iter().all(|(_, value)| !value.is_empty() && value.trim() == value));
        assert!(document.len() < 64 * 1024);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_breaks_its_hits(event in hostile_event(), form in any_form()) {
        assert_hits_are_whole(&event, &form);
    }

    #[test]
    fn no_resource_id_breaks_its_hit(start in hostile_text(), title in hostile_text(), end in hostile_text()) {
        let resource = format!("{start}<rss><channel><item><title>{title}</title></item></channel></rss>{end}");
        for resource in [&resource[start.len()..], resource.as_str()] {
            let event = fixture::authz_ok(&json!({ "resource_id": resource }));
            let documents = fixture::documents(&event, &fixture::form());
            let request = dia_reader::read(&documents[0]).expect("a strict document");
            prop_assert!(request.get("eVar6").expect("a resource").len() <= 255);
        }
    }
}

#[test]
fn every_character_alone_is_carried_or_left_out() {
    let letters = (0..=0x2100).chain(0xd7f0..=0xe010).chain(0xfdc0..=0x10010).chain(0x10fff0..=0x10ffff);
    let letters: Vec<char> = letters.filter_map(char::from_u32).collect();
    for letters in letters.chunks(30) {
        let mut object = json!({});
        for (letter, property) in letters.iter().zip(&Property::reported()[1..]) {
            object[property.name()] = Value::String(format!("a{letter}b{letter}"));
        }
        assert_hits_are_whole(&fixture::authz_ok(&object), &fixture::form());
    }
}

#[test]
fn values_of_a_megabyte_are_cut() {
    for filling in ["x", " ", "\0\n", "😀", "D=&"] {
        let text = filling.repeat((1 << 20) / filling.len());
        let mut object = json!({ "user_agent": text, "device_id": text });
        for property in ["mvpd", "mvpd_user_id"] {
            object[property] = Value::String(text.clone());
        }
        assert_hits_are_whole(&fixture::authz_ok(&object), &fixture::form());
    }
}
