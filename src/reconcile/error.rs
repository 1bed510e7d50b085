use crate::buffer::BufferError;
use crate::suite::Rsid;
use crate::web::ApiError;

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A document is no ESM report, or cannot be compared.
    #[error("the ESM report {path:?} {what}")]
    Report { path: String, what: String },
    /// Adobe does not know the suite, or does not show it.
    #[error("Adobe Analytics shows these credentials no report suite {0}")]
    NoSuite(Rsid),
    /// A virtual suite shows the data of its parent, perhaps only a part of it.
    #[error("{rsid} is a virtual report suite: its data is that of {parent}")]
    VirtualSuite { rsid: Rsid, parent: Rsid },
    #[error("the time zone of report suite {rsid} is {zone:?}, which is no IANA time zone")]
    Zone { rsid: Rsid, zone: String },
    #[error("esm.group_by {0:?} tells no MVPDs apart")]
    NoMvpd(String),
}
