//! How a lane handles its claims: which event it claims next, when it sends the first one, and what it gives back.

use tokio::time::{Instant, sleep_until};

use super::super::host::TURN_AHEAD_MAX;
use super::super::parcel::{Parcel, Work};
use super::super::recorder::RecorderGone;
use super::super::summary::Fate;
use super::{Lane, QUEUE_LOW};

impl Lane {
    /// Claims events until no place for claims is left or no event may be sent. Makes events without a hit dead.
    pub(super) async fn claim_more(&mut self) {
        while self.queue.len() < QUEUE_LOW {
            let Ok(batch) = self.inbound.try_recv() else { break };
            self.queue.extend(batch);
        }
        while self.claims.has_room() {
            let Some(parcel) = self.next_parcel() else { break };
            if let Work::Bury(reason) = &parcel.work {
                let reason = reason.clone();
                self.settle(parcel, Fate::Dead(reason));
            } else if !self.claim(parcel).await {
                break;
            }
        }
    }

    /// Claims an event. The first claim reserves its turn: if that is far away, or its suite or host rests, the event
    /// is set aside, so that it does not hold up other suites. Returns false if no other event may be claimed now.
    async fn claim(&mut self, mut parcel: Parcel) -> bool {
        if !self.claims.is_empty() {
            let goes = self.suite(&parcel).claims_ahead();
            if goes {
                self.claims.add(parcel);
            } else {
                self.put_back(parcel);
            }
            return goes;
        }
        match self.host.admit(&mut parcel) {
            Ok(turn) => {
                parcel.turn = Some(turn);
                self.claims.add(parcel);
            }
            Err(due) if self.aside.has_room() => {
                self.unload(&mut parcel);
                self.aside.back_off(parcel, Vec::new(), due);
                return !self.host.is_stopped();
            }
            Err(due) => {
                self.put_back(parcel);
                self.rest(due).await;
                return false;
            }
        }
        true
    }

    /// Sends the first claimed event once the pace allows it and the claim is durable. Gives the claims back
    /// if the turn is far away or a rest began, or if the event may not be sent any more.
    pub(super) async fn send_front(&mut self) -> Result<(), RecorderGone> {
        let Some(mut parcel) = self.claims.take_front().await? else { return Ok(()) };
        let is_kept = |turn: &Instant| *turn + TURN_AHEAD_MAX > Instant::now();
        // A turn that is long past is not used: otherwise lanes that waited for a slow disk would all send at once.
        let turn = parcel.turn.take().filter(is_kept).map_or_else(|| self.host.admit(&mut parcel), Ok);
        if let Ok(turn) = turn {
            if turn > Instant::now() {
                sleep_until(turn).await;
            }
            if self.suite(&parcel).lets_go(&parcel) {
                self.deliver(parcel).await;
                return Ok(());
            }
        }
        self.host.return_probe(&mut parcel);
        self.give_back();
        self.release(&parcel);
        self.put_back(parcel);
        Ok(())
    }

    /// Releases the claims without sending. Their events go to the front of the queue, or back into their backoff.
    pub(super) fn give_back(&mut self) {
        let claimed = self.claims.take_back(None);
        claimed.into_iter().rev().for_each(|parcel| self.put_back(parcel));
    }

    pub(super) fn put_back(&mut self, parcel: Parcel) {
        if let Some(parcel) = self.aside.take_back(parcel) {
            self.queue.push_front(parcel);
        }
    }
}
