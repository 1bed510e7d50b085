//! How many calls a credential may make within a window.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How often the Analytics 2.0 API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AnalyticsCalls {
    /// Calls with a token that is good, answered or not.
    pub calls: u64,
    /// Those of them that came too soon.
    pub too_many: u64,
}

#[derive(Debug, Default)]
pub(super) struct Quota {
    pub(super) calls: AnalyticsCalls,
    /// When the latest calls of each credential came.
    recent: HashMap<String, Vec<Instant>>,
}

impl Quota {
    /// Counts a call, and says whether it is within the quota. One that is not costs nothing of it.
    pub(super) fn admit(&mut self, client_id: &str, calls_max: u32, window: Duration) -> bool {
        self.calls.calls += 1;
        let recent = self.recent.entry(client_id.to_owned()).or_default();
        recent.retain(|at| at.elapsed() < window);
        let is_within = recent.len() < calls_max as usize;
        if is_within {
            recent.push(Instant::now());
        } else {
            self.calls.too_many += 1;
        }
        is_within
    }
}
