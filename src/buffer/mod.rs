//! The buffer: a SQLite file that holds every event exactly once, from ingest until it is deleted.
//!
//! - In: events with their identity, and outcomes of attempts. Out: pending events in sending order, and counts.
//! - Guarantees: a change is durable when its function returns; an event is in exactly one state; the accounting
//!   identity holds at every commit, because the database checks it; an attempt is recorded before it is sent.
//! - Does not know: what a hit contains, how it is sent, when a drain runs.
//! - Rules: `schemas/buffer.sql` draws the states; it and `buffer-2.sql` to `buffer-10.sql` describe every table.
//!
//! One thread owns the writing connection and runs closures. No transaction is open over an `await`.

mod arrivals;
mod attempts;
mod backup;
mod bulk_files;
mod calls;
mod claims;
mod columns;
mod cursor;
mod database;
mod dead_and_held;
mod doubts;
mod erasure;
mod error;
mod events;
mod export;
mod facts;
mod fills;
mod forget;
mod forms;
mod inputs;
mod jobs;
mod kept_rejects;
mod keys;
mod ledger;
mod memory;
mod metrics;
mod outcomes;
mod pending;
mod planning;
mod probes;
mod pulled;
mod queue;
mod reconciling;
mod repeats;
mod restore;
mod retention;
mod rows;
mod runs;
mod sqlite;
mod states;
mod status;
mod suites;
mod told;
mod tombstones;
mod trace;
mod verdicts;
mod verify;
mod watch;

pub use crate::readers::memory::{Feed, MemoryRow};
pub use backup::AfterRestore;
pub use bulk_files::{BulkFile, BulkFileState, FiledEvent, NewBulkFile, Received, RefusedRow};
pub use calls::JobCalls;
pub use claims::Claims;
pub use cursor::{ExportCursor, ExportOf};
pub use database::Buffer;
pub use dead_and_held::{Group, Requeue, Requeued, Selection, Settled, Undecided, UndecidedEvent, Why};
pub use doubts::DoubtedEvent;
pub use erasure::Forgotten;
pub use error::BufferError;
pub use events::{Batch, Conflict, InboxRow, NewEvent, StoreReport};
pub use export::{ExportedRow, ExportedValue, Exporter};
pub use forget::Forget;
pub use inputs::InputRecord;
pub use jobs::{JobCounts, JobInput, JobRecord, JobSettings, JobSource};
pub use kept_rejects::RejectDigest;
pub use keys::{BulkFileId, FormKey, InputId, JobKey, RequestorKey, RunId};
pub use ledger::{Accounting, Amount};
pub use memory::MemoryReader;
pub use metrics::{
    CountedHour, Discarded, MERGED_USERS_MAX, MetricGroup, MetricsReader, MetricsSecret, Person, SeenUser,
    Strangers, TRANSIENT_IDS, TransientIds, UserEntry, UserMark, each_user, looks_transient, pack_users,
    users_of, without_groups,
};
pub use outcomes::Change;
pub use pending::{NotTaken, PendingGroup, PendingSelection, TakenBack};
pub use planning::{DeliveredDay, PlanningReader, Recognition};
pub use probes::{NewProbe, ProbeRecord};
pub use queue::{Backlog, Doubted, Flow, Merge, PendingEvent};
pub use reconciling::{Standing, StandingFacts, StandingQuestion, StandingUnits};
pub use restore::Restored;
pub use retention::RetentionReport;
pub use rows::EventRef;
pub use runs::{JobObstacles, RunRecord, RunStart};
pub use sqlite::{
    BackfillLock, BufferOptions, DrainLock, Holder, LockWatch, WholeLock, known_schema, name_command, schema,
};
pub use states::Delivered;
pub use status::{CauseCount, Hourly, OverCount, ReasonCount, RequestorStatus, Status};
pub use suites::{Route, SuiteListing};
pub use told::Told;
pub use trace::{AttemptRecord, RepeatRecord, Search, TracedEvent, identities};
pub use verdicts::{BlockedSuite, NewVerdict};
pub use verify::Discrepancy;
pub use watch::{Pulse, Watch};
