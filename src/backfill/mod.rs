//! Plans, loads and sends history, after live traffic. Jobs have a name, a rate and hours, and can be resumed.
//!
//! - In: a job of the buffer, its files, a stop. Out: a [`BackfillReport`].
//! - Guarantees: nothing is sent before all inputs are in the buffer, so each visitor's events are sent in time
//!   order; a live drain goes first; after a crash the next process continues; the bulk route and DIA with event IDs
//!   count none twice.
//! - Does not know: SQL, sockets, texts for people.
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
