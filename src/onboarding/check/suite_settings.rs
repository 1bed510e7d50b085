//! The settings of the suite itself: existence, timestamps, characters, time zone, and those in passbridge.

use super::evidence::Evidence;
use super::report::{Check, Finding, Severity, Source, first};
use crate::confirmation::Item;
use crate::onboarding::reading;
use crate::onboarding::settings_file::Field;
use crate::suite::{CountForm, EventIds, IdentityKind};

const COLLECTS: &str = "a report suite that collects";

impl Check<'_> {
    pub(super) fn suite_settings(&mut self) {
        self.timestamps();
        self.existence();
        self.multi_byte();
        self.time_zone();
    }

    fn timestamps(&mut self) {
        let Some(text) = self.evidence.row(Field::Timestamps) else { return };
        // An unknown wording shows nothing, so the item stays open.
        let Some(takes_them) = reading::takes_timestamps(text) else { return };
        let finding = Finding::of_suite(Item::Timestamps, ["optional or required", text], Source::File);
        let fix = "set Timestamps Optional in Admin > Report Suites > Edit Settings > General > Timestamps Optional before \
                   anything is sent: until then Adobe answers SUCCESS and drops every hit for good";
        self.show(finding.unless(takes_them, Severity::Blocks, fix));
    }

    fn existence(&mut self) {
        let seen = self.evidence.seen;
        let parent = seen.api.as_ref().and_then(|api| api.read.suite.as_ref()?.parent.as_ref());
        let parent_in_file = self.evidence.row(Field::Parent);
        let parent_in_file = parent_in_file.filter(|parent| reading::switch(parent) != Some(false));
        match (parent, parent_in_file) {
            (Some(parent), _) => self.virtual_of(parent.as_str(), Source::Api),
            (None, Some(parent)) if seen.api.is_none() => self.virtual_of(parent, Source::File),
            (None, _) => {}
        }
        let is_there = |found, source| Finding::of_suite(Item::Suite, [COLLECTS, found], source);
        if seen.invisible_at.is_some() {
            self.invisible();
        } else if seen.api.is_some() && parent.is_none() {
            self.show(is_there("a report suite", Source::Api));
        } else if seen.file.is_some() && seen.api.is_none() && parent_in_file.is_none() {
            self.show(is_there("a column of the settings file", Source::File));
        }
    }

    fn virtual_of(&mut self, parent: &str, source: Source) {
        let rsid = &self.suite.form.rsid;
        let fix = format!(
            "map the requestors to its parent instead, as a virtual report suite cannot collect: passbridge suite remove {rsid}, \
             then passbridge suite add with --rsid {parent}"
        );
        let found = format!("a virtual report suite of {parent}");
        let finding = Finding::of_suite(Item::Suite, [COLLECTS, &found], source);
        self.findings.push(finding.but(Severity::Blocks, fix));
    }

    /// The finding if the API shows no suite. That also happens when the credentials lost their rights, or because of a
    /// fault. So a suite that is known to exist is not blocked for this.
    fn invisible(&mut self) {
        let severity = if self.exists() { Severity::Warning } else { Severity::Blocks };
        let fix = format!(
            "compare {} with the Report Suite ID in Admin > Report Suites (Adobe answers SUCCESS to hits of a suite that does \
             not exist), or add it to the product profile of these credentials in the Admin Console",
            self.suite.form.rsid
        );
        let texts = [COLLECTS, "no such suite, or none that these credentials may see"];
        self.show(Finding::of_suite(Item::Suite, texts, Source::Api).but(severity, fix));
    }

    /// Whether anything but the API shows that the suite exists: delivered events, a probe whose hits were seen, its
    /// settings file, or a person's confirmation that is newer than the API's first answer without the suite.
    fn exists(&self) -> bool {
        let Evidence { seen, has_delivered, .. } = self.evidence;
        let is_seen = self.proof(Item::Suite).is_some_and(|(_, proof)| proof.is_right);
        let is_confirmed = self.word(Item::Suite).is_some_and(|word| Some(word.at) > seen.invisible_at);
        has_delivered || is_seen || seen.file.is_some() || is_confirmed
    }

    fn multi_byte(&mut self) {
        let Some(text) = self.evidence.row(Field::MultiByte) else { return };
        let Some(is_on) = reading::switch(text) else { return };
        let finding = Finding::of_suite(Item::MultiByte, ["on", text], Source::File);
        let fix = "ask Adobe Customer Care to enable multi-byte character support (Admin > Report Suites > Edit Settings > \
                   General > General Account Settings shows it): without it every letter beyond ASCII arrives as two wrong ones";
        self.show(finding.unless(is_on, Severity::Wrong, fix));
    }

    fn time_zone(&mut self) {
        let api = self.evidence.facts().map(|suite| suite.timezone.as_str());
        let Some((text, source)) = first(api, self.evidence.row(Field::TimeZone)) else { return };
        let finding = Finding::of_suite(Item::TimeZone, ["US/Pacific", text], source);
        let fix = format!(
            "set the time zone to US/Pacific in Admin > Report Suites > Edit Settings > General > General Account Settings before \
             data arrives: Adobe Pass and ESM count days in US/Pacific, so the days of this suite do not agree with theirs; or, if \
             that is meant: passbridge suite confirm {} time-zone --by NAME",
            self.suite.form.rsid
        );
        self.show(finding.unless(reading::is_pacific(text), Severity::Warning, fix));
    }

    /// Warns of settings in passbridge that may lead to wrong or misread numbers.
    pub(super) fn own_settings(&mut self) {
        let (form, probe) = (&self.suite.form, self.evidence.probe);
        let rsid = &form.rsid;
        let own = |item, setting, texts, fix: String| {
            Finding::new(item, "passbridge", setting, texts, Source::Passbridge).but(Severity::Warning, fix)
        };
        if form.identity == IdentityKind::Ecid && form.org_id.is_none() {
            let texts = ["the organisation that the Experience Cloud IDs belong to", "none"];
            let fix = format!(
                "passbridge suite set {rsid} --org-id ID@AdobeOrg --split-visitors, with the ID of Admin > Company Settings: \
                 without it Adobe may not tell whose Experience Cloud IDs these are"
            );
            self.findings.push(own(Item::Visitors, "organisation", texts, fix));
        }
        if form.event_ids == EventIds::Off {
            let texts = ["on, with \"Use Event ID\" in the suite", "off"];
            let fix = format!(
                "set Unique Event Recording of event1 to event18 to Use Event ID (Admin > Report Suites > Edit Settings > \
                 Conversion > Success Events), then: passbridge suite set {rsid} --event-ids on; until then a hit that is \
                 repeated after a lost reply counts twice"
            );
            self.findings.push(own(Item::UniqueEventRecording, "event IDs", texts, fix));
        }
        let is_proved = probe.is_some_and(|probe| probe.proves_counts && self.evidence.void(probe).is_none());
        if form.event_ids == EventIds::On && form.count_form == CountForm::CountWithId && !is_proved {
            let texts = ["as single hits, or a probe that saw eventN=count:id counted", "as eventN=count:id"];
            let fix = format!(
                "prove it with: passbridge suite probe {rsid}; or passbridge suite set {rsid} --count-with-id=off: Adobe's pages \
                 only imply that form"
            );
            self.findings.push(own(Item::UniqueEventRecording, "counts above 1", texts, fix));
        }
    }
}
