//! The hits that were accepted, as they are kept and as they are shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::events_variable::{Serial, event_uses, serial_text};
use super::incoming::{IncomingHit, VisitorKind};
use crate::event::Instant;

/// How much is kept of each accepted hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeepHits {
    #[default]
    Full,
    /// Suite, visitor (its digest only), event, timestamp and eVar6: some 200 bytes a hit.
    Digest,
}

/// A hit that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedHit {
    /// Its number in the order of acceptance, from 1.
    pub receipt: u64,
    /// When it was accepted.
    pub received_at: Instant,
    pub rsid: String,
    /// The kind of its identifier; `None` where only digests are kept.
    pub visitor_kind: Option<VisitorKind>,
    /// The identifier; empty where only digests are kept.
    pub visitor: String,
    /// A digest of whom it counts for.
    pub visitor_hash: u64,
    /// Unix seconds; `None` where it carries none that can be read.
    pub timestamp: Option<i64>,
    /// The first event's slot, where it is one of the eighteen.
    pub slot: Option<u8>,
    /// By how much it raises that event.
    pub count: u64,
    pub serial: Option<String>,
    /// Number and text of its eVars; only eVar6 where only digests are kept.
    pub evars: BTreeMap<u16, String>,
    /// The number of its connection since start, from 0.
    pub connection: u32,
    /// Whether the fault plan lets its reply out whole.
    pub is_answered: bool,
}

/// How an accepted hit came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) received_at: Instant,
    pub(super) connection: u32,
    pub(super) is_answered: bool,
}

/// What is kept of a hit. Its number in the order of acceptance is its place.
#[derive(Debug)]
pub(super) struct KeptHit {
    pub(super) received_at: Instant,
    pub(super) rsid: Arc<str>,
    pub(super) visitor_hash: u64,
    pub(super) timestamp: Option<i64>,
    slot: Option<u8>,
    count: u64,
    serial: Option<Serial>,
    evars: Box<[(u16, Box<str>)]>,
    connection: u32,
    is_answered: bool,
    /// `None` where only digests are kept.
    pub(super) text: Option<Box<HitText>>,
}

/// What a digest leaves out.
#[derive(Debug)]
pub(super) struct HitText {
    visitor_kind: VisitorKind,
    visitor: Box<str>,
    pub(super) is_timestamped: bool,
    /// All of its events, as they were sent.
    pub(super) events: Box<str>,
    pub(super) agent: Box<str>,
    pub(super) address: Box<str>,
}

impl KeptHit {
    /// Keeps a hit; `rsid` is all the suites that it names.
    pub(super) fn new(hit: &IncomingHit<'_>, rsid: Arc<str>, arrival: Arrival, keep: KeepHits) -> KeptHit {
        let event = event_uses(hit.events).next();
        let value = |name| hit.document.value(name).unwrap_or("").into();
        let text = (keep == KeepHits::Full).then(|| HitText {
            visitor_kind: hit.visitor_kind,
            visitor: hit.visitor.as_ref().into(),
            is_timestamped: hit.timestamp.is_some(),
            events: hit.events.into(),
            agent: value("userAgent"),
            address: value("ipAddress"),
        });
        let is_kept = |number: u16| keep == KeepHits::Full || number == 6;
        let evars = hit.document.evars().filter(|(number, _)| is_kept(*number));
        KeptHit {
            received_at: arrival.received_at,
            rsid,
            visitor_hash: hit.visitor_hash(),
            timestamp: hit.seconds(),
            slot: event.and_then(|event| event.slot()),
            count: event.map_or(0, |event| event.units()),
            serial: event.and_then(|event| event.serial()),
            evars: evars.map(|(number, value)| (number, value.into())).collect(),
            connection: arrival.connection,
            is_answered: arrival.is_answered,
            text: text.map(Box::new),
        }
    }

    pub(super) fn evar(&self, number: u16) -> Option<&str> {
        self.evars.iter().rfind(|(own, _)| *own == number).map(|(_, value)| value.as_ref())
    }

    /// The hit as it is shown, with its number in the order of acceptance.
    pub(super) fn shown(&self, receipt: u64) -> AcceptedHit {
        let text = self.text.as_ref();
        AcceptedHit {
            receipt,
            received_at: self.received_at,
            rsid: self.rsid.to_string(),
            visitor_kind: text.map(|text| text.visitor_kind),
            visitor: text.map_or_else(String::new, |text| text.visitor.to_string()),
            visitor_hash: self.visitor_hash,
            timestamp: self.timestamp,
            slot: self.slot,
            count: self.count,
            serial: self.serial.as_ref().map(serial_text),
            evars: self.evars.iter().map(|(number, value)| (*number, value.to_string())).collect(),
            connection: self.connection,
            is_answered: self.is_answered,
        }
    }
}
