//! Compares the counts of ESM, of the buffer and of Analytics, and explains their differences.
//!
//! ```text
//! reports of ESM ──────────────> Stated ──┐
//! buffer: metrics, states ─────> Stored ──┼─> cell (requestor, MVPD, day, event) ─> parts with causes, rest, verdict
//! Analytics: eVar1, eVar2 ─────> units ───┘
//! ```
//!
//! - In: a suite, its days, reports of ESM, a client of Analytics. Out: a printable [`Reconciliation`].
//! - Guarantees: every cell in which ESM, the buffer or Analytics has a count gets a verdict; each explained part of
//!   a difference has a cause and a number, the rest stays unexplained; an unknown count is never taken for zero;
//!   nothing is written.
//! - Does not know: HTTP, SQL, the format of a report.
//! - Rules: `docs/reconcile.md`. Only event1 to event18 are compared, because occurrences and instances count repeats.

mod cause;
mod cell;
mod compare;
mod days;
mod error;
mod hint;
mod key;
mod outcome;
mod remark;
mod seen;
mod standing;
mod stated;
mod tolerance;

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;

use crate::analytics::AnalyticsClient;
use crate::buffer::Buffer;
use crate::config::{EsmConfig, Zone};
use crate::esm::EsmClient;
use crate::event::Instant;
use crate::suite::{Readiness, Rsid};

pub use cause::Cause;
pub use cell::{Cell, Part, Stated, Stored, Verdict};
pub use compare::{AnalyticsSide, Day, EsmSide, Sides};
pub use days::{Calendar, DAYS_MAX, Span};
pub use error::ReconcileError;
pub use hint::{Hint, Likeness, Side};
pub use key::{CellKey, Name, Spellings};
pub use outcome::{Line, Reconciliation, Stranger, Sums};
pub use seen::Progress;
pub use tolerance::Tolerance;

use seen::Asking;
use standing::{People, read_buffer};
use stated::Statements;

/// What to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconcileOptions {
    pub rsid: Rsid,
    /// From the first day to the day after the last one.
    pub dates: Range<NaiveDate>,
    pub zone: Zone,
    pub tolerance: Tolerance,
    pub esm: EsmConfig,
    /// For how long a probe or a settings file proves the settings of the suite.
    pub proof_age: Duration,
}

/// Where the counts of ESM come from.
pub enum EsmSource {
    None,
    /// Saved reports: the name and the content of each.
    Reports(Vec<(String, Vec<u8>)>),
    Live(Box<EsmClient>),
}

/// Compares a suite; without `analytics`, compares only ESM with the buffer. Reads Analytics before the buffer: then
/// units that are delivered in between count as too fresh, not as missing.
pub async fn reconcile(
    buffer: &Buffer,
    analytics: Option<&AnalyticsClient>,
    esm: EsmSource,
    options: &ReconcileOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Reconciliation, ReconcileError> {
    let now = buffer.now();
    let people = People::of(buffer, &options.rsid)?;
    let suite_zone = match analytics {
        Some(client) => Some(clock_of(client, &options.rsid).await?),
        None => None,
    };
    let calendar = Calendar::of(options.dates.clone(), options.zone.0, suite_zone.unwrap_or(options.zone.0));
    let mut spellings = Spellings::default();
    people.own.iter().for_each(|one| drop(spellings.requestor(&one.requestor_id)));
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
    let readiness = Readiness::of(known.verdict.as_ref(), now, options.proof_age);
    remarks.extend(remark::doubt(&known, readiness, seen.as_ref(), &mut sides));
    remark::tell(&mut remarks, &facts, seen.as_ref(), &sides);
    remarks.extend(remark::of_users(buffer, &people, &calendar, &known.suite.form)?);
    sides.analytics = seen.map(|seen| seen.side);
    let cells = sides.compare(options.tolerance);
    let days = sides.days.into_iter().map(|day| day.label);
    Ok(Reconciliation {
        rsid: options.rsid.to_string(),
        from: options.dates.start,
        to: options.dates.end - Days::new(1),
        timezone: options.zone.0.name().to_owned(),
        suite_timezone: suite_zone.map(|zone| zone.name().to_owned()),
        asked_at: now,
        tolerance: options.tolerance,
        with_esm: sides.esm.is_some(),
        with_analytics: sides.analytics.is_some(),
        loses_hits: known.verdict.as_ref().is_some_and(|verdict| verdict.lost().is_some()),
        verdict: cells.iter().map(|cell| cell.verdict).max().unwrap_or(Verdict::Agrees),
        total: Sums::of(&cells),
        requestors: outcome::lines(people.shown(), &cells, |cell| &cell.requestor_id),
        days: outcome::lines(days, &cells, |cell| &cell.day),
        strangers,
        remarks,
        cells,
    })
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
            statements.cover_everything(&people.names());
        }
    }
    Ok(Some(statements))
}
