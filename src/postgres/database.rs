//! A connection to the database, which is made again when it breaks, and transactions whose end is never guessed.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, NoTls, Row};

use super::address::Address;
use super::error::{PostgresError, Result, is_passing};
use super::tls::Tls;
use crate::buffer::MetricsSecret;

/// The steps to the schema that this program writes, each from the schema before.
const STEPS: [&str; 5] = [
    include_str!("../../schemas/postgres.sql"),
    include_str!("../../schemas/postgres-2.sql"),
    include_str!("../../schemas/postgres-3.sql"),
    include_str!("../../schemas/postgres-4.sql"),
    include_str!("../../schemas/postgres-5.sql"),
];
/// The schema that this program writes.
pub const SCHEMA: i32 = STEPS.len() as i32;
/// `pg_current_xact_id` and `pg_snapshot` came with PostgreSQL 13; tests cover 15 and later.
const SERVER_MIN: i32 = 150_000;
/// The key of the advisory lock under which the schema is made: "passbrid" in ASCII. The lock ends with its
/// transaction, so it never stays on a connection of pgbouncer.
pub(super) const SCHEMA_LOCK: i64 = 0x7061_7373_6272_6964;
/// How long work goes on trying while the database is away: a restart or a failover takes less.
const PATIENCE: Duration = Duration::from_secs(120);
/// A statement takes milliseconds. If it has no answer after this time, the connection counts as broken.
const STATEMENT_MAX: Duration = Duration::from_secs(60);
/// The waits between tries double from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The number of the present transaction, and when the server last reset its statistics, as it does after a crash.
const TRACE: &str =
    "SELECT pg_current_xact_id()::text, (SELECT coalesce(stats_reset::text, '') FROM pg_stat_wal)";
/// What became of a transaction; NULL if the statistics were reset since, as by a crash. A crash loses transactions
/// that were not written to disk, and the server gives their numbers again.
const FATE: &str = "SELECT CASE WHEN coalesce(stats_reset::text, '') = $2 THEN pg_xact_status($1::text::xid8) END FROM pg_stat_wal";
/// How long a transaction may be idle before the server ends it, unless `idle_max` is set to another time.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Parameters with their types: with these, a statement needs no name, and pgbouncer in transaction mode can carry it.
pub(super) type Values<'a> = [Value<'a>];
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// The buffer in a database, by one connection.
pub struct SharedBuffer {
    pub(super) address: Address,
    client: Option<Client>,
    /// The transactions of the last write for which the server cannot tell whether they were committed.
    pub(super) lost_from_sight: Vec<String>,
    /// Whether some events of the last batch were stored before.
    pub(super) meets_duplicates: bool,
    /// The key of the digests of users, once it was read.
    pub(super) metrics_secret: Option<MetricsSecret>,
    /// How long a transaction of this connection may be idle before the server ends it: less than a lease.
    pub idle_max: Duration,
}

impl SharedBuffer {
    fn new(address: &Address) -> SharedBuffer {
        let (address, lost_from_sight) = (address.clone(), Vec::new());
        SharedBuffer {
            address,
            client: None,
            lost_from_sight,
            meets_duplicates: false,
            metrics_secret: None,
            idle_max: IDLE_MAX,
        }
    }

    /// Connects, and checks that the server is safe and has the buffer's schema. Brings an older schema up to date.
    pub async fn open(address: &Address) -> Result<SharedBuffer> {
        let (mut buffer, found) = SharedBuffer::glance(address).await?;
        if found < SCHEMA {
            buffer.step().await?;
            // A program of a later release may have made a later schema meanwhile.
            (buffer, _) = SharedBuffer::glance(address).await?;
        }
        buffer.adopt().await?;
        Ok(buffer)
    }

    /// Connects, and checks that the server is safe. Returns the schema, too, which may be of an earlier release.
    pub async fn glance(address: &Address) -> Result<(SharedBuffer, i32)> {
        let mut buffer = SharedBuffer::new(address);
        match buffer.schema().await? {
            Some(found) if found <= SCHEMA => Ok((buffer, found)),
            Some(found) => Err(PostgresError::OtherSchema { place: buffer.place(), found, known: SCHEMA }),
            None => Err(PostgresError::Missing { place: buffer.place() }),
        }
    }

    /// Creates the schema. Fails if there is one.
    pub async fn create(address: &Address) -> Result<()> {
        let mut buffer = SharedBuffer::new(address);
        if buffer.schema().await?.is_some() {
            return Err(PostgresError::Exists { place: buffer.place() });
        }
        // Another `init` may have been faster.
        match buffer.step().await? {
            None => Ok(()),
            Some(_) => Err(PostgresError::Exists { place: buffer.place() }),
        }
    }

    /// Takes the steps of the schema that are missing. Returns the schema that was there before.
    async fn step(&mut self) -> Result<Option<i32>> {
        self.write(async |client| {
            client.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&SCHEMA_LOCK, Type::INT8)]).await?;
            // Another program may have held the lock until now, and taken the steps.
            let found = found_schema(client).await?;
            for step in STEPS.iter().skip(found.unwrap_or(0) as usize) {
                client.batch_execute(step).await?;
            }
            // The server makes the secret with its strong source of random numbers.
            let upsert = "INSERT INTO passbridge.version AS v (schema, secret)
                 VALUES ($1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
                 ON CONFLICT (is_only) DO UPDATE SET schema = greatest(v.schema, EXCLUDED.schema)";
            client.execute_typed(upsert, &[(&SCHEMA, Type::INT4)]).await?;
            Ok(found)
        })
        .await
    }

    async fn schema(&mut self) -> Result<Option<i32>> {
        let place = self.place();
        let client = connect(&self.address).await.map_err(|error| PostgresError::of(place.clone(), error))?;
        let select = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
                current_setting('fsync')::bool, current_setting('full_page_writes')::bool";
        let asked = client.query_typed(select, &[]).await;
        let asked = asked.map_err(|error| PostgresError::of(place.clone(), error))?;
        let server = asked.first().ok_or(PostgresError::Damaged("the server says nothing of itself"))?;
        if server.get::<_, i32>(0) < SERVER_MIN {
            return Err(PostgresError::TooOld { place, found: server.get(1) });
        }
        if server.get(2) {
            return Err(PostgresError::ReadOnly { place });
        }
        for (column, setting) in [(3, "fsync"), (4, "full_page_writes")] {
            if !server.get::<_, bool>(column) {
                return Err(PostgresError::Unsafe { place, setting });
            }
        }
        let found = found_schema(&client).await.map_err(|error| PostgresError::of(place, error))?;
        self.client = Some(client);
        Ok(found)
    }

    /// The database, for people; without a password.
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    async fn client(&mut self) -> std::result::Result<&Client, Error> {
        self.client = self.client.take().filter(|client| !client.is_closed());
        Ok(match &mut self.client {
            Some(client) => client,
            none => none.insert(connect(&self.address).await?),
        })
    }

    /// Reads rows. Tries again while the database is away.
    pub(super) async fn rows(&mut self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>> {
        let mut patience = Patience::new();
        loop {
            let read = match self.client().await {
                Ok(client) => timeout(STATEMENT_MAX, client.query_typed(sql, values)).await.ok(),
                Err(error) => Some(Err(error)),
            };
            let error = match read {
                Some(Ok(rows)) => return Ok(rows),
                Some(Err(error)) => Some(error),
                None => {
                    self.client = None;
                    None
                }
            };
            self.pause(&mut patience, error).await?;
        }
    }

    /// One row of a read that always has one.
    pub(super) async fn row(&mut self, sql: &str, values: &Values<'_>) -> Result<Row> {
        let rows = self.rows(sql, values).await?;
        rows.into_iter().next().ok_or(PostgresError::Damaged("a row is missing"))
    }

    /// Does work in one durable transaction. Repeats it while the database is away, or after a conflict with another
    /// transaction. If the connection broke at the commit, asks the server what became of the transaction. If the
    /// server cannot tell, repeats the work although it may be committed, so `work` must cope with what it did before.
    pub(super) async fn write<T>(
        &mut self,
        work: impl AsyncFn(&Client) -> std::result::Result<T, Error>,
    ) -> Result<T> {
        let mut patience = Patience::new();
        self.lost_from_sight.clear();
        // The server itself ends an idle transaction, so that a frozen worker does not keep its locks.
        let begin = format!(
            "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.idle_max.as_millis()
        );
        loop {
            let done = match self.client().await {
                Ok(client) => transact(client, &begin, &work).await,
                Err(error) => Transacted::Undone(Some(error)),
            };
            let error = match done {
                Transacted::Done(value) => return Ok(value),
                Transacted::Unknown(value, trace) => {
                    match self.is_committed(&trace).await? {
                        Some(true) => return Ok(value),
                        Some(false) => {}
                        None => self.lost_from_sight.push(trace.xid),
                    }
                    None
                }
                Transacted::Undone(error) => {
                    // Without an answer, closing the connection ends the transaction: nobody has asked for its commit.
                    self.client = self.client.take().filter(|_| error.is_some());
                    error
                }
            };
            self.pause(&mut patience, error).await?;
        }
    }

    /// Whether a transaction was committed, once that is settled; `None` if the server cannot tell.
    async fn is_committed(&mut self, trace: &Trace) -> Result<Option<bool>> {
        self.client = None;
        loop {
            let row = self.row(FATE, &[(&trace.xid, Type::TEXT), (&trace.since, Type::TEXT)]).await?;
            match row.get::<_, Option<String>>(0).as_deref() {
                Some("in progress") => sleep(PAUSE_FIRST).await,
                status => return Ok(status.map(|status| status == "committed")),
            }
        }
    }

    /// Waits before the next try, or fails if another try cannot help.
    async fn pause(&mut self, patience: &mut Patience, error: Option<Error>) -> Result<()> {
        let is_over = patience.since.elapsed() >= PATIENCE;
        match error {
            Some(error) if is_over || !is_passing(&error) => {
                return Err(PostgresError::of(self.place(), error));
            }
            None if is_over => {
                let seconds = patience.since.elapsed().as_secs();
                return Err(PostgresError::Silent { place: self.place(), seconds });
            }
            Some(_) | None => {}
        }
        sleep(patience.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        patience.pause = (patience.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Patience {
        Patience { since: Instant::now(), pause: PAUSE_FIRST }
    }
}

/// What identifies a transaction when the server is asked about it later.
struct Trace {
    xid: String,
    since: String,
}

enum Transacted<T> {
    Done(T),
    /// The server did not say whether it committed.
    Unknown(T, Trace),
    /// `None` means that the server did not answer.
    Undone(Option<Error>),
}

async fn transact<T>(
    client: &Client,
    begin: &str,
    work: &impl AsyncFn(&Client) -> std::result::Result<T, Error>,
) -> Transacted<T> {
    let started = async {
        // All statements go out together, in this order, so that most work takes one round trip.
        let ((), trace, value) = tokio::try_join!(
            biased;
            client.batch_execute(begin),
            client.query_typed_one(TRACE, &[]),
            work(client)
        )?;
        Ok((value, Trace { xid: trace.get(0), since: trace.get(1) }))
    };
    match timeout(STATEMENT_MAX, started).await {
        Ok(Ok((value, trace))) => match timeout(STATEMENT_MAX, client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Transacted::Done(value),
            // The error does not tell what became of the transaction. Only the server's record of it does.
            Ok(Err(_)) | Err(_) => Transacted::Unknown(value, trace),
        },
        Ok(Err(error)) => {
            // If the rollback fails, the connection is gone, and with it the transaction.
            drop(timeout(STATEMENT_MAX, client.batch_execute("ROLLBACK")).await);
            Transacted::Undone(Some(error))
        }
        Err(_) => Transacted::Undone(None),
    }
}

async fn found_schema(client: &Client) -> std::result::Result<Option<i32>, Error> {
    let is_there = client.query_typed("SELECT to_regclass('passbridge.version') IS NOT NULL", &[]).await?;
    if !is_there[0].get::<_, bool>(0) {
        return Ok(None);
    }
    let rows = client.query_typed("SELECT schema FROM passbridge.version", &[]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

pub(super) async fn connect(address: &Address) -> std::result::Result<Client, Error> {
    // The connection works as a task of its own until its client is dropped. Its error reaches the client, too.
    let client = if address.is_verified {
        let (client, connection) = address.config.connect(Tls::new()).await?;
        tokio::spawn(connection);
        client
    } else {
        let (client, connection) = address.config.connect(NoTls).await?;
        tokio::spawn(connection);
        client
    };
    // Compiling a statement takes up to a second, and statements here take milliseconds. pgbouncer may keep this setting on a
    // connection: no statement of this user needs another one.
    client.batch_execute("SET jit = off").await?;
    Ok(client)
}
