//! A lane's part in the trial of a suite (see `ward`): the lane holds events back, and keeps or settles refused ones.

use super::super::parcel::Parcel;
use super::super::summary::Fate;
use super::super::verdict::Refusal;
use super::super::ward::{Phase, Refused};
use super::Lane;
use crate::delivery::Outcome;
use crate::suite::OnAmbiguous;

impl Lane {
    /// Takes an event of the lane that the trial of a suite may try.
    pub(super) fn candidate(&self) -> Option<Parcel> {
        let on_trial = self.host.suites.iter().filter(|suite| suite.is(Phase::OnTrial));
        on_trial.filter_map(|suite| suite.ward(|ward| ward.take_candidate(self.number))).next()
    }

    /// Returns an event of the queue if it may be sent. If not, leaves it pending, or gives it to the ward. Drops a
    /// scout that may not be sent: the feed gives it again when its turn comes.
    pub(super) fn gate(&mut self, mut parcel: Parcel) -> Option<Parcel> {
        let is_ended = self.ended.contains(&parcel.visitor);
        let suite = self.suite(&parcel);
        if parcel.scout.is_some() {
            let is_of_visitor = |other: &Parcel| other.visitor == parcel.visitor && other.scout.is_none();
            let is_known = is_ended
                || self.aside.knows(parcel.visitor)
                || self.queue.iter().chain(self.claims.parcels()).any(is_of_visitor);
            if suite.ward(|ward| ward.admit_scout(&mut parcel, is_known)) {
                return Some(parcel);
            }
            suite.settle(&parcel);
            self.host.bindings.end(parcel.visitor, self.number, parcel.waiting);
            return None;
        }
        if suite.is_over() || is_ended {
            self.leave(&parcel);
            return None;
        }
        if !suite.lets_go(&parcel) || suite.blocks(self.number, &parcel) {
            self.unload(&mut parcel);
            self.suite(&parcel).ward(|ward| ward.wait(self.number, parcel));
            return None;
        }
        Some(parcel)
    }

    /// Gives a refused event to the ward until it is known who is at fault. Later events of its visitor must wait with
    /// it if some of its hits may have been counted, or if it is sent again even when the suite is not at fault.
    pub(super) fn refuse(&mut self, mut parcel: Parcel, outcome: Outcome, refusal: Refusal) {
        if !parcel.was_refused {
            let rsid = self.suite(&parcel).rsid();
            self.host.known.tally.refuse(rsid, parcel.event.sequence, &refusal.cause);
            self.host.known.allowance.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        let is_bare = matches!(outcome, Outcome::BareFailure);
        parcel.bare_failures += u32::from(is_bare);
        let keeps_claim = refusal.is_doubtful || parcel.hits_sent() > 0;
        let is_blocking = keeps_claim || is_bare;
        if !keeps_claim {
            self.release(&parcel);
        }
        // `gate` decides whether these later events may be sent before the refused event is decided.
        let claimed = self.claims.take_back(Some(parcel.visitor));
        let aside = self.aside.release(parcel.visitor);
        self.requeue(claimed.into_iter().chain(aside));
        self.unload(&mut parcel);
        let suite = self.suite(&parcel);
        let refused =
            Refused { lane: self.number, parcel, outcome, is_blocking, known_at: 0, is_decided: false };
        suite.ward(|ward| ward.refuse(refused, refusal));
    }

    /// Takes back events that need not wait any more, or all events if `is_last`, and takes the next step
    /// with refused events. Releases the claims if one of the claimed events may not be sent now.
    pub(super) fn take_back(&mut self, is_last: bool) {
        let host = self.host.clone();
        host.leave_where_all_refuse();
        if self.claims.parcels().any(|parcel| !host.suite(parcel).lets_go(parcel)) {
            self.give_back();
        }
        for suite in &host.suites {
            let (refused, waiting) = suite.ward(|ward| ward.take_back(self.number, is_last));
            self.requeue(waiting.into_iter());
            // The latest event comes first, so that events that are sent again stand in their order. If an
            // event stays pending, the later events of its visitor stay pending too.
            for refused in refused.into_iter().rev() {
                let step = self.next(&refused.parcel, &refused.outcome);
                // Without a later success, nobody knows whether another attempt can succeed. The next run tries again.
                if refused.is_decided && refused.parcel.is_at_fault {
                    self.take_step(refused.parcel, refused.outcome, step);
                } else {
                    self.leave_refused(refused);
                }
            }
        }
    }

    /// Leaves a refused event to the next run. Holds an event in doubt instead if its suite's policy says so.
    fn leave_refused(&mut self, refused: Refused) {
        let Refused { mut parcel, outcome, .. } = refused;
        let policy = self.suite(&parcel).suite.on_ambiguous;
        match outcome {
            Outcome::Ambiguous(doubt) if policy == OnAmbiguous::Hold => {
                self.settle(parcel, Fate::Held(doubt))
            }
            outcome => {
                self.host.leave_behind(&parcel, &outcome);
                self.end_attempt(&mut parcel, outcome.doubt());
                self.end_visitor(parcel)
            }
        }
    }
}
