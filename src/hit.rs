//! The hit: the sanitised values that Adobe receives for one event, before they are written as XML or as a row.

use std::borrow::Cow;

use crate::event::EventKind;
use crate::suite::{OrgId, Rsid};

/// One hit. Its texts are trimmed, short enough, and without control and other characters that XML cannot carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<'a> {
    pub rsid: &'a Rsid,
    /// The event's own time, in whole Unix seconds.
    pub timestamp: i64,
    pub visitor: VisitorIdentity<'a>,
    /// The kind of the event, which gives `linkName` and `pageName`.
    pub kind: EventKind,
    /// The `events` variable: `eventN`, with `=count` and `:serial` where they apply.
    pub events: String,
    pub ip_address: Option<Cow<'a, str>>,
    pub user_agent: Option<Cow<'a, str>>,
    /// The eVars that have a value, in ascending order of their number.
    pub evars: Vec<(u8, Cow<'a, str>)>,
}

/// The one identifier that a hit carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitorIdentity<'a> {
    /// `visitorID`: 1 to 100 ASCII letters and digits.
    VisitorId(Cow<'a, str>),
    /// `marketingCloudVisitorID`: 38 digits, with the organisation if the suite has one.
    Ecid {
        id: &'a str,
        /// Sent as `marketingCloudOrgID`.
        org_id: Option<&'a OrgId>,
    },
}

/// The key of a visitor, whose hits must stay in order: a digest of report suite and identity. It is stored with each
/// delivery, so no release may change how it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VisitorKey(pub u64);

/// What the name of each page begins with. The label of the event's kind follows.
const PAGE_PREFIX: &str = "Adobe Pass: ";

impl Hit<'_> {
    /// The `linkName`. A hit is a custom link, so that it adds no page view.
    pub fn link_name(&self) -> &'static str {
        self.kind.label()
    }

    pub fn page_name(&self) -> String {
        [PAGE_PREFIX, self.link_name()].concat()
    }
}

impl VisitorIdentity<'_> {
    /// The name of the tag or column for this identifier, and its value.
    pub fn tag(&self) -> (&'static str, &str) {
        match self {
            VisitorIdentity::VisitorId(id) => ("visitorID", id),
            VisitorIdentity::Ecid { id, org_id: _ } => ("marketingCloudVisitorID", id),
        }
    }
}
