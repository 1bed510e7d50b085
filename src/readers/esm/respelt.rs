//! Names that differ in nothing but capitals, white space, accents, Unicode form, or an `&` that is written `&amp;`: most
//! likely one name. A count has its names in its identity, so the same count under another spelling would be counted again.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::kept::{NO_SECRET, ROW_PREFIX, SPELLED};
use super::record::{Count, Grouping};
use super::report::Record;
use super::time::{Pass, local_time};
use crate::event::{Instant, RequestorId, is_invisible};
use crate::harmless::clip;
use crate::readers::memory::{Keyring, MemoryKey, MemoryResult, Recollection};

/// The most spellings of a name, and the longest one in bytes, that are remembered.
const SPELLINGS_MAX: usize = 8;
const SPELLING_BYTES_MAX: usize = 1_000;
/// The most names whose spellings are held at a time: each takes some hundred bytes.
const HELD_MAX: usize = 5_000;
/// The most other spellings of a record that are looked up.
const TRIED_MAX: usize = 64;

/// A text without what two spellings of one name may differ in.
pub(super) fn folded(text: &str) -> String {
    let mut text = text.replace("&amp;", "&");
    // Nearly all names are of ASCII, where nothing is to be taken apart.
    if text.is_ascii() {
        text.retain(|letter| letter.is_ascii_graphic());
        text.make_ascii_lowercase();
        return text;
    }
    let is_shown = |letter: &char| !letter.is_whitespace() && !letter.is_control() && !is_invisible(*letter);
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter) && is_shown(letter));
    letters.flat_map(char::to_lowercase).collect()
}

/// What two records of one hour differ in, if that is spelling alone: the name of a dimension, and both its values.
pub(super) struct Respelt {
    pub(super) name: String,
    pub(super) here: String,
    pub(super) there: String,
}

/// The records of a report that differ from others of their hour in spelling alone.
#[derive(Default)]
pub(super) struct Twins {
    cells: HashSet<u64>,
    pub(super) count: u64,
    /// The numbers of the first of them and of the record that it is like, and what they differ in.
    pub(super) first: Option<(u64, u64, Respelt)>,
}

impl Twins {
    pub(super) fn has(&self, grouping: &Grouping, record: &Record, pass: Pass) -> bool {
        !self.cells.is_empty()
            && cell_of(grouping, record, pass).is_some_and(|cell| self.cells.contains(&cell))
    }
}

impl Grouping {
    pub(super) fn twins(&self, records: &[Record], passes: &[Pass]) -> Twins {
        let mut twins = Twins::default();
        let (mut spelled, mut names, mut is_clear) = (HashSet::new(), HashSet::new(), true);
        for record in records {
            for (place, name) in self.dimensions().enumerate() {
                let text = record.field(name).unwrap_or_default();
                if spelled.insert(digest_of(&(place, text))) {
                    is_clear &= names.insert(digest_of(&(place, folded(text))));
                }
            }
        }
        if is_clear {
            return twins;
        }
        let mut firsts: HashMap<u64, usize> = HashMap::new();
        for (index, record) in
            records.iter().enumerate().filter(|(index, _)| passes[*index] != Pass::Repeated)
        {
            let Some(cell) = cell_of(self, record, passes[index]) else { continue };
            let first = &records[*firsts.entry(cell).or_insert(index)];
            let value = |record: &Record, name: &str| record.field(name).unwrap_or_default().to_owned();
            let differs = |name: &&str| value(record, name) != value(first, name);
            let Some(name) = self.dimensions().find(differs) else { continue };
            twins.cells.insert(cell);
            twins.count += 1;
            let (here, there) = (value(record, name), value(first, name));
            let respelt = Respelt { name: name.to_owned(), here: clip(&here), there: clip(&there) };
            twins.first.get_or_insert((record.number, first.number, respelt));
        }
        twins
    }
}

pub(super) fn digest_of(value: &impl Hash) -> u64 {
    let mut digest = DefaultHasher::new();
    value.hash(&mut digest);
    digest.finish()
}

/// A digest of a record's hour and names, equal for all spellings of the names. A time that cannot be read is refused elsewhere.
fn cell_of(grouping: &Grouping, record: &Record, pass: Pass) -> Option<u64> {
    let mut digest = DefaultHasher::new();
    let local = local_time(record).ok()?;
    (local, record.field("utc-offset"), pass == Pass::Second).hash(&mut digest);
    grouping.dimensions().for_each(|name| folded(record.field(name).unwrap_or_default()).hash(&mut digest));
    Some(digest.finish())
}

/// The spellings of names that were counted, as the rows `esm spelled LIST` have them.
#[derive(Default)]
pub(super) struct Spellings {
    folded: HashMap<String, Rc<str>>,
    /// By a digest of the dimension and the folded name.
    known: HashMap<u64, Rc<[String]>>,
}

impl Spellings {
    /// [`folded`], which is slow, is called once for each name.
    pub(super) fn folded(&mut self, text: &str) -> Rc<str> {
        if let Some(known) = self.folded.get(text) {
            return Rc::clone(known);
        }
        if self.folded.len() >= HELD_MAX {
            self.folded.clear();
        }
        let folded: Rc<str> = folded(text).into();
        self.folded.insert(text.to_owned(), Rc::clone(&folded));
        folded
    }

    /// All spellings of a name that were counted, in the order of their first count.
    fn of(&mut self, name: &str, text: &str, memory: &mut Recollection) -> MemoryResult<Rc<[String]>> {
        let folded = self.folded(text);
        let place = digest_of(&(name, &folded));
        if let Some(known) = self.known.get(&place) {
            return Ok(Rc::clone(known));
        }
        let row = memory.recall_of_esm(key_of(name, &folded))?;
        let list = row.as_deref().and_then(|row| row.strip_prefix(ROW_PREFIX)?.strip_prefix(SPELLED));
        let known: Vec<String> = list.map_or(Ok(Vec::new()), serde_json::from_str)?;
        if self.known.len() >= HELD_MAX {
            self.known.clear();
        }
        Ok(Rc::clone(self.known.entry(place).or_insert(known.into())))
    }

    /// Remembers how the names of a counted record are spelled.
    pub(super) fn remember(
        &mut self,
        count: &Count,
        drops_at: Instant,
        memory: &mut Recollection,
    ) -> MemoryResult<()> {
        for (name, text) in count.dimensions.iter().filter(|(_, text)| text.len() <= SPELLING_BYTES_MAX) {
            let known = self.of(name, text, memory)?;
            if !known.contains(text) && known.len() < SPELLINGS_MAX {
                let known: Vec<String> = known.iter().chain([text]).cloned().collect();
                let list = serde_json::to_string(&known).expect("texts always serialise");
                let folded = self.folded(text);
                memory.remember(
                    key_of(name, &folded),
                    drops_at,
                    Some(format!("{ROW_PREFIX}{SPELLED} {list}")),
                );
                self.known.insert(digest_of(&(name.as_str(), &folded)), known.into());
            }
        }
        Ok(())
    }

    /// Looks for counts that differ from this one in spelling alone. Of the first for which `units` returns more than 0,
    /// returns a name that is spelled in another way, and these units.
    pub(super) fn counted_as(
        &mut self,
        count: &Count,
        memory: &mut Recollection,
        units: impl Fn(&Count, &mut Recollection) -> MemoryResult<u64>,
    ) -> MemoryResult<Option<(Respelt, u64)>> {
        let mut is_new = true;
        for (name, text) in count.dimensions.iter() {
            is_new &= self.of(name, text, memory)?.iter().all(|other| other == text);
        }
        if is_new {
            return Ok(None);
        }
        let mut tried = vec![count.clone()];
        for (name, text) in count.dimensions.iter() {
            let (known, before) = (self.of(name, text, memory)?, tried.len());
            for other in known.iter().filter(|other| *other != text) {
                for index in 0..before.min(TRIED_MAX - before.min(TRIED_MAX)) {
                    let mut like = tried[index].clone();
                    Rc::make_mut(&mut like.dimensions).insert(name.clone(), other.clone());
                    if name == "requestor-id" {
                        let Ok(requestor_id) = RequestorId::of_source(other) else { continue };
                        like.requestor_id = requestor_id;
                    }
                    tried.push(like);
                }
            }
        }
        for other in &tried[1..] {
            let counted = units(other, memory)?;
            let differs = |((name, here), there): ((&String, &String), &String)| {
                (here != there).then(|| Respelt { name: name.clone(), here: clip(here), there: clip(there) })
            };
            let respelt = count.dimensions.iter().zip(other.dimensions.values()).find_map(differs);
            if let Some(respelt) = respelt.filter(|_| counted > 0) {
                return Ok(Some((respelt, counted)));
            }
        }
        Ok(None)
    }
}

/// The key of the row with the spellings of a name.
fn key_of(name: &str, folded: &str) -> MemoryKey {
    Keyring::new(NO_SECRET).derived(SPELLED, &[name.as_bytes(), folded.as_bytes()])
}
