//! Decides when the next call of an API may begin, so that Adobe's limits on calls are kept.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// Lets at most `calls_per_window` calls begin in any window. The window should be a little longer than the server's,
/// because two calls may take different times to arrive.
pub struct Pace {
    calls_per_window: usize,
    window: Duration,
    /// When the latest calls began, the oldest first; at most `calls_per_window` of them.
    begun: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub fn new(calls_per_window: u32, window: Duration) -> Pace {
        Pace { calls_per_window: calls_per_window.max(1) as usize, window, begun: Mutex::default() }
    }

    /// A pace of one call in each window. The first window begins now, because another process may have made a call.
    pub fn after_a_call(window: Duration) -> Pace {
        Pace { begun: Mutex::new(VecDeque::from([Instant::now()])), ..Pace::new(1, window) }
    }

    /// Waits until a call may begin. Later callers wait until this call begins or its `Turn` is dropped.
    pub async fn turn(&self) -> Turn<'_> {
        let begun = self.begun.lock().await;
        let is_full = begun.len() >= self.calls_per_window;
        if let Some(oldest) = begun.front().filter(|_| is_full) {
            sleep_until(*oldest + self.window).await;
        }
        Turn { begun, is_full }
    }
}

/// The right to begin one call.
#[must_use]
pub struct Turn<'a> {
    begun: MutexGuard<'a, VecDeque<Instant>>,
    is_full: bool,
}

impl Turn<'_> {
    /// Notes that the call begins now. Everything else that the call waits for must be done before.
    pub fn begins(mut self) {
        if self.is_full {
            self.begun.pop_front();
        }
        self.begun.push_back(Instant::now());
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
            // A call that comes late counts from the time at which it begins.
            tokio::time::sleep(Duration::from_millis(number % 3 * 100)).await;
            pace.turn().await.begins();
            begun.push(Instant::now());
        }
        assert!(begun.windows(13).all(|calls| calls[12] - calls[0] >= window), "{begun:?}");
        assert!(begun[39] - begun[0] < 4 * window, "it waits no longer than it must");
    }
}
