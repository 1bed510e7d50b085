//! A lane's part in the trial of a suite (see `ward`): holds events back, and keeps or settles refused events.

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

    /// Returns an event of the queue if it may be sent. If not, leaves it pending or lets it wait.
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

    /// Leaves a refused event undecided until it is known who is at fault. Later events of its visitor may be sent
    /// before only if this event was surely not counted and will be sent again only if the suite is at fault.
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
        // The gate decides whether these events may be sent before the refused event is decided.
        let claimed = self.claims.take_back_of(parcel.visitor).await?;
        let aside = self.aside.release(parcel.visitor);
        self.requeue(claimed.into_iter().chain(aside));
        let suite = self.suite(&parcel);
        let refused = Refused { lane: self.number, parcel, outcome, is_blocking, known_at: 0, whose: None };
        suite.ward(|ward| ward.refuse(refused, refusal));
        Ok(())
    }

    /// Takes back from the suites the events that need not wait any more and the refused events that are decided.
    pub(super) async fn take_back(&mut self, is_last: bool) -> Result<(), RecorderGone> {
        let host = self.context.host.clone();
        host.leave_where_all_refuse();
        if self.claims.parcels().any(|parcel| !host.suite(parcel).lets_go(parcel)) {
            self.give_back().await?;
        }
        for suite in &host.suites {
            let (refused, waiting) = suite.ward(|ward| ward.take_back(self.number, is_last));
            self.requeue(waiting.into_iter());
            // The latest first, so that events that are sent again stand in their order. An event that is left
            // pending leaves later events of its visitor pending too.
            for refused in refused.into_iter().rev() {
                let step = self.next(&refused.parcel, &refused.outcome);
                match (refused.whose, &step) {
                    (None, _) => self.leave_refused(refused).await?,
                    // If the suite delivers, the next success tells whether the event was at fault. An event with
                    // FAILURE without a reason was already tried several times, with pauses.
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

    /// Leaves a refused event to the next run, or holds it if it may have been counted and the suite does not repeat.
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
