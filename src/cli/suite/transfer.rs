//! `suite export` and `suite import`.

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::suites::Suites;
use crate::buffer::{Buffer, SuiteListing};
use crate::cli::{Context, Exit, Failure, output, refused};
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

#[derive(Serialize)]
struct ExportReport<'a> {
    path: &'a Path,
    suites: usize,
}

#[derive(Serialize)]
struct ImportReport {
    suites: usize,
    requestors: usize,
}

pub(super) fn export(file: Option<&Path>, buffer: &Buffer, context: &Context) -> Result<Exit, Failure> {
    let suites: Vec<ExportedSuite> = buffer.suites()?.into_iter().map(ExportedSuite::from).collect();
    let count = suites.len();
    let mut text =
        serde_json::to_string_pretty(&Export { suites }).expect("texts and numbers always serialise");
    text.push('\n');
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return output::text(&text).map(|()| Exit::Done);
    };
    // Confirmations name the people who gave them.
    whole_file::write_new(path, text.as_bytes(), Readers::Owner).map_err(Failure::writing(path))?;
    context.answer(
        &ExportReport { path, suites: count },
        format_args!("{count} suites written to {}", path.display()),
    )
}

pub(super) fn import(path: &Path, known: &Suites, context: &Context) -> Result<Exit, Failure> {
    let buffer = &known.buffer;
    let read =
        if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let text = read.map_err(Failure::reading(path))?;
    let refuse = |why: String| {
        refused(format!("{path:?} is no export of suites: {why}"), "write one with: passbridge suite export")
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
    let ImportReport { suites, requestors } = report;
    context.answer(&report, format_args!("{suites} suites with {requestors} requestors are in place"))
}

/// Takes over the words of an export. The later word on an item stays.
fn confirm(buffer: &Buffer, rsid: &Rsid, mut confirmations: Vec<Confirmation>) -> Result<(), Failure> {
    let known = buffer.suite(rsid)?.confirmations;
    confirmations.retain(|word| !known.iter().any(|own| own.item == word.item && own.at >= word.at));
    Ok(buffer.confirm(rsid, confirmations)?)
}
