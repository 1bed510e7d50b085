//! `suite list` and `suite show`.

use std::fmt;

use serde::Serialize;

use crate::buffer::{Buffer, SuiteListing};
use crate::cli::failure::CliError;
use crate::cli::table::Table;
use crate::suite::{CountForm, EventIds, IdentityKind, OnAmbiguous, Rsid, SuiteState};

/// Every suite.
#[derive(Debug, Serialize)]
pub(super) struct SuitesReport {
    suites: Vec<SuiteListing>,
}

impl fmt::Display for SuitesReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suites.is_empty() {
            return writeln!(
                out,
                "no report suites yet: {}",
                crate::cli::hint::complete("passbridge suite add --help")
            );
        }
        let mut table = Table::new(&[
            "rsid",
            "state",
            "identity",
            "event ids",
            "in doubt",
            "collection host",
            "requestors",
        ]);
        for SuiteListing { suite, requestors } in &self.suites {
            let form = &suite.form;
            table.row(&[
                &form.rsid,
                &state(suite.state),
                &identity(form.identity),
                &event_ids(form.event_ids),
                &on_ambiguous(suite.on_ambiguous),
                &suite.collection_url,
                &names(requestors),
            ]);
        }
        table.fmt(out)
    }
}

/// One suite.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct SuiteReport(SuiteListing);

impl fmt::Display for SuiteReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SuiteListing { suite, requestors } = &self.0;
        let rate =
            suite.hits_per_second.map_or("no limit".to_owned(), |rate| format!("{rate} hits per second"));
        let org_id = suite.form.org_id.as_ref().map_or("none", |org_id| org_id.as_str());
        writeln!(out, "report suite     {} ({})", suite.form.rsid, state(suite.state))?;
        writeln!(out, "requestors       {}", names(requestors))?;
        writeln!(out, "collection host  {}", suite.collection_url)?;
        writeln!(out, "identity         {}", identity(suite.form.identity))?;
        writeln!(out, "organisation     {org_id}")?;
        writeln!(out, "event ids        {}", event_ids(suite.form.event_ids))?;
        writeln!(out, "counts above 1   {}", count_form(suite.form.count_form))?;
        writeln!(out, "in doubt         {}", on_ambiguous(suite.on_ambiguous))?;
        writeln!(out, "rate             {rate}")
    }
}

pub(super) fn all(buffer: &Buffer) -> Result<SuitesReport, CliError> {
    Ok(SuitesReport { suites: buffer.suites()? })
}

pub(super) fn one(buffer: &Buffer, rsid: &Rsid) -> Result<SuiteReport, CliError> {
    Ok(SuiteReport(buffer.suite(rsid)?))
}

/// Names in a row, or that there are none.
pub(super) fn names(requestors: &[String]) -> String {
    if requestors.is_empty() { "none".to_owned() } else { requestors.join(", ") }
}

fn state(state: SuiteState) -> &'static str {
    match state {
        SuiteState::Active => "active",
        SuiteState::Paused => "paused",
    }
}

fn identity(identity: IdentityKind) -> &'static str {
    match identity {
        IdentityKind::MvpdUserId => "mvpd_user_id",
        IdentityKind::Ecid => "ecid",
    }
}

fn event_ids(event_ids: EventIds) -> &'static str {
    match event_ids {
        EventIds::On => "on",
        EventIds::Off => "off",
    }
}

fn count_form(form: CountForm) -> &'static str {
    match form {
        CountForm::SingleHits => "as single hits",
        CountForm::CountWithId => "as eventN=count:id",
    }
}

fn on_ambiguous(policy: OnAmbiguous) -> &'static str {
    match policy {
        OnAmbiguous::Retry => "retry",
        OnAmbiguous::Hold => "hold",
    }
}
