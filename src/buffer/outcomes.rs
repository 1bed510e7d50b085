//! Records what became of attempts, many in one transaction.

use std::collections::BTreeMap;

use super::arrivals;
use super::attempts;
use super::claims::{self, Claims};
use super::database::Buffer;
use super::error::Result;
use super::keys::{FormKey, RunId};
use super::ledger::Term;
use super::rows::EventRef;
use super::states::{Delivered, Moves, To, doubt, partly_sent};
use crate::delivery::{DeadReason, Doubt, Sequence};
use crate::event::Instant;
use crate::suite::OnAmbiguous;

/// A change to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An attempt is about to be sent. This is durable before the attempt's first byte is written.
    Claim {
        sequence: Sequence,
        form: FormKey,
    },
    /// The attempt was never written or certainly not received, so its claim is deleted.
    Release {
        sequence: Sequence,
    },
    /// An attempt ended without SUCCESS. Another change records what this means for the event.
    Attempt {
        sequence: Sequence,
        /// The reply, or why there is none.
        reply: String,
        at: Instant,
    },
    /// The attempt has an unknown outcome.
    Doubt {
        event: EventRef,
        /// The hit form of the attempt, which every repeat keeps.
        form: FormKey,
        doubt: Doubt,
        policy: OnAmbiguous,
        at: Instant,
    },
    /// The first hits of the event were answered SUCCESS. Another change follows if more is known of the next hit.
    PartlySent {
        sequence: Sequence,
        form: FormKey,
        hits_sent: u32,
        at: Instant,
    },
    Delivered(Delivered),
    Dead {
        event: EventRef,
        form: FormKey,
        reason: DeadReason,
        at: Instant,
    },
}

impl Buffer {
    /// Records changes in one durable transaction: the deliveries at its end, the others in their order. Returns the
    /// claims of the run as they are after the changes.
    pub async fn record(&self, run: RunId, mut claims: Claims, changes: Vec<Change>) -> Result<Claims> {
        self.write_async(move |transaction| {
            let mut moves = Moves::new(transaction);
            let (mut delivered, mut waves) = (BTreeMap::new(), claims::Changed::default());
            for change in changes {
                match change {
                    Change::Claim { sequence, form } => Claims::begin(sequence, form, &mut waves),
                    Change::Release { sequence } => claims.end(sequence, false, &mut waves),
                    Change::Attempt { sequence, reply, at } => {
                        attempts::note(transaction, sequence, run, at, &reply)?;
                    }
                    Change::Doubt { event, form, doubt: why, policy, at } => {
                        claims.end(event.sequence, false, &mut waves);
                        doubt(transaction, event.sequence, form, &why, at)?;
                        match policy {
                            OnAmbiguous::Retry => {}
                            OnAmbiguous::Hold => {
                                moves.shift(&event, Term::Pending, To::Held { at })?;
                            }
                        }
                    }
                    Change::PartlySent { sequence, form, hits_sent, at } => {
                        claims.end(sequence, false, &mut waves);
                        partly_sent(transaction, sequence, form, hits_sent, at)?;
                    }
                    Change::Delivered(one) => {
                        claims.end(one.event.sequence, true, &mut waves);
                        moves.deliver(one, run);
                        delivered.insert(one.event.requestor, one.at);
                    }
                    Change::Dead { event, form, reason, at } => {
                        claims.end(event.sequence, false, &mut waves);
                        moves.shift(&event, Term::Pending, To::Dead { reason: &reason, form, at, run })?;
                    }
                }
            }
            arrivals::note_delivered(transaction, &delivered)?;
            claims.write(transaction, run, waves)?;
            moves.account()?;
            Ok(claims)
        })
        .await
    }
}
