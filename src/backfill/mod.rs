//! Plans history, takes it in and sends it, below live traffic: jobs that have a name, a rate and hours, and go on where they
//! were.
//!
//! - In: a job of the buffer, its files, a stop. Out: a [`BackfillReport`].
//! - Guarantees: nothing is sent before all inputs are in the buffer, so that each visitor's events go in the order of time;
//!   a live drain goes first; whatever ends the process, the next one goes on, and no event goes twice by the route of files
//!   or, with event IDs, counts twice by any.
//! - Does not know: SQL, sockets, what a person wants to read.
//! - Rules: the bulk route keeps section 7 of `reference/adobe-analytics.md`; the DIA route is the drain's.

mod bulk;
mod error;
mod gate;
mod plan;
mod run;

pub use bulk::{BulkLimits, BulkWay, ExportReport, export, forget_files, withdraw_unsent};
pub use error::BackfillError;
pub use gate::Ending;
pub use plan::{
    BulkRoute, Counts, Day, DayPlan, DiaRoute, HostRoute, InputPlan, Limit, Observer as PlanObserver, Plan,
    Progress, REMEMBERED_MAX, Rates, SuitePlan, UnmappedPlan, Warning, Window, plan, plan_buffered,
};
pub use run::{BackfillOptions, BackfillReport, Observer, run};
