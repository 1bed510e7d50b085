//! An event with its hits, on its way through a lane.

use bytes::Bytes;

use crate::buffer::{EventRef, FormKey, PendingEvent};
use crate::delivery::{DeadReason, Doubt};
use crate::hit::VisitorKey;
use crate::suite::HitForm;
use crate::{encode, mapping};

/// The initial size of the text of a hit in bytes, enough for most hits. The text grows if it is longer.
const BODY_BYTES: usize = 2_048;

/// An event with its hits.
pub(super) struct Parcel {
    pub(super) event: EventRef,
    /// The place of its suite among the suites of the host.
    pub(super) suite: usize,
    /// The form of its hits: the suite's form, or the form of earlier attempts of unknown outcome.
    pub(super) form: FormKey,
    pub(super) visitor: VisitorKey,
    pub(super) work: Work,
    /// Whether an earlier attempt may have been counted.
    pub(super) is_doubted: bool,
    pub(super) attempts: u32,
    /// FAILUREs without a reason in this run.
    pub(super) bare_failures: u32,
    /// The number of its latest hit among the hits of its suite in this run.
    pub(super) sent: u64,
    /// Whether its next hit has reserved its turn and waited for it.
    pub(super) is_paid: bool,
    pub(super) was_refused: bool,
    /// Whether it is sent to decide the trial of its suite (see `ward`).
    pub(super) is_candidate: bool,
    /// The number of the trial for which it was dealt ahead of its turn, if it was.
    pub(super) scout: Option<u64>,
}

/// What a lane must do with a parcel.
pub(super) enum Work {
    /// Send these documents in their order; those before `next` have succeeded.
    Send {
        hits: Vec<Bytes>,
        next: usize,
    },
    Bury(DeadReason),
}

impl Parcel {
    /// Maps and encodes an event, in the form of its suite unless earlier attempts had another.
    pub(super) fn new(suite: usize, suite_form: (&HitForm, FormKey), pending: PendingEvent) -> Parcel {
        let (form, form_key) = match &pending.doubted {
            Some(doubted) => (&*doubted.form, doubted.form_key),
            None => suite_form,
        };
        let (work, visitor) = match mapping::map(&pending.event, pending.id, form) {
            Ok(mapped) => {
                let hits = mapped.hits.iter().map(|hit| {
                    let mut body = Vec::with_capacity(BODY_BYTES);
                    encode::dia(hit, &mut body);
                    Bytes::from(body)
                });
                (Work::Send { hits: hits.collect(), next: 0 }, mapped.visitor)
            }
            // Nothing of it is sent, so it has no order to keep.
            Err(reason) => (Work::Bury(reason), VisitorKey(0)),
        };
        Parcel {
            event: pending.reference,
            suite,
            form: form_key,
            visitor,
            work,
            is_doubted: pending.doubted.is_some(),
            attempts: 0,
            bare_failures: 0,
            sent: 0,
            is_paid: false,
            was_refused: false,
            is_candidate: false,
            scout: None,
        }
    }

    pub(super) fn body(&self) -> Option<Bytes> {
        match &self.work {
            Work::Send { hits, next } => hits.get(*next).cloned(),
            Work::Bury(_) => None,
        }
    }

    pub(super) fn advance(&mut self) {
        if let Work::Send { next, .. } = &mut self.work {
            *next += 1;
        }
    }

    /// The doubt about an event if some of its hits succeeded. All its hits are sent again, in the same form.
    pub(super) fn some_counted(&self) -> Option<Doubt> {
        match &self.work {
            Work::Send { hits, next: counted @ 1.. } => {
                Some(Doubt::SomeCounted { counted: *counted, of: hits.len() })
            }
            Work::Send { .. } | Work::Bury(_) => None,
        }
    }
}
