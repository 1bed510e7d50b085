//! What the buffer asks of SQLite stays cheap in a buffer of years: the few are joined to the many, never the other way.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use rusqlite::Connection;

use crate::support::{House, buffer_options};

/// The text of every string literal of the buffer's code that joins events to something.
fn joins() -> Vec<String> {
    let mut joins = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/buffer")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = fs::read_to_string(path).expect("code");
            let is_join =
                |literal: &&str| literal.contains("JOIN events e ") && !literal.contains("LEFT JOIN events");
            joins.extend(code.split('"').filter(is_join).map(str::to_owned));
        }
    }
    joins
}

/// How SQLite would go about it, a line a step.
fn plan(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    // Whatever is bound changes no plan.
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(row.get("detail")?);
    }
    Ok(steps)
}

/// An empty buffer, whose statements are planned without statistics.
fn empty(folder: &Path) -> Connection {
    let path = folder.join("passbridge.db");
    Buffer::create(&buffer_options(path.clone(), &Clock::system())).expect("a buffer");
    Connection::open(path).expect("SQLite")
}

#[test]
fn what_status_asks_of_arrivals_reads_no_table_from_end_to_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = empty(folder.path());
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/buffer/arrivals.rs");
    let code = fs::read_to_string(code).expect("code");
    let statements = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "];
    let statements =
        code.split('"').filter(|literal| statements.iter().any(|verb| literal.starts_with(verb)));
    let mut count = 0;
    for sql in statements {
        let steps = plan(&connection, sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let is_scan = |step: &String| step.starts_with("SCAN") && !step.contains("subquery");
        assert!(!steps.iter().any(is_scan), "{sql}\n{steps:#?}");
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn no_join_reads_every_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = empty(folder.path());

    let joins = joins();
    assert!(joins.len() > 10, "{joins:?}");
    for sql in joins {
        let steps = plan(&connection, &sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        assert!(!steps.iter().any(|step| step.starts_with("SCAN e")), "{sql}\n{steps:#?}");
    }
}

/// The files whose statements run for every event, and of those statements the beginnings of such as run once a command, a
/// transaction or a clock's jump.
const OF_EVERY_EVENT: [&str; 14] = [
    "queue.rs",
    "outcomes.rs",
    "bulk_files.rs",
    "states.rs",
    "events.rs",
    "forms.rs",
    "facts.rs",
    "rows.rs",
    "ledger.rs",
    "memory.rs",
    "retention.rs",
    "tombstones.rs",
    "metrics/tally.rs",
    "metrics/packs.rs",
];
const ONCE: [&str; 14] = [
    // A batch of the inbox, of what is old; the clock was wrong.
    "SELECT rowid, CAST(coalesce(body, '') AS BLOB) AS body FROM inbox ORDER BY rowid LIMIT",
    "SELECT seq, n, delivered_at FROM delivered ORDER BY n LIMIT",
    "SELECT seq, seq, discarded_at FROM discarded ORDER BY discarded_at LIMIT",
    "UPDATE delivered SET delivered_at",
    "UPDATE discarded SET discarded_at",
    // A run that begins, and a cancel: the few claims that a killed run left.
    "INSERT INTO doubts (seq, form, attempts, last_at, cause) SELECT seq, form, 1, ?2, ?3 FROM claims",
    "DELETE FROM waves WHERE run IN",
    // A backfill that begins or ends; it has few files.
    "SELECT file, visitor_group, key, path, rows, bytes, state, unnamed_rows, job FROM bulk_files",
    "SELECT path FROM bulk_files",
    // `status`; a migration, which counts all events; an erasure.
    "SELECT {totals}",
    "SELECT max(hour) + 1 FROM ledger",
    "SELECT e.seq, e.slot, e.occurred_at, e.count, e.body, e.job, e.requestor, r.requestor_id FROM events e",
    "SELECT key, body FROM source_memory WHERE body",
    // Of a requestor before its first event, among the requestors, which are few.
    "SELECT feed, requestor_id FROM requestors CROSS JOIN",
];

#[test]
fn no_statement_of_every_event_reads_a_table_from_end_to_end_without_statistics() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = empty(folder.path());
    let statistics = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
    let tables: i64 = connection.query_row(statistics, [], |row| row.get(0)).expect("a count");
    assert_eq!(tables, 0, "nothing runs ANALYZE");

    let mut looked_at = 0;
    for file in OF_EVERY_EVENT {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/buffer").join(file);
        let code = fs::read_to_string(path).expect("code");
        let code = code.split("#[cfg(test)]").next().expect("a first part");
        for sql in code.split('"') {
            let plain = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let begins = |with: &&str| plain.starts_with(*with);
            let is_statement = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(&begins);
            if !is_statement || ONCE.iter().any(begins) {
                continue;
            }
            let steps = plan(&connection, sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
            let is_whole = |step: &String| {
                (step.starts_with("SCAN ")
                    // The claims under way: eight a lane.
                    && !step.starts_with("SCAN w")
                    && !step.contains("CONSTANT")
                    && !step.contains("VIRTUAL TABLE"))
                    || step.contains("AUTOMATIC")
            };
            assert!(!steps.iter().any(is_whole), "{file}: {sql}\n{steps:#?}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 40, "{looked_at}");
}

/// Hours of the account in a buffer of some years.
const HOURS: u32 = 20_000;
/// Far more than a recount of them takes, and far less than one that looks at every pair of them.
const RECOUNT_MAX: Duration = Duration::from_secs(10);

#[test]
fn a_recount_looks_at_every_hour_once_and_not_at_pairs_of_them() {
    let house = House::new();
    let connection = Connection::open(house.buffer.path()).expect("SQLite");
    let history = format!(
        "INSERT INTO requestors VALUES (1, 'REF30');
         INSERT INTO metric_groups VALUES (1, 1, '', '', '', '', '');
         INSERT INTO ledger WITH RECURSIVE hours (hour) AS (SELECT 1 UNION ALL SELECT hour + 1 FROM hours WHERE hour < {HOURS})
             SELECT 1, 1, hour, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0 FROM hours;
         INSERT INTO metric_counts SELECT hour, 1, slot, 1, 0, 0, 0 FROM ledger;
         UPDATE metric_counts SET units_15 = 1 WHERE hour = 7;"
    );
    connection.execute_batch(&history).expect("a history that has expired");
    let started = Instant::now();
    let found = house.buffer.verify().expect("a recount");
    assert!(started.elapsed() < RECOUNT_MAX, "{:?}", started.elapsed());
    let off: Vec<_> = found.iter().map(|one| (one.hour, one.counted.units, one.recounted.units)).collect();
    assert_eq!(off, [(7, 1, 2)], "{found:?}");
}
