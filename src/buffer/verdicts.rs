//! What people confirmed about a suite, and its verdict: the result of its last check and probe.

use rusqlite::Connection;
use serde::de::DeserializeOwned;

use super::columns::Json;
use super::database::Buffer;
use super::error::Result;
use super::forms::suite_key;
use super::keys::{JobKey, SuiteKey};
use super::rows::{all, changed, first, from_row, run};
use crate::confirmation::{Confirmation, Item};
use crate::event::Instant;
use crate::suite::{Rsid, Verdict};

/// The result of a check or a probe.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVerdict {
    pub checked_at: Instant,
    /// How many items are wrong, have a warning or are not known.
    pub open: u32,
    /// Why hits are known to be lost; empty if they are not.
    pub blocks: Vec<String>,
    /// When the oldest proof that an item depends on was made; `None` if no item depends on one.
    pub proved_at: Option<Instant>,
    /// Why a proof no longer counts.
    pub void: Option<String>,
    /// What the API and the settings file showed, and when.
    pub seen: serde_json::Value,
}

/// The text between the reasons why a suite's hits are lost.
const BETWEEN_REASONS: &str = "; ";

/// A suite whose hits are known to be lost. Its events wait, unless a person overruled the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedSuite {
    pub rsid: Rsid,
    pub reason: String,
    /// Whether a person overruled the block, so that the events are sent all the same.
    pub is_overruled: bool,
    /// How many of the suite's requestors have pending events.
    pub requestors: u32,
}

impl Buffer {
    /// Replaces the verdict on a suite. The reasons why hits are lost block the suite, except the reasons
    /// that a person overruled.
    pub fn set_verdict(&self, rsid: &Rsid, verdict: NewVerdict) -> Result<()> {
        let rsid = rsid.clone();
        self.write(move |transaction| {
            let suite = suite_key(transaction, &rsid)?;
            let NewVerdict { checked_at, open, blocks, proved_at, void, seen } = verdict;
            let known = verdict_of(transaction, suite)?.and_then(|known| known.overruled).unwrap_or_default();
            // Compares whole reasons: a reason may be the start of another, or contain the text between two reasons.
            let whole = |text: &str| format!("{BETWEEN_REASONS}{text}{BETWEEN_REASONS}");
            let (overruled, blocks): (Vec<_>, Vec<_>) =
                blocks.into_iter().partition(|reason| whole(&known).contains(&whole(reason)));
            let joined = |reasons: Vec<String>| Some(reasons.join(BETWEEN_REASONS)).filter(|text| !text.is_empty());
            run(
                transaction,
                "INSERT INTO verdicts (suite, checked_at, open, proved_at, void, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (suite) DO UPDATE SET checked_at = ?2, open = ?3, proved_at = ?4, void = ?5, seen = ?6,
                                                   overruled = ?7",
                (suite, checked_at, open, proved_at, void, seen.to_string(), joined(overruled)),
            )?;
            run(transaction, "UPDATE suites SET blocked = ?2 WHERE suite = ?1", (suite, joined(blocks)))
        })
    }

    /// What the last checks of a suite saw; `None` if nobody has checked it.
    pub fn seen<T: DeserializeOwned>(&self, rsid: &Rsid) -> Result<Option<T>> {
        let select = "SELECT v.seen FROM verdicts v JOIN suites s ON s.suite = v.suite WHERE s.rsid = ?1";
        self.first(select, [rsid], |row| Ok(row.get::<_, Json<T>>("seen")?.0))
    }

    /// Lets a suite's events be sent although its hits are known to be lost, until a check finds another reason.
    pub fn overrule(&self, rsid: &Rsid) -> Result<()> {
        let rsid = rsid.clone();
        self.write(move |transaction| {
            let suite = suite_key(transaction, &rsid)?;
            let change = "UPDATE verdicts SET overruled = concat_ws('; ', overruled, s.blocked) FROM suites s
                 WHERE s.suite = verdicts.suite AND s.suite = ?1 AND s.blocked IS NOT NULL";
            run(transaction, change, [suite])?;
            run(transaction, "UPDATE suites SET blocked = NULL WHERE suite = ?1", [suite])
        })
    }

    /// The active suites that are blocked or whose block was overruled, and for which events of a job are pending.
    pub fn blocked_suites(&self, job: JobKey) -> Result<Vec<BlockedSuite>> {
        let select = "SELECT s.rsid, coalesce(s.blocked, v.overruled) AS reason, s.blocked IS NULL AS is_overruled, count(*) AS requestors
             FROM suites s LEFT JOIN verdicts v ON v.suite = s.suite JOIN mappings m ON m.suite = s.suite
             WHERE s.state = 'active' AND coalesce(s.blocked, v.overruled) IS NOT NULL
               AND EXISTS (SELECT 1 FROM queue q WHERE q.job = ?1 AND q.requestor = m.requestor)
             GROUP BY s.suite ORDER BY s.rsid";
        self.all(select, [job], |row| {
            Ok(from_row!(row, BlockedSuite { rsid, reason, is_overruled, requestors }))
        })
    }

    /// Whether Adobe ever accepted events for a suite, as far as the records of runs go back. The record of a bulk
    /// run names no suites, so it counts for each suite whose requestors have delivered events.
    pub fn has_delivered(&self, rsid: &Rsid) -> Result<bool> {
        let select = "SELECT EXISTS (SELECT 1 FROM runs r, json_each(r.summary, '$.suites') s
                            WHERE s.key = ?1 AND s.value ->> 'delivered' > 0)
                 OR (EXISTS (SELECT 1 FROM runs WHERE summary ->> 'files' > 0 AND summary ->> 'delivered' > 0)
                     AND EXISTS (SELECT 1 FROM suites s JOIN mappings m ON m.suite = s.suite
                                 JOIN ledger l ON l.requestor = m.requestor
                                 WHERE s.rsid = ?1 AND l.delivered_events + l.expired_delivered_events > 0))";
        self.value(select, [rsid])
    }

    /// Stores confirmations for a suite. Each replaces an earlier confirmation of the same item.
    pub fn confirm(&self, rsid: &Rsid, confirmations: Vec<Confirmation>) -> Result<()> {
        let rsid = rsid.clone();
        self.write(move |transaction| {
            let suite = suite_key(transaction, &rsid)?;
            for Confirmation { item, by, at, note, basis } in confirmations {
                let change = "INSERT OR REPLACE INTO confirmations (suite, item, confirmed_by, confirmed_at, note, basis)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                run(transaction, change, (suite, item.as_str(), by, at, note.unwrap_or_default(), basis))?;
            }
            Ok(())
        })
    }

    /// Deletes confirmations. Returns the items that were confirmed.
    pub fn withdraw(&self, rsid: &Rsid, items: Vec<Item>) -> Result<Vec<Item>> {
        let rsid = rsid.clone();
        self.write(move |transaction| {
            let suite = suite_key(transaction, &rsid)?;
            let mut withdrawn = Vec::new();
            for item in items {
                let delete = "DELETE FROM confirmations WHERE suite = ?1 AND item = ?2";
                let rows = changed(transaction, delete, (suite, item.as_str()))?;
                withdrawn.extend((rows > 0).then_some(item));
            }
            Ok(withdrawn)
        })
    }
}

/// The confirmations for a suite, in the order of the items. Leaves out items that only a later release knows.
pub(super) fn confirmations_of(connection: &Connection, suite: SuiteKey) -> Result<Vec<Confirmation>> {
    let select = "SELECT item, confirmed_by, confirmed_at, note, basis FROM confirmations WHERE suite = ?1";
    let found: Vec<Option<Confirmation>> = all(connection, select, [suite], |row| {
        let Ok(item) = row.get::<_, String>("item")?.parse::<Item>() else { return Ok(None) };
        let (by, at, basis) = (row.get("confirmed_by")?, row.get("confirmed_at")?, row.get("basis")?);
        let note = Some(row.get("note")?).filter(|note: &String| !note.is_empty());
        Ok(Some(Confirmation { item, by, at, note, basis }))
    })?;
    let mut confirmations: Vec<Confirmation> = found.into_iter().flatten().collect();
    confirmations.sort_by_key(|confirmation| confirmation.item);
    Ok(confirmations)
}

/// The verdict on a suite; `None` if nobody has checked it.
pub(super) fn verdict_of(connection: &Connection, suite: SuiteKey) -> Result<Option<Verdict>> {
    let select = "SELECT v.checked_at, v.open, s.blocked AS blocks, v.overruled, v.proved_at, v.void
         FROM verdicts v JOIN suites s ON s.suite = v.suite WHERE s.suite = ?1";
    first(connection, select, [suite], |row| {
        Ok(from_row!(row, Verdict { checked_at, open, blocks, overruled, proved_at, void }))
    })
}

/// Forgets what people said of a suite, because whoever adds it again begins anew. The verdict stays, because nothing
/// has changed at Adobe. Reasons that a person overruled block the suite again.
pub(super) fn forget_words(connection: &Connection, suite: SuiteKey) -> Result<()> {
    run(connection, "DELETE FROM confirmations WHERE suite = ?1", [suite])?;
    let restore = "UPDATE suites SET blocked = concat_ws('; ', blocked, v.overruled) FROM verdicts v
         WHERE v.suite = suites.suite AND v.suite = ?1 AND v.overruled IS NOT NULL";
    run(connection, restore, [suite])?;
    run(connection, "UPDATE verdicts SET overruled = NULL WHERE suite = ?1", [suite])
}
