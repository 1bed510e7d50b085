//! Compares a report suite with what the fixed table asks of it.
//!
//! A pure comparison: what Analytics shows of the suite, what its settings file says, what people vouched for and what a probe
//! saw go in, findings come out. What no source shows is a finding too, until somebody vouches for it.

mod advice;
mod own;
mod suite_settings;
mod variables;

use std::collections::BTreeMap;

use serde::Serialize;

use super::probe::{ProbeOutcome, Proof};
use super::settings_file::SettingsFile;
use crate::analytics::{EvarFacts, EventFacts, SuiteFacts};
use crate::confirmation::{Confirmation, Item};
use crate::event::Instant;
use crate::suite::{EventIds, ReportSuite, Rsid};

/// What the Analytics 2.0 API shows of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The suite; `None` where there is none by this name, or none that these credentials may see.
    pub suite: Option<SuiteFacts>,
    /// Its enabled eVars.
    pub evars: BTreeMap<u16, EvarFacts>,
    /// Its enabled events.
    pub events: BTreeMap<u16, EventFacts>,
}

/// Everything that a check is made from, beside the suite itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// From the API, where it was asked.
    pub api: Option<&'a ApiSettings>,
    /// From the settings file, where one was given.
    pub file: Option<&'a SettingsFile>,
    /// What people vouched for.
    pub confirmations: &'a [Confirmation],
    /// What the latest probe saw.
    pub probe: Option<&'a ProbeOutcome>,
}

/// How bad a finding is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No hit is recorded at all.
    Blocks,
    /// Numbers are lost or wrong.
    Wrong,
    /// A known trap: numbers may be misread.
    Warning,
    /// No source shows it: somebody has to look.
    Confirm,
    /// As it should be.
    Ok,
}

/// Who says what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The Analytics 2.0 API.
    Api,
    /// The settings file of the admin page.
    File,
    /// A probe.
    Probe,
    /// A person.
    Person,
    /// The suite's own settings here.
    Passbridge,
    /// Nobody.
    Nobody,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to.
    pub item: Item,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `suite`, `event7`, `eVar3`.
    pub subject: String,
    /// Which setting of it, in the words of the admin page.
    pub setting: &'static str,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// Who says so.
    pub source: Source,
    /// What to do, and where; empty where all is well.
    pub fix: String,
}

/// How an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// A source shows that it is right.
    Shown,
    /// A probe proved it.
    Proved,
    /// A person vouched for it.
    Confirmed,
    /// It does not matter with the suite's settings.
    NotNeeded,
    /// Something about it is wrong.
    Wrong,
    /// Nobody knows.
    Open,
}

/// How an item stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemReport {
    /// Which.
    pub item: Item,
    /// How it stands.
    pub state: ItemState,
    /// By what.
    pub because: String,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The suite.
    pub rsid: Rsid,
    /// Its name in Analytics, where a source shows it.
    pub name: Option<String>,
    /// Whose events go there.
    pub requestors: Vec<String>,
    /// Every item, in its order.
    pub items: Vec<ItemReport>,
    /// Everything that was compared, the worst first.
    pub findings: Vec<Finding>,
    /// Shorter ways to settle what is open.
    pub hints: Vec<String>,
}

impl CheckReport {
    /// Whether something keeps hits from being recorded, or makes numbers wrong.
    pub fn is_wrong(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity <= Severity::Wrong)
    }

    /// The items that nobody knows about.
    pub fn open(&self) -> impl Iterator<Item = Item> {
        self.items.iter().filter(|report| report.state == ItemState::Open).map(|report| report.item)
    }
}

/// Compares a suite with the table.
pub fn check(suite: &ReportSuite, requestors: &[String], evidence: Evidence<'_>) -> CheckReport {
    let mut check = Check { suite, requestors, evidence, findings: Vec::new(), shown: BTreeMap::new() };
    check.suite_settings();
    check.variables();
    check.own_settings();
    let items = Item::ALL.map(|item| check.settle(item)).to_vec();
    let open: Vec<Item> =
        items.iter().filter(|report| report.state == ItemState::Open).map(|report| report.item).collect();
    let hints = advice::hints(&check, &open);
    let mut findings = check.findings;
    // Stable: within a severity the items keep their order, and an item its events and eVars.
    findings.sort_by_key(|finding| (finding.severity, finding.item));
    CheckReport {
        rsid: suite.form.rsid.clone(),
        name: name_of(evidence),
        requestors: requestors.to_vec(),
        items,
        findings,
        hints,
    }
}

fn name_of(evidence: Evidence<'_>) -> Option<String> {
    let by_api = evidence.api.and_then(|api| api.suite.as_ref()).map(|suite| suite.name.clone());
    let by_file = || evidence.file.and_then(|file| file.suite.name.clone());
    by_api.filter(|name| !name.is_empty()).or_else(by_file)
}

/// A check under way.
struct Check<'a> {
    suite: &'a ReportSuite,
    requestors: &'a [String],
    evidence: Evidence<'a>,
    findings: Vec<Finding>,
    /// How many of an item's settings a source showed.
    shown: BTreeMap<Item, usize>,
}

/// What a source says of one setting.
#[derive(Clone, Copy)]
struct Reading<'a> {
    text: &'a str,
    source: Source,
}

impl<'a> Reading<'a> {
    /// What the API says, else the file; nothing where the text is empty.
    fn first(api: Option<&'a str>, file: Option<&'a str>) -> Option<Reading<'a>> {
        let of = |text: Option<&'a str>, source| {
            text.filter(|text| !text.is_empty()).map(|text| Reading { text, source })
        };
        of(api, Source::Api).or_else(|| of(file, Source::File))
    }
}

/// How many settings make an item known.
fn needed(item: Item) -> usize {
    match item {
        Item::Events | Item::EventTypes | Item::UniqueEventRecording => 18,
        Item::Evars => 34,
        Item::Timestamps
        | Item::Suite
        | Item::MultiByte
        | Item::TimeZone
        | Item::BotRules
        | Item::Visitors => 1,
    }
}

impl<'a> Check<'a> {
    /// Notes that a source has shown one setting of an item.
    fn saw(&mut self, item: Item) {
        *self.shown.entry(item).or_default() += 1;
    }

    fn is_wrong(&self, item: Item) -> bool {
        self.findings.iter().any(|finding| finding.item == item && finding.severity <= Severity::Wrong)
    }

    /// Says how an item stands once everything was compared, and finds what is open.
    fn settle(&mut self, item: Item) -> ItemReport {
        let report = |state, because: String| ItemReport { item, state, because };
        if item == Item::UniqueEventRecording
            && self.suite.form.event_ids == EventIds::Off
            && !self.is_wrong(item)
        {
            return report(ItemState::NotNeeded, "event IDs are off".to_owned());
        }
        if self.is_wrong(item) {
            return report(ItemState::Wrong, "see the findings".to_owned());
        }
        let confirmation = self.evidence.confirmations.iter().find(|one| one.item == item);
        let held = confirmation.filter(|one| one.holds(self.suite, self.requestors));
        let proof = self.proof(item);
        let shown = self.shown.get(&item).copied().unwrap_or(0);
        let is_shown = shown >= needed(item);
        if let Some((probe, proof)) = proof.filter(|(_, proof)| !proof.is_right) {
            let is_outdated = is_shown || held.is_some_and(|word| word.at > probe.read_at);
            if is_outdated {
                self.findings.push(advice::disputed(item, probe, proof));
            } else {
                self.findings.push(advice::disproved(item, probe, proof));
                return report(ItemState::Wrong, "a probe saw otherwise: see the findings".to_owned());
            }
        }
        if is_shown {
            return report(ItemState::Shown, self.shown_by(item).to_owned());
        }
        if let Some(word) = held {
            return report(ItemState::Confirmed, format!("confirmed by {} on {}", word.by, date(word.at)));
        }
        if let Some((probe, _)) = proof.filter(|(_, proof)| proof.is_right) {
            let because = format!("proved by probe {} on {}", probe.id, date(probe.read_at));
            return report(ItemState::Proved, because);
        }
        let finding = advice::open(self, item, shown, confirmation);
        let because = finding.found.clone();
        self.findings.push(finding);
        report(ItemState::Open, because)
    }

    /// Who shows an item that is shown as a whole.
    fn shown_by(&self, item: Item) -> &'static str {
        let has =
            |source| self.findings.iter().any(|finding| finding.item == item && finding.source == source);
        match (has(Source::Api), has(Source::File)) {
            (true, false) => "shown by the API",
            (false, true) => "shown by the settings file",
            (_, _) => "shown by the API and the settings file",
        }
    }

    /// What the latest probe says of an item, where the suite's settings are still those that it ran under.
    fn proof(&self, item: Item) -> Option<(&'a ProbeOutcome, &'a Proof)> {
        let probe = self.evidence.probe?;
        let proof = probe.proofs.iter().find(|proof| proof.item == item)?;
        (proof.basis == item.basis(self.suite, self.requestors)).then_some((probe, proof))
    }
}

/// The day of an instant, in UTC.
fn date(at: Instant) -> String {
    chrono::DateTime::from(at).format("%Y-%m-%d").to_string()
}
