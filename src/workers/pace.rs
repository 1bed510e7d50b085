//! The pace of a suite or of a host, which all workers keep together: each hit waits for a turn that the buffer gives.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::work::Work;
use crate::drain::Stop;
use crate::postgres::{PostgresError, SharedBuffer};

/// A worker lets a second's hits, divided by this, wait for turns, and may send as many at once after a pause. If more
/// waited and the worker died, more events that were never sent would be in doubt.
const WAITING_OF_A_SECOND: u32 = 10;

pub(super) struct Pace {
    name: String,
    hits_per_second: NonZeroU32,
    /// Events whose next hit waits for its turn.
    waiting: AtomicU32,
    /// Turns that nobody has taken yet, and the buffer that gives more.
    turns: Mutex<(VecDeque<Instant>, SharedBuffer)>,
}

/// Counts an event as waiting until its turn has come.
pub(super) struct Waiter(Arc<Pace>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pace {
    pub(super) async fn open(
        name: String,
        rate: NonZeroU32,
        work: &Work,
    ) -> Result<Arc<Pace>, PostgresError> {
        let mut buffer = work.open().await?;
        buffer.begin_turns().await?;
        let turns = Mutex::new((VecDeque::new(), buffer));
        Ok(Arc::new(Pace { name, hits_per_second: rate, waiting: AtomicU32::new(0), turns }))
    }

    fn at_once(&self) -> u32 {
        (self.hits_per_second.get() / WAITING_OF_A_SECOND).max(1)
    }

    /// Whether no further event may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= self.at_once()
    }

    pub(super) fn enter(self: &Arc<Pace>) -> Waiter {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiter(Arc::clone(self))
    }

    /// Waits for the turn of a hit, or for a stop. If no turn is left, reserves one for each event that waits.
    async fn turn(&self, stop: &Stop) -> Result<(), PostgresError> {
        let mut turns = self.turns.lock().await;
        let (reserved, buffer) = &mut *turns;
        if reserved.is_empty() {
            let hits = self.waiting.load(Ordering::Relaxed).max(1);
            let hit = Duration::from_secs(1) / self.hits_per_second.get();
            let wait = buffer.reserve(&self.name, hit * hits, hit * (self.at_once() - 1)).await?;
            let turn = |number: u32| Duration::from_secs_f64((wait + (hit * number).as_secs_f64()).max(0.0));
            reserved.extend((0..hits).map(|number| Instant::now() + turn(number)));
        }
        let turn = reserved.pop_front().unwrap_or_else(Instant::now);
        drop(turns);
        tokio::select! {
            () = sleep_until(turn) => {}
            _ = stop.wait() => {}
        }
        Ok(())
    }
}

/// Waits for the turns of the next hit of an event: that of its host, then that of its suite.
pub(super) async fn turns(waiters: Vec<Waiter>, stop: &Stop) -> Result<(), PostgresError> {
    for Waiter(pace) in &waiters {
        pace.turn(stop).await?;
    }
    Ok(())
}
