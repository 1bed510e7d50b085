//! Decides when the next call of an API may begin, so that Adobe's limits on calls are kept.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// Lets calls begin one by one, with a pause between them. The pause should be a little longer than the server asks
/// for, because two calls may take different times to arrive.
///
/// The first call waits too: another process may have made a call just before. So commands that run one after the
/// other keep the limit together, without a record of their calls.
pub struct Pace {
    pause: Duration,
    /// When the latest call began.
    begun: Mutex<Instant>,
}

impl Pace {
    pub fn new(pause: Duration) -> Pace {
        Pace { pause, begun: Mutex::new(Instant::now()) }
    }

    /// Waits until a call may begin. Later callers wait until this call begins or its `Turn` is dropped.
    pub async fn turn(&self) -> Turn<'_> {
        let begun = self.begun.lock().await;
        sleep_until(*begun + self.pause).await;
        Turn(begun)
    }
}

/// The right to begin one call.
#[must_use]
pub struct Turn<'a>(MutexGuard<'a, Instant>);

impl Turn<'_> {
    /// Notes that the call begins now. Everything else that the call waits for must be done before.
    pub fn begins(mut self) {
        *self.0 = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_keep_their_distance_also_those_of_a_client_that_comes_after() {
        let pause = Duration::from_millis(500);
        let mut begun = Vec::new();
        for _ in 0..2 {
            let pace = Pace::new(pause);
            for number in 0..20_u64 {
                // A call that comes late counts from the time at which it begins.
                tokio::time::sleep(Duration::from_millis(number % 3 * 100)).await;
                pace.turn().await.begins();
                begun.push(Instant::now());
            }
        }
        assert!(begun.windows(2).all(|calls| calls[1] - calls[0] >= pause), "{begun:?}");
        assert!(begun[39] - begun[0] < 40 * pause, "it waits no longer than it must");
    }
}
