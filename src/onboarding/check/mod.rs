//! Compares a report suite with what the fixed table asks of it.
//!
//! A pure comparison: what Analytics shows of the suite, what its settings file says, what people vouched for and what a probe
//! saw go in, findings come out. What no source shows is a finding too, until somebody vouches for it.

mod advice;
mod own;
mod suite_settings;
mod variables;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::probe::{ProbeOutcome, Proof};
use super::settings_file::SettingsFile;
use super::verdict::Seen;
use crate::analytics::{EvarFacts, EventFacts, SuiteFacts};
use crate::confirmation::{Confirmation, Item};
use crate::event::Instant;
use crate::suite::{EventIds, ReportSuite, Rsid};

/// What the Analytics 2.0 API shows of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiSettings {
    /// The suite; `None` where there is none by this name, or none that these credentials may see.
    pub suite: Option<SuiteFacts>,
    pub evars: BTreeMap<u16, EvarFacts>,
    pub events: BTreeMap<u16, EventFacts>,
}

/// Everything that a check is made from, beside the suite itself.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What the API and the settings file showed, now or before.
    pub seen: &'a Seen,
    pub confirmations: &'a [Confirmation],
    /// What the latest probe saw.
    pub probe: Option<&'a ProbeOutcome>,
    /// Whether Adobe ever answered SUCCESS to events for the suite.
    pub has_delivered: bool,
    pub now: Instant,
    /// How long a probe or a settings file proves something.
    pub proof_age: Duration,
}

impl<'a> Evidence<'a> {
    /// From the API, where it was asked and shows the suite.
    fn api(&self) -> Option<&'a ApiSettings> {
        self.seen.api.as_ref().filter(|_| self.seen.invisible_at.is_none()).map(|api| &api.read)
    }

    /// From a settings file, where one was given.
    fn file(&self) -> Option<&'a SettingsFile> {
        self.seen.file.as_ref().map(|file| &file.read)
    }

    /// Why a probe proves nothing any more; `None` while it does.
    fn void(&self, probe: &ProbeOutcome) -> Option<String> {
        match self.seen.changed_at {
            Some(at) if at > probe.started_at => {
                Some(format!("the suite's settings were seen to have changed on {}", date(at)))
            }
            _ => self.aged(probe.read_at),
        }
    }

    /// Why what was proved then does not count any more; `None` while it does.
    fn aged(&self, proved_at: Instant) -> Option<String> {
        let days = self.proof_age.as_secs() / 86_400;
        proved_at.is_older(self.now, self.proof_age).then(|| format!("it is older than {days} days"))
    }
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
    Probe,
    Person,
    /// The suite's own settings here.
    Passbridge,
    Nobody,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub item: Item,
    pub severity: Severity,
    /// What it is about: `suite`, `event7`, `eVar3`.
    pub subject: String,
    /// Which setting of it, in the words of the admin page.
    pub setting: &'static str,
    pub expected: String,
    pub found: String,
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
    Proved,
    /// A person vouched for it.
    Confirmed,
    /// It does not matter with the suite's settings.
    NotNeeded,
    /// A source shows it, with a warning that nobody has confirmed.
    Warned,
    /// Something about it is wrong.
    Wrong,
    Open,
}

/// How an item stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemReport {
    pub item: Item,
    pub state: ItemState,
    pub because: String,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub rsid: Rsid,
    /// Its name in Analytics, where a source shows it.
    pub name: Option<String>,
    pub requestors: Vec<String>,
    /// Every item, in its order.
    pub items: Vec<ItemReport>,
    /// Everything that was compared, the worst first.
    pub findings: Vec<Finding>,
    /// Shorter ways to settle what is open.
    pub hints: Vec<String>,
    /// When the oldest proof was made that an item rests on: a probe, or a settings file.
    pub proved_at: Option<Instant>,
    /// Why a proof does not count any more.
    pub void: Option<String>,
}

impl CheckReport {
    /// Whether something keeps hits from being recorded, or makes numbers wrong.
    pub fn is_wrong(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity <= Severity::Wrong)
    }

    /// The items that nobody knows about, or that are warned of and not confirmed.
    pub fn open(&self) -> impl Iterator<Item = Item> {
        let is_open = |report: &&ItemReport| matches!(report.state, ItemState::Open | ItemState::Warned);
        self.items.iter().filter(is_open).map(|report| report.item)
    }

    /// The items that are open or wrong.
    pub fn unsettled(&self) -> impl Iterator<Item = Item> {
        self.open().chain(self.of(ItemState::Wrong))
    }

    fn of(&self, state: ItemState) -> impl Iterator<Item = Item> {
        self.items.iter().filter(move |report| report.state == state).map(|report| report.item)
    }

    /// Why hits are known to be lost; nothing where they are not.
    pub fn blocks(&self) -> Vec<String> {
        let worst = self.findings.iter().filter(|finding| finding.severity == Severity::Blocks);
        worst.map(|Finding { setting, found, .. }| format!("{setting}: {found}")).collect()
    }
}

/// Compares a suite with the table.
pub fn check(suite: &ReportSuite, requestors: &[String], evidence: Evidence<'_>) -> CheckReport {
    let (findings, shown) = (Vec::new(), BTreeMap::new());
    let mut check = Check { suite, requestors, evidence, findings, shown, proved_at: None, void: None };
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
        proved_at: check.proved_at,
        void: check.void,
    }
}

fn name_of(evidence: Evidence<'_>) -> Option<String> {
    let by_api = evidence.api().and_then(|api| api.suite.as_ref()).map(|suite| suite.name.clone());
    let by_file = || evidence.file().and_then(|file| file.suite.name.clone());
    by_api.filter(|name| !name.is_empty()).or_else(by_file)
}

struct Check<'a> {
    suite: &'a ReportSuite,
    requestors: &'a [String],
    evidence: Evidence<'a>,
    findings: Vec<Finding>,
    /// How many of an item's settings a source showed.
    shown: BTreeMap<Item, usize>,
    proved_at: Option<Instant>,
    void: Option<String>,
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
        self.drop_outdated(item);
        let report = self.judge(item);
        let is_warned = |one: &Finding| one.item == item && one.severity == Severity::Warning;
        let is_settled = !matches!(report.state, ItemState::Wrong | ItemState::Open);
        if !is_settled || !self.findings.iter().any(is_warned) {
            return report;
        }
        // A word covers what it was given for: not what has changed since.
        let covers = |word: &&Confirmation| self.evidence.seen.changed_at.is_none_or(|at| word.at >= at);
        match self.word(item).filter(covers) {
            Some(word) => confirmed(word),
            None => ItemReport { item, state: ItemState::Warned, because: "see the warning".to_owned() },
        }
    }

    /// How an item stands, warnings aside.
    fn judge(&mut self, item: Item) -> ItemReport {
        let report = |state, because: String| ItemReport { item, state, because };
        if self.is_wrong(item) {
            return report(ItemState::Wrong, "see the findings".to_owned());
        }
        if item == Item::UniqueEventRecording && self.suite.form.event_ids == EventIds::Off {
            return report(ItemState::NotNeeded, "event IDs are off".to_owned());
        }
        let (word, proof, mut void) = (self.word(item), self.proof(item), None);
        let shown = match self.shown(item) {
            Some((at, because)) if self.is_shown_by_file_alone(item) => {
                void = self.evidence.aged(at).map(|why| format!("{because}; void: {why}"));
                self.proved_at = self.proved_at.into_iter().chain(void.is_none().then_some(at)).min();
                void.is_none().then_some((at, because))
            }
            shown => shown,
        };
        if let Some((probe, proof)) = proof.filter(|(_, proof)| !proof.is_right) {
            let is_newer = |at: Instant| at > probe.read_at;
            if shown.as_ref().is_some_and(|(at, _)| is_newer(*at))
                || word.is_some_and(|word| is_newer(word.at))
            {
                self.findings.push(advice::disputed(item, probe, proof));
            } else {
                self.findings.push(advice::disproved(item, probe, proof));
                return report(ItemState::Wrong, "a probe saw otherwise: see the findings".to_owned());
            }
        }
        if let Some((_, because)) = shown {
            return report(ItemState::Shown, because);
        }
        if let Some(word) = word {
            return confirmed(word);
        }
        if let Some((probe, _)) = proof.filter(|(_, proof)| proof.is_right) {
            let because = format!("proved by probe {} on {}", probe.id, date(probe.read_at));
            match self.evidence.void(probe) {
                None => {
                    self.proved_at = self.proved_at.into_iter().chain([probe.read_at]).min();
                    return report(ItemState::Proved, because);
                }
                Some(why) => void = Some(format!("{because}; void: {why}")),
            }
        }
        let shown = self.shown.get(&item).copied().unwrap_or(0);
        let confirmation = self.evidence.confirmations.iter().find(|one| one.item == item);
        let mut finding = advice::open(self, item, shown, confirmation);
        if let Some(void) = void {
            self.void.get_or_insert_with(|| format!("{item}: {void}"));
            finding.found = void;
        }
        let because = finding.found.clone();
        self.findings.push(finding);
        report(ItemState::Open, because)
    }

    /// A person's word on an item, where it holds for the suite's settings here.
    fn word(&self, item: Item) -> Option<&'a Confirmation> {
        let word = self.evidence.confirmations.iter().find(|word| word.item == item);
        word.filter(|word| word.holds(self.suite, self.requestors))
    }

    /// Leaves out what a settings file says against an item, where a person or a probe says since then that it is right.
    fn drop_outdated(&mut self, item: Item) {
        let Some(file) = &self.evidence.seen.file else { return };
        let proof = self.proof(item).filter(|(_, proof)| proof.is_right);
        let probed_at = proof.map(|(probe, _)| probe).filter(|probe| self.evidence.void(probe).is_none());
        let said_at = self.word(item).map(|word| word.at);
        if said_at.into_iter().chain(probed_at.map(|probe| probe.started_at)).all(|at| at <= file.at) {
            return;
        }
        let before = self.findings.len();
        self.findings
            .retain(|one| one.item != item || one.source != Source::File || one.severity == Severity::Ok);
        if self.findings.len() < before {
            self.shown.remove(&item);
        }
    }

    /// When an item was shown as a whole, and by what.
    fn shown(&self, item: Item) -> Option<(Instant, String)> {
        if self.shown.get(&item).copied().unwrap_or(0) < needed(item) {
            return None;
        }
        let api =
            self.shown_by(item, Source::Api).then_some(&self.evidence.seen.api).and_then(Option::as_ref);
        let file = self.evidence.seen.file.as_ref().filter(|_| self.shown_by(item, Source::File));
        let api_at = api.map(|api| api.at).or(self.evidence.seen.invisible_at);
        Some(match (api_at, file) {
            (Some(at), None) => (at, "shown by the API".to_owned()),
            (Some(at), Some(_)) => (at, "shown by the API and the settings file".to_owned()),
            (None, Some(file)) => (file.at, format!("shown by the settings file of {}", date(file.at))),
            (None, None) => return None,
        })
    }

    fn is_shown_by_file_alone(&self, item: Item) -> bool {
        !self.shown_by(item, Source::Api)
    }

    fn shown_by(&self, item: Item, source: Source) -> bool {
        self.findings.iter().any(|finding| finding.item == item && finding.source == source)
    }

    /// What the latest probe says of an item, where the suite's settings are still those that it ran under.
    fn proof(&self, item: Item) -> Option<(&'a ProbeOutcome, &'a Proof)> {
        let probe = self.evidence.probe?;
        let proof = probe.proofs.iter().find(|proof| proof.item == item)?;
        (proof.basis == item.basis(self.suite, self.requestors)).then_some((probe, proof))
    }
}

fn confirmed(word: &Confirmation) -> ItemReport {
    let because = format!("confirmed by {} on {}", word.by, date(word.at));
    ItemReport { item: word.item, state: ItemState::Confirmed, because }
}

/// The day of an instant, in UTC.
fn date(at: Instant) -> String {
    chrono::DateTime::from(at).format("%Y-%m-%d").to_string()
}
