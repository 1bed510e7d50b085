//! The numbers that the buffer gives to requestors, suites and hit forms.

use rusqlite::{Connection, Row};

use super::error::{BufferError, Result};
use super::keys::{FormKey, RequestorKey, SuiteKey};
use super::rows::{first, from_row, only, run, value};
use crate::event::{RequestorId, VisitorRules};
use crate::suite::{HitForm, Rsid};

/// The number of a requestor. A new requestor gets a new number.
pub(super) fn intern_requestor(connection: &Connection, requestor_id: &RequestorId) -> Result<RequestorKey> {
    run(connection, "INSERT OR IGNORE INTO requestors (requestor_id) VALUES (?1)", [requestor_id])?;
    value(connection, "SELECT requestor FROM requestors WHERE requestor_id = ?1", [requestor_id])
}

pub(super) fn requestor_id_of(connection: &Connection, requestor: RequestorKey) -> Result<RequestorId> {
    value(connection, "SELECT requestor_id FROM requestors WHERE requestor = ?1", [requestor])
}

/// The number of a suite; fails if it is unknown or retired.
pub(super) fn suite_key(connection: &Connection, rsid: &Rsid) -> Result<SuiteKey> {
    let select = "SELECT suite FROM suites WHERE rsid = ?1 AND state <> 'retired'";
    first(connection, select, [rsid], only)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))
}

/// The number of a form. A new form gets a new number; forms are never deleted.
pub(super) fn intern_form(connection: &Connection, form: &HitForm) -> Result<FormKey> {
    let HitForm { rsid, identity, org_id, event_ids, count_form, visitor_rules } = form;
    let org_id = org_id.as_ref().map_or("", |org_id| org_id.as_str());
    let values = (rsid, identity, org_id, event_ids, count_form, visitor_rules.number());
    let change = "INSERT OR IGNORE INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    run(connection, change, values)?;
    let select = "SELECT form FROM forms WHERE rsid = ?1 AND identity = ?2 AND org_id = ?3 AND event_ids = ?4
         AND count_form = ?5 AND visitor_rules = ?6";
    value(connection, select, values)
}

pub(super) fn form_of(connection: &Connection, form: FormKey) -> Result<HitForm> {
    let select =
        "SELECT rsid, identity, org_id, event_ids, count_form, visitor_rules FROM forms WHERE form = ?1";
    first(connection, select, [form], read_form)?.ok_or_else(|| BufferError::damage("a form is gone"))
}

/// Reads a form from a row that has the columns of `forms`.
pub(super) fn read_form(row: &Row<'_>) -> Result<HitForm> {
    let has_org_id = !row.get_ref("org_id")?.as_str().unwrap_or_default().is_empty();
    let rules = VisitorRules::of_number(row.get("visitor_rules")?);
    Ok(from_row!(row, HitForm { rsid, identity, event_ids, count_form },
        org_id: has_org_id.then(|| row.get("org_id")).transpose()?,
        visitor_rules: rules.ok_or_else(|| BufferError::damage("unknown visitor_rules"))?))
}
