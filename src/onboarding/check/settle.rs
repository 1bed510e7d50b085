//! The state of each item after all comparisons, and what to do about items that no source shows.

use std::collections::BTreeMap;

use super::evidence::Evidence;
use super::report::{Check, CheckReport, Finding, ItemReport, ItemState, Severity, Source};
use crate::confirmation::{Confirmation, Item};
use crate::event::Instant;
use crate::onboarding::probe::{ProbeOutcome, Proof};
use crate::onboarding::settings_file::Field;
use crate::suite::{EventIds, IdentityKind, ReportSuite};

/// Compares a suite with the fixed table of settings.
pub fn check(suite: &ReportSuite, requestors: &[String], evidence: Evidence<'_>) -> CheckReport {
    let (findings, shown) = (Vec::new(), BTreeMap::new());
    let mut check = Check { suite, requestors, evidence, findings, shown, proved_at: None, void: None };
    check.suite_settings();
    check.variables();
    check.own_settings();
    let items = Item::ALL.map(|item| check.settle(item)).to_vec();
    let hints = check.hints(&items);
    let mut findings = check.findings;
    // The sort is stable: findings of one severity and item keep their order.
    findings.sort_by_key(|finding| (finding.severity, finding.item));
    let name = evidence.facts().map(|suite| suite.name.clone()).filter(|name| !name.is_empty());
    CheckReport {
        rsid: suite.form.rsid.clone(),
        name: name.or_else(|| evidence.row(Field::Name).map(str::to_owned)),
        requestors: requestors.to_vec(),
        items,
        findings,
        hints,
        proved_at: check.proved_at,
        void: check.void,
    }
}

impl<'a> Check<'a> {
    fn settle(&mut self, item: Item) -> ItemReport {
        self.drop_outdated(item);
        let report = self.judge(item);
        let is_warned = |one: &Finding| one.item == item && one.severity == Severity::Warning;
        let is_settled = !matches!(report.state, ItemState::Wrong | ItemState::Open);
        if !is_settled || !self.findings.iter().any(is_warned) {
            return report;
        }
        // A confirmation covers the settings of its time. It does not cover settings that have changed since then.
        let covers = |word: &&Confirmation| self.evidence.seen.changed_at.is_none_or(|at| word.at >= at);
        match self.word(item).filter(covers) {
            Some(word) => confirmed(word),
            None => ItemReport { item, state: ItemState::Warned, because: "see the warning".to_owned() },
        }
    }

    fn judge(&mut self, item: Item) -> ItemReport {
        let report = |state, because: &str| ItemReport { item, state, because: because.to_owned() };
        if self.findings.iter().any(|one| one.item == item && one.severity <= Severity::Wrong) {
            return report(ItemState::Wrong, "see the findings");
        }
        if item == Item::UniqueEventRecording && self.suite.form.event_ids == EventIds::Off {
            return report(ItemState::NotNeeded, "event IDs are off");
        }
        let mut void = None;
        let shown = self.shown(item, &mut void);
        let (word, proof) = (self.word(item), self.proof(item));
        if let Some((probe, proof)) = proof.filter(|(_, proof)| !proof.is_right) {
            let mut later = shown.as_ref().map(|(at, _)| *at).into_iter().chain(word.map(|word| word.at));
            let is_disputed = later.any(|at| at > probe.read_at);
            self.findings.push(disproved(item, probe, proof, is_disputed));
            if !is_disputed {
                return report(ItemState::Wrong, "a probe saw otherwise: see the findings");
            }
        }
        if let Some((_, because)) = shown {
            return report(ItemState::Shown, &because);
        }
        if let Some(word) = word {
            return confirmed(word);
        }
        if let Some((probe, _)) = proof.filter(|(_, proof)| proof.is_right) {
            let because = format!("proved by probe {} on {}", probe.id, probe.read_at.to_the_day());
            match self.evidence.void(probe) {
                None => {
                    self.rests_on(probe.read_at);
                    return report(ItemState::Proved, &because);
                }
                Some(why) => void = Some(format!("{because}; void: {why}")),
            }
        }
        let finding = self.open(item, void.as_deref());
        if let Some(void) = void {
            self.void.get_or_insert_with(|| format!("{item}: {void}"));
        }
        let because = finding.found.clone();
        self.findings.push(finding);
        report(ItemState::Open, &because)
    }

    /// The time at which all settings of an item were shown, and by which source; `None` if some were not shown. Also
    /// `None` if a settings file is the only source and is too old: then `void` gets the reason.
    fn shown(&mut self, item: Item, void: &mut Option<String>) -> Option<(Instant, String)> {
        let (at, because) = self.shown_at_any_time(item)?;
        if !self.is_shown_by(item, Source::Api) {
            *void = self.evidence.aged(at).map(|why| format!("{because}; void: {why}"));
            if void.is_some() {
                return None;
            }
            self.rests_on(at);
        }
        Some((at, because))
    }

    fn shown_at_any_time(&self, item: Item) -> Option<(Instant, String)> {
        if self.settings_shown(item) < item.about().settings {
            return None;
        }
        let seen = self.evidence.seen;
        let api = seen.api.as_ref().map(|api| api.at).or(seen.invisible_at);
        let file = seen.file.as_ref().filter(|_| self.is_shown_by(item, Source::File));
        match (api.filter(|_| self.is_shown_by(item, Source::Api)), file) {
            (Some(at), None) => Some((at, "shown by the API".to_owned())),
            (Some(at), Some(_)) => Some((at, "shown by the API and the settings file".to_owned())),
            (None, Some(file)) => {
                Some((file.at, format!("shown by the settings file of {}", file.at.to_the_day())))
            }
            (None, None) => None,
        }
    }

    fn is_shown_by(&self, item: Item, source: Source) -> bool {
        self.findings.iter().any(|finding| finding.item == item && finding.source == source)
    }

    fn settings_shown(&self, item: Item) -> usize {
        self.shown.get(&item).copied().unwrap_or(0)
    }

    fn rests_on(&mut self, proved_at: Instant) {
        self.proved_at = self.proved_at.into_iter().chain([proved_at]).min();
    }

    /// A person's confirmation of an item, if it holds for the suite's current settings in passbridge.
    pub(super) fn word(&self, item: Item) -> Option<&'a Confirmation> {
        let word = self.evidence.confirmations.iter().find(|word| word.item == item);
        word.filter(|word| word.holds(self.suite, self.requestors))
    }

    /// What the latest probe says of an item, if the suite still has the settings that the probe ran under.
    pub(super) fn proof(&self, item: Item) -> Option<(&'a ProbeOutcome, &'a Proof)> {
        let probe = self.evidence.probe?;
        let proof = probe.proofs.iter().find(|proof| proof.item == item)?;
        (proof.basis == item.basis(self.suite, self.requestors)).then_some((probe, proof))
    }

    /// Drops what a settings file says against an item, if a newer confirmation or probe says that the item is right.
    /// A confirmed time zone may differ on purpose, so what the file says of it stays.
    fn drop_outdated(&mut self, item: Item) {
        let Some(file) = self.evidence.seen.file.as_ref().filter(|_| item != Item::TimeZone) else { return };
        let proof = self.proof(item).filter(|(_, proof)| proof.is_right);
        let probe = proof.map(|(probe, _)| probe).filter(|probe| self.evidence.void(probe).is_none());
        let said_at = self.word(item).map(|word| word.at);
        if said_at.into_iter().chain(probe.map(|probe| probe.started_at)).all(|at| at <= file.at) {
            return;
        }
        let before = self.findings.len();
        self.findings
            .retain(|one| one.item != item || one.source != Source::File || one.severity == Severity::Ok);
        if self.findings.len() < before {
            self.shown.remove(&item);
        }
    }

    /// The finding for an item that no source, probe or person shows to be right, or whose proof is void.
    fn open(&self, item: Item, void: Option<&str>) -> Finding {
        let (rsid, about) = (&self.suite.form.rsid, item.about());
        let word = self.evidence.confirmations.iter().find(|word| word.item == item);
        let found = match (void, word, self.settings_shown(item)) {
            (Some(void), ..) => void.to_owned(),
            (None, Some(word), _) => format!(
                "{} confirmed it on {} for {}; now it is {}",
                word.by,
                word.at.to_the_day(),
                word.basis,
                item.basis(self.suite, self.requestors)
            ),
            (None, None, _) if item == Item::Visitors => visitors(self.suite, self.requestors),
            (None, None, 0) => "shown by no source".to_owned(),
            (None, None, shown) => format!("shown for {shown} of {} only", about.settings),
        };
        let severity = if item == Item::Visitors { Severity::Warning } else { Severity::Confirm };
        let fix = format!("{}; then: passbridge suite confirm {rsid} {item} --by NAME", about.look);
        Finding::of_suite(item, [about.claim, &found], Source::Nobody).but(severity, fix)
    }

    fn hints(&self, items: &[ItemReport]) -> Vec<String> {
        let open = items.iter().filter(|report| report.state == ItemState::Open).map(|report| report.item);
        let names = |is_meant: fn(Item) -> bool| {
            let names: Vec<&str> = open.clone().filter(|item| is_meant(*item)).map(Item::as_str).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let rsid = &self.suite.form.rsid;
        let in_file = names(|item| item.about().is_in_file).filter(|_| self.evidence.file().is_none());
        let by_file = in_file.map(|names| {
            format!(
                "the file of Admin > Report Suites > Download may show {names}: passbridge suite check {rsid} --settings FILE"
            )
        });
        let provable = names(|item| item.about().is_provable);
        let by_probe = provable.map(|names| format!("a probe proves {names}: passbridge suite probe {rsid}"));
        by_file.into_iter().chain(by_probe).collect()
    }
}

fn confirmed(word: &Confirmation) -> ItemReport {
    let because = format!("confirmed by {} on {}", word.by, word.at.to_the_day());
    ItemReport { item: word.item, state: ItemState::Confirmed, because }
}

/// The finding for an item that a probe saw to be wrong; disputed if a newer source or confirmation says it is right.
fn disproved(item: Item, probe: &ProbeOutcome, proof: &Proof, is_disputed: bool) -> Finding {
    let found = format!("probe {} on {}: {}", probe.id, probe.read_at.to_the_day(), proof.found);
    let finding = Finding::of_suite(item, [item.about().claim, &found], Source::Probe);
    if is_disputed {
        return finding.but(Severity::Warning, "probe again, to see that it is mended");
    }
    let loses_all = matches!(item, Item::Timestamps | Item::Suite);
    let severity = if loses_all { Severity::Blocks } else { Severity::Wrong };
    finding.but(severity, format!("{}; then probe again", proof.fix))
}

fn visitors(suite: &ReportSuite, requestors: &[String]) -> String {
    let text = match suite.form.identity {
        IdentityKind::MvpdUserId => {
            "visitorID on timestamped hits: Adobe's admin page advises against the two together, the integration prescribes \
             them. Hits are recorded; visits and time spent rest on their order. Unique Visitors counts MVPD accounts, and a \
             surrogate for each device without one (AuthN requested never has one): for ESM's number take the segment \
             \"eVar10 exists\""
        }
        IdentityKind::Ecid => {
            "a unique visitor is a browser or an app with an Experience Cloud ID, joined with the programmer's other data, and \
             no MVPD account: a household of three devices is three. Events without an ID count as surrogates of their own. \
             For accounts, as ESM counts them, count distinct values of eVar10"
        }
    };
    match requestors.len() {
        0 | 1 => text.to_owned(),
        _ => format!(
            "{text}. {} share the suite: eVar1 tells them apart, and one visitor may be of several",
            requestors.join(", ")
        ),
    }
}
