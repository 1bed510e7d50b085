//! The undecided events of a slice, page by page in the order of their time.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use super::slices::{Claim, Cut};
use super::suites::{SharedRoute, read_form};
use crate::event::{EventId, EventKind, Instant, PassEvent, RequestorId, StoredColumns};
use crate::suite::{HitForm, IdentityKind};

/// The number of events in a page: one read takes a few milliseconds, and holds some 300 KiB of bodies.
const PAGE_EVENTS: i64 = 256;
/// A snapshot in which nothing is visible.
const NOTHING: &str = "1:1:";

/// What earlier attempts of an event left open. Any repeat has the form of those attempts.
#[derive(Debug, Clone)]
pub struct Earlier {
    pub form: HitForm,
    pub form_text: Arc<str>,
    /// How many hits were counted; they are not sent again.
    pub hits_sent: i32,
    /// Whether an attempt may have been counted, and no person has accepted a repeat.
    pub is_in_doubt: bool,
}

/// An event that waits to be sent.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub seq: i64,
    pub id: EventId,
    pub event: PassEvent,
    pub earlier: Option<Earlier>,
}

/// How far the events of one slice were read, page by page.
#[derive(Debug, Clone)]
pub struct Backlog {
    cut: Cut,
    identity: IdentityKind,
    requestors: Vec<i32>,
    /// The snapshot up to which each requestor is covered, in the order of `requestors`.
    since: Vec<String>,
    claim: Claim,
    /// The time and the number of the last event that was read.
    at: (i64, i64),
    pub is_exhausted: bool,
}

/// Reads a page, by one kind of bucket. The caller, not the server, leaves out events with a final state, so that the
/// time for a page never depends on their number.
macro_rules! page {
    ($kind:literal) => {
        concat!(
            "SELECT * FROM passbridge.page_by_",
            $kind,
            "($1, $2, $3, $4::text[]::pg_snapshot[], $5::text::pg_snapshot, $6, $7, $8)"
        )
    };
}

impl SharedBuffer {
    /// Begins to read a slice that this worker owns.
    pub async fn backlog(&mut self, claim: &Claim, cut: &Cut, route: &SharedRoute) -> Result<Backlog> {
        let progress = self.progress(claim).await?;
        let since = |requestor| progress.get(requestor).cloned().unwrap_or_else(|| NOTHING.to_owned());
        Ok(Backlog {
            cut: cut.clone(),
            identity: route.suite.form.identity,
            since: route.requestors.iter().map(since).collect(),
            requestors: route.requestors.clone(),
            claim: claim.clone(),
            at: (i64::MIN, i64::MIN),
            is_exhausted: false,
        })
    }

    /// The next undecided events. A page may be empty before the end; `is_exhausted` tells when the end is reached.
    pub async fn page(&mut self, backlog: &mut Backlog) -> Result<Vec<Waiting>> {
        let rsid = backlog.claim.rsid.as_str();
        let values = [
            (&rsid as _, Type::TEXT),
            (&backlog.claim.n as _, Type::INT4),
            (&backlog.requestors as _, Type::INT4_ARRAY),
            (&backlog.since as _, Type::TEXT_ARRAY),
            (&backlog.cut.snapshot as _, Type::TEXT),
            (&backlog.at.0 as _, Type::INT8),
            (&backlog.at.1 as _, Type::INT8),
            (&PAGE_EVENTS as _, Type::INT8),
        ];
        let sql = match backlog.identity {
            IdentityKind::MvpdUserId => page!("mvpd"),
            IdentityKind::Ecid => page!("ecid"),
        };
        let rows = self.rows(sql, &values).await?;
        backlog.is_exhausted = rows.len() < PAGE_EVENTS as usize;
        if let Some(last) = rows.last() {
            backlog.at = (last.get(4), last.get(0));
        }
        let is_open = |row: &&Row| !row.get::<_, bool>(7) && !row.get::<_, bool>(8);
        rows.iter().filter(is_open).map(read).collect()
    }
}

/// Reads the columns that begin every select of events: seq, id, requestor_id, slot, occurred_at, count, body.
pub(super) fn stored_event(row: &Row) -> Result<PassEvent> {
    let damaged = || PostgresError::Damaged("an event cannot be read");
    let columns = StoredColumns {
        occurred_at: Instant::from_nanos(row.get(4)),
        kind: u8::try_from(row.get::<_, i16>(3)).ok().and_then(EventKind::from_slot).ok_or_else(damaged)?,
        requestor_id: RequestorId::new(row.get::<_, &str>(2)).map_err(|_| damaged())?,
        count: row.get::<_, i32>(5).cast_unsigned(),
    };
    PassEvent::from_stored(columns, row.get(6)).ok_or_else(damaged)
}

/// Reads the identity, the second of the columns that [`stored_event`] names.
pub(super) fn stored_id(row: &Row) -> Result<EventId> {
    let bytes = row.get::<_, &[u8]>(1).try_into();
    bytes.map(EventId::from_bytes).map_err(|_| PostgresError::Damaged("an identity has another length"))
}

fn read(row: &Row) -> Result<Waiting> {
    let form: Option<&str> = row.get(9);
    let earlier = form.map(|text| -> Result<Earlier> {
        let hits_sent = row.get::<_, Option<i32>>(10).unwrap_or(0);
        let is_in_doubt = row.get::<_, Option<bool>>(11).unwrap_or(false);
        Ok(Earlier { form: read_form(text)?, form_text: text.into(), hits_sent, is_in_doubt })
    });
    Ok(Waiting {
        seq: row.get(0),
        id: stored_id(row)?,
        event: stored_event(row)?,
        earlier: earlier.transpose()?,
    })
}
