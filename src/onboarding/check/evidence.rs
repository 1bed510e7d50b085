//! What a check is made from: what sources showed of a suite, people's confirmations, and what a probe saw.
//!
//! What a source showed is valid until the source shows something else. An item that only a settings file
//! shows to be right counts as right for the proof age. An item that a file showed to be wrong counts as
//! wrong until a newer confirmation or probe says that it is right; until then a suite that loses hits stays blocked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::analytics::{EvarFacts, EventFacts, SuiteFacts};
use crate::confirmation::Confirmation;
use crate::event::Instant;
use crate::onboarding::probe::ProbeOutcome;
use crate::onboarding::settings_file::{Field, SettingsFile};

/// What the Analytics 2.0 API shows of a suite: its settings, and its enabled eVars and events by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiSettings {
    /// `None` if there is no suite with this ID, or if these credentials may not see it.
    pub suite: Option<SuiteFacts>,
    pub evars: BTreeMap<u16, EvarFacts>,
    pub events: BTreeMap<u16, EventFacts>,
}

/// What the sources showed of a suite, and when. A source that has shown nothing is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    pub checked_at: Option<Instant>,
    pub api: Option<Dated<ApiSettings>>,
    /// Since when the API does not show the suite; `None` if the API shows it or was never asked.
    pub invisible_at: Option<Instant>,
    pub file: Option<Dated<SettingsFile>>,
    /// When a source last showed other settings than before.
    pub changed_at: Option<Instant>,
}

/// A reading of a source, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated<T> {
    pub at: Instant,
    pub read: T,
}

impl Seen {
    pub fn add_api(&mut self, api: ApiSettings, now: Instant) {
        self.checked_at = Some(now);
        if api.suite.is_none() {
            self.invisible_at.get_or_insert(now);
            return;
        }
        self.invisible_at = None;
        self.note_change(self.api.as_ref().is_some_and(|known| known.read != api), now);
        self.api = Some(Dated { at: now, read: api });
    }

    pub fn add_file(&mut self, file: SettingsFile, now: Instant) {
        self.checked_at = Some(now);
        // Rows that were not understood are not compared and may be many, so they are not stored.
        let file = SettingsFile { other_rows: Vec::new(), ..file };
        self.note_change(self.file.as_ref().is_some_and(|known| known.read != file), now);
        self.file = Some(Dated { at: now, read: file });
    }

    fn note_change(&mut self, is_changed: bool, now: Instant) {
        if is_changed {
            self.changed_at = Some(now);
        }
    }
}

/// Everything that a check is made from, except the suite itself.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What the API and the settings file showed, now or earlier.
    pub seen: &'a Seen,
    pub confirmations: &'a [Confirmation],
    /// The last probe that was read back, if any.
    pub probe: Option<&'a ProbeOutcome>,
    /// Whether Adobe ever answered SUCCESS to events for the suite.
    pub has_delivered: bool,
    pub now: Instant,
    /// How long a proof counts.
    pub proof_age: Duration,
}

impl<'a> Evidence<'a> {
    /// The settings from the API, if it shows the suite.
    pub(super) fn api(&self) -> Option<&'a ApiSettings> {
        self.seen.api.as_ref().filter(|_| self.seen.invisible_at.is_none()).map(|api| &api.read)
    }

    pub(super) fn facts(&self) -> Option<&'a SuiteFacts> {
        self.api().and_then(|api| api.suite.as_ref())
    }

    pub(super) fn file(&self) -> Option<&'a SettingsFile> {
        self.seen.file.as_ref().map(|file| &file.read)
    }

    pub(super) fn row(&self, field: Field) -> Option<&'a str> {
        self.file().and_then(|file| file.suite.get(field))
    }

    /// Why a probe proves nothing any more; `None` while its proofs are valid.
    pub(super) fn void(&self, probe: &ProbeOutcome) -> Option<String> {
        match self.seen.changed_at {
            Some(at) if at > probe.started_at => {
                Some(format!("the suite's settings were seen to have changed on {}", at.to_the_day()))
            }
            _ => self.aged(probe.read_at),
        }
    }

    /// Why a proof from `proved_at` is not valid any more; `None` while it is valid.
    pub(super) fn aged(&self, proved_at: Instant) -> Option<String> {
        let days = self.proof_age.as_secs() / 86_400;
        proved_at.is_older(self.now, self.proof_age).then(|| format!("it is older than {days} days"))
    }
}
