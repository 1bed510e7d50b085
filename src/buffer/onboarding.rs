//! What people vouched for about a suite, what its probes saw, and what its last check came to.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::suites::{damaged, find, form_of, intern_form};
use super::{Buffer, BufferError, FormKey, JobKey};
use crate::confirmation::{Confirmation, Item};
use crate::event::{Instant, RequestorId};
use crate::suite::{HitForm, Rsid, Verdict};

/// A probe that is about to send its first hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProbe {
    /// What every value of its hits carries.
    pub id: String,
    /// The requestor that its hits name.
    pub requestor_id: RequestorId,
    /// How its hits are made.
    pub form: HitForm,
    /// When it began; its hits follow from that.
    pub started_at: Instant,
}

/// A probe that was. Its hits can be made again from this, to the byte.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeRecord {
    /// What every value of its hits carries.
    pub id: String,
    /// The requestor that its hits name.
    pub requestor_id: RequestorId,
    /// How its hits were made.
    #[serde(flatten)]
    pub form: HitForm,
    /// When it began.
    pub started_at: Instant,
    /// When its last hit was answered; `None` where it was interrupted before.
    pub sent_at: Option<Instant>,
    /// When it was last read back.
    pub read_at: Option<Instant>,
    pub report: Option<serde_json::Value>,
}

/// What a check or a probe came to.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVerdict {
    pub checked_at: Instant,
    /// Items that are wrong, warned of or not known.
    pub open: u32,
    /// Why hits are known to be lost; nothing where they are not.
    pub blocks: Vec<String>,
    /// When the oldest proof was made that an item rests on.
    pub proved_at: Option<Instant>,
    /// Why a proof does not count any more.
    pub void: Option<String>,
    /// What the API and the settings file showed, and when.
    pub seen: serde_json::Value,
}

/// What stands between the reasons why a suite's hits are lost.
const BETWEEN_REASONS: &str = "; ";

/// A suite whose events wait because its hits are known to be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedSuite {
    pub rsid: Rsid,
    pub reason: String,
    /// How many of the requestors mapped to it have events that wait.
    pub requestors: u32,
}

impl Buffer {
    /// Replaces the verdict on a suite, and parks its events where its hits are known to be lost, but for the reasons that a
    /// person has overruled.
    pub fn set_verdict(&self, rsid: &Rsid, verdict: NewVerdict) -> Result<(), BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            let NewVerdict { checked_at, open, blocks, proved_at, void, seen } = verdict;
            let known = verdict_of(&transaction, &rsid)?.and_then(|known| known.overruled).unwrap_or_default();
            let (overruled, blocks): (Vec<_>, Vec<_>) =
                blocks.into_iter().partition(|reason| known.contains(reason));
            let joined = |reasons: Vec<String>| Some(reasons.join(BETWEEN_REASONS)).filter(|text| !text.is_empty());
            transaction.execute(
                "INSERT INTO verdicts (suite, checked_at, open, proved_at, void, seen)
                 SELECT suite, ?2, ?3, ?4, ?5, ?6 FROM suites WHERE rsid = ?1
                 ON CONFLICT (suite) DO UPDATE SET checked_at = ?2, open = ?3, proved_at = ?4, void = ?5, seen = ?6,
                                                   overruled = ?7",
                rusqlite::params![
                    rsid.as_str(),
                    checked_at.nanos(),
                    open,
                    proved_at.map(Instant::nanos),
                    void,
                    seen.to_string(),
                    joined(overruled),
                ],
            )?;
            transaction.execute(
                "UPDATE suites SET blocked = ?2 WHERE rsid = ?1",
                (rsid.as_str(), joined(blocks)),
            )?;
            Ok(transaction.commit()?)
        })
    }

    /// What the last checks of a suite saw; `None` where nobody has checked it.
    pub fn seen<T: DeserializeOwned + Send + 'static>(&self, rsid: &Rsid) -> Result<Option<T>, BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let seen: Option<String> = connection
                .query_row(
                    "SELECT v.seen FROM verdicts v JOIN suites s ON s.suite = v.suite WHERE s.rsid = ?1",
                    [rsid.as_str()],
                    |row| row.get(0),
                )
                .optional()?;
            seen.map(|text| serde_json::from_str(&text).map_err(|error| damaged(&error))).transpose()
        })
    }

    /// Lets a suite's events flow although its hits are known to be lost, until another reason is found.
    pub fn overrule(&self, rsid: &Rsid) -> Result<(), BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            transaction.execute(
                "UPDATE verdicts SET overruled = concat_ws('; ', overruled, s.blocked) FROM suites s
                 WHERE s.suite = verdicts.suite AND s.rsid = ?1 AND s.blocked IS NOT NULL",
                [rsid.as_str()],
            )?;
            transaction.execute("UPDATE suites SET blocked = NULL WHERE rsid = ?1", [rsid.as_str()])?;
            Ok(transaction.commit()?)
        })
    }

    /// The active suites whose hits are known to be lost, where events of a job wait for them.
    pub fn blocked_suites(&self, job: JobKey) -> Result<Vec<BlockedSuite>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT s.rsid, s.blocked, count(*) FROM suites s JOIN mappings m ON m.suite = s.suite
                 WHERE s.state = 'active' AND s.blocked IS NOT NULL
                   AND EXISTS (SELECT 1 FROM queue q WHERE q.job = ?1 AND q.requestor = m.requestor)
                 GROUP BY s.suite ORDER BY s.rsid",
            )?;
            let rows = statement
                .query_map([job.number()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
            rows.map(|row| {
                let (rsid, reason, requestors) = row?;
                Ok(BlockedSuite { rsid: rsid.parse().map_err(|error| damaged(&error))?, reason, requestors })
            })
            .collect()
        })
    }

    /// Whether Adobe ever answered SUCCESS to events for a suite, as far as the records of runs go back. A bulk run names no
    /// suites: it counts for those whose requestors have delivered events.
    pub fn has_delivered(&self, rsid: &Rsid) -> Result<bool, BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            Ok(connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM runs r, json_each(r.summary, '$.suites') s
                                WHERE s.key = ?1 AND s.value ->> 'delivered' > 0)
                     OR (EXISTS (SELECT 1 FROM runs WHERE summary ->> 'files' > 0 AND summary ->> 'delivered' > 0)
                         AND EXISTS (SELECT 1 FROM suites s JOIN mappings m ON m.suite = s.suite
                                     JOIN ledger l ON l.requestor = m.requestor
                                     WHERE s.rsid = ?1 AND l.delivered_events + l.expired_delivered_events > 0))",
                [rsid.as_str()],
                |row| row.get(0),
            )?)
        })
    }

    /// Stores words about a suite; a word on an item that has one replaces it.
    pub fn confirm(&self, rsid: &Rsid, confirmations: Vec<Confirmation>) -> Result<(), BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            for confirmation in &confirmations {
                write(&transaction, &rsid, confirmation)?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Takes words back; gives the items that had one.
    pub fn withdraw(&self, rsid: &Rsid, items: Vec<Item>) -> Result<Vec<Item>, BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            let mut withdrawn = Vec::new();
            for item in items {
                let rows = transaction.execute(
                    "DELETE FROM confirmations WHERE suite = (SELECT suite FROM suites WHERE rsid = ?1) AND item = ?2",
                    (rsid.as_str(), item.name()),
                )?;
                withdrawn.extend((rows > 0).then_some(item));
            }
            transaction.commit()?;
            Ok(withdrawn)
        })
    }

    /// Puts a probe on record, before its first hit goes.
    pub fn begin_probe(&self, probe: NewProbe) -> Result<(), BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let form = intern_form(&transaction, &probe.form)?;
            let rows = transaction.execute(
                "INSERT INTO probes (id, suite, requestor_id, form, started_at)
                 SELECT ?1, suite, ?2, ?3, ?4 FROM suites WHERE rsid = ?5 AND state <> 'retired'",
                (
                    &probe.id,
                    probe.requestor_id.as_str(),
                    form.0,
                    probe.started_at.nanos(),
                    probe.form.rsid.as_str(),
                ),
            )?;
            if rows == 0 {
                return Err(BufferError::UnknownSuite(probe.form.rsid));
            }
            Ok(transaction.commit()?)
        })
    }

    /// Notes that the last hit of a probe was answered.
    pub fn probe_sent(&self, id: &str) -> Result<(), BufferError> {
        let (id, now) = (id.to_owned(), self.now());
        self.call(move |connection| {
            connection.execute("UPDATE probes SET sent_at = ?2 WHERE id = ?1", (&id, now.nanos()))?;
            Ok(())
        })
    }

    /// Keeps what was seen of a probe; what was seen before is replaced.
    pub fn probe_read(&self, id: &str, report: &serde_json::Value) -> Result<(), BufferError> {
        let (id, now, report) = (id.to_owned(), self.now(), report.to_string());
        self.call(move |connection| {
            connection.execute(
                "UPDATE probes SET read_at = ?2, report = ?3 WHERE id = ?1",
                (&id, now.nanos(), &report),
            )?;
            Ok(())
        })
    }

    /// A probe of a suite, by its ID.
    pub fn probe(&self, rsid: &Rsid, id: &str) -> Result<ProbeRecord, BufferError> {
        let (rsid, id) = (rsid.clone(), id.to_owned());
        self.call(move |connection| {
            let found = connection
                .query_row(
                    &format!("{SELECT_PROBE} WHERE s.rsid = ?1 AND p.id = ?2"),
                    (rsid.as_str(), &id),
                    read,
                )
                .optional()?;
            record(connection, found.ok_or(BufferError::UnknownProbe(id))?)
        })
    }

    /// The latest probe of a suite, whatever became of it.
    pub fn last_probe(&self, rsid: &Rsid) -> Result<Option<ProbeRecord>, BufferError> {
        self.latest_probe(rsid, "TRUE")
    }

    /// The latest probe of a suite that was read back: one that was cut off proves nothing, and takes no proof away.
    pub fn last_read_probe(&self, rsid: &Rsid) -> Result<Option<ProbeRecord>, BufferError> {
        self.latest_probe(rsid, "p.read_at IS NOT NULL")
    }

    fn latest_probe(&self, rsid: &Rsid, which: &'static str) -> Result<Option<ProbeRecord>, BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let found = connection
                .query_row(
                    &format!(
                        "{SELECT_PROBE} WHERE s.rsid = ?1 AND {which} ORDER BY p.started_at DESC, p.probe DESC LIMIT 1"
                    ),
                    [rsid.as_str()],
                    read,
                )
                .optional()?;
            found.map(|row| record(connection, row)).transpose()
        })
    }
}

const SELECT_PROBE: &str = "SELECT p.id, p.requestor_id, p.form, p.started_at, p.sent_at, p.read_at, p.report
                            FROM probes p JOIN suites s ON s.suite = p.suite";

/// A row of `probes` as it is stored.
struct ProbeRow {
    id: String,
    requestor_id: String,
    form: FormKey,
    started_at: i64,
    sent_at: Option<i64>,
    read_at: Option<i64>,
    report: Option<String>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<ProbeRow> {
    Ok(ProbeRow {
        id: row.get(0)?,
        requestor_id: row.get(1)?,
        form: FormKey(row.get(2)?),
        started_at: row.get(3)?,
        sent_at: row.get(4)?,
        read_at: row.get(5)?,
        report: row.get(6)?,
    })
}

fn record(connection: &Connection, row: ProbeRow) -> Result<ProbeRecord, BufferError> {
    let report = row.report.map(|text| serde_json::from_str(&text).map_err(|error| damaged(&error)));
    Ok(ProbeRecord {
        id: row.id,
        requestor_id: RequestorId::new(&row.requestor_id).map_err(|error| damaged(&error))?,
        form: form_of(connection, row.form)?,
        started_at: Instant::from_nanos(row.started_at),
        sent_at: row.sent_at.map(Instant::from_nanos),
        read_at: row.read_at.map(Instant::from_nanos),
        report: report.transpose()?,
    })
}

fn write(transaction: &Transaction<'_>, rsid: &Rsid, confirmation: &Confirmation) -> Result<(), BufferError> {
    let Confirmation { item, by, at, note, basis } = confirmation;
    transaction.execute(
        "INSERT INTO confirmations (suite, item, confirmed_by, confirmed_at, note, basis)
         SELECT suite, ?2, ?3, ?4, ?5, ?6 FROM suites WHERE rsid = ?1
         ON CONFLICT (suite, item) DO UPDATE SET confirmed_by = ?3, confirmed_at = ?4, note = ?5, basis = ?6",
        (rsid.as_str(), item.name(), by, at.nanos(), note.as_deref().unwrap_or(""), basis),
    )?;
    Ok(())
}

/// The words on a suite, in the order of the items. A word on an item of a later release is passed over.
pub(super) fn confirmations_of(
    connection: &Connection,
    rsid: &Rsid,
) -> Result<Vec<Confirmation>, BufferError> {
    let mut statement = connection.prepare_cached(
        "SELECT c.item, c.confirmed_by, c.confirmed_at, c.note, c.basis
         FROM confirmations c JOIN suites s ON s.suite = c.suite WHERE s.rsid = ?1",
    )?;
    let mut rows = statement.query([rsid.as_str()])?;
    let mut confirmations = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(item) = row.get::<_, String>(0)?.parse::<Item>() else { continue };
        let note: String = row.get(3)?;
        confirmations.push(Confirmation {
            item,
            by: row.get(1)?,
            at: Instant::from_nanos(row.get(2)?),
            note: Some(note).filter(|note| !note.is_empty()),
            basis: row.get(4)?,
        });
    }
    confirmations.sort_by_key(|confirmation| confirmation.item);
    Ok(confirmations)
}

/// The verdict on a suite, where somebody has checked it.
pub(super) fn verdict_of(connection: &Connection, rsid: &Rsid) -> Result<Option<Verdict>, BufferError> {
    let verdict = connection
        .prepare_cached(
            "SELECT v.checked_at, v.open, s.blocked, v.overruled, v.proved_at, v.void
             FROM verdicts v JOIN suites s ON s.suite = v.suite WHERE s.rsid = ?1",
        )?
        .query_row([rsid.as_str()], |row| {
            Ok(Verdict {
                checked_at: Instant::from_nanos(row.get(0)?),
                open: row.get(1)?,
                blocks: row.get(2)?,
                overruled: row.get(3)?,
                proved_at: row.get::<_, Option<i64>>(4)?.map(Instant::from_nanos),
                void: row.get(5)?,
            })
        })
        .optional()?;
    Ok(verdict)
}

/// Whoever takes the suite up again begins anew.
pub(super) fn forget_words(transaction: &Transaction<'_>, rsid: &Rsid) -> Result<(), BufferError> {
    for table in ["confirmations", "verdicts"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE suite = (SELECT suite FROM suites WHERE rsid = ?1)"),
            [rsid.as_str()],
        )?;
    }
    transaction.execute("UPDATE suites SET blocked = NULL WHERE rsid = ?1", [rsid.as_str()])?;
    Ok(())
}
