//! What was promised once stays so: the hit of every event in `fixtures/events`, and the digests that are frozen for ever.
//!
//! `UPDATE_GOLDEN=1 cargo test golden` rewrites the hits. In the frozen files it only adds lines: a line of a released
//! version is never changed, or a stored event would be taken for another one and a visitor for two.

use std::collections::BTreeMap;
use std::fs;

use passbridge::event::VisitorRules;
use passbridge::hit::VisitorIdentity;
use passbridge::mapping;

use crate::fixture;

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn every_event_has_the_hits_that_stand_under_its_stem() {
    let stems = fixture::stems("events");
    for stem in &stems {
        let mut documents = fixture::documents(&fixture::event(stem), &fixture::form_of(stem));
        // One document a line: a hit has no line breaks of its own.
        documents.iter_mut().for_each(|document| document.push(b'\n'));
        let documents = String::from_utf8(documents.concat()).expect("UTF-8");
        let golden = fixture::path(&format!("hits/{stem}.xml"));
        if is_update() {
            fs::write(&golden, &documents).expect("the golden file is written");
        }
        assert_eq!(documents, fs::read_to_string(&golden).expect("a golden file"), "{stem}");
    }
    assert_eq!(stems, fixture::stems("hits"), "an event without hits, or hits without an event");
}

#[test]
fn identities_of_events_never_change() {
    assert_frozen("identities.golden", |stem| fixture::first_id(&fixture::event(stem)).to_string());
}

#[test]
fn visitors_never_change() {
    for (rules, golden) in [
        (VisitorRules::V1, "visitors.golden"),
        (VisitorRules::V2, "visitors.golden"),
        (VisitorRules::V3, "visitors.golden"),
        (VisitorRules::V4, "visitors.golden"),
    ] {
        assert_frozen(golden, |stem| {
            let (event, mut form) = (fixture::event(stem), fixture::form_of(stem));
            form.visitor_rules = rules;
            let mapped = mapping::map(&event, fixture::first_id(&event), &form).expect("hits");
            let visitor = match &mapped.hits[0].visitor {
                VisitorIdentity::VisitorId(id) => format!("visitorID {id}"),
                VisitorIdentity::Ecid { id, org_id: _ } => format!("marketingCloudVisitorID {id}"),
            };
            format!("{:016x} {visitor}", mapped.visitor.0)
        });
    }
}

/// Compares what is computed for each event with a file of lines "stem value".
fn assert_frozen(name: &str, value_of: impl Fn(&str) -> String) {
    let stems = fixture::stems("events");
    let computed: BTreeMap<String, String> =
        stems.into_iter().map(|stem| (stem.clone(), value_of(&stem))).collect();
    let file = fixture::path(name);
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut frozen: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(stem, value)| (stem.to_owned(), value.to_owned()))
        .collect();
    if is_update() {
        for (stem, value) in &computed {
            frozen.entry(stem.clone()).or_insert_with(|| value.clone());
        }
        let lines: String = frozen.iter().map(|(stem, value)| format!("{stem} {value}\n")).collect();
        fs::write(&file, lines).expect("the golden file is written");
    }
    assert_eq!(computed, frozen, "{name}: a frozen value changed, or an event has none");
}
