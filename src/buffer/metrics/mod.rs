//! The metrics: units and users by quarter hour, kept for ever. Reports read the metrics, so they need no events.
//!
//! ```text
//! event ── Measure ──> Tally, one a transaction ──> metric_counts      quarter hours of UTC, by group and event
//!                                               └─> metric_users       packs of digests, by day
//! ```
//!
//! The counts equal `ingested` less `taken_back` in the ledger; `status --verify` compares them. The outcome of an
//! event changes nothing here. `metric_withdrawn` counts units that leave the buffer undelivered. When a person is
//! forgotten, one random digest replaces theirs everywhere, so that figures stay and nothing leads to the person.
//!
//! With one row for each user and day, nearly every event would write at a random place of an index. So users go into
//! sorted packs, and packs of similar size are merged. The cost of a write does not grow with the number of users.

mod digest;
mod forgetting;
mod packs;
mod reader;
mod recount;
mod stated;
mod tally;
mod transient;

pub use digest::{Secret as MetricsSecret, UserMark};
pub use forgetting::{Person, Strangers};
pub(super) use forgetting::{forget, people_of};
pub use packs::{
    Entry as UserEntry, MERGED_USERS_MAX, entries as users_of, pack_sorted as pack_users, without_groups,
};
pub(super) use reader::start_of;
pub use reader::{CountedHour, Discarded, MetricGroup, MetricsReader, SeenUser, each_user};
pub(super) use recount::{RequestorDay, day_of, recount};
pub(super) use stated::{store as store_stated, take_back as take_back_stated};
pub(super) use tally::{SINCE_SCHEMA, Tally, WHOLE_FROM_HOUR, Withdrawals, build};
pub use transient::{TRANSIENT_IDS, TransientIds, looks_transient};
