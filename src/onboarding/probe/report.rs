//! The result of a probe: what it saw of each event and eVar, what this proves, or why it had to stop.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::buffer::{BufferError, ProbeRecord};
use crate::collection::CollectionError;
use crate::confirmation::Item;
use crate::event::{Instant, RequestorId};
use crate::suite::Rsid;
use crate::web::ApiError;
use crate::word::words;

/// The time after which Adobe calls a report complete ("Latency" in the Analytics guide).
const COMPLETE_AFTER: Duration = Duration::from_secs(2 * 3600);

/// Why a probe had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Way(#[from] CollectionError),
    #[error("report suite {rsid} {why}, so no hit was sent")]
    NoSuite { rsid: Rsid, why: String },
    #[error("report suite {0} has no requestor, and every hit names one")]
    NoRequestor(Rsid),
    /// Adobe did not take a hit. `may_be_out`: whether it may have received this or an earlier hit of the probe.
    #[error("hit {number} of {of} of probe {id} was not taken: {why}")]
    NotSent { id: String, number: usize, of: usize, why: String, may_be_out: bool },
}

words! {
    pub enum Verdict {
        /// Everything was seen as it was sent.
        Right = "right",
        /// Everything that can be seen was seen, and something is wrong.
        Wrong = "wrong",
        /// The time was over before everything was seen.
        Unseen = "unseen",
    }

    /// How the values of an eVar came back.
    pub enum EvarState {
        Right = "right",
        /// Analytics does not show the value that was sent.
        Missing = "missing",
        /// The value came back with other characters. Case is ignored.
        Altered = "altered",
        /// The value came back, but an event was counted with it less often than the event was counted at all.
        Partial = "partial",
        /// A value was credited with an event that was sent without a value.
        Leaks = "leaks",
        /// The eVar was not read, because too little of the probe was seen.
        Unread = "unread",
    }
}

/// An event of a probe; `event` is its slot, such as `event7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSeen {
    pub event: String,
    pub label: &'static str,
    /// How many hits of the probe's own visitor have the event, repeats included.
    pub sent: usize,
    /// The units that Analytics should count for them. A repeat adds none.
    pub expected: u64,
    /// The units that Analytics shows; `None` if it refuses to report the event.
    pub seen: Option<u64>,
    /// When a reading first showed the event; `None` if none has shown it.
    pub first_seen_at: Option<Instant>,
}

/// An eVar of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvarSeen {
    pub evar: String,
    pub label: &'static str,
    pub state: EvarState,
    pub sent: String,
    /// What Analytics shows instead: another value, or a sentence for `Partial` and `Leaks`; `None` if nothing.
    pub seen: Option<String>,
}

/// Something that a probe found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeFinding {
    pub item: Item,
    pub subject: String,
    pub found: String,
    pub fix: String,
}

/// What a probe proves or disproves about one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub item: Item,
    pub is_right: bool,
    pub found: String,
    /// What to do, and where; empty if the item is right.
    pub fix: String,
    /// The settings of passbridge that were probed. If they change, the proof is void ([`Item::basis`]).
    pub basis: String,
}

/// The part of a probe's result that a check uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    pub id: String,
    /// When the probe began. A probe proves nothing about settings that changed after its start.
    #[serde(skip, default = "epoch")]
    pub started_at: Instant,
    pub read_at: Instant,
    /// Whether the probe saw that Analytics adds up counts above one, sent as `eventN=count:id`.
    pub proves_counts: bool,
    pub proofs: Vec<Proof>,
}

fn epoch() -> Instant {
    Instant::from_nanos(0)
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    pub id: String,
    pub rsid: Rsid,
    pub requestor_id: RequestorId,
    pub verdict: Verdict,
    pub started_at: Instant,
    pub read_at: Instant,
    pub hits: usize,
    /// Whether Adobe is known to have answered all `hits` with SUCCESS.
    pub is_sent: bool,
    pub events: Vec<EventSeen>,
    pub evars: Vec<EvarSeen>,
    /// What is wrong, in the order of events and then of eVars.
    pub findings: Vec<ProbeFinding>,
    pub outcome: ProbeOutcome,
}

/// The outcome of a probe, from its record; `None` if the probe was never read back.
pub fn outcome(record: &ProbeRecord) -> Option<ProbeOutcome> {
    let stored = record.report.as_ref()?.get("outcome")?;
    let mut outcome = ProbeOutcome::deserialize(stored).ok()?;
    outcome.started_at = record.started_at;
    // A missing hit is not lost if it may never have been sent, or if Analytics had too little time to show it.
    if !is_complete(record, outcome.read_at) {
        outcome.proofs.retain(|proof| proof.item != Item::Timestamps || proof.is_right);
    }
    Some(outcome)
}

/// Whether Analytics has had enough time to show every hit, so that a hit that it does not show is lost.
pub(super) fn is_complete(record: &ProbeRecord, now: Instant) -> bool {
    record.sent_at.is_some_and(|at| at.is_older(now, COMPLETE_AFTER))
}
