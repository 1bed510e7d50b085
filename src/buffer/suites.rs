//! Report suites and the requestors mapped to them.

use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use serde::Serialize;

use super::onboarding::{confirmations_of, forget_words, verdict_of};
use super::{Buffer, BufferError};
use crate::confirmation::Confirmation;
use crate::event::{RequestorId, VisitorRules};
use crate::suite::{CollectionUrl, HitForm, OrgId, ReportSuite, Rsid, SuiteState, Verdict};

/// A requestor, as the buffer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestorKey(pub(super) i64);

/// A hit form, as the buffer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormKey(pub(super) i64);

/// An active suite with the requestors whose events go there.
#[derive(Debug, Clone)]
pub struct Route {
    pub suite: ReportSuite,
    /// Its form, as the buffer names it.
    pub form: FormKey,
    pub requestors: Vec<RequestorKey>,
}

/// A suite with its requestors, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuiteListing {
    #[serde(flatten)]
    pub suite: ReportSuite,
    /// The requestors mapped to it, by name.
    pub requestors: Vec<String>,
    /// What people vouched for, in the order of the items.
    pub confirmations: Vec<Confirmation>,
    /// What the last check and probe came to; `None` where nobody has checked it.
    pub verdict: Option<Verdict>,
}

impl Buffer {
    /// Maps requestors to a suite, which is made where it is unknown or retired. A known suite must have these settings.
    pub fn add_suite(&self, suite: ReportSuite, requestors: Vec<RequestorId>) -> Result<(), BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            match find(&transaction, &suite.form.rsid)? {
                Some(known) => refuse_other_settings(&known, &suite)?,
                None => write(&transaction, &suite)?,
            }
            for requestor_id in &requestors {
                map_requestor(&transaction, requestor_id, &suite.form.rsid)?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Every suite that is not retired, by its ID.
    pub fn suites(&self) -> Result<Vec<SuiteListing>, BufferError> {
        self.call(|connection| {
            let mut statement =
                connection.prepare(&format!("{SELECT_SUITE} WHERE s.state <> 'retired' ORDER BY s.rsid"))?;
            let suites = statement.query_map([], read_suite)?.collect::<Result<Vec<_>, _>>()?;
            suites.into_iter().map(|suite| list(connection, suite?)).collect()
        })
    }

    /// One suite with its requestors.
    pub fn suite(&self, rsid: &Rsid) -> Result<SuiteListing, BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let suite = find(connection, &rsid)?.ok_or(BufferError::UnknownSuite(rsid))?;
            list(connection, suite)
        })
    }

    /// The suite that a requestor is mapped to.
    pub fn suite_of(&self, requestor_id: &RequestorId) -> Result<Option<ReportSuite>, BufferError> {
        let requestor_id = requestor_id.clone();
        self.call(move |connection| match rsid_of(connection, &requestor_id)? {
            Some(rsid) => find(connection, &rsid),
            None => Ok(None),
        })
    }

    /// Replaces the settings of a known suite, its state included. Events in doubt keep the form of their attempts.
    pub fn set_suite(&self, suite: ReportSuite) -> Result<(), BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &suite.form.rsid)?
                .ok_or_else(|| BufferError::UnknownSuite(suite.form.rsid.clone()))?;
            write(&transaction, &suite)?;
            Ok(transaction.commit()?)
        })
    }

    /// Retires a suite: its requestors are free for another, what waits is parked. Refused while events are undecided.
    pub fn remove_suite(&self, rsid: &Rsid) -> Result<(), BufferError> {
        let rsid = rsid.clone();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            refuse_undecided(&transaction, &rsid, None)?;
            transaction.execute(
                "DELETE FROM mappings WHERE suite = (SELECT suite FROM suites WHERE rsid = ?1)",
                [rsid.as_str()],
            )?;
            transaction.execute("UPDATE suites SET state = 'retired' WHERE rsid = ?1", [rsid.as_str()])?;
            forget_words(&transaction, &rsid)?;
            Ok(transaction.commit()?)
        })
    }

    /// Frees one requestor from its suite. Refused while events of that requestor are undecided there.
    pub fn unmap_requestor(&self, rsid: &Rsid, requestor_id: &RequestorId) -> Result<(), BufferError> {
        let (rsid, requestor_id) = (rsid.clone(), requestor_id.clone());
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            find(&transaction, &rsid)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))?;
            if rsid_of(&transaction, &requestor_id)?.as_ref() != Some(&rsid) {
                return Err(BufferError::NotMapped { requestor_id: requestor_id.to_string(), rsid });
            }
            let requestor = intern_requestor(&transaction, &requestor_id)?;
            refuse_undecided(&transaction, &rsid, Some(requestor))?;
            transaction.execute("DELETE FROM mappings WHERE requestor = ?1", [requestor.0])?;
            Ok(transaction.commit()?)
        })
    }

    /// The active suites whose hits are not known to be lost, with their requestors: what a drain may send.
    pub fn routes(&self) -> Result<Vec<Route>, BufferError> {
        self.call(|connection| routes(connection))
    }

    /// The same, without blocking the runtime: for a drain that looks for paused suites while it runs.
    pub async fn routes_now(&self) -> Result<Vec<Route>, BufferError> {
        self.call_async(|connection| routes(connection)).await
    }
}

const SELECT_SUITE: &str =
    "SELECT s.rsid, f.identity, f.org_id, f.event_ids, f.count_form, s.collection_url, s.on_ambiguous,
                                   s.hits_per_second, s.state, s.form, s.stage, s.blocked, f.visitor_rules
                            FROM suites s JOIN forms f ON f.form = s.form";

fn routes(connection: &Connection) -> Result<Vec<Route>, BufferError> {
    let mut statement = connection.prepare_cached(
        "SELECT s.rsid, f.identity, f.org_id, f.event_ids, f.count_form, s.collection_url, s.on_ambiguous,
                s.hits_per_second, s.state, s.form, s.stage, s.blocked, m.requestor, f.visitor_rules
         FROM suites s JOIN forms f ON f.form = s.form JOIN mappings m ON m.suite = s.suite
         WHERE s.state = 'active' AND s.blocked IS NULL ORDER BY s.rsid, m.requestor",
    )?;
    let mut rows = statement.query([])?;
    let mut routes: Vec<Route> = Vec::new();
    while let Some(row) = rows.next()? {
        let suite = read_suite(row)??;
        let requestor = RequestorKey(row.get(12)?);
        match routes.last_mut().filter(|route| route.suite.form.rsid == suite.form.rsid) {
            Some(route) => route.requestors.push(requestor),
            None => routes.push(Route { suite, form: FormKey(row.get(9)?), requestors: vec![requestor] }),
        }
    }
    Ok(routes)
}

pub(super) fn find(connection: &Connection, rsid: &Rsid) -> Result<Option<ReportSuite>, BufferError> {
    connection
        .prepare_cached(&format!("{SELECT_SUITE} WHERE s.rsid = ?1 AND s.state <> 'retired'"))?
        .query_row([rsid.as_str()], read_suite)
        .optional()?
        .transpose()
}

fn list(connection: &Connection, suite: ReportSuite) -> Result<SuiteListing, BufferError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.requestor_id FROM mappings m JOIN requestors r ON r.requestor = m.requestor
         JOIN suites s ON s.suite = m.suite WHERE s.rsid = ?1 ORDER BY 1",
    )?;
    let requestors =
        statement.query_map([suite.form.rsid.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let confirmations = confirmations_of(connection, &suite.form.rsid)?;
    let verdict = verdict_of(connection, &suite.form.rsid)?;
    Ok(SuiteListing { suite, requestors, confirmations, verdict })
}

/// A damaged row is an error of ours, not of SQLite's: hence the result inside the result.
fn read_suite(row: &Row<'_>) -> rusqlite::Result<Result<ReportSuite, BufferError>> {
    let form = read_form(row)?;
    let url: String = row.get(5)?;
    let hits_per_second: Option<u32> = row.get(7)?;
    let on_ambiguous: String = row.get(6)?;
    let state: String = row.get(8)?;
    let stage: String = row.get(10)?;
    let is_blocked = row.get_ref(11)? != rusqlite::types::ValueRef::Null;
    Ok(form.and_then(|form| {
        let state: SuiteState = word(&state)?;
        Ok(ReportSuite {
            form,
            collection_url: word::<CollectionUrl>(&url)?,
            on_ambiguous: word(&on_ambiguous)?,
            hits_per_second: hits_per_second.and_then(std::num::NonZeroU32::new),
            state: if state == SuiteState::Active && is_blocked { SuiteState::Blocked } else { state },
            stage: word(&stage)?,
        })
    }))
}

fn read_form(row: &Row<'_>) -> rusqlite::Result<Result<HitForm, BufferError>> {
    let rsid: String = row.get(0)?;
    let identity: String = row.get(1)?;
    let org_id: String = row.get(2)?;
    let event_ids: String = row.get(3)?;
    let count_form: String = row.get(4)?;
    let visitor_rules: i64 = row.get("visitor_rules")?;
    let parse = || -> Result<HitForm, BufferError> {
        Ok(HitForm {
            rsid: word(&rsid)?,
            identity: word(&identity)?,
            org_id: if org_id.is_empty() { None } else { Some(word(&org_id)?) },
            event_ids: word(&event_ids)?,
            count_form: word(&count_form)?,
            visitor_rules: VisitorRules::of_number(visitor_rules)
                .ok_or_else(|| damaged(&std::io::Error::other("unknown visitor_rules")))?,
        })
    };
    Ok(parse())
}

/// Reads a value that is stored as its text.
pub(super) fn word<T: FromStr<Err: std::error::Error>>(text: &str) -> Result<T, BufferError> {
    text.parse().map_err(|error| damaged(&error))
}

pub(super) fn damaged(error: &dyn std::error::Error) -> BufferError {
    let text = error.to_string();
    BufferError::Sqlite(rusqlite::Error::FromSqlConversionFailure(
        0,
        rusqlite::types::Type::Text,
        text.into(),
    ))
}

/// The form behind a key; forms are never deleted.
pub(super) fn form_of(connection: &Connection, form: FormKey) -> Result<HitForm, BufferError> {
    connection
        .prepare_cached(
            "SELECT rsid, identity, org_id, event_ids, count_form, visitor_rules FROM forms WHERE form = ?1",
        )?
        .query_row([form.0], read_form)?
}

/// The name behind a requestor's number.
pub(super) fn requestor_id_of(
    connection: &Connection,
    requestor: RequestorKey,
) -> Result<RequestorId, BufferError> {
    let name: String = connection
        .prepare_cached("SELECT requestor_id FROM requestors WHERE requestor = ?1")?
        .query_row([requestor.0], |row| row.get(0))?;
    RequestorId::new(&name).map_err(|error| damaged(&error))
}

/// The number of a requestor, given one where it has none.
pub(super) fn intern_requestor(
    connection: &Connection,
    requestor_id: &RequestorId,
) -> Result<RequestorKey, BufferError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO requestors (requestor_id) VALUES (?1)")?
        .execute([requestor_id.as_str()])?;
    Ok(connection
        .prepare_cached("SELECT requestor FROM requestors WHERE requestor_id = ?1")?
        .query_row([requestor_id.as_str()], |row| row.get(0).map(RequestorKey))?)
}

fn rsid_of(connection: &Connection, requestor_id: &RequestorId) -> Result<Option<Rsid>, BufferError> {
    let rsid: Option<String> = connection
        .prepare_cached(
            "SELECT s.rsid FROM mappings m JOIN requestors r ON r.requestor = m.requestor
             JOIN suites s ON s.suite = m.suite WHERE r.requestor_id = ?1",
        )?
        .query_row([requestor_id.as_str()], |row| row.get(0))
        .optional()?;
    rsid.map(|rsid| rsid.parse().map_err(|error| damaged(&error))).transpose()
}

fn map_requestor(
    transaction: &Transaction<'_>,
    requestor_id: &RequestorId,
    rsid: &Rsid,
) -> Result<(), BufferError> {
    match rsid_of(transaction, requestor_id)? {
        Some(current) if current == *rsid => return Ok(()),
        Some(current) => {
            return Err(BufferError::MappedElsewhere {
                requestor_id: requestor_id.to_string(),
                rsid: current,
            });
        }
        None => {}
    }
    let requestor = intern_requestor(transaction, requestor_id)?;
    transaction.execute(
        "INSERT INTO mappings (requestor, suite) SELECT ?1, suite FROM suites WHERE rsid = ?2",
        (requestor.0, rsid.as_str()),
    )?;
    Ok(())
}

fn write(transaction: &Transaction<'_>, suite: &ReportSuite) -> Result<(), BufferError> {
    let form = intern_form(transaction, &suite.form)?;
    // What blocks it stands in a column of its own.
    let state = if suite.state == SuiteState::Blocked { SuiteState::Active } else { suite.state };
    transaction.execute(
        "INSERT INTO suites (rsid, form, collection_url, on_ambiguous, hits_per_second, state, stage)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (rsid) DO UPDATE SET form = ?2, collection_url = ?3, on_ambiguous = ?4, hits_per_second = ?5, state = ?6,
                                          stage = ?7",
        rusqlite::params![
            suite.form.rsid.as_str(),
            form.0,
            suite.collection_url.to_string(),
            suite.on_ambiguous.as_str(),
            suite.hits_per_second.map(std::num::NonZeroU32::get),
            state.as_str(),
            suite.stage.as_str()
        ],
    )?;
    Ok(())
}

pub(super) fn intern_form(transaction: &Transaction<'_>, form: &HitForm) -> Result<FormKey, BufferError> {
    let org_id = form.org_id.as_ref().map_or("", OrgId::as_str);
    let rules = form.visitor_rules.number();
    let values = (
        form.rsid.as_str(),
        form.identity.as_str(),
        org_id,
        form.event_ids.as_str(),
        form.count_form.as_str(),
        rules,
    );
    transaction.execute(
        "INSERT OR IGNORE INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values,
    )?;
    Ok(transaction.query_row(
        "SELECT form FROM forms WHERE rsid = ?1 AND identity = ?2 AND org_id = ?3 AND event_ids = ?4 AND count_form = ?5
             AND visitor_rules = ?6",
        values,
        |row| row.get(0).map(FormKey),
    )?)
}

fn refuse_other_settings(known: &ReportSuite, given: &ReportSuite) -> Result<(), BufferError> {
    let differs = [
        ("collection URL", known.collection_url != given.collection_url),
        ("identity", known.form.identity != given.form.identity),
        ("organisation ID", known.form.org_id != given.form.org_id),
        ("event IDs setting", known.form.event_ids != given.form.event_ids),
        ("count form", known.form.count_form != given.form.count_form),
        ("policy for doubt", known.on_ambiguous != given.on_ambiguous),
        ("rate", known.hits_per_second != given.hits_per_second),
        ("stage", known.stage != given.stage),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        Some((setting, _)) => Err(BufferError::OtherSettings { rsid: known.form.rsid.clone(), setting }),
        None => Ok(()),
    }
}

/// Refuses while events sent to this suite (of one requestor, or of all) may have been counted and nobody decided.
fn refuse_undecided(
    transaction: &Transaction<'_>,
    rsid: &Rsid,
    requestor: Option<RequestorKey>,
) -> Result<(), BufferError> {
    let (in_doubt, held): (i64, i64) = transaction.query_row(
        "SELECT (SELECT count(*) FROM (SELECT seq, form FROM claims UNION SELECT seq, form FROM doubts
                                       UNION SELECT b.seq, b.form FROM bulk_rows b JOIN bulk_files l ON l.file = b.file
                                             WHERE l.state <> 'written') u
                 JOIN forms f ON f.form = u.form JOIN events e ON e.seq = u.seq
                 JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
                 WHERE f.rsid = ?1 AND (?2 IS NULL OR e.requestor = ?2)),
                (SELECT count(*) FROM held h CROSS JOIN events e ON e.seq = h.seq JOIN doubts d ON d.seq = h.seq
                 JOIN forms f ON f.form = d.form WHERE f.rsid = ?1 AND (?2 IS NULL OR e.requestor = ?2))",
        (rsid.as_str(), requestor.map(|requestor| requestor.0)),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if in_doubt + held == 0 {
        return Ok(());
    }
    Err(BufferError::Undecided { rsid: rsid.clone(), in_doubt: in_doubt as u64, held: held as u64 })
}
