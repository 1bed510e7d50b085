//! The accepted hits, as they are kept and as they are shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::events_variable::{event_uses, serial_text};
use super::incoming::{IncomingHit, VisitorKind};
use crate::event::Instant;

/// A hit that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedHit {
    /// The number of the hit in the order of acceptance, from 1.
    pub receipt: u64,
    pub received_at: Instant,
    pub rsid: String,
    /// The kind of the visitor's identifier; `None` where only digests are kept.
    pub visitor_kind: Option<VisitorKind>,
    /// The identifier; empty where only digests are kept.
    pub visitor: String,
    pub visitor_hash: u64,
    /// Unix seconds; `None` if the hit has no timestamp that can be read.
    pub timestamp: Option<i64>,
    /// The slot of the first event, if it is one of the eighteen.
    pub slot: Option<u8>,
    /// How much the hit adds to that event.
    pub count: u64,
    /// The event ID, cut to the 20 bytes that Analytics keeps.
    pub serial: Option<String>,
    /// Number and text of its eVars; only eVar6 where only digests are kept.
    pub evars: BTreeMap<u16, String>,
    /// The number of its connection since start, from 0.
    pub connection: u32,
    /// Whether the collector's own reply is whole; false if a fault replaces it or breaks it off.
    pub is_answered: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) received_at: Instant,
    pub(super) connection: u32,
    pub(super) is_answered: bool,
}

#[derive(Debug)]
pub(super) struct KeptHit {
    /// The hit as it is shown, except for its eVars.
    pub(super) shown: AcceptedHit,
    evars: Box<[(u16, Box<str>)]>,
}

impl KeptHit {
    pub(super) fn new(hit: &IncomingHit<'_>, receipt: u64, arrival: Arrival, is_digest: bool) -> KeptHit {
        let is_full = !is_digest;
        let event = event_uses(hit.events).next();
        let shown = AcceptedHit {
            receipt,
            received_at: arrival.received_at,
            rsid: hit.rsid.to_owned(),
            visitor_kind: is_full.then_some(hit.visitor_kind),
            visitor: if is_full { hit.visitor.to_string() } else { String::new() },
            visitor_hash: hit.visitor_hash(),
            timestamp: hit.seconds(),
            slot: event.and_then(|event| event.slot()),
            count: event.map_or(0, |event| event.units()),
            serial: event.and_then(|event| event.serial()).as_ref().map(serial_text),
            evars: BTreeMap::new(),
            connection: arrival.connection,
            is_answered: arrival.is_answered,
        };
        let evars = hit.document.evars().filter(|(number, _)| is_full || *number == 6);
        let evars = evars.map(|(number, value)| (number, value.into())).collect();
        KeptHit { shown, evars }
    }

    pub(super) fn accepted(&self) -> AcceptedHit {
        let evars = self.evars.iter().map(|(number, value)| (*number, value.to_string()));
        AcceptedHit { evars: evars.collect(), ..self.shown.clone() }
    }
}
