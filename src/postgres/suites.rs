//! Report suites, the requestors mapped to them, and the forms of their hits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use crate::buffer::SuiteListing;
use crate::event::{RequestorId, VisitorRules};
use crate::suite::{HitForm, ReportSuite, Rsid, SuiteState};

/// How many slices a suite has: more workers than this would have no work. An index of `event` has this number too.
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

/// How a mapping of requestors ended, when the database did not fail.
enum Mapped {
    Done,
    Elsewhere(String, String),
    Other(String),
}

impl SharedBuffer {
    /// Maps requestors to a suite. Makes an unknown suite. Fails if the suite has other settings.
    pub async fn add_suite(&mut self, suite: &ReportSuite, requestors: &[RequestorId]) -> Result<()> {
        let (rsid, rules) = (suite.form.rsid.as_str(), suite.form.visitor_rules.number());
        let settings = serde_json::to_string(suite).expect("words and names always serialise");
        let is_paused = suite.state == SuiteState::Paused;
        let ids: Vec<&str> = requestors.iter().map(RequestorId::as_str).collect();
        let mapped = self
            .write(async |client| {
                let select =
                    "SELECT rsid, settings FROM passbridge.suite WHERE lower(rsid) = lower($1) FOR UPDATE";
                let known = client.query_typed(select, &[(&rsid, Type::TEXT)]).await?;
                let is_same = |row: &Row| {
                    let known: Option<ReportSuite> = serde_json::from_str(row.get(1)).ok();
                    let paused =
                        |suite: &ReportSuite| ReportSuite { state: SuiteState::Paused, ..suite.clone() };
                    known.is_some_and(|known| paused(&known) == paused(suite))
                };
                if let Some(other) = known.iter().find(|row| !is_same(row)) {
                    return Ok(Mapped::Other(other.get(0)));
                }
                let select = "SELECT requestor_id, rsid FROM passbridge.requestor
                     WHERE requestor_id = ANY($1) AND rsid <> $2";
                let values = [(&ids as _, Type::TEXT_ARRAY), (&rsid as _, Type::TEXT)];
                if let Some(row) = client.query_typed(select, &values).await?.first() {
                    return Ok(Mapped::Elsewhere(row.get(0), row.get(1)));
                }
                let insert = "INSERT INTO passbridge.suite (rsid, settings, visitor_rules, is_paused)
                     VALUES ($1, $2, $3, $4) ON CONFLICT (rsid) DO NOTHING";
                let values = [
                    (&rsid as _, Type::TEXT),
                    (&settings as _, Type::TEXT),
                    (&rules as _, Type::INT8),
                    (&is_paused as _, Type::BOOL),
                ];
                client.execute_typed(insert, &values).await?;
                let insert =
                    "INSERT INTO passbridge.slice (rsid, n) SELECT $1, n FROM generate_series(0, $2 - 1) n
                     ON CONFLICT DO NOTHING";
                client.execute_typed(insert, &[(&rsid, Type::TEXT), (&SLICES, Type::INT4)]).await?;
                let insert =
                    "INSERT INTO passbridge.requestor (requestor_id, rsid) SELECT id, $2 FROM unnest($1) id
                     ON CONFLICT (requestor_id) DO UPDATE SET rsid = $2";
                let values = [(&ids as _, Type::TEXT_ARRAY), (&rsid as _, Type::TEXT)];
                client.execute_typed(insert, &values).await?;
                Ok(Mapped::Done)
            })
            .await?;
        match mapped {
            Mapped::Done => Ok(()),
            Mapped::Other(known) => Err(PostgresError::OtherSettings { known }),
            Mapped::Elsewhere(requestor_id, rsid) => {
                Err(PostgresError::MappedElsewhere { requestor_id, rsid })
            }
        }
    }

    /// Stops a suite's events from being sent, or lets them go again.
    pub async fn pause_suite(&mut self, rsid: &Rsid, is_paused: bool) -> Result<()> {
        let id = rsid.as_str();
        let update = "UPDATE passbridge.suite SET is_paused = $2 WHERE rsid = $1";
        let values = [(&id as _, Type::TEXT), (&is_paused as _, Type::BOOL)];
        let changed = self.write(async |client| client.execute_typed(update, &values).await).await?;
        if changed == 0 { Err(PostgresError::UnknownSuite(rsid.clone())) } else { Ok(()) }
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

fn read_suite(row: &Row) -> Result<ReportSuite> {
    let suite: ReportSuite = serde_json::from_str(row.get(0))
        .map_err(|_| PostgresError::Damaged("the settings of a suite cannot be read"))?;
    let state = if row.get(2) { SuiteState::Paused } else { SuiteState::Active };
    Ok(ReportSuite { form: with_rules(suite.form, row.get(1))?, state, ..suite })
}
