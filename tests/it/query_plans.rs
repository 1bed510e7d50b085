//! What the buffer asks of SQLite stays cheap in a buffer of years: the few are joined to the many, never the other way.

use std::fs;
use std::path::Path;

use passbridge::buffer::{Buffer, BufferOptions};
use passbridge::clock::Clock;
use rusqlite::Connection;

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
    let options =
        BufferOptions { path: path.clone(), allow_network_filesystem: true, clock: Clock::system() };
    Buffer::create(&options).expect("a buffer");
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
        let whole = sql.replace("{table}", "dead_letters");
        // One begins statements that are written elsewhere.
        let steps = plan(&connection, &whole)
            .or_else(|_| plan(&connection, &format!("{whole} SELECT * FROM doubted")))
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        assert!(!steps.iter().any(|step| step.starts_with("SCAN e")), "{sql}\n{steps:#?}");
    }
}
