//! Bulk rows carry what the DIA hits of the same events carry, whatever the events contain (BDIA-02 to BDIA-15).

use std::collections::HashSet;

use passbridge::event::PassEvent;
use passbridge::suite::{CountForm, HitForm};

use crate::{dia_reader, fixture};

/// Stands for an agent that is not known.
const AGENT: &str = "passbridge/1 (none, \"unknown\")";

/// Reads a file as strictly as RFC 4180 is written, with none of the encoder's code.
fn read(file: &[u8]) -> Vec<Vec<String>> {
    let text = str::from_utf8(file).expect("UTF-8");
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                assert!(cell.is_empty(), "a quote inside a cell that does not begin with one");
                loop {
                    match letters.next().expect("a quote that is closed") {
                        '"' if letters.peek() == Some(&'"') => {
                            letters.next();
                            cell.push('"');
                        }
                        '"' => break,
                        inside => cell.push(inside),
                    }
                }
                assert!(matches!(letters.peek(), Some(',' | '\n')), "text behind a closing quote");
            }
            ',' => row.push(std::mem::take(&mut cell)),
            '\n' => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => {
                assert_ne!(other, '\r', "a line that ends otherwise than the others");
                cell.push(other);
            }
        }
    }
    assert!(row.is_empty() && cell.is_empty(), "a last line without its end");
    rows
}

/// Compares the rows of an event with its documents.
pub(crate) fn assert_rows_agree(event: &PassEvent, form: &HitForm) {
    let file = fixture::bulk_file(event, form, AGENT);
    assert_eq!(file, fixture::bulk_file(event, form, AGENT), "the same events give the same bytes");
    let mut rows = read(&file);
    let header = rows.remove(0);
    let names: HashSet<String> = header.iter().map(|name| name.to_ascii_lowercase()).collect();
    assert_eq!(names.len(), header.len(), "a column stands twice");
    let documents = fixture::documents(event, form);
    assert_eq!(rows.len(), documents.len());
    for (row, document) in rows.iter().zip(&documents) {
        assert_eq!(row.len(), header.len());
        let mut cells: Vec<(String, String)> =
            header.iter().cloned().zip(row.iter().cloned()).filter(|(_, value)| !value.is_empty()).collect();
        // What a document may lack and a row may not, and what only a document has.
        let agent = cells.iter().position(|(name, _)| name == "userAgent").expect("an agent");
        let tags: Vec<(String, String)> = dia_reader::read(document)
            .expect("a strict document")
            .0
            .into_iter()
            .filter(|(name, _)| !matches!(name.as_str(), "scXmlVer" | "marketingCloudOrgID"))
            .collect();
        if !tags.iter().any(|(name, _)| name == "userAgent") {
            assert_eq!(cells.remove(agent).1, AGENT);
        }
        assert_eq!(cells, tags);
    }
}

#[test]
fn the_events_of_the_demo_go_out_the_same_by_both_routes() {
    // One of them counts a million, which is no number of single hits.
    let form = HitForm { count_form: CountForm::CountWithId, ..fixture::form() };
    for stem in fixture::stems("events") {
        assert_rows_agree(&fixture::event(&stem), &form);
    }
}

#[test]
fn quotes_commas_and_agents_round_trip() {
    let event = fixture::authz_ok(&serde_json::json!({
        "resource_id": "a \"b\", c", "mvpd": "\"", "proxy": ",,", "user_agent": "Box/3 (\"x\", y)", "count": 3,
    }));
    assert_rows_agree(&event, &fixture::form());
    let text = String::from_utf8(fixture::bulk_file(&event, &fixture::form(), AGENT)).expect("UTF-8");
    assert!(text.contains("\"a \"\"b\"\", c\"") && text.contains("\"Box/3 (\"\"x\"\", y)\""), "{text}");
}
