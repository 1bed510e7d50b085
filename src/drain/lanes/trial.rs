//! A lane's part in the trial of a suite: what may go meanwhile, and what becomes of refused events.

use super::super::parcel::Parcel;
use super::super::recorder::RecorderGone;
use super::super::retry::Next;
use super::super::summary::Fate;
use super::super::verdict::Refusal;
use super::super::ward::{Refused, Whose};
use super::Lane;
use crate::delivery::Outcome;
use crate::suite::OnAmbiguous;

impl Lane {
    /// An event of the lane that the trial of a suite may try.
    pub(super) fn candidate(&self) -> Option<Parcel> {
        let on_trial = self.context.host.suites.iter().filter(|suite| suite.is_on_trial());
        on_trial.filter_map(|suite| suite.ward(|ward| ward.take_candidate(self.number))).next()
    }

    /// Lets an event of the queue go, or puts it where it belongs.
    pub(super) fn gate(&mut self, mut parcel: Parcel) -> Option<Parcel> {
        let is_ended = self.ended.contains(&parcel.visitor);
        let suite = self.suite(&parcel);
        if parcel.scout.is_some() {
            let is_of_visitor = |other: &Parcel| other.visitor == parcel.visitor && other.scout.is_none();
            let is_known = is_ended
                || self.aside.knows(parcel.visitor)
                || self.queue.iter().chain(self.claims.parcels()).any(is_of_visitor);
            return suite.admits_scout(&mut parcel, is_known).then_some(parcel);
        }
        if suite.is_over() || is_ended {
            self.leave(&parcel);
            return None;
        }
        if !suite.lets_go(&parcel) || suite.blocks(parcel.visitor) {
            suite.ward(|ward| ward.wait(self.number, parcel));
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
        if !parcel.was_refused {
            let rsid = self.suite(&parcel).rsid();
            self.context.tally.refuse(rsid, parcel.event.sequence, &refusal.cause);
        }
        let is_bare = matches!(outcome, Outcome::BareFailure);
        parcel.bare_failures += u32::from(is_bare);
        let keeps_claim = refusal.is_doubtful || parcel.some_counted().is_some();
        let is_blocking = keeps_claim || is_bare;
        if !keeps_claim {
            self.release(&parcel).await?;
        }
        // They pass the gate again, which knows whether they may go before this one is decided.
        let claimed = self.claims.take_back_of(parcel.visitor).await?;
        let aside = self.aside.release(parcel.visitor);
        self.requeue(claimed.into_iter().chain(aside));
        let suite = self.suite(&parcel);
        let refused = Refused { lane: self.number, parcel, outcome, is_blocking, known_at: 0, whose: None };
        suite.ward(|ward| ward.refuse(refused, refusal));
        Ok(())
    }

    /// Takes what its suites give back: events that need not wait any more, and refused ones on which was decided.
    pub(super) async fn take_back(&mut self, is_last: bool) -> Result<(), RecorderGone> {
        let host = self.context.host.clone();
        host.leave_where_all_refuse();
        if self.claims.parcels().any(|parcel| !host.suite(parcel).lets_go(parcel)) {
            self.give_back().await?;
        }
        for suite in &host.suites {
            let (refused, waiting) = suite.ward(|ward| ward.take_back(self.number, is_last));
            self.requeue(waiting.into_iter());
            // The latest first: the events of a visitor that go again stand in their order then, and one that is left pending takes the later
            // ones with it.
            for refused in refused.into_iter().rev() {
                let step = self.next(&refused.parcel, &refused.outcome);
                match (refused.whose, &step) {
                    (None, _) => self.leave_refused(refused).await?,
                    // Of a suite that delivers, the next success says whether it was the event. A failure without a reason was tried
                    // some times already, with pauses between.
                    (Some(Whose::Unknown), Next::Bury(_))
                        if suite.has_succeeded() && refused.parcel.bare_failures == 0 =>
                    {
                        self.leave_refused(refused).await?;
                    }
                    (Some(_), _) => self.take_step(refused.parcel, refused.outcome, step).await?,
                }
            }
        }
        Ok(())
    }

    /// Leaves a refused event to the next run; holds it where it may have been counted and its suite does not repeat.
    async fn leave_refused(&mut self, refused: Refused) -> Result<(), RecorderGone> {
        let Refused { mut parcel, outcome, .. } = refused;
        let policy = self.suite(&parcel).suite.on_ambiguous;
        match outcome {
            Outcome::Ambiguous(doubt) if policy == OnAmbiguous::Hold => {
                self.settle(parcel, Fate::Held(doubt)).await
            }
            outcome => {
                self.end_attempt(&mut parcel, outcome.doubt()).await?;
                self.end_visitor(parcel).await
            }
        }
    }
}
