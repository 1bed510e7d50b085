//! Report suites and the requestors mapped to them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::forms::{intern_form, intern_requestor, read_form, suite_key};
use super::keys::{FormKey, RequestorKey, SuiteKey};
use super::rows::{all, each, first, from_row, only, run};
use super::verdicts::{confirmations_of, forget_words, verdict_of};
use crate::confirmation::Confirmation;
use crate::event::RequestorId;
use crate::suite::{HitForm, ReportSuite, Rsid, SuiteState, Verdict};

/// An active suite with the requestors whose events are sent to it.
#[derive(Debug, Clone)]
pub struct Route {
    pub suite: ReportSuite,
    pub form: FormKey,
    pub requestors: Vec<RequestorKey>,
}

/// A suite with its requestors, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuiteListing {
    #[serde(flatten)]
    pub suite: ReportSuite,
    pub requestors: Vec<String>,
    /// What people confirmed, in the order of the items.
    pub confirmations: Vec<Confirmation>,
    /// The result of the last check and probe; `None` if nobody has checked the suite.
    pub verdict: Option<Verdict>,
}

impl Buffer {
    /// Maps requestors to a suite. Makes the suite if it is unknown or retired. Fails if the suite has other settings,
    /// or if a requestor has another suite.
    pub fn add_suite(&self, suite: ReportSuite, requestors: Vec<RequestorId>) -> Result<()> {
        self.write(move |transaction| {
            let rsid = &suite.form.rsid;
            let same = |known: &&ReportSuite| known.form.rsid.as_str().eq_ignore_ascii_case(rsid.as_str());
            match find(transaction, None)?.iter().find(same) {
                // Adobe does not say whether case matters. If it does not matter, one suite would have two settings
                // and two verdicts.
                Some(ReportSuite { form: HitForm { rsid: known, .. }, .. }) if known != rsid => {
                    return Err(BufferError::OtherSpelling { rsid: rsid.clone(), known: known.clone() });
                }
                Some(known) => refuse_other_settings(known, &suite)?,
                None => {
                    // A retired suite gets the new spelling and keeps its verdict: Adobe still loses the same hits.
                    let respell = "UPDATE OR IGNORE suites SET rsid = ?1 WHERE rsid = ?1 COLLATE NOCASE";
                    run(transaction, respell, [rsid])?;
                    write(transaction, &suite)?;
                }
            }
            let key = suite_key(transaction, &suite.form.rsid)?;
            requestors
                .iter()
                .try_for_each(|requestor_id| map_requestor(transaction, requestor_id, key, &suite.form.rsid))
        })
    }

    /// All suites that are not retired, in the order of their IDs.
    pub fn suites(&self) -> Result<Vec<SuiteListing>> {
        self.read(|connection| {
            find(connection, None)?.into_iter().map(|suite| list(connection, suite)).collect()
        })
    }

    pub fn suite(&self, rsid: &Rsid) -> Result<SuiteListing> {
        self.read(|connection| match find(connection, Some(rsid))?.pop() {
            Some(suite) => list(connection, suite),
            None => Err(BufferError::UnknownSuite(rsid.clone())),
        })
    }

    pub fn suite_of(&self, requestor_id: &RequestorId) -> Result<Option<ReportSuite>> {
        self.read(|connection| match rsid_of(connection, requestor_id)? {
            Some(rsid) => Ok(find(connection, Some(&rsid))?.pop()),
            None => Ok(None),
        })
    }

    /// Replaces the settings of a known suite, its state included. Events in doubt keep the form of their attempts.
    /// Fails if the new settings would change how visitors are made while an event is partly sent.
    pub fn set_suite(&self, suite: ReportSuite) -> Result<()> {
        self.write(move |transaction| {
            suite_key(transaction, &suite.form.rsid)?;
            let known = find(transaction, Some(&suite.form.rsid))?.pop();
            if !known.is_none_or(|known| known.form.has_visitors_of(&suite.form)) {
                refuse_partly_sent(transaction, &suite.form.rsid)?;
            }
            write(transaction, &suite)
        })
    }

    /// Retires a suite. Until its requestors are mapped to another suite, their pending events are parked.
    /// Fails while events that were sent to the suite are undecided.
    pub fn remove_suite(&self, rsid: &Rsid) -> Result<()> {
        let rsid = rsid.clone();
        self.write(move |transaction| {
            let suite = suite_key(transaction, &rsid)?;
            refuse_undecided(transaction, &rsid, None)?;
            run(transaction, "DELETE FROM mappings WHERE suite = ?1", [suite])?;
            run(transaction, "UPDATE suites SET state = 'retired' WHERE suite = ?1", [suite])?;
            forget_words(transaction, suite)
        })
    }

    /// Frees a requestor from its suite. Fails while events of the requestor that were sent there are undecided.
    pub fn unmap_requestor(&self, rsid: &Rsid, requestor_id: &RequestorId) -> Result<()> {
        let (rsid, requestor_id) = (rsid.clone(), requestor_id.clone());
        self.write(move |transaction| {
            suite_key(transaction, &rsid)?;
            if rsid_of(transaction, &requestor_id)?.as_ref() != Some(&rsid) {
                return Err(BufferError::NotMapped { requestor_id: requestor_id.to_string(), rsid });
            }
            let requestor = intern_requestor(transaction, &requestor_id)?;
            refuse_undecided(transaction, &rsid, Some(requestor))?;
            run(transaction, "DELETE FROM mappings WHERE requestor = ?1", [requestor])
        })
    }

    /// The suites that a drain may send to, because they are active and not blocked, with their requestors.
    pub fn routes(&self) -> Result<Vec<Route>> {
        self.read(routes)
    }
}

fn routes(connection: &Connection) -> Result<Vec<Route>> {
    let mut routes: Vec<Route> = Vec::new();
    let select =
        "SELECT s.rsid, f.identity, f.org_id, f.event_ids, f.count_form, f.visitor_rules, s.collection_url,
                s.on_ambiguous, s.hits_per_second, s.state, s.stage, s.route, s.blocked, s.form, m.requestor
         FROM suites s JOIN forms f ON f.form = s.form JOIN mappings m ON m.suite = s.suite
         WHERE s.state = 'active' AND s.blocked IS NULL ORDER BY s.rsid, m.requestor";
    each(connection, select, [], |row| {
        let (suite, requestor) = (read_suite(row)?, row.get("requestor")?);
        match routes.last_mut().filter(|route| route.suite.form.rsid == suite.form.rsid) {
            Some(route) => route.requestors.push(requestor),
            None => routes.push(Route { suite, form: row.get("form")?, requestors: vec![requestor] }),
        }
        Ok(())
    })?;
    Ok(routes)
}

/// The suites that are not retired; if `rsid` is given, only this suite.
fn find(connection: &Connection, rsid: Option<&Rsid>) -> Result<Vec<ReportSuite>> {
    let select =
        "SELECT s.rsid, f.identity, f.org_id, f.event_ids, f.count_form, f.visitor_rules, s.collection_url,
            s.on_ambiguous, s.hits_per_second, s.state, s.stage, s.route, s.blocked
         FROM suites s JOIN forms f ON f.form = s.form
         WHERE s.state <> 'retired' AND (?1 IS NULL OR s.rsid = ?1) ORDER BY s.rsid";
    all(connection, select, [rsid], read_suite)
}

fn list(connection: &Connection, suite: ReportSuite) -> Result<SuiteListing> {
    let key = suite_key(connection, &suite.form.rsid)?;
    let select =
        "SELECT requestor_id FROM mappings JOIN requestors USING (requestor) WHERE suite = ?1 ORDER BY 1";
    Ok(SuiteListing {
        suite,
        requestors: all(connection, select, [key], only)?,
        confirmations: confirmations_of(connection, key)?,
        verdict: verdict_of(connection, key)?,
    })
}

fn read_suite(row: &Row<'_>) -> Result<ReportSuite> {
    let is_blocked = row.get_ref("blocked")? != ValueRef::Null;
    let state = match row.get("state")? {
        // A blocked suite is stored as active; the column `blocked` says why.
        SuiteState::Active if is_blocked => SuiteState::Blocked,
        state => state,
    };
    Ok(from_row!(row, ReportSuite { collection_url, on_ambiguous, hits_per_second, stage, route },
        form: read_form(row)?, state: state))
}

fn rsid_of(connection: &Connection, requestor_id: &RequestorId) -> Result<Option<Rsid>> {
    let select = "SELECT s.rsid FROM mappings m JOIN requestors r ON r.requestor = m.requestor
         JOIN suites s ON s.suite = m.suite WHERE r.requestor_id = ?1";
    first(connection, select, [requestor_id], only)
}

fn map_requestor(connection: &Connection, id: &RequestorId, suite: SuiteKey, rsid: &Rsid) -> Result<()> {
    match rsid_of(connection, id)? {
        Some(current) if current == *rsid => Ok(()),
        Some(rsid) => Err(BufferError::MappedElsewhere { requestor_id: id.to_string(), rsid }),
        None => {
            let requestor = intern_requestor(connection, id)?;
            run(connection, "INSERT INTO mappings (requestor, suite) VALUES (?1, ?2)", (requestor, suite))
        }
    }
}

fn write(connection: &Connection, suite: &ReportSuite) -> Result<()> {
    let (rsid, form) = (&suite.form.rsid, intern_form(connection, &suite.form)?);
    let ReportSuite { collection_url, on_ambiguous, hits_per_second, stage, route, .. } = suite;
    let state = if suite.state == SuiteState::Paused { SuiteState::Paused } else { SuiteState::Active };
    run(
        connection,
        "INSERT INTO suites (rsid, form, collection_url, on_ambiguous, hits_per_second, state, stage, route)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (rsid) DO UPDATE SET form = ?2, collection_url = ?3, on_ambiguous = ?4, hits_per_second = ?5, state = ?6,
                                          stage = ?7, route = ?8",
        params![rsid, form, collection_url, on_ambiguous, hits_per_second, state, stage, route],
    )
}

fn refuse_other_settings(known: &ReportSuite, given: &ReportSuite) -> Result<()> {
    match known.differs_in(given) {
        Some(setting) => Err(BufferError::OtherSettings { rsid: known.form.rsid.clone(), setting }),
        None => Ok(()),
    }
}

/// Fails if this suite counted, or may have counted, pending or held events; with `requestor`, only its events matter.
fn refuse_undecided(connection: &Connection, rsid: &Rsid, requestor: Option<RequestorKey>) -> Result<()> {
    let undecided = first(
        connection,
        "SELECT (SELECT count(*) FROM (SELECT seq, form FROM claims UNION SELECT seq, form FROM doubts WHERE attempts > 0
                                       UNION SELECT b.seq, b.form FROM bulk_rows b JOIN bulk_files l ON l.file = b.file
                                             WHERE l.state <> 'written') u
                 JOIN forms f ON f.form = u.form JOIN events e ON e.seq = u.seq
                 JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
                 WHERE f.rsid = ?1 AND (?2 IS NULL OR e.requestor = ?2)) AS in_doubt,
                (SELECT count(*) FROM doubts d CROSS JOIN events e ON e.seq = d.seq JOIN forms f ON f.form = d.form
                 JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq
                 WHERE d.attempts = 0 AND f.rsid = ?1 AND (?2 IS NULL OR e.requestor = ?2)) AS partly_sent,
                (SELECT count(*) FROM held h CROSS JOIN events e ON e.seq = h.seq JOIN doubts d ON d.seq = h.seq
                 JOIN forms f ON f.form = d.form WHERE f.rsid = ?1 AND (?2 IS NULL OR e.requestor = ?2)) AS held",
        (rsid, requestor),
        |row| Ok([row.get::<_, u64>("in_doubt")?, row.get("partly_sent")?, row.get("held")?]),
    )?;
    match undecided {
        Some([0, 0, 0]) | None => Ok(()),
        Some([in_doubt, partly_sent, held]) => {
            Err(BufferError::Undecided { rsid: rsid.clone(), in_doubt, partly_sent, held })
        }
    }
}

fn refuse_partly_sent(connection: &Connection, rsid: &Rsid) -> Result<()> {
    match refuse_undecided(connection, rsid, None) {
        Err(BufferError::Undecided { partly_sent: 0, .. }) => Ok(()),
        undecided => undecided,
    }
}
