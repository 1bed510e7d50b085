//! `suite export` and `suite import`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::buffer::{Buffer, SuiteListing};
use crate::cli::{Context, Exit, Failure, input, may_replace, output, refused, undisturbed};
use crate::confirmation::Confirmation;
use crate::event::RequestorId;
use crate::onboarding::verdict;
use crate::suite::{ReportSuite, Rsid, SuiteState};
use crate::whole_file::{self, Readers};

/// The longest export, in bytes: about a hundred thousand suites.
const EXPORT_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export<T> {
    suites: Vec<T>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExportedSuite {
    #[serde(flatten)]
    suite: ReportSuite,
    requestors: Vec<String>,
    #[serde(default)]
    confirmations: Vec<Confirmation>,
}

impl From<SuiteListing> for ExportedSuite {
    fn from(listing: SuiteListing) -> ExportedSuite {
        let SuiteListing { mut suite, requestors, confirmations, verdict: _ } = listing;
        // The verdict is not exported. An import must not unblock a suite, so a blocked suite is exported as paused.
        if suite.state == SuiteState::Blocked {
            suite.state = SuiteState::Paused;
        }
        ExportedSuite { suite, requestors, confirmations }
    }
}

pub(super) fn export(file: Option<&Path>, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let suites: Vec<ExportedSuite> = buffer.suites()?.into_iter().map(ExportedSuite::from).collect();
    let count = suites.len();
    let mut text =
        serde_json::to_string_pretty(&Export { suites }).expect("texts and numbers always serialise");
    text.push('\n');
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return output::bytes(text.as_bytes()).map(|()| Exit::Done);
    };
    may_replace(&settings, path)?;
    // Confirmations name people, so only the owner may read the file.
    let written = undisturbed(|| whole_file::write_new(path, text.as_bytes(), Readers::Owner))?;
    written.map_err(Failure::writing_new(path))?;
    let report = json!({ "path": path, "suites": count });
    context.answer(&report, format_args!("{count} suites written to {}", path.display()))
}

pub(super) fn import(path: &Path, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let advice = "write one with: passbridge suite export";
    let text = input::read(path, EXPORT_BYTES_MAX, advice)?;
    let refuse = |why: String| refused(format!("{path:?} is no export of suites: {why}"), advice);
    let Export::<Value> { suites } =
        serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    // All suites are read before any is changed. So after a refusal, the same import can be repeated.
    let mut ready = Vec::with_capacity(suites.len());
    for written in suites {
        let refuse = |why: String| refuse(format!("suite {}: {why}", written["rsid"]));
        let read = ExportedSuite::deserialize(&written).map_err(|error| refuse(error.to_string()))?;
        let understood = serde_json::to_value(&read).expect("texts and numbers always serialise");
        let mut keys = written.as_object().into_iter().flatten().map(|(key, _)| key);
        if let Some(key) = keys.find(|key| understood.get(key).is_none()) {
            return Err(refuse(format!("no suite has {key:?}")));
        }
        let ExportedSuite { suite, requestors, confirmations } = read;
        if suite.state == SuiteState::Blocked {
            return Err(refuse("a verdict blocks a suite, never an export".to_owned()));
        }
        let requestors = requestors.iter().map(|name| RequestorId::new(name)).collect::<Result<Vec<_>, _>>();
        ready.push((suite, requestors.map_err(|error| refuse(error.to_string()))?, confirmations));
    }
    let (suites, mapped) =
        (ready.len(), ready.iter().map(|(_, requestors, _)| requestors.len()).sum::<usize>());
    for (suite, requestors, confirmations) in ready {
        let rsid = suite.form.rsid.clone();
        buffer.add_suite(suite, requestors)?;
        confirm(&buffer, &rsid, confirmations)?;
        verdict::renew(&buffer, &rsid, settings.config.analytics.proof_age())?;
    }
    let report = json!({ "suites": suites, "requestors": mapped });
    context.answer(&report, format_args!("{suites} suites with {mapped} requestors are in place"))
}

/// Stores the confirmations of an export. For each item, the later confirmation stays.
fn confirm(buffer: &Buffer, rsid: &Rsid, mut confirmations: Vec<Confirmation>) -> Result<(), Failure> {
    let known = buffer.suite(rsid)?.confirmations;
    confirmations.retain(|word| !known.iter().any(|own| own.item == word.item && own.at >= word.at));
    Ok(buffer.confirm(rsid, confirmations)?)
}
