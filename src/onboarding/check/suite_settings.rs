//! The settings of the suite itself: whether it is there, timestamps, characters, time zone.

use super::{Check, Finding, Reading, Severity, Source};
use crate::confirmation::Item;
use crate::onboarding::reading::{self, Timestamps};

/// Why the time zone matters, in one clause.
const TIME_ZONE_WHY: &str =
    "Adobe Pass and ESM count days in US/Pacific, so the days of this suite do not agree with theirs";

/// What a suite must be.
const COLLECTS: &str = "a report suite that collects";

impl Check<'_> {
    pub(super) fn suite_settings(&mut self) {
        self.timestamps();
        self.existence();
        self.multi_byte();
        self.time_zone();
    }

    /// Finds a setting of the suite itself.
    fn of_suite(
        &mut self,
        item: Item,
        severity: Severity,
        setting: &'static str,
        texts: [&str; 2],
        source: Source,
        fix: &str,
    ) {
        self.findings.push(Finding {
            item,
            severity,
            subject: "suite".to_owned(),
            setting,
            expected: texts[0].to_owned(),
            found: texts[1].to_owned(),
            source,
            fix: fix.to_owned(),
        });
    }

    fn timestamps(&mut self) {
        let Some(text) = self.evidence.file().and_then(|file| file.suite.timestamps.as_deref()) else {
            return;
        };
        let expected = "optional or required";
        let (severity, fix) = match reading::timestamps(text) {
            Some(Timestamps::Optional | Timestamps::Required) => (Severity::Ok, ""),
            Some(Timestamps::NotAllowed) => (
                Severity::Blocks,
                "set Timestamps Optional in Admin > Report Suites > Edit Settings > General > Timestamps Optional before \
                 anything is sent: until then Adobe answers SUCCESS and drops every hit for good",
            ),
            // A wording that nobody knows shows nothing: the item stays open.
            None => return,
        };
        self.saw(Item::Timestamps);
        let texts = [expected, text];
        self.of_suite(Item::Timestamps, severity, "Timestamps", texts, Source::File, fix);
    }

    fn existence(&mut self) {
        let seen = self.evidence.seen;
        let parent = seen.api.as_ref().and_then(|api| api.read.suite.as_ref()?.parent.clone());
        let file = self.evidence.file();
        let parent_in_file = file.and_then(|file| file.suite.parent.clone());
        let parent_in_file = parent_in_file.filter(|parent| reading::switch(parent) != Some(false));
        if let Some(parent) = &parent {
            self.virtual_of(parent.as_str(), Source::Api);
        } else if let (Some(parent), None) = (&parent_in_file, &seen.api) {
            self.virtual_of(parent, Source::File);
        }
        if seen.invisible_at.is_some() {
            self.invisible();
        } else if seen.api.is_some() && parent.is_none() {
            self.is_there("a report suite", Source::Api);
        } else if file.is_some() && seen.api.is_none() && parent_in_file.is_none() {
            self.is_there("a column of the settings file", Source::File);
        }
    }

    fn is_there(&mut self, found: &str, source: Source) {
        self.saw(Item::Suite);
        self.of_suite(Item::Suite, Severity::Ok, "Report Suite ID", [COLLECTS, found], source, "");
    }

    fn virtual_of(&mut self, parent: &str, source: Source) {
        let rsid = &self.suite.form.rsid;
        let fix = format!(
            "map the requestors to its parent instead, as a virtual report suite cannot collect: passbridge suite remove {rsid}, \
             then passbridge suite add with --rsid {parent}"
        );
        let found = format!("a virtual report suite of {parent}");
        let texts = [COLLECTS, found.as_str()];
        self.of_suite(Item::Suite, Severity::Blocks, "Report Suite ID", texts, source, &fix);
    }

    /// Credentials that lost their rights, or an API that hiccups, show nothing either: only where nothing was ever taken is
    /// it likely that there is no such suite.
    fn invisible(&mut self) {
        self.saw(Item::Suite);
        let rsid = self.suite.form.rsid.clone();
        let severity = if self.evidence.has_delivered { Severity::Warning } else { Severity::Blocks };
        let fix = format!(
            "compare {rsid} with the Report Suite ID in Admin > Report Suites (Adobe answers SUCCESS to hits of a suite that does \
             not exist), or add it to the product profile of these credentials in the Admin Console"
        );
        let texts = [COLLECTS, "no such suite, or none that these credentials may see"];
        self.of_suite(Item::Suite, severity, "Report Suite ID", texts, Source::Api, &fix);
    }

    fn multi_byte(&mut self) {
        let Some(text) = self.evidence.file().and_then(|file| file.suite.multi_byte.as_deref()) else {
            return;
        };
        let Some(is_on) = reading::switch(text) else { return };
        self.saw(Item::MultiByte);
        let (severity, fix) = if is_on {
            (Severity::Ok, "")
        } else {
            (
                Severity::Wrong,
                "ask Adobe Customer Care to enable multi-byte character support (Admin > Report Suites > Edit Settings > \
                 General > General Account Settings shows it): without it every letter beyond ASCII arrives as two wrong ones",
            )
        };
        let texts = ["on", text];
        self.of_suite(Item::MultiByte, severity, "Multi-byte character support", texts, Source::File, fix);
    }

    fn time_zone(&mut self) {
        let api = self.evidence.api().and_then(|api| api.suite.as_ref()).map(|suite| suite.timezone.as_str());
        let file = self.evidence.file().and_then(|file| file.suite.time_zone.as_deref());
        let Some(Reading { text, source }) = Reading::first(api, file) else { return };
        self.saw(Item::TimeZone);
        let is_confirmed = self.evidence.confirmations.iter().any(|word| word.item == Item::TimeZone);
        let (severity, fix) = if reading::is_pacific(text) || is_confirmed {
            (Severity::Ok, String::new())
        } else {
            let rsid = &self.suite.form.rsid;
            (
                Severity::Warning,
                format!(
                    "set the time zone to US/Pacific in Admin > Report Suites > Edit Settings > General > General Account \
                     Settings before data arrives: {TIME_ZONE_WHY}; or, if that is meant: passbridge suite confirm {rsid} \
                     time-zone --by NAME"
                ),
            )
        };
        self.of_suite(Item::TimeZone, severity, "Time zone", ["US/Pacific", text], source, &fix);
    }
}
