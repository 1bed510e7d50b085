//! Adobe's limit on calls, kept before Adobe has to.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// By how much a window is taken to be longer, as a part of it: the way to Adobe is not always equally long.
const SLACK_PART: u32 = 20;

/// Lets through so many calls in any window.
pub(super) struct Pace {
    calls_per_window: usize,
    window: Duration,
    /// When the latest calls began, the oldest first; never more than a window may have.
    begun: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub(super) fn new(calls_per_window: u32, window: Duration) -> Pace {
        let calls_per_window = calls_per_window.max(1) as usize;
        Pace { calls_per_window, window: window + window / SLACK_PART, begun: Mutex::default() }
    }

    /// Waits until a call may begin. Whoever waits has everybody behind wait too, so that they go in order.
    pub(super) async fn turn(&self) {
        let mut begun = self.begun.lock().await;
        if begun.len() == self.calls_per_window
            && let Some(oldest) = begun.pop_front()
        {
            sleep_until(oldest + self.window).await;
        }
        begun.push_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_calls_than_it_may() {
        let window = Duration::from_secs(6);
        let pace = Pace::new(12, window);
        let mut begun = Vec::new();
        for number in 0..40_u64 {
            // Calls that come late count from when they begin.
            tokio::time::sleep(Duration::from_millis(number % 3 * 100)).await;
            pace.turn().await;
            begun.push(Instant::now());
        }
        assert!(begun.windows(13).all(|calls| calls[12] - calls[0] >= window), "{begun:?}");
        assert!(begun[39] - begun[0] < 4 * window, "it waits no longer than it must");
    }
}
