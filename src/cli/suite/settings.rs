//! The settings of a suite, as `suite add` and `suite set` take them.

use std::num::NonZeroU32;

use clap::ValueEnum;

use crate::cli::failure::CliError;
use crate::suite::{CountForm, EventIds, IdentityKind, OnAmbiguous, OrgId, ReportSuite, Stage};

#[derive(Debug, clap::Args)]
pub(super) struct SettingArgs {
    /// Which value is the visitor of a hit. One kind per suite: Analytics never joins two. Default mvpd_user_id.
    #[arg(long, value_name = "KIND")]
    identity: Option<IdentityArg>,
    /// The Experience Cloud organisation that an ECID belongs to, such as 1234567890ABCDEF12345678@AdobeOrg, or `none`.
    #[arg(long, value_name = "ID", value_parser = org_id)]
    org_id: Option<Unset<OrgId>>,
    /// Whether each hit carries an ID by which Analytics counts it once, however often it is sent. The suite's events must
    /// be set to "Use Event ID" in Admin. Default on.
    #[arg(long, value_name = "on|off")]
    event_ids: Option<Switch>,
    /// Send a count above one as eventN=count:id instead of as single hits. Adobe's pages only imply that form: verify it in
    /// the suite first. Default off.
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    count_with_id: Option<Switch>,
    /// What becomes of an event that may have been counted: sent again, or held for a person. Default retry.
    #[arg(long, value_name = "POLICY")]
    on_ambiguous: Option<AmbiguousArg>,
    /// Hits per second, over all lanes; 0 is no limit. Default 0.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// What the suite is for. A probe writes into a development suite without asking. Default production.
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageArg>,
}

/// A value, or its explicit absence.
#[derive(Debug, Clone)]
pub(super) enum Unset<T> {
    Set(T),
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum IdentityArg {
    /// The MVPD User ID as visitorID, as the integration prescribes.
    MvpdUserId,
    /// The Experience Cloud ID in visitor_id.
    Ecid,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AmbiguousArg {
    /// It is sent again.
    Retry,
    /// It is held: passbridge held list.
    Hold,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StageArg {
    /// For trying things.
    Development,
    /// People read its numbers.
    Production,
}

fn org_id(text: &str) -> Result<Unset<OrgId>, crate::suite::SuiteError> {
    if text == "none" { Ok(Unset::None) } else { text.parse().map(Unset::Set) }
}

impl SettingArgs {
    /// Refuses ECIDs of nobody knows which organisation: Adobe may not tell whose they are. `none` has to be said.
    pub(super) fn refuse_unknown_organisation(&self, suite: &ReportSuite) -> Result<(), CliError> {
        if self.identity.is_none() || self.org_id.is_some() {
            return Ok(());
        }
        match (suite.form.identity, &suite.form.org_id) {
            (IdentityKind::Ecid, None) => Err(CliError::Refused {
                what: "--identity ecid needs the organisation that the Experience Cloud IDs belong to"
                    .to_owned(),
                advice: "add --org-id ID@AdobeOrg, with the ID of Admin > Company Settings".to_owned(),
            }),
            (IdentityKind::Ecid | IdentityKind::MvpdUserId, _) => Ok(()),
        }
    }

    /// The suite with what was named changed.
    pub(super) fn apply(&self, mut suite: ReportSuite) -> ReportSuite {
        if let Some(identity) = self.identity {
            suite.form.identity = match identity {
                IdentityArg::MvpdUserId => IdentityKind::MvpdUserId,
                IdentityArg::Ecid => IdentityKind::Ecid,
            };
        }
        if let Some(org_id) = &self.org_id {
            suite.form.org_id = match org_id {
                Unset::Set(org_id) => Some(org_id.clone()),
                Unset::None => None,
            };
        }
        if let Some(event_ids) = self.event_ids {
            suite.form.event_ids = if event_ids == Switch::On { EventIds::On } else { EventIds::Off };
        }
        if let Some(count_with_id) = self.count_with_id {
            let is_on = count_with_id == Switch::On;
            suite.form.count_form = if is_on { CountForm::CountWithId } else { CountForm::SingleHits };
        }
        if let Some(on_ambiguous) = self.on_ambiguous {
            suite.on_ambiguous = match on_ambiguous {
                AmbiguousArg::Retry => OnAmbiguous::Retry,
                AmbiguousArg::Hold => OnAmbiguous::Hold,
            };
        }
        if let Some(rate) = self.rate {
            suite.hits_per_second = NonZeroU32::new(rate);
        }
        if let Some(stage) = self.stage {
            suite.stage = match stage {
                StageArg::Development => Stage::Development,
                StageArg::Production => Stage::Production,
            };
        }
        suite
    }
}
