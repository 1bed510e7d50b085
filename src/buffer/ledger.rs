//! The account: how many events are in which state, kept beside the rows and recountable from them.
//!
//! ```text
//! ingested = pending + delivered + dead + held + discarded + expired (by the state it left) + erased
//! ```

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::events::EventRef;
use super::suites::RequestorKey;
use super::{Buffer, BufferError, metrics, suites};
use crate::event::EventKind;

/// Nanoseconds of an hour.
const HOUR_NANOS: i64 = 3_600_000_000_000;

/// A term of the account, in the order of the ledger's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Term {
    /// Everything that was ever stored.
    Ingested,
    Pending,
    Delivered,
    Dead,
    /// It may have been counted, and is not repeated.
    Held,
    /// An operator decided against it.
    Discarded,
    /// Was delivered, and retention deleted it.
    ExpiredDelivered,
    /// Was discarded, and retention deleted it.
    ExpiredDiscarded,
    /// Was erased at a person's wish.
    Erased,
}

const TERMS: [Term; 9] = [
    Term::Ingested,
    Term::Pending,
    Term::Delivered,
    Term::Dead,
    Term::Held,
    Term::Discarded,
    Term::ExpiredDelivered,
    Term::ExpiredDiscarded,
    Term::Erased,
];

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Account {
    requestor: i64,
    slot: u8,
    hour: i64,
}

/// What one transaction changes, summed before it touches the table.
#[derive(Default)]
pub(super) struct Postings {
    sums: HashMap<Account, [i64; 18]>,
}

impl Postings {
    pub(super) fn ingest(&mut self, event: &EventRef) {
        self.post(event, Term::Ingested, 1);
        self.post(event, Term::Pending, 1);
    }

    /// An event that changes its state.
    pub(super) fn shift(&mut self, event: &EventRef, from: Term, to: Term) {
        self.post(event, from, -1);
        self.post(event, to, 1);
    }

    fn post(&mut self, event: &EventRef, term: Term, events: i64) {
        let account = Account {
            requestor: event.requestor.0,
            slot: event.kind.slot(),
            hour: event.occurred_at.nanos().div_euclid(HOUR_NANOS),
        };
        let sums = self.sums.entry(account).or_insert([0; 18]);
        sums[term as usize * 2] += events;
        sums[term as usize * 2 + 1] += events * i64::from(event.count);
    }

    /// Writes the sums, in the order of the table's key.
    pub(super) fn apply(self, transaction: &Transaction<'_>) -> Result<(), BufferError> {
        let mut accounts: Vec<(Account, [i64; 18])> = self.sums.into_iter().collect();
        accounts.sort_unstable_by_key(|(account, _)| *account);
        let mut update = transaction.prepare_cached(
            "UPDATE ledger SET
                ingested_events = ingested_events + ?4, ingested_units = ingested_units + ?5,
                pending_events = pending_events + ?6, pending_units = pending_units + ?7,
                delivered_events = delivered_events + ?8, delivered_units = delivered_units + ?9,
                dead_events = dead_events + ?10, dead_units = dead_units + ?11,
                held_events = held_events + ?12, held_units = held_units + ?13,
                discarded_events = discarded_events + ?14, discarded_units = discarded_units + ?15,
                expired_delivered_events = expired_delivered_events + ?16,
                expired_delivered_units = expired_delivered_units + ?17,
                expired_discarded_events = expired_discarded_events + ?18,
                expired_discarded_units = expired_discarded_units + ?19,
                erased_events = erased_events + ?20, erased_units = erased_units + ?21
             WHERE requestor = ?1 AND slot = ?2 AND hour = ?3",
        )?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                                        ?19, ?20, ?21)",
        )?;
        for (account, sums) in &accounts {
            let key = [account.requestor, i64::from(account.slot), account.hour];
            let values: Vec<i64> = key.iter().chain(sums).copied().collect();
            if update.execute(rusqlite::params_from_iter(&values))? == 0 {
                insert.execute(rusqlite::params_from_iter(&values))?;
            }
        }
        Ok(())
    }
}

/// One sum of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    pub events: i64,
    /// The sum of their counts.
    pub units: i64,
}

/// Every term of the account, summed over requestors, events and hours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// Everything that was ever stored.
    pub ingested: Amount,
    pub pending: Amount,
    pub delivered: Amount,
    pub dead: Amount,
    /// It may have been counted, and is not repeated.
    pub held: Amount,
    /// An operator decided against it.
    pub discarded: Amount,
    /// Deleted by retention, of the delivered.
    pub expired_delivered: Amount,
    /// Deleted by retention, of the discarded.
    pub expired_discarded: Amount,
    /// Erased at a person's wish.
    pub erased: Amount,
    /// Whether ingested equals the sum of the others, in events and in units.
    pub balanced: bool,
}

/// The account over the whole buffer.
pub(super) fn accounting(connection: &Connection) -> Result<Accounting, BufferError> {
    let sums: Vec<i64> = connection.query_row(
        "SELECT total(ingested_events), total(ingested_units), total(pending_events), total(pending_units),
                total(delivered_events), total(delivered_units), total(dead_events), total(dead_units),
                total(held_events), total(held_units), total(discarded_events), total(discarded_units),
                total(expired_delivered_events), total(expired_delivered_units),
                total(expired_discarded_events), total(expired_discarded_units),
                total(erased_events), total(erased_units)
         FROM ledger",
        [],
        |row| (0..18).map(|column| row.get::<_, f64>(column).map(|sum| sum as i64)).collect(),
    )?;
    let amount = |term: Term| Amount { events: sums[term as usize * 2], units: sums[term as usize * 2 + 1] };
    let parts = |offset: usize| TERMS[1..].iter().map(|term| sums[*term as usize * 2 + offset]).sum::<i64>();
    Ok(Accounting {
        ingested: amount(Term::Ingested),
        pending: amount(Term::Pending),
        delivered: amount(Term::Delivered),
        dead: amount(Term::Dead),
        held: amount(Term::Held),
        discarded: amount(Term::Discarded),
        expired_delivered: amount(Term::ExpiredDelivered),
        expired_discarded: amount(Term::ExpiredDiscarded),
        erased: amount(Term::Erased),
        balanced: sums[0] == parts(0) && sums[1] == parts(1),
    })
}

/// Where the counters and the rows disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    pub requestor_id: String,
    pub event: String,
    /// The UTC hour, counted from the Unix epoch.
    pub hour: i64,
    /// The state that is off.
    pub state: String,
    /// Events and units by the counters.
    pub counted: Amount,
    /// Events and units by the rows.
    pub recounted: Amount,
}

impl Buffer {
    /// Recounts the rows of every state and compares them with the counters, and these with the metrics. Reads the whole buffer; an empty list is proof.
    pub fn verify(&self) -> Result<Vec<Discrepancy>, BufferError> {
        let connection = super::connection::open_reader(self.path())?;
        let file: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if file != "ok" {
            return Ok(vec![Discrepancy::of_rows(&format!("damaged file: {file}"), 1)]);
        }
        let mut found = recount(&connection)?;
        found.extend(orphans(&connection)?);
        found.extend(metrics::verify(&connection)?);
        Ok(found)
    }
}

/// The states of events, by the table that has their rows.
const PLACES: [(&str, &str); 5] = [
    ("pending", "queue"),
    ("delivered", "delivered"),
    ("dead", "dead_letters"),
    ("held", "held"),
    ("discarded", "discarded"),
];

/// What rows of an account come to. Its size is that of the accounts, however many events there are.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Recount {
    amount: Amount,
    /// The sum of a digest of each event: two lists with the same events have the same.
    digest: u64,
}

/// Compares the counters of each state with its rows, and the events with the rows of all states: each must be in one.
fn recount(connection: &Connection) -> Result<Vec<Discrepancy>, BufferError> {
    let mut found = Vec::new();
    let mut nowhere: HashMap<Account, Recount> = HashMap::new();
    each_row(connection, "SELECT requestor, slot, occurred_at, count, seq FROM events", |account, row| {
        nowhere.entry(account).or_default().add(row, 1);
    })?;
    for (state, table) in PLACES {
        let mut rows: HashMap<Account, Recount> = HashMap::new();
        let sql = format!(
            "SELECT e.requestor, e.slot, e.occurred_at, e.count, e.seq FROM {table} p JOIN events e ON e.seq = p.seq"
        );
        each_row(connection, &sql, |account, row| {
            rows.entry(account).or_default().add(row, 1);
            nowhere.entry(account).or_default().add(row, -1);
        })?;
        let mut counters = connection.prepare(&format!(
            "SELECT requestor, slot, hour, {state}_events, {state}_units FROM ledger WHERE {state}_events <> 0 OR {state}_units <> 0"
        ))?;
        let mut counters = counters.query([])?;
        while let Some(row) = counters.next()? {
            let account = Account { requestor: row.get(0)?, slot: row.get(1)?, hour: row.get(2)? };
            let counted = Amount { events: row.get(3)?, units: row.get(4)? };
            let recounted = rows.remove(&account).unwrap_or_default().amount;
            if counted != recounted {
                found.push((account, state, counted, recounted));
            }
        }
        found
            .extend(rows.into_iter().map(|(account, rows)| (account, state, Amount::default(), rows.amount)));
    }
    nowhere.retain(|_, rows| *rows != Recount::default());
    found.extend(
        nowhere.into_iter().map(|(account, rows)| (account, "nowhere", Amount::default(), rows.amount)),
    );
    let mut named = Vec::new();
    for (account, state, counted, recounted) in found {
        let requestor_id = suites::requestor_id_of(connection, RequestorKey(account.requestor))?.to_string();
        named.push((
            account.slot,
            Discrepancy {
                requestor_id,
                event: EventKind::from_slot(account.slot)
                    .map_or_else(|| format!("event{}", account.slot), |kind| kind.name().to_owned()),
                hour: account.hour,
                state: state.to_owned(),
                counted,
                recounted,
            },
        ));
    }
    named.sort_by(|(slot, one), (other_slot, other)| {
        (&one.requestor_id, slot, one.hour, &one.state).cmp(&(
            &other.requestor_id,
            other_slot,
            other.hour,
            &other.state,
        ))
    });
    Ok(named.into_iter().map(|(_, discrepancy)| discrepancy).collect())
}

/// Shows each row of a statement: its account, and what it adds.
fn each_row(
    connection: &Connection,
    sql: &str,
    mut show: impl FnMut(Account, Recount),
) -> Result<(), BufferError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let occurred_at: i64 = row.get(2)?;
        let hour = occurred_at.div_euclid(HOUR_NANOS);
        let amount = Amount { events: 1, units: row.get(3)? };
        let digest = digest(row.get(4)?);
        show(Account { requestor: row.get(0)?, slot: row.get(1)?, hour }, Recount { amount, digest });
    }
    Ok(())
}

fn digest(sequence: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_i64(sequence);
    hasher.finish()
}

impl Recount {
    fn add(&mut self, row: Recount, times: i64) {
        self.amount.events += times * row.amount.events;
        self.amount.units += times * row.amount.units;
        self.digest = self.digest.wrapping_add(row.digest.wrapping_mul(times as u64));
    }
}

/// Rows that stand for an event that is not there.
fn orphans(connection: &Connection) -> Result<Option<Discrepancy>, BufferError> {
    let orphans: i64 = connection.query_row(
        "SELECT count(*) FROM (
            SELECT seq FROM queue UNION ALL SELECT seq FROM delivered UNION ALL SELECT seq FROM dead_letters
            UNION ALL SELECT seq FROM held UNION ALL SELECT seq FROM discarded UNION ALL SELECT seq FROM claims
            UNION ALL SELECT seq FROM doubts UNION ALL SELECT seq FROM identities WHERE seq IS NOT NULL) p
         WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = p.seq)",
        [],
        |row| row.get(0),
    )?;
    Ok((orphans > 0).then(|| Discrepancy::of_rows("orphan", orphans)))
}

impl Discrepancy {
    /// Rows that belong to no account.
    fn of_rows(state: &str, rows: i64) -> Discrepancy {
        Discrepancy {
            requestor_id: String::new(),
            event: String::new(),
            hour: 0,
            state: state.to_owned(),
            counted: Amount::default(),
            recounted: Amount { events: rows, units: 0 },
        }
    }
}
