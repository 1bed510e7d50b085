//! Reads a DIA document as strictly as DIA-06 to DIA-10 are written, with none of the encoder's code: anything that a
//! careful parser could stumble over is an error.

use std::collections::HashSet;

const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
const ENTITIES: [(&str, char); 5] =
    [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];

/// The tags of one hit, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request(pub(crate) Vec<(String, String)>);

impl Request {
    /// The value of a tag.
    pub(crate) fn get(&self, tag: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == tag).map(|(_, value)| value.as_str())
    }

    /// The names of its tags.
    pub(crate) fn tags(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The eVars, with their numbers.
    pub(crate) fn evars(&self) -> Vec<(u8, &str)> {
        let number = |name: &str| name.strip_prefix("eVar")?.parse().ok();
        self.0.iter().filter_map(|(name, value)| Some((number(name)?, value.as_str()))).collect()
    }
}

/// Reads one document.
pub(crate) fn read(document: &[u8]) -> Result<Request, String> {
    let text = str::from_utf8(document).map_err(|error| error.to_string())?;
    if let Some(letter) = text.chars().find(|letter| !is_xml_char(*letter)) {
        return Err(format!("{letter:?} is no character of XML 1.0"));
    }
    let rest = text.strip_prefix(DECLARATION).ok_or("no declaration")?;
    let mut rest = rest.strip_prefix("<request>").ok_or("no root")?;
    let mut tags = Vec::new();
    let mut names = HashSet::new();
    while rest != "</request>" {
        let (name, after) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or("no tag")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("<{name}> is no plain tag"));
        }
        let (value, after) = after.split_once(&format!("</{name}>")).ok_or("a tag is not closed")?;
        if !names.insert(name) {
            return Err(format!("<{name}> stands twice"));
        }
        tags.push((name.to_owned(), unescape(value)?));
        rest = after;
    }
    Ok(Request(tags))
}

/// The production `Char` of XML 1.0.
fn is_xml_char(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '<' | '>' => return Err(format!("{letter} stands bare in {value:?}")),
            '&' => {
                let (entity, letter) = ENTITIES
                    .iter()
                    .find(|(entity, _)| rest.starts_with(entity))
                    .ok_or_else(|| format!("an entity that Adobe does not know in {value:?}"))?;
                text.push(*letter);
                entity.len()
            }
            letter => {
                text.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(text)
}

#[test]
fn the_reader_refuses_what_a_careful_parser_could_stumble_over() {
    let document = |inside: &str| format!("{DECLARATION}<request>{inside}</request>");
    let fine = read(document("<a>1 &lt;&amp;&gt;&quot;&apos;</a><b>2</b>").as_bytes()).expect("a document");
    assert_eq!(fine.get("a"), Some("1 <&>\"'"));
    for inside in [
        "<a>1</a><a>2</a>",
        "<a><b>1</b></a>",
        "<a>&#65;</a>",
        "<a>&lol;</a>",
        "<a>]]></a>",
        "<a><![CDATA[1]]></a>",
        "<a><!-- --></a>",
        "<a x=\"1\">1</a>",
        "<a/>",
        "<a>1</b>",
        "<a>1",
        "text",
        " <a>1</a>",
        "<a>\u{1}</a>",
        "<a>\u{fffe}</a>",
        "</request><request>",
    ] {
        assert!(read(document(inside).as_bytes()).is_err(), "{inside}");
    }
    for whole in ["", "<request></request>", &format!(" {}", document("")), &format!("{} ", document(""))] {
        assert!(read(whole.as_bytes()).is_err(), "{whole}");
    }
}
