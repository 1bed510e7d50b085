//! What a reader knows of the lines of earlier runs: a login may begin in one file and end in the next.
//!
//! Rows are found by keyed digests, so that codes and devices never lie in them in clear. A reader asks what is stored, and
//! lays its own changes over that; whoever runs it stores them together with the events of the same lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::esm::StatedAccounts;
use crate::event::Instant;
use crate::word::words;

/// Rows kept in memory alone before those whose time is over are looked for.
const SWEEP_ROWS: usize = 100_000;

/// Changes after which they must be stored, though no event came: bounds memory in a log of polls.
const CHANGES_MAX: usize = 20_000;

/// Marks of one half; with a new half the older one is forgotten. As many as fit into 2^20 places of a set, so that both halves
/// take 20 MiB at the most, whatever is read.
const MARKS_MAX: usize = 900_000;

/// The key of a row: a keyed digest of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryKey(pub [u8; 16]);

impl MemoryKey {
    pub fn hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    fn start_of(digest: &[u8]) -> MemoryKey {
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        MemoryKey(key)
    }
}

/// A row that is to be set or, without a body, forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRow {
    pub key: MemoryKey,
    /// From when on nobody asks for it.
    pub drops_at: Instant,
    pub body: Option<String>,
}

/// Why what is stored cannot be read.
pub type MemoryError = Box<dyn Error + Send + Sync>;

/// What is stored of earlier runs; the buffer keeps it, on a floor above.
pub trait Memory: Send {
    /// The body of a row.
    fn recall(&mut self, key: MemoryKey) -> Result<Option<String>, MemoryError>;

    /// How a requestor's events come in, once any did; that never changes.
    fn feed(&mut self, requestor_id: &str) -> Result<Option<Feed>, MemoryError>;
}

words! {
    /// How a requestor's events come in. The two count the same things, so a requestor has one of them.
    #[derive(Default)]
    pub enum Feed {
        #[default]
        Events = "events",
        /// As the sums of ESM.
        Esm = "esm",
    }
}

/// Digests what must not be kept in clear. One secret per deployment makes them useless elsewhere.
#[derive(Clone)]
pub struct Keyring(Hmac<Sha256>);

impl Keyring {
    /// A keyring with this secret.
    pub fn new(secret: &[u8]) -> Keyring {
        Keyring(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The digest of parts that hold a keyed digest already, so that nothing is gained by keying it again: a third of the work.
    pub fn derived(&self, name: &str, parts: &[&[u8]]) -> MemoryKey {
        let mut hash = Sha256::new();
        feed_parts(name, parts, |bytes| hash.update(bytes));
        MemoryKey::start_of(&hash.finalize())
    }

    /// The keyed digest of some parts under a name; parts cannot run into each other.
    pub fn digest(&self, name: &str, parts: &[&[u8]]) -> MemoryKey {
        let mut mac = self.0.clone();
        feed_parts(name, parts, |bytes| mac.update(bytes));
        MemoryKey::start_of(&mac.finalize().into_bytes())
    }
}

/// The length of each part goes before it.
fn feed_parts(name: &str, parts: &[&[u8]], mut update: impl FnMut(&[u8])) {
    update(name.as_bytes());
    for part in parts {
        update(&(part.len() as u64).to_be_bytes());
        update(part);
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keyring")
    }
}

/// What is stored, with the changes of this run over it.
pub struct Recollection {
    /// `None` where nothing is ever stored.
    stored: Option<Box<dyn Memory>>,
    rows: HashMap<MemoryKey, Row>,
    /// Where nothing is ever stored: rows that hold nothing, which are most rows by far, by the start of their keys. First the
    /// newer ones.
    marks: [HashSet<u64>; 2],
    /// The feeds that are known.
    feeds: HashMap<String, Feed>,
    /// Where nothing is ever stored: the totals of ESM by the start of their keys. A report has millions of them, and a tree
    /// never holds them twice while it grows.
    totals: BTreeMap<u64, u64>,
    /// What changed since it was last taken, in order of the first change.
    changed: Vec<MemoryKey>,
    /// What ESM stated since it was last taken.
    stated: Vec<StatedAccounts>,
    generation: u32,
    latest: Instant,
    sweep_at: usize,
}

struct Row {
    drops_at: Instant,
    body: Option<String>,
    /// When it was last taken to be stored; `None` while it waits for that.
    taken: Option<u32>,
}

impl std::fmt::Debug for Recollection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Recollection").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Recollection {
    /// Over what is stored; `None` where nothing is, nor ever will be.
    pub fn new(stored: Option<Box<dyn Memory>>) -> Recollection {
        let latest = Instant::from_nanos(i64::MIN / 2);
        Recollection {
            stored,
            rows: HashMap::new(),
            marks: Default::default(),
            feeds: HashMap::new(),
            totals: BTreeMap::new(),
            changed: Vec::new(),
            stated: Vec::new(),
            generation: 0,
            latest,
            sweep_at: SWEEP_ROWS,
        }
    }

    pub fn recall(&mut self, key: MemoryKey) -> Result<Option<String>, MemoryError> {
        match (self.rows.get(&key), &mut self.stored) {
            (Some(row), _) => Ok(row.body.clone()),
            (None, Some(stored)) => stored.recall(key),
            (None, None) => {
                let mark = start_of(key);
                Ok(self.marks.iter().any(|marks| marks.contains(&mark)).then(String::new))
            }
        }
    }

    /// How a requestor's events come in, once any did.
    pub fn feed(&mut self, requestor_id: &str) -> Result<Option<Feed>, MemoryError> {
        if let Some(feed) = self.feeds.get(requestor_id) {
            return Ok(Some(*feed));
        }
        let feed = self.stored.as_mut().map_or(Ok(None), |stored| stored.feed(requestor_id))?;
        if let Some(feed) = feed {
            self.feeds.insert(requestor_id.to_owned(), feed);
        }
        Ok(feed)
    }

    /// Sets a row, or forgets it.
    pub fn remember(&mut self, key: MemoryKey, drops_at: Instant, body: Option<String>) {
        if self.stored.is_none() && body.as_ref().is_some_and(String::is_empty) {
            self.mark(key);
            return;
        }
        let before = self.rows.insert(key, Row { drops_at, body, taken: None });
        if self.stored.is_some() && before.is_none_or(|row| row.taken.is_some()) {
            self.changed.push(key);
        }
    }

    /// The total of ESM's count under this key, where nothing is ever stored.
    pub(super) fn passing_total(&self, key: MemoryKey) -> Option<u64> {
        self.stored.is_none().then(|| self.totals.get(&start_of(key)).copied().unwrap_or(0))
    }

    /// Sets such a total; false where rows are stored, and it must be one of them.
    pub(super) fn set_passing_total(&mut self, key: MemoryKey, total: u64) -> bool {
        if self.stored.is_none() {
            self.totals.insert(start_of(key), total);
        }
        self.stored.is_none()
    }

    fn mark(&mut self, key: MemoryKey) {
        if self.marks[0].len() >= MARKS_MAX {
            self.marks.swap(0, 1);
            self.marks[0].clear();
        }
        self.marks[0].insert(start_of(key));
    }

    /// How far the lines have come that were passed.
    pub fn latest(&self) -> Instant {
        self.latest
    }

    /// Whether the changes must be taken before more is read.
    pub fn is_full(&self) -> bool {
        self.changed.len().max(self.stated.len()) >= CHANGES_MAX
    }

    /// Keeps what ESM stated. Where nothing is ever stored, nobody takes it.
    pub fn state(&mut self, accounts: StatedAccounts) {
        if self.stored.is_some() {
            self.stated.push(accounts);
        }
    }

    /// What ESM stated since the last call.
    pub fn take_stated(&mut self) -> Vec<StatedAccounts> {
        std::mem::take(&mut self.stated)
    }

    /// The changes since the last call, to be stored with the events since then.
    pub fn take_changes(&mut self) -> Vec<MemoryRow> {
        let mut changes = Vec::with_capacity(self.changed.len());
        for key in self.changed.drain(..) {
            let Some(row) = self.rows.get_mut(&key) else { continue };
            row.taken = Some(self.generation);
            changes.push(MemoryRow { key, drops_at: row.drops_at, body: row.body.clone() });
        }
        self.generation += 1;
        changes
    }

    /// Lets go of what was taken this many calls ago or earlier: it is stored by now.
    pub fn let_go(&mut self, calls_ago: u32) {
        let newest = self.generation.saturating_sub(calls_ago);
        self.rows.retain(|_, row| row.taken.is_none_or(|taken| taken >= newest));
    }

    /// Notes how far the lines have come. Where nothing is ever stored, drops at times the rows that are past their time.
    pub fn pass(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        if self.stored.is_some() || self.rows.len() < self.sweep_at {
            return;
        }
        let latest = self.latest;
        self.rows.retain(|_, row| row.drops_at > latest && row.body.is_some());
        // Twice what is left, so that sweeping stays cheap where little can be dropped.
        self.sweep_at = SWEEP_ROWS.max(2 * self.rows.len());
    }
}

/// Half of a digest is enough to tell a few million apart.
fn start_of(key: MemoryKey) -> u64 {
    key.0[..8].iter().fold(0, |start, byte| start << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_names_parts_and_secrets_apart() {
        let ring = Keyring::new(b"secret");
        let all = [
            ring.digest("login", &[b"ab", b"c"]),
            ring.digest("login", &[b"a", b"bc"]),
            ring.digest("other", &[b"ab", b"c"]),
            Keyring::new(b"other").digest("login", &[b"ab", b"c"]),
        ];
        for (index, digest) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == digest), Some(index));
        }
    }

    #[test]
    fn in_memory_alone_the_latest_marks_are_known_and_no_more_are_kept() {
        let mut memory = Recollection::new(None);
        let key = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            MemoryKey(bytes)
        };
        let count = 3 * MARKS_MAX;
        for number in 0..count {
            memory.remember(key(number), Instant::from_nanos(9), Some(String::new()));
        }
        assert_eq!(memory.recall(key(count - MARKS_MAX)).expect("no store"), Some(String::new()));
        assert_eq!(memory.recall(key(0)).expect("no store"), None);
        assert!(memory.marks.iter().all(|marks| marks.len() <= MARKS_MAX));
        memory.remember(key(count - 1), Instant::from_nanos(9), None);
        assert_eq!(
            memory.recall(key(count - 1)).expect("no store"),
            None,
            "what is forgotten is no mark any more"
        );
    }

    #[test]
    fn changes_are_taken_once_and_recalled_until_they_are_let_go() {
        let (key, drops_at) = (MemoryKey([1; 16]), Instant::from_nanos(9));
        struct Empty;
        impl Memory for Empty {
            fn recall(&mut self, _: MemoryKey) -> Result<Option<String>, MemoryError> {
                Ok(None)
            }

            fn feed(&mut self, _: &str) -> Result<Option<Feed>, MemoryError> {
                Ok(None)
            }
        }
        let mut memory = Recollection::new(Some(Box::new(Empty)));
        memory.remember(key, drops_at, Some("a".to_owned()));
        memory.remember(key, drops_at, Some("b".to_owned()));
        assert_eq!(memory.take_changes(), [MemoryRow { key, drops_at, body: Some("b".to_owned()) }]);
        assert_eq!(memory.take_changes(), []);
        memory.let_go(2);
        assert_eq!(memory.recall(key).expect("no store"), Some("b".to_owned()));
        assert!(memory.take_changes().is_empty());
        memory.let_go(2);
        assert_eq!(memory.recall(key).expect("no store"), None);
    }
}
