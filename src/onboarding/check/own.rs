//! The suite's own settings here, where they are traps.

use super::{Check, Finding, Severity, Source};
use crate::confirmation::Item;
use crate::suite::{CountForm, EventIds, IdentityKind};

impl Check<'_> {
    pub(super) fn own_settings(&mut self) {
        let form = &self.suite.form;
        let rsid = &form.rsid;
        if form.identity == IdentityKind::Ecid && form.org_id.is_none() {
            self.findings.push(own(
                Item::Visitors,
                "organisation",
                ["the organisation that the Experience Cloud IDs belong to", "none"],
                format!(
                    "passbridge suite set {rsid} --org-id ID@AdobeOrg --split-visitors, with the ID of Admin > Company \
                     Settings: without it Adobe may not tell whose Experience Cloud IDs these are"
                ),
            ));
        }
        if form.event_ids == EventIds::Off {
            self.findings.push(own(
                Item::UniqueEventRecording,
                "event IDs",
                ["on, with \"Use Event ID\" in the suite", "off"],
                format!(
                    "set Unique Event Recording of event1 to event18 to Use Event ID (Admin > Report Suites > Edit Settings > \
                     Conversion > Success Events), then: passbridge suite set {rsid} --event-ids on; until then a hit that is \
                     repeated after a lost reply counts twice"
                ),
            ));
        }
        let is_proved = self
            .evidence
            .probe
            .is_some_and(|probe| probe.proves_counts && self.evidence.void(probe).is_none());
        if form.event_ids == EventIds::On && form.count_form == CountForm::CountWithId && !is_proved {
            self.findings.push(own(
                Item::UniqueEventRecording,
                "counts above 1",
                ["as single hits, or a probe that saw eventN=count:id counted", "as eventN=count:id"],
                format!(
                    "prove it with: passbridge suite probe {rsid}; or passbridge suite set {rsid} --count-with-id=off: Adobe's \
                     pages only imply that form"
                ),
            ));
        }
    }
}

fn own(item: Item, setting: &'static str, [expected, found]: [&str; 2], fix: String) -> Finding {
    Finding {
        item,
        severity: Severity::Warning,
        subject: "passbridge".to_owned(),
        setting,
        expected: expected.to_owned(),
        found: found.to_owned(),
        source: Source::Passbridge,
        fix,
    }
}
