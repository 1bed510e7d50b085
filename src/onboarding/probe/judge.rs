//! What the difference between what was sent and what was seen means, each in a sentence that names the fix.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::compare::{Observed, ObservedRow};
use super::plan::{BARE_KINDS, COUNTED, Group, OTHER_ADDRESS, OTHER_USER_AGENT, Plan, USER_AGENT};
use super::{ProbeOutcome, Proof, Sent};
use crate::confirmation::Item;
use crate::event::{EventKind, Instant, Property};
use crate::suite::{CountForm, EventIds, ReportSuite};

const EVENTS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Success Events";
const EVARS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Conversion Variables";
/// After which Adobe calls a report complete ("Latency" in the Analytics guide).
pub(super) const COMPLETE_AFTER: Duration = Duration::from_secs(2 * 3600);
/// The eVar whose value has letters beyond ASCII.
const BEYOND_ASCII_EVAR: u8 = Property::ResourceId as u8 + 1;

/// An event of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSeen {
    /// `event7`.
    pub event: String,
    /// Adobe's label.
    pub label: &'static str,
    /// Hits that were sent, repeats too.
    pub sent: usize,
    /// How often it should be counted.
    pub expected: u64,
    pub seen: u64,
    /// When it was first seen.
    pub first_seen_at: Option<Instant>,
}

/// How an eVar came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvarState {
    Right,
    /// None of its values was seen.
    Missing,
    Altered,
    /// Its value has fewer events than were seen.
    Partial,
    /// Its value was credited with an event that has none.
    Leaks,
    /// It was not read: nothing of the probe was seen.
    Unread,
}

/// An eVar of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvarSeen {
    /// `eVar3`.
    pub evar: String,
    /// Adobe's label.
    pub label: &'static str,
    pub state: EvarState,
    pub sent: String,
    /// What was seen, where that differs.
    pub seen: Option<String>,
}

/// Something that a probe found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeFinding {
    pub item: Item,
    /// What it is about: `suite`, `event7`, `eVar3`.
    pub subject: String,
    pub found: String,
    /// What to do, and where.
    pub fix: String,
}

/// Everything that a judgement is made from.
pub(super) struct Context<'a> {
    pub(super) suite: &'a ReportSuite,
    pub(super) requestors: &'a [String],
    pub(super) plan: &'a Plan,
    pub(super) observed: &'a Observed,
    pub(super) first_seen: &'a BTreeMap<u8, Instant>,
    pub(super) sent: Sent,
    pub(super) deadline: Duration,
}

pub(super) struct Judged {
    pub(super) events: Vec<EventSeen>,
    pub(super) evars: Vec<EvarSeen>,
    pub(super) findings: Vec<ProbeFinding>,
    pub(super) outcome: ProbeOutcome,
}

impl Context<'_> {
    pub(super) fn judge(&self, now: Instant) -> Judged {
        let events: Vec<EventSeen> = EventKind::ALL.into_iter().map(|kind| self.event(kind)).collect();
        let mut findings = Vec::new();
        let is_anything_seen = self.observed.is_anything_seen();
        let evars: Vec<EvarSeen> =
            (1..).zip(Property::reported()).map(|(evar, property)| self.evar(evar, *property)).collect();
        let is_main_seen =
            EventKind::ALL.into_iter().any(|kind| self.plan.expected.seen(self.observed, kind) > 0);
        if is_anything_seen && !is_main_seen {
            findings.push(self.excluded(true));
        } else if is_anything_seen {
            EventKind::ALL.into_iter().for_each(|kind| findings.extend(self.judge_event(kind)));
            evars.iter().for_each(|evar| findings.extend(self.judge_evar(evar)));
            if findings.is_empty() && !self.is_leak_tested() {
                findings.push(self.excluded(false));
            }
        } else {
            findings.push(self.nothing());
        }
        let outcome = ProbeOutcome {
            id: self.plan.id.clone(),
            started_at: self.plan.started_at,
            read_at: now,
            proves_counts: self.proves_counts(),
            proofs: self.proofs(&findings, &evars, is_anything_seen),
        };
        Judged { events, evars, findings, outcome }
    }

    fn event(&self, kind: EventKind) -> EventSeen {
        let is_main = |group| matches!(group, Group::First | Group::Repeat | Group::Second);
        let hits = self.plan.hits.iter().filter(|hit| hit.kind == kind && is_main(hit.group));
        EventSeen {
            event: format!("event{}", kind.slot()),
            label: kind.label(),
            sent: hits.count(),
            expected: self.plan.expected.units_of(kind),
            seen: self.plan.expected.seen(self.observed, kind),
            first_seen_at: self.first_seen.get(&kind.slot()).copied(),
        }
    }

    fn has_ids(&self) -> bool {
        self.plan.form.event_ids == EventIds::On
    }

    fn nothing(&self) -> ProbeFinding {
        let mut found = format!(
            "none of its {} hits was seen in the {} s that it was waited for, though Adobe answered SUCCESS",
            self.plan.hits.len(),
            self.deadline.as_secs()
        );
        if self.deadline < COMPLETE_AFTER {
            found.push_str(&format!(
                "; Adobe may need 2 h: read it back later with passbridge suite probe {} --read-back {}",
                self.plan.rsid, self.plan.id
            ));
        }
        ProbeFinding {
            item: Item::Timestamps,
            subject: "suite".to_owned(),
            found,
            fix: "set Timestamps Optional in Admin > Report Suites > Edit Settings > General > Timestamps Optional: where \
                  timestamps are not allowed, Adobe drops each of these hits for good; if they are allowed, see that no bot \
                  rule and no Exclude by IP Address matches all of them, and that eVar5, eVar6 and eVar10 are not all disabled"
                .to_owned(),
        }
    }

    /// Hits of one visitor were seen and those of the other were not, though they differ in no setting of the table.
    fn excluded(&self, is_own: bool) -> ProbeFinding {
        let own = format!("those from this host's own address, with the agent {USER_AGENT:?}");
        let other = format!("those with the address {OTHER_ADDRESS} and the agent {OTHER_USER_AGENT:?}");
        let (lost, kept) = if is_own { (own, other) } else { (other, own) };
        ProbeFinding {
            item: Item::BotRules,
            subject: "suite".to_owned(),
            found: format!("hits are excluded: {lost} were not seen, {kept} were"),
            fix: "see which rule of Admin > Report Suites > Edit Settings > General > Bot Rules, or which entry of Admin > \
                  Exclude by IP Address, matches that agent or that address, and remove it: viewers' hits are lost to it too"
                .to_owned(),
        }
    }

    fn judge_event(&self, kind: EventKind) -> Option<ProbeFinding> {
        let EventSeen { event, label, expected, seen, .. } = self.event(kind);
        let finding = |item, found: String, fix: String| {
            Some(ProbeFinding { item, subject: event.clone(), found, fix })
        };
        if seen == expected {
            return None;
        }
        if seen == 0 {
            let why = self.observed.refused.get(&kind.slot());
            let because = why.map(|why| format!(": Analytics refuses it ({why})")).unwrap_or_default();
            let fix = if why.is_some_and(|why| why.contains("unauthorized")) {
                format!("add {event} to the product profile of these credentials in the Admin Console")
            } else {
                format!("enable {event} in {EVENTS_PAGE} as a Counter named {label:?}")
            };
            return finding(Item::Events, format!("never counted{because}"), fix);
        }
        let use_event_id = format!("set Unique Event Recording of {event} to Use Event ID in {EVENTS_PAGE}");
        let first = u64::from(self.first_count(kind));
        match (self.has_ids(), seen) {
            (true, seen) if seen == expected + first => finding(
                Item::UniqueEventRecording,
                format!(
                    "counted {seen} times, not {expected}: the repeat of a hit counts again, so its event ID is not used"
                ),
                format!(
                    "{use_event_id}, or send no IDs with: passbridge suite set {} --event-ids off",
                    self.plan.rsid
                ),
            ),
            (_, seen) if seen == first => finding(
                Item::UniqueEventRecording,
                format!(
                    "counted {seen} times, not {expected}: the second of two events of one visit was not counted"
                ),
                format!("{use_event_id}, as Record Once Per Visit loses all but the first"),
            ),
            (_, seen) => {
                let (found, fix) = if kind == COUNTED && first > 1 {
                    (
                        format!(
                            "counted {seen} times, not {expected}: its count is not read from eventN=count:id"
                        ),
                        format!("passbridge suite set {} --count-with-id=off", self.plan.rsid),
                    )
                } else {
                    (
                        format!("counted {seen} times, not {expected}"),
                        format!("see that {event} is a Counter with Use Event ID in {EVENTS_PAGE}"),
                    )
                };
                finding(Item::UniqueEventRecording, found, fix)
            }
        }
    }

    /// How often the first hit of an event counts.
    fn first_count(&self, kind: EventKind) -> u32 {
        let first = self.plan.hits.iter().find(|hit| hit.kind == kind && hit.group == Group::First);
        first.map_or(1, |hit| hit.count)
    }

    fn proves_counts(&self) -> bool {
        let is_asked = self.has_ids() && self.plan.form.count_form == CountForm::CountWithId;
        is_asked && self.plan.expected.seen(self.observed, COUNTED) == self.plan.expected.units_of(COUNTED)
    }

    fn evar(&self, evar: u8, property: Property) -> EvarSeen {
        let sent = self.plan.expected.main(evar).map(|(_, row)| row.text.clone()).unwrap_or_default();
        let (state, seen) = self.evar_state(evar, &sent);
        EvarSeen { evar: format!("eVar{evar}"), label: property.label(), state, sent, seen }
    }

    fn evar_state(&self, evar: u8, sent: &str) -> (EvarState, Option<String>) {
        let Some(rows) = self.observed.rows.get(&evar).filter(|_| self.observed.is_anything_seen()) else {
            return (EvarState::Unread, None);
        };
        if let Some(leak) = self.leak(evar, rows) {
            return (EvarState::Leaks, Some(leak));
        }
        let expected = &self.plan.expected;
        let main = expected.main(evar).map(|(key, _)| key);
        let row = rows.iter().find(|row| expected.key(evar, &row.value).as_deref() == main);
        let Some(row) = row else { return (EvarState::Missing, rows.first().map(|row| row.value.clone())) };
        if row.value.to_lowercase() != sent.to_lowercase() {
            return (EvarState::Altered, Some(row.value.clone()));
        }
        let lost = EventKind::ALL
            .into_iter()
            .find(|kind| row.units[usize::from(kind.slot()) - 1] < expected.seen(self.observed, *kind));
        match lost {
            Some(kind) => {
                (EvarState::Partial, Some(format!("fewer of event{} than were counted", kind.slot())))
            }
            None => (EvarState::Right, None),
        }
    }

    /// An event that is credited to a value which its hit does not carry.
    fn leak(&self, evar: u8, rows: &[ObservedRow]) -> Option<String> {
        if evar == 1 || evar == self.plan.expected.identity() {
            return None;
        }
        let expected = &self.plan.expected;
        rows.iter().find_map(|row| {
            let key = expected.key(evar, &row.value)?;
            let own = expected.row(evar, &key)?;
            let leaked = BARE_KINDS.into_iter().find(|kind| {
                let at = usize::from(kind.slot()) - 1;
                !own.is_main && row.units[at] > own.units[at]
            });
            leaked.map(|kind| {
                format!(
                    "{:?} is credited with a later event{} that has no such value",
                    row.value,
                    kind.slot()
                )
            })
        })
    }

    /// What is proved or disproved; nothing about an item whose hits were not seen.
    fn proofs(&self, findings: &[ProbeFinding], evars: &[EvarSeen], is_anything_seen: bool) -> Vec<Proof> {
        let right = |item, found: &str| (item, found.to_owned());
        let mut proved = Vec::new();
        if is_anything_seen {
            proved.push(right(Item::Timestamps, "hits with a timestamp were recorded"));
            proved.push(right(Item::Suite, "hits were recorded in it"));
            proved.push(right(Item::Events, "each of event1 to event18 was counted"));
            if evars.iter().all(|evar| evar.state == EvarState::Right) && self.is_leak_tested() {
                proved
                    .push(right(Item::Evars, "each of eVar1 to eVar34 came back, and expired with its hit"));
            }
            if self.has_ids() && self.sent == Sent::All {
                let found = "a repeat of each of event1 to event18 was not counted again, a second one was";
                proved.push(right(Item::UniqueEventRecording, found));
            }
            let beyond_ascii = evars.get(usize::from(BEYOND_ASCII_EVAR) - 1);
            if beyond_ascii.is_some_and(|evar| evar.state == EvarState::Right) {
                proved.push(right(Item::MultiByte, "letters beyond ASCII came back as they were sent"));
            }
        }
        let mut proofs: Vec<Proof> = proved
            .into_iter()
            .filter(|(item, _)| findings.iter().all(|finding| finding.item != *item))
            .map(|(item, found)| self.proof(item, true, found, String::new()))
            .collect();
        for item in Item::ALL {
            let of: Vec<&ProbeFinding> = findings.iter().filter(|finding| finding.item == item).collect();
            if let Some(first) = of.first() {
                let found = match of.len() {
                    1 => format!("{}: {}", first.subject, first.found),
                    many => format!("{}: {}; and {} more", first.subject, first.found, many - 1),
                };
                proofs.push(self.proof(item, false, found, first.fix.clone()));
            }
        }
        proofs
    }

    fn proof(&self, item: Item, is_right: bool, found: String, fix: String) -> Proof {
        // What was sent under other settings than the suite has now proves nothing about these.
        let probed = ReportSuite { form: self.plan.form.clone(), ..self.suite.clone() };
        Proof { item, is_right, found, fix, basis: item.basis(&probed, self.requestors) }
    }

    fn is_leak_tested(&self) -> bool {
        (0..BARE_KINDS.len()).any(|which| self.plan.expected.is_bare_seen(self.observed, which))
    }

    fn judge_evar(&self, seen: &EvarSeen) -> Option<ProbeFinding> {
        let EvarSeen { evar, label, state, seen, .. } = seen;
        let found = seen.clone().unwrap_or_default();
        let (item, found, fix) = match state {
            EvarState::Right | EvarState::Unread => return None,
            EvarState::Missing => {
                let why = self.observed.refused_evars.get(evar);
                let because = why.map(|why| format!(": Analytics refuses it ({why})")).unwrap_or_default();
                (
                    Item::Evars,
                    format!("its value was not seen{because}"),
                    format!(
                        "enable {evar} in {EVARS_PAGE} as {label:?}, of type Text String and without merchandising; where it is so, \
                         add it to the product profile of these credentials"
                    ),
                )
            }
            EvarState::Altered if *evar == format!("eVar{BEYOND_ASCII_EVAR}") => (
                Item::MultiByte,
                format!("letters beyond ASCII came back wrong: {found:?}"),
                "ask Adobe Customer Care to enable multi-byte character support (Admin > Report Suites > Edit Settings > General > \
                 General Account Settings shows it)"
                    .to_owned(),
            ),
            EvarState::Altered => (
                Item::Evars,
                format!("its value came back as {found:?}"),
                format!("see which processing rule or VISTA rule changes {evar}, and except these hits from it"),
            ),
            EvarState::Partial => (
                Item::Evars,
                format!("its value has {found}"),
                format!("see in {EVARS_PAGE} that {evar} has the allocation Most Recent (Last) and no merchandising"),
            ),
            EvarState::Leaks => (
                Item::Evars,
                found,
                format!("set {evar} in {EVARS_PAGE} to expire after Hit, with the allocation Most Recent (Last)"),
            ),
        };
        Some(ProbeFinding { item, subject: evar.clone(), found, fix })
    }
}
