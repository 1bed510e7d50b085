//! The report suite: where a requestor's hits are sent, and with which settings.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Instant, VisitorRules};
use crate::word::{serde_as_text, words};

/// The longest report suite ID, in bytes (Admin > Report Suites > New Report Suite).
pub const RSID_BYTES_MAX: usize = 40;

/// How the ID of a virtual report suite begins: `vrs_COMPANY_NAME` ("Virtual report suites" in the Analytics guide).
const VIRTUAL_PREFIX: &str = "vrs_";

/// A report suite's ID: 1 to 40 ASCII letters, digits or periods.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rsid(Arc<str>);

impl FromStr for Rsid {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Rsid, SuiteError> {
        if text.get(..VIRTUAL_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(VIRTUAL_PREFIX)) {
            return Err(SuiteError::VirtualRsid(text.to_owned()));
        }
        let fits = (1..=RSID_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Ok(Rsid(text.into()));
        }
        Err(SuiteError::BadRsid(text.to_owned()))
    }
}

/// The collection host of a suite: `https://host[:port]`, or `http` to a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionUrl {
    scheme: Scheme,
    /// Lower case; an IPv6 address without its brackets.
    host: Arc<str>,
    port: u16,
}

words! {
    /// The scheme of a collection host.
    #[derive(PartialOrd, Ord)]
    pub enum Scheme {
        Https = "https",
        /// Without TLS, on loopback only, because MVPD User IDs are personal data.
        Http = "http",
    }
}

impl CollectionUrl {
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: the one in the URL, or the default of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header. Names the port only if it is not the default of the scheme.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Http => 80,
        }
    }
}

impl FromStr for CollectionUrl {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<CollectionUrl, SuiteError> {
        let refuse = |why| SuiteError::BadCollectionUrl { url: text.to_owned(), why };
        let uri: http::Uri = text.parse().map_err(|_| refuse("it is no URL"))?;
        let scheme: Option<Scheme> = uri.scheme_str().and_then(|scheme| scheme.parse().ok());
        let scheme = scheme.ok_or_else(|| refuse("it must begin with https://"))?;
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it must not carry a user name or password"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
            return Err(refuse("give the host alone; passbridge adds the path /b/ss//6"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let port = match authority.port_u16() {
            Some(port) if port > 0 => port,
            None if authority.as_str() == authority.host() => scheme.default_port(),
            _ => return Err(refuse("its port is not between 1 and 65535")),
        };
        if scheme == Scheme::Http && !is_loopback(&host) {
            return Err(refuse(
                "plain http is only for a collector on this host; MVPD User IDs are personal data: use https",
            ));
        }
        Ok(CollectionUrl { scheme, host: host.into(), port })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for CollectionUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme, self.authority())
    }
}

/// An Experience Cloud organisation, such as `1234567890ABCDEF12345678@AdobeOrg`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OrgId(Arc<str>);

impl FromStr for OrgId {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<OrgId, SuiteError> {
        let id = text.strip_suffix("@AdobeOrg").unwrap_or("");
        if id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(OrgId(text.into()));
        }
        Err(SuiteError::BadOrgId(text.to_owned()))
    }
}

/// Implements the IDs that wrap a checked text.
macro_rules! ids {
    ($($name:ident),*) => {$(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    )*};
}

ids!(Rsid, OrgId);
serde_as_text!(Rsid, CollectionUrl, OrgId);

words! {
    /// Which value of an event identifies the visitor. Analytics never joins visitors of different kinds.
    #[derive(Default)]
    pub enum IdentityKind {
        /// The MVPD User ID as `visitorID`, as the integration prescribes.
        #[default]
        MvpdUserId = "mvpd_user_id",
        /// The property `visitor_id`, an Experience Cloud ID, as `marketingCloudVisitorID`.
        Ecid = "ecid",
    }

    /// Whether each hit carries an ID by which Analytics counts it once.
    #[derive(Default)]
    pub enum EventIds {
        /// Analytics counts a repeated hit once, if the events of the suite are set to "Use Event ID".
        #[default]
        On = "on",
        Off = "off",
    }

    /// How an event with a count above one is sent if event IDs are on.
    #[derive(Default)]
    pub enum CountForm {
        /// As single hits, each with its own serial.
        #[default]
        SingleHits = "single_hits",
        /// As `eventN=count:serial`. Adobe's pages only imply this form, so verify it in the suite first.
        CountWithId = "count_with_id",
    }

    /// What to do with an event that Analytics may already have counted.
    #[derive(Default)]
    pub enum OnAmbiguous {
        #[default]
        Retry = "retry",
        /// The event is held until a person decides.
        Hold = "hold",
    }

    /// How the live events of a suite reach Adobe.
    #[derive(Default)]
    pub enum LiveRoute {
        /// As single hits.
        #[default]
        Dia = "dia",
        /// In files of the Bulk Data Insertion API.
        Bulk = "bulk",
        /// In files while many events wait, else as single hits.
        Auto = "auto",
    }

    /// Whether a suite's events are sent.
    #[derive(Default)]
    pub enum SuiteState {
        #[default]
        Active = "active",
        Paused = "paused",
        /// The events wait in the buffer, because Analytics is known to lose the suite's hits. Only a verdict sets
        /// this state; an export never contains it.
        Blocked = "blocked",
    }

    /// What a suite is for.
    #[derive(Default)]
    pub enum Stage {
        /// For tests: probes may send hits to it.
        Development = "development",
        /// Real reports use it, so a probe needs `--production`.
        #[default]
        Production = "production",
    }
}

/// The result of the last check and probe of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// When the suite was last checked or probed.
    pub checked_at: Instant,
    /// How many items are wrong, have a warning or are unknown.
    pub open: u32,
    /// Why Analytics is known to lose the suite's hits. Because of this, the events wait in the buffer.
    pub blocks: Option<String>,
    /// Why hits are lost, if a person overruled this reason: the events are sent nevertheless.
    pub overruled: Option<String>,
    /// The time of the oldest proof on which an item rests.
    pub proved_at: Option<Instant>,
    /// Why a proof no longer counts.
    pub void: Option<String>,
}

impl Verdict {
    /// Why Analytics is known to lose the suite's hits, even if a person overruled this reason.
    pub fn lost(&self) -> Option<&str> {
        self.blocks.as_ref().or(self.overruled.as_ref()).map(String::as_str)
    }
}

/// Whether a suite is ready for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Readiness {
    /// The suite was never checked. Its events are sent.
    Unchecked,
    /// This many items are wrong, have a warning or are unknown.
    Open {
        items: u32,
    },
    Blocks,
    /// Analytics is known to lose the hits, but a person decided to send the events nevertheless.
    Overruled,
    /// Every item is shown, proved or confirmed.
    Ready,
    /// As `Ready`, but a proof is older than the age limit.
    ProofAged {
        proved_at: Instant,
    },
}

impl Readiness {
    /// What a verdict means now. A proof is valid for `proof_age`.
    pub fn of(verdict: Option<&Verdict>, now: Instant, proof_age: Duration) -> Readiness {
        match verdict {
            None => Readiness::Unchecked,
            Some(Verdict { blocks: Some(_), .. }) => Readiness::Blocks,
            Some(Verdict { overruled: Some(_), .. }) => Readiness::Overruled,
            Some(Verdict { open, .. }) if *open > 0 => Readiness::Open { items: *open },
            Some(Verdict { proved_at: Some(proved_at), .. }) if proved_at.is_older(now, proof_age) => {
                Readiness::ProofAged { proved_at: *proved_at }
            }
            Some(_) => Readiness::Ready,
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Readiness::Unchecked => out.write_str("unchecked"),
            Readiness::Open { items } => write!(out, "open {items}"),
            Readiness::Blocks => out.write_str("blocks"),
            Readiness::Overruled => out.write_str("overruled"),
            Readiness::Ready => out.write_str("ready"),
            Readiness::ProofAged { .. } => out.write_str("proof aged"),
        }
    }
}

/// The settings that decide how a hit is made. The first attempt by which a hit may have been counted fixes them for
/// its event: every repeat has the same form, even if the settings of the suite change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HitForm {
    pub rsid: Rsid,
    #[serde(default)]
    pub identity: IdentityKind,
    #[serde(default)]
    pub org_id: Option<OrgId>,
    #[serde(default)]
    pub event_ids: EventIds,
    #[serde(default)]
    pub count_form: CountForm,
    /// How the visitor ID is derived. A new suite has the latest rules; users cannot choose them.
    #[serde(skip)]
    pub visitor_rules: VisitorRules,
}

/// A report suite with its settings, as the buffer stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSuite {
    #[serde(flatten)]
    pub form: HitForm,
    pub collection_url: CollectionUrl,
    #[serde(default)]
    pub on_ambiguous: OnAmbiguous,
    /// Hits per second, over all lanes; `None` means no limit.
    #[serde(default, rename = "rate")]
    pub hits_per_second: Option<NonZeroU32>,
    #[serde(default)]
    pub state: SuiteState,
    /// The stage of the suite. Has no effect on its hits.
    #[serde(default)]
    pub stage: Stage,
    #[serde(default)]
    pub route: LiveRoute,
}

impl ReportSuite {
    /// An active suite with every policy at its default.
    pub fn with_defaults(rsid: Rsid, collection_url: CollectionUrl) -> ReportSuite {
        ReportSuite {
            form: HitForm::with_defaults(rsid),
            collection_url,
            on_ambiguous: OnAmbiguous::default(),
            hits_per_second: None,
            state: SuiteState::default(),
            stage: Stage::default(),
            route: LiveRoute::default(),
        }
    }

    /// The first setting in which the other suite differs. The state does not count.
    pub fn differs_in(&self, other: &ReportSuite) -> Option<&'static str> {
        let differs = [
            ("collection URL", self.collection_url != other.collection_url),
            ("identity", self.form.identity != other.form.identity),
            ("organisation ID", self.form.org_id != other.form.org_id),
            ("event IDs setting", self.form.event_ids != other.form.event_ids),
            ("count form", self.form.count_form != other.form.count_form),
            ("policy for doubt", self.on_ambiguous != other.on_ambiguous),
            ("rate", self.hits_per_second != other.hits_per_second),
            ("stage", self.stage != other.stage),
            ("route", self.route != other.route),
        ];
        differs.into_iter().find(|(_, differs)| *differs).map(|(setting, _)| setting)
    }
}

impl HitForm {
    /// Whether both forms make the same visitors.
    pub fn has_visitors_of(&self, other: &HitForm) -> bool {
        self.identity == other.identity && self.org_id == other.org_id
    }

    /// The kind of identity and, for Experience Cloud IDs, the organisation.
    pub fn identity_text(&self) -> String {
        match (self.identity, &self.org_id) {
            (IdentityKind::Ecid, Some(org_id)) => format!("ecid of {org_id}"),
            (identity, _) => identity.to_string(),
        }
    }

    pub fn with_defaults(rsid: Rsid) -> HitForm {
        HitForm {
            rsid,
            identity: IdentityKind::default(),
            org_id: None,
            event_ids: EventIds::default(),
            count_form: CountForm::default(),
            visitor_rules: VisitorRules::default(),
        }
    }
}

/// Why a suite's setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    #[error(
        "report suite ID {0:?} must be 1 to 40 letters, digits or periods (Admin > Report Suites shows it)"
    )]
    BadRsid(String),
    #[error(
        "{0:?} is the ID of a virtual report suite, which cannot collect: give the report suite that it is a view of (Admin > \
         Report Suites shows it)"
    )]
    VirtualRsid(String),
    #[error("collection URL {url:?}: {why}")]
    BadCollectionUrl { url: String, why: &'static str },
    #[error("organisation ID {0:?} must be 24 letters or digits and @AdobeOrg")]
    BadOrgId(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in [
            "https://c.example.com",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:9/",
            "http://127.8.9.1",
        ] {
            assert!(url.parse::<CollectionUrl>().is_ok(), "{url}");
        }
        for url in [
            "http://c.example.com",
            "ftp://c.example.com",
            "https://",
            "https://c.example.com/b/ss",
            "https://user:secret@c.example.com",
            "https://c.example.com?x",
            "https://c.example.com:0",
            "https://c.example.com:99999",
            "http://127.0.0.1.example.com",
            "c.example.com",
            "",
        ] {
            assert!(url.parse::<CollectionUrl>().is_err(), "{url}");
        }
    }

    #[test]
    fn a_collection_url_prints_in_one_form() {
        for (given, printed) in [
            ("https://C.Example.com:443/", "https://c.example.com"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://localhost:80", "http://localhost"),
        ] {
            assert_eq!(given.parse::<CollectionUrl>().map(|url| url.to_string()), Ok(printed.to_owned()));
        }
    }

    #[test]
    fn a_report_suite_id_is_short_and_plain() {
        let longest = "a".repeat(40);
        for rsid in ["examplersid", "a.b1", longest.as_str()] {
            assert!(rsid.parse::<Rsid>().is_ok(), "{rsid}");
        }
        let too_long = "a".repeat(41);
        for rsid in ["", "a,b", "a b", "a/b", "ä", too_long.as_str()] {
            assert!(rsid.parse::<Rsid>().is_err(), "{rsid}");
        }
    }
}
