//! Reads a workbook: the parts of the archive by its central directory, cells and shared texts as XML.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;
use quick_xml::Reader;
use quick_xml::events::Event;

/// A workbook's parts by their name.
pub(crate) struct Workbook {
    parts: BTreeMap<String, String>,
}

impl Workbook {
    pub(crate) fn read(bytes: &[u8]) -> Workbook {
        Workbook { parts: unpacked(bytes) }
    }

    /// The names of its tabs in their order.
    pub(crate) fn tabs(&self) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.parts["xl/workbook.xml"], |event| {
            if let Event::Empty(tag) = event
                && tag.name().as_ref() == "sheet"
            {
                let name = tag.try_get_attribute("name").expect("attributes").expect("a name");
                names.push(name.value.into_owned());
            }
        });
        names
    }

    /// The XML of a tab.
    pub(crate) fn part(&self, tab: &str) -> String {
        let number = self.tabs().iter().position(|name| name == tab).expect("the tab") + 1;
        self.parts[&format!("xl/worksheets/sheet{number}.xml")].replace("&quot;", "\"").replace("&apos;", "'")
    }

    /// The texts of a row, numbered from 1 as a person sees it, without the blank cells at its end.
    pub(crate) fn rows(&self, tab: &str, number: usize) -> Vec<String> {
        let number_of_tab = self.tabs().iter().position(|name| name == tab).expect("the tab") + 1;
        let shared = texts(&self.parts["xl/sharedStrings.xml"], "si");
        let sheet = &self.parts[&format!("xl/worksheets/sheet{number_of_tab}.xml")];
        let Some((_, row)) = sheet.split_once(&format!("<row r=\"{number}\"")) else { return Vec::new() };
        let (row, _) = row.split_once("</row>").expect("the end of the row");
        let cells = row.split("<c ").skip(1).filter_map(|cell| {
            let (_, value) = cell.split_once("<v>")?;
            let (value, _) = value.split_once("</v>")?;
            let is_shared = cell.split('>').next()?.contains("t=\"s\"");
            Some(if is_shared {
                shared[value.parse::<usize>().expect("an index")].clone()
            } else {
                value.to_owned()
            })
        });
        cells.collect()
    }
}

/// The text inside each element of this name.
fn texts(xml: &str, name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    walk(xml, |event| match event {
        Event::Start(tag) if tag.name().as_ref() == name => found.push(String::new()),
        Event::Text(text) => {
            if let Some(last) = found.last_mut() {
                last.push_str(text);
            }
        }
        Event::GeneralRef(entity) => {
            if let Some(last) = found.last_mut() {
                last.push_str(quick_xml::escape::resolve_predefined_entity(entity).expect("a known entity"));
            }
        }
        _ => {}
    });
    found
}

fn walk(xml: &str, mut see: impl FnMut(&Event)) {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Eof => return,
            event => see(&event),
        }
    }
}

/// The files of a ZIP archive, found by its central directory.
fn unpacked(bytes: &[u8]) -> BTreeMap<String, String> {
    let two = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let four = |at: usize| two(at) + (two(at + 2) << 16);
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").expect("the end of the directory");
    let (count, mut at) = (two(end + 10), four(end + 16));
    let mut parts = BTreeMap::new();
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (method, packed, name_bytes, local) = (two(at + 10), four(at + 20), two(at + 28), four(at + 42));
        let name = std::str::from_utf8(&bytes[at + 46..at + 46 + name_bytes]).expect("UTF-8").to_owned();
        let start = local + 30 + two(local + 26) + two(local + 28);
        let data = &bytes[start..start + packed];
        let mut text = String::new();
        match method {
            0 => text.push_str(std::str::from_utf8(data).expect("UTF-8")),
            _ => {
                DeflateDecoder::new(data).read_to_string(&mut text).expect("deflated UTF-8");
            }
        }
        parts.insert(name, text);
        at += 46 + name_bytes + two(at + 30) + two(at + 32);
    }
    parts
}
