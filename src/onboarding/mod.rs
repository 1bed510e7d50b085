//! What a report suite has to be set to.
//!
//! - In: a suite as it is mapped here, or none. Out: a sheet of every setting that it needs, in four forms.
//! - Guarantees: every event, eVar and label comes from the one fixed table; what one form says, the others say.
//! - Does not know: the buffer, Adobe's servers.
//! - Rules: "Report suite configuration" of Adobe Pass Authentication, "Integrating Adobe Pass Authentication server side data into
//!   Adobe Analytics"; the admin pages of the Analytics guide.

pub mod sheet;
