//! A span of hours in reports that are whole: a full one is fetched again in parts, because there may be more than it shows.

use chrono::{NaiveDateTime, TimeDelta};

use super::{EsmClient, EsmError};
use crate::readers::esm::limit_reached;
use crate::web::{ApiError, Cause};

/// Hours of one report: a day.
const HOURS_AT_ONCE: i64 = 24;

impl EsmClient {
    /// Fetches the hours from `from` to before `to` and gives each whole report to `take`, in the order of time. Ends at the
    /// first error, its own or that of `take`.
    pub async fn each_report<E: From<EsmError>>(
        &mut self,
        from: NaiveDateTime,
        to: NaiveDateTime,
        mut take: impl FnMut(NaiveDateTime, NaiveDateTime, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Within it a report cannot be cut: each half would show a part of the count as all of it.
        let grain = if self.options.group_by.starts_with("minute/") {
            TimeDelta::minutes(1)
        } else {
            TimeDelta::hours(1)
        };
        let rows = u64::from(self.options.rows);
        let mut parts = Vec::new();
        let mut start = from;
        while start < to {
            let end = to.min(start + TimeDelta::hours(HOURS_AT_ONCE));
            parts.push((start, end));
            start = end;
        }
        parts.reverse();
        while let Some((start, end)) = parts.pop() {
            let grains = ((end - start).num_minutes() / grain.num_minutes()) as i32;
            let middle = (grains > 1).then(|| start + grain * (grains / 2));
            let fetched = self.report(start, end).await;
            match (fetched, middle) {
                (Err(EsmError::Api(ApiError { cause: Cause::TooLong(_), .. })), Some(middle)) => {
                    parts.extend([(middle, end), (start, middle)]);
                }
                (fetched, middle) => {
                    let body = fetched?;
                    match (limit_reached(&body, rows), middle) {
                        (None, _) => take(start, end, body)?,
                        (Some(_), Some(middle)) => parts.extend([(middle, end), (start, middle)]),
                        (Some(limit), None) => return Err(EsmError::Full { start, limit }.into()),
                    }
                }
            }
        }
        Ok(())
    }
}
