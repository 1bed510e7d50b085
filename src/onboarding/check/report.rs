//! The result of a check: what was compared, and the state of each item.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::Evidence;
use crate::confirmation::Item;
use crate::event::Instant;
use crate::suite::{ReportSuite, Rsid};
use crate::word::words;

words! {
    /// How bad a finding is; the worst first.
    #[derive(PartialOrd, Ord)]
    pub enum Severity {
        /// Analytics records no hit at all.
        Blocks = "blocks",
        /// Numbers are lost or wrong.
        Wrong = "wrong",
        /// A known trap: numbers may be misread.
        Warning = "warning",
        /// No source shows the setting, so a person has to look.
        Confirm = "confirm",
        Ok = "ok",
    }

    /// Where a finding comes from.
    pub enum Source {
        Api = "api",
        File = "file",
        Probe = "probe",
        Passbridge = "passbridge",
        Nobody = "nobody",
    }

    /// The state of an item.
    pub enum ItemState {
        /// A source shows that the item is right.
        Shown = "shown",
        Proved = "proved",
        Confirmed = "confirmed",
        /// The item does not matter with these settings of the suite.
        NotNeeded = "not_needed",
        /// The item is right or not needed, but has a warning that nobody has confirmed.
        Warned = "warned",
        Wrong = "wrong",
        Open = "open",
    }
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub item: Item,
    pub severity: Severity,
    /// The subject: `suite`, `event7`, `eVar3`.
    pub subject: String,
    /// The setting of the subject, in the words of the admin page.
    pub setting: &'static str,
    pub expected: String,
    pub found: String,
    pub source: Source,
    /// What to do; empty if the setting is right.
    pub fix: String,
}

impl Finding {
    pub(super) fn new(
        item: Item,
        subject: &str,
        setting: &'static str,
        [expected, found]: [&str; 2],
        source: Source,
    ) -> Finding {
        let (subject, expected, found) = (subject.to_owned(), expected.to_owned(), found.to_owned());
        let (severity, fix) = (Severity::Ok, String::new());
        Finding { item, severity, subject, setting, expected, found, source, fix }
    }

    pub(super) fn of_suite(item: Item, texts: [&str; 2], source: Source) -> Finding {
        Finding::new(item, "suite", item.about().title, texts, source)
    }

    /// The finding unchanged if `is_right`, otherwise with this severity and this fix.
    pub(super) fn unless(self, is_right: bool, severity: Severity, fix: impl Into<String>) -> Finding {
        if is_right { self } else { self.but(severity, fix) }
    }

    pub(super) fn but(self, severity: Severity, fix: impl Into<String>) -> Finding {
        Finding { severity, fix: fix.into(), ..self }
    }
}

/// The state of an item, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemReport {
    pub item: Item,
    pub state: ItemState,
    pub because: String,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub rsid: Rsid,
    /// The suite's name in the API, or else in the settings file.
    pub name: Option<String>,
    pub requestors: Vec<String>,
    pub items: Vec<ItemReport>,
    /// Everything that was compared, the worst first.
    pub findings: Vec<Finding>,
    /// Commands that may settle open items, each with the items.
    pub hints: Vec<String>,
    /// The time of the oldest probe or settings file that an item needs as proof; `None` if no item needs one.
    pub proved_at: Option<Instant>,
    /// Why a proof no longer counts.
    pub void: Option<String>,
}

impl CheckReport {
    /// Whether something keeps hits from being recorded, or makes numbers wrong.
    pub fn is_wrong(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity <= Severity::Wrong)
    }

    /// The items that nothing shows to be right, and those with a warning that nobody confirmed.
    pub fn open(&self) -> impl Iterator<Item = Item> {
        let is_open = |report: &&ItemReport| matches!(report.state, ItemState::Open | ItemState::Warned);
        self.items.iter().filter(is_open).map(|report| report.item)
    }

    /// The open items, and those that are wrong.
    pub fn unsettled(&self) -> impl Iterator<Item = Item> {
        let wrong = self.items.iter().filter(|report| report.state == ItemState::Wrong);
        self.open().chain(wrong.map(|report| report.item))
    }

    /// Why hits are known to be lost; empty if they are not.
    pub fn blocks(&self) -> Vec<String> {
        let worst = self.findings.iter().filter(|finding| finding.severity == Severity::Blocks);
        worst.map(|Finding { setting, found, .. }| format!("{setting}: {found}")).collect()
    }
}

pub(super) struct Check<'a> {
    pub(super) suite: &'a ReportSuite,
    pub(super) requestors: &'a [String],
    pub(super) evidence: Evidence<'a>,
    pub(super) findings: Vec<Finding>,
    /// How many settings of each item a source showed.
    pub(super) shown: BTreeMap<Item, usize>,
    pub(super) proved_at: Option<Instant>,
    pub(super) void: Option<String>,
}

impl Check<'_> {
    pub(super) fn saw(&mut self, item: Item) {
        *self.shown.entry(item).or_default() += 1;
    }

    pub(super) fn show(&mut self, finding: Finding) {
        self.saw(finding.item);
        self.findings.push(finding);
    }
}

/// What the API says of a setting, otherwise what the file says; an empty text says nothing.
pub(super) fn first<'a>(api: Option<&'a str>, file: Option<&'a str>) -> Option<(&'a str, Source)> {
    let api = api.filter(|text| !text.is_empty()).map(|text| (text, Source::Api));
    api.or_else(|| file.filter(|text| !text.is_empty()).map(|text| (text, Source::File)))
}
