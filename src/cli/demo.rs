//! `demo`: shows a whole drain with a local replacement for Adobe.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::code::Code;
use super::ingest::IngestReport;
use super::pass::{DrainReport, Pass};
use super::{Context, Exit, Failure, Settings, Table, options, settings, until_stopped};
use crate::buffer::{Buffer, RequestorStatus};
use crate::config::{LogConfig, LogLevel};
use crate::event::RequestorId;
use crate::ingest::{self, Counts, FormatChoice, InputPath};
use crate::sandbox::{Sandbox, SandboxOptions, Summary};
use crate::suite::ReportSuite;

/// The events: every kind for each of three requestors, in the form in which an operator gets them.
const FILES: [(&str, &[u8]); 3] = [
    ("ref30.ndjson", include_bytes!("../../fixtures/demo/ref30.ndjson")),
    ("ref40.csv", include_bytes!("../../fixtures/demo/ref40.csv")),
    ("ref50.ndjson", include_bytes!("../../fixtures/demo/ref50.ndjson")),
];
/// The suites of the requestors. REF50 has none, so that the demo shows parked events.
const SUITES: [(&str, &str); 2] = [("REF30", "demo.sports"), ("REF40", "demo.news")];

/// Shows everything in one run: a local stand-in for Adobe, example events, a drain, and what Analytics would count.
///
/// It needs only this program, sends nothing to any other host, and removes its files at the end.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[derive(Debug, Serialize)]
struct DemoReport {
    ingest: IngestReport,
    ingest_again: IngestReport,
    drain: DrainReport,
    parked: Vec<RequestorStatus>,
    analytics: Summary,
}

struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> Result<TemporaryFolder, Failure> {
        let path = std::env::temp_dir().join(format!("passbridge-demo-{}", std::process::id()));
        fs::create_dir(&path).map_err(Failure::writing(&path))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the folder of the demo is left behind");
        }
    }
}

pub(super) fn run(_args: &Args, context: &Context) -> Result<Exit, Failure> {
    super::log::start(&LogConfig { level: LogLevel::Warn, ..LogConfig::default() });
    let folder = TemporaryFolder::create()?;
    // Variables of the environment are ignored, because they are meant for the operator's own buffer.
    let settings = settings::parse("", &folder.0.join(settings::LOCAL_FILE), [])?;
    let sandbox = Sandbox::start(SandboxOptions::default())?;
    let report = show(&settings, &folder.0, &sandbox.url(), context, || sandbox.summary())?;
    let is_clean = report.analytics.violations.is_empty() && !report.drain.run.left;
    let failure = (!is_clean).then(|| {
        let what = "the demo went wrong: a hit broke a rule of Adobe, or an event was left";
        Failure::of(what, None, Code::Internal.failed("report it, with what this printed"))
    });
    context.ended(&report, failure, Exit::Done)
}

fn show(
    settings: &Settings,
    folder: &Path,
    url: &str,
    context: &Context,
    analytics: impl FnOnce() -> Summary,
) -> Result<DemoReport, Failure> {
    Buffer::create(&context.buffer_options(settings)?)?;
    let pass = Pass::open(settings, context)?;
    for (requestor_id, rsid) in SUITES {
        let requestor_id = RequestorId::new(requestor_id).expect("a plain name is a requestor ID");
        pass.buffer.add_suite(ReportSuite::with_defaults(rsid.parse()?, url.parse()?), vec![requestor_id])?;
    }
    let ingest = load(&pass, settings, folder, context)?;
    let ingest_again = load(&pass, settings, folder, context)?;
    let mut drain = until_stopped(async |stop| pass.run(&stop).await)?;
    let waiting = pass.buffer.status()?.requestors;
    let parked = waiting.into_iter().filter(|requestor| requestor.parked.is_some()).collect();
    let mut analytics = analytics();
    // The order of the lanes is random, so the suites are sorted by name.
    analytics.suites.sort_by(|one, other| one.rsid.cmp(&other.rsid));
    drain.failure.take().map_or(Ok(()), Err)?;
    Ok(DemoReport { ingest, ingest_again, drain, parked, analytics })
}

fn load(pass: &Pass, settings: &Settings, folder: &Path, context: &Context) -> Result<IngestReport, Failure> {
    let mut inputs = Vec::new();
    for (name, bytes) in FILES {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(Failure::writing(&path))?;
        inputs.push(InputPath::new(path));
    }
    let options = options::ingest(settings, FormatChoice::Auto, &context.clock);
    let summary = ingest::load(&*pass.buffer, &inputs, &options, &mut ())?;
    Ok(IngestReport::new(summary, false))
}

impl fmt::Display for DemoReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = FILES.map(|(name, _)| format!("fixtures/demo/{name}")).join(" ");
        let added = SUITES.map(|(requestor_id, rsid)| {
            format!("   $ passbridge suite add --requestor {requestor_id} --rsid {rsid} --collection-url http://127.0.0.1:8080\n")
        });
        write!(
            out,
            include_str!("help/demo.txt"),
            files = files,
            added = added.concat(),
            ingested = self.ingested(),
            drain = self.drain,
            analytics = self.counted(),
            parked = self.parked()
        )
    }
}

impl DemoReport {
    fn ingested(&self) -> Table {
        let mut table = Table::new(&["", "read", "stored", "duplicates", "rejected"]);
        for (name, report) in [("first", &self.ingest), ("again", &self.ingest_again)] {
            let Counts { read, stored, duplicates, rejected, .. } = &report.summary.total;
            table.row(&[&name, read, stored, duplicates, rejected]);
        }
        table
    }

    fn counted(&self) -> String {
        let suites = &self.analytics.suites;
        let Some(first) = suites.first() else { return "  nothing\n".to_owned() };
        let names = suites.iter().map(|suite| suite.rsid.as_str());
        let mut table = Table::new(&["event", "label"].into_iter().chain(names).collect::<Vec<_>>());
        for (slot, event) in first.events.iter().enumerate() {
            let mut row: Vec<&dyn fmt::Display> = vec![&event.event, &event.label];
            row.extend(suites.iter().map(|suite| &suite.events[slot].units as &dyn fmt::Display));
            table.row(&row);
        }
        let mut text = table.to_string();
        for suite in suites {
            let (hits, visitors, page_views) = (suite.occurrences, suite.unique_visitors, suite.page_views);
            let rsid = &suite.rsid;
            text.push_str(&format!("  {rsid}: {hits} hits, {visitors} visitors, {page_views} page views\n"));
        }
        match self.analytics.violations.len() {
            0 => text.push_str("  every hit keeps the documented rules\n"),
            broken => {
                let rules = &self.analytics.violations;
                text.push_str(&format!("  {broken} documented rules were broken: {rules:?}\n"));
            }
        }
        text
    }

    fn parked(&self) -> Table {
        let mut table = Table::new(&["requestor", "parked", "why"]);
        for requestor in &self.parked {
            let why = requestor.parked.unwrap_or_default();
            table.row(&[&requestor.requestor_id, &requestor.pending, &why]);
        }
        table
    }
}
