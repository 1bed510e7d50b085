//! A lane's part in the trial of a suite: what may go meanwhile, and what becomes of refused events.

use super::super::feed::Parcel;
use super::super::recorder::RecorderGone;
use super::super::suite_run::{Refused, Returned};
use super::super::verdict::Refusal;
use super::{Lane, has_begun};
use crate::delivery::Outcome;
use crate::suite::OnAmbiguous;

impl Lane {
    pub(super) fn candidate(&self) -> Option<Parcel> {
        self.context.host.suites.iter().find_map(|suite| suite.take_candidate(self.number))
    }

    /// Lets an event of the queue go, or puts it where it belongs.
    pub(super) fn gate(&mut self, mut parcel: Parcel) -> Option<Parcel> {
        let suite = parcel.suite.clone();
        let is_ended = self.ended.contains(&parcel.visitor);
        if parcel.scout.is_some() {
            let is_of_visitor = |other: &Parcel| other.visitor == parcel.visitor && other.scout.is_none();
            let is_known = is_ended
                || self.aside.knows(parcel.visitor)
                || self.queue.iter().any(is_of_visitor)
                || self.claimed.iter().any(|(claimed, _)| is_of_visitor(claimed));
            return suite.admit_scout(&mut parcel, is_known).then_some(parcel);
        }
        if suite.is_over() || is_ended {
            self.leave(&parcel);
            return None;
        }
        if !suite.lets_go(&parcel) {
            suite.wait(self.number, parcel);
            return None;
        }
        Some(parcel)
    }

    /// Leaves a refused event undecided, until it is known whose fault that is. A later event of its visitor may go before that
    /// only where this one was surely not counted, and goes never again unless its suite is at fault.
    pub(super) async fn refuse(
        &mut self,
        mut parcel: Parcel,
        outcome: Outcome,
        refusal: Refusal,
    ) -> Result<(), RecorderGone> {
        let is_bare = matches!(outcome, Outcome::BareFailure);
        parcel.bare_failures += u32::from(is_bare);
        let keeps_claim = refusal.is_doubtful || has_begun(&parcel);
        let is_blocking = keeps_claim || is_bare;
        if is_blocking {
            self.follow(parcel.visitor).await?;
            parcel.suite.keep(self.aside.block(parcel.visitor));
        }
        if !keeps_claim {
            self.release(&parcel).await?;
        }
        let suite = parcel.suite.clone();
        suite.refuse(Refused { lane: self.number, parcel, outcome, is_blocking }, refusal);
        Ok(())
    }

    /// Takes what its suites give back: events that need not wait any more, and refused ones on which was decided.
    pub(super) async fn take_back(&mut self, is_last: bool) -> Result<(), RecorderGone> {
        let host = self.context.host.clone();
        host.leave_where_all_refuse();
        if self.claimed.iter().any(|(parcel, _)| !parcel.suite.lets_go(parcel)) {
            self.give_back().await?;
        }
        for suite in &host.suites {
            let Returned { decided, undecided, waiting } = suite.take_back(self.number, is_last);
            waiting.into_iter().rev().for_each(|parcel| self.queue.push_front(parcel));
            for refused in decided.iter().chain(&undecided).filter(|refused| refused.is_blocking) {
                suite.keep_no_more(self.aside.unblock(refused.parcel.visitor));
            }
            for Refused { parcel, outcome, .. } in decided {
                let step = self.next(&parcel, &outcome);
                self.take_step(parcel, outcome, step).await?;
            }
            for refused in undecided {
                self.leave_refused(refused).await?;
            }
        }
        Ok(())
    }

    /// Leaves a refused event to the next run; holds it where it may have been counted and its suite does not repeat.
    async fn leave_refused(&mut self, refused: Refused) -> Result<(), RecorderGone> {
        let Refused { mut parcel, outcome, .. } = refused;
        if let (Outcome::Ambiguous(doubt), OnAmbiguous::Hold) = (&outcome, parcel.suite.suite.on_ambiguous) {
            return self.hold(parcel, doubt.clone()).await;
        }
        self.settle_attempt(&mut parcel, &outcome).await?;
        self.end_visitor(parcel).await
    }
}
