//! The account: how many events are in which state. It is kept beside the events, and can be recounted from them.
//!
//! ```text
//! ingested = pending + delivered + dead + held + discarded + expired (delivered or discarded) + erased + taken back
//! ```

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use super::error::Result;
use super::keys::{JobKey, RequestorKey};
use super::rows::{EventRef, all, run};

pub(super) const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The terms of the account, in the order of the ledger's columns: the name of each, and how people read it.
macro_rules! terms {
    ($($(#[$about:meta])* $term:ident: $name:ident, $shown:literal;)*) => {
        /// A term of the account.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Term { $($(#[$about])* $term,)* }

        const NAMES: [&str; SUMS / 2] = [$(stringify!($name)),*];

        /// Every term of the account, summed over requestors, events and hours.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
        pub struct Accounting {
            $(pub $name: Amount,)*
            /// Whether `ingested` equals the sum of the other terms, in events and in units.
            pub balanced: bool,
        }

        impl Accounting {
            /// The terms of the equation: the key of each, how people read it, and its amount.
            pub fn terms(&self) -> [(&'static str, &'static str, Amount); SUMS / 2] {
                [$((stringify!($name), $shown, self.$name)),*]
            }

            fn of(amount: impl Fn(Term) -> Amount, balanced: bool) -> Accounting {
                Accounting { $($name: amount(Term::$term),)* balanced }
            }
        }
    };
}

terms! {
    /// All events that were ever stored.
    Ingested: ingested, "ingested";
    Pending: pending, "= pending";
    Delivered: delivered, "+ delivered";
    Dead: dead, "+ dead";
    /// The event may have been counted, and is not sent again.
    Held: held, "+ held";
    /// An operator decided not to send the event.
    Discarded: discarded, "+ discarded";
    /// The event was delivered, and retention deleted it.
    ExpiredDelivered: expired_delivered, "+ expired, delivered";
    /// The event was discarded, and retention deleted it.
    ExpiredDiscarded: expired_discarded, "+ expired, discarded";
    /// The event was erased at a person's request.
    Erased: erased, "+ erased";
    /// The event was taken back before it was sent: it is as if it had never come in.
    TakenBack: taken_back, "+ taken back";
}

/// The number of sums: events and units of each term.
const SUMS: usize = 20;

/// The sum of each column over the rows that a statement reads.
static TOTALS: LazyLock<String> = LazyLock::new(|| {
    let columns =
        NAMES.iter().flat_map(|name| ["events", "units"].map(|what| format!("total(l.{name}_{what})")));
    columns.collect::<Vec<_>>().join(", ")
});

/// The key of a row of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Account {
    pub(super) requestor: RequestorKey,
    pub(super) slot: u8,
    /// The UTC hour in which the events happened, counted from the Unix epoch.
    pub(super) hour: i64,
}

/// The changes of one transaction, summed up so that each row of the ledger is written once.
#[derive(Default)]
pub(super) struct Postings {
    sums: HashMap<Account, [i64; SUMS]>,
}

impl Postings {
    pub(super) fn ingest(&mut self, event: &EventRef) {
        self.post(event, Term::Ingested, 1);
        self.post(event, Term::Pending, 1);
    }

    pub(super) fn shift(&mut self, event: &EventRef, from: Term, to: Term) {
        self.post(event, from, -1);
        self.post(event, to, 1);
    }

    fn post(&mut self, event: &EventRef, term: Term, events: i64) {
        let account = Account {
            requestor: event.requestor,
            slot: event.kind.slot(),
            hour: event.occurred_at.unix_hour(),
        };
        let sums = self.sums.entry(account).or_insert([0; SUMS]);
        sums[term as usize * 2] += events;
        sums[term as usize * 2 + 1] += events * i64::from(event.count);
    }

    /// Writes the sums to the table, in the order of its key.
    pub(super) fn apply(self, connection: &Connection) -> Result<()> {
        let mut accounts: Vec<(Account, [i64; SUMS])> = self.sums.into_iter().collect();
        accounts.sort_unstable_by_key(|(account, _)| *account);
        let mut update = connection.prepare_cached(
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
                erased_events = erased_events + ?20, erased_units = erased_units + ?21,
                taken_back_events = taken_back_events + ?22, taken_back_units = taken_back_units + ?23
             WHERE requestor = ?1 AND slot = ?2 AND hour = ?3",
        )?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                                        ?19, ?20, ?21, ?22, ?23)",
        )?;
        for (account, sums) in &accounts {
            let key = [account.requestor.0, i64::from(account.slot), account.hour];
            let values = || params_from_iter(key.iter().chain(sums));
            if update.execute(values())? == 0 {
                insert.execute(values())?;
            }
        }
        Ok(())
    }
}

/// One sum of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    pub events: i64,
    /// The sum of the events' counts.
    pub units: i64,
}

/// The account over the whole buffer.
pub(super) fn accounting(connection: &Connection) -> Result<Accounting> {
    let totals = &*TOTALS;
    let select = format!("SELECT {totals} FROM ledger l");
    connection.query_row(&select, [], |row| Ok(Accounting::read(row)))?
}

/// The account of each suite; `None` has the requestors without a suite.
pub(super) fn accounting_of_suites(connection: &Connection) -> Result<Vec<(Option<String>, Accounting)>> {
    let totals = &*TOTALS;
    let select = format!(
        "SELECT {totals}, s.rsid FROM ledger l LEFT JOIN mappings m ON m.requestor = l.requestor
         LEFT JOIN suites s ON s.suite = m.suite GROUP BY s.suite ORDER BY s.rsid"
    );
    all(connection, &select, [], |row| Ok((row.get("rsid")?, Accounting::read(row)?)))
}

impl Accounting {
    fn read(row: &Row<'_>) -> Result<Accounting> {
        let sum = |column| row.get::<_, f64>(column).map(|sum| sum as i64);
        let sums: Vec<i64> = (0..SUMS).map(sum).collect::<rusqlite::Result<_>>()?;
        let amount =
            |term: Term| Amount { events: sums[term as usize * 2], units: sums[term as usize * 2 + 1] };
        // The first pair is `ingested`, which must equal the sum of the other pairs.
        let balance = |offset: usize| sums[offset] == sums.iter().skip(offset + 2).step_by(2).sum::<i64>();
        Ok(Accounting::of(amount, balance(0) && balance(1)))
    }
}

/// Changes the number of events of a backfill. Does nothing for live events, which belong to no backfill.
pub(super) fn count_in_job(connection: &Connection, job: JobKey, events: i64) -> Result<()> {
    run(connection, "UPDATE jobs SET events = events + ?2 WHERE job = ?1", (job, events))
}
