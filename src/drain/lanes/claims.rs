//! The events that a lane has claimed, in the order of sending. A claim is durable before its event is sent.

use std::collections::VecDeque;

use super::super::parcel::Parcel;
use super::super::recorder::{ClaimTicket, Recorder, RecorderGone};
use crate::buffer::Change;
use crate::hit::VisitorKey;

/// How many claims a lane may hold: one in flight and one ready behind it.
const CLAIMS_MAX: usize = 2;

/// The claims of one lane that are not in flight.
pub(super) struct Claims {
    recorder: Recorder,
    claimed: VecDeque<(Parcel, ClaimTicket)>,
}

impl Claims {
    pub(super) fn new(recorder: Recorder) -> Claims {
        Claims { recorder, claimed: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.claimed.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.claimed.len() < CLAIMS_MAX
    }

    pub(super) fn parcels(&self) -> impl Iterator<Item = &Parcel> {
        self.claimed.iter().map(|(parcel, _)| parcel)
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Parcel> {
        self.claimed.front_mut().map(|(parcel, _)| parcel)
    }

    /// Claims an event behind the others.
    pub(super) async fn add(&mut self, parcel: Parcel) -> Result<(), RecorderGone> {
        let claim = Change::Claim { sequence: parcel.event.sequence, form: parcel.form };
        let ticket = self.recorder.claim(claim).await?;
        self.claimed.push_back((parcel, ticket));
        Ok(())
    }

    /// Takes the first event once its claim is durable. The caller must then settle or release it.
    pub(super) async fn take_front(&mut self) -> Result<Option<Parcel>, RecorderGone> {
        let Some((parcel, ticket)) = self.claimed.pop_front() else { return Ok(None) };
        ticket.granted().await?;
        Ok(Some(parcel))
    }

    /// Releases the claims, of which no byte was sent, and returns their events in their order.
    pub(super) async fn take_back(&mut self) -> Result<Vec<Parcel>, RecorderGone> {
        self.take_back_where(|_| true).await
    }

    /// As `take_back`, for the claims of one visitor.
    pub(super) async fn take_back_of(&mut self, visitor: VisitorKey) -> Result<Vec<Parcel>, RecorderGone> {
        self.take_back_where(|parcel| parcel.visitor == visitor).await
    }

    async fn take_back_where(
        &mut self,
        is_meant: impl Fn(&Parcel) -> bool,
    ) -> Result<Vec<Parcel>, RecorderGone> {
        let mut taken = Vec::new();
        for (parcel, ticket) in std::mem::take(&mut self.claimed) {
            if is_meant(&parcel) {
                self.recorder.record(Change::Release { sequence: parcel.event.sequence }).await?;
                taken.push(parcel);
            } else {
                self.claimed.push_back((parcel, ticket));
            }
        }
        Ok(taken)
    }
}
