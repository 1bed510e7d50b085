//! The hit: all that Adobe will receive of one event, sanitised, before it is written as XML or as a row.

use std::borrow::Cow;

use crate::event::EventKind;
use crate::suite::{OrgId, Rsid};

/// One hit. Every text in it is free of control characters and of what XML cannot carry, trimmed, and short enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<'a> {
    pub rsid: &'a Rsid,
    /// The event's own time, in whole Unix seconds.
    pub timestamp: i64,
    pub visitor: VisitorIdentity<'a>,
    /// The kind of its event: gives `linkName` and `pageName`.
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
    /// `marketingCloudVisitorID`: 38 digits, with the organisation where the suite has one.
    Ecid {
        id: &'a str,
        /// Sent as `marketingCloudOrgID`.
        org_id: Option<&'a OrgId>,
    },
}

/// Whose hits must stay in order: a digest of report suite and identity that picks the lane. Stored with deliveries, so it
/// never changes between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VisitorKey(pub u64);

impl Hit<'_> {
    /// The name of the custom link that the hit is, so that it adds no page view.
    pub fn link_name(&self) -> &'static str {
        self.kind.label()
    }
}

impl VisitorIdentity<'_> {
    /// The name of the tag or column that carries it, and its value.
    pub fn tag(&self) -> (&'static str, &str) {
        match self {
            VisitorIdentity::VisitorId(id) => ("visitorID", id),
            VisitorIdentity::Ecid { id, org_id: _ } => ("marketingCloudVisitorID", id),
        }
    }
}
