//! Compares a report suite with what the fixed table asks of it.
//!
//! This is a pure comparison. It takes what Analytics shows of the suite, what its settings file says, what people
//! confirmed and what a probe saw, and returns findings. A setting that no source shows is a finding too, until
//! somebody confirms it or a probe proves it.

mod evidence;
mod report;
mod settle;
mod suite_settings;
mod variables;

pub use evidence::{ApiSettings, Evidence, Seen};
pub use report::{CheckReport, Finding, ItemReport, ItemState, Severity};
pub use settle::check;
