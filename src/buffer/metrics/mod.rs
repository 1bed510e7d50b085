//! Metrics: units and users by hour, kept for ever, so that a report neither reads events nor needs them any more.
//!
//! ```text
//! event ── Measure ──> Tally, one a transaction ──> metric_counts      quarter hours of UTC, by group and event
//!                                               └─> metric_users       packs of digests, by day
//! ```
//!
//! The counts are those of `ingested` in the ledger, which `status --verify` compares. What becomes of an event changes
//! nothing here, but for what leaves the buffer undelivered (`metric_withdrawn`) and for people who are forgotten: their
//! digest is replaced by a random one, the same everywhere, so that no figure changes and nothing leads to them.
//!
//! A row for each user of a day would be written at a random place of its index for nearly every event. Users go into
//! sorted packs instead, which are merged when they have grown alike: a write costs the same however many there are.

mod digest;
mod forgetting;
mod packs;
mod reader;
mod stated;
mod tally;

pub(super) use forgetting::{forget, people_of};
pub(super) use reader::start_of;
pub use reader::{CountedHour, MetricGroup, MetricsReader, SeenUser, UserMark};
pub(super) use stated::store as store_stated;
pub use stated::{TRANSIENT_IDS, TransientIds, looks_transient};
pub(super) use tally::{SINCE_SCHEMA, Tally, WHOLE_FROM_HOUR, Withdrawals, build};
