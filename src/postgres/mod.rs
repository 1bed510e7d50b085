//! The buffer on PostgreSQL, which many workers on many hosts share.
//!
//! ```text
//! store ──> event ──> backlog (page by page, per slice) ──> attempt ──> outcome ──> final
//!                        ^ claimed by a lease, fenced by an epoch
//! ```
//!
//! - In: a URL, events, attempts and outcomes. Out: slices to send, their events in time order, the state of all.
//! - Guarantees: an identity is stored once, whoever ingests it; only the owner of a slice makes attempts in it; an
//!   attempt is durable before it is granted; an outcome is a fact that nothing rolls back, and an event counts once in
//!   the account; a lost connection doubles nothing that was committed.
//! - Does not know: HTTP, lanes, retries.
//! - Rules: `docs/many-workers.md`. The tables are those of `schemas/postgres.sql` and the steps after it.

mod address;
mod attempts;
mod backlog;
mod database;
mod decisions;
mod erasure;
mod error;
mod export;
mod faults;
mod leases;
mod metrics;
mod metrics_reader;
mod pending;
mod restored;
mod retention;
mod slices;
mod status;
mod store;
mod suites;
mod tls;
mod trace;

pub use address::Address;
pub use attempts::{Attempt, Decision, Granted, Group, Outcome, Verdict};
pub use backlog::{Backlog, Earlier, Waiting};
pub use database::{SCHEMA, SharedBuffer};
pub use error::PostgresError;
pub use export::SharedExporter;
pub use faults::Fault;
pub use leases::{Lease, WorkerId};
pub use metrics_reader::SharedMetrics;
pub use slices::{Claim, Cut, Open};
pub use status::{Accounting, DatabaseHealth, RequestorLine, SharedStatus, SliceLine, WorkerLine};
pub use suites::SharedRoute;
