//! Reports of Entitlement Service Monitoring (ESM v3): what Adobe Pass counted, hour by hour, as events with a count.
//!
//! - In: a report as JSON, XML or CSV, by hour or by minute, with `requestor-id` among its dimensions. Out: for each record
//!   and metric an event with the count that nobody had before.
//! - Guarantees: a report read again gives nothing; a count that was corrected upwards gives the increase, one that was
//!   corrected downwards is told and gives nothing; two reports that group the same hour differently are not both counted;
//!   of a report that groups by what nobody knows nothing is counted.
//! - Does not know: where what it remembers is stored, who fetched the report.
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
