//! Checks the events and the eVars, setting by setting, against the fixed table.

use super::report::{Check, Finding, Severity, Source, first};
use crate::analytics::{EvarFacts, EventFacts};
use crate::confirmation::Item;
use crate::event::{EventKind, Property};
use crate::onboarding::reading::{self, EventType, Recording};
use crate::onboarding::settings_file::{Field, Rows};
use crate::onboarding::table::{EVAR_SETTINGS, EVARS_PAGE, EVENTS_PAGE, EvarSetting, USE_EVENT_ID};
use crate::suite::EventIds;

/// The fix for an event or eVar that the settings file has, but the API does not show.
const ADD_TO_PROFILE: &str = "add it to the product profile of these credentials in the Admin Console, as the settings file has it enabled; or \
     download the file again, if it was disabled since";

struct Slot {
    item: Item,
    number: u16,
    subject: String,
    label: &'static str,
    page: &'static str,
    loss: &'static str,
}

impl Slot {
    fn finding(&self, setting: &'static str, texts: [&str; 2], source: Source) -> Finding {
        Finding::new(self.item, &self.subject, setting, texts, source)
    }
}

fn slots(item: Item, word: &str, labels: impl Iterator<Item = &'static str>) -> Vec<Slot> {
    let is_evar = item == Item::Evars;
    let page = if is_evar { EVARS_PAGE } else { EVENTS_PAGE };
    let loss = if is_evar { "its values are dropped" } else { "it counts nothing" };
    let slot = |(number, label)| Slot { item, number, subject: format!("{word}{number}"), label, page, loss };
    (1..).zip(labels).map(slot).collect()
}

impl Check<'_> {
    pub(super) fn variables(&mut self) {
        // If the API does not show the suite, `api` is `None`, so that no variable is taken for disabled.
        let (api, file) = (self.evidence.api(), self.evidence.file());
        let events = slots(Item::Events, "event", EventKind::ALL.iter().map(|kind| kind.label()));
        for slot in &events {
            let by_api = api.map(|api| api.events.get(&slot.number));
            self.event(slot, &events, by_api, file.and_then(|file| file.events.get(&slot.number)));
        }
        let evars = slots(Item::Evars, "eVar", Property::reported().iter().map(|one| one.label()));
        for slot in &evars {
            let by_api = api.map(|api| api.evars.get(&slot.number));
            self.evar(slot, &evars, by_api, file.and_then(|file| file.evars.get(&slot.number)));
        }
    }

    fn event(&mut self, slot: &Slot, events: &[Slot], api: Option<Option<&EventFacts>>, file: Option<&Rows>) {
        let row = |field| file.and_then(|rows| rows.get(field));
        let by_file = match (
            row(Field::Status).and_then(reading::switch),
            row(Field::Kind).and_then(reading::event_type),
        ) {
            (Some(false), _) | (None, Some(EventType::Disabled)) => Some(false),
            (Some(true), _) | (None, Some(_)) => Some(true),
            (None, None) => None,
        };
        if !self.is_enabled(slot, api.map(|facts| facts.is_some()), by_file) {
            return;
        }
        let facts = api.flatten();
        if self.name(slot, events, facts.map(|facts| facts.name.as_str()), row(Field::Name)) {
            self.saw(Item::Events);
        }
        self.event_type(slot, facts, row(Field::Kind));
        if let Some(text) = row(Field::Recording) {
            self.recording(slot, text);
        }
    }

    /// The API shows only that an event is currency or has decimals; the file names the exact type.
    fn event_type(&mut self, slot: &Slot, facts: Option<&EventFacts>, file: Option<&str>) {
        let finding = |found: &str, source| Finding {
            item: Item::EventTypes,
            ..slot.finding("Type", ["Counter", found], source)
        };
        let wrong = |found: &str, source| {
            let fix = format!("set the type to Counter in {EVENTS_PAGE}: {found} does not count occurrences");
            finding(found, source).but(Severity::Wrong, fix)
        };
        let by_api = facts.and_then(|facts| match (reading::event_type(&facts.kind), facts.precision) {
            (Some(EventType::Currency), _) => Some("Currency"),
            (Some(EventType::Numeric), _) | (_, Some(1..)) => Some("Numeric"),
            (_, _) => None,
        });
        if let Some(found) = by_api {
            self.findings.push(wrong(found, Source::Api));
            return;
        }
        let Some(text) = file else { return };
        match reading::event_type(text) {
            Some(EventType::Counter) => self.show(finding(text, Source::File)),
            Some(EventType::Numeric | EventType::Currency) => self.show(wrong(text, Source::File)),
            Some(EventType::Disabled) | None => {}
        }
    }

    fn recording(&mut self, slot: &Slot, text: &str) {
        let Some(recording) = reading::recording(text) else { return };
        let has_ids = self.suite.form.event_ids == EventIds::On;
        let set = format!("set Unique Event Recording to {USE_EVENT_ID} in {EVENTS_PAGE}");
        let wrong = match recording {
            Recording::OncePerVisit => Some(format!("{set}: so all but the first of a visit are lost")),
            Recording::Always if has_ids => Some(format!(
                "{set}, or send no IDs with: passbridge suite set {} --event-ids off; as it is, a hit that is repeated after a \
                 lost reply counts twice",
                self.suite.form.rsid
            )),
            Recording::Always | Recording::UseEventId => None,
        };
        let expected = if has_ids { USE_EVENT_ID } else { "Use Event ID, or Always Record" };
        let finding = slot.finding(Item::UniqueEventRecording.about().title, [expected, text], Source::File);
        let finding = Finding { item: Item::UniqueEventRecording, ..finding };
        self.show(finding.unless(wrong.is_none(), Severity::Wrong, wrong.unwrap_or_default()));
    }

    fn evar(&mut self, slot: &Slot, evars: &[Slot], api: Option<Option<&EvarFacts>>, file: Option<&Rows>) {
        let row = |field| file.and_then(|rows| rows.get(field));
        let by_file = match row(Field::Status).map(|text| (reading::switch(text), reading::plain(text))) {
            Some((Some(is_on), _)) => Some(is_on),
            Some((None, text)) if text.contains("subrelation") => Some(true),
            _ => row(Field::Allocation).or(row(Field::Expiration)).map(|_| true),
        };
        if !self.is_enabled(slot, api.map(|facts| facts.is_some()), by_file) {
            return;
        }
        let facts = api.flatten();
        let mut is_shown = self.name(slot, evars, facts.map(|facts| facts.name.as_str()), row(Field::Name));
        for setting in &EVAR_SETTINGS {
            let by_api = facts.map(|facts| (setting.in_api)(facts));
            is_shown &= self.evar_setting(slot, setting, by_api, row(setting.field)) || !setting.is_needed;
        }
        if is_shown {
            self.saw(Item::Evars);
        }
    }

    fn evar_setting(
        &mut self,
        slot: &Slot,
        setting: &EvarSetting,
        api: Option<&str>,
        file: Option<&str>,
    ) -> bool {
        let EvarSetting { name, expected, why, .. } = *setting;
        let Some((text, source)) = first(api, file) else { return false };
        let fix = format!("set {name} to {expected} in {EVARS_PAGE}: {why}");
        let finding = slot.finding(name, [expected, text], source);
        self.findings.push(finding.unless(setting.is_right(text), Severity::Wrong, fix));
        let contradicts =
            |other: &&str| source == Source::Api && setting.is_right(other) != setting.is_right(text);
        if let Some(other) = file.filter(contradicts) {
            let fix = "download the file again: it is older than the suite, or of another one";
            let stale = slot.finding(name, [text, other], Source::File).but(Severity::Warning, fix);
            self.findings.push(stale);
        }
        true
    }

    fn is_enabled(&mut self, slot: &Slot, api: Option<bool>, file: Option<bool>) -> bool {
        let source = if api.is_some() { Source::Api } else { Source::File };
        let Some(is_enabled) = api.or(file) else { return false };
        let finding = slot.finding("Enabled", ["yes", if is_enabled { "yes" } else { "no" }], source);
        self.findings.push(match (is_enabled, api, file) {
            (true, ..) => finding,
            (false, Some(_), Some(true)) => finding.but(Severity::Wrong, ADD_TO_PROFILE),
            (false, ..) => {
                let Slot { page, loss, .. } = slot;
                let fix = format!(
                    "enable it in {page} as `passbridge suite sheet` lists it: until then {loss}; where it is enabled, add it to \
                     the product profile of these credentials"
                );
                finding.but(Severity::Wrong, fix)
            }
        });
        is_enabled
    }

    fn name(&mut self, slot: &Slot, others: &[Slot], api: Option<&str>, file: Option<&str>) -> bool {
        let Some((text, source)) = first(api, file) else { return false };
        let Slot { subject, label, page, .. } = slot;
        let finding = slot.finding("Name", [label, text], source);
        let other = others.iter().find(|other| reading::same_name(other.label, text));
        self.findings.push(match other {
            _ if reading::same_name(label, text) => finding,
            Some(other) => finding.but(
                Severity::Wrong,
                format!(
                    "name {subject} {label:?} in {page}: this is the name of {}, so people read one for the other",
                    other.subject
                ),
            ),
            None => finding.but(
                Severity::Warning,
                format!("name {subject} {label:?} in {page}, so that people know what they read"),
            ),
        });
        true
    }
}
