//! Requestors, suites and hit forms by the numbers that the buffer has for them.

use rusqlite::{Connection, Row, params};

use super::error::{BufferError, Result};
use super::keys::{FormKey, RequestorKey, SuiteKey};
use super::rows::{Word, first, only, run, value, word};
use crate::event::{RequestorId, VisitorRules};
use crate::suite::{HitForm, Rsid};

/// The number of a requestor, given one where it has none.
pub(super) fn intern_requestor(connection: &Connection, requestor_id: &RequestorId) -> Result<RequestorKey> {
    let name = [requestor_id.as_str()];
    run(connection, "INSERT OR IGNORE INTO requestors (requestor_id) VALUES (?1)", name)?;
    value(connection, "SELECT requestor FROM requestors WHERE requestor_id = ?1", name)
}

/// The name behind a requestor's number.
pub(super) fn requestor_id_of(connection: &Connection, requestor: RequestorKey) -> Result<RequestorId> {
    let name: String =
        value(connection, "SELECT requestor_id FROM requestors WHERE requestor = ?1", [requestor])?;
    RequestorId::new(&name).map_err(|error| BufferError::damage(&error.to_string()))
}

/// The number of a suite, where it is known and not retired.
pub(super) fn suite_key(connection: &Connection, rsid: &Rsid) -> Result<SuiteKey> {
    let select = "SELECT suite FROM suites WHERE rsid = ?1 AND state <> 'retired'";
    first(connection, select, [rsid.as_str()], only)?.ok_or_else(|| BufferError::UnknownSuite(rsid.clone()))
}

/// The number of a form, given one where it has none; forms are never deleted.
pub(super) fn intern_form(connection: &Connection, form: &HitForm) -> Result<FormKey> {
    let HitForm { rsid, identity, org_id, event_ids, count_form, visitor_rules } = form;
    let org_id = org_id.as_ref().map_or("", |org_id| org_id.as_str());
    let values = params![
        rsid.as_str(),
        Word(identity),
        org_id,
        Word(event_ids),
        Word(count_form),
        visitor_rules.number()
    ];
    let change = "INSERT OR IGNORE INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    run(connection, change, values)?;
    let select = "SELECT form FROM forms WHERE rsid = ?1 AND identity = ?2 AND org_id = ?3 AND event_ids = ?4
         AND count_form = ?5 AND visitor_rules = ?6";
    value(connection, select, values)
}

/// The form behind a number.
pub(super) fn form_of(connection: &Connection, form: FormKey) -> Result<HitForm> {
    let select =
        "SELECT rsid, identity, org_id, event_ids, count_form, visitor_rules FROM forms WHERE form = ?1";
    first(connection, select, [form], read_form)?.ok_or_else(|| BufferError::damage("a form is gone"))
}

/// The form of a row that has its columns.
pub(super) fn read_form(row: &Row<'_>) -> Result<HitForm> {
    let has_org_id = !row.get_ref("org_id")?.as_str().unwrap_or_default().is_empty();
    let rules = VisitorRules::of_number(row.get("visitor_rules")?);
    Ok(HitForm {
        rsid: word(row, "rsid")?,
        identity: word(row, "identity")?,
        org_id: has_org_id.then(|| word(row, "org_id")).transpose()?,
        event_ids: word(row, "event_ids")?,
        count_form: word(row, "count_form")?,
        visitor_rules: rules.ok_or_else(|| BufferError::damage("unknown visitor_rules"))?,
    })
}
