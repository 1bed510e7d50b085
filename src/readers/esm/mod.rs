//! Reports of Entitlement Service Monitoring (ESM v3): the hourly counts of Adobe Pass, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each
//!   record and metric, events with the part of the count that is new. Unique accounts, also by day or month, become
//!   no events: they are stored as ESM states them.
//! - Guarantees: a report that is read again makes no event. If a total is higher than before, its increase
//!   becomes events; if it is lower, a note says so. An hour is counted by one grouping only: records with
//!   another grouping are rejected, and so are records that sum up others. A report that groups by an unknown dimension
//!   is refused as a whole.
//! - Does not know: where its memory is stored, who fetched the report.
//! - Rules: "Entitlement Service Monitoring API" in Adobe's guide to Pass Authentication; `docs/sources.md`.

mod clocks;
mod encoding;
mod fields;
mod hour;
mod kept;
mod kind;
mod passes;
mod reader;
mod record;
mod report;
mod respelt;
mod stated;
mod summary;
mod sums;
mod time;
mod vanished;

pub use fields::{columns, has_metric, is_dimension_name};
pub use kept::{
    BEFORE, EVERY_MVPD, GROUPING, LACKING, ROW_PREFIX, accounts_keys, counted_total, follows_from, growth_of,
    hour_key, lacking, lacking_without, mvpd_digest,
};
pub use kind::{header_below, starts_like_esm};
pub use reader::{EsmReader, REPORT_BYTES_MAX};
pub use stated::{StatedCount, StatedReport, checked};
pub use summary::{EsmSummary, StatedAccounts};
