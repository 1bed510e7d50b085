//! Reads the tags of a request's body, and finds the rules of the published grammar that the body breaks. The
//! code that writes bodies is not used here. A wrong body is read as far as Adobe's parser would read it.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::rules::{Finding, Rule};
use super::tags::{Document, Tag, TagKind};

/// How every document must begin (Data Insertion API, "Troubleshooting").
pub(super) const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

pub(super) fn read(body: &[u8]) -> Document<'_> {
    let mut reading = Reading::default();
    let Ok(text) = str::from_utf8(body) else {
        reading.find(Rule::Declaration, "the body is not UTF-8");
        reading.document.is_malformed = true;
        return reading.document;
    };
    if !text.starts_with(DECLARATION) {
        reading.find(Rule::Declaration, format!("the body begins {:?}", text.get(..48).unwrap_or(text)));
    }
    if has_illegal_character(text) {
        reading.malformed("it has a character that XML 1.0 cannot carry");
    }
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut is_first = true;
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return reading.end(),
            Ok(event) => reading.event(event, is_first),
            Err(error) => {
                if matches!(error, Error::IllFormed(IllFormedError::UnclosedReference)) {
                    reading.find(Rule::Entities, "a bare & stands in text");
                }
                reading.malformed(&error.to_string());
                return reading.document;
            }
        }
        is_first = false;
    }
}

#[derive(Debug, Default)]
struct Reading<'b> {
    document: Document<'b>,
    /// The tag that is open directly in the root.
    open: Option<Open<'b>>,
    depth: u32,
    roots: u32,
}

#[derive(Debug, Default)]
struct Open<'b> {
    name: String,
    value: Cow<'b, str>,
    /// Whether the value is complete: text after a child does not count (Data Insertion API, "Build a request").
    is_settled: bool,
}

impl<'b> Reading<'b> {
    fn find(&mut self, rule: Rule, detail: impl Into<String>) {
        self.document.findings.push(Finding::new(rule, detail));
    }

    fn malformed(&mut self, why: &str) {
        self.document.is_malformed = true;
        self.find(Rule::WellFormed, why);
    }

    fn event(&mut self, event: Event<'b>, is_first: bool) {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(start) => {
                self.start(&start);
                self.close();
            }
            Event::End(_) => self.close(),
            Event::Text(text) => {
                if text.contains('>') {
                    self.find(Rule::Entities, "a bare > stands in text");
                }
                if text.contains("]]>") {
                    self.malformed("]]> stands in text");
                }
                self.text(text.into_inner());
            }
            Event::CData(text) => {
                self.find(Rule::PlainXml, "a CDATA section");
                self.text(text.into_inner());
            }
            Event::GeneralRef(reference) => self.reference(&reference),
            Event::Comment(_) => self.find(Rule::PlainXml, "a comment"),
            Event::PI(_) => self.find(Rule::PlainXml, "a processing instruction"),
            Event::DocType(_) => self.find(Rule::PlainXml, "a DOCTYPE"),
            Event::Decl(_) if is_first => {}
            Event::Decl(_) => self.malformed("an XML declaration that is not at the beginning"),
            Event::Eof => {}
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) {
        let name = start.name();
        let name: &str = name.as_ref();
        if !is_xml_name(name) {
            self.malformed(&format!("{name:?} is no name"));
        }
        if name.contains(':') {
            self.find(Rule::PlainXml, format!("<{name}> has a namespace"));
        }
        self.attributes(name, start);
        match (self.depth, &mut self.open) {
            (0, _) => self.root(name),
            (1, _) => self.open = Some(Open { name: name.to_owned(), ..Open::default() }),
            (_, Some(open)) => {
                open.is_settled = true;
                let detail = format!("<{name}> stands in <{}>", open.name);
                self.find(Rule::FlatTags, detail);
            }
            (_, None) => {}
        }
        self.depth += 1;
    }

    fn root(&mut self, name: &str) {
        self.roots += 1;
        if self.roots > 1 {
            self.find(Rule::OneHit, format!("<{name}> is a second root"));
            self.malformed("it has two roots");
        }
        if name != "request" {
            self.find(Rule::FlatTags, format!("the root is <{name}>"));
        }
        if !name.eq_ignore_ascii_case("request") {
            self.document.is_malformed = true;
        }
    }

    fn attributes(&mut self, name: &str, start: &BytesStart<'_>) {
        for attribute in start.attributes() {
            match attribute {
                Ok(attribute) => {
                    let key: &str = attribute.key.as_ref();
                    let rule = if key.starts_with("xmlns") { Rule::PlainXml } else { Rule::FlatTags };
                    self.find(rule, format!("<{name}> has the attribute {key:?}"));
                }
                Err(error) => self.malformed(&error.to_string()),
            }
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 1 {
            return;
        }
        if let Some(open) = self.open.take() {
            self.document.tags.push(Tag {
                kind: TagKind::of(&open.name),
                name: Cow::Owned(open.name),
                value: open.value,
            });
        }
    }

    fn text(&mut self, text: Cow<'b, str>) {
        match &mut self.open {
            Some(open) if !open.is_settled => open.value += text,
            Some(_) => {}
            None if text.trim().is_empty() => {}
            None if self.depth == 0 => self.malformed("text outside the root"),
            None => self.find(Rule::FlatTags, "text stands directly in <request>"),
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) {
        let name: &str = reference;
        if reference.is_char_ref() {
            self.find(Rule::PlainXml, format!("the numeric reference &{name};"));
            match reference.resolve_char_ref() {
                Ok(Some(character)) => self.text(Cow::Owned(character.to_string())),
                Ok(None) | Err(_) => self.malformed(&format!("&{name}; is no character")),
            }
            return;
        }
        // Adobe supports the five entities of XML (Data Insertion API, "Build a request").
        match resolve_xml_entity(name) {
            Some(character) => self.text(Cow::Borrowed(character)),
            None => {
                self.find(Rule::Entities, format!("the entity &{name};"));
                self.malformed(&format!("&{name}; is not defined"));
            }
        }
    }

    fn end(mut self) -> Document<'b> {
        if self.depth > 0 {
            self.malformed("it ends inside an element");
        } else if self.roots == 0 {
            self.malformed("it has no root");
        }
        self.document
    }
}

/// Whether a text is a name of XML 1.0. Only ASCII is checked exactly, because Adobe's tags are ASCII.
fn is_xml_name(name: &str) -> bool {
    let is_start = |letter: char| letter.is_alphabetic() || matches!(letter, '_' | ':');
    name.starts_with(is_start)
        && name
            .chars()
            .all(|letter| is_start(letter) || letter.is_numeric() || matches!(letter, '-' | '.' | '·'))
}

fn has_illegal_character(text: &str) -> bool {
    text.contains(|letter| matches!(letter, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(inner: &str) -> String {
        format!("{DECLARATION}<request>{inner}</request>")
    }

    #[test]
    fn the_entities_of_a_plain_document_are_resolved() {
        let body =
            document("<eVar2>a &amp; b &lt;c&gt; &quot;d&quot; &apos;</eVar2>\n<events>event1</events>");
        let Document { tags, findings, .. } = read(body.as_bytes());
        assert_eq!(findings, []);
        assert_eq!(tags[0].kind, TagKind::Evar(2));
        assert_eq!(tags[0].value, "a & b <c> \"d\" '");
        assert_eq!((tags[1].name.as_ref(), tags[1].value.as_ref()), ("events", "event1"));
    }

    #[test]
    fn whatever_is_not_plain_is_found() {
        for inner in [
            "<eVar1>&nbsp;</eVar1>",
            "<eVar1>&#65;</eVar1>",
            "<eVar1>a & b</eVar1>",
            "<eVar1>a > b</eVar1>",
            "<eVar1 a=\"b\">x</eVar1>",
            "<eVar1><b/></eVar1>",
            "<eVar1>\u{1}</eVar1>",
            "<eVar1>\u{ffff}</eVar1>",
            "<eVar1>x</eVar2>",
            "<!-- c -->",
            "<eVar1><![CDATA[x]]></eVar1>",
            "text",
            "<eVar1>x",
        ] {
            assert_ne!(read(document(inner).as_bytes()).findings, [], "{inner}");
        }
        assert_ne!(read(b"<request></request>").findings, []);
    }

    fn codes(document: &Document<'_>) -> Vec<&'static str> {
        document.findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    #[test]
    fn each_broken_rule_of_the_grammar_has_its_name() {
        let inside = |inner: &str| format!("{DECLARATION}<request>{inner}</request>");
        for (body, broken, is_malformed) in [
            ("<request></request>".to_owned(), vec!["DIA-06"], false),
            ("<?xml version=1.0 encoding=UTF-8?><request></request>".to_owned(), vec!["DIA-06"], false),
            (format!("\u{feff}{DECLARATION}<request></request>"), vec!["DIA-06"], false),
            (format!(" {DECLARATION}<request></request>"), vec!["DIA-06", "DIA-10"], true),
            (format!("{DECLARATION}<REQUEST></REQUEST>"), vec!["DIA-07"], false),
            (format!("{DECLARATION}<hit></hit>"), vec!["DIA-07"], true),
            (format!("{DECLARATION}<request/><request/>"), vec!["DIA-05", "DIA-10"], true),
            (format!("{DECLARATION}<request>"), vec!["DIA-10"], true),
            (format!("{DECLARATION}<request></request>x"), vec!["DIA-10"], true),
            (DECLARATION.to_owned(), vec!["DIA-10"], true),
            (inside("<eVar1>a<b>c</b></eVar1>"), vec!["DIA-07"], false),
            (inside("<eVar1 a='b'>c</eVar1>"), vec!["DIA-07"], false),
            (inside("<eVar1 xmlns='b'>c</eVar1>"), vec!["DIA-09"], false),
            (inside("<x:eVar1>c</x:eVar1>"), vec!["DIA-09"], false),
            (inside("loose"), vec!["DIA-07"], false),
            (inside("<eVar1>a > b</eVar1>"), vec!["DIA-08"], false),
            (inside("<eVar1>&nbsp;</eVar1>"), vec!["DIA-08", "DIA-10"], true),
            (inside("<eVar1>a & b</eVar1>"), vec!["DIA-08", "DIA-10"], true),
            (inside("<eVar1>&#65;</eVar1>"), vec!["DIA-09"], false),
            (inside("<eVar1>&#0;</eVar1>"), vec!["DIA-09", "DIA-10"], true),
            (inside("<eVar1><![CDATA[a]]></eVar1>"), vec!["DIA-09"], false),
            (inside("<!-- a -->"), vec!["DIA-09"], false),
            (inside("<?a b?>"), vec!["DIA-09"], false),
            (format!("{DECLARATION}<!DOCTYPE request><request></request>"), vec!["DIA-09"], false),
            (inside("<eVar1>\u{1}</eVar1>"), vec!["DIA-10"], true),
            (inside("<eVar1>a</eVar2>"), vec!["DIA-10"], true),
            (inside("<1>a</1>"), vec!["DIA-10"], true),
            (inside("<eVar1/>"), vec![], false),
        ] {
            let document = read(body.as_bytes());
            assert_eq!((codes(&document), document.is_malformed), (broken, is_malformed), "{body}");
        }
        let latin1 = read(b"<?xml version=\"1.0\"?><request>\xe9</request>");
        assert_eq!((codes(&latin1), latin1.is_malformed), (vec!["DIA-06"], true));
    }

    #[test]
    fn a_plain_document_breaks_no_rule_wherever_it_has_blanks() {
        let body = format!(
            "{DECLARATION}\n<request>\n<eVar2>a &amp; b &lt;&gt;&quot;&apos; é</eVar2><events> event1 </events>\
             <pageName></pageName></request>\n"
        );
        let document = read(body.as_bytes());
        assert_eq!((codes(&document), document.is_malformed), (vec![], false));
        let values: Vec<&str> = document.tags.iter().map(|tag| tag.value.as_ref()).collect();
        assert_eq!(values, ["a & b <>\"' é", " event1 ", ""]);
    }

    #[test]
    fn the_first_text_of_mixed_content_counts() {
        let body = format!("{DECLARATION}<request><eVar1>a<b>c</b>d</eVar1><eVar2>e</eVar2></request>");
        let document = read(body.as_bytes());
        assert_eq!(document.evars().collect::<Vec<_>>(), [(1, "a"), (2, "e")]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_that_was_escaped_is_given_back(values in proptest::collection::vec("\\PC{0,40}", 0..5)) {
            let escaped = values.iter().map(|value| {
                value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
            });
            let tags: String = escaped.map(|value| format!("<eVar1>{value}</eVar1>")).collect();
            let body = format!("{DECLARATION}<request>{tags}</request>");
            let document = read(body.as_bytes());
            let read_back: Vec<&str> = document.evars().map(|(_, value)| value).collect();
            proptest::prop_assert_eq!(read_back, values);
            proptest::prop_assert!(document.findings.is_empty());
        }

        #[test]
        fn no_body_is_too_odd_to_be_read(body in "(<|>|&|;|/|!|\\?|\\[|\\]|-|#|x|request|eVar1|=|'|\"| |\u{1}|é){0,40}") {
            let document = read(body.as_bytes());
            proptest::prop_assert!(document.is_malformed || body.contains("<request"));
        }
    }
}
