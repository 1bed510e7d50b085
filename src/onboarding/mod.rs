//! The settings that a report suite needs, whether it has them, and whether hits that are sent to it are seen.
//!
//! - In: a suite as the buffer maps it, what Analytics shows of it, the settings file of its admin page,
//!   confirmations by people. Out: the sheet of all its settings; findings, each with the fix; a probe's hits
//!   and what Analytics shows of them; the verdict that the buffer stores.
//! - Guarantees: what is expected of events and eVars follows from the fixed table in [`crate::event`]; a check only
//!   compares, and changes nothing at Adobe; a probe's hits are no Pass events, and our metrics never count them.
//! - Does not know: how its results are printed, drains, locks.
//! - Rules: "Report suite configuration" of Adobe Pass Authentication, "Integrating Adobe Pass Authentication server
//!   side data into Adobe Analytics"; the admin pages of the Analytics guide.

pub mod check;
pub mod probe;
mod reading;
pub mod settings_file;
pub mod sheet;
mod table;
pub mod verdict;
