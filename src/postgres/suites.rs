//! Report suites, the requestors mapped to them, and the forms of their hits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use crate::buffer::{BufferError, SuiteListing};
use crate::event::{RequestorId, VisitorRules};
use crate::suite::{HitForm, ReportSuite, Rsid, SuiteState};

/// How many slices a suite has, and so how many workers can send to it. An index of `event` has this number too.
pub(super) const SLICES: i32 = 16;
/// The buckets of visitors that slices are made of, so that a later release can choose another number of slices.
pub(super) const BUCKETS: u64 = 1024;

/// An active suite with the numbers of its requestors.
#[derive(Debug, Clone)]
pub struct SharedRoute {
    pub suite: ReportSuite,
    /// The form of its hits, as attempts store it.
    pub form: Arc<str>,
    pub requestors: Vec<i32>,
}

impl SharedRoute {
    /// Whether a drain that began with this route may go on: its slices have the same visitors, and each of its
    /// requestors still belongs to the suite.
    pub fn holds_in(&self, now: &SharedRoute) -> bool {
        self.suite.form.has_visitors_of(&now.suite.form)
            && self.requestors.iter().all(|requestor| now.requestors.contains(requestor))
    }
}

/// A form as text, with the version of its visitor rules.
#[derive(Serialize, Deserialize)]
struct FormText {
    #[serde(flatten)]
    form: HitForm,
    visitor_rules: i64,
}

pub(super) fn form_text(form: &HitForm) -> String {
    let text = FormText { form: form.clone(), visitor_rules: form.visitor_rules.number() };
    serde_json::to_string(&text).expect("words and names always serialise")
}

pub(super) fn read_form(text: &str) -> Result<HitForm> {
    let damaged = PostgresError::Damaged("the form of an attempt cannot be read");
    let Ok(FormText { form, visitor_rules }) = serde_json::from_str(text) else { return Err(damaged) };
    with_rules(form, visitor_rules)
}

fn with_rules(form: HitForm, number: i64) -> Result<HitForm> {
    let rules = VisitorRules::of_number(number);
    let visitor_rules = rules.ok_or(PostgresError::Damaged("a suite has unknown visitor rules"))?;
    Ok(HitForm { visitor_rules, ..form })
}

/// The suite with this ID, in upper or lower case, locked until the transaction ends.
const SUITE: &str = "SELECT s.settings, s.visitor_rules, s.is_paused FROM passbridge.suite s
     WHERE lower(s.rsid) = lower($1) FOR UPDATE";

const WRITE: &str =
    "INSERT INTO passbridge.suite (rsid, settings, visitor_rules, is_paused) VALUES ($1, $2, $3, $4)
     ON CONFLICT (rsid) DO UPDATE SET settings = $2, visitor_rules = $3, is_paused = $4";

/// While these rows are locked, no worker begins an attempt for the suite.
const LOCK_SLICES: &str = "SELECT FROM passbridge.slice WHERE rsid = $1 ORDER BY n FOR UPDATE";

/// How many slices belong to workers who may be sending, and how many undecided events the suite may have counted, or
/// has counted in part: in doubt, partly sent, held.
const UNDECIDED: &str = "SELECT (SELECT count(*) FROM passbridge.slice s JOIN passbridge.worker w ON w.worker = s.owner
            WHERE s.rsid = $1 AND w.gone_at > clock_timestamp()),
        count(*) FILTER (WHERE f.seq IS NULL AND t.is_doubted),
        count(*) FILTER (WHERE f.seq IS NULL AND NOT t.is_doubted AND t.hits_sent > 0),
        count(*) FILTER (WHERE f.state = 'held')
     FROM (SELECT a.seq, bool_or(o.seq IS NULL OR o.verdict = 'doubt') AS is_doubted, max(o.hits_sent) AS hits_sent
           FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
           WHERE a.rsid = $1 GROUP BY a.seq) t
     JOIN passbridge.event e ON e.seq = t.seq JOIN passbridge.requestor r ON r.requestor = e.requestor
     LEFT JOIN passbridge.final f ON f.seq = t.seq WHERE $2::text IS NULL OR r.requestor_id = $2";

/// Forgets what the slices of a suite have covered, because other visitors belong to them from now on. So the next
/// drain looks at every event again, and skips those that are decided.
const BEGIN_AGAIN: &str = "WITH gone AS (DELETE FROM passbridge.progress WHERE rsid = $1)
     UPDATE passbridge.aside a SET n = CASE $2 WHEN 'ecid' THEN e.ecid_bucket ELSE e.mvpd_bucket END & 15
     FROM passbridge.event e WHERE e.seq = a.seq AND a.rsid = $1";

/// Frees one requestor of a suite, or all. Once they are mapped again, drains begin at their oldest undecided event.
const UNMAP: &str = "WITH freed AS (
        UPDATE passbridge.requestor SET rsid = NULL WHERE rsid = $1 AND ($2::text IS NULL OR requestor_id = $2) RETURNING requestor),
     gone AS (DELETE FROM passbridge.progress p USING freed f WHERE p.rsid = $1 AND p.requestor = f.requestor),
     left_over AS (DELETE FROM passbridge.aside a USING passbridge.event e, freed f
                   WHERE a.rsid = $1 AND e.seq = a.seq AND e.requestor = f.requestor)
     SELECT count(*) FROM freed";

type Done<T> = std::result::Result<Result<T>, Error>;

impl SharedBuffer {
    /// Maps requestors to a suite. Makes an unknown suite. Fails if a known suite has other settings or another
    /// spelling, or if a requestor belongs to another suite.
    pub async fn add_suite(&mut self, suite: &ReportSuite, requestors: &[RequestorId]) -> Result<()> {
        let rsid = suite.form.rsid.as_str();
        let ids: Vec<&str> = requestors.iter().map(RequestorId::as_str).collect();
        let refused = |error: BufferError| Ok(Err(error.into()));
        self.write(async |client| {
            let found = client.query_typed(SUITE, &[(&rsid, Type::TEXT)]).await?;
            match found.first().map(read_suite) {
                Some(Err(error)) => return Ok(Err(error)),
                Some(Ok(known)) if known.form.rsid != suite.form.rsid => {
                    let rsid = suite.form.rsid.clone();
                    return refused(BufferError::OtherSpelling { rsid, known: known.form.rsid });
                }
                Some(Ok(known)) => {
                    if let Some(setting) = known.differs_in(suite) {
                        return refused(BufferError::OtherSettings { rsid: known.form.rsid, setting });
                    }
                }
                None => {}
            }
            let select = "SELECT requestor_id, rsid FROM passbridge.requestor
                 WHERE requestor_id = ANY($1) AND rsid <> $2 ORDER BY 1 FOR NO KEY UPDATE";
            let values = [(&ids as _, Type::TEXT_ARRAY), (&rsid as _, Type::TEXT)];
            if let Some(row) = client.query_typed(select, &values).await?.first() {
                let Ok(rsid) = row.get::<_, &str>(1).parse() else {
                    return Ok(Err(PostgresError::Damaged("the ID of a suite cannot be read")));
                };
                return refused(BufferError::MappedElsewhere { requestor_id: row.get(0), rsid });
            }
            if found.is_empty() {
                write(client, suite).await?;
            }
            let insert =
                "INSERT INTO passbridge.slice (rsid, n) SELECT $1, n FROM generate_series(0, $2 - 1) n
                 ON CONFLICT DO NOTHING";
            client.execute_typed(insert, &[(&rsid, Type::TEXT), (&SLICES, Type::INT4)]).await?;
            let insert =
                "INSERT INTO passbridge.requestor (requestor_id, rsid) SELECT id, $2 FROM unnest($1) id
                 ON CONFLICT (requestor_id) DO UPDATE SET rsid = $2";
            client.execute_typed(insert, &values).await.map(|_| Ok(()))
        })
        .await?
    }

    /// Replaces the settings of a known suite, its state included. Events in doubt keep the form of their attempts.
    /// Fails if the new settings would change how visitors are made while a drain sends to the suite, or while an event
    /// is partly sent.
    pub async fn set_suite(&mut self, suite: &ReportSuite) -> Result<()> {
        let (rsid, identity) = (suite.form.rsid.as_str(), suite.form.identity.as_str());
        self.write(async |client| {
            let known = match known(client, &suite.form.rsid).await? {
                Ok(known) => known,
                Err(error) => return Ok(Err(error)),
            };
            if !known.form.has_visitors_of(&suite.form) {
                match free(client, &suite.form.rsid, None).await? {
                    Err(PostgresError::Refused(BufferError::Undecided { partly_sent: 0, .. })) | Ok(()) => {}
                    refused => return Ok(refused),
                }
                let values = [(&rsid as _, Type::TEXT), (&identity as _, Type::TEXT)];
                client.execute_typed(BEGIN_AGAIN, &values).await?;
            }
            write(client, suite).await.map(Ok)
        })
        .await?
    }

    /// Retires a suite. Until its requestors are mapped to another suite, their pending events are parked.
    /// Fails while a drain sends to the suite, or while events that were sent there are undecided.
    pub async fn remove_suite(&mut self, rsid: &Rsid) -> Result<()> {
        let id = [(&rsid.as_str() as &(dyn ToSql + Sync), Type::TEXT)];
        self.write(async |client| {
            if let Err(refused) = unmap(client, rsid, None).await? {
                return Ok(Err(refused));
            }
            for delete in [
                "DELETE FROM passbridge.slice WHERE rsid = $1",
                "DELETE FROM passbridge.suite WHERE rsid = $1",
            ] {
                client.execute_typed(delete, &id).await?;
            }
            Ok(Ok(()))
        })
        .await?
    }

    /// Frees a requestor from its suite. Fails while a drain sends to the suite, or while events of the requestor that
    /// were sent there are undecided.
    pub async fn unmap_requestor(&mut self, rsid: &Rsid, requestor_id: &RequestorId) -> Result<()> {
        let freed = self.write(async |client| unmap(client, rsid, Some(requestor_id)).await).await??;
        match freed {
            0 => {
                Err(BufferError::NotMapped { requestor_id: requestor_id.to_string(), rsid: rsid.clone() }
                    .into())
            }
            _ => Ok(()),
        }
    }

    pub async fn suite(&mut self, rsid: &Rsid) -> Result<SuiteListing> {
        let found = self.suites().await?.into_iter().find(|listing| listing.suite.form.rsid == *rsid);
        found.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()).into())
    }

    pub async fn suite_of(&mut self, requestor_id: &RequestorId) -> Result<Option<ReportSuite>> {
        let is_its = |listing: &SuiteListing| listing.requestors.iter().any(|id| id == requestor_id.as_str());
        Ok(self.suites().await?.into_iter().find(is_its).map(|listing| listing.suite))
    }

    /// All suites, in the order of their IDs.
    pub async fn suites(&mut self) -> Result<Vec<SuiteListing>> {
        let select = "SELECT s.settings, s.visitor_rules, s.is_paused,
                array(SELECT r.requestor_id FROM passbridge.requestor r WHERE r.rsid = s.rsid ORDER BY 1)
             FROM passbridge.suite s ORDER BY s.rsid";
        let listing = |row: &Row| {
            let requestors = row.get(3);
            Ok(SuiteListing { suite: read_suite(row)?, requestors, confirmations: Vec::new(), verdict: None })
        };
        self.rows(select, &[]).await?.iter().map(listing).collect()
    }

    /// The suites that a drain may send to, with their requestors.
    pub async fn routes(&mut self) -> Result<Vec<SharedRoute>> {
        let select = "SELECT s.settings, s.visitor_rules, s.is_paused,
                array(SELECT r.requestor FROM passbridge.requestor r WHERE r.rsid = s.rsid ORDER BY 1)
             FROM passbridge.suite s WHERE NOT s.is_paused ORDER BY s.rsid";
        let route = |row: &Row| {
            let suite = read_suite(row)?;
            Ok(SharedRoute { form: form_text(&suite.form).into(), suite, requestors: row.get(3) })
        };
        self.rows(select, &[]).await?.iter().map(route).collect()
    }
}

async fn write(client: &Client, suite: &ReportSuite) -> std::result::Result<(), Error> {
    let settings = serde_json::to_string(suite).expect("words and names always serialise");
    let (rsid, rules) = (suite.form.rsid.as_str(), suite.form.visitor_rules.number());
    let is_paused = suite.state == SuiteState::Paused;
    let values = [
        (&rsid as _, Type::TEXT),
        (&settings as _, Type::TEXT),
        (&rules as _, Type::INT8),
        (&is_paused as _, Type::BOOL),
    ];
    client.execute_typed(WRITE, &values).await.map(drop)
}

/// The suite with exactly this ID, locked.
async fn known(client: &Client, rsid: &Rsid) -> Done<ReportSuite> {
    let rows = client.query_typed(SUITE, &[(&rsid.as_str(), Type::TEXT)]).await?;
    Ok(match rows.first().map(read_suite).transpose() {
        Ok(Some(suite)) if suite.form.rsid == *rsid => Ok(suite),
        Ok(_) => Err(BufferError::UnknownSuite(rsid.clone()).into()),
        Err(error) => Err(error),
    })
}

/// Locks the slices of a suite. Fails if a worker may be sending, or if events that were sent to the suite (only those
/// of the requestor, if one is given) are undecided. A worker that is gone cannot come back to its slices.
async fn free(client: &Client, rsid: &Rsid, requestor_id: Option<&RequestorId>) -> Done<()> {
    let (id, requestor_id) = (rsid.as_str(), requestor_id.map(RequestorId::as_str));
    client.query_typed(LOCK_SLICES, &[(&id, Type::TEXT)]).await?;
    let values = [(&id as _, Type::TEXT), (&requestor_id as _, Type::TEXT)];
    let rows = client.query_typed(UNDECIDED, &values).await?;
    let [sending, in_doubt, partly_sent, held] =
        std::array::from_fn(|column| rows[0].get::<_, i64>(column).cast_unsigned());
    if sending > 0 {
        return Ok(Err(PostgresError::Sending(rsid.clone())));
    }
    let update =
        "UPDATE passbridge.slice SET owner = NULL, epoch = epoch + 1 WHERE rsid = $1 AND owner IS NOT NULL";
    client.execute_typed(update, &[(&id, Type::TEXT)]).await?;
    Ok(match in_doubt + partly_sent + held {
        0 => Ok(()),
        _ => Err(BufferError::Undecided { rsid: rsid.clone(), in_doubt, partly_sent, held }.into()),
    })
}

async fn unmap(client: &Client, rsid: &Rsid, requestor_id: Option<&RequestorId>) -> Done<i64> {
    if let Err(error) = known(client, rsid).await? {
        return Ok(Err(error));
    }
    if let Err(refused) = free(client, rsid, requestor_id).await? {
        return Ok(Err(refused));
    }
    let (id, requestor_id) = (rsid.as_str(), requestor_id.map(RequestorId::as_str));
    let values = [(&id as _, Type::TEXT), (&requestor_id as _, Type::TEXT)];
    Ok(Ok(client.query_typed(UNMAP, &values).await?[0].get(0)))
}

fn read_suite(row: &Row) -> Result<ReportSuite> {
    let suite: ReportSuite = serde_json::from_str(row.get(0))
        .map_err(|_| PostgresError::Damaged("the settings of a suite cannot be read"))?;
    let state = if row.get(2) { SuiteState::Paused } else { SuiteState::Active };
    Ok(ReportSuite { form: with_rules(suite.form, row.get(1))?, state, ..suite })
}
