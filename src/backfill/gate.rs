//! Whether a backfill may send now: its hours, a person's wish, and live traffic, which goes first.

use std::sync::Arc;
use std::time::Duration;

use chrono::Timelike;
use tokio::time::sleep;

use super::{BackfillError, Ending};
use crate::buffer::{Buffer, RequestorKey};
use crate::clock::Clock;
use crate::config::Zone;
use crate::drain::{Stop, StopReason};
use crate::event::Instant;
use crate::job::{Hours, JobName, JobState};
use crate::suite::Rsid;

/// How often it is looked: a live drain has the host to itself after this time.
pub(super) const POLL: Duration = Duration::from_millis(25);
/// Why it waits for a live drain.
pub(super) const LIVE_FIRST: &str = "a live drain goes first";

/// Polls until the suites are looked at: the kill switch works within a second.
const POLLS_A_LOOK: u32 = 40;

pub(super) enum Passage {
    Open,
    /// Not now, and why.
    Waits(String),
    /// Not any more.
    Ended(Ending),
}

#[derive(Clone)]
pub(super) struct Gate {
    pub(super) buffer: Arc<Buffer>,
    pub(super) name: JobName,
    pub(super) zone: Zone,
    pub(super) clock: Clock,
}

impl Gate {
    pub(super) fn passage(&self) -> Result<Passage, BackfillError> {
        let job = self.buffer.job(&self.name)?;
        Ok(match job.state {
            JobState::Paused => Passage::Ended(Ending::Paused),
            JobState::Cancelled => Passage::Ended(Ending::Cancelled),
            _ => match job.settings.hours.filter(|hours| !hours.contains(self.minute())) {
                Some(hours) => Passage::Waits(self.outside(hours)),
                None if self.buffer.is_draining()? => Passage::Waits(LIVE_FIRST.to_owned()),
                None => Passage::Open,
            },
        })
    }

    /// Ends a leg once the gate closes, a suite is paused or mapped anew, or a stop was asked for.
    pub(super) async fn watch(self, leg: Stop, stop: Stop) {
        let routes = self.routes().await;
        for look in 1_u32.. {
            tokio::select! {
                reason = stop.wait() => return leg.request(reason),
                () = sleep(POLL) => {}
            }
            // A buffer that cannot be read fails the leg too, which reports it.
            let is_mapped_anew = look.is_multiple_of(POLLS_A_LOOK) && self.routes().await != routes;
            if is_mapped_anew || !matches!(self.passage(), Ok(Passage::Open)) {
                return leg.request(StopReason::GiveWay);
            }
        }
    }

    async fn routes(&self) -> Option<Vec<(Rsid, Vec<RequestorKey>)>> {
        let routes = self.buffer.routes_now().await.ok()?;
        Some(routes.into_iter().map(|route| (route.suite.form.rsid, route.requestors)).collect())
    }

    /// The minute of the day on the clock of the schedule.
    fn minute(&self) -> u16 {
        let now: Instant = self.clock.now();
        let local = chrono::DateTime::from_timestamp_nanos(now.nanos()).with_timezone(&self.zone.0);
        (local.hour() * 60 + local.minute()) as u16
    }

    fn outside(&self, hours: Hours) -> String {
        let minutes = hours.minutes_until(self.minute());
        format!(
            "its hours are {hours} ({}): {} h {:02} min to go",
            self.zone.0.name(),
            minutes / 60,
            minutes % 60
        )
    }
}
