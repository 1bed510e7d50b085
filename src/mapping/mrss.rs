//! Finds the item title in a resource ID that is an MRSS document.
//!
//! An MVPD that authorizes single programmes gets an MRSS document as its resource: an `<item>` in the
//! `<channel>` of `<rss>` has the programme's `<title>`. The documents come from the network: entities that
//! they declare are never expanded, nothing recurses, and the cost depends only on the document's length.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Plain,
    /// An MRSS document with an item title, which may be blank.
    Mrss {
        /// The title with its references resolved.
        title: String,
    },
    /// A text that begins like an MRSS document, but is not well-formed or has no item title.
    BrokenMrss,
}

pub(super) fn read(resource: &str) -> Resource {
    match root(resource) {
        None => Resource::Plain,
        Some(document) => item_title(document).map_or(Resource::BrokenMrss, |title| Resource::Mrss { title }),
    }
}

/// The text from `<rss` on. Only a byte order mark, white space and an XML declaration may come before it.
fn root(resource: &str) -> Option<&str> {
    let blank = |letter: char| letter == '\u{feff}' || letter.is_whitespace();
    let mut text = resource.trim_start_matches(blank);
    if text.starts_with("<?xml") {
        text = text.split_once("?>")?.1.trim_start_matches(blank);
    }
    let name_ends = |letter: char| letter == '>' || letter == '/' || letter.is_whitespace();
    text.strip_prefix("<rss")?.starts_with(name_ends).then_some(text)
}

/// The title of the first item that has one; `None` unless the whole document is well-formed.
fn item_title(document: &str) -> Option<String> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().check_comments = true;
    let mut place = Place::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => place.enter(&tag)?,
            Event::End(_) => place.leave(),
            Event::Text(text) => place.read(&text.xml10_content())?,
            Event::CData(text) => place.read(&text.xml10_content())?,
            Event::GeneralRef(reference) => place.read(&resolved(&reference)?)?,
            Event::Comment(_) | Event::PI(_) => {}
            // A DOCTYPE may declare entities, and a declaration begins a second document.
            Event::DocType(_) | Event::Decl(_) => return None,
            // `Empty` cannot occur, as empty elements are expanded.
            Event::Empty(_) => return None,
            Event::Eof => return (place.depth == 0).then_some(place.title).flatten(),
        }
    }
}

/// The text of a reference; `None` unless it is numeric or one of the five entities that XML itself declares.
fn resolved<'a>(reference: &'a BytesRef<'_>) -> Option<Cow<'a, str>> {
    match reference.resolve_char_ref().ok()? {
        Some(character) => Some(Cow::Owned(character.to_string())),
        None => resolve_xml_entity(reference).map(Cow::Borrowed),
    }
}

/// The place of the reader in the document, and the title found so far.
#[derive(Default)]
struct Place {
    depth: usize,
    is_past_root: bool,
    /// The depth inside the open item, if an item is open.
    item: Option<usize>,
    /// The depth inside the open item's title, if that title is open.
    title_open: Option<usize>,
    title: Option<String>,
}

impl Place {
    /// `None` if the document is broken at this tag.
    fn enter(&mut self, tag: &BytesStart<'_>) -> Option<()> {
        if self.is_past_root || tag.attributes().with_checks(false).any(|attribute| attribute.is_err()) {
            return None;
        }
        match tag.name().as_ref() {
            "title" if self.item == Some(self.depth) && self.title.is_none() => {
                self.title_open = Some(self.depth + 1);
                self.title = Some(String::new());
            }
            "item" if self.item.is_none() => self.item = Some(self.depth + 1),
            _ => {}
        }
        self.depth += 1;
        Some(())
    }

    fn leave(&mut self) {
        for open in [&mut self.item, &mut self.title_open] {
            if *open == Some(self.depth) {
                *open = None;
            }
        }
        self.depth -= 1;
        self.is_past_root = self.depth == 0;
    }

    /// `None` if there is text outside the root element.
    fn read(&mut self, text: &str) -> Option<()> {
        if self.depth == 0 {
            return text.trim().is_empty().then_some(());
        }
        if let (Some(_), Some(title)) = (self.title_open, &mut self.title) {
            title.push_str(text);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> Resource {
        Resource::Mrss { title: text.to_owned() }
    }

    #[test]
    fn the_item_title_is_found_behind_whatever_stands_before_the_root() {
        let document = "<rss version=\"2.0\" xmlns:media=\"http://search.yahoo.com/mrss/\"><channel><title>TNT</title>\
                        <item><media:title>no</media:title><title>The Closer</title></item></channel></rss>";
        for before in
            ["", "\u{feff}", " \r\n\t", "\u{feff}<?xml version=\"1.0\"?>\n", " <?xml version='1.0'?>"]
        {
            assert_eq!(read(&format!("{before}{document}\n")), title("The Closer"), "{before:?}");
        }
    }

    #[test]
    fn references_cdata_and_comments_are_read_as_xml_reads_them() {
        for (inside, read_as) in [
            ("Tom &amp; Jerry &lt;3", "Tom & Jerry <3"),
            ("&#77;&#x4d;", "MM"),
            ("<![CDATA[A <b> & c]]> d", "A <b> & c d"),
            ("be<!-- no -->fore", "before"),
            ("a<i>b</i>c", "abc"),
            ("\u{1}", "\u{1}"),
            ("", ""),
        ] {
            assert_eq!(read(&format!("<rss><item><title>{inside}</title></item></rss>")), title(read_as));
        }
    }

    #[test]
    fn the_first_title_of_an_item_wins() {
        let items =
            "<item><guid/></item><item><x><title>deep</title></x><title>A</title><title>B</title></item>";
        assert_eq!(read(&format!("<rss><channel>{items}</channel></rss>")), title("A"));
        assert_eq!(read("<rss><channel><item><title/></item></channel></rss>"), title(""));
    }

    #[test]
    fn what_is_not_well_formed_is_broken() {
        for document in [
            "<rss",
            "<rss>",
            "<rss/>",
            "<rss></rss>",
            "<rss><channel><title>TNT</title></channel></rss>",
            "<rss><item><title>A",
            "<rss><item><title>A</title></item>",
            "<rss><item><title>A</title></item></rss></rss>",
            "<rss><item><title>A</title></item></rss>x",
            "<rss><item><title>A</title></item></rss><rss/>",
            "<rss><item><title>A</item></title></rss>",
            "<rss><item><title>A & B</title></item></rss>",
            "<rss><item><title>&own;</title></item></rss>",
            "<rss><item><title>&#xD800;</title></item></rss>",
            "<rss><item><title><![CDATA[A</title></item></rss>",
            "<rss version=2><item><title>A</title></item></rss>",
            "<rss><!DOCTYPE rss [<!ENTITY a \"aa\">]><item><title>A</title></item></rss>",
            "<rss><?xml version=\"1.0\"?><item><title>A</title></item></rss>",
        ] {
            let expected = if document == "<rss" { Resource::Plain } else { Resource::BrokenMrss };
            assert_eq!(read(document), expected, "{document}");
        }
    }

    #[test]
    fn what_does_not_begin_as_mrss_is_plain() {
        for text in [
            "TNT",
            "",
            "TNT <rss><item><title>A</title></item></rss>",
            "<rssfeed><item><title>A</title></item></rssfeed>",
            "<RSS><item><title>A</title></item></RSS>",
            "<!-- --><rss><item><title>A</title></item></rss>",
            "<?xml <rss>",
        ] {
            assert_eq!(read(text), Resource::Plain, "{text}");
        }
    }

    #[test]
    fn bombs_are_harmless() {
        let entities = "<?xml version=\"1.0\"?><!DOCTYPE rss [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                        <rss><item><title>&b;</title></item></rss>";
        assert_eq!(read(entities), Resource::Plain);
        let deep = "<x>".repeat(100_000);
        assert_eq!(read(&format!("<rss>{deep}")), Resource::BrokenMrss);
        let closed = "</x>".repeat(100_000);
        let nested = format!("<rss><item><title>A</title></item>{deep}{closed}</rss>");
        assert_eq!(read(&nested), title("A"));
        let attributes: String = (0..100_000).map(|number| format!(" a{number}='x'")).collect();
        assert_eq!(read(&format!("<rss{attributes}><item><title>A</title></item></rss>")), title("A"));
        let long = "x".repeat(1 << 20);
        assert_eq!(read(&format!("<rss><item><title>{long}</title></item></rss>")), title(&long));
    }
}
