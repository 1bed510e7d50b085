//! Reports of Entitlement Service Monitoring (ESM v3): the hourly counts of Adobe Pass, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each
//!   record and metric an event with the part of the count that is new.
//! - Guarantees: a report that is read again gives nothing. A higher total gives its increase; a lower total gives
//!   nothing and is reported. Two reports that group an hour differently are not both counted. A report with an unknown
//!   dimension is not counted.
//! - Does not know: where its memory is stored, who fetched the report.
//! - Rules: sections 8.2 to 8.4 of `reference/adobe-analytics.md`.

mod fields;
mod kept;
mod passes;
mod reader;
mod record;
mod report;
mod stated;
mod summary;
mod time;

pub use fields::{has_metric, is_dimension_name};
pub use kept::{ROW_PREFIX, follows_from};
pub use reader::{EsmReader, REPORT_BYTES_MAX};
pub use report::{limit_reached, starts_like_esm};
pub use stated::{StatedCount, StatedReport, StatedTime, mismatch};
pub use summary::{EsmSummary, StatedAccounts};
