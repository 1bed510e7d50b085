//! The settings of a suite, as `suite add` and `suite set` take them.

use std::num::NonZeroU32;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::words::{explained, words};
use crate::cli::{Failure, refused};
use crate::suite::{CountForm, EventIds, IdentityKind, LiveRoute, OnAmbiguous, OrgId, ReportSuite, Stage};

#[derive(Debug, clap::Args)]
pub(super) struct SettingArgs {
    /// The value that identifies the visitor. Analytics never joins visitors of two kinds. Default mvpd_user_id.
    #[arg(long, value_name = "KIND", value_parser = explained(IDENTITIES))]
    identity: Option<IdentityKind>,
    /// The Experience Cloud organisation that an ECID belongs to, such as 1234567890ABCDEF12345678@AdobeOrg, or `none`.
    #[arg(long, value_name = "ID", value_parser = org_id)]
    org_id: Option<Unset<OrgId>>,
    /// Whether each hit carries an ID by which Analytics counts it once, however often it is sent. The suite's events must
    /// be set to "Use Event ID" in Admin. Default on.
    #[arg(long, value_name = "on|off", value_parser = words::<EventIds>(EventIds::ALL.map(EventIds::as_str)))]
    event_ids: Option<EventIds>,
    /// Send a count above one as eventN=count:id instead of as single hits. Adobe's pages only imply that form: verify it in
    /// the suite first. Default off.
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          value_parser = PossibleValuesParser::new(["on", "off"]).map(|word| word == "on"))]
    count_with_id: Option<bool>,
    /// What to do with an event that may have been counted. Default retry.
    #[arg(long, value_name = "POLICY", value_parser = explained(POLICIES))]
    on_ambiguous: Option<OnAmbiguous>,
    /// Hits per second, over all lanes; 0 is no limit. Default 0.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// What the suite is for. Only for a development suite, `suite probe` needs no --production. Default production.
    #[arg(long, value_name = "STAGE", value_parser = explained(STAGES))]
    stage: Option<Stage>,
    /// How live events are sent: as single hits; in bulk files, which Analytics processes within 20 minutes to 2
    /// hours; or, with `auto`, in files while more than bulk.auto_above_events wait. Default dia.
    #[arg(long, value_name = "dia|bulk|auto", value_parser = words::<LiveRoute>(LiveRoute::ALL.map(LiveRoute::as_str)))]
    via: Option<LiveRoute>,
}

#[derive(Debug, Clone)]
pub(super) enum Unset<T> {
    Set(T),
    None,
}

const IDENTITIES: [(IdentityKind, &str); 2] = [
    (IdentityKind::MvpdUserId, "The MVPD User ID as visitorID, as the integration prescribes"),
    (IdentityKind::Ecid, "The Experience Cloud ID in visitor_id"),
];
const POLICIES: [(OnAmbiguous, &str); 2] =
    [(OnAmbiguous::Retry, "Send it again"), (OnAmbiguous::Hold, "Hold it: passbridge held list")];
const STAGES: [(Stage, &str); 2] =
    [(Stage::Development, "It is for tests"), (Stage::Production, "People read its reports")];

fn org_id(text: &str) -> Result<Unset<OrgId>, crate::suite::SuiteError> {
    if text == "none" { Ok(Unset::None) } else { text.parse().map(Unset::Set) }
}

impl SettingArgs {
    /// Refuses ECIDs without an organisation, because Adobe may not know whose they are; `--org-id none`
    /// allows them. Refuses an organisation without ECIDs, because it would not be sent.
    pub(super) fn refuse_unknown_organisation(&self, suite: &ReportSuite) -> Result<(), Failure> {
        match (suite.form.identity, &suite.form.org_id) {
            (IdentityKind::MvpdUserId, _) if matches!(self.org_id, Some(Unset::Set(_))) => Err(refused(
                format!("--org-id has no effect on {}: its visitors are MVPD User IDs", suite.form.rsid),
                "leave it out; or, if Experience Cloud IDs are meant, add --identity ecid",
            )),
            (IdentityKind::Ecid, None) if self.identity.is_some() && self.org_id.is_none() => Err(refused(
                "--identity ecid needs the organisation that the Experience Cloud IDs belong to",
                "add --org-id ID@AdobeOrg, with the ID of Admin > Company Settings",
            )),
            (IdentityKind::Ecid | IdentityKind::MvpdUserId, _) => Ok(()),
        }
    }

    pub(super) fn apply(&self, mut suite: ReportSuite) -> ReportSuite {
        let form = &mut suite.form;
        form.identity = self.identity.unwrap_or(form.identity);
        if let Some(org_id) = &self.org_id {
            form.org_id = match org_id {
                Unset::Set(org_id) => Some(org_id.clone()),
                Unset::None => None,
            };
        }
        form.event_ids = self.event_ids.unwrap_or(form.event_ids);
        if let Some(is_with_id) = self.count_with_id {
            form.count_form = if is_with_id { CountForm::CountWithId } else { CountForm::SingleHits };
        }
        suite.on_ambiguous = self.on_ambiguous.unwrap_or(suite.on_ambiguous);
        suite.hits_per_second = self.rate.map_or(suite.hits_per_second, NonZeroU32::new);
        suite.stage = self.stage.unwrap_or(suite.stage);
        suite.route = self.via.unwrap_or(suite.route);
        suite
    }
}
