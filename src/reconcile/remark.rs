//! Sentences that a reader needs to understand the counts.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::cell::Stored;
use super::compare::Sides;
use super::days::{Calendar, shown};
use super::error::ReconcileError;
use super::key::Name;
use super::seen::{Refused, Seen};
use super::standing::People;
use crate::buffer::{Buffer, StandingFacts, SuiteListing, TRANSIENT_IDS, TransientIds};
use crate::suite::{HitForm, IdentityKind, Readiness, Verdict};

/// The most MVPDs that a remark names with their numbers.
const NAMED_MAX: usize = 3;

/// Says what the verdict on the suite means for the counts, and corrects `sides`. If the suite loses its hits, no
/// unit is too fresh or late. If Analytics shows nothing and nothing proves that it will, recent units are in doubt.
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
        format!("a proof of how the suite is set counts no more ({void}): passbridge suite check {rsid}")
    }));
    remarks
}

/// Remarks on users, who are not compared: transient IDs, IDs with blanks, and the unique accounts that ESM stated.
pub(super) fn of_users(
    buffer: &Buffer,
    people: &People,
    calendar: &Calendar,
    form: &HitForm,
) -> Result<Vec<String>, ReconcileError> {
    let (from, to) = calendar.bounds();
    let own = people.shown();
    let reader = buffer.metrics()?;
    let end_day = to.nanos().div_euclid(86_400_000_000_000) + 1;
    let mut remarks = Vec::new();
    let transient = reader.transient_ids(&own, end_day)?;
    let tell =
        |one: &TransientIds| format!("{:?} had {} users of {} logins", one.mvpd, one.users, one.logins);
    let mut told: Vec<String> = transient.iter().take(NAMED_MAX).map(tell).collect();
    if transient.len() > NAMED_MAX {
        told.push(format!("and so had {} other MVPDs", transient.len() - NAMED_MAX));
    }
    if !told.is_empty() {
        remarks.push(format!("{} in a month: {TRANSIENT_IDS}", told.join(", ")));
    }
    let (events, ids) = buffer.padded_ids(&form.rsid, from, to)?;
    if events > 0 && form.identity == IdentityKind::MvpdUserId {
        remarks.push(format!(
            "{events} events of these days have an MVPD User ID with blanks at its ends ({ids} such IDs): Analytics counts a visitor \
             for each spelling, eVar10 and `report` know them without the blanks. Let the source write them alike"
        ));
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

/// Adds what Analytics refused to report, and what the buffer lacks, has not read yet, or may have counted too often.
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
    let mut incomplete: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for (requestor, day) in &sides.incomplete {
        incomplete.entry(requestor).or_default().push(*day);
    }
    for (requestor, days) in incomplete {
        remarks.push(format!(
            "of {} the buffer does not know all of {}: events were deleted there before it kept metrics",
            sides.spellings.of_requestor(requestor),
            shown(&days, |day| sides.days[day].label.clone())
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
