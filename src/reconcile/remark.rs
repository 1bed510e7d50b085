//! Sentences that a reader needs to understand the counts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use super::cell::Stored;
use super::compare::Sides;
use super::days::Calendar;
use super::error::ReconcileError;
use super::key::Name;
use super::seen::{Refused, Seen};
use super::standing::People;
use crate::buffer::{Buffer, StandingFacts, SuiteListing, TRANSIENT_IDS, TransientIds};
use crate::suite::{Readiness, Verdict};

/// What the verdict on the suite means for the counts. If the suite loses its hits, they are lost, not too fresh. If
/// no hit ever appeared, and nothing proves that hits will, nobody knows whether they are only too fresh.
pub(super) fn doubt(
    known: &SuiteListing,
    readiness: Readiness,
    seen: Option<&Seen>,
    sides: &mut Sides,
) -> Vec<String> {
    let rsid = &known.suite.form.rsid;
    let mut remarks = Vec::new();
    let verdict = known.verdict.as_ref();
    let lost = verdict.and_then(Verdict::lost);
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

/// Remarks on users, who are not compared: transient IDs, and how many figures of accounts ESM stated.
pub(super) fn of_users(
    buffer: &Buffer,
    people: &People,
    calendar: &Calendar,
) -> Result<Vec<String>, ReconcileError> {
    let (from, to) = calendar.bounds();
    let own: BTreeSet<String> = people.own.iter().map(|one| one.requestor_id.clone()).collect();
    let reader = buffer.metrics()?;
    let end_day = to.nanos().div_euclid(86_400_000_000_000) + 1;
    let mut remarks = Vec::new();
    for TransientIds { mvpd, users, logins, .. } in reader.transient_ids(&own, end_day)? {
        remarks.push(format!("{mvpd:?} had {users} users of {logins} logins in a month: {TRANSIENT_IDS}"));
    }
    let mut stated = 0_u64;
    reader.each_stated(from, to, |one| {
        let is_within = one.from >= from && one.to <= to;
        stated += u64::from(is_within && own.contains(one.requestor_id.as_str()));
    })?;
    if stated > 0 {
        remarks.push(format!(
            "ESM stated {stated} figures of unique accounts for these days: `report` shows each where ESM stated it; no sum of \
             them means anything, so none is compared"
        ));
    }
    Ok(remarks)
}

/// Adds what Analytics refused to report, and what the buffer does not know.
pub(super) fn tell(remarks: &mut Vec<String>, facts: &StandingFacts, seen: Option<&Seen>, sides: &Sides) {
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
