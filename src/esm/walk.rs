//! Fetches a span of hours in whole reports. A report that is too long, or where rows may be missing, is split.

use chrono::{NaiveDateTime, TimeDelta};

use super::{EsmClient, KEY};
use crate::web::{ApiError, Cause, Endpoint};

/// The most hours of one report: a day.
const HOURS_AT_ONCE: i64 = 24;

impl EsmClient {
    /// Gives `take` each whole report of the hours from `from` to before `to`, in order. Ends at the first error.
    pub async fn each_report<E: From<ApiError>>(
        &mut self,
        from: NaiveDateTime,
        to: NaiveDateTime,
        mut take: impl FnMut(NaiveDateTime, NaiveDateTime, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        // The shortest span of a report. A shorter span would show a part of a count as the whole count.
        let grain = if self.config.group_by.starts_with("minute/") {
            TimeDelta::minutes(1)
        } else {
            TimeDelta::hours(1)
        };
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
            let fetched = self.report(start, end).await;
            let is_full = matches!(fetched, Ok((_, Some(_))));
            let is_too_long = matches!(&fetched, Err(ApiError { cause: Cause::TooLong(_), .. }));
            if grains > 1 && (is_too_long || is_full) {
                let middle = start + grain * (grains / 2);
                parts.extend([(middle, end), (start, middle)]);
                continue;
            }
            let (body, limit) = fetched?;
            if let Some(limit) = limit {
                let endpoint = Endpoint::new("a report", KEY, &self.reports_url);
                return Err(endpoint.error(Cause::Full { start, limit }).into());
            }
            take(start, end, body)?;
        }
        Ok(())
    }
}
