//! History: what a backfill would do, before it does it.
//!
//! - In: inputs of [`ingest`](crate::ingest), or a window of the events that wait in the buffer; the suites and the account of
//!   the buffer; [`Rates`]. Out: a [`Plan`], which prints and serialises.
//! - Guarantees: a plan stores no event and sends nothing. It counts each event as an ingest and a drain would: with the identity,
//!   the mapping and the documents that they use. Memory is bounded whatever an input holds; `tally` says by how much.
//! - Does not know: how a backfill is run, throttled or resumed.
//! - Rules: sections 5 to 7 of the design; BDIA-19 to BDIA-23 and BDIA-39; sections 3 and 7 of the facts about Analytics.

mod digest;
mod plan;
mod routes;
mod sample;
mod tally;
mod warning;

pub use plan::{
    Counts, Day, DayPlan, InputPlan, Observer, Plan, PlanError, Progress, SuitePlan, UnmappedPlan, Window,
    plan, plan_buffered,
};
pub use routes::{
    BulkRoute, CALL_INTERVAL, DiaRoute, FILE_INTERVAL, FILE_PACKED_BYTES_MAX, FILE_RAW_BYTES_MAX,
    GROUP_ROWS_PER_SECOND, HostRoute, LANES, Limit, REQUEST_LATENCY, ROWS_PER_FILE, Rates,
};
pub use sample::SAMPLE_ROWS;
pub use tally::REMEMBERED_MAX;
pub use warning::{GIANT_HITS, GIANT_SHARE, OLD_DAYS, RETAINED_DAYS, Warning};
