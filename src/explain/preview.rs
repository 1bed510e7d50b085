//! What a drain would send, without sending it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::buffer::{Buffer, BufferError, Flow, JobKey, Merge};
use crate::delivery::Sequence;
use crate::mapping;

/// What would become of the pending events of live traffic whose suites are active and not blocked: how many events
/// would be sent in how many hits, and how many (`dead`) could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Preview {
    pub events: u64,
    /// The hits of these events. Adobe bills each hit as a server call.
    pub hits: u64,
    pub dead: u64,
    pub suites: BTreeMap<String, SuitePreview>,
}

/// The same counts, for one suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SuitePreview {
    pub events: u64,
    pub hits: u64,
    pub dead: u64,
}

/// Maps the pending events of live traffic, at most `limit` of them, and sends nothing.
pub fn preview(buffer: &Buffer, limit: Option<u64>) -> Result<Preview, BufferError> {
    let mut backlog = buffer.backlog(JobKey::LIVE)?;
    let mut preview = Preview::default();
    let mut left = limit.unwrap_or(u64::MAX);
    for route in buffer.routes()? {
        let mut part = SuitePreview::default();
        let mut merge = Merge::new(route.requestors);
        while left > 0
            && let Some((_, pending)) = merge.next(&mut backlog, Sequence(i64::MAX), |_| Flow::Flows)?
        {
            left -= 1;
            let form = pending.doubted.as_ref().map_or(&route.suite.form, |doubted| &doubted.form);
            match mapping::map(&pending.event, pending.id, form) {
                Ok(mapped) => {
                    part.events += 1;
                    part.hits += mapped.hits.len() as u64;
                }
                Err(_) => part.dead += 1,
            }
        }
        preview.events += part.events;
        preview.hits += part.hits;
        preview.dead += part.dead;
        preview.suites.insert(route.suite.form.rsid.to_string(), part);
    }
    Ok(preview)
}
