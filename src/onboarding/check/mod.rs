//! Compares a report suite with what the fixed table asks of it.
//!
//! A pure comparison: what Analytics shows of the suite, what its settings file says, what people vouched for and what a probe
//! saw go in, findings come out. What no source shows is a finding too, until somebody vouches for it.

mod evidence;
mod report;
mod settle;
mod suite_settings;
mod variables;

pub use evidence::{ApiSettings, Evidence, Seen};
pub use report::{CheckReport, Finding, ItemReport, ItemState, Severity};
pub use settle::check;
