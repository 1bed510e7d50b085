//! Sentences that a reader needs to understand the figures of a report. Remarks are about the report as a whole. Notes
//! compare the total and single MVPDs with what Adobe's page calls usual ("Events Summary").

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::count::{Counting, is_kept};
use super::dimension::{Dimension, folded};
use super::figures::{Column, Figures, Note};
use super::period::{Period, ReportError};
use super::source::Metrics;
use super::stated::{Sources, Statements, is_asked};
use crate::buffer::{Discarded, TRANSIENT_IDS, looks_transient};
use crate::event::{EventKind, Instant};
use crate::harmless::few;
use crate::readers::esm::{columns, has_metric};

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Says that the period is not over, or that some of its events were deleted before they were counted.
pub(super) fn of_period(reader: &Metrics, period: &Period, now: Instant) -> Result<Vec<String>, ReportError> {
    let mut remarks = Vec::new();
    if period.to() > now {
        remarks.push(format!(
            "The period ends at {}: what is still to come is no data, and the day and hour that are going on are partial.",
            period.to_text()
        ));
    }
    if let Some(whole_from) = reader.whole_from()?.filter(|whole_from| period.from() < *whole_from) {
        remarks.push(format!(
            "Before {} metrics are not whole: when this release first opened the buffer, events of that time had been deleted \
             already.",
            period.on_clock(whole_from)
        ));
    }
    Ok(remarks)
}

/// Says how many units a person discarded, and whether they count here.
pub(super) fn with_discarded(units: u64, whose: Discarded) -> Option<String> {
    let (count, but) = match whose {
        Discarded::Counted => {
            ("they count here, as everything that came in; --without-discarded leaves them out", "")
        }
        Discarded::LeftOut => ("they are left out", ", but their users are not"),
    };
    (units > 0).then(|| {
        format!(
            "Discarded: a person discarded {units} units of this period, which are never sent; {count}{but}."
        )
    })
}

/// Names the first day whose unique users include users of taken-back events, which nobody can recount.
pub(super) fn with_old_users(
    reader: &Metrics,
    period: &Period,
    requestors: &[String],
) -> Result<Option<String>, ReportError> {
    let days = period.from().nanos().div_euclid(DAY_NANOS)..=(period.to().nanos() - 1).div_euclid(DAY_NANOS);
    let stale = reader.stale_users(*days.start(), *days.end())?;
    let stale: Vec<_> = stale.iter().filter(|(id, _)| is_asked(requestors, id)).collect();
    let Some((requestor_id, day)) = stale.first() else { return Ok(None) };
    let (day, more) = (Instant::from_nanos(day * DAY_NANOS).to_the_second(), stale.len() - 1);
    let more = if more == 0 { String::new() } else { format!(" (and of {more} more days of requestors)") };
    Ok(Some(format!(
        "Unique users of {requestor_id} on the UTC day {}{more} include those of events that were taken back: other events of that \
         day are gone, so they cannot be counted again.",
        &day[..10]
    )))
}

/// Names requestors without known users, and kinds that ESM does not count. Says which rows show ESM's unique accounts.
pub(super) fn without_users(counting: &Counting<'_>, statements: &Statements<'_>) -> Option<String> {
    let stated =
        statements.all().filter(|(_, source)| source.is_esm).map(|(one, _)| one.requestor_id.as_str());
    let requestors: BTreeSet<&str> = counting.requestors_of_sums().chain(stated).collect();
    let all = (!requestors.is_empty()).then(|| few(requestors, NAMED_MAX).join(", "))?;
    let stated = if statements.is_empty() {
        ""
    } else {
        " What ESM stated as unique accounts stands where it stated it of exactly one requestor, MVPD and time \
         (--by requestor --by mvpd --by hour, where its reports are by hour), and in a total over several MVPDs only where it stated one of them \
         together; it cannot be added up."
    };
    let unknown = EventKind::ALL.into_iter().filter(|kind| !has_metric(*kind)).map(EventKind::label);
    let unknown = unknown.collect::<Vec<_>>().join(", ");
    Some(format!(
        "Unique users of {all} are not known, so they are empty wherever its events count: they come from ESM reports, which name \
         no users. ESM has no count of {unknown} either: of {all} alone these are empty, and beside other requestors they are \
         without {all}.{stated}"
    ))
}

/// Says which columns the reports of ESM lack, and what this means for the figures.
pub(super) fn without_columns(sources: &Sources) -> Option<String> {
    let told = sources.lacked.iter().map(|(lacking, (requestors, hours))| {
        let columns = columns(*lacking).collect::<Vec<_>>().join(", ");
        let (requestors, hours) = (few(requestors, NAMED_MAX).join(", "), hours.len());
        format!("{columns} of {requestors} in {hours} {}", if hours == 1 { "hour" } else { "hours" })
    });
    let told = told.take(COLUMNS_TOLD_MAX).collect::<Vec<_>>().join("; ");
    (!told.is_empty()).then(|| {
        format!(
            "Reports of ESM lack columns, so nobody knows these numbers: {told}. They are empty where nothing else counts; sums with \
             other hours, MVPDs or requestors are without them, and a conversion, ratio or difference of two sums is empty where only one of them is."
        )
    })
}

pub(super) fn spelled(spellings: &[String]) -> String {
    let others = few(spellings[1..].iter().map(|spelling| format!("{spelling:?}")), NAMED_MAX).join(", ");
    let first = &spellings[0];
    format!("{first:?} is also spelled {others}: counted as one MVPD, as Analytics does.")
}

/// Says, for a report without events, from when to when the buffer has events.
pub(super) fn nothing(reader: &Metrics, period: &Period) -> Result<String, ReportError> {
    let Some((first, last)) = reader.span()? else {
        return Ok("Nothing was counted: no event was ever stored in this buffer.".to_owned());
    };
    let [from, to] =
        [first, last + 1].map(|hour| period.on_clock(Instant::of_quarter(hour.saturating_mul(4))));
    Ok(format!(
        "Nothing was counted in this period. The buffer has events from {from} to {to}: choose another with --period or --from."
    ))
}

/// Says that the rows come from the events that the buffer still has: `of` of the period's `units`.
pub(super) fn of_left(
    reader: &Metrics,
    by: &[Dimension],
    of: u64,
    units: u64,
) -> Result<String, ReportError> {
    let left: Vec<&str> = by.iter().filter(|each| !is_kept(**each)).map(|each| each.name()).collect();
    let since = match reader.events_whole_from()? {
        None => "all of them are there".to_owned(),
        Some(whole_from) => format!("before {whole_from} some are gone, by retention or erasure"),
    };
    Ok(format!(
        "These rows, by {}, are made of the events that the buffer still has: {of} of {units} units of this period; {since}.",
        left.join(", ")
    ))
}

/// A rule about usual figures: a test of the rule, and the likeliest cause if figures break it.
struct Usual {
    /// The name of the exception, in a few words, for the notes of the CSV.
    mark: &'static str,
    expected: &'static str,
    /// What the figures show instead; `None` if they are as usual.
    broken: fn(&Shown<'_>) -> Option<String>,
    cause: &'static str,
}

/// The figures of an MVPD or of the total (whose name is empty), the days with logins, and the days of the period.
struct Shown<'s> {
    mvpd: &'s str,
    figures: &'s Figures,
    login_days: &'s BTreeSet<i64>,
    period: &'s Range<i64>,
}

/// What is usual in the total and of each MVPD.
const OF_ALL: [Usual; 4] = [
    Usual {
        mark: "fewer AuthN attempts than successes",
        expected: "attempted authentications >= successful authentications",
        broken: |it| less(it.figures, EventKind::AuthnRequested, EventKind::AuthnOk),
        cause: "most likely logins that began before the period, or AuthN requested is missing in a source or carries no MVPD there",
    },
    Usual {
        mark: "fewer AuthZ attempts than successes",
        expected: "attempted authorizations >= successful authorizations",
        broken: |it| less(it.figures, EventKind::AuthzRequested, EventKind::AuthzOk),
        cause: "most likely AuthZ requested is missing in a source",
    },
    Usual {
        mark: "fewer AuthZ attempts than logins",
        expected: "attempted authorizations >= successful authentications",
        broken: |it| less(it.figures, EventKind::AuthzRequested, EventKind::AuthnOk),
        cause: "most likely many viewers log in and then play nothing, or an app authorizes only with preflights",
    },
    Usual {
        mark: "fewer plays than authorizations",
        expected: "successful play requests >= successful authorizations",
        broken: |it| less(it.figures, EventKind::PlayRequested, EventKind::AuthzOk),
        cause: "most likely an app authorizes and then asks for no media token, or preflights of this MVPD raise authorizations",
    },
];

/// What is usual of each MVPD.
const OF_MVPDS: [Usual; 3] = [
    Usual {
        mark: "transient user IDs",
        expected: "fewer monthly users than logins",
        broken: |Shown { figures: of, login_days, period, .. }| {
            let (users, logins) = of.unique_users.zip(of.units(EventKind::AuthnOk))?;
            looks_transient(users, logins, login_days, period)
                .then(|| format!("{users} users of {logins} logins"))
        },
        cause: TRANSIENT_IDS,
    },
    Usual {
        mark: "authorizes at login",
        expected: "an authorization request for each login at least",
        broken: |Shown { figures: of, .. }| {
            let (logins, asked) = of.pair(EventKind::AuthnOk, EventKind::AuthzRequested)?;
            let is_rare =
                logins >= LOGINS_MIN && asked <= logins / 20 && (asked > 0 || of.unique_users.is_some());
            is_rare.then(|| format!("{asked} requests, {logins} logins"))
        },
        cause: "the MVPD seems to authorize at login: whom it does not authorize it does not send back, so its denials are \
                unsuccessful authentications, and its authorization figures say little",
    },
    Usual {
        mark: "passive logins",
        expected: "a login for all requestors of a device, which lasts",
        broken: |Shown { mvpd, figures: of, .. }| {
            let (asked, logins) = of.units(EventKind::AuthnRequested).zip(of.units(EventKind::AuthnOk))?;
            let is_passive = asked > 0 && PASSIVE.iter().any(|name| folded(mvpd).contains(name));
            is_passive.then(|| format!("{asked} attempts, {logins} logins"))
        },
        cause: "Comcast logs in anew for each requestor, passively in a hidden frame, and on the web after each start of the \
                browser: these authentications are more than viewers made, and do not compare with other MVPDs'",
    },
];

/// Parts of the IDs of Comcast, which logs in passively (Adobe's page "Comcast Authentication").
const PASSIVE: [&str; 2] = ["comcast", "xfinity"];
/// With fewer logins than this, the figures say nothing about how an MVPD works.
const LOGINS_MIN: u64 = 20;
/// The most MVPDs that a note names with their numbers, and the most requestors and spellings that a remark names.
const NAMED_MAX: usize = 3;
/// The most lists of columns that a remark names. Each report may lack other columns.
const COLUMNS_TOLD_MAX: usize = 8;

fn less(of: &Figures, greater: EventKind, smaller: EventKind) -> Option<String> {
    let (greater, smaller) = of.pair(greater, smaller)?;
    // Earlier releases did not note which columns a report of ESM lacks: they stored 0, although ESM stated no number.
    let is_stated = greater > 0 || of.unique_users.is_some();
    (greater < smaller && is_stated).then(|| format!("{greater} < {smaller}"))
}

/// Notes on what is unusual: first in the total, then in MVPDs. `login_days` has the days with logins of each MVPD.
pub(super) fn of_figures(
    total: &Figures,
    mvpds: &[Column],
    login_days: &HashMap<String, BTreeSet<i64>>,
    period: &Range<i64>,
) -> Vec<Note> {
    let no_day = BTreeSet::new();
    let total = Shown { mvpd: "", figures: total, login_days: &no_day, period };
    let of_total = OF_ALL.iter().filter_map(|usual| Some(usual.note(Vec::new(), (usual.broken)(&total)?)));
    // Events without an MVPD have no name for a note; they are part of the total.
    let named = mvpds.iter().filter(|column| !column.mvpd.is_empty());
    let mvpds: Vec<Shown<'_>> = named
        .map(|column| Shown {
            mvpd: &column.mvpd,
            figures: &column.figures,
            login_days: login_days.get(&column.mvpd).unwrap_or(&no_day),
            period,
        })
        .collect();
    let of_mvpds = OF_ALL.iter().chain(&OF_MVPDS).filter_map(|usual| usual.of_mvpds(&mvpds));
    of_total.chain(of_mvpds).collect()
}

impl Usual {
    /// One note for all MVPDs that break the rule, with the numbers of the largest of them.
    fn of_mvpds(&self, mvpds: &[Shown<'_>]) -> Option<Note> {
        let broken = |one: &Shown<'_>| {
            let shown = (self.broken)(one)?;
            Some((one.mvpd.to_owned(), format!("{} {shown}", one.mvpd)))
        };
        let (mvpds, shown): (Vec<String>, Vec<String>) = mvpds.iter().filter_map(broken).unzip();
        (!mvpds.is_empty()).then(|| self.note(mvpds, few(shown, NAMED_MAX).join(", ")))
    }

    fn note(&self, mvpds: Vec<String>, found: String) -> Note {
        let (mark, expected) = (self.mark.to_owned(), self.expected.to_owned());
        Note { mvpds, mark, expected, found: format!("{found}; {}", self.cause) }
    }
}
