//! The warnings of a plan: what a user should know before a backfill is run.

use serde::Serialize;

use super::counts::Day;
use crate::delivery::DeadReason;
use crate::event::{Instant, RequestorId};
use crate::suite::Rsid;

/// How many entries each table of `tally` holds: 7/8 of 2^25, so that the table is full before it doubles again.
pub const REMEMBERED_MAX: usize = 29_360_128;
/// The age in days up to which Analytics adds late hits to visits (Admin, "Timestamp configuration").
pub(super) const OLD_DAYS: i64 = 92;
/// The age in days beyond which Analytics may delete a hit at once: it keeps hits for 25 months from their
/// own date, unless the contract says more (Technotes, "Data retention").
pub(super) const RETAINED_DAYS: i64 = 760;

/// A visitor is a giant (hardly one person) if it has more hits than this, and more than 1/[`GIANT_SHARE`] of the
/// hits of its suite. Analytics ends a visit after 2,500 hits (Components, "Visits").
pub(super) const GIANT_HITS: u64 = 2_500;
/// See [`GIANT_HITS`]: one person hardly has a hundredth of the hits of a suite.
pub(super) const GIANT_SHARE: u64 = 100;

/// A finding of a plan, with counts. The text says what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    #[error(
        "{path}: {lines} lines are no events and stay out; mend them in the file, or later in the rejects file that the run names"
    )]
    Rejected { path: String, lines: u64 },
    /// Events have the identity of other events but other content, so they are not stored.
    #[error("{} events have the event_id of another event and other content ({in_buffer} against the buffer, {in_inputs} among the inputs); the first one stays: give each its own event_id", .in_buffer + .in_inputs)]
    Conflicts { in_buffer: u64, in_inputs: u64 },
    #[error(
        "requestor {requestor_id} has no report suite: its {events} events ({first_day} to {last_day}) would wait in the buffer; map it first: passbridge suite add --requestor {requestor_id} --rsid RSID --collection-url URL"
    )]
    NoSuite { requestor_id: RequestorId, events: u64, first_day: Day, last_day: Day },
    #[error(
        "report suite {rsid} is paused: its {events} events would wait until `passbridge suite resume {rsid}`"
    )]
    SuitePaused { rsid: Rsid, events: u64 },
    /// Analytics is known to lose the hits of a suite.
    #[error(
        "report suite {rsid} loses its hits ({reason}): its {events} events would wait until it is mended and `passbridge suite check {rsid}` finds it so"
    )]
    SuiteBlocked { rsid: Rsid, events: u64, reason: String },
    /// The hits of a suite carry no event IDs.
    #[error(
        "report suite {rsid} is not on event IDs: of its {hits} hits, each that is repeated after a lost reply counts twice, for good; set its events to \"Use Event ID\", then passbridge suite set {rsid} --event-ids on"
    )]
    EventIdsOff { rsid: Rsid, hits: u64 },
    #[error(
        "{events} events for report suite {rsid} would be dead before they are sent; the first of them: {reason}"
    )]
    Dead { rsid: Rsid, events: u64, reason: DeadReason },
    /// One visitor has so many hits that it is hardly one person.
    #[error(
        "one visitor has {hits} of the {of_hits} hits for report suite {rsid}: Analytics cuts such visits and takes long over them, and its hits go one after the other; look for an mvpd_user_id or device_id that the source gives to everybody"
    )]
    GiantVisitor { rsid: Rsid, hits: u64, of_hits: u64 },
    /// Analytics may delete the events as soon as it has them.
    #[error(
        "{events} events for report suite {rsid} are older than {RETAINED_DAYS} days (the oldest: {oldest_at}): Analytics keeps 25 months by default and may delete them at once; ask Adobe for the suite's retention, or leave them out"
    )]
    BeyondRetention { rsid: Rsid, events: u64, oldest_at: Instant },
    #[error(
        "{events} events for report suite {rsid} are older than {OLD_DAYS} days (the oldest: {oldest_at}): visits of that time are closed, and reports take up to a day; counts of events hold, read visits and time spent with care"
    )]
    Old {
        rsid: Rsid,
        /// The number of events, without those beyond the retention.
        events: u64,
        oldest_at: Instant,
    },
    #[error(
        "{events} events for report suite {rsid} are ahead of this host's clock (the latest: {latest_at}): Analytics would show hours that have not been; check the clock of the source and of this host"
    )]
    Future { rsid: Rsid, events: u64, latest_at: Instant },
    /// Analytics already has events of the same requestor on the same days.
    #[error(
        "report suite {rsid} has {delivered_events} events of requestor {requestor_id} on {days} of these days already ({first_day} to {last_day}), and {events} would be added to them; if they are the same events in another form, leave these days out: Analytics cannot take a count back"
    )]
    DeliveredDays {
        rsid: Rsid,
        requestor_id: RequestorId,
        days: u64,
        first_day: Day,
        last_day: Day,
        delivered_events: u64,
        events: u64,
    },
    /// Later hits of the same visitors were already sent.
    #[error(
        "{visitors} visitors of report suite {rsid} were already sent later events: up to {hits_at_most} hits of theirs would arrive out of order, which blurs visits, paths and attribution but no count of events; backfill before going live, or into a suite of its own"
    )]
    OutOfOrder {
        rsid: Rsid,
        visitors: u64,
        /// All planned hits of these visitors, including hits that happened later than everything that was sent.
        hits_at_most: u64,
    },
    #[error(
        "a plan remembers {REMEMBERED_MAX} events and visitors: of {events} events more, duplicates among the inputs count as new, and new visitors are not counted; plan in parts, by month for instance"
    )]
    Unremembered { events: u64 },
}
