//! The events that a lane has claimed, in the order of sending. A claim is durable before its event is sent.

use std::collections::VecDeque;

use super::super::parcel::Parcel;
use super::super::recorder::{ClaimTicket, Recorder, RecorderGone};
use crate::buffer::Change;
use crate::hit::VisitorKey;

/// How many claims a lane may hold. While it sends them, the next ones become durable, many in one commit. After a
/// crash, this many events of each lane may be in doubt although no byte of them was sent.
const CLAIMS_MAX: usize = 8;

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

    /// Claims an event behind the others.
    pub(super) fn add(&mut self, parcel: Parcel) {
        let claim = Change::Claim { sequence: parcel.event.sequence, form: parcel.form };
        let ticket = self.recorder.record(claim);
        self.claimed.push_back((parcel, ticket));
    }

    /// Takes the first event once its claim is durable. The caller must then settle or release it. The next claims
    /// become durable while the first ones are sent, so that a lane waits for none.
    pub(super) async fn take_front(&mut self) -> Result<Option<Parcel>, RecorderGone> {
        let Some((parcel, ticket)) = self.claimed.pop_front() else { return Ok(None) };
        if let Some((_, soon)) = self.claimed.get(CLAIMS_MAX / 2) {
            self.recorder.is_granted(*soon);
        }
        self.recorder.granted(ticket).await?;
        Ok(Some(parcel))
    }

    /// Releases claims, of all visitors or of one, and returns their events in their order. No byte of these was sent.
    pub(super) fn take_back(&mut self, of: Option<VisitorKey>) -> Vec<Parcel> {
        let mut taken = Vec::new();
        for (mut parcel, ticket) in std::mem::take(&mut self.claimed) {
            if of.is_none_or(|visitor| parcel.visitor == visitor) {
                parcel.turn = None;
                self.recorder.record(Change::Release { sequence: parcel.event.sequence });
                taken.push(parcel);
            } else {
                self.claimed.push_back((parcel, ticket));
            }
        }
        taken
    }
}
