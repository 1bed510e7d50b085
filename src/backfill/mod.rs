//! Plans, loads and sends history; live traffic goes first. A job has a name, a rate and hours, and can be resumed.
//!
//! - In: a job of the buffer, its files, a stop. Out: a [`BackfillReport`].
//! - Guarantees: nothing is sent before all inputs are in the buffer, so each visitor's events are sent in time
//!   order; a live drain goes first; after a crash the next process continues; no event is counted twice by the bulk
//!   route, nor by DIA in a suite with event IDs.
//! - Does not know: SQL, sockets, how its reports are printed.
//! - Rules: `docs/backfill.md`. The DIA route is a drain.

mod bulk;
mod error;
mod gate;
mod live;
mod plan;
mod run;

pub use bulk::{BulkWay, ExportReport, export, forget_files, withdraw_unsent};
pub use error::BackfillError;
pub use gate::Ending;
pub use live::LiveFiles;
pub use plan::{
    BulkRoute, Counts, Day, DayPlan, DiaRoute, FileState, HostRoute, InputPlan, Limit, NewDays, Plan,
    Progress, REMEMBERED_MAX, Rates, SuitePlan, UnmappedPlan, Warning, Window, plan, plan_buffered,
};
pub use run::{BackfillOptions, BackfillReport, Observer, run};
