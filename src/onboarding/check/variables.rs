//! The 18 events and the 34 eVars, field by field, from the fixed table.

use super::{Check, Finding, Reading, Severity, Source};
use crate::analytics::{EvarFacts, EventFacts};
use crate::confirmation::Item;
use crate::event::{EventKind, Property};
use crate::onboarding::reading::{self, EventType, Recording};
use crate::onboarding::settings_file::{EvarRows, EventRows};
use crate::suite::EventIds;

const EVENTS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Success Events";
const EVARS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Conversion Variables";

/// One event or eVar of the table.
struct Slot<'a> {
    item: Item,
    subject: String,
    label: &'a str,
    /// The labels of all others like it.
    labels: &'a [(String, &'static str)],
    page: &'static str,
}

impl Check<'_> {
    pub(super) fn variables(&mut self) {
        // Of a suite that is not there, or not to be seen, the API shows nothing.
        let (api, file) = (self.evidence.api(), self.evidence.file());
        let labels: Vec<(String, &str)> =
            EventKind::ALL.iter().map(|kind| (format!("event{}", kind.slot()), kind.label())).collect();
        for kind in EventKind::ALL {
            let number = u16::from(kind.slot());
            let slot = Slot {
                item: Item::Events,
                subject: format!("event{number}"),
                label: kind.label(),
                labels: &labels,
                page: EVENTS_PAGE,
            };
            let by_api = api.map(|api| api.events.get(&number));
            self.event(&slot, by_api, file.and_then(|file| file.events.get(&number)));
        }
        let labels: Vec<(String, &str)> = (1..)
            .map(|n| format!("eVar{n}"))
            .zip(Property::reported().iter().map(|one| one.label()))
            .collect();
        for (number, property) in (1..).zip(Property::reported()) {
            let slot = Slot {
                item: Item::Evars,
                subject: format!("eVar{number}"),
                label: property.label(),
                labels: &labels,
                page: EVARS_PAGE,
            };
            let by_api = api.map(|api| api.evars.get(&number));
            self.evar(&slot, by_api, file.and_then(|file| file.evars.get(&number)));
        }
    }

    fn event(&mut self, slot: &Slot<'_>, api: Option<Option<&EventFacts>>, file: Option<&EventRows>) {
        let kind = file.and_then(|rows| rows.kind.as_deref());
        let status = file.and_then(|rows| rows.status.as_deref()).and_then(reading::switch);
        let by_file = match (status, kind.and_then(reading::event_type)) {
            (Some(false), _) | (None, Some(EventType::Disabled)) => Some(false),
            (Some(true), _) | (None, Some(_)) => Some(true),
            (None, None) => None,
        };
        let Some((is_enabled, source)) = enabled(api.map(|facts| facts.is_some()), by_file) else { return };
        let fix = profile(source, by_file).unwrap_or_else(|| format!(
            "enable it in {EVENTS_PAGE} as `passbridge suite sheet` lists it: until then it counts nothing; where it is enabled, \
             add it to the product profile of these credentials"
        ));
        self.compare(
            slot,
            Item::Events,
            "Enabled",
            ["yes", yes(is_enabled)],
            source,
            (!is_enabled).then_some((Severity::Wrong, fix)),
        );
        if !is_enabled {
            return;
        }
        let facts = api.flatten();
        let name = Reading::first(
            facts.map(|facts| facts.name.as_str()),
            file.and_then(|rows| rows.name.as_deref()),
        );
        if self.name(slot, name) {
            self.saw(Item::Events);
        }
        self.event_type(slot, facts, kind);
        if let Some(text) = file.and_then(|rows| rows.recording.as_deref()) {
            self.recording(slot, text);
        }
    }

    /// The API tells counters from currency and decimals only; the file names the type.
    fn event_type(&mut self, slot: &Slot<'_>, facts: Option<&EventFacts>, file: Option<&str>) {
        let fix = |found: &str| {
            format!("set the type to Counter in {EVENTS_PAGE}: {found} does not count occurrences")
        };
        if let Some(facts) = facts {
            let by_api = match (reading::event_type(&facts.kind), facts.precision) {
                (Some(kind @ (EventType::Numeric | EventType::Currency)), _) => Some(kind),
                (_, Some(digits)) if digits > 0 => Some(EventType::Numeric),
                (_, _) => None,
            };
            let found = match by_api {
                Some(EventType::Currency) => "Currency",
                Some(_) => "Numeric",
                None => "",
            };
            if !found.is_empty() {
                let texts = ["Counter", found];
                self.compare(
                    slot,
                    Item::EventTypes,
                    "Type",
                    texts,
                    Source::Api,
                    Some((Severity::Wrong, fix(found))),
                );
                return;
            }
        }
        let Some(text) = file else { return };
        let wrong = match reading::event_type(text) {
            Some(EventType::Counter) => None,
            Some(EventType::Numeric | EventType::Currency) => Some((Severity::Wrong, fix(text))),
            Some(EventType::Disabled) | None => return,
        };
        self.saw(Item::EventTypes);
        self.compare(slot, Item::EventTypes, "Type", ["Counter", text], Source::File, wrong);
    }

    fn recording(&mut self, slot: &Slot<'_>, text: &str) {
        let Some(recording) = reading::recording(text) else { return };
        self.saw(Item::UniqueEventRecording);
        let has_ids = self.suite.form.event_ids == EventIds::On;
        let set = format!("set Unique Event Recording to Use Event ID in {EVENTS_PAGE}");
        let wrong = match recording {
            Recording::OncePerVisit => {
                Some(format!("{set}: as it is, all but the first of a visit are lost"))
            }
            Recording::Always if has_ids => Some(format!(
                "{set}, or send no IDs with: passbridge suite set {} --event-ids off; as it is, a hit that is repeated after a \
                 lost reply counts twice",
                self.suite.form.rsid
            )),
            Recording::Always | Recording::UseEventId => None,
        };
        let expected = if has_ids { "Use Event ID" } else { "Use Event ID, or Always Record" };
        let wrong = wrong.map(|fix| (Severity::Wrong, fix));
        self.compare(
            slot,
            Item::UniqueEventRecording,
            "Unique Event Recording",
            [expected, text],
            Source::File,
            wrong,
        );
    }

    fn evar(&mut self, slot: &Slot<'_>, api: Option<Option<&EvarFacts>>, file: Option<&EvarRows>) {
        let status = file.and_then(|rows| rows.status.as_deref());
        let by_file = match status.map(|text| (reading::switch(text), reading::plain(text))) {
            Some((Some(is_on), _)) => Some(is_on),
            Some((None, text)) if text.contains("subrelation") => Some(true),
            _ => file.and_then(|rows| rows.allocation.as_ref().or(rows.expiration.as_ref())).map(|_| true),
        };
        let Some((is_enabled, source)) = enabled(api.map(|facts| facts.is_some()), by_file) else { return };
        let fix = profile(source, by_file).unwrap_or_else(|| format!(
            "enable it in {EVARS_PAGE} as `passbridge suite sheet` lists it: until then its values are dropped; where it is \
             enabled, add it to the product profile of these credentials"
        ));
        self.compare(
            slot,
            Item::Evars,
            "Enabled",
            ["yes", yes(is_enabled)],
            source,
            (!is_enabled).then_some((Severity::Wrong, fix)),
        );
        if !is_enabled {
            return;
        }
        let facts = api.flatten();
        let of = |api: fn(&EvarFacts) -> &String, file_text: Option<&String>| {
            (facts.map(api).cloned(), file_text.cloned())
        };
        let name = of(|facts| &facts.name, file.and_then(|rows| rows.name.as_ref()));
        let is_named = self.name(slot, Reading::first(name.0.as_deref(), name.1.as_deref()));
        let kind = of(|facts| &facts.data_type, file.and_then(|rows| rows.kind.as_ref()));
        let allocation = of(|facts| &facts.allocation, file.and_then(|rows| rows.allocation.as_ref()));
        let expiration = of(|facts| &facts.expiration, file.and_then(|rows| rows.expiration.as_ref()));
        let merchandising =
            of(|facts| &facts.merchandising, file.and_then(|rows| rows.merchandising.as_ref()));
        let mut is_shown = is_named;
        is_shown &=
            self.evar_field(slot, "Type", "Text String", &kind, reading::is_text, "a counter keeps no text");
        is_shown &= self.evar_field(
            slot,
            "Allocation",
            "Most Recent (Last)",
            &allocation,
            reading::is_most_recent,
            "as it is, an event is credited to an earlier value, or to several",
        );
        is_shown &= self.evar_field(
            slot,
            "Expire After",
            "Hit",
            &expiration,
            reading::expires_at_hit,
            "as it is, a value is credited with later events that have none of their own",
        );
        self.evar_field(
            slot,
            "Merchandising",
            "off",
            &merchandising,
            reading::is_no_merchandising,
            "a merchandising eVar takes its value from products, which Pass events have none of",
        );
        if is_shown {
            self.saw(Item::Evars);
        }
    }

    /// Whether a source shows this field of an eVar.
    fn evar_field(
        &mut self,
        slot: &Slot<'_>,
        setting: &'static str,
        expected: &str,
        (api, file): &(Option<String>, Option<String>),
        is_right: fn(&str) -> bool,
        why: &str,
    ) -> bool {
        let Some(Reading { text, source }) = Reading::first(api.as_deref(), file.as_deref()) else {
            return false;
        };
        let fix = format!("set {setting} to {expected} in {EVARS_PAGE}: {why}");
        let wrong = (!is_right(text)).then_some((Severity::Wrong, fix));
        self.compare(slot, Item::Evars, setting, [expected, text], source, wrong);
        if let Some(other) =
            file.as_deref().filter(|other| source == Source::Api && is_right(other) != is_right(text))
        {
            let fix = "download the file again: it is older than the suite, or of another one".to_owned();
            let stale = Some((Severity::Warning, fix));
            self.compare(slot, Item::Evars, setting, [text, other], Source::File, stale);
        }
        true
    }

    /// Whether a source shows the name.
    fn name(&mut self, slot: &Slot<'_>, name: Option<Reading<'_>>) -> bool {
        let Some(Reading { text, source }) = name else { return false };
        let other = slot.labels.iter().find(|(_, label)| reading::same_name(label, text));
        let wrong = match other {
            _ if reading::same_name(slot.label, text) => None,
            Some((subject, _)) => Some((
                Severity::Wrong,
                format!(
                    "name {} {:?} in {}: this is the name of {subject}, so people read one for the other",
                    slot.subject, slot.label, slot.page
                ),
            )),
            None => Some((
                Severity::Warning,
                format!(
                    "name {} {:?} in {}, so that people know what they read",
                    slot.subject, slot.label, slot.page
                ),
            )),
        };
        self.compare(slot, slot.item, "Name", [slot.label, text], source, wrong);
        true
    }

    fn compare(
        &mut self,
        slot: &Slot<'_>,
        item: Item,
        setting: &'static str,
        [expected, found]: [&str; 2],
        source: Source,
        wrong: Option<(Severity, String)>,
    ) {
        let (severity, fix) = wrong.unwrap_or((Severity::Ok, String::new()));
        self.findings.push(Finding {
            item,
            severity,
            subject: slot.subject.clone(),
            setting,
            expected: expected.to_owned(),
            found: found.to_owned(),
            source,
            fix,
        });
    }
}

fn enabled(api: Option<bool>, file: Option<bool>) -> Option<(bool, Source)> {
    api.map(|is_enabled| (is_enabled, Source::Api)).or(file.map(|is_enabled| (is_enabled, Source::File)))
}

/// What to do about one that the API does not show although the settings file has it.
fn profile(source: Source, by_file: Option<bool>) -> Option<String> {
    (source == Source::Api && by_file == Some(true)).then(|| {
        "add it to the product profile of these credentials in the Admin Console, as the settings file has it enabled; or \
         download the file again, if it was disabled since"
            .to_owned()
    })
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
