//! A suite of a host in a drain: who is at fault for refusals, the events or their suite.
//!
//! The rule is that of `drain::verdict`, without its trials: a success shows that the events refused before it are at
//! fault; many refusals in a row without a success stop the suite for this drain, and its events wait.

use std::sync::Arc;

use super::lane::Parcel;
use super::pace::Pace;
use super::work::Place;
use crate::delivery::Outcome;
use crate::postgres::SharedRoute;

/// The suite stops when this many visitors in a row were refused: enough that some bad events at the head of a backlog
/// do not stop it, few enough that a wrong setting shows soon.
const REFUSED_IN_A_ROW_MAX: usize = 20;

/// A refused event, while it is unknown whether the event or its suite is at fault.
pub(super) struct Refused {
    pub(super) parcel: Parcel,
    pub(super) outcome: Outcome,
    /// The number of the last attempt of the suite that began before the refusal was known.
    known_at: u64,
}

pub(super) struct SuiteWork {
    pub(super) route: SharedRoute,
    pub(super) in_flight: usize,
    /// Whether nothing more is sent to it: it was paused, removed or changed, or refused too many visitors in a row.
    pub(super) is_stopped: bool,
    /// Its own pace and that of its host, where they have one.
    pub(super) paces: Vec<Arc<Pace>>,
    numbered: u64,
    refused: Vec<Refused>,
}

impl SuiteWork {
    pub(super) fn new(route: SharedRoute, paces: Vec<Arc<Pace>>) -> SuiteWork {
        SuiteWork { route, in_flight: 0, is_stopped: false, paces, numbered: 0, refused: Vec::new() }
    }

    /// The number of an attempt that begins.
    pub(super) fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Keeps a refused event. Returns whether this refusal stops the suite.
    pub(super) fn refuse(&mut self, parcel: Parcel, outcome: Outcome) -> bool {
        self.refused.push(Refused { parcel, outcome, known_at: self.numbered });
        let stops = !self.is_stopped && self.refused.len() >= REFUSED_IN_A_ROW_MAX;
        self.is_stopped |= stops;
        stops
    }

    /// Returns the refused events that are at fault, because the attempt with this number began later and succeeded.
    pub(super) fn succeed(&mut self, number: u64) -> Vec<Refused> {
        let (at_fault, others) =
            std::mem::take(&mut self.refused).into_iter().partition(|refused| refused.known_at < number);
        self.refused = others;
        at_fault
    }

    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Takes the refused events of one slice, or all: this drain does not learn whether they or the suite are at fault.
    pub(super) fn take_refused(&mut self, slice: Option<Place>) -> Vec<Refused> {
        let is_of = |refused: &mut Refused| slice.is_none_or(|place| refused.parcel.place == place);
        self.refused.extract_if(.., is_of).collect()
    }
}
