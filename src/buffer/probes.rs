//! Records of probes: what each sent to a suite, and what Analytics showed of it.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::columns::Json;
use super::database::Buffer;
use super::error::{BufferError, Result};
use super::forms::{intern_form, read_form, suite_key};
use super::rows::{first, from_row, run};
use crate::event::{Instant, RequestorId};
use crate::suite::{HitForm, Rsid};

/// A probe that is about to send its first hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProbe {
    /// The ID that is part of every value of the probe's hits.
    pub id: String,
    pub requestor_id: RequestorId,
    pub form: HitForm,
    pub started_at: Instant,
}

/// A recorded probe. Its hits can be made again from this record, byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeRecord {
    pub id: String,
    pub requestor_id: RequestorId,
    #[serde(flatten)]
    pub form: HitForm,
    pub started_at: Instant,
    /// When the last hit was answered; `None` if the probe was interrupted before.
    pub sent_at: Option<Instant>,
    /// When Analytics was last asked, and what it showed; `None` if it was not asked yet.
    pub read_at: Option<Instant>,
    pub report: Option<serde_json::Value>,
}

impl Buffer {
    /// Records a probe before its first hit is sent.
    pub fn begin_probe(&self, probe: NewProbe) -> Result<()> {
        self.write(move |transaction| {
            let NewProbe { id, requestor_id, form, started_at } = probe;
            let (suite, form) = (suite_key(transaction, &form.rsid)?, intern_form(transaction, &form)?);
            let insert =
                "INSERT INTO probes (id, suite, requestor_id, form, started_at) VALUES (?1, ?2, ?3, ?4, ?5)";
            run(transaction, insert, (id, suite, requestor_id, form, started_at))
        })
    }

    /// Deletes the record of a probe that sent no hit, because there is nothing to read back.
    pub fn drop_probe(&self, id: &str) -> Result<()> {
        self.change("DELETE FROM probes WHERE id = ?1", [id.to_owned()])
    }

    /// Notes that the last hit of a probe was answered.
    pub fn probe_sent(&self, id: &str) -> Result<()> {
        self.change("UPDATE probes SET sent_at = ?2 WHERE id = ?1", (id.to_owned(), self.now()))
    }

    /// Stores what Analytics showed of a probe; replaces what was stored before.
    pub fn probe_read(&self, id: &str, report: &serde_json::Value) -> Result<()> {
        let update = "UPDATE probes SET read_at = ?2, report = ?3 WHERE id = ?1";
        self.change(update, (id.to_owned(), self.now(), report.to_string()))
    }

    pub fn probe(&self, rsid: &Rsid, id: &str) -> Result<ProbeRecord> {
        let found = self.read(|connection| find(connection, rsid, Which::Named(id)))?;
        found.ok_or_else(|| BufferError::UnknownProbe(id.to_owned()))
    }

    /// The latest probe of a suite, even if it was interrupted.
    pub fn last_probe(&self, rsid: &Rsid) -> Result<Option<ProbeRecord>> {
        self.read(|connection| find(connection, rsid, Which::Last))
    }

    /// The latest probe of a suite that was read back. Later probes that were not read back prove nothing.
    pub fn last_read_probe(&self, rsid: &Rsid) -> Result<Option<ProbeRecord>> {
        self.read(|connection| find(connection, rsid, Which::LastRead))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which<'a> {
    Named(&'a str),
    Last,
    LastRead,
}

fn find(connection: &Connection, rsid: &Rsid, which: Which<'_>) -> Result<Option<ProbeRecord>> {
    let id = if let Which::Named(id) = which { Some(id) } else { None };
    let select = "SELECT p.id, p.requestor_id, p.started_at, p.sent_at, p.read_at, p.report,
                f.rsid, f.identity, f.org_id, f.event_ids, f.count_form, f.visitor_rules
         FROM probes p JOIN suites s ON s.suite = p.suite JOIN forms f ON f.form = p.form
         WHERE s.rsid = ?1 AND (?2 IS NULL OR p.id = ?2) AND (NOT ?3 OR p.read_at IS NOT NULL)
         ORDER BY p.started_at DESC, p.probe DESC LIMIT 1";
    first(connection, select, (rsid, id, which == Which::LastRead), record)
}

fn record(row: &Row<'_>) -> Result<ProbeRecord> {
    let report = row.get::<_, Option<Json<_>>>("report")?.map(|report| report.0);
    Ok(from_row!(row, ProbeRecord { id, requestor_id, started_at, sent_at, read_at },
        form: read_form(row)?, report: report))
}
