//! What each difference between sent and seen hits means, in a sentence that names the fix.

use super::compare::{Comparison, ObservedRow, WAITED_FOR, index};
use super::plan::{BARE_KINDS, COUNTED, Group, OTHER_ADDRESS, OTHER_USER_AGENT, Plan, USER_AGENT};
use super::report::{
    EvarSeen, EvarState, EventSeen, ProbeFinding, ProbeOutcome, ProbeReport, Proof, Verdict, is_complete,
};
use crate::buffer::ProbeRecord;
use crate::confirmation::Item;
use crate::event::{EventKind, Instant, Property};
use crate::onboarding::table::{EVARS_PAGE, EVENTS_PAGE, USE_EVENT_ID};
use crate::suite::{CountForm, ReportSuite};

pub(super) struct Judge<'a> {
    pub(super) suite: &'a ReportSuite,
    pub(super) requestors: &'a [String],
    pub(super) plan: &'a Plan,
    pub(super) compared: &'a Comparison,
}

fn finding(item: Item, subject: &str, found: String, fix: impl Into<String>) -> ProbeFinding {
    ProbeFinding { item, subject: subject.to_owned(), found, fix: fix.into() }
}

impl Judge<'_> {
    /// The report on what was seen until now. `is_settled` means that everything that can be seen was seen.
    pub(super) fn report(&self, is_settled: bool, now: Instant) -> ProbeReport {
        let is_complete = is_complete(&self.plan.record, now);
        let events: Vec<EventSeen> = EventKind::ALL.into_iter().map(|kind| self.event(kind)).collect();
        let evars: Vec<EvarSeen> = Property::reported().iter().map(|property| self.evar(*property)).collect();
        let findings = self.findings(&events, &evars, is_complete);
        let record = &self.plan.record;
        ProbeReport {
            id: record.id.clone(),
            rsid: record.form.rsid.clone(),
            requestor_id: record.requestor_id.clone(),
            verdict: match (is_settled || is_complete, findings.is_empty()) {
                (true, true) => Verdict::Right,
                (true, false) => Verdict::Wrong,
                (false, _) => Verdict::Unseen,
            },
            started_at: record.started_at,
            read_at: now,
            hits: self.plan.hits.len(),
            is_sent: self.is_sent(),
            outcome: ProbeOutcome {
                id: record.id.clone(),
                started_at: record.started_at,
                read_at: now,
                proves_counts: self.proves_counts(),
                proofs: self.proofs(&findings, &evars),
            },
            events,
            evars,
            findings,
        }
    }

    fn findings(&self, events: &[EventSeen], evars: &[EvarSeen], is_complete: bool) -> Vec<ProbeFinding> {
        // A hit that may never have been sent does not count as lost.
        if !self.compared.is_anything_seen() {
            return self.is_sent().then(|| self.nothing(is_complete)).into_iter().collect();
        }
        if self.is_sent() && events.iter().all(|event| event.seen.is_none_or(|seen| seen == 0)) {
            return vec![self.excluded(true)];
        }
        let of_events = EventKind::ALL.into_iter().zip(events);
        let of_events = of_events.filter_map(|(kind, event)| self.judge_event(kind, event));
        let of_evars = (1..).zip(evars).filter_map(|(number, evar)| self.judge_evar(number, evar));
        let mut findings: Vec<ProbeFinding> = of_events.chain(of_evars).collect();
        if self.is_sent() && findings.is_empty() && !self.is_leak_tested() {
            findings.push(self.excluded(false));
        }
        findings
    }

    fn event(&self, kind: EventKind) -> EventSeen {
        let hits = self.plan.hits.iter().filter(|hit| hit.kind == kind && hit.group.is_own());
        EventSeen {
            event: format!("event{}", kind.slot()),
            label: kind.label(),
            sent: hits.count(),
            expected: self.compared.units_of(kind),
            seen: self.compared.known(kind),
            first_seen_at: self.compared.first_seen.get(&kind).copied(),
        }
    }

    fn is_sent(&self) -> bool {
        self.plan.record.sent_at.is_some()
    }

    fn nothing(&self, is_complete: bool) -> ProbeFinding {
        let ProbeRecord { id, form, .. } = &self.plan.record;
        let look_again = format!("passbridge suite probe {} --read-back {id}", form.rsid);
        // If Analytics refuses to show the hits, nobody knows whether they are lost.
        if let [Some(why), Some(_), Some(_)] = WAITED_FOR.map(|evar| self.compared.refused_evars.get(&evar)) {
            let found = format!("whether its hits were recorded is not known{}", refusal(Some(why)));
            let fix = format!(
                "add event1 to event18, eVar5, eVar6 and eVar10 to the product profile of these credentials in the Admin Console, \
                 and see that they are enabled; then: {look_again}"
            );
            return finding(Item::Events, "suite", found, fix);
        }
        let hits = self.plan.hits.len();
        let found = match is_complete {
            true => format!(
                "none of its {hits} hits was seen 2 h after Adobe answered SUCCESS, when it calls a report complete"
            ),
            false => format!(
                "none of its {hits} hits was seen yet, though Adobe answered SUCCESS. That is too early to call them lost: Adobe \
                 may need 2 h. Look again then: {look_again}"
            ),
        };
        finding(
            Item::Timestamps,
            "suite",
            found,
            "set Timestamps Optional in Admin > Report Suites > Edit Settings > General > Timestamps Optional: where timestamps \
             are not allowed, Adobe drops each of these hits for good; if they are allowed, see that no bot rule and no Exclude by \
             IP Address matches all of them, and that eVar5, eVar6 and eVar10 are not all disabled",
        )
    }

    /// The finding that hits of only one of the probe's two visitors were seen: a bot rule or an excluded address
    /// matches the other visitor. `is_own` means that the hits with this host's own address were not seen.
    fn excluded(&self, is_own: bool) -> ProbeFinding {
        let own = format!("those from this host's own address, with the agent {USER_AGENT:?}");
        let other = format!("those with the address {OTHER_ADDRESS} and the agent {OTHER_USER_AGENT:?}");
        let (lost, kept) = if is_own { (own, other) } else { (other, own) };
        finding(
            Item::BotRules,
            "suite",
            format!("hits are excluded: {lost} were not seen, {kept} were"),
            "see which rule of Admin > Report Suites > Edit Settings > General > Bot Rules, or which entry of Admin > Exclude by \
             IP Address, matches that agent or that address, and remove it: viewers' hits are lost to it too",
        )
    }

    fn judge_event(&self, kind: EventKind, event: &EventSeen) -> Option<ProbeFinding> {
        let EventSeen { event, label, expected, seen: known, .. } = event;
        let seen = &known.unwrap_or(0);
        if seen == expected || !self.is_sent() && seen < expected {
            return None;
        }
        if *seen == 0 {
            let why = self.compared.refused.get(&u16::from(kind.slot()));
            let fix = if why.is_some_and(|why| why.contains("unauthorized")) {
                format!("add {event} to the product profile of these credentials in the Admin Console")
            } else {
                format!("enable {event} in {EVENTS_PAGE} as a Counter named {label:?}")
            };
            return Some(finding(
                Item::Events,
                event,
                format!(
                    "{}{}",
                    if known.is_some() { "never counted" } else { "whether it is counted is not known" },
                    refusal(why)
                ),
                fix,
            ));
        }
        let rsid = &self.plan.record.form.rsid;
        let use_event_id =
            format!("set Unique Event Recording of {event} to {USE_EVENT_ID} in {EVENTS_PAGE}");
        // The count of the first hit of the event.
        let hits = &self.plan.hits;
        let first = hits.iter().find(|hit| hit.kind == kind && hit.group == Group::First);
        let first = u64::from(first.map_or(1, |hit| hit.count));
        let (because, fix) = if self.plan.has_ids() && *seen == expected + first {
            (
                ": the repeat of a hit counts again, so its event ID is not used",
                format!("{use_event_id}, or send no IDs with: passbridge suite set {rsid} --event-ids off"),
            )
        } else if *seen == first {
            (
                ": the second of two events of one visit was not counted",
                format!("{use_event_id}, as Record Once Per Visit loses all but the first"),
            )
        } else if kind == COUNTED && first > 1 {
            (
                ": its count is not read from eventN=count:id",
                format!("passbridge suite set {rsid} --count-with-id=off"),
            )
        } else {
            ("", format!("see that {event} is a Counter with {USE_EVENT_ID} in {EVENTS_PAGE}"))
        };
        let found = format!("counted {seen} times, not {expected}{because}");
        Some(finding(Item::UniqueEventRecording, event, found, fix))
    }

    fn proves_counts(&self) -> bool {
        let is_asked = self.plan.has_ids() && self.plan.record.form.count_form == CountForm::CountWithId;
        is_asked && self.compared.seen(COUNTED) == self.compared.units_of(COUNTED)
    }

    fn evar(&self, property: Property) -> EvarSeen {
        let evar = property.evar().unwrap_or(0);
        let sent = self.compared.main(evar).map(|(_, row)| row.text.clone()).unwrap_or_default();
        let (state, seen) = self.evar_state(evar, &sent);
        EvarSeen { evar: format!("eVar{evar}"), label: property.label(), state, sent, seen }
    }

    fn evar_state(&self, evar: u8, sent: &str) -> (EvarState, Option<String>) {
        let Some(rows) = self.compared.rows.get(&evar).filter(|_| self.compared.is_anything_seen()) else {
            return (EvarState::Unread, None);
        };
        if let Some(leak) = self.leak(evar, rows) {
            return (EvarState::Leaks, Some(leak));
        }
        let Some(row) = self.compared.own_row(evar) else {
            return (EvarState::Missing, rows.first().map(|row| row.value.clone()));
        };
        if row.value.to_lowercase() != sent.to_lowercase() {
            return (EvarState::Altered, Some(row.value.clone()));
        }
        match EventKind::ALL.into_iter().find(|kind| row.units[index(*kind)] < self.compared.seen(*kind)) {
            Some(kind) => {
                (EvarState::Partial, Some(format!("fewer of event{} than were counted", kind.slot())))
            }
            None => (EvarState::Right, None),
        }
    }

    /// An event that is credited to a value that its hit does not have.
    fn leak(&self, evar: u8, rows: &[ObservedRow]) -> Option<String> {
        if evar == 1 || evar == self.compared.identity() {
            return None;
        }
        rows.iter().find_map(|row| {
            let key = self.compared.key(evar, &row.value)?;
            let own = self.compared.row(evar, &key).filter(|own| !own.is_main)?;
            let leaked =
                BARE_KINDS.into_iter().find(|kind| row.units[index(*kind)] > own.units[index(*kind)])?;
            let (value, slot) = (&row.value, leaked.slot());
            Some(format!("{value:?} is credited with a later event{slot} that has no such value"))
        })
    }

    /// What the probe proves or disproves. An item is proved right only if the hits that show it were seen.
    fn proofs(&self, findings: &[ProbeFinding], evars: &[EvarSeen]) -> Vec<Proof> {
        let is_anything_seen = self.compared.is_anything_seen();
        let is_right = |evar: &EvarSeen| evar.state == EvarState::Right;
        let are_counted = EventKind::ALL.into_iter().all(|kind| self.compared.seen(kind) > 0);
        let beyond_ascii = Property::reported().iter().zip(evars);
        let mut beyond_ascii = beyond_ascii.filter(|(property, _)| **property == Property::ResourceId);
        let seen = [
            (Item::Timestamps, true, "hits with a timestamp were recorded"),
            (Item::Suite, true, "hits were recorded in it"),
            (Item::Events, are_counted, "each of event1 to event18 was counted"),
            (
                Item::Evars,
                evars.iter().all(is_right) && self.is_leak_tested(),
                "each of eVar1 to eVar34 came back, and expired with its hit",
            ),
            (
                Item::UniqueEventRecording,
                self.plan.has_ids() && self.is_sent(),
                "a repeat of each of event1 to event18 was not counted again, a second one was",
            ),
            (
                Item::MultiByte,
                beyond_ascii.any(|(_, evar)| is_right(evar)),
                "letters beyond ASCII came back as they were sent",
            ),
        ];
        let of = |item| findings.iter().filter(move |finding| finding.item == item);
        let right = seen
            .into_iter()
            .filter(|(item, is_proved, _)| is_anything_seen && *is_proved && of(*item).next().is_none());
        let right = right.map(|(item, _, found)| self.proof(item, true, found.to_owned(), ""));
        let wrong = Item::ALL.into_iter().filter_map(|item| {
            let first = of(item).next()?;
            let more = match of(item).count() - 1 {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let found = format!("{}: {}{more}", first.subject, first.found);
            Some(self.proof(item, false, found, &first.fix))
        });
        right.chain(wrong).collect()
    }

    fn proof(&self, item: Item, is_right: bool, found: String, fix: &str) -> Proof {
        // The proof is about the settings that the hits were sent under, even if the suite has other settings now.
        let probed = ReportSuite { form: self.plan.record.form.clone(), ..self.suite.clone() };
        Proof { item, is_right, found, fix: fix.to_owned(), basis: item.basis(&probed, self.requestors) }
    }

    fn is_leak_tested(&self) -> bool {
        BARE_KINDS.into_iter().any(|kind| self.compared.is_bare_seen(kind))
    }

    fn judge_evar(&self, number: u8, evar: &EvarSeen) -> Option<ProbeFinding> {
        let EvarSeen { evar, label, state, seen, .. } = evar;
        let found = seen.clone().unwrap_or_default();
        let (item, found, fix) = match state {
            EvarState::Right | EvarState::Unread => return None,
            EvarState::Missing | EvarState::Partial if !self.is_sent() => return None,
            EvarState::Missing => (
                Item::Evars,
                format!("its value was not seen{}", refusal(self.compared.refused_evars.get(&number))),
                format!(
                    "enable {evar} in {EVARS_PAGE} as {label:?}, of type Text String and without merchandising; where it is so, \
                     add it to the product profile of these credentials"
                ),
            ),
            EvarState::Altered if *label == Property::ResourceId.label() => (
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
        Some(finding(item, evar, found, fix))
    }
}

fn refusal(why: Option<&String>) -> String {
    why.map(|why| format!(": Analytics refuses it ({why})")).unwrap_or_default()
}
