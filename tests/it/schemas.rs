//! The published schema of an event and the code that reads events say the same.

use passbridge::event::{EventKind, Instant, Property, TimeBounds};
use passbridge::readers::ndjson::LineParser;
use proptest::prelude::*;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../schemas/pass-event.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).expect("a schema")
}

/// Whether the reader makes an event of a line, and else why not.
fn read(line: &str) -> Result<(), String> {
    let now = Instant::from_nanos(1_795_200_000_000_000_000);
    let bounds = TimeBounds { latest: now, now };
    let line = LineParser::default().parse_alone(1, line.as_bytes(), bounds);
    line.result.map(drop).map_err(|reason| reason.to_string())
}

/// A valid event with one key changed; `null` leaves it to its default.
fn with(key: &str, value: &str) -> String {
    let mut keys = vec![
        ("occurred_at", "\"2026-11-10T08:00:00Z\""),
        ("event", "\"authn_ok\""),
        ("requestor_id", "\"HarborNews\""),
    ];
    keys.retain(|(name, _)| *name != key);
    keys.push((key, value));
    let keys: Vec<String> = keys.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", keys.join(","))
}

#[test]
fn the_schema_names_the_keys_and_kinds_of_the_table() {
    let schema = schema();
    let properties = schema["properties"].as_object().expect("properties");
    let mut expected = vec!["occurred_at", "event", "event_id", "count"];
    expected.extend(Property::ALL.map(Property::name));
    let mut named: Vec<&str> = properties.keys().map(String::as_str).collect();
    expected.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, expected);

    for property in Property::ALL {
        let entry = &properties[property.name()];
        assert_eq!(entry["title"], property.label());
        let description = entry["description"].as_str().expect("every key is described");
        let evar = property.evar().map(|evar| format!("Reported as eVar{evar} ({}).", property.label()));
        match evar {
            Some(evar) => assert!(description.ends_with(&evar), "{description}"),
            None => assert!(!description.contains("Reported as eVar"), "{description}"),
        }
    }
    let kinds: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::name).collect();
    assert_eq!(properties["event"]["enum"], json!(kinds));
    let description = properties["event"]["description"].as_str().expect("described");
    for kind in EventKind::ALL {
        let sentence = format!("{} is event{} ({}).", kind.name(), kind.slot(), kind.label());
        assert!(description.contains(&sentence), "{sentence}");
    }
}

/// A key, values with which a line is an event, values with which it is none.
const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "occurred_at",
        &[
            "\"2026-11-10T08:00:00+01:00\"",
            "\"2026-11-10t08:00:00.5z\"",
            "\"2026-11-10 08:00:60Z\"",
            "\"2026-11-10T08:00:00.1234567890000Z\"",
            "\"2026-11-10T08:00:00\u{2212}08:00\"",
            "1790000000",
            "1790000000000",
            "946684800",
            "946684800000.5",
            "\"2026-11-10 08:00:00 UTC\"",
            "\"2026-11-10T08:00:00,5 gmt\"",
            "\"2026-11-10T08:00:00+0100\"",
            "\"2026-11-10 08:00:00-08\"",
            "\"2026-11-10T08:00Z\"",
            "\"1790000000\"",
            "\"1790000000000.25\"",
            "\"946684800\"",
            "\"946684800000\"",
            "\"1.790000000e9\"",
        ],
        &[
            "null",
            "\"\"",
            "true",
            "[]",
            "\"2026-11-10\"",
            "\"2026-11-10T08:00:00\"",
            "\"2026-13-10T08:00:00Z\"",
            "\"2026-11-10T24:00:00Z\"",
            "\"2026-11-10T08:00:00.Z\"",
            "\"2026-11-10T08:00:00 CET\"",
            "\"2026-11-10T08:00:00+1\"",
            "\"2026-11-10T08:00:00.0000000001Z\"",
            "\" 2026-11-10T08:00:00Z\"",
            "\"+2026-11-10T08:00:00Z\"",
            "\"1998-11-10T08:00:00Z\"",
            "\"946684799\"",
            "\"946684799999\"",
            "\"1790000000000000\"",
            "1790000000000000",
            "\"1.79e9\"",
            "0",
            "-1",
            "946684799",
            "100000000000",
            "946684799999",
        ],
    ),
    ("event", &["\"preflight_denied\""], &["null", "\"\"", "1", "\"AuthN OK\"", "\"authn_ok \"", "{}"]),
    (
        "requestor_id",
        &["\"a b\"", "\"é\"", "7", "true", "\"x\"", "\"(a)\"", "\"Err:5\""],
        &[
            "null",
            "0",
            "false",
            "\"[NULL]\"",
            "\"()\"",
            "\"xx-X\"",
            "\"**\"",
            "\"<redacted>\"",
            "\"#N/D\"",
            "\"Err:502\"",
            "\"\"",
            "\" a\"",
            "\"a\\u00a0\"",
            "\"a\\nb\"",
            "\"\\u0085\"",
            "[]",
            "\"Null\"",
            "\"0\"",
            "\"(not set)\"",
            "\"a\\u200bb\"",
            "\"#N/A\"",
            "\"=\\\"a\\\"\"",
            "\"'0012\"",
            "\"1E+11\"",
        ],
    ),
    (
        "event_id",
        &["null", "\"\"", "\"é\"", "12", "\"0\"", "\"3e45\"", "\"#a\"", "\"'t\""],
        &["true", "{}", "\"1.23457E+11\"", "\" #REF! \"", "\"=\\\"12\\\"\"", "\"'12\""],
    ),
    (
        "count",
        &["null", "\"\"", "1", "1000000", "2.0", "\"2\"", "\"01000000.0\""],
        &["0", "-1", "1000001", "1.5", "\"1000001\"", "\"+2\"", "\"0\"", "\"2 \"", "true"],
    ),
    ("mvpd", &["null", "\"\"", "\"a\\u0000\"", "1e300", "false"], &["{}", "[]", "[null]"]),
    ("user_agent", &["\"x\"", "1"], &["{}"]),
    ("zone", &["null", "{}", "[[1]]", "\"x\""], &[]),
];

fn assert_both_say(validator: &jsonschema::Validator, line: &str, is_event: bool) {
    let read = read(line);
    assert_eq!(read.is_ok(), is_event, "the reader: {line}: {read:?}");
    let json = serde_json::from_str(line).expect("JSON");
    assert_eq!(validator.is_valid(&json), is_event, "the schema: {line}");
}

#[test]
fn the_schema_and_the_reader_agree_on_a_table_of_lines() {
    let validator = validator();
    for (key, valid, invalid) in CASES {
        valid.iter().for_each(|value| assert_both_say(&validator, &with(key, value), true));
        invalid.iter().for_each(|value| assert_both_say(&validator, &with(key, value), false));
    }
    for (key, longest) in [("requestor_id", 255), ("event_id", 128)] {
        let text = |length: usize| format!("\"{}\"", "y".repeat(length));
        assert_both_say(&validator, &with(key, &text(longest)), true);
        assert_both_say(&validator, &with(key, &text(longest + 1)), false);
    }
    for line in ["[]", "\"text\"", "1", "null", "{}"] {
        assert_both_say(&validator, line, false);
    }
}

/// All that the reader refuses and JSON Schema cannot: each with the reason it has none for.
#[test]
fn what_the_schema_cannot_say_is_known() {
    let validator = validator();
    for (line, why, expected) in [
        (with("occurred_at", "\"2026-02-30T08:00:00Z\""), "the calendar", "no RFC 3339 instant"),
        (
            with("occurred_at", "\"1999-11-10T08:00:00Z\""),
            "an instant across offsets",
            "before the year 2000",
        ),
        (with("occurred_at", "\"2027-11-10T08:00:00Z\""), "the time of day", "ahead of this host's clock"),
        (with("occurred_at", "1790000000.1234567891"), "digits of a number", "finer than a nanosecond"),
        (with("occurred_at", "1.79e9"), "how a number is written", "too few digits"),
        (with("count", "2e0"), "how a number is written", "must be a whole number"),
        (with("event_id", &"1".repeat(129)), "digits of a number", "1 to 128 characters"),
        (with("requestor_id", &format!("\"{}\"", "é".repeat(128))), "bytes", "1 to 255 bytes"),
        (with("mvpd", "1,\"mvpd\":2"), "a key that stands twice", "given twice"),
    ] {
        let reason = read(&line).expect_err(why);
        assert!(reason.contains(expected), "{why}: {reason}");
        let json = serde_json::from_str(&line).expect("JSON");
        assert!(validator.is_valid(&json), "the schema can say {why} after all: {line}");
    }
}

#[test]
fn every_event_of_the_fixtures_is_valid() {
    let validator = validator();
    for text in [
        include_str!("../../fixtures/ndjson/basic.ndjson"),
        include_str!("../../fixtures/ndjson/overlapping-first.ndjson"),
        include_str!("../../fixtures/ndjson/overlapping-second.ndjson"),
        include_str!("../../fixtures/ndjson/conflicting.ndjson"),
        include_str!("../../fixtures/demo/ref30.ndjson"),
    ] {
        for line in text.lines() {
            validator.validate(&serde_json::from_str(line).expect("JSON")).expect(line);
            read(line).expect(line);
        }
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u32..2_000_000).prop_map(Value::from),
        "\\PC{0,3}|[ -~]{0,300}|\\s?[a-z]{0,5}\\s?".prop_map(Value::from),
        Just(json!([])),
        Just(json!({"mvpd": "x"})),
    ]
}

fn instant() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => "20(0[0-9]|1[0-9]|2[0-5])-(0[1-9]|1[0-2])-([01][1-8]|2[0-8])T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,9})?(Z|[+-][01][0-9]:[0-5][0-9])?"
            .prop_map(Value::from),
        // Above the clock of the test there is only what the schema cannot say.
        3 => (-1_000_000_000_i64..1_795_000_000).prop_map(Value::from),
        2 => (100_000_000_000_i64..1_795_000_000_000).prop_map(Value::from),
        2 => scalar().prop_filter("no number: it may be ahead of the clock", |value| !value.is_number()),
    ]
}

fn line() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![4 => (0usize..18).prop_map(|index| Value::from(EventKind::ALL[index].name())), 1 => scalar()];
    let requestor = prop_oneof![3 => "[a-zA-Z0-9 ]{1,20}".prop_map(Value::from), 1 => scalar()];
    let key = (0usize..Property::COUNT).prop_map(|index| Property::ALL[index].name().to_owned());
    let key = prop_oneof![6 => key, 1 => Just("event_id".to_owned()), 1 => Just("count".to_owned()), 1 => "[a-z]{1,8}"];
    let others = proptest::collection::hash_map(key, scalar(), 0..4);
    let required =
        (proptest::option::weighted(0.9, instant()), proptest::option::weighted(0.9, kind), requestor);
    (required, others).prop_map(|((occurred_at, kind, requestor_id), others)| {
        let mut event = serde_json::Map::from_iter(others);
        event.insert("requestor_id".to_owned(), requestor_id);
        event.extend(occurred_at.map(|value| ("occurred_at".to_owned(), value)));
        event.extend(kind.map(|value| ("event".to_owned(), value)));
        Value::Object(event)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_and_the_reader_agree_on_any_line(event in line()) {
        thread_local!(static VALIDATOR: jsonschema::Validator = validator());
        let line = event.to_string();
        let read = read(&line);
        let is_valid = VALIDATOR.with(|validator| validator.is_valid(&event));
        prop_assert_eq!(read.is_ok(), is_valid, "{}: {:?}", line, read);
    }
}
