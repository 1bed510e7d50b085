//! What a reader remembers of earlier lines: a login may begin in one file and end in the next.
//!
//! The keys of rows are keyed digests, so codes and devices are never stored in clear. A reader looks up stored rows
//! and keeps its changes in memory; the caller stores the changes together with the events of the same lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::esm::StatedAccounts;
use crate::event::{Instant, KindSet};
use crate::word::words;

/// Without a store, rows whose time is over are dropped when this many rows are in memory.
const SWEEP_ROWS: usize = 100_000;

/// The most changes in memory; then they are stored before more is read. A limit on events would not be enough, because
/// some exchanges change rows and give no event.
const CHANGES_MAX: usize = 20_000;

/// The most marks in each of the two sets of `Recollection::marks`. When the newer set is full, the older set
/// is forgotten. A set of 2^20 places can hold this many marks, so both sets take at most 20 MiB.
const MARKS_MAX: usize = 900_000;

/// The key of a row: a keyed digest of the thing that the row is about.
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

/// A row to be stored or, without a body, to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRow {
    pub key: MemoryKey,
    /// After this instant nobody needs the row.
    pub drops_at: Instant,
    pub body: Option<String>,
}

/// What was counted of an MVPD of a requestor in an hour: units, and of which kinds of events.
#[derive(Debug, Clone)]
pub struct CountedMvpd {
    pub requestor_id: String,
    pub mvpd: String,
    pub units: u64,
    pub kinds: KindSet,
}

/// Why stored rows cannot be read.
pub type MemoryError = Box<dyn Error + Send + Sync>;
/// The result of reading stored rows.
pub type MemoryResult<T> = Result<T, MemoryError>;

/// The rows that earlier runs stored. The buffer implements this trait.
pub trait Memory: Send {
    /// The body of a row.
    fn recall(&mut self, key: MemoryKey) -> MemoryResult<Option<String>>;

    /// The feed of a requestor, and how its ID is spelled there: Analytics reads no capitals. `None` before its first event.
    /// The feed never changes.
    fn feed(&mut self, requestor_id: &str) -> MemoryResult<Option<(Feed, String)>>;

    /// What was counted of each requestor and MVPD in a UTC hour. `hour` counts hours from the Unix epoch.
    fn counted(&mut self, hour: i64) -> MemoryResult<Vec<CountedMvpd>>;
}

words! {
    /// Whether a requestor's counts come from single events or from ESM. Both count the same things, so a requestor
    /// must have only one of them.
    #[derive(Default)]
    pub enum Feed {
        #[default]
        Events = "events",
        Esm = "esm",
    }
}

/// Makes digests of values that must not be stored in clear. Without the secret, a digest tells nothing.
#[derive(Clone)]
pub struct Keyring(Hmac<Sha256>);

impl Keyring {
    pub fn new(secret: &[u8]) -> Keyring {
        Keyring(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// A digest without the secret, three times as fast, for parts that tell nobody anything, such as keyed digests.
    pub fn derived(&self, name: &str, parts: &[&[u8]]) -> MemoryKey {
        let mut hash = Sha256::new();
        feed_parts(name, parts, |bytes| hash.update(bytes));
        MemoryKey::start_of(&hash.finalize())
    }

    /// The keyed digest of a name and parts. Each part follows its length, so no two lists share a digest.
    pub fn digest(&self, name: &str, parts: &[&[u8]]) -> MemoryKey {
        let mut mac = self.0.clone();
        feed_parts(name, parts, |bytes| mac.update(bytes));
        MemoryKey::start_of(&mac.finalize().into_bytes())
    }
}

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

/// The stored rows, with the changes of this run.
pub struct Recollection {
    /// `None` if rows are never stored.
    stored: Option<Box<dyn Memory>>,
    /// Whether what is read is not stored.
    is_passing: bool,
    rows: HashMap<MemoryKey, Row>,
    /// Used if rows are never stored: the first 8 bytes of the keys of rows with an empty body, which are most rows.
    /// The newer set comes first.
    marks: [HashSet<u64>; 2],
    /// The feeds of requestors that were looked up.
    feeds: HashMap<String, (Feed, String)>,
    /// Used if rows are never stored: the totals of ESM, by the first 8 bytes of their keys. A report has millions of
    /// them. Unlike a hash table, a tree never needs twice the memory while it grows.
    totals: BTreeMap<u64, u64>,
    /// The keys that changed since the last `take_changes`, in the order of their first change.
    changed: Vec<MemoryKey>,
    /// The unique accounts of ESM since the last `take_stated`.
    stated: Vec<StatedAccounts>,
    generation: u32,
    latest: Instant,
    sweep_at: usize,
}

struct Row {
    drops_at: Instant,
    body: Option<String>,
    /// The number of the call of `take_changes` that took the row last; `None` if the row has still to be taken.
    taken: Option<u32>,
}

impl std::fmt::Debug for Recollection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Recollection").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Recollection {
    /// A recollection over stored rows; with `None`, rows are never stored.
    pub fn new(stored: Option<Box<dyn Memory>>) -> Recollection {
        let latest = Instant::from_nanos(i64::MIN / 2);
        Recollection {
            is_passing: stored.is_none(),
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

    /// A recollection over rows that earlier runs stored, as a plan needs it: what is read now is not stored. Of earlier
    /// rows, only those of ESM are looked up.
    pub fn passing_after(stored: Box<dyn Memory>) -> Recollection {
        Recollection { is_passing: true, ..Recollection::new(Some(stored)) }
    }

    pub fn recall(&mut self, key: MemoryKey) -> MemoryResult<Option<String>> {
        match (self.rows.get(&key), &mut self.stored) {
            (Some(row), _) => Ok(row.body.clone()),
            (None, Some(stored)) if !self.is_passing => stored.recall(key),
            (None, _) => {
                let mark = start_of(key);
                Ok(self.marks.iter().any(|marks| marks.contains(&mark)).then(String::new))
            }
        }
    }

    /// A row of ESM, of this run or an earlier one.
    pub(super) fn recall_of_esm(&mut self, key: MemoryKey) -> MemoryResult<Option<String>> {
        match (self.rows.get(&key), &mut self.stored) {
            (Some(row), _) => Ok(row.body.clone()),
            (None, Some(stored)) => stored.recall(key),
            (None, None) => Ok(None),
        }
    }

    /// Whether anything of earlier runs is known.
    pub(super) fn has_earlier(&self) -> bool {
        self.stored.is_some()
    }

    /// The feed of a requestor, and how its ID is spelled there; `None` before its first event.
    pub fn feed(&mut self, requestor_id: &str) -> MemoryResult<Option<(Feed, String)>> {
        if let Some(feed) = self.feeds.get(requestor_id) {
            return Ok(Some(feed.clone()));
        }
        let feed = self.stored.as_mut().map_or(Ok(None), |stored| stored.feed(requestor_id))?;
        if let Some(feed) = &feed {
            self.feeds.insert(requestor_id.to_owned(), feed.clone());
        }
        Ok(feed)
    }

    /// What is counted in a UTC hour; nothing if rows are never stored.
    pub(super) fn counted(&mut self, hour: i64) -> MemoryResult<Vec<CountedMvpd>> {
        self.stored.as_mut().map_or(Ok(Vec::new()), |stored| stored.counted(hour))
    }

    /// Sets a row or, without a body, deletes it.
    pub fn remember(&mut self, key: MemoryKey, drops_at: Instant, body: Option<String>) {
        if self.is_passing && body.as_ref().is_some_and(String::is_empty) {
            self.mark(key);
            return;
        }
        let before = self.rows.insert(key, Row { drops_at, body, taken: None });
        if !self.is_passing && before.is_none_or(|row| row.taken.is_some()) {
            self.changed.push(key);
        }
    }

    /// The total of the ESM count with this key that this run read; `None` if it is new, or if totals are stored as rows.
    pub(super) fn passing_total(&self, key: MemoryKey) -> Option<u64> {
        self.totals.get(&start_of(key)).copied()
    }

    /// Sets the total of the ESM count with this key. Does nothing and returns false if totals are rows.
    pub(super) fn set_passing_total(&mut self, key: MemoryKey, total: u64) -> bool {
        if self.is_passing {
            self.totals.insert(start_of(key), total);
        }
        self.is_passing
    }

    fn mark(&mut self, key: MemoryKey) {
        if self.marks[0].len() >= MARKS_MAX {
            self.marks.swap(0, 1);
            self.marks[0].clear();
        }
        self.marks[0].insert(start_of(key));
    }

    /// The latest instant that reading has reached (see `pass`).
    pub fn latest(&self) -> Instant {
        self.latest
    }

    /// Whether the changes and the unique accounts must be taken before more lines are read.
    pub fn is_full(&self) -> bool {
        self.changed.len().max(self.stated.len()) >= CHANGES_MAX
    }

    /// Keeps the unique accounts of ESM. If rows are never stored, nobody would take them, so they are dropped.
    pub fn state(&mut self, accounts: StatedAccounts) {
        if !self.is_passing {
            self.stated.push(accounts);
        }
    }

    /// The unique accounts of ESM since the last call.
    pub fn take_stated(&mut self) -> Vec<StatedAccounts> {
        std::mem::take(&mut self.stated)
    }

    /// The changes since the last call. Store them together with the events since then.
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

    /// Drops the rows that were taken before the last `calls_ago` calls of `take_changes`: they are stored by now.
    pub fn let_go(&mut self, calls_ago: u32) {
        let newest = self.generation.saturating_sub(calls_ago);
        self.rows.retain(|_, row| row.taken.is_none_or(|taken| taken >= newest));
    }

    /// Notes the instant that reading has reached. If rows are never stored, some calls drop rows whose time is over.
    pub fn pass(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        if !self.is_passing || self.rows.len() < self.sweep_at {
            return;
        }
        let latest = self.latest;
        self.rows.retain(|_, row| row.drops_at > latest && row.body.is_some());
        // The next sweep comes when the number of rows has doubled, so sweeps stay cheap if few rows can be dropped.
        self.sweep_at = SWEEP_ROWS.max(2 * self.rows.len());
    }
}

/// The first half of a key, which is enough to distinguish a few million keys.
pub(super) fn start_of(key: MemoryKey) -> u64 {
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
            fn recall(&mut self, _: MemoryKey) -> MemoryResult<Option<String>> {
                Ok(None)
            }

            fn feed(&mut self, _: &str) -> MemoryResult<Option<(Feed, String)>> {
                Ok(None)
            }

            fn counted(&mut self, _: i64) -> MemoryResult<Vec<CountedMvpd>> {
                Ok(Vec::new())
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
