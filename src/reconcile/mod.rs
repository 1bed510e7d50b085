//! Compares what ESM counted, what the buffer holds and what Analytics reports, and says why they differ where they do.
//!
//! ```text
//! reports of ESM ──────────────> Stated ──┐
//! buffer: metrics, states ─────> Stored ──┼─> cell (requestor, MVPD, day, event) ─> parts with their cause, the rest, a verdict
//! Analytics: eVar1, then eVar2 > units  ──┘
//! ```
//!
//! - In: a suite, its days, reports of ESM, a client of Analytics. Out: a [`Reconciliation`], which prints.
//! - Guarantees: every cell in which anybody has something is judged; what the account explains is told with its cause and
//!   number, and what is left is called a difference; what is not known is never taken for zero; nothing is written.
//! - Does not know: HTTP, SQL, how a report is spelled, what is done about a difference.
//! - Rules: sections 3.4, 4.3, 5.1, 8.3, 8.4 and 9 of `reference/adobe-analytics.md`. Only event1 to event18 are compared:
//!   occurrences and instances count repeats again.

mod cell;
mod compare;
mod days;
mod hint;
mod outcome;
mod seen;
mod stated;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;

use crate::analytics::AnalyticsClient;
use crate::buffer::{
    Buffer, BufferError, RequestorKey, RoutedRequestor, Standing, StandingFacts, StandingQuestion,
    StandingUnits, SuiteListing, TRANSIENT_IDS, TransientIds,
};
use crate::config::{EsmConfig, Zone};
use crate::esm::EsmClient;
use crate::event::Instant;
use crate::suite::{Readiness, Rsid, SuiteState};
use crate::web::ApiError;

pub use cell::{Cause, Cell, CellKey, Name, Part, Stated, Stored, Tolerance, Verdict};
pub use compare::{AnalyticsSide, Day, EsmSide, Sides, Spellings, has_esm_metric};
pub use days::{Calendar, DAYS_MAX, Span};
pub use hint::{Hint, Likeness, Side};
pub use outcome::{Line, Reconciliation, Stranger, Sums};

use outcome::Frame;
use seen::{Asking, Refused, Seen};
use stated::Statements;

const HOUR_NANOS: i64 = 3_600_000_000_000;
/// How long Analytics may take to show what was delivered soon after it happened ("Latency": complete after two hours, and
/// fifteen minutes more for hits with a timestamp).
const FRESH_NANOS: i64 = 3 * HOUR_NANOS;
/// From which age on Analytics takes longer, and how long at the most (the same page: capped near 24 hours).
const LATE_NANOS: i64 = 24 * HOUR_NANOS;

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconcileOptions {
    pub rsid: Rsid,
    /// The first day, and the one after the last.
    pub dates: Range<NaiveDate>,
    /// The zone whose days they are.
    pub zone: Zone,
    /// How far numbers may lie apart.
    pub tolerance: Tolerance,
    /// How reports of ESM are read.
    pub esm: EsmConfig,
    /// How long a probe or a settings file proves how the suite is set.
    pub proof_age: Duration,
}

/// Where ESM's counts come from.
pub enum EsmSource {
    None,
    /// Saved reports, each with its name.
    Reports(Vec<(String, Vec<u8>)>),
    /// Adobe.
    Live(Box<EsmClient>),
}

/// How far the reading of Analytics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Days that are read.
    pub days_read: usize,
    /// Days in all.
    pub days: usize,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A report of ESM is none, or cannot be compared.
    #[error("the ESM report {path:?} {what}")]
    Report {
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Adobe does not know the suite, or does not show it.
    #[error("Adobe Analytics shows these credentials no report suite {0}")]
    NoSuite(Rsid),
    /// A virtual suite has the data of another, perhaps only a part of it.
    #[error("{rsid} is a virtual report suite: its data is that of {parent}")]
    VirtualSuite { rsid: Rsid, parent: Rsid },
    #[error("the time zone of report suite {rsid} is {zone:?}, which is no IANA time zone")]
    Zone {
        rsid: Rsid,
        /// What Adobe calls it.
        zone: String,
    },
    #[error("esm.group_by {0:?} tells no MVPDs apart")]
    NoMvpd(String),
}

/// Compares. `analytics` is left out where there is none. Reads Analytics before the buffer, so that what is delivered
/// meanwhile is too fresh to be missed.
pub async fn reconcile(
    buffer: &Buffer,
    analytics: Option<&AnalyticsClient>,
    esm: EsmSource,
    options: &ReconcileOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Reconciliation, ReconcileError> {
    let now = buffer.now();
    let mut people = People::of(buffer, &options.rsid)?;
    let suite_zone = match analytics {
        Some(client) => Some(clock_of(client, &options.rsid).await?),
        None => None,
    };
    let calendar = Calendar::of(options.dates.clone(), options.zone.0, suite_zone.unwrap_or(options.zone.0));
    let mut spellings = Spellings::default();
    people.spell(&mut spellings);
    let mut remarks = calendar.remarks.clone();
    let stated = read_esm(esm, &calendar, options, &people, &mut spellings).await?;
    let seen = match analytics {
        Some(client) => {
            let names = people.names();
            let mut asking =
                Asking { client, rsid: &options.rsid, calendar: &calendar, requestors: &names, progress };
            Some(asking.read(&mut spellings).await?)
        }
        None => None,
    };
    let mut sides = Sides { days: calendar.days(now), ..Sides::default() };
    let facts = read_buffer(buffer, &calendar, &people, now, &mut spellings, &mut sides)?;
    if let Some((side, told)) = stated.map(|statements| statements.finish(&people.names(), &spellings)) {
        sides.esm = Some(side);
        remarks.extend(told);
    }
    let strangers = people.strangers(seen.as_ref(), &spellings);
    sides.spellings = spellings;
    let known = buffer.suite(&options.rsid)?;
    remarks.extend(doubt(
        &known,
        Readiness::of(known.verdict.as_ref(), now, options.proof_age),
        seen.as_ref(),
        &mut sides,
    ));
    tell(&mut remarks, &facts, seen.as_ref(), &sides);
    remarks.extend(of_users(buffer, &people, &calendar)?);
    sides.analytics = seen.map(|seen| seen.side);
    let frame = Frame {
        rsid: options.rsid.to_string(),
        dates: options.dates.clone(),
        zone: options.zone.0,
        suite_zone,
        asked_at: now,
        tolerance: options.tolerance,
        requestors: people.shown(),
        strangers,
        remarks,
    };
    Ok(Reconciliation::of(frame, &sides))
}

/// What the verdict on the suite says of its numbers. That a hit is too fresh to be seen explains nothing where the suite loses
/// its hits, and is not believed where none of them ever appeared and nothing shows that they will.
fn doubt(known: &SuiteListing, readiness: Readiness, seen: Option<&Seen>, sides: &mut Sides) -> Vec<String> {
    let rsid = &known.suite.form.rsid;
    let mut remarks = Vec::new();
    let verdict = known.verdict.as_ref();
    let lost = verdict.and_then(|verdict| verdict.blocks.as_ref().or(verdict.overruled.as_ref()));
    let delivered: u64 = sides.stored.values().map(Stored::delivered).sum();
    let is_absent =
        seen.is_some_and(|seen| seen.refused.is_empty() && seen.side.units.values().all(|units| *units == 0));
    if let Some(reason) = lost {
        remarks.push(format!(
            "the suite loses its hits ({reason}): what was delivered will not appear, however long one waits. Mend it, then \
             passbridge suite check {rsid}"
        ));
        sides.stored.values_mut().for_each(|stored| (stored.too_fresh, stored.late) = (0, 0));
    } else if delivered > 0 && is_absent && readiness != Readiness::Ready {
        remarks.push(format!(
            "Analytics shows nothing of the {delivered} units that were delivered, and nothing proves that the suite records its hits \
             ({readiness}): whether they are only too fresh is not known. Prove it: passbridge suite probe {rsid}"
        ));
        sides.is_unproven = true;
    }
    if let Readiness::ProofAged { proved_at } = readiness {
        let day = DateTime::from(proved_at).format("%Y-%m-%d");
        remarks.push(format!("how the suite is set was last proved on {day}: passbridge suite probe {rsid}"));
    }
    remarks.extend(verdict.and_then(|verdict| verdict.void.as_ref()).map(|void| {
        format!(
            "a proof of how the suite is set does not count any more ({void}): passbridge suite check {rsid}"
        )
    }));
    remarks
}

/// What is to be known of users, which are not compared: where their IDs look transient, and where ESM stated how many it saw.
fn of_users(buffer: &Buffer, people: &People, calendar: &Calendar) -> Result<Vec<String>, ReconcileError> {
    let (from, to) = calendar.bounds();
    let own: BTreeSet<String> = people.own.iter().map(|one| one.requestor_id.clone()).collect();
    let reader = buffer.metrics()?;
    let end_day = to.nanos().div_euclid(86_400_000_000_000) + 1;
    let mut remarks = Vec::new();
    for TransientIds { mvpd, users, logins } in reader.transient_ids(&own, end_day)? {
        remarks.push(format!("{mvpd:?} had {users} users of {logins} logins in a month: {TRANSIENT_IDS}"));
    }
    let mut stated = 0_u64;
    reader.each_stated(from, to, |one| stated += u64::from(own.contains(one.requestor_id.as_str())))?;
    if stated > 0 {
        remarks.push(format!(
            "ESM stated {stated} figures of unique accounts for these days: `report` shows each where ESM stated it; no sum of \
             them means anything, so none is compared"
        ));
    }
    Ok(remarks)
}

async fn clock_of(client: &AnalyticsClient, rsid: &Rsid) -> Result<Tz, ReconcileError> {
    let facts = client.suite(rsid).await?.ok_or_else(|| ReconcileError::NoSuite(rsid.clone()))?;
    if let Some(parent) = facts.parent {
        return Err(ReconcileError::VirtualSuite { rsid: rsid.clone(), parent });
    }
    facts
        .timezone
        .parse()
        .map_err(|_| ReconcileError::Zone { rsid: rsid.clone(), zone: facts.timezone.clone() })
}

/// The requestors of the suite, and the others that the buffer knows.
struct People {
    /// Those that are mapped to the suite.
    own: Vec<RoutedRequestor>,
    others: Vec<RoutedRequestor>,
}

impl People {
    fn of(buffer: &Buffer, rsid: &Rsid) -> Result<People, ReconcileError> {
        // An unknown suite is an error, one without a requestor is not.
        buffer.suite(rsid)?;
        let is_own = |one: &RoutedRequestor| one.rsid.as_deref() == Some(rsid.as_str());
        let (own, others) = buffer.routed_requestors()?.into_iter().partition(is_own);
        Ok(People { own, others })
    }

    fn spell(&mut self, spellings: &mut Spellings) {
        for one in &self.own {
            spellings.requestor(&one.requestor_id);
        }
    }

    fn names(&self) -> BTreeSet<Name> {
        self.own.iter().map(|one| Name::of(&one.requestor_id)).collect()
    }

    fn shown(&self) -> Vec<String> {
        self.own.iter().map(|one| one.requestor_id.clone()).collect()
    }

    /// The requestors that Analytics has in the suite, and that are not mapped to it.
    fn strangers(&self, seen: Option<&Seen>, spellings: &Spellings) -> Vec<Stranger> {
        let known: BTreeMap<Name, &RoutedRequestor> =
            self.others.iter().map(|one| (Name::of(&one.requestor_id), one)).collect();
        let stranger = |(name, units): (&Name, &u64)| {
            let known = known.get(name);
            Stranger {
                requestor_id: known
                    .map_or_else(|| spellings.of_requestor(name).to_owned(), |one| one.requestor_id.clone()),
                units: *units,
                is_known: known.is_some(),
                rsid: known.and_then(|one| one.rsid.clone()),
            }
        };
        seen.iter().flat_map(|seen| seen.strangers.iter()).map(stranger).collect()
    }
}

async fn read_esm<'c>(
    source: EsmSource,
    calendar: &'c Calendar,
    options: &'c ReconcileOptions,
    people: &People,
    spellings: &mut Spellings,
) -> Result<Option<Statements<'c>>, ReconcileError> {
    let config = &options.esm;
    let mut statements = Statements::new(calendar, config);
    match source {
        EsmSource::None => return Ok(None),
        EsmSource::Reports(reports) => {
            for (path, document) in &reports {
                statements.take(path, document, spellings)?;
            }
        }
        EsmSource::Live(mut client) => {
            if !config.group_by.split('/').any(|dimension| dimension == "mvpd") {
                return Err(ReconcileError::NoMvpd(config.group_by.clone()));
            }
            let (from, to) = calendar.bounds();
            let clock = |at: Instant| -> NaiveDateTime {
                DateTime::from(at).with_timezone(&config.timezone.0).naive_local()
            };
            client
                .each_report(clock(from), clock(to), |start, end, body| {
                    tracing::info!(from = %start, to = %end, "a report of ESM was read");
                    statements.take("live", &body, spellings)
                })
                .await?;
            statements.cover_everything(people.names());
        }
    }
    Ok(Some(statements))
}

/// Sums up what the buffer holds, by cell.
fn read_buffer(
    buffer: &Buffer,
    calendar: &Calendar,
    people: &People,
    now: Instant,
    spellings: &mut Spellings,
    sides: &mut Sides,
) -> Result<StandingFacts, ReconcileError> {
    let before = |nanos: i64| Instant::from_nanos(now.nanos().saturating_sub(nanos));
    let (from, to) = calendar.bounds();
    let question = StandingQuestion {
        from,
        to,
        fresh_since: before(FRESH_NANOS),
        late_since: before(LATE_NANOS),
        late_nanos: LATE_NANOS,
    };
    let mut known: BTreeMap<RequestorKey, (Name, bool)> = BTreeMap::new();
    for one in &people.own {
        let is_parked = one.state != Some(SuiteState::Active);
        known.insert(one.key, (Name::of(&one.requestor_id), is_parked));
    }
    // Millions of rows have a few names.
    let mut mvpds: HashMap<String, Name> = HashMap::new();
    let keys: Vec<RequestorKey> = known.keys().copied().collect();
    let facts = buffer.standing(&keys, &question, |units: StandingUnits<'_>| {
        let (Some((requestor, is_parked)), Some(day)) =
            (known.get(&units.requestor), calendar.day_at(units.at))
        else {
            return;
        };
        if !mvpds.contains_key(units.mvpd) {
            mvpds.insert(units.mvpd.to_owned(), spellings.mvpd_of_buffer(units.mvpd));
        }
        let key =
            CellKey { requestor: requestor.clone(), day, mvpd: mvpds[units.mvpd].clone(), kind: units.kind };
        put(sides.stored.entry(key).or_default(), units.standing, units.units, *is_parked);
    })?;
    for (requestor, hour) in &facts.incomplete {
        let ends = Instant::from_nanos(hour.nanos() + HOUR_NANOS - 1);
        let days = [calendar.day_at(*hour), calendar.day_at(ends)].into_iter().flatten();
        if let Some((name, _)) = known.get(requestor) {
            sides.incomplete.extend(days.map(|day| (name.clone(), day)));
        }
    }
    Ok(facts)
}

fn put(stored: &mut Stored, standing: Standing, units: u64, is_parked: bool) {
    let place = match standing {
        Standing::Counted => &mut stored.counted,
        Standing::Withdrawn => &mut stored.withdrawn,
        Standing::Pending if is_parked => &mut stored.parked,
        Standing::Pending => &mut stored.pending,
        Standing::Dead => &mut stored.dead,
        Standing::Held => &mut stored.held,
        Standing::Discarded => &mut stored.discarded,
        Standing::TooFresh => &mut stored.too_fresh,
        Standing::Late => &mut stored.late,
        Standing::Vouched => &mut stored.vouched,
        Standing::Ambiguous => &mut stored.ambiguous,
        Standing::Repeated => &mut stored.repeated,
    };
    *place += units;
}

/// What a reader must know who trusts the numbers.
fn tell(remarks: &mut Vec<String>, facts: &StandingFacts, seen: Option<&Seen>, sides: &Sides) {
    for (what, (why, day)) in seen.iter().flat_map(|seen| &seen.refused) {
        let (what, page) = match what {
            Refused::Event(kind) => (format!("event{} ({})", kind.slot(), kind.label()), "Success Events"),
            Refused::Evar(number) => (format!("anything by eVar{number}"), "Conversion Variables"),
        };
        remarks.push(format!(
            "Analytics does not report {what}, first on {}: {why}. Enable it in the report suite (Admin > Report Suites > Edit \
             Settings > Conversion > {page}), or let the product profile of the API's credential see it",
            sides.days[*day].label
        ));
    }
    let mut incomplete: BTreeMap<&Name, Vec<&str>> = BTreeMap::new();
    for (requestor, day) in &sides.incomplete {
        incomplete.entry(requestor).or_default().push(&sides.days[*day].label);
    }
    for (requestor, days) in incomplete {
        remarks.push(format!(
            "of {} the buffer does not know all of {}: events were deleted there before it kept metrics",
            sides.spellings.of_requestor(requestor),
            days.join(", ")
        ));
    }
    if facts.inbox > 0 {
        remarks.push(format!("{} rows wait in the inbox, and are not counted yet", facts.inbox));
    }
    if facts.expired_over_count > 0 {
        remarks.push(format!(
            "up to {} units of events that have expired may have been counted too often; nobody knows of which any more",
            facts.expired_over_count
        ));
    }
}
