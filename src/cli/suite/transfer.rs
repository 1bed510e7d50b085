//! `suite export` and `suite import`.

use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Suites;
use crate::buffer::{Buffer, SuiteListing};
use crate::cli::Context;
use crate::cli::failure::CliError;
use crate::cli::output;
use crate::confirmation::Confirmation;
use crate::event::RequestorId;
use crate::suite::{
    CollectionUrl, CountForm, EventIds, HitForm, IdentityKind, OnAmbiguous, OrgId, ReportSuite, Rsid, Stage,
    SuiteState,
};
use crate::whole_file::{self, Readers};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    suites: Vec<ExportedSuite>,
}

/// A suite in an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedSuite {
    rsid: Rsid,
    requestors: Vec<String>,
    collection_url: CollectionUrl,
    #[serde(default)]
    identity: IdentityKind,
    #[serde(default)]
    org_id: Option<OrgId>,
    #[serde(default)]
    event_ids: EventIds,
    #[serde(default)]
    count_form: CountForm,
    #[serde(default)]
    on_ambiguous: OnAmbiguous,
    #[serde(default)]
    rate: Option<NonZeroU32>,
    #[serde(default)]
    state: SuiteState,
    #[serde(default)]
    stage: Stage,
    #[serde(default)]
    confirmations: Vec<Confirmation>,
}

impl From<SuiteListing> for ExportedSuite {
    fn from(listing: SuiteListing) -> ExportedSuite {
        let SuiteListing { suite, requestors, confirmations, verdict: _ } = listing;
        let ReportSuite { form, collection_url, on_ambiguous, hits_per_second, state, stage } = suite;
        let HitForm { rsid, identity, org_id, event_ids, count_form, visitor_rules: _ } = form;
        ExportedSuite {
            rsid,
            requestors,
            collection_url,
            identity,
            org_id,
            event_ids,
            count_form,
            on_ambiguous,
            rate: hits_per_second,
            // The verdict stays here; what would be lost from here would be lost from there.
            state: if state == SuiteState::Blocked { SuiteState::Paused } else { state },
            stage,
            confirmations,
        }
    }
}

impl From<ExportedSuite> for ReportSuite {
    fn from(exported: ExportedSuite) -> ReportSuite {
        let ExportedSuite { rsid, identity, org_id, event_ids, count_form, .. } = exported;
        ReportSuite {
            form: HitForm { identity, org_id, event_ids, count_form, ..HitForm::with_defaults(rsid) },
            collection_url: exported.collection_url,
            on_ambiguous: exported.on_ambiguous,
            hits_per_second: exported.rate,
            state: exported.state,
            stage: exported.stage,
        }
    }
}

#[derive(Debug, Serialize)]
struct ExportReport {
    path: PathBuf,
    suites: usize,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} suites written to {}", self.suites, self.path.display())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ImportReport {
    suites: usize,
    requestors: usize,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} suites with {} requestors are in place", self.suites, self.requestors)
    }
}

pub(super) fn export(file: Option<&Path>, buffer: &Buffer, context: &Context) -> Result<(), CliError> {
    let suites: Vec<ExportedSuite> = buffer.suites()?.into_iter().map(ExportedSuite::from).collect();
    let count = suites.len();
    let mut text =
        serde_json::to_string_pretty(&Export { suites }).expect("texts and numbers always serialise");
    text.push('\n');
    let Some(path) = file else { return output::text(&text) };
    let failed = |source| CliError::File { verb: "write", path: path.to_owned(), source };
    // Confirmations name the people who gave them.
    whole_file::write_new(path, text.as_bytes(), Readers::Owner).map_err(failed)?;
    context.form.report(&ExportReport { path: path.to_owned(), suites: count })
}

pub(super) fn import(path: &Path, known: &Suites) -> Result<ImportReport, CliError> {
    let buffer = &known.buffer;
    let read =
        if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let text = read.map_err(|source| CliError::File { verb: "read", path: path.to_owned(), source })?;
    let refuse = |why: String| CliError::Refused {
        what: format!("{path:?} is no export of suites: {why}"),
        advice: "write one with: passbridge suite export".to_owned(),
    };
    let Export { suites } = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let mut report = ImportReport { suites: suites.len(), requestors: 0 };
    // Everything is read before anything is changed; a refusal half way leaves whole suites, and the same import goes on.
    let mut ready = Vec::with_capacity(suites.len());
    for mut exported in suites {
        if exported.state == SuiteState::Blocked {
            return Err(refuse("a verdict blocks a suite, never an export".to_owned()));
        }
        let confirmations = std::mem::take(&mut exported.confirmations);
        let requestors = exported.requestors.iter().map(|name| RequestorId::new(name));
        let requestors: Vec<RequestorId> =
            requestors.collect::<Result<_, _>>().map_err(|error| refuse(error.to_string()))?;
        report.requestors += requestors.len();
        ready.push((ReportSuite::from(exported), requestors, confirmations));
    }
    for (suite, requestors, confirmations) in ready {
        let rsid = suite.form.rsid.clone();
        buffer.add_suite(suite, requestors)?;
        confirm(buffer, &rsid, confirmations)?;
        known.renew(&rsid)?;
    }
    Ok(report)
}

/// Takes over the words of an export. The later word on an item stays.
fn confirm(buffer: &Buffer, rsid: &Rsid, mut confirmations: Vec<Confirmation>) -> Result<(), CliError> {
    let known = buffer.suite(rsid)?.confirmations;
    confirmations.retain(|word| !known.iter().any(|own| own.item == word.item && own.at >= word.at));
    Ok(buffer.confirm(rsid, confirmations)?)
}
