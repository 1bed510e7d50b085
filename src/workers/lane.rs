//! A lane sends events one after the other, hit by hit, and begins a hit only while the lease is held. The attempt of
//! the next event is recorded before, so that the lane takes the next event without waiting.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::UnboundedSender;

use super::pace::{Pace, Waiter, turns};
use super::work::{FormText, Place};
use crate::collection::Connection;
use crate::delivery::{DeadReason, Outcome};
use crate::drain::Stop;
use crate::hit::VisitorKey;
use crate::postgres::{Lease, PostgresError, SharedRoute, Waiting};
use crate::{encode, mapping};

/// An event with its hits.
pub(super) struct Parcel {
    pub(super) seq: i64,
    pub(super) place: Place,
    pub(super) visitor: VisitorKey,
    pub(super) form: FormText,
    pub(super) hits: Vec<Bytes>,
    pub(super) hits_sent: usize,
    /// Attempts in this drain.
    pub(super) attempts: u32,
    pub(super) bare_failures: u32,
    /// Whether an attempt may have been counted.
    pub(super) is_doubted: bool,
}

impl Parcel {
    /// Maps and encodes an event. If it may have been counted, even in part, it keeps its earlier form.
    pub(super) fn new(place: Place, route: &SharedRoute, waiting: &Waiting) -> Result<Parcel, DeadReason> {
        let (form, text, hits_sent) = match &waiting.earlier {
            Some(earlier) => (&earlier.form, Arc::clone(&earlier.form_text), earlier.hits_sent),
            None => (&route.suite.form, Arc::clone(&route.form), 0),
        };
        let mapped = mapping::map(&waiting.event, waiting.id, form)?;
        let mut block = BytesMut::new();
        let hits = mapped.hits.iter().map(|hit| {
            encode::dia(hit, &mut block);
            block.split().freeze()
        });
        Ok(Parcel {
            seq: waiting.seq,
            place,
            visitor: mapped.visitor,
            form: text,
            hits_sent: usize::try_from(hits_sent).unwrap_or(0).min(mapped.hits.len() - 1),
            hits: hits.collect(),
            attempts: 0,
            bare_failures: 0,
            is_doubted: waiting.earlier.as_ref().is_some_and(|earlier| earlier.is_in_doubt),
        })
    }
}

/// How an attempt ended.
pub(super) enum End {
    /// Every hit got SUCCESS.
    Delivered,
    /// No byte of the next hit was written: the lease or the drain had ended.
    Unsent,
    /// No byte of the next hit was written: the buffer gave no turn.
    NoTurn(PostgresError),
    Met(Outcome),
}

/// An attempt that has ended.
pub(super) struct Reply {
    pub(super) parcel: Parcel,
    pub(super) attempt: i64,
    /// The number of the attempt within its suite.
    pub(super) number: u64,
    pub(super) is_probe: bool,
    /// Hits that got SUCCESS.
    pub(super) hits: u64,
    pub(super) end: End,
}

/// A chosen attempt that waits for the buffer to grant it, or for a lane.
pub(super) struct Sending {
    pub(super) parcel: Parcel,
    pub(super) attempt: i64,
    pub(super) number: u64,
    pub(super) is_probe: bool,
    /// The term of the lease in which it was chosen.
    pub(super) term: u64,
    /// The paces of its hits. The event counts as waiting in each of them until the turns of its first hit have come.
    pub(super) paces: Vec<Arc<Pace>>,
    pub(super) waiters: Vec<Waiter>,
}

impl Sending {
    /// The end of an attempt that is not made.
    pub(super) fn unsent(self) -> Reply {
        let Sending { parcel, attempt, number, is_probe, .. } = self;
        Reply { parcel, attempt, number, is_probe, hits: 0, end: End::Unsent }
    }
}

/// Granted attempts that wait for a lane.
pub(super) type Queue = Rc<RefCell<VecDeque<Sending>>>;

/// Sends one granted attempt after the other until none waits. Returns the connection for the next lane.
pub(super) async fn lane(
    first: Sending,
    queue: Queue,
    mut connection: Connection,
    (lease, stop): (Lease, Stop),
    replies: UnboundedSender<Reply>,
) -> Connection {
    let mut next = Some(first);
    while let Some(sending) = next {
        let reply = send(sending, &mut connection, &lease, &stop).await;
        // If nobody receives, the drain has ended, and the attempt stays in doubt.
        drop(replies.send(reply));
        next = queue.borrow_mut().pop_front();
    }
    connection
}

/// Sends the hits of an event that were not counted yet.
async fn send(sending: Sending, connection: &mut Connection, lease: &Lease, stop: &Stop) -> Reply {
    let Sending { mut parcel, attempt, number, is_probe, term, paces, mut waiters } = sending;
    let mut hits = 0;
    let end = loop {
        let Some(body) = parcel.hits.get(parcel.hits_sent).cloned() else { break End::Delivered };
        if let Err(error) = turns(std::mem::take(&mut waiters), stop).await {
            break End::NoTurn(error);
        }
        // The check is the last thing before the write: a worker that was frozen meanwhile starts no request.
        if !lease.is_held_since(term) || stop.requested().is_some() {
            break End::Unsent;
        }
        match connection.send(body).await {
            Outcome::Delivered => {
                parcel.hits_sent += 1;
                hits += 1;
                waiters = paces.iter().map(Pace::enter).collect();
            }
            outcome => break End::Met(outcome),
        }
    };
    Reply { parcel, attempt, number, is_probe, hits, end }
}
