//! Which slices a worker has: it claims free ones up to its fair share, covers those that are done, gives others back.

use std::sync::Arc;

use tokio::time::Instant;

use super::host::{HostWork, SliceWork};
use super::suite::SuiteWork;
use super::work::Place;
use crate::drain::StopReason;
use crate::postgres::{Claim, PostgresError, SharedRoute};

impl HostWork {
    /// Stops paused or changed suites. Claims free slices up to the fair share, or marks surplus ones as leaving.
    pub(super) async fn look(&mut self) -> Result<(), PostgresError> {
        self.stop_changed().await?;
        let going: Vec<usize> =
            (0..self.suites.len()).filter(|suite| !self.suites[*suite].is_stopped).collect();
        let routes: Vec<SharedRoute> = going.iter().map(|suite| self.suites[*suite].route.clone()).collect();
        let rsids: Vec<&str> = routes.iter().map(|route| route.suite.form.rsid.as_str()).collect();
        let open = self.buffer.open_slices(&rsids, &self.cut).await?;
        let live = self.buffer.live_workers().await?.max(1);
        let share = (open.all + live - 1) / live;
        let owned = self.slices.values().filter(|slice| !slice.is_leaving).count() as i64;
        // The surplus goes to other workers: each slice is given back between attempts, not in the middle of one.
        let surplus = usize::try_from(owned - share).unwrap_or(0);
        self.slices
            .values_mut()
            .filter(|slice| !slice.is_leaving)
            .take(surplus)
            .for_each(|slice| slice.is_leaving = true);
        if share > owned && open.open > owned && self.work.lease.is_held() {
            let known: Vec<&Claim> = self.slices.values().map(|slice| &*slice.claim).collect();
            let most = share - owned;
            let claims = self.buffer.claim(&self.work.worker, &rsids, &self.cut, most, &known).await?;
            if !claims.is_empty() {
                // A person may have changed a suite just before the claim. From now on, nobody can change its visitors.
                self.stop_changed().await?;
            }
            for claim in claims {
                let Some(number) = routes.iter().position(|route| route.suite.form.rsid == claim.rsid) else {
                    continue;
                };
                if self.suites[going[number]].is_stopped {
                    self.buffer.release(&self.work.worker, &claim).await?;
                    continue;
                }
                // Another worker owned the slice meanwhile, unnoticed: what this worker knows of it is out of date.
                let place = (going[number], claim.n);
                let stale = self.slices.keys().find(|(suite, n, _)| (*suite, *n) == place).copied();
                if let Some(stale) = stale {
                    self.lose(stale);
                }
                let backlog = self.reader.backlog(&claim, &self.cut, &routes[number]).await?;
                let slice = SliceWork {
                    claim: Arc::new(claim),
                    backlog,
                    waiting: 0,
                    in_flight: 0,
                    left: Vec::new(),
                    is_leaving: false,
                };
                self.slices.insert((going[number], slice.claim.n, slice.claim.epoch), slice);
            }
        }
        self.waits_for_others = open.open > 0;
        Ok(())
    }

    /// Stops the suites that were paused or removed, or got other visitors, or lost requestors since the drain began.
    async fn stop_changed(&mut self) -> Result<(), PostgresError> {
        let active = self.buffer.routes().await?;
        let is_same = |suite: &SuiteWork| {
            let own = |route: &&SharedRoute| route.suite.form.rsid == suite.route.suite.form.rsid;
            active.iter().find(own).is_some_and(|now| suite.route.holds_in(now))
        };
        self.suites.iter_mut().filter(|suite| !is_same(suite)).for_each(|suite| suite.is_stopped = true);
        Ok(())
    }

    /// Records the slices that are done as covered, and gives back the slices that are leaving.
    pub(super) async fn end_slices(&mut self, is_stopped: bool) -> Result<(), PostgresError> {
        if is_stopped || !(self.group.outcomes.is_empty() && self.group.decisions.is_empty()) {
            return Ok(());
        }
        for number in 0..self.suites.len() {
            self.conclude(number);
        }
        let places: Vec<Place> = self.slices.keys().copied().collect();
        for place in places {
            let (slice, suite) = (&self.slices[&place], &self.suites[place.0]);
            let is_unsettled = !(self.group.outcomes.is_empty() && self.group.decisions.is_empty());
            if slice.in_flight > 0 || is_unsettled {
                continue;
            }
            if slice.is_leaving || suite.is_stopped {
                self.summary.left |= suite.is_stopped;
                self.buffer.release(&self.work.worker, &slice.claim).await?;
                self.forget(place);
            } else if slice.backlog.is_exhausted && slice.waiting == 0 {
                let (claim, left) = (Arc::clone(&slice.claim), slice.left.clone());
                let covered =
                    self.buffer.cover(&self.work.worker, &claim, &self.cut, &suite.route, &left).await?;
                self.summary.slices += u64::from(covered);
                self.summary.lost_slices += u64::from(!covered);
                self.forget(place);
                // If this was the last open slice, the next look shows it and ends the drain: look at once.
                self.look_at = Instant::now();
            }
        }
        Ok(())
    }

    /// Leaves or holds the refused events of a suite, once no other event can show who is at fault.
    fn conclude(&mut self, number: usize) {
        let suite = &self.suites[number];
        let mut own = self.slices.iter().filter(|((suite, ..), _)| *suite == number);
        let is_read = own.all(|(_, slice)| slice.backlog.is_exhausted || slice.is_leaving);
        if suite.has_refused()
            && (suite.is_stopped || (suite.in_flight == 0 && is_read && !self.lines.has_ready(number)))
        {
            for refused in self.suites[number].take_refused(None) {
                self.leave_refused(refused);
            }
        }
    }

    /// Forgets a slice that others took over.
    pub(super) fn lose(&mut self, place: Place) {
        let claim = &self.slices[&place].claim;
        tracing::warn!(rsid = %claim.rsid, slice = claim.n, "another worker took a slice over, because the lease had ended");
        self.summary.lost_slices += 1;
        self.forget(place);
    }

    /// Forgets a slice that this worker does not own any more, with its events.
    pub(super) fn forget(&mut self, place: Place) {
        self.slices.remove(&place);
        let refused = self.suites[place.0].take_refused(Some(place));
        self.lines.forget(place, refused.iter().map(|refused| refused.parcel.visitor));
    }

    /// Records what the last replies said, and gives every slice back.
    pub(super) async fn give_back_all(&mut self) -> Result<(), PostgresError> {
        for number in 0..self.suites.len() {
            for refused in self.suites[number].take_refused(None) {
                self.leave_refused(refused);
            }
        }
        self.record(Vec::new(), true).await?;
        self.summary.left |= !self.slices.is_empty();
        if self.is_given_up {
            self.summary.stopped = self.summary.stopped.or(Some(StopReason::Host));
        }
        for slice in self.slices.values() {
            self.buffer.release(&self.work.worker, &slice.claim).await?;
        }
        Ok(())
    }
}
