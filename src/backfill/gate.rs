//! Decides whether a backfill may go on now: by its hours, a pause by a person, and live drains, which go first.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::buffer::{Buffer, BufferError, RequestorKey};
use crate::clock::Clock;
use crate::config::Zone;
use crate::drain::{Stop, StopReason};
use crate::job::{Hours, JobName, JobState};
use crate::suite::Rsid;

/// How often the gate is checked. A backfill gives way to a live drain within this time.
pub(super) const POLL: Duration = Duration::from_millis(25);
/// The reason to wait while a live drain runs.
pub(super) const LIVE_FIRST: &str = "a live drain goes first";
/// After this many polls (a second), the job and the suites are read from the buffer again, to see a pause.
const POLLS_A_LOOK: u32 = 40;

/// Why a run of a backfill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Done,
    Paused,
    Cancelled,
    Stopped,
    /// A suite was stopped. The comment on `StopReason::Suite` has the possible reasons.
    Suite,
}

/// How a leg (one stretch of sending without an interruption) ended.
pub(super) enum Leg {
    /// No event is left that can be sent.
    Done,
    /// The leg was interrupted.
    Over,
    /// The leg ended with events left, for this reason. They can be tried again later.
    Later(String),
    Suite,
}

pub(super) enum Passage {
    Open,
    Waits(String),
    Ended(Ending),
}

#[derive(Clone)]
pub(super) struct Gate {
    pub(super) buffer: Arc<Buffer>,
    pub(super) name: JobName,
    /// When the job may send; `None` means always. The hours change only while no process runs the job.
    pub(super) hours: Option<Hours>,
    pub(super) zone: Zone,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
}

impl Gate {
    /// Whether inputs may be loaded now. The hours of the job do not matter for this.
    pub(super) fn loading(&self) -> Result<Passage, BufferError> {
        if self.stop.requested().is_some() {
            return Ok(Passage::Ended(Ending::Stopped));
        }
        Ok(match self.buffer.job(&self.name)?.state {
            JobState::Paused => Passage::Ended(Ending::Paused),
            JobState::Cancelled => Passage::Ended(Ending::Cancelled),
            JobState::Planned | JobState::Running | JobState::Stopped | JobState::Done => {
                match self.buffer.drain_holder()?.is_some() {
                    true => Passage::Waits(LIVE_FIRST.to_owned()),
                    false => Passage::Open,
                }
            }
        })
    }

    pub(super) fn sending(&self) -> Result<Passage, BufferError> {
        Ok(match (self.loading()?, self.outside_hours()) {
            (Passage::Open | Passage::Waits(_), Some(why)) => Passage::Waits(why),
            (passage, _) => passage,
        })
    }

    /// Ends a leg once the gate closes, a suite is paused or mapped anew, or a stop was asked for.
    pub(super) async fn watch(self, leg: Stop) {
        let routes = self.routes();
        for poll in 1_u32.. {
            tokio::select! {
                reason = self.stop.wait() => return leg.request(reason),
                () = sleep(POLL) => {}
            }
            // The lock of drains is a file, so checking it costs nearly nothing. If the buffer cannot be read, the
            // leg fails too and reports the error.
            let gives_way = self.outside_hours().is_some() || !matches!(self.buffer.drain_holder(), Ok(None));
            let is_look = poll.is_multiple_of(POLLS_A_LOOK);
            if gives_way
                || (is_look && (self.routes() != routes || !matches!(self.sending(), Ok(Passage::Open))))
            {
                return leg.request(StopReason::GiveWay);
            }
        }
    }

    fn routes(&self) -> Option<Vec<(Rsid, Vec<RequestorKey>)>> {
        let routes = self.buffer.routes().ok()?;
        Some(routes.into_iter().map(|route| (route.suite.form.rsid, route.requestors)).collect())
    }

    /// The reason to wait, if the time is outside the hours of the job.
    fn outside_hours(&self) -> Option<String> {
        let hours = self.hours?;
        let minutes = hours.minutes_to_wait(self.clock.now(), self.zone)?;
        let (zone, hours_left) = (self.zone.0.name(), minutes / 60);
        Some(format!("its hours are {hours} ({zone}): {hours_left} h {:02} min to go", minutes % 60))
    }
}
